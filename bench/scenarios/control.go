package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/sidecars"
)

// What it costs a control plane to tell sidecars things. Its contestant is weft's own; of the one that it is measured against the issue has the figures.

// ours are scenarios of our own programs alone.
type ours struct{}

func (ours) fits(r rivals.Rival) bool { return r.Name == "weft" }

// town is a mesh in a directory: services, each with two subsets, four endpoints, a VirtualService and a DestinationRule, a file each.
type town struct {
	services int
	dir      string
}

func (t town) write() error {
	for i := range t.services {
		if err := t.service(i, 90, 4, 100); err != nil {
			return err
		}
	}
	return nil
}

// service writes a service's file as it is to be from now on.
func (t town) service(i, weight, lastOctet, connections int) error {
	name := fmt.Sprintf("s%04d", i)
	var endpoints []string
	for k := range 4 {
		last := k + 1
		if k == 3 {
			last = lastOctet
		}
		endpoints = append(endpoints, fmt.Sprintf("{address: 10.%d.%d.%d, labels: {app: %s, version: v%d, security.istio.io/tlsMode: istio}, serviceAccount: %s}", 1+i/250, i%250, last, name, 1+k%2, name))
	}
	text := fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s, namespace: town}
spec:
  hosts: [%[1]s.town.svc.cluster.local]
  addresses: [10.100.%[2]d.%[3]d]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [%[4]s]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: town}
spec:
  host: %[1]s.town.svc.cluster.local
  trafficPolicy: {connectionPool: {tcp: {maxConnections: %[5]d}}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: town}
spec:
  hosts: [%[1]s.town.svc.cluster.local]
  http:
  - route:
    - {destination: {host: %[1]s.town.svc.cluster.local, subset: v1}, weight: %[6]d}
    - {destination: {host: %[1]s.town.svc.cluster.local, subset: v2}, weight: %[7]d}
`, name, i/250, 1+i%250, strings.Join(endpoints, ", "), connections, weight, 100-weight)
	file := filepath.Join(t.dir, name+".yaml")
	// It takes the other's place at once, as editors and tools that fetch have it.
	if err := os.WriteFile(file+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
}

// governed is a control plane over a town, and sidecars in another process.
type governed struct {
	stage *Stage
	town  town
	plane *proc.Process
	admin int
	crowd *proc.Process
	said  chan []byte
}

// govern starts a control plane over a town, and says what reading it has cost. The caller stops it.
func (s *Stage) govern(ctx context.Context, c rivals.Contestant, services int, shape sidecars.Shape) (g *governed, err error) {
	g = &governed{stage: s, town: town{services: services}, said: make(chan []byte, 1)}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.town.dir, err = os.MkdirTemp("", "weft-bench-town"); err != nil {
		return g, err
	}
	if err := g.town.write(); err != nil {
		return g, err
	}
	ports, err := freePorts()
	if err != nil {
		return g, err
	}
	shape.Port, g.admin = ports[0], ports[1]
	if g.plane, err = proc.Start(ctx, proc.Command{Path: c.Beside("weftd"), CPUs: []int{s.proxyCPU}, Args: []string{
		"--config-dir", g.town.dir, "--grpc-addr", fmt.Sprintf("127.0.0.1:%d", shape.Port), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", g.admin), "--log-level", "error",
	}}); err != nil {
		return g, err
	}
	if err := g.await(ctx); err != nil {
		return g, err
	}
	input, err := json.Marshal(shape)
	if err != nil {
		return g, err
	}
	g.crowd, err = s.play(ctx, SidecarsRole, append(input, '\n'), g.said)
	return g, err
}

func (g *governed) stop() {
	if g.crowd != nil {
		g.crowd.Stop(nil)
	}
	if g.plane != nil {
		g.plane.Stop(nil)
	}
	os.RemoveAll(g.town.dir)
}

// await waits until the control plane has read everything.
func (g *governed) await(ctx context.Context) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(childLimit); ; {
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", g.admin))
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		if time.Now().After(end) {
			return fmt.Errorf("scenarios: the control plane is not ready: %w; it said: %s", err, g.plane.Log())
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// order has the sidecars do something.
func (g *governed) order(ctx context.Context, o sidecars.Order) (said sidecars.Said, err error) {
	input, err := json.Marshal(o)
	if err == nil {
		err = g.crowd.Tell(append(input, '\n'))
	}
	if err != nil {
		return said, err
	}
	line, err := g.stage.hear(ctx, g.crowd, g.said, 4*time.Minute)
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err == nil && said.Err != "" {
		err = errors.New(said.Err)
	}
	if err != nil {
		err = fmt.Errorf("scenarios: sidecars: %w", err)
	}
	return said, err
}

func (g *governed) cpu() (time.Duration, error) { return proc.CPUTime([]int{g.plane.PID()}) }

func (g *governed) megabytes(ctx context.Context) (float64, error) {
	if err := pause(ctx, 4*settle); err != nil {
		return 0, err
	}
	bytes, err := proc.Resident([]int{g.plane.PID()})
	return float64(bytes) / 1e6, err
}

const thousandth = float64(time.Millisecond)

// governing measures a control plane as sidecars come to it, one by one: what it reads, keeps, and does for each.
type governing struct {
	ours
	services int
}

func (p governing) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, c, p.services, sidecars.Shape{})
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	reading, err := g.cpu()
	if err != nil {
		return Sample{}, err
	}
	values := []float64{reading.Seconds()}
	alone, err := g.megabytes(ctx)
	if err != nil {
		return Sample{}, err
	}
	values = append(values, alone)
	for _, more := range []int{1, 49, 150} {
		before, err := g.cpu()
		if err != nil {
			return Sample{}, err
		}
		said, err := g.order(ctx, sidecars.Order{More: more})
		if err != nil {
			return Sample{}, err
		}
		after, err := g.cpu()
		if err != nil {
			return Sample{}, err
		}
		if more != 150 {
			values = append(values, float64(after-before)/thousandth/float64(more))
		}
		if more != 1 {
			now, err := g.megabytes(ctx)
			if err != nil {
				return Sample{}, err
			}
			values = append(values, now)
		} else {
			s.remark(fmt.Sprintf("a sidecar's first configuration: %.1f MB", float64(said.Bytes)/1e6))
		}
	}
	return Sample{Values: values}, nil
}

// rush measures many sidecars that come at once.
type rush struct {
	ours
	services, sidecars int
}

func (p rush) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, c, p.services, sidecars.Shape{})
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	said, err := g.order(ctx, sidecars.Order{More: p.sidecars})
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{said.Took.Seconds()}}, nil
}

// changed measures how a change of a file comes to all sidecars.
type changed struct {
	ours
	services, sidecars int
	weft               bool
	change             func(t town, n int) error // another one for each n
}

func (p changed) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, c, p.services, sidecars.Shape{Weft: p.weft})
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	if _, err := g.order(ctx, sidecars.Order{More: p.sidecars}); err != nil {
		return Sample{}, err
	}
	const times = 10
	var took, cost time.Duration
	bytes := 0
	for n := range 1 + times { // the first of its kind does not count
		if _, err := g.order(ctx, sidecars.Order{Mark: true}); err != nil {
			return Sample{}, err
		}
		before, err := g.cpu()
		if err != nil {
			return Sample{}, err
		}
		since := time.Now()
		if err := p.change(g.town, n); err != nil {
			return Sample{}, err
		}
		said, err := g.order(ctx, sidecars.Order{Since: since})
		if err != nil {
			return Sample{}, err
		}
		after, err := g.cpu()
		if err != nil {
			return Sample{}, err
		}
		if n > 0 {
			took, cost, bytes = took+said.Took, cost+after-before, bytes+said.Bytes
		}
	}
	return Sample{Values: []float64{float64(took) / thousandth / times, float64(cost) / thousandth / times, float64(bytes) / 1e3 / times / float64(p.sidecars)}}, nil
}

func oneWeight(t town, n int) error   { return t.service(7, 10+n, 4, 100) }
func oneEndpoint(t town, n int) error { return t.service(7, 90, 100+n, 100) }
func oneRule(t town, n int) error     { return t.service(7, 90, 4, 200+n) }

// reaching is what is asked of a change: until the last sidecar has it, what it costs the control plane, and how much each is told.
func reaching(ms, cpu, kilobytes float64) []Measure {
	return []Measure{
		{"file write to the last", "ms", []Target{atMost(ms)}},
		{"CPU", "ms", []Target{atMost(cpu)}},
		{"told each", "KB", []Target{atMost(kilobytes)}},
	}
}

// resting measures a control plane that nothing happens to.
type resting struct {
	ours
	services, sidecars int
}

func (p resting) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, c, p.services, sidecars.Shape{})
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	if _, err := g.order(ctx, sidecars.Order{More: p.sidecars}); err != nil {
		return Sample{}, err
	}
	if err := pause(ctx, s.brief(10*time.Second)); err != nil { // until what has become of coming is cleaned up
		return Sample{}, err
	}
	before, err := g.cpu()
	if err != nil {
		return Sample{}, err
	}
	if err := pause(ctx, s.Idle); err != nil {
		return Sample{}, err
	}
	after, err := g.cpu()
	if err != nil {
		return Sample{}, err
	}
	return Sample{Values: []float64{float64(after-before) / thousandth / s.Idle.Seconds()}}, nil
}
