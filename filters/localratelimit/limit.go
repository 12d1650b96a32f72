package localratelimit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// buckets are what one configuration counts with. They outlive it.
type buckets struct {
	owner    *telemetry.Owner
	standard *filters.Bucket // nil: none
	special  map[string]*limited
}

// limited is the bucket of a descriptor.
type limited struct {
	*filters.Bucket
	shadow bool
}

func newBuckets(s *settings, store *telemetry.Store) *buckets {
	now := time.Now()
	b := &buckets{owner: store.Acquire(stats, s.prefix), special: make(map[string]*limited, len(s.descriptors))}
	if s.standard != nil {
		b.standard = filters.NewBucket(*s.standard, now)
	}
	for _, d := range s.descriptors {
		b.special[d.entries] = &limited{filters.NewBucket(d.rate, now), d.shadow}
	}
	return b
}

// Spent tells whether all buckets are full.
func (b *buckets) Spent(now time.Time) bool {
	for _, d := range b.special {
		if !d.Spent(now) {
			return false
		}
	}
	return b.standard == nil || b.standard.Spent(now)
}

func build(c any, site filters.Site) func(int) filters.Filter {
	s := c.(*settings)
	key := site.Place + fmt.Sprintf("#%x", s.hash)
	b := site.Kept.Of(key, time.Now(), func() filters.Keeps { return newBuckets(s, site.Stats) }).(*buckets)
	return func(loop int) filters.Filter {
		f := &filter{chain: s, buckets: b, site: &site, loop: loop}
		f.make = func() any { return newBuckets(f.s, site.Stats) }
		return f
	}
}

// taken is what a request takes of a bucket.
type taken struct {
	*limited
	hits int64
}

// filter limits one exchange.
type filter struct {
	filters.Pass
	chain   *settings
	buckets *buckets // of the chain
	site    *filters.Site
	loop    int
	make    func() any // buckets of a connection

	s      *settings       // what holds for this exchange
	told   *filters.Bucket // which the response tells of
	denied bool
	spell  []byte  // of descriptors
	chosen []taken // buckets of the request's descriptors
}

// RequestHeaders takes tokens, or answers that there are none.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	s, b := f.chain, f.buckets
	if o, ok := x.Override().(*settings); ok {
		s = o
		b = f.keptFor(s, x.Now())
	}
	f.s = s
	if !filters.Draw(s.enabled, x.Random()) {
		return filters.Continue
	}
	n := b.owner.Loop(f.loop)
	n.Inc(enabled)
	counted := b
	if s.perConnection {
		counted = f.connection(x, s)
	}
	if f.take(x, counted) {
		n.Inc(okay)
		return filters.Continue
	}
	n.Inc(rateLimited)
	if !filters.Draw(s.imposed, x.Random()) {
		for i := range s.whenNotImposed {
			x.AddHeader(&x.Request().Header, &s.whenNotImposed[i])
		}
		return filters.Continue
	}
	n.Inc(enforced)
	f.denied = true
	x.Flag(accesslog.RateLimited)
	const detail = "local_rate_limited"
	if s.exhausted {
		x.ReplyGRPC(s.status, 8, []byte(detail), detail)
	} else {
		x.Reply(s.status, []byte(detail), detail)
	}
	return filters.Replied
}

// keptFor finds the buckets of a route.
func (f *filter) keptFor(s *settings, now time.Time) *buckets {
	site := f.site
	return site.Kept.Of(s.key, now, func() filters.Keeps { return newBuckets(s, site.Stats) }).(*buckets)
}

// connection finds the buckets that the request's connection has of its own.
func (f *filter) connection(x filters.Exchange, s *settings) *buckets {
	return x.OfConnection(s, f.make).(*buckets)
}

// take takes a token from the bucket of every descriptor, the slowest first, and from the standard one.
func (f *filter) take(x filters.Exchange, b *buckets) bool {
	now := x.Now()
	f.chosen = f.chosen[:0]
	if len(b.special) > 0 {
		f.choose(x, b)
	}
	for _, d := range f.chosen {
		// Envoy takes nothing for a request that takes none, which it says there is not.
		if (d.hits == 0 || !d.Take(now, d.hits)) && !d.shadow {
			f.told = d.Bucket
			return false
		}
	}
	if len(f.chosen) > 0 {
		f.told = f.chosen[0].Bucket
	}
	if b.standard == nil || len(f.chosen) > 0 && !f.s.standardToo {
		return true
	}
	ok := b.standard.Take(now, 1)
	if len(f.chosen) == 0 || !ok {
		f.told = b.standard
	}
	return ok
}

// choose finds the buckets of the request's descriptors.
func (f *filter) choose(x filters.Exchange, b *buckets) {
	if f.s.limits != nil {
		f.add(x, b, f.s.limits)
		return
	}
	route, host, include := x.RateLimits()
	f.add(x, b, route)
	if include || f.s.hosts == hostIncluded || f.s.hosts == hostOverridden && len(route) == 0 {
		f.add(x, b, host)
	}
}

func (f *filter) add(x filters.Exchange, b *buckets, list []config.RateLimit) {
	for i := range list {
		l := &list[i]
		if l.Disabled || l.Stage != f.s.stage {
			continue
		}
		var ok bool
		if f.spell, ok = filters.AppendDescriptor(f.spell[:0], x, l, f.site.Cluster); !ok {
			continue
		}
		d := b.special[string(f.spell)]
		if d == nil {
			continue
		}
		var hits int64
		if f.spell, hits, ok = filters.CountHits(f.spell, x, l); !ok {
			continue
		}
		at := len(f.chosen)
		f.chosen = append(f.chosen, taken{d, hits})
		for ; at > 0 && f.chosen[at-1].Cost() < d.Cost(); at-- {
			f.chosen[at] = f.chosen[at-1]
		}
		f.chosen[at] = taken{d, hits}
	}
}

// ResponseHeaders tells of the limits.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	if f.told == nil {
		return filters.Continue
	}
	r := x.Response()
	tokens, wait := f.told.Left(x.Now())
	seconds := uint64((wait + time.Second - 1) / time.Second)
	if f.denied {
		for i := range f.s.whenLimited {
			x.AddHeader(&r.Header, &f.s.whenLimited[i])
		}
		if f.s.tellRetry && f.s.status == 429 && !r.Has(http.RetryAfter) {
			r.Add(http.RetryAfter, strconv.AppendUint(f.spell[:0], max(seconds, 1), 10))
		}
	}
	if f.s.tellLimits {
		f.tell(r, "x-ratelimit-limit", uint64(f.told.Rate().Tokens))
		f.tell(r, "x-ratelimit-remaining", uint64(tokens))
		f.tell(r, "x-ratelimit-reset", seconds)
	}
	return filters.Continue
}

func (f *filter) tell(r *http.Response, name string, n uint64) {
	f.spell = strconv.AppendUint(f.spell[:0], n, 10)
	r.AddNamed([]byte(name), f.spell)
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	*f = filter{chain: f.chain, buckets: f.buckets, site: f.site, loop: f.loop, make: f.make, spell: f.spell[:0], chosen: f.chosen[:0]}
}
