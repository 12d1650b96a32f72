package fields

import (
	"strconv"
	"strings"
)

// leadTrials flip what routes are found by. A list that is led to answers with its number.
var leadTrials = []trial{
	{paths: "VirtualHost.matcher Matcher@route.on_no_match OnMatch@route.action", site: vhost, base: "routes: [{match: {prefix: /}, direct_response: {status: 201}}]", flip: "matcher: {on_no_match: " + meets(202) + "}", probe: look("GET /", "status"), want: [2]string{"201", "202"}},
	{paths: "TypedExtensionConfig@route_action.typed_config", site: led, base: "on_no_match: " + meets(201), flip: "on_no_match: " + meets(202), probe: look("GET /", "status"), want: [2]string{"201", "202"}},
	{paths: "RouteList.routes", site: led, base: "on_no_match: " + listOf("{match: {prefix: /a}, direct_response: {status: 201}}"), flip: "on_no_match: " + listOf("{match: {prefix: /}, direct_response: {status: 202}}"), probe: look("GET /", "status"), want: [2]string{"404", "202"}},
	{paths: "OnMatch@route.matcher", site: led, base: "on_no_match: " + meets(201), flip: "on_no_match: {matcher: {on_no_match: " + meets(202) + "}}", probe: look("GET /", "status"), want: [2]string{"201", "202"}},
	{paths: "Matcher@route.matcher_list", site: led, base: "on_no_match: " + meets(201), flip: rulesOf(ofField("x-a", "exact: v"), 202) + ", on_no_match: " + meets(201), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "202"}},
	{paths: "MatcherList@route.matchers", site: led, base: rulesOf(ofField("x-a", "exact: w"), 201), flip: strings.TrimSuffix(rulesOf(ofField("x-a", "exact: w"), 201), "]}") + ", {predicate: " + ofField("x-a", "exact: v") + ", on_match: " + meets(202) + "}]}", probe: look("GET /; x-a: v", "status"), want: [2]string{"404", "202"}},
	{paths: "FieldMatcher@route.on_match", site: led, base: rulesOf(ofField("x-a", "exact: v"), 201), flip: rulesOf(ofField("x-a", "exact: v"), 202), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "202"}},
	{paths: "FieldMatcher@route.predicate Predicate@route.not_matcher", site: allowedBy, base: ofField("x-a", "exact: v"), flip: "{not_matcher: " + ofField("x-a", "exact: v") + "}", probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "Predicate@route.or_matcher", site: allowedBy, base: ofField("x-a", "exact: v"), flip: pair("or_matcher", "v", "w"), probe: look("GET /; x-a: w", "status"), want: [2]string{"404", "201"}},
	{paths: "Predicate@route.and_matcher", site: allowedBy, base: ofField("x-a", "exact: v"), flip: pair("and_matcher", "v", "w"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "PredicateList@route.predicate", site: allowedBy, base: pair("and_matcher", "v", "v"), flip: pair("and_matcher", "v", "w"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "SinglePredicate@route.input TypedExtensionConfig@route_input.typed_config HttpRequestHeaderMatchInput.header_name", site: allowedBy, base: ofField("x-a", "exact: v"), flip: ofField("x-b", "exact: v"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "SinglePredicate@route.value_match", site: allowedBy, base: ofField("x-a", "exact: v"), flip: ofField("x-a", "exact: w"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "FilterStateInput.key", site: ofNoted, base: "k", flip: "l", probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "Matcher@route.matcher_tree MatcherTree@route.exact_match_map", site: led, base: "", flip: treeOf("x-a", "exact_match_map: {map: {v: "+meets(201)+"}}"), probe: look("GET /; x-a: v", "status"), want: [2]string{"404", "201"}},
	{paths: "MatchMap@route.map", site: led, base: treeOf("x-a", "exact_match_map: {map: {v: "+meets(201)+"}}"), flip: treeOf("x-a", "exact_match_map: {map: {w: "+meets(201)+"}}"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "MatcherTree@route.prefix_match_map", site: led, base: treeOf("x-a", "exact_match_map: {map: {v: "+meets(201)+"}}"), flip: treeOf("x-a", "prefix_match_map: {map: {v: "+meets(202)+"}}"), probe: look("GET /; x-a: vw", "status"), want: [2]string{"404", "202"}},
	{paths: "MatcherTree@route.input", site: led, base: treeOf("x-a", "exact_match_map: {map: {v: "+meets(201)+"}}"), flip: treeOf("x-b", "exact_match_map: {map: {v: "+meets(201)+"}}"), probe: look("GET /; x-a: v", "status"), want: [2]string{"201", "404"}},
	{paths: "MatcherTree@route.custom_match TypedExtensionConfig@route_tree.typed_config", site: led, base: treeOf("x-a", "exact_match_map: {map: {v: "+meets(201)+"}}"), flip: rangesOf(8, ""), probe: look("GET /; x-a: 10.1.2.3", "status"), want: [2]string{"404", "201"}},
	{paths: "IPRangeMatcher@route.ranges", site: led, base: rangesOf(16, ""), flip: rangesOf(8, ""), probe: look("GET /; x-a: 10.1.2.3", "status"), want: [2]string{"404", "201"}},
	{paths: "IPMatcher@route.range_matchers IPRangeMatcher@route.on_match", site: led, base: rangesOf(8, ""), flip: rangesOf(8, ", {ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}], on_match: "+meets(202)+"}"), probe: look("GET /; x-a: 10.1.2.3", "status"), want: [2]string{"201", "202"}},
	{paths: "IPRangeMatcher@route.exclusive", site: led, base: rangesOf(8, deadEnd), flip: strings.Replace(rangesOf(8, deadEnd), "{ranges", "{exclusive: true, ranges", 1), probe: look("GET /; x-a: 10.1.2.3", "status"), want: [2]string{"201", "404"}},
}

// deadEnd is a longer range that leads nowhere.
var deadEnd = ", {ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}], on_match: {matcher: {" + rulesOf(ofField("x-b", "exact: v"), 202) + "}}}"

func led(piece string) string { return vhost("matcher: {" + piece + "}") }

// allowedBy leads to an answer if a condition holds.
func allowedBy(predicate string) string { return led(rulesOf(predicate, 201)) }

// ofNoted leads to an answer by what a filter noted of x-a under the name k.
func ofNoted(key string) string {
	return chained(`- {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, clear_route_cache: true, on_request_headers: [{object_key: k, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "%REQ(x-a)%"}}}]}}`,
		`matcher: {matcher_tree: {input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput, key: `+key+"}}, exact_match_map: {map: {v: "+meets(201)+"}}}}")
}

func meets(status int) string {
	return `{action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.Route, match: {prefix: /}, direct_response: {status: ` + strconv.Itoa(status) + "}}}}"
}

func listOf(routes string) string {
	return `{action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RouteList, routes: [` + routes + "]}}}"
}

func askingFor(name string) string {
	return `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: ` + name + "}}"
}

func ofField(name, value string) string {
	return "{single_predicate: {" + askingFor(name) + ", value_match: {" + value + "}}}"
}

func pair(how, a, b string) string {
	return "{" + how + ": {predicate: [" + ofField("x-a", "exact: "+a) + ", " + ofField("x-a", "exact: "+b) + "]}}"
}

func rulesOf(predicate string, status int) string {
	return "matcher_list: {matchers: [{predicate: " + predicate + ", on_match: " + meets(status) + "}]}"
}

func treeOf(name, how string) string { return "matcher_tree: {" + askingFor(name) + ", " + how + "}" }

// rangesOf leads addresses that begin with 10 to 201.
func rangesOf(bits int, more string) string {
	return treeOf("x-a", `custom_match: {name: ip, typed_config: {"@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 10.0.0.0, prefix_len: `+strconv.Itoa(bits)+"}], on_match: "+meets(201)+"}"+more+"]}}")
}
