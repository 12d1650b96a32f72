package batch

import "golang.org/x/sys/cpu"

//go:generate go run ./gen -out kernel_amd64.s -stubs kernel_amd64.go -pkg batch

// kernels are those that this processor and its system have, the best first.
func kernels() []*kernel {
	var list []*kernel
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA { // which the package only says if the system keeps all of the registers
		list = append(list, ifma)
	}
	if cpu.X86.HasAVX2 {
		list = append(list, avx2)
	}
	return list
}

var avx2 = &kernel{name: "AVX2", lanes: 4, bits: 28, most: 127, atOnce: 2,
	multiply: func(out, a, b, m, k, sum []uint64, digits int) {
		n := digits * 4
		_, _, _, _, _, _ = out[n-1], a[n-1], b[n-1], m[n-1], k[3], sum[n+7]
		multiply4(&out[0], &a[0], &b[0], &m[0], &k[0], &sum[0], digits)
	},
	square: func(out, a, m, k, sum []uint64, digits int) {
		n := digits * 4
		_, _, _, _, _ = out[n-1], a[n-1], m[n-1], k[3], sum[2*n+7]
		square4(&out[0], &a[0], &m[0], &k[0], &sum[0], digits)
	},
	choose: func(out, table, index []uint64, digits int) {
		_, _, _ = out[digits*4-1], table[entries*digits*4-1], index[3]
		choose4(&out[0], &table[0], &index[0], digits)
	},
}

var ifma = &kernel{name: "AVX-512 IFMA", lanes: 8, bits: 52, most: 1000, atOnce: 8,
	multiply: func(out, a, b, m, k, sum []uint64, digits int) {
		n := digits * 8
		_, _, _, _, _, _ = out[n-1], a[n-1], b[n-1], m[n-1], k[7], sum[n-1]
		multiply8(&out[0], &a[0], &b[0], &m[0], &k[0], &sum[0], digits)
	},
	square: func(out, a, m, k, sum []uint64, digits int) {
		n := digits * 8
		_, _, _, _, _ = out[n-1], a[n-1], m[n-1], k[7], sum[2*n-1]
		square8(&out[0], &a[0], &m[0], &k[0], &sum[0], digits)
	},
	choose: func(out, table, index []uint64, digits int) {
		_, _, _ = out[digits*8-1], table[entries*digits*8-1], index[7]
		choose8(&out[0], &table[0], &index[0], digits)
	},
}
