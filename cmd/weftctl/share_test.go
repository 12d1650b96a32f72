package main

import (
	"math"
	"testing"
	"time"
)

func TestBound(t *testing.T) {
	for _, c := range []struct {
		p    float64
		n    uint64
		want float64
	}{
		{0, 2500, 0}, {1, 2500, 0}, {0.5, 2500, 0.04}, {0.5, 100, 0.2}, {0.1, 2500, 0.024}, {0.9, 2500, 0.024}, {0.1, 3600, 0.02},
	} {
		if got := bound(c.p, c.n); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("bound(%v, %d) = %v: want %v", c.p, c.n, got, c.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		result result
		want   verdict
	}{
		{"all to v1", result{weights: weights{100, 0}, v1: 2500}, held},
		{"one to v2 is one too many", result{weights: weights{100, 0}, v1: 2499, v2: 1}, missed},
		{"all to v2", result{weights: weights{0, 100}, v2: 2500}, held},
		{"one to v1 is one too many", result{weights: weights{0, 100}, v1: 1, v2: 999999}, missed},
		{"a tenth", result{weights: weights{90, 10}, v1: 2250, v2: 250}, held},
		{"just inside above", result{weights: weights{90, 10}, v1: 2191, v2: 309}, held},
		{"just outside above", result{weights: weights{90, 10}, v1: 2189, v2: 311}, missed},
		{"just inside below", result{weights: weights{90, 10}, v1: 2309, v2: 191}, held},
		{"just outside below", result{weights: weights{90, 10}, v1: 2311, v2: 189}, missed},
		{"the weights of the step before", result{weights: weights{50, 50}, v1: 2250, v2: 250}, missed},
		{"a loss outweighs a right share", result{weights: weights{50, 50}, v1: 1250, v2: 1250, lost: 1}, lossy},
		{"nothing answered", result{weights: weights{50, 50}}, notMeasured},
		{"too few to tell", result{weights: weights{50, 50}, v1: 99}, notMeasured},
		{"just enough to tell", result{weights: weights{50, 50}, v1: 100}, missed},
		{"nothing but losses", result{weights: weights{50, 50}, lost: 3}, lossy},
	} {
		if got := c.result.verdict(); got != c.want {
			t.Errorf("%s: %q: want %q", c.name, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", tableHead+
		result{weights: weights{100, 0}, v1: 2500}.row(1)+
		result{weights: weights{90, 10}, v1: 2249, v2: 251, took: 12340 * time.Microsecond}.row(2)+
		result{weights: weights{50, 50}, v1: 2000, v2: 500, took: 2 * time.Second}.row(3)+
		result{weights: weights{0, 100}, lost: 7}.row(4))
}
