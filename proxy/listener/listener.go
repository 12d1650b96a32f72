package listener

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/dubbo"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/tls"
)

// Local is what the listeners of one loop share.
type Local struct {
	Loop     *loop.Loop
	HTTP     *l7.Local
	TCP      *l4.Local
	Dubbo    *dubbo.Local
	TLS      *telemetry.Values // of TLSStats
	HTTPSeen *telemetry.Values // of HTTPStats
	ports    map[netip.AddrPort]*port
	waiting  int    // connections whose first bytes are awaited
	shaking  int    // connections that do not speak TLS yet, and are to
	Departed func() // is told of each connection that goes; nil: nobody is
}

// NewLocal makes what the listeners of a loop share.
func NewLocal(l *loop.Loop, store *telemetry.Store) *Local {
	return &Local{
		Loop:     l,
		HTTP:     l7.NewLocal(l),
		TCP:      &l4.Local{Loop: l},
		Dubbo:    &dubbo.Local{Loop: l},
		TLS:      store.Acquire(TLSStats, "tls_inspector.").Loop(l.Index()),
		HTTPSeen: store.Acquire(HTTPStats, "http_inspector.").Loop(l.Index()),
		ports:    map[netip.AddrPort]*port{},
	}
}

// at finds the listener at an address, or else the one at all addresses of its port.
func (l *Local) at(a netip.AddrPort) *port {
	return at(l.ports, a, func(p *port) bool { return p.config.IPv4Compat })
}

// at is the one meaning of "the listener at an address"; compat says whose IPv6 sockets take IPv4, too.
func at[P comparable](ports map[netip.AddrPort]P, a netip.AddrPort, compat func(P) bool) (none P) {
	if p := ports[a]; p != none {
		return p
	}
	any, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if a.Addr().Is6() {
		return ports[netip.AddrPortFrom(any6, a.Port())]
	}
	if p := ports[netip.AddrPortFrom(any, a.Port())]; p != none {
		return p
	}
	if p := ports[netip.AddrPortFrom(any6, a.Port())]; p != none && compat(p) {
		return p
	}
	return none
}

// Connections is the number of downstream connections of the loop, those among them whose first bytes or handshakes are awaited.
func (l *Local) Connections() int {
	return l.HTTP.Connections() + l.TCP.Connections() + l.Dubbo.Connections() + l.waiting + l.shaking
}

// Parting is the number of connections that end when they have said what they have to: all but tunnels, and those that send their last bytes.
func (l *Local) Parting() int {
	return l.HTTP.Connections() + l.Dubbo.Connections() + l.waiting + l.shaking + l.Loop.Lingering()
}

// Listener is a bound socket, by loop, and what its connections meet.
type Listener struct {
	Config   *config.Listener
	Chains   *Chains
	Address  config.Address // where it is bound in fact, the first of them
	sockets  []sockets      // by address
	lent     atomic.Bool    // others may have them, too: a listener that takes this one's place, or another process
	ports    []*port        // by loop
	stats    *telemetry.Owner
	workers  []*telemetry.Owner // of WorkerStats, by loop
	store    *telemetry.Store
	logs     []*accesslog.Log
	balance  *balance // nil: connections stay where they were accepted
	nextConn *atomic.Uint64
	proxy    []*telemetry.Owner // of ProxyStats, by the filter; nil for others
	tell     func(listener string, peer netip.AddrPort, err error)
}

// port is one loop's part of a listener.
type port struct {
	*Local
	listener  *Listener
	config    *config.Listener
	chains    *Chains // that new connections meet
	stats     *telemetry.Values
	worker    *telemetry.Values   // of WorkerStats
	acceptors []*loop.Acceptor    // none if the listener is not bound
	stopped   bool                // accepts no more
	waiting   *inspection         // all of them, through next and prev
	shaking   *handshake          // likewise
	proxy     []*telemetry.Values // of ProxyStats, by the filter; nil for others
}

// Origin is what all listeners of a process come from.
type Origin struct {
	Loops    int
	Stats    *telemetry.Store
	Log      func(config.AccessLog) *accesslog.Log                 // opens one that is known to open
	NextConn *atomic.Uint64                                        // numbers connections
	Tell     func(listener string, peer netip.AddrPort, err error) // of handshakes that failed
	Handed   func(key string) []int                                // sockets that another process has handed over, once; nil: none did
}

// Open binds a listener. What stays of an older one of the same name is taken over: its socket, if nothing about
// that has changed. old is nil if there is none.
func Open(c *config.Listener, old *Listener, chains *Chains, o Origin) (*Listener, error) {
	if slices.ContainsFunc(c.Filters, func(f config.ListenerFilter) bool { return f.Kind == config.KeepSource }) {
		if err := loop.MayKeepSources(); err != nil {
			return nil, err
		}
	}
	l := &Listener{Config: c, Chains: chains, ports: make([]*port, o.Loops), Address: c.Address, store: o.Stats, nextConn: o.NextConn, tell: o.Tell}
	for _, a := range c.AccessLogs {
		l.logs = append(l.logs, o.Log(a))
	}
	if !c.Unbound {
		err := l.listen(c.Address, c, old, &o)
		for i := 0; i < len(c.Additional) && err == nil; i++ {
			a, own := &c.Additional[i], *c
			own.KeepAlive, own.SocketOptions = a.KeepAlive, a.SocketOptions
			err = l.listen(a.Address, &own, old, &o)
		}
		if err != nil {
			l.closeSockets()
			return nil, err
		}
		l.Address = l.sockets[0].at
	}
	name := c.StatPrefix
	if name == "" {
		name = statName(l.Address)
	}
	l.stats = o.Stats.Acquire(Stats, "listener."+name+".", telemetry.Tag{Name: "listener_address", Value: name})
	for i := range o.Loops {
		n := strconv.Itoa(i)
		l.workers = append(l.workers, o.Stats.Acquire(WorkerStats, l.stats.Prefix+"worker_"+n+".", l.stats.Tags[0], telemetry.Tag{Name: "worker_id", Value: n}))
	}
	if c.ExactBalance {
		l.balance = &balance{loops: make([]balanced, o.Loops)}
	}
	l.countChains()
	l.proxy = make([]*telemetry.Owner, len(c.Filters))
	for i, f := range c.Filters {
		if f.Kind != config.ReadProxyHeader {
			continue
		}
		prefix := "proxy_proto."
		if f.Proxy.StatPrefix != "" {
			prefix += f.Proxy.StatPrefix + "."
		}
		l.proxy[i] = o.Stats.Acquire(ProxyStats, prefix)
	}
	return l, nil
}

// Rechain has connections to come meet other chains; Swap tells the loops.
func (l *Listener) Rechain(chains *Chains, c *config.Listener) {
	l.Chains, l.Config = chains, c
	l.countChains()
}

// Owner is where the listener's own numbers are.
func (l *Listener) Owner() *telemetry.Owner { return l.stats }

// countChains finds where requests of the chains are counted for the listener.
func (l *Listener) countChains() {
	for _, c := range l.Chains.All {
		if c.TLS != nil && c.ssl == nil {
			c.ssl = l.store.Acquire(tls.ListenerStats, l.stats.Prefix+"ssl.", l.stats.Tags[0])
			c.agreed = l.store.Acquire(tls.ListenerAgreed, l.stats.Prefix+"ssl.", l.stats.Tags[0])
		}
		if c.HTTP != nil && c.requests == nil {
			prefix := c.Config.HTTP.StatPrefix
			c.requests = l.store.Acquire(l7.ListenerStats, l.stats.Prefix+"http."+prefix+".", l.stats.Tags[0], telemetry.Tag{Name: "http_conn_manager_prefix", Value: prefix})
		}
	}
}

// statName is an address as statistics call it: Envoy turns colons into underscores.
func statName(a config.Address) string { return strings.ReplaceAll(a.String(), ":", "_") }

// Start accepts on one loop. It is called on that loop.
func (l *Listener) Start(on *Local) error {
	i := on.Loop.Index()
	p := &port{Local: on, listener: l, config: l.Config, chains: l.Chains, stats: l.stats.Loop(i), worker: l.workers[i].Loop(i)}
	l.ports[i] = p
	for _, o := range l.proxy {
		var v *telemetry.Values
		if o != nil {
			v = o.Loop(i)
		}
		p.proxy = append(p.proxy, v)
	}
	if l.Config.Unbound {
		p.register(l.Address)
	}
	if l.balance != nil {
		l.balance.offer(i, p)
	}
	for k := range l.sockets {
		s := &l.sockets[k]
		p.register(s.at)
		fds, err := s.forLoop(i, len(l.ports))
		if err != nil {
			return err
		}
		for _, fd := range fds {
			a, err := on.Loop.Listen(fd, p.accept, func() { p.stats.Inc(AcceptsPaused) })
			if err != nil {
				return err
			}
			p.acceptors = append(p.acceptors, a)
		}
	}
	return nil
}

// register lets other listeners find this one by its address.
func (p *port) register(a config.Address) {
	if a := a.AddrPort; a.IsValid() {
		p.Local.ports[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = p
	}
}

// Swap has new connections of one loop meet what Chains is now. It is called on that loop.
func (l *Listener) Swap(i int) {
	if p := l.ports[i]; p != nil {
		p.chains, p.config = l.Chains, l.Config
	}
}

func (p *port) accept(a *loop.Pending) {
	if l := p.Loop.Limit; l != nil && !p.config.BeyondLimit && !l.Enter(a) {
		p.stats.Inc(GlobalOverflow)
		a.Refuse()
		return
	}
	if p.listener.balance == nil || p.settle(a) {
		p.admit(a)
	}
}

// admit begins with a connection that stays on this loop.
func (p *port) admit(a *loop.Pending) {
	a.Gate = p
	if len(p.listener.logs) > 0 {
		a.Gate = p.logged(a)
	}
	switch c := p.chains.only; {
	case len(p.config.Filters) > 0:
		p.inspect(a)
	case c != nil:
		p.serve(c, a)
	default:
		p.serve(p.chains.Match(&Input{Destination: a.Local(), Transport: "raw_buffer", Direct: a.Remote, Source: a.Remote}), a)
	}
}

// serve gives a connection to its chain.
func (p *port) serve(c *Chain, a *loop.Pending) {
	if c == nil {
		p.stats.Inc(NoFilterChainMatch)
		p.lost(a, accesslog.NoRouteFound, "filter_chain_not_found")
		a.Refuse()
		return
	}
	p.stats.Inc(CxTotal)
	p.stats.Inc(CxActive)
	p.worker.Inc(WorkerCxTotal)
	p.worker.Inc(WorkerCxActive)
	if log, ok := a.Gate.(*logged); ok {
		log.served(c, a)
	}
	switch {
	case len(c.Guards) > 0 && !c.Guards.Admit(p.TCP, a):
	case c.TLS != nil:
		p.secure(c, a)
	default:
		p.give(c, a)
	}
}

// give lets the chain's server have a connection that stands, if the chain's rules let it.
func (p *port) give(c *Chain, a *loop.Pending) {
	v := c.Rules.Judge(p.TCP, a)
	switch {
	case c.TCP != nil:
		c.TCP.Serve(p.TCP, a, v) // which logs those, too, that may not stand
	case v != nil && v.Denied != "":
		v.TurnAway(p.TCP, a)
	case c.HTTP != nil:
		c.HTTP.Serve(p.HTTP, a, c.requests.Loop(p.Loop.Index()))
		if c.HTTP.Gone() { // while the connection came to stand
			p.HTTP.Retire(c.HTTP)
		}
	case c.Dubbo != nil:
		c.Dubbo.Serve(p.Dubbo, a)
	default:
		c.Answer.Serve(p.TCP, a)
	}
}

// stop accepts no more on one loop. It is called on that loop.
func (p *port) stop() {
	for _, a := range p.acceptors {
		a.Close()
	}
	p.acceptors, p.stopped = nil, true
	if b := p.listener.balance; b != nil {
		b.offer(p.Loop.Index(), nil)
	}
}

// settling is how long Shut waits for the last packet of those whose first one was taken just before: on a host it comes within microseconds, unless the processor that brings it is taken away meanwhile, which cost one connection in some 700 drains
// under load, and in a data centre within a millisecond or two.
const settling = 10 * time.Millisecond

// Shut lets nobody new in by the sockets of listeners that are about to be closed, if nobody else has these, and waits until who was about to come has come. Nothing waits on the loops.
func Shut(list []*Listener, loops []*loop.Loop) {
	var wait sync.WaitGroup
	var shut atomic.Bool
	for i, on := range loops {
		wait.Add(1)
		on.Post(func() {
			defer wait.Done()
			for _, l := range list {
				if p := l.ports[i]; p != nil && !l.lent.Load() {
					for _, a := range p.acceptors {
						if a.Shut() {
							shut.Store(true)
						}
					}
				}
			}
		})
	}
	if wait.Wait(); shut.Load() {
		time.Sleep(settling)
	}
}

// Close accepts no more on any loop; Shut comes before. To close again does nothing. Connections that stand are left alone, and those whose first bytes are
// awaited may still become some, as may those that another listener has accepted and finds out to be for this one.
func (l *Listener) Close(loops []*loop.Loop) { l.onPorts(loops, (*port).stop) }

// End is Close for a listener that is no more. A connection whose first bytes or whose handshake is awaited ends, for nobody knows any more what it would
// be for, unless the listener is replaced: then it is for whom it would have been, and no client notices.
func (l *Listener) End(loops []*loop.Loop, replaced bool) {
	l.onPorts(loops, func(p *port) {
		p.stop()
		for key, at := range p.Local.ports {
			if at == p {
				delete(p.Local.ports, key)
			}
		}
		if replaced {
			return
		}
		for p.waiting != nil {
			p.waiting.refuse()
		}
		for p.shaking != nil {
			p.shaking.refuse()
		}
	})
}

// onPorts runs f on every loop where the listener was started, waits for all, and closes what is then nobody's.
func (l *Listener) onPorts(loops []*loop.Loop, f func(*port)) {
	var wait sync.WaitGroup
	for i, on := range loops {
		wait.Add(1)
		on.Post(func() {
			defer wait.Done()
			if p := l.ports[i]; p != nil {
				f(p)
			}
		})
	}
	wait.Wait()
	for _, s := range l.sockets {
		s.release(len(l.ports))
	}
	l.sockets = nil
}

// Discard closes the sockets of a listener that was never started.
func (l *Listener) Discard() { l.closeSockets() }

func (l *Listener) closeSockets() {
	for _, s := range l.sockets {
		s.close()
	}
	l.sockets = nil
}
