package decompressor

import "github.com/weftmesh/weft/telemetry"

// Rows of the numbers of one direction, under Envoy's names.
const (
	decompressed = iota
	notDecompressed
	uncompressedBytes
	compressedBytes
	broken
	swollen
	overflow
)

var directionStats = &telemetry.Table{Kind: "http_decompressor", Metrics: []telemetry.Metric{
	decompressed:      {Name: "decompressed"},
	notDecompressed:   {Name: "not_decompressed"},
	uncompressedBytes: {Name: "total_uncompressed_bytes"},
	compressedBytes:   {Name: "total_compressed_bytes"},
	// Envoy counts errors by what its libraries call them, and has no limit of memory.
	broken:   {Name: "broken"},
	swollen:  {Name: "inflate_ratio_exceeded"},
	overflow: {Name: "overflow"},
}}
