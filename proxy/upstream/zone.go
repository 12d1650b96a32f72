package upstream

import (
	"sync/atomic"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// zone is a zone that endpoints of a cluster are in, and what is counted of their answers apart from all; nothing until one comes.
type zone struct {
	to           string
	stats, codes atomic.Pointer[telemetry.Owner]
}

// zone is that of a member; nil if it has none, or we have none, for then nothing is counted. It is for the Set's goroutine.
func (c *Cluster) zone(to string) *zone {
	if c.from == "" || to == "" {
		return nil
	}
	z := c.zones[to]
	if z == nil {
		if c.zones == nil {
			c.zones = map[string]*zone{}
		}
		z = &zone{to: to}
		c.zones[to] = z
	}
	return z
}

// CountZone counts an answer for the zone that it came from; m is nil if it is ours.
func (c *Cluster) CountZone(l *loop.Loop, m *Member, status uint16) {
	if m == nil || m.zone == nil {
		return
	}
	countClass(c.ofZone(m.zone, &m.zone.stats, Zones).Loop(l.Index()), ZoneRqCompleted, ZoneRq1xx, status)
	c.ofZone(m.zone, &m.zone.codes, ZoneCodes).Loop(l.Index()).Inc(telemetry.CodeRow(status))
}

// TimeZone counts how long such an answer took, in milliseconds.
func (c *Cluster) TimeZone(l *loop.Loop, m *Member, elapsed uint64) {
	if m.zone != nil {
		c.ofZone(m.zone, &m.zone.stats, Zones).Loop(l.Index()).Observe(ZoneRqTime, elapsed)
	}
}

// ofZone finds what is made at first use.
func (c *Cluster) ofZone(z *zone, slot *atomic.Pointer[telemetry.Owner], t *telemetry.Table) *telemetry.Owner {
	if o := slot.Load(); o != nil {
		return o
	}
	return c.owner(slot, t, "zone."+c.from+"."+z.to+".", telemetry.Tag{Name: "from_zone", Value: c.from}, telemetry.Tag{Name: "to_zone", Value: z.to})
}

// inherit goes on with what the last configuration has counted at first use: there may be no next use before that one is released.
func (c *Cluster) inherit(old *Cluster) {
	c.Drops = old.Drops
	for i := range old.among {
		if old.among[i].Load() != nil {
			c.owner(&c.among[i], amongCodes[i], "")
		}
	}
	if old.canary.Load() != nil {
		c.owner(&c.canary, Canary, "")
	}
	for to, was := range old.zones {
		if was.stats.Load() == nil {
			continue
		}
		if z := c.zone(to); z != nil {
			c.ofZone(z, &z.stats, Zones)
			c.ofZone(z, &z.codes, ZoneCodes)
		}
	}
}

// releaseParts gives back what was made at first use.
func (c *Cluster) releaseParts() {
	slots := []*atomic.Pointer[telemetry.Owner]{&c.canary}
	for i := range c.among {
		slots = append(slots, &c.among[i])
	}
	for _, z := range c.zones {
		slots = append(slots, &z.stats, &z.codes)
	}
	for _, slot := range slots {
		if o := slot.Load(); o != nil {
			c.store.Release(o)
		}
	}
}
