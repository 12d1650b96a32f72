package l7

import (
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// responseDone says that the response is written whole.
func (x *exchange) responseDone() {
	x.state |= responseEnded
	x.entry.Answered = true
	if !x.has(requestEnded) {
		x.conn.stats.Inc(RqResponseBeforeComplete)
		x.client.last()
	}
	x.finishIfDone()
}

// finishIfDone ends the exchange when both sides have had their say. A response that is written whole ends it even if the request is
// not: the connection then ends too, and the rest of the request with it.
func (x *exchange) finishIfDone() {
	if x.has(over) || !x.has(responseEnded) {
		return
	}
	if x.attempt.conn != nil && x.attempt.has(attemptEnd) && x.attempt.has(attemptRuns) {
		return // OnEnd is on its way, and with it the connection's return
	}
	x.finish()
	x.client.done()
	x.recycle()
}

// abort ends an exchange whose head is out: the only way left to tell the client is to cut it off.
func (x *exchange) abort(details string) {
	if x.has(over) {
		return
	}
	x.abandonAttempts()
	x.entry.Details = details
	x.conn.stats.Inc(RqTxReset)
	x.finish()
	x.client.cut()
	x.recycle()
}

// downstreamGone ends an exchange whose client has gone.
func (x *exchange) downstreamGone(f accesslog.Flags, details string) {
	if x.has(over) {
		return
	}
	x.abandonAttempts()
	if m := x.entry.More; m != nil && (x.conn.shared == nil || x.conn.state&(connGone|connBroken) != 0) { // and not its stream alone
		m.Gone = accesslog.At(x.since())
	}
	if !x.has(responseEnded) {
		x.entry.Flags |= f
		if !x.has(headSent) {
			x.entry.Status = 0
		}
		x.entry.Details = details
	}
	x.finish()
	x.recycle()
}

// finish counts and logs the exchange, once, and stops all that may still call it.
func (x *exchange) finish() {
	x.state |= over
	l, c := x.local.Loop, x.conn
	x.entry.End = x.since()
	l.StopTimer(&x.headers)
	l.StopTimer(&x.deadline)
	l.StopTimer(&x.answer)
	l.StopTimer(&x.quiet)
	l.StopTimer(&x.duration)
	l.StopTimer(&x.report)
	x.up.reset()
	x.down.reset()
	x.abandonAttempts()
	x.detachMirrors()
	if x.has(hasHead) {
		for i := range x.filters {
			if !x.skip[i] {
				x.filters[i].Done(x)
			}
		}
	}
	stats := c.stats
	stats.Dec(RqActive)
	if x.has(tunnelling) {
		stats.Dec(CxUpgradesActive)
	}
	if x.entry.Status != 0 && !x.entry.HealthCheck {
		c.countStatus(x.entry.Status)
		stats.Observe(RqTime, milliseconds(int64(x.entry.End)))
	}
	x.log()
}

// countStatus counts an answer for the connection manager, and for the part of it that its listener is. As in Envoy, an interim one is
// complete, too.
func (c *Conn) countStatus(status uint16) {
	c.stats.Inc(RqCompleted)
	c.requests.Inc(ListenerRqCompleted)
	if status < 600 {
		c.stats.Inc(classRow(Rq1xx, status))
		c.requests.Inc(classRow(ListenerRq1xx, status))
	}
}

// recycle gives the exchange back to its loop.
func (x *exchange) recycle() {
	x.request.Reset()
	x.response.Reset()
	x.generation, x.cluster, x.forward, x.share = nil, nil, nil, nil
	x.trailers, x.requestTrailers, x.tallies = nil, nil, [2]*tally{}
	x.client = nil
	x.attempt = &x.first
	if r := x.retry; r != nil && cap(r.body) > maxScratch {
		r.body = nil
	}
	if cap(x.scratch) > maxScratch {
		x.scratch = nil
	}
	x.made = emptied(x.made)
	x.local.recycle(x)
}

// maxScratch bounds, in bytes, what an idle exchange holds on to.
const maxScratch = 16 << 10
