package grpcweb

import (
	"strconv"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// The content types of gRPC-Web. With parameters, or in another case, they are none, with Envoy.
const (
	typeBinary      = "application/grpc-web"
	typeBinaryProto = "application/grpc-web+proto"
	typeText        = "application/grpc-web-text"
	typeTextProto   = "application/grpc-web-text+proto"
)

// What is told of a request that is no base64.
const (
	badText   = "Bad gRPC-web request, invalid base64 data."
	badDetail = "grpc_base_64_decode_failed"
	badSize   = "grpc_base_64_decode_failed_bad_size"
)

const (
	trailerFlag = 0x80     // the flags of the frame that has the trailers
	maxPlain    = 16 << 10 // bytes of a body that is no gRPC which become the message, as with Envoy
)

// filter translates one call.
type filter struct {
	calls *filters.Calls
	loop  int
	n     *telemetry.Values // nil: it is not counted

	web      bool // the request is of gRPC-Web
	textUp   bool // it is in base64
	textDown bool // and so shall the response be
	plain    bool // the response is no gRPC, and is told in its head
	decoder  decoder
	encoder  encoder
	frames   filters.Frames
	body     []byte // a piece of it, or the response that is no gRPC
}

// RequestHeaders makes a request of gRPC of one of gRPC-Web.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	r := x.Request()
	switch kind := r.Get(http.ContentType); string(kind) {
	case typeText, typeTextProto:
		f.textUp = true
	case typeBinary, typeBinaryProto:
	default:
		return filters.Continue
	}
	if len(r.Path()) == 0 {
		f.textUp = false
		return filters.Continue
	}
	f.web = true
	r.Remove(http.ContentLength)
	if service, method, ok := filters.GRPCMethod(r.Path()); ok && x.Cluster() != "" && x.Entry().ClusterStatName != "" {
		f.n = f.calls.Of(f.loop, x.Entry().ClusterStatName, service, method)
	}
	r.SetString(http.ContentType, "application/grpc")
	r.SetString(http.TE, "trailers")
	r.RemoveNamed("grpc-accept-encoding")
	r.AddNamed([]byte("grpc-accept-encoding"), []byte("identity"))
	switch string(r.Get(http.Accept)) {
	case typeText, typeTextProto:
		f.textDown = true
	}
	return filters.Continue
}

// RequestBody decodes text.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if !f.textUp {
		return filters.Continue
	}
	var ok bool
	if f.body, ok = f.decoder.decode(f.body[:0], b); !ok {
		x.Reply(400, []byte(badText), badDetail)
		return filters.Replied
	}
	if end && f.decoder.have > 0 {
		x.Reply(400, []byte(badText), badSize)
		return filters.Replied
	}
	x.PassOn(f.body)
	return filters.Changed
}

// RequestTrailers wants all of the text to be there.
func (f *filter) RequestTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	if f.textUp && f.decoder.have > 0 {
		x.Reply(400, []byte(badText), badSize)
		return filters.Replied
	}
	return filters.Continue
}

// ResponseHeaders says what the response is to be. One that is no gRPC is held until it is there, so that its head can tell of it.
func (f *filter) ResponseHeaders(x filters.Exchange, end bool) filters.Action {
	if !f.web {
		return filters.Continue
	}
	r := x.Response()
	f.plain, f.frames, f.encoder, f.body = false, filters.Frames{}, encoder{}, f.body[:0] // another answer may have taken the place of one
	if f.n != nil {
		filters.CountCall(f.n, r.Get(http.GRPCStatus))
	}
	f.plain = !end && !filters.AnswersGRPC(r, end) && !isWebAnswer(r)
	kind := typeBinaryProto
	if f.textDown {
		kind = typeTextProto
	}
	r.SetString(http.ContentType, kind)
	if f.plain {
		return filters.Hold
	}
	r.Remove(http.ContentLength)
	return filters.Continue
}

func isWebAnswer(r *http.Response) bool {
	switch string(r.Get(http.ContentType)) {
	case typeBinary, typeBinaryProto:
		return r.Status == 200
	}
	return false
}

// ResponseBody encodes text, or puts aside what is no gRPC.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	switch {
	case f.plain:
		f.body = append(f.body, b[:min(len(b), maxPlain-len(f.body))]...)
		if end {
			f.tell(x.Response())
		}
	case f.web && f.textDown:
		x.PassOn(f.encode(b, end))
	default:
		return filters.Continue
	}
	return filters.Changed
}

// encode makes text of a piece. Each message is text by itself, with padding, and so is what is left at the end.
func (f *filter) encode(b []byte, end bool) []byte {
	out := f.body[:0]
	for len(b) > 0 {
		n, _, ends := f.frames.Next(b)
		if out = f.encoder.encode(out, b[:n]); ends {
			out = f.encoder.pad(out)
		}
		b = b[n:]
	}
	if end {
		out = f.encoder.pad(out)
	}
	f.body = out
	return out
}

// tell has the head tell of a response that is no gRPC: the status that its own stands for, and its body for a message.
func (f *filter) tell(r *http.Response) {
	var digits [3]byte
	r.Set(http.GRPCStatus, strconv.AppendUint(digits[:0], uint64(filters.GRPCStatusOf(r.Status)), 10))
	r.Set(http.GRPCMessage, filters.AppendGRPCMessage(nil, f.body))
	r.SetString(http.ContentLength, "0")
}

// ResponseTrailers puts the trailers into the body.
func (f *filter) ResponseTrailers(x filters.Exchange, t *http.Header) filters.Action {
	if !f.web {
		return filters.Continue
	}
	if f.n != nil {
		filters.CountCall(f.n, t.Get(http.GRPCStatus))
	}
	if f.plain {
		f.plain = false // the end that follows has nothing more to tell
		f.tell(x.Response())
		return filters.Continue
	}
	frame := append(f.body[:0], trailerFlag, 0, 0, 0, 0)
	for i := range t.Len() {
		frame = append(append(append(append(frame, t.Name(i)...), ':'), t.Value(i)...), '\r', '\n')
	}
	n := len(frame) - filters.FrameHead
	frame[1], frame[2], frame[3], frame[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	f.body = frame
	t.Reset()
	if f.textDown {
		text := f.encoder.pad(nil)
		frame = f.encoder.pad(f.encoder.encode(text, frame))
	}
	x.PassOn(frame)
	return filters.Continue
}

// Resume is not for this filter.
func (f *filter) Resume(filters.Exchange, filters.Result) filters.Action { return filters.Continue }

// maxKept is how much memory, in bytes, a filter keeps from one exchange to the next.
const maxKept = 64 << 10

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	body := f.body[:0]
	if cap(body) > maxKept {
		body = nil
	}
	*f = filter{calls: f.calls, loop: f.loop, body: body}
}
