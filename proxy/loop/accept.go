package loop

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Acceptor takes connections from a listening socket.
type Acceptor struct {
	loop   *Loop
	fd     int32
	port   uint16 // of the socket; 0: it has none
	accept func(*Pending)
	paused func() // is told each time that accepting stops because no descriptors are left
	retry  Timer
	off    bool
}

// Pending is a connection that has been accepted and has no owner yet.
type Pending struct {
	FD      int
	Remote  netip.AddrPort
	Gate    Gate
	Arrival *Arrival // nil: nothing but the above is known
	Conn    *Conn    // nil until somebody wanted to see its first bytes; then FD is its own
	place   *Limit   // that the connection has a place of; nil: of none
	port    uint16   // of the socket that it was accepted from; 0: it has none, or is not known any more
}

// Arrival is what was learned of a connection before it got its owner.
type Arrival struct {
	Accepted     int64          // when it came, on the loop's clock; 0: just now
	Local        netip.AddrPort // our side of the socket
	Source       netip.AddrPort // whom a proxy says that it is from; not valid: the peer of the socket
	Destination  netip.AddrPort // where it was going before it was redirected to us; not valid: nowhere else
	ServerName   string         // that a TLS client asked for, in lower case
	Transport    string         // "tls", or empty
	Applications []string       // protocols that the client offers, or begins with
	Origin       *Origin        // whom connections to endpoints for it seem to come from; nil: this host
}

// Gate is what a connection came in by. It hears when the connection has gone, after how long, or that it goes on in another process.
type Gate interface {
	Left(age time.Duration)
	Moved()
}

// Listen takes connections from the listening socket fd, which it owns from now on; accept is called for each, and paused whenever
// accepting stops for a while because no descriptors are left.
func (l *Loop) Listen(fd int, accept func(*Pending), paused func()) (*Acceptor, error) {
	a := &Acceptor{loop: l, fd: int32(fd), accept: accept, paused: paused}
	if sa, err := unix.Getsockname(fd); err == nil {
		a.port = addrPort(sa).Port()
	}
	// Exclusive: where loops share one socket (Unix ones cannot have a socket each), a newcomer wakes one of them.
	if err := l.attach(a.fd, a, unix.EPOLLIN|unix.EPOLLEXCLUSIVE); err != nil {
		return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	return a, nil
}

// perTurn bounds how many connections one turn takes, so that a flood of newcomers leaves room for those who are there.
const perTurn = 64

func (a *Acceptor) ready(uint32) { a.take() }

// take takes connections and says how many: fewer than perTurn if there are no more.
func (a *Acceptor) take() int {
	p := Pending{port: a.port}
	for i := range perTurn {
		var raw unix.RawSockaddrAny
		size := uint32(unix.SizeofSockaddrAny)
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(a.fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			a.pause()
			return i
		case unix.ECONNABORTED, unix.EINTR, unix.EPROTO:
			continue
		default: // EAGAIN, or the socket is being closed
			return i
		}
		p.FD, p.Remote, p.place = int(fd), rawAddrPort(&raw), nil
		a.accept(&p)
		if a.off {
			return i
		}
	}
	return perTurn
}

// pause leaves newcomers in the kernel's queue for a while: the socket stays readable, so epoll would wake us in vain for as long
// as no descriptor is to be had.
func (a *Acceptor) pause() {
	a.paused()
	a.off = true
	a.loop.poll.forget(a.fd)
	a.loop.SetTimer(&a.retry, 100*time.Millisecond, a)
}

// Expired tries again after a pause.
func (a *Acceptor) Expired(*Timer) {
	a.off = false
	a.loop.poll.watch(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, false)
}

// OnPanic leaves the acceptor as it was: the one connection that was being set up is lost.
func (a *Acceptor) OnPanic(any) {}

// lastTurns bounds how often Close looks for who has come: nobody comes for ever.
const lastTurns = 64

// Close stops accepting and closes this loop's descriptor of the socket. Who waits in the kernel's queue comes in before: with the socket his connection would be reset, which stands as far as he knows. Where nobody else has the
// socket it is to be Shut before that.
func (a *Acceptor) Close() {
	if !a.off {
		// Other loops may hold the same socket by descriptors of their own: then to close ours does not take it out of epoll.
		a.loop.poll.forget(a.fd)
	}
	for range lastTurns {
		if a.off || a.take() < perTurn {
			break
		}
	}
	if !a.off {
		// It goes at once, and not at the end of the turn: who comes meanwhile would be lost. The number is in use until the turn is over, by something that tells nothing.
		if nothing, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
			unix.Dup3(nothing, int(a.fd), unix.O_CLOEXEC)
			unix.Close(nothing)
		}
	}
	a.loop.StopTimer(&a.retry)
	a.off = true
	a.loop.release(a.fd)
}

// Shut has a listening socket of TCP not hear of who wants to come, as if his packet (SYN without ACK) had been lost: he sends it again a second later, when the socket is gone, and is told so. Those whose packet it has heard of go on to come.
// It says whether it has done so: no other socket can.
func (a *Acceptor) Shut() bool {
	program := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags (RFC 9293, 3.1): what a filter of such a socket sees begins with the header of TCP
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: 0x02},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	if domain, err := unix.GetsockoptInt(int(a.fd), unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_INET && domain != unix.AF_INET6 {
		return false
	}
	// Where the kernel has none of it, a microsecond is left in which somebody may be lost.
	return unix.SetsockoptSockFprog(int(a.fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}) == nil
}

// Adopt makes a connection of an accepted one. If it is one already, it changes its owner, who is offered what was read before.
func (l *Loop) Adopt(p *Pending, limit int, o Owner) (*Conn, error) {
	if c := p.Conn; c != nil {
		c.owner, c.limit, c.arrival = o, uint32(limit), p.Arrival
		c.Again()
		return c, nil
	}
	c, err := l.adopt(p.FD, p.Remote, limit, o, 0, unix.EPOLLIN|unix.EPOLLRDHUP)
	if err == nil {
		c.arrival, c.placed = p.Arrival, p.place != nil
	}
	return c, err
}

// Local is our own address of an accepted connection, asked of the kernel; not valid for a Unix socket.
func (p *Pending) Local() netip.AddrPort {
	sa, err := unix.Getsockname(p.FD)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// OriginalDestination is where a connection was going before the kernel redirected it to us. A transparent socket takes connections to
// anywhere as they are, and one that a program has chosen (sk_lookup) those to other ports than its own; of those it is where they came in. Not valid: the
// connection came straight to us. Whoever would carry such a one to its destination would connect to himself, again and again.
func (p *Pending) OriginalDestination() netip.AddrPort {
	local := p.Local()
	if d := redirectedFrom(p.FD); d.IsValid() && d != local {
		return d
	}
	if p.port != 0 && local.Port() != p.port {
		return local
	}
	for _, o := range [...]struct{ level, name int }{{unix.IPPROTO_IP, unix.IP_TRANSPARENT}, {unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT}} {
		if on, err := unix.GetsockoptInt(p.FD, o.level, o.name); err == nil && on != 0 {
			return local
		}
	}
	return netip.AddrPort{}
}

// redirectedFrom asks the kernel's translation of addresses, which knows connections that it did not touch, too.
func redirectedFrom(fd int) netip.AddrPort {
	if raw, err := unix.GetsockoptIPv6Mreq(fd, unix.IPPROTO_IP, soOriginalDst); err == nil {
		// What is asked for is a sockaddr_in, which this has room for: family, port, address.
		b := &raw.Multiaddr
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
	}
	if info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.IPPROTO_IPV6, soOriginalDst); err == nil {
		// A sockaddr_in6, with room to spare.
		return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr).Unmap(), ntohs(&info.Addr.Port))
	}
	return netip.AddrPort{}
}

// soOriginalDst is SO_ORIGINAL_DST of the kernel's IPv4 and IPv6 packet filters.
const soOriginalDst = 80

// Refuse closes an accepted connection that nobody wants.
func (p *Pending) Refuse() {
	if p.Conn != nil {
		p.Conn.Own(gone{})
		p.Conn.Close()
		return
	}
	unix.Close(p.FD)
	if p.place != nil {
		p.place.n.Add(-1)
		p.place = nil
	}
}

func rawAddrPort(raw *unix.RawSockaddrAny) netip.AddrPort {
	switch raw.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), ntohs(&in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), ntohs(&in.Port))
	}
	return netip.AddrPort{}
}

func ntohs(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}
