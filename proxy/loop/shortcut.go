package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a reader tells the kernel's programs how many bytes it has read, where a workload is captured by such with short cuts: capture/bpf has the same two.
const (
	solWeft  = 0x57454654
	weftRead = 1
)

// tellEach is after how many bytes it is told again: half of what the programs let lie in a queue, so that a sender who is read need not wait.
const tellEach = 32 << 10

// shortCuts tells whether programs ask how much is read. They do or do not when a process starts: a sidecar starts when its workload is captured.
func shortCuts() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return tell(int32(fd), 0)
}

// tell says how many bytes of a connection have been read, ever. From then on what its other end sends may come from socket to socket, past what TCP does, if that
// end is on this machine: the kernel hands it out by recv alone.
func tell(fd int32, all uint64) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), solWeft, weftRead, uintptr(unsafe.Pointer(&all)), unsafe.Sizeof(all), 0)
	return errno == 0
}

// took counts what was read, and tells of the first of it, and then now and then.
func (l *Loop) took(fd int32, n int) {
	before := l.taken[fd]
	now := before + uint64(n)
	if l.taken[fd] = now; before == 0 || before/tellEach != now/tellEach {
		tell(fd, now)
	}
}
