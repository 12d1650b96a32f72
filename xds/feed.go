package xds

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/decode"
)

// Feed keeps a complete configuration: the bootstrap's own resources and those that it takes from files and from control planes. One
// goroutine at a time changes it.
type Feed struct {
	decoder *decode.Decoder
	boot    *config.Bootstrap
	static  *config.Snapshot
	tops    []*file   // of clusters and of listeners, in this order, as far as they come from files
	heads   []*head   // the same, as far as they come over streams
	links   []*link   // streams
	news    chan news // what streams tell
	wishes  chan config.Demand
	shared  *link  // the stream of all kinds that there was to begin with; nil: none was
	names   *names // nil: nobody asks for them

	// Of what requests have missed.
	demands     map[config.Demand]*demand
	turned      []config.Demand // that are not asked for, which has to be said
	turnedUntil time.Time       // how long that stands in the configuration in force; zero: it does not
	unsaid      []Outcome       // of virtual hosts that do not fit their table any more
	answers     bool            // there may be others than have been told
	dropped     atomic.Uint64   // wishes, since they were counted
	demandStats *telemetry.Values

	// Of what has come over streams and is not in force yet.
	asking     bool         // what is wanted may be something else
	stale      bool         // the configuration has to be put together anew
	renewed    []*held      // of which there is another version
	judgements []*judgement // that have not been said
	mortal     bool         // something that has come may outlive its time
	round      uint64       // counts responses
	context    context.Context
	running    sync.WaitGroup

	watch  *watch          // nil when nothing is watched
	known  map[string]bool // clusters that are there, by name
	stays  time.Duration   // of a removed cluster
	stats  *telemetry.Store
	report func(Outcome)
	now    func() time.Time
	beside func(server string) (string, error)

	mu sync.Mutex // over what is in force, which is read from everywhere
	arrangement
	changed chan struct{} // closed when there is another snapshot
	settled bool          // every cluster that there was to begin with is warm, or was waited for long enough
	ready   bool          // and every listener
	readied chan struct{} // closed then
}

// arrangement is what is in force: a configuration and where its parts come from.
type arrangement struct {
	snapshot *config.Snapshot
	files    []*file         // of routes, endpoints and secrets
	asked    []*subscription // of those that come over streams
	scoped   []*subscription // connection managers whose scopes do
	leaving  []leaving       // clusters that were removed
	warming  []owner         // what waits for something before it is in force
	due      time.Time       // when the first of them has waited long enough; zero: never
}

// Options are what a feed needs beside a bootstrap.
type Options struct {
	Filters []filters.Spec
	// Stats is where updates are counted; nil: nowhere.
	Stats *telemetry.Store
	// Report is told of every attempt to read a resource, in order and from one goroutine at a time; nil: nobody is.
	Report func(Outcome)
	// Names is told each table of names that the control plane of all kinds sends: an encoded istio.networking.nds.v1.NameTable, which is valid until it returns. An error refuses it: the
	// control plane is told, and what was there stays. The feed is not ready before one is taken. nil: none is asked for.
	Names func(table []byte) error
	// Now is the time that States shows; nil: time.Now.
	Now func() time.Time
	// Beside says what is told beside each call to a control plane, by its cluster, after what the bootstrap says, as config.Stream has it. It is asked before each connection, so that a token that
	// others renew is the one of now; nil: nothing. An error is one of reaching the control plane.
	Beside func(server string) (string, error)
}

// Outcome is what became of an attempt to read a resource, or a file of listeners or clusters.
type Outcome struct {
	Kind    Kind
	Name    string // of the resource; empty: all of the file, or of a control plane's response
	File    string
	Server  string   // the cluster of the control plane, if it is one
	Count   int      // resources of a response that are new or others than before, and that were removed
	Version string   // version_info of the attempt
	Changed bool     // what is in force is another one now
	Err     error    // why it is not: Faults; the last good one stays
	Ignored []string // names that were left out, because the bootstrap has a resource of that name
}

// State is what is known of what comes from a file or a control plane: one resource, or all listeners or clusters of it.
type State struct {
	Kind    Kind
	Name    string    // empty for listeners and clusters
	File    string    // empty: it comes from a control plane
	Version string    // of the last good one
	Updated time.Time // when that came
	// Resource is the last good one: *config.RouteConfiguration, *config.DubboRoutes, *config.Assignment, *config.Secret, *config.Extension
	// or *config.RuntimeValues. Of a file of scopes, a []*config.Scope.
	Resource any
	Members  []Member           // the last good listeners, clusters or scopes
	Failure  *Failure           // nil: the last attempt was good
	Absent   bool               // the control plane has said that there is none
	source   config.ScopeSource // of scopes
}

// Member is one of the listeners or clusters of a file or a control plane.
type Member struct {
	Name     string
	Version  string    // with which it came as it is
	Updated  time.Time // when that was
	Resource any       // *config.Listener, *config.Cluster or *config.Scope; nil: there is no good one, or it is not in force yet
	Wire     []byte
	Warming  *Member  // a later one, which waits for what it names
	Failure  *Failure // of a control plane: the last attempt was turned down
}

// Failure is an attempt that was turned down.
type Failure struct {
	Version string
	Time    time.Time
	Wires   map[string][]byte // by name, the resources in protobuf's wire format; only those that could be read
	Details string
}

// file is a file that resources come from.
type file struct {
	config.WatchedFile
	kind        Kind
	subscribers []*subscription
	stamp       stamp
	names       [2]string // its own in its folder, and that of what it links to
	// awaited are the files without which the last attempt at this one failed: when they change it is tried again.
	awaited []*file
	// parts are files that its secrets are read from, beside it.
	parts []*file
}

// subscription is one place that uses a resource, with counters of its own; of a file of listeners or clusters there is one.
type subscription struct {
	state   State
	held    *held         // what comes over a stream
	head    *head         // instead, if all that there is is meant
	wait    time.Duration // how long it is waited for; 0: for ever
	late    bool          // that was too long
	planned bool          // while a plan is made: it is part of it
	prefix  string        // of its counters
	tags    []telemetry.Tag
	owner   *telemetry.Owner
	stats   *telemetry.Values // nil: it is not counted
}

// Open reads every file that a bootstrap's resources come from. All of it must be good: there is nothing older to fall back to. The
// error is of type Faults. The feed must be closed.
func Open(boot *config.Bootstrap, o Options) (*Feed, error) {
	f := &Feed{boot: boot, static: &boot.Static, report: o.Report, now: o.Now, stats: o.Stats, stays: 15 * time.Second, known: map[string]bool{}, news: make(chan news, 4),
		wishes: make(chan config.Demand, maxWishes), demands: map[config.Demand]*demand{}, readied: make(chan struct{}), changed: make(chan struct{}), beside: o.Beside}
	f.snapshot = &config.Snapshot{Secrets: f.static.Secrets}
	if f.stats != nil {
		f.demandStats = f.stats.Acquire(DemandStats, "on_demand.").Loop(f.stats.Loops())
	}
	if f.now == nil {
		f.now = time.Now
	}
	if f.report == nil {
		f.report = func(Outcome) {}
	}
	f.decoder = decode.New(o.Filters, decode.Options{HasCluster: f.hasCluster, Shared: boot.Dynamic.Shared != nil, Servers: servers(boot),
		Resolver: boot.Dynamic.Resolver, Binding: boot.Dynamic.Binding, Ejections: boot.Dynamic.Ejections, Traced: boot.Dynamic.Traced})
	f.top(Clusters, boot.Dynamic.Clusters, "cluster_manager.cds.")
	f.top(Listeners, boot.Dynamic.Listeners, "listener_manager.lds.")
	f.head(Clusters, boot.Dynamic.ClusterStream, "cluster_manager.cds.")
	f.head(Listeners, boot.Dynamic.ListenerStream, "listener_manager.lds.")
	f.subscribeNames(o.Names)
	all, _, _, blames := f.plan(f.static)
	faults := faultsIn(blames)
	if all = append(all, f.tops...); len(faults) == 0 && len(all) > 0 {
		var err error
		if f.watch, err = newWatch(all); err != nil { // before reading, lest a change in between be missed
			return nil, err
		}
	}
	if len(faults) == 0 {
		faults = f.readAll()
	}
	if len(faults) > 0 {
		f.Close()
		return nil, faults
	}
	if i := slices.IndexFunc(f.links, func(l *link) bool { return l.Shared }); i >= 0 {
		f.shared = f.links[i]
	}
	return f, nil
}

// readAll reads what there is for the first time, clusters before what names them.
func (f *Feed) readAll() Faults {
	if len(f.tops) == 0 {
		p := f.arrange(nil, nil)
		if len(p.faults) == 0 {
			f.settle(p, nil)
		}
		return p.faults
	}
	for _, top := range f.tops {
		p := f.collect(top)
		if f.settle(p, nil); len(p.faults) > 0 {
			return p.faults
		}
	}
	return nil
}

// Validate says whether a configuration would be served: it is read, judged and let go again. The error is of type Faults.
func Validate(src Source, specs []filters.Spec) error {
	boot, err := ReadBootstrap(src, specs)
	if err != nil {
		return err
	}
	f, err := Open(boot, Options{Filters: specs})
	if err != nil {
		return err
	}
	f.Close()
	return nil
}

// Health tells the control plane of all kinds how the workload beside the proxy does: because is why it is not well; empty: it is (stream.Stream.Health). false: there is no such control plane. It
// may be called from anywhere.
func (f *Feed) Health(because string) bool {
	if f.shared == nil {
		return false
	}
	f.shared.stream.Health(because)
	return true
}

// Close lets the files go.
func (f *Feed) Close() {
	if f.watch != nil {
		f.watch.close()
	}
}

// Snapshot is the configuration in force.
func (f *Feed) Snapshot() *config.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot
}

// States tells of all that comes from files.
func (f *Feed) States() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []State
	for _, list := range [][]*file{f.files, f.tops} {
		for _, file := range list {
			for _, s := range file.subscribers {
				out = append(out, s.state)
			}
		}
	}
	seen := map[*held]bool{}
	for _, s := range f.asked {
		if !seen[s.held] { // however many use it
			seen[s.held] = true
			out = append(append(out, s.held.state()), s.held.hostStates()...)
		}
	}
	for _, h := range f.heads {
		if !h.named || len(h.members) > 0 {
			out = append(out, h.state())
		}
	}
	return out
}
