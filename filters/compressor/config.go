package compressor

import (
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	brotliv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/compressor/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	zstdv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/compressor/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"

	"github.com/klauspost/compress/gzip"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are the filter's configuration.
type settings struct {
	name         string // of the library, for statistics
	library      library
	request      direction
	response     direction
	responseStat string // what its statistics have before their names
	notWithETag  bool
	weakenETag   bool
	hideAccept   bool // from upstreams
	tellStatus   bool
	notWith      []uint32 // statuses
	chooseFirst  bool
}

// direction is what is compressed one way.
type direction struct {
	enabled   bool
	minLength uint64
	types     []string             // media types, in any case; the usual ones if neither they nor matches are given
	matches   []config.StringMatch // of media types, instead
}

// override is what a route says.
type override struct {
	off, on    bool  // of responses
	hideAccept *bool // nil: not said
	library    *library
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.compressor",
		Type:           "envoy.extensions.filters.http.compressor.v3.Compressor",
		Override:       "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return readOverride(wire) },
		Hooks: filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers |
			filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers,
		Build: build,
	}
}

func read(wire []byte) (*settings, error) {
	var m compressorv3.Compressor
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{name: m.GetCompressorLibrary().GetName(), chooseFirst: m.GetChooseFirst()}
	var errs [3]error
	s.library, errs[0] = readLibrary(m.GetCompressorLibrary(), "compressor_library")
	if r := m.GetRequestDirectionConfig(); r != nil {
		s.request, errs[1] = readDirection(r.GetCommonConfig(), "request_direction_config.common_config")
	}
	if r := m.GetResponseDirectionConfig(); r != nil {
		s.responseStat = "response."
		s.response, errs[2] = readDirection(r.GetCommonConfig(), "response_direction_config.common_config")
		s.notWithETag = r.GetDisableOnEtagHeader() && !r.GetWeakenEtagOnCompress()
		s.weakenETag = r.GetWeakenEtagOnCompress()
		s.hideAccept, s.tellStatus, s.notWith = r.GetRemoveAcceptEncodingHeader(), r.GetStatusHeaderEnabled(), r.GetUncompressibleResponseCodes()
	} else {
		// The fields that were there before directions were told apart hold without them.
		s.response = direction{enabled: enabled(m.GetRuntimeEnabled()), minLength: minLength(m.GetContentLength()), types: m.GetContentType()}
		s.notWithETag, s.hideAccept = m.GetDisableOnEtagHeader(), m.GetRemoveAcceptEncodingHeader()
	}
	return s, errors.Join(errs[:]...)
}

func readDirection(m *compressorv3.Compressor_CommonDirectionConfig, path string) (direction, error) {
	d := direction{enabled: enabled(m.GetEnabled()), minLength: minLength(m.GetMinContentLength()), types: m.GetContentType()}
	var err error
	d.matches, err = decode.StringMatches(m.GetContentTypeMatcher(), path+".content_type_matcher")
	return d, err
}

// enabled is a flag without runtime: on unless it says otherwise.
func enabled(m *corev3.RuntimeFeatureFlag) bool {
	w := m.GetDefaultValue()
	return w == nil || w.GetValue()
}

// minLength is the shortest body that is compressed; 0 means the usual length, with Envoy.
func minLength(w *wrapperspb.UInt32Value) uint64 {
	if n := w.GetValue(); n > 0 {
		return uint64(n)
	}
	return 30
}

func readOverride(wire []byte) (*override, error) {
	var m compressorv3.CompressorPerRoute
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	o := &override{off: m.GetDisabled()}
	if r := m.GetOverrides().GetResponseDirectionConfig(); r != nil {
		o.on = true
		if w := r.GetRemoveAcceptEncodingHeader(); w != nil {
			o.hideAccept = &w.Value
		}
	}
	if l := m.GetOverrides().GetCompressorLibrary(); l != nil {
		library, err := readLibrary(l, "overrides.compressor_library")
		o.library = &library
		return o, err
	}
	return o, nil
}

func readLibrary(m *corev3.TypedExtensionConfig, path string) (library, error) {
	any := m.GetTypedConfig()
	switch any.MessageName() {
	case "envoy.extensions.compression.gzip.compressor.v3.Gzip":
		var g gzipv3.Gzip
		err := proto.Unmarshal(any.GetValue(), &g)
		level := int(g.GetCompressionLevel())
		if level == 0 {
			level = 6 // what zlib means by its default
		}
		if g.GetCompressionStrategy() == gzipv3.Gzip_HUFFMAN_ONLY {
			level = gzip.HuffmanOnly
		}
		return library{coding: filters.Gzip, level: level}, err
	case "envoy.extensions.compression.brotli.compressor.v3.Brotli":
		var b brotliv3.Brotli
		err := proto.Unmarshal(any.GetValue(), &b)
		return library{coding: filters.Brotli, level: or(b.GetQuality(), 3), window: or(b.GetWindowBits(), 18)}, err
	case "envoy.extensions.compression.zstd.compressor.v3.Zstd":
		var z zstdv3.Zstd
		err := proto.Unmarshal(any.GetValue(), &z)
		level := or(z.GetCompressionLevel(), 3)
		if level == 0 {
			level = 3
		}
		return library{coding: filters.Zstd, level: min(level, 22), checksum: z.GetEnableChecksum()}, err
	}
	return library{}, decode.Wrong(path+".typed_config", "%q is no compressor", any.GetTypeUrl())
}

func or(w *wrapperspb.UInt32Value, otherwise int) int {
	if w == nil {
		return otherwise
	}
	return int(w.GetValue())
}
