package loop

import (
	"math/bits"
	"time"
)

// Alarm is whoever set a timer.
type Alarm interface {
	// Expired is called on the loop when the timer's time has come.
	Expired(t *Timer)
	// OnPanic is called if Expired panics, after the stack has been logged and counted.
	OnPanic(v any)
}

// Timer is a place in a loop's wheel. It is embedded in what it times, so setting one allocates nothing; its zero value is not set.
// It belongs to one loop.
type Timer struct {
	next, prev *Timer // in its slot's ring; nil: not set
	alarm      Alarm
	deadline   int64 // in ticks; may be later than its slot says, since moving a timer back is only written down here
	level      uint8
	slot       uint8
}

// Pending tells whether the timer is set.
func (t *Timer) Pending() bool { return t.next != nil }

// tick is the wheel's resolution. Deadlines are rounded up to it: a timer is never early and at most this late, besides what the
// loop is busy with.
const tick = int64(time.Millisecond)

// longest keeps deadlines within their type.
const longest = 100 * 365 * 24 * time.Hour

const (
	levels   = 5 // 256 ms, 65 s, 4.6 h, 49 days, 34 years
	slotBits = 8
	slots    = 1 << slotBits
)

// wheel is a hierarchical timing wheel (Varghese and Lauck, 1987): setting and stopping cost a few pointer writes whatever the
// number of timers, and the next deadline is found by bit search.
type wheel struct {
	current int64 // ticks that have been run
	armed   int
	rings   [levels][slots]Timer
	used    [levels][slots / 64]uint64
}

func (w *wheel) set(t *Timer, now int64, d time.Duration, a Alarm) {
	deadline := (now + int64(min(max(d, 0), longest)) + tick - 1) / tick
	t.alarm = a
	if t.next != nil {
		if deadline >= t.deadline {
			t.deadline = deadline
			return
		}
		w.remove(t)
	}
	t.deadline = deadline
	w.insert(t)
}

func (w *wheel) stop(t *Timer) {
	if t.next != nil {
		w.remove(t)
	}
	t.alarm = nil
}

func (w *wheel) insert(t *Timer) {
	at := max(t.deadline, w.current+1)
	// The level is told by the highest digit in which the deadline differs from the present.
	level := (bits.Len64(uint64(at^w.current)) - 1) / slotBits
	if level >= levels {
		level = levels - 1
		at = w.current | (slots-1)<<(slotBits*(levels-1))
	}
	slot := uint8(at >> (slotBits * level))
	t.level, t.slot = uint8(level), slot
	ring := &w.rings[level][slot]
	if ring.next == nil {
		ring.next, ring.prev = ring, ring
	}
	t.prev, t.next = ring.prev, ring
	ring.prev.next, ring.prev = t, t
	w.used[level][slot>>6] |= 1 << (slot & 63)
	w.armed++
}

func (w *wheel) remove(t *Timer) {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.armed--
	if ring := &w.rings[t.level][t.slot]; ring.next == ring {
		w.used[t.level][t.slot>>6] &^= 1 << (t.slot & 63)
	}
}

// next is the tick at which something has to be done, be it only to look again with a finer level; 0 if nothing is set.
func (w *wheel) next() int64 {
	if w.armed == 0 {
		return 0
	}
	for level := range levels {
		shift := slotBits * level
		digit := int(w.current>>shift) & (slots - 1)
		// Level 0 holds what is due within its turn; a coarser slot is looked into when its first tick comes. Slots at or before
		// the present digit are empty, except on the topmost level, which is never left.
		if slot := w.firstUsed(level, digit+1); slot >= 0 {
			return w.current>>(shift+slotBits)<<(shift+slotBits) | int64(slot)<<shift
		}
	}
	return w.current + 1
}

func (w *wheel) firstUsed(level, from int) int {
	if from >= slots {
		return -1
	}
	word := from >> 6
	m := w.used[level][word] &^ (1<<(from&63) - 1)
	for m == 0 {
		if word++; word == slots/64 {
			return -1
		}
		m = w.used[level][word]
	}
	return word<<6 + bits.TrailingZeros64(m)
}

// advance runs the wheel up to now and calls fire for each timer that is due, which may set and stop timers.
func (w *wheel) advance(now int64, fire func(*Timer)) {
	target := now / tick
	for w.armed > 0 {
		n := w.next()
		if n > target {
			break
		}
		w.current = n
		// What a coarser slot holds goes to finer ones when the present enters it; a timer due right now goes to level 0's slot.
		for level := levels - 1; level >= 0; level-- {
			if level > 0 && n&(1<<(slotBits*level)-1) != 0 {
				continue
			}
			ring := &w.rings[level][uint8(n>>(slotBits*level))]
			for ring.next != nil && ring.next != ring {
				t := ring.next
				w.remove(t)
				if t.deadline <= n {
					fire(t)
				} else {
					w.insert(t)
				}
			}
		}
	}
	w.current = max(w.current, target)
}
