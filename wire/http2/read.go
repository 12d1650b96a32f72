package http2

// Feed reads on and says how much of in it has used; the rest must be given again with more behind it. An error is a *Error and the
// connection's end: GOAWAY was written, no stream was told (Lost does), and each later call gives it again.
func (c *Conn) Feed(in []byte) (used int, err error) {
	c.offerKept()
	c.yielded = false
	for c.fault == none && !c.yielded {
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

// Yield has the Feed that is under way return when the frame that it is at has been read: the rest of what came is for later, so that one
// peer who asks much at once does not keep others waiting.
func (c *Conn) Yield() { c.yielded = true }

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
	}
	if code == none {
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
		code = DataMismatch
	}
	s.in += uint64(frameHead + length)
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
