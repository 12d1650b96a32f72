package loop

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/telemetry"
)

// Loop is one event loop with all that it owns. Its methods are for its own goroutine, except Post, Stop and Index.
type Loop struct {
	index  int
	poll   poller
	events []unix.EpollEvent
	time   int64 // of this turn, on the poller's scale
	start  time.Time
	wheel  wheel

	sources []source // by descriptor
	written []*Conn  // have bytes to send within this turn
	resumed []*Conn  // have kept bytes to present, or a close to report
	again   []*Conn  // resumed's other buffer
	closing []int32  // descriptors that this turn's end closes
	buffers pool
	scratch []byte   // what sockets are read into
	tells   bool     // there are short cuts, which want to know what is read
	taken   []uint64 // by descriptor, where there are: bytes that were read, by this process
	plain   []byte   // what records are opened into
	seconds int64    // that date was made of
	date    [29]byte
	random  *mathrand.ChaCha8

	lingering int    // connections that CloseFlushed has not closed yet
	Parted    func() // is told of each that it has closed; nil: nobody is

	mu      sync.Mutex
	posted  []func()
	waiting atomic.Bool // somebody posted
	spare   []func()
	ended   bool // Run has returned
	stopped bool // for the loop alone

	report  func(v any, stack []byte)
	Stats   *telemetry.Values
	Limit   *Limit   // of accepted connections, the process's; nil: there is none
	current panicker // who is told if this step of the turn panics
}

// source is what stands behind a descriptor.
type source interface {
	panicker
	ready(events uint32)
}

type panicker interface{ OnPanic(v any) }

// Rows of the loop's numbers.
const (
	Turns = iota
	Panics
	Posted
)

// Stats is the table of a loop's own numbers.
var Stats = &telemetry.Table{Kind: "loop", Metrics: []telemetry.Metric{
	Turns:  {Name: "turns"},
	Panics: {Name: "panics"},
	Posted: {Name: "posted"},
}}

// New makes a loop. index numbers it among its siblings, values is where it counts, and report is told of every panic that was
// caught, with the stack; the process goes on.
func New(index int, values *telemetry.Values, report func(v any, stack []byte)) (*Loop, error) {
	p, err := newEpoll()
	if err != nil {
		return nil, err
	}
	l := newLoop(index, p, values, report)
	l.tells = shortCuts()
	return l, nil
}

func newLoop(index int, p poller, values *telemetry.Values, report func(v any, stack []byte)) *Loop {
	var seed [32]byte
	rand.Read(seed[:])
	l := &Loop{
		index:  index,
		poll:   p,
		events: make([]unix.EpollEvent, 256),
		start:  time.Now(),
		random: mathrand.NewChaCha8(seed),
		report: report,
		Stats:  values,
	}
	l.time = p.now()
	l.wheel.current = l.time / tick
	l.scratch = make([]byte, readSize)
	return l
}

// Index is the loop's number, from 0.
func (l *Loop) Index() int { return l.index }

// Now is the time of this turn. It is monotonic and, since the clock is read once a turn, a little in the past.
func (l *Loop) Now() time.Time { return l.start.Add(time.Duration(l.time)) }

// Nanotime is Now as nanoseconds since the loop was made, which costs nothing to take and to compare.
func (l *Loop) Nanotime() int64 { return l.time }

// Lingering is how many connections have nobody any more, and still send their last bytes.
func (l *Loop) Lingering() int { return l.lingering }

// Date is Now as a date field's value (RFC 9110 §5.6.7), made once a second. The bytes change with the next turn.
func (l *Loop) Date() []byte {
	now := l.Now()
	if s := now.Unix(); s != l.seconds {
		l.seconds = s
		now.UTC().AppendFormat(l.date[:0], "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return l.date[:]
}

// Random is a number that nobody can predict from earlier ones.
func (l *Loop) Random() uint64 { return l.random.Uint64() }

// Jittered is d and a random part of it, up to that share.
func (l *Loop) Jittered(d time.Duration, share float64) time.Duration {
	if share > 0 {
		d += time.Duration(float64(d) * share * float64(l.Random()%1e6) / 1e6)
	}
	return d
}

// SetTimer has the alarm called after d, in place of what the timer was set to. To set a timer again later than before is nearly free.
func (l *Loop) SetTimer(t *Timer, d time.Duration, a Alarm) { l.wheel.set(t, l.time, d, a) }

// StopTimer takes a timer back; stopping one that is not set does nothing.
func (l *Loop) StopTimer(t *Timer) { l.wheel.stop(t) }

// Post has f called on the loop, in the order of posting. Any goroutine may call it. After Stop nothing runs any more.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.posted = append(l.posted, f)
	l.waiting.Store(true)
	l.poll.wake()
}

// Stop ends Run after the turn that is under way. What connections are left is for whoever made them to have closed before.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

// Run turns the loop until Stop.
func (l *Loop) Run() {
	for !l.stopped {
		busy := len(l.resumed) > 0
		if !busy {
			l.poll.alarm(l.wheel.next() * tick)
		}
		n := l.poll.wait(l.events, !busy)
		l.turn(l.events[:n])
	}
	// Under the lock: a late Post would write to descriptors that are somebody else's by then.
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.poll.close()
}

// sendTogether is how many connections may have something to send before it is sent, within a turn. To send for each event by itself wakes
// a peer that sleeps again and again, which costs a tenth of a request; to wait for the end of a large turn would fill as many buffers as
// it has answers, and keep the first ones waiting (docs/design/0003-engine.md).
const sendTogether = 16

// turn is everything that happens at one time.
func (l *Loop) turn(events []unix.EpollEvent) {
	l.time = l.poll.now()
	l.Stats.Inc(Turns)
	l.wheel.advance(l.time, l.fire)
	for i := range events {
		l.dispatch(&events[i])
		if len(l.written) >= sendTogether {
			l.flushWritten()
		}
	}
	if l.waiting.Load() {
		l.runPosted()
	}
	if len(l.resumed) > 0 {
		l.runResumed()
	}
	l.flushWritten()
	l.closeDescriptors()
}

// fire contains a panic by itself: were the wheel left in the middle, the other timers of that tick would wait for its next turn.
func (l *Loop) fire(t *Timer) {
	defer l.contain()
	a := t.alarm
	t.alarm = nil
	l.current = a
	a.Expired(t)
	l.current = nil
}

func (l *Loop) dispatch(e *unix.EpollEvent) {
	if int(e.Fd) >= len(l.sources) {
		return
	}
	s := l.sources[e.Fd]
	if s == nil {
		return // closed earlier in this turn
	}
	defer l.contain()
	l.current = s
	s.ready(e.Events)
	l.current = nil
}

func (l *Loop) guard(f func()) {
	defer l.contain()
	f()
}

// contain is deferred around every step: a panic is counted, reported and handed to whoever the step was for, so it ends an
// exchange or a connection and never the process.
func (l *Loop) contain() {
	if v := recover(); v != nil {
		l.panicked(v)
	}
}

// Contain is deferred around what is done for one of several that share a step: a panic is its own, and the step goes on.
func (l *Loop) Contain(who panicker) {
	if v := recover(); v != nil {
		step := l.current
		l.current = who
		l.panicked(v)
		l.current = step
	}
}

func (l *Loop) panicked(v any) {
	l.Stats.Inc(Panics)
	l.report(v, debug.Stack())
	if who := l.current; who != nil {
		l.current = nil
		defer func() {
			// Whoever cannot even clean up is left to its timers; the loop goes on.
			if again := recover(); again != nil {
				l.Stats.Inc(Panics)
				l.report(again, debug.Stack())
			}
		}()
		who.OnPanic(v)
	}
}

func (l *Loop) runPosted() {
	l.waiting.Store(false)
	l.mu.Lock()
	batch := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, f := range batch {
		l.Stats.Inc(Posted)
		l.guard(f)
		batch[i] = nil
	}
	l.spare = batch[:0]
}

// runResumed gives connections whose reading was resumed what was kept for them. One that is resumed again meanwhile waits for the
// next turn, so two that feed each other cannot starve the rest.
func (l *Loop) runResumed() {
	batch := l.resumed
	l.resumed = l.again[:0]
	for i, c := range batch {
		batch[i] = nil
		l.step(c)
	}
	l.again = batch[:0]
}

func (l *Loop) step(c *Conn) {
	defer l.contain()
	l.current = c
	c.catchUp()
	l.current = nil
}

func (l *Loop) flushWritten() {
	// Closing may write once more, hence no range.
	for i := 0; i < len(l.written); i++ {
		c := l.written[i]
		l.written[i] = nil
		l.flushOne(c)
	}
	l.written = l.written[:0]
}

func (l *Loop) flushOne(c *Conn) {
	defer l.contain()
	l.current = c
	c.listed = false
	c.Flush()
	l.current = nil
}

// attach puts a source behind its descriptor and asks the poller for it.
func (l *Loop) attach(fd int32, s source, interest uint32) error {
	for int(fd) >= len(l.sources) {
		l.sources = append(l.sources, make([]source, max(64, len(l.sources)))...)
	}
	if err := l.poll.watch(fd, interest, false); err != nil {
		return err
	}
	l.sources[fd] = s
	if l.tells {
		l.taken = append(l.taken, make([]uint64, len(l.sources)-len(l.taken))...)
		l.taken[fd] = 0
	}
	return nil
}

// release takes a source away and closes its descriptor, at the end of the turn: were the number used again at once, an event of
// this turn that was meant for the old connection would reach the new one.
func (l *Loop) release(fd int32) {
	l.sources[fd] = nil
	l.closing = append(l.closing, fd)
}

func (l *Loop) closeDescriptors() {
	for _, fd := range l.closing {
		unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	}
	l.closing = l.closing[:0]
}
