package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// NetworkGateway is where a network is entered from another one: it takes mTLS and finds by its name (SNI) whom it is for.
type NetworkGateway struct {
	Cluster string // the own name of that which it is in; empty: it is for all of the network
	Address string // an IP
	Port    uint32
}

// Networks are the ways into networks. They never change.
type Networks struct {
	gateways map[string][]NetworkGateway // by network, in order
}

// Gateways are those of a network for what is in a cluster: its own, or else all.
func (x *Networks) Gateways(network, cluster string) []NetworkGateway {
	if x == nil {
		return nil
	}
	all := x.gateways[network]
	var own []NetworkGateway
	for _, g := range all {
		if g.Cluster == cluster {
			own = append(own, g)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// What a Service says that is the way into a network, as Istio has it.
const (
	labelGatewayPort   = "networking.istio.io/gatewayPort"
	defaultGatewayPort = 15443
)

// deriveNetworks finds the ways into networks: those that MeshNetworks name, and Services with the label of a network.
func (m *Mesh) deriveNetworks(before *Mesh, news *[kinds]touched, anew bool) {
	if !anew {
		names := m.Settings.gatewayServices()
		concerns := func(o *source.Object) bool {
			return o != nil && (o.Labels[NetworkLabel] != "" || names[o.Name+"."+o.Namespace+".svc."+m.Settings.Domain] != nil)
		}
		any := false
		for k := range news[source.Service] {
			any = any || concerns(before.Get(k)) || concerns(m.Get(k))
		}
		if !any {
			return
		}
	}
	if found := m.networks(); !reflect.DeepEqual(found, m.Networks) {
		m.Networks = found
	}
}

// gatewayServices are the Services that MeshNetworks name, by host, with the networks that they are the way into.
func (s *Settings) gatewayServices() map[string][]string {
	by := map[string][]string{}
	for name, n := range s.Networks.GetNetworks() {
		for _, g := range n.GetGateways() {
			if host := strings.ToLower(g.GetRegistryServiceName()); host != "" {
				by[host] = append(by[host], name)
			}
		}
	}
	return by
}

// Barred are the Services, by host, that MeshNetworks name as the way into a network, and that are none, with those networks: they are not there, have no
// address outside of their cluster, or are in one of which no fromRegistry says that it is of the network.
func (m *Mesh) Barred() map[string][]string {
	barred := m.Settings.gatewayServices()
	for cluster, objects := range m.Everywhere(source.Service) {
		network := m.Settings.registries[m.Settings.ClusterName(cluster)]
		for host, of := range barred {
			name, rest, _ := strings.Cut(host, ".")
			namespace, domain, _ := strings.Cut(rest, ".svc.")
			if o := objects.Get(namespace, name); o != nil && domain == m.Settings.Domain && len(o.Spec.(*source.ServiceSpec).Reached()) > 0 {
				barred[host] = slices.DeleteFunc(of, func(n string) bool { return n == network })
			}
		}
	}
	maps.DeleteFunc(barred, func(_ string, of []string) bool { return len(of) == 0 })
	return barred
}

// networks finds them; nil: there are none.
func (m *Mesh) networks() *Networks {
	x := &Networks{gateways: map[string][]NetworkGateway{}}
	add := func(network string, g NetworkGateway) {
		if _, err := netip.ParseAddr(g.Address); err == nil { // a name could be resolved by nobody: endpoints are addresses
			x.gateways[network] = append(x.gateways[network], g)
		}
	}
	for name, n := range m.Settings.Networks.GetNetworks() {
		for _, g := range n.GetGateways() {
			if g.GetAddress() != "" {
				add(name, NetworkGateway{Address: g.GetAddress(), Port: g.GetPort()})
			}
		}
	}
	named := m.Settings.gatewayServices()
	for cluster, objects := range m.Everywhere(source.Service) {
		own := m.Settings.ClusterName(cluster)
		for _, space := range objects.spaces {
			for _, o := range space {
				spec := o.Spec.(*source.ServiceSpec)
				if network := o.Labels[NetworkLabel]; network != "" {
					port := uint32(defaultGatewayPort)
					if n, err := strconv.ParseUint(o.Labels[labelGatewayPort], 10, 16); err == nil && n > 0 {
						port = uint32(n)
					}
					for _, a := range spec.Reached() {
						add(network, NetworkGateway{own, a, port})
					}
				}
				for _, network := range named[o.Name+"."+o.Namespace+".svc."+m.Settings.Domain] {
					if m.Settings.registries[own] != network { // a Service of that name is there in other clusters, too
						continue
					}
					for _, g := range m.Settings.Networks.GetNetworks()[network].GetGateways() {
						if strings.EqualFold(g.GetRegistryServiceName(), o.Name+"."+o.Namespace+".svc."+m.Settings.Domain) {
							for _, a := range spec.Reached() {
								add(network, NetworkGateway{own, a, g.GetPort()})
							}
						}
					}
				}
			}
		}
	}
	if len(x.gateways) == 0 {
		return nil
	}
	for name, list := range x.gateways {
		slices.SortFunc(list, func(a, b NetworkGateway) int {
			return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
		})
		x.gateways[name] = slices.Compact(list)
	}
	return x
}

// Network says in which network somebody of a cluster is: what he says of himself, or else what is known of his address.
func (m *Mesh) Network(cluster, said, namespace, address string) string {
	if said == "" {
		if w := m.Workloads.At(cluster, namespace, address); w != nil {
			return w.Network
		}
	}
	return m.network(cluster, said, address)
}
