package decode

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

func (s *session) match(m *routev3.RouteMatch, p *at) config.Match {
	c := config.Match{CaseSensitive: isTrue(m.GetCaseSensitive(), true)}
	switch v := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		c.Kind, c.Path = config.PathPrefix, v.Prefix
	case *routev3.RouteMatch_Path:
		c.Kind, c.Path = config.PathExact, v.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		c.Kind, c.Path = config.PathSeparatedPrefix, v.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		c.Kind = config.PathRegex
		c.Path, c.Regex = s.pathRegex(v.SafeRegex, p.field("safe_regex"))
	case *routev3.RouteMatch_ConnectMatcher_:
		c.Kind = config.PathConnect
	case *routev3.RouteMatch_PathMatchPolicy:
		c.Kind, c.Regex = config.PathRegex, s.template(v.PathMatchPolicy, p.field("path_match_policy"))
	}
	for i, h := range m.GetHeaders() {
		c.Headers = append(c.Headers, s.headerMatch(h, p.field("headers").item(i)))
	}
	c.Also = s.conditions(m, p)
	return c
}

// conditions reads what few routes ask for; nil if this one asks for none of it.
func (s *session) conditions(m *routev3.RouteMatch, p *at) *config.Conditions {
	c := config.Conditions{GRPC: m.GetGrpc() != nil}
	for i, q := range m.GetQueryParameters() {
		c.Query = append(c.Query, s.queryMatch(q, p.field("query_parameters").item(i)))
	}
	for i, k := range m.GetCookies() {
		c.Cookies = append(c.Cookies, config.CookieMatch{
			Name:   k.GetName(),
			String: s.stringMatch(k.GetStringMatch(), p.field("cookies").item(i).field("string_match")),
			Invert: k.GetInvertMatch(),
		})
	}
	for i, d := range m.GetDynamicMetadata() {
		c.Metadata = append(c.Metadata, s.metadataMatcher(d, p.field("dynamic_metadata").item(i)))
	}
	for i, f := range m.GetFilterState() {
		c.State = append(c.State, config.StateMatch{Name: f.GetKey(), String: s.stringMatch(f.GetStringMatch(), p.field("filter_state").item(i).field("string_match"))})
	}
	if f := m.GetRuntimeFraction(); f != nil {
		share := RuntimeFraction(f, config.Always)
		c.Share = &share
	}
	if t := m.GetTlsContext(); t != nil {
		c.CertificatePresented, c.CertificateValidated = maybeTrue(t.GetPresented()), maybeTrue(t.GetValidated())
	}
	if !c.GRPC && c.Query == nil && c.Cookies == nil && c.Metadata == nil && c.State == nil && c.Share == nil && c.CertificatePresented == nil && c.CertificateValidated == nil {
		return nil
	}
	return &c
}

func (s *session) queryMatch(m *routev3.QueryParameterMatcher, p *at) config.QueryMatch {
	c := config.QueryMatch{Name: m.GetName()}
	switch v := m.GetQueryParameterMatchSpecifier().(type) {
	case *routev3.QueryParameterMatcher_StringMatch:
		c.String = s.stringMatch(v.StringMatch, p.field("string_match"))
	case *routev3.QueryParameterMatcher_PresentMatch:
		c.Present = &v.PresentMatch
	default:
		there := true
		c.Present = &there
	}
	return c
}

func (s *session) headerMatch(m *routev3.HeaderMatcher, p *at) config.HeaderMatch {
	c := config.HeaderMatch{
		Name:         strings.ToLower(m.GetName()),
		Invert:       m.GetInvertMatch(),
		MissingEmpty: m.GetTreatMissingHeaderAsEmpty(),
	}
	switch v := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_ExactMatch:
		c.String = config.StringMatch{Kind: config.StringExact, Value: v.ExactMatch}
	case *routev3.HeaderMatcher_PrefixMatch:
		c.String = config.StringMatch{Kind: config.StringPrefix, Value: v.PrefixMatch}
	case *routev3.HeaderMatcher_SuffixMatch:
		c.String = config.StringMatch{Kind: config.StringSuffix, Value: v.SuffixMatch}
	case *routev3.HeaderMatcher_ContainsMatch:
		c.String = config.StringMatch{Kind: config.StringContains, Value: v.ContainsMatch}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		c.String = config.StringMatch{Kind: config.StringRegex, Regex: s.regex(v.SafeRegexMatch, p.field("safe_regex_match"))}
	case *routev3.HeaderMatcher_StringMatch:
		c.String = s.stringMatch(v.StringMatch, p.field("string_match"))
	case *routev3.HeaderMatcher_RangeMatch:
		c.Range = &config.Int64Range{Start: v.RangeMatch.GetStart(), End: v.RangeMatch.GetEnd()}
		if c.Range.Start >= c.Range.End {
			s.problem(p.field("range_match"), "nothing is in [%d, %d): want start below end", c.Range.Start, c.Range.End)
		}
	case *routev3.HeaderMatcher_PresentMatch:
		// Absence is what present_match: false asks for.
		c.Present, c.Invert = true, c.Invert != !v.PresentMatch
	default:
		c.Present = true
	}
	return c
}

// changes is any message that changes header fields.
type changes interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

func (s *session) headers(m changes, p *at) config.HeaderChanges {
	return config.HeaderChanges{
		RequestAdd:     s.additions(m.GetRequestHeadersToAdd(), p.field("request_headers_to_add")),
		RequestRemove:  s.removals(m.GetRequestHeadersToRemove(), p.field("request_headers_to_remove")),
		ResponseAdd:    s.additions(m.GetResponseHeadersToAdd(), p.field("response_headers_to_add")),
		ResponseRemove: s.removals(m.GetResponseHeadersToRemove(), p.field("response_headers_to_remove")),
	}
}

func (s *session) additions(list []*corev3.HeaderValueOption, p *at) []config.HeaderAdd {
	var out []config.HeaderAdd
	for i, m := range list {
		p := p.item(i)
		name := strings.ToLower(m.GetHeader().GetKey())
		switch {
		case fixed(name):
			s.problem(p.field("header").field("key"), "%s may not be changed; to change the host, use host_rewrite_literal", name)
		case !token(name):
			s.problem(p.field("header").field("key"), "%q is no name of a field: want letters, digits and !#$%%&'*+-.^_`|~", name)
		}
		a := config.HeaderAdd{Name: name, KeepEmpty: m.GetKeepEmptyValue(), Action: addAction[m.GetAppendAction()]}
		if old := m.GetAppend(); old != nil {
			if m.GetAppendAction() != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
				s.problem(p.field("append"), "append_action says it already: leave one of the two out")
			}
			if !old.GetValue() {
				a.Action = config.AddOverwrite
			}
		}
		format, err := accesslog.Parse(m.GetHeader().GetValue(), accesslog.Options{OmitEmpty: true, Expression: inFormats})
		if err != nil {
			s.problem(p.field("header").field("value"), "%v", err)
		}
		a.Value = format
		out = append(out, a)
	}
	return out
}

var addAction = map[corev3.HeaderValueOption_HeaderAppendAction]config.AddAction{
	corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:    config.AddAppend,
	corev3.HeaderValueOption_ADD_IF_ABSENT:              config.AddIfAbsent,
	corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD: config.AddOverwrite,
	corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:        config.AddOverwriteIfExists,
}

func (s *session) removals(list []string, p *at) []string {
	var out []string
	for i, name := range list {
		name = strings.ToLower(name)
		if fixed(name) {
			s.problem(p.item(i), "%s may not be removed", name)
		}
		out = append(out, name)
	}
	return out
}

// fixed says that a field is what routing rests upon, so that no configuration may change it.
func fixed(name string) bool { return strings.HasPrefix(name, ":") || name == "host" }

// token says that a name can be written (RFC 9110 §5.6.2).
func token(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
