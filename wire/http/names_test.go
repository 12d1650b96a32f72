package http

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	seen := map[string]ID{}
	for id := Other + 1; id < numIDs; id++ {
		name := id.Name()
		if name == "" || name != strings.ToLower(name) {
			t.Errorf("ID %d is called %q", id, name)
			continue
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%q is %d and %d", name, other, id)
		}
		seen[name] = id
		if got := Lookup(name); got != id {
			t.Errorf("Lookup(%q) = %d, want %d", name, got, id)
		}
		if got := Lookup([]byte(name)); got != id {
			t.Errorf("Lookup of the bytes of %q = %d, want %d", name, got, id)
		}
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name[:len(name)/2] + strings.ToUpper(name[len(name)/2:])} {
			if got := LookupFold([]byte(spelled)); got != id {
				t.Errorf("LookupFold(%q) = %d, want %d", spelled, got, id)
			}
			if want := map[bool]ID{true: id}[spelled == name]; Lookup(spelled) != want {
				t.Errorf("Lookup(%q) = %d, want %d", spelled, Lookup(spelled), want)
			}
		}
	}
	if Lookup("") != Other || LookupFold("") != Other || Other.Name() != "" {
		t.Error("the empty name has an ID")
	}
}

// search is Lookup and LookupFold by looking at every name.
func search(name string) (exact, fold ID) {
	for id := Other + 1; id < numIDs; id++ {
		if len(names[id]) == len(name) && same(name, names[id]) {
			fold = id
			if names[id] == name {
				exact = id
			}
		}
	}
	return exact, fold
}

// same compares without regard to the case of ASCII letters only.
func same(a, b string) bool {
	for i := range a {
		if a[i] != b[i] && !(b[i]-'a' < 26 && a[i] == b[i]-0x20) {
			return false
		}
	}
	return true
}

// A name that differs in any one byte, or in its length, is another name.
func TestLookupNearMisses(t *testing.T) {
	for id := Other + 1; id < numIDs; id++ {
		name := []byte(id.Name())
		for i, c := range name {
			for _, b := range []byte{c, c + 1, c - 1, c ^ 0x20, c ^ 0x40, c ^ 0x60, c ^ 0x80, c ^ 0xa0, '-', '_', '\r', 0, 0x20, 0x7f} {
				name[i] = b
				exact, fold := search(string(name))
				if got := Lookup(name); got != exact {
					t.Errorf("Lookup(%q) = %d, want %d", name, got, exact)
				}
				if got := LookupFold(name); got != fold {
					t.Errorf("LookupFold(%q) = %d, want %d", name, got, fold)
				}
			}
			name[i] = c
		}
		for _, near := range []string{id.Name() + "x", id.Name()[1:], id.Name()[:len(name)-1], "x" + id.Name(), id.Name() + "\x00", id.Name() + " "} {
			if _, want := search(near); LookupFold(near) != want {
				t.Errorf("LookupFold(%q) = %d, want %d", near, LookupFold(near), want)
			}
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, name := range []string{"host", "x", "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-rq-timeout-alt-responsf", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want, fold := search(name)
		if got := Lookup(name); got != want {
			t.Errorf("Lookup(%q) = %d, want %d", name, got, want)
		}
		if got := LookupFold(name); got != fold {
			t.Errorf("LookupFold(%q) = %d, want %d", name, got, fold)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	list := [][]byte{[]byte("Host"), []byte("User-Agent"), []byte("Accept"), []byte("Accept-Encoding"), []byte("X-Trace")}
	for b.Loop() {
		for _, name := range list {
			LookupFold(name)
		}
	}
}
