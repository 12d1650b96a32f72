package route

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// mostHeads bounds in how many ways an expression may begin before the index takes the shorter beginning that they share.
const mostHeads = 16

// literals works out what must be true of any string that an expression matches: it begins with one of heads (nil if nothing is
// known, or if the expression may match from the middle of a string), and has contains in it.
func literals(expression string) (heads []string, contains string) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, "" // not what regexp compiled; it will be asked every time
	}
	re = re.Simplify()
	contains = required(re)
	if !anchored(re) {
		return nil, contains
	}
	heads, _ = begins(re)
	for _, h := range heads {
		if h == "" {
			return nil, contains
		}
	}
	return heads, contains
}

// anchored tells whether an expression matches from the beginning of a string only.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return anchored(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !anchored(sub) {
				return false
			}
		}
		return true
	}
	return false
}

// begins lists with what a match of an expression may begin; whole tells whether those are the matches and not only their beginnings.
func begins(re *syntax.Regexp) (heads []string, whole bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText:
		return []string{""}, true
	case syntax.OpLiteral:
		s := literal(re)
		return []string{s}, len(s) > 0 && utf8.RuneCountInString(s) == len(re.Rune)
	case syntax.OpCharClass:
		return class(re)
	case syntax.OpCapture:
		return begins(re.Sub[0])
	case syntax.OpPlus:
		heads, _ = begins(re.Sub[0])
		return heads, false
	case syntax.OpConcat:
		return concatenated(re.Sub)
	case syntax.OpAlternate:
		whole = true
		for _, sub := range re.Sub {
			h, w := begins(sub)
			heads, whole = append(heads, h...), whole && w
		}
		if len(heads) <= mostHeads {
			return heads, whole
		}
	}
	return []string{""}, false
}

func concatenated(subs []*syntax.Regexp) (heads []string, whole bool) {
	heads = []string{""}
	for _, sub := range subs {
		next, whole := begins(sub)
		if len(heads)*len(next) > mostHeads {
			return heads, false
		}
		longer := make([]string, 0, len(heads)*len(next))
		for _, h := range heads {
			for _, n := range next {
				longer = append(longer, h+n)
			}
		}
		heads = longer
		if !whole {
			return heads, false
		}
	}
	return heads, true
}

// literal is the part of a literal up to what has no bytes of its own: regexp takes bytes that are not UTF-8 for U+FFFD.
func literal(re *syntax.Regexp) string {
	if re.Flags&syntax.FoldCase != 0 {
		return ""
	}
	s := string(re.Rune)
	if i := strings.IndexRune(s, utf8.RuneError); i >= 0 {
		return s[:i]
	}
	return s
}

// class is a small class's characters.
func class(re *syntax.Regexp) (heads []string, whole bool) {
	for i := 0; i < len(re.Rune); i += 2 {
		for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
			if len(heads) == mostHeads || c == utf8.RuneError {
				return []string{""}, false
			}
			heads = append(heads, string(c))
		}
	}
	return heads, true
}

// required is the longest literal that is in every match of an expression.
func required(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return literal(re)
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpConcat:
		longest := ""
		for _, sub := range re.Sub {
			if s := required(sub); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	}
	return ""
}
