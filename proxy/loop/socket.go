package loop

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
)

// Dial starts a connection. The owner hears OnConnected or OnClosed; the time that may take is the owner's to bound. An error means
// that nothing was started: no descriptor is left, or an address is of no use. keepAlive and b may be nil.
func (l *Loop) Dial(a config.Address, limit int, keepAlive *config.TCPKeepAlive, b *config.Binding, o Owner) (*Conn, error) {
	sa, family := sockaddr(a)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("loop: socket: %w", err)
	}
	if family != unix.AF_UNIX {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		setKeepAlive(fd, keepAlive)
		if b != nil {
			if err := bind(fd, family, b); err != nil {
				unix.Close(fd)
				return nil, fmt.Errorf("loop: bind for %s: %w", a, err)
			}
		}
	}
	switch err = unix.Connect(fd, sa); err {
	case nil, unix.EINPROGRESS:
	default:
		unix.Close(fd)
		return nil, fmt.Errorf("loop: connect to %s: %w", a, err)
	}
	// Even a connection that stands at once is reported by the poller, so that OnConnected never comes from within Dial.
	c, err := l.adopt(fd, a.AddrPort, limit, o, connecting, unix.EPOLLOUT)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("loop: connect to %s: %w", a, err)
	}
	return c, nil
}

// bind gives a socket our side of its connection. Whatever of it cannot be had is an error: to connect from elsewhere could get past
// what the address is for.
func bind(fd, family int, b *config.Binding) error {
	if b.Freebind {
		level, name := unix.IPPROTO_IP, unix.IP_FREEBIND
		if family == unix.AF_INET6 {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		}
		if err := unix.SetsockoptInt(fd, level, name, 1); err != nil {
			return err
		}
	}
	for _, o := range b.Options {
		if err := unix.SetsockoptInt(fd, o.Level, o.Name, o.Value); err != nil {
			return fmt.Errorf("socket option %d of level %d: %w", o.Name, o.Level, err)
		}
	}
	if !b.Source.IsValid() {
		return nil
	}
	own := b.Source
	if b.Other.IsValid() && own.Addr().Unmap().Is4() != (family == unix.AF_INET) {
		own = b.Other
	}
	if own.Port() == 0 {
		// The port is chosen when it is known where to, so that as many connections as there are ports can be made to each place.
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	source, _ := sockaddr(config.Address{AddrPort: own})
	return unix.Bind(fd, source)
}

func setKeepAlive(fd int, k *config.TCPKeepAlive) {
	if k == nil {
		return
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	for _, o := range [...]struct {
		name  int
		value uint32
	}{{unix.TCP_KEEPCNT, k.Probes}, {unix.TCP_KEEPIDLE, k.Time}, {unix.TCP_KEEPINTVL, k.Interval}} {
		if o.value != 0 {
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o.name, int(o.value))
		}
	}
}

func sockaddr(a config.Address) (unix.Sockaddr, int) {
	if a.Path != "" {
		return &unix.SockaddrUnix{Name: a.Path}, unix.AF_UNIX
	}
	ip := a.AddrPort.Addr()
	if ip.Is4() || ip.Is4In6() {
		return &unix.SockaddrInet4{Port: int(a.AddrPort.Port()), Addr: ip.Unmap().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.AddrPort.Port()), Addr: ip.As16()}, unix.AF_INET6
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
