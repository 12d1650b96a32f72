package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ConfigMap in which the Pods of a namespace find the certificates that the mesh trusts, as Istio's have it.
const (
	rootsName = "istio-ca-root-cert"
	rootsKey  = "root-cert.pem"
	rootsLock = "weftd-roots" // the Lease of who writes them
	writer    = "weftd"       // by which an API server tells what is ours from what is others'
	looking   = 5 * time.Second
)

// managed has an API server know who writes.
var managed = url.Values{"fieldManager": {writer}}

// withoutRoots are namespaces in which no workload of a mesh is, as at Istio's.
var withoutRoots = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// publishRoots has every namespace have a ConfigMap with the certificates that the mesh trusts, in PEM, until ctx ends. Of several processes one does it. One that
// somebody else keeps, such as another control plane, is left as it is and said: who trusts that one's certificates would not trust ours.
func (c *Cluster) publishRoots(ctx context.Context) {
	c.Server.Lead(ctx, c.Namespace, rootsLock, c.Log, func(ctx context.Context) {
		p := &copies{cluster: c, there: map[string]string{}, coming: -1, wake: make(chan struct{}, 1)}
		f := &feed{cluster: c, what: "configmaps", paths: []string{"/api/v1/configmaps"}, fields: "metadata.name=" + rootsName, read: readCopy, into: p}
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { f.run(ctx) })
		c.spaces.also(p.wake)
		defer c.spaces.also(nil)
		p.keep(ctx)
	})
}

// copies are those ConfigMaps as the server has them. It is the sink of the feed of them.
type copies struct {
	cluster *Cluster
	wake    chan struct{}
	mu      sync.Mutex
	there   map[string]string // what they have, by namespace
	coming  int               // of a list that is being read what has been; less than 0: none is
	whole   bool
}

// readCopy reads one: what it has is told as an annotation, which is all that an item has room for.
func readCopy(data []byte) (*item, error) {
	var in struct {
		Metadata struct{ Name, Namespace, ResourceVersion string }
		Data     map[string]string
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	m := in.Metadata
	return &item{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, ResourceVersion: m.ResourceVersion, Annotations: map[string]string{rootsKey: in.Data[rootsKey]}}}, nil
}

// Add, Update, Delete, Replace and Resync implement cache.ReflectorStore.
func (p *copies) Add(one any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := one.(*item)
	p.there[i.Namespace] = i.Annotations[rootsKey]
	p.nudge()
	return nil
}

// Update is Add.
func (p *copies) Update(one any) error { return p.Add(one) }

// Resync has nothing to do.
func (p *copies) Resync() error { return nil }

// Delete forgets one.
func (p *copies) Delete(one any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.there, one.(*item).Namespace)
	p.nudge()
	return nil
}

// Replace has these be all that there are.
func (p *copies) Replace(all []any, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.there)
	p.coming = -1
	for _, one := range all {
		p.there[one.(*item).Namespace] = one.(*item).Annotations[rootsKey]
	}
	p.whole = true
	p.nudge()
	return nil
}

func (p *copies) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// begins notes that a list begins to be read, and comes that one of it has been. There are as many namespaces as there may be objects of a cluster, at most.
func (p *copies) begins() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.coming = 0
}

func (p *copies) comes(one *item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	after := len(p.there)
	if _, is := p.there[one.Namespace]; p.coming >= 0 {
		p.coming++
		after = p.coming
	} else if !is {
		after++
	}
	return p.cluster.hold.refuses(after)
}

func (p *copies) runs(bool) {}
func (p *copies) lost()     {}

// failed is told to people at once: nothing else waits for these.
func (p *copies) failed(why string) bool {
	p.cluster.Log.Warn("the roots are not published", "cluster", p.cluster.Server.Name, "because", why)
	return true
}

// keep writes those that are not as they should be, when they become so, and looks for other roots every few seconds.
func (p *copies) keep(ctx context.Context) {
	said := map[string]string{} // what has gone wrong, by namespace
	tick := time.NewTicker(looking)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-tick.C:
		}
		want := string(p.cluster.Roots())
		for _, namespace := range p.wrong(want, p.cluster.spaces.names()) {
			err := p.write(ctx, namespace, want)
			if ctx.Err() != nil {
				return
			}
			why := ""
			if err != nil {
				why = err.Error()
			}
			if why != "" && said[namespace] != why {
				p.cluster.Log.Warn("the roots are not published in a namespace", "cluster", p.cluster.Server.Name, "namespace", namespace, "because", why)
			}
			if said[namespace] = why; why == "" {
				delete(said, namespace)
			}
		}
		maps.DeleteFunc(said, func(namespace, _ string) bool { return !slices.Contains(p.cluster.spaces.names(), namespace) })
	}
}

// wrong are the namespaces whose copy is none.
func (p *copies) wrong(want string, namespaces []string) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.whole || want == "" {
		return nil
	}
	for _, one := range namespaces {
		if p.there[one] != want && !slices.Contains(withoutRoots, one) {
			out = append(out, one)
		}
	}
	return out
}

const writeTime = 10 * time.Second

// write applies one. What is ours becomes what is wanted; what others keep, the server says.
func (p *copies) write(ctx context.Context, namespace, want string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	type object = map[string]any
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": rootsName, "namespace": namespace, "labels": object{"istio.io/config": "true"}}, "data": object{rootsKey: want}})
	if err != nil {
		return err
	}
	body, err := p.cluster.Server.ask(ctx, question{method: http.MethodPatch, path: "/api/v1/namespaces/" + namespace + "/configmaps/" + rootsName,
		query: managed, kind: "application/apply-patch+yaml", body: text})
	switch {
	case err == nil:
		return body.Close()
	case apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return nil // it is going
	case apierrors.IsConflict(err):
		return fmt.Errorf("another one keeps the ConfigMap %s there, and is left alone: if that is over, delete the ConfigMap: %w", rootsName, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: [""], resources: [configmaps], verbs: [create, patch]}`, err)
	}
	return err
}
