package upstream

import (
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// still is a cluster of that many endpoints on a loop that does not turn.
func still(t *testing.T, c *config.Cluster, endpoints int) (*Cluster, *loop.Loop) {
	t.Helper()
	store := telemetry.NewStore(1)
	l, err := loop.New(0, store.Acquire(loop.Stats, "loop.").Loop(0), func(v any, _ []byte) { t.Error(v) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(); l.Run() })
	c.Name, c.StatName, c.Static = "up", "up", &config.Assignment{Overprovisioning: 140}
	for i := range endpoints {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), 80)
		c.Static.Endpoints = append(c.Static.Endpoints, &config.Endpoint{Address: config.Address{AddrPort: to}, Weight: 1})
	}
	return NewSet([]*loop.Loop{l}, "", store, Options{}).Update(&config.Snapshot{Clusters: []*config.Cluster{c}})["up"], l
}

var hashed = config.Hashing{MinRing: 1024, MaxRing: 8 << 20, TableSize: 65537}

// Endpoints of earlier attempts are passed over as long as there are attempts left to choose another one, and no longer.
func TestTriedEndpointsArePassedOver(t *testing.T) {
	for _, c := range []*config.Cluster{{Balancer: config.RoundRobin}, {Balancer: config.Random}, {Balancer: config.LeastRequest, ChoiceCount: 2},
		{Balancer: config.RingHash, Hashing: hashed}, {Balancer: config.Maglev, Hashing: hashed}} {
		up, l := still(t, c, 3)
		w := Wish{Attempts: 100}
		for i := range uint64(50) {
			w.Hash, w.Hashed = i*0x9e3779b97f4a7c15, true
			w.Tried = w.Tried[:0]
			for range 3 {
				m := up.Choose(l, &w)
				if w.refuses(m.Endpoint) {
					t.Fatalf("%v: %v again, after %d others", c.Balancer, m.Address(), len(w.Tried))
				}
				w.Tried = append(w.Tried, m.Endpoint)
			}
			if m := up.Choose(l, &w); m == nil {
				t.Fatalf("%v: nobody, when all have been tried", c.Balancer)
			}
		}
	}
	up, l := still(t, &config.Cluster{Balancer: config.RingHash, Hashing: hashed}, 3)
	w := Wish{Hash: 1 << 40, Hashed: true}
	w.Tried = []*Endpoint{up.Choose(l, &w).Endpoint}
	if m := up.Choose(l, &w); m.Endpoint != w.Tried[0] {
		t.Error("another endpoint without an attempt to choose one")
	}
}

// Without a hash a request goes anywhere; with one always to the same place.
func TestHashesLead(t *testing.T) {
	for _, balancer := range []config.Balancer{config.RingHash, config.Maglev} {
		up, l := still(t, &config.Cluster{Balancer: balancer, Hashing: hashed}, 5)
		for _, w := range []*Wish{nil, {}} {
			seen := map[*Endpoint]bool{}
			for range 300 {
				seen[up.Choose(l, w).Endpoint] = true
			}
			if len(seen) != 5 {
				t.Errorf("%v without a hash: %d of 5", balancer, len(seen))
			}
		}
		w := &Wish{Hash: 7 << 50, Hashed: true}
		first := up.Choose(l, w)
		for range 100 {
			if up.Choose(l, w) != first {
				t.Fatalf("%v: a hash leads to two places", balancer)
			}
		}
	}
}

// However unequal the hashes, no endpoint has more under way than its bound, and who is not over it keeps its hashes.
func TestLoadsAreBounded(t *testing.T) {
	for _, balancer := range []config.Balancer{config.RingHash, config.Maglev} {
		h := hashed
		h.BalanceFactor = 125
		up, l := still(t, &config.Cluster{Balancer: balancer, Hashing: h}, 8)
		w := &Wish{Hash: 3 << 51, Hashed: true} // one for all
		first := up.Choose(l, w)
		for n := 1; n <= 800; n++ {
			m := up.Choose(l, w)
			if n < 2 && m != first {
				t.Errorf("%v: the endpoint of the hash is idle and another one is chosen", balancer)
			}
			m.Active.Force()
			up.Breakers[config.PriorityDefault].Requests.Force()
		}
		for i := range up.Endpoints().All {
			// One more than the bound, which is checked before the request counts.
			if n := up.Endpoints().All[i].Active.Load(); n > 126 {
				t.Errorf("%v: %d of 800 at one of eight endpoints", balancer, n)
			}
		}
	}
}

// The outcome of an attempt is in the endpoint's books under the name that Envoy has for it.
func TestReport(t *testing.T) {
	up, l := still(t, &config.Cluster{}, 1)
	m := up.Choose(l, nil)
	for _, o := range []Outcome{{Status: 200}, {Status: 404}, {Status: 499}, {Status: 500}, {Failure: ConnectFailed}, {Failure: Terminated}, {TimedOut: true}, {Failure: Overflow}} {
		up.Report(l, m, o)
	}
	c := &m.Counts
	if got := [3]int64{c.RqSuccess.Load(), c.RqError.Load(), c.RqTimeout.Load()}; got != [3]int64{3, 3, 1} {
		t.Errorf("successes, errors and timeouts: %v", got)
	}
}
