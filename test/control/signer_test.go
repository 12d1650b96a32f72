package control

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// clusterSigner signs the approved requests of a cluster that name it, as a controller of somebody's would.
type clusterSigner struct {
	name   string
	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	file   string // its root
	server *source.Server
	// denies has it deny all, and lies have it sign for somebody else.
	denies, lies atomic.Bool
	signed       atomic.Int64
}

func newClusterSigner(t *testing.T, c *kube.Cluster) *clusterSigner {
	t.Helper()
	s := &clusterSigner{name: "issuers.test/mesh", file: filepath.Join(t.TempDir(), "roots.pem")}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outside"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err == nil {
		s.root, err = x509.ParseCertificate(der)
	}
	if err == nil {
		err = os.WriteFile(s.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err == nil {
		s.server, err = source.Connect(c.Kubeconfig, "", "signer")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			s.turn(ctx)
		}
	}()
	return s
}

// meshConfig is a mesh's own configuration that has its root, and a port.
func (s *clusterSigner) meshConfig(t *testing.T, port int) string {
	t.Helper()
	root, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"proxyListenPort": port, "caCertificates": []any{map[string]any{"pem": string(root), "certSigners": []string{s.name}}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

// call asks the API server; what it says no to is nothing.
func (s *clusterSigner) call(ctx context.Context, method, path string, in, out any) {
	var body []byte
	if in != nil {
		body, _ = json.Marshal(in)
	}
	a, _, err := s.server.Call(ctx, method, path, nil, body)
	if err != nil {
		return
	}
	defer a.Close()
	if text, err := io.ReadAll(a); err == nil && out != nil {
		json.Unmarshal(text, out)
	}
}

// turn signs what there is to be signed.
func (s *clusterSigner) turn(ctx context.Context) {
	var list struct{ Items []map[string]any }
	s.call(ctx, http.MethodGet, requests, nil, &list)
	for _, o := range list.Items {
		text, _ := json.Marshal(o)
		var is struct {
			Metadata struct{ Name string }
			Spec     struct {
				SignerName string
				Request    []byte
			}
			Status struct {
				Certificate []byte
				Conditions  []struct{ Type string }
			}
		}
		json.Unmarshal(text, &is)
		has := func(kind string) bool {
			return slices.ContainsFunc(is.Status.Conditions, func(c struct{ Type string }) bool { return c.Type == kind })
		}
		if is.Spec.SignerName != s.name || len(is.Status.Certificate) > 0 || !has("Approved") || has("Failed") {
			continue
		}
		o["apiVersion"], o["kind"] = "certificates.k8s.io/v1", "CertificateSigningRequest"
		state := o["status"].(map[string]any)
		if s.denies.Load() {
			state["conditions"] = append(state["conditions"].([]any), map[string]any{"type": "Failed", "status": "True", "reason": "Ink", "message": "out of ink"})
		} else {
			state["certificate"] = base64.StdEncoding.EncodeToString(s.sign(is.Spec.Request))
		}
		s.call(ctx, http.MethodPut, requests+"/"+is.Metadata.Name+"/status", o, nil)
	}
}

func (s *clusterSigner) sign(text []byte) []byte {
	block, _ := pem.Decode(text)
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), URIs: r.URIs, DNSNames: r.DNSNames, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	if s.lies.Load() {
		u, _ := url.Parse("spiffe://cluster.local/ns/shop/sa/admin")
		c.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, s.root, r.PublicKey, s.key)
	if err != nil {
		return nil
	}
	s.signed.Add(1)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// asksFor asks a plane for the certificate of a new key, with a token, by a request for an identity.
func (s *securePlane) asksFor(token, identity string) (chain []string, key crypto.Signer, err error) {
	s.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := url.Parse(identity)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{u}}, own)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token), deadline)
	defer cancel()
	a, err := securityv1alpha1.NewIstioCertificateServiceClient(s.dial(nil)).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	return a.GetCertChain(), own, err
}

// A signer of the cluster signs all of the mesh's certificates, with no more rights than weftctl manifests gives: those of proxies, which speak by mTLS, those of agents, and weftd's own. What it
// answers otherwise is given to nobody.
func TestASignerOfTheClusterSigns(t *testing.T) {
	var signer *clusterSigner
	p := newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		c := kube.Start(t)
		c.Install()
		signer = newClusterSigner(t, c)
		c.Apply(string(source.Role("weftd", "istio-system", source.Duties{Signer: signer.name})))
		ports := vacant.Ports(t, 4)
		c.Apply(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: %q}}", signer.meshConfig(t, ports[3])))
		for _, text := range files {
			c.Apply(text)
		}
		s := &securePlane{port: ports[2], audit: filepath.Join(t.TempDir(), "audit")}
		s.plane = &plane{t: t, cluster: c, grpc: ports[0], admin: ports[1], more: []string{"--kubeconfig", c.KubeconfigOf("istio-system", "weftd"), "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port),
			"--ca-signer", signer.name, "--audit-log", s.audit}}
		s.start()
		return s
	})
	for app, program := range map[string]string{"web": "weft", "client": "envoy"} {
		p.plane.cluster.Account("shop", app)
		p.plane.begin(program, "sidecar", app, "", p.plane.cluster.Token("shop", app, "istio-ca"))
	}
	p.opens()
	token := p.plane.cluster.Token("shop", "web", "istio-ca")
	const web = "spiffe://cluster.local/ns/shop/sa/web"
	began := time.Now()
	chain, _, err := p.plane.asksFor(token, web)
	t.Logf("an agent has its certificate after %v", time.Since(began).Round(time.Millisecond))
	if root, _ := os.ReadFile(signer.file); err != nil || len(chain) != 2 || chain[1] != string(root) {
		t.Errorf("an agent is given %d certificates, %v", len(chain), err)
	}
	before := signer.signed.Load()
	if _, _, err := p.plane.asksFor(token, "spiffe://cluster.local/ns/shop/sa/admin"); status.Code(err) != codes.InvalidArgument || signer.signed.Load() > before {
		t.Errorf("who asks for another's: %v", err)
	}
	signer.lies.Store(true)
	if _, _, err := p.plane.asksFor(token, web); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "want that of "+web+" alone") {
		t.Errorf("a certificate of somebody else: %v", err)
	}
	signer.lies.Store(false)
	signer.denies.Store(true)
	if _, _, err := p.plane.asksFor(token, web); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "out of ink") {
		t.Errorf("a request that is denied: %v", err)
	}
	var left struct{ Items []json.RawMessage }
	if p.plane.cluster.List(requests, &left); len(left.Items) > 0 {
		t.Errorf("%d requests are left: %s", len(left.Items), left.Items[0])
	}
	for _, path := range []string{"/ca/revoke", "/ca/rotate"} {
		if code, text := p.plane.post(path, url.Values{"identity": {web}, "reason": {"a test"}}); code != http.StatusConflict || !strings.Contains(text, "signed by "+signer.name+", whose business") {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	text, err := os.ReadFile(p.plane.audit)
	if err != nil || strings.Count(string(text), `"signer":"issuers.test/mesh"`) < 6 || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("the log: %v\n%s", err, text)
	}
	if n := p.plane.number("ca_signer_answers_unfitting"); n != 1 {
		t.Errorf("%d answers did not fit", n)
	}
}

// An upstream that speaks Istio's own service signs what its caller's token is good for: another weftd, here, in front of which one stands whose proxies speak by mTLS.
func TestAnUpstreamSigns(t *testing.T) {
	var up *securePlane
	p := newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		up = &securePlane{port: vacant.Ports(t, 1)[0], audit: filepath.Join(t.TempDir(), "audit")}
		up.plane = newPlaneOf(t, sources[1], files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", up.port), "--audit-log", up.audit)
		roots := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(roots, []byte(up.page("/ca/roots")), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &securePlane{port: vacant.Ports(t, 1)[0], audit: filepath.Join(t.TempDir(), "audit")}
		ports := vacant.Ports(t, 2)
		// For its own server it has a certificate of somebody else's.
		folder := t.TempDir()
		own := newClusterSigner(t, up.cluster)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"istiod.istio-system.svc"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"tls.crt": own.sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.believed = own.file
		s.plane = &plane{t: t, cluster: up.cluster, grpc: ports[0], admin: ports[1], more: []string{"--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--audit-log", s.audit,
			"--ca-upstream", fmt.Sprintf("localhost:%d", up.port), "--ca-upstream-roots", roots, "--ca-roots", roots, "--server-cert", folder}}
		s.start()
		return s
	})
	for app, program := range map[string]string{"web": "weft", "client": "envoy"} {
		p.plane.cluster.Account("shop", app)
		p.plane.begin(program, "sidecar", app, "", p.plane.cluster.Token("shop", app, "istio-ca"))
	}
	p.opens()
	const web = "spiffe://cluster.local/ns/shop/sa/web"
	if chain, _, err := p.plane.asksFor(p.plane.cluster.Token("shop", "web", "istio-ca"), web); err != nil || len(chain) != 2 {
		t.Errorf("an agent is given %d certificates, %v", len(chain), err)
	}
	code, token := p.plane.post("/ca/token", url.Values{"identity": {web}})
	if code != http.StatusOK {
		t.Fatal(code, token)
	}
	if _, _, err := p.plane.asksFor(token, web); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "wants the token of a service account") {
		t.Errorf("by a token that is good here alone: %v", err)
	}
	text, err := os.ReadFile(up.audit)
	if err != nil || strings.Count(string(text), `"by":"service account token"`) != 3 || strings.Contains(string(text), token) {
		t.Errorf("the log of the upstream: %v\n%s", err, text)
	}
}
