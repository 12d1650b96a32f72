package batch

import (
	"math/big"
	"unsafe"
)

// digitsFor is how many digits a modulus of that size is computed with: an even number, with room above it for four times the modulus.
func digitsFor(bits int) int {
	n := (bits + 2 + digitBits - 1) / digitBits
	return n + n%2
}

// aligned makes room for words that begin at a multiple of 64 bytes: a row that lies across two cache lines costs twice.
func aligned(words int) []uint64 {
	b := make([]uint64, words+8)
	skip := (64 - uintptr(unsafe.Pointer(&b[0]))%64) % 64 / 8
	return b[skip : int(skip)+words : int(skip)+words]
}

// split makes digits of a number in big-endian bytes. What is above the last digit is not looked at.
func split(b []byte, digits int) []uint64 {
	out := make([]uint64, digits)
	var acc uint64
	bits, at := 0, 0
	for i := len(b) - 1; i >= 0 && at < digits; i-- {
		acc |= uint64(b[i]) << bits
		if bits += 8; bits >= digitBits {
			out[at] = acc & digitMask
			at++
			acc >>= digitBits
			bits -= digitBits
		}
	}
	if at < digits {
		out[at] = acc
	}
	return out
}

// splitInt is split of a big integer.
func splitInt(n *big.Int, digits int) []uint64 { return split(n.Bytes(), digits) }

// join makes big-endian bytes of digits, which are below 2^28.
func join(d []uint64, size int) []byte {
	out := make([]byte, size)
	var acc uint64
	bits, at := 0, size-1
	for _, v := range d {
		acc |= v << bits
		bits += digitBits
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
func put(n []uint64, lane int, d []uint64) {
	for i, v := range d {
		n[i*lanes+lane] = v
	}
}

// get is one lane of a number.
func get(n []uint64, lane, digits int) []uint64 {
	out := make([]uint64, digits)
	for i := range out {
		out[i] = n[i*lanes+lane]
	}
	return out
}

// carryAll brings digits that are sums or differences back below 2^28. A negative one is a borrow.
func carryAll(d []uint64) {
	var carry int64
	for i := range d {
		v := int64(d[i]) + carry
		d[i], carry = uint64(v)&digitMask, v>>digitBits
	}
}

// reduce takes m off d if d is not less, in the same time either way.
func reduce(d, m []uint64) {
	var borrow int64
	less := make([]uint64, len(d))
	for i := range d {
		v := int64(d[i]) - int64(m[i]) + borrow
		less[i], borrow = uint64(v)&digitMask, v>>digitBits
	}
	keep := uint64(borrow) // all ones if d was less
	for i := range d {
		d[i] = d[i]&keep | less[i]&^keep
	}
}

// addProduct is d + a·b, with all the digits that it has.
func addProduct(d, a, b []uint64) []uint64 {
	out := make([]uint64, len(a)+len(b))
	for i, x := range a {
		for j, y := range b {
			out[i+j] += x * y // at most 74 of them below 2^56
		}
	}
	for i, v := range d {
		out[i] += v
	}
	var carry uint64
	for i := range out {
		v := out[i] + carry
		out[i], carry = v&digitMask, v>>digitBits
	}
	return out
}
