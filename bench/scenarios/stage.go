package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
	"github.com/weftmesh/weft/test/vacant"
)

// A Stage is what every measurement stands on: the upstream, the processors, the times.
type Stage struct {
	Warm    time.Duration // traffic before the measured time
	Measure time.Duration // of traffic
	Idle    time.Duration // watched without traffic
	Brief   bool          // what has a duration of its own takes a fraction of it: to see that it runs
	Remark  func(string)  // is told what no number says; nil: nobody is
	Weftd   string        // file of the control plane that was built together with weft
	Weft    string        // file of weft, which captures traffic, too
	Profile string        // where Envoyish contestants write where their time goes under traffic; "" for nowhere

	self     string // this program, which is also the load generator and the upstream
	proxyCPU int
	loadCPU  int
	server   *proc.Process
	ports    upstream.Ports
}

// Names of the parts this program plays in child processes.
const (
	LoadRole     = "load"
	UpstreamRole = "upstream"
	// OpenUpstreamRole is one that listens at every address, of a network namespace.
	OpenUpstreamRole = "upstream-open"
	FleetRole        = "fleet"
	PlaneRole        = "plane"
	MixedRole        = "mixed"
	SidecarsRole     = "sidecars"
)

// mostFiles lets a proxy hold both sides of the largest scenario.
const mostFiles = 20000

// settle is how long a process is left alone before its memory is read.
const settle = 500 * time.Millisecond

// childLimit bounds what a child may take beyond the time it was told to take.
const childLimit = 30 * time.Second

// NewStage starts the upstream. self is the path of this program.
func NewStage(ctx context.Context, self string) (*Stage, error) {
	cpus, err := proc.CPUs()
	if err != nil {
		return nil, err
	}
	if len(cpus) < 2 {
		return nil, errors.New("scenarios: one processor for the proxy and one for the load are needed, and there is one in all")
	}
	if err := proc.RaiseFiles(mostFiles); err != nil {
		return nil, err
	}
	s := &Stage{
		Warm: 500 * time.Millisecond, Measure: 3 * time.Second, Idle: 5 * time.Second,
		self: self, proxyCPU: cpus[0], loadCPU: cpus[1],
	}
	said := make(chan []byte, 1)
	if s.server, err = s.play(ctx, UpstreamRole, nil, said); err != nil {
		return nil, err
	}
	line, err := s.hear(ctx, s.server, said, childLimit)
	if err == nil {
		err = json.Unmarshal(line, &s.ports)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("scenarios: upstream: %w", err)
	}
	return s, nil
}

// Close ends the upstream.
func (s *Stage) Close() {
	s.server.Stop(nil)
	forgetCertificates()
}

// play starts this program in a role, on the processor of the load.
//
// The two settings are for the Go runtime of that child. A second P, though there is one processor:
// with one, the runtime's monitor takes the only P away at every blocking wait. No preemption by
// signals: there is one goroutine, and signals would interrupt its waits.
func (s *Stage) play(ctx context.Context, role string, input []byte, said chan<- []byte) (*proc.Process, error) {
	return proc.Start(ctx, proc.Command{
		Path: s.self, Args: []string{"-role", role}, Input: input, Stdout: said, CPUs: []int{s.loadCPU},
		Env: childEnv,
	})
}

var childEnv = []string{"GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1"}

func (s *Stage) hear(ctx context.Context, p *proc.Process, said <-chan []byte, limit time.Duration) ([]byte, error) {
	select {
	case line := <-said:
		return line, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(limit):
		return nil, fmt.Errorf("nothing said within %v", limit)
	case <-p.Done():
	}
	select {
	case line := <-said: // said, and ended at once
		return line, nil
	default:
		return nil, fmt.Errorf("ended: %s", p.Log())
	}
}

// fleet starts endpoints with those delays and gives their ports.
func (s *Stage) fleet(ctx context.Context, delays []time.Duration) (*proc.Process, []int, error) {
	input, err := json.Marshal(delays)
	if err != nil {
		return nil, nil, fmt.Errorf("scenarios: fleet: %w", err)
	}
	said := make(chan []byte, 1)
	child, err := s.play(ctx, FleetRole, append(input, '\n'), said)
	if err != nil {
		return nil, nil, err
	}
	var ports []int
	line, err := s.hear(ctx, child, said, childLimit)
	if err == nil {
		err = json.Unmarshal(line, &ports)
	}
	if err != nil {
		child.Stop(nil)
		return nil, nil, fmt.Errorf("scenarios: fleet: %w", err)
	}
	return child, ports, nil
}

// load makes traffic in a process of its own and returns what that saw.
func (s *Stage) load(ctx context.Context, spec load.Spec) (load.Result, error) {
	child, line, err := s.ask(ctx, spec)
	if err != nil {
		return load.Result{}, err
	}
	child.Stop(nil)
	var r load.Result
	if err := json.Unmarshal(line, &r); err != nil {
		return load.Result{}, fmt.Errorf("scenarios: result of the load: %w", err)
	}
	return r, nil
}

// hold opens connections and keeps them until the returned process is stopped.
func (s *Stage) hold(ctx context.Context, spec load.Spec) (*proc.Process, error) {
	spec.Hold = true
	child, _, err := s.ask(ctx, spec)
	return child, err
}

// ask starts a load process and waits for its one line.
func (s *Stage) ask(ctx context.Context, spec load.Spec) (*proc.Process, []byte, error) {
	input, err := json.Marshal(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("scenarios: load: %w", err)
	}
	said := make(chan []byte, 1)
	child, err := s.play(ctx, LoadRole, append(input, '\n'), said)
	if err != nil {
		return nil, nil, err
	}
	line, err := s.hear(ctx, child, said, spec.Warm+spec.Measure+childLimit)
	if err != nil {
		child.Stop(nil)
		return nil, nil, fmt.Errorf("scenarios: load: %w", err)
	}
	return child, line, nil
}

// start runs a contestant in front of the upstream on ports of its own.
func (s *Stage) start(ctx context.Context, c rivals.Contestant, p rivals.Plan, cpus ...int) (*rivals.Running, rivals.Plan, error) {
	if p.Upstream == 0 {
		p.Upstream = s.ports.HTTP
	}
	ports, err := vacant.Find(2)
	if err != nil {
		return nil, p, err
	}
	p.Listen, p.Admin = ports[0], ports[1]
	running, err := c.Start(ctx, p, cpus)
	return running, p, err
}

// brief is d, or, where only that it runs is to be seen, a tenth of it.
func (s *Stage) brief(d time.Duration) time.Duration {
	if s.Brief {
		return d / 10
	}
	return d
}

func (s *Stage) remark(text string) {
	if s.Remark != nil {
		s.Remark(text)
	}
}

// pause waits, for the machine and not for an event.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
