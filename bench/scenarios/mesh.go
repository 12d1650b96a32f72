package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/bench/plane"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/test/vacant"
)

// What it costs a sidecar to be told things.

// sidecarThreads is what Istio gives a sidecar.
const sidecarThreads = 2

// a control plane in a process of its own.
type told struct {
	process *proc.Process
	said    chan []byte
	stage   *Stage
	port    int
}

func (s *Stage) plane(ctx context.Context, shape plane.Shape) (*told, error) {
	chain, key, err := issue("p256")
	if err != nil {
		return nil, err
	}
	shape.Chain, shape.Key, shape.Upstream = string(chain), string(key), s.ports.HTTP
	input, err := json.Marshal(shape)
	if err != nil {
		return nil, fmt.Errorf("scenarios: control plane: %w", err)
	}
	p := &told{said: make(chan []byte, 1), stage: s}
	if p.process, err = s.play(ctx, PlaneRole, append(input, '\n'), p.said); err != nil {
		return nil, err
	}
	line, err := s.hear(ctx, p.process, p.said, childLimit)
	if err == nil {
		err = json.Unmarshal(line, &p.port)
	}
	if err != nil {
		p.process.Stop(nil)
		return nil, fmt.Errorf("scenarios: control plane: %w", err)
	}
	return p, nil
}

// say has the control plane say something, and waits until it has been answered each time.
func (p *told) say(ctx context.Context, o plane.Order) error {
	input, err := json.Marshal(o)
	if err == nil {
		err = p.process.Tell(append(input, '\n'))
	}
	if err != nil {
		return err
	}
	line, err := p.stage.hear(ctx, p.process, p.said, time.Duration(o.Times)*childLimit)
	if err != nil {
		return err
	}
	var said plane.Said
	if err := json.Unmarshal(line, &said); err != nil {
		return fmt.Errorf("scenarios: control plane: %w", err)
	}
	if said.Err != "" {
		return errors.New(said.Err)
	}
	if said.Remark != "" {
		p.stage.remark(said.Remark)
	}
	return nil
}

// begin starts a control plane and a contestant under it. The caller stops both.
func (s *Stage) begin(ctx context.Context, c rivals.Contestant, shape plane.Shape) (*told, *rivals.Running, rivals.Plan, error) {
	plan := rivals.Plan{Threads: sidecarThreads, Profile: s.Profile}
	ports, err := vacant.Find(1)
	if err != nil {
		return nil, nil, plan, err
	}
	shape.Listen = ports[0]
	p, err := s.plane(ctx, shape)
	if err != nil {
		return nil, nil, plan, err
	}
	plan.Plane = p.port
	running, plan, err := s.start(ctx, c, plan, s.proxyCPU)
	if err != nil {
		p.process.Stop(nil)
		return nil, nil, plan, err
	}
	return p, running, plan, nil
}

// firstTold measures a sidecar from its start until it is ready, and what it keeps.
type firstTold struct {
	shape plane.Shape
}

func (firstTold) fits(r rivals.Rival) bool { return r.Envoyish && !r.Floor }

func (f firstTold) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	p, proxy, _, err := s.begin(ctx, c, f.shape)
	if err != nil {
		return Sample{}, err
	}
	defer p.process.Stop(nil)
	defer proxy.Stop()
	cost, err := proc.CPUTime(proxy.PIDs())
	if err != nil {
		return Sample{}, err
	}
	bytes, err := residentAfter(ctx, proxy)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{proxy.Ready.Seconds(), cost.Seconds(), bytes / 1e6}}, nil
}

// retold measures what one more thing costs a sidecar that has been told everything.
type retold struct {
	shape  plane.Shape
	change plane.Change
	times  int
}

func (retold) fits(r rivals.Rival) bool { return r.Envoyish && !r.Floor }

func (f retold) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	p, proxy, plan, err := s.begin(ctx, c, f.shape)
	if err != nil {
		return Sample{}, err
	}
	defer p.process.Stop(nil)
	defer proxy.Stop()
	if err := p.say(ctx, plane.Order{Change: f.change, Times: 2}); err != nil { // the first of its kind
		return Sample{}, err
	}
	if err := pause(ctx, settle); err != nil {
		return Sample{}, err
	}
	if err := s.profiling(ctx, c, plan, "y"); err != nil {
		return Sample{}, err
	}
	before, err := proc.CPUTime(proxy.PIDs())
	if err != nil {
		return Sample{}, err
	}
	if err := p.say(ctx, plane.Order{Change: f.change, Times: f.times}); err != nil {
		return Sample{}, err
	}
	after, err := proc.CPUTime(proxy.PIDs())
	if err != nil {
		return Sample{}, err
	}
	if err := s.profiling(ctx, c, plan, "n"); err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{(after - before).Seconds() * 1000 / float64(f.times)}}, nil
}
