package oracle

// mapped is a connection manager that changes answers of its own by a field of the request.
const mapped = `local_reply_config:
  mappers:
  - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: k}}}}
    status_code: 410
    body: {inline_string: "gone"}
    headers_to_add: [{header: {key: x-m, value: "%RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:PATH)%"}}, {header: {key: content-type, value: "a/b"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
  - filter: {header_filter: {header: {name: x-json, present_match: true}}}
    body_format_override: {json_format: {b: "%LOCAL_REPLY_BODY%", c: "%RESPONSE_CODE%", d: "%RESPONSE_CODE_DETAILS%", f: "%RESP(content-type)%", l: ["a %LOCAL_REPLY_BODY%"]}}
  - filter: {header_filter: {header: {name: x-type, present_match: true}}}
    body_format_override: {text_format_source: {inline_string: "%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%RESP(x-d)%|%PROTOCOL%|%ROUTE_NAME%|%REQ(x-b)%"}, content_type: "text/html; charset=UTF-8", omit_empty_values: true}
  - filter: {header_filter: {header: {name: x-empty, present_match: true}}}
    body: {inline_string: ""}
    body_format_override: {text_format: "%LOCAL_REPLY_BODY%"}
  - filter: {header_filter: {header: {name: x-well, present_match: true}}}
    status_code: 200
    body: {inline_string: "well"}
    headers_to_add: [{header: {key: location, value: "/x"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}, {header: {key: content-length, value: "77"}}, {header: {key: grpc-status, value: "3"}}]
  - filter: {duration_filter: {comparison: {op: GE, value: {default_value: 200, runtime_key: k}}}}
    status_code: 502
    body: {inline_string: slow}
  - filter: {and_filter: {filters: [{response_flag_filter: {flags: [UH]}}, {header_filter: {header: {name: x-flag, present_match: true}}}]}}
    status_code: 500
  body_format: {text_format_source: {inline_string: "[%LOCAL_REPLY_BODY% %RESPONSE_CODE% %REQ(:PATH)%]\n"}}
`

const (
	asText = `body_format: {text_format_source: {inline_string: "<%LOCAL_REPLY_BODY% %REQ(:PATH)% %ROUTE_NAME% %RESP(x-d)%>"}}`
	asJSON = `body_format: {json_format: {a: "%LOCAL_REPLY_BODY%"}}`
	asKind = `body_format: {content_type: "x/y", text_format_source: {inline_string: "%LOCAL_REPLY_BODY%"}}`
)

var answering = routes(
	route("prefix: /direct", `name: d, direct_response: {status: 200, body: {inline_string: hello}}, response_headers_to_add: [{header: {key: x-d, value: d}}]`),
	route("prefix: /text", `name: t, direct_response: {status: 202, body: {inline_string: hello}, `+asText+`}, response_headers_to_add: [{header: {key: x-d, value: d}}]`),
	route("prefix: /json", `direct_response: {status: 200, body: {inline_string: '"'}, `+asJSON+`}`),
	route("prefix: /kind", `direct_response: {status: 200, body: {inline_string: hello}, `+asKind+`}`),
	route("prefix: /nothing", `direct_response: {status: 200, `+asKind+`}`),
	route("prefix: /typed/json", `direct_response: {status: 200, body: {inline_string: hello}, `+asJSON+`}, response_headers_to_add: [{header: {key: content-type, value: m/n}}]`),
	route("prefix: /typed/text", `direct_response: {status: 200, body: {inline_string: hello}, `+asText+`}, response_headers_to_add: [{header: {key: content-type, value: m/n}}]`),
	route("prefix: /typed", `direct_response: {status: 200, body: {inline_string: hello}}, response_headers_to_add: [{header: {key: content-type, value: m/n}}]`),
	route("prefix: /bare", `direct_response: {status: 200, body: {inline_string: hello}}, response_headers_to_remove: [content-type, content-length]`),
	route("prefix: /redirect", `redirect: {host_redirect: b}`),
	route("prefix: /none", `route: {cluster: $none}`),
	route("prefix: /dead", `route: {cluster: $dead}`),
	route("prefix: /slow", `route: {cluster: $up, timeout: 0.4s}`),
	route("prefix: /up", to),
)

// asReplies asks for each kind of answer in each way.
func asReplies() (list []exchange) {
	for _, path := range []string{"/direct", "/text", "/json", "/kind", "/nothing", "/typed", "/typed/json", "/typed/text", "/bare", "/redirect", "/none", "/missing"} {
		for _, how := range []string{"", "; x-json: 1", "; x-type: 1", "; x-empty: 1", "; x-well: 1", "; x-flag: 1", "; content-type: application/grpc"} {
			list = append(list, exchange{send: "GET " + path + how})
		}
	}
	return append(list, exchange{send: "HEAD /direct"}, exchange{send: "GET /none; x-json: 1; content-type: application/grpc"}, exchange{send: "GET /none; x-well: 1; content-type: application/grpc"},
		exchange{send: "GET /dead"}, exchange{send: "GET /up"}, exchange{send: "GET /up; x-json: 1", answers: []string{answered(404)}}, exchange{send: "GET /slow", answers: []string{silence}},
		exchange{send: "GET / HTTP/1.1\r\nx a: 1\r\n\r\n"}, exchange{send: "GET / HTTP/1.1\r\n\r\n"}, exchange{send: "GET /up; connection: upgrade; upgrade: websocket"},
		exchange{send: "GET /up; x: " + long(70000)})
}

var replies = []scenario{
	{name: "replies-mapped", manager: mapped, vhost: answering, sends: asReplies()},
	{name: "replies-plain", vhost: answering, sends: asReplies()},
}
