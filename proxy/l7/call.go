package l7

import (
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// call is a request of a filter's own, sent by the loop's upstream client.
type call struct {
	await    *await
	sequence uint32
	request  http.Request
	response http.Response
	body     []byte // of the request
	answer   []byte
	wait     upstream.Wait
	conn     upstream.Loan
	timer    loop.Timer
	local    *Local
	stats    *telemetry.Values
	cluster  *upstream.Cluster
	member   *upstream.Member
	told     bool // the cluster knows how it ended
	done     bool
}

// AwaitCall implements filters.Exchange.
func (x *exchange) AwaitCall(cluster string, r *http.Request, body []byte, timeout time.Duration) {
	a := x.beginAwait()
	sequence := a.sequence
	later := func(err error) {
		x.local.Loop.Post(func() { a.late(sequence, filters.Result{Err: err}) })
	}
	c := x.generation.Clusters[cluster]
	if c == nil {
		later(fmt.Errorf("l7: call: there is no cluster %q", cluster))
		return
	}
	if !x.enterAwait() {
		later(errAwaits)
		return
	}
	l := x.local.Loop
	k := &call{await: a, sequence: sequence, local: x.local, stats: x.conn.stats, body: append([]byte(nil), body...)}
	k.request.CopyFrom(r)
	a.call = k
	l.SetTimer(&k.timer, timeout, k)
	m := c.Choose(l, nil)
	if m == nil {
		l.Post(func() { k.end(fmt.Errorf("l7: call: cluster %q has no healthy endpoint", cluster)) })
		return
	}
	k.cluster, k.member = c, m
	conn, failure := c.Lend(l, m.Endpoint, config.PriorityDefault, http.HTTP11, nil, true, k, &k.wait)
	switch {
	case conn != nil:
		k.OnLent(conn)
	case failure != upstream.NoFailure:
		l.Post(func() { k.OnRefused(failure, "") })
	}
}

// end settles the call and tells the filter, unless that has been done.
func (k *call) end(err error) {
	if !k.settle() {
		return
	}
	r := filters.Result{Err: err}
	if err == nil {
		r.Response, r.Body = &k.response, k.answer
	}
	k.await.late(k.sequence, r)
}

func (k *call) settle() bool {
	if k.done {
		return false
	}
	k.done = true
	k.local.Loop.StopTimer(&k.timer)
	k.wait.Cancel()
	if k.conn != nil {
		k.conn.Abandon()
		k.conn = nil
	}
	k.local.clients--
	k.stats.Dec(AwaitsPending)
	return true
}

// cancel ends the call without telling anybody.
func (k *call) cancel() { k.settle() }

var (
	errCallTimeout = errors.New("l7: call: no complete answer before the timeout")
	errCallLong    = errors.New("l7: call: the answer is longer than 1 MiB")
)

// Expired is the call's timeout.
func (k *call) Expired(*loop.Timer) {
	if k.member != nil {
		k.report(upstream.Outcome{TimedOut: true})
	}
	k.end(errCallTimeout)
}

func (k *call) report(o upstream.Outcome) {
	if !k.told {
		k.told = true
		k.cluster.Report(k.local.Loop, k.member, o)
	}
}

// OnLent sends the request.
func (k *call) OnLent(c upstream.Loan) {
	k.conn = c
	framing := http1.NoBody
	if len(k.body) > 0 {
		framing = http1.Sized(int64(len(k.body)))
	}
	c.SendHead(&k.request, framing, false, false)
	c.SendBody(k.body)
	c.SendEnd(nil)
}

// OnRefused implements upstream.Stream.
func (k *call) OnRefused(f upstream.Failure, _ string) { k.broken(f) }

// OnBroken implements upstream.Stream.
func (k *call) OnBroken(f upstream.Failure) {
	k.conn = nil
	k.broken(f)
}

func (k *call) broken(f upstream.Failure) {
	k.report(upstream.Outcome{Failure: f})
	k.end(fmt.Errorf("l7: call: %s", verdicts[f].reason))
}

// Response implements upstream.Stream.
func (k *call) Response() *http.Response { return &k.response }

// OnHead implements upstream.Stream.
func (k *call) OnHead(bool) {
	if !k.response.IsInformational() {
		k.report(outcome(k.cluster, &k.response))
	}
}

// OnBody gathers the answer.
func (k *call) OnBody(b []byte) {
	if len(k.answer)+len(b) > filters.MaxCallBody {
		k.end(errCallLong)
		return
	}
	k.answer = append(k.answer, b...)
}

// OnTrailers implements upstream.Stream; filters have no use for them.
func (k *call) OnTrailers(*http.Header) {}

// OnEnd implements upstream.Stream.
func (k *call) OnEnd() {
	k.conn = nil
	k.end(nil)
}

// OnLowWater implements upstream.Stream; the whole request was written at once.
func (k *call) OnLowWater() {}

// OnPanic ends the exchange whose filter panicked while it was told the answer.
func (k *call) OnPanic(v any) {
	k.conn = nil
	k.settle()
	k.await.OnPanic(v)
}
