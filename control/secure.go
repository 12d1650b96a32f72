package control

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// serverNames are what agents know a control plane by, Istio's and ours, besides what an operator adds.
var serverNames = []string{"istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "istio-pilot.istio-system.svc", "weftd.istio-system.svc", "localhost"}

// secure is what is behind the addresses where everybody proves who he is: the authority of the mesh.
type secure struct {
	ca   *ca.Authority
	grpc *grpc.Server // nil: only people come
}

// openSecure opens the authority, and the address that proxies come to.
func (p *Plane) openSecure(trustDomain string) (err error) {
	s := &secure{}
	p.secure = s
	if p.Store == "" && p.CADir == "" {
		p.Log.Warn("the root of the mesh's certificates is kept in memory, and nobody trusts it after this process: name a file by --store")
	}
	if s.ca, err = ca.Open(p.ctx, ca.Options{Store: p.store, TrustDomain: trustDomain, Folder: p.CADir, Audit: p.audit.certificate}); err != nil {
		return err
	}
	p.parts.Go(func() {
		s.ca.Run(p.ctx, func(err error) { p.Log.Error("the authority goes on with what it knows", "because", err) })
	})
	if p.SecureGRPC == "" {
		return nil
	}
	l, err := p.listen("--secure-grpc-addr", p.SecureGRPC)
	if err != nil {
		return err
	}
	s.grpc = grpc.NewServer(append(server.GRPC(), grpc.Creds(credentials.NewTLS(s.ca.ServerTLS(p.names()))))...)
	proofs := []ca.Authenticator{ca.ByCertificate{TrustDomain: trustDomain}, ca.ByToken{Authority: s.ca}}
	if p.cluster != nil {
		proofs = append(proofs, p.cluster.account(trustDomain))
	}
	securityv1alpha1.RegisterIstioCertificateServiceServer(s.grpc, &ca.Service{Authority: s.ca, Proofs: proofs})
	server.New(server.Options{Control: p.push, Stats: p.stats.Acquire(server.Stats, "xds_secure.").Loop(0)}).Register(s.grpc)
	p.SecureAddress = l.Addr()
	p.parts.Go(func() { s.grpc.Serve(l) })
	return nil
}

func (s *secure) close() {
	if s.grpc != nil {
		s.grpc.Stop()
	}
}

// names are those of DNS that weftd has over TLS.
func (p *Plane) names() []string {
	return append(serverNames[:len(serverNames):len(serverNames)], p.SecureNames...)
}

// admit holds what a proxy says of itself against what its connection has shown. On a connection in plain text nobody shows anything: whoever may
// reach that address is believed.
func (p *Plane) admit(s *server.Session, proxy *translate.Proxy) error {
	info, ok := s.Auth().(credentials.TLSInfo)
	if !ok {
		return nil
	}
	who, err := ca.ByCertificate{TrustDomain: p.trustDomain}.Of(info)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if proxy.Namespace != who.Namespace || proxy.Account != "" && proxy.Account != who.ServiceAccount {
		return status.Errorf(codes.PermissionDenied, "control: the node is of namespace %q and service account %q, and its certificate of %s: want a node that is what its certificate says", proxy.Namespace, proxy.Account, who)
	}
	proxy.Account = who.ServiceAccount
	return nil
}
