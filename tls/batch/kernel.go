package batch

import (
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"sync"
)

// kernel is one way to compute with a number in each of several lanes. A number is digits, each a row of 64-bit words, one for each lane.
type kernel struct {
	name   string
	lanes  int
	bits   int // of a digit
	most   int // digits of a modulus whose products add up within 64 bits
	atOnce int // operations that are gathered. Each takes two lanes for its halves, and one for its check

	// What the assembly is; a product is as multiply4 and multiply8 say.
	multiply func(out, a, b, m, k, sum []uint64, digits int)
	square   func(out, a, m, k, sum []uint64, digits int)
	choose   func(out, table, index []uint64, digits int)
}

const (
	window  = 4 // bits of an exponent that are taken at once: with five the table would be as dear as what it saves
	entries = 1 << window
)

// mask is a digit of ones.
func (c *kernel) mask() uint64 { return 1<<c.bits - 1 }

// serving is what computes here, and why a better one does not. It is chosen once: the first of those that this processor has that computes what
// the plain Go beside it does. What cannot be tried where it is written has to show itself where it runs.
var serving = sync.OnceValues(func() (*kernel, error) { return firstProven(kernels()) })

func firstProven(list []*kernel) (*kernel, error) {
	var refused error
	for _, c := range list {
		err := c.prove()
		if err == nil {
			return c, refused
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

// Supported tells whether this processor has vectors that a batch can be done in.
func Supported() bool {
	c, _ := serving()
	return c != nil
}

// Serving is the name of what computes here; empty: nothing. An error says what this processor has but does not compute rightly, and is not used.
func Serving() (name string, refused error) {
	c, refused := serving()
	if c == nil {
		return "", refused
	}
	return c.name, refused
}

// prove has the kernel compute what is known: products, squares and choices of the least size and of all that keys have, of random digits and of the
// largest and smallest ones, in room where there was something before. It takes some milliseconds.
func (c *kernel) prove() error {
	r := mathrand.New(mathrand.NewPCG(52, 28))
	plain := reference(c.lanes, c.bits)
	digits := c.digitsFor(1024)
	table, index := c.random(r, entries*digits, false), aligned(c.lanes)
	got, want := aligned(digits*c.lanes), aligned(digits*c.lanes)
	for first := range uint64(entries) {
		for lane := range index {
			index[lane] = (first + 5*uint64(lane)) % entries
		}
		c.choose(got, table, index, digits)
		if plain.choose(want, table, index, digits); !slices.Equal(got, want) {
			return fmt.Errorf("batch: %s: another entry of a table than asked for", c.name)
		}
	}
	for _, bits := range []int{3 * c.bits, 1024, 1536, 2048, 3072, 4096} {
		digits := c.digitsFor(bits)
		if digits > c.most {
			continue
		}
		n := digits * c.lanes
		for round := range 2 {
			a, b, m := c.random(r, digits, round == 1), c.random(r, digits, round == 1), c.random(r, digits, round == 1)
			k := aligned(c.lanes)
			for lane := range c.lanes {
				m[lane] |= 1
				m[n-c.lanes+lane] >>= 4 // the room that digitsFor leaves
				b[n-c.lanes+lane] >>= 4
				k[lane] = c.negativeInverse(new(big.Int).SetUint64(m[lane]))
			}
			got, want, sum := aligned(n), aligned(n), c.random(r, 2*digits+2, false)
			c.multiply(got, a, b, m, k, sum, digits)
			if plain.multiply(want, a, b, m, k, sum, digits); !slices.Equal(got, want) {
				return fmt.Errorf("batch: %s: a product of %d bits is wrong", c.name, bits)
			}
			copy(sum, a)
			c.square(got, b, m, k, sum, digits)
			if plain.square(want, b, m, k, sum, digits); !slices.Equal(got, want) {
				return fmt.Errorf("batch: %s: a square of %d bits is wrong", c.name, bits)
			}
		}
	}
	return nil
}

// random is digits for all lanes; at the edge: each is one of the smallest or of the largest.
func (c *kernel) random(r *mathrand.Rand, digits int, edge bool) []uint64 {
	out := aligned(digits * c.lanes)
	for i := range out {
		out[i] = r.Uint64() & c.mask()
		if edge {
			out[i] = []uint64{0, c.mask(), 1, c.mask() - 1}[r.IntN(4)]
		}
	}
	return out
}
