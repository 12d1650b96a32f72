package fields

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// dubboTrials are those of dubbo_proxy. The probe makes one call, greet("ann", 7) of org.example.Greeter, and says what it was answered.
var dubboTrials = []trial{
	{paths: "DubboProxy.multiple_route_config MultipleRouteConfiguration.route_config RouteConfiguration.routes Route.route", site: dubboProxy, base: `multiple_route_config: {route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}]}`, flip: "multiple_route_config: {}", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
	{paths: "DubboProxy.route_config", site: dubboProxy, base: `route_config: [{interface: "*", routes: [{match: {}, route: {cluster: up}}]}]`, flip: "", up: provider, probe: callsOnce, want: [2]string{"20 up ann", noDubboRoute}},
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
	{paths: "dubbo_proxy.v3.RouteAction.metadata_match", site: func(p string) string {
		return e2e.Bootstrap(dubboListener("stat_prefix: d, route_config: [{interface: '*', routes: [{match: {}, route: {cluster: up, "+p+"}}]}]"), `
- {name: up, type: STATIC, lb_subset_config: {subset_selectors: [{keys: [v]}]}, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: "1"}}}, `+here+`}]}]}}`)
	}, base: version1, flip: version3, up: provider, probe: callsOnce, want: [2]string{"20 up ann", "80 dubbo router: no healthy upstream for 'up'"}},
}

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
func callsOnce(w *world) string {
	c := w.dial()
	c.Write(e2e.CallFrame(w.t, 1, e2e.TwoWay, "org.example.Greeter", "greet", map[any]any{"group": "blue"}, "ann", int32(7)))
	h, body, err := e2e.ReadFrame(c)
	if err != nil {
		return err.Error()
	}
	return e2e.Said(w.t, h, body)
}
