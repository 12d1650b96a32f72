package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/control/store"
)

// world is an authority behind its service.
type world struct {
	t       *testing.T
	ca      *Authority
	address string
	mu      sync.Mutex
	records []Record
}

func serve(t *testing.T) *world {
	w := &world{t: t}
	w.ca = open(t, store.NewMemory(), func(o *Options) {
		o.Audit = func(r Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.records = append(w.records, r)
		}
	})
	run(t, w.ca)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(w.ca.ServerTLS([]string{"istiod.istio-system.svc"}))))
	securityv1alpha1.RegisterIstioCertificateServiceServer(s, &Service{Authority: w.ca, Proofs: []Authenticator{ByCertificate{"cluster.local"}, ByToken{w.ca}}})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return w
}

// ask asks for a certificate, with a token or with a certificate, if any.
func (w *world) ask(token string, own *tls.Certificate, q *securityv1alpha1.IstioCertificateRequest) ([]string, error) {
	w.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(w.ca.Roots()[0])
	c := &tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc"}
	if own != nil {
		c.Certificates = []tls.Certificate{*own}
	}
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(credentials.NewTLS(c)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	a, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, q)
	return a.GetCertChain(), err
}

// TestService has a machine join with a token and renew with what it got.
func TestService(t *testing.T) {
	w := serve(t)
	token, err := w.ca.NewToken(t.Context(), sleep, time.Minute, "a test")
	if err != nil {
		t.Fatal(err)
	}
	key := p256(t)
	csr := string(request(t, key, x509.CertificateRequest{}))
	good := &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600}
	if _, err := w.ask(token, nil, &securityv1alpha1.IstioCertificateRequest{Csr: "none"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("with no request: %v", err)
	}
	chain, err := w.ask(token, nil, good) // it was not used up by that
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 2 || chain[1] != string(w.ca.RootsPEM()) {
		t.Fatalf("a chain of %d", len(chain))
	}
	certificates, err := readCertificates([]byte(strings.Join(chain, "")))
	if err != nil {
		t.Fatal(err)
	}
	own := &tls.Certificate{Certificate: [][]byte{certificates[0].Raw}, PrivateKey: key}
	again, err := w.ask("", own, good)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := readCertificates([]byte(again[0])); err != nil || c[0].URIs[0].String() != sleep.String() || c[0].SerialNumber.Cmp(certificates[0].SerialNumber) == 0 {
		t.Errorf("renewed as %v, %v", c, err)
	}

	meta := func(key, value string) *structpb.Struct {
		return &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewStringValue(value)}}
	}
	for _, c := range []struct {
		name  string
		token string
		own   *tls.Certificate
		q     *securityv1alpha1.IstioCertificateRequest
		code  codes.Code
		want  string
	}{
		{"without any proof", "", nil, good, codes.Unauthenticated, "no proof"},
		{"with the token again", token, nil, good, codes.Unauthenticated, "used already"},
		{"with another token", "weft-join-xyz", nil, good, codes.Unauthenticated, "used already"},
		{"with a token of somebody else's", "eyJhbGciOiJub25lIn0.e30.", nil, good, codes.Unauthenticated, "no proof"},
		{"for somebody else", "", own, &securityv1alpha1.IstioCertificateRequest{Csr: csr, Metadata: meta(metaImpersonated, "spiffe://cluster.local/ns/kube-system/sa/admin")}, codes.PermissionDenied, "nobody may have those of others"},
		{"of another signer", "", own, &securityv1alpha1.IstioCertificateRequest{Csr: csr, Metadata: meta(metaSigner, "clusterissuers.x/y")}, codes.InvalidArgument, "want none"},
		{"for less than nothing", "", own, &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: -1}, codes.InvalidArgument, "want more"},
		{"with no request", "", own, &securityv1alpha1.IstioCertificateRequest{}, codes.InvalidArgument, "not in PEM"},
		{"with 5 MB", "", own, &securityv1alpha1.IstioCertificateRequest{Csr: strings.Repeat("x", 5<<20)}, codes.ResourceExhausted, "larger than max"},
	} {
		if _, err := w.ask(c.token, c.own, c.q); status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v %q", c.name, err, c.code, c.want)
		}
	}
	if long, err := w.ask("", own, &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: 1 << 62}); err != nil {
		t.Errorf("for ever: %v", err)
	} else if c, _ := readCertificates([]byte(long[0])); time.Until(c[0].NotAfter) > MaxLife {
		t.Errorf("for ever is until %v", c[0].NotAfter)
	}
	if err := w.ca.Revoke(t.Context(), Revocation{Identity: sleep.String(), Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	limit := time.After(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); len(w.ca.Revoked()) == 0; { // until the store has told
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the revocation is not heard of")
		}
	}
	if _, err := w.ask("", own, good); status.Code(err) != codes.Unavailable { // the handshake fails; how the client sees that differs
		t.Errorf("after it was revoked: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	given, refused := 0, 0
	for _, r := range w.records {
		if r.From == "" || r.Time.IsZero() || (r.Serial == "") == (r.Refused == "") {
			t.Errorf("written down: %+v", r)
		}
		if r.Serial != "" {
			given++
		} else {
			refused++
		}
	}
	if given != 3 || refused != 9 { // 5 MB, and who is revoked, do not come as far as here
		t.Errorf("%d were given and %d refused, by the audit log", given, refused)
	}
}
