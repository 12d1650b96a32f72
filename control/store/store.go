package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Revision tells the versions of a value apart. It is to be compared for being the same, and nothing else.
type Revision string

// Absent is the revision of what is not there.
const Absent Revision = ""

// Entry is a value under its key.
type Entry struct {
	Key      string
	Value    []byte // nobody writes to it
	Revision Revision
}

// Event is what has become of a key. An entry whose revision is Absent is gone.
type Event struct{ Entry }

// Gone says that there is no such key any more.
func (e Event) Gone() bool { return e.Revision == Absent }

// What is not done, and why. The text of an error says of which key.
var (
	ErrNotFound = errors.New("there is no such key")
	ErrConflict = errors.New("somebody else has written it meanwhile: read it again and decide anew")
	ErrInvalid  = errors.New("it cannot be stored")
	ErrClosed   = errors.New("the store is closed")
)

// Bounds of what is stored: those of etcd's requests, less what goes around a value.
const (
	MaxKey    = 512     // bytes
	MaxValue  = 1 << 20 // bytes
	MaxWrites = 120     // of one commit
	MaxCommit = 5 << 18 // bytes of keys and values together
)

// Write is a change of one key, made if its revision is still that one.
type Write struct {
	Key   string
	Value []byte
	Was   Revision // Absent: it must not be there yet
	Gone  bool     // the key is taken away, and Value is not looked at
}

// Store is a place where values are kept. All of it may be called at the same time from anywhere. What has been written is there after a crash, if
// the store is one that lasts at all.
type Store interface {
	// Get reads a value, or fails with ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// List reads all whose key begins so, in the order of keys.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Put writes a value if its revision is still that one, Absent for what must not be there yet, and gives the new revision; else it
	// fails with ErrConflict.
	Put(ctx context.Context, key string, value []byte, was Revision) (Revision, error)
	// Delete takes a value away if its revision is still that one; else it fails with ErrConflict, or with ErrNotFound.
	Delete(ctx context.Context, key string, was Revision) error
	// Commit makes all of these writes, at most MaxWrites of as many keys and MaxCommit bytes, or none of them, as Put and Delete would. It
	// gives their new revisions, Absent for what is gone. Who watches is told of them together.
	Commit(ctx context.Context, writes []Write) ([]Revision, error)
	// Watch tells all whose key begins so, at once, and from then on each change, in the order in which they were made: whoever is slow
	// is told only the last of several about a key. It returns when the context ends, or with what has gone wrong.
	Watch(ctx context.Context, prefix string, each func([]Event)) error
	// Close gives the store back. Who watches returns.
	Close() error
}

// Shared tells whether several processes may have the store of that name at a time.
func Shared(name string) bool { return name == InKubernetes || strings.HasPrefix(name, "etcd://") }

// InKubernetes names the store that is in the API server that is followed, which Open cannot reach: NewKubernetes makes it.
const InKubernetes = "kubernetes"

// Ask says why a store does not answer, if it does not.
func Ask(ctx context.Context, s Store) error {
	_, err := s.Get(ctx, "nothing")
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	if e, is := s.(*Etcd); is && err != nil {
		err = fmt.Errorf("nobody answers as %s does and takes us for who may: %w", e.name, err)
	}
	return err
}

// Open opens the store that an operator names: a file, etcd://…, or nothing at all for one that lasts as long as the process.
func Open(name string) (Store, error) {
	scheme, _, ok := strings.Cut(name, "://")
	if ok && scheme == "etcd" {
		e, err := OpenEtcd(name)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	if ok {
		return nil, fmt.Errorf("store: %s: stores of the kind %q are not there yet: name a file, etcd://HOST:PORT or kubernetes, or leave it out to keep things in memory", name, scheme)
	}
	if name == "" {
		return NewMemory(), nil
	}
	if name == InKubernetes {
		return nil, fmt.Errorf("store: %s: there is no API server: name it by --kubeconfig (or write ./%s for a file of that name)", name, name)
	}
	f, err := OpenFile(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// check says whether something can be stored. Keys are paths of words that people can read.
func check(key string, value []byte) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("store: a key of %d bytes: %w: want 1 to %d", len(key), ErrInvalid, MaxKey)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("store: key %q: %w: it has characters that are not text", key, ErrInvalid)
	case len(value) > MaxValue:
		return fmt.Errorf("store: key %q: %w: %d bytes, want at most %d", key, ErrInvalid, len(value), MaxValue)
	}
	return nil
}

// Check says whether writes can be made together.
func Check(writes []Write) error {
	if len(writes) > MaxWrites {
		return fmt.Errorf("store: %d writes: %w together: want at most %d", len(writes), ErrInvalid, MaxWrites)
	}
	total, keys := 0, make(map[string]bool, len(writes))
	for _, w := range writes {
		if w.Gone {
			w.Value = nil
		}
		if err := check(w.Key, w.Value); err != nil {
			return err
		}
		if keys[w.Key] {
			return fmt.Errorf("store: key %q: %w twice at once", w.Key, ErrInvalid)
		}
		keys[w.Key] = true
		total += len(w.Key) + len(w.Value)
	}
	if total > MaxCommit {
		return fmt.Errorf("store: %d bytes: %w together: want at most %d", total, ErrInvalid, MaxCommit)
	}
	return nil
}

// stands says whether a write is still what its writer takes it for, of a key that has this revision.
func (w *Write) stands(is Revision) error {
	switch {
	case w.Gone && is == Absent:
		return ErrNotFound
	case w.Was != is:
		return ErrConflict
	}
	return nil
}

func revisions(events []Event) []Revision {
	all := make([]Revision, len(events))
	for i, e := range events {
		all[i] = e.Revision
	}
	return all
}

// one is what has come of a commit of one write.
func one(all []Revision, err error) (Revision, error) {
	if err != nil {
		return Absent, err
	}
	return all[0], nil
}

func failed(key string, err error) error { return fmt.Errorf("store: key %q: %w", key, err) }
