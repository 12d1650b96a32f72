package cors_test

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const filter = `- {name: cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}`

const policy = `allow_origin_string_match: [{exact: "http://a"}], allow_methods: GET, allow_headers: h, expose_headers: e, max_age: "5", allow_credentials: true, allow_private_network_access: true`

func send(c *e2e.Conn, method string, fields string) *e2e.Response {
	return c.Send(method + " / HTTP/1.1\r\nhost: a\r\n" + fields + "\r\n").Read(method)
}

// The outcomes are Envoy's, which was asked the same.
func TestCORS(t *testing.T) {
	u := e2e.Answer(t, "HTTP/1.1 204 No Content\r\naccess-control-allow-origin: upstream\r\n\r\n")
	p := e2e.Filtered(t, u, filter, e2e.Override("cors", "cors.v3.CorsPolicy", policy)+"\n"+e2e.All)
	c := p.Dial()
	send(c, "GET", "origin: http://a\r\n").Want(t, 204, "access-control-allow-origin: http://a", "access-control-allow-credentials: true", "access-control-expose-headers: e", "access-control-allow-methods: ")
	send(c, "GET", "origin: http://b\r\n").Want(t, 204, "access-control-allow-origin: upstream", "access-control-allow-credentials: ")
	send(c, "GET", "").Want(t, 204, "access-control-allow-origin: upstream")
	send(c, "OPTIONS", "origin: http://a\r\n").Want(t, 204, "access-control-allow-origin: http://a", "access-control-allow-methods: ")
	const asked = "access-control-request-method: GET\r\n"
	send(c, "OPTIONS", "origin: http://b\r\n"+asked).Want(t, 204, "access-control-allow-origin: upstream")
	n := len(u.Heads())
	send(c, "OPTIONS", "origin: http://a\r\n"+asked+"access-control-request-private-network: true\r\n").Want(t, 200, "access-control-allow-origin: http://a", "access-control-allow-methods: GET",
		"access-control-allow-headers: h", "access-control-max-age: 5", "access-control-allow-private-network: true", "access-control-expose-headers: e", "content-length: 0")
	send(c, "OPTIONS", "origin: http://a\r\n"+asked).Want(t, 200, "access-control-allow-private-network: ")
	if len(u.Heads()) != n {
		t.Error("the upstream was asked what the filter answers")
	}
	p.WantStat("http.http.cors.origin_valid", 4)
	p.WantStat("http.http.cors.origin_invalid", 2)
}

// What a route leaves open its virtual host says; what nobody says is not allowed.
func TestPoliciesMerge(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), filter, e2e.Override("cors", "cors.v3.CorsPolicy", policy)+"\nroutes: [{match: {prefix: /}, route: {cluster: up}, "+
		e2e.Override("cors", "cors.v3.CorsPolicy", "expose_headers: r, allow_credentials: false")+"}]")
	p.Dial().Get("/", "origin: http://a").Want(t, 200, "access-control-allow-origin: http://a", "access-control-expose-headers: r", "access-control-allow-credentials: ")
	p = e2e.Filtered(t, e2e.Echo(t), filter, e2e.All)
	p.Dial().Get("/", "origin: http://a").Want(t, 200, "access-control-allow-origin: ")
}
