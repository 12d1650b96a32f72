package oracle

import "github.com/weftmesh/weft/test/e2e"

// tables is what the route configuration, virtual hosts and the connection manager say beside routes.
var tables = []scenario{
	{name: "table", table: "request_headers_to_add: [{header: {key: x-table, value: a}}]\nrequest_headers_to_remove: [x-gone]\nresponse_headers_to_add: [{header: {key: x-table, value: b}}]\nresponse_headers_to_remove: [x-back]\ninternal_only_headers: [x-internal]\nvalidate_clusters: true\nmax_direct_response_body_size_bytes: 8192",
		manager: "use_remote_address: true",
		sends:   []exchange{{send: "GET /; x-gone: 1; x-internal: 1", answers: []string{answered(200, "x-back: 1")}}, {send: "GET /; x-forwarded-for: 1.2.3.4; x-internal: 1"}}},
	{name: "table-specific", table: "most_specific_header_mutations_wins: true\nrequest_headers_to_add: [{header: {key: x-a, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]",
		vhost: "request_headers_to_add: [{header: {key: x-a, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]\n" + routes("{match: {prefix: /a}, route: {cluster: $up}, request_headers_to_add: [{header: {key: x-a, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}", route("prefix: /", to)), sends: gets("/a", "/b")},
	{name: "table-general", table: "most_specific_header_mutations_wins: false\nrequest_headers_to_add: [{header: {key: x-a, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]",
		vhost: "request_headers_to_add: [{header: {key: x-a, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]\n" + routes("{match: {prefix: /a}, route: {cluster: $up}, request_headers_to_add: [{header: {key: x-a, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}", route("prefix: /", to)), sends: gets("/a", "/b")},
	{name: "table-ports", table: "ignore_port_in_host_matching: true", hosts: `- {name: bare, domains: [a.example], routes: [{match: {prefix: /}, route: {cluster: $b}}]}`, sends: authorities[:4]},
	{name: "table-parameters", table: "ignore_path_parameters_in_path_matching: true", vhost: routes(route("path: /a/b", toB), route("prefix: /", to)), sends: gets("/a;x=1/b", "/a/b;y", "/a/b", "/a;b")},
	{name: "table-header", table: "vhost_header: x-host", hosts: `- {name: bare, domains: [a.example], routes: [{match: {prefix: /}, route: {cluster: $b}}]}`, sends: []exchange{{send: "GET /; x-host: a.example"}, {send: "GET /; x-host: other"}, {send: "GET /"}}},
	{name: "table-mirrors", table: "request_mirror_policies: [{cluster: $b}]", late: true, sends: gets("/")},
	{name: "table-filters", filters: e2e.Filter("f", "header_mutation.v3.HeaderMutation", "most_specific_header_mutations_wins: true, mutations: {request_mutations: [{append: {header: {key: x-chain, value: a}}}]}"),
		table: e2e.Override("f", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{append: {header: {key: x-a, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}"),
		vhost: e2e.Override("f", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{append: {header: {key: x-a, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}") + "\n" +
			routes("{match: {prefix: /a}, route: {cluster: $up}, "+e2e.Override("f", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{append: {header: {key: x-a, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}")+"}",
				"{match: {prefix: /off}, route: {cluster: $up}, typed_per_filter_config: {f: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true, config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute}}}}",
				"{match: {prefix: /share}, route: {weighted_clusters: {clusters: [{name: $up, weight: 1, "+e2e.Override("f", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{append: {header: {key: x-share, value: a}}}]}")+"}]}}}",
				route("prefix: /", to)), sends: gets("/a", "/b", "/off", "/share")},
	{name: "host-policies", vhost: "include_is_timeout_retry_header: true\nretry_policy: {" + backOff + ", retry_on: 5xx, num_retries: 1, per_try_timeout: 0.3s}\nrequest_mirror_policies: [{cluster: $b, runtime_fraction: {default_value: {numerator: 0, denominator: MILLION}}}]\nrequest_body_buffer_limit: 65536\nhedge_policy: {hedge_on_per_try_timeout: false}\n" + routes(route("prefix: /", to)),
		sends: []exchange{{send: "GET /", answers: []string{answered(503), answered(200)}}, {send: "GET /t", answers: []string{silence, answered(200)}}}},
	{name: "host-buffer", vhost: "per_request_buffer_limit_bytes: 4\n" + retrying("retry_on: 5xx"), sends: []exchange{{send: "POST /; body: hello", answers: []string{answered(503), answered(200)}}, {send: "POST /; body: hi", answers: []string{answered(503), answered(200)}}}},
	{name: "route-buffers", vhost: routes("{match: {prefix: /a}, request_body_buffer_limit: 4, route: {cluster: $up, retry_policy: {"+backOff+", retry_on: 5xx}}}", "{match: {prefix: /b}, per_request_buffer_limit_bytes: 4, route: {cluster: $up, retry_policy: {"+backOff+", retry_on: 5xx}}}"),
		sends: []exchange{{send: "POST /a; body: hello", answers: []string{answered(503), answered(200)}}, {send: "POST /a; body: hi", answers: []string{answered(503), answered(200)}}, {send: "POST /b; body: hello", answers: []string{answered(503), answered(200)}}}},
	{name: "discovered", rds: "route_config_name: table, config_source: {path_config_source: {path: @folder/rds.yaml}}", files: map[string]string{"rds.yaml": `resources: [{"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: table, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /a}, route: {cluster: $b}}, {match: {prefix: /}, route: {cluster: $up}}]}]}]`}, sends: gets("/a", "/b")},

	// Routes.
	{name: "headers-old", vhost: routes(
		route(`prefix: /, headers: [{name: x-a, exact_match: v}]`, `direct_response: {status: 201}`),
		route(`prefix: /, headers: [{name: x-b, prefix_match: v}]`, `direct_response: {status: 202}`),
		route(`prefix: /, headers: [{name: x-c, suffix_match: v}]`, `direct_response: {status: 203}`),
		route(`prefix: /, headers: [{name: x-d, contains_match: v}]`, `direct_response: {status: 206}`),
		route(`prefix: /, headers: [{name: x-e, safe_regex_match: {regex: "v+"}}]`, `direct_response: {status: 207}`),
		route(`prefix: /, cookies: [{name: c, string_match: {exact: "1"}, invert_match: true}]`, `direct_response: {status: 208}`),
		route(`prefix: /, tls_context: {presented: true}`, `direct_response: {status: 400}`),
		route(`prefix: /, tls_context: {validated: true}`, `direct_response: {status: 401}`),
		route(`prefix: /, tls_context: {presented: false, validated: false}`, `direct_response: {status: 402}`),
	), sends: []exchange{{send: "GET /; x-a: v"}, {send: "GET /; x-a: w"}, {send: "GET /; x-b: vw"}, {send: "GET /; x-c: wv"}, {send: "GET /; x-d: wvw"}, {send: "GET /; x-e: vvv"}, {send: "GET /; x-e: vw"}, {send: "GET /; cookie: c=2"}, {send: "GET /; cookie: c=1"}}},
	{name: "shares", vhost: routes(
		route(`prefix: /t`, `route: {weighted_clusters: {total_weight: 10, clusters: [{name: $up, weight: 0}, {name: $b, weight: 10}]}}`),
		route(`prefix: /h`, `route: {hash_policy: [{header: {header_name: x-k}}], weighted_clusters: {use_hash_policy: true, clusters: [{name: $up, weight: 50}, {name: $b, weight: 50}]}}`),
		route(`prefix: /f, runtime_fraction: {default_value: {numerator: 10000, denominator: TEN_THOUSAND}}`, toB),
	), sends: []exchange{{send: "GET /t"}, {send: "GET /h; x-k: 1"}, {send: "GET /h; x-k: 2"}, {send: "GET /h; x-k: 3"}, {send: "GET /h; x-k: 4"}, {send: "GET /f"}}},
	{name: "actions", vhost: routes(
		route(`prefix: /old, grpc: {}`, `route: {cluster: $up, max_grpc_timeout: 5s, grpc_timeout_offset: 1s}`),
		route(`prefix: /new, grpc: {}`, `route: {cluster: $up, max_stream_duration: {grpc_timeout_header_max: 5s, grpc_timeout_header_offset: 1s}}`),
		route(`prefix: /host`, `route: {cluster: $up, host_rewrite: "%REQ(x-to)%.test"}`),
		route(`prefix: /path`, `route: {cluster: $up, path_rewrite: "/x%REQ(x-to)%"}`),
		route(`prefix: /redirect`, `redirect: {path_rewrite: "/y%REQ(x-to)%"}`),
		route(`prefix: /missing`, `route: {cluster_header: x-c, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}`),
		route(`prefix: /hedge`, `route: {cluster: $up, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {`+backOff+`, retry_on: 5xx, num_retries: 1, per_try_timeout: 0.3s}}`),
	), sends: []exchange{{send: "POST /old; content-type: application/grpc; grpc-timeout: 3S; body: x"}, {send: "POST /old; content-type: application/grpc; grpc-timeout: 9S; body: x"}, {send: "POST /new; content-type: application/grpc; grpc-timeout: 3S; body: x"}, {send: "POST /new; content-type: application/grpc; grpc-timeout: 9S; body: x"},
		{send: "GET /host; x-to: a"}, {send: "GET /host"}, {send: "GET /path; x-to: /b"}, {send: "GET /path?q"}, {send: "GET /redirect; x-to: /b"}, {send: "GET /missing; x-c: none"}, {send: "GET /hedge", answers: []string{silence, answered(200)}}}},
	{name: "mirror-named", late: true, vhost: routes(route(`prefix: /`, `route: {cluster: $up, request_mirror_policies: [{cluster_header: x-c, host_rewrite_literal: copy.test}, {cluster: $b, runtime_fraction: {default_value: {numerator: 0}}}]}`)), sends: gets("/; x-c: mirror-named_b")},
	{name: "retry-hosts", clusters: map[string]string{"up": ""}, ends: map[string]string{"up": "- lb_endpoints: [" + end("up", "") + "]\n- priority: 1\n  lb_endpoints: [" + end("b", "") + "]"}, vhost: retrying("retry_on: 5xx, num_retries: 1, host_selection_retry_max_attempts: 3, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], retry_priority: {name: envoy.retry_priorities.previous_priorities, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 1}}"),
		sends: []exchange{{send: "GET /", answers: []string{answered(503)}}}},
	{name: "retry-limited", vhost: retrying(`retry_on: 5xx, num_retries: 1, rate_limited_retry_back_off: {max_interval: 1s, reset_headers: [{name: retry-after, format: SECONDS}, {name: x-reset, format: UNIX_TIMESTAMP}]}`), sends: []exchange{{send: "GET /", answers: []string{answered(503, "retry-after: 0"), answered(200)}}, {send: "GET /", answers: []string{answered(503, "x-reset: 1"), answered(200)}}, {send: "GET /", answers: []string{answered(503, "retry-after: 100"), answered(200)}}}},
	{name: "retry-idle", vhost: retrying(`retry_on: 5xx, num_retries: 1, per_try_idle_timeout: 0.3s`), sends: []exchange{{send: "GET /", answers: []string{silence, answered(200)}}}},
	{name: "router-strict", router: "strict_check_headers: [x-envoy-upstream-rq-timeout-ms, x-envoy-upstream-rq-per-try-timeout-ms, x-envoy-max-retries, x-envoy-retry-grpc-on, x-envoy-retry-on]", manager: inside, sends: []exchange{
		{send: "GET /; x-envoy-upstream-rq-timeout-ms: 10s"}, {send: "GET /; x-envoy-upstream-rq-timeout-ms: 9000"}, {send: "GET /; x-envoy-upstream-rq-per-try-timeout-ms: -1"}, {send: "GET /; x-envoy-max-retries: 2.0"}, {send: "GET /; x-envoy-max-retries: +2"},
		{send: "GET /; x-envoy-max-retries: 1; x-envoy-max-retries: b"}, {send: "GET /; x-envoy-retry-on: 5xx,bogus"}, {send: "GET /; x-envoy-retry-on: 5xx, reset"}, {send: "GET /; x-envoy-retry-on: cancelled"}, {send: "GET /; x-envoy-retry-grpc-on: cancelled,5xx"},
		{send: "GET /; x-envoy-retry-grpc-on: cancelled"}, {send: "GET /; x-envoy-expected-rq-timeout-ms: x"}}},
	{name: "router", router: "suppress_envoy_headers: true, respect_expected_rq_timeout: true", sends: []exchange{{send: "GET /; x-envoy-expected-rq-timeout-ms: 9000"}, {send: "GET /", answers: []string{answered(503)}}}},

	// The connection manager.
	{name: "managed", manager: "stream_idle_timeout: 60s\nrequest_timeout: 60s\nrequest_headers_timeout: 60s\ndrain_timeout: 5s\ndelayed_close_timeout: 0.3s\npath_with_escaped_slashes_action: KEEP_UNCHANGED\ninternal_address_config: {unix_sockets: true}\ncommon_http_protocol_options: {idle_timeout: 60s, max_connection_duration: 60s, max_stream_duration: 60s}\n" +
		`request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, pack_trace_reason: true, use_request_id_for_trace_sampling: true}}`, sends: gets("/a%2fb", "/")},
	{name: "managed-age", manager: "http1_safe_max_connection_duration: true\ncommon_http_protocol_options: {max_connection_duration: 0.2s, max_connection_duration_jitter: {value: 10}}", filters: late, sends: gets("/")},
	{name: "managed-age-drained", manager: "drain_timeout: 5s\ndrain_timeout_jitter: {value: 50}\ncommon_http_protocol_options: {max_connection_duration: 0.2s}", filters: late, sends: gets("/")},
	{name: "managed-logs", manager: "access_log_options: {access_log_flush_interval: 60s}", sends: gets("/")},
	{name: "managed-logs-old", manager: "access_log_flush_interval: 60s\nflush_access_log_on_new_request: true", sends: gets("/")},
	{name: "managed-short", manager: "stream_idle_timeout: 0.3s", sends: []exchange{{send: "GET /", answers: []string{silence}}}},
	{name: "managed-bodies", late: true, manager: "request_timeout: 0.3s", sends: []exchange{{send: "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\nhe"}}},
	{name: "managed-heads", manager: "request_headers_timeout: 0.3s", sends: []exchange{{send: "GET / HTTP/1.1\r\nhost: a.example\r\n"}}},
	{name: "managed-duration", manager: "common_http_protocol_options: {max_stream_duration: 0.3s}", sends: []exchange{{send: "GET /", answers: []string{silence}}}},
	{name: "managed-errors", manager: "stream_error_on_invalid_http_message: true", sends: []exchange{{send: "GET / HTTP/1.1\r\nhost: a.example\r\ncontent-length: x\r\n\r\n"}, {send: "GET / HTTP/1.1\r\n\r\n"}}},
	{name: "managed-codec-errors", manager: "http_protocol_options: {override_stream_error_on_invalid_http_message: true, allow_absolute_url: true}", sends: []exchange{{send: "GET / HTTP/1.1\r\n\r\n"}, {send: "GET http://b.example/x HTTP/1.1\r\nhost: a.example\r\n\r\n"}}},
	{name: "managed-relative", manager: "http_protocol_options: {allow_absolute_url: false}", sends: []exchange{{send: "GET http://b.example/x HTTP/1.1\r\nhost: a.example\r\n\r\n"}}},
	{name: "bodies", vhost: routes(
		route(`path: /file`, `direct_response: {status: 200, body: {filename: @folder/body.txt}}`),
		route(`path: /bytes`, `direct_response: {status: 200, body: {inline_bytes: aGVsbG8=}}`),
		route(`path: /environment`, `direct_response: {status: 200, body: {environment_variable: ORACLE_BODY}}`),
	), files: map[string]string{"body.txt": "from a file"}, sends: gets("/file", "/bytes", "/environment")},
}

// late is a filter that has every request wait for half a second.
var late = e2e.Filter("f", "fault.v3.HTTPFault", "delay: {fixed_delay: 0.5s, percentage: {numerator: 100}}")

// inside has clients on this host say what only those from inside may.
const inside = "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}"
