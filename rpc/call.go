package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// call is one call of a connection, which callers see as a stream of messages.
type call struct {
	line.Stream // whose lock is that of the connection's line
	conn        *Conn
	ctx         context.Context
	forget      func() bool   // the context's end does nothing to it any more
	single      bool          // one message answers it
	headed      chan struct{} // the head has come, or never will

	// What follows is held by that lock.
	head            http.Response
	concluded       bool // its status has come
	header, trailer metadata.MD
}

// NewStream begins a call. It ends with its context, which has to end unless messages are read up to an error. Options of calls do nothing, nor does metadata of the
// context: what is told beside calls is the target's.
func (c *Conn) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	x, err := c.begin(ctx, method, !d.ServerStreams)
	if err != nil {
		return nil, err
	}
	c.line.Lock()
	defer c.line.Unlock()
	c.line.Flush() // what goes wrong is said by RecvMsg
	return x, nil
}

// begin begins a call, whose head is written with what follows it.
func (c *Conn) begin(ctx context.Context, method string, single bool) (*call, error) {
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	x := &call{conn: c, ctx: ctx, single: single, headed: make(chan struct{})}
	c.line.Lock()
	defer c.line.Unlock()
	if gone, _ := c.line.Gone(); gone || c.leaving {
		return nil, c.lost()
	}
	s := c.line.Codec.Open(x)
	if s == nil {
		return nil, status.Errorf(codes.ResourceExhausted, "rpc: the server takes %d calls at a time", c.line.Codec.Peer().MaxConcurrentStreams)
	}
	x.Begin(&c.line, s)
	c.line.Rests = false
	var r http.Request
	r.Version = http.HTTP2
	r.SetMethod([]byte("POST"))
	r.SetScheme([]byte(c.scheme))
	r.SetAuthority([]byte(c.authority))
	r.SetPath([]byte(method))
	r.AddString(http.ContentType, line.Content)
	r.AddString(http.TE, "trailers")
	r.AddString(http.UserAgent, "weft")
	if end, ok := ctx.Deadline(); ok {
		r.AddString(http.GRPCTimeout, timeout(time.Until(end)))
	}
	line.Add(&r.Header, c.metadata)
	s.RequestHead(&r, false)
	x.forget = context.AfterFunc(ctx, func() { x.end(status.FromContextError(ctx.Err()).Err()) })
	return x, nil
}

// timeout writes a grpc-timeout, in milliseconds or, if it has more digits than eight, in seconds.
func timeout(d time.Duration) string {
	if ms := max(d.Milliseconds(), 1); ms < 1e8 {
		return strconv.FormatInt(ms, 10) + "m"
	}
	return strconv.FormatInt(min(int64(d/time.Second), 1e8-1), 10) + "S"
}

// end gives a call up that is not over. why is what RecvMsg says from then on; nil: what it has said.
func (x *call) end(why error) {
	c := x.conn
	c.line.Lock()
	defer c.line.Unlock()
	if why != nil && (x.HTTP != nil || x.Waiting() > 0) {
		x.Refuse(why)
	}
	x.Drop()
	if x.HTTP != nil {
		x.HTTP.Reset(http2.Cancel)
		c.line.Wake()
		c.line.Flush()
	}
}

// Request and Response are where a head is read to.
func (x *call) Request() *http.Request   { return nil }
func (x *call) Response() *http.Response { return &x.head }

// OnHead judges the head of the answer.
func (x *call) OnHead(end bool) {
	if x.head.Status < 200 {
		return
	}
	if x.head.Get(http.GRPCStatus) != nil && end {
		x.conclude(&x.head.Header)
	} else if x.head.Status != 200 || !line.IsContent(x.head.Get(http.ContentType)) {
		x.Refuse(status.Errorf(ofHTTP(x.head.Status), "rpc: the server answers with HTTP status %d and content-type %q, and does not speak gRPC there", x.head.Status, x.head.Get(http.ContentType)))
	} else if md, err := line.Read(&x.head.Header); err != nil {
		x.Refuse(status.Error(codes.Internal, err.Error()))
	} else {
		x.header = md
	}
	x.heard()
	if end {
		x.OnEnd()
	}
}

// heard has Header not wait any longer.
func (x *call) heard() {
	select {
	case <-x.headed:
	default:
		close(x.headed)
	}
}

// ofHTTP is what a status of HTTP means where there is none of gRPC (gRPC: HTTP to gRPC Status Code Mapping).
func ofHTTP(of uint16) codes.Code {
	switch of {
	case 400:
		return codes.Internal
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.Unimplemented
	case 429, 502, 503, 504:
		return codes.Unavailable
	}
	return codes.Unknown
}

// OnTrailers says how the call has ended.
func (x *call) OnTrailers(t *http.Header) { x.conclude(t) }

func (x *call) conclude(h *http.Header) {
	x.concluded = true
	md, err := line.Read(h)
	x.trailer = md
	code, wrong := strconv.ParseUint(string(h.Get(http.GRPCStatus)), 10, 32)
	switch {
	case x.Wrong != nil:
	case err != nil:
		x.Refuse(status.Error(codes.Internal, err.Error()))
	case wrong != nil:
		x.Refuse(status.Errorf(codes.Internal, "rpc: the server ends the call with grpc-status %q: want a number", h.Get(http.GRPCStatus)))
	case code != 0:
		x.Refuse(status.Error(codes.Code(code), line.Plain(h.Get(http.GRPCMessage))))
	}
}

func (x *call) OnEnd() {
	if !x.concluded && x.Wrong == nil {
		x.Refuse(status.Error(codes.Internal, "rpc: the server has ended the call without a status"))
	}
	x.Stream.OnEnd()
}

// OnReset says why the call is over. What a connection's end means is said of the connection.
func (x *call) OnReset(code http2.ErrCode, local, unprocessed bool) {
	if x.Wrong == nil && !x.Ended {
		gone, _ := x.conn.line.Gone()
		switch fault := x.HTTP.Fault(); {
		case gone:
			x.Refuse(x.conn.lost())
		case local && fault != nil:
			x.Refuse(status.Errorf(codes.Internal, "rpc: the server's answer is wrong: %v", fault))
		case unprocessed:
			x.Refuse(status.Errorf(codes.Unavailable, "rpc: the server takes no calls any more: %v", code))
		default:
			x.Refuse(status.Errorf(ofReset(code), "rpc: the server has ended the call: %v", code))
		}
	}
	x.over()
}

// over says that nothing more comes or goes.
func (x *call) over() {
	x.heard()
	x.Over()
}

// ofReset is what the end of a stream means (gRPC over HTTP/2, HTTP2 Transport Mapping).
func ofReset(code http2.ErrCode) codes.Code {
	switch code {
	case http2.RefusedStream:
		return codes.Unavailable
	case http2.Cancel:
		return codes.Canceled
	case http2.EnhanceYourCalm:
		return codes.ResourceExhausted
	case http2.InadequateSecurity:
		return codes.PermissionDenied
	}
	return codes.Internal
}

// Context is the call's.
func (x *call) Context() context.Context { return x.ctx }

// Header is what the server says before its messages. It waits for that.
func (x *call) Header() (metadata.MD, error) {
	select {
	case <-x.headed:
	case <-x.ctx.Done():
		return nil, status.FromContextError(x.ctx.Err()).Err()
	}
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	if x.header == nil && x.Wrong != nil {
		return nil, x.Wrong
	}
	return x.header, nil
}

// Trailer is what the server says behind its messages, once RecvMsg has told the end.
func (x *call) Trailer() metadata.MD {
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	return x.trailer
}

// TooLarge is why a message was not taken: it has more than MaxMessage.
type TooLarge = line.TooLarge

// Raw is a message in wire format, to be sent.
type Raw []byte

// Body is a message as it came. It has to be freed, and is nothing then.
type Body struct {
	buffer []byte
	at     int
}

// Bytes is the message.
func (b *Body) Bytes() []byte { return b.buffer[b.at:] }

// Free gives its memory away, for another message.
func (b *Body) Free() {
	if buffer := b.buffer; cap(buffer) >= pooled {
		buffers.Put(&buffer)
	}
	*b = Body{}
}

// SendMsg sends a message: a proto.Message, or a Raw. io.EOF: the call is over, and RecvMsg says why.
func (x *call) SendMsg(m any) error { return x.send(m, false) }

func (x *call) send(m any, last bool) error {
	var b []byte
	switch m := m.(type) {
	case Raw:
		b = m
	case proto.Message:
		var err error
		if b, err = proto.Marshal(m); err != nil {
			return status.Errorf(codes.Internal, "rpc: a message cannot be written: %v", err)
		}
	default:
		return status.Errorf(codes.Internal, "rpc: %T is no message", m)
	}
	err := x.Send(x.ctx, mem.BufferSlice{mem.SliceBuffer(b)}, last)
	if errors.Is(err, line.ErrStuck) {
		x.end(err)
	}
	if err != nil {
		return io.EOF
	}
	return nil
}

// CloseSend says that there are no more messages.
func (x *call) CloseSend() error {
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	if x.HTTP != nil {
		x.HTTP.Data(nil, true)
		x.conn.line.Flush()
	}
	return nil
}

// RecvMsg waits for a message, which it reads to a proto.Message, or gives to a *Body. io.EOF: there are no more, and the call has gone well.
func (x *call) RecvMsg(m any) error {
	err := x.receive(m)
	if err == nil && x.single {
		switch end := x.receive(&Body{}); {
		case end == nil:
			err = status.Error(codes.Internal, "rpc: the server has answered with more than one message")
		case end != io.EOF:
			err = end
		}
	}
	if err != nil || x.single {
		x.forget()
		x.end(nil)
	}
	return err
}

func (x *call) receive(m any) error {
	b, at, err := x.Take(x.ctx)
	if err != nil {
		return err
	}
	body := Body{b, at}
	switch m := m.(type) {
	case *Body:
		*m = body
		return nil
	case proto.Message:
		err = proto.Unmarshal(body.Bytes(), m)
	default:
		err = fmt.Errorf("%T is no message", m)
	}
	body.Free()
	if err != nil {
		return status.Errorf(codes.Internal, "rpc: a message cannot be read: %v", err)
	}
	return nil
}

// Invoke makes a call of one message that one message answers.
func (c *Conn) Invoke(ctx context.Context, method string, question, answer any, _ ...grpc.CallOption) error {
	x, err := c.begin(ctx, method, true)
	if err != nil {
		return err
	}
	if err = x.send(question, true); err == nil || errors.Is(err, io.EOF) {
		err = x.RecvMsg(answer)
	} else {
		x.forget()
		x.end(nil)
	}
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.Internal, "rpc: the server has answered with no message")
	}
	return err
}
