package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// issued is a certificate that is out there.
type issued struct {
	Serial   string    `json:"serial"` // hexadecimal
	Identity string    `json:"identity"`
	Until    time.Time `json:"until"`
}

// ledger is what all replicas have issued and what has not ended yet, so that what belongs to an identity can be revoked. It is written before a
// certificate is given away, by whoever is waiting for it, for all who wait by then: so thousands a second cost a few writes.
type ledger struct {
	store store.Store

	mu      sync.Mutex
	issued  map[string][]issued       // by identity
	known   map[string]store.Revision // entries of the store that are in issued
	waiting []issued
	written *batch // that those who wait are going to be in
	writing bool
}

// batch is entries that are written at once.
type batch struct {
	done chan struct{}
	err  error
}

const issuedPrefix = "ca/issued/"

// maxBatch keeps an entry of the store far below store.MaxValue.
const maxBatch = 1000

// enter writes a certificate down.
func (l *ledger) enter(ctx context.Context, one issued) error {
	l.mu.Lock()
	if len(l.waiting) >= maxBatch {
		l.mu.Unlock()
		return errors.New("ca: more certificates are asked for than the store can write down: try again")
	}
	if l.written == nil {
		l.written = &batch{done: make(chan struct{})}
	}
	mine := l.written
	l.waiting = append(l.waiting, one)
	if !l.writing {
		l.writing = true
		go l.write(context.WithoutCancel(ctx))
	}
	l.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return fmt.Errorf("ca: writing the certificate down: %w", ctx.Err())
	}
}

// write writes as long as somebody waits.
func (l *ledger) write(ctx context.Context) {
	for {
		l.mu.Lock()
		list, b := l.waiting, l.written
		l.waiting, l.written = nil, nil
		if len(list) == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		last := list[0].Until
		for _, one := range list {
			if one.Until.After(last) {
				last = one.Until
			}
		}
		text, err := json.Marshal(list)
		if err == nil {
			_, err = l.store.Put(ctx, fmt.Sprintf("%s%d-%s", issuedPrefix, last.Unix(), list[0].Serial), text, store.Absent)
		}
		if err != nil {
			b.err = fmt.Errorf("ca: writing the certificate down: %w", err)
		}
		close(b.done)
	}
}

// take takes in what was written, here or elsewhere.
func (l *ledger) take(events []store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.Gone() {
			delete(l.known, e.Key)
			continue
		}
		var list []issued
		if l.known[e.Key] != store.Absent || json.Unmarshal(e.Value, &list) != nil {
			continue
		}
		l.known[e.Key] = e.Revision
		for _, one := range list {
			l.issued[one.Identity] = append(l.issued[one.Identity], one)
		}
	}
}

// of is what an identity has that has not ended.
func (l *ledger) of(identity string, now time.Time) (list []issued) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.issued[identity] {
		if now.Before(one.Until) {
			list = append(list, one)
		}
	}
	return list
}

// sweep forgets what has ended, and takes it out of the store: every replica does, and whoever comes second finds it gone.
func (l *ledger) sweep(ctx context.Context, now time.Time) error {
	ended := map[string]store.Revision{}
	l.mu.Lock()
	for key, revision := range l.known {
		until, _, _ := strings.Cut(strings.TrimPrefix(key, issuedPrefix), "-")
		if n, err := strconv.ParseInt(until, 10, 64); err == nil && now.Unix() > n {
			ended[key] = revision
		}
	}
	for identity, list := range l.issued {
		list = slices.DeleteFunc(list, func(one issued) bool { return !now.Before(one.Until) })
		if l.issued[identity] = list; len(list) == 0 {
			delete(l.issued, identity)
		}
	}
	l.mu.Unlock()
	for key, revision := range ended {
		if err := l.store.Delete(ctx, key, revision); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return nil
}
