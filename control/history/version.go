package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// What is kept of an object. The versions of one author do not push out another's: a controller that moves weights writes many.
const (
	PerAuthor = 5
	// MaxAuthors bounds whose versions are kept: those of the one who has not written for longest go first.
	MaxAuthors = 20
)

const prefix = "history/"

// Version is a spec that an object had, or that it was taken away.
type Version struct {
	Number   int             `json:"version"` // the first is 1; those that are gone leave gaps
	Author   string          `json:"author"`
	At       time.Time       `json:"at,omitzero"`
	Source   string          `json:"source"`          // that told of it
	Where    string          `json:"where,omitempty"` // it was, such as a file
	Deleted  bool            `json:"deleted,omitempty"`
	Manifest json.RawMessage `json:"manifest,omitempty"` // as source.Manifest writes it; none if it was deleted
	Revision string          `json:"revision,omitempty"` // that the source tells versions apart by

	revision store.Revision
	err      error // why the manifest is missing
}

// Kept says whether objects of a kind have a history. What Kubernetes' controllers write has none, nor what holds keys.
func Kept(k source.Kind) bool {
	switch k {
	case source.EndpointSlice, source.Pod, source.Node, source.Namespace, source.Secret, source.ConfigMap, source.IngressClass:
		return false
	}
	return true
}

func keyOf(key source.Key, number int) string {
	return fmt.Sprintf("%s%s/%010d", prefix, key.Path(), number)
}

// ErrNotFound says that there is no such version.
var ErrNotFound = errors.New("history: there is no such version, or it is kept no more")

// List reads the versions of an object that are kept, the oldest first.
func List(ctx context.Context, s store.Store, key source.Key) ([]Version, error) {
	entries, err := s.List(ctx, prefix+key.Path()+"/")
	if err != nil {
		return nil, err
	}
	all := make([]Version, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e.Value, &all[i]); err != nil {
			return nil, fmt.Errorf("history: %s: %w", e.Key, err)
		}
		all[i].revision = e.Revision
	}
	return all, nil
}

// Get reads one version, or fails with ErrNotFound.
func Get(ctx context.Context, s store.Store, key source.Key, number int) (*Version, error) {
	e, err := s.Get(ctx, keyOf(key, number))
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	v := &Version{revision: e.Revision}
	if err := json.Unmarshal(e.Value, v); err != nil {
		return nil, fmt.Errorf("history: %s: %w", e.Key, err)
	}
	return v, nil
}

// Add gives the write by which a version comes after all that there are, with its number put in, and those by which what is kept no more goes; these
// may be left for another time. Somebody who adds at the same time makes one of the two fail.
func Add(key source.Key, all []Version, v *Version) (add store.Write, drop []store.Write, err error) {
	v.Number = 1
	if len(all) > 0 {
		v.Number = all[len(all)-1].Number + 1
	}
	text, err := json.Marshal(v)
	if err != nil {
		return add, nil, err
	}
	byAuthor := map[string]int{v.Author: 1}
	for _, one := range slices.Backward(all) { // the newest first, so that authors come by when they wrote last
		n := byAuthor[one.Author]
		if n >= PerAuthor || n == 0 && len(byAuthor) >= MaxAuthors {
			drop = append(drop, store.Write{Key: keyOf(key, one.Number), Was: one.revision, Gone: true})
			continue
		}
		byAuthor[one.Author] = n + 1
	}
	return store.Write{Key: keyOf(key, v.Number), Value: text}, drop, nil
}

// Is says whether a version is what an object is now; nil: it is gone.
func (v *Version) Is(manifest []byte) bool {
	if v.Deleted || manifest == nil {
		return v.Deleted == (manifest == nil)
	}
	return bytes.Equal(specOf(v.Manifest), specOf(manifest))
}

// specOf is a manifest without what stands beside its spec. Of a kind that has no version of an API, it is all there is.
func specOf(manifest []byte) []byte {
	var m struct {
		APIVersion string          `json:"apiVersion"`
		Spec       json.RawMessage `json:"spec"`
	}
	if json.Unmarshal(manifest, &m) != nil || m.APIVersion == "" {
		return manifest
	}
	return m.Spec
}
