package listener

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
)

// bind opens a listening socket, non-blocking, for one loop or, without reuse, for all.
func bind(c *config.Listener, address config.Address, reuse bool) (int, error) {
	fd, err := open(c, address, reuse)
	if err == nil {
		return fd, nil
	}
	why := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		why = " (another process listens there: choose another port, or end it)"
	case errors.Is(err, unix.EACCES):
		why = " (not permitted: ports below 1024 want root or CAP_NET_BIND_SERVICE, a Unix socket a folder that may be written to)"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		why = " (no interface of this host has that address)"
	}
	return -1, fmt.Errorf("listener: bind %q to %s: %w%s", c.Name, address, err, why)
}

func open(c *config.Listener, address config.Address, reuse bool) (int, error) {
	family, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: address.Path})
	if address.Path == "" {
		ip := address.AddrPort.Addr()
		if ip.Is4() || ip.Is4In6() {
			family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(address.AddrPort.Port()), Addr: ip.Unmap().As4()}
		} else {
			family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(address.AddrPort.Port()), Addr: ip.As16()}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := prepare(fd, c, address, family, reuse); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := setOptions(fd, c, config.BeforeBind); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := setOptions(fd, c, config.Bound); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if address.Path != "" && address.Mode != 0 && !strings.HasPrefix(address.Path, "@") {
		if err := os.Chmod(address.Path, os.FileMode(address.Mode)); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	err = unix.Listen(fd, c.Backlog)
	if err == nil {
		err = setOptions(fd, c, config.Listening)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// setOptions sets what is to be set in that state of the socket.
func setOptions(fd int, c *config.Listener, when config.SocketState) error {
	for _, o := range c.SocketOptions {
		if o.State != when {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.Level, o.Name, o.Value); err != nil {
			return fmt.Errorf("socket option %d of level %d: %w", o.Name, o.Level, err)
		}
	}
	return nil
}

func prepare(fd int, c *config.Listener, address config.Address, family int, reuse bool) error {
	if family == unix.AF_UNIX {
		return removeStale(address.Path)
	}
	type option struct{ level, name, value int }
	options := []option{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		// Accepted connections inherit it, which saves a call for each.
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	}
	if reuse {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if family == unix.AF_INET6 {
		only := 1
		if c.IPv4Compat {
			only = 0
		}
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only})
	}
	if c.Freebind {
		options = append(options, option{unix.IPPROTO_IP, unix.IP_FREEBIND, 1})
	}
	if c.Transparent {
		options = append(options, option{unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1})
	}
	if k := c.KeepAlive; k != nil {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1})
		for _, o := range [...]option{{value: int(k.Probes), name: unix.TCP_KEEPCNT}, {value: int(k.Time), name: unix.TCP_KEEPIDLE}, {value: int(k.Interval), name: unix.TCP_KEEPINTVL}} {
			if o.value != 0 {
				options = append(options, option{unix.IPPROTO_TCP, o.name, o.value})
			}
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// removeStale takes away the file of a Unix socket that nobody listens on any more; one that answers is somebody's.
func removeStale(path string) error {
	if strings.HasPrefix(path, "@") {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s is there already and is not a socket", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == nil {
		return unix.EADDRINUSE
	}
	return os.Remove(path)
}

// bound is where a socket ended up, which port 0 leaves to the kernel.
func bound(fd int, asked config.Address) config.Address {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return asked
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		asked.AddrPort = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		asked.AddrPort = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return asked
}
