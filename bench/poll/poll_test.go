package poll

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newSet(t *testing.T) *Set {
	t.Helper()
	s, err := NewSet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// await waits until the token is ready for what is wanted.
func await(t *testing.T, s *Set, token int32, ready uint32) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		events, err := s.Wait(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			if ev.Token == token && ev.Ready&ready != 0 {
				return
			}
		}
	}
	t.Fatalf("token %d never ready for %#x", token, ready)
}

// pair connects two sockets through a listener of ours.
func pair(t *testing.T, s *Set) (dialled, accepted int) {
	t.Helper()
	listener, port, err := Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(listener)
	if err := s.Add(listener, In, 1); err != nil {
		t.Fatal(err)
	}
	if dialled, err = Dial(netip.Addr{}, port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(dialled) })
	await(t, s, 1, In)
	if accepted, err = Accept(listener); err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(listener); err != unix.EAGAIN {
		t.Errorf("a second connection: %v, want EAGAIN", err)
	}
	if err := Settled(dialled); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

func TestBytesGoThrough(t *testing.T) {
	s := newSet(t)
	a, b := pair(t, s)
	defer Close(b)
	if err := s.Add(b, In, 2); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, errno := Recv(b, buf); n != 0 || errno != unix.EAGAIN {
		t.Errorf("before anything was sent: %d bytes, %v; want EAGAIN", n, errno)
	}
	if n, errno := Send(a, []byte("hello")); n != 5 || errno != 0 {
		t.Fatalf("sent %d bytes, %v", n, errno)
	}
	await(t, s, 2, In)
	if n, errno := Recv(b, buf); string(buf[:n]) != "hello" || errno != 0 {
		t.Errorf("received %q, %v", buf[:n], errno)
	}
	// Level-triggered: what is not read is announced again.
	Send(a, []byte("xy"))
	await(t, s, 2, In)
	await(t, s, 2, In)
	if err := s.Change(b, Out, 3); err != nil {
		t.Fatal(err)
	}
	await(t, s, 3, Out)
}

func TestPeerThatIsGone(t *testing.T) {
	s := newSet(t)
	a, b := pair(t, s)
	if err := s.Add(a, In, 2); err != nil {
		t.Fatal(err)
	}
	Close(b)
	await(t, s, 2, In)
	if n, errno := Recv(a, make([]byte, 1)); n != 0 || errno != 0 {
		t.Errorf("at the end: %d bytes, %v; want none and no error", n, errno)
	}
	// The first write makes the peer's kernel send a reset; after that, an error and no signal.
	Send(a, []byte("x"))
	await(t, s, 2, Broken)
	if _, errno := Send(a, []byte("x")); errno != unix.EPIPE && errno != unix.ECONNRESET {
		t.Errorf("writing to nobody: %v", errno)
	}
}

func TestNobodyListens(t *testing.T) {
	s := newSet(t)
	listener, port, err := Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	Close(listener)
	fd, err := Dial(netip.Addr{}, port)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	if err := s.Add(fd, Out, 4); err != nil {
		t.Fatal(err)
	}
	await(t, s, 4, Out)
	if err := Settled(fd); err != unix.ECONNREFUSED {
		t.Errorf("%v, want ECONNREFUSED", err)
	}
}

func TestWaitEnds(t *testing.T) {
	s := newSet(t)
	for _, limit := range []time.Duration{0, 50 * time.Microsecond, 2 * time.Millisecond} {
		began := time.Now()
		events, err := s.Wait(limit)
		if len(events) != 0 || err != nil {
			t.Fatalf("%d events, %v", len(events), err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a wait of %v took %v", limit, took)
		}
	}
}
