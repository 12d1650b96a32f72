package dubbo

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// maxKept bounds, in bytes of a loop, the frames that are kept so that they can be sent again. A call for which there is no room is made once.
const maxKept = 32 << 20

// maxSpare bounds, in bytes, what is kept of a call's copy for later calls.
const maxSpare = 16 << 10

// chooseAgain is how often another endpoint is looked for than those of earlier attempts.
const chooseAgain = 16

// start sends a call for the first time, or says why it went nowhere.
func (t *call) start(frame []byte) *refusal {
	l := t.conn.local
	if p := t.route.Retry; p != nil {
		if l.kept+len(frame) > maxKept {
			if c := t.generation.Clusters[t.to.Name]; c != nil {
				c.Local(l.Loop).Stats.Inc(upstream.ReplayAbandoned)
			}
		} else {
			t.kept = append(t.kept[:0], frame...)
			l.kept += len(frame)
			t.left = p.Attempts
		}
	}
	no := t.attempt(frame)
	if no == nil && t.route.Timeout > 0 && t.head.TwoWay {
		l.Loop.SetTimer(&t.timer, t.route.Timeout, t)
	}
	return no
}

// attempt sends the call to an endpoint, and to the next one as long as that fails at once and may be tried again; or it says why it went nowhere.
func (t *call) attempt(frame []byte) *refusal {
	c, l := t.conn, t.conn.local
	for {
		if no := t.choose(); no != nil {
			return no
		}
		t.log.to(t.cluster, t.member)
		var by upstream.Apart
		if from := c.Origin(); from != nil {
			l.scratch = upstream.AppendApart(l.scratch[:0], from, "", nil)
			by = l.scratch
		}
		f := t.cluster.Call(l.Loop, t.member.Endpoint, 0, by, frame, t.head.TwoWay, t, &t.Call)
		if f == upstream.NoFailure {
			if p := t.route.Retry; p != nil && p.PerTry > 0 && t.head.TwoWay {
				l.Loop.SetTimer(&t.perTry, p.PerTry, t)
			}
			return nil
		}
		t.report(f)
		if f == upstream.Overflow || !t.again(false) {
			return lost(f, t.member)
		}
	}
}

// choose finds where the next attempt goes, or says why it goes nowhere.
func (t *call) choose() *refusal {
	t.cluster, t.member = t.pick(t.to.Name)
	if t.member == nil || !t.cluster.Well() {
		for _, name := range t.route.Fallbacks[t.to.Name] {
			if c, m := t.pick(name); m != nil && c.Well() {
				t.cluster, t.member = c, m
				break
			}
		}
	}
	switch {
	case t.cluster == nil:
		return unknown(t.to.Name)
	case t.member == nil:
		t.log.to(t.cluster, nil)
		return nobody(t.to.Name)
	}
	return nil
}

// unknown is how the client hears of a cluster that there is not, nobody of one that nothing can be picked of.
func unknown(name string) *refusal {
	return &refusal{wire.ServerError, fmt.Sprintf("dubbo router: unknown cluster '%s'", name), "cluster_not_found", accesslog.NoClusterFound}
}

func nobody(name string) *refusal {
	return &refusal{wire.ServerError, fmt.Sprintf("dubbo router: no healthy upstream for '%s'", name), "no_healthy_upstream", accesslog.NoHealthyUpstream}
}

// pick chooses an endpoint of a cluster, another one than those of earlier attempts if there is one.
func (t *call) pick(name string) (*upstream.Cluster, *upstream.Member) {
	l := t.conn.local
	c := t.generation.Clusters[name]
	if c == nil {
		return nil, nil
	}
	l.wish = upstream.Wish{Subset: t.to.Subset, Destination: t.conn.Destination(), Tried: t.tried, Attempts: chooseAgain}
	return c, c.Choose(l.Loop, &l.wish)
}

// again tells whether the call is to be made once more, now that an attempt is over, and takes a place among the cluster's retries for it. begun says that an endpoint may have begun with the call.
func (t *call) again(begun bool) bool {
	l, p := t.conn.local, t.route.Retry
	t.leaveRetry()
	l.Loop.StopTimer(&t.perTry)
	if p == nil || len(t.kept) == 0 || begun && (!p.Idempotent || !t.head.TwoWay) {
		return false
	}
	stats := t.cluster.Local(l.Loop).Stats
	if t.left == 0 {
		stats.Inc(upstream.RqRetryLimitExceeded)
		return false
	}
	if !t.cluster.EnterRetry(l.Loop, 0) {
		return false
	}
	t.left--
	t.retries = t.cluster
	t.retried = true
	t.tried = append(t.tried, t.member.Endpoint)
	stats.Inc(upstream.RqRetry)
	return true
}

// leaveRetry gives the place among a cluster's retries back, if there is one.
func (t *call) leaveRetry() {
	if t.retries != nil {
		t.retries.LeaveRetry(0)
		t.retries = nil
	}
}

// resend makes the next attempt, or answers the call.
func (t *call) resend() {
	c := t.conn
	no := t.attempt(t.kept)
	switch {
	case no != nil:
		c.refuse(&t.head, t.log, *no)
	case t.Pending():
		if t.Over() {
			c.Pause()
		}
		return
	}
	t.over()
	c.local.release(t)
	c.settle()
}

// failed tells whether an answer says that the endpoint could not do what was asked of it, for reasons of its own. What a method throws is none: it is an answer that is OK.
func failed(s wire.Status) bool {
	return s == wire.ServerTimeout || s == wire.ServiceError || s == wire.ServerError || s == wire.ServerExhausted
}

func (t *call) report(f upstream.Failure) {
	t.cluster.Report(t.conn.local.Loop, t.member, upstream.Outcome{Failure: f, TimedOut: f == upstream.ConnectTimeout})
}

// Expired is the end of what an attempt may take, or all of them. An answer that comes yet is nobody's.
func (t *call) Expired(timer *loop.Timer) {
	c, l := t.conn, t.conn.local
	stats, took := t.cluster.Local(l.Loop).Stats, t.route.Timeout
	t.Cancel()
	t.cluster.Report(l.Loop, t.member, upstream.Outcome{TimedOut: true})
	if timer == &t.perTry {
		stats.Inc(upstream.RqPerTryTimeout)
		if t.again(t.Begun()) {
			t.resend()
			return
		}
		took = t.route.Retry.PerTry
	} else {
		stats.Inc(upstream.RqTimeout)
	}
	t.stats.Inc(rsTimeout)
	c.refuse(&t.head, t.log, refusal{wire.ServerTimeout, fmt.Sprintf("dubbo router: no answer from '%s' within %v", t.member.Address().AddrPort, took.Round(time.Microsecond)), "response_timeout", accesslog.UpstreamRequestTimeout})
	t.over()
	l.release(t)
	c.settle()
}

// end gives back all that a call has of its loop.
func (t *call) end(l *Local) {
	t.leaveRetry()
	l.Loop.StopTimer(&t.timer)
	l.Loop.StopTimer(&t.perTry)
	l.kept -= len(t.kept)
	clear(t.tried)
	kept, tried := t.kept[:0], t.tried[:0]
	if cap(kept) > maxSpare {
		kept = nil
	}
	*t = call{kept: kept, tried: tried}
}

// OnPanic implements loop.Alarm and upstream.Caller.
func (t *call) OnPanic(v any) { t.conn.OnPanic(v) }
