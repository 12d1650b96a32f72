package e2e

import (
	"bufio"
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
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Authority issues certificates into a folder.
type Authority struct {
	Dir  string
	Root *x509.Certificate
	t    testing.TB
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority whose root is in the folder as ca.pem.
func NewAuthority(t testing.TB, dir string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{Dir: dir, t: t, key: key}
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.Root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return n
}

// write puts a file in its place at once, as whoever rotates does.
func (a *Authority) write(name, kind string, der []byte) {
	a.t.Helper()
	path := filepath.Join(a.Dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
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

// Issue issues a certificate for names, of which those with a scheme are URIs, as name.pem and name.key. change, which may be nil, has the
// last word on it.
func (a *Authority) Issue(name string, names []string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.issue(name, names, key, change)
}

// IssueRSA is Issue with a key of RSA with 2,048 bits.
func (a *Authority) IssueRSA(name string, names []string) tls.Certificate {
	a.t.Helper()
	return a.issue(name, names, rsaKey(), nil)
}

func (a *Authority) issue(name string, names []string, key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if !strings.Contains(n, "://") {
			c.DNSNames = append(c.DNSNames, n)
			continue
		}
		u, err := url.Parse(n)
		if err != nil {
			a.t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.Root, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "PRIVATE KEY", private)
	a.write(name+".pem", "CERTIFICATE", der)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Revoke writes the list of revoked certificates as name.
func (a *Authority) Revoke(name string, revoked ...*x509.Certificate) {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Root, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name, "X509 CRL", der)
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Root)
	return p
}

// Source is a certificate of the folder in YAML.
func (a *Authority) Source(name string) string {
	return "{certificate_chain: {filename: \"" + filepath.Join(a.Dir, name+".pem") + "\"}, private_key: {filename: \"" + filepath.Join(a.Dir, name+".key") + "\"}}"
}

// Trusts is a validation context, in YAML, that trusts the authority; more is more of it.
func (a *Authority) Trusts(more string) string {
	return "{trusted_ca: {filename: \"" + filepath.Join(a.Dir, "ca.pem") + "\"}, " + more + "}"
}

// DownstreamTLS is a transport socket of a filter chain in YAML: common is what is in common_tls_context, more what is beside it.
func DownstreamTLS(common, more string) string {
	return `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {` + common + "}, " + more + "}}"
}

// UpstreamTLS is one of a cluster.
func UpstreamTLS(common, more string) string {
	return `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {` + common + "}, " + more + "}}"
}

// Secured puts a transport socket into the one filter chain of a listener in YAML.
func Secured(listener, socket string) string {
	before, after, ok := strings.Cut(listener, "  - filters:\n")
	if !ok {
		panic("there is no filter chain")
	}
	return before + "  - " + socket + "\n    filters:\n" + after
}

// DialTLS connects to an address and shakes hands; the test fails if that does.
func DialTLS(t testing.TB, address string, c *tls.Config) *Conn {
	t.Helper()
	conn, err := TryTLS(t, address, c)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TryTLS is DialTLS for a handshake that may fail. A server of TLS 1.3 that refuses a client's certificate says so to the first who reads.
func TryTLS(t testing.TB, address string, c *tls.Config) (*Conn, error) {
	t.Helper()
	plain := Dial(t, address)
	secure := tls.Client(plain.Conn, c)
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	return wrap(t, secure), nil
}

// OverTLS serves connections that speak TLS.
func OverTLS(c *tls.Config, f func(*Upstream, *Conn)) func(*Upstream, *Conn) {
	return func(u *Upstream, plain *Conn) {
		secure := tls.Server(plain.Conn, c)
		if secure.Handshake() == nil {
			f(u, &Conn{Conn: secure, r: bufio.NewReader(secure), t: plain.t})
		}
		secure.Close()
	}
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
