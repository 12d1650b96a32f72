package translate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	samplerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
)

// traced is how requests are reported as spans. The same configuration is the same pointer.
type traced struct {
	config *hcmv3.HttpConnectionManager_Tracing
	apart  bool // whether a request is reported is not a part of its ID
}

type tracedKey struct {
	config string // encoded
	apart  bool
}

const (
	// usualSampling is of how many requests in a hundred spans are reported if nobody says it.
	usualSampling = 1.0
	// collectorWait is how long a collector is waited for if nothing is said: proxies take no call without a timeout.
	collectorWait = 5 * time.Second
)

// spans is what Telemetry objects say of one side of a workload.
type spans struct {
	told     bool // somebody says something
	provider string
	off      bool
	sampling *wrapperspb.DoubleValue
	tags     map[string]*telemetryv1.Tracing_CustomTag
	withID   bool // the ID of a request says whether it is reported
	workload bool // tags say which workload it is
	silent   bool // whom requests go to is not told of traces
}

// spansOf merges what is said of a side, from the widest to the closest: each field by itself, as at Istio.
func spansOf(m *mesh.Mesh, telemetries []*telemetryv1.Telemetry, serving bool) spans {
	s := spans{withID: true, workload: true}
	if names := m.Settings.Config.GetDefaultProviders().GetTracing(); len(names) > 0 {
		s.provider, s.told = names[0], true
	}
	for _, one := range telemetries {
		for _, t := range one.GetTracing() {
			s.told = true
			if mode := t.GetMatch().GetMode(); mode == telemetryv1.WorkloadMode_SERVER && !serving || mode == telemetryv1.WorkloadMode_CLIENT && serving {
				continue
			}
			if list := t.GetProviders(); len(list) > 0 {
				s.provider = list[0].GetName() // a connection manager has one
			}
			if t.GetDisableSpanReporting() != nil {
				s.off = t.GetDisableSpanReporting().GetValue()
			}
			if t.GetCustomTags() != nil {
				s.tags = t.GetCustomTags()
			}
			if t.GetRandomSamplingPercentage() != nil {
				s.sampling = t.GetRandomSamplingPercentage()
			}
			if t.GetUseRequestIdForTraceSampling() != nil {
				s.withID = t.GetUseRequestIdForTraceSampling().GetValue()
			}
			if t.GetEnableIstioTags() != nil {
				s.workload = t.GetEnableIstioTags().GetValue()
			}
			if t.GetDisableContextPropagation() != nil {
				s.silent = t.GetDisableContextPropagation().GetValue()
			}
		}
	}
	return s
}

// tracedOf finds how what comes to a workload (serving), or what it asks, is reported; nil: it is not.
func (t *Translator) tracedOf(m *mesh.Mesh, p *Proxy, s *scope, telemetries []*telemetryv1.Telemetry, serving bool) *traced {
	if p.Traits.Weft { // it has no tracer yet, and refuses a listener that names one
		return nil
	}
	c := m.Settings.Config
	own := c.GetDefaultConfig().GetTracing()
	if p.Tracing != "" {
		own = &meshv1.Tracing{}
		if proto.Unmarshal([]byte(p.Tracing), own) != nil {
			return nil // which cannot be: ProxyOf has written it
		}
	}
	sampling := usualSampling
	if n := own.GetSampling(); n > 0 && n <= 100 {
		sampling = n
	}
	made := &traced{config: &hcmv3.HttpConnectionManager_Tracing{}}
	said := spansOf(m, telemetries, serving)
	if !said.told {
		if !c.GetEnableTracing() {
			return nil
		}
		// Who reports is in the proxy's bootstrap, if anybody does.
		if said.workload = own.GetEnableIstioTags() == nil || own.GetEnableIstioTags().GetValue(); own.GetMaxPathTagLength() > 0 {
			made.config.MaxPathTagLength = u32(own.GetMaxPathTagLength())
		}
	} else {
		provider := m.Settings.Provider(said.provider)
		if said.off || provider == nil {
			return nil
		}
		tracer, longest, err := tracerOf(provider, p, func(host string, port uint32) string { return clusterSeen(s.ruled.seen, host, port) })
		if err != nil {
			return nil // which was said where it stands
		}
		made.config.Provider = tracer
		if longest = cmp.Or(longest, own.GetMaxPathTagLength()); longest > 0 {
			made.config.MaxPathTagLength = u32(longest)
		}
		switch {
		case provider.GetOpentelemetry().GetSampling() != nil:
			sampling = 100 // the sampler decides, of all
		case said.sampling != nil:
			sampling = said.sampling.GetValue()
		}
		if p.Role == Gateway || provider.GetSkywalking() != nil {
			made.config.SpawnUpstreamSpan = wrapperspb.Bool(true)
		}
		made.config.NoContextPropagation = said.silent && !older(p.Version, 30)
		made.apart = !said.withID
	}
	all := &typev3.Percent{Value: 100}
	made.config.ClientSampling, made.config.RandomSampling, made.config.OverallSampling = all, &typev3.Percent{Value: sampling}, all
	if said.workload {
		made.config.CustomTags = append(workloadTags(p), weighedTags...)
	}
	if len(said.tags) > 0 {
		made.config.CustomTags = append(made.config.CustomTags, saidTags(p, said.tags)...)
	} else {
		made.config.CustomTags = append(made.config.CustomTags, ownTags(own)...)
	}
	// What a proxy would refuse it would refuse with the whole listener. That it is left out was said where it stands.
	made.config.CustomTags = slices.DeleteFunc(made.config.CustomTags, func(t *tagv3.CustomTag) bool { return checkTag(t) != nil })
	slices.SortStableFunc(made.config.CustomTags, func(a, b *tagv3.CustomTag) int { return cmp.Compare(a.GetTag(), b.GetTag()) })
	return t.traces.get(tracedKey{string(encode(made.config)), made.apart}, func() *traced { return made })
}

// into has a connection manager report.
func (t *traced) into(m *hcmv3.HttpConnectionManager) {
	if t == nil {
		return
	}
	if m.Tracing = t.config; t.apart {
		m.RequestIdExtension = &hcmv3.RequestIDExtension{TypedConfig: wrap(&uuidv3.UuidRequestIdConfig{UseRequestIdForTraceSampling: wrapperspb.Bool(false)})}
	}
}

// tracerOf is who reports for a provider to a cluster, which is empty if it is not seen, and how long the longest tag of a path may be; 0: unsaid.
func tracerOf(p *meshv1.MeshConfig_ExtensionProvider, to *Proxy, cluster func(host string, port uint32) string) (*tracev3.Tracing_Http, uint32, error) {
	var lost error
	at := func(service string, port uint32) (host, name string) {
		if host = hostOfService(service); host != "" {
			name = cluster(host, port)
		}
		if name == "" {
			lost = fmt.Errorf("provider %q: no service with the host %s and the port %d is seen", p.GetName(), host, port)
		}
		return host, name
	}
	service := cmp.Or(to.Service, "unknown")
	var name string
	var config interface {
		proto.Message
		ValidateAll() error
	}
	var longest uint32
	switch said := p.GetProvider().(type) {
	case *meshv1.MeshConfig_ExtensionProvider_Zipkin:
		z := said.Zipkin
		host, cluster := at(z.GetService(), z.GetPort())
		path := cmp.Or(z.GetPath(), "/api/v2/spans")
		c := &tracev3.ZipkinConfig{CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON, TraceId_128Bit: !z.GetEnable_64BitTraceId(), SharedSpanContext: wrapperspb.Bool(false)}
		if (z.GetTimeout() != nil || len(z.GetHeaders()) > 0) && !older(to.Version, 29) {
			c.CollectorService = callHTTP(formatted(to), host, path, cluster, z.GetTimeout(), z.GetHeaders())
		} else {
			c.CollectorCluster, c.CollectorEndpoint, c.CollectorHostname = cluster, path, host
		}
		if z.GetTraceContextOption() == meshv1.MeshConfig_ExtensionProvider_ZipkinTracingProvider_USE_B3_WITH_W3C_PROPAGATION && !older(to.Version, 28) {
			c.TraceContextOption = tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
		}
		name, config, longest = "envoy.tracers.zipkin", c, z.GetMaxTagLength()
	case *meshv1.MeshConfig_ExtensionProvider_Datadog:
		host, cluster := at(said.Datadog.GetService(), said.Datadog.GetPort())
		name, config, longest = "envoy.tracers.datadog", &tracev3.DatadogConfig{CollectorCluster: cluster, ServiceName: service, CollectorHostname: host}, said.Datadog.GetMaxTagLength()
	case *meshv1.MeshConfig_ExtensionProvider_Skywalking:
		host, cluster := at(said.Skywalking.GetService(), said.Skywalking.GetPort())
		c := &tracev3.SkyWalkingConfig{GrpcService: grpcTo(cluster, host)}
		if token := said.Skywalking.GetAccessToken(); token != "" {
			c.ClientConfig = &tracev3.ClientConfig{BackendTokenSpecifier: &tracev3.ClientConfig_BackendToken{BackendToken: token}}
		}
		name, config = "envoy.tracers.skywalking", c
	case *meshv1.MeshConfig_ExtensionProvider_Opentelemetry:
		o := said.Opentelemetry
		host, cluster := at(o.GetService(), o.GetPort())
		c := &tracev3.OpenTelemetryConfig{ServiceName: service}
		if h := o.GetHttp(); h != nil {
			c.HttpService = callHTTP(formatted(to), host, h.GetPath(), cluster, h.GetTimeout(), h.GetHeaders())
		} else {
			c.GrpcService = grpcTo(cluster, host)
			c.GrpcService.Timeout = o.GetGrpc().GetTimeout()
			for _, h := range o.GetGrpc().GetInitialMetadata() {
				c.GrpcService.InitialMetadata = append(c.GrpcService.InitialMetadata, &corev3.HeaderValue{Key: h.GetName(), Value: h.GetValue()})
			}
		}
		if o.GetResourceDetectors().GetEnvironment() != nil {
			c.ResourceDetectors = append(c.ResourceDetectors, &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.resource_detectors.environment", TypedConfig: wrap(&resourcev3.EnvironmentResourceDetectorConfig{})})
		}
		if o.GetResourceDetectors().GetDynatrace() != nil {
			c.ResourceDetectors = append(c.ResourceDetectors, &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.resource_detectors.dynatrace", TypedConfig: wrap(&resourcev3.DynatraceResourceDetectorConfig{})})
		}
		if d := o.GetDynatraceSampler(); d != nil {
			// Of what samplers are asked by Envoy takes no formats.
			sampler := &samplerv3.DynatraceSamplerConfig{Tenant: d.GetTenant(), ClusterId: d.GetClusterId(), RootSpansPerMinute: d.GetRootSpansPerMinute()}
			switch own := d.GetHttpService(); {
			case own != nil:
				host, cluster := at(own.GetService(), own.GetPort())
				sampler.HttpService = callHTTP(false, host, own.GetHttp().GetPath(), cluster, own.GetHttp().GetTimeout(), own.GetHttp().GetHeaders())
			case o.GetHttp() != nil:
				sampler.HttpService = callHTTP(false, host, "/api/v2/samplingConfiguration", cluster, o.GetHttp().GetTimeout(), o.GetHttp().GetHeaders())
			default:
				return nil, 0, fmt.Errorf("provider %q: dynatraceSampler has nobody to ask: want httpService there, or http of the provider", p.GetName())
			}
			c.Sampler = &corev3.TypedExtensionConfig{Name: "envoy.tracers.opentelemetry.samplers.dynatrace", TypedConfig: wrap(sampler)}
		}
		name, config, longest = "envoy.tracers.opentelemetry", c, o.GetMaxTagLength()
	default:
		return nil, 0, fmt.Errorf("provider %q is none of traces that are run: want opentelemetry, zipkin, datadog or skywalking", p.GetName())
	}
	return &tracev3.Tracing_Http{Name: name, ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: wrap(config)}}, longest, errors.Join(lost, config.ValidateAll())
}

// formatted tells whether a proxy takes values of a tracer's headers as formats, as Envoy does from 1.38 on.
func formatted(p *Proxy) bool { return !older(p.Version, 30) }

// callHTTP is a call of a collector. Istio has values of headers be what they are, also where proxies take formats.
func callHTTP(formats bool, host, path, cluster string, wait *durationpb.Duration, headers []*meshv1.MeshConfig_ExtensionProvider_HttpHeader) *corev3.HttpService {
	if wait == nil {
		wait = durationpb.New(collectorWait)
	}
	s := &corev3.HttpService{HttpUri: &corev3.HttpUri{
		Uri: "http://" + host + "/" + strings.TrimPrefix(path, "/"), HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: wait,
	}}
	for _, h := range headers {
		if value := h.GetValue(); value != "" { // others are of variables, and were warned about
			if formats {
				value = literalFormat(value)
			}
			s.RequestHeadersToAdd = append(s.RequestHeadersToAdd, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.GetName(), Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD})
		}
	}
	return s
}
