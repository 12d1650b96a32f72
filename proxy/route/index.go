package route

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// index finds the first route of a virtual host that matches.
type index struct {
	routes []*config.Route
}

func compileIndex(routes []*config.Route) index { return index{routes: routes} }

func (x *index) find(r *http.Request) *config.Route {
	for _, route := range x.routes {
		if matches(&route.Match, r) {
			return route
		}
	}
	return nil
}
