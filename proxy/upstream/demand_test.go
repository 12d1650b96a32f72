package upstream

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weftmesh/weft/config"
)

// demander counts how often it was told.
type demander struct{ told int }

func (d *demander) Answered() { d.told++ }

// Who waits is told once; the resource is asked for once, however many wait for it.
func TestDemands(t *testing.T) {
	var asked []string
	d := &Demands{Ask: func(what config.Demand) bool { asked = append(asked, what.Name); return what.Name != "no room" }}
	a, b := config.Demand{Name: "a"}, config.Demand{Name: "b"}
	var first, second, left, other demander
	for _, one := range []struct {
		what config.Demand
		who  *demander
		want bool
	}{{a, &first, true}, {a, &second, true}, {a, &left, true}, {b, &other, true}, {config.Demand{Name: "no room"}, &other, false}} {
		if got := d.Wait(one.what, one.who); got != one.want {
			t.Errorf("%q: %t", one.what.Name, got)
		}
	}
	d.Leave(a, &left)
	d.Leave(a, &left)
	d.Leave(b, &first)
	for range 2 {
		d.Answer(map[config.Demand]bool{a: true})
	}
	if got := [...]int{first.told, second.told, left.told, other.told}; got != [...]int{1, 1, 0, 0} {
		t.Errorf("they are told %v times", got)
	}
	d.Wait(a, &first)
	if want := []string{"a", "b", "no room", "a"}; !slices.Equal(asked, want) {
		t.Errorf("%q are asked for, want %q", asked, want)
	}
	if (&Demands{}).Wait(a, &first) {
		t.Error("nobody listens, and somebody waits")
	}
}

// So many wait at most, whatever for, and one more may when one has left or was told.
func TestMostDemands(t *testing.T) {
	d := &Demands{Ask: func(config.Demand) bool { return true }}
	what := func(i int) config.Demand { return config.Demand{Name: fmt.Sprint(i % 7)} }
	all := make([]demander, maxDemands+1)
	for i := range maxDemands {
		if !d.Wait(what(i), &all[i]) {
			t.Fatalf("%d cannot wait", i)
		}
	}
	last := &all[maxDemands]
	if d.Wait(what(0), last) || d.Wait(what(-1), last) {
		t.Error("too many wait")
	}
	d.Leave(what(3), &all[3])
	if !d.Wait(what(0), last) || d.Wait(what(0), &all[3]) {
		t.Error("one has left, and not one more may wait")
	}
	d.Answer(map[config.Demand]bool{what(1): true})
	told := 0
	for i := range all {
		told += all[i].told
	}
	for i := range told {
		if !d.Wait(what(1), &all[1]) {
			t.Fatalf("%d were told, and only %d more may wait", told, i)
		}
	}
	if told == 0 || d.Wait(what(1), &all[1]) {
		t.Errorf("%d were told, and more than that may wait", told)
	}
}
