package loop

import (
	"errors"
	"fmt"

	"github.com/weftmesh/weft/tls"
)

// secure is what a connection that speaks TLS has beside. Its owner writes and gets plain text.
type secure struct {
	session  *tls.Session
	began    int64  // its handshake, on the loop's clock; 0: it has not
	stood    int64  // and when it was over, and well
	written  []byte // by the owner, not sealed yet
	notified bool   // the peer knows that we send no more
	lost     error  // how what can be read has ended, while it shook hands; nil: it has not
}

// Errors of connections that speak TLS.
var (
	// ErrTruncated is the cause of OnClosed if the peer's end came without its word that it would: what it said may not be all
	// (RFC 8446 §6.1).
	ErrTruncated = errors.New("loop: the peer closed the connection without a TLS close_notify")
	// ErrUnshaken is the cause if the peer went away during the handshake.
	ErrUnshaken = errors.New("loop: the peer closed the connection during the TLS handshake")
)

// HandshakeError is the cause of OnClosed if a handshake failed.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Error() string { return fmt.Sprintf("loop: TLS handshake: %v", e.Err) }

// Unwrap is what the handshake failed with.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Secure has the connection speak TLS from here on, or, if it is being dialled, from its beginning; first is what has come of the peer's
// first words. The owner hears OnConnected when the handshake is over, and nothing before it but OnClosed; how long that may take is the
// owner's to bound.
func (c *Conn) Secure(s *tls.Session, first []byte) {
	c.secure = &secure{session: s}
	c.received = 0 // of what the owner gets
	c.state |= securing
	if c.state&connecting == 0 {
		c.shake(first)
	}
}

// TLS is the connection's session; nil: it is in plain text.
func (c *Conn) TLS() *tls.Session {
	if c.secure == nil {
		return nil
	}
	return c.secure.session
}

// Handshake is when the connection's TLS handshake began, and when it was over, and well, on the loop's clock; 0: it has not, or there is none.
func (c *Conn) Handshake() (began, stood int64) {
	if c.secure == nil {
		return 0, 0
	}
	return c.secure.began, c.secure.stood
}

// shake begins the handshake.
func (c *Conn) shake(first []byte) {
	l := c.loop
	c.secure.began = l.Nanotime()
	if s := c.secure.session; s.WantsAddresses() {
		s.Between(c.Local(), c.Remote())
	}
	c.secure.session.Begin(first, func() {
		l.Post(func() {
			l.current = c
			c.shaken()
			l.current = nil
		})
	})
}

// shaken sends what the handshake has to say, and ends it.
func (c *Conn) shaken() {
	if c.state&(closed|securing) != securing {
		return
	}
	c.makeRoom(4 << 10)
	out, done, err := c.secure.session.Take(c.out)
	c.out = out
	if done {
		c.state &^= securing
	}
	c.state &^= paused // it has read what was enough
	c.Flush()
	if !done || c.state&closed != 0 {
		return
	}
	if err != nil && c.secure.lost != nil && errors.Is(err, tls.ErrAborted) {
		c.fail(c.secure.lost)
		return
	}
	if err != nil {
		c.fail(&HandshakeError{err})
		return
	}
	if err := c.secure.session.Revoked(); err != nil { // by a list that came during the handshake, when Recheck did not look here
		c.fail(&HandshakeError{err})
		return
	}
	c.secure.stood = c.loop.Nanotime()
	c.owner.OnConnected()
	if c.state&(closed|lingering) == 0 {
		c.open(nil) // what came behind the handshake
	}
	if c.state&closed == 0 {
		c.Flush()
	}
	if lost := c.secure.lost; lost != nil && c.state&closed == 0 {
		if lost == ErrUnshaken {
			lost = ErrTruncated
		}
		c.fail(lost)
	}
}

// Recheck ends connections whose peers have been revoked since their handshakes. It is one pass over all that the loop has.
func (l *Loop) Recheck() {
	for _, s := range l.sources {
		if c, ok := s.(*Conn); ok && c.secure != nil && c.secure.stood != 0 && c.state&closed == 0 {
			l.recheck(c)
		}
	}
}

func (l *Loop) recheck(c *Conn) {
	defer l.Contain(c)
	if err := c.secure.session.Revoked(); err != nil {
		c.secure.session.CountRevoked()
		c.fail(err)
	}
}

// lose is the end of all that can be read. During a handshake what came before it may be the peer's word on why, or all that it had to say,
// and is heard first.
func (c *Conn) lose(err error) {
	if c.state&securing == 0 || c.state&lingering != 0 || c.secure.lost != nil {
		c.fail(err)
		return
	}
	c.secure.lost = err
	c.state |= gotEOF
	c.watch()
	c.secure.session.End()
}

// open takes what was read from the socket.
func (c *Conn) open(b []byte) {
	if c.state&securing != 0 {
		if c.secure.session.Feed(b) {
			c.Pause()
		}
		return
	}
	plain, answer, err := c.secure.session.Open(c.loop.plain[:0], b)
	if cap(plain) <= maxPlain {
		c.loop.plain = plain
	}
	if len(answer) > 0 {
		c.makeRoom(len(answer))
		c.out = append(c.out, answer...)
		c.schedule()
	}
	if len(plain) > 0 {
		c.received += uint64(len(plain))
		c.take(plain)
	}
	switch {
	case err == nil || c.state&closed != 0:
	case errors.Is(err, tls.ErrClosed):
		c.secure.lost = nil
		c.endOfInput()
	default:
		c.fail(err)
	}
}

// cutOff is what an end means that came without the peer's word.
func (c *Conn) cutOff() error {
	if c.state&securing != 0 {
		return ErrUnshaken
	}
	return ErrTruncated
}

// maxPlain is the most that a loop keeps to open records into: what a bulk read has, and a record that began before it.
const maxPlain = 2 * bulkSize

// seal makes records of what the owner has written, and of the end.
func (c *Conn) seal() {
	s := c.secure
	if len(s.written) > 0 {
		c.sealFrom(s.written)
		c.loop.buffers.put(s.written)
		s.written = nil
	}
	if c.state&shutAsked != 0 && !s.notified {
		s.notified = true
		c.out = s.session.CloseNotify(c.out)
	}
}

func (c *Conn) sealFrom(b []byte) {
	c.makeRoom(len(b) + tls.SealingRoom(len(b)))
	out, err := c.secure.session.Seal(c.out, b)
	c.out = out
	c.sentAll += uint64(len(b))
	if err != nil {
		c.state |= ioFailed // the peer has been told; what it has said can still be read
	}
}

// endSecurely is the last that a peer hears on an orderly close.
func (c *Conn) endSecurely() {
	s := c.secure
	if c.state&(securing|connecting) != 0 {
		s.session.Abort()
	} else if !s.notified && c.state&ioFailed == 0 && int(c.sent) == len(c.out) {
		s.notified = true
		if b := s.session.CloseNotify(c.out[:0]); len(b) > 0 {
			c.send(b)
		}
	}
	if s.written != nil {
		c.loop.buffers.put(s.written)
		s.written = nil
	}
}
