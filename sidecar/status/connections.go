package status

import (
	"net"
	"sync"

	"github.com/weftmesh/weft/telemetry"
)

// bounded is a listener that has room for so many connections at a time. What comes beyond that is closed at once, so that who asks hears of it.
type bounded struct {
	net.Listener
	room   chan struct{}
	values *telemetry.Values
}

// Accept takes a connection for which there is room.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.room <- struct{}{}:
			b.values.Inc(connectionsNow)
			return &connection{Conn: c, of: b}, nil
		default:
			b.values.Inc(connectionsRefused)
			c.Close()
		}
	}
}

// connection gives its room back when it is closed.
type connection struct {
	net.Conn
	of   *bounded
	once sync.Once
}

// Close closes it.
func (c *connection) Close() error {
	c.once.Do(func() {
		<-c.of.room
		c.of.values.Dec(connectionsNow)
	})
	return c.Conn.Close()
}
