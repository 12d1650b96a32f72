package grpcweb

import "encoding/base64"

// decoder reads base64 that comes in pieces, four letters at a time. A client may write each message by itself, with padding (gRPC-Web's
// protocol allows that), so padding may stand at the end of any four.
type decoder struct {
	four [4]byte
	have int
}

// decode puts what b means behind dst; false: it means nothing. Go's decoder would pass over line ends, which are none of the alphabet.
func (d *decoder) decode(dst, b []byte) ([]byte, bool) {
	for _, c := range b {
		d.four[d.have] = c
		if d.have++; d.have < len(d.four) {
			continue
		}
		d.have = 0
		var n uint32
		pads := 0
		for i, c := range d.four {
			v := letters[c]
			switch {
			case c == '=' && i >= 2:
				pads++
				v = 0
			case v == none || pads > 0:
				return dst, false
			}
			n = n<<6 | uint32(v)
		}
		if n&(1<<(8*pads)-1) != 0 { // bits that are nobody's (RFC 4648 §3.5)
			return dst, false
		}
		dst = append(dst, byte(n>>16))
		if pads < 2 {
			dst = append(dst, byte(n>>8))
		}
		if pads < 1 {
			dst = append(dst, byte(n))
		}
	}
	return dst, true
}

// none is no letter's value.
const none = 0xff

// letters are the values of the alphabet (RFC 4648 §4).
var letters = func() (t [256]byte) {
	for i := range t {
		t[i] = none
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

// encoder writes base64 of what comes in pieces.
type encoder struct {
	rest [3]byte
	have int
}

// encode puts the text of b behind dst; what has no whole text yet waits.
func (e *encoder) encode(dst, b []byte) []byte {
	for e.have > 0 && len(b) > 0 {
		e.rest[e.have] = b[0]
		b = b[1:]
		if e.have++; e.have == len(e.rest) {
			dst = base64.StdEncoding.AppendEncode(dst, e.rest[:])
			e.have = 0
		}
	}
	whole := len(b) - len(b)%3
	dst = base64.StdEncoding.AppendEncode(dst, b[:whole])
	e.have += copy(e.rest[e.have:], b[whole:])
	return dst
}

// pad ends the text.
func (e *encoder) pad(dst []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(dst, e.rest[:e.have])
	e.have = 0
	return dst
}
