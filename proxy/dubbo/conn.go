package dubbo

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Bounds of a connection: how many calls are under way, more of which wait in the client's own kernel, and how many bytes of answers wait for a client that does not take them. A line is shared, so that
// it cannot wait for one of its clients: such a one is given up.
const (
	maxActive = 4096
	maxUnsent = 4 * upstream.MaxFrame
)

// frameTime is how long a frame may take from its first byte to its last. Until then it is held, and a client that ends none of many would have us hold them all.
const frameTime = 30 * time.Second

// conn is a downstream connection.
type conn struct {
	*loop.Conn
	server *Server
	local  *Local
	stats  *telemetry.Values
	gate   loop.Gate
	calls  *call // under way, through next and prev
	active int
	next   *conn // in local.conns
	prev   *conn
	began  int64
	id     uint64      // its number among the process's, for logs
	peer   *match.Peer // what its certificate says; nil: nobody has asked yet
	frames loop.Timer  // until which the frame that has begun has to be whole
	leaves bool        // we end it, once its calls are over
	gone   bool
}

// Serve makes an accepted connection one that speaks Dubbo.
func (s *Server) Serve(l *Local, p *loop.Pending) {
	c := &conn{server: s, local: l, gate: p.Gate, stats: s.stats.Loop(l.Loop.Index()), began: l.Loop.Nanotime()}
	if len(s.logs) > 0 {
		c.id = s.nextConn.Add(1)
	}
	down, err := l.Loop.Adopt(p, s.limit, c)
	if err != nil {
		p.Refuse()
		p.Gate.Left(0)
		return
	}
	c.Conn = down
	if c.next = l.conns; c.next != nil {
		c.next.prev = c
	}
	l.conns = c
	c.follow() // the chain may have gone while the connection came to stand
}

// follow has the connection go on with the server that has taken its own's place, if that is gone.
func (c *conn) follow() {
	for next := c.server.next.Load(); next != nil; next = next.next.Load() {
		c.server, c.stats = next, next.stats.Loop(c.local.Loop.Index())
	}
	if c.server.last.Load() != nil {
		c.retire()
	}
}

// OnData takes each frame that is whole.
func (c *conn) OnData(b []byte) int {
	used := 0
	for used < len(b) {
		if c.active >= maxActive || c.Over() || c.Paused() {
			c.local.Loop.StopTimer(&c.frames) // it is we who let it wait
			c.Pause()
			return used
		}
		h, more, err := wire.ParseHead(b[used:], upstream.MaxFrame)
		if err != nil {
			c.stats.Inc(rqDecodingError)
			c.end(cxLocalActive)
			return len(b)
		}
		if more || len(b)-used < wire.HeadSize+h.Body {
			break
		}
		frame := b[used : used+wire.HeadSize+h.Body]
		used += len(frame)
		if c.frame(&h, frame); c.gone {
			return len(b)
		}
	}
	switch {
	case used == len(b):
		c.local.Loop.StopTimer(&c.frames)
	case used > 0 || !c.frames.Pending():
		c.local.Loop.SetTimer(&c.frames, frameTime, c)
	}
	return used
}

// Expired ends a connection whose frame does not end.
func (c *conn) Expired(*loop.Timer) {
	c.stats.Inc(rqDecodingError)
	c.end(cxLocalActive)
}

func (c *conn) frame(h *wire.Head, frame []byte) {
	switch {
	case !h.Request: // to nothing that we have asked
	case h.Event:
		c.stats.Inc(rqEvent)
		if h.TwoWay {
			c.Write(wire.AppendHeartbeat(nil, h))
		}
	default:
		c.stats.Inc(rq)
		c.begin(h, frame)
	}
}

// begin sends a call where it is to go, or says why not.
func (c *conn) begin(h *wire.Head, frame []byte) {
	l, s := c.local, c.server
	read, wrong := s.read(&l.reader, c.stats, h.Serialization, frame[wire.HeadSize:])
	log := c.record(h, len(frame), read)
	if no := c.pass(read, log); no != nil {
		c.refuse(h, log, *no)
		return
	}
	g := s.generation(l)
	found, nowhere := s.route(g, &l.reader, h.Serialization, read, wrong)
	if found == nil {
		c.refuse(h, log, *nowhere)
		return
	}
	t := l.call()
	t.conn, t.stats, t.head, t.generation, t.route, t.began, t.log = c, c.stats, *h, g, found, l.Loop.Nanotime(), log
	t.to = route.Choose(found.Clusters, found.TotalWeight, l.Loop.Random())
	lost := t.start(frame)
	if lost == nil || t.member != nil {
		if !h.TwoWay {
			c.stats.Inc(rqOneWay)
		}
		if len(found.Mirrors) > 0 {
			c.mirror(g, found, h.TwoWay, frame)
		}
	}
	switch {
	case lost != nil:
		tried := t.member != nil
		l.release(t)
		if c.refuse(h, log, *lost); tried && !h.TwoWay {
			c.end(cxLocalActive) // nothing else can tell the client, as with Envoy
		}
		return
	case !t.Pending(): // it wants no answer, and there is room for more
		c.write(log, 0, false, 0)
		l.release(t)
		return
	}
	c.stats.Inc(rqActive)
	c.active++
	if t.next = c.calls; t.next != nil {
		t.next.prev = t
	}
	c.calls = t
	if t.Over() {
		c.Pause()
	}
}

// read has the reader read a call's beginning, or says why it cannot be read, which is nothing for one in a serialization that nobody reads. Of one that cannot be read nothing is said but that: what stands in the reader then is
// another call's.
func (s *Server) read(call *wire.Call, stats *telemetry.Values, of wire.Serialization, body []byte) (read bool, wrong error) {
	if !of.Read() {
		s.unread(of)
		return false, nil
	}
	if err := call.Read(of, body); err != nil {
		stats.Inc(rqDecodingError)
		return false, err
	}
	stats.Inc(rqDecodingSuccess)
	return true, nil
}

// route finds where a call goes, or says why it goes nowhere.
func (s *Server) route(g *Generation, call *wire.Call, of wire.Serialization, read bool, wrong error) (*config.DubboRoute, *refusal) {
	var found *config.DubboRoute
	switch t := s.table(g); {
	case t == nil:
	case !read:
		found = Unread(t.Services)
	default:
		found, wrong = Match(t.Services, call)
	}
	if found != nil {
		return found, nil
	}
	return nil, nowhere(call, of, read, wrong)
}

// nowhere is how the client hears of a call that has no route.
func nowhere(call *wire.Call, of wire.Serialization, read bool, wrong error) *refusal {
	no := &refusal{status: wire.ServiceNotFound, details: "route_not_found", flag: accesslog.NoRouteFound}
	switch {
	case wrong != nil:
		no.status, no.why = wire.BadRequest, wrong.Error()
	case !read:
		no.why = fmt.Sprintf("dubbo router: no route for calls in a serialization that is not read (%s, %d)", of, uint8(of))
	default:
		no.why = fmt.Sprintf("dubbo router: no route for interface '%s'", call.Path)
	}
	return no
}

// refuse answers a call that goes no further.
func (c *conn) refuse(h *wire.Head, log *record, no refusal) {
	if log != nil {
		log.entry.Flags |= no.flag
		log.entry.Details = no.details
	}
	if !h.TwoWay {
		c.write(log, 0, false, 0)
		return
	}
	c.stats.Inc(localException)
	answer := wire.AppendError(nil, h, no.status, no.why)
	c.Write(answer)
	c.write(log, no.status, false, len(answer))
}

// lost is how a client hears that an endpoint gave no answer.
func lost(f upstream.Failure, m *upstream.Member) *refusal {
	no := &refusal{wire.ServerError, "dubbo upstream request: " + words(f, m), "upstream_reset_before_response_started", accesslog.UpstreamConnectionTermination}
	switch f {
	case upstream.Overflow:
		no.flag = accesslog.UpstreamOverflow
	case upstream.ConnectFailed, upstream.LocalConnectFailed, upstream.ConnectTimeout:
		no.flag = accesslog.UpstreamConnectionFailure
	case upstream.Malformed:
		no.flag = accesslog.UpstreamProtocolError
	}
	return no
}

// words say why an endpoint gave no answer, in Envoy's words.
func words(f upstream.Failure, m *upstream.Member) string {
	at := m.Address().AddrPort.String()
	if p := m.Address().Path; p != "" {
		at = p
	}
	switch f {
	case upstream.Overflow:
		return "too many connections"
	case upstream.LocalConnectFailed, upstream.Malformed:
		return "local connection failure '" + at + "'"
	case upstream.ConnectTimeout:
		return "connection failure '" + at + "' due to timeout"
	}
	return "remote connection failure '" + at + "'"
}

// OnEOF ends the connection with all that is under way, as Envoy 1.40 does: who says no more is gone, with Dubbo.
func (c *conn) OnEOF() {
	c.lose(cxRemoteActive)
	c.Own(loop.Nobody{})
	c.CloseFlushed(flushTime)
}

// settle goes on with what waited, or ends what has had its time.
func (c *conn) settle() {
	switch {
	case c.gone:
	case c.leaves && c.active == 0:
		c.leave()
		c.Own(loop.Nobody{})
		c.CloseFlushed(flushTime)
	case c.active < maxActive && !c.Over():
		c.Resume()
	}
}

// retire asks the client to go. One that has calls under way hears their answers first.
func (c *conn) retire() {
	if !c.leaves {
		c.leaves = true
		c.Write(wire.AppendLeave(nil))
		c.settle()
	}
}

// flushTime bounds how long the last answers of a connection may take to leave.
const flushTime = time.Second

// OnLowWater implements loop.Owner.
func (c *conn) OnLowWater() { c.settle() }

// OnClosed implements loop.Owner.
func (c *conn) OnClosed(error) { c.lose(cxRemoteActive) }

// OnConnected implements loop.Owner: it is not for accepted connections.
func (c *conn) OnConnected() {}

// OnPanic implements loop.Owner.
func (c *conn) OnPanic(any) { c.end(cxLocalActive) }

// end closes the connection at once.
func (c *conn) end(row int) {
	c.lose(row)
	c.Own(loop.Nobody{})
	c.Close()
}

// lose gives up all that is under way, whose answers nobody will take.
func (c *conn) lose(row int) {
	if c.gone {
		return
	}
	for t := c.calls; t != nil; t = c.calls {
		c.stats.Inc(row)
		t.Cancel()
		if t.log != nil {
			t.log.entry.Flags |= accesslog.DownstreamConnectionTermination
		}
		c.write(t.log, 0, false, 0)
		t.over()
		c.local.release(t)
	}
	c.leave()
}

// leave takes the connection out of the books, once.
func (c *conn) leave() {
	if c.gone {
		return
	}
	c.gone = true
	c.local.Loop.StopTimer(&c.frames)
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		c.local.conns = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.gate.Left(time.Duration(c.local.Loop.Nanotime() - c.began))
}

// call is one that waits for its answer.
type call struct {
	upstream.Call
	conn       *conn
	stats      *telemetry.Values // of the server that it began with
	head       wire.Head         // of the request, as the client wrote it
	generation *Generation
	route      *config.DubboRoute
	to         *config.WeightedCluster // of the route
	cluster    *upstream.Cluster       // of the attempt: that, or one that takes its place
	member     *upstream.Member
	next       *call // in conn.calls
	prev       *call
	began      int64
	log        *record
	timer      loop.Timer        // the route's timeout
	perTry     loop.Timer        // the attempt's
	left       uint32            // attempts
	retried    bool              // this is not the first attempt
	retries    *upstream.Cluster // among whose retries it has a place; nil: among none
	kept       []byte            // the frame, for the next attempt; empty: there will be none
	tried      []*upstream.Endpoint
}

// over takes the call out of its connection's books.
func (t *call) over() {
	c := t.conn
	t.stats.Dec(rqActive)
	c.active--
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		c.calls = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.stats.Observe(rqTime, uint64(c.local.Loop.Nanotime()-t.began)/uint64(time.Millisecond))
}

// OnAnswer implements upstream.Caller.
func (t *call) OnAnswer(h *wire.Head, frame []byte) {
	c, l := t.conn, t.conn.local
	if failed(h.Status) && t.again(true) {
		t.cluster.Report(l.Loop, t.member, upstream.Outcome{Status: 500})
		t.resend()
		return
	}
	if t.retried && h.Status == wire.OK {
		t.cluster.Local(l.Loop).Stats.Inc(upstream.RqRetrySuccess)
	}
	t.stats.Inc(rqTwoWay) // Envoy counts those that an endpoint has answered
	t.stats.Inc(rs)
	t.stats.Inc(rsDecodingSuccess)
	status, exception := uint16(200), false // as outlier detection has it
	switch {
	case h.Status != wire.OK:
		t.stats.Inc(rsError)
		status = 500
	case wire.IsException(h.Serialization, frame[wire.HeadSize:]):
		exception = true
		t.stats.Inc(rsException)
		status = 500 // as with Envoy 1.40, which test/oracle asks
	default:
		t.stats.Inc(rsSuccess)
	}
	t.cluster.Report(l.Loop, t.member, upstream.Outcome{Status: status})
	wire.Renumber(frame, t.head.ID)
	c.Write(frame)
	c.write(t.log, h.Status, exception, len(frame))
	t.over()
	l.release(t)
	if c.Unsent() > maxUnsent {
		c.stats.Inc(rsClosed)
		c.end(cxLocalActive)
		return
	}
	c.settle()
}

// OnLost implements upstream.Caller.
func (t *call) OnLost(f upstream.Failure) {
	c, l := t.conn, t.conn.local
	if f == upstream.Malformed {
		t.stats.Inc(rsDecodingError)
	}
	t.report(f)
	if t.again(t.Begun()) {
		t.resend()
		return
	}
	c.refuse(&t.head, t.log, *lost(f, t.member))
	t.over()
	l.release(t)
	c.settle()
}

// OnRoom implements upstream.Caller. For a call that wants no answer it is all that was waited for.
func (t *call) OnRoom() {
	c := t.conn
	if !t.Pending() {
		c.write(t.log, 0, false, 0)
		t.over()
		c.local.release(t)
	}
	c.settle()
}
