package fields

import (
	"strings"
	"testing/iotest"

	"github.com/weftmesh/weft/test/e2e"
)

const add = `[{header: {key: x-a, value: v}}]`

var body = answer("HTTP/1.1 200 OK\r\nx-r: up\r\ncontent-length: 0\r\n\r\n")

func logRoute(format string) func(string) string {
	return func(p string) string {
		return strings.Replace(vhost("routes: [{match: {prefix: /}, route: {cluster: up}, "+p+"}]"), "stat_prefix: http\n", "stat_prefix: http\n          "+replaced(fileLog, "%REQ(:SCHEME)%", format)+"\n", 1)
	}
}

func otherName(field string) func(string) string {
	return func(p string) string { return replaced(vhostAnd(""), field, p) }
}

// connects is a route that CONNECT may meet, which is allowed everywhere.
func connects(piece string) string {
	return replaced(vhost("routes: [{match: {"+piece+"}}]"), "stat_prefix: http\n", "stat_prefix: http\n          upgrade_configs: [{upgrade_type: CONNECT}]\n")
}

// tunnelled is what is heard through a tunnel, or the answer that there is none.
func tunnelled(w *world) string {
	c := w.dial()
	c.Send("CONNECT a.example:1 HTTP/1.1\r\nhost: a.example:1\r\n\r\nhi")
	all := until(iotest.OneByteReader(c.Conn), "\r\n\r\n") // what the tunnel says may come with it
	if strings.HasPrefix(all, "HTTP/1.1 200 OK") {
		return hears(c.Conn)
	}
	line, _, _ := strings.Cut(all, "\r\n")
	return line
}

func template(text string) string {
	return `path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "` + text + `"}}`
}

// Texts whose xxHash64 is even and odd, and does not reach what comes next when it is turned by a bit.
const even, odd = "d", "b"

// sharesBy is two shares of the same weight, which something decides.
func sharesBy(piece string) string {
	return action2("hash_policy: [{header: {header_name: x-h}}], weighted_clusters: {" + piece + ", " + twoEqual + "}")
}

const twoEqual = "clusters: [{name: up, weight: 1, request_headers_to_add: [{header: {key: x-share, value: a}}]}, {name: up, weight: 1, request_headers_to_add: [{header: {key: x-share, value: b}}]}]"

func hashed(policies string) string {
	return action2("hash_policy: [" + policies + "], weighted_clusters: {use_hash_policy: true, " + twoEqual + "}")
}

func rewritten(piece string) string {
	return route("match: {" + template("/a/{b}") + `}, route: {cluster: up, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "` + piece + `"}}}`)
}

const grpcRequest = "GET /; content-type: application/grpc; grpc-timeout: 9S"

// matchesAll tells whether every request meets the route.
func matchesAll(w *world) string {
	c := w.dial()
	for range 100 {
		if c.Get("/").Status != 200 {
			return "false"
		}
	}
	return "true"
}

var routeTrials = []trial{
	{paths: "RouteConfiguration.request_headers_to_add", site: table, flip: "request_headers_to_add: " + add, probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "RouteConfiguration.request_headers_to_remove", site: table, flip: "request_headers_to_remove: [x-r]", probe: look("GET /; x-r: c", ">x-r"), want: [2]string{"c", "-"}},
	{paths: "RouteConfiguration.response_headers_to_add", site: table, flip: "response_headers_to_add: " + add, probe: look("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "RouteConfiguration.response_headers_to_remove", site: table, flip: "response_headers_to_remove: [x-r]", up: body, probe: look("GET /", "<x-r"), want: [2]string{"up", "-"}},
	{paths: "VirtualHost.request_headers_to_add", site: vhostAnd, flip: "request_headers_to_add: " + add, probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "VirtualHost.request_headers_to_remove", site: vhostAnd, flip: "request_headers_to_remove: [x-r]", probe: look("GET /; x-r: c", ">x-r"), want: [2]string{"c", "-"}},
	{paths: "VirtualHost.response_headers_to_add", site: vhostAnd, flip: "response_headers_to_add: " + add, probe: look("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "VirtualHost.response_headers_to_remove", site: vhostAnd, flip: "response_headers_to_remove: [x-r]", up: body, probe: look("GET /", "<x-r"), want: [2]string{"up", "-"}},
	{paths: "Route.request_headers_to_add", site: routeAnd, flip: "request_headers_to_add: " + add, probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "Route.request_headers_to_remove", site: routeAnd, flip: "request_headers_to_remove: [x-r]", probe: look("GET /; x-r: c", ">x-r"), want: [2]string{"c", "-"}},
	{paths: "Route.response_headers_to_add", site: routeAnd, flip: "response_headers_to_add: " + add, probe: look("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "Route.response_headers_to_remove", site: routeAnd, flip: "response_headers_to_remove: [x-r]", up: body, probe: look("GET /", "<x-r"), want: [2]string{"up", "-"}},
	{paths: "WeightedCluster.ClusterWeight.request_headers_to_add", site: share, flip: "request_headers_to_add: " + add, probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "WeightedCluster.ClusterWeight.request_headers_to_remove", site: share, flip: "request_headers_to_remove: [x-r]", probe: look("GET /; x-r: c", ">x-r"), want: [2]string{"c", "-"}},
	{paths: "WeightedCluster.ClusterWeight.response_headers_to_add", site: share, flip: "response_headers_to_add: " + add, probe: look("GET /", "<x-a"), want: [2]string{"-", "v"}},
	{paths: "WeightedCluster.ClusterWeight.response_headers_to_remove", site: share, flip: "response_headers_to_remove: [x-r]", up: body, probe: look("GET /", "<x-r"), want: [2]string{"up", "-"}},
	{paths: "WeightedCluster.ClusterWeight.host_rewrite_literal", site: share, flip: "host_rewrite_literal: b", probe: look("GET /", ">host"), want: [2]string{"a.example", "b"}},
	{paths: "config.route.v3.WeightedCluster.ClusterWeight.name", site: action2, base: "cluster_not_found_response_code: NOT_FOUND, weighted_clusters: {clusters: [{name: up, weight: 1}]}", flip: "cluster_not_found_response_code: NOT_FOUND, weighted_clusters: {clusters: [{name: gone, weight: 1}]}", probe: served, want: [2]string{"true", "false"}},
	{paths: "config.route.v3.WeightedCluster.ClusterWeight.weight", site: twoShares, base: "1, 0", flip: "0, 1", probe: look("GET /", ">x-share"), want: [2]string{"a", "b"}},
	{paths: "config.route.v3.WeightedCluster.total_weight", site: action2, base: "weighted_clusters: {clusters: [{name: up, weight: 1}]}", flip: "weighted_clusters: {total_weight: 7, clusters: [{name: up, weight: 1}]}", probe: served, want: [2]string{"true", "false"}},

	{paths: "RouteConfiguration.internal_only_headers", site: table, flip: "internal_only_headers: [x-mine]", probe: look("GET /; x-mine: v", ">x-mine"), want: [2]string{"v", "-"}},
	{paths: "RouteConfiguration.most_specific_header_mutations_wins", site: wins, base: "most_specific_header_mutations_wins: false", flip: "most_specific_header_mutations_wins: true", probe: look("GET /", ">x-a"), want: [2]string{"general", "specific"}},
	{paths: "RouteConfiguration.validate_clusters", site: func(p string) string { return replaced(table(p), "route: {cluster: up}", "route: {cluster: gone}") }, flip: "validate_clusters: false", probe: served, want: [2]string{"false", "true"}},
	{paths: "RouteConfiguration.max_direct_response_body_size_bytes", site: func(p string) string {
		return replaced(table(p), "route: {cluster: up}", "direct_response: {status: 200, body: {inline_string: four}}")
	}, flip: "max_direct_response_body_size_bytes: 3", probe: served, want: [2]string{"true", "false"}},
	{paths: "RouteConfiguration.ignore_port_in_host_matching", site: func(p string) string { return replaced(table(p), `["*"]`, "[a.example]") }, flip: "ignore_port_in_host_matching: true", probe: look("GET /; host: a.example:8", "status"), want: [2]string{"404", "200"}},
	{paths: "VirtualHost.domains", site: otherName(`["*"]`), base: "[a.example]", flip: "[b.example]", probe: look("GET /", "status"), want: [2]string{"200", "404"}},
	{paths: "VirtualHost.require_tls=ALL", site: vhostAnd, flip: "require_tls: ALL", probe: look("GET /", "status"), want: [2]string{"200", "301"}},
	{paths: "VirtualHost.require_tls=EXTERNAL_ONLY", site: vhostAnd, flip: "require_tls: EXTERNAL_ONLY", probe: look("GET /", "status"), want: [2]string{"200", "301"}},
	{paths: "VirtualHost.include_request_attempt_count", site: vhostAnd, flip: "include_request_attempt_count: true", probe: look("GET /", ">x-envoy-attempt-count"), want: [2]string{"-", "1"}},
	{paths: "VirtualHost.include_attempt_count_in_response", site: vhostAnd, flip: "include_attempt_count_in_response: true", probe: look("GET /", "<x-envoy-attempt-count"), want: [2]string{"-", "1"}},
	{paths: "RouteConfiguration.typed_per_filter_config", site: func(p string) string {
		const pad = "            "
		return replaced(overrides("", all)(""), pad+"name: local\n", pad+"name: local\n"+pad+p+"\n")
	}, flip: "typed_per_filter_config: {tag: " + override + "}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "VirtualHost.typed_per_filter_config", site: overrides("", "\n"+all), flip: "typed_per_filter_config: {tag: " + override + "}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "Route.typed_per_filter_config", site: overrides("routes: [{match: {prefix: /}, route: {cluster: up}, ", "}]"), flip: "typed_per_filter_config: {tag: " + override + "}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "ClusterWeight.typed_per_filter_config", site: overrides("routes: [{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, weight: 1, ", "}]}}}]"), flip: "typed_per_filter_config: {tag: " + override + "}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "FilterConfig.config", site: overrides("", "\n"+all), flip: `typed_per_filter_config: {tag: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: ` + override + "}}", probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "FilterConfig.disabled", site: overrides("", "\n"+all), flip: `typed_per_filter_config: {tag: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}`, probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "Route.name", site: logRoute("%ROUTE_NAME%"), base: "name: a", flip: "name: b", probe: look("GET /", "@log"), want: [2]string{"a", "b"}},

	{paths: "RouteMatch.connect_matcher", site: connects, base: "prefix: /}, route: {cluster: up", flip: "connect_matcher: {}}, route: {cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]", up: greets, probe: tunnelled, want: [2]string{"HTTP/1.1 404 Not Found", "hello"}},
	{paths: "ConnectConfig.allow_post", site: action2, base: "cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]", flip: "cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]", up: greets, probe: func(w *world) string {
		c := w.dial()
		c.Send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 2\r\n\r\nhi")
		line, _, _ := strings.Cut(until(iotest.OneByteReader(c.Conn), "\r\n\r\n"), "\r\n")
		return line
	}, want: [2]string{"HTTP/1.1 502 Bad Gateway", "HTTP/1.1 200 OK"}},
	{paths: "RouteMatch.query_parameters QueryParameterMatcher.name", site: match, base: "prefix: /, query_parameters: [{name: a}]", flip: "prefix: /, query_parameters: [{name: b}]", probe: look("GET /?a", "status"), want: [2]string{"200", "418"}},
	{paths: "QueryParameterMatcher.string_match", site: match, base: "prefix: /, query_parameters: [{name: a, string_match: {exact: b}}]", flip: "prefix: /, query_parameters: [{name: a, string_match: {exact: c}}]", probe: look("GET /?a=b", "status"), want: [2]string{"200", "418"}},
	{paths: "QueryParameterMatcher.present_match", site: match, base: "prefix: /, query_parameters: [{name: a, present_match: true}]", flip: "prefix: /, query_parameters: [{name: a, present_match: false}]", probe: look("GET /?a=b", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.cookies CookieMatcher.name", site: match, base: "prefix: /, cookies: [{name: a, string_match: {exact: b}}]", flip: "prefix: /, cookies: [{name: c, string_match: {exact: b}}]", probe: look("GET /; cookie: a=b", "status"), want: [2]string{"200", "418"}},
	{paths: "CookieMatcher.string_match", site: match, base: "prefix: /, cookies: [{name: a, string_match: {exact: b}}]", flip: "prefix: /, cookies: [{name: a, string_match: {exact: c}}]", probe: look("GET /; cookie: a=b", "status"), want: [2]string{"200", "418"}},
	{paths: "CookieMatcher.invert_match", site: match, base: "prefix: /, cookies: [{name: a, string_match: {exact: b}}]", flip: "prefix: /, cookies: [{name: a, string_match: {exact: b}, invert_match: true}]", probe: look("GET /; cookie: a=b", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.grpc", site: match, base: "prefix: /", flip: "prefix: /, grpc: {}", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.runtime_fraction RuntimeFractionalPercent.default_value FractionalPercent.numerator", site: match, base: "prefix: /, runtime_fraction: {default_value: {numerator: 100}}", flip: "prefix: /, runtime_fraction: {default_value: {numerator: 0}}", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
	{paths: "FractionalPercent.denominator=TEN_THOUSAND", site: match, base: "prefix: /, runtime_fraction: {default_value: {numerator: 100}}", flip: "prefix: /, runtime_fraction: {default_value: {numerator: 100, denominator: TEN_THOUSAND}}", probe: matchesAll, want: [2]string{"true", "false"}},
	{paths: "FractionalPercent.denominator=MILLION", site: match, base: "prefix: /, runtime_fraction: {default_value: {numerator: 100}}", flip: "prefix: /, runtime_fraction: {default_value: {numerator: 100, denominator: MILLION}}", probe: matchesAll, want: [2]string{"true", "false"}},
	{paths: "RouteMatch.tls_context TlsContextMatchOptions.presented", site: match, base: "prefix: /, tls_context: {presented: false}", flip: "prefix: /, tls_context: {presented: true}", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
	{paths: "TlsContextMatchOptions.validated", site: match, base: "prefix: /, tls_context: {validated: false}", flip: "prefix: /, tls_context: {validated: true}", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.path_match_policy UriTemplateMatchConfig.path_template", site: match, base: template("/a/*"), flip: template("/b/*"), probe: look("GET /a/x", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteConfiguration.ignore_path_parameters_in_path_matching", site: func(p string) string { return replaced(table(p), "prefix: /", "path: /a") }, flip: "ignore_path_parameters_in_path_matching: true", probe: look("GET /a;b", "status"), want: [2]string{"404", "200"}},
	{paths: "RouteConfiguration.vhost_header", site: func(p string) string { return replaced(table(p), `["*"]`, "[b.example]") }, flip: "vhost_header: x-host", probe: look("GET /; x-host: b.example", "status"), want: [2]string{"404", "200"}},

	{paths: "RouteAction.cluster_header", site: action2, base: "cluster_header: x-c", flip: "cluster_header: x-d", probe: look("GET /; x-c: up", "status"), want: [2]string{"200", "503"}},
	{paths: "WeightedCluster.ClusterWeight.cluster_header", site: action2, base: "weighted_clusters: {clusters: [{cluster_header: x-c, weight: 1}]}", flip: "weighted_clusters: {clusters: [{cluster_header: x-d, weight: 1}]}", probe: look("GET /; x-c: up", "status"), want: [2]string{"200", "503"}},
	{paths: "WeightedCluster.header_name", site: sharesBy, base: "header_name: x-n", flip: "header_name: x-m", probe: look("GET /; x-n: 1; x-m: 0", ">x-share"), want: [2]string{"b", "a"}},
	{paths: "WeightedCluster.use_hash_policy", site: sharesBy, base: "header_name: x-n", flip: "use_hash_policy: true", probe: look("GET /; x-n: 1; x-h: "+even, ">x-share"), want: [2]string{"b", "a"}},
	{paths: "RouteAction.hash_policy HashPolicy.header HashPolicy.Header.header_name", site: hashed, base: "{header: {header_name: x-h}}", flip: "{header: {header_name: x-g}}", probe: look("GET /; x-h: "+even+"; x-g: "+odd, ">x-share"), want: [2]string{"a", "b"}},
	{paths: "HashPolicy.Header.regex_rewrite", site: hashed, base: "{header: {header_name: x-h}}", flip: "{header: {header_name: x-h, regex_rewrite: {pattern: {regex: ^.*$}, substitution: " + even + "}}}", probe: look("GET /; x-h: "+odd, ">x-share"), want: [2]string{"b", "a"}},
	{paths: "HashPolicy.cookie HashPolicy.Cookie.name", site: hashed, base: "{cookie: {name: c}}", flip: "{cookie: {name: d}}", probe: look("GET /; cookie: c="+even+"; cookie: d="+odd, ">x-share"), want: [2]string{"a", "b"}},
	{paths: "HashPolicy.query_parameter HashPolicy.QueryParameter.name", site: hashed, base: "{query_parameter: {name: c}}", flip: "{query_parameter: {name: d}}", probe: look("GET /?c="+even+"&d="+odd, ">x-share"), want: [2]string{"a", "b"}},
	{paths: "HashPolicy.connection_properties HashPolicy.ConnectionProperties.source_ip", site: hashed, base: "{connection_properties: {source_ip: true}}, {header: {header_name: x-h}}", flip: "{connection_properties: {source_ip: false}}, {header: {header_name: x-h}}", probe: look("GET /; x-forwarded-for: 10.0.0.1; x-h: "+even, ">x-share"), want: [2]string{"b", "a"}},
	{paths: "HashPolicy.terminal", site: hashed, base: "{header: {header_name: x-h}}, {header: {header_name: x-g}}", flip: "{header: {header_name: x-h}, terminal: true}, {header: {header_name: x-g}}", probe: look("GET /; x-h: "+even+"; x-g: "+odd, ">x-share"), want: [2]string{"b", "a"}},
	{paths: "HashPolicy.Cookie.ttl", site: action, base: "hash_policy: [{cookie: {name: c}}]", flip: "hash_policy: [{cookie: {name: c, ttl: 9s}}]", probe: has("; Max-Age=9; HttpOnly", look("GET /", "<set-cookie")), want: [2]string{"false", "true"}},
	{paths: "HashPolicy.Cookie.path", site: action, base: "hash_policy: [{cookie: {name: c, ttl: 0s}}]", flip: "hash_policy: [{cookie: {name: c, ttl: 0s, path: /p}}]", probe: has("; Path=/p; HttpOnly", look("GET /", "<set-cookie")), want: [2]string{"false", "true"}},
	{paths: "HashPolicy.Cookie.attributes CookieAttribute.name CookieAttribute.value", site: action, base: "hash_policy: [{cookie: {name: c, ttl: 0s, attributes: [{name: a, value: b}]}}]", flip: "hash_policy: [{cookie: {name: c, ttl: 0s, attributes: [{name: d, value: e}]}}]", probe: has("; d=e; HttpOnly", look("GET /", "<set-cookie")), want: [2]string{"false", "true"}},
	{paths: "RouteAction.max_grpc_timeout", site: action, base: "timeout: 3s", flip: "timeout: 3s, max_grpc_timeout: 2s", probe: look(grpcRequest, ">grpc-timeout"), want: [2]string{"9S", "2000m"}},
	{paths: "RouteAction.grpc_timeout_offset", site: action, base: "max_grpc_timeout: 20s", flip: "max_grpc_timeout: 20s, grpc_timeout_offset: 1s", probe: look(grpcRequest, ">grpc-timeout"), want: [2]string{"9000m", "8000m"}},
	{paths: "MaxStreamDuration.grpc_timeout_header_max", site: action, base: "max_stream_duration: {grpc_timeout_header_max: 5s}", flip: "max_stream_duration: {grpc_timeout_header_max: 4s}", probe: look(grpcRequest, ">grpc-timeout"), want: [2]string{"5000m", "4000m"}},
	{paths: "MaxStreamDuration.grpc_timeout_header_offset", site: action, base: "max_stream_duration: {grpc_timeout_header_max: 0s}", flip: "max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s}", probe: look(grpcRequest, ">grpc-timeout"), want: [2]string{"9000m", "8000m"}},
	{paths: "RouteAction.regex_rewrite RegexMatchAndSubstitute.pattern RegexMatchAndSubstitute.substitution", site: action, base: "regex_rewrite: {pattern: {regex: a}, substitution: b}", flip: "regex_rewrite: {pattern: {regex: (x)}, substitution: '\\1y'}", probe: look("GET /ax", "line"), want: [2]string{"GET /bx HTTP/1.1", "GET /axy HTTP/1.1"}},
	{paths: "RouteAction.path_rewrite_policy UriTemplateRewriteConfig.path_template_rewrite", site: rewritten, base: "/{b}", flip: "/{b}/c", probe: look("GET /a/x", "line"), want: [2]string{"GET /x HTTP/1.1", "GET /x/c HTTP/1.1"}},
	{paths: "RouteAction.path_rewrite", site: action, base: "path_rewrite: /a", flip: "path_rewrite: \"/%PROTOCOL%\"", probe: look("GET /", "line"), want: [2]string{"GET /a HTTP/1.1", "GET /HTTP/1.1 HTTP/1.1"}},
	{paths: "RouteAction.host_rewrite_header", site: action, base: "host_rewrite_header: x-h", flip: "host_rewrite_header: x-g", probe: look("GET /; x-h: h; x-g: g", ">host"), want: [2]string{"h", "g"}},
	{paths: "RouteAction.host_rewrite_path_regex", site: action, base: "host_rewrite_path_regex: {pattern: {regex: /}, substitution: h.}", flip: "host_rewrite_path_regex: {pattern: {regex: /}, substitution: g.}", probe: look("GET /a", ">host"), want: [2]string{"h.a", "g.a"}},
	{paths: "RouteAction.host_rewrite", site: action, base: "host_rewrite: h", flip: "host_rewrite: \"%REQ(x-g)%\"", probe: look("GET /; x-g: g", ">host"), want: [2]string{"h", "g"}},
	{paths: "RouteAction.auto_host_rewrite", site: func(p string) string {
		return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, "+p+"}}]"), "- {name: up, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{"+replaced(here, "endpoint: {", "endpoint: {hostname: h.example, ")+"}]}]}}")
	}, base: "auto_host_rewrite: false", flip: "auto_host_rewrite: true", probe: look("GET /", ">host"), want: [2]string{"a.example", "h.example"}},
	{paths: "RedirectAction.regex_rewrite", site: redirect, base: "regex_rewrite: {pattern: {regex: a}, substitution: b}", flip: "regex_rewrite: {pattern: {regex: a}, substitution: c}", probe: look("GET /a", "<location"), want: [2]string{"http://a.example/b", "http://a.example/c"}},
	{paths: "RedirectAction.path_rewrite", site: redirect, base: "path_rewrite: /b", flip: "path_rewrite: \"/%REQ(x-g)%\"", probe: look("GET /a?q; x-g: g", "<location"), want: [2]string{"http://a.example/b?q", "http://a.example/g?q"}},

	{paths: "RouteMatch.prefix", site: match, base: "prefix: /a", flip: "prefix: /b", probe: look("GET /ax", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.path", site: match, base: "prefix: /a", flip: "path: /a", probe: look("GET /ax", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.path_separated_prefix", site: match, base: "prefix: /a", flip: "path_separated_prefix: /a", probe: look("GET /ax", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.safe_regex RegexMatcher.regex", site: match, base: "safe_regex: {regex: /a.*}", flip: "safe_regex: {regex: /b.*}", probe: look("GET /ax", "status"), want: [2]string{"200", "418"}},
	{paths: "RouteMatch.case_sensitive", site: match, base: "prefix: /A", flip: "prefix: /A, case_sensitive: false", probe: look("GET /a", "status"), want: [2]string{"418", "200"}},
	{paths: "HeaderMatcher.name", site: header, base: "name: x, exact_match: v", flip: "name: z, exact_match: v", probe: look("GET /; x: v", "status"), want: [2]string{"200", "418"}},
	{paths: "HeaderMatcher.exact_match", site: header, base: "name: x, exact_match: v", flip: "name: x, exact_match: w", probe: look("GET /; x: v", "status"), want: [2]string{"200", "418"}},
	{paths: "HeaderMatcher.prefix_match", site: header, base: "name: x, exact_match: v", flip: "name: x, prefix_match: v", probe: look("GET /; x: vw", "status"), want: [2]string{"418", "200"}},
	{paths: "HeaderMatcher.suffix_match", site: header, base: "name: x, exact_match: w", flip: "name: x, suffix_match: w", probe: look("GET /; x: vw", "status"), want: [2]string{"418", "200"}},
	{paths: "HeaderMatcher.contains_match", site: header, base: "name: x, exact_match: w", flip: "name: x, contains_match: w", probe: look("GET /; x: vwx", "status"), want: [2]string{"418", "200"}},
	{paths: "HeaderMatcher.safe_regex_match", site: header, base: "name: x, exact_match: v", flip: "name: x, safe_regex_match: {regex: v+}", probe: look("GET /; x: vv", "status"), want: [2]string{"418", "200"}},
	{paths: "HeaderMatcher.present_match", site: header, base: "name: x, present_match: true", flip: "name: x, present_match: false", probe: look("GET /; x: v", "status"), want: [2]string{"200", "418"}},
	{paths: "HeaderMatcher.invert_match", site: header, base: "name: x, exact_match: v", flip: "name: x, exact_match: v, invert_match: true", probe: look("GET /; x: v", "status"), want: [2]string{"200", "418"}},
	{paths: "HeaderMatcher.treat_missing_header_as_empty", site: header, base: "name: x, exact_match: v, invert_match: true", flip: "name: x, exact_match: v, invert_match: true, treat_missing_header_as_empty: true", probe: look("GET /", "status"), want: [2]string{"418", "200"}},
	{paths: "Int64Range.start", site: header, base: "name: x, range_match: {start: 1, end: 9}", flip: "name: x, range_match: {start: 5, end: 9}", probe: look("GET /; x: 3", "status"), want: [2]string{"200", "418"}},
	{paths: "Int64Range.end", site: header, base: "name: x, range_match: {start: 1, end: 9}", flip: "name: x, range_match: {start: 1, end: 3}", probe: look("GET /; x: 3", "status"), want: [2]string{"200", "418"}},
	{paths: "StringMatcher.exact", site: header, base: "name: x, string_match: {exact: v}", flip: "name: x, string_match: {exact: w}", probe: look("GET /; x: v", "status"), want: [2]string{"200", "418"}},
	{paths: "StringMatcher.prefix", site: header, base: "name: x, string_match: {prefix: v}", flip: "name: x, string_match: {prefix: w}", probe: look("GET /; x: vx", "status"), want: [2]string{"200", "418"}},
	{paths: "StringMatcher.suffix", site: header, base: "name: x, string_match: {suffix: x}", flip: "name: x, string_match: {suffix: w}", probe: look("GET /; x: vx", "status"), want: [2]string{"200", "418"}},
	{paths: "StringMatcher.contains", site: header, base: "name: x, string_match: {contains: w}", flip: "name: x, string_match: {contains: z}", probe: look("GET /; x: vwx", "status"), want: [2]string{"200", "418"}},
	{paths: "StringMatcher.safe_regex", site: header, base: "name: x, string_match: {exact: v}", flip: "name: x, string_match: {safe_regex: {regex: v+}}", probe: look("GET /; x: vv", "status"), want: [2]string{"418", "200"}},
	{paths: "StringMatcher.ignore_case", site: header, base: "name: x, string_match: {exact: V}", flip: "name: x, string_match: {exact: V, ignore_case: true}", probe: look("GET /; x: v", "status"), want: [2]string{"418", "200"}},

	{paths: "RouteAction.cluster", site: action2, base: "cluster: up", flip: "cluster: gone", probe: served, want: [2]string{"true", "false"}},
	{paths: "cluster_not_found_response_code=NOT_FOUND", site: missing, base: "", flip: "cluster_not_found_response_code: NOT_FOUND", probe: look("GET /", "status"), want: [2]string{"503", "404"}},
	{paths: "cluster_not_found_response_code=INTERNAL_SERVER_ERROR", site: missing, base: "", flip: "cluster_not_found_response_code: INTERNAL_SERVER_ERROR", probe: look("GET /", "status"), want: [2]string{"503", "500"}},
	{paths: "RouteAction.prefix_rewrite", site: action, flip: "prefix_rewrite: /b/", probe: look("GET /a", "line"), want: [2]string{"GET /a HTTP/1.1", "GET /b/a HTTP/1.1"}},
	{paths: "RouteAction.host_rewrite_literal", site: action, flip: "host_rewrite_literal: b", probe: look("GET /", ">host"), want: [2]string{"a.example", "b"}},
	{paths: "RouteAction.append_x_forwarded_host", site: action, base: "host_rewrite_literal: b", flip: "host_rewrite_literal: b, append_x_forwarded_host: true", probe: look("GET /", ">x-forwarded-host"), want: [2]string{"-", "a.example"}},
	{paths: "RouteAction.timeout", site: action, base: "idle_timeout: 0.3s", flip: "idle_timeout: 0.3s, timeout: 0.05s", up: silent, probe: look("GET /", "body"), want: [2]string{"stream timeout", "upstream request timeout"}},
	{paths: "RouteAction.idle_timeout", site: action, base: "timeout: 0.3s", flip: "timeout: 0.3s, idle_timeout: 0.05s", up: silent, probe: look("GET /", "body"), want: [2]string{"upstream request timeout", "stream timeout"}},
	{paths: "MaxStreamDuration.max_stream_duration", site: action, base: "timeout: 0.3s", flip: "timeout: 0.3s, max_stream_duration: {max_stream_duration: 0.05s}", up: silent, probe: look("GET /", "body"), want: [2]string{"upstream request timeout", "downstream duration timeout"}},
	{paths: "RouteAction.UpgradeConfig.upgrade_type", site: action, base: "upgrade_configs: [{upgrade_type: other}]", flip: "upgrade_configs: [{upgrade_type: websocket}]", up: switches, probe: look(upgrade, "status"), want: [2]string{"403", "101"}},
	{paths: "RouteAction.UpgradeConfig.enabled", site: action, base: "upgrade_configs: [{upgrade_type: websocket}]", flip: "upgrade_configs: [{upgrade_type: websocket, enabled: false}]", up: switches, probe: look(upgrade, "status"), want: [2]string{"101", "403"}},

	{paths: "RedirectAction.https_redirect", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, https_redirect: true", probe: look("GET /a", "<location"), want: [2]string{"http://b/a", "https://b/a"}},
	{paths: "RedirectAction.scheme_redirect", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, scheme_redirect: ws", probe: look("GET /a", "<location"), want: [2]string{"http://b/a", "ws://b/a"}},
	{paths: "RedirectAction.host_redirect", site: redirect, base: "host_redirect: b", flip: "host_redirect: c", probe: look("GET /a", "<location"), want: [2]string{"http://b/a", "http://c/a"}},
	{paths: "RedirectAction.port_redirect", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, port_redirect: 8", probe: look("GET /a", "<location"), want: [2]string{"http://b/a", "http://b:8/a"}},
	{paths: "RedirectAction.path_redirect", site: redirect, base: "path_redirect: /p", flip: "path_redirect: /q", probe: look("GET /a", "<location"), want: [2]string{"http://a.example/p", "http://a.example/q"}},
	{paths: "RedirectAction.prefix_rewrite", site: redirect, base: "prefix_rewrite: /p", flip: "prefix_rewrite: /q", probe: look("GET /a", "<location"), want: [2]string{"http://a.example/p", "http://a.example/q"}},
	{paths: "RedirectAction.strip_query", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, strip_query: true", probe: look("GET /a?q", "<location"), want: [2]string{"http://b/a?q", "http://b/a"}},
	{paths: "RedirectAction.response_code=FOUND", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, response_code: FOUND", probe: look("GET /a", "status"), want: [2]string{"301", "302"}},
	{paths: "RedirectAction.response_code=SEE_OTHER", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, response_code: SEE_OTHER", probe: look("GET /a", "status"), want: [2]string{"301", "303"}},
	{paths: "RedirectAction.response_code=TEMPORARY_REDIRECT", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, response_code: TEMPORARY_REDIRECT", probe: look("GET /a", "status"), want: [2]string{"301", "307"}},
	{paths: "RedirectAction.response_code=PERMANENT_REDIRECT", site: redirect, base: "host_redirect: b", flip: "host_redirect: b, response_code: PERMANENT_REDIRECT", probe: look("GET /a", "status"), want: [2]string{"301", "308"}},
	{paths: "DirectResponseAction.status", site: direct, base: "status: 201", flip: "status: 202", probe: look("GET /", "status"), want: [2]string{"201", "202"}},
	{paths: "DirectResponseAction.body", site: direct, base: "status: 200", flip: "status: 200, body: {inline_string: b}", probe: look("GET /", "body"), want: [2]string{"", "b"}},
	{paths: "DataSource.inline_bytes", site: direct, base: "status: 200, body: {inline_bytes: YQ==}", flip: "status: 200, body: {inline_bytes: Yg==}", probe: look("GET /", "body"), want: [2]string{"a", "b"}},
	{paths: "DataSource.filename", site: direct, base: "status: 200, body: {filename: testdata/a.txt}", flip: "status: 200, body: {filename: testdata/b.txt}", probe: look("GET /", "body"), want: [2]string{"a", "b"}},
	{paths: "DataSource.environment_variable", site: direct, base: "status: 200, body: {environment_variable: WEFT_FIELDS_A}", flip: "status: 200, body: {environment_variable: WEFT_FIELDS_B}", probe: look("GET /", "body"), want: [2]string{"a", "b"}},

	{paths: "HeaderValue.key", site: addition, base: "header: {key: x-a, value: v}", flip: "header: {key: x-b, value: v}", probe: look("GET /", ">x-a", ">x-b"), want: [2]string{"v|-", "-|v"}},
	{paths: "HeaderValue.value", site: addition, base: "header: {key: x-a, value: v}", flip: "header: {key: x-a, value: w}", probe: look("GET /", ">x-a"), want: [2]string{"v", "w"}},
	{paths: "HeaderValueOption.append", site: addition, base: "header: {key: x-a, value: v}, append: true", flip: "header: {key: x-a, value: v}, append: false", probe: look("GET /; x-a: c", ">x-a"), want: [2]string{"c,v", "v"}},
	{paths: "HeaderValueOption.append_action=ADD_IF_ABSENT", site: addition, base: "header: {key: x-a, value: v}", flip: "header: {key: x-a, value: v}, append_action: ADD_IF_ABSENT", probe: look("GET /; x-a: c", ">x-a"), want: [2]string{"c,v", "c"}},
	{paths: "HeaderValueOption.append_action=OVERWRITE_IF_EXISTS_OR_ADD", site: addition, base: "header: {key: x-a, value: v}", flip: "header: {key: x-a, value: v}, append_action: OVERWRITE_IF_EXISTS_OR_ADD", probe: look("GET /; x-a: c", ">x-a"), want: [2]string{"c,v", "v"}},
	{paths: "HeaderValueOption.append_action=OVERWRITE_IF_EXISTS", site: addition, base: "header: {key: x-a, value: v}", flip: "header: {key: x-a, value: v}, append_action: OVERWRITE_IF_EXISTS", probe: look("GET /", ">x-a"), want: [2]string{"v", "-"}},
	{paths: "HeaderValueOption.keep_empty_value", site: addition, base: "header: {key: x-a, value: \"%REQ(nothing)%\"}", flip: "header: {key: x-a, value: \"%REQ(nothing)%\"}, keep_empty_value: true", probe: look("GET /", ">x-a"), want: [2]string{"-", ""}},
}

func routeAnd(piece string) string {
	return route("match: {prefix: /}, route: {cluster: up}, " + piece)
}

func missing(piece string) string {
	return replaced(table("validate_clusters: false"), "{cluster: up}", "{cluster: gone, "+piece+"}")
}

func twoShares(weights string) string {
	a, b, _ := strings.Cut(weights, ", ")
	return action2("weighted_clusters: {clusters: [{name: up, weight: " + a + ", request_headers_to_add: [{header: {key: x-share, value: a}}]}, {name: up, weight: " + b + ", request_headers_to_add: [{header: {key: x-share, value: b}}]}]}")
}

// wins has the table and its route overwrite the same field.
func wins(piece string) string {
	const overwrite = "request_headers_to_add: [{append_action: OVERWRITE_IF_EXISTS_OR_ADD, header: {key: x-a, value: "
	text := routeAnd(overwrite + "specific}}]")
	return replaced(text, "            name: local\n", "            name: local\n            "+piece+"\n            "+overwrite+"general}}]\n")
}
