package xds

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/stream"
)

// wisher is a feed of which requests want clusters by name.
type wisher struct {
	*Feed
	t *testing.T
}

func stageWisher(t *testing.T) *wisher {
	w := &wisher{stageADS(t), t}
	w.advance(w.serve)
	return w
}

func (w *wisher) serve(*config.Snapshot) error { return nil }

func (w *wisher) demand(name string) config.Demand {
	return config.Demand{Kind: config.DemandCluster, From: w.links[0].Stream, Name: name}
}

// wishes for clusters, and has the feed hear it.
func (w *wisher) wishes(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if !w.Demand(w.demand(name)) {
			w.t.Fatalf("there is no room for %s", name)
		}
		w.wish(<-w.Feed.wishes, w.serve)
	}
}

func (w *wisher) cluster(name string) stream.Resource {
	return stream.Resource{Name: name, Version: "1", Wire: fromYAML(w.t, "{name: "+name+", connect_timeout: 1s}", &clusterv3.Cluster{})}
}

// says has the control plane say which clusters it has and has not.
func (w *wisher) says(removed []string, r ...stream.Resource) {
	w.take(news{w.links[0], stream.Event{Response: &stream.Response{Message: Clusters.Message(), Resources: r, Removed: removed}}})
	w.advance(w.serve)
}

// pass lets time go by, as far as the feed is to look again.
func (w *wisher) pass(d time.Duration) {
	for end := time.Now().Add(d); ; {
		next := w.nextWait()
		if next.IsZero() || next.After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(time.Until(next))
		w.expire()
		w.advance(w.serve)
	}
}

// is checks whether a name is wanted, and whether those who wait for it are answered.
func (w *wisher) is(when, name string, wanted, answered bool) {
	w.t.Helper()
	d := w.demand(name)
	if is, has := w.demands[d] != nil, w.Snapshot().Answered[d]; is != wanted || has != answered {
		w.t.Errorf("%s %s is wanted: %t, and answered: %t", when, name, is, has)
	}
}

func (w *wisher) count(row int) int64 {
	o := w.stats.Acquire(DemandStats, "on_demand.")
	defer w.stats.Release(o)
	return o.Sum(row)
}

// A name stays wanted if somebody has it, for half a minute if nobody has, and no longer than five minutes if nothing is said of it.
func TestHowLongNamesAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stageWisher(t)
		w.wishes("there", "absent", "unheard", "gone")
		w.says([]string{"absent"}, w.cluster("there"), w.cluster("gone"))
		w.is("at once", "absent", true, true)
		w.is("at once", "unheard", true, false)
		w.pass(absentStays - time.Second)
		w.is("before its time", "absent", true, true)
		w.pass(time.Second)
		w.is("after its time", "absent", false, false)
		w.pass(unheardStays - absentStays - time.Second)
		w.is("before its time", "unheard", true, false)
		w.pass(time.Second)
		w.is("after its time", "unheard", false, true) // those who wait are told
		w.pass(turnedStays)
		w.is("when that is over", "unheard", false, false)
		w.is("for ever", "there", true, true)

		// Over the state of the world what is not said is gone.
		w.take(news{w.links[0], stream.Event{Response: &stream.Response{Message: Clusters.Message(), Whole: true, Resources: []stream.Resource{w.cluster("there")}}}})
		w.advance(w.serve)
		w.is("when it is gone", "gone", true, true)
		w.pass(absentStays)
		w.is("a while later", "gone", false, false)
		w.is("for ever", "there", true, true)

		w.wishes("unheard")
		w.is("again", "unheard", true, false)
	})
}

// However many names peers make up, so many are wanted; one more is turned away at once, and may be wished for again when there is room.
func TestMostNamesThatAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stageWisher(t)
		for i := range maxDemanded {
			w.want(w.demand(fmt.Sprint(i)))
		}
		w.advance(w.serve)
		w.wishes("more")
		w.is("when there are too many", "more", false, true)
		if n, refused, asked := w.count(demandWanted), w.count(demandRefused), w.count(demandAsked); n != maxDemanded || refused != 1 || asked != maxDemanded {
			t.Errorf("%d are wanted, %d asked for, %d refused", n, asked, refused)
		}
		w.pass(turnedStays)
		w.is("a while later", "more", false, false)
		w.pass(unheardStays)
		if n := w.count(demandWanted); n != 0 {
			t.Errorf("%d are wanted that nobody has said anything of", n)
		}
		w.wishes("more")
		w.is("when there is room", "more", true, false)
	})
}

// Wishes that nobody has heard yet are bounded, and those for which there is no room are counted.
func TestMostWishesThatWait(t *testing.T) {
	w := stageWisher(t)
	for i := range maxWishes {
		if !w.Demand(w.demand(fmt.Sprint(i))) {
			t.Fatalf("there is no room for %d", i)
		}
	}
	for range 3 {
		if w.Demand(w.demand("more")) {
			t.Fatal("there is room for more")
		}
	}
	for len(w.Feed.wishes) > 0 {
		w.wish(<-w.Feed.wishes, w.serve)
	}
	if n, dropped := w.count(demandWanted), w.count(demandDropped); n != maxWishes || dropped != 3 {
		t.Errorf("%d are wanted, %d dropped", n, dropped)
	}
}
