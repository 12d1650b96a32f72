package ca

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// signedAuthority has a root sign what an authority asks for, after a change.
func (i *issuer) signedAuthority(t testing.TB, request []byte, life time.Duration, change func(*x509.Certificate)) []byte {
	t.Helper()
	block, _ := pem.Decode(request)
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || r.CheckSignature() != nil {
		t.Fatalf("the request: %v", err)
	}
	return i.signed(t, r, func(c *x509.Certificate) {
		id, err := keyID(r.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		// What the request asks for beside its name, as openssl -copy_extensions takes it over.
		*c = x509.Certificate{SerialNumber: c.SerialNumber, Subject: r.Subject, NotBefore: c.NotBefore, NotAfter: time.Now().Add(life), ExtraExtensions: r.Extensions, SubjectKeyId: id}
		if change != nil {
			change(c)
		}
	})
}

// newHighRoot is a root that may have authorities below it.
func newHighRoot(t testing.TB) *issuer {
	t.Helper()
	key := p256(t)
	id, err := keyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "high"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(rootLife), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: id}
	der, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key, []*x509.Certificate{c}}
}

// TestUnderARootOutside puts an authority under a root outside: that is trusted at once, signs after a while, and the one before is trusted until all that it has signed has ended.
func TestUnderARootOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		defer s.Close()
		a, other := open(t, s, nil), open(t, s, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var said []string
		var all sync.WaitGroup
		for _, one := range []*Authority{a, other} {
			all.Go(func() {
				one.Run(ctx, func(err error) {
					mu.Lock()
					defer mu.Unlock()
					said = append(said, err.Error())
				})
			})
		}
		before := issue(t, a, sleep)
		root, low := newHighRoot(t), newRootOf(t)
		if _, err := a.Import(ctx, PEM(root.chain...)); err == nil || !strings.Contains(err.Error(), "nothing was asked for") {
			t.Errorf("nothing was asked for: %v", err)
		}
		asked, err := a.Ask(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := other.Ask(ctx, false); err != nil || string(again) != string(asked) {
			t.Errorf("another asks for something else: %v", err)
		}
		old := root.signedAuthority(t, asked, 365*24*time.Hour, nil)
		anew, err := other.Ask(ctx, true)
		if err != nil || string(anew) == string(asked) {
			t.Fatalf("asked anew: %v", err)
		}
		good := root.signedAuthority(t, anew, 365*24*time.Hour, nil)
		for _, c := range []struct {
			name string
			text []byte
			want string
		}{
			{"nothing", nil, "no certificate"},
			{"of the request before", append(old[:len(old):len(old)], PEM(root.chain...)...), "of the key that was asked for last"},
			{"without a root", good, "no root among"},
			{"under another root", append(good[:len(good):len(good)], PEM(newRootOf(t).chain...)...), "which is not among the certificates"},
			{"no authority", append(root.signedAuthority(t, anew, 365*24*time.Hour, func(c *x509.Certificate) { c.ExtraExtensions = nil }), PEM(root.chain...)...), "may not sign"},
			{"under a root with none below it", append(low.signedAuthority(t, anew, 365*24*time.Hour, nil), PEM(low.chain...)...), "nobody would take what it signs"},
			{"for short", append(root.signedAuthority(t, anew, 24*time.Hour, nil), PEM(root.chain...)...), "want one that is good for"},
			{"for later", append(root.signedAuthority(t, anew, 365*24*time.Hour, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), PEM(root.chain...)...), "begins at"},
		} {
			if _, err := a.Import(ctx, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
		signs, err := a.Import(ctx, append(PEM(root.chain...), good...)) // in any order
		if err != nil || !signs.Equal(time.Now().Add(Overlap)) {
			t.Fatalf("signs at %v, %v", signs, err)
		}
		if _, err := a.Import(ctx, append(PEM(root.chain...), good...)); err == nil {
			t.Error("it was imported twice")
		}
		synctest.Wait()
		for _, one := range []*Authority{a, other} {
			if roots := one.Roots(); len(roots) != 2 || !roots[1].Equal(root.chain[0]) {
				t.Errorf("%d roots", len(roots))
			}
		}
		if chain := issue(t, a, sleep); len(chain) != 2 {
			t.Error("it signs already")
		}
		time.Sleep(Overlap + time.Second)
		for _, one := range []*Authority{a, other, open(t, s, nil)} {
			chain := issue(t, one, sleep)
			if len(chain) != 3 || verify(chain, root.chain) != nil {
				t.Errorf("the chain has %d, %v", len(chain), verify(chain, root.chain))
			}
		}
		if verify(before, a.Roots()) != nil {
			t.Error("what was signed before is not good any more")
		}
		if err := a.Revoke(ctx, Revocation{Identity: sleep.String(), Reason: "a test"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := strings.Count(string(a.Lists()), "BEGIN X509 CRL"); n != 2 || string(a.Lists()) != string(other.Lists()) {
			t.Errorf("%d lists", n)
		}
		if err := a.Rotate(ctx); err == nil || !strings.Contains(err.Error(), "weftctl ca csr") {
			t.Errorf("rotated: %v", err)
		}
		time.Sleep(MaxLife + skew)
		if roots := a.Roots(); len(roots) != 1 || !roots[0].Equal(root.chain[0]) {
			t.Errorf("%d roots in the end", len(roots))
		}
		mu.Lock()
		if len(said) > 0 {
			t.Errorf("said %q", said)
		}
		mu.Unlock()
		// A second one under the same root is no second root.
		if asked, err = a.Ask(ctx, false); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Import(ctx, append(root.signedAuthority(t, asked, 365*24*time.Hour, nil), PEM(root.chain...)...)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(a.Roots()); n != 1 {
			t.Errorf("%d roots of two under the same", n)
		}
		time.Sleep(365*24*time.Hour*(renewal-1)/renewal + 90*time.Minute) // of its life is left what another would follow in by itself
		mu.Lock()
		if n := len(said); n < 2 || n > 6 || !strings.Contains(said[0], "Weft intermediate") || !strings.Contains(said[0], "weftctl ca import") {
			t.Errorf("said %q", said)
		}
		mu.Unlock()
		cancel()
		all.Wait()
	})
}

// TestNobodyIsPutOverOthers has authorities that are not in the store say so.
func TestNobodyIsPutOverOthers(t *testing.T) {
	o := &outsider{root: newRootOf(t)}
	a, _, _ := openOutside(t, o, PEM(o.root.chain...))
	if _, err := a.Ask(t.Context(), false); err == nil || !strings.Contains(err.Error(), "signed by issuers.test/mesh") {
		t.Error(err)
	}
	if _, err := a.Import(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "signed by issuers.test/mesh") {
		t.Error(err)
	}
}
