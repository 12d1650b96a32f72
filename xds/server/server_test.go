package server

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"

	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
)

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// control tells everybody the same.
type control struct {
	t     testing.TB
	addr  string
	stats *telemetry.Owner

	mu       sync.Mutex
	view     *View
	sessions map[*Session]string // what nodes say they are
	verdicts []Verdict           // of what was refused
	settled  map[*Session]*View
	turned   error // who comes
	probed   []string
	answers  func(*Question) (*Answer, error)
}

func newControl(t testing.TB) *control {
	t.Helper()
	c := &control{t: t, sessions: map[*Session]string{}, settled: map[*Session]*View{}, stats: telemetry.NewStore(1).Acquire(Stats, "xds_server")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = l.Addr().String()
	g := serve.New(Transport())
	New(Options{Control: c, Answer: c.answer, Stats: c.stats.Loop(0), MaxStreams: 300}).Register(g)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return c
}

func (c *control) answer(_ context.Context, q *Question) (*Answer, error) { return c.answers(q) }

func (c *control) Join(s *Session) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turned != nil {
		return c.turned
	}
	c.sessions[s] = s.Node().GetId()
	if c.view != nil {
		s.Show(c.view)
	}
	return nil
}

func (c *control) Leave(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
}

func (c *control) Answered(_ *Session, v Verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Refused != "" {
		c.verdicts = append(c.verdicts, v)
	}
}

func (c *control) Probed(_ *Session, because string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probed = append(c.probed, because)
}

func (c *control) Settled(s *Session, v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled[s] = v
}

func (c *control) show(v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view = v
	for s := range c.sessions {
		s.Show(v)
	}
}

// refusals are what was not taken, as "kind name".
func (c *control) refusals() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.verdicts {
		for _, r := range v.Resources {
			list = append(list, v.Kind.String()+" "+r.Name)
		}
	}
	return list
}

// rests says whether everybody has answered all of the view.
func (c *control) rests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if c.settled[s] != c.view {
			return false
		}
	}
	return len(c.sessions) > 0
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

func (c *control) dial() *grpc.ClientConn {
	c.t.Helper()
	conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func TestClientsOfGoControlPlaneAreAnswered(t *testing.T) {
	c := newControl(t)
	c.show(&View{Version: "7", Parts: []*Part{part(Clusters, "a=1"), part(Endpoints, "a=1", "b=1")}})
	conn := c.dial()
	node := &corev3.Node{Id: "one"}
	d, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	d.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: typePrefix + facts[Clusters].message})
	m, err := d.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if m.SystemVersionInfo != "7" || len(m.Resources) != 1 || m.Resources[0].Name != "a" || string(m.Resources[0].Resource.Value) != "a=1" {
		t.Errorf("a delta: %v", m)
	}
	w, err := endpointservice.NewEndpointDiscoveryServiceClient(conn).StreamEndpoints(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	w.Send(&discoveryv3.DiscoveryRequest{Node: node, ResourceNames: []string{"b"}}) // the method says what it is about
	world, err := w.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if world.VersionInfo != "7" || len(world.Resources) != 1 || string(world.Resources[0].Value) != "b=1" || world.TypeUrl != typePrefix+facts[Endpoints].message {
		t.Errorf("a state of the world: %v", world)
	}
	d.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce})
	w.Send(&discoveryv3.DiscoveryRequest{ResourceNames: []string{"b"}, ResponseNonce: world.Nonce, VersionInfo: world.VersionInfo})
	eventually(t, "all is answered", c.rests)
	d.CloseSend()
	if _, err := d.Recv(); err == nil {
		t.Error("a stream that its proxy has ended goes on")
	}
	eventually(t, "it has left", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.sessions) == 1 })
}

// What breaks the rules ends its stream, with a status that says why, and is counted; nobody else notices.
func TestWhatBreaksTheRulesEndsItsStream(t *testing.T) {
	c := newControl(t)
	c.show(&View{Version: "1", Parts: []*Part{part(Clusters, "a=1")}})
	node := &corev3.Node{Id: "one"}
	clusters, endpoints := typePrefix+facts[Clusters].message, typePrefix+facts[Endpoints].message
	many := make([]string, 60_000)
	for i := range many {
		many[i] = fmt.Sprint("n", i)
	}
	for _, one := range []struct {
		name     string
		requests []*discoveryv3.DeltaDiscoveryRequest
		code     codes.Code
		row      int
	}{
		{"no node", []*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: clusters}}, codes.InvalidArgument, requestsBroken},
		{"names", []*discoveryv3.DeltaDiscoveryRequest{
			{Node: node, TypeUrl: endpoints, ResourceNamesSubscribe: many},
			{TypeUrl: typePrefix + facts[Routes].message, ResourceNamesSubscribe: many},
		}, codes.ResourceExhausted, namesRefused},
		{"a message", []*discoveryv3.DeltaDiscoveryRequest{{Node: node, TypeUrl: strings.Repeat("x", maxRequest)}}, codes.ResourceExhausted, -1},
	} {
		before := int64(0)
		if one.row >= 0 {
			before = c.stats.Sum(one.row)
		}
		d, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.dial()).DeltaAggregatedResources(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range one.requests {
			d.Send(r)
		}
		for err == nil {
			_, err = d.Recv()
		}
		if status.Code(err) != one.code {
			t.Errorf("%s: %v: want %v", one.name, err, one.code)
		}
		if one.row >= 0 && c.stats.Sum(one.row) != before+1 {
			t.Errorf("%s: not counted", one.name)
		}
	}
	eventually(t, "all have left", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.sessions) == 0 && c.stats.Sum(streamsNow) == 0
	})
}

func TestWhoIsTurnedAwayIsToldWhy(t *testing.T) {
	c := newControl(t)
	c.turned = status.Error(codes.PermissionDenied, "not you")
	d, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.dial()).DeltaAggregatedResources(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	d.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: typePrefix + facts[Clusters].message})
	if _, err = d.Recv(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "not you") {
		t.Errorf("%v", err)
	}
}

func TestStreamsHaveABound(t *testing.T) {
	c := newControl(t)
	c.show(&View{Version: "1"})
	open := func(conn *grpc.ClientConn) error {
		d, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(bounded(t))
		if err == nil {
			d.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: typePrefix + facts[Clusters].message})
			_, err = d.Recv()
		}
		return err
	}
	for range 3 {
		conn := c.dial()
		for range 100 {
			if err := open(conn); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := open(c.dial()); status.Code(err) != codes.ResourceExhausted || c.stats.Sum(streamsRefused) != 1 {
		t.Errorf("one more than may be: %v", err)
	}
}

func TestTypesThatNobodyTellsOfAreCounted(t *testing.T) {
	c := newControl(t)
	c.show(&View{Version: "1", Parts: []*Part{part(Clusters, "a=1")}})
	d, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.dial()).DeltaAggregatedResources(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	d.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: "type.googleapis.com/some.Thing"})
	d.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typePrefix + facts[Clusters].message})
	m, err := d.Recv()
	if err != nil || len(m.Resources) != 1 || c.stats.Sum(requestsUnknown) != 1 {
		t.Errorf("%v, %v", m, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if got := s.Unknown(); len(got) != 1 || got[0] != "type.googleapis.com/some.Thing" {
			t.Errorf("not remembered: %q", got)
		}
	}
}

// TestHowWorkloadsDo has an agent say how the workload beside it does, over both kinds of streams: it is handed on, and nothing is answered.
func TestHowWorkloadsDo(t *testing.T) {
	c := newControl(t)
	c.show(&View{Version: "1", Parts: []*Part{part(Clusters, "a=1")}})
	client, ill := discoveryv3.NewAggregatedDiscoveryServiceClient(c.dial()), &rpcstatus.Status{Code: int32(codes.Internal), Message: "no answer"}
	heard := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("it is handed on: %q", want), func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.Equal(c.probed, want)
		})
	}
	d, err := client.DeltaAggregatedResources(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	d.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "one"}, TypeUrl: healthType, ErrorDetail: ill})
	heard("no answer")
	w, err := client.StreamAggregatedResources(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	w.Send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "two"}, TypeUrl: typePrefix + facts[Clusters].message})
	w.Send(&discoveryv3.DiscoveryRequest{TypeUrl: healthType})
	heard("no answer", "")
	if m, err := w.Recv(); err != nil || m.TypeUrl != Clusters.Type() {
		t.Errorf("%v, %v", m, err)
	}
	if n := c.stats.Sum(healths); n != 2 {
		t.Errorf("%d are counted", n)
	}
}

// TestWhoIsToGoGoes ends a stream that waits for nothing, and one in the middle of what it does not read.
func TestWhoIsToGoGoes(t *testing.T) {
	c := newControl(t)
	c.view = &View{Version: "1", Parts: []*Part{{Kind: Clusters, Resources: []*Resource{{Name: "large", Version: "1", Body: make([]byte, 64<<20)}}}}}
	for _, reads := range []bool{true, false} {
		conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(128<<20)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: fmt.Sprint(reads)}, TypeUrl: typePrefix + facts[Clusters].message})
		if reads {
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		var one *Session
		eventually(t, "it has come", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for s := range c.sessions {
				one = s
			}
			return one != nil
		})
		one.End(status.Error(codes.PermissionDenied, "out"))
		eventually(t, "it has gone", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.sessions) == 0
		})
		if reads {
			if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
		}
	}
}
