package http2

import "github.com/weftmesh/weft/wire/http"

// Sink takes what a connection has to say; loop.Conn is one.
type Sink interface {
	// Buffer is a slice to append to, with room for at least n more bytes; Commit takes it back. Nothing else is called between the two.
	Buffer(n int) []byte
	Commit(b []byte)
	// Over tells that more waits to be sent than the sink's limit: DATA then waits for Conn.Drained, everything else is committed all the same.
	Over() bool
	// Unsent is how many bytes were committed and not taken by the kernel yet.
	Unsent() int
}

// Owner is who a connection belongs to. All calls come from within Feed, Drained and Lost, except that OnDone may come from within any call
// that ends a stream.
type Owner interface {
	// OnStream (server) says that a stream begins and is answered with who reads it. nil refuses it: its head is read for the tables' sake,
	// and REFUSED_STREAM sent. No method of s may be called before it returns.
	OnStream(s *Stream) Reader
	// OnGoAway: the peer takes no streams of ours above last, and no new ones. Those above last were told before: Reader.OnReset with unprocessed.
	OnGoAway(last uint32, code ErrCode)
	// OnSettings: the peer's settings, which Conn.Peer tells, have come or changed.
	OnSettings()
	// OnPong is the answer to Conn.Ping.
	OnPong(data [8]byte)
	// OnDone: a stream that has or had a reader is over, however it ended, and forgotten; exactly once for each. s must not be used after.
	OnDone(s *Stream)
}

// Reader hears of one stream, in the order: OnHead (of informational responses, any number, then of the message), OnBody (any number),
// OnTrailers or not, OnEnd unless OnHead said that nothing follows. Or OnReset at any point, after which nothing comes.
type Reader interface {
	// Request and Response are where the next head is read to: the one for servers, the other for clients. They are emptied first.
	Request() *http.Request
	Response() *http.Response
	// OnHead: the head is complete. end: nothing follows, and OnEnd is not called.
	OnHead(end bool)
	// OnBody offers a piece of the body and is told how much of it was used: that is credited to the windows. The rest is kept, what comes
	// is put behind it, and nothing more is offered until Stream.Again.
	OnBody(b []byte) (used int)
	// OnTrailers comes after all of the body was used, and before OnEnd. t is valid until the stream is over.
	OnTrailers(t *http.Header)
	OnEnd()
	// OnReset: the stream is over, by the peer, or (local) because its frames were wrong: then Stream.Fault says how. unprocessed: it is
	// certain that the peer has done nothing for it.
	OnReset(code ErrCode, local, unprocessed bool)
	// OnRoom: what the stream has queued was let go to half of Stream.Limit or less, after it had been more than Limit.
	OnRoom()
}

// Conn is one side of a connection. It holds no bytes of frames that are whole, except header blocks in several frames and data that a
// reader did not use. Its owner gives it bytes with Feed; it says what it has to with the Sink.
//
// A Conn without streams holds no buffer. It is 900 bytes, and what its tables were filled with: 32 bytes and twice the field for each
// field in one of the two, at most 16 KiB together with tables of 4096 bytes; under 3 KiB after exchanges with ten fields each way.
type Conn struct {
	o     *Options
	owner Owner
	sink  Sink

	streams stable
	ready   list // queued data (or end) and a window of their own: they wait for the connection's window or the sink
	blocked list // queued data and no window of their own
	fresh   list // opened, without a head yet
	again   list // want what was kept to be offered
	spare   *Stream
	spares  *Spares

	enc encoder
	dec decoder

	peer      Peer
	sendBase  int64 // the peer's SETTINGS_INITIAL_WINDOW_SIZE: what a stream may send is this and Stream.send
	sendRoom  int64 // the window of the connection
	recvBase  int64 // as sendBase for what the peer may send; ours once it has acknowledged it
	recvRoom  int64
	window    uint32 // what the connection's window for the peer is when all was credited
	taken     uint32 // used and not credited yet
	kept      int    // bytes that streams keep, all together
	stalled   bool   // something was kept since the last credit
	acked     bool   // the peer has acknowledged our SETTINGS
	greeted   bool   // the preface has come
	wake      bool   // queued data may go on
	yielded   bool   // Feed is to return
	goneAway  bool   // the peer has sent GOAWAY
	pumping   bool
	fault     Code
	flood     Code // found when something was written: for the next Feed
	pings     uint32
	active    int    // streams that are open on the wire, and fresh ones
	lastPeer  uint32 // the highest stream that the peer has opened
	nextID    uint32 // client: of the next stream
	goLast    uint32 // what our GOAWAY said
	peerLast  uint32 // what the peer's said
	resetHigh uint32 // the highest stream that we have reset: frames for streams up to it may have been on their way

	// The DATA frame that is being read, or what is being skipped.
	cur     *Stream // nil: nobody wants it
	left    int     // of data
	skip    int     // of padding, or of frames that are not for us
	curEnds bool

	// The header block that is being read, in several frames.
	block     []byte
	blockID   uint32
	blockWire int
	blockEnds bool
	blockOver bool // larger than MaxHeadBytes: it is read for the table's sake only

	// What floods are measured by.
	empties       uint32 // frames without content behind one another
	priorities    uint32
	windowUpdates uint64
	opened        uint64 // streams, ever
	dataSent      uint64 // DATA frames, ever
	written       uint64 // bytes, ever
	frames        backlog
	controls      backlog

	counts Counts
}

// Init makes c one side of a connection and writes what that side begins with.
func (c *Conn) Init(o *Options, owner Owner, sink Sink) {
	*c = Conn{o: o, owner: owner, sink: sink, spares: c.spares}
	c.again.which = 1
	c.peer = Peer{MaxConcurrentStreams: firstStreams, MaxFrameSize: DefaultMaxFrameSize, MaxHeaderListSize: 1<<32 - 1}
	c.sendBase, c.sendRoom, c.recvBase = smallestWindow, smallestWindow, smallestWindow
	c.window = min(connWindow, o.maxConnWindow())
	c.recvRoom = int64(c.window)
	c.enc.ours = o.tableSize()
	c.enc.max = min(DefaultHeaderTableSize, c.enc.ours)
	c.enc.least, c.enc.resize = c.enc.max, c.enc.max < DefaultHeaderTableSize
	c.dec.max = DefaultHeaderTableSize
	c.dec.limit = max(DefaultHeaderTableSize, o.tableSize())
	c.goLast, c.peerLast, c.nextID = MaxID, MaxID, 1
	b := sink.Buffer(len(preface) + 4*frameHead + 6*(8+len(o.ExtraSettings)))
	start := len(b)
	if !o.Server {
		b = append(b, preface...)
		c.greeted = true
	}
	b = o.appendSettings(b)
	if c.window > smallestWindow {
		b = appendUint32(appendFrameHead(b, 4, frameWindowUpdate, 0, 0), c.window-smallestWindow)
	}
	c.commit(b, start)
}

// MaxID is the highest number that a stream can have.
const MaxID = largest

// UseSpares gives c a list of streams to take from and give to, which connections of one loop may share. It may be called before Init.
func (c *Conn) UseSpares(s *Spares) { c.spares = s }

// Peer is what the peer's settings say.
func (c *Conn) Peer() *Peer { return &c.peer }

// Counts are events since they were last set to zero.
func (c *Conn) Counts() *Counts { return &c.counts }

// Streams is how many streams are there: those that OnDone was not called for.
func (c *Conn) Streams() int { return c.streams.n + c.fresh.n }

// LastID is the highest stream that the peer has opened: for the second GoAway.
func (c *Conn) LastID() uint32 { return c.lastPeer }

// Slots is how many streams may be opened now.
func (c *Conn) Slots() int {
	if c.fault != none || c.goneAway || uint64(c.nextID)+2*uint64(c.fresh.n) > MaxID {
		return 0
	}
	return int(max(0, int64(min(c.peer.MaxConcurrentStreams, c.o.maxStreams()))-int64(c.active)))
}

// Open (client) begins a stream; nil if there is no slot. It has no number before its head is sent, which need not be in the order of opening.
func (c *Conn) Open(r Reader) *Stream {
	if c.Slots() == 0 {
		return nil
	}
	s := c.newStream(0)
	s.r = r
	c.fresh.push(s)
	c.active++
	return s
}

// Pending tells that Feed is wanted, though nothing may have come: Stream.Again was called.
func (c *Conn) Pending() bool { return c.fault == none && (c.again.n > 0 || c.flood != none) }

// Drained says that the sink is below its limit: queued data goes on.
func (c *Conn) Drained() {
	if c.fault == none {
		c.pump()
	}
}

// Ping asks for a sign of life, which Owner.OnPong tells.
func (c *Conn) Ping(data [8]byte) {
	if c.fault == none {
		c.pings++
		c.ping(0, data[:])
	}
}

func (c *Conn) ping(flags byte, data []byte) {
	b := c.sink.Buffer(frameHead + 8)
	start := len(b)
	c.commit(append(appendFrameHead(b, 8, framePing, flags, 0), data...), start)
	if flags != 0 {
		c.count(&c.controls, c.o.MaxOutboundControlFrames, DefaultMaxOutboundControlFrames, ControlFlood)
	}
}

// GoAway asks the peer to open no streams above last. To end a connection without refusing what is on its way, say GoAway(MaxID, NoError)
// first and GoAway(c.LastID(), NoError) a round trip later: streams above it are ignored then.
func (c *Conn) GoAway(last uint32, code ErrCode) {
	if c.fault != none {
		return
	}
	c.goLast = min(c.goLast, last)
	c.goAway(code)
}

func (c *Conn) goAway(code ErrCode) {
	b := c.sink.Buffer(frameHead + 8)
	start := len(b)
	c.commit(appendUint32(appendUint32(appendFrameHead(b, 8, frameGoAway, 0, 0), c.goLast), uint32(code)), start)
	c.counts.GoAwaysSent++
}

// Lost says that the connection is gone, or given up: each stream's reader hears OnReset, and nothing more is read or written.
func (c *Conn) Lost(code ErrCode) {
	if c.fault == none {
		c.fault = Lost
	}
	for _, s := range c.streams.all() {
		if s.c == c && s.flags&over == 0 {
			c.end(s, code, false, s.ID > c.peerLast)
		}
	}
	for c.fresh.head != nil {
		c.end(c.fresh.head, code, false, true)
	}
}

// commit gives the sink what was appended to its buffer from start on, one frame.
func (c *Conn) commit(b []byte, start int) {
	c.written += uint64(len(b) - start)
	c.sink.Commit(b)
	c.count(&c.frames, c.o.MaxOutboundFrames, DefaultMaxOutboundFrames, OutboundFlood)
}

// credit gives n bytes of the connection's window back, because they were used or nobody wants them.
func (c *Conn) credit(n int) {
	c.taken += uint32(n)
	if c.taken < c.window/2 || c.fault != none {
		return
	}
	add := c.taken
	if most := c.o.maxConnWindow(); !c.stalled && c.window < most {
		grow := min(c.window, most-c.window)
		c.window += grow
		add += grow
	}
	c.taken, c.stalled = 0, c.kept > 0
	c.recvRoom += int64(add)
	c.windowUpdate(0, add)
}

func (c *Conn) windowUpdate(id, n uint32) {
	b := c.sink.Buffer(frameHead + 4)
	start := len(b)
	c.commit(appendUint32(appendFrameHead(b, 4, frameWindowUpdate, 0, id), n), start)
}

// keeps notes that n bytes more are kept. What streams that are not read keep must not keep the others from being read, so the window
// grows by it as well.
func (c *Conn) keeps(n int) {
	c.kept += n
	c.stalled = true
	if most := c.o.maxConnWindow(); c.kept > int(c.window/2) && c.window < most && c.fault == none {
		grow := min(c.window, most-c.window)
		c.window += grow
		c.recvRoom += int64(grow)
		c.windowUpdate(0, grow)
	}
}

// pump sends what is queued, a frame of each stream in turn, as far as windows and sink let it.
func (c *Conn) pump() {
	if c.pumping {
		return
	}
	c.pumping, c.wake = true, false
	for s := c.ready.head; s != nil && c.fault == none; s = c.ready.head {
		n := s.Queued()
		if n > 0 && (c.sendRoom <= 0 || c.sink.Over() || c.flood != none) {
			break
		}
		c.ready.remove(s)
		if n > 0 {
			if n = int(min(int64(n), c.sendRoom, c.sendBase+s.send, c.dataSize())); n <= 0 {
				c.blocked.push(s)
				continue
			}
		}
		piece := s.queue[s.queueAt : s.queueAt+n]
		s.queueAt += n
		if s.queueAt < len(s.queue) {
			c.ready.push(s)
			c.data(s, piece, false)
		} else {
			done := s.flags&endQueued != 0
			if n > 0 || done {
				c.data(s, piece, done)
			}
			if s.queue, s.queueAt = s.queue[:0], 0; cap(s.queue) > keepQueue {
				s.queue = nil
			}
			if s.flags&trailersQueued != 0 {
				c.sendTrailers(s, s.trailersOut)
				done = true
			}
			if done {
				c.localEnd(s)
				continue
			}
		}
		if s.flags&full != 0 && s.Queued() <= s.Limit/2 {
			s.flags &^= full
			s.r.OnRoom()
		}
	}
	c.pumping = false
}

// keepQueue is how many bytes of an empty queue, or of what was kept, a stream holds on to.
const keepQueue = 64 << 10

// dataSize is how much DATA goes in one frame: few enough for streams to take turns.
func (c *Conn) dataSize() int64 { return DefaultMaxFrameSize }

// data writes a DATA frame, which the windows let go.
func (c *Conn) data(s *Stream, p []byte, end bool) {
	flags := byte(0)
	if end {
		flags = flagEndStream
	}
	c.sendRoom -= int64(len(p))
	s.send -= int64(len(p))
	s.out += uint64(frameHead + len(p))
	c.dataSent++
	b := c.sink.Buffer(frameHead + len(p))
	start := len(b)
	c.commit(append(appendFrameHead(b, len(p), frameData, flags, s.ID), p...), start)
}

// sendTrailers writes a trailer section that ends the stream.
func (c *Conn) sendTrailers(s *Stream, h *http.Header) {
	b := c.sink.Buffer(room(h.Size(), h.Len()))
	start := len(b)
	b = c.enc.trailers(append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0), h)
	c.commit(c.framed(b, start, s, true), start)
}

// framed makes of a block that lies behind the room for one frame's head as many frames as the peer wants.
func (c *Conn) framed(b []byte, start int, s *Stream, end bool) []byte {
	flags := byte(0)
	if end {
		flags = flagEndStream
	}
	b = splitBlock(b, start, int(min(c.peer.MaxFrameSize, maxBlockFrame)), flags, s.ID)
	s.out += uint64(len(b) - start)
	return b
}

// maxBlockFrame bounds the HEADERS frames that are written, for peers that take larger ones.
const maxBlockFrame = 1 << 20

func (c *Conn) reset(id uint32, code ErrCode) {
	b := c.sink.Buffer(frameHead + 4)
	start := len(b)
	c.commit(appendUint32(appendFrameHead(b, 4, frameReset, 0, id), uint32(code)), start)
	c.count(&c.controls, c.o.MaxOutboundControlFrames, DefaultMaxOutboundControlFrames, ControlFlood)
	c.resetHigh = max(c.resetHigh, id)
	c.counts.ResetsSent++
}

// end ends a stream for its reader.
func (c *Conn) end(s *Stream, code ErrCode, local, unprocessed bool) {
	c.unlink(s)
	s.r.OnReset(code, local, unprocessed)
	c.done(s)
}

// fail ends a stream for what the peer did in it, or the connection if that is how it is configured.
func (c *Conn) fail(s *Stream, code Code) {
	s.fault = code
	switch code {
	case HeadTooLarge, TooManyHeaders:
		c.counts.HeaderOverflow++
	case DataMismatch:
		c.counts.MessagingErrors++
	case Underscore:
		c.counts.RejectedUnderscores++
	}
	if code.message() {
		c.counts.MessagingErrors++
		if !c.o.StreamErrors {
			c.die(code)
			return
		}
	}
	c.counts.ResetsProvoked++
	f := code.err()
	c.reset(s.ID, f.ErrCode)
	c.end(s, f.ErrCode, true, false)
}

// unlink takes a stream out of all that the connection knows.
func (c *Conn) unlink(s *Stream) {
	if s.ID == 0 {
		c.fresh.remove(s)
	} else {
		c.streams.remove(s)
		c.leaveQueue(s)
	}
	if s.flags&wantsAgain != 0 {
		c.again.remove(s)
	}
	if s.flags&closed == 0 {
		c.active--
	}
	s.flags |= over | closed
	if c.cur == s {
		c.cur = nil
	}
	if n := len(s.kept) - s.keptAt; n > 0 {
		s.kept, s.keptAt = s.kept[:0], 0
		c.kept -= n
		c.credit(n)
	}
}

// leaveQueue takes a stream out of the list that it waits in to send, if it does.
func (c *Conn) leaveQueue(s *Stream) {
	if s.links[0].next == nil {
		return
	}
	next := s.leave(0)
	if c.ready.head == s {
		c.ready.head = next
	} else if c.blocked.head == s {
		c.blocked.head = next
	}
}

// unqueue drops what a stream has queued.
func (c *Conn) unqueue(s *Stream) {
	c.leaveQueue(s)
	s.queue, s.queueAt = s.queue[:0], 0
	s.flags &^= endQueued | trailersQueued
}

// done is the end of a stream that was unlinked.
func (c *Conn) done(s *Stream) {
	c.owner.OnDone(s)
	c.recycle(s)
}
