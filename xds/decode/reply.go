package decode

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// replies reads what becomes of answers in the upstream's place; nil if nothing does.
func (s *session) replies(m *hcmv3.LocalReplyConfig, p *at) *config.Replies {
	if len(m.GetMappers()) == 0 && m.GetBodyFormat() == nil {
		return nil
	}
	r := &config.Replies{Format: s.bodyFormat(m.GetBodyFormat(), p.field("body_format"))}
	for i, m := range m.GetMappers() {
		p := p.field("mappers").item(i)
		c := config.ReplyMapper{
			Filter:  s.logFilter(m.GetFilter(), p.field("filter")),
			Status:  uint16(m.GetStatusCode().GetValue()),
			Format:  s.bodyFormat(m.GetBodyFormatOverride(), p.field("body_format_override")),
			Headers: s.additions(m.GetHeadersToAdd(), p.field("headers_to_add")),
		}
		if m.GetBody() != nil {
			body := s.data(m.GetBody(), maxBodyLimit, p.field("body"))
			c.Body = &body
		}
		r.Mappers = append(r.Mappers, c)
	}
	return r
}

// bodyFormat reads what makes a body; nil if nothing does. Here, an empty text is one.
func (s *session) bodyFormat(m *corev3.SubstitutionFormatString, p *at) *config.BodyFormat {
	if m == nil {
		return nil
	}
	b := &config.BodyFormat{Type: s.line(m.GetContentType(), p.field("content_type"))}
	s.formatters(m.GetFormatters(), p)
	o := accesslog.Options{OmitEmpty: m.GetOmitEmptyValues(), Expression: inFormats}
	text := m.GetTextFormat()
	switch f := m.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_JsonFormat:
		if b.Type == "" {
			b.Type = "application/json"
		}
		b.Format, b.JSON = s.json(f.JsonFormat, o, p.field("json_format")), true
		return b
	case *corev3.SubstitutionFormatString_TextFormatSource:
		p = p.field("text_format_source")
		text = string(s.data(f.TextFormatSource, maxFormat, p))
	default:
		p = p.field("text_format")
	}
	f, err := accesslog.Parse(text, o)
	if err != nil {
		s.problem(p, "%v", err)
	}
	b.Format = f
	return b
}
