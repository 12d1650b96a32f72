package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Authority issues certificates into a folder. All of them are good for an hour.
type Authority struct {
	Dir  string
	Root *x509.Certificate // its own certificate, which is a root if it is under nobody
	t    testing.TB
	key  *ecdsa.PrivateKey
	up   [][]byte // the certificates between what it issues and the root
}

// New makes an authority whose root is in the folder as ca.pem.
func New(t testing.TB, dir string) *Authority {
	t.Helper()
	return Named(t, dir, "root")
}

// Named is New for a root of that name. Clients look for a certificate of a root whose name a server has told them.
func Named(t testing.TB, dir, name string) *Authority {
	t.Helper()
	a := &Authority{Dir: dir, t: t, key: Curve(t, elliptic.P256())}
	c := issuer(name)
	a.Root = a.sign(c, c, a.key.Public(), a.key)
	a.write("ca.pem", "CERTIFICATE", a.Root.Raw)
	return a
}

// Under makes an authority whose certificate this one has issued, and that stands, as name.pem, in the same folder. What it issues comes with
// the chain. change, which may be nil, has the last word on its certificate.
func (a *Authority) Under(name string, change func(*x509.Certificate)) *Authority {
	a.t.Helper()
	c := issuer(name)
	if change != nil {
		change(c)
	}
	u := &Authority{Dir: a.Dir, t: a.t, key: Curve(a.t, elliptic.P256())}
	u.Root = a.sign(c, a.Root, u.key.Public(), a.key)
	u.up = append([][]byte{u.Root.Raw}, a.up...)
	a.write(name+".pem", "CERTIFICATE", u.Root.Raw)
	return u
}

func issuer(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return n
}

func (a *Authority) sign(c, by *x509.Certificate, key crypto.PublicKey, with crypto.Signer) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, with)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed
}

// write puts a file in its place at once, as whoever rotates does.
func (a *Authority) write(name, kind string, blocks ...[]byte) {
	a.t.Helper()
	var b bytes.Buffer
	for _, der := range blocks {
		pem.Encode(&b, &pem.Block{Type: kind, Bytes: der})
	}
	a.Write(name, b.Bytes())
}

// Write puts a file into the folder, in its place at once.
func (a *Authority) Write(name string, text []byte) {
	a.t.Helper()
	path := filepath.Join(a.Dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}

// rsaKey is one for all tests: to make one takes longer than most of them.
var rsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// Curve makes a key on a curve.
func Curve(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Issue issues a certificate for names, of which those with a scheme are URIs, those with an @ are of mail and numbers are addresses, as
// name.pem and name.key. change, which may be nil, has the last word on it.
func (a *Authority) Issue(name string, names []string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	return a.IssueFor(Curve(a.t, elliptic.P256()), name, names, change)
}

// IssueRSA is Issue with a key of RSA with 2,048 bits.
func (a *Authority) IssueRSA(name string, names []string) tls.Certificate {
	a.t.Helper()
	return a.IssueFor(rsaKey(), name, names, nil)
}

// IssueFor is Issue with a key that there is.
func (a *Authority) IssueFor(key crypto.Signer, name string, names []string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		switch ip := net.ParseIP(n); {
		case strings.Contains(n, "://"):
			u, err := url.Parse(n)
			if err != nil {
				a.t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		case ip != nil:
			c.IPAddresses = append(c.IPAddresses, ip)
		case strings.Contains(n, "@"):
			c.EmailAddresses = append(c.EmailAddresses, n)
		default:
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	if change != nil {
		change(c)
	}
	leaf := a.sign(c, a.Root, key.Public(), a.key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	chain := append([][]byte{leaf.Raw}, a.up...)
	a.write(name+".key", "PRIVATE KEY", private)
	a.write(name+".pem", "CERTIFICATE", chain...)
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
}

// Revoke writes the list of revoked certificates as name.
func (a *Authority) Revoke(name string, revoked ...*x509.Certificate) {
	a.t.Helper()
	a.write(name, "X509 CRL", a.Revocations(time.Now().Add(time.Hour), revoked...))
}

// Revocations is a list of revoked certificates that is good until then.
func (a *Authority) Revocations(until time.Time, revoked ...*x509.Certificate) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: until}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Root, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Root)
	return p
}

// Source is a certificate of the folder in YAML.
func (a *Authority) Source(name string) string { return Source(a.Dir, name) }

// Source is a certificate of a folder in YAML.
func Source(dir, name string) string {
	return "{certificate_chain: {filename: \"" + filepath.Join(dir, name+".pem") + "\"}, private_key: {filename: \"" + filepath.Join(dir, name+".key") + "\"}}"
}

// Trusts is a validation context, in YAML, that trusts the authority; more is more of it.
func (a *Authority) Trusts(more string) string {
	return "{trusted_ca: {filename: \"" + filepath.Join(a.Dir, "ca.pem") + "\"}, " + more + "}"
}

// Staple writes an OCSP response that a certificate is good, until then, as name.
func (a *Authority) Staple(name string, c *x509.Certificate, until time.Time) {
	a.t.Helper()
	der, err := ocsp.CreateResponse(a.Root, a.Root, ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: until.Add(-24 * time.Hour), NextUpdate: until}, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.Dir, name), der, 0o600); err != nil {
		a.t.Fatal(err)
	}
}
