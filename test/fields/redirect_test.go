package fields

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// follows is a route whose redirects are followed to where 202 is answered.
func follows(piece string) string {
	return vhost("routes: [{name: target, match: {prefix: /target}, direct_response: {status: 202}}, {name: other, match: {prefix: /other}, direct_response: {status: 203}}, {name: from, match: {prefix: /}, route: {cluster: up, " + piece + "}}]")
}

// redirecting is the policy of that route.
func redirecting(piece string) string { return follows("internal_redirect_policy: {" + piece + "}") }

// predicated has one predicate.
func predicated(piece string) string {
	return redirecting("max_internal_redirects: 9, allow_cross_scheme_redirect: true, " + piece)
}

const ofRedirect = `{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.internal_redirect.`

func moves(status, to string) func(testing.TB) *e2e.Upstream {
	return answer("HTTP/1.1 " + status + " Moved\r\nlocation: " + to + "\r\nx-copy: c\r\ncontent-length: 0\r\n\r\n")
}

var (
	movesOn = moves("302", "http://b.test/target")
	goes    = look("GET /", "status")
)

var redirectTrials = []trial{
	{paths: "RouteAction.internal_redirect_policy", site: follows, flip: "internal_redirect_policy: {}", up: movesOn, probe: goes, want: [2]string{"302", "202"}},
	{paths: "internal_redirect_action=HANDLE_INTERNAL_REDIRECT", site: follows, flip: "internal_redirect_action: HANDLE_INTERNAL_REDIRECT", up: movesOn, probe: goes, want: [2]string{"302", "202"}},
	{paths: "RouteAction.max_internal_redirects", site: follows, base: "internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 0", flip: "internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 1", up: movesOn, probe: goes, want: [2]string{"302", "202"}},
	{paths: "InternalRedirectPolicy.max_internal_redirects", site: redirecting, base: "max_internal_redirects: 2", flip: "max_internal_redirects: 3", up: moves("302", "http://b.test/"), probe: look("GET /", "status", "#cluster.up.upstream_internal_redirect_succeeded_total"), want: [2]string{"302|2", "302|3"}},
	{paths: "InternalRedirectPolicy.redirect_response_codes", site: redirecting, base: "redirect_response_codes: [302]", flip: "redirect_response_codes: [307]", up: moves("307", "http://b.test/target"), probe: goes, want: [2]string{"307", "202"}},
	{paths: "InternalRedirectPolicy.allow_cross_scheme_redirect", site: redirecting, flip: "allow_cross_scheme_redirect: true", up: moves("302", "https://b.test/target"), probe: goes, want: [2]string{"302", "202"}},
	{paths: "InternalRedirectPolicy.response_headers_to_copy", site: redirecting, flip: "response_headers_to_copy: [x-copy]", up: moves("302", "http://b.test/more"), probe: look("GET /", ">x-copy"), want: [2]string{"-", "c"}},
	{paths: "InternalRedirectPolicy.predicates TypedExtensionConfig@redirect.typed_config", site: predicated, flip: "predicates: [" + ofRedirect + "safe_cross_scheme.v3.SafeCrossSchemeConfig}}]", up: moves("302", "https://b.test/target"), probe: goes, want: [2]string{"202", "302"}},
	{paths: "AllowListedRoutesConfig.allowed_route_names", site: predicated, base: "predicates: [" + ofRedirect + "allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [other]}}]", flip: "predicates: [" + ofRedirect + "allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [target]}}]", up: movesOn, probe: goes, want: [2]string{"302", "202"}},
}
