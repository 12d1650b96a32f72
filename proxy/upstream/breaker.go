package upstream

import (
	"sync/atomic"

	"github.com/weftmesh/weft/config"
)

// Breakers count what is in flight towards a cluster, over all loops. They go by the cluster's name and outlive its configurations,
// so a change of a limit never forgets what it limits.
type Breakers [2]Breaker

// Breaker counts for one priority.
type Breaker struct {
	Connections, Pending, Requests, Retries InFlight
}

// InFlight is a count that all loops share, on a cache line of its own.
type InFlight struct {
	n atomic.Int64
	_ [56]byte
}

// Enter counts one more unless that would exceed limit.
func (f *InFlight) Enter(limit uint32) bool {
	if f.n.Add(1) > int64(limit) {
		f.n.Add(-1)
		return false
	}
	return true
}

// Force counts one more whatever the limit.
func (f *InFlight) Force() { f.n.Add(1) }

// Leave counts one less.
func (f *InFlight) Leave() { f.n.Add(-1) }

// Load is the count.
func (f *InFlight) Load() int64 { return f.n.Load() }

// Remaining is how many more there may be.
func (f *InFlight) Remaining(limit uint32) uint64 { return uint64(max(int64(limit)-f.n.Load(), 0)) }

// Open tells whether the limit is reached.
func (f *InFlight) Open(limit uint32) bool { return f.n.Load() >= int64(limit) }

// Limits is what a cluster's configuration says of a priority.
func (c *Cluster) Limits(p config.Priority) *config.Breaker { return &c.Config.Breakers[p] }
