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

// Whatever a path or a host is dressed as, the policy sees what is forwarded. The numbers are rows of the project's list of hazards.
func TestPoliciesSeeWhatIsForwarded(t *testing.T) {
	p := ruled(t, `rules: {action: DENY, policies: {`+
		`path: {permissions: [{url_path: {path: {exact: /admin}}}], `+anybody+`}, `+
		`template: {permissions: [{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/t/*/secret"}}}], `+anybody+`}, `+
		`host: {permissions: [{header: {name: ":authority", string_match: {exact: inner.test, ignore_case: true}}}], `+anybody+`}, `+
		`role: {permissions: [{header: {name: x-role, string_match: {exact: admin}}}], `+anybody+`}, `+
		`word: {permissions: [{not_rule: {header: {name: x-word, string_match: {safe_regex: {regex: "[a-z]*"}}, treat_missing_header_as_empty: true}}}], `+anybody+`}}}`,
		e2e.All, "normalize_path: true", "merge_slashes: true", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", "strip_trailing_host_dot: true", "strip_any_host_port: true")
	for _, test := range []struct {
		row, head string
		status    int
	}{
		{"38", "GET /admin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET //admin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET /./admin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET /b/../admin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET /b/%2e%2e/admin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET /%61dmin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET %2fadmin HTTP/1.1\r\nhost: a", 400},
		{"38", "GET /b%2f..%2fadmin HTTP/1.1\r\nhost: a", 403},
		{"38", "GET /b\\..\\admin HTTP/1.1\r\nhost: a", 403},
		{"39", "GET /b/..;/admin HTTP/1.1\r\nhost: a", 403}, // as dots are meant, whatever stands behind them
		{"40", "GET /admin?x HTTP/1.1\r\nhost: a", 403},
		{"40", "GET /admin#x HTTP/1.1\r\nhost: a", 400},
		{"41", "GET / HTTP/1.1\r\nhost: INNER.test", 403},
		{"41", "GET / HTTP/1.1\r\nhost: inner.test.", 403},
		{"41", "GET / HTTP/1.1\r\nhost: inner.test:443", 403},
		{"41", "GET http://inner.test/ HTTP/1.1\r\nhost: a", 403}, // an absolute form says whom it is for (RFC 9112 section 3.2.2)
		{"41", "GET http://a/admin HTTP/1.1\r\nhost: b", 403},
		{"41", "GET / HTTP/1.1\r\nhost: a\r\nhost: inner.test", 400},
		{"42", "GET HTTP://a/admin HTTP/1.1\r\nhost: b", 403},
		{"43", "GET / HTTP/1.1\r\nhost: a\r\nx-role: user\r\nx-role: admin", 403},
		{"43", "GET / HTTP/1.1\r\nhost: a\r\nx-role: admin\r\nx-role: user", 403},
		{"43", "GET / HTTP/1.1\r\nhost: a\r\nx-role: user", 200},
		{"44", "GET / HTTP/1.1\r\nhost: a\r\nx-word: abc", 200},
		{"44", "GET / HTTP/1.1\r\nhost: a\r\nx-word: abc\x80\xff", 403},
		{"45", "GET /t/*/secret HTTP/1.1\r\nhost: a", 403},
		{"45", "GET /t/a;b/secret HTTP/1.1\r\nhost: a", 403},
	} {
		r := p.Dial().Send(test.head + "\r\nconnection: close\r\n\r\n").Read("GET")
		if r.Status != test.status {
			t.Errorf("row %s: %q: %d, want %d", test.row, test.head, r.Status, test.status)
		}
	}
}
