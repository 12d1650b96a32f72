package translate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// clustersOf are the clusters of whose proxies a service has its addresses and workloads: a Service those of its own, and a ServiceEntry those of all. Of addresses that Services of two clusters
// have, each proxy takes its own cluster's, and clusters give out the same ones.
func clustersOf(m *mesh.Mesh, s *mesh.Service) []string {
	if s.Kubernetes() {
		return []string{s.Cluster()}
	}
	return append([]string{""}, m.Clusters()...)
}

// OutboundConflicts says, as warnings, which services want connections that another one has already: of bytes nobody sees more than where they go, so that the first
// service of an address and a port has all of them. Only services that everybody sees count, and addresses that they have wherever it is.
func OutboundConflicts(m *mesh.Mesh) (problems []source.Problem) {
	type place struct {
		cluster string
		address string // empty: any
		port    uint32
	}
	has := map[place]*mesh.Service{}
	all := m.Services.All()
	slices.SortStableFunc(all, func(a, b *mesh.Service) int { return cmp.Compare(a.Host, b.Host) }) // as proxies are told of them
	for _, s := range all {
		if !s.Visible.All || podAddressed(s) || len(s.Addresses) == 0 && s.Allocated != "" {
			continue
		}
		addresses := s.Addresses
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for i, port := range s.Ports {
			if port.Protocol == mesh.UDP || port.Protocol.IsHTTP() || port.Protocol.IsTLS() {
				continue // requests and names say who is meant
			}
			for _, a := range addresses {
				var first *mesh.Service
				for _, cluster := range clustersOf(m, s) {
					at := place{cluster, a, port.Number}
					switch other := has[at]; {
					case other == nil:
						has[at] = s
					case first == nil && other.Host != s.Host:
						first = other
					}
				}
				if first == nil || len(problems) >= maxReferences {
					continue
				}
				where := "every address"
				if a != "" {
					where = "the address " + a
				}
				problems = append(problems, ofPort(m, s, i, "%s has %s at port %d, too: connections there are its; want an address of its own, or another port", first.From, where, port.Number))
			}
		}
	}
	return problems
}

// ofPort is a warning about a service's port.
func ofPort(m *mesh.Mesh, s *mesh.Service, port int, format string, args ...any) source.Problem {
	p := source.Problem{Key: s.From, Path: fmt.Sprintf("spec.ports[%d]", port), Text: fmt.Sprintf(format, args...), Warning: true}
	if o := m.Get(s.From); o != nil {
		p.From = o.From
	}
	return p
}

// saying is what a port of a service says of one of its workloads.
type saying struct {
	service *mesh.Service
	at      int
}

func (c saying) protocol() mesh.Protocol { return c.service.Ports[c.at].Protocol }

// InboundConflicts says, as warnings, of which services a port of a workload is taken for that it serves for an older one, as what that says. Only services whose
// workloads are certainly the other's, too, count, and ports that they name by number.
func InboundConflicts(m *mesh.Mesh) (problems []source.Problem) {
	type place struct {
		cluster, namespace string
		port               uint32
	}
	by := map[place][]saying{}
	for _, s := range m.Services.All() {
		for i, port := range s.Ports {
			if port.Protocol == mesh.UDP || len(s.Selector) == 0 || port.Target.Name != "" {
				continue
			}
			number := uint32(port.Target.Number)
			if number == 0 {
				number = port.Number
			}
			for _, cluster := range clustersOf(m, s) {
				at := place{cluster, s.Namespace, number}
				by[at] = append(by[at], saying{s, i})
			}
		}
	}
	said := map[saying]bool{} // since a ServiceEntry is at several places
	for _, at := range slices.SortedFunc(maps.Keys(by), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.port, b.port))
	}) {
		list := by[at]
		slices.SortStableFunc(list, func(a, b saying) int { return a.service.Created.Compare(b.service.Created) }) // as workloads choose among them
		for i, first := range contested(list) {
			if later := list[i]; first >= 0 && !said[later] && len(problems) < maxReferences {
				said[later] = true
				problems = append(problems, ofPort(m, later.service, later.at, "%s is older and says what comes to port %d of workloads of both: it is taken for that, not for what this one says; want the same protocol, or another targetPort", list[first].service.From, at.port))
			}
		}
	}
	slices.SortFunc(problems, func(a, b source.Problem) int {
		return cmp.Or(source.Compare(a.Key, b.Key), cmp.Compare(a.Path, b.Path))
	})
	return problems
}

// contested gives for each of some sayings, the oldest first, the first one before it that says otherwise and whose workloads are its, or the other way round; -1: there is none. It does not hold each
// one against all before it: of 6,000 Services of one namespace and port that took 0.9 s, at every scrape. One selector can only be within another if a label of it is, so that it is enough to look where
// the rarest one is; and of sayings that are alike only the first counts.
func contested(list []saying) []int {
	type label struct{ key, value string }
	count := map[label]int{}
	for _, c := range list {
		for k, v := range c.service.Selector {
			count[label{k, v}]++
		}
	}
	rarest := func(selector map[string]string) (of label) {
		for k, v := range selector {
			if l := (label{k, v}); of == (label{}) || count[l] < count[of] {
				of = l
			}
		}
		return of
	}
	type kind struct {
		selector string
		protocol mesh.Protocol
	}
	known := map[kind]bool{}
	having, rare := map[label][]int{}, map[label][]int{} // earlier ones by all of their labels, and by their rarest
	found := make([]int, len(list))
	for i, later := range list {
		selector := later.service.Selector
		found[i] = -1
		look := func(candidates []int) {
			for _, j := range candidates {
				if found[i] >= 0 && j >= found[i] {
					return // they are in order
				}
				if first := list[j]; first.protocol() != later.protocol() && (has(first.service.Selector, selector) || has(selector, first.service.Selector)) {
					found[i] = j
					return
				}
			}
		}
		own := rarest(selector)
		look(having[own])
		for k, v := range selector {
			look(rare[label{k, v}])
		}
		if alike := (kind{labelsText(selector), later.protocol()}); !known[alike] {
			known[alike] = true
			rare[own] = append(rare[own], i)
			for k, v := range selector {
				having[label{k, v}] = append(having[label{k, v}], i)
			}
		}
	}
	return found
}
