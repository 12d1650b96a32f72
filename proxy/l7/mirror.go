package l7

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/wire/http"
)

// mirror is a copy of a request on its way to another cluster. It belongs to its exchange until the request is whole, then to nobody: its
// answer is read, counted and dropped. Nothing about it is waited for, and what it cannot take is not kept.
type mirror struct {
	local    *Local
	cluster  *upstream.Cluster
	member   *upstream.Member
	conn     upstream.Loan
	request  http.Request
	response http.Response
	trailers http.Header
	body     []byte // until a connection is lent
	wait     upstream.Wait
	timer    loop.Timer
	began    int64
	limit    int // bytes that may wait to be sent
	state    mirrorState
	priority config.Priority
}

type mirrorState uint8

const (
	mirrorAttached mirrorState = 1 << iota // its exchange may still send
	mirrorOver                             // complete, or given up
	mirrorLast                             // body ends the request
	mirrorWhole                            // the request has no body
	mirrorTrailers                         // trailers holds something
)

func (m *mirror) has(s mirrorState) bool { return m.state&s != 0 }

// freeMirrors bounds what a loop keeps for later.
const freeMirrors = 256

// forever is the deadline of a mirror whose route has none.
const forever = 5 * time.Minute

// startMirrors sends the request's head to whom the route or the cluster says.
func (x *exchange) startMirrors(end bool) {
	policies := x.mirrorPolicies()
	for i := range policies {
		p := &policies[i]
		if of, in := p.Share.Now(); x.local.Loop.Random()%in >= of {
			continue
		}
		name := p.Cluster
		if p.ClusterHeader != "" {
			if at := x.request.Find(http.Lookup(p.ClusterHeader), p.ClusterHeader, 0); at >= 0 {
				name = string(x.request.Value(at))
			}
		}
		c := x.generation.Clusters[name]
		if c == nil {
			continue // as Envoy: a copy that has nowhere to go is none
		}
		if !c.Takes(&x.request) {
			continue
		}
		m := x.local.mirror()
		m.cluster, m.limit, m.priority = c, x.server.limit, x.forward.Priority
		m.state = mirrorAttached
		x.mirrors = append(x.mirrors, m)
		m.copyHead(x, p)
		d := x.timeout
		if d == 0 {
			d = forever
		}
		x.local.Loop.SetTimer(&m.timer, d, m)
		m.begin(end)
	}
}

func (l *Local) mirror() *mirror {
	if n := len(l.mirrors); n > 0 {
		m := l.mirrors[n-1]
		l.mirrors = l.mirrors[:n-1]
		return m
	}
	return &mirror{local: l}
}

// copyHead makes the head of the copy: the request's, with a host that tells it apart, and as a request of our own.
func (m *mirror) copyHead(x *exchange, p *config.Mirror) {
	r := &m.request
	r.CopyFrom(&x.request)
	if len(p.Mutations) > 0 {
		x.mutate(&r.Header, p.Mutations)
	}
	switch {
	case p.HostRewrite != "":
		r.SetAuthority([]byte(p.HostRewrite))
	case !p.KeepHost:
		host, port := splitPort(r.Authority())
		x.scratch = append(append(x.scratch[:0], host...), "-shadow"...)
		if len(port) > 0 {
			x.scratch = append(append(x.scratch, ':'), port...)
		}
		r.SetAuthority(x.scratch)
	}
	if host := x.server.origin.Host; host.IsValid() {
		var b [64]byte
		appendValue(x, &r.Header, http.XForwardedFor, host.AppendTo(b[:0]))
	}
	r.SetString(http.XEnvoyInternal, "true")
}

func (m *mirror) begin(end bool) {
	if end {
		m.state |= mirrorWhole | mirrorLast
	}
	l := m.local.Loop
	m.began = l.Nanotime()
	if m.member = m.cluster.Choose(l, nil); m.member == nil {
		m.end()
		return
	}
	conn, failure := m.cluster.Lend(l, m.member.Endpoint, m.priority, m.request.Version, m.apart(), true, m, &m.wait)
	switch {
	case conn != nil:
		m.OnLent(conn)
	case failure != upstream.NoFailure:
		m.OnRefused(failure, "")
	}
}

// mirrorBody passes a piece of the request's body to the copies.
func (x *exchange) mirrorBody(b []byte, end bool) {
	for _, m := range x.mirrors {
		m.send(b, end, x.requestTrailers)
	}
	if end {
		x.detachMirrors()
	}
}

// detachMirrors leaves the copies to themselves: those that have got the whole request go on, the others end.
func (x *exchange) detachMirrors() {
	for i, m := range x.mirrors {
		x.mirrors[i] = nil
		m.state &^= mirrorAttached
		if !m.has(mirrorLast | mirrorOver) {
			m.abandon()
		}
		if m.has(mirrorOver) {
			m.recycle()
		}
	}
	x.mirrors = x.mirrors[:0]
}

func (m *mirror) send(b []byte, end bool, trailers *http.Header) {
	if m.has(mirrorOver | mirrorLast) {
		return
	}
	if end {
		m.state |= mirrorLast
		if trailers != nil {
			m.state |= mirrorTrailers
			m.trailers.CopyFrom(trailers)
		}
	}
	if m.conn == nil {
		if len(m.body)+len(b) > m.limit {
			m.giveUp()
			return
		}
		m.body = append(m.body, b...)
		return
	}
	m.conn.SendBody(b)
	if m.conn.Over() {
		m.giveUp()
		return
	}
	m.sendEnd()
}

func (m *mirror) sendEnd() {
	switch {
	case !m.has(mirrorLast):
	case m.has(mirrorTrailers):
		m.conn.SendEnd(&m.trailers)
	default:
		m.conn.SendEnd(nil)
	}
}

// giveUp ends a copy that is slower than the request, which must not wait for it.
func (m *mirror) giveUp() {
	m.cluster.Local(m.local.Loop).Stats.Inc(upstream.ReplayAbandoned)
	m.abandon()
}

func (m *mirror) abandon() {
	m.wait.Cancel()
	if c := m.conn; c != nil {
		m.conn = nil
		c.Abandon()
	}
	m.end()
}

// end is the end of the copy, however it came.
func (m *mirror) end() {
	if m.has(mirrorOver) {
		return
	}
	m.state |= mirrorOver
	m.local.Loop.StopTimer(&m.timer)
	if !m.has(mirrorAttached) {
		m.recycle()
	}
}

func (m *mirror) recycle() {
	m.request.Reset()
	m.response.Reset()
	m.trailers.Reset()
	m.cluster, m.member, m.conn = nil, nil, nil
	if m.body = m.body[:0]; cap(m.body) > maxScratch {
		m.body = nil
	}
	if len(m.local.mirrors) < freeMirrors {
		m.local.mirrors = append(m.local.mirrors, m)
	}
}

// OnLent implements upstream.Stream.
func (m *mirror) OnLent(c upstream.Loan) {
	m.conn = c
	framing := requestFraming(&m.request, m.has(mirrorWhole))
	c.SendHead(&m.request, framing, false, false)
	if len(m.body) > 0 {
		c.SendBody(m.body)
		m.body = m.body[:0]
	}
	m.sendEnd()
}

// OnRefused implements upstream.Stream.
func (m *mirror) OnRefused(f upstream.Failure, _ string) {
	m.cluster.Report(m.local.Loop, m.member, upstream.Outcome{Failure: f})
	m.end()
}

// Response implements upstream.Stream.
func (m *mirror) Response() *http.Response { return &m.response }

// OnHead counts the answer.
func (m *mirror) OnHead(bool) {
	if m.response.IsInformational() {
		return
	}
	l := m.local.Loop
	m.cluster.Report(l, m.member, outcome(m.cluster, &m.response))
	countAnswer(m.cluster, l, m.member, m.response.Status, milliseconds(l.Nanotime()-m.began), origin{canary: m.member.Canary || string(m.response.Get(http.XEnvoyUpstreamCanary)) == "true"})
}

// OnBody implements upstream.Stream: however long the answer is, nothing of it is kept.
func (m *mirror) OnBody([]byte) {}

// OnTrailers implements upstream.Stream.
func (m *mirror) OnTrailers(*http.Header) {}

// OnEnd implements upstream.Stream. An answer that came before the request was whole ends the copy too.
func (m *mirror) OnEnd() {
	m.conn = nil
	m.end()
}

// OnBroken implements upstream.Stream.
func (m *mirror) OnBroken(f upstream.Failure) {
	m.conn = nil
	m.OnRefused(f, "")
}

// OnLowWater implements upstream.Stream; a mirror never waits for it.
func (m *mirror) OnLowWater() {}

// Expired is the end of the time that an answer may take.
func (m *mirror) Expired(*loop.Timer) {
	m.cluster.Local(m.local.Loop).Stats.Inc(upstream.RqTimeout)
	if m.member != nil {
		m.cluster.Report(m.local.Loop, m.member, upstream.Outcome{TimedOut: true})
	}
	m.abandon()
}

// OnPanic implements upstream.Stream.
func (m *mirror) OnPanic(any) {
	m.conn = nil
	m.end()
}

// apart is what keeps the connection for a mirrored request apart from others. What a filter has offered was for another cluster.
func (m *mirror) apart() upstream.Apart {
	name := askedName(m.cluster, &m.request)
	if name == nil {
		return nil
	}
	return upstream.AppendApart(nil, nil, "", name)
}
