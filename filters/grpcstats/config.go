package grpcstats

import (
	"google.golang.org/protobuf/proto"

	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"

	"github.com/weftmesh/weft/filters"
)

// settings are the filter's configuration.
type settings struct {
	tell        bool                       // logs, of how many messages there were
	all         bool                       // every method counts by itself, while there is room
	only        map[string]map[string]bool // these methods of these services do
	time        bool                       // of the upstream is counted
	withoutDots bool                       // in names of services
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "envoy.filters.http.grpc_stats",
		Type:   "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
		Decode: func(wire []byte) (any, error) { return read(wire) },
		Hooks:  filters.OnRequestHeaders | filters.OnRequestBody | filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Build: func(c any, site filters.Site) func(int) filters.Filter {
			calls := filters.CallsOf(site, false)
			return func(loop int) filters.Filter { return &filter{settings: c.(*settings), calls: calls, loop: loop} }
		},
	}
}

func read(wire []byte) (*settings, error) {
	var m statsv3.FilterConfig
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{
		tell: m.GetEmitFilterState(), all: m.GetStatsForAllMethods().GetValue(), time: m.GetEnableUpstreamStats(),
		withoutDots: m.GetReplaceDotsInGrpcServiceName(), only: map[string]map[string]bool{},
	}
	for _, service := range m.GetIndividualMethodStatsAllowlist().GetServices() {
		methods := s.only[service.GetName()]
		if methods == nil {
			methods = map[string]bool{}
			s.only[service.GetName()] = methods
		}
		for _, name := range service.GetMethodNames() {
			methods[name] = true
		}
	}
	return s, nil
}
