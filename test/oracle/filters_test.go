package oracle

import "github.com/weftmesh/weft/test/e2e"

var filtered = []scenario{
	{name: "fault-abort", filters: e2e.Filter("f", "fault.v3.HTTPFault", "abort: {http_status: 418, percentage: {numerator: 100}}, headers: [{name: x-fault, present_match: true}]"), sends: []exchange{{send: "GET /; x-fault: 1"}, {send: "GET /"}, {send: "POST /; x-fault: 1; content-type: application/grpc; body: x"}}},
	{name: "fault-header", filters: e2e.Filter("f", "fault.v3.HTTPFault", "abort: {header_abort: {}, percentage: {numerator: 100}}, delay: {header_delay: {}, percentage: {numerator: 100}}"), sends: []exchange{{send: "GET /; x-envoy-fault-abort-request: 501"}, {send: "GET /; x-envoy-fault-delay-request: 5"}, {send: "GET /; x-envoy-fault-abort-grpc-request: 5"}, {send: "GET /; x-envoy-fault-abort-request: 99"}}},
	{name: "ratelimit", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, token_bucket: {max_tokens: 1, fill_interval: 3600s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, response_headers_to_add: [{header: {key: x-limited, value: "yes"}}], enable_x_ratelimit_headers: DRAFT_VERSION_03`),
		sends: []exchange{{send: "GET /"}, {send: "GET /"}, {send: "POST /; content-type: application/grpc; body: x"}}},
	{name: "cors", filters: e2e.Filter("f", "cors.v3.Cors", ""), vhost: e2e.Override("f", "cors.v3.CorsPolicy", `allow_origin_string_match: [{exact: "http://a.test"}], allow_methods: "GET", allow_headers: "x-a", expose_headers: "x-b", max_age: "5", allow_credentials: true`) + "\n" + "routes: [{match: {prefix: /}, route: {cluster: $up}}]",
		sends: []exchange{{send: "GET /; origin: http://a.test"}, {send: "GET /; origin: http://b.test"}, {send: "OPTIONS /; origin: http://a.test; access-control-request-method: GET"}, {send: "OPTIONS /; origin: http://b.test; access-control-request-method: GET"}, {send: "OPTIONS /; origin: http://a.test"}}},
	{name: "csrf", filters: e2e.Filter("f", "csrf.v3.CsrfPolicy", `filter_enabled: {default_value: {numerator: 100}}, additional_origins: [{exact: other.test}]`),
		sends: []exchange{{send: "POST /; origin: http://a.example; body: x"}, {send: "POST /; origin: http://b.example; body: x"}, {send: "POST /; origin: http://other.test; body: x"}, {send: "POST /; body: x"}, {send: "GET /"}, {send: "PUT /; referer: http://a.example/x; body: x"}, {send: "POST /; origin: null; body: x"}}},
	{name: "mutation", filters: e2e.Filter("f", "header_mutation.v3.HeaderMutation", `mutations: {request_mutations: [{append: {header: {key: x-a, value: "%REQ(x-b)%"}, append_action: APPEND_IF_EXISTS_OR_ADD}}, {remove: x-c}], response_mutations: [{append: {header: {key: x-d, value: e}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}], query_parameter_mutations: [{append: {record: {key: q, value: "2"}}}]}`),
		sends: []exchange{{send: "GET /?q=1; x-a: 1; x-b: 2; x-c: 3", answers: []string{answered(200, "x-d: 1")}}, {send: "GET /"}}},
	{name: "buffer", filters: e2e.Filter("f", "buffer.v3.Buffer", "max_request_bytes: 10"), sends: []exchange{{send: "POST /; body: hello"}, {send: "POST /; body: hello hello hello"}, {send: "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}}},
	{name: "health", filters: e2e.Filter("f", "health_check.v3.HealthCheck", `pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}]`), sends: gets("/healthz", "/other")},
}
