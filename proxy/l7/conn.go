package l7

import (
	"net/netip"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// Conn is a downstream connection. It speaks HTTP/1 until it turns out to speak HTTP/2; what it is for either is here.
type Conn struct {
	conn     *loop.Conn
	server   *Server
	local    *Local
	stats    *telemetry.Values
	requests *telemetry.Values // of ListenerStats
	gate     loop.Gate
	shared   *shared       // nil: it speaks HTTP/1
	exchange *exchange     // of HTTP/1, where there is one at a time
	decoder  http1.Decoder // likewise
	next     *Conn         // in local.conns
	prev     *Conn
	idle     loop.Timer
	lifetime loop.Timer
	localEnd netip.AddrPort
	number   uint64
	began    int64
	since    int64 // idle since then
	rx, tx   uint64
	served   uint32
	state    connState
	kept     map[any]any // by filters, as long as the connection stands
}

type connState uint16

const (
	connLast      connState = 1 << iota // the present exchange is the last one
	connDecodes                         // the decoder runs: a panic now is the codec's
	connGone                            // taken out of the books
	connAged                            // has lived its time: asked to go
	connSoft                            // and is asked by the response to its next request only
	connBroken                          // what came was not HTTP
	connReset                           // the client has broken it off
	connDrained                         // we end it, and nothing is under way
	connStopped                         // the exchange wants no more for now, and the decoder may have an event that needs no more bytes
	connPresented                       // the client has shown a certificate
	connVerified                        // which ends with a root that is trusted
	connFresh                           // what it speaks is not known yet
)

// Serve makes an accepted connection a downstream connection of the server. requests is where its listener counts, by ListenerStats.
func (s *Server) Serve(l *Local, p *loop.Pending, requests *telemetry.Values) {
	c := &Conn{server: s, local: l, gate: p.Gate, requests: requests}
	conn, err := l.Loop.Adopt(p, s.limit, c)
	if err != nil {
		p.Refuse()
		p.Gate.Left(0)
		return
	}
	stats := l.values[s]
	if stats == nil {
		stats = s.stats.Loop(l.Loop.Index())
		l.values[s] = stats
	}
	c.conn, c.stats = conn, stats
	c.number = s.origin.NextConn.Add(1)
	c.began = l.Loop.Nanotime()
	c.since = c.began
	c.decoder.InitRequest(&s.decode)
	if len(s.state) > 0 {
		c.setState()
	}
	if c.next = l.conns; c.next != nil {
		c.next.prev = c
	}
	l.conns = c
	stats.Inc(CxTotal)
	stats.Inc(CxActive)
	if s := conn.TLS(); s != nil {
		stats.Inc(CxSSLTotal)
		stats.Inc(CxSSLActive)
		if len(s.Peer()) > 0 {
			c.state |= connPresented
		}
		if s.Verified() {
			c.state |= connVerified
		}
	}
	if d := s.config.IdleTimeout; d > 0 {
		l.Loop.SetTimer(&c.idle, d, c)
	}
	if d := s.config.MaxConnectionDuration; d > 0 {
		l.Loop.SetTimer(&c.lifetime, l.Loop.Jittered(d, s.config.DurationJitter), c)
	}
	switch agreed := conn.TLS() != nil && conn.TLS().State().NegotiatedProtocol == "h2"; {
	case s.config.Codec == config.CodecHTTP2, s.config.Codec == config.CodecAuto && agreed:
		c.countVersion(true)
		c.share()
	case s.config.Codec == config.CodecAuto && (conn.TLS() == nil || conn.TLS().State().NegotiatedProtocol == ""):
		c.state |= connFresh
	default:
		c.countVersion(false)
	}
}

// countVersion takes the connection into the books of its version.
func (c *Conn) countVersion(shared bool) {
	if shared {
		c.stats.Inc(CxHTTP2Total)
		c.stats.Inc(CxHTTP2Active)
		return
	}
	c.stats.Inc(CxHTTP1Total)
	c.stats.Inc(CxHTTP1Active)
}

// countBytes counts what has come and gone since the last time.
func (c *Conn) countBytes() {
	rx, tx := c.conn.Received(), c.conn.Sent()
	c.stats.Add(CxRxBytes, rx-c.rx)
	c.stats.Add(CxTxBytes, tx-c.tx)
	c.rx, c.tx = rx, tx
}

// version is that of requests whose heads have not come.
func (c *Conn) version() http.Version {
	if c.shared != nil {
		return http.HTTP2
	}
	return http.HTTP11
}

// busy tells whether an exchange is under way.
func (c *Conn) busy() bool { return c.exchange != nil || c.shared != nil && c.shared.streams != nil }

// scheme is that of requests that say nothing else.
func (c *Conn) scheme() string {
	if c.conn.TLS() != nil {
		return "https"
	}
	return "http"
}

// stateKey is that of a connection's own values among what it keeps.
type stateKey struct{}

// setState sets the values that every exchange of the connection begins with.
func (c *Conn) setState() {
	e := accesslog.Entry{Start: c.local.Loop.Now(), ConnectionID: c.number, Direct: c.conn.Direct(), Remote: c.conn.Remote(), Local: c.address(),
		DirectLocal: c.conn.DirectLocal(), ServerName: c.conn.ServerName(), FilterChain: c.server.chainAs, TLS: transport(c.conn),
		RequestEnd: -1, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: -1}
	e.SetState(c.server.state)
	c.kept = map[any]any{stateKey{}: e.State}
}

// end closes politely: what was written goes out, and the peer gets a moment to close first.
func (c *Conn) end() {
	c.leave(CxDestroyLocal)
	c.conn.Own(lingering{c.stats})
	c.conn.CloseFlushed(c.server.config.DelayedCloseTimeout)
}

// leave takes the connection out of the books, once.
func (c *Conn) leave(row int) {
	if c.state&connGone != 0 {
		return
	}
	c.state |= connGone
	l := c.local
	l.Loop.StopTimer(&c.idle)
	l.Loop.StopTimer(&c.lifetime)
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.conns = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
	c.stats.Dec(CxActive)
	switch {
	case c.shared != nil:
		c.stats.Dec(CxHTTP2Active)
		l.Loop.StopTimer(&c.shared.notice)
		l.Loop.StopTimer(&c.shared.ping)
	case c.state&connFresh == 0:
		c.stats.Dec(CxHTTP1Active)
	}
	if c.conn.TLS() != nil {
		c.stats.Dec(CxSSLActive)
	}
	if c.state&connSoft != 0 {
		c.stats.Dec(CxSoftDrain)
	}
	c.stats.Inc(CxDestroy)
	c.stats.Inc(row)
	age := l.Loop.Nanotime() - c.began
	if log, ok := c.gate.(accesslog.ConnectionLog); ok {
		c.tell(log)
	}
	c.gate.Left(time.Duration(age))
	c.stats.Observe(CxLengthMs, milliseconds(age))
	c.countBytes()
}

// tell says how the connection went, to who logs it as a whole.
func (c *Conn) tell(log accesslog.ConnectionLog) {
	e := accesslog.Entry{ConnectionID: c.number, BytesReceived: c.conn.Received(), BytesSent: c.conn.Sent() + uint64(c.conn.Unsent())}
	if x := c.exchange; c.served > 0 && c.state&connBroken == 0 || x != nil && x.entry.HasProtocol {
		e.HasProtocol, e.Protocol = true, http.HTTP11
		if c.shared != nil {
			e.Protocol = http.HTTP2
		}
	}
	if c.state&connBroken != 0 {
		e.Flags = accesslog.DownstreamProtocolError
	}
	if accesslog.Asked() {
		e.More = &accesslog.More{Listener: c.server.listener, Ready: -1, Accepted: accesslog.At(0)}
		if c.state&connReset != 0 {
			e.More.Reset = accesslog.ResetByPeer
		}
		if c.state&connDrained != 0 {
			e.More.Closed = "deferred_close_on_drained_connection"
		}
	}
	log.Ended(&e)
}

// OnClosed is an error of the socket.
func (c *Conn) OnClosed(error) {
	c.state |= connReset
	c.drop(CxDestroyRemote)
}

// drop ends the exchanges, if there are any, with the connection.
func (c *Conn) drop(row int) {
	c.dropFor(row, accesslog.DownstreamConnectionTermination, "downstream_remote_disconnect")
}

// dropFor is drop for a reason.
func (c *Conn) dropFor(row int, f accesslog.Flags, details string) {
	x := c.exchange
	c.exchange = nil
	if x != nil || c.busy() {
		c.stats.Inc(CxDestroyActive)
		if row == CxDestroyRemote {
			c.stats.Inc(CxDestroyRemoteActive)
		} else {
			c.stats.Inc(CxDestroyLocalActive)
		}
	}
	rx, tx := c.rx, c.tx
	c.leave(row)
	if x != nil {
		c.stats.Inc(RqRxReset)
		counted, sent := c.rx, c.tx
		c.rx, c.tx = rx, tx // the log tells what the exchange has cost, which the connection's books have by now
		x.downstreamGone(f, details)
		c.rx, c.tx = counted, sent
	}
	if c.shared != nil {
		c.shared.dropStreams(f, details)
	}
}

// OnConnected is not for accepted connections.
func (c *Conn) OnConnected() {}

// OnLowWater lets the response flow again.
func (c *Conn) OnLowWater() {
	if x := c.exchange; x != nil {
		x.onDownstreamLowWater()
	}
}

// OnPanic ends what panicked: the exchange with a 500 if its head is not sent, the connection if it was the codec.
func (c *Conn) OnPanic(v any) {
	c.stats.Inc(InternalErrors)
	x := c.exchange
	if x == nil || c.state&connDecodes != 0 {
		c.drop(CxDestroyLocal)
		c.conn.Close()
		return
	}
	x.panicked()
}

// Expired is the idle timeout, or the end of the connection's life.
func (c *Conn) Expired(t *loop.Timer) {
	d := c.server.config.IdleTimeout
	switch {
	case t == &c.lifetime:
		c.age()
	case c.busy():
		// Left running while an exchange is under way: looking again now is cheaper than stopping it for each.
		c.local.Loop.SetTimer(&c.idle, d, c)
	default:
		if left := d - time.Duration(c.local.Loop.Nanotime()-c.since); left > 0 {
			c.local.Loop.SetTimer(&c.idle, left, c)
			return
		}
		c.stats.Inc(CxIdleTimeout)
		if c.shared != nil {
			c.shared.part()
			return
		}
		c.end()
	}
}

// age ends a connection that has lived its time. One that is idle gets the drain timeout first, as with Envoy: a request that is on its
// way already is answered, and the answer says that it is the last.
func (c *Conn) age() {
	if c.state&connAged == 0 {
		c.stats.Inc(CxMaxDuration)
		c.state |= connAged
		if c.shared != nil {
			c.shared.part()
			return
		}
		if c.server.config.SafeMaxDuration {
			c.state |= connSoft
			c.stats.Inc(CxSoftDrain)
			return
		}
		c.linger()
		return
	}
	c.drain()
}

// linger has the next response say that it is the last, and ends the connection if no request comes within the drain timeout: one may be on its
// way, and an end at once would lose it.
func (c *Conn) linger() {
	if c.shared != nil {
		c.shared.part()
		return
	}
	c.state |= connLast | connAged
	switch d := c.server.config.DrainTimeout; {
	case c.exchange != nil:
	case d > 0:
		c.local.Loop.SetTimer(&c.lifetime, c.local.Loop.Jittered(d, c.server.config.DrainJitter), c)
	default:
		c.end()
	}
}

// drain ends the connection with its present exchange, or now if it has none.
func (c *Conn) drain() {
	if c.shared != nil {
		c.shared.part()
		return
	}
	if c.exchange == nil {
		c.end()
		return
	}
	c.state |= connLast
}

// CloseAll ends the loop's connections: at once, or politely with their present exchange.
func (l *Local) CloseAll(politely bool) {
	for c := l.conns; c != nil; {
		next := c.next
		if politely {
			c.drain()
		} else {
			c.drop(CxDestroyLocal)
			c.conn.Close()
		}
		c = next
	}
}

// SucceededBy says which server has taken the place of one that is gone, for requests that still come on the one's connections: they are served as the
// configuration is then, and not as it was, when clusters may have gone that it named.
func (s *Server) SucceededBy(next *Server) { s.next.Store(next) }

// EndsWith says that a server is gone and that none has taken its place: requests that still come on its connections meet that generation.
func (s *Server) EndsWith(g *Generation) { s.last.Store(g) }

// Gone says whether its chain has gone.
func (s *Server) Gone() bool { return s.next.Load() != nil || s.last.Load() != nil }

// current is the server that serves a request that begins now.
func (s *Server) current() *Server {
	for next := s.next.Load(); next != nil; next = s.next.Load() {
		s = next
	}
	return s
}

// Retire has the loop's connections of a server that is gone end with an exchange each, or when none has come for a while.
func (l *Local) Retire(s *Server) {
	for c := l.conns; c != nil; {
		next := c.next
		if c.server == s {
			c.linger()
		}
		c = next
	}
}

// Part has the loop's connections, or those of inbound listeners alone, end as Retire does.
func (l *Local) Part(inboundOnly bool) {
	for c := l.conns; c != nil; {
		next := c.next
		if !inboundOnly || c.server.inbound == config.Inbound {
			c.linger()
		}
		c = next
	}
}

// Connections is the number of downstream connections of the loop.
func (l *Local) Connections() int {
	n := 0
	for c := l.conns; c != nil; c = c.next {
		n++
	}
	return n
}

// isLast decides whether the connection ends with the exchange that has begun.
func (c *Conn) isLast() bool {
	s, last := c.server, false
	if limit := s.config.MaxRequestsPerConn; limit > 0 && c.served+1 >= limit {
		c.stats.Inc(CxMaxRequests)
		last = true
	}
	if s.origin.Health.Failed() {
		c.stats.Inc(CxDrainClose)
		last = true // whoever is told to go elsewhere should do so soon
	}
	if d := s.origin.Drain; d.Active() && d.closes(s.inbound, c.local.Loop.Now(), c.local.Loop.Random()) {
		c.stats.Inc(CxDrainClose)
		last = true
	}
	return last
}

// address is our side of the connection, asked of the kernel once.
func (c *Conn) address() netip.AddrPort {
	if !c.localEnd.IsValid() {
		c.localEnd = c.conn.Local()
	}
	return c.localEnd
}

// lingering is the owner of a connection that says goodbye.
type lingering struct{ stats *telemetry.Values }

func (lingering) OnData(b []byte) int { return len(b) }
func (lingering) OnEOF()              {}
func (lingering) OnConnected()        {}
func (lingering) OnLowWater()         {}
func (lingering) OnPanic(any)         {}

// OnClosed counts the peers that did not close in time.
func (l lingering) OnClosed(err error) {
	if err == loop.ErrLinger {
		l.stats.Inc(CxDelayedCloseTimeout)
	}
}
