package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weftmesh/weft/control/lease"
)

// leaseObject is a coordination.k8s.io/v1 Lease. Its spec is in Kubernetes' own words.
type leaseObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name            string `json:"name"`
		Namespace       string `json:"namespace"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Holder      string `json:"holderIdentity"`
		Seconds     int    `json:"leaseDurationSeconds"`
		Acquired    string `json:"acquireTime,omitempty"`
		Renewed     string `json:"renewTime"`
		Transitions int    `json:"leaseTransitions"`
	} `json:"spec"`
}

// microTime is how Kubernetes writes such times.
const microTime = "2006-01-02T15:04:05.000000Z"

// Lead is lease.Lead with a Lease of this API server's.
func (s *Server) Lead(ctx context.Context, namespace, name string, log *slog.Logger, do func(context.Context)) {
	lease.Lead(ctx, s.leaseAt(namespace, name), log.With("cluster", s.Name, "lease", namespace+"/"+name), do)
}

// leaseAt is where a Lease is.
type leaseAt struct {
	server                *Server
	path, namespace, name string
}

func (s *Server) leaseAt(namespace, name string) leaseAt {
	return leaseAt{s, "/apis/coordination.k8s.io/v1/namespaces/" + namespace + "/leases", namespace, name}
}

func (l leaseAt) why(err error) error {
	return fmt.Errorf("the Lease %s/%s: %w", l.namespace, l.name, err)
}

// Get implements lease.Place.
func (l leaseAt) Get(ctx context.Context) (r lease.Record, version string, err error) {
	var is leaseObject
	err = l.server.answer(ctx, http.MethodGet, l.path+"/"+l.name, nil, &is)
	if apierrors.IsNotFound(err) {
		return r, "", nil
	}
	if err != nil {
		return r, "", l.why(err)
	}
	r = lease.Record{Holder: is.Spec.Holder, Life: time.Duration(is.Spec.Seconds) * time.Second, Transitions: is.Spec.Transitions}
	r.Acquired, _ = time.Parse(time.RFC3339, is.Spec.Acquired) // of one that was never taken there is none
	r.Renewed, _ = time.Parse(time.RFC3339, is.Spec.Renewed)
	return r, is.Metadata.ResourceVersion, nil
}

// Put implements lease.Place.
func (l leaseAt) Put(ctx context.Context, r lease.Record, version string) error {
	is := leaseObject{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}
	is.Metadata.Namespace, is.Metadata.Name, is.Metadata.ResourceVersion = l.namespace, l.name, version
	is.Spec.Holder, is.Spec.Seconds, is.Spec.Transitions, is.Spec.Renewed = r.Holder, int(r.Life/time.Second), r.Transitions, r.Renewed.UTC().Format(microTime)
	if !r.Acquired.IsZero() {
		is.Spec.Acquired = r.Acquired.UTC().Format(microTime)
	}
	method, path := http.MethodPut, l.path+"/"+l.name
	if version == "" {
		method, path = http.MethodPost, l.path
	}
	err := l.server.answer(ctx, method, path, is, &is)
	switch {
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) && version != "":
		return lease.ErrTaken
	case err != nil:
		return l.why(err)
	}
	return nil
}

// leaseOf is the name of the Lease of a duty that each revision has by itself.
func leaseOf(duty, revision string) string {
	if revision == "" {
		return duty
	}
	return duty + "-" + revision
}
