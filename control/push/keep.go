package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// What is held back outlives the process in the store, with what was in force in its place: a weftd that starts again would else tell all proxies of it.

const (
	keptPrefix = "held/"
	// fromKept is who is waited for before anybody is told anything: the store's word of what is held back.
	fromKept = "what is held back"
	// storeTime is how long the store may take, and storePause how long it is left alone when it has failed.
	storeTime, storePause = 10 * time.Second, 5 * time.Second
)

// keptBack is a record of it.
type keptBack struct {
	Object  json.RawMessage `json:"object,omitempty"` // none: it was to go
	Before  json.RawMessage `json:"before,omitempty"` // none: there was nothing
	Proxy   string          `json:"proxy,omitempty"`
	Because string          `json:"because"`
	At      time.Time       `json:"at"`
}

// kept is what the store has of an object.
type kept struct {
	held     *held // nil: it was there when this process began
	revision store.Revision
}

// restored is what was held back before this process began.
type restored struct {
	held
	before *source.Object
}

// keeper has the store have what is held back, until ctx ends.
func (p *Push) keeper(ctx context.Context) {
	var have map[source.Key]kept
	said := false
	for {
		var err error
		if have == nil {
			if have, err = p.recall(ctx); err == nil {
				p.Tell(ctx, fromKept, source.Batch{})
			}
		} else {
			err = p.keep(ctx, have)
		}
		if err != nil && ctx.Err() == nil && !said {
			p.Log.Error("the store does not say, or is not told, what is held back: it is asked again", "because", err)
		}
		said = err != nil
		var again <-chan time.Time
		if err != nil {
			again = time.After(storePause)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.keeping:
		case <-again:
		}
	}
}

// recall reads what the store has.
func (p *Push) recall(ctx context.Context) (map[source.Key]kept, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	all, err := p.Store.List(ctx, keptPrefix)
	if err != nil {
		return nil, err
	}
	have, back := map[source.Key]kept{}, map[source.Key]restored{}
	for _, e := range all {
		key, is := source.ParsePath(strings.TrimPrefix(e.Key, keptPrefix))
		if !is {
			continue // of a kind that is not known here
		}
		have[key] = kept{revision: e.Revision}
		r, err := readKept(key, e.Value)
		if err != nil {
			p.Log.Error("what is held back cannot be read: it is told", "object", key, "because", err)
			continue
		}
		back[key] = r
	}
	p.mu.Lock()
	p.restored = back
	p.mu.Unlock()
	return have, nil
}

func readKept(key source.Key, text []byte) (r restored, err error) {
	var k keptBack
	if err = json.Unmarshal(text, &k); err != nil {
		return r, err
	}
	r.refusedBy = refusedBy{proxy: k.Proxy, because: k.Because, at: k.At}
	if r.object, err = readObject(key, k.Object); err == nil {
		r.before, err = readObject(key, k.Before)
	}
	return r, err
}

// readObject reads a manifest; without one there is no object.
func readObject(key source.Key, text json.RawMessage) (*source.Object, error) {
	if text == nil {
		return nil, nil
	}
	var o *source.Object
	switch key.Kind {
	case source.MeshConfig:
		o, _ = source.ReadMeshConfig(text, source.Origin{})
	case source.MeshNetworks:
		o, _ = source.ReadMeshNetworks(text, source.Origin{})
	default:
		if c := source.Read(text, source.Origin{}); len(c.Objects) == 1 {
			o = c.Objects[0]
		}
	}
	if o == nil || o.Key != key {
		return nil, fmt.Errorf("push: the record of %s has no good one", key)
	}
	return o, nil
}

// restore holds back again, in the first mesh that anybody is told of, what is still asked for, and gives what is in force in its place. It is called with
// the lock held.
func (p *Push) restore() (changes []source.Change) {
	for key, r := range p.restored {
		now := p.next.Objects(key.Kind).Get(key.Namespace, key.Name)
		if !sameAsked(r.object, now) {
			continue
		}
		if now != nil && r.before != nil {
			r.before.From = now.From
		}
		p.cohorts.held[key] = &held{now, r.refusedBy}
		changes = append(changes, source.Change{Key: key, Object: r.before})
		p.Log.Warn("it is held back, as it was", "object", key, "because", r.text())
	}
	p.restored = nil
	return changes
}

// keep writes what has come and takes away what has gone.
func (p *Push) keep(ctx context.Context, have map[source.Key]kept) error {
	type wanted struct {
		held   *held // as which it is known again
		is     held  // as it was when it was looked at
		before *source.Object
	}
	p.mu.Lock()
	if p.mesh == nil { // what was held back is not known to be what it was
		p.mu.Unlock()
		return nil
	}
	want := make(map[source.Key]wanted, len(p.cohorts.held))
	for key, h := range p.cohorts.held {
		want[key] = wanted{h, *h, p.mesh.Objects(key.Kind).Get(key.Namespace, key.Name)}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	for key, w := range want {
		if have[key].held == w.held {
			continue
		}
		text, err := writeKept(&w.is, w.before)
		if err != nil {
			return err
		}
		at := keptPrefix + key.Path()
		revision, err := p.Store.Put(ctx, at, text, have[key].revision)
		if errors.Is(err, store.ErrConflict) { // another weftd's word of the same
			e, failed := p.Store.Get(ctx, at)
			if failed != nil && !errors.Is(failed, store.ErrNotFound) {
				return failed
			}
			revision, err = p.Store.Put(ctx, at, text, e.Revision)
		}
		if errors.Is(err, store.ErrInvalid) { // it will not be later, either
			p.Log.Error("what is held back is told when weftd starts again: it cannot be kept", "object", key, "because", err)
			revision, err = have[key].revision, nil
		}
		if err != nil {
			return err
		}
		have[key] = kept{w.held, revision}
	}
	for _, key := range slices.Collect(maps.Keys(have)) {
		if _, is := want[key]; is {
			continue
		}
		err := p.Store.Delete(ctx, keptPrefix+key.Path(), have[key].revision)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			return err
		}
		delete(have, key)
	}
	return nil
}

func writeKept(h *held, before *source.Object) ([]byte, error) {
	k := keptBack{Proxy: h.proxy, Because: h.because, At: h.at}
	var err error
	if h.object != nil {
		if k.Object, err = source.Known(h.object); err != nil {
			return nil, err
		}
	}
	if before != nil {
		if k.Before, err = source.Known(before); err != nil {
			return nil, err
		}
	}
	return json.Marshal(k)
}
