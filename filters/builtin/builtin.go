package builtin

import (
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/filters/buffer"
	"github.com/weftmesh/weft/filters/fault"
	"github.com/weftmesh/weft/filters/localratelimit"
)

// All is every HTTP filter of the program, but for the router, which is not a filter here: it ends every chain. A new filter is one
// folder beside this one and one line here.
func All() []filters.Spec {
	return []filters.Spec{
		buffer.Spec(),
		fault.Spec(),
		localratelimit.Spec(),
	}
}
