package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Memory is a store that ends with its process.
type Memory struct {
	watchers watchers
	mu       sync.Mutex
	all      map[string]Entry
	written  uint64 // how often anything was
	closed   bool
}

// NewMemory makes an empty one.
func NewMemory() *Memory { return &Memory{all: map[string]Entry{}} }

// Get implements Store.
func (m *Memory) Get(_ context.Context, key string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Entry{}, failed(key, ErrClosed)
	}
	e, ok := m.all[key]
	if !ok {
		return Entry{}, failed(key, ErrNotFound)
	}
	return e, nil
}

// List implements Store.
func (m *Memory) List(_ context.Context, prefix string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list(prefix)
}

func (m *Memory) list(prefix string) (out []Entry, err error) {
	if m.closed {
		return nil, failed(prefix, ErrClosed)
	}
	for _, key := range slices.Sorted(maps.Keys(m.all)) {
		if strings.HasPrefix(key, prefix) {
			out = append(out, m.all[key])
		}
	}
	return out, nil
}

// Put implements Store.
func (m *Memory) Put(ctx context.Context, key string, value []byte, was Revision) (Revision, error) {
	return one(m.Commit(ctx, []Write{{Key: key, Value: value, Was: was}}))
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, key string, was Revision) error {
	_, err := m.Commit(ctx, []Write{{Key: key, Was: was, Gone: true}})
	return err
}

// Commit implements Store.
func (m *Memory) Commit(_ context.Context, writes []Write) ([]Revision, error) {
	if err := Check(writes); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("store: %w", ErrClosed)
	}
	for _, w := range writes {
		if err := w.stands(m.all[w.Key].Revision); err != nil {
			return nil, failed(w.Key, err)
		}
	}
	events := make([]Event, len(writes))
	for i, w := range writes {
		if events[i].Key = w.Key; w.Gone {
			delete(m.all, w.Key)
			continue
		}
		m.written++
		events[i].Entry = Entry{Key: w.Key, Value: slices.Clone(w.Value), Revision: Revision(strconv.FormatUint(m.written, 10))}
		m.all[w.Key] = events[i].Entry
	}
	m.watchers.tell(events)
	return revisions(events), nil
}

// Watch implements Store.
func (m *Memory) Watch(ctx context.Context, prefix string, each func([]Event)) error {
	return m.watchers.watch(ctx, prefix, func(join func()) ([]Entry, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		join()
		return m.list(prefix)
	}, each)
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.watchers.close()
	return nil
}
