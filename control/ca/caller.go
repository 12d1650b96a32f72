package ca

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Caller is somebody who has shown who it is.
type Caller struct {
	Identity
	By string // how it has shown that: "certificate", "join token" and so on, for the audit log
	// Spend uses the proof up, if it is good once; nil: it can be shown again. Who grants what was asked for calls it when nothing else is wrong, so
	// that a refused request costs nobody his proof. Of several who show the same one at once, one does not fail.
	Spend func(context.Context) error
}

// Authenticator finds out who calls. Each kind of proof is one.
type Authenticator interface {
	// Authenticate is who calls. If the call has nothing of the kind of proof that it judges, the error is ErrNoProof.
	Authenticate(ctx context.Context) (Caller, error)
}

// ErrNoProof says that a caller has not even tried.
var ErrNoProof = errors.New("ca: the call has no proof of who it is from")

// Authenticate asks one after the other. A proof that is wrong is not made good by another one.
func Authenticate(ctx context.Context, list []Authenticator) (Caller, error) {
	for _, one := range list {
		c, err := one.Authenticate(ctx)
		if errors.Is(err, ErrNoProof) {
			continue
		}
		return c, err
	}
	return Caller{}, ErrNoProof
}

// ByCertificate is the proof of a TLS connection whose certificate was verified against the roots of the mesh. It is how certificates are renewed.
type ByCertificate struct{ TrustDomain string }

// Authenticate implements Authenticator.
func (b ByCertificate) Authenticate(ctx context.Context) (Caller, error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return Caller{}, ErrNoProof
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Caller{}, ErrNoProof
	}
	who, err := b.Of(info)
	return Caller{Identity: who, By: "certificate"}, err
}

// Of is who is at the other end of a connection: what its certificate says, which was verified; ErrNoProof: it has none.
func (b ByCertificate) Of(info credentials.TLSInfo) (Identity, error) {
	if len(info.State.VerifiedChains) == 0 {
		return Identity{}, ErrNoProof
	}
	leaf := info.State.VerifiedChains[0][0]
	if len(leaf.URIs) != 1 {
		return Identity{}, fmt.Errorf("ca: the client's certificate has %d URIs: want its identity alone (X509-SVID, 2)", len(leaf.URIs))
	}
	who, err := ParseIdentity(leaf.URIs[0].String())
	if err != nil {
		return Identity{}, err
	}
	if who.TrustDomain != b.TrustDomain {
		return Identity{}, fmt.Errorf("ca: the client's certificate is of the trust domain %q: want %q", who.TrustDomain, b.TrustDomain)
	}
	return who, nil
}

// ByToken is the proof of a join token.
type ByToken struct{ Authority *Authority }

// Authenticate implements Authenticator.
func (b ByToken) Authenticate(ctx context.Context) (Caller, error) {
	text := bearer(ctx)
	if !strings.HasPrefix(text, tokenBegins) {
		return Caller{}, ErrNoProof
	}
	who, spend, err := b.Authority.Token(ctx, text)
	return Caller{who, "join token", spend}, err
}

// bearer is the token of a call (RFC 6750, 2.1); empty: it has none.
func bearer(ctx context.Context) string {
	m, _ := metadata.FromIncomingContext(ctx)
	for _, v := range m.Get("authorization") {
		if scheme, text, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(text)
		}
	}
	return ""
}
