//go:build !amd64

package batch

// Supported tells whether this processor has the vectors that a batch is for.
func Supported() bool { return false }

func multiply(out, a, b, m, k, sum []uint64, digits int) {
	referenceMultiply(out, a, b, m, k, sum, digits)
}

func square(out, a, m, k, sum []uint64, digits int) {
	referenceMultiply(out, a, a, m, k, sum, digits)
}

func choose(out, table, index []uint64, digits int) { referenceChoose(out, table, index, digits) }
