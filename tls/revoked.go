package tls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// revoked looks each certificate of a chain up in its issuer's list. One chain without a revoked certificate is enough. As in Envoy, once
// there is a list, each issuer needs one: a certificate of which nobody can tell is refused.
func (c *checks) revoked(chains [][]*x509.Certificate) (err error) {
	if len(c.asked.Revoked) == 0 {
		return nil
	}
	for _, chain := range chains {
		if err = c.revokedIn(chain); err == nil {
			return nil
		}
	}
	return err
}

func (c *checks) revokedIn(chain []*x509.Certificate) error {
	upTo := len(chain) - 1 // a root is nobody's to revoke
	if c.asked.RevokedLeafOnly {
		upTo = min(upTo, 1)
	}
	for i := range upTo {
		own, issuer := chain[i], chain[i+1]
		listed := false
		for _, l := range c.asked.Revoked {
			if string(l.RawIssuer) != string(issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
				continue
			}
			if now := time.Now(); now.Before(l.ThisUpdate) || !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
				return &Refusal{Kind: BadChain, text: fmt.Sprintf("the list of certificates revoked by %s is not valid now (until %s)", issuer.Subject, l.NextUpdate.UTC().Format(time.RFC3339))}
			}
			listed = true
			if e := entryOf(l, own); e != nil {
				return &Refusal{Kind: BadChain, Revoked: true, text: fmt.Sprintf("%s was revoked on %s", title(own), e.RevocationTime.UTC().Format(time.RFC3339))}
			}
		}
		if !listed {
			return &Refusal{Kind: BadChain, text: fmt.Sprintf("there is no list of certificates revoked by %s", issuer.Subject)}
		}
	}
	return nil
}

// entryOf is what a list, which is in the order of serial numbers, has of a certificate; nil: nothing.
func entryOf(l *x509.RevocationList, c *x509.Certificate) *x509.RevocationListEntry {
	i, ok := slices.BinarySearchFunc(l.RevokedCertificateEntries, c.SerialNumber, func(e x509.RevocationListEntry, n *big.Int) int { return e.SerialNumber.Cmp(n) })
	if !ok {
		return nil
	}
	return &l.RevokedCertificateEntries[i]
}

// Revoked says why a connection that stands must not stand any longer: a list of what is revoked has come since, with the secret that says whom to trust, and
// has its peer. Nothing else is asked of the peer again: dates, names and roots are for handshakes. It is for whoever has the connection, after the
// handshake. It costs a comparison, and when the secret is new a search in its lists: no context is compiled for it, since a loop may have many.
func (s *Session) Revoked() error {
	if s.of.validation == nil {
		return nil // what is asked never changes
	}
	now := s.of.validation.value.Load()
	if now == s.judged {
		return nil
	}
	s.judged = now
	if now == nil || now.Validation == nil || len(now.Validation.Revoked) == 0 {
		return nil
	}
	shown := s.Peer()
	listed := slices.ContainsFunc(shown, func(c *x509.Certificate) bool {
		return slices.ContainsFunc(now.Validation.Revoked, func(l *x509.RevocationList) bool {
			return string(l.RawIssuer) == string(c.RawIssuer) && entryOf(l, c) != nil
		})
	})
	if !listed {
		return nil
	}
	// Whether the list is its issuer's, and no other chain leads to a root.
	checks := newChecks(merge(s.of.config.Validation, now.Validation), s.of.server)
	if checks.asked.AcceptUntrusted {
		return nil // a handshake would take it, too
	}
	chains, err := checks.chains(shown)
	if err != nil {
		return err
	}
	var why *Refusal
	if err := checks.revoked(chains); errors.As(err, &why) && why.Revoked {
		return err
	}
	return nil
}

// CountRevoked counts a connection that ends for that.
func (s *Session) CountRevoked() {
	if s.stats != nil {
		s.stats.Inc(ConnectionRevoked)
	}
}
