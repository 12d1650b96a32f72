package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/control/source"
)

// How long a file that may still be written to must stay as it is before it is read, how often what cannot be watched is looked at, and how much
// there may be.
const (
	settling   = 200 * time.Millisecond
	retry      = time.Second
	maxFiles   = 50_000
	maxFolders = 5_000 // a kernel's own limit is 8,192 in the worst case
	maxLeft    = 100   // of what is said of what is not read
)

// Watch tells what the files of a directory say, first all in one batch and then what changes, until ctx ends. It reads the files whose names end in
// .yaml, .yml and .json in the directory and below it, as kubectl apply -R does, but nothing whose name begins with a dot; links to files are followed,
// links to folders are not.
//
// A file counts when its writer has closed it, at once; what has come meanwhile is told together. An object that has become wrong keeps its last good
// version, and so do those of a file, or of the directory, that cannot be read; the objects of a file that is gone are gone. Of an object that is in two
// files, that of the first by path counts. An object was created when its metadata says, and otherwise at the beginning of time, so that rules of
// precedence fall back on names: whatever this process saw first would be another thing after its next start, and in its neighbour.
//
// It calls tell from its own goroutine, and what changes meanwhile waits.
func Watch(ctx context.Context, dir string, tell func(source.Batch)) error {
	n, err := newNotices()
	if err != nil {
		return fmt.Errorf("control/source/file: %w", err)
	}
	defer n.close()
	w := newWatch(dir, n)
	timer := time.NewTimer(0)
	timer.Stop()
	var due time.Time // when the timer goes off; zero: it does not
	for {
		if w.all {
			w.survey()
		}
		if w.missing != nil && !w.hold.first {
			return fmt.Errorf("control/source/file: %s: %w", dir, cause(w.missing))
		}
		if b, news := w.read(); news {
			tell(b)
		}
		switch {
		case !due.IsZero():
		case len(w.young) > 0:
			due = time.Now().Add(settling)
			timer.Reset(settling)
		case w.poll != nil || w.missing != nil:
			due = time.Now().Add(retry)
			timer.Reset(retry)
		}
		if w.all || len(w.dirty) > 0 {
			if ctx.Err() != nil {
				return nil
			}
			continue // it changed while it was read
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.ready:
			w.note(n.drain())
			n.drained <- struct{}{}
		case <-timer.C:
			due = time.Time{}
			w.look()
		}
	}
}

// watch follows a directory.
type watch struct {
	dir, root string // as it was named, and where it really is
	gate      string // the folder where the directory is put in place, if that is watched for nothing else
	notices   *notices
	hold      *hold
	all       bool             // everything has to be looked at
	dirty     map[string]bool  // files to be read, by path below the directory
	writing   map[string]bool  // files that somebody is writing to
	young     map[string]stamp // files that may still be written to, as they were when last looked at
	touched   []source.Key
	missing   error    // the directory is not there
	poll      error    // something cannot be watched
	unread    []string // what is in the directory and not read, and why
}

func newWatch(dir string, n *notices) *watch {
	return &watch{dir: dir, notices: n, hold: newHold(dir), all: true, dirty: map[string]bool{}, writing: map[string]bool{}, young: map[string]stamp{}}
}

// stamp tells two states of a file apart. A stamp alone would miss a file that was rewritten twice in one tick of the file system's clock, or another
// one in its place that has its number; a file is told by it only if it was read well after it had last changed (held.sure).
type stamp struct {
	dev, ino   uint64
	size       int64
	time, meta unix.Timespec
}

// stampOf says too whether it is a file, and not a pipe or a device, which may have no end.
func stampOf(path string) (s stamp, file bool, err error) {
	var i unix.Stat_t
	if err := unix.Stat(path, &i); err != nil {
		return stamp{}, false, err
	}
	return stamp{uint64(i.Dev), i.Ino, i.Size, i.Mtim, i.Ctim}, i.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// fresh says whether the file was written to just now.
func (s stamp) fresh() bool {
	ago := time.Since(time.Unix(s.time.Unix()))
	return ago < settling && ago > -settling
}

// ours says whether a name is one of a file that is read.
func ours(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// note takes notices in.
func (w *watch) note(events []event) {
	for _, e := range events {
		folder, below := strings.CutPrefix(e.folder+string(filepath.Separator), w.root+string(filepath.Separator))
		path := filepath.Join(folder, e.name)
		switch {
		case e.mask&(unix.IN_Q_OVERFLOW|unix.IN_ISDIR|uprooted) != 0:
			w.all = true
		case e.folder == w.gate:
			w.all = w.all || e.name == filepath.Base(w.dir)
		case !below || hidden(folder): // a link leads there
			w.all = w.all || e.mask&(begun|unix.IN_ATTRIB) == 0
		case strings.HasPrefix(e.name, ".."): // Kubernetes puts all files of a volume in place by one such link
			w.all = true
		case !ours(e.name):
		case e.mask&(arrived|left) != 0:
			delete(w.writing, path)
			delete(w.young, path)
			w.dirty[path] = true
		case e.mask&begun != 0:
			w.writing[path] = true
		case e.mask&unix.IN_ATTRIB != 0: // it may be read now
			if f := w.hold.files[path]; f != nil && f.failure != nil {
				w.dirty[path] = true
			}
		default: // created: a writer will close it, and a second name of a file is not heard of again
			full := filepath.Join(w.root, path)
			if i, err := os.Lstat(full); err == nil && i.Mode()&fs.ModeSymlink != 0 {
				w.all = true // where it leads to is to be watched
			} else if s, _, err := stampOf(full); err == nil {
				w.young[path] = s
			}
		}
	}
}

// hidden says whether a path has a part that begins with a dot.
func hidden(path string) bool {
	return strings.HasPrefix(path, ".") || strings.Contains(path, string(filepath.Separator)+".")
}

// look looks at what waits for time to go by.
func (w *watch) look() {
	for path, was := range w.young {
		now, _, err := stampOf(filepath.Join(w.root, path))
		if err == nil && now != was {
			w.young[path] = now
			continue
		}
		delete(w.young, path)
		w.dirty[path] = true
	}
	w.all = w.all || w.poll != nil || w.missing != nil
}

// survey looks at all that there is: at where to watch, at which files are others than they were, and at which are gone.
func (w *watch) survey() {
	w.all, w.unread, w.poll, w.gate = false, nil, nil, ""
	folders := map[string]uint32{}
	if i, err := os.Lstat(w.dir); err != nil || i.Mode()&fs.ModeSymlink != 0 {
		w.gate = filepath.Dir(filepath.Clean(w.dir))
		folders[w.gate] = entries
	}
	root, err := filepath.EvalSymlinks(w.dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err == nil {
		w.root = root
		_, err = os.ReadDir(root)
	}
	if w.missing = err; err != nil {
		w.poll = w.notices.follow(folders)
		return
	}
	// Watched first and looked at then: what changes in between is told twice, and not missed.
	w.walk(func(path string, folder bool, link bool) {
		full := filepath.Join(w.root, path)
		if folder {
			folders[full] = wanted
		} else if link {
			if real, err := filepath.EvalSymlinks(full); err == nil {
				folders[filepath.Dir(real)] = wanted
			}
		}
	})
	if folders[w.gate] == wanted {
		w.gate = ""
	}
	w.poll = w.notices.follow(folders)
	there := map[string]bool{}
	w.walk(func(path string, folder bool, link bool) {
		if folder {
			return
		}
		there[path] = true
		s, _, err := stampOf(filepath.Join(w.root, path))
		f := w.hold.files[path]
		switch {
		case f != nil && err == nil && f.stamp == s && f.sure && f.failure == nil:
		case err == nil && !link && s.fresh() && w.hold.first:
			w.young[path] = s
		default:
			w.dirty[path] = true
		}
	})
	clear(w.writing)
	for path := range w.hold.files {
		if !there[path] {
			w.dirty[path] = true
		}
	}
}

// walk goes through the folders and the files that matter, in order, and notes what it leaves.
func (w *watch) walk(visit func(path string, folder, link bool)) {
	w.unread = nil
	files, folders := 0, 0
	leave := func(format string, args ...any) {
		if len(w.unread) < maxLeft {
			w.unread = append(w.unread, fmt.Sprintf(format, args...))
		}
	}
	filepath.WalkDir(w.root, func(full string, d fs.DirEntry, err error) error {
		path, _ := filepath.Rel(w.root, full)
		switch {
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) { // it has not just gone
				leave("%s cannot be read: %v", path, cause(err))
			}
		case path != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			if folders++; folders > maxFolders {
				leave("has more than %d folders: what is in the others is not read", maxFolders)
				return fs.SkipAll
			}
			visit(path, true, false)
		case d.Type()&fs.ModeSymlink != 0 && isFolder(full):
			leave("%s is a link to a folder, and is not followed", path)
		case ours(d.Name()):
			if files++; files > maxFiles {
				leave("has more than %d files: the others are not read", maxFiles)
				return fs.SkipAll
			}
			visit(path, false, d.Type()&fs.ModeSymlink != 0)
		}
		return nil
	})
}

func isFolder(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

// read reads the files that are to be, and gives what is to be told.
func (w *watch) read() (source.Batch, bool) {
	for _, path := range slices.Sorted(maps.Keys(w.dirty)) {
		delete(w.dirty, path)
		if !w.writing[path] {
			w.readFile(path)
		}
	}
	var extra []source.Problem
	add := func(warning bool, text string) {
		extra = append(extra, source.Problem{From: source.Origin{Source: w.dir}, Text: text, Warning: warning})
	}
	if w.missing != nil {
		add(false, fmt.Sprintf("cannot be read, and what was in it is kept: %v", w.missing))
	}
	for _, text := range w.unread {
		add(true, text)
	}
	if w.poll != nil {
		add(true, fmt.Sprintf("cannot be watched, and is looked at every second: %v", w.poll))
	}
	b, news := w.hold.batch(w.touched, extra)
	w.touched = nil
	return b, news
}

// readFile reads a file. One that changes meanwhile has a writer, who will be heard of when he is done. An empty one is believed to be meant only after
// a while: its writer may just have begun, and the kernel not have said so yet.
func (w *watch) readFile(path string) {
	full := filepath.Join(w.root, path)
	before, file, err := stampOf(full)
	if err == nil && !file {
		err = errors.New("it is no file")
	}
	var data []byte
	if err == nil {
		if large := source.TooLarge(before.size, source.Origin{}); large != nil {
			err = errors.New("it " + large.Text)
		} else {
			data, err = readAll(full)
		}
	}
	after, _, again := stampOf(full)
	w.note(w.notices.drain())
	f := w.hold.files[path]
	switch {
	case w.writing[path] || w.dirty[path]:
	case errors.Is(err, fs.ErrNotExist):
		if i, err := os.Lstat(full); err == nil && i.Mode()&fs.ModeSymlink != 0 {
			w.hold.fail(path, "leads nowhere, and what was in it is kept")
			w.hold.file(path).stamp = stamp{}
			return
		}
		if f != nil && w.missing == nil { // else it is the directory that is not there
			w.touched = append(w.touched, w.hold.drop(path)...)
		}
	case err != nil:
		w.hold.fail(path, fmt.Sprintf("cannot be read, and what was in it is kept: %v", cause(err)))
		w.hold.file(path).stamp = before
	case again != nil || after != before || int64(len(data)) != after.size || len(data) == 0 && f != nil && len(f.have) > 0 && after.fresh():
		w.young[path] = after
	default:
		w.touched = append(w.touched, w.hold.take(path, data)...)
		f := w.hold.file(path)
		f.stamp, f.sure = after, time.Since(time.Unix(after.meta.Unix())) >= settling
	}
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, source.MaxFile+1))
}

// cause is an error without the path, which is said already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
