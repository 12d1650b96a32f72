package translate

import (
	"fmt"
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
