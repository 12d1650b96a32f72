package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// TestQuestions asks about the control plane as istioctl does: without a node that is worth anything, and with a nonce that answers nothing.
func TestQuestions(t *testing.T) {
	c := newControl(t)
	asked := 0
	c.answers = func(q *Question) (*Answer, error) {
		asked++
		if q.Peer == "" || q.Auth != nil {
			t.Errorf("asked by %+v", q)
		}
		if q.Type == "istio.io/debug/secret" {
			return nil, status.Error(codes.PermissionDenied, "no")
		}
		return &Answer{By: "me", Resources: []*discoveryv3.Resource{{Name: "one", Resource: &anypb.Any{TypeUrl: "x", Value: fmt.Appendf(nil, "%s%v%d", q.Type, q.Names, asked)}}}}, nil
	}
	conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	t.Run("world", func(t *testing.T) {
		asked = 0
		s, err := client.StreamAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask := func(r *discoveryv3.DiscoveryRequest, want string) *discoveryv3.DiscoveryResponse {
			t.Helper()
			s.Send(r)
			got, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if got.TypeUrl != r.TypeUrl || got.ControlPlane.GetIdentifier() != "me" || len(got.Resources) != 1 || string(got.Resources[0].Value) != want {
				t.Errorf("answered %v: want %s", got, want)
			}
			return got
		}
		got := ask(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug/syncz", ResponseNonce: "now"}, "istio.io/debug/syncz[]1")
		s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug/syncz", ResponseNonce: got.Nonce, VersionInfo: got.VersionInfo}) // which answers the answer
		ask(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug", ResourceNames: []string{"a"}}, "istio.io/debug[a]2")
		s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug/secret"})
		if _, err := s.Recv(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("what is not to be told: %v", err)
		}
	})
	t.Run("delta", func(t *testing.T) {
		asked = 0
		s, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: "istio.io/debug/syncz", ResourceNamesSubscribe: []string{"a"}})
		got, err := s.Recv()
		if err != nil || len(got.Resources) != 1 || got.Resources[0].Name != "one" || string(got.Resources[0].Resource.Value) != "istio.io/debug/syncz[a]1" {
			t.Errorf("answered %v, %v", got, err)
		}
	})
	for name, then := range map[string]*discoveryv3.DiscoveryRequest{
		"about clusters":       {TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"},
		"about too many names": {TypeUrl: "istio.io/debug", ResourceNames: strings.Split(strings.Repeat("a,", maxAsked), ",")},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := client.StreamAggregatedResources(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug/syncz"})
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			s.Send(then)
			if _, err := s.Recv(); status.Code(err) != codes.InvalidArgument {
				t.Errorf("answered: %v", err)
			}
		})
	}
	eventually(t, "nobody has come as a proxy", func() bool { return c.stats.Sum(streamsNow) == 0 })
	if c.mu.Lock(); len(c.sessions) != 0 {
		t.Errorf("%d have joined", len(c.sessions))
	}
	c.mu.Unlock()
}

// TestProxiesAreNotAnswered has a proxy ask what tools ask, on its own stream: hazard 80.
func TestProxiesAreNotAnswered(t *testing.T) {
	c := newControl(t)
	c.answers = func(q *Question) (*Answer, error) {
		t.Errorf("asked %+v", q)
		return &Answer{}, nil
	}
	conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "a"}, TypeUrl: Clusters.Type()})
	s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: "istio.io/debug/config_dump", ResourceNames: []string{"b"}})
	eventually(t, "both are read", func() bool { return c.stats.Sum(requestsUnknown) == 1 })
	if n := c.stats.Sum(questions); n != 0 {
		t.Errorf("%d questions", n)
	}
}
