package history

import (
	"testing"

	"github.com/weftmesh/weft/control/source"
)

// TestMachinesHaveNoHistory has entries of machines come and go, beside one that somebody has written.
func TestMachinesHaveNoHistory(t *testing.T) {
	key := func(name string) source.Key {
		return source.Key{Kind: source.WorkloadEntry, Namespace: "a", Name: name}
	}
	for name, c := range map[string]struct {
		change source.Change
		want   bool
	}{
		"a machine's": {source.Change{Key: key("vm"), Object: &source.Object{Key: key("vm"), Annotations: map[string]string{source.GroupAnnotation: "vm"}}}, false},
		"somebody's":  {source.Change{Key: key("one"), Object: &source.Object{Key: key("one")}}, true},
		"one that is gone, of which nobody knows any more": {source.Change{Key: key("one")}, true},
	} {
		if watched(c.change) != c.want {
			t.Errorf("%s has a history: %v", name, !c.want)
		}
	}
}
