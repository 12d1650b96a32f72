package xds

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// serveStatus serves a proxy's status until the test ends, and gives a client of it.
func (p *Proxy) serveStatus(allowed func(string) bool) statusv3.ClientStatusDiscoveryServiceClient {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Feed.ServeStatus(l, allowed) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		conn.Close()
		l.Close()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	return statusv3.NewClientStatusDiscoveryServiceClient(conn)
}

// told is what a status tells of each resource: its state, whether it has a version, a configuration, a time and an error.
func told(c *statusv3.ClientConfig) map[string]string {
	out := map[string]string{}
	for _, g := range c.GetGenericXdsConfigs() {
		text := fmt.Sprintf("%v", g.GetClientStatus())
		for _, part := range []struct {
			is   bool
			word string
		}{{g.GetIsStaticResource(), "static"}, {g.GetVersionInfo() != "", "version"}, {g.GetXdsConfig() != nil, "config"}, {g.GetLastUpdated() != nil, "time"}, {g.GetErrorState() != nil, "error"}} {
			if part.is {
				text += " " + part.word
			}
		}
		out[strings.TrimPrefix(g.GetTypeUrl(), "type.googleapis.com/envoy.")+" "+g.GetName()] = text
	}
	return out
}

// TestStatus asks for the status of each kind of resource, in each of its states.
func TestStatus(t *testing.T) {
	m := modes()[0]
	up := upstream(t, "a")
	plane := NewPlane(t, OverTCP)
	plane.Serve(m.listener("l", "r"), m.calling("d", "r"), m.cluster("one"), m.cluster("two"), table("r", "one"), calls("r", "one"), endpoints("one", up), endpoints("two", up))
	p := Run(t, m, plane.Endpoint(), "  secrets: [{name: mine, session_ticket_keys: {keys: [{inline_string: "+strings.Repeat("shh!", 20)+"}]}}]")
	p.Ready()

	// A good cluster is bad, one is bad from the beginning, and one waits for endpoints that do not come.
	plane.Serve(m.listener("l", "r"), m.calling("d", "r"), m.cluster("one"), bad("two"), bad("worse"), m.cluster("waits"), table("r", "one"), calls("r", "one"), endpoints("one", up), endpoints("two", up))
	p.Eventually("a refusal", func() bool { return len(plane.Nacks()) >= 1 })
	client := p.serveStatus(nil)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()

	var got *statusv3.ClientConfig
	ask := func(r *statusv3.ClientStatusRequest) *statusv3.ClientConfig {
		t.Helper()
		answer, err := client.FetchClientStatus(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.GetConfig()) != 1 {
			t.Fatalf("%d clients: want one", len(answer.GetConfig()))
		}
		return answer.GetConfig()[0]
	}
	want := map[string]string{
		"config.listener.v3.Listener l":                                          "ACKED version config time",
		"config.listener.v3.Listener d":                                          "ACKED version config time",
		"config.route.v3.RouteConfiguration r":                                   "ACKED version config time",
		"extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration r": "ACKED version config time",
		"config.cluster.v3.Cluster one":                                          "ACKED version config time",
		"config.cluster.v3.Cluster two":                                          "NACKED version config time error",
		"config.cluster.v3.Cluster worse":                                        "NACKED error",
		"config.cluster.v3.Cluster waits":                                        "ACKED version config time",
		"config.cluster.v3.Cluster plane":                                        "UNKNOWN static config",
		"config.endpoint.v3.ClusterLoadAssignment one":                           "ACKED version config time",
		"config.endpoint.v3.ClusterLoadAssignment two":                           "ACKED version config time",
		"config.endpoint.v3.ClusterLoadAssignment waits":                         "REQUESTED",
		"config.endpoint.v3.ClusterLoadAssignment plane":                         "UNKNOWN static config",
		"extensions.transport_sockets.tls.v3.Secret mine":                        "UNKNOWN static config",
	}
	p.Eventually("the status", func() bool {
		got = ask(&statusv3.ClientStatusRequest{})
		return maps.Equal(told(got), want)
	})
	if got.GetNode().GetId() != "sidecar~127.0.0.1~a.b~b.svc.cluster.local" || got.GetNode().GetMetadata().GetFields()["NAMESPACE"].GetStringValue() != "b" {
		t.Errorf("the node is %v", got.GetNode())
	}
	if text := prototext.Format(got); strings.Contains(text, "shh!") {
		t.Error("a secret is shown")
	}
	for _, g := range got.GetGenericXdsConfigs() {
		if g.GetName() == "mine" {
			s := &tlsv3.Secret{}
			unpack(t, g.GetXdsConfig(), s)
			if text := s.GetSessionTicketKeys().GetKeys()[0].GetInlineString(); text != "[redacted]" {
				t.Errorf("the secret is %q", text)
			}
		}
		if g.GetName() == "two" && g.GetErrorState() != nil {
			if e := g.GetErrorState(); !strings.Contains(e.GetDetails(), `Cluster "two": load`) || e.GetVersionInfo() == "" || e.GetVersionInfo() == g.GetVersionInfo() || e.GetFailedConfiguration() == nil || e.GetLastUpdateAttempt() == nil {
				t.Errorf("%v", e)
			}
		}
	}

	// Without contents, all else is the same.
	bare := ask(&statusv3.ClientStatusRequest{ExcludeResourceContents: true})
	for name, text := range told(bare) {
		if text != strings.ReplaceAll(want[name], " config", "") {
			t.Errorf("without contents, %s is %s", name, text)
		}
	}
	for _, g := range bare.GetGenericXdsConfigs() {
		if g.GetErrorState().GetFailedConfiguration() != nil {
			t.Errorf("%s has contents", g.GetName())
		}
	}

	// A stream answers each time.
	stream, err := client.StreamClientStatus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.Send(&statusv3.ClientStatusRequest{}); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := told(answer.GetConfig()[0]); !maps.Equal(got, want) {
			t.Errorf("a stream tells %v", slices.Sorted(maps.Keys(got)))
		}
	}

	// Conditions on nodes are an error, as with gRPC's own clients.
	matchers := []*matcherv3.NodeMatcher{{NodeId: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "sidecar"}}}}
	if _, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{NodeMatchers: matchers}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("with node matchers: %v", err)
	}
	closed := p.serveStatus(func(path string) bool {
		return path == "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus"
	})
	if _, err := closed.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a path that is not allowed: %v", err)
	}
}
