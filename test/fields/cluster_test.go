package fields

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/test/e2e"
)

var clusterTrials = []trial{
	{paths: "Cluster.name", site: func(p string) string { return replaced(missing(""), "- name: up\n", "- name: "+p+"\n") }, base: "other", flip: "gone", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "Cluster.alt_stat_name", site: cluster, flip: "alt_stat_name: other", probe: look("GET /", "#cluster.up.upstream_rq_total", "#cluster.other.upstream_rq_total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "Cluster.type=EDS Cluster.type=STATIC", site: eds, base: "type: STATIC", flip: "type: EDS, eds_cluster_config: {eds_config: {" + file + "some.yaml\"}}}", files: map[string]string{"some.yaml": someone}, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "EdsClusterConfig.service_name", site: eds, base: "type: EDS, eds_cluster_config: {service_name: other, eds_config: {" + file + "some.yaml\"}}}", flip: "type: EDS, eds_cluster_config: {service_name: up, eds_config: {" + file + "some.yaml\"}}}", files: map[string]string{"some.yaml": someone}, probe: served, want: [2]string{"false", "true"}},
	{paths: "PathConfigSource.path", site: source, base: file + "none.yaml\"}", flip: file + "some.yaml\"}", files: map[string]string{"some.yaml": someone, "none.yaml": nobody}, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "ConfigSource.path", site: source, base: "path: \"@DIR@/none.yaml\"", flip: "path: \"@DIR@/some.yaml\"", files: map[string]string{"some.yaml": someone, "none.yaml": nobody}, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "WatchedDirectory.path", site: source, base: file + "some.yaml\", watched_directory: {path: \"@DIR@\"}}", flip: file + "some.yaml\", watched_directory: {path: \"@DIR@/gone\"}}", files: map[string]string{"some.yaml": someone}, probe: served, want: [2]string{"true", "false"}},
	{paths: "ClusterLoadAssignment.cluster_name", site: edsPiece, base: "cluster_name: up", flip: "cluster_name: other", resource: &endpointv3.ClusterLoadAssignment{}, probe: served, want: [2]string{"true", "false"}},
	{paths: "RouteConfiguration.name", site: rdsLocal, base: "name: local", flip: "name: other", resource: &routev3.RouteConfiguration{}, probe: served, want: [2]string{"true", "false"}},
	{paths: "Rds.config_source", site: func(p string) string { return replaced(rds("route_config_name: local"), "piece", p) }, base: "none", flip: "routes", files: map[string]string{"none.yaml": routesFile + "\n  virtual_hosts: []", "routes.yaml": routesFile + "\n  virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]"}, probe: look("GET /", "status"), want: [2]string{"404", "200"}},
	{paths: "Rds.route_config_name", site: func(p string) string { return strings.Replace(rds(p), "piece.yaml", "routes.yaml", 1) }, base: "route_config_name: local", flip: "route_config_name: other", files: map[string]string{"routes.yaml": routesFile}, probe: served, want: [2]string{"true", "false"}},
	{paths: "Cluster.connect_timeout", site: cluster, flip: "connect_timeout: 0.05s", up: full, probe: look("GET /", "body"), want: [2]string{"stream timeout", "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"}},
	{paths: "Cluster.per_connection_buffer_limit_bytes", site: func(p string) string {
		return replaced(cluster(p), "stream_idle_timeout: 1s", "stream_idle_timeout: 9s")
	}, base: "per_connection_buffer_limit_bytes: 67108864", flip: "per_connection_buffer_limit_bytes: 65536", up: deaf, probe: upload, want: [2]string{"all", "held"}},
	{paths: "Cluster.lb_policy=RANDOM", site: twoHosts, flip: "lb_policy: RANDOM,", up: everywhere, probe: func(w *world) string {
		_, order := hosts(w, 60, false)
		return fmt.Sprint(strings.Contains(order, "11") || strings.Contains(order, "22"))
	}, want: [2]string{"false", "true"}},
	{paths: "Cluster.lb_policy=LEAST_REQUEST", site: twoHosts, base: "lb_policy: RANDOM,", flip: "lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 10},", up: everywhere, probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LeastRequestLbConfig.choice_count", site: twoHosts, base: "lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 2},", flip: "lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 10},", up: everywhere, probe: fewer, want: [2]string{"false", "true"}},
	{paths: "RuntimeDouble.default_value", site: twoHosts, base: "lb_policy: LEAST_REQUEST, least_request_lb_config: {active_request_bias: {runtime_key: k, default_value: 0}}, weight 2", flip: "lb_policy: LEAST_REQUEST, least_request_lb_config: {active_request_bias: {runtime_key: k, default_value: 9}}, weight 2", up: everywhere, probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LbEndpoint.load_balancing_weight", site: twoHosts, base: "weight 2", flip: "weight 9", up: everywhere, probe: func(w *world) string {
		counts, _ := hosts(w, 200, false)
		return fmt.Sprint(counts["127.0.0.1"] > 160)
	}, want: [2]string{"false", "true"}},
	{paths: "Percent.value", site: func(p string) string {
		return replaced(endpoints("lb_endpoints: [{health_status: UNHEALTHY, "+here+"}]"), "{value: 0}", "{value: "+p+"}")
	}, base: "0", flip: "50", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "health_status=HEALTHY health_status=UNHEALTHY", site: endpoints, base: "lb_endpoints: [{health_status: UNHEALTHY, " + here + "}]", flip: "lb_endpoints: [{health_status: HEALTHY, " + here + "}]", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "health_status=DRAINING", site: endpoints, base: "lb_endpoints: [{" + here + "}]", flip: "lb_endpoints: [{health_status: DRAINING, " + here + "}]", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "health_status=TIMEOUT", site: endpoints, base: "lb_endpoints: [{" + here + "}]", flip: "lb_endpoints: [{health_status: TIMEOUT, " + here + "}]", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "Locality.region", site: endpoints, base: "locality: {region: a}, lb_endpoints: [{" + here + "}]", flip: "locality: {region: b}, lb_endpoints: [{" + here + "}]", probe: line("region"), want: [2]string{"a", "b"}},
	{paths: "Locality.zone", site: endpoints, base: "locality: {zone: a}, lb_endpoints: [{" + here + "}]", flip: "locality: {zone: b}, lb_endpoints: [{" + here + "}]", probe: line("zone"), want: [2]string{"a", "b"}},
	{paths: "Locality.sub_zone", site: endpoints, base: "locality: {sub_zone: a}, lb_endpoints: [{" + here + "}]", flip: "locality: {sub_zone: b}, lb_endpoints: [{" + here + "}]", probe: line("sub_zone"), want: [2]string{"a", "b"}},
	{paths: "Endpoint.hostname", site: endpoints, base: "lb_endpoints: [{endpoint: {hostname: a, address: {pipe: {path: /p}}}}]", flip: "lb_endpoints: [{endpoint: {hostname: b, address: {pipe: {path: /p}}}}]", probe: line("hostname"), want: [2]string{"a", "b"}},
	{paths: "SocketAddress.address", site: endpoints, base: "lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.9, port_value: @PORT@}}}}]", flip: "lb_endpoints: [{" + here + "}]", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "SocketAddress.port_value", site: endpoints, base: "lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 7}}}}]", flip: "lb_endpoints: [{" + here + "}]", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "CircuitBreakers.Thresholds.max_requests", site: thresholds, flip: "max_requests: 0", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "CircuitBreakers.Thresholds.max_pending_requests", site: thresholds, flip: "max_pending_requests: 0", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "CircuitBreakers.Thresholds.max_connections", site: thresholds, flip: "max_connections: 1", up: silent, probe: both, want: [2]string{"two", "overflow"}},
	{paths: "CircuitBreakers.Thresholds.max_retries", site: thresholds, base: "track_remaining: true", flip: "track_remaining: true, max_retries: 7", probe: look("GET /", "#cluster.up.circuit_breakers.default.remaining_retries"), want: [2]string{"3", "7"}},
	{paths: "CircuitBreakers.Thresholds.track_remaining", site: thresholds, flip: "track_remaining: true", probe: look("GET /", "#cluster.up.circuit_breakers.default.remaining_rq"), want: [2]string{"-1", "1024"}},
	{paths: "CircuitBreakers.Thresholds.retry_budget", site: thresholds, base: "track_remaining: true, max_retries: 7", flip: "track_remaining: true, max_retries: 7, retry_budget: {}", probe: look("GET /", "#cluster.up.circuit_breakers.default.remaining_retries"), want: [2]string{"7", "3"}},
	{paths: "RetryBudget.min_retry_concurrency", site: thresholds, base: "track_remaining: true, retry_budget: {}", flip: "track_remaining: true, retry_budget: {min_retry_concurrency: 9}", probe: look("GET /", "#cluster.up.circuit_breakers.default.remaining_retries"), want: [2]string{"3", "9"}},
	{paths: "RetryBudget.budget_percent", site: thresholds, base: "track_remaining: true, retry_budget: {min_retry_concurrency: 0}", flip: "track_remaining: true, retry_budget: {min_retry_concurrency: 0, budget_percent: {value: 100}}", up: everywhere, probe: budget, want: [2]string{"0", "2"}},
	{paths: "CircuitBreakers.Thresholds@host.max_connections", site: perHost, flip: "max_connections: 1", up: silent, probe: both, want: [2]string{"two", "overflow"}},
	{paths: "CircuitBreakers.Thresholds@host.priority=HIGH", site: perHost, base: "max_connections: 1", flip: "priority: HIGH, max_connections: 1", up: silent, probe: both, want: [2]string{"overflow", "two"}},
	{paths: "CircuitBreakers.Thresholds.priority=HIGH", site: thresholds, base: "max_requests: 0", flip: "priority: HIGH, max_requests: 0", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "RouteAction.priority=HIGH", site: func(p string) string {
		return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, "+p+"}}]"), upCluster("circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 0}]}"))
	}, flip: "priority: HIGH", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "Cluster.max_requests_per_connection", site: cluster, flip: "max_requests_per_connection: 1", probe: twice, want: [2]string{"1", "2"}},
	{paths: "HttpProtocolOptions@upstream.max_requests_per_connection", site: commonUp, flip: "max_requests_per_connection: 1", probe: twice, want: [2]string{"1", "2"}},
	{paths: "HttpProtocolOptions@upstream.idle_timeout", site: commonUp, flip: "idle_timeout: 0.05s", probe: soon("GET /", "cluster.up.upstream_cx_idle_timeout", 1), want: [2]string{"no", "yes"}},
	{paths: "HttpProtocolOptions@upstream.max_connection_duration", site: commonUp, flip: "max_connection_duration: 0.05s", probe: soon("GET /", "cluster.up.upstream_cx_max_duration_reached", 1), want: [2]string{"no", "yes"}},
	{paths: "HttpProtocolOptions@upstream.max_stream_duration", site: commonUp, flip: "max_stream_duration: 0.05s", up: silent, probe: look("GET /", "status", "body"), want: [2]string{"504|stream timeout", "504|upstream max stream duration reached"}},
	{paths: "HttpProtocolOptions@upstream.max_headers_count", site: commonUp, flip: "max_headers_count: 3", up: answer("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nc: 3\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "status"), want: [2]string{"200", "502"}},
	{paths: "HttpProtocolOptions@upstream.max_response_headers_kb", site: commonUp, flip: "max_response_headers_kb: 1", up: answer("HTTP/1.1 200 OK\r\na: " + kib + "\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "status"), want: [2]string{"200", "502"}},
	{paths: "Cluster.common_http_protocol_options", site: cluster, flip: "common_http_protocol_options: {max_headers_count: 3}", up: answer("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nc: 3\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "status"), want: [2]string{"200", "502"}},
	{paths: "Http1ProtocolOptions@upstream.allow_chunked_length", site: http1Up, flip: "allow_chunked_length: true", up: answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), probe: look("GET /", "status"), want: [2]string{"502", "200"}},
	{paths: "Http1ProtocolOptions@upstream.enable_trailers", site: http1Up, flip: "enable_trailers: true", up: answer(trail), probe: has("x-t: v", wire("GET /", "\r\n\r\n")), want: [2]string{"false", "true"}},
	{paths: "Cluster.http_protocol_options", site: cluster, flip: "http_protocol_options: {header_key_format: {proper_case_words: {}}}", probe: has("\r\nHost: ", look("GET /", "sent")), want: [2]string{"false", "true"}},
	{paths: "UseDownstreamHttpConfig.http_protocol_options", site: options, base: "use_downstream_protocol_config: {}", flip: "use_downstream_protocol_config: {http_protocol_options: {header_key_format: {proper_case_words: {}}}}", probe: has("\r\nHost: ", look("GET /", "sent")), want: [2]string{"false", "true"}},
	{paths: "PreserveCaseFormatterConfig@upstream.forward_reason_phrase", site: http1Up, base: preserve(""), flip: preserve(", forward_reason_phrase: true"), up: answer("HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "reason"), want: [2]string{"HTTP/1.1 200 OK", "HTTP/1.1 200 Fine"}},
	{paths: "Cluster.upstream_bind_config BindConfig.source_address", site: cluster, flip: "upstream_bind_config: {source_address: {address: 127.0.0.7, port_value: 0}}", up: peer, probe: look("GET /", "body"), want: [2]string{"127.0.0.1", "127.0.0.7"}},
	{paths: "ClusterManager.upstream_bind_config", site: binds, base: "cluster_manager: {upstream_bind_config: {source_address: {address: 127.0.0.8, port_value: 0}}}", flip: "cluster_manager: {upstream_bind_config: {source_address: {address: 127.0.0.7, port_value: 0}}}", up: peer, probe: look("GET /", "body"), want: [2]string{"127.0.0.8", "127.0.0.7"}},
	{paths: "BindConfig.extra_source_addresses", site: cluster, base: "upstream_bind_config: {source_address: {address: \"::1\", port_value: 0}}", flip: "upstream_bind_config: {source_address: {address: \"::1\", port_value: 0}, extra_source_addresses: [{address: {address: 127.0.0.7, port_value: 0}}]}", up: peer, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "ExtraSourceAddress.address", site: cluster, base: "upstream_bind_config: {source_address: {address: \"::1\", port_value: 0}, extra_source_addresses: [{address: {address: 127.0.0.8, port_value: 0}}]}", flip: "upstream_bind_config: {source_address: {address: \"::1\", port_value: 0}, extra_source_addresses: [{address: {address: 127.0.0.7, port_value: 0}}]}", up: peer, probe: look("GET /", "body"), want: [2]string{"127.0.0.8", "127.0.0.7"}},
	{paths: "BindConfig.freebind", site: cluster, base: "upstream_bind_config: {source_address: {address: 127.0.0.7, port_value: 0}}", flip: "upstream_bind_config: {freebind: true, source_address: {address: 127.0.0.7, port_value: 0}}", probe: connectedAt(unix.IPPROTO_IP, unix.IP_FREEBIND), want: [2]string{"0", "1"}},
	{paths: "BindConfig.socket_options SocketOption@upstream.int_value SocketOption@upstream.level SocketOption@upstream.name", site: cluster, base: "upstream_bind_config: {}", flip: "upstream_bind_config: {socket_options: [{level: 6, name: 18, int_value: 7000}]}", probe: connectedAt(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), want: [2]string{"0", "7000"}},
	{paths: "TcpKeepalive.keepalive_probes", site: cluster, base: keep + "keepalive_probes: 3}}", flip: keep + "keepalive_probes: 4}}", probe: connected(unix.TCP_KEEPCNT), want: [2]string{"3", "4"}},
	{paths: "TcpKeepalive.keepalive_time", site: cluster, base: keep + "keepalive_time: 30}}", flip: keep + "keepalive_time: 40}}", probe: connected(unix.TCP_KEEPIDLE), want: [2]string{"30", "40"}},
	{paths: "TcpKeepalive.keepalive_interval", site: cluster, base: keep + "keepalive_interval: 3}}", flip: keep + "keepalive_interval: 4}}", probe: connected(unix.TCP_KEEPINTVL), want: [2]string{"3", "4"}},
}

func preserve(more string) string {
	return `header_key_format: {stateful_formatter: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig` + more + "}}}"
}

func perHost(piece string) string {
	return cluster("circuit_breakers: {per_host_thresholds: [{" + piece + "}]}")
}

// budget is how many retries there may be while two requests are under way.
func budget(w *world) string {
	for i := range 2 {
		w.dial().Send(raw("GET /hang"))
		w.eventually("a request that hangs", func() bool { return w.stat("cluster.up.upstream_rq_active") == int64(i+1) })
	}
	return fmt.Sprint(w.stat("cluster.up.circuit_breakers.default.remaining_retries"))
}
