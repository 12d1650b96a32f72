package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// File is a store in a file. One process has it at a time. Each write is on the disk when it returns.
type File struct {
	watchers watchers
	mu       sync.Mutex // over writes and what is told of them, so that it is told in order
	db       *bbolt.DB
}

// openLimit is how long another process may still have the file: one that is just going away lets go of it in that time.
const openLimit = 5 * time.Second

var values = []byte("values")

// OpenFile opens a store, or makes one. The file and its keys of a mesh are for its owner only.
func OpenFile(path string) (*File, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openLimit})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("store: file %s: another process has it: end that one, or name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("store: file %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(values)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("store: file %s: %w", path, err)
	}
	return &File{db: db}, nil
}

// A value stands in the file behind its revision, 8 bytes.

func seal(n uint64, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), n), value...)
}

// unseal copies an entry out of the file. Nothing stands under a key that is not there.
func unseal(key, sealed []byte) Entry {
	e := Entry{Key: string(key)}
	if len(sealed) >= 8 {
		e.Revision, e.Value = Revision(strconv.FormatUint(binary.BigEndian.Uint64(sealed), 10)), slices.Clone(sealed[8:])
	}
	return e
}

// Get implements Store.
func (f *File) Get(_ context.Context, key string) (e Entry, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		if e = unseal([]byte(key), tx.Bucket(values).Get([]byte(key))); e.Revision == Absent {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
		return Entry{}, f.why(key, err)
	}
	return e, nil
}

// List implements Store.
func (f *File) List(_ context.Context, prefix string) (out []Entry, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(values).Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			out = append(out, unseal(k, v))
		}
		return nil
	})
	if err != nil {
		return nil, f.why(prefix, err)
	}
	return out, nil
}

// Put implements Store.
func (f *File) Put(ctx context.Context, key string, value []byte, was Revision) (Revision, error) {
	return one(f.Commit(ctx, []Write{{Key: key, Value: value, Was: was}}))
}

// Delete implements Store.
func (f *File) Delete(ctx context.Context, key string, was Revision) error {
	_, err := f.Commit(ctx, []Write{{Key: key, Was: was, Gone: true}})
	return err
}

// Commit implements Store.
func (f *File) Commit(_ context.Context, writes []Write) ([]Revision, error) {
	if err := Check(writes); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make([]Event, len(writes))
	at := "" // the key that it is about
	err := f.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(values)
		for i, w := range writes {
			at = w.Key
			if err := w.stands(unseal([]byte(w.Key), b.Get([]byte(w.Key))).Revision); err != nil {
				return err
			}
			if w.Gone {
				events[i].Key = w.Key
				if err := b.Delete([]byte(w.Key)); err != nil {
					return err
				}
				continue
			}
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			sealed := seal(n, w.Value)
			if err := b.Put([]byte(w.Key), sealed); err != nil {
				return err
			}
			events[i].Entry = unseal([]byte(w.Key), sealed)
		}
		return nil
	})
	if err != nil {
		return nil, f.why(at, err)
	}
	f.watchers.tell(events)
	return revisions(events), nil
}

// Watch implements Store.
func (f *File) Watch(ctx context.Context, prefix string, each func([]Event)) error {
	return f.watchers.watch(ctx, prefix, func(join func()) ([]Entry, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		join()
		return f.List(ctx, prefix)
	}, each)
}

// Close implements Store.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers.close()
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("store: file: %w", err)
	}
	return nil
}

func (f *File) why(key string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return failed(key, err)
}
