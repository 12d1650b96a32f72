package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An API server believes a webhook by the certificates that its configuration names (caBundle).
const (
	bundleLock   = "weftd-webhooks" // the Lease of who writes them
	webhookGroup = "admissionregistration.k8s.io"
	// webhookApp and revisionLabel are the labels by which a configuration is known as one of a control plane of ours, and of which.
	webhookApp      = "weftd"
	appLabel        = "app"
	revisionLabel   = "istio.io/rev"
	defaultRevision = "default"
)

// webhookKinds are the configurations that have webhooks in them.
var webhookKinds = []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}

// writeBundles has the webhooks of this control plane be believed by the certificates that the mesh trusts, until ctx ends. Of several processes one does it.
// Webhooks of others, Istio's own among them, are left as they are.
func (c *Cluster) writeBundles(ctx context.Context) {
	c.Server.Lead(ctx, c.Namespace, c.bundleLease(), c.Log, func(ctx context.Context) {
		var all sync.WaitGroup
		defer all.Wait()
		for _, kind := range webhookKinds {
			b := &bundles{cluster: c, kind: kind, there: map[string]map[string]string{}, wake: make(chan struct{}, 1)}
			f := &feed{cluster: c, what: kind + "." + webhookGroup, paths: []string{"/apis/" + webhookGroup + "/v1/" + kind}, read: c.readWebhooks, into: b}
			all.Go(func() { f.run(ctx) })
			all.Go(func() { b.keep(ctx) })
		}
	})
}

// bundleLease is the Lease of who writes them: each revision has webhooks of its own. No revision is the default one here.
func (c *Cluster) bundleLease() string {
	if c.Revision == defaultRevision {
		return bundleLock
	}
	return leaseOf(bundleLock, c.Revision)
}

// bundles are those of a kind of configuration, as the server has them. It is the sink of the feed of them.
type bundles struct {
	cluster *Cluster
	kind    string
	wake    chan struct{}
	mu      sync.Mutex
	there   map[string]map[string]string // by configuration and webhook, in base64
}

// readWebhooks reads a configuration: what its webhooks are believed by is told as annotations, which is all that an item has room for. Those of others have none.
func (c *Cluster) readWebhooks(data []byte) (*item, error) {
	var in struct {
		Metadata struct {
			Name, ResourceVersion string
			Labels                map[string]string
		}
		Webhooks []struct {
			Name         string
			ClientConfig struct {
				CABundle string
				Service  struct{ Namespace string }
			}
		}
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	m := in.Metadata
	i := &item{ObjectMeta: metav1.ObjectMeta{Name: m.Name, ResourceVersion: m.ResourceVersion}}
	if m.Labels[appLabel] != webhookApp || m.Labels[revisionLabel] != revisionName(c.Options.Revision) {
		return i, nil
	}
	i.Annotations = map[string]string{}
	for _, w := range in.Webhooks {
		if w.ClientConfig.Service.Namespace == c.Namespace {
			i.Annotations[w.Name] = w.ClientConfig.CABundle
		}
	}
	return i, nil
}

// revisionName is a revision as labels have it.
func revisionName(revision string) string {
	if revision == "" {
		return defaultRevision
	}
	return revision
}

// Add, Update, Delete, Replace and Resync implement cache.ReflectorStore.
func (b *bundles) Add(one any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := one.(*item)
	b.there[i.Name] = i.Annotations
	b.nudge()
	return nil
}

// Update is Add.
func (b *bundles) Update(one any) error { return b.Add(one) }

// Resync has nothing to do.
func (b *bundles) Resync() error { return nil }

// Delete forgets one.
func (b *bundles) Delete(one any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.there, one.(*item).Name)
	return nil
}

// Replace has these be all that there are.
func (b *bundles) Replace(all []any, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.there)
	for _, one := range all {
		b.there[one.(*item).Name] = one.(*item).Annotations
	}
	b.nudge()
	return nil
}

func (b *bundles) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// begins and comes have nothing to do: only the first cluster's are read, of which there may be any number.
func (b *bundles) begins() {}

func (b *bundles) comes(*item) error { return nil }

func (b *bundles) runs(bool) {}
func (b *bundles) lost()     {}

// failed is told to people at once: nothing else waits for these.
func (b *bundles) failed(why string) bool {
	b.cluster.Log.Warn("webhooks are not believed by the mesh's certificates", "cluster", b.cluster.Server.Name, "because", why)
	return true
}

// keep writes those that are not as they should be, when they become so or the certificates are others, and tries again every few seconds.
func (b *bundles) keep(ctx context.Context) {
	said := ""
	tick := time.NewTicker(looking)
	defer tick.Stop()
	for {
		changed := b.cluster.BundleChanged()
		want := base64.StdEncoding.EncodeToString(b.cluster.Bundle())
		for name, webhooks := range b.wrong(want) {
			err := b.write(ctx, name, webhooks, want)
			if ctx.Err() != nil {
				return
			}
			why := ""
			if err != nil {
				if why = err.Error(); why != said {
					b.cluster.Log.Warn("a webhook is not believed by the mesh's certificates", "cluster", b.cluster.Server.Name, "configuration", name, "because", why)
				}
			} else {
				b.cluster.Log.Info("a webhook is believed by the mesh's certificates", "cluster", b.cluster.Server.Name, "configuration", name)
			}
			said = why
		}
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-changed:
		case <-tick.C:
		}
	}
}

// wrong are the webhooks that are believed by something else, by configuration.
func (b *bundles) wrong(want string) map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string][]string{}
	for name, webhooks := range b.there {
		for _, webhook := range slices.Sorted(maps.Keys(webhooks)) {
			if webhooks[webhook] != want {
				out[name] = append(out[name], webhook)
			}
		}
	}
	return out
}

// write patches some webhooks of a configuration, by their names.
func (b *bundles) write(ctx context.Context, name string, webhooks []string, want string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var list []object
	for _, webhook := range webhooks {
		list = append(list, object{"name": webhook, "clientConfig": object{"caBundle": want}})
	}
	text, err := json.Marshal(object{"webhooks": list})
	if err != nil {
		return err
	}
	body, err := b.cluster.Server.ask(ctx, question{method: http.MethodPatch, path: "/apis/" + webhookGroup + "/v1/" + b.kind + "/" + name, query: managed,
		kind: "application/strategic-merge-patch+json", body: text})
	switch {
	case err == nil:
		return body.Close()
	case apierrors.IsNotFound(err):
		return nil // it is gone, of which we hear
	case apierrors.IsForbidden(err):
		return fmt.Errorf(`%w: a ClusterRole of ours needs {apiGroups: [%s], resources: [%s], verbs: [get, list, watch, patch]}`, err, webhookGroup, b.kind)
	}
	return err
}
