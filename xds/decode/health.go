package decode

import (
	"encoding/hex"
	"math"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/health_check/event_sinks/file/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's defaults of health checks, and bounds.
const (
	defaultNoTraffic = 60 * time.Second
	defaultRoom      = 1024    // bytes of an answer's body that are looked at
	maxRoom          = 1 << 20 // bytes
	maxService       = 1024    // bytes of the name that a check of gRPC asks about
)

// healthChecks reads how a cluster's endpoints are asked whether they are well.
func (s *session) healthChecks(c *config.Cluster, m *clusterv3.Cluster, p *at) {
	list := m.GetHealthChecks()
	if len(list) == 0 {
		return
	}
	if len(list) > 1 {
		s.problem(p.field("health_checks"), "%d: a cluster has one", len(list))
	}
	if m.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		s.problem(p.field("health_checks"), "not supported yet: endpoints of a cluster of type ORIGINAL_DST are not checked")
	}
	k, p := list[0], p.field("health_checks").item(0)
	h := &config.HealthCheck{
		Timeout:            s.positive(s.duration(k.GetTimeout(), 0, p.field("timeout")), p.field("timeout")),
		Interval:           s.positive(s.duration(k.GetInterval(), 0, p.field("interval")), p.field("interval")),
		NoTraffic:          s.duration(k.GetNoTrafficInterval(), defaultNoTraffic, p.field("no_traffic_interval")),
		InitialJitter:      s.duration(k.GetInitialJitter(), 0, p.field("initial_jitter")),
		Jitter:             s.duration(k.GetIntervalJitter(), 0, p.field("interval_jitter")),
		JitterPercent:      k.GetIntervalJitterPercent(),
		HealthyThreshold:   u32(k.GetHealthyThreshold(), 1),
		UnhealthyThreshold: u32(k.GetUnhealthyThreshold(), 1),
		IgnoreNew:          m.GetCommonLbConfig().GetIgnoreNewHostsUntilFirstHc(),
		Reuse:              isTrue(k.GetReuseConnection(), true),
	}
	h.NoTrafficHealthy = s.duration(k.GetNoTrafficHealthyInterval(), h.NoTraffic, p.field("no_traffic_healthy_interval"))
	h.Unhealthy = s.duration(k.GetUnhealthyInterval(), h.Interval, p.field("unhealthy_interval"))
	h.UnhealthyEdge = s.duration(k.GetUnhealthyEdgeInterval(), h.Unhealthy, p.field("unhealthy_edge_interval"))
	h.HealthyEdge = s.duration(k.GetHealthyEdgeInterval(), h.Interval, p.field("healthy_edge_interval"))
	s.checkEvents(h, k, p)
	h.Offer = s.applications(k.GetTlsOptions().GetAlpnProtocols(), p.field("tls_options").field("alpn_protocols"))
	switch {
	case k.GetHttpHealthCheck() != nil:
		h.HTTP = s.httpCheck(k.GetHttpHealthCheck(), p.field("http_health_check"))
	case k.GetGrpcHealthCheck() != nil:
		h.GRPC = s.grpcCheck(k.GetGrpcHealthCheck(), p.field("grpc_health_check"))
	case k.GetTcpHealthCheck() != nil:
		t, p := k.GetTcpHealthCheck(), p.field("tcp_health_check")
		h.TCP = &config.TCPCheck{Receive: s.payloads(t.GetReceive(), p.field("receive"))}
		if t.GetSend() != nil {
			h.TCP.Send = s.payload(t.GetSend(), p.field("send"))
		}
	}
	c.Health = h
	c.KeepRemoved = !m.GetIgnoreHealthOnHostRemoval() && (c.Type == config.EDS || c.Type == config.StrictDNS)
}

// checkEvents reads where results are written to.
func (s *session) checkEvents(h *config.HealthCheck, k *corev3.HealthCheck, p *at) {
	if path := k.GetEventLogPath(); path != "" {
		h.Events = append(h.Events, path)
	}
	for _, l := range k.GetEventLogger() {
		if m, ok := s.open(l.GetTypedConfig()).message.(*filev3.HealthCheckEventFileSink); ok { // the walk has refused all else
			h.Events = append(h.Events, m.GetEventLogPath())
		}
	}
	h.TellFailures, h.TellSuccess = k.GetAlwaysLogHealthCheckFailures(), k.GetAlwaysLogHealthCheckSuccess()
}

// positive refuses what would ask without a pause.
func (s *session) positive(d time.Duration, p *at) time.Duration {
	if d < time.Millisecond {
		s.problem(p, "%v: want at least 1ms", d)
	}
	return d
}

func (s *session) httpCheck(m *corev3.HealthCheck_HttpHealthCheck, p *at) *config.HTTPCheck {
	h := &config.HTTPCheck{
		HTTP2:     m.GetCodecClientType() == typev3.CodecClientType_HTTP2,
		Method:    m.GetMethod().String(),
		Path:      s.line(m.GetPath(), p.field("path")),
		Host:      s.line(m.GetHost(), p.field("host")),
		Receive:   s.payloads(m.GetReceive(), p.field("receive")),
		Room:      defaultRoom,
		Expected:  s.statuses(m.GetExpectedStatuses(), p.field("expected_statuses")),
		Retriable: s.statuses(m.GetRetriableStatuses(), p.field("retriable_statuses")),
	}
	if m.GetMethod() == corev3.RequestMethod_METHOD_UNSPECIFIED {
		h.Method = "GET"
	}
	if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " #") {
		s.problem(p.field("path"), "%q: want a path that begins with / and has no blank in it", h.Path)
	}
	s.checkHost(h.Host, p.field("host"))
	if m.GetSend() != nil {
		h.Send = s.payload(m.GetSend(), p.field("send"))
		switch h.Method {
		case "GET", "HEAD", "TRACE":
			s.problem(p.field("send"), "a request with %s has no body: want method POST, or another one that has", h.Method)
		}
	}
	if n := m.GetResponseBufferSize(); n != nil {
		if h.Room = int(min(n.GetValue(), maxRoom)); n.GetValue() == 0 {
			h.Room = maxRoom
		} else if n.GetValue() > maxRoom {
			s.problem(p.field("response_buffer_size"), "%d: want %d at most", n.GetValue(), maxRoom)
		}
	}
	if len(h.Expected) == 0 {
		h.Expected = []config.Int64Range{{Start: 200, End: 201}}
	}
	h.Add = s.checkFields(m.GetRequestHeadersToAdd(), p.field("request_headers_to_add"))
	if m.GetServiceNameMatcher() != nil {
		name := s.stringMatch(m.GetServiceNameMatcher(), p.field("service_name_matcher"))
		h.Service = &name
	}
	h.Remove = s.removals(m.GetRequestHeadersToRemove(), p.field("request_headers_to_remove"))
	return h
}

func (s *session) grpcCheck(m *corev3.HealthCheck_GrpcHealthCheck, p *at) *config.GRPCCheck {
	g := &config.GRPCCheck{
		Service: m.GetServiceName(),
		Host:    s.line(m.GetAuthority(), p.field("authority")),
		Add:     s.checkFields(m.GetInitialMetadata(), p.field("initial_metadata")),
	}
	s.checkHost(g.Host, p.field("authority"))
	if len(g.Service) > maxService {
		s.problem(p.field("service_name"), "%d bytes: want %d at most", len(g.Service), maxService)
	}
	return g
}

// checkFields reads what is added to the request of a check.
func (s *session) checkFields(list []*corev3.HeaderValueOption, p *at) (out []config.Field) {
	for i, o := range list {
		p := p.item(i).field("header")
		f := config.Field{Name: strings.ToLower(o.GetHeader().GetKey()), Value: s.line(o.GetHeader().GetValue(), p.field("value"))}
		if fixed(f.Name) || !token(f.Name) {
			s.problem(p.field("key"), "%q is no name of a field that may be added", f.Name)
		}
		if strings.Contains(f.Value, "%") {
			s.problem(p.field("value"), "%q: operators are not known here", f.Value)
		}
		out = append(out, f)
	}
	return out
}

func (s *session) checkHost(host string, p *at) {
	if strings.ContainsAny(host, " /") {
		s.problem(p, "%q is no host", host)
	}
}

func (s *session) statuses(list []*typev3.Int64Range, p *at) (out []config.Int64Range) {
	for i, r := range list {
		if r.GetStart() < 100 || r.GetEnd() > 600 || r.GetStart() >= r.GetEnd() {
			s.problem(p.item(i), "from %d to before %d: want statuses from 100 to before 600", r.GetStart(), r.GetEnd())
		}
		out = append(out, config.Int64Range{Start: r.GetStart(), End: r.GetEnd()})
	}
	return out
}

func (s *session) payloads(list []*corev3.HealthCheck_Payload, p *at) (out [][]byte) {
	for i, m := range list {
		out = append(out, s.payload(m, p.item(i)))
	}
	return out
}

// payload reads bytes, which text has in hexadecimal.
func (s *session) payload(m *corev3.HealthCheck_Payload, p *at) []byte {
	b := m.GetBinary()
	if b == nil {
		var err error
		if b, err = hex.DecodeString(m.GetText()); err != nil {
			s.problem(p.field("text"), "%q: want bytes in hexadecimal", m.GetText())
		}
	}
	if len(b) == 0 {
		s.problem(p, "want at least one byte")
	}
	return b
}

// endpointCheck reads how one endpoint is asked in another way than the others.
func (s *session) endpointCheck(m *endpointv3.Endpoint_HealthCheckConfig, p *at) *config.EndpointCheck {
	if m == nil {
		return nil
	}
	c := &config.EndpointCheck{Hostname: s.line(m.GetHostname(), p.field("hostname")), Disabled: m.GetDisableActiveHealthCheck(), Port: uint16(m.GetPortValue())}
	if m.GetPortValue() > math.MaxUint16 {
		s.problem(p.field("port_value"), "%d: want %d at most", m.GetPortValue(), math.MaxUint16)
	}
	if m.GetAddress() != nil {
		c.Address = s.address(m.GetAddress(), toConnect, p.field("address"))
	}
	return c
}
