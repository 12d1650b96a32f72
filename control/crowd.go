package control

import (
	"net"
	"net/netip"
	"sync"

	"github.com/weftmesh/weft/telemetry"
)

// crowd is a listener of which so many connections are open at most, and a quarter of them for one address, or one network of IPv6 (RFC 4291, 2.5.1: /64): whoever
// keeps his open does not keep others out. What is too much is closed at once, and counted.
type crowd struct {
	net.Listener
	most  int
	stats *telemetry.Owner

	mu   sync.Mutex
	open int
	of   map[netip.Addr]int
}

var crowdStats = &telemetry.Table{Kind: "crowd", Metrics: []telemetry.Metric{crowded: {Name: "connections_refused"}}}

const crowded = 0

func (p *Plane) crowd(l net.Listener, most int) net.Listener {
	return &crowd{Listener: l, most: most, of: map[netip.Addr]int{}, stats: p.stats.Acquire(crowdStats, "doors.")}
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := whence(conn.RemoteAddr())
		if c.enter(from) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { c.left(from) })}, nil
		}
		c.stats.Loop(0).Inc(crowded)
		conn.Close()
	}
}

// whence is whose connection counts together with others.
func whence(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := t.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.most || c.of[from] >= c.most/4 {
		return false
	}
	c.open++
	c.of[from]++
	return true
}

func (c *crowd) left(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// guest is one of its connections.
type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
