package filters

import "time"

// Stock is where coders of bodies come from: things that are dear to make and hold much memory, by what they were made for. What a loop's
// coders hold is bounded, and those that are given back are used again. A loop touches its own shelf only.
type Stock[K comparable, T any] struct {
	shelves []shelf[K, T]
	limit   int64 // bytes of each loop
}

// shelf is one loop's.
type shelf[K comparable, T any] struct {
	_     [64]byte // a cache line of its own
	idle  map[K][]T
	held  int64 // bytes of all, those that are used and those that wait
	spare int64 // bytes of those that wait
}

// NewStock makes one for that many loops, each of which may hold that many bytes.
func NewStock[K comparable, T any](loops int, limit int64) *Stock[K, T] {
	s := &Stock[K, T]{shelves: make([]shelf[K, T], loops), limit: limit}
	for i := range s.shelves {
		s.shelves[i].idle = map[K][]T{}
	}
	return s
}

// Spent implements Keeps: what is taken from here is given back here.
func (s *Stock[K, T]) Spent(time.Time) bool { return false }

// Take gives one that was made for kind, or makes one, which will hold that many bytes. It says false where that is more than there may
// be; a loop that holds nothing may have one, however large.
func (s *Stock[K, T]) Take(loop int, kind K, bytes int64, make func() T) (T, bool) {
	h := &s.shelves[loop]
	if list := h.idle[kind]; len(list) > 0 {
		v := list[len(list)-1]
		var none T
		list[len(list)-1] = none
		h.idle[kind] = list[:len(list)-1]
		h.spare -= bytes
		return v, true
	}
	if h.held+bytes > s.limit && h.spare > 0 {
		clear(h.idle) // others have more use for the memory
		h.held -= h.spare
		h.spare = 0
	}
	if h.held > 0 && h.held+bytes > s.limit {
		var none T
		return none, false
	}
	h.held += bytes
	return make(), true
}

// Give takes one back. An eighth of what a loop may hold waits to be used again, the rest goes.
func (s *Stock[K, T]) Give(loop int, kind K, bytes int64, v T) {
	h := &s.shelves[loop]
	if h.spare+bytes > s.limit/8 {
		h.held -= bytes
		return
	}
	h.spare += bytes
	h.idle[kind] = append(h.idle[kind], v)
}
