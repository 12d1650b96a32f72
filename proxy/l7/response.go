package l7

import (
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
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
	r.Remove(http.Connection)
	x.conn.countStatus(r.Status)
	x.client.interim(r)
}

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
		x.client.last()
		return
	}
	x.state |= tunnelling
	x.client.last()
	stats := x.conn.stats
	stats.Inc(CxUpgradesTotal)
	stats.Inc(CxUpgradesActive)
	x.state &^= requestEnded // what comes now is the tunnel's, and has an end of its own
	x.attempt.state &^= attemptAsked
	x.client.upgrade()
	x.local.Loop.StopTimer(&x.deadline)
}

// sendHead completes the head and writes it downstream.
func (x *exchange) sendHead(end bool) {
	r := &x.response
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
	if !x.has(tunnelling) && (x.has(hasHead) && x.request.IsHead() || r.Status == 204 || r.Status == 304) {
		x.state |= bodiless
	}
	if !x.has(requestEnded) && !x.has(tunnelling) && (end || x.has(ownHead)) {
		x.client.last() // the rest of the request would have to be read in vain
	}
	x.state |= headSent
	x.entry.Status = r.Status
	x.client.head(end)
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

// sendBody writes a piece of the response's body downstream, and stops the upstream where the client cannot keep up.
func (x *exchange) sendBody(b []byte, end bool) {
	if x.has(over | responseEnded) {
		return
	}
	if len(b) > 0 && !x.has(bodiless) {
		x.entry.BytesSent += uint64(len(b))
		x.client.body(b)
		if x.client.full() && x.attempt.conn != nil && !x.has(flowStopped) {
			x.state |= flowStopped
			x.conn.stats.Inc(FlowPausedReading)
			x.attempt.conn.Pause()
		}
	}
	if !end {
		return
	}
	x.client.finish(x.trailers)
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
