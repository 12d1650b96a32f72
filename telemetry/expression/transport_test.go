package expression

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"reflect"
	"testing"

	"github.com/weftmesh/weft/telemetry/accesslog"
)

// spoken is a connection's TLS.
type spoken struct {
	peer []*x509.Certificate
	own  *x509.Certificate
}

func (s *spoken) Suite() uint16                              { return 0x1301 }
func (s *spoken) Agreed() (version, cipher, group string)    { return "TLSv1.3", "C", "G" }
func (s *spoken) AskedName() string                          { return "" }
func (s *spoken) Verified() bool                             { return true }
func (s *spoken) Peer() []*x509.Certificate                  { return s.peer }
func (s *spoken) Issuer() *x509.Certificate                  { return nil }
func (s *spoken) Own() *x509.Certificate                     { return s.own }
func (s *spoken) Name(raw []byte) string                     { return "CN=" + string(raw) }
func (s *spoken) OtherNames(*x509.Certificate) (no []string) { return no }

func TestTransports(t *testing.T) {
	peer := &x509.Certificate{Raw: []byte("peer"), RawSubject: []byte("p"), SerialNumber: big.NewInt(1), DNSNames: []string{"a", "b"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "td"}, {Scheme: "x"}}}
	own := &x509.Certificate{Raw: []byte("own"), RawSubject: []byte("o"), DNSNames: []string{"c"}}
	sum := sha256.Sum256(peer.Raw)
	mutual, oneSided := &spoken{[]*x509.Certificate{peer}, own}, &spoken{nil, own}
	for name, want := range map[string][2]any{ // of a peer with a certificate, and of one without
		"tls_version":                    {"TLSv1.3", "TLSv1.3"},
		"subject_local_certificate":      {"CN=o", "CN=o"},
		"subject_peer_certificate":       {"CN=p", ""},
		"dns_san_local_certificate":      {"c", "c"},
		"dns_san_peer_certificate":       {"a", nil},
		"uri_san_local_certificate":      {nil, nil},
		"uri_san_peer_certificate":       {"spiffe://td", nil},
		"sha256_peer_certificate_digest": {hex.EncodeToString(sum[:]), nil},
		"peer_certificate":               {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: peer.Raw})), nil},
	} {
		for i, s := range []*spoken{mutual, oneSided} {
			wants(t, "connection."+name, &accesslog.Entry{TLS: s}, want[i])
			wants(t, "upstream."+name, &accesslog.Entry{UpstreamTLS: s}, want[i])
			wants(t, "upstream."+name, &accesslog.Entry{TLS: s}, nil)
		}
	}
	wants(t, "connection.mtls", &accesslog.Entry{TLS: mutual}, true)
	wants(t, "connection.mtls", &accesslog.Entry{TLS: oneSided}, false)
	wants(t, "connection.transport_failure_reason", &accesslog.Entry{Failure: "a b"}, "a b")
	wants(t, "connection.transport_failure_reason", &accesslog.Entry{TLS: mutual}, nil)
}

// wants compares what an expression says of an entry; nil: nothing.
func wants(t *testing.T, text string, e *accesslog.Entry, want any) {
	t.Helper()
	x, err := Compile(text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := x.Value(e); ok != (want != nil) || !reflect.DeepEqual(v, want) {
		t.Errorf("%s is %#v (%v), want %#v", text, v, ok, want)
	}
}
