package decode

import (
	"os"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// maxBatch bounds, in bytes, what of a log may be sent at once: servers take 4 MiB unless told otherwise.
const maxBatch = 1 << 20

// remoteLog reads an access log that a server keeps. Whether its cluster is there is not asked, since clusters come and go.
func (s *session) remoteLog(m *grpcv3.CommonGrpcAccessLogConfig, p *at) *config.RemoteLog {
	out := &config.RemoteLog{
		Name:     m.GetLogName(),
		Cluster:  s.grpcCluster(m.GetGrpcService(), p.field("grpc_service")),
		Interval: s.duration(m.GetBufferFlushInterval(), time.Second, p.field("buffer_flush_interval")),
		Size:     u32(m.GetBufferSizeBytes(), 16384),
		State:    m.GetFilterStateObjectsToLog(),
	}
	if out.Size > maxBatch {
		s.problem(p.field("buffer_size_bytes"), "%d: want at most %d", out.Size, maxBatch)
	}
	names := map[string]bool{}
	for i, t := range m.GetCustomTags() {
		p := p.field("custom_tags").item(i)
		if names[t.GetTag()] {
			s.problem(p.field("tag"), "%q: another one has this name", t.GetTag())
		}
		names[t.GetTag()] = true
		out.Tags = append(out.Tags, s.logTag(t, p))
	}
	return out
}

// grpcCluster is the cluster of a service that is called.
func (s *session) grpcCluster(m *corev3.GrpcService, p *at) string {
	if m.GetEnvoyGrpc() == nil {
		s.problem(p.field("envoy_grpc"), "is missing")
	}
	if len(m.GetInitialMetadata()) > 0 {
		s.problem(p.field("initial_metadata"), "not supported yet: a log is sent with nothing but its message; control planes are told more")
	}
	return m.GetEnvoyGrpc().GetClusterName()
}

// logTag reads a value that is told under a name, as a format that says the same.
func (s *session) logTag(m *tracingv3.CustomTag, p *at) config.LogTag {
	out := config.LogTag{Name: m.GetTag()}
	text := ""
	switch t := m.GetType().(type) {
	case *tracingv3.CustomTag_Literal_:
		text, p = literal(t.Literal.GetValue()), p.field("literal").field("value")
	case *tracingv3.CustomTag_Environment_:
		text, p = literal(os.Getenv(t.Environment.GetName())), p.field("environment")
		out.Otherwise = t.Environment.GetDefaultValue()
	case *tracingv3.CustomTag_RequestHeader:
		text, p = "%REQ("+t.RequestHeader.GetName()+")%", p.field("request_header").field("name")
		out.Otherwise = t.RequestHeader.GetDefaultValue()
	case *tracingv3.CustomTag_Metadata_:
		text, p = s.metadataTag(t.Metadata, p.field("metadata")), p.field("metadata")
		out.Otherwise = t.Metadata.GetDefaultValue()
		_, out.Chosen = t.Metadata.GetKind().GetKind().(*metadatav3.MetadataKind_Cluster_)
	case *tracingv3.CustomTag_Value:
		text, p = t.Value, p.field("value")
	default:
		s.problem(p, "a value is missing: want literal, environment, request_header, metadata or value")
	}
	f, err := accesslog.Parse(text, accesslog.Options{OmitEmpty: true, Expression: inFormats})
	if err != nil {
		s.problem(p, "%v", err)
	}
	out.Format = f
	return out
}

// literal is a format that says a text.
func literal(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// metadataTag is a format that tells a value of metadata.
func (s *session) metadataTag(m *tracingv3.CustomTag_Metadata, p *at) string {
	of := ""
	switch m.GetKind().GetKind().(type) {
	case *metadatav3.MetadataKind_Request_:
		of = "DYNAMIC"
	case *metadatav3.MetadataKind_Route_:
		of = "ROUTE"
	case *metadatav3.MetadataKind_Cluster_:
		of = "CLUSTER"
	case *metadatav3.MetadataKind_Host_:
		of = "UPSTREAM_HOST"
	default:
		s.problem(p.field("kind"), "is missing: want request, route, cluster or host")
	}
	parts := []string{of, m.GetMetadataKey().GetKey()}
	for _, segment := range m.GetMetadataKey().GetPath() {
		parts = append(parts, segment.GetKey())
	}
	for _, part := range parts[1:] {
		if strings.ContainsAny(part, ":)") {
			s.problem(p.field("metadata_key"), "%q: a key with a colon or a parenthesis cannot be told from others", part)
			return ""
		}
	}
	return "%METADATA(" + strings.Join(parts, ":") + ")%"
}

func lowered(names []string) (out []string) {
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}
