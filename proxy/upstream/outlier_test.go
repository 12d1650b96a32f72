package upstream

import (
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// court is a detector over endpoints, whose loop does not turn: its time stands, and the test moves what is remembered of it.
type court struct {
	*Detector
	all     []Member
	changes int
}

func newCourt(t *testing.T, c *config.Outliers, endpoints int) *court {
	t.Helper()
	store := telemetry.NewStore(1)
	l, err := loop.New(0, store.Acquire(loop.Stats, "loop.").Loop(0), func(v any, _ []byte) { t.Error(v) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(); l.Run() })
	all := same(endpoints)
	for i := range all {
		all[i].Standing.outlier.Store(&outlier{})
	}
	cluster := &Cluster{Config: &config.Cluster{Panic: 0, Outliers: c}}
	cluster.endpoints.Store(compile(cluster.Config, nil, all))
	k := &court{all: all}
	k.Detector = &Detector{config: c, cluster: cluster, home: l, owner: store.Acquire(Outliers, "cluster.up."), changed: func() { k.changes++ }}
	k.stats = k.owner.Loop(0)
	return k
}

// out are the endpoints that are ejected.
func (k *court) out() (list []int) {
	for i := range k.all {
		if k.all[i].Standing.Has(Ejected) {
			list = append(list, i)
		}
	}
	return list
}

// pass lets time go by for all that is remembered.
func (k *court) pass(d time.Duration) {
	for i := range k.all {
		o := k.all[i].Standing.outlier.Load()
		o.ejectedAt -= int64(d)
		o.returnedAt -= int64(d)
	}
}

func (k *court) interval() {
	k.pass(k.config.Interval)
	k.Expired(&k.timer)
}

func (k *court) answers(i, good, bad int) {
	for range good {
		k.report(&k.all[i], Outcome{Status: 200})
	}
	for range bad {
		k.report(&k.all[i], Outcome{Status: 500})
	}
}

var usual = config.Outliers{Interval: 10 * time.Second, BaseTime: 30 * time.Second, MaxTime: 100 * time.Second, MaxPercent: 50, Consecutive5xx: 5, ConsecutiveGateway: 5,
	ConsecutiveLocal: 5, RateHosts: 5, RateVolume: 100, RateStdev: 1900, FailureHosts: 5, FailureVolume: 50, FailureThreshold: 85, Enforcing: [7]uint32{100, 100, 100, 100, 100, 100, 100}}

// What is a failure, in which row.
func TestRowsOfFailures(t *testing.T) {
	for _, test := range []struct {
		name  string
		split bool
		list  []Outcome
		want  [3]uint32 // 5xx, gateway, local
	}{
		{"errors", false, []Outcome{{Status: 500}, {Status: 503}, {Status: 502}}, [3]uint32{3, 2, 0}},
		{"another error ends a row of gateway failures", false, []Outcome{{Status: 504}, {Status: 501}}, [3]uint32{2, 0, 0}},
		{"an answer ends rows", false, []Outcome{{Status: 503}, {Status: 404}}, [3]uint32{0, 0, 0}},
		{"what fails here is a gateway failure", false, []Outcome{{Failure: ConnectFailed}, {Failure: Terminated}, {TimedOut: true}, {Failure: ConnectTimeout}}, [3]uint32{4, 4, 0}},
		{"overflow is nobody's", false, []Outcome{{Failure: Overflow}}, [3]uint32{}},
		{"overflow is nobody's", true, []Outcome{{Failure: Overflow}}, [3]uint32{}},
		{"what fails here has its own row", true, []Outcome{{Failure: ConnectFailed}, {Failure: ConnectTimeout}}, [3]uint32{0, 0, 2}},
		{"an answer of any kind was reached", true, []Outcome{{Failure: ConnectFailed}, {Status: 503}}, [3]uint32{1, 1, 0}},
		{"a connection that broke had been made", true, []Outcome{{Failure: ConnectFailed}, {Failure: Terminated}}, [3]uint32{0, 0, 1}},
	} {
		c := usual
		c.SplitOrigins = test.split
		k := newCourt(t, &c, 1)
		for _, o := range test.list {
			k.report(&k.all[0], o)
		}
		var got [3]uint32
		for i := range got {
			got[i] = k.all[0].Standing.outlier.Load().rows[i].Load()
		}
		if got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// An ejection lasts longer with each, up to a limit, and less long again when the endpoint has been good for a while.
func TestEjectionsGrowAndShrink(t *testing.T) {
	c := usual
	c.Interval = time.Second // so that to be out does not depend on when in an interval it began
	k := newCourt(t, &c, 3)
	lasts := func() time.Duration {
		k.suspect(k.all[1].Standing, consecutive5xx)
		if !slices.Equal(k.out(), []int{1}) {
			t.Fatalf("out: %v", k.out())
		}
		for n := time.Duration(1); ; n++ {
			if k.interval(); len(k.out()) == 0 {
				return n * time.Second
			}
		}
	}
	for i, want := range []time.Duration{30, 60, 90, 100, 100} {
		if got := lasts(); got != want*time.Second {
			t.Errorf("ejection %d lasts %v, want %v s", i, got, want)
		}
	}
	for range 3 {
		k.interval()
	}
	if got := lasts(); got != 90*time.Second {
		t.Errorf("after three good intervals an ejection lasts %v, want 90 s", got)
	}
	if k.changes == 0 {
		t.Error("nobody was told")
	}
}

func TestNotTooManyAreEjected(t *testing.T) {
	for _, test := range []struct {
		percent uint32
		one     bool
		want    int
	}{{50, false, 2}, {49, false, 1}, {10, false, 0}, {10, true, 1}, {0, true, 1}, {100, false, 4}} {
		c := usual
		c.MaxPercent, c.AlwaysOne = test.percent, test.one
		k := newCourt(t, &c, 4)
		for i := range k.all {
			k.suspect(k.all[i].Standing, consecutiveGateway)
			k.suspect(k.all[i].Standing, consecutiveGateway) // one that is out is not judged again
		}
		if n := len(k.out()); n != test.want {
			t.Errorf("at most %d %%, one in any case %v: %d of 4 are out, want %d", test.percent, test.one, n, test.want)
		}
		if got := k.owner.Sum(EjectionsActive); got != int64(test.want) {
			t.Errorf("%d are counted, want %d", got, test.want)
		}
	}
}

// The example of Envoy's documentation: rates of 50, 100, 100, 100 and 100 % have a threshold of 52 with a factor of 1.9.
func TestSuccessRate(t *testing.T) {
	c := usual
	k := newCourt(t, &c, 5)
	round := func() {
		for i := range 4 {
			k.answers(i, 100, 0)
		}
		k.answers(4, 50, 50)
		k.interval()
	}
	c.RateStdev = 2001
	if round(); len(k.out()) != 0 {
		t.Errorf("a factor of 2.001: out %v", k.out())
	}
	c.RateStdev = 1900
	if round(); !slices.Equal(k.out(), []int{4}) {
		t.Errorf("a factor of 1.9: out %v", k.out())
	}
	if own, connections := k.all[4].Standing.SuccessRates(); own != 50 || connections != -1 {
		t.Errorf("rates %v and %v", own, connections)
	}
	k.interval()
	if own, _ := k.all[0].Standing.SuccessRates(); own != -1 {
		t.Errorf("rate of an interval without requests: %v", own)
	}
}

func TestFailurePercentage(t *testing.T) {
	c := usual
	c.RateHosts = 100
	k := newCourt(t, &c, 5)
	for i := range 5 {
		k.answers(i, 50, 0)
	}
	k.answers(1, 0, 283) // of 333: 84.98 %
	k.interval()
	if len(k.out()) != 0 {
		t.Errorf("below the threshold: out %v", k.out())
	}
	for i := range 5 {
		k.answers(i, 30, 170) // 85 %
	}
	k.interval()
	if n := len(k.out()); n != 2 { // half of them at most
		t.Errorf("at the threshold: %d out", n)
	}
}

// An endpoint that calls itself degraded is so for a time that grows, as an ejection's does; one that fails besides is not for that.
func TestEndpointsThatCallThemselvesDegraded(t *testing.T) {
	c := usual
	k := newCourt(t, &c, 2)
	m := &k.all[0]
	word := func() { k.degrade(m.Standing) }
	word()
	word() // said twice, counted once
	if m.state() != degraded || k.owner.Sum(EjectionsDetectedDegradation) != 1 || len(k.out()) != 0 {
		t.Fatalf("state %d, %d detected", m.state(), k.owner.Sum(EjectionsDetectedDegradation))
	}
	away := func(d time.Duration) state {
		o := m.Standing.outlier.Load()
		o.degradedAt -= int64(d)
		o.recoveredAt -= int64(d)
		k.Expired(nil)
		return m.state()
	}
	if s := away(c.BaseTime - 1*time.Second); s != degraded {
		t.Error("back before its time")
	}
	if s := away(time.Second); s != healthy {
		t.Error("not back in time")
	}
	word()
	if s := away(c.BaseTime); s != degraded {
		t.Error("the second time is no longer than the first")
	}
	if s := away(c.BaseTime); s != healthy {
		t.Error("not back after twice the time")
	}
	k.report(m, Outcome{Status: 500, Degraded: true})
	k.report(m, Outcome{Status: 200, Degraded: true}) // nobody has asked for it
	if m.state() != healthy {
		t.Error("degraded by an answer that does not count")
	}
}

// What was found of an endpoint outlives the configuration of its cluster, and is forgotten with the wish to know it.
func TestStandingsSurvive(t *testing.T) {
	store := telemetry.NewStore(1)
	l, err := loop.New(0, store.Acquire(loop.Stats, "loop.").Loop(0), func(v any, _ []byte) { t.Error(v) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(); l.Run() })
	s := NewSet([]*loop.Loop{l}, "", store, Options{})
	update := func(hash byte, o *config.Outliers) *Cluster {
		c := &config.Cluster{Name: "up", StatName: "up", Hash: config.Hash{hash}, Panic: 0, Outliers: o, MaxHeaders: uint32(hash), Static: &config.Assignment{
			Overprovisioning: 140, Endpoints: []*config.Endpoint{{Address: config.Address{Path: "/a"}, Weight: 1}, {Address: config.Address{Path: "/b"}, Weight: 1}}}}
		return s.Update(&config.Snapshot{Clusters: []*config.Cluster{c}})["up"]
	}
	up := update(1, &usual)
	up.detector.suspect(up.Endpoints().All[0].Standing, consecutive5xx)
	s.refresh(up)
	for hash := byte(2); hash < 4; hash++ {
		if up = update(hash, &usual); up.Endpoints().Healthy() != 1 || up.Choose(l, nil).Address().Path != "/b" {
			t.Errorf("configuration %d: %d healthy", hash, up.Endpoints().Healthy())
		}
	}
	if up = update(4, nil); up.Endpoints().Healthy() != 2 {
		t.Error("one is still out where nobody is to be ejected")
	}
	if s.Update(&config.Snapshot{}); len(s.standings)+len(s.endpoints) != 0 {
		t.Errorf("%d standings are left", len(s.standings))
	}
}
