package config

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAssignments holds them against a plain map.
func TestAssignments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a Assignments
	want := map[string]*Assignment{}
	told := 0
	for range 2000 {
		before, had := a, maps.Clone(want)
		for range r.IntN(4) {
			name := fmt.Sprint(r.IntN(80))
			v := &Assignment{Name: name}
			if old := want[name]; old != nil && r.IntN(4) == 0 {
				v = old
			}
			a, want[name] = a.With(name, v), v
		}
		if got := maps.Collect(a.All()); !maps.Equal(got, want) || a.Len() != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for name := range want {
			if a.Get(name) != want[name] {
				t.Fatal(name)
			}
		}
		if got := maps.Collect(before.All()); !maps.Equal(got, had) {
			t.Fatal("what was there before was written to")
		}
		names, ok := a.Changed(before)
		if !ok {
			continue
		}
		told++
		var other []string
		for name, v := range want {
			if had[name] != v {
				other = append(other, name)
			}
		}
		slices.Sort(names)
		slices.Sort(other)
		if !slices.Equal(names, other) || a.Equal(before) != (len(other) == 0) {
			t.Fatalf("%v, want %v", names, other)
		}
	}
	if told < 1500 {
		t.Errorf("told only %d times", told)
	}
	if (Assignments{}).Get("x") != nil || !(Assignments{}).Equal(Assignments{}) {
		t.Error("none")
	}
}
