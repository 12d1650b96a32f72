package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

// What happens to calls of grpc-go when servers are ill, slow, refuse, go or are gone, and when the proxy goes.

// calledAs answers each call with a name.
func calledAs(name string) *GRPC {
	return &GRPC{Unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{ServerId: name}, nil
	}}
}

// The health service of grpc-go decides on endpoints, by the name of the service that is asked for.
func TestGRPCHealth(t *testing.T) {
	first, second := calledAs("first"), calledAs("second")
	h1, h2 := health.NewServer(), health.NewServer()
	for g, h := range map[*GRPC]*health.Server{first: h1, second: h2} {
		g.Health = h
		ServeGRPC(t, g)
	}
	const service = "weft.Test"
	h1.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	h2.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	p := Start(t, Bootstrap(HTTPListener(All), several(group("priority: 0", first.Port, second.Port), Speaks2(), noPanic,
		"health_checks: [{timeout: 5s, interval: 0.005s, no_traffic_interval: 0.005s, unhealthy_threshold: 2, healthy_threshold: 2, grpc_health_check: {service_name: "+service+", authority: checked.test}}]")))
	c, _ := DialGRPC(t, p.Address(), nil)
	want := func(servers ...string) {
		t.Helper()
		p.WantStat("cluster.up.membership_healthy", int64(len(servers)))
		got := map[string]bool{}
		for range 20 {
			r, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{})
			if err != nil {
				t.Fatal(err)
			}
			got[r.ServerId] = true
		}
		if len(got) != len(servers) {
			t.Errorf("served by %v, want %v", got, servers)
		}
		for _, s := range servers {
			if !got[s] {
				t.Errorf("served by %v, want %v", got, servers)
			}
		}
	}
	want("first")
	h2.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	want("first", "second")
	h1.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_UNKNOWN)
	want("second")
	h2.Shutdown()
	p.WantStat("cluster.up.membership_healthy", 0)
	_, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{})
	wantCode(t, err, codes.Unavailable)
	if m := status.Convert(err).Message(); m != "no healthy upstream" {
		t.Errorf("%q", m)
	}
	h1.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	want("first")
	// A service that it has never heard of is an error of the call, and so of the endpoint.
	p.Change(Bootstrap(HTTPListener(All), several(group("priority: 0", first.Port, second.Port), Speaks2(), noPanic,
		"health_checks: [{timeout: 5s, interval: 0.005s, no_traffic_interval: 0.005s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {service_name: no.such}}]")))
	p.WantStat("cluster.up.membership_healthy", 0)
}

// Codes of gRPC are tried again if they are all that is answered, and the route says so; the server sees the number of the attempt.
func TestGRPCRetries(t *testing.T) {
	var mu sync.Mutex
	var attempts []string
	g := &GRPC{}
	note := func(ctx context.Context) (n int) {
		in, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, strings.Join(in["x-envoy-attempt-count"], ","))
		return len(attempts)
	}
	var fails atomic.Int64 // attempts of a call that do
	var code atomic.Uint32
	g.Unary = func(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		if n := note(ctx); n <= int(fails.Load()) {
			return nil, status.Error(codes.Code(code.Load()), fmt.Sprint("attempt ", n))
		}
		return &grpc_testing.SimpleResponse{Payload: r.Payload}, nil
	}
	g.Down = func(_ *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
		note(s.Context())
		s.SendHeader(nil)
		return status.Error(codes.Code(code.Load()), "late")
	}
	ServeGRPC(t, g)
	p := Start(t, Bootstrap(HTTPListener(`
include_request_attempt_count: true
routes: [{match: {prefix: /}, route: {cluster: up, retry_policy: {retry_on: "unavailable,cancelled,deadline-exceeded,resource-exhausted,internal", num_retries: 3, retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}}}}]`), Cluster("up", g.Port, Speaks2())))
	c, _ := DialGRPC(t, p.Address(), nil)
	call := func(with codes.Code, failing int64) ([]string, error) {
		mu.Lock()
		attempts = nil
		mu.Unlock()
		code.Store(uint32(with))
		fails.Store(failing)
		r, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(20_000, 1)})
		if err == nil && len(r.Payload.Body) != 20_000 {
			t.Errorf("%d bytes came back", len(r.Payload.Body))
		}
		mu.Lock()
		defer mu.Unlock()
		return attempts, err
	}
	for with, again := range map[codes.Code]bool{codes.Unavailable: true, codes.Canceled: true, codes.DeadlineExceeded: true, codes.ResourceExhausted: true, codes.Internal: true,
		codes.NotFound: false, codes.Unknown: false, codes.Aborted: false, codes.DataLoss: false} {
		if !again {
			seen, err := call(with, 1)
			if status.Code(err) != with || len(seen) != 1 {
				t.Errorf("%v: %v after %v", with, err, seen)
			}
			continue
		}
		if seen, err := call(with, 2); err != nil || fmt.Sprint(seen) != "[1 2 3]" {
			t.Errorf("%v, twice: %v after %v", with, err, seen)
		}
		if seen, err := call(with, 99); status.Code(err) != with || status.Convert(err).Message() != "attempt 4" || fmt.Sprint(seen) != "[1 2 3 4]" {
			t.Errorf("%v, for ever: %v after %v", with, err, seen)
		}
		// What comes after a head is the client's already.
		mu.Lock()
		attempts = nil
		mu.Unlock()
		s, err := c.StreamingOutputCall(asked(t), &grpc_testing.StreamingOutputCallRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != with || len(attempts) != 1 {
			t.Errorf("%v, late: %v after %v", with, err, attempts)
		}
	}
	p.WantStat("cluster.up.upstream_rq_retry", 5*(2+3))
	p.WantStat("cluster.up.upstream_rq_retry_success", 5)
	p.WantStat("cluster.up.upstream_rq_retry_limit_exceeded", 5)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A connection that breaks ends its calls: as UNAVAILABLE if nothing was answered, and else by a reset, which is INTERNAL to gRPC (as with Envoy
// 1.40, asked). The next call finds a new connection.
func TestGRPCConnectionLoss(t *testing.T) {
	var broken sync.WaitGroup
	begun, release := make(chan struct{}), make(chan struct{})
	g := ServeGRPC(t, &GRPC{
		Unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
			begun <- struct{}{}
			<-release
			return &grpc_testing.SimpleResponse{}, nil
		},
		Both: func(s grpc_testing.TestService_FullDuplexCallServer) error {
			s.SendHeader(nil)
			<-release
			return nil
		},
	})
	again := ServeGRPC(t, &GRPC{})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", g.Port, Speaks2())))
	c, _ := DialGRPC(t, p.Address(), nil)
	for range 20 {
		broken.Go(func() {
			_, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{})
			wantCode(t, err, codes.Unavailable)
		})
		broken.Go(func() {
			s, err := c.FullDuplexCall(asked(t))
			if err == nil {
				_, err = s.Header()
			}
			begun <- struct{}{}
			if err == nil {
				_, err = s.Recv()
			}
			wantCode(t, err, codes.Internal)
		})
	}
	for range 40 {
		select {
		case <-begun:
		case <-asked(t).Done():
			t.Fatal("a call has not begun")
		}
	}
	p.WantStat("cluster.up.upstream_rq_active", 40)
	stopped := make(chan struct{})
	go func() {
		g.Server.Stop()
		close(stopped)
	}()
	broken.Wait()
	close(release)
	<-stopped
	p.WantStat("cluster.up.upstream_cx_destroy_remote_with_active_rq", 1)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	p.WantStat("http.http.downstream_rq_active", 0)
	_, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{})
	wantCode(t, err, codes.Unavailable) // nobody listens
	p.Change(Bootstrap(HTTPListener(All), Cluster("up", again.Port, Speaks2())))
	if _, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{}); err != nil {
		t.Error(err)
	}
}

// calls makes calls from several goroutines until it is told to stop; each must succeed.
func calls(t testing.TB, c grpc_testing.TestServiceClient) (made *atomic.Int64, stop func()) {
	made = new(atomic.Int64)
	var all sync.WaitGroup
	var over atomic.Bool
	for i := range 16 {
		all.Go(func() {
			for n := 0; !over.Load(); n++ {
				var err error
				if n%4 == 3 {
					err = talk(asked(t), c)
				} else {
					_, err = c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(i*1000, 0)}, grpc.WaitForReady(true))
				}
				if err != nil {
					t.Errorf("call %d is lost: %v", made.Load(), err)
					return
				}
				made.Add(1)
			}
		})
	}
	return made, sync.OnceFunc(func() {
		over.Store(true)
		all.Wait()
	})
}

// talk is a bidirectional call of several messages.
func talk(ctx context.Context, c grpc_testing.TestServiceClient) error {
	s, err := c.FullDuplexCall(ctx, grpc.WaitForReady(true))
	for n := 0; n < 5 && err == nil; n++ {
		if err = s.Send(&grpc_testing.StreamingOutputCallRequest{Payload: payload(n*100, 0)}); err == nil {
			_, err = s.Recv()
		}
	}
	if err != nil {
		return err
	}
	s.CloseSend()
	if _, err = s.Recv(); err == io.EOF {
		return nil
	}
	return err
}

// Servers that stop gracefully under load lose no call: what they have not looked at goes to another.
func TestGRPCGracefulStop(t *testing.T) {
	var servers []*GRPC
	var ports []int
	for range 4 {
		g := ServeGRPC(t, &GRPC{})
		servers, ports = append(servers, g), append(ports, g.Port)
	}
	p := StartLoops(t, 2, Bootstrap(HTTPListener(`routes: [{match: {prefix: /}, route: {cluster: up, retry_policy: {retry_on: "connect-failure,refused-stream", num_retries: 5, retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 10}}}]`),
		several(group("priority: 0", ports...), Speaks2(), "circuit_breakers: {thresholds: [{max_retries: 100}]}")))
	c, _ := DialGRPC(t, p.Address(), nil)
	made, stop := calls(t, c)
	defer stop()
	for _, g := range servers[:3] {
		n, before := made.Load(), g.Calls()
		p.Eventually("the server is in use", func() bool { return t.Failed() || g.Calls() > before+50 && made.Load() > n+200 })
		g.Server.GracefulStop()
	}
	n := made.Load()
	p.Eventually("calls go on", func() bool { return t.Failed() || made.Load() > n+500 })
	stop()
	if p.Stat("cluster.up.upstream_cx_close_notify") == 0 {
		t.Error("nobody has said goodbye")
	}
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A proxy that asks its clients to go, and then closes a listener, loses no call either: clients go to another.
func TestGRPCDrain(t *testing.T) {
	g := ServeGRPC(t, &GRPC{})
	one := HTTPListener(All, "drain_timeout: 0.05s")
	other := strings.Replace(one, "name: http\n", "name: other\n", 1)
	p := StartLoops(t, 2, Bootstrap(one+other, Cluster("up", g.Port, Speaks2())))
	from := manual.NewBuilderWithScheme("weft")
	from.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: p.Address("http")}, {Addr: p.Address("other")}}})
	c, _ := DialGRPC(t, "weft:///any", nil, grpc.WithResolvers(from))
	made, stop := calls(t, c)
	defer stop()
	more := func(n int64) {
		t.Helper()
		from := made.Load()
		p.Eventually("calls go on", func() bool { return t.Failed() || made.Load() > from+n })
	}
	more(300)
	// A listener goes: its clients hear of it, end what they have begun, and come to the other.
	p.Change(Bootstrap(other, Cluster("up", g.Port, Speaks2())))
	more(300)
	p.WantStat("listener_manager.total_listeners_draining", 0)
	// The process asks its clients to go; who comes back is served, and asked again.
	before := p.Stat("http.http.downstream_cx_total")
	p.Drain(0, false)
	p.Eventually("connections end", func() bool { return t.Failed() || p.Stat("http.http.downstream_cx_total") > before+3 })
	more(100)
	stop()
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// pings counts PING frames and their acknowledgements in one direction of a connection.
type pings struct {
	asked, answered atomic.Int64
	skip            int // bytes until the next frame
	head            []byte
}

func (p *pings) see(b []byte) {
	for len(b) > 0 {
		if p.skip > 0 {
			n := min(p.skip, len(b))
			p.skip -= n
			b = b[n:]
			continue
		}
		n := min(9-len(p.head), len(b))
		p.head, b = append(p.head, b[:n]...), b[n:]
		if len(p.head) < 9 {
			return
		}
		if http2.FrameType(p.head[3]) == http2.FramePing {
			if p.head[4]&byte(http2.FlagPingAck) != 0 {
				p.answered.Add(1)
			} else {
				p.asked.Add(1)
			}
		}
		p.skip = int(p.head[0])<<16 | int(p.head[1])<<8 | int(p.head[2])
		p.head = p.head[:0]
	}
}

// tapped is a connection of which is counted who asks whether the other is there.
type tapped struct {
	net.Conn
	in, out *pings
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.see(b[:n])
	return n, err
}

func (c tapped) Write(b []byte) (int, error) {
	c.out.see(b)
	return c.Conn.Write(b)
}

// tap is a listener of such connections; it counts those of all together, of which there may be one at a time.
type tap struct {
	net.Listener
	in, out pings
}

func (l *tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.in.skip = len(http2.ClientPreface)
	return tapped{c, &l.in, &l.out}, nil
}

// Pings are answered, whoever sends them: grpc-go to find out bandwidth and whether we are there, we because we are told to.
func TestGRPCKeepAlive(t *testing.T) {
	for _, ours := range []bool{false, true} {
		t.Run(fmt.Sprintf("ours=%v", ours), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, client := &tap{Listener: l}, &tap{}
			g := &GRPC{}
			// A second is the least that grpc-go takes.
			g.ServeOn(t, server, grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: time.Second}), grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}))
			alive := ""
			if ours {
				alive = "connection_keepalive: {interval: 0.01s, timeout: 20s}"
			}
			p := Start(t, Bootstrap(HTTPListener(All, "http2_protocol_options: {"+alive+"}"), Cluster("up", g.Port, Speaks2(alive))))
			c, _ := DialGRPC(t, p.Address(), nil, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				n, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				client.out.skip = len(http2.ClientPreface)
				return tapped{n, &client.in, &client.out}, err
			}))
			call := func() {
				if r, err := c.UnaryCall(asked(t), &grpc_testing.SimpleRequest{Payload: payload(1<<20, 0)}); err != nil || len(r.Payload.Body) != 1<<20 {
					t.Fatal(err)
				}
			}
			call()
			if ours {
				p.Eventually("both answer us", func() bool { return server.out.answered.Load() > 20 && client.out.answered.Load() > 20 })
			} else {
				p.Eventually("bandwidth is measured", func() bool {
					call()
					return client.out.asked.Load() > 0 && client.in.answered.Load() > 0
				})
				n := server.out.asked.Load()
				p.Eventually("the server asks, and is answered", func() bool { return server.out.asked.Load() > n && server.in.answered.Load() > n })
			}
			call()
			if n := p.Stat("http.http.downstream_cx_total") + p.Stat("cluster.up.upstream_cx_total"); n != 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
