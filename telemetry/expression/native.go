package expression

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weftmesh/weft/telemetry/accesslog"
)

// native turns a value into Go's. What is nested deeper than an expression may be has no form
// that could be written.
func native(v ref.Val, depth int) any {
	switch v := v.(type) {
	case types.Bool:
		return bool(v)
	case types.Int:
		return int64(v)
	case types.Uint:
		return uint64(v)
	case types.Double:
		return float64(v)
	case types.String:
		return string(v)
	case types.Bytes:
		return []byte(v)
	case types.Duration:
		return v.Duration
	case types.Timestamp:
		return v.Time
	case types.Null:
		return nil
	}
	switch v := v.(type) {
	case object:
		if v.what < theRequestFields {
			return accesslog.Opaque("CelMap")
		}
		return entries(v, depth)
	case traits.Mapper:
		return entries(v, depth)
	case traits.Lister:
		if depth == maxDepth {
			break
		}
		list := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			list = append(list, native(it.Next(), depth+1))
		}
		return list
	}
	return accesslog.Opaque("CelType")
}

func entries(m traits.Mapper, depth int) any {
	all := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.ConvertToType(types.StringType).(types.String)
		if !ok || depth == maxDepth {
			return accesslog.Opaque("CelMap")
		}
		all[string(name)] = native(m.Get(key), depth+1)
	}
	return all
}
