package decode

import (
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
)

// defaultWait is Envoy's initial_fetch_timeout.
const defaultWait = 15 * time.Second

// source reads where resources come from: a file or a stream.
func (s *session) source(m *corev3.ConfigSource, p *at) (*config.WatchedFile, *config.Subscription) {
	var f config.WatchedFile
	switch c := m.GetConfigSourceSpecifier().(type) {
	case *corev3.ConfigSource_Path:
		f.Path, p = c.Path, p.field("path")
	case *corev3.ConfigSource_PathConfigSource:
		f.Path, p = c.PathConfigSource.GetPath(), p.field("path_config_source").field("path")
		f.Directory = c.PathConfigSource.GetWatchedDirectory().GetPath()
	case *corev3.ConfigSource_Ads:
		if !s.shared {
			s.problem(p.field("ads"), "there is no stream that everything comes over: set dynamic_resources.ads_config")
		}
		return nil, &config.Subscription{Stream: config.Stream{Shared: true}, Wait: s.wait(m, p)}
	case *corev3.ConfigSource_ApiConfigSource:
		return nil, &config.Subscription{Stream: s.stream(c.ApiConfigSource, p.field("api_config_source")), Wait: s.wait(m, p)}
	case nil:
		s.problem(p, "is empty: want ads, api_config_source or path_config_source")
		return nil, nil
	default:
		return nil, nil // refused by the table
	}
	if f.Path == "" {
		s.problem(p, "a path is missing")
	}
	return &f, nil
}

func (s *session) wait(m *corev3.ConfigSource, p *at) time.Duration {
	return s.duration(m.GetInitialFetchTimeout(), defaultWait, p.field("initial_fetch_timeout"))
}

// What a control plane is polled by, unless the configuration says otherwise. Envoy wants refresh_delay to be said.
const (
	defaultPoll = time.Second
	leastPoll   = time.Millisecond
)

// stream reads with whom resources are talked about, and how.
func (s *session) stream(m *corev3.ApiConfigSource, p *at) config.Stream {
	out := config.Stream{Delta: m.GetApiType() == corev3.ApiConfigSource_DELTA_GRPC, NodeOnce: m.GetSetNodeOnFirstMessageOnly()}
	if m.GetTransportApiVersion() != corev3.ApiVersion_V3 {
		s.problem(p.field("transport_api_version"), "want V3")
	}
	switch m.GetApiType() {
	case corev3.ApiConfigSource_GRPC, corev3.ApiConfigSource_DELTA_GRPC:
		if len(m.GetClusterNames()) > 0 {
			s.problem(p.field("cluster_names"), "are asked by REST: want grpc_services, or api_type: REST")
		}
	case corev3.ApiConfigSource_REST:
		return s.polled(m, p)
	default:
		s.problem(p.field("api_type"), "want GRPC, DELTA_GRPC or REST")
	}
	services, at := m.GetGrpcServices(), p.field("grpc_services")
	if len(services) != 1 {
		s.problem(at, "%d services: want exactly one", len(services))
		return out
	}
	at = at.item(0)
	if services[0].GetEnvoyGrpc() == nil {
		s.problem(at.field("envoy_grpc"), "is missing")
		return out
	}
	out.Server = services[0].GetEnvoyGrpc().GetClusterName()
	s.server(out.Server, at.field("envoy_grpc").field("cluster_name"))
	out.Metadata = s.toldBeside(services[0].GetInitialMetadata(), at.field("initial_metadata"))
	return out
}

// toldBeside reads what is told beside a call, such as a token.
func (s *session) toldBeside(list []*corev3.HeaderValue, p *at) string {
	var lines []string
	for i, h := range list {
		p := p.item(i)
		name, value := strings.ToLower(h.GetKey()), s.line(h.GetValue(), p.field("value"))
		if fixed(name) || !token(name) || strings.HasPrefix(name, "grpc-") || strings.HasSuffix(name, "-bin") {
			s.problem(p.field("key"), "%q is no name of a field that may be added", name)
		}
		if strings.Contains(value, "%") {
			s.problem(p.field("value"), "operators (%%) are not known here") // and not shown, since it may be a secret
		}
		lines = append(lines, name+": "+value)
	}
	return strings.Join(lines, "\n")
}

// polled reads a control plane that is asked by REST.
func (s *session) polled(m *corev3.ApiConfigSource, p *at) (out config.Stream) {
	if len(m.GetGrpcServices()) > 0 {
		s.problem(p.field("grpc_services"), "are not asked by REST: want cluster_names")
	}
	if len(m.GetClusterNames()) != 1 {
		s.problem(p.field("cluster_names"), "%d clusters: want exactly one", len(m.GetClusterNames()))
		return out
	}
	out.Server = m.GetClusterNames()[0]
	s.server(out.Server, p.field("cluster_names").item(0))
	if m.GetRefreshDelay() == nil {
		s.problem(p.field("refresh_delay"), "is missing: it says how often the control plane is asked")
	}
	if out.Refresh = s.duration(m.GetRefreshDelay(), time.Minute, p.field("refresh_delay")); out.Refresh < leastPoll {
		s.problem(p.field("refresh_delay"), "%v: want %v or more", out.Refresh, leastPoll)
	}
	out.Timeout = s.duration(m.GetRequestTimeout(), defaultPoll, p.field("request_timeout"))
	return out
}

// server says whether a cluster can be a control plane.
func (s *session) server(name string, p *at) {
	if !s.controls[name] && !s.anybody {
		s.problem(p, "%q: want a cluster of static_resources that is not of type EDS or ORIGINAL_DST", name)
	}
}

// serversOf are the clusters that can be talked to before anything is discovered.
func serversOf(clusters []*clusterv3.Cluster) map[string]bool {
	out := map[string]bool{}
	for _, c := range clusters {
		out[c.GetName()] = c.GetClusterType() == nil && c.GetType() != clusterv3.Cluster_EDS && c.GetType() != clusterv3.Cluster_ORIGINAL_DST
	}
	return out
}
