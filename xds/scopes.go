package xds

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/decode"
)

// scopes are the good ones of a head, by their names.
func (h *head) scopes() []*config.Scope {
	out := []*config.Scope{}
	for _, m := range h.sorted() {
		out = append(out, m.latest.Resource.(*config.Scope))
	}
	return out
}

// scopeHead finds what is known of a source of scopes, or begins to.
func (f *Feed) scopeHead(c *config.ScopedRoutes) *head {
	for _, h := range f.heads {
		if h.kind == Scopes && h.source == c.Source {
			return h
		}
	}
	h := &head{kind: Scopes, wait: c.Wait, source: c.Source, link: f.link(c.Source.Stream, Scopes), members: map[string]*member{}}
	f.mu.Lock()
	f.heads = append(f.heads, h)
	f.mu.Unlock()
	return h
}

// useScopes adds a connection manager to those whose scopes come over streams.
func (f *Feed) useScopes(list []*subscription, c *config.ScopedRoutes, prefix string, tags []telemetry.Tag) []*subscription {
	h := f.scopeHead(c)
	is := func(s *subscription) bool { return s.head == h && s.prefix == prefix }
	switch i := slices.IndexFunc(f.scoped, is); {
	case slices.ContainsFunc(list, is):
		return list
	case i >= 0:
		return append(list, f.scoped[i])
	}
	return append(list, &subscription{head: h, state: State{Kind: Scopes}, prefix: prefix, tags: tags})
}

// useHeads has these be all who use scopes.
func (f *Feed) useHeads(next []*subscription) {
	for _, s := range f.scoped {
		if !slices.Contains(next, s) && s.owner != nil {
			f.stats.Release(s.owner)
		}
	}
	for _, h := range f.heads {
		if h.kind == Scopes {
			h.users = nil
		}
	}
	for _, s := range next {
		if s.owner == nil {
			s.acquire(f.stats)
			s.count(updateAttempt)
		}
		s.head.users = append(s.head.users, s)
	}
}

// countScopes tells how many there are for each who uses them.
func (f *Feed) countScopes() {
	count := func(s *subscription, all, inForce []*config.Scope) {
		if s.stats == nil {
			return
		}
		active, later := 0, 0
		for _, c := range all {
			if c.OnDemand && c.RouteName != "" {
				later++
			}
		}
		for _, c := range inForce {
			if c.Routes != nil || f.snapshot.Routes[c.RouteName] != nil {
				active++
			}
		}
		s.stats.Set(allScopes, uint64(len(all)))
		s.stats.Set(activeScopes, uint64(active))
		s.stats.Set(onDemandScopes, uint64(later))
	}
	for _, s := range f.scoped {
		count(s, s.head.scopes(), f.snapshot.Scopes[s.head.source])
	}
	for _, o := range f.files {
		for _, s := range o.subscribers {
			if all, ok := s.state.Resource.([]*config.Scope); ok {
				count(s, all, all)
			}
		}
	}
}

// tellApart refuses what a response brings and nothing would tell from another scope. The last good ones stay.
func (f *Feed) tellApart(h *head, v *judgement, next map[string]*member) {
	all := maps.Clone(h.members)
	maps.Copy(all, next)
	for {
		var list []*config.Scope
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if m := all[name]; m != nil && m.latest.Resource != nil {
				list = append(list, m.latest.Resource.(*config.Scope))
			}
		}
		a, b := decode.Conflicting(list)
		if a == nil {
			return
		}
		fresh := func(c *config.Scope) bool {
			old := h.members[c.Name]
			return next[c.Name] != nil && (old == nil || old.latest.Resource != any(c))
		}
		if !fresh(b) {
			a, b = b, a
		}
		m, r := next[b.Name], v.resource(b.Name)
		v.refuse(b.Name, Fault{Path: "key", Text: fmt.Sprintf("is that of scope %q, too: nothing would tell which of the two is meant", a.Name)})
		if m.latest = (Member{}); h.members[b.Name] != nil {
			m.latest = h.members[b.Name].latest
		}
		m.failure = f.failureOf(v, r)
		v.count--
	}
}

// withScopes adds scopes in force that are to be replaced: their routes are still needed then.
func (f *Feed) withScopes(all *config.Snapshot) {
	if len(f.snapshot.Scopes) == 0 {
		return
	}
	scopes := maps.Clone(all.Scopes)
	for source, list := range f.snapshot.Scopes {
		for _, c := range list {
			if next := scopeOf(all.Scopes[source], c.Name); next != nil && next != c {
				scopes[source] = append(slices.Clip(scopes[source]), c)
			}
		}
	}
	all.Scopes = scopes
}

func scopeOf(list []*config.Scope, name string) *config.Scope {
	if i := slices.IndexFunc(list, func(c *config.Scope) bool { return c.Name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// peek reads a file of scopes to see what they name. What is wrong with it is told when it is taken.
func (f *Feed) peek(w config.WatchedFile) []*config.Scope {
	c := readContent(f.decoder, w.Path, Scopes)
	r, _ := c.scopes(w.Path)
	list, _ := r.value.([]*config.Scope)
	return list
}

// scopes are all that a file holds, as one resource.
func (c *content) scopes(path string) (resource, Faults) {
	if len(c.faults) > 0 {
		return resource{}, c.faults
	}
	list := []*config.Scope{}
	for _, name := range c.order {
		list = append(list, c.resources[name].value.(*config.Scope))
	}
	slices.SortFunc(list, func(a, b *config.Scope) int { return cmp.Compare(a.Name, b.Name) })
	if why := decode.ScopeConflict(list); why != "" {
		return resource{}, Faults{{File: path, Path: "resources", Text: why}}
	}
	return resource{value: list}, nil
}

// readScopes reads files of scopes that nobody has used yet, and takes what files have.
func (p *proposal) readScopes(f *Feed, next *config.Snapshot) {
	maps.DeleteFunc(next.Scopes, func(s config.ScopeSource, _ []*config.Scope) bool { return s.File.Path != "" })
	for _, o := range p.files {
		if o.kind != Scopes {
			continue
		}
		p.read(f, o)
		for _, s := range o.subscribers {
			if list, ok := s.state.Resource.([]*config.Scope); ok {
				next.Scopes[config.ScopeSource{File: o.WatchedFile}] = list
				s.members(list)
			}
		}
	}
}

// loadScopes reads a file of scopes again. What their routes are read from is read with it.
func (f *Feed) loadScopes(o *file, serve func(*config.Snapshot) error) {
	o.stamp = stampOf(o.Path)
	c := readContent(f.decoder, o.Path, Scopes)
	r, faults := c.scopes(o.Path)
	last := make([]any, len(o.subscribers))
	f.mu.Lock()
	for i, s := range o.subscribers {
		last[i] = s.state.Resource
		if s.count(updateAttempt); len(faults) == 0 {
			s.state.Resource = kept(r.value.([]*config.Scope), s.state.Resource)
		}
	}
	f.mu.Unlock()
	changed := false
	if len(faults) == 0 {
		p := f.arrange(nil, nil)
		faults = append(p.faults, faultsIn(p.blames)...)
		if len(faults) == 0 {
			if changed = p.changed; changed {
				if err := serve(p.snapshot); err != nil {
					faults = Faults{{File: o.Path, Text: err.Error()}}
				}
			}
			if len(faults) == 0 {
				f.settle(p, nil)
			}
		}
	}
	f.mu.Lock()
	for i, s := range o.subscribers {
		if len(faults) > 0 {
			s.state.Resource = last[i]
			s.state.Failure = &Failure{Version: c.version, Time: f.now(), Details: faults.Error()}
			if c.unreadable {
				s.count(updateFailure)
			} else {
				s.count(updateRejected)
			}
			continue
		}
		if s.count(updateSuccess); changed {
			s.count(reloadOrNoRebuild)
		}
		s.state.Version, s.state.Updated, s.state.Failure = c.version, f.now(), nil
		s.members(s.state.Resource.([]*config.Scope))
	}
	f.mu.Unlock()
	out := Outcome{Kind: Scopes, File: o.Path, Version: c.version, Changed: changed}
	if len(faults) > 0 {
		out.Err = faults
	}
	f.report(out)
}

// members notes the scopes of a file one by one.
func (s *subscription) members(list []*config.Scope) {
	var all []Member
	for _, c := range list {
		one := Member{Name: c.Name, Version: s.state.Version, Updated: s.state.Updated, Resource: c, Wire: c.Raw}
		if i := slices.IndexFunc(s.state.Members, func(m Member) bool { return m.Resource == any(c) }); i >= 0 {
			one = s.state.Members[i]
		}
		all = append(all, one)
	}
	s.state.Members = all
}

// kept are scopes of a file, those that say what they said before being the same as they were.
func kept(now []*config.Scope, before any) []*config.Scope {
	was, _ := before.([]*config.Scope)
	for i, c := range now {
		if old := scopeOf(was, c.Name); old != nil && old.Hash == c.Hash {
			now[i] = old
		}
	}
	return now
}

// holdBackScopes puts in the place of a scope whose routes have not come the one in force of its name, if there is one. It gives those for which
// nothing is.
func (f *Feed) holdBackScopes(p *proposal, next *config.Snapshot, warm func(*config.Scope, *config.Subscription) bool) (cold map[*config.Scope]bool) {
	cold = map[*config.Scope]bool{}
	from := map[config.ScopeSource][]*config.Subscription{}
	users := func(l *config.Listener) {
		for c := range l.AllChains() {
			if c.HTTP == nil || c.HTTP.Scoped == nil {
				continue
			}
			r := c.HTTP.Scoped
			from[r.Source] = append(from[r.Source], r.RouteStream)
			for _, one := range r.Inline {
				if !warm(one, r.RouteStream) {
					cold[one] = true
				}
			}
		}
	}
	stay := map[string]bool{}
	for _, l := range next.Listeners {
		stay[l.Name] = true
		users(l)
	}
	for _, l := range f.snapshot.Listeners {
		if stay[l.Name] { // it may have to, until its successor is warm
			users(l)
		}
	}
	maps.DeleteFunc(next.Scopes, func(s config.ScopeSource, _ []*config.Scope) bool { return from[s] == nil })
	for source, list := range next.Scopes {
		inForce := f.snapshot.Scopes[source]
		out, last := make([]*config.Scope, 0, len(list)), []*config.Scope(nil)
		for _, c := range list {
			old := scopeOf(inForce, c.Name)
			if old == c || !slices.ContainsFunc(from[source], func(s *config.Subscription) bool { return !warm(c, s) }) {
				out = append(out, c)
				continue
			}
			p.warming = append(p.warming, owner{Scopes, c.Name})
			if old == nil {
				cold[c] = true
				continue
			}
			last = append(last, old)
		}
		for _, c := range last {
			// Another one may have its key by now.
			if a, _ := decode.Conflicting(append(slices.Clip(out), c)); a == nil {
				out = append(out, c)
			}
		}
		slices.SortFunc(out, func(a, b *config.Scope) int { return cmp.Compare(a.Name, b.Name) })
		next.Scopes[source] = out
	}
	return cold
}

// scopesWarm says that a connection manager's scopes have come, and their routes.
func (f *Feed) scopesWarm(c *config.ScopedRoutes, cold map[*config.Scope]bool) bool {
	if c == nil {
		return true
	}
	list := c.Inline
	if c.Source.Stream != (config.Stream{}) {
		h := f.scopeHead(c)
		if !h.answered && !h.late {
			return false
		}
		list = h.scopes()
	}
	return !slices.ContainsFunc(list, func(one *config.Scope) bool { return cold[one] })
}

// sameScopes are the next ones, or those in force if they are the same.
func sameScopes(next, inForce *config.Snapshot) map[config.ScopeSource][]*config.Scope {
	if maps.EqualFunc(next.Scopes, inForce.Scopes, slices.Equal) {
		return inForce.Scopes
	}
	return next.Scopes
}
