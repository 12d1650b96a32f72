package accesslog

import (
	"encoding/base64"
	"strconv"
	"time"
)

// Expression is something that is asked about each entry. What compiles expressions may see this room, and not the other way round.
type Expression interface {
	// Holds tells whether it is true; what fails or is no truth is not.
	Holds(e *Entry) bool
	// Value is what it says: bool, int64, uint64, float64, string, []byte, time.Duration, time.Time, nil, []any, map[string]any or Opaque.
	Value(e *Entry) (v any, ok bool)
}

// Opaque is a value that cannot be written, by the name of its type.
type Opaque string

// expressed writes what an expression says: as text, or, typed, as what it is in JSON.
func (o *operator) expressed(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	v, ok := o.expression.Value(e)
	if !ok {
		return dst, false, false
	}
	if o.quoted && o.write == writeValue {
		return appendTyped(dst, v)
	}
	switch v := v.(type) {
	case nil:
		dst = append(dst, "NULL"...)
	case float64:
		dst = strconv.AppendFloat(dst, v, 'g', 6, 64)
	case string:
		dst = append(dst, v...)
	case []byte:
		dst = append(dst, v...)
	case time.Duration:
		dst = appendDuration(dst, v)
	case time.Time:
		dst = v.UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999999-07:00")
	case []any:
		dst = append(dst, "CelList value"...)
	case map[string]any:
		dst = append(dst, "CelMap value"...)
	case Opaque:
		dst = append(append(dst, v...), " value"...)
	default:
		dst = appendJSON(dst, v, 0)
	}
	return dst, false, true
}

// appendTyped writes a value of its own as JSON. Times are written as protobuf writes them, bytes in base64.
func appendTyped(dst []byte, v any) (out []byte, raw, ok bool) {
	switch v := v.(type) {
	case string:
		return append(dst, v...), false, true
	case []byte:
		return base64.StdEncoding.AppendEncode(dst, v), false, true
	case time.Duration:
		return appendSeconds(dst, v), false, true
	case time.Time:
		return appendZulu(dst, v), false, true
	case Opaque:
		return dst, false, false
	}
	return appendJSON(dst, v, 0), true, true
}

// appendDuration writes 1h30m, 1.5s or 123.269us: Go's text of it, but for the sign of micro and the parts that are nothing.
func appendDuration(dst []byte, d time.Duration) []byte {
	if d < 0 {
		dst, d = append(dst, '-'), -d
	}
	unit := func(n int64, of time.Duration, name string) {
		dst = append(strconv.AppendFloat(dst, float64(n)/float64(of), 'f', -1, 64), name...)
	}
	switch {
	case d == 0:
		return append(dst, '0')
	case d < time.Microsecond:
		unit(int64(d), 1, "ns")
		return dst
	case d < time.Millisecond:
		unit(int64(d), time.Microsecond, "us")
		return dst
	case d < time.Second:
		unit(int64(d), time.Millisecond, "ms")
		return dst
	}
	if h := int64(d / time.Hour); h > 0 {
		unit(h, 1, "h")
	}
	if m := int64(d % time.Hour / time.Minute); m > 0 {
		unit(m, 1, "m")
	}
	if s := d % time.Minute; s > 0 {
		unit(int64(s), time.Second, "s")
	}
	return dst
}

// appendSeconds writes 0, 3, 6 or 9 digits behind the point.
func appendSeconds(dst []byte, d time.Duration) []byte {
	if d < 0 {
		dst, d = append(dst, '-'), -d
	}
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	return append(appendThirds(dst, int(d%time.Second)), 's')
}

func appendZulu(dst []byte, t time.Time) []byte {
	t = t.UTC()
	return append(appendThirds(t.AppendFormat(dst, "2006-01-02T15:04:05"), t.Nanosecond()), 'Z')
}

func appendThirds(dst []byte, ns int) []byte {
	switch {
	case ns == 0:
		return dst
	case ns%1e6 == 0:
		return appendFraction(append(dst, '.'), ns, 3)
	case ns%1e3 == 0:
		return appendFraction(append(dst, '.'), ns, 6)
	}
	return appendFraction(append(dst, '.'), ns, 9)
}
