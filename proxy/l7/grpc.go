package l7

import (
	"math"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// grpcTimeout is how long a response of gRPC may take by what the request brings; 0: for ever.
func grpcTimeout(t *config.GRPCTimeout, r *http.Request) time.Duration {
	d, _ := parseGRPCTimeout(r.Get(http.GRPCTimeout))
	if t.Offset < d {
		d -= t.Offset // only if something is left: 0 would be no limit
	}
	if t.Max > 0 && (d == 0 || d > t.Max) {
		d = t.Max
	}
	return d
}

// boundGRPC bounds the life of a stream of gRPC by what the request brings, or else the route or the connection manager, and tells the
// upstream so. It says false if nothing is left.
func (x *exchange) boundGRPC() bool {
	f, r := x.forward, &x.request
	l, t := x.local.Loop, f.GRPCDuration
	asked, ok := parseGRPCTimeout(r.Get(http.GRPCTimeout))
	if !ok || t == nil {
		d := f.MaxStreamDuration
		switch {
		case d == nil && x.server.config.MaxStreamDuration == 0:
		case d == nil: // its timer runs
			x.tellGRPC(x.server.config.MaxStreamDuration)
		case *d == 0:
			l.StopTimer(&x.duration)
			r.Remove(http.GRPCTimeout)
		default:
			x.set(&x.duration, *d)
			x.tellGRPC(*d)
		}
		return true
	}
	if t.Max > 0 && asked > t.Max {
		asked = t.Max
	}
	asked -= t.Offset
	if asked <= 0 {
		return false
	}
	x.set(&x.duration, asked)
	x.tellGRPC(asked)
	return true
}

// tellGRPC writes the time that the upstream has.
func (x *exchange) tellGRPC(d time.Duration) {
	x.scratch = appendGRPCTimeout(x.scratch[:0], d)
	x.request.Set(http.GRPCTimeout, x.scratch)
}

// parseGRPCTimeout reads one to eight digits and a unit, in whole milliseconds, rounded up. What is more than a Duration can hold is
// the longest Duration (CVE-2021-28682).
func parseGRPCTimeout(b []byte) (d time.Duration, ok bool) {
	if len(b) < 2 || len(b) > 9 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b[:len(b)-1] {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	unit := time.Duration(0)
	switch b[len(b)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	if n > int64(math.MaxInt64/unit) {
		return math.MaxInt64 / time.Hour * time.Hour, true
	}
	d = time.Duration(n) * unit
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d, true
}

// appendGRPCTimeout writes milliseconds, or the smallest unit in which eight digits are enough.
func appendGRPCTimeout(dst []byte, d time.Duration) []byte {
	n, unit := d.Milliseconds(), byte('m')
	for _, next := range [...]struct {
		of   int64
		unit byte
	}{{1000, 'S'}, {60, 'M'}, {60, 'H'}} {
		if n < 100_000_000 {
			break
		}
		n, unit = n/next.of, next.unit
	}
	return append(strconv.AppendInt(dst, n, 10), unit)
}
