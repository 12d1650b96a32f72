package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weftmesh/weft/bench/mux"
	"github.com/weftmesh/weft/bench/poll"
	"github.com/weftmesh/weft/bench/upstream"
	"github.com/weftmesh/weft/wire/dubbo"
)

// mark is how many bytes of a text tell one call's from another's, so that an answer that is another's is a fault. maxText is the longest text that hessian2 has in one piece.
const (
	mark    = 8
	maxText = 32767
)

// clientDubbo makes calls of Dubbo 2: as many at once on each connection as the spec says.
type clientDubbo struct {
	spec  Spec
	set   *poll.Set
	conns []connDubbo
	buf   []byte
	counts
	frame []byte // of every call, but for its number and its mark
	text  int    // where the text begins in it
}

type connDubbo struct {
	mux.Line
	client *clientDubbo
	open   bool
	begun  bool
	number uint64 // of the last call
	calls  []under
}

// under is a call under way. Its place is the remainder of its number by how many there are.
type under struct {
	number uint64
	since  time.Duration
}

// callFrame is a call with a text of so many bytes, as Dubbo for Java writes it in hessian2, and where the text begins in it.
func callFrame(size int) (frame []byte, text int) {
	h := dubbo.Head{Request: true, TwoWay: true, Serialization: dubbo.Hessian2}
	b := dubbo.AppendHead(nil, &h)
	for _, s := range []string{"2.0.2", upstream.Interface, "0.0.0", upstream.Method, "Ljava/lang/String;"} {
		b = appendShort(b, s)
	}
	b = binary.BigEndian.AppendUint16(append(b, 'S'), uint16(size))
	text = len(b)
	for range size {
		b = append(b, 'w')
	}
	b = append(b, 'H')
	for _, s := range []string{"path", upstream.Interface, "remote.application", "weft-bench", "interface", upstream.Interface, "version", "0.0.0", "timeout", "20000"} {
		b = appendShort(b, s)
	}
	b = append(b, 'Z')
	binary.BigEndian.PutUint32(b[12:], uint32(len(b)-dubbo.HeadSize))
	return b, text
}

// appendShort writes a text of less than 32 characters.
func appendShort(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func newClientDubbo(spec Spec) (*clientDubbo, error) {
	set, err := poll.NewSet()
	if err != nil {
		return nil, err
	}
	c := &clientDubbo{spec: spec, set: set, conns: make([]connDubbo, spec.Conns), buf: make([]byte, readSize), counts: counts{base: time.Now()}}
	c.frame, c.text = callFrame(spec.Body)
	return c, nil
}

func (c *clientDubbo) close() {
	for i := range c.conns {
		if c.conns[i].open {
			poll.Close(c.conns[i].FD)
		}
	}
	c.set.Close()
}

// dial opens all connections.
func (c *clientDubbo) dial() error {
	for i := range c.conns {
		n := &c.conns[i]
		fd, err := poll.Dial(c.spec.Address, c.spec.Port)
		if err != nil {
			return fmt.Errorf("load: connection %d of %d: %w", i+1, len(c.conns), err)
		}
		n.client, n.open, n.calls = c, true, make([]under, c.spec.Streams)
		if err := c.set.Add(fd, poll.In|poll.Out, int32(i)); err != nil {
			return err
		}
		n.Begin(c.set, fd, int32(i), n.take)
	}
	return nil
}

// step waits for events until the given time at most, and serves them.
func (c *clientDubbo) step(until time.Duration) error {
	events, err := c.set.Wait(max(until-c.now(), 0))
	if err != nil {
		return err
	}
	for _, ev := range events {
		n := &c.conns[ev.Token]
		if ev.Ready&(poll.In|poll.Broken) != 0 {
			if err := n.Read(c.buf); err != nil {
				return c.lost(n, err)
			}
		}
		if !n.begun {
			n.begun = true
			for i := range n.calls {
				n.call(i)
			}
		}
		if err := n.Flush(); err != nil {
			return c.lost(n, err)
		}
	}
	return nil
}

func (c *clientDubbo) lost(n *connDubbo, err error) error {
	switch {
	case c.faults.Total() > 0: // it is said
	case errors.Is(err, io.EOF):
		c.faults.Short++
	default:
		c.faults.Reset++
	}
	return fmt.Errorf("load: a connection after %d calls: %w; faults: %v", n.number, err, c.faults)
}

// call makes a call in a place. Numbers grow, as Dubbo's do.
func (n *connDubbo) call(place int) {
	c := n.client
	u := &n.calls[place]
	if n.number++; u.number == 0 {
		u.number = uint64(place)
	}
	u.number, u.since = u.number+uint64(len(n.calls)), c.now()
	at := len(n.Out)
	n.Out = append(n.Out, c.frame...)
	dubbo.Renumber(n.Out[at:], u.number)
	binary.BigEndian.PutUint64(n.Out[at+c.text:], marked(u.number))
}

// marked is a number as eight characters of ASCII, its lower 48 bits.
func marked(number uint64) (m uint64) {
	for i := range mark {
		m |= (' ' + number>>(6*i)&63) << (8 * i)
	}
	return m
}

// take judges an answer and makes the next call in its place.
func (n *connDubbo) take(h *dubbo.Head, frame []byte) bool {
	c := n.client
	place := int(h.ID % uint64(len(n.calls)))
	u := &n.calls[place]
	body := frame[dubbo.HeadSize:]
	const before = 4 // what kind of answer it is, and how long the text
	switch {
	case h.Request || h.Event || u.number != h.ID:
		c.faults.Malformed++
		return false
	case h.Status != dubbo.OK:
		c.faults.Status++
		return false
	case len(body) < before+c.spec.Body || int(binary.BigEndian.Uint16(body[2:])) != c.spec.Body:
		c.faults.Length++
		return false
	case binary.BigEndian.Uint64(body[before:]) != marked(h.ID):
		c.faults.Malformed++
		return false
	}
	c.requests++
	c.bytes += uint64(len(frame))
	c.latency.Record(c.now() - u.since)
	n.call(place)
	return true
}
