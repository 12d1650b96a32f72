package decode

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rewritev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// rewrites reads how a route changes the path; template says that it matches by one.
func (s *session) rewrites(f *config.Forward, m *routev3.RouteAction, template bool, match *config.Match, p *at) {
	var set []string
	if m.GetPrefixRewrite() != "" {
		set = append(set, "prefix_rewrite")
		if template {
			s.problem(p.field("prefix_rewrite"), "a template has no prefix: use path_rewrite_policy")
		}
	}
	if r := m.GetRegexRewrite(); r != nil {
		set = append(set, "regex_rewrite")
		f.Path = &config.PathRewrite{Replace: s.replacement(r, p.field("regex_rewrite"))}
	}
	if r := m.GetPathRewritePolicy(); r != nil {
		set = append(set, "path_rewrite_policy")
		p := p.field("path_rewrite_policy")
		if !template {
			s.problem(p, "wants a path_match_policy to take its variables from")
		} else {
			f.Path = &config.PathRewrite{Replace: s.templateRewrite(r, match, p)}
		}
	}
	if text := m.GetPathRewrite(); text != "" {
		set = append(set, "path_rewrite")
		f.Path = &config.PathRewrite{Format: s.text(s.line(text, p.field("path_rewrite")), accesslog.Options{OmitEmpty: true}, p.field("path_rewrite"))}
	}
	if len(set) > 1 {
		s.problem(p.field(set[1]), "%s rewrites the path, too: leave one of the two out", set[0])
	}
}

func (s *session) hostRewrite(m *routev3.RouteAction, p *at) *config.HostRewrite {
	switch h := m.GetHostRewriteSpecifier().(type) {
	case *routev3.RouteAction_AutoHostRewrite:
		if h.AutoHostRewrite.GetValue() {
			return &config.HostRewrite{Endpoint: true}
		}
	case *routev3.RouteAction_HostRewriteHeader:
		if name := s.fieldName(h.HostRewriteHeader, p.field("host_rewrite_header")); name != "" {
			return &config.HostRewrite{Header: name}
		}
	case *routev3.RouteAction_HostRewritePathRegex:
		return &config.HostRewrite{Path: s.replacement(h.HostRewritePathRegex, p.field("host_rewrite_path_regex"))}
	case *routev3.RouteAction_HostRewrite:
		if h.HostRewrite != "" {
			return &config.HostRewrite{Format: s.text(s.line(h.HostRewrite, p.field("host_rewrite")), accesslog.Options{}, p.field("host_rewrite"))}
		}
	}
	return nil
}

// fieldName reads the name of a request's field, which need not be set.
func (s *session) fieldName(name string, p *at) string {
	name = strings.ToLower(name)
	switch name {
	case "", ":method", ":path", ":authority", ":scheme":
	default:
		if !token(name) {
			s.problem(p, "%q is no name of a field: want letters, digits and !#$%%&'*+-.^_`|~", name)
		}
	}
	return name
}

// replacement reads a pattern, which may match any part of a text, and what takes the place of what it matches: \\1 stands for the first
// group, \\0 for all of it.
func (s *session) replacement(m *matcherv3.RegexMatchAndSubstitute, p *at) *config.Replacement {
	r := &config.Replacement{Pattern: s.pattern(m.GetPattern().GetRegex(), "", "", p.field("pattern").field("regex"))}
	p = p.field("substitution")
	text := s.line(m.GetSubstitution(), p)
	literal := ""
	flush := func() {
		if literal != "" {
			r.With = append(r.With, config.ReplacementPart{Text: literal})
			literal = ""
		}
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			literal += text[i : i+1]
			continue
		}
		i++
		switch {
		case i < len(text) && text[i] == '\\':
			literal += "\\"
		case i < len(text) && '0' <= text[i] && text[i] <= '9':
			group := int(text[i] - '0')
			if r.Pattern != nil && group > r.Pattern.NumSubexp() {
				s.problem(p, "\\%d: the pattern has %d groups", group, r.Pattern.NumSubexp())
			}
			flush()
			r.With = append(r.With, config.ReplacementPart{Group: group})
		default:
			s.problem(p, "a digit or another backslash must follow a backslash")
		}
	}
	flush()
	return r
}

// templateRewrite reads a path with the variables of the template that the route matches by.
func (s *session) templateRewrite(m *corev3.TypedExtensionConfig, match *config.Match, p *at) *config.Replacement {
	c := in[*rewritev3.UriTemplateRewriteConfig](s, m.GetTypedConfig())
	if c == nil || match.Regex == nil {
		return nil // refused already
	}
	p = p.field("typed_config").as("UriTemplateRewriteConfig").field("path_template_rewrite")
	r, rest := &config.Replacement{Pattern: match.Regex}, c.GetPathTemplateRewrite()
	if !strings.HasPrefix(rest, "/") {
		s.problem(p, "a path begins with /")
	}
	for rest != "" {
		i := 0
		for i < len(rest) && (rest[i] == '/' || strings.IndexByte(literalBytes, rest[i]) >= 0) {
			i++
		}
		if i > 0 {
			r.With = append(r.With, config.ReplacementPart{Text: rest[:i]})
			rest = rest[i:]
			continue
		}
		name, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
		if rest[0] != '{' || !ok {
			s.problem(p, "%q: want the characters of a path, or {name}", rest)
			return nil
		}
		group := match.Regex.SubexpIndex(name)
		if group < 0 {
			s.problem(p, "the template that is matched has no variable %q", name)
		}
		r.With, rest = append(r.With, config.ReplacementPart{Group: group}), after
	}
	return r
}

// maxHashPolicies is as many as a word has bits: for each it is remembered whether it gave the client a cookie.
const maxHashPolicies = 64

func (s *session) hashPolicies(list []*routev3.RouteAction_HashPolicy, p *at) []config.HashPolicy {
	if len(list) > maxHashPolicies {
		s.problem(p, "%d: want %d at most", len(list), maxHashPolicies)
	}
	var out []config.HashPolicy
	for i, m := range list {
		p, h := p.item(i), config.HashPolicy{Terminal: m.GetTerminal()}
		switch v := m.GetPolicySpecifier().(type) {
		case *routev3.RouteAction_HashPolicy_Header_:
			p := p.field("header")
			h.Kind, h.Name = config.HashHeader, s.fieldName(v.Header.GetHeaderName(), p.field("header_name"))
			if r := v.Header.GetRegexRewrite(); r != nil {
				h.Replace = s.replacement(r, p.field("regex_rewrite"))
			}
		case *routev3.RouteAction_HashPolicy_Cookie_:
			h.Kind, h.Name = config.HashCookie, s.cookieText(v.Cookie.GetName(), p.field("cookie").field("name"))
			h.Cookie = s.newCookie(v.Cookie, p.field("cookie"))
		case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
			if !v.ConnectionProperties.GetSourceIp() {
				continue // hashes nothing
			}
			h.Kind = config.HashSource
		case *routev3.RouteAction_HashPolicy_QueryParameter_:
			h.Kind, h.Name = config.HashQuery, v.QueryParameter.GetName()
		case *routev3.RouteAction_HashPolicy_FilterState_:
			h.Kind, h.Name = config.HashState, v.FilterState.GetKey()
		}
		out = append(out, h)
	}
	return out
}

// newCookie reads how a client gets a cookie that it does not have; nil without a time to live, even 0: then it gets none.
func (s *session) newCookie(m *routev3.RouteAction_HashPolicy_Cookie, p *at) *config.NewCookie {
	if m.GetTtl() == nil {
		return nil
	}
	c := &config.NewCookie{TTL: s.duration(m.GetTtl(), 0, p.field("ttl")), Path: s.cookieText(m.GetPath(), p.field("path"))}
	for i, a := range m.GetAttributes() {
		p := p.field("attributes").item(i)
		c.Attributes = append(c.Attributes, config.CookieAttribute{Name: s.cookieText(a.GetName(), p.field("name")), Value: s.cookieText(a.GetValue(), p.field("value"))})
	}
	return c
}

// cookieText refuses what would end a part of a cookie.
func (s *session) cookieText(text string, p *at) string {
	if strings.ContainsAny(text, ";,") {
		s.problem(p, "%q holds a character that parts cookies", text)
	}
	return s.line(text, p)
}
