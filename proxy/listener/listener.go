package listener

import (
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// Local is what the listeners of one loop share.
type Local struct {
	Loop *loop.Loop
	HTTP *l7.Local
	TCP  *l4.Local
}

// Listener is a bound socket, by loop, and what its connections meet.
type Listener struct {
	Config  *config.Listener
	Chains  *Chains
	Address config.Address // where it is bound in fact
	sockets []int          // by loop, or one for all
	ports   []*port        // by loop
	stats   *telemetry.Owner
}

// port is one loop's part of a listener.
type port struct {
	*Local
	listener *Listener
	chains   *Chains // that new connections meet
	stats    *telemetry.Values
	acceptor *loop.Acceptor
}

// Open binds a listener for that many loops.
func Open(c *config.Listener, chains *Chains, loops int, store *telemetry.Store) (*Listener, error) {
	n := loops
	if !c.ReusePort || c.Address.Path != "" {
		n = 1
	}
	l := &Listener{Config: c, Chains: chains, ports: make([]*port, loops), Address: c.Address}
	for i := range n {
		fd, err := bind(c, l.Address, n > 1)
		if err != nil {
			l.closeSockets()
			return nil, err
		}
		l.sockets = append(l.sockets, fd)
		if i == 0 {
			l.Address = bound(fd, c.Address)
		}
	}
	name := c.StatPrefix
	if name == "" {
		name = statName(l.Address)
	}
	l.stats = store.Acquire(Stats, "listener."+name+".", telemetry.Tag{Name: "listener_address", Value: name})
	return l, nil
}

// statName is an address as statistics call it: Envoy turns colons into underscores.
func statName(a config.Address) string { return strings.ReplaceAll(a.String(), ":", "_") }

// Start accepts on one loop. It is called on that loop.
func (l *Listener) Start(on *Local) error {
	i := on.Loop.Index()
	fd := l.sockets[0]
	var err error
	if len(l.sockets) > 1 {
		fd = l.sockets[i]
	} else if len(l.ports) > 1 {
		// Each loop closes a descriptor of its own.
		if fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return err
		}
	}
	p := &port{Local: on, listener: l, chains: l.Chains, stats: l.stats.Loop(i)}
	l.ports[i] = p
	p.acceptor, err = on.Loop.Listen(fd, p.accept, func() { p.stats.Inc(AcceptsPaused) })
	return err
}

// Swap has new connections of one loop meet what Chains is now. It is called on that loop.
func (l *Listener) Swap(i int) {
	if p := l.ports[i]; p != nil {
		p.chains = l.Chains
	}
}

func (p *port) accept(a *loop.Pending) {
	if c := p.chains.only; c != nil {
		p.serve(c, a)
		return
	}
	local := a.Local()
	p.serve(p.chains.Match(&Input{Destination: local, Transport: "raw_buffer", Direct: a.Remote, Source: a.Remote}), a)
}

// serve gives a connection to its chain.
func (p *port) serve(c *Chain, a *loop.Pending) {
	if c == nil {
		p.stats.Inc(NoFilterChainMatch)
		a.Refuse()
		return
	}
	p.stats.Inc(CxTotal)
	p.stats.Inc(CxActive)
	a.Gate = p
	if c.HTTP != nil {
		c.HTTP.Serve(p.HTTP, a)
		return
	}
	c.TCP.Serve(p.TCP, a)
}

// Left counts a connection that has gone.
func (p *port) Left(age time.Duration) {
	p.stats.Dec(CxActive)
	p.stats.Inc(CxDestroy)
	p.stats.Observe(CxLengthMs, uint64(age.Milliseconds()))
}

// Stop accepts no more on one loop. It is called on that loop. Connections that stand are left alone.
func (l *Listener) Stop(i int) {
	if p := l.ports[i]; p != nil && p.acceptor != nil {
		p.acceptor.Close()
		p.acceptor = nil
	}
}

// Close accepts no more on any loop. To close again does nothing. Connections that stand are left alone.
func (l *Listener) Close(loops []*loop.Loop) {
	var wait sync.WaitGroup
	for i, on := range loops {
		wait.Add(1)
		on.Post(func() {
			l.Stop(i)
			wait.Done()
		})
	}
	wait.Wait()
	if len(l.sockets) == 1 && len(l.ports) > 1 {
		l.closeSockets()
	}
}

func (l *Listener) closeSockets() {
	for _, fd := range l.sockets {
		unix.Close(fd)
	}
	l.sockets = nil
}
