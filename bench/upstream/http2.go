package upstream

import (
	"bytes"
	"strconv"

	"github.com/weftmesh/weft/bench/mux"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// Paths of the port that speaks HTTP/2, beside those of HTTP/1.
const (
	PathUnary  = "/api/bench.Echo/Unary"  // gRPC: a message of 100 bytes, and one back
	PathStream = "/api/bench.Echo/Stream" // gRPC: each message comes back
	PathBig    = "/api/bbig"              // SizeBig bytes
	PathMega   = "/api/bmega"             // SizeMega bytes
	SizeBig    = 1 << 30
	SizeMega   = 1 << 20
	// MessageSize is a gRPC message of 100 bytes, with its prefix.
	MessageSize = 105
)

// Message is the one message that is sent.
var Message = append([]byte{0, 0, 0, 0, 100}, bytes.Repeat([]byte("w"), 100)...)

var options = http2.Options{Server: true, MaxConcurrentStreams: 4096, InitialStreamWindow: 1 << 20, MaxStreamWindow: 16 << 20}

var (
	head1K, head64K, headMega, headBig = head2(Size1K), head2(Size64K), head2(SizeMega), head2(SizeBig)
	headGRPC                           = func() *http.Response {
		r := &http.Response{Version: http.HTTP2, Status: 200}
		r.AddString(http.ContentType, "application/grpc")
		return r
	}()
	trailersOK = func() *http.Header {
		h := &http.Header{}
		h.AddString(http.GRPCStatus, "0")
		return h
	}()
	missing = &http.Response{Version: http.HTTP2, Status: 404}
	piece   = bytes.Repeat([]byte("w"), 64<<10)
)

// head2 is as long as that of HTTP/1.
func head2(size int) *http.Response {
	r := &http.Response{Version: http.HTTP2, Status: 200}
	r.AddString(http.ContentType, "application/json")
	r.AddString(http.ContentLength, strconv.Itoa(size))
	r.AddString(http.CacheControl, "no-store")
	r.AddString(http.Date, "Thu, 01 Jan 2026 00:00:00 GMT")
	return r
}

// shared is a connection that speaks HTTP/2.
type shared struct {
	mux.Conn
	spare []*answering
}

// answering answers one stream.
type answering struct {
	conn    *shared
	stream  *http2.Stream
	request http.Request
	left    int // of an answer that does not fit
	echoes  bool
	headed  bool
}

// OnStream implements http2.Owner.
func (c *shared) OnStream(s *http2.Stream) http2.Reader {
	var a *answering
	if n := len(c.spare); n > 0 {
		a, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		a = &answering{conn: c}
	}
	a.stream, a.left, a.echoes, a.headed = s, 0, false, false
	s.Limit = 64 << 10
	return a
}

// OnDone implements http2.Owner.
func (c *shared) OnDone(s *http2.Stream) {
	if a, ok := s.Reader().(*answering); ok {
		c.spare = append(c.spare, a)
	}
}

// OnGoAway implements http2.Owner.
func (c *shared) OnGoAway(uint32, http2.ErrCode) {}

// OnSettings implements http2.Owner.
func (c *shared) OnSettings() {}

// OnPong implements http2.Owner.
func (c *shared) OnPong([8]byte) {}

// Request implements http2.Reader.
func (a *answering) Request() *http.Request { return &a.request }

// Response implements http2.Reader; it is for clients.
func (a *answering) Response() *http.Response { return nil }

// OnHead implements http2.Reader.
func (a *answering) OnHead(end bool) {
	if string(a.request.Path()) == PathStream {
		a.echoes = true
		a.stream.ResponseHead(headGRPC, false)
	}
	if end {
		a.answer()
	}
}

// OnBody implements http2.Reader.
func (a *answering) OnBody(b []byte) int {
	if a.echoes {
		a.stream.Data(b, false)
	}
	return len(b)
}

// OnTrailers implements http2.Reader.
func (a *answering) OnTrailers(*http.Header) {}

// OnEnd implements http2.Reader.
func (a *answering) OnEnd() { a.answer() }

// OnReset implements http2.Reader.
func (a *answering) OnReset(http2.ErrCode, bool, bool) {}

// OnRoom sends on.
func (a *answering) OnRoom() { a.fill() }

func (a *answering) answer() {
	switch string(a.request.Path()) {
	case Path1K:
		a.stream.ResponseHead(head1K, false)
		a.stream.Data(message1K, true)
	case Path64K:
		a.stream.ResponseHead(head64K, false)
		a.stream.Data(message64K, true)
	case PathUnary:
		a.stream.ResponseHead(headGRPC, false)
		a.stream.Data(Message, false)
		a.stream.Trailers(trailersOK)
	case PathStream:
		a.stream.Trailers(trailersOK)
	case PathMega:
		a.stream.ResponseHead(headMega, false)
		a.left = SizeMega
		a.fill()
	case PathBig:
		a.stream.ResponseHead(headBig, false)
		a.left = SizeBig
		a.fill()
	default:
		a.stream.ResponseHead(missing, true)
	}
}

// fill sends of a long answer what the stream takes.
func (a *answering) fill() {
	for a.left > 0 && a.stream.Queued() <= a.stream.Limit {
		n := min(a.left, len(piece))
		a.left -= n
		a.stream.Data(piece[:n], a.left == 0)
	}
}
