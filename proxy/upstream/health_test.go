package upstream

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
)

// Each kind of pause has a length of its own.
var checked = config.HealthCheck{Timeout: time.Second, Interval: 1 * time.Second, Unhealthy: 2 * time.Second, UnhealthyEdge: 3 * time.Second, HealthyEdge: 4 * time.Second,
	NoTraffic: 5 * time.Second, NoTrafficHealthy: 6 * time.Second, UnhealthyThreshold: 3, HealthyThreshold: 2, TCP: &config.TCPCheck{}}

// What results make of an endpoint, and how soon it is asked again: p for passed, f for failed, s for suspected, u for unreached; + and -
// for what it is believed to be afterwards, and the pause in seconds.
func TestResults(t *testing.T) {
	for name, test := range map[string]struct {
		results, believed, pauses string
		traffic                   bool
	}{
		"the first good one is enough":   {"p", "+", "1", true},
		"the first bad one confirms it":  {"u", "-", "2", true},
		"one that says it is ill":        {"pf", "+-", "12", true},
		"the third in a row":             {"psus", "+++-", "1332", true},
		"a good one starts anew":         {"psspss", "++++++", "133133", true},
		"back after two":                 {"pfpp", "+--+", "1241", true},
		"not after two with one between": {"pfpspp", "+----+", "124241", true},
		"nobody asks":                    {"pfpp", "+--+", "6566", false},
	} {
		c := checked
		up, _ := still(t, &config.Cluster{Health: &c}, 1)
		if test.traffic {
			up.Stats.Loop(0).Inc(CxTotal)
		}
		k, s := up.checker, up.Endpoints().All[0].Standing
		if !s.Has(FailedCheck) || !s.Has(PendingCheck) {
			t.Errorf("%s: well before the first check", name)
		}
		believed, pauses := "", ""
		for i := range test.results {
			r := map[byte]result{'p': passed, 'f': failed, 's': suspected, 'u': unreached}[test.results[i]]
			pauses += string('0' + rune(k.settle(s, finding{result: r})/time.Second))
			believed += map[bool]string{true: "-", false: "+"}[s.Has(FailedCheck)]
		}
		if believed != test.believed || pauses != test.pauses {
			t.Errorf("%s: %s makes %s with pauses %s, want %s with %s", name, test.results, believed, pauses, test.believed, test.pauses)
		}
	}
}

// Jitter is added to a pause, and to the time before the first check.
func TestJitter(t *testing.T) {
	c := checked
	c.Jitter, c.JitterPercent, c.InitialJitter = time.Second, 50, 10*time.Second
	up, _ := still(t, &config.Cluster{Health: &c}, 1)
	k, s := up.checker, up.Endpoints().All[0].Standing
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := k.settle(s, finding{result: passed}) // with NoTrafficHealthy: 6 s, up to half of it, and up to one
		least, most = min(least, d), max(most, d)
	}
	if least < 6*time.Second || least > 7*time.Second || most > 10*time.Second || most < 9*time.Second {
		t.Errorf("from %v to %v", least, most)
	}
	most = 0
	for range 1000 {
		most = max(most, k.upTo(c.InitialJitter))
	}
	if most < 9*time.Second || most >= 10*time.Second {
		t.Errorf("the first up to %v", most)
	}
	c.JitterPercent, c.NoTrafficHealthy = 4_000_000_000, time.Hour
	if d := k.interval(s, true); d < c.NoTrafficHealthy {
		t.Errorf("a sum that does not fit: %v", d)
	}
}

func TestPartsInOrder(t *testing.T) {
	parts := func(list ...string) (out [][]byte) {
		for _, p := range list {
			out = append(out, []byte(p))
		}
		return out
	}
	for _, test := range []struct {
		received string
		parts    [][]byte
		want     bool
	}{
		{"", nil, true}, {"anything", nil, true}, {"a--b", parts("a", "b"), true}, {"b--a", parts("a", "b"), false}, {"aba", parts("ab", "a"), true}, {"ab", parts("ab", "b"), false},
	} {
		if got := inOrder([]byte(test.received), test.parts); got != test.want {
			t.Errorf("%q: %v", test.received, got)
		}
	}
}

// Whoever waits for the first checks chooses by what they have found, though the work that they set off has not been done by then.
func TestWarmMeansThatChecksCount(t *testing.T) {
	c := checked
	up, l := still(t, &config.Cluster{Health: &c}, 1)
	k, s := up.checker, up.Endpoints().All[0].Standing
	k.checks[s] = &check{checker: k, standing: s}
	if k.begun = true; up.Choose(l, nil) != nil {
		t.Fatal("an endpoint is chosen before it was checked")
	}
	up.stale.Store(true) // a refresh is on its way: that of the result does not begin another one
	k.settle(s, finding{result: passed})
	if k.set.Warm(); up.Choose(l, nil) == nil {
		t.Error("none is chosen after all checks were passed")
	}
	delete(k.checks, s) // it is no whole one
}
