package ground

import (
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

// subnet is that of the workloads; services have addresses in another one, to which the wire is the way.
var subnet = netip.MustParsePrefix("10.77.0.0/24")

const bridge = "mesh"

// New makes the wire, with a bridge. An error says that this machine does not allow it.
func New() (*Ground, error) {
	wire, err := newPlot("wire", subnet.Addr().Next())
	if err != nil {
		return nil, err
	}
	err = wire.links(func(h *netlink.Handle) error {
		link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
		return errors.Join(h.LinkAdd(link), address(h, link, wire.IP), h.LinkSetUp(link))
	})
	if err != nil {
		wire.ns.Close()
		return nil, fmt.Errorf("ground: the bridge: %w", err)
	}
	return &Ground{Wire: wire}, nil
}

// join makes a namespace with an end of a cable to the bridge.
func (g *Ground) join(name string, at netip.Addr) (p *Plot, err error) {
	if p, err = newPlot(name, at); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.ns.Close()
		}
	}()
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

// links changes what the namespace has of links, addresses and routes.
func (p *Plot) links(change func(*netlink.Handle) error) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(p.ns.Fd()))
	if err != nil {
		return err
	}
	defer h.Close()
	return change(h)
}
