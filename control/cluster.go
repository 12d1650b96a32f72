package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
)

// cluster is a Kubernetes API server as a source of objects.
type cluster struct {
	server *kube.Server
	*kube.Cluster
	rights rights
	// first is the mesh's own configuration as it was when the first certificate could be issued; nil: it is told, or there is none.
	first *source.Object
	// foreign is the mesh's own configuration whose trust domain is another than that of the certificates that were issued; empty: there is none.
	foreign []source.Problem
}

// openCluster reads how the API server is reached, if there is to be one.
func (p *Plane) openCluster() error {
	if p.Kubeconfig == "" {
		if p.KubeContext != "" {
			return errors.New("--kube-context is of a kubeconfig: name that by --kubeconfig")
		}
		if p.WriteStatus {
			return errors.New("--write-status is about objects of a Kubernetes API server: name that by --kubeconfig")
		}
		if p.PublishRoots {
			return errors.New("--publish-roots is about the namespaces of a Kubernetes API server: name that by --kubeconfig")
		}
		return nil
	}
	s, err := kube.Connect(p.Kubeconfig, p.KubeContext, "weftd")
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	s.Stats = p.stats.Acquire(kube.Stats, "cluster.").Loop(0)
	o := kube.Options{Server: s, Namespace: p.KubeNamespace, MeshConfig: p.MeshConfig == "", Revision: p.Revision, Log: p.Log}
	if p.PublishRoots {
		if p.SecureGRPC == "" {
			return errors.New("--publish-roots is about the certificates of what --secure-grpc-addr serves: name an address by that, such as :15012")
		}
		o.Roots = func() []byte { return p.secure.ca.RootsPEM() } // which is there before the cluster is followed
	}
	if p.WriteStatus {
		o.Verdicts = func() []source.Problem { return p.push.Problems() } // which is there before the cluster is followed
	}
	if p.Webhook != "" {
		o.Bundle = func() []byte { return p.secure.ca.RootsPEM() } // which is there before the cluster is followed
		o.BundleChanged = func() <-chan struct{} { return p.secure.ca.Changed() }
	}
	p.cluster = &cluster{server: s, Cluster: kube.New(o)}
	return nil
}

// settingTime bounds how long the mesh's own configuration is waited for before certificates are issued.
const settingTime = 30 * time.Second

// settings asks the cluster for the mesh's own configuration, which says in which trust domain certificates are issued.
func (c *cluster) settings(ctx context.Context) (source.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, settingTime)
	defer cancel()
	o, problems, err := c.MeshConfig(ctx)
	for ; err != nil && ctx.Err() == nil; o, problems, err = c.MeshConfig(ctx) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	switch {
	case err != nil:
		return source.Batch{}, err
	case o != nil:
		c.first = o
		return source.Batch{Changes: []source.Change{{Key: o.Key, Object: o}}}, nil
	case len(problems) == 0:
		return source.Batch{}, nil
	}
	var all []error
	for _, one := range problems {
		all = append(all, errors.New(push.Say(one)))
	}
	return source.Batch{}, errors.Join(all...)
}

// settled keeps a mesh's own configuration out whose trust domain is another: certificates of both would not trust one another.
func (p *Plane) settled(b source.Batch) source.Batch {
	c := p.cluster
	for i, one := range b.Changes {
		if one.Kind != source.MeshConfig || p.secure == nil {
			continue
		}
		c.foreign = nil
		if domain := mesh.New().With(b.Changes[i : i+1]).Settings.TrustDomain; domain != p.trustDomain {
			from := source.Origin{Source: c.server.Name}
			if one.Object != nil {
				from = one.Object.From
			}
			c.foreign = []source.Problem{{Key: one.Key, From: from, Path: "trustDomain",
				Text: fmt.Sprintf("would be %q, and certificates were issued in %q: those of both would not trust one another: what was there before stays in force; start again for another one", domain, p.trustDomain)}}
			if c.first != nil { // it is another since
				b.Changes[i].Object = c.first
			} else {
				b.Changes = append(b.Changes[:i:i], b.Changes[i+1:]...)
			}
		}
		c.first = nil
		break // there is one
	}
	b.Problems = append(b.Problems, c.foreign...)
	return b
}

// clusterOf is whose service accounts somebody's are who says of which cluster he is, with its key: an attached one of that name, or else the first, if there is one. No other cluster is asked: a
// token that is shown to one whose it is not would be that one's to use.
func (p *Plane) clusterOf(said string) (c *cluster, key string) {
	if c = p.clusters.get(said); c != nil {
		return c, said
	}
	return p.cluster, ""
}

// clusterHeader is what Istio's agent says beside its token: of which cluster it is.
const clusterHeader = "clusterid"

// said is the cluster that a call says it is of; empty: it says none.
func said(ctx context.Context) string {
	m, _ := metadata.FromIncomingContext(ctx)
	if all := m.Get(clusterHeader); len(all) > 0 {
		return all[0]
	}
	return ""
}

// accounts is the proof of service accounts of the clusters, which vouch for identities of the one trust domain, each for those of all namespaces. Each call says of which cluster it is.
func (p *Plane) accounts() ca.ByAccount {
	return ca.ByAccount{TrustDomain: p.trustDomain, Review: func(ctx context.Context, token string) (namespace, account string, err error) {
		is := said(ctx)
		c, _ := p.clusterOf(is)
		return p.accountsOf(c, is).Review(ctx, token)
	}}
}

// accountsOf is the proof of service accounts of one cluster, as clusterOf has found it for who says that he is of that name; nil: there is none.
func (p *Plane) accountsOf(c *cluster, said string) ca.ByAccount {
	return ca.ByAccount{TrustDomain: p.trustDomain, Review: func(ctx context.Context, token string) (namespace, account string, err error) {
		switch {
		case c == nil && said == "":
			return "", "", ca.ErrNoProof // it is nobody's here
		case c == nil:
			return "", "", fmt.Errorf("control: a token of a service account of the cluster %.64q, which is not attached: weftctl cluster list has those that are", said)
		}
		namespace, account, err = c.server.Review(ctx, token, ca.TokenAudience)
		if errors.Is(err, kube.ErrUnreviewed) {
			err = fmt.Errorf("%w: %w", ca.ErrUnanswered, err)
		}
		return namespace, account, err
	}}
}

// planeStatus is what /status shows.
type planeStatus struct {
	push.Status
	Clusters []ClusterStatus `json:"clusters,omitempty"`
	// Broken is what somebody has switched off by hand.
	Broken []console.Broken `json:"broken,omitempty"`
}

func (p *Plane) standing() planeStatus {
	return planeStatus{Status: p.push.Status(), Clusters: p.clusterStatus(), Broken: p.broken.all()}
}

// rights are what is known of who may read Secrets. What was known counts while the API server does not answer.
type rights struct {
	mu    sync.Mutex
	known map[ca.Identity]right
}

type right struct {
	may bool
	at  time.Time
}

const (
	rightLife = time.Minute
	maxRights = 10_000
)

// unvouched says why a proxy is told no credentials but its own, since its cluster does not vouch for it; empty: it does, or there is no other one. An error ends its stream.
//
// A certificate says nothing about clusters: who is of an attached one gets one for any namespace and name that there is in another, and would have that one's keys by saying that it is of that. So as soon as a cluster is
// attached, keys are for who shows a token of the cluster that they are of.
func (p *Plane) unvouched(ctx context.Context, accounts ca.ByAccount, caller ca.Caller) (string, error) {
	if caller.By == ca.AccountToken {
		return "", nil
	}
	if alone, err := p.clusters.alone(ctx); alone || err != nil {
		return "", err
	}
	again, err := accounts.Authenticate(ctx)
	switch {
	case errors.Is(err, ca.ErrUnanswered):
		return "", err
	case errors.Is(err, ca.ErrNoProof):
		return fmt.Sprintf("its %s does not say of which cluster it is, and others are attached: let it show on its stream, as a bearer token, one of its service account there, too, for the audience %s", caller.By, ca.TokenAudience), nil
	case err != nil:
		return fmt.Sprintf("the token that it shows beside its %s is not taken: %v", caller.By, err), nil
	case again.Identity != caller.Identity:
		return fmt.Sprintf("its %s is of %s, and the token that it shows beside it of %s: want the same", caller.By, caller.Identity, again.Identity), nil
	}
	return "", nil
}

// denied says why a gateway is told no credentials; empty: its account may read them itself. An error ends its stream.
func (c *cluster) denied(ctx context.Context, who ca.Identity) (string, error) {
	c.rights.mu.Lock()
	is, known := c.rights.known[who]
	c.rights.mu.Unlock()
	if !known || time.Since(is.at) > rightLife {
		may, err := c.server.MayReadSecrets(ctx, who.Namespace, who.ServiceAccount)
		switch {
		case err == nil:
			is = right{may, time.Now()}
			c.rights.mu.Lock()
			if c.rights.known == nil || len(c.rights.known) >= maxRights {
				c.rights.known = map[ca.Identity]right{}
			}
			c.rights.known[who] = is
			c.rights.mu.Unlock()
		case !known:
			return "", err
		}
	}
	if is.may {
		return "", nil
	}
	return fmt.Sprintf("the service account %s/%s may not list Secrets there: a Role for it needs {apiGroups: [\"\"], resources: [secrets], verbs: [get, watch, list]}", who.Namespace, who.ServiceAccount), nil
}
