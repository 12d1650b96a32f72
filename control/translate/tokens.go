package translate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	security "istio.io/api/security/v1beta1"
)

// Where what a token says is noted, for whoever decides by it.
const (
	filterJWT  = "envoy.filters.http.jwt_authn"
	payloadKey = "payload"
)

// How long keys are waited for and kept.
const (
	keysWait = 5 * time.Second
	keysKept = 5 * time.Minute
)

// tokensHTTP checks the tokens of requests that have some; nil: nothing is said of tokens. Whether there has to be one is said by access.
func tokensHTTP(tokens *chain, services *seen, again bool) []*hcmv3.HttpFilter {
	var rules []*security.JWTRule
	for _, o := range objectsOf(tokens) {
		rules = append(rules, o.Spec.(*security.RequestAuthentication).GetJwtRules()...)
	}
	if len(rules) == 0 {
		return nil
	}
	slices.SortStableFunc(rules, func(a, b *security.JWTRule) int { return cmp.Compare(a.GetIssuer(), b.GetIssuer()) })
	f := &jwtv3.JwtAuthentication{Providers: map[string]*jwtv3.JwtProvider{}, BypassCorsPreflight: true}
	var any, all []*jwtv3.JwtRequirement
	for i, r := range rules {
		name := fmt.Sprintf("origins-%d", i)
		f.Providers[name] = provider(r, services)
		f.Providers[name].ClearRouteCache = again
		one := &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: name}}
		any = append(any, one)
		all = append(all, anyOf(one, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}}))
	}
	wants := all[0]
	if len(rules) > 1 {
		// Each that there is has to be good; where several look for one at the same place, only its own issuer's can be, which is enough.
		wants = anyOf(append(any, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAll{RequiresAll: &jwtv3.JwtRequirementAndList{Requirements: all}}})...)
	}
	f.Rules = []*jwtv3.RequirementRule{{
		Match:           &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		RequirementType: &jwtv3.RequirementRule_Requires{Requires: wants},
	}}
	return []*hcmv3.HttpFilter{httpFilter(filterJWT, f)}
}

func anyOf(list ...*jwtv3.JwtRequirement) *jwtv3.JwtRequirement {
	return &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAny{RequiresAny: &jwtv3.JwtRequirementOrList{Requirements: list}}}
}

// usualSpaced are claims that are lists with blanks between.
var usualSpaced = []string{"scope", "permission"}

func provider(r *security.JWTRule, services *seen) *jwtv3.JwtProvider {
	p := &jwtv3.JwtProvider{
		Issuer: r.GetIssuer(), Audiences: r.GetAudiences(), Forward: r.GetForwardOriginalToken(), ForwardPayloadHeader: r.GetOutputPayloadToHeader(),
		PayloadInMetadata: payloadKey, FromParams: r.GetFromParams(), FromCookies: r.GetFromCookies(),
		NormalizePayloadInMetadata: &jwtv3.JwtProvider_NormalizePayload{SpaceDelimitedClaims: append(slices.Clone(usualSpaced), r.GetSpaceDelimitedClaims()...)},
	}
	for _, h := range r.GetFromHeaders() {
		p.FromHeaders = append(p.FromHeaders, &jwtv3.JwtHeader{Name: h.GetName(), ValuePrefix: h.GetPrefix()})
	}
	for _, c := range r.GetOutputClaimToHeaders() {
		p.ClaimToHeaders = append(p.ClaimToHeaders, &jwtv3.JwtClaimToHeader{HeaderName: c.GetHeader(), ClaimName: c.GetClaim()})
	}
	if keys := r.GetJwks(); hasKeys(keys) {
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: keys}}}
		return p
	}
	wait := r.GetTimeout()
	if wait == nil {
		wait = durationpb.New(keysWait)
	}
	// Where nobody has keys there is nobody to ask for them: then no token is good.
	p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: &jwtv3.RemoteJwks{
		HttpUri: &corev3.HttpUri{
			Uri: cmp.Or(r.GetJwksUri(), "http://none.invalid/"), Timeout: wait,
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cmp.Or(uriCluster(r.GetJwksUri(), services), blackHoleCluster)},
		},
		CacheDuration: durationpb.New(keysKept),
	}}
	return p
}

// hasKeys tells whether there is at least one key, without which a proxy refuses all that the keys are a part of.
func hasKeys(text string) bool {
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
		} `json:"keys"`
	}
	return json.Unmarshal([]byte(text), &set) == nil && len(set.Keys) > 0 && set.Keys[0].Type != ""
}

// uriCluster is the cluster of a URI's host; empty: nobody has named it, so that no proxy can ask it.
func uriCluster(uri string, services *seen) string {
	u, err := url.Parse(uri)
	if err != nil || uri == "" {
		return ""
	}
	port := uint32(443)
	if u.Scheme == "http" {
		port = 80
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return ""
		}
		port = uint32(n)
	}
	if svc := services.service(u.Hostname()); svc == nil || svc.Port(port) == nil {
		return ""
	}
	return outboundName(port, "", u.Hostname())
}
