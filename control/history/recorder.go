package history

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/telemetry"
)

// maxWaiting is how many changes may wait to be written. What comes beyond while the store is slow or away is not kept, which is said.
const maxWaiting = 20_000

// How long a store that failed is left alone: longer each time.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Options are what a Recorder is made from.
type Options struct {
	Store store.Store
	// Lasting says that the store outlives the process. Then what there is at first is written too, so that what changes while nobody looks is
	// noticed afterwards. Else an object's first version is written with its second.
	Lasting bool
	// Lead runs what it is given while this one of several on the store is the one that writes: the others would write the same, each what it hears last. Nil: there
	// are no others.
	Lead func(context.Context, func(context.Context))
	// Unnamed are authors by source, for objects that say none; without one it is the source's name.
	Unnamed map[string]string
	// Changed is told of each object that has come, changed or gone since its source told first, whether it has a history or not. Nil: nobody is.
	Changed func(Change)
	Log     *slog.Logger
	Stats   *telemetry.Values // of Stats; nil: nothing is counted
}

// Stats is what is counted of a Recorder.
var Stats = &telemetry.Table{Kind: "history", Metrics: []telemetry.Metric{
	written:  {Name: "versions_total"},
	missed:   {Name: "changes_missed"},
	failures: {Name: "store_failures"},
}}

const (
	written  = iota // versions
	missed          // changes for which there was no room while the store was slow or away
	failures        // of the store
)

func (r *Recorder) count(row int, n uint64) {
	if r.Stats != nil {
		r.Stats.Add(row, n)
	}
}

// Change is what has become of an object.
type Change struct {
	Key                   source.Key
	What                  string // created, changed, deleted
	Author, Source, Where string
	At                    time.Time
	Version               int // 0: its spec is the one that it was, or its kind has no history
}

// Recorder writes the history of sources that write none themselves. It works off the way that changes take to proxies, and holds nobody up.
type Recorder struct {
	Options
	wake chan struct{}

	mu      sync.Mutex
	waiting []told
	changes int // in waiting
	lost    int // that had no room, since it was last said

	// Of the goroutine that runs.
	now   map[from]*source.Object
	last  map[source.Key]brief
	began map[string]time.Time // when a source told first
}

type told struct {
	source  string
	first   bool
	at      time.Time
	changes []source.Change
}

type from struct {
	source string
	key    source.Key
}

// brief is what has to be known of an object's last version.
type brief struct {
	source, revision string
	deleted          bool
	number           int
}

// NewRecorder makes one. Run has it work.
func NewRecorder(o Options) *Recorder {
	return &Recorder{Options: o, wake: make(chan struct{}, 1), now: map[from]*source.Object{}, last: map[source.Key]brief{}, began: map[string]time.Time{}}
}

// Tell takes what a source says. First says that it is all that the source has. It does not wait.
func (r *Recorder) Tell(name string, first bool, b source.Batch) {
	t := told{name, first, time.Now(), slices.DeleteFunc(slices.Clone(b.Changes), func(c source.Change) bool { return !watched(c) })}
	if len(t.changes) == 0 && !first {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !first && r.changes+len(t.changes) > maxWaiting {
		r.lost += len(t.changes)
		r.count(missed, uint64(len(t.changes)))
		return
	}
	r.waiting = append(r.waiting, t)
	r.changes += len(t.changes)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// watched says whether somebody writes such an object, and not Kubernetes itself, many times a second, or a control plane for a machine.
func watched(c source.Change) bool {
	switch c.Kind {
	case source.EndpointSlice, source.Pod, source.Node:
		return false
	case source.WorkloadEntry:
		return c.Object == nil || c.Object.Annotations[source.GroupAnnotation] == ""
	}
	return true
}

// Run works until the context ends. While another one writes it only takes in what there is, and when it is its turn it writes what has changed since
// the last that was written.
func (r *Recorder) Run(ctx context.Context) {
	if r.Lead == nil {
		r.lead(ctx)
		return
	}
	follow := func() (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		all.Go(func() { r.loop(ctx, r.follow) })
		return func() {
			cancel()
			all.Wait()
		}
	}
	stop := follow()
	r.Lead(ctx, func(ctx context.Context) {
		stop()
		r.lead(ctx)
		stop = follow()
	})
	stop()
}

// lead writes until the context ends.
func (r *Recorder) lead(ctx context.Context) {
	if r.Lasting {
		clear(r.last)
		r.patiently(ctx, "the history of objects cannot be read", r.load)
	}
	for _, name := range slices.Sorted(maps.Keys(r.began)) { // what was told while another one wrote
		t := told{source: name, first: true, at: time.Now()}
		for id, o := range r.now {
			if id.source == name {
				t.changes = append(t.changes, source.Change{Key: id.key, Object: o})
			}
		}
		r.begin(ctx, t)
	}
	r.loop(ctx, r.take)
}

// follow takes in what a source told, and writes nothing.
func (r *Recorder) follow(_ context.Context, t told) {
	if t.first {
		r.began[t.source] = t.at
	}
	for _, c := range t.changes {
		if r.now[from{t.source, c.Key}] = c.Object; c.Object == nil {
			delete(r.now, from{t.source, c.Key})
		}
	}
}

// loop does something with what is told until the context ends.
func (r *Recorder) loop(ctx context.Context, do func(context.Context, told)) {
	for ctx.Err() == nil {
		r.mu.Lock()
		waiting, lost := r.waiting, r.lost
		r.waiting, r.changes, r.lost = nil, 0, 0
		r.mu.Unlock()
		if lost > 0 {
			r.Log.Error("the history of objects has gaps: the store was slower than changes came", "missing", lost)
		}
		for _, t := range waiting {
			do(ctx, t)
		}
		if len(waiting) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
	}
}

// patiently does something with the store until it is done, or the context ends. A failure is said once.
func (r *Recorder) patiently(ctx context.Context, what string, do func(context.Context) error) {
	said := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := do(ctx)
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return
		}
		if err == nil {
			if said {
				r.Log.Info("the history of objects is kept again")
			}
			return
		}
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			continue // another weftd writes the same: what it has written counts
		}
		r.count(failures, 1)
		if errors.Is(err, store.ErrInvalid) { // it will never be done
			r.Log.Error(what, "because", err)
			return
		}
		if !said {
			r.Log.Error(what+": it is tried again, and nobody waits for it", "because", err)
		}
		said = true
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// load reads what the last version of each object is.
func (r *Recorder) load(ctx context.Context) error {
	entries, err := r.Store.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, e := range entries { // in the order of versions
		path := strings.TrimPrefix(e.Key, prefix)
		key, is := source.ParsePath(path[:max(strings.LastIndexByte(path, '/'), 0)])
		var v Version
		if !is || json.Unmarshal(e.Value, &v) != nil {
			continue
		}
		r.last[key] = brief{v.Source, v.Revision, v.Deleted, v.Number}
	}
	return nil
}

// take writes what comes of what a source told.
func (r *Recorder) take(ctx context.Context, t told) {
	if t.first {
		r.begin(ctx, t)
		return
	}
	for _, c := range t.changes {
		id := from{t.source, c.Key}
		was := r.now[id]
		if was == nil && c.Object == nil {
			continue
		}
		one := Change{Key: c.Key, What: "changed", Source: t.source, At: t.at}
		switch o := c.Object; {
		case o == nil:
			delete(r.now, id)
			one.What, one.Author, one.Where = "deleted", r.unnamed(t.source), where(was)
		default:
			if was == nil {
				one.What = "created"
			}
			r.now[id] = o
			one.Author, one.Where = r.author(t.source, o), where(o)
		}
		if Kept(c.Kind) && (was == nil || c.Object == nil || !source.Same(was, c.Object)) {
			if _, has := r.last[c.Key]; !has && was != nil {
				r.write(ctx, c.Key, r.version(t.source, was, r.began[t.source]))
			}
			v := r.version(t.source, c.Object, t.at)
			v.Author, v.Where = one.Author, one.Where
			if c.Object != nil {
				v.At = t.at
			}
			one.Version = r.write(ctx, c.Key, v)
		}
		if r.Changed != nil {
			r.Changed(one)
		}
	}
}

// begin takes in all that a source has.
func (r *Recorder) begin(ctx context.Context, t told) {
	r.began[t.source] = t.at
	known := false // the source was there before: what is other than then has changed while nobody looked
	for _, b := range r.last {
		known = known || b.source == t.source
	}
	tell := func(what string, key source.Key, v *Version) {
		if r.Changed != nil && known {
			r.Changed(Change{Key: key, What: what, Author: v.Author, Source: t.source, Where: v.Where, At: t.at, Version: v.Number})
		}
	}
	var fresh []source.Key
	var versions []*Version
	flush := func() {
		r.writeFirst(ctx, fresh, versions)
		for i, key := range fresh {
			tell("created", key, versions[i])
		}
		fresh, versions = fresh[:0], versions[:0]
	}
	for _, c := range t.changes {
		if c.Object == nil {
			continue
		}
		r.now[from{t.source, c.Key}] = c.Object
		if !r.Lasting || !Kept(c.Kind) {
			continue
		}
		b, has := r.last[c.Key]
		switch {
		case !has:
			if fresh, versions = append(fresh, c.Key), append(versions, r.version(t.source, c.Object, t.at)); len(fresh) == firstTogether {
				flush()
			}
		case b.deleted || b.revision != c.Object.Revision || b.revision == "": // it has changed while nobody looked
			v := r.version(t.source, c.Object, t.at)
			v.At = t.at
			what := "changed"
			if b.deleted {
				what = "created"
			}
			if r.write(ctx, c.Key, v) != b.number { // else what stands beside the spec is other
				tell(what, c.Key, v)
			}
		}
	}
	flush()
	var gone []source.Key
	for key, b := range r.last {
		if b.source == t.source && !b.deleted && r.now[from{t.source, key}] == nil {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		v := r.version(t.source, nil, t.at)
		v.Author = r.unnamed(t.source)
		r.write(ctx, key, v)
		tell("deleted", key, v)
	}
}

// firstTogether are written at once of what has no history yet: each commit waits for the disk.
const firstTogether = 50

// writeFirst writes the first versions of objects together. If that cannot be, each is written by itself.
func (r *Recorder) writeFirst(ctx context.Context, keys []source.Key, versions []*Version) {
	var writes []store.Write
	for i, key := range keys {
		if add, _, err := Add(key, nil, versions[i]); err == nil && versions[i].err == nil {
			writes = append(writes, add)
		}
	}
	if len(writes) == len(keys) {
		if _, err := r.Store.Commit(ctx, writes); err == nil {
			r.count(written, uint64(len(writes)))
			for i, key := range keys {
				r.last[key] = brief{versions[i].Source, versions[i].Revision, false, versions[i].Number}
			}
			return
		}
	}
	for i, key := range keys {
		r.write(ctx, key, versions[i])
	}
}

// version is a version of an object as its source has it; of none, that it is gone.
func (r *Recorder) version(name string, o *source.Object, at time.Time) *Version {
	v := &Version{Source: name, At: at, Deleted: o == nil}
	if o == nil {
		return v
	}
	v.Author, v.Where, v.Revision = r.author(name, o), where(o), o.Revision
	if !o.Created.IsZero() {
		v.At = o.Created
	}
	if v.Manifest, v.err = source.Manifest(o); v.err != nil {
		v.Manifest = nil
	}
	return v
}

// write has a version come after those that there are, unless it is the last one, and says its number; 0: it is not written.
func (r *Recorder) write(ctx context.Context, key source.Key, v *Version) int {
	if v.err != nil {
		r.Log.Error("a version of an object is not kept", "object", key.String(), "because", v.err)
		return 0
	}
	r.patiently(ctx, "the history of objects is not kept", func(ctx context.Context) error {
		v.Number = 0
		all, err := List(ctx, r.Store, key)
		if err != nil {
			return err
		}
		if len(all) > 0 && all[len(all)-1].Is(v.Manifest) { // another weftd was faster, or this one before it was started again
			v.Number = all[len(all)-1].Number
			return nil
		}
		if len(all) == 0 && v.Deleted {
			return nil // nobody knows what it was
		}
		add, drop, err := Add(key, all, v)
		if err == nil {
			_, err = r.Store.Commit(ctx, append(drop, add))
		}
		if err != nil {
			v.Number = 0
			return err
		}
		r.count(written, 1)
		return nil
	})
	if v.Number > 0 {
		r.last[key] = brief{v.Source, v.Revision, v.Deleted, v.Number}
	}
	return v.Number
}

func (r *Recorder) author(name string, o *source.Object) string {
	if o.Author != "" {
		return o.Author
	}
	return r.unnamed(name)
}

func (r *Recorder) unnamed(name string) string {
	if a := r.Unnamed[name]; a != "" {
		return a
	}
	return name
}

// where is where people find an object: its file.
func where(o *source.Object) string { return o.From.File }
