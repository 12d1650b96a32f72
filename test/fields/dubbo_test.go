package fields

import (
	"fmt"
	"strings"
	"testing"

	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/wire/dubbo"
)

// dubboTrials are those of dubbo_proxy. The probe makes one call, greet("ann", 7) of org.example.Greeter, and says what it was answered.
var dubboTrials = []trial{
	{paths: "DubboProxy.multiple_route_config MultipleRouteConfiguration.route_config RouteConfiguration.routes Route.route", site: dubboProxy, base: `multiple_route_config: {route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}]}`, flip: "multiple_route_config: {}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "DubboProxy.route_config", site: dubboProxy, base: `route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}]`, flip: "", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "DubboProxy.drds Drds.config_source", site: func(p string) string {
		return dubboProxy("drds: {route_config_name: calls, config_source: {" + file + p + ".yaml\"}}}")
	}, base: "calls", flip: "none", files: map[string]string{"calls.yaml": dubboFile("calls", "up"), "none.yaml": dubboFile("calls", "")},
		up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "MultipleRouteConfiguration.name", site: func(string) string {
		return dubboProxy("drds: {route_config_name: calls, config_source: {" + file + "piece.yaml\"}}}")
	}, base: "name: calls", flip: "name: other", resource: &dubbov3.MultipleRouteConfiguration{}, up: provider, probe: served, want: [2]string{"true", "false"}},
	{paths: "Drds.route_config_name", site: func(p string) string {
		return dubboProxy("drds: {" + p + ", config_source: {" + file + "calls.yaml\"}}}")
	}, base: "route_config_name: calls", flip: "route_config_name: other",
		files: map[string]string{"calls.yaml": dubboFile("calls", "up")}, up: provider, probe: served, want: [2]string{"true", "false"}},
	{paths: "DubboProxy.stat_prefix", site: func(p string) string { return e2e.Bootstrap(dubboListener("stat_prefix: "+p), upCluster()) }, base: "a", flip: "b", up: provider, probe: func(w *world) string {
		callsOnce(w)
		return fmt.Sprint(w.stat("dubbo.a.request"), w.stat("dubbo.b.request"))
	}, want: [2]string{"1 -1", "-1 1"}},
	{paths: "RouteConfiguration.interface", site: dubboService, base: "interface: org.example.Greeter", flip: "interface: org.example.Other", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "RouteConfiguration.group", site: dubboService, base: "interface: '*', group: blue", flip: "interface: '*', group: green", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "RouteConfiguration.version", site: dubboService, base: "interface: '*', version: 1.0.0", flip: "interface: '*', version: 2.0.0", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "Route.match RouteMatch.method MethodMatch.name", site: dubboRoute, base: "method: {name: {exact: greet}}", flip: "method: {name: {exact: part}}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "RouteMatch.headers", site: dubboRoute, base: "headers: [{name: group, string_match: {exact: blue}}]", flip: "headers: [{name: group, string_match: {exact: green}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "MethodMatch.params_match ParameterMatchSpecifier.exact_match", site: dubboRoute, base: "method: {name: {prefix: g}, params_match: {0: {exact_match: ann}}}", flip: "method: {name: {prefix: g}, params_match: {0: {exact_match: bob}}}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "ParameterMatchSpecifier.range_match", site: dubboRoute, base: "method: {name: {prefix: g}, params_match: {1: {range_match: {start: 7, end: 8}}}}", flip: "method: {name: {prefix: g}, params_match: {1: {range_match: {start: 8, end: 9}}}}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo_proxy.v3.RouteAction.cluster", site: dubboTo, base: "cluster: up", flip: "cluster: gone", up: provider, probe: callsOnce, want: [2]string{"20 up ann", "80 dubbo router: unknown cluster 'gone'"}},
	{paths: "dubbo_proxy.v3.RouteAction.weighted_clusters", site: dubboTo, base: "weighted_clusters: {clusters: [{name: up, weight: 1}, {name: gone, weight: 0}]}", flip: "weighted_clusters: {clusters: [{name: up, weight: 0}, {name: gone, weight: 1}]}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", "80 dubbo router: unknown cluster 'gone'"}},
	{paths: "dubbo_proxy.v3.RouteAction.metadata_match Metadata@dubbo.filter_metadata", site: func(p string) string {
		return e2e.Bootstrap(dubboListener("stat_prefix: d, route_config: [{interface: '*', routes: [{match: {}, route: {cluster: up, "+p+"}}]}]"), `
- {name: up, type: STATIC, lb_subset_config: {subset_selectors: [{keys: [v]}]}, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: "1"}}}, `+here+`}]}]}}`)
	}, base: version1, flip: version3, up: provider, probe: callsOnce, want: [2]string{"20 up ann", "80 dubbo router: no healthy upstream for 'up'"}},
	{paths: "DubboProxy.dubbo_filters DubboFilter.config RBAC@dubbo.rules", site: dubboRules, base: "rules: {policies: {p: {permissions: [{url_path: {path: {exact: /org.example.Greeter/greet}}}], principals: [{any: true}]}}}",
		flip: "rules: {policies: {p: {permissions: [{url_path: {path: {exact: /org.example.Greeter/part}}}], principals: [{any: true}]}}}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", "70 RBAC: access denied"}},
	{paths: "RBAC@dubbo.rules_stat_prefix", site: dubboRules, base: "rules: {action: DENY}, rules_stat_prefix: a", flip: "rules: {action: DENY}, rules_stat_prefix: b", up: provider, probe: callsThen("dubbo.d.a.rbac.allowed"), want: [2]string{"1", "-1"}},
	{paths: "RBAC@dubbo.shadow_rules", site: dubboRules, base: "shadow_rules: {action: DENY}", flip: "shadow_rules: {}", up: provider, probe: callsThen("dubbo.d.rbac.shadow_denied"), want: [2]string{"0", "1"}},
	{paths: "RBAC@dubbo.shadow_rules_stat_prefix", site: dubboRules, base: "shadow_rules: {}, shadow_rules_stat_prefix: a", flip: "shadow_rules: {}, shadow_rules_stat_prefix: b", up: provider, probe: callsThen("dubbo.d.a.rbac.shadow_denied"), want: [2]string{"1", "-1"}},
	{paths: "LocalRateLimit@dubbo.token_bucket", site: dubboLimit("filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, stat_prefix: l, "), base: "token_bucket: {max_tokens: 2, fill_interval: 3600s}",
		flip: "token_bucket: {max_tokens: 1, fill_interval: 3600s}", up: provider, probe: callsTwice, want: [2]string{"20 up ann", "100 local_rate_limited"}},
	{paths: "LocalRateLimit@dubbo.descriptors", site: dubboLimit("filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, stat_prefix: l, token_bucket: {max_tokens: 5, fill_interval: 3600s}, "),
		base: "descriptors: [{entries: [{key: method, value: part}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]", flip: "descriptors: [{entries: [{key: method, value: greet}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]",
		up: provider, probe: callsTwice, want: [2]string{"20 up ann", "100 local_rate_limited"}},
	{paths: "LocalRateLimit@dubbo.filter_enabled", site: dubboLimit("filter_enforced: {default_value: {numerator: 100}}, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 3600s}, "), base: "filter_enabled: {default_value: {numerator: 0}}",
		flip: "filter_enabled: {default_value: {numerator: 100}}", up: provider, probe: callsTwice, want: [2]string{"20 up ann", "100 local_rate_limited"}},
	{paths: "LocalRateLimit@dubbo.filter_enforced", site: dubboLimit("filter_enabled: {default_value: {numerator: 100}}, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 3600s}, "), base: "filter_enforced: {default_value: {numerator: 0}}",
		flip: "filter_enforced: {default_value: {numerator: 100}}", up: provider, probe: callsTwice, want: [2]string{"20 up ann", "100 local_rate_limited"}},
	{paths: "LocalRateLimit@dubbo.stat_prefix", site: dubboLimit("filter_enabled: {default_value: {numerator: 100}}, token_bucket: {max_tokens: 5, fill_interval: 3600s}, "), base: "stat_prefix: a", flip: "stat_prefix: b", up: provider, probe: callsThen("a.dubbo_local_rate_limit.ok"), want: [2]string{"1", "-1"}},
	{paths: "Router@dubbo.access_log", site: func(p string) string {
		return dubboProxy(`route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}], dubbo_filters: [{name: envoy.filters.dubbo.router, config: {"@type": type.googleapis.com/weft.dubbo.v1.Router, access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "` + p + `\n"}}]}}]`)
	}, base: "%REQ(:PATH)%", flip: "%DYNAMIC_METADATA(dubbo:method)%", up: provider, probe: func(w *world) string {
		callsOnce(w)
		return w.one(nil, "@log")
	}, want: [2]string{"/org.example.Greeter/greet", "greet"}},
}

// dubboFile is a file of a table of routes that leads to a cluster; empty: nowhere.
func dubboFile(name, cluster string) string {
	text := "resources:\n- \"@type\": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration\n  name: " + name
	if cluster != "" {
		text += "\n  route_config: [{interface: '*', routes: [{match: {}, route: {cluster: " + cluster + "}}]}]"
	}
	return text
}

func dubboRules(piece string) string {
	return dubboProxy(`route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}], dubbo_filters: [{name: weft.filters.dubbo.rbac, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, ` + piece + `}}, {name: envoy.filters.dubbo.router}]`)
}

func dubboLimit(rest string) func(string) string {
	return func(piece string) string {
		return dubboProxy(`route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}], dubbo_filters: [{name: weft.filters.dubbo.local_rate_limit, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, ` + rest + piece + `}}, {name: envoy.filters.dubbo.router}]`)
	}
}

// callsThen makes the call and says a number.
func callsThen(stat string) func(*world) string {
	return func(w *world) string {
		callsOnce(w)
		return fmt.Sprint(w.stat(stat))
	}
}

// callsTwice makes the call twice and says how the second one was answered.
func callsTwice(w *world) string {
	callsOnce(w)
	return callsOnce(w)
}

// dubboMoreTrials are those of weft.dubbo.v1.Route.
var dubboMoreTrials = []trial{
	{paths: "Metadata@dubbo.typed_filter_metadata dubbo.v1.Route.match dubbo.v1.Match.argc", site: dubboMatch, base: "argc: 2", flip: "argc: 3", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Match.services", site: dubboMatch, base: "services: [{exact: 'providers:org.example.Greeter:1.0.0:blue'}]", flip: "services: [{exact: 'providers:org.example.Greeter:1.0.0:green'}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Match.arguments dubbo.v1.Argument.index dubbo.v1.Argument.texts dubbo.v1.Texts.patterns", site: dubboMatch, base: "arguments: [{index: 0, texts: {patterns: [{prefix: an}]}}]", flip: "arguments: [{index: 1, texts: {patterns: [{prefix: bo}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Texts.none", site: dubboMatch, base: "arguments: [{texts: {patterns: [{exact: bob}], none: true}}]", flip: "arguments: [{texts: {patterns: [{exact: bob}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Argument.type", site: dubboMatch, base: "arguments: [{index: 1, type: int}]", flip: "arguments: [{index: 1, type: long}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Argument.numbers dubbo.v1.Numbers.patterns dubbo.v1.Number.exact", site: dubboMatch, base: "arguments: [{index: 1, numbers: {patterns: [{exact: 7}]}}]", flip: "arguments: [{index: 1, numbers: {patterns: [{exact: 8}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Number.range DoubleRange.start DoubleRange.end", site: dubboMatch, base: "arguments: [{index: 1, numbers: {patterns: [{range: {start: 7, end: 8}}]}}]", flip: "arguments: [{index: 1, numbers: {patterns: [{range: {start: 8, end: 9}}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Numbers.none", site: dubboMatch, base: "arguments: [{index: 1, numbers: {patterns: [{exact: 8}], none: true}}]", flip: "arguments: [{index: 1, numbers: {patterns: [{exact: 8}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Argument.booleans dubbo.v1.Booleans.values", site: dubboMatch, base: "arguments: [{index: 2, booleans: {values: [true]}}]", flip: "arguments: [{index: 2, booleans: {values: [false]}}]", up: provider, probe: callsTruth, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Booleans.none", site: dubboMatch, base: "arguments: [{index: 2, booleans: {values: [false], none: true}}]", flip: "arguments: [{index: 2, booleans: {values: [false]}}]", up: provider, probe: callsTruth, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Match.attachments dubbo.v1.Attachment.texts", site: dubboMatch, base: "attachments: [{name: group, texts: {patterns: [{exact: blue}]}}]", flip: "attachments: [{name: group, texts: {patterns: [{exact: green}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Attachment.name", site: dubboMatch, base: "attachments: [{name: group, texts: {patterns: [{exact: blue}]}}]", flip: "attachments: [{name: groups, texts: {patterns: [{exact: blue}]}}]", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "dubbo.v1.Route.timeout", site: dubboMore, base: "timeout: 0.05s", flip: "timeout: 0.06s", up: mute, probe: tooLong, want: [2]string{"within 50ms", "within 60ms"}},
	{paths: "dubbo.v1.Retry.per_try_timeout", site: dubboMore, base: "retry: {attempts: 1, per_try_timeout: 0.05s}", flip: "retry: {attempts: 1, per_try_timeout: 0.06s}", up: mute, probe: tooLong, want: [2]string{"within 50ms", "within 60ms"}},
	{paths: "dubbo.v1.Route.retry dubbo.v1.Retry.attempts", site: dubboMore, base: "retry: {attempts: 1, idempotent: true}", flip: "retry: {attempts: 2, idempotent: true}", up: unable, probe: arrivals, want: [2]string{"80 bad 2", "80 bad 3"}},
	{paths: "dubbo.v1.Retry.idempotent", site: dubboMore, base: "retry: {attempts: 1, idempotent: true}", flip: "retry: {attempts: 1}", up: unable, probe: arrivals, want: [2]string{"80 bad 2", "80 bad 1"}},
	{paths: "dubbo.v1.Route.mirrors dubbo.v1.Mirror.cluster", site: dubboMore, base: "mirrors: [{cluster: up}]", flip: "mirrors: [{cluster: gone}]", up: provider, probe: arrivals, want: [2]string{"20 up ann 2", "20 up ann 1"}},
	{paths: "dubbo.v1.Mirror.fraction", site: dubboMore, base: "mirrors: [{cluster: up, fraction: {numerator: 100}}]", flip: "mirrors: [{cluster: up, fraction: {numerator: 0}}]", up: provider, probe: arrivals, want: [2]string{"20 up ann 2", "20 up ann 1"}},
	{paths: "dubbo.v1.Route.fallbacks dubbo.v1.Fallbacks.clusters", site: func(p string) string {
		return strings.Replace(dubboMore(p), "cluster: up, metadata", "cluster: gone, metadata", 1)
	}, base: "fallbacks: {gone: {clusters: [up]}}", flip: "fallbacks: {gone: {clusters: [lost]}}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", "80 dubbo router: unknown cluster 'gone'"}},
}

func mute(t testing.TB) *e2e.Upstream {
	return e2e.Provided(t, func(dubbo.Head, *dubbo.Call) ([]byte, bool) { return nil, false })
}

func unable(t testing.TB) *e2e.Upstream {
	return e2e.Provided(t, func(h dubbo.Head, _ *dubbo.Call) ([]byte, bool) {
		return dubbo.AppendError(nil, &h, dubbo.ServerError, "bad"), false
	})
}

// tooLong makes the call and says how long it was waited for.
func tooLong(w *world) string {
	said := callsOnce(w)
	return said[max(strings.Index(said, "within "), 0):]
}

// arrivals makes the call and says how often it was sent.
func arrivals(w *world) string {
	return fmt.Sprint(callsOnce(w), " ", w.stat("cluster.up.upstream_rq_total"))
}

func dubboMore(piece string) string {
	return dubboTo(`cluster: up, metadata_match: {typed_filter_metadata: {weft.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Route, ` + piece + `}}}`)
}

func dubboMatch(piece string) string { return dubboMore("match: {" + piece + "}") }

// callsTruth makes the call with one more argument, which is true.
func callsTruth(w *world) string { return calls(w, "ann", int32(7), true) }

const noDubboRoute = "60 dubbo router: no route for interface 'org.example.Greeter'"

func dubboListener(piece string) string {
	return `
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: d
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, ` + strings.TrimSuffix(piece, ", ") + `}
`
}

func dubboProxy(piece string) string {
	return e2e.Bootstrap(dubboListener("stat_prefix: d, "+piece), upCluster())
}

func dubboService(piece string) string {
	return dubboProxy("route_config: [{" + piece + ", routes: [{match: {}, route: {cluster: up}}]}]")
}

func dubboRoute(piece string) string {
	return dubboProxy("route_config: [{interface: '*', routes: [{match: {" + piece + "}, route: {cluster: up}}]}]")
}

func dubboTo(piece string) string {
	return dubboProxy("route_config: [{interface: '*', routes: [{match: {}, route: {" + piece + "}}]}]")
}

func provider(t testing.TB) *e2e.Upstream { return e2e.Provider(t, "up", 1) }

// callsOnce makes the call.
func callsOnce(w *world) string { return calls(w, "ann", int32(7)) }

func calls(w *world, arguments ...any) string {
	c := w.dial()
	c.Write(e2e.CallFrame(w.t, 1, e2e.TwoWay, "org.example.Greeter", "greet", map[any]any{"group": "blue"}, arguments...))
	h, body, err := e2e.ReadFrame(c)
	if err != nil {
		return err.Error()
	}
	return e2e.Said(w.t, h, body)
}
