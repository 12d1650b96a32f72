package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/weftmesh/weft/bench/mixed"
	"github.com/weftmesh/weft/bench/plane"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/test/vacant"
)

// What is lost while everything changes.

// Changes are so far apart, and each connection of the mixed traffic asks once in so long.
const (
	betweenChanges  = 50 * time.Millisecond
	betweenRequests = 4 * time.Millisecond
	mixedConns      = 4 // of each kind
	mixedLimit      = 10 * time.Second
)

// carried is mixed traffic in a process of its own, through a contestant under a control plane.
type carried struct {
	stage   *Stage
	traffic *proc.Process
	said    chan []byte
	plane   *told             // nil: it is another one
	proxies []*rivals.Running // the last one serves
	plan    rivals.Plan
}

// carry begins mixed traffic through a contestant under a control plane of the benchmark's. The caller stops it.
func (s *Stage) carry(ctx context.Context, c rivals.Contestant, astray bool, baseID int) (_ *carried, err error) {
	m := &carried{stage: s, said: make(chan []byte, 1)}
	defer func() {
		if err != nil {
			m.stop()
		}
	}()
	to, at, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	churn := &plane.Churn{HTTP: at.HTTP, HTTPS: at.HTTPS, TCP: at.TCP, ToHTTP1: to.HTTP1, ToHTTP2: to.HTTP2, ToStreams: to.TCP, Astray: astray}
	for range 8 {
		chain, key, err := issue("p256")
		if err != nil {
			return nil, err
		}
		churn.Pairs = append(churn.Pairs, [2]string{string(chain), string(key)})
	}
	if m.plane, err = s.plane(ctx, plane.Shape{Churn: churn}); err != nil {
		return nil, err
	}
	return m, m.through(ctx, c, rivals.Plan{Plane: m.plane.port, BaseID: baseID}, at)
}

// open starts the process of the traffic, and gives where its upstream is and where a proxy is to be.
func (m *carried) open(ctx context.Context) (to mixed.Ports, at mixed.Spec, err error) {
	if m.traffic, err = m.stage.play(ctx, MixedRole, nil, m.said); err != nil {
		return to, at, err
	}
	if err := m.hear(ctx, &to); err != nil {
		return to, at, err
	}
	ports, err := vacant.Find(3)
	if err != nil {
		return to, at, err
	}
	return to, mixed.Spec{HTTP: ports[0], HTTPS: ports[1], TCP: ports[2], Conns: mixedConns, Every: betweenRequests, Limit: mixedLimit}, nil
}

// through starts a contestant, and the traffic through it.
func (m *carried) through(ctx context.Context, c rivals.Contestant, plan rivals.Plan, at mixed.Spec) error {
	plan.Threads = sidecarThreads
	running, plan, err := m.stage.start(ctx, c, plan, m.stage.proxyCPU)
	if err != nil {
		return err
	}
	m.proxies, m.plan = append(m.proxies, running), plan
	if err := m.tell(at); err != nil {
		return err
	}
	// What is begun while listeners come up is not what is asked.
	for end := time.Now().Add(childLimit); ; {
		if err := pause(ctx, m.stage.Warm); err != nil {
			return err
		}
		r, err := m.mark(ctx)
		if err != nil || r.Done() > 0 && r.Lost() == 0 {
			return err
		}
		if time.Now().After(end) {
			return errors.New("scenarios: not all gets through: " + r.String())
		}
	}
}

// replace has another process of the contestant take the place of the one that serves.
func (m *carried) replace(ctx context.Context, c rivals.Contestant) error {
	m.plan.Epoch++
	running, err := c.Start(ctx, m.plan, []int{m.stage.proxyCPU})
	if err != nil {
		return err
	}
	m.proxies = append(m.proxies, running)
	return nil
}

func (m *carried) stop() {
	if m.traffic != nil {
		m.traffic.Stop(nil)
	}
	for _, p := range m.proxies {
		p.Stop()
	}
	if m.plane != nil {
		m.plane.process.Stop(nil)
	}
}

func (m *carried) tell(what any) error {
	input, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("scenarios: mixed traffic: %w", err)
	}
	return m.traffic.Tell(append(input, '\n'))
}

func (m *carried) hear(ctx context.Context, what any) error {
	line, err := m.stage.hear(ctx, m.traffic, m.said, childLimit)
	if err == nil {
		err = json.Unmarshal(line, what)
	}
	if err != nil {
		return fmt.Errorf("scenarios: mixed traffic: %w", err)
	}
	return nil
}

// mark gives what became of the traffic since the last mark.
func (m *carried) mark(ctx context.Context) (r mixed.Result, err error) {
	if err := m.tell("mark"); err != nil {
		return r, err
	}
	return r, m.hear(ctx, &r)
}

// calm is what becomes of the traffic while nothing happens.
func (m *carried) calm(ctx context.Context, d time.Duration) (mixed.Result, error) {
	if err := pause(ctx, d); err != nil {
		return mixed.Result{}, err
	}
	return m.mark(ctx)
}

// sample is what was lost and how the traffic fared beside calm.
func (m *carried) sample(s *Stage, calm, r mixed.Result) Sample {
	sample := Sample{Values: []float64{float64(r.Lost()), float64(r.P99) / float64(calm.P99), float64(r.P99) / float64(time.Millisecond)}}
	s.remark(r.String())
	for _, kind := range mixed.Kinds() {
		if r.Counts[kind].Done == 0 || calm.Counts[kind].Done == 0 {
			sample.Invalid = "nothing of " + kind + " got through: " + r.String()
		}
	}
	if calm.Lost() > 0 {
		sample.Invalid = "before anything happened, " + calm.String()
	}
	if m.proxies[len(m.proxies)-1].Ended() {
		sample.Invalid = "the proxy ended"
	}
	return sample
}

// churned measures mixed traffic while everything changes for a while.
type churned struct {
	last   time.Duration
	astray bool // a cluster is removed before the route to it is another one
}

func (churned) fits(r rivals.Rival) bool { return r.Envoyish && !r.Floor }

func (p churned) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	m, err := s.carry(ctx, c, p.astray, 0)
	if err != nil {
		return Sample{}, err
	}
	defer m.stop()
	last := s.brief(p.last)
	calm, err := m.calm(ctx, last/4)
	if err != nil {
		return Sample{}, err
	}
	if err := m.plane.say(ctx, plane.Order{Change: plane.Everything, Times: int(last / betweenChanges), Every: betweenChanges}); err != nil {
		return Sample{}, err
	}
	r, err := m.mark(ctx)
	if err != nil {
		return Sample{}, err
	}
	return m.sample(s, calm, r), nil
}

// restarted measures mixed traffic while processes take one another's place. Streams that stay with the one before are cut when it ends, which
// by --parent-shutdown-time-s is after this is over. (Envoy ends the one before the one before at once.)
type restarted struct {
	times int
	every time.Duration
}

func (restarted) fits(r rivals.Rival) bool { return r.Envoyish && !r.Floor }

func (p restarted) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	m, err := s.carry(ctx, c, false, 1+rand.IntN(1<<20)) // Envoy takes ten times it as the number of a file
	if err != nil {
		return Sample{}, err
	}
	defer m.stop()
	calm, err := m.calm(ctx, s.brief(p.every))
	if err != nil {
		return Sample{}, err
	}
	times := p.times
	if s.Brief {
		times = 1
	}
	for range times {
		if err := m.replace(ctx, c); err != nil {
			return Sample{}, err
		}
		if err := pause(ctx, p.every); err != nil { // longer than clients are given to go, or some are still asked to when the next one comes
			return Sample{}, err
		}
	}
	r, err := m.mark(ctx)
	if err != nil {
		return Sample{}, err
	}
	return m.sample(s, calm, r), nil
}
