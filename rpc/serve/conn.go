package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/wire/http2"
)

// errTooOften ends a connection whose peer asks too often whether we are there.
var errTooOften = errors.New("serve: pinged too often")

// conn is a connection. What follows line is held by its lock.
type conn struct {
	server *Server
	raw    net.Conn // what is accepted
	peer   *peer.Peer
	line   line.Conn

	running int       // handlers
	rests   time.Time // since when there are none

	heard  time.Time // the last time that something came
	asked  bool      // whether it is there
	pings  uint32    // that have come
	pinged time.Time // when the last one came in time
	excess int       // of them that came too often since something was said
}

func newConn(s *Server, raw net.Conn) *conn { return &conn{server: s, raw: raw} }

// serve reads until the connection ends.
func (c *conn) serve() {
	defer c.raw.Close()
	c.raw.SetDeadline(time.Now().Add(greeting))
	c.peer = &peer.Peer{Addr: c.raw.RemoteAddr(), LocalAddr: c.raw.LocalAddr()}
	over := c.raw
	if t := c.server.TLS; t != nil {
		secure := tls.Server(c.raw, t)
		if err := secure.HandshakeContext(context.Background()); err != nil {
			c.server.count(handshakesFailed)
			return
		}
		over = secure
		c.peer.AuthInfo = credentials.TLSInfo{State: secure.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	}
	c.raw.SetDeadline(time.Now().Add(greeting))
	c.heard = time.Now()
	c.rests = c.heard
	defer c.end()
	c.line.Begin(&c.server.line, c, c.raw, over)
	watch := &watch{conn: c}
	watch.timer = time.AfterFunc(alive, watch.look)
	defer watch.timer.Stop()
	c.line.Read() // why it ends is counted
}

func (c *conn) end() {
	c.line.Lock()
	c.line.Lose(nil)
	c.line.Unlock()
}

// Fed notes that something has come, and has who asks too often be told so.
func (c *conn) Fed(wrong error) error {
	c.heard, c.asked = time.Now(), false
	if wrong != nil {
		c.server.count(protocolErrors)
		return wrong
	}
	if !c.patient() {
		c.line.Codec.GoAway(c.line.Codec.LastID(), http2.EnhanceYourCalm)
		return errTooOften
	}
	return nil
}

// replies are more bytes than it takes to answer a few pings: what is queued for a peer is on its way.
const replies = 32 * (patience + 2)

func (c *conn) Wrote(n int) {
	if n > replies {
		c.excess = 0
	}
}

// patient counts how often the peer has asked whether we are there.
func (c *conn) patient() bool {
	counts := c.line.Codec.Counts()
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

// OnStream begins a call, unless there are too many.
func (c *conn) OnStream(s *http2.Stream) http2.Reader {
	if c.running >= perConnection {
		c.server.count(callsRefused)
		return nil
	}
	return newCall(c, s)
}

// OnGoAway, OnSettings and OnPong need nothing done: whoever goes away ends what is open, settings are the codec's, and that something came is seen already.
func (c *conn) OnGoAway(uint32, http2.ErrCode) {}
func (c *conn) OnSettings()                    {}
func (c *conn) OnPong([8]byte)                 {}

// OnDone forgets a stream.
func (c *conn) OnDone(s *http2.Stream) {
	if x, ok := s.Reader().(*Call); ok {
		x.over()
	}
}

// watch looks from time to time whether a peer of whom nothing is heard is there.
type watch struct {
	conn  *conn
	timer *time.Timer
}

func (w *watch) look() {
	c := w.conn
	c.line.Lock()
	defer c.line.Unlock()
	now := time.Now()
	silence := now.Sub(c.heard)
	gone, _ := c.line.Gone()
	switch {
	case gone:
		return
	case c.running == 0 && now.Sub(c.rests) >= unused:
		c.line.Codec.GoAway(c.line.Codec.LastID(), http2.NoError)
		c.line.Flush()
		c.line.Lose(nil)
		return
	case silence < alive:
		w.timer.Reset(alive - silence)
		return
	case c.asked:
		c.server.count(unanswered)
		c.line.Lose(nil)
		return
	}
	c.asked = true
	c.line.Codec.Ping([8]byte{'w', 'e', 'f', 't'})
	w.timer.Reset(aliveAnswer)
	c.line.Flush()
}
