package translate

import (
	"maps"
	"slices"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
)

// filterStats counts what Istio's dashboards show.
const filterStats = "istio.stats"

// metered is what is counted of requests and connections. The same configurations are the same pointer.
type metered struct{ configs []*statsv3.PluginConfig }

// metricNames is how Prometheus knows what Telemetry names.
var metricNames = map[telemetryv1.MetricSelector_IstioMetric]string{
	telemetryv1.MetricSelector_REQUEST_COUNT:          "requests_total",
	telemetryv1.MetricSelector_REQUEST_DURATION:       "request_duration_milliseconds",
	telemetryv1.MetricSelector_REQUEST_SIZE:           "request_bytes",
	telemetryv1.MetricSelector_RESPONSE_SIZE:          "response_bytes",
	telemetryv1.MetricSelector_TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total",
	telemetryv1.MetricSelector_TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
	telemetryv1.MetricSelector_TCP_SENT_BYTES:         "tcp_sent_bytes_total",
	telemetryv1.MetricSelector_TCP_RECEIVED_BYTES:     "tcp_received_bytes_total",
	telemetryv1.MetricSelector_GRPC_REQUEST_MESSAGES:  "request_messages_total",
	telemetryv1.MetricSelector_GRPC_RESPONSE_MESSAGES: "response_messages_total",
}

// counts is what a provider counts of one side of a workload.
type counts struct {
	off      bool
	interval *durationpb.Duration
	metrics  map[string]*counted // by name
}

type counted struct {
	off  bool
	tags map[string]*telemetryv1.MetricsOverrides_TagOverride
}

// countsOf merges what is said of a side, from the widest to the closest, as at Istio: each object says it of the providers that it names, or that were
// named before it, and whom the closest does not name counts nothing. Of a metric later words count, of each tag by itself.
func countsOf(c *meshv1.MeshConfig, telemetries []*telemetryv1.Telemetry, serving bool) map[string]*counts {
	side := telemetryv1.WorkloadMode_CLIENT
	if serving {
		side = telemetryv1.WorkloadMode_SERVER
	}
	named := func(m *telemetryv1.Metrics, before []string) (names []string) {
		for _, one := range m.GetProviders() {
			names = append(names, one.GetName())
		}
		if len(names) == 0 {
			return before
		}
		return names
	}
	usual := c.GetDefaultProviders().GetMetrics()
	inScope, said := usual, false
	for _, one := range telemetries {
		for _, m := range one.GetMetrics() {
			inScope, said = named(m, inScope), true
		}
	}
	by := map[string]*counts{}
	if !said {
		for _, name := range usual {
			by[name] = &counts{}
		}
	}
	before := usual
	for _, one := range telemetries {
		for _, m := range one.GetMetrics() {
			before = named(m, before)
			for _, name := range before {
				if !slices.Contains(inScope, name) {
					continue
				}
				if by[name] == nil {
					by[name] = &counts{metrics: map[string]*counted{}}
				}
				if m.GetReportingInterval() != nil {
					by[name].interval = m.GetReportingInterval()
				}
				for _, o := range m.GetOverrides() {
					if mode := o.GetMatch().GetMode(); mode == side || mode == telemetryv1.WorkloadMode_CLIENT_AND_SERVER {
						by[name].override(o)
					}
				}
			}
		}
	}
	return by
}

func (c *counts) override(o *telemetryv1.MetricsOverrides) {
	custom := o.GetMatch().GetCustomMetric()
	all := custom == "" && o.GetMatch().GetMetric() == telemetryv1.MetricSelector_ALL_METRICS
	if c.off = all && o.GetDisabled().GetValue(); c.off {
		return
	}
	names := []string{custom}
	switch {
	case all:
		names = slices.Collect(maps.Values(metricNames))
	case custom == "":
		names[0] = metricNames[o.GetMatch().GetMetric()]
	}
	for _, name := range names {
		m := c.metrics[name]
		if m == nil {
			m = &counted{tags: map[string]*telemetryv1.MetricsOverrides_TagOverride{}}
			c.metrics[name] = m
		}
		if o.GetDisabled() != nil {
			m.off = o.GetDisabled().GetValue()
		}
		maps.Copy(m.tags, o.GetTagOverrides())
	}
}

// meteredOf finds what is counted of what comes to a workload (serving), or of what it asks; nil: nothing.
func (t *Translator) meteredOf(m *mesh.Mesh, p *Proxy, telemetries []*telemetryv1.Telemetry, serving bool) *metered {
	if !p.Traits.Istio {
		return nil // it has no such filter
	}
	made, key := &metered{}, ""
	by := countsOf(m.Settings.Config, telemetries, serving)
	for _, name := range slices.Sorted(maps.Keys(by)) {
		c := by[name]
		if c.off || providerNamed(m.Settings, name).GetPrometheus() == nil {
			continue // that others are not run was said where it stands
		}
		// Whom a gateway or a workload serves could else name any host, and have it be a label.
		config := &statsv3.PluginConfig{DisableHostHeaderFallback: serving || p.Role == Gateway, TcpReportingDuration: c.interval}
		for _, metric := range slices.Sorted(maps.Keys(c.metrics)) {
			said := c.metrics[metric]
			one := &statsv3.MetricConfig{Name: metric, Drop: said.off, Dimensions: map[string]string{}}
			for _, tag := range slices.Sorted(maps.Keys(said.tags)) {
				if o := said.tags[tag]; o.GetOperation() == telemetryv1.MetricsOverrides_TagOverride_REMOVE {
					one.TagsToRemove = append(one.TagsToRemove, tag)
				} else {
					one.Dimensions[tag] = o.GetValue()
				}
			}
			config.Metrics = append(config.Metrics, one)
		}
		made.configs = append(made.configs, config)
		key += string(encode(config)) + "\n"
	}
	if len(made.configs) == 0 {
		return nil
	}
	return t.meters.get(key, func() *metered { return made })
}

// http are the filters that count requests.
func (m *metered) http() (list []*hcmv3.HttpFilter) {
	if m != nil {
		for _, config := range m.configs {
			list = append(list, httpFilter(filterStats, config))
		}
	}
	return list
}

// tcp are the filters that count connections.
func (m *metered) tcp() (list []*listenerv3.Filter) {
	if m != nil {
		for _, config := range m.configs {
			list = append(list, networkFilter(filterStats, config))
		}
	}
	return list
}
