package translate

import (
	"slices"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// logTo is somebody who is told of requests and connections. It is comparable, so that a list of them can be part of a key.
type logTo struct {
	provider *meshv1.MeshConfig_ExtensionProvider // nil: the file that the mesh itself names
	cluster  string                               // of a server that keeps the log
	filter   string                               // an expression that is true of what is logged; empty: all is
}

// Providers that there are without anybody describing them.
const (
	builtinLog     = "envoy"
	builtinMetrics = "prometheus"
)

var (
	standardOutput = &meshv1.MeshConfig_ExtensionProvider{Name: builtinLog, Provider: &meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLog{
		EnvoyFileAccessLog: &meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider{Path: "/dev/stdout"},
	}}
	prometheus = &meshv1.MeshConfig_ExtensionProvider{Name: builtinMetrics, Provider: &meshv1.MeshConfig_ExtensionProvider_Prometheus{
		Prometheus: &meshv1.MeshConfig_ExtensionProvider_PrometheusMetricsProvider{},
	}}
)

// providerNamed gives the one that the mesh's author has described, or one that there is without; nil: neither.
func providerNamed(s *mesh.Settings, name string) *meshv1.MeshConfig_ExtensionProvider {
	switch p := s.Provider(name); {
	case p != nil:
		return p
	case name == builtinLog:
		return standardOutput
	case name == builtinMetrics:
		return prometheus
	}
	return nil
}

// telemetriesOf finds the Telemetry objects for a workload, from the widest to the closest: of the root namespace, of its own, and for its labels. Of
// several of one kind the oldest counts.
func telemetriesOf(m *mesh.Mesh, p *Proxy) (list []*telemetryv1.Telemetry) {
	find := func(namespace string, chosen bool) {
		for _, o := range m.Objects(source.Telemetry).In(namespace) {
			spec := o.Spec.(*telemetryv1.Telemetry)
			if spec.GetTargetRef() != nil || len(spec.GetTargetRefs()) > 0 {
				continue // a proxy of Kubernetes' Gateway API, of which there are none here
			}
			labels := spec.GetSelector().GetMatchLabels()
			if len(labels) > 0 == chosen && has(p.Labels, labels) {
				list = append(list, spec)
				return
			}
		}
	}
	find(m.Settings.RootNamespace, false)
	if p.Namespace != m.Settings.RootNamespace {
		find(p.Namespace, false)
	}
	find(p.Namespace, true)
	return list
}

// logsOf finds who is told of what comes to a workload (serving), or of what it asks. As at Istio each object in turn says it of the providers that
// it names, or that were named before it; whom the closest does not have in its scope is not told.
func (t *Translator) logsOf(m *mesh.Mesh, s *scope, telemetries []*telemetryv1.Telemetry, serving bool) (list *chain) {
	c := m.Settings.Config
	names := c.GetDefaultProviders().GetAccessLogging()
	said := false
	inScope, before := names, names
	type verdict struct {
		off    bool
		filter string
	}
	verdicts, order := map[string]verdict{}, []string(nil)
	namesOf := func(l *telemetryv1.AccessLogging) (all []string) {
		for _, one := range l.GetProviders() {
			all = append(all, one.GetName())
		}
		return all
	}
	for _, one := range telemetries {
		for _, l := range one.GetAccessLogging() {
			if n := namesOf(l); len(n) > 0 {
				inScope = n
			}
		}
	}
	for _, one := range telemetries {
		for _, l := range one.GetAccessLogging() {
			said = true
			providers := namesOf(l)
			if len(providers) == 0 {
				providers = before
			}
			before = providers
			mode := l.GetMatch().GetMode()
			if mode == telemetryv1.WorkloadMode_SERVER && !serving || mode == telemetryv1.WorkloadMode_CLIENT && serving {
				continue
			}
			for _, name := range providers {
				if !slices.Contains(inScope, name) {
					continue
				}
				if !slices.Contains(order, name) {
					order = append(order, name)
				}
				verdicts[name] = verdict{l.GetDisabled().GetValue(), l.GetFilter().GetExpression()}
			}
		}
	}
	switch {
	case said:
	case len(names) > 0:
		order = names
	case c.GetAccessLogFile() != "":
		return t.chains.add(nil, logTo{})
	}
	for _, name := range order {
		v := verdicts[name]
		if v.off {
			continue
		}
		to := logTo{provider: providerNamed(m.Settings, name), filter: v.filter}
		switch server := to.provider.GetProvider().(type) {
		case *meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLog:
		case *meshv1.MeshConfig_ExtensionProvider_EnvoyHttpAls:
			to.cluster = clusterSeen(s.ruled.seen, hostOfService(server.EnvoyHttpAls.GetService()), server.EnvoyHttpAls.GetPort())
		case *meshv1.MeshConfig_ExtensionProvider_EnvoyTcpAls:
			to.cluster = clusterSeen(s.ruled.seen, hostOfService(server.EnvoyTcpAls.GetService()), server.EnvoyTcpAls.GetPort())
		case *meshv1.MeshConfig_ExtensionProvider_EnvoyOtelAls:
			to.cluster = clusterSeen(s.ruled.seen, hostOfService(server.EnvoyOtelAls.GetService()), server.EnvoyOtelAls.GetPort())
		default:
			continue // that it is not run was said where it stands
		}
		if _, file := to.provider.GetProvider().(*meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLog); file || to.cluster != "" {
			list = t.chains.add(list, to)
		}
	}
	return list
}

// hostOfService is the host of a provider's service, which is named with its namespace or without.
func hostOfService(service string) string { return service[strings.IndexByte(service, '/')+1:] }

// clusterSeen is the cluster of a provider's service; empty: the proxy does not see it, and would refuse what names a cluster that it has not.
func clusterSeen(s *seen, host string, port uint32) string {
	if svc := s.service(host); svc != nil && svc.Port(port) != nil && !strings.HasPrefix(host, "*") {
		return outboundName(port, "", host)
	}
	return ""
}
