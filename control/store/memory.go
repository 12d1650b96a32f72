package store

import (
	"context"
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
func (m *Memory) Put(_ context.Context, key string, value []byte, was Revision) (Revision, error) {
	if err := check(key, value); err != nil {
		return Absent, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Absent, failed(key, ErrClosed)
	}
	if m.all[key].Revision != was {
		return Absent, failed(key, ErrConflict)
	}
	m.written++
	e := Entry{Key: key, Value: slices.Clone(value), Revision: Revision(strconv.FormatUint(m.written, 10))}
	m.all[key] = e
	m.watchers.tell(Event{e})
	return e.Revision, nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, key string, was Revision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return failed(key, ErrClosed)
	}
	switch e, ok := m.all[key]; {
	case !ok:
		return failed(key, ErrNotFound)
	case e.Revision != was:
		return failed(key, ErrConflict)
	}
	delete(m.all, key)
	m.watchers.tell(Event{Entry{Key: key}})
	return nil
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
