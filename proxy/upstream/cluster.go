package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http1"
	"github.com/weftmesh/weft/wire/http2"
)

// Cluster is a running cluster. Config never changes; the endpoints are a pointer of their own, so that an update of endpoints
// touches nothing else.
type Cluster struct {
	Config       *config.Cluster
	Breakers     *Breakers
	Drops        *Drops
	Stats        *telemetry.Owner
	Codes        *telemetry.Owner
	Overall      *telemetry.Owner
	among        [amongs]atomic.Pointer[telemetry.Owner] // answers by status; made at first use
	canary       atomic.Pointer[telemetry.Owner]         // of canaries, made at first use, too
	from         string                                  // the zone that we are in; empty: nobody has said
	zones        map[string]*zone                        // that endpoints are in; for the Set's goroutine
	store        *telemetry.Store
	remaining    [2]*telemetry.Owner // by priority; nil: not asked for
	endpoints    atomic.Pointer[Endpoints]
	locals       []atomic.Pointer[Local] // by loop
	source       *config.Assignment      // what endpoints was made of; for the Set's goroutine
	detector     *Detector               // nil: nobody is ejected
	checker      *checker                // nil: nobody is asked
	stale        atomic.Bool             // a refresh is on its way
	names        *names                  // nil: endpoints have addresses
	destinations *destinations           // nil: the cluster has endpoints of its own
	keeper       *keeper                 // of destinations
	epoch        time.Time               // of the Set
	tls          *secured                // nil: plain text
	table        *telemetry.Owner        // of what is told of a hash table; nil: there is none
	decode       http1.Options
	encode       http1.WriteOptions
	http2        http2.Options
	codec        *telemetry.Owner // of HTTP/2
}

// Local is what one loop has of a cluster.
type Local struct {
	Stats    *telemetry.Values
	Codes    *telemetry.Values
	among    [amongs]*telemetry.Values // made at first use
	balancer Balancer

	subsets   map[*choices]*Balancer // made at first use
	subsetsOf *subsets

	destinations map[netip.AddrPort]*destination // that the loop has been to
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

// unwell has no connection of endpoints of that standing, which has just become worse, serve another request.
func (c *Cluster) unwell(s *Standing) {
	all := c.Endpoints().All
	for i := range all {
		if all[i].Standing == s {
			all[i].unwell()
		}
	}
}

// Endpoints is what the cluster has now. It is for whoever shows them: Choose is how to get one.
func (c *Cluster) Endpoints() *Endpoints {
	if c.destinations != nil {
		return c.destinations.list(c.Config)
	}
	return c.endpoints.Load()
}

// Drops are requests that no endpoint has got. They go by the cluster's name, as Breakers do.
type Drops struct {
	Refused atomic.Int64 // by a limit
	Spared  atomic.Int64 // as the endpoints' source wants it
}

// DropCategory is what the endpoints' source calls those that the endpoints are spared.
func (c *Cluster) DropCategory() string { return c.endpoints.Load().category }

// Dropped is the share of requests that the cluster's endpoints are to be spared.
func (c *Cluster) Dropped() config.Fraction { return c.endpoints.Load().drop }

// Well tells whether any endpoint is: where none is, Choose may still give one, since all being bad is more likely to be a mistake. Of a cluster whose endpoints its callers name it is always so.
func (c *Cluster) Well() bool {
	e := c.endpoints.Load()
	return c.destinations != nil || e.counts[healthy]+e.counts[degraded] > 0
}

// Choose picks an endpoint for an attempt of the loop's; nil if there is none. A nil wish wants nothing in particular.
func (c *Cluster) Choose(l *loop.Loop, w *Wish) *Member {
	e := c.endpoints.Load()
	local := c.Local(l)
	if c.destinations != nil {
		m := c.chooseDestination(l, local, w)
		if m == nil {
			local.Stats.Inc(CxNoneHealthy)
		}
		return m
	}
	q := ask{random: l.Random}
	if w != nil && w.Spent != (Priorities{}) {
		q.tried = &w.Spent
	}
	if q.slow = c.Config.SlowStart; q.slow != nil {
		q.now = int64(l.Now().Sub(c.epoch))
	}
	if hashes(c.Config) {
		if w != nil && w.Hashed {
			q.hash = w.Hash
		} else {
			q.hash = l.Random()
		}
		if c.Config.Hashing.BalanceFactor > 0 {
			q.active = c.Breakers[config.PriorityDefault].Requests.Load() + c.Breakers[config.PriorityHigh].Requests.Load()
		}
	}
	var m *Member
	if e.subsets == nil {
		m = c.choose(local, &local.balancer, e, &e.choices, w, &q)
	} else {
		m = c.chooseInSubset(local, e, w, &q)
	}
	if m == nil {
		local.Stats.Inc(CxNoneHealthy)
	}
	return m
}

// choose picks one of those, and again as long as the wish refuses it and has attempts left.
func (c *Cluster) choose(local *Local, b *Balancer, e *Endpoints, from *choices, w *Wish, q *ask) *Member {
	for {
		i, panic := b.Choose(c.Config, e, from, q)
		if panic {
			local.Stats.Inc(HealthyPanic)
		}
		if i < 0 {
			return nil
		}
		if w == nil || q.attempt >= w.Attempts || !w.refuses(e.All[i].Endpoint) {
			return &e.All[i]
		}
		q.attempt++
	}
}

// chooseInSubset picks one of the wish's subset, or of what serves instead of it.
func (c *Cluster) chooseInSubset(local *Local, e *Endpoints, w *Wish, q *ask) *Member {
	var subset *config.Subset
	if w != nil {
		subset = w.Subset
	}
	from, how := e.subsets.find(subset, &e.choices)
	if how == foundNone {
		return nil
	}
	if how == foundAsked {
		local.Stats.Inc(SubsetsSelected)
	}
	m := c.choose(local, local.balancerOf(e, from), e, from, w, q)
	if how != foundByCluster {
		return m
	}
	if m != nil {
		local.Stats.Inc(SubsetsFallback)
		return m
	}
	if !e.subsets.panicAny {
		return nil
	}
	if m = c.choose(local, &local.balancer, e, &e.choices, w, q); m != nil {
		local.Stats.Inc(SubsetsFallbackPanic)
	}
	return m
}

// balancerOf is the loop's balancer of a subset, made at first use.
func (v *Local) balancerOf(e *Endpoints, from *choices) *Balancer {
	if from == &e.choices {
		return &v.balancer
	}
	if v.subsetsOf != e.subsets {
		v.subsetsOf = e.subsets
		v.subsets = map[*choices]*Balancer{}
	}
	b := v.subsets[from]
	if b == nil {
		b = &Balancer{}
		v.subsets[from] = b
	}
	return b
}

// Report tells how an attempt at an endpoint that Choose gave has ended, once, as soon as that is known: with the final head of a
// response, not with its last byte. An attempt that was given up because nobody wants its answer any more reports nothing.
func (c *Cluster) Report(_ *loop.Loop, m *Member, o Outcome) {
	if c.detector != nil {
		c.detector.report(m, o)
	}
	if o.Unwell {
		c.immediate(m)
	}
	switch {
	case o.Tunnel: // Envoy counts those that stand, and not what becomes of them
	case o.TimedOut:
		m.Counts.RqTimeout.Add(1)
		m.Counts.RqError.Add(1)
	case o.Failure == NoFailure && o.Status < 500:
		m.Counts.RqSuccess.Add(1)
	case o.Failure != Overflow: // which is the cluster's matter, not the endpoint's
		m.Counts.RqError.Add(1)
	}
}
