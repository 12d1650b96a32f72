package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/control/lease"
)

// inStore is a lease that a store has.
type inStore struct {
	store Store
	key   string
}

// Lease is the lease of that name in a store.
func Lease(s Store, name string) lease.Place { return inStore{s, "leases/" + name} }

// Get implements lease.Place. A record that cannot be read is none: whoever may write it may take it.
func (p inStore) Get(ctx context.Context) (r lease.Record, version string, err error) {
	e, err := p.store.Get(ctx, p.key)
	if errors.Is(err, ErrNotFound) {
		return r, "", nil
	}
	if err != nil {
		return r, "", fmt.Errorf("store: a lease: %w", err)
	}
	if json.Unmarshal(e.Value, &r) != nil {
		r = lease.Record{}
	}
	return r, string(e.Revision), nil
}

// Put implements lease.Place.
func (p inStore) Put(ctx context.Context, r lease.Record, version string) error {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = p.store.Put(ctx, p.key, text, Revision(version))
	}
	if errors.Is(err, ErrConflict) {
		return lease.ErrTaken
	}
	if err != nil {
		return fmt.Errorf("store: a lease: %w", err)
	}
	return nil
}

// Unlease takes the lease of that name away, if there is one.
func Unlease(ctx context.Context, s Store, name string) error {
	e, err := s.Get(ctx, inStore{s, "leases/" + name}.key)
	if err == nil {
		err = s.Delete(ctx, e.Key, e.Revision)
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
