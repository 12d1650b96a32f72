package l7

import (
	"time"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// shared is a downstream connection that speaks HTTP/2: many exchanges at a time, each on a stream.
type shared struct {
	*Conn
	codec    http2.Conn
	streams  *stream // through next and prev
	notice   loop.Timer
	ping     loop.Timer
	parting  parting
	asked    bool   // whether the client is there; it owes an answer
	begun    int    // streams, in this offer of bytes
	resets   uint32 // streams that ended before their answers, soon after they began
	allowed  uint64 // resets, at once
	refilled int64  // when that was last, on the loop's clock
}

// parting is how far a connection has got in saying goodbye (RFC 9113 §6.8).
type parting uint8

const (
	staying  parting = iota
	warned           // the client is asked to open no more streams; those that are on their way are served
	refusing         // it can open no more
)

// share makes the connection one of HTTP/2.
func (c *Conn) share() *shared {
	h := &shared{Conn: c, allowed: c.server.config.HTTP2.ResetBurst, refilled: c.local.Loop.Nanotime()}
	c.shared = h
	c.conn.Own(h)
	h.codec.UseSpares(&c.local.spares)
	h.codec.Init(&c.server.http2, h, c.conn)
	h.watch()
	return h
}

// prefacePrefix is how a client begins that speaks HTTP/2 without having said so (RFC 9113 §3.3). No request line of HTTP/1 begins so.
const prefacePrefix = "PRI * HTTP/2"

// chooseVersion looks at the first bytes of a connection that may speak either version. It says false if it cannot tell yet.
func (c *Conn) chooseVersion(b []byte) bool {
	n := min(len(b), len(prefacePrefix))
	is := string(b[:n]) == prefacePrefix[:n]
	if is && n < len(prefacePrefix) {
		return false
	}
	c.state &^= connFresh
	c.countVersion(is)
	if is {
		c.share()
	}
	return true
}

// OnData reads on.
func (h *shared) OnData(b []byte) int {
	h.begun = 0
	used, err := h.codec.Feed(b)
	upstream.CountHTTP2(h.codecStats(), h.codec.Counts())
	switch {
	case h.conn.Closed():
		return len(b)
	case err != nil:
		h.fault(err.(*http2.Error))
		return len(b)
	}
	if h.asked {
		h.local.Loop.SetTimer(&h.ping, h.server.config.HTTP2.Alive.Timeout, h)
	}
	if h.begun >= atOnce && used < len(b) {
		h.conn.Yield()
	}
	h.rest()
	return used
}

func (h *shared) codecStats() *telemetry.Values { return h.server.codec.Loop(h.local.Loop.Index()) }

// atOnce is how many exchanges a client may begin before others get their turn: 100,000 that are reset at once are as many turns of a
// third of a millisecond.
const atOnce = 32

// rest looks whether the connection has anything left to do.
func (h *shared) rest() {
	if h.streams != nil || h.state&connGone != 0 {
		return
	}
	if h.parting == refusing {
		h.state |= connDrained
		h.end()
	}
}

// fault ends a connection whose client has broken the protocol, or floods us. It has been told.
func (h *shared) fault(err *http2.Error) {
	if !err.Flood() {
		h.stats.Inc(CxProtocolError)
	}
	h.state |= connBroken
	h.dropFor(CxDestroyLocal, accesslog.DownstreamProtocolError, err.Detail)
	h.conn.Own(lingering{h.stats})
	h.conn.CloseFlushed(h.server.config.DelayedCloseTimeout)
}

// OnEOF is the end of all that is under way.
func (h *shared) OnEOF() {
	h.drop(CxDestroyRemote)
	h.conn.Close()
}

// OnLowWater lets go what the connection was too full for.
func (h *shared) OnLowWater() { h.codec.Drained() }

// OnPanic closes the connection: after a panic of the codec nothing that it says can be trusted. What panics in a stream ends the stream.
func (h *shared) OnPanic(any) {
	h.stats.Inc(InternalErrors)
	h.drop(CxDestroyLocal)
	h.conn.Close()
}

// dropStreams ends all exchanges with the connection.
func (h *shared) dropStreams(f accesslog.Flags, details string) {
	l := h.local.Loop
	l.StopTimer(&h.notice)
	l.StopTimer(&h.ping)
	for t := h.streams; t != nil; t = h.streams {
		t.lose(f, details)
	}
}

// part asks the client to go: at first to open no more streams, then, after the drain timeout, it cannot.
func (h *shared) part() {
	if h.parting != staying {
		return
	}
	h.parting = warned
	h.codec.GoAway(http2.MaxID, http2.NoError)
	if d := h.server.config.DrainTimeout; d > 0 {
		h.local.Loop.SetTimer(&h.notice, h.local.Loop.Jittered(d, h.server.config.DrainJitter), h)
		return
	}
	h.refuseMore()
}

func (h *shared) refuseMore() {
	h.parting = refusing
	h.codec.GoAway(h.codec.LastID(), http2.NoError)
	h.rest()
}

// watch has the client asked again and again whether it is there, if that is configured.
func (h *shared) watch() {
	if a := h.server.config.HTTP2.Alive; a != nil && a.Interval > 0 {
		h.local.Loop.SetTimer(&h.ping, h.local.Loop.Jittered(a.Interval, a.Jitter), h)
	}
}

// Expired is the end of the time that a client has to hear that it is to go, or the time to ask whether it is there.
func (h *shared) Expired(t *loop.Timer) {
	switch {
	case t == &h.notice:
		h.refuseMore()
	case h.asked:
		h.codecStats().Inc(upstream.CodecKeepAliveTimeout)
		h.drop(CxDestroyLocal)
		h.conn.Close()
	default:
		h.asked = true
		h.codec.Ping([8]byte{'w', 'e', 'f', 't'})
		h.local.Loop.SetTimer(&h.ping, h.server.config.HTTP2.Alive.Timeout, h)
	}
}

// OnPong implements http2.Owner.
func (h *shared) OnPong([8]byte) {
	if h.asked {
		h.asked = false
		h.local.Loop.StopTimer(&h.ping)
		h.watch()
	}
}

// OnSettings implements http2.Owner.
func (h *shared) OnSettings() {}

// OnGoAway implements http2.Owner: a client that goes ends what it has begun.
func (h *shared) OnGoAway(uint32, http2.ErrCode) {}

// OnDone implements http2.Owner. An exchange that ends with its stream looks after itself.
func (h *shared) OnDone(s *http2.Stream) {
	t, ok := s.Reader().(*stream)
	if !ok || t.stream != s {
		return
	}
	t.received, t.sent = s.Received(), s.Sent()
	t.stream = nil
	switch {
	case t.lingers:
		t.leave()
	case t.exchange != nil && !t.whole:
		t.lose(accesslog.DownstreamRemoteReset, "http2.remote_reset") // it wants no answer any more
	}
}

// OnStream begins an exchange.
func (h *shared) OnStream(s *http2.Stream) http2.Reader {
	if h.begun++; h.begun >= atOnce {
		h.codec.Yield()
	}
	t := h.local.stream()
	t.shared, t.stream = h, s
	s.Limit = streamLimit
	if t.next = h.streams; t.next != nil {
		t.next.prev = t
	}
	h.streams = t
	t.exchange = h.local.exchange()
	t.exchange.start(h.Conn, t)
	return t
}

// prematureStreams and prematureTime are Envoy's: a client of which, after so many streams, more than half have ended before their answers and
// within so much time, does nothing but make work (CVE-2023-44487).
const (
	prematureStreams = 500
	prematureTime    = time.Second
)

// countReset takes note of a stream that was reset, of which began is when it did, if its answer was not whole. It ends the connection of a
// client that does little else, or does it more often than is allowed.
func (h *shared) countReset(began int64) {
	if time.Duration(h.local.Loop.Nanotime()-began) < prematureTime {
		h.resets++
	}
	if h.mayReset() && (h.served < prematureStreams || 2*h.resets < h.served) {
		return
	}
	h.stats.Inc(RqTooManyPremature)
	h.codec.GoAway(h.codec.LastID(), http2.EnhanceYourCalm)
	h.drop(CxDestroyLocal)
	h.conn.Flush()
	h.conn.Close()
}

// mayReset takes one of the resets that a client has: some at once, and more for each second that goes by.
func (h *shared) mayReset() bool {
	c := &h.server.config.HTTP2
	seconds := (h.local.Loop.Nanotime() - h.refilled) / int64(time.Second)
	h.refilled += seconds * int64(time.Second)
	h.allowed = min(h.allowed+uint64(seconds)*c.ResetRate, c.ResetBurst)
	if h.allowed == 0 {
		return false
	}
	h.allowed--
	return true
}

// stream is one exchange's way to its client.
type stream struct {
	*shared
	stream   *http2.Stream // nil: the codec has forgotten it
	exchange *exchange     // nil: it is over, and the end of its answer waits for the client
	next     *stream       // of the connection's, or of the loop's spare ones
	prev     *stream
	flush    loop.Timer
	trailers http.Header // of the request
	received uint64      // bytes of the connection, when the codec forgot the stream
	sent     uint64
	stopped  bool // the exchange wants no more for now
	brimming bool // more waits to be sent than may
	upgrades bool // it asks for an upgrade in HTTP/2's way
	whole    bool // the answer is sent to its end
	lingers  bool // what is left of it waits for the client
}

// streamLimit is how many bytes of an answer wait for the client's windows; what is more waits where it comes from.
const streamLimit = 16 << 10

// freeStreams bounds what a loop keeps for later.
const freeStreams = 1024

func (l *Local) stream() *stream {
	t := l.streams
	if t == nil {
		return new(stream)
	}
	l.streams = t.next
	l.spareStreams--
	t.next = nil
	return t
}

// lose ends the exchange, which has lost its client. Whoever has reset the stream, Envoy counts it as one that came.
func (t *stream) lose(f accesslog.Flags, details string) {
	x := t.exchange
	t.exchange = nil
	if x != nil {
		t.stats.Inc(RqRxReset)
		x.downstreamGone(f, details)
	}
	t.leave()
}

// leave takes the stream off its connection's list. The codec knows nothing of it any more.
func (t *stream) leave() {
	h := t.shared
	l := h.local
	l.Loop.StopTimer(&t.flush)
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		h.streams = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	if h.streams == nil {
		h.Conn.since = l.Loop.Nanotime()
		if h.parting == refusing {
			h.conn.Again() // to say goodbye, when what is being done now is done
		}
	}
	trailers := t.trailers
	trailers.Reset()
	*t = stream{trailers: trailers}
	if l.spareStreams < freeStreams {
		t.next, l.streams = l.streams, t
		l.spareStreams++
	}
}

// Request implements http2.Reader.
func (t *stream) Request() *http.Request { return &t.exchange.request }

// Response implements http2.Reader; it is for clients.
func (t *stream) Response() *http.Response { return nil }

// OnHead implements http2.Reader. An extended CONNECT (RFC 8441) is shown to all that follows as the upgrade that it is in HTTP/1.
func (t *stream) OnHead(end bool) {
	defer t.local.Loop.Contain(t)
	x := t.exchange
	r := &x.request
	if p := r.Protocol(); len(p) > 0 {
		t.upgrades = true
		x.scratch = append(x.scratch[:0], p...)
		r.Set(http.Upgrade, x.scratch)
		r.SetString(http.Connection, "upgrade")
		r.SetMethod([]byte("GET"))
		r.SetProtocol(nil)
	}
	x.onRequestHead(end)
}

// OnBody implements http2.Reader.
func (t *stream) OnBody(b []byte) int {
	x := t.exchange
	if x == nil {
		return len(b) // nobody reads it any more
	}
	if !x.wantsRequest() {
		t.stopped = true
		return 0
	}
	defer t.local.Loop.Contain(t)
	x.onRequestBody(b)
	if t.exchange == x && t.stream != nil && !x.wantsRequest() {
		t.stopped = true
		t.stream.Pause()
	}
	return len(b)
}

// OnTrailers implements http2.Reader.
func (t *stream) OnTrailers(h *http.Header) {
	if x := t.exchange; x != nil {
		defer t.local.Loop.Contain(t)
		t.trailers.CopyFrom(h) // the upstream may not be there yet
		x.onRequestTrailers(&t.trailers)
	}
}

// OnEnd implements http2.Reader.
func (t *stream) OnEnd() {
	if x := t.exchange; x != nil {
		defer t.local.Loop.Contain(t)
		x.onRequestEnd()
	}
}

// OnReset implements http2.Reader.
func (t *stream) OnReset(_ http2.ErrCode, local, _ bool) {
	h, x := t.shared, t.exchange
	if x == nil {
		t.leave()
		h.countReset(0) // the end of its answer was on its way
		return
	}
	began := x.began
	if local {
		fault, flag := t.stream.Fault(), accesslog.DownstreamProtocolError
		if fault.Own() {
			flag = accesslog.DownstreamRemoteReset // with Envoy
		}
		t.lose(flag, fault.Detail)
	} else {
		t.lose(accesslog.DownstreamRemoteReset, "http2.remote_reset")
	}
	h.countReset(began)
}

// OnRoom implements http2.Reader.
func (t *stream) OnRoom() {
	if !t.brimming {
		return
	}
	t.brimming = false
	if x := t.exchange; x != nil {
		defer t.local.Loop.Contain(t)
		x.onDownstreamLowWater()
	}
}

// OnPanic ends what has panicked, and nothing else of the connection.
func (t *stream) OnPanic(v any) {
	if x := t.exchange; x != nil {
		x.OnPanic(v)
	}
}

// Expired is the end of the time that the client had to take the end of an answer.
func (t *stream) Expired(*loop.Timer) {
	h := t.shared
	h.codecStats().Inc(upstream.CodecFlushTimeout)
	h.stats.Inc(RqTxReset)
	t.lingers = false
	t.stream.Reset(http2.NoError)
	t.leave()
	h.rest()
}

// opened implements client.
func (t *stream) opened() {
	if t.isLast() {
		t.part()
	}
	t.served++
}

// fieldBytes implements client.
func (t *stream) fieldBytes() (fields, wire int) {
	if t.stream == nil {
		return 0, 0
	}
	return t.stream.FieldBytes(), t.stream.BlockBytes()
}

// upgradeAsked implements client.
func (t *stream) upgradeAsked() bool { return t.upgrades }

// last implements client: the connection is not the request's alone.
func (t *stream) last() {}

// upgrade implements client: frames are frames.
func (t *stream) upgrade() {}

// interim implements client.
func (t *stream) interim(r *http.Response) { t.send(r, false) }

// head implements client.
func (t *stream) head(end bool) {
	x := t.exchange
	r := &x.response
	if t.upgrades && x.has(tunnelling) {
		r.Remove(http.Upgrade)
		r.Remove(http.Connection)
	}
	t.whole = !x.has(tunnelling) && (end || x.has(bodiless))
	status := r.Status
	if t.upgrades && x.has(tunnelling) {
		r.Status = 200 // RFC 8441 §5
	}
	t.send(r, t.whole)
	r.Status = status // logs tell of what the upstream has said
}

func (t *stream) send(r *http.Response, end bool) {
	_, before := t.wire()
	t.stream.ResponseHead(r, end)
	if m := t.exchange.entry.More; m != nil {
		_, after := t.wire()
		m.Sent.Frames(r.HeadSize(), int(after-before))
	}
}

// body implements client.
func (t *stream) body(b []byte) {
	t.stream.Data(b, false)
	t.brimming = t.stream.Queued() >= streamLimit
}

// finish implements client.
func (t *stream) finish(trailers *http.Header) {
	if t.whole {
		return
	}
	t.whole = true
	if trailers == nil || trailers.Len() == 0 {
		t.stream.Data(nil, true)
		return
	}
	_, before := t.wire()
	t.stream.Trailers(trailers)
	if m := t.exchange.entry.More; m != nil {
		_, after := t.wire()
		m.Sent.Frames(trailers.Size(), int(after-before))
	}
}

// full implements client.
func (t *stream) full() bool { return t.brimming }

// pump implements client.
func (t *stream) pump() {
	if t.stopped && t.stream != nil {
		t.stopped = false
		t.stream.Again()
		t.conn.Again()
	}
}

// done implements client. What waits for the client's windows is sent when they open, and a request that is not whole is not waited for.
func (t *stream) done() {
	x, h := t.exchange, t.shared
	t.exchange = nil
	h.countBytes()
	if t.stream != nil && t.stream.Queued() > 0 {
		t.lingers = true
		if d := x.flushTimeout(); d > 0 {
			h.local.Loop.SetTimer(&t.flush, d, t)
		}
		return
	}
	if t.stream != nil {
		h.stats.Inc(RqRxReset)        // with Envoy, as above
		t.stream.Reset(http2.NoError) // RFC 9113 §8.1
	}
	t.leave()
}

// cut implements client.
func (t *stream) cut() {
	h := t.shared
	t.exchange = nil
	if t.stream != nil {
		h.stats.Inc(RqRxReset)
		t.stream.Reset(http2.InternalError)
	}
	t.leave()
	h.countBytes()
}

// wire implements client.
func (t *stream) wire() (received, sent uint64) {
	if t.stream == nil {
		return t.received, t.sent
	}
	return t.stream.Received(), t.stream.Sent()
}
