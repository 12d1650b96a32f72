package oracle

import "strings"

func leads(chain string) string {
	return `{action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: ` + chain + `}}}`
}

func asking(input string) string {
	return `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.` + input + `Input}}`
}

func when(input, value string) string {
	return "{single_predicate: {" + asking(input) + ", value_match: {" + value + "}}}"
}

// chosen is a listener whose chains say their names and are found by a matcher, behind a proxy that tells it where connections come from.
func chosen(name, matcher string, sends ...exchange) scenario {
	var chains strings.Builder
	for _, chain := range []string{"one", "two", "three"} {
		chains.WriteString(says(chain, "destination_port: "+map[string]string{"one": "1", "two": "2", "three": "3"}[chain]))
	}
	return scenario{name: "matcher-" + name, alone: "none", chains: chains.String(), sends: sends,
		listener: otherwise + "listener_filters: [" + inspector("proxy_protocol", "allow_requests_without_proxy_protocol: true") + ", " + inspector("tls_inspector", "") + "]\nfilter_chain_matcher: {" + matcher + "}"}
}

func from(addresses ...string) (list []exchange) {
	for _, a := range addresses {
		list = append(list, exchange{send: "PROXY TCP4 " + a + "\r\nplain text\r\n"})
	}
	return list
}

var matching = []scenario{
	chosen("list", "matcher_list: {matchers: ["+
		"{predicate: {and_matcher: {predicate: ["+when("SourceIP", "prefix: '1.2.'")+", {not_matcher: "+when("SourcePort", "suffix: '7'")+"}]}}, on_match: "+leads("one")+"}, "+
		"{predicate: {or_matcher: {predicate: ["+when("DestinationPort", "exact: '80'")+", "+when("DestinationIP", "contains: '.9.'")+"]}}, on_match: {matcher: {matcher_list: {matchers: [{predicate: "+when("SourceType", "exact: LOCAL, ignore_case: true")+", on_match: "+leads("two")+"}]}, on_no_match: "+leads("three")+"}}}]}",
		from("1.2.3.4 5.6.7.8 1000 81", "1.2.3.4 5.6.7.8 1007 81", "9.2.3.4 5.6.7.8 1000 80", "9.2.3.4 5.9.7.8 1000 81", "127.0.0.1 127.0.0.1 1000 80", "9.2.3.4 5.6.7.8 1000 81")...),
	chosen("names", "matcher_list: {matchers: [{predicate: "+when("ServerName", `safe_regex: {google_re2: {}, regex: "a\\..*"}`)+", on_match: "+leads("one")+"}, {predicate: "+when("ApplicationProtocol", `contains: "h2"`)+", on_match: "+leads("two")+"}, {predicate: "+when("TransportProtocol", "exact: tls")+", on_match: "+leads("three")+"}]}",
		exchange{send: hello("a.example")}, exchange{send: hello("b.example", "h2", "http/1.1")}, exchange{send: hello("b.example", "http/1.1")}, exchange{send: "plain text\r\n"}),
	chosen("tree", "matcher_tree: {"+asking("DestinationPort")+", exact_match_map: {map: {'80': "+leads("one")+", '81': "+leads("two")+"}}}, on_no_match: "+leads("three"), from("1.2.3.4 5.6.7.8 1000 80", "1.2.3.4 5.6.7.8 1000 81", "1.2.3.4 5.6.7.8 1000 82")...),
	chosen("prefixes", "matcher_tree: {"+asking("SourceIP")+", prefix_match_map: {map: {'1.2.': "+leads("one")+", '1.2.3.': "+leads("two")+"}}}", from("1.2.3.4 5.6.7.8 1000 80", "1.2.4.4 5.6.7.8 1000 81", "1.3.4.4 5.6.7.8 1000 82")...),
	chosen("ranges", "matcher_tree: {"+asking("DirectSourceIP")+`, custom_match: {name: ip, typed_config: {"@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}], on_match: `+leads("one")+`}, {ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}], exclusive: true, on_match: `+leads("two")+`}]}}}`, from("1.2.3.4 5.6.7.8 1000 80")...),

	// What comes from files.
	{name: "dynamic", sends: gets("/", "/2"), dynamic: true},

	// What a listener logs is in one file with what its filters log.
	{name: "listener-logs", listener: listenerLog("listener-logs"), sends: gets("/")},
	{name: "listener-logs-none", alone: "none", chains: says("tls", "transport_protocol: tls"), listener: listenerLog("listener-logs-none") + "listener_filters: [" + inspector("tls_inspector", "") + "]", sends: []exchange{{send: "plain text\r\n"}}},

	{name: "tcp-tries", tcp: "cluster: $dead\nmax_connect_attempts: 3\nbackoff_options: {base_interval: 0.01s, max_interval: 0.02s}", sends: []exchange{{send: "tcp hello"}}},
	{name: "tcp-older", tcp: "cluster: $up\nmax_downstream_connection_duration: 60s\nmax_downstream_connection_duration_jitter_percentage: {value: 10}\naccess_log_flush_interval: 60s\nflush_access_log_on_connected: true", sends: []exchange{{send: "tcp hello"}}},
}

func listenerLog(name string) string {
	return `access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/` + name + `, log_format: {text_format_source: {inline_string: "` + line() + `"}}}}]` + "\n"
}
