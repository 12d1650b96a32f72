package file

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/control/source"
)

// maxProblems are told at a time.
const maxProblems = 1000

// hold is what the directory's files say and what has been told of it.
type hold struct {
	dir      string
	files    map[string]*held        // by path below the directory
	order    []string                // their paths, sorted
	owners   map[source.Key][]string // the files that have an object, in order
	doubled  map[source.Key]bool     // those that several have
	told     map[source.Key]told
	problems []source.Problem // as told
	first    bool             // something has been told
}

// held is a file.
type held struct {
	stamp
	sure      bool // that another stamp is another state, and the same one the same
	documents map[[sha256.Size]byte]document
	have      map[source.Key]*source.Object // what it stands for: the last good version of each
	problems  []source.Problem              // with what is in it
	failure   *source.Problem               // with reading it; what it has is kept
}

// document is a piece of a file as it was read.
type document struct {
	source.Contents
	line int
}

// told is an object as it came from its file, and as it was told.
type told struct{ read, told *source.Object }

func newHold(dir string) *hold {
	return &hold{dir: dir, files: map[string]*held{}, owners: map[source.Key][]string{}, doubled: map[source.Key]bool{}, told: map[source.Key]told{}}
}

// file is the one of that path, which may be new.
func (h *hold) file(path string) *held {
	f := h.files[path]
	if f == nil {
		f = &held{}
		h.files[path] = f
		at, _ := slices.BinarySearch(h.order, path)
		h.order = slices.Insert(h.order, at, path)
	}
	return f
}

// take takes in what a file says now. Documents that are as they were are not read again, and the objects in them are the same: a Line
// is where an object stood when it was last read. It gives the objects that may have changed.
func (h *hold) take(path string, data []byte) (touched []source.Key) {
	f := h.file(path)
	from := source.Origin{Source: h.dir, File: path}
	documents := map[[sha256.Size]byte]document{}
	have := map[source.Key]*source.Object{}
	f.failure, f.problems = nil, nil
	refused := map[source.Key]bool{}
	torn := false
	for _, d := range source.Split(data) {
		sum := sha256.Sum256(d.Text)
		doc, known := f.documents[sum]
		if !known || documents[sum].line != 0 {
			doc = document{d.Read(from), d.Line}
		}
		documents[sum] = doc
		torn = torn || doc.Torn
		for _, p := range doc.Problems {
			if p.Name != "" && !p.Warning {
				refused[p.Key] = true
			}
			p.From.Line += d.Line - doc.line
			f.problems = append(f.problems, p)
		}
		for _, o := range doc.Objects {
			if first := have[o.Key]; first != nil {
				at := o.From
				at.Line += d.Line - doc.line
				f.problems = append(f.problems, twice(o.Key, at, fmt.Sprintf("line %d", first.From.Line)))
				continue
			}
			if was := f.have[o.Key]; was != nil && was.Revision == o.Revision {
				o = was
			}
			have[o.Key] = o
		}
	}
	for key, o := range f.have {
		if have[key] == nil && (torn || refused[key]) {
			have[key] = o
		}
	}
	f.documents = documents
	return h.settle(path, have)
}

func twice(key source.Key, at source.Origin, where string) source.Problem {
	return source.Problem{Key: key, From: at, Text: "is in " + where + " too, and that one counts"}
}

// drop takes in that a file is gone.
func (h *hold) drop(path string) (touched []source.Key) {
	touched = h.settle(path, nil)
	delete(h.files, path)
	if at, is := slices.BinarySearch(h.order, path); is {
		h.order = slices.Delete(h.order, at, at+1)
	}
	return touched
}

// fail takes in that a file cannot be read: what it has is kept.
func (h *hold) fail(path, text string) {
	h.file(path).failure = &source.Problem{From: source.Origin{Source: h.dir, File: path, Line: 1}, Text: text}
}

// settle has a file stand for these objects.
func (h *hold) settle(path string, have map[source.Key]*source.Object) (touched []source.Key) {
	f := h.file(path)
	own := func(key source.Key, owners []string) {
		h.owners[key] = owners
		if len(owners) == 0 {
			delete(h.owners, key)
		}
		if h.doubled[key] = true; len(owners) < 2 {
			delete(h.doubled, key)
		}
	}
	for key, o := range f.have {
		if have[key] != o {
			touched = append(touched, key)
		}
		if have[key] == nil {
			own(key, slices.DeleteFunc(h.owners[key], func(p string) bool { return p == path }))
		}
	}
	for key := range have {
		if f.have[key] == nil {
			touched = append(touched, key)
			at, _ := slices.BinarySearch(h.owners[key], path)
			own(key, slices.Insert(h.owners[key], at, path))
		}
	}
	f.have = have
	return touched
}

// batch is what has changed of these objects since the last one, with all problems that there are now; false: there is nothing to tell.
func (h *hold) batch(touched []source.Key, extra []source.Problem) (source.Batch, bool) {
	slices.SortFunc(touched, source.Compare)
	var b source.Batch
	for _, key := range slices.Compact(touched) {
		was := h.told[key]
		var o *source.Object
		if owners := h.owners[key]; len(owners) > 0 {
			o = h.files[owners[0]].have[key]
		}
		switch {
		case o == was.read:
		case o == nil:
			delete(h.told, key)
			b.Changes = append(b.Changes, source.Change{Key: key})
		default:
			now := *o
			if now.Generation = 1; was.told != nil {
				if now.Generation = was.told.Generation; !source.Same(&now, was.told) {
					now.Generation++
				}
			}
			h.told[key] = told{o, &now}
			b.Changes = append(b.Changes, source.Change{Key: key, Object: &now})
		}
	}
	b.Problems = h.all(extra)
	if h.first && len(b.Changes) == 0 && slices.Equal(b.Problems, h.problems) {
		return b, false
	}
	h.first, h.problems = true, b.Problems
	return b, true
}

// all are the problems of all files in the order of their paths. That a kind is skipped is said once of each kind.
func (h *hold) all(extra []source.Problem) []source.Problem {
	out := slices.Clone(extra)
	said := map[string]bool{}
	for _, path := range h.order {
		f := h.files[path]
		if f.failure != nil {
			out = append(out, *f.failure)
		}
		for _, p := range f.problems {
			if p.Warning && p.Name == "" {
				if said[p.Text] {
					continue
				}
				said[p.Text] = true
			}
			out = append(out, p)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(h.doubled), source.Compare) {
		owners := h.owners[key]
		for _, path := range owners[1:] {
			out = append(out, twice(key, h.files[path].have[key].From, owners[0]))
		}
	}
	if more := len(out) - maxProblems; more > 0 {
		out = append(out[:maxProblems], source.Problem{From: source.Origin{Source: h.dir}, Text: fmt.Sprintf("has %d problems more", more)})
	}
	return out
}
