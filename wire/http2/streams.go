package http2

import (
	"cmp"
	"math/bits"
	"slices"
)

// list is a ring of streams by one of their links. A stream may be in one list for each link.
type list struct {
	head  *Stream
	n     int // not kept where lists are joined
	which uint8
}

func (l *list) push(s *Stream) {
	k := &s.links[l.which]
	if l.head == nil {
		l.head, k.next, k.prev = s, s, s
	} else {
		last := l.head.links[l.which].prev
		k.next, k.prev = l.head, last
		last.links[l.which].next, l.head.links[l.which].prev = s, s
	}
	l.n++
}

// remove takes out a stream, which must be in this list.
func (l *list) remove(s *Stream) {
	next := s.leave(l.which)
	if l.head == s {
		l.head = next
	}
	l.n--
}

// leave takes a stream out of its ring and gives the next one, if it was not alone.
func (s *Stream) leave(which uint8) *Stream {
	k := &s.links[which]
	next, prev := k.next, k.prev
	k.next, k.prev = nil, nil
	if next == s {
		return nil
	}
	next.links[which].prev, prev.links[which].next = prev, next
	return next
}

// take puts all streams of o behind those of l, however many they are.
func (l *list) take(o *list) {
	first := o.head
	o.head = nil
	switch {
	case first == nil:
		return
	case l.head == nil:
		l.head = first
		return
	}
	a, b := l.head.links[l.which].prev, first.links[l.which].prev // the last of each
	a.links[l.which].next, first.links[l.which].prev = first, a
	b.links[l.which].next, l.head.links[l.which].prev = l.head, b
}

// stable finds streams by their numbers: open-addressed, at most half full. It takes no memory while there is none.
type stable struct {
	slots []*Stream
	shift uint8 // 32 less the bits of a slot's number
	n     int
	last  *Stream // what was found last
}

// home is the slot where a stream's search begins. Numbers rise by two, so that neighbours would make one run of all streams, which each that
// ends would have to be moved out of.
func (t *stable) home(id uint32) uint32 { return id * 0x9e3779b9 >> t.shift }

// firstSlots is how many there are at first, keepSlots up to how many are kept while there is no stream: a client that asks for some dozens of
// things at once will do so again.
const (
	firstSlots = 8
	keepSlots  = 64
)

func (t *stable) find(id uint32) *Stream {
	if t.last != nil && t.last.ID == id {
		return t.last
	}
	if t.n == 0 {
		return nil
	}
	mask := uint32(len(t.slots) - 1)
	for i := t.home(id); t.slots[i] != nil; i = (i + 1) & mask {
		if t.slots[i].ID == id {
			t.last = t.slots[i]
			return t.last
		}
	}
	return nil
}

func (t *stable) put(s *Stream) {
	if 2*(t.n+1) > len(t.slots) {
		old := t.slots
		t.slots = make([]*Stream, max(2*len(old), firstSlots))
		t.shift = uint8(33 - bits.Len32(uint32(len(t.slots))))
		for _, s := range old {
			if s != nil {
				t.place(s)
			}
		}
	}
	t.place(s)
	t.n++
	t.last = s
}

func (t *stable) place(s *Stream) {
	mask := uint32(len(t.slots) - 1)
	i := t.home(s.ID)
	for ; t.slots[i] != nil; i = (i + 1) & mask {
	}
	t.slots[i] = s
}

// remove takes a stream out, and moves up those behind it that it has pushed away.
func (t *stable) remove(s *Stream) {
	if t.last == s {
		t.last = nil
	}
	mask := uint32(len(t.slots) - 1)
	i := t.home(s.ID)
	for ; t.slots[i] != s; i = (i + 1) & mask {
	}
	t.slots[i] = nil
	for j := (i + 1) & mask; t.slots[j] != nil; j = (j + 1) & mask {
		if want := t.home(t.slots[j].ID); (j-want)&mask >= (j-i)&mask {
			t.slots[i], t.slots[j] = t.slots[j], nil
			i = j
		}
	}
	if t.n--; t.n == 0 && len(t.slots) > keepSlots {
		t.slots = nil
	}
}

// all are the streams there are now, in the order of their numbers.
func (t *stable) all() []*Stream {
	all := make([]*Stream, 0, t.n)
	for _, s := range t.slots {
		if s != nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *Stream) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Spares are streams that are over, for connections of one loop to use again. The zero value is ready.
type Spares struct{ list []*Stream }

const (
	// maxSpares bounds the list.
	maxSpares = 256
	// keepSpare is how many bytes of each of its buffers a spare stream keeps.
	keepSpare = 4 << 10
	// keepTrailers is how large trailers may have been for their block to be kept.
	keepTrailers = 1 << 10
)

func (c *Conn) newStream(id uint32) *Stream {
	var s *Stream
	switch l := c.spares; {
	case l != nil && len(l.list) > 0:
		s = l.list[len(l.list)-1]
		l.list = l.list[:len(l.list)-1]
	case c.spare != nil:
		s, c.spare = c.spare, nil
	default:
		s = new(Stream)
	}
	*s = Stream{ID: id, c: c, window: c.o.streamWindow(), length: -1, kept: s.kept[:0], queue: s.queue[:0], trailersIn: s.trailersIn, trailersOut: s.trailersOut}
	return s
}

// recycle makes a spare of a stream that is over. Without a list that others share, a connection keeps one, and no buffers with it.
func (c *Conn) recycle(s *Stream) {
	s.c, s.r, s.ID = nil, nil, 0
	if s.trailersIn != nil && s.fieldBytes > keepTrailers {
		s.trailersIn = nil
	}
	l := c.spares
	switch {
	case l == nil && c.spare == nil:
		if c.spare = s; cap(s.kept)+cap(s.queue) > 0 {
			s.kept, s.queue = nil, nil
		}
		s.trailersOut = nil
	case l != nil && len(l.list) < maxSpares:
		if cap(s.kept) > keepSpare {
			s.kept = nil
		}
		if cap(s.queue) > keepSpare {
			s.queue = nil
		}
		l.list = append(l.list, s)
	}
}
