package upstream

import (
	"net/netip"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
	"github.com/weftmesh/weft/wire/http2"
)

// Stream is who an HTTP connection is lent to: an attempt, or the loop's own client. Methods are called on the loop.
type Stream interface {
	// OnLent gives the loan that was waited for.
	OnLent(c Loan)
	// OnRefused says that there will be none, and what the system said of it, if anything. It ends the matter.
	OnRefused(f Failure, why string)
	// Response is where the next head is to be read into. It is asked before every head, informational ones among them.
	Response() *http.Response
	// OnHead says that Response holds a head; end says that no body follows and OnEnd comes next.
	OnHead(end bool)
	// OnBody gives a piece of the body, valid during the call.
	OnBody(b []byte)
	// OnTrailers gives the trailers, valid during the call.
	OnTrailers(h *http.Header)
	// OnEnd says that the response is complete; the connection has gone back before.
	OnEnd()
	// OnBroken says that the connection was lost before the response was complete. It ends the matter.
	OnBroken(f Failure)
	// OnLowWater says that the connection takes more of the request's body again.
	OnLowWater()
	// OnPanic is called if one of the above panics; the connection is gone.
	OnPanic(v any)
}

// Loan is what a stream has of a connection until it hears OnEnd or OnBroken, or abandons it: all of one that speaks HTTP/1, or a stream
// of one that speaks HTTP/2, or a call on one that speaks Dubbo, which need not stand yet.
type Loan interface {
	// SendHead sends the request's head. framing says how its body will be told from what follows, where its version has to be told;
	// upgrade, that it asks for a tunnel, so that its end is not the end of its head; spelled, that the names of fields are to be written as
	// the client spelled them, whatever the cluster says. It returns the head as HTTP/1 writes it, until more is sent; nil: it does not.
	SendHead(r *http.Request, framing http1.Framing, upgrade, spelled bool) []byte
	// SendBody sends a piece of the request's body.
	SendBody(b []byte)
	// SendEnd says that the request is complete, once; trailers may be nil.
	SendEnd(trailers *http.Header)
	// Over tells whether more of the request waits to be sent than may: the stream hears OnLowWater when that is over.
	Over() bool
	// Pause stops the response: not a byte of it is given to the stream until Resume.
	Pause()
	// Resume lets the response come again, not before this call has returned.
	Resume()
	// Abandon ends the loan before the response has.
	Abandon()
	// FieldBytes are what the fields of the last head or trailers took, decoded, and in frames; HTTP/1 has none.
	FieldBytes() (fields, wire int)
	// Wire are the bytes of the connection that have come and gone for this loan so far.
	Wire() (received, sent uint64)
	// Version is that of what is sent.
	Version() http.Version
	// Conn is the socket, for its addresses and its TLS.
	Conn() *loop.Conn
	// Local is our own address of the connection.
	Local() netip.AddrPort
	// Number tells the connection apart from the process's other upstream connections.
	Number() uint64
	// Began is when the connection was dialled, when it stood, and when its TLS did, on the loop's clock; shaken is 0 in plain text.
	Began() (dialled, connected, shaken int64)
}

// Failure is why an attempt got no complete response.
type Failure uint8

// The failures.
const (
	NoFailure          Failure = iota
	Overflow                   // a circuit breaker is open
	ConnectFailed              // refused, unreachable
	LocalConnectFailed         // no descriptor or address of ours was to be had
	ConnectTimeout
	Terminated  // the peer closed or reset the connection
	Stale       // as Terminated, on a connection used before, with no byte of a response and none of the request acknowledged or acted on
	Malformed   // what came is not HTTP, or breaks a limit
	Reset       // the peer ended the stream
	Unprocessed // the peer has refused the stream, or said that it has not looked at it
)

// Pool is one loop's connections to one endpoint.
type Pool struct {
	endpoint   *Endpoint
	loop       *loop.Loop
	speaks     Speaks
	alone      bool     // connections of SpeaksEither turned out to be lent to one stream at a time
	idle       []*HTTP1 // the last one used is the first one lent: the others may age and close
	shared     []*HTTP2 // that stand, and may be lent
	streams    http2.Spares
	spare      *strand // through next
	spares     int
	request    http.Request // that is made for the wire
	open       int
	era        uint32 // connections of an earlier one are not lent again
	connecting int
	first      *Wait // who waits for a connection
	last       *Wait
	waiting    int
	from       *loop.Origin        // whom connections seem to come from; nil: this host
	name       string              // that connections ask their server for; "": as the endpoint or the cluster says
	header     string              // that they begin with
	offers     []string            // by ALPN, whatever is configured; nil: that
	key        string              // of all these
	of         *Pool               // the endpoint's pool without any of that; nil: this is it
	pools      map[string]*Pool    // that are apart from it, by key
	sources    int                 // those of them that seem to come from others
	lines      []*line             // that speak Dubbo
	others     [SpeaksDubbo]*Pool  // of the endpoint, that speak something else
	tunnels    map[tunnel]struct{} // that are closed when the endpoint becomes unwell
}

// Speaks is what a pool's connections speak.
type Speaks uint8

// What there is.
const (
	SpeaksHTTP1 Speaks = iota
	SpeaksHTTP2
	SpeaksEither // as the peer chooses by ALPN
	SpeaksDubbo
)

// Speaks is what endpoints of the cluster are spoken to in for a request that came in that version.
func (c *Cluster) Speaks(came http.Version) Speaks {
	switch m := c.Config.Protocol.Mode; {
	case m == config.ProtocolHTTP2 || m == config.ProtocolAsDownstream && came >= http.HTTP2:
		return SpeaksHTTP2
	case m == config.ProtocolByALPN:
		return SpeaksEither
	case m == config.ProtocolDubbo:
		return SpeaksDubbo
	}
	return SpeaksHTTP1
}

// speaking is the endpoint's pool of connections that speak so.
func (p *Pool) speaking(s Speaks) *Pool {
	if s == SpeaksHTTP1 {
		return p
	}
	slot := &p.others[s-1]
	if *slot == nil {
		*slot = &Pool{endpoint: p.endpoint, loop: p.loop, speaks: s, era: p.era}
	}
	return *slot
}

// plain is the endpoint's pool without anything that keeps its connections apart.
func (p *Pool) plain() *Pool {
	if p.of != nil {
		return p.of
	}
	return p
}

// tunnel is a connection of one owner's, which is in no pool.
type tunnel interface {
	// unwell is called when its endpoint has become unwell, and closes it.
	unwell()
}

func (p *Pool) watch(t tunnel) {
	p = p.plain()
	if p.tunnels == nil {
		p.tunnels = map[tunnel]struct{}{}
	}
	p.tunnels[t] = struct{}{}
}

// Wait is a place in a pool's queue. It is embedded in what waits.
type Wait struct {
	next, prev *Wait
	pool       *Pool
	stream     Stream
	cluster    *Cluster
	priority   config.Priority
}

// Pending tells whether a connection is being waited for.
func (w *Wait) Pending() bool { return w.pool != nil }

// Lend finds a connection to the endpoint for s. It gives one, or says why there is none; or gives neither, and s hears OnLent or
// OnRefused later. came is the version of the request that it is for; careful says that the request must not be sent twice, so an idle
// connection is looked at before it is trusted. How long may be waited is the caller's to bound. by keeps connections apart.
func (c *Cluster) Lend(l *loop.Loop, e *Endpoint, p config.Priority, came http.Version, by Apart, careful bool, s Stream, w *Wait) (Loan, Failure) {
	speaks := c.Speaks(came)
	if speaks == SpeaksDubbo {
		return c.lendCall(l, e, p, by, s)
	}
	stats := c.Local(l).Stats
	limits, counts := c.Limits(p), &c.Breakers[p]
	if !counts.Requests.Enter(limits.MaxRequests) {
		stats.Inc(RqActiveOverflow)
		return nil, Overflow
	}
	pool := e.pool(l).speaking(speaks).apart(c, by)
	if pool == nil {
		counts.Requests.Leave()
		return nil, Overflow
	}
	for _, h := range pool.shared {
		if h.takes() {
			h.probe()
			return h.lend(c, p, s), NoFailure
		}
	}
	for n := len(pool.idle); n > 0; n = len(pool.idle) {
		h := pool.idle[n-1]
		pool.idle[n-1] = nil
		pool.idle = pool.idle[:n-1]
		if careful && h.conn.PeerGone() {
			h.discard(CxDestroyRemote)
			continue
		}
		h.lend(c, p, s)
		return h, NoFailure
	}
	if !counts.Pending.Enter(limits.MaxPending) {
		counts.Requests.Leave()
		stats.Inc(RqPendingOverflow)
		pool.left()
		return nil, Overflow
	}
	if pool.connecting*pool.each(c) <= pool.waiting {
		if f := pool.grow(c, p); f != NoFailure {
			counts.Pending.Leave()
			counts.Requests.Leave()
			pool.left()
			return nil, f
		}
	}
	pool.enqueue(c, p, s, w, stats.Inc)
	return nil, NoFailure
}

// hoped is how many streams a connection is hoped to take before its peer has said how many: as many as a peer is asked to allow at least
// (RFC 9113 §6.5.2).
const hoped = 100

// each is how many of those who wait a connection that is being made is for.
func (p *Pool) each(c *Cluster) int {
	if p.speaks == SpeaksHTTP1 || p.alone {
		return 1
	}
	return min(hoped, int(c.Config.Protocol.HTTP2.MaxStreams))
}

// grow dials one more connection, if the breaker lets it. A pool without any connection may always open one, else a cluster of many endpoints
// could never be reached in full.
func (p *Pool) grow(c *Cluster, prio config.Priority) Failure {
	stats, connections := c.Local(p.loop).Stats, &c.Breakers[prio].Connections
	if !c.enterConnection(p.endpoint, prio) {
		stats.Inc(CxOverflow)
		if p.open > 0 {
			return NoFailure
		}
		connections.Force()
	}
	var f Failure
	if p.speaks == SpeaksHTTP1 {
		if _, f = p.dial(c, prio); f == NoFailure {
			stats.Inc(CxHTTP1)
		}
	} else {
		f = p.dialShared(c, prio)
	}
	if f != NoFailure {
		connections.Leave()
		return f
	}
	p.open++
	p.connecting++
	return NoFailure
}

// more dials for those who wait, where what is being dialled will not serve them all: a connection took fewer streams than was hoped, or none.
func (p *Pool) more() {
	for w := p.first; w != nil && p.connecting*p.each(w.cluster) < p.waiting; w = p.first {
		connecting := p.connecting
		if f := p.grow(w.cluster, w.priority); f != NoFailure {
			p.refuse(f, "")
			return
		}
		if p.connecting == connecting {
			return // the breaker lets none
		}
	}
}

func (p *Pool) enqueue(c *Cluster, prio config.Priority, s Stream, w *Wait, inc func(int)) {
	inc(RqPendingTotal)
	inc(RqPendingActive)
	*w = Wait{prev: p.last, pool: p, stream: s, cluster: c, priority: prio}
	if p.last != nil {
		p.last.next = w
	} else {
		p.first = w
	}
	p.last = w
	p.waiting++
}

// leave takes w out of the queue.
func (p *Pool) leave(w *Wait) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		p.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		p.last = w.prev
	}
	p.waiting--
	w.cluster.Breakers[w.priority].Pending.Leave()
	w.cluster.Local(p.loop).Stats.Dec(RqPendingActive)
	p.left()
	w.pool, w.next, w.prev = nil, nil, nil
}

// Cancel ends the wait. The connection that may be on its way stays, for the next one.
func (w *Wait) Cancel() {
	if w.pool == nil {
		return
	}
	l := w.pool.loop
	w.pool.leave(w)
	w.cluster.Local(l).Stats.Inc(RqCancelled)
	w.cluster.Breakers[w.priority].Requests.Leave()
}

// next takes whoever has waited longest off the queue; nil if nobody does.
func (p *Pool) next() *Wait {
	w := p.first
	if w != nil {
		p.leave(w)
	}
	return w
}

// refuse tells all who wait that a connection could not be made: the endpoint may be down, and each can choose another one, which is
// better than to wait for a connection that may never come.
func (p *Pool) refuse(f Failure, why string) {
	for w := p.first; w != nil; w = p.first {
		s, c := w.stream, w.cluster
		p.leave(w)
		c.Breakers[w.priority].Requests.Leave()
		c.Local(p.loop).Stats.Inc(RqPendingFailureEject)
		s.OnRefused(f, why)
	}
}

// drain closes the idle connections of an endpoint that is gone, or unwell. Those who wait are served by the ones that are being made.
func (p *Pool) drain() {
	for _, n := range p.pools {
		n.era = p.era
		n.drain()
	}
	for _, n := range p.others {
		if n != nil {
			n.era = p.era
			n.drain()
		}
	}
	for _, h := range slices.Clone(p.shared) {
		h.serve()
	}
	for _, t := range slices.Clone(p.lines) {
		t.settle()
	}
	for len(p.idle) > 0 {
		h := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		h.discard(CxDestroyLocal)
	}
}

func (p *Pool) forgetIdle(h *HTTP1) {
	for i := range p.idle {
		if p.idle[i] == h {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}
