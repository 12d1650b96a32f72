package serve

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// prefix is what stands before each message: whether it is compressed, and its length (gRPC over HTTP/2, Length-Prefixed-Message).
const prefix = 5

// Call is one call, which handlers see as a stream of messages.
type Call struct {
	conn   *conn
	method method
	ctx    context.Context
	cancel context.CancelFunc
	come   chan struct{} // something to read, or the end of it, has come; room for one
	room   chan struct{} // there is room to write; room for one

	// What follows is held by the connection's lock.
	stream  *http2.Stream // nil: it is over
	head    *http.Request // until it has come
	partial []byte        // of a message
	inbox   [][]byte      // messages that nobody has taken
	waiting int           // their bytes
	stalled bool          // more has come than the inbox takes
	ended   bool          // the caller has said all
	wrong   error         // what the caller has done wrong
	begun   bool          // the head of the answer is written
	answer  metadata.MD   // for the head of the answer
	trailer metadata.MD
}

func newCall(c *conn, s *http2.Stream) *Call {
	return &Call{conn: c, stream: s, head: &http.Request{}, come: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Request and Response are where a head is read to.
func (x *Call) Request() *http.Request   { return x.head }
func (x *Call) Response() *http.Response { return nil }

// OnHead has the call be answered, on a goroutine of its own.
func (x *Call) OnHead(end bool) {
	c := x.conn
	ctx, cancel, m, err := c.begin(x.head)
	if x.head, x.ended = nil, end; err != nil {
		c.server.count(callsRefused)
		x.finish(err)
		return
	}
	c.server.count(callsTotal)
	x.ctx, x.cancel, x.method = ctx, cancel, m
	c.running++
	c.server.parts.Go(func() {
		defer cancel()
		err := x.run()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		c.rests = time.Now()
		x.finish(err)
		c.codec.Feed(nil) // what was kept is of no interest any more
		c.flush()
	})
}

// run answers the call.
func (x *Call) run() error {
	m := &x.method
	if m.stream != nil {
		return m.stream(m.service, x)
	}
	late := time.AfterFunc(speaking, func() {
		x.conn.mu.Lock()
		defer x.conn.mu.Unlock()
		if x.wrong == nil && len(x.inbox) == 0 {
			x.refuse(status.Errorf(codes.DeadlineExceeded, "serve: no message has come within %v", speaking))
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

// OnBody takes messages apart.
func (x *Call) OnBody(b []byte) (used int) {
	for used < len(b) && x.wrong == nil {
		if x.waiting > inbox {
			x.stalled = true
			return used
		}
		want := prefix
		if len(x.partial) >= prefix {
			want += int(binary.BigEndian.Uint32(x.partial[1:]))
		}
		n := min(want-len(x.partial), len(b)-used)
		if x.partial == nil && len(b)-used >= prefix { // most often it is here already
			x.partial = make([]byte, 0, min(prefix+int(binary.BigEndian.Uint32(b[used+1:])), len(b)-used))
		}
		x.partial = append(x.partial, b[used:used+n]...)
		x.conn.held += n
		if used += n; len(x.partial) < prefix {
			continue
		}
		length := binary.BigEndian.Uint32(x.partial[1:])
		switch {
		case x.partial[0] != 0:
			x.refuse(status.Error(codes.Unimplemented, "serve: a message is compressed: want it as it is"))
		case uint64(length) > uint64(x.conn.server.MaxMessage):
			x.conn.server.count(messagesTooLarge)
			x.refuse(status.Errorf(codes.ResourceExhausted, "serve: a message has %d bytes: want %d at most", length, x.conn.server.MaxMessage))
		case len(x.partial) == prefix+int(length):
			x.inbox, x.waiting = append(x.inbox, x.partial[prefix:]), x.waiting+len(x.partial)
			x.partial = nil // which counts on
			poke(x.come)
		case x.conn.held > x.conn.server.MaxMessage+maxHeld:
			x.conn.server.count(messagesTooLarge)
			x.refuse(status.Errorf(codes.ResourceExhausted, "serve: the connection has %d bytes of messages that are not taken yet", x.conn.held))
		}
	}
	return len(b) // what follows something wrong is of no interest
}

// refuse has the handler hear what is wrong, and nothing more of what comes.
func (x *Call) refuse(why error) {
	x.wrong = why
	x.forget()
	poke(x.come)
}

// forget lets the message go that has not come wholly.
func (x *Call) forget() {
	x.conn.held -= len(x.partial)
	x.partial = nil
}

// OnTrailers: callers have none that mean anything.
func (x *Call) OnTrailers(*http.Header) {}

func (x *Call) OnEnd() {
	if x.ended = true; len(x.partial) > 0 && x.wrong == nil {
		x.refuse(status.Error(codes.Internal, "serve: the stream ends within a message"))
	}
	poke(x.come)
}

// OnReset ends the call: its handler hears of it by its context, too.
func (x *Call) OnReset(http2.ErrCode, bool, bool) {
	x.gone()
}

// gone has the handler hear that the stream is over, if it still runs.
func (x *Call) gone() {
	x.stream = nil
	x.forget()
	if x.cancel != nil {
		x.cancel()
	}
	poke(x.come)
	poke(x.room)
}

func (x *Call) OnRoom() { poke(x.room) }

// Context is the call's: it ends with the call, with its connection, or at the caller's deadline, and knows the caller.
func (x *Call) Context() context.Context { return x.ctx }

// RecvMsg waits for a message. io.EOF: there are no more.
func (x *Call) RecvMsg(m any) error {
	c := x.conn
	for {
		c.mu.Lock()
		if len(x.inbox) > 0 {
			b := x.inbox[0]
			x.inbox[0] = nil
			if x.inbox = x.inbox[1:]; len(x.inbox) == 0 {
				x.inbox = nil
			}
			c.held -= prefix + len(b)
			if x.waiting -= prefix + len(b); x.stalled && x.waiting <= inbox {
				x.stalled = false
				if x.stream != nil {
					x.stream.Again()
					c.codec.Feed(nil)
					c.flush()
				}
			}
			c.mu.Unlock()
			if err := c.server.Codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil {
				return status.Errorf(codes.InvalidArgument, "serve: a message cannot be read: %v", err)
			}
			return nil
		}
		wrong, ended, gone := x.wrong, x.ended, x.stream == nil
		c.mu.Unlock()
		switch {
		case wrong != nil:
			return wrong
		case ended:
			return io.EOF
		case gone:
			return status.Error(codes.Canceled, "serve: the caller has gone")
		}
		select {
		case <-x.come:
		case <-x.ctx.Done():
			return status.FromContextError(x.ctx.Err()).Err()
		}
	}
}

// stages are where many small pieces of a message become one.
var stages = sync.Pool{New: func() any { return new([http2.DefaultMaxFrameSize]byte) }}

// SendMsg sends a message. It returns when all but a bounded rest of it is with the kernel, or with an error when its reader does not read for too long.
func (x *Call) SendMsg(m any) error {
	c := x.conn
	buffers, err := c.server.Codec.Marshal(m)
	if err != nil {
		return status.Errorf(codes.Internal, "serve: a message cannot be written: %v", err)
	}
	defer buffers.Free()
	stage := stages.Get().(*[http2.DefaultMaxFrameSize]byte)
	defer stages.Put(stage)
	staged := append(stage[:0], 0)
	staged = binary.BigEndian.AppendUint32(staged, uint32(buffers.Len()))
	c.mu.Lock()
	defer c.mu.Unlock()
	x.start()
	for _, one := range buffers {
		for b := one.ReadOnlyData(); len(b) > 0; {
			n := min(len(b), cap(staged)-len(staged))
			staged, b = append(staged, b[:n]...), b[n:]
			if len(staged) == cap(staged) {
				if err := x.write(staged); err != nil {
					return err
				}
				staged = staged[:0]
			}
		}
	}
	if err := x.write(staged); err != nil {
		return err
	}
	if c.flush() != nil {
		return errLost
	}
	return nil
}

var (
	errOver  = status.Error(codes.Internal, "serve: the call is over")
	errLost  = status.Error(codes.Unavailable, "serve: the connection is lost")
	errStuck = status.Errorf(codes.DeadlineExceeded, "serve: the caller has not read for %v", reading)
)

// write hands bytes on, once there is room for them. It is called with the lock held, and lets it go while it waits.
func (x *Call) write(b []byte) error {
	c := x.conn
	for x.stream != nil && x.ctx.Err() == nil && c.Over() {
		if c.flush() != nil {
			return errLost
		}
		if c.Over() {
			c.written.Wait() // whoever writes has a deadline
		}
	}
	if err := x.await(); err != nil {
		return err
	}
	x.stream.Data(b, false)
	c.excess = 0 // who is told something may measure how long it takes, as grpc-go's clients do
	return nil
}

// await waits until little waits for the caller's window. It is called with the lock held, and lets it go meanwhile.
func (x *Call) await() error {
	c := x.conn
	var late *time.Timer
	for x.stream != nil && x.stream.Queued() > maxQueued {
		if c.flush() != nil {
			return errLost
		}
		if late == nil {
			late = time.NewTimer(reading)
			defer late.Stop()
		}
		if x.stream == nil || x.stream.Queued() <= maxQueued {
			continue
		}
		c.mu.Unlock()
		stuckNow := false
		select {
		case <-x.room:
		case <-x.ctx.Done():
		case <-late.C:
			stuckNow = true
		}
		c.mu.Lock()
		if err := x.ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
		if stuckNow {
			c.server.count(stuck)
			return errStuck
		}
	}
	if x.stream == nil {
		return errLost
	}
	return nil
}

// finish says how the call has ended, behind what is queued. It is called with the lock held.
func (x *Call) finish(err error) {
	s := x.stream
	if s == nil {
		x.conn.held -= x.waiting
		x.inbox, x.waiting = nil, 0
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
	c := x.conn
	c.held -= x.waiting
	x.wrong, x.inbox, x.waiting = errOver, nil, 0 // what still comes is of no interest
	x.forget()
	if x.stalled && x.stream != nil { // so that the stream can end when all has come
		x.stalled = false
		x.stream.Again()
	}
	if x.stream != nil && x.stream.Queued() == 0 { // the caller has not said all, and nobody listens; of what is queued he ends the stream himself
		x.stream.Reset(http2.NoError)
	}
}

// start sends the head of the answer, if it is not sent. It is called with the lock held.
func (x *Call) start() {
	if x.begun || x.stream == nil {
		return
	}
	x.begun = true
	var r http.Response
	open(&r, x.answer)
	x.stream.ResponseHead(&r, false)
}

// Abort ends the call's context, so that who waits for its caller does not any longer. How the call has ended is the handler's to say still.
func (x *Call) Abort() {
	x.cancel()
	x.conn.mu.Lock()
	x.conn.written.Broadcast()
	x.conn.mu.Unlock()
}

// SetHeader adds to the head of the answer, which must not have been sent.
func (x *Call) SetHeader(md metadata.MD) error {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
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
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	x.start()
	return x.conn.flush()
}

// SetTrailer adds to what is said at the end.
func (x *Call) SetTrailer(md metadata.MD) {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	x.trailer = metadata.Join(x.trailer, md)
}
