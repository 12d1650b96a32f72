package csrf_test

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// The outcomes are Envoy's, which was asked the same.
func TestCSRF(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("csrf", "csrf.v3.CsrfPolicy", "filter_enabled: {default_value: {numerator: 100}}, additional_origins: [{exact: good}]"), e2e.All)
	c := p.Dial()
	for _, x := range []struct {
		method, fields string
		status         int
	}{
		{"GET", "origin: http://bad\r\n", 200},
		{"POST", "", 403},
		{"POST", "origin: http://a:81\r\n", 200},
		{"POST", "origin: http://a\r\n", 403}, // another port is another origin
		{"PUT", "origin: https://good\r\n", 200},
		{"DELETE", "origin: http://good.bad\r\n", 403},
		{"PATCH", "referer: http://a:81/page?http://good\r\n", 200},
		{"PATCH", "referer: http://bad/a:81\r\n", 403},
		{"PATCH", "origin: http://bad\r\nreferer: http://a:81/\r\n", 403},
	} {
		c.Send(x.method + " / HTTP/1.1\r\nhost: a:81\r\ncontent-length: 0\r\n" + x.fields + "\r\n")
		r := c.Read(x.method)
		if r.Status != x.status || x.status == 403 && r.Body != "Invalid origin" {
			t.Errorf("%s %q: %d %q, want %d", x.method, x.fields, r.Status, r.Body, x.status)
		}
	}
	p.WantStat("http.http.csrf.missing_source_origin", 1)
	p.WantStat("http.http.csrf.request_invalid", 4)
	p.WantStat("http.http.csrf.request_valid", 3)
}
