package istioalpn

import (
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// filter says what one request's connection offers.
type filter struct {
	filters.Pass
	offers *settings
}

// RequestHeaders offers what is configured for the version that the cluster is spoken to in, unless the cluster's metadata says that it is
// not to be.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	v, known := x.UpstreamVersion()
	if !known || f.offers[v] == nil {
		return filters.Continue
	}
	if wanted, _ := x.Entry().About[accesslog.OfCluster]["istio"]["alpn_override"].(string); wanted != "false" {
		x.Offer(f.offers[v])
	}
	return filters.Continue
}
