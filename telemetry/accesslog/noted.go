package accesslog

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
)

// metadata writes what filters noted: text as it is, everything else in JSON.
func (o *operator) metadata(dst []byte, all config.Metadata) (out []byte, raw, ok bool) {
	m, ok := all[o.path[0]]
	if !ok {
		return dst, false, false
	}
	var v any = m
	for _, key := range o.path[1:] {
		m, _ := v.(map[string]any)
		if v, ok = m[key]; !ok {
			return dst, false, false
		}
	}
	if text, ok := v.(string); ok {
		return append(dst, text...), false, true
	}
	// Within a string of JSON's, JSON is text like any other.
	return appendJSON(dst, v, 0), o.write == writeValue, true
}

// state writes what a filter set.
func (o *operator) state(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	for i := range e.State {
		s := &e.State[i]
		switch {
		case s.Name != o.name:
			continue
		case o.quoted && o.write == writeValue && s.Object != "":
			return append(dst, s.Object...), true, true
		case o.quoted && o.write != writeValue && s.Text != "":
			return append(dst, s.Text...), false, true
		case o.quoted && o.write != writeValue:
			return appendJSON(dst, s.Value, 0), false, true
		}
		return append(dst, s.Value...), false, true
	}
	return dst, false, false
}

// appendJSON writes a value of metadata. Keys are sorted, so that equal values look the same.
func appendJSON(dst []byte, v any, depth int) []byte {
	switch v := v.(type) {
	case string:
		dst = append(dst, '"')
		from := len(dst)
		return append(escapeFrom(append(dst, v...), from, true), '"')
	case float64:
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case []byte, time.Duration, time.Time:
		dst, _, _ = appendTyped(append(dst, '"'), v)
		return append(dst, '"')
	}
	if depth == maxDepth {
		return append(dst, "null"...)
	}
	switch v := v.(type) {
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e, depth+1)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, key, depth+1), ':')
			dst = appendJSON(dst, v[key], depth+1)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}
