package fields

import (
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

const fileLog = `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "%REQ(:SCHEME)%\n"}}]`

const upgrade = "GET /; connection: upgrade; upgrade: websocket"

var (
	switches  = answer("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
	named     = answer("HTTP/1.1 200 OK\r\nserver: up\r\ncontent-length: 0\r\n\r\n")
	plain     = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	chunked   = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: v\r\n\r\n"
	bothSizes = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
)

var managerTrials = []trial{
	{paths: "HttpConnectionManager.via", site: hcm, flip: "via: me", probe: look("GET /", ">via", "<via"), want: [2]string{"-|-", "me|me"}},
	{paths: "HttpConnectionManager.add_user_agent", site: hcm, flip: "add_user_agent: true", probe: set(look("GET /", ">x-envoy-downstream-service-cluster")), want: [2]string{"false", "true"}},
	{paths: "Node.cluster", site: node, base: "cluster: a", flip: "cluster: b", probe: look("GET /", ">x-envoy-downstream-service-cluster"), want: [2]string{"a", "b"}},
	{paths: "Node.id", site: node, base: "id: a", flip: "id: b", probe: look("GET /", ">x-envoy-downstream-service-node"), want: [2]string{"a", "b"}},
	{paths: "HttpConnectionManager.server_name", site: hcm, flip: "server_name: me", probe: look("GET /", "<server"), want: [2]string{"envoy", "me"}},
	{paths: "HttpConnectionManager.server_header_transformation=APPEND_IF_ABSENT", site: hcm, flip: "server_header_transformation: APPEND_IF_ABSENT", up: named, probe: look("GET /", "<server"), want: [2]string{"envoy", "up"}},
	{paths: "HttpConnectionManager.server_header_transformation=PASS_THROUGH", site: hcm, flip: "server_header_transformation: PASS_THROUGH", up: plain, probe: look("GET /", "<server"), want: [2]string{"envoy", "-"}},
	{paths: "HttpConnectionManager.use_remote_address", site: hcm, flip: "use_remote_address: true", probe: look("GET /", ">x-forwarded-for"), want: [2]string{"-", "127.0.0.1"}},
	{paths: "HttpConnectionManager.skip_xff_append", site: hcmAnd("use_remote_address: true"), flip: "skip_xff_append: true", probe: look("GET /", ">x-forwarded-for"), want: [2]string{"127.0.0.1", "-"}},
	{paths: "HttpConnectionManager.xff_num_trusted_hops", site: hcmAnd("use_remote_address: true"), flip: "xff_num_trusted_hops: 1", probe: look("GET /; x-forwarded-for: 1.2.3.4", ">x-envoy-external-address"), want: [2]string{"127.0.0.1", "1.2.3.4"}},
	{paths: "CidrRange.address_prefix", site: hcm, base: "internal_address_config: {cidr_ranges: [{address_prefix: 11.0.0.0, prefix_len: 8}]}", flip: "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}", probe: look("GET /; x-forwarded-for: 10.1.2.3", ">x-envoy-internal"), want: [2]string{"-", "true"}},
	{paths: "CidrRange.prefix_len", site: hcm, base: "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 16}]}", flip: "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}", probe: look("GET /; x-forwarded-for: 10.1.2.3", ">x-envoy-internal"), want: [2]string{"-", "true"}},
	{paths: "HttpConnectionManager.append_x_forwarded_port", site: hcm, flip: "append_x_forwarded_port: true", probe: set(look("GET /", ">x-forwarded-port")), want: [2]string{"false", "true"}},
	{paths: "HttpConnectionManager.generate_request_id", site: hcm, flip: "generate_request_id: false", probe: set(look("GET /", ">x-request-id")), want: [2]string{"true", "false"}},
	{paths: "HttpConnectionManager.preserve_external_request_id", site: hcmAnd("use_remote_address: true"), flip: "preserve_external_request_id: true", probe: is("mine", look("GET /; x-request-id: mine; x-forwarded-for: 9.9.9.9", ">x-request-id")), want: [2]string{"false", "true"}},
	{paths: "HttpConnectionManager.always_set_request_id_in_response", site: hcm, flip: "always_set_request_id_in_response: true", probe: look("GET /; x-request-id: mine", "<x-request-id"), want: [2]string{"-", "mine"}},
	{paths: "HttpConnectionManager.represent_ipv4_remote_address_as_ipv4_mapped_ipv6", site: hcmAnd("use_remote_address: true"), flip: "represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true", probe: look("GET /", ">x-forwarded-for"), want: [2]string{"127.0.0.1", "::ffff:127.0.0.1"}},
	{paths: "HttpConnectionManager.normalize_path", site: hcm, flip: "normalize_path: true", probe: look("GET /a/../b", "line"), want: [2]string{"GET /a/../b HTTP/1.1", "GET /b HTTP/1.1"}},
	{paths: "HttpConnectionManager.merge_slashes", site: hcm, flip: "merge_slashes: true", probe: look("GET //a", "line"), want: [2]string{"GET //a HTTP/1.1", "GET /a HTTP/1.1"}},
	{paths: "path_with_escaped_slashes_action=REJECT_REQUEST", site: hcm, flip: "path_with_escaped_slashes_action: REJECT_REQUEST", probe: look("GET /a%2fb", "status"), want: [2]string{"200", "400"}},
	{paths: "path_with_escaped_slashes_action=KEEP_UNCHANGED", site: hcm, base: "path_with_escaped_slashes_action: REJECT_REQUEST", flip: "path_with_escaped_slashes_action: KEEP_UNCHANGED", probe: look("GET /a%2fb", "line"), want: [2]string{"", "GET /a%2fb HTTP/1.1"}},
	{paths: "path_with_escaped_slashes_action=UNESCAPE_AND_REDIRECT", site: hcm, flip: "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT", probe: look("GET /a%2fb", "status", "<location"), want: [2]string{"200|-", "307|/a/b"}},
	{paths: "path_with_escaped_slashes_action=UNESCAPE_AND_FORWARD", site: hcm, flip: "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", probe: look("GET /a%2fb", "line"), want: [2]string{"GET /a%2fb HTTP/1.1", "GET /a/b HTTP/1.1"}},
	{paths: "HttpConnectionManager.strip_any_host_port", site: hcm, flip: "strip_any_host_port: true", probe: look("GET /; host: a:8", ">host"), want: [2]string{"a:8", "a"}},
	{paths: "HttpConnectionManager.strip_matching_host_port", site: hcm, flip: "strip_matching_host_port: true", probe: func(w *world) string {
		c := w.dial()
		return is("127.0.0.1", look("GET /; host: "+c.RemoteAddr().String(), ">host"))(w)
	}, want: [2]string{"false", "true"}},
	{paths: "HttpConnectionManager.strip_trailing_host_dot", site: hcm, flip: "strip_trailing_host_dot: true", probe: look("GET /; host: a.", ">host"), want: [2]string{"a.", "a"}},
	{paths: "HttpConnectionManager.stream_error_on_invalid_http_message", site: hcmAnd("normalize_path: true"), flip: "stream_error_on_invalid_http_message: true", probe: look("GET /%00", "status", "close"), want: [2]string{"400|true", "400|false"}},
	{paths: "Http1ProtocolOptions@downstream.override_stream_error_on_invalid_http_message", site: http1, flip: "override_stream_error_on_invalid_http_message: true", probe: look("GET /%00", "status", "close"), want: [2]string{"400|true", "400|false"}},
	{paths: "HttpConnectionManager.proxy_100_continue", site: hcm, flip: "proxy_100_continue: true", probe: look("POST /; content-length: 0; expect: 100-continue", "status"), want: [2]string{"100", "200"}},
	{paths: "HttpConnectionManager.UpgradeConfig.upgrade_type", site: hcm, base: "upgrade_configs: [{upgrade_type: other}]", flip: "upgrade_configs: [{upgrade_type: websocket}]", up: switches, probe: look(upgrade, "status"), want: [2]string{"403", "101"}},
	{paths: "HttpConnectionManager.UpgradeConfig.enabled", site: hcm, base: "upgrade_configs: [{upgrade_type: websocket}]", flip: "upgrade_configs: [{upgrade_type: websocket, enabled: false}]", up: switches, probe: look(upgrade, "status"), want: [2]string{"101", "403"}},
	{paths: "HttpConnectionManager.max_request_headers_kb", site: hcm, flip: "max_request_headers_kb: 1", probe: look("GET /; x: "+kib, "status"), want: [2]string{"200", "431"}},
	{paths: "HttpConnectionManager.stat_prefix", site: func(p string) string { return replaced(hcm(""), "stat_prefix: http", p) }, base: "stat_prefix: a", flip: "stat_prefix: b", probe: look("GET /", "#http.a.downstream_rq_total", "#http.b.downstream_rq_total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "HttpConnectionManager.stream_idle_timeout", site: hcmAnd("common_http_protocol_options: {max_stream_duration: 0.3s}"), flip: "stream_idle_timeout: 0.05s", up: silent, probe: look("GET /", "status", "body"), want: [2]string{"504|downstream duration timeout", "504|stream timeout"}},
	{paths: "HttpConnectionManager.request_timeout", site: hcmAnd("common_http_protocol_options: {max_stream_duration: 0.3s}"), flip: "request_timeout: 0.05s", up: silent, probe: look("POST /; content-length: 5", "status", "body"), want: [2]string{"408|downstream duration timeout", "408|request timeout"}},
	{paths: "HttpConnectionManager.request_headers_timeout", site: hcm, flip: "request_headers_timeout: 0.05s", probe: says("GET / HTTP/1.1\r\n"), want: [2]string{"silence", "HTTP/1.1 408 Request Timeout"}},
	{paths: "HttpConnectionManager.delayed_close_timeout", site: hcm, base: "delayed_close_timeout: 10s", flip: "delayed_close_timeout: 0.05s", probe: soon("GET /; connection: close", "http.http.downstream_cx_delayed_close_timeout", 1), want: [2]string{"no", "yes"}},
	{paths: "HttpConnectionManager.drain_timeout", site: hcmAnd("common_http_protocol_options: {max_connection_duration: 0.05s}"), flip: "drain_timeout: 0.05s", probe: says(""), want: [2]string{"silence", "closed"}},
	{paths: "HttpConnectionManager.drain_timeout_jitter", site: hcmAnd("drain_timeout: 0.2s\ncommon_http_protocol_options: {max_connection_duration: 0.01s}"), flip: "drain_timeout_jitter: {value: 100}", probe: livesApart, want: [2]string{"false", "true"}},
	{paths: "HttpConnectionManager.http1_safe_max_connection_duration", site: hcmAnd("drain_timeout: 0.01s\ncommon_http_protocol_options: {max_connection_duration: 0.02s}"), flip: "http1_safe_max_connection_duration: true", probe: says(""), want: [2]string{"closed", "silence"}},
	{paths: "ForwardProtoConfig.https_destination_ports", site: func(piece string) string {
		const address = "  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n"
		return strings.Replace(hcm(piece), address, address+`    listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}]`+"\n", 1)
	}, base: "forward_proto_config: {https_destination_ports: [1, 3]}", flip: "forward_proto_config: {https_destination_ports: [1, 2]}", probe: look(proxy1, ">x-forwarded-proto"), want: [2]string{"http", "https"}},
	{paths: "SchemeHeaderTransformation.scheme_to_overwrite", site: hcmAnd(fileLog), flip: "scheme_header_transformation: {scheme_to_overwrite: https}", probe: look("GET /", "@log"), want: [2]string{"http", "https"}},
	{paths: "SchemeHeaderTransformation.match_upstream", site: hcmAnd(fileLog), flip: "scheme_header_transformation: {match_upstream: true}", probe: look("GET /; x-forwarded-proto: https", "@log"), want: [2]string{"https", "http"}},

	{paths: "HttpProtocolOptions@downstream.idle_timeout", site: common, flip: "idle_timeout: 0.05s", probe: says(""), want: [2]string{"silence", "closed"}},
	{paths: "HttpProtocolOptions@downstream.max_connection_duration", site: common, flip: "max_connection_duration: 0.05s", probe: says(""), want: [2]string{"silence", "closed"}},
	{paths: "HttpProtocolOptions@downstream.max_connection_duration_jitter", site: common, base: "max_connection_duration: 0.2s", flip: "max_connection_duration: 0.2s, max_connection_duration_jitter: {value: 100}", probe: livesApart, want: [2]string{"false", "true"}},
	{paths: "HttpProtocolOptions@downstream.max_stream_duration", site: common, flip: "max_stream_duration: 0.05s", up: silent, probe: look("GET /", "body"), want: [2]string{"stream timeout", "downstream duration timeout"}},
	{paths: "HttpProtocolOptions@downstream.max_headers_count", site: common, flip: "max_headers_count: 3", probe: look("GET /; a: 1; b: 2; c: 3; d: 4", "status"), want: [2]string{"200", "431"}},
	{paths: "HttpProtocolOptions@downstream.max_requests_per_connection", site: common, flip: "max_requests_per_connection: 1", probe: look("GET /", "close"), want: [2]string{"false", "true"}},
	{paths: "HttpProtocolOptions@downstream.headers_with_underscores_action=DROP_HEADER", site: common, flip: "headers_with_underscores_action: DROP_HEADER", probe: look("GET /; a_b: c", ">a_b"), want: [2]string{"c", "-"}},
	{paths: "HttpProtocolOptions@downstream.headers_with_underscores_action=REJECT_REQUEST", site: common, flip: "headers_with_underscores_action: REJECT_REQUEST", probe: look("GET /; a_b: c", "status"), want: [2]string{"200", "400"}},

	{paths: "Http1ProtocolOptions@downstream.allow_absolute_url", site: http1, flip: "allow_absolute_url: false", probe: look("GET http://b.example/x", "status"), want: [2]string{"200", "404"}},
	{paths: "Http1ProtocolOptions@downstream.accept_http_10", site: http1, flip: "accept_http_10: true", probe: look("GET / HTTP/1.0\r\nhost: a\r\n\r\n", "status"), want: [2]string{"426", "200"}},
	{paths: "Http1ProtocolOptions@downstream.default_host_for_http_10", site: http1, base: "accept_http_10: true", flip: "accept_http_10: true, default_host_for_http_10: b.example", probe: look("GET / HTTP/1.0\r\n\r\n", "status", ">host"), want: [2]string{"400|-", "200|b.example"}},
	{paths: "Http1ProtocolOptions@downstream.allow_custom_methods", site: http1, flip: "allow_custom_methods: true", probe: look("BREW /", "status"), want: [2]string{"400", "200"}},
	{paths: "Http1ProtocolOptions@downstream.allow_chunked_length", site: http1, flip: "allow_chunked_length: true", probe: look(bothSizes, "status"), want: [2]string{"400", "200"}},
	{paths: "Http1ProtocolOptions@downstream.enable_trailers", site: http1Both, flip: "enable_trailers: true", up: mirror, probe: has("x-t: v", look(chunked, "body")), want: [2]string{"false", "true"}},
	{paths: "HeaderKeyFormat@downstream.proper_case_words", site: http1, flip: "header_key_format: {proper_case_words: {}}", probe: has("\r\nContent-Length: ", look("GET /", "head")), want: [2]string{"false", "true"}},
	{paths: "HeaderKeyFormat@downstream.stateful_formatter", site: http1, flip: "header_key_format: {stateful_formatter: {name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}", probe: has("\r\nx-MiXed: ", look("GET /; x-MiXed: v", "sent")), want: [2]string{"false", "true"}},

	{paths: "Router.strict_check_headers", site: func(piece string) string {
		return strings.Replace(router(piece), "10.0.0.0, prefix_len: 8", "127.0.0.0, prefix_len: 8", 1)
	}, base: "strict_check_headers: [x-envoy-retry-on]", flip: "strict_check_headers: [x-envoy-max-retries]", probe: look("GET /; x-forwarded-for: 127.0.0.1; x-envoy-max-retries: many", "status"), want: [2]string{"200", "400"}},
	{paths: "Router.suppress_envoy_headers", site: router, base: "suppress_envoy_headers: false", flip: "suppress_envoy_headers: true", probe: set(look("GET /", "<x-envoy-upstream-service-time")), want: [2]string{"true", "false"}},
	{paths: "Router.respect_expected_rq_timeout", site: router, base: "respect_expected_rq_timeout: false", flip: "respect_expected_rq_timeout: true", probe: look("GET /; x-forwarded-for: 10.0.0.1; x-envoy-expected-rq-timeout-ms: 77", ">x-envoy-expected-rq-timeout-ms"), want: [2]string{"15000", "77"}},
	{paths: "HttpFilter.disabled", site: chain(all), base: "name: tag", flip: "name: tag, disabled: true", probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "HttpFilter.name", site: chain("typed_per_filter_config: {a: " + override + "}\n" + all), base: "name: a", flip: "name: b", probe: look("GET /", "status"), want: [2]string{"419", "418"}},

	{paths: "FileAccessLog.path", site: logged, base: "path: /dev/null, format: \"x\\n\"", flip: "path: \"@DIR@/log\", format: \"x\\n\"", probe: func(w *world) string {
		look("GET /", "status")(w)
		if w.eventuallyStat("filesystem.write_completed", 1); !w.exists("log") {
			return "none"
		}
		return w.file("log")
	}, want: [2]string{"none", "x"}},
	{paths: "ComparisonFilter.op=GE", site: filteredLog, base: "status_code_filter: {comparison: {value: {default_value: 100, runtime_key: k}}}", flip: "status_code_filter: {comparison: {op: GE, value: {default_value: 100, runtime_key: k}}}", probe: look("GET /", "@log"), want: [2]string{"y", "xy"}},
	{paths: "ComparisonFilter.op=LE", site: filteredLog, base: "status_code_filter: {comparison: {value: {default_value: 300, runtime_key: k}}}", flip: "status_code_filter: {comparison: {op: LE, value: {default_value: 300, runtime_key: k}}}", probe: look("GET /", "@log"), want: [2]string{"y", "xy"}},
	{paths: "ComparisonFilter.op=NE", site: filteredLog, base: "status_code_filter: {comparison: {value: {default_value: 200, runtime_key: k}}}", flip: "status_code_filter: {comparison: {op: NE, value: {default_value: 200, runtime_key: k}}}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "RuntimeUInt32.default_value", site: filteredLog, base: "status_code_filter: {comparison: {value: {default_value: 200, runtime_key: k}}}", flip: "status_code_filter: {comparison: {value: {default_value: 201, runtime_key: k}}}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "AccessLogFilter.duration_filter", site: filteredLog, base: "status_code_filter: {comparison: {op: GE, value: {runtime_key: k}}}", flip: "duration_filter: {comparison: {op: GE, value: {default_value: 1000000, runtime_key: k}}}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "AccessLogFilter.not_health_check_filter", site: func(piece string) string {
		return chained(e2e.Filter("h", "health_check.v3.HealthCheck", `pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /}}]`), all, twoLogs(piece))
	}, base: "status_code_filter: {comparison: {op: GE, value: {runtime_key: k}}}", flip: "not_health_check_filter: {}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "AccessLogFilter.runtime_filter RuntimeFilter.percent_sampled", site: filteredLog, base: "runtime_filter: {runtime_key: k, percent_sampled: {numerator: 100}}", flip: "runtime_filter: {runtime_key: k, percent_sampled: {numerator: 0}}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "AndFilter.filters", site: filteredLog, base: "and_filter: {filters: [{header_filter: {header: {name: x-a, present_match: true}}}, {header_filter: {header: {name: x-a, present_match: true}}}]}", flip: "and_filter: {filters: [{header_filter: {header: {name: x-a, present_match: true}}}, {header_filter: {header: {name: x-b, present_match: true}}}]}", probe: look("GET /; x-a: 1", "@log"), want: [2]string{"xy", "y"}},
	{paths: "OrFilter.filters", site: filteredLog, base: "or_filter: {filters: [{header_filter: {header: {name: x-a, present_match: true}}}, {header_filter: {header: {name: x-b, present_match: true}}}]}", flip: "or_filter: {filters: [{header_filter: {header: {name: x-c, present_match: true}}}, {header_filter: {header: {name: x-c, present_match: true}}}]}", probe: look("GET /; x-b: 1", "@log"), want: [2]string{"xy", "y"}},
	{paths: "HeaderFilter.header", site: filteredLog, base: "header_filter: {header: {name: x-a, present_match: true}}", flip: "header_filter: {header: {name: x-b, present_match: true}}", probe: look("GET /; x-b: 1", "@log"), want: [2]string{"y", "xy"}},
	{paths: "ResponseFlagFilter.flags", site: filteredLog, base: "response_flag_filter: {flags: [DPE]}", flip: "response_flag_filter: {flags: [NR]}", probe: look("GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n", "@log"), want: [2]string{"xy", "y"}},
	{paths: "GrpcStatusFilter.statuses=CANCELED GrpcStatusFilter.statuses=UNKNOWN GrpcStatusFilter.statuses=INVALID_ARGUMENT GrpcStatusFilter.statuses=DEADLINE_EXCEEDED GrpcStatusFilter.statuses=NOT_FOUND GrpcStatusFilter.statuses=ALREADY_EXISTS GrpcStatusFilter.statuses=PERMISSION_DENIED GrpcStatusFilter.statuses=RESOURCE_EXHAUSTED GrpcStatusFilter.statuses=FAILED_PRECONDITION GrpcStatusFilter.statuses=ABORTED GrpcStatusFilter.statuses=OUT_OF_RANGE GrpcStatusFilter.statuses=UNIMPLEMENTED GrpcStatusFilter.statuses=INTERNAL GrpcStatusFilter.statuses=UNAVAILABLE GrpcStatusFilter.statuses=DATA_LOSS GrpcStatusFilter.statuses=UNAUTHENTICATED", site: filteredLog,
		base: "grpc_status_filter: {statuses: [OK]}", flip: "grpc_status_filter: {statuses: [CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED]}",
		up: answer("HTTP/1.1 200 OK\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "@log"), want: [2]string{"y", "xy"}},
	{paths: "GrpcStatusFilter.exclude", site: filteredLog, base: "grpc_status_filter: {statuses: [NOT_FOUND]}", flip: "grpc_status_filter: {statuses: [NOT_FOUND], exclude: true}", up: answer("HTTP/1.1 200 OK\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"), probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "LogTypeFilter.types=DownstreamEnd LogTypeFilter.types=TcpConnectionEnd", site: filteredLog, base: "log_type_filter: {types: [DownstreamEnd]}", flip: "log_type_filter: {types: [TcpConnectionEnd]}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "LogTypeFilter.exclude", site: filteredLog, base: "log_type_filter: {types: [DownstreamEnd]}", flip: "log_type_filter: {types: [DownstreamEnd], exclude: true}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "AccessLogFilter.extension_filter ExtensionFilter.typed_config ExpressionFilter.expression", site: filteredLog, base: expressed("expression: \"request.headers['x-a'] == '1'\""), flip: expressed("expression: \"request.headers['x-a'] == '2' || response.code >= 400\""), probe: look("GET /; x-a: 1", "@log"), want: [2]string{"xy", "y"}},
	{paths: "ExpressionFilter.cel_config CelExpressionConfig.enable_string_concat", site: filteredLog, base: expressed("expression: \"!(request.path + request.method == '')\", cel_config: {enable_string_conversion: true, enable_string_concat: true}"), flip: expressed("expression: \"!(request.path + request.method == '')\", cel_config: {enable_string_conversion: true}"), probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "FileAccessLog.format", site: logged, base: "path: \"@DIR@/log\", format: \"a\\n\"", flip: "path: \"@DIR@/log\", format: \"b\\n\"", probe: look("GET /", "@log"), want: [2]string{"a", "b"}},
	{paths: "FileAccessLog.json_format", site: logged, base: "path: \"@DIR@/log\", format: \"a\\n\"", flip: "path: \"@DIR@/log\", json_format: {k: \"%PROTOCOL%\"}", probe: look("GET /", "@log"), want: [2]string{"a", `{"k":"HTTP/1.1"}`}},
	{paths: "FileAccessLog.typed_json_format", site: logged, base: "path: \"@DIR@/log\", format: \"a\\n\"", flip: "path: \"@DIR@/log\", typed_json_format: {k: \"%RESPONSE_CODE%\"}", probe: look("GET /", "@log"), want: [2]string{"a", `{"k":200}`}},
	{paths: "SubstitutionFormatString.text_format", site: logged, base: "path: \"@DIR@/log\", log_format: {text_format: \"a\\n\"}", flip: "path: \"@DIR@/log\", log_format: {text_format: \"b\\n\"}", probe: look("GET /", "@log"), want: [2]string{"a", "b"}},
	{paths: "SubstitutionFormatString.json_format", site: logged, base: "path: \"@DIR@/log\", log_format: {text_format: \"a\\n\"}", flip: "path: \"@DIR@/log\", log_format: {json_format: {k: \"%PROTOCOL%\"}}", probe: look("GET /", "@log"), want: [2]string{"a", `{"k":"HTTP/1.1"}`}},
	{paths: "SubstitutionFormatString.omit_empty_values", site: logged, base: "path: \"@DIR@/log\", log_format: {text_format: \"a%REQ(nothing)%b\\n\"}", flip: "path: \"@DIR@/log\", log_format: {omit_empty_values: true, text_format: \"a%REQ(nothing)%b\\n\"}", probe: look("GET /", "@log"), want: [2]string{"a-b", "ab"}},
	{paths: "SubstitutionFormatString.text_format_source DataSource.inline_string", site: logged, base: "path: \"@DIR@/log\", log_format: {text_format_source: {inline_string: \"a\\n\"}}", flip: "path: \"@DIR@/log\", log_format: {text_format_source: {inline_string: \"b\\n\"}}", probe: look("GET /", "@log"), want: [2]string{"a", "b"}},
}
