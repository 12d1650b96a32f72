package l7

import "testing"

func TestSplitURL(t *testing.T) {
	for url, want := range map[string][3]string{
		"http://a":              {"http", "a", "/"},
		"HTTPS://a:1/b?c#d":     {"https", "a:1", "/b?c"},
		"http://a?b":            {"http", "a", "/?b"},
		"http://a#b":            {"http", "a", "/"},
		"http://[::1]:80/":      {"http", "[::1]:80", "/"},
		"ftp://a/b":             {"ftp", "a", "/b"},
		"/a":                    {},
		"":                      {},
		"http:///a":             {},
		"//a/b":                 {},
		"http://user@a/":        {},
		"http://a\\@b/":         {},
		"http://a b/":           {},
		"http://a/b c HTTP/1.1": {},
	} {
		scheme, host, path, ok := splitURL([]byte(url))
		if got := [3]string{string(scheme), string(host), string(path)}; ok != (want != [3]string{}) || ok && got != want {
			t.Errorf("%q: %q, %v", url, got, ok)
		}
	}
}
