package status

import (
	"net"
	"net/netip"
	"sync"

	"github.com/weftmesh/weft/telemetry"
)

// bounded is a listener that has room for so many connections at a time, and for fewer of one address: whoever opens all that he can does not keep the kubelet out. What comes beyond that is closed at
// once, so that who asks hears of it.
type bounded struct {
	net.Listener
	values *telemetry.Values

	mu   sync.Mutex
	all  int
	from map[netip.Addr]int // those of one address
}

// Accept takes a connection for which there is room.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		if !b.enter(from) {
			b.values.Inc(connectionsRefused)
			c.Close()
			continue
		}
		b.values.Inc(connectionsNow)
		return &connection{Conn: c, of: b, from: from}, nil
	}
}

func (b *bounded) enter(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == maxConnections || b.from[from] == maxOfOne {
		return false
	}
	b.all++
	b.from[from]++
	return true
}

func (b *bounded) leave(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.from[from]--; b.from[from] == 0 {
		delete(b.from, from)
	}
}

// connection gives its room back when it is closed.
type connection struct {
	net.Conn
	of   *bounded
	from netip.Addr
	once sync.Once
}

// Close closes it.
func (c *connection) Close() error {
	c.once.Do(func() {
		c.of.leave(c.from)
		c.of.values.Dec(connectionsNow)
	})
	return c.Conn.Close()
}
