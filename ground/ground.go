package ground

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Ground is where workloads stand: network namespaces joined by a bridge, which is in one of its own, or addresses of this host's loopback. Of namespaces
// nothing is in the machine's own, and all goes when nobody holds it any more, however we end.
type Ground struct {
	Wire  *Plot // what all speak to is there
	plots []*Plot
	given *ports // of the machine's own, which all share; nil: each plot has ports of its own
}

// Plot is one place: an address, in a namespace of its own or among others on loopback.
type Plot struct {
	Name  string
	IP    netip.Addr
	ns    *os.File // nil: the one that we are in
	given *ports
}

// Apart tells whether each plot has a namespace of its own.
func (g *Ground) Apart() bool { return g.given == nil }

// next is the address that the next plot has.
func (g *Ground) next() netip.Addr {
	if n := len(g.plots); n > 0 {
		return g.plots[n-1].IP.Next()
	}
	return g.Wire.IP.Next()
}

// Plot makes one more place, at the next address.
func (g *Ground) Plot(name string) (*Plot, error) {
	p := &Plot{Name: name, IP: g.next(), given: g.given}
	if g.Apart() {
		var err error
		if p, err = g.join(name, g.next()); err != nil {
			return nil, err
		}
	}
	g.plots = append(g.plots, p)
	return p, nil
}

// Port is one to listen at for what is usually found at another: that one itself where nobody else is, and on loopback one that nobody has at any address.
func (p *Plot) Port(usual int) (int, error) {
	if p.given == nil {
		return usual, nil
	}
	return p.given.find()
}

func (g *Ground) Close() {
	for _, p := range append(g.plots, g.Wire) {
		if p.ns != nil {
			p.ns.Close()
		}
	}
}

// Path names the namespace to other programs, while we run. Only who is apart has one.
func (p *Plot) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.ns.Fd()) }

// Enter moves the thread into the plot's namespace, if it has one.
func (p *Plot) Enter() error {
	if p.ns == nil {
		return nil
	}
	return unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET)
}

// Within does something on a thread in the namespace: sockets that it makes are of the namespace wherever they are used later.
func Within[T any](p *Plot, do func() (T, error)) (T, error) {
	if p.ns == nil {
		return do()
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		var r result
		if r.err = p.Enter(); r.err == nil {
			r.value, r.err = do()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

func (p *Plot) Listen(at string) (net.Listener, error) {
	return Within(p, func() (net.Listener, error) { return net.Listen("tcp4", at) })
}

// Dial connects from the plot's address.
func (p *Plot) Dial(ctx context.Context, _, at string) (net.Conn, error) {
	return Within(p, func() (net.Conn, error) {
		d := net.Dialer{}
		if p.ns == nil { // where it is not the only one
			d.LocalAddr = &net.TCPAddr{IP: p.IP.AsSlice()}
		}
		return d.DialContext(ctx, "tcp4", at)
	})
}
