package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/dubbo"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/listener"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/tls"
)

// Options are what a proxy is made from besides configurations.
type Options struct {
	Concurrency    int // loops; at least 1
	ServiceCluster string
	ServiceNode    string
	Node           []byte     // all that the bootstrap says of the node, in protobuf's wire format
	Zone           string     // that this process is in; empty: nobody has said
	Host           netip.Addr // this host's own address, which stands for loopback in x-forwarded-for; not valid: nothing does
	Specs          []filters.Spec
	Stats          *telemetry.Store // made for Concurrency loops
	Logs           *accesslog.Files
	Log            *slog.Logger
	Ready          func() bool // says that all that there was to begin with has come; nil: it has
	MaxConnections int64       // that all listeners together may have at once; 0: as many as come
	Epoch          uint        // this process's in a row of hot restarts
	Numbered       uint64      // connections get higher numbers than this: those up to it are, or were, another process's
	// Handed gives sockets that another process has handed over, by what Sockets knows them by, once each; nil: none did.
	Handed func(key string) []int
	// Demand is told of resources that requests miss; false: there is no room for one more. nil: none are asked for.
	Demand func(config.Demand) bool
}

// Proxy is a running data plane.
type Proxy struct {
	options  Options
	loops    []*loop.Loop
	locals   []*listener.Local // by loop
	origin   *l7.Origin
	secrets  *tls.Store
	clusters *upstream.Set
	drain    l7.Drain
	live     atomic.Bool // the first configuration is served
	nextConn atomic.Uint64
	owners   owners
	running  sync.WaitGroup
	told     told
	ends     ends

	gives       sync.Mutex // one change of giving at a time
	giving      *giving    // nil: no connection is handed over
	givesNoMore bool

	mu         sync.Mutex // one change at a time
	arrived    int        // connections that another process has offered
	shut       shut       // which listeners let nobody in any more
	current    *config.Snapshot
	tables     map[string]*l7.Table
	own        map[*config.RouteConfiguration]*l7.Table // that scopes have themselves
	generation *l7.Generation
	calls      *dubbo.Generation // the same, for Dubbo
	listeners  map[string]*listener.Listener
	closed     bool
}

// New starts the loops. They wait for connections; there are none before the first Update.
func New(o Options) (*Proxy, error) {
	// A loop sleeps with its processor in hand (docs/design/0003-engine.md): without a spare one a collection would wait for every
	// loop in turn, and other goroutines would starve.
	if want := o.Concurrency + 1; runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
	p := &Proxy{options: o, listeners: map[string]*listener.Listener{}, tables: map[string]*l7.Table{}, generation: &l7.Generation{}, calls: &dubbo.Generation{}, current: &config.Snapshot{},
		owners: newOwners(o.Stats), secrets: tls.NewStore(tls.NewGate(o.Concurrency))}
	if by, err := tls.Batching(); err != nil && o.Log != nil {
		o.Log.Warn("private-key operations are not done by all that this processor has", "by", by, "reason", err)
	}
	p.nextConn.Store(o.Numbered)
	owner := o.Stats.Acquire(loop.Stats, "loop.")
	var limit *loop.Limit
	if o.MaxConnections > 0 {
		limit = loop.NewLimit(o.MaxConnections)
	}
	for i := range o.Concurrency {
		l, err := loop.New(i, owner.Loop(i), p.panicked)
		if err != nil {
			p.stop()
			return nil, err
		}
		l.Limit = limit
		p.loops = append(p.loops, l)
		local := listener.NewLocal(l, o.Stats)
		local.HTTP.Demands.Ask, local.TCP.Demands.Ask = o.Demand, o.Demand
		p.locals = append(p.locals, local)
	}
	p.secrets.KeyLog = p.keyLog
	p.clusters = upstream.NewSet(p.loops, o.Zone, o.Stats, upstream.Options{Events: p.events, Secrets: p.secrets, Numbered: o.Numbered})
	p.origin = &l7.Origin{
		Stats: o.Stats, Cluster: o.ServiceCluster, Node: o.ServiceNode, NodeAs: o.Node, Host: o.Host, Drain: &p.drain, Specs: o.Specs,
		Logs: p.log, NextConn: &p.nextConn,
	}
	for _, l := range p.loops {
		p.running.Go(l.Run)
	}
	return p, nil
}

func (p *Proxy) panicked(v any, stack []byte) {
	p.options.Log.Error("a panic was contained: the exchange or connection that it happened in is ended, the process goes on; please report it",
		"panic", fmt.Sprint(v), "stack", string(stack))
}

// log is an access log that Update has opened.
func (p *Proxy) log(a config.AccessLog) *accesslog.Log {
	log, _ := p.options.Logs.Open(a)
	return log
}

// events is a file of events that Update has opened.
func (p *Proxy) events(path string) upstream.Lines {
	lines, _ := p.options.Logs.Lines(path)
	return lines
}

// keyLog is a file of secrets of connections that Update has opened. They are written from none of the loops.
func (p *Proxy) keyLog(path string) io.Writer {
	lines, _ := p.options.Logs.Lines(path)
	return elsewhere{lines, p.options.Concurrency}
}

type elsewhere struct {
	lines *accesslog.Lines
	loop  int
}

func (e elsewhere) Write(line []byte) (int, error) {
	e.lines.Write(e.loop, line)
	return len(line), nil
}

// onLoops runs f on every loop, by its number, and waits for all.
func (p *Proxy) onLoops(f func(i int)) {
	var wait sync.WaitGroup
	for i, l := range p.loops {
		wait.Add(1)
		l.Post(func() {
			defer wait.Done()
			f(i)
		})
	}
	wait.Wait()
}

// Update makes a snapshot the configuration. Requests under way keep the one they began with; later ones meet the new one on every
// loop by the time that Update returns. What did not change is not touched. An error means that a socket could not be bound or a log
// not opened: nothing has changed then.
func (p *Proxy) Update(s *config.Snapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("proxy: update: the proxy is closed")
	}
	if names, ok := s.OnlyEndpoints(p.current); ok && p.live.Load() {
		p.clusters.Assign(s, names)
		p.current = s
		return nil
	}
	if s.OnlyAnswered(p.current) && p.live.Load() {
		generation := *p.generation
		generation.Answered = s.Answered
		p.serve(&generation, p.calls)
		p.current = s
		return nil
	}
	if err := p.openLogs(s); err != nil {
		return err
	}
	change, err := p.openListeners(s)
	if err != nil {
		return err
	}
	revoked := newlyRevoked(p.current.Secrets, s.Secrets)
	p.secrets.Update(s.Secrets)
	if revoked {
		defer p.onLoops(func(i int) { p.loops[i].Recheck() })
	}
	clusters := p.clusters.List()
	if !s.SameClusters(p.current) {
		p.countClusters(s)
		clusters = p.clusters.Update(s)
	}
	if !p.live.Load() {
		p.clusters.Warm()
	}
	tables := make(map[string]*l7.Table, len(s.Routes))
	for name, c := range s.Routes {
		old := p.tables[name]
		if old != nil && old.Config == c {
			tables[name] = old
			continue
		}
		tables[name] = l7.CompileTable(c, old, p.options.Stats)
	}
	own := p.ownTables(s)
	generation := &l7.Generation{Routes: tables, Clusters: clusters, Answered: s.Answered}
	p.link(generation, s, change, own)
	p.pin(change)
	p.serve(generation, &dubbo.Generation{Routes: s.DubboRoutes, Clusters: clusters})
	for name, old := range p.tables {
		if tables[name] != old {
			old.Release(p.options.Stats)
		}
	}
	for c, old := range p.own {
		if own[c] == nil {
			old.Release(p.options.Stats)
		}
	}
	p.tables, p.own, p.current = tables, own, s
	p.replaceListeners(s, change)
	p.live.Store(true)
	return nil
}

// serve has new requests and connections meet a generation, and those that wait for something in it.
func (p *Proxy) serve(g *l7.Generation, calls *dubbo.Generation) {
	p.generation, p.calls = g, calls
	p.onLoops(func(i int) {
		l := p.locals[i]
		l.HTTP.Generation = g
		l.TCP.Clusters, l.TCP.Known = g.Clusters, g.Answered
		l.Dubbo.Generation = calls
		l.HTTP.Demands.Answer(g.Answered)
		l.TCP.Demands.Answer(g.Answered)
	})
}

// ownTables are the tables that scopes have themselves.
func (p *Proxy) ownTables(s *config.Snapshot) map[*config.RouteConfiguration]*l7.Table {
	var own map[*config.RouteConfiguration]*l7.Table
	add := func(list []*config.Scope) {
		for _, c := range list {
			if c.Routes == nil || own[c.Routes] != nil {
				continue
			}
			if own == nil {
				own = map[*config.RouteConfiguration]*l7.Table{}
			}
			if own[c.Routes] = p.own[c.Routes]; own[c.Routes] == nil {
				own[c.Routes] = l7.CompileTable(c.Routes, nil, p.options.Stats)
			}
		}
	}
	for _, list := range s.Scopes {
		add(list)
	}
	for _, l := range s.Listeners {
		for c := range l.AllChains() {
			if c.HTTP != nil && c.HTTP.Scoped != nil {
				add(c.HTTP.Scoped.Inline)
			}
		}
	}
	return own
}

// countClusters counts what the next configuration adds, changes and takes away.
func (p *Proxy) countClusters(next *config.Snapshot) {
	old := make(map[string]config.Hash, len(p.current.Clusters))
	for _, c := range p.current.Clusters {
		old[c.Name] = c.Hash
	}
	v := p.owners.clusters
	for _, c := range next.Clusters {
		hash, was := old[c.Name]
		switch {
		case !was:
			v.Inc(clustersAdded)
		case hash != c.Hash:
			v.Inc(clustersModified)
		}
		delete(old, c.Name)
	}
	v.Add(clustersRemoved, uint64(len(old)))
	v.Set(clustersActive, uint64(len(next.Clusters)))
}

// Drain asks clients to go: over that time responses say so and connections end with their present exchange. Nobody new is kept out;
// CloseListeners does that.
func (p *Proxy) Drain(over time.Duration, inboundOnly bool) { p.drain.Begin(over, inboundOnly) }

// FailHealthChecks has this process fail the health checks of others, or, with false, pass them again. While they fail it calls itself
// draining, and connections end with their present exchange.
func (p *Proxy) FailHealthChecks(fail bool) { p.origin.Health.Fail(fail) }

// shut is which listeners let nobody in any more.
type shut uint8

const (
	shutNone shut = iota
	shutInbound
	shutAll
)

// covers tells whether a listener is one of those.
func (s shut) covers(l *config.Listener) bool {
	return s == shutAll || s == shutInbound && l.Direction == config.Inbound
}

// CloseListeners lets nobody new in, for good: what configurations to come say of such listeners changes nothing about it, as with Envoy.
// Connections that stand are left alone.
func (p *Proxy) CloseListeners(inboundOnly bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if inboundOnly {
		p.shut = max(p.shut, shutInbound)
	} else {
		p.shut = shutAll
	}
	var closing []*listener.Listener
	for _, l := range p.listeners {
		if p.shut.covers(l.Config) {
			closing = append(closing, l)
		}
	}
	listener.Shut(closing, p.loops)
	for _, l := range closing {
		l.Close(p.loops)
	}
}

// Part has HTTP connections, or those of inbound listeners alone, end with an exchange each, or when none has come for a while, and those of Dubbo with the calls that are under way: of Drain only those hear that have an exchange. It does not wait.
func (p *Proxy) Part(inboundOnly bool) {
	p.onLoops(func(i int) {
		p.locals[i].HTTP.Part(inboundOnly)
		p.locals[i].Dubbo.Part(inboundOnly)
	})
}

// Depart ends all connections of HTTP with their present exchange, those of Dubbo with the calls that are under way, and those that have none now, and returns when none is left that has something
// to say, or the time is over. Tunnels of the TCP proxy have no end to wait for: they stand until Close.
func (p *Proxy) Depart(within time.Duration) {
	p.StopGiving()
	parted := make(chan struct{}, 1)
	told := func() {
		select {
		case parted <- struct{}{}:
		default: // somebody looks already, and has not begun to
		}
	}
	p.onLoops(func(i int) {
		p.loops[i].Parted, p.locals[i].Departed = told, told
		p.locals[i].HTTP.CloseAll(true)
		p.locals[i].Dubbo.Part(false)
	})
	over := time.NewTimer(within)
	defer over.Stop()
	for p.parting() > 0 {
		select {
		case <-parted:
		case <-over.C:
			return
		}
	}
}

// parting is the number of downstream connections that are to come to an end by themselves.
func (p *Proxy) parting() int {
	var n atomic.Int64
	p.onLoops(func(i int) { n.Add(int64(p.locals[i].Parting())) })
	return int(n.Load())
}

// Connections is the number of downstream connections.
func (p *Proxy) Connections() int {
	var n atomic.Int64
	p.onLoops(func(i int) { n.Add(int64(p.locals[i].Connections())) })
	return int(n.Load())
}

// Sockets are the descriptors of all that listens, with what each is known by to another process. f gets them one by one; they stay the
// proxy's, and are valid during the call.
func (p *Proxy) Sockets(f func(key string, fd int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		for key, fd := range l.Sockets() {
			f(key, fd)
		}
	}
}

// Warm waits until clusters that have come since the start know what is behind their names, or that nothing is, and how their endpoints do, as far as they are asked to. Update itself waits for
// those that are there to begin with.
func (p *Proxy) Warm() { p.clusters.Warm() }

// Addresses are where listeners are bound, by name: port 0 in the configuration leaves the choice to the kernel.
func (p *Proxy) Addresses() map[string]config.Address {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := make(map[string]config.Address, len(p.listeners))
	for name, l := range p.listeners {
		m[name] = l.Address
	}
	return m
}

// Clusters is what runs upstream.
func (p *Proxy) Clusters() upstream.Clusters { return p.clusters.List() }

// Close ends the proxy: its sockets, its connections at once, its loops.
func (p *Proxy) Close() {
	p.gives.Lock()
	p.givesNoMore = true
	p.stopGiving()
	p.gives.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, l := range p.listeners {
		l.End(p.loops, false)
	}
	p.onLoops(func(i int) {
		p.locals[i].HTTP.CloseAll(false)
		p.locals[i].TCP.CloseAll()
		p.locals[i].Dubbo.CloseAll()
	})
	p.clusters.Update(&config.Snapshot{})
	p.onLoops(func(int) {}) // what the update posted has run
	p.stop()
}

func (p *Proxy) stop() {
	for _, l := range p.loops {
		l.Stop()
	}
	p.running.Wait()
}
