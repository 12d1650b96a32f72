package line

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/wire/http2"
)

// prefix is what stands before each message: whether it is compressed, and its length (gRPC over HTTP/2, Length-Prefixed-Message).
const prefix = 5

// Stream is a call's part of a connection: messages, each way. What it has is held by the connection's lock, but for what only its own goroutine sets.
type Stream struct {
	conn *Conn
	come chan struct{} // something to take, or the end of it, has come; room for one
	room chan struct{} // there is room to write; room for one

	HTTP  *http2.Stream // nil: it is over
	Ended bool          // the peer has said all
	Wrong error         // what Take says when the messages that have come are taken

	partial []byte   // of a message
	inbox   [][]byte // messages that nobody has taken
	waiting int      // their bytes
	stalled bool     // more has come than the inbox takes
}

// Begin makes it the part of a connection that an exchange of HTTP is.
func (x *Stream) Begin(c *Conn, s *http2.Stream) {
	s.Limit = maxQueued
	x.conn, x.HTTP, x.come, x.room = c, s, make(chan struct{}, 1), make(chan struct{}, 1)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// OnBody takes messages apart.
func (x *Stream) OnBody(b []byte) (used int) {
	o := x.conn.options
	for used < len(b) && x.Wrong == nil {
		if x.waiting > inbox {
			x.stalled = true
			return used
		}
		want := prefix
		if len(x.partial) >= prefix {
			want += int(binary.BigEndian.Uint32(x.partial[1:]))
		}
		n := min(want-len(x.partial), len(b)-used)
		if x.partial == nil && o.Room == nil && len(b)-used >= prefix { // most often it is here already
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
			x.Refuse(status.Error(codes.Unimplemented, "rpc: a message is compressed: want it as it is"))
		case uint64(length) > uint64(o.MaxMessage):
			x.tooLarge(fmt.Sprintf("rpc: a message has %d bytes: want %d at most", length, o.MaxMessage))
		case len(x.partial) == prefix+int(length):
			x.inbox, x.waiting = append(x.inbox, x.partial), x.waiting+len(x.partial)
			x.partial = nil // which counts on
			poke(x.come)
		case x.conn.held > o.MaxMessage+o.MaxHeld:
			x.tooLarge(fmt.Sprintf("rpc: the connection has %d bytes of messages that are not taken yet", x.conn.held))
		case want == prefix && o.Room != nil:
			x.partial = append(o.Room(prefix + int(length))[:0], x.partial...)
		}
	}
	return len(b) // what follows something wrong is of no interest
}

// TooLarge is why a message was not taken that is larger than is allowed, or for which there is no room beside others.
type TooLarge struct{ Text string }

func (e *TooLarge) Error() string { return e.Text }

// GRPCStatus is what gRPC calls it.
func (e *TooLarge) GRPCStatus() *status.Status { return status.New(codes.ResourceExhausted, e.Text) }

func (x *Stream) tooLarge(text string) {
	if tell := x.conn.options.TooLarge; tell != nil {
		tell()
	}
	x.Refuse(&TooLarge{text})
}

// Refuse has Take say what is wrong behind what has come, and nothing more be taken in.
func (x *Stream) Refuse(why error) {
	x.Wrong = why
	x.cut()
	poke(x.come)
}

// cut lets the message go that has not come wholly.
func (x *Stream) cut() {
	x.conn.held -= len(x.partial)
	x.partial = nil
}

// OnEnd: the peer has said all.
func (x *Stream) OnEnd() {
	if x.Ended = true; len(x.partial) > 0 && x.Wrong == nil {
		x.Refuse(status.Error(codes.Internal, "rpc: the stream ends within a message"))
	}
	poke(x.come)
}

// OnRoom: there is room for more.
func (x *Stream) OnRoom() { poke(x.room) }

// Over says that nothing more comes or goes. What has come can still be taken.
func (x *Stream) Over() {
	x.HTTP = nil
	x.cut()
	poke(x.come)
	poke(x.room)
}

// Close lets what has come go, and what still comes: why is what Take says from now on.
func (x *Stream) Close(why error) {
	x.Refuse(why)
	x.Drop()
	if x.stalled && x.HTTP != nil { // so that the stream can end when all has come
		x.stalled = false
		x.HTTP.Again()
	}
}

// Drop lets what has come go. Nobody takes it any more.
func (x *Stream) Drop() {
	x.conn.held -= x.waiting
	x.inbox, x.waiting = nil, 0
	x.cut()
}

// Stalled says that more has come than is held for who takes it, and Waiting how many bytes are.
func (x *Stream) Stalled() bool { return x.stalled }
func (x *Stream) Waiting() int  { return x.waiting }

// errOver is what is said to who takes from a call whose other side has gone.
var errOver = status.Error(codes.Canceled, "rpc: the other side has gone")

// Take waits for a message, which is the caller's then: a buffer, and where in it the message begins. io.EOF: there are no more.
func (x *Stream) Take(ctx context.Context) (buffer []byte, at int, err error) {
	c := x.conn
	for {
		c.Lock()
		if len(x.inbox) > 0 {
			b := x.inbox[0]
			x.inbox[0] = nil
			if x.inbox = x.inbox[1:]; len(x.inbox) == 0 {
				x.inbox = nil
			}
			c.held -= len(b)
			if x.waiting -= len(b); x.stalled && x.waiting <= inbox {
				x.stalled = false
				if x.HTTP != nil {
					x.HTTP.Again()
					c.Codec.Feed(nil) // what is wrong with it is said to who reads
					c.Flush()
				}
			}
			c.Unlock()
			return b, prefix, nil
		}
		wrong, ended, gone := x.Wrong, x.Ended, x.HTTP == nil
		c.Unlock()
		switch {
		case wrong != nil:
			return nil, 0, wrong
		case ended:
			return nil, 0, io.EOF
		case gone:
			return nil, 0, errOver
		}
		select {
		case <-x.come:
		case <-ctx.Done():
			return nil, 0, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// stages are where many small pieces of a message become one.
var stages = sync.Pool{New: func() any { return new([http2.DefaultMaxFrameSize]byte) }}

// Send sends a message; last: there are no more. It returns when all but a bounded rest of it is with the kernel, or with an error when its reader does not read for
// too long.
func (x *Stream) Send(ctx context.Context, m mem.BufferSlice, last bool) error {
	c := x.conn
	stage := stages.Get().(*[http2.DefaultMaxFrameSize]byte)
	defer stages.Put(stage)
	staged := append(stage[:0], 0)
	staged = binary.BigEndian.AppendUint32(staged, uint32(m.Len()))
	c.Lock()
	defer c.Unlock()
	for _, one := range m {
		for b := one.ReadOnlyData(); len(b) > 0; {
			n := min(len(b), cap(staged)-len(staged))
			staged, b = append(staged, b[:n]...), b[n:]
			if len(staged) == cap(staged) {
				if err := x.write(ctx, staged, false); err != nil {
					return err
				}
				staged = staged[:0]
			}
		}
	}
	if err := x.write(ctx, staged, last); err != nil {
		return err
	}
	if c.Flush() != nil {
		return errLost
	}
	return nil
}

// ErrStuck is what is said to who sends to a peer who does not read.
var ErrStuck = status.Errorf(codes.DeadlineExceeded, "rpc: the other side has not read for %v", Patience)

var errLost = status.Error(codes.Unavailable, "rpc: the connection is lost")

// write hands bytes on, once there is room for them. It is called with the lock held, and lets it go while it waits.
func (x *Stream) write(ctx context.Context, b []byte, last bool) error {
	c := x.conn
	for x.HTTP != nil && ctx.Err() == nil && c.full() {
		if c.Flush() != nil {
			return errLost
		}
		if c.full() {
			c.written.Wait() // whoever writes has a deadline
		}
	}
	if err := x.await(ctx); err != nil {
		return err
	}
	x.HTTP.Data(b, last)
	return nil
}

// await waits until little waits for the peer's window. It is called with the lock held, and lets it go meanwhile.
func (x *Stream) await(ctx context.Context) error {
	c := x.conn
	var late *time.Timer
	for x.HTTP != nil && x.HTTP.Queued() > maxQueued {
		if c.Flush() != nil {
			return errLost
		}
		if late == nil {
			late = time.NewTimer(Patience)
			defer late.Stop()
		}
		if x.HTTP == nil || x.HTTP.Queued() <= maxQueued {
			continue
		}
		c.Unlock()
		stuck := false
		select {
		case <-x.room:
		case <-ctx.Done():
		case <-late.C:
			stuck = true
		}
		c.Lock()
		if err := ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
		if stuck {
			return ErrStuck
		}
	}
	if x.HTTP == nil {
		return errLost
	}
	return nil
}
