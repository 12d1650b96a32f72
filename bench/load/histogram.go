package load

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts durations in log-linear buckets: exact below 256 ns, then 128 equal steps per
// power of two, so that a quantile is at most 1/128 (0.8 %) above the true value. Longer than about
// 18 minutes counts as that. The zero Histogram is empty and ready.
type Histogram struct {
	count   uint64
	sum     float64
	max     int64
	buckets [(longestExp + 2) * steps]uint64
}

const (
	stepBits   = 7
	steps      = 1 << stepBits
	longestExp = 40 - stepBits - 1 // values stay below 2^40 ns
)

// Record counts one duration; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	v := min(max(int64(d), 0), 1<<40-1)
	h.buckets[bucket(v)]++
	h.count++
	h.sum += float64(v)
	h.max = max(h.max, v)
}

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest recorded duration, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean is the arithmetic mean, zero when empty.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.count))
}

// Quantile returns the smallest bucket bound that at least the share q (0..1) of all durations do
// not exceed, never more than Max; zero when empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.count))), 1)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return time.Duration(min(upper(i), h.max))
		}
	}
	return h.Max()
}

// bucket maps a value to its counter: the top bit chooses the row, the seven below it the step.
func bucket(v int64) int {
	exp := bits.Len64(uint64(v)) - stepBits - 1
	if exp <= 0 {
		return int(v)
	}
	return exp<<stepBits + int(v>>exp)
}

// upper is the largest value that bucket i counts.
func upper(i int) int64 {
	if i < 2*steps {
		return int64(i)
	}
	exp := i>>stepBits - 1
	return int64(i-exp<<stepBits+1)<<exp - 1
}
