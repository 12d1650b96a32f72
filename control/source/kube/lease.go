package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"net/http"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// How long a Lease is good for, how often it is renewed or looked at, and when who could not renew it stops: well before another one may take it.
const (
	leaseTime = 15 * time.Second
	leasePace = 2 * time.Second
	leaseEnd  = 10 * time.Second
	leaseAsks = 3 * time.Second // for one question
)

// lease is a coordination.k8s.io/v1 Lease.
type lease struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name            string `json:"name"`
		Namespace       string `json:"namespace"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	Spec leaseSpec `json:"spec"`
}

type leaseSpec struct {
	Holder      string    `json:"holderIdentity"`
	Seconds     int       `json:"leaseDurationSeconds"`
	Acquired    microTime `json:"acquireTime"`
	Renewed     microTime `json:"renewTime"`
	Transitions int       `json:"leaseTransitions"`
}

// microTime is as Kubernetes writes it, and "" as what it wrote of none.
type microTime string

func now() microTime { return microTime(time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")) }

// Lead has do run while this process is the one of several that holds a Lease, again and again until ctx ends. The context of do ends when the Lease is lost, or
// cannot be renewed and might be; do has to end then. Whose clock is right does not matter: a Lease is over when nobody has been seen to renew it for its time.
func (s *Server) Lead(ctx context.Context, namespace, name string, log *slog.Logger, do func(context.Context)) {
	host, _ := os.Hostname()
	l := leading{server: s, path: "/apis/coordination.k8s.io/v1/namespaces/" + namespace + "/leases", namespace: namespace, name: name, me: host + "_" + rand.Text()[:8]}
	var end func() // nil: it does not run
	defer func() {
		if end != nil {
			end()
		}
		l.release()
	}()
	said := ""
	for {
		mine, err := l.try(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			log.Warn("whether this one leads is not known", "cluster", s.Name, "because", err)
			said = err.Error()
		}
		switch {
		case mine && end == nil:
			log.Info("leads", "cluster", s.Name, "lease", namespace+"/"+name)
			end = begin(ctx, do)
		case !mine && end != nil && (err == nil || time.Since(l.renewed) > leaseEnd):
			log.Info("does not lead any more", "cluster", s.Name, "lease", namespace+"/"+name)
			end()
			end = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(leasePace/2 + randv2.N(leasePace/2)):
		}
	}
}

// begin has something run; who calls end has it end, and waits until it has.
func begin(ctx context.Context, do func(context.Context)) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do(ctx)
	}()
	return func() {
		stop()
		<-ended
	}
}

// leading is what one knows of a Lease.
type leading struct {
	server                    *Server
	path, namespace, name, me string
	seen                      leaseSpec // as it was last
	since                     time.Time // when it was first seen so
	renewed                   time.Time // when we last wrote it
}

// try takes or renews the Lease if that can be done, and says whether it is ours.
func (l *leading) try(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseAsks)
	defer cancel()
	began := time.Now()
	var is lease
	err := l.server.answer(ctx, http.MethodGet, l.path+"/"+l.name, nil, &is)
	method, path := http.MethodPut, l.path+"/"+l.name
	switch {
	case apierrors.IsNotFound(err):
		method, path = http.MethodPost, l.path
	case err != nil:
		return false, fmt.Errorf("the Lease %s/%s: %w", l.namespace, l.name, err)
	default:
		if is.Spec != l.seen {
			l.seen, l.since = is.Spec, began
		}
		if is.Spec.Holder != l.me && is.Spec.Holder != "" && time.Since(l.since) < time.Duration(is.Spec.Seconds)*time.Second {
			return false, nil
		}
	}
	is.APIVersion, is.Kind, is.Metadata.Namespace, is.Metadata.Name = "coordination.k8s.io/v1", "Lease", l.namespace, l.name
	if is.Spec.Holder != l.me {
		is.Spec.Holder, is.Spec.Acquired = l.me, now()
		is.Spec.Transitions++
	}
	is.Spec.Seconds, is.Spec.Renewed = int(leaseTime/time.Second), now()
	if err = l.server.answer(ctx, method, path, is, &is); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) { // another one was faster
			return false, nil
		}
		return false, fmt.Errorf("the Lease %s/%s: %w", l.namespace, l.name, err)
	}
	l.seen, l.since, l.renewed = is.Spec, began, began
	return true, nil
}

// release lets the next one have it at once.
func (l *leading) release() {
	if l.renewed.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseAsks)
	defer cancel()
	var is lease
	if err := l.server.answer(ctx, http.MethodGet, l.path+"/"+l.name, nil, &is); err != nil || is.Spec.Holder != l.me {
		return
	}
	is.Spec.Holder, is.Spec.Seconds, is.Spec.Renewed = "", 1, now() // what has no holder needs a time all the same
	l.server.answer(ctx, http.MethodPut, l.path+"/"+l.name, is, &is)
}
