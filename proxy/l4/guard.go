package l4

import (
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Guards are the network filters before the last one of a chain that look at a connection as it comes, in order: each may turn it away. They
// are shared by the loops.
type Guards []*guard

// guard limits how many connections there are at a time, or come within one.
type guard struct {
	_      [64]byte // a cache line of its own: every loop writes it
	active atomic.Int64
	_      [56]byte
	config config.Guard
	bucket *filters.Bucket // of a rate; else nil
	stats  *telemetry.Owner
}

// NewGuards compiles the guards of a chain, which place names, the same in every configuration that has it.
func NewGuards(list []config.Guard, place string, kept *filters.Kept, store *telemetry.Store) Guards {
	var g Guards
	for i, c := range list {
		if c.Access != nil {
			continue // one of the Rules
		}
		if c.Rate == nil {
			g = append(g, &guard{config: c, stats: store.Acquire(GuardStats, "connection_limit."+c.StatPrefix+".", telemetry.Tag{Name: "connection_limit_prefix", Value: c.StatPrefix})})
			continue
		}
		key := bucketKey{rate: *c.Rate, share: c.ShareKey}
		if c.ShareKey == "" {
			key.place, key.index = place, i
		}
		now := time.Now()
		b := kept.Of(key, now, func() filters.Keeps { return filters.NewBucket(*c.Rate, now) }).(*filters.Bucket)
		g = append(g, &guard{config: c, bucket: b, stats: store.Acquire(RateStats, "local_rate_limit."+c.StatPrefix+".", telemetry.Tag{Name: "local_network_ratelimit_prefix", Value: c.StatPrefix})})
	}
	return g
}

// bucketKey names a bucket among what is kept: that of a guard, or the one that guards share.
type bucketKey struct {
	rate  config.Rate
	share string
	place string
	index int
}

// Admit lets a connection in and counts it until it has gone, or takes it to turn it away, and then the chain is not to touch it.
func (g Guards) Admit(l *Local, p *loop.Pending) bool {
	in := &admitted{Gate: p.Gate, guards: g, loop: l.Loop.Index()}
	p.Gate = in
	for i, m := range g {
		if m.off() {
			continue
		}
		if m.bucket != nil {
			if !m.bucket.Take(l.Loop.Now(), 1) {
				m.stats.Loop(in.loop).Inc(RateLimited)
				turnAway(l, p, 0, "")
				return false
			}
			continue
		}
		if m.active.Add(1) > int64(m.config.Max) {
			m.active.Add(-1)
			m.stats.Loop(in.loop).Inc(LimitedConnections)
			turnAway(l, p, m.config.Delay, "")
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
	a.uncount()
	a.Gate.Left(age)
}

// Moved lets the next one in, too.
func (a *admitted) Moved() {
	a.uncount()
	a.Gate.Moved()
}

func (a *admitted) uncount() {
	for i, m := range a.guards {
		if a.counted&(1<<i) != 0 {
			m.active.Add(-1)
			m.stats.Loop(a.loop).Dec(ActiveConnections)
		}
	}
}

// Readmit counts a connection that another process has let in, whatever the limits, and is its gate from then on.
func (g Guards) Readmit(l *Local, gate loop.Gate) loop.Gate {
	if len(g) == 0 {
		return gate
	}
	in := &admitted{Gate: gate, guards: g, loop: l.Loop.Index()}
	for i, m := range g {
		if m.bucket == nil && !m.off() {
			m.active.Add(1)
			m.stats.Loop(in.loop).Inc(ActiveConnections)
			in.counted |= 1 << i
		}
	}
	return in
}

// turnAway closes a connection, now or after a delay, so that a client that comes back at once takes its time. why is what logs say; empty:
// nothing.
func turnAway(l *Local, p *loop.Pending, delay time.Duration, why string) {
	if delay <= 0 {
		if log, ok := p.Gate.(accesslog.ConnectionLog); ok && why != "" {
			log.Ended(&accesslog.Entry{Termination: why})
		}
		p.Refuse()
		p.Gate.Left(0)
		return
	}
	if c := l.answer(p, 0); c != nil {
		c.why = why
		c.conn.Pause()
		l.Loop.SetTimer(&c.until, delay, c)
	}
}
