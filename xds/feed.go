package xds

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/decode"
)

// Feed keeps a complete configuration: the bootstrap's own resources and those that it takes from files.
type Feed struct {
	decoder *decode.Decoder
	files   []*file
	watch   *watch // nil when nothing is watched
	report  func(Outcome)
	now     func() time.Time

	mu       sync.Mutex
	snapshot *config.Snapshot
}

// Options are what a feed needs beside a bootstrap.
type Options struct {
	Filters []filters.Spec
	// Stats is where updates are counted; nil: nowhere.
	Stats *telemetry.Store
	// Report is told of every attempt to read a resource, in order and from one goroutine at a time; nil: nobody is.
	Report func(Outcome)
	// Now is the time that States shows; nil: time.Now.
	Now func() time.Time
}

// Outcome is what became of an attempt to read a resource.
type Outcome struct {
	Kind    Kind
	Name    string // of the resource
	File    string
	Version string // version_info of the attempt
	Changed bool   // what is in force is another one now
	Err     error  // why it is not: Faults; the last good one stays
}

// State is what is known of a resource that comes from a file.
type State struct {
	Kind    Kind
	Name    string
	File    string
	Version string    // of the last good one
	Updated time.Time // when that came
	// Resource is the last good one: *config.RouteConfiguration or *config.Assignment.
	Resource any
	Failure  *Failure // nil: the last attempt was good
}

// Failure is an attempt that was turned down.
type Failure struct {
	Version string
	Time    time.Time
	Wire    []byte // the resource in protobuf's wire format; nil if none could be read
	Details string
}

// file is a file that resources come from.
type file struct {
	config.WatchedFile
	kind        Kind
	subscribers []*subscription
	stamp       stamp
	names       [2]string // its own in its folder, and that of what it links to
}

// subscription is one place that uses a resource, with counters of its own.
type subscription struct {
	state State
	stats *telemetry.Values
}

// Open reads every file that a bootstrap's resources come from. All of it must be good: there is nothing older to fall back to. The
// error is of type Faults. The feed must be closed.
func Open(boot *config.Bootstrap, o Options) (*Feed, error) {
	f := &Feed{report: o.Report, now: o.Now, snapshot: &config.Snapshot{
		Listeners: boot.Static.Listeners,
		Clusters:  boot.Static.Clusters,
		Routes:    maps.Clone(boot.Static.Routes),
		Endpoints: maps.Clone(boot.Static.Endpoints),
	}}
	if f.now == nil {
		f.now = time.Now
	}
	if f.report == nil {
		f.report = func(Outcome) {}
	}
	clusters := map[string]bool{}
	for _, c := range boot.Static.Clusters {
		clusters[c.Name] = true
	}
	f.decoder = decode.New(o.Filters, decode.Options{HasCluster: func(name string) bool { return clusters[name] }})
	if err := f.subscribe(boot, o.Stats); err != nil {
		return nil, err
	}
	if len(f.files) == 0 {
		return f, nil
	}
	var err error
	if f.watch, err = newWatch(f.files); err != nil { // before reading, lest a change in between be missed
		return nil, err
	}
	var faults Faults
	for _, file := range f.files {
		faults = append(faults, f.load(file)...)
	}
	if len(faults) > 0 {
		f.Close()
		return nil, faults
	}
	return f, nil
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

// States tells of all resources that come from files.
func (f *Feed) States() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []State
	for _, file := range f.files {
		for _, s := range file.subscribers {
			out = append(out, s.state)
		}
	}
	return out
}

// subscribe finds what comes from files.
func (f *Feed) subscribe(boot *config.Bootstrap, stats *telemetry.Store) error {
	var faults Faults
	add := func(kind Kind, name string, w *config.WatchedFile, where string, owner func() *telemetry.Owner) {
		for _, other := range f.files {
			if other.kind != kind || other.WatchedFile == *w {
				continue
			}
			for _, s := range other.subscribers {
				if s.state.Name == name {
					faults = append(faults, Fault{File: w.Path, Text: fmt.Sprintf("%s wants %s %q from this file, and it comes from %s already: give one of them another name",
						where, kind, name, other.Path)})
					return
				}
			}
		}
		s := &subscription{state: State{Kind: kind, Name: name, File: w.Path}}
		if stats != nil {
			s.stats = owner().Loop(stats.Loops())
		}
		i := slices.IndexFunc(f.files, func(o *file) bool { return o.kind == kind && o.WatchedFile == *w })
		if i < 0 {
			i = len(f.files)
			f.files = append(f.files, &file{WatchedFile: *w, kind: kind})
		}
		f.files[i].subscribers = append(f.files[i].subscribers, s)
	}
	for _, l := range boot.Static.Listeners {
		for c := range l.AllChains() {
			h := c.HTTP
			if h == nil || h.RouteFile == nil {
				continue
			}
			add(Routes, h.RouteName, h.RouteFile, "listener "+l.Name, func() *telemetry.Owner {
				return stats.Acquire(RouteStats, "http."+h.StatPrefix+".rds."+h.RouteName+".",
					telemetry.Tag{Name: "http_conn_manager_prefix", Value: h.StatPrefix}, telemetry.Tag{Name: "rds_route_config", Value: h.RouteName})
			})
		}
	}
	for _, c := range boot.Static.Clusters {
		if c.EndpointFile != nil {
			add(Endpoints, c.ServiceName, c.EndpointFile, "cluster "+c.Name, func() *telemetry.Owner {
				return stats.Acquire(EndpointStats, "cluster."+c.StatName+".", telemetry.Tag{Name: "cluster_name", Value: c.StatName})
			})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// load reads a file and takes what is good. A faulty file changes nothing.
func (f *Feed) load(file *file) Faults {
	file.stamp = stampOf(file.Path)
	c := readContent(f.decoder, file.Path, file.kind)
	now := f.now()

	f.mu.Lock()
	next, changed := *f.snapshot, false
	var all Faults
	outcomes := make([]Outcome, len(file.subscribers))
	for i, s := range file.subscribers {
		r, faults := c.resources[s.state.Name], c.faults
		if len(faults) == 0 && r.value == nil {
			faults = c.missing(file.Path, file.kind, s.state.Name)
		}
		o := Outcome{Kind: file.kind, Name: s.state.Name, File: file.Path, Version: c.version}
		if s.count(updateAttempt); len(faults) > 0 {
			if i == 0 || len(c.faults) == 0 {
				all = append(all, faults...)
			}
			o.Err = faults
			if c.unreadable {
				s.count(updateFailure)
			} else {
				s.count(updateRejected)
			}
			s.state.Failure = &Failure{Version: c.version, Time: now, Wire: r.wire, Details: faults.Error()}
		} else {
			s.count(updateSuccess)
			o.Changed = take(&next, f.snapshot, s.state.Name, r.value)
			changed = changed || o.Changed
			if s.state.Version, s.state.Updated, s.state.Failure = c.version, now, nil; o.Changed || s.state.Resource == nil {
				s.state.Resource = r.value
			}
			if o.Changed == (file.kind == Routes) {
				s.count(reloadOrNoRebuild)
			}
		}
		outcomes[i] = o
	}
	if changed {
		f.snapshot = &next
	}
	f.mu.Unlock()
	for _, o := range outcomes {
		f.report(o)
	}
	return all
}

// take puts a resource into the next snapshot, unless what is there is equal. Maps of a snapshot that is out are not written to.
func take(next, current *config.Snapshot, name string, v any) bool {
	switch v := v.(type) {
	case *config.RouteConfiguration:
		if old := current.Routes[name]; old != nil && old.Hash == v.Hash {
			return false
		}
		next.Routes = with(next.Routes, name, v)
	case *config.Assignment:
		if old := current.Endpoints[name]; old != nil && old.Hash == v.Hash {
			return false
		}
		next.Endpoints = with(next.Endpoints, name, v)
	}
	return true
}

func with[V any](m map[string]V, name string, v V) map[string]V {
	out := make(map[string]V, len(m)+1)
	maps.Copy(out, m)
	out[name] = v
	return out
}

// What is counted of every subscription.
const (
	updateAttempt = iota
	updateSuccess
	updateRejected // it was read and is wrong
	updateFailure  // it could not be read
	reloadOrNoRebuild
)

// RouteStats is counted for each route configuration of each connection manager, below http.<stat_prefix>.rds.<name>.
var RouteStats = &telemetry.Table{Kind: "http_rds", Metrics: updateMetrics("config_reload")}

// EndpointStats is counted for each cluster whose endpoints come from a file, below cluster.<name>.
var EndpointStats = &telemetry.Table{Kind: "cluster", Metrics: updateMetrics("update_no_rebuild")}

func updateMetrics(last string) []telemetry.Metric {
	return []telemetry.Metric{
		updateAttempt:     {Name: "update_attempt"},
		updateSuccess:     {Name: "update_success"},
		updateRejected:    {Name: "update_rejected"},
		updateFailure:     {Name: "update_failure"},
		reloadOrNoRebuild: {Name: last},
	}
}

func (s *subscription) count(row int) {
	if s.stats != nil {
		s.stats.Inc(row)
	}
}
