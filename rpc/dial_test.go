package rpc

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/weftmesh/weft/config"
)

// serve is a gRPC server that says who was asked for.
func serve(t *testing.T, network, address string) (net.Addr, chan string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 8)
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		m, _ := metadata.FromIncomingContext(ctx)
		asked <- strings.Join(m.Get(":authority"), ",")
		return next(ctx, req)
	}))
	healthv1.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr(), asked
}

// closed is an address at which nobody is.
func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func ask(t *testing.T, target Target) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := Dial(ctx, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

func at(a netip.AddrPort) *config.Endpoint {
	return &config.Endpoint{Address: config.Address{AddrPort: a}}
}

func TestTheFirstThatAnswersIsTaken(t *testing.T) {
	one, askedOne := serve(t, "tcp", "127.0.0.1:0")
	two, askedTwo := serve(t, "tcp", "127.0.0.1:0")
	list := []*config.Endpoint{at(closed(t)), at(one.(*net.TCPAddr).AddrPort()), at(two.(*net.TCPAddr).AddrPort())}
	target := Target{Cluster: &config.Cluster{Name: "logs", ConnectTimeout: time.Second}, Endpoints: list}
	if err := ask(t, target); err != nil {
		t.Fatal(err)
	}
	if name := <-askedOne; name != "logs" {
		t.Errorf("the server was told %q: want the cluster's name", name)
	}
	target.First, target.Authority = 5, "elsewhere" // 5 is the third of three
	if err := ask(t, target); err != nil {
		t.Fatal(err)
	}
	if name := <-askedTwo; name != "elsewhere" {
		t.Errorf("the server was told %q: want the target's authority", name)
	}
	list[1].Health = config.HealthUnhealthy
	target.First = 1
	if err := ask(t, target); err != nil {
		t.Fatal(err)
	}
	<-askedTwo // though the other's turn was first
}

func TestNobodyIsThere(t *testing.T) {
	a, b := closed(t), closed(t)
	target := Target{Cluster: &config.Cluster{Name: "logs", ConnectTimeout: time.Second}, Endpoints: []*config.Endpoint{at(a), at(b)}}
	err := ask(t, target)
	if err == nil || !strings.Contains(err.Error(), a.String()) || !strings.Contains(err.Error(), b.String()) {
		t.Errorf("%v: want both endpoints named", err)
	}
	target.Endpoints = nil
	if err := ask(t, target); err == nil || !strings.Contains(err.Error(), "has no endpoints") {
		t.Errorf("%v: want it said that there are no endpoints", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	_, asked := serve(t, "unix", path)
	target := Target{Cluster: &config.Cluster{Name: "logs", ConnectTimeout: time.Second}, Endpoints: []*config.Endpoint{{Address: config.Address{Path: path}}}}
	if err := ask(t, target); err != nil {
		t.Fatal(err)
	}
	<-asked
}

func TestEndpointsOfASnapshot(t *testing.T) {
	static, found := &config.Assignment{Endpoints: []*config.Endpoint{{}}}, &config.Assignment{Endpoints: []*config.Endpoint{{}, {}}}
	s := &config.Snapshot{
		Clusters:  []*config.Cluster{{Name: "static", Static: static}, {Name: "found", Type: config.EDS, ServiceName: "service"}, {Name: "bare", Type: config.EDS, ServiceName: "nothing"}},
		Endpoints: config.NewAssignments(map[string]*config.Assignment{"service": found}),
	}
	for name, want := range map[string]int{"static": 1, "found": 2, "bare": 0} {
		if target, ok := Find(s, name); !ok || len(target.Endpoints) != want {
			t.Errorf("%s: %d endpoints, %v: want %d", name, len(target.Endpoints), ok, want)
		}
	}
	if _, ok := Find(s, "unknown"); ok {
		t.Error("a cluster that is not there was found")
	}
}
