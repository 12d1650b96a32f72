package grpchttp1bridge

import (
	"google.golang.org/protobuf/proto"

	bridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"

	"github.com/weftmesh/weft/filters"
)

// settings are the filter's configuration.
type settings struct {
	upgrade     bool // requests with a message of protobuf are made calls
	ignoreQuery bool // and the query of calls is taken off
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name: "envoy.filters.http.grpc_http1_bridge",
		Type: "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
		Decode: func(wire []byte) (any, error) {
			var m bridgev3.Config
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return &settings{upgrade: m.GetUpgradeProtobufToGrpc(), ignoreQuery: m.GetIgnoreQueryParameters()}, nil
		},
		Hooks: filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers | filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{settings: c.(*settings)} }
		},
	}
}
