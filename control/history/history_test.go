package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

var shop = source.Key{Kind: source.VirtualService, Namespace: "a", Name: "shop"}

// weight is the shop with a weight, by an author.
func weight(t testing.TB, author string, w int) *source.Object {
	t.Helper()
	return read(t, author, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec: {hosts: [shop.test], http: [{route: [{destination: {host: a}, weight: %d}, {destination: {host: b}, weight: %d}]}]}`, w, 100-w))
}

func read(t testing.TB, author, text string) *source.Object {
	t.Helper()
	c := source.Read([]byte(text), source.Origin{Source: "d", File: "f.yaml"})
	if len(c.Objects) != 1 {
		t.Fatalf("%+v", c.Problems)
	}
	c.Objects[0].Author = author
	return c.Objects[0]
}

func batch(objects ...*source.Object) (b source.Batch) {
	for _, o := range objects {
		b.Changes = append(b.Changes, source.Change{Key: o.Key, Object: o})
	}
	return b
}

func gone(key source.Key) source.Batch {
	return source.Batch{Changes: []source.Change{{Key: key}}}
}

// record runs a recorder that is told these, the first of which is what there is, until it has written all of it.
func record(t *testing.T, s store.Store, lasting bool, batches ...source.Batch) (changes []Change) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := NewRecorder(Options{Store: s, Lasting: lasting, Unnamed: map[string]string{"files": "file"}, Log: slog.New(slog.DiscardHandler), Changed: func(c Change) { changes = append(changes, c) }})
		go r.Run(ctx)
		for i, b := range batches {
			r.Tell("files", i == 0, b)
			synctest.Wait()
		}
	})
	return changes
}

// list says in short what is kept of the shop: its number, author, and what it was.
func list(t *testing.T, s store.Store) string {
	t.Helper()
	all, err := List(t.Context(), s, shop)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range all {
		what := "gone"
		if !v.Deleted {
			c := source.Read(v.Manifest, source.Origin{})
			if len(c.Objects) != 1 {
				t.Fatalf("version %d is not read: %+v", v.Number, c.Problems)
			}
			for w := 0; w <= 100; w++ {
				if source.Same(c.Objects[0], weight(t, "", w)) {
					what = fmt.Sprint(w)
				}
			}
		}
		out = append(out, fmt.Sprintf("%d:%s:%s", v.Number, v.Author, what))
	}
	return strings.Join(out, " ")
}

func expect(t *testing.T, s store.Store, want string) {
	t.Helper()
	if got := list(t, s); got != want {
		t.Errorf("kept are\n%s\nwant\n%s", got, want)
	}
}

// A controller's hundred steps do not push out what a person has written.
func TestVersionsArePerAuthor(t *testing.T) {
	s := store.NewMemory()
	batches := []source.Batch{batch(weight(t, "ann", 100)), batch(weight(t, "ben", 99)), batch(weight(t, "ann", 98))}
	for w := 97; w > 0; w-- {
		batches = append(batches, batch(weight(t, "canary", w)))
	}
	record(t, s, false, batches...)
	expect(t, s, "1:ann:100 2:ben:99 3:ann:98 96:canary:5 97:canary:4 98:canary:3 99:canary:2 100:canary:1")
}

// Where nothing lasts the first version is written with the second; where it does, at once, and after a start only what has changed meanwhile.
func TestWhatIsWrittenWhen(t *testing.T) {
	s := store.NewMemory()
	record(t, s, false, batch(weight(t, "", 100)))
	expect(t, s, "")
	record(t, s, true, batch(weight(t, "", 100)))
	expect(t, s, "1:file:100")
	record(t, s, true, batch(weight(t, "", 100)), batch(weight(t, "", 100)))
	expect(t, s, "1:file:100")
	if c := record(t, s, true, batch(weight(t, "", 50))); len(c) != 1 || c[0].What != "changed" || c[0].Version != 2 {
		t.Errorf("told %+v", c)
	}
	expect(t, s, "1:file:100 2:file:50")
	if c := record(t, s, true, source.Batch{}); len(c) != 1 || c[0].What != "deleted" || c[0].Version != 3 {
		t.Errorf("told %+v", c)
	}
	expect(t, s, "1:file:100 2:file:50 3:file:gone")
	record(t, s, true, source.Batch{}, batch(weight(t, "ann", 50)), gone(shop), gone(shop))
	expect(t, s, "1:file:100 2:file:50 3:file:gone 4:ann:50 5:file:gone")
}

// Only a spec makes a version, and every change is told.
func TestWhatIsAChange(t *testing.T) {
	s := store.NewMemory()
	labelled := weight(t, "ann", 100)
	labelled.Labels, labelled.Revision = map[string]string{"a": "b"}, "another"
	secret := read(t, "", "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: AQI=}}")
	pod := read(t, "", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {serviceAccountName: a}}")
	changes := record(t, s, false, source.Batch{}, batch(weight(t, "ann", 100), secret, pod), batch(labelled), batch(weight(t, "", 90)), gone(shop), gone(secret.Key))
	expect(t, s, "1:ann:100 2:file:90 3:file:gone")
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %s by %s in %s of %s: %d", c.Key, c.What, c.Author, c.Where, c.Source, c.Version))
	}
	want := []string{
		"VirtualService a/shop created by ann in f.yaml of files: 1", "Secret default/s created by file in f.yaml of files: 0",
		"VirtualService a/shop changed by ann in f.yaml of files: 0", "VirtualService a/shop changed by file in f.yaml of files: 2",
		"VirtualService a/shop deleted by file in f.yaml of files: 3", "Secret default/s deleted by file in f.yaml of files: 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all, _ := s.List(t.Context(), ""); len(all) != 3 {
		t.Errorf("%d entries: want nothing of the secret and the pod", len(all))
	}
}

// Several weftd that see the same write it once.
func TestSeveralWriteOnce(t *testing.T) {
	s := store.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var recorders []*Recorder
		for range 3 {
			r := NewRecorder(Options{Store: s, Lasting: true, Log: slog.New(slog.DiscardHandler)})
			recorders = append(recorders, r)
			go r.Run(ctx)
		}
		for i := range 20 {
			for _, r := range recorders {
				r.Tell("files", i == 0, batch(weight(t, fmt.Sprint("author", i%7), 100-i)))
			}
			synctest.Wait()
		}
	})
	all, err := List(t.Context(), s, shop)
	if err != nil || len(all) != 20 || all[19].Number != 20 {
		t.Errorf("%d versions, %v: %s", len(all), err, list(t, s))
	}
}

// turns has recorders lead one after the other, as the test says.
type turns chan context.Context

func (c turns) lead(ctx context.Context, do func(context.Context)) {
	for {
		select {
		case <-ctx.Done():
			return
		case turn := <-c:
			do(turn)
		}
	}
}

// Of several weftd that hear of changes at different times one writes, and what is missed between two of them is written by the next.
func TestOneOfSeveralWrites(t *testing.T) {
	s := store.NewMemory()
	var changes [2][]string
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var recorders [2]*Recorder
		var turn [2]turns
		var all sync.WaitGroup
		for i := range recorders {
			turn[i] = make(turns)
			recorders[i] = NewRecorder(Options{Store: s, Lasting: true, Lead: turn[i].lead, Log: slog.New(slog.DiscardHandler),
				Changed: func(c Change) { changes[i] = append(changes[i], fmt.Sprintf("%s %s %d", c.What, c.Author, c.Version)) }})
			all.Go(func() { recorders[i].Run(ctx) })
		}
		told := [2]bool{}
		tell := func(i int, b source.Batch) {
			recorders[i].Tell("files", !told[i], b)
			told[i] = true
			synctest.Wait()
		}
		first, end := context.WithCancel(ctx)
		turn[0] <- first
		tell(0, batch(weight(t, "ann", 100)))
		tell(0, batch(weight(t, "ann", 90)))
		tell(0, batch(weight(t, "ann", 80)))
		tell(1, batch(weight(t, "ann", 100))) // which hears of it late
		tell(1, batch(weight(t, "ann", 90)))
		before := list(t, s)
		if strings.Count(before, "ann") != 3 {
			t.Errorf("written is %s", before)
		}
		tell(1, batch(weight(t, "ann", 80)))
		end()
		synctest.Wait()
		tell(0, batch(weight(t, "ben", 70))) // while nobody writes
		tell(1, batch(weight(t, "ben", 70)))
		if got := list(t, s); got != before {
			t.Errorf("written is %s: nobody leads", got)
		}
		second, end2 := context.WithCancel(ctx)
		turn[1] <- second
		synctest.Wait()
		tell(1, batch(weight(t, "ben", 60)))
		tell(0, batch(weight(t, "ben", 60)))
		end2()
		cancel()
		all.Wait()
	})
	versions, err := List(t.Context(), s, shop)
	if err != nil || len(versions) != 5 || versions[3].Author != "ben" || versions[4].Number != 5 {
		t.Errorf("%d versions, %v: %s", len(versions), err, list(t, s))
	}
	if got := strings.Join(changes[0], ", "); got != "changed ann 2, changed ann 3" {
		t.Errorf("the first says %s", got)
	}
	if got := strings.Join(changes[1], ", "); got != "changed ben 4, changed ben 5" {
		t.Errorf("the second says %s", got)
	}
}

// The number of authors is bounded: who has not written for longest goes.
func TestAuthorsAreBounded(t *testing.T) {
	s := store.NewMemory()
	batches := []source.Batch{{}}
	for i := range 2 * MaxAuthors {
		batches = append(batches, batch(weight(t, fmt.Sprintf("author%d", i), i)))
	}
	record(t, s, false, batches...)
	all, err := List(t.Context(), s, shop)
	if err != nil || len(all) != MaxAuthors || all[0].Number != MaxAuthors+1 {
		t.Errorf("%d versions, %v: %s", len(all), err, list(t, s))
	}
}

// failing is a store that fails for a while.
type failing struct {
	store.Store
	mu   sync.Mutex
	away bool
}

func (f *failing) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *failing) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("the disk is gone")
	}
	return f.Store.List(ctx, prefix)
}

// A store that fails holds nobody up, is said once, and gets what it missed.
func TestAStoreThatFails(t *testing.T) {
	s := &failing{Store: store.NewMemory()}
	var said strings.Builder
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := NewRecorder(Options{Store: s, Log: slog.New(slog.NewTextHandler(&said, nil))})
		go r.Run(ctx)
		r.Tell("files", true, batch(weight(t, "ann", 100)))
		synctest.Wait()
		s.set(true)
		r.Tell("files", false, batch(weight(t, "ann", 90)))
		synctest.Wait()
		same := weight(t, "ann", 90)
		r.Tell("files", false, batch(slices.Repeat([]*source.Object{same}, maxWaiting)...)) // for which there is room
		r.Tell("files", false, batch(weight(t, "ben", 80)))                                 // for which there is none
		s.set(false)
		time.Sleep(time.Minute) // of the bubble
		r.Tell("files", false, batch(weight(t, "ann", 70)))
		synctest.Wait()
	})
	expect(t, s, "1:ann:100 2:ann:90 3:ann:70")
	for text, want := range map[string]int{"it is tried again": 1, "is kept again": 1, "missing=1": 1} {
		if n := strings.Count(said.String(), text); n != want {
			t.Errorf("%q is said %d times: want %d\n%s", text, n, want, said.String())
		}
	}
}

func BenchmarkFirst(b *testing.B) {
	s, err := store.OpenFile(b.TempDir() + "/store")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var objects []*source.Object
	for i := range 3000 {
		o := *weight(b, "ann", i%100)
		o.Name = fmt.Sprint("shop", i)
		objects = append(objects, &o)
	}
	for b.Loop() {
		r := NewRecorder(Options{Store: s, Lasting: true, Log: slog.New(slog.DiscardHandler)})
		if err := r.load(b.Context()); err != nil {
			b.Fatal(err)
		}
		r.take(b.Context(), told{source: "files", first: true, changes: batch(objects...).Changes})
	}
}
