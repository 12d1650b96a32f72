package stored

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// Entries are the WorkloadEntries of machines that register themselves, beside what was applied. They have no history: nobody has written them.
type Entries struct {
	Store  store.Store
	Shared bool // several processes have it
	Log    *slog.Logger
}

const (
	entryAuthor = "weftd"
	entryLease  = "workloads"
	maxTries    = 5 // of what somebody else writes, too
)

// Change implements register.Keeper.
func (e Entries) Change(ctx context.Context, key source.Key, decide func(*source.Object) *source.Object) error {
	for tries := 1; ; tries++ {
		err := e.try(ctx, key, decide)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) || tries == maxTries {
			return err
		}
	}
}

func (e Entries) try(ctx context.Context, key source.Key, decide func(*source.Object) *source.Object) error {
	r, revision, err := Get(ctx, e.Store, key)
	if err != nil {
		return err
	}
	var was *source.Object
	if r != nil {
		if was, _ = r.Object(key, revision); was == nil {
			return fmt.Errorf("stored: the record of %s is wrong: take it away by weftctl delete", key)
		}
	}
	is := decide(was)
	if is == was {
		return nil
	}
	w := Delete(key, revision)
	if is != nil {
		if r == nil {
			r = &Record{Created: time.Now()}
		}
		if r.Manifest, err = source.Manifest(is); err != nil {
			return err
		}
		if r.Changed = time.Now(); is.Annotations[source.GroupAnnotation] != "" { // else somebody has written it
			r.Author = entryAuthor
		}
		if w, err = r.Put(key, revision); err != nil {
			return err
		}
	}
	_, err = e.Store.Commit(ctx, []store.Write{w})
	return err
}

// Beat implements register.Keeper.
func (e Entries) Beat(name string) lease.Place {
	return store.Lease(e.Store, entryLease+"/"+name)
}

// Forget implements register.Keeper.
func (e Entries) Forget(ctx context.Context, name string) error {
	return store.Unlease(ctx, e.Store, entryLease+"/"+name)
}

// Lead implements register.Keeper.
func (e Entries) Lead(ctx context.Context, do func(context.Context)) {
	if !e.Shared {
		do(ctx)
		return
	}
	lease.Lead(ctx, store.Lease(e.Store, entryLease), e.Log.With("lease", entryLease), do)
}
