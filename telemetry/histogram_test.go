package telemetry

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

var testTable = &Table{Kind: "thing", Metrics: []Metric{
	{Name: "rq_total"},
	{Name: "rq_active", Type: Gauge},
	{Name: "rq_time", Type: Histogram, Unit: "ms"},
	{Name: "rq_2xx"},
	{Name: "rq_size", Type: Histogram},
}}

const (
	total = iota
	active
	took
	good
	size
)

// Every value is in its bin, and no bin is wider than a sixteenth of what is in it.
func TestBins(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []uint64{0, 1, 15, 16, 17, 31, 32, 33, math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1<<63 - 1}
	for range 10000 {
		values = append(values, random.Uint64()>>random.IntN(64))
	}
	for _, v := range values {
		row, col := bin(v)
		low, width := lowest(row, col)
		if v < low || v-low >= width || width > 1 && width > low/16 {
			t.Fatalf("%d is counted in %d+%d", v, low, width)
		}
	}
}

// A quantile is within a sixteenth of the value that has that rank.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	draws := map[string]func() uint64{
		"small":       func() uint64 { return random.Uint64N(20) },
		"uniform":     func() uint64 { return random.Uint64N(100000) },
		"exponential": func() uint64 { return uint64(random.ExpFloat64() * 500) },
		"all sizes":   func() uint64 { return random.Uint64() >> random.IntN(64) },
		"one value":   func() uint64 { return 777 },
	}
	for name, draw := range draws {
		for _, n := range []int{1, 2, 10, 5000} {
			o := NewStore(2).Acquire(testTable, "x.")
			values := make([]uint64, n)
			sum := uint64(0)
			for i := range values {
				values[i] = draw()
				sum += values[i]
				o.Loop(i%3).Observe(took, values[i])
			}
			slices.Sort(values)
			q := o.spread(took)
			if q.Count != uint64(n) || q.Sum != sum {
				t.Fatalf("%s: count %d of %d, sum %d of %d", name, q.Count, n, q.Sum, sum)
			}
			last := 0.0
			for _, p := range []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1} {
				want := float64(values[max(int(math.Ceil(p*float64(n)))-1, 0)])
				got := q.At(p)
				if math.Abs(got-want) > want/16 || got < last {
					t.Errorf("%s, %d values, share %v: %v, want %v; before %v", name, n, p, got, want, last)
				}
				last = got
			}
		}
	}
}

func TestBelow(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	o := NewStore(0).Acquire(testTable, "x.")
	var values []uint64
	for range 5000 {
		v := uint64(random.ExpFloat64() * 3000)
		values = append(values, v)
		o.Loop(0).Observe(took, v)
	}
	q := o.spread(took)
	last := uint64(0)
	for _, limit := range buckets {
		low, high := uint64(0), uint64(0)
		for _, v := range values {
			if float64(v) <= limit*15/16 {
				low++
			}
			if float64(v) <= limit*17/16 {
				high++
			}
		}
		got := q.Below(limit)
		if got < low || got > high || got < last {
			t.Errorf("%v: %d, between %d and %d; before %d", limit, got, low, high, last)
		}
		last = got
	}
	if n := q.Below(math.MaxUint64); n != q.Count {
		t.Errorf("%d of %d are below everything", n, q.Count)
	}
}

// Whoever is not a loop shares a place; readers read meanwhile. Nothing is lost.
func TestConcurrency(t *testing.T) {
	store := NewStore(2)
	const workers, each = 8, 2000
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			o := store.Acquire(testTable, "x.", Tag{"name", "x"})
			v := o.Loop(w % 3)
			for i := range each {
				v.Inc(total)
				v.Add(good, 2)
				v.Inc(active)
				v.Observe(took, uint64(i))
				v.Observe(size, uint64(i)<<20)
				v.Dec(active)
			}
		})
	}
	wait.Go(func() {
		for range 50 {
			for _, s := range store.Read(Filter{UsedOnly: true}) {
				if s.Spread != nil {
					s.Spread.At(0.5)
				}
			}
		}
	})
	wait.Wait()
	o := store.Acquire(testTable, "x.")
	if o.Sum(total) != workers*each || o.Sum(good) != 2*workers*each || o.Sum(active) != 0 {
		t.Errorf("%d %d %d", o.Sum(total), o.Sum(good), o.Sum(active))
	}
	for _, row := range []int{took, size} {
		if q := o.spread(row); q.Count != workers*each {
			t.Errorf("%d observations of %d", q.Count, workers*each)
		}
	}
	if o.refs != workers+1 {
		t.Errorf("%d references", o.refs)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	v := NewStore(1).Acquire(testTable, "x.").Loop(0)
	n := uint64(0)
	count := func() {
		v.Inc(total)
		v.Dec(active)
		v.Set(active, n)
		v.Observe(took, n%1000)
		n += 7
	}
	for range 1000 { // each power of two makes its row once
		count()
	}
	if n := testing.AllocsPerRun(1000, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
