package http2

import "testing"

// Who reads what it asks for is not accused, however much it asks for; who does not is, within half as much again as the limit.
func TestBacklog(t *testing.T) {
	for _, c := range []struct {
		name      string
		in        func(i uint32) []byte
		unread    int
		code      Code
		flood     func(*Counts) uint32
		least     int
		mostReads int
	}{
		{"PING", func(uint32) []byte { return frame(framePing, 0, 0, make([]byte, 8)) }, 1500, ControlFlood, func(c *Counts) uint32 { return c.ControlFlood }, 1000, 5000},
		{"SETTINGS", func(uint32) []byte { return setting() }, 1500, ControlFlood, func(c *Counts) uint32 { return c.ControlFlood }, 1000, 5000},
		{"answers", func(i uint32) []byte { return headers(2*i+1, endBoth, get()) }, 7500, OutboundFlood, func(c *Counts) uint32 { return c.OutboundFlood }, 5000, 30000},
	} {
		start := func() *side {
			s := newSide(t, Options{Server: true})
			s.onHead = func(r *reader, end bool) {
				r.s.ResponseHead(response(200), false)
				r.s.Data([]byte("x"), true)
			}
			if _, err := s.c.Feed(append([]byte(preface), setting()...)); err != nil {
				t.Fatal(err)
			}
			s.sent()
			return s
		}
		s := start()
		for i := range c.mostReads {
			if _, err := s.c.Feed(c.in(uint32(i))); err != nil {
				t.Fatalf("%s: %v after %d that were read", c.name, err, i)
			}
			if i%300 == 299 {
				s.sent()
			}
		}
		s = start()
		n := 0
		var err error
		for ; err == nil && n < c.mostReads; n++ {
			_, err = s.c.Feed(c.in(uint32(n)))
		}
		if err != error(c.code.err()) || n < c.least || n > c.unread+2 || c.flood(&s.c.counts) != 1 {
			t.Errorf("%s: %v after %d that were not read, %+v", c.name, err, n, s.c.counts)
		}
	}
}

// Row 4: however long a block goes on, what is held of it is no more than a head may have.
func TestContinuationMemory(t *testing.T) {
	s := newSide(t, Options{Server: true})
	in := append(append([]byte(preface), setting()...), headers(1, 0, get())...)
	if _, err := s.c.Feed(in); err != nil {
		t.Fatal(err)
	}
	more := frame(frameContinuation, 0, 1, block("a", "b", "c", "d"))
	most, frames := 0, 0
	for {
		_, err := s.c.Feed(more)
		if most = max(most, cap(s.c.block)); err != nil {
			break
		}
		frames++
	}
	if most > 2*DefaultMaxHeadBytes || frames > wireFactor*DefaultMaxHeadBytes/8 || s.c.block != nil || s.c.counts.HeaderOverflow != 1 {
		t.Errorf("%d bytes held after %d frames, %+v", most, frames, s.c.counts)
	}
}

// Streams that are over are used again by another connection of the loop, and the list of them is bounded.
func TestSpares(t *testing.T) {
	var spares Spares
	pair := func() *pair {
		p := newPair(t, Options{}, Options{})
		p.client.c.UseSpares(&spares)
		p.server.c.UseSpares(&spares)
		p.server.onHead = func(r *reader, end bool) {
			r.s.ResponseHead(response(200), false)
			r.s.Data(make([]byte, 100000), true)
		}
		return p
	}
	p := pair()
	for range 400 {
		p.client.open().s.RequestHead(request("GET", "http", "a", "/"), true)
		if p.client.c.Slots() == 0 {
			p.run(nil)
		}
	}
	p.run(nil)
	p.settled(t)
	if n := len(spares.list); n == 0 || n > maxSpares {
		t.Errorf("%d spares", n)
	}
	for _, s := range spares.list {
		if cap(s.queue) > keepSpare || cap(s.kept) > keepSpare || s.c != nil || s.r != nil {
			t.Fatalf("a spare of %d and %d bytes", cap(s.queue), cap(s.kept))
		}
	}
	before := len(spares.list)
	q := pair()
	q.client.open().s.RequestHead(request("GET", "http", "a", "/"), true)
	if len(spares.list) != before-1 {
		t.Errorf("%d spares", len(spares.list))
	}
	q.run(nil)
	q.settled(t)
	if len(spares.list) != before {
		t.Errorf("%d spares", len(spares.list))
	}
}
