package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
)

// scopes are the tables of a connection manager that has one for each scope, by key.
type scopes map[string]scoped

// scoped is a scope in one generation.
type scoped struct {
	of    *config.Scope
	table *Table // nil: it has not come
}

// Scopes says which of the tables a connection manager of this generation has for which of the scopes that have come. own are the tables that are
// scopes' own. It is for who makes the generation.
func (g *Generation) Scopes(s *Server, come map[config.ScopeSource][]*config.Scope, own map[*config.RouteConfiguration]*Table) {
	c := s.config.Scoped
	if c == nil {
		return
	}
	list := c.From(come)
	all := make(scopes, len(list))
	for _, one := range list {
		t := own[one.Routes]
		if one.Routes == nil {
			t = g.Routes[one.RouteName]
		}
		all[route.ScopeKey(one.Key)] = scoped{one, t}
	}
	if g.scopes == nil {
		g.scopes = map[*Server]scopes{}
	}
	g.scopes[s] = all
	s.scopes.Store(&all)
}

// findTable finds the table that the request meets, as it is now.
func (x *exchange) findTable() {
	if x.server.config.Scoped == nil {
		x.table = x.server.table(x.generation)
		return
	}
	x.table = x.scope().table
}

// scope is the one that the request names; zero: there is none.
func (x *exchange) scope() scoped {
	var ok bool
	if x.key, ok = route.AppendScopeKey(x.key[:0], x.server.config.Scoped.Key, &x.request); !ok {
		return scoped{}
	}
	all, ok := x.generation.scopes[x.server]
	if last := x.server.scopes.Load(); !ok && last != nil {
		all = *last
	}
	return all[string(x.key)]
}
