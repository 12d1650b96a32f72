package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ServerTLS is how a server of the control plane's own speaks TLS: with a certificate of those names of DNS, which renews itself, and taking
// certificates of the mesh from clients that have one. Who must have one is for Proofs to say.
func (a *Authority) ServerTLS(names []string) *tls.Config {
	s := &server{authority: a, names: slices.Clone(names)}
	if a.outside != nil && a.options.ServerFiles == "" {
		s.begin() // so that nobody has to wait for it
	}
	base := &tls.Config{
		MinVersion:       tls.VersionTLS12,
		GetCertificate:   s.certificate,
		ClientAuth:       tls.VerifyClientCertIfGiven,
		VerifyConnection: a.admit,
		NextProtos:       []string{"h2"},
	}
	out := base.Clone()
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientCAs = x509.NewCertPool()
		for _, root := range a.Roots() { // which may be others than at the last connection
			c.ClientCAs.AddCert(root)
		}
		return c, nil
	}
	return out
}

// server is the certificate of a server.
type server struct {
	authority *Authority
	names     []string

	mu    sync.Mutex
	now   *tls.Certificate
	by    *issuer // who has signed it
	renew time.Time
	asked chan struct{} // closed when who signs outside has answered; nil: nobody is asked
	wrong error         // what has come of the last question; nil: nothing was wrong
	again time.Time     // when to ask next if something was
}

// certificate is the one that is in force. It is renewed at half of its life, and whenever another root signs.
func (s *server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	switch {
	case s.authority.options.ServerFiles != "":
		return s.authority.served.Load(), nil
	case s.authority.outside != nil:
		return s.fromOutside()
	}
	s.authority.mu.RLock()
	signs := s.authority.signs
	s.authority.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.now != nil && now.Before(s.renew) && s.by == signs {
		return s.now, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	leaf, err := signs.issue(newSerial(), nil, s.names, key.Public(), now, DefaultLife)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, up := range signs.chain {
		c.Certificate = append(c.Certificate, up.Raw)
	}
	s.now, s.by, s.renew = c, signs, now.Add(leaf.NotAfter.Sub(now)/2)
	return c, nil
}

// admit turns down clients whose certificate is revoked.
func (a *Authority) admit(c tls.ConnectionState) error {
	if len(c.PeerCertificates) == 0 {
		return nil
	}
	return a.CheckRevoked(c.PeerCertificates[0])
}

// CheckRevoked says why a certificate of the mesh is not good any more, if it is not.
func (a *Authority) CheckRevoked(c *x509.Certificate) error {
	keys := []string{hex(c.SerialNumber)}
	for _, u := range c.URIs {
		keys = append(keys, u.String())
	}
	return a.check(keys...)
}

// CheckIdentity says why an identity is not good any more, if it is not.
func (a *Authority) CheckIdentity(who Identity) error { return a.check(who.String()) }

func (a *Authority) check(keys ...string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, key := range keys {
		if r, ok := a.revoked[key]; ok {
			return fmt.Errorf("ca: %s was revoked at %s: %s", key, r.Time.Format(time.RFC3339), r.Reason)
		}
	}
	return nil
}
