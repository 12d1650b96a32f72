package load

import "time"

// A pace decides when requests go out.
type pace interface {
	// ready tells that c may carry a request: it was just opened, or its answer is complete.
	ready(l *loop, c *conn, now time.Duration)
	// wake sends what is due by now and returns when to be woken next.
	wake(l *loop, now time.Duration) time.Duration
}

const never = time.Duration(1<<63 - 1)

// closed sends as soon as it may: the next request leaves when the answer is there.
type closed struct{}

func (closed) ready(l *loop, c *conn, now time.Duration) { l.send(c, now) }
func (closed) wake(*loop, time.Duration) time.Duration   { return never }

// open keeps a timetable: request k is due at start + k/rate, on connection k mod N, whether or not
// the peer keeps up. Each is sent at its own instant, not in bursts, for a burst would let the proxy
// serve many requests per wake-up and look cheaper than it is. A request whose connection is still
// busy is sent when that is free, and its latency counts from the instant it was due.
type open struct {
	start time.Duration
	rate  float64
	next  int // of the timetable
	turns []turn
	late  Histogram
}

// turn is the place of one connection in the timetable.
type turn struct {
	last int // request last sent, or the connection's number minus N before the first
	owed int // due since, and not sent
}

func newOpen(rate float64, conns int) *open {
	o := &open{rate: rate, turns: make([]turn, conns)}
	for i := range o.turns {
		o.turns[i].last = i - conns
	}
	return o
}

func (o *open) due(k int) time.Duration {
	return o.start + time.Duration(float64(k)/o.rate*1e9)
}

func (o *open) ready(l *loop, c *conn, _ time.Duration) {
	t := &o.turns[c.slot]
	if t.owed == 0 {
		return
	}
	t.owed--
	t.last += len(o.turns)
	l.send(c, o.due(t.last))
}

func (o *open) wake(l *loop, now time.Duration) time.Duration {
	for o.due(o.next) <= now {
		slot := o.next % len(o.turns)
		o.turns[slot].owed++
		if c := &l.conns[slot]; c.state == idle {
			o.late.Record(now - o.due(o.next))
			o.ready(l, c, now)
		}
		o.next++
	}
	return o.due(o.next)
}

// overdue records, for every request that was due before end and has no answer yet, the time it has
// waited so far: to leave the slowest ones out would flatter whoever never answered them.
func (o *open) overdue(l *loop, end time.Duration) {
	for slot := range o.turns {
		if c := &l.conns[slot]; c.state == busy {
			l.latency.Record(end - c.since)
		}
		t := o.turns[slot]
		for i := range t.owed {
			l.latency.Record(end - o.due(t.last+(i+1)*len(o.turns)))
		}
	}
}

// opening bounds how many connections are being opened or asked at once by once: enough to be
// quick, few enough that the proxy needs no more upstream connections than in other scenarios.
const opening = 64

// once opens connections a few at a time and makes one request on each.
type once struct {
	opened, answered int
	asked            []bool
}

func (o *once) ready(l *loop, c *conn, now time.Duration) {
	if !o.asked[c.slot] {
		o.asked[c.slot] = true
		l.send(c, now)
		return
	}
	o.answered++
	o.open(l)
}

func (o *once) open(l *loop) {
	if o.opened < len(l.conns) {
		o.opened++
		l.dial(&l.conns[o.opened-1])
	}
}

func (o *once) wake(*loop, time.Duration) time.Duration { return never }
