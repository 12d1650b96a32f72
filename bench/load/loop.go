package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/poll"
)

// loop owns every connection of a run and all the counts.
type loop struct {
	set   *poll.Set
	spec  Spec
	conns []conn
	pace  pace
	buf   []byte // one for all reads: nothing is kept in it between two
	base  time.Time
	up    int // connections that are open

	requests uint64
	refused  uint64
	reopened uint64
	latency  Histogram
	faults   Faults
	fatal    error
}

type conn struct {
	fd    int
	slot  int32
	state state
	since time.Duration // when the request in flight was sent, or was due
	out   []byte        // what the socket has not taken yet
	stuck bool          // the set watches for room to send the rest of out
	proto protocol
}

type state uint8

const (
	shut state = iota
	connecting
	idle
	busy
)

// readSize takes a 64 KiB answer in one read.
const readSize = 256 << 10

// mostFaults ends a run: the rest would only repeat what is known.
const mostFaults = 1000

func newLoop(spec Spec, p pace) (*loop, error) {
	set, err := poll.NewSet()
	if err != nil {
		return nil, err
	}
	l := &loop{
		set: set, spec: spec, pace: p,
		conns: make([]conn, spec.Conns),
		buf:   make([]byte, readSize),
		base:  time.Now(),
	}
	for i := range l.conns {
		l.conns[i] = conn{slot: int32(i), proto: spec.protocol()}
	}
	return l, nil
}

func (l *loop) close() {
	for i := range l.conns {
		if l.conns[i].state != shut {
			poll.Close(l.conns[i].fd)
		}
	}
	l.set.Close()
}

// now is the loop's clock: monotonic, from its own beginning.
func (l *loop) now() time.Duration { return time.Since(l.base) }

// step waits for events until the given time at most, and serves them.
func (l *loop) step(until time.Duration) error {
	now := l.now()
	next := min(l.pace.wake(l, now), until)
	events, err := l.set.Wait(max(next-now, 0))
	if err != nil {
		return err
	}
	for _, ev := range events {
		c := &l.conns[ev.Token]
		switch {
		case c.state == shut: // closed by an event before this one
		case c.state == connecting:
			l.connected(c)
		case c.stuck && ev.Ready&(poll.Out|poll.Broken) != 0:
			l.flush(c)
		default:
			l.receive(c)
		}
	}
	return l.fatal
}

// dial opens the connection anew; what fails at once is a fault.
func (l *loop) dial(c *conn) {
	c.proto.reset()
	c.out, c.stuck = nil, false
	fd, err := poll.Dial(l.spec.Address, l.spec.Port)
	if err == nil {
		if err = l.set.Add(fd, poll.Out, c.slot); err != nil {
			poll.Close(fd)
		}
	}
	if err != nil {
		l.faults.Connect++
		l.fatal = fmt.Errorf("load: connection %d of %d: %w", c.slot+1, len(l.conns), err)
		return
	}
	c.fd, c.state = fd, connecting
}

func (l *loop) connected(c *conn) {
	if poll.Settled(c.fd) != nil {
		l.fault(c, &l.faults.Connect)
		return
	}
	if err := l.set.Change(c.fd, poll.In, c.slot); err != nil {
		l.fatal = err
		return
	}
	c.state = idle
	l.up++
	l.pace.ready(l, c, l.now())
}

// send begins a request whose latency counts from since.
func (l *loop) send(c *conn, since time.Duration) {
	c.state, c.since, c.out = busy, since, c.proto.request()
	l.flush(c)
}

// flush gives the socket what it takes, and asks to be told when it takes the rest.
func (l *loop) flush(c *conn) {
	n, errno := poll.Send(c.fd, c.out)
	if errno != 0 && errno != unix.EAGAIN {
		l.fault(c, &l.faults.Reset)
		return
	}
	c.out = c.out[n:]
	if left := len(c.out) > 0; left != c.stuck {
		c.stuck = left
		ready := uint32(poll.In)
		if left {
			ready |= poll.Out
		}
		if err := l.set.Change(c.fd, ready, c.slot); err != nil {
			l.fatal = err
		}
	}
}

// receive reads once: the set is level-triggered, so what a full buffer leaves behind comes back as
// the next event, and a second read only to be told EAGAIN is saved.
func (l *loop) receive(c *conn) {
	n, errno := poll.Recv(c.fd, l.buf)
	switch {
	case errno == unix.EAGAIN:
		return
	case errno != 0:
		l.fault(c, &l.faults.Reset)
		return
	case n == 0 && c.state == idle && !c.proto.begun():
		l.reopen(c)
		return
	case n == 0:
		l.fault(c, &l.faults.Short)
		return
	case c.state == idle || len(c.out) > 0: // an answer before the question was asked
		l.fault(c, &l.faults.Malformed)
		return
	}
	used, v := c.proto.feed(l.buf[:n])
	switch {
	case v == more:
	case v == badStatus:
		l.fault(c, &l.faults.Status)
	case v == badLength:
		l.fault(c, &l.faults.Length)
	case v == malformed || used < n:
		l.fault(c, &l.faults.Malformed)
	default:
		now := l.now()
		l.requests++
		if v == refused {
			l.refused++
		}
		l.latency.Record(now - c.since)
		c.state = idle
		if v == doneClose {
			l.reopen(c)
			return
		}
		l.pace.ready(l, c, now)
	}
}

// fault counts under kind and replaces the connection, so that the run can go on and count more.
func (l *loop) fault(c *conn, kind *uint64) {
	*kind++
	if l.faults.Total() >= mostFaults {
		l.fatal = fmt.Errorf("load: given up after %d faults: %v", mostFaults, l.faults)
	}
	l.replace(c)
}

func (l *loop) reopen(c *conn) {
	l.reopened++
	l.replace(c)
}

func (l *loop) replace(c *conn) {
	if c.state != connecting {
		l.up--
	}
	poll.Close(c.fd)
	c.state = shut
	if l.fatal == nil {
		l.dial(c)
	}
}
