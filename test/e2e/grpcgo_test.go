package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// asked is the context of a call, with a deadline that no test should see.
func asked(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// wantCode tells whether a call ended as it should.
func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%v, want %v: %v", got, want, err)
	}
}

// The four kinds of calls of grpc-go, without TLS and with TLS on both sides: messages come whole, in order, and no matter how large; metadata
// comes as it was sent, both ways.
func TestGRPCGo(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	own := a.Issue("back", []string{"back.test"}, nil)
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			t.Parallel()
			g, listener, cluster := &GRPC{Unary: returnMetadata}, HTTPListener(All), Speaks2()
			var conf *tls.Config
			if secure {
				ServeGRPC(t, g, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{own}})))
				listener = Secured(listener, DownstreamTLS("alpn_protocols: [h2, http/1.1], tls_certificates: ["+a.Source("front")+"]", ""))
				cluster += "\n" + UpstreamTLS("alpn_protocols: [h2], validation_context: "+a.Trusts(""), "sni: back.test")
				conf = &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"}
			} else {
				ServeGRPC(t, g)
			}
			p := Start(t, Bootstrap(listener, Cluster("up", g.Port, cluster)))
			c, _ := DialGRPC(t, p.Address(), conf)

			t.Run("metadata", func(t *testing.T) { exchangeMetadata(t, c) })
			for _, size := range []int{0, 1, 1 << 20, 16 << 20} {
				for _, compression := range []string{"identity", "gzip"} {
					r, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(size, 'u')}, grpc.UseCompressor(compression))
					if err != nil || !bytes.Equal(r.Payload.GetBody(), payload(size, 'u').Body) {
						t.Fatalf("unary, %d bytes, %s: %d came back, %v", size, compression, len(r.GetPayload().GetBody()), err)
					}
				}
			}

			sizes := []int32{0, 1, 31415, 9, 1 << 20, 0, 2653}
			ask, sum := &grpc_testing.StreamingOutputCallRequest{}, 0
			for _, n := range sizes {
				ask.ResponseParameters = append(ask.ResponseParameters, &grpc_testing.ResponseParameters{Size: n})
			}
			down, err := c.StreamingOutputCall(asked(t), ask)
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range sizes {
				if r, err := down.Recv(); err != nil || !bytes.Equal(r.Payload.GetBody(), payload(int(n), byte(i)).Body) {
					t.Fatalf("server streaming: message %d: %v", i, err)
				}
			}
			if _, err := down.Recv(); err != io.EOF {
				t.Errorf("server streaming ends with %v", err)
			}

			up, err := c.StreamingInputCall(asked(t))
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range sizes {
				if err := up.Send(&grpc_testing.StreamingInputCallRequest{Payload: payload(int(n), byte(i))}); err != nil {
					t.Fatal(err)
				}
				sum += int(n)
			}
			if r, err := up.CloseAndRecv(); err != nil || int(r.AggregatedPayloadSize) != sum {
				t.Errorf("client streaming: %v %v", r, err)
			}

			// One after the other, and then without waiting.
			both, err := c.FullDuplexCall(asked(t))
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range sizes {
				if err := both.Send(&grpc_testing.StreamingOutputCallRequest{Payload: payload(int(n), byte(i))}); err != nil {
					t.Fatal(err)
				}
				if r, err := both.Recv(); err != nil || !bytes.Equal(r.Payload.GetBody(), payload(int(n), byte(i)).Body) {
					t.Fatalf("bidirectional: message %d: %v", i, err)
				}
			}
			const many = 5000
			go func() {
				for i := range many {
					if both.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: fmt.Append(nil, i)}}) != nil {
						return
					}
				}
				both.CloseSend()
			}()
			for i := range many {
				if r, err := both.Recv(); err != nil || string(r.Payload.GetBody()) != fmt.Sprint(i) {
					t.Fatalf("small message %d is %q, %v", i, r.GetPayload().GetBody(), err)
				}
			}
			if _, err := both.Recv(); err != io.EOF {
				t.Errorf("bidirectional ends with %v", err)
			}
			if n := p.Stat("http.http.downstream_cx_http2_total"); n != 1 {
				t.Errorf("%d connections", n)
			}
			p.WantStat("http.http.downstream_rq_active", 0)
			p.WantStat("cluster.up.upstream_rq_active", 0)
		})
	}
}

// returnMetadata sends what it was sent back, in the head and in the trailers.
func returnMetadata(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	head, trailer := metadata.MD{}, metadata.MD{}
	for name, values := range in {
		if strings.HasPrefix(name, "x-t-") {
			head.Append("x-h"+name[3:], values...)
			trailer.Append(name, values...)
		}
	}
	grpc.SetHeader(ctx, head)
	grpc.SetTrailer(ctx, trailer)
	return &grpc_testing.SimpleResponse{Payload: r.Payload}, nil
}

func exchangeMetadata(t *testing.T, c grpc_testing.TestServiceClient) {
	sent := metadata.MD{"x-t-long": {strings.Repeat("v", 20_000)}, "x-t-empty": {""}, "x-t-blank": {"a  b, c;d=\"e\""}, "x-t-ends": {"  a b "}}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	sent.Append("x-t-bin", string(every), "", "\x00", "\xff\xfe,", "plain")
	for i := range 60 {
		sent.Append("x-t-many", fmt.Sprint("value ", i))
	}
	for range 3 { // the same again is indexed by then
		var head, trailer metadata.MD
		if _, err := c.UnaryCall(metadata.NewOutgoingContext(asked(t), sent), &grpc_testing.SimpleRequest{}, grpc.Header(&head), grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		for name, want := range sent {
			if name == "x-t-ends" {
				want = []string{"a b"} // as gRPC allows: white space at the ends may go
			}
			if got := trailer[name]; !slices.Equal(got, want) {
				t.Errorf("trailer %s: %q, want %q", name, got, want)
			}
			if got := head["x-h"+name[3:]]; !slices.Equal(got, want) {
				t.Errorf("head %s: %q, want %q", name, got, want)
			}
		}
	}
}

// An error comes with its message and details, be it all that is answered or the end of what was.
func TestGRPCErrors(t *testing.T) {
	const message = "50 % of \"ünï\tcode\"\nwent wrong "
	failed := func() error {
		s, _ := status.New(codes.FailedPrecondition, message).WithDetails(wrapperspb.Bytes([]byte{0, 1, 0xff}), wrapperspb.String("more"))
		return s.Err()
	}
	g := ServeGRPC(t, &GRPC{
		Unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
			return nil, failed()
		},
		Down: func(_ *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
			s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(100_000, 1)})
			return failed()
		},
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", g.Port, Speaks2())))
	c, conn := DialGRPC(t, p.Address(), nil)
	want := func(err error) {
		t.Helper()
		s := status.Convert(err)
		if s.Code() != codes.FailedPrecondition || s.Message() != message || len(s.Details()) != 2 {
			t.Fatalf("%v", err)
		}
		if m := s.Details()[0].(proto.Message); !proto.Equal(m, wrapperspb.Bytes([]byte{0, 1, 0xff})) {
			t.Errorf("%v", m)
		}
	}
	_, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(100_000, 1)})
	want(err)
	s, err := c.StreamingOutputCall(asked(t), &grpc_testing.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Recv(); err != nil || len(r.Payload.Body) != 100_000 {
		t.Fatal(err)
	}
	_, err = s.Recv()
	want(err)
	_, err = c.EmptyCall(asked(t), &grpc_testing.Empty{})
	wantCode(t, err, codes.Unimplemented)
	wantCode(t, conn.Invoke(asked(t), "/no.such/Thing", &grpc_testing.Empty{}, &grpc_testing.Empty{}), codes.Unimplemented)
	p.WantStat("http.http.downstream_rq_active", 0)
}

// Deadlines: the server hears of the time that is left, less if so configured; who is too slow is not waited for, and what the proxy says then is
// what gRPC says.
func TestGRPCDeadlines(t *testing.T) {
	release := make(chan struct{})
	told, ended := make(chan time.Duration, 1), make(chan error, 1)
	g := ServeGRPC(t, &GRPC{Unary: func(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		d, ok := ctx.Deadline()
		if ok {
			told <- time.Until(d)
		} else {
			told <- 0
		}
		if r.FillUsername {
			<-ctx.Done()
			ended <- ctx.Err()
			<-release
		}
		return &grpc_testing.SimpleResponse{}, nil
	}})
	defer close(release)
	serve := func(route, more string) (*Proxy, grpc_testing.TestServiceClient) {
		p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, "+route+"}, "+more+"}]"), Cluster("up", g.Port, Speaks2())))
		c, _ := DialGRPC(t, p.Address(), nil)
		return p, c
	}
	within := func(from, to time.Duration) {
		t.Helper()
		if got := <-told; got < from || got > to {
			t.Errorf("the server has %v, want %v to %v", got, from, to)
		}
	}
	for route, want := range map[string][2]time.Duration{
		"timeout: 0s": {30 * time.Second, deadline},
		"timeout: 0s, max_stream_duration: {grpc_timeout_header_max: 20s}":                                  {5 * time.Second, 20 * time.Second},
		"timeout: 0s, max_stream_duration: {grpc_timeout_header_max: 90s, grpc_timeout_header_offset: 50s}": {0, 10 * time.Second},
		"max_grpc_timeout: 15s": {time.Second, 15 * time.Second},
	} {
		_, c := serve(route, "")
		if _, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{}); err != nil {
			t.Errorf("%s: %v", route, err)
		}
		within(want[0], want[1])
	}

	// The client's own end reaches the server, who does not know of it and would reset the call in the same moment.
	p, c := serve("timeout: 0s", "request_headers_to_remove: [grpc-timeout]")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := c.UnaryCall(ctx, &grpc_testing.SimpleRequest{FillUsername: true})
	wantCode(t, err, codes.DeadlineExceeded)
	<-told
	<-ended
	p.WantStat("cluster.up.upstream_rq_active", 0)

	// A route's end, which neither the client knows of nor the server, who would reset the call in the same moment.
	for route, code := range map[string]codes.Code{
		"timeout: 0s, max_stream_duration: {grpc_timeout_header_max: 0.05s}": codes.DeadlineExceeded,
		"timeout: 0s, max_stream_duration: {max_stream_duration: 0.05s}":     codes.DeadlineExceeded,
		"timeout: 0.05s": codes.Unavailable, // as a 504 is to gRPC
	} {
		p, c := serve(route, "request_headers_to_remove: [grpc-timeout]")
		_, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{FillUsername: true})
		if got := status.Code(err); got != code {
			t.Errorf("%s: %v", route, err)
		}
		<-told
		<-ended
		p.WantStat("cluster.up.upstream_rq_active", 0)
		p.WantStat("http.http.downstream_rq_active", 0)
	}
}

// Who gives up is heard on the other side.
func TestGRPCCancellation(t *testing.T) {
	ended := make(chan error, 1)
	g := ServeGRPC(t, &GRPC{
		Both: func(s grpc_testing.TestService_FullDuplexCallServer) error {
			for {
				r, err := s.Recv()
				if err != nil {
					ended <- s.Context().Err()
					return err
				}
				if r.Payload == nil {
					return status.Error(codes.Canceled, "enough")
				}
				s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.Payload})
			}
		},
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", g.Port, Speaks2())))
	c, _ := DialGRPC(t, p.Address(), nil)
	begin := func() (grpc_testing.TestService_FullDuplexCallClient, context.CancelFunc) {
		ctx, cancel := context.WithCancel(asked(t))
		s, err := c.FullDuplexCall(ctx)
		if err == nil {
			err = s.Send(&grpc_testing.StreamingOutputCallRequest{Payload: payload(10, 0)})
		}
		if err == nil {
			_, err = s.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		return s, cancel
	}
	s, cancel := begin()
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("the server's context says %v", err)
	}
	_, err := s.Recv()
	wantCode(t, err, codes.Canceled)
	p.WantStat("http.http.downstream_rq_rx_reset", 1)
	p.WantStat("cluster.up.upstream_rq_tx_reset", 1)

	// The server ends while the client still sends.
	s, cancel = begin()
	defer cancel()
	s.Send(&grpc_testing.StreamingOutputCallRequest{})
	_, err = s.Recv()
	wantCode(t, err, codes.Canceled)
	if m := status.Convert(err).Message(); m != "enough" {
		t.Errorf("%q", m)
	}
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	if n := p.Stat("http.http.downstream_cx_total") + p.Stat("cluster.up.upstream_cx_total"); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A thousand streams are open at once on one connection, and each gets its own.
func TestThousandStreams(t *testing.T) {
	g := ServeGRPC(t, &GRPC{})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", g.Port, Speaks2())))
	c, _ := DialGRPC(t, p.Address(), nil)
	const all = 1000
	var opened, done sync.WaitGroup
	counted := make(chan struct{})
	opened.Add(all)
	for i := range all {
		done.Go(func() {
			first := sync.OnceFunc(opened.Done)
			defer first()
			s, err := c.FullDuplexCall(asked(t))
			for n := 0; n < 4 && err == nil; n++ {
				want := fmt.Sprint(i, " ", n)
				if err = s.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(want)}}); err == nil {
					var r *grpc_testing.StreamingOutputCallResponse
					if r, err = s.Recv(); err == nil && string(r.Payload.Body) != want {
						err = fmt.Errorf("%q instead of %q", r.Payload.Body, want)
					}
				}
				if n == 0 {
					first()
					<-counted
				}
			}
			if err == nil {
				s.CloseSend()
				_, err = s.Recv()
			}
			if err != io.EOF {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	opened.Wait()
	if n := p.Stat("http.http.downstream_rq_active"); n != all {
		t.Errorf("%d active", n)
	}
	close(counted)
	done.Wait()
	if n := p.Stat("http.http.downstream_cx_total"); n != 1 {
		t.Errorf("%d connections", n)
	}
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// Who does not read is not sent more than its windows hold, from end to end, in either direction; others on the same connections are served
// meanwhile, and when it reads on all of it comes.
func TestGRPCBackPressure(t *testing.T) {
	const piece = 64 << 10
	var sent, uploaded atomic.Int64
	read := make(chan struct{})
	g := ServeGRPC(t, &GRPC{
		Down: func(_ *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
			for m := (&grpc_testing.StreamingOutputCallResponse{Payload: payload(piece, 0)}); ; sent.Add(1) {
				if err := s.Send(m); err != nil {
					return err
				}
			}
		},
		Up: func(s grpc_testing.TestService_StreamingInputCallServer) error {
			<-read
			n := 0
			for {
				if _, err := s.Recv(); err != nil {
					return s.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
				}
				n++
			}
		},
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", g.Port, Speaks2())))
	c, _ := DialGRPC(t, p.Address(), nil)
	before := heap()

	// blocked waits until no more is sent while others are served, and says how much was.
	blocked := func(sent *atomic.Int64) int64 {
		t.Helper()
		for n := int64(-1); ; {
			for range 100 {
				if _, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(1000, 0)}); err != nil {
					t.Fatal(err)
				}
			}
			now := sent.Load()
			if now == n && now > 0 {
				return now
			}
			if n = now; n > 64<<20/piece {
				t.Fatalf("%d bytes are sent to somebody who does not read", n*piece)
			}
		}
	}
	ctx, cancel := context.WithCancel(asked(t))
	down, err := c.StreamingOutputCall(ctx, &grpc_testing.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	held := blocked(&sent)
	if after := heap(); held*piece > 2<<20 || after > before+8<<20 {
		t.Errorf("%d bytes wait for one who does not read; %d more are live", held*piece, after-before)
	}
	for i := range held + 100 {
		if r, err := down.Recv(); err != nil || len(r.Payload.Body) != piece {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	cancel()
	p.WantStat("cluster.up.upstream_rq_active", 0)

	up, err := c.StreamingInputCall(asked(t))
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for m := (&grpc_testing.StreamingInputCallRequest{Payload: payload(piece, 0)}); up.Send(m) == nil; {
			uploaded.Add(1)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	held = blocked(&uploaded)
	if after := heap(); held*piece > 2<<20 || after > before+8<<20 {
		t.Errorf("%d bytes wait for a server that does not read; %d more are live", held*piece, after-before)
	}
	close(read)
	p.Eventually("the client sends on", func() bool { return uploaded.Load() > held+100 })
	close(stop)
	<-stopped
	if r, err := up.CloseAndRecv(); err != nil || int64(r.AggregatedPayloadSize) != uploaded.Load() {
		t.Errorf("%v of %d messages, %v", r, uploaded.Load(), err)
	}
	p.WantStat("cluster.up.upstream_rq_active", 0)
}
