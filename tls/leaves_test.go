package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/weftmesh/weft/config"
	issuing "github.com/weftmesh/weft/test/authority"
)

// A client gets a certificate of the name that it asks for, of a kind that it can verify, and else the first.
func TestWhichCertificateIsShown(t *testing.T) {
	a := issuing.New(t, t.TempDir())
	made := func(c tls.Certificate) *config.Certificate { return &config.Certificate{Certificate: c} }
	all := []*config.Certificate{
		made(a.IssueRSA("first", []string{"first.test"})),
		made(a.IssueRSA("both-rsa", []string{"both.test"})),
		made(a.Issue("both-ecdsa", []string{"both.test", "more.test"}, nil)),
		made(a.Issue("wild", []string{"*.wild.test"}, nil)),
		made(a.Issue("exact", []string{"exact.wild.test"}, nil)),
		made(a.Issue("common.test", nil, nil)),
	}
	ecdsa := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	rsa := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	either := append(ecdsa, rsa...)
	schemes := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PKCS1WithSHA256}
	for _, c := range []struct {
		name   string
		suites []uint16
		plain  string // the certificate without a full scan, and with one
		scan   string
	}{
		{"first.test", either, "first", "first"},
		{"both.test", either, "both-ecdsa", "both-ecdsa"},
		{"both.test", ecdsa, "both-ecdsa", "both-ecdsa"},
		{"both.test", rsa, "both-rsa", "both-rsa"},
		{"BOTH.test", rsa, "both-rsa", "both-rsa"},
		{"more.test", either, "both-ecdsa", "both-ecdsa"},
		{"more.test", rsa, "both-ecdsa", "both-ecdsa"}, // there is no other of that name
		{"a.wild.test", either, "wild", "wild"},
		{"exact.wild.test", either, "exact", "exact"},
		{"a.b.wild.test", either, "first", "both-ecdsa"},
		{"wild.test", either, "first", "both-ecdsa"},
		{"common.test", either, "common.test", "common.test"},
		{"nobody.test", either, "first", "both-ecdsa"},
		{"nobody.test", rsa, "first", "first"},
		{"nobody.test", ecdsa, "first", "both-ecdsa"},
		{"", either, "both-ecdsa", "both-ecdsa"}, // who asks for no name takes any
		{"", rsa, "first", "first"},
	} {
		for _, scan := range []bool{false, true} {
			made := &compiled{leaves: newLeaves(all, &config.TLS{FullScan: scan})}
			got, err := made.choose(&tls.ClientHelloInfo{Conn: &newSession(&Context{store: NewStore(NewGate(1))}, made).pipe, ServerName: c.name, CipherSuites: c.suites, SupportedVersions: []uint16{tls.VersionTLS12}, SignatureSchemes: schemes,
				SupportedCurves: []tls.CurveID{tls.CurveP256}, SupportedPoints: []uint8{0}})
			want := c.plain
			if scan {
				want = c.scan
			}
			if err != nil || got.Leaf.Subject.CommonName != want {
				t.Errorf("%q with %x, full scan %t: %v, %v; want %s", c.name, c.suites, scan, got.Leaf.Subject, err, want)
			}
		}
	}
}

// A secret's demands come on top of those beside it, as protobuf merges messages.
func TestDemandsMerge(t *testing.T) {
	one, two := &x509.Certificate{Raw: []byte{1}}, &x509.Certificate{Raw: []byte{2}}
	own := &config.Validation{Roots: []*x509.Certificate{one}, Names: []config.NameMatch{exact(config.DNSName, "a")}, MaxDepth: 3, AllowExpired: true, Keys: [][32]byte{{1}}}
	secret := &config.Validation{Roots: []*x509.Certificate{two}, Names: []config.NameMatch{exact(config.DNSName, "b")}, MaxDepth: -1, HideRoots: true, Keys: [][32]byte{{2}}, Certificates: [][32]byte{{3}}}
	m := merge(own, secret)
	if len(m.Roots) != 1 || m.Roots[0] != two {
		t.Error("the secret's roots do not stand for those beside it")
	}
	if len(m.Names) != 2 || len(m.Keys) != 2 || len(m.Certificates) != 1 {
		t.Errorf("lists do not grow: %v %v %v", m.Names, m.Keys, m.Certificates)
	}
	if m.MaxDepth != 3 || !m.AllowExpired || !m.HideRoots || m.AcceptUntrusted {
		t.Errorf("%+v", m)
	}
	if len(own.Names) != 1 || len(own.Keys) != 1 || own.Roots[0] != one {
		t.Error("what is configured was written to")
	}
	if m := merge(own, &config.Validation{MaxDepth: 7}); m.Roots[0] != one || m.MaxDepth != 7 {
		t.Errorf("%+v", m)
	}
	if merge(nil, secret) != secret {
		t.Error("a secret alone is not what it says")
	}
}

// A context waits for its secrets: handshakes fail until all of them are there, and say which one is missing; a new one is in the next
// handshake, and what did not change is not made again.
func TestSecretsComeAndChange(t *testing.T) {
	a := issuing.New(t, t.TempDir())
	certificate := func(name string, hash byte) *config.Secret {
		return &config.Secret{Name: "shown", Hash: config.Hash{hash}, Certificate: &config.Certificate{Certificate: a.Issue(name, []string{name}, nil)}}
	}
	roots := &config.Secret{Name: "roots", Hash: config.Hash{9}, Validation: &config.Validation{Roots: []*x509.Certificate{a.Root}, MaxDepth: -1}}
	keys := &config.Secret{Name: "keys", Hash: config.Hash{10}, Tickets: &config.TicketKeys{Keys: make([][32]byte, 1)}}
	store := NewStore(NewGate(1))
	x := NewServer(&config.TLS{Require: true, Certificates: []config.CertificateSource{{Secret: config.SecretRef{Name: "shown"}}}, ValidationSecret: config.SecretRef{Name: "roots"}, TicketSecret: config.SecretRef{Name: "keys"}}, store)
	put := func(s ...*config.Secret) {
		all := map[string]*config.Secret{}
		for _, one := range s {
			all[one.Name] = one
		}
		store.Update(all)
	}
	fails := func(want string) {
		t.Helper()
		_, err := x.Server()
		var m *missingError
		if !errors.As(err, &m) || m.name != want {
			t.Errorf("got %v, want secret %q to be missing", err, want)
		}
	}
	fails("shown")
	put(certificate("a.test", 1))
	fails("roots")
	put(roots)
	fails("keys")
	put(&config.Secret{Name: "keys", Hash: config.Hash{11}, Validation: roots.Validation})
	fails("keys") // it is of another kind
	put(keys)
	shows := func(want string) {
		t.Helper()
		s, err := x.Server()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.made.leaves.all[0].Leaf.Subject.CommonName; got != want {
			t.Errorf("%s is shown, want %s", got, want)
		}
	}
	shows("a.test")
	first, _ := x.now()
	put(certificate("a.test", 1), roots, keys) // nothing is new
	if again, _ := x.now(); again != first {
		t.Error("the same secrets were compiled again")
	}
	put(certificate("b.test", 2))
	shows("b.test")
	put() // one that is not told of any more stays for who uses it
	shows("b.test")
	if n := len(store.Secrets()); n != 3 {
		t.Errorf("%d secrets, want 3", n)
	}
}

// Names without anybody to trust prove nothing, and a context that comes to that by its secret makes no connections.
func TestNamesWithoutRootsFailClosed(t *testing.T) {
	a := issuing.New(t, t.TempDir())
	c := &config.TLS{Certificates: inline(&config.Certificate{Certificate: a.Issue("a", nil, nil)}), ValidationSecret: config.SecretRef{Name: "s"},
		Validation: &config.Validation{Names: []config.NameMatch{exact(config.DNSName, "a")}, MaxDepth: -1}}
	for _, v := range []struct {
		secret config.Validation
		good   bool
	}{{config.Validation{}, false}, {config.Validation{Roots: []*x509.Certificate{a.Root}}, true}, {config.Validation{SystemRoots: true}, true}, {config.Validation{Keys: [][32]byte{{}}}, false}} {
		for _, server := range []bool{false, true} {
			err := Check(c, map[string]*config.Secret{"s": {Name: "s", Validation: &v.secret}}, server)
			if (err == nil) != v.good {
				t.Errorf("%+v, server %t: %v", v.secret, server, err)
			}
		}
	}
}
