package l7

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// exchange is one request and its response. It belongs to its loop and is used again for later ones, so that in steady state nothing
// is allocated; sequence tells one use from the next, for what may come late.
type exchange struct {
	local      *Local
	conn       *Conn
	client     client
	server     *Server
	generation *Generation

	request  http.Request
	response http.Response
	trailers *http.Header // of the response, while they are written
	entry    accesslog.Entry
	spare    spare
	more     *accesslog.More // of the entry, if a format has asked for it once
	input    route.Input
	table    *Table // that it meets; nil: there is none
	found    route.Result
	cluster  *upstream.Cluster
	forward  *config.Forward
	said     route.Words // of filters, where the request is in its table
	saidAt   []int       // by filter, where it is in said; -1: nowhere
	share    *config.WeightedCluster
	offer    *tls.Offer // of a filter's, for TLS servers; nil: none
	first    attempt
	attempt  *attempt   // the last one begun or, once a response is passed on, the one that it came from
	rivals   []*attempt // others that are under way (hedging)
	retry    *retry     // meaningful with mayRetry
	followed *followed
	tallies  [2]*tally // of the route and of the virtual cluster, if they are counted
	mirrors  []*mirror // copies that want more of the request
	tries    uint32    // attempts begun
	stale    uint32    // of them, those that met a connection which was closed already
	// requestTrailers are those of the request, until its end is sent.
	requestTrailers *http.Header
	hash            uint64 // what the request is hashed to, if hashed
	cookies         uint64 // by hash policy: the client is to be given the cookie
	hashed          bool

	filters  []filters.Filter // this exchange's, in the chain's order
	links    *links           // that they were made of; nil: they have been left
	up, down lane
	moving   *lane         // of which a hook runs
	running  int           // whose filter that is
	passedOn bool          // and that it has handed on what it was given
	added    []byte        // a body that it gives to a message without one
	skip     []bool        // filters that are off for this exchange
	timeout  time.Duration // of the response, once the request is whole; 0: none
	// streamLimit bounds the upstream's part; 0: nothing does. lateAnswer is the status of an answer that comes too late.
	streamLimit time.Duration
	lateAnswer  uint16

	headers  loop.Timer // until the request's head is there
	deadline loop.Timer // until the whole request is there, then until the response is
	answer   loop.Timer // until the end of the upstream's part
	quiet    loop.Timer // until the next sign of life
	duration loop.Timer // until the end
	report   loop.Timer // until it is logged meanwhile

	began    int64 // on the loop's clock
	sequence uint32
	state    exchangeState
	scratch  []byte // for values that are put together
	key      []byte // of the scope
	made     []byte // bodies of answers of ours that are
}

type exchangeState uint32

const (
	hasHead       exchangeState = 1 << iota // the request's head was decoded
	requestEnded                            // the request came whole
	ownHead                                 // the response is ours, not an upstream's
	replied                                 // a reply of ours has been decided
	headSent                                // the response's head is written
	responseEnded                           // the response is written whole
	upgradeAsked                            // an upgrade or CONNECT that is allowed
	tunnelling                              // and that was granted
	chunkedDown                             // the response's body is written in chunks
	bodiless                                // the response has no body, whatever it says
	untilClose                              // the response's body ends with the connection
	rerouted                                // the route was matched
	external                                // the request comes from outside
	flowStopped                             // the upstream waits for the downstream
	terminated                              // a CONNECT that ends here, or a POST that is taken for one: its bytes go upstream as they are
	over                                    // given back, or about to be
	mayRetry                                // retry holds this exchange's policy
	keepsBody                               // what is passed on of the request's body is kept for further tries
	bodyPassed                              // the request's end was passed on
	headOnly                                // the request has no body
	retried                                 // a try after the first was begun
	asksGRPC                                // the request is one of gRPC, whatever filters make of it
)

func (x *exchange) has(s exchangeState) bool { return x.state&s != 0 }

func (x *exchange) start(c *Conn, by client) {
	l := c.local
	x.conn, x.client, x.server = c, by, c.server.current()
	x.generation = l.Generation
	if last := x.server.last.Load(); last != nil {
		x.generation = last
	}
	x.sequence++
	x.state = 0
	x.input.Reset(&x.request, l.Loop.Random())
	x.input.Presented, x.input.Validated = c.state&connPresented != 0, c.state&connVerified != 0
	if x.followed != nil {
		x.followed.reset()
	}
	x.beginPass()
	if d := c.server.config.LogEvery; d > 0 {
		x.set(&x.report, d)
	}
	c.stats.Inc(RqTotal)
	x.conn.countRequest()
	c.stats.Inc(RqActive)
}

// countRequest counts a request, or a pass of one, by the connection's version.
func (c *Conn) countRequest() {
	if c.shared != nil {
		c.stats.Inc(RqHTTP2)
	} else {
		c.stats.Inc(RqHTTP1)
	}
}

// flushTimeout is how long a client may take for the end of an answer: what the route says of that, or the connection manager, or else how
// long a stream may be silent; 0: for ever.
func (x *exchange) flushTimeout() time.Duration {
	c, f := x.server.config, x.forward
	switch {
	case f != nil && f.FlushTimeout != nil:
		return *f.FlushTimeout
	case c.FlushTimeout != nil:
		return *c.FlushTimeout
	case f != nil && f.IdleTimeout != nil:
		return *f.IdleTimeout
	}
	return c.StreamIdleTimeout
}

// beginPass forgets what is known of the way of a request: at its beginning, and where a redirect is followed.
func (x *exchange) beginPass() {
	l, c := x.local, x.conn
	x.began = l.Loop.Nanotime()
	x.spare.keep(x.entry.Metadata)
	x.entry = accesslog.Entry{Start: l.Loop.Now(), ConnectionID: c.number, Direct: c.conn.Direct(), Remote: c.conn.Remote(), Local: c.address(), DirectLocal: c.conn.DirectLocal(),
		ServerName: c.conn.ServerName(), FilterChain: c.server.chainAs, Protocol: c.version(), HasProtocol: true, TLS: transport(c.conn),
		About: c.server.about, More: x.askedMore(), RequestEnd: -1, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: -1}
	if len(c.server.state) > 0 {
		x.entry.State = slices.Clone(c.kept[stateKey{}].([]config.State))
	}
	x.table, x.found, x.cluster, x.forward, x.share, x.offer = nil, route.Result{}, nil, nil, nil, nil
	x.tallies = [2]*tally{}
	x.attempt, x.rivals = &x.first, x.rivals[:0]
	x.first.reset(x)
	x.tries, x.stale, x.requestTrailers = 0, 0, nil
	x.hash, x.hashed, x.cookies = 0, false, 0
	x.up.reset()
	x.down.reset()
	x.down.backward = true
	x.up.limit, x.down.limit = c.server.limit, c.server.limit
}

// since is the time from the exchange's beginning.
func (x *exchange) since() time.Duration { return time.Duration(x.local.Loop.Nanotime() - x.began) }

func (x *exchange) set(t *loop.Timer, d time.Duration) { x.local.Loop.SetTimer(t, d, x) }

// alive puts the idle timeout off.
func (x *exchange) alive() {
	if x.quiet.Pending() {
		d := x.server.config.StreamIdleTimeout
		if x.forward != nil && x.forward.IdleTimeout != nil {
			d = *x.forward.IdleTimeout
		}
		x.set(&x.quiet, d)
	}
}

// wantsRequest tells whether more of the request can be used now.
func (x *exchange) wantsRequest() bool {
	switch {
	case !x.has(hasHead):
		return true
	case x.has(requestEnded):
		return false
	case x.has(upgradeAsked) && !x.has(tunnelling):
		return false // bytes sent ahead of the answer are held, not smuggled (CVE-2025-64763)
	case x.up.awaiting():
		return false
	case x.has(replied | responseEnded):
		return true // read and dropped, so that the client gets to our answer
	}
	return x.takesRequest()
}

// takesRequest tells whether what filters pass on of the request can be used now.
func (x *exchange) takesRequest() bool {
	if len(x.filters) > 0 && !x.up.passed {
		return true // the filters take it, within the buffer limit
	}
	if x.has(keepsBody) && !x.attempt.has(attemptRuns) {
		return true // between two tries: what comes is kept for the next
	}
	return x.attempt.takesBody()
}

func (x *exchange) onRequestHead(end bool) {
	x.state |= hasHead
	l := x.local.Loop
	l.StopTimer(&x.headers)
	x.entry.Request = &x.request
	x.entry.Protocol = x.request.Version
	if m := x.entry.More; m != nil {
		m.Received.Head(x.client.fieldBytes())
		m.RequestHead = accesslog.At(x.since())
	}
	c := x.server.config
	if end {
		x.requestComplete()
	} else if c.RequestTimeout > 0 {
		x.set(&x.deadline, c.RequestTimeout)
	}
	x.startLimits()
	x.client.opened()
	x.startChain()
	if route.IsGRPC(&x.request) {
		x.state |= asksGRPC
	}
	if !x.prepareHead() {
		return
	}
	x.runChain(end)
	x.pump()
}

// startLimits bounds how long the exchange may be silent, and how long it may take.
func (x *exchange) startLimits() {
	c := x.server.config
	if c.StreamIdleTimeout > 0 {
		x.set(&x.quiet, c.StreamIdleTimeout)
	}
	if c.MaxStreamDuration > 0 {
		x.set(&x.duration, c.MaxStreamDuration)
	}
}

// runChain sends the head on its way through the filters.
func (x *exchange) runChain(end bool) {
	if x.server.config.LogStart {
		x.match()
		x.logAt(config.LogAtStart)
	}
	x.chooseFilters()
	x.passHead(&x.up, 0, end)
}

func (x *exchange) onRequestBody(b []byte) {
	x.alive()
	x.entry.BytesReceived += uint64(len(b))
	if x.has(replied | responseEnded) {
		return
	}
	x.passBody(&x.up, 0, b, false)
}

func (x *exchange) onRequestTrailers(t *http.Header) {
	if m := x.entry.More; m != nil {
		m.Received.Trailers(x.client.fieldBytes())
	}
	if x.has(replied | responseEnded) {
		return
	}
	x.passTrailers(&x.up, 0, t)
}

func (x *exchange) onRequestEnd() {
	x.requestComplete()
	if x.has(replied | responseEnded) {
		x.finishIfDone()
		return
	}
	x.passBody(&x.up, 0, nil, true)
}

func (x *exchange) requestComplete() {
	x.state |= requestEnded
	if !x.has(upgradeAsked) {
		x.entry.RequestEnd = x.since()
	}
	x.local.Loop.StopTimer(&x.deadline)
}

// pump has what was kept of the request offered again, now that it may be wanted.
func (x *exchange) pump() {
	if !x.has(over) && x.wantsRequest() {
		x.client.pump()
	}
}

// tunnels tells whether the connection is no longer HTTP.
func (x *exchange) tunnels() bool { return x.has(tunnelling) }

// Expired is one of the exchange's timeouts.
func (x *exchange) Expired(t *loop.Timer) {
	stats := x.conn.stats
	switch t {
	case &x.headers:
		stats.Inc(RqHeaderTimeout)
		x.client.last()
		x.leaveChain()
		x.fail(408, accesslog.Flags(0), "request_header_timeout", "request header timeout")
	case &x.deadline:
		if !x.has(requestEnded) {
			stats.Inc(RqTimeout)
			x.client.last()
			x.fail(408, accesslog.Flags(0), "request_overall_timeout", "request timeout")
			return
		}
		x.attempt.timedOut()
	case &x.quiet:
		stats.Inc(RqIdleTimeout)
		if !x.has(requestEnded) {
			x.client.last()
		}
		x.fail(x.lateStatus(), accesslog.StreamIdleTimeout, "stream_idle_timeout", "stream timeout")
	case &x.answer:
		x.attempt.tooLong()
	case &x.report:
		x.set(t, x.server.config.LogEvery)
		x.logAt(config.LogMeanwhile)
	case &x.duration:
		stats.Inc(RqMaxDuration)
		x.failAs(0, answer{status: x.lateStatus(), details: "max_duration_timeout", body: []byte("downstream duration timeout"),
			code: grpcDeadlineExceeded, hasCode: true})
	}
}

// lateStatus blames the client for a request that is not whole yet, and the upstream otherwise.
func (x *exchange) lateStatus() uint16 {
	if x.has(requestEnded) {
		return 504
	}
	return 408
}

// OnPanic ends the exchange with a 500, or the connection if a head is out already.
func (x *exchange) OnPanic(any) {
	x.conn.stats.Inc(InternalErrors)
	x.panicked()
}

func (x *exchange) panicked() {
	if x.has(over) {
		return
	}
	x.up.reset()
	x.down.reset()
	if x.has(hasHead) {
		for i := range x.filters {
			if !x.skip[i] {
				x.letGo(i)
			}
		}
	}
	x.leaveChain() // what panicked is not asked again
	x.state &^= replied
	x.fail(500, 0, "panic", "internal error")
}

// letGo tells a filter that the exchange has panicked. Should it be the one that has, it may do so again.
func (x *exchange) letGo(i int) {
	defer func() { recover() }()
	x.filters[i].Done(x)
}

// fail ends the exchange with an answer of ours, or, where a head is out already, with its connection.
func (x *exchange) fail(status uint16, flags accesslog.Flags, details, text string) {
	x.failAs(flags, answer{status: status, details: details, body: []byte(text)})
}

func (x *exchange) failAs(flags accesslog.Flags, a answer) {
	if x.has(over) {
		return
	}
	x.entry.Flags |= flags
	x.abandonAttempts()
	if x.has(headSent) {
		x.abort(a.details)
		return
	}
	x.replyAs(a)
}

// malformed answers a request that could not be decoded. Its head may be unknown, so it meets no filters.
func (x *exchange) malformed(err *http1.Error) {
	body := []byte(http1.Reason(err.Status))
	switch err.Code {
	case http1.MissingHost, http1.Fragment:
		body = nil // Envoy's connection manager finds it, not its codec, and knows the head
		x.entry.Request, x.entry.RequestEnd = &x.request, x.since()
		if m := x.entry.More; m != nil {
			m.RequestHead = accesslog.At(x.since())
			if err.Code == http1.MissingHost {
				m.Received.Head(x.client.fieldBytes())
			}
		}
	default:
		x.entry.Flags |= accesslog.DownstreamProtocolError
	}
	if !x.has(hasHead) {
		x.leaveChain()
	}
	x.abandonAttempts()
	if x.has(headSent) {
		x.abort(err.Detail)
		return
	}
	x.up.reset()
	x.reply(err.Status, err.Detail, body, "")
}
