package decompressor

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/decompressor/v3" // known, though nothing of it is read
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/decompressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/decompressor/v3" // likewise
	decompressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are the filter's configuration.
type settings struct {
	name      string // of the library, for statistics
	coding    filters.Coding
	ratio     uint64 // how many times its size a body may become
	request   direction
	response  direction
	advertise bool // to upstreams
}

// direction is what is decompressed one way.
type direction struct {
	enabled bool
	always  bool // whatever Cache-Control says
}

// usualRatio is Envoy's.
const usualRatio = 100

// Spec is the filter. There is nothing that routes say of it.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "envoy.filters.http.decompressor",
		Type:   "envoy.extensions.filters.http.decompressor.v3.Decompressor",
		Decode: func(wire []byte) (any, error) { return read(wire) },
		Hooks: filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers |
			filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Build: build,
	}
}

func read(wire []byte) (*settings, error) {
	var m decompressorv3.Decompressor
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{
		name:      m.GetDecompressorLibrary().GetName(),
		ratio:     usualRatio,
		request:   readDirection(m.GetRequestDirectionConfig().GetCommonConfig()),
		response:  readDirection(m.GetResponseDirectionConfig().GetCommonConfig()),
		advertise: isTrue(m.GetRequestDirectionConfig().GetAdvertiseAcceptEncoding()),
	}
	return s, s.readLibrary(m.GetDecompressorLibrary())
}

func readDirection(m *decompressorv3.Decompressor_CommonDirectionConfig) direction {
	return direction{enabled: isTrue(m.GetEnabled().GetDefaultValue()), always: m.GetIgnoreNoTransformHeader()}
}

func (s *settings) readLibrary(m *corev3.TypedExtensionConfig) error {
	any := m.GetTypedConfig()
	switch any.MessageName() {
	case "envoy.extensions.compression.gzip.decompressor.v3.Gzip":
		var g gzipv3.Gzip
		if err := proto.Unmarshal(any.GetValue(), &g); err != nil {
			return err
		}
		if w := g.GetMaxInflateRatio(); w != nil {
			s.ratio = uint64(w.GetValue())
		}
	case "envoy.extensions.compression.brotli.decompressor.v3.Brotli":
		s.coding = filters.Brotli
	case "envoy.extensions.compression.zstd.decompressor.v3.Zstd":
		s.coding = filters.Zstd
	default:
		return decode.Wrong("decompressor_library.typed_config", "%q is no decompressor", any.GetTypeUrl())
	}
	return nil
}

// isTrue is a yes unless it says no.
func isTrue(w *wrapperspb.BoolValue) bool { return w == nil || w.GetValue() }
