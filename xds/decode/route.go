package decode

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

const (
	defaultRouteTimeout = 15 * time.Second
	defaultBodyLimit    = 4096 // bytes of a direct response
	maxBodyLimit        = 16 << 20
)

// routeConfiguration reads a table that does not stand in a connection manager.
func (s *session) routeConfiguration(m *routev3.RouteConfiguration, p *at) *config.RouteConfiguration {
	return s.routes(m, false, p)
}

// tableRules is what the parts of a route configuration need to know of the whole.
type tableRules struct {
	checkClusters bool
	bodyLimit     int64
	mirrors       []config.Mirror // of the whole table, for routes that have none of their own
	place         string          // of the part that is being read, by names, as filters hear it
}

func (s *session) routes(m *routev3.RouteConfiguration, inline bool, p *at) *config.RouteConfiguration {
	raw := s.bytes(m)
	t, c := s.table(m, inline, p)
	t.Raw = raw
	domains := map[string]int{}
	for i, v := range m.GetVirtualHosts() {
		p := p.field("virtual_hosts").item(i)
		for k, d := range v.GetDomains() {
			d = strings.ToLower(d)
			if j, ok := domains[d]; ok {
				s.problem(p.field("domains").item(k), "%q belongs to virtual_hosts[%d] already", d, j)
			}
			domains[d] = i
		}
		t.VirtualHosts = append(t.VirtualHosts, s.virtualHost(v, c, p))
		if s.full() {
			break
		}
	}
	return t
}

// table is a route configuration but for its virtual hosts, and what those need to know of it.
func (s *session) table(m *routev3.RouteConfiguration, inline bool, p *at) (*config.RouteConfiguration, tableRules) {
	t := &config.RouteConfiguration{
		Name:              m.GetName(),
		Headers:           s.headers(m, p),
		IgnorePortInHost:  m.GetIgnorePortInHostMatching(),
		IgnoreParameters:  m.GetIgnorePathParametersInPathMatching(),
		VirtualHostHeader: strings.ToLower(m.GetVhostHeader()),
		MostSpecificFirst: m.GetMostSpecificHeaderMutationsWins(),
	}
	if m.GetVhds() != nil {
		p := p.field("vhds").field("config_source")
		if t.Hosts = s.hosts(m.GetVhds().GetConfigSource(), p); inline {
			s.problem(p.up, "virtual hosts come for tables that come over a stream themselves (rds)")
		}
	}
	for _, name := range m.GetInternalOnlyHeaders() {
		t.InternalOnly = append(t.InternalOnly, strings.ToLower(name))
	}
	c := tableRules{
		checkClusters: isTrue(m.GetValidateClusters(), inline),
		bodyLimit:     int64(u32(m.GetMaxDirectResponseBodySizeBytes(), defaultBodyLimit)),
		place:         m.GetName(),
	}
	if inline {
		c.place = s.within + "/" + c.place // two listeners may call theirs the same
	}
	t.Filters = s.perFilter(m.GetTypedPerFilterConfig(), c, p)
	if c.bodyLimit > maxBodyLimit {
		s.problem(p.field("max_direct_response_body_size_bytes"), "%d: want at most %d", c.bodyLimit, maxBodyLimit)
	}
	c.mirrors = s.mirrors(m.GetRequestMirrorPolicies(), c, p)
	return t, c
}

// routesAfter reads a table of which some virtual hosts are those of before. It gives nil if anything is to be said against it, or if
// something else in it has changed.
func (d *Decoder) routesAfter(wire []byte, before *config.RouteConfiguration) *config.RouteConfiguration {
	const hosts = 2 // the field
	head, now, was, ok := split(wire, before.Raw, hosts)
	if !ok || head+len(was) != len(before.VirtualHosts) {
		return nil
	}
	m := &routev3.RouteConfiguration{}
	s := d.part(without(wire, hosts), m)
	if s == nil {
		return nil
	}
	_, c := s.table(m, false, nil)
	if c.checkClusters || s.found() {
		return nil
	}
	t := *before
	t.Raw, t.VirtualHosts = wire, make([]*config.VirtualHost, 0, head+len(now))
	tail := tails(now, was)
	t.VirtualHosts = append(t.VirtualHosts, before.VirtualHosts[:head]...)
	renamed := len(now) != len(was) // if not, no domain can be there twice
	for i, one := range now[:len(now)-tail] {
		m := &routev3.VirtualHost{}
		s := d.part(one, m)
		if s == nil {
			return nil
		}
		v := s.virtualHost(m, c, nil)
		if s.found() || len(s.files) > 0 {
			return nil
		}
		renamed = renamed || !slices.Equal(v.Domains, before.VirtualHosts[head+i].Domains)
		t.VirtualHosts = append(t.VirtualHosts, v)
	}
	t.VirtualHosts = append(t.VirtualHosts, before.VirtualHosts[head+len(was)-tail:]...)
	if renamed && sharedDomain(t.VirtualHosts) {
		return nil
	}
	return &t
}

// sharedDomain tells whether two virtual hosts, or one twice, are for the same domain.
func sharedDomain(hosts []*config.VirtualHost) bool {
	domains := make(map[string]bool, len(hosts))
	for _, v := range hosts {
		for _, name := range v.Domains {
			if domains[name] {
				return true
			}
			domains[name] = true
		}
	}
	return false
}

func (s *session) virtualHost(m *routev3.VirtualHost, c tableRules, p *at) *config.VirtualHost {
	c.place += "/" + m.GetName()
	v := &config.VirtualHost{
		Name:                   m.GetName(),
		Headers:                s.headers(m, p),
		Filters:                s.perFilter(m.GetTypedPerFilterConfig(), c, p),
		AttemptCountInRequest:  m.GetIncludeRequestAttemptCount(),
		AttemptCountInResponse: m.GetIncludeAttemptCountInResponse(),
		SayTimeoutRetry:        m.GetIncludeIsTimeoutRetryHeader(),
		RequireTLS:             requireTLS[m.GetRequireTls()],
		RateLimits:             s.rateLimits(m.GetRateLimits(), p.field("rate_limits")),
		Metadata:               s.metadata(m.GetMetadata()),
	}
	for i, d := range m.GetDomains() {
		if strings.ContainsAny(d, " \t\r\n\x00/") {
			s.problem(p.field("domains").item(i), "%q is not a host", d)
		}
		v.Domains = append(v.Domains, strings.ToLower(d))
	}
	for i, c := range m.GetVirtualClusters() {
		p := p.field("virtual_clusters").item(i)
		one := config.VirtualCluster{Name: s.line(c.GetName(), p.field("name"))}
		for k, h := range c.GetHeaders() {
			one.Headers = append(one.Headers, s.headerMatch(h, p.field("headers").item(k)))
		}
		if len(one.Headers) == 0 {
			s.problem(p.field("headers"), "conditions are missing: want one at least")
		}
		v.VirtualClusters = append(v.VirtualClusters, one)
	}
	host := s.hostRules(m, c, p)
	v.Routes = make([]*config.Route, 0, len(m.GetRoutes()))
	add := func(r *routev3.Route, c tableRules, p *at) {
		if c.place += "/" + r.GetName(); r.GetName() == "" {
			c.place += strconv.Itoa(len(v.Routes))
		}
		v.Routes = append(v.Routes, s.route(r, c, host, p))
	}
	for i, r := range m.GetRoutes() {
		add(r, c, p.field("routes").item(i))
	}
	if m.GetMatcher() == nil {
		return v
	}
	p = p.field("matcher")
	if len(v.Routes) > 0 {
		s.problem(p, "there are routes, too: put them into the matcher")
	}
	c.checkClusters = false // Envoy asks for none that a matcher leads to
	r := matcherReader{session: s, look: s.ofRequest, action: func(m proto.Message, p *at) int {
		begin := len(v.Routes)
		switch m := m.(type) { // the walk has refused all else
		case *routev3.Route:
			add(m, c, p)
		case *routev3.RouteList:
			for i, r := range m.GetRoutes() {
				add(r, c, p.field("routes").item(i))
			}
		}
		v.Lists = append(v.Lists, v.Routes[begin:len(v.Routes):len(v.Routes)])
		return len(v.Lists) - 1
	}}
	v.Matcher = r.matcher(m.GetMatcher(), p)
	return v
}

// hostRules is what a virtual host says for those of its routes that say nothing.
type hostRules struct {
	retry       *config.Retry
	hedge       bool
	mirrors     []config.Mirror
	replayLimit *uint64
}

func (s *session) hostRules(m *routev3.VirtualHost, c tableRules, p *at) hostRules {
	h := hostRules{
		retry:       s.retry(m.GetRetryPolicy(), p.field("retry_policy")),
		hedge:       hedge(m.GetHedgePolicy()),
		mirrors:     c.mirrors,
		replayLimit: replayLimit(m),
	}
	if len(m.GetRequestMirrorPolicies()) > 0 {
		h.mirrors = s.mirrors(m.GetRequestMirrorPolicies(), c, p)
	}
	return h
}

// replayLimit is how much of a body may be kept; the newer of the two fields wins.
func replayLimit(m interface {
	GetPerRequestBufferLimitBytes() *wrapperspb.UInt32Value
	GetRequestBodyBufferLimit() *wrapperspb.UInt64Value
}) *uint64 {
	if w := m.GetRequestBodyBufferLimit(); w != nil {
		return &w.Value
	}
	if w := m.GetPerRequestBufferLimitBytes(); w != nil {
		n := uint64(w.GetValue())
		return &n
	}
	return nil
}

var requireTLS = map[routev3.VirtualHost_TlsRequirementType]config.RequireTLS{
	routev3.VirtualHost_NONE:          config.TLSNone,
	routev3.VirtualHost_EXTERNAL_ONLY: config.TLSExternalOnly,
	routev3.VirtualHost_ALL:           config.TLSAll,
}

func (s *session) route(m *routev3.Route, c tableRules, host hostRules, p *at) *config.Route {
	r := &config.Route{
		Name:       m.GetName(),
		StatPrefix: s.line(m.GetStatPrefix(), p.field("stat_prefix")),
		Match:      s.match(m.GetMatch(), p.field("match")),
		Headers:    s.headers(m, p),
		Filters:    s.perFilter(m.GetTypedPerFilterConfig(), c, p),

		Metadata: s.metadata(m.GetMetadata()),
	}
	switch a := m.GetAction().(type) {
	case *routev3.Route_Route:
		r.Forward = s.forward(a.Route, c, host, p.field("route"))
		if r.Forward.ReplayLimit = replayLimit(m); r.Forward.ReplayLimit == nil {
			r.Forward.ReplayLimit = host.replayLimit
		}
		s.rewrites(r.Forward, a.Route, m.GetMatch().GetPathMatchPolicy() != nil, &r.Match, p.field("route"))
	case *routev3.Route_Redirect:
		r.Redirect = s.redirect(a.Redirect, p.field("redirect"))
	case *routev3.Route_DirectResponse:
		r.Direct = s.direct(a.DirectResponse, c, p.field("direct_response"))
	}
	return r
}

func (s *session) forward(m *routev3.RouteAction, c tableRules, host hostRules, p *at) *config.Forward {
	f := &config.Forward{
		Timeout:             s.duration(m.GetTimeout(), defaultRouteTimeout, p.field("timeout")),
		IdleTimeout:         s.maybe(m.GetIdleTimeout(), p.field("idle_timeout")),
		FlushTimeout:        s.maybe(m.GetFlushTimeout(), p.field("flush_timeout")),
		MaxStreamDuration:   s.maybe(m.GetMaxStreamDuration().GetMaxStreamDuration(), p.field("max_stream_duration").field("max_stream_duration")),
		PrefixRewrite:       m.GetPrefixRewrite(),
		HostRewrite:         m.GetHostRewriteLiteral(),
		Host:                s.hostRewrite(m, p),
		HashPolicies:        s.hashPolicies(m.GetHashPolicy(), p.field("hash_policy")),
		AppendForwardedHost: m.GetAppendXForwardedHost(),
		MissingCluster:      missingCluster[m.GetClusterNotFoundResponseCode()],
		RateLimits:          s.rateLimits(m.GetRateLimits(), p.field("rate_limits")),
		VirtualHostLimits:   isTrue(m.GetIncludeVhRateLimits(), false),
	}
	if d := m.GetMaxGrpcTimeout(); d != nil {
		f.GRPCTimeout = s.grpcTimeout(d, m.GetGrpcTimeoutOffset(), p.field("max_grpc_timeout"), p.field("grpc_timeout_offset"))
	}
	if d := m.GetMaxStreamDuration(); d != nil {
		p := p.field("max_stream_duration")
		f.Timeout, f.BoundsStream = 0, true
		if d.GetGrpcTimeoutHeaderMax() != nil {
			f.GRPCDuration = s.grpcTimeout(d.GetGrpcTimeoutHeaderMax(), d.GetGrpcTimeoutHeaderOffset(), p.field("grpc_timeout_header_max"), p.field("grpc_timeout_header_offset"))
		}
	}
	if m.GetPriority() == corev3.RoutingPriority_HIGH {
		f.Priority = config.PriorityHigh
	}
	f.Follow = s.follow(m, p)
	f.Retry, f.HedgeOnTimeout, f.Mirrors = host.retry, host.hedge, host.mirrors
	if m.GetRetryPolicy() != nil {
		f.Retry = s.retry(m.GetRetryPolicy(), p.field("retry_policy"))
	}
	if m.GetHedgePolicy() != nil {
		f.HedgeOnTimeout = hedge(m.GetHedgePolicy())
	}
	if len(m.GetRequestMirrorPolicies()) > 0 {
		f.Mirrors = s.mirrors(m.GetRequestMirrorPolicies(), c, p)
	}
	for i, u := range m.GetUpgradeConfigs() {
		p := p.field("upgrade_configs").item(i)
		terminate := u.GetConnectConfig() != nil
		if terminate && !strings.EqualFold(u.GetUpgradeType(), "CONNECT") {
			s.problem(p.field("connect_config"), "is for upgrade_type CONNECT, not %s", u.GetUpgradeType())
		}
		f.TunnelPosts = f.TunnelPosts || u.GetConnectConfig().GetAllowPost()
		f.Upgrades = s.upgrade(f.Upgrades, config.Upgrade{Name: u.GetUpgradeType(), Enabled: isTrue(u.GetEnabled(), true), Terminate: terminate}, p.field("upgrade_type"))
	}
	switch a := m.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		s.known(a.Cluster, c, p.field("cluster"))
		f.Clusters, f.TotalWeight = []config.WeightedCluster{{Name: a.Cluster, Weight: 1, Subset: metadataMatch(m.GetMetadataMatch())}}, 1
	case *routev3.RouteAction_ClusterHeader:
		f.Clusters, f.TotalWeight = []config.WeightedCluster{{Header: s.fieldName(a.ClusterHeader, p.field("cluster_header")), Weight: 1, Subset: metadataMatch(m.GetMetadataMatch())}}, 1
	case *routev3.RouteAction_WeightedClusters:
		s.weighted(f, a.WeightedClusters, m.GetMetadataMatch(), c, p.field("weighted_clusters"))
	}
	return f
}

// grpcTimeout reads the two parts of one. The offset means nothing without the maximum, with Envoy.
func (s *session) grpcTimeout(most, offset *durationpb.Duration, pm, po *at) *config.GRPCTimeout {
	return &config.GRPCTimeout{Max: s.duration(most, 0, pm), Offset: s.duration(offset, 0, po)}
}

func (s *session) weighted(f *config.Forward, m *routev3.WeightedCluster, of *corev3.Metadata, c tableRules, p *at) {
	var total uint64
	for i, w := range m.GetClusters() {
		c, p := c, p.field("clusters").item(i)
		c.place += "/" + w.GetName()
		switch {
		case w.GetName() != "" && w.GetClusterHeader() != "":
			s.problem(p.field("cluster_header"), "name says which cluster it is: leave one of the two out")
		case w.GetName() != "":
			s.known(w.GetName(), c, p.field("name"))
		case w.GetClusterHeader() == "":
			s.problem(p.field("name"), "a name is missing, or a cluster_header")
		}
		f.Clusters = append(f.Clusters, config.WeightedCluster{
			Name:        w.GetName(),
			Header:      s.fieldName(w.GetClusterHeader(), p.field("cluster_header")),
			Weight:      u32(w.GetWeight(), 0),
			Headers:     s.headers(w, p),
			Filters:     s.perFilter(w.GetTypedPerFilterConfig(), c, p),
			HostRewrite: w.GetHostRewriteLiteral(),
			Subset:      metadataMatch(of, w.GetMetadataMatch()),
		})
		total += uint64(u32(w.GetWeight(), 0))
	}
	f.TotalWeight = s.total(total, p.field("clusters"))
	f.ShareHeader = s.fieldName(m.GetHeaderName(), p.field("header_name"))
	f.ShareByHash = m.GetUseHashPolicy().GetValue()
	if t := m.GetTotalWeight(); t != nil && uint64(t.GetValue()) != total {
		s.problem(p.field("total_weight"), "%d, but the weights sum to %d: leave it out", t.GetValue(), total)
	}
}

// known asks for a cluster, if there is somebody to ask.
func (s *session) known(name string, c tableRules, p *at) {
	if c.checkClusters && s.hasCluster != nil && !s.hasCluster(name) {
		s.problem(p, "there is no cluster %q; validate_clusters: false would allow it to come later", name)
	}
}

var missingCluster = map[routev3.RouteAction_ClusterNotFoundResponseCode]uint16{
	routev3.RouteAction_SERVICE_UNAVAILABLE:   503,
	routev3.RouteAction_NOT_FOUND:             404,
	routev3.RouteAction_INTERNAL_SERVER_ERROR: 500,
}

func (s *session) redirect(m *routev3.RedirectAction, p *at) *config.Redirect {
	r := &config.Redirect{
		Status:     redirectStatus[m.GetResponseCode()],
		HTTPS:      m.GetHttpsRedirect(),
		Scheme:     s.line(m.GetSchemeRedirect(), p.field("scheme_redirect")),
		Host:       m.GetHostRedirect(),
		Port:       m.GetPortRedirect(),
		StripQuery: m.GetStripQuery(),
	}
	switch a := m.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		r.Path = a.PathRedirect
	case *routev3.RedirectAction_PrefixRewrite:
		r.PrefixRewrite = &a.PrefixRewrite
	case *routev3.RedirectAction_RegexRewrite:
		r.Rewrite = &config.PathRewrite{Replace: s.replacement(a.RegexRewrite, p.field("regex_rewrite"))}
	case *routev3.RedirectAction_PathRewrite:
		p := p.field("path_rewrite")
		r.Rewrite = &config.PathRewrite{Format: s.text(s.line(a.PathRewrite, p), accesslog.Options{OmitEmpty: true}, p)}
	}
	if r.StripQuery && strings.Contains(r.Path, "?") {
		s.problem(p.field("strip_query"), "path_redirect brings a query of its own: leave one of the two out")
	}
	if r.Port > 65535 {
		s.problem(p.field("port_redirect"), "%d is no port: want 1 to 65535", r.Port)
	}
	return r
}

var redirectStatus = map[routev3.RedirectAction_RedirectResponseCode]uint16{
	routev3.RedirectAction_MOVED_PERMANENTLY:  301,
	routev3.RedirectAction_FOUND:              302,
	routev3.RedirectAction_SEE_OTHER:          303,
	routev3.RedirectAction_TEMPORARY_REDIRECT: 307,
	routev3.RedirectAction_PERMANENT_REDIRECT: 308,
}

func (s *session) direct(m *routev3.DirectResponseAction, c tableRules, p *at) *config.Direct {
	return &config.Direct{
		Status: uint16(m.GetStatus()),
		Body:   s.data(m.GetBody(), c.bodyLimit, p.field("body")),
		Format: s.bodyFormat(m.GetBodyFormat(), p.field("body_format")),
	}
}

// perFilter reads what a virtual host, route or share changes about filters, by the filters' names in the chain.
func (s *session) perFilter(m map[string]*anypb.Any, rules tableRules, p *at) map[string]config.FilterOverride {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]config.FilterOverride, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		a, p := m[name], p.field("typed_per_filter_config").key(name)
		var v config.FilterOverride
		o := s.open(a)
		if c, ok := o.message.(*routev3.FilterConfig); ok {
			p = p.as(o.name)
			if v.Disabled = c.GetDisabled(); c.GetConfig() == nil {
				if !v.Disabled {
					s.problem(p.field("config"), "neither a configuration nor disabled: nothing would change")
				}
				out[name] = v
				continue
			}
			a, p, o = c.GetConfig(), p.field("config"), s.open(c.GetConfig())
		}
		if spec := s.overrides[o.name]; spec != nil {
			c, err := spec.DecodeOverride(s.filterWire(a, o), rules.place+"/"+name)
			s.inFilter(err, p.as(o.name))
			v.Config = c
		}
		out[name] = v
	}
	return out
}

// filterWire is the message of a filter in wire format. One that came as a TypedStruct is written anew.
func (s *session) filterWire(a *anypb.Any, o *opened) []byte {
	if o.name != string(a.MessageName()) {
		return marshal(o.message)
	}
	return a.GetValue()
}
