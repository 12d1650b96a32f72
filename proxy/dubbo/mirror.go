package dubbo

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Bounds of a loop's copies that are under way: how many, and how many bytes their frames have. What is more is not sent, and counted by its cluster.
const (
	maxMirrors  = 1024
	maxMirrored = 32 << 20
)

// forever is how long a copy's answer may take whose route has no timeout.
const forever = 5 * time.Minute

// mirror is a copy of a call on its way to another cluster. It is nobody's: its answer is counted and passed over.
type mirror struct {
	upstream.Call
	local   *Local
	cluster *upstream.Cluster
	member  *upstream.Member
	next    *mirror // in local.mirrors
	timer   loop.Timer
	wait    time.Duration
	size    int
}

// mirror sends copies of a call to whom its route says. Nothing about them is waited for.
func (c *conn) mirror(g *Generation, r *config.DubboRoute, answered bool, frame []byte) {
	l := c.local
	for i := range r.Mirrors {
		to := &r.Mirrors[i]
		if of, in := to.Share.Now(); l.Loop.Random()%in >= of {
			continue
		}
		cluster := g.Clusters[to.Cluster]
		if cluster == nil {
			continue // as with HTTP: a copy that has nowhere to go is none
		}
		if l.underWay >= maxMirrors || l.mirrored+len(frame) > maxMirrored {
			cluster.Local(l.Loop).Stats.Inc(upstream.ReplayAbandoned)
			continue
		}
		l.wish = upstream.Wish{Destination: c.Destination()}
		member := cluster.Choose(l.Loop, &l.wish)
		if member == nil {
			continue
		}
		m := l.mirror()
		*m = mirror{local: l, cluster: cluster, member: member, size: len(frame)}
		if f := cluster.Copy(l.Loop, member.Endpoint, 0, nil, frame, answered, m, &m.Call); f != upstream.NoFailure {
			if f == upstream.Overflow {
				cluster.Local(l.Loop).Stats.Inc(upstream.ReplayAbandoned)
			}
			cluster.Report(l.Loop, member, upstream.Outcome{Failure: f})
			l.keep(m)
			continue
		}
		if !m.Pending() {
			l.keep(m)
			continue
		}
		l.underWay++
		l.mirrored += m.size
		if m.wait = r.Timeout; m.wait == 0 {
			m.wait = forever
		}
		l.Loop.SetTimer(&m.timer, m.wait, m)
	}
}

func (l *Local) mirror() *mirror {
	m := l.mirrors
	if m == nil {
		return new(mirror)
	}
	l.mirrors = m.next
	l.idle--
	return m
}

// keep has a mirror that is over wait for the next.
func (l *Local) keep(m *mirror) {
	*m = mirror{}
	if l.idle < keepCalls {
		m.next, l.mirrors = l.mirrors, m
		l.idle++
	}
}

// end takes the copy out of the books.
func (m *mirror) end() {
	l := m.local
	l.Loop.StopTimer(&m.timer)
	l.underWay--
	l.mirrored -= m.size
	l.keep(m)
}

// OnAnswer implements upstream.Caller.
func (m *mirror) OnAnswer(h *wire.Head, frame []byte) {
	status := uint16(200)
	if h.Status != wire.OK || wire.IsException(h.Serialization, frame[wire.HeadSize:]) {
		status = 500
	}
	m.cluster.Report(m.local.Loop, m.member, upstream.Outcome{Status: status})
	m.end()
}

// OnLost implements upstream.Caller.
func (m *mirror) OnLost(f upstream.Failure) {
	m.cluster.Report(m.local.Loop, m.member, upstream.Outcome{Failure: f, TimedOut: f == upstream.ConnectTimeout})
	m.end()
}

// OnRoom implements upstream.Caller.
func (m *mirror) OnRoom() {
	if !m.Pending() {
		m.end()
	}
}

// Expired is the end of the time that an answer may take. A frame that has not left yet stays in the books, which bound what waits.
func (m *mirror) Expired(*loop.Timer) {
	if !m.Begun() {
		m.local.Loop.SetTimer(&m.timer, m.wait, m)
		return
	}
	m.Cancel()
	m.cluster.Local(m.local.Loop).Stats.Inc(upstream.RqTimeout)
	m.cluster.Report(m.local.Loop, m.member, upstream.Outcome{TimedOut: true})
	m.end()
}

// OnPanic implements loop.Alarm and upstream.Caller.
func (m *mirror) OnPanic(any) {
	m.Cancel()
	m.end()
}
