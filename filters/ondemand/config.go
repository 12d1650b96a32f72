package ondemand

import (
	"google.golang.org/protobuf/proto"

	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:     "envoy.filters.http.on_demand",
		Type:     "envoy.extensions.filters.http.on_demand.v3.OnDemand",
		Override: "envoy.extensions.filters.http.on_demand.v3.PerRouteConfig",
		Decode: func(wire []byte) (any, error) {
			var m ondemandv3.OnDemand
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return read(m.GetOdcds())
		},
		DecodeOverride: func(wire []byte, _ string) (any, error) {
			var m ondemandv3.PerRouteConfig
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return read(m.GetOdcds())
		},
		Hooks: filters.OnRequestHeaders,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			clusters := c.(*config.OnDemand)
			return func(int) filters.Filter { return &filter{clusters: clusters} }
		},
	}
}

// read gives nil, of the right type, where clusters are not asked for.
func read(m *ondemandv3.OnDemandCds) (*config.OnDemand, error) {
	if m == nil {
		return nil, nil
	}
	return decode.OnDemand(m.GetSource(), m.GetTimeout(), "odcds", "source")
}
