package poll

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Readiness bits, as epoll names them.
const (
	In     = unix.EPOLLIN
	Out    = unix.EPOLLOUT
	Broken = unix.EPOLLERR | unix.EPOLLHUP
)

// Forever is the wait that only an event ends.
const Forever = time.Duration(math.MaxInt64)

// batch bounds the events one wait may return. It exceeds the 64 connections of most scenarios and
// keeps the array in the first-level cache for the 512 of the largest.
const batch = 256

// Event says that the descriptor registered under Token is ready for Ready.
type Event struct {
	Ready uint32
	Token int32
}

// Set is a level-triggered epoll set.
type Set struct {
	fd     int
	raw    [batch]unix.EpollEvent
	events [batch]Event
}

// NewSet opens an empty set.
func NewSet() (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("poll: epoll_create1: %w", err)
	}
	return &Set{fd: fd}, nil
}

// Close closes the set, not the descriptors in it.
func (s *Set) Close() { unix.Close(s.fd) }

// Add registers fd; its events carry token.
func (s *Set) Add(fd int, ready uint32, token int32) error {
	return s.control(unix.EPOLL_CTL_ADD, fd, ready, token)
}

// Change replaces what fd is watched for.
func (s *Set) Change(fd int, ready uint32, token int32) error {
	return s.control(unix.EPOLL_CTL_MOD, fd, ready, token)
}

func (s *Set) control(op, fd int, ready uint32, token int32) error {
	ev := unix.EpollEvent{Events: ready, Fd: token}
	if err := unix.EpollCtl(s.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("poll: epoll_ctl: %w", err)
	}
	return nil
}

// Wait returns the events that are there, or waits at most timeout for the first one; it may return
// none early. The slice is valid until the next Wait.
//
// It looks without blocking first, by a raw call the Go scheduler does not see: under load there is
// always something, and entering and leaving a blocking call would cost more than the look. The
// blocking wait is epoll_pwait2 because a request that is due in 50 µs cannot be waited for in
// milliseconds.
func (s *Set) Wait(timeout time.Duration) ([]Event, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.raw[0])), batch, 0, 0, 0)
	if errno == 0 && n == 0 && timeout > 0 {
		var limit *unix.Timespec
		if timeout != Forever {
			ts := unix.NsecToTimespec(int64(timeout))
			limit = &ts
		}
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.raw[0])), batch, uintptr(unsafe.Pointer(limit)), 0, 0)
	}
	switch errno {
	case 0:
	case unix.EINTR:
		return nil, nil
	case unix.ENOSYS:
		return nil, fmt.Errorf("poll: epoll_pwait2 is missing: Linux 5.11 or later is needed")
	default:
		return nil, fmt.Errorf("poll: epoll_pwait2: %w", errno)
	}
	for i := range s.raw[:n] {
		s.events[i] = Event{Ready: s.raw[i].Events, Token: s.raw[i].Fd}
	}
	return s.events[:n], nil
}
