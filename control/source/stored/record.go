package stored

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// Origin is Origin.Source of what was applied.
const Origin = "store"

const prefix = "objects/"

// Record is an object that was applied, and what is known of that.
type Record struct {
	Manifest   json.RawMessage `json:"manifest"` // as source.Manifest writes it
	Author     string          `json:"author"`   // who last changed it
	Created    time.Time       `json:"created"`
	Changed    time.Time       `json:"changed"`
	Generation int64           `json:"generation"` // how many specs it has had, since it was created
	Version    int             `json:"version"`    // of its history, that the spec is
}

// Get reads the record of an object, with the revision that the store has it at; nil: there is none.
func Get(ctx context.Context, s store.Store, key source.Key) (*Record, store.Revision, error) {
	e, err := s.Get(ctx, prefix+key.Path())
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Absent, nil
	}
	if err != nil {
		return nil, store.Absent, err
	}
	r := &Record{}
	if err := json.Unmarshal(e.Value, r); err != nil {
		return nil, e.Revision, fmt.Errorf("stored: the record of %s: %w", key, err)
	}
	return r, e.Revision, nil
}

// Put is the write that has a record take the place of the one with that revision, or be there if that is Absent.
func (r *Record) Put(key source.Key, was store.Revision) (store.Write, error) {
	text, err := json.Marshal(r)
	return store.Write{Key: prefix + key.Path(), Value: text, Was: was}, err
}

// Delete is the write that takes a record away.
func Delete(key source.Key, was store.Revision) store.Write {
	return store.Write{Key: prefix + key.Path(), Was: was, Gone: true}
}

// Object is what a record says, as other sources tell of theirs; nil: it is wrong, or more or other than one object of that key, and no last good
// version can be told apart from that.
func (r *Record) Object(key source.Key, revision store.Revision) (*source.Object, []source.Problem) {
	from := source.Origin{Source: Origin}
	c := source.Read(r.Manifest, from)
	for i := range c.Problems {
		c.Problems[i].From.Line = 0 // nobody has seen the lines of what the store has
		if c.Problems[i].Name == "" {
			c.Problems[i].Key = key
		}
	}
	if len(c.Objects) != 1 || c.Objects[0].Key != key {
		if len(c.Problems) == 0 {
			c.Problems = []source.Problem{{Key: key, From: from, Text: "is not what its record says"}}
		}
		return nil, c.Problems
	}
	o := c.Objects[0]
	o.Author, o.Created, o.Generation, o.Revision, o.From = r.Author, r.Created, r.Generation, string(revision), from
	return o, c.Problems
}

// Entry is a record with its key.
type Entry struct {
	source.Key
	Record
	Revision store.Revision
}

// List reads all records, in the order of the store. Those of kinds that are not known here are left out.
func List(ctx context.Context, s store.Store) ([]Entry, error) {
	all, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(all))
	for _, e := range all {
		one := Entry{Revision: e.Revision}
		var is bool
		if one.Key, is = source.ParsePath(strings.TrimPrefix(e.Key, prefix)); !is {
			continue
		}
		if json.Unmarshal(e.Value, &one.Record) != nil {
			one.Record = Record{} // of which Object says that it is wrong
		}
		out = append(out, one)
	}
	return out, nil
}
