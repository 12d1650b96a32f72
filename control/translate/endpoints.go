package translate

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// dnsJitter spreads what many proxies ask at the same time.
const dnsJitter = 100 * time.Millisecond

// assignmentTraits are what endpoints depend on of a proxy and of the whole mesh.
type assignmentTraits struct {
	settings *mesh.Settings
	traits   Traits
	locality mesh.Locality // if some rule asks for it
	peers    *mesh.Peers   // if some have workloads take plain text only
	prefers  string        // what it has of labels by which some rule has endpoints ordered, a line each
	horizon
}

type endpointsKey struct {
	assignmentTraits
	ruled     ref[ruled]
	endpoints ref[mesh.EndpointIndex]
}

// endpointLayer is the endpoints of all that a proxy sees.
type endpointLayer struct {
	part *part
	made []*pieces         // by service; nil: it has none that are told
	of   []*mesh.Endpoints // that they were made of
}

// endpointsBefore says of which layer the next one differs in a few services only.
type endpointsBefore struct {
	assignmentTraits
	ruled ref[ruled]
}

type serviceEndpointsKey struct {
	assignmentTraits
	service   *mesh.Service
	rule      *mesh.DestinationRule
	endpoints *mesh.Endpoints
}

func (t *Translator) endpointLayer(m *mesh.Mesh, p *Proxy, s *scope) *endpointLayer {
	k := assignmentTraits{settings: m.Settings, traits: Traits{Istio: p.Traits.Istio, Gateway: p.Traits.Gateway, Proxyless: p.Traits.Proxyless}, prefers: preferences(m, p, s), horizon: horizonOf(m, p, s)}
	if m.Peers.Disables() {
		k.peers = m.Peers
	}
	if s.ruled.zones {
		k.locality = p.Locality
	}
	return t.endpoints.get(endpointsKey{k, weak.Make(s.ruled), weak.Make(m.Endpoints)}, func() *endpointLayer {
		n := len(s.ruled.services)
		layer := &endpointLayer{made: make([]*pieces, n), of: make([]*mesh.Endpoints, n)}
		same := endpointsBefore{k, weak.Make(s.ruled)}
		before := t.endpointsBefore.at(same)
		all := make([]*server.Resource, 0, 2*n)
		for i, svc := range s.ruled.services {
			if svc.Resolution != mesh.Listed && !(p.Traits.Gateway && svc.Resolution == mesh.Passthrough) {
				continue
			}
			if layer.of[i] = m.Endpoints.Of(svc); before != nil && before.of[i] == layer.of[i] {
				layer.made[i] = before.made[i]
			} else {
				key := serviceEndpointsKey{k, svc, s.ruled.rules[i], layer.of[i]}
				if !zoned(m.Settings, key.rule) {
					key.locality = mesh.Locality{}
				}
				layer.made[i] = t.endpointPieces.get(key, func() *pieces { return t.endpointsOf(&key) })
			}
			all = append(all, layer.made[i].resources...)
		}
		if before == nil {
			layer.part = t.part(server.Endpoints, all)
		} else {
			layer.part = t.partAfter(before.part, all)
		}
		t.endpointsBefore.set(same, layer)
		return layer
	})
}

// endpointsOf are the endpoints of a service, by port and subset, as of its clusters.
func (t *Translator) endpointsOf(k *serviceEndpointsKey) *pieces {
	made := &pieces{}
	add := func(at int, subset *networking.Subset) {
		port := k.service.Ports[at]
		p := policyOf(k.rule, subset.GetName(), port.Number)
		list := chosen(k.endpoints, at, subset)
		a := assignment(&k.assignmentTraits, outboundName(port.Number, subset.GetName(), k.service.Host), k.reached(list, p.tls), p.outlier != nil, p.balancer)
		made.resources = append(made.resources, t.message(server.Endpoints, a.ClusterName, a))
		if k.passes && passed(k.service) {
			a = assignment(&k.assignmentTraits, serverName(port.Number, subset.GetName(), k.service.Host), k.behind(list), p.outlier != nil, p.balancer)
			made.resources = append(made.resources, t.message(server.Endpoints, a.ClusterName, a))
		}
	}
	for i, port := range k.service.Ports {
		if port.Protocol == mesh.UDP {
			continue
		}
		add(i, nil)
		if k.rule != nil {
			for _, s := range k.rule.Spec.GetSubsets() {
				add(i, s)
			}
		}
	}
	return made
}

// assignment is a cluster's endpoints by where they are. failing: those that fail are noticed, so that others may stand in for them.
func assignment(k *assignmentTraits, name string, list []*mesh.Endpoint, failing bool, balancer *networking.LoadBalancerSettings) *endpointv3.ClusterLoadAssignment {
	a := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	type group struct {
		where mesh.Locality
		after int
	}
	by, after := map[group]*endpointv3.LocalityLbEndpoints{}, map[*endpointv3.LocalityLbEndpoints]int{}
	order := k.preference(failing, balancer)
	for _, e := range list {
		if e.Address == "" { // and no gateway leads to it
			continue
		}
		at := group{e.Locality, 0}
		if order != nil {
			at.after = order(e)
		}
		l := by[at]
		if l == nil {
			l = &endpointv3.LocalityLbEndpoints{LoadBalancingWeight: u32(0)}
			if e.Locality != (mesh.Locality{}) || k.traits.Proxyless { // a client of gRPC's refuses endpoints that are nowhere
				l.Locality = &corev3.Locality{Region: e.Locality.Region, Zone: e.Locality.Zone, SubZone: e.Locality.SubZone}
			}
			by[at], after[l] = l, at.after
			a.Endpoints = append(a.Endpoints, l)
		}
		one := k.endpoint(e)
		l.LbEndpoints = append(l.LbEndpoints, one)
		l.LoadBalancingWeight.Value += one.LoadBalancingWeight.GetValue()
	}
	slices.SortFunc(a.Endpoints, func(x, y *endpointv3.LocalityLbEndpoints) int {
		return cmp.Or(cmp.Compare(x.Locality.GetRegion(), y.Locality.GetRegion()), cmp.Compare(x.Locality.GetZone(), y.Locality.GetZone()), cmp.Compare(x.Locality.GetSubZone(), y.Locality.GetSubZone()), cmp.Compare(after[x], after[y]))
	})
	arrange(k, a, failing, balancer, after)
	return a
}

func (k *assignmentTraits) endpoint(e *mesh.Endpoint) *endpointv3.LbEndpoint {
	address := addressOf(e.Address, e.Port)
	if path, ok := strings.CutPrefix(e.Address, "unix://"); ok {
		address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	}
	one := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}}, LoadBalancingWeight: u32(max(e.Weight, 1))}
	meta := map[string]*structpb.Struct{}
	text := func(name, value string) *structpb.Struct {
		return &structpb.Struct{Fields: map[string]*structpb.Value{name: structpb.NewStringValue(value)}}
	}
	if k.takesMTLS(e) {
		meta["envoy.transport_socket_match"] = text("tlsMode", "istio")
	}
	switch {
	case !k.traits.Istio:
	case e.Workload.Name != "":
		meta["istio"] = text("workload", workloadText(e, cmp.Or(e.Cluster, k.settings.Cluster)))
	case e.Gateway:
		meta["istio"] = text("workload", ";;;;"+e.Cluster)
	}
	if len(meta) > 0 {
		one.Metadata = &corev3.Metadata{FilterMetadata: meta}
	}
	return one
}

// takesMTLS tells whether an endpoint takes mTLS of the mesh.
func (k *assignmentTraits) takesMTLS(e *mesh.Endpoint) bool {
	return e.Sidecar && !(k.peers != nil && k.peers.For(e.Workload.Namespace, e.Labels).At(e.Port) == mesh.Disable)
}

// workloadText is what istio.stats reads of an endpoint: the workload's name, namespace, canonical name and revision, and cluster.
func workloadText(e *mesh.Endpoint, cluster string) string {
	name := e.Labels["service.istio.io/canonical-name"]
	if name == "" {
		name = cmp.Or(e.Labels["app.kubernetes.io/name"], e.Labels["app"], e.Workload.Name)
	}
	revision := cmp.Or(e.Labels["service.istio.io/canonical-revision"], e.Labels["app.kubernetes.io/version"], e.Labels["version"], "latest")
	return strings.Join([]string{e.Workload.Name, e.Workload.Namespace, name, revision, cluster}, ";")
}
