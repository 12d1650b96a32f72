package control

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// greeter is a service of Dubbo outside the mesh, of two versions, reached at a port of this host, or through a gateway at another one.
type greeter struct {
	t          testing.TB
	port, door int
	one, two   *e2e.Upstream
	plane      *plane
	admin      int // of the proxy
}

func newGreeter(t testing.TB) *greeter {
	ports := vacant.Ports(t, 3)
	g := &greeter{t: t, port: ports[0], door: ports[1], admin: ports[2], one: e2e.Provider(t, "v1", 1), two: e2e.Provider(t, "v2", 1)}
	g.plane = newPlane(t, map[string]string{"greeter.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: a}
spec:
  hosts: [greeter.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %d, name: calls, protocol: DUBBO}]
  endpoints:
  - {address: 127.0.0.1, ports: {calls: %d}, labels: {version: v1}}
  - {address: 127.0.0.1, ports: {calls: %d}, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: a}
spec:
  host: greeter.test
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec:
  selector: {app: front}
  servers: [{port: {number: %d, name: calls, protocol: DUBBO}, hosts: [greeter.test], bind: 127.0.0.1}]
`, g.port, g.one.Port, g.two.Port, g.door), "routes.yaml": greets("v1")})
	return g
}

// greets has the calls whose first argument is ann go to a version, and all others to the first, inside of the mesh and at the gateway.
func greets(ann string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: a}
spec:
  hosts: [greeter.test]
  gateways: [mesh, front]
  dubbo:
  - services: [{prefix: "providers:org.example.Greeter"}]
    routes:
    - match: [{method: {name: greet, args: [{index: 1, strValue: {patterns: [{exact: ann}]}}]}}]
      route: [{destination: {host: greeter.test, subset: %s}}]
    - route: [{destination: {subset: v1}}]
`, ann)
}

// runs starts a proxy.
func (g *greeter) runs(name, role string) {
	g.t.Helper()
	boot := strings.Replace(bootstrap("NAMESPACE: a, LABELS: {app: front}", g.plane.grpc, ""), "port_value: 0}}}", fmt.Sprintf("port_value: %d}}}", g.admin), 1)
	boot = strings.Replace(boot, "sidecar~", role+"~", 1)
	if name == "envoy" {
		envoy.Start(g.t, boot)
		return
	}
	weft(g.t, boot)
}

// call makes one over a connection of its own, and says what is answered; empty: nobody is there.
func (g *greeter) call(port int, who string) string { return g.says(port, "greet", who) }

// says is call for any method, with any arguments.
func (g *greeter) says(port int, method string, arguments ...any) string {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return ""
	}
	c.Close()
	line := e2e.Dial(g.t, fmt.Sprintf("127.0.0.1:%d", port))
	defer line.Close()
	line.Write(e2e.CallFrame(g.t, 1, e2e.TwoWay, "org.example.Greeter", method, nil, arguments...))
	h, body, err := e2e.ReadFrame(line)
	if err != nil {
		return ""
	}
	return e2e.Said(g.t, h, body)
}

// loads makes calls over connections that stay, of ann and of bob in turn; whatever is lost, or goes where it never was to go, fails the test.
func (g *greeter) loads() (made *atomic.Int64, end func() int64) {
	var stop atomic.Bool
	made = &atomic.Int64{}
	var all sync.WaitGroup
	for range 2 {
		c := e2e.Dial(g.t, fmt.Sprintf("127.0.0.1:%d", g.port))
		all.Go(func() {
			for id := uint64(1); !stop.Load(); id++ {
				who := []string{"ann", "bob"}[id%2]
				c.Write(e2e.CallFrame(g.t, id, e2e.TwoWay, "org.example.Greeter", "greet", nil, who))
				h, body, err := e2e.ReadFrame(c)
				if err != nil {
					g.t.Errorf("a call is lost: %v", err)
					return
				}
				if got := e2e.Said(g.t, h, body); h.ID != id || got != "20 v1 "+who && got != "20 v2 ann" {
					g.t.Errorf("call %d of %s: answer %d: %s", id, who, h.ID, got)
					return
				}
				made.Add(1)
			}
		})
	}
	g.t.Cleanup(func() { stop.Store(true); all.Wait() })
	return made, func() int64 {
		stop.Store(true)
		all.Wait()
		return made.Load()
	}
}

// Calls with one argument move to another version as objects say, under load, and nothing is lost; numbers have the names that ASM's dashboards ask for.
func TestDubboCallsMove(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			g := newGreeter(t)
			g.runs(name, "sidecar")
			eventually(t, "calls are answered", func() bool { return g.call(g.port, "ann") == "20 v1 ann" })
			made, end := g.loads()
			for i := range 10 {
				to, before := []string{"v2", "v1"}[i%2], made.Load()
				g.plane.write("routes.yaml", greets(to))
				eventually(t, "ann is at "+to, func() bool { return g.call(g.port, "ann") == "20 "+to+" ann" })
				if got := g.call(g.port, "bob"); got != "20 v1 bob" {
					t.Errorf("bob: %q", got)
				}
				eventually(t, "calls go on", func() bool { return made.Load() > before+10 || t.Failed() })
			}
			t.Logf("%d calls over connections that stayed, none lost", end())
			if st := g.plane.status(); len(st.Refused) > 0 || len(st.Problems) > 0 {
				t.Errorf("refused %+v, problems %+v", st.Refused, st.Problems)
			}
			if want := fmt.Sprintf("dubbo.dubbo_incomming_stats_outbound_%d.request: ", g.port); !strings.Contains(pageAt(g.admin, "/stats"), want) {
				t.Errorf("no %s", want)
			}
			if want := fmt.Sprintf("envoy_dubbo_dubbo_incomming_stats_outbound_%d_request ", g.port); !strings.Contains(strings.ReplaceAll(pageAt(g.admin, "/stats/prometheus"), "{}", ""), want) {
				t.Errorf("no %s", want)
			}
		})
	}
}

// A gateway has a port for calls.
func TestDubboThroughAGateway(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			g := newGreeter(t)
			g.runs(name, "router")
			eventually(t, "calls are answered", func() bool { return g.call(g.door, "ann") == "20 v1 ann" })
			g.plane.write("routes.yaml", greets("v2"))
			eventually(t, "ann is at v2", func() bool { return g.call(g.door, "ann") == "20 v2 ann" })
			if got := g.call(g.door, "bob"); got != "20 v1 bob" {
				t.Errorf("bob: %q", got)
			}
			if st := g.plane.status(); len(st.Refused) > 0 || len(st.Problems) > 0 {
				t.Errorf("refused %+v, problems %+v", st.Refused, st.Problems)
			}
		})
	}
}

// generics is ASM's own example: generic calls of one method and of another.
const generics = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: a}
spec:
  hosts: [greeter.test]
  dubbo:
  - services: [{prefix: "providers:org.example.Greeter"}]
    routes:
    - match: [{method: {argc: 3, args: [{index: 1, strValue: {patterns: [{exact: sayHello}]}, type: java.lang.String}]}}]
      route: [{destination: {subset: v1}, weight: 100}]
    - match: [{method: {argc: 3, args: [{index: 1, strValue: {patterns: [{exact: sayWorld}]}, type: java.lang.String}]}}]
      route: [{destination: {subset: v2}, weight: 100}]
`

// Generic calls go as ASM's example says. Not by weft yet: it has to read weft.dubbo.v1.Route for that.
func TestDubboGenericCalls(t *testing.T) {
	for _, name := range proxies[:1] {
		t.Run(name, func(t *testing.T) {
			g := newGreeter(t)
			g.plane.write("routes.yaml", generics)
			g.runs(name, "sidecar")
			eventually(t, "calls are answered", func() bool { return g.call(g.port, "ann") != "" })
			for range 4 {
				for method, want := range map[string]string{"sayHello": "20 v1 sayHello", "sayWorld": "20 v2 sayWorld"} {
					if got := g.says(g.port, "$invoke", method, []string{"java.lang.String"}, []any{"x"}); got != want {
						t.Errorf("%s: %q, want %q", method, got, want)
					}
				}
			}
			if st := g.plane.status(); len(st.Refused) > 0 || len(st.Problems) != 2 || !strings.Contains(st.Problems[0].Text, "generic calls") {
				t.Errorf("refused %+v, problems %+v: want two, of what an Envoy is not told", st.Refused, st.Problems)
			}
		})
	}
}
