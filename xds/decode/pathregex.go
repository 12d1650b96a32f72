package decode

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// pathRegex reads a pattern that a whole path must match, as a literal beginning and a pattern for what follows. Of thousands of routes
// many say the same behind their beginnings: they share one compiled pattern, which stays in the processor's cache, where one for each
// route would be fetched from memory with every request.
func (s *session) pathRegex(m *matcherv3.RegexMatcher, p *at) (begins string, follows *regexp.Regexp) {
	whole := s.regex(m, p)
	if whole == nil {
		return "", nil
	}
	begins, end := splitPattern(m.GetRegex())
	if begins == "" {
		return "", whole
	}
	if follows = s.ends[end]; follows == nil {
		if s.ends == nil {
			s.ends = map[string]*regexp.Regexp{}
		}
		follows = regexp.MustCompile(`\A(?:` + end + `)\z`)
		s.ends[end] = follows
	}
	return begins, follows
}

// splitPattern cuts the literal off that a pattern begins with; "" if there is none, or if what follows looks at what is before it.
func splitPattern(pattern string) (begins, follows string) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", ""
	}
	literal, rest := re, &syntax.Regexp{Op: syntax.OpEmptyMatch, Flags: re.Flags}
	if re.Op == syntax.OpConcat {
		literal = re.Sub[0]
		rest = &syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags, Sub: re.Sub[1:]}
	}
	if literal.Op != syntax.OpLiteral || literal.Flags&syntax.FoldCase != 0 || looksBack(rest) {
		return "", ""
	}
	begins = string(literal.Rune)
	if strings.ContainsRune(begins, utf8.RuneError) { // which stands for bytes that are not UTF-8
		return "", ""
	}
	return begins, rest.String()
}

// looksBack tells whether a pattern asks what is before it.
func looksBack(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	for _, sub := range re.Sub {
		if looksBack(sub) {
			return true
		}
	}
	return false
}

// maxContained bounds, in bytes, what is looked for of a literal: Go converts no more than that from a string without an allocation, which would be one
// of each request. A part of what has to be there has to be there, too.
const maxContained = 32

// contained is the longest literal that is in whatever matches a pattern, or its beginning; "" if there is none.
func contained(pattern string) (literal string) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	for _, part := range parts {
		if text := string(part.Rune); part.Op == syntax.OpLiteral && part.Flags&syntax.FoldCase == 0 && len(text) > len(literal) && !strings.ContainsRune(text, utf8.RuneError) {
			literal = text
		}
	}
	return literal[:min(len(literal), maxContained)]
}
