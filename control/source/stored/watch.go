package stored

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// How long a store that failed is left alone: longer each time.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// maxProblems are told at a time.
const maxProblems = 1000

// Watch follows what is applied until the context ends or the store is closed. A store that fails is asked again, which failed is told of
// once until it answers; what is known stays in force. It tells nothing before it has read all that there is, and then only what is other than before.
func Watch(ctx context.Context, s store.Store, failed func(error), tell func(source.Batch)) error {
	said := false // that it fails
	h := &hold{objects: map[source.Key]*source.Object{}, problems: map[source.Key][]source.Problem{}}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		whole := true // the first that is told is all that there is
		err := s.Watch(ctx, prefix, func(events []store.Event) {
			if b, news := h.take(events, whole); news {
				tell(b)
			}
			whole, pause, said = false, firstPause, false
		})
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return err
		}
		if !said {
			failed(err)
		}
		said = true
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) // several do not come back at once
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// hold is what was told.
type hold struct {
	objects  map[source.Key]*source.Object
	problems map[source.Key][]source.Problem
	told     bool
}

// take takes events in, after which, if they are the whole, there is nothing else; false: there is nothing to tell.
func (h *hold) take(events []store.Event, whole bool) (b source.Batch, news bool) {
	there := map[source.Key]bool{}
	wrong := false // something about problems is new
	gone := func(key source.Key) {
		if _, is := h.problems[key]; is {
			wrong = true
			delete(h.problems, key)
		}
		if h.objects[key] != nil {
			delete(h.objects, key)
			b.Changes = append(b.Changes, source.Change{Key: key})
		}
	}
	for _, e := range events {
		key, is := source.ParsePath(strings.TrimPrefix(e.Key, prefix))
		if !is {
			continue // of a weftd that knows more kinds
		}
		if e.Gone() {
			gone(key)
			continue
		}
		there[key] = true
		if was := h.objects[key]; was != nil && was.Revision == string(e.Revision) {
			continue
		}
		var r Record
		var o *source.Object
		var problems []source.Problem
		if err := json.Unmarshal(e.Value, &r); err != nil {
			problems = []source.Problem{{Key: key, From: source.Origin{Source: Origin}, Text: "has a record that is no JSON: " + err.Error()}}
		} else {
			o, problems = r.Object(key, e.Revision)
		}
		if !slices.Equal(problems, h.problems[key]) {
			wrong = true
		}
		if h.problems[key] = problems; len(problems) == 0 {
			delete(h.problems, key)
		}
		if o != nil {
			h.objects[key] = o
			b.Changes = append(b.Changes, source.Change{Key: key, Object: o})
		}
	}
	if whole {
		known := slices.Collect(maps.Keys(h.objects))
		for _, key := range slices.AppendSeq(known, maps.Keys(h.problems)) {
			if !there[key] {
				gone(key)
			}
		}
	}
	news = !h.told || wrong || len(b.Changes) > 0
	h.told = true
	for _, key := range slices.SortedFunc(maps.Keys(h.problems), source.Compare) {
		if b.Problems = append(b.Problems, h.problems[key]...); len(b.Problems) >= maxProblems {
			b.Problems = append(b.Problems[:maxProblems], source.Problem{From: source.Origin{Source: Origin}, Text: "has more problems"})
			break
		}
	}
	return b, news
}
