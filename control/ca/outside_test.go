package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/control/store"
)

// outsider is a signer that does what a test says.
type outsider struct {
	root *issuer
	sign func(Order, *x509.CertificateRequest) ([]byte, error)
}

func (o *outsider) Name() string { return "issuers.test/mesh" }

func (o *outsider) Sign(_ context.Context, a Order) ([]byte, error) {
	block, _ := pem.Decode(a.CSR)
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return o.sign(a, r)
}

// newRootOf is a root of its own.
func newRootOf(t testing.TB) *issuer {
	t.Helper()
	g, err := newRoot("outside", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i, err := g.issuer()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// signed is what a root makes of a request, after a change.
func (i *issuer) signed(t testing.TB, r *x509.CertificateRequest, change func(*x509.Certificate)) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: newSerial(), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), URIs: r.URIs, DNSNames: r.DNSNames, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	var key crypto.PublicKey = r.PublicKey
	if change != nil {
		change(c)
		if c.PublicKey != nil {
			key = c.PublicKey
		}
	}
	der, err := x509.CreateCertificate(nil, c, i.chain[0], key, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// openOutside opens an authority whose certificates a signer outside signs, and keeps what it writes into the audit log.
func openOutside(t testing.TB, s Signer, roots []byte) (*Authority, *[]Record, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var records []Record
	return open(t, store.NewMemory(), func(o *Options) {
		o.Signer, o.Roots, o.Audit = s, func() ([]byte, string, error) {
			text, err := ReadFile(file)
			return text, file, err
		}, func(r Record) {
			mu.Lock()
			defer mu.Unlock()
			records = append(records, r)
		}
	}), &records, file
}

func uriOf(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

// TestWhatAnOutsiderAnswers has a signer answer otherwise than it was asked: nothing of that is given to anybody, and the audit log says so.
func TestWhatAnOutsiderAnswers(t *testing.T) {
	o := &outsider{root: newRootOf(t)}
	a, records, _ := openOutside(t, o, PEM(o.root.chain...))
	stranger := newRootOf(t)
	self := func(change func(*x509.Certificate)) func(Order, *x509.CertificateRequest) ([]byte, error) {
		return func(_ Order, r *x509.CertificateRequest) ([]byte, error) { return o.root.signed(t, r, change), nil }
	}
	for _, c := range []struct {
		name string
		sign func(Order, *x509.CertificateRequest) ([]byte, error)
		want string // empty: it is given
	}{
		{"what was asked for", self(nil), ""},
		{"with its root", func(_ Order, r *x509.CertificateRequest) ([]byte, error) {
			return append(o.root.signed(t, r, nil), PEM(o.root.chain...)...), nil
		}, ""},
		{"another key", self(func(c *x509.Certificate) { c.PublicKey = p256(t).Public() }), "another key"},
		{"another identity", self(func(c *x509.Certificate) { c.URIs = []*url.URL{uriOf("spiffe://cluster.local/ns/default/sa/admin")} }), "want that of spiffe://cluster.local/ns/default/sa/sleep alone"},
		{"an identity more", self(func(c *x509.Certificate) {
			c.URIs = append([]*url.URL{uriOf(sleep.String())}, uriOf("spiffe://cluster.local/ns/default/sa/admin"))
		}), "alone"},
		{"no identity", self(func(c *x509.Certificate) { c.URIs = nil }), "alone"},
		{"a name more", self(func(c *x509.Certificate) { c.DNSNames = []string{"istiod.istio-system.svc"} }), "alone"},
		{"an address more", self(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4zero} }), "alone"},
		{"an authority", self(func(c *x509.Certificate) { c.IsCA = true }), "may sign others"},
		{"for one side", self(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), "both sides"},
		{"ended", self(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), "expired"},
		{"not begun", self(func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
			c.NotAfter = c.NotBefore.Add(time.Hour)
		}), "begins at"},
		{"for long", self(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * MaxLife) }), "at most"},
		{"by a stranger", func(_ Order, r *x509.CertificateRequest) ([]byte, error) { return stranger.signed(t, r, nil), nil }, "does not lead to a root"},
		{"by a stranger, with his root", func(_ Order, r *x509.CertificateRequest) ([]byte, error) {
			return append(stranger.signed(t, r, nil), PEM(stranger.chain...)...), nil
		}, "does not lead to a root"},
		{"nothing", func(Order, *x509.CertificateRequest) ([]byte, error) { return nil, nil }, "no certificate"},
		{"garbage", func(Order, *x509.CertificateRequest) ([]byte, error) {
			return []byte("-----BEGIN CERTIFICATE-----\n"), nil
		}, "no certificate"},
		{"a key", func(Order, *x509.CertificateRequest) ([]byte, error) {
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), nil
		}, "want certificates only"},
		{"much", func(Order, *x509.CertificateRequest) ([]byte, error) {
			return bytes.Repeat([]byte("x"), maxAnswer+1), nil
		}, "bytes: want at most"},
		{"many", func(_ Order, r *x509.CertificateRequest) ([]byte, error) {
			return bytes.Repeat(o.root.signed(t, r, nil), maxChain+1), nil
		}, "certificates: want at most"},
		{"no", func(Order, *x509.CertificateRequest) ([]byte, error) { return nil, errors.New("out of ink") }, "issuers.test/mesh: out of ink"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.sign, *records = c.sign, nil
			key := p256(t)
			for name, r := range map[string]Request{"its own": {Who: sleep, By: "a test", CSR: request(t, key, x509.CertificateRequest{URIs: []*url.URL{uriOf(sleep.String())}})}, "ours": {Who: sleep, By: "a test", Key: key}} {
				chain, err := a.Issue(t.Context(), r)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%s: %v, want %q", name, err, c.want)
				}
				if err == nil && (len(chain) != 2 || !chain[1].Equal(o.root.chain[0]) || verify(chain, a.Roots()) != nil) {
					t.Errorf("%s: the chain has %d", name, len(chain))
				}
			}
			for _, one := range *records {
				if one.Signer != "issuers.test/mesh" || one.By != "a test" || (one.Refused == "") != (c.want == "") || (one.Serial == "") != (c.want != "") {
					t.Errorf("the audit log has %+v", one)
				}
			}
			if len(*records) != 2 {
				t.Errorf("the audit log has %d lines", len(*records))
			}
		})
	}
}

// TestWhatAnOutsiderIsAsked has callers ask for what is not theirs: an outsider signs what it is shown, so that it is not shown that.
func TestWhatAnOutsiderIsAsked(t *testing.T) {
	asked := 0
	o := &outsider{root: newRootOf(t)}
	o.sign = func(_ Order, r *x509.CertificateRequest) ([]byte, error) {
		asked++
		return o.root.signed(t, r, nil), nil
	}
	a, _, _ := openOutside(t, o, PEM(o.root.chain...))
	own := []*url.URL{uriOf(sleep.String())}
	isCA, _ := asn1.Marshal(struct{ IsCA bool }{true})
	for _, c := range []struct {
		name string
		r    x509.CertificateRequest
		good bool
	}{
		{"its own", x509.CertificateRequest{URIs: own}, true},
		{"as Istio's agent", x509.CertificateRequest{URIs: own, Subject: pkix.Name{Organization: []string{""}}}, true},
		{"nothing", x509.CertificateRequest{}, false},
		{"another", x509.CertificateRequest{URIs: []*url.URL{uriOf("spiffe://cluster.local/ns/default/sa/admin")}}, false},
		{"two", x509.CertificateRequest{URIs: append(own[:1:1], uriOf("spiffe://cluster.local/ns/default/sa/admin"))}, false},
		{"a name", x509.CertificateRequest{URIs: own, DNSNames: []string{"istiod.istio-system.svc"}}, false},
		{"an address", x509.CertificateRequest{URIs: own, IPAddresses: []net.IP{net.IPv4zero}}, false},
		{"an user of Kubernetes'", x509.CertificateRequest{URIs: own, Subject: pkix.Name{CommonName: "admin"}}, false},
		{"a group of Kubernetes'", x509.CertificateRequest{URIs: own, Subject: pkix.Name{Organization: []string{"system:masters"}}}, false},
		{"an authority", x509.CertificateRequest{URIs: own, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: isCA}}}, false},
		{"something else", x509.CertificateRequest{URIs: own, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: isCA}}}, false},
	} {
		before := asked
		_, err := a.Issue(t.Context(), Request{Who: sleep, CSR: request(t, p256(t), c.r)})
		refusal := (*Refusal)(nil)
		if (err == nil) != c.good || (asked > before) != c.good || err != nil && !errors.As(err, &refusal) {
			t.Errorf("%s: %v, and it was asked %d times", c.name, err, asked-before)
		}
	}
	for what, err := range map[string]error{"revoked": a.Revoke(t.Context(), Revocation{Identity: sleep.String(), Reason: "x"}), "rotated": a.Rotate(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "signed by issuers.test/mesh, whose business") {
			t.Errorf("it can be %s here: %v", what, err)
		}
	}
	for name, want := range map[string]bool{"issuers.test/mesh": true, "mesh": true, "issuers.test/other": false, "": false} {
		if a.is(name) != want {
			t.Errorf("%q is it: %v", name, !want)
		}
	}
}

// TestOutsidersAreAskedWithinBounds has one not answer: so many are asked for at a time, and each for so long.
func TestOutsidersAreAskedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		o := &outside{silent{&now, &most}, make(chan struct{}, signsAtOnce)}
		began := time.Now()
		done := make(chan error)
		for range 2 * signsAtOnce {
			go func() {
				_, err := o.order(t.Context(), Order{}, &sleep, nil, nil, nil)
				done <- err
			}()
		}
		for range 2 * signsAtOnce {
			if err := <-done; err == nil {
				t.Error("it was signed")
			}
		}
		if most.Load() != signsAtOnce || time.Since(began) > 2*signing {
			t.Errorf("%d were asked for at a time, for %v", most.Load(), time.Since(began))
		}
	})
}

type silent struct{ now, most *atomic.Int64 }

func (silent) Name() string { return "silent" }

func (s silent) Sign(ctx context.Context, _ Order) ([]byte, error) {
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.now.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestRootsOfOutsidersAreFollowed changes their file: what is wrong is said, and leaves what there was.
func TestRootsOfOutsidersAreFollowed(t *testing.T) {
	o := &outsider{root: newRootOf(t)}
	a, _, file := openOutside(t, o, PEM(o.root.chain...))
	next := newRootOf(t)
	both := PEM(o.root.chain[0], next.chain[0])
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var said []string
		done := make(chan struct{})
		a.mu.Lock()
		a.changed = make(chan struct{}) // of the bubble
		a.mu.Unlock()
		changed := a.Changed()
		go func() {
			defer close(done)
			a.followRoots(ctx, func(err error) { said = append(said, err.Error()) })
		}()
		for _, step := range []struct {
			text []byte
			want int
		}{{[]byte("nothing"), 1}, {both, 2}, {nil, 2}} {
			if err := os.WriteFile(file, step.text, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * rereading)
			if n := len(a.Roots()); n != step.want {
				t.Errorf("%d roots after %.20q: want %d", n, step.text, step.want)
			}
		}
		select {
		case <-changed:
		default:
			t.Error("nobody is told")
		}
		cancel()
		<-done
		if len(said) != 2 || !strings.Contains(said[0], "no certificate") {
			t.Errorf("said %q", said)
		}
	})
}

// TestServersOfOutsiders has weftd's own server show a certificate that an outsider has signed, and one of files.
func TestServersOfOutsiders(t *testing.T) {
	o := &outsider{root: newRootOf(t)}
	fails := atomic.Bool{}
	o.sign = func(_ Order, r *x509.CertificateRequest) ([]byte, error) {
		if fails.Load() {
			return nil, errors.New("out of ink")
		}
		return o.root.signed(t, r, nil), nil
	}
	fails.Store(true)
	a, _, _ := openOutside(t, o, PEM(o.root.chain...))
	dial := func(c *tls.Config) error {
		l, err := tls.Listen("tcp", "127.0.0.1:0", c)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				c.(*tls.Conn).Handshake()
				c.Close()
			}
		}()
		roots := x509.NewCertPool()
		roots.AddCert(o.root.chain[0])
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "weftd.test"})
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := dial(a.ServerTLS([]string{"weftd.test"})); err == nil {
		t.Error("a certificate that nobody has signed is shown")
	}
	fails.Store(false)
	if err := dial(a.ServerTLS([]string{"weftd.test", "localhost"})); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{Store: store.NewMemory(), TrustDomain: "cluster.local", ServerFiles: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("without files: %v", err)
	}
}

// TestFilesOfServersAreFollowed changes them: what is wrong is said, and leaves what was shown.
func TestFilesOfServersAreFollowed(t *testing.T) {
	root, folder := newRootOf(t), t.TempDir()
	key, other := p256(t), p256(t)
	write := func(name string, key *ecdsa.PrivateKey) {
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
		if name != "" {
			if err := os.WriteFile(filepath.Join(folder, "tls.crt"), root.signed(t, &x509.CertificateRequest{PublicKey: key.Public(), DNSNames: []string{name}}, nil), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(folder, "tls.key"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one.test", key)
	a := open(t, store.NewMemory(), func(o *Options) { o.ServerFiles = folder })
	server := a.ServerTLS([]string{"not.this"})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var said []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.followServed(ctx, func(err error) { said = append(said, err.Error()) })
		}()
		for _, step := range []struct {
			name   string
			key    *ecdsa.PrivateKey
			want   string
			errors int
		}{{"", key, "one.test", 0}, {"two.test", key, "two.test", 0}, {"", other, "two.test", 1}, {"three.test", other, "three.test", 1}, {"", key, "three.test", 2}} {
			write(step.name, step.key)
			time.Sleep(3 * rereading)
			synctest.Wait()
			c, err := server.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Leaf.DNSNames[0] != step.want || len(said) != step.errors {
				t.Errorf("%q is shown, and said is %q: want %s and %d", c.Leaf.DNSNames, said, step.want, step.errors)
			}
		}
		write("four.test", key)
		time.Sleep(2 * time.Hour) // which is more than it is good for
		cancel()
		<-done
		if len(said) != 3 || !strings.Contains(said[0], "private key does not match") || !strings.Contains(said[2], "has ended at 2000-01-01T01:0") {
			t.Errorf("said %q", said)
		}
	})
}

// byWord is the proof of who shows a word.
type byWord map[string]Identity

func (b byWord) Authenticate(ctx context.Context) (Caller, error) {
	who, is := b[bearer(ctx)]
	if !is {
		return Caller{}, ErrNoProof
	}
	return Caller{Identity: who, By: "word"}, nil
}

// TestUpstream has another authority sign, which finds out by the caller's token who that is, over Istio's own service.
func TestUpstream(t *testing.T) {
	up := open(t, store.NewMemory(), nil)
	run(t, up)
	var mu sync.Mutex
	var shown []string
	admin := Identity{"cluster.local", "default", "admin"}
	words := byWord{"good": sleep, "another": admin}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(up.ServerTLS([]string{"localhost"}))), grpc.UnaryInterceptor(func(ctx context.Context, q any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		m, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		shown = append(shown, strings.Join(m.Get("authorization"), " "))
		mu.Unlock()
		return h(ctx, q)
	}))
	securityv1alpha1.RegisterIstioCertificateServiceServer(s, &Service{Authority: up, Proofs: []Authenticator{words}})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(s.Stop)
	at := fmt.Sprintf("localhost:%d", l.Addr().(*net.TCPAddr).Port)
	begin := func(roots []byte) *Authority {
		file := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(file, roots, 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := NewUpstream(at, file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Close)
		a, _, _ := openOutside(t, u, up.RootsPEM())
		return a
	}
	a := begin(up.RootsPEM())
	for _, c := range []struct{ token, want string }{
		{"good", ""},
		{"", "wants the token of a service account"},
		{"unknown", "refuses: Unauthenticated"},
		{"another", "want that of spiffe://cluster.local/ns/default/sa/sleep alone"}, // the upstream takes him for somebody else
	} {
		chain, err := a.Issue(t.Context(), Request{Who: sleep, Key: p256(t), Token: c.token, Life: time.Hour})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.token, err, c.want)
		}
		if err == nil && (verify(chain, up.Roots()) != nil || time.Until(chain[0].NotAfter) > time.Hour) {
			t.Errorf("the certificate is good until %v", chain[0].NotAfter)
		}
	}
	mu.Lock()
	before := len(shown)
	mu.Unlock()
	_, err = begin(PEM(newRootOf(t).chain...)).Issue(t.Context(), Request{Who: sleep, Key: p256(t), Token: "good"})
	mu.Lock()
	if err == nil || len(shown) > before {
		t.Errorf("who is not believed is shown %q: %v", shown[before:], err)
	}
	mu.Unlock()
	for token, want := range map[string]string{"a.b.c": "a.b.c", tokenBegins + "x": ""} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
		if got := HandedOn(ctx); got != want {
			t.Errorf("of %q is handed on %q", token, got)
		}
	}
	s.Stop()
	if _, err := a.Issue(t.Context(), Request{Who: sleep, Key: p256(t), Token: "good"}); err == nil {
		t.Error("nobody has signed it")
	} else if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		t.Errorf("the caller is the reason: %v", err)
	}
	for _, at := range []string{"localhost", ":1", ""} {
		if _, err := NewUpstream(at, "/nothing"); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
			t.Errorf("%q: %v", at, err)
		}
	}
}
