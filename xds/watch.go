package xds

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weftmesh/weft/config"
)

// How long a file must be left alone before it is read, how long that may be put off, and how often a folder that went away is asked for.
const (
	quiet    = 10 * time.Millisecond
	patience = 500 * time.Millisecond
	retry    = time.Second
)

// watch tells of changes in the folders where the files are. A file is read again when it was written to or put in place under its
// name, and when its stamp says that it is another one, which shows links that were swapped on the way to it. (A stamp alone would miss
// a file that was rewritten twice in one tick of the file system's clock.)
type watch struct {
	notify  *fsnotify.Watcher
	folders map[string]bool // that matter; false: it is not there at the moment
	names   map[string]bool // of the files in them; true: touched since they were looked at
}

// stamp tells two states of a file apart.
type stamp struct {
	dev, ino uint64
	size     int64
	time     time.Time
}

// stampOf is zero for a file that is not there.
func stampOf(path string) stamp {
	i, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: i.Size(), time: i.ModTime()}
	if sys, ok := i.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(sys.Dev), sys.Ino
	}
	return s
}

func newWatch(files []*file) (*watch, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, Faults{{File: files[0].Path, Text: fmt.Sprintf("cannot be watched: %v", err)}}
	}
	w := &watch{notify: n, folders: map[string]bool{}}
	w.follow(files)
	for _, f := range files {
		for _, folder := range []string{filepath.Dir(f.Path), f.Directory} {
			if folder != "" && !w.folders[folder] {
				n.Close()
				return nil, Faults{{File: f.Path, Text: fmt.Sprintf("cannot be watched: there is no folder %s", folder)}}
			}
		}
	}
	return w, nil
}

func (w *watch) close() { w.notify.Close() }

// follow watches where the files are now: in their own folders, in those that their links lead to, and in those that are named. It says
// whether each of them is there.
func (w *watch) follow(files []*file) (complete bool) {
	needed := map[string]bool{}
	w.names = map[string]bool{}
	for _, f := range files {
		f.names[0] = filepath.Base(f.Path)
		needed[filepath.Dir(f.Path)] = true
		if real, err := filepath.EvalSymlinks(f.Path); err == nil {
			f.names[1] = filepath.Base(real)
			needed[filepath.Dir(real)] = true
		}
		for _, name := range f.names {
			w.names[name] = false
		}
		if f.Directory != "" {
			needed[f.Directory] = true
		}
	}
	for folder := range w.folders {
		if !needed[folder] {
			w.notify.Remove(folder)
			delete(w.folders, folder)
		}
	}
	complete = true
	for folder := range needed {
		if !w.folders[folder] {
			w.folders[folder] = w.notify.Add(folder) == nil
		}
		complete = complete && w.folders[folder]
	}
	return complete
}

// note takes a notice in and says whether it can be about one of the files. Whatever comes, goes or is renamed may be a link on the way
// to one; a file that is written to concerns nobody if its name is not one of theirs.
func (w *watch) note(e fsnotify.Event) bool {
	if _, own := w.folders[e.Name]; own && e.Has(fsnotify.Remove|fsnotify.Rename) {
		w.notify.Remove(e.Name) // a folder that was moved is still watched, at its new place
		w.folders[e.Name] = false
	}
	name := filepath.Base(e.Name)
	_, ours := w.names[name]
	if ours && e.Has(fsnotify.Create|fsnotify.Write) {
		w.names[name] = true
	}
	return e.Has(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) || ours && e.Has(fsnotify.Write)
}

// Watch reads files again when they change and hands over each new configuration, until ctx ends. A faulty file keeps what is in force,
// and so does a file of listeners or clusters that cannot be served.
func (f *Feed) Watch(ctx context.Context, serve func(*config.Snapshot) error) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if f.watch != nil {
		events, errs = f.watch.notify.Events, f.watch.notify.Errors
	}
	f.begin(ctx, serve)
	defer f.hush()
	var since time.Time // of the first notice that has not been followed up; zero: none
	calm, repair, leave := time.NewTimer(time.Hour), time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	calm.Stop()
	repair.Stop()
	leave.Stop()
	noticed := func() {
		if since.IsZero() {
			since = time.Now()
		}
		calm.Reset(max(0, min(quiet, patience-time.Since(since))))
	}
	if f.watch != nil {
		if !f.watch.follow(f.all()) {
			repair.Reset(retry)
		}
		noticed() // files may have changed before they were followed
	}
	f.armLeave(leave)
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-f.news:
			before := f.sources()
			f.hear(n, serve)
			f.armLeave(leave)
			if maps.Equal(before, f.sources()) {
				continue
			}
			// What has come over a stream names files.
			if f.watch == nil {
				var err error
				if f.watch, err = newWatch(f.all()); err != nil {
					f.report(Outcome{Err: err})
					continue
				}
				events, errs = f.watch.notify.Events, f.watch.notify.Errors
			}
			if !f.watch.follow(f.all()) {
				repair.Reset(retry)
			}
			noticed()
		case d := <-f.wishes:
			f.wish(d, serve)
			f.armLeave(leave)
		case e, ok := <-events:
			if !ok {
				return
			}
			if f.watch.note(e) {
				noticed()
			}
		case _, ok := <-errs:
			if !ok {
				return
			}
			noticed() // notices were lost: look at everything
		case <-repair.C:
			noticed()
		case <-leave.C:
			f.expire()
			f.advance(serve)
			f.retire(serve)
			f.armLeave(leave)
		case <-calm.C:
			since = time.Time{}
			touched := f.touched()
			complete := f.watch.follow(f.all())
			before := f.all()
			f.reload(touched, serve)
			f.advance(serve)
			if !slices.Equal(before, f.all()) {
				complete = f.watch.follow(f.all())
				noticed() // as above
			}
			if !complete {
				repair.Reset(retry)
			}
			f.armLeave(leave)
		}
	}
}

// source is what tells files apart.
type source struct {
	kind Kind
	config.WatchedFile
}

func (o *file) source() source { return source{o.kind, o.WatchedFile} }

// all are the files that matter.
func (f *Feed) all() []*file {
	all := slices.Concat(f.tops, f.files)
	for _, top := range f.tops {
		all = append(all, top.awaited...)
	}
	for _, o := range f.files {
		all = append(all, o.parts...)
	}
	return all
}

// sources are the files that matter, told apart.
func (f *Feed) sources() map[source]bool {
	out := map[source]bool{}
	for _, o := range f.all() {
		out[o.source()] = true
	}
	return out
}

// touched are the files that are to be read again. One that waits for others is if they are.
func (f *Feed) touched() map[source]bool {
	touched := map[source]bool{}
	changed := func(o *file) bool {
		return f.watch.names[o.names[0]] || f.watch.names[o.names[1]] || stampOf(o.Path) != o.stamp
	}
	for _, o := range slices.Concat(f.tops, f.files) {
		if changed(o) || slices.ContainsFunc(o.awaited, changed) || slices.ContainsFunc(o.parts, changed) {
			touched[o.source()] = true
		}
	}
	return touched
}

// reload reads files again: clusters before the routes that name them, and those before listeners. A file that was refused is tried
// again when clusters have changed, since it may have been for want of one.
func (f *Feed) reload(touched map[source]bool, serve func(*config.Snapshot) error) {
	top := func(kind Kind, again bool) (changed bool) {
		for _, o := range f.tops {
			if o.kind == kind && (touched[o.source()] || again && o.subscribers[0].state.Failure != nil) {
				p := f.collect(o)
				changed = f.offer(p, serve)
			}
		}
		return changed
	}
	clusters := top(Clusters, false)
	before := f.Snapshot()
	for _, o := range f.files {
		if o.kind == Scopes {
			continue
		}
		again := clusters && slices.ContainsFunc(o.subscribers, func(s *subscription) bool { return s.state.Failure != nil })
		if touched[o.source()] || again {
			f.load(o)
		}
	}
	if now := f.Snapshot(); now != before {
		if err := serve(now); err != nil {
			f.report(Outcome{Err: err})
		}
	}
	for _, o := range slices.Clone(f.files) {
		if o.kind == Scopes && touched[o.source()] {
			f.loadScopes(o, serve)
		}
	}
	top(Listeners, clusters)
	f.retire(serve)
}

// offer serves a proposal and settles it; it says whether it is in force.
func (f *Feed) offer(p *proposal, serve func(*config.Snapshot) error) bool {
	var err error
	good := p.changed && len(p.faults) == 0
	if good {
		err = serve(p.snapshot)
	}
	f.settle(p, err)
	return good && err == nil
}

// retire lets removed clusters go that nothing names any more or that have stayed long enough.
func (f *Feed) retire(serve func(*config.Snapshot) error) {
	switch {
	case len(f.leaving) == 0:
	case len(f.links) > 0:
		f.assemble(serve)
	default:
		if p := f.arrange(nil, nil); p.changed {
			f.offer(p, serve)
		}
	}
}

// armLeave sets the timer to when the next of the removed clusters has to go, or something has been waited for long enough.
func (f *Feed) armLeave(t *time.Timer) {
	t.Stop()
	first := f.nextWait()
	for _, l := range f.leaving {
		first = sooner(first, l.until)
	}
	if !first.IsZero() {
		t.Reset(max(time.Until(first), 0))
	}
}

// sooner is the earlier of two moments; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
