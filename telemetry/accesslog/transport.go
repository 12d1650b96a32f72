package accesslog

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"
)

// Transport tells of a connection's TLS, as far as its handshake got. Nothing of what it tells is made before somebody asks.
type Transport interface {
	// Agreed is what both have agreed on, by the names that Envoy has for it; empty: they have not got there.
	Agreed() (version, cipher, group string)
	// Suite is the number of the cipher that both have agreed on (RFC 8446 §B.4); 0: they have not got there.
	Suite() uint16
	// AskedName is the server's name that was asked for.
	AskedName() string
	// Peer is what the peer has shown, the leaf first.
	Peer() []*x509.Certificate
	// Verified tells whether that ends with a root that is trusted, or is known by its sum.
	Verified() bool
	// Issuer is the leaf's, in a chain that is trusted; nil: there is none, or the leaf is trusted itself.
	Issuer() *x509.Certificate
	// Own is what we show, whether it was asked for or not; nil: we have none.
	Own() *x509.Certificate
	// Name is a subject or an issuer, of which raw is the DER, as RFC 2253 writes it.
	Name(raw []byte) string
	// OtherNames are a certificate's names of kinds that have no name.
	OtherNames(c *x509.Certificate) []string
}

// fact is what is told of a connection's TLS.
type fact uint8

const (
	factVersion fact = iota
	factCipher
	factGroup
	factAskedName
	factSubject // and what follows: of a certificate
	factIssuer
	factSerial
	factSHA256
	factSHA1
	factPEM
	factFrom
	factUntil
	factURIs
	factDNS
	factIPs
	factEmails
	factOthers
	factChainSerials // and what follows: of all that the peer has shown
	factChainSHA256
	factChainSHA1
)

// whose tells whose certificate a fact is of.
type whose uint8

const (
	ofPeer whose = iota
	ofIssuer
	ofUs
)

// transport writes what is told of a connection's TLS.
func (o *operator) transport(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	t := e.TLS
	if o.upstream {
		t = e.UpstreamTLS
	}
	if t == nil {
		return dst, false, false
	}
	from := len(dst)
	switch version, cipher, group := "", "", ""; {
	case o.fact < factAskedName:
		version, cipher, group = t.Agreed()
		dst = append(dst, [...]string{factVersion: version, factCipher: cipher, factGroup: group}[o.fact]...)
	case o.fact == factAskedName:
		dst = append(dst, t.AskedName()...)
	case o.fact >= factChainSerials:
		for i, c := range t.Peer() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = o.certified(dst, t, c, o.fact-factChainSerials+factSerial)
		}
	default:
		if c := certificateOf(t, o.whose); c != nil {
			dst = o.certified(dst, t, c, o.fact)
		}
	}
	return dst, false, len(dst) > from
}

func certificateOf(t Transport, w whose) *x509.Certificate {
	switch w {
	case ofUs:
		return t.Own()
	case ofIssuer:
		return t.Issuer()
	}
	if shown := t.Peer(); len(shown) > 0 {
		return shown[0]
	}
	return nil
}

// certified writes what a certificate says.
func (o *operator) certified(dst []byte, t Transport, c *x509.Certificate, what fact) []byte {
	switch what {
	case factSubject:
		return append(dst, t.Name(c.RawSubject)...)
	case factIssuer:
		return append(dst, t.Name(c.RawIssuer)...)
	case factSerial:
		return hex.AppendEncode(dst, c.SerialNumber.Bytes())
	case factSHA256:
		sum := sha256.Sum256(c.Raw)
		return hex.AppendEncode(dst, sum[:])
	case factSHA1:
		sum := sha1.Sum(c.Raw)
		return hex.AppendEncode(dst, sum[:])
	case factPEM:
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		return append(dst, strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20")...)
	case factFrom:
		return appendTime(dst, o.time, c.NotBefore.UTC())
	case factUntil:
		return appendTime(dst, o.time, c.NotAfter.UTC())
	case factURIs:
		for i, u := range c.URIs {
			dst = appendListed(dst, i, u.String())
		}
	case factDNS:
		for i, n := range c.DNSNames {
			dst = appendListed(dst, i, n)
		}
	case factIPs:
		for i, a := range c.IPAddresses {
			dst = appendListed(dst, i, a.String())
		}
	case factEmails:
		for i, a := range c.EmailAddresses {
			dst = appendListed(dst, i, a)
		}
	case factOthers:
		for i, n := range t.OtherNames(c) {
			dst = appendListed(dst, i, n)
		}
	}
	return dst
}

func appendListed(dst []byte, i int, text string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return append(dst, text...)
}
