package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls"
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
	"envoy.config.route.v3.RouteConfiguration":         {"route.v3.RouteDiscoveryService/StreamRoutes", "route.v3.RouteDiscoveryService/DeltaRoutes"},
}

// call is a conversation over gRPC. It has a connection of its own, so that the pauses between attempts are the stream's alone.
type call struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	delta  bool
}

func (s *Stream) dial(ctx context.Context) (conversation, error) {
	secure := credentials.TransportCredentials(insecure.NewCredentials())
	if s.Server.TLS != nil {
		secure = sealed{secure}
	}
	// All endpoints may be tried before the one that answers, and that one has to speak HTTP/2 in the end.
	patience := time.Duration(max(len(s.endpoints()), 1))*s.Server.ConnectTimeout + 5*time.Second
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.connect(ctx) }),
		grpc.WithAuthority(s.Server.Name),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: lastPause, MaxDelay: lastPause}, MinConnectTimeout: patience}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(), grpc.WithUserAgent("weft"),
	}
	// Servers end connections that are asked too often whether they stand, so that it is asked only if the cluster says so.
	if a := s.Server.Protocol.HTTP2.Alive; a != nil && a.Interval > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: a.Interval, Timeout: a.Timeout}))
	}
	conn, err := grpc.NewClient("passthrough:///"+s.Server.Name, options...)
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
	if c.delta {
		m := &discoveryv3.DeltaDiscoveryResponse{}
		if err := c.stream.RecvMsg(m); err != nil {
			return nil, err
		}
		return ofDelta(m), nil
	}
	m := &discoveryv3.DiscoveryResponse{}
	if err := c.stream.RecvMsg(m); err != nil {
		return nil, err
	}
	return ofWorld(m), nil
}

func (c *call) close() { c.conn.Close() }

func (s *Stream) endpoints() []*config.Endpoint {
	if s.Server.Static == nil {
		return nil
	}
	return s.Server.Static.Endpoints
}

// connect tries one endpoint after the other, each for as long as the cluster says.
func (s *Stream) connect(ctx context.Context) (net.Conn, error) {
	list := s.endpoints()
	if len(list) == 0 {
		return nil, fmt.Errorf("cluster %q has no endpoints", s.Server.Name)
	}
	s.mu.Lock()
	first := s.next
	s.mu.Unlock()
	var failures []error
	for i := range list {
		e := list[(first+i)%len(list)]
		c, where, err := s.reach(ctx, e)
		if err == nil {
			return c, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", where, err))
	}
	return nil, errors.Join(failures...)
}

func (s *Stream) reach(ctx context.Context, e *config.Endpoint) (c net.Conn, where string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Server.ConnectTimeout)
	defer cancel()
	d := net.Dialer{}
	if k := s.Server.KeepAlive; k != nil {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Count: int(k.Probes), Idle: time.Duration(k.Time) * time.Second, Interval: time.Duration(k.Interval) * time.Second}
	}
	network := "tcp"
	switch {
	case e.Host != "":
		where = net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	case e.Address.Path != "":
		network, where = "unix", e.Address.Path
	default:
		where = e.Address.AddrPort.String()
	}
	if c, err = d.DialContext(ctx, network, where); err != nil || s.Server.TLS == nil {
		return c, where, err
	}
	store := tls.NewStore(nil)
	store.Update(s.Secrets())
	secure, err := tls.NewClient(s.Server.TLS, store).Over(c, tls.Ask{Offer: []string{"h2"}})
	if err == nil {
		err = secure.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		return nil, where, err
	}
	return secure, where, nil
}

// sealed takes what connect has made for what it is: a TLS connection whose peer was verified.
type sealed struct {
	credentials.TransportCredentials
}

func (sealed) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, credentials.TLSInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (sealed) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (s sealed) Clone() credentials.TransportCredentials { return s }
