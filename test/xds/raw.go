package xds

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// Raw is a control plane of one aggregated stream that says what a test has it say, right or wrong.
type Raw struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	Address string
	Asked   chan *discoveryv3.DiscoveryRequest
	Changed chan *discoveryv3.DeltaDiscoveryRequest
	Opened  chan struct{} // has a value for each stream
	t       testing.TB

	mu    sync.Mutex
	send  func(proto.Message) error
	close context.CancelFunc
}

// NewRaw starts such a control plane.
func NewRaw(t testing.TB) *Raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Raw{Address: l.Addr().String(), Asked: make(chan *discoveryv3.DiscoveryRequest, 1000), Changed: make(chan *discoveryv3.DeltaDiscoveryRequest, 1000),
		Opened: make(chan struct{}, 1000), t: t}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, r)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return r
}

func (r *Raw) open(ctx context.Context, send func(proto.Message) error) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	r.send, r.close = send, cancel
	r.mu.Unlock()
	r.Opened <- struct{}{}
	return ctx
}

// StreamAggregatedResources is the state of the world.
func (r *Raw) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	ctx := r.open(s.Context(), func(m proto.Message) error { return s.SendMsg(m) })
	go func() {
		for m, err := s.Recv(); err == nil; m, err = s.Recv() {
			r.Asked <- m
		}
	}()
	<-ctx.Done()
	return ctx.Err()
}

// DeltaAggregatedResources is what changes.
func (r *Raw) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	ctx := r.open(s.Context(), func(m proto.Message) error { return s.SendMsg(m) })
	go func() {
		for m, err := s.Recv(); err == nil; m, err = s.Recv() {
			r.Changed <- m
		}
	}()
	<-ctx.Done()
	return ctx.Err()
}

// Say sends a message on the stream that was opened last.
func (r *Raw) Say(m proto.Message) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.send(m); err != nil {
		r.t.Fatal(err)
	}
}

// End ends that stream.
func (r *Raw) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close()
}

// World is a response of the state of the world.
func World(version, nonce string, resources ...proto.Message) *discoveryv3.DiscoveryResponse {
	m := &discoveryv3.DiscoveryResponse{VersionInfo: version, Nonce: nonce}
	for _, r := range resources {
		a, err := anypb.New(r)
		if err != nil {
			panic(err)
		}
		m.TypeUrl = a.GetTypeUrl()
		m.Resources = append(m.Resources, a)
	}
	return m
}

// Delta is a response of what changes.
func Delta(version, nonce string, resources ...proto.Message) *discoveryv3.DeltaDiscoveryResponse {
	m := &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: version, Nonce: nonce}
	for _, r := range resources {
		a, err := anypb.New(r)
		if err != nil {
			panic(err)
		}
		m.TypeUrl = a.GetTypeUrl()
		name := r.ProtoReflect().Get(r.ProtoReflect().Descriptor().Fields().ByNumber(1)).String() // of every kind
		m.Resources = append(m.Resources, &discoveryv3.Resource{Name: name, Version: version, Resource: a})
	}
	return m
}

// changes waits for a request of what changes about a kind of resources that answers a nonce.
func (r *Raw) changes(kind, nonce string) *discoveryv3.DeltaDiscoveryRequest {
	r.t.Helper()
	for end := time.After(deadline); ; {
		select {
		case m := <-r.Changed:
			if strings.HasSuffix(m.GetTypeUrl(), "."+kind) && m.GetResponseNonce() == nonce {
				return m
			}
		case <-end:
			r.t.Fatalf("nobody has asked for %s with nonce %.100q", kind, nonce)
		}
	}
}
