package control

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/test/vacant"
)

// serving answers requests with its name and what it has been told.
func serving(t testing.TB, name string) (port int) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, name, " ", r.URL.Path, " ", r.Host, " ", r.Header.Get("X-Added"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// TestTrafficThroughTheRealEnvoy sends requests through an Envoy that is told objects, and then other ones.
func TestTrafficThroughTheRealEnvoy(t *testing.T) {
	port, v1, v2 := vacant.Ports(t, 1)[0], serving(t, "one"), serving(t, "two")
	objects := fmt.Sprintf(`
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, labels: {version: v1}, ports: {http: %d}}
  - {address: 127.0.0.1, labels: {version: v2}, ports: {http: %d}}
---
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web.shop.internal, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
`, port, v1, v2)
	virtual := func(subset string) string {
		return fmt.Sprintf(`
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  http:
  - match: [{headers: {x-canary: {exact: "yes"}}}]
    route: [{destination: {host: web.shop.internal, subset: v2}}]
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: renamed.example.com}
    headers: {request: {set: {x-added: told}}}
    route: [{destination: {host: web.shop.internal, subset: v1}}]
  - match: [{uri: {exact: /gone}}]
    directResponse: {status: 410}
  - match: [{uri: {exact: /fault}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: web.shop.internal}}]
  - match: [{uri: {exact: /away}}]
    redirect: {uri: /here}
  - route: [{destination: {host: web.shop.internal, subset: %s}}]
`, subset)
	}
	p := proxyOf(t, `{id: sidecar~127.0.0.1~front.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none}}`)
	m, tr := mesh.New().With(manifest.Read(t, objects+virtual("v1"))), translate.New()
	p.Traits.Istio = false
	view := tr.View(m, p)
	a := authority.New(t, t.TempDir())
	plane := takesAs(t, view, a, "front")
	ask := func(path string, headers ...string) string {
		return answer(t, http.MethodGet, port, path, "web.shop.internal", headers...)
	}
	for _, c := range []struct {
		path    string
		headers []string
		want    string
	}{
		{"/", nil, "200 one / web.shop.internal"},
		{"/", []string{"x-canary", "yes"}, "200 two / web.shop.internal"},
		{"/old/x", nil, "200 one /new/x renamed.example.com told"},
		{"/gone", nil, "410"},
		{"/fault", nil, "418 fault filter abort"},
		{"/away", nil, "301"},
	} {
		if got := ask(c.path, c.headers...); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.path, c.headers, got, c.want)
		}
	}
	m = m.With(manifest.Read(t, virtual("v2")))
	view = tr.View(m, p)
	plane.Serve(resources(t, view, a, "front")...)
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(pace); ask("/") != "200 two / web.shop.internal"; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("still %s: %v", ask("/"), plane.Nacks())
		}
	}
}

// TestPermissiveToStrict has two Envoys speak by mTLS, and one let in who does not, until it is told not to. Then a policy says who may ask.
func TestPermissiveToStrict(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, who, _ := strings.Cut(r.Header.Get("X-Forwarded-Client-Cert"), "URI=spiffe://cluster.local/ns/shop/sa/client")
		fmt.Fprint(w, "hello ", r.Header.Get("X-Forwarded-Client-Cert") != "", " ", who == "" && strings.HasSuffix(r.Header.Get("X-Forwarded-Client-Cert"), "/sa/client"))
	}))
	t.Cleanup(app.Close)
	ports := vacant.Ports(t, 2)
	out, in := ports[0], ports[1]
	objects := fmt.Sprintf(`
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {http: %d}}]
---
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%s"}]
  egress: [{hosts: ["~/*"]}]
---
`, out, in, in, app.Listener.Addr())
	a, tr := authority.New(t, t.TempDir()), translate.New()
	node := func(app string) *translate.Proxy {
		return proxyOf(t, fmt.Sprintf(`{id: sidecar~127.0.0.1~%s.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop, LABELS: {app: %s}, INTERCEPTION_MODE: NONE}}`, app, app))
	}
	m := mesh.New().With(manifest.Read(t, objects))
	web := takesAs(t, tr.View(m, node("web")), a, "web")
	client := takesAs(t, tr.View(m, node("client")), a, "client")
	tell := func(object string) {
		m = m.With(manifest.Read(t, object))
		web.Serve(resources(t, tr.View(m, node("web")), a, "web")...)
		client.Serve(resources(t, tr.View(m, node("client")), a, "client")...)
	}
	ask := func(port int) string { return answer(t, http.MethodGet, port, "/", "web.shop.internal") }
	eventually := func(what string, port int, want string) {
		t.Helper()
		end := time.Now().Add(deadline)
		for tick := time.NewTicker(pace); ask(port) != want; <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("%s: %q, want %q; %v %v", what, ask(port), want, web.Nacks(), client.Nacks())
			}
		}
	}
	const proven = "200 hello true true"
	eventually("by mTLS", out, proven)
	eventually("in plain text, as long as it may", in, "200 hello false false")
	tell("kind: PeerAuthentication\nmetadata: {name: all, namespace: shop}\nspec: {mtls: {mode: STRICT}}")
	eventually("in plain text", in, "no answer")
	eventually("by mTLS, as before", out, proven)
	tell("kind: AuthorizationPolicy\nmetadata: {name: web, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/other]}}]}]}")
	eventually("for others only", out, "403 RBAC: access denied")
	tell("kind: AuthorizationPolicy\nmetadata: {name: web, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}], to: [{operation: {methods: [GET]}}]}]}")
	eventually("for this one", out, proven)
}
