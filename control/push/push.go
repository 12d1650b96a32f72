package push

import (
	"cmp"
	"context"
	"crypto/x509"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// maxQueue is how many batches may wait to be taken. Who has more to tell waits: the next round takes them all.
const maxQueue = 64

// Options are what a Push is made from.
type Options struct {
	// Sources are the names of those that will tell something. Nobody is told of a mesh before each has: half a mesh takes traffic away. Of an
	// object that several have, the one of the first counts. Others may come later, and come after these.
	Sources []string
	// Cluster is the own name of the first cluster; empty: the one that Istio gives it.
	Cluster string
	// Admit says whether a proxy is who it says it is, and may put right what it says of that. An error, with a status of gRPC's, turns it
	// away. Nil: everybody is believed, and nobody has shown anything.
	Admit func(*server.Session, *translate.Proxy) (Shown, error)
	// ByCohorts: what does not say how it goes to proxies goes step by step, and not to all at once. StepWait is how long a step waits for answers; 0:
	// DefaultStepWait.
	ByCohorts bool
	StepWait  time.Duration
	// Store keeps what is held back; nil: it is not kept.
	Store store.Store
	// Secrets are told to those who have shown who they are; nil: to nobody.
	Secrets *secrets.Secrets
	// Revision is this control plane's; a proxy that is meant for another one is served, and that is said. Empty: nobody is told apart.
	Revision string
	Log      *slog.Logger
	Stats    *telemetry.Values // of Stats; nil: nothing is counted
	Events   *telemetry.Values // of Events; nil: they are not
}

// Shown is what a proxy has shown of itself. The zero value is nothing.
type Shown struct {
	Who         ca.Identity
	By          string            // how, for people
	Token       string            // that was shown and may be handed on to who signs certificates; empty: none
	Certificate *x509.Certificate // if it was by one
	Denied      string            // why it is told no credentials but its own; empty: it may be
	Cluster     string            // that was asked whether it may be, by its key, and whose credentials those are; empty: the first one
}

// Push has the proxies of a server be told of a mesh that changes. It is the server's Control.
type Push struct {
	Options
	queue chan told
	wake  chan struct{} // has room for one: a proxy has come
	turn  chan struct{} // has room for one: there are events
	asked chan func()   // what people ask for, of the goroutine that runs
	whole chan struct{} // closed when every source has told something and all is shown

	suspicions chan suspicion
	keeping    chan struct{} // has room for one: what is held back may be another

	mu         sync.Mutex
	awaited    map[string]bool                 // sources that have not told anything
	problems   map[string][]source.Problem     // that sources have told, by source
	unrun      map[claim][]source.Problem      // what translation does not run of objects
	doubled    map[source.Key][]source.Problem // of objects that several sources have
	references referencesIn                    // as they were last looked for
	claims     claims
	owned      map[source.Key]string // the sources of what is in the mesh, but for the first one's; claims are of what will be
	proxies    map[*server.Session]*member
	groups     map[string]*group
	arrived    []*group // that have no view, of the mesh that there is
	refused    map[refusal]Refusal
	plain      bool      // it was said that who comes in plain text is told no secrets
	other      bool      // it was said that proxies come that are meant for another revision
	strange    bool      // it was said that proxies come of a cluster that is not attached
	open       int       // streams that have not answered all that came of changes
	began      time.Time // the first of those
	last       Round
	mesh       *mesh.Mesh // nil until every source has told something
	cohorts    cohorts    // is written by the goroutine that runs
	events     []event    // while something is under way
	lone       *group     // of the one that is told first; nil: there is none
	findings   map[refusedAs]*finding
	recent     []source.Key // what changed last, the last first
	restored   map[source.Key]restored

	memory *giver

	// Of the goroutine that runs.
	next       *mesh.Mesh // that all are told of
	after      *mesh.Mesh // and what is under way; nil: nothing is
	shown      shownAt
	tried      map[*group]*server.View // is held, so that what it is made of is there when it is shown
	timer      *time.Timer             // of a step
	translator *translate.Translator
	outside    *translate.Translator // for those who are outside of the mesh: one remembers what proxies have in common of the last mesh that it looked at
}

// claim is an object as a source has it.
type claim struct {
	source string
	key    source.Key
}

// told is what a source has said.
type told struct {
	source string
	batch  source.Batch
	off    *mesh.Off // nil: what was off is
	at     time.Time
}

// New makes one. Run has it work.
func New(o Options) *Push {
	p := &Push{
		Options: o, queue: make(chan told, maxQueue), wake: make(chan struct{}, 1), whole: make(chan struct{}), awaited: map[string]bool{}, problems: map[string][]source.Problem{},
		unrun: map[claim][]source.Problem{}, doubled: map[source.Key][]source.Problem{},
		owned:   map[source.Key]string{},
		claims:  claims{order: o.Sources, owners: map[source.Key]string{}, waits: map[source.Key]map[string]*source.Object{}},
		proxies: map[*server.Session]*member{}, groups: map[string]*group{}, refused: map[refusal]Refusal{},
		next: mesh.New().Of(o.Cluster), translator: translate.New(), outside: translate.New(), memory: newGiver(),
		turn: make(chan struct{}, 1), asked: make(chan func()), suspicions: make(chan suspicion, maxSuspicions), keeping: make(chan struct{}, 1), findings: map[refusedAs]*finding{},
		cohorts: cohorts{wait: cmp.Or(o.StepWait, DefaultStepWait), held: map[source.Key]*held{}}, timer: time.NewTimer(time.Hour),
	}
	p.timer.Stop()
	for _, name := range o.Sources {
		p.awaited[name] = true
	}
	if o.Store != nil {
		p.awaited[fromKept] = true
	}
	return p
}

// Tell takes what a source says. It waits if there is much to be taken, until ctx ends.
func (p *Push) Tell(ctx context.Context, name string, b source.Batch) {
	select {
	case p.queue <- told{source: name, batch: b, at: time.Now()}:
	case <-ctx.Done():
	}
}

// Switch takes what is off from now on, and nothing else, as a source says it. It waits as Tell does.
func (p *Push) Switch(ctx context.Context, name string, off *mesh.Off) {
	select {
	case p.queue <- told{source: name, off: off, at: time.Now()}:
	case <-ctx.Done():
	}
}

// Run works until ctx ends. A change is taken at once; what comes while views are made is the next round.
func (p *Push) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	defer p.memory.timer.Stop()
	beside.Go(func() { p.investigator(ctx) })
	if p.Store != nil {
		beside.Go(func() { p.keeper(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-p.queue:
			p.round(p.gather(t))
		case <-p.wake:
			p.welcome()
		case <-p.Secrets.News():
			p.expel()
			p.renew()
		case <-p.turn:
			p.advance(time.Now())
		case <-p.timer.C:
			p.advance(time.Now())
		case f := <-p.asked:
			f()
			p.advance(time.Now())
		}
	}
}

// gather takes what else waits.
func (p *Push) gather(first told) []told {
	all := []told{first}
	for {
		select {
		case t := <-p.queue:
			all = append(all, t)
		default:
			return all
		}
	}
}

// round takes batches in and shows what comes of them.
func (p *Push) round(batches []told) {
	began := batches[0].at
	var changes []source.Change
	var off *mesh.Off
	settled := map[source.Key]*source.Object{}
	for _, t := range batches {
		p.note(t)
		off = cmp.Or(t.off, off)
		changes = append(changes, p.settle(t.source, p.check(t.source, t.batch.Changes), settled)...)
	}
	p.trigger(changes)
	p.mu.Lock()
	whole, first := len(p.awaited) == 0, p.mesh == nil
	atOnce := changes
	if !first {
		atOnce = p.cohorts.take(changes, p.careful)
		p.changed(changes)
	}
	if p.next = p.next.With(atOnce); p.after != nil {
		p.after = p.after.With(atOnce)
	}
	if off != nil { // at once, for all: it is to end harm
		if p.next = p.next.Without(off); p.after != nil {
			p.after = p.after.Without(off)
		}
	}
	if whole && first {
		p.next = p.next.With(p.restore())
	}
	if whole {
		p.mesh = p.next
	}
	for key := range settled {
		if name, is := p.claims.owners[key]; is {
			p.owned[key] = name
		} else {
			delete(p.owned, key)
		}
	}
	p.mu.Unlock()
	if !whole || len(changes) == 0 && off == nil && p.last.Number > 0 {
		return
	}
	defer func() {
		p.welcome() // those that have come meanwhile, or waited
		if first {
			close(p.whole)
		}
	}()
	p.mu.Lock()
	p.last = Round{Number: p.last.Number + 1, Changes: len(changes), Began: began}
	p.mu.Unlock()
	shown := p.advance(began)
	p.mu.Lock()
	p.last.Proxies, p.last.Computed = shown, time.Since(began)
	r := p.last
	p.mu.Unlock()
	p.count(rounds, 1)
	p.observe(computed, r.Computed)
	p.Log.Debug("told", "changes", r.Changes, "proxies", r.Proxies, "after", r.Computed)
}

// welcome shows their views to proxies that have come.
func (p *Push) welcome() {
	p.mu.Lock()
	list := p.arrived
	if p.mesh == nil {
		list = nil
	} else {
		p.arrived = nil
	}
	p.mu.Unlock()
	for _, g := range list {
		if g.view == nil {
			if v := p.view(g); v != nil {
				p.show(g, v, time.Now(), false)
			}
		}
	}
}

// view is what a group's proxies are to be told. If making it goes wrong, they keep what they have been told, and so does everybody else: nil.
func (p *Push) view(g *group) (v *server.View) {
	defer p.unmade(g, func() { v = nil })
	m := p.told(g)
	t, of := p.seen(m, g.proxy)
	base, credentials := t.Told(of, g.proxy)
	return p.dress(g, m, base, credentials)
}

// seen is what of a mesh a proxy is told of, and who translates it.
func (p *Push) seen(m *mesh.Mesh, proxy *translate.Proxy) (*translate.Translator, *mesh.Mesh) {
	if of := seenBy(m, proxy); of != m {
		return p.outside, of
	}
	return p.translator, m
}

// seenBy is what of a mesh a proxy is told of. Who is asked at ports of his own, and gets nobody's traffic by itself, would be in the way of his workload if he knew nothing.
func seenBy(m *mesh.Mesh, proxy *translate.Proxy) *mesh.Mesh {
	if proxy.Role != translate.Sidecar || proxy.Traits.Bound || proxy.Traits.Proxyless {
		return m
	}
	return m.For(proxy.Namespace, proxy.Labels)
}

// unmade is deferred: what goes wrong when a view is made is said, and none is given.
func (p *Push) unmade(g *group, none func()) {
	if r := recover(); r != nil {
		p.count(failures, 1)
		p.Log.Error("a view could not be made: its proxies keep the one they have", "proxy", g.proxy.ID, "because", r, "stack", string(debug.Stack()))
		p.translator, p.outside = translate.New(), translate.New()
		none()
	}
}

// show has a group's proxies be told of a view, and says how many there are.
func (p *Push) show(g *group, v *server.View, began time.Time, changed bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.view = v
	for m := range g.members {
		p.showOne(m, v, began, changed)
	}
	return len(g.members)
}

// showOne is called with the lock held.
func (p *Push) showOne(m *member, v *server.View, began time.Time, changed bool) {
	if m.since.IsZero() {
		m.since = began
	}
	if changed && !m.counted {
		if p.open++; p.open == 1 {
			p.began = began
		}
		m.counted = true
	}
	if !changed {
		p.memory.soon()
	}
	m.view = v
	m.session.Show(v)
	p.count(pushes, 1)
}

// Check says what of an object keeps it out of the mesh, and, as warnings, what of it is not run: all that is asked of an object by itself once it is right.
func Check(o *source.Object) []source.Problem {
	return append(translate.Check(o), secrets.Check(o)...)
}

// check leaves out objects of which something is not run that they cannot do without: what there was of them before stays in force. What is not run
// of others is said.
func (p *Push) check(name string, changes []source.Change) (good []source.Change) {
	for _, c := range changes {
		var found []source.Problem
		if c.Object != nil {
			found = Check(c.Object)
		}
		p.mu.Lock()
		id := claim{name, c.Key}
		before := p.unrun[id]
		if delete(p.unrun, id); len(found) > 0 {
			p.unrun[id] = found
		}
		p.mu.Unlock()
		p.say(found, before)
		if !slices.ContainsFunc(found, func(one source.Problem) bool { return !one.Warning }) {
			good = append(good, c)
		}
	}
	return good
}

// note keeps a source's problems and says what is new among them.
func (p *Push) note(t told) {
	p.mu.Lock()
	before := p.problems[t.source]
	if p.problems[t.source] = t.batch.Problems; len(t.batch.Problems) == 0 {
		delete(p.problems, t.source)
	}
	first := p.awaited[t.source]
	delete(p.awaited, t.source)
	p.mu.Unlock()
	p.say(t.batch.Problems, before)
	wrong := 0
	for _, one := range t.batch.Problems {
		if !one.Warning {
			wrong++
		}
	}
	if first && t.source != fromKept || len(t.batch.Changes) > 0 {
		p.Log.Info("read", "source", t.source, "changes", len(t.batch.Changes), "wrong", wrong)
	}
	if len(before) > 0 && len(t.batch.Problems) == 0 {
		p.Log.Info("nothing is wrong any more", "source", t.source)
	}
}

// say logs problems that were not there before.
func (p *Push) say(problems, before []source.Problem) {
	if len(problems) == 0 {
		return
	}
	known := make(map[source.Problem]bool, len(before))
	for _, one := range before {
		known[one] = true
	}
	for _, one := range problems {
		if known[one] {
			continue
		}
		level := slog.LevelError
		if one.Warning {
			level = slog.LevelWarn
		}
		p.Log.Log(context.Background(), level, Say(one))
	}
}
