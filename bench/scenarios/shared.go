package scenarios

import (
	"context"
	"errors"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// multiplexed is traffic of HTTP/2 on both sides.
type multiplexed struct {
	traffic
	perGB bool // what counts is the cost of bytes
}

func (multiplexed) fits(r rivals.Rival) bool { return r.HTTP2 }

func (m multiplexed) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	sample, err := m.over(ctx, s, c, rivals.Plan{Threads: 1, HTTP2: true, Upstream: s.ports.HTTP2})
	if m.perGB && sample.Load != nil && sample.Load.Bytes > 0 {
		sample.Values = []float64{sample.Load.Cost.Seconds() * 1e3 / (float64(sample.Load.Bytes) / 1e9)}
		if sample.Load.Faults.Total() == 0 {
			sample.Invalid = ""
		}
	}
	return sample, err
}

func streams(protocol, path string, body, conns, streams int) multiplexed {
	return multiplexed{traffic: traffic{load.Spec{Protocol: protocol, Path: path, Body: body, Conns: conns, Streams: streams}}}
}

// idling is what takes part where HTTP/2 rests.
type idling struct{}

func (idling) fits(r rivals.Rival) bool { return r.HTTP2 && !r.Floor }

// perSharedConnection measures what idle connections of HTTP/2 cost.
type perSharedConnection struct {
	idling
	conns int
}

func (p perSharedConnection) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	q := perConnection{conns: p.conns, hail: load.Spec{Protocol: load.HTTP2, Path: upstream.Path1K, Body: upstream.Size1K, Streams: 1}}
	return q.over(ctx, s, c, rivals.Plan{Threads: 1, HTTP2: true, Upstream: s.ports.HTTP2})
}

// unread measures the memory that answers take which nobody reads.
type unread struct {
	idling
	conns, streams int
}

func (u unread) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, HTTP2: true, Upstream: s.ports.HTTP2}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	// A proxy that has served something: what it takes to serve at all is not what is asked.
	few, err := s.hold(ctx, load.Spec{Port: plan.Listen, Protocol: load.HTTP2, Path: upstream.Path1K, Body: upstream.Size1K, Conns: fewConns, Streams: 1})
	if err != nil {
		return Sample{}, err
	}
	defer few.Stop(nil)
	before, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	held, err := s.hold(ctx, load.Spec{Port: plan.Listen, Protocol: load.HTTP2, Path: upstream.PathMega, Body: upstream.SizeMega, Conns: u.conns, Streams: u.streams, Unread: true})
	if err != nil {
		return Sample{}, err
	}
	defer held.Stop(nil)
	after, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{(after - before) / 1e6}}, nil
}

// attacked measures how another client fares while one opens and resets streams as fast as it can.
type attacked struct{ idling }

func (attacked) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, HTTP2: true, Upstream: s.ports.HTTP2}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	spec := load.Spec{Port: plan.Listen, Protocol: load.HTTP2, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 8, Streams: 1, Warm: s.Warm, Measure: s.Measure, Watch: proxy.PIDs()}
	calm, err := s.load(ctx, spec)
	if err != nil {
		return Sample{}, err
	}
	type end struct {
		load.Result
		error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := s.load(ctx, load.Spec{Port: plan.Listen, Protocol: load.Resets, Path: upstream.Path1K, Body: 1, Conns: 1, Measure: s.Warm + s.Measure})
		ended <- end{r, err}
	}()
	r, err := s.load(ctx, spec)
	attack := <-ended
	if err = errors.Join(err, attack.error); err != nil {
		return Sample{}, err
	}
	sample := Sample{Load: &r, Invalid: judge(spec, r, proxy.Ended())}
	if calm.P99 > 0 {
		sample.Values = []float64{float64(r.P99) / float64(calm.P99), float64(r.P99) / float64(time.Millisecond)}
	}
	return sample, nil
}
