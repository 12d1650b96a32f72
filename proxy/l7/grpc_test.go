package l7

import (
	"math"
	"testing"
	"time"
)

// The rows were asked of Envoy 1.40, but for those that a Duration cannot hold (hazard 72: clamped).
func TestGRPCTimeout(t *testing.T) {
	const most = math.MaxInt64 / time.Hour * time.Hour
	for text, want := range map[string]time.Duration{
		"3S": 3 * time.Second, "1H": time.Hour, "1M": time.Minute, "100m": 100 * time.Millisecond, "10000000u": 10 * time.Second, "1u": time.Millisecond,
		"5n": time.Millisecond, "0S": 0, "00000001S": time.Second, "99999999S": 99999999 * time.Second, "99999999M": 99999999 * time.Minute, "99999999H": most, "2562048H": most,
	} {
		if got, ok := parseGRPCTimeout([]byte(text)); !ok || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "S", "1", "x", "-1S", "+1S", "1.5S", "1s", "123456789S", "9999999999S", " 1S", "1S ", "1S1"} {
		if got, ok := parseGRPCTimeout([]byte(text)); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
	for want, d := range map[string]time.Duration{
		"0m": 0, "77m": 77 * time.Millisecond, "99999999m": 99999999 * time.Millisecond, "100000S": 100_000_000 * time.Millisecond,
		"1666666M": 100_000_000 * time.Second, "2562047H": most,
	} {
		if got := string(appendGRPCTimeout(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// FuzzGRPCTimeout holds that what is read is never negative, and that what is written can be read and is not longer.
func FuzzGRPCTimeout(f *testing.F) {
	for _, s := range []string{"3S", "99999999H", "5n", "-1S"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := parseGRPCTimeout(b)
		if !ok {
			return
		}
		again, ok := parseGRPCTimeout(appendGRPCTimeout(nil, d))
		if d < 0 || !ok || again > d {
			t.Errorf("%q: %v, then %v %v", b, d, again, ok)
		}
	})
}
