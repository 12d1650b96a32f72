package http1

import (
	"encoding/binary"
	"math/bits"
)

// Bytes are looked at eight at a time where the run is long (values, targets), and by a table where it is short (names, methods). At the
// first byte that matters the word tests are exact; above it they may see more, which nobody asks.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// below marks the bytes of x that are less than n, which is at most 0x80.
func below(x, n uint64) uint64 { return (x - ones*n) &^ x & highs }

// equal marks the bytes of x that are c.
func equal(x, c uint64) uint64 { return below(x^ones*c, 1) }

// control finds the first control character other than HTAB at or after i; len(b) if there is none. Bytes from 0x80 are text
// (RFC 9110 §5.5).
func control(b []byte, i int) int {
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		m := below(x, 0x20) | equal(x, 0x7f)
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && (b[i] >= 0x20 && b[i] != 0x7f || b[i] == '\t') {
		i++
	}
	return i
}

// visible finds the first byte at or after i that cannot be part of a request target, which is all but visible ASCII, and '#'; len(b) if
// there is none.
func visible(b []byte, i int) int {
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		m := below(x, 0x21) | equal(x, 0x7f) | equal(x, '#') | x&highs
		if m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] > 0x20 && b[i] < 0x7f && b[i] != '#' {
		i++
	}
	return i
}

// nameEnd finds the first colon, white space or control character; len(b) if there is none.
func nameEnd(b []byte) int {
	i := 0
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if m := below(x, 0x21) | equal(x, ':'); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] > 0x20 && b[i] != ':' {
		i++
	}
	return i
}

// isToken tells whether b, which is not empty, is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return true
}

// token tells which bytes a token may have.
var token = func() (t [256]bool) {
	for c := range t {
		t[c] = (byte(c)|0x20)-'a' < 26 || byte(c)-'0' < 10
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// hex maps hexadecimal digits to their values, all others to 0xff.
var hex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		t[c] = byte(10 + i)
	}
	return t
}()

// trim cuts white space (RFC 9110 §5.6.3) off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// element cuts the first element off a comma-separated list (RFC 9110 §5.6.1), trimmed; it may be empty.
func element(list []byte) (first, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

// same compares a with b, which is in lower case, without regard to the case of letters.
func same(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != b[i] {
			return false
		}
	}
	return true
}
