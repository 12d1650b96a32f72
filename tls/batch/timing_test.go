package batch

import (
	"math"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkTiming asks whether the time of an exponentiation tells of its exponent: Welch's t of two kinds of exponents, one of zeros and one
// of random windows, in random order, without the slowest tenth. Beyond 10 there is no doubt that it does; below 4.5 nothing is seen. The second one leaks on
// purpose, by leaving out multiplications by one, so that a check that sees nothing cannot be mistaken for a good one.
func BenchmarkTiming(b *testing.B) {
	for _, by := range kernels() {
		for _, c := range []struct {
			name  string
			power func(*group, [][]uint8)
		}{{"ours", (*group).power}, {"leaky", leaky}} {
			b.Run(by.name+"/"+c.name, func(b *testing.B) {
				k := prepared(b, 2048, &Queue{}, by)
				g := newGroup(by, k.digits)
				for lane := range g.lanes {
					g.lane(lane, &k.primes[lane%2].modulus)
				}
				r := mathrand.New(mathrand.NewPCG(5, 6))
				const windowsEach = 32 // an eighth of an exponent: as telling, and there can be more of them
				var times [2][]float64
				for b.Loop() {
					kind := r.IntN(2)
					exponents := make([][]uint8, g.lanes)
					for lane := range g.lanes {
						exponents[lane] = make([]uint8, windowsEach)
						for i := range exponents[lane] {
							if kind == 1 {
								exponents[lane][i] = uint8(r.IntN(entries))
							}
						}
					}
					copy(g.x, g.rr)
					began := time.Now()
					c.power(g, exponents)
					times[kind] = append(times[kind], float64(time.Since(began)))
				}
				b.ReportMetric(welch(times), "t")
			})
		}
	}
}

// leaky is power without multiplications that change nothing.
func leaky(g *group, exponents [][]uint8) {
	n := g.digits * g.lanes
	entry := func(i int) []uint64 { return g.table[i*n : (i+1)*n] }
	g.mul(entry(0), g.rr, g.one)
	copy(entry(1), g.x)
	for i := 2; i < entries; i++ {
		g.mul(entry(i), entry(i-1), g.x)
	}
	for w := range exponents[0] {
		any := uint8(0)
		for lane := range g.lanes {
			g.index[lane] = uint64(exponents[lane][w])
			any |= exponents[lane][w]
		}
		for range window {
			g.sqr(g.x)
		}
		if g.choose(g.t, g.table, g.index, g.digits); any != 0 {
			g.mul(g.x, g.x, g.t)
		}
	}
}

func welch(times [2][]float64) float64 {
	var mean, variance [2]float64
	for i, all := range times {
		slices.Sort(all)
		all = all[:len(all)*9/10]
		if len(all) < 2 {
			return 0
		}
		for _, v := range all {
			mean[i] += v / float64(len(all))
		}
		for _, v := range all {
			variance[i] += (v - mean[i]) * (v - mean[i]) / float64(len(all)-1) / float64(len(all))
		}
	}
	return math.Abs(mean[0]-mean[1]) / math.Sqrt(variance[0]+variance[1])
}
