package http2

import "github.com/weftmesh/weft/wire/http"

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
		c.blockWire = len(p)
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
	s.blockBytes = frameHead + c.blockWire
	s.in += uint64(s.blockBytes)
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
