package translate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// Conflicts says, as warnings, which services want connections that another one has already: of bytes nobody sees more than where they go, so that the first
// service of an address and a port has all of them. Only services that everybody sees count, and addresses that they have wherever it is.
func Conflicts(m *mesh.Mesh) (problems []source.Problem) {
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
				from := source.Origin{}
				if o := m.Objects(s.From.Kind).Get(s.From.Namespace, s.From.Name); o != nil {
					from = o.From
				}
				problems = append(problems, source.Problem{Key: s.From, From: from, Path: fmt.Sprintf("spec.ports[%d]", i), Warning: true,
					Text: fmt.Sprintf("%s has %s at port %d, too: connections there are its; want an address of its own, or another port", first.From, where, port.Number)})
			}
		}
	}
	return problems
}
