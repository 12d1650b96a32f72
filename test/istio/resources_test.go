package istio

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
)

// parse reads a resource from YAML.
func parse[M proto.Message](t testing.TB, text string, m M) M {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

// wrapped is a message as Istio writes its own: as an object that names its type; new is the spelling of xDS, else that of UDPA.
func wrapped(name, message, value string, new bool) string {
	as := "udpa.type.v1.TypedStruct"
	if new {
		as = "xds.type.v3.TypedStruct"
	}
	return fmt.Sprintf(`{name: %s, typed_config: {"@type": type.googleapis.com/%s, type_url: type.googleapis.com/%s, value: {%s}}}`, name, as, message, value)
}

func typed(name, message, fields string) string {
	return fmt.Sprintf(`{name: %s, typed_config: {"@type": type.googleapis.com/envoy.extensions.%s, %s}}`, name, message, fields)
}

// sds are a certificate of ours and those that are trusted, from the agent.
const sds = `{api_config_source: {api_type: GRPC, set_node_on_first_message_only: true, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}, initial_fetch_timeout: 0s, resource_api_version: V3}`

// context is what both sides' TLS has in common.
func context(alpn, names string) string {
	return `alpn_protocols: [` + alpn + `], tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}, tls_certificate_sds_secret_configs: [{name: default, sds_config: ` + sds + `}], ` +
		`combined_validation_context: {default_validation_context: {match_subject_alt_names: [` + names + `]}, validation_context_sds_secret_config: {name: ROOTCA, sds_config: ` + sds + `}}`
}

// logs are access logs, in one file for each chain.
func logs(chain, format string) string {
	return `access_log: [` + typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", `path: ./`+chain+`.log, log_format: {text_format_source: {inline_string: "`+format+`\n"}}`) + `]`
}

const (
	exchange = `protocol: istio-peer-exchange, enable_discovery: true`
	stats    = `disable_host_header_fallback: true, tcp_reporting_duration: 5s, metrics: [{name: requests_total, dimensions: {a: request.host}}]`
	grpcKept = `emit_filter_state: true, stats_for_all_methods: false`
	tracing  = `tracing: {client_sampling: {value: 100}, random_sampling: {value: 1}, overall_sampling: {value: 100}, custom_tags: [{tag: istio.mesh_id, literal: {value: m}}]}`
)

// inbound is virtualInbound for a port that is PERMISSIVE and whose protocol is not known; to is the port of the application.
func inbound(t testing.TB, port, to int) []types.Resource {
	http := func(log string) string {
		return typed("envoy.filters.network.http_connection_manager", "filters.network.http_connection_manager.v3.HttpConnectionManager", strings.Join([]string{
			`stat_prefix: inbound_0.0.0.0_8080;`,
			`route_config: {name: "inbound|8080||", validate_clusters: false, virtual_hosts: [{name: "inbound|http|8080", domains: ["*"], routes: [{name: default, match: {prefix: /}, decorator: {operation: "echo.default.svc.cluster.local:8080/*"}, route: {cluster: "inbound|8080||", timeout: 0s, max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 0s}}}]}]}`,
			`http_filters: [` + strings.Join([]string{
				wrapped("istio.metadata_exchange", "io.istio.http.peer_metadata.Config", `downstream_discovery: [{istio_headers: {}}, {workload_discovery: {}}], downstream_propagation: [{istio_headers: {}}]`, true),
				typed("envoy.filters.http.grpc_stats", "filters.http.grpc_stats.v3.FilterConfig", grpcKept),
				typed("envoy.filters.http.fault", "filters.http.fault.v3.HTTPFault", ""),
				typed("envoy.filters.http.cors", "filters.http.cors.v3.Cors", ""),
				wrapped("istio.stats", "stats.PluginConfig", stats, false),
				typed("envoy.filters.http.router", "filters.http.router.v3.Router", ""),
			}, ", ") + `]`,
			`server_name: istio-envoy, use_remote_address: false, forward_client_cert_details: APPEND_FORWARD, set_current_client_cert_details: {subject: true, dns: true, uri: true}`,
			`upgrade_configs: [{upgrade_type: websocket}], stream_idle_timeout: 0s, normalize_path: true, proxy_100_continue: true`,
			`request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, use_request_id_for_trace_sampling: true}}`,
			logs(log, `%FILTER_CHAIN_NAME% %DOWNSTREAM_PEER_URI_SAN% %FILTER_STATE(downstream_peer_obj:PLAIN)% %FILTER_STATE(downstream_peer)%`),
		}, ", "))
	}
	tcp := func(log string) string {
		return wrapped("istio.stats", "stats.PluginConfig", stats, true) + ", " + typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
			`stat_prefix: "inbound|8080||", cluster: "inbound|8080||", `+logs(log, `%FILTER_CHAIN_NAME% %DOWNSTREAM_PEER_URI_SAN%`))
	}
	mutual := func(alpn string) string {
		return `, transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, common_tls_context: {` +
			context(alpn, `{prefix: "spiffe://cluster.local/"}`) + `}}}`
	}
	chain := func(name, match, filters, more string) string {
		return `{name: ` + name + `, filter_chain_match: {` + match + `}, filters: [` + wrapped("istio.metadata_exchange", "envoy.tcp.metadataexchange.config.MetadataExchange", exchange, false) + `, ` + filters + `]` + more + `}`
	}
	const overHTTP, overTCP, plain = `transport_protocol: tls, application_protocols: [istio-http/1.0, istio-http/1.1, istio-h2]`, `transport_protocol: tls, application_protocols: [istio-peer-exchange, istio]`, `transport_protocol: raw_buffer`
	listener := fmt.Sprintf(`
name: virtualInbound
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
traffic_direction: INBOUND
continue_on_listener_filters_timeout: true
listener_filters_timeout: 0s
max_connections_to_accept_per_socket_event: 1
listener_filters:
- {name: envoy.filters.listener.original_dst, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
- {name: envoy.filters.listener.tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector, initial_read_buffer_size: 512}, filter_disabled: {destination_port_range: {start: 15006, end: 15007}}}
- {name: envoy.filters.listener.http_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}, filter_disabled: {or_match: {rules: [{destination_port_range: {start: 7070, end: 7071}}, {destination_port_range: {start: 15006, end: 15007}}]}}}
filter_chains:
- %s
- %s
- %s
- %s
- %s
- %s
`, port,
		chain("virtualInbound-blackhole", "destination_port: 15006", typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", `stat_prefix: BlackHoleCluster, cluster: BlackHoleCluster`), ""),
		chain("http-mutual", overHTTP, http("http-mutual"), mutual("h2, http/1.1")),
		chain("http-plain", plain+", application_protocols: [http/1.1, h2c]", http("http-plain"), ""),
		chain("tcp-mutual", overTCP, tcp("tcp-mutual"), mutual("istio-peer-exchange, h2, http/1.1")),
		chain("tcp-plain", plain, tcp("tcp-plain"), ""),
		chain("tcp-through", "transport_protocol: tls", tcp("tcp-through"), ""))
	return []types.Resource{
		parse(t, listener, &listenerv3.Listener{}),
		parse(t, fmt.Sprintf(`{name: "inbound|8080||", type: STATIC, connect_timeout: 10s, common_lb_config: {}, `+asDownstream+`, metadata: {filter_metadata: {istio: {services: [{host: echo.default.svc.cluster.local, name: echo, namespace: default}]}}},
load_assignment: {cluster_name: "inbound|8080||", endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}}`, to), &clusterv3.Cluster{}),
		parse(t, `{name: InboundPassthroughCluster, type: ORIGINAL_DST, connect_timeout: 10s, lb_policy: CLUSTER_PROVIDED, `+asDownstream+`, upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}, extra_source_addresses: [{address: {address: "::6", port_value: 0}}]}}`, &clusterv3.Cluster{}),
		parse(t, `{name: BlackHoleCluster, type: STATIC, connect_timeout: 10s}`, &clusterv3.Cluster{}),
	}
}

const asDownstream = `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}}}`

const fromADS = `{ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}`

// outbound is a listener of a port whose requests go to a peer: those for echo with the token of what they speak, those for silent without.
func outbound(t testing.TB, port, through, to int) []types.Resource {
	passthrough := `[` + typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", `stat_prefix: PassthroughCluster, cluster: PassthroughCluster`) + `]`
	list := []types.Resource{
		parse(t, fmt.Sprintf(`
name: 0.0.0.0_8080
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
traffic_direction: OUTBOUND
continue_on_listener_filters_timeout: true
listener_filters_timeout: 0s
listener_filters: [{name: envoy.filters.listener.http_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}]
default_filter_chain: {name: PassthroughFilterChain, filters: %s}
filter_chains:
- filter_chain_match: {transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c]}
  transport_socket_connect_timeout: 15s
  filters:
  - %s
`, port, passthrough, typed("envoy.filters.network.http_connection_manager", "filters.network.http_connection_manager.v3.HttpConnectionManager", strings.Join([]string{
			`stat_prefix: outbound_0.0.0.0_8080;, rds: {route_config_name: "8080", config_source: ` + fromADS + `}`,
			`http_filters: [` + strings.Join([]string{
				wrapped("istio.metadata_exchange", "io.istio.http.peer_metadata.Config", `upstream_discovery: [{istio_headers: {}}, {workload_discovery: {}}], upstream_propagation: [{istio_headers: {skip_external_clusters: true}}]`, false),
				typed("envoy.filters.http.grpc_stats", "filters.http.grpc_stats.v3.FilterConfig", grpcKept),
				`{name: istio.alpn, typed_config: {"@type": type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig, alpn_override: [{alpn_override: [istio-http/1.0, istio, http/1.0]}, {upstream_protocol: HTTP11, alpn_override: [istio-http/1.1, istio, http/1.1]}, {upstream_protocol: HTTP2, alpn_override: [istio-h2, istio, h2]}]}}`,
				typed("envoy.filters.http.fault", "filters.http.fault.v3.HTTPFault", ""),
				typed("envoy.filters.http.cors", "filters.http.cors.v3.Cors", ""),
				wrapped("istio.stats", "stats.PluginConfig", "", true),
				typed("envoy.filters.http.router", "filters.http.router.v3.Router", ""),
			}, ", ") + `]`,
			`use_remote_address: false, normalize_path: true, stream_idle_timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]`,
			tracing,
			logs("outbound", `%UPSTREAM_CLUSTER% %FILTER_STATE(upstream_peer_obj:PLAIN)%`),
		}, ", "))), &listenerv3.Listener{}),
		parse(t, fmt.Sprintf(`
name: virtualOutbound
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
use_original_dst: true
traffic_direction: OUTBOUND
filter_chains:
- {name: virtualOutbound-blackhole, filter_chain_match: {destination_port: 15001}, filters: [%s]}
- {name: virtualOutbound-catchall-tcp, filters: %s}
`, through, typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", `stat_prefix: BlackHoleCluster, cluster: BlackHoleCluster`), passthrough), &listenerv3.Listener{}),
		parse(t, `{name: "8080", validate_clusters: false, ignore_port_in_host_matching: true, max_direct_response_body_size_bytes: 1048576, virtual_hosts: [`+
			routed("echo")+", "+routed("silent")+`, {name: allow_any, domains: ["*"], routes: [{name: allow_any, match: {prefix: /}, route: {cluster: PassthroughCluster, timeout: 0s, max_grpc_timeout: 0s}}], include_request_attempt_count: true}]}`, &routev3.RouteConfiguration{}),
		parse(t, `{name: PassthroughCluster, type: ORIGINAL_DST, connect_timeout: 10s, lb_policy: CLUSTER_PROVIDED, `+asDownstream+`, circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295, track_remaining: true}]}, filters: [`+
			wrapped("istio.metadata_exchange", "envoy.tcp.metadataexchange.config.MetadataExchange", exchange, false)+`]}`, &clusterv3.Cluster{}),
		parse(t, `{name: BlackHoleCluster, type: STATIC, connect_timeout: 10s}`, &clusterv3.Cluster{}),
	}
	for name, said := range map[string]string{"echo": "", "silent": `, alpn_override: "false"`} {
		cluster := "outbound|8080||" + name + ".default.svc.cluster.local"
		list = append(list,
			parse(t, `{name: "`+cluster+`", type: EDS, connect_timeout: 10s, lb_policy: LEAST_REQUEST, eds_cluster_config: {eds_config: `+fromADS+`, service_name: "`+cluster+`"}, metadata: {filter_metadata: {istio: {services: [{host: `+name+`, name: `+name+`, namespace: default}]`+said+`}}},
circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295, track_remaining: true}]}, filters: [`+
				wrapped("istio.metadata_exchange", "envoy.tcp.metadataexchange.config.MetadataExchange", exchange, true)+`],
transport_socket_matches: [{name: tlsMode-istio, match: {tlsMode: istio}, transport_socket: `+
				wrapped("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", `sni: outbound_.8080_._.`+name+`.default.svc.cluster.local, common_tls_context: {`+
					context("istio-peer-exchange, istio", `{exact: "spiffe://cluster.local/ns/default/sa/echo"}`)+`}`, false)+`}, {name: tlsMode-disabled, match: {}, transport_socket: `+
				wrapped("envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", "", true)+`}]}`, &clusterv3.Cluster{}),
			parse(t, fmt.Sprintf(`{cluster_name: "%s", endpoints: [{locality: {region: r1, zone: z1}, load_balancing_weight: 1, lb_endpoints: [{health_status: HEALTHY, load_balancing_weight: 1, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}},
metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: istio}, istio: {workload: "echo;default;echo;v7;Kubernetes"}}}}]}]}`, cluster, to), &endpointv3.ClusterLoadAssignment{}))
	}
	return list
}

func routed(name string) string {
	return `{name: "` + name + `.default.svc.cluster.local:8080", domains: [` + name + `.default.svc.cluster.local, ` + name + `], include_request_attempt_count: true, routes: [{name: default, match: {prefix: /}, decorator: {operation: x}, ` +
		`route: {cluster: "outbound|8080||` + name + `.default.svc.cluster.local", timeout: 0s, max_grpc_timeout: 0s, retry_policy: {retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", num_retries: 2, host_selection_retry_max_attempts: 5, ` +
		`retry_host_predicate: [` + typed("envoy.retry_host_predicates.previous_hosts", "retry.host.previous_hosts.v3.PreviousHostsPredicate", "") + `]}}}]}`
}

// secrets are what the agent serves.
func secrets(t testing.TB, chain, key, roots string) []types.Resource {
	return []types.Resource{
		parse(t, fmt.Sprintf(`{name: default, tls_certificate: {certificate_chain: {inline_string: %q}, private_key: {inline_string: %q}}}`, chain, key), &tlsv3.Secret{}),
		parse(t, fmt.Sprintf(`{name: ROOTCA, validation_context: {trusted_ca: {inline_string: %q}}}`, roots), &tlsv3.Secret{}),
	}
}
