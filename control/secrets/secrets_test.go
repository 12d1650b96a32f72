package secrets

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/xds/server"
)

var (
	sleep = ca.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "sleep"}
	web   = ca.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "web"}
)

// lossy is a store that can be lost.
type lossy struct {
	store.Store
	lost atomic.Bool
}

var errLost = errors.New("the disk is gone")

func (l *lossy) Put(ctx context.Context, key string, value []byte, was store.Revision) (store.Revision, error) {
	if l.lost.Load() {
		return "", errLost
	}
	return l.Store.Put(ctx, key, value, was)
}

// world is a Secrets that runs over an authority.
type world struct {
	*Secrets
	t     *testing.T
	store *lossy
	log   *bytes.Buffer // to be read when all is still
}

// inBubble runs a test where time passes when everybody waits.
func inBubble(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: &lossy{Store: store.NewMemory()}, log: &bytes.Buffer{}}
		ctx, cancel := context.WithCancel(t.Context())
		a, err := ca.Open(ctx, ca.Options{Store: w.store, TrustDomain: "cluster.local"})
		if err != nil {
			t.Fatal(err)
		}
		w.Secrets = New(Options{Authority: a, Log: slog.New(slog.NewTextHandler(w.log, nil))})
		done := make(chan struct{}, 2)
		go func() { a.Run(ctx, func(error) {}); done <- struct{}{} }()
		go func() { w.Run(ctx); done <- struct{}{} }()
		synctest.Wait()
		f(w)
		cancel()
		<-done
		<-done
		w.store.Close()
		if strings.Contains(w.log.String(), "PRIVATE") {
			t.Error("a key was logged")
		}
	})
}

// secretIn is the one secret of a part.
func secretIn(t *testing.T, p *server.Part) *tlsv3.Secret {
	t.Helper()
	if p == nil || p.Kind != server.Secrets || len(p.Resources) != 1 {
		t.Fatalf("a part: %v", p)
	}
	m := &tlsv3.Secret{}
	if err := proto.Unmarshal(p.Resources[0].Body, m); err != nil || m.Name != p.Resources[0].Name {
		t.Fatal(err, m.Name)
	}
	return m
}

// leafOf is a proxy's own certificate, which belongs to its key and is one of the authority's.
func (w *world) leafOf(p *server.Part) *x509.Certificate {
	w.t.Helper()
	m := secretIn(w.t, p).GetTlsCertificate()
	pair, err := tls.X509KeyPair(m.GetCertificateChain().GetInlineBytes(), m.GetPrivateKey().GetInlineBytes())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := pair.Leaf.CheckSignatureFrom(w.Authority.Roots()[0]); err != nil {
		w.t.Error(err)
	}
	if len(pair.Certificate) != 1 {
		w.t.Errorf("%d certificates, with the root among them", len(pair.Certificate))
	}
	return pair.Leaf
}

// TestOwnCertificates follows an identity from its first proxy to its last.
func TestOwnCertificates(t *testing.T) {
	inBubble(t, func(w *world) {
		if part, wait := w.Own(sleep); part != nil || wait {
			t.Error("somebody has one who is not there")
		}
		w.Hold(sleep, "10.0.0.1:7", "join token", "")
		if part, wait := w.Own(sleep); part != nil || !wait {
			t.Error("it is not waited for")
		}
		synctest.Wait()
		first, _ := w.Own(sleep)
		leaf := w.leafOf(first)
		if len(leaf.URIs) != 1 || leaf.URIs[0].String() != sleep.String() || time.Until(leaf.NotAfter) != ca.DefaultLife {
			t.Errorf("%v until %v", leaf.URIs, leaf.NotAfter)
		}
		if v := first.Resources[0].Version; v != leaf.SerialNumber.Text(16) {
			t.Errorf("the version is %s: want it to be of the certificate", v)
		}
		select {
		case <-w.News():
		default:
			t.Error("nobody is told")
		}
		w.Hold(sleep, "10.0.0.2:7", "join token", "") // another proxy of it
		synctest.Wait()
		if again, _ := w.Own(sleep); again != first {
			t.Error("two proxies of an identity have two certificates")
		}
		time.Sleep(ca.DefaultLife * 44 / 100)
		synctest.Wait()
		if again, _ := w.Own(sleep); again != first {
			t.Error("it is renewed before its time")
		}
		time.Sleep(ca.DefaultLife * 12 / 100)
		synctest.Wait()
		second, _ := w.Own(sleep)
		if second == first || w.leafOf(second).Equal(leaf) {
			t.Error("it is not renewed at half of its life")
		}
		if bytes.Equal(secretIn(t, first).GetTlsCertificate().GetPrivateKey().GetInlineBytes(), secretIn(t, second).GetTlsCertificate().GetPrivateKey().GetInlineBytes()) {
			t.Error("it is renewed with the same key")
		}
		w.Release(sleep)
		if again, _ := w.Own(sleep); again != second {
			t.Error("it is gone while somebody has it")
		}
		w.Release(sleep)
		if part, wait := w.Own(sleep); part != nil || wait {
			t.Error("it is kept for nobody")
		}
		w.Release(sleep) // of nobody
	})
}

// TestRenewalsPart has those who come together not come together for ever.
func TestRenewalsPart(t *testing.T) {
	inBubble(t, func(w *world) {
		when := map[time.Time]bool{}
		for i := range 20 {
			who := web
			who.ServiceAccount += string(rune('a' + i))
			w.Hold(who, "", "", "")
		}
		synctest.Wait()
		w.mu.Lock()
		for _, o := range w.owns {
			when[o.due.Truncate(time.Minute)] = true
		}
		w.mu.Unlock()
		if len(when) < 15 {
			t.Errorf("20 are renewed in %d minutes", len(when))
		}
	})
}

// TestALostStore has proxies wait no longer than for the first attempt, and get theirs when it is back.
func TestALostStore(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Hold(web, "", "", "")
		synctest.Wait()
		has, _ := w.Own(web)
		w.store.lost.Store(true)
		w.Hold(sleep, "", "", "")
		synctest.Wait()
		if part, wait := w.Own(sleep); part != nil || wait {
			t.Errorf("%v, %v: want it to be gone on without", part, wait)
		}
		if !strings.Contains(w.log.String(), "the disk is gone") || strings.Count(w.log.String(), "\n") != 1 {
			t.Errorf("it is said: %s", w.log)
		}
		time.Sleep(14 * time.Hour) // past the half of the other's life
		synctest.Wait()
		if again, _ := w.Own(web); again != has {
			t.Error("what was there is gone")
		}
		w.store.lost.Store(false)
		time.Sleep(2 * lastPause)
		synctest.Wait()
		part, _ := w.Own(sleep)
		w.leafOf(part)
		if again, _ := w.Own(web); again == has {
			t.Error("it is not renewed when the store is back")
		}
	})
}

// TestRevocationOfOwn has a certificate that is revoked by its number take another's place, and an identity that is revoked get none.
func TestRevocationOfOwn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Hold(sleep, "", "", "")
		synctest.Wait()
		first, _ := w.Own(sleep)
		leaf, roots := w.leafOf(first), w.Roots()
		if v := secretIn(t, roots).GetValidationContext(); v.GetCrl() != nil || v.GetOnlyVerifyLeafCertCrl() || !bytes.Equal(v.GetTrustedCa().GetInlineBytes(), w.Authority.RootsPEM()) {
			t.Errorf("with nothing revoked: %v", v)
		}
		if err := w.Authority.Revoke(t.Context(), ca.Revocation{Serial: leaf.SerialNumber.Text(16), Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, _ := w.Own(sleep)
		if second == first {
			t.Fatal("it is not replaced")
		}
		if w.Revoked(sleep, leaf) == nil || w.Revoked(sleep, w.leafOf(second)) != nil || w.Revoked(sleep, nil) != nil {
			t.Error("who has shown the revoked one is not to be served, and others are")
		}
		listed := w.Roots()
		v := secretIn(t, listed).GetValidationContext()
		block, _ := pem.Decode(v.GetCrl().GetInlineBytes())
		if block == nil || !v.GetOnlyVerifyLeafCertCrl() {
			t.Fatal("there is no list")
		}
		if list, err := x509.ParseRevocationList(block.Bytes); err != nil || len(list.RevokedCertificateEntries) != 1 || listed == roots {
			t.Errorf("%v, %v", list, err)
		}
		time.Sleep(2 * time.Hour) // in which the authority looks whether the lists have to be made anew
		synctest.Wait()
		if w.Roots() != listed {
			t.Error("the same is told again")
		}
		w.Hold(web, "", "", "") // a certificate more is nothing to the lists
		synctest.Wait()
		if w.Roots() != listed {
			t.Error("the same is told again for a certificate")
		}
		if err := w.Authority.Revoke(t.Context(), ca.Revocation{Identity: sleep.String(), Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.Revoked(sleep, nil) == nil || w.Revoked(web, nil) != nil {
			t.Error("one is revoked and the other is not")
		}
		w.Release(sleep)
		w.Hold(sleep, "", "", "")
		time.Sleep(time.Hour)
		synctest.Wait()
		if part, wait := w.Own(sleep); part != nil || wait {
			t.Error("who is revoked has got one")
		}
	})
}

// TestRootsOverlap has both roots be told as soon as there are two.
func TestRootsOverlap(t *testing.T) {
	inBubble(t, func(w *world) {
		before := w.Roots()
		if err := w.Authority.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if after := w.Roots(); after == before || strings.Count(string(secretIn(t, after).GetValidationContext().GetTrustedCa().GetInlineBytes()), "BEGIN") != 2 {
			t.Error("the new root is not told before it signs")
		}
	})
}
