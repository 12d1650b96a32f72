package kube

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/source"
)

const (
	// maxProblems are told at a time.
	maxProblems = 1000
	// gathering is how long what has changed while an API server was away is gathered, so that it is told at once: as long as it takes to list everything
	// again, and no longer if some kind cannot be listed.
	gathering = 5 * time.Second
	// maxAttached bounds how many objects are read of an attached cluster, of all kinds, so that whoever runs one cannot fill weftd's memory by listing without end. Kubernetes is made for 150,000 Pods in
	// one, and they, with their slices, Services, Nodes and Secrets, are well within it. The first cluster is the mesh's own, and has no bound.
	maxAttached = 500_000
)

// hold is what an API server has told, and what has been told on.
type hold struct {
	server *Server
	wake   chan struct{} // has room for one: there may be something to tell
	most   int           // objects there may be; 0: any number
	full   func()        // is called when there are more; nil: nobody is

	mu     sync.Mutex
	shelf  []*shelf
	dirty  map[source.Key]change // since the last batch
	other  bool                  // the problems are others
	said   string                // what is wrong with the server itself
	first  bool                  // the first batch has been told
	behind int                   // shelves that are to be listed again, since the server was away
	since  time.Time             // when something was first held back for those; zero: it was not
}

// shelf is the objects of one feed.
type shelf struct {
	hold     *hold
	have     map[source.Key]*source.Object // the last good version of each
	problems map[source.Key][]source.Problem
	wake     chan<- struct{}                     // is told that objects are others, besides; nil: nobody is
	judged   map[source.Key]bool                 // whose status says something of ours
	kin      map[source.ObjectRef]*source.Object // of Pods, by their owner: the one that came last
	whole    bool                                // all that there is has been told once, or there is no such kind
	followed bool
	behind   bool   // it was lost sight of
	vital    bool   // nothing may be told without what it has
	spared   bool   // the rest is told without these if they cannot be listed
	failure  string // why it cannot be followed
	count    int    // of the objects, and of those that are only wrong
	filling  bool   // a list is being read, which is not on the shelf yet
	coming   int    // of that what has been read
}

// change is an object as it was when it was last told and as it is now; nil: it is not there.
type change struct{ was, is *source.Object }

func newHold(s *Server) *hold {
	return &hold{server: s, wake: make(chan struct{}, 1), dirty: map[source.Key]change{}, other: true}
}

func (h *hold) newShelf() *shelf {
	s := &shelf{hold: h, have: map[source.Key]*source.Object{}, problems: map[source.Key][]source.Problem{}, judged: map[source.Key]bool{}, kin: map[source.ObjectRef]*source.Object{}}
	h.shelf = append(h.shelf, s)
	return s
}

func (h *hold) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Add, Update, Delete, Replace and Resync make a shelf what a reflector fills (cache.ReflectorStore).
func (s *shelf) Add(one any) error {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.hold.server.count(events, 1)
	if !s.take(one.(*item)) {
		s.hold.server.count(unchanged, 1)
	}
	s.hold.nudge()
	return nil
}

// Update is Add.
func (s *shelf) Update(one any) error { return s.Add(one) }

// Resync has nothing to do.
func (s *shelf) Resync() error { return nil }

// Delete takes an object out.
func (s *shelf) Delete(one any) error {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.hold.server.count(events, 1)
	for _, served := range one.(*item).read {
		s.drop(served.Key)
	}
	s.hold.nudge()
	return nil
}

// Replace has these be all that there are.
func (s *shelf) Replace(all []any, _ string) error {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.hold.server.count(lists, 1)
	s.filled()
	there := make(map[source.Key]bool, len(all))
	for _, one := range all {
		for _, served := range one.(*item).read {
			there[served.Key] = true
		}
		s.take(one.(*item))
	}
	for _, keys := range []map[source.Key]bool{keysOf(s.have), keysOf(s.problems)} {
		for key := range keys {
			if !there[key] {
				s.drop(key)
			}
		}
	}
	s.listed()
	return nil
}

// begins notes that a list begins to be read.
func (s *shelf) begins() {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.filling, s.coming = true, 0
}

// comes notes that an object has been read, which is on no shelf yet. An errTooMany says that there is no room for it.
func (s *shelf) comes(one *item) error {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	if s.hold.most == 0 {
		return nil
	}
	switch {
	case s.filling:
		s.coming++
	case !slices.ContainsFunc(one.read, func(served source.Served) bool { return !s.holds(served.Key) }):
		return nil // another version
	}
	all := 0
	for _, other := range s.hold.shelf {
		all += max(other.count, other.coming)
	}
	if !s.filling {
		all++
	}
	return s.hold.refuses(all)
}

// refuses says why there may not be as many objects; nil: there may.
func (h *hold) refuses(all int) error {
	if h.most == 0 || all <= h.most {
		return nil
	}
	if h.full != nil {
		h.full()
	}
	return fmt.Errorf("%w than %d objects, which is as many as are read of one that is attached", errTooMany, h.most)
}

// errTooMany is why no more is read.
var errTooMany = errors.New("the cluster has more")

// filled notes that no list is being read any more.
func (s *shelf) filled() { s.filling, s.coming = false, 0 }

func (s *shelf) holds(key source.Key) bool { return s.have[key] != nil || s.problems[key] != nil }

func keysOf[V any](m map[source.Key]V) map[source.Key]bool {
	out := make(map[source.Key]bool, len(m))
	for k := range m {
		out[k] = true
	}
	return out
}

// listed notes that all that there is is known.
func (s *shelf) listed() {
	if s.failure != "" {
		s.failure, s.hold.other = "", true
	}
	if s.whole = true; s.behind {
		s.behind = false
		s.hold.behind--
	}
	s.hold.nudge()
}

// runs notes whether anybody follows these.
func (s *shelf) runs(is bool) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	if s.followed = is; !is && s.behind {
		s.behind = false
		s.hold.behind--
	}
}

// lost notes that nothing is heard of these until they are listed again.
func (s *shelf) lost() {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.fall()
}

func (s *shelf) fall() {
	s.filled()
	if s.followed && s.whole && !s.behind {
		s.behind = true
		s.hold.behind++
	}
}

// lost notes that nothing is heard of anything, and why.
func (h *hold) lost(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.shelf {
		s.fall()
	}
	h.said, h.other = why, true
	h.nudge()
}

// found notes that what was lost is there again.
func (h *hold) found() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said, h.other = "", true
	h.nudge()
}

// failed notes why these cannot be listed or watched; empty: they can. It tells whether that is news.
func (s *shelf) failed(why string) (news bool) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	if s.failure == why {
		return false
	}
	s.failure, s.hold.other = why, true
	s.hold.nudge()
	return true
}

// take takes an object in, and says whether anything of it is another. One that is wrong leaves the version before in force.
func (s *shelf) take(one *item) (news bool) {
	for _, served := range one.read {
		if s.judged[served.Key] = one.judged; !one.judged {
			delete(s.judged, served.Key)
		}
		if s.holds(served.Key) {
			s.count--
		}
		if !slices.Equal(s.problems[served.Key], served.Problems) {
			news, s.hold.other = true, true
			if s.problems[served.Key] = served.Problems; len(served.Problems) == 0 {
				delete(s.problems, served.Key)
			}
		}
		if was := s.have[served.Key]; served.Object != nil && (was == nil || !same(was, served.Object)) {
			s.alike(served.Object)
			s.have[served.Key] = served.Object
			s.note(served.Key, was, served.Object)
			news = true
		}
		if s.holds(served.Key) {
			s.count++
		}
	}
	return news
}

// alike has a Pod share what it has in common with another one of its owner, which is most of it: 600 bytes of 1,660 are left.
func (s *shelf) alike(o *source.Object) {
	p, is := o.Spec.(*source.PodSpec)
	if !is || p.Owner.Name == "" {
		return
	}
	if like := s.kin[p.Owner]; like != nil {
		q := like.Spec.(*source.PodSpec)
		p.Owner, p.ServiceAccountName = q.Owner, share(p.ServiceAccountName, q.ServiceAccountName)
		if maps.Equal(o.Labels, like.Labels) {
			o.Labels = like.Labels
		}
		if maps.Equal(o.Annotations, like.Annotations) {
			o.Annotations = like.Annotations
		}
		if reflect.DeepEqual(p.Containers, q.Containers) {
			p.Containers = q.Containers
		}
	}
	s.kin[p.Owner] = o
}

// share is a text as it is somewhere else already, if it is the same.
func share(text, as string) string {
	if text == as {
		return as
	}
	return text
}

func (s *shelf) drop(key source.Key) {
	delete(s.judged, key)
	if s.holds(key) {
		s.count--
	}
	if s.problems[key] != nil {
		delete(s.problems, key)
		s.hold.other = true
	}
	if was := s.have[key]; was != nil {
		delete(s.have, key)
		if p, is := was.Spec.(*source.PodSpec); is && s.kin[p.Owner] == was {
			delete(s.kin, p.Owner)
		}
		s.note(key, was, nil)
	}
}

func (s *shelf) note(key source.Key, was, is *source.Object) {
	if before, there := s.hold.dirty[key]; there {
		was = before.was
	}
	if s.hold.dirty[key] = (change{was, is}); was == is { // it has come and gone
		delete(s.hold.dirty, key)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// also has somebody be told that objects are others; nil: nobody any more.
func (s *shelf) also(wake chan<- struct{}) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	s.wake = wake
}

// names are those of the objects, in order.
func (s *shelf) names() (out []string) {
	s.hold.mu.Lock()
	defer s.hold.mu.Unlock()
	for key := range s.have {
		out = append(out, key.Name)
	}
	slices.Sort(out)
	return out
}

// same tells whether all that is read of an object is as it was. What else is in it others write, some of it every few seconds.
func same(a, b *source.Object) bool {
	switch a.Spec.(type) {
	case *source.ServiceSpec, *source.EndpointSliceSpec, *source.PodSpec, *source.NodeSpec, *source.NamespaceSpec, *source.SecretSpec, *source.ConfigMapSpec, *source.IngressSpec, *source.IngressClassSpec:
		return a.Created.Equal(b.Created) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && reflect.DeepEqual(a.Spec, b.Spec)
	}
	return a.Revision == b.Revision // a hash of all of it
}

// batch is what is to be told now; false: nothing. If something is held back, wait is how long at most.
func (h *hold) batch(now time.Time) (b source.Batch, news bool, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.first && slices.ContainsFunc(h.shelf, func(s *shelf) bool { return !s.whole && !(s.spared && s.failure != "") || len(s.unread()) > 0 }) {
		return b, false, 0
	}
	if h.behind == 0 {
		h.since = time.Time{}
	}
	hold := false
	if h.first && h.behind > 0 && len(h.dirty) > 0 {
		if h.since.IsZero() {
			h.since = now
		}
		wait = h.since.Add(gathering).Sub(now)
		hold = wait > 0
	}
	if !hold {
		wait = 0
		for key, c := range h.dirty {
			if c.was != c.is {
				b.Changes = append(b.Changes, source.Change{Key: key, Object: c.is})
			}
		}
		h.server.count(changes, uint64(len(b.Changes)))
		h.dirty = map[source.Key]change{} // and not one that has room for all that was ever told at once
		slices.SortFunc(b.Changes, func(a, b source.Change) int { return source.Compare(a.Key, b.Key) })
	}
	if h.first && len(b.Changes) == 0 && !h.other {
		return b, false, wait
	}
	h.first, h.other = true, false
	b.Problems = h.problems()
	return b, true, wait
}

// unread are the problems with what nothing may be told without, and of which there is no good version.
func (s *shelf) unread() (out []source.Problem) {
	if !s.vital {
		return nil
	}
	for key, list := range s.problems {
		if s.have[key] == nil {
			out = append(out, list...)
		}
	}
	return out
}

// keys are those of all objects that may have been told.
func (h *hold) keys() map[source.Key]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := keysOf(h.dirty)
	for _, s := range h.shelf {
		for key := range s.have {
			all[key] = true
		}
	}
	return all
}

// counts are how many objects there are of each kind.
func (h *hold) counts() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]int{}
	for _, s := range h.shelf {
		for key := range s.have {
			all[key.Kind.String()]++
		}
	}
	return all
}

// told says whether the first batch has been.
func (h *hold) told() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first
}

// waits says why the first batch has not been told, as far as it is not only slow.
func (h *hold) waits() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	if h.said != "" {
		out = append(out, h.said)
	}
	for _, s := range h.shelf {
		if s.failure != "" {
			out = append(out, s.failure)
		}
		for _, p := range s.unread() {
			out = append(out, fmt.Sprintf("%s:%d: %s: %s", p.From.File, p.From.Line, p.Path, p.Text))
		}
	}
	return out
}

// failures are why some kinds are not read.
func (h *hold) failures() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.shelf {
		if s.failure != "" {
			out = append(out, s.failure)
		}
	}
	return out
}

// problems are all that there are.
func (h *hold) problems() []source.Problem {
	var out []source.Problem
	add := func(text string) {
		out = append(out, source.Problem{From: source.Origin{Source: h.server.Name}, Text: text})
	}
	if h.said != "" {
		add(h.said)
	}
	var of []source.Problem
	for _, s := range h.shelf {
		if s.failure != "" && h.said == "" {
			add(s.failure)
		}
		for _, list := range s.problems {
			of = append(of, list...)
		}
	}
	slices.SortStableFunc(of, func(a, b source.Problem) int { return source.Compare(a.Key, b.Key) })
	out = append(out, of...)
	if more := len(out) - maxProblems; more > 0 {
		out = append(out[:maxProblems], source.Problem{From: source.Origin{Source: h.server.Name}, Text: fmt.Sprintf("has %d problems more", more)})
	}
	return out
}
