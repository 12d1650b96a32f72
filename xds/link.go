package xds

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/stream"
)

// link is a stream and what has come over it under the names that were asked for.
type link struct {
	config.Stream
	message string // of the one kind that it brings; empty: all
	server  string
	stream  *stream.Stream
	end     context.CancelFunc // nil: it does not run
	held    map[resourceKey]*held
	stats   *telemetry.Owner
}

// resourceKey tells resources apart.
type resourceKey struct {
	kind Kind
	name string
}

// place is where a resource comes from.
type place struct {
	path string
	link *link // instead
}

// String is what faults call it that are not about a file.
func (p place) String() string {
	if p.link != nil {
		return "the control plane " + p.link.server
	}
	return p.path
}

// here is what faults of a file call it.
func (p place) here() string {
	if p.path != "" {
		return "this file"
	}
	return p.String()
}

// held is a resource that was asked for by its name.
type held struct {
	resourceKey
	link    *link
	value   any // as State.Resource; nil: it has not come
	wire    []byte
	version string
	updated time.Time
	failure *Failure
	asked   time.Time
	users   []*subscription
	round   uint64          // of the feed, in which it was told of last
	base    []byte          // of a table, without those of
	hosts   map[string]host // that have come by themselves
	hosting time.Time       // since when those are waited for; zero: they are not
	absent  bool            // the control plane has said that there is none
	expires time.Time       // zero: never
}

// heldUser is one who uses a resource, told apart by what it counts.
type heldUser struct {
	held   *held
	prefix string
}

// put has a resource be part of a snapshot that is being made.
func (h *held) put(next *config.Snapshot) {
	put(next, h.name, h.value)
}

// put has a resource that goes by its name be part of a snapshot that is being made.
func put(next *config.Snapshot, name string, value any) {
	switch r := value.(type) {
	case *config.RouteConfiguration:
		next.Routes[name] = r
	case *config.DubboRoutes:
		next.DubboRoutes[name] = r
	case *config.Assignment:
		next.Endpoints = next.Endpoints.With(name, r)
	case *config.Secret:
		next.Secrets[name] = r
	case *config.Extension:
		next.Extensions[name] = r
	case *config.RuntimeValues:
		next.Runtime[name] = r
	}
}

func (h *held) state() State {
	return State{Kind: h.kind, Name: h.name, Version: h.version, Updated: h.updated, Resource: h.value, Failure: h.failure, Absent: h.absent}
}

// there says that nobody needs to wait for a resource any more who began at its first being asked for and waits so long.
func (h *held) there(wait time.Duration, now time.Time) (ok bool, until time.Time) {
	if h.value != nil || h.absent {
		return true, time.Time{}
	}
	if wait == 0 || h.asked.IsZero() {
		return false, time.Time{}
	}
	until = h.asked.Add(wait)
	return !now.Before(until), until
}

// hosted says that nobody needs to wait for the virtual hosts that come by themselves for a table, since some have, or its control plane has told what there was to begin with, or its time is over.
// Requests that come before would be answered that there is nothing.
func (h *held) hosted(now time.Time) (ok bool, until time.Time) {
	r, is := h.value.(*config.RouteConfiguration)
	if !is || h.hosting.IsZero() || r.Hosts == nil {
		return true, time.Time{}
	}
	if r.Hosts.Wait == 0 {
		return false, time.Time{}
	}
	until = h.hosting.Add(r.Hosts.Wait)
	return !now.Before(until), until
}

// head is all listeners, all clusters or all scopes of a control plane.
type head struct {
	kind     Kind
	wait     time.Duration
	link     *link
	named    bool               // only those that requests have missed
	source   config.ScopeSource // of scopes
	users    []*subscription    // who counts what becomes of it; without any, scopes are not asked for
	began    time.Time          // zero: it was not asked yet
	answered bool
	late     bool // it was given up waiting for
	version  string
	updated  time.Time
	members  map[string]*member
}

// member is one of a head's.
type member struct {
	latest  Member // the last good one
	inForce Member // the last that was in force; its Resource is nil if there is none
	failure *Failure
	expires time.Time // zero: never
	round   uint64    // of the feed, in which it was told of last
}

// head adds listeners or clusters that come from a control plane, if they do.
func (f *Feed) head(kind Kind, from *config.Subscription, prefix string) {
	if from == nil {
		return
	}
	h := &head{kind: kind, wait: from.Wait, link: f.link(from.Stream, kind), members: map[string]*member{},
		users: []*subscription{{state: State{Kind: kind}, prefix: prefix}}}
	h.users[0].acquire(f.stats)
	f.heads = append(f.heads, h)
}

func (h *head) count(row int) {
	for _, s := range h.users {
		s.count(row)
	}
}

// sorted are the good ones by their names, whatever order they came in.
func (h *head) sorted() []*member {
	out := make([]*member, 0, len(h.members))
	for _, m := range h.members {
		if m.latest.Resource != nil {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *member) int { return cmp.Compare(a.latest.Name, b.latest.Name) })
	return out
}

// inForce writes down which of them are in force.
func (h *head) inForce(s *config.Snapshot) {
	there := map[any]bool{}
	for _, l := range s.Listeners {
		there[l] = true
	}
	for _, c := range s.Clusters {
		there[c] = true
	}
	for _, list := range s.Scopes {
		for _, c := range list {
			there[c] = true
		}
	}
	for _, m := range h.members {
		if m.latest.Resource != nil && there[m.latest.Resource] {
			m.inForce = m.latest
		}
	}
}

func (h *head) state() State {
	s := State{Kind: h.kind, source: h.source, Version: h.version, Updated: h.updated}
	for name, m := range h.members {
		one := m.inForce
		one.Name, one.Failure = name, m.failure
		if m.latest.Resource != nil && m.latest.Resource != m.inForce.Resource {
			warming := m.latest
			one.Warming = &warming
		}
		s.Members = append(s.Members, one)
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// member finds a control plane's listener or cluster; nil: it is none of theirs.
func (f *Feed) member(o owner) *member {
	for _, h := range f.heads {
		if h.kind == o.kind {
			if m := h.members[o.name]; m != nil {
				return m
			}
		}
	}
	return nil
}

// link finds the stream that a kind of resources comes over, or makes it.
func (f *Feed) link(s config.Stream, kind Kind) *link {
	message := kind.Message()
	if s.Shared {
		message = ""
	}
	for _, l := range f.links {
		if l.Stream == s && l.message == message {
			return l
		}
	}
	l := &link{Stream: s, message: message, held: map[resourceKey]*held{}}
	of := s
	prefix := [...]string{"route.", "eds.", "cluster_manager.cds.", "listener_manager.lds.", "sds.", "extension_config_discovery.", "runtime.", "scoped_route.", "virtual_host.", "dubbo_route.", "names."}[kind] + "control_plane."
	if s.Shared {
		of, prefix = *f.boot.Dynamic.Shared, "control_plane."
	}
	l.server = of.Server
	var counted *telemetry.Values
	if f.stats != nil {
		l.stats = f.stats.Acquire(stream.Stats, prefix)
		counted = l.stats.Loop(f.stats.Loops())
	}
	i := slices.IndexFunc(f.static.Clusters, func(c *config.Cluster) bool { return c.Name == of.Server })
	l.stream = stream.New(stream.Options{
		Server: f.static.Clusters[i], Node: nodeOf(f.boot), Delta: of.Delta, Once: of.NodeOnce, Message: message, Refresh: of.Refresh, Timeout: of.Timeout, Metadata: of.Metadata, Stats: counted,
		Secrets: func() map[string]*config.Secret { return f.Snapshot().Secrets },
		Beside: func(ctx context.Context) (string, error) {
			f.secretsOf(ctx, f.static.Clusters[i])
			if f.beside == nil {
				return "", nil
			}
			return f.beside(of.Server)
		},
		Hear: func(ctx context.Context, e stream.Event) {
			select {
			case f.news <- news{l, e}:
			case <-ctx.Done():
			}
		},
	})
	f.links = append(f.links, l)
	return l
}

// secretsOf waits until what a cluster's TLS shows of itself has come that comes over a stream of its own, or has been waited for long enough: who came a moment before his certificate would be
// turned away, and had to wait for longer.
func (f *Feed) secretsOf(ctx context.Context, c *config.Cluster) {
	for t := range c.AllTLS() {
		for _, one := range t.Certificates {
			from := one.Secret.Stream
			if from == nil || from.Shared {
				continue
			}
			wait := ctx
			if from.Wait > 0 {
				var cancel context.CancelFunc
				wait, cancel = context.WithTimeout(ctx, from.Wait)
				defer cancel()
			}
			for wait.Err() == nil {
				f.mu.Lock()
				has, changed := f.snapshot.Secrets[one.Secret.Name] != nil, f.changed
				f.mu.Unlock()
				if has {
					break
				}
				select {
				case <-changed:
				case <-wait.Done():
				}
			}
		}
	}
}

// hold finds what is known of a resource, or begins to ask for it.
func (l *link) hold(f *Feed, kind Kind, name string) *held {
	key := resourceKey{kind, name}
	h := l.held[key]
	if h == nil {
		h = &held{resourceKey: key, link: l, asked: f.now()}
		l.held[key] = h
	}
	return h
}

// nodeOf is what control planes are told of this process.
func nodeOf(boot *config.Bootstrap) *corev3.Node {
	n := &corev3.Node{}
	_ = proto.Unmarshal(boot.Node.Message, n) // what was read in wire format once is valid
	n.Id, n.Cluster = boot.Node.ID, boot.Node.Cluster
	if boot.Node.Zone != n.GetLocality().GetZone() {
		if n.Locality == nil {
			n.Locality = &corev3.Locality{}
		}
		n.Locality.Zone = boot.Node.Zone
	}
	n.UserAgentName = "weft"
	// Servers go by the version of Envoy to see what a proxy takes: SPIRE tells bundles of several trust domains to those of 1.18 and later alone. It is that of the Envoy that weft is held against.
	n.UserAgentVersionType = &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40}}}
	n.Extensions = nil
	return n
}

// NodeWire is what servers are told of this process, in protobuf's wire format.
func NodeWire(boot *config.Bootstrap) []byte {
	b, _ := proto.Marshal(nodeOf(boot)) // what was read is valid
	return b
}

// servers are the clusters that a stream may be with.
func servers(boot *config.Bootstrap) map[string]bool {
	out := map[string]bool{}
	for _, c := range boot.Static.Clusters {
		out[c.Name] = c.Static != nil
	}
	return out
}

// hasCluster says whether a cluster is there, or has come.
func (f *Feed) hasCluster(name string) bool {
	if f.known[name] {
		return true
	}
	m := f.member(owner{Clusters, name})
	return m != nil && m.latest.Resource != nil
}

// releaseAsked lets the counters go of whoever is not among these.
func (f *Feed) releaseAsked(next []*subscription) {
	stay := map[*subscription]bool{}
	for _, s := range next {
		stay[s] = true
	}
	for _, s := range f.asked {
		if !stay[s] && s.owner != nil {
			f.stats.Release(s.owner)
		}
	}
}
