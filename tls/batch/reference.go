package batch

import "math/bits"

// reference is a kernel in plain Go, for lanes and digits of any number and size: what the assembly is tested against, and has to prove
// itself against before it is used.
func reference(lanes, size int) *kernel {
	c := &kernel{name: "plain Go", lanes: lanes, bits: size, most: 1000, atOnce: 2}
	c.multiply = c.referenceMultiply
	c.square = func(out, a, m, k, sum []uint64, digits int) { c.referenceMultiply(out, a, a, m, k, sum, digits) }
	c.choose = c.referenceChoose
	return c
}

// product is that of two digits, in two: low is below 2^bits.
func (c *kernel) product(x, y uint64) (low, high uint64) {
	h, l := bits.Mul64(x, y)
	return l & c.mask(), h<<(64-c.bits) | l>>c.bits
}

func (c *kernel) referenceMultiply(out, a, b, m, k, sum []uint64, digits int) {
	for lane := range c.lanes {
		at := func(of []uint64, i int) *uint64 { return &of[i*c.lanes+lane] }
		for i := range digits {
			*at(sum, i) = 0
		}
		for i := range digits {
			d := *at(b, i)
			low, _ := c.product(*at(a, 0), d)
			q, _ := c.product((*at(sum, 0)+low)&c.mask(), k[lane])
			var carry uint64 // into the next digit
			for j := range digits {
				lowA, highA := c.product(*at(a, j), d)
				lowM, highM := c.product(*at(m, j), q)
				v := *at(sum, j) + lowA + lowM + carry
				if carry = highA + highM + v>>c.bits; j > 0 { // the lowest one is zero now
					*at(sum, j-1) = v & c.mask()
				}
			}
			*at(sum, digits-1) = carry
		}
		var carry uint64
		for i := range digits {
			v := *at(sum, i) + carry
			*at(out, i), carry = v&c.mask(), v>>c.bits
		}
	}
}

func (c *kernel) referenceChoose(out, table, index []uint64, digits int) {
	n := digits * c.lanes
	for i := range n {
		var v uint64
		for e := range uint64(entries) {
			v |= table[int(e)*n+i] & equalMask(e, index[i%c.lanes])
		}
		out[i] = v
	}
}

// equalMask is all ones if a and b, which are below 2^63, are equal, and else nothing.
func equalMask(a, b uint64) uint64 {
	d := a ^ b
	return (d|-d)>>63 - 1
}
