package ca

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// Revocation takes the word back that an identity, or one certificate, has been given.
type Revocation struct {
	// One of the two: an identity, which gets no certificate any more and all of whose certificates are revoked, until it is restored; or the
	// serial number of a certificate, hexadecimal.
	Identity string    `json:"identity,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	Time     time.Time `json:"time"`
}

const revokedPrefix = "ca/revoked/"

// maxReason bounds what people write, in bytes.
const maxReason = 1024

func (r *Revocation) key() (string, error) {
	switch {
	case len(r.Reason) > maxReason || len(r.By) > maxReason:
		return "", fmt.Errorf("ca: a reason of %d bytes: want at most %d", len(r.Reason), maxReason)
	case r.Identity != "" && r.Serial == "":
		if _, err := ParseIdentity(r.Identity); err != nil {
			return "", err
		}
		return revokedPrefix + "identity/" + url.PathEscape(r.Identity), nil
	case r.Serial != "" && r.Identity == "":
		n, ok := new(big.Int).SetString(strings.ReplaceAll(r.Serial, ":", ""), 16) // OpenSSL writes colons
		if !ok || n.Sign() <= 0 || n.BitLen() > 160 {
			return "", fmt.Errorf("ca: serial number %q: want hexadecimal digits", r.Serial)
		}
		r.Serial = hex(n)
		return revokedPrefix + "serial/" + r.Serial, nil
	}
	return "", errors.New("ca: a revocation: want an identity or a serial number")
}

// Revoke takes back what was issued. When it returns, all replicas are about to know.
func (a *Authority) Revoke(ctx context.Context, r Revocation) error {
	key, err := r.key()
	if err != nil {
		return err
	}
	if a.outside != nil {
		return fmt.Errorf("ca: nothing can be revoked here: certificates are signed by %s, whose business that is, and weftd signs no lists for it", a.outside.Name())
	}
	a.mu.RLock()
	trusted := a.trusted
	a.mu.RUnlock()
	for _, i := range trusted {
		if own := i.chain[0]; own.KeyUsage&x509.KeyUsageCRLSign == 0 || len(own.SubjectKeyId) == 0 {
			return fmt.Errorf("ca: nothing can be revoked: the certificate that signs, of %q, may not sign lists of revoked ones: want its key usage to have cRLSign, and a subject key identifier (RFC 5280, 5)", own.Subject)
		}
	}
	r.Time = time.Now()
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	_, err = a.options.Store.Put(ctx, key, text, store.Absent)
	if errors.Is(err, store.ErrConflict) {
		return nil // it is revoked already
	}
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// Restore has an identity get certificates again. Those that it had are good again, too.
func (a *Authority) Restore(ctx context.Context, identity string) error {
	key, err := (&Revocation{Identity: identity}).key()
	if err != nil {
		return err
	}
	e, err := a.options.Store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("ca: %s is not revoked: %w", identity, err)
	}
	if err := a.options.Store.Delete(ctx, key, e.Revision); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// Revoked is all that is revoked, by identity or serial number.
func (a *Authority) Revoked() []Revocation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := slices.Collect(maps.Values(a.revoked))
	slices.SortFunc(list, func(a, b Revocation) int { return strings.Compare(a.Identity+a.Serial, b.Identity+b.Serial) })
	return list
}

// Lists are the lists of revoked certificates (RFC 5280, 5), in PEM, of every issuer that is trusted; empty while nothing is revoked, since who
// checks them needs one of every issuer.
func (a *Authority) Lists() []byte {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.lists.text
}

func (a *Authority) takeRevoked(events []store.Event) {
	a.mu.Lock()
	for _, e := range events {
		name := strings.TrimPrefix(e.Key, revokedPrefix)
		kind, id, _ := strings.Cut(name, "/")
		if kind == "identity" {
			id, _ = url.PathUnescape(id)
		}
		var r Revocation
		if e.Gone() {
			delete(a.revoked, id)
		} else if json.Unmarshal(e.Value, &r) == nil {
			a.revoked[id] = r
		}
	}
	a.tell()
	a.mu.Unlock()
	a.relist()
}

// takeIssued is told of what was issued. What belongs to a revoked identity has crossed its revocation.
func (a *Authority) takeIssued(events []store.Event) {
	a.ledger.take(events)
	a.mu.RLock()
	some := len(a.revoked) > 0
	a.mu.RUnlock()
	if some {
		a.relist()
	}
}

// listLife is how long a list is good, and listAge how often it is made anew though nothing else is revoked, which everybody is told of: at the same times in all
// replicas, whose lists are the same to the last byte, so that a proxy that comes from one to another is told nothing.
const (
	listLife = 7 * 24 * time.Hour
	listAge  = 24 * time.Hour
)

// lists are those of what is revoked, one of each issuer.
type lists struct {
	text []byte // PEM; nil: nothing is revoked
	of   []x509.RevocationListEntry
	by   []*issuer
	made time.Time // as it says itself
}

// same tells whether lists of those entries by those issuers say nothing new.
func (l *lists) same(of []x509.RevocationListEntry, by []*issuer) bool {
	return slices.EqualFunc(l.of, of, func(a, b x509.RevocationListEntry) bool {
		return a.SerialNumber.Cmp(b.SerialNumber) == 0 && a.RevocationTime.Equal(b.RevocationTime)
	}) && slices.EqualFunc(l.by, by, func(a, b *issuer) bool { return a.chain[0].Equal(b.chain[0]) })
}

// relist makes the lists anew, if they have to be.
func (a *Authority) relist() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.revoked) == 0 {
		if !a.lists.made.IsZero() {
			a.lists = lists{}
			a.tell()
		}
		return
	}
	day := today(time.Now())
	of, made := a.serials(day), day
	for _, r := range a.revoked {
		if r.Time.After(made) {
			made = r.Time
		}
	}
	if !a.lists.made.Equal(made) || !a.lists.same(of, a.trusted) {
		a.lists = lists{sign(of, a.trusted, made), of, a.trusted, made}
		a.tell()
	}
}

// today is when the last lists were due.
func today(now time.Time) time.Time { return now.UTC().Truncate(listAge) }

// serials are the certificates that are revoked, in the order of their numbers.
func (a *Authority) serials(now time.Time) (entries []x509.RevocationListEntry) {
	when := map[string]time.Time{} // by serial number
	for _, r := range a.revoked {
		if r.Serial != "" {
			when[r.Serial] = r.Time
			continue
		}
		for _, one := range a.ledger.of(r.Identity, now) {
			when[one.Serial] = r.Time
		}
	}
	for serial, t := range when {
		n, _ := new(big.Int).SetString(serial, 16)
		entries = append(entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: t})
	}
	slices.SortFunc(entries, func(a, b x509.RevocationListEntry) int { return a.SerialNumber.Cmp(b.SerialNumber) })
	return entries
}

// sign makes a list of each issuer. The same of the same is the same: nothing in it is by chance, and nor is its signature, which is as RFC 6979 has it for want of a
// source of chance.
func sign(entries []x509.RevocationListEntry, by []*issuer, made time.Time) (text []byte) {
	for _, i := range by {
		der, err := x509.CreateRevocationList(nil, &x509.RevocationList{
			Number:                    numberOf(entries, made),
			ThisUpdate:                made.Add(-skew),
			NextUpdate:                made.Add(listLife),
			RevokedCertificateEntries: entries,
		}, i.chain[0], i.key)
		if err != nil {
			continue // it may not sign lists, which Revoke says
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return text
}

// numberOf is a list's number (RFC 5280, 5.2.3): later ones have higher ones, and two of the same time, of which one has been made since an identity was
// restored, are told apart.
func numberOf(entries []x509.RevocationListEntry, made time.Time) *big.Int {
	sum := sha256.New()
	for _, e := range entries {
		io.WriteString(sum, hex(e.SerialNumber)+" ")
	}
	n := big.NewInt(made.UnixMilli())
	return n.Lsh(n, 64).Or(n, new(big.Int).SetBytes(sum.Sum(nil)[:8]))
}

// sweeping is how often what has ended is forgotten.
const sweeping = time.Hour

func (a *Authority) sweep(ctx context.Context, report func(error)) {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(sweeping, time.Until(today(now).Add(listAge)))): // or lists are due
		}
		// What lists of today have is kept for today, so that they stay what they are.
		if err := a.ledger.sweep(ctx, today(time.Now())); err != nil {
			report(err)
		}
		if err := a.sweepTokens(ctx, time.Now()); err != nil {
			report(err)
		}
		a.relist()
	}
}
