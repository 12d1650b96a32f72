package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/test/etcd"
	kubetest "github.com/weftmesh/weft/test/kube"
)

// kinds are all stores that there are: each keeps to the same rules.
func kinds(t *testing.T, f func(t *testing.T, s Store)) {
	for name, open := range map[string]func(t *testing.T) (Store, error){
		"memory":     func(*testing.T) (Store, error) { return Open("") },
		"file":       func(t *testing.T) (Store, error) { return Open(filepath.Join(t.TempDir(), "store")) },
		"etcd":       func(t *testing.T) (Store, error) { return Open(etcd.Start(t).Store("weft/test")) },
		"kubernetes": func(t *testing.T) (Store, error) { return openKubernetes(t, kubetest.Start(t)), nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			f(t, s)
		})
	}
}

func put(t *testing.T, s Store, key, value string, was Revision) Revision {
	t.Helper()
	r, err := s.Put(t.Context(), key, []byte(value), was)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWritersNoticeOneAnother(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		ctx := t.Context()
		if _, err := s.Get(ctx, "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("get of what is not there: %v", err)
		}
		if _, err := s.Put(ctx, "a", nil, "7"); !errors.Is(err, ErrConflict) {
			t.Errorf("put over what is not there: %v", err)
		}
		first := put(t, s, "a", "one", Absent)
		if _, err := s.Put(ctx, "a", []byte("two"), Absent); !errors.Is(err, ErrConflict) {
			t.Errorf("put of what is there already: %v", err)
		}
		second := put(t, s, "a", "two", first)
		if first == second || first == Absent || second == Absent {
			t.Errorf("revisions %q and %q", first, second)
		}
		if _, err := s.Put(ctx, "a", []byte("three"), first); !errors.Is(err, ErrConflict) {
			t.Errorf("put over an old revision: %v", err)
		}
		if e, err := s.Get(ctx, "a"); err != nil || string(e.Value) != "two" || e.Revision != second || e.Key != "a" {
			t.Errorf("got %+v, %v", e, err)
		}
		if err := s.Delete(ctx, "a", first); !errors.Is(err, ErrConflict) {
			t.Errorf("delete of an old revision: %v", err)
		}
		if err := s.Delete(ctx, "a", second); err != nil {
			t.Error(err)
		}
		if err := s.Delete(ctx, "a", second); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete of what is gone: %v", err)
		}
		if third := put(t, s, "a", "", Absent); third == first || third == second {
			t.Errorf("revision %q again", third)
		}
	})
}

// TestCommit makes several writes at once: all of them, told together, or none.
func TestCommit(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := make(chan []Event, 100)
		go s.Watch(ctx, "c/", func(events []Event) { told <- events })
		if first := <-told; len(first) != 0 {
			t.Errorf("told %v at once", first)
		}
		a := put(t, s, "c/a", "1", Absent)
		<-told
		all, err := s.Commit(ctx, []Write{{Key: "c/a", Was: a, Gone: true}, {Key: "c/b", Value: []byte("2")}, {Key: "c/c", Value: []byte("3")}})
		if err != nil || len(all) != 3 || all[0] != Absent || all[1] == Absent || all[2] == Absent {
			t.Fatalf("%q, %v", all, err)
		}
		if events := <-told; len(events) != 3 || !events[0].Gone() || events[1].Revision != all[1] || string(events[2].Value) != "3" {
			t.Errorf("told %v: want all three together", events)
		}
		for name, one := range map[string]struct {
			writes []Write
			want   error
		}{
			"one is older":    {[]Write{{Key: "c/d"}, {Key: "c/b", Value: []byte("4"), Was: a}}, ErrConflict},
			"one is there":    {[]Write{{Key: "c/d"}, {Key: "c/b", Value: []byte("4")}}, ErrConflict},
			"one is gone":     {[]Write{{Key: "c/d"}, {Key: "c/a", Was: a, Gone: true}}, ErrNotFound},
			"one is too long": {[]Write{{Key: "c/d"}, {Key: strings.Repeat("k", MaxKey+1)}}, ErrInvalid},
			"one twice":       {[]Write{{Key: "c/d"}, {Key: "c/d"}}, ErrInvalid},
			"too many":        {make([]Write, MaxWrites+1), ErrInvalid},
			"too much":        {[]Write{{Key: "c/d", Value: make([]byte, MaxValue)}, {Key: "c/e", Value: make([]byte, MaxValue)}}, ErrInvalid},
		} {
			if all, err := s.Commit(ctx, one.writes); !errors.Is(err, one.want) || all != nil {
				t.Errorf("%s: %q, %v: want %v", name, all, err, one.want)
			}
		}
		list, err := s.List(ctx, "c/")
		if err != nil || len(list) != 2 || string(list[0].Value) != "2" || list[0].Revision != all[1] {
			t.Errorf("there are %v, %v: want what was there before", list, err)
		}
	})
}

func TestList(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		for _, key := range []string{"b/2", "a", "b/1", "b", "c"} {
			put(t, s, key, "of "+key, Absent)
		}
		for prefix, want := range map[string][]string{"": {"a", "b", "b/1", "b/2", "c"}, "b/": {"b/1", "b/2"}, "x": nil} {
			list, err := s.List(t.Context(), prefix)
			var keys []string
			for _, e := range list {
				keys = append(keys, e.Key)
				if string(e.Value) != "of "+e.Key {
					t.Errorf("%q has %q", e.Key, e.Value)
				}
			}
			if err != nil || !slices.Equal(keys, want) {
				t.Errorf("list of %q: %q, %v", prefix, keys, err)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		for _, key := range []string{"", strings.Repeat("k", MaxKey+1), "a\nb", "a\x00", "\xff"} {
			if _, err := s.Put(t.Context(), key, nil, Absent); !errors.Is(err, ErrInvalid) {
				t.Errorf("key %q: %v", key, err)
			}
		}
		if _, err := s.Put(t.Context(), "a", make([]byte, MaxValue+1), Absent); !errors.Is(err, ErrInvalid) {
			t.Errorf("a large value: %v", err)
		}
		put(t, s, strings.Repeat("k", MaxKey), strings.Repeat("v", MaxValue), Absent)
	})
}

// TestWatch writes at random while it is watched: what was told, put together, is what is there at the end.
func TestWatch(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		put(t, s, "w/before", "", Absent)
		put(t, s, "other", "", Absent)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		seen, changed := map[string]Entry{}, make(chan struct{}, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- s.Watch(ctx, "w/", func(events []Event) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range events {
					if !strings.HasPrefix(e.Key, "w/") {
						t.Errorf("told of %q", e.Key)
					}
					if seen[e.Key] = e.Entry; e.Gone() {
						delete(seen, e.Key)
					}
				}
				select {
				case changed <- struct{}{}:
				default:
				}
			})
		}()
		random := rand.New(rand.NewPCG(1, 2))
		is := map[string]Revision{}
		for i := range 300 {
			key := fmt.Sprintf("w/%d", random.IntN(10))
			if was := is[key]; was != Absent && random.IntN(3) == 0 {
				if err := s.Delete(ctx, key, was); err != nil {
					t.Fatal(err)
				}
				delete(is, key)
				continue
			}
			is[key] = put(t, s, key, fmt.Sprint(i), is[key])
		}
		want, err := s.List(ctx, "w/")
		if err != nil {
			t.Fatal(err)
		}
		for limit := time.After(10 * time.Second); ; {
			mu.Lock()
			same := len(seen) == len(want)
			for _, e := range want {
				same = same && seen[e.Key].Revision == e.Revision && bytes.Equal(seen[e.Key].Value, e.Value)
			}
			mu.Unlock()
			if same {
				break
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("told %v, and there are %v", seen, want)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	kinds(t, func(t *testing.T, s Store) {
		watching, ended := make(chan bool, 1), make(chan error, 1)
		go func() { ended <- s.Watch(t.Context(), "", func([]Event) { watching <- true }) }()
		<-watching
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("the watch ended with %v", err)
		}
		if _, err := s.Get(t.Context(), "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("get: %v", err)
		}
		if _, err := s.List(t.Context(), "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("list: %v", err)
		}
		if _, err := s.Put(t.Context(), "a", nil, Absent); !errors.Is(err, ErrClosed) {
			t.Errorf("put: %v", err)
		}
		if err := s.Watch(t.Context(), "", func([]Event) {}); !errors.Is(err, ErrClosed) {
			t.Errorf("watch: %v", err)
		}
	})
}

// TestFileLasts opens a file again, which has all of it, and revisions that go on from where they were.
func TestFileLasts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := put(t, s, "a", "one", Absent)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is open to others: %v, %v", info, err)
	}
	if s, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Get(t.Context(), "a"); err != nil || string(e.Value) != "one" || e.Revision != first {
		t.Errorf("got %+v, %v", e, err)
	}
	if r := put(t, s, "a", "two", first); r == first {
		t.Errorf("revision %q again", r)
	}
}

// TestOneProcessHasAFile opens a file that is open: after openLimit it is said whose it is, and when it is let go of it is opened.
func TestOneProcessHasAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // in which waiting takes no time
		began := time.Now()
		if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "another process has it") || !strings.Contains(err.Error(), path) {
			t.Errorf("said %v", err)
		}
		if waited := time.Since(began); waited > 2*openLimit {
			t.Errorf("after %v", waited)
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestOpenRefuses is what is said of files that are no store.
func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	broken := filepath.Join(folder, "broken")
	if err := os.WriteFile(broken, bytes.Repeat([]byte("no store "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		broken:                       "invalid database",
		folder:                       "is a directory",
		folder + "/nowhere/store":    "no such file",
		"kubernetes":                 "there is no API server: name it by --kubeconfig",
		"redis://127.0.0.1:1":        `stores of the kind "redis" are not there yet`,
		"postgres://weft@nowhere/db": `stores of the kind "postgres" are not there yet`,
	} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("open %s: %v", name, err)
		}
	}
}
