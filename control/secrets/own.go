package secrets

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/xds/server"
)

// own is the certificate of an identity, for all of its proxies. It is kept while one of them is connected, and is nowhere else.
type own struct {
	holders int
	from    string // address of who came first, for the audit log
	by      string // how that has shown who it is
	token   string // the last that one of them has shown and that may be handed on to a signer outside
	part    *server.Part
	leaf    *x509.Certificate
	due     time.Time // when it is issued anew
	busy    bool      // it is being issued
	failing int       // attempts since the last that succeeded
}

const (
	// issuing bounds the wait for a certificate, in which the store has to write it down.
	issuing = 10 * time.Second
	// atOnce bounds how many are issued at a time. The store writes down together what comes together.
	atOnce = 64
	// jitter is how much of a certificate's life its renewal at half of it may be off, so that those of proxies that came together part.
	jitter = 0.05
	// firstPause and lastPause are how long after a failure it is tried again.
	firstPause, lastPause = time.Second, time.Minute
	never                 = 24 * time.Hour
)

// Hold has a certificate be there for an identity until as many have let it go as have held it. It does not wait for it: News tells.
func (s *Secrets) Hold(who ca.Identity, from, by, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owns[who]
	if o == nil {
		o = &own{from: from, by: by}
		s.owns[who] = o
		poke(s.wake)
	}
	if token != "" {
		o.token = token
	}
	o.holders++
	s.gauge()
}

// Release lets it go.
func (s *Secrets) Release(who ca.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owns[who]; o != nil {
		if o.holders--; o.holders == 0 {
			delete(s.owns, who)
		}
	}
	s.gauge()
}

func (s *Secrets) gauge() {
	if s.Stats != nil {
		s.Stats.Set(held, uint64(len(s.owns)))
	}
}

// Own is the certificate and key of an identity that is held. nil: there is none, and if wait is true, the first attempt to issue it is not over.
func (s *Secrets) Own(who ca.Identity) (part *server.Part, wait bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owns[who]
	if o == nil {
		return nil, false
	}
	return o.part, o.part == nil && o.failing == 0
}

// issueDue begins to issue what is due, and says after how long something will be.
func (s *Secrets) issueDue(ctx context.Context, all *sync.WaitGroup) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, busy := time.Now(), 0
	for _, o := range s.owns {
		if o.busy {
			busy++
		}
	}
	wait = never
	for who, o := range s.owns {
		switch left := o.due.Sub(now); {
		case o.busy:
		case left > 0:
			wait = min(wait, left)
		case busy < atOnce: // else whoever is done wakes us
			busy++
			o.busy = true
			all.Go(func() {
				s.issue(ctx, who, o)
				poke(s.wake)
			})
		}
	}
	return wait
}

// issue makes a key and has it certified.
func (s *Secrets) issue(ctx context.Context, who ca.Identity, o *own) {
	ctx, cancel := context.WithTimeout(ctx, issuing)
	defer cancel()
	s.mu.Lock()
	r := ca.Request{Who: who, Life: s.Life, From: o.from, By: o.by, Token: o.token}
	s.mu.Unlock()
	part, leaf, err := s.certify(ctx, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	o.busy = false
	if err != nil {
		s.count(failed)
		o.failing++
		pause := min(firstPause<<min(o.failing-1, 10), lastPause)
		o.due = time.Now().Add(pause)
		if o.failing == 1 {
			poke(s.news) // whoever waits goes on without
			if !errors.Is(err, context.Canceled) {
				s.Log.Error("a certificate cannot be issued: it is tried again and again, and proxies go on with what they have", "identity", who, "because", err)
			}
		}
		return
	}
	s.count(issued)
	o.part, o.leaf, o.failing = part, leaf, 0
	o.by = "renewal on the stream"
	life := time.Until(leaf.NotAfter)
	o.due = time.Now().Add(time.Duration(float64(life) * (0.5 + jitter*(2*mathrand.Float64()-1))))
	poke(s.news)
}

// certify makes the secret of an identity's own certificate. Its version is of the certificate alone: it is logged, and the key is not to be.
func (s *Secrets) certify(ctx context.Context, r ca.Request) (*server.Part, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	r.Key = key
	chain, err := s.Authority.Issue(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	shown := chain
	if last := chain[len(chain)-1]; len(chain) > 1 && bytes.Equal(last.RawSubject, last.RawIssuer) {
		shown = chain[:len(chain)-1] // peers have the root, or would not believe it
	}
	resource := secret(Own, chain[0].SerialNumber.Text(16), &tlsv3.Secret{Name: Own, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(ca.PEM(shown...)),
		PrivateKey:       inline(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}}})
	return &server.Part{Kind: server.Secrets, Resources: []*server.Resource{resource}}, chain[0], nil
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

// replaceRevoked has certificates issued anew that were revoked by their number: whose they are is not.
func (s *Secrets) replaceRevoked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, o := range s.owns {
		if o.leaf != nil && s.Authority.CheckRevoked(o.leaf) != nil && s.Authority.CheckIdentity(who) == nil {
			o.due = time.Time{}
		}
	}
}

// Revoked says why somebody is not served any more: his identity was revoked, or the certificate that he has shown, which may be nil.
func (s *Secrets) Revoked(who ca.Identity, shown *x509.Certificate) error {
	if err := s.Authority.CheckIdentity(who); err != nil {
		return err
	}
	if shown == nil {
		return nil
	}
	return s.Authority.CheckRevoked(shown)
}
