package upstream

import (
	"cmp"
	"math"
	"slices"

	"github.com/weftmesh/weft/config"
)

// choices says among which endpoints a choice is made: who gets which part of the requests is worked out here, before any comes.
type choices struct {
	sole   int32   // the group that every choice falls into; -1: ask shares
	panic  bool    // sole is all endpoints, whatever their health
	shares []share // in order, of a hundred
	groups []group
	places int // of balancers: one for each group and each share with localities
}

// group is endpoints of which the balancer picks one.
type group struct {
	members  []int32 // positions in Endpoints.All
	weighted bool    // not all of equal weight
	table    *table  // for RING_HASH and MAGLEV
}

// share is the part of a priority's healthy, or degraded, endpoints.
type share struct {
	until      uint8 // the hundredths up to here that no share before has; as the one before if it gets none
	bears      uint8 // how much it could bear, in percent
	priority   uint8
	degraded   bool
	panic      bool
	group      int32
	place      int32 // of the localities' schedule
	localities []locality
}

// locality is a group and what it weighs beside the other localities, of its weight as much as its healthy part can bear.
type locality struct {
	group  int32
	weight float64
}

// factors is what choices are worked out by.
type factors struct {
	cluster          *config.Cluster
	overprovisioning uint64 // in percent
	weigh            bool
	tables           tableNumbers
	whole, part      map[ofPriority]int // endpoints of localities, of all and of those that choices are worked out for; nil: none weighs less for that
}

// ofPriority is a locality in one priority.
type ofPriority struct {
	priority uint8
	locality config.Locality
}

// countLocalities counts endpoints; nil stands for all.
func countLocalities(all []Member, members []int32) map[ofPriority]int {
	n := map[ofPriority]int{}
	if members == nil {
		for i := range all {
			n[ofPriority{all[i].Priority, all[i].Locality}]++
		}
	}
	for _, i := range members {
		n[ofPriority{all[i].Priority, all[i].Locality}]++
	}
	return n
}

// localityWeight is what the locality of an endpoint weighs, by the part of it that is there.
func (f *factors) localityWeight(m *Member) uint32 {
	if f.whole == nil {
		return m.LocalityWeight
	}
	of := ofPriority{m.Priority, m.Locality}
	return uint32(math.Round(float64(float32(m.LocalityWeight) * float32(f.part[of]) / float32(f.whole[of]))))
}

// level is one priority while it is worked out.
type level struct {
	states  [3][]int32 // members by state
	all     []int32
	counted []int32  // of all, those that count when it is asked which part is well
	bears   [2]uint8 // healthy and degraded: how much of the load, in percent
	load    [2]uint8 // how much it gets
	panic   bool
}

// choices works out who of the members may get requests, as Envoy does. Priorities bear load by their healthy part times the
// overprovisioning factor, and the next one gets what is too much for those before it; degraded endpoints bear what the healthy ones of
// all priorities cannot. If all together cannot bear it, health is not looked at in a priority where too few are healthy.
func (f *factors) choices(all []Member, members []int32) choices {
	c := choices{sole: -1}
	if f.whole != nil {
		f.part = countLocalities(all, members)
	}
	levels := make([]level, 1)
	levels[0].all, levels[0].counted, levels[0].states[healthy] = make([]int32, 0, len(members)), make([]int32, 0, len(members)), make([]int32, 0, len(members))
	for _, i := range members {
		m := &all[i]
		for int(m.Priority) >= len(levels) {
			levels = append(levels, level{})
		}
		l := &levels[m.Priority]
		l.all = append(l.all, i)
		if m.counts() {
			l.counted = append(l.counted, i)
		}
		s := m.state()
		l.states[s] = append(l.states[s], i)
	}
	available := uint64(0)
	for i := range levels {
		l := &levels[i]
		if len(l.counted) == 0 {
			continue
		}
		l.bears[healthy] = f.availability(all, l.states[healthy], l.counted)
		l.bears[degraded] = f.availability(all, l.states[degraded], l.counted)
		available += uint64(l.bears[healthy]) + uint64(l.bears[degraded])
	}
	f.loads(levels, min(available, 100))
	var until uint8
	for s := range []state{healthy, degraded} {
		for i := range levels {
			// Attempts that have been to other priorities may come to one that gets nothing else.
			l := &levels[i]
			if until += l.load[s]; l.load[s] > 0 || len(levels) > 1 && l.bears[s] > 0 {
				c.shares = append(c.shares, f.share(&c, all, l, share{until: until, bears: l.bears[s], priority: uint8(i), degraded: state(s) == degraded, panic: l.panic}))
			}
			if l.load[s] == 100 && c.shares[len(c.shares)-1].localities == nil {
				c.sole, c.panic = c.shares[len(c.shares)-1].group, l.panic
			}
		}
	}
	for i := range c.shares {
		if c.shares[i].localities != nil {
			c.shares[i].place += int32(len(c.groups))
		}
	}
	c.places += len(c.groups)
	return c
}

// availability is how much of a priority's load a part of it can bear, in percent.
func (f *factors) availability(all []Member, part, whole []int32) uint8 {
	n, of := uint64(len(part)), uint64(len(whole))
	if f.weigh {
		n, of = weightOf(all, part), weightOf(all, whole)
	}
	return uint8(min(100, f.overprovisioning*n/of))
}

func weightOf(all []Member, part []int32) (sum uint64) {
	for _, i := range part {
		sum += uint64(all[i].Weight)
	}
	return sum
}

// loads gives each priority its hundredths, by state, and finds out which are in a panic.
func (f *factors) loads(levels []level, available uint64) {
	if available > 0 {
		left := uint64(100)
		var first *uint8 // gets what is left by rounding
		for s := range levels[0].load {
			for i := range levels {
				l := &levels[i]
				if first == nil && l.bears[s] > 0 {
					first = &l.load[s]
				}
				part := min(left, uint64(l.bears[s])*100/available)
				l.load[s] = uint8(part)
				left -= part
			}
		}
		*first += uint8(left)
	}
	threshold := math.Floor(f.cluster.Panic) // whole percents only, as seen of Envoy 1.40
	if available == 0 && threshold == 0 {
		levels[0].load[healthy] = 100 // nobody is there, and nobody is asked
		return
	}
	everywhere := true
	for i := range levels {
		l := &levels[i]
		good := 0.0
		if n := len(l.counted); n > 0 {
			good = 100*float64(len(l.states[healthy]))/float64(n) + 100*float64(len(l.states[degraded]))/float64(n)
		}
		l.panic = available < 100 && good < threshold
		everywhere = everywhere && l.panic
	}
	if everywhere {
		spread(levels)
	}
}

// spread gives priorities their parts by size, when all of them are in a panic.
func spread(levels []level) {
	total, first := 0, 0
	for i := len(levels) - 1; i >= 0; i-- {
		if n := len(levels[i].all); n > 0 {
			total, first = total+n, i
		}
	}
	left := uint8(100)
	for i := range levels {
		l := &levels[i]
		l.load = [2]uint8{}
		if total > 0 {
			l.load[healthy] = uint8(100 * len(l.all) / total)
		}
		left -= l.load[healthy]
	}
	levels[first].load[healthy] += left
}

// share finds the group, or the localities' groups, of a share.
func (f *factors) share(c *choices, all []Member, l *level, s share) share {
	members := l.states[healthy]
	switch {
	case s.panic:
		members = l.all
	case s.degraded && !hashes(f.cluster):
		members = l.states[degraded]
	}
	if f.cluster.ByLocality && !s.panic && !hashes(f.cluster) {
		if s.localities = f.localities(c, all, members, l.all); s.localities != nil {
			s.place = int32(c.places) // counts on behind the groups when all are there
			c.places++
			return s
		}
	}
	s.group = c.add(f.group(all, members))
	return s
}

// hashes tells whether a balancer goes by the request's hash. Like Envoy's, those do not see degraded endpoints.
func hashes(c *config.Cluster) bool {
	return c.Balancer == config.RingHash || c.Balancer == config.Maglev
}

func (c *choices) add(g group) int32 {
	c.groups = append(c.groups, g)
	return int32(len(c.groups) - 1)
}

func (f *factors) group(all []Member, members []int32) group {
	g := group{members: slices.Clip(members)}
	for _, i := range members {
		g.weighted = g.weighted || all[i].Weight != all[members[0]].Weight
	}
	if hashes(f.cluster) {
		g.table = f.table(all, members)
	}
	return g
}

// byLocality cuts members up, localities in their order.
func byLocality(all []Member, members []int32) [][]int32 {
	sorted := slices.Clone(members)
	if inOrder := func(a, b int32) int { return compareLocality(&all[a].Locality, &all[b].Locality) }; !slices.IsSortedFunc(sorted, inOrder) {
		slices.SortStableFunc(sorted, inOrder)
	}
	var out [][]int32
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && all[sorted[n]].Locality == all[sorted[0]].Locality {
			n++
		}
		out = append(out, sorted[:n:n])
		sorted = sorted[n:]
	}
	return out
}

func compareLocality(a, b *config.Locality) int {
	if *a == *b { // most are
		return 0
	}
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
}

// localities are those among which the members are; nil if none of them weighs anything, and then weights are not looked at.
func (f *factors) localities(c *choices, all []Member, members, whole []int32) []locality {
	size := map[config.Locality]int{}
	for n := 0; n < len(whole); { // those of one locality come one after the other
		at, here := &all[whole[n]].Locality, 0
		for ; n < len(whole) && all[whole[n]].Locality == *at; n++ {
			if all[whole[n]].counts() {
				here++
			}
		}
		size[*at] += here
	}
	var out []locality
	for _, part := range byLocality(all, members) {
		m := &all[part[0]]
		bears := min(1, float64(f.overprovisioning)/100*float64(len(part))/float64(size[m.Locality]))
		if weight := float64(f.localityWeight(m)) * bears; weight > 0 {
			out = append(out, locality{c.add(f.group(all, part)), weight})
		}
	}
	return out
}

// pick finds the share that a number is in; nil if there is none.
func (c *choices) pick(number uint64) *share {
	hundredth := uint8(number % 100)
	for i := range c.shares {
		if hundredth < c.shares[i].until {
			return &c.shares[i]
		}
	}
	return nil
}

// pickBeside is pick as if those priorities bore nothing; nil if then nobody did.
func (c *choices) pickBeside(number uint64, tried *Priorities) *share {
	total, left, until := uint64(0), uint64(100), uint64(0)
	for i := range c.shares {
		if s := &c.shares[i]; !tried.Has(s.priority) {
			total += uint64(s.bears)
		}
	}
	total = min(total, 100)
	var first *share
	for i := range c.shares {
		s := &c.shares[i]
		if s.bears == 0 || tried.Has(s.priority) {
			continue
		}
		if first == nil {
			first = s
		}
		part := min(left, uint64(s.bears)*100/total)
		left, until = left-part, until+part
		if number%100 < until {
			return s
		}
	}
	return first
}

// Priorities is a set of priorities.
type Priorities [2]uint64

// Add puts a priority, up to 127, into the set.
func (p *Priorities) Add(priority uint8) { p[priority>>6&1] |= 1 << (priority & 63) }

// Has tells whether a priority is in the set.
func (p *Priorities) Has(priority uint8) bool { return p[priority>>6&1]>>(priority&63)&1 != 0 }
