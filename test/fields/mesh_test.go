package fields

import (
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
)

// meshFilter is a chain with one filter of Istio's.
func meshFilter(message, fields string) string {
	return `- {name: x, typed_config: {"@type": type.googleapis.com/` + message + ", " + fields + "}}"
}

// offered are the protocols that upstreams were offered last, by their port.
var offered sync.Map

// hello is an upstream that takes note of what it is offered, and has nothing to say.
func hello(t testing.TB) *e2e.Upstream {
	own := authority.New(t, t.TempDir()).Issue("own", []string{"own.test"}, nil)
	var up *e2e.Upstream
	ready := make(chan struct{})
	up = e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{own}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		<-ready
		offered.Store(up.Port, strings.Join(h.SupportedProtos, " "))
		return nil, nil
	}}, func(u *e2e.Upstream, c *e2e.Conn) {
		io.Copy(io.Discard, c.Conn)
	}))
	close(ready)
	return up
}

// offers is what the upstream was offered for a request; of an answer nothing is asked.
func offers(w *world) string {
	w.dial().Send(raw("GET /"))
	text := ""
	w.eventually("an offer", func() bool {
		v, ok := offered.Load(w.up.Port)
		text, _ = v.(string)
		return ok
	})
	return text
}

// offering is a cluster with TLS behind the filter, whose fields are the piece; more is YAML of the cluster.
func offering(more string) func(string) string {
	return func(piece string) string {
		return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(all), upCluster(e2e.UpstreamTLS("alpn_protocols: [cluster]", "")+"\n"+more)),
			meshFilter("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", piece))
	}
}

// peers is a chain with the exchange of metadata, in a process of the workload w, whose metadata has a label.
func peers(piece string) string {
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(all), upCluster("metadata: {filter_metadata: {istio: {external: true}}}")),
		meshFilter("io.istio.http.peer_metadata.Config", piece)) + "\nnode: {id: sidecar~a, metadata: {WORKLOAD_NAME: w, LABELS: {zone: z}}}"
}

const (
	inHeaders = "[{istio_headers: {}}]"
	// introduced is a request that says of itself that it comes from the workload "v".
	introduced = "GET /; x-envoy-peer-metadata-id: b; x-envoy-peer-metadata: ChIKDVdPUktMT0FEX05BTUUSAxoBdg=="
	// own and ownLabelled are what the process says of itself.
	own         = "CgwKBkxBQkVMUxICKgAKFAoNV09SS0xPQURfTkFNRRIDGgF3"
	ownLabelled = "ChkKBkxBQkVMUxIPKg0KCwoEem9uZRIDGgF6ChQKDVdPUktMT0FEX05BTUUSAxoBdw=="
)

// introduces is an upstream that says who it is.
var introduces = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-envoy-peer-metadata-id: c\r\nx-envoy-peer-metadata: ChIKDVdPUktMT0FEX05BTUUSAxoBdg==\r\n\r\n")

var meshTrials = []trial{
	{paths: "alpn.v2alpha1.FilterConfig.alpn_override", up: hello, site: offering(""), base: "", flip: "alpn_override: [{upstream_protocol: HTTP11, alpn_override: [one, two]}]", probe: offers, want: [2]string{"cluster", "one two"}},
	{paths: "AlpnOverride.alpn_override", up: hello, site: offering(""), base: "alpn_override: [{upstream_protocol: HTTP11, alpn_override: [one]}]", flip: "alpn_override: [{upstream_protocol: HTTP11, alpn_override: [two]}]", probe: offers, want: [2]string{"one", "two"}},
	{paths: "AlpnOverride.upstream_protocol=HTTP11", up: hello, site: offering(""), base: "alpn_override: [{upstream_protocol: HTTP10, alpn_override: [one]}]", flip: "alpn_override: [{upstream_protocol: HTTP11, alpn_override: [one]}]", probe: offers, want: [2]string{"cluster", "one"}},
	{paths: "AlpnOverride.upstream_protocol=HTTP2", up: hello, site: offering("http2_protocol_options: {}"), base: "alpn_override: [{upstream_protocol: HTTP10, alpn_override: [one]}]", flip: "alpn_override: [{upstream_protocol: HTTP2, alpn_override: [one]}]", probe: offers, want: [2]string{"cluster", "one"}},

	{paths: "Config.downstream_discovery DiscoveryMethod.istio_headers", site: peers, base: "", flip: "downstream_discovery: " + inHeaders, probe: look(introduced, ">x-envoy-peer-metadata-id"), want: [2]string{"b", "-"}},
	{paths: "Config.upstream_discovery", site: peers, up: introduces, base: "", flip: "upstream_discovery: " + inHeaders, probe: look("GET /", "<x-envoy-peer-metadata-id"), want: [2]string{"c", "-"}},
	{paths: "Config.upstream_propagation PropagationMethod.istio_headers", site: peers, base: "", flip: "upstream_propagation: " + inHeaders, probe: look("GET /", ">x-envoy-peer-metadata-id"), want: [2]string{"-", "sidecar~a"}},
	{paths: "Config.downstream_propagation", site: peers, base: "downstream_discovery: " + inHeaders, flip: "downstream_discovery: " + inHeaders + ", downstream_propagation: " + inHeaders, probe: look(introduced, "<x-envoy-peer-metadata-id"), want: [2]string{"-", "sidecar~a"}},
	{paths: "IstioHeaders.skip_external_clusters", site: peers, base: "upstream_propagation: " + inHeaders, flip: "upstream_propagation: [{istio_headers: {skip_external_clusters: true}}]", probe: look("GET /", ">x-envoy-peer-metadata-id"), want: [2]string{"sidecar~a", "-"}},
	{paths: "Config.additional_labels", site: peers, base: "upstream_propagation: " + inHeaders, flip: "additional_labels: [zone], upstream_propagation: " + inHeaders, probe: look("GET /", ">x-envoy-peer-metadata"), want: [2]string{own, ownLabelled}},
}
