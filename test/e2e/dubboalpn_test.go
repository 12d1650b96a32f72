package e2e

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/test/authority"
)

// Calls say by ALPN that they are Dubbo, and to peers of a mesh alone: all others get what is configured. It is so of calls that requests become, too, whatever istio.alpn says of HTTP.
func TestDubboIsOfferedInAMesh(t *testing.T) {
	own := authority.New(t, t.TempDir()).Issue("own", []string{"own.test"}, nil)
	const alpn = `- {name: istio.alpn, typed_config: {"@type": type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig, alpn_override: [{upstream_protocol: HTTP11, alpn_override: [istio-http/1.1, istio, http/1.1]}]}}
`
	for configured, want := range map[string]string{
		"alpn_protocols: [istio]":                      "weft-dubbo istio",
		"alpn_protocols: [istio-peer-exchange, istio]": "weft-dubbo istio", // the exchange is never offered
		"alpn_protocols: [mine]":                       "mine",
		"alpn_protocols: [h2, http/1.1]":               "h2 http/1.1",
		"":                                             "",
	} {
		var mu sync.Mutex
		var offers []string
		up := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{own}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			mu.Lock()
			defer mu.Unlock()
			offers = append(offers, strings.Join(h.SupportedProtos, " "))
			return nil, nil
		}}, func(_ *Upstream, c *Conn) { io.Copy(io.Discard, c.Conn) }))
		offered := func(n int) func() bool {
			return func() bool { mu.Lock(); defer mu.Unlock(); return len(offers) >= n }
		}
		secure := UpstreamTLS(configured, "")

		p := Start(t, Bootstrap(DubboListener(`- {interface: "*", routes: [{match: {}, route: {cluster: up}}]}`), Cluster("up", up.Port, secure)))
		p.Dial().Write(CallFrame(t, 1, TwoWay, "org.example.Greeter", "greet", nil, "a"))
		p.Eventually("a call has its connection", offered(1))

		p = Start(t, WithFilters(shop(up.Port, "", secure), alpn))
		p.Dial().Send("POST /shop/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
		p.Eventually("a request has its connection", offered(2))
		if mu.Lock(); !slices.Equal(offers, []string{want, want}) {
			t.Errorf("%q: offered %q, want %q twice", configured, offers, want)
		}
		mu.Unlock()
	}
}
