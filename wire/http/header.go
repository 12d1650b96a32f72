package http

import "slices"

// Header is an ordered block of fields. Names and values are bytes in one arena that belongs to the block and is reused with it, so
// filling a block that has been filled before allocates nothing. Names are in lower case; where the spelling of the wire is to be
// kept (HTTP/1 only) it stands beside the name.
//
// Bytes handed out stay valid until the next Reset of the block; whoever needs them longer copies them. Bytes handed in are copied.
// The zero value is an empty block.
type Header struct {
	arena   []byte
	fields  []field
	present [2]uint64 // one bit for each ID that some field has
}

type field struct {
	id      ID
	secret  bool
	name    span // empty when id tells the name
	value   span
	spelled span // the name as it came, if that was asked for and differs
}

// span is a piece of an arena.
type span struct{ off, len uint32 }

func (s span) of(arena []byte) []byte { return arena[s.off : s.off+s.len : s.off+s.len] }

// Reset empties the block and keeps its memory, unless one large message has made that more than keepArena bytes.
func (h *Header) Reset() {
	h.arena = h.arena[:0]
	h.fields = h.fields[:0]
	h.present = [2]uint64{}
	if cap(h.arena) > keepArena || cap(h.fields) > keepFields {
		h.arena, h.fields = nil, nil
	}
}

// keepArena, in bytes, and keepFields, in fields of 28 bytes, bound what an empty block holds on to.
const (
	keepArena  = 16 << 10
	keepFields = 512
)

func (h *Header) put(b []byte) span {
	s := span{uint32(len(h.arena)), uint32(len(b))}
	h.arena = append(h.arena, b...)
	return s
}

func (h *Header) putString(b string) span {
	s := span{uint32(len(h.arena)), uint32(len(b))}
	h.arena = append(h.arena, b...)
	return s
}

func (h *Header) mark(id ID)     { h.present[id>>6] |= 1 << (id & 63) }
func (h *Header) unmark(id ID)   { h.present[id>>6] &^= 1 << (id & 63) }
func (h *Header) Has(id ID) bool { return h.present[id>>6]&(1<<(id&63)) != 0 }

// Len is the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// Size is the bytes that names and values take together, as limits count them.
func (h *Header) Size() int {
	n := 0
	for i := range h.fields {
		f := &h.fields[i]
		n += int(f.value.len)
		if f.id != Other {
			n += len(names[f.id])
		} else {
			n += int(f.name.len)
		}
	}
	return n
}

// ID tells which field the i-th is; Other if its name has no ID.
func (h *Header) ID(i int) ID { return h.fields[i].id }

// Name is the i-th field's name in lower case. It must not be written to.
func (h *Header) Name(i int) []byte {
	f := &h.fields[i]
	if f.id != Other {
		return nameBytes[f.id]
	}
	return f.name.of(h.arena)
}

// Spelling is the i-th field's name as it came from the wire, if that was kept, else as Name.
func (h *Header) Spelling(i int) []byte {
	if f := &h.fields[i]; f.spelled.len != 0 {
		return f.spelled.of(h.arena)
	}
	return h.Name(i)
}

// Value is the i-th field's value.
func (h *Header) Value(i int) []byte { return h.fields[i].value.of(h.arena) }

// nameBytes are the names as slices, so that Name need not convert.
var nameBytes = func() (t [numIDs][]byte) {
	for id := range names {
		t[id] = []byte(names[id])
	}
	return t
}()

// Get is the value of the first field with that ID, nil if there is none. An empty value is not nil.
func (h *Header) Get(id ID) []byte {
	if !h.Has(id) {
		return nil
	}
	if v := h.Value(h.Index(id, 0)); v != nil {
		return v
	}
	return nameBytes[Other] // empty, in a block that holds no byte
}

// Index finds the first field with that ID at or after position from; -1 if there is none.
func (h *Header) Index(id ID, from int) int {
	for i := from; i < len(h.fields); i++ {
		if h.fields[i].id == id {
			return i
		}
	}
	return -1
}

// Find finds the first field of that name (in lower case) at or after position from; -1 if there is none. id must be what Lookup
// says of the name: who looks for one name often asks Lookup once.
func (h *Header) Find(id ID, name string, from int) int {
	if id != Other {
		if !h.Has(id) {
			return -1
		}
		return h.Index(id, from)
	}
	for i := from; i < len(h.fields); i++ {
		if f := &h.fields[i]; f.id == Other && string(f.name.of(h.arena)) == name {
			return i
		}
	}
	return -1
}

// Count is the number of fields with that ID.
func (h *Header) Count(id ID) int {
	n := 0
	if h.Has(id) {
		for i := range h.fields {
			if h.fields[i].id == id {
				n++
			}
		}
	}
	return n
}

// next is a new field at the end, empty: to fill it in place costs a third of what appending a copy does.
func (h *Header) next() *field {
	n := len(h.fields)
	if n == cap(h.fields) {
		h.fields = slices.Grow(h.fields, 1)
	}
	h.fields = h.fields[:n+1]
	f := &h.fields[n]
	*f = field{}
	return f
}

// Add appends a field with a known name.
func (h *Header) Add(id ID, value []byte) {
	h.mark(id)
	v := h.put(value)
	f := h.next()
	f.id, f.value = id, v
}

// AddString is Add for a string.
func (h *Header) AddString(id ID, value string) {
	h.mark(id)
	h.fields = append(h.fields, field{id: id, value: h.putString(value)})
}

// AddNamed appends a field by its name, which must be in lower case and valid.
func (h *Header) AddNamed(name, value []byte) {
	id := Lookup(name)
	if id != Other {
		h.Add(id, value)
		return
	}
	n := h.put(name)
	h.fields = append(h.fields, field{name: n, value: h.put(value)})
}

// AddOther appends a field by a name that is valid, in lower case, and known to have no ID.
func (h *Header) AddOther(name, value []byte) {
	n, v := h.put(name), h.put(value)
	f := h.next()
	f.name, f.value = n, v
}

// Tail is the memory behind what the block holds, empty with room for n bytes. What is appended to it is no part of the block until it is
// given to one of the methods that add or set, which then finds its bytes in their place already: so a decoder need not write twice.
func (h *Header) Tail(n int) []byte {
	h.arena = slices.Grow(h.arena, n)
	return h.arena[len(h.arena):len(h.arena):cap(h.arena)]
}

// Join makes one field of all those with that ID, in the place of the first, with the separator between the values.
func (h *Header) Join(id ID, separator string) {
	if h.Count(id) < 2 {
		return
	}
	first, start := h.Index(id, 0), len(h.arena)
	for i := first; i >= 0; i = h.Index(id, i+1) {
		if i != first {
			h.arena = append(h.arena, separator...)
		}
		h.arena = append(h.arena, h.Value(i)...)
		h.fields[first].secret = h.fields[first].secret || h.fields[i].secret
	}
	h.fields[first].value = span{uint32(start), uint32(len(h.arena) - start)}
	h.removeFrom(id, "", first+1)
}

// MarkSecret says of the field that was added last that its sender wants no compressor to remember it (RFC 7541 §7.1.3), which whoever
// passes it on must respect.
func (h *Header) MarkSecret() { h.fields[len(h.fields)-1].secret = true }

// Secret tells whether the i-th field was marked so.
func (h *Header) Secret(i int) bool { return h.fields[i].secret }

// AddSpelled appends a field as a peer spelled its name, in any case; the name is lowered, and the spelling kept beside it if keep
// is set and it differs. The name must have been checked to be a token (RFC 9110 §5.1).
func (h *Header) AddSpelled(name, value []byte, keep bool) {
	h.AddField(LookupFold(name), name, value, keep)
}

// AddField is AddSpelled for a name of which LookupFold is known already.
func (h *Header) AddField(id ID, name, value []byte, keep bool) {
	var f field
	if id != Other {
		if !keep {
			h.Add(id, value)
			return
		}
		f.id = id
		h.mark(id)
		if names[id] != string(name) {
			f.spelled = h.put(name)
		}
	} else {
		f.name = h.put(name)
		lowered, changed := f.name.of(h.arena), false
		for i, c := range lowered {
			if c-'A' < 26 {
				lowered[i] = c | 0x20
				changed = true
			}
		}
		if keep && changed {
			f.spelled = h.put(name)
		}
	}
	f.value = h.put(value)
	h.fields = append(h.fields, f)
}

// Set leaves exactly one field with that ID: the first is overwritten in place, others go; without any it is appended.
func (h *Header) Set(id ID, value []byte) {
	if !h.Has(id) {
		h.Add(id, value)
		return
	}
	i := h.Index(id, 0)
	h.fields[i].value = h.put(value)
	h.removeFrom(id, "", i+1)
}

// SetString is Set for a string.
func (h *Header) SetString(id ID, value string) {
	if !h.Has(id) {
		h.AddString(id, value)
		return
	}
	i := h.Index(id, 0)
	h.fields[i].value = h.putString(value)
	h.removeFrom(id, "", i+1)
}

// SetValue replaces the value of the i-th field.
func (h *Header) SetValue(i int, value []byte) { h.fields[i].value = h.put(value) }

// Remove takes out all fields with that ID and tells whether there were any.
func (h *Header) Remove(id ID) bool {
	if !h.Has(id) {
		return false
	}
	h.removeFrom(id, "", 0)
	h.unmark(id)
	return true
}

// RemoveNamed takes out all fields of that name (in lower case) and tells whether there were any.
func (h *Header) RemoveNamed(name string) bool {
	if id := Lookup(name); id != Other {
		return h.Remove(id)
	}
	return h.removeFrom(Other, name, 0)
}

// RemoveAt takes out the i-th field.
func (h *Header) RemoveAt(i int) {
	id := h.fields[i].id
	h.fields = append(h.fields[:i], h.fields[i+1:]...)
	if id != Other && h.Index(id, 0) < 0 {
		h.unmark(id)
	}
}

func (h *Header) removeFrom(id ID, name string, from int) bool {
	kept := h.fields[:from]
	for _, f := range h.fields[from:] {
		if f.id == id && (id != Other || string(f.name.of(h.arena)) == name) {
			continue
		}
		kept = append(kept, f)
	}
	removed := len(kept) != len(h.fields)
	h.fields = kept
	return removed
}

// CopyFrom makes h the same block as o, in memory of its own.
func (h *Header) CopyFrom(o *Header) {
	h.arena = append(h.arena[:0], o.arena...)
	h.fields = append(h.fields[:0], o.fields...)
	h.present = o.present
}
