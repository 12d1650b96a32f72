package xds

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// Watch reads files again when they change and hands over each new configuration, until ctx ends. A faulty file keeps what is in force.
func (f *Feed) Watch(ctx context.Context, changed func(*config.Snapshot)) {
	if f.watch == nil {
		<-ctx.Done()
		return
	}
	var since time.Time // of the first notice that has not been followed up; zero: none
	calm, repair := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	calm.Stop()
	repair.Stop()
	noticed := func() {
		if since.IsZero() {
			since = time.Now()
		}
		calm.Reset(max(0, min(quiet, patience-time.Since(since))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-f.watch.notify.Events:
			if !ok {
				return
			}
			if f.watch.note(e) {
				noticed()
			}
		case _, ok := <-f.watch.notify.Errors:
			if !ok {
				return
			}
			noticed() // notices were lost: look at everything
		case <-repair.C:
			noticed()
		case <-calm.C:
			since = time.Time{}
			var touched []*file
			for _, file := range f.files {
				if f.watch.names[file.names[0]] || f.watch.names[file.names[1]] || stampOf(file.Path) != file.stamp {
					touched = append(touched, file)
				}
			}
			if !f.watch.follow(f.files) {
				repair.Reset(retry)
			}
			before := f.Snapshot()
			for _, file := range touched {
				f.load(file)
			}
			if now := f.Snapshot(); now != before {
				changed(now)
			}
		}
	}
}
