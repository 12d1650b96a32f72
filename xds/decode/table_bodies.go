package decode

// What libraries do in their own way, so that the bytes are others and mean the same.
const (
	ownWay    = "a hint to the library, which has ways of its own; bodies are only longer or shorter for it"
	ownPieces = "bodies go on in pieces as they come"
)

// bodyTable holds what filters read that compress and decompress bodies.
var bodyTable = table{
	"envoy.extensions.filters.http.compressor.v3.Compressor": {
		"content_length":                run,
		"content_type":                  run,
		"disable_on_etag_header":        run,
		"remove_accept_encoding_header": run,
		"runtime_enabled":               run,
		"compressor_library":            as("compressor"),
		"request_direction_config":      run,
		"response_direction_config":     run,
		"choose_first":                  run,
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.RequestDirectionConfig": {
		"common_config": run,
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig": {
		"common_config":                 run,
		"disable_on_etag_header":        run,
		"weaken_etag_on_compress":       run,
		"remove_accept_encoding_header": run,
		"uncompressible_response_codes": run,
		"status_header_enabled":         run,
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig": {
		"enabled":              run,
		"min_content_length":   run,
		"content_type":         run,
		"content_type_matcher": run,
	},
	"envoy.extensions.filters.http.compressor.v3.CompressorPerRoute": {
		"disabled":  run,
		"overrides": run,
	},
	"envoy.extensions.filters.http.compressor.v3.CompressorOverrides": {
		"response_direction_config": run,
		"compressor_library":        as("compressor"),
	},
	"envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides": {
		"remove_accept_encoding_header": run,
	},
	"envoy.config.core.v3.TypedExtensionConfig@compressor": {
		"name":         run,
		"typed_config": extension("envoy.extensions.compression.brotli.compressor.v3.Brotli", "envoy.extensions.compression.gzip.compressor.v3.Gzip", "envoy.extensions.compression.zstd.compressor.v3.Zstd"),
	},
	"envoy.extensions.compression.gzip.compressor.v3.Gzip": {
		"memory_level":         harmless(ownWay),
		"compression_level":    oneOf("DEFAULT_COMPRESSION", "BEST_SPEED", "COMPRESSION_LEVEL_2", "COMPRESSION_LEVEL_3", "COMPRESSION_LEVEL_4", "COMPRESSION_LEVEL_5", "COMPRESSION_LEVEL_6", "COMPRESSION_LEVEL_7", "COMPRESSION_LEVEL_8", "COMPRESSION_LEVEL_9").and(harmless("another name of the fastest and of the best"), "COMPRESSION_LEVEL_1", "BEST_COMPRESSION"),
		"compression_strategy": oneOf("DEFAULT_STRATEGY", "HUFFMAN_ONLY").and(harmless(ownWay), "FILTERED", "RLE", "FIXED"),
		"window_bits":          harmless("whoever reads gzip remembers 32 KiB, so they are used"),
		"chunk_size":           harmless(ownPieces),
	},
	"envoy.extensions.compression.brotli.compressor.v3.Brotli": {
		"quality":                          run,
		"encoder_mode":                     harmless(ownWay),
		"window_bits":                      run,
		"input_block_bits":                 harmless(ownWay),
		"chunk_size":                       harmless(ownPieces),
		"disable_literal_context_modeling": harmless(ownWay),
	},
	"envoy.extensions.compression.zstd.compressor.v3.Zstd": {
		"compression_level": run,
		"enable_checksum":   run,
		"strategy":          harmless(ownWay),
		"dictionary":        later("bodies are compressed without dictionaries"),
		"chunk_size":        harmless(ownPieces),
	},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor": {
		"decompressor_library":      as("decompressor"),
		"request_direction_config":  run,
		"response_direction_config": run,
	},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.RequestDirectionConfig": {
		"common_config":             run,
		"advertise_accept_encoding": run,
	},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.ResponseDirectionConfig": {
		"common_config": run,
	},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.CommonDirectionConfig": {
		"enabled":                    run,
		"ignore_no_transform_header": run,
	},
	"envoy.config.core.v3.TypedExtensionConfig@decompressor": {
		"name":         run,
		"typed_config": extension("envoy.extensions.compression.brotli.decompressor.v3.Brotli", "envoy.extensions.compression.gzip.decompressor.v3.Gzip", "envoy.extensions.compression.zstd.decompressor.v3.Zstd"),
	},
	"envoy.extensions.compression.gzip.decompressor.v3.Gzip": {
		"window_bits":       harmless("32 KiB are remembered, as much as a body may refer to"),
		"chunk_size":        harmless(ownPieces),
		"max_inflate_ratio": run,
	},
	"envoy.extensions.compression.brotli.decompressor.v3.Brotli": {
		"disable_ring_buffer_reallocation": harmless("how memory is had is not seen"),
		"chunk_size":                       harmless(ownPieces),
	},
	"envoy.extensions.compression.zstd.decompressor.v3.Zstd": {
		"dictionaries": later("bodies are decompressed without dictionaries"),
		"chunk_size":   harmless(ownPieces),
	},
}
