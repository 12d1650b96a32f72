package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

// Upstream is a Signer that speaks Istio's own service, as istio-csr does. It finds out by itself who asks, by the token that the caller has shown here: so that is handed on.
type Upstream struct {
	address string
	conn    *grpc.ClientConn
}

// NewUpstream says where it is: HOST:PORT, where it speaks TLS with a certificate of HOST's that leads to the roots of a file. It connects when it is asked for something.
func NewUpstream(address, roots string) (*Upstream, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("ca: the address %q: want HOST:PORT", address)
	}
	if _, err := readRoots(roots); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, NextProtos: []string{"h2"},
		// VerifyConnection does what is skipped by this, with the roots that the file has by then.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			list, err := readRoots(roots)
			if err != nil {
				return err
			}
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: host}
			for _, root := range list {
				o.Roots.AddCert(root)
			}
			for _, c := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(c)
			}
			_, err = s.PeerCertificates[0].Verify(o)
			return err
		}}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(c)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &Upstream{address, conn}, nil
}

// Close ends its connections.
func (u *Upstream) Close() { u.conn.Close() }

// Name implements Signer.
func (u *Upstream) Name() string { return u.address }

// maxSaid bounds what is told on of why it refuses something, in bytes.
const maxSaid = 512

// Sign implements Signer.
func (u *Upstream) Sign(ctx context.Context, o Order) ([]byte, error) {
	if o.Token == "" {
		return nil, &Refusal{Text: "certificates are signed by " + u.address + ", which wants the token of a service account: show that, and beside a certificate, too", Unproven: true}
	}
	a, err := securityv1alpha1.NewIstioCertificateServiceClient(u.conn).CreateCertificate(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.Token),
		&securityv1alpha1.IstioCertificateRequest{Csr: string(o.CSR), ValidityDuration: int64(o.Life / time.Second)})
	if err != nil {
		said := status.Convert(err)
		text := fmt.Sprintf("%s: %.*q", said.Code(), maxSaid, said.Message())
		switch said.Code() {
		case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument:
			return nil, &Refusal{Text: u.address + " refuses: " + text, Unproven: said.Code() == codes.Unauthenticated}
		}
		return nil, errors.New(text)
	}
	return []byte(strings.Join(a.GetCertChain(), "\n")), nil
}

// HandedOn is the token of a call that may be shown to an Upstream; empty: there is none. Those that are made here are nobody else's business.
func HandedOn(ctx context.Context) string {
	if text := bearer(ctx); !strings.HasPrefix(text, tokenBegins) {
		return text
	}
	return ""
}
