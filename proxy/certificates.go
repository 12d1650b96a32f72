package proxy

import (
	"bytes"
	"crypto/x509"
	"math"
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/admin"
)

// Certificates are those of every transport socket in force, with the secrets that there are.
func (p *Proxy) Certificates() (all []admin.TransportView) {
	p.mu.Lock()
	s := p.current
	p.mu.Unlock()
	add := func(t *config.TLS) {
		if t == nil {
			return
		}
		var v admin.TransportView
		roots := func(of *config.Validation) {
			if of == nil {
				return
			}
			for _, r := range of.Roots {
				v.Roots = append(v.Roots, admin.CertificateView{Where: of.Where, Certificate: r})
			}
		}
		roots(t.Validation)
		if named := s.Secrets[t.ValidationSecret.Name]; named != nil {
			roots(named.Validation)
		}
		for i := range t.Certificates {
			c := t.Certificates[i].Value
			if named := s.Secrets[t.Certificates[i].Secret.Name]; c == nil && named != nil {
				c = named.Certificate
			}
			if c == nil {
				continue // it has not come
			}
			for k, der := range c.Certificate.Certificate {
				one := c.Leaf
				if k > 0 {
					var err error
					if one, err = x509.ParseCertificate(der); err != nil {
						continue // it is passed on as it is
					}
				}
				v.Chain = append(v.Chain, admin.CertificateView{Where: c.Where, Certificate: one})
			}
		}
		all = append(all, v)
	}
	for _, l := range s.Listeners {
		for c := range l.AllChains() {
			add(c.TLS)
		}
	}
	for _, c := range s.Clusters {
		for t := range c.AllTLS() {
			add(t)
		}
	}
	return all
}

// daysLeft is how many whole days it is until the first certificate ends; 0 when one has, and much when there is none, as in Envoy.
func daysLeft(all []admin.TransportView, now time.Time) uint64 {
	days := uint64(math.MaxUint32)
	for _, t := range all {
		for _, list := range [][]admin.CertificateView{t.Roots, t.Chain} {
			for _, c := range list {
				days = min(days, admin.DaysLeft(c.Certificate, now))
			}
		}
	}
	return days
}

// newlyRevoked tells whether lists of revoked certificates are others than they were: connections that stand have to be held against them.
func newlyRevoked(was, is map[string]*config.Secret) bool {
	for name, s := range is {
		if s.Validation == nil || len(s.Validation.Revoked) == 0 {
			continue
		}
		if old := was[name]; old != s && (old == nil || old.Validation == nil || !slices.EqualFunc(old.Validation.Revoked, s.Validation.Revoked, func(a, b *x509.RevocationList) bool {
			return bytes.Equal(a.Raw, b.Raw)
		})) {
			return true
		}
	}
	return false
}
