package l7

import (
	"bytes"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// followed is what an exchange knows of redirects that it has followed. It is made for the first one and kept for later exchanges.
type followed struct {
	count    uint32
	met      [][2]string // from which route which one was met
	before   http.Request
	body     []byte
	trailers http.Header
	whole    bool // the request is its head
}

func (f *followed) reset() {
	f.count, f.met, f.body = 0, f.met[:0], emptied(f.body)
}

// follow sends the request on to where its answer points, if the route says so. Filters never see such an answer: they are asked anew
// about the request that it leads to, which is a pass of its own, with its own line in logs and its own limits of time.
func (x *exchange) follow(a *attempt, end bool) bool {
	p, s := x.forward.Follow, a.response
	if !slices.Contains(p.Codes, s.Status) {
		return false
	}
	// Where the request is not here as a whole, or more of it has gone by than is kept, it cannot be sent again.
	if !x.has(requestEnded) || !x.has(headOnly|keepsBody) || x.has(upgradeAsked) || !s.Has(http.Location) || !x.redirect(p, s) {
		x.clusterStats().Inc(upstream.InternalRedirectFailed)
		return false
	}
	x.clusterStats().Inc(upstream.InternalRedirectSucceeded)
	if len(x.rivals) > 0 || s != &x.response {
		x.prefer(a)
	}
	a.discard(end)
	r := x.retry
	r.onward = true
	x.local.Loop.SetTimer(&r.timer, 0, r) // the upstream connection comes back first
	return true
}

// redirect makes the request the one that a redirect asks for, or leaves it as it is.
func (x *exchange) redirect(p *config.Follow, s *http.Response) bool {
	stats, q := x.conn.stats, &x.request
	f := x.followed
	if f == nil {
		f = &followed{}
		x.followed = f
	}
	scheme, host, path, ok := splitURL(s.Get(http.Location))
	if !ok {
		stats.Inc(RedirectBadLocation)
		return false
	}
	secure, target := string(q.Get(http.XForwardedProto)) == "https", string(scheme) != "http"
	switch {
	case secure != target && !p.CrossScheme:
		stats.Inc(RedirectUnsafeScheme)
		return false
	case target && string(scheme) != "https":
		stats.Inc(RedirectBadLocation)
		return false
	case f.count >= p.Max:
		stats.Inc(RedirectTooMany)
		return false
	}
	f.before.CopyFrom(q)
	for _, name := range p.Copy {
		q.RemoveNamed(name)
		id := http.Lookup(name)
		for i := s.Find(id, name, 0); i >= 0; i = s.Find(id, name, i+1) {
			q.AddNamed(s.Name(i), s.Value(i))
		}
	}
	q.SetScheme(scheme)
	q.SetAuthority(host)
	q.SetPath(path)
	last, found := x.table, route.Result{}
	if x.findTable(); x.table != nil { // the fields that name the scope may be others
		found = x.table.Match(&x.input)
	}
	if found.Route == nil && !found.TLSRedirect {
		stats.Inc(RedirectNoRoute)
		x.table = last
		q.CopyFrom(&f.before)
		return false
	}
	name := ""
	if found.Route != nil {
		name = found.Route.Name
	}
	if !x.mayFollow(p, name, secure, target) {
		stats.Inc(RedirectPredicate)
		x.table = last
		q.CopyFrom(&f.before)
		return false
	}
	if m := string(q.Method()); s.Status == 303 && m != "GET" && m != "HEAD" {
		q.SetMethod([]byte("GET")) // RFC 9110 §15.4.4
		q.Remove(http.ContentLength)
		x.state |= headOnly
	}
	f.count++
	x.scratch = append(x.scratch[:0], "http"...)
	if secure {
		x.scratch = append(x.scratch, 's')
	}
	x.scratch = append(append(append(x.scratch, "://"...), f.before.Authority()...), f.before.Path()...)
	q.Set(http.XEnvoyOriginalURL, x.scratch)
	return true
}

// mayFollow asks the predicates of a policy about the route that the redirect leads to.
func (x *exchange) mayFollow(p *config.Follow, to string, secure, target bool) bool {
	if p.SafeScheme && target && !secure {
		return false
	}
	for _, list := range p.Listed {
		if !slices.Contains(list, to) {
			return false
		}
	}
	if p.NotAgain {
		step := [2]string{x.found.Route.Name, to}
		if slices.Contains(x.followed.met, step) {
			return false
		}
		x.followed.met = append(x.followed.met, step)
	}
	return true
}

// splitURL takes an absolute URL apart. What has no host is none, with Envoy; what names a user is none, either.
func splitURL(url []byte) (scheme, host, path []byte, ok bool) {
	i := bytes.Index(url, []byte("://"))
	if i < 0 {
		return nil, nil, nil, false
	}
	scheme, rest := url[:i], url[i+3:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path = rest[:end], rest[end:]
	path, _, _ = bytes.Cut(path, []byte("#"))
	switch {
	case len(path) == 0:
		path = []byte("/")
	case path[0] == '?':
		path = append([]byte("/"), path...)
	}
	return bytes.ToLower(scheme), host, path, len(host) > 0 && !bytes.ContainsAny(host, "@\\") && !bytes.ContainsFunc(rest, breaks)
}

// breaks says that a character cannot be in a request line.
func breaks(r rune) bool { return r <= ' ' || r == 0x7f }

// passAgain ends the pass that met a redirect, and begins the one that follows it.
func (x *exchange) passAgain() {
	f, r := x.followed, x.retry
	f.body, r.body = r.body, f.body[:0]
	if f.whole = x.has(headOnly); f.whole {
		f.body = f.body[:0] // of a POST that has become a GET, it goes no further
	}
	f.trailers.Reset()
	if x.requestTrailers != nil {
		f.trailers.CopyFrom(x.requestTrailers)
	}
	remote, local := x.entry.Remote, x.local.Loop
	x.state &^= rerouted
	x.match()
	x.entry.Status, x.entry.Details, x.entry.Response = x.response.Status, "internal_redirect", &x.response
	x.entry.End = x.since()
	x.log()
	x.up.reset()
	x.down.reset()
	for i := range x.filters {
		if !x.skip[i] {
			x.filters[i].Done(x)
		}
	}
	local.StopTimer(&x.deadline)
	local.StopTimer(&x.answer)
	local.StopTimer(&x.quiet)
	local.StopTimer(&x.duration)
	c := x.conn
	c.stats.Inc(RqTotal)
	c.countRequest()
	x.response.Reset()
	x.state &= hasHead | requestEnded | external | asksGRPC
	received := x.received()
	x.beginPass()
	if m := x.entry.More; m != nil {
		m.Received, m.RequestHead = received, accesslog.At(0)
	}
	x.entry.Request, x.entry.Protocol, x.entry.Remote, x.entry.RequestEnd = &x.request, x.request.Version, remote, 0
	x.entry.BytesReceived = uint64(len(f.body))
	x.startLimits()
	x.startChain()
	if !x.normalizeTarget() {
		return
	}
	x.stripAuthority()
	x.runChain(f.whole)
	if f.whole || x.has(over|replied) {
		return
	}
	if len(f.body) > 0 || f.trailers.Len() == 0 {
		x.passBody(&x.up, 0, f.body, f.trailers.Len() == 0)
	}
	if f.trailers.Len() > 0 && !x.has(over|replied) {
		x.passTrailers(&x.up, 0, &f.trailers)
		x.passBody(&x.up, 0, nil, true)
	}
}
