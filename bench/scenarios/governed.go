package scenarios

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weftmesh/weft/bench/mixed"
	"github.com/weftmesh/weft/bench/proc"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/test/vacant"
)

// edited measures mixed traffic through a gateway under weftd while the files that it is made of change: subsets come and go together with the routes to
// them, and weights, endpoints and policies are others each time.
type edited struct{ last time.Duration }

func (edited) fits(r rivals.Rival) bool { return r.Envoyish && !r.Floor }

// gateDir is a directory of manifests, of which one file changes.
type gateDir struct {
	dir string
	to  mixed.Ports
	at  mixed.Spec
}

// fixed writes what does not change: the gateway, and where bytes go.
func (g gateDir) fixed() error {
	chain, key, err := issue("p256")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"chain.pem": chain, "key.pem": key, "gate.yaml": fmt.Appendf(nil, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate, namespace: bench}
spec:
  selector: {app: gate}
  servers:
  - {port: {number: %[1]d, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: %[2]d, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, serverCertificate: %[3]q, privateKey: %[4]q}}
  - {port: {number: %[5]d, name: tcp, protocol: TCP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bytes, namespace: bench}
spec:
  hosts: ["*"]
  gateways: [gate]
  tcp: [{match: [{port: %[5]d}], route: [{destination: {host: streams.bench.svc.cluster.local, port: {number: 80}}}]}]
`, g.at.HTTP, g.at.HTTPS, filepath.Join(g.dir, "chain.pem"), filepath.Join(g.dir, "key.pem"), g.at.TCP)} {
		if err := os.WriteFile(filepath.Join(g.dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return g.change(0)
}

// change writes what does, for the n-th time. Each subset is there for two changes, and routes are to the one of the last and that of this change.
func (g gateDir) change(n int) error {
	text := ""
	for _, one := range []struct {
		name, protocol string
		port           int
	}{{"web1", "HTTP", g.to.HTTP1}, {"web2", "HTTP2", g.to.HTTP2}, {"streams", "TCP", g.to.TCP}} {
		text += fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s, namespace: bench}
spec:
  hosts: [%[1]s.bench.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: main, protocol: %[2]s}]
  endpoints: [{address: 127.0.0.1, ports: {main: %[3]d}, locality: r/z%[4]d, weight: %[5]d, labels: {app: x}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: bench}
spec:
  host: %[1]s.bench.svc.cluster.local
  trafficPolicy: {connectionPool: {tcp: {maxConnections: %[6]d}}}
  subsets: [{name: v%[7]d, labels: {app: x}}, {name: v%[8]d, labels: {app: x}}]
---
`, one.name, one.protocol, one.port, n%2, 1+n%5, 1_000_000+n%7, n%generations, (n+1)%generations)
	}
	shared := func(host string) string {
		return fmt.Sprintf("[{destination: {host: %[1]s.bench.svc.cluster.local, subset: v%[2]d}, weight: %[3]d}, {destination: {host: %[1]s.bench.svc.cluster.local, subset: v%[4]d}, weight: %[5]d}]",
			host, n%generations, 10+n%80, (n+1)%generations, 90-n%80)
	}
	text += fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: bench}
spec:
  hosts: ["*"]
  gateways: [gate]
  http:
  - {match: [{uri: {prefix: /http2}}], route: %s}
  - {route: %s}
`, shared("web2"), shared("web1"))
	file := filepath.Join(g.dir, "web.yaml")
	if err := os.WriteFile(file+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
}

// generations is after how many changes a subset's name comes again.
const generations = 16

func (p edited) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	m := &carried{stage: s, said: make(chan []byte, 1)}
	defer m.stop()
	g := gateDir{}
	var err error
	if g.to, g.at, err = m.open(ctx); err != nil {
		return Sample{}, err
	}
	if g.dir, err = os.MkdirTemp("", "weft-bench-gate"); err != nil {
		return Sample{}, err
	}
	defer os.RemoveAll(g.dir)
	if err := g.fixed(); err != nil {
		return Sample{}, err
	}
	ports, err := vacant.Find(2)
	if err != nil {
		return Sample{}, err
	}
	weftd, err := proc.Start(ctx, proc.Command{Path: s.Weftd, CPUs: []int{s.proxyCPU}, Args: []string{
		"--config-dir", g.dir, "--grpc-addr", fmt.Sprintf("127.0.0.1:%d", ports[0]), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--log-level", "error",
	}})
	if err != nil {
		return Sample{}, err
	}
	defer weftd.Stop(nil)
	if err := (ruler{weftd, ports[1]}).await(ctx); err != nil {
		return Sample{}, err
	}
	if err := m.through(ctx, c, rivals.Plan{Plane: ports[0], Gateway: true}, g.at); err != nil {
		return Sample{}, err
	}
	last := s.brief(p.last)
	calm, err := m.calm(ctx, last/4)
	if err != nil {
		return Sample{}, err
	}
	pace := time.NewTicker(betweenChanges)
	defer pace.Stop()
	for n := range int(last / betweenChanges) {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return Sample{}, ctx.Err()
		}
		if err := g.change(1 + n); err != nil {
			return Sample{}, err
		}
	}
	r, err := m.mark(ctx)
	if err != nil {
		return Sample{}, err
	}
	return m.sample(s, calm, r), nil
}
