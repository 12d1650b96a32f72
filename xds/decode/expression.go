package decode

import (
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"

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
