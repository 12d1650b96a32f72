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
	envoy := os.Getenv("WEFT_ENVOY")
	if envoy == "" {
		envoy = "envoy"
	}
	if _, err := exec.LookPath(envoy); err != nil {
		t.Fatalf("no Envoy to compare with: %v; make setup fetches it, or name a binary in WEFT_ENVOY", err)
	}
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
	}
	// play tells somebody who is started by run all of it, and says what each step was answered.
	play := func(run func(*Plane)) (out []string) {
		plane := NewPlane(t, OverTCP)
		state := map[string]types.Resource{"Cluster": parse("{name: two, connect_timeout: 1s}", &clusterv3.Cluster{}), "RouteConfiguration": table("r", "one"), "ClusterLoadAssignment": endpoints("one", 1), "Listener": m.listener("l", "r")}
		serve := func() {
			all := []types.Resource{m.cluster("one")} // with endpoints that come by name; of those that change, Envoy may never ask again
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
	ours := play(func(plane *Plane) { Run(t, m, plane.Endpoint()) })
	theirs := play(func(plane *Plane) {
		path := filepath.Join(t.TempDir(), "envoy.yaml")
		if err := os.WriteFile(path, []byte(bootstrapOf(m, plane.Endpoint())), 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(envoy, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "off")
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
