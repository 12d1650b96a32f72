package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/control/store"
)

var sleep = Identity{"cluster.local", "default", "sleep"}

func open(t testing.TB, s store.Store, change func(*Options)) *Authority {
	t.Helper()
	o := Options{Store: s, TrustDomain: "cluster.local"}
	if change != nil {
		change(&o)
	}
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run keeps an authority up to date until the test, or what is given back, ends it.
func run(t testing.TB, a *Authority) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx, func(err error) { t.Error(err) })
	}()
	stop := func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, key crypto.Signer, r x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &r, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func issue(t testing.TB, a *Authority, who Identity) []*x509.Certificate {
	t.Helper()
	chain, err := a.Issue(t.Context(), Request{Who: who, CSR: request(t, p256(t), x509.CertificateRequest{})})
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// verify says whether a peer with these roots would take a certificate now.
func verify(chain, trusted []*x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range trusted {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: time.Now()})
	return err
}

func TestWhatIsIssued(t *testing.T) {
	var records []Record
	a := open(t, store.NewMemory(), func(o *Options) { o.Audit = func(r Record) { records = append(records, r) } })
	key := p256(t)
	chain, err := a.Issue(t.Context(), Request{Who: sleep, By: "a test", From: "127.0.0.1:7", CSR: request(t, key, x509.CertificateRequest{})})
	if err != nil {
		t.Fatal(err)
	}
	c := chain[0]
	if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://cluster.local/ns/default/sa/sleep" {
		t.Errorf("it is for %v", c.URIs)
	}
	if len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0 || c.Subject.String() != "" || c.IsCA || !key.PublicKey.Equal(c.PublicKey) {
		t.Errorf("%v, %v, subject %q, CA %v", c.DNSNames, c.IPAddresses, c.Subject, c.IsCA)
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 2 {
		t.Errorf("usage %b, %v", c.KeyUsage, c.ExtKeyUsage)
	}
	if life := time.Until(c.NotAfter); life > DefaultLife || life < DefaultLife-time.Minute {
		t.Errorf("it is good for %v", life)
	}
	if err := verify(chain, a.Roots()); err != nil {
		t.Error(err)
	}
	if last := chain[len(chain)-1]; !last.Equal(a.Roots()[0]) {
		t.Errorf("the last of the chain is %q", last.Subject)
	}
	if len(records) != 1 || records[0].Serial != hex(c.SerialNumber) || records[0].Identity != sleep.String() || records[0].From != "127.0.0.1:7" || records[0].By != "a test" || !records[0].Until.Equal(c.NotAfter) {
		t.Errorf("written down: %+v", records)
	}
}

// TestHostileRequests is hazard 84: what somebody asks for beside a certificate of its own is refused, or is not in it.
func TestHostileRequests(t *testing.T) {
	a := open(t, store.NewMemory(), nil)
	key := p256(t)
	rsaKey := func(bits int) crypto.Signer {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	other, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	isCA, _ := asn1.Marshal(struct{ CA bool }{true})
	good := request(t, key, x509.CertificateRequest{})
	forged := func() []byte {
		block, _ := pem.Decode(good)
		der := bytes.Clone(block.Bytes)
		der[len(der)-1] ^= 1
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	t.Setenv("GODEBUG", "rsa1024min=0") // so that the test can make what is refused
	for _, c := range []struct {
		name string
		csr  []byte
		life time.Duration
		want string // empty: it is issued, and is what the caller is due and nothing more
	}{
		{"another's name", request(t, key, x509.CertificateRequest{URIs: []*url.URL{other}, Subject: pkix.Name{CommonName: "admin"}}), 0, ""},
		{"a wildcard", request(t, key, x509.CertificateRequest{DNSNames: []string{"*", "*.cluster.local"}, IPAddresses: []net.IP{net.IPv4zero}, EmailAddresses: []string{"a@b"}}), 0, ""},
		{"an authority", request(t, key, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: isCA}}}), 0, ""},
		{"ten years", good, 10 * 365 * 24 * time.Hour, ""},
		{"a moment", good, 1, ""},
		{"P-384", request(t, p384, x509.CertificateRequest{}), 0, ""},
		{"RSA of 2,048", request(t, rsaKey(2048), x509.CertificateRequest{}), 0, ""},
		{"RSA of 1,024", request(t, rsaKey(1024), x509.CertificateRequest{}), 0, "RSA of 1024 bits: want 2048 to 4096"},
		{"P-224", request(t, p224, x509.CertificateRequest{}), 0, "curve P-224: want P-256 or P-384"},
		{"Ed25519", request(t, edKey, x509.CertificateRequest{}), 0, "Ed25519: want ECDSA or RSA"},
		{"nothing", nil, 0, "not in PEM"},
		{"garbage", []byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"), 0, "cannot be read"},
		{"a certificate", PEM(a.Roots()...), 0, "not in PEM"},
		{"two", append(bytes.Clone(good), good...), 0, "more than one"},
		{"of another key", forged(), 0, "not signed by its own key"},
		{"a megabyte", append(bytes.Clone(good), bytes.Repeat([]byte("#"), 1<<20)...), 0, "want at most 16384"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain, err := a.Issue(t.Context(), Request{Who: sleep, CSR: c.csr, Life: c.life})
			if c.want != "" {
				if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("said %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			is := chain[0]
			if len(is.URIs) != 1 || is.URIs[0].String() != sleep.String() || len(is.DNSNames)+len(is.IPAddresses)+len(is.EmailAddresses) > 0 || is.Subject.String() != "" || is.IsCA {
				t.Errorf("it is for %v %v %v %v %q, CA %v", is.URIs, is.DNSNames, is.IPAddresses, is.EmailAddresses, is.Subject, is.IsCA)
			}
			if life := time.Until(is.NotAfter); life > MaxLife || life < MinLife-time.Second {
				t.Errorf("it is good for %v", life)
			}
			if err := verify(chain, a.Roots()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIdentities(t *testing.T) {
	for _, c := range []struct {
		text string
		good bool
	}{
		{"spiffe://cluster.local/ns/default/sa/sleep", true},
		{"spiffe://td.example_1/ns/a-b/sa/c.d", true},
		{"spiffe://cluster.local/ns/default/sa/", false},
		{"spiffe://cluster.local/ns//sa/sleep", false},
		{"spiffe:///ns/default/sa/sleep", false},
		{"spiffe://cluster.local/ns/default/sa/sleep/", false},
		{"spiffe://cluster.local/ns/default/sa/a/b", false},
		{"spiffe://cluster.local/ns/default/sa/a%2fb", false},
		{"spiffe://cluster.local/ns/default/sa/sleep?x", false},
		{"spiffe://cluster.local/ns/default/sa/sleep#x", false},
		{"spiffe://user@cluster.local/ns/default/sa/sleep", false},
		{"spiffe://cluster.local:1/ns/default/sa/sleep", false},
		{"spiffe://cluster.local/ns/Default/sa/sleep", false},
		{"SPIFFE://cluster.local/ns/default/sa/sleep", false},
		{"https://cluster.local/ns/default/sa/sleep", false},
		{"spiffe://cluster.local/ns/" + strings.Repeat("a", 64) + "/sa/sleep", false},
		{"spiffe://cluster.local/ns/default/sa/a\x00b", false},
		{"", false},
	} {
		i, err := ParseIdentity(c.text)
		if (err == nil) != c.good {
			t.Errorf("%q: %v", c.text, err)
		}
		if c.good && i.String() != c.text {
			t.Errorf("%q is written %q", c.text, i)
		}
	}
	a := open(t, store.NewMemory(), nil)
	for _, who := range []Identity{{"elsewhere", "default", "sleep"}, {"cluster.local", "default/sa/x", "sleep"}, {}} {
		if _, err := a.Issue(t.Context(), Request{Who: who, CSR: request(t, p256(t), x509.CertificateRequest{})}); err == nil {
			t.Errorf("%v got a certificate", who)
		}
	}
}

// TestReplicasShareARoot opens many at once over an empty store.
func TestReplicasShareARoot(t *testing.T) {
	s := store.NewMemory()
	var all sync.WaitGroup
	list := make([]*Authority, 8)
	for i := range list {
		all.Go(func() {
			a, err := Open(t.Context(), Options{Store: s, TrustDomain: "cluster.local"})
			if err != nil {
				t.Error(err)
				return
			}
			list[i] = a
		})
	}
	all.Wait()
	for _, a := range list {
		if a == nil || !a.Roots()[0].Equal(list[0].Roots()[0]) {
			t.Fatal("replicas have roots of their own")
		}
	}
}

// TestRotation lives through two changes of the root, with two replicas and peers that take up new roots only every Overlap and renew their
// certificates at half of their lives: nobody ever turns anybody down.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		one, other := open(t, s, nil), open(t, s, nil)
		run(t, one)
		run(t, other)
		synctest.Wait()
		first := one.Roots()[0]

		type peer struct {
			chain, roots []*x509.Certificate
			renew        time.Time
		}
		now := time.Now()
		peers := make([]*peer, 3)
		for i := range peers {
			peers[i] = &peer{}
		}
		signers := map[string]bool{}
		step := Overlap / 3
		for at := range 10 * 24 * 3 { // 10 days
			switch at {
			case 10:
				if err := one.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := other.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "on its way already") && !errors.Is(err, store.ErrConflict) {
					t.Errorf("a second root at once: %v", err)
				}
			case 360:
				if err := other.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			for i, p := range peers {
				from := one
				if i%2 == 1 {
					from = other
				}
				if at%3 == i { // each at another time, every Overlap
					p.roots = from.Roots()
				}
				if p.roots == nil {
					p.roots = from.Roots()
				}
				if !time.Now().Before(p.renew) {
					p.chain = issue(t, from, Identity{"cluster.local", "default", "peer"})
					p.renew = time.Now().Add(DefaultLife / 2)
					signers[p.chain[len(p.chain)-1].SerialNumber.String()] = true
				}
			}
			for i, p := range peers {
				for k, q := range peers {
					if err := verify(p.chain, q.roots); err != nil {
						t.Fatalf("after %v: peer %d turns down peer %d: %v", time.Since(now), k, i, err)
					}
				}
			}
			time.Sleep(step)
		}
		if len(signers) != 3 {
			t.Errorf("%d roots have signed, want 3", len(signers))
		}
		time.Sleep(MaxLife)
		synctest.Wait()
		for _, a := range []*Authority{one, other} {
			if roots := a.Roots(); len(roots) != 1 || roots[0].Equal(first) {
				t.Errorf("%d roots are trusted in the end", len(roots))
			}
		}
	})
}

// TestRootRenewsItself waits until the root grows old: another one follows, long before it ends, and only one though there are two replicas.
func TestRootRenewsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		one, other := open(t, s, nil), open(t, s, nil)
		run(t, one)
		run(t, other)
		first := one.Roots()[0]
		time.Sleep(rootLife * 3 / 4)
		synctest.Wait()
		if n := len(one.Roots()); n != 1 {
			t.Fatalf("%d roots at three quarters of its life", n)
		}
		time.Sleep(rootLife / 8)
		synctest.Wait()
		roots := one.Roots()
		if len(roots) != 1 || roots[0].Equal(first) || !roots[0].Equal(other.Roots()[0]) {
			t.Fatalf("%d roots at seven eighths", len(roots))
		}
		if err := verify(issue(t, other, sleep), roots); err != nil {
			t.Error(err)
		}
	})
}

func listed(t *testing.T, a *Authority) (serials []string) {
	t.Helper()
	for text := a.Lists(); ; {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return serials
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		signed := false
		for _, root := range a.Roots() {
			signed = signed || l.CheckSignatureFrom(root) == nil
		}
		if !signed || time.Now().After(l.NextUpdate) {
			t.Errorf("the list is signed %v, good until %v", signed, l.NextUpdate)
		}
		for _, e := range l.RevokedCertificateEntries {
			serials = append(serials, hex(e.SerialNumber))
		}
	}
}

// TestRevocation takes back what two replicas have issued.
func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		one, other := open(t, s, nil), open(t, s, nil)
		run(t, one)
		stop := run(t, other)
		mine, yours, kept := issue(t, one, sleep), issue(t, other, sleep), issue(t, one, Identity{"cluster.local", "default", "hello"})
		synctest.Wait()
		if got := one.Lists(); got != nil {
			t.Errorf("lists while nothing is revoked: %s", got)
		}
		if err := other.Revoke(t.Context(), Revocation{Identity: sleep.String(), Reason: "its key was lost", By: "a test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // no time passes: they know at once
		for _, a := range []*Authority{one, other} {
			got := strings.Join(listed(t, a), " ")
			for _, c := range [][]*x509.Certificate{mine, yours} {
				if !strings.Contains(got, hex(c[0].SerialNumber)) {
					t.Errorf("%x is not in the list: %s", c[0].SerialNumber, got)
				}
			}
			if strings.Contains(got, hex(kept[0].SerialNumber)) {
				t.Error("somebody else is in the list")
			}
			refusal := (*Refusal)(nil)
			if _, err := a.Issue(t.Context(), Request{Who: sleep, CSR: request(t, p256(t), x509.CertificateRequest{})}); !errors.As(err, &refusal) || !refusal.Revoked || !strings.Contains(err.Error(), "its key was lost") {
				t.Errorf("asked for another: %v", err)
			}
		}
		if err := one.Revoke(t.Context(), Revocation{Serial: hex(kept[0].SerialNumber)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := listed(t, other); len(got) != 3 {
			t.Errorf("in the list: %v", got)
		}
		// A replica that begins now knows all of it before anybody can ask, and of one that ends nothing is lost.
		stop()
		third := open(t, s, nil)
		refusal := (*Refusal)(nil)
		if _, err := third.Issue(t.Context(), Request{Who: sleep, CSR: request(t, p256(t), x509.CertificateRequest{})}); !errors.As(err, &refusal) || !refusal.Revoked {
			t.Errorf("a replica that has just begun: %v", err)
		}
		if got := listed(t, third); len(got) != 3 {
			t.Errorf("in the list of a replica that has just begun: %v", got)
		}
		run(t, third)
		synctest.Wait()
		if got := listed(t, third); len(got) != 3 {
			t.Errorf("in the list of a new replica: %v", got)
		}
		if err := one.Restore(t.Context(), sleep.String()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := listed(t, third); len(got) != 1 || got[0] != hex(kept[0].SerialNumber) {
			t.Errorf("in the list after it was restored: %v", got)
		}
		issue(t, third, sleep)
		// What has ended is forgotten, in the store, too.
		time.Sleep(DefaultLife + listAge + 2*sweeping)
		synctest.Wait()
		if list, err := s.List(t.Context(), issuedPrefix); err != nil || len(list) > 0 {
			t.Errorf("%d entries are kept, %v", len(list), err)
		}
		if one.ledger.mu.Lock(); len(one.ledger.issued)+len(one.ledger.known) > 0 {
			t.Errorf("%d identities are kept", len(one.ledger.issued))
		}
		one.ledger.mu.Unlock()
	})
}

// TestReplicasListTheSame has lists of replicas that began at different times be the same to the last byte, always: a proxy that goes from one to another is told nothing.
func TestReplicasListTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		all := []*Authority{open(t, s, nil)}
		run(t, all[0])
		numbers := map[string]bool{}
		same := func(what string) {
			t.Helper()
			synctest.Wait()
			for i, a := range all {
				if got := a.Lists(); len(got) == 0 || !bytes.Equal(got, all[0].Lists()) {
					t.Errorf("%s: the list of replica %d is another one", what, i)
				}
			}
			block, _ := pem.Decode(all[0].Lists())
			l, err := x509.ParseRevocationList(block.Bytes)
			if err != nil || l.ThisUpdate.After(time.Now()) || time.Until(l.NextUpdate) < listLife-2*listAge || numbers[l.Number.String()] != (what == "with another root") {
				t.Fatalf("%s: %v, number %v from %v to %v", what, err, l.Number, l.ThisUpdate, l.NextUpdate)
			}
			numbers[l.Number.String()] = true
		}
		issue(t, all[0], sleep)
		issue(t, all[0], Identity{"cluster.local", "default", "hello"})
		for i, who := range []Identity{sleep, {"cluster.local", "default", "hello"}} {
			time.Sleep(7 * time.Hour)
			if err := all[i].Revoke(t.Context(), Revocation{Identity: who.String(), Reason: "test"}); err != nil {
				t.Fatal(err)
			}
			all = append(all, open(t, s, nil))
			run(t, all[i+1])
			same("revoked " + who.ServiceAccount)
		}
		if err := all[1].Restore(t.Context(), sleep.String()); err != nil {
			t.Fatal(err)
		}
		same("restored")
		for day := range 3 {
			time.Sleep(listAge)
			all = append(all, open(t, s, nil))
			run(t, all[len(all)-1])
			same(fmt.Sprintf("after %d days", day+1))
			if err := all[0].Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(Overlap + time.Second)
			same("with another root")
		}
	})
}

func TestRevocationsRefused(t *testing.T) {
	a := open(t, store.NewMemory(), nil)
	for _, c := range []struct {
		r    Revocation
		want string
	}{
		{Revocation{}, "want an identity or a serial number"},
		{Revocation{Identity: sleep.String(), Serial: "1"}, "want an identity or a serial number"},
		{Revocation{Identity: "sleep"}, "want spiffe://"},
		{Revocation{Serial: "xyz"}, "want hexadecimal"},
		{Revocation{Serial: "-1"}, "want hexadecimal"},
		{Revocation{Serial: strings.Repeat("f", 41)}, "want hexadecimal"},
		{Revocation{Serial: "1", Reason: strings.Repeat("r", maxReason+1)}, "want at most"},
	} {
		if err := a.Revoke(t.Context(), c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	if err := a.Restore(t.Context(), sleep.String()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("restored what is not revoked: %v", err)
	}
}

// TestTokens uses each token once, whoever is asked, and in time.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		one, other := open(t, s, nil), open(t, s, nil)
		run(t, one)
		make := func() string {
			text, err := one.NewToken(t.Context(), sleep, DefaultTokenLife, "a test")
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		text := make()
		var all sync.WaitGroup
		var mu sync.Mutex
		got := 0
		for i := range 20 {
			all.Go(func() {
				a := one
				if i%2 == 0 {
					a = other
				}
				who, spend, err := a.Token(t.Context(), text)
				if err == nil && who == sleep && spend(t.Context()) == nil {
					mu.Lock()
					got++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if got != 1 {
			t.Errorf("a token was good %d times", got)
		}
		late := make()
		time.Sleep(DefaultTokenLife)
		if _, _, err := one.Token(t.Context(), late); !errors.Is(err, errNoToken) {
			t.Errorf("a late token: %v", err)
		}
		for _, text := range []string{"", tokenBegins, "weft-join-AAAA", strings.Repeat("x", 1<<20)} {
			if _, _, err := one.Token(t.Context(), text); !errors.Is(err, errNoToken) {
				t.Errorf("a token that nobody made: %v", err)
			}
		}
		make()
		if list, _ := s.List(t.Context(), tokensPrefix); len(list) != 2 || bytes.Contains(list[0].Value, []byte(tokenBegins)) {
			t.Errorf("in the store: %v", list)
		}
		time.Sleep(2 * sweeping)
		synctest.Wait()
		if list, _ := s.List(t.Context(), tokensPrefix); len(list) != 0 {
			t.Errorf("%d tokens are kept that nobody has used", len(list))
		}
		for _, life := range []time.Duration{0, -1, MaxTokenLife + 1} {
			if _, err := one.NewToken(t.Context(), sleep, life, ""); err == nil {
				t.Errorf("a token for %v", life)
			}
		}
	})
}

// failing is a store that fails when it is told to.
type failing struct {
	store.Store
	mu  sync.Mutex
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Put(ctx context.Context, key string, value []byte, was store.Revision) (store.Revision, error) {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return store.Absent, err
	}
	return f.Store.Put(ctx, key, value, was)
}

// TestLostStore gives nothing away that could not be written down, and goes on when the store is back.
func TestLostStore(t *testing.T) {
	s := &failing{Store: store.NewMemory()}
	a := open(t, s, nil)
	lost := errors.New("the disk is full")
	s.fail(lost)
	if _, err := a.Issue(t.Context(), Request{Who: sleep, CSR: request(t, p256(t), x509.CertificateRequest{})}); !errors.Is(err, lost) {
		t.Errorf("issued without a store: %v", err)
	}
	s.fail(nil)
	issue(t, a, sleep)
	if len(a.Roots()) != 1 {
		t.Error("the roots are gone")
	}
}

// BenchmarkIssue is what a certificate costs with its request's check, over a store in memory.
func BenchmarkIssue(b *testing.B) {
	a := open(b, store.NewMemory(), nil)
	csr := request(b, p256(b), x509.CertificateRequest{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Issue(b.Context(), Request{Who: sleep, CSR: csr}); err != nil {
				b.Error(err)
			}
		}
	})
}
