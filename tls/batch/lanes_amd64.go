package batch

import "golang.org/x/sys/cpu"

//go:generate go run ./gen -out kernel_amd64.s -stubs kernel_amd64.go -pkg batch

// Supported tells whether this processor has the vectors that a batch is for.
func Supported() bool { return cpu.X86.HasAVX2 }

func multiply(out, a, b, m, k, sum []uint64, digits int) {
	_, _, _, _, _ = out[digits*lanes-1], a[digits*lanes-1], b[digits*lanes-1], m[digits*lanes-1], sum[(digits+2)*lanes-1]
	multiply4(&out[0], &a[0], &b[0], &m[0], &k[0], &sum[0], digits)
}

func square(out, a, m, k, sum []uint64, digits int) {
	_, _, _, _ = out[digits*lanes-1], a[digits*lanes-1], m[digits*lanes-1], sum[(2*digits+2)*lanes-1]
	square4(&out[0], &a[0], &m[0], &k[0], &sum[0], digits)
}

func choose(out, table, index []uint64, digits int) {
	_, _ = out[digits*lanes-1], table[entries*digits*lanes-1]
	choose4(&out[0], &table[0], &index[0], digits)
}
