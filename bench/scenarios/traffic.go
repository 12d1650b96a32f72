package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// traffic measures the CPU time of the proxy per request under the load of spec. The proxy has one
// processor for itself; load and upstream share the other.
type traffic struct{ spec load.Spec }

func (t traffic) fits(r rivals.Rival) bool { return t.spec.Protocol == load.HTTP1 || r.TCP }

func (t traffic) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	return t.over(ctx, s, c, rivals.Plan{Threads: 1, TCP: t.spec.Protocol == load.TCP})
}

func (t traffic) over(ctx context.Context, s *Stage, c rivals.Contestant, plan rivals.Plan) (Sample, error) {
	if plan.TCP {
		plan.Upstream = s.ports.TCP1K
		if t.spec.Body == upstream.Size64K {
			plan.Upstream = s.ports.TCP64K
		}
	}
	plan.Profile = s.Profile
	proxy, plan, err := s.start(ctx, c, plan, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	spec := t.spec
	spec.Port, spec.Warm, spec.Measure, spec.Watch = plan.Listen, s.Warm, s.Measure, proxy.PIDs()
	if err := s.profiling(ctx, c, plan, "y"); err != nil {
		return Sample{}, err
	}
	r, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	if err := s.profiling(ctx, c, plan, "n"); err != nil {
		return Sample{}, err
	}
	sample := Sample{Load: &r, Invalid: judge(spec, r, proxy.Ended())}
	if r.Requests > 0 {
		sample.Values = []float64{float64(r.Cost.Nanoseconds()) / float64(r.Requests) / 1e3}
	}
	return sample, nil
}

// profiling turns the profiler of a contestant on or off, if it has one and a profile is wanted.
func (s *Stage) profiling(ctx context.Context, c rivals.Contestant, plan rivals.Plan, enable string) error {
	if s.Profile == "" || !c.Envoyish {
		return nil
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/cpuprofiler?enable=%s", plan.Admin, enable), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return fmt.Errorf("scenarios: profiler: %w", err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("scenarios: profiler: status %d", answer.StatusCode)
	}
	return nil
}

// quota measures the latency of a rate a second while the proxy may use no more than a share of one
// processor. It has two threads, as a sidecar has that sees two processors, and both of them to run
// on: two threads that wake at once use their share up twice as fast, which is part of the question.
type quota struct {
	envoyish
	cores float64
	rate  float64
	conns int
}

func (q quota) measure(ctx context.Context, s *Stage, c rivals.Contestant) (sample Sample, err error) {
	group, err := proc.NewQuota(q.cores)
	if err != nil {
		return Sample{}, err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 2}, s.proxyCPU, s.loadCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	if err := group.Add(proxy.PIDs()); err != nil {
		return Sample{}, err
	}
	spec := load.Spec{
		Port: plan.Listen, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K,
		Conns: q.conns, Rate: q.rate, Warm: s.Warm, Measure: s.Measure, Watch: proxy.PIDs(),
	}
	r, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	// That the rate is not kept is no error here: what waits is in the latency.
	spec.Rate = 0
	return Sample{
		Values:  []float64{float64(r.P99) / float64(time.Millisecond)},
		Load:    &r,
		Invalid: judge(spec, r, proxy.Ended()),
	}, nil
}
