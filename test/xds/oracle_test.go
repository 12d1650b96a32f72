package xds

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"github.com/weftmesh/weft/test/envoy"
)

// answer waits until the control plane has been answered about what it says now of a kind of resources, and tells how.
func (p *Plane) answer(kind string) string {
	p.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		p.mu.Lock()
		got := p.verdicts[kind+" "+fmt.Sprint(p.version)]
		p.mu.Unlock()
		if got != "" {
			return got
		}
		if time.Now().After(end) {
			p.t.Fatalf("no answer about %s at %d within %v: %v\n%v", kind, p.version, deadline, p.verdicts, p.Requests())
		}
	}
}

// bootstrapOf is the least that a proxy needs to be asked by a control plane.
func bootstrapOf(m mode, endpoint string) string {
	return fmt.Sprintf(`
node: {id: a, cluster: b}
dynamic_resources: %s
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [%s]}]}
`, m.boot, endpoint)
}

// TestOracle has the real Envoy and weft told the same, one after the other, and wants the same taken and refused.
func TestOracle(t *testing.T) {
	binary := envoy.Binary(t)
	m := modes()[0]
	type step struct {
		kind  string
		other types.Resource // in the place of the good one of its kind
		why   string         // we refuse what Envoy takes; empty: we say the same
	}
	listener := func(more string) types.Resource {
		return parse(strings.Replace("{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, "+more+"}", "SOURCE", m.source, 1), &listenerv3.Listener{})
	}
	same := func(kind string, other types.Resource) step { return step{kind, other, ""} }
	cluster := func(more string) types.Resource {
		return parse("{name: two, connect_timeout: 1s, "+more+"}", &clusterv3.Cluster{})
	}
	route := func(more string) types.Resource {
		return parse(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, `+more+`}]}]}`, &routev3.RouteConfiguration{})
	}
	match := func(more string) types.Resource {
		return parse(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {`+more+`}, route: {cluster: one}}]}]}`, &routev3.RouteConfiguration{})
	}
	localities := func(more string) types.Resource {
		return parse("{cluster_name: one, endpoints: ["+more+"]}", &endpointv3.ClusterLoadAssignment{})
	}
	at := func(address string, port int, more string) string {
		return fmt.Sprintf("{endpoint: {address: {socket_address: {address: %q, port_value: %d}}}%s}", address, port, more)
	}
	layer := func(more string) types.Resource {
		return parse("{name: live, layer: {"+more+"}}", &runtimev3.Runtime{})
	}
	const echo = `filters: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]`
	tcp := func(more string) string {
		return `filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, ` + more + `}}]}]`
	}
	http := func(more string) types.Resource {
		return listener(`filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, ` + more + `,
http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]`)
	}
	dubboTable := func(more string) types.Resource {
		return parse("{name: r, route_config: ["+more+"]}", &dubbov3.MultipleRouteConfiguration{})
	}
	dubboChain := func(more string) types.Resource {
		return listener(`filter_chains: [{filters: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, stat_prefix: d, ` + more + `}}]}]`)
	}
	steps := []step{
		same("Cluster", parse("{name: two, connect_timeout: 1s, lb_policy: RANDOM}", &clusterv3.Cluster{})),
		same("Cluster", bad("two")),
		same("Cluster", parse("{name: two, connect_timeout: -1s}", &clusterv3.Cluster{})),
		same("Cluster", parse("{name: two, connect_timeout: 1s, outlier_detection: {max_ejection_percent: 101}}", &clusterv3.Cluster{})),
		same("Cluster", parse("{name: two, connect_timeout: 3s}", &clusterv3.Cluster{})),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: ["*", "*"]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {safe_regex: {regex: "("}}, route: {cluster: one}}]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: nobody}}]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", parse(`{name: r, validate_clusters: true, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: nobody}}]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", table("r", "one")),
		{"ClusterLoadAssignment", parse(`{cluster_name: one, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}, load_balancing_weight: 4294967295},
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}, load_balancing_weight: 4294967295}]}]}`, &endpointv3.ClusterLoadAssignment{}), "weights that sum to more than a balancer reckons with"},
		same("ClusterLoadAssignment", parse(`{cluster_name: one, endpoints: [{priority: 200}]}`, &endpointv3.ClusterLoadAssignment{})),
		same("ClusterLoadAssignment", endpoints("one", 1, 2)),
		same("Listener", listener("filter_chains: []")),
		same("Listener", listener(`filter_chains: [{filters: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}, {filters: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]`)),
		same("Listener", m.listener("l", "r")),

		// clusters
		same("Cluster", parse("{name: two, connect_timeout: 0s}", &clusterv3.Cluster{})),
		same("Cluster", cluster("lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 1}")),
		same("Cluster", cluster("lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 2}")),
		same("Cluster", cluster("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 9000000}")),
		same("Cluster", cluster("common_lb_config: {healthy_panic_threshold: {value: 101}}")),
		same("Cluster", cluster("type: EDS")),
		same("Cluster", cluster("outlier_detection: {interval: 0s}")),
		same("Cluster", cluster("outlier_detection: {enforcing_success_rate: 101}")),
		same("Cluster", cluster("health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1}]")),
		same("Cluster", cluster("health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /}}]")),
		same("Cluster", cluster(`transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {tls_params: {cipher_suites: [NOBODY]}}}}`)),
		same("Cluster", cluster(`transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: a.test}}`)),
		same("Cluster", cluster("upstream_bind_config: {source_address: {address: nowhere, port_value: 0}}")),
		same("Cluster", cluster("per_connection_buffer_limit_bytes: 1")),
		same("Cluster", parse("{name: two, connect_timeout: 3s}", &clusterv3.Cluster{})),
		// routes
		same("RouteConfiguration", route("route: {cluster: one, timeout: -1s}")),
		same("RouteConfiguration", route("redirect: {host_redirect: a.test, path_redirect: /}")),
		same("RouteConfiguration", route("direct_response: {status: 600}")),
		same("RouteConfiguration", route("direct_response: {status: 99}")),
		same("RouteConfiguration", route("direct_response: {status: 200, body: {inline_string: a}}")),
		same("RouteConfiguration", route("route: {weighted_clusters: {clusters: []}}")),
		same("RouteConfiguration", route("route: {weighted_clusters: {clusters: [{name: one, weight: 0}]}}")),
		same("RouteConfiguration", route("route: {weighted_clusters: {clusters: [{name: one, weight: 4294967295}, {name: one, weight: 1}]}}")),
		same("RouteConfiguration", route("route: {weighted_clusters: {clusters: [{name: one, weight: 1}, {name: one, weight: 4}]}}")),
		same("RouteConfiguration", route("route: {cluster: one, retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 2s, max_interval: 1s}}}")),
		same("RouteConfiguration", route(`route: {cluster: one, regex_rewrite: {pattern: {regex: "("}, substitution: a}}`)),
		same("RouteConfiguration", route(`route: {cluster: one, hash_policy: [{header: {header_name: ""}}]}`)),
		same("RouteConfiguration", route(`route: {cluster: one}, request_headers_to_add: [{header: {key: "", value: a}}]`)),
		same("RouteConfiguration", route(`route: {cluster: one}, request_headers_to_remove: [":path"]`)),
		same("RouteConfiguration", route(`route: {cluster: one}, request_headers_to_remove: [host]`)),
		same("RouteConfiguration", match(`prefix: ""`)),
		same("RouteConfiguration", match(`path: /a, headers: [{name: "", present_match: true}]`)),
		{"RouteConfiguration", match(`path: /a, headers: [{name: a, range_match: {start: 3, end: 2}}]`), "a range in which nothing is"},
		same("RouteConfiguration", match(`path_separated_prefix: /a/`)),
		same("RouteConfiguration", match(`path_separated_prefix: /a`)),
		same("RouteConfiguration", match(`path: /a, query_parameters: [{name: "", present_match: true}]`)),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: []}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: [a]}, {name: v, domains: [b]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", parse(`{name: r, virtual_hosts: [{name: v, domains: ["a*b"]}]}`, &routev3.RouteConfiguration{})),
		same("RouteConfiguration", table("r", "one")),
		// endpoints
		same("ClusterLoadAssignment", localities("{lb_endpoints: ["+at("nowhere", 1, "")+"]}")),
		same("ClusterLoadAssignment", localities("{lb_endpoints: ["+at("127.0.0.1", 1, ", load_balancing_weight: 0")+"]}")),
		same("ClusterLoadAssignment", localities("{priority: 1, lb_endpoints: ["+at("127.0.0.1", 1, "")+"]}")),
		same("ClusterLoadAssignment", localities("{lb_endpoints: ["+at("127.0.0.1", 1, "")+", "+at("127.0.0.1", 1, "")+"]}")),
		{"ClusterLoadAssignment", localities("{locality: {region: a}, load_balancing_weight: 4294967295, lb_endpoints: [" + at("127.0.0.1", 1, "") + "]}, {locality: {region: b}, load_balancing_weight: 4294967295, lb_endpoints: [" + at("127.0.0.1", 2, "") + "]}"), "weights of localities that sum to more than a balancer reckons with"},
		same("ClusterLoadAssignment", localities("{lb_endpoints: ["+at("127.0.0.1", 70000, "")+"]}")),
		same("ClusterLoadAssignment", localities("{lb_endpoints: ["+at("::1", 1, ", health_status: DRAINING")+"]}")),
		same("ClusterLoadAssignment", localities("{lb_endpoints: []}")),
		same("ClusterLoadAssignment", endpoints("one", 1, 2)),
		// listeners
		same("Listener", listener("filter_chains: [{"+echo+", filter_chain_match: {source_ports: [70000]}}]")),
		same("Listener", listener("filter_chains: [{"+echo+`, filter_chain_match: {server_names: ["a*.test"]}}]`)),
		same("Listener", listener("filter_chains: [{"+echo+", filter_chain_match: {prefix_ranges: [{address_prefix: nowhere, prefix_len: 8}]}}]")),
		same("Listener", listener(tcp("weighted_clusters: {clusters: [{name: one, weight: 0}]}"))),
		same("Listener", listener(tcp("cluster: nobody"))),
		same("Listener", listener("filter_chains: [{"+echo+"}], listener_filters_timeout: -1s")),
		{"Listener", http(`rds: {route_config_name: "", config_source: {ads: {}}}`), "routes without a name, which nobody can ask for"},
		same("Listener", http(`codec_type: AUTO, server_header_transformation: PASS_THROUGH, route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: []}]}`)),
		same("Listener", http(`max_request_headers_kb: 9000, route_config: {}`)),
		same("Listener", http(`stream_idle_timeout: 0s, route_config: {virtual_hosts: [{name: v, domains: [a, A]}]}`)),
		same("Listener", m.listener("l", "r")),
		// filters' configurations
		same("TypedExtensionConfig", extension("aborts", abort(199))),
		same("TypedExtensionConfig", extension("aborts", abort(600))),
		same("TypedExtensionConfig", extension("aborts", `{"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}`)),
		same("TypedExtensionConfig", extension("aborts", `{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}`)),
		same("TypedExtensionConfig", extension("aborts", `{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, delay: {percentage: {numerator: 100}}}`)),
		same("TypedExtensionConfig", extension("aborts", abort(419))),
		// routes of Dubbo
		same("MultipleRouteConfiguration", calls("r", "nobody")),
		same("MultipleRouteConfiguration", dubboTable(``)),
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: []}`)),
		{"MultipleRouteConfiguration", dubboTable(`{interface: "", routes: []}`), "an interface that no call is for"},
		{"MultipleRouteConfiguration", dubboTable(`{interface: "a*b", routes: []}`), "a star where it stands for itself"},
		same("MultipleRouteConfiguration", dubboTable(`{interface: "*a", routes: []}, {interface: "a*", routes: []}`)),
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {method: {name: {safe_regex: {regex: "("}}}}, route: {cluster: one}}]}`)),
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{route: {cluster: one}}]}`)),
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {}}]}`)),
		{"MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {method: {name: {exact: m}}}, route: {cluster: ""}}]}`), "a cluster without a name"},
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {method: {name: {exact: m}}}, route: {weighted_clusters: {clusters: []}}}]}`)),
		{"MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {method: {name: {exact: m}}}, route: {weighted_clusters: {clusters: [{name: one, weight: 0}]}}}]}`), "weights of which there is none"},
		{"MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {method: {name: {exact: m}, params_match: {0: {range_match: {start: 3, end: 2}}}}}, route: {cluster: one}}]}`), "a range in which nothing is"},
		same("MultipleRouteConfiguration", dubboTable(`{interface: a, routes: [{match: {headers: [{name: "", present_match: true}]}, route: {cluster: one}}]}`)),
		same("MultipleRouteConfiguration", calls("r", "one")),
		same("Listener", mode{source: "{api_config_source: {api_type: GRPC, " + service + "}, resource_api_version: V3}"}.calling("l", "r")),
		same("Listener", mode{source: "{api_config_source: {api_type: DELTA_GRPC, " + service + "}, resource_api_version: V3}"}.calling("l", "r")),
		same("Listener", mode{source: "{api_config_source: {api_type: REST, cluster_names: [plane], transport_api_version: V3, refresh_delay: 1s}, resource_api_version: V3}"}.calling("l", "r")),
		same("Listener", dubboChain("drds: {config_source: SOURCE}, route_config: [{interface: a}]")),
		same("Listener", dubboChain("drds: {route_config_name: r}")),
		same("Listener", dubboChain("multiple_route_config: {}, route_config: [{interface: a}]")),
		same("Listener", m.calling("l", "")),
		same("Listener", m.calling("l", "r")),
		same("Listener", m.listener("l", "r")),
		// values of the runtime
		same("Runtime", layer("a.b: 1, a.c: text")),
		same("Runtime", layer("a: {b: {c: 1}}")),
		same("Runtime", layer("a: {numerator: 7, denominator: MILLION}")),
		same("Runtime", layer("a: null")),
		same("Runtime", layer("a: [1]")),
		same("Runtime", layer("a: true")),
	}
	// play tells somebody who is started by run all of it, and says what each step was answered.
	play := func(run func(*Plane)) (out []string) {
		plane := NewPlane(t, OverTCP)
		state := map[string]types.Resource{"Cluster": parse("{name: two, connect_timeout: 1s}", &clusterv3.Cluster{}), "RouteConfiguration": table("r", "one"), "ClusterLoadAssignment": endpoints("one", 1), "Listener": m.listener("l", "r"),
			"TypedExtensionConfig": extension("aborts", abort(418)), "Runtime": layer("a: 1"), "MultipleRouteConfiguration": calls("r", "one")}
		serve := func() {
			all := []types.Resource{m.cluster("one"), m.aborting("x", ""), m.calling("d", "r"), calls("", "one")} // with endpoints that come by name; of those that change, Envoy may never ask again
			for _, r := range state {
				all = append(all, r)
			}
			plane.Serve(all...)
		}
		serve()
		run(plane)
		for kind := range state {
			plane.answer(kind)
		}
		for i, s := range steps {
			state[s.kind] = s.other
			serve()
			out = append(out, fmt.Sprintf("%d %s", i, plane.answer(s.kind)))
		}
		return out
	}
	live := "layered_runtime: {layers: [{name: come, rtds_layer: {name: live, rtds_config: " + m.source + "}}]}\n"
	ours := play(func(plane *Plane) { Run(t, m, plane.Endpoint(), live) })
	theirs := play(func(plane *Plane) {
		path := filepath.Join(t.TempDir(), "envoy.yaml")
		if err := os.WriteFile(path, []byte(live+bootstrapOf(m, plane.Endpoint())), 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "off")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	})
	for i := range steps {
		if why := steps[i].why; why != "" {
			if !strings.HasSuffix(ours[i], " nack") || strings.HasSuffix(theirs[i], " nack") {
				t.Errorf("we say %s, Envoy %s: it is no exception any more that we refuse %s", ours[i], theirs[i], why)
			}
			continue
		}
		if ours[i] != theirs[i] {
			t.Errorf("we say %s, Envoy %s: %v", ours[i], theirs[i], steps[i].other)
		}
	}
	t.Log(ours)
}
