package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// maker makes certificates of authorities for a test.
type maker struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	is  *x509.Certificate
}

func (m *maker) under(name string, change func(*x509.Certificate)) *maker {
	m.t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte(name)}
	if change != nil {
		change(c)
	}
	n := &maker{t: m.t, key: p256(m.t)}
	up, by := c, crypto.Signer(n.key)
	if m.is != nil {
		up, by = m.is, m.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, up, n.key.Public(), by)
	if err != nil {
		m.t.Fatal(err)
	}
	if n.is, err = x509.ParseCertificate(der); err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *maker) secret(kind string) []byte {
	m.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(m.key)
	if kind == "EC PRIVATE KEY" {
		der, err = x509.MarshalECPrivateKey(m.key)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestPlugged reads authorities as Istio's users have them, and as they get them wrong.
func TestPlugged(t *testing.T) {
	none := &maker{t: t}
	root := none.under("root", nil)
	middle := root.under("middle", nil)
	own := middle.under("own", nil)
	other := none.under("other", nil)
	parameters := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")
	for _, c := range []struct {
		name                   string
		own, key, chain, roots []byte
		want                   string // empty: it is taken
		length                 int    // of the chain that is given with a certificate
	}{
		{"an intermediate, as Istio's tools write it", PEM(own.is), own.secret("PRIVATE KEY"), PEM(own.is, middle.is, root.is), PEM(root.is), "", 4},
		{"a chain without itself", PEM(own.is), own.secret("EC PRIVATE KEY"), PEM(middle.is), PEM(root.is), "", 4},
		{"a chain in any order", PEM(own.is), append(bytes.Clone(parameters), own.secret("EC PRIVATE KEY")...), PEM(root.is, middle.is, own.is), PEM(other.is, root.is), "", 4},
		{"the root itself", PEM(root.is), root.secret("PRIVATE KEY"), nil, PEM(root.is), "", 2},
		{"another's key", PEM(own.is), other.secret("PRIVATE KEY"), PEM(middle.is), PEM(root.is), "the key is not that of the certificate", 0},
		{"another root", PEM(own.is), own.secret("PRIVATE KEY"), PEM(middle.is), PEM(other.is), `is signed by "CN=root", which is not among the certificates of cert-chain.pem and root-cert.pem`, 0},
		{"a chain that is not whole", PEM(own.is), own.secret("PRIVATE KEY"), nil, PEM(root.is), `is signed by "CN=middle", which is not among`, 0},
		{"no authority", PEM(root.under("leaf", func(c *x509.Certificate) { c.IsCA = false }).is), own.secret("PRIVATE KEY"), nil, PEM(root.is), "the key is not that", 0},
		{"no key", PEM(own.is), []byte("none"), PEM(middle.is), PEM(root.is), "ca-key.pem: has no private key in PEM", 0},
		{"a key that is a certificate", PEM(own.is), PEM(own.is), PEM(middle.is), PEM(root.is), "is no private key", 0},
		{"no certificate", []byte("none"), own.secret("PRIVATE KEY"), nil, PEM(root.is), "ca-cert.pem: has no certificate in PEM", 0},
		{"two certificates", PEM(own.is, root.is), own.secret("PRIVATE KEY"), nil, PEM(root.is), "has 2 certificates", 0},
		{"a large root", PEM(own.is), own.secret("PRIVATE KEY"), nil, bytes.Repeat([]byte("#"), maxPlugged+1), "want at most", 0},
		{"no root", PEM(own.is), own.secret("PRIVATE KEY"), nil, nil, "root-cert.pem: no such file", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, text := range map[string][]byte{pluggedCertificate: c.own, pluggedKey: c.key, pluggedChain: c.chain, pluggedRoot: c.roots} {
				if text == nil {
					continue
				}
				if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := Open(t.Context(), Options{Store: store.NewMemory(), TrustDomain: "cluster.local", Folder: folder})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("said %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			chain := issue(t, a, sleep)
			if len(chain) != c.length {
				t.Errorf("the chain has %d certificates, want %d", len(chain), c.length)
			}
			if err := verify(chain, a.Roots()); err != nil {
				t.Error(err)
			}
			if chain[0].NotAfter.After(own.is.NotAfter) {
				t.Errorf("it outlives what has signed it")
			}
			if err := a.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "root-cert.pem") {
				t.Errorf("rotated: %v", err)
			}
		})
	}
	t.Run("it may not sign certificates", func(t *testing.T) {
		leaf := root.under("leaf", func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature })
		if _, err := newIssuer(leaf.key, []*x509.Certificate{leaf.is, root.is}); err == nil || !strings.Contains(err.Error(), "may not sign certificates") {
			t.Errorf("said %v", err)
		}
	})
	t.Run("it may not sign lists", func(t *testing.T) {
		mute := none.under("mute", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
		folder := t.TempDir()
		for name, text := range map[string][]byte{pluggedCertificate: PEM(mute.is), pluggedKey: mute.secret("PRIVATE KEY"), pluggedRoot: PEM(mute.is)} {
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a, err := Open(t.Context(), Options{Store: store.NewMemory(), TrustDomain: "cluster.local", Folder: folder})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Revoke(t.Context(), Revocation{Identity: sleep.String()}); err == nil || !strings.Contains(err.Error(), "cRLSign") {
			t.Errorf("revoked: %v", err)
		}
	})
}
