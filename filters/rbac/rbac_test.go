package rbac_test

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const anybody = "principals: [{any: true}]"

func ruled(t *testing.T, fields, vhost string, more ...string) *e2e.Proxy {
	return e2e.Filtered(t, e2e.Echo(t), e2e.Filter("rbac", "rbac.v3.RBAC", fields), vhost, more...)
}

// Methods by a policy that allows, and one that denies, as Envoy answers.
func TestAllowAndDeny(t *testing.T) {
	for _, test := range []struct {
		rules         string
		get, post     int
		allowed, deny int64
	}{
		{"", 200, 200, 0, 0},
		{"rules: {}", 403, 403, 0, 2},
		{"rules: {action: DENY}", 200, 200, 2, 0},
		{`rules: {policies: {p: {permissions: [{header: {name: ":method", string_match: {exact: GET}}}], ` + anybody + `}}}`, 200, 403, 1, 1},
		{`rules: {action: DENY, policies: {p: {permissions: [{header: {name: ":method", string_match: {exact: GET}}}], ` + anybody + `}}}`, 403, 200, 1, 1},
		{`rules: {action: LOG, policies: {p: {permissions: [{header: {name: ":method", string_match: {exact: GET}}}], ` + anybody + `}}}`, 200, 200, 2, 0},
		{`shadow_rules: {}`, 200, 200, 0, 0},
	} {
		p := ruled(t, test.rules, e2e.All)
		c := p.Dial()
		for method, want := range map[string]int{"GET": test.get, "POST": test.post} {
			c.Send(method + " / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
			if r := c.Read(method); r.Status != want || want == 403 && r.Body != "RBAC: access denied" {
				t.Errorf("%s: %s %d %q, want %d", test.rules, method, r.Status, r.Body, want)
			}
		}
		p.WantStat("http.http.rbac.allowed", test.allowed)
		p.WantStat("http.http.rbac.denied", test.deny)
	}
}
