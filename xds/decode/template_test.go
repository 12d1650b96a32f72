package decode

import (
	"regexp"
	"strings"
	"testing"
)

// What Envoy 1.40 takes for a template, and what paths it was seen to match.
func TestTemplate(t *testing.T) {
	for _, test := range []struct{ template, yes, no string }{
		{"/u/{x}/end", "/u/a/end /u/a*b/end /u/a=b/end /u/a%2fb/end /u/a;b/end", "/u//end /u/a/b/end /u/a[b/end /u/a\"b/end /u/a|b/end /u/a^b/end /u/a\\b/end /u/{a}/end /u/a`b/end /u/a<b/end /u/a/end/ /U/a/end"},
		{"/u/**", "/u/ /u/a/b//c /u/a*b /u/a=b", "/u /u/a[b /v/"},
		{"/u/*", "/u/a /u/*", "/u/ /u/a/b"},
		{"/u/{a}/{b=x/**}", "/u/A/x/1/2 /u/A/x/", "/u/A/x /u/A/y/1"},
		{"/a.b/{c=*}.html", "/a.b/x.html", "/aXb/x.html /a.b/xhtml"},
		{"/a*b=c/*x", "/a*b=c/1x", "/ab=c/1x /axb=c/1x /a*b=c/1"},
		{"/", "/", "/a"},
		{"/a/", "/a/", "/a"},
		{"/$(a)+", "/$(a)+", "/a"},
	} {
		text, err := templatePattern(test.template)
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		r := regexp.MustCompile(`\A` + text + `\z`)
		for _, path := range strings.Fields(test.yes) {
			if !r.MatchString(path) {
				t.Errorf("%s does not match %s", test.template, path)
			}
		}
		for _, path := range strings.Fields(test.no) {
			if r.MatchString(path) {
				t.Errorf("%s matches %s", test.template, path)
			}
		}
	}
}

func TestTemplateThatIsNone(t *testing.T) {
	for template, why := range map[string]string{
		"": "begins with /", "a": "begins with /", "//": "is no segment", "/{a": "a } is missing",
		"/{}": "no name", "/{1a}": "no name", "/{abcdefghijklmnopq}": "no name", "/{a}/{a}": "two variables", "/{a=}": "is missing",
		"/{a=x/}": "another segment", "/{a=*x}": "another segment", "/**/*": "may follow **", "/**/{a}": "may follow **", "/{a=**/*}": "may follow **",
		"/{a}/{b}/{c}/{d}/{e}/{f}": "more than 5", "/*a/b": "the end of the template", "/{a}{b}": "the end of the template", "/a b": "is no segment", "/é": "is no segment",
	} {
		if text, err := templatePattern(template); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %q, %v; want %s", template, text, err, why)
		}
	}
}

// FuzzTemplate holds that what is accepted is a pattern that regexp takes, that it matches no slash where a segment is meant, and that
// literals mean themselves.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/a/{b}/*", "/{a=x/**}.html", "/**", "/$(a)+.x", "/{a=*}", "//", "/{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		if len(template) > 200 {
			return
		}
		text, err := templatePattern(template)
		if err != nil {
			return
		}
		r, err := regexp.Compile(`\A` + text + `\z`)
		if err != nil {
			t.Fatalf("%q: %v", template, err)
		}
		if !strings.ContainsAny(template, "*{") {
			if !r.MatchString(template) {
				t.Errorf("%q does not match itself", template)
			}
			if strings.Count(template, "/") > 1 && r.MatchString(strings.Replace(template, "/", "//", 1)) {
				t.Errorf("%q matches a segment more", template)
			}
		}
	})
}
