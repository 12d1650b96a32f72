package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"
)

// GRPC is a server of grpc-go with the service of gRPC's own interop tests. What a test does not say is answered as those want it, with what
// was sent.
type GRPC struct {
	grpc_testing.UnimplementedTestServiceServer
	Server *grpc.Server
	Port   int
	Health *health.Server // nil: there is none
	Unary  func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error)
	Down   func(*grpc_testing.StreamingOutputCallRequest, grpc_testing.TestService_StreamingOutputCallServer) error
	Up     func(grpc_testing.TestService_StreamingInputCallServer) error
	Both   func(grpc_testing.TestService_FullDuplexCallServer) error
	mu     sync.Mutex
	calls  int
}

// most bounds a message of either side.
const most = 64 << 20

// ServeGRPC starts a server; it is stopped, and its handlers awaited, when the test ends.
func ServeGRPC(t testing.TB, g *GRPC, options ...grpc.ServerOption) *GRPC {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.ServeOn(t, l, options...)
	return g
}

// ServeOn is ServeGRPC on a listener of one's own.
func (g *GRPC) ServeOn(t testing.TB, l net.Listener, options ...grpc.ServerOption) {
	g.Port = l.Addr().(*net.TCPAddr).Port
	g.Server = grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most), grpc.WaitForHandlers(true)}, options...)...)
	grpc_testing.RegisterTestServiceServer(g.Server, g)
	if g.Health != nil {
		grpc_health_v1.RegisterHealthServer(g.Server, g.Health)
	}
	ended := make(chan struct{})
	go func() {
		g.Server.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		g.Server.Stop()
		<-ended
	})
}

// Calls is how many have come.
func (g *GRPC) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *GRPC) called() {
	g.mu.Lock()
	g.calls++
	g.mu.Unlock()
}

// UnaryCall answers with the request's payload.
func (g *GRPC) UnaryCall(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	g.called()
	if g.Unary != nil {
		return g.Unary(ctx, r)
	}
	return &grpc_testing.SimpleResponse{Payload: r.Payload}, nil
}

// StreamingOutputCall sends messages of the sizes that were asked for.
func (g *GRPC) StreamingOutputCall(r *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
	g.called()
	if g.Down != nil {
		return g.Down(r, s)
	}
	for i, p := range r.ResponseParameters {
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: payload(int(p.Size), byte(i))}); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall answers with the number of bytes.
func (g *GRPC) StreamingInputCall(s grpc_testing.TestService_StreamingInputCallServer) error {
	g.called()
	if g.Up != nil {
		return g.Up(s)
	}
	sum := 0
	for {
		r, err := s.Recv()
		if err != nil {
			return s.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		sum += len(r.Payload.GetBody())
	}
}

// FullDuplexCall sends back each payload as it comes.
func (g *GRPC) FullDuplexCall(s grpc_testing.TestService_FullDuplexCallServer) error {
	g.called()
	if g.Both != nil {
		return g.Both(s)
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return nil
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// payload is n bytes that begin with one that tells it from others.
func payload(n int, first byte) *grpc_testing.Payload {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i*7)
	}
	return &grpc_testing.Payload{Body: b}
}

// DialGRPC makes a client of grpc-go for an address, or for a name with its scheme; conf is nil for one without TLS. It does not try again by
// itself.
func DialGRPC(t testing.TB, address string, conf *tls.Config, options ...grpc.DialOption) (grpc_testing.TestServiceClient, *grpc.ClientConn) {
	t.Helper()
	secrets := insecure.NewCredentials()
	if conf != nil {
		secrets = credentials.NewTLS(conf)
	}
	if !strings.Contains(address, "://") {
		address = "passthrough:///" + address
	}
	c, err := grpc.NewClient(address, append([]grpc.DialOption{grpc.WithTransportCredentials(secrets), grpc.WithNoProxy(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most))}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return grpc_testing.NewTestServiceClient(c), c
}
