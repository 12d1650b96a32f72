package localratelimit

import (
	"math"
	"sync/atomic"
	"time"
)

// bucket is a token bucket that all loops share without a lock. It is kept as the one moment at which it was empty, or would have been:
// what has passed since then is what is in it. To take a token moves the moment by what a token takes to come.
type bucket struct {
	_     [64]byte // a cache line of its own: every loop writes it
	empty atomic.Int64
	_     [56]byte
	base  time.Time
	cost  int64 // of a token, in nanoseconds
	full  int64 // nanoseconds until it is full
	rate  rate
}

// rate is how a bucket is configured.
type rate struct {
	tokens   uint32 // room
	fill     uint32 // tokens that come at once
	interval time.Duration
}

// fits tells whether the rate can be reckoned with: the time until the bucket is full must be a number of nanoseconds.
func (r rate) fits() bool {
	return float64(r.tokens)*float64(r.interval)/float64(r.fill) < math.MaxInt64/4
}

func newBucket(r rate, now time.Time) *bucket {
	b := &bucket{base: now, rate: r}
	b.cost = max(int64(math.Round(float64(r.interval)/float64(r.fill))), 1)
	b.full = int64(r.tokens) * b.cost
	b.empty.Store(-b.full)
	return b
}

// at is the bucket's own time. Loops read the clock once a turn: one may see a moment before the bucket was made.
func (b *bucket) at(now time.Time) int64 { return max(int64(now.Sub(b.base)), 0) }

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	t := b.at(now)
	for {
		old := b.empty.Load()
		next := max(old, t-b.full) + b.cost
		if next > t {
			return false
		}
		if b.empty.CompareAndSwap(old, next) {
			return true
		}
	}
}

// left is how many tokens there are, and how long until there is one if there is none.
func (b *bucket) left(now time.Time) (tokens uint32, wait time.Duration) {
	t := b.at(now)
	since := t - max(b.empty.Load(), t-b.full)
	if since >= b.cost {
		return uint32(min(since/b.cost, int64(b.rate.tokens))), 0
	}
	return 0, time.Duration(b.cost - since)
}

// isFull tells whether a new bucket would be no different.
func (b *bucket) isFull(now time.Time) bool { return b.at(now)-b.empty.Load() >= b.full }
