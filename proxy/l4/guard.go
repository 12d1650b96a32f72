package l4

import (
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Guards are the network filters before the last one of a chain, in order: each may turn a connection away. They are shared by the loops.
type Guards []*guard

// guard limits how many connections there are at a time.
type guard struct {
	_      [64]byte // a cache line of its own: every loop writes it
	active atomic.Int64
	_      [56]byte
	config config.Guard
	stats  *telemetry.Owner
}

// NewGuards compiles the guards of a chain.
func NewGuards(list []config.Guard, store *telemetry.Store) Guards {
	var g Guards
	for _, c := range list {
		g = append(g, &guard{config: c, stats: store.Acquire(GuardStats, "connection_limit."+c.StatPrefix+".", telemetry.Tag{Name: "connection_limit_prefix", Value: c.StatPrefix})})
	}
	return g
}

// Admit lets a connection in and counts it until it has gone, or takes it to turn it away, and then the chain is not to touch it.
func (g Guards) Admit(l *Local, p *loop.Pending) bool {
	in := &admitted{Gate: p.Gate, guards: g, loop: l.Loop.Index()}
	p.Gate = in
	for i, m := range g {
		if m.off() {
			continue
		}
		if m.active.Add(1) > int64(m.config.Max) {
			m.active.Add(-1)
			m.stats.Loop(in.loop).Inc(LimitedConnections)
			turnAway(l, p, m.config.Delay)
			return false
		}
		m.stats.Loop(in.loop).Inc(ActiveConnections)
		in.counted |= 1 << i
	}
	return true
}

// off tells whether everybody is let in.
func (m *guard) off() bool { return !m.config.Key.Bool(!m.config.Off) }

// admitted is the gate of a connection that guards have counted.
type admitted struct {
	loop.Gate
	guards  Guards
	counted uint64 // by which of the guards: they may be turned on and off meanwhile. There are 64 at most
	loop    int
}

// Ended passes on how it went.
func (a *admitted) Ended(e *accesslog.Entry) {
	if log, ok := a.Gate.(accesslog.ConnectionLog); ok {
		log.Ended(e)
	}
}

// Left lets the next one in.
func (a *admitted) Left(age time.Duration) {
	for i, m := range a.guards {
		if a.counted&(1<<i) != 0 {
			m.active.Add(-1)
			m.stats.Loop(a.loop).Dec(ActiveConnections)
		}
	}
	a.Gate.Left(age)
}

// turnAway closes a connection, now or after a delay, so that a client that comes back at once takes its time.
func turnAway(l *Local, p *loop.Pending, delay time.Duration) {
	if delay <= 0 {
		p.Refuse()
		p.Gate.Left(0)
		return
	}
	if c := l.answer(p, 0); c != nil {
		c.conn.Pause()
		l.Loop.SetTimer(&c.until, delay, c)
	}
}
