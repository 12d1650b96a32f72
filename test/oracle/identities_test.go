package oracle

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/weftmesh/weft/test/authority"
)

// identities are the certificates of both sides, by name. They are files in each one's folder, and so are lists of those that are revoked
// and keys of tickets.
type identities struct {
	*authority.Authority
	of map[string]tls.Certificate
}

func issue(t *testing.T) *identities {
	a := authority.New(t, t.TempDir())
	k := &identities{a, map[string]tls.Certificate{}}
	// Servers. Of some names there are two.
	k.of["front"] = a.Issue("front", []string{"front.test"}, nil)
	k.of["rsa"] = a.IssueRSA("rsa", []string{"front.test"})
	k.of["wild"] = a.Issue("wild", []string{"*.wild.test"}, nil)
	k.of["exact"] = a.IssueRSA("exact", []string{"exact.wild.test"})
	k.of["common"] = a.Issue("common.test", nil, nil)
	k.of["server"] = a.Issue("server", []string{"server.test", "spiffe://td/server"}, nil)
	// Clients.
	k.of["client"] = a.Issue("client", []string{"client.test", "spiffe://td/client", "client@td.test", "10.1.2.3"}, nil)
	k.of["star"] = a.Issue("star", []string{"*.clients.test", "spiffe://other/client"}, nil)
	k.of["upper"] = a.Issue("upper", []string{"Client.TEST", "spiffe://TD/client"}, nil)
	k.of["twice"] = a.Issue("twice", []string{"spiffe://td/client", "spiffe://td/other"}, nil)
	k.of["nameless"] = a.Issue("nameless", nil, nil)
	k.of["other-name"] = a.Issue("other-name", nil, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{otherNamed("client")} })
	k.of["full"] = a.Issue("full", []string{"full.test", "*.full.test", "spiffe://td/full", "urn:full:2", "full@td.test", "10.1.2.3", "::1"}, func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(0x123)
		c.Subject = pkix.Name{Country: []string{"DE"}, Organization: []string{"Caf\u00e9, Inc."}, OrganizationalUnit: []string{"a+b", "#c"}, SerialNumber: "7", CommonName: " full ",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 13}, Value: "d"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 41}, Value: "n"}, {Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "x"}}}
	})
	k.of["revoked"] = a.Issue("revoked", []string{"client.test", "spiffe://td/client"}, nil)
	k.of["ended"] = a.Issue("ended", []string{"client.test", "spiffe://td/client"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	k.of["early"] = a.Issue("early", []string{"client.test", "spiffe://td/client"}, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(30*time.Minute), time.Now().Add(45*time.Minute)
	})
	k.of["for-servers"] = a.Issue("for-servers", []string{"client.test", "spiffe://td/client"}, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	k.of["for-nothing"] = a.Issue("for-nothing", []string{"client.test", "spiffe://td/client"}, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	k.of["issuer"] = a.Issue("issuer", []string{"client.test", "spiffe://td/client"}, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	})
	mid := a.Under("mid", nil)
	k.of["deep"] = mid.Issue("deep", []string{"client.test", "spiffe://td/client"}, nil)
	k.of["deeper"] = mid.Under("low", nil).Issue("deeper", []string{"client.test", "spiffe://td/client"}, nil)
	lost := k.of["deep"]
	lost.Certificate = lost.Certificate[:1]
	k.of["lost"] = lost // without what is between it and the root
	k.of["late-mid"] = a.Under("late", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Issue("late-mid", []string{"client.test", "spiffe://td/client"}, nil)
	k.of["bound"] = a.Under("binding", func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"allowed.test"}, true
	}).Issue("bound", []string{"client.test", "spiffe://td/client"}, nil)
	sealed, err := x509.MarshalPKCS8PrivateKey(k.of["rsa"].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := x509.EncryptPEMBlock(rand.Reader, "PRIVATE KEY", sealed, []byte("secret"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	a.Write("rsa-sealed.key", pem.EncodeToMemory(block))
	store, err := pkcs12.Modern.Encode(k.of["rsa"].PrivateKey, k.of["rsa"].Leaf, nil, "secret")
	if err != nil {
		t.Fatal(err)
	}
	a.Write("rsa.p12", store)
	a.Staple("staple", k.of["front"].Leaf, time.Now().Add(time.Hour))
	a.Staple("ended-staple", k.of["front"].Leaf, time.Now().Add(-time.Hour))
	a.Revoke("none-crl.pem")
	a.Revoke("crl.pem", k.of["revoked"].Leaf)
	mid.Revoke("mid-crl.pem")
	if err := os.Mkdir(filepath.Join(a.Dir, "stranger"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := authority.Named(t, filepath.Join(a.Dir, "stranger"), "stranger's root")
	k.of["stranger"] = b.Issue("stranger", []string{"client.test", "spiffe://td/client"}, nil)
	k.of["strange"] = b.Issue("strange", []string{"server.test"}, nil)
	a.Write("tickets", []byte(strings.Repeat("k", 80)))
	return k
}

// otherNamed is a subjectAltName of the kind 1.2.3.
func otherNamed(text string) pkix.Extension {
	must := func(b []byte, err error) []byte {
		if err != nil {
			panic(err)
		}
		return b
	}
	wrap := func(b []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: b}
	}
	value := must(asn1.Marshal(wrap(must(asn1.MarshalWithParams(text, "utf8")))))
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must(asn1.Marshal([]asn1.RawValue{wrap(append(must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 3})), value...))}))}
}

// copy puts the files into a side's folder, which its configuration names.
func (k *identities) copy(folder string) {
	if err := os.CopyFS(folder, os.DirFS(k.Dir)); err != nil {
		panic(err)
	}
}

// servers are upstreams that speak TLS.
func (k *identities) servers() map[string]*tls.Config {
	one := func(name string) []tls.Certificate { return []tls.Certificate{k.of[name]} }
	return map[string]*tls.Config{
		"secure":   {Certificates: one("server"), NextProtos: []string{"http/1.1"}},
		"either":   {Certificates: one("server"), NextProtos: []string{"h2", "http/1.1"}},
		"strange":  {Certificates: one("strange")},
		"thirteen": {Certificates: one("server"), MinVersion: tls.VersionTLS13},
		"mutual":   {Certificates: one("server"), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: k.Pool()},
	}
}

// fill puts in the sums of certificates, as validation contexts write them: @whole-NAME@ and @key-NAME@.
func (k *identities) fill(text string) string {
	for name, c := range k.of {
		whole, key := sha256.Sum256(c.Leaf.Raw), sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo)
		text = strings.NewReplacer("@whole-"+name+"@", hex.EncodeToString(whole[:]), "@key-"+name+"@", base64.StdEncoding.EncodeToString(key[:])).Replace(text)
	}
	return text
}

// meeting is how a client of TLS shakes hands.
type meeting struct {
	name     string   // that it asks for
	shows    string   // its own certificate
	low, top uint16   // versions; 0: as crypto/tls does
	suites   []uint16 // of TLS 1.2
	curves   []tls.CurveID
	offers   []string // protocols
	keep     string   // a name under which sessions are kept for the scenario, and resumed; empty: none is
}

// shake shakes hands and tells of it; nil: there is no connection.
func (m *meeting) shake(c net.Conn, k *identities, sessions tls.ClientSessionCache) (net.Conn, string) {
	hinted := "nobody asks for a certificate"
	conf := &tls.Config{ServerName: m.name, InsecureSkipVerify: true, MinVersion: m.low, MaxVersion: m.top, CipherSuites: m.suites, CurvePreferences: m.curves, NextProtos: m.offers,
		ClientSessionCache: sessions,
		GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			hinted = fmt.Sprintf("%d authorities are asked for", len(r.AcceptableCAs))
			own := k.of[m.shows]
			return &own, nil
		}}
	secure := tls.Client(c, conf)
	if err := secure.Handshake(); err != nil {
		return nil, "no handshake: " + ending(err)
	}
	state := secure.ConnectionState()
	return secure, agreement(&state) + ", " + hinted
}

// agreement tells what was agreed on.
func agreement(s *tls.ConnectionState) string {
	peer := "nobody"
	if len(s.PeerCertificates) > 0 {
		peer = s.PeerCertificates[0].Subject.CommonName
	}
	return fmt.Sprintf("%s %s %s %q, resumed %t, with %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID, s.NegotiatedProtocol, s.DidResume, peer)
}
