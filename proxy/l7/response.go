package l7

import (
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// maxInformational bounds the interim responses of one exchange: an upstream that sends them for ever would be one that never answers.
const maxInformational = 16

// informational passes an interim response on. 100 is for clients that asked for it.
func (x *exchange) informational(a *attempt) {
	if a.informational++; a.informational > maxInformational {
		x.fail(502, accesslog.UpstreamProtocolError, "upstream_reset_before_response_started{protocol_error}", "more than 16 interim responses")
		return
	}
	r := a.response
	x.countOther(a.member, r.Status)
	if r.Status == 100 && !x.server.config.Proxy100Continue || x.request.Version == http.HTTP10 {
		return
	}
	c := x.conn.conn
	r.Remove(http.Connection)
	x.conn.countStatus(r.Status)
	b := c.Buffer(r.Size() + headRoom)
	at := len(b)
	b = http1.AppendResponse(b, r, http.HTTP11, http1.NoBody, x.encode())
	x.noteSent(b[at:])
	c.Commit(b)
}

// headRoom is what a head takes beside its fields' names and values.
const headRoom = 512

// onResponseHead takes the final head from the upstream through the filters.
func (x *exchange) onResponseHead(end bool) {
	x.entry.Details = "via_upstream"
	x.entry.Response = &x.response
	if x.has(upgradeAsked) {
		x.grantUpgrade()
	}
	x.countUpstream()
	r := &x.response
	if x.has(requestEnded) && !x.has(upgradeAsked) && !x.server.config.Router.SuppressEnvoyHeaders { // Envoy counts from the end of the request
		x.scratch = strconv.AppendInt(x.scratch[:0], (x.local.Loop.Nanotime()-x.attempt.began)/1e6, 10)
		r.Set(http.XEnvoyUpstreamServiceTime, x.scratch)
	}
	x.tellTries()
	x.entry.Status = r.Status
	if x.cookies != 0 {
		x.giveCookies()
	}
	x.changeResponse()
	x.passHead(&x.down, 0, end)
}

// tellTries says in the response how many attempts it took, if the virtual host wants that told.
func (x *exchange) tellTries() {
	if v := x.found.VirtualHost; v != nil && v.AttemptCountInResponse && x.tries > 0 {
		var n [20]byte
		x.response.Set(http.XEnvoyAttemptCount, strconv.AppendUint(n[:0], uint64(x.tries), 10))
	}
}

// grantUpgrade makes the exchange a tunnel if the upstream agreed: with 101, or to CONNECT with 2xx. Any other answer is one of HTTP,
// and the connection ends with it, since the client may have sent more already (CVE-2024-23326, CVE-2026-73548).
func (x *exchange) grantUpgrade() {
	status := x.response.Status
	if status != 101 && !(x.request.IsConnect() && status >= 200 && status < 300) {
		x.conn.state |= connLast
		return
	}
	x.state |= tunnelling
	x.conn.state |= connLast
	stats := x.conn.stats
	stats.Inc(CxUpgradesTotal)
	stats.Inc(CxUpgradesActive)
	x.state &^= requestEnded // what comes now is the tunnel's, and has an end of its own
	x.attempt.state &^= attemptAsked
	x.conn.decoder.Upgrade()
	x.local.Loop.StopTimer(&x.deadline)
}

// sendHead completes the head and writes it downstream.
func (x *exchange) sendHead(end bool) {
	r, c := &x.response, x.conn
	if !x.has(tunnelling) {
		r.Remove(http.Connection)
		r.Remove(http.Upgrade)
	}
	r.Remove(http.KeepAlive)
	r.Remove(http.ProxyConnection)
	x.identify()
	if !r.Has(http.Date) {
		r.Add(http.Date, x.local.Loop.Date())
	}
	framing := x.responseFraming(end)
	if !x.has(requestEnded) && !x.has(tunnelling) && (end || x.has(ownHead)) {
		c.state |= connLast // the rest of the request would have to be read in vain
	}
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
	x.state |= headSent
	x.entry.Status = r.Status
	b := c.conn.Buffer(r.Size() + headRoom)
	at := len(b)
	b = http1.AppendResponse(b, r, x.version(), framing, x.encode())
	x.noteSent(b[at:])
	c.conn.Commit(b)
	if x.has(tunnelling) {
		if x.server.config.LogTunnel {
			x.logAt(config.LogAtTunnel)
		}
		x.pump()
	}
	x.entry.DownstreamHead = x.since() // to Envoy, not before a tunnel has been logged
	if end {
		x.responseDone()
	}
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

// identify says who answered, and to what.
func (x *exchange) identify() {
	r, s := &x.response, x.server
	switch s.config.ServerHeader {
	case config.ServerOverwrite:
		r.Set(http.Server, s.name)
	case config.ServerAppendIfAbsent:
		if !r.Has(http.Server) {
			r.Add(http.Server, s.name)
		}
	}
	if s.config.RequestIDInResponse {
		if id := x.request.Get(http.XRequestID); id != nil {
			r.Set(http.XRequestID, id)
		}
	}
	if len(s.via) > 0 {
		appendList(x, &r.Header, http.Via, s.via, ", ")
	}
}

// responseFraming says how the body is told from what follows it.
func (x *exchange) responseFraming(end bool) http1.Framing {
	r := &x.response
	switch {
	case x.has(tunnelling):
		return http1.UntilClose
	case x.has(hasHead) && x.request.IsHead(), r.Status == 204, r.Status == 304:
		x.state |= bodiless
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

// sendBody writes a piece of the response's body downstream, and stops the upstream where the client cannot keep up.
func (x *exchange) sendBody(b []byte, end bool) {
	if x.has(over | responseEnded) {
		return
	}
	c := x.conn.conn
	if len(b) > 0 && !x.has(bodiless) {
		x.entry.BytesSent += uint64(len(b))
		if x.has(chunkedDown) {
			c.Commit(http1.AppendChunkHead(c.Buffer(32), len(b)))
			c.Write(b)
			c.Commit(http1.AppendChunkEnd(c.Buffer(2)))
		} else {
			c.Write(b)
		}
		if c.Over() && x.attempt.conn != nil && !x.has(flowStopped) {
			x.state |= flowStopped
			x.conn.stats.Inc(FlowPausedReading)
			x.attempt.conn.Pause()
		}
	}
	if !end {
		return
	}
	if x.has(chunkedDown) {
		room := 16
		if x.trailers != nil {
			room += x.trailers.Size() + headRoom
		}
		b := c.Buffer(room)
		at := len(b)
		b = http1.AppendLastChunk(b, x.trailers, x.encode())
		if m := x.entry.More; m != nil {
			m.Sent += uint64(len(b) - at - len(lastChunk))
		}
		c.Commit(b)
	}
	x.responseDone()
}

// onDownstreamLowWater lets the response flow again.
func (x *exchange) onDownstreamLowWater() {
	if x.has(flowStopped) {
		x.state &^= flowStopped
		x.conn.stats.Inc(FlowResumedReading)
		x.attempt.resume()
	}
	x.offerRoom(&x.down)
}
