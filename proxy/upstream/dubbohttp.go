package upstream

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// called is a request of HTTP that goes to an endpoint as a call: its body becomes a frame's, and that of the answer the response's. The line is chosen when it is lent; it need not stand yet.
type called struct {
	Call
	on       *line
	borrower Stream // nil: the loan is over
	cluster  *Cluster
	prio     config.Priority
	frame    []byte
	answer   []byte // what the borrower has not heard of it yet
	head     dubbo.Head
	step     calledStep
	unfit    bool // the request is no call
	placed   bool // in the books, and not on the line yet
	held     bool // the borrower wants no more for now
	failure  Failure
	received uint64
	sent     uint64
	later    loop.Timer
}

// calledStep is how far the borrower has heard of the answer.
type calledStep uint8

const (
	calledWaits calledStep = iota
	calledHead             // it is there, and the head comes next
	calledBody
	calledEnd
	calledBroken // there is none
)

// Takes tells whether a request is one for the cluster's endpoints: calls of Dubbo for those who speak it, and all others for all others.
func (c *Cluster) Takes(r *http.Request) bool {
	return c.Config.Protocol.Mode == config.ProtocolDubbo == (r.Find(http.Other, dubbo.Field, 0) >= 0)
}

// lendCall is Lend where endpoints speak Dubbo.
func (c *Cluster) lendCall(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, s Stream) (Loan, Failure) {
	t, f := c.place(l, e, p, by, false)
	if f != NoFailure {
		return nil, f
	}
	return &called{on: t, borrower: s, cluster: c, prio: p, placed: true}, NoFailure
}

// SendHead implements Loan. Nothing of a head is said in Dubbo: what a call has of it the filter has put into the body.
func (d *called) SendHead(r *http.Request, _ http1.Framing, upgrade, _ bool) []byte {
	d.unfit = upgrade || !d.cluster.Takes(r)
	size := 0
	if n, err := strconv.Atoi(string(r.Get(http.ContentLength))); err == nil && n <= MaxFrame {
		size = n
	}
	d.frame = dubbo.AppendHead(make([]byte, 0, dubbo.HeadSize+size), &dubbo.Head{Request: true, TwoWay: true, Serialization: dubbo.Hessian2})
	return nil
}

// SendBody implements Loan.
func (d *called) SendBody(b []byte) {
	if len(d.frame)+len(b) > dubbo.HeadSize+MaxFrame {
		d.unfit = true
	}
	if !d.unfit {
		d.frame = append(d.frame, b...)
	}
}

// SendEnd implements Loan. What cannot be sent the borrower hears later: it is about to do something with the loan yet.
func (d *called) SendEnd(*http.Header) {
	if !d.placed {
		return
	}
	if d.unfit {
		d.displace()
		d.answer, d.step = []byte(unfit), calledHead
		d.soon()
		return
	}
	if !d.on.takes() {
		t, f := d.on.pool.line(d.cluster, d.prio)
		if f != NoFailure {
			d.displace()
			d.failure, d.step = f, calledBroken
			d.soon()
			return
		}
		d.on = t
	}
	d.placed = false
	binary.BigEndian.PutUint32(d.frame[12:], uint32(len(d.frame)-dubbo.HeadSize))
	d.sent = uint64(len(d.frame))
	d.on.send(d.cluster, d.prio, d.frame, true, d, &d.Call)
	d.frame = nil
}

// unfit is what a request is told that cannot be sent.
const unfit = "weft: endpoints of this cluster speak Dubbo, and the request is no call of theirs, or one of more than 8 MiB"

// displace takes a call that was never on the line out of the books.
func (d *called) displace() {
	if d.placed {
		d.placed = false
		d.cluster.Breakers[d.prio].Requests.Leave()
		d.on.pool.left()
	}
}

// soon tells the borrower in a turn of its own.
func (d *called) soon() { d.on.pool.loop.SetTimer(&d.later, 0, d) }

// OnAnswer implements Caller.
func (d *called) OnAnswer(h *dubbo.Head, frame []byte) {
	d.received = uint64(len(frame))
	if h.Serialization != dubbo.Hessian2 { // a call is answered in what it was asked in
		d.on.stats().Inc(CxProtocolError)
		d.OnLost(Malformed)
		return
	}
	d.head, d.answer, d.step = *h, frame[dubbo.HeadSize:], calledHead
	d.tell()
	if d.borrower != nil && d.step < calledEnd {
		d.answer = append([]byte(nil), d.answer...) // the frame is the line's
	}
}

// tell gives the borrower as much of the answer as it wants now.
func (d *called) tell() {
	for d.borrower != nil && !d.held {
		switch s := d.borrower; d.step {
		case calledHead:
			d.step = calledBody
			r := s.Response()
			r.Reset()
			if r.Version, r.Status = http.HTTP11, d.head.Status.HTTP(); d.unfit {
				r.Status = 502
				r.SetString(http.ContentType, "text/plain")
			} else {
				r.AddOther([]byte(dubbo.Field), strconv.AppendInt(nil, int64(d.head.Status), 10))
			}
			if d.head.Status == dubbo.OK && dubbo.IsException(d.head.Serialization, d.answer) {
				r.Status = 500
			}
			r.Set(http.ContentLength, strconv.AppendInt(nil, int64(len(d.answer)), 10))
			s.OnHead(false)
		case calledBody:
			d.step = calledEnd
			if len(d.answer) > 0 {
				s.OnBody(d.answer)
			}
		case calledEnd:
			d.borrower = nil
			s.OnEnd()
		case calledBroken:
			d.borrower = nil
			s.OnBroken(d.failure)
		default:
			return
		}
	}
}

// OnLost implements Caller. A call of which the endpoint has had no whole frame nobody has begun.
func (d *called) OnLost(f Failure) {
	if f == Terminated && !d.Begun() {
		f = Unprocessed
	}
	if f == Terminated || f == Stale || f == Unprocessed {
		d.on.stats().Inc(RqRxReset)
	}
	d.failure, d.step, d.held = f, calledBroken, false
	d.tell()
}

// OnRoom implements Caller. A frame is one piece, so that nobody waits for room.
func (d *called) OnRoom() {}

// Expired goes on.
func (d *called) Expired(*loop.Timer) { d.tell() }

// OnPanic ends the loan, and tells the borrower.
func (d *called) OnPanic(v any) {
	s := d.borrower
	d.Abandon()
	if s != nil {
		s.OnPanic(v)
	}
}

// Over implements Loan: a frame is one piece, and is taken whole.
func (d *called) Over() bool { return false }

// Pause implements Loan.
func (d *called) Pause() {
	if !d.held {
		d.held = true
		d.on.stats().Inc(FlowPausedReading)
	}
}

// Resume implements Loan.
func (d *called) Resume() {
	if d.held {
		d.held = false
		d.on.stats().Inc(FlowResumedReading)
		if d.step != calledWaits {
			d.soon()
		}
	}
}

// Abandon implements Loan. The endpoint is not told, which Dubbo has no words for: its answer is nobody's.
func (d *called) Abandon() {
	if d.borrower == nil {
		return
	}
	d.borrower, d.answer = nil, nil
	d.on.pool.loop.StopTimer(&d.later)
	d.displace()
	if d.Pending() {
		d.on.stats().Inc(RqTxReset)
		d.Cancel()
	}
}

// FieldBytes implements Loan: there are no fields.
func (d *called) FieldBytes() (fields, wire int) { return 0, 0 }

// Wire implements Loan.
func (d *called) Wire() (received, sent uint64) { return d.received, d.sent }

// Version implements Loan: there is none of HTTP, and this is how logs call a version that says nothing.
func (d *called) Version() http.Version { return http.HTTP11 }

// Conn implements Loan.
func (d *called) Conn() *loop.Conn { return d.on.conn }

// Local implements Loan.
func (d *called) Local() netip.AddrPort { return d.on.Local() }

// Number implements Loan.
func (d *called) Number() uint64 { return d.on.Number() }

// Began implements Loan.
func (d *called) Began() (dialled, connected, shaken int64) { return d.on.Began() }
