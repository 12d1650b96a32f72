// Command gen writes the assembly of package batch: go run ./tls/batch/gen -out tls/batch/kernel_amd64.s -stubs tls/batch/kernel_amd64.go
// -pkg batch.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A number is digits of 28 bits, each a row of four 64-bit words, one for each lane: products have 56 bits, so that 148 of them add up
// without a carry, which is what 2,048 bits take.
const row = 32

func main() {
	ConstraintExpr("amd64")
	multiply()
	square()
	choose()
	Generate()
}

// ones is 28 ones in each word. It is made anew where it is needed: registers are dearer than two instructions.
func ones() VecVirtual {
	mask := YMM()
	VPCMPEQD(mask, mask, mask)
	VPSRLQ(U8(36), mask, mask)
	return mask
}

func nothing() VecVirtual {
	zero := YMM()
	VPXOR(zero, zero, zero)
	return zero
}

// wipe sets rows to nothing; left counts them and is used up.
func wipe(at, left Register) {
	zero := nothing()
	Label("clear")
	VMOVDQU(zero, Mem{Base: at})
	ADDQ(U8(row), at)
	DECQ(left)
	JNZ(LabelRef("clear"))
}

// normalize brings the sum's digits below 2^28 and writes them out.
func normalize(out, sum, digits Register) {
	Comment("Carries, at last.")
	mask, c := ones(), nothing()
	Label("normal")
	d := YMM()
	VPADDQ(Mem{Base: sum}, c, d)
	VPSRLQ(U8(28), d, c)
	VPAND(mask, d, d)
	VMOVDQU(d, Mem{Base: out})
	ADDQ(U8(row), sum)
	ADDQ(U8(row), out)
	DECQ(digits)
	JNZ(LabelRef("normal"))
	VZEROUPPER()
	RET()
}

// heads finds the multiples of the modulus that make the two lowest digits of the sum vanish, which are t and u; u becomes what is carried
// into the third.
func heads(t, u VecVirtual, m, k Register) (m0, m1 VecVirtual) {
	mask := ones()
	m0, m1 = YMM(), YMM()
	p := YMM()
	VPMULUDQ(Mem{Base: k}, t, m0)
	VPAND(mask, m0, m0)
	VPMULUDQ(Mem{Base: m}, m0, p)
	VPADDQ(p, t, t)
	VPSRLQ(U8(28), t, t)
	VPADDQ(t, u, u)
	VPMULUDQ(Mem{Base: m, Disp: row}, m0, p)
	VPADDQ(p, u, u)
	VPMULUDQ(Mem{Base: k}, u, m1)
	VPAND(mask, m1, m1)
	VPMULUDQ(Mem{Base: m}, m1, p)
	VPADDQ(p, u, u)
	VPSRLQ(U8(28), u, u)
	return m0, m1
}

// multiply is Montgomery's product of all lanes, two digits of b at a time: that halves how often the sum is read and written. What the
// next two digits of the sum are is known first of all, and with it the next multiples of the modulus, which take forty cycles to find:
// they are found while the rest of the digits are worked on.
func multiply() {
	TEXT("multiply4", NOSPLIT, "func(out, a, b, m, k, sum *uint64, digits int)")
	Doc("multiply4 sets out to a·b/2^(28·digits) modulo m in each of four lanes, up to a multiple of m: less than 2m if a·b is less than m·2^(28·digits).",
		"k holds -1/m modulo 2^28, sum is room for digits+2 rows, and digits is even and at least 4. Nothing depends on what the numbers are.")
	out := Load(Param("out"), GP64())
	a, b := Load(Param("a"), GP64()), Load(Param("b"), GP64())
	m, sum := Load(Param("m"), GP64()), Load(Param("sum"), GP64())
	k := Load(Param("k"), GP64())
	digits := Load(Param("digits"), GP64())

	at, left := GP64(), GP64()
	MOVQ(sum, at)
	LEAQ(Mem{Base: digits, Disp: 2}, left)
	wipe(at, left)

	// ahead finds the multiples for a pass: t and u are the lowest digits of the sum without the products of that pass.
	ahead := func(b Register, t, u VecVirtual) (m0, m1 VecVirtual) {
		x, y, p := YMM(), YMM(), YMM()
		VMOVDQU(Mem{Base: a}, x)
		VMOVDQU(Mem{Base: b}, y)
		VPMULUDQ(x, y, p)
		VPADDQ(p, t, t)
		VPMULUDQ(Mem{Base: a, Disp: row}, y, p)
		VPADDQ(p, u, u)
		VPMULUDQ(Mem{Base: b, Disp: row}, x, p)
		VPADDQ(p, u, u)
		return heads(t, u, m, k)
	}
	passes := GP64()
	MOVQ(digits, passes)
	SHRQ(U8(1), passes)
	t, carry := nothing(), nothing()
	m0, m1 := ahead(b, t, carry)
	pa, pm, ps, inner, next := GP64(), GP64(), GP64(), GP64(), GP64()

	Label("pass")
	b0, b1 := YMM(), YMM()
	VMOVDQU(Mem{Base: b}, b0)
	VMOVDQU(Mem{Base: b, Disp: row}, b1)
	// digit is one digit of the sum, with the four products that belong there. Of a and m it reads one digit and keeps it for the next.
	digit := func(pa, pm, ps Register, i int, beforeA, beforeM, nowA, nowM VecVirtual) VecVirtual {
		w, x, y, z := YMM(), YMM(), YMM(), YMM()
		VPMULUDQ(beforeA, b1, x)
		VPMULUDQ(beforeM, m1, z)
		VMOVDQU(Mem{Base: pa, Disp: i * row}, nowA)
		VMOVDQU(Mem{Base: pm, Disp: i * row}, nowM)
		VPMULUDQ(nowA, b0, w)
		VPMULUDQ(nowM, m0, y)
		VPADDQ(Mem{Base: ps, Disp: i * row}, x, x)
		VPADDQ(w, z, z)
		VPADDQ(y, x, x)
		VPADDQ(z, x, x)
		return x
	}
	lastA, lastM, oddA, oddM := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: a, Disp: row}, lastA)
	VMOVDQU(Mem{Base: m, Disp: row}, lastM)
	low := digit(a, m, sum, 2, lastA, lastM, oddA, oddM)
	VPADDQ(carry, low, low)
	VMOVDQU(low, Mem{Base: sum})
	high := digit(a, m, sum, 3, oddA, oddM, lastA, lastM)
	VMOVDQU(high, Mem{Base: sum, Disp: row})
	Comment("The next pass has the next digits of b; after the last one they do not matter.")
	LEAQ(Mem{Base: b, Disp: 2 * row}, next)
	CMPQ(passes, U8(1))
	CMOVQEQ(b, next)
	MOVQ(next, b)
	n0, n1 := ahead(b, low, high)
	LEAQ(Mem{Base: a, Disp: 4 * row}, pa)
	LEAQ(Mem{Base: m, Disp: 4 * row}, pm)
	LEAQ(Mem{Base: sum, Disp: 4 * row}, ps)
	LEAQ(Mem{Base: digits, Disp: -4}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("above"))
	Label("digit")
	x := digit(pa, pm, ps, 0, lastA, lastM, oddA, oddM)
	VMOVDQU(x, Mem{Base: ps, Disp: -2 * row})
	x = digit(pa, pm, ps, 1, oddA, oddM, lastA, lastM)
	VMOVDQU(x, Mem{Base: ps, Disp: -row})
	ADDQ(U8(2*row), pa)
	ADDQ(U8(2*row), pm)
	ADDQ(U8(2*row), ps)
	DECQ(inner)
	JNZ(LabelRef("digit"))
	Label("above")
	Comment("Above the last digits there is what the second digit of b adds to.")
	v, p := YMM(), YMM()
	VPMULUDQ(lastA, b1, v)
	VPMULUDQ(lastM, m1, p)
	VPADDQ(p, v, v)
	VMOVDQU(v, Mem{Base: ps, Disp: -2 * row})
	VMOVDQU(nothing(), Mem{Base: ps, Disp: -row})
	VMOVDQA(n0, m0)
	VMOVDQA(n1, m1)
	VMOVDQA(high, carry)
	DECQ(passes)
	JNZ(LabelRef("pass"))
	normalize(out, sum, digits)
}

// square is multiply of a number by itself: each product of two different digits is made once, and doubled. That needs the whole square
// before it is reduced, and is a fifth faster.
func square() {
	TEXT("square4", NOSPLIT, "func(out, a, m, k, sum *uint64, digits int)")
	Doc("square4 is multiply4 of a by itself. sum is room for 2·digits+2 rows.")
	out := Load(Param("out"), GP64())
	a, m := Load(Param("a"), GP64()), Load(Param("m"), GP64())
	k, sum := Load(Param("k"), GP64()), Load(Param("sum"), GP64())
	digits := Load(Param("digits"), GP64())

	at, left := GP64(), GP64()
	MOVQ(sum, at)
	LEAQ(Mem{Base: digits, Index: digits, Scale: 1, Disp: 2}, left)
	wipe(at, left)

	Comment("The square: each pass has two digits of a, and those above them.")
	pa, ps, inner := GP64(), GP64(), GP64()
	x0, x1, d0, d1 := YMM(), YMM(), YMM(), YMM()
	rest := GP64() // digits above the two
	LEAQ(Mem{Base: digits, Disp: -2}, rest)
	MOVQ(sum, at)
	own := func() {
		p, q := YMM(), YMM()
		VMOVDQU(Mem{Base: a}, x0)
		VMOVDQU(Mem{Base: a, Disp: row}, x1)
		VPADDQ(x0, x0, d0)
		VPADDQ(x1, x1, d1)
		VPMULUDQ(x0, x0, p)
		VPMULUDQ(d0, x1, q)
		VPADDQ(Mem{Base: at}, p, p)
		VPADDQ(Mem{Base: at, Disp: row}, q, q)
		VMOVDQU(p, Mem{Base: at})
		VMOVDQU(q, Mem{Base: at, Disp: row})
	}
	// two adds the products of two digits, one more and one less significant, with first and second, to two digits of the sum.
	two := func(from, to Register, i int, first, second, before VecVirtual) {
		now, p, q, r, t := YMM(), YMM(), YMM(), YMM(), YMM()
		VPMULUDQ(before, second, p)
		VMOVDQU(Mem{Base: from, Disp: i * row}, now)
		VPMULUDQ(now, first, q)
		VPADDQ(Mem{Base: to, Disp: i * row}, p, p)
		VPMULUDQ(now, second, r)
		VMOVDQU(Mem{Base: from, Disp: (i + 1) * row}, before)
		VPMULUDQ(before, first, t)
		VPADDQ(Mem{Base: to, Disp: (i + 1) * row}, r, r)
		VPADDQ(q, p, p)
		VPADDQ(t, r, r)
		VMOVDQU(p, Mem{Base: to, Disp: i * row})
		VMOVDQU(r, Mem{Base: to, Disp: (i + 1) * row})
	}
	Label("row")
	own()
	before, p, q := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: a, Disp: 2 * row}, before)
	VPMULUDQ(x1, x1, p)
	VPMULUDQ(d0, before, q)
	VPADDQ(Mem{Base: at, Disp: 2 * row}, p, p)
	VPADDQ(q, p, p)
	VMOVDQU(p, Mem{Base: at, Disp: 2 * row})
	VPMULUDQ(before, d1, p)
	VMOVDQU(Mem{Base: a, Disp: 3 * row}, before)
	VPMULUDQ(before, d0, q)
	VPADDQ(Mem{Base: at, Disp: 3 * row}, p, p)
	VPADDQ(q, p, p)
	VMOVDQU(p, Mem{Base: at, Disp: 3 * row})
	LEAQ(Mem{Base: a, Disp: 4 * row}, pa)
	LEAQ(Mem{Base: at, Disp: 4 * row}, ps)
	LEAQ(Mem{Base: rest, Disp: -2}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("rowend"))
	Label("product")
	two(pa, ps, 0, d0, d1, before)
	ADDQ(U8(2*row), pa)
	ADDQ(U8(2*row), ps)
	DECQ(inner)
	JNZ(LabelRef("product"))
	Label("rowend")
	VPMULUDQ(before, d1, p)
	VPADDQ(Mem{Base: ps}, p, p)
	VMOVDQU(p, Mem{Base: ps})
	ADDQ(U8(2*row), a)
	ADDQ(I32(4*row), at)
	SUBQ(U8(2), rest)
	JNZ(LabelRef("row"))
	own()
	VPMULUDQ(x1, x1, p)
	VPADDQ(Mem{Base: at, Disp: 2 * row}, p, p)
	VMOVDQU(p, Mem{Base: at, Disp: 2 * row})

	Comment("The reduction: two digits vanish with each pass, and the multiples for the next pass are found meanwhile, as in multiply4.")
	passes, pm := GP64(), GP64()
	MOVQ(digits, passes)
	SHRQ(U8(1), passes)
	t, carry := YMM(), YMM()
	VMOVDQU(Mem{Base: sum}, t)
	VMOVDQU(Mem{Base: sum, Disp: row}, carry)
	m0, m1 := heads(t, carry, m, k)
	Label("pass")
	last, low, high := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: m, Disp: 2 * row}, last)
	VPMULUDQ(Mem{Base: m, Disp: row}, m1, low)
	VPMULUDQ(last, m0, p)
	VPADDQ(Mem{Base: sum, Disp: 2 * row}, low, low)
	VPADDQ(carry, p, p)
	VPADDQ(p, low, low)
	VMOVDQU(low, Mem{Base: sum, Disp: 2 * row})
	VPMULUDQ(last, m1, high)
	VMOVDQU(Mem{Base: m, Disp: 3 * row}, last)
	VPMULUDQ(last, m0, p)
	VPADDQ(Mem{Base: sum, Disp: 3 * row}, high, high)
	VPADDQ(p, high, high)
	VMOVDQU(high, Mem{Base: sum, Disp: 3 * row})
	n0, n1 := heads(low, high, m, k)
	LEAQ(Mem{Base: m, Disp: 4 * row}, pm)
	LEAQ(Mem{Base: sum, Disp: 4 * row}, ps)
	LEAQ(Mem{Base: digits, Disp: -4}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("top"))
	Label("digit")
	two(pm, ps, 0, m0, m1, last)
	ADDQ(U8(2*row), pm)
	ADDQ(U8(2*row), ps)
	DECQ(inner)
	JNZ(LabelRef("digit"))
	Label("top")
	VPMULUDQ(last, m1, p)
	VPADDQ(Mem{Base: ps}, p, p)
	VMOVDQU(p, Mem{Base: ps})
	ADDQ(U8(2*row), sum)
	VMOVDQA(n0, m0)
	VMOVDQA(n1, m1)
	VMOVDQA(high, carry)
	DECQ(passes)
	JNZ(LabelRef("pass"))
	normalize(out, sum, digits)
}

// choose reads all of a table of 16 numbers, and keeps of each lane the one that is asked for.
func choose() {
	TEXT("choose4", NOSPLIT, "func(out, table, index *uint64, digits int)")
	Doc("choose4 sets each lane of out to that of one of 16 numbers in table; index says which, for each lane. All of the table is read, whichever it is.")
	out, table := Load(Param("out"), GP64()), Load(Param("table"), GP64())
	index, digits := Load(Param("index"), GP64()), Load(Param("digits"), GP64())
	size := GP64()
	MOVQ(digits, size)
	SHLQ(U8(5), size) // bytes of a number
	want, one := YMM(), YMM()
	VMOVDQU(Mem{Base: index}, want)
	VPCMPEQD(one, one, one)
	VPSRLQ(U8(63), one, one)

	Comment("A mask for each entry, four at a time: then the digits go by once for those four.")
	group := GP64()
	MOVQ(U32(4), group)
	number := YMM()
	VPXOR(number, number, number)
	first := GP64()
	XORQ(first, first)
	Label("group")
	var masks [4]VecVirtual
	for i := range masks {
		masks[i] = YMM()
		VPCMPEQQ(number, want, masks[i])
		VPADDQ(one, number, number)
	}
	at, to, left := GP64(), GP64(), GP64()
	MOVQ(table, at)
	MOVQ(out, to)
	MOVQ(digits, left)
	e1, e2, e3 := GP64(), GP64(), GP64()
	Label("digit")
	LEAQ(Mem{Base: at, Index: size, Scale: 1}, e1)
	LEAQ(Mem{Base: at, Index: size, Scale: 2}, e2)
	LEAQ(Mem{Base: e1, Index: size, Scale: 2}, e3)
	w, x, y, z := YMM(), YMM(), YMM(), YMM()
	VPAND(Mem{Base: at}, masks[0], w)
	VPAND(Mem{Base: e1}, masks[1], x)
	VPAND(Mem{Base: e2}, masks[2], y)
	VPAND(Mem{Base: e3}, masks[3], z)
	VPOR(w, x, x)
	VPOR(y, z, z)
	VPOR(x, z, z)
	CMPQ(first, U8(0))
	JE(LabelRef("store"))
	VPOR(Mem{Base: to}, z, z)
	Label("store")
	VMOVDQU(z, Mem{Base: to})
	ADDQ(U8(row), at)
	ADDQ(U8(row), to)
	DECQ(left)
	JNZ(LabelRef("digit"))
	LEAQ(Mem{Base: table, Index: size, Scale: 4}, table)
	INCQ(first)
	DECQ(group)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}
