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
// after is how places stand behind one another by the labels of what is there.
func arrange(k *assignmentTraits, a *endpointv3.ClusterLoadAssignment, failing bool, b *networking.LoadBalancerSettings, after map[*endpointv3.LocalityLbEndpoints]int) {
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
	labelled := len(set.GetFailoverPriority()) > 0
	if !failing || k.locality == (mesh.Locality{}) && !labelled {
		return
	}
	far := map[*endpointv3.LocalityLbEndpoints]int{}
	var seen []int
	for _, l := range a.Endpoints {
		n := 0
		if !labelled || len(set.GetFailover()) > 0 {
			n = distance(set, k.locality, l) * (len(set.GetFailoverPriority()) + 1)
		}
		n += after[l]
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

// prefer notes the labels by which a rule, or the mesh, has endpoints ordered.
func (r *ruled) prefer(s *mesh.Settings, rule *mesh.DestinationRule) {
	of := func(set *networking.LocalityLoadBalancerSetting) {
		for _, said := range set.GetFailoverPriority() {
			if name, _, _ := strings.Cut(said, "="); !slices.Contains(r.preferred, name) {
				r.preferred = append(r.preferred, name)
			}
		}
	}
	of(s.Config.GetLocalityLbSetting())
	if rule == nil {
		return
	}
	policy := func(t *networking.TrafficPolicy) {
		of(t.GetLoadBalancer().GetLocalityLbSetting())
		for _, p := range t.GetPortLevelSettings() {
			of(p.GetLoadBalancer().GetLocalityLbSetting())
		}
	}
	policy(rule.Spec.GetTrafficPolicy())
	for _, sub := range rule.Spec.GetSubsets() {
		policy(sub.GetTrafficPolicy())
	}
}

// preferences is what a proxy has of the labels by which some rule has endpoints ordered: those of a workload, and where it is.
func preferences(m *mesh.Mesh, p *Proxy, s *scope) string {
	if len(s.ruled.preferred) == 0 {
		return ""
	}
	self := mesh.Endpoint{Labels: p.Labels, Locality: p.Locality, Network: s.place.network, Cluster: m.Settings.ClusterName(s.place.cluster)}
	var b strings.Builder
	for _, name := range s.ruled.preferred {
		if value, is := self.Label(name); is {
			b.WriteString("\n" + name + "=" + strings.ReplaceAll(value, "\n", " ") + "\n")
		}
	}
	return b.String()
}

// preference says how far behind endpoints stand by their labels: 0 is who has all that is asked for, as the proxy has it or as it is said, and each label that comes earlier weighs more than
// those after it. nil: labels do not matter.
func (k *assignmentTraits) preference(failing bool, b *networking.LoadBalancerSettings) func(*mesh.Endpoint) int {
	asked := localitySetting(k.settings, b).GetFailoverPriority()
	if len(asked) == 0 || !failing && k.settings.Config.GetDefaultTrafficPolicy().GetOutlierDetection() == nil {
		return nil
	}
	return func(e *mesh.Endpoint) int {
		for i, said := range asked {
			name, want, exact := strings.Cut(said, "=")
			have, is := e.Label(name)
			if exact && have != want || !exact && (!is || !strings.Contains(k.prefers, "\n"+name+"="+have+"\n")) {
				return len(asked) - i
			}
		}
		return 0
	}
}
