package oracle

// asked are exchanges of which each kind of filter wants some.
var asked = []exchange{{send: "GET /"}, {send: "GET /; x-a: 1", answers: []string{answered(404)}}, {send: "GET /none"}, {send: "POST /; content-type: application/grpc; body: x", answers: []string{answered(200, "grpc-status: 5")}},
	{send: "GET /nowhere"}, {send: "GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n"}, {send: "GET /healthz"}}

const health = `- {name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}]}}`

func logs(name, filter string) scenario {
	return scenario{name: "logs-" + name, logs: filter, filters: health, vhost: routes(route("path: /none", "route: {cluster: $none}"), route("path: /", to)), sends: asked}
}

const logJSON = `json_format: {a: "%REQ(x)%", b: "%PROTOCOL%", c: "p %REQ(x)% q", d: {e: "%REQ(x)%"}, f: ["%REQ(x)%", "%RESPONSE_CODE%"], g: "", h: {i: "%REQ(x)%", j: 15, k: null, l: true, m: -12345}, o: {}, p: [], q: ["%REQ(x)%"], t: "%REQ(x-a)%", r: 1, s: -7}`

var logging = []scenario{
	logs("status", "status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: k}}}"),
	logs("status-not", "status_code_filter: {comparison: {op: NE, value: {default_value: 200, runtime_key: k}}}"),
	logs("status-most", "status_code_filter: {comparison: {op: LE, value: {default_value: 200, runtime_key: k}}}"),
	logs("duration", "duration_filter: {comparison: {op: GE, value: {default_value: 100000, runtime_key: k}}}"),
	logs("health", "not_health_check_filter: {}"),
	logs("nobody", "runtime_filter: {runtime_key: k}"),
	logs("everybody", "runtime_filter: {runtime_key: k, percent_sampled: {numerator: 100}}"),
	logs("and", "and_filter: {filters: [{not_health_check_filter: {}}, {status_code_filter: {comparison: {value: {default_value: 200, runtime_key: k}}}}]}"),
	logs("or", "or_filter: {filters: [{header_filter: {header: {name: x-a, present_match: true}}}, {response_flag_filter: {flags: [UH]}}]}"),
	logs("field", "header_filter: {header: {name: x-a, present_match: true, invert_match: true}}"),
	logs("flags", "response_flag_filter: {}"),
	logs("flag", "response_flag_filter: {flags: [NR, DPE]}"),
	logs("grpc", "grpc_status_filter: {statuses: [NOT_FOUND, UNAVAILABLE]}"),
	logs("grpc-not", "grpc_status_filter: {statuses: [UNKNOWN], exclude: true}"),
	logs("type", "log_type_filter: {types: [DownstreamEnd]}"),
	logs("type-not", "log_type_filter: {types: [DownstreamEnd, TcpConnectionEnd], exclude: true}"),
	{name: "json", json: logJSON, sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: \"\\\t\x7f\xc3\xa9"}}},
	{name: "json-empty", json: logJSON + ", omit_empty_values: true", sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: 1"}}},
	{name: "text-empty", json: `omit_empty_values: true, text_format: "a %REQ(x)% %REQ(x-a)%|%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"`, sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: 1"}}},
	{name: "logs-tcp", tcp: "cluster: $up", logs: "log_type_filter: {types: [TcpConnectionEnd]}", sends: []exchange{{send: "tcp hello"}}},
	{name: "logs-tcp-not", tcp: "cluster: $up", logs: "and_filter: {filters: [{status_code_filter: {comparison: {value: {runtime_key: k}}}}, {header_filter: {header: {name: x-a, present_match: true}}}]}", sends: []exchange{{send: "tcp hello"}}},
}
