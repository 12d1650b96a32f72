package remote

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/config"
)

// metadata is what filters noted.
func metadata(dst []byte, field protowire.Number, all config.Metadata) []byte {
	if len(all) == 0 {
		return dst
	}
	dst, outer := open(dst, field)
	for name, values := range all {
		var at int
		dst, at = open(dst, 1)
		dst = text(dst, 1, name)
		var held int
		dst, held = open(dst, 2)
		dst = end(end(object(dst, values, 0), held), at)
	}
	return end(dst, outer)
}

// maxDepth bounds how deep values are written that lie within one another.
const maxDepth = 32

// object is the content of a Struct.
func object(dst []byte, values map[string]any, depth int) []byte {
	for name, v := range values {
		var at, held int
		dst, at = open(dst, 1)
		dst = text(dst, 1, name)
		dst, held = open(dst, 2)
		dst = end(end(value(dst, v, depth+1), held), at)
	}
	return dst
}

// value is the content of a Value.
func value(dst []byte, v any, depth int) []byte {
	var at, held int
	switch v := v.(type) {
	case string:
		return always(dst, 3, v)
	case []byte:
		return always(dst, 3, v)
	case time.Duration:
		return always(dst, 3, v.String())
	case time.Time:
		dst, at = open(dst, 3)
		return end(v.AppendFormat(dst, time.RFC3339Nano), at)
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(dst, 2, protowire.Fixed64Type), math.Float64bits(v))
	case int64:
		return value(dst, float64(v), depth)
	case uint64:
		return value(dst, float64(v), depth)
	case bool:
		return protowire.AppendVarint(protowire.AppendTag(dst, 4, protowire.VarintType), protowire.EncodeBool(v))
	case map[string]any:
		if depth < maxDepth {
			dst, at = open(dst, 5)
			return end(object(dst, v, depth), at)
		}
	case []any:
		if depth < maxDepth {
			dst, at = open(dst, 6)
			for _, e := range v {
				dst, held = open(dst, 1)
				dst = end(value(dst, e, depth+1), held)
			}
			return end(dst, at)
		}
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, 1, protowire.VarintType), 0) // null
}
