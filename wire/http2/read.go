package http2

import "github.com/weftmesh/weft/wire/http"

// Feed reads on and says how much of in it has used; the rest must be given again with more behind it. An error is a *Error and the
// connection's end: GOAWAY was written, no stream was told (Lost does), and each later call gives it again.
func (c *Conn) Feed(in []byte) (used int, err error) {
	c.offerKept()
	for c.fault == none {
		if c.flood != none {
			c.die(c.flood)
			break
		}
		n, done := c.next(in[used:])
		used += n
		if !done {
			break
		}
	}
	if c.fault == none && c.wake {
		c.pump()
	}
	if c.fault != none {
		c.block = nil
		return used, c.fault.err()
	}
	return used, nil
}

// next reads a frame, or a piece of one, and says whether there may be another.
func (c *Conn) next(in []byte) (n int, done bool) {
	switch {
	case c.left > 0:
		if n = min(c.left, len(in)); n == 0 {
			return 0, false
		}
		c.left -= n
		if s := c.cur; s != nil {
			s.offer(in[:n:n])
		} else {
			c.credit(n)
		}
		if c.left+c.skip == 0 {
			c.endData()
		}
		return n, true
	case c.skip > 0:
		if n = min(c.skip, len(in)); n == 0 {
			return 0, false
		}
		if c.skip -= n; c.skip == 0 {
			c.endData()
		}
		return n, true
	case !c.greeted:
		n = min(len(in), len(preface))
		if string(in[:n]) != preface[:n] {
			c.die(BadPreface)
			return 0, false
		}
		if n < len(preface) {
			return 0, false
		}
		c.greeted = true
		return n, true
	case len(in) < frameHead:
		return 0, false
	}
	length := int(in[0])<<16 | int(in[1])<<8 | int(in[2])
	kind, flags, id := in[3], in[4], uint32At(in[5:])&largest
	code := none
	switch {
	case length > int(c.o.frameSize()):
		code = FrameTooLarge
	case !c.peer.Heard && (kind != frameSettings || flags&flagAck != 0):
		code = NoSettings
	case c.blockID != 0 && (kind != frameContinuation || id != c.blockID):
		code = OpenBlock
	case kind == framePushPromise:
		code = PushPromise
	case length > DefaultMaxFrameSize:
		code = c.tooLong(kind, length)
	}
	if code != none {
		c.die(code)
		return 0, false
	}
	switch kind {
	case frameData:
		return c.dataHead(in, length, flags, id)
	case frameHeaders, framePriority, frameReset, frameSettings, framePing, frameWindowUpdate, frameContinuation:
		if len(in) < frameHead+length {
			return 0, false
		}
	case frameGoAway, framePriorityUpdate: // what follows the first eight bytes, or four, is text for people, or a structured field
		least := 8
		if kind == framePriorityUpdate {
			least = 4
		}
		if length < least {
			c.die(BadFrameSize)
			return 0, false
		}
		if len(in) < frameHead+least {
			return 0, false
		}
		c.skip, length = length-least, least
	default:
		c.counts.IgnoredFrames++
		c.skip = length
		return frameHead, true
	}
	p := in[frameHead : frameHead+length]
	switch kind {
	case frameHeaders:
		code = c.headers(p, flags, id)
	case framePriority:
		code = c.priority(p, id)
	case frameReset:
		code = c.resetBy(p, id)
	case frameSettings:
		code = c.settingsFrame(p, flags, id)
	case framePing:
		code = c.pingFrame(p, flags, id)
	case frameGoAway:
		code = c.goAwayBy(p, id)
	case frameWindowUpdate:
		code = c.windowFrame(p, id)
	case frameContinuation:
		code = c.continuation(p, flags)
	case framePriorityUpdate:
		code = c.priorityUpdate(p, id)
	}
	if code != none {
		c.die(code)
		return 0, false
	}
	return frameHead + length, true
}

// tooLong judges a frame that is larger than those that every peer takes: what must be there as a whole before it is read is not awaited.
func (c *Conn) tooLong(kind byte, length int) Code {
	switch kind {
	case frameHeaders, frameContinuation:
		if length > wireFactor*c.o.headBytes() {
			return BlockTooLong
		}
	case framePriority, frameReset, frameSettings, framePing, frameWindowUpdate:
		return BadFrameSize
	}
	return none
}

// dataHead reads what a DATA frame begins with (RFC 9113 §6.1). All of it counts against the windows at once; padding is given back at once.
func (c *Conn) dataHead(in []byte, length int, flags byte, id uint32) (int, bool) {
	n, padding := frameHead, 0
	if flags&flagPadded != 0 {
		if length == 0 {
			c.die(BadFrameSize)
			return 0, false
		}
		if len(in) <= frameHead {
			return 0, false
		}
		if n, padding = frameHead+1, int(in[frameHead]); padding >= length {
			c.die(BadPadding)
			return 0, false
		}
	}
	s := c.streams.find(id)
	code := none
	ends := flags&flagEndStream != 0
	data := length - padding - (n - frameHead)
	switch {
	case id == 0:
		code = BadStreamID
	case int64(length) > c.recvRoom:
		code = WindowExceeded
	case s == nil:
		code = c.strange(id)
	default:
		code = c.empty(data, ends)
	}
	if code != none {
		c.die(code)
		return 0, false
	}
	c.recvRoom -= int64(length)
	c.left, c.skip, c.cur, c.curEnds = data, padding, s, ends
	if s == nil {
		c.counts.IgnoredFrames++
		if length > data {
			c.credit(length - data)
		}
		return n, true
	}
	switch {
	case s.flags&remoteEnd != 0:
		code = DataAfterEnd
	case int64(length) > c.recvBase+s.recv:
		code = StreamWindowExceeded
	case s.flags&headed == 0:
		code = DataBeforeHead
	case data > 0 && s.flags&bodiless != 0:
		code = UnexpectedBody
	case s.length >= 0 && (int64(data) > s.length || ends && int64(data) < s.length):
		code = LengthMismatch
	}
	s.recv -= int64(length)
	if code != none {
		c.fail(s, code)
		if c.fault != none {
			return 0, false
		}
		if length > data {
			c.credit(length - data)
		}
		return n, true
	}
	if s.length >= 0 {
		s.length -= int64(data)
	}
	if length > data {
		s.credit(length - data)
	}
	if length == n-frameHead {
		c.endData()
	}
	return n, true
}

// endData is the end of a DATA frame, or of what was skipped.
func (c *Conn) endData() {
	s := c.cur
	c.cur = nil
	if s != nil && c.curEnds {
		c.remoteEnded(s)
	}
}

// empty counts frames without content, which are suspicious unless they end a stream.
func (c *Conn) empty(content int, ends bool) Code {
	if content > 0 || ends {
		c.empties = 0
		return none
	}
	if c.empties++; c.empties > c.o.emptyFrames() {
		return EmptyFrames
	}
	return none
}

// strange judges a frame for a stream that is not there (RFC 9113 §5.1): one that never was, that was ended by both, or that we have reset,
// or refused by GOAWAY, while the peer was sending.
func (c *Conn) strange(id uint32) Code {
	switch {
	case c.idle(id):
		return IdleStream
	case id <= c.resetHigh || id > c.goLast && c.o.Server:
		return none
	}
	return ClosedStream
}

// idle tells whether a stream that is not there was never opened.
func (c *Conn) idle(id uint32) bool {
	if c.o.Server {
		return id&1 == 0 || id > c.lastPeer
	}
	return id&1 == 0 || id >= c.nextID
}

// headers reads a HEADERS frame (RFC 9113 §6.2).
func (c *Conn) headers(p []byte, flags byte, id uint32) Code {
	if id == 0 {
		return BadStreamID
	}
	p, ok := unpad(p, flags)
	if !ok {
		return BadPadding
	}
	if flags&flagPriority != 0 {
		if len(p) < 5 {
			return BadFrameSize
		}
		p = p[5:]
	}
	ends := flags&flagEndStream != 0
	if code := c.empty(len(p), ends); code != none {
		return code
	}
	c.dec.late = false
	if flags&flagEndHeaders != 0 {
		return c.head(p, id, ends, false)
	}
	c.blockID, c.blockEnds, c.blockOver, c.blockWire = id, ends, false, 0
	return c.collect(p)
}

// continuation reads a CONTINUATION frame (RFC 9113 §6.10).
func (c *Conn) continuation(p []byte, flags byte) Code {
	if c.blockID == 0 {
		return LostContinuation
	}
	if code := c.empty(len(p), false); code != none {
		return code
	}
	if code := c.collect(p); code != none || flags&flagEndHeaders == 0 {
		return code
	}
	block, id := c.block, c.blockID
	c.block, c.blockID = nil, 0
	return c.head(block, id, c.blockEnds, c.blockOver)
}

// collect puts a piece of a block behind the others. Once they are more than a head may take, they are read and forgotten.
func (c *Conn) collect(p []byte) Code {
	most := c.o.headBytes()
	c.blockWire += len(p)
	if c.blockWire > wireFactor*most {
		return BlockTooLong
	}
	c.block = append(c.block, p...)
	if c.blockWire <= most {
		return none
	}
	c.blockOver = true
	m := newHead(c.o)
	rest, code := c.dec.decode(c.block, &m, false)
	if code == none && len(rest) > most {
		code = BlockTooLong
	}
	c.block = append(c.block[:0], rest...)
	return code
}

// head reads a whole header block: of a stream that begins, of a response, or of trailers.
func (c *Conn) head(block []byte, id uint32, ends, tooLarge bool) Code {
	s := c.streams.find(id)
	m := newHead(c.o)
	refused := false
	switch {
	case s != nil:
	case c.o.Server && id > c.lastPeer:
		if id&1 == 0 {
			return BadStreamID
		}
		if c.lastPeer = id; id > c.goLast {
			break
		}
		c.opened++
		if s = c.begin(id); s == nil {
			refused = true
		}
	default:
		if code := c.strange(id); code != none {
			return code
		}
		c.counts.HeadersWithoutInterest++
	}
	trailers := false
	switch {
	case s == nil || tooLarge || s.flags&remoteEnd != 0:
	case s.flags&headed != 0:
		trailers = true
		if s.trailersIn == nil {
			s.trailersIn = new(http.Header)
		}
		m.h = s.trailersIn
		m.h.Reset()
	case c.o.Server:
		if m.request = s.r.Request(); m.request != nil {
			m.request.Reset()
			m.request.Version, m.h = http.HTTP2, &m.request.Header
		}
	default:
		if m.response = s.r.Response(); m.response != nil {
			m.response.Reset()
			m.response.Version, m.h = http.HTTP2, &m.response.Header
		}
	}
	if _, code := c.dec.decode(block, &m, true); code != none {
		return code
	}
	c.counts.DroppedUnderscores += uint32(m.dropped)
	if refused {
		c.counts.Refused++
		c.reset(id, RefusedStream)
	}
	if s == nil || !s.is(c, id) {
		return none
	}
	code := m.finish()
	if m.crumbs > 1 && code == none {
		c.counts.JoinedCookies += uint32(m.crumbs - 1)
	}
	s.fieldBytes = m.bytes
	switch {
	case s.flags&remoteEnd != 0:
		code = DataAfterEnd
	case tooLarge:
		code = HeadTooLarge
	case code != none:
	case trailers:
		return c.trailers(s, &m, ends)
	case c.o.Server:
		s.length = m.length
		if m.request.IsConnect() {
			s.flags |= forConnect
			s.length = -1
		}
	default:
		code = s.response(&m, ends)
	}
	if code == none && ends && s.length > 0 && s.flags&bodiless == 0 {
		code = LengthMismatch
	}
	if code != none {
		c.fail(s, code)
		return none
	}
	if m.response != nil && m.response.IsInformational() {
		s.r.OnHead(false)
		return none
	}
	s.flags |= headed
	if ends {
		s.flags |= remoteEnd | delivered
	}
	s.r.OnHead(ends)
	if ends && s.is(c, id) {
		c.close(s)
	}
	return none
}

// begin begins a stream of the peer's; nil if there are too many or the owner does not want it.
func (c *Conn) begin(id uint32) *Stream {
	if uint32(c.active) >= c.o.maxStreams() {
		return nil
	}
	s := c.newStream(id)
	c.streams.put(s)
	c.active++
	if r := c.owner.OnStream(s); s.is(c, id) {
		if s.r = r; r != nil {
			return s
		}
		c.unlink(s)
		c.recycle(s)
	}
	return nil
}

// response judges the head of a response by what was asked for.
func (s *Stream) response(m *head, ends bool) Code {
	r := m.response
	s.length = m.length
	switch {
	case r.IsInformational():
		s.length = -1
		if ends {
			return Interim
		}
	case s.flags&forConnect != 0 && r.Status < 300:
		s.length = -1
	case s.flags&forHead != 0 || r.Status == 204 || r.Status == 304:
		s.flags |= bodiless
		s.length = -1
	}
	return none
}

// trailers takes a trailer section (RFC 9113 §8.1).
func (c *Conn) trailers(s *Stream, m *head, ends bool) Code {
	code := none
	switch {
	case !ends:
		code = OpenTrailers
	case s.length > 0:
		code = LengthMismatch
	}
	if code != none {
		c.fail(s, code)
		return none
	}
	c.counts.Trailers++
	if m.h.Len() > 0 {
		s.flags |= trailersKept
	}
	c.remoteEnded(s)
	return none
}

// priority judges a PRIORITY frame (RFC 9113 §6.3), of which nothing else is made.
func (c *Conn) priority(p []byte, id uint32) Code {
	if id == 0 {
		return BadStreamID
	}
	if code := c.countPriority(); code != none {
		return code
	}
	if len(p) != 5 {
		if s := c.streams.find(id); s != nil {
			c.fail(s, BadPriority)
			return none
		}
		return BadFrameSize
	}
	return none
}

// priorityUpdate judges a PRIORITY_UPDATE frame (RFC 9218 §7.1), of which nothing else is made.
func (c *Conn) priorityUpdate(p []byte, id uint32) Code {
	switch {
	case id != 0:
		return BadStreamID
	case !c.o.Server, uint32At(p)&largest == 0:
		return BadPriorityUpdate
	}
	return c.countPriority()
}

func (c *Conn) countPriority() Code {
	c.priorities++
	if uint64(c.priorities) > uint64(or(c.o.MaxPriorityFrames, DefaultMaxPriorityFrames))*(1+c.opened) {
		return PriorityFlood
	}
	return none
}

// resetBy takes a RST_STREAM frame (RFC 9113 §6.4).
func (c *Conn) resetBy(p []byte, id uint32) Code {
	switch {
	case len(p) != 4:
		return BadFrameSize
	case id == 0:
		return BadStreamID
	}
	s := c.streams.find(id)
	if s == nil {
		if c.idle(id) {
			return IdleStream
		}
		c.counts.IgnoredFrames++
		return none
	}
	c.counts.ResetsReceived++
	code := ErrCode(uint32At(p))
	if code == NoError && s.flags&remoteEnd != 0 {
		// The message is whole, and the peer wants no more of ours (RFC 9113 §8.1).
		if s.flags&localEnd == 0 {
			c.unqueue(s)
			c.localEnd(s)
		}
		return none
	}
	if code == RefusedStream {
		c.counts.RefusedByPeer++
	}
	c.end(s, code, false, code == RefusedStream)
	return none
}

// settingsFrame takes a SETTINGS frame and acknowledges it, or takes an acknowledgement.
func (c *Conn) settingsFrame(p []byte, flags byte, id uint32) Code {
	switch {
	case id != 0:
		return BadStreamID
	case flags&flagAck != 0:
		if len(p) != 0 {
			return BadFrameSize
		}
		if c.acked {
			return UnaskedAck
		}
		c.acked = true
		c.recvBase = int64(c.o.streamWindow())
		c.dec.limit = c.o.tableSize()
		return none
	case len(p)%6 != 0:
		return BadFrameSize
	}
	c.counts.SettingsReceived++
	if code := c.settings(p); code != none {
		return code
	}
	b := c.sink.Buffer(frameHead)
	start := len(b)
	c.commit(appendFrameHead(b, 0, frameSettings, flagAck, 0), start)
	c.count(&c.controls, c.o.MaxOutboundControlFrames, DefaultMaxOutboundControlFrames, ControlFlood)
	c.owner.OnSettings()
	return none
}

// pingFrame answers a PING frame (RFC 9113 §6.7), or takes an answer.
func (c *Conn) pingFrame(p []byte, flags byte, id uint32) Code {
	switch {
	case id != 0:
		return BadStreamID
	case len(p) != 8:
		return BadFrameSize
	case flags&flagAck == 0:
		c.counts.PingsReceived++
		c.ping(flagAck, p)
	case c.pings > 0:
		c.pings--
		c.owner.OnPong([8]byte(p))
	}
	return none
}

// goAwayBy takes a GOAWAY frame (RFC 9113 §6.8).
func (c *Conn) goAwayBy(p []byte, id uint32) Code {
	if id != 0 {
		return BadStreamID
	}
	last, code := uint32At(p)&largest, ErrCode(uint32At(p[4:]))
	if last > c.peerLast {
		return BadGoAway
	}
	c.goneAway, c.peerLast = true, last
	if !c.o.Server {
		for _, s := range c.streams.all() {
			if s.c == c && s.flags&over == 0 && s.ID > last {
				c.end(s, code, false, true)
			}
		}
		for c.fresh.head != nil {
			c.end(c.fresh.head, code, false, true)
		}
	}
	c.owner.OnGoAway(last, code)
	return none
}

// windowFrame takes a WINDOW_UPDATE frame (RFC 9113 §6.9).
func (c *Conn) windowFrame(p []byte, id uint32) Code {
	if len(p) != 4 {
		return BadFrameSize
	}
	c.windowUpdates++
	if c.windowUpdates > 5+2*(c.opened+uint64(or(c.o.MaxWindowUpdates, DefaultMaxWindowUpdates))*c.dataSent) {
		return WindowUpdateFlood
	}
	n := int64(uint32At(p) & largest)
	if id == 0 {
		if n == 0 {
			return ZeroWindowUpdate
		}
		if c.sendRoom += n; c.sendRoom > largest {
			return WindowOverflow
		}
		c.wake = c.wake || c.ready.head != nil
		return none
	}
	s := c.streams.find(id)
	if s == nil {
		if c.idle(id) {
			return IdleStream
		}
		return none
	}
	if n == 0 {
		c.fail(s, ZeroStreamWindowUpdate)
		return none
	}
	if s.send += n; c.sendBase+s.send > largest {
		c.fail(s, StreamWindowOverflow)
		return none
	}
	if s.links[0].next != nil && c.sendBase+s.send > 0 {
		c.leaveQueue(s)
		c.ready.push(s)
		c.wake = true
	}
	return none
}
