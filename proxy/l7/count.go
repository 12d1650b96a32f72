package l7

import (
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// origin is what an answer is counted apart by.
type origin struct {
	external bool // the request came from outside
	canary   bool // the answer is a canary's
}

func (x *exchange) origin() origin {
	return origin{external: x.has(external)}
}

// countUpstream counts the answer for the cluster, unless it is one to a health check.
func (x *exchange) countUpstream() {
	if x.entry.HealthCheck {
		return
	}
	o := x.origin()
	o.canary = x.attempt.member.Canary || string(x.response.Get(http.XEnvoyUpstreamCanary)) == "true"
	elapsed := milliseconds(x.local.Loop.Nanotime() - x.attempt.began)
	countAnswer(x.cluster, x.local.Loop, x.attempt.member, x.response.Status, elapsed, o)
	x.tallyStatus(x.response.Status)
	for _, t := range x.tallies {
		if t != nil {
			t.stats.Loop(x.local.Loop.Index()).Observe(TallyTime, elapsed)
		}
	}
}

// countOther counts an interim answer, or one that we give in the place of an endpoint, or, if m is nil, of the cluster, as Envoy does.
func (x *exchange) countOther(m *upstream.Member, status uint16) {
	countStatus(x.cluster, x.local.Loop, m, status, x.origin())
	x.tallyStatus(status)
}

// clusterStats are the cluster's numbers on this loop.
func (x *exchange) clusterStats() *telemetry.Values { return x.cluster.Local(x.local.Loop).Stats }

// countAnswer counts an answer for the cluster that gave it; elapsed is in milliseconds.
func countAnswer(c *upstream.Cluster, l *loop.Loop, m *upstream.Member, status uint16, elapsed uint64, o origin) {
	countStatus(c, l, m, status, o)
	s := c.Local(l).Stats
	s.Observe(upstream.RqTime, elapsed)
	if o.external {
		s.Observe(upstream.ExternalRqTime, elapsed)
	} else {
		s.Observe(upstream.InternalRqTime, elapsed)
	}
	if o.canary {
		c.Canaries(l).Observe(upstream.CanaryRqTime, elapsed)
	}
	c.TimeZone(l, m, elapsed)
}

// countStatus counts an answer of which there is no time to tell: an interim one, or ours in the cluster's place.
func countStatus(c *upstream.Cluster, l *loop.Loop, m *upstream.Member, status uint16, o origin) {
	local := c.Local(l)
	s := local.Stats
	s.Inc(upstream.RqCompleted)
	row, first, among := upstream.InternalRqCompleted, upstream.InternalRq1xx, upstream.AmongInternal
	if o.external {
		row, first, among = upstream.ExternalRqCompleted, upstream.ExternalRq1xx, upstream.AmongExternal
	}
	s.Inc(row)
	if o.canary {
		c.CountCanary(l, status)
	}
	c.CountZone(l, m, status)
	local.Codes.Inc(telemetry.CodeRow(status))
	c.CountCode(l, among, status)
	if status < 600 {
		s.Inc(classRow(upstream.Rq1xx, status))
		s.Inc(classRow(first, status))
	}
}
