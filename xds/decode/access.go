package decode

import (
	"maps"
	"math"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// What rules may be, so that a request need not be held against more than that.
const (
	maxAccessDepth = 32
	maxAccessRules = 1 << 16 // conditions of all policies together
)

// AccessRules reads who may do what with requests; nil: nothing is said.
func AccessRules(m *rbacv3.RBAC, path string) (*config.AccessRules, error) {
	return part(m, path, func(s *session, m *rbacv3.RBAC, p *at) *config.AccessRules { return s.accessRules(m, ofRequests, p) })
}

// subject is what rules are about.
type subject bool

const (
	ofRequests    subject = false
	ofConnections subject = true
)

func (s *session) accessRules(m *rbacv3.RBAC, about subject, p *at) *config.AccessRules {
	if m == nil {
		return nil
	}
	r := &config.AccessRules{Action: config.AccessAllow}
	switch m.GetAction() {
	case rbacv3.RBAC_DENY:
		r.Action = config.AccessDeny
	case rbacv3.RBAC_LOG:
		r.Action = config.AccessNote
	}
	a := &accessReader{session: s, about: about}
	for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
		of, p := m.GetPolicies()[name], p.field("policies").key(name)
		one := config.AccessPolicy{Name: name}
		for i, m := range of.GetPermissions() {
			one.Permissions = append(one.Permissions, a.permission(m, 0, p.field("permissions").item(i)))
		}
		for i, m := range of.GetPrincipals() {
			one.Principals = append(one.Principals, a.principal(m, 0, p.field("principals").item(i)))
		}
		r.Policies = append(r.Policies, one)
	}
	return r
}

// accessReader reads conditions, and counts them.
type accessReader struct {
	*session
	about subject
	count int
}

// bounded says that a condition may be read.
func (a *accessReader) bounded(depth int, p *at) bool {
	a.count++
	switch {
	case depth > maxAccessDepth:
		a.problem(p, "conditions are nested more than %d deep", maxAccessDepth)
	case a.count == maxAccessRules+1:
		a.problem(p, "there are more than %d conditions", maxAccessRules)
	}
	return depth <= maxAccessDepth && a.count <= maxAccessRules
}

// request says that a condition is about requests. Of connections none holds: one that denies would deny nobody, which Envoy lets happen with
// paths.
func (a *accessReader) request(p *at) *at {
	if a.about == ofConnections {
		a.problem(p, "there is no request to look at where connections are let in: leave the condition out, or have the HTTP filter look at it")
	}
	return p
}

func (a *accessReader) permission(m *rbacv3.Permission, depth int, p *at) (c config.Access) {
	c.Kind = config.AccessNobody // what is not read is refused
	if !a.bounded(depth, p) {
		return c
	}
	switch v := m.GetRule().(type) {
	case *rbacv3.Permission_Any:
		c.Kind = config.AccessEverybody
	case *rbacv3.Permission_AndRules:
		c.Kind, c.Of = config.AccessAll, permissions(a, v.AndRules, depth, p.field("and_rules"))
	case *rbacv3.Permission_OrRules:
		c.Kind, c.Of = config.AccessAny, permissions(a, v.OrRules, depth, p.field("or_rules"))
	case *rbacv3.Permission_NotRule:
		c.Kind, c.Of = config.AccessNot, []config.Access{a.permission(v.NotRule, depth+1, p.field("not_rule"))}
	case *rbacv3.Permission_Header:
		c.Kind, c.Headers = config.AccessHeader, []config.HeaderMatch{a.headerMatch(v.Header, a.request(p.field("header")))}
	case *rbacv3.Permission_UrlPath:
		c.Kind, c.String = config.AccessPath, a.path(v.UrlPath, a.request(p.field("url_path")))
	case *rbacv3.Permission_UriTemplate:
		c.Kind, c.String = config.AccessPath, &config.StringMatch{Kind: config.StringRegex, Regex: a.template(v.UriTemplate, a.request(p.field("uri_template")))}
	case *rbacv3.Permission_DestinationIp:
		c.Kind, c.Range = config.AccessLocal, a.within(v.DestinationIp, p.field("destination_ip"))
	case *rbacv3.Permission_DestinationPort:
		c.Kind, c.From, c.To = config.AccessPort, v.DestinationPort, v.DestinationPort+1
	case *rbacv3.Permission_DestinationPortRange:
		start, end := v.DestinationPortRange.GetStart(), v.DestinationPortRange.GetEnd()
		if c.Kind, c.From, c.To = config.AccessPort, uint32(start), uint32(end); start < 0 || start >= end || end > math.MaxUint16+1 {
			a.problem(p.field("destination_port_range"), "no port is in [%d, %d): want start below end, and neither below 0 or above 65536", start, end)
		}
	case *rbacv3.Permission_RequestedServerName:
		c.Kind, c.String = config.AccessServerName, a.text(v.RequestedServerName, p.field("requested_server_name"))
	case *rbacv3.Permission_Metadata:
		c.Kind, c.Metadata = config.AccessMetadata, a.noted(v.Metadata, p.field("metadata"))
	case *rbacv3.Permission_SourcedMetadata:
		c.Kind, c.Metadata = a.sourced(v.SourcedMetadata, p.field("sourced_metadata"))
	}
	return c
}

func permissions(a *accessReader, set *rbacv3.Permission_Set, depth int, p *at) (out []config.Access) {
	for i, m := range set.GetRules() {
		out = append(out, a.permission(m, depth+1, p.field("rules").item(i)))
	}
	return out
}

func (a *accessReader) principal(m *rbacv3.Principal, depth int, p *at) (c config.Access) {
	c.Kind = config.AccessNobody
	if !a.bounded(depth, p) {
		return c
	}
	switch v := m.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		c.Kind = config.AccessEverybody
	case *rbacv3.Principal_AndIds:
		c.Kind, c.Of = config.AccessAll, principals(a, v.AndIds, depth, p.field("and_ids"))
	case *rbacv3.Principal_OrIds:
		c.Kind, c.Of = config.AccessAny, principals(a, v.OrIds, depth, p.field("or_ids"))
	case *rbacv3.Principal_NotId:
		c.Kind, c.Of = config.AccessNot, []config.Access{a.principal(v.NotId, depth+1, p.field("not_id"))}
	case *rbacv3.Principal_Authenticated_:
		if c.Kind = config.AccessPeer; v.Authenticated.GetPrincipalName() != nil {
			c.String = a.text(v.Authenticated.GetPrincipalName(), p.field("authenticated").field("principal_name"))
		}
	case *rbacv3.Principal_SourceIp:
		c.Kind, c.Range = config.AccessSource, a.within(v.SourceIp, p.field("source_ip"))
	case *rbacv3.Principal_DirectRemoteIp:
		c.Kind, c.Range = config.AccessDirect, a.within(v.DirectRemoteIp, p.field("direct_remote_ip"))
	case *rbacv3.Principal_RemoteIp:
		c.Kind, c.Range = config.AccessRemote, a.within(v.RemoteIp, p.field("remote_ip"))
	case *rbacv3.Principal_Header:
		c.Kind, c.Headers = config.AccessHeader, []config.HeaderMatch{a.headerMatch(v.Header, a.request(p.field("header")))}
	case *rbacv3.Principal_UrlPath:
		c.Kind, c.String = config.AccessPath, a.path(v.UrlPath, a.request(p.field("url_path")))
	case *rbacv3.Principal_Metadata:
		c.Kind, c.Metadata = config.AccessMetadata, a.noted(v.Metadata, p.field("metadata"))
	case *rbacv3.Principal_SourcedMetadata:
		c.Kind, c.Metadata = a.sourced(v.SourcedMetadata, p.field("sourced_metadata"))
	case *rbacv3.Principal_FilterState:
		c.Kind, c.State = config.AccessState, &config.StateMatch{Name: v.FilterState.GetKey(), String: a.stringMatch(v.FilterState.GetStringMatch(), p.field("filter_state").field("string_match"))}
	}
	return c
}

func principals(a *accessReader, set *rbacv3.Principal_Set, depth int, p *at) (out []config.Access) {
	for i, m := range set.GetIds() {
		out = append(out, a.principal(m, depth+1, p.field("ids").item(i)))
	}
	return out
}

func (a *accessReader) text(m *matcherv3.StringMatcher, p *at) *config.StringMatch {
	c := a.stringMatch(m, p)
	return &c
}

func (a *accessReader) path(m *matcherv3.PathMatcher, p *at) *config.StringMatch {
	return a.text(m.GetPath(), p.field("path"))
}

func (a *accessReader) noted(m *matcherv3.MetadataMatcher, p *at) *config.MetadataMatch {
	c := a.metadataMatcher(m, p)
	return &c
}

// sourced reads a condition on what is noted, or on what is configured of the route.
func (a *accessReader) sourced(m *rbacv3.SourcedMetadata, p *at) (config.AccessKind, *config.MetadataMatch) {
	kind := config.AccessMetadata
	if m.GetMetadataSource() == rbacv3.MetadataSource_ROUTE {
		kind = config.AccessRoute
		a.request(p.field("metadata_source"))
	}
	return kind, a.noted(m.GetMetadataMatcher(), p.field("metadata_matcher"))
}

// within reads a range of addresses. One that cannot be read has no address in it, and was said.
func (a *accessReader) within(m *corev3.CidrRange, p *at) netip.Prefix {
	for _, one := range a.prefixes([]*corev3.CidrRange{m}, p) {
		return one
	}
	return netip.Prefix{}
}
