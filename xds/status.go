package xds

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"

	"github.com/weftmesh/weft/config"
)

// Limits of whoever asks for the status.
const (
	maxStatusRequest = 64 << 10 // bytes
	maxStatusCalls   = 16       // at a time, on one connection
	statusIdle       = time.Minute
)

// ServeStatus serves the client status discovery service on connections that l accepts, until l is closed: the configuration as
// /config_dump shows it, for tools that speak gRPC. Calls by paths that are not allowed are refused; nil: all are allowed.
func (f *Feed) ServeStatus(l net.Listener, allowed func(path string) bool) error {
	permit := func(path string) error {
		if allowed != nil && !allowed(path) {
			return status.Errorf(codes.PermissionDenied, "request to path %s not allowed", path)
		}
		return nil
	}
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxStatusRequest), grpc.MaxConcurrentStreams(maxStatusCalls), grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: statusIdle}),
		grpc.UnaryInterceptor(func(ctx context.Context, r any, i *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := permit(i.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, r)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, i *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := permit(i.FullMethod); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	)
	statusv3.RegisterClientStatusDiscoveryServiceServer(s, &statusServer{feed: f})
	err := s.Serve(l)
	s.Stop()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// statusServer answers for this process, as gRPC's own clients do for theirs.
type statusServer struct {
	statusv3.UnimplementedClientStatusDiscoveryServiceServer
	feed *Feed
}

// FetchClientStatus answers once.
func (s *statusServer) FetchClientStatus(_ context.Context, r *statusv3.ClientStatusRequest) (*statusv3.ClientStatusResponse, error) {
	// Conditions on nodes are for a control plane, which knows many. As with gRPC's clients, they are an error here: whoever sets them
	// would take what comes for the answer of somebody else.
	if len(r.GetNodeMatchers()) > 0 {
		return nil, status.Error(codes.InvalidArgument, "node_matchers are not supported: this process knows one node, its own")
	}
	return &statusv3.ClientStatusResponse{Config: []*statusv3.ClientConfig{s.feed.status(r.GetExcludeResourceContents())}}, nil
}

// StreamClientStatus answers each time that it is asked.
func (s *statusServer) StreamClientStatus(stream statusv3.ClientStatusDiscoveryService_StreamClientStatusServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := s.FetchClientStatus(stream.Context(), r)
		if err != nil {
			return err
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// status is what is known of each resource, by kind and name.
func (f *Feed) status(bare bool) *statusv3.ClientConfig {
	c := &collector{bare: bare, dynamic: map[resourceKey]bool{}}
	for _, s := range f.States() {
		if s.Kind == Listeners || s.Kind == Clusters || s.Kind == Scopes {
			c.members(s)
			continue
		}
		c.named(s)
	}
	c.static(f.Snapshot())
	slices.SortStableFunc(c.list, func(a, b *statusv3.ClientConfig_GenericXdsConfig) int {
		return cmp.Or(cmp.Compare(a.TypeUrl, b.TypeUrl), cmp.Compare(a.Name, b.Name))
	})
	out := &statusv3.ClientConfig{Node: nodeOf(f.boot), GenericXdsConfigs: c.list}
	redact(out.ProtoReflect())
	return out
}

// collector puts them together.
type collector struct {
	bare    bool // without their contents
	dynamic map[resourceKey]bool
	list    []*statusv3.ClientConfig_GenericXdsConfig
}

// add adds a resource; nil wires: there is no good one.
func (c *collector) add(kind Kind, name, version string, wire []byte, updated time.Time) *statusv3.ClientConfig_GenericXdsConfig {
	one := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: "type.googleapis.com/" + kind.Message(), Name: name, VersionInfo: version}
	if wire != nil && !c.bare {
		one.XdsConfig = packed(kind.Message(), wire)
	}
	if !updated.IsZero() {
		one.LastUpdated = timestamppb.New(updated)
	}
	c.list = append(c.list, one)
	return one
}

// failed notes the last attempt, if it was turned down.
func (c *collector) failed(one *statusv3.ClientConfig_GenericXdsConfig, s State) {
	one.ErrorState = failure(s, one.Name)
	if c.bare && one.ErrorState != nil {
		one.ErrorState.FailedConfiguration = nil
	}
}

// named adds a resource that is asked for by its name.
func (c *collector) named(s State) {
	c.dynamic[resourceKey{s.Kind, s.Name}] = true
	_, _, wire := identity(s.Resource)
	one := c.add(s.Kind, s.Name, s.Version, wire, s.Updated)
	switch {
	case s.Failure == nil && s.Resource == nil && s.Absent:
		one.ClientStatus = adminv3.ClientResourceStatus_DOES_NOT_EXIST
	case s.pending():
		one.ClientStatus = adminv3.ClientResourceStatus_REQUESTED
	default:
		one.ClientStatus = resourceStatus(s)
		c.failed(one, s)
	}
}

// members adds listeners or clusters. Of one of which a later one waits for what it names, that one is told: it was taken.
func (c *collector) members(s State) {
	d := dumper{pick: func(string) bool { return true }}
	for _, m := range d.members(s) {
		c.dynamic[resourceKey{s.Kind, m.Name}] = true
		latest := &m
		if m.Warming != nil {
			latest = m.Warming
		}
		one := c.add(s.Kind, m.Name, latest.Version, latest.Wire, latest.Updated)
		one.ClientStatus = m.status(s)
		of := s
		if m.Failure != nil {
			of.Failure = m.Failure
		}
		c.failed(one, of)
	}
}

// static adds what the bootstrap has itself. What was discovered is there already.
func (c *collector) static(s *config.Snapshot) {
	add := func(kind Kind, name string, wire []byte) {
		if key := (resourceKey{kind, name}); !c.dynamic[key] {
			c.dynamic[key] = true
			c.add(kind, name, "", wire, time.Time{}).IsStaticResource = true
		}
	}
	for _, one := range s.Clusters {
		if !one.Discovered {
			add(Clusters, one.Name, one.Raw)
		}
		if one.Static != nil {
			add(Endpoints, one.Static.Name, one.Static.Raw)
		}
	}
	for _, one := range s.Listeners {
		add(Listeners, one.Name, one.Raw)
		for chain := range one.AllChains() {
			if key, raw, is := ownTable(chain); is {
				add(key.kind, key.name, raw)
			}
			if h := chain.HTTP; h != nil && h.Scoped != nil {
				for _, c := range h.Scoped.Inline {
					add(Scopes, c.Name, c.Raw)
				}
			}
		}
	}
	for name, secret := range s.Secrets {
		add(Secrets, name, secret.Raw)
	}
}
