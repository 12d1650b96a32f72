package handover

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// between makes both ends of a way that connections go.
func between(t *testing.T) (*Offers, *Arrivals) {
	t.Helper()
	at := name()
	k := &keeper{t: t, offers: make(chan *Offers, 1)}
	place := take(t, at, k)
	t.Cleanup(place.Close)
	s, err := Succeed(at, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := s.Connections(); err == nil {
		t.Error("connections go to somebody who has not taken over")
	}
	s.Close()
	if s, err = Succeed(at, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(); err != nil {
		t.Fatal(err)
	}
	a, err := s.Connections()
	if err != nil {
		t.Fatal(err)
	}
	return <-k.offers, a
}

// sample is a connection with so much on its way, whose descriptors are known by what is in them.
func sample(t *testing.T, up, down int) *Connection {
	c := &Connection{State: []byte(fmt.Sprintf(`{"up":%d,"down":%d}`, up, down)), ToUp: make([]byte, up), ToDown: make([]byte, down)}
	r := rand.NewChaCha8([32]byte{1})
	r.Read(c.ToUp)
	r.Read(c.ToDown)
	for i := range c.FDs {
		fd, err := unix.Eventfd(uint(i+1), unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		c.FDs[i] = fd
	}
	return c
}

// What is offered arrives whole, and both sides say the same of whose it is.
func TestOffers(t *testing.T) {
	o, a := between(t)
	defer o.Free()
	defer a.Close()
	var got []*Connection
	a.Serve(func(c *Connection, claim func() bool) {
		got = append(got, c)
		if len(got)%3 != 0 && !claim() {
			t.Error("nobody listens to a claim")
		}
	})
	sizes := [][2]int{{0, 0}, {1, 0}, {0, 1}, {piece, piece + 1}, {1 << 20, 2 << 20}, {7, 9}}
	for i, size := range sizes {
		gone, err := o.Offer(sample(t, size[0], size[1]))
		if err != nil || gone != ((i+1)%3 != 0) {
			t.Fatalf("offer %d: %v %v", i, gone, err)
		}
	}
	for _, c := range []*Connection{sample(t, mostBytes, 1), {State: make([]byte, mostState+1)}} {
		if gone, err := o.Offer(c); gone || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v %v", gone, err)
		}
	}
	if err := o.Settled(); err != nil {
		t.Fatal(err)
	}
	<-a.Settled()
	if len(got) != len(sizes) {
		t.Fatalf("%d have come", len(got))
	}
	for i, c := range got {
		want := sample(t, sizes[i][0], sizes[i][1])
		if string(c.State) != string(want.State) || !bytes.Equal(c.ToUp, want.ToUp) || !bytes.Equal(c.ToDown, want.ToDown) {
			t.Errorf("offer %d comes as something else", i)
		}
		for k, fd := range c.FDs {
			var b [8]byte
			if n, err := unix.Read(fd, b[:]); n != 8 || int(b[0]) != k+1 {
				t.Errorf("descriptor %d of offer %d: %v", k, i, err)
			}
			unix.Close(fd)
		}
	}
}

// Whenever one of both goes away, or has waited enough, both know the same of the connection that is between them.
func TestOneOwnerAtEachMoment(t *testing.T) {
	outcomes := map[bool]int{}
	for i := range 300 {
		o, a := between(t)
		claimed := make(chan bool, 1)
		a.Serve(func(c *Connection, claim func() bool) {
			closeAll(c.FDs[:])
			claimed <- claim()
		})
		var both sync.WaitGroup
		both.Go(func() {
			for range rand.IntN(200) {
				os.Getppid()
			}
			if i%2 == 0 {
				o.Close() // who gives wants to wait no longer
			} else {
				a.Close() // who takes goes
			}
		})
		gone, err := o.Offer(sample(t, 10, rand.IntN(3*piece)))
		both.Wait()
		if i%2 == 0 {
			a.Close()
		}
		took := false
		select {
		case took = <-claimed:
		default:
		}
		if gone != took {
			t.Fatalf("round %d: the giver says %v (%v), the taker %v", i, gone, err, took)
		}
		outcomes[gone]++
		o.Free()
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("only one outcome was met: %v", outcomes)
	}
}

// A successor that says nothing holds nobody up for longer than an offer's time, and what it says later is in vain.
func TestSilentSuccessor(t *testing.T) {
	o, a := between(t)
	defer o.Free()
	silent, late := make(chan struct{}), make(chan bool, 1)
	a.Serve(func(c *Connection, claim func() bool) {
		closeAll(c.FDs[:])
		<-silent
		late <- claim()
	})
	began := time.Now()
	gone, err := o.Offer(sample(t, 0, 0))
	if took := time.Since(began); gone || err == nil || took < offerTime-time.Second || took > offerTime+deadline {
		t.Errorf("%v %v after %v", gone, err, took)
	}
	close(silent)
	if <-late {
		t.Error("a claim is heard that comes too late")
	}
	a.Close()
	if gone, err := o.Offer(sample(t, 0, 0)); gone || err == nil {
		t.Error("offered all the same")
	}
}

const deadline = 10 * time.Second

// A process whose successor has died waits for another one, and hands the place over again.
func TestAbandoned(t *testing.T) {
	at, k := name(), &keeper{t: t, sockets: 2, offers: make(chan *Offers, 1)}
	defer take(t, at, k).Close()
	for round := int32(1); round <= 2; round++ {
		s, err := Succeed(at, 1)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Sockets()
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		for _, got := range list {
			unix.Close(got.FD)
		}
		if err := s.Drain(); err != nil {
			t.Fatal(err)
		}
		s.Place().Close()
		s.Close()
		for k.abandoned.Load() != round {
			if self, err := Ask(at); err != nil || self.Epoch != 0 { // answered when the conversation before is over
				t.Fatal(self, err)
			}
		}
	}
	if k.ended.Load() != 0 {
		t.Error("it has ended")
	}
}
