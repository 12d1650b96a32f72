package oracle

import (
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// everyone is a policy for everybody who wants that.
func everyone(permission string) string {
	return "{permissions: [" + permission + "], principals: [{any: true}]}"
}

// all is a policy of those people, whatever they want.
func all(principal string) string {
	return "{permissions: [{any: true}], principals: [" + principal + "]}"
}

// rules are the fields of the HTTP filter that says so.
func rules(action string, policies ...string) string {
	return "rules: {action: " + action + ", policies: {" + strings.Join(policies, ", ") + "}}"
}

func rbac(fields string) string { return e2e.Filter("rbac", "rbac.v3.RBAC", fields) }

// tried is what one condition says of requests: an ALLOW by it alone, beside what its opposite says.
func permitted(name, permission string, sends ...exchange) []scenario {
	return []scenario{
		{name: "access-" + name, filters: noting + "\n" + rbac(rules("ALLOW", "p: "+everyone(permission))), sends: sends},
		{name: "access-not-" + name, filters: noting + "\n" + rbac(rules("DENY", "p: "+everyone(permission))), sends: sends},
	}
}

func principally(name, principal string, sends ...exchange) []scenario {
	return []scenario{
		{name: "access-" + name, filters: noting + "\n" + rbac(rules("ALLOW", "p: "+all(principal))), sends: sends},
		{name: "access-not-" + name, filters: noting + "\n" + rbac(rules("DENY", "p: "+all(principal))), sends: sends},
	}
}

const (
	home = "{address_prefix: 127.0.0.0, prefix_len: 8}"
	away = "{address_prefix: 10.0.0.0, prefix_len: 8}"
)

func only(list ...exchange) []exchange { return list }

var pathSends = append(gets("/a", "/a?q", "/a/", "/a;x=1", "/A", "/%61", "/a%2fb", "/a//b", "/./a", "/b/../a", "/b/%2e%2e/a", "//a", "/a\\b", "/b"),
	exchange{send: "GET http://x.test/a HTTP/1.1\r\nhost: y.test\r\n\r\n"})

// access are scenarios of who may do what.
var access = func() (list []scenario) {
	add := func(more ...scenario) { list = append(list, more...) }
	put := func(more []scenario) { list = append(list, more...) }
	two := only(exchange{send: "GET /"}, exchange{send: "POST /; content-type: application/grpc; body: x"})
	add(
		scenario{name: "access-none", filters: rbac(""), sends: two},
		scenario{name: "access-empty", filters: rbac("rules: {}"), sends: two},
		scenario{name: "access-deny-empty", filters: rbac("rules: {action: DENY}"), sends: two},
		scenario{name: "access-log", filters: rbac(rules("LOG", `p: `+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`))), json: ofNotes, sends: two},
		scenario{name: "access-spaces", filters: rbac(rules("DENY", `" a  b\tc": `+everyone("{any: true}"))), json: ofNotes, sends: two},
		scenario{name: "access-first", filters: rbac(rules("DENY", "b: "+everyone("{any: true}"), "a-z: "+everyone("{any: true}"), "a: "+everyone(`{header: {name: x-z, string_match: {exact: v}}}`), "B: "+everyone(`{header: {name: x-z, string_match: {exact: w}}}`))), json: ofNotes,
			sends: only(exchange{send: "GET /"}, exchange{send: "GET /; x-z: v"}, exchange{send: "GET /; x-z: w"})},
		scenario{name: "access-shadow", filters: rbac("shadow_rules_stat_prefix: dry_, rules_stat_prefix: wet, track_per_rule_stats: true, " + rules("ALLOW", "yes: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`)) +
			", shadow_" + rules("DENY", "no: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`))), json: ofNotes, sends: two},
		scenario{name: "access-shadow-alone", filters: rbac("shadow_" + rules("LOG", "no: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`)) + ", track_per_rule_stats: true"), json: ofNotes, sends: two},
		scenario{name: "access-twice", filters: rbac(rules("DENY", "no: "+everyone(`{header: {name: x-z, present_match: true}}`))) + "\n" + e2e.Filter("rbac2", "rbac.v3.RBAC", "rules_stat_prefix: second., "+rules("ALLOW", "yes: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`))), json: ofNotes,
			sends: only(exchange{send: "GET /"}, exchange{send: "GET /; x-z: v"}, exchange{send: "PUT /"})},
		scenario{name: "access-namesakes", filters: rbac(rules("DENY", "no: "+everyone(`{header: {name: x-z, present_match: true}}`))) + "\n" + rbac(rules("ALLOW", "yes: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`))), json: ofNotes,
			vhost: routes(route("prefix: /off", to+", "+e2e.Override("rbac", "rbac.v3.RBACPerRoute", "")), route("prefix: /", to)),
			sends: only(exchange{send: "GET /"}, exchange{send: "GET /; x-z: v"}, exchange{send: "PUT /"}, exchange{send: "PUT /off; x-z: v"})},
		scenario{name: "access-route", filters: rbac("rules_stat_prefix: chain, shadow_rules_stat_prefix: shade, rules: {}"), json: ofNotes, vhost: routes(
			route("prefix: /off", to+", "+e2e.Override("rbac", "rbac.v3.RBACPerRoute", "")),
			route("prefix: /own", to+", "+e2e.Override("rbac", "rbac.v3.RBACPerRoute", "rbac: {rules_stat_prefix: own, track_per_rule_stats: true, "+rules("ALLOW", "r: "+everyone(`{header: {name: ":method", string_match: {exact: GET}}}`))+"}")),
			route("prefix: /shadow", to+", "+e2e.Override("rbac", "rbac.v3.RBACPerRoute", "rbac: {track_per_rule_stats: true, shadow_"+rules("DENY", "r: "+everyone("{any: true}"))+"}")),
			route("prefix: /", to)), sends: append(gets("/off", "/own", "/shadow", "/"), exchange{send: "PUT /own"})},
		scenario{name: "access-parameters", table: "ignore_path_parameters_in_path_matching: true", filters: rbac(rules("ALLOW", "p: "+everyone("{url_path: {path: {exact: /a}}}"))), sends: gets("/a", "/a;x=1", "/a;x=1/b", "/a?b;c")},
		scenario{name: "access-normal", manager: "normalize_path: true\nmerge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", filters: rbac(rules("DENY", "p: "+everyone("{url_path: {path: {exact: /a}}}"))), sends: pathSends},
		scenario{name: "access-parameters-template", table: "ignore_path_parameters_in_path_matching: true", filters: rbac(rules("ALLOW", `p: `+everyone(`{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/a"}}}`))), sends: gets("/a", "/a;x=1")},
		scenario{name: "access-star", filters: rbac(rules("DENY", "p: "+everyone("{url_path: {path: {exact: '*'}}}"))), sends: only(exchange{send: "OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n"})},
		scenario{name: "access-fragment", filters: rbac(rules("DENY", "p: "+everyone("{url_path: {path: {exact: /a}}}"))), sends: only(exchange{send: "GET /a#f HTTP/1.1\r\nhost: a.example\r\n\r\n"})},
		scenario{name: "access-ports", filters: rbac(rules("ALLOW", "p: "+everyone("{and_rules: {rules: [{destination_port_range: {start: 1, end: 65536}}, {not_rule: {destination_port: 1}}]}}"))), sends: gets("/")},
		scenario{name: "access-port-none", filters: rbac(rules("ALLOW", "p: "+everyone("{or_rules: {rules: [{destination_port_range: {start: 0, end: 1}}, {destination_port: 1}]}}"))), sends: gets("/")},
		scenario{name: "access-ip", filters: rbac(rules("ALLOW", "p: "+everyone("{destination_ip: "+home+"}"))), sends: gets("/")},
		scenario{name: "access-ip-none", filters: rbac(rules("ALLOW", "p: "+everyone("{destination_ip: "+away+"}"))), sends: gets("/")},
		scenario{name: "access-nobody", filters: rbac(rules("ALLOW", "p: {permissions: [{any: true}], principals: [{not_id: {any: true}}]}")), sends: gets("/")},
	)
	values := only(exchange{send: "GET /"}, exchange{send: "GET /; x-z: v"}, exchange{send: "GET /; x-z: w"}, exchange{send: "GET /; x-z: v; x-z: w"}, exchange{send: "GET /; x-z: w; x-z: v"}, exchange{send: "GET /; x-z: v,w"}, exchange{send: "GET /; x-z: "}, exchange{send: "GET / HTTP/1.1\r\nhost: a.example\r\nx-z: v\x80\r\n\r\n"})
	put(permitted("header", "{header: {name: x-z, string_match: {exact: v}}}", values...))
	put(permitted("header-inverted", "{header: {name: x-z, string_match: {exact: v}, invert_match: true}}", values...))
	put(permitted("header-pattern", `{header: {name: x-z, string_match: {safe_regex: {regex: "v.*"}}}}`, values...))
	put(permitted("header-joined", "{header: {name: x-z, string_match: {exact: 'v,w'}}}", values...))
	put(permitted("header-missing", "{header: {name: x-z, string_match: {exact: ''}, treat_missing_header_as_empty: true}}", values...))
	put(permitted("header-present", "{header: {name: x-z, present_match: false}}", values...))
	put(permitted("host", `{header: {name: ":authority", string_match: {exact: a.example, ignore_case: true}}}`, exchange{send: "GET /"}, exchange{send: "GET /; host: A.Example"}, exchange{send: "GET /; host: a.example:80"}, exchange{send: "GET /; host: a.example."}, exchange{send: "GET /; host: b.example"}, exchange{send: "GET http://a.example/ HTTP/1.1\r\nhost: b.example\r\n\r\n"}))
	put(permitted("path", "{url_path: {path: {exact: /a}}}", pathSends...))
	put(permitted("path-prefix", "{url_path: {path: {prefix: /a, ignore_case: true}}}", pathSends...))
	put(permitted("path-pattern", `{url_path: {path: {safe_regex: {regex: ".*"}}}}`, pathSends...))
	put(permitted("whole-path", `{header: {name: ":path", string_match: {exact: /a}}}`, pathSends...))
	put(permitted("template", `{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/t/*/c/**"}}}`, gets("/t/a/c/", "/t/a/c", "/t/a/c/d/e?q", "/t//c/", "/t/*/c/x", "/t/a;b/c/x", "/t/a%2fb/c/x")...))
	put(permitted("server-name", "{requested_server_name: {exact: ''}}", gets("/")...))
	put(permitted("noted", "{metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}}", exchange{send: "GET /; x-s: v"}, exchange{send: "GET /; x-s: w"}, exchange{send: "GET /"}))
	put(permitted("noted-not", "{sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}, invert: true}}}", exchange{send: "GET /; x-s: v"}, exchange{send: "GET /; x-s: w"}, exchange{send: "GET /"}))
	put(principally("noted-who", "{metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}}", exchange{send: "GET /; x-s: v"}, exchange{send: "GET /"}))
	put(principally("noted-whose", "{sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}}}", exchange{send: "GET /; x-s: v"}, exchange{send: "GET /"}))
	put(principally("and", "{and_ids: {ids: [{header: {name: x-z, present_match: true}}, {not_id: {header: {name: x-b, present_match: true}}}]}}", exchange{send: "GET /; x-z: 1"}, exchange{send: "GET /; x-z: 1; x-b: 1"}, exchange{send: "GET /"}))
	put(principally("or", "{or_ids: {ids: [{header: {name: x-z, present_match: true}}, {url_path: {path: {exact: /a}}}]}}", exchange{send: "GET /; x-z: 1"}, exchange{send: "GET /a"}, exchange{send: "GET /"}))
	put(principally("state", "{filter_state: {key: k, string_match: {prefix: st}}}", exchange{send: "GET /; x-k: state"}, exchange{send: "GET /; x-k: other"}, exchange{send: "GET /"}))
	put(principally("plain", "{authenticated: {}}", gets("/")...))
	put(principally("plain-named", `{authenticated: {principal_name: {safe_regex: {regex: ".*"}}}}`, gets("/")...))
	for i, range1 := range []string{home, away} {
		for _, kind := range []string{"source_ip", "direct_remote_ip", "remote_ip"} {
			for _, c := range principally(strings.ReplaceAll(kind, "_", "-")+[]string{"", "-away"}[i], "{"+kind+": "+range1+"}", exchange{send: "GET /"}, exchange{send: "GET /; x-forwarded-for: 10.0.0.1"}) {
				c.manager = "use_remote_address: true\nxff_num_trusted_hops: 1"
				add(c)
			}
		}
	}
	for _, c := range permitted("route-about", "{sourced_metadata: {metadata_matcher: {filter: m, path: [{key: b}], value: {string_match: {exact: r}}}, metadata_source: ROUTE}}", gets("/up", "/other", "/none")...) {
		c.vhost = routes(route("prefix: /up", about+to), route("prefix: /other", to))
		add(c)
	}
	for _, c := range permitted("route-about-not", "{sourced_metadata: {metadata_matcher: {filter: m, path: [{key: b}], value: {string_match: {exact: r}}, invert: true}, metadata_source: ROUTE}}", gets("/up", "/other", "/none")...) {
		c.vhost = routes(route("prefix: /up", about+to), route("prefix: /other", to))
		add(c)
	}
	return append(list, accessOfConnections...)
}()

const ofNotes = `json_format: {a: "%DYNAMIC_METADATA(envoy.filters.http.rbac)%", b: "%DYNAMIC_METADATA(envoy.common)%", c: "%RESPONSE_CODE_DETAILS%", d: "%DYNAMIC_METADATA(envoy.filters.network.rbac)%", e: "%CONNECTION_TERMINATION_DETAILS%"}`

// connected is the network filter.
func connected(fields string) string {
	return `- {name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, ` + fields + "}}"
}

const hello1 = "tcp hello"

var accessOfConnections = []scenario{
	{name: "access-tcp", network: connected("stat_prefix: tcp.access-tcp, " + rules("ALLOW", "p: "+all("{direct_remote_ip: "+home+"}"))), tcp: "cluster: $up", json: ofNotes, sends: []exchange{{send: hello1}}},
	{name: "access-tcp-denied", network: connected("stat_prefix: tcp.access-tcp-denied., " + rules("DENY", "p q: "+all("{direct_remote_ip: "+home+"}"))), tcp: "cluster: $up", json: ofNotes, sends: []exchange{{send: hello1}}},
	{name: "access-tcp-empty", network: connected("stat_prefix: tcp.access-tcp-empty, rules: {}, delay_deny: 0.05s"), tcp: "cluster: $up", json: ofNotes, sends: []exchange{{send: hello1}}},
	{name: "access-tcp-shadow", network: connected("stat_prefix: tcp.access-tcp-shadow, shadow_rules_stat_prefix: dry_, shadow_" + rules("DENY", "p: "+everyone("{destination_ip: "+home+"}"))), tcp: "cluster: $up", json: ofNotes, sends: []exchange{{send: hello1}}},
	{name: "access-tcp-log", network: connected("stat_prefix: tcp.access-tcp-log, enforcement_type: CONTINUOUS, " + rules("LOG", "p: "+everyone("{requested_server_name: {exact: ''}}"))), tcp: "cluster: $up", json: ofNotes, sends: []exchange{{send: hello1}}},
	{name: "access-http-denied", network: connected("stat_prefix: tcp.access-http-denied, rules: {}"), sends: gets("/")},
}

// known are clients with certificates, of which policies say who they are.
var accessOfPeers = func() (list []scenario) {
	for name, socket := range map[string]string{
		"":           server(shows("front") + ", validation_context: {" + trust + "}"),
		"-untrusted": server(shows("front") + ", validation_context: {" + trust + ", trust_chain_verification: ACCEPT_UNTRUSTED}"),
		"-unasked":   server(shows("front")),
	} {
		for kind, principal := range map[string]string{
			"any":     "{authenticated: {}}",
			"uri":     `{authenticated: {principal_name: {exact: "spiffe://td/client"}}}`,
			"dns":     "{authenticated: {principal_name: {exact: client.test}}}",
			"subject": `{authenticated: {principal_name: {prefix: "CN="}}}`,
			"pattern": `{authenticated: {principal_name: {safe_regex: {regex: ".+"}}}}`,
			"empty":   `{authenticated: {principal_name: {exact: ""}}}`,
		} {
			list = append(list, scenario{name: "access-peer-" + kind + name, chain: socket, filters: rbac(rules("ALLOW", "p: "+all(principal))), sends: once("client", "nameless", "full", "twice", "", "stranger")})
		}
	}
	return append(list, scenario{name: "access-peer-name", chain: server(shows("front")), listener: "listener_filters: [" + inspector("tls_inspector", "") + "]", filters: rbac(rules("ALLOW", "p: "+everyone("{requested_server_name: {exact: front.test}}"))),
		sends: shakes(meeting{}, meeting{name: "other.test"})},
		scenario{name: "access-peer-pinned", chain: clients(`verify_certificate_hash: ["@whole-client@", "@whole-stranger@"]`), filters: rbac(rules("DENY", "p: "+all(`{authenticated: {principal_name: {exact: "spiffe://td/client"}}}`))), sends: once("client", "stranger")},
		scenario{name: "access-peer-pinned-validated", chain: clients(`verify_certificate_hash: ["@whole-client@", "@whole-stranger@"]`), vhost: routes(route("prefix: /, tls_context: {validated: true}", to), route("prefix: /", toB)), sends: once("client", "stranger")},
		scenario{name: "access-peer-tcp", chain: clients(trust), network: connected("stat_prefix: tcp.access-peer-tcp, " + rules("ALLOW", "p: "+all(`{authenticated: {principal_name: {exact: "spiffe://td/client"}}}`))), sends: once("client", "star")})
}()
