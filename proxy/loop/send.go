package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// straight is the size from which a piece is handed to the kernel from where it lies instead of being copied first
// (docs/design/0003-engine.md: below 8 KiB a copy is not worth a thought).
const straight = 8 << 10

// Buffer is where the owner appends what it has to say; Commit takes it back. Between the two nothing else may be called.
func (c *Conn) Buffer(room int) []byte {
	if s := c.secure; s != nil {
		s.written = c.loop.buffers.grow(s.written, room)
		return s.written
	}
	c.makeRoom(room)
	return c.out
}

// makeRoom makes room for n more bytes. A peer that takes bytes as fast as they come never lets out become empty, so what is sent is
// thrown out here, once it is the larger part: out stays below four times what is unsent, for one copied byte per byte sent.
func (c *Conn) makeRoom(n int) {
	if cap(c.out)-len(c.out) < n && int(c.sent) > len(c.out)/2 {
		c.out, c.sent = c.out[:copy(c.out, c.out[c.sent:])], 0
	}
	c.out = c.loop.buffers.grow(c.out, n)
}

// Commit says what Buffer has become. It is sent within the turn.
func (c *Conn) Commit(b []byte) {
	if c.state&(closed|shut|shutAsked) != 0 {
		return
	}
	if c.secure != nil {
		c.secure.written = b
	} else {
		c.out = b
	}
	c.schedule()
}

// Write sends b within the turn, or straight away if it is large. It never fails: an error comes by OnClosed.
func (c *Conn) Write(b []byte) (int, error) {
	n := len(b)
	if c.state&(closed|shut|shutAsked|ioFailed) != 0 {
		return n, nil
	}
	if s := c.secure; s != nil {
		if len(b) >= straight && len(s.written) == 0 && c.state&(connecting|securing) == 0 {
			c.sealFrom(b)
		} else {
			s.written = append(c.loop.buffers.grow(s.written, len(b)), b...)
		}
		c.schedule()
		return n, nil
	}
	if len(b) >= straight && c.state&connecting == 0 && c.interest&unix.EPOLLOUT == 0 {
		b = b[c.sendWith(b):]
		if len(b) > 0 && c.state&ioFailed == 0 {
			// The kernel is full: to try again within the turn would be in vain.
			c.makeRoom(len(b))
			c.out = append(c.out, b...)
			c.watch()
			b = nil
		}
	}
	if len(b) > 0 {
		c.makeRoom(len(b))
		c.out = append(c.out, b...)
	}
	c.schedule()
	return n, nil
}

func (c *Conn) schedule() {
	if c.Unsent() > int(c.limit) {
		c.state |= over
	}
	if !c.listed && c.state&connecting == 0 && c.interest&unix.EPOLLOUT == 0 {
		c.listed = true
		c.loop.written = append(c.loop.written, c)
	}
}

// sendWith sends what is buffered and b behind it in one call, and says how much of b the kernel took.
func (c *Conn) sendWith(b []byte) int {
	pending := c.out[c.sent:]
	if len(pending) == 0 {
		return c.send(b)
	}
	iov := [2]unix.Iovec{{Base: &pending[0], Len: uint64(len(pending))}, {Base: &b[0], Len: uint64(len(b))}}
	msg := unix.Msghdr{Iov: &iov[0], Iovlen: 2}
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	if errno != 0 {
		c.sendFailed(errno)
		return 0
	}
	c.sentAll += uint64(n)
	if int(n) < len(pending) {
		c.sent += uint32(n)
		return 0
	}
	c.out, c.sent = c.out[:0], 0
	return int(n) - len(pending)
}

func (c *Conn) send(b []byte) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		c.sendFailed(errno)
		return 0
	}
	if c.secure == nil { // of TLS what counts is what the owner wrote
		c.sentAll += uint64(n)
	}
	return int(n)
}

// sendFailed marks a connection that takes no more. What the peer sent before may still be read, an early answer to a request whose
// body it refused among it, so the read side tells of the end.
func (c *Conn) sendFailed(errno unix.Errno) {
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	c.state |= ioFailed
	if errno != unix.EPIPE { // EPIPE: reset, but after its orderly end had come, which Linux tells apart
		c.state |= wasReset
	}
}

// Flush sends what was written, as far as the kernel takes it.
func (c *Conn) Flush() {
	if c.state&(closed|connecting|halted) != 0 {
		return
	}
	if c.secure != nil && c.state&(securing|ioFailed) == 0 {
		c.seal()
	}
	if c.state&ioFailed == 0 && int(c.sent) < len(c.out) {
		c.sent += uint32(c.send(c.out[c.sent:]))
	}
	if c.state&ioFailed != 0 {
		c.out, c.sent = c.out[:0], 0
	}
	if int(c.sent) == len(c.out) && c.out != nil {
		c.loop.buffers.put(c.out)
		c.out, c.sent = nil, 0
	}
	if c.out == nil && c.state&(shutAsked|shut|securing) == shutAsked {
		c.shutDown()
		if c.state&closed != 0 {
			return
		}
	}
	c.watch()
	if c.state&over != 0 && c.Unsent() <= int(c.limit/2) {
		c.state &^= over
		c.owner.OnLowWater()
	}
}

// CloseWrite shuts our end once all that was written is sent; the peer's end stands.
func (c *Conn) CloseWrite() {
	if c.state&(closed|shutAsked) != 0 {
		return
	}
	c.state |= shutAsked
	if c.state&connecting == 0 {
		c.Flush()
	}
}

func (c *Conn) shutDown() {
	c.state |= shut
	unix.Shutdown(int(c.fd), unix.SHUT_WR)
	if c.state&lingering != 0 && c.state&(gotEOF|ioFailed) != 0 {
		c.finish(nil)
	}
}
