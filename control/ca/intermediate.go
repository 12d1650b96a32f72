package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// intermediate is an intermediate authority that a root outside is to sign. Its key is made here, and is in the store and nowhere else.
type intermediate struct {
	Key     string    `json:"key"`     // PEM, PKCS 8
	Request string    `json:"request"` // PEM
	Made    time.Time `json:"made"`
}

// intermediateKey is where the one is that is asked for.
const intermediateKey = "ca/request"

// Ask gives the request for a certificate by which this authority would be under a root outside, in PEM: the one that there is, or, if anew is true or there is none, another one, which makes
// the one before worthless.
func (a *Authority) Ask(ctx context.Context, anew bool) ([]byte, error) {
	if err := a.mayImport(); err != nil {
		return nil, err
	}
	for {
		e, err := a.options.Store.Get(ctx, intermediateKey)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("ca: %w", err)
		}
		var is intermediate
		if err == nil && !anew && json.Unmarshal(e.Value, &is) == nil {
			return []byte(is.Request), nil
		}
		if is, err = newIntermediate(a.options.TrustDomain); err != nil {
			return nil, err
		}
		text, err := json.Marshal(is)
		if err == nil {
			_, err = a.options.Store.Put(ctx, intermediateKey, text, e.Revision)
		}
		if errors.Is(err, store.ErrConflict) {
			continue // with what another process has made
		}
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		return []byte(is.Request), nil
	}
}

// mayImport says why nobody can be put over this authority.
func (a *Authority) mayImport() error {
	switch {
	case a.outside != nil:
		return fmt.Errorf("ca: certificates are signed by %s, and by nothing here", a.outside.Name())
	case a.options.Folder != "":
		return fmt.Errorf("ca: the authority comes from %s: change the files there", a.options.Folder)
	}
	return nil
}

// newIntermediate makes a key and the request for it, which says what the certificate has to be for (RFC 5280, 4.2.1.3 and 4.2.1.9).
func newIntermediate(domain string) (is intermediate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return is, err
	}
	constraints, err := asn1.Marshal(struct {
		IsCA       bool
		MaxPathLen int
	}{true, 0}) // it signs workloads and no other authority
	if err != nil {
		return is, err
	}
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0b0000_0110}, BitLength: 7}) // keyCertSign and cRLSign
	if err != nil {
		return is, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{domain}, CommonName: "Weft intermediate"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: usage},
		},
	}, key)
	if err != nil {
		return is, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return is, err
	}
	return intermediate{
		Key:     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		Made:    time.Now(),
	}, nil
}

// leastImported is how long a certificate has to be good that is imported, beyond the time after which it signs.
const leastImported = 24 * time.Hour

// Import has what was asked for by Ask take the place of the root, as Rotate has a new one: it takes the certificate, those between it and the root outside, and that, in PEM. It says from when on it signs.
func (a *Authority) Import(ctx context.Context, text []byte) (signs time.Time, err error) {
	if err := a.mayImport(); err != nil {
		return signs, err
	}
	e, err := a.options.Store.Get(ctx, intermediateKey)
	if errors.Is(err, store.ErrNotFound) {
		return signs, errors.New("ca: nothing was asked for that could be imported: ask by weftctl ca csr, and have that be signed")
	}
	if err != nil {
		return signs, fmt.Errorf("ca: %w", err)
	}
	var is intermediate
	if err := json.Unmarshal(e.Value, &is); err != nil {
		return signs, fmt.Errorf("ca: what was asked for cannot be read in the store: %w", err)
	}
	key, err := readKey([]byte(is.Key))
	if err != nil {
		return signs, fmt.Errorf("ca: what was asked for cannot be read in the store: its key %w", err)
	}
	path, err := imported(text, key, a.options.TrustDomain)
	if err != nil {
		return signs, fmt.Errorf("ca: what is to be imported: %w", err)
	}
	old, err := a.options.Store.Get(ctx, rootsKey)
	if err != nil {
		return signs, fmt.Errorf("ca: %w", err)
	}
	p, err := readPlan(old.Value)
	if err != nil {
		return signs, err
	}
	now := time.Now()
	next, err := p.add(generation{Certificate: string(PEM(path...)), Key: is.Key, TrustedFrom: now, SignsFrom: now, Imported: true}, now, a.options.Overlap)
	if err != nil {
		return signs, err
	}
	signs = next.Generations[len(next.Generations)-1].SignsFrom
	for _, c := range path {
		if c.NotAfter.Before(signs.Add(leastImported)) {
			return signs, fmt.Errorf("ca: what is to be imported: the certificate of %q ends at %s: want one that is good for %v and more after it signs, which is from %s on", c.Subject, c.NotAfter.Format(time.RFC3339), leastImported, signs.Format(time.RFC3339))
		}
	}
	plan, err := json.Marshal(next)
	if err == nil {
		_, err = a.options.Store.Commit(ctx, []store.Write{{Key: rootsKey, Value: plan, Was: old.Revision}, {Key: intermediateKey, Was: e.Revision, Gone: true}})
	}
	if err != nil {
		return signs, fmt.Errorf("ca: %w", err)
	}
	return signs, nil
}

// imported reads certificates, and finds the path from that of a key to a root among them.
func imported(text []byte, key crypto.Signer, domain string) ([]*x509.Certificate, error) {
	list, err := readCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(list) > maxChain {
		return nil, fmt.Errorf("%d certificates: want at most %d", len(list), maxChain)
	}
	var own *x509.Certificate
	var roots []*x509.Certificate
	for _, c := range list {
		switch p, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); {
		case ok && p.Equal(key.Public()):
			own = c
		case bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil:
			roots = append(roots, c)
		}
	}
	switch {
	case own == nil:
		return nil, errors.New("none of the certificates is of the key that was asked for last: want that of weftctl ca csr")
	case own.CheckSignatureFrom(own) == nil:
		return nil, errors.New("the certificate is signed by its own key: want it signed by a root outside")
	case len(roots) == 0:
		return nil, errors.New("there is no root among the certificates: want the one outside behind those that lead to it")
	}
	path, err := pathToRoot(own, list, roots)
	if err != nil {
		return nil, err
	}
	i, err := newIssuer(key, path)
	if err != nil {
		return nil, err
	}
	if own.NotBefore.After(time.Now().Add(skew)) {
		return nil, fmt.Errorf("the certificate begins at %s", own.NotBefore.Format(time.RFC3339))
	}
	return path, i.try(domain)
}

// try says why peers would not take what it signs, such as that those above it bound how many may be below them, or whose names (RFC 5280, 4.2.1.9 and 4.2.1.10).
func (i *issuer) try(domain string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf, err := i.issue(newSerial(), &Identity{domain, "default", "default"}, nil, key.Public(), time.Now(), DefaultLife)
	if err != nil {
		return err
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: leaf.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	o.Roots.AddCert(i.chain[len(i.chain)-1])
	for _, c := range i.chain {
		o.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(o); err != nil {
		return fmt.Errorf("nobody would take what it signs: %w", err)
	}
	return nil
}
