package secrets

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// Names of a proxy's own secrets, which are those of Istio's agent.
const (
	Own  = "default" // its certificate and key
	Root = "ROOTCA"  // whom it trusts, and what is revoked
)

// Options are what a Secrets is made from.
type Options struct {
	Authority *ca.Authority
	Life      time.Duration // of certificates; 0: ca.DefaultLife
	Log       *slog.Logger
	Stats     *telemetry.Values // of Stats; nil: nothing is counted
}

// Secrets has a certificate for each identity of which somebody is connected, the roots that all trust, and what gateways show to their clients. All of
// it may be called at the same time from anywhere.
type Secrets struct {
	Options
	wake chan struct{} // has room for one: somebody's certificate may be due
	news chan struct{} // has room for one: something that is told is another

	mu          sync.Mutex
	owns        map[ca.Identity]*own
	root        *server.Part
	credentials map[credentialKey]credential
}

// New makes one, which knows the roots. Run has it work.
func New(o Options) *Secrets {
	if o.Life == 0 {
		o.Life = ca.DefaultLife
	}
	s := &Secrets{Options: o, wake: make(chan struct{}, 1), news: make(chan struct{}, 1), owns: map[ca.Identity]*own{}, credentials: map[credentialKey]credential{}}
	s.takeRoots()
	return s
}

// News is told when something of this is another: what Roots and Own give, or whom Revoked refuses. A nil Secrets never has any.
func (s *Secrets) News() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.news
}

// Run issues what is due until the context ends.
func (s *Secrets) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		changed := s.Authority.Changed() // before it is asked, so that nothing is missed
		s.takeRoots()
		s.replaceRevoked()
		poke(s.news)
		for heard := false; !heard; {
			timer := time.NewTimer(s.issueDue(ctx, &all))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-changed:
				heard = true
			case <-s.wake:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats is what is counted of a Secrets.
var Stats = &telemetry.Table{Kind: "secrets", Metrics: []telemetry.Metric{
	held:   {Name: "identities", Type: telemetry.Gauge},
	issued: {Name: "issued_total"},
	failed: {Name: "failed_total"},
}}

const (
	held   = iota // that have somebody connected
	issued        // certificates
	failed        // attempts to issue one
)

func (s *Secrets) count(row int) {
	if s.Stats != nil {
		s.Stats.Inc(row)
	}
}
