package push

import (
	"runtime"
	"testing"
)

var sink []byte

// Memory is given back once for as much as is alive, and not again for nothing.
func TestMemoryIsGivenBackForWhatWasAllocated(t *testing.T) {
	g := newGiver()
	count := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	g.give()
	before := count()
	if g.give(); count() != before {
		t.Error("it is done again though nothing was allocated")
	}
	for range 100 {
		sink = make([]byte, 1<<20)
	}
	if g.give(); count() != before+1 {
		t.Errorf("it is done %d times after much was allocated: want once", count()-before)
	}
}
