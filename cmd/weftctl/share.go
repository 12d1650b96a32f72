package main

import (
	"fmt"
	"math"
	"time"
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

// result is what was seen of one step.
type result struct {
	weights weights
	took    time.Duration // from the change of the file until weft said that it is in force; 0 for the first step
	v1, v2  uint64        // answers while it was in force
	lost    uint64        // requests lost from the change of the file on, the moment of switching included
}

func (r result) requests() uint64 { return r.v1 + r.v2 }

// share is the measured fraction of v2.
func (r result) share() float64 { return float64(r.v2) / float64(r.requests()) }

func (r result) bound() float64 { return bound(float64(r.weights.v2)/100, r.requests()) }

type verdict string

const (
	held        verdict = "held"
	missed      verdict = "missed"
	lossy       verdict = "lossy"
	notMeasured verdict = "not measured" // the step was passed over before fewest answers were there
)

// fewest is how many answers a verdict takes: with fewer, a share of a tenth lies outside of the bound too often by chance.
const fewest = 100

func (r result) verdict() verdict {
	switch {
	case r.lost > 0:
		return lossy
	case r.requests() < fewest:
		return notMeasured
	case math.Abs(r.share()-float64(r.weights.v2)/100) > r.bound():
		return missed
	}
	return held
}

const tableHead = "step  weights  requests  v2 measured     bound  in force after  lost  verdict\n"

// row is the step's line under tableHead.
func (r result) row(step int) string {
	measured, within, took := "-", "-", "-"
	if r.requests() > 0 {
		measured, within = fmt.Sprintf("%.2f %%", 100*r.share()), fmt.Sprintf("± %.2f", 100*r.bound())
	}
	if r.took > 0 {
		took = milliseconds(r.took)
	}
	return fmt.Sprintf("%4d  %7s  %8d  %11s  %8s  %14s  %4d  %s\n", step, r.weights, r.requests(), measured, within, took, r.lost, r.verdict())
}
