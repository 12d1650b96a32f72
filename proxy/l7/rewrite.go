package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// rewriteHost gives the request another host, if the route or its share says so. What an attempt's endpoint is called is not known yet.
func (x *exchange) rewriteHost() {
	f, host := x.forward, x.scratch[:0]
	switch h := f.Host; {
	case x.share.HostRewrite != "":
		host = append(host, x.share.HostRewrite...)
	case f.HostRewrite != "":
		host = append(host, f.HostRewrite...)
	case h == nil, h.Endpoint:
		return
	case h.Header != "":
		host = append(host, x.request.Field(h.Header)...)
	case h.Path != nil:
		host = route.AppendFromPath(host, h.Path, &x.request)
	default:
		host = h.Format.(*accesslog.Format).Append(host, &x.entry)
	}
	x.scratch = host
	if len(host) > 0 {
		x.setHost(host, x.share.HostRewrite == "")
	}
}

// setHost changes the host and says in Envoy's fields what it was; tell, in the one that is for Envoy, too.
func (x *exchange) setHost(host []byte, tell bool) {
	r := &x.request
	old := r.Authority()
	r.SetAuthority(host)
	if x.forward.AppendForwardedHost {
		appendValue(x, &r.Header, http.XForwardedHost, old)
	}
	if tell && !x.server.config.Router.SuppressEnvoyHeaders {
		r.Set(http.XEnvoyOriginalHost, old)
	}
}

// nameEndpoint makes the endpoint's name the host, if the route says so and it has one. Only the first attempt says what it was before.
func (x *exchange) nameEndpoint() {
	h, name := x.forward.Host, x.attempt.member.Hostname
	if h == nil || !h.Endpoint || x.share.HostRewrite != "" || name == "" {
		return
	}
	x.scratch = append(x.scratch[:0], name...)
	if x.tries > 1 {
		x.request.SetAuthority(x.scratch)
		return
	}
	x.setHost(x.scratch, true)
}

// rewritePath gives the request another path, if the route says so. An empty one is none.
func (x *exchange) rewritePath() {
	f, r := x.forward, &x.request
	path := x.scratch[:0]
	switch {
	case f.Path != nil && f.Path.Format != nil:
		if path = f.Path.Format.(*accesslog.Format).Append(path, &x.entry); len(path) > 0 {
			path = route.AppendQuery(path, r.Path())
		}
	case f.Path != nil || f.PrefixRewrite != "":
		path = route.AppendRewritten(path, f, &x.found.Route.Match, r)
	default:
		return
	}
	x.scratch = path
	if len(path) == 0 {
		return
	}
	if !x.server.config.Router.SuppressEnvoyHeaders {
		r.Set(http.XEnvoyOriginalPath, r.Path())
	}
	r.SetPath(path)
}

// location is where a redirect sends the client.
func (x *exchange) location(d *config.Redirect, m *config.Match) string {
	x.scratch = x.scratch[:0]
	var formatted []byte
	if d.Rewrite != nil && d.Rewrite.Format != nil {
		formatted = d.Rewrite.Format.(*accesslog.Format).Append(nil, &x.entry)
	}
	x.scratch = route.AppendLocation(x.scratch, d, m, &x.request, formatted)
	return string(x.scratch)
}

// here is the redirect that changes nothing.
var here config.Redirect

// directLocation is what a direct response says of where the answer is found: for 201 and redirects the request's own place, as Envoy.
func (x *exchange) directLocation(r *config.Route) string {
	if s := r.Direct.Status; s != 201 && (s < 300 || s > 399) {
		return ""
	}
	return x.location(&here, &r.Match)
}

// hashRequest works out what the request is hashed to, once all that is hashed stands in its head.
func (x *exchange) hashRequest() {
	x.scratch = x.cookieValue(x.scratch[:0])
	x.hash, x.hashed, x.cookies = route.Hash(x.hashPolicies(), &x.request, x.entry.Remote.Addr(), x.entry.State, x.scratch)
}

func (x *exchange) cookieValue(dst []byte) []byte {
	return route.AppendCookieValue(dst, x.conn.conn.Remote(), x.conn.address())
}

// giveCookies gives the client the cookies that it was hashed by and did not have.
func (x *exchange) giveCookies() {
	policies := x.hashPolicies()
	for i := range policies {
		if x.cookies&(1<<i) == 0 {
			continue
		}
		x.scratch = x.cookieValue(x.scratch[:0])
		n := len(x.scratch)
		x.scratch = route.AppendCookie(x.scratch, &policies[i], x.scratch[:n])
		x.response.Add(http.SetCookie, x.scratch[n:])
	}
}
