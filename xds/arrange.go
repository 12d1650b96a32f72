package xds

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// proposal is what would be in force: an arrangement, or why there is none.
type proposal struct {
	arrangement
	known   map[string]bool // clusters, by name
	changed bool            // it is another one than what is in force
	faults  Faults
	blames  []blame         // what makes it impossible, and is a control plane's doing
	back    map[*held]bool  // routes that wait for clusters that they name: the last ones stay
	awaited []*file         // with faults: files without which it cannot be
	fresh   []*subscription // that have been read for the first time

	// What a file of listeners or clusters has brought, if it is about one.
	top     *file
	content content
	members []Member
	ignored []string
}

// leaving is a cluster that was removed and that routes still name.
type leaving struct {
	cluster *config.Cluster
	until   time.Time
}

// arrange puts together what would be in force with these members of a file; without a file, with those that there are. What nobody
// else uses yet is read. Whoever comes to use a resource gets it whole or is not taken: so nobody meets a listener before its routes, or
// a cluster before its endpoints, in whichever order files are written.
func (f *Feed) arrange(top *file, members []Member) *proposal {
	p := &proposal{top: top, members: members}
	next := &config.Snapshot{Listeners: slices.Clone(f.static.Listeners), Clusters: slices.Clone(f.static.Clusters)}
	p.snapshot = next
	for _, h := range f.heads {
		for _, m := range h.sorted() {
			switch r := m.latest.Resource.(type) {
			case *config.Listener:
				next.Listeners = append(next.Listeners, r)
			case *config.Cluster:
				if !h.named || !slices.ContainsFunc(next.Clusters, func(c *config.Cluster) bool { return c.Name == r.Name }) {
					next.Clusters = append(next.Clusters, r)
				}
			}
		}
	}
	for _, t := range f.tops {
		list := t.subscribers[0].state.Members
		if t == top {
			list = members
		}
		for _, m := range list {
			switch r := m.Resource.(type) {
			case *config.Listener:
				next.Listeners = append(next.Listeners, r)
			case *config.Cluster:
				next.Clusters = append(next.Clusters, r)
			}
		}
	}
	next.Scopes = map[config.ScopeSource][]*config.Scope{}
	for _, h := range f.heads {
		if h.kind == Scopes {
			next.Scopes[h.source] = h.scopes()
		}
	}
	for _, o := range f.files {
		if o.kind == Scopes {
			next.Scopes[config.ScopeSource{File: o.WatchedFile}], _ = o.subscribers[0].state.Resource.([]*config.Scope)
		}
	}
	next.Routes, next.DubboRoutes, next.Endpoints = f.snapshot.Routes, f.snapshot.DubboRoutes, f.snapshot.Endpoints // for who asks what is still named
	p.leaving = f.keepNamed(next)
	for _, l := range p.leaving {
		next.Clusters = append(next.Clusters, l.cluster)
	}
	wanted := f.withPredecessors(next)
	var blames []blame
	if p.files, p.asked, p.scoped, blames = f.plan(wanted); len(blames) > 0 {
		p.sort(f, blames)
		return p
	}
	p.readScopes(f, next)
	f.holdBack(p, next)
	p.changed = !slices.Equal(next.Listeners, f.snapshot.Listeners) || !slices.Equal(next.Clusters, f.snapshot.Clusters)

	next.Routes, next.DubboRoutes = map[string]*config.RouteConfiguration{}, map[string]*config.DubboRoutes{}
	endpoints := map[string]*config.Assignment{}
	next.Secrets = maps.Clone(f.static.Secrets)
	if next.Secrets == nil {
		next.Secrets = map[string]*config.Secret{}
	}
	next.Extensions, next.Runtime = map[string]*config.Extension{}, map[string]*config.RuntimeValues{}
	before := f.known
	f.known = map[string]bool{}
	for _, c := range next.Clusters {
		f.known[c.Name] = true
	}
	in := func(name string, value any) {
		if a, ok := value.(*config.Assignment); ok {
			endpoints[name] = a
		} else {
			put(next, name, value)
		}
	}
	for _, file := range p.files {
		if file.kind == Scopes {
			continue
		}
		p.read(f, file)
		for _, s := range file.subscribers {
			in(s.state.Name, s.state.Resource)
		}
	}
	p.known, f.known = f.known, before
	for _, s := range p.asked {
		if p.back[s.held] {
			in(s.held.name, tableIn(f.snapshot, s.held.resourceKey))
		} else {
			in(s.held.name, s.held.value)
		}
	}
	if next.Endpoints = config.NewAssignments(endpoints); next.Endpoints.Equal(f.snapshot.Endpoints) {
		next.Endpoints = f.snapshot.Endpoints
	}
	if len(p.faults) == 0 {
		p.sort(f, f.unfit(next))
	}
	next.Scopes = sameScopes(next, f.snapshot)
	next.Answered = f.answered(next, p.known)
	p.changed = p.changed || !maps.Equal(next.Answered, f.snapshot.Answered) || !maps.EqualFunc(next.Scopes, f.snapshot.Scopes, slices.Equal) || len(p.fresh) > 0 || !maps.Equal(next.Routes, f.snapshot.Routes) || !maps.Equal(next.DubboRoutes, f.snapshot.DubboRoutes) || !next.Endpoints.Equal(f.snapshot.Endpoints) ||
		!maps.Equal(next.Secrets, f.snapshot.Secrets) || !maps.Equal(next.Extensions, f.snapshot.Extensions) || !maps.Equal(next.Runtime, f.snapshot.Runtime)
	return p
}

// sort tells what makes a proposal impossible apart: what one resource of a control plane is to blame for, without which the others can
// be, and what is nobody's that can be left out.
func (p *proposal) sort(f *Feed, blames []blame) {
	for _, b := range blames {
		if p.top == nil && f.member(b.owner) != nil {
			p.blames = append(p.blames, b)
			continue
		}
		p.faults = append(p.faults, b.fault)
	}
}

// read fills what a file's subscriptions have not been filled with yet.
func (p *proposal) read(f *Feed, file *file) {
	var c content
	for _, s := range file.subscribers {
		if s.state.Resource != nil {
			continue
		}
		if c.resources == nil && len(c.faults) == 0 {
			if file.stamp == (stamp{}) {
				file.stamp = stampOf(file.Path)
			}
			c = readContent(f.decoder, file.Path, file.kind)
		}
		r, faults := c.of(file, s.state.Name)
		if len(faults) > 0 {
			if len(c.faults) == 0 || !slices.Contains(p.awaited, file) {
				p.faults = append(p.faults, faults...)
			}
			p.awaited = append(p.awaited, file)
			continue
		}
		s.state.Version, s.state.Updated, s.state.Resource = c.version, f.now(), r.value
		p.fresh = append(p.fresh, s)
	}
	file.consistOf()
}

// consistOf finds the files that its secrets are read from. One that is new has no stamp: it is read again when a watch has begun to follow
// it, for it may have changed before.
func (o *file) consistOf() {
	if o.kind != Secrets {
		return
	}
	var parts []*file
	for _, s := range o.subscribers {
		v, _ := s.state.Resource.(*config.Secret)
		if v == nil {
			continue
		}
		for _, w := range v.Files {
			is := func(p *file) bool { return p.WatchedFile == w }
			if slices.ContainsFunc(parts, is) {
				continue
			}
			part := &file{WatchedFile: w, kind: Secrets}
			if i := slices.IndexFunc(o.parts, is); i >= 0 {
				part = o.parts[i]
			}
			parts = append(parts, part)
		}
	}
	o.parts = parts
}

// owner is a listener, a cluster, a layer of runtime values or a scope.
type owner struct {
	kind Kind
	name string
}

// String is what faults call it.
func (o owner) String() string {
	switch o.kind {
	case Listeners:
		return "listener " + o.name
	case Runtimes:
		return "layer " + o.name
	case Scopes:
		return "scope " + o.name
	}
	return "cluster " + o.name
}

// blame is a fault, and whose it is.
type blame struct {
	owner owner
	fault Fault
}

func faultsIn(blames []blame) (faults Faults) {
	for _, b := range blames {
		faults = append(faults, b.fault)
	}
	return faults
}

// plan finds what a configuration takes from files and from streams. What was taken from the same place before stays as it is; the rest
// has not been read.
func (f *Feed) plan(next *config.Snapshot) ([]*file, []*subscription, []*subscription, []blame) {
	type key struct {
		kind Kind
		name string
		config.WatchedFile
	}
	type user struct {
		key
		prefix string
	}
	known, stamps := map[user]*subscription{}, map[key]*file{}
	for _, file := range f.files {
		stamps[key{kind: file.kind, WatchedFile: file.WatchedFile}] = file
		for _, s := range file.subscribers {
			known[user{key{file.kind, s.state.Name, file.WatchedFile}, s.prefix}] = s
		}
	}
	var files []*file
	var blames []blame
	type secretUse struct {
		name string
		place
	}
	secrets := map[secretUse]bool{}
	byFile := map[key]*file{}
	from := map[resourceKey]place{} // where each resource comes from
	var asked []*subscription
	heldBefore := map[heldUser]*subscription{}
	for _, s := range f.asked {
		heldBefore[heldUser{s.held, s.prefix}] = s
	}
	// at says that a resource comes from a place; it cannot come from two.
	at := func(kind Kind, name string, p place, who owner) bool {
		if other, ok := from[resourceKey{kind, name}]; ok && other != p {
			blames = append(blames, blame{who, Fault{File: p.path, Text: fmt.Sprintf("%s wants %s %q from %s, and it comes from %s already: give one of them another name",
				who, kind, name, p.here(), other)}})
			return false
		}
		from[resourceKey{kind, name}] = p
		return true
	}
	add := func(kind Kind, name string, w *config.WatchedFile, who owner, prefix string, tags ...telemetry.Tag) {
		if !at(kind, name, place{path: w.Path}, who) {
			return
		}
		k := key{kind: kind, WatchedFile: *w}
		if byFile[k] == nil {
			byFile[k] = &file{WatchedFile: *w, kind: kind}
			if old := stamps[k]; old != nil {
				byFile[k].stamp, byFile[k].names, byFile[k].parts = old.stamp, old.names, old.parts
			}
			files = append(files, byFile[k])
		}
		s := known[user{key{kind, name, *w}, prefix}]
		if s == nil {
			s = &subscription{state: State{Kind: kind, Name: name, File: w.Path}, prefix: prefix, tags: tags}
		}
		byFile[k].subscribers = append(byFile[k].subscribers, s)
	}
	ask := func(kind Kind, name string, from *config.Subscription, who owner, prefix string, tags ...telemetry.Tag) {
		l := f.link(from.Stream, kind)
		if !at(kind, name, place{link: l}, who) {
			return
		}
		h := l.hold(f, kind, name)
		s := heldBefore[heldUser{h, prefix}]
		if s == nil {
			s = &subscription{held: h, wait: from.Wait, state: State{Kind: kind, Name: name}, prefix: prefix, tags: tags}
			heldBefore[heldUser{h, prefix}] = s
		}
		if !s.planned {
			s.planned = true
			asked = append(asked, s)
		}
	}
	var scoped []*subscription
	scopes := func(chain *config.FilterChain, who owner) {
		h := chain.HTTP
		c := h.Scoped
		prefix := "http." + h.StatPrefix + ".scoped_rds." + c.Name + "."
		tags := []telemetry.Tag{{Name: "http_conn_manager_prefix", Value: h.StatPrefix}, {Name: "scoped_rds_config", Value: c.Name}}
		list := c.From(next.Scopes)
		switch {
		case c.Source.File.Path != "":
			add(Scopes, c.Source.File.Path, &c.Source.File, who, prefix, tags...)
			if list == nil {
				list = f.peek(c.Source.File)
			}
		case c.Source != (config.ScopeSource{}):
			scoped = f.useScopes(scoped, c, prefix, tags)
		}
		for _, one := range list {
			if one.RouteName == "" || one.OnDemand && c.RouteFile == nil && !f.demanded(c.RouteStream, one.RouteName) {
				continue
			}
			prefix, tags := countedTable(chain, one.RouteName)
			if c.RouteFile != nil {
				add(Routes, one.RouteName, c.RouteFile, who, prefix, tags...)
			} else if c.RouteStream != nil {
				ask(Routes, one.RouteName, c.RouteStream, who, prefix, tags...)
			}
		}
	}
	secret := func(s config.SecretRef, who owner) {
		own, use := f.static.Secrets[s.Name], secretUse{name: s.Name}
		switch {
		case s.File != nil:
			use.path = s.File.Path
		case s.Stream != nil:
			use.link = f.link(s.Stream.Stream, Secrets)
		case own == nil:
			blames = append(blames, blame{who, Fault{Text: fmt.Sprintf("%s names secret %q, and static_resources.secrets has none of that name", who, s.Name)}})
			return
		default:
			return
		}
		if own != nil {
			blames = append(blames, blame{who, Fault{File: use.path, Text: fmt.Sprintf("%s wants secret %q from %s, and static_resources.secrets has one of that name: give one of them another name",
				who, s.Name, use.here())}})
			return
		}
		if secrets[use] {
			return // however many name it, it is one subscription
		}
		secrets[use] = true
		prefix, tag := "sds."+s.Name+".", telemetry.Tag{Name: "sds_resource_name", Value: s.Name}
		if s.File != nil {
			add(Secrets, s.Name, s.File, who, prefix, tag)
		} else {
			ask(Secrets, s.Name, s.Stream, who, prefix, tag)
		}
	}
	for _, l := range next.Listeners {
		who := owner{Listeners, l.Name}
		for c := range l.AllChains() {
			for s := range c.TLS.Secrets() {
				secret(s, who)
			}
			if t, is := tableOf(c); is {
				prefix, tags := countedTable(c, t.name)
				if t.file != nil {
					add(t.kind, t.name, t.file, who, prefix, tags...)
				} else {
					ask(t.kind, t.name, t.stream, who, prefix, tags...)
				}
			}
			h := c.HTTP
			if h == nil {
				continue
			}
			for _, d := range h.Filters {
				if d.Discovery == nil {
					continue
				}
				prefix, tag := "extension_config_discovery.http_filter."+d.Name+".", telemetry.Tag{Name: "extension_config_name", Value: d.Name}
				if d.Discovery.File != nil {
					add(Extensions, d.Name, d.Discovery.File, who, prefix, tag)
				} else if d.Discovery.Stream != nil {
					ask(Extensions, d.Name, d.Discovery.Stream, who, prefix, tag)
				}
			}
			if h.Scoped != nil {
				scopes(c, who)
			}
		}
	}
	for _, c := range next.Clusters {
		who := owner{Clusters, c.Name}
		for t := range c.AllTLS() {
			for s := range t.Secrets() {
				secret(s, who)
			}
		}
		if c.EndpointFile != nil {
			add(Endpoints, c.ServiceName, c.EndpointFile, who, "cluster."+c.StatName+".", telemetry.Tag{Name: "cluster_name", Value: c.StatName})
		} else if c.EndpointStream != nil {
			ask(Endpoints, c.ServiceName, c.EndpointStream, who, "cluster."+c.StatName+".", telemetry.Tag{Name: "cluster_name", Value: c.StatName})
		}
	}
	for _, r := range f.boot.Runtime {
		who, prefix, tag := owner{Runtimes, r.Name}, "runtime."+r.Resource+".", telemetry.Tag{Name: "runtime_layer", Value: r.Resource}
		if r.File != nil {
			add(Runtimes, r.Resource, r.File, who, prefix, tag)
		} else if r.Stream != nil {
			ask(Runtimes, r.Resource, r.Stream, who, prefix, tag)
		}
	}
	for _, s := range asked {
		s.planned = false
	}
	return files, asked, scoped, blames
}

// settle puts a proposal in force, or says of its file why it is not. refused is what serving it has failed with.
func (f *Feed) settle(p *proposal, refused error) {
	if refused != nil {
		p.faults = Faults{{Text: refused.Error()}}
		if p.top != nil {
			p.faults[0].File = p.top.Path
		}
	}
	var outcomes []Outcome
	f.mu.Lock()
	if p.top != nil {
		outcomes = append(outcomes, f.settleTop(p))
	}
	if len(p.faults) == 0 {
		for _, s := range p.asked {
			if s.owner == nil {
				s.acquire(f.stats)
				s.count(updateAttempt)
			}
		}
		f.releaseAsked(p.asked)
		for _, s := range f.asked {
			s.held.users = nil
		}
		for _, s := range p.asked {
			s.held.users = append(s.held.users, s)
		}
		f.useHeads(p.scoped)
		f.asked, f.scoped, f.warming, f.due, f.asking = p.asked, p.scoped, p.warming, p.due, true
	}
	if p.changed && len(p.faults) == 0 {
		for _, s := range p.fresh {
			s.acquire(f.stats)
			s.count(updateAttempt)
			if s.count(updateSuccess); s.state.Kind.routes() {
				s.count(reloadOrNoRebuild)
			}
			outcomes = append(outcomes, Outcome{Kind: s.state.Kind, Name: s.state.Name, File: s.state.File, Version: s.state.Version, Changed: true})
		}
		f.releaseBut(p.files)
		f.arrangement, f.known = p.arrangement, p.known
		f.tellChanged()
		for _, h := range f.heads {
			h.inForce(p.snapshot)
		}
		f.countScopes()
	}
	f.mu.Unlock()
	for _, o := range outcomes {
		f.report(o)
	}
}

// releaseBut lets the counters go of whoever is not among these.
func (f *Feed) releaseBut(files []*file) {
	stay := map[*subscription]bool{}
	for _, file := range files {
		for _, s := range file.subscribers {
			stay[s] = true
		}
	}
	for _, file := range f.files {
		for _, s := range file.subscribers {
			if !stay[s] && s.owner != nil {
				f.stats.Release(s.owner)
			}
		}
	}
}

// keepNamed are the clusters that a configuration no longer has and that it still names, or may name: they stay for a while, since
// messages about routes and clusters come in any order.
func (f *Feed) keepNamed(next *config.Snapshot) (stay []leaving) {
	there := map[string]bool{}
	for _, c := range next.Clusters {
		there[c.Name] = true
	}
	now := time.Now()
	var named [2]func(string) bool // by what comes and by what is: the one is not in force before the other ends
	for _, c := range f.snapshot.Clusters {
		if there[c.Name] {
			continue
		}
		l := leaving{cluster: c, until: now.Add(f.stays)}
		if i := slices.IndexFunc(f.leaving, func(o leaving) bool { return o.cluster == c }); i >= 0 {
			l = f.leaving[i]
		}
		if named[0] == nil {
			named = [...]func(string) bool{namedBy(next), namedBy(f.snapshot)}
		}
		if now.Before(l.until) && (named[0](c.Name) || named[1](c.Name)) {
			stay = append(stay, l)
		}
	}
	return stay
}

// namedBy tells which clusters a configuration names. Where a request or a connection names one, it may be any.
func namedBy(s *config.Snapshot) func(string) bool {
	names, any := map[string]bool{}, false
	add := func(name string, whatever bool) {
		names[name] = true
		any = any || whatever
	}
	for _, c := range s.Clusters {
		if c.Policies != nil {
			mirrored(c.Policies.Mirrors, add)
		}
	}
	for _, l := range s.Listeners {
		namedIn(l, add)
		for c := range l.AllChains() {
			if t, is := tableOf(c); is {
				routed(tableIn(s, t.resourceKey), add)
			}
			if c.HTTP != nil && c.HTTP.Scoped != nil {
				for _, one := range c.HTTP.Scoped.From(s.Scopes) {
					routed(one.Routes, add)
					routed(tableIn(s, resourceKey{Routes, one.RouteName}), add)
				}
			}
		}
	}
	return func(name string) bool { return any || names[name] }
}
