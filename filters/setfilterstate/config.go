package setfilterstate

import (
	"google.golang.org/protobuf/proto"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	values     []config.SetState
	clearRoute bool
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.set_filter_state",
		Type:           "envoy.extensions.filters.http.set_filter_state.v3.Config",
		Override:       "envoy.extensions.filters.http.set_filter_state.v3.Config",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire) },
		Hooks:          filters.OnRequestHeaders,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{chain: c.(*settings)} }
		},
	}
}

func read(wire []byte) (*settings, error) {
	var m statev3.Config
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	values, err := decode.FilterStates(m.GetOnRequestHeaders(), "on_request_headers")
	return &settings{values: values, clearRoute: m.GetClearRouteCache()}, err
}
