package fields

import (
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// The filters that look at heads, and change them.

const (
	corsMessage     = "cors.v3.Cors"
	csrfMessage     = "csrf.v3.CsrfPolicy"
	mutationMessage = "header_mutation.v3.HeaderMutation"
	metadataMessage = "header_to_metadata.v3.Config"
	stateMessage    = "set_filter_state.v3.Config"
	healthMessage   = "health_check.v3.HealthCheck"
)

// corsPolicy is a policy that allows http://a, with these fields.
func corsPolicy(piece string) string {
	return corsOnly("allow_origin_string_match: [{exact: \"http://a\"}], " + piece)
}

func corsOnly(piece string) string {
	return chained(`- {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}`, e2e.Override("x", "cors.v3.CorsPolicy", piece)+"\n"+all)
}

const (
	simple    = "GET /; origin: http://a"
	preflight = "OPTIONS /; origin: http://a; access-control-request-method: GET; access-control-request-private-network: true"
	alien     = "OPTIONS /; origin: http://b; access-control-request-method: GET"
	posted    = "POST /; origin: http://b; content-length: 0"
)

func mutated(piece string) string { return filtered(mutationMessage)("mutations: {" + piece + "}") }

func requestMutation(piece string) string { return mutated("request_mutations: [{" + piece + "}]") }

func queryMutation(piece string) string {
	return mutated("query_parameter_mutations: [{" + piece + "}]")
}

func queryAppend(action string) string {
	return "append: {record: {key: q, value: b}, action: " + action + "}"
}

// mutatedTrailers has trailers, both ways.
func mutatedTrailers(piece string) string {
	text := filtered(mutationMessage, "http_protocol_options: {enable_trailers: true}")("mutations: {" + piece + "}")
	return trailersUp(text)
}

const append1 = "append: {append_action: OVERWRITE_IF_EXISTS_OR_ADD, header: {key: x-a, value: "

// levels has a virtual host and a route overwrite the same field.
func levels(piece string) string {
	return chained(e2e.Filter("x", mutationMessage, piece+"mutations: {request_mutations: ["+"{remove: x-z}]}"),
		e2e.Override("x", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{"+append1+"host}}}]}")+"\nroutes: [{match: {prefix: /}, route: {cluster: up}, "+
			e2e.Override("x", "header_mutation.v3.HeaderMutationPerRoute", "mutations: {request_mutations: [{"+append1+"route}}}]}")+"}]")
}

// notes is a rule of a request, whose outcome is logged.
func notes(format string) func(string) string {
	return func(piece string) string {
		return filtered(metadataMessage, noted(format))("request_rules: [{" + piece + "}]")
	}
}

var noteX = notes("%DYNAMIC_METADATA(n:k)%")

// state sets a value, whose outcome is logged.
func state(piece string) string {
	return filtered(stateMessage, noted("%FILTER_STATE(k:PLAIN)%"))("on_request_headers: [{factory_key: envoy.string, " + piece + "}]")
}

// rerouting has a field added after the route was matched, on which another route depends.
func rerouting(piece string) string {
	return chained(e2e.Filter("m", mutationMessage, "mutations: {request_mutations: [{"+append1+"v}}}]}")+"\n"+
		e2e.Filter("x", stateMessage, piece+"on_request_headers: [{object_key: k, factory_key: envoy.string, format_string: {text_format_source: {inline_string: v}}}]"),
		"routes: [{match: {prefix: /, headers: [{name: x-a, exact_match: v}]}, direct_response: {status: 418}}, {match: {prefix: /}, route: {cluster: up}}]")
}

var headTrials = []trial{
	{paths: "CorsPolicy.allow_origin_string_match", site: corsOnly, base: `allow_origin_string_match: [{exact: "http://a"}]`, flip: `allow_origin_string_match: [{exact: "http://b"}]`, probe: look(simple, "<access-control-allow-origin"), want: [2]string{"http://a", "-"}},
	{paths: "CorsPolicy.allow_methods", site: corsPolicy, flip: "allow_methods: GET", probe: look(preflight, "<access-control-allow-methods"), want: [2]string{"-", "GET"}},
	{paths: "CorsPolicy.allow_headers", site: corsPolicy, flip: "allow_headers: h", probe: look(preflight, "<access-control-allow-headers"), want: [2]string{"-", "h"}},
	{paths: "CorsPolicy.expose_headers", site: corsPolicy, flip: "expose_headers: h", probe: look(simple, "<access-control-expose-headers"), want: [2]string{"-", "h"}},
	{paths: "CorsPolicy.max_age", site: corsPolicy, flip: "max_age: \"5\"", probe: look(preflight, "<access-control-max-age"), want: [2]string{"-", "5"}},
	{paths: "CorsPolicy.allow_credentials", site: corsPolicy, flip: "allow_credentials: true", probe: look(simple, "<access-control-allow-credentials"), want: [2]string{"-", "true"}},
	{paths: "CorsPolicy.filter_enabled", site: corsPolicy, flip: "filter_enabled: {default_value: {numerator: 0}}", probe: look(simple, "<access-control-allow-origin"), want: [2]string{"http://a", "-"}},
	{paths: "CorsPolicy.shadow_enabled", site: corsPolicy, base: "filter_enabled: {default_value: {numerator: 0}}", flip: "filter_enabled: {default_value: {numerator: 0}}, shadow_enabled: {" + on + "}", probe: look(simple, "<access-control-allow-origin", "#http.http.cors.origin_valid"), want: [2]string{"-|0", "-|1"}},
	{paths: "CorsPolicy.allow_private_network_access", site: corsPolicy, flip: "allow_private_network_access: true", probe: look(preflight, "<access-control-allow-private-network"), want: [2]string{"-", "true"}},
	{paths: "CorsPolicy.forward_not_matching_preflights", site: corsPolicy, flip: "forward_not_matching_preflights: false", probe: look(alien, "line"), want: [2]string{"OPTIONS / HTTP/1.1", ""}},

	{paths: "CsrfPolicy.filter_enabled", site: filtered(csrfMessage), base: "filter_enabled: {" + on + "}", flip: "filter_enabled: {default_value: {numerator: 0}}", probe: look(posted, "status"), want: [2]string{"403", "200"}},
	{paths: "CsrfPolicy.shadow_enabled", site: filtered(csrfMessage), base: "filter_enabled: {default_value: {numerator: 0}}", flip: "filter_enabled: {default_value: {numerator: 0}}, shadow_enabled: {" + on + "}", probe: look(posted, "status", "#http.http.csrf.request_invalid"), want: [2]string{"200|0", "200|1"}},
	{paths: "CsrfPolicy.additional_origins", site: filtered(csrfMessage), base: "filter_enabled: {" + on + "}", flip: "filter_enabled: {" + on + "}, additional_origins: [{exact: b}]", probe: look(posted, "status"), want: [2]string{"403", "200"}},

	{paths: "HeaderMutation.mutations Mutations.request_mutations HeaderMutation.append", site: mutated, flip: "request_mutations: [{" + append1 + "v}}}]", probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},
	{paths: "HeaderMutation.remove", site: requestMutation, base: "remove: x-r", flip: "remove: x-s", probe: look("GET /; x-r: v", ">x-r"), want: [2]string{"-", "v"}},
	{paths: "HeaderMutation.remove_on_match RemoveOnMatch.key_matcher", site: requestMutation, base: "remove_on_match: {key_matcher: {prefix: x-r}}", flip: "remove_on_match: {key_matcher: {prefix: x-s}}", probe: look("GET /; x-r1: v", ">x-r1"), want: [2]string{"-", "v"}},
	{paths: "Mutations.response_mutations", site: mutated, flip: "response_mutations: [{" + append1 + "\"%RESPONSE_CODE%\"}}}]", probe: look("GET /", "<x-a"), want: [2]string{"-", "200"}},
	{paths: "Mutations.request_trailers_mutations", site: mutatedTrailers, flip: "request_trailers_mutations: [{" + append1 + "v}}}]", up: mirror, probe: has("\r\nx-a: v\r\n", look("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: v\r\n\r\n", "body")), want: [2]string{"false", "true"}},
	{paths: "Mutations.response_trailers_mutations", site: mutatedTrailers, flip: "response_trailers_mutations: [{" + append1 + "v}}}]", up: answer(trail), probe: has("\r\nx-a: v\r\n", wire("GET /; te: trailers", "v\r\n\r\n")), want: [2]string{"false", "true"}},
	{paths: "Mutations.query_parameter_mutations KeyValueMutation.append KeyValueAppend.record", site: mutated, flip: "query_parameter_mutations: [{" + queryAppend("APPEND_IF_EXISTS_OR_ADD") + "}]", probe: look("GET /?q=a", "line"), want: [2]string{"GET /?q=a HTTP/1.1", "GET /?q=a&q=b HTTP/1.1"}},
	{paths: "KeyValuePair.key", site: queryMutation, base: "append: {record: {key: q, value: b}}", flip: "append: {record: {key: r, value: b}}", probe: look("GET /", "line"), want: [2]string{"GET /?q=b HTTP/1.1", "GET /?r=b HTTP/1.1"}},
	{paths: "KeyValuePair.value", site: queryMutation, base: "append: {record: {key: q, value: b}}", flip: "append: {record: {key: q, value: c}}", probe: look("GET /", "line"), want: [2]string{"GET /?q=b HTTP/1.1", "GET /?q=c HTTP/1.1"}},
	{paths: "KeyValueAppend.action=ADD_IF_ABSENT", site: queryMutation, base: queryAppend("APPEND_IF_EXISTS_OR_ADD"), flip: queryAppend("ADD_IF_ABSENT"), probe: look("GET /?q=a", "line"), want: [2]string{"GET /?q=a&q=b HTTP/1.1", "GET /?q=a HTTP/1.1"}},
	{paths: "KeyValueAppend.action=OVERWRITE_IF_EXISTS_OR_ADD", site: queryMutation, base: queryAppend("APPEND_IF_EXISTS_OR_ADD"), flip: queryAppend("OVERWRITE_IF_EXISTS_OR_ADD"), probe: look("GET /?q=a", "line"), want: [2]string{"GET /?q=a&q=b HTTP/1.1", "GET /?q=b HTTP/1.1"}},
	{paths: "KeyValueAppend.action=OVERWRITE_IF_EXISTS", site: queryMutation, base: queryAppend("APPEND_IF_EXISTS_OR_ADD"), flip: queryAppend("OVERWRITE_IF_EXISTS"), probe: look("GET /", "line"), want: [2]string{"GET /?q=b HTTP/1.1", "GET / HTTP/1.1"}},
	{paths: "KeyValueMutation.remove", site: queryMutation, base: "remove: q", flip: "remove: r", probe: look("GET /?q=a", "line"), want: [2]string{"GET / HTTP/1.1", "GET /?q=a HTTP/1.1"}},
	{paths: "HeaderMutation.most_specific_header_mutations_wins", site: levels, flip: "most_specific_header_mutations_wins: true, ", probe: look("GET /", ">x-a"), want: [2]string{"host", "route"}},
	{paths: "HeaderMutationPerRoute.mutations", site: func(p string) string {
		return chained(e2e.Filter("x", mutationMessage, "mutations: {}"), e2e.Override("x", "header_mutation.v3.HeaderMutationPerRoute", p)+"\n"+all)
	}, base: "mutations: {}", flip: "mutations: {request_mutations: [{" + append1 + "v}}}]}", probe: look("GET /", ">x-a"), want: [2]string{"-", "v"}},

	{paths: "Config.request_rules Rule.header", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: z, on_header_present: {metadata_namespace: \"n\", key: k}", probe: look("GET /; x: v", "@log"), want: [2]string{"v", "-"}},
	{paths: "Rule.cookie", site: noteX, base: "cookie: c, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "cookie: d, on_header_present: {metadata_namespace: \"n\", key: k}", probe: look("GET /; cookie: a=b;c=v", "@log"), want: [2]string{"v", "-"}},
	{paths: "Rule.on_header_present", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: \"n\", key: l}", probe: look("GET /; x: v", "@log"), want: [2]string{"v", "-"}},
	{paths: "Rule.on_header_missing", site: noteX, base: "header: x, on_header_missing: {metadata_namespace: \"n\", key: k, value: d}", flip: "header: x, on_header_missing: {metadata_namespace: \"n\", key: l, value: d}", probe: look("GET /", "@log"), want: [2]string{"d", "-"}},
	{paths: "Rule.remove", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, remove: true, on_header_present: {metadata_namespace: \"n\", key: k}", probe: look("GET /; x: v", ">x"), want: [2]string{"v", "-"}},
	{paths: "Config.KeyValuePair.metadata_namespace", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: m, key: k}", probe: look("GET /; x: v", "@log"), want: [2]string{"v", "-"}},
	{paths: "Config.KeyValuePair.key", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: \"n\", key: l}", probe: look("GET /; x: v", "@log"), want: [2]string{"v", "-"}},
	{paths: "Config.KeyValuePair.value", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: \"n\", key: k, value: w}", probe: look("GET /; x: v", "@log"), want: [2]string{"v", "w"}},
	{paths: "KeyValuePair.regex_value_rewrite RegexMatchAndSubstitute.pattern", site: noteX, base: rewriteX("a(.)", `<\\1>`), flip: rewriteX("b(.)", `<\\1>`), probe: look("GET /; x: aby", "@log"), want: [2]string{"<b>y", "a<y>"}},
	{paths: "RegexMatchAndSubstitute.substitution", site: noteX, base: rewriteX("a", "1"), flip: rewriteX("a", "$2"), probe: look("GET /; x: aba", "@log"), want: [2]string{"1b1", "$2b$2"}},
	{paths: "KeyValuePair.type=NUMBER", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: \"n\", key: k, type: NUMBER}", probe: look("GET /; x: 1.50", "@log"), want: [2]string{"1.50", "1.5"}},
	{paths: "KeyValuePair.encode=BASE64", site: noteX, base: "header: x, on_header_present: {metadata_namespace: \"n\", key: k}", flip: "header: x, on_header_present: {metadata_namespace: \"n\", key: k, encode: BASE64}", probe: look("GET /; x: aGk=", "@log"), want: [2]string{"aGk=", "hi"}},
	{paths: "Config.response_rules", site: filtered(metadataMessage, noted("%DYNAMIC_METADATA(n:k)%")), base: "response_rules: [{header: x, on_header_missing: {metadata_namespace: \"n\", key: k, value: d}}]", flip: "response_rules: [{header: x, on_header_missing: {metadata_namespace: \"n\", key: k, value: e}}]", probe: look("GET /", "@log"), want: [2]string{"d", "e"}},

	{paths: "Config.on_request_headers FilterStateValue.object_key", site: state, base: "object_key: k, format_string: {text_format_source: {inline_string: v}}", flip: "object_key: l, format_string: {text_format_source: {inline_string: v}}", probe: look("GET /", "@log"), want: [2]string{"v", "-"}},
	{paths: "FilterStateValue.format_string", site: state, base: "object_key: k, format_string: {text_format_source: {inline_string: v}}", flip: "object_key: k, format_string: {text_format_source: {inline_string: \"%PROTOCOL%\"}}", probe: look("GET /", "@log"), want: [2]string{"v", "HTTP/1.1"}},
	{paths: "FilterStateValue.skip_if_empty", site: state, base: "object_key: k, format_string: {omit_empty_values: true, text_format_source: {inline_string: \"%REQ(x)%\"}}", flip: "object_key: k, skip_if_empty: true, format_string: {omit_empty_values: true, text_format_source: {inline_string: \"%REQ(x)%\"}}", probe: look("GET /", "@log"), want: [2]string{"", "-"}},
	{paths: "HealthCheck.pass_through_mode", site: filtered(healthMessage), base: "pass_through_mode: false", flip: "pass_through_mode: true", probe: look("GET /", "line"), want: [2]string{"", "GET / HTTP/1.1"}},
	{paths: "HealthCheck.headers", site: filtered(healthMessage), base: "pass_through_mode: false", flip: "pass_through_mode: false, headers: [{name: x, exact_match: v}]", probe: look("GET /", "line"), want: [2]string{"", "GET / HTTP/1.1"}},
	{paths: "HealthCheck.cluster_min_healthy_percentages", site: filtered(healthMessage), base: "pass_through_mode: false", flip: "pass_through_mode: false, cluster_min_healthy_percentages: {gone: {value: 10}}", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "HealthCheck.cache_time", site: filtered(healthMessage), base: "pass_through_mode: true", flip: "pass_through_mode: true, cache_time: 3600s", probe: second("GET /", "#http.http.health_check.cached_response"), want: [2]string{"0", "1"}},
	{paths: "Config.clear_route_cache", site: rerouting, flip: "clear_route_cache: true, ", probe: look("GET /", "status"), want: [2]string{"200", "418"}},
}

func rewriteX(pattern, by string) string {
	return `header: x, on_header_present: {metadata_namespace: "n", key: k, regex_value_rewrite: {pattern: {regex: "` + pattern + `"}, substitution: "` + by + `"}}`
}

// trailersUp has the upstream of a bootstrap get trailers, and give some.
func trailersUp(text string) string {
	return strings.Replace(text, "- name: up\n", "- name: up\n    "+`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}`+"\n", 1)
}

// http1Both is http1 with trailers upstream.
func http1Both(piece string) string { return trailersUp(http1(piece)) }
