package e2e

import (
	"strings"
	"testing"
)

// A connection whose first bytes are awaited when its listener is replaced is served all the same, and asked to go with its answer; one that goes for good ends it.
func TestReplacedListenerWaitsForFirstBytes(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup")
	text := func(filters string) string {
		l := HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]")
		return Bootstrap(strings.Replace(l, "  filter_chains:\n", "  listener_filters: ["+filters+"]\n  filter_chains:\n", 1), Cluster("up", u.Port))
	}
	const tls = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}`
	const http = `{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}`
	p := Start(t, text(tls))
	waits := p.Dial()
	p.Eventually("the connection is there", func() bool { return p.Connections() == 1 })
	p.Change(text(tls + ", " + http))
	a := waits.Get("/")
	if a.Status != 200 || a.Body != "up" || !strings.Contains(strings.ToLower(a.Head), "connection: close") {
		t.Errorf("%+v", a)
	}
	if a := p.Dial().Get("/"); a.Status != 200 {
		t.Errorf("a new one: %+v", a)
	}
	gone := p.Dial()
	p.Eventually("another connection is there", func() bool { return p.Connections() >= 1 })
	p.Change(Bootstrap("", Cluster("up", u.Port)))
	if n, err := gone.Conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("of a listener that is gone %d bytes come", n)
	}
}
