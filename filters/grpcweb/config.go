package grpcweb

import (
	"google.golang.org/protobuf/proto"

	webv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"

	"github.com/weftmesh/weft/filters"
)

// Spec is the filter. There is nothing to configure.
func Spec() filters.Spec {
	return filters.Spec{
		Name: "envoy.filters.http.grpc_web",
		Type: "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
		Decode: func(wire []byte) (any, error) {
			var m webv3.GrpcWeb
			return struct{}{}, proto.Unmarshal(wire, &m)
		},
		Hooks: filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers | filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Build: func(_ any, site filters.Site) func(int) filters.Filter {
			calls := filters.CallsOf(site, true)
			return func(loop int) filters.Filter { return &filter{calls: calls, loop: loop} }
		},
	}
}
