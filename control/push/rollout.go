package push

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// Here what goes by cohorts meets meshes and streams. All of the machine is of the goroutine that runs, and is written with the lock held; streams leave word of
// what happens to them.

// event is what has happened to a stream while something was under way, or what was found out of it.
type event struct {
	member  *member
	attempt int // that it is about; 0: whichever is under way
	what    func(*Push, *event, time.Time)
	verdict server.Verdict // of a refusal
	keys    []source.Key   // of a finding
}

// maxEvents bounds those that wait to be heard. Without word of a proxy a step waits until it is over, and a refusal is found when the proxy settles.
const maxEvents = 100_000

// happen notes an event. It is called with the lock held.
func (p *Push) happen(e event) {
	if len(p.events) < maxEvents {
		p.events = append(p.events, e)
	} else {
		p.count(unheard, 1)
	}
	select {
	case p.turn <- struct{}{}:
	default:
	}
}

// careful says whether a change goes by cohorts: as its object says, or else as Options.ByCohorts does. What moves all the time, and what must not be
// late, does not wait: endpoints and what they come from, secrets, and, unless the object says so, who may talk to whom.
func (p *Push) careful(c source.Change) bool {
	if c.Cluster != "" { // of a cluster that was attached: what there is to be found, and nothing that somebody asks of the mesh
		return false
	}
	is := p.next.Get(c.Key)
	o := c.Object
	if o == nil {
		if o = is; o == nil {
			_, pending := p.cohorts.latest(c.Key)
			return pending // what was under way goes before it has come
		}
	}
	said := o.Annotations[source.RolloutAnnotation]
	if source.NeverWaits(c.Kind) {
		return false
	}
	switch c.Kind {
	case source.AuthorizationPolicy, source.RequestAuthentication, source.PeerAuthentication:
		return said == source.ByCohorts
	}
	if said == source.AtOnce || said != source.ByCohorts && !p.ByCohorts {
		return false
	}
	_, pending := p.cohorts.latest(c.Key)
	return pending || c.Object == nil || is == nil || !onlyEndpoints(is, c.Object)
}

// onlyEndpoints says whether a ServiceEntry is another in its endpoints only.
func onlyEndpoints(before, after *source.Object) bool {
	a, is := before.Spec.(*networking.ServiceEntry)
	if !is || before.More != nil || after.More != nil {
		return false
	}
	a = proto.Clone(a).(*networking.ServiceEntry)
	a.Endpoints = after.Spec.(*networking.ServiceEntry).GetEndpoints()
	return proto.Equal(a, after.Spec.(*networking.ServiceEntry)) && maps.Equal(before.Labels, after.Labels) && maps.Equal(before.Annotations, after.Annotations)
}

// advance goes on with what goes by cohorts as far as there is reason to, has proxies be shown what comes of it, and says how many were.
func (p *Push) advance(began time.Time) (shown int) {
	if p.mesh == nil {
		return 0
	}
	for {
		p.hear()
		p.mu.Lock()
		commit, ask := p.cohorts.turn(time.Now())
		if commit != nil {
			p.next, p.mesh = p.after, p.after
		}
		p.mu.Unlock()
		switch {
		case ask:
			p.begin()
		case commit != nil:
			p.Log.Info("all are told", "objects", listed(sortedNames(commit)))
		default:
			shown += p.showAll(began)
			if !p.agree() {
				p.arm()
				return shown
			}
		}
	}
}

// hear takes in what has happened.
func (p *Push) hear() {
	for {
		p.mu.Lock()
		list := p.events
		p.events = nil
		p.mu.Unlock()
		if len(list) == 0 {
			return
		}
		now := time.Now()
		for i := range list {
			if e := &list[i]; e.attempt == 0 || p.cohorts.way != nil && p.cohorts.way.attempt == e.attempt {
				e.what(p, e, now)
			}
		}
	}
}

// begin finds out whom what is under way concerns, and begins with them.
func (p *Push) begin() {
	w := p.cohorts.way
	p.after = p.next.With(changesOf(w.changes))
	p.mu.Lock()
	list := slices.Collect(maps.Values(p.groups))
	p.mu.Unlock()
	list = slices.DeleteFunc(list, func(g *group) bool { return g.base == nil }) // that have not been shown anything yet
	is := make([]*server.View, len(list))
	for i, g := range list { // one mesh after the other, or translation would look for what it may forget each time
		is[i] = p.look(p.next, g)
	}
	tried := map[*group]*server.View{} // held, so that what is made of them is there when they are shown
	for i, g := range list {
		if at := p.look(p.after, g); is[i] != nil && at != nil && is[i].Version != at.Version {
			tried[g] = at
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var concerned []*member
	for g := range tried {
		for m := range g.members {
			if !m.out {
				concerned = append(concerned, m)
			}
		}
	}
	n := len(concerned)
	p.cohorts.start(concerned, time.Now())
	p.tried = tried
	if w.first != nil {
		p.Log.Info("a change is tried", "objects", listed(sortedNames(w.changes)), "with", w.first.proxy.ID, "concerns", n)
	}
}

// look is what a group's proxies are told of a mesh, without secrets; nil: it cannot be made.
func (p *Push) look(m *mesh.Mesh, g *group) (v *server.View) {
	defer p.unmade(g, func() { v = nil })
	t, of := p.seen(m, g.proxy)
	return t.View(of, g.proxy)
}

// changesOf are versions as changes, in the order of names.
func changesOf(o objects) []source.Change {
	list := make([]source.Change, 0, len(o))
	for key, one := range o {
		list = append(list, source.Change{Key: key, Object: one})
	}
	slices.SortFunc(list, func(a, b source.Change) int { return source.Compare(a.Key, b.Key) })
	return list
}

// told is the mesh that a group's proxies are told of.
func (p *Push) told(g *group) *mesh.Mesh {
	if p.cohorts.sees(zoneOf(g.proxy), g.first) {
		return p.after
	}
	return p.next
}

// shownAt is all that who is told what depends on.
type shownAt struct {
	next, after *mesh.Mesh
	attempt     int
	step        step
	paused      bool
}

// showAll shows everybody what he is told now, and says how many were shown something else.
func (p *Push) showAll(began time.Time) (shown int) {
	w := p.cohorts.way
	now := shownAt{next: p.next}
	if w == nil {
		p.after, p.tried = nil, nil
	} else {
		now = shownAt{p.next, p.after, w.attempt, w.step, w.paused != nil}
	}
	if now == p.shown {
		return 0
	}
	p.shown = now
	p.mu.Lock()
	p.regroup()
	list := slices.Collect(maps.Values(p.groups))
	p.mu.Unlock()
	if p.after != nil { // one mesh after the other: translation remembers what proxies have in common of the last
		first := slices.DeleteFunc(slices.Clone(list), func(g *group) bool { return p.told(g) != p.next })
		list = append(first, slices.DeleteFunc(list, func(g *group) bool { return p.told(g) == p.next })...)
	}
	for _, g := range list {
		if v := p.view(g); v != nil && v != g.view {
			shown += p.show(g, v, began, true)
		}
	}
	return shown
}

// regroup has the proxy that is told first, and nobody else, be in a group of its own. It is called with the lock held.
func (p *Push) regroup() {
	var first *member
	if w := p.cohorts.way; p.cohorts.sees(mesh.Locality{}, true) && w.first != nil && p.proxies[w.first.session] == w.first {
		first = w.first
	}
	if g := p.lone; g != nil && (first == nil || first.group != g) {
		p.lone = nil
		p.rejoin(g)
	}
	if first == nil || first.group.first {
		return
	}
	g := first.group
	n := &group{key: g.key + " first", first: true, proxy: g.proxy, who: g.who, denied: g.denied, cluster: g.cluster, view: g.view, dressed: g.dressed, members: map[*member]bool{first: true}}
	p.forget(g, first)
	first.group, p.groups[n.key], p.lone = n, n, n
}

// rejoin has the members of a group be in that of all who are the same. It is called with the lock held.
func (p *Push) rejoin(g *group) {
	if len(g.members) == 0 {
		return
	}
	delete(p.groups, g.key)
	key := keyOf(g.proxy, g.who, g.cluster, g.denied)
	to := p.groups[key]
	if to == nil {
		g.key, g.first = key, false
		p.groups[key] = g
		return
	}
	for m := range g.members {
		m.group, to.members[m] = to, true
		if to.view != nil && m.view != to.view {
			p.showOne(m, to.view, time.Now(), true)
		}
	}
}

// agree takes note of proxies that are waited for and have answered what they are told already, and says whether there are some.
func (p *Push) agree() bool {
	var list []*member
	p.mu.Lock()
	if w := p.cohorts.way; w != nil {
		for m := range w.open {
			if m.attempt == w.attempt || !p.cohorts.sees(zoneOf(m.group.proxy), m.group.first) {
				continue
			}
			if m.attempt = w.attempt; m.since.IsZero() {
				list = append(list, m)
			}
		}
	}
	p.mu.Unlock()
	for _, m := range list {
		p.hasSettled(&event{member: m}, time.Now())
	}
	return len(list) > 0
}

// arm has the time be looked at when a step is over.
func (p *Push) arm() {
	p.gauge(holding, len(p.cohorts.held))
	select {
	case p.keeping <- struct{}{}:
	default:
	}
	p.timer.Stop()
	if at := p.cohorts.deadline(); !at.IsZero() {
		p.timer.Reset(time.Until(at))
	}
}

// The events.

// hasSettled takes a proxy's word for all of what it is told, unless it has refused some of that: it is not asked twice, and what it said may have been about
// an earlier attempt.
func (p *Push) hasSettled(e *event, now time.Time) {
	if e.member.refusals.Load() > 0 {
		byKind := map[server.Kind][]*server.Resource{}
		because := map[server.Kind]string{}
		p.mu.Lock()
		for key, r := range p.refused {
			if key.session == e.member.session && key.name != "" {
				byKind[key.kind] = append(byKind[key.kind], &server.Resource{Name: key.name, Version: r.Version})
				because[key.kind] = r.Because
			}
		}
		p.mu.Unlock()
		for kind, list := range byKind {
			if p.judge(e.member, kind, list, because[kind], now) {
				return
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cohorts.settled(e.member)
}

func (p *Push) hasCome(*event, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cohorts.came()
}

func (p *Push) hasLeft(e *event, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cohorts.left(e.member, now)
}

// hasRefused is about a response.
func (p *Push) hasRefused(e *event, now time.Time) {
	p.judge(e.member, e.verdict.Kind, accused(e.verdict), e.verdict.Refused, now)
}

// judge finds out whether what a proxy has refused comes of what is under way, and stops that.
func (p *Push) judge(m *member, kind server.Kind, refused []*server.Resource, because string, now time.Time) bool {
	w := p.cohorts.way
	if w == nil || w.attempt == 0 || w.paused != nil {
		return false
	}
	is, at := p.look(p.next, m.group), p.look(p.after, m.group)
	if is == nil || at == nil {
		return false
	}
	var names []string
	var list []*server.Resource
	p.mu.Lock()
	for _, r := range refused {
		before, after := is.Find(kind, r.Name), at.Find(kind, r.Name)
		if before != nil && p.refused[refusal{m.session, kind, r.Name}].earlier == before.Version {
			continue // who refuses what is in force, too, refuses something else than what is other
		}
		if after != nil && after.Version == r.Version && (before == nil || before.Version != r.Version) {
			names, list = append(names, r.Name), append(list, r)
		}
	}
	defer p.mu.Unlock()
	if len(list) == 0 {
		return false
	}
	by := refusedBy{proxy: m.proxy.ID, because: fmt.Sprintf("%s of %s: %s", kind, listed(names), because), at: now}
	p.Log.Error("a change is taken back", "objects", listed(sortedNames(w.changes)), "refused by", by.proxy, "because", by.because)
	p.count(takenBack, 1)
	if !p.cohorts.refused(by) {
		return true
	}
	instead := make([]source.Change, 0, len(w.changes))
	for _, one := range changesOf(w.changes) {
		instead = append(instead, source.Change{Key: one.Key, Object: p.next.Objects(one.Kind).Get(one.Namespace, one.Name)})
	}
	p.investigate(suspicion{attempt: w.attempt, mesh: p.after, proxy: m.group.proxy, kind: kind, resources: list, instead: instead})
	return true
}

// hasFound takes the word which objects a refused resource was made of.
func (p *Push) hasFound(e *event, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cohorts.blame(e.keys)
}

// sortedNames are the names of objects.
func sortedNames(o objects) (names []string) {
	for _, key := range slices.SortedFunc(maps.Keys(o), source.Compare) {
		names = append(names, key.String())
	}
	return names
}

// maxListed is how many names a text has.
const maxListed = 8

// listed are names in a text.
func listed(names []string) string {
	text := ""
	for i, name := range names {
		switch {
		case i == maxListed:
			return fmt.Sprintf("%s and %d more", text, len(names)-i)
		case i > 0:
			text += ", "
		}
		text += name
	}
	return text
}
