package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// Lives of certificates.
const (
	DefaultLife = 24 * time.Hour
	MaxLife     = 90 * 24 * time.Hour // whatever is asked for
	MinLife     = time.Minute
	// skew is how far clocks may be behind ours.
	skew = 2 * time.Minute
)

// issuer is a key that signs certificates.
type issuer struct {
	key   crypto.Signer
	chain []*x509.Certificate // its own certificate, and those between it and its root, which is the last one
}

// newIssuer checks that a key and certificates belong together and can do what they are for.
func newIssuer(key crypto.Signer, chain []*x509.Certificate) (*issuer, error) {
	own := chain[0]
	if p, ok := own.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(key.Public()) {
		return nil, errors.New("the key is not that of the certificate")
	}
	for i, c := range chain {
		if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("certificate %d, of %q, may not sign certificates (RFC 5280, 4.2.1.9)", i+1, c.Subject)
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := own.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: own.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fmt.Errorf("the certificate does not lead to its root: %w", err)
	}
	return &issuer{key, chain}, nil
}

// until is when the first of the chain ends.
func (i *issuer) until() time.Time {
	end := i.chain[0].NotAfter
	for _, c := range i.chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// issue makes a certificate of a key. names are of DNS, for servers that clients find by them.
func (i *issuer) issue(serial *big.Int, who *Identity, names []string, key crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	end := now.Add(life)
	if last := i.until(); end.After(last) {
		end = last // no chain outlives its shortest part
	}
	if !end.After(now) {
		return nil, fmt.Errorf("ca: the certificate that signs has ended at %s: give the authority another one", i.until().Format(time.RFC3339))
	}
	begin := now.Add(-skew)
	if begin.Before(i.chain[0].NotBefore) {
		begin = i.chain[0].NotBefore
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             begin,
		NotAfter:              end,
		DNSNames:              names,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if _, ok := key.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if who != nil {
		t.URIs = []*url.URL{who.uri()} // the only one (X509-SVID, 2); without a subject the extension is critical (RFC 5280, 4.2.1.6)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, i.chain[0], key, i.key)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return x509.ParseCertificate(der)
}

// newSerial is a number that nobody can foresee (RFC 5280, 4.1.2.2): at most 20 bytes, and positive.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40 // of the same length always
	return new(big.Int).SetBytes(b[:])
}

// PEM writes certificates in PEM.
func PEM(list ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range list {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

// keyID is how certificates name the key that has signed them (RFC 7093, 2: the first 160 bits of SHA-256).
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}
