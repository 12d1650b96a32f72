package dubbo

import "unicode/utf8"

// appendEscaped writes a piece of a text, as piece gives it, as JSON has it between quotes: valid UTF-8, whatever it was. Half of a surrogate pair becomes U+FFFD.
func appendEscaped(to, b []byte) []byte {
	from := 0
	for i := 0; i < len(b); {
		c := b[i]
		if plain[c] {
			i++
			continue
		}
		r, size := rune(c), 1
		switch {
		case c >= 0xe0:
			r, size = unit(b[i:]), 3
			if r >= 0xd800 && r < 0xdc00 && i+5 < len(b) && b[i+3] == 0xed && b[i+4] >= 0xb0 {
				r, size = (r-0xd800)<<10+unit(b[i+3:])-0xdc00+0x10000, 6
			}
		case c >= utf8.RuneSelf:
			r, size = rune(c&0x1f)<<6|rune(b[i+1]&0x3f), 2
		}
		to = appendChar(append(to, b[from:i]...), r)
		i += size
		from = i
	}
	return append(to, b[from:]...)
}

// appendChar writes one character.
func appendChar(to []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	switch {
	case r >= utf8.RuneSelf || plain[r]:
		return utf8.AppendRune(to, r)
	case r == '"' || r == '\\':
		return append(to, '\\', byte(r))
	case r == '\n':
		return append(to, `\n`...)
	case r == '\r':
		return append(to, `\r`...)
	case r == '\t':
		return append(to, `\t`...)
	}
	return append(to, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
}

// unit is a character of three bytes.
func unit(b []byte) rune { return rune(b[0]&0x0f)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f) }
