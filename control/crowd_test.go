package control

import (
	"net"
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/telemetry"
)

// caller is a connection that is somebody's.
type caller struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (c *caller) RemoteAddr() net.Addr { return c.from }
func (c *caller) Close() error         { c.closed = true; return nil }

// queue is a listener to which those come.
type queue struct {
	net.Listener
	come []*caller
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.come) == 0 {
		return nil, net.ErrClosed
	}
	c := q.come[0]
	q.come = q.come[1:]
	return c, nil
}

func TestNobodyFillsTheDoor(t *testing.T) {
	call := func(from string) *caller {
		return &caller{from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 1))}
	}
	q := &queue{}
	p := &Plane{stats: telemetry.NewStore(1)}
	door := p.crowd(q, 8)
	// let says which of those who come are let in, one after the other.
	let := func(come ...*caller) (in []net.Conn) {
		q.come = come
		for {
			c, err := door.Accept()
			if err != nil {
				return in
			}
			in = append(in, c)
		}
	}
	greedy := []*caller{call("10.0.0.1"), call("10.0.0.1"), call("10.0.0.1"), call("::ffff:10.0.0.1")}
	in := let(greedy...)
	if len(in) != 2 || !greedy[2].closed || !greedy[3].closed {
		t.Fatalf("%d of one address are let in: want a quarter of 8, and the others closed", len(in))
	}
	if n := len(let(call("fd00::1"), call("fd00::2"), call("fd00::3"), call("fd00:0:0:1::1"))); n != 3 {
		t.Errorf("%d are let in: want two of one network and one of another", n)
	}
	in[0].Close()
	in[0].Close()
	if n := len(let(call("10.0.0.1"), call("10.0.0.1"))); n != 1 {
		t.Errorf("%d are let in after one has gone: want one", n)
	}
	if n := len(let(call("10.0.0.2"), call("10.0.0.3"), call("10.0.0.4"), call("10.0.0.5"))); n != 3 {
		t.Errorf("%d are let in where there is room for 3", n)
	}
	if got := door.(*crowd).stats.Sum(crowded); got != 5 {
		t.Errorf("%d are counted as refused: want 5", got)
	}
}
