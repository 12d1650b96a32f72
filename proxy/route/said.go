package route

import (
	"maps"
	"slices"

	"github.com/weftmesh/weft/config"
)

// Words are what a place in a table says of filters, by their numbers in Table.Filters: of each what the most specific of share, route,
// virtual host and table says, nil if none says anything. They are worked out when a table is compiled, so that a request finds them by
// where it is instead of looking for each filter on each level.
type Words []*config.FilterOverride

// said are the words of a table's places. A place that says nothing itself has those of the place around it.
type said struct {
	hosts  map[*config.VirtualHost]Words
	routes map[*config.Route]Words
	shares map[*config.WeightedCluster]Words
}

// listen finds the filters that something is said of, and what.
func (t *Table) listen() {
	names := map[string]bool{}
	each(t.Config, func(m map[string]config.FilterOverride) {
		for name := range m {
			names[name] = true
		}
	})
	if len(names) == 0 {
		return
	}
	t.Filters = slices.Sorted(maps.Keys(names))
	t.said = said{map[*config.VirtualHost]Words{}, map[*config.Route]Words{}, map[*config.WeightedCluster]Words{}}
	whole := t.more(make(Words, len(t.Filters)), t.Config.Filters)
	for _, v := range t.Config.VirtualHosts {
		host := t.more(whole, v.Filters)
		t.said.hosts[v] = host
		for _, r := range v.Routes {
			route := t.more(host, r.Filters)
			if r.Filters != nil {
				t.said.routes[r] = route
			}
			if r.Forward == nil {
				continue
			}
			for i := range r.Forward.Clusters {
				if share := &r.Forward.Clusters[i]; share.Filters != nil {
					t.said.shares[share] = t.more(route, share.Filters)
				}
			}
		}
	}
}

// each gives what is said on all levels.
func each(c *config.RouteConfiguration, f func(map[string]config.FilterOverride)) {
	f(c.Filters)
	for _, v := range c.VirtualHosts {
		f(v.Filters)
		for _, r := range v.Routes {
			f(r.Filters)
			if r.Forward == nil {
				continue
			}
			for i := range r.Forward.Clusters {
				f(r.Forward.Clusters[i].Filters)
			}
		}
	}
}

// more is what a place says, within another that says something.
func (t *Table) more(around Words, own map[string]config.FilterOverride) Words {
	if len(own) == 0 {
		return around
	}
	w := slices.Clone(around)
	for name, o := range own {
		i, _ := slices.BinarySearch(t.Filters, name)
		w[i] = &o
	}
	return w
}

// Said is what is said of filters where a request is; nil if nothing is. share may be nil.
func (t *Table) Said(found Result, share *config.WeightedCluster) Words {
	if len(t.Filters) == 0 || found.VirtualHost == nil {
		return nil
	}
	if w := t.said.shares[share]; w != nil {
		return w
	}
	if w := t.said.routes[found.Route]; w != nil {
		return w
	}
	return t.said.hosts[found.VirtualHost]
}
