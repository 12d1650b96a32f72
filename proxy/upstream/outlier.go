package upstream

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// outlier is what outlier detection knows of an endpoint. Loops count; the rest is the detector's.
type outlier struct {
	rows  [3]atomic.Uint32 // failures in a row, by kind
	rates [2]rate          // by origin

	backoff    int64 // how many times the base ejection time it stays away
	ejections  int64 // ever
	jitter     int64
	ejectedAt  int64
	returnedAt int64
	returned   bool // it was ejected before

	// The same of being degraded by its own word.
	degradedBackoff, degradedJitter, degradedAt, recoveredAt int64
	recovered                                                bool
}

// rate counts answers. It only grows: the detector remembers what it was an interval ago.
type rate struct {
	total, good         atomic.Uint64
	lastTotal, lastGood uint64
	percent             atomic.Uint64 // the bits of the last interval's float64, for /clusters; 0: there were too few
}

// Origins of an answer: the endpoint, or ourselves on its behalf.
const (
	external = iota
	local
)

// ejection is why an endpoint is to be ejected.
type ejection int

const (
	consecutive5xx ejection = iota // the first three count rows
	consecutiveGateway
	consecutiveLocal
	bySuccessRate
	byLocalSuccessRate
	byFailurePercentage
	byLocalFailurePercentage
	byDegradation // by the endpoint's own word
)

// Detector ejects a cluster's outliers. It lives on one loop, which other loops tell of rows of failures.
type Detector struct {
	config  *config.Outliers
	cluster *Cluster
	home    *loop.Loop
	owner   *telemetry.Owner
	stats   *telemetry.Values
	events  []Lines  // that ejections are written to
	rates   [2]rates // of the last interval, by origin
	changed func()
	timer   loop.Timer
	stopped bool
}

// rates are success rates of endpoints in percent, and what they were held against.
type rates struct {
	percent     map[*Standing]float64
	mean, least float64
}

// start begins the intervals.
func (d *Detector) start() {
	d.home.Post(func() {
		if !d.stopped {
			d.home.SetTimer(&d.timer, d.config.Interval, d)
		}
	})
}

// stop ends them. Endpoints stay as they are, for the detector of the cluster's next configuration.
func (d *Detector) stop() {
	d.home.Post(func() {
		d.stopped = true
		d.home.StopTimer(&d.timer)
	})
}

// report takes note of an outcome. It is called by the loop of the attempt.
func (d *Detector) report(m *Member, o Outcome) {
	if o.Failure == Overflow {
		return // the cluster's matter: ejecting endpoints would make it worse
	}
	s := m.Standing.outlier.Load()
	split := d.config.SplitOrigins
	switch {
	case o.Failure == NoFailure && !o.TimedOut:
		if o.CountsAs == 0 {
			o.CountsAs = o.Status
		}
		d.answered(m, s, o.CountsAs)
		if o.Degraded && d.config.Degrade && o.CountsAs < 500 && !m.Standing.Has(DegradedAnswer) {
			standing := m.Standing
			d.home.Post(func() { d.degrade(standing) })
		}
		if split {
			d.reached(s)
		}
	case split:
		if o.TimedOut || o.Failure == Terminated || o.Failure == Stale || o.Failure == Malformed {
			d.reached(s) // there was a connection
		}
		s.rates[local].total.Add(1)
		d.inARow(m, s, consecutiveLocal, d.config.ConsecutiveLocal)
	case o.TimedOut || o.Failure == ConnectTimeout:
		d.answered(m, s, 504)
	default:
		d.answered(m, s, 503)
	}
}

func (d *Detector) answered(m *Member, s *outlier, status uint16) {
	r := &s.rates[external]
	r.total.Add(1)
	if status < 500 || status > 599 {
		r.good.Add(1)
		s.rows[consecutive5xx].Store(0)
		s.rows[consecutiveGateway].Store(0)
		return
	}
	if status >= 502 && status <= 504 {
		d.inARow(m, s, consecutiveGateway, d.config.ConsecutiveGateway)
	} else {
		s.rows[consecutiveGateway].Store(0)
	}
	d.inARow(m, s, consecutive5xx, d.config.Consecutive5xx)
}

func (d *Detector) reached(s *outlier) {
	s.rates[local].total.Add(1)
	s.rates[local].good.Add(1)
	s.rows[consecutiveLocal].Store(0)
}

func (d *Detector) inARow(m *Member, s *outlier, e ejection, limit uint32) {
	if s.rows[e].Add(1) == limit {
		standing := m.Standing
		d.home.Post(func() { d.suspect(standing, e) })
	}
}

// suspect judges an endpoint that has failed as often in a row as it may. It is called on the detector's loop, like all below.
func (d *Detector) suspect(s *Standing, e ejection) {
	list := d.standings()
	if d.stopped || !list[s] || s.Has(Ejected) {
		return
	}
	d.detected(e)
	d.eject(s, e, list)
	if e == consecutive5xx {
		d.stats.Inc(EjectionsConsecutive5xx)
	}
	s.outlier.Load().rows[e].Store(0)
}

// standings are those of the cluster's endpoints now.
func (d *Detector) standings() map[*Standing]bool {
	all := d.cluster.Endpoints().All
	list := make(map[*Standing]bool, len(all))
	for i := range all {
		list[all[i].Standing] = true
	}
	return list
}

func ejected(list map[*Standing]bool) int {
	n := 0
	for s := range list {
		if s.Has(Ejected) {
			n++
		}
	}
	return n
}

func (d *Detector) detected(e ejection) { d.stats.Inc(EjectionsDetected5xx + int(e)) }

// eject takes an endpoint out, unless too many are.
func (d *Detector) eject(s *Standing, e ejection, list map[*Standing]bool) {
	c, out := d.config, ejected(list)
	if 100*float64(out+1)/float64(len(list)) > float64(c.MaxPercent) && !(c.AlwaysOne && out == 0) {
		d.stats.Inc(EjectionsOverflow)
		return
	}
	if e == consecutive5xx || e == bySuccessRate {
		d.stats.Inc(EjectionsTotal)
	}
	o := s.outlier.Load()
	returned := int64(0)
	if o.returned {
		returned = o.returnedAt
	}
	if d.home.Random()%100 >= uint64(c.Enforcing[e]) {
		d.tell(s, "EJECT", e, false, returned)
		return
	}
	d.stats.Inc(EjectionsEnforcedTotal)
	d.stats.Inc(EjectionsEnforced5xx + int(e))
	o.ejections++
	o.ejectedAt, o.jitter, o.backoff = d.away(o.backoff)
	s.mark(Ejected, true)
	d.cluster.unwell(s)
	d.stats.Set(EjectionsActive, uint64(out+1))
	d.tell(s, "EJECT", e, true, returned)
	d.changed()
}

// degrade has an endpoint that calls itself degraded be asked after others for a while.
func (d *Detector) degrade(s *Standing) {
	if d.stopped || !d.standings()[s] || !s.mark(DegradedAnswer, true) {
		return
	}
	d.stats.Inc(EjectionsDetectedDegradation)
	o := s.outlier.Load()
	o.degradedAt, o.degradedJitter, o.degradedBackoff = d.away(o.degradedBackoff)
	d.tell(s, "EJECT", byDegradation, true, 0)
	d.changed()
}

// away is when an endpoint goes for a time, of which some is chance, and how often it has gone of late.
func (d *Detector) away(backoff int64) (at, jitter, times int64) {
	c := d.config
	if c.MaxJitter > 0 {
		jitter = int64(d.home.Random() % uint64(c.MaxJitter+1))
	}
	if backoff*int64(c.BaseTime) < int64(c.MaxTime+c.BaseTime) {
		backoff++
	}
	return d.home.Nanotime(), jitter, backoff
}

// back tells whether the time of one that went is over.
func (d *Detector) back(now, at, backoff, jitter int64) bool {
	return now-at >= min(backoff*int64(d.config.BaseTime), int64(d.config.MaxTime))+jitter
}

// recover ends that.
func (d *Detector) recover(s *Standing) {
	o := s.outlier.Load()
	o.recoveredAt, o.recovered = d.home.Nanotime(), true
	s.mark(DegradedAnswer, false)
	d.tell(s, "UNEJECT", consecutive5xx, false, 0)
	d.changed()
}

// uneject brings an endpoint back whose time is over.
func (d *Detector) uneject(s *Standing) {
	o := s.outlier.Load()
	for i := range o.rows {
		o.rows[i].Store(0)
	}
	o.returnedAt, o.returned = d.home.Nanotime(), true
	s.mark(Ejected, false)
	d.tell(s, "UNEJECT", consecutive5xx, false, o.ejectedAt) // which Envoy leaves at its first value
	d.changed()
}

// Expired ends an interval.
func (d *Detector) Expired(*loop.Timer) {
	d.home.SetTimer(&d.timer, d.config.Interval, d)
	list, now := d.standings(), d.home.Nanotime()
	for s := range list {
		o := s.outlier.Load()
		if s.Has(Ejected) && d.back(now, o.ejectedAt, o.backoff, o.jitter) {
			d.uneject(s)
		}
		if s.Has(DegradedAnswer) && d.back(now, o.degradedAt, o.degradedBackoff, o.degradedJitter) {
			d.recover(s)
		}
	}
	d.judge(external, list)
	d.judge(local, list)
	for s := range list {
		o := s.outlier.Load()
		if !s.Has(Ejected) && o.returned && now-o.returnedAt >= int64(d.config.Interval) && o.backoff > 0 {
			o.backoff--
		}
		if !s.Has(DegradedAnswer) && o.recovered && now-o.recoveredAt >= int64(d.config.Interval) && o.degradedBackoff > 0 {
			o.degradedBackoff--
		}
	}
	d.stats.Set(EjectionsActive, uint64(ejected(list)))
}

// OnPanic lets the intervals go on: Expired has set the next one first.
func (d *Detector) OnPanic(any) {}

// judge compares the endpoints' success rates of the last interval.
func (d *Detector) judge(origin int, list map[*Standing]bool) {
	c := d.config
	enough := len(list) >= int(c.RateHosts) || len(list) >= int(c.FailureHosts)
	var rated, failing []*Standing
	percent := make(map[*Standing]float64, len(list))
	d.rates[origin] = rates{percent: percent}
	sum := 0.0
	for s := range list {
		r := &s.outlier.Load().rates[origin]
		// The good ones first: what comes between the two loads makes a rate of at most 100.
		good, total := r.good.Load(), r.total.Load()
		n, ok := total-r.lastTotal, good-r.lastGood
		r.lastTotal, r.lastGood = total, good
		r.percent.Store(0)
		if !enough || s.Has(Ejected) || n == 0 {
			continue
		}
		p := float64(ok) * 100 / float64(n)
		percent[s] = p
		if n >= min(uint64(c.RateVolume), uint64(c.FailureVolume)) {
			r.percent.Store(math.Float64bits(p) + 1)
		}
		if n >= uint64(c.RateVolume) {
			rated = append(rated, s)
			sum += p
		}
		if n >= uint64(c.FailureVolume) {
			failing = append(failing, s)
		}
	}
	if len(rated) > 0 && len(rated) >= int(c.RateHosts) {
		mean, variance := sum/float64(len(rated)), 0.0
		for _, s := range rated {
			variance += (percent[s] - mean) * (percent[s] - mean)
		}
		least := mean - float64(c.RateStdev)/1000*math.Sqrt(variance/float64(len(rated)))
		d.rates[origin].mean, d.rates[origin].least = mean, least
		for _, s := range rated {
			if percent[s] < least {
				d.stats.Inc(EjectionsSuccessRate)
				d.outstanding(s, bySuccessRate+ejection(origin), list)
			}
		}
	}
	if len(failing) > 0 && len(failing) >= int(c.FailureHosts) {
		for _, s := range failing {
			if 100-percent[s] >= float64(c.FailureThreshold) {
				d.outstanding(s, byFailurePercentage+ejection(origin), list)
			}
		}
	}
}

// outstanding ejects an endpoint that is worse than it may be, unless it is out already for the other reason.
func (d *Detector) outstanding(s *Standing, e ejection, list map[*Standing]bool) {
	d.detected(e)
	if !s.Has(Ejected) {
		d.eject(s, e, list)
	}
}

// SuccessRates are those of the last interval in percent, of the endpoint's own answers and of the connections to it; -1: there were
// too few.
func (s *Standing) SuccessRates() (own, connections float64) {
	rates := [2]float64{-1, -1}
	o := s.outlier.Load()
	for i := range rates {
		if o == nil {
			break
		}
		if bits := o.rates[i].percent.Load(); bits != 0 {
			rates[i] = math.Float64frombits(bits - 1)
		}
	}
	return rates[0], rates[1]
}

// Rows of outlier detection's numbers, under Envoy's names. The detected and the enforced ones are in the order of ejection.
const (
	EjectionsActive = iota
	EjectionsOverflow
	EjectionsEnforcedTotal
	EjectionsDetected5xx
	EjectionsDetectedGateway
	EjectionsDetectedLocal
	EjectionsDetectedRate
	EjectionsDetectedLocalRate
	EjectionsDetectedFailure
	EjectionsDetectedLocalFailure
	EjectionsEnforced5xx
	EjectionsEnforcedGateway
	EjectionsEnforcedLocal
	EjectionsEnforcedRate
	EjectionsEnforcedLocalRate
	EjectionsEnforcedFailure
	EjectionsEnforcedLocalFailure
	EjectionsTotal
	EjectionsConsecutive5xx
	EjectionsSuccessRate
	EjectionsDetectedDegradation
)

// Outliers is the table of outlier detection's numbers.
var Outliers = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	EjectionsActive:               {Name: "outlier_detection.ejections_active", Type: telemetry.Gauge},
	EjectionsOverflow:             {Name: "outlier_detection.ejections_overflow"},
	EjectionsEnforcedTotal:        {Name: "outlier_detection.ejections_enforced_total"},
	EjectionsDetected5xx:          {Name: "outlier_detection.ejections_detected_consecutive_5xx"},
	EjectionsDetectedGateway:      {Name: "outlier_detection.ejections_detected_consecutive_gateway_failure"},
	EjectionsDetectedLocal:        {Name: "outlier_detection.ejections_detected_consecutive_local_origin_failure"},
	EjectionsDetectedRate:         {Name: "outlier_detection.ejections_detected_success_rate"},
	EjectionsDetectedLocalRate:    {Name: "outlier_detection.ejections_detected_local_origin_success_rate"},
	EjectionsDetectedFailure:      {Name: "outlier_detection.ejections_detected_failure_percentage"},
	EjectionsDetectedLocalFailure: {Name: "outlier_detection.ejections_detected_local_origin_failure_percentage"},
	EjectionsEnforced5xx:          {Name: "outlier_detection.ejections_enforced_consecutive_5xx"},
	EjectionsEnforcedGateway:      {Name: "outlier_detection.ejections_enforced_consecutive_gateway_failure"},
	EjectionsEnforcedLocal:        {Name: "outlier_detection.ejections_enforced_consecutive_local_origin_failure"},
	EjectionsEnforcedRate:         {Name: "outlier_detection.ejections_enforced_success_rate"},
	EjectionsEnforcedLocalRate:    {Name: "outlier_detection.ejections_enforced_local_origin_success_rate"},
	EjectionsEnforcedFailure:      {Name: "outlier_detection.ejections_enforced_failure_percentage"},
	EjectionsEnforcedLocalFailure: {Name: "outlier_detection.ejections_enforced_local_origin_failure_percentage"},
	EjectionsTotal:                {Name: "outlier_detection.ejections_total"},
	EjectionsConsecutive5xx:       {Name: "outlier_detection.ejections_consecutive_5xx"},
	EjectionsSuccessRate:          {Name: "outlier_detection.ejections_success_rate"},
	EjectionsDetectedDegradation:  {Name: "outlier_detection.ejections_detected_degradation"},
}}

// detect gives a cluster its detector.
func (s *Set) detect(c *Cluster, prefix string, tag telemetry.Tag) {
	if c.Config.Outliers == nil {
		return
	}
	d := &Detector{config: c.Config.Outliers, cluster: c, home: s.loops[0], owner: s.store.Acquire(Outliers, prefix, tag)}
	d.stats, d.events = d.owner.Loop(0), s.lines(d.config.Events)
	d.changed = func() { s.refreshLater(c) }
	c.detector = d
	d.start()
}

// refreshLater has refresh called, off the loop: tables may take a while. Changes that come meanwhile are seen to at once.
func (s *Set) refreshLater(c *Cluster) {
	if !c.stale.Swap(true) {
		go s.refresh(c)
	}
}

// refresh works out anew who may get requests, after what is known of their health has changed.
func (s *Set) refresh(c *Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.stale.Store(false)
	if s.clusters[c.Config.Name] != c || c.destinations != nil {
		return
	}
	all := c.endpoints.Load().All
	stay := all
	for i := range all {
		if m := &all[i]; m.leaving && m.Standing.Has(FailedCheck) {
			s.drop(m.Endpoint)
			if len(stay) == len(all) {
				stay = slices.Clone(all[:i])
			}
		} else if len(stay) < len(all) {
			stay = append(stay, *m)
		}
	}
	s.compile(c, stay)
	if len(stay) < len(all) {
		c.checker.follow()
		s.drain()
	}
}
