package push

import (
	rtmetrics "runtime/metrics"
	"time"

	"github.com/weftmesh/weft/memory"
)

// afterwards is how long after the last proxy has come what they have left behind is given back to the machine: a first view is made of much that
// is of no use later, and the runtime would keep its memory for more of that. With 50 sidecars of 1,000 services it is 20 MB.
const afterwards = time.Second

// giver gives memory back, when it has been left alone for a while. Its fields are of the timer's goroutine.
type giver struct {
	timer *time.Timer
	given uint64 // bytes that had been allocated when it was last done
}

func newGiver() *giver {
	g := &giver{}
	g.timer = time.AfterFunc(afterwards, g.give)
	g.timer.Stop()
	return g
}

// soon has it done after a while.
func (g *giver) soon() { g.timer.Reset(afterwards) }

// give does it if as much was allocated since the last time as is alive: it is a collection of the whole heap, and where proxies come one by one all
// the time there must not be more of those than the runtime would make by itself.
func (g *giver) give() {
	now := []rtmetrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	rtmetrics.Read(now)
	if now[0].Value.Uint64()-g.given < now[1].Value.Uint64() {
		return
	}
	memory.Return()
	g.given = now[0].Value.Uint64()
}
