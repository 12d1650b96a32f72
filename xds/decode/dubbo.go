package decode

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"

	"github.com/weftmesh/weft/config"
)

func (s *session) dubbo(m *dubbov3.DubboProxy, p *at) *config.Dubbo {
	d := &config.Dubbo{StatPrefix: m.GetStatPrefix()}
	list, p2 := m.GetRouteConfig(), p.field("route_config")
	switch {
	case m.GetMultipleRouteConfig() != nil && len(list) > 0:
		s.problem(p2, "multiple_route_config is there, too: say it in that")
	case m.GetMultipleRouteConfig() != nil:
		list, p2 = m.GetMultipleRouteConfig().GetRouteConfig(), p.field("multiple_route_config").field("route_config")
	}
	for i, r := range list {
		p := p2.item(i)
		service := config.DubboService{Interface: r.GetInterface(), Group: r.GetGroup(), Version: r.GetVersion()}
		if service.Interface == "" {
			s.problem(p.field("interface"), "an interface is missing: want one, or * for all")
		}
		if star := strings.IndexByte(service.Interface, '*'); star > 0 && star < len(service.Interface)-1 || strings.Count(service.Interface, "*") > 1 {
			s.problem(p.field("interface"), "%q has a * where it stands for itself: want one at the beginning or at the end", service.Interface)
		}
		for k, r := range r.GetRoutes() {
			service.Routes = append(service.Routes, s.dubboRoute(r, p.field("routes").item(k)))
		}
		d.Services = append(d.Services, service)
	}
	for i, f := range m.GetDubboFilters() {
		if f.GetName() != dubboRouter {
			s.problem(p.field("dubbo_filters").item(i).field("name"), "%q is not run: want %s alone", f.GetName(), dubboRouter)
		}
	}
	return d
}

// dubboRouter is the one Dubbo filter that there is.
const dubboRouter = "envoy.filters.dubbo.router"

func (s *session) dubboRoute(m *dubbov3.Route, p *at) (r config.DubboRoute) {
	of, in := m.GetMatch(), p.field("match")
	for i, h := range of.GetHeaders() {
		c := s.headerMatch(h, in.field("headers").item(i))
		c.Name = h.GetName() // attachments are told apart by their letters
		r.Attachments = append(r.Attachments, c)
	}
	if method := of.GetMethod(); method != nil {
		in := in.field("method")
		// Envoy wants a condition on the name, and this is the one that asks for nothing: a call without a method is no call.
		if name := method.GetName(); name != nil && name.GetSafeRegex().GetRegex() != ".*" {
			c := s.stringMatch(name, in.field("name"))
			r.Method = &c
		}
		for index, a := range method.GetParamsMatch() {
			one := config.DubboArgument{Index: index, Exact: a.GetExactMatch()}
			if v := a.GetRangeMatch(); v != nil {
				one.Range = &config.Int64Range{Start: v.GetStart(), End: v.GetEnd()}
				if v.GetStart() >= v.GetEnd() {
					s.problem(in.field("params_match"), "nothing is in [%d, %d) of argument %d: want start below end", v.GetStart(), v.GetEnd(), index)
				}
			}
			r.Arguments = append(r.Arguments, one)
		}
		slices.SortFunc(r.Arguments, func(a, b config.DubboArgument) int { return int(a.Index) - int(b.Index) })
	}
	to, p := m.GetRoute(), p.field("route")
	switch c := to.GetClusterSpecifier().(type) {
	case *dubbov3.RouteAction_Cluster:
		if c.Cluster == "" {
			s.problem(p.field("cluster"), "a name is missing")
		}
		r.Clusters, r.TotalWeight = []config.WeightedCluster{{Name: c.Cluster, Weight: 1, Subset: metadataMatch(to.GetMetadataMatch())}}, 1
	case *dubbov3.RouteAction_WeightedClusters:
		p := p.field("weighted_clusters")
		var total uint64
		for i, w := range c.WeightedClusters.GetClusters() {
			s.onlyWeight(w, p.field("clusters").item(i))
			r.Clusters = append(r.Clusters, config.WeightedCluster{Name: w.GetName(), Weight: w.GetWeight().GetValue(), Subset: metadataMatch(to.GetMetadataMatch(), w.GetMetadataMatch())})
			total += uint64(w.GetWeight().GetValue())
		}
		r.TotalWeight = s.total(total, p.field("clusters"))
	default:
		s.problem(p, "where it goes is missing: want cluster or weighted_clusters")
	}
	s.dubboMore(to.GetMetadataMatch().GetTypedFilterMetadata()[dubboKey], &r, p.field("metadata_match").field("typed_filter_metadata").key(dubboKey).as("weft.dubbo.v1.Route"))
	return r
}

// onlyWeight refuses of a weighted cluster what is about HTTP.
func (s *session) onlyWeight(w *routev3.WeightedCluster_ClusterWeight, p *at) {
	rest := &routev3.WeightedCluster_ClusterWeight{
		ClusterHeader: w.GetClusterHeader(), RequestHeadersToAdd: w.GetRequestHeadersToAdd(), RequestHeadersToRemove: w.GetRequestHeadersToRemove(), ResponseHeadersToAdd: w.GetResponseHeadersToAdd(),
		ResponseHeadersToRemove: w.GetResponseHeadersToRemove(), TypedPerFilterConfig: w.GetTypedPerFilterConfig(),
	}
	if len(marshal(rest)) > 0 || w.GetHostRewriteLiteral() != "" {
		s.problem(p, "has more than a name, a weight and metadata_match, which is about HTTP, and these are calls of Dubbo")
	}
}
