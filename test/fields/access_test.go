package fields

import (
	"github.com/weftmesh/weft/test/e2e"
)

const rbacMessage = "rbac.v3.RBAC"

var judged = filtered(rbacMessage, noted("%DYNAMIC_METADATA(envoy.filters.http.rbac)%"))

const (
	someGet  = `policies: {p: {permissions: [{header: {name: ":method", string_match: {exact: GET}}}], principals: [{any: true}]}}`
	somePost = `policies: {p: {permissions: [{header: {name: ":method", string_match: {exact: POST}}}], principals: [{any: true}]}}`
)

// permits allows what a permission says; permitsNoted does behind filters that note what a request brings.
func permits(piece string) string {
	return judged("rules: {policies: {p: {permissions: [{" + piece + "}], principals: [{any: true}]}}}")
}

func permitsNoted(piece string) string {
	return behindNotes("permissions: [{" + piece + "}], principals: [{any: true}]")
}

// suits allows whom a principal is; suitsNoted likewise.
func suits(piece string) string {
	return judged("rules: {policies: {p: {permissions: [{any: true}], principals: [{" + piece + "}]}}}")
}

func suitsNoted(piece string) string {
	return behindNotes("permissions: [{any: true}], principals: [{" + piece + "}]")
}

func behindNotes(policy string) string {
	return chained(noting+"\n"+e2e.Filter("x", rbacMessage, "rules: {policies: {p: {"+policy+"}}}"), "routes: [{match: {prefix: /}, metadata: {filter_metadata: {m: {a: v}}}, route: {cluster: up}}]")
}

// suitsSecurely is suits for clients of TLS, and permitsSecurely is permits.
func suitsSecurely(piece string) string { return securely(suits(piece)) }

func permitsSecurely(piece string) string { return securely(permits(piece)) }

func securely(text string) string {
	text = replaced(text, all, "routes: [{match: {prefix: /}, direct_response: {status: 200}}]")
	return replaced(text, "    - filters:", "    - "+e2e.DownstreamTLS(fronts+", validation_context: {"+ca+"}", "")+"\n      filters:")
}

func routeRules(piece string) string {
	return chained(e2e.Filter("x", rbacMessage, "rules: {}"), e2e.Override("x", "rbac.v3.RBACPerRoute", piece)+"\n"+all)
}

// letIn is an echo behind rules about connections.
func letIn(piece string) string {
	return networkFilters(`{name: rules, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, ` + piece + `}}, {name: echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`)
}

// heardThen is what a connection hears to "y", and a number.
func heardThen(stat string) func(*world) string {
	return func(w *world) string { return says("y")(w) + "|" + w.one(nil, "#"+stat) }
}

const (
	homeRange  = "{address_prefix: 127.0.0.0, prefix_len: 8}"
	awayRange  = "{address_prefix: 10.0.0.0, prefix_len: 8}"
	templated  = `uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "`
	noneHere   = "not_rule: {any: true}"
	notAnybody = "not_id: {any: true}"
)

var denies = [2]string{"403", "200"}

var accessTrials = []trial{
	{paths: "http.rbac.v3.RBAC.rules", site: judged, base: "", flip: "rules: {}", probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "http.rbac.v3.RBAC.rules_stat_prefix", site: judged, base: "rules: {}", flip: "rules: {}, rules_stat_prefix: a", probe: look("GET /", "#http.http.rbac.denied", "#http.http.rbac.a.denied", "@log"), want: [2]string{`1|-1|{"enforced_engine_result":"denied"}`, `-1|1|{"aenforced_engine_result":"denied"}`}},
	{paths: "http.rbac.v3.RBAC.shadow_rules", site: judged, base: "", flip: "shadow_rules: {}", probe: look("GET /", "status", "#http.http.rbac.shadow_denied", "@log"), want: [2]string{"200|0|-", `200|1|{"shadow_engine_result":"denied"}`}},
	{paths: "http.rbac.v3.RBAC.shadow_rules_stat_prefix", site: judged, base: "shadow_rules: {}", flip: "shadow_rules: {}, shadow_rules_stat_prefix: a_", probe: look("GET /", "#http.http.rbac.shadow_denied", "#http.http.rbac.a_.shadow_denied", "@log"), want: [2]string{`1|-1|{"shadow_engine_result":"denied"}`, `-1|1|{"a_shadow_engine_result":"denied"}`}},
	{paths: "http.rbac.v3.RBAC.track_per_rule_stats", site: judged, base: "rules: {" + someGet + "}", flip: "track_per_rule_stats: true, rules: {" + someGet + "}", probe: look("GET /", "#http.http.rbac.policy.p.allowed"), want: [2]string{"-1", "1"}},
	{paths: "RBACPerRoute.rbac", site: routeRules, base: "rbac: {rules: {}}", flip: "", probe: look("GET /", "status"), want: denies},
	{paths: "config.rbac.v3.RBAC.policies", site: judged, base: "rules: {" + someGet + "}", flip: "rules: {" + somePost + "}", probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "RBAC.action=DENY", site: judged, base: "rules: {" + someGet + "}", flip: "rules: {action: DENY, " + someGet + "}", probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "RBAC.action=LOG", site: judged, base: "rules: {" + somePost + "}", flip: "rules: {action: LOG, " + somePost + "}", probe: look("GET /", "status"), want: denies},
	{paths: "Policy.permissions Permission.header", site: permits, base: `header: {name: ":method", string_match: {exact: POST}}`, flip: `header: {name: ":method", string_match: {exact: GET}}`, probe: look("GET /", "status"), want: denies},
	{paths: "Permission.any", site: permits, base: "destination_port: 1", flip: "any: true", probe: look("GET /", "status"), want: denies},
	{paths: "Permission.not_rule", site: permits, base: "any: true", flip: noneHere, probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "Permission.and_rules", site: permits, base: "and_rules: {rules: [{any: true}, {" + noneHere + "}]}", flip: "and_rules: {rules: [{any: true}]}", probe: look("GET /", "status"), want: denies},
	{paths: "Permission.or_rules Permission.Set.rules", site: permits, base: "or_rules: {rules: [{" + noneHere + "}]}", flip: "or_rules: {rules: [{" + noneHere + "}, {any: true}]}", probe: look("GET /", "status"), want: denies},
	{paths: "Permission.url_path PathMatcher.path", site: permits, base: "url_path: {path: {exact: /b}}", flip: "url_path: {path: {exact: /a}}", probe: look("GET /a?b", "status"), want: denies},
	{paths: "Permission.uri_template", site: permits, base: templated + `/b/*"}}`, flip: templated + `/a/*"}}`, probe: look("GET /a/b", "status"), want: denies},
	{paths: "Permission.destination_ip", site: permits, base: "destination_ip: " + awayRange, flip: "destination_ip: " + homeRange, probe: look("GET /", "status"), want: denies},
	{paths: "Permission.destination_port", site: permits, base: "any: true", flip: "destination_port: 1", probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "Permission.destination_port_range", site: permits, base: "destination_port_range: {start: 1, end: 2}", flip: "destination_port_range: {start: 1, end: 65536}", probe: look("GET /", "status"), want: denies},
	{paths: "Permission.requested_server_name", site: permitsSecurely, identities: true, base: "requested_server_name: {exact: other.test}", flip: "requested_server_name: {exact: front.test}", probe: as("client"), want: denies},
	{paths: "Permission.metadata", site: permitsNoted, base: "metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}", flip: "metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}", probe: look("GET /; x-s: v", "status"), want: denies},
	{paths: "Permission.sourced_metadata SourcedMetadata.metadata_matcher", site: permitsNoted, base: "sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}}", flip: "sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}}", probe: look("GET /; x-s: v", "status"), want: denies},
	{paths: "SourcedMetadata.metadata_source=ROUTE", site: permitsNoted, base: "sourced_metadata: {metadata_matcher: {filter: m, path: [{key: a}], value: {string_match: {exact: v}}}}", flip: "sourced_metadata: {metadata_source: ROUTE, metadata_matcher: {filter: m, path: [{key: a}], value: {string_match: {exact: v}}}}", probe: look("GET /", "status"), want: denies},
	{paths: "Policy.principals Principal.header", site: suits, base: `header: {name: ":method", string_match: {exact: POST}}`, flip: `header: {name: ":method", string_match: {exact: GET}}`, probe: look("GET /", "status"), want: denies},
	{paths: "Principal.any", site: suits, base: "url_path: {path: {exact: /b}}", flip: "any: true", probe: look("GET /", "status"), want: denies},
	{paths: "Principal.not_id", site: suits, base: "any: true", flip: notAnybody, probe: look("GET /", "status"), want: [2]string{"200", "403"}},
	{paths: "Principal.and_ids", site: suits, base: "and_ids: {ids: [{any: true}, {" + notAnybody + "}]}", flip: "and_ids: {ids: [{any: true}]}", probe: look("GET /", "status"), want: denies},
	{paths: "Principal.or_ids Principal.Set.ids", site: suits, base: "or_ids: {ids: [{" + notAnybody + "}]}", flip: "or_ids: {ids: [{" + notAnybody + "}, {any: true}]}", probe: look("GET /", "status"), want: denies},
	{paths: "Principal.authenticated", site: suitsSecurely, identities: true, base: notAnybody, flip: "authenticated: {}", probe: as("client"), want: denies},
	{paths: "Authenticated.principal_name", site: suitsSecurely, identities: true, base: "authenticated: {principal_name: {exact: other.test}}", flip: "authenticated: {principal_name: {exact: client.test}}", probe: as("client"), want: denies},
	{paths: "Principal.source_ip", site: suits, base: "source_ip: " + awayRange, flip: "source_ip: " + homeRange, probe: look("GET /", "status"), want: denies},
	{paths: "Principal.direct_remote_ip", site: suits, base: "direct_remote_ip: " + awayRange, flip: "direct_remote_ip: " + homeRange, probe: look("GET /", "status"), want: denies},
	{paths: "Principal.remote_ip", site: suits, base: "remote_ip: " + awayRange, flip: "remote_ip: " + homeRange, probe: look("GET /", "status"), want: denies},
	{paths: "Principal.url_path", site: suits, base: "url_path: {path: {exact: /b}}", flip: "url_path: {path: {exact: /a}}", probe: look("GET /a?b", "status"), want: denies},
	{paths: "Principal.metadata", site: suitsNoted, base: "metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}", flip: "metadata: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}", probe: look("GET /; x-s: v", "status"), want: denies},
	{paths: "Principal.sourced_metadata", site: suitsNoted, base: "sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}}", flip: "sourced_metadata: {metadata_matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}}", probe: look("GET /; x-s: v", "status"), want: denies},
	{paths: "Principal.filter_state", site: suitsNoted, base: "filter_state: {key: k, string_match: {exact: w}}", flip: "filter_state: {key: k, string_match: {exact: v}}", probe: look("GET /; x-k: v", "status"), want: denies},
	{paths: "network.rbac.v3.RBAC.rules", site: letIn, base: "stat_prefix: a", flip: "stat_prefix: a, rules: {}", probe: heardThen("a.rbac.denied"), want: [2]string{"y|0", "closed|1"}},
	{paths: "network.rbac.v3.RBAC.shadow_rules", site: letIn, base: "stat_prefix: a", flip: "stat_prefix: a, shadow_rules: {}", probe: heardThen("a.rbac.shadow_denied"), want: [2]string{"y|0", "y|1"}},
	{paths: "network.rbac.v3.RBAC.shadow_rules_stat_prefix", site: letIn, base: "stat_prefix: a, shadow_rules: {}", flip: "stat_prefix: a, shadow_rules: {}, shadow_rules_stat_prefix: b", probe: heardThen("a.rbac.b.shadow_denied"), want: [2]string{"y|-1", "y|1"}},
	{paths: "network.rbac.v3.RBAC.stat_prefix", site: letIn, base: "stat_prefix: a, rules: {}", flip: "stat_prefix: b., rules: {}", probe: heardThen("b.rbac.denied"), want: [2]string{"closed|-1", "closed|1"}},
	{paths: "network.rbac.v3.RBAC.delay_deny", site: letIn, base: "stat_prefix: a, rules: {}", flip: "stat_prefix: a, rules: {}, delay_deny: 100s", probe: says("y"), want: [2]string{"closed", "silence"}},
}
