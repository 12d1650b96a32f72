package mux

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/poll"
	"github.com/weftmesh/weft/wire/http2"
)

// Conn is one connection. Its owner reads it when the set says so, and flushes it after each turn.
type Conn struct {
	http2.Conn
	FD    int
	token int32
	set   *poll.Set
	kept  []byte // read, of a frame that is not whole
	out   []byte
	sent  int
	stuck bool // the set watches for room
}

// most is how much may wait to be sent before DATA waits in its streams.
const most = 1 << 20

// Begin makes c the connection of a descriptor that stands, or will: the set watches it for room.
func (c *Conn) Begin(set *poll.Set, fd int, token int32, o *http2.Options, owner http2.Owner) {
	c.FD, c.token, c.set = fd, token, set
	c.kept, c.out, c.sent, c.stuck = c.kept[:0], c.out[:0], 0, true
	c.Conn.Init(o, owner, c)
}

// Buffer implements http2.Sink.
func (c *Conn) Buffer(int) []byte { return c.out }

// Commit implements http2.Sink.
func (c *Conn) Commit(b []byte) { c.out = b }

// Over implements http2.Sink.
func (c *Conn) Over() bool { return c.Unsent() > most }

// Unsent implements http2.Sink.
func (c *Conn) Unsent() int { return len(c.out) - c.sent }

// Read reads once and gives the codec what came. io.EOF is the peer's end.
func (c *Conn) Read(buf []byte) error {
	n, errno := poll.Recv(c.FD, buf)
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.EOF
	}
	b := buf[:n]
	if len(c.kept) > 0 {
		c.kept = append(c.kept, b...)
		b = c.kept
	}
	used, err := c.Feed(b)
	if err != nil {
		return err
	}
	c.kept = append(c.kept[:0], b[used:]...)
	return nil
}

// Flush gives the socket what it takes, and asks to be told when it takes the rest.
func (c *Conn) Flush() error {
	full := c.Over()
	if c.sent < len(c.out) {
		n, errno := poll.Send(c.FD, c.out[c.sent:])
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		if c.sent += n; c.sent == len(c.out) {
			c.out, c.sent = c.out[:0], 0
		} else if c.sent > len(c.out)/2 {
			c.out, c.sent = c.out[:copy(c.out, c.out[c.sent:])], 0
		}
	}
	if left := c.sent < len(c.out); left != c.stuck {
		c.stuck = left
		ready := uint32(poll.In)
		if left {
			ready |= poll.Out
		}
		if err := c.set.Change(c.FD, ready, c.token); err != nil {
			return err
		}
	}
	if full && !c.Over() {
		c.Drained()
		return c.Flush()
	}
	return nil
}

// Stuck tells that what is said waits for the peer.
func (c *Conn) Stuck() bool { return c.stuck }
