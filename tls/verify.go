package tls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/config"
)

// checks are a validation context at work. Nil asks nothing.
type checks struct {
	asked   *config.Validation
	usage   x509.ExtKeyUsage // that a peer's certificate must be good for
	roots   *x509.CertPool   // nil: whom a chain ends with does not matter
	domains map[string]*x509.CertPool
}

func newChecks(v *config.Validation, server bool) *checks {
	c := &checks{asked: v, usage: x509.ExtKeyUsageServerAuth}
	if server {
		c.usage = x509.ExtKeyUsageClientAuth
	}
	if v.SystemRoots && v.Roots == nil {
		// A host without roots trusts nobody, and neither do we then.
		if c.roots, _ = x509.SystemCertPool(); c.roots == nil {
			c.roots = x509.NewCertPool()
		}
	}
	if v.Roots != nil && c.roots == nil {
		c.roots = x509.NewCertPool()
	}
	for _, r := range v.Roots {
		c.roots.AddCert(r)
	}
	if v.Domains != nil {
		c.domains = map[string]*x509.CertPool{}
		for d, roots := range v.Domains {
			c.domains[d] = x509.NewCertPool()
			for _, r := range roots {
				c.domains[d].AddCert(r)
			}
		}
	}
	return c
}

// asks tells whether anything is asked of a peer's certificate, so that it has to show one if it can.
func (c *checks) asks() bool {
	return c != nil && (c.roots != nil || c.domains != nil || len(c.asked.Names)+len(c.asked.Keys)+len(c.asked.Certificates) > 0)
}

// hint is whose certificates clients are told to bring; nil: nobody's. Of all that a host trusts the list would be long, and help nobody.
func (c *checks) hint() *x509.CertPool {
	pool := c.roots
	if c.asked.Roots == nil {
		pool = nil
	}
	if c.domains != nil {
		pool = x509.NewCertPool()
		for _, d := range sortedKeys(c.asked.Domains) {
			for _, r := range c.asked.Domains[d] {
				pool.AddCert(r)
			}
		}
	}
	return pool
}

// Refusal is why a peer's certificate was not taken.
type Refusal struct {
	Kind    RefusalKind
	Revoked bool // it is on a list of those that its issuer has revoked
	text    string
	err     error
}

// RefusalKind sorts refusals as statistics do.
type RefusalKind uint8

// The kinds.
const (
	BadChain RefusalKind = iota // or a date, a purpose, a revocation
	BadName
	BadHash // of a key or a certificate
	NoCertificate
)

func (r *Refusal) Error() string {
	if r.err == nil {
		return "tls: the peer's certificate is refused: " + r.text
	}
	return fmt.Sprintf("tls: the peer's certificate is refused: %s: %v", r.text, r.err)
}

// Unwrap is what x509 said.
func (r *Refusal) Unwrap() error { return r.err }

// check looks at what a peer has shown. With verifyName its certificate must be for the name that was asked for. It is called for resumed
// connections, too, whose certificates are those of the first handshake.
func (c *checks) check(s *tls.ConnectionState, verifyName bool) error {
	if c == nil && !verifyName {
		return nil
	}
	if len(s.PeerCertificates) == 0 {
		return &Refusal{Kind: NoCertificate, text: "there is none"}
	}
	leaf := s.PeerCertificates[0]
	if c != nil {
		if _, err := c.trust(s.PeerCertificates); err != nil && !c.asked.AcceptUntrusted {
			return err
		}
		if err := c.pins(leaf); err != nil {
			return err
		}
		if len(c.asked.Names) > 0 && !c.named(leaf) {
			return &Refusal{Kind: BadName, text: fmt.Sprintf("none of its names (%s) is one that is wanted", strings.Join(allNames(leaf), ", "))}
		}
	}
	if verifyName {
		if s.ServerName == "" {
			return &Refusal{Kind: BadName, text: "its name is to be verified, and no name was asked for"}
		}
		if !isFor(leaf, s.ServerName) {
			return &Refusal{Kind: BadName, text: fmt.Sprintf("none of its names (%s) is %s, which was asked for", strings.Join(allNames(leaf), ", "), s.ServerName)}
		}
	}
	return nil
}

// verified tells whether certificates that were taken are also trusted, which only AcceptUntrusted makes a question. One that is known by its
// sum, or that of its key, is, whoever has signed it.
func (c *checks) verified(chain []*x509.Certificate) bool {
	if c == nil || len(chain) == 0 {
		return false
	}
	return c.pinned() || (c.roots != nil || c.domains != nil) && (!c.asked.AcceptUntrusted || c.trusts(chain))
}

// pinned tells whether only certificates are taken that are known by a sum.
func (c *checks) pinned() bool { return len(c.asked.Keys) > 0 || len(c.asked.Certificates) > 0 }

func (c *checks) trusts(chain []*x509.Certificate) bool {
	_, err := c.trust(chain)
	return err == nil
}

// trust verifies the chain of a leaf, its dates and its purpose, and that nothing of it is revoked, and gives the chains up to roots; none if roots do
// not matter.
func (c *checks) trust(chain []*x509.Certificate) ([][]*x509.Certificate, error) {
	found, err := c.chains(chain)
	if err != nil {
		return nil, err
	}
	return found, c.revoked(found)
}

// chains is trust whatever is revoked.
func (c *checks) chains(chain []*x509.Certificate) ([][]*x509.Certificate, error) {
	roots := c.roots
	if c.domains != nil {
		domain, err := trustDomain(chain[0])
		if err != nil {
			return nil, &Refusal{Kind: BadChain, text: err.Error()}
		}
		if roots = c.domains[domain]; roots == nil {
			return nil, &Refusal{Kind: BadChain, text: fmt.Sprintf("trust domain %q is not one of those that are trusted", domain)}
		}
	}
	if roots == nil {
		return nil, nil // the configuration says so
	}
	leaf := chain[0]
	o := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}}
	if len(chain) > 1 {
		o.Intermediates = x509.NewCertPool()
		for _, i := range chain[1:] {
			o.Intermediates.AddCert(i)
		}
	}
	found, err := leaf.Verify(o)
	var invalid x509.CertificateInvalidError
	if c.asked.AllowExpired && errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		// At the last moment at which none of them had expired.
		o.CurrentTime = earliestEnd(chain)
		found, err = leaf.Verify(o)
	}
	if err != nil {
		return nil, &Refusal{Kind: BadChain, text: plain(err, leaf), err: err}
	}
	if d := c.asked.MaxDepth; d >= 0 {
		// As in Envoy, 0 means what 1 does: whom the root has issued is taken.
		found = slices.DeleteFunc(found, func(one []*x509.Certificate) bool { return len(one)-1 > max(d, 1) })
		if len(found) == 0 {
			return nil, &Refusal{Kind: BadChain, text: fmt.Sprintf("there are more than %d issuers above it, with the root (max_verify_depth)", max(d, 1))}
		}
	}
	return found, nil
}

func earliestEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, i := range chain[1:] {
		if i.NotAfter.Before(end) {
			end = i.NotAfter
		}
	}
	return end
}

// plain says what x509 means.
func plain(err error, leaf *x509.Certificate) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("it (%s, issued by %s) ends with no root that is trusted", title(leaf), leaf.Issuer)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("it or one of its issuers is not valid now (%s is from %s to %s)", title(leaf), leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Sprintf("it (%s) is not for this purpose (extended key usage)", title(leaf))
	}
	return title(leaf)
}

func title(c *x509.Certificate) string {
	if names := allNames(c); len(names) > 0 {
		return names[0]
	}
	return c.Subject.String()
}

// pins compares sums. Either kind will do.
func (c *checks) pins(leaf *x509.Certificate) error {
	if !c.pinned() {
		return nil
	}
	key, whole := sha256.Sum256(leaf.RawSubjectPublicKeyInfo), sha256.Sum256(leaf.Raw)
	if slices.Contains(c.asked.Keys, key) || slices.Contains(c.asked.Certificates, whole) {
		return nil
	}
	return &Refusal{Kind: BadHash, text: fmt.Sprintf("neither its sum %x nor that of its key is one of those that are wanted", whole)}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
