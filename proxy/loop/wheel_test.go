package loop

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// slowWheel is the obvious way to keep timers: a list.
type slowWheel struct {
	t     *testing.T
	wheel wheel
	now   int64
	set   map[int]int64 // by timer, when it is due in nanoseconds
	alarm [8]ringing
	fired int
}

type ringing struct {
	w     *slowWheel
	timer Timer
	index int
	again time.Duration // set again from within Expired
}

func (r *ringing) Expired(t *Timer) {
	w := r.w
	due, ok := w.set[r.index]
	if !ok || t != &r.timer {
		w.t.Fatalf("timer %d rang and is not set", r.index)
	}
	if w.now < due {
		w.t.Fatalf("timer %d rang %d ns early", r.index, due-w.now)
	}
	delete(w.set, r.index)
	w.fired++
	if r.again > 0 {
		w.start(r.index, r.again)
		r.again = 0
	}
}

func (r *ringing) OnPanic(any) {}

func newSlowWheel(t *testing.T, start int64) *slowWheel {
	w := &slowWheel{t: t, now: start, set: map[int]int64{}}
	w.wheel.current = start / tick
	for i := range w.alarm {
		w.alarm[i].w, w.alarm[i].index = w, i
	}
	return w
}

func (w *slowWheel) start(i int, d time.Duration) {
	w.wheel.set(&w.alarm[i].timer, w.now, d, &w.alarm[i])
	w.set[i] = w.now + int64(max(d, 0))
}

func (w *slowWheel) stop(i int) {
	w.wheel.stop(&w.alarm[i].timer)
	delete(w.set, i)
}

func (w *slowWheel) advance(d int64) {
	w.now += d
	w.wheel.advance(w.now, func(t *Timer) { t.alarm.Expired(t) })
	w.check()
}

// check says that nothing overdue is left, that both sides hold the same timers, and that the next look is not too late.
func (w *slowWheel) check() {
	earliest := int64(math.MaxInt64)
	for i, due := range w.set {
		if w.now >= due+tick {
			w.t.Fatalf("timer %d is %d ns late", i, w.now-due)
		}
		earliest = min(earliest, due)
	}
	armed := 0
	for i := range w.alarm {
		_, want := w.set[i]
		if w.alarm[i].timer.Pending() != want {
			w.t.Fatalf("timer %d pending: %v", i, !want)
		}
		if want {
			armed++
		}
	}
	next := w.wheel.next()
	switch {
	case armed != w.wheel.armed:
		w.t.Fatalf("%d armed, want %d", w.wheel.armed, armed)
	case armed == 0 && next != 0:
		w.t.Fatalf("nothing is set, next is %d", next)
	case armed > 0 && next*tick > earliest+tick:
		w.t.Fatalf("next look at %d, the earliest timer is due at %d", next*tick, earliest)
	case armed > 0 && next <= w.now/tick:
		w.t.Fatalf("next look at tick %d is in the past (%d)", next, w.now/tick)
	}
}

// durations meet every level of the wheel, and its borders.
func duration(next func(int64) int64) time.Duration {
	scale := []int64{1, int64(tick), 256 * tick, 65536 * tick, 1 << 24 * tick, 1 << 32 * tick}[next(6)]
	return time.Duration(scale * next(300))
}

// horizon is less than the 34 years that a loop's clock, which starts at 0, may run before the wheel has turned once.
const horizon = 250 << 32 * tick

func TestWheelIsTheList(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	fired := 0
	for range 300 {
		w := newSlowWheel(t, random.Int64N(1<<30)*tick+random.Int64N(tick))
		for range 200 {
			i := random.IntN(len(w.alarm))
			switch random.IntN(6) {
			case 0:
				w.stop(i)
			case 1, 2:
				w.start(i, duration(random.Int64N))
				w.alarm[i].again = max(0, duration(random.Int64N)-time.Hour)
			default:
				w.advance(min(int64(duration(random.Int64N)), 1<<32*tick))
			}
			w.check()
		}
		for i, due := range w.set {
			w.alarm[i].again = 0
			if due >= horizon {
				w.stop(i)
			}
		}
		w.advance(horizon - w.now)
		if len(w.set) != 0 {
			t.Fatalf("%d timers were lost", len(w.set))
		}
		fired += w.fired
	}
	if fired < 1000 {
		t.Errorf("only %d timers rang", fired)
	}
}

func FuzzWheel(f *testing.F) {
	f.Add(int64(0), []byte{1, 0, 2, 5, 3, 0, 0, 3})
	f.Add(int64(255), []byte{1, 0, 1, 1, 3, 0, 2, 1, 9, 1, 0, 1, 5, 3, 1, 200})
	f.Add(int64(65535), []byte{9, 0, 3, 200, 1, 1, 3, 7, 3, 0, 3, 201})
	f.Fuzz(func(t *testing.T, start int64, steps []byte) {
		w := newSlowWheel(t, max(0, start%(1<<45)))
		for ; len(steps) >= 4; steps = steps[4:] {
			numbers := steps[2:4]
			d := duration(func(n int64) int64 {
				b := numbers[0]
				numbers = numbers[1:]
				return int64(b) % n
			})
			i := int(steps[1]) % len(w.alarm)
			switch steps[0] % 4 {
			case 0:
				w.stop(i)
			case 1, 2:
				w.start(i, d)
			default:
				w.advance(min(int64(d), horizon-w.now))
			}
			w.check()
		}
	})
}

func TestEndlessTimer(t *testing.T) {
	w := newSlowWheel(t, 12345*tick)
	w.wheel.set(&w.alarm[0].timer, w.now, math.MaxInt64, &w.alarm[0])
	w.wheel.advance(w.now+int64(time.Hour), func(*Timer) { t.Error("a timer that never ends has rung") })
	if !w.alarm[0].timer.Pending() {
		t.Error("lost")
	}
}

func BenchmarkSetStop(b *testing.B) {
	var w wheel
	var t Timer
	w.current = 1
	for b.Loop() {
		w.set(&t, tick, 15*time.Second, nil)
		w.stop(&t)
	}
}
