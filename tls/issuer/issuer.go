package issuer

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/weftmesh/weft/telemetry"
)

// Options are what an issuer is made from.
type Options struct {
	Server Server // who signs; not asked if Files is set
	Want   Who
	// What is shown, the first that there is: the certificate in Shown, as long as it is good; the token in the file Token; the identity that is in force, as long as it is good; Join, which is good once.
	Shown   Pair
	Token   string // a file
	Join    string // a token
	Cluster string // of Kubernetes, that the token is of; empty: unsaid
	Signer  string // that is named to who signs; empty: none
	Life    time.Duration
	// Grace is the part of a life that is left when it is renewed, and Jitter by how much that may be off, so that those who began together part.
	Grace, Jitter float64
	RSA           int            // bits; 0: a key of ECDSA
	Curve         elliptic.Curve // nil: P-256
	PKCS8         bool           // how keys are written
	// Roots are files with roots beside the one that comes with the certificate. They are followed, and need not be there.
	Roots  []string
	Files  Pair   // of others, who renew them: nobody is asked then
	Output string // a folder to which what is in force is written, and from which it is taken up; empty: none
	// Before is what the process had whose place this one takes, of its Bequest; nil: there is none.
	Before []byte
	Stats  *telemetry.Values
	Log    *slog.Logger
}

// How long after a failure it is tried again: at random between half of a span and all of it, which doubles.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// look is how often files and the clock are looked at. A clock that jumps wakes nobody who waits for a time.
const look = 5 * time.Second

// repeat is how often it is said again that what is served has ended.
const repeat = time.Minute

// Issuer keeps one identity.
type Issuer struct {
	Options
	ask func(context.Context, proof) ([]*x509.Certificate, []byte, error)

	mu      sync.Mutex
	now     *Identity // nil: there is none yet
	why     error     // there is none, or no newer one; nil: nothing is wrong
	changed chan struct{}

	// Of Run alone.
	renewAt time.Time
	pause   time.Duration
	alarm   time.Time // the last, that what is served has ended
	early   bool      // it was said that the clock is before the certificate
	beside  string    // the roots of files that are in force, in PEM
	failed  bool      // of files: it was said
}

// New makes an issuer. Run has it work.
func New(o Options) *Issuer {
	x := &Issuer{Options: o, changed: make(chan struct{})}
	x.ask = x.request
	return x
}

// Identity is the one in force, nil if there is none yet, and what is closed when there is another one.
func (x *Issuer) Identity() (*Identity, <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now, x.changed
}

// Failing is why there is no identity, or why the one that there is was not renewed when it was due; nil: all is well.
func (x *Issuer) Failing() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.why
}

// Run keeps the identity until the context ends.
func (x *Issuer) Run(ctx context.Context) {
	x.resume()
	for {
		wait := x.step(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// step does what is due, and says how long to wait until something may be.
func (x *Issuer) step(ctx context.Context) (wait time.Duration) {
	if x.Files != (Pair{}) {
		x.follow()
		x.watch()
		return look
	}
	x.refreshRoots()
	// By the wall clock, which may have been set: certificates end by it.
	if now := time.Now().Round(0); !now.Before(x.renewAt) {
		if err := x.renew(ctx); err != nil && ctx.Err() == nil {
			x.fail(err)
		}
	}
	x.watch()
	return max(min(time.Until(x.renewAt), look), time.Millisecond)
}

// renew gets a new identity.
func (x *Issuer) renew(ctx context.Context) error {
	x.count(requests)
	p, err := x.proof()
	if err != nil {
		return err
	}
	chain, key, err := x.ask(ctx, p)
	if err != nil {
		return err
	}
	now := time.Now()
	next, err := judge(chain, key, chain[1:][max(len(chain)-2, 0):], x.roots(), x.Want, now) // the last is the root
	if err != nil {
		x.count(unfit)
		return fmt.Errorf("the answer is not taken: %w", err)
	}
	x.count(issued)
	x.pause = 0
	x.renewAt = x.due(next.Leaf, now)
	x.Log.Info("has a certificate", "identity", next.Name(), "shown", p.by, "serial", next.Leaf.SerialNumber.Text(16), "until", next.Leaf.NotAfter.Format(time.RFC3339), "renewed", x.renewAt.Format(time.RFC3339))
	x.put(next)
	x.write(next)
	return nil
}

// due is when a certificate is renewed that was got at a time: before the part of its life is left that Grace says.
func (x *Issuer) due(leaf *x509.Certificate, got time.Time) time.Time {
	left := leaf.NotAfter.Sub(got)
	grace := x.Grace + x.Jitter*(2*rand.Float64()-1)
	grace = max(min(grace, 0.99), 0.01)
	return got.Round(0).Add(time.Duration(float64(left) * (1 - grace)))
}

// fail notes that there is no newer identity, and when it is tried again: the sooner the less is left.
func (x *Issuer) fail(err error) {
	x.count(failures)
	x.pause = min(max(2*x.pause, firstPause), lastPause)
	pause := x.pause/2 + rand.N(x.pause/2+1)
	x.mu.Lock()
	had, first := x.now, x.why == nil
	x.why = err
	x.mu.Unlock()
	if had != nil {
		if left := time.Until(had.Leaf.NotAfter); left > 0 {
			pause = min(pause, max(left/10, firstPause))
		}
	}
	x.renewAt = time.Now().Round(0).Add(pause)
	switch {
	case had == nil:
		x.Log.Warn("has no certificate yet, and asks again", "server", x.Server.Address, "in", pause.Round(time.Millisecond), "because", err)
	case first:
		x.Log.Warn("the certificate is not renewed: what there is serves on, and it is asked again and again", "server", x.Server.Address, "until", had.Leaf.NotAfter.Format(time.RFC3339), "because", err)
	default:
		x.Log.Debug("the certificate is not renewed", "in", pause, "because", err)
	}
}

// proof is the first of what there is to be shown.
func (x *Issuer) proof() (proof, error) {
	now := time.Now()
	var wrong []error
	if x.Shown != (Pair{}) {
		c, err := x.Shown.load(now)
		if err == nil {
			return proof{by: "the certificate in " + x.Shown.Chain, own: c}, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			wrong = append(wrong, err)
		}
	}
	if x.Token != "" {
		token, err := ReadToken(x.Token)
		if err == nil {
			return proof{by: "the token in " + x.Token, token: token}, nil
		}
		wrong = append(wrong, err)
	}
	if i, _ := x.Identity(); i != nil && now.Before(i.Leaf.NotAfter) {
		return proof{by: "its certificate", own: &i.pair}, nil
	}
	if x.Join != "" {
		return proof{by: "a join token", token: x.Join}, nil
	}
	return proof{}, errors.Join(append(wrong, errNoProof)...)
}

// put has an identity be in force.
func (x *Issuer) put(i *Identity) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now, x.why = i, nil
	close(x.changed)
	x.changed = make(chan struct{})
	if x.Stats != nil {
		x.Stats.Set(until, uint64(i.Leaf.NotAfter.Unix()))
	}
}

// watch raises alarms: what is served has ended, or has not begun by this host's clock.
func (x *Issuer) watch() {
	i, _ := x.Identity()
	if i == nil {
		return
	}
	now := time.Now().Round(0)
	ended := uint64(0)
	if !now.Before(i.Leaf.NotAfter) {
		ended = 1
		if now.Sub(x.alarm) >= repeat || now.Before(x.alarm) {
			x.alarm = now
			x.Log.Error("the certificate has ended, and there is no newer one: peers turn this workload away", "identity", i.Name(), "ended", i.Leaf.NotAfter.Format(time.RFC3339), "because", x.Failing())
		}
	}
	if x.Stats != nil {
		x.Stats.Set(expired, ended)
	}
	if early := now.Add(skew).Before(i.Leaf.NotBefore); early != x.early {
		if x.early = early; early {
			x.count(clockBehind)
			x.Log.Error("this host's clock is before the beginning of the certificate: set it, or peers are not believed", "clock", now.Format(time.RFC3339), "begins", i.Leaf.NotBefore.Format(time.RFC3339))
		}
	}
}

// skew is how far clocks may be apart.
const skew = 2 * time.Minute

func (x *Issuer) count(row int) {
	if x.Stats != nil {
		x.Stats.Inc(row)
	}
}
