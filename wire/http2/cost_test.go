package http2

import (
	"testing"

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
