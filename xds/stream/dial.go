package stream

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
)

// methods are what a stream of one kind of resources is called, by their message: for the state of the world, and for what changes.
var methods = map[string][2]string{
	"":                                {"discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"},
	"envoy.config.cluster.v3.Cluster": {"cluster.v3.ClusterDiscoveryService/StreamClusters", "cluster.v3.ClusterDiscoveryService/DeltaClusters"},
	"envoy.config.endpoint.v3.ClusterLoadAssignment":   {"endpoint.v3.EndpointDiscoveryService/StreamEndpoints", "endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"},
	"envoy.extensions.transport_sockets.tls.v3.Secret": {"secret.v3.SecretDiscoveryService/StreamSecrets", "secret.v3.SecretDiscoveryService/DeltaSecrets"},
	"envoy.config.listener.v3.Listener":                {"listener.v3.ListenerDiscoveryService/StreamListeners", "listener.v3.ListenerDiscoveryService/DeltaListeners"},
	"envoy.config.core.v3.TypedExtensionConfig":        {"extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs", "extension.v3.ExtensionConfigDiscoveryService/DeltaExtensionConfigs"},
	"envoy.service.runtime.v3.Runtime":                 {"runtime.v3.RuntimeDiscoveryService/StreamRuntime", "runtime.v3.RuntimeDiscoveryService/DeltaRuntime"},
	"envoy.config.route.v3.ScopedRouteConfiguration":   {"route.v3.ScopedRoutesDiscoveryService/StreamScopedRoutes", "route.v3.ScopedRoutesDiscoveryService/DeltaScopedRoutes"},
	virtualHosts: {"", "route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts"},
	"envoy.config.route.v3.RouteConfiguration": {"route.v3.RouteDiscoveryService/StreamRoutes", "route.v3.RouteDiscoveryService/DeltaRoutes"},
}

// call is a conversation over gRPC. It has a connection of its own, so that the pauses between attempts are the stream's alone.
type call struct {
	conn   *rpc.Conn
	stream grpc.ClientStream
	delta  bool
}

func (s *Stream) dial(ctx context.Context) (conversation, error) {
	told := s.Metadata
	if s.Beside != nil {
		more, err := s.Beside(ctx)
		if err != nil {
			return nil, err
		}
		told = strings.TrimPrefix(told+"\n"+more, "\n")
	}
	target := rpc.Of(s.Server, &config.Snapshot{Secrets: s.Secrets()})
	target.Metadata, target.Joins = told, true
	s.mu.Lock()
	target.First = s.next
	s.mu.Unlock()
	conn, err := rpc.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	c := &call{conn: conn, delta: s.Delta}
	method := methods[s.Message][0]
	if s.Delta {
		method = methods[s.Message][1]
	}
	c.stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/envoy.service."+method)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *call) send(m any) error { return c.stream.SendMsg(m) }

func (c *call) receive() (*Response, error) {
	var body rpc.Body
	if err := c.stream.RecvMsg(&body); err != nil {
		return nil, err
	}
	r, err := readResponse(body.Bytes(), c.delta)
	if err != nil {
		body.Free()
		return nil, err
	}
	r.body = body
	return r, nil
}

func (c *call) close() { c.conn.Close() }
