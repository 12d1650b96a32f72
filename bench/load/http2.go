package load

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weftmesh/weft/bench/mux"
	"github.com/weftmesh/weft/bench/poll"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// grpcMessage is a message of 100 bytes with its prefix.
var grpcMessage = append([]byte{0, 0, 0, 0, 100}, tcpRequest[:100]...)

// client2 makes traffic of HTTP/2: as many streams at once on each connection as the spec says.
type client2 struct {
	spec  Spec
	set   *poll.Set
	conns []conn2
	buf   []byte
	counts
	fatal   error
	head    http.Request
	stopped bool // nothing new is asked
}

type conn2 struct {
	mux.Conn
	client *client2
	slot   int
	spare  []*asking
	open   bool
	due    int // streams that are to be opened when what has come is read
	asked  int // requests, ever
}

// asking is one request.
type asking struct {
	conn     *conn2
	stream   *http2.Stream
	response http.Response
	since    time.Duration
	got      int
	sent     bool
}

func newClient2(spec Spec) (*client2, error) {
	set, err := poll.NewSet()
	if err != nil {
		return nil, err
	}
	c := &client2{spec: spec, set: set, conns: make([]conn2, spec.Conns), buf: make([]byte, readSize), counts: counts{base: time.Now()}}
	r := &c.head
	r.SetMethod([]byte("GET"))
	r.SetScheme([]byte("http"))
	r.SetAuthority([]byte("bench.example"))
	r.SetPath([]byte(spec.Path))
	r.AddString(http.UserAgent, "weft-bench/1.0")
	if spec.grpc() {
		r.SetMethod([]byte("POST"))
		r.AddString(http.ContentType, "application/grpc")
		r.AddString(http.TE, "trailers")
		r.AddString(http.GRPCTimeout, "20S")
	} else {
		r.AddString(http.Accept, "application/json")
		r.AddString(http.AcceptEncoding, "gzip")
	}
	r.AddNamed([]byte("x-tenant"), []byte("blue"))
	return c, nil
}

func (s Spec) grpc() bool { return s.Protocol == GRPC || s.Protocol == GRPCStream }

func (c *client2) close() {
	for i := range c.conns {
		if c.conns[i].open {
			poll.Close(c.conns[i].FD)
		}
	}
	c.set.Close()
}

// options are those of a client that reads as fast as it can, or, if it is not to read, of one that never opens a window.
func (s Spec) options() *http2.Options {
	if s.Unread {
		return &http2.Options{InitialStreamWindow: 65535, MaxStreamWindow: 65535, MaxConnWindow: 65535}
	}
	return &http2.Options{InitialStreamWindow: 1 << 20, MaxStreamWindow: 16 << 20}
}

// dial opens all connections.
func (c *client2) dial() error {
	o := c.spec.options()
	for i := range c.conns {
		n := &c.conns[i]
		n.client, n.slot = c, i
		fd, err := poll.Dial(c.spec.Address, c.spec.Port)
		if err != nil {
			return fmt.Errorf("load: connection %d of %d: %w", i+1, len(c.conns), err)
		}
		n.open = true
		if err := c.set.Add(fd, poll.In|poll.Out, int32(i)); err != nil {
			return err
		}
		n.Begin(c.set, fd, int32(i), o, n)
		n.due = c.spec.Streams
		if c.spec.Hold && !c.spec.Unread {
			n.due = 1
		}
	}
	return nil
}

// step waits for events until the given time at most, and serves them.
func (c *client2) step(until time.Duration) error {
	events, err := c.set.Wait(max(until-c.now(), 0))
	if err != nil {
		return err
	}
	for _, ev := range events {
		n := &c.conns[ev.Token]
		if ev.Ready&(poll.In|poll.Broken) != 0 {
			if err := n.Read(c.buf); err != nil {
				c.lost(n, err)
				continue
			}
		}
		n.ask()
		if err := n.Flush(); err != nil {
			c.lost(n, err)
		}
	}
	return c.fatal
}

func (c *client2) lost(n *conn2, err error) {
	if errors.Is(err, io.EOF) {
		c.faults.Short++
	} else {
		c.faults.Reset++
	}
	c.fatal = fmt.Errorf("load: connection %d: %w; faults: %v", n.slot+1, err, c.faults)
}

// ask opens the streams that are due.
func (n *conn2) ask() {
	c := n.client
	for n.due > 0 && !c.stopped && n.Slots() > 0 {
		n.due--
		n.asked++
		var a *asking
		if k := len(n.spare); k > 0 {
			a, n.spare = n.spare[k-1], n.spare[:k-1]
		} else {
			a = &asking{conn: n}
		}
		a.got, a.sent, a.since = 0, false, c.now()
		a.stream = n.Open(a)
		a.stream.Limit = 64 << 10
		switch c.spec.Protocol {
		case HTTP2:
			a.stream.RequestHead(&c.head, true)
		case GRPC:
			a.stream.RequestHead(&c.head, false)
			a.stream.Data(grpcMessage, true)
		case GRPCStream:
			a.stream.RequestHead(&c.head, false)
			a.stream.Data(grpcMessage, false)
		}
	}
}

// OnStream implements http2.Owner: servers open none.
func (n *conn2) OnStream(*http2.Stream) http2.Reader { return nil }

// OnDone implements http2.Owner.
func (n *conn2) OnDone(s *http2.Stream) {
	if a, ok := s.Reader().(*asking); ok {
		n.spare = append(n.spare, a)
		n.due++
	}
}

// OnGoAway implements http2.Owner.
func (n *conn2) OnGoAway(_ uint32, code http2.ErrCode) {
	n.client.faults.Reset++
	n.client.fatal = fmt.Errorf("load: connection %d: GOAWAY, %v", n.slot+1, code)
}

// OnSettings implements http2.Owner.
func (n *conn2) OnSettings() {}

// OnPong implements http2.Owner.
func (n *conn2) OnPong([8]byte) {}

// Request implements http2.Reader; it is for servers.
func (a *asking) Request() *http.Request { return nil }

// Response implements http2.Reader.
func (a *asking) Response() *http.Response { return &a.response }

// OnHead implements http2.Reader.
func (a *asking) OnHead(end bool) {
	c := a.conn.client
	if a.response.Status != 200 {
		c.faults.Status++
		c.fatal = fmt.Errorf("load: status %d", a.response.Status)
	}
	if end {
		a.judge()
	}
}

// OnBody implements http2.Reader.
func (a *asking) OnBody(b []byte) int {
	c := a.conn.client
	if c.spec.Unread {
		return 0
	}
	a.got += len(b)
	c.bytes += uint64(len(b))
	if c.spec.Protocol == GRPCStream && a.got >= len(grpcMessage) {
		now := c.now()
		for ; a.got >= len(grpcMessage); a.got -= len(grpcMessage) {
			c.requests++
			c.latency.Record(now - a.since)
		}
		a.since = now
		a.stream.Data(grpcMessage, false)
	}
	return len(b)
}

// OnTrailers implements http2.Reader.
func (a *asking) OnTrailers(t *http.Header) {
	if a.conn.client.spec.grpc() && string(t.Get(http.GRPCStatus)) != "0" {
		a.conn.client.faults.Status++
	}
}

// OnEnd implements http2.Reader.
func (a *asking) OnEnd() { a.judge() }

func (a *asking) judge() {
	c := a.conn.client
	want := c.spec.Body
	if c.spec.grpc() {
		want = len(grpcMessage)
	}
	if a.got != want {
		c.faults.Length++
		c.fatal = fmt.Errorf("load: an answer of %d bytes: want %d", a.got, want)
		return
	}
	c.requests++
	c.latency.Record(c.now() - a.since)
}

// OnReset implements http2.Reader.
func (a *asking) OnReset(code http2.ErrCode, _, _ bool) {
	c := a.conn.client
	c.faults.Reset++
	c.fatal = fmt.Errorf("load: a stream was reset: %v", code)
}

// OnRoom implements http2.Reader.
func (a *asking) OnRoom() {}

// holdHTTP2 is Hold for what speaks HTTP/2. Connections that do not read are held when all their heads have come.
func holdHTTP2(spec Spec, held func()) error {
	c, err := newClient2(spec)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.dial(); err != nil {
		return err
	}
	want := uint64(spec.Conns)
	if !spec.Unread {
		for limit := c.now() + connectLimit; c.requests < want; {
			if err := c.step(limit); err != nil {
				return err
			}
			for i := range c.conns {
				c.conns[i].due = 0
			}
			if c.now() >= limit {
				return fmt.Errorf("load: %d of %d connections answered after %v", c.requests, want, connectLimit)
			}
		}
	} else if err := stepping(c, c.now()+unreadTime); err != nil {
		return err
	}
	held()
	return nil
}

// unreadTime is how long a client that does not read looks on, so that all that a proxy is willing to pile up is there.
const unreadTime = 3 * time.Second
