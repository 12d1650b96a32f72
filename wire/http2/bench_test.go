package http2

import (
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

// station is an owner and sink that does nothing by itself, and reads one stream at a time.
type station struct {
	c        Conn
	out      []byte
	request  http.Request
	response http.Response
	s        *Stream
	got      int
	ended    bool
}

func (n *station) Buffer(room int) []byte {
	if cap(n.out)-len(n.out) < room {
		n.out = append(make([]byte, 0, 2*cap(n.out)+room), n.out...)
	}
	return n.out
}
func (n *station) Commit(b []byte)                        { n.out = b }
func (n *station) Over() bool                             { return false }
func (n *station) Unsent() int                            { return len(n.out) }
func (n *station) OnStream(s *Stream) Reader              { n.s = s; return n }
func (n *station) OnGoAway(uint32, ErrCode)               {}
func (n *station) OnSettings()                            {}
func (n *station) OnPong([8]byte)                         {}
func (n *station) OnDone(*Stream)                         {}
func (n *station) Request() *http.Request                 { return &n.request }
func (n *station) Response() *http.Response               { return &n.response }
func (n *station) OnHead(end bool)                        { n.ended = end }
func (n *station) OnBody(b []byte) int                    { n.got += len(b); return len(b) }
func (n *station) OnTrailers(*http.Header)                {}
func (n *station) OnEnd()                                 { n.ended = true }
func (n *station) OnReset(code ErrCode, local, none bool) { panic(code.String()) }
func (n *station) OnRoom()                                {}

// to gives what n has said to another.
func (n *station) to(b testing.TB, o *station) {
	if used, err := o.c.Feed(n.out); used != len(n.out) || err != nil {
		b.Fatal(used, err)
	}
	n.out = n.out[:0]
}

type line struct {
	client, server station
	question       *http.Request
	answer         *http.Response
	body           []byte
	trailers       *http.Header
}

// typical is a request of eight fields beside the pseudo-header fields, one of them new in each request, and an answer of five fields and 1 KiB.
func typical(b testing.TB) *line {
	l := &line{body: make([]byte, 1024)}
	l.question = request("GET", "https", "service.example:8443", "/api/b1k/items?id=1", "user-agent", "weft-load/1.0", "accept", "*/*", "accept-encoding", "gzip, br",
		"accept-language", "en-US,en;q=0.9", "x-request-id", "7f2b1f0e-93a7-4c86-a1f2-4b5c07f7a9d1", "x-forwarded-proto", "https", "x-tenant", "blue",
		"authorization", "Bearer 0123456789abcdef0123456789abcdef")
	l.answer = response(200, "server", "origin/1.0", "content-type", "application/octet-stream", "content-length", "1024",
		"date", "Tue, 24 Nov 2026 02:00:00 GMT", "x-envoy-upstream-service-time", "3")
	l.client.c.Init(&Options{}, &l.client, &l.client)
	l.server.c.Init(&Options{Server: true}, &l.server, &l.server)
	l.client.to(b, &l.server)
	l.server.to(b, &l.client)
	l.client.to(b, &l.server)
	for range 50 {
		l.exchange(b)
	}
	return l
}

func (l *line) exchange(b testing.TB) {
	s := l.client.c.Open(&l.client)
	s.RequestHead(l.question, true)
	l.client.to(b, &l.server)
	if !l.server.ended {
		b.Fatal("no request")
	}
	l.server.s.ResponseHead(l.answer, false)
	if l.trailers != nil {
		l.server.s.Data(l.body, false)
		l.server.s.Trailers(l.trailers)
	} else {
		l.server.s.Data(l.body, true)
	}
	l.client.got = 0
	l.server.to(b, &l.client)
	if !l.client.ended || l.client.got != len(l.body) {
		b.Fatal("no response")
	}
	if len(l.client.out) > 0 {
		l.client.to(b, &l.server)
	}
}

// BenchmarkExchange is all that both sides do for a GET of eight fields that is answered with 1 KiB.
func BenchmarkExchange(b *testing.B) {
	l := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		l.exchange(b)
	}
}

func BenchmarkEncodeRequest(b *testing.B) {
	l := typical(b)
	out := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		out = l.client.c.enc.request(out[:0], l.question)
	}
	b.ReportMetric(float64(len(out)), "B/head")
}

func BenchmarkDecodeRequest(b *testing.B) {
	l := typical(b)
	in := l.client.c.enc.request(nil, l.question)
	o := &Options{}
	var r http.Request
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		m := newHead(o)
		m.request, m.h = &r, &r.Header
		l.server.c.dec.late = false
		if _, code := l.server.c.dec.decode(in, &m, true); code != none || m.finish() != none {
			b.Fatal(code.err(), m.code.err())
		}
	}
}

// BenchmarkDecodeHuffman is a head of which all is spelled in Huffman's code, as a client's first.
func BenchmarkDecodeHuffman(b *testing.B) {
	in := huffmanHead()
	var r http.Request
	d := newDecoder(4096)
	o := &Options{}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		r.Reset()
		m := newHead(o)
		m.request, m.h = &r, &r.Header
		d.late = false
		if _, code := d.decode(in, &m, true); code != none || m.finish() != none {
			b.Fatal(code.err(), m.code.err())
		}
	}
}
