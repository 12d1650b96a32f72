package poll

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

var loopback = [4]byte{127, 0, 0, 1}

// backlog holds every connection of the largest scenario (5,000) should the accepting side be late.
const backlog = 8192

// Listen opens a non-blocking listener on a free port, of loopback or of all addresses, and returns both.
func Listen(everywhere bool) (fd, port int, err error) {
	at := loopback
	if everywhere {
		at = [4]byte{}
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("poll: socket: %w", err)
	}
	// Accepted sockets inherit TCP_NODELAY on Linux, which saves a call per connection.
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at}); err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("poll: listen on loopback: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("poll: getsockname: %w", err)
	}
	return fd, name.(*unix.SockaddrInet4).Port, nil
}

// Accept takes one waiting connection, non-blocking; unix.EAGAIN says that none is waiting.
func Accept(listener int) (int, error) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return fd, err
}

// Dial starts a connection to a port, of loopback if no address is said. It is there once the descriptor is ready for Out
// and Settled says nil.
func Dial(address netip.Addr, port int) (int, error) {
	to := loopback
	if address.IsValid() {
		to = address.As4()
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("poll: socket: %w", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to, Port: port})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("poll: connect: %w", err)
	}
	return fd, nil
}

// Settled reports how a started connection ended: nil when it is established.
func Settled(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// Recv reads what is there. Zero bytes and no error is the peer's end of the stream.
// The raw call is legal because the descriptor never blocks.
func Recv(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Send writes what fits. A peer that is gone is an error here, not a signal.
func Send(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Close closes a socket and with it its place in any set.
func Close(fd int) { unix.Close(fd) }
