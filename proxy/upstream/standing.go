package upstream

import (
	"sync/atomic"

	"github.com/weftmesh/weft/config"
)

// Standing is what is known of an endpoint's health beside what its source says. It goes by the cluster and the address, and outlives
// configurations: neither an ejection nor what checks have found is forgotten because something was configured anew.
type Standing struct {
	key  standingKey
	refs int // endpoints that have it; for the Set's goroutine

	// since is when the endpoint came, in nanoseconds since the Set was made.
	since   atomic.Int64
	marks   atomic.Uint32
	checked atomic.Bool // health checks have begun
	tally   tally
	outlier atomic.Pointer[outlier] // nil: no cluster has asked for outlier detection
}

type standingKey struct {
	cluster string
	address config.Address
}

// Marks of an endpoint that is not as healthy as its source says.
const (
	Ejected        = 1 << iota // by outlier detection
	FailedCheck                // by health checks; also before the first
	DegradedCheck              // as a health check was told
	PendingCheck               // no health check has had a result yet
	SaidUnwell                 // by an answer to a request, and by no check since
	DegradedAnswer             // as an answer to a request has said, for a while
	Ignored                    // as PendingCheck, in a cluster that does not count such endpoints
)

// excluded are the marks of endpoints that do not count when it is asked which part of a priority is well.
const excluded = SaidUnwell | Ignored

// Has tells whether one of the marks is set.
func (s *Standing) Has(marks uint32) bool { return s.marks.Load()&marks != 0 }

// mark sets or takes away marks and tells whether that changed anything.
func (s *Standing) mark(marks uint32, on bool) bool {
	if on {
		return s.marks.Or(marks)&marks != marks
	}
	return s.marks.And(^marks)&marks != 0
}

// await makes the endpoint one that health checks find out about, or one that they do not.
func (s *Standing) await(checked, ignored bool) {
	switch {
	case !checked:
		s.mark(FailedCheck|DegradedCheck|PendingCheck|excluded, false)
		s.checked.Store(false)
	case !s.checked.Swap(true):
		s.mark(FailedCheck|PendingCheck, true) // not well until one has passed
		s.mark(Ignored, ignored)
	}
}
