package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/weftmesh/weft/control/source"
)

// Options are what a Cluster is made from.
type Options struct {
	Server *Server
	// Namespace is the control plane's own. In it is the ConfigMap with the mesh's own configuration.
	Namespace string
	// MeshConfig: that is followed.
	MeshConfig bool
	// Roots are the certificates that the mesh trusts, in PEM, which are kept in every namespace; nil: they are not. It may be asked at any time.
	Roots func() []byte
	// Verdicts is what is wrong with objects, which their status says; nil: it says nothing. It may be asked at any time.
	Verdicts func() []source.Problem
	// Revision is this control plane's among several, which leaves the status of others' objects alone, and whose webhooks are those of that name; empty: all are its own, and
	// default.
	Revision string
	// Bundle are the certificates, in PEM, by which an API server is to believe the webhooks of this control plane; nil: somebody else says that.
	// BundleChanged is closed when they are others. Both may be asked at any time.
	Bundle        func() []byte
	BundleChanged func() <-chan struct{}
	// Attached: it is another cluster than the first. Its objects have its name in their keys, but for those of Istio's kinds, which are the mesh's; Discovery: those are not read. Without its
	// Nodes and Secrets the rest is told. Of more than 500,000 objects none more are read: what it has told goes on, and Full is called each time that there are, which may be at any time; nil: nobody is.
	Attached, Discovery bool
	Full                func()
	Log                 *slog.Logger
}

// Cluster is an API server that is followed.
type Cluster struct {
	Options
	hold   *hold
	feeds  []*feed         // of what every server has
	taught []*feed         // of what it has when it has been taught
	spaces *shelf          // the namespaces
	known  *shelf          // the definitions of kinds, with what is wrong with them
	ctx    context.Context // of Watch
	all    sync.WaitGroup

	mu      sync.Mutex
	session context.Context    // of what is asked of a server that answers
	end     context.CancelFunc // of that
	back    chan struct{}      // closed when it answers again; nil: it answers
	away    time.Time          // since when it does not
	since   time.Time          // since when it does
	lastly  string             // why it did not when it did not last
	absent  []string           // kinds that are not installed
}

// definitionsOf are what teaches an API server kinds.
const definitionsOf = "customresourcedefinitions.apiextensions.k8s.io"

// notSecrets are types of Secrets that no gateway has certificates in: they are not told, and so not here to be lost.
var notSecrets = []string{"helm.sh/release.v1", "kubernetes.io/service-account-token", "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg",
	"kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "bootstrap.kubernetes.io/token", StoreType}

// StoreType is the type of Secrets that hold weftd's own store.
const StoreType = "weftmesh.io/store"

// silence has client-go's own log be dropped: what matters of it is said here.
var silence = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

// New makes one. Watch has it follow.
func New(o Options) *Cluster {
	silence()
	c := &Cluster{Options: o, hold: newHold(o.Server)}
	if o.Attached {
		c.hold.most, c.hold.full = maxAttached, o.Full
	}
	if !o.Discovery {
		c.known = c.hold.newShelf()
	}
	for k := range source.Forms {
		kind, form := source.Kind(k), &source.Forms[k]
		f := &feed{cluster: c, what: strings.TrimSuffix(form.Plural+"."+form.Group, "."), read: c.reader(kind)}
		space := ""
		switch {
		case len(form.Versions) == 0:
			continue // it is in a ConfigMap
		case taught(kind) && o.Discovery || entry(kind) && o.Attached:
			continue
		case kind == source.Pod:
			f.fields = "status.phase!=Succeeded,status.phase!=Failed"
		case kind == source.Secret:
			f.fields = "type!=" + strings.Join(notSecrets, ",type!=")
		case kind == source.Node || kind == source.Namespace:
			f.heads = true // of which only labels matter, and whose status is written all the time
		case kind == source.ConfigMap && !o.MeshConfig:
			continue
		case kind == source.ConfigMap:
			f.fields, space, f.read = "metadata.name="+meshName, "namespaces/"+o.Namespace+"/", c.readMesh
		}
		for _, version := range form.Versions {
			root := "/apis/" + form.Group + "/" + version + "/"
			if form.Group == "" {
				root = "/api/" + version + "/"
			}
			f.paths = append(f.paths, root+space+form.Plural)
		}
		s := c.hold.newShelf()
		if kind == source.Namespace {
			c.spaces = s
		}
		if f.into = s; taught(kind) {
			c.taught = append(c.taught, f)
			continue
		}
		s.vital, s.spared = kind == source.ConfigMap, entry(kind) || o.Attached && (kind == source.Node || kind == source.Secret)
		c.feeds = append(c.feeds, f)
	}
	return c
}

// entry tells whether a kind is about Ingresses, which are read of the first cluster alone, as at Istio. They are not waited for: who may not read them has none, which is said.
func entry(kind source.Kind) bool { return kind == source.Ingress || kind == source.IngressClass }

// reader reads objects of a kind.
func (c *Cluster) reader(kind source.Kind) reader {
	from := source.Origin{Source: c.Server.Name}
	return func(data []byte) (*item, error) {
		served, err := source.ReadServed(kind, data, from)
		if err != nil {
			i, cannot := readHead(data)
			if cannot != nil {
				return nil, cannot
			}
			served.Key = source.Key{Kind: kind, Namespace: i.Namespace, Name: i.Name}
			served.Version = i.ResourceVersion
			served.Problems = []source.Problem{{Key: served.Key, From: from, Text: err.Error()}}
		}
		if c.Attached && !taught(kind) {
			served.Cluster = c.Server.Name
			if served.Object != nil {
				served.Object.Cluster = c.Server.Name
			}
			for i := range served.Problems {
				served.Problems[i].Cluster = c.Server.Name
			}
		}
		ours := c.Revision == "" || served.Revision == "" || served.Revision == c.Revision
		i := &item{read: []source.Served{served}, judged: taught(kind) && ours && judged(data)}
		i.Namespace, i.Name, i.ResourceVersion = served.Namespace, served.Name, served.Version
		return i, nil
	}
}

// readHead reads what an object is called, and its version.
func readHead(data []byte) (*item, error) {
	var in struct {
		Metadata struct{ Name, Namespace, ResourceVersion string }
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	return &item{ObjectMeta: metav1.ObjectMeta{Namespace: in.Metadata.Namespace, Name: in.Metadata.Name, ResourceVersion: in.Metadata.ResourceVersion}}, nil
}

// Watch tells what an API server has, first all in one batch and then what changes, until ctx ends.
//
// Nothing is told before everything has been listed: what may not be read, or is not there to be read, would be missing from the mesh, and with a policy
// its protection. Kinds that are not installed have no objects, and are taken up when they are. An object that has become wrong keeps its last good version.
//
// A server that does not answer is asked again, ever more seldom; what it has told goes on being served. What has changed meanwhile is told in one batch,
// when all has been listed again, or what can be. An object of which only what nobody reads here is another is not told.
//
// It calls tell from its own goroutine, and what changes meanwhile waits, the latest version of each object.
func (c *Cluster) Watch(ctx context.Context, tell func(source.Batch)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.all.Wait()
	defer cancel()
	c.ctx = ctx
	c.mu.Lock()
	c.session, c.end = context.WithCancel(ctx)
	c.since = time.Now()
	c.mu.Unlock()
	if !c.Discovery {
		d := &definitions{cluster: c, ctx: ctx, there: map[string]bool{}, of: c.known}
		c.start(ctx, &feed{cluster: c, what: definitionsOf, paths: []string{"/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}, heads: true, read: readHead, into: d})
	}
	for _, f := range c.feeds {
		c.start(ctx, f)
	}
	if c.Roots != nil {
		c.all.Go(func() { c.publishRoots(ctx) })
	}
	if c.Bundle != nil {
		c.all.Go(func() { c.writeBundles(ctx) })
	}
	if c.Verdicts != nil {
		c.all.Go(func() { c.writeVerdicts(ctx) })
	}
	said := map[string]bool{}
	timer := time.NewTimer(0)
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.hold.wake:
		case <-timer.C:
		}
		b, news, wait := c.hold.batch(time.Now())
		if wait > 0 {
			timer.Reset(wait)
		}
		if news {
			tell(b)
			continue
		}
		if c.hold.told() {
			continue // and what is wrong as well
		}
		for _, why := range c.hold.waits() {
			if !said[why] && len(said) < maxProblems {
				said[why] = true
				c.Log.Warn("waits", "cluster", c.Server.Name, "because", why)
			}
		}
	}
}

// start has a feed run.
func (c *Cluster) start(ctx context.Context, f *feed) {
	ctx, f.cancel = context.WithCancel(ctx)
	f.ended = make(chan struct{})
	f.into.runs(true)
	c.all.Go(func() {
		defer close(f.ended)
		f.run(ctx)
	})
}

// lose notes that the server does not answer, and asks it until it does. What is still being followed is not any more: all is listed again at the same time, so
// that what has changed is told at once.
func (c *Cluster) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back != nil {
		return
	}
	c.back, c.away, c.lastly = make(chan struct{}), time.Now(), err.Error()
	c.Server.count(losses, 1)
	c.Server.gauge(away, 1)
	c.end()
	c.hold.lost(fmt.Sprintf("the API server at %s does not answer, and what it has told goes on being served: %v", c.Server.URL, err))
	c.all.Go(c.probe)
}

// probeTime bounds a question whether a server is there.
const probeTime = 5 * time.Second

// probe asks until the server answers.
func (c *Cluster) probe() {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		ctx, cancel := context.WithTimeout(c.ctx, probeTime)
		body, err := c.Server.ask(ctx, question{method: http.MethodGet, path: "/readyz", accept: "*/*"})
		if err == nil {
			body.Close()
		}
		cancel()
		// Who may not ask that has been answered, too.
		if err == nil || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Log.Info("the API server answers again", "cluster", c.Server.Name, "after", time.Since(c.away).Round(time.Millisecond))
	close(c.back)
	c.back, c.since = nil, time.Now()
	c.session, c.end = context.WithCancel(c.ctx)
	c.Server.gauge(away, 0)
	c.hold.found()
}

// answers waits until the server does, and gives what ends when it does not any more.
func (c *Cluster) answers(ctx context.Context) context.Context {
	for {
		c.mu.Lock()
		back, session := c.back, c.session
		c.mu.Unlock()
		if back == nil {
			return session
		}
		select {
		case <-ctx.Done():
			return session
		case <-back:
		}
	}
}

// missing notes which kinds are not installed.
func (c *Cluster) missing(there map[string]bool) {
	var absent []string
	for _, f := range c.taught {
		if !there[f.what] {
			absent = append(absent, f.what)
		}
	}
	slices.Sort(absent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absent = absent
}

// Keys are those of all objects that it may have told of.
func (c *Cluster) Keys() map[source.Key]bool { return c.hold.keys() }

// Status is how things stand with a cluster, for people and for JSON.
type Status struct {
	Name   string     `json:"name"`
	URL    string     `json:"url"`
	Told   bool       `json:"told"`                // all that it has has been told once
	Waits  []string   `json:"waits,omitempty"`     // why not, as far as it is not only slow
	Away   *time.Time `json:"awaySince,omitempty"` // it does not answer
	Absent []string   `json:"absent,omitempty"`    // kinds that are not installed
	// Unread is why some kinds are not read. Objects are how many there are, by kind.
	Unread  []string       `json:"unread,omitempty"`
	Objects map[string]int `json:"objects,omitempty"`
	// Since is since when it answers, or has been asked at first; no time: it does not answer.
	Since *time.Time `json:"since,omitempty"`
	// Error is why it did not answer when it did not answer last.
	Error string `json:"lastError,omitempty"`
}

// Status tells how things stand.
func (c *Cluster) Status() Status {
	s := Status{Name: c.Server.Name, URL: c.Server.URL, Objects: c.hold.counts(), Unread: c.hold.failures()}
	s.Told = c.hold.told()
	if !s.Told {
		s.Waits = c.hold.waits()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Absent, s.Error = c.absent, c.lastly
	if c.back != nil {
		away := c.away
		s.Away = &away
	} else if !c.since.IsZero() {
		since := c.since
		s.Since = &since
	}
	return s
}
