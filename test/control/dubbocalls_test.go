package control

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/test/vacant"
)

// webToDubbo has a gateway and sidecars make calls of requests, as a delegate says, which is where the block stands. It is of ports: the provider's, that of the requests, and one of no use but to be called Dubbo's.
const webToDubbo = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: a}
spec:
  hosts: [greeter.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %[3]d, name: calls, protocol: DUBBO}, {number: %[2]d, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {calls: %[1]d}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec: {selector: {app: front}, servers: [{port: {number: %[2]d, name: http, protocol: HTTP}, hosts: [greeter.test], bind: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: a}
spec: {hosts: [greeter.test], gateways: [front, mesh], http: [{match: [{uri: {prefix: /greet}}], delegate: {name: greets}}, {directResponse: {status: 200, body: {string: home}}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greets, namespace: a}
spec:
  http:
  - route: [{destination: {host: greeter.test, port: {number: %[3]d}}}]
    dubbo:
      service: org.example.Greeter
      version: 1.0.0
      methods:
      - serviceMethod: greet
        httpPath: /greet/{name}
        httpMethods: [GET]
        params: [{paramSource: PATH, paramKey: name, paramType: java.lang.String}]
`

// web is a proxy, and a client of it that keeps its connections.
type web struct {
	t     testing.TB
	plane *plane
	text  string // its objects
	door  int
}

// newWeb has a proxy in a role make calls of requests, as one of the sources says.
func newWeb(t testing.TB, from, name, role string, provider *e2e.Upstream) *web {
	t.Helper()
	ports := vacant.Ports(t, 2)
	w := &web{t: t, door: ports[0], text: fmt.Sprintf(webToDubbo, provider.Port, ports[0], ports[1])}
	w.plane = newPlaneOf(t, from, map[string]string{"web.yaml": w.text})
	boot := strings.Replace(bootstrap("NAMESPACE: a, LABELS: {app: front}", w.plane.grpc, ""), "sidecar~", role+"~", 1)
	if name == "envoy" {
		envoy.Start(t, boot)
	} else {
		weft(t, boot)
	}
	eventually(t, "requests are answered", func() bool { return w.get("/") == "200 home" })
	return w
}

// get is what is answered; empty: nobody is there.
func (w *web) get(path string) string {
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", w.door, path), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Host = "greeter.test"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

// What requests become comes through a directory and a real API server as it was written, and what is wrong with it is said. An Envoy that is not weft sends none of these requests on, answers them with 501, and weftd has said so.
func TestCallsOfRequestsAreToldOfBySources(t *testing.T) {
	for _, from := range sources {
		t.Run(from, func(t *testing.T) {
			w := newWeb(t, from, "envoy", "router", e2e.Provider(t, "v1", 1))
			p := w.plane
			if p.cluster != nil {
				var o struct {
					Spec struct {
						HTTP []struct {
							Dubbo struct {
								Service string
								Methods []struct {
									HTTPPath string
									Params   []map[string]string
								}
							}
						}
					}
				}
				p.cluster.Get("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: greets, namespace: a}}", &o)
				if d := o.Spec.HTTP[0].Dubbo; d.Service != "org.example.Greeter" || d.Methods[0].HTTPPath != "/greet/{name}" || d.Methods[0].Params[0]["paramKey"] != "name" {
					t.Errorf("the API server gives back %+v", o)
				}
			}
			if got := w.get("/greet/ann"); !strings.HasPrefix(got, "501 requests of this route become calls of Dubbo, which this proxy does not make") {
				t.Errorf("an Envoy answers %q", got)
			}
			said := func(want string) func() bool {
				return func() bool {
					for _, one := range p.status().Problems {
						if strings.Contains(fmt.Sprintf("%+v", one), want) {
							return true
						}
					}
					return false
				}
			}
			if !said("an Envoy that is not weft makes no calls of requests")() || len(p.status().Problems) != 1 {
				t.Errorf("problems are %+v: want the one of Envoys", p.status().Problems)
			}
			p.write("web.yaml", strings.Replace(w.text, "paramKey: name", "paramKey: nam", 1))
			eventually(t, "it says what is wrong", said("httpPath has no {nam}"))
			if got := w.get("/greet/ann"); !strings.HasPrefix(got, "501 ") {
				t.Errorf("after a change that is refused it answers %q", got)
			}
		})
	}
}

// Requests become calls at a gateway and in a sidecar that are weft, as a directory and an API server say. What a route says of them changes, comes and goes under load, and nothing is lost.
func TestRequestsBecomeCalls(t *testing.T) {
	for _, c := range []struct{ from, role string }{{sources[0], "router"}, {sources[1], "router"}, {sources[0], "sidecar"}} {
		t.Run(c.role+" and "+c.from, func(t *testing.T) {
			w := newWeb(t, c.from, "weft", c.role, e2e.Provider(t, "v1", 1))
			const called = `200 "v1 greet"`
			eventually(t, "a request is a call", func() bool { return w.get("/greet/ann") == called })
			for path, want := range map[string]string{"/greet": "404 ", "/greet/ann/bob": "404 ", "/greet/": "404 "} {
				if got := w.get(path); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %q, want %s", path, got, want)
				}
			}
			var stop atomic.Bool
			var all sync.WaitGroup
			t.Cleanup(func() { stop.Store(true); all.Wait() })
			made := 0
			all.Go(func() {
				for ; !stop.Load(); made++ {
					if got := w.get("/"); got != "200 home" {
						t.Errorf("a request is lost: %q", got)
					}
					if got := w.get("/greet/ann"); got != called && got != "200 home" && !strings.HasPrefix(got, "404 ") {
						t.Errorf("a call is lost: %q", got)
					}
				}
			})
			at := strings.Index(w.text, "  - route: [{destination: {host: greeter.test, ")
			without := w.text[:at] + "  - directResponse: {status: 200, body: {string: home}}\n"
			for range 5 {
				w.plane.write("web.yaml", strings.Replace(w.text, "/greet/{name}", "/greet/to/{name}", 1))
				eventually(t, "it is another path", func() bool { return w.get("/greet/to/ann") == called })
				w.plane.write("web.yaml", without)
				eventually(t, "there are no calls", func() bool { return w.get("/greet/to/ann") == "200 home" })
				w.plane.write("web.yaml", w.text)
				eventually(t, "there are again", func() bool { return w.get("/greet/ann") == called })
			}
			stop.Store(true)
			all.Wait()
			t.Logf("%d requests and calls, none lost", made)
			if st := w.plane.status(); len(st.Refused) > 0 || len(st.Problems) != 1 {
				t.Errorf("refused %+v, problems %+v: want the one of Envoys", st.Refused, st.Problems)
			}
		})
	}
}

// A gateway's calls go by mutual TLS to a sidecar that takes nothing else, or plain text, too; that sidecar asks of each whether the gateway may make it.
func TestRequestsBecomeCallsByMTLS(t *testing.T) {
	for _, mode := range []string{"STRICT", "PERMISSIVE"} {
		t.Run(mode, func(t *testing.T) {
			ports := vacant.Ports(t, 2)
			provider := e2e.Provider(t, "v1", 1)
			s := newSecurePlane(t, map[string]string{"mesh.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 20880, name: calls, protocol: DUBBO}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {calls: %[1]d}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: %[1]d, name: calls, protocol: DUBBO}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "127.0.0.1:%[2]d"}]
  egress: [{hosts: ["~/*"]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: %[3]s}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: greeter, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/door]}}], to: [{operation: {paths: [/org.example.Greeter/greet], methods: [POST]}}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {selector: {app: door}, servers: [{port: {number: %[4]d, name: http, protocol: HTTP}, hosts: [greeter.test], bind: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [greeter.test]
  gateways: [front]
  http:
  - route: [{destination: {host: greeter.internal, port: {number: 20880}}}]
    dubbo: {service: org.example.Greeter, methods: [{serviceMethod: greet, httpPath: /greet}, {serviceMethod: secret, httpPath: /secret}]}
`, ports[0], provider.Port, mode, ports[1])})
			s.joinsBeside("web", "web").isReady()
			s.gatewayBeside("door").begin().isReady()
			w := &web{t: t, door: ports[1]}
			eventually(t, "a request is a call", func() bool { return w.get("/greet") == `200 "v1 greet"` })
			before := len(provider.Heads())
			if got := w.get("/secret"); !strings.Contains(got, "RBAC: access denied") {
				t.Errorf("what the gateway may not call answers %q", got)
			}
			if now := len(provider.Heads()); now != before {
				t.Errorf("the provider was called %d times", now-before)
			}
		})
	}
}

// The data plane reads all that control takes: what weft is told in the goldens, and every kind of type, name and path.
func TestTheDataPlaneReadsCalls(t *testing.T) {
	const node = `{id: router~10.1.9.1~ingress.shop~shop.svc.cluster.local, cluster: ingress, user_agent_name: weft, metadata: {NAMESPACE: shop, LABELS: {app: ingress}}}`
	for _, name := range []string{"dubbocalls-gateway", "dubbocalls-sidecar"} {
		text, err := os.ReadFile("../../control/translate/testdata/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		objects, rest, _ := strings.Cut(string(text), "\n### node\n")
		of, _, _ := strings.Cut(rest, "\n### show\n")
		read(t, translate.New().View(mesh.New().With(manifest.Read(t, objects)), proxyOf(t, of)))
	}
	for _, method := range []string{
		`serviceMethod: $m_1`, `serviceMethod: größe, httpPath: /gr%C3%B6%C3%9Fe/`, `serviceMethod: m, httpPath: /`, `serviceMethod: m, httpPath: "//{a-b.c}/x:y=z,;@&+$!~'()"`, `serviceMethod: m, httpMethods: [GET, POST, PUT, DELETE, PATCH]`,
		`serviceMethod: m, headersAttach: "a, X_B ,host"`, `serviceMethod: m, headersAttach: "*"`, `serviceMethod: m, paramFromEntireBody: {paramType: "byte[][]"}`,
	} {
		readsMethod(t, node, method)
	}
	for _, kind := range []string{
		"boolean", "byte", "short", "int", "long", "float", "double", "char", "char[]", "java.lang.Object", "java.lang.Integer", "java.math.BigDecimal", "java.util.Date[]", "org.example.Outer$Order", "org.example.größe_1", " java.util.List < java.lang.Long > [ ] ",
		"java.util.List<java.util.Map<java.lang.String, ? extends org.example.Zone[]>>", "java.util.Map<?, ?>", "org.example.Page<org.example.Order, int[]>", "java.util.Set<? super java.lang.Object>", "java.util.concurrent.ConcurrentHashMap<a.B, a.C>", "java.util.Queue", "a." + strings.Repeat("b", 1022),
	} {
		readsMethod(t, node, fmt.Sprintf("serviceMethod: m, params: [{paramSource: QUERY, paramKey: 'a b', paramType: %q}]", kind))
	}
}

// readsMethod has a method be checked and told, and read by the data plane.
func readsMethod(t *testing.T, node, method string) {
	t.Helper()
	if v := read(t, translate.New().View(mesh.New().With(manifest.Read(t, `
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {selector: {app: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec: {hosts: [shop.example.com], gateways: [front], http: [{route: [{destination: {host: shop}}], dubbo: {service: org.example.Shop, methods: [{`+method+`}]}}]}
`)), proxyOf(t, node))); v["RouteConfiguration http.80"] == nil {
		t.Errorf("%s is not read", method)
	}
}
