package l7

import (
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// attempt is one try of an exchange against one endpoint. An exchange has one of its own, which is used again for each further try;
// only a try that goes on beside another one (hedging) is made for the occasion.
type attempt struct {
	exchange      *exchange
	member        *upstream.Member
	conn          upstream.Loan
	response      *http.Response // where heads are read into
	wait          upstream.Wait
	perTry        loop.Timer // until the head of the response
	quiet         loop.Timer // until the next sign of life of the upstream
	pending       []byte     // body that a filter let go before a connection was lent; bounded as what filters hold
	began         int64
	framing       http1.Framing
	informational int // interim responses seen
	state         attemptState
}

type attemptState uint16

const (
	attemptRuns     attemptState = 1 << iota // begun, neither complete nor given up
	attemptWhole                             // the request was known to be whole when the attempt began, and has no body
	attemptAsked                             // the request was sent to its end
	attemptHead                              // the response's final head has come
	attemptEnd                               // the response came whole
	attemptFull                              // the upstream takes no more of the request for now
	attemptLast                              // pending ends the request
	attemptReported                          // the cluster has been told how it ended
	attemptHedged                            // it took so long that another one was begun beside it
	attemptUnwanted                          // its answer has come, and is not passed on
)

func (a *attempt) has(s attemptState) bool { return a.state&s != 0 }

func (a *attempt) reset(x *exchange) {
	a.exchange, a.member, a.conn, a.response = x, nil, nil, &x.response
	a.pending, a.informational, a.state = a.pending[:0], 0, 0
}

// begin tries an endpoint. end says that the request is its head.
func (a *attempt) begin(end bool) {
	x := a.exchange
	a.state, a.informational = attemptRuns, 0
	if end {
		a.state |= attemptWhole
	}
	x.tries++
	x.entry.Attempts = x.tries
	x.entry.UpstreamFailure, x.entry.UpstreamTLS = "", nil
	x.entry.UpstreamFirstSent, x.entry.UpstreamLastSent, x.entry.UpstreamHead, x.entry.UpstreamEnd = -1, -1, -1, -1
	l := x.local.Loop
	a.began = l.Nanotime()
	a.member = x.cluster.Choose(l, x.wish())
	if a.member == nil {
		a.state = 0
		x.countOther(nil, 503)
		x.fail(503, accesslog.NoHealthyUpstream, "no_healthy_upstream", "no healthy upstream")
		return
	}
	x.entry.UpstreamName, x.entry.About[accesslog.OfEndpoint] = a.member.Hostname, a.member.Metadata
	if m := x.entry.More; m != nil {
		m.Chosen, m.Lent, m.Ready = true, false, -1
		m.Dialled, m.Connected, m.UpstreamShaken, m.UpstreamBody = accesslog.Instant{}, accesslog.Instant{}, accesslog.Instant{}, accesslog.Instant{}
	}
	if x.server.config.MatchUpstreamScheme {
		x.request.SetScheme([]byte(a.member.Scheme()))
	}
	x.noteTried(a.member)
	x.nameEndpoint()
	conn, failure := a.connect()
	switch {
	case conn != nil:
		a.OnLent(conn)
	case failure != upstream.NoFailure:
		a.failed(failure)
	}
}

// repeatable tells whether the request may be sent twice without asking anybody: it is idempotent (RFC 9110 §9.2.2), and whole.
func (a *attempt) repeatable() bool {
	if !a.has(attemptWhole) || a.exchange.has(upgradeAsked) {
		return false
	}
	switch string(a.exchange.request.Method()) {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// OnLent sends the request's head; its body follows as it comes.
func (a *attempt) OnLent(c upstream.Loan) {
	x := a.exchange
	a.conn = c
	a.framing = x.requestFraming(a.has(attemptWhole))
	head := c.SendHead(&x.request, a.framing, x.has(upgradeAsked), x.server.decode.KeepSpelling)
	if !x.has(terminated) {
		a.ready()
	}
	if m := x.entry.More; m != nil {
		if c.Version() == http.HTTP2 {
			_, sent := c.Wire()
			m.To.Frames(x.request.HeadSize(), int(sent))
		} else {
			m.To.Written(accesslog.FieldBytes(head))
		}
	}
	if d := x.streamLimit; d > 0 {
		x.set(&x.answer, d)
	}
	a.alive()
	switch {
	case a.has(attemptWhole):
		a.sendBody(nil, true)
		return
	case x.has(keepsBody):
		a.sendBody(x.retry.body, x.has(bodyPassed))
	case len(a.pending) > 0 || a.has(attemptLast):
		b := a.pending
		a.pending = b[:0]
		a.sendBody(b, a.has(attemptLast))
	}
	x.offerRoom(&x.up)
	x.pump()
}

// ready takes note of a connection that stands.
func (a *attempt) ready() {
	x := a.exchange
	a.sign()
	x.entry.UpstreamFirstSent = x.since()
	x.tally(TallyTotal)
	if x.entry.More != nil {
		a.noteReady(true)
	}
}

// sign writes down where the attempt goes.
func (a *attempt) sign() {
	e, address := &a.exchange.entry, a.member.Address()
	e.UpstreamRemote, e.UpstreamPath = a.conn.Conn().Remote(), address.Path // the endpoint may have moved, the connection has not
	e.UpstreamHost, e.UpstreamTLS = e.UpstreamRemote, transport(a.conn.Conn())
	e.UpstreamLocal, e.UpstreamConnectionID, e.UpstreamRaw = a.conn.Local(), a.conn.Number(), a.exchange.has(terminated)
	e.UpstreamProtocol = a.conn.Version()
}

// takesBody tells whether more of the request's body can be sent now.
func (a *attempt) takesBody() bool { return a.conn != nil && !a.has(attemptFull) }

// sendBody sends a piece of the request's body. While no connection is lent the downstream connection keeps its bytes; only what
// filters held can come then.
func (a *attempt) sendBody(b []byte, end bool) {
	x := a.exchange
	if a.conn == nil {
		if a.has(attemptRuns) && !x.has(keepsBody) {
			a.pending = append(a.pending, b...)
			if end {
				a.state |= attemptLast
			}
		}
		return
	}
	a.conn.SendBody(b)
	a.alive()
	if a.conn.Over() && !a.has(attemptFull) {
		a.state |= attemptFull
		x.clusterStats().Inc(upstream.FlowBackedUp)
	}
	if end && !a.has(attemptAsked) {
		a.state |= attemptAsked
		a.sendEnd()
		if !x.has(upgradeAsked) { // the end of its head is not the end of a tunnel
			x.entry.UpstreamLastSent = x.since()
		}
		a.startTry()
	}
}

// sendEnd ends the request, with its trailers if it has some.
func (a *attempt) sendEnd() {
	x := a.exchange
	_, before := a.conn.Wire()
	a.conn.SendEnd(x.requestTrailers)
	if m := x.entry.More; m != nil && x.requestTrailers != nil {
		_, after := a.conn.Wire()
		switch {
		case a.conn.Version() == http.HTTP2:
			m.To.Frames(x.requestTrailers.Size(), int(after-before))
		case a.framing == http1.Chunked:
			m.To.Written(int(after-before) - len(lastChunk))
		}
	}
}

// OnLowWater lets more of the request come.
func (a *attempt) OnLowWater() {
	a.state &^= attemptFull
	a.exchange.offerRoom(&a.exchange.up)
	a.exchange.pump()
}

// Response is where heads are read into.
func (a *attempt) Response() *http.Response { return a.response }

// OnHead takes a head of the response.
func (a *attempt) OnHead(end bool) {
	x := a.exchange
	r := a.response
	a.alive()
	if m := x.entry.More; m != nil && !x.has(terminated) {
		m.From.Head(a.conn.FieldBytes())
	}
	if r.IsInformational() {
		x.informational(a)
		return
	}
	if x.has(terminated) { // nobody has sent this head: the connection stands
		a.ready()
		x.entry.UpstreamLastSent = min(x.entry.UpstreamLastSent, x.entry.UpstreamFirstSent)
	}
	a.state |= attemptHead
	if end {
		a.state |= attemptEnd
	}
	o := outcome(x.cluster, r)
	o.Unwell = r.Has(http.XEnvoyImmediateHealthCheckFail)
	o.Degraded = x.cluster.Config.Outliers != nil && x.cluster.Config.Outliers.Degrade && r.Find(http.Lookup(upstream.SaysDegraded), upstream.SaysDegraded, 0) >= 0
	a.report(o)
	if x.has(mayRetry) && x.retryAnswer(a, end) {
		return
	}
	x.entry.UpstreamHead = x.since()
	if end {
		x.entry.UpstreamEnd = x.entry.UpstreamHead
	}
	if x.forward.Follow != nil && x.follow(a, end) {
		return
	}
	if len(x.rivals) > 0 || a.response != &x.response {
		x.prefer(a)
	}
	x.local.Loop.StopTimer(&a.perTry)
	x.alive()
	x.onResponseHead(end)
}

// report tells the cluster how the attempt has ended, once.
func (a *attempt) report(o upstream.Outcome) {
	if a.member != nil && !a.has(attemptReported) {
		a.state |= attemptReported
		a.exchange.cluster.Report(a.exchange.local.Loop, a.member, o)
	}
}

// OnBody takes a piece of the response's body.
func (a *attempt) OnBody(b []byte) {
	x := a.exchange
	a.alive()
	x.alive()
	if m := x.entry.More; m != nil && !m.UpstreamBody.Happened() {
		m.UpstreamBody = accesslog.At(x.since())
	}
	x.passBody(&x.down, 0, b, false)
}

// OnTrailers takes the response's trailers.
func (a *attempt) OnTrailers(t *http.Header) {
	x := a.exchange
	x.entry.ResponseTrailers = t
	if m := x.entry.More; m != nil {
		m.From.Trailers(a.conn.FieldBytes())
	}
	x.passTrailers(&x.down, 0, t)
}

// OnEnd says that the response is complete. The connection has gone back already.
func (a *attempt) OnEnd() {
	x := a.exchange
	conn := a.conn
	a.conn = nil
	whole := a.has(attemptEnd)
	a.state |= attemptEnd
	a.state &^= attemptRuns
	a.settle(conn)
	if a.has(attemptUnwanted) {
		return
	}
	x.local.Loop.StopTimer(&x.deadline)
	if !whole {
		x.entry.UpstreamEnd = x.since()
		if m := x.entry.More; m != nil && !m.UpstreamBody.Happened() && x.entry.ResponseTrailers == nil {
			m.UpstreamBody = accesslog.At(x.since()) // of a body that turns out to be empty its end is the first
		}
		x.passBody(&x.down, 0, nil, true)
		return
	}
	x.finishIfDone()
}

// settle takes note of what the attempt has cost.
func (a *attempt) settle(c upstream.Loan) {
	x := a.exchange
	received, sent := c.Wire()
	x.entry.UpstreamWireSent += sent
	x.entry.UpstreamWireReceived += received
	a.stopTimers()
	if a == x.attempt {
		x.local.Loop.StopTimer(&x.answer)
	}
}

// OnRefused says that there is no connection.
func (a *attempt) OnRefused(f upstream.Failure, why string) {
	a.conn = nil // a tunnel's is lent before it stands
	a.exchange.entry.UpstreamFailure, a.exchange.entry.UpstreamLastSent = why, -1
	a.failed(f)
}

// OnBroken says that the connection was lost.
func (a *attempt) OnBroken(f upstream.Failure) {
	conn := a.conn
	a.conn = nil
	a.settle(conn)
	a.failed(f)
}

// failed judges a failure: the request is tried again where that is safe and of use, or as its retry policy says; else the exchange
// fails, unless another attempt is still under way.
func (a *attempt) failed(f upstream.Failure) {
	x := a.exchange
	a.state &^= attemptRuns
	if a.has(attemptUnwanted) {
		return
	}
	if f == upstream.Stale && a.repeatable() && x.stale < maxStale {
		// The connection was closed while it was idle, and we had not heard of it yet: an old race, and nobody's fault.
		x.stale++
		x.clusterStats().Inc(upstream.StaleRetry)
		a.begin(true)
		return
	}
	if f == upstream.Unprocessed && a.has(attemptWhole) && x.stale < maxUnprocessed {
		// It is certain that nobody has looked at it (RFC 9113 §8.7).
		x.stale++
		x.clusterStats().Inc(upstream.StaleRetry)
		a.begin(true)
		return
	}
	if !a.has(attemptHead) {
		x.cluster.Report(x.local.Loop, a.member, upstream.Outcome{Failure: f})
	}
	if x.entry.More != nil && a.conn == nil && !x.entry.More.Lent {
		a.noteReady(false)
	}
	v := &verdicts[f]
	if v.safe {
		x.entry.UpstreamHost, x.entry.UpstreamPath = a.member.Address().AddrPort, a.member.Address().Path
	}
	answered := x.has(headSent) || a.has(attemptHead) && x.down.passed
	if !a.has(attemptHead) && x.has(mayRetry) && (x.retryAfter(a, f) || x.leaveRace(a)) {
		return
	}
	x.entry.Flags |= v.flags
	details := v.failedBecause(x.entry.UpstreamFailure, answered)
	if answered {
		x.abort(details)
		return
	}
	x.down.reset()
	x.countOther(a.member, v.status)
	x.scratch = v.body(x.scratch[:0], x.has(retried))
	if f == upstream.Overflow {
		x.cluster.Drops.Refused.Add(1)
		x.response.Reset()
		x.replyAs(answer{status: v.status, details: details, body: x.scratch, refused: http.XEnvoyOverloaded})
		return
	}
	x.reply(v.status, details, x.scratch, "")
}

// maxStale bounds how often one request is repeated because connections turned out to be closed. The last try gets a new one
// sooner or later: each closed one is gone.
const maxStale = 8

// maxUnprocessed is the same for streams that an upstream does not take. One that is overloaded is not helped by more.
const maxUnprocessed = 3

// timedOut is the route's timeout.
func (a *attempt) timedOut() {
	x := a.exchange
	x.clusterStats().Inc(upstream.RqTimeout)
	x.tally(TallyTimeout)
	a.report(upstream.Outcome{TimedOut: true})
	if !x.has(headSent) {
		x.countOther(a.member, x.lateAnswer)
	}
	text := "upstream request timeout"
	if x.lateAnswer == 204 {
		text = ""
	}
	x.fail(x.lateAnswer, accesslog.UpstreamRequestTimeout, "response_timeout", text)
}

// tooLong is the cluster's limit of a stream's life.
func (a *attempt) tooLong() {
	x := a.exchange
	x.clusterStats().Inc(upstream.RqMaxDuration)
	x.fail(x.lateStatus(), accesslog.UpstreamMaxStreamDurationReached, "upstream_max_stream_duration_reached", "upstream max stream duration reached")
}

// abandon gives the attempt up.
func (a *attempt) abandon() {
	a.wait.Cancel()
	a.stopTimers()
	if c := a.conn; c != nil {
		a.conn = nil
		a.settle(c)
		c.Abandon()
	}
	a.state &^= attemptRuns
}

func (a *attempt) stopTimers() {
	l := a.exchange.local.Loop
	l.StopTimer(&a.perTry)
	l.StopTimer(&a.quiet)
}

// resume lets the response flow again.
func (a *attempt) resume() {
	if a.conn != nil && !a.exchange.down.awaiting() && !a.exchange.has(flowStopped) {
		a.conn.Resume()
	}
}

// OnPanic is a panic of a filter, or of ours, over the response; the upstream connection is gone.
func (a *attempt) OnPanic(v any) {
	a.conn = nil
	a.state &^= attemptRuns
	a.exchange.OnPanic(v)
}
