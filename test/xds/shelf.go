package xds

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
)

// Shelf is a control plane that gives what it is asked for by name, over delta streams, and says what it does not have. To who asks for all it
// gives what is laid out.
type Shelf struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	clusterservice.UnimplementedClusterDiscoveryServiceServer
	endpointservice.UnimplementedEndpointDiscoveryServiceServer
	listenerservice.UnimplementedListenerDiscoveryServiceServer
	routeservice.UnimplementedRouteDiscoveryServiceServer
	routeservice.UnimplementedScopedRoutesDiscoveryServiceServer
	routeservice.UnimplementedVirtualHostDiscoveryServiceServer
	Address string

	mu      sync.Mutex
	has     map[string]proto.Message // by kind and name
	laid    map[string]bool          // of those, what is laid out
	aliases map[string]string        // of virtual hosts
	mute    bool                     // nothing is said of what is not there
	asked   []string                 // kinds and names
	gone    []string                 // that are not asked for any more
	nacks   []string
	version int
	streams []func(*discoveryv3.DeltaDiscoveryResponse) error
}

// NewShelf starts one, at a path or on this host.
func NewShelf(t testing.TB, w way) *Shelf {
	t.Helper()
	s := &Shelf{has: map[string]proto.Message{}, laid: map[string]bool{}, aliases: map[string]string{}}
	network, address := "tcp", "127.0.0.1:0"
	if w == OverUnix {
		network, address = "unix", filepath.Join(t.TempDir(), "xds")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	clusterservice.RegisterClusterDiscoveryServiceServer(g, s)
	endpointservice.RegisterEndpointDiscoveryServiceServer(g, s)
	listenerservice.RegisterListenerDiscoveryServiceServer(g, s)
	routeservice.RegisterRouteDiscoveryServiceServer(g, s)
	routeservice.RegisterScopedRoutesDiscoveryServiceServer(g, s)
	routeservice.RegisterVirtualHostDiscoveryServiceServer(g, s)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return s
}

// Endpoint is where it is, in YAML.
func (s *Shelf) Endpoint() string { return endpoint(s.Address) }

// nameOf is a resource's name.
func nameOf(m proto.Message) string {
	f := m.ProtoReflect().Descriptor().Fields().ByNumber(1)
	return m.ProtoReflect().Get(f).String()
}

func kindOf(m proto.Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

// Put puts resources on the shelf; Lay has them laid out, too.
func (s *Shelf) Put(list ...proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range list {
		s.has[kindOf(m)+" "+nameOf(m)] = m
	}
}

// Lay lays resources out.
func (s *Shelf) Lay(list ...proto.Message) {
	s.Put(list...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range list {
		s.laid[kindOf(m)+" "+nameOf(m)] = true
	}
}

// Host puts a virtual host of a table on the shelf, which is found by other names as well.
func (s *Shelf) Host(name string, m proto.Message, aliases ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has["VirtualHost "+name] = m
	for _, alias := range aliases {
		s.aliases[alias] = name
	}
}

// Say tells all streams.
func (s *Shelf) Say(kind string, removed []string, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.response(kind, names)
	r.RemovedResources = removed
	for _, send := range s.streams {
		send(r)
	}
}

// Asked are kinds and names, in order.
func (s *Shelf) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Gone are those that are not asked for any more.
func (s *Shelf) Gone() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.gone)
}

// Nacks are why responses were turned down.
func (s *Shelf) Nacks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nacks)
}

func (s *Shelf) response(kind string, names []string) *discoveryv3.DeltaDiscoveryResponse {
	s.version++
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urlOf(kind), Nonce: fmt.Sprint(s.version)}
	for _, name := range names {
		real := name
		if to, ok := s.aliases[name]; ok {
			real = to
		}
		m := s.has[kind+" "+real]
		switch {
		case m != nil:
			a, _ := anypb.New(m)
			one := &discoveryv3.Resource{Name: real, Version: fmt.Sprint(s.version), Resource: a}
			if kind == "VirtualHost" {
				one.Aliases = []string{name}
			}
			r.Resources = append(r.Resources, one)
		case s.mute:
		case kind == "VirtualHost" && strings.Contains(name, "/"):
			r.Resources = append(r.Resources, &discoveryv3.Resource{Name: name, Aliases: []string{name}})
		default:
			r.RemovedResources = append(r.RemovedResources, name)
		}
	}
	return r
}

func urlOf(kind string) string {
	for url, name := range map[string]string{"envoy.config.route.v3.": "RouteConfiguration VirtualHost ScopedRouteConfiguration", "envoy.config.cluster.v3.": "Cluster", "envoy.config.listener.v3.": "Listener",
		"envoy.config.endpoint.v3.": "ClusterLoadAssignment"} {
		if slices.Contains(strings.Fields(name), kind) {
			return "type.googleapis.com/" + url + kind
		}
	}
	panic(kind)
}

// deltaStream is what all of the services have in common.
type deltaStream interface {
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	Send(*discoveryv3.DeltaDiscoveryResponse) error
}

func (s *Shelf) serve(stream deltaStream) error {
	s.mu.Lock()
	s.streams = append(s.streams, stream.Send)
	s.mu.Unlock()
	begun := map[string]bool{}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		kind := m.GetTypeUrl()[strings.LastIndexByte(m.GetTypeUrl(), '.')+1:]
		s.mu.Lock()
		if e := m.GetErrorDetail().GetMessage(); e != "" {
			s.nacks = append(s.nacks, e)
		}
		names := slices.DeleteFunc(slices.Clone(m.GetResourceNamesSubscribe()), func(n string) bool { return n == "*" })
		if !begun[kind] && (len(names) == 0 || len(names) < len(m.GetResourceNamesSubscribe())) {
			for key := range s.laid {
				if name, ok := strings.CutPrefix(key, kind+" "); ok {
					names = append(names, name)
				}
			}
			slices.Sort(names)
		}
		first := !begun[kind]
		begun[kind] = true
		for _, name := range m.GetResourceNamesSubscribe() {
			s.asked = append(s.asked, kind+" "+name)
		}
		for _, name := range m.GetResourceNamesUnsubscribe() {
			s.gone = append(s.gone, kind+" "+name)
		}
		if r := s.response(kind, names); first || len(r.GetResources())+len(r.GetRemovedResources()) > 0 {
			err = stream.Send(r)
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// DeltaAggregatedResources is of all kinds.
func (s *Shelf) DeltaAggregatedResources(m discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(m)
}

// DeltaClusters is of one kind, as are those that follow.
func (s *Shelf) DeltaClusters(m clusterservice.ClusterDiscoveryService_DeltaClustersServer) error {
	return s.serve(m)
}

// DeltaEndpoints is of endpoints.
func (s *Shelf) DeltaEndpoints(m endpointservice.EndpointDiscoveryService_DeltaEndpointsServer) error {
	return s.serve(m)
}

// DeltaListeners is of listeners.
func (s *Shelf) DeltaListeners(m listenerservice.ListenerDiscoveryService_DeltaListenersServer) error {
	return s.serve(m)
}

// DeltaRoutes is of tables.
func (s *Shelf) DeltaRoutes(m routeservice.RouteDiscoveryService_DeltaRoutesServer) error {
	return s.serve(m)
}

// DeltaScopedRoutes is of scopes.
func (s *Shelf) DeltaScopedRoutes(m routeservice.ScopedRoutesDiscoveryService_DeltaScopedRoutesServer) error {
	return s.serve(m)
}

// DeltaVirtualHosts is of virtual hosts.
func (s *Shelf) DeltaVirtualHosts(m routeservice.VirtualHostDiscoveryService_DeltaVirtualHostsServer) error {
	return s.serve(m)
}
