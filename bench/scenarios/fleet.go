package scenarios

import (
	"context"
	"slices"
	"time"

	"github.com/weftmesh/weft/bench/rivals"
)

// slowOne measures what LEAST_REQUEST makes of a fleet of which one endpoint is slower than the others, beside ROUND_ROBIN.
type slowOne struct {
	envoyish
	delay     time.Duration
	endpoints int
	slower    int
}

func (o slowOne) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	delays := slices.Repeat([]time.Duration{o.delay}, o.endpoints)
	delays[0] *= time.Duration(o.slower)
	fleet, ports, err := s.fleet(ctx, delays)
	if err != nil {
		return Sample{}, err
	}
	defer fleet.Stop(nil)
	least, invalid, err := o.p99(ctx, s, c, "LEAST_REQUEST", ports)
	if err != nil || invalid != "" {
		return Sample{Invalid: invalid}, err
	}
	turns, invalid, err := o.p99(ctx, s, c, "ROUND_ROBIN", ports)
	if err != nil || invalid != "" {
		return Sample{Invalid: invalid}, err
	}
	return Sample{Values: []float64{float64(least) / float64(turns)}}, nil
}

func (o slowOne) p99(ctx context.Context, s *Stage, c rivals.Contestant, policy string, ports []int) (time.Duration, string, error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Upstream: ports[0], Policies: rivals.Policies{Cluster: "lb_policy: " + policy, Endpoints: ports[1:]}}, s.proxyCPU)
	if err != nil {
		return 0, "", err
	}
	defer proxy.Stop()
	const conns = 64
	spec := hello(plan.Listen, conns)
	spec.Measure, spec.Watch = s.Measure, proxy.PIDs()
	spec.Warm = s.Warm + conns*o.delay*time.Duration(o.slower) // until nearly all wait for the slow one, if they are going to
	r, err := s.load(ctx, spec)
	if err != nil {
		return 0, "", err
	}
	return r.P99, judge(spec, r, proxy.Ended()), nil
}
