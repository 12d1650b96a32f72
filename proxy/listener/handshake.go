package listener

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/hello"
)

// maxShaking bounds how many connections of a loop may be in their TLS handshake, or have yet to begin it.
const maxShaking = 32 << 10

// patience bounds a handshake of a chain that does not say how long one may take.
const patience = time.Minute

// handshake is a connection that speaks no TLS yet, whose chain wants it to. It waits for all of what the client says first, so that
// nothing is spent on one that says half of it; then crypto/tls has the word.
type handshake struct {
	port    *port
	chain   *Chain
	pending loop.Pending
	arrival loop.Arrival
	timer   loop.Timer
	began   int64
	need    int // bytes that there must be before another look
	next    *handshake
	prev    *handshake
	shaking bool // crypto/tls has the word
}

// secure gives a connection to its chain once it speaks TLS.
func (p *port) secure(c *Chain, a *loop.Pending) {
	h := &handshake{port: p, chain: c, pending: *a, began: p.Loop.Nanotime()}
	if a.Arrival == nil {
		h.arrival.Local, h.arrival.Accepted = a.Local(), h.began
		h.pending.Arrival = &h.arrival
	}
	if p.Local.shaking >= maxShaking {
		c.ssl.Loop(p.Loop.Index()).Inc(tls.Overflow)
		h.gone()
		a.Refuse()
		return
	}
	conn, err := p.Loop.Adopt(&h.pending, int(p.config.BufferLimit), h)
	if err != nil {
		h.gone()
		a.Refuse()
		return
	}
	h.pending.Conn = conn
	p.Local.shaking++
	if h.next = p.shaking; h.next != nil {
		h.next.prev = h
	}
	p.shaking = h
	d := c.Config.HandshakeTimeout
	if d <= 0 {
		d = patience
	}
	p.Loop.SetTimer(&h.timer, d, h)
}

// gone takes leave of a connection that never got to its chain.
func (h *handshake) gone() {
	h.pending.Gate.Left(time.Duration(h.port.Loop.Nanotime() - h.began))
}

// leave ends the waiting.
func (h *handshake) leave() {
	p := h.port
	p.Loop.StopTimer(&h.timer)
	if h.shaking {
		tls.CountStapling(h.chain.ssl.Loop(p.Loop.Index()), h.pending.Conn.TLS())
	}
	p.Local.shaking--
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		p.shaking = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	h.next, h.prev = nil, nil
}

// refuse closes the connection.
func (h *handshake) refuse() {
	h.leave()
	h.gone()
	h.pending.Refuse()
}

// OnData waits for a whole ClientHello, or for what can be none, and takes nothing.
func (h *handshake) OnData(b []byte) int {
	if h.shaking || len(b) == 0 || len(b) < h.need {
		return 0
	}
	var seen hello.ClientHello
	v, need := hello.TLS(b, hello.MaxClientHello, &seen)
	if v == hello.More {
		h.need = need
		return 0
	}
	if v == hello.Found {
		if a := h.pending.Arrival; a.ServerName == "" {
			a.ServerName = seen.ServerName
		}
	}
	session, err := h.chain.TLS.Server()
	if err == nil && v == hello.TooLarge {
		err = errLarge
	}
	if err != nil {
		h.failed(err)
		h.refuse()
		return 0
	}
	h.shaking = true
	h.pending.Conn.Secure(session, b)
	return len(b)
}

// OnConnected gives the connection to its chain. One that has been replaced meanwhile has its successor take it: nobody is sent away for
// a change that came in the middle of his handshake.
func (h *handshake) OnConnected() {
	p, c := h.port, h.chain
	if c = p.chains.Successor(c); c == nil {
		h.refuse()
		return
	}
	h.leave()
	tls.Count(h.chain.agreed.Loop(p.Loop.Index()), h.chain.ssl.Loop(p.Loop.Index()), h.pending.Conn.TLS())
	if log, ok := h.pending.Gate.(*logged); ok {
		log.shaken(h.pending.Conn)
	}
	p.give(c, &h.pending)
}

// failed counts a handshake that came to nothing, and tells of it.
func (h *handshake) failed(err error) {
	tls.CountFailure(h.chain.ssl.Loop(h.port.Loop.Index()), err)
	if log, ok := h.pending.Gate.(*logged); ok {
		log.entry.Failure = tls.Explain(err)
	}
	h.told(err)
}

// told tells of a handshake that came to nothing. As in Envoy, one whose client just went counts as no failure of TLS.
func (h *handshake) told(err error) {
	if log, ok := h.pending.Gate.(*logged); ok {
		log.shaken(h.pending.Conn)
		log.unshaken(err)
	}
	if tell := h.port.listener.tell; tell != nil && err != nil {
		tell(h.port.config.Name, h.pending.Remote, err)
	}
}

// OnEOF is a client that goes before it has said anything.
func (h *handshake) OnEOF() {
	h.told(loop.ErrUnshaken)
	h.refuse()
}

// OnClosed is a handshake that failed, or an error of the socket.
func (h *handshake) OnClosed(err error) {
	var why *loop.HandshakeError
	if errors.As(err, &why) {
		h.failed(why.Err)
	} else {
		h.told(err)
	}
	h.leave()
	h.gone()
}

// Expired ends a handshake that takes too long.
func (h *handshake) Expired(*loop.Timer) {
	h.port.stats.Inc(HandshakeTimeout)
	h.told(errSlow)
	h.refuse()
}

// Errors of handshakes.
var (
	errSlow  = errors.New("listener: the TLS handshake took longer than it may")
	errLarge = errors.New("listener: the client's first message is larger than it may be")
)

// OnPanic gives the connection up.
func (h *handshake) OnPanic(any) { h.refuse() }

// OnLowWater is for who writes.
func (h *handshake) OnLowWater() {}

// Successor is the chain that stands where another one did; nil: there is none, or one of them speaks TLS and the other does not.
func (s *Chains) Successor(c *Chain) *Chain {
	for _, o := range s.All {
		if o == c || o.Config.ID == c.Config.ID && (o.TLS != nil) == (c.TLS != nil) {
			return o
		}
	}
	return nil
}
