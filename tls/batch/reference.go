package batch

// The same as the assembly, for one lane after the other: what it is tested against, and what other processors have.

const (
	lanes     = 4
	digitBits = 28
	digitMask = 1<<digitBits - 1
	window    = 4 // bits of an exponent that are taken at once
	entries   = 1 << window
)

// referenceMultiply is multiply4 in plain Go.
func referenceMultiply(out, a, b, m, k, sum []uint64, digits int) {
	for lane := range lanes {
		at := func(of []uint64, i int) *uint64 { return &of[i*lanes+lane] }
		for i := range digits + 2 {
			*at(sum, i) = 0
		}
		for i := range digits {
			d := *at(b, i)
			t := *at(sum, 0) + *at(a, 0)*d
			q := t * k[lane] & digitMask
			carry := (t + *at(m, 0)*q) >> digitBits
			for j := 1; j < digits; j++ {
				*at(sum, j-1) = *at(sum, j) + *at(a, j)*d + *at(m, j)*q + carry
				carry = 0
			}
			*at(sum, digits-1) = 0
		}
		var carry uint64
		for i := range digits {
			v := *at(sum, i) + carry
			*at(out, i), carry = v&digitMask, v>>digitBits
		}
	}
}

// referenceChoose is choose4 in plain Go.
func referenceChoose(out, table, index []uint64, digits int) {
	for i := range digits * lanes {
		var v uint64
		for e := range uint64(entries) {
			v |= table[int(e)*digits*lanes+i] & equalMask(e, index[i%lanes])
		}
		out[i] = v
	}
}

// equalMask is all ones if a and b, which are below 2^63, are equal, and else nothing.
func equalMask(a, b uint64) uint64 {
	d := a ^ b
	return (d|-d)>>63 - 1
}
