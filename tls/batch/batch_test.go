package batch

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// keys are made once: to make one takes longer than to use it a thousand times.
var keys = map[int]func() *rsa.PrivateKey{2048: sync.OnceValue(generate(2048)), 3072: sync.OnceValue(generate(3072)), 4096: sync.OnceValue(generate(4096))}

func generate(bits int) func() *rsa.PrivateKey {
	return func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return k
	}
}

func prepared(t testing.TB, bits int, q *Queue, by *kernel) *Key {
	t.Helper()
	k, err := newKey(keys[bits](), q, by)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// edges are numbers below 2^bits, with as little and as much as can be in them, and some beside m.
func edges(bits int, m *big.Int) []*big.Int {
	one := big.NewInt(1)
	all := new(big.Int).Lsh(one, uint(bits))
	all.Sub(all, one)
	alternating := new(big.Int).Div(all, big.NewInt(3))
	list := []*big.Int{new(big.Int), one, all, alternating, new(big.Int).Lsh(one, uint(bits-1)), new(big.Int).Sub(m, one), m, new(big.Int).Add(m, one)}
	for _, n := range list {
		n.And(n, all)
	}
	return list
}

// Every kernel does what the plain Go in its shape does, and that is Montgomery's product as math/big does it: of random numbers and of edges, for
// all sizes of keys, for random moduli and for the largest and smallest ones. A product is less than twice its modulus, and its digits are below
// 2^bits.
func TestMultiply(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	number := func(bits int) *big.Int {
		b := make([]byte, (bits+7)/8)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		n := new(big.Int).SetBytes(b)
		return n.Rsh(n, uint(8*len(b)-bits))
	}
	everyKernel(t, func(t *testing.T, c *kernel) {
		plain := reference(c.lanes, c.bits)
		for _, bits := range []int{3*c.bits + 5, 1024, 1536, 2048, 3072, 4096} {
			digits := c.digitsFor(bits)
			if digits > c.most {
				continue
			}
			n := digits * c.lanes
			a, b, m, k := aligned(n), aligned(n), aligned(n), aligned(c.lanes)
			got, want, sum := aligned(n), aligned(n), aligned(2*n+2*c.lanes)
			rest := edges(bits+2, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
			pairs := make([][2]*big.Int, 0, len(rest)*len(rest))
			for _, x := range rest {
				for _, y := range rest {
					pairs = append(pairs, [2]*big.Int{x, y})
				}
			}
			for range 2 * c.lanes {
				pairs = append(pairs, [2]*big.Int{number(bits + 2), number(bits + 2)})
			}
			for some := range slices.Chunk(pairs, c.lanes) {
				var moduli []*big.Int
				for lane := range c.lanes {
					p := some[lane%len(some)]
					mod := number(bits)
					switch r.IntN(4) {
					case 0: // the largest
						mod.Sub(mod.Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
					case 1: // the smallest with so many bits
						mod.Lsh(big.NewInt(1), uint(bits-1))
					}
					mod.SetBit(mod.SetBit(mod, 0, 1), bits-1, 1)
					moduli = append(moduli, mod)
					c.put(a, lane, c.splitInt(p[0], digits))
					c.put(b, lane, c.splitInt(p[1], digits))
					c.put(m, lane, c.splitInt(mod, digits))
					k[lane] = c.negativeInverse(mod)
				}
				compare := func(what string, x, y []uint64) {
					t.Helper()
					if !slices.Equal(got, want) {
						t.Fatalf("%s of %d bits:\n got %x\nwant %x", what, bits, got, want)
					}
					for lane, mod := range moduli {
						rInverse := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), uint(digits*c.bits)), mod)
						expected := new(big.Int).Mul(c.whole(x, lane, digits), c.whole(y, lane, digits))
						expected.Mul(expected, rInverse).Mod(expected, mod)
						found := c.whole(got, lane, digits)
						if found.Cmp(new(big.Int).Lsh(mod, 1)) >= 0 || found.Mod(found, mod).Cmp(expected) != 0 {
							t.Fatalf("%s of %d bits, lane %d: %x, want %x modulo %x", what, bits, lane, found, expected, mod)
						}
					}
				}
				c.multiply(got, a, b, m, k, sum, digits)
				plain.multiply(want, a, b, m, k, sum, digits)
				compare("product", a, b)
				c.square(got, a, m, k, sum, digits)
				plain.square(want, a, m, k, sum, digits)
				compare("square", a, a)
			}
		}
	})
}

func (c *kernel) whole(n []uint64, lane, digits int) *big.Int {
	return new(big.Int).SetBytes(c.join(c.get(n, lane, digits), (digits*c.bits+7)/8))
}

func TestChoose(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3, 4))
	everyKernel(t, func(t *testing.T, c *kernel) {
		for _, digits := range []int{4, c.digitsFor(1024), c.digitsFor(2048)} {
			table := c.random(r, entries*digits, false)
			for range 20 {
				index := aligned(c.lanes)
				for lane := range index {
					index[lane] = r.Uint64N(entries)
				}
				got := aligned(digits * c.lanes)
				c.choose(got, table, index, digits)
				for i := range got {
					if got[i] != table[int(index[i%c.lanes])*digits*c.lanes+i] {
						t.Fatalf("word %d is of another entry than %d", i, index[i%c.lanes])
					}
				}
			}
		}
	})
}

// Powers are those of math/big, for exponents at the edges, too.
func TestPower(t *testing.T) {
	everyKernel(t, func(t *testing.T, c *kernel) {
		const bits = 128
		exponents := edges(bits, big.NewInt(5))
		mod, _ := new(big.Int).SetString("fedcba98765432100123456789abcdef", 16)
		bases := edges(bits, mod)
		for from := 0; from < len(exponents); from += c.lanes {
			g := newGroup(c, c.digitsFor(bits))
			m := c.newModulus(mod, g.digits)
			all := make([][]uint8, c.lanes)
			for lane := range c.lanes {
				g.lane(lane, &m)
				all[lane] = windows(exponents[from+lane], bits)
				c.put(g.x, lane, c.splitInt(bases[(from+3*lane)%len(bases)], g.digits))
			}
			g.mul(g.x, g.x, g.rr)
			g.power(all)
			for lane, d := range g.lower() {
				base, exponent := bases[(from+3*lane)%len(bases)], exponents[from+lane]
				want := new(big.Int).Exp(base, exponent, mod)
				if got := new(big.Int).SetBytes(c.join(d, bits/8)); got.Cmp(want) != 0 {
					t.Errorf("%x to %x: %x, want %x", base, exponent, got, want)
				}
			}
			g.free()
		}
	})
}

func TestSplitAndJoin(t *testing.T) {
	for _, c := range []*kernel{reference(4, 28), reference(8, 52)} {
		for size := range 64 {
			b := make([]byte, size)
			rand.Read(b)
			if back := c.join(c.split(b, 20), size); !bytes.Equal(back, b) {
				t.Errorf("%x became %x", b, back)
			}
		}
	}
}

// Signatures are what crypto/rsa takes, of every size, form and hash.
func TestSignatures(t *testing.T) {
	for _, c := range kernels() {
		t.Run(c.name, func(t *testing.T) {
			q := &Queue{Delay: time.Minute}
			for _, bits := range []int{2048, 3072, 4096} {
				k := prepared(t, bits, q, c)
				for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
					for _, opts := range []crypto.SignerOpts{h, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: h}} {
						signs(t, k, h, opts)
					}
				}
			}
			if _, _, faults := q.Counts(); faults != 0 {
				t.Errorf("%d faults", faults)
			}
		})
	}
}

// signs makes a signature and asks crypto/rsa what it thinks of it.
func signs(t *testing.T, k *Key, h crypto.Hash, opts crypto.SignerOpts) {
	t.Helper()
	f := h.New()
	f.Write([]byte("message"))
	digest := f.Sum(nil)
	signature, err := k.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := opts.(*rsa.PSSOptions); ok {
		err = rsa.VerifyPSS(&k.plain.PublicKey, h, digest, signature, o)
	} else {
		err = rsa.VerifyPKCS1v15(&k.plain.PublicKey, h, digest, signature)
		if plain, _ := rsa.SignPKCS1v15(nil, k.plain, h, digest); !bytes.Equal(plain, signature) {
			t.Error("another signature than crypto/rsa's")
		}
	}
	if err != nil {
		t.Errorf("%d bits, %v, %T: %v", k.plain.N.BitLen(), h, opts, err)
	}
}

// The kernel that cannot run everywhere signs, too, and could check keys of every size in its lanes.
func TestSignaturesInterpreted(t *testing.T) {
	q := &Queue{Delay: time.Minute}
	for _, bits := range []int{2048, 3072, 4096} {
		if k := prepared(t, bits, q, ifmaAnywhere()); k.whole == nil {
			t.Errorf("%d bits are not checked in lanes", bits)
		}
	}
	signs(t, prepared(t, 2048, q, ifmaAnywhere()), crypto.SHA256, crypto.SHA256)
	signs(t, prepared(t, 3072, q, ifmaAnywhere()), crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if n, _, faults := q.Counts(); n != 2 || faults != 0 {
		t.Errorf("%d operations, %d faults", n, faults)
	}
}

// Many at once: everybody gets his own signature, also with other keys, and as many are done at a time as the kernel gathers.
func TestCompany(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	everyKernel(t, func(t *testing.T, c *kernel) {
		q := &Queue{Delay: time.Minute}
		own := prepared(t, 2048, q, c)
		others, err := newKey(other, q, c)
		if err != nil {
			t.Fatal(err)
		}
		count := c.atOnce
		if slices.Contains(kernels(), c) {
			count = 40
		}
		var all sync.WaitGroup
		expected := make([]func(), count)
		for i := range expected {
			expected[i] = q.Expect()
		}
		for i, over := range expected {
			k := own
			if i%3 == 0 {
				k = others
			}
			all.Go(func() {
				digest := sha256.Sum256(fmt.Append(nil, i))
				signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
				over()
				if err == nil {
					err = rsa.VerifyPKCS1v15(&k.plain.PublicKey, crypto.SHA256, digest[:], signature)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n, batches, faults := q.Counts(); n != int64(count) || batches != int64(count/c.atOnce) || faults != 0 {
			t.Errorf("%d operations in %d batches, %d faults", n, batches, faults)
		}
	})
}

// Who is alone does not wait, and who waits for others in vain does not wait for longer than the delay.
func TestNobodyWaitsAlone(t *testing.T) {
	q := &Queue{Delay: time.Hour}
	k := prepared(t, 2048, q, here())
	digest := sha256.Sum256(nil)
	over := q.Expect()
	if _, err := k.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil { // or it would take an hour
		t.Fatal(err)
	}
	over()

	// Two, of whom one never comes, and does not say so before the other has come.
	over, gone := q.Expect(), q.Expect()
	var one sync.WaitGroup
	one.Go(func() {
		defer over()
		if _, err := k.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			t.Error(err)
		}
	})
	for waiting := 0; waiting == 0; runtime.Gosched() {
		q.mu.Lock()
		waiting = q.waiting
		q.mu.Unlock()
	}
	gone()
	one.Wait()

	// Two of other sizes have nothing to wait for in each other.
	other := prepared(t, 3072, q, here())
	both := []func(){q.Expect(), q.Expect()}
	for i, k := range []*Key{k, other} {
		one.Go(func() {
			defer both[i]()
			if _, err := k.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				t.Error(err)
			}
		})
	}
	one.Wait()

	q.Delay = time.Millisecond
	defer q.Expect()()
	defer q.Expect()() // who never comes
	if _, err := k.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
}

// A result that is wrong does not leave: the operation is done again, and counted, and its neighbours do not notice. Once it is a wrong exponent, and
// then a lane that computes wrongly once, in either half and in the check.
func TestFaults(t *testing.T) {
	everyKernel(t, func(t *testing.T, c *kernel) {
		q := &Queue{Delay: time.Minute}
		good, bad := prepared(t, 2048, q, c), prepared(t, 2048, q, c)
		bad.primes[1].exponent = slices.Clone(bad.primes[1].exponent)
		bad.primes[1].exponent[100] ^= 1
		wantFaults(t, q, []*Key{good, bad}, 1)
	})
	for _, c := range append(kernels(), ifmaAnywhere()) {
		for _, at := range []struct {
			bits, product, lane int // the product or square of that size which goes wrong, and where
		}{{1024, 500, 0}, {1024, 3, 1}, {2048, 10, 0}} {
			t.Run(fmt.Sprintf("%s, product %d of %d bits, lane %d", c.name, at.product, at.bits, at.lane), func(t *testing.T) {
				count := 0
				spoil := func(out []uint64, digits int) {
					if digits == c.digitsFor(at.bits) {
						if count++; count == at.product {
							out[at.lane] ^= 1 << 20
						}
					}
				}
				failing := *c
				failing.multiply = func(out, a, b, m, k, sum []uint64, digits int) {
					c.multiply(out, a, b, m, k, sum, digits)
					spoil(out, digits)
				}
				failing.square = func(out, a, m, k, sum []uint64, digits int) {
					c.square(out, a, m, k, sum, digits)
					spoil(out, digits)
				}
				q := &Queue{Delay: time.Minute}
				k := prepared(t, 2048, q, &failing)
				wantFaults(t, q, []*Key{k, k}, 1)
			})
		}
	}
}

// wantFaults has two keys sign in one batch, and expects good signatures and so many faults.
func wantFaults(t *testing.T, q *Queue, keys []*Key, want int64) {
	t.Helper()
	digest := sha256.Sum256(nil)
	var all sync.WaitGroup
	expected := []func(){q.Expect(), q.Expect()}
	for i, k := range keys {
		all.Go(func() {
			defer expected[i]()
			signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
			if err == nil {
				err = rsa.VerifyPKCS1v15(&k.plain.PublicKey, crypto.SHA256, digest[:], signature)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, batches, faults := q.Counts(); faults != want || batches != 1 {
		t.Errorf("%d faults in %d batches, want %d in 1", faults, batches, want)
	}
}

// here is what computes on this machine, or else what needs no machine.
func here() *kernel {
	if c, _ := serving(); c != nil {
		return c
	}
	return reference(4, 28)
}

func TestDecrypt(t *testing.T) {
	k := prepared(t, 2048, &Queue{}, here())
	secret, err := rsa.EncryptPKCS1v15(rand.Reader, &k.plain.PublicKey, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Decrypt(rand.Reader, secret, nil); string(got) != "secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestUnfitKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(small, &Queue{}); err == nil {
		t.Error("a key of 1,024 bits was taken")
	}
}

func FuzzPrivate(f *testing.F) {
	q := &Queue{}
	all := []*Key{prepared(f, 2048, q, ifmaAnywhere())}
	for _, c := range kernels() {
		all = append(all, prepared(f, 2048, q, c))
	}
	f.Add([]byte{1}, []byte{2}, uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 255), []byte{}, uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, which uint8) {
		k := all[0] // interpreted, and slow: every once in a while
		if which%64 != 0 && len(all) > 1 {
			k = all[1+int(which)%(len(all)-1)]
		}
		for _, in := range [][]byte{a, b} {
			c := new(big.Int).SetBytes(in)
			c.Mod(c, k.plain.N)
			want := new(big.Int).Exp(c, k.plain.D, k.plain.N)
			got := k.private(nil, c.FillBytes(make([]byte, k.size)))
			if new(big.Int).SetBytes(got).Cmp(want) != 0 {
				t.Fatalf("%x: %x, want %x", c, got, want)
			}
		}
		if q.faults.Load() > 0 {
			t.Fatal("a fault")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		b.Run(fmt.Sprintf("%d/crypto-rsa", bits), func(b *testing.B) {
			k := keys[bits]()
			digest := make([]byte, 32)
			for b.Loop() {
				rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest, nil)
			}
		})
		c := here()
		for _, fill := range []int{1, c.atOnce} {
			b.Run(fmt.Sprintf("%d/fill-%d", bits, fill), func(b *testing.B) {
				k := prepared(b, bits, &Queue{}, c)
				list := make([]*operation, fill)
				message := make([]byte, k.size)
				rand.Read(message[1:])
				for b.Loop() {
					for i := range list {
						c := new(big.Int).SetBytes(message)
						list[i] = &operation{key: k}
						list[i].input, _ = k.blinded(c)
					}
					compute(list)
					for _, o := range list {
						if o.output == nil {
							b.Fatal("a fault")
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(fill), "µs/operation")
			})
		}
	}
}
