package fields

import (
	"strconv"
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// matcherTrials flip what chains are chosen by. Chain "a" and chain "b" say their names, the default one says "default".
var matcherTrials = []trial{
	{paths: "Listener.filter_chain_matcher Matcher@chain.on_no_match OnMatch@chain.action", site: chosenBy, base: "", flip: "filter_chain_matcher: {on_no_match: " + to("b") + "}", probe: says(""), want: [2]string{"default", "b"}},
	{paths: "protobuf.StringValue.value", site: chooser, base: "on_no_match: " + to("a"), flip: "on_no_match: " + to("b"), probe: says(""), want: [2]string{"a", "b"}},
	{paths: "OnMatch@chain.keep_matching", site: chooser, base: "on_no_match: " + to("a"), flip: "on_no_match: {keep_matching: true, " + to("a")[1:], probe: says(""), want: [2]string{"a", "default"}},
	{paths: "OnMatch@chain.matcher", site: chooser, base: "on_no_match: " + to("a"), flip: "on_no_match: {matcher: {on_no_match: " + to("b") + "}}", probe: says(""), want: [2]string{"a", "b"}},
	{paths: "Matcher@chain.matcher_list", site: chooser, base: "on_no_match: " + to("a"), flip: rules(rule(single("TransportProtocol", "exact: raw_buffer"), "b")) + ", on_no_match: " + to("a"), probe: says(""), want: [2]string{"a", "b"}},
	{paths: "MatcherList@chain.matchers", site: chooser, base: rules(rule(single("TransportProtocol", "exact: tls"), "b")), flip: rules(rule(single("TransportProtocol", "exact: tls"), "b"), rule(single("TransportProtocol", "exact: raw_buffer"), "a")), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "FieldMatcher@chain.on_match", site: chooser, base: rules(rule(single("TransportProtocol", "exact: raw_buffer"), "a")), flip: rules(rule(single("TransportProtocol", "exact: raw_buffer"), "b")), probe: says(""), want: [2]string{"a", "b"}},
	{paths: "FieldMatcher@chain.predicate Predicate@chain.not_matcher", site: decided, base: single("TransportProtocol", "exact: raw_buffer"), flip: "{not_matcher: " + single("TransportProtocol", "exact: raw_buffer") + "}", probe: says(""), want: [2]string{"a", "default"}},
	{paths: "Predicate@chain.or_matcher", site: decided, base: single("TransportProtocol", "exact: tls"), flip: either("or_matcher", "tls", "raw_buffer"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "Predicate@chain.and_matcher", site: decided, base: single("TransportProtocol", "exact: raw_buffer"), flip: either("and_matcher", "tls", "raw_buffer"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "PredicateList@chain.predicate", site: decided, base: either("and_matcher", "raw_buffer", "raw_buffer"), flip: either("and_matcher", "raw_buffer", "tls"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "SinglePredicate@chain.input TypedExtensionConfig@chain_input.typed_config", site: decided, base: single("TransportProtocol", "exact: local"), flip: single("SourceType", "exact: local"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "SinglePredicate@chain.value_match StringMatcher.exact", site: decided, base: single("TransportProtocol", "exact: raw_buffer"), flip: single("TransportProtocol", "exact: raw"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "StringMatcher.prefix", site: decided, base: single("TransportProtocol", "prefix: raw"), flip: single("TransportProtocol", "prefix: buffer"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "StringMatcher.suffix", site: decided, base: single("TransportProtocol", "suffix: raw"), flip: single("TransportProtocol", "suffix: buffer"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "StringMatcher.contains", site: decided, base: single("TransportProtocol", "contains: w_b"), flip: single("TransportProtocol", "contains: wb"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "StringMatcher.ignore_case", site: decided, base: single("TransportProtocol", "exact: RAW_BUFFER"), flip: single("TransportProtocol", "exact: RAW_BUFFER, ignore_case: true"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "StringMatcher.safe_regex RegexMatcher.regex", site: decided, base: single("TransportProtocol", "safe_regex: {google_re2: {}, regex: raw}"), flip: single("TransportProtocol", `safe_regex: {google_re2: {}, regex: "raw.*"}`), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "Matcher@chain.matcher_tree MatcherTree@chain.exact_match_map", site: chooser, base: "", flip: tree("TransportProtocol", "exact_match_map: {map: {raw_buffer: "+to("a")+"}}"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "MatchMap@chain.map", site: chooser, base: tree("TransportProtocol", "exact_match_map: {map: {raw_buffer: "+to("a")+"}}"), flip: tree("TransportProtocol", "exact_match_map: {map: {tls: "+to("a")+"}}"), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "MatcherTree@chain.prefix_match_map", site: chooser, base: tree("TransportProtocol", "exact_match_map: {map: {raw: "+to("a")+"}}"), flip: tree("TransportProtocol", "prefix_match_map: {map: {raw: "+to("a")+"}}"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "MatcherTree@chain.input", site: chooser, base: tree("TransportProtocol", "exact_match_map: {map: {local: "+to("a")+"}}"), flip: tree("SourceType", "exact_match_map: {map: {local: "+to("a")+"}}"), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "MatcherTree@chain.custom_match TypedExtensionConfig@chain_tree.typed_config", site: chooser, base: tree("DestinationIP", "exact_match_map: {map: {127.0.0.2: "+to("a")+"}}"), flip: within("127.0.0.0", 8, ""), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "IPRangeMatcher@chain.ranges CidrRange.address_prefix", site: chooser, base: within("127.0.0.0", 16, ""), flip: within("127.1.0.0", 16, ""), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "CidrRange.prefix_len", site: chooser, base: within("127.1.0.0", 16, ""), flip: within("127.1.0.0", 8, ""), probe: says(""), want: [2]string{"default", "a"}},
	{paths: "IPMatcher@chain.range_matchers IPRangeMatcher@chain.on_match", site: chooser, base: within("127.0.0.0", 8, ""), flip: within("127.0.0.0", 8, ", {ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}], on_match: "+to("b")+"}"), probe: says(""), want: [2]string{"a", "b"}},
	{paths: "IPRangeMatcher@chain.exclusive", site: chooser, base: within("127.0.0.0", 8, nowhere), flip: strings.Replace(within("127.0.0.0", 8, nowhere), "{ranges", "{exclusive: true, ranges", 1), probe: says(""), want: [2]string{"a", "default"}},
	{paths: "TypedExtensionConfig@chain_action.typed_config", site: chooser, base: "on_no_match: " + to("a"), flip: "on_no_match: " + to("b"), probe: says(""), want: [2]string{"a", "b"}},
}

// nowhere is a longer range that leads nowhere.
var nowhere = ", {ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}], on_match: {keep_matching: true, " + to("b")[1:] + "}"

func chosenBy(piece string) string {
	chain := func(name string) string {
		return `name: ` + name + `, filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: ` + name + `}}}]`
	}
	return e2e.Bootstrap(`
- name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains: [{` + chain("a") + `, filter_chain_match: {destination_port: 1}}, {` + chain("b") + `, filter_chain_match: {destination_port: 2}}]
  default_filter_chain: {` + chain("default") + `}
  ` + piece)
}

func chooser(piece string) string { return chosenBy("filter_chain_matcher: {" + piece + "}") }

// decided leads to chain "a" if a condition holds.
func decided(predicate string) string { return chooser(rules(rule(predicate, "a"))) }

func to(chain string) string {
	return `{action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: ` + chain + `}}}`
}

func asking(input string) string {
	return `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.` + input + `Input}}`
}

func single(input, value string) string {
	return "{single_predicate: {" + asking(input) + ", value_match: {" + value + "}}}"
}

func either(how, a, b string) string {
	return "{" + how + ": {predicate: [" + single("TransportProtocol", "exact: "+a) + ", " + single("TransportProtocol", "exact: "+b) + "]}}"
}

func rule(predicate, chain string) string {
	return "{predicate: " + predicate + ", on_match: " + to(chain) + "}"
}

func rules(list ...string) string {
	return "matcher_list: {matchers: [" + strings.Join(list, ", ") + "]}"
}

func tree(input, how string) string { return "matcher_tree: {" + asking(input) + ", " + how + "}" }

// within leads addresses in a range to chain "a".
func within(prefix string, bits int, more string) string {
	return tree("DestinationIP", `custom_match: {name: ip, typed_config: {"@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: `+prefix+`, prefix_len: `+strconv.Itoa(bits)+`}], on_match: `+to("a")+`}`+more+`]}}`)
}
