package control

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/control/console"
)

// Whoever goes out takes plain text before he is spoken to so, and whoever comes back is spoken to by mTLS before he wants it.
func TestOutsiders(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	const name = "workload/shop/app=web"
	off := func(since int) map[string]console.Broken {
		return map[string]console.Broken{name: {What: name, At: at(since)}}
	}
	o := outsiders{}
	for _, one := range []struct {
		now            int
		off            map[string]console.Broken
		plain, outside int
		next           int // 0: none
	}{
		{1, nil, 0, 0, 0},
		{2, off(2), 0, 1, 7},
		{6, off(2), 0, 1, 7},
		{7, off(2), 1, 1, 0},
		{60, off(2), 1, 1, 0},
		{100, nil, 0, 1, 105},
		{104, nil, 0, 1, 105},
		{105, nil, 0, 0, 0},
		{110, off(110), 0, 1, 115}, // out again, and back before it was spoken to
		{112, nil, 0, 1, 117},
		{114, off(114), 0, 1, 119}, // and once more before it was back
		{119, off(114), 1, 1, 0},
		{120, nil, 0, 1, 125},
		{125, nil, 0, 0, 0},
		{130, off(101), 1, 1, 0}, // of a weftd that hears of it late
		{140, nil, 0, 1, 145},
		{145, nil, 0, 0, 0},
		{150, off(500), 0, 1, 155}, // of a clock that goes before
	} {
		said, next := o.turn(at(one.now), one.off)
		if len(said.Plain) != one.plain || len(said.Outside) != one.outside {
			t.Errorf("at %d: plain %v, outside %v: want %d, %d", one.now, said.Plain, said.Outside, one.plain, one.outside)
		}
		if next.IsZero() != (one.next == 0) || one.next != 0 && !next.Equal(at(one.next)) {
			t.Errorf("at %d: goes on at %v: want %d", one.now, next.Sub(begin), one.next)
		}
	}
}
