package http

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// model is a block as a slice of its fields: what a Header must be like.
type model []modelField

type modelField struct{ Name, Spelling, Value string }

func (m *model) add(spelled, value string, keep bool) {
	f := modelField{strings.ToLower(spelled), strings.ToLower(spelled), value}
	if keep {
		f.Spelling = spelled
	}
	*m = append(*m, f)
}

func (m *model) remove(name string, from int) bool {
	kept := (*m)[:from:from]
	for _, f := range (*m)[from:] {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	removed := len(kept) != len(*m)
	*m = kept
	return removed
}

func (m model) index(name string, from int) int {
	for i := from; i < len(m); i++ {
		if m[i].Name == name {
			return i
		}
	}
	return -1
}

func (m *model) set(name, value string) {
	i := m.index(name, 0)
	if i < 0 {
		m.add(name, value, false)
		return
	}
	(*m)[i].Value = value
	m.remove(name, i+1)
}

// Whatever is done to a Header, it is what the same done to the model is.
func TestHeaderAgainstModel(t *testing.T) {
	spellings := []string{"Host", "accept", "ACCEPT", "X-Envoy-Retry-On", "x-own", "X-Own", "X-oWn2", "content-length", "Via", "y"}
	values := []string{"", "a", "b, c", strings.Repeat("long", 50)}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var h Header
		var m model
		for step := range 60 {
			spelled, value := spellings[random.IntN(len(spellings))], values[random.IntN(len(values))]
			name := strings.ToLower(spelled)
			id, at := Lookup(name), random.IntN(len(m)+1)
			what, got, want := "", false, false
			switch random.IntN(14) {
			case 0, 1:
				what = "AddSpelled"
				h.AddSpelled([]byte(spelled), []byte(value), true)
				m.add(spelled, value, true)
			case 2:
				what = "AddSpelled without keeping"
				h.AddSpelled([]byte(spelled), []byte(value), false)
				m.add(spelled, value, false)
			case 3:
				what = "AddNamed"
				h.AddNamed([]byte(name), []byte(value))
				m.add(name, value, false)
			case 4:
				what = "AddField"
				h.AddField(id, []byte(spelled), []byte(value), true)
				m.add(spelled, value, true)
			case 5:
				if id != Other {
					what = "Add"
					h.Add(id, []byte(value))
					m.add(name, value, false)
				}
			case 6:
				if id != Other {
					what = "AddString"
					h.AddString(id, value)
					m.add(name, value, false)
				}
			case 7:
				if id != Other {
					what = "Set"
					h.Set(id, []byte(value))
					m.set(name, value)
				}
			case 8:
				if id != Other {
					what = "SetString"
					h.SetString(id, value)
					m.set(name, value)
				}
			case 9:
				if id != Other {
					what = "Remove"
					got, want = h.Remove(id), m.remove(name, 0)
				}
			case 10:
				what = "RemoveNamed"
				got, want = h.RemoveNamed(name), m.remove(name, 0)
			case 11:
				if at < len(m) {
					what = "RemoveAt"
					h.RemoveAt(at)
					m = slices.Delete(slices.Clone(m), at, at+1)
				}
			case 12:
				if at < len(m) {
					what = "SetValue"
					h.SetValue(at, []byte(value))
					m[at].Value = value
				}
			case 13:
				what = "CopyFrom"
				var copied Header
				copied.AddString(Via, "gone with the copy")
				copied.CopyFrom(&h)
				h.AddString(Via, "not in the copy")
				h = copied
			}
			if got != want {
				t.Fatalf("seed %d, step %d: %s of %s says %v", seed, step, what, name, got)
			}
			if d := differs(&h, m, spellings); d != "" {
				t.Fatalf("seed %d, step %d: after %s of %s: %s", seed, step, what, spelled, d)
			}
		}
		h.Reset()
		if d := differs(&h, nil, spellings); d != "" {
			t.Fatalf("seed %d: after Reset: %s", seed, d)
		}
	}
}

// differs compares by every way to look.
func differs(h *Header, m model, spellings []string) string {
	var fields model
	size := 0
	for i := range h.Len() {
		fields = append(fields, modelField{string(h.Name(i)), string(h.Spelling(i)), string(h.Value(i))})
		size += len(fields[i].Name) + len(fields[i].Value)
		if id := h.ID(i); id != Lookup(fields[i].Name) {
			return fmt.Sprintf("field %d has the ID %d", i, id)
		}
		if v := h.Value(i); len(v) != cap(v) {
			return fmt.Sprintf("an append to value %d would write into the block", i)
		}
	}
	if len(fields) != len(m) || len(m) > 0 && !slices.Equal(fields, m) {
		return cmp.Diff(m, fields)
	}
	if h.Size() != size {
		return fmt.Sprintf("Size is %d, want %d", h.Size(), size)
	}
	for _, spelled := range spellings {
		name := strings.ToLower(spelled)
		id := Lookup(name)
		for from := range len(m) + 1 {
			if got, want := h.Find(id, name, from), m.index(name, from); got != want {
				return fmt.Sprintf("Find(%s, %d) = %d, want %d", name, from, got, want)
			}
			if got, want := h.Index(id, from), m.index(name, from); id != Other && got != want {
				return fmt.Sprintf("Index(%s, %d) = %d, want %d", name, from, got, want)
			}
		}
		if id == Other {
			continue
		}
		count := 0
		for _, f := range m {
			if f.Name == name {
				count++
			}
		}
		if h.Count(id) != count || h.Has(id) != (count > 0) {
			return fmt.Sprintf("Count(%s) = %d and Has %v, want %d", name, h.Count(id), h.Has(id), count)
		}
		value := h.Get(id)
		if (value != nil) != (count > 0) || count > 0 && string(value) != m[m.index(name, 0)].Value {
			return fmt.Sprintf("Get(%s) = %q", name, value)
		}
	}
	return ""
}

// An empty value is there, and is not the same as none, even in a block that never held a byte.
func TestEmptyValue(t *testing.T) {
	var h Header
	h.Add(Accept, nil)
	if v := h.Get(Accept); v == nil || len(v) != 0 {
		t.Errorf("%#v", v)
	}
	if v := h.Get(Via); v != nil {
		t.Errorf("%#v", v)
	}
}

// What an empty block holds on to is bounded, however large it was.
func TestResetBounds(t *testing.T) {
	held := func(h *Header) int { return cap(h.arena) + cap(h.fields)*int(unsafe.Sizeof(field{})) }
	for name, fill := range map[string]func(*Header){
		"one large value":       func(h *Header) { h.AddString(Cookie, strings.Repeat("x", 1<<20)) },
		"many empty values":     func(h *Header) { add(h, 100000, "") },
		"many values":           func(h *Header) { add(h, 10000, "value") },
		"as much as may be":     func(h *Header) { add(h, 1, strings.Repeat("x", keepArena)) },
		"a usual number of all": func(h *Header) { add(h, 30, "some value") },
	} {
		var h Header
		fill(&h)
		h.Reset()
		if n := held(&h); n > 2*keepArena {
			t.Errorf("%s: %d bytes held", name, n)
		}
		if name == "a usual number of all" && held(&h) == 0 {
			t.Error("nothing is kept of a usual message")
		}
	}
}

func add(h *Header, n int, value string) {
	for range n {
		h.AddString(Cookie, value)
	}
}

func TestHeaderAllocations(t *testing.T) {
	var h, o Header
	name, value := []byte("X-Some-Name"), []byte("value")
	work := func() {
		h.Reset()
		for range 20 {
			h.AddSpelled(name, value, true)
			h.Add(Accept, value)
			h.Set(Via, value)
			h.AddNamed(name, value)
		}
		h.Remove(Accept)
		h.RemoveNamed("x-some-name")
		o.CopyFrom(&h)
		if h.Get(Via) == nil || o.Len() != h.Len() {
			t.Fatal("via is gone")
		}
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is decoded to the tail is not moved when it is added, and is no part of the block before.
func TestTail(t *testing.T) {
	var h Header
	h.AddString(Via, "before")
	b := append(h.Tail(100), "x-namevalue"...)
	if h.Len() != 1 || h.Size() != len("viabefore") {
		t.Errorf("%d fields of %d bytes", h.Len(), h.Size())
	}
	h.AddOther(b[:6], b[6:])
	if &h.Name(1)[0] != &b[0] || &h.Value(1)[0] != &b[6] || string(h.Name(1)) != "x-name" || string(h.Value(1)) != "value" {
		t.Errorf("%s: %s, not in its place", h.Name(1), h.Value(1))
	}
	b = append(h.Tail(5), "/path"...)
	h.Add(Via, b)
	if &h.Value(2)[0] != &b[0] {
		t.Error("the value was moved")
	}
}

func TestJoin(t *testing.T) {
	var h Header
	h.AddString(Cookie, "a=b")
	h.Join(Cookie, "; ")
	h.AddString(Via, "x")
	h.AddString(Cookie, "")
	h.AddString(Cookie, "c=d")
	h.AddString(Accept, "y")
	h.Join(Cookie, "; ")
	h.Join(Host, "; ")
	if d := cmp.Diff([]string{"cookie: a=b; ; c=d", "via: x", "accept: y"}, lines(&h)); d != "" {
		t.Errorf("want - got +: %s", d)
	}
}

func lines(h *Header) (all []string) {
	for i := range h.Len() {
		all = append(all, fmt.Sprintf("%s: %s", h.Name(i), h.Value(i)))
	}
	return all
}

// A mark stays with its field.
func TestSecrets(t *testing.T) {
	var h, c Header
	h.AddString(Authorization, "x")
	h.MarkSecret()
	h.AddString(Via, "y")
	c.CopyFrom(&h)
	c.RemoveAt(1)
	c.AddString(Accept, "z")
	if !h.Secret(0) || h.Secret(1) || !c.Secret(0) || c.Secret(1) {
		t.Errorf("%v %v %v %v", h.Secret(0), h.Secret(1), c.Secret(0), c.Secret(1))
	}
}
