package l4

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/proxyproto"
)

// tunnel is a downstream connection, the upstream one that carries it, and the bytes between them.
type tunnel struct {
	server   *Server
	local    *Local
	stats    *telemetry.Values
	gate     loop.Gate
	down     *loop.Conn
	up       *upstream.TCP // nil until one is dialled
	cluster  *upstream.Cluster
	subset   *config.Subset // that the endpoint has to be in; nil: any
	next     *tunnel        // in local.tunnels
	prev     *tunnel
	connect  loop.Timer
	idle     loop.Timer
	duration loop.Timer
	report   loop.Timer
	entry    accesslog.Entry
	began    int64
	dialled  int64 // when the present try began
	attempts uint32
	denied   string // why it may not stand, and is about to be closed
	asked    bool   // its cluster was, and has not come
	carrying bool   // the upstream connection stands
	over     bool
	moving   bool // it is halted, and may be another process's
	unwell   bool // its endpoint has become so meanwhile
}

// upEnd is the tunnel as the owner of its upstream connection.
type upEnd tunnel

// Serve carries an accepted connection, if its chain's rules let it; v is nil if there are none.
func (s *Server) Serve(l *Local, p *loop.Pending, v *Verdict) {
	t := &tunnel{server: s, local: l, gate: p.Gate, stats: s.stats.Loop(l.Loop.Index())}
	down, err := l.Loop.Adopt(p, s.limit, t)
	if err != nil {
		p.Refuse()
		p.Gate.Left(0)
		return
	}
	t.down = down
	now := l.Loop.Nanotime()
	t.began = now
	if at := down.Accepted(); at != 0 {
		t.began = at
	}
	t.entry = accesslog.Entry{Start: l.Loop.Now().Add(time.Duration(t.began - now)), ConnectionID: s.nextConn.Add(1), Direct: down.Direct(), Remote: down.Remote(), Local: down.Local(), DirectLocal: down.DirectLocal(), ServerName: down.ServerName(), FilterChain: s.chain, About: s.about, RequestEnd: -1,
		UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1, End: -1}
	if accesslog.Asked() {
		t.entry.More = &accesslog.More{Chosen: true, Ready: -1, Listener: s.listener, Accepted: accesslog.At(0)}
	}
	if session := down.TLS(); session != nil {
		t.entry.TLS = session
		if m := t.entry.More; m != nil {
			began, stood := down.Handshake()
			m.Shaking, m.Shaken = accesslog.At(time.Duration(began-t.began)), accesslog.At(time.Duration(stood-t.began))
		}
	}
	t.entry.SetState(s.state)
	if v != nil {
		t.entry.Metadata = v.Metadata
	}
	t.link()
	t.stats.Inc(CxTotal)
	if d := s.config.MaxDownstreamDuration; d > 0 {
		l.Loop.SetTimer(&t.duration, l.Loop.Jittered(d, s.config.DurationJitter), t)
	}
	if d := s.config.LogEvery; d > 0 && len(s.logs) > 0 {
		l.Loop.SetTimer(&t.report, d, t)
	}
	if s.config.LogStart {
		t.logAt(config.LogAtStart)
	}
	if v != nil && v.Denied != "" {
		t.deny(v)
		return
	}
	share := choose(s.config, l.Loop.Random())
	t.subset, t.entry.Cluster = share.Subset, share.Name
	if name := down.ServerName(); s.config.ByServerName && name != "" {
		t.entry.Cluster = name
	}
	t.cluster = l.Clusters[t.entry.Cluster]
	if t.cluster == nil && t.demand() {
		return
	}
	t.begin()
}

// deny closes a connection that may not stand, now or later. Nobody has been dialled for it.
func (t *tunnel) deny(v *Verdict) {
	t.denied = v.Denied
	t.closes("rbac_deny_close")
	if v.Delay <= 0 {
		t.end(t.denied)
		return
	}
	t.down.Pause()
	t.local.Loop.SetTimer(&t.connect, v.Delay, t)
}

// begin carries the connection to its cluster, if there is one.
func (t *tunnel) begin() {
	if t.cluster == nil {
		t.stats.Inc(CxNoRoute)
		t.entry.Flags |= accesslog.NoClusterFound
		t.fail(noRoute)
		return
	}
	t.entry.ClusterStatName, t.entry.About[accesslog.OfCluster] = t.cluster.Config.StatName, t.cluster.Config.Metadata
	// What the client says first waits in the kernel until somebody listens.
	t.down.Pause()
	t.dial()
}

// dial tries endpoints until one takes the connection, or the tries are used up.
func (t *tunnel) dial() {
	l := t.local.Loop
	t.dialled = l.Nanotime()
	for t.attempts < t.server.config.MaxConnectAttempts {
		m := t.cluster.Choose(l, t.local.wishOf(t, t.subset))
		if m == nil {
			t.entry.Flags |= accesslog.NoHealthyUpstream
			t.fail(nobodyHealthy)
			return
		}
		t.attempts++
		t.entry.Attempts = t.attempts
		t.entry.About[accesslog.OfEndpoint] = m.Metadata
		t.entry.UpstreamHost, t.entry.UpstreamPath = m.Address().AddrPort, m.Address().Path
		t.entry.UpstreamFailure, t.entry.UpstreamName = "", m.Hostname
		up, failure := t.cluster.DialTCP(l, m, t.down.Origin(), t.header(m), (*upEnd)(t))
		if m := t.entry.More; m != nil && failure != upstream.Overflow {
			m.Tried = append(m.Tried, accesslog.Tried{Address: t.entry.UpstreamHost, Path: t.entry.UpstreamPath, Name: t.entry.UpstreamName})
		}
		if failure == upstream.NoFailure {
			t.up = up
			l.SetTimer(&t.connect, t.cluster.Config.ConnectTimeout, t)
			return
		}
		t.cluster.Report(l, m, upstream.Outcome{Failure: failure, Tunnel: true})
		if failure != upstream.Overflow && t.pause() {
			return
		}
		if failure == upstream.Overflow {
			t.entry.Flags |= accesslog.UpstreamOverflow
			t.fail(limited)
			return
		}
	}
	t.cluster.GaveUp(l)
	t.entry.Flags |= accesslog.UpstreamConnectionFailure | accesslog.ConnectAttemptsExceeded
	t.fail(notConnected)
}

// header is what an endpoint is told of whom the tunnel is for, if it is to be told.
func (t *tunnel) header(m *upstream.Member) string {
	v := m.ProxyHeader()
	if v == 0 {
		return ""
	}
	return string(proxyproto.Append(nil, &proxyproto.Header{Version: v, Source: t.down.Remote(), Destination: t.down.Local()}))
}

// refusal is why a client gets nobody, in the words that Envoy has for logs.
type refusal string

const (
	notConnected  refusal = "tcp_initializion_failure:0"
	nobodyHealthy refusal = "tcp_initializion_failure:1"
	limited       refusal = "tcp_initializion_failure:2"
	noRoute       refusal = "tcp_initializion_failure:3"
)

// fail closes on a client for whom there is nobody.
func (t *tunnel) fail(why refusal) {
	if m := t.entry.More; m != nil {
		m.Closed = string(why)
		if why != noRoute {
			m.Ready = time.Duration(t.local.Loop.Nanotime() - t.dialled)
		}
	}
	t.end("")
}

// pause makes a pause before the next try, if there is to be one: a random part of a time that doubles with each.
func (t *tunnel) pause() bool {
	c, l := t.server.config, t.local.Loop
	if c.BaseBackoff <= 0 || t.attempts >= c.MaxConnectAttempts {
		return false
	}
	most := c.MaxBackoff
	if n := t.attempts - 1; n < 63 && c.BaseBackoff < most>>n {
		most = c.BaseBackoff << n
	}
	l.SetTimer(&t.connect, time.Duration(l.Random()%uint64(most)), t)
	return true
}

// OnConnected opens the way for both.
func (u *upEnd) OnConnected() {
	t := (*tunnel)(u)
	t.local.Loop.StopTimer(&t.connect)
	t.carrying = true
	t.up.Connected()
	t.cluster.Report(t.local.Loop, t.up.Member, upstream.Outcome{Status: 200, Tunnel: true}) // Envoy counts a connection as a good answer
	t.entry.UpstreamRemote, t.entry.UpstreamLocal, t.entry.UpstreamConnectionID = t.up.Member.Address().AddrPort, t.up.Conn.Local(), t.up.Number
	session, now := t.up.Conn.TLS(), t.local.Loop.Nanotime()
	if session != nil {
		t.entry.UpstreamTLS = session
	}
	if m := t.entry.More; m != nil {
		m.Lent, m.Ready = true, time.Duration(now-t.dialled)
		m.Dialled, m.Connected = accesslog.At(time.Duration(t.dialled-t.began)), accesslog.At(time.Duration(now-t.began))
		if began, stood := t.up.Conn.Handshake(); session != nil {
			m.Connected, m.UpstreamShaken = accesslog.At(time.Duration(began-t.began)), accesslog.At(time.Duration(stood-t.began))
		}
	}
	if t.server.config.LogConnected {
		t.logAt(config.LogAtTunnel)
	}
	if d := t.server.config.IdleTimeout; d > 0 {
		t.local.Loop.SetTimer(&t.idle, d, t)
	}
	t.down.Resume()
	if f := t.local.movable; f != nil {
		f(&Movable{tunnel: t})
	}
}

// OnData carries bytes upstream.
func (t *tunnel) OnData(b []byte) int {
	t.alive()
	t.up.Conn.Write(b)
	if t.up.Conn.Over() {
		t.stats.Inc(FlowPausedReading)
		t.down.Pause()
	}
	return len(b)
}

// OnData carries bytes downstream.
func (u *upEnd) OnData(b []byte) int {
	t := (*tunnel)(u)
	t.alive()
	t.down.Write(b)
	if t.down.Over() {
		t.up.Conn.Pause()
	}
	return len(b)
}

// OnLowWater lets the upstream go on.
func (t *tunnel) OnLowWater() {
	t.alive()
	t.up.Conn.Resume()
}

// OnLowWater lets the client go on.
func (u *upEnd) OnLowWater() {
	t := (*tunnel)(u)
	t.alive()
	t.stats.Inc(FlowResumedReading)
	t.down.Resume()
}

// OnEOF passes the client's end on; the other direction stands.
func (t *tunnel) OnEOF() {
	t.up.Conn.CloseWrite()
	t.endIfDone()
}

// OnEOF passes the upstream's end on; the other direction stands.
func (u *upEnd) OnEOF() {
	t := (*tunnel)(u)
	t.down.CloseWrite()
	t.endIfDone()
}

// endIfDone ends a tunnel in which both have said all.
func (t *tunnel) endIfDone() {
	if t.down.PeerDone() && t.up.Conn.PeerDone() {
		t.finish("", upstream.CxDestroyRemote)
		t.down.Own(loop.Nobody{})
		t.up.Conn.Own(loop.Nobody{})
		t.down.CloseFlushed(flushTime)
		t.up.Conn.CloseFlushed(flushTime)
	}
}

// flushTime bounds how long the last bytes of a tunnel may take to leave.
const flushTime = 30 * time.Second

// OnClosed is an error of the client's socket; the upstream gets a reset too, so that it cannot take what it got for everything.
func (t *tunnel) OnClosed(error) {
	if m := t.entry.More; m != nil {
		m.Reset = accesslog.ResetByPeer
	}
	t.entry.Flags |= accesslog.DownstreamConnectionTermination
	t.finish("", upstream.CxDestroyLocal)
	if t.up != nil {
		t.up.Conn.Own(loop.Nobody{})
		t.up.Conn.Reset()
	}
}

// OnClosed is an error of the upstream's socket, or a refusal.
func (u *upEnd) OnClosed(err error) {
	t := (*tunnel)(u)
	if !t.carrying {
		t.entry.UpstreamFailure = upstream.ConnectError(err)
		t.up.Failed(err)
		t.up.Ended(upstream.CxDestroyRemote, false)
		t.cluster.Report(t.local.Loop, t.up.Member, upstream.Outcome{Failure: upstream.ConnectFailed, Tunnel: true})
		t.local.Loop.StopTimer(&t.connect)
		if t.up = nil; !t.pause() {
			t.dial()
		}
		return
	}
	t.entry.Flags |= accesslog.UpstreamConnectionTermination
	if m := t.entry.More; m != nil {
		m.Reset, m.UpstreamReset = accesslog.ResetByUs, accesslog.ResetByPeer
	}
	t.finish("", upstream.CxDestroyRemote)
	t.down.Own(loop.Nobody{})
	t.down.Reset()
}

// OnUnwell ends the tunnel in order, or looks for another endpoint if it has not begun.
func (u *upEnd) OnUnwell() {
	t := (*tunnel)(u)
	if t.moving {
		t.unwell = true
		return
	}
	if !t.carrying {
		t.local.Loop.StopTimer(&t.connect)
		t.up.Ended(upstream.CxDestroyLocal, false)
		t.up.Conn.Own(loop.Nobody{})
		t.up.Conn.Close()
		t.up = nil
		t.dial()
		return
	}
	t.finish("", upstream.CxDestroyLocal)
	t.down.Own(loop.Nobody{})
	t.up.Conn.Own(loop.Nobody{})
	t.down.CloseFlushed(flushTime)
	t.up.Conn.Close()
}

// Expired is one of the tunnel's timeouts.
func (t *tunnel) Expired(timer *loop.Timer) {
	switch timer {
	case &t.connect:
		if t.denied != "" {
			t.end(t.denied)
			return
		}
		if t.asked {
			t.late()
			return
		}
		if t.up == nil { // it was a pause between two tries
			t.dial()
			return
		}
		t.up.Ended(upstream.CxDestroyLocal, true)
		t.cluster.Report(t.local.Loop, t.up.Member, upstream.Outcome{Failure: upstream.ConnectTimeout, Tunnel: true})
		t.up.Conn.Own(loop.Nobody{})
		t.up.Conn.Close()
		if t.up = nil; !t.pause() {
			t.dial()
		}
	case &t.idle:
		t.stats.Inc(IdleTimeout)
		t.entry.Flags |= accesslog.StreamIdleTimeout
		t.closes("tcp_session_idle_timeout")
		t.end("idle timeout")
	case &t.report:
		t.logAt(config.LogMeanwhile)
		t.local.Loop.SetTimer(&t.report, t.server.config.LogEvery, t)
	case &t.duration:
		t.stats.Inc(MaxDuration)
		t.entry.Flags |= accesslog.DurationTimeout
		t.closes("max_connection_duration_reached")
		t.end("max connection duration reached")
	}
}

// closes takes note of why we close both connections.
func (t *tunnel) closes(why string) {
	if m := t.entry.More; m != nil {
		m.Closed = why
		if t.up != nil {
			m.UpstreamClosed = why
		}
	}
}

// alive puts the idle timeout off, which costs one store.
func (t *tunnel) alive() {
	if t.idle.Pending() {
		t.local.Loop.SetTimer(&t.idle, t.server.config.IdleTimeout, t)
	}
}

// end closes both sides at once.
func (t *tunnel) end(why string) {
	t.finish(why, upstream.CxDestroyLocal)
	t.down.Own(loop.Nobody{})
	t.down.Close()
	if t.up != nil {
		t.up.Conn.Own(loop.Nobody{})
		t.up.Conn.Close()
	}
}

// finish counts and logs the tunnel, once, and stops all that may still call it.
func (t *tunnel) finish(why string, row int) {
	if t.over {
		return
	}
	t.over = true
	l := t.local
	l.Loop.StopTimer(&t.connect)
	if t.asked {
		l.Demands.Leave(t.wanted(), t)
	}
	l.Loop.StopTimer(&t.idle)
	l.Loop.StopTimer(&t.duration)
	l.Loop.StopTimer(&t.report)
	t.unlink()
	age := time.Duration(l.Loop.Nanotime() - t.began)
	rx, tx := t.down.Received(), t.down.Sent()+uint64(t.down.Unsent())
	t.stats.Add(CxRxBytes, rx)
	t.stats.Add(CxTxBytes, tx)
	t.entry.Termination = why
	if m := t.entry.More; m != nil {
		m.Gone = accesslog.At(age)
	}
	t.log()
	if log, ok := t.gate.(accesslog.ConnectionLog); ok {
		log.Ended(&t.entry)
	}
	t.gate.Left(age)
	if t.up != nil {
		t.up.Ended(row, false)
	}
}

// link puts the tunnel among its loop's.
func (t *tunnel) link() {
	if t.next = t.local.tunnels; t.next != nil {
		t.next.prev = t
	}
	t.local.tunnels = t
}

func (t *tunnel) unlink() {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		t.local.tunnels = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
}

// log writes the tunnel as it is now.
func (t *tunnel) log() {
	e, l := &t.entry, t.local.Loop
	e.BytesReceived, e.BytesSent = t.down.Received(), t.down.Sent()+uint64(t.down.Unsent())
	e.WireReceived, e.WireSent, e.End = e.BytesReceived, e.BytesSent, time.Duration(l.Nanotime()-t.began)
	if t.up != nil {
		e.UpstreamWireReceived, e.UpstreamWireSent = t.up.Conn.Received(), t.up.Conn.Sent()
	}
	for _, log := range t.server.logs {
		if f := log.Filter(); f == nil || f.Wants(e, l.Random(), nil) {
			log.Write(l.Index(), e)
		}
	}
}

// logAt writes it before its end.
func (t *tunnel) logAt(m config.LogMoment) {
	t.entry.Moment = m
	t.log()
	t.entry.Moment = config.LogAtEnd
}

// OnConnected is not for accepted connections.
func (t *tunnel) OnConnected() {}

// OnPanic ends the tunnel.
func (t *tunnel) OnPanic(any) { t.end("internal error") }

// OnPanic ends the tunnel.
func (u *upEnd) OnPanic(any) { (*tunnel)(u).end("internal error") }
