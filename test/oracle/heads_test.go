package oracle

const adds = `
request_headers_to_add:
- {header: {key: x-level, value: %[1]s}}
- {header: {key: x-over, value: %[1]s}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
- {header: {key: x-absent, value: %[1]s}, append_action: ADD_IF_ABSENT}
- {header: {key: x-exists, value: %[1]s}, append_action: OVERWRITE_IF_EXISTS}
request_headers_to_remove: [x-remove-%[1]s]
response_headers_to_add:
- {header: {key: x-level, value: %[1]s}}
- {header: {key: x-over, value: %[1]s}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
- {header: {key: x-absent, value: %[1]s}, append_action: ADD_IF_ABSENT}
- {header: {key: x-exists, value: %[1]s}, append_action: OVERWRITE_IF_EXISTS}
response_headers_to_remove: [x-remove-%[1]s]
`

var heads = []scenario{
	{name: "levels", vhost: level("host") + `
routes:
- match: {prefix: /a}
  route: {weighted_clusters: {clusters: [{name: $up, weight: 1, request_headers_to_add: [{header: {key: x-level, value: share}}], request_headers_to_remove: [x-remove-share], response_headers_to_add: [{header: {key: x-level, value: share}}], response_headers_to_remove: [x-remove-share]}]}}
` + indent(2, level("route")) + `
- {match: {prefix: /b}, route: {cluster: $up}}
- {match: {prefix: /c}, direct_response: {status: 200}}
`, sends: []exchange{
		{send: "GET /a; x-level: own; x-over: own; x-exists: own; x-remove-host: 1; x-remove-route: 1; x-remove-share: 1", answers: []string{answered(200, "x-level: own", "x-over: own", "x-absent: own", "x-exists: own", "x-remove-host: 1", "x-remove-route: 1", "x-remove-share: 1")}},
		{send: "GET /b; x-absent: own"}, {send: "GET /c"}, {send: "GET /d"},
	}},
	{name: "formats", vhost: `
request_headers_to_add:
- {header: {key: x-protocol, value: "%PROTOCOL%"}}
- {header: {key: x-peer, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
- {header: {key: x-local, value: "%DOWNSTREAM_LOCAL_ADDRESS%"}}
- {header: {key: x-req, value: "a %REQ(x-a)% b"}}
- {header: {key: x-missing, value: "%REQ(x-b)%"}}
- {header: {key: x-missing-kept, value: "%REQ(x-b)%"}, keep_empty_value: true}
- {header: {key: x-path, value: "%REQ(:PATH)%"}}
- {header: {key: x-alt, value: "%REQ(x-b?x-a)%"}}
- {header: {key: x-percent, value: "100%%"}}
- {header: {key: x-route, value: "%ROUTE_NAME%"}}
- {header: {key: x-cluster, value: "%UPSTREAM_CLUSTER%"}}
- {header: {key: x-query, value: "%QUERY_PARAM(q)%"}}
response_headers_to_add:
- {header: {key: x-flags, value: "%RESPONSE_FLAGS%"}}
- {header: {key: x-details, value: "%RESPONSE_CODE_DETAILS%"}}
- {header: {key: x-code, value: "%RESPONSE_CODE%"}}
- {header: {key: x-upstream, value: "%UPSTREAM_HOST%"}}
- {header: {key: x-resp, value: "%RESP(content-type)%"}}
- {header: {key: x-empty, value: ""}, keep_empty_value: true}
routes:
- {name: first, match: {prefix: /a}, route: {cluster: $up}}
- {name: second, match: {prefix: /b}, direct_response: {status: 200}}
`, sends: []exchange{{send: "GET /a?q=v%20; x-a: 1; x-a: 2"}, {send: "GET /a"}, {send: "GET /b"}, {send: "GET /c"}}},
	{name: "forwarded", manager: "use_remote_address: true", sends: []exchange{{send: "GET /"}, {send: "GET /; x-forwarded-for: 1.2.3.4"}, {send: "GET /; x-forwarded-for: 10.0.0.1, 1.2.3.4; x-forwarded-proto: https"},
		{send: "GET /; x-envoy-internal: true; x-envoy-retry-on: 5xx; x-envoy-downstream-service-cluster: c; x-request-id: 0123; x-envoy-expected-rq-timeout-ms: 5; x-envoy-external-address: 1.1.1.1"}, {send: "GET /; x-forwarded-for: ::1"}, {send: "GET /; x-forwarded-for: not an address"}}},
	{name: "forwarded-edge", manager: "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}\nforward_client_cert_details: SANITIZE", sends: []exchange{{send: "GET /"},
		{send: "GET /; x-envoy-internal: true; x-envoy-retry-on: 5xx; x-envoy-max-retries: 2; x-envoy-upstream-rq-timeout-ms: 900; x-envoy-force-trace: 1; x-envoy-decorator-operation: a; x-request-id: 0123; x-envoy-original-path: /b; x-envoy-hedge-on-per-try-timeout: true; x-envoy-attempt-count: 5; x-client-trace-id: 1; x-forwarded-client-cert: a; x-envoy-ip-tags: b; x-envoy-upstream-alt-stat-name: c; x-envoy-is-timeout-retry: 1; x-forwarded-proto: https; x-forwarded-host: a; forwarded: for=1.2.3.4; proxy-connection: close; te: trailers, gzip; keep-alive: 5"}}},
	{name: "trusted-hops", manager: "use_remote_address: true\nxff_num_trusted_hops: 1", sends: []exchange{{send: "GET /; x-forwarded-for: 1.2.3.4, 5.6.7.8"}, {send: "GET /; x-forwarded-for: 10.0.0.1; x-forwarded-proto: https"}, {send: "GET /"}}},
	{name: "trusted-inside", manager: "xff_num_trusted_hops: 1\nskip_xff_append: true", sends: []exchange{{send: "GET /; x-forwarded-for: 1.2.3.4, 5.6.7.8"}, {send: "GET /; x-forwarded-for: 10.0.0.1"}, {send: "GET /; x-forwarded-for: 1.2.3.4,bad"}, {send: "GET /"}}},
	{name: "identity", manager: "via: here\nserver_name: oracle\nadd_user_agent: true\nalways_set_request_id_in_response: true\npreserve_external_request_id: true\nuse_remote_address: true\nappend_x_forwarded_port: true", sends: []exchange{{send: "GET /"}, {send: "GET /; via: there; user-agent: me; x-request-id: 4444; x-envoy-downstream-service-cluster: c", answers: []string{answered(200, "server: other", "via: upstream", "x-request-id: 9")}}}},
	{name: "server-absent", manager: "server_header_transformation: APPEND_IF_ABSENT\ngenerate_request_id: false", sends: []exchange{{send: "GET /"}, {send: "GET /; x-request-id: 5", answers: []string{answered(200, "server: other", "date: yesterday")}}}},
	{name: "server-pass", manager: "server_header_transformation: PASS_THROUGH", vhost: "include_request_attempt_count: true\ninclude_attempt_count_in_response: true\nroutes: [{match: {prefix: /}, route: {cluster: $up}}]", sends: []exchange{{send: "GET /"}, {send: "GET /; x-envoy-attempt-count: 9", answers: []string{answered(200, "server: other", "x-envoy-attempt-count: 7")}}}},
	{name: "suppressed", filters: "", manager: "", vhost: "routes: [{match: {prefix: /}, route: {cluster: $up, timeout: 5s}}]", sends: []exchange{{send: "GET /; x-envoy-upstream-rq-timeout-ms: 4000; x-envoy-upstream-rq-per-try-timeout-ms: 3000; x-envoy-max-retries: 1; x-envoy-retry-on: 5xx; x-envoy-upstream-stream-duration-ms: 100; x-forwarded-for: 10.0.0.1",
		answers: []string{answered(200, "x-envoy-overloaded: true", "x-envoy-degraded: 1", "x-envoy-immediate-health-check-fail: 1", "connection: x-hop", "x-hop: 1", "keep-alive: 1", "x-envoy-upstream-canary: true", "proxy-connection: close")}}}},
	{name: "paths-kept", sends: paths},
	{name: "paths-normal", manager: "normalize_path: true\nmerge_slashes: true", sends: paths},
	{name: "slashes-reject", manager: "path_with_escaped_slashes_action: REJECT_REQUEST", sends: paths},
	{name: "slashes-redirect", manager: "normalize_path: true\npath_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT", sends: paths},
	{name: "slashes-forward", manager: "merge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", sends: paths},
	{name: "ports-any", manager: "strip_any_host_port: true\nstrip_trailing_host_dot: true", hosts: hostPorts, sends: authorities},
	{name: "ports-matching", manager: "strip_matching_host_port: true", hosts: hostPorts, sends: authorities},
	{name: "underscores-reject", manager: "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}", sends: []exchange{{send: "GET /; x_a: 1"}, {send: "GET /; x-a: 1"}}},
	{name: "underscores-drop", manager: "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}", sends: []exchange{{send: "GET /; x_a: 1; x-b: 2", answers: []string{answered(200, "y_a: 1")}}}},
	{name: "proper-case", manager: "http_protocol_options: {header_key_format: {proper_case_words: {}}}", sends: []exchange{{send: "GET /; x-ABC: 1", answers: []string{answered(200, "x-de-f: 1")}}}},
	{name: "xff-mapped", manager: "use_remote_address: true\nrepresent_ipv4_remote_address_as_ipv4_mapped_ipv6: true\nskip_xff_append: false", sends: []exchange{{send: "GET /"}}},
	{name: "matched-upstream", manager: "scheme_header_transformation: {match_upstream: true}", sends: []exchange{{send: "GET /; x-forwarded-proto: https"}}},
	{name: "continued", manager: "proxy_100_continue: true", sends: []exchange{{send: "POST /; expect: 100-continue; body: hello", answers: []string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"}}}},
	{name: "one-request", manager: "common_http_protocol_options: {max_requests_per_connection: 1}", sends: []exchange{{send: "GET /1\nGET /2"}}},
	{name: "both-lengths", manager: "http_protocol_options: {allow_chunked_length: true}", sends: []exchange{{send: "POST / HTTP/1.1\r\n" + a + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}}},
	{name: "custom-methods", manager: "http_protocol_options: {allow_custom_methods: true}", sends: []exchange{{send: "BREW / HTTP/1.1\r\n" + a + "\r\n"}, {send: "get / HTTP/1.1\r\n" + a + "\r\n"}}},
	{name: "order", manager: "", vhost: "", hosts: "", filters: "", sends: []exchange{{send: "GET /; b: 1; a: 2; b: 3", answers: []string{answered(200, "z: 1", "y: 2", "z: 3", "set-cookie: a", "set-cookie: b")}}}},
	{name: "specific-first", vhost: "", hosts: "- {name: top, domains: [a.example], request_headers_to_add: [{header: {key: x, value: host}}], routes: [{match: {prefix: /}, route: {cluster: $up}, request_headers_to_add: [{header: {key: x, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}]}", sends: []exchange{{send: "GET /"}}},
	{name: "scheme", manager: "scheme_header_transformation: {scheme_to_overwrite: https}", sends: []exchange{{send: "GET /"}, {send: "GET http://a.example/x HTTP/1.1\r\nhost: a.example\r\n\r\n"}}},
}

const hostPorts = `- {name: bare, domains: [a.example], routes: [{match: {prefix: /}, route: {cluster: $b}}]}`

var authorities = []exchange{{send: "GET /; host: a.example:1234"}, {send: "GET /; host: a.example."}, {send: "GET /; host: a.example.:80"}, {send: "GET /; host: [::1]:80"}, {send: "GET /; host: a.example:x"}, {send: "GET /; host: a.example:"}}

var paths = gets("/a/../b", "/a//b///c", "/a/./b/", "/%2e%2e/a", "/a%2fb", "/a%5Cb%2F..", `/a\b`, "/../..", "/a/..", "/%41%7e", "/a#frag", "/a?b#c", "/a?x=/../y", "/%zz", "/a;p=1/b", "/%00", "//", "/a%2F%2f../c")

func level(name string) string {
	return sprintf(adds, name)
}
