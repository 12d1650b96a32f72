package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/test/vacant"
)

// porter lets in who says that he is a friend, and of connections all or none. It is asked by HTTP and by gRPC.
type porter struct {
	authv3.UnimplementedAuthorizationServer
	http, grpc int // ports
	asked      atomic.Int64
	closed     atomic.Bool // to connections
	leave      func()
}

func newPorter(t *testing.T) *porter {
	p := &porter{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		w.Header().Set("x-porter", r.URL.Path+" "+r.Header.Get("x-house"))
		if r.Header.Get("x-who") != "friend" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := grpc.NewServer()
	authv3.RegisterAuthorizationServer(calls, p)
	go calls.Serve(l)
	p.leave = func() { calls.Stop(); web.Close() }
	t.Cleanup(p.leave)
	p.http, p.grpc = web.Listener.Addr().(*net.TCPAddr).Port, l.Addr().(*net.TCPAddr).Port
	return p
}

// Check is asked by gRPC.
func (p *porter) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	p.asked.Add(1)
	request := r.GetAttributes().GetRequest().GetHttp()
	if request == nil && !p.closed.Load() || request.GetHeaders()["x-who"] == "friend" {
		return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-porter", Value: request.GetPath() + " "}}},
		}}}, nil
	}
	return &authv3.CheckResponse{Status: &statuspb.Status{Code: int32(codes.PermissionDenied)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized},
	}}}, nil
}

// TestSomebodyElseDecides has a real Envoy ask, by HTTP and by gRPC, about requests and connections, and says what becomes of them when nobody answers.
func TestSomebodyElseDecides(t *testing.T) {
	for _, by := range []string{"http", "grpc"} {
		t.Run(by, func(t *testing.T) {
			porter := newPorter(t)
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("x-porter")) }))
			t.Cleanup(app.Close)
			ports := vacant.Ports(t, 2)
			web, line := ports[0], ports[1]
			objects := fmt.Sprintf(`
kind: ServiceEntry
metadata: {name: porter, namespace: shop}
spec:
  hosts: [porter.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 16001, name: http, protocol: HTTP}, {number: 16002, name: grpc, protocol: GRPC}]
  endpoints: [{address: 127.0.0.1, ports: {http: %d, grpc: %d}}]
---
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  ingress:
  - {port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%s"}
  - {port: {number: %d, name: tcp, protocol: TCP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%s"}
  egress: [{hosts: ["*/porter.internal"]}]
---
`, porter.http, porter.grpc, web, app.Listener.Addr(), line, app.Listener.Addr())
			settings := func(more string) string {
				return fmt.Sprintf("kind: MeshConfig\nmetadata: {name: istio}\nspec: {extensionProviders: ["+
					"{name: http, envoyExtAuthzHttp: {service: porter.internal, port: 16001, timeout: 5s, pathPrefix: /check, includeRequestHeadersInCheck: [x-who], includeAdditionalHeadersInCheck: {x-house: '100%%'}, headersToUpstreamOnAllow: [x-porter], headersToDownstreamOnDeny: [x-porter]%s}}, "+
					"{name: grpc, envoyExtAuthzGrpc: {service: porter.internal, port: 16002, timeout: 5s%s}}]}\n---\n", more, more)
			}
			policy := func(provider string) string {
				return fmt.Sprintf("kind: AuthorizationPolicy\nmetadata: {name: ask, namespace: shop}\nspec: {action: CUSTOM, provider: {name: %s}, rules: [{to: [{operation: {paths: ['/admin*'], ports: ['%d']}}]}, {to: [{operation: {ports: ['%d']}}]}]}\n---\n", provider, web, line)
			}
			p := proxyOf(t, `{id: sidecar~127.0.0.1~web.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none}}`)
			a, tr := authority.New(t, t.TempDir()), translate.New()
			m := mesh.New().With(manifest.Read(t, objects+settings("")+policy(by)))
			plane := takesAs(t, tr.View(m, p), a, "web")
			tell := func(text string) {
				m = m.With(manifest.Read(t, text))
				plane.Serve(resources(t, tr.View(m, p), a, "web")...)
			}
			ask := func(port int, path, who string) string {
				r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Close = true
				r.Header.Set("x-who", who)
				answer, err := (&http.Client{Timeout: deadline}).Do(r)
				if err != nil {
					return "no answer"
				}
				defer answer.Body.Close()
				body, _ := io.ReadAll(answer.Body)
				return strings.TrimSpace(fmt.Sprint(answer.StatusCode, " ", string(body), answer.Header.Get("x-porter")))
			}
			becomes := func(port int, path, who, want string) {
				t.Helper()
				end := time.Now().Add(deadline)
				for tick := time.NewTicker(pace); ask(port, path, who) != want; <-tick.C {
					if time.Now().After(end) {
						t.Fatalf("%s of %s: %q, want %q; %v", path, who, ask(port, path, who), want, plane.Nacks())
					}
				}
			}
			// Connections are asked about by gRPC only, and denied where nobody can be.
			denied, allowed, connected := "403 /check/admin 100%", "200 /check/admin 100%", "no answer"
			if by == "grpc" {
				denied, allowed, connected = "401", "200 /admin", "200"
			}
			if got := ask(web, "/", "foe"); got != "200" || porter.asked.Load() != 0 {
				t.Errorf("what no rule is for: %s, asked %d times", got, porter.asked.Load())
			}
			for _, c := range []struct{ who, want string }{{"foe", denied}, {"friend", allowed}} {
				if got := ask(web, "/admin", c.who); got != c.want {
					t.Errorf("%s: %q, want %q", c.who, got, c.want)
				}
			}
			if got := ask(line, "/", "foe"); got != connected {
				t.Errorf("a connection: %q, want %q", got, connected)
			}
			if porter.closed.Store(true); ask(line, "/", "friend") != "no answer" {
				t.Error("a connection is taken that the porter is closed to")
			}
			porter.leave()
			becomes(web, "/admin", "friend", "403")
			becomes(line, "/", "friend", "no answer")
			tell(settings(", statusOnError: '503'"))
			becomes(web, "/admin", "friend", "503")
			tell(settings(", failOpen: true"))
			becomes(web, "/admin", "foe", "200")
			becomes(line, "/", "foe", connected)
			tell(policy("nobody"))
			becomes(web, "/admin", "friend", "403 RBAC: access denied")
			becomes(line, "/", "friend", "no answer")
			if got := ask(web, "/", "foe"); got != "200" {
				t.Errorf("what no rule is for: %s", got)
			}
		})
	}
}
