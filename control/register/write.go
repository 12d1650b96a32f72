package register

import (
	"context"
	"crypto/rand"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

const (
	// pace is how long after something was written of a machine the next is: what comes meanwhile is written together, so that a workload that is well and not well by turns
	// costs a write a second.
	pace = time.Second
	// writeTime bounds one write, and atOnce how many are made at a time.
	writeTime = 10 * time.Second
	atOnce    = 16
	// firstPause and lastPause are how long after a failure it is tried again.
	firstPause, lastPause = time.Second, 30 * time.Second
	// looking is how often the mesh is looked at, and settling how long it may take to show what was written.
	looking, settling = time.Second, 3 * time.Second
	// resting is how often it is looked at while no machine has ever been here: an idle mesh costs nothing.
	resting = 10 * time.Second
	never   = 24 * time.Hour
)

// weftd is how names of control planes begin whose entries are theirs to take away: others, such as istiod's, look after theirs.
const weftd = "weftd."

// NewName names a control plane: as nothing else is named, on this host or another.
func NewName() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return weftd + strings.Trim(host[:min(len(host), 63)], "-") + "." + strings.ToLower(rand.Text()[:8])
}

// named tells whether something is called as NewName calls. Whoever may write an entry may write another name in it, which is nobody's to look for.
func named(name string) bool {
	rest, is := strings.CutPrefix(name, weftd)
	return is && len(name) <= 100 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && !strings.Contains(rest, "..")
}

// write has what is known of a machine be written soon. It is called with the lock held.
func (m *Machines) write(one *machine) {
	one.due = one.last.Add(pace)
	if now := time.Now(); one.due.Before(now) {
		one.due = now
	}
	m.poke()
}

func (m *Machines) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run writes what is to be written, and takes away what has had its time, until the context ends.
func (m *Machines) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { m.lookAround(ctx) })
	all.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-m.first:
		}
		all.Go(func() {
			lease.Lead(ctx, m.Keeper.Beat(m.Name), m.Log.With("alive", m.Name), func(ctx context.Context) { <-ctx.Done() })
		})
	})
	for {
		timer := time.NewTimer(m.writeDue(ctx, &all))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-m.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// writeDue begins to write what is due, and says after how long something will be.
func (m *Machines) writeDue(ctx context.Context, all *sync.WaitGroup) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, busy := time.Now(), 0
	for _, one := range m.machine {
		if one.busy {
			busy++
		}
	}
	wait = never
	for _, one := range m.machine {
		switch left := one.due.Sub(now); {
		case one.busy || one.due.IsZero():
		case left > 0:
			wait = min(wait, left)
		case busy < atOnce: // else whoever is done wakes us
			busy++
			one.busy, one.due = true, time.Time{}
			all.Go(func() {
				m.writeOne(ctx, one)
				m.poke()
			})
		}
	}
	return wait
}

// writeOne writes what is known of a machine now.
func (m *Machines) writeOne(ctx context.Context, one *machine) {
	ask, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	m.mu.Lock()
	entry, streams, since, until, health := one.entry, one.streams, one.since, one.until, one.health
	m.mu.Unlock()
	row := -1
	foreign, missing := false, false
	err := m.Keeper.Change(ask, entry.Key, func(was *source.Object) *source.Object {
		row, foreign, missing = -1, false, false
		switch {
		case was == nil && (streams == 0 || Group(entry) == ""):
			missing = streams > 0
			return nil
		case was == nil:
			row = created
			made := *entry
			made.Annotations = maps.Clone(entry.Annotations)
			return connected(&made, m.Name, since, health)
		case !same(was, entry):
			foreign = true
			return was
		}
		var is *source.Object
		if streams > 0 {
			is, row = connected(was, m.Name, since, health), updated
		} else {
			is, row = disconnected(was, m.Name, until), parted
		}
		if is == was {
			row = -1
		}
		return is
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	one.busy, one.last = false, time.Now()
	if next := one.last.Add(pace); !one.due.IsZero() && one.due.Before(next) { // what came while it was written
		one.due = next
	}
	if err != nil {
		m.count(failures)
		if one.failing++; !m.failing && ctx.Err() == nil {
			m.failing = true
			m.Log.Error("a machine's WorkloadEntry cannot be written: it is tried again and again, and its proxy is served meanwhile. It is said once until one can be", "entry", entry.Namespace+"/"+entry.Name, "because", err)
		}
		if one.due.IsZero() {
			pause := min(firstPause<<min(one.failing-1, 10), lastPause)
			one.due = one.last.Add(pause/2 + mathrand.N(pause/2))
		}
		return
	}
	one.failing, m.failing, one.elsewhere = 0, false, missing
	switch {
	case missing:
		m.Log.Warn("how a workload does is not kept: its WorkloadEntry is not where weftd can write", "entry", entry.Namespace+"/"+entry.Name)
	case foreign:
		m.Log.Error("a machine gets no WorkloadEntry: there is one of that name that is not of it, which is left alone", "entry", entry.Namespace+"/"+entry.Name)
	case row == updated: // which an agent may have as often as it likes
		m.count(row)
		m.Log.Debug("a machine's WorkloadEntry is updated", "entry", entry.Namespace+"/"+entry.Name)
	case row >= 0:
		m.count(row)
		m.Log.Info("a machine's WorkloadEntry", "entry", entry.Namespace+"/"+entry.Name, "is", map[int]string{created: "created", parted: "disconnected"}[row])
	}
	m.release(one)
}

// release forgets a machine that has no stream, nor one that is admitted and has not joined yet, and of which all is written. It is called with the lock held.
func (m *Machines) release(one *machine) {
	if one.streams > 0 || !one.due.IsZero() || one.busy {
		return
	}
	for _, other := range m.streams {
		if other == one {
			return
		}
	}
	delete(m.machine, one.entry.Key)
}

// check has entries be written again that the mesh does not show as they were written: somebody has taken one away, or another control plane has had a stream of the machine, too, which has
// ended.
func (m *Machines) check(seen *mesh.Mesh) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for key, one := range m.machine {
		is := seen.Objects(source.WorkloadEntry).Get(key.Namespace, key.Name)
		switch {
		case one.streams == 0 || one.busy || one.elsewhere || !one.due.IsZero(),
			is != nil && (!same(is, one.entry) || !claims(is, m.Name, one.since)),
			seen.Objects(source.WorkloadGroup).Get(key.Namespace, Group(one.entry)) == nil && (is == nil || Group(is) != ""):
			one.missing = time.Time{}
		case one.missing.IsZero():
			one.missing = now
		case now.Sub(one.missing) > settling && now.Sub(one.last) > settling:
			one.missing = time.Time{}
			m.write(one)
		}
	}
}
