package upstream

import (
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http1"
)

// Cluster is a running cluster. Config never changes; the endpoints are a pointer of their own, so that an update of endpoints
// touches nothing else.
type Cluster struct {
	Config    *config.Cluster
	Breakers  *Breakers
	Stats     *telemetry.Owner
	Codes     *telemetry.Owner
	remaining [2]*telemetry.Owner // by priority; nil: not asked for
	endpoints atomic.Pointer[Endpoints]
	locals    []atomic.Pointer[Local] // by loop
	source    *config.Assignment      // what endpoints was made of; for the Set's goroutine
	decode    http1.Options
	encode    http1.WriteOptions
}

// Local is what one loop has of a cluster.
type Local struct {
	Stats    *telemetry.Values
	Codes    *telemetry.Values
	balancer Balancer
}

// Local is the calling loop's part of the cluster, made at first use.
func (c *Cluster) Local(l *loop.Loop) *Local {
	slot := &c.locals[l.Index()]
	if v := slot.Load(); v != nil {
		return v
	}
	v := &Local{Stats: c.Stats.Loop(l.Index()), Codes: c.Codes.Loop(l.Index())}
	slot.Store(v)
	return v
}

// Endpoints is what the cluster has now. An attempt reads it once.
func (c *Cluster) Endpoints() *Endpoints { return c.endpoints.Load() }

// Choose picks an endpoint for an attempt of the loop's; nil if there is none. A nil wish wants nothing in particular.
func (c *Cluster) Choose(l *loop.Loop, w *Wish) *Member {
	e := c.endpoints.Load()
	local := c.Local(l)
	i := local.balancer.Choose(c.Config, e, l.Random)
	if i < 0 {
		local.Stats.Inc(CxNoneHealthy)
		return nil
	}
	if e.panic {
		local.Stats.Inc(HealthyPanic)
	}
	if w != nil {
		for again := w.Attempts; again > 0 && w.refuses(e.All[i].Endpoint); again-- {
			i = local.balancer.Choose(c.Config, e, l.Random)
		}
	}
	return &e.All[i]
}

// Report tells how an attempt at an endpoint that Choose gave has ended, once, as soon as that is known: with the final head of a
// response, not with its last byte. An attempt that was given up because nobody wants its answer any more reports nothing.
func (c *Cluster) Report(_ *loop.Loop, m *Member, o Outcome) {
	switch {
	case o.TimedOut:
		m.Counts.RqTimeout.Add(1)
	case o.Failure == NoFailure && o.Status < 500:
		m.Counts.RqSuccess.Add(1)
	case o.Failure != Overflow: // which is the cluster's matter, not the endpoint's
		m.Counts.RqError.Add(1)
	}
}
