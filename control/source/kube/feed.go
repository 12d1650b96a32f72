package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion/queryparams"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// How long is waited between two tries, doubled each time, half of it by chance; and how long one has to go well for the next to be tried soon.
const (
	againPause  = 100 * time.Millisecond // before a watch is asked for again that could not be asked for
	firstPause  = 200 * time.Millisecond
	lastPause   = 5 * time.Second
	forbearance = 2 * time.Second // before a server's no is told to people
	calm        = 30 * time.Second
)

// feed follows the objects of a kind.
type feed struct {
	cluster *Cluster
	what    string       // as Kubernetes calls them: plural, and group
	paths   []string     // where they are, for each version of the API; of those that a server has the first counts
	served  atomic.Int32 // the one that was good last
	fields  string       // which are told, by their fields; empty: all
	heads   bool         // only metadata is told
	read    reader
	into    sink
	wrong   atomic.Pointer[unreadable] // what was wrong with what a watch told; nil: nothing
	cancel  context.CancelFunc         // nil: it does not run
	ended   chan struct{}
}

// sink is what a feed fills: the objects of a kind, or the names of kinds.
type sink interface {
	cache.ReflectorStore
	begins()                // all of it is read from here on
	comes(*item) error      // an object has been read
	runs(is bool)           // whether anybody follows it
	lost()                  // it will be listed anew, and nobody hears of changes until then
	failed(why string) bool // see shelf
}

// run follows until ctx ends. A watch that ends is taken up where it was. If the server cannot be reached then, everything is
// listed again when it can.
func (f *feed) run(ctx context.Context) {
	r := cache.NewReflectorWithOptions(&cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}, &item{}, f.into,
		cache.ReflectorOptions{Name: f.what, TypeDescription: f.what})
	pause := firstPause
	var refused time.Time // since when a server says no; zero: it does not
	for {
		session := f.cluster.answers(ctx)
		one, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(session, cancel)
		began := time.Now()
		err := r.ListAndWatchWithContext(one)
		stop()
		cancel()
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		if now.Sub(began) > calm {
			pause, refused = firstPause, time.Time{}
		}
		var status *apierrors.StatusError
		var bad unreadable
		if wrong := f.wrong.Swap(nil); wrong != nil && err == nil {
			err = *wrong
		}
		switch {
		case session.Err() != nil: // another feed has found out
			continue
		case err == nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err): // where it was is not known any more
		case errors.As(err, &status):
			f.cluster.Server.count(refusals, 1)
			if refused.IsZero() {
				refused = now
			}
			// A server that has just begun may say no to what it will say yes to.
			if now.Sub(refused) > forbearance {
				f.into.failed(f.refusal(status))
			}
			f.into.lost()
		case errors.As(err, &bad):
			f.into.failed(fmt.Sprintf("%s cannot be listed and watched: what the API server says of them cannot be read: %v", f.what, bad.error))
			f.into.lost()
		default:
			f.cluster.lose(err)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastPause)
	}
}

// open begins to read a list or a watch.
func (f *feed) open(ctx context.Context, o metav1.ListOptions) (io.ReadCloser, error) {
	if o.FieldSelector = f.fields; o.ResourceVersion == "0" {
		o.ResourceVersion = "" // which is not what some server once knew, but what there is
	}
	query, err := queryparams.Convert(&o)
	if err != nil {
		return nil, err
	}
	accept := ""
	switch {
	case f.heads && o.Watch:
		accept = onlyHead
	case f.heads:
		accept = onlyHeads
	}
	var body io.ReadCloser
	for range f.paths {
		at := f.served.Load()
		if body, err = f.cluster.Server.ask(ctx, question{method: http.MethodGet, path: f.paths[at], query: query, accept: accept}); !apierrors.IsNotFound(err) {
			break
		}
		f.served.Store((at + 1) % int32(len(f.paths)))
	}
	return body, err
}

// list implements cache.ListWithContextFunc.
func (f *feed) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	body, err := f.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if o.Continue == "" { // it is no further page
		f.into.begins()
	}
	return readList(body, f.reads)
}

// reads reads an object, if there is room for it.
func (f *feed) reads(data []byte) (*item, error) {
	i, err := f.read(data)
	if err == nil {
		err = f.into.comes(i)
	}
	return i, err
}

// watch implements cache.WatchFuncWithContext.
func (f *feed) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	body, err := f.open(ctx, o)
	if status := (*apierrors.StatusError)(nil); err != nil && !errors.As(err, &status) && ctx.Err() == nil {
		// It may be that it was asked on a connection that was just ending, as that of the watch before was.
		select {
		case <-ctx.Done():
		case <-time.After(againPause/2 + rand.N(againPause/2)):
		}
		body, err = f.open(ctx, o)
	}
	if err != nil {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			return nil, err // the reflector knows better versions
		}
		// It would try others again by itself, without anybody hearing of it.
		return nil, broken{err}
	}
	f.cluster.Server.count(watches, 1)
	if o.SendInitialEvents != nil && *o.SendInitialEvents { // a list, as a watch has it
		f.into.begins()
	}
	e := newEventReader(body, f.reads, func(err error) { f.wrong.Store(&unreadable{err}) })
	return watch.NewStreamWatcherWithLogger(klog.FromContext(ctx), e, e), nil
}

// broken is why a watch does not begin.
type broken struct{ err error }

func (b broken) Error() string { return b.err.Error() }

// As finds what the server said, which a reflector does not look for in this way.
func (b broken) As(target any) bool {
	status, is := target.(**apierrors.StatusError)
	return is && errors.As(b.err, status)
}

// refusal is a server's no in words, and what would help.
func (f *feed) refusal(e *apierrors.StatusError) string {
	text := strings.TrimSpace(e.ErrStatus.Message)
	switch e.ErrStatus.Code {
	case http.StatusForbidden:
		plural, group, _ := strings.Cut(f.what, ".")
		return fmt.Sprintf("%s cannot be listed and watched: %s: its ClusterRole needs {apiGroups: [%q], resources: [%s], verbs: [get, list, watch]}", f.what, text, group, plural)
	case http.StatusUnauthorized:
		return fmt.Sprintf("the API server does not know who this is (401): want a kubeconfig or a service account whose token is good: %s", text)
	}
	return fmt.Sprintf("%s cannot be listed and watched: %s (%d)", f.what, text, e.ErrStatus.Code)
}

// definitions are the kinds of Istio's that a server has been taught. It is the sink of the feed that watches those.
type definitions struct {
	cluster *Cluster
	ctx     context.Context // of all feeds
	there   map[string]bool // of those that are asked for. Touched only by the reflector
	whole   bool
	of      *shelf // with what is wrong; it has no objects
}

// Add, Update, Delete, Replace and Resync implement cache.ReflectorStore.
func (d *definitions) Add(one any) error {
	d.note(one.(*item).Name)
	d.settle()
	return nil
}

// note takes a name in. Definitions of other kinds there may be any number of.
func (d *definitions) note(name string) {
	if slices.ContainsFunc(d.cluster.taught, func(f *feed) bool { return f.what == name }) {
		d.there[name] = true
	}
}

// Update has nothing to do: a definition that is another has the same name.
func (d *definitions) Update(any) error { return nil }

// Resync has nothing to do.
func (d *definitions) Resync() error { return nil }

// Delete takes a kind away, whose objects the server has taken away before.
func (d *definitions) Delete(one any) error {
	delete(d.there, one.(*item).Name)
	d.settle()
	return nil
}

// Replace has these be all that there are.
func (d *definitions) Replace(all []any, version string) error {
	clear(d.there)
	for _, one := range all {
		d.note(one.(*item).Name)
	}
	d.settle()
	return d.of.Replace(nil, version)
}

func (d *definitions) begins()                { d.of.begins() }
func (d *definitions) comes(one *item) error  { return d.of.comes(one) }
func (d *definitions) runs(is bool)           { d.of.runs(is) }
func (d *definitions) lost()                  { d.of.lost() }
func (d *definitions) failed(why string) bool { return d.of.failed(why) }

// settle has those feeds run whose kinds there are, and no others.
func (d *definitions) settle() {
	var missing []string
	for _, f := range d.cluster.taught {
		is, runs := d.there[f.what], f.cancel != nil
		switch {
		case is && !runs:
			if d.whole {
				d.cluster.Log.Info("a kind is installed", "cluster", d.cluster.Server.Name, "kind", f.what)
			}
			d.cluster.start(d.ctx, f)
		case !is && runs:
			d.cluster.Log.Info("a kind is not installed any more", "cluster", d.cluster.Server.Name, "kind", f.what)
			f.cancel()
			<-f.ended
			f.cancel = nil
			f.into.runs(false)
			f.into.Replace(nil, "")
		case !is && !d.whole:
			missing = append(missing, f.what)
			f.into.Replace(nil, "")
		}
	}
	if !d.whole && len(missing) > 0 {
		slices.Sort(missing)
		d.cluster.Log.Info("some kinds are not installed, and are taken up when they are", "cluster", d.cluster.Server.Name, "kinds", missing)
	}
	d.whole = true
	d.cluster.missing(d.there)
}
