package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The rows were asked of Envoy 1.40.
func TestRewrites(t *testing.T) {
	u := Echo(t)
	p := Routes(t, u, `
- {match: {prefix: /r1}, route: {cluster: up, regex_rewrite: {pattern: {regex: "^/r1/([a-z]+)"}, substitution: '/n/\1'}}}
- {match: {prefix: /r3}, route: {cluster: up, regex_rewrite: {pattern: {regex: "^/r3"}, substitution: ''}}}
- {match: {prefix: /pr}, route: {cluster: up, path_rewrite: "/z%REQ(x-h)%"}}
- {match: {prefix: /h1}, route: {cluster: up, host_rewrite_header: x-h}}
- {match: {prefix: /h2}, route: {cluster: up, host_rewrite_path_regex: {pattern: {regex: "^/h2/([^/]+).*$"}, substitution: '\1'}}}
- {match: {prefix: /h3}, route: {cluster: up, host_rewrite_literal: new.h, append_x_forwarded_host: true}}
- {match: {prefix: /h4}, route: {cluster: up, auto_host_rewrite: true}}
- {match: {prefix: /hr}, route: {cluster: up, host_rewrite: "z%REQ(x-h)%"}}
- {match: {prefix: /ch}, route: {cluster_header: x-h}}
- {match: {prefix: /d1}, direct_response: {status: 302}}
- {match: {prefix: /d2}, direct_response: {status: 201}}
- {match: {prefix: /d3}, direct_response: {status: 200}}`)
	c := p.Dial()
	for _, test := range []struct{ path, field, want string }{
		{"/r1/abc/d?q", "x-h: v", "GET /n/abc/d?q HTTP/1.1|host: a.example|x-envoy-original-path: /r1/abc/d?q"},
		{"/r1/0", "x-h: v", "GET /r1/0 HTTP/1.1|x-envoy-original-path: /r1/0"},
		{"/r3/a?b", "x-h: v", "GET /a?b HTTP/1.1|x-envoy-original-path: /r3/a?b"},
		{"/r3?b", "x-h: v", "GET /r3?b HTTP/1.1|!x-envoy-original-path"},
		{"/pr/a?b", "x-h: v", "GET /zv?b HTTP/1.1|x-envoy-original-path: /pr/a?b"},
		{"/pr/a?b", "x-i: v", "GET /z?b HTTP/1.1"},
		{"/h1", "x-h: v", "host: v|x-envoy-original-host: a.example"},
		{"/h1", "x-i: v", "host: a.example|!x-envoy-original-host"},
		{"/h2/abc/d?e", "x-h: v", "GET /h2/abc/d?e HTTP/1.1|host: abc|x-envoy-original-host: a.example"},
		{"/h3", "x-h: v", "host: new.h|x-envoy-original-host: a.example|x-forwarded-host: a.example"},
		{"/h3", "x-forwarded-host: q, a.example", "host: new.h|x-forwarded-host: q, a.example,a.example"},
		{"/h4", "x-h: v", "host: a.example|!x-envoy-original-host"}, // the endpoint has no name
		{"/hr", "x-h: v", "host: zv"},
		{"/hr", "x-i: v", "host: z-"},
		{"/ch", "x-h: up", "GET /ch HTTP/1.1"},
	} {
		got := c.Get(test.path, test.field).Want(t, 200).Body
		for _, want := range strings.Split(test.want, "|") {
			no, absent := strings.CutPrefix(want, "!")
			if absent == strings.Contains(got, no) {
				t.Errorf("%s with %s: want %s in\n%s", test.path, test.field, want, got)
			}
		}
	}
	for field, details := range map[string]string{"x-h: gone": "gone", "x-i: up": "no field"} {
		if r := c.Get("/ch", field).Want(t, 503); r.Body != "" {
			t.Errorf("%s: %q", details, r.Body)
		}
	}
	c.Get("/d1?x").Want(t, 302, "location: http://a.example/d1?x")
	c.Get("/d2").Want(t, 201, "location: http://a.example/d2")
	if r := c.Get("/d3").Want(t, 200); r.Header.Get("location") != "" {
		t.Errorf("location %q", r.Header.Get("location"))
	}
}

// A client gets one cookie for a connection, and is not given another once it brings one.
func TestSessionCookie(t *testing.T) {
	p := Routes(t, Echo(t), "- {match: {prefix: /}, route: {cluster: up, hash_policy: [{cookie: {name: s, ttl: 5s, path: /}}]}}")
	c := p.Dial()
	first := c.Get("/").Want(t, 200).Header.Get("set-cookie")
	if !regexp.MustCompile(`^s="[0-9a-f]{16}"; Max-Age=5; Path=/; HttpOnly$`).MatchString(first) {
		t.Fatalf("set-cookie: %q", first)
	}
	if again := c.Get("/").Header.Get("set-cookie"); again != first {
		t.Errorf("%q, then %q", first, again)
	}
	value, _, _ := strings.Cut(first, ";")
	if third := c.Get("/", "cookie: "+value).Want(t, 200).Header.Get("set-cookie"); third != "" {
		t.Errorf("a client that has its cookie gets %q", third)
	}
}

// Shares by the hash are the same for the same request, and by weight over all.
func TestSharesByHash(t *testing.T) {
	share := func(name string, weight int) string {
		return fmt.Sprintf("{name: up, weight: %d, request_headers_to_add: [{header: {key: x-share, value: %s}}]}", weight, name)
	}
	p := Routes(t, Echo(t), "- {match: {prefix: /}, route: {hash_policy: [{query_parameter: {name: u}}], weighted_clusters: {use_hash_policy: true, clusters: ["+
		share("a", 3)+", "+share("b", 1)+"]}}}")
	c := p.Dial()
	n := 0
	for i := range 200 {
		path := fmt.Sprintf("/?u=user%d", i)
		first := strings.Contains(c.Get(path).Want(t, 200).Body, "x-share: a")
		if again := strings.Contains(c.Get(path).Body, "x-share: a"); again != first {
			t.Fatalf("%s goes both ways", path)
		}
		if first {
			n++
		}
	}
	if n < 113 || n > 187 { // 150 expected; six standard deviations
		t.Errorf("%d of 200 users in a share of three quarters", n)
	}
}
