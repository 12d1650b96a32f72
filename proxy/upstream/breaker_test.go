package upstream

import (
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

func TestRetryLimit(t *testing.T) {
	for _, test := range []struct {
		limits config.Breaker
		active int
		want   uint32
	}{
		{config.Breaker{MaxRetries: 3}, 1000, 3},
		{config.Breaker{MaxRetries: 7, RetryBudget: &config.RetryBudget{Percent: 20, Least: 3}}, 0, 3},
		{config.Breaker{MaxRetries: 7, RetryBudget: &config.RetryBudget{Percent: 20, Least: 3}}, 14, 3},
		{config.Breaker{MaxRetries: 7, RetryBudget: &config.RetryBudget{Percent: 20, Least: 3}}, 24, 4},
		{config.Breaker{MaxRetries: 7, RetryBudget: &config.RetryBudget{Percent: 12.5, Least: 0}}, 16, 2},
		{config.Breaker{MaxRetries: 7, RetryBudget: &config.RetryBudget{Percent: 100, Least: 0}}, 0, 0},
	} {
		var b Breaker
		for range test.active {
			b.Requests.Force()
		}
		if got := b.RetryLimit(&test.limits); got != test.want {
			t.Errorf("%+v with %d under way: %d, want %d", test.limits, test.active, got, test.want)
		}
	}
}

func TestRetriesAreCounted(t *testing.T) {
	store := telemetry.NewStore(1)
	l, err := loop.New(0, store.Acquire(loop.Stats, "loop.").Loop(0), func(v any, _ []byte) { t.Error(v) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(); l.Run() })
	s := NewSet([]*loop.Loop{l}, "", store, Options{})
	c := s.Update(&config.Snapshot{Clusters: []*config.Cluster{{Name: "up", StatName: "up", Breakers: [2]config.Breaker{{MaxRetries: 2}, {MaxRetries: 1}}}}})["up"]
	want := func(p config.Priority, ok bool, open int64) {
		t.Helper()
		if got := c.EnterRetry(l, p); got != ok {
			t.Errorf("a retry was let through: %v", got)
		}
		if s.Refresh(); c.Overall.Sum(OpenRetries+int(p)*openRows) != open {
			t.Errorf("the breaker is open: %d, want %d", 1-open, open)
		}
	}
	want(config.PriorityDefault, true, 0)
	want(config.PriorityHigh, true, 1)
	want(config.PriorityDefault, true, 1)
	want(config.PriorityDefault, false, 1)
	c.LeaveRetry(config.PriorityHigh)
	want(config.PriorityHigh, true, 1)
	if n := c.Stats.Sum(RqRetryOverflow); n != 1 {
		t.Errorf("%d overflows", n)
	}
}
