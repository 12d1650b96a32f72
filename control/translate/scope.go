package translate

import (
	"cmp"
	"slices"
	"strings"
	"weak"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// scope is what a sidecar sees of the mesh.
type scope struct {
	sidecar  *source.Object // nil: all that its namespace sees
	ruled    *ruled
	virtuals *virtuals
	settings *mesh.Settings
	place    whereabouts
	passes   bool // it is a gateway that others send to by names of clusters
}

// whereabouts is where a proxy is, among clusters and networks.
type whereabouts struct{ cluster, network string }

// placeOf finds it. Of a cluster that is not known it is as if it were in the first.
func placeOf(m *mesh.Mesh, p *Proxy) whereabouts {
	at := whereabouts{cluster: m.ClusterOf(p.Cluster), network: p.Network}
	if m.Networks != nil {
		at.network = m.Network(at.cluster, cmp.Or(p.Network, p.Labels[mesh.NetworkLabel]), p.Namespace, p.Address)
	}
	return at
}

type seenKey struct {
	cluster   string
	services  ref[mesh.Services]
	namespace string
	sidecar   *source.Object
	asked     *chain // hosts that routes lead to, which are seen for that
}

// seen is the services that a proxy sees, by host.
type seen struct {
	services  []*mesh.Service
	byHost    map[string]int
	addressed bool // some are reached at their endpoints' addresses
	cluster   string
	own       map[string]bool // addresses of Services of that cluster; nil: no other one has Services here
}

// addresses are those of a service as its cluster has them. In another cluster, where a Service has one of them, that one is meant; false: then there are none.
func (s *seen) addresses(svc *mesh.Service) (list []string, any bool) {
	if s.own == nil || foreign(svc, s.cluster) == 0 {
		return svc.Addresses, true
	}
	list = slices.DeleteFunc(slices.Clone(svc.Addresses), func(a string) bool { return s.own[a] })
	return list, len(list) == len(svc.Addresses) || len(list) > 0
}

// service gives the one of a host; nil: none is seen.
func (s *seen) service(host string) *mesh.Service {
	if i, ok := s.byHost[host]; ok {
		return s.services[i]
	}
	return nil
}

type ruledKey struct {
	seen      ref[seen]
	rules     ref[mesh.Rules]
	namespace string
	settings  *mesh.Settings
}

// ruled is the rule for each of them; nil: there is none.
type ruled struct {
	*seen
	rules []*mesh.DestinationRule
	zones bool // some have endpoints ordered by where the client is
	// preferred are labels by which some have endpoints ordered that are like the client in them.
	preferred []string
	// credentials are the names of those that they have proxies connect with, by the role of the proxy.
	credentials [Gateway + 1][]string
}

// rule gives the rule for a host; nil: there is none, or the host is not seen.
func (r *ruled) rule(host string) *mesh.DestinationRule {
	if i, ok := r.byHost[host]; ok {
		return r.rules[i]
	}
	return nil
}

func (t *Translator) scope(m *mesh.Mesh, p *Proxy) *scope {
	at := placeOf(m, p)
	s := &scope{sidecar: sidecarOf(m, p), settings: m.Settings, place: at, passes: passes(m, p)}
	s.virtuals = t.virtuals.get(virtualsKey{weak.Make(m.Routes), m.Settings, p.Namespace, s.sidecar}, func() *virtuals { return t.findVirtuals(m, p, s.sidecar) })
	seen := t.seens.get(seenKey{at.cluster, weak.Make(m.Services), p.Namespace, s.sidecar, s.virtuals.asked}, func() *seen {
		n := &seen{services: m.Services.Seen(p.Namespace, at.cluster), byHost: map[string]int{}, cluster: at.cluster}
		if s.sidecar != nil {
			asked := map[string]bool{}
			for link := s.virtuals.asked; link != nil; link = link.before {
				asked[link.item.(string)] = true
			}
			list := importedBy(s.sidecar)
			n.services = slices.DeleteFunc(n.services, func(svc *mesh.Service) bool {
				return !asked[svc.Host] && !list.has(svc.Namespace, svc.Host)
			})
		}
		// Of an address that Services of two clusters have, the own cluster's is meant: of several the first has it.
		slices.SortStableFunc(n.services, func(a, b *mesh.Service) int { return foreign(a, at.cluster) - foreign(b, at.cluster) })
		if last := len(n.services) - 1; last >= 0 && foreign(n.services[last], at.cluster) == 1 {
			n.own = map[string]bool{}
			for _, svc := range n.services {
				if svc.Kubernetes() && foreign(svc, at.cluster) == 0 {
					for _, a := range svc.Addresses {
						n.own[a] = true
					}
				}
			}
		}
		for i, svc := range n.services {
			n.byHost[svc.Host] = i
			n.addressed = n.addressed || podAddressed(svc)
		}
		return n
	})
	s.ruled = t.ruleds.get(ruledKey{weak.Make(seen), weak.Make(m.Rules), p.Namespace, m.Settings}, func() *ruled {
		r := &ruled{seen: seen, rules: make([]*mesh.DestinationRule, len(seen.services))}
		for i, svc := range seen.services {
			r.rules[i] = m.Rules.For(p.Namespace, svc.Host, svc.Namespace)
			r.zones = r.zones || zoned(m.Settings, r.rules[i])
			r.prefer(m.Settings, r.rules[i])
			for role := range r.credentials {
				if toldCredentials(Role(role) == Gateway, r.rules[i]) {
					tlsOf(r.rules[i].Spec, func(_ string, tls *networking.ClientTLSSettings) {
						r.credentials[role] = append(r.credentials[role], originated(tls, r.rules[i].Namespace)...)
					})
				}
			}
		}
		return r
	})
	return s
}

// foreign is 1 of a Service that another cluster defines than a proxy's own.
func foreign(s *mesh.Service, cluster string) int {
	if s.Kubernetes() && s.Cluster() != cluster {
		return 1
	}
	return 0
}

// sidecarOf finds the Sidecar for a workload: one for its labels, else that of its namespace, else that of the root. Of several the oldest counts.
func sidecarOf(m *mesh.Mesh, p *Proxy) *source.Object {
	if p.Role == Gateway {
		return nil
	}
	var everyone *source.Object
	for _, o := range m.Sidecars.In(p.Namespace) {
		selector := o.Spec.(*networking.Sidecar).GetWorkloadSelector().GetLabels()
		switch {
		case len(selector) == 0 && everyone == nil:
			everyone = o
		case len(selector) > 0 && has(p.Labels, selector):
			return o
		}
	}
	if everyone == nil {
		for _, o := range m.Sidecars.In(m.Settings.RootNamespace) {
			if len(o.Spec.(*networking.Sidecar).GetWorkloadSelector().GetLabels()) == 0 {
				return o
			}
		}
	}
	return everyone
}

// has tells whether labels have all of a selector.
func has(labels, selector map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// imported are the hosts that a Sidecar has a proxy see, each of a namespace or of all. nil: all are seen.
type imported []struct{ namespace, host string }

func importedBy(o *source.Object) (list imported) {
	if o == nil {
		return nil
	}
	for _, e := range o.Spec.(*networking.Sidecar).GetEgress() {
		if list == nil {
			list = imported{}
		}
		for _, said := range e.GetHosts() {
			where, name, _ := strings.Cut(said, "/")
			if where == "." {
				where = o.Namespace
			}
			list = append(list, struct{ namespace, host string }{where, strings.ToLower(name)})
		}
	}
	return list
}

// has tells whether a host of a namespace is seen.
func (l imported) has(namespace, host string) bool {
	for i := range l {
		if one := &l[i]; (one.namespace == "*" || one.namespace == namespace) && covers(one.host, host) {
			return true
		}
	}
	return l == nil
}

// covers tells whether a host or wildcard has all of another in it.
func covers(wide, host string) bool {
	if wide == "*" || wide == host {
		return true
	}
	rest, ok := strings.CutPrefix(wide, "*")
	return ok && strings.HasSuffix(host, rest)
}
