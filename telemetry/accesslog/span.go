package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is the time between two points of an exchange, in 1/unit of a second.
type span struct {
	from, to point
	unit     uint32 // 1e3, 1e6 or 1e9
}

// point is a moment in an exchange's life, or in that of its connections.
type point uint8

const (
	pointStart point = iota
	pointRequestEnd
	pointUpstreamFirstSent
	pointUpstreamLastSent
	pointUpstreamHead
	pointUpstreamEnd
	pointDownstreamHead
	pointAnswered // the end, of what was answered whole
	pointEnd
	// pointNever is one that nobody sets: names that are no known ones, which Envoy leaves to its extensions to set.
	pointNever
	// What follows is told of More.
	pointAccepted
	pointGone
	pointRequestHead
	pointDialled
	pointConnected
	pointUpstreamBody
	pointShaking
	pointShaken
	pointUpstreamShaken
)

var points = map[string]point{
	"DS_CX_BEG":      pointAccepted,
	"DS_CX_END":      pointGone,
	"DS_HS_BEG":      pointShaking,
	"DS_HS_END":      pointShaken,
	"DS_RX_BEG":      pointStart,
	"DS_RX_HDR_END":  pointRequestHead,
	"DS_RX_END":      pointRequestEnd,
	"US_CX_BEG":      pointDialled,
	"US_CX_END":      pointConnected,
	"US_HS_END":      pointUpstreamShaken,
	"US_TX_BEG":      pointUpstreamFirstSent,
	"US_TX_END":      pointUpstreamLastSent,
	"US_RX_BEG":      pointUpstreamHead,
	"US_RX_BODY_BEG": pointUpstreamBody,
	"US_RX_END":      pointUpstreamEnd,
	"DS_TX_BEG":      pointDownstreamHead,
	"DS_TX_END":      pointAnswered,
}

var units = map[string]uint32{"ms": 1e3, "us": 1e6, "ns": 1e9}

// few tells whether the point is kept only where a format asks for it.
func (p point) few() bool { return p > pointNever }

// parseSpan reads FROM:TO or FROM:TO:UNIT. Any name is one of a point, with Envoy.
func parseSpan(s string) (span, error) {
	parts := strings.Split(s, ":")
	t := span{unit: units["ms"]}
	if len(parts) != 2 && len(parts) != 3 {
		return t, fmt.Errorf("parameter %q: want FROM:TO or FROM:TO:UNIT, as in DS_RX_BEG:DS_TX_END:ms", s)
	}
	t.from, t.to = pointNamed(parts[0]), pointNamed(parts[1])
	if len(parts) == 3 {
		var ok bool
		if t.unit, ok = units[parts[2]]; !ok {
			return t, fmt.Errorf("unit %q: want ms, us or ns", parts[2])
		}
	}
	return t, nil
}

func pointNamed(name string) point {
	if p, ok := points[name]; ok {
		return p
	}
	return pointNever
}

// append writes the span's time. There is none between points of which the second came first.
func (s *span) append(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	from, began := e.at(s.from)
	to, ended := e.at(s.to)
	if !began || !ended || to < from {
		return dst, false, false
	}
	return strconv.AppendInt(dst, int64(to-from)/(1e9/int64(s.unit)), 10), true, true
}

// at is when a point was, since the start, and whether it has been.
func (e *Entry) at(p point) (time.Duration, bool) {
	var at time.Duration
	switch p {
	case pointStart:
	case pointRequestEnd:
		at = e.RequestEnd
	case pointUpstreamFirstSent:
		at = e.UpstreamFirstSent
	case pointUpstreamLastSent:
		at = e.UpstreamLastSent
	case pointUpstreamHead:
		at = e.UpstreamHead
	case pointUpstreamEnd:
		at = e.UpstreamEnd
	case pointDownstreamHead:
		at = e.DownstreamHead
	case pointAnswered:
		return e.End, e.Answered
	case pointEnd:
		at = e.End
	default:
		return e.More.at(p)
	}
	return at, at >= 0
}

// Instant is a point in time that may lie before the start: connections are older than what they carry.
type Instant struct {
	since    time.Duration
	happened bool
}

// At is a point that has been.
func At(since time.Duration) Instant { return Instant{since, true} }

// Happened tells whether the point has been.
func (i Instant) Happened() bool { return i.happened }

// MarshalText writes the point for another process; empty: it has not been.
func (i Instant) MarshalText() ([]byte, error) {
	if !i.happened {
		return []byte{}, nil
	}
	return strconv.AppendInt(nil, int64(i.since), 10), nil
}

// UnmarshalText reads what MarshalText wrote.
func (i *Instant) UnmarshalText(b []byte) error {
	if *i = (Instant{}); len(b) == 0 {
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err == nil {
		*i = At(time.Duration(n))
	}
	return err
}

func (m *More) at(p point) (time.Duration, bool) {
	if m == nil {
		m = &none
	}
	var i Instant
	switch p {
	case pointAccepted:
		i = m.Accepted
	case pointGone:
		i = m.Gone
	case pointRequestHead:
		i = m.RequestHead
	case pointDialled:
		i = m.Dialled
	case pointConnected:
		i = m.Connected
	case pointUpstreamBody:
		i = m.UpstreamBody
	case pointShaking:
		i = m.Shaking
	case pointShaken:
		i = m.Shaken
	case pointUpstreamShaken:
		i = m.UpstreamShaken
	}
	return i.since, i.happened
}
