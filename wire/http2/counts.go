package http2

// Counts are events since the owner has looked, who sets them to zero. Names are those of Envoy's counters where it has one.
type Counts struct {
	ResetsReceived         uint32 // RST_STREAM of streams that had begun: rx_reset
	ResetsSent             uint32 // RST_STREAM: tx_reset
	ResetsProvoked         uint32 // of those, the ones for frames of the peer that were wrong
	Refused                uint32 // streams above SETTINGS_MAX_CONCURRENT_STREAMS, or that the owner did not want
	RefusedByPeer          uint32 // stream_refused_errors
	PingsReceived          uint32
	SettingsReceived       uint32
	EmptyFrames            uint32 // inbound_empty_frames_flood
	PriorityFlood          uint32 // inbound_priority_frames_flood
	WindowUpdateFlood      uint32 // inbound_window_update_frames_flood
	ControlFlood           uint32 // outbound_control_flood
	OutboundFlood          uint32 // outbound_flood
	HeaderOverflow         uint32 // header_overflow: heads or trailers over a limit, header blocks included that ended the connection
	MessagingErrors        uint32 // rx_messaging_error
	DroppedUnderscores     uint32 // dropped_headers_with_underscores: fields
	RejectedUnderscores    uint32 // requests_rejected_with_underscores_in_headers
	JoinedCookies          uint32 // crumbs that were joined to another
	Trailers               uint32 // trailers
	ConnectionErrors       uint32
	IgnoredFrames          uint32 // of unknown types, or for streams that are over
	GoAwaysSent            uint32 // goaway_sent
	HeadersWithoutInterest uint32 // headers_cb_no_stream: heads for streams that are over
}

// die ends the connection for what the peer did.
func (c *Conn) die(code Code) {
	if c.fault != none {
		return
	}
	f := code.err()
	c.goLast = min(c.goLast, c.lastPeer)
	c.goAway(f.ErrCode)
	c.fault = code
	c.counts.ConnectionErrors++
	switch code {
	case EmptyFrames:
		c.counts.EmptyFrames++
	case PriorityFlood:
		c.counts.PriorityFlood++
	case WindowUpdateFlood:
		c.counts.WindowUpdateFlood++
	case ControlFlood:
		c.counts.ControlFlood++
	case OutboundFlood:
		c.counts.OutboundFlood++
	case BlockTooLong:
		c.counts.HeaderOverflow++
	}
}

// backlog counts frames that the peer may not have read. Those before a mark are forgotten once the kernel has taken all bytes up to it;
// what was counted since is certainly unread until then. So it may exceed its limit by half and never speaks ill of who reads.
type backlog struct {
	mark  uint64 // as Conn.written
	since uint32
}

// count counts one frame more, which was committed.
func (c *Conn) count(l *backlog, limit, otherwise uint32, code Code) {
	l.since++
	if limit = or(limit, otherwise); l.since <= limit/2 {
		return
	}
	if c.written-uint64(c.sink.Unsent()) >= l.mark || uint64(c.sink.Unsent()) > c.written {
		l.mark, l.since = c.written, 0
	} else if l.since > limit && c.flood == none {
		c.flood = code
	}
}
