package push

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
)

// A change that goes by cohorts is told to one proxy that it concerns, then to the others of its zone, then to all; each step waits until those of it have
// answered, for a while. If one of them refuses what was made of it, nobody is told of it any more: what was refused is held back, and the rest begins again.
//
// One set of changes is under way at a time, so that there are two meshes at most, and nothing overtakes what it may depend on. What comes meanwhile is the
// next set. This file is the machine of it: it knows neither meshes nor streams, and time is what it is told.

// step is how far the changes that are under way have come.
type step uint8

const (
	toOne step = iota
	toZone
	toAll
)

const (
	// DefaultStepWait is how long a step waits for answers if nothing else is said.
	DefaultStepWait = 10 * time.Second
	// replacing is how long a step waits when a later version of something that is under way has come.
	replacing = time.Second
	// searching is how long the word is waited for which objects a refused resource was made of. Without it all that is under way is held back.
	searching = 10 * time.Second
	// maxSilent is how many proxies may be the first and not answer, or go away, before the change counts as what makes them.
	maxSilent = 2
)

// objects are versions by name. One that is nil is of an object that goes.
type objects map[source.Key]*source.Object

// cohorts is what goes step by step: what is under way, what comes next, and what is held back.
type cohorts struct {
	wait    time.Duration // a step's
	way     *rollout      // nil: nothing is under way
	next    objects
	held    map[source.Key]*held
	attempt int // counts beginnings
}

// rollout is a set of changes that is under way.
type rollout struct {
	changes objects
	began   time.Time
	silent  []string // proxies that were the first, and did not answer or went away
	gone    bool     // the last of those went away
	late    bool     // it has taken the place of one that took too long, and is not replaced itself
	paused  *refusedBy
	missed  []string // proxies that were waited for and have not answered

	// Of this attempt.
	attempt   int // 0: it has not begun
	step      step
	since     time.Time // of the step
	first     *member   // nil: there is nobody to try it with
	zone      mesh.Locality
	concerned []*member // who is told otherwise by it, and answers, as it began
	open      map[*member]bool
}

// refusedBy is why something is held back.
type refusedBy struct {
	proxy   string // empty: it was none
	because string
	at      time.Time
}

// held is a version that nobody is told of.
type held struct {
	object *source.Object // nil: it goes
	refusedBy
}

// take takes changes in and gives those that everybody is told of at once. What is held back of an object is forgotten when it is another.
func (c *cohorts) take(changes []source.Change, careful func(source.Change) bool) (atOnce []source.Change) {
	for _, one := range changes {
		if h := c.held[one.Key]; h != nil {
			if sameAsked(h.object, one.Object) {
				h.object = one.Object
				continue
			}
			delete(c.held, one.Key)
		}
		if careful(one) {
			if c.next == nil {
				c.next = objects{}
			}
			c.next[one.Key] = one.Object
			continue
		}
		delete(c.next, one.Key)
		c.drop(one.Key)
		atOnce = append(atOnce, one)
	}
	return atOnce
}

// sameAsked says whether two versions ask for the same, in the same way.
func sameAsked(a, b *source.Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	return source.Same(a, b) && a.Annotations[source.RolloutAnnotation] == b.Annotations[source.RolloutAnnotation]
}

// drop takes an object out of what is under way.
func (c *cohorts) drop(key source.Key) {
	if c.way == nil {
		return
	}
	if delete(c.way.changes, key); len(c.way.changes) == 0 {
		c.way = nil
	}
}

// latest is the last version of an object that all are not told of yet. false: they are told of the last.
func (c *cohorts) latest(key source.Key) (*source.Object, bool) {
	if o, is := c.next[key]; is {
		return o, true
	}
	if c.way != nil {
		if o, is := c.way.changes[key]; is {
			return o, true
		}
	}
	if h := c.held[key]; h != nil {
		return h.object, true
	}
	return nil, false
}

// turn goes on as far as there is reason to. ask: it has to be found out whom the changes under way concern, for start. commit: they are over, and all are
// told of them from now on.
func (c *cohorts) turn(now time.Time) (commit objects, ask bool) {
	for {
		w := c.way
		switch {
		case w == nil && len(c.next) == 0:
			return nil, false
		case w == nil:
			c.way = &rollout{changes: c.pick(), began: now}
			return nil, true
		case w.paused != nil && now.Sub(w.paused.at) < searching:
			return nil, false
		case w.paused != nil:
			c.blame(nil)
			continue
		case w.attempt == 0:
			return nil, true
		}
		over, waits := !now.Before(c.deadline()), len(w.open) > 0 || w.step == toOne && w.first == nil && w.gone
		switch {
		case waits && !over:
			return nil, false
		case over && len(w.open) > 0 && w.step != toAll && c.replaced():
			for key, o := range c.next {
				if _, is := w.changes[key]; is || !byItself(key) {
					w.changes[key] = o
					delete(c.next, key)
				}
			}
			c.way = &rollout{changes: w.changes, began: now, late: true}
			return nil, true
		case w.step == toAll:
			c.miss()
			c.way = nil
			return w.changes, false
		case w.step == toOne && w.first == nil:
			c.reach(toAll, now)
		case w.step == toOne && len(w.open) > 0:
			c.silence("did not answer", false, now)
		default:
			c.miss()
			c.reach(w.step+1, now)
		}
	}
}

// byItself says whether an object goes by itself. An EnvoyFilter is what proxies refuse, and nothing depends on one: whoever is told first is then one whom
// it concerns, and it is known what was refused.
func byItself(key source.Key) bool { return key.Kind == source.EnvoyFilter }

// pick takes out what goes next: what came together, and then each that goes by itself.
func (c *cohorts) pick() objects {
	some := objects{}
	for key, o := range c.next {
		if !byItself(key) {
			some[key] = o
		}
	}
	if len(some) == 0 {
		key := slices.MinFunc(slices.Collect(maps.Keys(c.next)), source.Compare)
		some[key] = c.next[key]
	}
	for key := range some {
		delete(c.next, key)
	}
	return some
}

// miss notes who is waited for no longer.
func (c *cohorts) miss() {
	for m := range c.way.open {
		c.way.missed = append(c.way.missed, m.proxy.ID)
	}
	slices.Sort(c.way.missed)
}

// silence is about a first proxy that will not answer. Another one is tried; once that is another story the change is what they have in common.
func (c *cohorts) silence(why string, gone bool, now time.Time) {
	w := c.way
	if w.silent = append(w.silent, w.first.proxy.ID); len(w.silent) >= maxSilent {
		by := refusedBy{because: fmt.Sprintf("it was tried with %s, one after another, and each of them %s", listed(w.silent), why), at: now}
		c.hold(slices.Collect(maps.Keys(w.changes)), by)
		return
	}
	w.attempt, w.gone, w.open, w.since = 0, gone, nil, now
}

// reach begins a step.
func (c *cohorts) reach(s step, now time.Time) {
	w := c.way
	w.step, w.since, w.open = s, now, map[*member]bool{}
	for _, m := range w.concerned {
		if w.level(m) == s {
			w.open[m] = true
		}
	}
}

// level is the step in which a proxy is told.
func (w *rollout) level(m *member) step {
	switch {
	case m == w.first:
		return toOne
	case w.first != nil && zoneOf(m.proxy) == w.zone && w.zone != (mesh.Locality{}):
		return toZone
	}
	return toAll
}

// zoneOf is where proxies fail together. Zero: it says nothing of that, and is among all.
func zoneOf(p *translate.Proxy) mesh.Locality {
	return mesh.Locality{Region: p.Locality.Region, Zone: p.Locality.Zone}
}

// deadline is when the step is over without everybody's answer; zero: there is nothing to wait for.
func (c *cohorts) deadline() time.Time {
	switch w := c.way; {
	case w == nil:
		return time.Time{}
	case w.paused != nil:
		return w.paused.at.Add(searching)
	case w.attempt == 0:
		return time.Time{}
	case c.replaced():
		return w.since.Add(min(replacing, c.wait))
	default:
		return w.since.Add(c.wait)
	}
}

// replaced says whether a later version waits of something that is under way.
func (c *cohorts) replaced() bool {
	if c.way.late {
		return false
	}
	for key := range c.next {
		if _, is := c.way.changes[key]; is {
			return true
		}
	}
	return false
}

// start begins, with all whom it concerns. Those who have not answered for long are not waited for. The first is the one that was, or else, by name, a
// sidecar before a gateway.
func (c *cohorts) start(concerned []*member, now time.Time) {
	w := c.way
	c.attempt++
	was := w.first
	w.attempt, w.step, w.first, w.open, w.missed = c.attempt, toOne, nil, map[*member]bool{}, nil
	w.concerned = slices.DeleteFunc(concerned, func(m *member) bool {
		return !m.since.IsZero() && (now.Sub(m.since) >= c.wait || !w.gone && slices.Contains(w.silent, m.proxy.ID))
	})
	for _, m := range w.concerned {
		switch {
		case len(w.concerned) > 1 && slices.Contains(w.silent, m.proxy.ID):
		case w.first == nil, m == was, w.first != was && sooner(m, w.first):
			w.first = m
		}
	}
	if w.first != nil {
		w.open[w.first], w.zone = true, zoneOf(w.first.proxy)
	}
	if w.first != nil || !w.gone { // one that has gone away is waited for once, whoever comes meanwhile
		w.since = now
	}
}

func sooner(a, b *member) bool {
	return cmp.Or(cmp.Compare(a.proxy.Role, b.proxy.Role), cmp.Compare(a.proxy.ID, b.proxy.ID)) < 0
}

// sees says whether a proxy of a zone is told of what is under way.
func (c *cohorts) sees(zone mesh.Locality, first bool) bool {
	w := c.way
	if w == nil || w.attempt == 0 || w.paused != nil {
		return false
	}
	return first || w.step == toAll || w.step == toZone && zone == w.zone && zone != (mesh.Locality{})
}

// settled says that a proxy has answered all of what it is told.
func (c *cohorts) settled(m *member) {
	if c.way != nil {
		delete(c.way.open, m)
	}
}

// came says that a proxy is there that was not when this began.
func (c *cohorts) came() {
	if w := c.way; w != nil && w.attempt > 0 && w.step == toOne && w.first == nil {
		w.attempt = 0
	}
}

// left says that a proxy has gone away.
func (c *cohorts) left(m *member, now time.Time) {
	w := c.way
	if w == nil {
		return
	}
	w.concerned = slices.DeleteFunc(w.concerned, func(other *member) bool { return other == m })
	waited := w.open[m]
	delete(w.open, m)
	if waited && m == w.first && w.step == toOne {
		c.silence("went away before it answered", true, now)
	}
}

// refused says that a proxy has refused what is made of something under way. find: blame has to be told of which.
func (c *cohorts) refused(by refusedBy) (find bool) {
	w := c.way
	if w == nil || w.paused != nil {
		return false
	}
	w.paused, w.open = &by, nil
	if len(w.changes) > 1 {
		return true
	}
	c.blame(nil)
	return false
}

// blame says which objects were refused; none: nobody knows, and it may be each. The others begin again.
func (c *cohorts) blame(keys []source.Key) {
	w := c.way
	if w == nil || w.paused == nil {
		return
	}
	keys = slices.DeleteFunc(keys, func(key source.Key) bool { _, is := w.changes[key]; return !is })
	if len(keys) == 0 {
		keys = slices.Collect(maps.Keys(w.changes))
	}
	by := *w.paused
	w.paused, w.attempt = nil, 0
	c.hold(keys, by)
}

// hold has nobody told of objects that are under way.
func (c *cohorts) hold(keys []source.Key, by refusedBy) {
	for _, key := range keys {
		_, later := c.next[key]
		if o, is := c.way.changes[key]; is && !later {
			c.held[key] = &held{o, by}
		}
	}
	w := c.way
	w.attempt, w.open = 0, nil
	for _, key := range keys {
		c.drop(key)
	}
}

// abort holds back an object that is under way or comes next. false: it is neither.
func (c *cohorts) abort(key source.Key, by refusedBy) bool {
	if o, is := c.next[key]; is {
		delete(c.next, key)
		if c.way != nil {
			if _, is := c.way.changes[key]; is {
				c.way.paused = nil
				c.hold([]source.Key{key}, by)
			}
		}
		c.held[key] = &held{o, by}
		return true
	}
	if c.way == nil {
		return false
	}
	if _, is := c.way.changes[key]; !is {
		return false
	}
	c.way.paused = nil
	c.hold([]source.Key{key}, by)
	return true
}

// resume tries again what is held back. false: it is not.
func (c *cohorts) resume(key source.Key) bool {
	h := c.held[key]
	if h == nil {
		return false
	}
	delete(c.held, key)
	if c.next == nil {
		c.next = objects{}
	}
	c.next[key] = h.object
	return true
}
