package decode

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/config"
)

func (s *session) dubbo(m *dubbov3.DubboProxy, p *at) *config.Dubbo {
	d := &config.Dubbo{StatPrefix: m.GetStatPrefix()}
	s.dubboRoutesOf(d, m, p)
	filters := m.GetDubboFilters()
	for i, f := range filters {
		s.dubboFilter(d, f, i == len(filters)-1, p.field("dubbo_filters").item(i))
	}
	return d
}

// dubboRoutesOf says where a Dubbo proxy's routes come from.
func (s *session) dubboRoutesOf(d *config.Dubbo, m *dubbov3.DubboProxy, p *at) {
	twice := func(field string) {
		if len(m.GetRouteConfig()) > 0 {
			s.problem(p.field("route_config"), "%s is there, too: say it in that", field)
		}
	}
	switch r := m.GetRouteSpecifier().(type) {
	case *dubbov3.DubboProxy_Drds:
		twice("drds")
		p := p.field("drds").field("config_source")
		if r.Drds.GetConfigSource().GetApiConfigSource() != nil {
			s.problem(p.field("api_config_source"), "nobody can be asked for routes of Dubbo alone, as with Envoy: gRPC has no service for them. Want ads or path_config_source")
			return
		}
		d.RouteName = r.Drds.GetRouteConfigName()
		d.RouteFile, d.RouteStream = s.source(r.Drds.GetConfigSource(), p)
	case *dubbov3.DubboProxy_MultipleRouteConfig:
		twice("multiple_route_config")
		d.Routes = s.dubboRoutes(r.MultipleRouteConfig, p.field("multiple_route_config"))
	default:
		d.Routes = s.dubboRoutes(&dubbov3.MultipleRouteConfiguration{RouteConfig: m.GetRouteConfig()}, p)
	}
}

// dubboRoutes reads a table of routes. Whether the clusters that it names are there nobody asks, as with Envoy.
func (s *session) dubboRoutes(m *dubbov3.MultipleRouteConfiguration, p *at) *config.DubboRoutes {
	t := &config.DubboRoutes{Name: m.GetName(), Raw: s.bytes(m)}
	for i, r := range m.GetRouteConfig() {
		p := p.field("route_config").item(i)
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
		t.Services = append(t.Services, service)
	}
	return t
}

// dubboRouter is the one Dubbo filter that Envoy has. It is the last of them.
const dubboRouter = "envoy.filters.dubbo.router"

func (s *session) dubboFilter(d *config.Dubbo, m *dubbov3.DubboFilter, last bool, p *at) {
	if (m.GetName() == dubboRouter) != last {
		s.problem(p.field("name"), "%q is not for this place: want %s as the last one, and there alone", m.GetName(), dubboRouter)
		return
	}
	in := p.field("config")
	if m.GetConfig() == nil {
		if !last {
			s.problem(in, "is missing: want %s", s.allowed(lookup("envoy.extensions.filters.network.dubbo_proxy.v3.DubboFilter", "")["config"]))
		}
		return
	}
	o := s.open(m.GetConfig())
	in = in.as(o.name)
	if _, router := o.message.(*dubbov1.Router); o.message != nil && router != last {
		s.problem(in, "is not the configuration of %q", m.GetName())
		return
	}
	switch m := o.message.(type) {
	case *dubbov1.Router:
		d.AccessLogs = s.accessLogs(m.GetAccessLog(), in.field("access_log"))
	case *rbacv3.RBAC:
		d.Filters = append(d.Filters, config.DubboFilter{Access: &config.DubboAccess{
			AccessCheck: config.AccessCheck{
				Rules:        s.accessRules(m.GetRules(), ofRequests, in.field("rules")),
				Shadow:       s.accessRules(m.GetShadowRules(), ofRequests, in.field("shadow_rules")),
				ShadowPrefix: m.GetShadowRulesStatPrefix(),
			},
			Prefix: m.GetRulesStatPrefix(),
		}})
	case *localv3.LocalRateLimit:
		d.Filters = append(d.Filters, config.DubboFilter{Limit: s.dubboLimit(m, in)})
	}
}

// dubboLimit reads a limit whose descriptors are of an interface, of a method, or of both.
func (s *session) dubboLimit(m *localv3.LocalRateLimit, p *at) *config.DubboLimit {
	l := &config.DubboLimit{StatPrefix: m.GetStatPrefix(), Enabled: RuntimeFraction(m.GetFilterEnabled(), config.Fraction{}), Imposed: RuntimeFraction(m.GetFilterEnforced(), config.Fraction{})}
	if b := m.GetTokenBucket(); b != nil {
		r := s.rate(b, p.field("token_bucket"))
		l.Standard = &r
	}
	for i, d := range m.GetDescriptors() {
		p := p.field("descriptors").item(i)
		one := config.DubboRate{Rate: s.rate(d.GetTokenBucket(), p.field("token_bucket"))}
		for k, e := range d.GetEntries() {
			to := map[string]*string{"interface": &one.Interface, "method": &one.Method}[e.GetKey()]
			switch p := p.field("entries").item(k); {
			case to == nil:
				s.problem(p.field("key"), "%q: want interface or method, which is what is known of a call", e.GetKey())
			case e.GetValue() == "":
				s.problem(p.field("value"), "is missing")
			default:
				*to = e.GetValue()
			}
		}
		l.Of = append(l.Of, one)
	}
	return l
}

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
