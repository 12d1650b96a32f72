package tls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	issuing "github.com/weftmesh/weft/test/authority"
)

func TestChecks(t *testing.T) {
	a := issuing.New(t, t.TempDir())
	b := issuing.Named(t, t.TempDir(), "root") // whose name is the same
	names := []string{"client.test", "spiffe://td/client"}
	ended := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	purpose := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	mid := a.Under("mid", nil)
	low := mid.Under("low", nil)
	client, revoked := a.Issue("client", names, nil), a.Issue("revoked", names, nil)
	deep, deeper := mid.Issue("deep", names, nil), low.Issue("deeper", names, nil)
	deepRevoked := mid.Issue("deep-revoked", names, nil)
	lone := deep
	lone.Certificate = lone.Certificate[:1]
	list := func(der []byte) *x509.RevocationList {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	hour := time.Now().Add(time.Hour)
	ofRoot, ofRootNone := list(a.Revocations(hour, revoked.Leaf)), list(a.Revocations(hour))
	ofMid, ofMidNone := list(mid.Revocations(hour, deepRevoked.Leaf)), list(mid.Revocations(hour))
	midIsRevoked, stale, forged := list(a.Revocations(hour, mid.Root)), list(a.Revocations(time.Now().Add(-time.Minute))), list(b.Revocations(hour))
	trusting := func(change func(*config.Validation)) *config.Validation {
		v := &config.Validation{Roots: []*x509.Certificate{a.Root}, MaxDepth: -1}
		if change != nil {
			change(v)
		}
		return v
	}
	only := func(l ...*x509.RevocationList) *config.Validation {
		return trusting(func(v *config.Validation) { v.Revoked = l })
	}
	leafOnly := func(l ...*x509.RevocationList) *config.Validation {
		return trusting(func(v *config.Validation) { v.Revoked, v.RevokedLeafOnly = l, true })
	}
	depth := func(n int) *config.Validation { return trusting(func(v *config.Validation) { v.MaxDepth = n }) }
	expired := trusting(func(v *config.Validation) { v.AllowExpired = true })
	untrusted := trusting(func(v *config.Validation) { v.AcceptUntrusted = true })
	untrustedNamed := trusting(func(v *config.Validation) {
		v.AcceptUntrusted, v.Names = true, []config.NameMatch{exact(config.DNSName, "other.test")}
	})
	whole, key := sha256.Sum256(client.Leaf.Raw), sha256.Sum256(client.Leaf.RawSubjectPublicKeyInfo)
	pinned := func(keys, certificates [][32]byte) *config.Validation {
		return trusting(func(v *config.Validation) { v.Keys, v.Certificates = keys, certificates })
	}
	domains := &config.Validation{MaxDepth: -1, Domains: map[string][]*x509.Certificate{"td": {a.Root}, "other": {b.Root}}}
	const good = RefusalKind(99)
	for _, c := range []struct {
		what string
		v    *config.Validation
		leaf tls.Certificate
		want RefusalKind
	}{
		{"nothing is asked", nil, b.Issue("x", names, nil), good},
		{"an empty context", &config.Validation{MaxDepth: -1}, b.Issue("x", names, ended), good},
		{"ours", trusting(nil), client, good},
		{"another's of the same name", trusting(nil), b.Issue("x", names, nil), BadChain},
		{"through one", trusting(nil), deep, good},
		{"through two", trusting(nil), deeper, good},
		{"what is between is missing", trusting(nil), lone, BadChain},
		{"ended", trusting(nil), a.Issue("x", names, ended), BadChain},
		{"not begun", trusting(nil), a.Issue("x", names, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), BadChain},
		{"an issuer has ended", trusting(nil), a.Under("late", ended).Issue("x", names, nil), BadChain},
		{"an issuer is none", trusting(nil), a.Under("no", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }).Issue("x", names, nil), BadChain},
		{"an issuer may issue no issuers", trusting(nil), a.Under("zero", func(c *x509.Certificate) { c.MaxPathLenZero = true }).Under("one", nil).Issue("x", names, nil), BadChain},
		{"an issuer may not name it", trusting(nil), a.Under("bound", func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.test"}, true
		}).Issue("x", names, nil), BadChain},
		{"an issuer may name it", trusting(nil), a.Under("bound", func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"client.test"}, true
		}).Issue("x", names, nil), good},
		{"for servers", trusting(nil), a.Issue("x", names, purpose(x509.ExtKeyUsageServerAuth)), BadChain},
		{"for signing code", trusting(nil), a.Issue("x", names, purpose(x509.ExtKeyUsageCodeSigning)), BadChain},
		{"for anything", trusting(nil), a.Issue("x", names, purpose(x509.ExtKeyUsageAny)), good},
		{"for nothing said", trusting(nil), a.Issue("x", names, purpose()), good},

		{"depth 0", depth(0), client, good},
		{"depth 0 through one", depth(0), deep, BadChain},
		{"depth 1 through one", depth(1), deep, BadChain},
		{"depth 2 through one", depth(2), deep, good},
		{"depth 2 through two", depth(2), deeper, BadChain},
		{"depth 3 through two", depth(3), deeper, good},

		{"ended is allowed", expired, a.Issue("x", names, ended), good},
		{"an ended issuer is allowed", expired, a.Under("late", ended).Issue("x", names, nil), good},
		{"ended and another's", expired, b.Issue("x", names, ended), BadChain},
		{"ended and for servers", expired, a.Issue("x", names, func(c *x509.Certificate) { ended(c); purpose(x509.ExtKeyUsageServerAuth)(c) }), BadChain},
		{"anybody", untrusted, b.Issue("x", names, nil), good},
		{"anybody, of a name", untrustedNamed, b.Issue("x", names, nil), BadName},

		{"on no list", only(ofRoot), client, good},
		{"on the list", only(ofRoot), revoked, BadChain},
		{"on an empty list", only(ofRootNone), revoked, good},
		{"on the list, and ended lists are no excuse", only(stale), client, BadChain},
		{"a list that another has made in its name", only(forged), client, BadChain},
		{"no list of one issuer", only(ofRoot), deep, BadChain},
		{"no list of the other issuer", only(ofMid), deep, BadChain},
		{"lists of both", only(ofRootNone, ofMid), deep, good},
		{"on the second list", only(ofRootNone, ofMid), deepRevoked, BadChain},
		{"the issuer is on the list", only(midIsRevoked, ofMidNone), deep, BadChain},
		{"leaf only: the list of its issuer", leafOnly(ofMid), deep, good},
		{"leaf only: on it", leafOnly(ofMid), deepRevoked, BadChain},
		{"leaf only: the issuer is on the list", leafOnly(midIsRevoked, ofMidNone), deep, good},
		{"leaf only: no list of its issuer", leafOnly(ofRoot), deep, BadChain},

		{"its sum", pinned(nil, [][32]byte{{}, whole}), client, good},
		{"its key's sum", pinned([][32]byte{key}, nil), client, good},
		{"either sum", pinned([][32]byte{key}, [][32]byte{{}}), client, good},
		{"another sum", pinned([][32]byte{{}}, [][32]byte{{}}), client, BadHash},
		{"the sums are of the other kind", pinned([][32]byte{whole}, [][32]byte{key}), client, BadHash},
		{"its sum, and another's root", pinned(nil, [][32]byte{sha256.Sum256(b.Root.Raw)}), b.Issue("x", names, nil), BadChain},

		{"its trust domain", domains, client, good},
		{"another trust domain's root", domains, b.Issue("x", names, nil), BadChain},
		{"the other trust domain", domains, b.Issue("x", []string{"spiffe://other/x"}, nil), good},
		{"our root, and the other trust domain", domains, a.Issue("x", []string{"spiffe://other/x"}, nil), BadChain},
		{"a trust domain that nobody knows", domains, a.Issue("x", []string{"spiffe://nobody/x"}, nil), BadChain},
		{"trust domains have case", domains, a.Issue("x", []string{"spiffe://TD/x"}, nil), BadChain},
		{"no trust domain", domains, a.Issue("x", []string{"client.test"}, nil), BadChain},
		{"two identities", domains, a.Issue("x", []string{"spiffe://td/a", "spiffe://td/b"}, nil), BadChain},
		{"an issuer's identity", domains, a.Issue("x", []string{"spiffe://td/a"}, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), BadChain},
	} {
		t.Run(c.what, func(t *testing.T) {
			state := tls.ConnectionState{}
			for _, der := range c.leaf.Certificate {
				parsed, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				state.PeerCertificates = append(state.PeerCertificates, parsed)
			}
			var checks *checks
			if c.v != nil {
				checks = newChecks(c.v, true)
			}
			err := checks.check(&state, false)
			var refusal *Refusal
			switch {
			case c.want == good && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != good && !errors.As(err, &refusal):
				t.Errorf("got %v, want a refusal", err)
			case c.want != good && refusal.Kind != c.want:
				t.Errorf("refused as %d, want %d: %v", refusal.Kind, c.want, err)
			}
		})
	}
	if err := newChecks(trusting(nil), true).check(&tls.ConnectionState{}, false); err == nil {
		t.Error("no certificate is good")
	}
}

// A client of ours looks at the name that it has asked for.
func TestServersAreCalledByName(t *testing.T) {
	u, _ := url.Parse("spiffe://server.test/x")
	for _, c := range []struct {
		asked string
		leaf  x509.Certificate
		good  bool
	}{
		{"server.test", x509.Certificate{DNSNames: []string{"server.test"}}, true},
		{"a.server.test", x509.Certificate{DNSNames: []string{"*.server.test"}}, true},
		{"a.b.server.test", x509.Certificate{DNSNames: []string{"*.server.test"}}, false},
		{"server.test", x509.Certificate{DNSNames: []string{"other.test"}}, false},
		{"server.test", x509.Certificate{URIs: []*url.URL{u}}, false},
		{"", x509.Certificate{DNSNames: []string{""}}, false},
	} {
		var none *checks
		err := none.check(&tls.ConnectionState{ServerName: c.asked, PeerCertificates: []*x509.Certificate{&c.leaf}}, true)
		if (err == nil) != c.good {
			t.Errorf("%q of %v: %v", c.asked, allNames(&c.leaf), err)
		}
	}
}
