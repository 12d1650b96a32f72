package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/bench/scenarios"
)

// us is the contestant the targets are for, and floor the one that shows what none of ours could be below.
const us, floor = "weft", "floor"

// A Summary is what several rounds say together. Median is the middle one, or the mean of the two
// middle ones.
type Summary struct {
	Median, Min, Max float64
	N                int
}

// Summarize orders the values and takes the middle; no values make the zero Summary.
func Summarize(values []float64) Summary {
	n := len(values)
	if n == 0 {
		return Summary{}
	}
	v := slices.Sorted(slices.Values(values))
	return Summary{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], N: n}
}

// row is one measure of one scenario across all contestants.
type row struct {
	title    string
	measure  scenarios.Measure
	cells    []cell
	verdicts []verdict
}

// cell is a row's figure for one contestant.
type cell struct {
	rival string
	Summary
	note           string  // why there is no figure, or why it must not be trusted; "" for a good one
	load           bool    // the indicative figures below are there
	rate, p50, p99 float64 // medians: a second, µs, µs
	late           float64 // median of how late the client itself was, µs
}

// verdict sets a figure of ours beside what is asked.
type verdict struct {
	asked    string
	measured string // "" when the run cannot tell
	met      bool
	floor    string // what the floor was at, where even that missed
}

// rows lays the outcomes out, a row for each measure.
func (r Run) rows() []row {
	var rows []row
	for _, o := range r.Outcomes {
		for i, m := range o.Scenario.Measures {
			one := row{title: o.Scenario.Title, measure: m}
			for _, result := range o.Results {
				one.cells = append(one.cells, newCell(result, i))
			}
			for _, t := range m.Targets {
				one.verdicts = append(one.verdicts, judge(one, t))
			}
			rows = append(rows, one)
		}
	}
	return rows
}

func newCell(result scenarios.Result, measure int) cell {
	c := cell{rival: result.Rival}
	var values, rates, p50s, p99s, lates []float64
	for _, s := range result.Samples {
		switch {
		case s.Absent != "":
			c.note = "not measured: " + s.Absent
		case s.Invalid != "":
			c.note = "invalid: " + s.Invalid
		}
		if measure < len(s.Values) {
			values = append(values, s.Values[measure])
		}
		if s.Load != nil {
			rates = append(rates, s.Load.Rate())
			p50s = append(p50s, micro(s.Load.P50))
			p99s = append(p99s, micro(s.Load.P99))
			lates = append(lates, micro(s.Load.LateP99))
		}
	}
	c.Summary = Summarize(values)
	c.load = len(rates) > 0
	c.rate, c.p50, c.p99 = Summarize(rates).Median, Summarize(p50s).Median, Summarize(p99s).Median
	c.late = Summarize(lates).Median
	return c
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// good returns the row's cell for the rival if its figure can be relied on.
func (r row) good(rival string) (cell, bool) {
	for _, c := range r.cells {
		if c.rival == rival {
			return c, c.note == "" && c.N > 0
		}
	}
	return cell{}, false
}

func judge(r row, t scenarios.Target) verdict {
	v := verdict{asked: fmt.Sprintf("%s %s", strconv.FormatFloat(t.AtMost, 'g', -1, 64), r.measure.Unit)}
	if t.Of != "" {
		v.asked = fmt.Sprintf("%.2f × %s", t.AtMost, t.Of)
	}
	ours, ok := r.good(us)
	if !ok {
		return v
	}
	if t.Of == "" {
		v.measured = fmt.Sprintf("%s %s", figure(ours.Median), r.measure.Unit)
		v.met = ours.Median <= t.AtMost
		return v
	}
	ratio, ok := r.ratio(us, t.Of)
	if !ok {
		return v
	}
	v.measured = fmt.Sprintf("%.2f × %s", ratio, t.Of)
	v.met = ratio <= t.AtMost
	if least, ok := r.ratio(floor, t.Of); ok && least > t.AtMost {
		v.floor = fmt.Sprintf("%.2f × %s", least, t.Of)
	}
	return v
}

// ratio divides the medians of two contestants; false when one of them has no good figure, or the
// lower one is zero.
func (r row) ratio(a, b string) (float64, bool) {
	over, okA := r.good(a)
	under, okB := r.good(b)
	if !okA || !okB || under.Median == 0 {
		return math.NaN(), false
	}
	return over.Median / under.Median, true
}

// figure writes a number with three significant digits.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
