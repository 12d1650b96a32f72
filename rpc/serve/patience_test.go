package serve

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/calls"
)

// pipes is a listener without a network, so that time can be the test's.
type pipes struct {
	net.Listener
	come chan net.Conn
	once sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.come
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.come) })
	return nil
}

// within plays with one connection in a bubble, whose client's end it is given. What handlers return is told.
func within(t *testing.T, many func(grpc.ServerStream) error, play func(t *testing.T, client net.Conn, stats *telemetry.Owner, ended <-chan error)) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		stats := telemetry.NewStore(1).Acquire(Stats, "rpc")
		s := New(Options{Codec: encoding.GetCodecV2("proto"), MaxMessage: 1 << 20, MaxConnections: 1, Stats: stats.Loop(0)})
		s.RegisterService(calls.Service(calls.Echo, func(stream grpc.ServerStream) error {
			err := many(stream)
			ended <- err
			return err
		}), nil)
		l := &pipes{come: make(chan net.Conn)}
		go s.Serve(l)
		client, server := net.Pipe()
		l.come <- server
		play(t, client, stats, ended)
		client.Close()
		s.Stop()
	})
}

// greet begins a connection, and a call.
func greet(client net.Conn, call bool) *raw {
	r := &raw{Conn: client, Framer: http2.NewFramer(client, client)}
	go func() {
		r.mu.Lock()
		io.WriteString(client, http2.ClientPreface)
		r.WriteSettings()
		r.WriteSettingsAck()
		r.mu.Unlock()
		if call {
			r.call(1, false)
		}
	}()
	return r
}

// lasts reads, answers pings if it is to, and says how long the connection was there.
func (r *raw) lasts(answers bool) time.Duration {
	began := time.Now()
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return time.Since(began)
		}
		if p, ok := f.(*http2.PingFrame); ok && answers && !p.IsAck() {
			r.mu.Lock()
			r.WritePing(true, p.Data)
			r.mu.Unlock()
		}
	}
}

// Nobody is waited for for ever: not who does not begin, nor who has gone without a word, nor who has nothing to ask.
func TestPatienceEnds(t *testing.T) {
	within(t, calls.Echoes, func(t *testing.T, client net.Conn, _ *telemetry.Owner, _ <-chan error) {
		began := time.Now()
		io.Copy(io.Discard, client)
		if d := time.Since(began); d != greeting {
			t.Errorf("who says nothing is let go after %v", d)
		}
	})
	within(t, calls.Echoes, func(t *testing.T, client net.Conn, stats *telemetry.Owner, _ <-chan error) {
		go io.Copy(io.Discard, client) // what it says first
		greet(client, true)
		synctest.Wait()
		if time.Sleep(alive + aliveAnswer - time.Second); stats.Sum(connectionsNow) != 1 {
			t.Error("it is gone too early")
		}
		if time.Sleep(2 * time.Second); stats.Sum(connectionsNow) != 0 || stats.Sum(unanswered) != 1 {
			t.Error("who does not say that he is there is kept")
		}
	})
	within(t, calls.Echoes, func(t *testing.T, client net.Conn, _ *telemetry.Owner, _ <-chan error) {
		r := greet(client, false)
		if d := r.lasts(true); d < unused || d > unused+alive {
			t.Errorf("who calls nobody is let go after %v", d)
		}
	})
	within(t, calls.Echoes, func(t *testing.T, client net.Conn, _ *telemetry.Owner, _ <-chan error) {
		r := greet(client, true)
		time.AfterFunc(time.Hour, func() { client.Close() })
		if d := r.lasts(true); d != time.Hour {
			t.Errorf("who answers is let go after %v", d)
		}
	})
}

// Who calls a method that takes one message, and does not send it, is answered all the same.
func TestWhoDoesNotSpeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Codec: encoding.GetCodecV2("proto"), MaxMessage: 1 << 20, MaxConnections: 1})
		s.RegisterService(&grpc.ServiceDesc{ServiceName: "test", Methods: []grpc.MethodDesc{{MethodName: "Many", Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return nil, read(&wrapperspb.BytesValue{})
		}}}}, nil)
		l := &pipes{come: make(chan net.Conn)}
		go s.Serve(l)
		client, server := net.Pipe()
		l.come <- server
		began := time.Now()
		r := greet(client, true)
		for {
			f, err := r.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if h, ok := f.(*http2.HeadersFrame); ok && h.StreamEnded() {
				break
			}
		}
		if d := time.Since(began); d != speaking {
			t.Errorf("it is answered after %v", d)
		}
		client.Close()
		s.Stop()
	})
}

// Who does not read is not waited for for longer than a minute: neither for the kernel to take more, which ends the connection, nor for a window, which ends
// the call.
func TestWhoDoesNotRead(t *testing.T) {
	floods := func(stream grpc.ServerStream) (err error) {
		for err == nil {
			err = stream.SendMsg(wrapperspb.Bytes(make([]byte, 30_000)))
		}
		return err
	}
	within(t, floods, func(t *testing.T, client net.Conn, stats *telemetry.Owner, _ <-chan error) {
		greet(client, true).ReadFrame() // its settings
		time.Sleep(line.Patience + time.Second)
		if stats.Sum(connectionsNow) != 0 {
			t.Error("a connection is kept whose client does not read")
		}
	})
	within(t, floods, func(t *testing.T, client net.Conn, stats *telemetry.Owner, ended <-chan error) {
		r := greet(client, true)
		go r.lasts(true)
		began := time.Now()
		err := <-ended
		if d := time.Since(began); status.Code(err) != codes.DeadlineExceeded || d != line.Patience || stats.Sum(stuck) != 1 {
			t.Errorf("who gives no window: after %v: %v; %d counted", d, err, stats.Sum(stuck))
		}
	})
}
