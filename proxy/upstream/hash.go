package upstream

import (
	"encoding/binary"
	"math/bits"
)

// Endpoints have to be placed where Envoy places them, or a mesh of both would send one key to two endpoints. Hence its two hashes:
// xxHash64, and MurmurHash2 as the C++ library hashes strings with it.

const (
	xx1 uint64 = 0x9e3779b185ebca87
	xx2 uint64 = 0xc2b2ae3d27d4eb4f
	xx3 uint64 = 0x165667b19e3779f9
	xx4 uint64 = 0x85ebca77c2b2ae63
	xx5 uint64 = 0x27d4eb2f165667c5
)

func xxRound(acc, lane uint64) uint64 { return bits.RotateLeft64(acc+lane*xx2, 31) * xx1 }

func xxMerge(h, acc uint64) uint64 { return (h^xxRound(0, acc))*xx1 + xx4 }

// xxHash64 hashes as the specification of xxHash, version 0.1.1, says.
func xxHash64(b []byte, seed uint64) uint64 {
	n := uint64(len(b))
	var h uint64
	if n >= 32 {
		a1, a2, a3, a4 := seed+xx1+xx2, seed+xx2, seed, seed-xx1
		for ; len(b) >= 32; b = b[32:] {
			a1 = xxRound(a1, binary.LittleEndian.Uint64(b))
			a2 = xxRound(a2, binary.LittleEndian.Uint64(b[8:]))
			a3 = xxRound(a3, binary.LittleEndian.Uint64(b[16:]))
			a4 = xxRound(a4, binary.LittleEndian.Uint64(b[24:]))
		}
		h = bits.RotateLeft64(a1, 1) + bits.RotateLeft64(a2, 7) + bits.RotateLeft64(a3, 12) + bits.RotateLeft64(a4, 18)
		for _, a := range [...]uint64{a1, a2, a3, a4} {
			h = xxMerge(h, a)
		}
	} else {
		h = seed + xx5
	}
	h += n
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^xxRound(0, binary.LittleEndian.Uint64(b)), 27)*xx1 + xx4
	}
	if len(b) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(b))*xx1, 23)*xx2 + xx3
		b = b[4:]
	}
	for _, c := range b {
		h = bits.RotateLeft64(h^uint64(c)*xx5, 11) * xx1
	}
	h = (h ^ h>>33) * xx2
	h = (h ^ h>>29) * xx3
	return h ^ h>>32
}

// murmur2 hashes as the C++ library's _Hash_bytes does with 64 bits, from its seed.
func murmur2(b []byte) uint64 {
	const mul, seed uint64 = 0xc6a4a7935bd1e995, 0xc70f6907
	mix := func(v uint64) uint64 { return v ^ v>>47 }
	h := seed ^ uint64(len(b))*mul
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ mix(binary.LittleEndian.Uint64(b)*mul)*mul) * mul
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * mul
	}
	return mix(mix(h) * mul)
}

// twister is the Mersenne Twister of 32 bits (Matsumoto and Nishimura, 1998): the order in which Envoy probes other endpoints when
// the one that a hash leads to has too much under way.
type twister struct {
	state [624]uint32
	at    int
}

func (t *twister) seed(s uint32) {
	t.state[0] = s
	for i := 1; i < len(t.state); i++ {
		s = 1812433253*(s^s>>30) + uint32(i)
		t.state[i] = s
	}
	t.at = len(t.state)
}

func (t *twister) next() uint32 {
	const n, m = 624, 397
	if t.at == n {
		for i := range n {
			y := t.state[i]&0x80000000 | t.state[(i+1)%n]&0x7fffffff
			t.state[i] = t.state[(i+m)%n] ^ y>>1 ^ y&1*0x9908b0df
		}
		t.at = 0
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below is a number from 0 to n-1.
func (t *twister) below(n uint32) uint32 {
	for {
		if x := uint64(t.next()) / (1 << 32 / uint64(n)); x < uint64(n) {
			return uint32(x)
		}
	}
}
