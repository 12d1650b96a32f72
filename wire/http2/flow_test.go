package http2

import (
	"bytes"
	"strings"
	"testing"
)

// upload opens a stream that sends n bytes, and gives both ends of it.
func (p *pair) upload(n int) (client, server *reader) {
	client = p.client.open()
	client.s.RequestHead(request("POST", "http", "a", "/"), false)
	if n > 0 {
		client.s.Data(make([]byte, n), false)
	}
	p.run(nil)
	return client, p.server.readers[len(p.server.readers)-1]
}

// Windows grow with a reader that takes what comes, and not with one that does not.
func TestWindowsGrow(t *testing.T) {
	p := newPair(t, Options{}, Options{MaxStreamWindow: 1 << 20, MaxConnWindow: 2 << 20})
	client, server := p.upload(10 << 20)
	if server.s.window != 1<<20 || p.server.c.window != 2<<20 || len(server.body) != 10<<20 {
		t.Errorf("windows of %d and %d after %d bytes", server.s.window, p.server.c.window, len(server.body))
	}
	client.s.Reset(Cancel)
	p.run(nil)

	p = newPair(t, Options{}, Options{})
	slow := 0
	p.server.onBody = func(r *reader, b []byte) int {
		slow++
		return len(b) / 2
	}
	client, server = p.upload(1 << 20)
	for client.s.Queued() > 0 {
		server.s.Again()
		p.run(nil)
	}
	if server.s.window != DefaultServerWindow || slow < 10 {
		t.Errorf("a window of %d after %d looks", server.s.window, slow)
	}
}

// A client's streams begin with 16 KiB, and with a server's that has not acknowledged it yet as the protocol begins.
func TestFirstWindows(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.client.onBody = func(*reader, []byte) int { return 0 }
	var answer *Stream
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(200), false)
		r.s.Data(make([]byte, 100000), false)
		answer = r.s
	}
	r := p.client.open()
	r.s.RequestHead(request("GET", "http", "a", "/"), true)
	p.run(nil)
	if kept := len(r.s.kept); kept != DefaultClientWindow || answer.Queued() != 100000-kept {
		t.Errorf("%d bytes kept, %d queued", kept, answer.Queued())
	}
	if p.client.c.kept != DefaultClientWindow {
		t.Errorf("%d bytes are kept", p.client.c.kept)
	}
}

// Streams that nobody reads keep no others from being read, until they hold what a connection may hold at most.
func TestUnreadStreams(t *testing.T) {
	p := newPair(t, Options{}, Options{MaxConnWindow: 2 << 20})
	reads := false
	p.server.onBody = func(r *reader, b []byte) int {
		if reads {
			return len(b)
		}
		return 0
	}
	for range 20 {
		p.upload(100000)
	}
	if p.server.c.kept != 20*DefaultServerWindow {
		t.Errorf("%d bytes are kept", p.server.c.kept)
	}
	reads = true
	if _, last := p.upload(100000); len(last.body) != 100000 {
		t.Errorf("%d bytes of another stream", len(last.body))
	}
	reads = false
	for range 50 {
		p.upload(100000)
	}
	if c := &p.server.c; c.kept > 2<<20 || c.window != 2<<20 {
		t.Errorf("%d bytes are kept in a window of %d", c.kept, c.window)
	}
	// What was not read is given back once, however the stream ends.
	for i, r := range p.server.readers {
		if r.live() {
			if i%2 == 0 {
				r.s.Reset(Cancel)
			} else {
				p.client.readers[i].s.Reset(Cancel)
			}
		}
	}
	p.run(nil)
	for i, r := range p.client.readers {
		if r.live() {
			t.Errorf("stream %d goes on", i)
		}
	}
	p.settled(t)
}

// A stream that is reset within a DATA frame gives back what it kept, what was offered, what is still to come, and the padding: each once.
func TestRefunds(t *testing.T) {
	for _, when := range []string{"kept", "in the call", "in the call for what was kept", "by the peer"} {
		s := newSide(t, Options{Server: true, StreamErrors: true})
		calls := 0
		s.onBody = func(r *reader, b []byte) int {
			if calls++; when == "in the call" && calls == 2 || when == "in the call for what was kept" && calls == 3 {
				r.s.Reset(Cancel)
				return len(b)
			}
			if when == "in the call" && calls == 1 {
				return len(b)
			}
			return min(len(b), 10)
		}
		in := bytes.Join([][]byte{[]byte(preface), setting(), headers(1, flagEndHeaders, post()), data(1, 0, strings.Repeat("x", 1000)),
			frame(frameData, flagPadded, 1, []byte{100}, make([]byte, 500), make([]byte, 100))}, nil)
		feed := func(b []byte) {
			t.Helper()
			if n, err := s.c.Feed(b); n != len(b) || err != nil {
				t.Fatal(when, n, err)
			}
		}
		cut := len(in) - 300 // 200 of data and the padding are not there yet
		feed(in[:cut])
		r := s.readers[0]
		switch when {
		case "kept":
			r.s.Reset(Cancel)
		case "in the call for what was kept":
			r.s.Again()
			feed(nil)
			r.s.Again()
			feed(nil)
		}
		feed(in[cut:])
		if when == "by the peer" {
			feed(rst(1, Cancel))
		} else {
			feed(data(1, 0, "late"))
		}
		if c := &s.c; c.recvRoom+int64(c.taken) != int64(c.window) || c.kept != 0 || c.Streams() != 0 {
			t.Errorf("%s: of a window of %d, %d are left and %d to be credited, %d kept", when, c.window, c.recvRoom, c.taken, c.kept)
		}
	}
}

// What a peer does not take is bounded by what its owner goes on to give: Data is full at Limit, and OnRoom comes when half of it is gone.
func TestQueues(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	var s *Stream
	p.server.onHead = func(r *reader, end bool) {
		s = r.s
		s.Limit = 50000
		s.ResponseHead(response(200), false)
		s.Data(make([]byte, 10000), false)
	}
	rooms := 0
	left := 20
	p.server.onRoom = func(r *reader) {
		if rooms++; r.s.Queued() > r.s.Limit/2 {
			t.Errorf("room with %d queued", r.s.Queued())
		}
		for left > 0 && r.s.Queued() <= r.s.Limit {
			left--
			r.s.Data(make([]byte, 10000), left == 0)
		}
	}
	reads := false
	p.client.onBody = func(r *reader, b []byte) int {
		if reads {
			return len(b)
		}
		return 0
	}
	r := p.client.open()
	r.s.RequestHead(request("GET", "http", "a", "/"), true)
	p.run(nil)
	for s.Queued() <= s.Limit {
		left--
		s.Data(make([]byte, 10000), false)
	}
	p.run(nil)
	if rooms != 0 || s.Queued() > 60000 {
		t.Errorf("%d times room, %d queued", rooms, s.Queued())
	}
	reads = true
	r.s.Again()
	p.run(nil)
	if rooms == 0 || left != 0 || len(r.body) != 210000 || !r.ended {
		t.Errorf("%d times room, %d pieces left, %d bytes came", rooms, left, len(r.body))
	}
	p.settled(t)
}

// Streams that have much to send take turns.
func TestTurns(t *testing.T) {
	p := newPair(t, Options{InitialStreamWindow: 1 << 20}, Options{})
	p.server.limit = 40000
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(200), false)
		r.s.Data(make([]byte, 300000), true)
	}
	for range 3 {
		p.client.open().s.RequestHead(request("GET", "http", "a", "/"), true)
	}
	for !p.client.readers[0].ended {
		p.client.c.Feed(nil)
		if _, err := p.server.c.Feed(p.client.sent()); err != nil {
			t.Fatal(err)
		}
		b := p.server.sent()
		p.server.c.Drained()
		if _, err := p.client.c.Feed(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range p.client.readers {
		if len(r.body) < 200000 {
			t.Errorf("%d bytes of one while another was read", len(r.body))
		}
	}
}

// Row 16: a peer that makes a thousand waiting streams' windows larger and smaller, frame by frame, has them looked at once for all that
// came together.
func TestWindowChurn(t *testing.T) {
	p := newPair(t, Options{InitialStreamWindow: 1}, Options{})
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(200), false)
		r.s.Data(make([]byte, 100), true)
	}
	p.run(nil)
	for range 1000 {
		p.client.open().s.RequestHead(request("GET", "http", "a", "/"), true)
	}
	p.run(nil)
	s := &counting{side: p.server}
	p.server.c.sink = s
	// Every stream has sent its byte: between 0 and 1, none has anything to send.
	if _, err := p.server.c.Feed(times(300, setting(SettingInitialWindowSize, 0, SettingInitialWindowSize, 1))); err != nil {
		t.Fatal(err)
	}
	if s.looks > 1000 || p.server.c.ready.head != nil {
		t.Errorf("%d looks at 1000 streams for 300 frames", s.looks)
	}
	if _, err := p.server.c.Feed(setting(SettingInitialWindowSize, 1000)); err != nil {
		t.Fatal(err)
	}
	if p.server.c.Streams() != 0 {
		t.Errorf("%d streams left", p.server.c.Streams())
	}
}

// counting counts how often it is asked whether more may be sent, which is once for each stream that is looked at.
type counting struct {
	*side
	looks int
}

func (c *counting) Over() bool {
	c.looks++
	return c.side.Over()
}

// A server that ends in two steps answers what was on its way, and ignores what came after.
func TestGraceful(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.server.onHead = func(r *reader, end bool) { r.s.ResponseHead(response(200), true) }
	p.client.open().s.RequestHead(request("GET", "http", "a", "/1"), true)
	p.run(nil)
	p.client.open().s.RequestHead(request("GET", "http", "a", "/3"), true)
	p.server.c.GoAway(MaxID, NoError)
	p.run(nil) // the request was on its way
	if c := &p.client.c; c.Slots() != 0 || c.Open(nil) != nil {
		t.Error("streams can be opened")
	}
	p.server.c.GoAway(p.server.c.LastID(), NoError)
	p.run(nil)
	late := headers(5, endBoth, append(get(), 0x40, 1, 'k', 1, 'v'))
	if _, err := p.server.c.Feed(late); err != nil {
		t.Error(err)
	}
	if _, err := p.server.c.Feed(data(5, 0, "x")); err != nil {
		t.Error(err)
	}
	want(t, p.client, "1: 200 end", "goaway 2147483647 NO_ERROR", "3: 200 end", "goaway 3 NO_ERROR")
	want(t, p.server, "1: GET http a /1 end", "3: GET http a /3 end")
	if tableText(&p.server.c.dec.table) == "0" {
		t.Error("the table does not know of what was ignored")
	}
}

// Heads may be sent in another order than streams were opened; slots are counted from the opening on.
func TestSlots(t *testing.T) {
	p := newPair(t, Options{}, Options{MaxConcurrentStreams: 2})
	p.run(nil)
	if n := p.client.c.Slots(); n != 2 {
		t.Errorf("%d slots", n)
	}
	a, b := p.client.open(), p.client.open()
	if p.client.c.Open(a) != nil || p.client.c.Slots() != 0 {
		t.Error("a third stream")
	}
	b.s.RequestHead(request("GET", "http", "a", "/b"), true)
	a.s.RequestHead(request("GET", "http", "a", "/a"), true)
	p.run(nil)
	want(t, p.server, "1: GET http a /b end", "3: GET http a /a end")
	for _, r := range p.server.readers {
		r.s.ResponseHead(response(200), true)
	}
	p.run(nil)
	if n := p.client.c.Slots(); n != 2 {
		t.Errorf("%d slots", n)
	}
	c := p.client.open()
	c.s.Reset(Cancel) // before anybody heard of it
	if n := p.client.c.Slots(); n != 2 || len(p.client.sent()) != 0 {
		t.Errorf("%d slots", n)
	}
	p.settled(t)
}

// A connection that is lost tells every stream, and whether it can be tried again.
func TestLost(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	a, b := p.client.open(), p.client.open()
	a.s.RequestHead(request("GET", "http", "a", "/"), true)
	p.run(nil)
	p.client.c.Lost(InternalError)
	want(t, p.client, "1: reset INTERNAL_ERROR", "0: reset INTERNAL_ERROR unprocessed")
	if _, err := p.client.c.Feed(nil); err == nil || p.client.done != 2 || !b.isReset {
		t.Error(err, p.client.done)
	}
	if len(p.client.sent()) != 0 {
		t.Error("something was written")
	}
}

func TestPing(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.client.c.Ping([8]byte([]byte("is there")))
	p.run(nil)
	p.server.c.Ping([8]byte([]byte("anybody?")))
	p.run(nil)
	want(t, p.client, "pong is there")
	want(t, p.server, "pong anybody?")
}

// A WebSocket over HTTP/2 (RFC 8441), the server having said that it can.
func TestExtendedConnect(t *testing.T) {
	p := newPair(t, Options{}, Options{EnableConnect: true})
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(200), false)
		r.s.Data([]byte("hi"), false)
	}
	p.run(nil)
	if !p.client.c.Peer().EnableConnect {
		t.Error("nobody said so")
	}
	q := request("CONNECT", "https", "a", "/chat", "sec-websocket-version", "13")
	q.SetProtocol([]byte("websocket"))
	r := p.client.open()
	r.s.RequestHead(q, false)
	r.s.Data([]byte("hello"), false)
	p.run(nil)
	if string(r.body) != "hi" || string(p.server.readers[0].body) != "hello" {
		t.Errorf("%s", p.server.transcript())
	}
	want(t, p.server, "1: CONNECT https a /chat protocol websocket sec-websocket-version=13")
}

// What has no place in HTTP/2 is not written, nor is anything that would be malformed.
func TestWriting(t *testing.T) {
	p := newPair(t, Options{StreamErrors: true}, Options{StreamErrors: true})
	p.server.onHead = func(r *reader, end bool) {
		r.s.ResponseHead(response(204, "content-length", "0", "transfer-encoding", "chunked", "x", "a\r\nb"), true)
	}
	r := p.client.open()
	r.s.RequestHead(request("GET", "", "a", "", "connection", "x", "keep-alive", "1", "te", "gzip", "te", "trailers", "upgrade", "h2c", "http2-settings", "x",
		"proxy-connection", "close", "transfer-encoding", "chunked", "x", " y\x00\x7fz "), true)
	p.run(nil)
	want(t, p.server, "1: GET http a / te=trailers x=y  z end")
	want(t, p.client, "1: 204 x=a  b end")
}
