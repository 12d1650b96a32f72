package batch

import (
	"math/big"
	"unsafe"
)

// digitsFor is how many digits a modulus of that size is computed with: an even number, with room above it for sixteen times the modulus,
// which is more than any sum that is multiplied.
func (c *kernel) digitsFor(bits int) int {
	n := (bits + 4 + c.bits - 1) / c.bits
	return n + n%2
}

// negativeInverse is -1/m modulo 2^bits; m is odd.
func (c *kernel) negativeInverse(m *big.Int) uint64 {
	base := new(big.Int).Lsh(big.NewInt(1), uint(c.bits))
	k := new(big.Int).ModInverse(m, base)
	return base.Sub(base, k).Uint64() & c.mask()
}

// aligned makes room for words that begin at a multiple of 64 bytes: a row that lies across two cache lines costs twice.
func aligned(words int) []uint64 {
	b := make([]uint64, words+8)
	skip := (64 - uintptr(unsafe.Pointer(&b[0]))%64) % 64 / 8
	return b[skip : int(skip)+words : int(skip)+words]
}

// split makes digits of a number in big-endian bytes. What is above the last digit is not looked at.
func (c *kernel) split(b []byte, digits int) []uint64 {
	out := make([]uint64, digits)
	var acc uint64
	bits, at := 0, 0
	for i := len(b) - 1; i >= 0 && at < digits; i-- {
		acc |= uint64(b[i]) << bits
		if bits += 8; bits >= c.bits {
			out[at] = acc & c.mask()
			at++
			acc >>= c.bits
			bits -= c.bits
		}
	}
	if at < digits {
		out[at] = acc
	}
	return out
}

// splitInt is split of a big integer.
func (c *kernel) splitInt(n *big.Int, digits int) []uint64 { return c.split(n.Bytes(), digits) }

// join makes big-endian bytes of digits, which are below 2^bits.
func (c *kernel) join(d []uint64, size int) []byte {
	out := make([]byte, size)
	var acc uint64
	bits, at := 0, size-1
	for _, v := range d {
		acc |= v << bits
		bits += c.bits
		for bits >= 8 && at >= 0 {
			out[at] = byte(acc)
			at--
			acc >>= 8
			bits -= 8
		}
	}
	for at >= 0 {
		out[at] = byte(acc)
		acc >>= 8
		at--
	}
	return out
}

// put sets one lane of a number.
func (c *kernel) put(n []uint64, lane int, d []uint64) {
	for i, v := range d {
		n[i*c.lanes+lane] = v
	}
}

// get is one lane of a number.
func (c *kernel) get(n []uint64, lane, digits int) []uint64 {
	out := make([]uint64, digits)
	for i := range out {
		out[i] = n[i*c.lanes+lane]
	}
	return out
}

// carryAll brings digits that are sums or differences back below 2^bits. A negative one is a borrow.
func (c *kernel) carryAll(d []uint64) {
	var carry int64
	for i := range d {
		v := int64(d[i]) + carry
		d[i], carry = uint64(v)&c.mask(), v>>c.bits
	}
}

// reduce takes m off d if d is not less, in the same time either way.
func (c *kernel) reduce(d, m []uint64) {
	var borrow int64
	less := make([]uint64, len(d))
	for i := range d {
		v := int64(d[i]) - int64(m[i]) + borrow
		less[i], borrow = uint64(v)&c.mask(), v>>c.bits
	}
	keep := uint64(borrow) // all ones if d was less
	for i := range d {
		d[i] = d[i]&keep | less[i]&^keep
	}
}

// addProduct is d + a·b, with all the digits that it has.
func (c *kernel) addProduct(d, a, b []uint64) []uint64 {
	out := make([]uint64, len(a)+len(b))
	for i, x := range a {
		for j, y := range b {
			low, high := c.product(x, y)
			out[i+j] += low
			out[i+j+1] += high
		}
	}
	for i, v := range d {
		out[i] += v
	}
	var carry uint64
	for i := range out {
		v := out[i] + carry
		out[i], carry = v&c.mask(), v>>c.bits
	}
	return out
}
