package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // so that a client can compress
	_ "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/calls"
)

// stage is a server with a service of the test's, which clients that others wrote call.
type stage struct {
	*Server
	address string
	stats   *telemetry.Owner
}

// play serves: one is how /test/One is answered, many how /test/Many is.
func play(t testing.TB, secure *tls.Config, one func(context.Context, []byte) ([]byte, error), many func(grpc.ServerStream) error) *stage {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{address: l.Addr().String(), stats: telemetry.NewStore(1).Acquire(Stats, "rpc")}
	s.Server = New(Options{TLS: secure, Codec: encoding.GetCodecV2("proto"), MaxMessage: 1 << 20, MaxConnections: 50, Stats: s.stats.Loop(0)})
	s.RegisterService(calls.Service(one, many), nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.stats.Sum(connectionsNow); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return s
}

func (s *stage) dial(t testing.TB, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	if c == nil {
		c = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(c), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// What a client of grpc-go calls is answered: messages of all sizes about the bounds of frames, windows and buffers, there and back.
func TestMessagesOfAllSizes(t *testing.T) {
	calls.OfAllSizes(t, play(t, nil, calls.Echo, calls.Echoes).dial(t, nil), 1<<20) // that play takes no larger ones
}

// Messages that come faster than they are taken wait with their sender, in order.
func TestWhoDoesNotTakeIsNotGivenMore(t *testing.T) {
	begin, taken, called := make(chan struct{}), make(chan error, 1), make(chan *Call, 1)
	const count, size = 400, 10_000
	s := play(t, nil, calls.Echo, func(stream grpc.ServerStream) error {
		called <- stream.(*Call)
		<-begin
		for i := range count {
			m := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(m); err != nil || len(m.Value) != size || m.Value[0] != byte(i) {
				taken <- errors.Join(errors.New("wrong message"), err)
				return err
			}
		}
		taken <- nil
		return nil
	})
	stream, err := s.dial(t, nil).NewStream(t.Context(), calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			if err := stream.SendMsg(wrapperspb.Bytes(bytes.Repeat([]byte{byte(i)}, size))); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	x := <-called
	for stalled := false; !stalled; runtime.Gosched() { // until it has what it takes, and says so
		x.conn.line.Lock()
		stalled = x.Stalled()
		if most := 64<<10 + size + 16; x.Waiting() > most {
			t.Errorf("%d bytes wait: want %d at most", x.Waiting(), most)
		}
		x.conn.line.Unlock()
	}
	close(begin)
	for _, c := range []chan error{taken, sent} {
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
}

// How a call has ended, what was said beside it, and who called are as with grpc-go.
func TestWhatIsSaidBesideMessages(t *testing.T) {
	a := authority.New(t, t.TempDir())
	a.Issue("server", []string{"server.test"}, nil)
	pair := a.Issue("client", []string{"spiffe://cluster.local/ns/a/sa/b"}, nil)
	own, err := tls.LoadX509KeyPair(a.Dir+"/server.pem", a.Dir+"/server.key")
	if err != nil {
		t.Fatal(err)
	}
	s := play(t, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.Pool()}, func(ctx context.Context, b []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		p, _ := peer.FromContext(ctx)
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok || len(info.State.VerifiedChains) != 1 || info.State.VerifiedChains[0][0].URIs[0].String() != "spiffe://cluster.local/ns/a/sa/b" {
			return nil, status.Error(codes.Unauthenticated, "nobody")
		}
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer x" || md.Get("some-bin")[0] != "\x00\xff" {
			return nil, status.Errorf(codes.Internal, "came with %v", md)
		}
		if _, ok := ctx.Deadline(); !ok {
			return nil, status.Error(codes.Internal, "no deadline")
		}
		return nil, status.Errorf(codes.FailedPrecondition, "50%% of \n %s", b)
	}, func(stream grpc.ServerStream) error {
		stream.SetTrailer(metadata.Pairs("end", "1"))
		if err := stream.SendHeader(metadata.Pairs("begin", "2")); err != nil {
			return err
		}
		if stream.SetHeader(metadata.Pairs("late", "3")) == nil {
			return errors.New("a head was added to that is sent")
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	})
	conn := s.dial(t, credentials.NewTLS(&tls.Config{RootCAs: a.Pool(), ServerName: "server.test", Certificates: []tls.Certificate{pair}}))
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x", "some-bin", "\x00\xff"), time.Minute)
	defer cancel()
	err = conn.Invoke(ctx, "/test/One", wrapperspb.Bytes([]byte("äx")), &wrapperspb.BytesValue{})
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "50% of \n äx" {
		t.Errorf("it ends with %v", err)
	}
	if err := conn.Invoke(ctx, "/test/None", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("what is not there answers %v", err)
	}
	if err := conn.Invoke(ctx, "/test/One", wrapperspb.Bytes([]byte("x")), &wrapperspb.BytesValue{}, grpc.UseCompressor("gzip")); status.Code(err) != codes.Unimplemented {
		t.Errorf("what is compressed is answered with %v", err)
	}
	if err := conn.Invoke(ctx, "/test/One", wrapperspb.Bytes(make([]byte, 1<<20)), &wrapperspb.BytesValue{}); status.Code(err) != codes.ResourceExhausted || s.stats.Sum(messagesTooLarge) != 1 {
		t.Errorf("what is too large is answered with %v", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stream, err := conn.NewStream(brief, calls.Both, "/test/Many")
	if err != nil {
		t.Fatal(err)
	}
	head, err := stream.Header()
	if err != nil || len(head.Get("begin")) != 1 || len(head.Get("late")) != 0 {
		t.Errorf("head %v, %v", head, err)
	}
	if err := stream.RecvMsg(&wrapperspb.BytesValue{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("after its deadline: %v", err)
	}
}

// raw is a client that says frames.
type raw struct {
	net.Conn
	*http2.Framer
	mu sync.Mutex // of what is written, where there are several who write
}

func (s *stage) raw(t *testing.T) *raw {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newRaw(conn)
}

func newRaw(conn net.Conn) *raw {
	io.WriteString(conn, http2.ClientPreface)
	r := &raw{Conn: conn, Framer: http2.NewFramer(conn, conn)}
	r.WriteSettings()
	return r
}

func (r *raw) call(id uint32, end bool, more ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range append([]string{":method=POST", ":scheme=http", ":path=/test/Many", ":authority=x", "content-type=application/grpc"}, more...) {
		name, value, _ := strings.Cut(f, "=")
		e.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
}

// until reads frames until one is as wanted, or nothing comes any more.
func (r *raw) until(is func(http2.Frame) bool) error {
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		f, err := r.ReadFrame()
		if err != nil || is(f) {
			return err
		}
	}
}

// A client that opens calls and gives them up has no more of them run than a connection may have.
func TestCallsThatAreGivenUpCount(t *testing.T) {
	over := make(chan struct{})
	s := play(t, nil, calls.Echo, func(grpc.ServerStream) error {
		<-over // whatever becomes of its caller
		return nil
	})
	defer close(over)
	r := s.raw(t)
	for i := range uint32(2 * perConnection) {
		r.call(2*i+1, false)
		r.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	r.WritePing(false, [8]byte{1})
	if err := r.until(func(f http2.Frame) bool { p, ok := f.(*http2.PingFrame); return ok && p.IsAck() }); err != nil {
		t.Fatal(err)
	}
	if calls, refused := s.stats.Sum(callsTotal), s.stats.Sum(callsRefused); calls != perConnection || refused != perConnection {
		t.Errorf("%d calls run, %d were refused", calls, refused)
	}
}

// Messages that never come wholly are not kept without end, however many calls they are spread over.
func TestHalvesOfMessages(t *testing.T) {
	s := play(t, nil, calls.Echo, calls.Echoes)
	r := s.raw(t)
	most := s.MaxMessage + maxHeld
	half := make([]byte, 16<<10)
	heap := 0
	go func() {
		for id := uint32(1); id < 2*perConnection; id += 2 {
			r.call(id, false)
			r.WriteData(id, false, []byte{0, 0, 0x10, 0, 0})
			for range 4 { // within the stream's first window
				r.WriteData(id, false, half[:15<<10])
			}
		}
	}()
	err := r.until(func(f http2.Frame) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			c.line.Lock()
			heap = max(heap, c.line.Held())
			c.line.Unlock()
		}
		h, ok := f.(*http2.HeadersFrame)
		return ok && h.StreamEnded()
	})
	if err != nil || s.stats.Sum(messagesTooLarge) == 0 || heap > most+len(half) {
		t.Errorf("%v; %d refused; %d bytes are kept: want %d at most", err, s.stats.Sum(messagesTooLarge), heap, most)
	}
}

// Who has said all and gives up is heard of by the call's context.
func TestWhoGivesUpIsHeardOf(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	s := play(t, nil, calls.Echo, func(stream grpc.ServerStream) error {
		close(begun)
		<-stream.Context().Done()
		close(over)
		return nil
	})
	r := s.raw(t)
	r.call(1, true)
	<-begun
	r.WriteRSTStream(1, http2.ErrCodeNo)
	<-over
}

// Who asks without end whether we are there is let go, and told why; and who is told something may ask in between.
func TestPingsHaveABound(t *testing.T) {
	s := play(t, nil, calls.Echo, calls.Echoes)
	r := s.raw(t)
	for range patience + 2 { // the first is in time
		r.WritePing(false, [8]byte{1})
	}
	var why http2.ErrCode
	r.until(func(f http2.Frame) bool {
		if g, ok := f.(*http2.GoAwayFrame); ok {
			why = g.ErrCode
		}
		return false
	})
	if why != http2.ErrCodeEnhanceYourCalm || s.stats.Sum(pingedTooOften) != 1 {
		t.Errorf("it ends with %v", why)
	}
	r = s.raw(t)
	r.call(1, false)
	for i := range 2 * patience {
		r.WritePing(false, [8]byte{1})
		r.WriteData(1, false, make([]byte, 5)) // a message without content
		if err := r.until(func(f http2.Frame) bool { _, ok := f.(*http2.DataFrame); return ok }); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
	}
}

// Heads that are none of gRPC's are turned down, and what breaks HTTP/2 ends the connection.
func TestWhatIsNoCall(t *testing.T) {
	s := play(t, nil, calls.Echo, calls.Echoes)
	for _, more := range []string{"grpc-timeout=1", "grpc-timeout=123456789S", "grpc-timeout=1X", "x-bin=*"} {
		r := s.raw(t)
		r.call(1, true, more)
		got := ""
		d := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
			if f.Name == "grpc-status" {
				got = f.Value
			}
		})
		if err := r.until(func(f http2.Frame) bool {
			h, ok := f.(*http2.HeadersFrame)
			if ok {
				d.Write(h.HeaderBlockFragment())
			}
			return ok
		}); err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		if got != "13" {
			t.Errorf("%s: status %s", more, got)
		}
	}
	r := s.raw(t)
	r.WriteRawFrame(http2.FrameData, 0, 7, []byte("x")) // of a stream that is not there
	if err := r.until(func(http2.Frame) bool { return false }); err == nil || s.stats.Sum(protocolErrors) != 1 {
		t.Errorf("%v, %d counted", err, s.stats.Sum(protocolErrors))
	}
}

// There is an end to connections, and Stop ends what runs.
func TestConnectionsHaveABound(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{}, 1)
	s := play(t, nil, calls.Echo, func(stream grpc.ServerStream) error {
		close(begun)
		<-stream.Context().Done()
		ended <- struct{}{}
		return nil
	})
	first := s.raw(t)
	first.call(1, false)
	<-begun
	for range s.MaxConnections - 1 {
		s.raw(t).until(func(http2.Frame) bool { return true })
	}
	if err := s.raw(t).until(func(http2.Frame) bool { return false }); err == nil || s.stats.Sum(connectionsRefused) != 1 {
		t.Errorf("one too many: %v", err)
	}
	s.Stop()
	<-ended
}
