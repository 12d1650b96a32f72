package dubbo

import (
	"unicode/utf8"
)

// jsonText is a text as JSON has it, without its quotes, which was found to be one.
type jsonText struct {
	raw     []byte
	escaped bool // a \ is in it
	ascii   bool
	units   int // characters of UTF-16
}

// plain are the bytes that stand for themselves.
var plain = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// text reads a text. There must be a quote here.
func (r *jsonReader) text() (s jsonText, err error) {
	r.at++
	from, at := r.at, r.at
	s.ascii = true
	for {
		begin := at
		for at < len(r.in) && plain[r.in[at]] {
			at++
		}
		s.units += at - begin
		r.at = at
		if at == len(r.in) {
			return s, because("it is no JSON: a text does not end")
		}
		switch c := r.in[at]; {
		case c == '"':
			s.raw = r.in[from:at]
			r.at++
			return s, nil
		case c == '\\':
			char, size := unescape(r.in[at:])
			if size == 0 {
				return s, because("it is no JSON: " + quote(r.in[at:]) + " stands for no character")
			}
			s.escaped = true
			s.ascii = s.ascii && char < utf8.RuneSelf
			s.units += width(char)
			at += size
		case c < utf8.RuneSelf:
			return s, because("it is no JSON: a control character stands in a text as it is")
		default:
			char, size := utf8.DecodeRune(r.in[at:])
			if char == utf8.RuneError && size == 1 {
				return s, because("it is no UTF-8")
			}
			s.ascii = false
			s.units += width(char)
			at += size
		}
	}
}

// unescape reads what a \ begins, and how long that is; 0: it is nothing. Half of a pair alone is U+FFFD, as what is no character is.
func unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		high, is := hex4(b[2:])
		switch {
		case !is:
			return 0, 0
		case high < 0xd800 || high > 0xdfff:
			return high, 6
		case high < 0xdc00 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u':
			if low, is := hex4(b[8:]); is && low >= 0xdc00 && low <= 0xdfff {
				return (high-0xd800)<<10 + low - 0xdc00 + 0x10000, 12
			}
		}
		return utf8.RuneError, 6
	}
	return 0, 0
}

func hex4(b []byte) (r rune, is bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// next is the character that a text begins with which is not at its end.
func (s *jsonText) next(at int) (r rune, size int) {
	if s.raw[at] == '\\' {
		return unescape(s.raw[at:])
	}
	return utf8.DecodeRune(s.raw[at:])
}

// append writes the text in hessian2.
func (s *jsonText) append(b []byte) []byte {
	if s.ascii && !s.escaped {
		return appendASCII(b, s.raw)
	}
	w := textWriter{b: b}
	w.begin(s.units)
	for at := 0; at < len(s.raw); {
		r, size := s.next(at)
		w.put(r)
		at += size
	}
	return w.end()
}

// utf8 appends the text as people read it.
func (s *jsonText) utf8(b []byte) []byte {
	if !s.escaped {
		return append(b, s.raw...)
	}
	for at := 0; at < len(s.raw); {
		r, size := s.next(at)
		b = utf8.AppendRune(b, r)
		at += size
	}
	return b
}

// is tells whether it is this one.
func (s *jsonText) is(text string) bool {
	if !s.escaped {
		return string(s.raw) == text
	}
	if len(s.raw) > 6*len(text) {
		return false
	}
	var room [64]byte
	return string(s.utf8(room[:0])) == text
}
