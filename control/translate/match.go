package translate

import (
	"maps"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// matchOf is the condition of a route; nil is always true. What depends on who asks is decided before.
func matchOf(m *networking.HTTPMatchRequest) *routev3.RouteMatch {
	r := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	if m == nil {
		return r
	}
	switch p := m.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		r.PathSpecifier = &routev3.RouteMatch_Path{Path: p.Exact}
	case *networking.StringMatch_Prefix:
		r.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: p.Prefix}
	case *networking.StringMatch_Regex:
		r.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: p.Regex}}
	}
	r.CaseSensitive = wrapperspb.Bool(!m.GetIgnoreUriCase())
	for _, name := range slices.Sorted(maps.Keys(m.GetHeaders())) {
		if path := claimPath(name); path != nil {
			r.DynamicMetadata = append(r.DynamicMetadata, claimMatch(path, m.GetHeaders()[name]))
			continue
		}
		r.Headers = append(r.Headers, headerMatch(name, m.GetHeaders()[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetWithoutHeaders())) {
		if path := claimPath(name); path != nil {
			c := claimMatch(path, m.GetWithoutHeaders()[name])
			c.Invert = true
			r.DynamicMetadata = append(r.DynamicMetadata, c)
			continue
		}
		h := headerMatch(name, m.GetWithoutHeaders()[name])
		h.InvertMatch = true
		h.TreatMissingHeaderAsEmpty = !present(m.GetWithoutHeaders()[name])
		r.Headers = append(r.Headers, h)
	}
	slices.SortStableFunc(r.Headers, func(a, b *routev3.HeaderMatcher) int {
		if a.Name < b.Name {
			return -1
		} else if a.Name > b.Name {
			return 1
		}
		return 0
	})
	for _, field := range []struct {
		name  string
		value *networking.StringMatch
	}{{":method", m.GetMethod()}, {":authority", m.GetAuthority()}, {":scheme", m.GetScheme()}} {
		if field.value != nil {
			r.Headers = append(r.Headers, headerMatch(field.name, field.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetQueryParams())) {
		q := &routev3.QueryParameterMatcher{Name: name, QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}}
		if want := m.GetQueryParams()[name]; !present(want) {
			q.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: stringOf(want)}
		}
		r.QueryParameters = append(r.QueryParameters, q)
	}
	return r
}

// claimsPrefix begins the name of a header that is none, but a claim of the request's token.
const claimsPrefix = "@request.auth.claims"

// claimPath reads @request.auth.claims.a.b or @request.auth.claims[a][b]; nil: it is a header.
func claimPath(name string) []string {
	if path, ok := bracket(name, claimsPrefix); ok {
		return path
	}
	if rest, ok := strings.CutPrefix(name, claimsPrefix+"."); ok && rest != "" {
		return strings.Split(rest, ".")
	}
	return nil
}

func claimMatch(path []string, m *networking.StringMatch) *matcherv3.MetadataMatcher {
	want := regex(".+")
	if !present(m) {
		want = stringOf(m)
	}
	return claimMatcher(path, want, false)
}

func headerMatch(name string, m *networking.StringMatch) *routev3.HeaderMatcher {
	h := &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	if !present(m) {
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: stringOf(m)}
	}
	return h
}

// present tells whether it is enough that something is there: nothing is said of it, or the expression *, which is none.
func present(m *networking.StringMatch) bool { return m.GetMatchType() == nil || m.GetRegex() == "*" }

func stringOf(m *networking.StringMatch) *matcherv3.StringMatcher {
	switch p := m.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p.Prefix}}
	case *networking.StringMatch_Regex:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: p.Regex}}}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: m.GetExact()}}
}
