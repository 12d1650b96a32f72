package stored

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

func key(name string) source.Key {
	return source.Key{Kind: source.VirtualService, Namespace: "a", Name: name}
}

func manifest(name, host string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":%q,"namespace":"a"},"spec":{"hosts":[%q],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`, name, host)
}

// apply writes an object as it is, right or wrong.
func apply(t *testing.T, s store.Store, name, text string) {
	t.Helper()
	_, was, _ := Get(t.Context(), s, key(name))
	w, err := (&Record{Manifest: []byte(text), Author: "ann", Created: time.Unix(1e9, 0), Generation: 3}).Put(key(name), was)
	if err == nil {
		_, err = s.Commit(t.Context(), []store.Write{w})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, s store.Store, name string) {
	t.Helper()
	_, was, err := Get(t.Context(), s, key(name))
	if err == nil {
		_, err = s.Commit(t.Context(), []store.Write{Delete(key(name), was)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// line is a batch in short.
func line(b source.Batch) string {
	var out []string
	for _, c := range b.Changes {
		if c.Object == nil {
			out = append(out, "-"+c.Name)
			continue
		}
		out = append(out, fmt.Sprintf("%s=%s by %s", c.Name, c.Object.Spec.(*networking.VirtualService).Hosts[0], c.Object.Author))
	}
	for _, p := range b.Problems {
		out = append(out, fmt.Sprintf("%s: %s: %s", p.Name, p.Path, p.Text))
	}
	return strings.Join(out, "; ")
}

// failing is a store of which a watch fails, and another reads all again.
type failing struct {
	store.Store
	mu  sync.Mutex
	cut context.CancelFunc
}

var errLost = errors.New("the connection is lost")

func (f *failing) Watch(ctx context.Context, prefix string, each func([]store.Event)) error {
	inner, cut := context.WithCancel(ctx)
	defer cut()
	f.mu.Lock()
	f.cut = cut
	f.mu.Unlock()
	err := f.Store.Watch(inner, prefix, each)
	if ctx.Err() == nil && inner.Err() != nil {
		return errLost
	}
	return err
}

func (f *failing) fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut()
}

// TestWatch follows a store in which things change, in which some are wrong, and which fails meanwhile.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: store.NewMemory()}
		apply(t, s, "one", manifest("one", "a.test"))
		apply(t, s, "bad", `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"bad","namespace":"a"},"spec":{"hots":[]}}`)
		put(t, s, "objects/unknown.kinds/a/b")
		put(t, s, "objectsbeside")
		var mu sync.Mutex
		var got []string
		note := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, text)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Watch(ctx, s, func(err error) { note("failed: " + err.Error()) }, func(b source.Batch) {
				for _, c := range b.Changes {
					if o := c.Object; o != nil && (o.From != source.Origin{Source: Origin} || o.Generation != 3 || o.Created.Unix() != 1e9 || o.Revision == "") {
						t.Errorf("object is %+v", o)
					}
				}
				note(line(b))
			})
		}()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			got = nil
		}
		bad := "bad: spec.hots: is no field of VirtualService: hosts?"
		expect("one=a.test by ann; " + bad)
		apply(t, s, "two", manifest("two", "b.test"))
		expect("two=b.test by ann; " + bad)
		apply(t, s, "two", `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"three","namespace":"a"},"spec":{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`)
		expect(bad + "; two: : is not what its record says") // and what there was of it stays
		put(t, s, "objects/unknown.kinds/a/c")
		expect()
		s.fail()
		expect("failed: the connection is lost")
		apply(t, s, "bad", manifest("bad", "c.test"))
		remove(t, s, "two")
		time.Sleep(time.Minute) // of the bubble
		expect("bad=c.test by ann; -two")
		remove(t, s, "bad")
		expect("-bad")
		remove(t, s, "one")
		expect("-one")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		s.Close()
		if err := Watch(t.Context(), s, func(err error) { t.Error(err) }, func(source.Batch) { t.Error("told") }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

// Several follow one store, and an empty one tells that there is nothing.
func TestSeveralFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		got := make([][]string, 2)
		for i := range got {
			go Watch(t.Context(), s, func(err error) { t.Error(err) }, func(b source.Batch) { got[i] = append(got[i], line(b)) })
		}
		synctest.Wait()
		apply(t, s, "one", manifest("one", "a.test"))
		synctest.Wait()
		s.Close()
		synctest.Wait()
		for _, one := range got {
			if strings.Join(one, "|") != "|one=a.test by ann" {
				t.Errorf("told %q", one)
			}
		}
	})
}

func put(t *testing.T, s store.Store, key string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, []byte("no record"), store.Absent); err != nil {
		t.Fatal(err)
	}
}
