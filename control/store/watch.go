package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// watchers are those who are told of changes that this process has made. For each key only the last change waits, so that who is slow
// costs no more than there are keys.
type watchers struct {
	mu     sync.Mutex
	list   map[*watcher]bool
	closed bool
}

type watcher struct {
	prefix  string
	pending map[string]Event
	order   []string // of pending, by when the first change came that nobody has been told of
	wake    chan struct{}
}

// tell passes changes on that were made at once. It is called in the order in which changes are made.
func (w *watchers) tell(events []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.list {
		for _, e := range events {
			if !strings.HasPrefix(e.Key, one.prefix) {
				continue
			}
			if _, ok := one.pending[e.Key]; !ok {
				one.order = append(one.order, e.Key)
			}
			one.pending[e.Key] = e
			one.rouse()
		}
	}
}

func (w *watcher) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watch tells first what begin reads, then what follows. Begin runs while nothing is written.
func (w *watchers) watch(ctx context.Context, prefix string, begin func(join func()) ([]Entry, error), each func([]Event)) error {
	one := &watcher{prefix: prefix, pending: map[string]Event{}, wake: make(chan struct{}, 1)}
	closed := false
	all, err := begin(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if closed = w.closed; !closed {
			if w.list == nil {
				w.list = map[*watcher]bool{}
			}
			w.list[one] = true
		}
	})
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, one)
	}()
	if err != nil {
		return err
	}
	if closed {
		return ErrClosed
	}
	events := make([]Event, len(all))
	for i, e := range all {
		events[i] = Event{e}
	}
	for {
		each(events)
		for events = events[:0]; len(events) == 0; { // of several changes at once each rouses
			if ctx.Err() != nil {
				return ctx.Err()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-one.wake:
			}
			if events = w.take(one); events == nil {
				return ErrClosed
			}
		}
	}
}

// take is what somebody has not been told yet; nil: the store is closed.
func (w *watchers) take(one *watcher) []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	events := make([]Event, 0, len(one.order))
	for _, key := range one.order {
		events = append(events, one.pending[key])
	}
	one.order = one.order[:0]
	clear(one.pending)
	return events
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, one := range slices.Collect(maps.Keys(w.list)) {
		one.rouse()
	}
}
