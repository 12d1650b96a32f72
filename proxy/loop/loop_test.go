package loop

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/telemetry"
)

// running is a loop of its own goroutine, on the real epoll.
type running struct {
	*Loop
	t     *testing.T
	stats *telemetry.Owner
	done  chan struct{}
}

func run(t *testing.T, index int) *running {
	t.Helper()
	stats := telemetry.NewStore(8).Acquire(Stats, "loop.")
	l, err := New(index, stats.Loop(index), func(v any, stack []byte) { t.Errorf("%v\n%s", v, stack) })
	if err != nil {
		t.Fatal(err)
	}
	r := &running{l, t, stats, make(chan struct{})}
	go func() {
		l.Run()
		close(r.done)
	}()
	t.Cleanup(r.end)
	return r
}

func (r *running) end() {
	r.Stop()
	within(r.t, r.done, "the loop does not stop")
}

// do runs f on the loop and waits for it.
func (r *running) do(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	r.Post(func() {
		defer close(done)
		f()
	})
	within(r.t, done, "a posted function does not run")
}

func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal(what)
	}
}

// turns is how often the loop has turned, of which asking takes one.
func (r *running) turns() (n int64) {
	r.do(func() { n = r.stats.Sum(Turns) })
	return n
}

// echoing answers what comes with the same.
type echoing struct {
	gone
	conn *Conn
}

func (e *echoing) OnData(b []byte) int {
	e.conn.Write(b)
	return len(b)
}

func (e *echoing) OnEOF()      { e.conn.Close() }
func (e *echoing) OnPanic(any) {}

// echo puts a connection on the loop that answers with the same, and gives the other end, which blocks.
func (r *running) echo() int {
	r.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	unix.SetNonblock(fds[0], true)
	unix.SetsockoptTimeval(fds[1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30})
	r.do(func() {
		e := &echoing{}
		e.conn, err = r.Adopt(&Pending{FD: fds[0]}, 1<<20, e)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return fds[1]
}

func roundTrip(t *testing.T, fd int, buffer []byte) {
	if _, err := unix.Write(fd, buffer); err != nil {
		t.Error(err)
	}
	for got := 0; got < len(buffer); {
		n, err := unix.Read(fd, buffer[got:])
		if n <= 0 && err != unix.EINTR {
			t.Fatalf("no echo: %d %v", n, err)
		}
		got += max(n, 0)
	}
}

func TestPostFromMany(t *testing.T) {
	r := run(t, 0)
	const posters, each = 16, 500
	var wait sync.WaitGroup
	last := [posters]int{} // touched on the loop only
	ran := 0
	for p := range posters {
		wait.Go(func() {
			for i := range each {
				r.Post(func() {
					if last[p] != i {
						t.Errorf("function %d of %d runs at the turn of %d", i, p, last[p])
					}
					last[p]++
					ran++
				})
			}
		})
	}
	wait.Wait()
	r.do(func() {
		if ran != posters*each {
			t.Errorf("%d of %d ran", ran, posters*each)
		}
	})
}

// After Stop nothing runs, and a late Post does not write to a descriptor that is somebody else's by then.
func TestPostAfterStop(t *testing.T) {
	r := run(t, 0)
	wake := int(r.poll.(*epoll).wakeFD)
	r.end()
	p := make([]int, 2)
	if err := unix.Pipe2(p, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if p[1] != wake {
		if err := unix.Dup3(p[1], wake, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(wake)
	}
	var ran atomic.Bool
	r.Post(func() { ran.Store(true) })
	r.Stop()
	if n, err := unix.Read(p[0], make([]byte, 8)); n > 0 || ran.Load() {
		t.Errorf("%d bytes were written to a stranger (%v); ran: %v", n, err, ran.Load())
	}
}

func TestTimerOnRealClock(t *testing.T) {
	r := run(t, 0)
	rang := make(chan time.Duration, 1)
	var timer Timer
	var start time.Time
	r.do(func() {
		start = time.Now()
		r.SetTimer(&timer, 20*time.Millisecond, alarmFunc(func() { rang <- time.Since(start) }))
		r.SetTimer(&timer, 30*time.Millisecond, alarmFunc(func() { rang <- time.Since(start) }))
	})
	select {
	case d := <-rang:
		if d < 29*time.Millisecond { // the loop's time is that of its turn's beginning
			t.Errorf("rang after %v", d)
		}
	case <-time.After(30 * time.Second):
		t.Error("never rang")
	}
}

type alarmFunc func()

func (f alarmFunc) Expired(*Timer) { f() }
func (f alarmFunc) OnPanic(any)    {}

// The collector gets its safepoint from loops that sleep in the kernel behind the scheduler's back, and from busy ones.
func TestCollectorIsNotHeldUp(t *testing.T) {
	const loops = 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops + 1))
	var busy atomic.Bool
	var wait sync.WaitGroup
	busy.Store(true)
	for i := range loops {
		fd := run(t, i).echo()
		defer unix.Close(fd)
		if i == 0 {
			continue // idle
		}
		wait.Go(func() {
			for b := make([]byte, 100); busy.Load(); {
				roundTrip(t, fd, b)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		for range 20 {
			runtime.GC()
		}
		close(done)
	}()
	// Held up, it would wait for ever; 30 s is for slow machines.
	within(t, done, "the garbage collector is held up")
	busy.Store(false)
	wait.Wait()
}

// An idle loop sleeps: no turns, and its thread is not woken in between either, which is what the kernel counts.
func TestIdleLoopSleeps(t *testing.T) {
	r := run(t, 0)
	fd := r.echo()
	defer unix.Close(fd)
	roundTrip(t, fd, make([]byte, 10))
	var thread int
	var quiet, stopped Timer
	r.do(func() {
		thread = unix.Gettid()
		r.SetTimer(&stopped, 10*time.Second, alarmFunc(func() {}))
	})
	r.do(func() {
		r.StopTimer(&stopped)
		r.SetTimer(&quiet, time.Hour, alarmFunc(func() {})) // a timer far away is no reason to wake up
	})
	before := r.turns()
	switches := voluntarySwitches(t, thread)
	time.Sleep(300 * time.Millisecond) // the while that is observed
	// The scheduler objects to the sleep behind its back, after which the loop sleeps politely. That takes the thread a handful of
	// switches, once; a loop that the scheduler woke for ever, each 10 ms, would have 30.
	if n := voluntarySwitches(t, thread) - switches; n > 10 {
		t.Errorf("the idle loop's thread was woken %d times in 300 ms", n)
	}
	// Each question takes a turn, and may leave an empty one behind, if its wake-up comes after the function was seen.
	if n := r.turns() - before; n > 3 {
		t.Errorf("%d turns besides the one that asks", n-1)
	}
	r.do(func() {
		var alarm unix.ItimerSpec
		if err := unix.TimerfdGettime(int(r.poll.(*epoll).timerFD), &alarm); err != nil || alarm.Value.Sec < 60 {
			t.Errorf("the kernel is to wake the loop in %v for a timer that was stopped (%v)", time.Duration(alarm.Value.Nano()), err)
		}
	})
}

func voluntarySwitches(t *testing.T, thread int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(thread) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
	n, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTrafficAllocatesNothing(t *testing.T) {
	r := run(t, 0)
	fd := r.echo()
	defer unix.Close(fd)
	for _, size := range []int{100, 20 << 10} {
		b := make([]byte, size)
		for range 200 {
			roundTrip(t, fd, b)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const trips = 3000
		for range trips {
			roundTrip(t, fd, b)
		}
		runtime.ReadMemStats(&after)
		// The runtime makes a few objects of its own meanwhile.
		if n := after.Mallocs - before.Mallocs; n > trips/20 {
			t.Errorf("%d bytes: %d allocations in %d round trips", size, n, trips)
		}
	}
}

func TestNothingIsLeftAfterStop(t *testing.T) {
	run(t, 0).end() // whatever the runtime opens once
	before, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 3 {
		r := run(t, 0)
		fds := []int{r.echo(), r.echo()}
		l, port := listenTCP(t)
		var a *Acceptor
		r.do(func() {
			var err error
			a, err = r.Listen(l, func(p *Pending) { p.Refuse() }, func() {})
			if err != nil {
				t.Error(err)
			}
		})
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(c, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(c, make([]byte, 1)); n != 0 {
			t.Errorf("refused: %d %v", n, err)
		}
		unix.Close(c)
		for _, fd := range fds {
			unix.Shutdown(fd, unix.SHUT_WR)
			if n, err := unix.Read(fd, make([]byte, 1)); n != 0 {
				t.Errorf("the loop's end: %d %v", n, err)
			}
			unix.Close(fd)
		}
		r.do(func() { a.Close() })
		r.end()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), goroutines, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// acceptor is a listening Unix socket on the loop; the name is for who connects.
func acceptor(s *scripted, accept func(*Pending), paused func()) (a *Acceptor, name string) {
	t := s.script.t
	t.Helper()
	name = filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		err = unix.Listen(fd, 100)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err = s.Listen(fd, accept, paused)
	if err != nil {
		t.Fatal(err)
	}
	return a, name
}

func connect(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
}

func TestAcceptorPausesWithoutDescriptors(t *testing.T) {
	s := newScripted(t)
	accepted, pauses := 0, 0
	a, name := acceptor(s, func(p *Pending) { accepted++; p.Refuse() }, func() { pauses++ })
	connect(t, name)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// No number below the limit is free: what is open above it stays open.
	lowest, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowest)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	s.once()
	s.once()
	limited := accepted
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if limited != 0 || pauses != 1 {
		t.Fatalf("without descriptors: %d accepted, paused %d times", limited, pauses)
	}
	s.script.pass(90 * time.Millisecond)
	s.once()
	if accepted != 0 {
		t.Error("the pause was cut short")
	}
	s.script.pass(11 * time.Millisecond)
	s.once() // the timer
	s.once()
	if accepted != 1 || pauses != 1 {
		t.Errorf("after the pause: %d accepted, paused %d times", accepted, pauses)
	}
	a.Close()
	s.once()
}

func TestAcceptorBounds(t *testing.T) {
	s := newScripted(t)
	accepted := 0
	var a *Acceptor
	a, name := acceptor(s, func(p *Pending) {
		accepted++
		if p.Refuse(); accepted == perTurn+5 {
			a.Close()
		}
		if accepted == 3 {
			panic("third")
		}
	}, func() {})
	for range perTurn + 20 {
		connect(t, name)
	}
	s.once()
	if accepted != 3 || len(s.panics) != 1 {
		t.Fatalf("%d accepted, panics %v", accepted, s.panics)
	}
	s.once()
	if accepted != 3+perTurn {
		t.Errorf("%d accepted in one turn", accepted-3)
	}
	s.once()
	if accepted != perTurn+20 {
		t.Errorf("%d accepted: want all who waited when it was closed", accepted)
	}
	if _, err := net.Dial("unix", name); err == nil {
		t.Error("somebody is let in after Close, before the turn is over or behind it")
	}
}

// Loops may share a listening socket by descriptors of their own: one that stops hears no more of it.
func TestClosedAcceptorOfSharedSocket(t *testing.T) {
	r := run(t, 0)
	fd, port := listenTCP(t)
	defer unix.Close(fd)
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.do(func() {
		a, err := r.Listen(own, func(p *Pending) { p.Refuse() }, func() {})
		if err != nil {
			t.Error(err)
			return
		}
		a.Close()
	})
	before := r.turns()
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(c, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	for range 20 {
		r.do(func() {})
	}
	// Each post takes a turn, and may leave an empty one behind.
	if n := r.turns() - before; n > 2*22 {
		t.Errorf("%d turns for 21 posts: the socket that was closed still wakes the loop", n)
	}
}

func TestDate(t *testing.T) {
	s := newScripted(t)
	s.start = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC).Add(-time.Duration(s.script.clock))
	for _, want := range []string{"Tue, 03 Feb 2026 04:05:06 GMT", "Tue, 03 Feb 2026 04:05:07 GMT"} {
		s.once()
		if got := string(s.Date()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		s.script.pass(time.Second)
	}
}

func TestBufferPool(t *testing.T) {
	var p pool
	b := p.get(3000)
	if cap(b) != 8<<10 || len(b) != 0 {
		t.Fatalf("%d", cap(b))
	}
	b = p.grow(append(b, "abc"...), 8<<10)
	if string(b) != "abc" || cap(b) != 32<<10 || p.kept != 8<<10 {
		t.Errorf("%q, room for %d, kept %d", b, cap(b), p.kept)
	}
	p.put(b)
	if again := p.get(20 << 10); &again[:1][0] != &b[0] || len(again) != 0 || p.kept != 8<<10 {
		t.Error("not the same buffer")
	}
	p.put(make([]byte, 0, 1000)) // of no class
	for range 100 {
		p.put(make([]byte, 0, 512<<10))
	}
	if p.kept > keepBytes || p.kept < keepBytes/2 {
		t.Errorf("keeps %d bytes", p.kept)
	}
	if huge := p.get(5 << 20); cap(huge) != 5<<20 {
		t.Errorf("%d", cap(huge))
	}
}
