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

func prepared(t testing.TB, bits int, q *Queue) *Key {
	t.Helper()
	k, err := New(keys[bits](), q)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// random fills digits.
func random(r *mathrand.Rand, n int, edge bool) []uint64 {
	out := aligned(n)
	for i := range out {
		out[i] = r.Uint64() & digitMask
		if edge {
			out[i] = []uint64{0, digitMask, 1, digitMask - 1}[r.IntN(4)]
		}
	}
	return out
}

// The assembly does what the plain Go beside it does, and both do Montgomery's product as math/big does it.
func TestMultiply(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for _, digits := range []int{4, 38, 56, 74, 110} {
		for round := range 200 {
			n := digits * lanes
			a, b, m := random(r, n, round%2 == 1), random(r, n, round%3 == 1), random(r, n, round%5 == 1)
			k := aligned(lanes)
			for lane := range lanes {
				m[lane] |= 1
				m[(digits-1)*lanes+lane] = 0 // the room that digitsFor leaves
				b[(digits-1)*lanes+lane] = 0
				inverse := new(big.Int).ModInverse(new(big.Int).SetUint64(m[lane]), big.NewInt(1<<digitBits))
				k[lane] = (1<<digitBits - inverse.Uint64()) & digitMask
			}
			got, want, sum := aligned(n), aligned(n), aligned(n+2*lanes)
			multiply(got, a, b, m, k, sum, digits)
			referenceMultiply(want, a, b, m, k, sum, digits)
			if !slices.Equal(got, want) {
				t.Fatalf("%d digits, round %d:\n got %x\nwant %x", digits, round, got, want)
			}
			twice, wide := aligned(n), aligned(2*n+2*lanes)
			square(got, a, m, k, wide, digits)
			multiply(twice, a, a, m, k, sum, digits)
			if !slices.Equal(got, twice) {
				t.Fatalf("%d digits, round %d: the square is another one than the product", digits, round)
			}
			multiply(got, a, b, m, k, sum, digits)
			for lane := range lanes {
				mod := whole(m, lane, digits)
				if mod.Sign() == 0 || mod.Bit(0) == 0 {
					continue
				}
				rInverse := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), uint(digits*digitBits)), mod)
				if rInverse == nil {
					continue
				}
				expected := new(big.Int).Mul(whole(a, lane, digits), whole(b, lane, digits))
				expected.Mul(expected, rInverse).Mod(expected, mod)
				if found := whole(got, lane, digits); new(big.Int).Mod(found, mod).Cmp(expected) != 0 {
					t.Fatalf("%d digits, round %d, lane %d: %x, want %x modulo %x", digits, round, lane, found, expected, mod)
				}
			}
		}
	}
}

func whole(n []uint64, lane, digits int) *big.Int {
	return new(big.Int).SetBytes(join(get(n, lane, digits), (digits*digitBits+7)/8))
}

func TestChoose(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3, 4))
	for _, digits := range []int{4, 38, 74} {
		table := random(r, entries*digits*lanes, false)
		for range 100 {
			index := aligned(lanes)
			for lane := range index {
				index[lane] = r.Uint64N(entries)
			}
			got, want := aligned(digits*lanes), aligned(digits*lanes)
			choose(got, table, index, digits)
			referenceChoose(want, table, index, digits)
			if !slices.Equal(got, want) {
				t.Fatal("another entry")
			}
			for i := range got {
				if got[i] != table[int(index[i%lanes])*digits*lanes+i] {
					t.Fatal("both are wrong")
				}
			}
		}
	}
}

func TestSplitAndJoin(t *testing.T) {
	for size := range 64 {
		b := make([]byte, size)
		rand.Read(b)
		if back := join(split(b, 20), size); !bytes.Equal(back, b) {
			t.Errorf("%x became %x", b, back)
		}
	}
}

// Signatures are what crypto/rsa takes, of every size, form and hash, alone and in company, also of other keys.
func TestSignatures(t *testing.T) {
	q := &Queue{Delay: time.Minute}
	for _, bits := range []int{2048, 3072, 4096} {
		k := prepared(t, bits, q)
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			f := h.New()
			f.Write([]byte("message"))
			digest := f.Sum(nil)
			for _, opts := range []crypto.SignerOpts{h, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: h}} {
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
					t.Errorf("%d bits, %v, %T: %v", bits, h, opts, err)
				}
			}
		}
	}
	if _, _, faults := q.Counts(); faults != 0 {
		t.Errorf("%d faults", faults)
	}
}

// Many at once: everybody gets his own signature, and they are done two at a time.
func TestCompany(t *testing.T) {
	q := &Queue{Delay: time.Minute}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	own := prepared(t, 2048, q)
	others, err := New(other, q)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var expected [40]func()
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
	if n, batches, faults := q.Counts(); n != 40 || batches != 20 || faults != 0 {
		t.Errorf("%d operations in %d batches, %d faults", n, batches, faults)
	}
}

// Who is alone does not wait, and who waits for others in vain does not wait for longer than the delay.
func TestNobodyWaitsAlone(t *testing.T) {
	q := &Queue{Delay: time.Hour}
	k := prepared(t, 2048, q)
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
	other := prepared(t, 3072, q)
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

// A result that is wrong does not leave: the operation is done again, and counted, and its neighbour does not notice.
func TestFaults(t *testing.T) {
	q := &Queue{Delay: time.Minute}
	good, bad := prepared(t, 2048, q), prepared(t, 2048, q)
	bad.primes[1].exponent = slices.Clone(bad.primes[1].exponent)
	bad.primes[1].exponent[100] ^= 1
	digest := sha256.Sum256(nil)
	var all sync.WaitGroup
	expected := []func(){q.Expect(), q.Expect()}
	for i, k := range []*Key{good, bad} {
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
	if _, batches, faults := q.Counts(); faults != 1 || batches != 1 {
		t.Errorf("%d faults in %d batches, want 1 in 1", faults, batches)
	}
}

func TestDecrypt(t *testing.T) {
	k := prepared(t, 2048, &Queue{})
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
	k := prepared(f, 2048, q)
	f.Add([]byte{1}, []byte{2})
	f.Add(bytes.Repeat([]byte{0xff}, 255), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
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
		for _, fill := range []int{1, atOnce} {
			b.Run(fmt.Sprintf("%d/fill-%d", bits, fill), func(b *testing.B) {
				k := prepared(b, bits, &Queue{})
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
