package loop

import (
	"fmt"
	"net/netip"
	"time"
)

// Still is a connection in plain text as it stands between two events: all that another process needs to go on with it.
type Still struct {
	Remote         netip.AddrPort
	Arrival        *Arrival // nil: nothing but the above is known
	Received, Sent uint64
	PeerDone       bool // the owner knows of the peer's end
	Ended          bool // CloseWrite was called, whether or not our end is sent
}

// Halt takes a connection off its loop until Proceed or Leave: what can be sent at once is sent, and from then on nothing is read or written,
// and the owner hears nothing. False: the connection speaks TLS, does not stand yet, or is ending; then nothing has changed but what was sent.
func (c *Conn) Halt() bool {
	if c.secure != nil || c.state&(ending|connecting|halted) != 0 {
		return false
	}
	c.Flush()
	if c.state&ending != 0 {
		return false
	}
	if c.state&unwatched == 0 {
		c.loop.poll.forget(c.fd)
	}
	c.loop.sources[c.fd] = nil
	c.state |= halted | unwatched
	return true
}

// ending is a connection that is not long for this world. What has become of it cannot be asked of the kernel a second time.
const ending = lingering | closed | ioFailed | wasReset

// Still is how a halted connection stands.
func (c *Conn) Still() Still {
	return Still{Remote: c.remote, Arrival: c.arrival, Received: c.received, Sent: c.sentAll, PeerDone: c.state&toldEOF != 0, Ended: c.state&shutAsked != 0}
}

// Written is what was written and the kernel has not taken yet. It is valid until the connection proceeds.
func (c *Conn) Written() []byte { return c.out[c.sent:] }

// Unused is what was read and the owner has not used yet, likewise.
func (c *Conn) Unused() []byte { return c.kept }

// FD is the connection's descriptor, for whoever gives it to another process.
func (c *Conn) FD() int { return int(c.fd) }

// Paused tells whether the owner wants no more bytes for now.
func (c *Conn) Paused() bool { return c.state&paused != 0 }

// Proceed goes on with a halted connection.
func (c *Conn) Proceed() {
	if c.state&(closed|halted) != halted {
		return
	}
	c.state &^= halted
	if c.state&unwatched != 0 {
		if err := c.loop.attach(c.fd, c, 0); err != nil {
			c.fail(fmt.Errorf("loop: epoll_ctl: %w", err))
			return
		}
		c.state &^= unwatched
		c.interest = 0
	}
	c.watch()
	if c.state&paused == 0 && (len(c.kept) > 0 || c.asked || c.state&(gotEOF|toldEOF) == gotEOF) {
		c.queue()
	}
}

// Leave closes the descriptor of a halted connection, and says nothing to anybody: the connection is another process's, which has one too.
func (c *Conn) Leave() {
	if c.state&(closed|halted) != halted {
		return
	}
	l := c.loop
	if c.state&unwatched == 0 {
		l.poll.forget(c.fd) // to close does not: the other process's descriptor is the same socket's
	}
	c.state |= closed
	c.owner = gone{}
	if c.placed {
		l.Limit.n.Add(-1)
	}
	l.wheel.stop(&c.linger)
	if c.out != nil {
		l.buffers.put(c.out)
		c.out, c.sent = nil, 0
	}
	if c.kept != nil {
		l.buffers.put(c.kept)
		c.kept = nil
	}
	l.release(c.fd)
}

// Inherit makes a connection of one that was halted in another process, whose descriptor fd is and stays the caller's in case of an error. It
// is halted until Proceed; what was written and not sent, and that our end was, is for the owner to say again then.
func (l *Loop) Inherit(fd int, s *Still, limit int, o Owner) (*Conn, error) {
	state := halted | inherited
	if s.PeerDone {
		state |= gotEOF | toldEOF
	}
	c, err := l.adopt(fd, s.Remote, limit, o, state, 0)
	if err != nil {
		return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	c.arrival, c.received, c.sentAll = s.Arrival, s.Received, s.Sent
	return c, nil
}

// Place counts an inherited connection among the accepted ones of the process, if they are limited, though there may be one too many: it was
// let in before.
func (c *Conn) Place() {
	if l := c.loop.Limit; l != nil && !c.placed {
		l.n.Add(1)
		c.placed = true
	}
}

// Remaining is the time that a timer has left; 0: it is not set, or is due.
func (l *Loop) Remaining(t *Timer) time.Duration {
	if !t.Pending() {
		return 0
	}
	return max(time.Duration(t.deadline*tick-l.time), 0)
}
