package decode

import (
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/weftmesh/weft/config"
)

// scopedRoutes reads how a connection manager finds one of several tables.
func (s *session) scopedRoutes(m *hcmv3.ScopedRoutes, p *at) *config.ScopedRoutes {
	r := &config.ScopedRoutes{Name: m.GetName()}
	for i, f := range m.GetScopeKeyBuilder().GetFragments() {
		r.Key = append(r.Key, s.scopeFragment(f.GetHeaderValueExtractor(), p.field("scope_key_builder").field("fragments").item(i).field("header_value_extractor")))
	}
	named := true // some scope may name a table
	switch c := m.GetConfigSpecifier().(type) {
	case *hcmv3.ScopedRoutes_ScopedRouteConfigurationsList:
		p := p.field("scoped_route_configurations_list").field("scoped_route_configurations")
		for i, one := range c.ScopedRouteConfigurationsList.GetScopedRouteConfigurations() {
			r.Inline = append(r.Inline, s.scope(one, p.item(i)))
		}
		if why := ScopeConflict(r.Inline); why != "" {
			s.problem(p, "%s", why)
		}
		named = slices.ContainsFunc(r.Inline, func(c *config.Scope) bool { return c.RouteName != "" })
	case *hcmv3.ScopedRoutes_ScopedRds:
		file, stream := s.source(c.ScopedRds.GetScopedRdsConfigSource(), p.field("scoped_rds").field("scoped_rds_config_source"))
		if file != nil {
			r.Source.File = *file
		}
		if stream != nil {
			r.Source.Stream, r.Wait = stream.Stream, stream.Wait
		}
	}
	if m.GetRdsConfigSource() != nil || named {
		r.RouteFile, r.RouteStream = s.source(m.GetRdsConfigSource(), p.field("rds_config_source"))
	}
	return r
}

func (s *session) scopeFragment(m *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor, p *at) config.ScopeFragment {
	f := config.ScopeFragment{Header: strings.ToLower(m.GetName()), Separator: m.GetElementSeparator()}
	switch e := m.GetExtractType().(type) {
	case *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index:
		f.Index = e.Index
		if f.Index > 0 && f.Separator == "" {
			s.problem(p.field("index"), "%d: without element_separator there is one element, of index 0", f.Index)
		}
	case *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Element:
		f.ByKey, f.Key, f.Between = true, e.Element.GetKey(), e.Element.GetSeparator()
	default:
		s.problem(p, "index or element is missing: they say which part of the field is meant")
	}
	return f
}

// scope reads a scope.
func (s *session) scope(m *routev3.ScopedRouteConfiguration, p *at) *config.Scope {
	raw := s.bytes(m)
	c := &config.Scope{Name: m.GetName(), Hash: hash(raw), Raw: raw, RouteName: m.GetRouteConfigurationName(), OnDemand: m.GetOnDemand()}
	for _, f := range m.GetKey().GetFragments() {
		c.Key = append(c.Key, f.GetStringKey())
	}
	switch {
	case c.RouteName != "" && m.GetRouteConfiguration() != nil:
		s.problem(p.field("route_configuration"), "route_configuration_name is set, too: leave one of the two out")
	case m.GetRouteConfiguration() != nil:
		if m.GetRouteConfiguration().GetVhds() != nil {
			s.problem(p.field("route_configuration").field("vhds"), "not supported here: name a table by route_configuration_name, whose virtual hosts come by themselves")
		}
		c.Routes = s.routes(m.GetRouteConfiguration(), false, p.field("route_configuration"))
	case c.RouteName == "":
		s.problem(p.field("route_configuration_name"), "a name is missing")
	}
	return c
}

// ScopeConflict says which two of some scopes could not be told apart, and why; empty: none.
func ScopeConflict(list []*config.Scope) string {
	if a, b := Conflicting(list); a != nil {
		if a.Name == b.Name {
			return fmt.Sprintf("two scopes are called %q", a.Name)
		}
		return fmt.Sprintf("scopes %q and %q have the same key", a.Name, b.Name)
	}
	return ""
}

// Conflicting are the first two of some scopes that have the same key, or the same name; nil: there are none.
func Conflicting(list []*config.Scope) (a, b *config.Scope) {
	names, keys := map[string]*config.Scope{}, map[string]*config.Scope{}
	for _, c := range list {
		key := fmt.Sprintf("%q", c.Key)
		if a = names[c.Name]; a == nil {
			a = keys[key]
		}
		if a != nil {
			return a, c
		}
		names[c.Name], keys[key] = c, c
	}
	return nil, nil
}
