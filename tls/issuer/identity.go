package issuer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Identity is who a workload is, and whom it believes. It never changes.
type Identity struct {
	Chain []byte // PEM: the certificate, and those between it and its root
	Key   []byte // PEM
	Roots []byte // PEM: whom peers are believed by
	Leaf  *x509.Certificate

	pair tls.Certificate
	came []*x509.Certificate // the roots that came with it, and not by themselves
}

// Name is the SPIFFE ID.
func (i *Identity) Name() string { return i.Leaf.URIs[0].String() }

// Versions are other ones exactly if the certificate is, or the roots are. Of the key they say nothing.
func (i *Identity) Versions() (own, roots string) {
	return i.Leaf.SerialNumber.Text(16), versionOf(i.Roots)
}

// same says that two identities are one.
func (i *Identity) same(other *Identity) bool {
	own, roots := i.Versions()
	own2, roots2 := other.Versions()
	return own == own2 && roots == roots2
}

// Who is what has to be in a certificate. What is empty may be anything.
type Who struct{ Domain, Namespace, Account string }

// String is it as a SPIFFE ID (SPIFFE-ID, 2; Istio's paths).
func (w Who) String() string {
	or := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return "spiffe://" + or(w.Domain) + "/ns/" + or(w.Namespace) + "/sa/" + or(w.Account)
}

// is says whether a SPIFFE ID is of these. An authority that names identities in another way than Istio's is believed only by who asks for nobody.
func (w Who) is(id string) bool {
	if w == (Who{}) {
		return true
	}
	rest, ok := strings.CutPrefix(id, "spiffe://")
	p := strings.Split(rest, "/")
	if !ok || len(p) != 5 || p[1] != "ns" || p[3] != "sa" {
		return false
	}
	for _, c := range [][2]string{{w.Domain, p[0]}, {w.Namespace, p[2]}, {w.Account, p[4]}} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	return true
}

// Bounds of what is read: bytes of a text in PEM, and certificates in it.
const (
	maxText  = 1 << 20
	maxChain = 100
)

// certificates reads those of a text in PEM, of which there is one at least.
func certificates(text []byte) (list []*x509.Certificate, err error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("has %d bytes: want at most %d", len(text), maxText)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a %s: want certificates only", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		if list = append(list, c); len(list) > maxChain {
			return nil, fmt.Errorf("has more than %d certificates", maxChain)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return list, nil
}

// encode writes certificates in PEM.
func encode(list ...*x509.Certificate) (text []byte) {
	for _, c := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// selfSigned says that a certificate is a root.
func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// judge makes an identity of a chain, a key, the roots that came with those, and roots beside them. It is none if the key is another one's, if it is somebody else's, has ended, or does not lead to a root.
func judge(list []*x509.Certificate, key []byte, came, beside []*x509.Certificate, want Who, now time.Time) (*Identity, error) {
	leaf, shown := list[0], list
	if n := len(list); n > 1 && selfSigned(list[n-1]) {
		shown = list[:n-1] // peers have the root, or would not believe it
	}
	i := &Identity{Chain: encode(shown...), Key: key, Leaf: leaf, came: came}
	var err error
	if i.pair, err = tls.X509KeyPair(i.Chain, key); err != nil {
		return nil, fmt.Errorf("the certificate and the key do not fit: %w", err)
	}
	roots := joined(came, beside)
	i.Roots = encode(roots...)
	switch {
	case leaf.IsCA:
		return nil, errors.New("the certificate may sign others: want that of a workload")
	case len(leaf.URIs) != 1:
		return nil, fmt.Errorf("the certificate has %d URIs: want its identity alone (X509-SVID, 2)", len(leaf.URIs))
	case !want.is(i.Name()):
		return nil, fmt.Errorf("the certificate is that of %s: want %s", i.Name(), want)
	case !now.Before(leaf.NotAfter):
		return nil, fmt.Errorf("the certificate has ended at %s, and it is %s here", leaf.NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))
	case len(roots) == 0:
		return nil, errors.New("there is no root that peers could be believed by: none came with the certificate, and no file has one")
	}
	anchors, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		anchors.AddCert(c)
	}
	for _, c := range list[1:] {
		between.AddCert(c)
	}
	at := now
	if leaf.NotBefore.After(at) {
		at = leaf.NotBefore // of a clock that is ahead of ours
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: anchors, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fmt.Errorf("the certificate does not lead to its root: %w", err)
	}
	return i, nil
}

// under is the identity with other roots beside its own.
func (i *Identity) under(beside []*x509.Certificate) *Identity {
	next := *i
	next.Roots = encode(joined(i.came, beside)...)
	return &next
}

// joined are roots, each once.
func joined(came, beside []*x509.Certificate) (list []*x509.Certificate) {
	for _, some := range [][]*x509.Certificate{came, beside} {
		for _, c := range some {
			if !slices.ContainsFunc(list, c.Equal) {
				list = append(list, c)
			}
		}
	}
	return list
}
