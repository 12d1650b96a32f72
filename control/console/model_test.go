package console

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/control/history"
	"github.com/weftmesh/weft/control/store"
)

// modelled is a version as it ought to be.
type modelled struct {
	number int
	author string
	host   string // empty: it was taken away
}

// TestHistoryIsWhatWasDone does things at random, as several authors, and holds what is kept and what is there to what ought to be.
func TestHistoryIsWhatWasDone(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	random := rand.New(rand.NewPCG(5, 6))
	kept := map[string][]modelled{}
	for step := range 400 {
		name := fmt.Sprint("shop", random.IntN(2))
		author := []string{"ann", "ben", "canary", "canary", "canary"}[random.IntN(5)]
		all := kept[name]
		now := ""
		if len(all) > 0 {
			now = all[len(all)-1].host
		}
		want, code := now, 200
		var r request
		switch random.IntN(6) {
		case 0:
			r = request{method: "DELETE", path: "/api/objects/vs/a/" + name}
			if want = ""; now == "" {
				code = 404
			}
		case 1:
			if len(all) == 0 {
				continue
			}
			v := all[random.IntN(len(all))]
			r = request{method: "POST", path: fmt.Sprintf("/api/rollback/vs/a/%s/%d", name, v.number)}
			if want = v.host; want == "" {
				want, code = now, 409
			}
		default:
			want = fmt.Sprintf("h%d.test", random.IntN(4))
			r = request{method: "POST", path: "/api/objects", body: strings.Replace(shop(want), "name: shop", "name: "+name, 1)}
		}
		r.path += "?author=" + author
		w.expect(r, code)
		if want != now {
			number := 1
			if len(all) > 0 {
				number = all[len(all)-1].number + 1
			}
			all = append(all, modelled{number, author, want})
			count := map[string]int{}
			for i := len(all) - 1; i >= 0; i-- {
				if count[all[i].author]++; count[all[i].author] > history.PerAuthor {
					all = slices.Delete(all, i, i+1)
				}
			}
			kept[name] = all
		}
		if len(all) == 0 {
			continue
		}
		var text []string
		for i, v := range all {
			one := fmt.Sprintf("%d:%s", v.number, v.author)
			if v.host == "" {
				one += ":gone"
			}
			if i == len(all)-1 {
				one += "*"
			}
			text = append(text, one)
		}
		if got := w.versions("vs/a/" + name); got != strings.Join(text, " ") {
			t.Fatalf("step %d, %s %s: history is\n%s\nwant\n%s", step, r.method, r.path, got, strings.Join(text, " "))
		}
		if want == "" {
			w.expect(request{method: "GET", path: "/api/objects/vs/a/" + name}, 404)
		} else if got := w.host("vs/a/" + name); got != want {
			t.Fatalf("step %d: host is %s: want %s", step, got, want)
		}
	}
}

// trying is a store of which some commits fail.
type trying struct {
	store.Store
	fails func(n int64) error // of the n-th, from 1
	n     atomic.Int64
}

func (s *trying) Commit(ctx context.Context, writes []store.Write) ([]store.Revision, error) {
	if err := s.fails(s.n.Add(1)); err != nil {
		return nil, err
	}
	return s.Store.Commit(ctx, writes)
}

// Who writes the same meanwhile is waited for, but not for ever; and what was done before something failed is said.
func TestCommitsThatFail(t *testing.T) {
	s := &trying{Store: store.NewMemory(), fails: func(int64) error { return nil }}
	w := newWorld(t, s)
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	post := func(body string, code int, words ...string) string {
		t.Helper()
		s.n.Store(0)
		return w.expect(request{method: "POST", path: "/api/objects", body: body}, code, words...)
	}
	s.fails = func(n int64) error {
		if n < attempts {
			return fmt.Errorf("x: %w", store.ErrConflict)
		}
		return nil
	}
	post(shop("a.test"), 200, "created")
	s.fails = func(int64) error { return fmt.Errorf("x: %w", store.ErrConflict) }
	post(shop("b.test"), 409, "somebody else changes the same at this time: ask again")
	s.fails = func(int64) error { return errors.New("the disk is full") }
	post(shop("b.test"), 503, "the disk is full")
	if got := w.host(shopPath); got != "a.test" {
		t.Errorf("host is %s", got)
	}
	s.fails = func(n int64) error {
		if n == 2 {
			return errors.New("the disk is full")
		}
		return nil
	}
	n := store.MaxWrites // two portions: each object is two writes
	var f Failure
	w.decode(post(many(n), 503, fmt.Sprintf("%d objects are done, and the others are not: the disk is full", n/2)), &f)
	if len(f.Results) != n/2 || f.Results[n/2-1].Name != fmt.Sprint("shop", n/2-1) {
		t.Errorf("%d results", len(f.Results))
	}
	var a Applied
	s.fails = func(int64) error { return nil }
	w.decode(post(many(n), 200), &a)
	for i, r := range a.Results {
		if want := map[bool]string{true: "unchanged", false: "created"}[i < n/2]; r.Result != want {
			t.Errorf("%s is %s: want %s", r.Name, r.Result, want)
		}
	}
}
