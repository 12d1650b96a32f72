package http2

import (
	"testing"
	"unsafe"

	"github.com/weftmesh/weft/wire/http"
)

// A request and its response cost no allocation on either side, with trailers or without.
func TestAllocations(t *testing.T) {
	l := typical(t)
	if n := testing.AllocsPerRun(200, func() { l.exchange(t) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.trailers = new(http.Header)
	l.trailers.AddString(http.GRPCStatus, "0")
	l.exchange(t)
	if n := testing.AllocsPerRun(200, func() { l.exchange(t) }); n != 0 {
		t.Errorf("with trailers: %v allocations", n)
	}
}

// An idle connection costs less than 3 KiB after exchanges of either kind, all of its memory counted.
func TestIdleMemory(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 1100 {
		t.Errorf("a Conn is %d bytes", n)
	}
	if n := unsafe.Sizeof(Stream{}); n > 320 {
		t.Errorf("a Stream is %d bytes", n)
	}
	held := func(c *Conn) int {
		n := int(unsafe.Sizeof(*c)) + cap(c.block) + 8*len(c.streams.slots)
		for _, table := range []*table{&c.enc.table, &c.dec.table} {
			n += cap(table.bytes) + len(table.ring)*int(unsafe.Sizeof(entry{}))
		}
		n += 4 * len(c.enc.slots)
		if s := c.spare; s != nil {
			n += int(unsafe.Sizeof(*s)) + cap(s.kept) + cap(s.queue)
			if s.trailersIn != nil {
				n += 128
			}
		}
		return n
	}
	l := typical(t)
	fresh := new(Conn)
	fresh.Init(&Options{Server: true}, &l.server, &station{})
	if n := held(fresh); n > 1200 {
		t.Errorf("a new connection holds %d bytes", n)
	}
	for name, c := range map[string]*Conn{"client": &l.client.c, "server": &l.server.c} {
		if n := held(c); n > 3<<10 {
			t.Errorf("%s: %d bytes, %d of them the Conn itself", name, n, unsafe.Sizeof(*c))
		} else {
			t.Logf("%s: %d bytes, %d of them the Conn itself", name, n, unsafe.Sizeof(*c))
		}
		if c.block != nil || len(c.streams.slots) > firstSlots {
			t.Errorf("%s: buffers are held", name)
		}
	}
}
