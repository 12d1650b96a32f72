package decode

import (
	"math"

	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/weftmesh/weft/config"
)

func (s *session) assignment(m *endpointv3.ClusterLoadAssignment, p *at) *config.Assignment {
	raw := s.bytes(m)
	a := &config.Assignment{Name: m.GetClusterName(), Raw: raw,
		Overprovisioning: u32(m.GetPolicy().GetOverprovisioningFactor(), defaultOverprovisioning), WeighHealth: m.GetPolicy().GetWeightedPriorityHealth()}
	if drops := m.GetPolicy().GetDropOverloads(); len(drops) > 1 {
		s.problem(p.field("policy").field("drop_overloads"), "has %d categories: want one at most, as Envoy", len(drops))
	} else if len(drops) == 1 {
		a.Drop, a.DropCategory = Fraction(drops[0].GetDropPercentage()), drops[0].GetCategory()
	}
	count := 0
	for _, l := range m.GetEndpoints() {
		count += len(l.GetLbEndpoints())
	}
	all := make([]config.Endpoint, 0, count)
	localities := map[uint32]uint64{} // the sum of their weights, by priority
	for i, l := range m.GetEndpoints() {
		p := p.field("endpoints").item(i)
		if localities[l.GetPriority()] += uint64(l.GetLoadBalancingWeight().GetValue()); localities[l.GetPriority()] > math.MaxUint32 {
			s.problem(p.field("load_balancing_weight"), "the weights of a priority's localities sum to more than %d", uint32(math.MaxUint32))
		}
		p = p.field("lb_endpoints")
		for j, e := range l.GetLbEndpoints() {
			all = append(all, s.endpoint(l, e, p.item(j)))
		}
	}
	a.Endpoints = make([]*config.Endpoint, count)
	for i := range all {
		a.Endpoints[i] = &all[i]
		a.TotalWeight += uint64(all[i].Weight)
	}
	if count > 0 {
		s.total(a.TotalWeight, p.field("endpoints"))
	}
	return a
}

func (s *session) endpoint(l *endpointv3.LocalityLbEndpoints, m *endpointv3.LbEndpoint, p *at) config.Endpoint {
	if m.GetEndpoint() == nil {
		s.problem(p.field("endpoint"), "an endpoint is missing")
		return config.Endpoint{Weight: 1}
	}
	e := config.Endpoint{
		Hostname:       m.GetEndpoint().GetHostname(),
		Weight:         u32(m.GetLoadBalancingWeight(), 1),
		Health:         healths[m.GetHealthStatus()],
		Locality:       config.Locality{Region: l.GetLocality().GetRegion(), Zone: l.GetLocality().GetZone(), SubZone: l.GetLocality().GetSubZone()},
		LocalityWeight: l.GetLoadBalancingWeight().GetValue(),
		Priority:       uint8(l.GetPriority()),
		Metadata:       s.metadata(m.GetMetadata()),
		Check:          s.endpointCheck(m.GetEndpoint().GetHealthCheckConfig(), p.field("endpoint").field("health_check_config")),
	}
	if at := p.field("endpoint").field("address"); s.named {
		e.Host, e.Port = s.host(m.GetEndpoint().GetAddress(), at)
	} else {
		e.Address = s.address(m.GetEndpoint().GetAddress(), toConnect, at)
	}
	return e
}

// assignmentAfter reads endpoints of which some are those of before. It gives nil if anything is to be said against them, or if not even
// their localities are the same.
func (d *Decoder) assignmentAfter(wire []byte, before *config.Assignment) *config.Assignment {
	const localities, endpoints = 2, 2 // the fields of a ClusterLoadAssignment and of a LocalityLbEndpoints
	same, now, was, ok := split(wire, before.Raw, localities)
	if !ok || len(now) != len(was) {
		return nil
	}
	first := 0
	for _, value := range listed(wire, localities, same) {
		first += count(value, endpoints)
	}
	if first > len(before.Endpoints) {
		return nil
	}
	a := *before
	a.Raw, a.Endpoints = wire, make([]*config.Endpoint, 0, len(before.Endpoints)+1)
	a.Endpoints = append(a.Endpoints, before.Endpoints[:first]...)
	left := before.Endpoints[first:]
	for i := range now {
		head, these, those, ok := split(now[i], was[i], endpoints)
		if !ok || head+len(those) > len(left) {
			return nil
		}
		tail := tails(these, those)
		a.Endpoints = append(a.Endpoints, left[:head]...)
		left = left[head:]
		var l *endpointv3.LocalityLbEndpoints
		for _, one := range these[:len(these)-tail] {
			if l == nil {
				l = &endpointv3.LocalityLbEndpoints{}
				if proto.Unmarshal(without(now[i], endpoints), l) != nil {
					return nil
				}
			}
			m := &endpointv3.LbEndpoint{}
			s := d.part(one, m)
			if s == nil {
				return nil
			}
			e := s.endpoint(l, m, nil)
			if s.found() {
				return nil
			}
			a.Endpoints = append(a.Endpoints, &e)
			a.TotalWeight += uint64(e.Weight)
		}
		for _, e := range left[:len(those)-tail] {
			a.TotalWeight -= uint64(e.Weight)
		}
		a.Endpoints = append(a.Endpoints, left[len(those)-tail:len(those)]...)
		left = left[len(those):]
	}
	if len(left) > 0 {
		return nil
	}
	if a.TotalWeight > math.MaxUint32 || a.TotalWeight == 0 && len(a.Endpoints) > 0 {
		return nil
	}
	return &a
}

// defaultOverprovisioning is in percent.
const defaultOverprovisioning = 140

var healths = map[corev3.HealthStatus]config.Health{
	corev3.HealthStatus_UNKNOWN:   config.HealthUnknown,
	corev3.HealthStatus_HEALTHY:   config.HealthHealthy,
	corev3.HealthStatus_UNHEALTHY: config.HealthUnhealthy,
	corev3.HealthStatus_DRAINING:  config.HealthDraining,
	corev3.HealthStatus_TIMEOUT:   config.HealthTimeout,
	corev3.HealthStatus_DEGRADED:  config.HealthDegraded,
}
