package decode

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
)

// Envoy's bounds of a template.
const (
	maxVariables    = 5
	maxVariableName = 16 // bytes
)

// template reads a path template as the pattern that its paths match, with a group for each variable.
func (s *session) template(m *corev3.TypedExtensionConfig, p *at) *regexp.Regexp {
	c := in[*templatev3.UriTemplateMatchConfig](s, m.GetTypedConfig())
	if c == nil {
		return nil // refused by the walk
	}
	p = p.field("typed_config").as("UriTemplateMatchConfig").field("path_template")
	text, err := templatePattern(c.GetPathTemplate())
	if err != nil {
		s.problem(p, "%v", err)
		return nil
	}
	return s.pattern(text, `\A`, `\z`, p)
}

// What stands between two slashes, and what globs stand for: the characters of a segment in RFC 3986. The star is one of them, or
// whoever writes a rule for * would be walked around (CVE-2025-46821).
const (
	literalBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()+,;:@*="
	segmentGlob  = `[a-zA-Z0-9\-._~%!$&'()+,;:@*=]+`
	pathGlob     = `[a-zA-Z0-9\-._~%!$&'()+,;:@*=/]*`
)

// templatePattern writes a template as a regular expression: /a/{b}/*/{c=x/**}.html and the like. A variable without a pattern is one
// segment, and nothing but literals follows **.
func templatePattern(template string) (string, error) {
	rest, ok := strings.CutPrefix(template, "/")
	if !ok {
		return "", errors.New("a template begins with /")
	}
	t := templateParser{}
	t.out.WriteByte('/')
	for rest != "" {
		var err error
		if rest[0] == '{' {
			rest, err = t.variable(rest[1:])
		} else {
			rest, err = t.piece(rest)
		}
		if err != nil {
			return "", err
		}
		switch {
		case rest == "":
		case rest[0] == '/':
			t.out.WriteByte('/')
			rest = rest[1:]
		default: // what follows a glob or variable in its segment ends the template
			suffix, after := cutLiteral(rest)
			if suffix == "" || after != "" {
				return "", fmt.Errorf("%q after a variable or glob: want a / or the end of the template, with literals between", rest)
			}
			t.out.WriteString(regexp.QuoteMeta(suffix))
			rest = ""
		}
	}
	return t.out.String(), nil
}

type templateParser struct {
	out     strings.Builder
	names   []string
	globbed bool // there was a **
}

// piece reads a glob, or a literal up to a slash.
func (t *templateParser) piece(s string) (rest string, err error) {
	glob := segmentGlob
	switch {
	case strings.HasPrefix(s, "**"):
		glob, rest = pathGlob, s[2:]
	case s[0] == '*':
		rest = s[1:]
	default:
		literal, rest := cutLiteral(s)
		if literal == "" || rest != "" && rest[0] != '/' {
			return "", fmt.Errorf("%q is no segment: want letters, digits and -._~%%!$&'()+,;:@*=, or *, ** or {name}", s)
		}
		t.out.WriteString(regexp.QuoteMeta(literal))
		return rest, nil
	}
	return rest, t.glob(glob)
}

func (t *templateParser) glob(expression string) error {
	if t.globbed {
		return errors.New("no glob or variable that is one may follow **")
	}
	t.globbed = expression == pathGlob
	t.out.WriteString(expression)
	return nil
}

// variable reads NAME} or NAME=PIECE/PIECE}.
func (t *templateParser) variable(s string) (rest string, err error) {
	inside, rest, ok := strings.Cut(s, "}")
	if !ok {
		return "", fmt.Errorf("{%s: a } is missing", s)
	}
	name, pieces, given := strings.Cut(inside, "=")
	switch {
	case !variableName(name):
		return "", fmt.Errorf("%q is no name of a variable: want a letter, then letters, digits and _, %d at most", name, maxVariableName)
	case given && pieces == "":
		return "", fmt.Errorf("{%s=}: what it matches is missing", name)
	case len(t.names) == maxVariables:
		return "", fmt.Errorf("more than %d variables", maxVariables)
	}
	for _, other := range t.names {
		if other == name {
			return "", fmt.Errorf("there are two variables %q", name)
		}
	}
	t.names = append(t.names, name)
	t.out.WriteString("(?P<" + name + ">")
	if !given {
		err = t.glob(segmentGlob)
	}
	for err == nil && pieces != "" {
		if pieces, err = t.piece(pieces); err != nil || pieces == "" {
			break
		}
		if pieces[0] != '/' || len(pieces) == 1 {
			err = fmt.Errorf("{%s}: %q in a variable: want / and another segment", inside, pieces)
		}
		pieces = pieces[1:]
		t.out.WriteByte('/')
	}
	t.out.WriteByte(')')
	return rest, err
}

// cutLiteral takes off the literal that s begins with.
func cutLiteral(s string) (literal, rest string) {
	i := 0
	for i < len(s) && strings.IndexByte(literalBytes, s[i]) >= 0 {
		i++
	}
	return s[:i], s[i:]
}

func variableName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= maxVariableName
}
