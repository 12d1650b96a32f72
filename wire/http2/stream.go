package http2

import "github.com/weftmesh/weft/wire/http"

// Stream is one exchange's part of a connection: of a server when Owner.OnStream was given it, of a client when Conn.Open gave it. After it
// is over (Reader.OnReset, Owner.OnDone, or Reset here) its methods do nothing, until it is used for another.
type Stream struct {
	ID    uint32 // 0 in a client until RequestHead
	Limit int    // of queued bytes: with so many the stream is full, and Reader.OnRoom tells when it is not any more

	c     *Conn
	r     Reader
	links [2]struct{ next, prev *Stream }
	flags flags
	fault Code

	send   int64  // above Conn.sendBase: what may be sent
	recv   int64  // above Conn.recvBase: what may come
	window uint32 // what the peer may send when all was credited
	taken  uint32 // used and not credited yet

	in, out    uint64 // bytes of its frames
	length     int64  // what content-length leaves to come; -1 if nothing is known
	fieldBytes int
	blockBytes int

	kept        []byte // came and was not used, from keptAt on
	keptAt      int
	queue       []byte // waits for a window or the sink, from queueAt on
	queueAt     int
	trailersIn  *http.Header
	trailersOut *http.Header
}

type flags uint16

const (
	over           flags = 1 << iota // unlinked: nothing is heard or said any more
	closed                           // both sides have ended it on the wire, or it was reset: it takes no slot
	headed                           // the head of the message has come
	remoteEnd                        // the peer has ended its side
	delivered                        // and the reader has heard it
	localEnd                         // we have ended ours, on the wire
	endQueued                        // it ends after what is queued
	trailersQueued                   // trailers come after what is queued
	trailersKept                     // trailers came, after what is kept
	full                             // as much was queued as Limit
	stalled                          // something was kept since the last credit
	wantsAgain                       // in Conn.again
	paused                           // what was used is not credited yet
	forHead                          // client: the method is HEAD
	forConnect                       // the method is CONNECT
	bodiless                         // the message has no body, whatever its head says
)

// Fault says, within Reader.OnReset, what was wrong with the stream's frames; nil if nothing was.
func (s *Stream) Fault() *Error { return s.fault.err() }

// FieldBytes are what names and values of the last head or trailers took, decoded, those of pseudo-header fields among them.
func (s *Stream) FieldBytes() int { return s.fieldBytes }

// BlockBytes are what the frames of the last head or trailers took.
func (s *Stream) BlockBytes() int { return s.blockBytes }

// Reader is who hears of the stream; nil once it is forgotten.
func (s *Stream) Reader() Reader { return s.r }

// Received is how many bytes the frames of the stream that have come take on the connection.
func (s *Stream) Received() uint64 { return s.in }

// Sent is how many bytes those take that were written.
func (s *Stream) Sent() uint64 { return s.out }

// Queued is how many bytes wait for a window or the sink.
func (s *Stream) Queued() int { return len(s.queue) - s.queueAt }

// RequestHead (client) opens the stream on the wire. end: nothing follows.
func (s *Stream) RequestHead(r *http.Request, end bool) {
	c := s.c
	if s.flags&over != 0 || s.ID != 0 || c.fault != none {
		return
	}
	c.fresh.remove(s)
	s.ID = c.nextID
	c.nextID += 2
	c.streams.put(s)
	c.opened++
	if r.IsHead() {
		s.flags |= forHead
	} else if r.IsConnect() {
		s.flags |= forConnect
	}
	b := c.sink.Buffer(room(r.HeadSize(), r.Len()))
	start := len(b)
	b = c.enc.request(append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0), r)
	c.commit(c.framed(b, start, s, end), start)
	if end {
		c.localEnd(s)
	}
}

// ResponseHead (server) sends a head. end: nothing follows. Informational heads may come before.
func (s *Stream) ResponseHead(r *http.Response, end bool) {
	c := s.c
	if s.flags&(over|localEnd|endQueued) != 0 || c.fault != none {
		return
	}
	b := c.sink.Buffer(room(r.HeadSize(), r.Len()))
	start := len(b)
	b = c.enc.response(append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0), r)
	c.commit(c.framed(b, start, s, end), start)
	if end {
		c.localEnd(s)
	}
}

// Data sends what the windows and the sink let go, and queues a copy of the rest. It is the caller's business to stop at Limit.
func (s *Stream) Data(b []byte, end bool) {
	c := s.c
	if s.flags&(over|localEnd|endQueued|trailersQueued) != 0 || c.fault != none {
		return
	}
	if s.queueAt == len(s.queue) {
		for len(b) > 0 && c.flood == none {
			n := int(min(int64(len(b)), c.sendRoom, c.sendBase+s.send, c.dataSize()))
			if n <= 0 || c.sink.Over() {
				break
			}
			last := end && n == len(b)
			c.data(s, b[:n], last)
			b = b[n:]
			if last {
				c.localEnd(s)
				return
			}
		}
		if len(b) == 0 {
			if end {
				c.data(s, nil, true)
				c.localEnd(s)
			}
			return
		}
		if c.sendBase+s.send > 0 {
			c.ready.push(s)
		} else {
			c.blocked.push(s)
		}
	}
	if s.queueAt > len(s.queue)/2 {
		s.queue, s.queueAt = s.queue[:copy(s.queue, s.queue[s.queueAt:])], 0
	}
	s.queue = append(s.queue, b...)
	if end {
		s.flags |= endQueued
	}
	if s.Queued() >= max(s.Limit, 1) {
		s.flags |= full
	}
}

// Trailers ends the stream with trailers, after what is queued.
func (s *Stream) Trailers(t *http.Header) {
	c := s.c
	if s.flags&(over|localEnd|endQueued|trailersQueued) != 0 || c.fault != none {
		return
	}
	if s.Queued() == 0 {
		c.sendTrailers(s, t)
		c.localEnd(s)
		return
	}
	if s.trailersOut == nil {
		s.trailersOut = new(http.Header)
	}
	s.trailersOut.CopyFrom(t)
	s.flags |= trailersQueued
}

// Reset ends the stream. Nothing is heard of it any more but Owner.OnDone, from within this call; what is queued or kept is dropped, and
// what is kept is credited to the connection.
func (s *Stream) Reset(code ErrCode) {
	c := s.c
	if s.flags&over != 0 {
		return
	}
	if s.ID != 0 && s.flags&closed == 0 && c.fault == none {
		c.reset(s.ID, code)
	}
	c.unlink(s)
	if s.r != nil {
		c.done(s)
	}
}

// Pause keeps what is used from being credited to the stream's window until Again: its reader took it, and has no room for more.
func (s *Stream) Pause() { s.flags |= paused | stalled }

// Again wants what was kept to be offered, from the next Feed.
func (s *Stream) Again() {
	s.flags &^= paused
	if s.flags&(over|wantsAgain) == 0 && s.c.fault == none {
		s.flags |= wantsAgain
		s.c.again.push(s)
	}
}

// localEnd notes that our side has ended on the wire.
func (c *Conn) localEnd(s *Stream) {
	s.flags |= localEnd
	c.close(s)
}

// close notes that a side has ended, and forgets a stream of which nothing is to come.
func (c *Conn) close(s *Stream) {
	if s.flags&(localEnd|remoteEnd|closed) == localEnd|remoteEnd {
		s.flags |= closed
		c.active--
	}
	if s.flags&(localEnd|delivered|over) == localEnd|delivered {
		c.unlink(s)
		c.done(s)
	}
}

// offer gives a reader what has come for it.
func (s *Stream) offer(b []byte) {
	c, id := s.c, s.ID
	used := 0
	if s.keptAt == len(s.kept) {
		used = s.r.OnBody(b)
		if !s.is(c, id) {
			c.credit(len(b)) // nobody has kept any of it
			return
		}
		s.credit(used)
	}
	if b = b[used:]; len(b) > 0 {
		if s.keptAt > len(s.kept)/2 {
			s.kept, s.keptAt = s.kept[:copy(s.kept, s.kept[s.keptAt:])], 0
		}
		s.kept = append(s.kept, b...)
		s.flags |= stalled
		c.keeps(len(b))
	}
}

// is tells whether s is still the same stream: it may have ended, and have become another.
func (s *Stream) is(c *Conn, id uint32) bool { return s.c == c && s.ID == id && s.flags&over == 0 }

// credit gives n bytes of both windows back, because they were used.
func (s *Stream) credit(n int) {
	c := s.c
	if n > 0 {
		c.credit(n)
		s.taken += uint32(n)
	}
	if s.taken < s.window/2 || s.flags&(remoteEnd|paused) != 0 || s.length == 0 || c.cur == s && c.curEnds || c.fault != none {
		return // in a stream of which no more data comes there is nothing to grant
	}
	add := s.taken
	if most := c.o.maxStreamWindow(); s.flags&stalled == 0 && s.window < most {
		grow := min(s.window, most-s.window)
		s.window += grow
		add += grow
	}
	s.taken = 0
	s.flags &^= stalled
	if s.keptAt < len(s.kept) {
		s.flags |= stalled
	}
	s.recv += int64(add)
	c.windowUpdate(s.ID, add)
}

// offerKept offers what streams have kept, to those that want it.
func (c *Conn) offerKept() {
	for n := c.again.n; n > 0 && c.again.head != nil && c.fault == none; n-- {
		s := c.again.head
		c.again.remove(s)
		s.flags &^= wantsAgain
		id := s.ID
		if kept := s.kept[s.keptAt:]; len(kept) > 0 {
			used := s.r.OnBody(kept)
			if !s.is(c, id) {
				continue // what it kept was credited
			}
			s.keptAt += used
			c.kept -= used
			if s.keptAt == len(s.kept) {
				if s.kept, s.keptAt = s.kept[:0], 0; cap(s.kept) > keepQueue {
					s.kept = nil
				}
			}
			s.credit(used)
			if s.keptAt < len(s.kept) {
				continue
			}
		}
		if s.flags&(remoteEnd|delivered) == remoteEnd {
			c.deliverEnd(s)
		} else if s.flags&paused == 0 {
			s.credit(0)
		}
	}
}

// remoteEnded notes that the peer has ended its side, behind data or trailers.
func (c *Conn) remoteEnded(s *Stream) {
	s.flags |= remoteEnd
	if s.keptAt == len(s.kept) {
		c.deliverEnd(s)
	} else {
		c.close(s)
	}
}

func (c *Conn) deliverEnd(s *Stream) {
	id := s.ID
	if s.flags&trailersKept != 0 {
		s.flags &^= trailersKept
		s.r.OnTrailers(s.trailersIn)
		if !s.is(c, id) {
			return
		}
	}
	s.flags |= delivered
	s.r.OnEnd()
	if s.is(c, id) {
		c.close(s)
	}
}
