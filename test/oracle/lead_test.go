package oracle

const routeMessage = `{"@type": type.googleapis.com/envoy.config.route.v3.`

func meets(route string) string {
	return `{action: {name: r, typed_config: ` + routeMessage + `Route, ` + route + `}}}`
}

func meetsOf(routes string) string {
	return `{action: {name: r, typed_config: ` + routeMessage + `RouteList, routes: [` + routes + `]}}}`
}

func askingField(name string) string {
	return `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: "` + name + `"}}`
}

func whenField(name, value string) string {
	return "{single_predicate: {" + askingField(name) + ", value_match: {" + value + "}}}"
}

func rule(predicate, then string) string {
	return "{predicate: " + predicate + ", on_match: " + then + "}"
}

// leading are virtual hosts whose routes are found by a matcher.
var leading = []scenario{
	{name: "lead-list", vhost: "response_headers_to_add: [{header: {key: x-host, value: all}}]\nmatcher:\n  matcher_list: {matchers: [" +
		rule(whenField("X-A", `exact: "1,2"`), meets(`match: {prefix: /a}, name: one, route: {cluster: $up, prefix_rewrite: /x}, request_headers_to_add: [{header: {key: x-b, value: one}}]`)) + ", " +
		rule(whenField("x-a", `prefix: "1"`), meetsOf(`{match: {path: /b}, redirect: {path_redirect: /c}}, {match: {prefix: /c}, name: c, route: {cluster: $b}}, {match: {path: /d}, route: {cluster: nobody}}`)) + ", " +
		rule("{not_matcher: "+whenField("x-b", `safe_regex: {google_re2: {}, regex: ".*"}`)+"}", meets(`match: {prefix: /}, direct_response: {status: 201}`)) + ", " +
		rule("{and_matcher: {predicate: ["+whenField("x-b", "suffix: a")+", {or_matcher: {predicate: ["+whenField("x-b", "contains: b")+", "+whenField(":method", "exact: put, ignore_case: true")+"]}}]}}", "{matcher: {matcher_list: {matchers: ["+
			rule(whenField("host", "prefix: h"), meets("match: {prefix: /}, direct_response: {status: 202}"))+"]}}}") +
		"]}\n  on_no_match: " + meets("match: {prefix: /}, direct_response: {status: 203}"),
		sends: append(gets("/", "/a"), exchange{send: "GET /a?q; x-a: 1,2"}, exchange{send: "GET /a; x-a: 1; x-a: 2"}, exchange{send: "GET /b; x-a: 1,2"}, exchange{send: "GET /b; x-a: 1"}, exchange{send: "GET /c; x-a: 1"},
			exchange{send: "GET /e; x-a: 1"}, exchange{send: "GET /; x-b: ba"}, exchange{send: "GET /; x-b: ba; host: h.test"}, exchange{send: "PUT /; x-b: a; host: h.test"}, exchange{send: "GET /; x-b: a; host: h.test"}, exchange{send: "GET /; x-b: "}, exchange{send: "GET /; x-b: b; x-b: a; host: H.test"})},
	{name: "lead-tree", vhost: "require_tls: EXTERNAL_ONLY\nmatcher:\n  matcher_tree: {" + askingField(":path") + ", prefix_match_map: {map: {" +
		"'/': " + meets("match: {prefix: /}, direct_response: {status: 201}") + ", /long: " + meets("match: {path: /long}, direct_response: {status: 202}") + `, "/lon?": {matcher: {matcher_tree: {` + askingField("x-a") + ", exact_match_map: {map: {v: " + meets("match: {prefix: /lon}, direct_response: {status: 203}") + "}}}}}}}}\n  on_no_match: " + meets("match: {connect_matcher: {}}, direct_response: {status: 206}"),
		sends: append(gets("/", "/long", "/long?q", "/longer", "/lon?q"), exchange{send: "GET /lon?q; x-a: v"}, exchange{send: "GET /lon?q; x-a: w"}, exchange{send: "GET /; x-forwarded-for: 1.2.3.4"}, exchange{send: "OPTIONS *"})},
	{name: "lead-ranges", vhost: "matcher:\n  matcher_tree: {" + askingField("x-ip") + `, custom_match: {name: ip, typed_config: {"@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [` +
		`{ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], on_match: ` + meets("match: {prefix: /}, direct_response: {status: 201}") + `}, {ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}], exclusive: true, on_match: ` + meets("match: {prefix: /a}, direct_response: {status: 202}") + `}, {ranges: [{address_prefix: "2001:db8::", prefix_len: 32}], on_match: ` + meets("match: {prefix: /}, direct_response: {status: 203}") + "}]}}}",
		sends: []exchange{{send: "GET /; x-ip: 10.2.2.3"}, {send: "GET /a; x-ip: 10.1.2.3"}, {send: "GET /; x-ip: 10.1.2.3"}, {send: "GET /; x-ip: 2001:DB8::1"}, {send: "GET /; x-ip: 11.1.2.3"}, {send: "GET /; x-ip: 10.2.2.3:80"}, {send: "GET /; x-ip: ::ffff:10.2.2.3"}, {send: "GET /; x-ip: 10.2.2.03"}, {send: "GET /; x-ip: none"}, {send: "GET /; x-ip: "}, {send: "GET /"}, {send: "GET /; x-ip: 10.2.2.3; x-ip: 10.2.2.3"}}},
	{name: "lead-state", filters: `- {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, clear_route_cache: true, on_request_headers: [{object_key: k, factory_key: envoy.string, format_string: {omit_empty_values: true, text_format_source: {inline_string: "%REQ(x-a)%"}}}]}}`,
		vhost: `matcher: {matcher_tree: {input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput, key: k}}, prefix_match_map: {map: {v: ` + meets("match: {prefix: /}, name: v, stat_prefix: v, route: {cluster: $up, retry_policy: {retry_on: 5xx, "+backOff+"}}") + "}}}}",
		sends: []exchange{{send: "GET /; x-a: v"}, {send: "GET /; x-a: vw", answers: []string{answered(503), answered(200)}}, {send: "GET /; x-a: w"}, {send: "GET /"}}},
}
