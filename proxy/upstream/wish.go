package upstream

import (
	"net/netip"
	"slices"

	"github.com/weftmesh/weft/config"
)

// Wish is what an attempt asks of the choice of an endpoint. It belongs to whoever chooses and is read during the choice only.
type Wish struct {
	Hash   uint64 // of the request by the route's policies, if Hashed
	Hashed bool
	// Subset is what the route wants of the endpoint's metadata; nil: nothing.
	Subset *config.Subset
	// Tried are the endpoints of earlier attempts. One of them is chosen again only if Attempts more choices in a row find nothing else.
	Tried    []*Endpoint
	Attempts uint32
	// Spent are the priorities of earlier attempts, if the others are to be preferred.
	Spent Priorities
	// Destination is where the downstream connection was going before it was redirected to us.
	Destination netip.AddrPort
}

// refuses tells whether another endpoint is wanted than that one.
func (w *Wish) refuses(e *Endpoint) bool { return slices.Contains(w.Tried, e) }

// Outcome is how an attempt ended: with the head of a response, or with a failure, or because we waited no longer.
type Outcome struct {
	Status   uint16 // of the final head; 0: none came
	CountsAs uint16 // to outlier detection, instead of Status; 0: as that
	Failure  Failure
	TimedOut bool
	Tunnel   bool // it is of a connection that is carried
	Degraded bool // the answer says that the endpoint is
	Unwell   bool // the answer says that health checks of the endpoint are to fail from now on
}
