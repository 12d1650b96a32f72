package e2e

import (
	"net"
	"testing"
)

func toChain(name string) string {
	return `{action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: ` + name + `}}}`
}

func asks(input string) string {
	return `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.` + input + `Input}}`
}

func predicate(input, value string) string {
	return "{single_predicate: {" + asks(input) + ", value_match: {" + value + "}}}"
}

func inRange(prefix, more, then string) string {
	return "{ranges: [{address_prefix: " + prefix + "}], on_match: " + then + more + "}"
}

// What connections meet that a matcher leads, and what is passed over, in all its kinds.
var matcherSet = `filter_chain_matcher:
    matcher_list:
      matchers:
      - predicate: ` + predicate("ServerName", "exact: a.example") + `
        on_match:
          matcher:
            matcher_tree:
              ` + asks("DestinationIP") + `
              custom_match:
                name: ip
                typed_config:
                  "@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher
                  range_matchers:
                  - ` + inRange("127.0.0.0, prefix_len: 8", "", toChain("wide")) + `
                  - ` + inRange("127.0.0.0, prefix_len: 16", ", exclusive: true", toChain("alone")) + `
                  - ` + inRange("127.0.0.7, prefix_len: 32", "", "{matcher: {matcher_tree: {"+asks("ServerName")+", exact_match_map: {map: {z: "+toChain("never")+"}}}}}") + `
                  - ` + inRange("127.0.0.8, prefix_len: 32", "", toChain("eight")) + `
                  - ` + inRange("127.0.0.8, prefix_len: 32", "", toChain("never")) + `
      - predicate: ` + predicate("ApplicationProtocol", `contains: "'istio'"`) + `
        on_match: ` + toChain("istio") + `
      - predicate: {and_matcher: {predicate: [` + predicate("TransportProtocol", "exact: TLS, ignore_case: true") + `, ` + predicate("SourceType", "exact: local") + `]}}
        on_match: {matcher: {matcher_tree: {` + asks("ServerName") + `, prefix_match_map: {map: {"b": ` + toChain("b") + `, "b.b": {matcher: {matcher_list: {matchers: [{predicate: ` + predicate("DestinationIP", "suffix: \".9\"") + `, on_match: ` + toChain("bb") + `}]}}}}}}}}
      - predicate: {not_matcher: ` + predicate("ServerName", `safe_regex: {google_re2: {}, regex: ".+"}`) + `}
        on_match: {matcher: {matcher_tree: {` + asks("TransportProtocol") + `, exact_match_map: {map: {raw_buffer: ` + toChain("plain") + `}}}, on_no_match: {matcher: {matcher_tree: {` + asks("SourceIP") + `, exact_match_map: {map: {127.0.0.1: ` + toChain("nameless") + `}}}}}}}
      - predicate: {or_matcher: {predicate: [` + predicate("DirectSourceIP", "exact: 1.2.3.4") + `, ` + predicate("SourcePort", `prefix: "9999999"`) + `]}}
        on_match: ` + toChain("never") + `
    on_no_match:
      matcher:
        matcher_tree: {` + asks("DestinationIP") + `, exact_match_map: {map: {127.0.0.2: ` + toChain("end") + `}}}`

func TestChainMatcherAsEnvoy(t *testing.T) {
	names := []string{"wide", "alone", "never", "eight", "istio", "b", "bb", "plain", "nameless", "end"}
	var chains []string
	for _, name := range names {
		chains = append(chains, chainTo(name, ""))
	}
	text := Bootstrap(chained("listener_filters: ["+inspectTLS+"]\n"+matcherSet, chains...), named(t, names...)...)
	p := Start(t, text)
	ports := map[string]string{"we": portOf(p), "Envoy": asEnvoy(t, text)}
	for _, c := range []struct {
		to   string
		say  func(testing.TB) string
		want string
	}{
		{"127.9.0.1", greeting(1<<14, "a.example"), "wide"},
		{"127.0.0.3", greeting(1<<14, "a.example"), "alone"},
		{"127.0.0.7", greeting(1<<14, "a.example"), "wide"}, // what is exclusive has no second turn
		{"127.0.0.8", greeting(1<<14, "a.example"), "eight"},
		{"127.0.0.3", greeting(1<<14, "c.example", "h2", "istio"), "istio"},
		{"127.0.0.3", greeting(1<<14, "c.example", "istio-h2"), ""},
		{"127.0.0.2", greeting(1<<14, "c.example"), "end"},
		{"127.0.0.1", greeting(1<<14, "bc"), "b"},
		{"127.0.0.1", greeting(1<<14, "b.b.c"), "b"},
		{"127.0.0.9", greeting(1<<14, "b.b.c"), "bb"},
		{"127.0.0.1", greeting(1<<14, ""), "nameless"},
		{"127.0.0.1", say("hello\r\n"), "plain"},
	} {
		for who, port := range ports {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Timeout: deadline}
			conn, err := d.Dial("tcp", net.JoinHostPort(c.to, port))
			if err != nil {
				t.Fatal(err)
			}
			w := wrap(t, conn).Send(c.say(t))
			if got, _ := w.Rest(); got != c.want {
				t.Errorf("to %s: %s: %q, want %q", c.to, who, got, c.want)
			}
			w.Close()
		}
	}
}
