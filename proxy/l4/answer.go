package l4

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Answer is what a chain says by itself.
type Answer struct {
	config *config.Answer
	limit  int
}

// NewAnswer compiles an answer.
func NewAnswer(c *config.Answer, l *config.Listener) *Answer {
	return &Answer{config: c, limit: int(l.BufferLimit)}
}

// answerTime bounds how long the last bytes of an answer may take to leave: Envoy's delayed close timeout.
const answerTime = time.Second

// Serve answers an accepted connection.
func (a *Answer) Serve(l *Local, p *loop.Pending) {
	c := l.answer(p, a.limit)
	if c == nil || a.config.Echo {
		return
	}
	c.says = true
	c.conn.Write(a.config.Text)
	c.end()
}

// answered is a connection that nobody else gets: it hears what it says, or nothing.
type answered struct {
	local *Local
	conn  *loop.Conn
	gate  loop.Gate
	until loop.Timer // it is turned away then
	began int64
	next  *answered // in local.answered
	prev  *answered
	gone  bool
	says  bool   // a text of ours
	why   string // it is turned away, as logs say
}

// answer makes a connection one that is answered here; nil if it cannot be.
func (l *Local) answer(p *loop.Pending, limit int) *answered {
	c := &answered{local: l, gate: p.Gate, began: l.Loop.Nanotime()}
	conn, err := l.Loop.Adopt(p, limit, c)
	if err != nil {
		p.Refuse()
		p.Gate.Left(0)
		return nil
	}
	c.conn = conn
	if c.next = l.answered; c.next != nil {
		c.next.prev = c
	}
	l.answered = c
	return c
}

// leave takes the connection out of the books, once.
func (c *answered) leave() {
	if c.gone {
		return
	}
	c.gone = true
	l := c.local
	l.Loop.StopTimer(&c.until)
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.answered = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	if log, ok := c.gate.(accesslog.ConnectionLog); ok {
		rx, tx := c.conn.Received(), c.conn.Sent()+uint64(c.conn.Unsent())
		e := accesslog.Entry{BytesReceived: rx, BytesSent: tx, Termination: c.why}
		if c.says {
			e.Details = "direct_response"
		}
		log.Ended(&e)
	}
	c.gate.Left(time.Duration(l.Loop.Nanotime() - c.began))
}

// end closes once everything is sent.
func (c *answered) end() {
	c.leave()
	c.conn.Own(loop.Nobody{})
	c.conn.CloseFlushed(answerTime)
}

// drop closes at once.
func (c *answered) drop() {
	c.leave()
	c.conn.Own(loop.Nobody{})
	c.conn.Close()
}

// OnData says it again.
func (c *answered) OnData(b []byte) int {
	c.conn.Write(b)
	if c.conn.Over() {
		c.conn.Pause()
	}
	return len(b)
}

// OnLowWater listens again.
func (c *answered) OnLowWater() { c.conn.Resume() }

// OnEOF ends the echo.
func (c *answered) OnEOF() { c.end() }

// OnClosed is an error of the socket.
func (c *answered) OnClosed(error) { c.leave() }

// Expired turns the connection away.
func (c *answered) Expired(*loop.Timer) { c.drop() }

// OnConnected is not for accepted connections.
func (c *answered) OnConnected() {}

// OnPanic gives the connection up.
func (c *answered) OnPanic(any) { c.drop() }
