package l7

import (
	"testing"
)

// What was noted of one exchange is not noted of the next, and to note the same again costs no memory.
func TestNotesAreSpared(t *testing.T) {
	x := &exchange{}
	var value any = "v"
	note := func(namespaces ...string) {
		x.spare.keep(x.entry.Metadata)
		x.entry.Metadata = nil
		for _, n := range namespaces {
			if !x.SetMetadata(n, "k", value) {
				t.Fatal("there is no room")
			}
		}
	}
	note("a", "b")
	before := x.entry.Metadata
	note("b")
	if m := x.entry.Metadata; len(m) != 1 || len(m["b"]) != 1 || m["b"]["k"] != value || len(before["a"]) != 0 {
		t.Errorf("%v", m)
	}
	if note(); x.entry.Metadata != nil {
		t.Errorf("%v", x.entry.Metadata)
	}
	both := []string{"a", "b"}
	if n := testing.AllocsPerRun(100, func() { note(both...) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for n := range 3 * maxSpare {
		note(string(rune('a' + n)))
	}
	if len(x.spare.of) > maxSpare+1 {
		t.Errorf("maps of %d namespaces are kept", len(x.spare.of))
	}
}
