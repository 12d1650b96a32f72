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

// await is what a filter of the exchange waits for: a timer of this loop, a call of the loop's own client, or a function on a goroutine
// of its own. One at a time; sequence drops what comes after the exchange has gone on.
type await struct {
	filter   int // whose hook runs, or has awaited
	armed    bool
	sequence uint32
	timer    loop.Timer
	call     *call
	stop     context.CancelFunc
	owner    *exchange
}

// maxAwaits bounds the functions and calls that a loop waits for at once. One more is refused, which its filter hears as an error.
const maxAwaits = 4096

// errAwaits is what a filter hears then.
var errAwaits = errors.New("l7: await: more than 4096 calls and functions of filters are under way on this loop")

func (x *exchange) beginAwait() {
	if x.await.armed {
		panic("l7: await: a filter awaits two things at once")
	}
	x.await.armed = true
	x.await.owner = x
	x.await.sequence++
}

// AwaitTimer implements filters.Exchange.
func (x *exchange) AwaitTimer(d time.Duration) {
	x.beginAwait()
	x.local.Loop.SetTimer(&x.await.timer, d, &x.await)
}

// Expired resumes after a timer.
func (a *await) Expired(*loop.Timer) { a.owner.awaited(filters.Result{}) }

// OnPanic is a panic in a hook that a timer has resumed.
func (a *await) OnPanic(v any) { a.owner.OnPanic(v) }

// AwaitFunc implements filters.Exchange.
func (x *exchange) AwaitFunc(f func(context.Context) (any, error)) {
	x.beginAwait()
	l, sequence := x.local, x.await.sequence
	if !x.enterAwait() {
		l.Loop.Post(func() { x.late(sequence, filters.Result{Err: errAwaits}) })
		return
	}
	stats := x.conn.stats
	ctx, cancel := context.WithCancel(context.Background())
	x.await.stop = cancel
	go func() {
		var r filters.Result
		defer func() {
			if v := recover(); v != nil {
				r = filters.Result{Err: fmt.Errorf("l7: await: function panicked: %v\n%s", v, debug.Stack())}
			}
			l.Loop.Post(func() {
				l.clients--
				stats.Dec(AwaitsPending)
				x.late(sequence, r)
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
func (x *exchange) late(sequence uint32, r filters.Result) {
	if x.await.armed && x.await.sequence == sequence {
		x.awaited(r)
	}
}

// awaited hands a result to the filter that waits for it.
func (x *exchange) awaited(r filters.Result) {
	a := &x.await
	a.armed = false
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	a.call = nil
	l := &x.up
	if !l.waiting || x.step(l, l.at) != a.filter {
		l = &x.down
	}
	if !l.waiting {
		return
	}
	x.moving = l
	x.resume(l, x.filters[a.filter].Resume(x, r))
}

// cancel forgets what is awaited; its result, should it come, is dropped.
func (a *await) cancel(x *exchange) {
	if !a.armed {
		return
	}
	a.armed = false
	a.sequence++
	x.local.Loop.StopTimer(&a.timer)
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	if a.call != nil {
		a.call.cancel()
		a.call = nil
	}
}

// Request implements filters.Exchange.
func (x *exchange) Request() *http.Request { return &x.request }

// Response implements filters.Exchange.
func (x *exchange) Response() *http.Response { return &x.response }

// Override implements filters.Exchange.
func (x *exchange) Override() any {
	o, _ := x.overrideOf(x.server.chain[x.await.filter].name)
	return o.Config
}

// Overrides implements filters.Exchange.
func (x *exchange) Overrides(list []any) []any {
	x.match()
	name := x.server.chain[x.await.filter].name
	add := func(m map[string]config.FilterOverride) {
		if o, ok := m[name]; ok && o.Config != nil {
			list = append(list, o.Config)
		}
	}
	if t := x.server.table(x.generation); t != nil {
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

// overrideOf is what the most specific of share, route, virtual host and table says of a filter.
func (x *exchange) overrideOf(name string) (config.FilterOverride, bool) {
	x.match()
	if s := x.share; s != nil {
		if o, ok := s.Filters[name]; ok {
			return o, true
		}
	}
	if r := x.found.Route; r != nil {
		if o, ok := r.Filters[name]; ok {
			return o, true
		}
	}
	if v := x.found.VirtualHost; v != nil {
		if o, ok := v.Filters[name]; ok {
			return o, true
		}
		o, ok := x.server.table(x.generation).Config.Filters[name]
		return o, ok
	}
	return config.FilterOverride{}, false
}

// ClearRoute implements filters.Exchange.
func (x *exchange) ClearRoute() { x.state &^= rerouted }

// Downstream implements filters.Exchange.
func (x *exchange) Downstream() netip.AddrPort { return x.entry.Remote }

// Now implements filters.Exchange.
func (x *exchange) Now() time.Time { return x.local.Loop.Now() }
