package match

import (
	"bytes"
	"strings"

	"github.com/weftmesh/weft/config"
)

// String tells whether a condition on a string holds.
func String(m *config.StringMatch, b []byte) bool {
	if m.Kind == config.StringRegex {
		return bytes.Contains(b, []byte(m.Value)) && m.Regex.Match(b)
	}
	return literal(m, b)
}

// Text is String for a string, of which nothing is copied: what regexp gets could be kept, and so would have to be. What a pattern cannot do
// without is looked for first: of a hundred policies about namespaces, each with a pattern, all but one are told so at a hundredth of the cost.
func Text(m *config.StringMatch, s string) bool {
	if m.Kind == config.StringRegex {
		return strings.Contains(s, m.Value) && m.Regex.MatchString(s)
	}
	return literal(m, []byte(s))
}

func literal(m *config.StringMatch, b []byte) bool {
	switch m.Kind {
	case config.StringExact:
		return len(b) == len(m.Value) && HasPrefix(b, m.Value, !m.IgnoreCase)
	case config.StringPrefix:
		return HasPrefix(b, m.Value, !m.IgnoreCase)
	case config.StringSuffix:
		return len(b) >= len(m.Value) && HasPrefix(b[len(b)-len(m.Value):], m.Value, !m.IgnoreCase)
	case config.StringContains:
		for i := 0; i+len(m.Value) <= len(b); i++ {
			if HasPrefix(b[i:], m.Value, !m.IgnoreCase) {
				return true
			}
		}
	}
	return false
}

// HasPrefix tells whether b begins with prefix.
func HasPrefix(b []byte, prefix string, caseSensitive bool) bool {
	if len(b) < len(prefix) {
		return false
	}
	if caseSensitive {
		return string(b[:len(prefix)]) == prefix
	}
	return equalFold(b[:len(prefix)], prefix)
}

// equalFold compares without regard to the case of ASCII letters, as Envoy does.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if LowerByte(c) != LowerByte(s[i]) {
			return false
		}
	}
	return true
}

// LowerByte is the lower case of an ASCII letter, and any other byte itself.
func LowerByte(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}
