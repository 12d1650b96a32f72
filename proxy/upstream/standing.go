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

	// since is when the endpoint began to serve, in nanoseconds since the Set was made.
	since atomic.Int64
}

type standingKey struct {
	cluster string
	address config.Address
}
