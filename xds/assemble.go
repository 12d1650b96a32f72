package xds

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
)

// withPredecessors adds to a configuration what is in force and may have to stay until it is replaced: its routes and endpoints are still
// needed then.
func (f *Feed) withPredecessors(next *config.Snapshot) *config.Snapshot {
	if len(f.links) == 0 {
		return next
	}
	all := *next
	listeners, clusters := map[string]*config.Listener{}, map[string]*config.Cluster{}
	for _, l := range next.Listeners {
		listeners[l.Name] = l
	}
	for _, c := range next.Clusters {
		clusters[c.Name] = c
	}
	for _, l := range f.snapshot.Listeners {
		if to := listeners[l.Name]; to != nil && to != l {
			all.Listeners = append(slices.Clip(all.Listeners), l)
		}
	}
	for _, c := range f.snapshot.Clusters {
		if to := clusters[c.Name]; to != nil && to != c {
			all.Clusters = append(slices.Clip(all.Clusters), c)
		}
	}
	f.withScopes(&all)
	return &all
}

// patienceOfRoutes is how long routes wait for clusters that have come and are not warm: shorter than removed clusters stay, so that those that the
// last routes name are there until they go.
const patienceOfRoutes = 10 * time.Second

// holdBack puts in the place of what is not warm what is in force under its name, if something is: a cluster is warm with its endpoints and
// secrets, a listener with its routes, their virtual hosts and secrets, or when they have been waited for long enough. Routes and listeners also wait, for a
// while, for clusters that they name and that have come; one that nobody has sent is not waited for. What is in force stays warm.
func (f *Feed) holdBack(p *proposal, next *config.Snapshot) {
	if len(f.links) == 0 {
		return
	}
	now := f.now()
	need := func(kind Kind, name string, from *config.Subscription) (warm bool) {
		if from == nil {
			return true
		}
		h := f.link(from.Stream, kind).held[resourceKey{kind, name}]
		if h == nil {
			return true // who wanted it is leaving
		}
		ok, until := h.there(from.Wait, now)
		if ok {
			ok, until = h.hosted(now)
		}
		if !ok {
			p.due = sooner(p.due, until)
		}
		return ok && (!p.back[h] || tableIn(f.snapshot, h.resourceKey) != nil)
	}
	secrets := func(t *config.TLS) (warm bool) {
		warm = true
		for s := range t.Secrets() {
			warm = need(Secrets, s.Name, s.Stream) && warm
		}
		return warm
	}

	inForce, byName := map[*config.Cluster]bool{}, map[string]*config.Cluster{}
	for _, c := range f.snapshot.Clusters {
		inForce[c], byName[c.Name] = true, c
	}
	coming := map[string]time.Time{} // clusters, and how long they are waited for at most
	for i, c := range next.Clusters {
		if inForce[c] {
			continue
		}
		warm := need(Endpoints, c.ServiceName, c.EndpointStream)
		for t := range c.AllTLS() {
			warm = secrets(t) && warm
		}
		if warm {
			continue
		}
		p.warming = append(p.warming, owner{Clusters, c.Name})
		if next.Clusters[i] = byName[c.Name]; next.Clusters[i] == nil {
			coming[c.Name] = f.since(c).Add(patienceOfRoutes)
		}
	}
	next.Clusters = slices.DeleteFunc(next.Clusters, func(c *config.Cluster) bool { return c == nil })

	for _, s := range p.asked {
		if s.held.kind == Runtimes && !need(Runtimes, s.held.name, &config.Subscription{Stream: s.held.link.Stream, Wait: s.wait}) {
			p.warming = append(p.warming, owner{Runtimes, s.held.name})
		}
	}

	waits := false // for a cluster
	look := func(name string, _ bool) {
		if until, ok := coming[name]; ok && now.Before(until) {
			waits, p.due = true, sooner(p.due, until)
		}
	}
	p.back = map[*held]bool{}
	for _, s := range p.asked {
		if s.held.value == nil || tableIn(f.snapshot, s.held.resourceKey) == s.held.value {
			continue
		}
		waits = false
		if routed(s.held.value, look); waits {
			p.back[s.held] = true
		}
	}

	cold := f.holdBackScopes(p, next, func(c *config.Scope, from *config.Subscription) bool {
		waits = false
		routed(c.Routes, look)
		return !waits && (c.RouteName == "" || c.OnDemand || need(Routes, c.RouteName, from))
	})
	served, last := map[*config.Listener]bool{}, map[string]*config.Listener{}
	for _, l := range f.snapshot.Listeners {
		served[l], last[l.Name] = true, l
	}
	for i, l := range next.Listeners {
		if served[l] {
			continue
		}
		waits = false
		namedIn(l, look)
		warm := !waits
		for c := range l.AllChains() {
			warm = secrets(c.TLS) && warm
			if t, is := tableOf(c); is {
				warm = need(t.kind, t.name, t.stream) && warm
			}
			if c.HTTP == nil {
				continue
			}
			warm = f.scopesWarm(c.HTTP.Scoped, cold) && warm
			for _, f := range c.HTTP.Filters {
				if f.Discovery != nil && !f.Discovery.NoWait {
					warm = need(Extensions, f.Name, f.Discovery.Stream) && warm
				}
			}
		}
		if !warm {
			p.warming = append(p.warming, owner{Listeners, l.Name})
			next.Listeners[i] = last[l.Name]
		}
	}
	next.Listeners = slices.DeleteFunc(next.Listeners, func(l *config.Listener) bool { return l == nil })
}

// since is when a cluster that comes from a control plane came.
func (f *Feed) since(c *config.Cluster) time.Time {
	if m := f.member(owner{Clusters, c.Name}); m != nil {
		return m.latest.Updated
	}
	return time.Time{}
}

// begin starts the streams.
func (f *Feed) begin(ctx context.Context, serve func(*config.Snapshot) error) {
	f.context, f.asking = ctx, true
	f.advance(serve)
}

// hush ends the streams.
func (f *Feed) hush() {
	for _, l := range f.links {
		if l.end != nil {
			l.end()
		}
	}
	f.running.Wait()
}

// advance puts in force what can be, and asks for what it takes.
func (f *Feed) advance(serve func(*config.Snapshot) error) {
	if len(f.links) == 0 {
		f.mu.Lock()
		if f.settled = true; !f.ready {
			f.ready = true
			close(f.readied)
		}
		f.mu.Unlock()
		return
	}
	if f.stale {
		f.stale = false
		f.assemble(serve)
	} else if len(f.renewed) > 0 || f.answers {
		f.replace(serve)
	}
	f.renewed = nil
	if f.progress() || f.asking {
		f.asking = false
		f.ask()
	}
	f.answer()
}

// assemble makes a snapshot of all that there is and serves it. What a control plane has sent and cannot be is left out, with what was in
// force of it in its place.
func (f *Feed) assemble(serve func(*config.Snapshot) error) {
	for {
		p := f.arrange(nil, nil)
		if len(p.blames) > 0 {
			for _, b := range p.blames {
				f.reject(b.owner, Faults{b.fault})
			}
			continue
		}
		var err error
		if p.changed && len(p.faults) == 0 {
			if err = serve(p.snapshot); err != nil && f.rejectListener(err) {
				continue
			}
		}
		f.settle(p, err)
		if err != nil {
			f.report(Outcome{Err: err})
		} else if len(p.faults) > 0 {
			f.report(Outcome{Err: p.faults})
		}
		return
	}
}

// rejectListener blames the listener that an error names, if it can be left out.
func (f *Feed) rejectListener(err error) bool {
	var at interface{ Listener() string }
	if !errors.As(err, &at) {
		return false
	}
	who := owner{Listeners, at.Listener()}
	if m := f.member(who); m == nil || m.latest.Resource == nil || m.latest.Resource == m.inForce.Resource {
		return false
	}
	f.reject(who, Faults{{Text: err.Error()}})
	return true
}

// reject has what was in force stay instead of the last one that came.
func (f *Feed) reject(who owner, faults Faults) {
	f.mu.Lock()
	m := f.member(who)
	faults[0].File = who.kind.String() + " " + strconv.Quote(who.name)
	m.failure = &Failure{Version: m.latest.Version, Time: f.now(), Wires: map[string][]byte{who.name: m.latest.Wire}, Details: faults.Error()}
	m.latest = m.inForce
	f.mu.Unlock()
	f.refuse(who, faults)
}

// replace serves other versions of resources that are in use, and touches nothing else.
func (f *Feed) replace(serve func(*config.Snapshot) error) {
	next := *f.snapshot
	copied := [5]bool{}
	for _, h := range f.renewed {
		switch h.kind {
		case Routes:
			clone(&next.Routes, &copied[0])
		case DubboRoutes:
			clone(&next.DubboRoutes, &copied[4])
		case Secrets:
			clone(&next.Secrets, &copied[1])
		case Extensions:
			clone(&next.Extensions, &copied[2])
		case Runtimes:
			clone(&next.Runtime, &copied[3])
		}
		h.put(&next)
	}
	next.Answered = f.answered(&next, f.known)
	if len(f.renewed) == 0 && maps.Equal(next.Answered, f.snapshot.Answered) {
		return
	}
	if err := serve(&next); err != nil {
		f.report(Outcome{Err: err})
		return
	}
	f.mu.Lock()
	f.snapshot = &next
	f.tellChanged()
	f.mu.Unlock()
	f.retire(serve)
}

// tellChanged says that there is another snapshot. It is called with the lock held.
func (f *Feed) tellChanged() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// progress notes how far the beginning has come, and says whether listeners may be asked for from now on.
func (f *Feed) progress() (further bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready {
		return false
	}
	before := f.settled
	warm := func(kind Kind) bool {
		return !slices.ContainsFunc(f.warming, func(o owner) bool { return o.kind == kind })
	}
	answered := func(kind Kind) bool {
		for _, h := range f.heads {
			if h.kind == kind && !h.named && !h.answered && !h.late {
				return false
			}
		}
		return true
	}
	f.settled = f.settled || answered(Clusters) && warm(Clusters) && warm(Runtimes)
	if f.settled && answered(Listeners) && warm(Listeners) && (f.names == nil || f.names.told) {
		f.ready = true
		close(f.readied)
	}
	return f.settled != before
}

// Ready says that what there was to begin with is served, or was waited for long enough.
func (f *Feed) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// Readied is closed when the feed is ready.
func (f *Feed) Readied() <-chan struct{} { return f.readied }

// ask tells every stream what is wanted of it now: listeners when the clusters are warm.
func (f *Feed) ask() {
	wanted := map[*link]map[Kind]map[string]bool{}
	for _, s := range f.asked {
		h := s.held
		if wanted[h.link] == nil {
			wanted[h.link] = map[Kind]map[string]bool{}
		}
		if wanted[h.link][h.kind] == nil {
			wanted[h.link][h.kind] = map[string]bool{}
		}
		wanted[h.link][h.kind][h.name] = true
	}
	f.wantDemanded(func(l *link, kind Kind, name string) {
		if wanted[l] == nil {
			wanted[l] = map[Kind]map[string]bool{}
		}
		if wanted[l][kind] == nil {
			wanted[l][kind] = map[string]bool{}
		}
		wanted[l][kind][name] = true
	})
	for _, l := range f.links {
		use := len(wanted[l]) > 0
		for _, kind := range kinds {
			if l.message != "" && l.message != kind.Message() {
				continue
			}
			if kind == Names {
				if f.names != nil && f.names.link == l {
					use = true
					l.stream.Want(kind.Message(), true, nil)
				}
				continue
			}
			i := slices.IndexFunc(f.heads, func(h *head) bool { return h.kind == kind && h.link == l })
			if i < 0 {
				names := wanted[l][kind]
				all := kind == VirtualHosts && names[unnamed]
				if all {
					delete(names, unnamed)
				}
				l.stream.Want(kind.Message(), all, names)
				continue
			}
			h := f.heads[i]
			if h.named {
				l.stream.Want(kind.Message(), false, wanted[l][kind])
				continue
			}
			if len(h.users) == 0 {
				continue // it is kept, for who may want it again: nobody can be told not to send it
			}
			use = true
			if kind != Listeners || f.settled {
				if h.began.IsZero() {
					h.began = f.now()
					h.count(updateAttempt)
				}
				l.stream.Want(kind.Message(), true, wanted[l][kind])
			}
		}
		for key := range l.held {
			if !wanted[l][key.kind][key.name] {
				delete(l.held, key)
			}
		}
		switch {
		case use && l.end == nil:
			ctx, end := context.WithCancel(f.context)
			l.end = end
			f.running.Go(func() { l.stream.Run(ctx) })
		case !use && l.end != nil && !l.Shared:
			l.end()
			l.end = nil
		}
	}
}

// nextWait is when something has been waited for long enough or has outlived its time; zero: never.
func (f *Feed) nextWait() time.Time {
	first := f.due
	for _, h := range f.heads {
		if !h.answered && !h.late && h.wait > 0 && !h.began.IsZero() {
			first = sooner(first, h.began.Add(h.wait))
		}
		if f.mortal {
			for _, m := range h.members {
				first = sooner(first, m.expires)
			}
		}
	}
	first = sooner(first, f.turnedUntil)
	for _, d := range f.demands {
		first = sooner(first, d.until)
	}
	if f.mortal {
		for _, l := range f.links {
			for _, h := range l.held {
				first = sooner(first, h.expires)
			}
		}
	}
	return first
}

// expire gives up waiting for what is late, and lets go of what has outlived its time.
func (f *Feed) expire() {
	now := f.now()
	gone := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letGo(now)
	for _, h := range f.heads {
		if !h.answered && !h.late && h.wait > 0 && !h.began.IsZero() && gone(h.began.Add(h.wait)) {
			h.late = true
			h.count(initFetchTimeout)
			f.stale = f.stale || h.kind == Scopes
		}
		for name, m := range h.members {
			if gone(m.expires) {
				f.tell(h.link, h.kind, []string{name}, true)
				delete(h.members, name)
				h.link.stream.Forget(h.kind.Message(), name)
				f.stale = true
			}
		}
	}
	for _, l := range f.links {
		for _, h := range l.held {
			if gone(h.expires) { // as in Envoy, who uses it keeps what there was
				h.expires = time.Time{}
				l.stream.Forget(h.kind.Message(), h.name)
			}
		}
	}
	if gone(f.due) {
		f.stale, f.due = true, time.Time{}
		for _, s := range f.asked {
			if ok, until := s.held.there(s.wait, now); !s.late && ok && !until.IsZero() {
				s.late = true
				s.count(initFetchTimeout)
			}
		}
	}
}
