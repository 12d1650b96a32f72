package translate

import (
	"cmp"
	"slices"
	"strings"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// localitySetting is what holds for a balancer: what its rule says, else what the mesh does; nil: places do not matter.
func localitySetting(s *mesh.Settings, b *networking.LoadBalancerSettings) *networking.LocalityLoadBalancerSetting {
	set := s.Config.GetLocalityLbSetting()
	if b.GetLocalityLbSetting() != nil {
		set = b.GetLocalityLbSetting()
	} else if set == nil {
		return &networking.LocalityLoadBalancerSetting{}
	}
	if set.GetEnabled() != nil && !set.GetEnabled().GetValue() {
		return nil
	}
	return set
}

// distributes tells whether places have weights.
func distributes(s *mesh.Settings, b *networking.LoadBalancerSettings) bool {
	return len(localitySetting(s, b).GetDistribute()) > 0
}

// zoned tells whether a rule has endpoints ordered by where the client is.
func zoned(s *mesh.Settings, rule *mesh.DestinationRule) bool {
	failing := s.Config.GetDefaultTrafficPolicy().GetOutlierDetection() != nil
	one := func(o *networking.OutlierDetection, b *networking.LoadBalancerSettings) bool {
		return localitySetting(s, b) != nil && (o != nil || failing || distributes(s, b))
	}
	if rule == nil {
		return one(nil, nil)
	}
	of := func(t *networking.TrafficPolicy) bool {
		if t != nil && one(t.GetOutlierDetection(), t.GetLoadBalancer()) {
			return true
		}
		return slices.ContainsFunc(t.GetPortLevelSettings(), func(p *networking.TrafficPolicy_PortTrafficPolicy) bool {
			return one(p.GetOutlierDetection(), p.GetLoadBalancer())
		})
	}
	return one(nil, nil) || of(rule.Spec.GetTrafficPolicy()) || slices.ContainsFunc(rule.Spec.GetSubsets(), func(sub *networking.Subset) bool { return of(sub.GetTrafficPolicy()) })
}

// arrange gives places weights or priorities as seen from where the client is. Without word of failing endpoints nobody could stand in for another.
func arrange(k *assignmentTraits, a *endpointv3.ClusterLoadAssignment, failing bool, b *networking.LoadBalancerSettings) {
	set := localitySetting(k.settings, b)
	if set == nil {
		return
	}
	if rules := set.GetDistribute(); len(rules) > 0 {
		for _, r := range rules {
			if localityMatches(r.GetFrom(), k.locality) {
				weigh(a, r.GetTo())
				return
			}
		}
		return
	}
	failing = failing || k.settings.Config.GetDefaultTrafficPolicy().GetOutlierDetection() != nil
	if !failing || k.locality == (mesh.Locality{}) {
		return
	}
	far := map[*endpointv3.LocalityLbEndpoints]int{}
	var seen []int
	for _, l := range a.Endpoints {
		n := distance(set, k.locality, l)
		far[l] = n
		seen = append(seen, n)
	}
	slices.Sort(seen)
	seen = slices.Compact(seen)
	for _, l := range a.Endpoints { // priorities may not have gaps
		l.Priority = uint32(slices.Index(seen, far[l]))
	}
	slices.SortStableFunc(a.Endpoints, func(x, y *endpointv3.LocalityLbEndpoints) int { return cmp.Compare(x.Priority, y.Priority) })
}

// distance is how far a place is: 0 the same subzone, 1 the zone, 2 the region, 3 the region that stands in for it, 4 elsewhere.
func distance(set *networking.LocalityLoadBalancerSetting, from mesh.Locality, to *endpointv3.LocalityLbEndpoints) int {
	l := to.GetLocality()
	switch {
	case l.GetRegion() == from.Region && l.GetZone() == from.Zone && l.GetSubZone() == from.SubZone:
		return 0
	case l.GetRegion() == from.Region && l.GetZone() == from.Zone:
		return 1
	case l.GetRegion() == from.Region:
		return 2
	}
	for _, f := range set.GetFailover() {
		if f.GetFrom() == from.Region && f.GetTo() == l.GetRegion() {
			return 3
		}
	}
	return 4
}

// localityMatches tells whether a place is in a pattern such as region/zone/*.
func localityMatches(pattern string, l mesh.Locality) bool {
	have := []string{l.Region, l.Zone, l.SubZone}
	for i, part := range strings.SplitN(pattern, "/", 3) {
		if part == "*" {
			return true
		}
		if part != have[i] {
			return false
		}
	}
	return true
}

// weigh spreads a client's requests over places as it is said; others get none.
func weigh(a *endpointv3.ClusterLoadAssignment, to map[string]uint32) {
	patterns := make([]string, 0, len(to))
	for p := range to {
		patterns = append(patterns, p)
	}
	slices.SortFunc(patterns, func(x, y string) int { // the most exact first
		return cmp.Or(cmp.Compare(strings.Count(y, "/"), strings.Count(x, "/")), cmp.Compare(strings.Count(x, "*"), strings.Count(y, "*")), cmp.Compare(x, y))
	})
	var kept []*endpointv3.LocalityLbEndpoints
	for _, p := range patterns {
		var within []*endpointv3.LocalityLbEndpoints
		total := uint32(0)
		for _, l := range a.Endpoints {
			place := mesh.Locality{Region: l.GetLocality().GetRegion(), Zone: l.GetLocality().GetZone(), SubZone: l.GetLocality().GetSubZone()}
			if localityMatches(p, place) && !slices.Contains(kept, l) {
				within = append(within, l)
				total += l.LoadBalancingWeight.GetValue()
			}
		}
		for _, l := range within { // what is said of several places is shared by what they have
			if w := to[p] * l.LoadBalancingWeight.GetValue() / max(total, 1); to[p] > 0 {
				l.LoadBalancingWeight.Value = max(w, 1)
				kept = append(kept, l)
			}
		}
	}
	slices.SortFunc(kept, func(x, y *endpointv3.LocalityLbEndpoints) int {
		return slices.Index(a.Endpoints, x) - slices.Index(a.Endpoints, y)
	})
	a.Endpoints = kept
}
