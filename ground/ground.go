package ground

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Ground is where workloads stand: network namespaces joined by a bridge, which is in one of its own. Nothing of it is in the machine's own namespace, and
// all of it goes when nobody holds it any more, however we end.
type Ground struct {
	Wire  *Plot // with the bridge; what all speak to is there
	plots []*Plot
}

// subnet is that of the workloads; services have addresses in another one, to which the wire is the way.
var subnet = netip.MustParsePrefix("10.77.0.0/24")

const bridge = "mesh"

// Plot is one place: a namespace with an address.
type Plot struct {
	Name string
	IP   netip.Addr
	ns   *os.File // the namespace
}

// New makes the wire. An error says that this machine does not allow it.
func New() (g *Ground, err error) {
	g = &Ground{}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	if g.Wire, err = newPlot("wire", subnet.Addr().Next()); err != nil {
		return nil, err
	}
	err = g.Wire.links(func(h *netlink.Handle) error {
		link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
		return errors.Join(h.LinkAdd(link), address(h, link, g.Wire.IP), h.LinkSetUp(link))
	})
	return g, err
}

// Plot makes one more place, at the next address.
func (g *Ground) Plot(name string) (*Plot, error) {
	at := g.Wire.IP
	if n := len(g.plots); n > 0 {
		at = g.plots[n-1].IP
	}
	p, err := newPlot(name, at.Next())
	if err != nil {
		return nil, err
	}
	g.plots = append(g.plots, p)
	err = g.Wire.links(func(h *netlink.Handle) error {
		master, err := h.LinkByName(bridge)
		if err != nil {
			return err
		}
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: master.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.ns.Fd())}
		return errors.Join(h.LinkAdd(link), h.LinkSetUp(link))
	})
	if err != nil {
		return nil, fmt.Errorf("ground: joining %s to the others: %w", name, err)
	}
	err = p.links(func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		return errors.Join(address(h, link, p.IP), h.LinkSetUp(link), h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IP(g.Wire.IP.AsSlice())}))
	})
	if err != nil {
		return nil, fmt.Errorf("ground: the address of %s: %w", name, err)
	}
	return p, nil
}

func (g *Ground) Close() {
	for _, p := range append(g.plots, g.Wire) {
		if p != nil {
			p.ns.Close()
		}
	}
}

func address(h *netlink.Handle, link netlink.Link, ip netip.Addr) error {
	return h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(subnet.Bits(), 32)}})
}

// newPlot makes a namespace, on a thread that ends with that.
func newPlot(name string, ip netip.Addr) (*Plot, error) {
	p := &Plot{Name: name, IP: ip}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is nobody's any more
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			p.ns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		}
		made <- err
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("ground: a network namespace: %w", err)
	}
	err := p.links(func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.LinkSetUp(lo)
	})
	if err != nil {
		p.ns.Close()
		return nil, fmt.Errorf("ground: a network namespace: %w", err)
	}
	return p, nil
}

// Path names the namespace to other programs, while we run.
func (p *Plot) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.ns.Fd()) }

// links changes what the namespace has of links, addresses and routes.
func (p *Plot) links(change func(*netlink.Handle) error) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(p.ns.Fd()))
	if err != nil {
		return err
	}
	defer h.Close()
	return change(h)
}

// Enter moves the thread into the namespace.
func (p *Plot) Enter() error { return unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET) }

// Within does something on a thread in the namespace: sockets that it makes are of the namespace wherever they are used later.
func Within[T any](p *Plot, do func() (T, error)) (T, error) {
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

func (p *Plot) Dial(ctx context.Context, _, at string) (net.Conn, error) {
	return Within(p, func() (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp4", at)
	})
}
