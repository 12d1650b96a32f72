package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/weftmesh/weft/wire/http2"
)

// errTooOften ends a connection whose peer asks too often whether we are there.
var errTooOften = errors.New("serve: pinged too often")

// conn is a connection. One goroutine reads; whoever has something to say writes, or leaves it to who is writing.
type conn struct {
	server *Server
	raw    net.Conn // what is accepted
	net    net.Conn // what is read and written: raw, or TLS over it
	peer   *peer.Peer

	mu      sync.Mutex // all that follows
	codec   http2.Conn
	out     []byte // to be written
	spare   []byte // what was written, to be used again
	away    int    // bytes that are being written
	writing bool
	written sync.Cond // there is less to write
	gone    bool
	held    int       // bytes of messages that have come, wholly or not, and were not taken
	running int       // handlers
	rests   time.Time // since when there are none

	heard  time.Time // the last time that something came
	asked  bool      // whether it is there
	pings  uint32    // that have come
	pinged time.Time // when the last one came in time
	excess int       // of them that came too often since something was said
}

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{server: s, raw: raw, net: raw}
	c.written.L = &c.mu
	return c
}

// serve reads until the connection ends.
func (c *conn) serve() {
	defer c.end()
	c.raw.SetDeadline(time.Now().Add(greeting))
	c.peer = &peer.Peer{Addr: c.raw.RemoteAddr(), LocalAddr: c.raw.LocalAddr()}
	if t := c.server.TLS; t != nil {
		secure := tls.Server(c.raw, t)
		if err := secure.HandshakeContext(context.Background()); err != nil {
			c.server.count(handshakesFailed)
			return
		}
		c.net = secure
		c.peer.AuthInfo = credentials.TLSInfo{State: secure.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	}
	c.raw.SetDeadline(time.Now().Add(greeting))
	c.mu.Lock()
	c.heard = time.Now()
	c.rests = c.heard
	c.codec.Init(&c.server.http2, c, c)
	err := c.flush()
	c.mu.Unlock()
	if err != nil {
		return
	}
	watch := &watch{conn: c}
	watch.timer = time.AfterFunc(alive, watch.look)
	defer watch.timer.Stop()
	c.read()
}

// small is the buffer of a connection of which little comes, and large that of others, for as long as much does.
const small, large = 512, 32 << 10

var larges = sync.Pool{New: func() any { return new([large]byte) }}

// read hands what comes to the codec.
func (c *conn) read() {
	var own [small]byte
	buf, lent := own[:], (*[large]byte)(nil)
	defer func() {
		if lent != nil {
			larges.Put(lent)
		}
	}()
	greeted, kept := false, 0 // bytes that the codec wants again
	for {
		n, err := c.net.Read(buf[kept:])
		if n == 0 && err != nil {
			return
		}
		kept += n
		c.mu.Lock()
		c.heard, c.asked = time.Now(), false
		used, wrong := c.codec.Feed(buf[:kept])
		if wrong == nil && !c.patient() {
			c.codec.GoAway(c.codec.LastID(), http2.EnhanceYourCalm)
			wrong = errTooOften
		} else if wrong != nil {
			c.server.count(protocolErrors)
		}
		heard := c.codec.Peer().Heard
		err = c.flush()
		c.mu.Unlock()
		if wrong != nil || err != nil {
			return
		}
		if heard && !greeted {
			greeted = true
			c.raw.SetReadDeadline(time.Time{})
		}
		full := kept == len(buf)
		kept = copy(buf, buf[used:kept])
		switch {
		case full && lent == nil:
			lent = larges.Get().(*[large]byte)
			copy(lent[:], buf[:kept])
			buf = lent[:]
		case lent != nil && n < small && kept < small:
			copy(own[:], buf[:kept])
			larges.Put(lent)
			buf, lent = own[:], nil
		}
	}
}

// patient counts how often the peer has asked whether we are there.
func (c *conn) patient() bool {
	counts := c.codec.Counts()
	for ; c.pings != counts.PingsReceived; c.pings++ {
		if c.heard.Sub(c.pinged) >= often {
			c.pinged = c.heard
			continue
		}
		if c.excess++; c.excess > patience {
			c.server.count(pingedTooOften)
			return false
		}
	}
	return true
}

// flush writes what is to be written, unless somebody is at it, who then goes on with it. It is called with the lock held, which it lets go while it
// writes. An error is the connection's end.
func (c *conn) flush() error {
	for len(c.out) > 0 && !c.writing && !c.gone {
		b := c.out
		c.out, c.spare, c.away, c.writing = c.spare, nil, len(b), true
		c.mu.Unlock()
		c.raw.SetWriteDeadline(time.Now().Add(reading))
		_, err := c.net.Write(b)
		c.raw.SetWriteDeadline(time.Time{}) // TLS may answer by itself, while somebody reads
		c.mu.Lock()
		if c.away, c.writing = 0, false; len(b) > replies {
			c.excess = 0
		}
		c.keep(b)
		if err != nil {
			c.lose()
		} else {
			c.codec.Drained()
		}
		c.written.Broadcast()
	}
	if c.gone {
		return net.ErrClosed
	}
	return nil
}

// replies are more bytes than it takes to answer a few pings: what is queued for a peer is on its way.
const replies = 32 * (patience + 2)

// maxSpare is, in bytes, the buffer that a connection keeps; much is one that is lent while more is to be written: what may wait, and a frame of each call that
// is about to notice.
const (
	maxSpare = 1 << 10
	much     = maxUnsent + 32<<10
)

var muches = sync.Pool{New: func() any { return new([much]byte) }}

// lose says that nothing more comes or goes. It is called with the lock held.
func (c *conn) lose() {
	if c.gone {
		return
	}
	c.gone = true
	c.raw.Close()
	c.codec.Lost(http2.Cancel)
	c.out, c.spare = nil, nil
	c.written.Broadcast()
}

func (c *conn) end() {
	c.raw.Close()
	c.mu.Lock()
	c.lose()
	c.mu.Unlock()
}

// Buffer, Commit, Over and Unsent take what the codec has to say.
func (c *conn) Buffer(n int) []byte {
	need := len(c.out) + n
	if need <= cap(c.out) {
		return c.out
	}
	var more []byte
	switch {
	case need <= maxSpare:
		more = make([]byte, 0, maxSpare)
	case need <= much:
		more = muches.Get().(*[much]byte)[:0]
	default: // what answers a peer is written, room or not; the codec bounds it
		more = make([]byte, 0, 2*need)
	}
	more = append(more, c.out...)
	c.keep(c.out)
	c.out = more
	return more
}

// keep has a buffer be used again.
func (c *conn) keep(b []byte) {
	switch cap(b) {
	case maxSpare:
		if c.running > 0 {
			c.spare = b[:0]
		}
	case much:
		muches.Put((*[much]byte)(b[:much]))
	}
}

func (c *conn) Commit(b []byte) { c.out = b }
func (c *conn) Over() bool      { return c.Unsent() > maxUnsent }
func (c *conn) Unsent() int     { return len(c.out) + c.away }

// OnStream begins a call, unless there are too many.
func (c *conn) OnStream(s *http2.Stream) http2.Reader {
	if c.running >= perConnection {
		c.server.count(callsRefused)
		return nil
	}
	s.Limit = maxQueued
	return newCall(c, s)
}

// OnGoAway, OnSettings and OnPong need nothing done: whoever goes away ends what is open, settings are the codec's, and that something came is seen already.
func (c *conn) OnGoAway(uint32, http2.ErrCode) {}
func (c *conn) OnSettings()                    {}
func (c *conn) OnPong([8]byte)                 {}

// OnDone forgets a stream.
func (c *conn) OnDone(s *http2.Stream) {
	if x, ok := s.Reader().(*Call); ok {
		x.gone()
	}
}

// watch looks from time to time whether a peer of whom nothing is heard is there.
type watch struct {
	conn  *conn
	timer *time.Timer
}

func (w *watch) look() {
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	silence := now.Sub(c.heard)
	switch {
	case c.gone:
		return
	case c.running == 0 && now.Sub(c.rests) >= unused:
		c.codec.GoAway(c.codec.LastID(), http2.NoError)
		c.flush()
		c.lose()
		return
	case silence < alive:
		w.timer.Reset(alive - silence)
		return
	case c.asked:
		c.server.count(unanswered)
		c.lose()
		return
	}
	c.asked = true
	c.codec.Ping([8]byte{'w', 'e', 'f', 't'})
	w.timer.Reset(aliveAnswer)
	c.flush()
}
