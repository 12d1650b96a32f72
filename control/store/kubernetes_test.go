package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/source/kube"
	kubetest "github.com/weftmesh/weft/test/kube"
)

// openKubernetes opens a store in a cluster, in a namespace of the control plane's.
func openKubernetes(t testing.TB, c *kubetest.Cluster) *Kubernetes {
	t.Helper()
	c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}")
	s, err := kube.Connect(c.Kubeconfig, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	k := NewKubernetes(s, "istio-system", kube.StoreType)
	t.Cleanup(func() { k.Close() })
	return k
}

// dying is an API that is not reached any more after a number of writes, before or after the last of them is made.
type dying struct {
	API
	mu    sync.Mutex
	left  int
	after bool
}

var errDead = errors.New("it is dead")

func (d *dying) Call(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, int, error) {
	d.mu.Lock()
	if method != http.MethodGet {
		d.left--
	}
	left, after := d.left, d.after
	d.mu.Unlock()
	if left < 0 && !(left == -1 && after) {
		return nil, 0, errDead
	}
	answer, status, err := d.API.Call(ctx, method, path, query, body)
	if left < 0 {
		if err == nil {
			answer.Close()
		}
		return nil, 0, errDead
	}
	return answer, status, err
}

// TestKubernetesCommitsWholly has who commits die after each of its writes, while another one reads and writes: what it has said is made is there, and what is there
// is there wholly.
func TestKubernetesCommitsWholly(t *testing.T) {
	c := kubetest.Start(t)
	k := openKubernetes(t, c)
	ctx := t.Context()
	told := make(chan []Event, 1000)
	go k.Watch(ctx, "k/", func(events []Event) { told <- events })
	<-told
	is := map[string]Revision{"k/a": Absent, "k/b": Absent, "k/c": Absent}
	for round := range 24 {
		d := &dying{API: k.api, left: round / 2 % 6, after: round%2 == 0}
		other := NewKubernetes(d, "istio-system", kube.StoreType)
		text := fmt.Sprint(round)
		var writes []Write
		for _, key := range []string{"k/a", "k/b", "k/c"} {
			gone := is[key] != Absent && round%3 == 2
			writes = append(writes, Write{Key: key, Value: []byte(text), Was: is[key], Gone: gone})
		}
		_, err := other.Commit(ctx, writes)
		other.Close()
		var got []string
		for _, w := range writes {
			e, err := k.Get(ctx, w.Key)
			switch {
			case errors.Is(err, ErrNotFound):
				got = append(got, "gone")
			case err != nil:
				t.Fatal(err)
			default:
				got = append(got, string(e.Value))
			}
			is[w.Key] = e.Revision
		}
		want := text
		if writes[0].Gone {
			want = "gone"
		}
		if got[0] != got[1] || got[1] != got[2] || err == nil && got[0] != want {
			t.Errorf("round %d: there is %q, %v: want all or nothing, and %s if it was said", round, got, err, want)
		}
		list, err := k.List(ctx, "k/")
		if err != nil || len(list) != map[bool]int{true: 0, false: 3}[got[0] == "gone"] {
			t.Errorf("round %d: listed %v, %v, and %q was there", round, list, err, got)
		}
		// Whoever comes next carries it over.
		if _, err := k.Put(ctx, "other", []byte(text), is["other"]); err != nil {
			t.Fatal(err)
		}
		e, err := k.Get(ctx, "other")
		if err != nil {
			t.Fatal(err)
		}
		is["other"] = e.Revision
		for _, w := range writes {
			s, _, err := k.secret(ctx, w.Key)
			if err != nil || s != nil && s.entry().Revision != is[w.Key] || s == nil && is[w.Key] != Absent {
				t.Errorf("round %d: %s is not carried over: %v", round, w.Key, err)
			}
		}
	}
	for len(told) > 0 {
		if events := <-told; len(events) != 3 {
			t.Errorf("told %v: want all of a commit together", events)
		}
	}
}

// TestKubernetesOfSeveral has two processes count up, each noticing the other, and another namespace beside them.
func TestKubernetesOfSeveral(t *testing.T) {
	c := kubetest.Start(t)
	one := openKubernetes(t, c)
	two := NewKubernetes(one.api, "istio-system", kube.StoreType)
	defer two.Close()
	var all sync.WaitGroup
	for i, s := range []Store{one, two} {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		all.Go(func() {
			for done := 0; done < 20; {
				e, err := s.Get(t.Context(), "count")
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
					return
				}
				writes := []Write{{Key: "count", Value: append(e.Value, '.'), Was: e.Revision}}
				if random.IntN(2) == 0 {
					writes = append(writes, Write{Key: fmt.Sprintf("of/%d/%d", i, done), Value: []byte("x")})
				}
				if _, err := s.Commit(t.Context(), writes); err == nil {
					done++
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if e, err := one.Get(t.Context(), "count"); err != nil || len(e.Value) != 40 {
		t.Errorf("counted to %d, %v", len(e.Value), err)
	}
	// What is gone for long leaves nothing behind.
	e, _ := one.Get(t.Context(), "count")
	if err := one.Delete(t.Context(), "count", e.Revision); err != nil {
		t.Fatal(err)
	}
	one.sweepOnce(time.Now().Add(-time.Minute))
	if s, _, err := one.secret(t.Context(), "count"); s == nil || err != nil {
		t.Error("it is swept away at once")
	}
	one.sweepOnce(time.Now().Add(time.Minute))
	if s, _, err := one.secret(t.Context(), "count"); s != nil || err != nil {
		t.Error("it is not swept away")
	}
	if _, err := two.Put(t.Context(), "count", nil, Absent); err != nil {
		t.Error(err)
	}
	// Who may not is told what is missing.
	c.Account("istio-system", "nobody")
	s, err := kube.Connect(c.KubeconfigOf("istio-system", "nobody"), "", "test")
	if err != nil {
		t.Fatal(err)
	}
	nobody := NewKubernetes(s, "istio-system", kube.StoreType)
	defer nobody.Close()
	if err := Ask(t.Context(), nobody); err == nil || !strings.Contains(err.Error(), "resources: [secrets]") {
		t.Errorf("who may not: %v", err)
	}
	large := []Write{{Key: "a", Value: make([]byte, 600<<10)}, {Key: "b", Value: make([]byte, 600<<10)}}
	if _, err := one.Commit(t.Context(), large); !errors.Is(err, ErrInvalid) {
		t.Errorf("more than a Secret has: %v", err)
	}
	// A server that is away is said, and what changes meanwhile is told when it is back.
	c.Stop()
	if err := one.Watch(t.Context(), "", func([]Event) {}); err == nil {
		t.Error("nobody is there, and it is not said")
	}
}

// TestTheHeadIsTakenAway has somebody delete the Secret that says what the last commit is: values that are older than those that are there do not come back.
func TestTheHeadIsTakenAway(t *testing.T) {
	c := kubetest.Start(t)
	k := openKubernetes(t, c)
	r := put(t, k, "a", "1", Absent)
	for range 3 {
		r = put(t, k, "a", "2", r)
	}
	c.Delete("{apiVersion: v1, kind: Secret, metadata: {name: " + kubeHead + ", namespace: istio-system}}")
	other := NewKubernetes(k.api, "istio-system", kube.StoreType) // that knows nothing yet
	t.Cleanup(func() { other.Close() })
	put(t, other, "a", "3", r)
	put(t, k, "b", "1", Absent)
	for _, s := range []*Kubernetes{k, other} {
		if e, err := s.Get(t.Context(), "a"); err != nil || string(e.Value) != "3" {
			t.Errorf("%q, %v", e.Value, err)
		}
	}
}
