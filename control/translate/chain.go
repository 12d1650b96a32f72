package translate

import (
	alpnv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"
	peerv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	extensions "istio.io/api/extensions/v1alpha1"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
)

func networkFilter(name string, m proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: wrap(m)}}
}

func httpFilter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: wrap(m)}}
}

func listenerFilter(name string, m proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: wrap(m)}}
}

// grpcTo calls a cluster; authority: by that name, and if it is empty by the cluster's.
func grpcTo(cluster, authority string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster, Authority: authority}}}
}

// firstRead is how many bytes the beginning of a connection is read into: most ClientHellos are no longer.
const firstRead = 512

func tlsInspector() *listenerv3.ListenerFilter {
	return listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{InitialReadBufferSize: u32(firstRead)})
}

func httpInspector() *listenerv3.ListenerFilter {
	return listenerFilter("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
}

// proxyProtocol reads who connects from what a load balancer says before all else.
func proxyProtocol() *listenerv3.ListenerFilter {
	return listenerFilter("envoy.filters.listener.proxy_protocol", &proxyprotocolv3.ProxyProtocol{})
}

func originalDestination() *listenerv3.ListenerFilter {
	return listenerFilter("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{})
}

// originalMark is on packets of a proxy that looks like its peers, so that the host does not take them for theirs.
const originalMark = 1337

func originalSource() *listenerv3.ListenerFilter {
	return listenerFilter("envoy.filters.listener.original_src", &originalsrcv3.OriginalSrc{Mark: originalMark})
}

// connections is what connection managers depend on.
type connections struct {
	settings *mesh.Settings
	traits   Traits
	logTo    *chain   // who is told of them
	traced   *traced  // nil: they are not reported
	metered  *metered // nil: Istio's metrics of them are not counted
	plugged  *chain   // modules that see them
}

// connections finds those for what comes to a workload (serving), or for what it asks.
func (t *Translator) connections(m *mesh.Mesh, p *Proxy, s *scope, serving bool) connections {
	telemetries := telemetriesOf(m, p)
	return connections{
		settings: m.Settings, traits: p.Traits, logTo: t.logsOf(m, s, telemetries, serving),
		traced: t.tracedOf(m, p, s, telemetries, serving), metered: t.meteredOf(m, p, telemetries, serving), plugged: t.pluginsOf(m, p, s, serving),
	}
}

// tcpProxy passes bytes on to a cluster.
func (k *connections) tcpProxy(cluster string) []*listenerv3.Filter {
	return k.tcpFilters(&tcpv3.TcpProxy{StatPrefix: cluster, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}})
}

func (k *connections) tcpFilters(p *tcpv3.TcpProxy) []*listenerv3.Filter {
	p.AccessLog = k.logs(false)
	return append(k.metered.tcp(), networkFilter("envoy.filters.network.tcp_proxy", p))
}

// manager is a connection manager that has its routes still to come.
func (k *connections) manager(statistics string) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: statistics + ";", UseRemoteAddress: wrapperspb.Bool(false), NormalizePath: wrapperspb.Bool(true),
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}, StreamIdleTimeout: durationpb.New(0), Proxy_100Continue: true,
		AccessLog:                    k.logs(true),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
	}
	switch k.settings.Config.GetPathNormalization().GetNormalization() {
	case meshv1.MeshConfig_ProxyPathNormalization_NONE:
		m.NormalizePath = wrapperspb.Bool(false)
	case meshv1.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:
		m.MergeSlashes = true
	case meshv1.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES:
		m.MergeSlashes, m.PathWithEscapedSlashesAction = true, hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
	if k.traits.HTTP10 {
		m.HttpProtocolOptions = &corev3.Http1ProtocolOptions{AcceptHttp_10: true}
	}
	k.traced.into(m)
	return m
}

// filters are those that see requests to a port, the router last.
func (k *connections) filters(outbound bool, protocol mesh.Protocol, port uint32, deciding *guards) []*hcmv3.HttpFilter {
	var list []*hcmv3.HttpFilter
	add := func(more []*hcmv3.HttpFilter) { list = append(list, more...) }
	if k.traits.Istio {
		list = append(list, httpFilter("istio.metadata_exchange", peers(outbound)))
	}
	services := deciding.seen.Value()
	add(customHTTP(k.settings, services, deciding.access))
	add(k.pluginsHTTP(port, extensions.PluginPhase_AUTHN))
	add(tokensHTTP(deciding.tokens, services, outbound)) // a gateway's routes may ask for what tokens say
	add(k.pluginsHTTP(port, extensions.PluginPhase_AUTHZ))
	add(accessHTTP(k.settings, deciding.access))
	add(k.pluginsHTTP(port, extensions.PluginPhase_STATS, extensions.PluginPhase_UNSPECIFIED_PHASE))
	if protocol == mesh.GRPCWeb {
		list = append(list, httpFilter("envoy.filters.http.grpc_web", &grpcwebv3.GrpcWeb{}))
	}
	list = append(list, httpFilter("envoy.filters.http.grpc_stats", &grpcstatsv3.FilterConfig{
		EmitFilterState: true, PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(false)},
	}))
	if outbound && k.traits.Istio {
		list = append(list, httpFilter("istio.alpn", alpnFilter()))
	}
	list = append(list, httpFilter(filterFault, &faultv3.HTTPFault{}), httpFilter(filterCORS, &corsv3.Cors{}))
	add(k.metered.http())
	add(k.pluginsHTTP(port, atRouter))
	if outbound && k.traits.Weft {
		list = append(list, callsFilter())
	}
	return append(list, httpFilter("envoy.filters.http.router", &routerv3.Router{}))
}

// guarded has connections to a port see who may make them, and modules, before what takes them.
func (k *connections) guarded(port uint32, g *guards, last []*listenerv3.Filter) []*listenerv3.Filter {
	return k.passed(port, g, accessTCP(k.settings, g.access), last)
}

// passed is guarded with policies that are weighed elsewhere, or in the list here.
func (k *connections) passed(port uint32, g *guards, access, last []*listenerv3.Filter) []*listenerv3.Filter {
	if k.shut(port) {
		return k.tcpProxy(blackHoleCluster)
	}
	list := customTCP(k.settings, g.seen.Value(), g.access)
	list = append(list, k.pluginsTCP(port, extensions.PluginPhase_AUTHN, extensions.PluginPhase_AUTHZ)...)
	list = append(list, access...)
	list = append(list, k.pluginsTCP(port, extensions.PluginPhase_STATS, extensions.PluginPhase_UNSPECIFIED_PHASE, atRouter)...)
	return append(list, last...)
}

// alpnFilter has peers know which HTTP is inside of mTLS.
func alpnFilter() *alpnv3.FilterConfig {
	one := func(p alpnv3.FilterConfig_Protocol, tokens ...string) *alpnv3.FilterConfig_AlpnOverride {
		return &alpnv3.FilterConfig_AlpnOverride{UpstreamProtocol: p, AlpnOverride: tokens}
	}
	return &alpnv3.FilterConfig{AlpnOverride: []*alpnv3.FilterConfig_AlpnOverride{
		one(alpnv3.FilterConfig_HTTP10, alpnHTTP10, alpnMesh, "http/1.0"), one(alpnv3.FilterConfig_HTTP11, alpnHTTP11, alpnMesh, "http/1.1"), one(alpnv3.FilterConfig_HTTP2, alpnHTTP2, alpnMesh, "h2"),
	}}
}

// peers has peers tell each other who they are, in headers that those outside the mesh do not get.
func peers(outbound bool) *peerv3.Config {
	headers := &peerv3.Config_DiscoveryMethod{MethodSpecifier: &peerv3.Config_DiscoveryMethod_IstioHeaders{IstioHeaders: &peerv3.Config_IstioHeaders{}}}
	told := &peerv3.Config_PropagationMethod{MethodSpecifier: &peerv3.Config_PropagationMethod_IstioHeaders{IstioHeaders: &peerv3.Config_IstioHeaders{SkipExternalClusters: outbound}}}
	workloads := &peerv3.Config_DiscoveryMethod{MethodSpecifier: &peerv3.Config_DiscoveryMethod_WorkloadDiscovery{WorkloadDiscovery: &peerv3.Config_WorkloadDiscovery{}}}
	if outbound {
		return &peerv3.Config{UpstreamDiscovery: []*peerv3.Config_DiscoveryMethod{headers, workloads}, UpstreamPropagation: []*peerv3.Config_PropagationMethod{told}}
	}
	return &peerv3.Config{DownstreamDiscovery: []*peerv3.Config_DiscoveryMethod{headers, workloads}, DownstreamPropagation: []*peerv3.Config_PropagationMethod{told}}
}

// table has a connection manager take its routes from the stream.
func table(m *hcmv3.HttpConnectionManager, name string) *hcmv3.HttpConnectionManager {
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: fromStream(), RouteConfigName: name}}
	return m
}

// inline gives a connection manager its routes.
func inline(m *hcmv3.HttpConnectionManager, r *routev3.RouteConfiguration) *hcmv3.HttpConnectionManager {
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: r}
	return m
}

func managerFilter(m *hcmv3.HttpConnectionManager) []*listenerv3.Filter {
	return []*listenerv3.Filter{networkFilter("envoy.filters.network.http_connection_manager", m)}
}
