package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/test/calls"
)

// play is a server that others wrote, with a service of the test's: one is how /test/One is answered, many how /test/Many is.
func play(t *testing.T, one func(context.Context, []byte) ([]byte, error), many func(grpc.ServerStream) error) (Target, *grpc.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	s.RegisterService(calls.Service(one, many), nil)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return to(l.Addr().(*net.TCPAddr)), s
}

func to(a *net.TCPAddr) Target {
	return Target{Cluster: &config.Cluster{Name: "plane", ConnectTimeout: time.Second}, Endpoints: []*config.Endpoint{at(a.AddrPort())}}
}

func dial(t *testing.T, target Target) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-c.done
		if n := c.line.Codec.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
	return c
}

// A server of grpc-go is called: messages of all sizes about the bounds of frames, windows and buffers, there and back.
func TestMessagesOfAllSizes(t *testing.T) {
	target, _ := play(t, calls.Echo, calls.Echoes)
	calls.OfAllSizes(t, dial(t, target), 4<<20) // that server takes no larger ones
}

// How a call has ended, and what was said beside it, is as with grpc-go.
func TestHowCallsEnd(t *testing.T) {
	target, server := play(t, func(ctx context.Context, b []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		end, limited := ctx.Deadline()
		switch string(b) {
		case "beside":
			return []byte(strings.Join(append(md.Get("x-token"), md.Get("x-blob-bin")...), "|")), nil
		case "until":
			if !limited || time.Until(end) > time.Minute || time.Until(end) < 50*time.Second {
				return nil, errors.New("another deadline")
			}
			return nil, nil
		}
		return nil, status.Error(codes.FailedPrecondition, "nät so\n%41 "+string(b))
	}, func(s grpc.ServerStream) error {
		s.SetHeader(metadata.Pairs("x-first", "1"))
		s.SetTrailer(metadata.Pairs("x-last-bin", "\x00\xff"))
		s.SendMsg(wrapperspb.Bytes([]byte("only")))
		return status.Error(codes.Aborted, "enough")
	})
	target.Metadata = "x-token: a b\nx-blob-bin: \x01\x02\n"
	conn := dial(t, target)
	ask := func(ctx context.Context, method, text string) (string, error) {
		out := &wrapperspb.BytesValue{}
		err := conn.Invoke(ctx, method, wrapperspb.Bytes([]byte(text)), out)
		return string(out.Value), err
	}
	if got, err := ask(t.Context(), "/test/One", "beside"); err != nil || got != "a b|\x01\x02" {
		t.Errorf("%q, %v", got, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := ask(soon, "/test/One", "until"); err != nil {
		t.Error(err)
	}
	if _, err := ask(t.Context(), "/test/One", "x"); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "nät so\n%41 x" {
		t.Errorf("%v", err)
	}
	if _, err := ask(t.Context(), "/test/Other", ""); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
	stream, err := conn.NewStream(t.Context(), calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := stream.Header(); err != nil || h.Get("x-first")[0] != "1" {
		t.Errorf("%v, %v", h, err)
	}
	var body Body
	if err := stream.RecvMsg(&body); err != nil || string(body.Bytes()) != "\n\x04only" {
		t.Errorf("%q, %v", body.Bytes(), err)
	}
	body.Free()
	if err := stream.RecvMsg(&body); status.Code(err) != codes.Aborted {
		t.Errorf("%v", err)
	}
	if got := stream.Trailer().Get("x-last-bin"); len(got) != 1 || got[0] != "\x00\xff" {
		t.Errorf("%q", got)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := ask(ended, "/test/One", ""); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
	server.Stop()
	<-conn.done
	if _, err := ask(t.Context(), "/test/One", ""); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// Who gives up has the server hear of it, and a call whose context ends says so.
func TestGivingUp(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	target, _ := play(t, calls.Echo, func(s grpc.ServerStream) error {
		close(begun)
		<-s.Context().Done()
		close(over)
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := dial(t, target).NewStream(ctx, calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	if err := stream.RecvMsg(&Body{}); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
	<-over
}

// Messages that nobody takes wait with the server, and what is sent to who does not read waits with the caller.
func TestWhoDoesNotTakeIsNotGivenMore(t *testing.T) {
	const size, count = 100_000, 300
	sent := make(chan int, count)
	target, _ := play(t, calls.Echo, func(s grpc.ServerStream) error {
		for i := range count {
			if err := s.SendMsg(wrapperspb.Bytes(bytes.Repeat([]byte{byte(i)}, size))); err != nil {
				return err
			}
			sent <- i
		}
		return nil
	})
	conn := dial(t, target)
	stream, err := conn.NewStream(t.Context(), calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	for range 40 { // which is about what the window takes; were it without a bound, the server would go on to the end
		<-sent
	}
	conn.line.Lock()
	if held := conn.line.Held(); held > 64<<10+2*size {
		t.Errorf("%d bytes are held", held)
	}
	conn.line.Unlock()
	for i := range count {
		m := &wrapperspb.BytesValue{}
		if err := stream.RecvMsg(m); err != nil || len(m.Value) != size || m.Value[0] != byte(i) {
			t.Fatalf("message %d: %d bytes, %v", i, len(m.Value), err)
		}
	}
	if err := stream.RecvMsg(&Body{}); err != io.EOF {
		t.Error(err)
	}
}

// GOAWAY lets calls end and takes no others.
func TestAServerThatLeaves(t *testing.T) {
	target, server := play(t, calls.Echo, calls.Echoes)
	conn := dial(t, target)
	stream, err := conn.NewStream(t.Context(), calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	turn := func() error {
		if err := stream.SendMsg(wrapperspb.Bytes([]byte("x"))); err != nil {
			return err
		}
		return stream.RecvMsg(&wrapperspb.BytesValue{})
	}
	if err := turn(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { server.GracefulStop(); close(done) }()
	for leaving := false; !leaving; {
		if err := turn(); err != nil {
			t.Fatal(err)
		}
		conn.line.Lock()
		leaving = conn.leaving
		conn.line.Unlock()
	}
	if _, err := conn.NewStream(t.Context(), calls.Both, "/test/Many"); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if err := turn(); err != nil {
		t.Error(err)
	}
	stream.CloseSend()
	if err := stream.RecvMsg(&Body{}); err != io.EOF {
		t.Error(err)
	}
	<-done
}

// within plays with the server's end of a connection, in a bubble of time.
func within(t *testing.T, alive *config.HTTP2Alive, play func(f *http2.Framer, peer net.Conn), call func(c *Conn) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := open(t.Context(), client, client, "plane", alive)
		go play(http2.NewFramer(server, server), server)
		if err := call(c); err != nil {
			t.Error(err)
		}
		c.Close()
		server.Close()
		<-c.done
	})
}

func swallow(r io.Reader) { io.Copy(io.Discard, r) }

// called greets and waits for a call. What comes is not looked at otherwise.
func called(f *http2.Framer, peer net.Conn) {
	came := make(chan struct{})
	go func() { // beside what is written, since a pipe holds nothing
		defer swallow(peer)
		defer close(came)
		io.CopyN(io.Discard, peer, int64(len(http2.ClientPreface)))
		for {
			frame, err := f.ReadFrame()
			if _, ok := frame.(*http2.HeadersFrame); ok || err != nil {
				return
			}
		}
	}()
	f.WriteSettings()
	<-came
}

// A server that says nothing at all is not waited for, nor one that does not answer when it is asked whether it is there.
func TestPatience(t *testing.T) {
	ends := func(after time.Duration, why string) func(c *Conn) error {
		return func(c *Conn) error {
			begun := time.Now()
			err := c.Invoke(context.Background(), "/test/One", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{})
			if took := time.Since(begun); took != after || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), why) {
				return errors.Join(errors.New("after "+took.String()), err)
			}
			return nil
		}
	}
	within(t, nil, func(_ *http2.Framer, peer net.Conn) { swallow(peer) }, ends(greeting, "speaks HTTP/2"))
	greets := func(f *http2.Framer, peer net.Conn) {
		go swallow(peer)
		f.WriteSettings()
	}
	within(t, &config.HTTP2Alive{Interval: 20 * time.Second, Timeout: 3 * time.Second}, greets, ends(23*time.Second, "that it is there"))
}

// What is no answer of gRPC is said.
func TestWrongAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(f *http2.Framer)
		code   codes.Code
		why    string
	}{
		"compressed":       {func(f *http2.Framer) { f.WriteData(1, false, []byte{1, 0, 0, 0, 0}) }, codes.Unimplemented, "compressed"},
		"too large":        {func(f *http2.Framer) { f.WriteData(1, false, []byte{0, 0xff, 0, 0, 0}) }, codes.ResourceExhausted, "at most"},
		"without a status": {func(f *http2.Framer) { f.WriteData(1, true, nil) }, codes.Internal, "without a status"},
		"half a message":   {func(f *http2.Framer) { f.WriteData(1, true, []byte{0, 0, 0, 0, 9, 1}) }, codes.Internal, ""},
		"reset":            {func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeEnhanceYourCalm) }, codes.ResourceExhausted, "ENHANCE_YOUR_CALM"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, nil, func(f *http2.Framer, peer net.Conn) {
				called(f, peer)
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: []byte("\x88\x0f\x10\x10application/grpc")}) // :status 200, content-type
				c.answer(f)
			}, func(conn *Conn) error {
				if stream, err := conn.NewStream(context.Background(), calls.Both, "/test/Many"); err != nil {
					return err
				} else if _, err := stream.Header(); err != nil {
					return err
				} else if err := stream.RecvMsg(&Body{}); status.Code(err) != c.code || !strings.Contains(err.Error(), c.why) {
					t.Errorf("%v", err)
				}
				return nil
			})
		})
	}
	within(t, nil, func(f *http2.Framer, peer net.Conn) {
		called(f, peer)
		f.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	}, func(conn *Conn) error {
		stream, err := conn.NewStream(context.Background(), calls.Both, "/test/Many")
		if err != nil {
			return err
		}
		if _, err := stream.Header(); status.Code(err) != codes.Unavailable {
			t.Errorf("%v", err)
		}
		return nil
	})
}

// A call that is given up while its connection is stuck returns at once, and what has come of calls that nobody takes is not held.
func TestWhatIsGivenUpIsNotHeld(t *testing.T) {
	within(t, nil, func(f *http2.Framer, peer net.Conn) {
		called(f, peer)
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: []byte("\x88\x0f\x10\x10application/grpc")})
		f.WriteData(1, false, append([]byte{0, 0, 0, 0x20, 0}, make([]byte, 0x2000)...))
	}, func(c *Conn) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := c.NewStream(ctx, calls.Both, "/test/Many")
		if err != nil {
			return err
		}
		if _, err := stream.Header(); err != nil {
			return err
		}
		time.Sleep(time.Second)
		held := func() int {
			c.line.Lock()
			defer c.line.Unlock()
			return c.line.Held()
		}
		if held() == 0 {
			t.Error("what has come is not there")
		}
		cancel()
		time.Sleep(time.Second)
		if n := held(); n != 0 {
			t.Errorf("%d bytes are held of a call that is over", n)
		}
		if err := c.Invoke(context.Background(), "/test/One", "no message", nil); status.Code(err) != codes.Internal {
			t.Errorf("%v", err)
		}
		c.line.Lock()
		defer c.line.Unlock()
		if n := c.line.Codec.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		return nil
	})
	within(t, nil, func(f *http2.Framer, peer net.Conn) { // and who has answered with more than was taken
		called(f, peer)
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: []byte("\x88\x0f\x10\x10application/grpc")})
		f.WriteData(1, false, []byte{0, 0, 0, 0, 1, 'a'})
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: []byte("\x00\x0bgrpc-status\x010")})
	}, func(c *Conn) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := c.NewStream(ctx, calls.Both, "/test/Many")
		if err != nil {
			return err
		}
		stream.CloseSend()
		if _, err := stream.Header(); err != nil {
			return err
		}
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Second)
		c.line.Lock()
		n := c.line.Held()
		c.line.Unlock()
		if err := stream.RecvMsg(&Body{}); n != 0 || status.Code(err) != codes.Canceled {
			t.Errorf("%d bytes are held; %v", n, err)
		}
		return nil
	})
	within(t, nil, func(f *http2.Framer, peer net.Conn) { // who says that there is room for much, and reads nothing
		io.CopyN(io.Discard, peer, int64(len(http2.ClientPreface)))
		go f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		f.ReadFrame()
	}, func(c *Conn) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		err := c.Invoke(ctx, "/test/One", wrapperspb.Bytes(make([]byte, 1<<20)), &wrapperspb.BytesValue{})
		if took := time.Since(begun); status.Code(err) != codes.DeadlineExceeded || took > 2*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		return nil
	})
}
