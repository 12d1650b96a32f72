// Command gen writes the assembly of package batch: go run ./tls/batch/gen -out tls/batch/kernel_amd64.s -stubs tls/batch/kernel_amd64.go
// -pkg batch.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	multiply4()
	square4()
	choose4()
	multiply8()
	square8()
	choose8()
	Generate()
}

// vectors are what the kernels have in common, in the words of one set of instructions.
type vectors struct {
	row      int // of a digit of all lanes, in bytes
	digit    int // its bits
	register func() VecVirtual
	move     func(from, to Op)
	and      func(x, y, to Op)
	ones     func() VecVirtual // as many in each word as a digit has bits
	nothing  func() VecVirtual
}

// wipe sets rows to nothing; left counts them and is used up.
func (v *vectors) wipe(at, left Register) {
	zero := v.nothing()
	Label("clear")
	v.move(zero, Mem{Base: at})
	ADDQ(U8(v.row), at)
	DECQ(left)
	JNZ(LabelRef("clear"))
}

// normalize brings the sum's digits below 2^digit and writes them out.
func (v *vectors) normalize(out, sum, digits Register) {
	Comment("Carries, at last.")
	mask, c := v.ones(), v.nothing()
	Label("normal")
	d := v.register()
	VPADDQ(Mem{Base: sum}, c, d)
	VPSRLQ(U8(v.digit), d, c)
	v.and(mask, d, d)
	v.move(d, Mem{Base: out})
	ADDQ(U8(v.row), sum)
	ADDQ(U8(v.row), out)
	DECQ(digits)
	JNZ(LabelRef("normal"))
	VZEROUPPER()
	RET()
}
