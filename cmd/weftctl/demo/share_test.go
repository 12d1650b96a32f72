package demo

import (
	"math"
	"testing"
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

func TestHeld(t *testing.T) {
	for _, c := range []struct {
		name   string
		result result
		want   bool
	}{
		{"all to v1", result{weights{100, 0}, 2500, 0}, true},
		{"one to v2 is one too many", result{weights{100, 0}, 2499, 1}, false},
		{"all to v2", result{weights{0, 100}, 0, 2500}, true},
		{"one to v1 is one too many", result{weights{0, 100}, 1, 999999}, false},
		{"a tenth", result{weights{90, 10}, 2250, 250}, true},
		{"just inside above", result{weights{90, 10}, 2191, 309}, true},
		{"just outside above", result{weights{90, 10}, 2189, 311}, false},
		{"just inside below", result{weights{90, 10}, 2309, 191}, true},
		{"just outside below", result{weights{90, 10}, 2311, 189}, false},
		{"the weights of the step before", result{weights{50, 50}, 2250, 250}, false},
	} {
		if got := c.result.held(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
