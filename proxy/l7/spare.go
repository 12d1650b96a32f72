package l7

import "github.com/weftmesh/weft/config"

// spare are the maps of what filters have noted of exchanges before, empty: most exchanges of a chain have the same noted.
type spare struct {
	all config.Metadata           // not those of its namespaces
	of  map[string]map[string]any // by their namespaces
}

// maxSpare bounds of how many namespaces maps are kept: those of a chain, and not of all that this exchange has ever been of.
const maxSpare = 8

// keep takes the maps of an exchange that is over.
func (s *spare) keep(m config.Metadata) {
	if m == nil {
		return
	}
	if s.of == nil || len(s.of) > maxSpare {
		s.of = map[string]map[string]any{}
	}
	for namespace, values := range m {
		clear(values)
		s.of[namespace] = values
	}
	clear(m)
	s.all = m
}

// namespace adds a namespace to what is noted of an exchange.
func (s *spare) namespace(to *config.Metadata, name string) map[string]any {
	if *to == nil {
		if *to = s.all; *to == nil {
			*to = config.Metadata{}
		}
		s.all = nil
	}
	m := s.of[name]
	if m == nil {
		m = map[string]any{}
	}
	(*to)[name] = m
	return m
}
