package upstream

import (
	"math"

	"github.com/weftmesh/weft/config"
)

// Balancer chooses among a cluster's endpoints for one loop. It is pure but for its own place in the round: what is random comes
// from outside, and what is in flight is read from the endpoints.
type Balancer struct {
	of    *Endpoints // what the rest was made for
	next  uint32     // round robin
	heap  []turn     // earliest deadline first, for weights
	clock float64
}

// turn is when an endpoint is due.
type turn struct {
	at    float64
	order uint32 // ties go in the order of insertion
	index int32
}

// Choose picks a position in e.All; -1 if there is none to pick. random gives numbers that nobody can predict.
func (b *Balancer) Choose(c *config.Cluster, e *Endpoints, random func() uint64) int {
	n := uint64(len(e.healthy))
	if n == 0 {
		return -1
	}
	if b.of != e {
		b.begin(c, e, random)
	}
	switch {
	case c.Balancer == config.Random:
		// Envoy's random balancer knows no weights.
		return int(e.healthy[random()%n])
	case e.weighted:
		return b.due(c, e)
	case c.Balancer == config.LeastRequest:
		return b.least(c, e, random)
	default:
		i := b.next % uint32(n)
		b.next++
		return int(e.healthy[i])
	}
}

// begin starts at a random place, so that loops and proxies that start together do not march in step.
func (b *Balancer) begin(c *config.Cluster, e *Endpoints, random func() uint64) {
	b.of = e
	b.next = uint32(random() % uint64(len(e.healthy)))
	b.heap = b.heap[:0]
	b.clock = 0
	if !e.weighted || c.Balancer == config.Random {
		return
	}
	for i, at := range e.healthy {
		b.push(turn{at: 1 / b.weight(c, &e.All[at]), order: uint32(i), index: at})
	}
	for range random() % uint64(len(e.healthy)) {
		b.due(c, e)
	}
}

// least compares a few endpoints picked at random, two unless told otherwise, and takes the one with the least under way.
func (b *Balancer) least(c *config.Cluster, e *Endpoints, random func() uint64) int {
	n := uint64(len(e.healthy))
	choices := uint64(c.ChoiceCount)
	if c.FullScan {
		choices = n
	}
	best, load, ties := int32(-1), int64(math.MaxInt64), uint64(1)
	for i := range choices {
		at := e.healthy[i%n]
		if !c.FullScan {
			at = e.healthy[random()%n]
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

// weight is what an endpoint counts for now: its share, and with LEAST_REQUEST less the more it has under way.
func (b *Balancer) weight(c *config.Cluster, m *Member) float64 {
	w := float64(m.Weight)
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

// due takes the endpoint whose turn is earliest and gives it its next turn, 1/weight later.
func (b *Balancer) due(c *config.Cluster, e *Endpoints) int {
	t := b.heap[0]
	b.clock = t.at
	b.next++
	b.heap[0] = turn{at: b.clock + 1/b.weight(c, &e.All[t.index]), order: uint32(len(b.heap)) + b.next, index: t.index}
	b.sink(0)
	return int(t.index)
}

func (t turn) before(o turn) bool { return t.at < o.at || t.at == o.at && int32(t.order-o.order) < 0 }

func (b *Balancer) push(t turn) {
	b.heap = append(b.heap, t)
	for i := len(b.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !b.heap[i].before(b.heap[up]) {
			return
		}
		b.heap[i], b.heap[up] = b.heap[up], b.heap[i]
		i = up
	}
}

func (b *Balancer) sink(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(b.heap); child++ {
			if b.heap[child].before(b.heap[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		b.heap[i], b.heap[first] = b.heap[first], b.heap[i]
		i = first
	}
}
