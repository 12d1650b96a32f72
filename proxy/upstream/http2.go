package upstream

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
	"github.com/weftmesh/weft/wire/http2"
)

// HTTP2 is a connection that speaks HTTP/2. It is lent to as many strands as the peer allows, and never leaves its loop.
type HTTP2 struct {
	link
	codec    http2.Conn
	strands  *strand // that are lent
	ping     loop.Timer
	heardAt  int64 // when the peer last said something, on the loop's clock
	pinged   bool  // the peer is asked whether it is there, and owes the answer
	leaving  bool  // takes no more streams: the peer has said so, or we have
	parted   bool  // taken out of the pool
	speaking bool  // the codec runs, and looks after itself
}

// dialShared starts a connection that speaks HTTP/2, or whatever its peer chooses if it may.
func (p *Pool) dialShared(c *Cluster, prio config.Priority) Failure {
	h := &HTTP2{}
	if p.speaks == SpeaksEither {
		return h.link.dial(p, c, prio, offersEither, h)
	}
	f := h.link.dial(p, c, prio, offersHTTP2, h)
	if f == NoFailure {
		h.stats().Inc(CxHTTP2) // whether it will stand or not
	}
	return f
}

// OnConnected lends the connection to whoever waits.
func (h *HTTP2) OnConnected() {
	h.stands()
	p := h.pool
	p.connecting--
	if p.speaks == SpeaksEither && (h.conn.TLS() == nil || h.conn.TLS().State().NegotiatedProtocol != "h2") {
		p.alone = true
		o := &HTTP1{link: h.link}
		o.conn.Own(o)
		o.decoder.InitResponse(&h.cluster.decode)
		h.stats().Inc(CxHTTP1)
		o.join()
		p.more()
		return
	}
	p.alone = false
	if p.speaks == SpeaksEither {
		h.stats().Inc(CxHTTP2)
	}
	if d := h.cluster.Config.MaxConnectionDuration; d > 0 {
		p.loop.SetTimer(&h.lifetime, d, h)
	}
	h.codec.UseSpares(&p.streams)
	h.codec.Init(&h.cluster.http2, h, h.conn)
	h.since, h.heardAt = p.loop.Nanotime(), p.loop.Nanotime()
	p.shared = append(p.shared, h)
	h.watch()
	h.serve()
}

// takes tells whether the connection can be lent once more.
func (h *HTTP2) takes() bool { return !h.leaving && h.usable() && h.codec.Slots() > 0 }

// serve lends the connection to those who wait, and looks whether it has had its time.
func (h *HTTP2) serve() {
	if h.counted {
		return
	}
	p := h.pool
	for p.first != nil && h.takes() {
		w := p.next()
		w.stream.OnLent(h.lend(w.cluster, w.priority, w.stream))
		if h.counted {
			return
		}
	}
	if !h.usable() {
		h.leaving = true
	}
	if h.leaving {
		h.part()
		if h.strands == nil {
			h.discard(CxDestroyLocal)
			return
		}
	} else if d := h.cluster.Config.IdleTimeout; h.strands == nil && d > 0 && !h.timer.Pending() {
		p.loop.SetTimer(&h.timer, d, h)
	}
	p.more()
}

// part takes the connection out of the pool: nothing is lent of it any more.
func (h *HTTP2) part() {
	if h.parted {
		return
	}
	h.parted = true
	p := h.pool
	for i := range p.shared {
		if p.shared[i] == h {
			p.shared = append(p.shared[:i], p.shared[i+1:]...)
			return
		}
	}
}

// lend gives a strand of the connection to s.
func (h *HTTP2) lend(c *Cluster, prio config.Priority, s Stream) *strand {
	t := h.pool.strand()
	t.HTTP2, t.borrower, t.of, t.priority = h, s, c, prio
	t.reused = h.served > 0 && h.strands == nil
	if t.next = h.strands; t.next != nil {
		t.next.prev = t
	}
	h.strands = t
	h.served++
	h.cluster = c
	if limit := c.Config.MaxRequestsPerConn; limit > 0 && h.served >= limit {
		h.stats().Inc(CxMaxRequests)
		h.leaving = true
	}
	h.pool.endpoint.Active.Force()
	h.countRequest()
	return t
}

// OnData reads on.
func (h *HTTP2) OnData(b []byte) int {
	h.speaking = true
	used, err := h.codec.Feed(b)
	h.speaking = false
	h.tally()
	switch {
	case h.counted:
		return len(b)
	case err != nil:
		h.stats().Inc(CxProtocolError)
		h.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive)
		return len(b)
	}
	h.heard()
	h.serve()
	return used
}

// tally moves what the codec has counted into the cluster's numbers.
func (h *HTTP2) tally() {
	h.codec.Counts().Trailers = 0 // Envoy counts those of requests
	CountHTTP2(h.codecStats(), h.codec.Counts())
}

func (h *HTTP2) codecStats() *telemetry.Values { return h.cluster.codec.Loop(h.pool.loop.Index()) }

// OnStream implements http2.Owner: servers open no streams to us.
func (h *HTTP2) OnStream(*http2.Stream) http2.Reader { return nil }

// OnSettings implements http2.Owner. Those who wait are served when what has come is read.
func (h *HTTP2) OnSettings() {}

// OnGoAway implements http2.Owner.
func (h *HTTP2) OnGoAway(uint32, http2.ErrCode) {
	if !h.leaving {
		h.leaving = true
		h.stats().Inc(CxCloseNotify)
	}
}

// OnDone implements http2.Owner. What the stream has cost can still be asked for.
func (h *HTTP2) OnDone(s *http2.Stream) {
	if t, ok := s.Reader().(*strand); ok && t.stream == s {
		t.received, t.sent = s.Received(), s.Sent()
		t.stream = nil
	}
}

// OnEOF is the end of all that is under way.
func (h *HTTP2) OnEOF() { h.lose(Terminated, CxDestroyRemote, CxDestroyRemoteWithActive) }

// OnClosed is an error of the socket.
func (h *HTTP2) OnClosed(err error) {
	p := h.pool
	if h.standing {
		h.lose(Terminated, CxDestroyRemote, CxDestroyRemoteWithActive)
		return
	}
	h.cluster.unshaken(p.loop, err)
	h.unmade()
	p.connecting--
	h.count(CxDestroyRemote)
	p.refuse(ConnectFailed, ConnectError(err))
}

// lose ends the connection with all that is under way.
func (h *HTTP2) lose(f Failure, row, activeRow int) {
	if h.counted {
		return
	}
	h.leaving = true
	h.part()
	h.conn.Flush() // what the peer is told of its fault
	lost := h.strands
	h.strands = nil
	p := h.pool
	if lost != nil && f != Malformed { // else its streams are reset first
		h.countActive(activeRow)
	}
	h.discard(row)
	for t := lost; t != nil; {
		next := t.next
		f, s := t.judged(f), t.borrower
		t.next, t.prev = nil, nil
		t.settle()
		if f == Malformed {
			t.stats().Inc(RqTxReset)
		} else {
			t.stats().Inc(RqPendingFailureEject) // though it was not pending: Envoy's name
		}
		s.OnBroken(f)
		t.release()
		t = next
	}
	p.more()
}

// discard closes the connection, of which nothing is asked any more.
func (h *HTTP2) discard(row int) {
	h.pool.loop.StopTimer(&h.ping)
	h.link.discard(row)
}

// OnLowWater lets go what the connection was too full for.
func (h *HTTP2) OnLowWater() {
	h.stats().Inc(FlowDrained)
	h.codec.Drained()
}

// OnPanic closes the connection: after a panic of the codec nothing that it says can be trusted. What panics in a strand ends the strand.
func (h *HTTP2) OnPanic(any) { h.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive) }

// Expired is the connect timeout, the idle timeout, the end of the connection's life, or the time to ask whether the peer is there.
func (h *HTTP2) Expired(t *loop.Timer) {
	p := h.pool
	switch {
	case t == &h.ping:
		h.question()
	case t == &h.lifetime:
		h.stats().Inc(CxMaxDuration)
		h.expired = true
		h.serve()
	case !h.standing:
		h.unmade()
		h.stats().Inc(CxConnectTimeout)
		p.connecting--
		h.discard(CxDestroyLocal)
		p.refuse(ConnectTimeout, "")
	case h.strands != nil:
		p.loop.SetTimer(&h.timer, h.cluster.Config.IdleTimeout, h)
	case h.idles(h):
		h.part()
		h.discard(CxDestroyLocal)
	}
}

// strand is one stream of a connection, lent.
type strand struct {
	*HTTP2
	borrower Stream
	told     Stream // was the borrower, and hears how it has ended
	of       *Cluster
	stream   *http2.Stream // nil before the head is sent, and when the codec has forgotten it
	next     *strand       // in the connection's list, or the pool's of spare ones
	prev     *strand
	priority config.Priority
	received uint64 // bytes of the connection, when the loan was over
	sent     uint64
	reused   bool   // the connection had served before, and was idle
	answered bool   // something of the response has come
	asked    bool   // the request is sent whole
	held     bool   // the borrower wants no more for now
	tunnel   bool   // it asks for one
	full     bool   // more waits to be sent than may
	protocol string // of an upgrade of HTTP/1 that it asks for in HTTP/2's way
}

// strandLimit is how many bytes of a request wait for the peer's windows; what is more waits where it comes from.
const strandLimit = 16 << 10

// keepStrands bounds what a pool keeps for later.
const keepStrands = 256

func (p *Pool) strand() *strand {
	t := p.spare
	if t == nil {
		return new(strand)
	}
	p.spare = t.next
	p.spares--
	t.next = nil
	return t
}

// release gives the strand back, when its borrower has heard how it ended.
func (t *strand) release() {
	p := t.pool
	*t = strand{}
	if p.spares < keepStrands {
		t.next, p.spare = p.spare, t
		p.spares++
	}
}

// settle ends the loan. What it has cost can still be asked for.
func (t *strand) settle() {
	t.of.Local(t.pool.loop).Stats.Dec(RqActive)
	t.countBytes()
	t.pool.endpoint.Active.Leave()
	t.of.Breakers[t.priority].Requests.Leave()
	t.received, t.sent = t.Wire()
	t.told, t.borrower, t.stream = t.borrower, nil, nil
	if t.prev != nil {
		t.prev.next = t.next
	} else if t.strands == t {
		t.strands = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
	if t.strands == nil {
		t.since = t.pool.loop.Nanotime()
	}
}

// judged says what a lost connection means for this strand: on one that was idle and had served before, the peer may have gone before it
// heard of the request.
func (t *strand) judged(f Failure) Failure {
	if f == Terminated && t.reused && !t.answered {
		return Stale
	}
	return f
}

// Version implements Loan.
func (t *strand) Version() http.Version { return http.HTTP2 }

// SendHead implements Loan. An upgrade of HTTP/1 becomes an extended CONNECT (RFC 8441 §4).
func (t *strand) SendHead(r *http.Request, framing http1.Framing, upgrade, _ bool) []byte {
	t.stream = t.codec.Open(t)
	t.stream.Limit = strandLimit
	if upgrade && !r.IsConnect() {
		t.protocol = string(r.Get(http.Upgrade))
		q := &t.pool.request
		q.CopyFrom(r)
		q.SetProtocol([]byte(t.protocol))
		q.SetMethod([]byte("CONNECT"))
		q.Remove(http.Upgrade)
		q.Remove(http.Connection)
		r = q
	}
	t.tunnel = upgrade
	t.asked = framing == http1.NoBody && !upgrade
	t.stream.RequestHead(r, t.asked)
	return nil
}

// SendBody implements Loan.
func (t *strand) SendBody(b []byte) {
	if len(b) > 0 && t.stream != nil {
		t.stream.Data(b, false)
		t.full = t.stream.Queued() >= strandLimit
	}
}

// SendEnd implements Loan.
func (t *strand) SendEnd(trailers *http.Header) {
	switch {
	case t.asked || t.stream == nil:
	case t.tunnel && !t.answered:
		return // the end of its head
	case trailers != nil && trailers.Len() > 0:
		t.stream.Trailers(trailers)
	default:
		t.stream.Data(nil, true)
	}
	t.asked = true
}

// Over implements Loan.
func (t *strand) Over() bool { return t.full }

// Pause implements Loan.
func (t *strand) Pause() {
	if !t.held {
		t.held = true
		t.stats().Inc(FlowPausedReading)
		if t.stream != nil {
			t.stream.Pause()
		}
	}
}

// Resume implements Loan.
func (t *strand) Resume() {
	if t.held {
		t.held = false
		t.stats().Inc(FlowResumedReading)
		if t.stream != nil {
			t.stream.Again()
			t.conn.Again()
		}
	}
}

// Abandon implements Loan: the peer is told, and the connection serves others.
func (t *strand) Abandon() {
	if t.borrower == nil {
		return
	}
	h := t.HTTP2
	if t.stream != nil {
		t.stream.Reset(http2.Cancel)
	}
	t.stats().Inc(RqTxReset)
	t.settle()
	t.release()
	if !h.speaking {
		h.tally()
		h.serve()
	}
}

// FieldBytes implements Loan.
func (t *strand) FieldBytes() (fields, wire int) {
	if t.stream == nil {
		return 0, 0
	}
	return t.stream.FieldBytes(), t.stream.BlockBytes()
}

// Wire implements Loan.
func (t *strand) Wire() (received, sent uint64) {
	if t.stream == nil {
		return t.received, t.sent
	}
	return t.stream.Received(), t.stream.Sent()
}

// Request implements http2.Reader; it is for servers.
func (t *strand) Request() *http.Request { return nil }

// Response implements http2.Reader.
func (t *strand) Response() *http.Response { return t.borrower.Response() }

// OnHead implements http2.Reader.
func (t *strand) OnHead(end bool) {
	defer t.pool.loop.Contain(t)
	r := t.borrower.Response()
	t.answered = !t.tunnel || !r.IsInformational()
	if t.protocol != "" && r.Status >= 200 && r.Status < 300 {
		r.Status = 101
		r.SetString(http.Upgrade, t.protocol)
		r.SetString(http.Connection, "upgrade")
	}
	final := !r.IsInformational()
	s := t.borrower
	s.OnHead(end)
	if end && final && t.borrower == s {
		t.complete()
	}
}

// OnBody implements http2.Reader.
func (t *strand) OnBody(b []byte) int {
	if t.held {
		return 0
	}
	defer t.pool.loop.Contain(t)
	t.borrower.OnBody(b)
	return len(b)
}

// OnTrailers implements http2.Reader.
func (t *strand) OnTrailers(h *http.Header) {
	defer t.pool.loop.Contain(t)
	t.borrower.OnTrailers(h)
}

// OnEnd implements http2.Reader.
func (t *strand) OnEnd() {
	defer t.pool.loop.Contain(t)
	t.complete()
}

// complete ends the loan, then tells the borrower. A request that is not sent to its end by now has nobody who reads it.
func (t *strand) complete() {
	s := t.borrower
	if t.stream != nil && (!t.asked || t.stream.Queued() > 0) {
		t.stream.Reset(http2.NoError)
	}
	t.settle()
	s.OnEnd()
	t.release()
}

// OnReset implements http2.Reader.
func (t *strand) OnReset(code http2.ErrCode, local, unprocessed bool) {
	defer t.pool.loop.Contain(t)
	s, f := t.borrower, Reset
	switch {
	case unprocessed:
		f = Unprocessed
	case local, code == http2.ProtocolError:
		f = Malformed // whose fault it is, nobody knows
	}
	if f == Malformed {
		t.stats().Inc(RqTxReset)
	} else {
		t.stats().Inc(RqRxReset)
	}
	t.settle()
	s.OnBroken(f)
	t.release()
}

// OnRoom implements http2.Reader.
func (t *strand) OnRoom() {
	if t.full {
		defer t.pool.loop.Contain(t)
		t.full = false
		t.borrower.OnLowWater()
	}
}

// OnPanic ends the loan, and tells the borrower, or whoever has just ceased to be that.
func (t *strand) OnPanic(v any) {
	s := t.borrower
	if s != nil {
		t.Abandon()
	} else {
		s = t.told
	}
	if s != nil {
		s.OnPanic(v)
	}
}
