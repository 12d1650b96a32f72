package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
)

// authority issues certificates for tests.
type authority struct {
	t    testing.TB
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.root = a.sign(c, c, key)
	return a
}

func (a *authority) sign(c, by *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed
}

// leaf issues a certificate with the names that change gives it.
func (a *authority) leaf(change func(*x509.Certificate)) *config.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	parsed := a.sign(c, a.root, key)
	return &config.Certificate{Certificate: tls.Certificate{Certificate: [][]byte{parsed.Raw}, PrivateKey: key, Leaf: parsed}}
}

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func spiffe(id string) func(*x509.Certificate) {
	u, err := url.Parse(id)
	if err != nil {
		panic(err)
	}
	return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
}

func inline(c ...*config.Certificate) (list []config.CertificateSource) {
	for _, one := range c {
		list = append(list, config.CertificateSource{Value: one})
	}
	return list
}

// shake does a handshake between two sessions. What either sends reaches the other in pieces of step bytes, or whole if that is 0.
func shake(t testing.TB, client, server *Session, step int) (atClient, atServer error) {
	t.Helper()
	news := make(chan struct{}, 1000)
	notify := func() { news <- struct{}{} }
	client.Begin(nil, notify)
	begun := false
	var done [2]bool
	errs := [2]error{}
	sides := [2]*Session{client, server}
	for !done[0] || !done[1] {
		select {
		case <-news:
		case <-time.After(time.Minute):
			t.Fatal("the handshake stands still")
		}
		for i, s := range sides {
			if done[i] || i == 1 && !begun {
				continue
			}
			var out []byte
			out, done[i], errs[i] = s.Take(nil)
			if done[i] && errs[i] != nil && !done[1-i] && len(out) == 0 {
				sides[1-i].Abort()
			}
			for len(out) > 0 {
				n := len(out)
				if step > 0 {
					n = min(step, n)
				}
				switch other := sides[1-i]; {
				case i == 0 && !begun:
					begun = true
					other.Begin(out[:n], notify)
				case done[1-i]:
					other.pipe.in = append(other.pipe.in, out[:n]...)
				default:
					other.Feed(out[:n])
				}
				out = out[n:]
			}
			if done[i] && errs[i] != nil && !done[1-i] && begun {
				sides[1-i].Abort()
			}
		}
	}
	return errs[0], errs[1]
}

func sessions(t testing.TB, client, server *config.TLS) (*Session, *Session) {
	t.Helper()
	store := NewStore(NewGate(2))
	c, err := NewClient(client, store).Client(Ask{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(server, store).Server()
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// What the whole of TLS on loops stands on: a connection that has nothing to read says so by a temporary error, and goes on when more
// comes, wherever a record was cut. A crypto/tls that minds fails here.
func TestTemporaryErrorsAreForgiven(t *testing.T) {
	a := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := sessions(t,
			&config.TLS{MinVersion: version, MaxVersion: version},
			&config.TLS{MinVersion: version, MaxVersion: version, Certificates: inline(a.leaf(named("x")))})
		if c, s := shake(t, client, server, 0); c != nil || s != nil {
			t.Fatal(c, s)
		}
		text := bytes.Repeat([]byte("to be cut "), 5000)
		for _, to := range [][2]*Session{{client, server}, {server, client}} {
			sealed, err := to[0].Seal(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for i := 0; i < len(sealed); {
				n := min(1+i%7919, len(sealed)-i)
				plain, _, err := to[1].Open(nil, sealed[i:i+n])
				if err != nil {
					t.Fatalf("version %x, byte %d: %v", version, i, err)
				}
				got, i = append(got, plain...), i+n
			}
			if !bytes.Equal(got, text) {
				t.Errorf("version %x: %d bytes arrived of %d, or others", version, len(got), len(text))
			}
		}
		_, _, err := server.Open(nil, client.CloseNotify(nil))
		if !errors.Is(err, ErrClosed) {
			t.Errorf("version %x: at the end: %v", version, err)
		}
		sealed, err := server.Seal(nil, []byte("still"))
		if err != nil {
			t.Errorf("version %x: after the peer's end: %v", version, err)
		}
		if plain, _, err := client.Open(nil, sealed); string(plain) != "still" || err != nil {
			t.Errorf("version %x: after our end: %q, %v", version, plain, err)
		}
	}
}

// What crypto/tls reads through costs it a small allocation for each record.
func TestRecordsAllocateLittle(t *testing.T) {
	a := newAuthority(t)
	client, server := sessions(t, &config.TLS{}, &config.TLS{Certificates: inline(a.leaf(named("x")))})
	if c, s := shake(t, client, server, 0); c != nil || s != nil {
		t.Fatal(c, s)
	}
	text := make([]byte, 1024)
	sealed, plain := make([]byte, 0, 64<<10), make([]byte, 0, 64<<10)
	n := testing.AllocsPerRun(1000, func() {
		out, _ := client.Seal(sealed, text)
		got, _, err := server.Open(plain, out)
		if err != nil || len(got) != len(text) {
			t.Fatal(len(got), err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations for each record, want 1 at most", n)
	}
}
