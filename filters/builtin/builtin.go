package builtin

import (
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/filters/buffer"
	"github.com/weftmesh/weft/filters/compressor"
	"github.com/weftmesh/weft/filters/cors"
	"github.com/weftmesh/weft/filters/csrf"
	"github.com/weftmesh/weft/filters/decompressor"
	"github.com/weftmesh/weft/filters/dubbo"
	"github.com/weftmesh/weft/filters/fault"
	"github.com/weftmesh/weft/filters/grpchttp1bridge"
	"github.com/weftmesh/weft/filters/grpcstats"
	"github.com/weftmesh/weft/filters/grpcweb"
	"github.com/weftmesh/weft/filters/headermutation"
	"github.com/weftmesh/weft/filters/headertometadata"
	"github.com/weftmesh/weft/filters/healthcheck"
	"github.com/weftmesh/weft/filters/istioalpn"
	"github.com/weftmesh/weft/filters/istiostats"
	"github.com/weftmesh/weft/filters/localratelimit"
	"github.com/weftmesh/weft/filters/ondemand"
	"github.com/weftmesh/weft/filters/peermetadata"
	"github.com/weftmesh/weft/filters/rbac"
	"github.com/weftmesh/weft/filters/setfilterstate"
)

// All is every HTTP filter of the program, but for the router, which is not a filter here: it ends every chain. A new filter is one
// folder beside this one and one line here.
func All() []filters.Spec {
	return []filters.Spec{
		buffer.Spec(),
		compressor.Spec(),
		cors.Spec(),
		csrf.Spec(),
		decompressor.Spec(),
		dubbo.Spec(),
		fault.Spec(),
		grpchttp1bridge.Spec(),
		grpcstats.Spec(),
		grpcweb.Spec(),
		headermutation.Spec(),
		headertometadata.Spec(),
		healthcheck.Spec(),
		istioalpn.Spec(),
		istiostats.Spec(),
		localratelimit.Spec(),
		ondemand.Spec(),
		peermetadata.Spec(),
		rbac.Spec(),
		setfilterstate.Spec(),
	}
}
