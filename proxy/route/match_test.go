package route

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

func whole(expression string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + expression + `)$`) }

func prefix(p string) config.Match {
	return config.Match{Kind: config.PathPrefix, Path: p, CaseSensitive: true}
}

func exact(p string) config.Match {
	return config.Match{Kind: config.PathExact, Path: p, CaseSensitive: true}
}

func separated(p string) config.Match {
	return config.Match{Kind: config.PathSeparatedPrefix, Path: p, CaseSensitive: true}
}

func pattern(expression string) config.Match {
	return config.Match{Kind: config.PathRegex, Regex: whole(expression)}
}

func anyCase(m config.Match) config.Match {
	m.CaseSensitive = false
	return m
}

// Every row was asked of Envoy 1.40 first, as far as it lets the request in (bytes from 0x80 in a path are refused there).
func TestMatchPath(t *testing.T) {
	for _, test := range []struct {
		match config.Match
		yes   string
		no    string
	}{
		{prefix("/fo"), "/fo /foo /fo/ /fo?x /fo#x", "/f /Fo /x/fo /f?o"},
		{prefix("/foo?x"), "", "/foo?x /foo?x=1 /foo"},
		{prefix(""), "/ /x", ""},
		{prefix("/"), "/ /x /?", ""},
		{anyCase(prefix("/BAR")), "/bar /bArx /BAR?q", "/ba?R /b\xe1r"},
		{exact("/foo"), "/foo /foo? /foo?x=1 /foo#x /foo#?x /foo?#", "/foo/ /fo /fooo /FOO /foo%20"},
		{exact("/foo?x"), "", "/foo?x /foo"},
		{anyCase(exact("/Baz")), "/bAZ?q /baz", "/bazz /ba"},
		{anyCase(exact("/a[")), "/A[", "/a{ /A{"},
		{separated("/foo"), "/foo /foo/ /foo/a /foo?x /foo?/x /foo#/x", "/fooa /FOO /fo /foo% /foo;a"},
		{anyCase(separated("/foo")), "/FOO/x /Foo", "/fOOa"},
		{pattern("/foo"), "/foo /foo?x /foo?", "/foo/x /x/foo /fo"},
		{pattern(".*"), "/ /x?y", ""},
		{pattern("/a|/b"), "/a /b?c", "/ab /a/b"},
		{pattern("(?i)/Admin.*"), "/aDMINx", "/x/admin"},
		{pattern("/a.c"), "/abc /a\xffc", "/ac"},
	} {
		for _, path := range strings.Fields(test.yes) {
			if !matchesPath(&test.match, path) {
				t.Errorf("%v %q does not match %q", test.match.Kind, test.match.Path, path)
			}
		}
		for _, path := range strings.Fields(test.no) {
			if matchesPath(&test.match, path) {
				t.Errorf("%v %q matches %q", test.match.Kind, test.match.Path, path)
			}
		}
		if matchesPath(&test.match, "") {
			t.Errorf("%v %q matches a request without path", test.match.Kind, test.match.Path)
		}
	}
}

func text(kind config.StringKind, value string) config.StringMatch {
	return config.StringMatch{Kind: kind, Value: value}
}

func textAnyCase(kind config.StringKind, value string) config.StringMatch {
	return config.StringMatch{Kind: kind, Value: value, IgnoreCase: true}
}

// Every row was asked of Envoy 1.40 first. A case is a list of values of the header x, "-" for none at all.
func TestMatchHeader(t *testing.T) {
	a := text(config.StringExact, "a")
	ten := &config.Int64Range{Start: -10, End: 10}
	evil := config.StringMatch{Kind: config.StringRegex, Regex: whole(".*evil.*")}
	for _, test := range []struct {
		name    string
		match   config.HeaderMatch
		yes, no []string
	}{
		{"exact", config.HeaderMatch{String: a}, []string{"a", "a|b", "b|a"}, []string{"-", "", "b", "A", "aa", "a,b"}},
		{"exact, joined", config.HeaderMatch{String: text(config.StringExact, "a,b")}, []string{"a,b"}, []string{"a|b", "b|a"}},
		{"exact inverted", config.HeaderMatch{String: a, Invert: true}, []string{"b", "", "b|c"}, []string{"-", "a", "a|b", "b|a"}},
		{"exact inverted, missing is empty", config.HeaderMatch{String: a, Invert: true, MissingEmpty: true}, []string{"-", "b"}, []string{"a"}},
		{"empty", config.HeaderMatch{String: text(config.StringExact, "")}, []string{""}, []string{"-", "a"}},
		{"empty, missing is empty", config.HeaderMatch{String: text(config.StringExact, ""), MissingEmpty: true}, []string{"", "-"}, []string{"a"}},
		{"present", config.HeaderMatch{Present: true}, []string{"a", "", "a|b"}, []string{"-"}},
		{"absent", config.HeaderMatch{Present: true, Invert: true}, []string{"-"}, []string{"a", ""}},
		{"present, missing is empty", config.HeaderMatch{Present: true, MissingEmpty: true}, []string{"-", "a"}, nil},
		{"absent, missing is empty", config.HeaderMatch{Present: true, Invert: true, MissingEmpty: true}, nil, []string{"-", "a"}},
		{"range", config.HeaderMatch{Range: ten}, []string{"-10", "9", "+5", "007", "1|2", "x|2", "-0"},
			[]string{"-", "10", "-11", "5a", "0x5", "", "99999999999999999999", "-99999999999999999999", "1_0", "+", "1,2"}},
		{"range inverted", config.HeaderMatch{Range: ten, Invert: true}, []string{"abc", "10"}, []string{"-", "5", "5|50"}},
		{"range, missing is empty", config.HeaderMatch{Range: ten, MissingEmpty: true}, []string{"1"}, []string{"-"}},
		{"range inverted, missing is empty", config.HeaderMatch{Range: ten, Invert: true, MissingEmpty: true}, []string{"-"}, []string{"1"}},
		{"regex", config.HeaderMatch{String: config.StringMatch{Kind: config.StringRegex, Regex: whole("a.c")}},
			[]string{"abc", "a\xffc"}, []string{"xabc", "abcx", "-"}},
		{"regex inverted", config.HeaderMatch{String: evil, Invert: true}, []string{"good"}, []string{"evil", "\xffevil", "evil\x80\xff", "-", "good|evil"}},
		{"prefix", config.HeaderMatch{String: text(config.StringPrefix, "ab")}, []string{"abc", "ab"}, []string{"AB", "a", "-"}},
		{"prefix, any case", config.HeaderMatch{String: textAnyCase(config.StringPrefix, "ab")}, []string{"Abc"}, []string{"a"}},
		{"suffix", config.HeaderMatch{String: text(config.StringSuffix, "ab")}, []string{"cab"}, []string{"abc", "b", "cAb"}},
		{"suffix, any case", config.HeaderMatch{String: textAnyCase(config.StringSuffix, "ab")}, []string{"cAb"}, []string{"abc"}},
		{"contains", config.HeaderMatch{String: text(config.StringContains, "ab")}, []string{"cabd", "ab"}, []string{"acb", "", "Ab"}},
		{"contains, any case", config.HeaderMatch{String: textAnyCase(config.StringContains, "ab")}, []string{"cAbd"}, []string{"acb"}},
		{"exact, any case", config.HeaderMatch{String: textAnyCase(config.StringExact, "ab")}, []string{"Ab"}, []string{"Abc"}},
	} {
		for _, name := range []string{"x", "accept"} { // one without an ID, one with
			m := test.match
			m.Name = name
			for want, cases := range map[bool][]string{true: test.yes, false: test.no} {
				for _, c := range cases {
					r := request("GET", "h", "/", "other: a")
					if c != "-" {
						for _, v := range strings.Split(c, "|") {
							r.AddNamed([]byte(name), []byte(v))
						}
					}
					if got := MatchHeader(&m, r); got != want {
						t.Errorf("%s: %s: %q: %v", test.name, name, c, got)
					}
				}
			}
		}
	}
}

func TestMatchPseudoHeader(t *testing.T) {
	r := request("GET", "h.t:1", "/p?q", ":scheme: https")
	for name, value := range map[string]string{":method": "GET", ":authority": "h.t:1", "host": "h.t:1", ":path": "/p?q", ":scheme": "https"} {
		yes := config.HeaderMatch{Name: name, String: text(config.StringExact, value)}
		no := config.HeaderMatch{Name: name, String: text(config.StringExact, value+"x")}
		if !MatchHeader(&yes, r) || MatchHeader(&no, r) {
			t.Errorf("%s is not %q", name, value)
		}
	}
	for name, want := range map[string]bool{":path": true, ":protocol": true, ":method": false} {
		if absent := (config.HeaderMatch{Name: name, Present: true, Invert: true}); MatchHeader(&absent, request("CONNECT", "h:1", "")) != want {
			t.Errorf("%s: absent %v", name, !want)
		}
	}
}

func TestParseInt(t *testing.T) {
	for _, s := range []string{"", "-", "+", "0", "-0", "1", "-1", "+1", "00012", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "92233720368547758070", "1 ", " 1", "1.0", "--1", "+-1", "0x1", "1e3", "\xb1"} {
		want, err := strconv.ParseInt(s, 10, 64)
		if got, ok := parseInt([]byte(s)); ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %d %v, want %d %v", s, got, ok, want, err)
		}
	}
}

// Time grows with the length of the path and no faster, whatever the expression (hazard 37): with backtracking this would not end.
func TestCatastrophicExpression(t *testing.T) {
	m := pattern(`/(a+)+(a*)*(a|a?)+x`)
	if matchesPath(&m, "/"+strings.Repeat("a", 8<<10)) {
		t.Error("matched without x")
	}
	if !matchesPath(&m, "/"+strings.Repeat("a", 1<<10)+"x") {
		t.Error("not matched")
	}
}

// Hazards 43 and 44: of fields of one name each is judged by itself in either order, so an inverted condition fails over any of them,
// and over bytes that are no UTF-8 as well.
func TestInvertedMatchFailsClosed(t *testing.T) {
	exact := config.HeaderMatch{Name: "x-role", String: text(config.StringExact, "admin"), Invert: true}
	expression := config.HeaderMatch{Name: "x-role", String: config.StringMatch{Kind: config.StringRegex, Regex: whole("admin.*")}, Invert: true}
	for _, test := range []struct {
		match  *config.HeaderMatch
		fields []string
		want   bool
	}{
		{&exact, []string{"x-role: user"}, true},
		{&exact, []string{"x-role: user", "x-role: admin"}, false},
		{&exact, []string{"x-role: admin", "x-role: user"}, false},
		{&expression, []string{"x-role: user\x80"}, true},
		{&expression, []string{"x-role: admin\x80"}, false},
		{&expression, []string{"x-role: admin\xff\xfe", "x-role: user"}, false},
		{&expression, nil, false},
	} {
		if got := MatchHeader(test.match, request("GET", "h", "/", test.fields...)); got != test.want {
			t.Errorf("%q: %v, want %v", test.fields, got, test.want)
		}
	}
}
