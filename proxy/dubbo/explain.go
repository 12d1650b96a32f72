package dubbo

import "fmt"

// Explain says in words by which routes a connection's calls go.
func (s *Server) Explain(g *Generation) string {
	switch {
	case s.config.Routes != nil:
		return "the chain carries calls of Dubbo, each by its own route"
	case s.table(g) == nil:
		return fmt.Sprintf("the chain carries calls of Dubbo, whose routes %q have not come yet: none goes anywhere", s.config.RouteName)
	}
	return fmt.Sprintf("the chain carries calls of Dubbo, each by its own route of %q", s.config.RouteName)
}
