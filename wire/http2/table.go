package http2

import "github.com/weftmesh/weft/wire/http"

// table is a dynamic table (RFC 7541 §2.3.2): a ring of entries, the bytes of which lie one behind the other in the order in which they
// came. It takes memory only as it is filled: what is never filled costs nothing.
type table struct {
	bytes       []byte
	ring        []entry // a power of two
	first, next uint32  // numbers of the oldest entry, and of the one to come: entries are numbered through
	size, max   uint32  // as RFC 7541 §4.1 counts: 32 bytes for each entry above those of its name and value
}

type entry struct {
	off         uint32 // where the name begins, the value being right behind
	name, value uint32 // lengths
	hash        uint32 // encoder only
	id          http.ID
	kind        kind
	code        Code // what is wrong with name or value, found once
}

const (
	entryCost = 32
	firstRing = 8
	firstRoom = 256
)

func (t *table) len() uint32 { return t.next - t.first }

func (t *table) at(n uint32) *entry { return &t.ring[n&uint32(len(t.ring)-1)] }

func (t *table) name(e *entry) []byte { return t.bytes[e.off : e.off+e.name : e.off+e.name] }

func (t *table) valueOf(e *entry) []byte {
	v := e.off + e.name
	return t.bytes[v : v+e.value : v+e.value]
}

// setMax changes how large the table may be.
func (t *table) setMax(n uint32) {
	t.max = n
	t.evict(n)
	if n == 0 {
		t.bytes, t.ring = nil, nil
	}
}

// evict lets the oldest entries go until no more than n is left.
func (t *table) evict(n uint32) {
	for t.size > n {
		e := t.at(t.first)
		t.size -= e.name + e.value + entryCost
		t.first++
	}
	if t.first == t.next {
		t.bytes = t.bytes[:0]
	}
}

// insert adds an entry as the newest (RFC 7541 §4.4). The name is that of the entry numbered ref if named is set, which may be let go by
// this very insertion. What is too large for the table empties it and gives nil.
func (t *table) insert(name, value []byte, ref uint32, named bool) *entry {
	if named {
		name = t.name(t.at(ref))
	}
	need := uint32(len(name) + len(value))
	if need+entryCost > t.max {
		t.evict(0)
		return nil
	}
	if int(need) > cap(t.bytes)-len(t.bytes) {
		t.makeRoom(need)
		if named {
			name = t.name(t.at(ref))
		}
	}
	off := uint32(len(t.bytes))
	t.bytes = append(append(t.bytes, name...), value...)
	if t.size+need+entryCost > t.max {
		t.evict(t.max - need - entryCost)
		if t.first == t.next { // evict has thrown out the bytes
			t.bytes = t.bytes[:copy(t.bytes[:need], t.bytes[off:off+need])]
			off = 0
		}
	}
	if t.len() == uint32(len(t.ring)) {
		t.widen()
	}
	e := t.at(t.next)
	*e = entry{off: off, name: uint32(len(name)), value: uint32(len(value))}
	t.next++
	t.size += need + entryCost
	return e
}

// makeRoom makes room for need more bytes: by throwing out those of entries that are gone if that is half of all, else by growing. Since
// the table holds no more than max bytes, twice that is always enough, and each byte is moved no more than once for each byte that comes.
func (t *table) makeRoom(need uint32) {
	start := uint32(len(t.bytes))
	if t.first != t.next {
		start = t.at(t.first).off
	}
	live := t.bytes[start:]
	to := t.bytes[:0]
	if n := uint32(len(live)) + need; n > uint32(cap(t.bytes))/2 && uint32(cap(t.bytes)) < 2*t.max || n > uint32(cap(t.bytes)) {
		to = make([]byte, 0, max(min(max(2*uint32(cap(t.bytes)), firstRoom), 2*t.max), n))
	}
	t.bytes = append(to, live...)
	for n := t.first; n != t.next; n++ {
		t.at(n).off -= start
	}
}

// widen doubles the ring.
func (t *table) widen() {
	ring := make([]entry, max(2*len(t.ring), firstRing))
	for n := t.first; n != t.next; n++ {
		ring[n&uint32(len(ring)-1)] = *t.at(n)
	}
	t.ring = ring
}
