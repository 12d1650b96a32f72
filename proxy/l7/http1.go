package l7

import (
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// In HTTP/1 there is one exchange at a time on a connection, in order. While one is under way the next one's bytes wait, so pipelining
// costs no more than the connection's buffer.

// OnData decodes requests. It stops where the exchange cannot take more; what is left comes again.
func (c *Conn) OnData(b []byte) int {
	if c.state&connFresh != 0 {
		if len(b) == 0 || !c.chooseVersion(b) {
			return 0
		}
		if c.shared != nil {
			return c.shared.OnData(b)
		}
	}
	used := 0
	for {
		x := c.exchange
		if x == nil {
			if used == len(b) || c.conn.Closed() {
				return len(b)
			}
			x = c.begin()
		}
		if !x.wantsRequest() {
			if used < len(b) {
				// More has come than this exchange can use now: the kernel keeps the rest until it can. Not before, though: to pause
				// and resume for every request would cost two system calls.
				c.conn.Pause()
			}
			c.state |= connStopped
			return used
		}
		c.state |= connDecodes
		n, event, data, err := c.decoder.NextRequest(b[used:], &x.request)
		c.state &^= connDecodes
		used += n
		if err != nil {
			c.refuse(x, err.(*http1.Error))
			return len(b)
		}
		switch event {
		case http1.NeedMore:
			return used
		case http1.Head:
			x.onRequestHead(c.decoder.NoBody())
		case http1.Body:
			x.onRequestBody(data)
		case http1.Trailers:
			x.onRequestTrailers(c.decoder.Trailers)
		case http1.End:
			x.onRequestEnd()
		}
		if c.conn.Closed() {
			return len(b)
		}
	}
}

// begin starts an exchange with the first byte of a request.
func (c *Conn) begin() *exchange {
	x := c.local.exchange()
	x.start(c, c)
	c.exchange = x
	if d := c.server.config.RequestHeadersTimeout; d > 0 {
		x.set(&x.headers, d)
	}
	return x
}

// refuse answers what is not HTTP, or breaks a limit, and ends the connection: no later byte can be trusted (RFC 9112 §2.2).
func (c *Conn) refuse(x *exchange, err *http1.Error) {
	switch err.Code {
	case http1.MissingHost: // a request that Envoy's codec takes
	case http1.Fragment:
		c.stats.Inc(RqFailedPathNormalization)
	case http1.Underscore:
		c.stats.Inc(CodecRejectedUnderscores)
		fallthrough
	default:
		c.stats.Inc(CxProtocolError)
		c.state |= connBroken
	}
	c.state |= connLast
	x.malformed(err)
}

// opened implements client.
func (c *Conn) opened() {
	if c.isLast() || c.state&connSoft != 0 || !c.decoder.KeepAlive() {
		c.state |= connLast
	}
	if n := c.decoder.DroppedUnderscores(); n > 0 {
		c.stats.Add(CodecHeadersWithUnderscores, uint64(n))
	}
}

// fieldBytes implements client.
func (c *Conn) fieldBytes() (fields, wire int) { return c.decoder.FieldBytes(), 0 }

// upgradeAsked implements client.
func (c *Conn) upgradeAsked() bool { return c.decoder.UpgradeAsked() }

// last implements client.
func (c *Conn) last() { c.state |= connLast }

// upgrade implements client.
func (c *Conn) upgrade() { c.decoder.Upgrade() }

// interim implements client.
func (c *Conn) interim(r *http.Response) {
	x := c.exchange
	b := c.conn.Buffer(r.Size() + headRoom)
	at := len(b)
	b = http1.AppendResponse(b, r, http.HTTP11, http1.NoBody, x.encode())
	if r != continueHead {
		x.noteSent(b[at:])
	}
	c.conn.Commit(b)
}

// headRoom is what a head takes beside its fields' names and values.
const headRoom = 512

// head implements client.
func (c *Conn) head(end bool) {
	x := c.exchange
	r := &x.response
	framing := x.responseFraming(end)
	if !x.has(tunnelling) {
		switch {
		case framing == http1.UntilClose:
			x.state |= untilClose
			c.state |= connLast
			fallthrough
		case c.state&connLast != 0:
			r.SetString(http.Connection, "close")
		case x.request.Version == http.HTTP10 && x.has(hasHead):
			r.SetString(http.Connection, "keep-alive")
		}
	}
	b := c.conn.Buffer(r.Size() + headRoom)
	at := len(b)
	b = http1.AppendResponse(b, r, x.version(), framing, x.encode())
	x.noteSent(b[at:])
	c.conn.Commit(b)
}

// body implements client.
func (c *Conn) body(b []byte) {
	if !c.exchange.has(chunkedDown) {
		c.conn.Write(b)
		return
	}
	c.conn.Commit(http1.AppendChunkHead(c.conn.Buffer(32), len(b)))
	c.conn.Write(b)
	c.conn.Commit(http1.AppendChunkEnd(c.conn.Buffer(2)))
}

// finish implements client. Only a body in chunks has an end to be told, and trailers.
func (c *Conn) finish(trailers *http.Header) {
	x := c.exchange
	if !x.has(chunkedDown) {
		return
	}
	if !c.server.config.Trailers {
		trailers = nil
	}
	room := 16
	if trailers != nil {
		room += trailers.Size() + headRoom
	}
	b := c.conn.Buffer(room)
	at := len(b)
	b = http1.AppendLastChunk(b, trailers, x.encode())
	if m := x.entry.More; m != nil {
		m.Sent.Written(len(b) - at - len(lastChunk))
	}
	c.conn.Commit(b)
}

// full implements client.
func (c *Conn) full() bool { return c.conn.Over() }

// pump implements client.
func (c *Conn) pump() {
	c.conn.Resume()
	if c.state&connStopped != 0 {
		c.state &^= connStopped
		c.conn.Again()
	}
}

// wire implements client.
func (c *Conn) wire() (received, sent uint64) {
	return c.conn.Received() - c.rx, c.conn.Sent() + uint64(c.conn.Unsent()) - c.tx
}

// cut implements client.
func (c *Conn) cut() {
	x := c.exchange
	c.exchange = nil
	c.leave(CxDestroyLocal)
	if x.has(untilClose) {
		c.conn.Reset() // an orderly end would make what came look like the whole
	} else {
		c.conn.Flush()
		c.conn.Close()
	}
}

// done implements client.
func (c *Conn) done() {
	c.exchange = nil
	c.served++
	c.countBytes()
	if c.state&connLast != 0 {
		c.state |= connDrained
		c.end()
		return
	}
	c.since = c.local.Loop.Nanotime()
	if d := c.server.config.IdleTimeout; d > 0 && !c.idle.Pending() {
		c.local.Loop.SetTimer(&c.idle, d, c)
	}
	c.conn.Resume()
}

// OnEOF is taken for the wish to end: a client that half-closes is gone for Envoy too.
func (c *Conn) OnEOF() {
	x := c.exchange
	if x != nil && x.tunnels() {
		if event, err := c.decoder.EOF(); err == nil && event == http1.End {
			x.onRequestEnd()
		}
		return
	}
	c.drop(CxDestroyRemote)
	c.conn.Close()
}

// encode says how names are spelled: as the upstream did, if the cluster keeps that, else as the server is told to.
func (x *exchange) encode() http1.WriteOptions {
	o := x.server.encode
	if !x.has(ownHead) && x.cluster != nil && x.cluster.Config.Spelling == config.SpellAsReceived {
		o.Spelling = http1.AsReceived
	}
	return o
}

// version is that of the response: a request that could not be read gets HTTP/1.1.
func (x *exchange) version() http.Version {
	if x.has(hasHead) && x.request.Version == http.HTTP10 {
		return http.HTTP10
	}
	return http.HTTP11
}

// responseFraming says how the body is told from what follows it.
func (x *exchange) responseFraming(end bool) http1.Framing {
	r := &x.response
	switch {
	case x.has(tunnelling):
		return http1.UntilClose
	case x.has(bodiless):
		return http1.NoBody
	}
	if n := r.Get(http.ContentLength); n != nil {
		if v, err := strconv.ParseInt(string(n), 10, 64); err == nil {
			return http1.Sized(v)
		}
	}
	switch {
	case end:
		return http1.Sized(0)
	case x.version() == http.HTTP10:
		return http1.UntilClose
	}
	x.state |= chunkedDown
	return http1.Chunked
}
