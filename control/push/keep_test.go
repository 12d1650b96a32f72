package push

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// What is held back is held back by the next process, too, on the same store, as long as it is the same.
func TestWhatIsHeldBackStaysSo(t *testing.T) {
	kept := store.NewMemory()
	defer kept.Close()
	wait := func(pl *plane, n int) {
		pl.t.Helper()
		pl.eventually("the store has it", func(Status) bool {
			all, err := kept.List(t.Context(), keptPrefix)
			return err == nil && len(all) == n
		})
	}
	good, bad, fresh := entry("y", "10.9.9.2"), strings.Replace(entry("y", "10.9.9.2"), "number: 80", "number: 81", 1), entry("fresh", "10.9.9.3")
	t.Run("first", func(t *testing.T) {
		pl, one, two := careful(t, Options{Store: kept})
		pl.tell("files", good)
		one.next()
		two.next()
		pl.over()
		one.refuses("|81||y.test", "fresh.test")
		pl.tell("files", bad)
		pl.tell("files", fresh)
		pl.eventually("both are held back", func(s Status) bool { return len(s.HeldBack) == 2 })
		wait(pl, 2)
	})
	t.Run("then", func(t *testing.T) {
		pl := newPlaneWith(t, Options{Sources: []string{"files"}, ByCohorts: true, Store: kept})
		pl.tell("files", entry("x", "10.9.9.1")+bad+fresh)
		c := pl.client(sidecar)
		if got, want := names(c.next()), "outbound|80||x.test outbound|80||y.test"; got != want {
			t.Errorf("told of %q, want %q", got, want)
		}
		pl.eventually("both are held back", func(s Status) bool {
			return len(s.HeldBack) == 2 && s.HeldBack[1].Object == "ServiceEntry a/y" && s.HeldBack[1].Proxy == "one.a" && strings.Contains(s.HeldBack[1].Because, "not this")
		})
		pl.tell("files", strings.Replace(fresh, "number: 80", "number: 83", 1))
		if got, want := names(c.next()), "outbound|83||fresh.test"; got != want {
			t.Errorf("told of %q, want %q", got, want)
		}
		pl.over()
		wait(pl, 1)
	})
	t.Run("of another version nothing is known", func(t *testing.T) {
		pl := newPlaneWith(t, Options{Sources: []string{"files"}, ByCohorts: true, Store: kept})
		pl.tell("files", strings.Replace(bad, "number: 81", "number: 82", 1))
		if got, want := names(pl.client(sidecar).next()), "outbound|82||y.test"; got != want {
			t.Errorf("told of %q, want %q", got, want)
		}
		wait(pl, 0)
	})
}

// broken is a store that does not answer at first.
type broken struct {
	store.Store
	mended atomic.Bool
}

func (b *broken) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	if !b.mended.Load() {
		return nil, errors.New("it is broken")
	}
	return b.Store.List(ctx, prefix)
}

// Nobody is told anything before it is known what is held back.
func TestTheStoreIsWaitedFor(t *testing.T) {
	b := &broken{Store: store.NewMemory()}
	defer b.Close()
	pl := newPlaneWith(t, Options{Sources: []string{"files"}, Store: b})
	pl.tell("files", entry("x", "10.9.9.1"))
	pl.eventually("it is said", func(s Status) bool {
		return len(s.Awaits) == 1 && s.Awaits[0] == fromKept && pl.log.has("the store does not say")
	})
	b.mended.Store(true)
	pl.keeping <- struct{}{}
	<-pl.Readied()
}

func FuzzReadKept(f *testing.F) {
	f.Add("serviceentries.networking.istio.io/a/x", []byte(`{"object":{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"x","namespace":"a"},"spec":{"hosts":["x.test"],"ports":[{"number":80,"name":"http"}]}},"because":"no"}`))
	f.Add("meshconfig/-/mesh", []byte(`{"before":{"proxyListenPort":15001}}`))
	f.Fuzz(func(t *testing.T, path string, text []byte) {
		key, is := source.ParsePath(path)
		if !is {
			return
		}
		r, err := readKept(key, text)
		if err == nil && (r.object != nil && r.object.Key != key || r.before != nil && r.before.Key != key) {
			t.Errorf("%s has %+v", key, r)
		}
	})
}
