package oracle

var statistics = []scenario{
	{name: "statistics", json: `text_format_source: {inline_string: "%VIRTUAL_CLUSTER_NAME% %RESPONSE_CODE% %ROUTE_NAME%\n"}`, hosts: "- name: statistics\n  domains: [a.example]\n" + indent(2, `virtual_clusters:
- {name: first, headers: [{name: ":path", string_match: {prefix: /first}}, {name: ":method", string_match: {exact: GET}}]}
- {name: second, headers: [{name: x-second, present_match: true}]}
`+routes(
		route("prefix: /mine", "stat_prefix: mine, "+to),
		route("prefix: /none", "stat_prefix: none, route: {cluster: $none}"),
		route("prefix: /dead", "stat_prefix: dead, route: {cluster: $dead}"),
		route("prefix: /direct", "stat_prefix: direct, direct_response: {status: 200}"),
		route("prefix: /retry", "stat_prefix: retry, route: {cluster: $up, retry_policy: {"+backOff+", retry_on: 5xx}}"),
		route("prefix: /slow", "stat_prefix: slow, route: {cluster: $up, timeout: 0.3s}"),
		route("prefix: /", to),
	)), manager: "use_remote_address: false", sends: []exchange{{send: "GET /first"}, {send: "GET /first", answers: []string{answered(404)}}, {send: "POST /first; body: x"}, {send: "GET /x; x-second: 1"}, {send: "GET /first; x-second: 1", answers: []string{answered(302)}},
		{send: "GET /mine"}, {send: "GET /mine", answers: []string{answered(500)}}, {send: "GET /mine", answers: []string{answered(200, "x-envoy-upstream-canary: true")}}, {send: "GET /mine", answers: []string{answered(404, "x-envoy-upstream-canary: false")}}, {send: "GET /none; x-second: 1"}, {send: "GET /dead"}, {send: "GET /direct; x-second: 1"}, {send: "GET /missing"},
		{send: "GET /retry", answers: []string{answered(503), answered(200)}}, {send: "GET /retry", answers: []string{answered(503), answered(503)}}, {send: "GET /slow", answers: []string{silence}}, {send: "GET /x; x-forwarded-for: 10.0.0.1"}, {send: "GET /first HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n"}}},
	{name: "canaries", vhost: routes(route("prefix: /", "route: {cluster: $c}")), sends: []exchange{{send: "GET /", answers: []string{answered(201, "x-envoy-upstream-canary: true")}}, {send: "GET /", answers: []string{answered(503, "x-envoy-upstream-canary: true")}}}},
}
