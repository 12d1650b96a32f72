package translate

import (
	"math"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// horizon is what of the mesh a proxy reaches by itself, and how it comes to the rest. The zero value: all.
type horizon struct {
	network  string
	networks *mesh.Networks
	plain    bool // it has nothing to prove who it is by
	passes   bool // others send to it by names of clusters
}

func horizonOf(m *mesh.Mesh, p *Proxy, s *scope) horizon {
	h := horizon{passes: s.passes}
	if m.Networks != nil {
		h.network, h.networks, h.plain = s.place.network, m.Networks, p.Identity == NoIdentity
	}
	if s.passes {
		h.network = s.place.network
	}
	return h
}

// near tells whether a proxy reaches an endpoint by its address: they are of one network, or nobody has said of which.
func (h *horizon) near(e *mesh.Endpoint) bool {
	return e.Network == "" || h.network == "" || e.Network == h.network
}

// maxScale bounds by how much weights are multiplied so that gateways share them to the last part. Beyond it they are rounded up.
const maxScale = 10_000

// reached are the endpoints of a port as a proxy reaches them: those of its network, and for those of another one its gateways, which share how much there is behind them. Who
// takes no mTLS is not reached over a gateway, since that finds by its name whom it is for; nor is anybody if the proxy shows none, or a rule has it speak otherwise.
func (k *assignmentTraits) reached(list []*mesh.Endpoint, said *networking.ClientTLSSettings) []*mesh.Endpoint {
	far := false
	for _, e := range list {
		far = far || !k.near(e) && len(k.networks.Gateways(e.Network, e.Cluster)) > 0
	}
	if !far {
		return list
	}
	mutual := !k.plain && (said == nil && k.settings.AutoMTLS || said.GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL)
	scale := uint32(1)
	total, more := uint64(0), uint64(0) // of all weights, and what rounding adds to them at most
	for _, e := range list {
		total += uint64(max(e.Weight, 1))
		more += uint64(len(k.networks.Gateways(e.Network, e.Cluster)))
		if n := uint32(len(k.networks.Gateways(e.Network, e.Cluster))); !k.near(e) && n > 0 {
			if s := scale / divisor(scale, n) * n; s <= maxScale {
				scale = s
			}
		}
	}
	// Envoy refuses endpoints whose weights are together more than 32 bits hold.
	if most := (math.MaxUint32 - min(more, math.MaxUint32)) / total; uint64(scale) > most {
		scale = uint32(max(most, 1))
	}
	type way struct {
		mesh.NetworkGateway
		where mesh.Locality
	}
	var out []*mesh.Endpoint
	ways := map[way]*mesh.Endpoint{}
	for _, e := range list {
		gateways := k.networks.Gateways(e.Network, e.Cluster)
		if k.near(e) || len(gateways) == 0 {
			one := *e
			one.Weight = max(e.Weight, 1) * scale // which fits: it is 1 if their sum does not
			out = append(out, &one)
			continue
		}
		if !mutual || !k.takesMTLS(e) {
			continue
		}
		n := uint64(len(gateways))
		share := (uint64(max(e.Weight, 1))*uint64(scale) + n - 1) / n
		for _, g := range gateways {
			at := way{g, e.Locality}
			if ways[at] == nil {
				ways[at] = &mesh.Endpoint{Address: g.Address, Port: g.Port, Network: e.Network, Cluster: g.Cluster, Locality: e.Locality, Sidecar: true, Gateway: true}
				out = append(out, ways[at])
			}
			ways[at].Weight = uint32(min(uint64(ways[at].Weight)+share, math.MaxUint32))
		}
	}
	return out
}

// divisor is the greatest common divisor.
func divisor(a, b uint32) uint32 {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// behind are the endpoints that a gateway sends mTLS on to that comes from another network: those of its own that take it. It sends none on to a further gateway, or it might come back.
func (k *assignmentTraits) behind(list []*mesh.Endpoint) (out []*mesh.Endpoint) {
	for _, e := range list {
		if k.near(e) && k.takesMTLS(e) {
			out = append(out, e)
		}
	}
	return out
}
