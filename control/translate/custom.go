package translate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tcpauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	security "istio.io/api/security/v1beta1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// Who asks somebody else does it in two filters, as at Istio: the first weighs the rules and notes which of them is true, and the second asks if one of
// ours is.
const (
	filterHTTPRules = "envoy.filters.http.rbac"
	filterTCPRules  = "envoy.filters.network.rbac"
	askedFor        = "istio-ext-authz-" // before the provider, in the names of rules
	askedNote       = "istio_ext_authz_" // before what is noted
	askedRule       = askedNote + "shadow_effective_policy_id"
	deniedInstead   = "-deny-due-to-bad-CUSTOM-action" // behind names of rules of which nobody can be asked
)

// askedWait is how long an answer is waited for if nothing is said, as at Istio.
const askedWait = 600 * time.Second

// authorizer is somebody who is asked.
type authorizer struct {
	http *authzv3.ExtAuthz
	tcp  *tcpauthzv3.ExtAuthz // nil: it can be asked about requests only
}

// custom are the CUSTOM policies of a chain.
func custom(access *chain) (list []*source.Object) {
	return slices.DeleteFunc(objectsOf(access), func(o *source.Object) bool {
		return o.Spec.(*security.AuthorizationPolicy).GetAction() != security.AuthorizationPolicy_CUSTOM
	})
}

// providerOf is who is asked for a policy.
func providerOf(o *source.Object) string {
	return o.Spec.(*security.AuthorizationPolicy).GetProvider().GetName()
}

// authorizerFor finds who is asked for policies; nil: nobody can be, so that what they are for has to be denied. A workload has one at most, as at Istio.
func authorizerFor(s *mesh.Settings, services *seen, policies []*source.Object) *authorizer {
	name := providerOf(policies[0])
	if slices.ContainsFunc(policies, func(o *source.Object) bool { return providerOf(o) != name }) {
		return nil
	}
	p := s.Provider(name)
	if p == nil || slices.ContainsFunc(s.Config.GetExtensionProviders(), func(other *meshv1.MeshConfig_ExtensionProvider) bool { return other != p && other.GetName() == name }) {
		return nil
	}
	host, port := authorizerAt(p)
	cluster := clusterSeen(services, host, port)
	if cluster == "" {
		return nil
	}
	a, err := newAuthorizer(p, cluster, host)
	if err != nil {
		return nil // which was said where it stands
	}
	return a
}

// authorizerAt is where a provider is asked; port 0: nowhere, it is for something else.
func authorizerAt(p *meshv1.MeshConfig_ExtensionProvider) (host string, port uint32) {
	if grpc := p.GetEnvoyExtAuthzGrpc(); grpc != nil {
		return hostOfService(grpc.GetService()), grpc.GetPort()
	}
	return hostOfService(p.GetEnvoyExtAuthzHttp().GetService()), p.GetEnvoyExtAuthzHttp().GetPort()
}

// newAuthorizer is a provider that is reached by a cluster.
func newAuthorizer(p *meshv1.MeshConfig_ExtensionProvider, cluster, host string) (*authorizer, error) {
	a := &authorizer{http: &authzv3.ExtAuthz{TransportApiVersion: corev3.ApiVersion_V3, FilterEnabledMetadata: askedWhen(filterHTTPRules, p.GetName())}}
	var status string
	var body *meshv1.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationRequestBody
	switch is := p.GetProvider().(type) {
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyExtAuthzHttp:
		said := is.EnvoyExtAuthzHttp
		for _, list := range [][]string{said.GetIncludeRequestHeadersInCheck(), said.GetIncludeHeadersInCheck(), said.GetHeadersToUpstreamOnAllow(), said.GetHeadersToDownstreamOnAllow(), said.GetHeadersToDownstreamOnDeny()} { //nolint:staticcheck // people still write it
			if slices.Contains(list, "*") {
				return nil, errors.New("\"*\" is no list of headers: want names, or what they begin or end with")
			}
		}
		if prefix := said.GetPathPrefix(); prefix != "" && !strings.HasPrefix(prefix, "/") {
			return nil, fmt.Errorf("pathPrefix %q: want one that begins with a slash", prefix)
		}
		service := &authzv3.HttpService{PathPrefix: said.GetPathPrefix(), ServerUri: &corev3.HttpUri{
			Uri: "http://" + host, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: askedTimeout(said.GetTimeout()),
		}}
		if more := said.GetIncludeAdditionalHeadersInCheck(); len(more) > 0 {
			service.AuthorizationRequest = &authzv3.AuthorizationRequest{}
			for _, name := range slices.Sorted(maps.Keys(more)) {
				if strings.HasPrefix(name, ":") || strings.EqualFold(name, "host") {
					return nil, fmt.Errorf("includeAdditionalHeadersInCheck: proxies add no %q: want a header that is not of the request's own line and host", name)
				}
				service.AuthorizationRequest.HeadersToAdd = append(service.AuthorizationRequest.HeadersToAdd, &corev3.HeaderValue{Key: name, Value: literalFormat(more[name])}) // which Istio has be fixed
			}
		}
		up, yes, no := headerNames(said.GetHeadersToUpstreamOnAllow()), headerNames(said.GetHeadersToDownstreamOnAllow()), headerNames(said.GetHeadersToDownstreamOnDeny())
		if up != nil || yes != nil || no != nil {
			service.AuthorizationResponse = &authzv3.AuthorizationResponse{AllowedUpstreamHeaders: up, AllowedClientHeadersOnSuccess: yes, AllowedClientHeaders: no}
		}
		a.http.Services = &authzv3.ExtAuthz_HttpService{HttpService: service}
		a.http.AllowedHeaders = headerNames(said.GetIncludeRequestHeadersInCheck())
		if a.http.AllowedHeaders == nil {
			a.http.AllowedHeaders = headerNames(said.GetIncludeHeadersInCheck()) //nolint:staticcheck // people still write it
		}
		a.http.FailureModeAllow, a.http.ClearRouteCache = said.GetFailOpen(), said.GetClearRouteCache()
		status, body = said.GetStatusOnError(), said.GetIncludeRequestBodyInCheck()
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyExtAuthzGrpc:
		said := is.EnvoyExtAuthzGrpc
		service := grpcTo(cluster, host)
		service.Timeout = askedTimeout(said.GetTimeout())
		a.http.Services = &authzv3.ExtAuthz_GrpcService{GrpcService: service}
		a.http.FailureModeAllow, a.http.ClearRouteCache = said.GetFailOpen(), said.GetClearRouteCache()
		status, body = said.GetStatusOnError(), said.GetIncludeRequestBodyInCheck()
		a.tcp = &tcpauthzv3.ExtAuthz{
			StatPrefix: "tcp.", GrpcService: service, FailureModeAllow: said.GetFailOpen(), TransportApiVersion: corev3.ApiVersion_V3,
			FilterEnabledMetadata: askedWhen(filterTCPRules, p.GetName()),
		}
	default:
		return nil, fmt.Errorf("provider %q is none that is asked for authorization: want envoyExtAuthzHttp or envoyExtAuthzGrpc", p.GetName())
	}
	if status != "" {
		n, err := strconv.Atoi(status)
		if _, is := typev3.StatusCode_name[int32(n)]; err != nil || !is || n == 0 {
			return nil, fmt.Errorf("statusOnError %q: want a status such as 403", status)
		}
		a.http.StatusOnError = &typev3.HttpStatus{Code: typev3.StatusCode(n)}
	}
	if body != nil {
		a.http.WithRequestBody = &authzv3.BufferSettings{MaxRequestBytes: body.GetMaxRequestBytes(), AllowPartialMessage: body.GetAllowPartialMessage(), PackAsBytes: body.GetPackAsBytes()}
	}
	// What a proxy would refuse it would refuse with the whole listener.
	return a, a.http.ValidateAll()
}

// askedWhen is true of what a rule for a provider is true of.
func askedWhen(filter, provider string) *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: filter, Path: []*matcherv3.MetadataMatcher_PathSegment{{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: askedRule}}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: askedFor + provider + "-"},
		}}},
	}
}

func askedTimeout(d *durationpb.Duration) *durationpb.Duration {
	return cmp.Or(d, durationpb.New(askedWait))
}

// headerNames are fields by their names, or by what these begin or end with; nil: none.
func headerNames(names []string) *matcherv3.ListStringMatcher {
	if len(names) == 0 {
		return nil
	}
	list := &matcherv3.ListStringMatcher{}
	for _, name := range names {
		m := loose(name, "")
		m.IgnoreCase = true
		list.Patterns = append(list.Patterns, m)
	}
	return list
}

// customRules are what CUSTOM policies are for.
func customRules(s *mesh.Settings, policies []*source.Object, tcp bool, behind string) *rbacv3.RBAC {
	to := &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{}}
	for _, o := range policies {
		addRules(to, s, o, tcp, func(i int) string { return askedFor + providerOf(o) + "-" + ruleName(o, i) + behind })
	}
	return to
}

// customHTTP asks about requests.
func customHTTP(s *mesh.Settings, services *seen, access *chain) []*hcmv3.HttpFilter {
	policies := custom(access)
	if len(policies) == 0 {
		return nil
	}
	a := authorizerFor(s, services, policies)
	if a == nil {
		return []*hcmv3.HttpFilter{httpFilter(filterHTTPRules, &httprbacv3.RBAC{Rules: customRules(s, policies, false, deniedInstead)})}
	}
	return []*hcmv3.HttpFilter{
		httpFilter(filterHTTPRules, &httprbacv3.RBAC{ShadowRules: customRules(s, policies, false, ""), ShadowRulesStatPrefix: askedNote}),
		httpFilter("envoy.filters.http.ext_authz", a.http),
	}
}

// customTCP asks about connections. Who can be asked about requests only cannot be about these, and they are denied: Istio lets them through, and with
// them requests that come where they are not recognized.
func customTCP(s *mesh.Settings, services *seen, access *chain) []*listenerv3.Filter {
	policies := custom(access)
	if len(policies) == 0 {
		return nil
	}
	a := authorizerFor(s, services, policies)
	if a == nil || a.tcp == nil {
		return []*listenerv3.Filter{networkFilter(filterTCPRules, &tcprbacv3.RBAC{Rules: customRules(s, policies, true, deniedInstead), StatPrefix: "tcp."})}
	}
	return []*listenerv3.Filter{
		networkFilter(filterTCPRules, &tcprbacv3.RBAC{ShadowRules: customRules(s, policies, true, ""), ShadowRulesStatPrefix: askedNote, StatPrefix: "tcp."}),
		networkFilter("envoy.filters.network.ext_authz", a.tcp),
	}
}
