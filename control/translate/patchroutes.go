package translate

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/xds/server"
)

// table patches a table, the hosts that stand in it, and their routes.
func (w *patcher) table(at *tableAt, t *routev3.RouteConfiguration) {
	for _, p := range w.set.by[networking.EnvoyFilter_ROUTE_CONFIGURATION] {
		if merges, replacing := p.merges(); merges && tableMatches(p, at) {
			merge(t.ProtoReflect(), p.value.ProtoReflect(), replacing)
		}
	}
	t.VirtualHosts = slices.DeleteFunc(t.VirtualHosts, func(h *routev3.VirtualHost) bool { return !w.host(at, h) })
	if t.Vhds == nil { // else they come by themselves
		t.VirtualHosts = append(t.VirtualHosts, w.addedTo(at)...)
	}
}

// addedTo are the hosts that patches add to a table.
func (w *patcher) addedTo(at *tableAt) (list []*routev3.VirtualHost) {
	for _, p := range w.set.by[networking.EnvoyFilter_VIRTUAL_HOST] {
		if p.operation() == networking.EnvoyFilter_Patch_ADD && tableMatches(p, at) {
			list = append(list, proto.Clone(p.value).(*routev3.VirtualHost))
		}
	}
	return list
}

// addedHosts are the hosts that patches add to tables whose hosts come by themselves, but those whose names there are.
func (t *Translator) addedHosts(w *patcher, tables *part, there map[string]bool) (list []*server.Resource) {
	for _, r := range tables.Resources {
		m := &routev3.RouteConfiguration{}
		if proto.Unmarshal(r.Body, m) != nil || m.Vhds == nil {
			continue
		}
		for _, h := range w.addedTo(tableContext(w.role, r.Name)) {
			if name := r.Name + "/" + h.Name; !there[name] {
				there[name] = true
				list = append(list, t.message(server.VirtualHosts, name, h))
			}
		}
	}
	return list
}

// host patches a virtual host and its routes, and says whether it stays.
func (w *patcher) host(at *tableAt, h *routev3.VirtualHost) bool {
	name, domains := h.Name, h.Domains
	for _, p := range w.set.by[networking.EnvoyFilter_VIRTUAL_HOST] {
		if !tableMatches(p, at) || !hostMatches(p, name, domains) {
			continue
		}
		if !p.onto(h) {
			return false
		}
	}
	for _, p := range w.set.by[networking.EnvoyFilter_HTTP_ROUTE] {
		if tableMatches(p, at) && hostMatches(p, name, domains) {
			h.Routes = patchRoutes(h.Routes, p)
		}
	}
	return true
}

// patchRoutes carries a patch out on routes. It may be for several of them: what it inserts stands beside the first.
func patchRoutes(list []*routev3.Route, p *patch) []*routev3.Route {
	asked := p.GetMatch().GetRouteConfiguration().GetVhost().GetRoute()
	at := slices.IndexFunc(list, func(r *routev3.Route) bool { return routeMatches(asked, r) })
	value := func() *routev3.Route { return proto.Clone(p.value).(*routev3.Route) }
	merges, replacing := p.merges()
	switch op := p.operation(); {
	case op == networking.EnvoyFilter_Patch_ADD:
		return append(list, value())
	case op == networking.EnvoyFilter_Patch_INSERT_FIRST && (asked == nil || at >= 0), op == networking.EnvoyFilter_Patch_INSERT_BEFORE && asked == nil:
		return slices.Insert(list, 0, value())
	case op == networking.EnvoyFilter_Patch_INSERT_AFTER && asked == nil:
		return append(list, value())
	case at < 0:
	case op == networking.EnvoyFilter_Patch_INSERT_BEFORE:
		return slices.Insert(list, at, value())
	case op == networking.EnvoyFilter_Patch_INSERT_AFTER:
		return slices.Insert(list, at+1, value())
	case op == networking.EnvoyFilter_Patch_REMOVE:
		return slices.DeleteFunc(list, func(r *routev3.Route) bool { return routeMatches(asked, r) })
	case merges:
		for _, r := range list {
			if routeMatches(asked, r) {
				merge(r.ProtoReflect(), p.value.ProtoReflect(), replacing)
			}
		}
	}
	return list
}

// tableMatches holds what a patch asks for against a table.
func tableMatches(p *patch, at *tableAt) bool {
	m := p.GetMatch().GetRouteConfiguration()
	return meant(p, at.context) && (m.GetName() == "" || m.GetName() == at.name) && (m.GetPortNumber() == 0 || m.GetPortNumber() == at.port) && (m.GetGateway() == "" || m.GetGateway() == at.gateway)
}

func hostMatches(p *patch, name string, domains []string) bool {
	m := p.GetMatch().GetRouteConfiguration().GetVhost()
	return (m.GetName() == "" || m.GetName() == name) && (m.GetDomainName() == "" || slices.Contains(domains, m.GetDomainName()))
}

// routeMatches does so with a route; nil asks for any.
func routeMatches(m *networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch, r *routev3.Route) bool {
	if m.GetName() != "" && m.GetName() != r.Name {
		return false
	}
	switch m.GetAction() {
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_ROUTE:
		return r.GetRoute() != nil
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_REDIRECT:
		return r.GetRedirect() != nil
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_DIRECT_RESPONSE:
		return r.GetDirectResponse() != nil
	}
	return true
}
