package upstream

import (
	"math"
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
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

// RetryLimit is how many retries there may be now.
func (b *Breaker) RetryLimit(limits *config.Breaker) uint32 {
	r := limits.RetryBudget
	if r == nil {
		return limits.MaxRetries
	}
	return max(uint32(min(r.Percent/100*float64(b.Requests.Load()), math.MaxUint32)), r.Least)
}

// EnterRetry counts a retry that is to be made; false if there are as many as may be. Each that was let through wants a LeaveRetry when
// its attempt is over.
func (c *Cluster) EnterRetry(l *loop.Loop, p config.Priority) bool {
	b := &c.Breakers[p]
	if !b.Retries.Enter(b.RetryLimit(c.Limits(p))) {
		c.Local(l).Stats.Inc(RqRetryOverflow)
		return false
	}
	return true
}

// LeaveRetry says that a retry's attempt is over.
func (c *Cluster) LeaveRetry(p config.Priority) { c.Breakers[p].Retries.Leave() }

// enterConnection counts a connection to an endpoint that is to be made; false if the cluster or the endpoint has as many as may be.
func (c *Cluster) enterConnection(e *Endpoint, p config.Priority) bool {
	limits := c.Limits(p)
	if limits.MaxHostConnections > 0 && e.Counts.CxActive.Load() >= int64(limits.MaxHostConnections) {
		return false
	}
	return c.Breakers[p].Connections.Enter(limits.MaxConnections)
}

// Limits is what a cluster's configuration says of a priority.
func (c *Cluster) Limits(p config.Priority) *config.Breaker { return &c.Config.Breakers[p] }
