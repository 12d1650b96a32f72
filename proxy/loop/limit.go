package loop

import "sync/atomic"

// Limit is how many accepted connections a process may have at once, whichever of its loops have them.
type Limit struct {
	_   [64]byte // the count is written by all loops: a cache line of its own
	n   atomic.Int64
	_   [56]byte
	max int64
}

// NewLimit is a limit of max connections.
func NewLimit(max int64) *Limit { return &Limit{max: max} }

// Active is how many connections there are.
func (l *Limit) Active() int64 { return l.n.Load() }

// Enter takes a place for a connection that has come, until its descriptor is closed; false: there is none.
func (l *Limit) Enter(p *Pending) bool {
	if l.n.Add(1) > l.max {
		l.n.Add(-1)
		return false
	}
	p.place = l
	return true
}
