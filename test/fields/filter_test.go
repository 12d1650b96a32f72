package fields

import (
	"google.golang.org/protobuf/proto"

	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"

	"github.com/weftmesh/weft/filters"
)

// tagger is a filter for these tests: it tells the upstream its number, which is its own or the route's.
var tagger = filters.Spec{
	Name:     "envoy.filters.http.buffer",
	Type:     "envoy.extensions.filters.http.buffer.v3.Buffer",
	Override: "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
	Decode: func(wire []byte) (any, error) {
		var m bufferv3.Buffer
		err := proto.Unmarshal(wire, &m)
		return byte('0' + m.GetMaxRequestBytes().GetValue()), err
	},
	DecodeOverride: func(wire []byte, _ string) (any, error) {
		var m bufferv3.BufferPerRoute
		err := proto.Unmarshal(wire, &m)
		return byte('0' + m.GetBuffer().GetMaxRequestBytes().GetValue()), err
	},
	Hooks: filters.OnRequestHeaders,
	Build: func(config any, _ filters.Site) func(int) filters.Filter {
		return func(int) filters.Filter { return &tag{number: config.(byte)} }
	},
}

type tag struct {
	filters.Pass
	number byte
}

func (f *tag) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	n := f.number
	if o, ok := x.Override().(byte); ok {
		n = o
	}
	x.Request().AddNamed([]byte("x-tag"), []byte{n})
	return filters.Continue
}
