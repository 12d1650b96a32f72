package control

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/manifest"
)

// free is a port of this host that nobody has.
func free(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

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
	port, v1, v2 := free(t), serving(t, "one"), serving(t, "two")
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
	_, plane := takes(t, view)
	client := &http.Client{Timeout: deadline, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(path, header string) string {
		r, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "web.shop.internal"
		if name, value, ok := strings.Cut(header, "="); ok {
			r.Header.Set(name, value)
		}
		a, err := client.Do(r)
		if err != nil {
			return err.Error()
		}
		defer a.Body.Close()
		body, _ := io.ReadAll(a.Body)
		return strings.TrimSpace(fmt.Sprint(a.StatusCode, " ", string(body)))
	}
	for _, c := range []struct{ path, header, want string }{
		{"/", "", "200 one / web.shop.internal"},
		{"/", "x-canary=yes", "200 two / web.shop.internal"},
		{"/old/x", "", "200 one /new/x renamed.example.com told"},
		{"/gone", "", "410"},
		{"/fault", "", "418 fault filter abort"},
		{"/away", "", "301"},
	} {
		if got := ask(c.path, c.header); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.header, got, c.want)
		}
	}
	m = m.With(manifest.Read(t, virtual("v2")))
	view = tr.View(m, p)
	plane.Serve(resources(t, view)...)
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(pace); ask("/", "") != "200 two / web.shop.internal"; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("still %s: %v", ask("/", ""), plane.Nacks())
		}
	}
}
