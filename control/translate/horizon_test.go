package translate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// gatewaysOfNetwork are so many ways into a network, of which every second one is of a cluster of its own.
func gatewaysOfNetwork(network string, n int) (changes []source.Change) {
	for i := range n {
		o := &source.Object{Key: source.Key{Kind: source.Service, Namespace: "edge", Name: fmt.Sprintf("%s-%d", network, i), Cluster: []string{"", "c" + network}[i%2]},
			Labels: map[string]string{mesh.NetworkLabel: network}, Spec: &source.ServiceSpec{ClusterIP: "None", ExternalIPs: []string{fmt.Sprintf("192.0.%d.%d", network[0], i+1)}}}
		changes = append(changes, source.Change{Key: o.Key, Object: o})
	}
	return changes
}

// TestGatewaysShareWhatIsBehind holds what a proxy is told in place of endpoints to how much there is of them: each counts as before beside the others, through whatever it is reached; and who is not to be reached over a
// gateway is not told at all.
func TestGatewaysShareWhatIsBehind(t *testing.T) {
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		m := mesh.New()
		for _, network := range []string{"a", "b"} {
			m = m.With(gatewaysOfNetwork(network, r.IntN(5)))
		}
		k := &assignmentTraits{settings: m.Settings, horizon: horizon{network: "here", networks: m.Networks}}
		var list []*mesh.Endpoint
		want, direct := map[string]float64{}, 0
		total := 0.0
		mutual := r.IntN(4) > 0
		tls := (*networking.ClientTLSSettings)(nil)
		if !mutual {
			tls = &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_DISABLE}
		}
		for i := range 1 + r.IntN(8) {
			e := &mesh.Endpoint{Address: fmt.Sprintf("10.0.0.%d", i), Port: 80, Network: []string{"", "here", "a", "b", "nowhere"}[r.IntN(5)], Sidecar: r.IntN(3) > 0, Weight: uint32(r.IntN(4))}
			list = append(list, e)
			weight := float64(max(e.Weight, 1))
			switch gateways := k.networks.Gateways(e.Network, e.Cluster); {
			case k.near(e) || len(gateways) == 0:
				want[e.Address] += weight
				direct++
				total += weight
			case mutual && e.Sidecar:
				for _, g := range gateways {
					want[g.Address+" "+e.Network] += weight / float64(len(gateways))
				}
				total += weight
			}
		}
		got, sum := map[string]float64{}, 0.0
		for _, e := range k.reached(list, tls) {
			name := e.Address
			if e.Gateway {
				name += " " + e.Network
			}
			got[name] += float64(max(e.Weight, 1))
			sum += float64(max(e.Weight, 1))
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
		for name, w := range want {
			if share := got[name] / sum; share < w/total-1e-9 || share > w/total+1e-9 {
				t.Errorf("seed %d: %s has %g of all, want %g", seed, name, share, w/total)
			}
		}
		for _, e := range k.behind(list) {
			if !k.near(e) || !e.Sidecar {
				t.Errorf("seed %d: a gateway passes on to %+v", seed, *e)
			}
		}
	}
}

// TestGreatWeightsKeepTheirMeaning has no weight wrap beside gateways, and all of them together be no more than proxies take.
func TestGreatWeightsKeepTheirMeaning(t *testing.T) {
	m := mesh.New().With(gatewaysOfNetwork("a", 6))
	k := &assignmentTraits{settings: m.Settings, horizon: horizon{network: "here", networks: m.Networks}}
	for _, c := range []struct{ near, far uint32 }{{1 << 31, 1}, {1 << 31, 1 << 30}, {1, 1 << 31}, {1 << 30, 1 << 30}, {math.MaxUint32, math.MaxUint32}} {
		got, sum := map[bool]uint64{}, uint64(0)
		for _, e := range k.reached([]*mesh.Endpoint{{Address: "10.0.0.1", Port: 80, Network: "here", Weight: c.near}, {Address: "10.0.0.2", Port: 80, Network: "a", Sidecar: true, Weight: c.far}}, nil) {
			if e.Weight == 0 {
				t.Errorf("%v: %s has no weight", c, e.Address)
			}
			got[e.Gateway] += uint64(e.Weight)
			sum += uint64(e.Weight)
		}
		if sum > math.MaxUint32 && uint64(c.near)+uint64(c.far) < math.MaxUint32 {
			t.Errorf("%v: %d in all", c, sum)
		}
		if want, is := float64(c.far)/float64(c.near), float64(got[true])/float64(got[false]); math.Abs(is/want-1) > 1e-8 && math.Abs(is-want) > 1e-8 {
			t.Errorf("%v: behind gateways are %g of the others, want %g", c, is, want)
		}
	}
}
