package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/telemetry"
)

// attachment is how a cluster is reached that somebody attaches, and who that is.
type attachment struct {
	kubeconfig, context string
	discovery           bool   // of it Istio's kinds are not read
	from                string // for people
	wrong               string // why it cannot be said how it is reached; empty: it can
}

// attached is a cluster of a name that somebody attaches.
type attached struct {
	attachment
	refused string     // why it is not followed as it is said now; empty: it is
	run     *following // nil: it is not followed at all
}

// following is that a cluster is followed by one way to it.
type following struct {
	*cluster
	cancel context.CancelFunc
	ended  chan struct{}
	told   bool                // all that it has has been told once, by this or another way; it is of clusters.mu
	ways   *ways               // what it tells goes through these
	left   map[source.Key]bool // what was told of it before, by another way, and may not be there any more; nil: all that is gone has been told
}

// clusters are those that are attached beside the first one. One goroutine starts and ends them.
type clusters struct {
	plane *Plane
	wake  chan struct{} // has room for one
	known chan struct{} // closed when everybody has said which there are, and these are followed
	stats *telemetry.Values

	mu     sync.Mutex
	said   map[string]map[string]attachment // by who says it, and by name
	silent map[string]bool                  // who has not said it yet
	by     map[string]*attached
	opened bool // those that there were at the start are not waited for any more
	met    bool // one has been followed: certificates that it has vouched for may be about, whether it still is or not
}

// Who attaches clusters, the first first: of a name that both have the first one's counts.
const (
	bySecret = "Secret"
	byStore  = "weftctl"
)

// clusterWait is how long those that are attached at the start are waited for, so that their endpoints are there when proxies are served first. They are what there is to be found, and no policy
// is missing without them.
const clusterWait = 20 * time.Second

var clustersTable = &telemetry.Table{Kind: "clusters", Metrics: []telemetry.Metric{
	clustersAttached: {Name: "attached", Type: telemetry.Gauge},
	clustersRefused:  {Name: "refused", Type: telemetry.Gauge},
	clustersLate:     {Name: "late_total"},
	clustersFull:     {Name: "full_total"},
}}

const (
	clustersAttached = iota // that are followed
	clustersRefused         // of those that are said, the ones that are not followed as they are said
	clustersLate            // that were not waited for any longer at the start
	clustersFull            // times that more objects came from one than are read
)

func (p *Plane) openClusters() {
	c := &clusters{plane: p, wake: make(chan struct{}, 1), known: make(chan struct{}), said: map[string]map[string]attachment{}, silent: map[string]bool{byStore: true}, by: map[string]*attached{},
		stats: p.stats.Acquire(clustersTable, "clusters.").Loop(0)}
	if p.cluster != nil {
		c.silent[bySecret] = true
	}
	p.clusters = c
}

// get is an attached cluster by its name; nil: there is none.
func (c *clusters) get(name string) *cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.by[name]; a != nil && a.run != nil {
		return a.run.cluster
	}
	return nil
}

// alone tells whether no cluster has been followed beside the first one since this process began. It waits until it is known which there are.
func (c *clusters) alone(ctx context.Context) (bool, error) {
	select {
	case <-c.known:
	case <-ctx.Done():
		return false, errors.New("control: which clusters are attached is not known yet")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.met, nil
}

// say takes all that somebody attaches.
func (c *clusters) say(who string, all map[string]attachment) {
	c.mu.Lock()
	c.said[who] = all
	delete(c.silent, who)
	c.mu.Unlock()
	c.nudge()
}

func (c *clusters) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run has them be followed as they are said, until ctx ends.
func (c *clusters) run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { c.follow(ctx) })
	var late <-chan time.Time // of what is waited for, once it is known which there are
	for {
		select {
		case <-ctx.Done():
			c.mu.Lock()
			all := slices.Collect(maps.Values(c.by))
			c.mu.Unlock()
			for _, a := range all {
				a.run.end()
			}
			return
		case <-c.wake:
		case <-late:
			c.open(ctx, true)
		}
		c.settle(ctx)
		c.open(ctx, false)
		if late == nil && c.heard() {
			late = time.After(clusterWait)
		}
	}
}

// follow reads what is attached in the store, as it changes.
func (c *clusters) follow(ctx context.Context) {
	const firstPause, lastPause = 100 * time.Millisecond, 10 * time.Second
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		all := map[string]attachment{}
		c.plane.store.Watch(ctx, console.ClusterPrefix, func(events []store.Event) { // that the store fails, whoever follows the objects in it says
			all = maps.Clone(all)
			for _, e := range events {
				name, one, err := console.ReadCluster(e.Entry)
				switch {
				case e.Gone():
					delete(all, name)
				case err != nil:
					all[name] = attachment{from: byStore, wrong: err.Error()}
				default:
					all[name] = attachment{kubeconfig: one.Kubeconfig, context: one.Context, discovery: one.Discovery, from: byStore + ", " + one.Author}
				}
			}
			c.say(byStore, all)
			pause = firstPause
		})
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// settle starts and ends clusters until they are as they are said.
func (c *clusters) settle(ctx context.Context) {
	want := map[string]attachment{}
	c.mu.Lock()
	for _, who := range []string{byStore, bySecret} {
		maps.Copy(want, c.said[who])
	}
	now, heard := maps.Clone(c.by), len(c.silent) == 0
	c.mu.Unlock()
	changed := false
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, is := want[name]; !is {
			changed = true
			c.detach(ctx, name, now[name])
			delete(now, name)
		}
	}
	followed := 0
	for _, a := range now {
		if a.run != nil {
			followed++
		}
	}
	room := changed // there may be, for one that was refused for want of it
	for _, name := range slices.Sorted(maps.Keys(want)) {
		was := now[name]
		if was != nil && was.attachment == want[name] && (was.run != nil || !room) {
			continue
		}
		changed = true
		a := c.attach(ctx, name, want[name], was, followed)
		if now[name] = a; a.run != nil && (was == nil || was.run == nil) {
			followed++
		}
	}
	if changed && c.isOpen() {
		c.plane.push.Tell(ctx, fromClusters, source.Batch{Problems: c.problems()})
	}
	refused := 0
	for _, a := range now {
		if a.refused != "" {
			refused++
		}
	}
	c.stats.Set(clustersAttached, uint64(followed))
	c.stats.Set(clustersRefused, uint64(refused))
	if heard {
		select {
		case <-c.known:
		default:
			close(c.known)
		}
	}
}

// attach has a cluster be followed. If something is wrong with how it is said now, what was before goes on.
func (c *clusters) attach(ctx context.Context, name string, how attachment, was *attached, followed int) *attached {
	p := c.plane
	a := &attached{attachment: how}
	server, err := p.reach(name, how)
	if err == nil && (was == nil || was.run == nil) && followed >= console.MaxClusters {
		err = fmt.Errorf("%d clusters are attached, which is as many as may be", followed)
	}
	if err != nil {
		if was != nil {
			a.run = was.run
		}
		a.refused = err.Error()
		p.Log.Error("a cluster is not attached", "cluster", name, "by", how.from, "because", err)
		c.put(name, a)
		return a
	}
	o := kube.Options{Server: server, Namespace: p.KubeNamespace, Revision: p.Revision, Attached: true, Discovery: how.discovery, Full: func() { c.stats.Add(clustersFull, 1) }, Log: p.Log}
	if p.PublishRoots {
		o.Roots = func() []byte { return p.secure.ca.RootsPEM() }
	}
	one, cancel := context.WithCancel(ctx)
	r := &following{cluster: &cluster{server: server, Cluster: kube.New(o)}, cancel: cancel, ended: make(chan struct{}),
		ways: waysTo(func(b source.Batch) { p.push.Tell(one, fromAttached(name), b) })}
	if was != nil && was.run != nil {
		was.run.end()
		r.left, r.told = was.run.keys(), was.run.told
		r.ways.known = was.run.ways.known // nobody looks names up for that one any more
	}
	a.run = r
	c.put(name, a)
	p.Log.Info("a cluster is attached", "cluster", name, "at", server.URL, "by", how.from, "discovery-only", how.discovery)
	go func() {
		defer close(r.ended)
		var beside sync.WaitGroup
		defer beside.Wait()
		beside.Go(func() { r.ways.run(one) })
		r.Watch(one, func(b source.Batch) {
			b.Changes = append(b.Changes, r.gone(b.Changes)...)
			r.ways.tell(b.For(p.Revision))
			if r.settled(b.Changes, one.Err() == nil); one.Err() != nil {
				return
			}
			c.mu.Lock()
			news := !r.told
			r.told = true
			c.mu.Unlock()
			if news {
				c.nudge()
			}
		})
	}()
	return a
}

// reach is the API server of a cluster that somebody attaches.
func (p *Plane) reach(name string, how attachment) (*kube.Server, error) {
	if how.wrong != "" {
		return nil, errors.New(how.wrong)
	}
	if name == p.clusterName() {
		return nil, fmt.Errorf("%q is the name of the first cluster: --cluster-name gives that another one", name)
	}
	return kube.Attach(name, []byte(how.kubeconfig), how.context, "weftd")
}

// detach ends following a cluster, and takes away what it has told.
func (c *clusters) detach(ctx context.Context, name string, a *attached) {
	a.run.end()
	b := source.Batch{}
	for key := range a.run.keys() {
		b.Changes = append(b.Changes, source.Change{Key: key})
	}
	slices.SortFunc(b.Changes, func(x, y source.Change) int { return source.Compare(x.Key, y.Key) })
	c.plane.push.Tell(ctx, fromAttached(name), b)
	c.put(name, nil)
	c.plane.Log.Info("a cluster is detached", "cluster", name, "objects", len(b.Changes))
}

func (c *clusters) put(name string, a *attached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a == nil {
		delete(c.by, name)
		return
	}
	c.by[name] = a
	c.met = c.met || a.run != nil
}

// end has a cluster not be followed any more, if it is. What it has told stays.
func (r *following) end() {
	if r != nil {
		r.cancel()
		<-r.ended
	}
}

// keys are those of all that was told of a cluster that is not followed any more.
func (r *following) keys() map[source.Key]bool {
	if r == nil {
		return nil
	}
	all := r.Keys()
	maps.Copy(all, r.left)
	return all
}

// gone are the changes by which what was told of a cluster before, by another way to it, is not there any more, beside what there is now.
func (r *following) gone(now []source.Change) (out []source.Change) {
	left := maps.Clone(r.left)
	for _, one := range now {
		delete(left, one.Key)
	}
	for key := range left {
		out = append(out, source.Change{Key: key})
	}
	return out
}

// settled notes that a batch has been told, with all that is gone; or that it may not have been, since this way has ended: the next one says it again.
func (r *following) settled(all []source.Change, told bool) {
	if told {
		r.left = nil
		return
	}
	if r.left == nil {
		r.left = map[source.Key]bool{}
	}
	for _, c := range all {
		r.left[c.Key] = true
	}
}

// open has nobody be waited for any more, if all have told what they have, or it is late.
func (c *clusters) open(ctx context.Context, late bool) {
	c.mu.Lock()
	var waits []string
	for name, a := range c.by {
		if a.run != nil && !a.run.told {
			waits = append(waits, name)
		}
	}
	ready := !c.opened && (late || len(c.silent) == 0 && len(waits) == 0)
	c.opened = c.opened || ready
	c.mu.Unlock()
	if !ready {
		return
	}
	slices.Sort(waits)
	for _, name := range waits {
		c.stats.Add(clustersLate, 1)
		c.plane.Log.Warn("a cluster has not told what it has, and is waited for no longer: its endpoints come when it answers", "cluster", name, "after", clusterWait)
	}
	c.plane.push.Tell(ctx, fromClusters, source.Batch{Problems: c.problems()})
}

// heard tells whether everybody has said which there are.
func (c *clusters) heard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.silent) == 0
}

func (c *clusters) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// problems are what is wrong with how clusters are said to be reached.
func (c *clusters) problems() (out []source.Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.by)) {
		if a := c.by[name]; a.refused != "" {
			out = append(out, source.Problem{From: source.Origin{Source: fromClusters}, Text: fmt.Sprintf("the cluster %s (%s): %s", name, a.from, a.refused)})
		}
	}
	return out
}

// fromClusters is the source of what is wrong with attached clusters, and fromAttached of what one of them has.
const fromClusters = "attached clusters"

func fromAttached(name string) string { return "cluster " + name }

// ClusterStatus is how a cluster stands, for people and for JSON.
type ClusterStatus struct {
	kube.Status
	Type      string `json:"type"`                    // FirstCluster, or attached
	From      string `json:"from,omitempty"`          // who attaches it
	Discovery bool   `json:"discoveryOnly,omitempty"` // of it Istio's kinds are not read
	Refused   string `json:"refused,omitempty"`       // why it is not followed as it is said now
}

// FirstCluster is the type of the first one.
const FirstCluster = "first"

// clusterStatus tells how all stand: the first, then the others by name.
func (p *Plane) clusterStatus() (all []ClusterStatus) {
	if p.cluster != nil {
		s := ClusterStatus{Status: p.cluster.Status(), Type: FirstCluster}
		s.Name = p.clusterName()
		all = append(all, s)
	}
	c := p.clusters
	if c == nil {
		return all
	}
	c.mu.Lock()
	by := maps.Clone(c.by)
	c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(by)) {
		a := by[name]
		s := ClusterStatus{Status: kube.Status{Name: name}, Type: "attached", From: a.from, Discovery: a.discovery, Refused: a.refused}
		if a.run != nil {
			s.Status, s.Discovery = a.run.Status(), a.run.Discovery // as it is followed, which may not be as it is said now
		}
		all = append(all, s)
	}
	return all
}

// clusterName is that of the first one.
func (p *Plane) clusterName() string {
	if p.ClusterName == "" {
		return defaultCluster
	}
	return p.ClusterName
}

// defaultCluster is what Istio calls a cluster that nobody has named.
const defaultCluster = "Kubernetes"

// Marks of Secrets that attach clusters, as istioctl create-remote-secret writes them, and of ours.
const (
	multiCluster        = "istio/multiCluster"
	discoveryAnnotation = "weftmesh.io/discovery-only"
)

// clusterSecrets are the Secrets of the first cluster that attach others. They go no further: there is nothing in them for proxies or for who looks at objects.
type clusterSecrets struct {
	to        *clusters
	namespace string
	by        map[source.Key]map[string]attachment // by name
}

// take takes those out of what the first cluster tells.
func (s *clusterSecrets) take(b source.Batch) source.Batch {
	first := s.by == nil
	if first {
		s.by = map[source.Key]map[string]attachment{}
	}
	news := first
	rest := make([]source.Change, 0, len(b.Changes))
	for _, one := range b.Changes {
		if one.Kind != source.Secret || one.Namespace != s.namespace {
			rest = append(rest, one)
			continue
		}
		was := s.by[one.Key] != nil
		delete(s.by, one.Key)
		is := one.Object != nil && one.Object.Labels[multiCluster] == "true"
		if news = news || was || is; is {
			s.by[one.Key] = attachmentsOf(one.Object)
			one.Object = nil // it may have been another kind of Secret before
		}
		rest = append(rest, one)
	}
	if b.Changes = rest; news {
		all := map[string]attachment{}
		for _, key := range slices.SortedFunc(maps.Keys(s.by), func(x, y source.Key) int { return -source.Compare(x, y) }) { // of two the first counts
			maps.Copy(all, s.by[key])
		}
		s.to.say(bySecret, all)
	}
	return b
}

// attachmentsOf are those of a Secret: each key is the name of a cluster. Unless it says otherwise, they are for discovery only, as Istio has it.
func attachmentsOf(o *source.Object) map[string]attachment {
	all := map[string]attachment{}
	for name, text := range o.Spec.(*source.SecretSpec).Data {
		all[name] = attachment{kubeconfig: string(text), discovery: !strings.EqualFold(o.Annotations[discoveryAnnotation], "false"), from: "Secret " + o.Namespace + "/" + o.Name}
	}
	return all
}

// checkCluster says why one is not attached that somebody asks for.
func (p *Plane) checkCluster(name string, c *console.Cluster) error {
	_, err := p.reach(name, attachment{kubeconfig: c.Kubeconfig, context: c.Context})
	return err
}
