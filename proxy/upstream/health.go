package upstream

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// checker asks a cluster's endpoints again and again whether they are well. It lives on one loop, with all its connections; what it finds
// out is in the endpoints' standings and outlives it.
type checker struct {
	set     *Set
	cluster *Cluster
	config  *config.HealthCheck
	home    *loop.Loop
	owner   *telemetry.Owner
	stats   *telemetry.Values
	events  []Lines // that results are written to
	checks  map[*Standing]*check
	begun   bool // endpoints are known
	warm    chan struct{}
	warmed  bool
	stopped bool
}

// tally is what checks have found lately of an endpoint. It is the checker's loop's.
type tally struct {
	known     bool // there has been a result
	good, bad uint32
}

// result is how a check ended.
type result uint8

const (
	passed    result = iota
	failed           // the endpoint said so: once is enough
	suspected        // as failed, but it takes several
	unreached        // nothing was heard of it: it takes several, too
)

// finding is what a check has found.
type finding struct {
	result   result
	degraded bool
	timedOut bool   // nothing came in time
	status   uint16 // of the answer; 0: there was none
}

// failure is what events say of one that is none of the endpoint's health.
func (f finding) failure() string {
	switch {
	case f.timedOut:
		return "NETWORK_TIMEOUT"
	case f.result == unreached:
		return "NETWORK"
	}
	return "ACTIVE"
}

// check gives a cluster its checker.
func (s *Set) check(c *Cluster, prefix string, tag telemetry.Tag) {
	if c.Config.Health == nil {
		return
	}
	k := &checker{set: s, cluster: c, config: c.Config.Health, home: s.loops[0], owner: s.store.Acquire(Checks, prefix, tag), checks: map[*Standing]*check{}, warm: make(chan struct{})}
	k.stats, k.events = k.owner.Loop(0), s.lines(k.config.Events...)
	c.checker = k
}

// follow has the checker look which endpoints there are now.
func (k *checker) follow() {
	k.home.Post(func() {
		if k.stopped {
			return
		}
		k.begun = true
		now := map[*Standing]bool{}
		all := k.cluster.endpoints.Load().All
		for i := range all {
			m := &all[i]
			if m.Check != nil && m.Check.Disabled {
				continue
			}
			now[m.Standing] = true
			if k.checks[m.Standing] == nil {
				c := &check{checker: k, standing: m.Standing}
				k.checks[m.Standing] = c
				c.member = m
				c.begin()
			}
			k.checks[m.Standing].member = m
		}
		for s, c := range k.checks {
			if !now[s] {
				c.end()
				delete(k.checks, s)
			}
		}
		k.gauge()
	})
}

// stop ends all checks.
func (k *checker) stop() {
	k.home.Post(func() {
		k.stopped = true
		for _, c := range k.checks {
			c.end()
		}
		k.checks = nil
		k.warmUp()
	})
}

// gauge counts who is well, and lets those go on who wait until every endpoint has been asked.
func (k *checker) gauge() {
	healthy, degraded, unknown := 0, 0, false
	for s := range k.checks {
		if !s.Has(FailedCheck) {
			healthy++
		}
		if s.Has(DegradedCheck) {
			degraded++
		}
		unknown = unknown || !s.tally.known
	}
	k.stats.Set(CheckHealthy, uint64(healthy))
	k.stats.Set(CheckDegraded, uint64(degraded))
	if k.begun && !unknown {
		k.warmUp()
	}
}

func (k *checker) warmUp() {
	if !k.warmed {
		k.warmed = true
		close(k.warm)
	}
}

// immediate takes an endpoint for unhealthy because it has said so in an answer to a request. It is called on any loop.
func (c *Cluster) immediate(m *Member) {
	k := c.checker
	if k == nil || m.Standing.Has(FailedCheck) {
		return
	}
	s := m.Standing
	k.home.Post(func() {
		if k.checks[s] == nil || s.Has(FailedCheck) {
			return
		}
		k.stats.Inc(CheckFailure)
		k.stats.Inc(CheckPassiveFailure)
		s.tally.good, s.tally.bad = 0, 0
		s.mark(FailedCheck|SaidUnwell, true)
		k.tell(s, eventEject, `{"failure_type":"PASSIVE","http_status_code":0}`)
		k.cluster.unwell(s)
		k.changed()
	})
}

// changed has who may get requests worked out anew.
func (k *checker) changed() {
	k.gauge()
	k.set.refreshLater(k.cluster)
}

// settle notes a result and tells when to ask again.
func (k *checker) settle(s *Standing, f finding) time.Duration {
	t, c, r := &s.tally, k.config, f.result
	changed := s.mark(PendingCheck|Ignored, false)
	first := !t.known
	t.known = true
	if r == passed {
		k.stats.Inc(CheckSuccess)
		t.bad = 0
		well := false
		if s.Has(FailedCheck) {
			if t.good++; first || t.good >= c.HealthyThreshold {
				well = true
				changed = s.mark(FailedCheck|SaidUnwell, false)
				t.good = 0
				s.since.Store(int64(k.home.Now().Sub(k.cluster.epoch))) // it has been away, and slow start begins anew
			}
		}
		if well {
			k.tell(s, eventAdd, `{"first_check":`+strconv.FormatBool(first)+"}")
		} else if c.TellSuccess {
			k.tell(s, eventSuccess, "{}")
		}
		if s.mark(DegradedCheck, f.degraded) {
			changed = true
			k.tell(s, map[bool]checkEvent{true: eventDegraded, false: eventBack}[f.degraded], "{}")
		}
		if d := k.cluster.detector; d != nil && d.config.UnejectOnCheck && s.Has(Ejected) && !s.Has(FailedCheck) {
			d.uneject(s)
		}
	} else {
		k.stats.Inc(CheckFailure)
		if r == unreached {
			k.stats.Inc(CheckNetworkFailure)
		}
		t.good = 0
		if !s.Has(FailedCheck) {
			if t.bad++; r == failed || t.bad >= c.UnhealthyThreshold {
				changed = s.mark(FailedCheck, true)
				k.tell(s, eventEject, fmt.Sprintf(`{"failure_type":"%s","http_status_code":%d}`, f.failure(), f.status))
				k.cluster.unwell(s)
				t.bad = 0
			}
		}
		if first || c.TellFailures {
			k.tell(s, eventFailure, fmt.Sprintf(`{"failure_type":"%s","first_check":%t,"http_status_code":%d}`, f.failure(), first, f.status))
		}
	}
	if changed || first {
		k.changed()
	}
	return k.interval(s, r == passed)
}

// interval is how long to wait after a result. An endpoint that is about to change its standing may be asked sooner, and one of a cluster
// that nobody has ever connected to later.
func (k *checker) interval(s *Standing, well bool) time.Duration {
	c := k.config
	d := c.Interval
	switch traffic := k.cluster.Stats.Sum(CxTotal) > 0; {
	case !traffic && well:
		d = c.NoTrafficHealthy
	case !traffic:
		d = c.NoTraffic
	case well && s.Has(FailedCheck):
		d = c.HealthyEdge
	case well:
	case s.Has(FailedCheck):
		d = c.Unhealthy
	default:
		d = c.UnhealthyEdge
	}
	part := min(float64(d)/100*float64(c.JitterPercent), float64(maxJitter))
	return d + k.upTo(time.Duration(part)) + k.upTo(c.Jitter)
}

// maxJitter keeps sums of durations within their numbers.
const maxJitter = 1 << 60

func (k *checker) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(k.home.Random() % uint64(d))
}

// inOrder tells whether the parts are in what was received, each behind the one before.
func inOrder(received []byte, parts [][]byte) bool {
	for _, p := range parts {
		at := bytes.Index(received, p)
		if at < 0 {
			return false
		}
		received = received[at+len(p):]
	}
	return true
}

// Rows of the numbers of health checks, under Envoy's names.
const (
	CheckAttempt = iota
	CheckSuccess
	CheckFailure
	CheckPassiveFailure
	CheckNetworkFailure
	CheckVerifyCluster // of a service's name
	CheckHealthy
	CheckDegraded
)

// Checks is the table of these numbers.
var Checks = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	CheckAttempt:        {Name: "health_check.attempt"},
	CheckSuccess:        {Name: "health_check.success"},
	CheckFailure:        {Name: "health_check.failure"},
	CheckPassiveFailure: {Name: "health_check.passive_failure"},
	CheckNetworkFailure: {Name: "health_check.network_failure"},
	CheckVerifyCluster:  {Name: "health_check.verify_cluster"},
	CheckHealthy:        {Name: "health_check.healthy", Type: telemetry.Gauge},
	CheckDegraded:       {Name: "health_check.degraded", Type: telemetry.Gauge},
}}
