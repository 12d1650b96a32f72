package l7

import (
	"slices"
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// links are the compiled filters of a connection manager. They are not written to after they were made, but for what they remember of a
// table.
type links struct {
	list   []link
	placed atomic.Pointer[placed]
}

// link is one of them.
type link struct {
	name  string
	off   bool // unless a route turns it on
	hooks filters.Hooks
	// judge is asked by explain, with the configuration or a route's; nil: what it will say shows only when it runs.
	judge  func(config any, who match.Caller) filters.Judgement
	config any
	make   func(loop int) filters.Filter
	from   *config.Extension // what it was made of, if that came by itself
}

// placed is where a table says something of the filters.
type placed struct {
	table *route.Table
	at    []int
}

// place is where each of the filters is in what a table says; -1: nowhere.
func (l *links) place(t *route.Table) []int {
	if p := l.placed.Load(); p != nil && p.table == t {
		return p.at
	}
	p := &placed{t, make([]int, len(l.list))}
	for i := range l.list {
		p.at[i] = slices.Index(t.Filters, l.list[i].name)
	}
	l.placed.Store(p)
	return p.at
}

// Discovers says that the configuration of some of the filters comes by itself, and later than the listener's.
func (s *Server) Discovers() bool {
	return slices.ContainsFunc(s.config.Filters, func(f config.HTTPFilter) bool { return f.Discovery != nil })
}

// link compiles the filters with what has come for them by name. Those for which nothing else has come are the same as before.
func (s *Server) link(come map[string]*config.Extension) {
	before := s.links.Load()
	next := &links{list: make([]link, len(s.config.Filters))}
	same := before != nil
	for i := range s.config.Filters {
		f := &s.config.Filters[i]
		var from *config.Extension
		if f.Discovery != nil {
			from = come[f.Name]
		}
		if before != nil && before.list[i].from == from {
			next.list[i] = before.list[i]
			continue
		}
		same = false
		next.list[i] = s.compile(f, from, s.config.Filters[:i])
	}
	if !same {
		s.links.Store(next)
	}
}

// compile makes one filter, of its own configuration or of what has come for it, which stands behind others.
func (s *Server) compile(f *config.HTTPFilter, from *config.Extension, behind []config.HTTPFilter) link {
	o := s.origin
	kind, c := f.Type, f.Config
	if from != nil {
		kind, c = from.Type, from.Config
	}
	site := filters.Site{StatPrefix: "http." + s.config.StatPrefix + ".", Stats: o.Stats, Kept: &o.Kept, Mates: s.mates, Health: &o.Health, Cluster: o.Cluster, Node: o.Node, NodeAs: o.NodeAs,
		Name: f.Name, Place: s.listener + "/" + s.chainID + "/" + f.Name}
	for i := range behind {
		if behind[i].Name == f.Name {
			site.Place += "+" // each of several of a name has a place of its own
		}
	}
	for i := range o.Specs {
		if o.Specs[i].Name == kind {
			return link{name: f.Name, off: f.Disabled, hooks: o.Specs[i].Hooks, judge: o.Specs[i].Judge, config: c, make: o.Specs[i].Build(c, site), from: from}
		}
	}
	return link{name: f.Name, off: f.Disabled, hooks: filters.OnRequestHeaders, make: func(int) filters.Filter { return missing{} }}
}

// missing stands where a filter would whose configuration has not come: what it would have refused is not known, so nobody passes.
type missing struct{ filters.Pass }

// RequestHeaders answers as Envoy does.
func (missing) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Flag(accesslog.NoFilterConfigFound)
	x.Reply(500, nil, "filter_config_not_found")
	return filters.Replied
}
