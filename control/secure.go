package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/xds/server"
)

// serverNames are what agents know a control plane by, Istio's and ours, besides what an operator adds.
var serverNames = []string{"istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "istio-pilot.istio-system.svc", "weftd.istio-system.svc", "localhost"}

// secure is what is behind the addresses where everybody proves who he is: the authority of the mesh.
type secure struct {
	ca      *ca.Authority
	secrets *secrets.Secrets
	grpc    *serve.Server // nil: only people come
}

// openAuthority opens the authority.
func (p *Plane) openAuthority(trustDomain string) (err error) {
	s := &secure{}
	p.secure = s
	signer, err := p.signer()
	if err != nil {
		return err
	}
	if p.Store == "" && p.CADir == "" && signer == nil {
		p.Log.Warn("the root of the mesh's certificates is kept in memory, and nobody trusts it after this process: name a file by --store")
	}
	if s.ca, err = ca.Open(p.ctx, ca.Options{Store: p.store, TrustDomain: trustDomain, Folder: p.CADir, Signer: signer, Roots: p.signerRoots, ServerFiles: p.ServerCert, Overlap: p.RootOverlap, Audit: p.audit.certificate, Stats: p.stats.Acquire(ca.Stats, "ca.").Loop(0)}); err != nil {
		return err
	}
	s.secrets = secrets.New(secrets.Options{Authority: s.ca, Life: p.CertificateLife, Log: p.Log, Stats: p.stats.Acquire(secrets.Stats, "secrets.").Loop(0)})
	return nil
}

// proofs are asked one after the other who calls: about certificates and about streams.
func (p *Plane) proofs(accounts ca.ByAccount) []ca.Authenticator {
	return []ca.Authenticator{ca.ByCertificate{TrustDomain: p.trustDomain}, ca.ByToken{Authority: p.secure.ca}, accounts}
}

// runAuthority has the authority be kept up to date, and secrets be made. What the mesh trusts may be said by its own configuration, so that what knows that is there before.
func (p *Plane) runAuthority() {
	p.parts.Go(func() {
		p.secure.ca.Run(p.ctx, func(err error) { p.Log.Error("the authority goes on with what it knows", "because", err) })
	})
	p.parts.Go(func() { p.secure.secrets.Run(p.ctx) })
}

// serveSecure has those come who prove who they are.
func (p *Plane) serveSecure() error {
	s := p.secure
	l, err := p.listen("--secure-grpc-addr", p.SecureGRPC)
	if err != nil {
		return err
	}
	s.grpc = p.transport("xds_secure_connections.", s.ca.ServerTLS(p.names()))
	securityv1alpha1.RegisterIstioCertificateServiceServer(s.grpc, &ca.Service{Authority: s.ca, Proofs: p.proofs(p.accounts())})
	server.New(server.Options{Control: proxies{p.push, p.machines}, Answer: p.answer, Stats: p.stats.Acquire(server.Stats, "xds_secure.").Loop(0)}).Register(s.grpc)
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
	all := slices.Clone(serverNames)
	for _, name := range append([]string{p.serviceName(), p.serviceName() + ".cluster.local", "istiod." + p.KubeNamespace + ".svc"}, p.SecureNames...) {
		if !slices.Contains(all, name) && (p.KubeNamespace != "" || slices.Contains(p.SecureNames, name)) {
			all = append(all, name)
		}
	}
	return all
}

// proving bounds how long somebody may be asked about who a caller is.
const proving = 10 * time.Second

// admit holds what a proxy says of itself against what it has shown: its certificate, or what a proof says that came with its stream. On a connection in
// plain text nobody shows anything: whoever may reach that address is believed, and is told no secrets.
func (p *Plane) admit(s *server.Session, proxy *translate.Proxy) (shown push.Shown, err error) {
	info, ok := s.Auth().(credentials.TLSInfo)
	if !ok {
		return shown, p.registers(s.Context(), s, proxy, ca.Identity{})
	}
	ctx, cancel := context.WithTimeout(s.Context(), proving)
	defer cancel()
	// Which cluster it is of, its agent says beside the token, or else the node. Who is asked about the token is whose keys it may have, and that is found out once: clusters come and go meanwhile.
	is := said(ctx)
	if is != "" && proxy.Cluster != "" && is != proxy.Cluster {
		return shown, status.Errorf(codes.PermissionDenied, "control: the node is of the cluster %.64q, and its stream of %.64q: want the same", proxy.Cluster, is)
	}
	proxy.Cluster = cmp.Or(proxy.Cluster, is)
	var home *cluster
	home, shown.Cluster = p.clusterOf(proxy.Cluster)
	accounts := p.accountsOf(home, proxy.Cluster)
	caller, err := ca.Authenticate(ctx, p.proofs(accounts))
	if errors.Is(err, ca.ErrUnanswered) {
		return shown, status.Error(codes.Unavailable, err.Error())
	}
	if err != nil {
		return shown, status.Error(codes.Unauthenticated, err.Error())
	}
	if proxy.Namespace != caller.Namespace || proxy.Account != "" && proxy.Account != caller.ServiceAccount {
		return shown, status.Errorf(codes.PermissionDenied, "control: the node is of namespace %q and service account %q, and its %s of %s: want a node that is what it has shown", proxy.Namespace, proxy.Account, caller.By, caller.Identity)
	}
	if own := proxy.ID[strings.LastIndexByte(proxy.ID, '.')+1:]; own != proxy.ID && own != caller.Namespace { // by which people know it
		return shown, status.Errorf(codes.PermissionDenied, "control: the node's id is %.128q, and its %s of %s: want NAME.%s", proxy.ID, caller.By, caller.Identity, caller.Namespace)
	}
	if err := p.secure.ca.CheckIdentity(caller.Identity); err != nil {
		return shown, status.Error(codes.Unauthenticated, err.Error())
	}
	if err := p.registers(ctx, s, proxy, caller.Identity); err != nil {
		return shown, err
	}
	if caller.Spend != nil { // nothing speaks against it any more
		if err := caller.Spend(ctx); err != nil {
			return shown, status.Error(codes.Unauthenticated, err.Error())
		}
	}
	proxy.Account = caller.ServiceAccount
	shown.Who, shown.By = caller.Identity, caller.By
	if p.CAUpstream != "" {
		shown.Token = ca.HandedOn(ctx)
	}
	if shown.Denied, err = p.unvouched(ctx, accounts, caller); err == nil && shown.Denied == "" && proxy.Role == translate.Gateway && home != nil { // which anybody may say that he is
		shown.Denied, err = home.denied(ctx, caller.Identity)
	}
	if err != nil {
		return shown, status.Error(codes.Unavailable, err.Error())
	}
	if len(info.State.VerifiedChains) > 0 {
		shown.Certificate = info.State.VerifiedChains[0][0]
	}
	return shown, nil
}
