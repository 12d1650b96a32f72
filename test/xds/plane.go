package xds

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	runtimeservice "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
)

// callsURL is the type of tables of routes of Dubbo.
const callsURL = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration"

// Plane is a control plane of go-control-plane, which tells everybody the same.
type Plane struct {
	Address string // host:port, or a path
	t       testing.TB
	cache   cache.SnapshotCache
	calls   *cache.LinearCache // of routes of Dubbo, of which the other one knows nothing
	version int
	options []grpc.ServerOption

	way way

	mu       sync.Mutex
	stop     func()
	requests []string // what was asked, in order
	nacks    []string
	versions map[string]string // of responses about the state of the world, by kind and nonce
	verdicts map[string]string // what they were answered, by kind and version
	nodes    []*corev3.Node
}

// hash has every node be the same.
type hash struct{}

func (hash) ID(*corev3.Node) string { return "all" }

// all are the services of a control plane.
type all interface {
	discoveryv3.AggregatedDiscoveryServiceServer
	clusterservice.ClusterDiscoveryServiceServer
	endpointservice.EndpointDiscoveryServiceServer
	listenerservice.ListenerDiscoveryServiceServer
	routeservice.RouteDiscoveryServiceServer
	secretservice.SecretDiscoveryServiceServer
	extensionservice.ExtensionConfigDiscoveryServiceServer
	runtimeservice.RuntimeDiscoveryServiceServer
	routeservice.ScopedRoutesDiscoveryServiceServer
}

// way is how a control plane is spoken to.
type way int

// The ways.
const (
	OverTCP way = iota
	OverUnix
	ByPolls // over HTTP
)

// NewPlane starts a control plane on this host, or at a path.
func NewPlane(t testing.TB, w way, o ...grpc.ServerOption) *Plane {
	t.Helper()
	p := &Plane{t: t, way: w, options: o, versions: map[string]string{}, verdicts: map[string]string{}, cache: cache.NewSnapshotCache(false, hash{}, nil), calls: cache.NewLinearCache(callsURL), Address: "127.0.0.1:0"}
	if w == OverUnix {
		p.Address = filepath.Join(t.TempDir(), "xds")
	}
	p.Start()
	t.Cleanup(p.Stop)
	return p
}

// Start has the control plane answer, where it did before.
func (p *Plane) Start() {
	p.t.Helper()
	network := "tcp"
	if strings.HasPrefix(p.Address, "/") {
		network = "unix"
	}
	l, err := net.Listen(network, p.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Address = l.Addr().String()
	s := server.NewServer(context.Background(), p.all(), server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			p.note(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage(), r.GetNode())
			return nil
		},
		StreamResponseFunc: func(_ context.Context, _ int64, _ *discoveryv3.DiscoveryRequest, r *discoveryv3.DiscoveryResponse) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.versions[r.GetTypeUrl()+r.GetNonce()] = r.GetVersionInfo()
		},
		FetchRequestFunc: func(_ context.Context, r *discoveryv3.DiscoveryRequest) error {
			p.note(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage(), r.GetNode())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			p.note(r.GetTypeUrl(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage(), r.GetNode())
			return nil
		},
	})
	var stop func()
	if p.way == ByPolls {
		stop = poll(s, l)
	} else {
		stop = serve(s, l, p.options...).Stop
	}
	p.mu.Lock()
	p.stop = stop
	p.mu.Unlock()
}

// all is what there is of every kind.
func (p *Plane) all() cache.Cache {
	of := func(url string) string {
		if url == callsURL {
			return "calls"
		}
		return "all"
	}
	return &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return of(r.GetTypeUrl()) },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return of(r.GetTypeUrl()) },
		Caches:        map[string]cache.Cache{"all": p.cache, "calls": p.calls},
	}
}

// poll answers polls.
func poll(s server.Server, l net.Listener) (stop func()) {
	gateway := &server.HTTPGateway{Server: s}
	h := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, status, err := gateway.ServeHTTP(r)
		if err != nil {
			body = []byte(err.Error())
		}
		w.WriteHeader(status)
		w.Write(body)
	})}
	h.Protocols.SetUnencryptedHTTP2(true)
	go h.Serve(l)
	return func() { h.Close() }
}

func serve(s all, l net.Listener, o ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(o...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	clusterservice.RegisterClusterDiscoveryServiceServer(g, s)
	endpointservice.RegisterEndpointDiscoveryServiceServer(g, s)
	listenerservice.RegisterListenerDiscoveryServiceServer(g, s)
	routeservice.RegisterRouteDiscoveryServiceServer(g, s)
	secretservice.RegisterSecretDiscoveryServiceServer(g, s)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(g, s)
	runtimeservice.RegisterRuntimeDiscoveryServiceServer(g, s)
	routeservice.RegisterScopedRoutesDiscoveryServiceServer(g, s)
	go g.Serve(l)
	return g
}

// Stop ends the control plane and all that it is connected with.
func (p *Plane) Stop() {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	stop()
}

func (p *Plane) note(url, nonce, err string, node *corev3.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := url[strings.LastIndexByte(url, '.')+1:]
	switch {
	case err != "":
		what += " nack"
		p.nacks = append(p.nacks, err)
	case nonce != "":
		what += " ack"
	}
	p.verdicts[what[:strings.IndexByte(what+" ", ' ')]+" "+p.versions[url+nonce]] = what
	p.requests = append(p.requests, what)
	if node != nil {
		p.nodes = append(p.nodes, node)
	}
}

// Requests are what was asked so far, in order.
func (p *Plane) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Nacks are why responses were turned down.
func (p *Plane) Nacks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.nacks)
}

// Nodes are what nodes have said they are.
func (p *Plane) Nodes() []*corev3.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.nodes)
}

// Serve has these resources be all that there is.
func (p *Plane) Serve(resources ...types.Resource) {
	p.t.Helper()
	p.version++
	by, calls := map[resource.Type][]types.Resource{}, map[string]types.Resource{}
	for _, r := range resources {
		url := resource.Type("type.googleapis.com/" + string(r.ProtoReflect().Descriptor().FullName()))
		if url == callsURL {
			calls[nameOf(r)] = r
			continue
		}
		by[url] = append(by[url], r)
	}
	p.calls.SetResources(calls)
	s, err := cache.NewSnapshot(fmt.Sprint(p.version), by)
	if err == nil {
		err = p.cache.SetSnapshot(context.Background(), "all", s)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Endpoint is where the control plane is, in YAML.
func (p *Plane) Endpoint() string { return endpoint(p.Address) }

func endpoint(address string) string {
	if strings.HasPrefix(address, "/") {
		return "{endpoint: {address: {pipe: {path: " + address + "}}}}"
	}
	host, port, _ := net.SplitHostPort(address)
	return "{endpoint: {address: {socket_address: {address: " + host + ", port_value: " + port + "}}}}"
}

// parse reads a resource from YAML.
func parse[M proto.Message](text string, m M) M {
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		panic(fmt.Sprintf("%v\n%s", err, text))
	}
	return m
}

// A mode is how resources come. Of a text, SOURCE is where they come from, and BOOT what the bootstrap says about that.
type mode struct {
	name   string
	boot   string
	source string
	way    way
}

const (
	service = "grpc_services: [{envoy_grpc: {cluster_name: plane}}], transport_api_version: V3, set_node_on_first_message_only: true"
	fromADS = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}"
)

func modes() []mode {
	ads := func(kind string) string {
		return "{ads_config: {api_type: " + kind + ", " + service + "}, cds_config: " + fromADS + ", lds_config: " + fromADS + "}"
	}
	own := func(kind string) string {
		return "{api_config_source: {api_type: " + kind + ", " + service + "}, resource_api_version: V3, initial_fetch_timeout: 0s}"
	}
	const polled = "{api_config_source: {api_type: REST, cluster_names: [plane], transport_api_version: V3, refresh_delay: 0.01s, request_timeout: 10s}, resource_api_version: V3, initial_fetch_timeout: 0s}"
	each := func(kind string) string { return "{cds_config: " + own(kind) + ", lds_config: " + own(kind) + "}" }
	return []mode{
		{"world", ads("GRPC"), fromADS, OverTCP},
		{"delta", ads("DELTA_GRPC"), fromADS, OverTCP},
		{"delta over a Unix socket", ads("DELTA_GRPC"), fromADS, OverUnix},
		{"world over a Unix socket", ads("GRPC"), fromADS, OverUnix},
		{"a stream for each kind", each("GRPC"), own("GRPC"), OverTCP},
		{"a delta stream for each kind", each("DELTA_GRPC"), own("DELTA_GRPC"), OverTCP},
		{"polls", "{cds_config: " + polled + ", lds_config: " + polled + "}", polled, ByPolls},
	}
}

func (m mode) listener(name, routes string, more ...string) *listenerv3.Listener {
	return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      rds: {route_config_name: %s, config_source: SOURCE}
      http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
%s`, name, routes, strings.Join(more, "\n")), "SOURCE", m.source), &listenerv3.Listener{})
}

func (m mode) cluster(name string, more ...string) *clusterv3.Cluster {
	return parse(strings.ReplaceAll(fmt.Sprintf("name: %s\ntype: EDS\nconnect_timeout: 1s\neds_cluster_config: {eds_config: SOURCE}\n%s", name, strings.Join(more, "\n")), "SOURCE", m.source), &clusterv3.Cluster{})
}

func table(name, cluster string) *routev3.RouteConfiguration {
	return parse(fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: %s}}]}]}`, name, cluster), &routev3.RouteConfiguration{})
}

func endpoints(name string, ports ...int) *endpointv3.ClusterLoadAssignment {
	var list []string
	for _, p := range ports {
		list = append(list, endpoint(fmt.Sprintf("127.0.0.1:%d", p)))
	}
	return parse(fmt.Sprintf("{cluster_name: %s, endpoints: [{lb_endpoints: [%s]}]}", name, strings.Join(list, ", ")), &endpointv3.ClusterLoadAssignment{})
}

func secret(name string, more string) *tlsv3.Secret {
	return parse("name: "+name+"\n"+more, &tlsv3.Secret{})
}

// Way is a listener, "l", with its routes, cluster and endpoints, all from the bootstrap's one stream: a way to that port of this host.
func Way(port int) []types.Resource {
	m := mode{source: fromADS}
	return []types.Resource{m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", port)}
}
