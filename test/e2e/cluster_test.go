package e2e

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// several is a cluster "up" with these localities, in YAML, and more of it.
func several(localities string, more ...string) string {
	return "- name: up\n" + indent(2, strings.Join(more, "\n")) + "\n  load_assignment:\n    cluster_name: up\n    endpoints:\n" + indent(4, localities)
}

func group(more string, ports ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s\n  lb_endpoints:\n", more)
	for _, port := range ports {
		fmt.Fprintf(&b, "  - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}\n", port)
	}
	return b.String()
}

const listens = "routes: [{match: {prefix: /}, route: {cluster: up}}]"

// An endpoint that fails is out for all loops, the next priority takes over, and another configuration of the cluster does not bring the
// endpoint back before its time.
func TestEjectedEndpointsStayOut(t *testing.T) {
	bad, good := Answer(t, "HTTP/1.1 500 Bad\r\ncontent-length: 3\r\n\r\nbad"), Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
	configuration := func(timeout string) string {
		return Bootstrap(HTTPListener(listens), several(group("priority: 0", bad.Port)+group("priority: 1", good.Port),
			"connect_timeout: "+timeout, "outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 100, base_ejection_time: 1000s, max_ejection_time: 1000s}"))
	}
	p := StartLoops(t, 2, configuration("5s"))
	for range 3 {
		if r := p.Dial().Get("/"); r.Status != 500 {
			t.Fatalf("before: %d", r.Status)
		}
	}
	p.WantStat("cluster.up.outlier_detection.ejections_active", 1)
	p.WantStat("cluster.up.membership_healthy", 1)
	for range 20 {
		if r := p.Dial().Get("/"); r.Status != 200 {
			t.Fatalf("after: %d", r.Status)
		}
	}
	if err := p.Update(&read(t, configuration("6s")).Static); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if r := p.Dial().Get("/"); r.Status != 200 {
			t.Fatalf("after another configuration: %d", r.Status)
		}
	}
}

// What a cluster is asked beside to choose an endpoint makes no garbage either.
func TestRequestsThatWishAllocateNothing(t *testing.T) {
	one, two := plain(t), plain(t)
	for name, more := range map[string]string{
		"subset": "lb_policy: LEAST_REQUEST\nlb_subset_config: {fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [v]}, {keys: [v, w], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [v]}]}",
		"ring":   "lb_policy: RING_HASH\ncommon_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 100}}",
		"slow":   "round_robin_lb_config: {slow_start_config: {slow_start_window: 1000s}}\ncommon_lb_config: {locality_weighted_lb_config: {}}",
	} {
		routes := `routes: [{match: {prefix: /}, route: {cluster: up, metadata_match: {filter_metadata: {envoy.lb: {v: "1", w: "2"}}}}}]`
		p := Start(t, Bootstrap(HTTPListener(routes), several(group("load_balancing_weight: 1", one.Port, one.Port)+group("load_balancing_weight: 2\n  locality: {zone: z}", two.Port),
			more, "outlier_detection: {split_external_local_origin_errors: true, interval: 1000s}")))
		c := p.Dial()
		request := []byte("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		var answer [4096]byte
		do := func(n int) {
			for range n {
				if _, err := c.Conn.Write(request); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Conn.Read(answer[:]); err != nil || n < 50 {
					t.Fatal(n, err)
				}
			}
		}
		do(1000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do(1000)
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > allocationsPerThousand {
			t.Errorf("%s: 1,000 requests made %d allocations, want at most %d", name, n, allocationsPerThousand)
		}
	}
}
