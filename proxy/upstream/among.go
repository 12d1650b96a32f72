package upstream

import (
	"slices"
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

// amongCodes are the tables of the parts' answers by status code.
var amongCodes = [amongs]*telemetry.Table{
	AmongRetried:  telemetry.CodeTable("cluster", "retry.upstream_rq_"),
	AmongInternal: telemetry.CodeTable("cluster", "internal.upstream_rq_"),
	AmongExternal: telemetry.CodeTable("cluster", "external.upstream_rq_"),
	AmongCanary:   telemetry.CodeTable("cluster", "canary.upstream_rq_"),
}

// CountCode counts an answer among a part.
func (c *Cluster) CountCode(l *loop.Loop, a Among, status uint16) {
	local := c.Local(l)
	v := local.among[a]
	if v == nil {
		v = c.owner(&c.among[a], amongCodes[a], "").Loop(l.Index())
		local.among[a] = v
	}
	v.Inc(telemetry.CodeRow(status))
}

// CountRetried counts an answer in the place of which another is asked for.
func (c *Cluster) CountRetried(l *loop.Loop, status uint16) {
	countClass(c.Local(l).Stats, RetriedRqCompleted, RetriedRq1xx, status)
	c.CountCode(l, AmongRetried, status)
}

// CountCanary counts an answer of a canary, which says so of itself or of which its endpoint's metadata do.
func (c *Cluster) CountCanary(l *loop.Loop, status uint16) {
	countClass(c.Canaries(l), CanaryRqCompleted, CanaryRq1xx, status)
	c.CountCode(l, AmongCanary, status)
}

// countClass counts an answer as complete and among its hundred, of which first is the row of 1xx. One of no class is complete only.
func countClass(v *telemetry.Values, completed, first int, status uint16) {
	v.Inc(completed)
	if status >= 100 && status < 600 {
		v.Inc(first + int(status)/100 - 1)
	}
}

// Canaries is where answers of canaries are counted.
func (c *Cluster) Canaries(l *loop.Loop) *telemetry.Values {
	return c.owner(&c.canary, Canary, "").Loop(l.Index())
}

// owner finds what is made at first use. name and more tell it apart from what else the cluster has of that table.
func (c *Cluster) owner(slot *atomic.Pointer[telemetry.Owner], t *telemetry.Table, name string, more ...telemetry.Tag) *telemetry.Owner {
	o := slot.Load()
	if o == nil {
		o = c.store.Acquire(t, c.Stats.Prefix+name, slices.Concat(c.Stats.Tags, more)...)
		if !slot.CompareAndSwap(nil, o) {
			c.store.Release(o)
			o = slot.Load()
		}
	}
	return o
}
