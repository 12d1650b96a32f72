package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/source/kube"
)

// clusterSigner is a signer of the cluster that is followed.
type clusterSigner struct {
	server *kube.Server
	name   string
}

// Name implements ca.Signer.
func (c clusterSigner) Name() string { return c.name }

// Sign implements ca.Signer.
func (c clusterSigner) Sign(ctx context.Context, o ca.Order) ([]byte, error) {
	return c.server.Sign(ctx, c.name, o.CSR, o.Life)
}

// signerRoots are the certificates that the mesh trusts when somebody else signs: those of the file, and those that the mesh's own configuration has for that signer.
func (p *Plane) signerRoots() (text []byte, where string, err error) {
	where = "the mesh's configuration, caCertificates"
	if p.CARoots != "" {
		where = "file " + p.CARoots + ", and " + where
		if text, err = ca.ReadFile(p.CARoots); err != nil {
			return nil, where, err
		}
	}
	config := p.first.Config
	if p.push != nil {
		if m := p.push.Mesh(); m != nil {
			config = m.Settings.Config
		}
	}
	for _, one := range config.GetCaCertificates() {
		if p.CASigner != "" && slices.Contains(one.GetCertSigners(), p.CASigner) {
			text = append(append(text, '\n'), one.GetPem()...)
		}
	}
	return text, where, nil
}

// signer is who signs certificates outside of this process; nil: this one does.
func (p *Plane) signer() (ca.Signer, error) {
	switch {
	case p.CASigner == "" && p.CAUpstream == "":
		if p.CARoots != "" || p.CAUpstreamRoots != "" {
			return nil, errors.New("--ca-roots and --ca-upstream-roots are about who signs certificates outside of weftd: name that by --ca-signer or --ca-upstream")
		}
		return nil, nil
	case p.CASigner != "" && p.CAUpstream != "" || p.CADir != "":
		return nil, errors.New("--ca-signer, --ca-upstream and --ca-dir each say who signs certificates: want one of them")
	case p.CAUpstream == "" && p.CAUpstreamRoots != "":
		return nil, errors.New("--ca-upstream-roots is about whoever --ca-upstream names, and not about a signer of a Kubernetes API server: leave it out")
	case p.CAUpstream != "" && p.CARoots == "":
		return nil, errors.New("--ca-upstream does not say whom to trust: name a file with the root's certificate by --ca-roots")
	}
	if p.CASigner != "" {
		if p.cluster == nil {
			return nil, errors.New("--ca-signer is a signer of a Kubernetes API server: name that by --kubeconfig")
		}
		if err := kube.IsSigner(p.CASigner); err != nil {
			return nil, fmt.Errorf("--ca-signer: %w", err)
		}
		return clusterSigner{p.cluster.server, p.CASigner}, nil
	}
	if p.ServerCert == "" {
		return nil, errors.New("--ca-upstream signs for workloads, and not for weftd's own servers: name a directory with tls.crt and tls.key for those by --server-cert")
	}
	roots := p.CAUpstreamRoots
	if roots == "" {
		roots = p.CARoots
	}
	u, err := ca.NewUpstream(p.CAUpstream, roots)
	if err != nil {
		return nil, fmt.Errorf("--ca-upstream: %w", err)
	}
	context.AfterFunc(p.ctx, u.Close)
	return u, nil
}
