package setfilterstate

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// filter sets the values of one exchange.
type filter struct {
	filters.Pass
	chain *settings
	text  []byte
}

// RequestHeaders sets them.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	s := f.chain
	if o, ok := x.Override().(*settings); ok {
		s = o
	}
	for i := range s.values {
		v := &s.values[i]
		if f.text = v.Format.(*accesslog.Format).Append(f.text[:0], x.Entry()); len(f.text) > 0 || !v.SkipEmpty {
			x.SetFilterState(config.State{Name: v.Name, Value: string(f.text), Hashable: v.Hashable})
		}
	}
	if s.clearRoute {
		x.ClearRoute()
	}
	return filters.Continue
}
