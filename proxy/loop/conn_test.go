package loop

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
)

func heard(t *testing.T, o *owner, want string) {
	t.Helper()
	if got := strings.Join(o.heard, " "); got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestKeptBytesComeAgain(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(1 << 20)
	var offers []string
	o.take = func(b []byte) int {
		offers = append(offers, string(b))
		return len(b) / 4 * 4 // in fours
	}
	p.send([]byte("abcdef"))
	s.once()
	s.once()
	p.send([]byte("gh"))
	s.once()
	p.send([]byte("ij"))
	s.once()
	o.conn.Again()
	s.once()
	if got, want := strings.Join(offers, " "), "abcdef efgh ij ij"; got != want || !o.conn.Kept() {
		t.Errorf("offered %q, want %q; kept %v", got, want, o.conn.Kept())
	}
	if string(o.got) != "abcdefgh" || o.conn.Received() != 10 {
		t.Errorf("got %q, received %d", o.got, o.conn.Received())
	}
}

func TestPauseAndResume(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(1 << 20)
	o.take = func(b []byte) int {
		if len(o.got) == 0 {
			o.conn.Pause()
			return 1
		}
		return len(b)
	}
	p.send([]byte("abc"))
	s.once()
	p.send([]byte("def"))
	s.settle()
	if string(o.got) != "a" {
		t.Fatalf("got %q while paused", o.got)
	}
	o.conn.Resume()
	if string(o.got) != "a" {
		t.Error("bytes came from within Resume")
	}
	s.once()
	s.once()
	if string(o.got) != "abcdef" || o.conn.Kept() {
		t.Errorf("got %q", o.got)
	}
	o.conn.Pause()
	if n := p.send(make([]byte, 4<<20)); n == 4<<20 {
		t.Error("the peer does not feel the pause")
	}
	s.settle()
	if len(o.got) != 6 {
		t.Errorf("%d bytes came while paused", len(o.got)-6)
	}
}

func TestEOFWhilePaused(t *testing.T) {
	for _, seen := range []bool{false, true} { // whether the end was read before the pause
		s := newScripted(t)
		o, p := s.pair(1 << 20)
		if seen {
			o.take = func(b []byte) int { return 0 }
			p.send([]byte("abc"))
			s.once()
			o.conn.owner.(*owner).onEOF = func() {}
			o.take = nil
		} else {
			p.send([]byte("abc"))
		}
		o.conn.Pause()
		p.end()
		s.settle()
		heard(t, o, "")
		if len(o.got) != 0 {
			t.Errorf("got %q while paused", o.got)
		}
		o.conn.Resume()
		s.settle()
		heard(t, o, "eof")
		if string(o.got) != "abc" || o.conn.Closed() || !o.conn.PeerDone() {
			t.Errorf("got %q, closed %v", o.got, o.conn.Closed())
		}
	}
}

func TestEOFAfterKeptBytes(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(1 << 20)
	o.take = func(b []byte) int { o.conn.Pause(); return 0 }
	p.send([]byte("abc"))
	s.once()
	o.conn.Resume()
	o.take = func(b []byte) int { o.conn.Pause(); return 1 }
	p.end()
	s.settle()
	heard(t, o, "")
	o.take = nil
	o.conn.Resume()
	s.settle()
	heard(t, o, "eof")
	if string(o.got) != "abc" {
		t.Errorf("got %q", o.got)
	}
}

func TestHalfClose(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(1 << 20)
	o.conn.Write([]byte("bye"))
	o.conn.CloseWrite()
	o.conn.Write([]byte("too late"))
	s.settle()
	if b, eof := p.receive(all); string(b) != "bye" || !eof {
		t.Errorf("the peer got %q, end %v", b, eof)
	}
	p.send([]byte("still here"))
	s.settle()
	if string(o.got) != "still here" || o.conn.Closed() {
		t.Errorf("got %q after our end", o.got)
	}
	p.end()
	s.settle()
	heard(t, o, "eof")

	o, p = s.pair(1 << 20) // the other way round
	p.end()
	s.settle()
	heard(t, o, "eof")
	big := bytes.Repeat([]byte("x"), 300<<10)
	o.conn.Write(big)
	o.conn.CloseWrite()
	var got []byte
	for eof := false; !eof && len(got) < all; {
		s.once()
		var b []byte
		b, eof = p.receive(all)
		got = append(got, b...)
	}
	if !bytes.Equal(got, big) {
		t.Errorf("the peer got %d bytes of %d", len(got), len(big))
	}
}

func TestCloseFlushed(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 300<<10)
	drain := func(s *scripted, p *peer) (n int, eof bool) {
		for range 1000 {
			s.once()
			b, end := p.receive(all)
			if n += len(b); end {
				return n, true
			}
		}
		return n, false
	}
	t.Run("peer ends", func(t *testing.T) {
		s := newScripted(t)
		o, p := s.pair(1 << 20)
		o.conn.Write(big)
		o.conn.CloseFlushed(time.Second)
		p.send([]byte("nobody reads this"))
		if n, eof := drain(s, p); n != len(big) || !eof {
			t.Errorf("%d bytes, end %v", n, eof)
		}
		heard(t, o, "")
		p.end()
		s.settle()
		heard(t, o, "closed")
		if o.err != nil || len(o.got) != 0 {
			t.Errorf("%v, got %q", o.err, o.got)
		}
	})
	t.Run("peer had ended", func(t *testing.T) {
		s := newScripted(t)
		o, p := s.pair(1 << 20)
		p.end()
		s.settle()
		o.conn.Write([]byte("x"))
		o.conn.CloseFlushed(time.Second)
		s.once()
		heard(t, o, "eof closed")
		if n, eof := drain(s, p); n != 1 || !eof || o.err != nil {
			t.Errorf("%d bytes, end %v, %v", n, eof, o.err)
		}
	})
	t.Run("peer ends before it has everything", func(t *testing.T) {
		s := newScripted(t)
		o, p := s.pair(1 << 20)
		o.conn.Write(big)
		o.conn.CloseFlushed(time.Second)
		p.end()
		s.settle()
		if n, eof := drain(s, p); n != len(big) || !eof {
			t.Errorf("%d bytes of %d, end %v", n, len(big), eof)
		}
		heard(t, o, "closed")
		if o.err != nil {
			t.Error(o.err)
		}
	})
	t.Run("peer does nothing", func(t *testing.T) {
		for _, out := range [][]byte{nil, big} {
			s := newScripted(t)
			o, _ := s.pair(1 << 20)
			o.conn.Write(out)
			o.conn.CloseFlushed(time.Second)
			s.script.pass(time.Second - 2*time.Millisecond)
			s.settle()
			heard(t, o, "")
			s.script.pass(3 * time.Millisecond)
			s.once()
			heard(t, o, "closed")
			if !errors.Is(o.err, ErrLinger) {
				t.Error(o.err)
			}
		}
	})
	t.Run("paused", func(t *testing.T) {
		s := newScripted(t)
		o, p := s.pair(1 << 20)
		o.conn.Pause()
		p.send([]byte("abc"))
		o.conn.CloseFlushed(time.Second)
		p.close()
		s.settle()
		heard(t, o, "closed")
	})
}

func TestWatermark(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(64 << 10)
	o.conn.Write(make([]byte, 500<<10))
	if !o.conn.Over() || o.conn.Unsent() == 500<<10 || o.conn.Unsent() == 0 {
		t.Fatalf("over %v, unsent %d", o.conn.Over(), o.conn.Unsent())
	}
	for range 1000 {
		s.once()
		if low := o.conn.Unsent() <= 32<<10; low == o.conn.Over() || low != (len(o.heard) == 1) {
			t.Fatalf("unsent %d, over %v, heard %v", o.conn.Unsent(), o.conn.Over(), o.heard)
		}
		p.receive(8 << 10)
	}
	heard(t, o, "low")
	if o.conn.Unsent() != 0 || o.conn.Sent() != 500<<10 {
		t.Errorf("unsent %d, sent %d", o.conn.Unsent(), o.conn.Sent())
	}
}

// Bytes arrive in the order of writing, however the pieces fall: small and large, with the kernel full or not, by Buffer or by Write.
func TestOrderOfWrites(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(1 << 30)
	var want, got []byte
	next := byte(0)
	piece := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = next
			next = next*5 + 1
		}
		want = append(want, b...)
		return b
	}
	for i, n := range []int{1, 9000, 10, 100, 20000, 3, 8192, 8191, 60000, 1, 1, 50000, 7} {
		if i%3 == 2 {
			o.conn.Commit(append(o.conn.Buffer(n), piece(n)...))
		} else {
			o.conn.Write(piece(n))
		}
		if i%4 == 3 {
			s.once()
			b, _ := p.receive(30000)
			got = append(got, b...)
		}
		if i%5 == 4 {
			o.conn.Flush()
		}
	}
	for range 100 {
		s.once()
		b, _ := p.receive(all)
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, in order: %v", len(got), len(want), bytes.HasPrefix(want, got))
	}
}

// A peer that takes bytes as fast as they come, never all of them: what is sent must not stay in memory.
func TestSteadyStreamIsBounded(t *testing.T) {
	s := newScripted(t)
	o, p := s.pair(64 << 10)
	most := 0
	for range 2000 {
		for o.conn.Unsent() < 40<<10 {
			o.conn.Write(make([]byte, 4<<10))
		}
		s.once()
		p.receive(6 << 10)
		most = max(most, cap(o.conn.out))
	}
	if o.conn.Sent() < 4<<20 || most > 256<<10 {
		t.Errorf("the buffer grew to %d bytes for %d unsent while %d were sent", most, o.conn.Unsent(), o.conn.Sent())
	}
}

// What a peer said before it stopped listening is still heard, then the error, not an orderly end.
func TestErrorOnWriteWhileDataIsReadable(t *testing.T) {
	s := newScripted(t)
	o, p := s.tcpPair(1 << 20)
	o.conn.Write([]byte("never read"))
	s.once()
	p.send([]byte("early answer"))
	// With bytes unread, close resets.
	p.close()
	o.conn.Pause()
	o.conn.Write(make([]byte, 100<<10))
	o.conn.Write(make([]byte, 100<<10))
	o.conn.Flush()
	if o.conn.state&ioFailed == 0 {
		t.Fatal("sending to a peer that is gone did not fail")
	}
	if o.conn.Closed() || len(o.heard) != 0 {
		t.Fatalf("told too early: %v", o.heard)
	}
	o.conn.Resume()
	s.settle()
	if string(o.got) != "early answer" {
		t.Errorf("got %q", o.got)
	}
	heard(t, o, "closed")
	if !errors.Is(o.err, ErrReset) {
		t.Errorf("the cause is %v", o.err)
	}
}

// A peer that has ended and then goes away cannot be heard of by reading any more.
func TestErrorOnWriteAfterEOF(t *testing.T) {
	s := newScripted(t)
	o, p := s.tcpPair(1 << 20)
	o.conn.Write([]byte("never read"))
	s.once()
	p.end()
	s.settle()
	heard(t, o, "eof")
	p.close()
	o.conn.Write(make([]byte, 100<<10))
	s.settle()
	heard(t, o, "eof closed")
	if o.err == nil {
		t.Error("no cause")
	}
}

func TestReset(t *testing.T) {
	s := newScripted(t)
	o, p := s.tcpPair(1 << 20)
	unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	p.close()
	if !o.conn.PeerGone() {
		t.Error("PeerGone does not see the reset")
	}
	s.settle()
	heard(t, o, "closed")
	o, p = s.tcpPair(1 << 20)
	if o.conn.PeerGone() {
		t.Error("PeerGone sees what is not there")
	}
	o.conn.Reset()
	s.once()
	if _, _, err := unix.Recvfrom(p.fd, make([]byte, 1), 0); err != unix.ECONNRESET {
		t.Errorf("the peer sees %v", err)
	}
}

// An event that was meant for a descriptor closed earlier in the turn reaches nobody, also not who would have got its number.
func TestEventForClosedDescriptor(t *testing.T) {
	s := newScripted(t)
	first, p1 := s.pair(1 << 20)
	second, p2 := s.pair(1 << 20)
	p1.send([]byte("a"))
	p2.send([]byte("b"))
	number := second.conn.fd
	var newcomer *owner
	first.onData = func() {
		second.conn.Close()
		newcomer, _ = s.pair(1 << 20)
		if newcomer.conn.fd == number {
			t.Error("the number was used again within the turn")
		}
	}
	s.turnWith(unix.EpollEvent{Fd: first.conn.fd, Events: unix.EPOLLIN}, unix.EpollEvent{Fd: number, Events: unix.EPOLLIN},
		unix.EpollEvent{Fd: 100000, Events: unix.EPOLLIN})
	heard(t, second, "closed")
	if len(second.got)+len(newcomer.got)+len(newcomer.heard) != 0 {
		t.Errorf("heard: %q, %q %v", second.got, newcomer.got, newcomer.heard)
	}
	if err := unix.SetNonblock(int(number), true); err != unix.EBADF {
		t.Errorf("the descriptor is not closed at the end of the turn: %v", err)
	}
}

func TestPanics(t *testing.T) {
	for _, at := range []string{"data", "eof", "low", "closed"} {
		s := newScripted(t)
		o, p := s.pair(1 << 10)
		bystander, q := s.pair(1 << 20)
		o.panics = at
		q.send([]byte("fine"))
		switch at {
		case "data":
			p.send([]byte("x"))
		case "eof":
			p.end()
		case "low":
			o.conn.Write(make([]byte, 2<<10))
		case "closed":
			p.close()
			o.onEOF = o.conn.Close
		}
		s.settle()
		if len(s.panics) != 1 || s.panics[0] != at {
			t.Errorf("%s: panics %v", at, s.panics)
		}
		if told := strings.Contains(strings.Join(o.heard, " "), "panic "+at); told == (at == "closed") || !o.conn.Closed() {
			t.Errorf("%s: heard %v, closed %v", at, o.heard, o.conn.Closed())
		}
		if string(bystander.got) != "fine" || bystander.conn.Closed() {
			t.Errorf("%s: the other connection got %q", at, bystander.got)
		}
	}
}

type bomb struct {
	rang   *[]string
	panics bool
	worse  bool
}

func (b *bomb) Expired(*Timer) {
	*b.rang = append(*b.rang, "rang")
	if b.panics {
		panic("timer")
	}
}

func (b *bomb) OnPanic(any) {
	*b.rang = append(*b.rang, "told")
	if b.worse {
		panic("again")
	}
}

// The other timers of a tick ring in that tick, though one panics, and though its owner panics once more.
func TestPanicInTimer(t *testing.T) {
	s := newScripted(t)
	var rang []string
	var timers [3]Timer
	for i := range timers {
		s.SetTimer(&timers[i], time.Second, &bomb{&rang, i < 2, i == 1})
	}
	ran := false
	s.Post(func() { panic("posted") })
	s.Post(func() { ran = true })
	s.script.pass(time.Second + time.Millisecond)
	s.once()
	if got := strings.Join(rang, " "); got != "rang told rang told rang" || !ran {
		t.Errorf("%q, the second posted function ran: %v", got, ran)
	}
	if len(s.panics) != 4 { // two timers, one owner, one posted function
		t.Errorf("panics: %v", s.panics)
	}
}

func TestDial(t *testing.T) {
	fd, port := listenTCP(t)
	address := config.Address{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))}
	dial := func(s *scripted) *owner {
		o := &owner{}
		c, err := s.Dial(address, 1<<20, &config.TCPKeepAlive{Time: 30}, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		o.conn = c
		return o
	}
	accept := func() *peer {
		a, _, err := unix.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(a) })
		return &peer{t, a}
	}
	s := newScripted(t)

	o := dial(s)
	o.conn.Write([]byte("before it stands"))
	heard(t, o, "")
	p := accept()
	s.once()
	heard(t, o, "connected")
	if b, _ := p.receive(all); string(b) != "before it stands" {
		t.Errorf("the peer got %q in the first turn", b)
	}
	if o.conn.Remote() != address.AddrPort || !o.conn.Local().IsValid() {
		t.Errorf("remote %v, local %v", o.conn.Remote(), o.conn.Local())
	}

	o = dial(s)
	o.conn.CloseWrite()
	p = accept()
	s.settle()
	if _, eof := p.receive(all); !eof {
		t.Error("our end, given before the connection stood, was never sent")
	}
	heard(t, o, "connected")

	o = dial(s)
	o.conn.Write([]byte("x"))
	o.conn.CloseFlushed(time.Second)
	p = accept()
	s.settle()
	if b, eof := p.receive(all); string(b) != "x" || !eof {
		t.Errorf("the peer got %q, end %v", b, eof)
	}
	p.end()
	s.settle()
	heard(t, o, "closed")

	unix.Close(fd)
	o = dial(s)
	s.settle()
	heard(t, o, "closed")
	if !errors.Is(o.err, unix.ECONNREFUSED) {
		t.Error(o.err)
	}
}

// Our side of a connection is as it is configured to be, or there is no connection.
func TestDialBinds(t *testing.T) {
	_, port := listenTCP(t)
	s := newScripted(t)
	to := func(ip string) config.Address {
		return config.Address{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port))}
	}
	source := func(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 0) }
	c, err := s.Dial(to("127.0.0.1"), 1<<20, nil, &config.Binding{Source: source("127.0.0.9"), Freebind: true,
		Options: []config.SocketOption{{Level: unix.SOL_SOCKET, Name: unix.SO_PRIORITY, Value: 3}}}, &owner{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Local().Addr().String(); got != "127.0.0.9" {
		t.Errorf("from %s", got)
	}
	if v, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_PRIORITY); v != 3 {
		t.Errorf("priority %d, %v", v, err)
	}
	for name, b := range map[string]*config.Binding{
		"an address of somebody else": {Source: source("192.0.2.1")},
		"another family":              {Source: source("::1")},
		"an option that is none":      {Options: []config.SocketOption{{Level: unix.SOL_SOCKET, Name: 9999}}},
	} {
		if _, err := s.Dial(to("127.0.0.1"), 1<<20, nil, b, &owner{}); err == nil {
			t.Errorf("%s: a connection all the same", name)
		}
	}
}

// A hundred thousand idle connections are a hundred thousand of these: to let one grow is a decision.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > connSize {
		t.Errorf("a connection takes %d bytes, not %d", n, connSize)
	}
}

// The allocator has no class between 192 and this.
const connSize = 208
