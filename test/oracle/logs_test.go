package oracle

// asked are exchanges of which each kind of filter wants some.
var asked = []exchange{{send: "GET /"}, {send: "GET /; x-a: 1", answers: []string{answered(404)}}, {send: "GET /none"}, {send: "POST /; content-type: application/grpc; body: x", answers: []string{answered(200, "grpc-status: 5")}},
	{send: "GET /nowhere"}, {send: "GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n"}, {send: "GET /healthz"}}

const health = `- {name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}]}}`

// certificate says what the client tells of certificates where a client may not.
const certificate = `- {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-forwarded-client-cert, value: "%REQ(x-cert)%"}}}]}}}`

func logs(name, filter string) scenario {
	return scenario{name: "logs-" + name, logs: filter, filters: health, vhost: routes(route("path: /none", "route: {cluster: $none}"), route("path: /", to)), sends: asked}
}

const logJSON = `json_format: {a: "%REQ(x)%", b: "%PROTOCOL%", c: "p %REQ(x)% q", d: {e: "%REQ(x)%"}, f: ["%REQ(x)%", "%RESPONSE_CODE%"], g: "", h: {i: "%REQ(x)%", j: 15, k: null, l: true, m: -12345}, o: {}, p: [], q: ["%REQ(x)%"], t: "%REQ(x-a)%", r: 1, s: -7}`

const expressions = `json_format: {` +
	`request: ["%CEL(request.path)%", "%TYPED_CEL(request.url_path)%", "%CEL(request.query):3%", "%CEL(request.host != '')%", "%CEL(request.scheme)%", "%CEL(request.method)%", "%CEL(request.referer)%", "%CEL(request.useragent)%", "%CEL(request.id == 'i')%", "%CEL(request.protocol)%", "%TYPED_CEL(request.size)%", "%TYPED_CEL(request.duration >= duration('0s'))%", "%CEL(has(request.time))%"], ` +
	`heads: ["%CEL(request.headers['x-a'])%", "%CEL(request.headers['X-A'])%", "%CEL('x-a' in request.headers)%", "%CEL(has(request.headers.host))%", "%CEL(request.headers)%", "%CEL(response.headers['x-b'])%", "%CEL(response.headers[':status'])%", "%TYPED_CEL(response.trailers)%"], ` +
	`response: ["%TYPED_CEL(response.code)%", "%CEL(response.code_details)%", "%TYPED_CEL(response.flags)%", "%TYPED_CEL(response.grpc_status)%", "%TYPED_CEL(response.size)%", "%CEL(has(response.backend_latency))%"], ` +
	`upstream: ["%CEL(has(upstream.address))%", "%CEL(has(upstream.port))%", "%CEL(has(upstream.local_address))%", "%CEL(upstream.transport_failure_reason)%", "%TYPED_CEL(upstream.request_attempt_count)%"], ` +
	`connection: ["%CEL(connection.id > 0u)%", "%CEL(connection.mtls)%", "%CEL(connection.requested_server_name)%", "%CEL(connection.termination_details)%", "%CEL(source.port > 0)%", "%CEL(source.address.startsWith('127.0.0.1:'))%", "%CEL(destination.port > 0)%"], ` +
	`xds: ["%CEL(has(xds.cluster_name))%", "%CEL(xds.route_name)%", "%CEL(has(xds.virtual_host_name))%", "%CEL(xds.filter_chain_name)%", "%TYPED_CEL(xds.virtual_host_metadata.filter_metadata['a'])%", "%CEL(xds.route_metadata.filter_metadata.a.b)%", "%CEL(has(xds.upstream_host_metadata))%", "%CEL(metadata.filter_metadata)%", "%CEL(filter_state['x'])%"], ` +
	`values: ["%CEL(1.0 / 3.0)%", "%TYPED_CEL(1.0 / 4.0)%", "%CEL(duration('90m'))%", "%TYPED_CEL(duration('1.5s'))%", "%CEL(timestamp('2020-01-01T00:00:00.5Z'))%", "%TYPED_CEL(timestamp('2020-01-01T00:00:00Z'))%", "%TYPED_CEL(b'abc')%", "%CEL(null)%", "%TYPED_CEL([1u, 'a', null, {'b': true}])%", "%CEL(1 / 0)%", "a %CEL(1 / 0)% b"]}`

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
	logs("expression", `extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "response.code >= 400 && !(request.path == '/none')"}}`),
	logs("expression-joined", `extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "request.method + ' ' + string(response.code) == 'GET 404'", cel_config: {enable_string_conversion: true, enable_string_concat: true}}}`),
	logs("expression-apart", `extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "request.path == '/none' || request.method + request.path == 'GET/'"}}`),
	logs("expression-none", `extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "response.code"}}`),
	{name: "expressions", json: expressions, filters: health, vhost: "metadata: {filter_metadata: {a: {b: c, n: 3}}}\n" + routes(route("path: /none", "route: {cluster: $none}"), route("path: /named", "name: named, metadata: {filter_metadata: {a: {b: d}}}, "+to), route("path: /", to)),
		sends: append([]exchange{{send: "GET /named?a=b; x-a: 1; x-a: 2; referer: r; user-agent: u; x-request-id: i"}, {send: "POST /; body: hello", answers: []string{answered(200, "x-b: 1", "x-b: 2")}}}, asked[:6]...)},
	{name: "certificates", json: `json_format: {uri: "%XFCC_VALUE(uri)%", upper: "%XFCC_VALUE(URI):2%", by: "a %XFCC_VALUE(by)% b", hash: "%XFCC_VALUE(Hash)%", subject: "%XFCC_VALUE(subject)%", dns: "%XFCC_VALUE(dns)%", cert: ["%XFCC_VALUE(cert)%", "%XFCC_VALUE(chain)%"]}`, filters: certificate,
		sends: []exchange{{send: "GET /"}, {send: "GET /; x-cert: uri=spiffe://a; x-forwarded-client-cert: URI=b"}, {send: "GET /; x-cert: By=b;URI=1,URI=2;DNS=3, dns = 4 ;Hash="}, {send: `GET /; x-cert: Subject="O=a,CN=\"b;c\"\\";by=x"y;uri=z`},
			{send: "GET /; x-cert: uri=1,uri=2,by=\"z"}, {send: "GET /; x-cert: by=\"z;uri=1"}, {send: "GET /; x-cert: uri;dns=\\;by==,;=x,chain=a\\b"}}},
	{name: "tcp-expressions", tcp: "cluster: $up", json: expressions, sends: []exchange{{send: "tcp hello"}}},
	logs("type", "log_type_filter: {types: [DownstreamEnd]}"),
	logs("type-not", "log_type_filter: {types: [DownstreamEnd, TcpConnectionEnd], exclude: true}"),
	{name: "json", json: logJSON, sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: \"\\\t\x7f\xc3\xa9"}}},
	{name: "json-empty", json: logJSON + ", omit_empty_values: true", sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: 1"}}},
	{name: "text-empty", json: `omit_empty_values: true, text_format: "a %REQ(x)% %REQ(x-a)%|%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"`, sends: []exchange{{send: "GET /"}, {send: "GET /; x-a: 1"}}},
	{name: "logs-tcp", tcp: "cluster: $up", logs: "log_type_filter: {types: [TcpConnectionEnd]}", sends: []exchange{{send: "tcp hello"}}},
	{name: "logs-tcp-not", tcp: "cluster: $up", logs: "and_filter: {filters: [{status_code_filter: {comparison: {value: {runtime_key: k}}}}, {header_filter: {header: {name: x-a, present_match: true}}}]}", sends: []exchange{{send: "tcp hello"}}},
}
