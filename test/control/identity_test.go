package control

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// bystream is a proxy that proves who it is by a token and is told its certificate over its stream.
type bystream struct {
	name  string // of the program
	admin string // where it is asked
	*process
}

// joins starts one with a token for an identity, as a sidecar of its namespace with those labels.
func (s *securePlane) joins(program, app, account string) *bystream {
	s.t.Helper()
	return s.joinsAs("sidecar", program, app, account)
}

// joinsAs is joins for a role.
func (s *securePlane) joinsAs(role, program, app, account string) *bystream {
	s.t.Helper()
	code, token := s.post("/ca/token", url.Values{"identity": {"spiffe://cluster.local/ns/shop/sa/" + account}})
	if code != http.StatusOK {
		s.t.Fatal(code, token)
	}
	return s.begin(program, role, app, "", token)
}

// begin starts a proxy that shows a token, if there is one, and what socket says beside it.
func (s *securePlane) begin(name, role, app, own, token string) *bystream {
	s.t.Helper()
	folder := s.t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "roots"), []byte(s.trusted()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	admin, variant := vacant.Ports(s.t, 1)[0], "DELTA_GRPC"
	if s.world {
		variant = "GRPC"
	}
	boot := fmt.Sprintf(`
node: {id: %s~127.0.0.1~%s.shop~shop.svc.cluster.local, cluster: %[2]s, metadata: {NAMESPACE: shop, LABELS: {app: %[2]s}, INTERCEPTION_MODE: NONE%s}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: plane}, initial_metadata: [{key: authorization, value: "Bearer %s"}]}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: istiod.istio-system.svc
        common_tls_context:
          alpn_protocols: [h2]
          validation_context: {trusted_ca: {filename: "%s/roots"}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: istiod.istio-system.svc}}]}
          %s
`, role, app, s.meta, admin, variant, token, s.port, folder, own)
	if s.beside != 0 {
		boot = strings.Replace(boot, "lb_endpoints: [", fmt.Sprintf("lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}, ", s.beside), 1)
	}
	b := &bystream{name: name, admin: fmt.Sprintf("127.0.0.1:%d", admin)}
	if name == "envoy" {
		envoy.Start(s.t, boot)
		return b
	}
	b.process = weft(s.t, boot)
	return b
}

// fromStream is a certificate that comes over the stream that it is shown on, as weft can have it.
const fromStream = `tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, resource_api_version: V3}}]`

// pair is a service of two ports, HTTP and TCP, with a proxy before it, and where a client's proxy listens for both.
type pair struct {
	t         *testing.T
	plane     *securePlane
	http, tcp int    // where the client's proxy listens
	in        [2]int // where the server's does
	client    http.Client
	pause     atomic.Int64 // of the service before it answers a request, in nanoseconds
	under     atomic.Int64 // requests that it has and has not answered
	taken     atomic.Int64 // requests that it has got
}

func newPair(t *testing.T) *pair {
	t.Helper()
	return newPairUnder(t, newSecurePlane)
}

// newPairUnder is newPair under a plane that is made in some other way.
func newPairUnder(t *testing.T, under func(*testing.T, map[string]string) *securePlane) *pair {
	t.Helper()
	p := &pair{t: t}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.taken.Add(1)
		p.under.Add(1)
		defer p.under.Add(-1)
		time.Sleep(time.Duration(p.pause.Load()))
		io.WriteString(w, r.Header.Get("X-Forwarded-Client-Cert"))
	}))
	t.Cleanup(app.Close)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	ports := vacant.Ports(t, 4)
	p.http, p.tcp, p.in = ports[0], ports[1], [2]int{ports[2], ports[3]}
	objects := fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}, {number: %d, name: tcp, protocol: TCP}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {http: %d, tcp: %d}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress:
  - {port: {number: %[3]d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%[5]s"}
  - {port: {number: %[4]d, name: tcp, protocol: TCP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%[6]s"}
  egress: [{hosts: ["~/*"]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
`, p.http, p.tcp, p.in[0], p.in[1], app.Listener.Addr(), echo.Addr())
	p.plane = under(t, map[string]string{"mesh.yaml": objects})
	p.client = http.Client{Timeout: deadline}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// ask asks once through the client's proxy, and says as whom it was taken.
func (p *pair) ask(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", p.http), nil)
	if err != nil {
		return "", err
	}
	r.Host = "web.shop.internal"
	a, err := p.client.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", a.StatusCode, b)
	}
	return string(b), err
}

// opens waits until the client is taken as itself.
func (p *pair) opens() {
	p.t.Helper()
	last := ""
	defer func() {
		if p.t.Failed() {
			p.t.Log(last)
		}
	}()
	eventually(p.t, "the client is taken as itself", func() bool {
		who, err := p.ask(p.t.Context())
		last = fmt.Sprint(who, err)
		return err == nil && strings.Contains(who, "URI=spiffe://cluster.local/ns/shop/sa/client")
	})
}

// Two proxies that prove by a token who they are get their certificates over the stream, and speak by mTLS, strictly.
func TestIdentitiesComeOverTheStream(t *testing.T) {
	for _, c := range [][3]string{{"envoy", "weft", "delta"}, {"weft", "envoy", "delta"}, {"envoy", "weft", "world"}, {"weft", "envoy", "world"}} {
		t.Run(strings.Join(c[:], " "), func(t *testing.T) {
			p := newPair(t)
			p.plane.world = c[2] == "world"
			joins := []func(){func() { p.plane.joins(c[1], "web", "web") }, func() { p.plane.joins(c[0], "client", "client") }}
			if c[1] == "envoy" {
				slices.Reverse(joins) // of two on one host that listen for what nobody knows, the second cannot: Envoy takes the rest of its listeners
			}
			for _, join := range joins {
				join()
			}
			p.opens()
			for _, one := range p.plane.status().Proxies {
				if one.Identity == "" || one.By != "join token" || len(one.Withheld) > 0 {
					t.Errorf("%+v", one)
				}
			}
			c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in[0]), &tls.Config{InsecureSkipVerify: true})
			if err == nil {
				if _, err = c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
					t.Errorf("who has no certificate is let in: %v", err)
				}
				c.Close()
			}
			status := p.plane.page("/status")
			if code, text := p.plane.post("/ca/revoke", url.Values{"identity": {"spiffe://cluster.local/ns/shop/sa/client"}, "reason": {"a test"}}); code != http.StatusOK {
				t.Fatal(code, text)
			}
			eventually(t, "who is revoked is refused", func() bool {
				c := p.line()
				defer c.Close()
				return !echoes(c)
			})
			p.plane.kill()
			for _, text := range []string{status, p.plane.said.String()} {
				if strings.Contains(text, "PRIVATE") {
					t.Error("a key was told to people")
				}
			}
		})
	}
}

// A weft that has joined by a token comes back by the certificate that it got, also to another process: what it had is followed on.
func TestWhoHasJoinedComesBack(t *testing.T) {
	p := newPair(t)
	code, token := p.plane.post("/ca/token", url.Values{"identity": {"spiffe://cluster.local/ns/shop/sa/client"}})
	if code != http.StatusOK {
		t.Fatal(code, token)
	}
	p.plane.begin("weft", "sidecar", "client", fromStream, token)
	eventually(t, "it has come", func() bool {
		s := p.plane.status()
		return len(s.Proxies) == 1 && s.Proxies[0].By == "join token" && s.Proxies[0].Synced
	})
	p.plane.kill()
	p.plane.start()
	eventually(t, "it has come back", func() bool {
		s := p.plane.status()
		return len(s.Proxies) == 1 && s.Proxies[0].By == "certificate" && s.Proxies[0].Synced
	})
	if one := p.plane.status().Proxies[0]; one.Identity != "spiffe://cluster.local/ns/shop/sa/client" || len(one.Withheld) > 0 {
		t.Errorf("%+v", one)
	}
}

// A token is good for one stream, of who it is for, and a stream that is refused does not use it up.
func TestTokensOpenOneStream(t *testing.T) {
	p := newSecurePlane(t, nil)
	code, token := p.post("/ca/token", url.Values{"identity": {sleeper}})
	if code != http.StatusOK {
		t.Fatal(code, token)
	}
	const id = "sidecar~127.0.0.1~one.a~a.svc.cluster.local"
	for _, c := range []struct {
		name, token, id, namespace, account string
		code                                codes.Code
		want                                string
	}{
		{"no token", "", id, "a", "", codes.Unauthenticated, "no proof"},
		{"another's", "weft-join-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", id, "a", "", codes.Unauthenticated, "used already"},
		{"another namespace", token, "sidecar~127.0.0.1~one.b~b.svc.cluster.local", "b", "", codes.PermissionDenied, `of namespace "b"`},
		{"another account", token, id, "a", "admin", codes.PermissionDenied, `service account "admin"`},
		{"no node", token, "nobody", "a", "", codes.InvalidArgument, "node id"},
		{"itself", token, id, "a", "sleep", codes.OK, ""},
		{"itself again", token, id, "a", "sleep", codes.Unauthenticated, "used already"},
	} {
		conn := p.dial(nil)
		meta := map[string]any{"NAMESPACE": c.namespace}
		if c.account != "" {
			meta["SERVICE_ACCOUNT"] = c.account
		}
		if err := firstBy(t, conn, c.token, c.id, meta); status.Code(err) != c.code || c.code != codes.OK && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v %q", c.name, err, c.code, c.want)
		}
	}
}
