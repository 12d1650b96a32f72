package translate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// OutboundConflicts says, as warnings, which services want connections that another one has already: of bytes nobody sees more than where they go, so that the first
// service of an address and a port has all of them. Only services that everybody sees count, and addresses that they have wherever it is.
func OutboundConflicts(m *mesh.Mesh) (problems []source.Problem) {
	type place struct {
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
				at := place{a, port.Number}
				first := has[at]
				if first == nil {
					has[at] = s
				}
				if first == nil || first.Host == s.Host || len(problems) >= maxReferences {
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
	if o := m.Objects(s.From.Kind).Get(s.From.Namespace, s.From.Name); o != nil {
		p.From = o.From
	}
	return p
}

// InboundConflicts says, as warnings, of which services a port of a workload is taken for that it serves for an older one, as what that says. Only services whose
// workloads are certainly the other's, too, count, and ports that they name by number.
func InboundConflicts(m *mesh.Mesh) (problems []source.Problem) {
	type place struct {
		namespace string
		port      uint32
	}
	type one struct {
		service *mesh.Service
		at      int
	}
	by := map[place][]one{}
	for _, s := range m.Services.All() {
		for i, port := range s.Ports {
			if port.Protocol == mesh.UDP || len(s.Selector) == 0 || port.Target.Name != "" {
				continue
			}
			number := uint32(port.Target.Number)
			if number == 0 {
				number = port.Number
			}
			by[place{s.Namespace, number}] = append(by[place{s.Namespace, number}], one{s, i})
		}
	}
	for at, list := range by {
		slices.SortStableFunc(list, func(a, b one) int { return a.service.Created.Compare(b.service.Created) }) // as workloads choose among them
		for i, later := range list {
			protocol := later.service.Ports[later.at].Protocol
			for _, first := range list[:i] {
				said := first.service.Ports[first.at].Protocol
				if said == protocol || !has(first.service.Selector, later.service.Selector) && !has(later.service.Selector, first.service.Selector) {
					continue
				}
				if len(problems) < maxReferences {
					problems = append(problems, ofPort(m, later.service, later.at, "%s is older and says what comes to port %d of workloads of both: it is taken for that, not for what this one says; want the same protocol, or another targetPort", first.service.From, at.port))
				}
				break
			}
		}
	}
	slices.SortFunc(problems, func(a, b source.Problem) int {
		return cmp.Or(source.Compare(a.Key, b.Key), cmp.Compare(a.Path, b.Path))
	})
	return problems
}
