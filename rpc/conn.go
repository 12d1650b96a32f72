package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/wire/http2"
)

// Conn is a connection to a server. It is what the clients of services are made from (grpc.ClientConnInterface).
type Conn struct {
	line      line.Conn
	cluster   string
	scheme    string
	authority string
	metadata  metadata.MD // told beside each call
	done      chan struct{}
	ready     chan struct{} // the server has said that it speaks HTTP/2

	// What follows is held by the lock of line.
	greeted bool
	leaving bool // the server takes no calls any more
	alive   *config.HTTP2Alive
	heard   time.Time
	asked   bool // whether it is there
	timer   *time.Timer
}

const (
	// greeting is how long a server may take to say that it speaks HTTP/2.
	greeting = 5 * time.Second
	// window is, in bytes, what a server may send before it has been read. What has come is bounded by MaxMessage anyway.
	window = 4 << 20
	// pooled is the size, in bytes, from which memory of messages is used again.
	pooled = 4 << 10
)

// buffers are of messages that nobody needs any more.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

var options = line.Options{
	HTTP2:      http2.Options{InitialStreamWindow: window, MaxStreamWindow: window, MaxConnWindow: window, StreamErrors: true},
	MaxMessage: MaxMessage,
	Aside:      true,
	MaxHeld:    MaxMessage, // a server that a cluster names may have as much of several calls
	Room: func(n int) []byte {
		if n < pooled {
			return make([]byte, n)
		}
		if b := *buffers.Get().(*[]byte); cap(b) >= n {
			return b
		}
		return make([]byte, n)
	},
}

// Dial makes a connection to the first endpoint that answers, each tried for as long as its cluster says, and waits until that says that it speaks
// HTTP/2: what is said to somebody who only takes connections, such as a proxy before a dead server, would be lost without a word. When the context
// ends it is closed at the latest.
func Dial(ctx context.Context, t Target) (*Conn, error) {
	over, err := t.Connect(ctx, "h2")
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	raw, secure := over, false
	if t, ok := over.(*tls.Conn); ok {
		raw, secure = t.NetConn(), true
	}
	c := open(ctx, raw, over, t.Cluster.Name, t.Cluster.Protocol.HTTP2.Alive)
	if t.Authority != "" {
		c.authority = t.Authority
	}
	if secure {
		c.scheme = "https"
	}
	c.metadata = metadataOf(t.Metadata)
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		c.line.Lock()
		defer c.line.Unlock()
		return nil, c.lost()
	}
}

// open makes a connection that stands one of HTTP/2.
func open(ctx context.Context, raw, over net.Conn, cluster string, alive *config.HTTP2Alive) *Conn {
	c := &Conn{cluster: cluster, scheme: "http", authority: cluster, done: make(chan struct{}), ready: make(chan struct{}), heard: time.Now()}
	raw.SetReadDeadline(time.Now().Add(greeting))
	c.line.Begin(&options, c, raw, over)
	// Servers end connections that are asked too often whether they stand, so that it is asked only if the cluster says so.
	if alive != nil && alive.Interval > 0 {
		c.alive = alive
		c.timer = time.AfterFunc(alive.Interval, c.look)
	}
	forget := context.AfterFunc(ctx, c.Close)
	go func() {
		defer close(c.done)
		err := c.line.Read()
		forget()
		c.lose(err)
	}()
	return c
}

// lose ends it, and the calls of it.
func (c *Conn) lose(why error) {
	c.line.Lock()
	defer c.line.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if errors.Is(why, os.ErrDeadlineExceeded) {
		why = fmt.Errorf("it has not said within %v that it speaks HTTP/2", greeting)
	}
	c.line.Lose(why)
}

// Close ends it, and the calls of it.
func (c *Conn) Close() { c.lose(nil) }

// lost is what is said of it when it is over.
func (c *Conn) lost() error {
	switch _, why := c.line.Gone(); {
	case why != nil:
		return status.Errorf(codes.Unavailable, "rpc: the connection to %s is lost: %v", c.cluster, why)
	case c.leaving:
		return status.Errorf(codes.Unavailable, "rpc: %s takes no calls any more", c.cluster)
	}
	return status.Errorf(codes.Canceled, "rpc: the connection to %s is closed", c.cluster)
}

// look asks a server of which nothing is heard whether it is there.
func (c *Conn) look() {
	c.line.Lock()
	defer c.line.Unlock()
	silence := time.Since(c.heard)
	gone, _ := c.line.Gone()
	switch {
	case gone:
	case silence < c.alive.Interval:
		c.timer.Reset(c.alive.Interval - silence)
	case c.asked:
		c.line.Lose(fmt.Errorf("it has not said within %v that it is there", c.alive.Timeout))
	default:
		c.asked = true
		c.line.Codec.Ping([8]byte{'w', 'e', 'f', 't'})
		c.timer.Reset(c.alive.Timeout)
		c.line.Flush()
	}
}

// Fed notes that something has come.
func (c *Conn) Fed(wrong error) error {
	c.heard, c.asked = time.Now(), false
	if !c.greeted && c.line.Codec.Peer().Heard {
		c.greeted = true
		close(c.ready)
	}
	return wrong
}

// Wrote, OnSettings, OnPong and OnStream need nothing done: servers open no streams.
func (c *Conn) Wrote(int)                             {}
func (c *Conn) OnSettings()                           {}
func (c *Conn) OnPong([8]byte)                        {}
func (c *Conn) OnStream(s *http2.Stream) http2.Reader { return nil }

// OnGoAway: the calls that there are go on.
func (c *Conn) OnGoAway(uint32, http2.ErrCode) { c.leaving = true }

// OnDone forgets a stream.
func (c *Conn) OnDone(s *http2.Stream) {
	if x, ok := s.Reader().(*call); ok {
		x.over()
	}
	c.line.Rests = c.line.Codec.Streams() == 0
}
