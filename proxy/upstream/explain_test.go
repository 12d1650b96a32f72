package upstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

// TestExplainIsChoose: those that explain says could be picked are those that a balancer picks, whatever the health, priorities and
// localities.
func TestExplainIsChoose(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	none, some := 0, 0
	for range 300 {
		var words []string
		for range 1 + random.IntN(3) {
			w := ""
			for range random.IntN(4) {
				w += string("HUDN"[random.IntN(4)])
			}
			words = append(words, w+"-")
		}
		list := leveled(strings.Join(words, " "))
		for i := range list {
			list[i].Locality = config.Locality{Zone: fmt.Sprint(random.IntN(2))}
			list[i].LocalityWeight = uint32(random.IntN(3))
		}
		c := &config.Cluster{Balancer: []config.Balancer{config.Random, config.RingHash, config.Maglev}[random.IntN(3)], Panic: float64(50 * random.IntN(2)), ByLocality: random.IntN(2) == 0,
			Hashing: config.Hashing{MinRing: 64, MaxRing: 64, TableSize: 97}}
		for i := range list {
			list[i].Endpoint.key.address = config.Address{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)}
		}
		running := &Cluster{Config: c}
		running.endpoints.Store(compile(c, nil, list))
		picture := running.Explain(nil, netip.AddrPort{})
		e, b := running.endpoints.Load(), &Balancer{}
		picked := make([]bool, len(list))
		for range 3000 {
			q := ask{random: random.Uint64, hash: random.Uint64()}
			if at, _ := b.Choose(c, e, &e.choices, &q); at >= 0 {
				picked[at] = true
			}
		}
		for i, s := range picture.Endpoints {
			if s.Pick != picked[i] {
				t.Fatalf("%q, %s: endpoint %d could be picked: %v; was: %v\n%+v", words, picture.Balancer, i, s.Pick, picked[i], picture)
			}
		}
		if slices.Contains(picked, true) {
			some++
		} else if none++; len(picture.Notes) == 0 {
			t.Fatalf("nobody can be picked, and nothing is said: %+v", picture)
		}
	}
	if none < 10 || some < 100 {
		t.Errorf("%d pictures with nobody, %d with somebody: the test does not look at both", none, some)
	}
}

func TestExplainHealth(t *testing.T) {
	list := leveled("HUDN")
	list[0].Standing.mark(Ejected, true)
	c := &config.Cluster{Name: "a", Panic: 0, Type: config.EDS, ServiceName: "s"}
	running := &Cluster{Config: c}
	running.endpoints.Store(compile(c, nil, list))
	var got []string
	for _, e := range running.Explain(nil, netip.AddrPort{}).Endpoints {
		got = append(got, e.Health+": "+e.Why)
	}
	want := []string{"unhealthy: outlier detection has ejected it", "unhealthy: its source says that it is unhealthy", "degraded: its source says that it is degraded",
		"unhealthy: health checks fail; an answer says that it is not well"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	running.endpoints.Store(compile(c, nil, nil))
	if p := running.Explain(nil, netip.AddrPort{}); len(p.Notes) != 1 || !strings.Contains(p.Notes[0], `those of "s" have not come yet`) {
		t.Errorf("%+v", p)
	}
}

func TestExplainSubsets(t *testing.T) {
	list := versions("v=1", "v=2")
	for _, c := range []struct {
		fallback config.SubsetFallback
		asks     string
		picks    string
		note     string
	}{
		{config.FallbackNone, "v=2", "1", `the subset v = "2" is asked for`},
		{config.FallbackNone, "v=3", "", `the subset v = "3" is asked for, which has nobody, and there is no fallback`},
		{config.FallbackAny, "v=3", "01", `the subset v = "3" is asked for, which has nobody: the fallback serves`},
		{config.FallbackAny, "", "01", "no subset is asked for: the fallback serves"},
	} {
		cluster := &config.Cluster{Subsets: &config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: c.fallback}}
		running := &Cluster{Config: cluster}
		running.endpoints.Store(compile(cluster, nil, list))
		p := running.Explain(asked(c.asks), netip.AddrPort{})
		picks := ""
		for i, e := range p.Endpoints {
			if e.Pick {
				picks += fmt.Sprint(i)
			}
		}
		if picks != c.picks || p.Notes[0] != c.note {
			t.Errorf("%+v: picks %q, %q", c, picks, p.Notes)
		}
	}
}
