package batch

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"sync"
)

// Key is a private key of RSA whose operations are done several at a time. It is a crypto.Signer and a crypto.Decrypter.
type Key struct {
	plain       *rsa.PrivateKey
	queue       *Queue
	kernel      *kernel
	size        int // of the modulus, in bytes
	digits      int // of a prime
	primes      [2]prime
	inverse     []uint64 // of the second prime modulo the first, in Montgomery's form
	whole       *modulus // nil: it is too large to be checked in lanes
	wholeDigits int

	mu      sync.Mutex
	blind   *big.Int // r^e
	unblind *big.Int // 1/r
	uses    int
}

type prime struct {
	modulus
	exponent []uint8 // in windows of four bits, the highest first
}

// New prepares a key. An error says why its operations cannot be done in lanes; the key itself can do them.
func New(k *rsa.PrivateKey, q *Queue) (*Key, error) {
	c, _ := serving()
	return newKey(k, q, c)
}

func newKey(k *rsa.PrivateKey, q *Queue, by *kernel) (*Key, error) {
	bits := k.N.BitLen()
	switch {
	case by == nil:
		return nil, errors.New("batch: this processor has no vectors for it (AVX2)")
	case len(k.Primes) != 2:
		return nil, fmt.Errorf("batch: a key of %d primes: want two", len(k.Primes))
	case bits != 2048 && bits != 3072 && bits != 4096:
		return nil, fmt.Errorf("batch: a key of %d bits: want 2048, 3072 or 4096", bits)
	case k.Primes[0].BitLen() != bits/2 || k.Primes[1].BitLen() != bits/2:
		return nil, errors.New("batch: the primes of the key are not of the same size")
	case k.E != 65537:
		return nil, fmt.Errorf("batch: a key with the public exponent %d: want 65537", k.E)
	}
	k.Precompute()
	c := &Key{plain: k, queue: q, kernel: by, size: bits / 8, digits: by.digitsFor(bits / 2)}
	for i, d := range []*big.Int{k.Precomputed.Dp, k.Precomputed.Dq} {
		c.primes[i] = prime{by.newModulus(k.Primes[i], c.digits), windows(d, bits/2)}
	}
	r := new(big.Int).Lsh(big.NewInt(1), uint(by.bits*c.digits))
	c.inverse = by.splitInt(r.Mul(r, k.Precomputed.Qinv).Mod(r, k.Primes[0]), c.digits)
	if n := by.digitsFor(bits); n <= by.most {
		m := by.newModulus(k.N, n)
		c.whole, c.wholeDigits = &m, n
	}
	return c, nil
}

func (c *kernel) newModulus(m *big.Int, digits int) modulus {
	r := new(big.Int).Lsh(big.NewInt(1), uint(2*c.bits*digits))
	return modulus{m: c.splitInt(m, digits), rr: c.splitInt(r.Mod(r, m), digits), k: c.negativeInverse(m)}
}

func windows(d *big.Int, bits int) []uint8 {
	out := make([]uint8, bits/window)
	for i := range out {
		for b := range window {
			out[len(out)-1-i] |= uint8(d.Bit(i*window+b)) << b
		}
	}
	return out
}

// Public is the public key.
func (k *Key) Public() crypto.PublicKey { return k.plain.Public() }

// Sign signs a digest by PSS or PKCS #1 v1.5, as opts say.
func (k *Key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignWithin(nil, random, digest, opts)
}

// SignWithin is Sign for a caller that holds a place among those who compute; nil: none.
func (k *Key) SignWithin(p Place, random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	message, err := k.encode(random, digest, opts)
	if err != nil {
		return nil, err
	}
	return k.private(p, message), nil
}

// Decrypt decrypts by itself: what comes this way is of TLS 1.2 without forward secrecy, and rare.
func (k *Key) Decrypt(random io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return k.plain.Decrypt(random, message, opts)
}

// private raises a message to the private exponent. The result has been checked against the public key.
func (k *Key) private(p Place, message []byte) []byte {
	o := &operation{key: k, done: make(chan struct{}), alone: make(chan struct{}, 1)}
	c := new(big.Int).SetBytes(message)
	var unblind *big.Int
	o.input, unblind = k.blinded(c)
	k.queue.do(p, o)
	if o.output == nil {
		// A fault: what came out is not what the public key makes the input of. It must not leave (a single faulty half gives the
		// key away), and the plain path does it again.
		k.queue.faults.Add(1)
		return k.plainly(message)
	}
	s := new(big.Int).SetBytes(o.output)
	s.Mul(s, unblind).Mod(s, k.plain.N)
	return s.FillBytes(make([]byte, k.size))
}

// blinded multiplies a message by what makes it a random one, and says what takes that out of the result again.
func (k *Key) blinded(c *big.Int) (message []byte, unblind *big.Int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.plain.N
	if k.uses%blindings == 0 {
		for {
			r, err := rand.Int(rand.Reader, n)
			if err != nil {
				panic("batch: no random numbers: " + err.Error()) // crypto/rand does the same
			}
			if k.unblind = new(big.Int).ModInverse(r, n); k.unblind != nil {
				k.blind = new(big.Int).Exp(r, big.NewInt(int64(k.plain.E)), n)
				break
			}
		}
	} else {
		k.blind.Mul(k.blind, k.blind).Mod(k.blind, n)
		k.unblind = new(big.Int).Mul(k.unblind, k.unblind)
		k.unblind.Mod(k.unblind, n)
	}
	k.uses++
	return c.Mul(c, k.blind).Mod(c, n).FillBytes(make([]byte, k.size)), k.unblind
}

// blindings is how many operations share a random number, each with its square of the last one's.
const blindings = 32

// compute does operations whose keys are of one size and one kernel: their halves, for as many of them at a time as there are pairs of lanes,
// and then their checks, a lane for each. (Eight in two groups of four, each with both its halves, take as long as eight first halves and eight
// second ones; four take half of it.)
func compute(list []*operation) {
	c := list[0].key.kernel
	for some := range slices.Chunk(list, c.lanes/2) {
		c.halves(some)
	}
	for some := range slices.Chunk(list, c.lanes) {
		c.check(some)
	}
}

// halves does as many operations as there are pairs of lanes, or fewer: the other lanes then do the last one again. What comes out has not been
// checked.
func (c *kernel) halves(list []*operation) {
	g := newGroup(c, list[0].key.digits)
	defer g.free()
	of := func(lane int) *operation { return list[min(lane/2, len(list)-1)] }
	exponents := make([][]uint8, c.lanes)
	for lane := range c.lanes {
		o := of(lane)
		p := &o.key.primes[lane%2]
		g.lane(lane, &p.modulus)
		exponents[lane] = p.exponent
		low := c.split(o.input, 2*g.digits)
		c.put(g.x, lane, low[:g.digits])
		c.put(g.y, lane, low[g.digits:])
	}
	// The input has twice the bits of a prime: high and low half, each in Montgomery's form, and their sum.
	g.mul(g.x, g.x, g.rr)
	g.mul(g.y, g.y, g.rr)
	g.mul(g.y, g.y, g.rr)
	for lane := range c.lanes {
		sum := c.get(g.x, lane, g.digits)
		for i, v := range c.get(g.y, lane, g.digits) {
			sum[i] += v
		}
		c.carryAll(sum)
		c.put(g.x, lane, sum)
	}
	g.power(exponents)
	halves := g.lower()

	// Garner: the difference of the halves by the inverse of q, modulo p.
	for lane := 0; lane < c.lanes; lane += 2 {
		k := of(lane).key
		d := make([]uint64, g.digits)
		for i := range d {
			d[i] = halves[lane][i] + 8*k.primes[0].m[i] - halves[lane+1][i]
		}
		c.carryAll(d)
		c.put(g.x, lane, d)
		c.put(g.x, lane+1, make([]uint64, g.digits))
		c.put(g.y, lane, k.inverse)
		c.put(g.y, lane+1, make([]uint64, g.digits))
	}
	g.mul(g.x, g.x, g.y)
	for i, o := range list {
		k := o.key
		h := c.get(g.x, 2*i, g.digits)
		c.reduce(h, k.primes[0].m)
		o.unchecked = c.join(c.addProduct(halves[2*i+1], h, k.primes[1].m), k.size)
	}
}

// check raises results to the public exponent, as many as there are lanes at most, and keeps those that give the input again.
func (c *kernel) check(list []*operation) {
	first := list[0].key
	if first.whole == nil {
		for _, o := range list {
			k := o.key.plain
			s := new(big.Int).SetBytes(o.unchecked)
			if s.Cmp(k.N) < 0 && string(s.Exp(s, big.NewInt(int64(k.E)), k.N).FillBytes(make([]byte, o.key.size))) == string(o.input) {
				o.output = o.unchecked
			}
		}
		return
	}
	g := newGroup(c, first.wholeDigits)
	defer g.free()
	for lane := range c.lanes {
		o := list[min(lane, len(list)-1)]
		g.lane(lane, o.key.whole)
		c.put(g.x, lane, c.split(o.unchecked, g.digits))
	}
	g.mul(g.x, g.x, g.rr)
	copy(g.y, g.x)
	for range 16 { // 65537 is 2^16 + 1
		g.sqr(g.x)
	}
	g.mul(g.x, g.x, g.y)
	back := g.lower()
	for i, o := range list {
		if string(c.join(back[i], o.key.size)) == string(o.input) {
			o.output = o.unchecked
		}
	}
}

// plainly is the operation without lanes.
func (k *Key) plainly(message []byte) []byte {
	c := new(big.Int).SetBytes(message)
	input, unblind := k.blinded(c)
	s := new(big.Int).Exp(new(big.Int).SetBytes(input), k.plain.D, k.plain.N)
	s.Mul(s, unblind).Mod(s, k.plain.N)
	return s.FillBytes(make([]byte, k.size))
}
