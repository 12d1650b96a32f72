package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/control/store"
)

// inStore is a lease that a store has.
type inStore struct {
	store store.Store
	key   string
}

// In is the lease of a name in a store.
func In(s store.Store, name string) Place { return inStore{s, "leases/" + name} }

// Get implements Place. A record that cannot be read is none: whoever may write it may take it.
func (p inStore) Get(ctx context.Context) (r Record, version string, err error) {
	e, err := p.store.Get(ctx, p.key)
	if errors.Is(err, store.ErrNotFound) {
		return r, "", nil
	}
	if err != nil {
		return r, "", fmt.Errorf("lease: %w", err)
	}
	if json.Unmarshal(e.Value, &r) != nil {
		r = Record{}
	}
	return r, string(e.Revision), nil
}

// Put implements Place.
func (p inStore) Put(ctx context.Context, r Record, version string) error {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = p.store.Put(ctx, p.key, text, store.Revision(version))
	}
	if errors.Is(err, store.ErrConflict) {
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}
