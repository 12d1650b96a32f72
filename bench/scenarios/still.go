package scenarios

import (
	"context"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// What a proxy needs while it does nothing: memory, wake-ups, CPU.

// hello is the traffic of the probes that need some: conns connections with a request each.
func hello(port, conns int) load.Spec {
	return load.Spec{Port: port, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: conns}
}

// residentAfter reads the memory of a process that was left alone for a while.
func residentAfter(ctx context.Context, r *rivals.Running) (float64, error) {
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	bytes, err := proc.Resident(r.PIDs())
	return float64(bytes), err
}

// atStart measures the memory of a proxy that has served nothing.
type atStart struct{ everyone }

func (atStart) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	proxy, _, err := s.start(ctx, c, rivals.Plan{Threads: 1}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	bytes, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{bytes / (1 << 20)}}, nil
}

// perConnection measures what conns idle connections add to a proxy that already holds a few, whose
// buffers and upstream connections are there.
type perConnection struct {
	everyone
	conns int
	tls   bool
	hail  load.Spec // what each is asked instead of the usual
}

const fewConns = 64

func (p perConnection) hello(port, conns int) load.Spec {
	spec := hello(port, conns)
	if p.hail.Protocol != "" {
		spec = p.hail
		spec.Port, spec.Conns = port, conns
	}
	spec.TLS = p.tls
	return spec
}

func (p perConnection) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	return p.over(ctx, s, c, rivals.Plan{Threads: 1})
}

func (p perConnection) over(ctx context.Context, s *Stage, c rivals.Contestant, plan rivals.Plan) (Sample, error) {
	proxy, plan, err := s.start(ctx, c, plan, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	few, err := s.hold(ctx, p.hello(plan.Listen, fewConns))
	if err != nil {
		return Sample{}, err
	}
	defer few.Stop(nil)
	before, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	many, err := s.hold(ctx, p.hello(plan.Listen, p.conns))
	if err != nil {
		return Sample{}, err
	}
	defer many.Stop(nil)
	after, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{(after - before) / float64(p.conns) / 1024}}, nil
}

// perCluster measures what static clusters add to a proxy, and how long it takes to be ready with
// them.
type perCluster struct {
	envoyish
	clusters int
}

func (p perCluster) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	without, _, err := p.with(ctx, s, c, 0)
	if err != nil {
		return Sample{}, err
	}
	with, ready, err := p.with(ctx, s, c, p.clusters)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{(with - without) / float64(p.clusters) / 1024, ready.Seconds()}}, nil
}

func (p perCluster) with(ctx context.Context, s *Stage, c rivals.Contestant, clusters int) (float64, time.Duration, error) {
	proxy, _, err := s.start(ctx, c, rivals.Plan{Threads: 1, Clusters: clusters}, s.proxyCPU)
	if err != nil {
		return 0, 0, err
	}
	defer proxy.Stop()
	bytes, err := residentAfter(ctx, proxy)
	return bytes, proxy.Ready, err
}

// atRest measures how often a proxy that has served a request and holds no connection is put on a
// processor, and what it does there.
type atRest struct{ everyone }

func (atRest) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	visit, err := s.hold(ctx, hello(plan.Listen, 1))
	if err != nil {
		return Sample{}, err
	}
	visit.Stop(nil)
	// What a start and a first request leave to do, such as giving memory back, is not idleness.
	if err := pause(ctx, 2*time.Second); err != nil {
		return Sample{}, err
	}
	began := time.Now()
	switches, cost, err := spent(proxy)
	if err != nil {
		return Sample{}, err
	}
	if err := pause(ctx, s.Idle); err != nil {
		return Sample{}, err
	}
	switchesAfter, costAfter, err := spent(proxy)
	if err != nil {
		return Sample{}, err
	}
	seconds := time.Since(began).Seconds()
	return Sample{Values: []float64{
		float64(switchesAfter-switches) / seconds,
		float64((costAfter - cost).Microseconds()) / seconds,
	}}, nil
}

func spent(proxy *rivals.Running) (switches int64, cost time.Duration, err error) {
	if switches, err = proc.Switches(proxy.PIDs()); err != nil {
		return 0, 0, err
	}
	cost, err = proc.CPUTime(proxy.PIDs())
	return switches, cost, err
}
