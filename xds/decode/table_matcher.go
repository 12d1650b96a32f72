package decode

import (
	"maps"
	"slices"
)

// matcherTable is for the matchers of one place: what they may look at, and where they may lead.
func matcherTable(word string, inputs, actions []string) table {
	return table{
		"xds.type.matcher.v3.Matcher@" + word: {
			"matcher_list": as(word),
			"matcher_tree": as(word),
			"on_no_match":  as(word),
		},
		"xds.type.matcher.v3.Matcher.OnMatch@" + word: {
			"matcher":       as(word),
			"action":        as(word + "_action"),
			"keep_matching": run,
		},
		"xds.type.matcher.v3.Matcher.MatcherList@" + word: {
			"matchers": as(word),
		},
		"xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher@" + word: {
			"predicate": as(word),
			"on_match":  as(word),
		},
		"xds.type.matcher.v3.Matcher.MatcherList.Predicate@" + word: {
			"single_predicate": as(word),
			"or_matcher":       as(word),
			"and_matcher":      as(word),
			"not_matcher":      as(word),
		},
		"xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList@" + word: {
			"predicate": as(word),
		},
		"xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate@" + word: {
			"input":        as(word + "_input"),
			"value_match":  run,
			"custom_match": later("use value_match, or a matcher_tree for ranges of addresses"),
		},
		"xds.type.matcher.v3.Matcher.MatcherTree@" + word: {
			"input":            as(word + "_input"),
			"exact_match_map":  as(word),
			"prefix_match_map": as(word),
			"custom_match":     as(word + "_tree"),
		},
		"xds.type.matcher.v3.Matcher.MatcherTree.MatchMap@" + word: {
			"map": as(word),
		},
		"xds.type.matcher.v3.IPMatcher@" + word: {
			"range_matchers": as(word),
		},
		"xds.type.matcher.v3.IPMatcher.IPRangeMatcher@" + word: {
			"ranges":    run,
			"on_match":  as(word),
			"exclusive": run,
		},
		"xds.core.v3.TypedExtensionConfig@" + word + "_tree": {
			"name":         harmless("the type of typed_config decides"),
			"typed_config": extension("xds.type.matcher.v3.IPMatcher").on(word),
		},
		"xds.core.v3.TypedExtensionConfig@" + word + "_input": {
			"name":         harmless("the type of typed_config decides"),
			"typed_config": extension(inputs...),
		},
		"xds.core.v3.TypedExtensionConfig@" + word + "_action": {
			"name":         harmless("the type of typed_config decides"),
			"typed_config": extension(actions...),
		},
	}
}

// chainMatcherTable is for the choice of a filter chain.
var chainMatcherTable = matcherTable("chain", slices.Sorted(maps.Keys(networkInputs)), []string{"google.protobuf.StringValue"})

// routeMatcherTable is for the choice of a virtual host's routes.
var routeMatcherTable = func() table {
	t := matcherTable("route", requestInputs, []string{"envoy.config.route.v3.Route", "envoy.config.route.v3.RouteList"})
	t["xds.type.matcher.v3.Matcher.OnMatch@route"]["keep_matching"] = never("one route or list is met")
	return t
}()

// matcherParts is what matchers of all places have in common.
var matcherParts = table{
	"xds.type.matcher.v3.StringMatcher": {
		"exact":       run,
		"prefix":      run,
		"suffix":      run,
		"safe_regex":  run,
		"contains":    run,
		"custom":      later("use one of the others"),
		"ignore_case": run,
	},
	"xds.type.matcher.v3.RegexMatcher": {
		"google_re2": harmless("RE2 is what runs"),
		"regex":      run,
	},
	"xds.core.v3.CidrRange": {
		"address_prefix": run,
		"prefix_len":     run,
	},
	"google.protobuf.StringValue":             {"value": run},
	networkInput + "DestinationIPInput":       {},
	networkInput + "DestinationPortInput":     {},
	networkInput + "SourceIPInput":            {},
	networkInput + "SourcePortInput":          {},
	networkInput + "DirectSourceIPInput":      {},
	networkInput + "SourceTypeInput":          {},
	networkInput + "ServerNameInput":          {},
	networkInput + "TransportProtocolInput":   {},
	networkInput + "ApplicationProtocolInput": {},
	networkInput + "FilterStateInput": {
		"key":   run,
		"field": harmless("what filters set is text, which has no fields"),
	},
	"envoy.type.matcher.v3.HttpRequestHeaderMatchInput": {"header_name": run},
}
