package fields

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"

	"github.com/weftmesh/weft/test/e2e"
)

// plane is a control plane that knows one listener, which says how it was asked for: by which method, with which node, and whether the
// node was told again with the answer.
type plane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	listenerservice.UnimplementedListenerDiscoveryServiceServer
	port int
}

const listenerURL = "type.googleapis.com/envoy.config.listener.v3.Listener"

// planes are two control planes, which say which of them they are; one that nobody answers at is at port 1.
var planes = sync.OnceValue(func() (all [2]*plane) {
	for i := range all {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		all[i] = &plane{port: l.Addr().(*net.TCPAddr).Port}
		s := grpc.NewServer()
		discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, all[i])
		listenerservice.RegisterListenerDiscoveryServiceServer(s, all[i])
		go s.Serve(l)
	}
	return all
})

// greeting is the listener, at version n.
func greeting(n int, text string) *anypb.Any {
	m := &listenerv3.Listener{}
	_, body, _ := strings.Cut(saying(text), "Listener\n")
	json, err := yaml.YAMLToJSON([]byte(body))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		panic(err)
	}
	m.Name = fmt.Sprintf("says%d", n)
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

type worldStream interface {
	Recv() (*discoveryv3.DiscoveryRequest, error)
	Send(*discoveryv3.DiscoveryResponse) error
	Context() context.Context
}

type deltaStream interface {
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	Send(*discoveryv3.DeltaDiscoveryResponse) error
	Context() context.Context
}

// teller is what a request tells of who asks.
func teller(r interface {
	GetNode() *corev3.Node
}) string {
	n := r.GetNode()
	if n == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s %s %s %s %v", n.GetId(), n.GetMetadata().GetFields()["k"].GetStringValue(), n.GetDynamicParameters()["t"].GetParams()["k"], n.GetLocality().GetRegion(), n.GetClientFeatures())
}

// besides is what was told beside the call, if anything was.
func besides(ctx context.Context) string {
	if m, _ := metadata.FromIncomingContext(ctx); len(m.Get("x-k")) > 0 {
		return fmt.Sprint(" ", m.Get("x-k"))
	}
	return ""
}

// world answers the first request with a listener that says something else, so that it is asked again, and says then what both were.
func (p *plane) world(how string, s worldStream) error {
	first, err := s.Recv()
	if err != nil || first.GetTypeUrl() != listenerURL {
		return err
	}
	if err := s.Send(&discoveryv3.DiscoveryResponse{TypeUrl: listenerURL, VersionInfo: "1", Nonce: "1"}); err != nil {
		return err
	}
	second, err := s.Recv()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s%s|%s|%s", how, besides(s.Context()), teller(first), teller(second))
	if err := s.Send(&discoveryv3.DiscoveryResponse{TypeUrl: listenerURL, VersionInfo: "2", Nonce: "2", Resources: []*anypb.Any{greeting(2, text)}}); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

func (p *plane) delta(how string, s deltaStream) error {
	first, err := s.Recv()
	if err != nil || first.GetTypeUrl() != listenerURL {
		return err
	}
	if err := s.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: listenerURL, Nonce: "1"}); err != nil {
		return err
	}
	second, err := s.Recv()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s%s|%s|%s", how, besides(s.Context()), teller(first), teller(second))
	if err := s.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: listenerURL, Nonce: "2", Resources: []*discoveryv3.Resource{{Name: "says2", Version: "2", Resource: greeting(2, text)}}}); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

func (p *plane) which() string {
	if p == planes()[0] {
		return "a"
	}
	return "b"
}

func (p *plane) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return p.world(p.which()+" ads", s)
}

func (p *plane) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return p.delta(p.which()+" ads delta", s)
}

func (p *plane) StreamListeners(s listenerservice.ListenerDiscoveryService_StreamListenersServer) error {
	return p.world(p.which()+" lds", s)
}

func (p *plane) DeltaListeners(s listenerservice.ListenerDiscoveryService_DeltaListenersServer) error {
	return p.delta(p.which()+" lds delta", s)
}

// underPlane is a bootstrap with clusters that are control planes.
func underPlane(piece string) string {
	all := planes()
	return piece + "\n" + e2e.Bootstrap("  []", e2e.Cluster("a", all[0].port), e2e.Cluster("b", all[1].port), e2e.Cluster("nobody", 1))
}

// streamed puts in place how the control plane is asked.
func streamed(piece string) string {
	return underPlane("dynamic_resources: {ads_config: {transport_api_version: V3, " + piece + "}, lds_config: {ads: {}}}")
}

// ownStream puts in place where listeners come from.
func ownStream(piece string) string {
	return underPlane("dynamic_resources: {lds_config: " + piece + "}")
}

// noded puts in place what the node is.
func noded(piece string) string {
	return underPlane("node: {id: i, " + piece + "}\ndynamic_resources: {ads_config: {transport_api_version: V3, api_type: GRPC, set_node_on_first_message_only: true, " + toA + "}, lds_config: {ads: {}}}")
}

const (
	toA = "grpc_services: [{envoy_grpc: {cluster_name: a}}]"
	toB = "grpc_services: [{envoy_grpc: {cluster_name: b}}]"
)

// streamSays is what the listener of a control plane says.
func streamSays(w *world) string {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	w.watch()
	w.eventually("a listener", func() bool { return len(w.Addresses()) > 0 })
	text, _ := w.dial().Rest()
	return text
}

// fetchWaits says whether a process is ready though its control plane does not answer, soon or not before a listener is there.
func fetchWaits(w *world) string {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	w.watch()
	w.eventually("a failure", func() bool { return w.stat("listener_manager.lds.update_failure") > 0 })
	// The failure may come before a millisecond is over.
	for end := time.Now().Add(moment); time.Now().Before(end); <-time.After(time.Millisecond) {
		if w.stat("listener_manager.lds.init_fetch_timeout") > 0 {
			return "ready"
		}
	}
	return "waits"
}

var streamTrials = []trial{
	{paths: "DynamicResources.ads_config", site: underPlane, base: "dynamic_resources: {lds_config: {api_config_source: {api_type: GRPC, transport_api_version: V3, " + toA + "}}}",
		flip:  "dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, " + toA + "}, lds_config: {ads: {}}}",
		probe: streamSays, want: [2]string{"a lds|    []|    []", "a ads|    []|    []"}},
	{paths: "ConfigSource.ads ConfigSource.api_config_source", site: func(p string) string {
		return underPlane("dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, " + toA + "}, lds_config: " + p + "}")
	}, base: "{ads: {}}", flip: "{api_config_source: {api_type: GRPC, transport_api_version: V3, " + toA + "}}", probe: streamSays, want: [2]string{"a ads|    []|    []", "a lds|    []|    []"}},
	{paths: "ApiConfigSource.api_type=GRPC ApiConfigSource.api_type=DELTA_GRPC", site: streamed, base: "api_type: GRPC, " + toA, flip: "api_type: DELTA_GRPC, " + toA, probe: streamSays, want: [2]string{"a ads|    []|    []", "a ads delta|    []|    []"}},
	{paths: "EnvoyGrpc.cluster_name", site: streamed, base: "api_type: GRPC, " + toA, flip: "api_type: GRPC, " + toB, probe: streamSays, want: [2]string{"a ads|    []|    []", "b ads|    []|    []"}},
	{paths: "GrpcService.initial_metadata", site: streamed, base: "api_type: DELTA_GRPC, " + toA, flip: "api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: a}, initial_metadata: [{key: X-K, value: v}, {key: x-k, value: w}]}]", probe: streamSays,
		want: [2]string{"a ads delta|    []|    []", "a ads delta [v w]|    []|    []"}},
	{paths: "ApiConfigSource.set_node_on_first_message_only", site: streamed, base: "api_type: GRPC, " + toA, flip: "api_type: GRPC, set_node_on_first_message_only: true, " + toA, probe: streamSays, want: [2]string{"a ads|    []|    []", "a ads|    []|nobody"}},
	{paths: "ConfigSource.initial_fetch_timeout", site: ownStream, base: "{initial_fetch_timeout: 0s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]}}",
		flip: "{initial_fetch_timeout: 0.001s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]}}", probe: fetchWaits, want: [2]string{"waits", "ready"}},
	{paths: "Node.metadata", site: noded, flip: "metadata: {k: v}", probe: streamSays, want: [2]string{"a ads|i    []|nobody", "a ads|i v   []|nobody"}},
	{paths: "Node.dynamic_parameters ContextParams.params", site: noded, flip: "dynamic_parameters: {t: {params: {k: v}}}", probe: streamSays, want: [2]string{"a ads|i    []|nobody", "a ads|i  v  []|nobody"}},
	{paths: "Node.client_features", site: noded, flip: "client_features: [f]", probe: streamSays, want: [2]string{"a ads|i    []|nobody", "a ads|i    [f]|nobody"}},
}
