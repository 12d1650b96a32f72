package http2

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
	if c.o.NoPriorityFrames || uint64(c.priorities) > uint64(or(c.o.MaxPriorityFrames, DefaultMaxPriorityFrames))*(1+c.opened) {
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
	s.in += uint64(frameHead + len(p))
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
	s.in += uint64(frameHead + len(p))
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
