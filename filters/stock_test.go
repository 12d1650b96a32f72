package filters

import "testing"

func TestStock(t *testing.T) {
	s := NewStock[string, *int](1, 80)
	made := 0
	newOne := func() *int { made++; return new(int) }
	take := func(kind string, bytes int64, want bool) *int {
		t.Helper()
		v, ok := s.Take(0, kind, bytes, newOne)
		if ok != want {
			t.Fatalf("%d bytes of %s: %v, with %+v", bytes, kind, ok, s.shelves[0])
		}
		return v
	}
	a := take("a", 10, true)
	s.Give(0, "a", 10, a)
	if take("a", 10, true) != a || made != 1 {
		t.Error("what was given back is not used again")
	}
	take("b", 70, true)
	take("b", 1, false)
	s.Give(0, "b", 70, nil) // too large to wait
	take("b", 70, true)
	s.Give(0, "a", 10, a)
	take("c", 10, true) // in the place of what waits
	take("c", 1, false)
	s.Give(0, "b", 70, nil)
	s.Give(0, "c", 10, nil)
	if h := s.shelves[0]; h.held != h.spare {
		t.Errorf("all was given back: %+v", h)
	}
	huge := NewStock[string, *int](1, 80)
	if _, ok := huge.Take(0, "a", 1000, newOne); !ok {
		t.Error("not even one that is larger than the limit")
	}
	if _, ok := huge.Take(0, "a", 1, newOne); ok {
		t.Error("one more beside it")
	}
}
