package decode

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
)

// What rules may not be is said with its path.
func TestAccessProblems(t *testing.T) {
	deep := `{any: true}`
	for range maxAccessDepth + 1 {
		deep = `{not_rule: ` + deep + `}`
	}
	wide := `{or_rules: {rules: [` + strings.Repeat(`{any: true}, `, maxAccessRules+2) + `]}}`
	one := func(permission, principal string) string {
		return `{policies: {p: {permissions: [` + permission + `], principals: [` + principal + `]}}}`
	}
	for _, test := range []struct {
		text  string
		about subject
		want  string
	}{
		{one(deep, `{any: true}`), ofRequests, `policies["p"].permissions[0]` + strings.Repeat(".not_rule", maxAccessDepth+1) + `: conditions are nested more than 32 deep`},
		{one(wide, `{any: true}`), ofRequests, `policies["p"].permissions[0].or_rules.rules[65535]: there are more than 65536 conditions`},
		{one(`{destination_port_range: {start: 3, end: 3}}`, `{any: true}`), ofRequests, `policies["p"].permissions[0].destination_port_range: no port is in [3, 3): want start below end, and neither below 0 or above 65536`},
		{one(`{destination_port_range: {start: 3, end: 65537}}`, `{any: true}`), ofRequests, `policies["p"].permissions[0].destination_port_range: no port is in [3, 65537)`},
		{one(`{destination_ip: {address_prefix: x}}`, `{any: true}`), ofRequests, `policies["p"].permissions[0].destination_ip`},
		{one(`{url_path: {path: {safe_regex: {regex: "("}}}}`, `{any: true}`), ofRequests, `policies["p"].permissions[0].url_path.path.safe_regex.regex: not a pattern of RE2`},
		{one(`{any: true}`, `{header: {name: a, present_match: true}}`), ofConnections, `policies["p"].principals[0].header: there is no request to look at where connections are let in`},
		{one(`{not_rule: {url_path: {path: {exact: a}}}}`, `{any: true}`), ofConnections, `policies["p"].permissions[0].not_rule.url_path: there is no request to look at`},
		{one(`{sourced_metadata: {metadata_source: ROUTE, metadata_matcher: {filter: a, path: [{key: b}], value: {null_match: {}}}}}`, `{any: true}`), ofConnections, `policies["p"].permissions[0].sourced_metadata.metadata_source: there is no request to look at`},
	} {
		s := (&Decoder{}).session()
		s.accessRules(parse(t, test.text, &rbacv3.RBAC{}), test.about, nil)
		if err := s.err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.80s: %.300v, want %s", test.text, err, test.want)
		}
	}
}

// grower makes policies of bytes.
type grower struct{ bytes []byte }

func (g *grower) next(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b) % n
}

func (g *grower) text() string { return string(rune('a' + g.next(3))) }

func (g *grower) matcher() *matcherv3.StringMatcher {
	if g.next(2) == 0 {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: g.text()}}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: g.text()}}
}

func (g *grower) header() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: g.text(), HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
}

func (g *grower) permission(depth int) *rbacv3.Permission {
	kind := g.next(8)
	if depth == 0 {
		kind = 3 + kind%5
	}
	set := func() *rbacv3.Permission_Set {
		s := &rbacv3.Permission_Set{}
		for range 1 + g.next(3) {
			s.Rules = append(s.Rules, g.permission(depth-1))
		}
		return s
	}
	switch kind {
	case 0:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: set()}}
	case 1:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: set()}}
	case 2:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: g.permission(depth - 1)}}
	case 3:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: g.header()}}
	case 4:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: g.matcher()}}}}
	case 5:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: uint32(g.next(3))}}
	case 6:
		return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPortRange{DestinationPortRange: &typev3.Int32Range{Start: int32(g.next(2)), End: int32(2 + g.next(2))}}}
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

func (g *grower) principal(depth int) *rbacv3.Principal {
	kind := g.next(8)
	if depth == 0 {
		kind = 3 + kind%5
	}
	set := func() *rbacv3.Principal_Set {
		s := &rbacv3.Principal_Set{}
		for range 1 + g.next(3) {
			s.Ids = append(s.Ids, g.principal(depth-1))
		}
		return s
	}
	switch kind {
	case 0:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: set()}}
	case 1:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: set()}}
	case 2:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: g.principal(depth - 1)}}
	case 3:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: g.header()}}
	case 4:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: g.matcher()}}}
	case 5:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{}}}
	case 6:
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_FilterState{FilterState: &matcherv3.FilterStateMatcher{Key: g.text(), Matcher: &matcherv3.FilterStateMatcher_StringMatch{StringMatch: g.matcher()}}}}
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

// client is who asks, made of bytes, too.
type client struct {
	match.Caller
	header, path, key, value string
	port                     uint16
	peer                     *match.Peer
}

func (c *client) Headers(list []config.HeaderMatch) bool { return list[0].Name == c.header }
func (c *client) Path() []byte                           { return []byte(c.path) }
func (c *client) Local() netip.AddrPort                  { return netip.AddrPortFrom(netip.IPv4Unspecified(), c.port) }
func (c *client) Peer() *match.Peer                      { return c.peer }
func (c *client) State(name string) (string, bool)       { return c.value, name == c.key }

// says, wants and are read protobuf as the documentation of Envoy does, without haste.
func says(m *matcherv3.StringMatcher, text string) bool {
	if p, ok := m.GetMatchPattern().(*matcherv3.StringMatcher_Prefix); ok {
		return strings.HasPrefix(text, p.Prefix)
	}
	return text == m.GetExact()
}

func (c *client) wants(m *rbacv3.Permission) bool {
	switch r := m.GetRule().(type) {
	case *rbacv3.Permission_AndRules:
		return !slices.ContainsFunc(r.AndRules.GetRules(), func(m *rbacv3.Permission) bool { return !c.wants(m) })
	case *rbacv3.Permission_OrRules:
		return slices.ContainsFunc(r.OrRules.GetRules(), c.wants)
	case *rbacv3.Permission_NotRule:
		return !c.wants(r.NotRule)
	case *rbacv3.Permission_Header:
		return r.Header.GetName() == c.header
	case *rbacv3.Permission_UrlPath:
		path, _, _ := strings.Cut(c.path, "?")
		return says(r.UrlPath.GetPath(), path)
	case *rbacv3.Permission_DestinationPort:
		return r.DestinationPort == uint32(c.port)
	case *rbacv3.Permission_DestinationPortRange:
		return r.DestinationPortRange.GetStart() <= int32(c.port) && int32(c.port) < r.DestinationPortRange.GetEnd()
	}
	return m.GetAny()
}

func (c *client) is(m *rbacv3.Principal) bool {
	switch r := m.GetIdentifier().(type) {
	case *rbacv3.Principal_AndIds:
		return !slices.ContainsFunc(r.AndIds.GetIds(), func(m *rbacv3.Principal) bool { return !c.is(m) })
	case *rbacv3.Principal_OrIds:
		return slices.ContainsFunc(r.OrIds.GetIds(), c.is)
	case *rbacv3.Principal_NotId:
		return !c.is(r.NotId)
	case *rbacv3.Principal_Header:
		return r.Header.GetName() == c.header
	case *rbacv3.Principal_Authenticated_:
		m := r.Authenticated.GetPrincipalName()
		return c.peer != nil && (m == nil || slices.ContainsFunc(append(slices.Concat(c.peer.URIs, c.peer.Hosts), c.peer.Subject), func(name string) bool { return says(m, name) }))
	case *rbacv3.Principal_FilterState:
		return r.FilterState.GetKey() == c.key && says(r.FilterState.GetStringMatch(), c.value)
	}
	return m.GetAny()
}

// FuzzAccess: policies mean to the walk over what was read of them what protobuf says.
func FuzzAccess(f *testing.F) {
	f.Add([]byte("0123456789"), []byte("abc"))
	f.Add([]byte{1, 2, 0, 1, 2, 3, 4, 2, 1, 1, 0, 4, 0, 1, 6, 2, 2, 5, 1, 0, 1}, []byte{1, 2, 1, 0, 2, 1, 3})
	f.Fuzz(func(t *testing.T, policies, who []byte) {
		g := &grower{policies}
		m := &rbacv3.RBAC{Action: rbacv3.RBAC_Action(g.next(3)), Policies: map[string]*rbacv3.Policy{}}
		for range g.next(5) {
			p := &rbacv3.Policy{}
			for range 1 + g.next(2) {
				p.Permissions = append(p.Permissions, g.permission(3))
				p.Principals = append(p.Principals, g.principal(3))
			}
			m.Policies[fmt.Sprint(g.next(100))] = p
		}
		w := &grower{who}
		c := &client{header: w.text(), path: w.text() + []string{"", "?a"}[w.next(2)], key: w.text(), value: w.text(), port: uint16(w.next(4))}
		if w.next(3) > 0 {
			c.peer = &match.Peer{URIs: []string{w.text(), w.text()}, Hosts: []string{w.text()}, Subject: w.text()}
		}
		r, err := AccessRules(m, "rules")
		if err != nil {
			t.Fatal(err)
		}
		want := "none"
		for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
			if p := m.GetPolicies()[name]; slices.ContainsFunc(p.GetPermissions(), c.wants) && slices.ContainsFunc(p.GetPrincipals(), c.is) {
				want = name
				break
			}
		}
		got, by := "none", match.Access(r, c)
		if by >= 0 {
			got = r.Policies[by].Name
		}
		passes := m.GetAction() == rbacv3.RBAC_LOG || (m.GetAction() == rbacv3.RBAC_ALLOW) == (want != "none")
		if got != want || match.Passes(r, by) != passes {
			t.Errorf("%v of %+v: policy %s passes %v, want %s %v", m, c, got, match.Passes(r, by), want, passes)
		}
	})
}
