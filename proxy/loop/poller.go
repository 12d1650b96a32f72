package loop

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller tells a loop what is ready. In production it is epoll; a test scripts it.
type poller interface {
	// wait fills events; it sleeps until there is one unless block is false. A wake-up or an expired alarm may give none.
	wait(events []unix.EpollEvent, block bool) int
	// watch sets what is asked of fd; an interest of 0 still reports errors, forget takes fd out.
	watch(fd int32, interest uint32, known bool) error
	forget(fd int32)
	// alarm asks for a return of wait at the time t on now's scale, or before; 0 asks for none.
	alarm(t int64)
	// wake makes wait return, now or at its next call. Any goroutine may call it.
	wake()
	// now is monotonic, in nanoseconds.
	now() int64
	close()
}

// epoll is the poller of production. Its wait is the "mode 4" of docs/design/0003-engine.md: the thread sleeps in epoll_wait behind
// the scheduler's back (RawSyscall), which saves handing the processor over and getting it back, a third of a request's cost at
// 20,000 requests a second. When the scheduler objects (SIGURG, seen as EINTR: the garbage collector wants a safepoint, or nothing
// came for 10 ms), the next sleep is an ordinary one, so that an idle loop is left alone for good.
type epoll struct {
	fd, wakeFD, timerFD int32
	polite              bool // sleep through Syscall next time
	woken               atomic.Bool
	wanted              int64 // when wait is asked to return; 0: not by itself
	armed               int64 // when the timer descriptor fires; 0: never
	base                time.Time
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loop: epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("loop: eventfd: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		unix.Close(wake)
		return nil, fmt.Errorf("loop: timerfd_create: %w", err)
	}
	p := &epoll{fd: int32(fd), wakeFD: int32(wake), timerFD: int32(timer), base: time.Now()}
	for _, own := range []int32{p.wakeFD, p.timerFD} {
		if err := p.watch(own, unix.EPOLLIN, false); err != nil {
			p.close()
			return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
		}
	}
	return p, nil
}

func (p *epoll) now() int64 { return int64(time.Since(p.base)) }

func (p *epoll) wait(events []unix.EpollEvent, block bool) int {
	timeout := ^uintptr(0) // for ever: a timeout would arm a kernel timer at each call, 3 µs (docs/design/0003-engine.md)
	if !block {
		timeout = 0
	}
	for {
		var n uintptr
		var errno unix.Errno
		if p.polite && block {
			n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), timeout, 0, 0)
		} else {
			n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), timeout, 0, 0)
		}
		if errno == unix.EINTR {
			// Without this call a tight loop around RawSyscall never reaches a safepoint and runtime.GC would wait for ever.
			p.polite = true
			if block && p.armed != p.wanted {
				// Nothing has come for a while: an alarm for a timer that was stopped must not end a true sleep.
				p.arm(p.wanted)
			}
			runtime.Gosched()
			continue
		}
		if errno != 0 {
			panic("loop: epoll_pwait: " + errno.Error()) // a closed or foreign descriptor: nothing can go on
		}
		p.polite = false
		return p.keepForeign(events[:n])
	}
}

// keepForeign answers the poller's own descriptors and leaves the loop's.
func (p *epoll) keepForeign(events []unix.EpollEvent) int {
	kept := 0
	for _, e := range events {
		switch e.Fd {
		case p.wakeFD:
			drain(p.wakeFD)
			p.woken.Store(false)
		case p.timerFD:
			drain(p.timerFD)
			p.armed = 0
		default:
			events[kept] = e
			kept++
		}
	}
	return kept
}

func drain(fd int32) {
	var b [8]byte
	unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b)), 8)
}

func (p *epoll) watch(fd int32, interest uint32, known bool) error {
	e := unix.EpollEvent{Events: interest, Fd: fd}
	op := uintptr(unix.EPOLL_CTL_ADD)
	if known {
		op = unix.EPOLL_CTL_MOD
	}
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), op, uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (p *epoll) forget(fd int32) {
	var e unix.EpollEvent
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), unix.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
}

// alarm leaves one that is set for earlier: most timers are stopped long before their time, and one early wake-up costs less than a
// system call for each of them. The descriptor disarms itself when it fires.
func (p *epoll) alarm(t int64) {
	p.wanted = t
	if t != 0 && (p.armed == 0 || p.armed > t) {
		p.arm(t)
	}
}

func (p *epoll) arm(t int64) {
	p.armed = t
	var spec unix.ItimerSpec // zero disarms, so what is overdue is asked for in a nanosecond
	if t != 0 {
		spec.Value = unix.NsecToTimespec(max(t-p.now(), 1))
	}
	unix.TimerfdSettime(int(p.timerFD), 0, &spec, nil)
}

func (p *epoll) wake() {
	if p.woken.Swap(true) {
		return
	}
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(p.wakeFD), uintptr(unsafe.Pointer(&one)), 8)
}

func (p *epoll) close() {
	unix.Close(int(p.timerFD))
	unix.Close(int(p.wakeFD))
	unix.Close(int(p.fd))
}
