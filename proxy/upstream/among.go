package upstream

import (
	"sync/atomic"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// Among is a part of a cluster's answers that is counted by status apart from all. Few clusters see all parts, so each costs nothing
// until it is met.
type Among uint8

// The parts.
const (
	AmongRetried  Among = iota // in the place of which another was asked for
	AmongInternal              // to requests from inside
	AmongExternal
	AmongCanary
	amongs
)

var amongNames = [amongs]string{AmongRetried: "retry.", AmongInternal: "internal.", AmongExternal: "external.", AmongCanary: "canary."}

// CountCode counts an answer among a part; status is from 100 to 599.
func (c *Cluster) CountCode(l *loop.Loop, a Among, status uint16) {
	local := c.Local(l)
	v := local.among[a]
	if v == nil {
		v = c.owner(&c.among[a], Codes, amongNames[a]).Loop(l.Index())
		local.among[a] = v
	}
	v.Inc(int(status) - 100)
}

// CountRetried counts an answer in the place of which another is asked for.
func (c *Cluster) CountRetried(l *loop.Loop, status uint16) {
	s := c.Local(l).Stats
	s.Inc(RetriedRqCompleted)
	if status < 100 || status >= 600 {
		return
	}
	s.Inc(RetriedRq1xx + int(status)/100 - 1)
	c.CountCode(l, AmongRetried, status)
}

// CountCanary counts an answer of a canary, which says so of itself or of which its endpoint's metadata do.
func (c *Cluster) CountCanary(l *loop.Loop, status uint16) {
	v := c.Canaries(l)
	v.Inc(CanaryRqCompleted)
	if status < 100 || status >= 600 {
		return
	}
	v.Inc(CanaryRq1xx + int(status)/100 - 1)
	c.CountCode(l, AmongCanary, status)
}

// Canaries is where answers of canaries are counted.
func (c *Cluster) Canaries(l *loop.Loop) *telemetry.Values {
	return c.owner(&c.canary, Canary, "canary.").Loop(l.Index())
}

// owner finds what is made at first use.
func (c *Cluster) owner(slot *atomic.Pointer[telemetry.Owner], t *telemetry.Table, name string) *telemetry.Owner {
	o := slot.Load()
	if o == nil {
		o = c.store.Acquire(t, c.Stats.Prefix+name, c.Stats.Tags...)
		if !slot.CompareAndSwap(nil, o) {
			c.store.Release(o)
			o = slot.Load()
		}
	}
	return o
}
