package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// The files of a server's certificate, as a Secret of type kubernetes.io/tls has them where it is mounted.
const (
	servedCertificate = "tls.crt"
	servedKey         = "tls.key"
)

// askAgain is how long a signer outside is left alone that has signed no certificate of a server.
const askAgain = 5 * time.Second

// followServed has the certificate that the files have be the one of servers, as they change, until the context ends. What is wrong, such as half of
// a pair while both are written, leaves that in force that was read before.
func (a *Authority) followServed(ctx context.Context, report func(error)) {
	reread(ctx, report, func() error {
		c, err := readServed(a.options.ServerFiles)
		if err != nil {
			return fmt.Errorf("%w; what was read before is shown", err)
		}
		a.served.Store(c)
		if end := c.Leaf.NotAfter; time.Now().After(end) {
			return fmt.Errorf("ca: folder %s: the certificate has ended at %s: want the next one there", a.options.ServerFiles, end.Format(time.RFC3339))
		}
		return nil
	})
}

// readServed reads the certificate of a server.
func readServed(folder string) (*tls.Certificate, error) {
	certificates, err := readBounded(filepath.Join(folder, servedCertificate))
	if err != nil {
		return nil, err
	}
	key, err := readBounded(filepath.Join(folder, servedKey))
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(certificates, key)
	if err != nil {
		return nil, fmt.Errorf("ca: folder %s: %w", folder, err)
	}
	return &c, nil
}

// fromOutside is the certificate that a signer outside has signed. The next one is asked for at half of its life, and nobody waits for that.
func (s *server) fromOutside() (*tls.Certificate, error) {
	s.mu.Lock()
	now := time.Now()
	if s.asked == nil && (s.now == nil || now.After(s.renew)) && now.After(s.again) {
		s.mu.Unlock()
		s.begin()
		s.mu.Lock()
	}
	c, asked, wrong := s.now, s.asked, s.wrong
	s.mu.Unlock()
	if c != nil && now.Before(c.Leaf.NotAfter) {
		return c, nil
	}
	if asked == nil {
		return nil, wrong
	}
	<-asked // for as long as a question may take
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && now.Before(s.now.Leaf.NotAfter) {
		return s.now, nil
	}
	return nil, s.wrong
}

// begin asks for one, unless somebody does.
func (s *server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != nil {
		return
	}
	asked := make(chan struct{})
	s.asked, s.wrong = asked, errors.New("ca: the certificate of this server is not signed yet")
	go func() {
		c, err := s.ask()
		s.mu.Lock()
		defer s.mu.Unlock()
		defer close(asked)
		s.asked, s.wrong = nil, err
		if err != nil {
			s.again = time.Now().Add(askAgain)
			s.authority.audit(Record{Time: time.Now(), By: "this server's own", Signer: s.authority.outside.Name(), Refused: err.Error()})
			return
		}
		s.now, s.renew = c, time.Now().Add(time.Until(c.Leaf.NotAfter)/2)
		s.authority.audit(Record{Time: time.Now(), By: "this server's own", Signer: s.authority.outside.Name(), Serial: hex(c.Leaf.SerialNumber), Until: c.Leaf.NotAfter})
	}()
}

// ask has a new key be certified.
func (s *server) ask() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	text, err := requestOf(key, nil, s.names)
	if err != nil {
		return nil, err
	}
	chain, err := s.authority.outside.order(context.Background(), Order{CSR: text, Life: DefaultLife}, nil, s.names, key.Public(), s.authority.Roots())
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, one := range chain {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	return c, nil
}
