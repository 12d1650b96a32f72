package loop

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/telemetry"
)

// script is a poller whose clock moves when the test says so. Readiness is the kernel's, asked without waiting, so a turn of real
// sockets is a function of what the test did before.
type script struct {
	t       *testing.T
	clock   int64
	watched map[int32]uint32
	alarmed int64
	woken   int
}

func (s *script) wait(events []unix.EpollEvent, block bool) int {
	n := 0
	for fd, interest := range s.watched {
		// The values of poll's events are those of epoll's.
		p := []unix.PollFd{{Fd: fd, Events: int16(interest & 0xffff)}}
		for {
			_, err := unix.Poll(p, 0)
			if err == nil {
				break
			}
			if err != unix.EINTR {
				s.t.Fatal(err)
			}
		}
		if p[0].Revents != 0 {
			events[n] = unix.EpollEvent{Fd: fd, Events: uint32(p[0].Revents)}
			n++
		}
	}
	return n
}

func (s *script) watch(fd int32, interest uint32, known bool) error {
	if _, is := s.watched[fd]; is != known {
		s.t.Errorf("descriptor %d: watched %v, the loop says %v", fd, is, known)
	}
	s.watched[fd] = interest
	return nil
}

func (s *script) forget(fd int32)      { delete(s.watched, fd) }
func (s *script) alarm(t int64)        { s.alarmed = t }
func (s *script) wake()                { s.woken++ }
func (s *script) now() int64           { return s.clock }
func (s *script) close()               {}
func (s *script) pass(d time.Duration) { s.clock += int64(d) }

// scripted is a loop that turns when told.
type scripted struct {
	*Loop
	script *script
	panics []any
}

func newScripted(t *testing.T) *scripted {
	s := &scripted{script: &script{t: t, clock: int64(time.Hour), watched: map[int32]uint32{}}}
	s.Loop = newLoop(0, s.script, telemetry.NewStore(1).Acquire(Stats, "loop.").Loop(0), func(v any, stack []byte) {
		if len(stack) == 0 {
			t.Error("a panic without a stack")
		}
		s.panics = append(s.panics, v)
	})
	t.Cleanup(func() {
		for fd := range s.sources {
			if s.sources[fd] != nil {
				unix.Close(fd)
			}
		}
	})
	return s
}

// once is one turn with what is ready now.
func (s *scripted) once() {
	events := make([]unix.EpollEvent, 64)
	s.turnWith(events[:s.script.wait(events, false)]...)
}

func (s *scripted) turnWith(events ...unix.EpollEvent) {
	s.turn(events)
	for fd := range s.script.watched { // the kernel forgets what is closed
		if s.sources[fd] == nil {
			delete(s.script.watched, fd)
		}
	}
}

// settle turns until nothing is ready any more that the loop would act on.
func (s *scripted) settle() {
	for range 200 {
		s.once()
	}
}

// owner writes down what it hears. take says how much of what is offered it uses; nil: everything.
type owner struct {
	conn   *Conn
	got    []byte
	heard  []string
	take   func(b []byte) int
	onData func()
	onEOF  func()
	onLow  func()
	panics string // at which event
	err    error
}

func (o *owner) hear(what string) {
	o.heard = append(o.heard, what)
	if o.panics == what {
		panic(what)
	}
}

func (o *owner) OnData(b []byte) int {
	n := len(b)
	if o.take != nil {
		n = o.take(b)
	}
	o.got = append(o.got, b[:n]...)
	if o.onData != nil {
		o.onData()
	}
	if o.panics == "data" {
		panic("data")
	}
	return n
}

func (o *owner) OnEOF() {
	o.hear("eof")
	if o.onEOF != nil {
		o.onEOF()
	}
}

func (o *owner) OnConnected() { o.hear("connected") }

func (o *owner) OnLowWater() {
	o.hear("low")
	if o.onLow != nil {
		o.onLow()
	}
}

func (o *owner) OnClosed(err error) {
	o.err = err
	o.hear("closed")
}

func (o *owner) OnPanic(v any) {
	o.heard = append(o.heard, fmt.Sprint("panic ", v))
	o.conn.Close()
}

// peer is the other end of a connection, in the hands of the test.
type peer struct {
	t  *testing.T
	fd int
}

func (p *peer) send(b []byte) int {
	p.t.Helper()
	sent := 0
	for sent < len(b) {
		n, err := unix.SendmsgN(p.fd, b[sent:], nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			p.t.Fatal(err)
		}
		sent += n
	}
	return sent
}

// receive takes all that is there, up to n bytes; eof tells whether the end came.
func (p *peer) receive(n int) (b []byte, eof bool) {
	p.t.Helper()
	buffer := make([]byte, 64<<10)
	for len(b) < n {
		m, _, err := unix.Recvfrom(p.fd, buffer[:min(len(buffer), n-len(b))], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return b, false
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if m == 0 {
			return b, true
		}
		b = append(b, buffer[:m]...)
	}
	return b, false
}

func (p *peer) end()   { unix.Shutdown(p.fd, unix.SHUT_WR) }
func (p *peer) close() { unix.Close(p.fd); p.fd = -1 }

const all = 1 << 30

// pair is a connection on the loop, with a small socket buffer, and its peer.
func (s *scripted) pair(limit int) (*owner, *peer) {
	t := s.script.t
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10)
	}
	return s.join(fds[0], fds[1], limit)
}

// tcpPair is pair over TCP, where there are resets.
func (s *scripted) tcpPair(limit int) (*owner, *peer) {
	t := s.script.t
	t.Helper()
	l, port := listenTCP(t)
	defer unix.Close(l)
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(c, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return s.join(a, c, limit)
}

func listenTCP(t *testing.T) (fd, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	sa, _ := unix.Getsockname(fd)
	return fd, int(addrPort(sa).Port())
}

func (s *scripted) join(ours, theirs, limit int) (*owner, *peer) {
	t := s.script.t
	p := &peer{t, theirs}
	t.Cleanup(func() {
		if p.fd >= 0 {
			unix.Close(p.fd)
		}
	})
	o := &owner{}
	c, err := s.Adopt(&Pending{FD: ours, Remote: netip.AddrPort{}}, limit, o)
	if err != nil {
		t.Fatal(err)
	}
	o.conn = c
	return o, p
}
