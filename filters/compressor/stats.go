package compressor

import "github.com/weftmesh/weft/telemetry"

// Rows of the numbers of one direction, under Envoy's names.
const (
	compressed = iota
	notCompressed
	uncompressedBytes
	compressedBytes
	tooSmall
	overflow
)

var directionStats = &telemetry.Table{Kind: "http_compressor", Metrics: []telemetry.Metric{
	compressed:        {Name: "compressed"},
	notCompressed:     {Name: "not_compressed"},
	uncompressedBytes: {Name: "total_uncompressed_bytes"},
	compressedBytes:   {Name: "total_compressed_bytes"},
	tooSmall:          {Name: "content_length_too_small"},
	// Envoy has no such number, for it has no such limit.
	overflow: {Name: "not_compressed_overflow"},
}}

// Rows of the numbers of what clients accept.
const (
	noAcceptHeader = iota
	headerIdentity
	headerUsed
	headerOvershadowed
	headerWildcard
	headerNotValid
	withETag
)

var acceptStats = &telemetry.Table{Kind: "http_compressor_accept", Metrics: []telemetry.Metric{
	noAcceptHeader:     {Name: "no_accept_header"},
	headerIdentity:     {Name: "header_identity"},
	headerUsed:         {Name: "header_compressor_used"},
	headerOvershadowed: {Name: "header_compressor_overshadowed"},
	headerWildcard:     {Name: "header_wildcard"},
	headerNotValid:     {Name: "header_not_valid"},
	withETag:           {Name: "not_compressed_etag"},
}}
