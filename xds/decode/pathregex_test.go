package decode

import (
	"regexp"
	"strings"
	"testing"
)

func TestSplitPattern(t *testing.T) {
	for pattern, want := range map[string]string{
		`/a/[0-9]+`: "/a/", `/a`: "/a", `/a?b`: "/", `/a*`: "/", `(?i)/a.*`: "", `.*`: "", `/a|/b`: "/", `/a\b.*`: "", `/a^b`: "", `(/a)b`: "", `/a$`: "/a", `/a/(?:b|c)`: "/a/", `/(?P<x>a)`: "/",
		`/\xff.`: "/\u00ff", `/(?i)a`: "/",
	} {
		if begins, _ := splitPattern(pattern); begins != want {
			t.Errorf("%s begins with %q, want %q", pattern, begins, want)
		}
	}
}

func TestContained(t *testing.T) {
	for pattern, want := range map[string]string{
		`.*/ns/a/.*`: "/ns/a/", `spiffe://.+/ns/shop/(.+/|)sa/a\.b(/.+)?`: "spiffe://", `a|b`: "", `(?i)abc.`: "", `abc`: "abc", `a(bcd)e?f`: "a", `.+`: "", `(`: "", `a.bcd.ef`: "bcd",
		"/" + strings.Repeat("a", maxContained) + ".*": "/" + strings.Repeat("a", maxContained-1),
	} {
		if got := contained(pattern); got != want {
			t.Errorf("%s contains %q, want %q", pattern, got, want)
		}
	}
}

// FuzzSplitPattern: in two pieces a pattern means what it means in one.
func FuzzSplitPattern(f *testing.F) {
	for _, pattern := range []string{`/a/[0-9]+`, `/a|/b`, `/a(?i)B.*`, `/é.*`, `/a$`, `/a.\z`, `/(?s:.)x`, `/a\b`, `/a{2,3}`, `/\Qa.b\E.`, `/[^/]+/x`} {
		for _, path := range []string{"/a/12", "/a", "/aB\n", "/\xc3\xa9x", "/\xff", "/aaa", "/a.bc", "/", ""} {
			f.Add(pattern, path)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
		if err != nil || len(pattern) > 1000 {
			return
		}
		if _, err := regexp.Compile(pattern); err != nil {
			return
		}
		if whole.MatchString(path) && !strings.Contains(path, contained(pattern)) {
			t.Errorf("%q matches %q, which does not contain %q", path, pattern, contained(pattern))
		}
		begins, follows := splitPattern(pattern)
		if begins == "" {
			return
		}
		end, err := regexp.Compile(`\A(?:` + follows + `)\z`)
		if err != nil {
			t.Fatalf("%q begins with %q, and %q does not compile: %v", pattern, begins, follows, err)
		}
		rest, ok := strings.CutPrefix(path, begins)
		if got, want := ok && end.MatchString(rest), whole.MatchString(path); got != want {
			t.Errorf("%q as %q and %q: %q matches %v, want %v", pattern, begins, follows, path, got, want)
		}
	})
}
