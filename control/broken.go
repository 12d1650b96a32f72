package control

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/telemetry"
)

var brokenTable = &telemetry.Table{Kind: "breakglass", Metrics: []telemetry.Metric{
	injectionOff: {Name: "injection_off", Type: telemetry.Gauge},
	podsPassed:   {Name: "pods_passed_total"},
	routingOff:   {Name: "routing_off", Type: telemetry.Gauge},
	outside:      {Name: "workloads_outside", Type: telemetry.Gauge},
}}

const (
	injectionOff = iota // 1 while it is
	podsPassed          // that got no sidecar for it
	routingOff          // how many switches have it off
	outside             // how many choices of workloads are out of the mesh
)

// broken is what somebody has switched off by hand, as the store says it to every weftd on it. What was known counts while the store does not answer.
type broken struct {
	plane *Plane
	stats *telemetry.Values

	mu    sync.Mutex
	by    map[string]console.Broken
	known bool // the store has said what is off, if anything is
}

// fromSwitches is the source of what is off, which has to have been heard before anybody is told of a mesh: it may be what keeps it alive.
const fromSwitches = "switches"

func (p *Plane) openBroken() {
	p.broken = &broken{plane: p, stats: p.stats.Acquire(brokenTable, "breakglass.").Loop(0), by: map[string]console.Broken{}}
}

// off is what somebody has said of something that is switched off; nil: it is not.
func (b *broken) off(what string) *console.Broken {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one, is := b.by[what]; is && time.Now().Before(one.Until) {
		return &one
	}
	return nil
}

// all is what is off, by name.
func (b *broken) all() (list []console.Broken) {
	b.mu.Lock()
	names := slices.Sorted(maps.Keys(b.by))
	b.mu.Unlock()
	for _, name := range names {
		if one := b.off(name); one != nil {
			list = append(list, *one)
		}
	}
	return list
}

// heard tells whether the store has said what is off.
func (b *broken) heard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// brokenSaid is how often the log says what is off.
const brokenSaid = time.Minute

// run follows what is said, and says it again and again while it is so.
func (b *broken) run(ctx context.Context) {
	heard := make(chan struct{}, 1)
	b.plane.parts.Go(func() { b.follow(ctx, heard) })
	var told *mesh.Off
	was := map[string]console.Broken{}
	out := outsiders{}
	for {
		known := b.heard() // before it is asked what: else nothing would count as all that there is
		now, next := map[string]console.Broken{}, brokenSaid
		counts := [outside + 1]uint64{}
		for _, one := range b.all() {
			now[one.What] = one
			next = min(next, time.Until(one.Until)+time.Millisecond)
			s := one.Switch()
			counts[map[string]int{console.Injection: injectionOff, console.Routing: routingOff, console.Workload: outside}[s.Part]]++
			b.plane.Log.Warn(s.What()+" is switched off: "+s.Mend()+" switches it on", "until", one.Until, "by", one.Author, "because", one.Reason)
		}
		for what, one := range was {
			if _, is := now[what]; is {
				continue
			}
			more := ""
			if one.Switch().Part == console.Injection {
				more = ": pods that came meanwhile have no sidecar until they are made anew"
			}
			b.plane.Log.Warn(one.Switch().What() + " is on again" + more)
		}
		for _, one := range []int{injectionOff, routingOff, outside} {
			b.stats.Set(one, counts[one])
		}
		if known {
			off, on := out.turn(time.Now(), now)
			if !reflect.DeepEqual(off, told) {
				b.plane.push.Switch(ctx, fromSwitches, off)
				told = off
			}
			if !on.IsZero() {
				next = min(next, time.Until(on))
			}
		}
		was = now
		select {
		case <-ctx.Done():
			return
		case <-heard:
		case <-time.After(max(next, time.Millisecond)):
		}
	}
}

// follow hears from the store.
func (b *broken) follow(ctx context.Context, heard chan<- struct{}) {
	const firstPause, lastPause = 100 * time.Millisecond, 10 * time.Second
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		all := map[string]console.Broken{}
		b.plane.store.Watch(ctx, console.BrokenPrefix, func(events []store.Event) { // that the store fails, whoever follows the objects in it says
			for _, e := range events {
				one, err := console.ReadBroken(e.Entry)
				what := strings.TrimPrefix(e.Key, console.BrokenPrefix)
				switch {
				case e.Gone():
					delete(all, what)
				case err != nil: // what is off is said by who can say why, and until when
					b.plane.Log.Error("what is said to be switched off cannot be read, and is on", "what", what, "because", err)
					delete(all, what)
				default:
					all[what] = one
				}
			}
			b.mu.Lock()
			b.by, b.known = maps.Clone(all), true
			b.mu.Unlock()
			select {
			case heard <- struct{}{}:
			default:
			}
			pause = firstPause
		})
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}
