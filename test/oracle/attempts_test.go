package oracle

const backOff = "retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}"

func retrying(policy string, more ...string) string {
	text := "retry_policy: {" + backOff + ", " + policy + "}"
	for _, m := range more {
		text += ", " + m
	}
	return routes(route("prefix: /", "route: {cluster: $up, "+text+"}"))
}

var attempts = []scenario{
	{name: "retry-5xx", vhost: "include_request_attempt_count: true\ninclude_attempt_count_in_response: true\n" + retrying("retry_on: 5xx, num_retries: 2"), sends: []exchange{
		{send: "GET /", answers: []string{answered(503), answered(200)}}, {send: "GET /", answers: []string{answered(500), answered(502), answered(504)}}, {send: "POST /; body: hello", answers: []string{"", answered(200)}}, {send: "GET /", answers: []string{""}},
		{send: "GET /", answers: []string{answered(404)}}, {send: "GET /", answers: []string{answered(501, "x-envoy-overloaded: true"), answered(200)}},
		{send: "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", answers: []string{answered(503), answered(200)}}}},
	{name: "retry-kinds", vhost: routes(
		route("prefix: /gateway", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: gateway-error}}"),
		route("prefix: /reset", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: reset}}"),
		route("prefix: /before", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: reset-before-request}}"),
		route("prefix: /4xx", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: retriable-4xx}}"),
		route("prefix: /codes", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: retriable-status-codes, retriable_status_codes: [418]}}"),
		route("prefix: /headers", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: retriable-headers, retriable_headers: [{name: x-retry, present_match: true}], retriable_request_headers: [{name: x-may, present_match: true}]}}"),
		route("prefix: /ratelimited", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: envoy-ratelimited}}"),
		route("prefix: /connect", "route: {cluster: $dead, retry_policy: {"+backOff+", retry_on: connect-failure, num_retries: 2}}"),
		route("prefix: /grpc", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: 'cancelled,unavailable'}}"),
		route("prefix: /none", "route: {cluster: $up}"),
	), sends: []exchange{
		{send: "GET /gateway", answers: []string{answered(503), answered(200)}}, {send: "GET /gateway", answers: []string{answered(500), answered(200)}}, {send: "GET /reset", answers: []string{"", answered(200)}}, {send: "GET /before", answers: []string{"", answered(200)}},
		{send: "GET /4xx", answers: []string{answered(409), answered(200)}}, {send: "GET /codes", answers: []string{answered(418), answered(418), answered(200)}}, {send: "GET /headers; x-may: 1", answers: []string{answered(200, "x-retry: 1"), answered(200)}},
		{send: "GET /headers", answers: []string{answered(200, "x-retry: 1"), answered(200)}}, {send: "GET /ratelimited", answers: []string{answered(429, "x-envoy-ratelimited: true"), answered(200)}}, {send: "GET /connect"},
		{send: "POST /grpc; content-type: application/grpc; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n", answered(200)}},
		{send: "POST /connect; content-type: application/grpc; body: hello"},
		{send: "GET /none; x-envoy-retry-on: 5xx; x-envoy-max-retries: 2", answers: []string{answered(503), answered(503), answered(200)}},
		{send: "GET /none; x-envoy-retry-on: retriable-status-codes; x-envoy-retriable-status-codes: 418,419", answers: []string{answered(419), answered(200)}},
		{send: "GET /none; x-envoy-retry-on: retriable-headers; x-envoy-retriable-header-names: x-r", answers: []string{answered(200, "X-R: 1"), answered(200)}},
		{send: "GET /none; x-envoy-retry-grpc-on: unavailable; content-type: application/grpc", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n", answered(200)}},
		{send: "GET /none", answers: []string{""}}, {send: "GET /none", answers: []string{"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhalf"}},
		{send: "GET /none", answers: []string{"not http at all\r\n\r\n"}}, {send: "GET /none", answers: []string{"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"}},
		{send: "GET /none", answers: []string{"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end"}},
	}},
	{name: "timeouts", manager: "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}", vhost: routes(
		route("prefix: /global", "route: {cluster: $up, timeout: 0.3s}"),
		route("prefix: /try", "route: {cluster: $up, timeout: 5s, retry_policy: {"+backOff+", retry_on: '5xx', num_retries: 1, per_try_timeout: 0.3s}}"),
		route("prefix: /stream", "route: {cluster: $up, timeout: 1s}"),
		route("prefix: /idle", "route: {cluster: $up, idle_timeout: 0.3s}"),
		route("prefix: /duration", "route: {cluster: $up, max_stream_duration: {max_stream_duration: 0.3s}}"),
		route("prefix: /grpc", "route: {cluster: $up, max_stream_duration: {grpc_timeout_header_max: 0.3s}}"),
		route("prefix: /", to),
	), sends: []exchange{
		{send: "GET /global", answers: []string{silence}}, {send: "GET /try", answers: []string{silence, answered(200)}}, {send: "GET /try", answers: []string{silence}}, {send: "GET /idle", answers: []string{silence}}, {send: "GET /duration", answers: []string{silence}},
		{send: "POST /grpc; content-type: application/grpc; grpc-timeout: 1S; body: hello", answers: []string{silence}}, {send: "GET /; x-forwarded-for: 10.0.0.1; x-envoy-upstream-rq-timeout-ms: 300", answers: []string{silence}},
		{send: "GET /; x-forwarded-for: 10.0.0.1; x-envoy-upstream-rq-timeout-ms: 300; x-envoy-upstream-rq-timeout-alt-response: 204", answers: []string{silence}},
		{send: "POST /global; content-type: application/grpc; body: hello", answers: []string{silence}},
		{send: "GET /stream; x-envoy-upstream-stream-duration-ms: 300", answers: []string{silence}}, {send: "GET /stream; x-forwarded-for: 10.0.0.1; x-envoy-upstream-stream-duration-ms: 300", answers: []string{silence}},
	}},
	{name: "mirrors", late: true, vhost: routes(
		route("prefix: /a", "route: {cluster: $up, host_rewrite_literal: r.test, prefix_rewrite: /x, request_mirror_policies: [{cluster: $b}, {cluster: $c, disable_shadow_host_suffix_append: true}]}, request_headers_to_add: [{header: {key: x-a, value: b}}]"),
		route("prefix: /off", "route: {cluster: $up, request_mirror_policies: [{cluster: $b, runtime_fraction: {default_value: {numerator: 0}}}]}"),
		route("prefix: /", to),
	), sends: []exchange{{send: "GET /a?q"}, {send: "POST /a; host: a.example:80; body: hello"}, {send: "GET /off"}}},
	{name: "hashes", vhost: routes(
		route("prefix: /cookie", "route: {cluster: $up, hash_policy: [{cookie: {name: c, ttl: 60s, path: /p, attributes: [{name: SameSite, value: Strict}, {name: Secure}]}}]}"),
		route("prefix: /session", "route: {cluster: $up, hash_policy: [{cookie: {name: c, ttl: 0s}}]}"),
		route("prefix: /header", "route: {cluster: $up, hash_policy: [{header: {header_name: x-a, regex_rewrite: {pattern: {regex: 'a(.)'}, substitution: '\\1'}}, terminal: true}, {query_parameter: {name: q}}, {connection_properties: {source_ip: true}}]}"),
		route("prefix: /", to),
	), clusters: map[string]string{"up": "lb_policy: RING_HASH"}, sends: []exchange{{send: "GET /cookie; cookie: c=1"}, {send: "GET /header; x-a: ab"}, {send: "GET /header?q=1"}}},
	{name: "replies-grpc", vhost: routes(route("prefix: /none", "route: {cluster: $none}"), route("prefix: /up", to)), sends: []exchange{
		{send: "POST /none; content-type: application/grpc; body: hello"}, {send: "POST /nothing; content-type: application/grpc; body: hello"}, {send: "GET /none"}, {send: "HEAD /none"},
		{send: "POST /up; content-type: application/grpc; te: trailers; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 5\r\ngrpc-message: none\r\n\r\n"}},
	}},
	{name: "limits", clusters: map[string]string{"up": "circuit_breakers: {thresholds: [{max_requests: 0}]}", "b": "circuit_breakers: {thresholds: [{max_connections: 0, max_pending_requests: 0}]}"}, vhost: routes(route("prefix: /a", to), route("prefix: /b", toB)), sends: gets("/a", "/b")},
}
