package translate

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	security "istio.io/api/security/v1beta1"
)

// loose is a value with a * at its beginning or end, or alone. before stands before what is matched.
func loose(value, before string) *matcherv3.StringMatcher {
	switch {
	case value == "*":
		return regex(".+")
	case strings.HasPrefix(value, "*") && before == "":
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: value[1:]}}
	case strings.HasPrefix(value, "*"):
		return regex(regexp.QuoteMeta(before) + ".*" + regexp.QuoteMeta(value[1:]))
	case strings.HasSuffix(value, "*"):
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: before + value[:len(value)-1]}}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: before + value}}
}

func regex(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: text}}}
}

func authenticated(m *matcherv3.StringMatcher) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: m}}}
}

// expand has identities of the mesh's trust domain, or of one of its aliases, be those of all of them.
func (w *ruleWriter) expand(values []string) (list []string) {
	domains := append([]string{w.settings.TrustDomain}, w.settings.Config.GetTrustDomainAliases()...)
	for _, v := range values {
		domain, rest, ok := strings.Cut(v, "/")
		if !ok || !slices.Contains(domains, domain) {
			list = append(list, v)
			continue
		}
		for _, d := range domains {
			list = append(list, d+"/"+rest)
		}
	}
	return list
}

func (w *ruleWriter) principal(v string) *rbacv3.Principal {
	return authenticated(loose(v, "spiffe://"))
}

func (w *ruleWriter) space(v string) *rbacv3.Principal {
	parts := strings.Split(v, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return authenticated(regex(".*/ns/" + strings.Join(parts, ".*") + "/.*"))
}

func (w *ruleWriter) account(v string) *rbacv3.Principal {
	namespace, account, ok := strings.Cut(v, "/")
	if !ok {
		namespace, account = w.namespace, v
	}
	return authenticated(regex("spiffe://.+/ns/" + regexp.QuoteMeta(namespace) + "/(.+/|)sa/" + regexp.QuoteMeta(account) + "(/.+)?"))
}

func (w *ruleWriter) trustDomain(v string) *rbacv3.Principal {
	if v == "*" {
		return authenticated(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://"}})
	}
	before, after, ok := strings.Cut(v, "*")
	if !ok {
		return authenticated(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + v + "/"}})
	}
	return authenticated(regex("spiffe://" + regexp.QuoteMeta(before) + "[^/]*" + regexp.QuoteMeta(after) + "/.*"))
}

// block is a range of addresses; nil: it is none.
func block(v string) *corev3.CidrRange {
	if p, err := netip.ParsePrefix(v); err == nil {
		return cidr(p.Masked().String())
	}
	if _, err := netip.ParseAddr(v); err != nil {
		return nil
	}
	return cidr(v)
}

func (w *ruleWriter) direct(v string) *rbacv3.Principal {
	c := block(v)
	if c == nil {
		return nil
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: c}}
}

func (w *ruleWriter) remote(v string) *rbacv3.Principal {
	c := block(v)
	if c == nil {
		return nil
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: c}}
}

// claim is what the token that was taken must say; text: as a string, else in a list, or as one.
func claim(path []string, value *matcherv3.StringMatcher, text bool) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Metadata{Metadata: claimMatcher(path, value, text)}} // as Istio's
}

func claimMatcher(path []string, value *matcherv3.StringMatcher, text bool) *matcherv3.MetadataMatcher {
	one := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: value}}
	if !text { // a string among several, or alone
		list := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: one}}}}
		one = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{ValueMatchers: []*matcherv3.ValueMatcher{list, one}}}}
	}
	m := &matcherv3.MetadataMatcher{Filter: filterJWT, Value: one}
	for _, key := range append([]string{payloadKey}, path...) {
		m.Path = append(m.Path, &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	return m
}

// requestPrincipal is issuer/subject, of which either may be loose.
func (w *ruleWriter) requestPrincipal(v string) *rbacv3.Principal {
	if w.tcp {
		return nil
	}
	issuer, subject := v, ""
	whole := true
	if i := strings.LastIndexByte(v, '/'); i >= 0 { // issuers are often URLs
		issuer, subject, whole = v[:i], v[i+1:], false
	}
	i, s := loose(issuer, ""), loose(subject, "")
	switch {
	case v == "*":
		i, s = regex(".+"), regex(".+")
	case whole && strings.HasPrefix(v, "*"):
		i, s = regex(".+"), loose(v, "")
	case whole && strings.HasSuffix(v, "*"):
		s = regex(".+")
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: []*rbacv3.Principal{claim([]string{"iss"}, i, true), claim([]string{"sub"}, s, true)}}}}
}

// whenPrincipal is a condition about who asks; nil: it is not about that.
func (w *ruleWriter) whenPrincipal(c *security.Condition) (one func(string) *rbacv3.Principal, values, not []string) {
	key := c.GetKey()
	values, not = c.GetValues(), c.GetNotValues()
	listed := func(path ...string) func(string) *rbacv3.Principal {
		return func(v string) *rbacv3.Principal {
			if w.tcp {
				return nil
			}
			return claim(path, loose(v, ""), false)
		}
	}
	switch key {
	case "source.ip":
		return w.direct, values, not
	case "remote.ip":
		return w.remote, values, not
	case "source.namespace":
		return w.space, values, not
	case "source.trustDomain":
		return w.trustDomain, values, not
	case "source.serviceAccount":
		return w.account, values, not
	case "source.principal":
		return w.principal, w.expand(values), w.expand(not)
	case "request.auth.principal":
		return w.requestPrincipal, values, not
	case "request.auth.audiences":
		return listed("aud"), values, not
	case "request.auth.presenter":
		return listed("azp"), values, not
	}
	if name, ok := bracket(key, "request.headers"); ok {
		return func(v string) *rbacv3.Principal {
			if w.tcp {
				return nil
			}
			return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: looseHeader(name[0], v, false)}}
		}, values, not
	}
	if path, ok := bracket(key, "request.auth.claims"); ok {
		return listed(path...), values, not
	}
	return nil, nil, nil
}

// bracket reads name[a][b].
func bracket(key, name string) (inside []string, ok bool) {
	rest, ok := strings.CutPrefix(key, name+"[")
	if !ok || !strings.HasSuffix(rest, "]") || len(rest) == 1 {
		return nil, false
	}
	return strings.Split(rest[:len(rest)-1], "]["), true
}

// looseHeader is a field with a value as loose has it.
func looseHeader(name, value string, anyCase bool) *routev3.HeaderMatcher {
	if value == "*" {
		return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	}
	m := loose(value, "")
	m.IgnoreCase = anyCase
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

func (w *ruleWriter) host(v string) *rbacv3.Permission {
	if w.tcp {
		return nil
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: looseHeader(":authority", v, true)}}
}

func (w *ruleWriter) method(v string) *rbacv3.Permission {
	if w.tcp {
		return nil
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: looseHeader(":method", v, false)}}
}

func (w *ruleWriter) path(v string) *rbacv3.Permission {
	switch {
	case w.tcp:
		return nil
	case strings.Contains(v, "{*}") || strings.Contains(v, "{**}"):
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UriTemplate{UriTemplate: &corev3.TypedExtensionConfig{
			Name: "uri-template", TypedConfig: wrap(&templatev3.UriTemplateMatchConfig{PathTemplate: strings.NewReplacer("{**}", "**", "{*}", "*").Replace(v)}),
		}}}
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: loose(v, "")}}}}
}

func (w *ruleWriter) port(v string) *rbacv3.Permission {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return nil
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: uint32(n)}}
}

// whenPermission is a condition about what is asked for; nil: it is not about that.
func (w *ruleWriter) whenPermission(key string) func(string) *rbacv3.Permission {
	switch key {
	case "destination.ip":
		return func(v string) *rbacv3.Permission {
			if c := block(v); c != nil {
				return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: c}}
			}
			return nil
		}
	case "destination.port":
		return w.port
	case "connection.sni":
		return func(v string) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: loose(v, "")}}
		}
	}
	return nil
}
