package register

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

const (
	// maxSwept bounds how many entries are written at a look.
	maxSwept = 100
	// listening is how often other control planes are looked at, whether they are alive.
	listening = 5 * time.Second
	// maxHeard bounds how many of them are looked at then. Of more it is others each time.
	maxHeard = 100
)

// sweep is what is seen of entries. Every control plane looks, so that whoever comes to lead knows since when things are as they are, by its own clock.
type sweep struct {
	objects *mesh.Objects // of which entries are
	entries map[source.Key]*source.Object
	idle    map[source.Key]sighting // of entries that nobody is connected for
	beats   map[string]*beat        // of other control planes that have had streams
	heard   time.Time               // when those were last looked at
	leads   context.Context         // ends when another one does; nil: it does not
}

// sighting is for how long something is what it is.
type sighting struct {
	what  string
	since time.Time
}

// beat is what is known of whether a control plane is alive.
type beat struct {
	record lease.Record
	since  time.Time // when it was first seen so; zero: it has not been looked at
	used   bool      // an entry names it
	dead   bool
}

// lookAround looks at entries, and takes away what has had its time while this control plane leads, until the context ends.
func (m *Machines) lookAround(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-m.Readied:
	}
	s := &sweep{idle: map[source.Key]sighting{}, beats: map[string]*beat{}}
	turns := make(chan context.Context)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-m.first:
		}
		m.Keeper.Lead(ctx, func(turn context.Context) {
			select {
			case turns <- turn:
				<-turn.Done()
			case <-turn.Done():
			}
		})
	})
	tick := time.NewTimer(looking)
	defer tick.Stop()
	first := m.first
	for {
		select {
		case <-ctx.Done():
			return
		case s.leads = <-turns:
			m.Log.Info("takes away the WorkloadEntries of machines that have gone")
		case <-first:
			first = nil
		case <-tick.C:
		}
		if m.look(s, m.Mesh()); len(s.entries) == 0 && first != nil { // there is nobody to look after
			tick.Reset(resting)
		} else {
			tick.Reset(looking)
		}
		leads := s.leads != nil && s.leads.Err() == nil
		if m.Stats != nil {
			m.Stats.Set(leading, map[bool]uint64{true: 1}[leads])
		}
		if time.Since(s.heard) >= listening {
			m.listen(ctx, s, leads)
			s.heard = time.Now()
		}
		if leads {
			m.clear(s.leads, s)
		}
	}
}

// look takes in what the mesh shows.
func (m *Machines) look(s *sweep, now *mesh.Mesh) {
	if objects := now.Objects(source.WorkloadEntry); s.objects != objects {
		s.objects, s.entries = objects, map[source.Key]*source.Object{}
		for _, o := range objects.All() {
			_, probed := o.Annotations[source.HealthAnnotation] // of somebody's own
			if Group(o) != "" || probed && o.Annotations[annotationController] != "" {
				s.entries[o.Key] = o
			}
		}
	}
	m.check(now)
	at := time.Now()
	for _, b := range s.beats {
		b.used = false
	}
	ours := false
	for key, o := range s.entries {
		name := o.Annotations[annotationController]
		if !named(name) {
			continue
		}
		if ours = true; name != m.Name {
			if s.beats[name] == nil {
				s.beats[name] = &beat{}
			}
			s.beats[name].used = true
		}
		what := ""
		switch {
		case Group(o) != "" && now.Objects(source.WorkloadGroup).Get(o.Namespace, Group(o)) == nil:
			what = "its group is gone"
		case o.Annotations[annotationConnected] == "":
			what = "disconnected " + o.Annotations[annotationDisconnected]
		}
		if what == "" {
			delete(s.idle, key)
		} else if s.idle[key].what != what {
			s.idle[key] = sighting{what, at}
		}
	}
	maps.DeleteFunc(s.idle, func(key source.Key, _ sighting) bool { return s.entries[key] == nil })
	if ours {
		m.mu.Lock()
		m.begin()
		m.mu.Unlock()
	}
}

// listen finds out which control planes are alive. One that cannot be asked about is taken to be: what cannot be read cannot be written either.
func (m *Machines) listen(ctx context.Context, s *sweep, leads bool) {
	left := maxHeard
	for name, b := range s.beats {
		if left--; left < 0 {
			m.count(unheard)
			continue
		}
		ask, cancel := context.WithTimeout(ctx, writeTime)
		r, version, err := m.Keeper.Beat(name).Get(ask)
		cancel()
		at := time.Now()
		if err != nil || b.since.IsZero() || r.Holder != b.record.Holder || !r.Renewed.Equal(b.record.Renewed) {
			b.record, b.since = r, at
		}
		if b.dead = err == nil && (version != "" && r.Holder == "" || at.Sub(b.since) >= lease.Life); err != nil {
			continue
		}
		if !b.dead || b.used {
			continue
		}
		if version != "" {
			if !leads {
				continue
			}
			ask, cancel := context.WithTimeout(ctx, writeTime)
			err := m.Keeper.Forget(ask, name)
			cancel()
			if err != nil {
				continue
			}
		}
		delete(s.beats, name)
	}
}

// clear marks entries of control planes that are not alive as disconnected, and takes those away that have been for long enough.
func (m *Machines) clear(ctx context.Context, s *sweep) {
	left := maxSwept
	at := time.Now()
	for _, key := range slices.SortedFunc(maps.Keys(s.entries), source.Compare) {
		o := s.entries[key]
		seen, idle := s.idle[key]
		b := s.beats[o.Annotations[annotationController]]
		over := idle && at.Sub(seen.since) >= m.Grace && (Group(o) != "" || o.Health != nil)
		if !over && (idle || b == nil || !b.dead) {
			continue
		}
		if left--; left < 0 || ctx.Err() != nil {
			return
		}
		// What the mesh shows may be older than what is there: only what is still so is acted upon.
		row := -1
		ask, cancel := context.WithTimeout(ctx, writeTime)
		err := m.Keeper.Change(ask, key, func(was *source.Object) *source.Object {
			row = -1
			switch {
			case was == nil || !still(was, o):
				return was
			case over && Group(o) == "": // how that does, nobody knows any more
				row = updated
				is := *was
				is.Health = nil
				return &is
			case over:
				row = deleted
				return nil
			}
			row = parted
			return disconnected(was, o.Annotations[annotationController], at)
		})
		cancel()
		switch {
		case err != nil && errors.Is(ctx.Err(), context.Canceled):
			return
		case err != nil:
			m.count(failures)
			m.Log.Warn("a WorkloadEntry of a machine that has gone is not written", "entry", key.Namespace+"/"+key.Name, "because", err)
			return // the next look tries again
		case row == deleted:
			m.count(deleted)
			m.Log.Info("a machine's WorkloadEntry is taken away", "entry", key.Namespace+"/"+key.Name, "because", seen.what)
		case row == updated:
			m.count(updated)
		case row == parted:
			m.count(parted)
			m.Log.Info("a machine's WorkloadEntry is disconnected, since the control plane that had its stream is not alive", "entry", key.Namespace+"/"+key.Name, "was", o.Annotations[annotationController])
		}
	}
}

// still tells whether an entry says the same of its machine as one that was seen.
func still(is, seen *source.Object) bool {
	for _, name := range []string{source.GroupAnnotation, annotationController, annotationConnected, annotationDisconnected} {
		if is.Annotations[name] != seen.Annotations[name] {
			return false
		}
	}
	return true
}
