package upstream

import (
	"container/heap"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// fleetRun is a fleet of endpoints under a stream of requests, in time of its own: each takes as long as its endpoint takes for one, and
// an endpoint serves one at a time, in order.
type fleetRun struct {
	endpoints []Member
	takes     []int64 // by endpoint
	free      []int64 // by endpoint: when it has served all that it was given
	ends      ending
}

type end struct {
	at   int64
	host int
}

type ending []end

func (e ending) Len() int           { return len(e) }
func (e ending) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ending) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ending) Push(v any)        { *e = append(*e, v.(end)) }
func (e *ending) Pop() any {
	old := *e
	v := old[len(old)-1]
	*e = old[:len(old)-1]
	return v
}

// latencies are how long requests take that come one every so often.
func (f *fleetRun) latencies(c *config.Cluster, requests int, every int64, seed uint64) []int64 {
	e, random := compiled(f.endpoints), seeded(seed)
	b := &Balancer{}
	var out []int64
	for i := range requests {
		now := int64(i) * every
		for len(f.ends) > 0 && f.ends[0].at <= now {
			f.endpoints[heap.Pop(&f.ends).(end).host].Active.Leave()
		}
		at := b.one(c, e, random)
		f.endpoints[at].Active.Force()
		f.free[at] = max(f.free[at], now) + f.takes[at]
		out = append(out, f.free[at]-now)
		heap.Push(&f.ends, end{f.free[at], at})
	}
	slices.Sort(out)
	return out
}

// With one of ten endpoints twenty times as slow as the others, LEAST_REQUEST keeps most requests from waiting for it.
func TestLeastRequestKeepsFromTheSlow(t *testing.T) {
	p99 := func(c *config.Cluster, seed uint64) int64 {
		f := &fleetRun{endpoints: same(10), takes: make([]int64, 10), free: make([]int64, 10)}
		for i := range f.takes {
			f.takes[i] = 1000
		}
		f.takes[3] = 20_000
		list := f.latencies(c, 20_000, 250, seed) // 40 % of what nine can do
		return list[len(list)*99/100]
	}
	for seed := range uint64(5) {
		round := p99(&config.Cluster{Balancer: config.RoundRobin}, seed)
		least := p99(&config.Cluster{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1}, seed)
		if 2*least > round {
			t.Errorf("seed %d: p99 is %d with LEAST_REQUEST and %d with ROUND_ROBIN", seed, least, round)
		}
	}
}

// bytesPerCluster bounds what a running cluster of two endpoints holds, besides its configuration, before anybody has asked for it.
const bytesPerCluster = 4 << 10

func TestClustersAreSmall(t *testing.T) {
	s := NewSet(make([]*loop.Loop, 2), "", telemetry.NewStore(2), Options{})
	snapshot := &config.Snapshot{}
	for i := range 2000 {
		name := fmt.Sprint("cluster-", i)
		a := &config.Assignment{Name: name, Overprovisioning: 140}
		for port := range uint16(2) {
			a.Endpoints = append(a.Endpoints, &config.Endpoint{Address: config.Address{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port+1)}, Weight: 1})
		}
		snapshot.Clusters = append(snapshot.Clusters, &config.Cluster{Name: name, StatName: name, Panic: 50, Static: a})
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s.Update(snapshot)
	per := int64(heap()-before) / 2000
	if per > bytesPerCluster {
		t.Errorf("a cluster holds %d bytes, want at most %d", per, bytesPerCluster)
	}
	t.Logf("a cluster holds %d bytes", per)
	runtime.KeepAlive(s)
}

// In a large fleet each endpoint has its share of requests and of hashes, and one that goes takes only its own keys with it.
func TestLargeFleets(t *testing.T) {
	const endpoints, choices = 1000, 400_000
	hashing := config.Hashing{MinRing: 256 * endpoints, MaxRing: 8 << 20, TableSize: 1_000_003}
	keyed := func(n int) []Member {
		list := same(n)
		for i := range list {
			list[i].Metadata = config.Metadata{lbMetadata: {"hash_key": fmt.Sprint("endpoint-", i)}}
		}
		return list
	}
	for _, test := range []struct {
		c    *config.Cluster
		most float64 // of the mean
	}{
		{&config.Cluster{Balancer: config.RoundRobin}, 1.0},
		{&config.Cluster{Balancer: config.Random}, 1.25},
		{&config.Cluster{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1}, 1.25},
		{&config.Cluster{Balancer: config.Maglev, Hashing: hashing}, 1.25},
		{&config.Cluster{Balancer: config.RingHash, Hashing: hashing}, 1.45},
	} {
		e, b, random := compile(test.c, nil, keyed(endpoints)), &Balancer{}, seeded(11)
		counts := make([]int, endpoints)
		for range choices {
			at, _ := b.Choose(test.c, e, &e.choices, &ask{random: random, hash: random()})
			counts[at]++
		}
		if most, least := slices.Max(counts), slices.Min(counts); float64(most) > test.most*choices/endpoints || float64(least) < (2-test.most)*choices/endpoints {
			t.Errorf("%v: %d to %d of %d", test.c.Balancer, least, most, choices/endpoints)
		}
	}
	// In a thousand. With an endpoint less, each of the others gets one more place on the ring.
	for balancer, limit := range map[config.Balancer]int{config.RingHash: 5, config.Maglev: 20} {
		c := &config.Cluster{Balancer: balancer, Hashing: hashing}
		before, after, b, random := compile(c, nil, keyed(endpoints)), compile(c, nil, keyed(endpoints-1)), &Balancer{}, seeded(13)
		moved := 0
		for range 20_000 {
			q := ask{hash: random()}
			was, _ := b.Choose(c, before, &before.choices, &q)
			is, _ := b.Choose(c, after, &after.choices, &q)
			if was != is && was != endpoints-1 {
				moved++
			}
		}
		if moved > 20_000*limit/1000 {
			t.Errorf("%v: %d of 20,000 keys of others have moved", balancer, moved)
		}
	}
}
