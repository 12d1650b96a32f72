package source

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// retryOn are what may be retried on, besides numbers of statuses.
var retryOn = []string{"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
	"retriable-status-codes", "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure",
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}

var corsMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"}

func (c *checker) httpRoute(r *networking.HTTPRoute, delegate, gateway bool) {
	c.httpAction(r, delegate)
	each(c, "match", r.Match, func(_ int, m *networking.HTTPMatchRequest) { c.httpMatch(m, gateway) })
	c.headers(r.Headers)
	c.cors(r.CorsPolicy)
	c.faultInjection(r.Fault)
	if p := r.MirrorPercent; p != nil { //nolint:staticcheck // people still write it
		if p.Value > 100 {
			c.bad("mirrorPercent", "must have a max value of 100 (it has %d)", p.Value)
		}
		c.warn("mirrorPercent", `using deprecated setting "mirrorPercent", use "mirrorPercentage" instead`)
	}
	c.share("mirrorPercentage", r.MirrorPercentage)
	if r.Mirror != nil {
		c.at("mirror")
		c.destination(r.Mirror)
		c.up()
		if len(r.Mirrors) > 0 {
			c.bad("mirrors", "HTTP route cannot contain both mirror and mirrors")
		}
	}
	each(c, "mirrors", r.Mirrors, func(_ int, m *networking.HTTPMirrorPolicy) {
		if m.Destination == nil {
			c.bad("destination", "destination is required for mirrors")
			return
		}
		c.at("destination")
		c.destination(m.Destination)
		c.up()
		c.share("percentage", m.Percentage)
	})
	c.redirect(r.Redirect, r.Match)
	c.directResponse(r.DirectResponse)
	c.retries("retries", r.Retries)
	c.rewrite(r.Rewrite, r.Headers)
	total := int64(0)
	each(c, "route", r.Route, func(_ int, d *networking.HTTPRouteDestination) {
		c.headers(d.Headers)
		total += c.weighted(d.Destination, d.Weight)
	})
	c.total("route", len(r.Route), total)
	c.fault("timeout", duration(r.Timeout))
}

// httpAction checks that exactly one thing is done with a request.
func (c *checker) httpAction(r *networking.HTTPRoute, delegate bool) {
	if r.Delegate != nil && !delegate {
		if r.Redirect != nil {
			c.bad("redirect", "root HTTP route must not specify redirect")
		}
		if r.Route != nil {
			c.bad("route", "root HTTP route must not specify route")
		}
		if r.DirectResponse != nil {
			c.bad("directResponse", "root HTTP route must not specify directResponse")
		}
		return
	}
	if r.Delegate != nil {
		c.bad("delegate", "delegate HTTP route cannot contain delegate")
	}
	instead := ""
	switch {
	case r.Redirect != nil && r.DirectResponse != nil:
		c.bad("directResponse", "HTTP route cannot contain both directResponse and redirect")
		return
	case r.Redirect != nil:
		instead = "redirect"
	case r.DirectResponse != nil:
		instead = "directResponse"
	case len(r.Route) == 0:
		c.bad("route", "HTTP route, redirect or directResponse is required")
		return
	default:
		return
	}
	for _, other := range []struct {
		name string
		set  bool
	}{{"route", len(r.Route) > 0}, {"fault", r.Fault != nil}, {"rewrite", r.Rewrite != nil}} {
		if other.set {
			c.bad(other.name, "HTTP route cannot contain both %s and %s", other.name, instead)
		}
	}
}

func (c *checker) httpMatch(m *networking.HTTPMatchRequest, gateway bool) {
	header := func(name string, s *networking.StringMatch) {
		c.fault("", matchedHeader(name))
		if isClaim(name) && !gateway {
			c.bad("", "JWT claim based routing is only supported for gateway")
		}
	}
	eachKey(c, "headers", m.Headers, func(name string, s *networking.StringMatch) {
		header(name, s)
		c.text("", s, false)
	})
	eachKey(c, "withoutHeaders", m.WithoutHeaders, func(name string, s *networking.StringMatch) {
		header(name, s)
		if s.GetRegex() != "*" { // that it is there
			c.text("", s, false)
		}
	})
	c.text("uri", m.Uri, true)
	c.text("scheme", m.Scheme, false)
	c.text("method", m.Method, false)
	c.text("authority", m.Authority, false)
	eachKey(c, "queryParams", m.QueryParams, func(_ string, s *networking.StringMatch) { c.text("", s, false) })
	c.l4Match(nil, m.Port, m.SourceLabels, m.Gateways, m.SourceNamespace)
}

// text checks a match of a text. One of a URI may have an empty prefix.
func (c *checker) text(field string, s *networking.StringMatch, empty bool) {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		if m.Prefix == "" && !empty {
			c.bad(below(field, "prefix"), "prefix string match should not be empty")
		}
	case *networking.StringMatch_Regex:
		c.fault(below(field, "regex"), pattern(m.Regex))
	}
}

func (c *checker) headers(h *networking.Headers) {
	if h == nil {
		return
	}
	c.at("headers")
	for _, side := range []struct {
		name    string
		h       *networking.Headers_HeaderOperations
		request bool
	}{{"request", h.Request, true}, {"response", h.Response, false}} {
		if side.h == nil {
			continue
		}
		c.at(side.name)
		value := func(name, v string) {
			c.fault("", headerSet(name, side.request))
			c.fault("", headerValue(v))
		}
		eachKey(c, "add", side.h.Add, value)
		eachKey(c, "set", side.h.Set, value)
		each(c, "remove", side.h.Remove, func(_ int, name string) { c.fault("", headerSet(name, false)) })
		c.up()
	}
	c.up()
}

func (c *checker) cors(p *networking.CorsPolicy) {
	if p == nil {
		return
	}
	c.at("corsPolicy")
	each(c, "allowOrigins", p.AllowOrigins, func(_ int, o *networking.StringMatch) {
		if o.GetExact() == "" && o.GetPrefix() == "" && o.GetRegex() == "" {
			c.bad("", "is no match for an origin: exact, prefix or regex")
			return
		}
		c.text("", o, false)
	})
	each(c, "allowMethods", p.AllowMethods, func(_ int, m string) {
		if !slices.Contains(corsMethods, m) {
			c.bad("", "%q is not a supported HTTP method", short(m))
		}
	})
	name := func(_ int, n string) {
		if n != "*" {
			c.fault("", headerName(n))
		}
	}
	each(c, "allowHeaders", p.AllowHeaders, name)
	each(c, "exposeHeaders", p.ExposeHeaders, name)
	if c.fault("maxAge", duration(p.MaxAge)); p.MaxAge.GetNanos() > 0 {
		c.bad("maxAge", "is accurate only to seconds precision")
	}
	c.up()
}

func (c *checker) share(field string, p *networking.Percent) {
	if v := p.GetValue(); v < 0 || v > 100 || math.IsNaN(v) {
		c.bad(field, "percentage %v is not in range 0..100", v)
	}
}

// fraction checks a share of requests that something is done to, which cannot be arbitrarily small.
func (c *checker) fraction(field string, p *networking.Percent) {
	if v := p.GetValue(); v != 0 && !(v >= 0.0001 && v <= 100) {
		c.bad(field, "percentage %v is neither 0.0, nor in range [0.0001, 100.0]", v)
	}
}

func (c *checker) faultInjection(f *networking.HTTPFaultInjection) {
	if f == nil {
		return
	}
	c.at("fault")
	if f.Abort == nil && f.Delay == nil {
		c.bad("", "HTTP fault injection must have an abort and/or a delay")
	}
	if f.Abort != nil {
		c.fraction("abort.percentage", f.Abort.Percentage)
		switch e := f.Abort.ErrorType.(type) {
		case *networking.HTTPFaultInjection_Abort_HttpStatus:
			c.fault("abort.httpStatus", httpStatus(int64(e.HttpStatus)))
		case *networking.HTTPFaultInjection_Abort_GrpcStatus:
			if !slices.Contains(grpcStatuses, e.GrpcStatus) {
				c.bad("abort.grpcStatus", "gRPC status %q is not supported: a name, for example NOT_FOUND", short(e.GrpcStatus))
			}
		case *networking.HTTPFaultInjection_Abort_Http2Error:
			c.bad("abort.http2Error", "HTTP/2 abort fault injection not supported")
		default:
			c.warn("abort", "abort configured, but error type not set")
		}
	}
	if f.Delay != nil {
		c.fraction("delay.percentage", f.Delay.Percentage)
		switch d := f.Delay.HttpDelayType.(type) {
		case *networking.HTTPFaultInjection_Delay_FixedDelay:
			c.fault("delay.fixedDelay", duration(d.FixedDelay))
		case *networking.HTTPFaultInjection_Delay_ExponentialDelay:
			c.bad("delay.exponentialDelay", "exponentialDelay not supported")
		}
	}
	c.up()
}

func (c *checker) redirect(r *networking.HTTPRedirect, matches []*networking.HTTPMatchRequest) {
	if r == nil {
		return
	}
	c.at("redirect")
	if r.Uri != "" && r.PrefixRewrite != "" {
		c.bad("prefixRewrite", "redirect may only specify one of uri or prefixRewrite")
	}
	if r.PrefixRewrite != "" {
		for _, m := range matches {
			if _, prefix := m.GetUri().GetMatchType().(*networking.StringMatch_Prefix); m.GetUri() != nil && !prefix {
				c.bad("prefixRewrite", "requires all URI matches to use prefix match type")
				break
			}
		}
	}
	if r.Uri == "" && r.PrefixRewrite == "" && r.Authority == "" && r.RedirectPort == nil && r.Scheme == "" {
		c.bad("", "redirect must specify URI, authority, scheme, or port")
	}
	if r.RedirectCode != 0 && (r.RedirectCode < 300 || r.RedirectCode > 399) {
		c.bad("redirectCode", "%d is not a valid redirect code, must be 3xx", r.RedirectCode)
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		c.bad("scheme", `invalid redirect scheme, must be "http" or "https"`)
	}
	if p, is := r.RedirectPort.(*networking.HTTPRedirect_Port); is {
		c.fault("port", port(p.Port))
	}
	c.up()
}

func (c *checker) directResponse(r *networking.HTTPDirectResponse) {
	if r == nil {
		return
	}
	c.at("directResponse")
	switch size := len(r.Body.GetString_()) + len(r.Body.GetBytes()); {
	case size > 1<<20:
		c.bad("body", "has %d bytes, and must be less than 1MB", size)
	case size > 100<<10:
		c.warn("body", "large responses may impact control plane performance")
	}
	c.fault("status", httpStatus(int64(r.Status)))
	c.up()
}

func (c *checker) retries(field string, r *networking.HTTPRetry) {
	if r == nil {
		return
	}
	c.at(field)
	if r.Attempts < 0 {
		c.bad("attempts", "attempts cannot be negative")
	}
	if r.Attempts == 0 && (r.PerTryTimeout != nil || r.RetryOn != "" || r.RetryRemoteLocalities != nil) {
		c.bad("attempts", "http retry policy configured when attempts are set to 0 (disabled)")
	}
	c.fault("perTryTimeout", duration(r.PerTryTimeout))
	if r.RetryOn != "" {
		for one := range strings.SplitSeq(r.RetryOn, ",") {
			if n, _ := strconv.Atoi(one); http.StatusText(n) == "" && !slices.Contains(retryOn, one) {
				c.bad("retryOn", "%q is not a valid retryOn policy", short(one))
			}
		}
	}
	c.fault("backoff", duration(r.Backoff))
	c.up()
}

func (c *checker) rewrite(r *networking.HTTPRewrite, headers *networking.Headers) {
	if r != nil {
		c.at("rewrite")
		x := r.UriRegexRewrite
		switch {
		case r.Uri != "" && x != nil:
			c.bad("uriRegexRewrite", "rewrite may only contain one of uri or uriRegexRewrite")
		case r.Uri == "" && x == nil && r.Authority == "":
			c.bad("", "rewrite must specify at least one of uri, uriRegexRewrite or authority")
		case x != nil && (x.Match == "" || x.Rewrite == ""):
			c.bad("uriRegexRewrite", "requires both match and rewrite to be specified")
		case x != nil:
			c.fault("uriRegexRewrite.match", pattern(x.Match))
		}
		c.up()
	}
	// The host is set once: here, or by one of the headers.
	set := oneOf(r.GetAuthority() != "")
	for _, m := range []map[string]string{headers.GetRequest().GetSet(), headers.GetRequest().GetAdd()} {
		for name := range m {
			set += oneOf(isAuthority(name))
		}
	}
	if set > 1 {
		c.bad("headers.request", "authority header cannot be set multiple times")
	}
}
