package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Signer is an authority outside of this process, which signs what was checked here. What it answers is checked as well.
type Signer interface {
	// Sign has a request be signed, and gives the certificate and those between it and a root, in PEM. What the caller is the reason of is a *Refusal.
	Sign(ctx context.Context, o Order) ([]byte, error)
	// Name is what it is called, for people and for agents that name it.
	Name() string
}

// Order is what a Signer is asked for.
type Order struct {
	CSR   []byte // PEM
	Life  time.Duration
	Token string // that the caller has shown, and that may be handed on; empty: none
}

const (
	// signing bounds how long a signer outside may take, in which others have to approve and sign.
	signing = 10 * time.Second
	// signsAtOnce bounds how many are asked for at a time.
	signsAtOnce = 32
	// maxAnswer and maxChain bound what it answers, in bytes and certificates.
	maxAnswer = 256 << 10
	maxChain  = 10
)

// outside is a signer and what it is asked.
type outside struct {
	Signer
	slots chan struct{} // has room for those who ask at a time
}

// order asks for a certificate of a key: for an identity, or with names of DNS. The answer is given only if it is what was asked for, the root last.
func (o *outside) order(ctx context.Context, a Order, who *Identity, names []string, key crypto.PublicKey, roots []*x509.Certificate) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, signing)
	defer cancel()
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("ca: %s: %d certificates are asked for already: try again", o.Name(), signsAtOnce)
	}
	answer, err := o.Sign(ctx, a)
	if err != nil {
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			return nil, err
		}
		return nil, fmt.Errorf("ca: %s: %w", o.Name(), err)
	}
	chain, err := fitting(answer, who, names, key, roots, time.Now())
	if err != nil {
		return nil, fmt.Errorf("ca: %s: %w: %w", o.Name(), errUnfitting, err)
	}
	return chain, nil
}

// errUnfitting says that an answer is not what was asked for, and is given to nobody.
var errUnfitting = errors.New("what it has answered is not what it was asked for")

// fitting reads an answer, and says what of it is other than it was asked for.
func fitting(answer []byte, who *Identity, names []string, key crypto.PublicKey, roots []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("%d bytes: want at most %d", len(answer), maxAnswer)
	}
	list, err := readCertificates(answer)
	if err != nil {
		return nil, err
	}
	if len(list) > maxChain {
		return nil, fmt.Errorf("%d certificates: want at most %d", len(list), maxChain)
	}
	leaf := list[0]
	if p, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(key) {
		return nil, errors.New("the certificate is of another key")
	}
	var uris []string
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	switch {
	case leaf.IsCA:
		return nil, errors.New("the certificate may sign others")
	case who != nil && (len(uris) != 1 || uris[0] != who.String() || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0):
		return nil, fmt.Errorf("the certificate is of %q %q %v %q: want that of %s alone", uris, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, who)
	case who == nil && (len(uris)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 || !sameNames(leaf.DNSNames, names)):
		return nil, fmt.Errorf("the certificate is of %q %q: want that of %q", uris, leaf.DNSNames, names)
	case leaf.NotBefore.After(now.Add(skew)):
		return nil, fmt.Errorf("the certificate begins at %s", leaf.NotBefore.Format(time.RFC3339))
	case leaf.NotAfter.After(now.Add(MaxLife + time.Hour)):
		return nil, fmt.Errorf("the certificate ends at %s: want one that is good for %v at most", leaf.NotAfter.Format(time.RFC3339), MaxLife)
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		return nil, errors.New("the certificate is not for both sides of a connection: want client and server authentication (RFC 5280, 4.2.1.12)")
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
	paths, err := leaf.Verify(x509.VerifyOptions{Roots: anchors, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, fmt.Errorf("the certificate does not lead to a root that the mesh trusts (--ca-roots): %w", err)
	}
	return paths[0], nil
}

func sameNames(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// asked checks a request that somebody else has made and that is signed as it is: it must ask for what is its caller's, and for nothing else, as a signer may go by all that is in it.
func asked(text []byte, who Identity) error {
	block, _ := pem.Decode(text) // which readRequest has read
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if len(r.URIs) != 1 || r.URIs[0].String() != who.String() || len(r.DNSNames)+len(r.IPAddresses)+len(r.EmailAddresses) > 0 {
		return fmt.Errorf("the certificate request is for %v %q %v %q: want %s alone, since another authority signs it as it is", r.URIs, r.DNSNames, r.IPAddresses, r.EmailAddresses, who)
	}
	s := r.Subject
	if s.CommonName != "" || len(s.OrganizationalUnit) > 0 || slices.ContainsFunc(s.Organization, func(o string) bool { return strings.HasPrefix(o, "system:") }) {
		return fmt.Errorf("the certificate request has the subject %q: want none, or an organization alone", s)
	}
	for _, e := range r.Extensions {
		switch id := e.Id.String(); {
		case id == "2.5.29.17" || id == "2.5.29.15" || id == "2.5.29.37": // subjectAltName, keyUsage, extKeyUsage (RFC 5280, 4.2.1)
		case id == "2.5.29.19" && bytes.Equal(e.Value, []byte{0x30, 0}): // basicConstraints of who is no authority
		default:
			return fmt.Errorf("the certificate request has the extension %s: want a subject alternative name and key usages alone", id)
		}
	}
	return nil
}

// requestOf makes a request of a key that is ours.
func requestOf(key crypto.Signer, who *Identity, names []string) ([]byte, error) {
	t := &x509.CertificateRequest{DNSNames: names}
	if who != nil {
		t.URIs = []*url.URL{who.uri()}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, t, key)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// rereading is how often roots are looked at, and files of a server.
const rereading = 10 * time.Second

// ReadFile reads a file of roots, which has to be one of a megabyte at most.
func ReadFile(file string) ([]byte, error) { return readBounded(file) }

// readRoots reads the roots that are trusted from a file.
func readRoots(file string) ([]*x509.Certificate, error) {
	return saidRoots(func() ([]byte, string, error) {
		text, err := readBounded(file)
		return text, "file " + file, err
	})
}

// saidRoots reads roots as they are said now, each once.
func saidRoots(said func() ([]byte, string, error)) (roots []*x509.Certificate, err error) {
	text, where, err := said()
	if err != nil {
		return nil, err
	}
	list, err := readCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("ca: %s: %w", where, err)
	}
	for _, c := range list {
		if !c.IsCA {
			return nil, fmt.Errorf("ca: %s: %q is no root: want certificates that may sign others", where, c.Subject)
		}
		if !slices.ContainsFunc(roots, c.Equal) {
			roots = append(roots, c)
		}
	}
	return roots, nil
}

// followRoots has those be trusted that are said, as they change, until the context ends. What is wrong leaves those in force that were read before.
func (a *Authority) followRoots(ctx context.Context, report func(error)) {
	reread(ctx, report, func() error {
		list, err := saidRoots(a.options.Roots)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if !slices.EqualFunc(list, a.roots, (*x509.Certificate).Equal) {
			a.roots = list
			a.tell()
		}
		return nil
	})
}

// reread has something be read again and again until the context ends, and says once what is wrong with it.
func reread(ctx context.Context, report func(error), read func() error) {
	said := ""
	tick := time.NewTicker(rereading)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := read(); {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			report(err)
		}
	}
}
