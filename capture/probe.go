package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probePause is between two connections of a probe.
const probePause = 100 * time.Millisecond

// Probe sends connections through what is captured, in place of the proxy, which must not run yet: from 127.0.0.1 to ProbePort of 127.0.0.6, which is
// this host and is captured as if it were any other. It is an error if none comes to a port of the proxy within ProbeWait. What programs say to each other
// over loopback is not captured; so it is done as the proxy's user, by root or by that user;
// the goroutine that calls it stays that user's, and should end.
func Probe(o Options) error {
	user := os.Geteuid()
	if user != 0 && !slices.Contains(o.ProxyUIDs, uint32(user)) {
		return fmt.Errorf("probe: it runs as user %d: run it as the proxy's (%s), or as root", user, join(o.ProxyUIDs, ","))
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.ProbeWait)
	defer cancel()
	from, to := netip.MustParseAddr("127.0.0.1"), inboundSource4.Addr()
	came := make(chan uint16, 16)
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	lc.SetMultipathTCP(false) // programs hand connections to sockets of one path
	for _, port := range []uint16{o.ProxyPort, o.InboundPort} {
		l, err := lc.Listen(ctx, "tcp4", netip.AddrPortFrom(from, port).String())
		if err != nil {
			return fmt.Errorf("probe: %w: the probe takes the place of the proxy, which must not run yet", err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if port, err := originalPort(conn.(*net.TCPConn)); err == nil {
					select {
					case came <- port:
					default:
					}
				}
				conn.Close()
			}
		}()
	}
	runtime.LockOSThread() // and not unlocked: it is the thread that becomes another user
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(o.ProxyUIDs[0]), 0, 0)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	for {
		if conn, err := d.DialContext(ctx, "tcp4", netip.AddrPortFrom(to, o.ProbePort).String()); err == nil {
			conn.Close()
		}
		select {
		case port := <-came:
			if port == o.ProbePort {
				return nil
			}
		case <-ctx.Done():
			return errors.New("probe: a connection that should be captured did not come to the proxy's ports within " + o.ProbeWait.String() +
				": nothing is captured here; where a CNI plugin captures, the pod may have started before the plugin: delete the pod, so that it is made anew")
		case <-time.After(probePause):
		}
	}
}

// originalPort is where a connection was going before it was redirected.
func originalPort(c *net.TCPConn) (port uint16, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	raw.Control(func(fd uintptr) {
		// The kernel answers with a sockaddr_in; this call of the library has room for one, and its port is in the bytes 2 and 3.
		var m *unix.IPv6Mreq
		if m, err = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, unix.SO_ORIGINAL_DST); err == nil {
			port = uint16(m.Multiaddr[2])<<8 | uint16(m.Multiaddr[3])
		} else if own, is := c.LocalAddr().(*net.TCPAddr); is { // by programs, what comes in keeps both its addresses
			port, err = uint16(own.Port), nil
		}
	})
	return port, err
}
