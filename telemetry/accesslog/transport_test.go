package accesslog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// spoken is a Transport that has all to tell.
type spoken struct {
	version, cipher, group string
	peer                   []*x509.Certificate
	issuer, own            *x509.Certificate
}

func (s *spoken) Suite() uint16                           { return 0x1301 }
func (s *spoken) Agreed() (version, cipher, group string) { return s.version, s.cipher, s.group }
func (s *spoken) AskedName() string                       { return "server.test" }
func (s *spoken) Verified() bool                          { return true }
func (s *spoken) Peer() []*x509.Certificate               { return s.peer }
func (s *spoken) Issuer() *x509.Certificate               { return s.issuer }
func (s *spoken) Own() *x509.Certificate                  { return s.own }
func (s *spoken) Name(raw []byte) string                  { return fmt.Sprintf("name of %d bytes", len(raw)) }
func (s *spoken) OtherNames(c *x509.Certificate) []string { return []string{"one", "two"} }

func issued(t *testing.T, serial int64, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Unix(1000, 0), NotAfter: time.Unix(1700000000, 0)}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestTransports(t *testing.T) {
	leaf := issued(t, 0x123, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "td", Path: "/a"}, {Scheme: "spiffe", Host: "td", Path: "/b"}}
		c.DNSNames, c.EmailAddresses = []string{"a.test", "*.b.test"}, []string{"a@b.test"}
		c.IPAddresses = []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("::1")}
		c.Subject = pkix.Name{CommonName: "leaf"}
	})
	above := issued(t, 5, func(*x509.Certificate) {})
	bare := &spoken{version: "TLSv1.3", own: above}
	full := &spoken{version: "TLSv1.2", cipher: "C", group: "G", peer: []*x509.Certificate{leaf, above}, issuer: above, own: leaf}
	sum, sum1 := func(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }, func(c *x509.Certificate) string { return fmt.Sprintf("%x", sha1.Sum(c.Raw)) }
	name := fmt.Sprintf("name of %d bytes", len(leaf.RawSubject))
	for _, c := range []struct{ operator, full, bare string }{ // of either side, where X_ stands
		{"X_TLS_VERSION", "TLSv1.2", "TLSv1.3"},
		{"X_TLS_CIPHER", "C", "-"},
		{"X_TLS_GROUP", "G", "-"},
		{"X_TLS_SESSION_ID", "-", "-"},
		{"X_PEER_SUBJECT", name, "-"},
		{"X_PEER_ISSUER", name, "-"},
		{"X_PEER_CERT_V_START", "1970-01-01T00:16:40.000Z", "-"},
		{"X_PEER_CERT_V_END(%Y/%m/%d)", "2023/11/14", "-"},
		{"X_PEER_URI_SAN", "spiffe://td/a,spiffe://td/b", "-"},
		{"X_PEER_DNS_SAN", "a.test,*.b.test", "-"},
		{"X_PEER_IP_SAN", "10.0.0.1,::1", "-"},
		{"X_LOCAL_URI_SAN", "spiffe://td/a,spiffe://td/b", "-"},
		{"X_LOCAL_DNS_SAN", "a.test,*.b.test", "-"},
		{"X_LOCAL_IP_SAN", "10.0.0.1,::1", "-"},
		{"UPSTREAM_SERVER_NAME", "server.test", "server.test"},
		{"DOWNSTREAM_PEER_SERIAL", "0123", "-"},
		{"DOWNSTREAM_PEER_FINGERPRINT_256", sum(leaf), "-"},
		{"DOWNSTREAM_PEER_FINGERPRINT_1", sum1(leaf), "-"},
		{"DOWNSTREAM_PEER_EMAIL_SAN", "a@b.test", "-"},
		{"DOWNSTREAM_PEER_OTHERNAME_SAN", "one,two", "-"},
		{"DOWNSTREAM_PEER_CHAIN_SERIALS", "0123,05", "-"},
		{"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", sum(leaf) + "," + sum(above), "-"},
		{"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", sum1(leaf) + "," + sum1(above), "-"},
		{"DOWNSTREAM_PEER_ISSUER_SERIAL", "05", "-"},
		{"DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", sum(above), "-"},
		{"DOWNSTREAM_LOCAL_SUBJECT", name, fmt.Sprintf("name of %d bytes", len(above.RawSubject))},
		{"DOWNSTREAM_LOCAL_EMAIL_SAN", "a@b.test", "-"},
		{"DOWNSTREAM_LOCAL_OTHERNAME_SAN", "one,two", "one,two"},
	} {
		for _, side := range []string{"DOWNSTREAM_", "UPSTREAM_"} {
			text := strings.Replace(c.operator, "X_", side, 1)
			f, err := Parse("%"+text+"%", Options{})
			if err != nil {
				t.Fatal(err)
			}
			for told, want := range map[Transport]string{full: c.full, bare: c.bare, nil: "-"} {
				e, other := &Entry{TLS: told}, &Entry{UpstreamTLS: told}
				if strings.HasPrefix(text, "UPSTREAM_") {
					e, other = other, e
				}
				if got := string(f.Append(nil, e)); got != want {
					t.Errorf("%s: %q, want %q", text, got, want)
				}
				if got := string(f.Append(nil, other)); got != "-" {
					t.Errorf("%s: %q of the other side", text, got)
				}
			}
		}
	}
	f, err := ParseJSON(map[string]any{"a": "%DOWNSTREAM_PEER_CERT%", "b": "%UPSTREAM_PEER_CERT%", "c": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "d": "%DOWNSTREAM_HANDSHAKE_DURATION%"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := string(f.Append(nil, &Entry{TLS: full, Failure: "TLS error: bad day", More: &More{Shaken: At(-1500 * time.Millisecond)}}))
	if !strings.HasPrefix(got, `{"a":"-----BEGIN%20CERTIFICATE-----%0AM`) || !strings.HasSuffix(got, `-----END%20CERTIFICATE-----%0A","b":null,"c":"TLS_error:_bad_day","d":-1500}`+"\n") {
		t.Error(got)
	}
}
