package translate

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultcommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// routeWriter writes the routes of one of a VirtualService's.
type routeWriter struct {
	k     *routeTraits
	from  mesh.HTTPRoute
	port  uint32
	found map[int]found // by the place of the destination
	at    int           // of its first destination
	owner string
	calls bool // requests become calls where the route says so
}

// Names of filters that routes have something to say to.
const (
	filterFault = "envoy.filters.http.fault"
	filterCORS  = "envoy.filters.http.cors"
)

// route is the one for a match; nil matches all.
func (w *routeWriter) route(m *networking.HTTPMatchRequest) *routev3.Route {
	r := &routev3.Route{Name: w.from.GetName(), Match: matchOf(m), StatPrefix: m.GetStatPrefix()}
	if m.GetName() != "" {
		r.Name += "." + m.GetName()
	}
	h := headersOf(w.from.GetHeaders())
	r.RequestHeadersToAdd, r.RequestHeadersToRemove, r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = h.add, h.remove, h.responseAdd, h.responseRemove
	switch {
	case w.from.GetRedirect() != nil:
		r.Action = &routev3.Route_Redirect{Redirect: redirect(w.from.GetRedirect(), w.port)}
	case w.from.GetDirectResponse() != nil:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: directResponse(w.from.GetDirectResponse())}
	case w.from.Calls != nil && !w.calls:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: noCalls()}
	default:
		r.Action = &routev3.Route_Route{Route: w.action(r, h.authority)}
	}
	r.Decorator = &routev3.Decorator{Operation: w.operation(r)}
	says := func(filter string, m proto.Message) {
		if r.TypedPerFilterConfig == nil {
			r.TypedPerFilterConfig = map[string]*anypb.Any{}
		}
		r.TypedPerFilterConfig[filter] = wrap(m)
	}
	if f := faultOf(w.from.GetFault()); f != nil {
		says(filterFault, f)
	}
	if c := w.from.GetCorsPolicy(); c != nil {
		says(filterCORS, corsOf(c))
	}
	if w.from.Calls != nil && r.GetRoute() != nil {
		says(filterCalls, callsOf(w.from.Calls))
	}
	return r
}

// operation is what traces call a route.
func (w *routeWriter) operation(r *routev3.Route) string {
	path := "/*"
	switch p := r.Match.PathSpecifier.(type) {
	case *routev3.RouteMatch_Prefix:
		path = p.Prefix + "*"
	case *routev3.RouteMatch_Path:
		path = p.Path
	case *routev3.RouteMatch_SafeRegex:
		path = p.SafeRegex.GetRegex()
	}
	if parts := strings.Split(r.GetRoute().GetCluster(), "|"); len(parts) == 4 {
		return parts[3] + ":" + parts[1] + path
	}
	return w.owner + ":" + portText(w.port) + path
}

// cluster is that of a destination, of which the place is known.
func (w *routeWriter) cluster(at int, d *networking.Destination) string {
	port := w.port
	if n := d.GetPort().GetNumber(); n != 0 {
		port = n
	} else if f := w.found[at]; f.port != 0 {
		port = f.port
	}
	return outboundName(port, d.GetSubset(), w.k.settings.HostIn(d.GetHost(), w.from.Namespace))
}

// action sends requests on.
func (w *routeWriter) action(r *routev3.Route, authority string) *routev3.RouteAction {
	a := &routev3.RouteAction{}
	setTimeout(a, w.from.GetTimeout())
	if rewrite := w.from.GetRewrite(); rewrite != nil {
		if x := rewrite.GetUriRegexRewrite(); x != nil {
			a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: x.GetMatch()}, Substitution: x.GetRewrite()}
		} else {
			a.PrefixRewrite = rewrite.GetUri()
		}
		if rewrite.GetAuthority() != "" {
			authority = rewrite.GetAuthority()
		}
	}
	at, hashed := w.at, false
	destinations := w.from.GetRoute()
	hash := func(at int) {
		if h := hashBy(w.found[at].hash); h != nil {
			hashed = true
			a.HashPolicy = append(a.HashPolicy, h)
		}
	}
	if len(destinations) == 1 {
		d := destinations[0]
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: w.cluster(at, d.GetDestination())}
		h := headersOf(d.GetHeaders())
		r.RequestHeadersToAdd, r.RequestHeadersToRemove = append(r.RequestHeadersToAdd, h.add...), append(r.RequestHeadersToRemove, h.remove...)
		r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = append(r.ResponseHeadersToAdd, h.responseAdd...), append(r.ResponseHeadersToRemove, h.responseRemove...)
		if authority == "" {
			authority = h.authority
		}
		hash(at)
	} else {
		weighted := &routev3.WeightedCluster{}
		for i, d := range destinations {
			if d.GetWeight() == 0 {
				continue // it gets nothing, and need not be there
			}
			h := headersOf(d.GetHeaders())
			one := &routev3.WeightedCluster_ClusterWeight{
				Name: w.cluster(at+i, d.GetDestination()), Weight: u32(uint32(d.GetWeight())),
				RequestHeadersToAdd: h.add, RequestHeadersToRemove: h.remove, ResponseHeadersToAdd: h.responseAdd, ResponseHeadersToRemove: h.responseRemove,
			}
			if h.authority != "" {
				one.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: h.authority}
			}
			weighted.Clusters = append(weighted.Clusters, one)
			hash(at + i)
		}
		hashed = false // several clusters are tried again elsewhere, as Istio has it
		a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	}
	if authority != "" {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: authority}
	}
	w.mirrors(a, at+len(destinations))
	retries := w.from.GetRetries()
	if retries == nil {
		retries = w.k.settings.Config.GetDefaultHttpRetryPolicy()
	}
	a.RetryPolicy = retryPolicy(retries, hashed)
	return a
}

func (w *routeWriter) mirrors(a *routev3.RouteAction, at int) {
	add := func(d *networking.Destination, share *typev3.FractionalPercent) {
		if share == nil || share.Numerator > 0 {
			if share == nil {
				share = &typev3.FractionalPercent{Numerator: 100}
			}
			a.RequestMirrorPolicies = append(a.RequestMirrorPolicies, &routev3.RouteAction_RequestMirrorPolicy{
				Cluster: w.cluster(at, d), RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: share}, TraceSampled: wrapperspb.Bool(false),
			})
		}
		at++
	}
	if d := w.from.GetMirror(); d != nil {
		share := percent(w.from.GetMirrorPercentage())
		if old := w.from.GetMirrorPercent(); old != nil && share == nil { // as long as Istio takes it
			share = &typev3.FractionalPercent{Numerator: old.GetValue()}
		}
		add(d, share)
	}
	for _, m := range w.from.GetMirrors() {
		add(m.GetDestination(), percent(m.GetPercentage()))
	}
}

// percent is a share in millionths; nil: nobody has said.
func percent(p *networking.Percent) *typev3.FractionalPercent {
	if p == nil {
		return nil
	}
	return &typev3.FractionalPercent{Numerator: uint32(p.GetValue() * 10_000), Denominator: typev3.FractionalPercent_MILLION}
}

// usualRetries is what is tried again, and how often, if nobody has said.
const (
	usualRetries = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
	usualTries   = 2
	hostTries    = 5 // to find an endpoint that was not tried yet
)

// retryPolicy says what is tried again; nil: nothing is. hashed: it has to be the same endpoint.
func retryPolicy(said *networking.HTTPRetry, hashed bool) *routev3.RetryPolicy {
	p := &routev3.RetryPolicy{RetryOn: usualRetries, NumRetries: u32(usualTries), HostSelectionRetryMaxAttempts: hostTries}
	others := !hashed
	if said != nil {
		if said.GetAttempts() <= 0 {
			return nil
		}
		p.NumRetries = u32(uint32(said.GetAttempts()))
		if said.GetRetryOn() != "" {
			p.RetryOn, p.RetriableStatusCodes = retryOn(said.GetRetryOn())
		}
		p.PerTryTimeout = said.GetPerTryTimeout()
		if said.GetRetryIgnorePreviousHosts() != nil {
			others = said.GetRetryIgnorePreviousHosts().GetValue()
		}
		if said.GetRetryRemoteLocalities().GetValue() {
			p.RetryPriority = &routev3.RetryPolicy_RetryPriority{Name: "envoy.retry_priorities.previous_priorities", ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{
				TypedConfig: wrap(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: 2}),
			}}
		}
		if said.GetBackoff() != nil {
			p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: said.GetBackoff()}
		}
	}
	if others {
		p.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{Name: "envoy.retry_host_predicates.previous_hosts", ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
			TypedConfig: wrap(&previoushostsv3.PreviousHostsPredicate{}),
		}}}
	}
	return p
}

// retryOn tells codes, which people write among conditions, from them.
func retryOn(said string) (conditions string, codes []uint32) {
	var list []string
	for one := range strings.SplitSeq(said, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if code, err := strconv.Atoi(one); err == nil && http.StatusText(code) != "" {
			codes = append(codes, uint32(code))
		} else {
			list = append(list, one)
		}
	}
	if len(codes) > 0 && !slices.Contains(list, "retriable-status-codes") {
		list = append(list, "retriable-status-codes")
	}
	return strings.Join(list, ","), codes
}

// headers is what is done to the fields of a request and of its response.
type headers struct {
	add, responseAdd       []*corev3.HeaderValueOption
	remove, responseRemove []string
	authority              string
}

func headersOf(said *networking.Headers) (h headers) {
	write := func(fields map[string]string, how corev3.HeaderValueOption_HeaderAppendAction, request bool) (list []*corev3.HeaderValueOption) {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if request && isAuthority(name) {
				h.authority = fields[name]
			}
			if !strings.HasPrefix(name, ":") && !isAuthority(name) {
				list = append(list, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: fields[name]}, AppendAction: how})
			}
		}
		return list
	}
	const appended, over = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	added := write(said.GetRequest().GetAdd(), appended, true)
	h.add = append(write(said.GetRequest().GetSet(), over, true), added...) // of a host that is both, the one that is set counts
	h.responseAdd = append(write(said.GetResponse().GetSet(), over, false), write(said.GetResponse().GetAdd(), appended, false)...)
	drop := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasPrefix(n, ":") || isAuthority(n) })
	}
	h.remove, h.responseRemove = drop(said.GetRequest().GetRemove()), drop(said.GetResponse().GetRemove())
	return h
}

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	0: routev3.RedirectAction_MOVED_PERMANENTLY, 301: routev3.RedirectAction_MOVED_PERMANENTLY, 302: routev3.RedirectAction_FOUND,
	303: routev3.RedirectAction_SEE_OTHER, 307: routev3.RedirectAction_TEMPORARY_REDIRECT, 308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

func redirect(said *networking.HTTPRedirect, port uint32) *routev3.RedirectAction {
	a := &routev3.RedirectAction{HostRedirect: said.GetAuthority(), ResponseCode: redirectCodes[said.GetRedirectCode()]}
	if said.GetPrefixRewrite() != "" {
		a.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: said.GetPrefixRewrite()}
	} else if said.GetUri() != "" {
		a.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: said.GetUri()}
	}
	scheme := "http"
	if said.GetScheme() != "" {
		scheme = said.GetScheme()
		a.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: scheme}
	}
	switch p := said.GetRedirectPort().(type) {
	case *networking.HTTPRedirect_Port:
		a.PortRedirect = p.Port
	case *networking.HTTPRedirect_DerivePort:
		if p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT {
			a.PortRedirect = port
		}
	}
	if a.PortRedirect == 80 && scheme == "http" || a.PortRedirect == 443 && scheme == "https" {
		a.PortRedirect = 0 // nobody writes it
	}
	return a
}

func directResponse(said *networking.HTTPDirectResponse) *routev3.DirectResponseAction {
	a := &routev3.DirectResponseAction{Status: said.GetStatus()}
	switch b := said.GetBody().GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		a.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: b.String_}}
	case *networking.HTTPBody_Bytes:
		a.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b.Bytes}}
	}
	return a
}

func faultOf(said *networking.HTTPFaultInjection) *faultv3.HTTPFault {
	f := &faultv3.HTTPFault{}
	if d := said.GetDelay(); d != nil {
		share := percent(d.GetPercentage())
		if share == nil {
			share = &typev3.FractionalPercent{Numerator: uint32(d.GetPercent())} // as long as Istio takes it
		}
		if fixed := d.GetFixedDelay(); fixed != nil {
			f.Delay = &faultcommonv3.FaultDelay{Percentage: share, FaultDelaySecifier: &faultcommonv3.FaultDelay_FixedDelay{FixedDelay: fixed}}
		}
	}
	if a := said.GetAbort(); a != nil {
		abort := &faultv3.FaultAbort{Percentage: percent(a.GetPercentage())}
		switch e := a.GetErrorType().(type) {
		case *networking.HTTPFaultInjection_Abort_HttpStatus:
			abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(e.HttpStatus)}
			f.Abort = abort
		case *networking.HTTPFaultInjection_Abort_GrpcStatus:
			if code, ok := grpcCode(e.GrpcStatus); ok {
				abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: code}
				f.Abort = abort
			}
		}
	}
	if f.Delay == nil && f.Abort == nil {
		return nil
	}
	return f
}

// grpcCode reads a status by its name, such as UNAVAILABLE, or number.
func grpcCode(said string) (uint32, bool) {
	var c codes.Code
	text := said
	if _, err := strconv.Atoi(said); err != nil {
		text = strconv.Quote(said)
	}
	err := c.UnmarshalJSON([]byte(text))
	return uint32(c), err == nil
}

func corsOf(said *networking.CorsPolicy) *corsv3.CorsPolicy {
	c := &corsv3.CorsPolicy{
		AllowMethods: strings.Join(said.GetAllowMethods(), ","), AllowHeaders: strings.Join(said.GetAllowHeaders(), ","), ExposeHeaders: strings.Join(said.GetExposeHeaders(), ","),
		AllowCredentials: said.GetAllowCredentials(), ForwardNotMatchingPreflights: wrapperspb.Bool(said.GetUnmatchedPreflights() != networking.CorsPolicy_IGNORE),
		FilterEnabled: &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}},
	}
	if said.GetMaxAge() != nil {
		c.MaxAge = strconv.FormatInt(said.GetMaxAge().GetSeconds(), 10)
	}
	for _, o := range said.GetAllowOrigins() {
		c.AllowOriginStringMatch = append(c.AllowOriginStringMatch, stringOf(o))
	}
	if said.GetAllowOrigins() == nil {
		c.AllowOriginStringMatch = exactly(said.GetAllowOrigin()) // as long as Istio takes it
	}
	return c
}

// hashBy is what requests are hashed by; nil: nothing.
func hashBy(h *networking.LoadBalancerSettings_ConsistentHashLB) *routev3.RouteAction_HashPolicy {
	switch k := h.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: k.HttpHeaderName}}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		c := &routev3.RouteAction_HashPolicy_Cookie{Name: k.HttpCookie.GetName(), Path: k.HttpCookie.GetPath(), Ttl: k.HttpCookie.GetTtl()}
		for _, a := range k.HttpCookie.GetAttributes() {
			c.Attributes = append(c.Attributes, &routev3.RouteAction_HashPolicy_CookieAttribute{Name: a.GetName(), Value: a.GetValue()})
		}
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Cookie_{Cookie: c}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: k.UseSourceIp}}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_QueryParameter_{QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: k.HttpQueryParameterName}}}
	}
	return nil
}
