package admin

import (
	"net/http/httptest"
	"testing"
)

// TestFromHere: a page of another site may not press our buttons, whatever its name is made to lead to.
func TestFromHere(t *testing.T) {
	for _, c := range []struct {
		host, origin, site string
		want               bool
	}{
		{"127.0.0.1:9901", "", "", true},
		{"evil.example", "", "", true}, // no browser
		{"127.0.0.1:9901", "http://127.0.0.1:9901", "same-origin", true},
		{"[::1]:9901", "http://[::1]:9901", "same-origin", true},
		{"localhost:9901", "http://localhost:9901", "", true},
		{"127.0.0.1:9901", "http://127.0.0.1:9902", "same-site", false},
		{"127.0.0.1:9901", "http://127.0.0.1:9901", "cross-site", false},
		{"127.0.0.1:9901", "null", "same-origin", false},
		{"127.0.0.1:9901", "", "same-origin", false},
		{"evil.example:9901", "http://evil.example:9901", "same-origin", false},
	} {
		r := httptest.NewRequest("POST", "/quitquitquit", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("sec-fetch-site", c.site)
		}
		if got := fromHere(r); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
