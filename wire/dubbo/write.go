package dubbo

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// What values of Hessian 2.0 are written as, each in the shortest form that it has, but for doubles, of which two are short.

func appendInt(b []byte, n int32) []byte {
	switch {
	case n >= -16 && n <= 47:
		return append(b, byte(0x90+n))
	case n >= -2048 && n <= 2047:
		return append(b, byte(0xc8+n>>8), byte(n))
	case n >= -262144 && n <= 262143:
		return append(b, byte(0xd4+n>>16), byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 'I'), uint32(n))
}

func appendLong(b []byte, n int64) []byte {
	switch {
	case n >= -8 && n <= 15:
		return append(b, byte(0xe0+n))
	case n >= -2048 && n <= 2047:
		return append(b, byte(0xf8+n>>8), byte(n))
	case n >= -262144 && n <= 262143:
		return append(b, byte(0x3c+n>>16), byte(n>>8), byte(n))
	case n == int64(int32(n)):
		return binary.BigEndian.AppendUint32(append(b, 0x59), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 'L'), uint64(n))
}

func appendDouble(b []byte, f float64) []byte {
	switch bits := math.Float64bits(f); bits {
	case 0:
		return append(b, 0x5b)
	case math.Float64bits(1):
		return append(b, 0x5c)
	default:
		return binary.BigEndian.AppendUint64(append(b, 'D'), bits)
	}
}

func appendBool(b []byte, is bool) []byte {
	if is {
		return append(b, 'T')
	}
	return append(b, 'F')
}

// appendMillis writes a date, in milliseconds since 1970.
func appendMillis(b []byte, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0x4a), uint64(ms))
}

// appendTyped begins a list of a type that has so many values.
func appendTyped(b []byte, kind string, n int) []byte {
	if n <= 7 {
		return appendString(append(b, byte(0x70+n)), kind)
	}
	return appendInt(appendString(append(b, 'V'), kind), int32(n))
}

// piece is how many UTF-16 characters at most stand in one piece of a text, or bytes in one of binary data: as many as Java's writer has.
const piece = 0x8000

// appendBytes writes binary data.
func appendBytes(b, data []byte) []byte {
	for len(data) > piece {
		b = append(append(b, 'A', piece>>8, 0), data[:piece]...)
		data = data[piece:]
	}
	switch n := len(data); {
	case n <= 15:
		b = append(b, byte(0x20+n))
	case n <= 1023:
		b = append(b, byte(0x34+n>>8), byte(n))
	default:
		b = append(b, 'B', byte(n>>8), byte(n))
	}
	return append(b, data...)
}

// appendString writes a text. What is no UTF-8 becomes U+FFFD.
func appendString[T string | []byte](b []byte, s T) []byte {
	ascii, units := true, 0
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return appendASCII(b, s)
	}
	for _, r := range string(s) {
		units += width(r)
	}
	w := textWriter{b: b}
	w.begin(units)
	for _, r := range string(s) {
		w.put(r)
	}
	return w.end()
}

// appendASCII writes a text of which each character is a byte.
func appendASCII[T string | []byte](b []byte, s T) []byte {
	for len(s) > piece {
		b = append(append(b, 'R', piece>>8, 0), s[:piece]...)
		s = s[piece:]
	}
	return append(appendLength(b, len(s)), s...)
}

// appendLength begins a text, or the last piece of one, that has so many UTF-16 characters.
func appendLength(b []byte, n int) []byte {
	switch {
	case n <= 31:
		return append(b, byte(n))
	case n <= 1023:
		return append(b, byte(0x30+n>>8), byte(n))
	}
	return append(b, 'S', byte(n>>8), byte(n))
}

// width is how many characters of UTF-16 one is.
func width(r rune) int {
	if r >= 0x10000 {
		return 2
	}
	return 1
}

// textWriter writes a text character by character. One that UTF-16 needs two for is two of three bytes each: Java's reader knows no UTF-8 of four.
type textWriter struct {
	b     []byte
	head  int // where the piece that is open begins, of a text of several; 0: there is one
	units int // in that piece
}

// begin is told how many UTF-16 characters there will be.
func (w *textWriter) begin(units int) {
	if units <= piece {
		w.b = appendLength(w.b, units)
		return
	}
	w.open()
}

func (w *textWriter) open() {
	w.b = append(w.b, 'R', 0, 0)
	w.head, w.units = len(w.b), 0
}

func (w *textWriter) close() {
	binary.BigEndian.PutUint16(w.b[w.head-2:], uint16(w.units))
}

func (w *textWriter) put(r rune) {
	if w.head > 0 {
		if w.units+width(r) > piece { // pairs stay in one piece
			w.close()
			w.open()
		}
		w.units += width(r)
	}
	if r >= 0x10000 {
		r -= 0x10000
		w.b = append3(append3(w.b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		return
	}
	w.b = utf8.AppendRune(w.b, r)
}

// append3 writes a surrogate, as if it were a character.
func append3(b []byte, r rune) []byte {
	return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
}

func (w *textWriter) end() []byte {
	if w.head > 0 {
		w.b[w.head-3] = 'S'
		w.close()
	}
	return w.b
}
