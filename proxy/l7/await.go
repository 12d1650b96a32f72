package l7

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/http"
)

// await is what one filter of the exchange waits for in one direction: a timer of this loop, a call of the loop's own client, a function on
// a goroutine of its own, or room behind it. One at a time; sequence drops what comes after the exchange has gone on.
type await struct {
	exchange *exchange
	lane     *lane
	at       int // the filter's place on the lane's way
	armed    bool
	holds    bool // its hook has answered Await: the message stands here
	room     bool // it waits for what its lane feeds
	stage    stage
	sequence uint32
	timer    loop.Timer
	call     *call
	demands  bool // it waits for demand
	demand   config.Demand
	stop     context.CancelFunc
	later    []byte // body that came meanwhile
	laterEnd bool
	tail     *http.Header // trailers that did
}

// stage is the part of a message whose hook awaits.
type stage uint8

const (
	atHead stage = iota
	atBody
	atTrailers
)

// maxAwaits bounds the functions and calls that a loop waits for at once. One more is refused, which its filter hears as an error.
const maxAwaits = 4096

// errAwaits is what a filter hears then.
var errAwaits = errors.New("l7: await: more than 4096 calls and functions of filters are under way on this loop")

// beginAwait has the filter whose hook runs wait.
func (x *exchange) beginAwait() *await {
	l := x.moving
	n := x.step(l, x.running)
	a := l.awaits[n]
	if a == nil {
		a = &await{exchange: x, lane: l, at: n}
		l.awaits[n] = a
	}
	if a.armed {
		panic("l7: await: a filter awaits two things at once")
	}
	a.armed, l.awaited = true, true
	a.sequence++
	return a
}

// hold has the message stand at the n-th filter, which awaits something.
func (x *exchange) hold(l *lane, n int, s stage) *await {
	a := l.awaits[n]
	if !a.holds {
		a.holds = true
		l.waiting++
	}
	a.stage = s
	return a
}

// AwaitTimer implements filters.Exchange.
func (x *exchange) AwaitTimer(d time.Duration) {
	a := x.beginAwait()
	x.local.Loop.SetTimer(&a.timer, d, a)
}

// Expired resumes after a timer.
func (a *await) Expired(*loop.Timer) {
	if a.demands {
		a.leave()
		a.resume(filters.Result{Err: errNotInTime})
		return
	}
	a.resume(filters.Result{})
}

// OnPanic is a panic in a hook that a timer has resumed.
func (a *await) OnPanic(v any) { a.exchange.OnPanic(v) }

// AwaitRoom implements filters.Exchange.
func (x *exchange) AwaitRoom() {
	a := x.beginAwait()
	a.room = true
	if x.hasRoom(a) {
		// Not within this turn, so that a body that swells leaves time for others.
		sequence := a.sequence
		x.local.Loop.Post(func() { a.late(sequence, filters.Result{}) })
	}
}

// hasRoom tells whether what a filter passes on would go somewhere: no later filter holds it up, and who takes it at the end of the way
// has not too much already. Where a later filter holds the head back, it bounds the body itself.
func (x *exchange) hasRoom(a *await) bool {
	l := a.lane
	for n := a.at + 1; n < len(l.awaits); n++ {
		if l.waitsAt(n) != nil {
			return false
		}
	}
	if l.backward {
		return !x.client.full()
	}
	return x.takesRequest()
}

// offerRoom resumes the last filter of a lane that waits, if room is what it waits for and there is some.
func (x *exchange) offerRoom(l *lane) {
	if l.waiting == 0 {
		return
	}
	for n := len(l.awaits) - 1; n >= 0; n-- {
		if a := l.waitsAt(n); a != nil {
			if a.room && x.hasRoom(a) {
				a.resume(filters.Result{})
			}
			return
		}
	}
}

// AwaitFunc implements filters.Exchange.
func (x *exchange) AwaitFunc(f func(context.Context) (any, error)) {
	a := x.beginAwait()
	l, sequence := x.local, a.sequence
	if !x.enterAwait() {
		l.Loop.Post(func() { a.late(sequence, filters.Result{Err: errAwaits}) })
		return
	}
	stats := x.conn.stats
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	go func() {
		var r filters.Result
		defer func() {
			if v := recover(); v != nil {
				r = filters.Result{Err: fmt.Errorf("l7: await: function panicked: %v\n%s", v, debug.Stack())}
			}
			l.Loop.Post(func() {
				l.clients--
				stats.Dec(AwaitsPending)
				a.late(sequence, r)
			})
		}()
		r.Value, r.Err = f(ctx)
	}()
}

func (x *exchange) enterAwait() bool {
	if x.local.clients >= maxAwaits {
		x.conn.stats.Inc(AwaitsRefused)
		return false
	}
	x.local.clients++
	x.conn.stats.Inc(AwaitsPending)
	return true
}

// late takes a result that comes from elsewhere, unless the exchange has gone on meanwhile.
func (a *await) late(sequence uint32, r filters.Result) {
	if a.armed && a.sequence == sequence {
		a.resume(r)
	}
}

// resume hands a result to the filter that waits for it.
func (a *await) resume(r filters.Result) {
	a.armed, a.room, a.call = false, false, nil
	a.exchange.local.Loop.StopTimer(&a.timer)
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	if !a.holds {
		return
	}
	x := a.exchange
	r.Backward = a.lane.backward
	x.moving, x.running = a.lane, x.step(a.lane, a.at)
	x.resume(a, x.filters[x.running].Resume(x, r))
}

// cancel forgets what is awaited; its result, should it come, is dropped.
func (a *await) cancel() {
	if !a.armed {
		return
	}
	a.armed, a.room = false, false
	a.exchange.local.Loop.StopTimer(&a.timer)
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	if a.call != nil {
		a.call.cancel()
		a.call = nil
	}
	a.leave()
}

// forget lets the message go, and with it what came meanwhile. What is still awaited is dropped.
func (a *await) forget() {
	a.cancel()
	if a.holds {
		a.holds = false
		a.lane.waiting--
	}
	a.later, a.laterEnd, a.tail = emptied(a.later), false, nil
}

// keepTrailers keeps what came while something was awaited.
func (a *await) keepTrailers(t *http.Header) {
	a.tail = &http.Header{}
	a.tail.CopyFrom(t)
}

// Request implements filters.Exchange.
func (x *exchange) Request() *http.Request { return &x.request }

// Response implements filters.Exchange.
func (x *exchange) Response() *http.Response { return &x.response }

// Override implements filters.Exchange.
func (x *exchange) Override() any {
	if o := x.overrideOf(x.running); o != nil {
		return o.Config
	}
	return nil
}

// Overrides implements filters.Exchange.
func (x *exchange) Overrides(list []any) []any {
	x.match()
	name := x.links.list[x.running].name
	add := func(m map[string]config.FilterOverride) {
		if o, ok := m[name]; ok && o.Config != nil {
			list = append(list, o.Config)
		}
	}
	if t := x.table; t != nil {
		add(t.Config.Filters)
	}
	if v := x.found.VirtualHost; v != nil {
		add(v.Filters)
	}
	if r := x.found.Route; r != nil {
		add(r.Filters)
	}
	if s := x.share; s != nil {
		add(s.Filters)
	}
	return list
}

// overrideOf is what the request's place in the table says of the i-th filter of the chain; nil: nothing.
func (x *exchange) overrideOf(i int) *config.FilterOverride {
	x.match()
	if x.said == nil {
		return nil
	}
	if n := x.saidAt[i]; n >= 0 {
		return x.said[n]
	}
	return nil
}

// ClearRoute implements filters.Exchange.
func (x *exchange) ClearRoute() { x.state &^= rerouted }

// Downstream implements filters.Exchange.
func (x *exchange) Downstream() netip.AddrPort { return x.entry.Remote }

// Source implements filters.Exchange.
func (x *exchange) Source() netip.AddrPort { return x.conn.conn.Remote() }

// Now implements filters.Exchange.
func (x *exchange) Now() time.Time { return x.local.Loop.Now() }
