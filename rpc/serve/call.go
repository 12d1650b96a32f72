package serve

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// Call is one call, which handlers see as a stream of messages.
type Call struct {
	line.Stream // whose lock is that of the connection's line
	conn        *conn
	method      method
	ctx         context.Context
	cancel      context.CancelFunc

	// What follows is held by that lock.
	head    *http.Request // until it has come
	begun   bool          // the head of the answer is written
	answer  metadata.MD   // for the head of the answer
	trailer metadata.MD
}

func newCall(c *conn, s *http2.Stream) *Call {
	x := &Call{conn: c, head: &http.Request{}}
	x.Begin(&c.line, s)
	return x
}

// Request and Response are where a head is read to.
func (x *Call) Request() *http.Request   { return x.head }
func (x *Call) Response() *http.Response { return nil }

// OnHead has the call be answered, on a goroutine of its own.
func (x *Call) OnHead(end bool) {
	c := x.conn
	ctx, cancel, m, err := c.begin(x.head)
	if x.head, x.Ended = nil, end; err != nil {
		c.server.count(callsRefused)
		x.finish(err)
		return
	}
	c.server.count(callsTotal)
	x.ctx, x.cancel, x.method = ctx, cancel, m
	c.running++
	c.line.Rests = false
	c.server.parts.Go(func() {
		defer cancel()
		err := x.run()
		c.line.Lock()
		defer c.line.Unlock()
		c.running--
		c.line.Rests = c.running == 0
		c.rests = time.Now()
		x.finish(err)
		c.line.Codec.Feed(nil) // what was kept is of no interest any more
		c.line.Flush()
	})
}

// run answers the call.
func (x *Call) run() error {
	m := &x.method
	if m.stream != nil {
		return m.stream(m.service, x)
	}
	late := time.AfterFunc(speaking, func() {
		x.conn.line.Lock()
		defer x.conn.line.Unlock()
		if x.Wrong == nil && x.Waiting() == 0 {
			x.Refuse(status.Errorf(codes.DeadlineExceeded, "serve: no message has come within %v", speaking))
		}
	})
	answer, err := m.unary(m.service, x.ctx, func(m any) error {
		defer late.Stop()
		err := x.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Internal, "serve: the caller has sent no message")
		}
		return err
	}, nil)
	late.Stop()
	if err == nil {
		err = x.SendMsg(answer)
	}
	return err
}

// OnTrailers: callers have none that mean anything.
func (x *Call) OnTrailers(*http.Header) {}

// OnReset ends the call: its handler hears of it by its context, too.
func (x *Call) OnReset(http2.ErrCode, bool, bool) {
	x.over()
}

// over has the handler hear that the stream is over, if it still runs.
func (x *Call) over() {
	x.Over()
	if x.cancel != nil {
		x.cancel()
	}
}

// Context is the call's: it ends with the call, with its connection, or at the caller's deadline, and knows the caller.
func (x *Call) Context() context.Context { return x.ctx }

// RecvMsg waits for a message. io.EOF: there are no more.
func (x *Call) RecvMsg(m any) error {
	b, at, err := x.Take(x.ctx)
	if err != nil {
		return err
	}
	if err := x.conn.server.Codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b[at:])}, m); err != nil {
		return status.Errorf(codes.InvalidArgument, "serve: a message cannot be read: %v", err)
	}
	return nil
}

// SendMsg sends a message. It returns when all but a bounded rest of it is with the kernel, or with an error when its reader does not read for too long.
func (x *Call) SendMsg(m any) error {
	c := x.conn
	buffers, err := c.server.Codec.Marshal(m)
	if err != nil {
		return status.Errorf(codes.Internal, "serve: a message cannot be written: %v", err)
	}
	defer buffers.Free()
	c.line.Lock()
	x.start()
	c.excess = 0 // who is told something may measure how long it takes, as grpc-go's clients do
	c.line.Unlock()
	err = x.Send(x.ctx, buffers, false)
	if err == line.ErrStuck {
		c.server.count(stuck)
	}
	return err
}

var errOver = status.Error(codes.Internal, "serve: the call is over")

// finish says how the call has ended, behind what is queued. It is called with the lock held.
func (x *Call) finish(err error) {
	s := x.HTTP
	if s == nil {
		x.Close(errOver)
		return
	}
	if st, ok := status.FromError(err); !ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		err = status.FromContextError(err).Err()
	} else {
		err = st.Err()
	}
	if x.begun {
		var t http.Header
		conclude(&t, err, x.trailer)
		s.Trailers(&t)
	} else {
		var r http.Response
		open(&r, x.answer)
		conclude(&r.Header, err, x.trailer)
		s.ResponseHead(&r, true)
	}
	x.Close(errOver)
	if x.HTTP != nil && x.HTTP.Queued() == 0 { // the caller has not said all, and nobody listens; of what is queued he ends the stream himself
		x.HTTP.Reset(http2.NoError)
	}
}

// start sends the head of the answer, if it is not sent. It is called with the lock held.
func (x *Call) start() {
	if x.begun || x.HTTP == nil {
		return
	}
	x.begun = true
	var r http.Response
	open(&r, x.answer)
	x.HTTP.ResponseHead(&r, false)
}

// Abort ends the call's context, so that who waits for its caller does not any longer. How the call has ended is the handler's to say still.
func (x *Call) Abort() {
	x.cancel()
	x.conn.line.Lock()
	x.conn.line.Wake()
	x.conn.line.Unlock()
}

// SetHeader adds to the head of the answer, which must not have been sent.
func (x *Call) SetHeader(md metadata.MD) error {
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	if x.begun {
		return status.Error(codes.Internal, "serve: the head of the answer has been sent")
	}
	x.answer = metadata.Join(x.answer, md)
	return nil
}

// SendHeader sends the head of the answer, with more in it.
func (x *Call) SendHeader(md metadata.MD) error {
	if err := x.SetHeader(md); err != nil {
		return err
	}
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	x.start()
	return x.conn.line.Flush()
}

// SetTrailer adds to what is said at the end.
func (x *Call) SetTrailer(md metadata.MD) {
	x.conn.line.Lock()
	defer x.conn.line.Unlock()
	x.trailer = metadata.Join(x.trailer, md)
}
