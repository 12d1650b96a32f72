package decode

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

const maxFormat = 64 << 10 // bytes of a log format in a file

func (s *session) accessLog(m *accesslogv3.AccessLog, p *at) (log config.AccessLog) {
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
			log.Format = s.json(f.JsonFormat, p.field("json_format"))
		case *filev3.FileAccessLog_TypedJsonFormat:
			log.Format = s.json(f.TypedJsonFormat, p.field("typed_json_format"))
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
	}
	if log.Format == nil {
		log.Format = s.text("", accesslog.Options{}, p)
	}
	return log
}

func (s *session) format(m *corev3.SubstitutionFormatString, p *at) *accesslog.Format {
	o := accesslog.Options{OmitEmpty: m.GetOmitEmptyValues()}
	switch f := m.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		return s.text(f.TextFormat, o, p.field("text_format"))
	case *corev3.SubstitutionFormatString_TextFormatSource:
		p = p.field("text_format_source")
		return s.text(string(s.data(f.TextFormatSource, maxFormat, p)), o, p)
	case *corev3.SubstitutionFormatString_JsonFormat:
		if o.OmitEmpty {
			s.problem(p.field("omit_empty_values"), "not supported yet: a JSON log says null for what is missing")
		}
		return s.json(f.JsonFormat, p.field("json_format"))
	}
	return s.text("", o, p)
}

// text reads a format; an empty one is the default.
func (s *session) text(text string, o accesslog.Options, p *at) *accesslog.Format {
	if text == "" {
		text = accesslog.DefaultText
	}
	f, err := accesslog.Parse(text, o)
	if err != nil {
		s.problem(p, "%v", err)
	}
	return f
}

func (s *session) json(m *structpb.Struct, p *at) *accesslog.Format {
	f, err := accesslog.ParseJSON(m.AsMap())
	if err != nil {
		s.problem(p, "%v", err)
	}
	return f
}
