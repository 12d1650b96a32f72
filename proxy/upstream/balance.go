package upstream

import (
	"math"
	"time"

	"github.com/weftmesh/weft/config"
)

// Balancer chooses among a cluster's endpoints for one loop. It is pure but for its own places in the rounds: what is random comes from
// outside, and what is in flight is read from the endpoints.
type Balancer struct {
	of     *choices // what the rest was made for
	places []place
	order  []int32 // of a table that is probed
}

// place is how far the round of a group, or of a share's localities, has come.
type place struct {
	begun bool
	next  uint32 // round robin
	heap  []turn // earliest deadline first, for weights
	clock float64
}

// turn is when an endpoint is due.
type turn struct {
	at    float64
	order uint32 // ties go in the order of insertion
	index int32
}

// ask is what a choice depends on beside the endpoints.
type ask struct {
	random  func() uint64 // gives numbers that nobody can predict
	now     int64         // in nanoseconds since the Set was made, for slow start
	active  int64         // under way to the whole cluster, for bounded loads
	hash    uint64        // for RING_HASH and MAGLEV
	attempt uint32        // how often this attempt has chosen before
	tried   *Priorities   // of earlier attempts; may be nil
	slow    *config.SlowStart
}

// Choose picks a position in e.All; -1 if there is none to pick. panic says that it was picked whatever its health.
func (b *Balancer) Choose(c *config.Cluster, e *Endpoints, from *choices, q *ask) (at int, panic bool) {
	if b.of != from {
		b.begin(from)
	}
	if hashes(c) {
		s := from.pick(q.hash)
		if s == nil {
			return -1, false
		}
		return from.groups[s.group].table.choose(e.All, q.hash, q.attempt, c.Hashing.BalanceFactor, q.active, b), s.panic
	}
	if from.sole >= 0 && q.tried == nil {
		return b.among(c, e, from.sole, q), from.panic
	}
	var s *share
	if q.tried != nil {
		s = from.pickBeside(q.random(), q.tried)
	}
	if s == nil {
		s = from.pick(q.random())
	}
	if s == nil {
		return -1, false
	}
	if s.localities != nil {
		return b.among(c, e, b.near(s, q), q), s.panic
	}
	return b.among(c, e, s.group, q), s.panic
}

func (b *Balancer) begin(from *choices) {
	b.of = from
	if cap(b.places) < from.places {
		b.places = make([]place, from.places)
	}
	b.places = b.places[:from.places]
	for i := range b.places {
		p := &b.places[i]
		*p = place{heap: p.heap[:0]}
	}
}

// among picks a member of a group.
func (b *Balancer) among(c *config.Cluster, e *Endpoints, at int32, q *ask) int {
	g, p := &b.of.groups[at], &b.places[at]
	n := uint64(len(g.members))
	switch {
	case n == 0:
		return -1
	case c.Balancer == config.Random:
		// Envoy's random balancer knows no weights.
		return int(g.members[q.random()%n])
	case g.weighted || q.slow != nil && q.now < e.slowUntil:
		return p.due(c, e, g, q)
	case c.Balancer == config.LeastRequest:
		return least(c, e, g, q.random)
	}
	if !p.begun {
		// At a random place, so that loops and proxies that start together do not march in step.
		p.begun, p.next = true, uint32(q.random()%n)
	}
	i := p.next % uint32(n)
	p.next++
	return int(g.members[i])
}

// near picks the group of a locality.
func (b *Balancer) near(s *share, q *ask) int32 {
	p := &b.places[s.place]
	if !p.begun {
		p.begun = true
		for i := range s.localities {
			p.push(turn{at: 1 / s.localities[i].weight, order: uint32(i), index: int32(i)})
		}
		for range q.random() % uint64(len(s.localities)) {
			p.again(1 / s.localities[p.heap[0].index].weight)
		}
	}
	at := p.heap[0].index
	p.again(1 / s.localities[at].weight)
	return s.localities[at].group
}

// least compares a few endpoints picked at random, two unless told otherwise, and takes the one with the least under way.
func least(c *config.Cluster, e *Endpoints, g *group, random func() uint64) int {
	n := uint64(len(g.members))
	choices := uint64(c.ChoiceCount)
	if c.FullScan {
		choices = n
	}
	best, load, ties := int32(-1), int64(math.MaxInt64), uint64(1)
	for i := range choices {
		at := g.members[i%n]
		if !c.FullScan {
			at = g.members[random()%n]
		}
		switch active := e.All[at].Active.Load(); {
		case active < load:
			best, load, ties = at, active, 1
		case active == load && c.FullScan:
			// Each of those that have the least is as likely as the others.
			if ties++; random()%ties == 0 {
				best = at
			}
		}
	}
	return int(best)
}

// weight is what an endpoint counts for now: its share, less while it is new, and with LEAST_REQUEST less the more it has under way.
func weight(c *config.Cluster, m *Member, q *ask) float64 {
	w := float64(m.Weight)
	if q.slow != nil {
		w *= slowStart(q.slow, q.now-m.Standing.since.Load())
	}
	if c.Balancer != config.LeastRequest {
		return w
	}
	active := float64(m.Active.Load() + 1)
	switch c.ActiveBias {
	case 0:
		return w
	case 1:
		return w / active
	default:
		// Bounded, for at no weight at all an endpoint's next turn would never come, not even once it is idle.
		return w / min(math.Pow(active, c.ActiveBias), 1e4)
	}
}

// slowStart is the part of its weight that an endpoint has at an age, in nanoseconds.
func slowStart(s *config.SlowStart, age int64) float64 {
	if age >= int64(s.Window) {
		return 1
	}
	part := float64(max(age, int64(time.Millisecond))) / float64(s.Window)
	if s.Aggression != 1 {
		part = math.Pow(part, 1/s.Aggression)
	}
	return max(part, s.MinWeight, leastPart)
}

// leastPart keeps an endpoint's next turn within reach of numbers: at no weight at all it would never come.
const leastPart = 1e-12

// due takes the endpoint whose turn is earliest and gives it its next turn, 1/weight later.
func (p *place) due(c *config.Cluster, e *Endpoints, g *group, q *ask) int {
	if len(p.heap) == 0 {
		for i, at := range g.members {
			p.push(turn{at: 1 / weight(c, &e.All[at], q), order: uint32(i), index: at})
		}
		for range q.random() % uint64(len(g.members)) {
			p.again(1 / weight(c, &e.All[p.heap[0].index], q))
		}
	}
	at := p.heap[0].index
	p.again(1 / weight(c, &e.All[at], q))
	return int(at)
}

// again gives whose turn it is the next one, so much later.
func (p *place) again(after float64) {
	p.clock = p.heap[0].at
	p.next++
	p.heap[0] = turn{at: p.clock + after, order: uint32(len(p.heap)) + p.next, index: p.heap[0].index}
	p.sink(0)
}

func (t turn) before(o turn) bool { return t.at < o.at || t.at == o.at && int32(t.order-o.order) < 0 }

func (p *place) push(t turn) {
	p.heap = append(p.heap, t)
	for i := len(p.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !p.heap[i].before(p.heap[up]) {
			return
		}
		p.heap[i], p.heap[up] = p.heap[up], p.heap[i]
		i = up
	}
}

func (p *place) sink(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(p.heap); child++ {
			if p.heap[child].before(p.heap[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		p.heap[i], p.heap[first] = p.heap[first], p.heap[i]
		i = first
	}
}
