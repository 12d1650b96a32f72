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
	"github.com/weftmesh/weft/test/vacant"
)

// What it costs a control plane to tell sidecars things. Its contestant is weft's own; of the one that it is measured against the issue has the figures.

// ours are scenarios of our own programs alone.
type ours struct{}

func (ours) fits(r rivals.Rival) bool { return r.Name == "weft" }

// town is a mesh in a directory: services, each with two subsets, four endpoints, a VirtualService and a DestinationRule, a file each.
type town struct {
	services int
	quarters int // namespaces that the services are spread over, besides that of all, "town"; whose sidecars see theirs and the first service of all
	dir      string
}

func (t town) write() error {
	for i := range t.services {
		if err := t.service(i, 90, 4, 100); err != nil {
			return err
		}
	}
	for q := range t.quarters {
		if err := t.sidecar(q); err != nil {
			return err
		}
	}
	return nil
}

// home is the namespace of a service. As many are in the namespace of all as in that of a quarter.
func (t town) home(i int) string {
	if q := i % (t.quarters + 1); q > 0 {
		return sidecars.Quarter(q - 1)
	}
	return sidecars.Town
}

// sidecar writes what the sidecars of a quarter see.
func (t town) sidecar(q int) error {
	return t.put(sidecars.Quarter(q), fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: %s}
spec:
  egress: [{hosts: [./*, %[2]s/s0000.%[2]s.svc.cluster.local]}]
`, sidecars.Quarter(q), sidecars.Town))
}

// put has a file take another's place at once, as editors and tools that fetch have it.
func (t town) put(name, text string) error {
	file := filepath.Join(t.dir, name+".yaml")
	if err := os.WriteFile(file+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
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
	return t.put(name, fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s, namespace: %[8]s}
spec:
  hosts: [%[1]s.%[8]s.svc.cluster.local]
  addresses: [10.100.%[2]d.%[3]d]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [%[4]s]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: %[8]s}
spec:
  host: %[1]s.%[8]s.svc.cluster.local
  trafficPolicy: {connectionPool: {tcp: {maxConnections: %[5]d}}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: %[8]s}
spec:
  hosts: [%[1]s.%[8]s.svc.cluster.local]
  http:
  - route:
    - {destination: {host: %[1]s.%[8]s.svc.cluster.local, subset: v1}, weight: %[6]d}
    - {destination: {host: %[1]s.%[8]s.svc.cluster.local, subset: v2}, weight: %[7]d}
`, name, i/250, 1+i%250, strings.Join(endpoints, ", "), connections, weight, 100-weight, t.home(i)))
}

// governed is a town with control planes over it, and sidecars in another process.
type governed struct {
	stage  *Stage
	town   town
	papers string // folder of who issues certificates; empty: nobody does
	planes []ruler
	crowd  *proc.Process
	said   chan []byte
}

// ruler is one of the control planes.
type ruler struct {
	process *proc.Process
	admin   int
}

// govern starts a control plane over services, which is spoken to in plain text, and sidecars. The caller stops it.
func (s *Stage) govern(ctx context.Context, services int, shape sidecars.Shape) (*governed, error) {
	g := &governed{stage: s, town: town{services: services}, said: make(chan []byte, 1)}
	err := g.start(ctx, 1, shape)
	if err != nil {
		g.stop()
	}
	return g, err
}

// start starts control planes and the sidecars that come to them: over TLS, if somebody issues certificates.
func (g *governed) start(ctx context.Context, planes int, shape sidecars.Shape) (err error) {
	if g.town.dir, err = os.MkdirTemp("", "weft-bench-town"); err != nil {
		return err
	}
	if err := g.town.write(); err != nil {
		return err
	}
	for range planes {
		ports, err := vacant.Find(1)
		if err != nil {
			return err
		}
		shape.Ports = append(shape.Ports, ports[0])
		plain, secure := fmt.Sprintf("127.0.0.1:%d", ports[0]), ""
		if g.papers != "" {
			plain, secure = secure, plain
		}
		process, err := proc.Start(ctx, proc.Command{Path: g.stage.Weftd, CPUs: []int{g.stage.proxyCPU}, Args: []string{
			"--config-dir", g.town.dir, "--grpc-addr", plain, "--secure-grpc-addr", secure, "--ca-dir", g.papers, "--admin-addr", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--log-level", "error",
		}})
		if err != nil {
			return err
		}
		r := ruler{process, ports[1]}
		g.planes = append(g.planes, r)
		if err := r.await(ctx); err != nil {
			return err
		}
	}
	shape.Authority = g.papers
	input, err := json.Marshal(shape)
	if err != nil {
		return err
	}
	g.crowd, err = g.stage.play(ctx, SidecarsRole, append(input, '\n'), g.said)
	return err
}

func (g *governed) stop() {
	if g.crowd != nil {
		g.crowd.Stop(nil)
	}
	for _, r := range g.planes {
		r.process.Stop(nil)
	}
	for _, dir := range []string{g.town.dir, g.papers} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
}

// await waits until the control plane has read everything.
func (r ruler) await(ctx context.Context) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(childLimit); ; {
		answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", r.admin))
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		if time.Now().After(end) {
			return fmt.Errorf("scenarios: the control plane is not ready: %w; it said: %s", err, r.process.Log())
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

// pids are the processes of the control planes.
func (g *governed) pids() (pids []int) {
	for _, r := range g.planes {
		pids = append(pids, r.process.PID())
	}
	return pids
}

func (g *governed) cpu() (time.Duration, error) { return proc.CPUTime(g.pids()) }

// megabytes is what the control planes keep, together.
func (g *governed) megabytes(ctx context.Context) (float64, error) {
	if err := pause(ctx, 4*settle); err != nil {
		return 0, err
	}
	bytes, err := proc.Resident(g.pids())
	return float64(bytes) / 1e6, err
}

const thousandth = float64(time.Millisecond)

// governing measures a control plane as sidecars come to it, one by one: what it reads, keeps, and does for each.
type governing struct {
	ours
	services int
}

func (p governing) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, p.services, sidecars.Shape{})
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

func (p rush) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, p.services, sidecars.Shape{})
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

func (p changed) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, p.services, sidecars.Shape{Weft: p.weft})
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	if _, err := g.order(ctx, sidecars.Order{More: p.sidecars}); err != nil {
		return Sample{}, err
	}
	values, err := g.changes(ctx, 40, p.sidecars, p.change)
	return Sample{Values: values}, err
}

// changes has something of the town changed, and gives how long it takes until the last sidecar of those that it is for is told, in ms, what it costs the control planes, in ms, and what each is told, in KB.
func (g *governed) changes(ctx context.Context, times, told int, change func(t town, n int) error) ([]float64, error) {
	var took, cost time.Duration
	bytes := 0
	for n := range 1 + times { // the first of its kind does not count
		if _, err := g.order(ctx, sidecars.Order{Mark: true}); err != nil {
			return nil, err
		}
		before, err := g.cpu()
		if err != nil {
			return nil, err
		}
		since := time.Now()
		if err := change(g.town, n); err != nil {
			return nil, err
		}
		said, err := g.order(ctx, sidecars.Order{Since: since})
		if err != nil {
			return nil, err
		}
		after, err := g.cpu()
		if err != nil {
			return nil, err
		}
		if n > 0 {
			took, cost, bytes = took+said.Took, cost+after-before, bytes+said.Bytes
		}
	}
	each := func(total float64) float64 { return total / float64(times) }
	return []float64{each(float64(took) / thousandth), each(float64(cost) / thousandth), each(float64(bytes) / 1e3 / float64(told))}, nil
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

func (p resting) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.govern(ctx, p.services, sidecars.Shape{})
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
