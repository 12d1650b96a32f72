package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

// world signs, by the bubble's clock.
type world struct {
	mu     sync.Mutex // over what follows, once an issuer runs
	t      *testing.T
	root   *x509.Certificate
	signer crypto.Signer
	serial int64
	life   time.Duration
	ahead  time.Duration // of its clock
	id     string
	broken error // what it answers instead
	asked  []proof
	stats  *telemetry.Store // of the last issuer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, life: 24 * time.Hour, id: "spiffe://cluster.local/ns/a/sa/b"}
	w.root, w.signer = w.newRoot("root")
	return w
}

func (w *world) newRoot(name string) (*x509.Certificate, crypto.Signer) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1e6 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return w.sign(c, c, key.Public(), key), key
}

func (w *world) sign(c, by *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// leaf is a certificate of a key.
func (w *world) leaf(key crypto.PublicKey) *x509.Certificate {
	w.serial++
	id, err := url.Parse(w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now().Add(w.ahead)
	return w.sign(&x509.Certificate{SerialNumber: big.NewInt(w.serial), URIs: []*url.URL{id}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(w.life)}, w.root, key, w.signer)
}

// issuer is one that asks this world.
func (w *world) issuer(o Options) *Issuer {
	w.stats = telemetry.NewStore(0)
	o.Stats, o.Log = w.stats.Acquire(Stats, "").Loop(0), slog.New(slog.DiscardHandler)
	if o.Grace == 0 {
		o.Grace, o.Jitter = 0.5, 0.01
	}
	x := New(o)
	x.ask = func(ctx context.Context, p proof) ([]*x509.Certificate, []byte, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, p)
		if w.broken != nil {
			return nil, nil, w.broken
		}
		key, err := x.newKey()
		if err != nil {
			return nil, nil, err
		}
		text, err := x.keyPEM(key)
		return []*x509.Certificate{w.leaf(key.Public()), w.root}, text, err
	}
	return x
}

// says has it answer so from now on; nil: with certificates.
func (w *world) says(broken error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

// shown are the proofs that it was shown, in order.
func (w *world) shown() []proof {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// forget has it have been shown nothing.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}

// count is what the last issuer has counted.
func (w *world) count(row int) int64 {
	return w.stats.Read(telemetry.Filter{Name: func(name string) bool { return name == Stats.Metrics[row].Name }})[0].Value
}

// serial is the number of the certificate in force; 0: there is none.
func serial(x *Issuer) int64 {
	i, _ := x.Identity()
	if i == nil {
		return 0
	}
	return i.Leaf.SerialNumber.Int64()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run has an issuer run until the test ends.
func run(t *testing.T, x *Issuer) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { x.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
}

// A certificate is renewed at half of its life, give or take the jitter, and the next at half of its own.
func TestRenewsAtHalfOfItsLife(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "token\n")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := w.issuer(Options{Token: filepath.Join(dir, "token"), Want: Who{"cluster.local", "a", "b"}})
		run(t, x)
		for n := int64(1); n < 4; n++ {
			if serial(x) != n {
				t.Fatalf("has the certificate %d, want %d", serial(x), n)
			}
			i, changed := x.Identity()
			got := i.Leaf.NotAfter.Add(-w.life)
			time.Sleep(time.Until(got.Add(w.life * 48 / 100)))
			synctest.Wait()
			if serial(x) != n {
				t.Fatal("it is renewed too early")
			}
			time.Sleep(time.Until(got.Add(w.life * 52 / 100)))
			synctest.Wait()
			select {
			case <-changed:
			default:
				t.Fatal("it is not renewed, or nobody is told")
			}
		}
		for _, p := range w.shown() {
			if p.token != "token" || p.own != nil {
				t.Errorf("shown %+v: want the token of the file, each time", p)
			}
		}
	})
}

// While nobody signs it is asked again and again, ever more seldom; what there is serves to its end and then on, with an alarm.
func TestServesWhatItHasWhileNobodySigns(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "token")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := w.issuer(Options{Token: filepath.Join(dir, "token")})
		w.says(errors.New("nobody is there"))
		run(t, x)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(w.shown()); serial(x) != 0 || n < 4 || n > 12 || x.Failing() == nil {
			t.Fatalf("in a minute it was asked %d times (%v): want a few", n, x.Failing())
		}
		w.says(nil)
		time.Sleep(lastPause)
		synctest.Wait()
		if serial(x) != 1 || x.Failing() != nil {
			t.Fatal("it has no certificate after somebody is there again:", x.Failing())
		}
		w.says(errors.New("nobody is there"))
		time.Sleep(w.life + time.Minute)
		synctest.Wait()
		if serial(x) != 1 || x.Failing() == nil || w.count(expired) != 1 {
			t.Errorf("certificate %d, %v, expired %d: want that of before, which has ended, and the alarm", serial(x), x.Failing(), w.count(expired))
		}
		w.says(nil)
		time.Sleep(lastPause + look)
		synctest.Wait()
		if serial(x) != 2 || w.count(expired) != 0 {
			t.Errorf("certificate %d, expired %d: want a new one", serial(x), w.count(expired))
		}
	})
}

// A join token is shown once; from then on the certificate is shown. What is written is taken up by the next process, which needs no token.
func TestJoinsOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		x := w.issuer(Options{Join: "weft-join-x", Output: dir})
		done := make(chan struct{})
		go func() { x.Run(ctx); close(done) }()
		time.Sleep(w.life * 8 / 10)
		cancel()
		<-done
		if len(w.shown()) < 2 || w.shown()[0].token != "weft-join-x" || w.shown()[0].own != nil || w.shown()[1].token != "" || w.shown()[1].own == nil {
			t.Fatalf("shown %+v: want the token and then the certificate", w.shown())
		}
		last := serial(x)
		w.says(errors.New("nobody is there"))
		w.forget()
		again := w.issuer(Options{Join: "weft-join-x", Output: dir})
		run(t, again)
		if serial(again) != last || len(w.shown()) > 0 {
			t.Fatalf("the next process has the certificate %d, and has asked %d times: want %d and none", serial(again), len(w.shown()), last)
		}
		time.Sleep(w.life * 6 / 10)
		synctest.Wait()
		if len(w.shown()) == 0 || w.shown()[0].own == nil {
			t.Errorf("shown %+v: want the certificate of before", w.shown())
		}
	})
}

// What is answered and is not what was asked for is told to nobody.
func TestJudgesAnswers(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "token")
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			spoil func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte)
			want  string
		}{
			"another key": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				return []*x509.Certificate{w.leaf(other.Public()), w.root}, key
			}, "do not fit"},
			"somebody else": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				w.id = "spiffe://cluster.local/ns/a/sa/admin"
				return []*x509.Certificate{w.leaf(chain[0].PublicKey), w.root}, key
			}, "is that of spiffe://cluster.local/ns/a/sa/admin: want spiffe://cluster.local/ns/a/sa/b"},
			"another root": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				other, _ := w.newRoot("other")
				return []*x509.Certificate{chain[0], other}, key
			}, "does not lead to its root"},
			"no root": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				return chain[:1], key
			}, "no root"},
			"ended": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				w.ahead = -2 * w.life
				return []*x509.Certificate{w.leaf(chain[0].PublicKey), w.root}, key
			}, "has ended"},
			"an authority": {func(w *world, chain []*x509.Certificate, key []byte) ([]*x509.Certificate, []byte) {
				return []*x509.Certificate{w.root, w.root}, key
			}, "do not fit"},
		} {
			w := newWorld(t)
			x := w.issuer(Options{Token: filepath.Join(dir, "token"), Want: Who{"cluster.local", "a", "b"}})
			good := x.ask
			x.ask = func(ctx context.Context, p proof) ([]*x509.Certificate, []byte, error) {
				chain, key, err := good(ctx, p)
				if err != nil {
					return nil, nil, err
				}
				chain, key = c.spoil(w, chain, key)
				return chain, key, nil
			}
			err := x.renew(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || serial(x) != 0 || w.count(unfit) != 1 {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	})
}

// Roots of files come on top of the one that came with the certificate, and are followed.
func TestFollowsRoots(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "token")
	roots := filepath.Join(dir, "roots")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		next, _ := w.newRoot("next")
		x := w.issuer(Options{Token: filepath.Join(dir, "token"), Roots: []string{roots}})
		run(t, x)
		has := func(want ...*x509.Certificate) {
			t.Helper()
			time.Sleep(2 * look)
			synctest.Wait()
			i, _ := x.Identity()
			if string(i.Roots) != string(encode(want...)) {
				t.Errorf("it is believed by %d bytes of roots: want %d of %d", len(i.Roots), len(encode(want...)), len(want))
			}
		}
		has(w.root)
		write(t, roots, string(encode(w.root, next)))
		has(w.root, next)
		write(t, roots, "nothing")
		has(w.root, next) // a file that is broken takes nothing away
		write(t, roots, string(encode(next)))
		has(w.root, next) // the certificate's own stays
		w.mu.Lock()
		w.root, w.signer = w.newRoot("third")
		w.mu.Unlock()
		time.Sleep(w.life)
		has(w.root, next)
	})
}

// A certificate that others write is followed; what is wrong takes nothing away.
func TestFollowsFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := w.issuer(Options{Files: PairIn(dir)})
		put := func() {
			key, err := x.newKey()
			if err != nil {
				t.Fatal(err)
			}
			text, err := x.keyPEM(key)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, keyFile), string(text))
			write(t, filepath.Join(dir, chainFile), string(encode(w.leaf(key.Public()))))
			write(t, filepath.Join(dir, rootsFile), string(encode(w.root)))
			time.Sleep(look)
			synctest.Wait()
		}
		run(t, x)
		if serial(x) != 0 || x.Failing() == nil {
			t.Fatal("it has something out of nothing")
		}
		for n := int64(1); n < 3; n++ {
			if put(); serial(x) != n {
				t.Fatalf("certificate %d, want %d: %v", serial(x), n, x.Failing())
			}
		}
		write(t, filepath.Join(dir, chainFile), "nothing")
		time.Sleep(look)
		synctest.Wait()
		if serial(x) != 2 || x.Failing() == nil || len(w.shown()) > 0 {
			t.Errorf("certificate %d, %v, asked %d times", serial(x), x.Failing(), len(w.shown()))
		}
	})
}

// A clock that is set back before the beginning of the certificate is told of; one that is set forward has it renewed.
func TestClocks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "token")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ahead = time.Hour // as if ours had been set back
		x := w.issuer(Options{Token: filepath.Join(dir, "token")})
		x.step(t.Context())
		if serial(x) != 1 || w.count(clockBehind) != 1 {
			t.Errorf("certificate %d, told %d times that the clock is behind", serial(x), w.count(clockBehind))
		}
		// As if ours had been set forward, which no timer sees: the next look does.
		x.renewAt = x.renewAt.Add(-w.life)
		if wait := x.step(t.Context()); serial(x) != 2 || wait > look {
			t.Errorf("certificate %d, and the next look is after %v: want the next one, and %v at most", serial(x), wait, look)
		}
	})
}

// Keys are of the kind that is wanted, and written as Istio's agents do.
func TestKeys(t *testing.T) {
	for _, c := range []struct {
		o    Options
		kind string
	}{
		{Options{}, "EC PRIVATE KEY"}, {Options{PKCS8: true}, "PRIVATE KEY"}, {Options{Curve: elliptic.P384()}, "EC PRIVATE KEY"}, {Options{RSA: 2048}, "RSA PRIVATE KEY"}, {Options{RSA: 2048, PKCS8: true}, "PRIVATE KEY"},
	} {
		x := New(c.o)
		key, err := x.newKey()
		if err != nil {
			t.Fatal(err)
		}
		text, err := x.keyPEM(key)
		if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("-----BEGIN %s-----\n", c.kind)) {
			t.Errorf("%+v: %v, %.40s", c.o, err, text)
		}
	}
}
