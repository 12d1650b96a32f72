package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/test/vacant"
)

// securePlane is a weftd with an authority.
type securePlane struct {
	*plane
	port         int
	store, audit string
	world        bool   // proxies are told the state of the world
	believed     string // a file with whom to believe it by; empty: what the mesh trusts
	beside       int    // the port of another one that proxies may come to; 0: there is none
	meta         string // what the nodes of proxies say beside the rest
}

func newSecurePlane(t *testing.T, files map[string]string) *securePlane {
	t.Helper()
	dir := t.TempDir()
	s := &securePlane{port: vacant.Ports(t, 1)[0], store: filepath.Join(dir, "store"), audit: filepath.Join(dir, "audit")}
	s.plane = newPlane(t, files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store, "--audit-log", s.audit)
	return s
}

// post posts a form to a page.
func (s *securePlane) post(path string, form url.Values) (int, string) {
	s.t.Helper()
	r, err := http.PostForm(fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path), form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, strings.TrimSpace(string(b))
}

// trusted are the roots by which its server is believed, in PEM.
func (s *securePlane) trusted() string {
	s.t.Helper()
	if s.believed == "" {
		return s.page("/ca/roots")
	}
	text, err := os.ReadFile(s.believed)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *securePlane) dial(own *tls.Certificate) *grpc.ClientConn {
	s.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(s.trusted())) {
		s.t.Fatal("weftd has no roots")
	}
	c := &tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc"}
	if own != nil {
		c.Certificates = []tls.Certificate{*own}
	}
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", s.port), grpc.WithTransportCredentials(credentials.NewTLS(c)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// join has a machine of that identity get its certificate by a token, and writes it into files of a folder, as it gives back.
func (s *securePlane) join(identity string) (own *tls.Certificate, folder string) {
	s.t.Helper()
	code, token := s.post("/ca/token", url.Values{"identity": {identity}})
	if code != http.StatusOK {
		s.t.Fatal(code, token)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(s.t.(*testing.T).Context(), "authorization", "Bearer "+token), deadline)
	defer cancel()
	a, err := securityv1alpha1.NewIstioCertificateServiceClient(s.dial(nil)).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{
		Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	folder = s.t.TempDir()
	for name, text := range map[string]string{"chain": strings.Join(a.CertChain, ""), "key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), "roots": s.page("/ca/roots")} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "chain"), filepath.Join(folder, "key"))
	if err != nil {
		s.t.Fatal(err)
	}
	return &pair, folder
}

// socket is how a proxy speaks to the plane with what stands in a folder.
func socket(folder string) string {
	return fmt.Sprintf(`    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: istiod.istio-system.svc
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificates: [{certificate_chain: {filename: %[1]s/chain}, private_key: {filename: %[1]s/key}}]
          validation_context: {trusted_ca: {filename: %[1]s/roots}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: istiod.istio-system.svc}}]}
`, folder)
}

const sleeper = "spiffe://cluster.local/ns/a/sa/sleep"

// A proxy with a certificate of the mesh is told what is for it, over TLS, and goes on after weftd has been started again.
func TestProxiesAreServedOverTLS(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			p := newSecurePlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
			roots := p.page("/ca/roots")
			_, folder := p.join(sleeper)
			p.proxyAt(name, "NAMESPACE: a, SERVICE_ACCOUNT: sleep", p.port, socket(folder))
			s.opens()
			p.synced(1)
			end := s.load()
			p.kill()
			p.start()
			if again := p.page("/ca/roots"); again != roots {
				t.Error("the root is another after a restart")
			}
			p.synced(1)
			p.write("canary.yaml", canary(0))
			eventually(t, "it is followed again", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v2" })
			if end() == 0 {
				t.Error("nothing was asked meanwhile")
			}
		})
	}
}

// first is what the plane says to the first request of a node: nil if it answers.
func first(t *testing.T, conn *grpc.ClientConn, id string, meta map[string]any) error {
	t.Helper()
	return firstBy(t, conn, "", id, meta)
}

// firstBy is first with a token, if it is not empty.
func firstBy(t *testing.T, conn *grpc.ClientConn, token, id string, meta map[string]any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	m, err := structpb.NewStruct(meta)
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: id, Metadata: m}, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"})
	_, err = stream.Recv()
	return err
}

// Nobody is served as somebody else (hazard 82), nor without a certificate, nor with one that is revoked.
func TestWhoIsTurnedAway(t *testing.T) {
	s := newShop(t)
	p := newSecurePlane(t, map[string]string{"shop.yaml": s.entry("")})
	own, _ := p.join(sleeper) // and wants nothing more on its stream
	const id = "sidecar~127.0.0.1~one.a~a.svc.cluster.local"
	for _, c := range []struct {
		name string
		own  *tls.Certificate
		id   string
		meta map[string]any
		code codes.Code
		want string
	}{
		{"itself", own, id, map[string]any{"NAMESPACE": "a", "SERVICE_ACCOUNT": "sleep", "WEFT_IDENTITY": "none"}, codes.OK, ""},
		{"itself, which does not say its account", own, id, map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"}, codes.OK, ""},
		{"nobody", nil, id, map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"}, codes.Unauthenticated, "no proof"},
		{"another namespace", own, "sidecar~127.0.0.1~one.b~b.svc.cluster.local", map[string]any{"NAMESPACE": "b"}, codes.PermissionDenied, `of namespace "b"`},
		{"another namespace, by its id", own, "router~127.0.0.1~one.b~b.svc.cluster.local", nil, codes.PermissionDenied, `of namespace "b"`},
		{"the name of another namespace's", own, "sidecar~127.0.0.1~one.b~a.svc.cluster.local", map[string]any{"NAMESPACE": "a"}, codes.PermissionDenied, `want NAME.a`},
		{"another account", own, id, map[string]any{"NAMESPACE": "a", "SERVICE_ACCOUNT": "admin"}, codes.PermissionDenied, `service account "admin"`},
	} {
		if err := first(t, p.dial(c.own), c.id, c.meta); status.Code(err) != c.code || c.code != codes.OK && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v %q", c.name, err, c.code, c.want)
		}
	}
	for _, c := range []struct {
		path string
		form url.Values
		code int
		want string
	}{
		{"/ca/token", url.Values{"identity": {"sleep"}}, http.StatusBadRequest, "want spiffe://"},
		{"/ca/token", url.Values{"identity": {sleeper}, "life": {"1h"}}, http.StatusOK, "weft-join-"},
		{"/ca/token", url.Values{"identity": {sleeper}, "life": {"1000h"}}, http.StatusConflict, "at most 24h"},
		{"/ca/token", url.Values{"identity": {"spiffe://elsewhere/ns/a/sa/sleep"}}, http.StatusConflict, "are not made here"},
		{"/ca/revoke", url.Values{}, http.StatusConflict, "want an identity or a serial number"},
		{"/ca/rotate", nil, http.StatusOK, "a new root is trusted"},
		{"/ca/rotate", nil, http.StatusConflict, "on its way already"},
		{"/ca/restore", url.Values{"identity": {sleeper}}, http.StatusConflict, "is not revoked"},
		{"/ca/revoke", url.Values{"identity": {sleeper}, "reason": {"its key was lost"}}, http.StatusOK, "revoked"},
	} {
		if code, text := p.post(c.path, c.form); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s %v: %d %s, want %d %q", c.path, c.form, code, text, c.code, c.want)
		}
	}
	eventually(t, "who is revoked is turned away", func() bool {
		return first(t, p.dial(own), id, map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"}) != nil
	})
	if page := p.page("/ca/revoked"); !strings.Contains(page, sleeper) || !strings.Contains(page, "its key was lost") {
		t.Errorf("what is revoked: %s", page)
	}
	block, _ := pem.Decode([]byte(p.page("/ca/lists")))
	if list, err := x509.ParseRevocationList(block.Bytes); err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(own.Leaf.SerialNumber) != 0 {
		t.Errorf("the list has %+v, %v", list, err)
	}
	if code, text := p.post("/ca/restore", url.Values{"identity": {sleeper}}); code != http.StatusOK {
		t.Errorf("restored: %d %s", code, text)
	}
	eventually(t, "who is restored is served", func() bool {
		return first(t, p.dial(own), id, map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"}) == nil
	})
	// A page of somebody else's, in a browser here, neither posts nor reads, not even by a name that leads here (hazard 78).
	for _, c := range []struct {
		method, path, key, value string
		code                     int
	}{
		{http.MethodPost, "/ca/rotate", "Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{http.MethodPost, "/ca/token", "Host", "evil.test", http.StatusMisdirectedRequest},
		{http.MethodGet, "/status", "Host", "evil.test:9876", http.StatusMisdirectedRequest},
		{http.MethodGet, "/status", "Host", "10.0.0.1:9876", http.StatusMisdirectedRequest},
		{http.MethodGet, "/status", "Host", "localhost", http.StatusOK},
		{http.MethodGet, "/status", "Host", "[::1]", http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, fmt.Sprintf("http://127.0.0.1:%d%s", p.admin, c.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Header.Set(c.key, c.value); c.key == "Host" {
			r.Host = c.value
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Body.Close(); a.StatusCode != c.code {
			t.Errorf("%s %s with %s %s: %d, want %d", c.method, c.path, c.key, c.value, a.StatusCode, c.code)
		}
	}
	// What was given and refused is in the log.
	text, err := os.ReadFile(p.audit)
	if err != nil {
		t.Fatal(err)
	}
	done, refused := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Time                                              time.Time
			What, Identity, Serial, From, By, Reason, Refused string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.From == "" || e.Time.IsZero() {
			t.Errorf("%v: %s", err, line)
		}
		if e.What == "certificate" && (e.Identity != sleeper || e.Serial == "" || e.By != "join token") || e.What == "revocation" && e.Refused == "" && e.Reason != "its key was lost" {
			t.Errorf("%s", line)
		}
		if strings.Contains(line, "weft-join-") {
			t.Error("a token is in the log")
		}
		if e.Refused == "" {
			done[e.What]++
		} else {
			refused[e.What]++
		}
	}
	if want := (map[string]int{"certificate": 1, "token": 2, "revocation": 1, "restoration": 1, "rotation": 1}); !maps.Equal(done, want) {
		t.Errorf("done, by the log: %v, want %v", done, want)
	}
	if want := (map[string]int{"token": 2, "revocation": 1, "restoration": 1, "rotation": 1}); !maps.Equal(refused, want) {
		t.Errorf("refused, by the log: %v, want %v", refused, want)
	}
}
