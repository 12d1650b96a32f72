package decode

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	formatterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/cel/v3"

	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/telemetry/expression"
)

// expression reads what must be true of what is logged.
func (s *session) expression(m *celv3.ExpressionFilter, p *at) accesslog.Expression {
	if m == nil {
		s.problem(p, "an expression is missing: want %s", s.allowed(lookup("envoy.config.accesslog.v3.ExtensionFilter", "")["typed_config"]))
		return nil
	}
	c := m.GetCelConfig()
	x, err := expression.Compile(m.GetExpression(), expression.Options{Conversion: c.GetEnableStringConversion(), Concat: c.GetEnableStringConcat()})
	if err != nil {
		s.problem(p.as("ExpressionFilter").field("expression"), "%v", err)
	}
	return x
}

// inFormats reads an expression within a format.
func inFormats(text string) (accesslog.Expression, error) {
	x, err := expression.Compile(text, expression.Options{})
	return x, err
}

// formatters refuses what a formatter would change about expressions in formats.
func (s *session) formatters(list []*corev3.TypedExtensionConfig, p *at) {
	for i, m := range list {
		if in[*formatterv3.Cel](s, m.GetTypedConfig()).GetCelConfig() != nil {
			p := p.field("formatters").item(i).field("typed_config").as("Cel").field("cel_config")
			s.problem(p, "not supported yet: expressions in formats have no more functions than usual")
		}
	}
}
