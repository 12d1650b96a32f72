package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Every value falls into a bucket whose bound is at most 1/128 above it, and buckets follow one
// another without gap.
func TestBucketBounds(t *testing.T) {
	for i := range len(Histogram{}.buckets) - 1 {
		if got := bucket(upper(i)); got != i {
			t.Fatalf("bucket(upper(%d)) = %d", i, got)
		}
		if got := bucket(upper(i) + 1); got != i+1 {
			t.Fatalf("bucket(upper(%d)+1) = %d, want the next one", i, got)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		v := r.Int64N(1 << r.IntN(41))
		u := upper(bucket(v))
		if u < v || float64(u-v) > float64(v)/steps {
			t.Fatalf("value %d counts as %d", v, u)
		}
	}
	if last := bucket(1<<40 - 1); last != len(Histogram{}.buckets)-1 {
		t.Errorf("the longest duration is in bucket %d of %d", last, len(Histogram{}.buckets))
	}
}

func TestQuantile(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, draw := range map[string]func() int64{
		"uniform":     func() int64 { return r.Int64N(1_000_000) },
		"exponential": func() int64 { return int64(r.ExpFloat64() * 300_000) },
		"two peaks":   func() int64 { return 50_000 + r.Int64N(100) + r.Int64N(2)*80_000_000 },
		"tiny":        func() int64 { return r.Int64N(4) },
	} {
		t.Run(name, func(t *testing.T) {
			var h Histogram
			values := make([]int64, 20_001)
			var sum float64
			for i := range values {
				values[i] = draw()
				sum += float64(values[i])
				h.Record(time.Duration(values[i]))
			}
			slices.Sort(values)
			for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 1} {
				rank := max(int(math.Ceil(q*float64(len(values)))), 1)
				want, got := values[rank-1], int64(h.Quantile(q))
				if got < want || float64(got-want) > float64(want)/steps {
					t.Errorf("quantile %g: got %d, want %d and at most 0.8 %% more", q, got, want)
				}
			}
			if got, want := int64(h.Max()), values[len(values)-1]; got != want {
				t.Errorf("max %d, want %d", got, want)
			}
			if got, want := float64(h.Mean()), sum/float64(len(values)); math.Abs(got-want) > 1 {
				t.Errorf("mean %g, want %g", got, want)
			}
			if h.Count() != uint64(len(values)) {
				t.Errorf("count %d, want %d", h.Count(), len(values))
			}
			h.Reset()
			if h.Count() != 0 || h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
				t.Error("not empty after Reset")
			}
		})
	}
}

func TestOutOfRange(t *testing.T) {
	var h Histogram
	h.Record(-time.Second)
	h.Record(24 * time.Hour)
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("a negative duration counts as %v, want 0", got)
	}
	if got := h.Quantile(1); got != 1<<40-1 {
		t.Errorf("a day counts as %v, want the longest", got)
	}
}
