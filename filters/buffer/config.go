package buffer

import (
	"google.golang.org/protobuf/proto"

	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"

	"github.com/weftmesh/weft/filters"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	limit int // bytes of a request's body
	off   bool
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:     "envoy.filters.http.buffer",
		Type:     "envoy.extensions.filters.http.buffer.v3.Buffer",
		Override: "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
		Decode: func(wire []byte) (any, error) {
			var m bufferv3.Buffer
			err := proto.Unmarshal(wire, &m)
			return read(&m), err
		},
		DecodeOverride: func(wire []byte, _ string) (any, error) {
			var m bufferv3.BufferPerRoute
			err := proto.Unmarshal(wire, &m)
			if m.GetBuffer() == nil {
				return &settings{off: m.GetDisabled()}, err
			}
			return read(m.GetBuffer()), err
		},
		Hooks: filters.OnRequestHeaders | filters.OnRequestBody,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{chain: c.(*settings)} }
		},
	}
}

func read(m *bufferv3.Buffer) *settings {
	return &settings{limit: int(m.GetMaxRequestBytes().GetValue())}
}
