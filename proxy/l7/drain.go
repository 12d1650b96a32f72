package l7

import (
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
)

// Drain asks the clients of a process to go, over a while: their connections end with an exchange each, sooner or later within that
// time. The zero value asks nobody.
type Drain struct {
	began       atomic.Int64 // Unix time in nanoseconds; 0: not yet
	over        atomic.Int64 // the time that it may take, in nanoseconds; 0: at once
	inboundOnly atomic.Bool
}

// Begin asks from now on. To begin again changes nothing but who is asked.
func (d *Drain) Begin(over time.Duration, inboundOnly bool) {
	d.over.Store(int64(over))
	d.inboundOnly.Store(inboundOnly)
	d.began.CompareAndSwap(0, time.Now().UnixNano())
}

// Active tells whether clients are being asked to go.
func (d *Drain) Active() bool { return d.began.Load() != 0 }

// closes decides for one exchange whether its connection ends with it: the more likely the more of the time is over, as with Envoy, so
// that clients do not all come back in the same moment.
func (d *Drain) closes(direction config.Direction, now time.Time, random uint64) bool {
	began := d.began.Load()
	if began == 0 || d.inboundOnly.Load() && direction != config.Inbound {
		return false
	}
	elapsed, over := uint64(max(now.UnixNano()-began, 0)), uint64(d.over.Load())
	return over == 0 || random%over <= elapsed
}
