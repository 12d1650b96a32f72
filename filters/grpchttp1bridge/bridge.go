package grpchttp1bridge

import (
	"bytes"
	"strconv"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// maxMessage bounds, in bytes, what is held of a message without its frame: as much as a connection's buffer holds by default.
const maxMessage = 1 << 20

// filter bridges one call.
type filter struct {
	settings *settings

	bridged bool // the client sees no trailers
	framed  bool // it knows nothing of frames
	whole   bool // the request is held until its length is known
	sent    bool // the head of the request's frame is
	bare    bool // the response loses the head of its frame
	held    bool // the response is, until its trailers are there
	strip   int  // bytes of that head that have not come
	size    int  // of the response's body
	up      []byte
	down    []byte // the response without the head of its frame
}

// RequestHeaders finds out what the client does not know.
func (f *filter) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	r, s := x.Request(), f.settings
	f.framed = s.upgrade && string(r.Get(http.ContentType)) == "application/x-protobuf"
	if !f.framed && !filters.IsGRPC(r) {
		return filters.Continue
	}
	f.bridged = r.Version < http.HTTP2
	if at := bytes.IndexByte(r.Path(), '?'); f.bridged && s.ignoreQuery && at >= 0 {
		r.SetPath(r.Path()[:at])
	}
	if !f.framed {
		return filters.Continue
	}
	r.SetString(http.ContentType, "application/grpc")
	x.ClearRoute()
	if end {
		r.Remove(http.ContentLength)
		f.framed = f.bridged // nothing is framed, with Envoy, but what comes back
		f.sent = true
		return filters.Continue
	}
	n, err := strconv.ParseUint(string(r.Get(http.ContentLength)), 10, 32)
	r.Remove(http.ContentLength)
	if f.whole = err != nil; f.whole {
		f.up = append(f.up[:0], 0, 0, 0, 0, 0)
		return filters.Hold
	}
	f.up = append(f.up[:0], 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return filters.Continue
}

// RequestBody puts the body into a frame.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if !f.framed || f.sent {
		return filters.Continue
	}
	if f.whole && len(f.up)+len(b) > maxMessage {
		x.Reply(413, []byte("Payload Too Large"), "request_payload_too_large")
		return filters.Replied
	}
	f.up = append(f.up, b...)
	if !f.whole || end {
		f.send(x)
	}
	return filters.Changed
}

// RequestTrailers ends the message.
func (f *filter) RequestTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	if f.framed && !f.sent {
		f.send(x)
	}
	return filters.Continue
}

func (f *filter) send(x filters.Exchange) {
	if f.whole {
		n := len(f.up) - filters.FrameHead
		f.up[1], f.up[2], f.up[3], f.up[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
	f.sent = true
	x.PassOn(f.up)
}

// ResponseHeaders holds what a client of HTTP/1 gets until its status is known.
func (f *filter) ResponseHeaders(x filters.Exchange, end bool) filters.Action {
	r := x.Response()
	f.held, f.bare, f.size, f.down = false, false, 0, f.down[:0] // another answer may have taken the place of one
	if end || !f.bridged && !f.framed {
		return filters.Continue
	}
	// Envoy takes the first bytes of what is no call, too, and leaves its length as it was.
	if f.bare = f.framed && filters.AnswersGRPC(r, false); f.bare {
		f.strip = filters.FrameHead
		r.Remove(http.ContentLength)
	}
	if f.held = f.bridged; f.held {
		return filters.Hold
	}
	return filters.Continue
}

// ResponseBody takes the frame off.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	f.size += len(b)
	if !f.bare {
		if f.held && !end {
			return filters.Hold
		}
		return filters.Continue
	}
	n := min(f.strip, len(b))
	b, f.strip = b[n:], f.strip-n
	if !f.held {
		x.PassOn(b)
		return filters.Changed
	}
	if len(f.down)+len(b) > maxMessage {
		x.Fail(500, []byte("Internal Server Error"), "response_payload_too_large")
		return filters.Replied
	}
	if f.down = append(f.down, b...); end {
		f.length(x.Response(), len(f.down))
		x.PassOn(f.down)
	}
	return filters.Changed
}

func (f *filter) length(r *http.Response, n int) {
	var digits [20]byte
	r.Set(http.ContentLength, strconv.AppendInt(digits[:0], int64(n), 10))
}

// ResponseTrailers tells in the head what is in the trailers. A call that has failed is a 503.
func (f *filter) ResponseTrailers(x filters.Exchange, t *http.Header) filters.Action {
	if !f.held {
		return filters.Continue
	}
	r := x.Response()
	if t.Has(http.GRPCStatus) {
		status := t.Get(http.GRPCStatus)
		if n, err := strconv.ParseUint(string(status), 10, 64); err != nil || n != 0 {
			r.Status = 503
		}
		r.Set(http.GRPCStatus, status)
	}
	if t.Has(http.GRPCMessage) {
		r.Set(http.GRPCMessage, t.Get(http.GRPCMessage))
	}
	if f.bare {
		f.size = len(f.down)
	}
	f.length(r, f.size)
	bare := f.bare
	f.held, f.bare = false, false // the end that follows has nothing more to do
	if bare {
		x.PassOn(f.down)
	}
	return filters.Continue
}

// Resume is not for this filter.
func (f *filter) Resume(filters.Exchange, filters.Result) filters.Action { return filters.Continue }

// maxKept is how much memory, in bytes, a filter keeps from one exchange to the next.
const maxKept = 64 << 10

func kept(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	*f = filter{settings: f.settings, up: kept(f.up), down: kept(f.down)}
}
