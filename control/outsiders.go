package control

import (
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/mesh"
)

// settling is how long proxies are given to hear of a step that another one follows, by which they would lose requests otherwise.
const settling = 5 * time.Second

// outsider is workloads that are outside of the mesh, or on their way.
type outsider struct {
	choice mesh.Choice
	since  time.Time // they are on their way out, or back
	back   bool
}

// outsiders are all of them, by the names of their switches. Who goes out takes both mTLS and plain text before he is spoken to in plain text, and who comes back is spoken to by mTLS before he takes
// nothing else: settling lies between.
type outsiders map[string]*outsider

// turn goes on to what is off now, and says what a mesh is told of it, and when there is more; the zero time: there is not.
func (o outsiders) turn(now time.Time, off map[string]console.Broken) (said *mesh.Off, next time.Time) {
	said = &mesh.Off{}
	for name, one := range off {
		switch s := one.Switch(); s.Part {
		case console.Routing:
			said.Routing = append(said.Routing, s.Namespace)
		case console.Workload:
			switch is := o[name]; {
			case is == nil && one.At.Before(now): // others know already, if it was a while ago
				o[name] = &outsider{choice: mesh.Choice{Namespace: s.Namespace, Labels: s.Labels}, since: one.At}
			case is == nil:
				o[name] = &outsider{choice: mesh.Choice{Namespace: s.Namespace, Labels: s.Labels}, since: now}
			case is.back:
				is.back, is.since = false, now
			}
		}
	}
	slices.Sort(said.Routing)
	for _, name := range slices.Sorted(maps.Keys(o)) {
		is := o[name]
		if _, still := off[name]; !still && !is.back {
			is.back, is.since = true, now
		}
		at := is.since.Add(settling)
		switch settled := !now.Before(at); {
		case settled && is.back:
			delete(o, name)
			continue
		case settled:
			said.Plain = append(said.Plain, is.choice)
		case next.IsZero() || at.Before(next):
			next = at
		}
		said.Outside = append(said.Outside, is.choice)
	}
	return said, next
}
