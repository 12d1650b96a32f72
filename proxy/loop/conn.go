package loop

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Owner is who a connection's events are for. Its methods are called on the loop, never from within a call that it made to the
// connection, except OnData from Resume's turn.
type Owner interface {
	// OnData gets the bytes at hand and says how many it has used; they are valid during the call only. The rest is kept and comes
	// again, with more behind it, when more has been read. An owner that does not want more for now calls Pause.
	OnData(b []byte) int
	// OnEOF says that the peer sends no more; all bytes before it have been offered. The other direction still stands.
	OnEOF()
	// OnConnected says that a dialled connection stands.
	OnConnected()
	// OnLowWater says that what is to be sent has been over the limit and is now below half of it.
	OnLowWater()
	// OnClosed says that the connection is gone; nothing is called after it. err is nil if our side closed it.
	OnClosed(err error)
	// OnPanic is called if one of the above panics.
	OnPanic(v any)
}

// ErrReset is the cause of OnClosed when the peer reset the connection; errors.Is finds it.
var ErrReset error = syscall.ECONNRESET

// ErrLinger is the cause when a peer did not take the last bytes, or did not close, in the time that CloseFlushed gave it.
var ErrLinger = errors.New("loop: peer did not finish before the delayed close timeout")

// Conn is a connected stream socket on a loop. What is written is sent within the turn that wrote it, or at once by Flush.
type Conn struct {
	loop  *Loop
	owner Owner
	kept  []byte // read, not yet used by the owner
	out   []byte // written, not yet sent; sent bytes of it are out[:sent]
	sent  uint32
	limit uint32 // high watermark of out

	remote   netip.AddrPort
	arrival  *Arrival
	received uint64
	sentAll  uint64
	linger   Timer
	secure   *secure // nil: plain text

	fd       int32
	interest uint32 // what the poller was asked for
	state    state
	listed   bool // in loop.written
	again    bool // in loop.resumed
	asked    bool // by Again
	bulk     bool // the last read filled the buffer
	placed   bool // has a place of loop.Limit
}

type state uint16

const (
	connecting state = 1 << iota
	paused           // the owner wants no more bytes
	unwatched        // taken out of the poller, which would report a hang-up again and again
	gotEOF           // the peer's end was read
	toldEOF          // and the owner knows
	over             // out went over the limit and the owner waits for OnLowWater
	shutAsked        // CloseWrite: shut down once out is empty
	shut             // our end is sent
	lingering        // CloseFlushed: the owner has let go
	closed
	securing  // a TLS handshake is under way, or will be once the connection stands
	ioFailed  // a send failed; the error is told in order, after what can still be read
	wasReset  // the peer has gone without an orderly end
	yielded   // reads nothing before what is kept has been offered once more
	halted    // is about to be another process's: nothing is read or written
	inherited // came from another process, which may have a descriptor of it, too
)

// adopt makes a connection of a descriptor that is non-blocking.
func (l *Loop) adopt(fd int, remote netip.AddrPort, limit int, o Owner, s state, interest uint32) (*Conn, error) {
	c := &Conn{loop: l, fd: int32(fd), owner: o, limit: uint32(limit), remote: remote, state: s, interest: interest}
	if err := l.attach(c.fd, c, interest); err != nil {
		return nil, err
	}
	return c, nil
}

// Loop is the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Own makes o the connection's owner from now on.
func (c *Conn) Own(o Owner) { c.owner = o }

// Remote is whom the connection is from: whom a proxy named, or else the peer's address; not valid for a Unix socket.
func (c *Conn) Remote() netip.AddrPort {
	if c.arrival != nil && c.arrival.Source.IsValid() {
		return c.arrival.Source
	}
	return c.remote
}

// Direct is the peer's address, whatever it says; not valid for a Unix socket.
func (c *Conn) Direct() netip.AddrPort { return c.remote }

// Destination is where the connection was going before it was redirected to us; not valid: nowhere else.
func (c *Conn) Destination() netip.AddrPort {
	if c.arrival == nil {
		return netip.AddrPort{}
	}
	return c.arrival.Destination
}

// Origin is whom connections to endpoints for it seem to come from; nil: this host.
func (c *Conn) Origin() *Origin {
	if c.arrival == nil {
		return nil
	}
	return c.arrival.Origin
}

// DirectLocal is our side of the socket if Local is the connection's Destination; else not valid.
func (c *Conn) DirectLocal() netip.AddrPort {
	if !c.Destination().IsValid() {
		return netip.AddrPort{}
	}
	return c.arrival.Local
}

// Accepted is when an accepted connection came, on the loop's clock, if it had to wait for its owner; else 0.
func (c *Conn) Accepted() int64 {
	if c.arrival == nil {
		return 0
	}
	return c.arrival.Accepted
}

// ServerName is the name that a TLS client asked for, in lower case, if somebody looked.
func (c *Conn) ServerName() string {
	if c.arrival == nil {
		return ""
	}
	return c.arrival.ServerName
}

// Local is where the connection was going: its Destination, or else our own address, asked of the kernel; not valid for a Unix socket.
func (c *Conn) Local() netip.AddrPort {
	if d := c.Destination(); d.IsValid() {
		return d
	}
	sa, err := unix.Getsockname(int(c.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// Received and Sent count the bytes that the kernel gave and took.
func (c *Conn) Received() uint64 { return c.received }

// Sent counts the bytes that the kernel took.
func (c *Conn) Sent() uint64 { return c.sentAll }

// Unsent is the number of bytes written and not yet taken by the kernel.
func (c *Conn) Unsent() int {
	n := len(c.out) - int(c.sent)
	if c.secure != nil {
		n += len(c.secure.written)
	}
	return n
}

// Closed tells whether the connection is gone.
func (c *Conn) Closed() bool { return c.state&(closed|lingering) != 0 }

// PeerDone tells whether the peer's end has been read.
func (c *Conn) PeerDone() bool { return c.state&gotEOF != 0 }

// PeerGone looks whether the peer has closed or reset the connection, or sent what nobody asked for, without taking anything from
// it. It costs a system call.
func (c *Conn) PeerGone() bool {
	if c.state&(closed|gotEOF) != 0 {
		return true
	}
	var b [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 && errno != unix.EAGAIN {
		c.state |= wasReset // to look has taken the error
	}
	return errno != unix.EAGAIN
}

// Over tells whether more is to be sent than the limit: whoever feeds this connection pauses until OnLowWater.
func (c *Conn) Over() bool { return c.state&over != 0 }

// SetLimit sets the high watermark, in bytes.
func (c *Conn) SetLimit(n int) { c.limit = uint32(n) }

func (c *Conn) ready(events uint32) {
	if c.state&closed != 0 {
		return
	}
	if c.state&connecting != 0 {
		c.finishConnect()
		return
	}
	if events&unix.EPOLLOUT != 0 {
		c.Flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 || c.state&closed != 0 {
		return
	}
	switch {
	case c.state&(paused|gotEOF|yielded) == yielded && c.state&lingering == 0:
		return // its turn is at the end of this one
	case c.state&(paused|gotEOF) == 0 || c.state&lingering != 0:
		c.read()
	case events&unix.EPOLLERR != 0:
		c.fail(c.socketError())
	case c.state&(ioFailed|gotEOF) == ioFailed|gotEOF:
		c.fail(ErrReset) // nothing is left to be read that would tell of it
	case events&unix.EPOLLHUP != 0:
		// Both ends are shut, yet bytes may wait for a paused owner. Level-triggered epoll would repeat this for ever.
		c.loop.poll.forget(c.fd)
		c.state |= unwatched
	}
}

func (c *Conn) finishConnect() {
	c.state &^= connecting
	if err := c.socketError(); err != nil {
		c.fail(err)
		return
	}
	switch {
	case c.state&securing != 0:
		c.shake(nil)
	case c.state&lingering == 0:
		c.owner.OnConnected()
	}
	c.Flush() // what was written, or our end, may have waited for this
}

func (c *Conn) socketError() error {
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// read takes what is there, once: epoll is level-triggered, so more comes back next turn and no connection starves another.
func (c *Conn) read() {
	l := c.loop
	want := readSize
	if c.bulk {
		want = bulkSize
		if len(l.scratch) < want {
			l.scratch = make([]byte, want)
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&l.scratch[0])), uintptr(want), 0, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		c.lose(errno)
		return
	case n == 0:
		if c.state&wasReset != 0 {
			c.lose(ErrReset) // whoever met the error first has taken it, so that this looks like an orderly end
			return
		}
		if c.secure != nil && c.state&lingering == 0 {
			c.lose(c.cutOff())
			return
		}
		c.endOfInput()
		return
	}
	if l.tells {
		l.took(c.fd, int(n))
	}
	c.bulk = int(n) == want
	if c.state&lingering != 0 {
		return // nobody wants it any more
	}
	if c.secure != nil {
		c.open(l.scratch[:n])
		return
	}
	c.received += uint64(n)
	c.take(l.scratch[:n])
}

// take offers what has come, behind what was kept.
func (c *Conn) take(b []byte) {
	if len(c.kept) == 0 && c.state&paused == 0 {
		c.offer(b)
		return
	}
	c.kept = append(c.loop.buffers.grow(c.kept, len(b)), b...)
	if c.state&paused == 0 {
		c.offerKept()
	}
}

// endOfInput notes that the peer sends no more.
func (c *Conn) endOfInput() {
	c.state |= gotEOF
	if c.state&(lingering|shut) == lingering|shut {
		c.finish(nil)
		return
	}
	c.watch()
	if !c.again { // else what is kept comes first
		c.tellEOF()
	}
}

// offer shows bytes to the owner that lie in the loop's buffer, and keeps what it leaves.
func (c *Conn) offer(b []byte) {
	used := c.owner.OnData(b)
	if used < len(b) && c.state&(closed|lingering) == 0 {
		c.kept = append(c.loop.buffers.grow(c.kept, len(b)-used), b[used:]...)
	}
}

func (c *Conn) offerKept() {
	b := c.kept
	c.kept = nil // the owner may close, or write to others, or resume
	used := c.owner.OnData(b)
	if used == len(b) || c.state&(closed|lingering) != 0 {
		c.loop.buffers.put(b)
		return
	}
	c.kept = b[:copy(b, b[used:])]
}

// Kept tells whether bytes that were read wait for the owner.
func (c *Conn) Kept() bool { return len(c.kept) > 0 }

func (c *Conn) tellEOF() {
	if c.state&(toldEOF|closed|lingering|paused) == 0 {
		c.state |= toldEOF
		c.owner.OnEOF()
	}
}

// Pause stops reading. Bytes already read stay, and the kernel's buffer fills until the peer feels it.
func (c *Conn) Pause() {
	if c.state&paused == 0 {
		c.state |= paused
		c.watch()
	}
}

// Resume reads on. What was kept comes first, later in this turn or in the next.
func (c *Conn) Resume() {
	if c.state&(paused|closed|lingering) != paused {
		return
	}
	c.state &^= paused
	c.watch()
	if len(c.kept) > 0 || c.asked || c.state&(gotEOF|toldEOF) == gotEOF {
		c.queue()
	}
}

// Again has kept bytes offered once more though no new ones came: the owner is in another state now. None at all are offered, too: an
// owner that stopped between two events of its codec may have taken the bytes of both.
func (c *Conn) Again() {
	c.asked = true
	c.queue()
}

// Yield is Again for an owner that has left much of what it was offered so that others get their turn: until then nothing more is read.
func (c *Conn) Yield() {
	c.state |= yielded
	c.Again()
}

// queue has catchUp called at the end of the turn.
func (c *Conn) queue() {
	if !c.again && c.state&(closed|lingering) == 0 {
		c.again = true
		c.loop.resumed = append(c.loop.resumed, c)
	}
}

func (c *Conn) catchUp() {
	c.again = false
	c.state &^= yielded
	if c.state&(paused|closed|lingering|connecting|halted) != 0 {
		return
	}
	asked := c.asked
	c.asked = false
	if len(c.kept) > 0 || asked {
		c.offerKept()
	}
	if c.state&gotEOF != 0 {
		c.tellEOF()
	}
}

// watch tells the poller what is wanted now, if that has changed.
func (c *Conn) watch() {
	if c.state&(closed|halted) != 0 {
		return
	}
	var interest uint32
	if c.state&connecting != 0 {
		interest = unix.EPOLLOUT
	} else {
		if c.state&(paused|gotEOF) == 0 {
			interest = unix.EPOLLIN | unix.EPOLLRDHUP
		}
		if int(c.sent) < len(c.out) {
			interest |= unix.EPOLLOUT
		}
	}
	if interest == c.interest && c.state&unwatched == 0 {
		return
	}
	if c.state&unwatched != 0 && interest == 0 {
		return
	}
	c.loop.poll.watch(c.fd, interest, c.state&unwatched == 0)
	c.state &^= unwatched
	c.interest = interest
}

// Close ends the connection at once, with what was not sent yet dropped.
func (c *Conn) Close() { c.finish(nil) }

// Reset is Close with a TCP reset, so that the peer cannot take what it got for everything.
func (c *Conn) Reset() {
	if c.state&closed == 0 {
		unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.finish(nil)
}

func (c *Conn) fail(err error) { c.finish(err) }

func (c *Conn) finish(err error) {
	if c.state&closed != 0 {
		return
	}
	c.state |= closed
	l := c.loop
	l.wheel.stop(&c.linger)
	if c.state&lingering != 0 {
		l.lingering--
		if l.Parted != nil {
			l.Parted()
		}
	}
	if c.secure != nil {
		c.endSecurely()
	}
	if c.out != nil {
		l.buffers.put(c.out)
		c.out, c.sent = nil, 0
	}
	if c.kept != nil {
		l.buffers.put(c.kept)
		c.kept = nil
	}
	if c.state&inherited != 0 {
		l.poll.forget(c.fd) // to close does not, as long as the other process has the socket
	}
	l.release(c.fd)
	if c.placed {
		l.Limit.n.Add(-1)
	}
	if o := c.owner; o != nil {
		c.owner = gone{}
		o.OnClosed(err)
	}
}

// CloseFlushed sends what was written, shuts our end, and gives the peer the time given, in all, to take it and to close its end;
// then the connection is gone. Closing at once while the peer still sends would reset it, and the last answer could be lost
// (RFC 9112 §9.6). The owner hears OnClosed when it is over.
func (c *Conn) CloseFlushed(d time.Duration) {
	if c.state&(closed|lingering) != 0 {
		return
	}
	if c.state&securing != 0 {
		c.finish(nil) // nothing that was written can be said any more
		return
	}
	c.state |= lingering
	c.state &^= paused
	c.loop.lingering++
	c.CloseWrite()
	if c.state&closed != 0 {
		return
	}
	if c.state&gotEOF != 0 && c.state&shut != 0 {
		c.finish(nil)
		return
	}
	c.watch()
	if d > 0 {
		c.loop.SetTimer(&c.linger, d, c)
	}
}

// Expired ends a lingering connection.
func (c *Conn) Expired(*Timer) { c.fail(ErrLinger) }

// OnPanic hands a panic to the owner; without one the connection is closed.
func (c *Conn) OnPanic(v any) {
	if c.state&closed != 0 {
		return
	}
	c.owner.OnPanic(v)
}

// gone is the owner of a closed connection.
type gone struct{}

func (gone) OnData(b []byte) int { return len(b) }
func (gone) OnEOF()              {}
func (gone) OnConnected()        {}
func (gone) OnLowWater()         {}
func (gone) OnClosed(error)      {}
func (gone) OnPanic(any)         {}

var _ io.Writer = (*Conn)(nil)
