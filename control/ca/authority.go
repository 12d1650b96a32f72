package ca

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/control/store"
	"github.com/weftmesh/weft/telemetry"
)

// Options is what an authority is made of.
type Options struct {
	Store       store.Store
	TrustDomain string // of all that it issues, such as cluster.local
	// Folder has an authority from outside, as Istio's secret cacerts has; empty: the roots are made here, and are in the store.
	Folder string
	// Signer signs outside of this process; nil: this one does. Roots are then the certificates that the mesh trusts, in PEM, as they are said now, and where.
	Signer Signer
	Roots  func() (text []byte, where string, err error)
	// ServerFiles is a directory with the certificate of servers of this process, as a Secret of type kubernetes.io/tls has it; empty: they have theirs from the authority.
	ServerFiles string
	// Overlap is how long a new root is trusted before it signs; 0: Overlap.
	Overlap time.Duration
	// Audit is told of everything that is issued or turned down; nil: nobody is. It must not block.
	Audit func(Record)
	Stats *telemetry.Values // of Stats; nil: nothing is counted
}

// Record is an entry of the audit log: who has got what, when, and from where it was asked for.
type Record struct {
	Time     time.Time
	Identity string // that was asked for, if it is known
	Serial   string // hexadecimal; empty: nothing was issued
	Until    time.Time
	From     string // the caller's address
	By       string // how the caller has shown who it is
	Signer   string // who has signed outside of this process, or would have; empty: this one
	Refused  string // why nothing was issued
}

// Authority issues certificates. All of it may be called at the same time from anywhere.
type Authority struct {
	options Options
	ledger  ledger
	outside *outside                        // nil: certificates are signed here
	served  atomic.Pointer[tls.Certificate] // of ServerFiles

	mu      sync.RWMutex
	plan    plan      // empty with a Folder
	signs   *issuer   // nil with a Signer
	trusted []*issuer // whose roots are trusted, in the order in which they came
	roots   []*x509.Certificate
	changes time.Time // when of this something is otherwise
	revoked map[string]Revocation
	lists   lists
	changed chan struct{} // closed when the next of this is otherwise
}

// rootsKey is where the plan of roots is in the store.
const rootsKey = "ca/roots"

// Open opens an authority, or makes one: the first process of a mesh makes its root, and others find it. What was revoked by then is known before
// anybody can ask. Run has to be called for it to stay up to date.
func Open(ctx context.Context, o Options) (*Authority, error) {
	if err := (Identity{o.TrustDomain, "n", "s"}).check(); err != nil {
		return nil, err
	}
	a := &Authority{options: o, ledger: ledger{store: o.Store, issued: map[string][]issued{}, known: map[string]store.Revision{}}, revoked: map[string]Revocation{}, changed: make(chan struct{})}
	if a.options.Overlap == 0 {
		a.options.Overlap = Overlap
	}
	if o.Signer != nil {
		roots, err := saidRoots(o.Roots)
		if err != nil {
			return nil, err
		}
		a.outside, a.roots = &outside{o.Signer, make(chan struct{}, signsAtOnce)}, roots
	} else if o.Folder != "" {
		signs, roots, err := plugged(o.Folder)
		if err != nil {
			return nil, err
		}
		a.signs, a.trusted, a.roots = signs, []*issuer{signs}, roots
	} else if err := a.openRoots(ctx); err != nil {
		return nil, err
	}
	if o.ServerFiles != "" {
		c, err := readServed(o.ServerFiles)
		if err != nil {
			return nil, err
		}
		a.served.Store(c)
	}
	for prefix, take := range map[string]func([]store.Event){issuedPrefix: a.ledger.take, revokedPrefix: a.takeRevoked} {
		list, err := o.Store.List(ctx, prefix)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		events := make([]store.Event, len(list))
		for i, e := range list {
			events[i] = store.Event{Entry: e}
		}
		take(events)
	}
	a.relist()
	return a, nil
}

// openRoots reads the plan of roots, or begins one.
func (a *Authority) openRoots(ctx context.Context) error {
	for {
		e, err := a.options.Store.Get(ctx, rootsKey)
		if errors.Is(err, store.ErrNotFound) {
			if err = a.extend(ctx, plan{}, store.Absent); err == nil || errors.Is(err, store.ErrConflict) {
				continue // with what this process has made, or another that was first
			}
		}
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		p, err := readPlan(e.Value)
		if err == nil {
			err = a.follow(p)
		}
		return err
	}
}

// extend puts a new root behind those of a plan, and the plan into the store if that is still at a revision.
func (a *Authority) extend(ctx context.Context, p plan, was store.Revision) error {
	next, err := p.follow(a.options.TrustDomain, time.Now(), a.options.Overlap)
	if err != nil {
		return err
	}
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if _, err := a.options.Store.Put(ctx, rootsKey, text, was); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// follow does what a plan says from now on. Only what comes from the store is followed, in its order, and by one at a time: an older plan
// must not come after a newer one.
func (a *Authority) follow(p plan) error {
	signs, trusted, changes := p.at(time.Now())
	if signs == nil {
		return errors.New("ca: of the roots in the store none signs yet: the clock of this machine is behind")
	}
	var now *issuer
	var list []*issuer
	var roots []*x509.Certificate
	for _, g := range trusted {
		i, err := g.issuer()
		if err != nil {
			return fmt.Errorf("ca: a root in the store: %w", err)
		}
		root := i.chain[len(i.chain)-1] // several may be under one
		if list = append(list, i); !slices.ContainsFunc(roots, root.Equal) {
			roots = append(roots, root)
		}
		if g == signs {
			now = i
		}
	}
	if now == nil {
		return errors.New("ca: of the roots in the store the one that signs is not trusted any more: the clock of this machine is ahead")
	}
	a.mu.Lock()
	a.plan, a.signs, a.trusted, a.roots, a.changes = p, now, list, roots, changes
	a.tell()
	a.mu.Unlock()
	a.relist()
	return nil
}

// Rotate begins to replace the root: the new one is trusted as soon as Run has heard of it, signs after Overlap, and the old one is trusted
// until all that it has signed has ended.
func (a *Authority) Rotate(ctx context.Context) error {
	if a.outside != nil {
		return fmt.Errorf("ca: certificates are signed by %s, whose business its root is: put the new one beside the old one, where roots are said, before it signs with that", a.outside.Name())
	}
	if a.options.Folder != "" {
		return fmt.Errorf("ca: the root comes from %s: put the new one into %s there beside the old one, and when everybody has it, change the others", a.options.Folder, pluggedRoot)
	}
	e, err := a.options.Store.Get(ctx, rootsKey)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	p, err := readPlan(e.Value)
	if err != nil {
		return err
	}
	if last := p.Generations[len(p.Generations)-1]; last.Imported {
		return fmt.Errorf("ca: %w: have another one signed there: weftctl ca csr, and weftctl ca import", errImported)
	}
	return a.extend(ctx, p, e.Revision)
}

var errImported = errors.New("the certificate that signs is under a root outside, which is not replaced here")

// Roots are the certificates that everybody in the mesh trusts.
func (a *Authority) Roots() []*x509.Certificate {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.roots
}

// Until is when the root that signs now ends, and the first of all certificates from it to the one that signs.
func (a *Authority) Until() (root, chain time.Time) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.outside != nil { // which of them signs is not known here
		root = a.roots[0].NotAfter
		for _, c := range a.roots {
			if c.NotAfter.Before(root) {
				root = c.NotAfter
			}
		}
		return root, root
	}
	return a.signs.chain[len(a.signs.chain)-1].NotAfter, a.signs.until()
}

// RootsPEM is Roots in PEM.
func (a *Authority) RootsPEM() []byte { return PEM(a.Roots()...) }

// Changed is closed when roots, lists or what is revoked are others than at the call. Who has waited for it asks for all of them anew.
func (a *Authority) Changed() <-chan struct{} {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.changed
}

// tell says that something is otherwise. It is called with the lock held.
func (a *Authority) tell() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Request is somebody who asks for a certificate.
type Request struct {
	Who  Identity      // who it is, as it has shown, and not as it says
	CSR  []byte        // PEM
	Key  crypto.Signer // without a CSR: one that this process has made itself
	Life time.Duration // that is asked for, of which at most MaxLife is given, and to a CSR at least MinLife; 0: DefaultLife
	From string        // its address, for the audit log
	By   string        // how it has shown who it is, for the audit log
	// Token is what it has shown and what may be handed on to a Signer; empty: nothing.
	Token string
	// Spend uses up what the caller has shown, when nothing is wrong with the request; nil: that can be shown again.
	Spend func(context.Context) error
}

// Refusal is an error of which the caller is the reason.
type Refusal struct {
	Text     string
	Revoked  bool // it is who the caller is, and not what it asks for
	Unproven bool // it has not shown who it is, to who signs
}

func (r *Refusal) Error() string { return "ca: " + r.Text }

// Issue gives a certificate and the chain behind it, the root last.
func (a *Authority) Issue(ctx context.Context, r Request) (chain []*x509.Certificate, err error) {
	record := Record{Time: time.Now(), Identity: r.Who.String(), By: r.By, From: r.From}
	defer func() {
		if err != nil {
			record.Refused = err.Error()
		}
		a.audit(record)
	}()
	if err := r.Who.check(); err != nil {
		return nil, &Refusal{Text: err.Error()}
	}
	if r.Who.TrustDomain != a.options.TrustDomain {
		return nil, &Refusal{Text: fmt.Sprintf("identities of %q are not issued here: want those of %q", r.Who.TrustDomain, a.options.TrustDomain)}
	}
	var key crypto.PublicKey
	life := r.Life
	if life == 0 {
		life = DefaultLife
	}
	if life = min(life, MaxLife); r.Key != nil {
		key = r.Key.Public()
	} else {
		if key, err = readRequest(r.CSR); err != nil {
			a.count(broken)
			return nil, &Refusal{Text: err.Error()}
		}
		if life = max(life, MinLife); a.outside != nil {
			if err := asked(r.CSR, r.Who); err != nil {
				a.count(broken)
				return nil, &Refusal{Text: err.Error()}
			}
		}
	}
	a.mu.RLock()
	signs := a.signs
	gone, is := a.revoked[r.Who.String()]
	a.mu.RUnlock()
	if is {
		return nil, &Refusal{Text: fmt.Sprintf("%s was revoked at %s: %s", r.Who, gone.Time.Format(time.RFC3339), gone.Reason), Revoked: true}
	}
	spend := func() error {
		if r.Spend == nil {
			return nil
		}
		return r.Spend(ctx)
	}
	if a.outside != nil {
		record.Signer = a.outside.Name()
		if chain, err = a.fromOutside(ctx, r, key, life); err != nil {
			return nil, err
		}
		if err := spend(); err != nil { // not before: who signs may not answer. Of two who show the same, both have it signed, and one is given it
			return nil, err
		}
		a.count(issues)
		record.Serial, record.Until = hex(chain[0].SerialNumber), chain[0].NotAfter
		return chain, nil
	}
	if err := spend(); err != nil {
		return nil, err
	}
	serial := newSerial()
	c, err := signs.issue(serial, &r.Who, nil, key, record.Time, life)
	if err != nil {
		a.count(unsigned)
		return nil, err
	}
	// A certificate that nobody has written down could not be revoked by whose it is.
	if err := a.ledger.enter(ctx, issued{Serial: hex(serial), Identity: r.Who.String(), Until: c.NotAfter}); err != nil {
		a.count(unsigned)
		return nil, err
	}
	a.count(issues)
	record.Serial, record.Until = hex(serial), c.NotAfter
	return append([]*x509.Certificate{c}, signs.chain...), nil
}

// fromOutside has a request be signed by the one outside, who gets to see nothing that is not right.
func (a *Authority) fromOutside(ctx context.Context, r Request, key crypto.PublicKey, life time.Duration) ([]*x509.Certificate, error) {
	text := r.CSR
	if r.Key != nil {
		var err error
		if text, err = requestOf(r.Key, &r.Who, nil); err != nil {
			return nil, err
		}
	}
	chain, err := a.outside.order(ctx, Order{text, life, r.Token}, &r.Who, nil, key, a.Roots())
	switch refusal := (*Refusal)(nil); {
	case errors.Is(err, errUnfitting):
		a.count(unfitting)
	case err != nil && !errors.As(err, &refusal):
		a.count(unsigned)
	}
	return chain, err
}

func (a *Authority) audit(r Record) {
	if a.options.Audit != nil {
		a.options.Audit(r)
	}
}

func hex(serial *big.Int) string { return fmt.Sprintf("%x", serial) }

// reminding is how often it is said that what is under a root outside ends.
const reminding = time.Hour

// renewal is what part of a root's life is left when another one follows by itself.
const renewal = 5

// Run keeps the authority up to date until the context ends: with what other replicas do, with time, and with its own end. Of a store that
// is lost it goes on with what is known, and says so to report.
func (a *Authority) Run(ctx context.Context, report func(error)) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { a.watch(ctx, issuedPrefix, a.takeIssued, report) })
	all.Go(func() { a.watch(ctx, revokedPrefix, a.takeRevoked, report) })
	all.Go(func() { a.sweep(ctx, report) })
	if a.options.ServerFiles != "" {
		all.Go(func() { a.followServed(ctx, report) })
	}
	if a.outside != nil {
		a.followRoots(ctx, report)
		return
	}
	if a.options.Folder != "" {
		return
	}
	plans := make(chan plan)
	all.Go(func() {
		a.watch(ctx, rootsKey, func(events []store.Event) {
			for _, e := range events {
				if e.Gone() {
					report(errors.New("ca: the roots are gone from the store: this process goes on with those that it has"))
					continue
				}
				p, err := readPlan(e.Value)
				if err != nil {
					report(err)
					continue
				}
				select {
				case plans <- p:
				case <-ctx.Done():
				}
			}
		}, report)
	})
	var reminded time.Time // that what is under a root outside ends
	for {
		a.mu.RLock()
		p, changes, last := a.plan, a.changes, a.signs.chain[0]
		a.mu.RUnlock()
		renew := last.NotAfter.Add(-last.NotAfter.Sub(last.NotBefore) / renewal)
		if again := reminded.Add(reminding); renew.Before(again) {
			renew = again
		}
		if changes.IsZero() { // no other root is on its way
			changes = renew
		}
		timer := time.NewTimer(max(time.Until(changes), time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case p = <-plans:
			timer.Stop()
		case <-timer.C:
			if changes.Equal(renew) {
				err := a.Rotate(ctx)
				reminded = time.Time{}
				if errors.Is(err, errImported) {
					reminded = time.Now()
					err = fmt.Errorf("the certificate that signs, of %q, ends at %s: %w", last.Subject, last.NotAfter.Format(time.RFC3339), err)
				}
				if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, errUnderWay) {
					report(err)
				}
				continue // with what comes of it from the store
			}
		}
		if err := a.follow(p); err != nil {
			report(err)
		}
	}
}

// again is how long a lost store is left alone.
const again = 5 * time.Second

// watch follows a part of the store, and tries again when it is lost.
func (a *Authority) watch(ctx context.Context, prefix string, each func([]store.Event), report func(error)) {
	for {
		err := a.options.Store.Watch(ctx, prefix, each)
		if ctx.Err() != nil {
			return
		}
		report(fmt.Errorf("ca: %w", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}
