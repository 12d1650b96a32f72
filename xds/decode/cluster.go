package decode

import (
	"strings"
	"time"

	metadataexchange "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/config"
)

// Keys that a cluster's typed_extension_protocol_options may have.
const (
	protocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	dubboUpstream   = "weft.upstreams.dubbo"
)

// Envoy's limits of what is in flight towards a cluster.
var defaultBreaker = config.Breaker{MaxConnections: 1024, MaxPending: 1024, MaxRequests: 1024, MaxRetries: 3}

func (s *session) cluster(m *clusterv3.Cluster, p *at) *config.Cluster {
	raw := s.bytes(m)
	c := &config.Cluster{
		Name:           m.GetName(),
		StatName:       m.GetAltStatName(),
		Metadata:       s.metadata(m.GetMetadata()),
		Transport:      s.upstreamTransport(m.GetTransportSocket(), p.field("transport_socket")),
		ConnectTimeout: s.duration(m.GetConnectTimeout(), 5*time.Second, p.field("connect_timeout")),
		BufferLimit:    s.bufferLimit(m.GetPerConnectionBufferLimitBytes(), p.field("per_connection_buffer_limit_bytes")),
		Breakers:       [2]config.Breaker{defaultBreaker, defaultBreaker},
		KeepAlive:      s.keepAlive(m.GetUpstreamConnectionOptions().GetTcpKeepalive()),
		Binding:        s.binding(m.GetUpstreamBindConfig(), p.field("upstream_bind_config")),
		CloseUnwell:    m.GetCloseConnectionsOnHostHealthFailure(),
		CloseOnChange:  m.GetCommonLbConfig().GetCloseConnectionsOnHostSetChange(),
		Hash:           hashWithoutEndpoints(m, raw),
		Raw:            raw,
	}
	if c.StatName == "" {
		c.StatName = c.Name
	}
	s.balancing(c, m, p)
	c.Outliers = s.outliers(m.GetOutlierDetection(), p.field("outlier_detection"))
	s.endpointsOf(c, m, p)
	s.healthChecks(c, m, p)
	s.breakers(c, m.GetCircuitBreakers(), p.field("circuit_breakers"))
	for i, f := range m.GetFilters() {
		p := p.field("filters").item(i).field("typed_config")
		if f.GetTypedConfig() == nil {
			s.problem(p, "a configuration is missing")
			continue
		}
		if x, ok := s.open(f.GetTypedConfig()).message.(*metadataexchange.MetadataExchange); ok {
			s.exchange(x, p.as("MetadataExchange"))
		}
	}
	s.transports(c, m.GetTransportSocketMatches(), p.field("transport_socket_matches"))
	s.upstreamHTTP(c, m, p)
	return c
}

// hashWithoutEndpoints tells two clusters apart that differ in more than who serves them.
func hashWithoutEndpoints(m *clusterv3.Cluster, raw []byte) config.Hash {
	a := m.LoadAssignment
	if a == nil || m.GetType() == clusterv3.Cluster_STRICT_DNS || m.GetType() == clusterv3.Cluster_LOGICAL_DNS || m.GetClusterType() != nil {
		return hash(raw) // names are what such a cluster is made of
	}
	m.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: a.GetClusterName(), Policy: a.GetPolicy()}
	defer func() { m.LoadAssignment = a }()
	return hash(marshal(m))
}

// endpointsOf says where a cluster's endpoints come from.
func (s *session) endpointsOf(c *config.Cluster, m *clusterv3.Cluster, p *at) {
	s.originalOf(c, m, p)
	e := m.GetEdsClusterConfig()
	if t := m.GetType(); t != clusterv3.Cluster_EDS {
		if t == clusterv3.Cluster_ORIGINAL_DST {
			if m.GetLoadAssignment() != nil {
				s.problem(p.field("load_assignment"), "the cluster's type is ORIGINAL_DST: its endpoints are where requests go")
			}
			return
		}
		if s.namesOf(c, m, p) {
			return
		}
		if e != nil {
			s.problem(p.field("eds_cluster_config"), "the cluster's type is %v: leave this out, or say type: EDS", m.GetType())
		}
		if m.GetLoadAssignment() == nil {
			c.Static = &config.Assignment{Name: c.Name, Overprovisioning: defaultOverprovisioning}
			return
		}
		c.Static = s.assignment(m.GetLoadAssignment(), p.field("load_assignment"))
		return
	}
	c.Type = config.EDS
	if m.GetLoadAssignment() != nil {
		s.problem(p.field("load_assignment"), "the cluster's type is EDS: its endpoints come from eds_cluster_config")
	}
	if e.GetEdsConfig() == nil {
		s.problem(p.field("eds_cluster_config").field("eds_config"), "a source of endpoints is missing: want ads, api_config_source or path_config_source")
		return
	}
	if c.ServiceName = e.GetServiceName(); c.ServiceName == "" {
		c.ServiceName = c.Name
	}
	c.EndpointFile, c.EndpointStream = s.source(e.GetEdsConfig(), p.field("eds_cluster_config").field("eds_config"))
}

func (s *session) breakers(c *config.Cluster, m *clusterv3.CircuitBreakers, p *at) {
	var seen [2]bool
	for i, t := range m.GetThresholds() {
		p := p.field("thresholds").item(i)
		priority := config.PriorityDefault
		if t.GetPriority() == corev3.RoutingPriority_HIGH {
			priority = config.PriorityHigh
		}
		if seen[priority] {
			s.problem(p.field("priority"), "%v has thresholds already", t.GetPriority())
		}
		seen[priority] = true
		c.Breakers[priority] = config.Breaker{
			MaxConnections: u32(t.GetMaxConnections(), defaultBreaker.MaxConnections),
			MaxPending:     u32(t.GetMaxPendingRequests(), defaultBreaker.MaxPending),
			MaxRequests:    u32(t.GetMaxRequests(), defaultBreaker.MaxRequests),
			MaxRetries:     u32(t.GetMaxRetries(), defaultBreaker.MaxRetries),
			TrackRemaining: t.GetTrackRemaining(),
		}
		if b := t.GetRetryBudget(); b != nil {
			r := &config.RetryBudget{Percent: 20, Least: u32(b.GetMinRetryConcurrency(), 3)}
			if b.GetBudgetPercent() != nil {
				r.Percent = b.GetBudgetPercent().GetValue()
			}
			c.Breakers[priority].RetryBudget = r
		}
	}
	for i, t := range m.GetPerHostThresholds() {
		p := p.field("per_host_thresholds").item(i).field("max_connections")
		n := t.GetMaxConnections()
		if n != nil && n.GetValue() == 0 {
			s.problem(p, "0 would let no connection be made: want 1 or more")
		}
		priority := config.PriorityDefault
		if t.GetPriority() == corev3.RoutingPriority_HIGH {
			priority = config.PriorityHigh
		}
		c.Breakers[priority].MaxHostConnections = n.GetValue()
	}
}

// upstreamHTTP reads how HTTP is spoken to a cluster: in the typed options, or in the older fields beside them.
func (s *session) upstreamHTTP(c *config.Cluster, m *clusterv3.Cluster, p *at) {
	common, h1 := m.GetCommonHttpProtocolOptions(), m.GetHttpProtocolOptions()
	pc := p.field("common_http_protocol_options")
	h2, p2 := m.GetHttp2ProtocolOptions(), p.field("http2_protocol_options")
	protocol, may := s.olderProtocol(m, p)
	var speaksDubbo *at
	names, np := m.GetUpstreamHttpProtocolOptions(), p.field("upstream_http_protocol_options")
	for key, a := range m.GetTypedExtensionProtocolOptions() {
		p := p.field("typed_extension_protocol_options").key(key)
		if key == dubboUpstream {
			if in[*dubbov1.Upstream](s, a) == nil {
				s.problem(p, "want a weft.dubbo.v1.Upstream")
			}
			speaksDubbo = p
			continue
		}
		if key != protocolOptions {
			s.problem(p, "not supported: want the key %s or %s", protocolOptions, dubboUpstream)
			continue
		}
		if common != nil || h1 != nil || h2 != nil || m.GetProtocolSelection() != clusterv3.Cluster_USE_CONFIGURED_PROTOCOL {
			s.problem(p, "common_http_protocol_options, http_protocol_options, http2_protocol_options and protocol_selection of the cluster "+
				"are not read beside this: move them here")
		}
		o := in[*upstreamsv3.HttpProtocolOptions](s, a)
		if o == nil {
			s.problem(p, "want a %s", protocolOptions)
			continue
		}
		common, pc = o.GetCommonHttpProtocolOptions(), p.as(protocolOptions).field("common_http_protocol_options")
		if o.GetUpstreamHttpProtocolOptions() != nil {
			names, np = o.GetUpstreamHttpProtocolOptions(), p.as(protocolOptions).field("upstream_http_protocol_options")
		}
		h1, h2, p2, protocol, may = s.protocol(c, o, p.as(protocolOptions))
		c.Policies = s.clusterPolicies(o, p.as(protocolOptions))
	}
	s.askedName(c, names, np)
	c.IdleTimeout = s.duration(common.GetIdleTimeout(), idle, pc.field("idle_timeout"))
	c.MaxConnectionDuration = s.duration(common.GetMaxConnectionDuration(), 0, pc.field("max_connection_duration"))
	c.MaxStreamDuration = s.duration(common.GetMaxStreamDuration(), 0, pc.field("max_stream_duration"))
	c.MaxRequestsPerConn = u32(common.GetMaxRequestsPerConnection(), u32(m.GetMaxRequestsPerConnection(), 0))
	c.MaxHeaders = u32(common.GetMaxHeadersCount(), defaultHeaders)
	kib := u32(common.GetMaxResponseHeadersKb(), defaultHeadKiB)
	if kib == 0 || kib > maxHeadKiB {
		s.problem(pc.field("max_response_headers_kb"), "%d: want 1 to %d", kib, maxHeadKiB)
	}
	c.MaxHeadBytes = kib << 10
	if speaksDubbo != nil {
		if protocol != config.ProtocolHTTP1 {
			s.problem(speaksDubbo, "the endpoints speak Dubbo, and another version of HTTP than 1 is asked for beside it")
		}
		protocol = config.ProtocolDubbo
	}
	c.Protocol = config.Protocol{Mode: protocol, HTTP2: s.http2(h2, nil, p2)}
	c.Protocol.HTTP2.Connect = false             // it is the peer's to say
	if common.GetMaxResponseHeadersKb() != nil { // else Envoy has no bound to hold it against
		s.oneField(h2, c.MaxHeadBytes, "max_response_headers_kb", p2)
	}
	if c.Health != nil && c.Health.GRPC != nil && !may {
		s.problem(p.field("health_checks").item(0).field("grpc_health_check"), "the cluster must speak HTTP/2 for checks of gRPC: want http2_protocol_options or auto_config")
	}
	c.Spelling, c.ForwardReason = s.spelling(h1.GetHeaderKeyFormat())
	c.Trailers = h1.GetEnableTrailers()
	c.AllowChunkedLength = h1.GetAllowChunkedLength()
}

// askedName says what requests have TLS servers asked for.
func (s *session) askedName(c *config.Cluster, m *corev3.UpstreamHttpProtocolOptions, p *at) {
	if m.GetAutoSni() {
		if c.NameFrom = strings.ToLower(m.GetOverrideAutoSniHeader()); c.NameFrom == "" {
			c.NameFrom = ":authority"
		}
	} else if m.GetOverrideAutoSniHeader() != "" {
		s.problem(p.field("override_auto_sni_header"), "has no effect without auto_sni")
	}
	c.VerifyNameFrom = m.GetAutoSanValidation()
	if c.VerifyNameFrom && c.NameFrom == "" {
		s.problem(p.field("auto_san_validation"), "wants auto_sni: it is the name that is asked for which is verified")
	}
	for t := range c.AllTLS() {
		if v := t.Validation; c.VerifyNameFrom && t.ValidationSecret.Name == "" && (v == nil || v.Roots == nil && !v.SystemRoots) {
			s.problem(p.field("auto_san_validation"), "a name proves nothing without a validation_context with trusted_ca: anybody may write it into a certificate")
		}
	}
}

// transports are for endpoints with some metadata.
func (s *session) transports(c *config.Cluster, list []*clusterv3.Cluster_TransportSocketMatch, p *at) {
	for i, m := range list {
		p := p.item(i)
		t := s.upstreamTransport(m.GetTransportSocket(), p.field("transport_socket"))
		t.Match = s.object(m.GetMatch())
		c.Transports = append(c.Transports, t)
	}
}
