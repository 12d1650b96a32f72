package decode

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dataaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

const maxFormat = 64 << 10 // bytes of a log format in a file

func (s *session) accessLog(m *accesslogv3.AccessLog, p *at) (log config.AccessLog) {
	if m.GetFilter() != nil {
		log.Filter = s.logFilter(m.GetFilter(), p.field("filter"))
	}
	p = p.field("typed_config")
	if m.GetTypedConfig() == nil {
		s.problem(p, "an access log is missing: want %s", s.allowed(lookup("envoy.config.accesslog.v3.AccessLog", "")["typed_config"]))
		return log
	}
	o := s.open(m.GetTypedConfig())
	p = p.as(o.name)
	switch m := o.message.(type) {
	case *filev3.FileAccessLog:
		log.Sink, log.Path = config.SinkFile, m.GetPath()
		switch f := m.GetAccessLogFormat().(type) {
		case *filev3.FileAccessLog_Format:
			// Envoy takes an empty format for none.
			log.Format = s.text(f.Format, accesslog.Options{}, p.field("format"))
		case *filev3.FileAccessLog_JsonFormat:
			log.Format = s.json(f.JsonFormat, accesslog.Options{}, p.field("json_format"))
		case *filev3.FileAccessLog_TypedJsonFormat:
			log.Format = s.json(f.TypedJsonFormat, accesslog.Options{}, p.field("typed_json_format"))
		case *filev3.FileAccessLog_LogFormat:
			log.Format = s.format(f.LogFormat, p.field("log_format"))
		}
	case *streamv3.StdoutAccessLog:
		log.Sink = config.SinkStdout
		if m.GetLogFormat() != nil {
			log.Format = s.format(m.GetLogFormat(), p.field("log_format"))
		}
	case *streamv3.StderrAccessLog:
		log.Sink = config.SinkStderr
		if m.GetLogFormat() != nil {
			log.Format = s.format(m.GetLogFormat(), p.field("log_format"))
		}
	case *grpcv3.HttpGrpcAccessLogConfig:
		log.Sink, log.Remote = config.SinkRemote, s.remoteLog(m.GetCommonConfig(), p.field("common_config"))
		log.Remote.RequestHeaders = lowered(m.GetAdditionalRequestHeadersToLog())
		log.Remote.ResponseHeaders = lowered(m.GetAdditionalResponseHeadersToLog())
		log.Remote.ResponseTrailers = lowered(m.GetAdditionalResponseTrailersToLog())
	case *grpcv3.TcpGrpcAccessLogConfig:
		log.Sink, log.Remote = config.SinkRemote, s.remoteLog(m.GetCommonConfig(), p.field("common_config"))
		log.Remote.Connections = true
	}
	if log.Format == nil && log.Remote == nil {
		log.Format = s.text("", accesslog.Options{}, p)
	}
	return log
}

// logFilter reads what is logged.
func (s *session) logFilter(m *accesslogv3.AccessLogFilter, p *at) *config.LogFilter {
	var f config.LogFilter
	switch v := m.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		f.Kind = config.LogStatus
		s.comparison(&f, v.StatusCodeFilter.GetComparison())
	case *accesslogv3.AccessLogFilter_DurationFilter:
		f.Kind = config.LogDuration
		s.comparison(&f, v.DurationFilter.GetComparison())
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		f.Kind = config.LogNoHealthCheck
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		f.Kind = config.LogShare
		f.Share, f.Key = Fraction(v.RuntimeFilter.GetPercentSampled()), config.RuntimeKey(v.RuntimeFilter.GetRuntimeKey())
	case *accesslogv3.AccessLogFilter_AndFilter:
		f.Kind = config.LogAll
		f.Parts = s.logFilters(v.AndFilter.GetFilters(), p.field("and_filter").field("filters"))
	case *accesslogv3.AccessLogFilter_OrFilter:
		f.Kind = config.LogAny
		f.Parts = s.logFilters(v.OrFilter.GetFilters(), p.field("or_filter").field("filters"))
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		f.Kind = config.LogHeaders
		f.Headers = []config.HeaderMatch{s.headerMatch(v.HeaderFilter.GetHeader(), p.field("header_filter").field("header"))}
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		f.Kind, f.Flags = config.LogFlags, v.ResponseFlagFilter.GetFlags()
		for i, name := range f.Flags {
			if !accesslog.IsFlag(name) {
				s.problem(p.field("response_flag_filter").field("flags").item(i), "not supported yet: nothing sets %s", name)
			}
		}
	case *accesslogv3.AccessLogFilter_GrpcStatusFilter:
		f.Kind, f.Exclude = config.LogGRPC, v.GrpcStatusFilter.GetExclude()
		for _, code := range v.GrpcStatusFilter.GetStatuses() {
			f.Codes = append(f.Codes, int(code))
		}
	case *accesslogv3.AccessLogFilter_LogTypeFilter:
		f.Kind, f.Exclude = config.LogTypes, v.LogTypeFilter.GetExclude()
		for _, t := range v.LogTypeFilter.GetTypes() {
			if m, ok := requestMoments[t]; ok {
				f.OfHTTP |= 1 << m
			}
			if m, ok := connectionMoments[t]; ok {
				f.OfTCP |= 1 << m
			}
		}
	case *accesslogv3.AccessLogFilter_ExtensionFilter:
		f.Kind = config.LogExpression
		f.Expression = s.expression(in[*celv3.ExpressionFilter](s, v.ExtensionFilter.GetTypedConfig()), p.field("extension_filter").field("typed_config"))
	case *accesslogv3.AccessLogFilter_MetadataFilter:
		f.Kind, f.Missing = config.LogMetadata, isTrue(v.MetadataFilter.GetMatchIfKeyNotFound(), true)
		if m := v.MetadataFilter.GetMatcher(); m != nil {
			c := s.metadataMatcher(m, p.field("metadata_filter").field("matcher"))
			f.Metadata = &c
		}
	}
	return &f
}

var requestMoments = map[dataaccesslogv3.AccessLogType]config.LogMoment{
	dataaccesslogv3.AccessLogType_DownstreamStart:                         config.LogAtStart,
	dataaccesslogv3.AccessLogType_DownstreamTunnelSuccessfullyEstablished: config.LogAtTunnel,
	dataaccesslogv3.AccessLogType_DownstreamPeriodic:                      config.LogMeanwhile,
	dataaccesslogv3.AccessLogType_DownstreamEnd:                           config.LogAtEnd,
}

var connectionMoments = map[dataaccesslogv3.AccessLogType]config.LogMoment{
	dataaccesslogv3.AccessLogType_TcpConnectionStart:   config.LogAtStart,
	dataaccesslogv3.AccessLogType_TcpUpstreamConnected: config.LogAtTunnel,
	dataaccesslogv3.AccessLogType_TcpPeriodic:          config.LogMeanwhile,
	dataaccesslogv3.AccessLogType_TcpConnectionEnd:     config.LogAtEnd,
}

func (s *session) logFilters(list []*accesslogv3.AccessLogFilter, p *at) (out []config.LogFilter) {
	for i, m := range list {
		out = append(out, *s.logFilter(m, p.item(i)))
	}
	return out
}

// comparison reads what a number is compared with.
func (s *session) comparison(f *config.LogFilter, m *accesslogv3.ComparisonFilter) {
	f.Value, f.Key = m.GetValue().GetDefaultValue(), config.RuntimeKey(m.GetValue().GetRuntimeKey())
	switch m.GetOp() {
	case accesslogv3.ComparisonFilter_GE:
		f.Compare = config.CompareAtLeast
	case accesslogv3.ComparisonFilter_LE:
		f.Compare = config.CompareAtMost
	case accesslogv3.ComparisonFilter_NE:
		f.Compare = config.CompareOther
	}
}

func (s *session) format(m *corev3.SubstitutionFormatString, p *at) *accesslog.Format {
	s.formatters(m.GetFormatters(), p)
	o := accesslog.Options{OmitEmpty: m.GetOmitEmptyValues()}
	switch f := m.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		return s.text(f.TextFormat, o, p.field("text_format"))
	case *corev3.SubstitutionFormatString_TextFormatSource:
		p = p.field("text_format_source")
		return s.text(string(s.data(f.TextFormatSource, maxFormat, p)), o, p)
	case *corev3.SubstitutionFormatString_JsonFormat:
		return s.json(f.JsonFormat, o, p.field("json_format"))
	}
	return s.text("", o, p)
}

// text reads a format; an empty one is the default.
func (s *session) text(text string, o accesslog.Options, p *at) *accesslog.Format {
	o.Expression = inFormats
	if text == "" {
		text = accesslog.DefaultText
	}
	f, err := accesslog.Parse(text, o)
	if err != nil {
		s.problem(p, "%v", err)
	}
	return f
}

func (s *session) json(m *structpb.Struct, o accesslog.Options, p *at) *accesslog.Format {
	o.Expression = inFormats
	f, err := accesslog.ParseJSON(m.AsMap(), o)
	if err != nil {
		s.problem(p, "%v", err)
	}
	return f
}
