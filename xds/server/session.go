package server

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Session is a stream of a proxy's, from its first request on.
type Session struct {
	number  uint64
	peer    string
	auth    credentials.AuthInfo // how the connection is secured; nil: it is not
	node    *corev3.Node
	id      string
	variant variant
	only    Kind // of a stream about one kind; kindCount: about all
	since   time.Time
	server  *Server

	latest atomic.Pointer[View]
	wake   chan struct{} // has room for one: there may be something to tell
	ctx    context.Context
	end    context.CancelCauseFunc // of ended
	ended  context.Context         // is over when the stream has to be, with its error as the cause

	mu       sync.Mutex
	topics   [kindCount]topic
	view     *View // that this round tells; nil: there was none yet
	step     int   // the next of the round's
	told     uint64
	names    int // that are asked for, of all kinds
	bytes    int // of them
	first    time.Time
	settled  *View     // the last one of which everything is answered
	heard    *View     // the last one of which that has been handed on
	verdicts []Verdict // not yet handed on
	probed   *string   // what was last said of the workload, not yet handed on
	unknown  []string  // types that were asked for and nobody tells of
}

// Verdict is what a proxy says of a response.
type Verdict struct {
	Kind      Kind
	View      *View         // that the response was made from
	Resources []*Resource   // that were in it; not to be changed
	Removed   []string      // what it said is not there
	Took      time.Duration // since it was sent
	// Refused is why the proxy did not take it; empty: it did. Of several resources of which not each is wrong, the proxy is asked again
	// about halves of them, and only what is wrong is in a verdict.
	Refused string
}

// Number tells sessions of a server apart.
func (s *Session) Number() uint64 { return s.number }

// ID is the node's.
func (s *Session) ID() string { return s.id }

// Peer is the address that the stream comes from.
func (s *Session) Peer() string { return s.peer }

// Auth is how the stream's connection is secured, and what that has shown of the proxy; nil: it is not secured.
func (s *Session) Auth() credentials.AuthInfo { return s.auth }

// Delta says that the stream tells of changes. Else it tells the state of the world, of which virtual hosts have no one by one.
func (s *Session) Delta() bool { return s.variant == delta }

// Context is the stream's, with what the proxy has sent before its first request.
func (s *Session) Context() context.Context { return s.ctx }

// End ends the stream with an error, with a status of gRPC's. It may be called from any goroutine and does not wait: Control.Leave follows.
func (s *Session) End(err error) { s.end(err) }

// Since is when the stream was opened.
func (s *Session) Since() time.Time { return s.since }

// Node is what the proxy says of itself; nil once Control.Join has returned, as a node is larger than all else that is kept of a session.
func (s *Session) Node() *corev3.Node { return s.node }

// Show says what the proxy is to be told from now on. Only the latest counts. It may be called from any goroutine and does not wait.
func (s *Session) Show(v *View) {
	s.latest.Store(v)
	s.poke()
}

func (s *Session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// State is what is to be known of a kind in a session.
type State struct {
	Kind    Kind
	All     bool // everything is asked for
	Names   int  // that are asked for
	Version string
	Sent    time.Time     // when the last response was; zero: there was none
	Nonce   string        // of that
	Taken   string        // the nonce of the last response that the proxy has taken; empty: it has taken none
	Waits   time.Duration // how long ago a response was sent that is not answered; 0: there is none
	Refused string        // why the last response that was answered was not taken; empty: it was
}

// States are of the kinds that the proxy has asked for, in their order. At says what it was told and has answered: nil while it has not
// answered all of its latest view.
func (s *Session) States(now time.Time) (list []State, at *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.topics {
		t := &s.topics[k]
		if !t.begun {
			continue
		}
		one := State{Kind: Kind(k), All: t.all, Names: len(t.named), Sent: t.sent, Nonce: t.nonce, Taken: t.taken, Refused: t.refused}
		if t.told != nil {
			one.Version = t.told.Version
		}
		if t.flight != nil {
			one.Waits = max(now.Sub(t.flight.sent), 1)
		}
		list = append(list, one)
	}
	if s.settled == s.latest.Load() {
		at = s.settled
	}
	return list, at
}

// Told are the resources of a kind that the proxy is to have by now, in the order of names.
func (s *Session) Told(k Kind) []*Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := &s.topics[k]; t.told != nil {
		return t.list(k)
	}
	return nil
}

// What is remembered of types that nobody tells of: how many, and how long in bytes.
const (
	maxUnknown = 8
	maxType    = 256
)

// Unknown are types that the proxy has asked for and nobody tells of here, the first few of them.
func (s *Session) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// healthType is what Istio's agents say by how the workload beside them does: a request that asks for nothing, and is refused if that is not well.
const healthType = typePrefix + "istio.v1.HealthInformation"

// take takes a request in. An error ends the stream.
func (s *Session) take(r *request, now time.Time) error {
	k, known := kindOf(r.url)
	if s.only != kindCount && r.url == "" {
		k, known = s.only, true
	}
	if s.only != kindCount && (!known || k != s.only) {
		s.server.count(requestsBroken)
		return status.Errorf(codes.InvalidArgument, "this stream is about %s: a request is about %q", s.only, r.url)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.url == healthType && s.only == kindCount {
		s.server.count(healths)
		s.probed = &r.refusal
		return nil
	}
	if !known {
		s.server.count(requestsUnknown)
		if len(s.unknown) < maxUnknown && len(r.url) <= maxType && !slices.Contains(s.unknown, r.url) {
			s.unknown = append(s.unknown, r.url)
		}
		return nil
	}
	t := &s.topics[k]
	first := !t.begun
	t.begun = true
	if !first && r.nonce != "" {
		current := s.verdict(k, t, r, now)
		if !current && s.variant == world {
			return nil // it was written before the last response was read: the answer to that says what is wanted
		}
	}
	if s.variant == delta && !first && len(r.names)+len(r.unsubscribe) == 0 {
		return nil // an answer, and most requests are: nothing else is wanted than before
	}
	if n := versionBytes(r.versions); len(r.versions) > maxNames || n > maxNameBytes {
		s.server.count(namesRefused)
		return tooMany(len(r.versions), n)
	}
	s.count(t, -1)
	if s.variant == world {
		t.wish(r, first, facts[k].all)
	} else {
		t.change(k, r, first)
	}
	if s.count(t, 1); s.names > maxNames || s.bytes > maxNameBytes {
		s.server.count(namesRefused)
		return tooMany(s.names, s.bytes)
	}
	if s.server.Asked != nil {
		s.server.Asked(k, t.named)
	}
	return nil
}

func versionBytes(versions map[string]string) (n int) {
	for name, version := range versions {
		n += len(name) + len(version)
	}
	return n
}

func (s *Session) count(t *topic, sign int) {
	s.names += sign * len(t.named)
	s.bytes += sign * t.named.bytes()
}

// verdict takes an answer. false: it is not one to the last response.
func (s *Session) verdict(k Kind, t *topic, r *request, now time.Time) bool {
	f := t.flight
	if f == nil || r.nonce != f.nonce {
		if r.nonce != t.nonce {
			s.server.count(requestsStale)
		}
		return r.nonce == t.nonce
	}
	t.flight, t.refused = nil, r.refusal
	if r.refusal == "" {
		s.server.count(acks)
		t.taken = r.nonce
	} else {
		s.server.count(nacks)
		if (s.variant == delta || facts[k].parts && !t.all) && t.split(f) {
			s.server.count(splits)
			return true
		}
	}
	s.verdicts = append(s.verdicts, Verdict{Kind: k, View: f.view, Resources: f.resources, Removed: f.removed, Took: now.Sub(f.sent), Refused: r.refusal})
	return true
}

// wish takes what a proxy wants over the state of the world.
func (t *topic) wish(r *request, first, all bool) {
	next, star := set(r.names)
	t.unnamed = len(r.names) == 0 && all && (first || t.unnamed) // once something was asked for by name, nothing means nothing
	star = star || t.unnamed
	if first || star && !t.all {
		t.all, t.named, t.told, t.odd, t.halves, t.again, t.asked = star, next, nil, nil, nil, star || len(next) > 0, next
		return
	}
	if added := next.without(t.named); len(added) > 0 {
		t.asked, t.again = t.asked.with(added), true
	}
	if t.refused != "" && (t.all && !star || len(t.named.without(next)) > 0) {
		t.again, t.asked = true, next // what was wrong may not be wanted any more
	}
	t.all, t.named = star, next
	t.prune()
}

// change takes what a proxy wants from now on, and no longer. A request that says neither changes nothing.
func (t *topic) change(k Kind, r *request, first bool) {
	more, star := set(r.names)
	less, unstar := set(r.unsubscribe)
	if first && len(r.names) == 0 && facts[k].all {
		star = true
	}
	switch {
	case !star:
	case t.all && t.told != nil:
		var list names
		t.told.each(k, func(r *Resource) { list = append(list, r.Name) })
		slices.Sort(list)
		t.asked = t.asked.with(list)
	default:
		before := t.odd
		t.odd = nil
		for _, name := range t.named {
			if o, is := before[name]; is {
				t.keepOdd(name, o)
			} else if r := t.found(k, name); r != nil {
				t.keepOdd(name, odd{r.Version, r})
			}
		}
		if t.flight != nil { // it arrives when all is wanted again
			for _, r := range t.flight.resources {
				if _, is := t.odd[r.Name]; !is {
					t.keepOdd(r.Name, odd{r.Version, r})
				}
			}
		}
		t.all, t.told = true, nil
	}
	t.again = t.again || star
	t.named = t.named.with(more)
	t.asked = t.asked.with(more)
	if first && len(r.versions) > 0 {
		for name, version := range r.versions {
			if star || t.named.has(name) {
				t.keepOdd(name, odd{version: version})
			}
		}
		known := names{}
		for _, name := range t.asked {
			if _, is := t.odd[name]; is {
				known = append(known, name)
			}
		}
		t.asked = t.asked.without(known) // nothing is said of what it has, unless it is other by now
	}
	if unstar {
		t.all = false
	}
	if len(less) > 0 {
		var both names // may have been thrown away, though all is wanted
		for _, name := range less {
			if t.named.has(name) && t.all {
				both = append(both, name)
			}
		}
		t.named = t.named.without(less)
		t.asked = t.asked.without(less).with(both)
	}
	if unstar || len(less) > 0 {
		t.prune()
	}
}

// prune forgets what is not asked for any more.
func (t *topic) prune() {
	for name := range t.odd {
		if !t.wants(name) {
			delete(t.odd, name)
		}
	}
	var none names
	for _, name := range t.asked {
		if !t.wants(name) {
			none = append(none, name)
		}
	}
	t.asked = t.asked.without(none)
}

// nextNonce is of the next response.
func (s *Session) nextNonce() string {
	s.told++
	return strconv.FormatUint(s.told, 10)
}

// response notes that a response is on its way and makes it.
func (s *Session) response(k Kind, v *View, send []*Resource, removed []string, half bool, now time.Time) *response {
	t := &s.topics[k]
	if s.variant == world {
		removed = nil
	}
	t.nonce, t.sent = s.nextNonce(), now
	t.flight = &flight{nonce: t.nonce, sent: now, view: v, resources: send, removed: removed, half: half}
	t.again = false
	return encode(k, s.variant, v.Version, t.nonce, send, removed)
}

// follow has the endpoints of clusters be told again: a proxy warms a cluster that has changed anew, and waits for them.
func (s *Session) follow(clusters []*Resource) {
	t := &s.topics[Endpoints]
	if !t.begun {
		return
	}
	var more names
	for _, c := range clusters {
		if t.named.has(c.Name) {
			more = append(more, c.Name)
		}
	}
	t.asked = t.asked.with(more)
}
