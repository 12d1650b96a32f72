package tls

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"

	"github.com/weftmesh/weft/config"
)

func TestSessionsTell(t *testing.T) {
	a := newAuthority(t)
	front, own := a.leaf(named("front.test")), a.leaf(spiffe("spiffe://td/a"))
	trusts := &config.Validation{Roots: []*x509.Certificate{a.root}, MaxDepth: -1}
	client, server := sessions(t,
		&config.TLS{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, Curves: []tls.CurveID{tls.CurveP256},
			ServerName: "front.test", Certificates: inline(own), Validation: &config.Validation{MaxDepth: -1}},
		&config.TLS{MinVersion: tls.VersionTLS12, Certificates: inline(front), Validation: trusts, Require: true})
	if v, c, g := client.Agreed(); v+c+g != "" || client.Peer() != nil || client.Issuer() != nil || client.Own() != own.Leaf || server.Own() != front.Leaf {
		t.Errorf("before the handshake: %q %q %q %v %v", v, c, g, client.Peer(), client.Own())
	}
	if atClient, atServer := shake(t, client, server, 0); atClient != nil || atServer != nil {
		t.Fatal(atClient, atServer)
	}
	for _, s := range []*Session{client, server} {
		if v, c, g := s.Agreed(); v != "TLSv1.2" || c != "ECDHE-ECDSA-AES256-GCM-SHA384" || g != "P-256" {
			t.Errorf("%q %q %q", v, c, g)
		}
		if s.AskedName() != "front.test" {
			t.Errorf("%q was asked for", s.AskedName())
		}
	}
	if p := server.Peer(); len(p) != 1 || !p[0].Equal(own.Leaf) || server.Own() != front.Leaf {
		t.Errorf("the server met %v", p)
	}
	if i := server.Issuer(); i == nil || !i.Equal(a.root) || server.Issuer() != i {
		t.Errorf("the issuer is %v", i)
	}
	if client.Issuer() != nil {
		t.Error("an issuer that is not trusted was told of")
	}
}

// What a handshake got to before it failed is told, too.
func TestFailuresTell(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	own := b.leaf(spiffe("spiffe://td/a"))
	client, server := sessions(t, &config.TLS{Certificates: inline(own), Validation: &config.Validation{MaxDepth: -1}},
		&config.TLS{Certificates: inline(a.leaf(named("front.test"))), Validation: &config.Validation{Roots: []*x509.Certificate{a.root}, MaxDepth: -1}})
	_, err := shake(t, client, server, 0)
	if err == nil {
		t.Fatal("a stranger got in")
	}
	if v, c, g := server.Agreed(); v != "TLSv1.3" || c == "" || g == "" {
		t.Errorf("%q %q %q", v, c, g)
	}
	if p := server.Peer(); len(p) != 1 || !p[0].Equal(own.Leaf) || server.Issuer() != nil {
		t.Errorf("the server met %v", p)
	}
}

// An end does not take the word from what came before it.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		came string
		want error
	}{{"HTTP/1.1 400 Bad Request\r\n\r\n", tls.RecordHeaderError{}}, {"\x15\x03\x03\x00\x02\x02\x28", tls.AlertError(40)}, {"", ErrAborted}, {"\x16\x03\x03\x00\x20ab", ErrAborted}} {
		client, _ := sessions(t, &config.TLS{}, &config.TLS{Certificates: inline(newAuthority(t).leaf(nil))})
		news := make(chan struct{}, 10)
		client.Begin(nil, func() { news <- struct{}{} })
		<-news // it has said hello, and waits
		client.Take(nil)
		client.Feed([]byte(c.came))
		client.End()
		done, err := false, error(nil)
		for !done {
			<-news
			_, done, err = client.Take(nil)
		}
		switch want := c.want.(type) {
		case tls.RecordHeaderError:
			if !errors.As(err, &want) {
				t.Errorf("%q: %v", c.came, err)
			}
		case tls.AlertError:
			if err == nil || err.Error() != "remote error: "+want.Error() {
				t.Errorf("%q: %v", c.came, err)
			}
		default:
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", c.came, err, want)
			}
		}
	}
}

func TestDistinguishedNames(t *testing.T) {
	add := func(n *pkix.Name, oid asn1.ObjectIdentifier, v any) {
		n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: oid, Value: v})
	}
	n := pkix.Name{Country: []string{"DE"}, Organization: []string{"Caf\u00e9, Inc."}, OrganizationalUnit: []string{"a+b", "#c"}, CommonName: " full "}
	add(&n, asn1.ObjectIdentifier{2, 5, 4, 13}, "d")
	add(&n, asn1.ObjectIdentifier{1, 2, 3, 4}, "x")
	add(&n, asn1.ObjectIdentifier{2, 5, 4, 41}, 7)
	raw, err := asn1.Marshal(n.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := DistinguishedName(raw), `name=#020107,1.2.3.4=#130178,description=d,CN=\ full\ ,OU=a\+b+OU=\#c,O=Caf\C3\A9\, Inc.,C=DE`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := DistinguishedName([]byte("no DER")); got != "" {
		t.Errorf("%q of what is no name", got)
	}
}

func TestExplain(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("tls: client didn't provide a certificate"):               "TLS error: client didn't provide a certificate",
		errors.New("remote error: tls: bad certificate"):                     "TLS error: remote error: tls: bad certificate",
		fmt.Errorf("tls: a panic was contained: x\ngoroutine 1"):             "TLS error: a panic was contained: x",
		errors.New("listener: the client's first message is larger than is"): "TLS error: the client's first message is larger than is",
		errors.New("nothing"): "TLS error: nothing",
	} {
		if got := Explain(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
