package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// With AVX-512 IFMA a number is digits of 52 bits, each a row of eight 64-bit words. A product of two digits comes in halves of 52 bits, the
// low one for its own place of the sum and the high one for the next; 4,096 halves add up without a carry, and 4,096 bits take 320. What a
// word has above its 52 bits is not looked at when it is multiplied, so that sums need no carries and multiples no masks.
const wide = 64

var ifma = &vectors{row: wide, digit: 52, register: ZMM, move: func(from, to Op) { VMOVDQU64(from, to) },
	and: func(x, y, to Op) { VPANDQ(x, y, to) }, ones: ones52, nothing: nothing8}

// allOnes is 64 ones in each word: the ternary function that is true of everything.
func allOnes() VecVirtual {
	v := ZMM()
	VPTERNLOGQ(U8(0xff), v, v, v)
	return v
}

func ones52() VecVirtual {
	v := allOnes()
	VPSRLQ(U8(12), v, v)
	return v
}

func nothing8() VecVirtual {
	v := ZMM()
	VPXORQ(v, v, v)
	return v
}

// low and high add a half of x·y to a sum. y and sum are registers.
func low(x Op, y, sum VecVirtual)  { VPMADD52LUQ(x, y, sum) }
func high(x Op, y, sum VecVirtual) { VPMADD52HUQ(x, y, sum) }

// copied is a register's content in another one.
func copied(from, to VecVirtual) { VMOVDQA64(from, to) }

// heads8 is heads for halves: t and u are the two lowest digits of the sum, and u becomes what is carried into the third.
func heads8(t, u VecVirtual, m, k Register) (m0, m1 VecVirtual) {
	m0 = nothing8()
	low(Mem{Base: k}, t, m0)
	low(Mem{Base: m}, m0, t)
	high(Mem{Base: m}, m0, u)
	low(Mem{Base: m, Disp: wide}, m0, u)
	VPSRLQ(U8(52), t, t)
	VPADDQ(t, u, u)
	m1 = nothing8()
	low(Mem{Base: k}, u, m1)
	low(Mem{Base: m}, m1, u)
	VPSRLQ(U8(52), u, u)
	return m0, m1
}

// factor is a number that is multiplied by two digits, the lower one x and the upper one y, as it goes by: of its digits the last two are kept,
// because each adds to three places of the sum.
type factor struct {
	x, y         VecVirtual
	older, newer VecVirtual
}

// two adds to x0 and x1, which are two places of the sum, what belongs there of the next two digits, at from.
func (f *factor) two(from Register, disp int, x0, x1 VecVirtual) {
	now, next := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: from, Disp: disp}, now)
	VMOVDQU64(Mem{Base: from, Disp: disp + wide}, next)
	low(now, f.x, x0)
	low(next, f.x, x1)
	high(f.newer, f.x, x0)
	high(now, f.x, x1)
	low(f.newer, f.y, x0)
	low(now, f.y, x1)
	high(f.older, f.y, x0)
	high(f.newer, f.y, x1)
	copied(now, f.older)
	copied(next, f.newer)
}

// above adds to x0 and x1 what the last digits have for the two places above them.
func (f *factor) above(x0, x1 VecVirtual) {
	high(f.newer, f.x, x0)
	high(f.newer, f.y, x1)
	low(f.newer, f.y, x0)
	high(f.older, f.y, x0)
}

// multiply8 goes as multiply4 does: two digits of b at a time, and the next multiples of the modulus are found while the rest of the digits are
// worked on. What a and m add is summed up apart, which halves how long one addition waits for another.
func multiply8() {
	TEXT("multiply8", NOSPLIT, "func(out, a, b, m, k, sum *uint64, digits int)")
	Doc("multiply8 sets out to a·b/2^(52·digits) modulo m in each of eight lanes, up to a multiple of m: less than 2m if a·b is less than m·2^(52·digits).",
		"k holds -1/m modulo 2^52, sum is room for digits rows, and digits is even and at least 4. Nothing depends on what the numbers are.")
	out := Load(Param("out"), GP64())
	a, b := Load(Param("a"), GP64()), Load(Param("b"), GP64())
	m, sum := Load(Param("m"), GP64()), Load(Param("sum"), GP64())
	k := Load(Param("k"), GP64())
	digits := Load(Param("digits"), GP64())

	at, left := GP64(), GP64()
	MOVQ(sum, at)
	MOVQ(digits, left)
	ifma.wipe(at, left)

	// ahead finds the multiples for a pass: t and u are the lowest digits of the sum without the products of that pass.
	ahead := func(b Register, t, u VecVirtual) (m0, m1 VecVirtual) {
		x, y := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: a}, x)
		VMOVDQU64(Mem{Base: b}, y)
		low(x, y, t)
		high(x, y, u)
		low(Mem{Base: a, Disp: wide}, y, u)
		low(Mem{Base: b, Disp: wide}, x, u)
		return heads8(t, u, m, k)
	}
	passes := GP64()
	MOVQ(digits, passes)
	SHRQ(U8(1), passes)
	t, carry := nothing8(), nothing8()
	m0, m1 := ahead(b, t, carry)
	pa, pm, ps, inner, next := GP64(), GP64(), GP64(), GP64(), GP64()

	Label("pass")
	of := &factor{x: ZMM(), y: ZMM(), older: ZMM(), newer: ZMM()}
	VMOVDQU64(Mem{Base: b}, of.x)
	VMOVDQU64(Mem{Base: b, Disp: wide}, of.y)
	VMOVDQU64(Mem{Base: a}, of.older)
	VMOVDQU64(Mem{Base: a, Disp: wide}, of.newer)
	off := &factor{x: m0, y: m1, older: ZMM(), newer: ZMM()}
	VMOVDQU64(Mem{Base: m}, off.older)
	VMOVDQU64(Mem{Base: m, Disp: wide}, off.newer)
	two := func(pa, pm, ps Register, disp int) (x0, x1 VecVirtual) {
		x0, x1 = ZMM(), ZMM()
		VMOVDQU64(Mem{Base: ps, Disp: disp}, x0)
		VMOVDQU64(Mem{Base: ps, Disp: disp + wide}, x1)
		z0, z1 := nothing8(), nothing8()
		of.two(pa, disp, x0, x1)
		off.two(pm, disp, z0, z1)
		VPADDQ(z0, x0, x0)
		VPADDQ(z1, x1, x1)
		return x0, x1
	}
	first, second := two(a, m, sum, 2*wide)
	VPADDQ(carry, first, first)
	VMOVDQU64(first, Mem{Base: sum})
	VMOVDQU64(second, Mem{Base: sum, Disp: wide})
	Comment("The next pass has the next digits of b; after the last one they do not matter.")
	LEAQ(Mem{Base: b, Disp: 2 * wide}, next)
	CMPQ(passes, U8(1))
	CMOVQEQ(b, next)
	MOVQ(next, b)
	n0, n1 := ahead(b, first, second)
	LEAQ(Mem{Base: a, Disp: 4 * wide}, pa)
	LEAQ(Mem{Base: m, Disp: 4 * wide}, pm)
	LEAQ(Mem{Base: sum, Disp: 4 * wide}, ps)
	LEAQ(Mem{Base: digits, Disp: -4}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("above"))
	Label("digit")
	x0, x1 := two(pa, pm, ps, 0)
	VMOVDQU64(x0, Mem{Base: ps, Disp: -2 * wide})
	VMOVDQU64(x1, Mem{Base: ps, Disp: -wide})
	ADDQ(I32(2*wide), pa)
	ADDQ(I32(2*wide), pm)
	ADDQ(I32(2*wide), ps)
	DECQ(inner)
	JNZ(LabelRef("digit"))
	Label("above")
	v0, v1 := nothing8(), nothing8()
	of.above(v0, v1)
	off.above(v0, v1)
	VMOVDQU64(v0, Mem{Base: ps, Disp: -2 * wide})
	VMOVDQU64(v1, Mem{Base: ps, Disp: -wide})
	copied(n0, m0)
	copied(n1, m1)
	copied(second, carry)
	DECQ(passes)
	JNZ(LabelRef("pass"))
	ifma.normalize(out, sum, digits)
}

// square8 makes each product of two different digits once. A digit cannot be doubled before it is multiplied, as in square4: its highest bit
// would be lost. So the sum of all of them is doubled, and the squares of the digits are added.
func square8() {
	TEXT("square8", NOSPLIT, "func(out, a, m, k, sum *uint64, digits int)")
	Doc("square8 is multiply8 of a by itself. sum is room for 2·digits rows.")
	out := Load(Param("out"), GP64())
	a, m := Load(Param("a"), GP64()), Load(Param("m"), GP64())
	k, sum := Load(Param("k"), GP64()), Load(Param("sum"), GP64())
	digits := Load(Param("digits"), GP64())

	at, left := GP64(), GP64()
	MOVQ(sum, at)
	LEAQ(Mem{Base: digits, Index: digits, Scale: 1}, left)
	ifma.wipe(at, left)

	// two and above add to the sum in its place.
	two := func(f *factor, from, to Register) {
		x0, x1 := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: to}, x0)
		VMOVDQU64(Mem{Base: to, Disp: wide}, x1)
		f.two(from, 0, x0, x1)
		VMOVDQU64(x0, Mem{Base: to})
		VMOVDQU64(x1, Mem{Base: to, Disp: wide})
	}
	above := func(f *factor, to Register) {
		x0, x1 := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: to}, x0)
		VMOVDQU64(Mem{Base: to, Disp: wide}, x1)
		f.above(x0, x1)
		VMOVDQU64(x0, Mem{Base: to})
		VMOVDQU64(x1, Mem{Base: to, Disp: wide})
	}

	Comment("The products of different digits: each pass has two digits of a, and those above them.")
	pa, ps, inner, rest, left := GP64(), GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: digits, Disp: -2}, rest) // digits above the two
	MOVQ(a, pa)
	MOVQ(sum, at)
	pair := &factor{x: ZMM(), y: ZMM(), older: ZMM(), newer: ZMM()}
	from := GP64()
	// own is the product of the two themselves, of which the high half is left in s.
	own := func(s VecVirtual) {
		p := ZMM()
		VMOVDQU64(Mem{Base: pa}, pair.x)
		VMOVDQU64(Mem{Base: pa, Disp: wide}, pair.y)
		VMOVDQU64(Mem{Base: at, Disp: wide}, p)
		VMOVDQU64(Mem{Base: at, Disp: 2 * wide}, s)
		low(pair.x, pair.y, p)
		high(pair.x, pair.y, s)
		VMOVDQU64(p, Mem{Base: at, Disp: wide})
	}
	Label("row")
	s, p := ZMM(), ZMM()
	own(s)
	VMOVDQU64(Mem{Base: pa, Disp: 2 * wide}, pair.older)
	VMOVDQU64(Mem{Base: pa, Disp: 3 * wide}, pair.newer)
	VMOVDQU64(Mem{Base: at, Disp: 3 * wide}, p)
	low(pair.older, pair.x, s)
	low(pair.newer, pair.x, p)
	high(pair.older, pair.x, p)
	low(pair.older, pair.y, p)
	VMOVDQU64(s, Mem{Base: at, Disp: 2 * wide})
	VMOVDQU64(p, Mem{Base: at, Disp: 3 * wide})
	LEAQ(Mem{Base: pa, Disp: 4 * wide}, from)
	LEAQ(Mem{Base: at, Disp: 4 * wide}, ps)
	LEAQ(Mem{Base: rest, Disp: -2}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("rowend"))
	Label("product")
	two(pair, from, ps)
	ADDQ(I32(2*wide), from)
	ADDQ(I32(2*wide), ps)
	DECQ(inner)
	JNZ(LabelRef("product"))
	Label("rowend")
	above(pair, ps)
	ADDQ(I32(2*wide), pa)
	ADDQ(I32(4*wide), at)
	SUBQ(U8(2), rest)
	JNZ(LabelRef("row"))
	own(s)
	VMOVDQU64(s, Mem{Base: at, Disp: 2 * wide})

	Comment("Twice all that, and the squares of the digits.")
	MOVQ(a, pa)
	MOVQ(sum, at)
	MOVQ(digits, left)
	Label("double")
	x, y, z := ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: pa}, x)
	VMOVDQU64(Mem{Base: at}, y)
	VMOVDQU64(Mem{Base: at, Disp: wide}, z)
	VPADDQ(y, y, y)
	VPADDQ(z, z, z)
	low(x, x, y)
	high(x, x, z)
	VMOVDQU64(y, Mem{Base: at})
	VMOVDQU64(z, Mem{Base: at, Disp: wide})
	ADDQ(U8(wide), pa)
	ADDQ(I32(2*wide), at)
	DECQ(left)
	JNZ(LabelRef("double"))

	Comment("The reduction: two digits vanish with each pass, and the multiples for the next pass are found meanwhile, as in multiply8.")
	passes, pm := GP64(), GP64()
	MOVQ(digits, passes)
	SHRQ(U8(1), passes)
	t, carry := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: sum}, t)
	VMOVDQU64(Mem{Base: sum, Disp: wide}, carry)
	m0, m1 := heads8(t, carry, m, k)
	Label("pass")
	off := &factor{x: m0, y: m1, older: ZMM(), newer: ZMM()}
	VMOVDQU64(Mem{Base: m}, off.older)
	VMOVDQU64(Mem{Base: m, Disp: wide}, off.newer)
	first, second := ZMM(), ZMM()
	VPADDQ(Mem{Base: sum, Disp: 2 * wide}, carry, first)
	VMOVDQU64(Mem{Base: sum, Disp: 3 * wide}, second)
	off.two(m, 2*wide, first, second)
	VMOVDQU64(first, Mem{Base: sum, Disp: 2 * wide})
	VMOVDQU64(second, Mem{Base: sum, Disp: 3 * wide})
	n0, n1 := heads8(first, second, m, k)
	LEAQ(Mem{Base: m, Disp: 4 * wide}, pm)
	LEAQ(Mem{Base: sum, Disp: 4 * wide}, ps)
	LEAQ(Mem{Base: digits, Disp: -4}, inner)
	SHRQ(U8(1), inner)
	JZ(LabelRef("top"))
	Label("digit")
	two(off, pm, ps)
	ADDQ(I32(2*wide), pm)
	ADDQ(I32(2*wide), ps)
	DECQ(inner)
	JNZ(LabelRef("digit"))
	Label("top")
	above(off, ps)
	ADDQ(I32(2*wide), sum)
	copied(n0, m0)
	copied(n1, m1)
	copied(second, carry)
	DECQ(passes)
	JNZ(LabelRef("pass"))
	ifma.normalize(out, sum, digits)
}

// choose8 has a mask for each entry, all at once: there are registers enough, and each row of the result is written once.
func choose8() {
	TEXT("choose8", NOSPLIT, "func(out, table, index *uint64, digits int)")
	Doc("choose8 sets each lane of out to that of one of 16 numbers in table; index says which, for each lane. All of the table is read, whichever it is.")
	out, table := Load(Param("out"), GP64()), Load(Param("table"), GP64())
	index, digits := Load(Param("index"), GP64()), Load(Param("digits"), GP64())
	size := GP64()
	MOVQ(digits, size)
	SHLQ(U8(6), size) // bytes of a number

	want, ones, one, number := ZMM(), allOnes(), ZMM(), nothing8()
	VMOVDQU64(Mem{Base: index}, want)
	VPSRLQ(U8(63), ones, one)
	var masks [16]VecVirtual
	for i := range masks {
		masks[i] = ZMM()
		same := K()
		VPCMPEQQ(number, want, same)
		VMOVDQA64_Z(ones, same, masks[i])
		if i < len(masks)-1 {
			VPADDQ(one, number, number)
		}
	}
	entry := GP64()
	Label("digit")
	MOVQ(table, entry)
	found := nothing8()
	for i := range masks {
		if i > 0 {
			ADDQ(size, entry)
		}
		VPTERNLOGQ(U8(0xf8), Mem{Base: entry}, masks[i], found) // found | mask & entry
	}
	VMOVDQU64(found, Mem{Base: out})
	ADDQ(U8(wide), table)
	ADDQ(U8(wide), out)
	DECQ(digits)
	JNZ(LabelRef("digit"))
	VZEROUPPER()
	RET()
}
