package source

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	mesh "istio.io/api/mesh/v1alpha1"
)

// meshConfig checks what a mesh's configuration says. What it does not say has a default, which is not looked for here.
func (c *checker) meshConfig(m *mesh.MeshConfig) {
	for _, p := range []struct {
		field string
		port  int32
	}{{"proxyListenPort", m.ProxyListenPort}, {"proxyInboundListenPort", m.ProxyInboundListenPort}, {"proxyHttpPort", m.ProxyHttpPort}} {
		if p.port != 0 {
			c.fault(p.field, port(p.port))
		}
	}
	if m.ConnectTimeout != nil {
		switch d := m.ConnectTimeout.AsDuration(); {
		case duration(m.ConnectTimeout) != nil:
			c.fault("connectTimeout", duration(m.ConnectTimeout))
		case d > 30*time.Second:
			c.bad("connectTimeout", "time %v must be at most 30s", d)
		}
	}
	if d := m.ProtocolDetectionTimeout.AsDuration(); d < 0 || d%time.Millisecond != 0 {
		c.bad("protocolDetectionTimeout", "only whole milliseconds are supported; 0s is without end")
	}
	c.fault("dnsRefreshRate", duration(m.DnsRefreshRate))
	c.meshProxy("defaultConfig", m.DefaultConfig)
	c.locality("localityLbSetting", m.LocalityLbSetting, true)
	if m.ZoneAwareLbSetting != nil {
		c.zoneAware(m.ZoneAwareLbSetting, true)
	}
	each(c, "serviceSettings", m.ServiceSettings, func(_ int, s *mesh.MeshConfig_ServiceSettings) {
		each(c, "hosts", s.Hosts, func(_ int, h string) { c.fault("", wildcardDomain(h)) })
	})
	if m.TrustDomain != "" {
		c.trustDomain("trustDomain", m.TrustDomain)
	}
	each(c, "trustDomainAliases", m.TrustDomainAliases, func(_ int, d string) { c.trustDomain("", d) })
	if m.RootNamespace != "" && !isLabel(m.RootNamespace) {
		c.bad("rootNamespace", "%q is no namespace", short(m.RootNamespace))
	}
	if len(m.MeshMTLS.GetEcdhCurves()) > 0 {
		c.bad("meshMTLS.ecdhCurves", "mesh TLS does not support ECDH curves configuration")
	}
	seen := map[string]bool{}
	each(c, "tlsDefaults.ecdhCurves", m.TlsDefaults.GetEcdhCurves(), func(_ int, curve string) {
		switch {
		case seen[curve]:
			c.warn("", "duplicate ECDH curve %s", short(curve))
		case !slices.Contains([]string{"", "P-224", "P-256", "P-521", "P-384", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"}, curve):
			c.warn("", "unrecognized ECDH curve %s", short(curve))
		}
		seen[curve] = true
	})
	if p := m.DefaultTrafficPolicy; p != nil {
		c.at("defaultTrafficPolicy")
		c.connectionPool("connectionPool", p.ConnectionPool)
		c.outlier(p.OutlierDetection)
		c.up()
	}
	c.retries("defaultHttpRetryPolicy", m.DefaultHttpRetryPolicy)
	c.retries("defaultInboundHttpRetryPolicy", m.DefaultInboundHttpRetryPolicy)
	c.providers(m)
}

func (c *checker) trustDomain(field, s string) {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !isLabel(label) {
			c.bad(field, "trust domain name %q invalid", short(s))
			return
		}
	}
}

func (c *checker) meshProxy(field string, p *mesh.ProxyConfig) {
	if p == nil {
		return
	}
	if field != "" {
		c.at(field)
		defer c.up()
	}
	if d := p.DrainDuration; d != nil {
		if c.fault("drainDuration", duration(d)); d.AsDuration()%time.Second != 0 {
			c.bad("drainDuration", "drain time only supports durations to seconds precision")
		}
	}
	if d := p.TerminationDrainDuration; d.AsDuration() < 0 {
		c.bad("terminationDrainDuration", "must be non-negative")
	}
	for _, a := range []struct{ field, address string }{{"discoveryAddress", p.DiscoveryAddress}, {"statsdUdpAddress", p.StatsdUdpAddress},
		{"envoyMetricsServiceAddress", p.EnvoyMetricsServiceAddress}, //nolint:staticcheck // people still write it
		{"envoyMetricsService.address", p.EnvoyMetricsService.GetAddress()}, {"envoyAccessLogService.address", p.EnvoyAccessLogService.GetAddress()},
		{"zipkinAddress", p.ZipkinAddress}, //nolint:staticcheck // people still write it
		{"tracing.zipkin.address", p.Tracing.GetZipkin().GetAddress()}, {"tracing.datadog.address", p.Tracing.GetDatadog().GetAddress()},
		{"tracing.lightstep.address", p.Tracing.GetLightstep().GetAddress()}} {
		if a.address != "" {
			c.fault(a.field, hostPort(strings.Replace(a.address, "$(HOST_IP)", "127.0.0.1", 1)))
		}
	}
	if l := p.Tracing.GetLightstep(); l != nil && l.AccessToken == "" {
		c.bad("tracing.lightstep.accessToken", "access token is required")
	}
	if s := p.Tracing.GetSampling(); !(s >= 0 && s <= 100) {
		c.bad("tracing.sampling", "must be in range [0.0, 100.0]")
	}
	c.clientTLS("tracing.tlsSettings", p.Tracing.GetTlsSettings())
	if p.ProxyAdminPort != 0 {
		c.fault("proxyAdminPort", port(p.ProxyAdminPort))
	}
	if p.StatusPort != 0 {
		c.fault("statusPort", port(p.StatusPort))
	}
	if p.Concurrency.GetValue() < 0 {
		c.bad("concurrency", "concurrency must be greater than or equal to 0")
	}
	c.readiness("readinessProbe", p.ReadinessProbe)
	if k := p.PrivateKeyProvider; k != nil {
		delay := k.GetCryptomb().GetPollDelay()
		if k.GetQat() != nil {
			delay = k.GetQat().GetPollDelay()
		}
		switch {
		case k.Provider == nil:
			c.bad("privateKeyProvider", "private key provider configuration is required: cryptomb or qat")
		case delay.AsDuration() <= 0:
			c.bad("privateKeyProvider", "pollDelay must be non zero")
		}
	}
	if _, old := p.ProxyMetadata["ISTIO_META_DNS_AUTO_ALLOCATE"]; old {
		c.warn("proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE", "is deprecated: addresses are given to ServiceEntries without it")
	}
	c.connectionSettings(p.ConnectionSettings)
}

// connectionSettings checks numbers, which differ only in what the least is.
func (c *checker) connectionSettings(s *mesh.ProxyConfig_ConnectionSettings) {
	if s == nil {
		return
	}
	c.at("connectionSettings")
	defer c.up()
	least := map[protoreflect.Name]int32{"http_max_concurrent_streams": 1, "listener_connection_limit": 1, "global_downstream_connection_limit": 1,
		"http2_initial_stream_window_size": 65535, "http2_initial_connection_window_size": 65535}
	m := s.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if f.Message() == nil || !m.Has(f) {
			continue
		}
		switch v := m.Get(f).Message().Interface().(type) {
		case *wrapperspb.Int32Value:
			if v.Value < least[f.Name()] {
				c.bad(f.JSONName(), "must be at least %d", least[f.Name()])
			}
		case *durationpb.Duration:
			if v.AsDuration() < 0 {
				c.bad(f.JSONName(), "must be non-negative")
			}
		}
	}
}

// providers checks what policies call by name. One that is wrong is a warning, as at Istio's: it may be that nobody calls it.
func (c *checker) providers(m *mesh.MeshConfig) {
	seen := map[string]bool{}
	each(c, "extensionProviders", m.ExtensionProviders, func(_ int, p *mesh.MeshConfig_ExtensionProvider) {
		switch {
		case p.Name == "":
			c.warn("name", "empty extension provider name")
		case seen[p.Name]:
			c.warn("name", "duplicate extension provider name %s", short(p.Name))
		}
		seen[p.Name] = true
		if p.Provider == nil {
			c.warn("", "provider %s is of no kind", short(p.Name))
			return
		}
		// All that call a service say it in the same two fields.
		r := p.ProtoReflect()
		f := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
		one := r.Get(f).Message()
		fields := one.Descriptor().Fields()
		service, number := fields.ByName("service"), fields.ByName("port")
		if service == nil || number == nil {
			return
		}
		c.at(f.JSONName())
		defer c.up()
		host := one.Get(service).String()
		if namespace, rest, scoped := strings.Cut(host, "/"); scoped {
			if host = rest; !isLabel(namespace) {
				c.warn("service", "%q is no namespace", short(namespace))
			}
		}
		if err := fqdn(host); err != nil && !isAddress(host) {
			c.warn("service", "%v", err)
		}
		if err := port(uint32(one.Get(number).Uint())); err != nil {
			c.warn("port", "%v", err)
		}
		if s := fields.ByName("status_on_error"); s != nil {
			if status := one.Get(s).String(); status != "" {
				if n, err := strconv.Atoi(status); err != nil || httpStatus(int64(n)) != nil {
					c.warn("statusOnError", "invalid statusOnError value %s: 200-599", short(status))
				}
			}
		}
		if s := fields.ByName("path_prefix"); s != nil {
			if prefix := one.Get(s).String(); prefix != "" && !strings.HasPrefix(prefix, "/") {
				c.warn("pathPrefix", "pathPrefix should begin with `/` but found %q", short(prefix))
			}
		}
	})
}

func (c *checker) meshNetworks(n *mesh.MeshNetworks) {
	eachKey(c, "networks", n.Networks, func(_ string, one *mesh.Network) {
		each(c, "endpoints", one.Endpoints, func(_ int, e *mesh.Network_NetworkEndpoints) {
			switch {
			case e.GetFromCidr() != "":
				c.fault("fromCidr", subnet(e.GetFromCidr()))
			case !isLabel(e.GetFromRegistry()):
				c.bad("fromRegistry", "invalid registry name: %q", short(e.GetFromRegistry()))
			}
		})
		each(c, "gateways", one.Gateways, func(_ int, g *mesh.Network_IstioNetworkGateway) {
			switch {
			case g.GetAddress() != "":
				if !isAddress(g.GetAddress()) && fqdn(g.GetAddress()) != nil {
					c.bad("address", "%s is not a valid IP address or DNS name", short(g.GetAddress()))
				}
			default:
				c.fault("registryServiceName", fqdn(g.GetRegistryServiceName()))
			}
			c.fault("port", port(g.Port))
		})
	})
}
