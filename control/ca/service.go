package ca

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

// Service is istio.v1.auth.IstioCertificateService, as agents of Istio's ask for certificates.
type Service struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	Authority *Authority
	Proofs    []Authenticator // of who calls, in the order in which they are asked for
}

// What Istio's agents send beside a request.
const (
	metaSigner       = "CertSigner"
	metaImpersonated = "ImpersonatedIdentity"
)

// CreateCertificate implements the service: the answer has the certificate, those between it and the root, and the root last.
func (s *Service) CreateCertificate(ctx context.Context, q *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	r := Request{CSR: []byte(q.GetCsr())}
	if p, ok := peer.FromContext(ctx); ok {
		r.From = p.Addr.String()
	}
	s.Authority.count(requests)
	caller, err := Authenticate(ctx, s.Proofs)
	if errors.Is(err, ErrUnanswered) {
		return nil, s.refuse(r, codes.Unavailable, err)
	}
	if err != nil {
		s.Authority.count(unproven)
		return nil, s.refuse(r, codes.Unauthenticated, err)
	}
	r.Who, r.By, r.Spend, r.Token = caller.Identity, caller.By, caller.Spend, HandedOn(ctx)
	meta := q.GetMetadata().GetFields()
	if v := meta[metaImpersonated].GetStringValue(); v != "" {
		return nil, s.refuse(r, codes.PermissionDenied, fmt.Errorf("ca: %s may not have certificates of %q: nobody may have those of others here", caller.Identity, v))
	}
	if v := meta[metaSigner].GetStringValue(); v != "" && !s.Authority.is(v) {
		return nil, s.refuse(r, codes.InvalidArgument, fmt.Errorf("ca: the signer %q: want none, or the one that this mesh has: there is one authority here", v))
	}
	if r.Life, err = lifeOf(q.GetValidityDuration()); err != nil {
		return nil, s.refuse(r, codes.InvalidArgument, err)
	}
	chain, err := s.Authority.Issue(ctx, r)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		code := codes.InvalidArgument
		switch {
		case refusal.Revoked:
			code = codes.PermissionDenied
		case refusal.Unproven:
			code = codes.Unauthenticated
		}
		return nil, status.Error(code, err.Error())
	}
	if errors.Is(err, errNoToken) {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	a := &securityv1alpha1.IstioCertificateResponse{}
	for _, c := range chain {
		a.CertChain = append(a.CertChain, string(PEM(c)))
	}
	return a, nil
}

// is tells whether an agent that names its signer means the one that there is: by its name, or by what stands in that behind its domain, as Istio's agents do (CERT_SIGNER).
func (a *Authority) is(signer string) bool {
	if a.outside == nil {
		return false
	}
	_, short, _ := strings.Cut(a.outside.Name(), "/")
	return signer == a.outside.Name() || signer == short
}

// refuse says no before the authority is asked.
func (s *Service) refuse(r Request, code codes.Code, err error) error {
	record := Record{Time: time.Now(), By: r.By, From: r.From, Refused: err.Error()}
	if r.Who != (Identity{}) {
		record.Identity = r.Who.String()
	}
	s.Authority.audit(record)
	return status.Error(code, err.Error())
}

// lifeOf is seconds of a request; 0 leaves it to us.
func lifeOf(seconds int64) (time.Duration, error) {
	if seconds < 0 {
		return 0, fmt.Errorf("ca: validity_duration of %d seconds: want more", seconds)
	}
	return time.Duration(min(seconds, int64(MaxLife/time.Second))) * time.Second, nil
}
