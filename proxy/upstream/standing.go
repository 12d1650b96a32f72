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
	outlier atomic.Pointer[outlier] // nil: no cluster has asked for outlier detection
}

type standingKey struct {
	cluster string
	address config.Address
}

// Marks of an endpoint that is not as healthy as its source says.
const (
	Ejected = 1 << iota // by outlier detection
)

// Has tells whether one of the marks is set.
func (s *Standing) Has(marks uint32) bool { return s.marks.Load()&marks != 0 }

// mark sets or takes away marks and tells whether that changed anything.
func (s *Standing) mark(marks uint32, on bool) bool {
	if on {
		return s.marks.Or(marks)&marks != marks
	}
	return s.marks.And(^marks)&marks != 0
}
