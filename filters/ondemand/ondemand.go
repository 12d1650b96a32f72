package ondemand

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
)

// filter serves one exchange.
type filter struct {
	filters.Pass
	clusters *config.OnDemand // nil: they are not asked for
	asked    int
}

// maxAsked bounds what one request waits for: its scope's routes, its virtual host and its cluster, and what those that came lead to.
const maxAsked = 4

// RequestHeaders waits for what is missing.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	if f.asked >= maxAsked || !x.AwaitMissing(f.from(x)) {
		return filters.Continue
	}
	f.asked++
	return filters.Await
}

// from is where clusters come from for the request.
func (f *filter) from(x filters.Exchange) *config.OnDemand {
	if o, ok := x.Override().(*config.OnDemand); ok {
		return o
	}
	return f.clusters
}

// Resume looks again: what has come may lack something itself.
func (f *filter) Resume(x filters.Exchange, r filters.Result) filters.Action {
	x.ClearRoute()
	if r.Err != nil {
		return filters.Continue // the router says what is missing
	}
	return f.RequestHeaders(x, false)
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) { f.asked = 0 }
