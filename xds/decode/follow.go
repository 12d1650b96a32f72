package decode

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	allowlistedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
	safev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/safe_cross_scheme/v3"

	"github.com/weftmesh/weft/config"
)

// redirectCodes are those that may be followed; others that a list names are passed over, with Envoy.
var redirectCodes = []uint16{301, 302, 303, 307, 308}

// follow reads which redirects of the upstream are followed; nil if none are. The old pair of fields means the same.
func (s *session) follow(m *routev3.RouteAction, p *at) *config.Follow {
	d := m.GetInternalRedirectPolicy()
	if d == nil {
		if m.GetInternalRedirectAction() != routev3.RouteAction_HANDLE_INTERNAL_REDIRECT {
			return nil
		}
		return &config.Follow{Codes: []uint16{302}, Max: u32(m.GetMaxInternalRedirects(), 1)}
	}
	p = p.field("internal_redirect_policy")
	f := &config.Follow{Max: u32(d.GetMaxInternalRedirects(), 1), CrossScheme: d.GetAllowCrossSchemeRedirect()}
	for _, code := range d.GetRedirectResponseCodes() {
		if c := uint16(min(code, 1000)); slices.Contains(redirectCodes, c) {
			f.Codes = append(f.Codes, c)
		}
	}
	if len(d.GetRedirectResponseCodes()) == 0 {
		f.Codes = []uint16{302}
	}
	for i, name := range d.GetResponseHeadersToCopy() {
		p := p.field("response_headers_to_copy").item(i)
		name = strings.ToLower(name)
		switch {
		case fixed(name):
			s.problem(p, "%s may not be copied: the redirect's location says it", name)
		case !token(name):
			s.problem(p, "%q is no name of a field: want letters, digits and !#$%%&'*+-.^_`|~", name)
		}
		f.Copy = append(f.Copy, name)
	}
	for _, e := range d.GetPredicates() {
		if c := in[*allowlistedv3.AllowListedRoutesConfig](s, e.GetTypedConfig()); c != nil {
			f.Listed = append(f.Listed, c.GetAllowedRouteNames())
		}
		f.NotAgain = f.NotAgain || in[*previousv3.PreviousRoutesConfig](s, e.GetTypedConfig()) != nil
		f.SafeScheme = f.SafeScheme || in[*safev3.SafeCrossSchemeConfig](s, e.GetTypedConfig()) != nil
	}
	return f
}
