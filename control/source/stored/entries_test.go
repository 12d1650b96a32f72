package stored

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// TestEntries has entries be made, changed and taken away beside what was applied, when nobody has written meanwhile.
func TestEntries(t *testing.T) {
	s := store.NewMemory()
	defer s.Close()
	e := Entries{Store: s, Log: slog.New(slog.DiscardHandler)}
	key := source.Key{Kind: source.WorkloadEntry, Namespace: "a", Name: "vm"}
	change := func(decide func(*source.Object) *source.Object) {
		t.Helper()
		if err := e.Change(t.Context(), key, decide); err != nil {
			t.Fatal(err)
		}
	}
	entry := func(at string, health *source.Health) *source.Object {
		return &source.Object{Key: key, Annotations: map[string]string{source.GroupAnnotation: "vm", "istio.io/connectedAt": at}, Spec: &networking.WorkloadEntry{Address: "10.0.0.1"}, Health: health}
	}
	change(func(was *source.Object) *source.Object {
		if was != nil {
			t.Errorf("there is %+v", was)
		}
		return entry("one", nil)
	})
	tries := 0
	change(func(was *source.Object) *source.Object {
		if tries++; tries == 1 { // somebody writes meanwhile
			change(func(*source.Object) *source.Object { return entry("two", nil) })
			return entry("three", nil)
		}
		if was.Annotations["istio.io/connectedAt"] != "two" {
			t.Errorf("decided of %v", was.Annotations)
		}
		return entry("three", &source.Health{Because: "it sleeps"})
	})
	r, revision, err := Get(t.Context(), s, key)
	if err != nil || tries != 2 || r.Author != entryAuthor || r.Version != 0 || r.Created.IsZero() {
		t.Fatalf("after %d tries the record is %+v, %v", tries, r, err)
	}
	if o, problems := r.Object(key, revision); len(problems) > 0 || o.Annotations["istio.io/connectedAt"] != "three" || o.Health == nil || o.Health.Because != "it sleeps" {
		t.Errorf("it says %+v, %+v", o, problems)
	}
	change(func(was *source.Object) *source.Object { return was })
	if _, again, _ := Get(t.Context(), s, key); again != revision {
		t.Error("what is the same is written")
	}
	change(func(*source.Object) *source.Object { return nil })
	change(func(was *source.Object) *source.Object { return was }) // which is not there
	if r, _, err := Get(t.Context(), s, key); r != nil || err != nil {
		t.Errorf("it is there: %+v, %v", r, err)
	}
	// One that somebody has written stays his.
	w, err := (&Record{Manifest: []byte(`{"apiVersion":"networking.istio.io/v1","kind":"WorkloadEntry","metadata":{"name":"vm","namespace":"a"},"spec":{"address":"10.0.0.1"}}`), Author: "ann", Version: 3}).Put(key, store.Absent)
	if err == nil {
		_, err = s.Commit(t.Context(), []store.Write{w})
	}
	if err != nil {
		t.Fatal(err)
	}
	change(func(was *source.Object) *source.Object {
		is := *was
		is.Health = &source.Health{Well: true}
		return &is
	})
	if r, _, err := Get(t.Context(), s, key); err != nil || r.Author != "ann" || r.Version != 3 {
		t.Errorf("it is %+v's, %v", r, err)
	}
	change(func(*source.Object) *source.Object { return nil })
	// What somebody else puts there meanwhile and is no record is left alone.
	if err := e.Change(t.Context(), key, func(*source.Object) *source.Object {
		s.Put(context.Background(), prefix+key.Path(), []byte("{}"), store.Absent)
		return entry("late", nil)
	}); err == nil {
		t.Error("it is written over what somebody else has")
	}
	for range 2 { // a lease that is there, and one that is not
		if err := e.Forget(t.Context(), "one"); err != nil {
			t.Error(err)
		}
		if err := e.Beat("one").Put(t.Context(), lease.Record{Holder: "me"}, ""); err != nil {
			t.Error(err)
		}
		if err := e.Forget(t.Context(), "one"); err != nil {
			t.Error(err)
		}
		if r, version, err := e.Beat("one").Get(t.Context()); err != nil || version != "" || r.Holder != "" {
			t.Errorf("%+v %q %v", r, version, err)
		}
	}
	led := false
	e.Lead(t.Context(), func(context.Context) { led = true }) // nobody else has the store
	if !led {
		t.Error("the only one does not lead")
	}
	s.Close()
	if err := e.Change(t.Context(), key, func(*source.Object) *source.Object { return entry("closed", nil) }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("without a store: %v", err)
	}
}
