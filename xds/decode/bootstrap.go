package decode

import (
	"encoding/json"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

func (s *session) bootstrap(m *bootstrapv3.Bootstrap, p *at) *config.Bootstrap {
	b := &config.Bootstrap{
		Node:      node(m.GetNode()),
		LogFormat: s.logFormat(m.GetApplicationLogConfig().GetLogFormat(), p.field("application_log_config").field("log_format")),
		Raw:       s.bytes(m),
	}
	interval, ip := s.duration(m.GetStatsFlushInterval(), 5*time.Second, p.field("stats_flush_interval")), p.field("stats_flush_interval")
	if interval < time.Millisecond || interval >= 5*time.Minute {
		s.problem(ip, "%v: want 1ms or more and less than 300s", interval)
	}
	if a := m.GetAdmin(); a != nil {
		b.Admin = s.admin(a, p.field("admin"))
	}

	b.Statistics = s.statistics(m.GetStatsConfig(), p.field("stats_config"))
	b.MaxConnections = s.overload(m.GetOverloadManager(), p.field("overload_manager"))
	s.traced = m.GetTracing() != nil
	for i, x := range m.GetBootstrapExtensions() {
		if x.GetTypedConfig() == nil {
			s.problem(p.field("bootstrap_extensions").item(i).field("typed_config"), "a configuration is missing")
		}
	}
	if r := m.GetTypedDnsResolverConfig(); r != nil {
		asked := s.resolver(r, p.field("typed_dns_resolver_config"))
		s.asked = &asked
	}
	s.bound = s.binding(m.GetClusterManager().GetUpstreamBindConfig(), p.field("cluster_manager").field("upstream_bind_config"))
	s.ejections = m.GetClusterManager().GetOutlierDetection().GetEventLogPath()
	b.Dynamic = config.Dynamic{Resolver: s.asked, Binding: s.bound, Ejections: s.ejections, Traced: s.traced}
	s.controls = serversOf(m.GetStaticResources().GetClusters())
	if c := m.GetDynamicResources().GetAdsConfig(); c != nil {
		shared := s.stream(c, p.field("dynamic_resources").field("ads_config"))
		if b.Dynamic.Shared, s.shared = &shared, true; shared.Refresh > 0 {
			s.problem(p.field("dynamic_resources").field("ads_config").field("api_type"), "REST: each kind is polled by itself; want GRPC or DELTA_GRPC here")
		}
	}
	b.Runtime = s.runtime(m.GetLayeredRuntime(), p.field("layered_runtime"))
	if c := m.GetClusterManager().GetLoadStatsConfig(); c != nil {
		reports := s.stream(c, p.field("cluster_manager").field("load_stats_config"))
		if reports.Refresh > 0 {
			s.problem(p.field("cluster_manager").field("load_stats_config").field("api_type"), "REST: reports go over gRPC: want GRPC")
		}
		b.Dynamic.LoadReports = &reports
	}
	if c := m.GetDynamicResources().GetLdsConfig(); c != nil {
		b.Dynamic.Listeners, b.Dynamic.ListenerStream = s.source(c, p.field("dynamic_resources").field("lds_config"))
	}
	if c := m.GetDynamicResources().GetCdsConfig(); c != nil {
		b.Dynamic.Clusters, b.Dynamic.ClusterStream = s.source(c, p.field("dynamic_resources").field("cds_config"))
	}

	resources, p := m.GetStaticResources(), p.field("static_resources")
	clusters := map[string]int{}
	for i, c := range resources.GetClusters() {
		p := p.field("clusters").item(i)
		if j, ok := clusters[c.GetName()]; ok && c.GetName() != "" {
			s.problem(p.field("name"), "clusters[%d] is called %q, too", j, c.GetName())
		}
		clusters[c.GetName()] = i
		b.Static.Clusters = append(b.Static.Clusters, s.cluster(c, p))
	}
	s.hasCluster = func(name string) bool { _, ok := clusters[name]; return ok }

	b.Static.Secrets = map[string]*config.Secret{}
	for i, m := range resources.GetSecrets() {
		p := p.field("secrets").item(i)
		c := s.secret(m, p)
		if b.Static.Secrets[c.Name] != nil {
			s.problem(p.field("name"), "%q is the name of another secret, too", c.Name)
		}
		b.Static.Secrets[c.Name] = c
	}

	names, addresses := map[string]int{}, map[config.Address]int{}
	for i, l := range resources.GetListeners() {
		p := p.field("listeners").item(i)
		c := s.listener(l, p)
		if j, ok := names[c.Name]; ok {
			s.problem(p.field("name"), "listeners[%d] is called %q, too", j, c.Name)
		}
		names[c.Name] = i
		for k, a := range c.AllAddresses() {
			where, p := config.Address{AddrPort: a.AddrPort, Path: a.Path}, p.field("address")
			if k > 0 {
				p = p.up.field("additional_addresses").item(k - 1)
			}
			if j, ok := addresses[where]; ok && j != i && (where.Path != "" || where.AddrPort.Port() != 0) {
				s.problem(p, "listeners[%d] is at %s, too", j, where)
			}
			addresses[where] = i
		}
		b.Static.Listeners = append(b.Static.Listeners, c)
	}
	return b
}

// logFormat is the pattern of the process's own log. One that is written as JSON is one, too: what is said is %j in it, since %v could end a
// string.
func (s *session) logFormat(m *bootstrapv3.Bootstrap_ApplicationLogConfig_LogFormat, p *at) string {
	if m.GetJsonFormat() == nil {
		return m.GetTextFormat()
	}
	text, err := json.Marshal(m.GetJsonFormat().AsMap())
	if err != nil {
		s.problem(p.field("json_format"), "%v", err)
	}
	if strings.Contains(string(text), "%v") || strings.Contains(string(text), "%_") {
		s.problem(p.field("json_format"), "%%v and %%_ may break JSON: use %%j")
	}
	return string(text)
}

func node(m *corev3.Node) config.Node {
	return config.Node{
		ID:      m.GetId(),
		Cluster: m.GetCluster(),
		Region:  m.GetLocality().GetRegion(),
		Zone:    m.GetLocality().GetZone(),
		SubZone: m.GetLocality().GetSubZone(),
		Message: marshal(m),
	}
}

func (s *session) admin(m *bootstrapv3.Admin, p *at) *config.Admin {
	if m.GetAddress() == nil {
		if len(m.GetAccessLog()) > 0 || m.GetAccessLogPath() != "" {
			s.problem(p.field("address"), "without an address nothing is served and nothing is logged")
		}
		return nil
	}
	a := &config.Admin{
		Address:    s.address(m.GetAddress(), toBind, p.field("address")),
		Profile:    m.GetProfilePath(),
		AccessLogs: s.accessLogs(m.GetAccessLog(), p.field("access_log")),
	}
	for i, m := range m.GetAllowPaths() {
		a.Allow = append(a.Allow, s.stringMatch(m, p.field("allow_paths").item(i)))
	}
	if a.Profile == "" {
		a.Profile = "/var/log/envoy/envoy.prof"
	}
	if path := m.GetAccessLogPath(); path != "" {
		format, err := accesslog.Parse(accesslog.DefaultText, accesslog.Options{})
		if err != nil {
			panic(err) // the text is the program's own
		}
		a.AccessLogs = append(a.AccessLogs, config.AccessLog{Sink: config.SinkFile, Path: path, Format: format})
	}
	return a
}

func (s *session) accessLogs(list []*accesslogv3.AccessLog, p *at) []config.AccessLog {
	var out []config.AccessLog
	for i, m := range list {
		out = append(out, s.accessLog(m, p.item(i)))
	}
	return out
}
