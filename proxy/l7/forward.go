package l7

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// match finds the request's route, once until a filter clears it.
func (x *exchange) match() {
	if x.has(rerouted) {
		return
	}
	x.state |= rerouted
	x.found, x.cluster, x.forward, x.share = route.Result{}, nil, nil, nil
	x.entry.Cluster, x.entry.ClusterStatName = "", ""
	about := &x.entry.About
	about[accesslog.OfVirtualHost], about[accesslog.OfRoute], about[accesslog.OfCluster] = nil, nil, nil
	x.input.Metadata, x.input.State = x.entry.Metadata, x.entry.State
	x.findTable()
	t := x.table
	if t == nil {
		x.said = nil
		return
	}
	began := x.beginResolving()
	x.found = t.Match(&x.input)
	x.resolved(began)
	x.entry.Routed = x.found.Route != nil
	if v := x.found.VirtualHost; v != nil {
		x.entry.VirtualHost, about[accesslog.OfVirtualHost] = v.Name, v.Metadata
	}
	if r := x.found.Route; r != nil {
		x.entry.Route, about[accesslog.OfRoute] = r.Name, r.Metadata
		if f := r.Forward; f != nil {
			x.share = route.Choose(f.Clusters, f.TotalWeight, x.shareNumber(f))
			if x.cluster = x.chosenCluster(); x.cluster != nil {
				x.entry.Cluster, x.entry.ClusterStatName = x.cluster.Config.Name, x.cluster.Config.StatName
				about[accesslog.OfCluster] = x.cluster.Config.Metadata
			}
		}
	}
	if x.said = t.Said(x.found, x.share); x.said != nil {
		x.saidAt = nil
		if x.links != nil {
			x.saidAt = x.links.place(t.Table)
		}
	}
}

// shareNumber decides which share of a route's traffic the request belongs to.
func (x *exchange) shareNumber(f *config.Forward) uint64 {
	if f.ShareHeader != "" || f.ShareByHash {
		if n, ok := ownNumber(f, &x.request, x.entry.Remote.Addr(), x.entry.State); ok {
			return n
		}
	}
	return x.input.Random
}

// ownNumber is the number that a request brings along, where those decide, or that it is hashed to.
func ownNumber(f *config.Forward, r *http.Request, client netip.Addr, state []config.State) (n uint64, ok bool) {
	if f.ShareHeader != "" {
		return route.Number(r, f.ShareHeader)
	}
	// A client without cookie is not given one for this, with Envoy.
	n, ok, _ = route.Hash(f.HashPolicies, r, client, state, nil)
	return n, ok
}

// chosenCluster is the cluster that the request's share names, itself or by a field of the request.
func (x *exchange) chosenCluster() *upstream.Cluster {
	if x.share.Header == "" {
		return x.generation.Clusters[x.share.Name]
	}
	return x.generation.Clusters[string(x.request.Field(x.share.Header))]
}

func (x *exchange) matchedForward() *config.Forward {
	if r := x.found.Route; r != nil {
		return r.Forward
	}
	return nil
}

// forwardHead is the router: the end of the filters' way. It answers, redirects, or starts an attempt.
func (x *exchange) forwardHead(end bool) {
	x.match()
	r := x.found.Route
	x.conn.stats.Inc(RqTotalRouted)
	if len(x.server.config.Router.StrictCheck) > 0 && !x.passesCheck() {
		return
	}
	switch {
	case x.found.TLSRedirect:
		x.conn.stats.Inc(RqDirect)
		x.scratch = route.AppendTLSLocation(x.scratch[:0], &x.request)
		x.reply(301, "direct_response", nil, string(x.scratch))
		return
	case r == nil:
		x.conn.stats.Inc(NoRoute)
		x.entry.Flags |= accesslog.NoRouteFound
		if x.misdirected() {
			x.reply(421, "misdirected_request", nil, "")
			return
		}
		x.reply(404, "route_not_found", nil, "")
		return
	case r.Direct != nil:
		x.conn.stats.Inc(RqDirect)
		x.directReply(r)
		return
	case r.Redirect != nil:
		x.conn.stats.Inc(RqDirect)
		x.reply(r.Redirect.Status, "direct_response", nil, x.location(r.Redirect, &r.Match))
		return
	}
	x.forward = r.Forward
	if x.cluster == nil {
		x.conn.stats.Inc(NoCluster)
		x.entry.Flags |= accesslog.NoClusterFound
		x.reply(r.Forward.MissingCluster, "cluster_not_found", nil, "")
		return
	}
	if x.forward.TunnelPosts && string(x.request.Method()) == "POST" {
		x.state |= terminated
	}
	x.findTallies()
	if d := x.cluster.Dropped(); d.Of > 0 && filters.Draw(d, x.local.Loop.Random()) {
		x.drop(d.Of >= d.In)
		return
	}
	if !x.restartTimers() { // by what came, whatever the route makes of it
		x.Expired(&x.duration)
		return
	}
	x.completeForUpstream()
	if len(x.hashPolicies()) > 0 {
		x.hashRequest()
	}
	if end {
		x.state |= headOnly | bodyPassed
		x.startClock()
	} else if x.has(mayRetry) {
		x.state |= keepsBody
		x.retry.body = x.retry.body[:0]
	}
	if len(x.mirrorPolicies()) > 0 && !x.has(upgradeAsked) {
		x.startMirrors(end)
	}
	x.attempt.begin(end)
	if end && len(x.mirrors) > 0 {
		x.detachMirrors()
	}
}

// misdirected tells whether the request may find its host on another connection: a client has joined it with others, as HTTP/2 allows
// where a certificate is for both hosts (RFC 9113 §9.1.1), and here it is not known.
func (x *exchange) misdirected() bool {
	asked := x.conn.conn.ServerName()
	if x.found.VirtualHost != nil || x.request.Version != http.HTTP2 || asked == "" {
		return false
	}
	host, _ := splitPort(x.request.Authority())
	return !strings.EqualFold(string(host), asked)
}

// drop refuses a request that the cluster is to be spared, as are all of them if the share is the whole.
func (x *exchange) drop(all bool) {
	a := answer{status: 503, details: "drop_overload", body: []byte("drop overload"), refused: http.XEnvoyDropOverload}
	flag := accesslog.DropOverload
	if all {
		a.details, a.body, a.refused = "unconditional_drop_overload", []byte("unconditional drop overload"), http.XEnvoyUnconditionalDropOverload
		flag = accesslog.UnconditionalDropOverload
	}
	x.entry.Flags |= flag
	x.cluster.Drops.Spared.Add(1)
	x.countOther(nil, a.status)
	x.replyAs(a)
}

// forwardBody is the end of the way of the request's body through the filters.
func (x *exchange) forwardBody(b []byte, end bool) {
	if len(x.mirrors) > 0 {
		x.mirrorBody(b, end)
	}
	if x.has(keepsBody) && len(b) > 0 && !x.keep(b) {
		return
	}
	if end {
		x.state |= bodyPassed
		if !x.has(replied) && !x.attempt.has(attemptEnd) {
			x.startClock()
		}
	}
	x.attempt.sendBody(b, end)
}

// forwardTrailers is the same for its trailers; the end comes after them.
func (x *exchange) forwardTrailers(t *http.Header) {
	if x.has(keepsBody) {
		x.retry.trailers.CopyFrom(t)
		t = &x.retry.trailers
	}
	x.requestTrailers = t
}

// restartTimers puts the route's own limits in the place of the connection manager's. It says false if no time is left.
func (x *exchange) restartTimers() bool {
	if d := x.forward.IdleTimeout; d != nil {
		x.local.Loop.StopTimer(&x.quiet)
		if *d > 0 {
			x.set(&x.quiet, *d)
		}
	}
	if x.forward.BoundsStream && route.IsGRPC(&x.request) {
		return x.boundGRPC()
	}
	if d := x.forward.MaxStreamDuration; d != nil {
		x.local.Loop.StopTimer(&x.duration)
		if *d > 0 {
			x.set(&x.duration, *d)
		}
	}
	return true
}

// completeForUpstream changes the head as the route says and adds what the router adds.
func (x *exchange) completeForUpstream() {
	r := &x.request
	x.changeRequest()
	x.rewriteHost()
	x.rewritePath()
	if x.found.VirtualHost.AttemptCountInRequest {
		r.SetString(http.XEnvoyAttemptCount, "1")
	}
	x.chooseTimeout()
	x.lateAnswer, x.streamLimit = 504, x.cluster.Config.MaxStreamDuration
	if r.Remove(http.XEnvoyUpstreamRqTimeoutAltResponse) {
		x.lateAnswer = 204
	}
	if v := r.Get(http.XEnvoyUpstreamStreamDurationMs); v != nil {
		if ms, err := strconv.ParseUint(string(v), 10, 32); err == nil {
			x.streamLimit = time.Duration(ms) * time.Millisecond
		}
		r.Remove(http.XEnvoyUpstreamStreamDurationMs)
	}
	x.prepareRetry()
	x.expectTimeout()
}

// chooseTimeout is the route's timeout unless the request, which comes from inside then, brings one: what an Envoy before this one
// expects, where that is to be respected, else what it asks for.
func (x *exchange) chooseTimeout() {
	r, f := &x.request, x.forward
	x.timeout = f.Timeout
	grpc := f.GRPCTimeout != nil && !f.BoundsStream && route.IsGRPC(r)
	if grpc {
		x.timeout = grpcTimeout(f.GRPCTimeout, r)
	}
	x.askedTimeout()
	if grpc && x.timeout > 0 {
		x.tellGRPC(x.timeout)
	}
}

// askedTimeout lets the request have its say.
func (x *exchange) askedTimeout() {
	r := &x.request
	id := http.XEnvoyUpstreamRqTimeoutMs
	if x.server.config.Router.RespectExpectedTimeout && r.Has(http.XEnvoyExpectedRqTimeoutMs) {
		id = http.XEnvoyExpectedRqTimeoutMs
	}
	if !r.Has(id) {
		return
	}
	if ms, err := strconv.ParseUint(string(r.Get(id)), 10, 32); err == nil {
		x.timeout = time.Duration(ms) * time.Millisecond
	}
	if id == http.XEnvoyUpstreamRqTimeoutMs {
		r.Remove(id)
	}
}

// expectTimeout tells the upstream how long the answer is waited for: the time of this try, or what is left of the route's. Never 0, which
// would mean for ever.
func (x *exchange) expectTimeout() {
	d := x.timeout
	if x.has(mayRetry) && x.retry.perTry > 0 && !x.retry.hedge {
		d = x.retry.perTry
	}
	if d <= 0 || x.server.config.Router.SuppressEnvoyHeaders {
		return
	}
	if x.timeout > 0 && x.has(retried) && x.entry.RequestEnd >= 0 {
		d = max(min(d, x.timeout-(x.since()-x.entry.RequestEnd)), time.Millisecond)
	}
	x.scratch = strconv.AppendInt(x.scratch[:0], d.Milliseconds(), 10)
	x.request.Set(http.XEnvoyExpectedRqTimeoutMs, x.scratch)
}

// startClock bounds the time from the whole request to the whole response, connecting included.
func (x *exchange) startClock() {
	if x.timeout > 0 && !x.has(upgradeAsked) && !x.deadline.Pending() {
		x.set(&x.deadline, x.timeout)
	}
}

// requestFraming says how the body is told from what follows it: as the client told it, where that can be.
func (x *exchange) requestFraming(end bool) http1.Framing {
	return requestFraming(&x.request, end || x.has(upgradeAsked|terminated))
}

func requestFraming(r *http.Request, whole bool) http1.Framing {
	if whole {
		return http1.NoBody
	}
	if n := r.Get(http.ContentLength); n != nil {
		if v, err := strconv.ParseInt(string(n), 10, 64); err == nil {
			return http1.Sized(v)
		}
	}
	return http1.Chunked
}
