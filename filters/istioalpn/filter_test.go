package istioalpn_test

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	alpnv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"

	"github.com/weftmesh/weft/filters/istioalpn"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
)

// listener takes note of what each connection offers, and serves HTTP/1, or listens only.
func listener(t *testing.T, serves bool) (*e2e.Upstream, func() []string) {
	own := authority.New(t, t.TempDir()).Issue("own", []string{"own.test"}, nil)
	var mu sync.Mutex
	var offers []string
	up := e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{own}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		offers = append(offers, strings.Join(h.SupportedProtos, " "))
		return nil, nil
	}}, func(u *e2e.Upstream, c *e2e.Conn) {
		if !serves {
			io.Copy(io.Discard, c.Conn)
			return
		}
		for u.Take(c) {
			c.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		}
	}))
	return up, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(offers)
	}
}

const filter = `- {name: istio.alpn, typed_config: {"@type": type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig,
  alpn_override: [{alpn_override: [istio-http/1.0, istio, http/1.0]}, {upstream_protocol: HTTP11, alpn_override: [istio-http/1.1, istio, http/1.1]}, {upstream_protocol: HTTP11, alpn_override: [never]}]}}`

const asDownstream = `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {http_protocol_options: {}}}}`

// A connection is used again by requests that would have offered the same on it, and by no other.
func TestConnectionsAreKeptApart(t *testing.T) {
	up, offers := listener(t, true)
	p := e2e.Start(t, e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(e2e.All, "http_protocol_options: {accept_http_10: true}"), e2e.Cluster("up", up.Port, e2e.UpstreamTLS("alpn_protocols: [istio]", "")+"\n"+asDownstream)), filter))
	ask := func(version string) {
		t.Helper()
		p.Dial().Send("GET / HTTP/"+version+"\r\nhost: a\r\n\r\n").Read("GET").Want(t, 200)
	}
	for _, version := range []string{"1.1", "1.0", "1.1", "1.0", "1.1"} {
		ask(version)
	}
	if got, want := offers(), []string{"istio-http/1.1 istio http/1.1", "istio-http/1.0 istio http/1.0"}; !slices.Equal(got, want) {
		t.Errorf("offered %q, want %q", got, want)
	}
}

// What a cluster says holds where it says so, or where nothing is configured for its version.
func TestLeavesOffersAlone(t *testing.T) {
	for name, more := range map[string]string{
		"by metadata": `metadata: {filter_metadata: {istio: {alpn_override: "false"}}}`,
		"by version":  "http2_protocol_options: {}",
	} {
		up, offers := listener(t, false)
		p := e2e.Start(t, e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(e2e.All), e2e.Cluster("up", up.Port, e2e.UpstreamTLS("alpn_protocols: [mine]", "")+"\n"+more)), filter))
		p.Dial().Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		p.Eventually("a connection", func() bool { return len(offers()) > 0 })
		if got := offers()[0]; got != "mine" {
			t.Errorf("%s: offered %q", name, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"alpnOverride": [{"alpnOverride": [""]}]}`:                                      "alpn_override[0].alpn_override[0]: ",
		`{"alpnOverride": [{"alpnOverride": ["a\u0001"]}]}`:                               "alpn_override[0].alpn_override[0]: ",
		`{"alpnOverride": [{"alpnOverride": ["a", "` + strings.Repeat("b", 256) + `"]}]}`: "alpn_override[0].alpn_override[1]: ",
		`{"alpnOverride": [{"alpnOverride": [` + strings.Repeat(`"a", `, 32) + `"a"]}]}`:  "alpn_override[0].alpn_override: ",
		`{"alpnOverride": [{"upstreamProtocol": "HTTP2", "alpnOverride": ["h2"]}, {}]}`:   "",
	} {
		var m alpnv3.FilterConfig
		if err := protojson.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		switch _, err := istioalpn.Spec().Decode(wire); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%.80s: %v, want %s", text, err, want)
		}
	}
}
