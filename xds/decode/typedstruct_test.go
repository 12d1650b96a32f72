package decode

import (
	"fmt"
	"regexp"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
)

// TestTypedStructEverywhere writes every extension of a listener as a TypedStruct, in both spellings, and wants the same listener.
func TestTypedStructEverywhere(t *testing.T) {
	const text = `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 1}}
access_log: [{name: a, typed_config: EXT envoy.extensions.access_loggers.file.v3.FileAccessLog {path: /dev/null, log_format: {text_format_source: {inline_string: "x"}}} END}]
listener_filters: [{name: i, typed_config: EXT envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector {max_client_hello_size: 2000} END}]
filter_chains:
- transport_socket: {name: t, typed_config: EXT envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext {common_tls_context: {alpn_protocols: [a], tls_certificate_sds_secret_configs: [{name: s, sds_config: {path: /dev/null}}]}} END}
  filters:
  - {name: x, typed_config: EXT envoy.tcp.metadataexchange.config.MetadataExchange {protocol: istio-peer-exchange} END}
  - name: h
    typed_config: EXT envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      {stat_prefix: in,
      http_filters: [{name: f, typed_config: EXT envoy.extensions.filters.http.buffer.v3.Buffer {max_request_bytes: 7} END}, {name: r, typed_config: EXT envoy.extensions.filters.http.router.v3.Router {suppress_envoy_headers: true} END}],
      route_config: {virtual_hosts: [{name: v, domains: ["*"], typed_per_filter_config: {f: EXT envoy.extensions.filters.http.buffer.v3.BufferPerRoute {disabled: true} END},
        routes: [{match: {prefix: /}, direct_response: {status: 200}, typed_per_filter_config: {f: EXT envoy.config.route.v3.FilterConfig {disabled: true} END}}]}]}} END
`
	type spelling struct{ before, after string }
	begin, end := regexp.MustCompile(`EXT ([\w.]+)\s+\{`), regexp.MustCompile(`\} END`)
	var first *config.Listener
	for _, s := range []spelling{
		{`{"@type": type.googleapis.com/%s, `, "}"},
		{`{"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/%s, value: {`, "}}"},
		{`{"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/%s, value: {`, "}}"},
	} {
		yaml := begin.ReplaceAllStringFunc(text, func(m string) string { return fmt.Sprintf(s.before, begin.FindStringSubmatch(m)[1]) })
		yaml = end.ReplaceAllString(yaml, s.after)
		l, err := New([]filters.Spec{fake}, Options{}).Listener(parse(t, yaml, &listenerv3.Listener{}))
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		if first == nil {
			first = l
			continue
		}
		l.Outer, first.Outer = config.Hash{}, config.Hash{}
		for _, c := range []*config.Listener{l, first} {
			for _, chain := range c.Chains {
				chain.ID = ""
			}
		}
		if !sameConfig(first, l) {
			t.Errorf("another listener from\n%s", yaml)
		}
	}
}
