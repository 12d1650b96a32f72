package fault

import (
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// The fields by which a request says what is to happen to it.
const (
	delayField           = "x-envoy-fault-delay-request"
	delayShareField      = "x-envoy-fault-delay-request-percentage"
	abortField           = "x-envoy-fault-abort-request"
	abortCodeField       = "x-envoy-fault-abort-grpc-request"
	abortShareField      = "x-envoy-fault-abort-request-percentage"
	limitField           = "x-envoy-fault-throughput-response"
	limitShareField      = "x-envoy-fault-throughput-response-percentage"
	ticks                = 16 // a second of a slowed response
	maxDelay             = time.Hour
	detail               = "fault_filter_abort"
	minStatus, maxStatus = 200, 600
)

func build(c any, site filters.Site) func(int) filters.Filter {
	prefix := site.StatPrefix + "fault."
	owner := site.Stats.Acquire(stats, prefix)
	loops := make([]*counters, site.Stats.Loops()+1)
	for i := range loops {
		loops[i] = &counters{name: site.Name, site: prefix, store: site.Stats, owner: owner, loop: i, clusters: map[string]*telemetry.Values{}}
	}
	return func(loop int) filters.Filter {
		n := loops[loop]
		if n.values == nil {
			n.values = owner.Loop(loop)
		}
		return &filter{chain: c.(*settings), n: n}
	}
}

// filter is the fault of one exchange.
type filter struct {
	filters.Pass
	chain, s *settings
	n        *counters
	active   bool
	rate     uint64 // bytes a second of the response; 0: not slowed
	budget   uint64 // bytes that may go now
	filled   time.Time
	kept     []byte // of the response's body, until it may go
}

// RequestHeaders decides which faults happen, and begins with the delay.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	f.s = f.chain
	if o, ok := x.Override().(*settings); ok {
		f.s = o
	}
	s := f.s
	if s.delay == nil && s.abort == nil && s.limit == nil {
		return filters.Continue
	}
	if s.maxActive >= 0 && f.n.owner.Sum(activeFaults) >= s.maxActive {
		f.n.values.Inc(faultsOverflow)
		return filters.Continue
	}
	if !f.meant(x) {
		return filters.Continue
	}
	if s.limit != nil {
		f.limit(x)
	}
	if d := f.delayOf(x); d > 0 {
		f.activate(x)
		f.n.values.Inc(delaysInjected)
		f.count(x, clusterDelays)
		x.Flag(accesslog.DelayInjected)
		x.AwaitTimer(d)
		return filters.Await
	}
	return f.abort(x)
}

// Resume goes on after a delay, or with the next piece of a response that is slowed.
func (f *filter) Resume(x filters.Exchange, _ filters.Result) filters.Action {
	if f.rate > 0 && len(f.kept) > 0 {
		return f.drip(x)
	}
	return f.abort(x)
}

// meant tells whether faults may happen to the request.
func (f *filter) meant(x filters.Exchange) bool {
	s := f.s
	if s.cluster != "" && x.Cluster() != s.cluster {
		return false
	}
	if len(s.nodes) > 0 {
		node := x.Request().Get(http.XEnvoyDownstreamServiceNode)
		if !slices.ContainsFunc(s.nodes, func(n string) bool { return n == string(node) }) {
			return false
		}
	}
	return x.MatchHeaders(s.headers)
}

// drawn tells whether a fault happens. A request may make its share smaller than the configuration says, not larger.
func (f *filter) drawn(x filters.Exchange, k *fault, field string) bool {
	share := k.share
	if k.byHeader {
		if n, ok := number(x.Request(), field); ok {
			share.Of = uint32(min(n, uint64(share.Of)))
		}
	}
	return filters.Draw(share, x.Random())
}

// delayOf is how long the request is to wait; 0: not at all.
func (f *filter) delayOf(x filters.Exchange) time.Duration {
	k := f.s.delay
	if k == nil || !f.drawn(x, k, delayShareField) {
		return 0
	}
	if !k.byHeader {
		return f.s.duration
	}
	ms, _ := number(x.Request(), delayField)
	return min(time.Duration(min(ms, uint64(maxDelay/time.Millisecond)))*time.Millisecond, maxDelay)
}

// abort answers the request, if that is its fault. With a status of gRPC's the one of HTTP is 200, as with Envoy, also where it is not
// gRPC that asks.
func (f *filter) abort(x filters.Exchange) filters.Action {
	k := f.s.abort
	if k == nil || !f.drawn(x, k, abortShareField) {
		return filters.Continue
	}
	code, status := f.s.code, f.s.status
	if k.byHeader {
		n, ok := number(x.Request(), abortField)
		if ok = ok && n >= minStatus && n < maxStatus; ok {
			status = uint16(n)
		} else if n, ok = number(x.Request(), abortCodeField); ok && n <= 255 {
			code = uint8(n)
		} else {
			return filters.Continue
		}
	}
	f.activate(x)
	f.n.values.Inc(abortsInjected)
	f.count(x, clusterAborts)
	x.Flag(accesslog.FaultInjected)
	if status == 0 {
		x.ReplyGRPC(200, code, f.s.body, detail)
	} else {
		x.Reply(status, f.s.body, detail)
	}
	return filters.Replied
}

// activate counts the exchange among those to which something happens, once, and notes the metadata under the filter's name in its
// chain, as Envoy does.
func (f *filter) activate(x filters.Exchange) {
	for k, v := range f.s.metadata {
		x.SetMetadata(f.n.name, k, v)
	}
	if !f.active {
		f.active = true
		f.n.values.Inc(activeFaults)
	}
}

func (f *filter) count(x filters.Exchange, row int) {
	if cluster := x.Request().Get(http.XEnvoyDownstreamServiceCluster); f.s.clusterStats && len(cluster) > 0 {
		if v := f.n.of(cluster); v != nil {
			v.Inc(row)
		}
	}
}

// limit decides whether the response is to be slowed.
func (f *filter) limit(x filters.Exchange) {
	rate := f.s.rate
	if f.s.limit.byHeader {
		n, _ := number(x.Request(), limitField)
		rate = min(n, maxRate) << 10
	}
	if rate == 0 || !f.drawn(x, f.s.limit, limitShareField) {
		return
	}
	f.rate = rate
	f.activate(x)
	f.n.values.Inc(limitsInjected)
}

// ResponseBody lets go what the rate allows, and keeps the rest; while it keeps something no more comes.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	if f.rate == 0 {
		return filters.Continue
	}
	f.kept = append(f.kept, b...)
	return f.drip(x)
}

// drip lets go what the rate allows. When all is gone the hook sees what has come meanwhile.
func (f *filter) drip(x filters.Exchange) filters.Action {
	const tick = time.Second / ticks
	if now := x.Now(); now.Sub(f.filled) >= tick {
		f.filled = now
		f.budget = max(f.rate/ticks, 1)
	}
	n := min(f.budget, uint64(len(f.kept)))
	f.budget -= n
	if !x.PassOn(f.kept[:n]) {
		return filters.Changed
	}
	f.kept = f.kept[:copy(f.kept, f.kept[n:])]
	if len(f.kept) == 0 {
		return filters.Changed
	}
	x.AwaitTimer(tick)
	return filters.Await
}

// Done takes the exchange out of the books.
func (f *filter) Done(filters.Exchange) {
	if f.active {
		f.n.values.Dec(activeFaults)
	}
	*f = filter{chain: f.chain, n: f.n, kept: f.kept[:0]}
}

// number reads a field of decimal digits.
func number(r *http.Request, name string) (uint64, bool) {
	i := r.Find(http.Other, name, 0)
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.Value(i)), 10, 64)
	return n, err == nil
}
