package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/etcd"
)

// TestEtcdIsNamed is what is said of names that are wrong. Nothing is asked of anybody.
func TestEtcdIsNamed(t *testing.T) {
	dir := t.TempDir()
	a := authority.New(t, dir)
	a.Issue("client", []string{"weftd"}, nil)
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	for name, want := range map[string]string{
		"etcd://":                                                     `"" is no address: want HOST:PORT`,
		"etcd://127.0.0.1":                                            `"127.0.0.1" is no address`,
		"etcd://127.0.0.1:1,":                                         `"" is no address`,
		"etcd://user:word@127.0.0.1:1":                                "is no address",
		"etcd://10.0.0.1:2379":                                        "would go over the network as it is: want ca=FILE",
		"etcd://127.0.0.1:1,etcd.test:2379":                           "would go over the network as it is: want ca=FILE",
		"etcd://127.0.0.1:1?CA=x":                                     `there is no setting "CA"`,
		"etcd://127.0.0.1:1?ca=":                                      "ca: want one file",
		"etcd://127.0.0.1:1?ca=x&ca=y":                                "ca: want one file",
		"etcd://127.0.0.1:1?ca=%zz":                                   "behind the question mark",
		"etcd://127.0.0.1:1?ca=/nowhere":                              "no such file",
		"etcd://127.0.0.1:1?ca=" + key:                                "has no certificate",
		"etcd://127.0.0.1:1?cert=x&key=y":                             "nobody says whom to trust",
		"etcd://127.0.0.1:1?ca=" + ca + "&cert=x":                     "want both, or none",
		"etcd://127.0.0.1:1?ca=" + ca + "&cert=" + ca + "&key=" + key: "cert:",
	} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want %q", name, err, want)
		}
	}
	if _, err := os.Stat(cert); err != nil {
		t.Fatal(err)
	}
}

// TestEtcdOfSeveral has two processes' stores at one etcd, and others' things beside them.
func TestEtcdOfSeveral(t *testing.T) {
	server := etcd.Start(t)
	open := func(prefix string) Store {
		s, err := Open(server.Store(prefix))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	one, two, other := open("weft"), open("weft"), open("weft2")
	told := make(chan []Event, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go two.Watch(ctx, "a/", func(events []Event) { told <- events })
	<-told
	put(t, other, "a/x", "another's", Absent)
	if _, err := one.Commit(ctx, []Write{{Key: "a/1", Value: []byte("1")}, {Key: "a/2", Value: []byte("2")}, {Key: "b/1"}}); err != nil {
		t.Fatal(err)
	}
	if events := <-told; len(events) != 2 || events[0].Key != "a/1" || string(events[1].Value) != "2" {
		t.Errorf("told %v: want both together, and nothing else", events)
	}
	// Both count up, each noticing the other.
	var all sync.WaitGroup
	for _, s := range []Store{one, two} {
		all.Go(func() {
			for done := 0; done < 50; {
				e, err := s.Get(ctx, "count")
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
					return
				}
				if _, err := s.Put(ctx, "count", append(e.Value, '.'), e.Revision); err == nil {
					done++
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if e, err := one.Get(ctx, "count"); err != nil || len(e.Value) != 100 {
		t.Errorf("counted to %d, %v", len(e.Value), err)
	}
	// A list of more than a page is one.
	for i := range etcdPage/100 + 1 {
		var writes []Write
		for j := range 100 {
			writes = append(writes, Write{Key: fmt.Sprintf("many/%02d%02d", i, j)})
		}
		if _, err := one.Commit(ctx, writes); err != nil {
			t.Fatal(err)
		}
	}
	list, err := two.List(ctx, "many/")
	if err != nil || len(list) != etcdPage+100 || list[0].Key != "many/0000" || list[len(list)-1].Key != fmt.Sprintf("many/%02d99", etcdPage/100) {
		t.Errorf("%d entries, %v", len(list), err)
	}
	unknown, err := Open("etcd://" + server.Address + "?ca=" + filepath.Join(server.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	defer unknown.Close()
	if err := Ask(ctx, unknown); err == nil || !strings.Contains(err.Error(), "nobody answers as etcd at "+server.Address+" does and takes us for who may") {
		t.Errorf("without a certificate: %v", err)
	}
	if err := Ask(ctx, one); err != nil {
		t.Error(err)
	}
}

// TestEtcdComesBack has etcd go away: that is said, and when it is back what has changed is told.
func TestEtcdComesBack(t *testing.T) {
	server := etcd.Start(t)
	s, err := OpenEtcd(server.Store("weft"))
	if err != nil {
		t.Fatal(err)
	}
	s.limit, s.beat = 5*time.Second, 50*time.Millisecond
	defer s.Close()
	var mu sync.Mutex
	seen, failures := map[string]bool{}, 0
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() { // as whoever watches does
		defer close(ended)
		for ctx.Err() == nil {
			first := true
			err := s.Watch(ctx, "", func(events []Event) {
				mu.Lock()
				defer mu.Unlock()
				if first {
					clear(seen)
				}
				first = false
				for _, e := range events {
					if seen[e.Key] = true; e.Gone() {
						delete(seen, e.Key)
					}
				}
			})
			mu.Lock()
			if ctx.Err() == nil && err != nil {
				failures++
			}
			mu.Unlock()
		}
	}()
	eventually := func(what string, f func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for limit := time.After(time.Minute); ; {
			mu.Lock()
			done := f()
			mu.Unlock()
			if done {
				return
			}
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("not: %s", what)
			}
		}
	}
	r := put(t, s, "a", "", Absent)
	eventually("a is told", func() bool { return seen["a"] })
	server.Stop()
	eventually("it is said", func() bool { return failures > 0 })
	if _, err := s.Get(ctx, "a"); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "etcd at "+server.Address) {
		t.Errorf("get: %v", err)
	}
	server.Restart()
	eventually("it answers", func() bool { _, err := s.Get(ctx, "a"); return err == nil })
	put(t, s, "b", "", Absent)
	if err := s.Delete(ctx, "a", r); err != nil {
		t.Error(err)
	}
	eventually("what has changed is told", func() bool { return seen["b"] && !seen["a"] })
	cancel()
	<-ended
}

// TestDifference makes of what was told what there is, whatever came between.
func TestDifference(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	state := map[string]Entry{}
	known, told := map[string]Revision{}, map[string]Revision{}
	for step := range 300 {
		for range random.IntN(5) {
			key := fmt.Sprint(random.IntN(8))
			if delete(state, key); random.IntN(3) > 0 {
				state[key] = Entry{Key: key, Revision: revisionOf(int64(step + 1))}
			}
		}
		var now []Entry
		for _, e := range state {
			now = append(now, e)
		}
		for _, e := range difference(now, known) {
			if told[e.Key] == e.Revision {
				t.Fatalf("%q is told again", e.Key)
			}
			if told[e.Key] = e.Revision; e.Gone() {
				delete(told, e.Key)
			}
		}
		if len(told) != len(state) || len(known) != len(state) {
			t.Fatalf("told %v of %v", told, state)
		}
		for key, e := range state {
			if told[key] != e.Revision {
				t.Fatalf("told %v of %v", told, state)
			}
		}
	}
}
