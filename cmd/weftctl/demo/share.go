package demo

import (
	"fmt"
	"math"
)

// weights are what a step asks for, in percent; they add up to 100.
type weights struct{ v1, v2 int }

func (w weights) String() string { return fmt.Sprintf("%d/%d", w.v1, w.v2) }

// deviations is how far a measured share may lie from the one that was asked for. Each request draws its version at random, so the
// count is binomial; 4 standard deviations leave a right proxy about 1 failure in 16,000 measurements.
const deviations = 4

// bound is the largest distance, as a fraction, of a measured share from the share p over n requests: deviations × √(p(1−p)/n). At
// p = 0 and p = 1 it is 0: there the share is exact.
func bound(p float64, n uint64) float64 {
	return deviations * math.Sqrt(p*(1-p)/float64(n))
}

// result is what each version answered while weights were in force.
type result struct {
	weights weights
	v1, v2  uint64
}

func (r result) requests() uint64 { return r.v1 + r.v2 }

// share is the measured fraction of v2.
func (r result) share() float64 { return float64(r.v2) / float64(r.requests()) }

func (r result) bound() float64 { return bound(float64(r.weights.v2)/100, r.requests()) }

// held tells whether the share is as near to what was asked for as chance allows.
func (r result) held() bool { return math.Abs(r.share()-float64(r.weights.v2)/100) <= r.bound() }

// fewest is how many answers a verdict takes: with fewer, a share of a tenth lies outside of the bound too often by chance.
const fewest = 100
