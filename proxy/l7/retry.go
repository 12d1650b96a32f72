package l7

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// retry is what an exchange knows of trying again. It is made when a route or a request first asks for it and then kept for later
// exchanges; those without a policy never touch it.
type retry struct {
	exchange *exchange
	policy   *config.Retry
	on       config.RetryOn
	left     uint32
	statuses []uint16      // of x-envoy-retriable-status-codes
	names    []byte        // of x-envoy-retriable-header-names
	perTry   time.Duration // 0: the route's timeout alone counts
	hedge    bool          // a try that takes longer goes on beside the next one
	late     bool          // the last try took too long
	onward   bool          // the next one follows a redirect
	entered  bool          // holds a place among the cluster's retries
	pause    time.Duration // the next one is a random part of it
	asked    time.Duration // what a response asked to wait; 0: nothing
	tried    []*upstream.Endpoint
	visited  upstream.Priorities // of all tries
	spent    upstream.Priorities // of those that the next choice passes over
	timer    loop.Timer          // until the next try
	body     []byte              // what has been passed on of the request's body, for the next try
	trailers http.Header
}

// unconfigured is the policy of a request that asks to be tried again where its route says nothing.
var unconfigured = config.Retry{Max: 1, BaseBackoff: 25 * time.Millisecond, MaxBackoff: 250 * time.Millisecond, MaxReset: 300 * time.Second, ChooseAgain: 1}

// prepareRetry reads what the route and the request say of trying again, and takes the request's part out: it was meant for us.
func (x *exchange) prepareRetry() {
	f, q := x.forward, &x.request
	p, on := x.retryPolicy(), config.RetryOn(0)
	if p != nil || q.Has(http.XEnvoyRetryOn) || q.Has(http.XEnvoyRetryGRPCOn) {
		if p == nil {
			p = &unconfigured
		}
		on = p.On | retryWords(q.Get(http.XEnvoyRetryOn), false) | retryWords(q.Get(http.XEnvoyRetryGRPCOn), true)
		if len(p.RequestHeaders) > 0 && !slices.ContainsFunc(p.RequestHeaders, func(m config.HeaderMatch) bool { return route.MatchHeader(&m, q) }) {
			on = 0
		}
	}
	switch {
	case on != 0:
		x.readRetry(p, on)
	case f.Follow != nil: // what a redirect may need again is kept in the same way
		x.readRetry(&unconfigured, 0)
		x.retry.perTry, x.retry.hedge = 0, false
	}
	for _, id := range [...]http.ID{http.XEnvoyRetryOn, http.XEnvoyRetryGRPCOn, http.XEnvoyMaxRetries, http.XEnvoyRetriableHeaderNames,
		http.XEnvoyRetriableStatusCodes, http.XEnvoyUpstreamRqPerTryTimeoutMs, http.XEnvoyHedgeOnPerTryTimeout} {
		q.Remove(id)
	}
}

func (x *exchange) readRetry(p *config.Retry, on config.RetryOn) {
	q := &x.request
	r := x.retry
	if r == nil {
		r = &retry{exchange: x}
		x.retry = r
	}
	x.state |= mayRetry
	r.policy, r.on, r.left, r.perTry, r.hedge = p, on, p.Max, p.PerTry, x.forward.HedgeOnTimeout
	r.late, r.onward, r.pause, r.asked = false, false, p.BaseBackoff, 0
	r.statuses, r.tried = r.statuses[:0], r.tried[:0]
	r.visited, r.spent = upstream.Priorities{}, upstream.Priorities{}
	r.names = append(r.names[:0], q.Get(http.XEnvoyRetriableHeaderNames)...)
	if n, ok := number(q, http.XEnvoyMaxRetries); ok {
		r.left = n
	}
	if ms, ok := number(q, http.XEnvoyUpstreamRqPerTryTimeoutMs); ok {
		r.perTry = time.Duration(ms) * time.Millisecond
	}
	if r.perTry >= x.timeout && x.timeout > 0 {
		r.perTry = 0 // the whole ends first
	}
	switch string(q.Get(http.XEnvoyHedgeOnPerTryTimeout)) {
	case "true":
		r.hedge = true
	case "false":
		r.hedge = false
	}
	for list := q.Get(http.XEnvoyRetriableStatusCodes); len(list) > 0; {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(e)), 10, 16); err == nil {
			r.statuses = append(r.statuses, uint16(n))
		}
	}
}

// number reads a field that holds one; false if it is not there or holds something else.
func number(q *http.Request, id http.ID) (uint32, bool) {
	if !q.Has(id) {
		return 0, false // to fail at parsing would allocate
	}
	n, err := strconv.ParseUint(string(q.Get(id)), 10, 32)
	return uint32(n), err == nil
}

// retryWords reads a header's reasons. Words that mean nothing here are passed over: the header came from a peer, who cannot be told.
func retryWords(list []byte, grpc bool) (on config.RetryOn) {
	for len(list) > 0 {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		e = bytes.TrimSpace(e)
		for i := range config.RetryReasons {
			if r := &config.RetryReasons[i]; (r.On&config.OnGRPC != 0) == grpc && r.Word == string(e) {
				on |= r.On
			}
		}
	}
	return on
}

// wish is what the next attempt asks of the choice of its endpoint; nil for nothing in particular.
func (x *exchange) wish() *upstream.Wish {
	subset := x.share.Subset
	original := x.cluster.Config.Original
	again := x.has(mayRetry) && x.tries > 1
	if original == nil && subset == nil && !x.hashed && !again {
		return nil
	}
	w := &x.local.wish
	*w = upstream.Wish{Subset: subset, Hash: x.hash, Hashed: x.hashed}
	if again {
		r := x.retry
		if n := r.policy.SpendPriorities; n > 0 && (x.tries-1)%n == 0 {
			r.spent = r.visited
		}
		w.Tried, w.Attempts, w.Spent = r.tried, r.policy.ChooseAgain, r.spent
	}
	if original != nil {
		w.Destination = x.destination(original)
	}
	return w
}

// destination is where a request goes whose cluster leaves that to the client: where its metadata or a field say, if the cluster lets
// them, else where the connection was going before it was redirected to us.
func (x *exchange) destination(o *config.OriginalDestinations) netip.AddrPort {
	if len(o.Path) > 0 {
		if text := filters.MetadataText(x.entry.Metadata, o.Path); text != "" {
			x.scratch = append(x.scratch[:0], text...)
			if to := x.cluster.ParseDestination(x.local.Loop, x.scratch); to.IsValid() {
				return to
			}
		}
	}
	if o.Header != "" {
		if at := x.request.Find(http.Lookup(o.Header), o.Header, 0); at >= 0 {
			if to := x.cluster.ParseDestination(x.local.Loop, x.request.Value(at)); to.IsValid() {
				return to
			}
		}
	}
	return x.conn.conn.Destination()
}

func (x *exchange) noteTried(m *upstream.Member) {
	if !x.has(mayRetry) {
		return
	}
	r := x.retry
	if r.policy.AvoidTried {
		r.tried = append(r.tried, m.Endpoint)
	}
	r.visited.Add(m.Priority)
}

// wants tells whether a response is a reason to try again.
func (r *retry) wants(s *http.Response) bool {
	if s.Has(http.XEnvoyRateLimited) {
		return r.on&config.OnEnvoyRateLimited != 0
	}
	switch {
	case r.on&config.On5xx != 0 && s.Status >= 500 && s.Status < 600,
		r.on&config.OnGatewayError != 0 && s.Status >= 502 && s.Status <= 504,
		r.on&config.OnRetriable4xx != 0 && s.Status == 409,
		r.on&config.OnStatuses != 0 && (slices.Contains(r.policy.Statuses, s.Status) || slices.Contains(r.statuses, s.Status)),
		r.on&config.OnHeaders != 0 && (r.matched(&s.Header) || r.named(&s.Header)):
		return true
	}
	return r.on&config.OnGRPC != 0 && r.on&grpcReason(s.Get(http.GRPCStatus)) != 0
}

// matched tells whether a field is there that the policy asks for.
func (r *retry) matched(h *http.Header) bool {
	for i := range r.policy.Headers {
		if route.MatchField(&r.policy.Headers[i], h) {
			return true
		}
	}
	return false
}

// named tells whether one of the fields that the request has named is there.
func (r *retry) named(h *http.Header) bool {
	for list := r.names; len(list) > 0; {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		e = bytes.TrimSpace(e)
		for i := range h.Len() {
			if bytes.EqualFold(h.Name(i), e) {
				return true
			}
		}
	}
	return false
}

// grpcReason is the reason that a grpc-status gives; the numbers are gRPC's.
func grpcReason(status []byte) config.RetryOn {
	switch string(status) {
	case "1":
		return config.OnCancelled
	case "4":
		return config.OnDeadlineExceeded
	case "8":
		return config.OnResourceExhausted
	case "13":
		return config.OnInternal
	case "14":
		return config.OnUnavailable
	}
	return 0
}

// wantsAfter tells whether a failure is a reason to try again.
func (r *retry) wantsAfter(f upstream.Failure) bool {
	reasons := config.OnReset | config.On5xx | config.OnGatewayError // a failure would become a 503
	switch f {
	case upstream.Overflow:
		return false // more tries are what a full cluster has least use for
	case upstream.ConnectFailed, upstream.LocalConnectFailed, upstream.ConnectTimeout:
		reasons |= config.OnConnectFailure | config.OnResetBeforeRequest
	case upstream.Unprocessed:
		reasons |= config.OnRefusedStream
	}
	return r.on&reasons != 0
}

// retryAnswer looks at the final head of an attempt's response before anybody else does. It says true if the response is not passed on:
// another try is made, or another one is still under way.
func (x *exchange) retryAnswer(a *attempt, end bool) bool {
	r := x.retry
	wanted := r.wants(a.response)
	if wanted {
		r.asked = r.resetAfter(a.response, x.local.Loop.Now())
	}
	status := a.response.Status
	if x.tryAgain(wanted) {
		x.cluster.CountRetried(x.local.Loop, status)
		a.discard(end)
		x.leave(a)
		return true
	}
	if wanted && x.othersRun(a) {
		a.discard(end)
		x.leave(a)
		return true
	}
	x.local.Loop.StopTimer(&r.timer)
	r.release()
	return false
}

// retryAfter tries again after a failure, if that is wanted.
func (x *exchange) retryAfter(a *attempt, f upstream.Failure) bool {
	if x.has(replied) || !x.tryAgain(x.retry.wantsAfter(f)) {
		return false
	}
	x.leave(a)
	return true
}

// tryAgain has another attempt begin after a pause, if one is wanted and may be made.
func (x *exchange) tryAgain(wanted bool) bool {
	r, l, stats := x.retry, x.local.Loop, x.clusterStats()
	if !wanted {
		if r.entered {
			stats.Inc(upstream.RqRetrySuccess)
			x.tally(TallyRetrySuccess)
		}
		return false
	}
	r.release()
	if r.left == 0 {
		stats.Inc(upstream.RqRetryLimitExceeded)
		x.tally(TallyRetryLimitExceeded)
		x.entry.Flags |= accesslog.UpstreamRetryLimitExceeded
		return false
	}
	r.left--
	if !x.cluster.EnterRetry(l, x.forward.Priority) {
		x.entry.Flags |= accesslog.UpstreamOverflow
		x.tally(TallyRetryOverflow)
		return false
	}
	r.entered = true
	stats.Inc(upstream.RqRetry)
	x.tally(TallyRetry)
	l.SetTimer(&r.timer, x.backOff(), r)
	return true
}

// backOff is how long to wait for the next try: what the response asked for and up to half as much, else a random part of a time that
// doubles with each.
func (x *exchange) backOff() time.Duration {
	r, random := x.retry, x.local.Loop.Random()
	if d := r.asked; d > time.Millisecond {
		r.asked = 0
		x.clusterStats().Inc(upstream.RqRetryBackoffRateLimited)
		return d + time.Duration(random%uint64(d/2))
	}
	x.clusterStats().Inc(upstream.RqRetryBackoffExponential)
	d := r.pause
	r.pause = min(2*r.pause, r.policy.MaxBackoff)
	return time.Duration(random % uint64(d))
}

// resetAfter is how long a response asks to wait, if it does so in a field that is believed.
func (r *retry) resetAfter(s *http.Response, now time.Time) time.Duration {
	for i := range r.policy.ResetHeaders {
		h := &r.policy.ResetHeaders[i]
		at := s.Find(http.Lookup(h.Name), h.Name, 0)
		if at < 0 {
			continue
		}
		n, err := strconv.ParseInt(string(s.Value(at)), 10, 64)
		if h.UnixTime {
			n -= now.Unix()
		}
		if err == nil && n >= 0 && n <= int64(r.policy.MaxReset/time.Second) {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

// Expired begins the next try.
func (r *retry) Expired(*loop.Timer) {
	x := r.exchange
	if r.onward {
		r.onward = false
		x.passAgain()
		return
	}
	x.state |= retried
	if x.found.VirtualHost.AttemptCountInRequest {
		x.scratch = strconv.AppendUint(x.scratch[:0], uint64(x.tries)+1, 10)
		x.request.Set(http.XEnvoyAttemptCount, x.scratch)
	}
	if x.found.VirtualHost.SayTimeoutRetry {
		x.request.SetString(http.XEnvoyIsTimeoutRetry, strconv.FormatBool(r.late))
	}
	x.expectTimeout()
	a := x.attempt
	if a.has(attemptRuns) {
		x.rivals = append(x.rivals, a)
		a = &attempt{exchange: x, response: new(http.Response)}
		x.attempt = a
	}
	a.begin(x.has(headOnly))
}

// OnPanic is a panic in an attempt that was begun here.
func (r *retry) OnPanic(v any) { r.exchange.OnPanic(v) }

// release gives the place among the cluster's retries back.
func (r *retry) release() {
	if r.entered {
		r.entered = false
		x := r.exchange
		x.cluster.LeaveRetry(x.forward.Priority)
	}
}

// othersRun tells whether the exchange may still get its answer without a.
func (x *exchange) othersRun(a *attempt) bool {
	return x.retry.timer.Pending() || a != x.attempt && x.attempt.has(attemptRuns) || len(x.rivals) > 1 || len(x.rivals) == 1 && x.rivals[0] != a
}

// leaveRace takes out an attempt that has failed while another one is under way; false if there is none.
func (x *exchange) leaveRace(a *attempt) bool {
	if !x.othersRun(a) {
		return false
	}
	x.leave(a)
	return true
}

// leave takes an attempt that has ended off the list of those that are under way.
func (x *exchange) leave(a *attempt) {
	n := len(x.rivals)
	switch {
	case n == 0:
	case a == x.attempt:
		x.attempt, x.rivals = x.rivals[n-1], x.rivals[:n-1]
	default:
		if i := slices.Index(x.rivals, a); i >= 0 {
			x.rivals = slices.Delete(x.rivals, i, i+1)
		}
	}
}

// prefer makes a the attempt whose response the exchange gives, and gives the others up.
func (x *exchange) prefer(a *attempt) {
	x.rivals = append(x.rivals, x.attempt)
	x.attempt = a
	for _, other := range x.rivals {
		if other != a {
			other.abandon()
		}
	}
	x.rivals = x.rivals[:0]
	if a.response != &x.response {
		// The loser's head, or a part of it, may stand there.
		x.response, *a.response = *a.response, x.response
		a.response = &x.response
	}
	a.sign()
}

// abandonAttempts gives up all that is under way upstream.
func (x *exchange) abandonAttempts() {
	x.attempt.abandon()
	for _, a := range x.rivals {
		a.abandon()
	}
	x.rivals = x.rivals[:0]
	if x.has(mayRetry) {
		x.local.Loop.StopTimer(&x.retry.timer)
		x.retry.release()
	}
}

// discard drops the response of an attempt. One that was whole leaves its connection in order, which goes back when this call is over;
// any other is lost with it.
func (a *attempt) discard(end bool) {
	a.state |= attemptUnwanted
	a.stopTimers()
	if !end {
		a.abandon()
	}
}

// startTry starts the clock of one try, once its request is sent whole.
func (a *attempt) startTry() {
	if x := a.exchange; x.has(mayRetry) && x.retry.perTry > 0 && !a.has(attemptHead) {
		x.local.Loop.SetTimer(&a.perTry, x.retry.perTry, a)
	}
}

// alive puts the idle timeout of a try off.
func (a *attempt) alive() {
	if x := a.exchange; x.has(mayRetry) && x.retry.policy.PerTryIdle > 0 && a.conn != nil {
		x.local.Loop.SetTimer(&a.quiet, x.retry.policy.PerTryIdle, a)
	}
}

// Expired is the end of a try's time.
func (a *attempt) Expired(t *loop.Timer) {
	x := a.exchange
	r := x.retry
	row, details := upstream.RqPerTryTimeout, "upstream_per_try_timeout"
	if t == &a.quiet {
		row, details = upstream.RqPerTryIdleTimeout, "upstream_per_try_idle_timeout"
	}
	a.report(upstream.Outcome{TimedOut: true})
	r.late = true
	if r.hedge && t == &a.perTry {
		// Once only, and if that may not be, it goes on until the route's timeout.
		if !a.has(attemptHedged) && x.tryAgain(true) {
			a.state |= attemptHedged
		}
		return
	}
	x.clusterStats().Inc(row)
	if x.has(headSent) || a.has(attemptHead) {
		x.fail(504, accesslog.UpstreamRequestTimeout, details, "")
		return
	}
	a.abandon()
	if x.retryAfter(a, upstream.Terminated) || x.leaveRace(a) {
		return
	}
	x.fail(504, accesslog.UpstreamRequestTimeout, details, "upstream request timeout")
}

// keep remembers a piece of the request's body for the next try. What is more than may be kept ends trying again; and where nothing is
// under way that could take it, the exchange. It says false then.
func (x *exchange) keep(b []byte) bool {
	r := x.retry
	limit := uint64(x.server.limit)
	if x.forward.ReplayLimit != nil {
		limit = *x.forward.ReplayLimit
	}
	if uint64(len(r.body)+len(b)) <= limit {
		r.body = append(r.body, b...)
		return true
	}
	x.clusterStats().Inc(upstream.ReplayAbandoned)
	a := x.attempt
	if !a.has(attemptRuns) {
		x.fail(507, 0, "request_payload_exceeded_retry_buffer_limit", "exceeded request buffer limit while retrying upstream")
		return false
	}
	if a.conn == nil {
		a.pending = append(a.pending, r.body...)
	}
	x.state &^= keepsBody | mayRetry
	r.release()
	x.stopTries()
	return true
}

// stopTries takes the limits off the tries that are under way: there will be no other.
func (x *exchange) stopTries() {
	x.local.Loop.StopTimer(&x.retry.timer)
	x.attempt.stopTimers()
	for _, a := range x.rivals {
		a.stopTimers()
	}
}
