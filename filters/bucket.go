package filters

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
)

// Bucket is a token bucket that all loops share without a lock. It is kept as the one moment at which it was empty, or would have been:
// what has passed since then is what is in it. To take a token moves the moment by what a token takes to come.
type Bucket struct {
	_     [64]byte // a cache line of its own: every loop writes it
	empty atomic.Int64
	late  atomic.Int64 // the latest time that anybody has come with
	_     [48]byte
	base  time.Time
	cost  int64 // of a token, in nanoseconds
	full  int64 // nanoseconds until it is full
	rate  config.Rate
}

// NewBucket makes one that is full.
func NewBucket(r config.Rate, now time.Time) *Bucket {
	b := &Bucket{base: now, rate: r}
	b.cost = max(int64(math.Round(float64(r.Interval)/float64(r.Fill))), 1)
	b.full = int64(r.Tokens) * b.cost
	b.empty.Store(-b.full)
	return b
}

// at is the bucket's own time. Loops read the clock once a turn: one may see a moment before the bucket was made.
func (b *Bucket) at(now time.Time) int64 {
	t := max(int64(now.Sub(b.base)), 0)
	for {
		late := b.late.Load()
		if t <= late {
			return late // each loop has a clock of its own, and one that lags must not find less than another one has left
		}
		if b.late.CompareAndSwap(late, t) {
			return t
		}
	}
}

// Take takes n tokens, if there are as many; less than none gives them back, as far as there is room.
func (b *Bucket) Take(now time.Time, n int64) bool {
	t := b.at(now)
	if n > int64(b.rate.Tokens) {
		return false // which no multiple of the cost is to be made of: it may be too large
	}
	n = max(n, -int64(b.rate.Tokens))
	for {
		old := b.empty.Load()
		next := max(max(old, t-b.full)+n*b.cost, t-b.full)
		if next > t && n > 0 {
			return false
		}
		if b.empty.CompareAndSwap(old, next) {
			return true
		}
	}
}

// Left is how many tokens there are, and how long until there is one if there is none.
func (b *Bucket) Left(now time.Time) (tokens uint32, wait time.Duration) {
	t := b.at(now)
	since := t - max(b.empty.Load(), t-b.full)
	if since >= b.cost {
		return uint32(min(since/b.cost, int64(b.rate.Tokens))), 0
	}
	return 0, time.Duration(b.cost - since)
}

// Cost is how long a token takes to come.
func (b *Bucket) Cost() time.Duration { return time.Duration(b.cost) }

// Rate is what it was made for.
func (b *Bucket) Rate() config.Rate { return b.rate }

// Spent tells whether it is full, so that a new bucket would be no different: it is one of the things that are kept.
func (b *Bucket) Spent(now time.Time) bool { return b.at(now)-b.empty.Load() >= b.full }
