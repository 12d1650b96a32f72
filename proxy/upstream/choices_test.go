package upstream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

var healths = map[byte]config.Health{'H': config.HealthHealthy, 'U': config.HealthUnhealthy, 'D': config.HealthDegraded}

// leveled are endpoints of priorities, one for each word, and of that health, one for each letter.
func leveled(words string) []Member {
	var list []Member
	for p, word := range strings.Fields(words) {
		for _, letter := range []byte(word) {
			if letter == '-' {
				continue
			}
			m := Member{Endpoint: &Endpoint{Standing: &Standing{}}, Traits: &Traits{Weight: 1, Health: healths[letter], Priority: uint8(p)}}
			if letter == 'N' {
				m.Standing.mark(FailedCheck|SaidUnwell, true) // neither well nor counted
			}
			list = append(list, m)
		}
	}
	return list
}

// told is what shares say: the priority, d if it is the degraded part and ! in a panic, and the hundredths.
func told(c *choices) string {
	var out []string
	last := uint8(0)
	for i := range c.shares {
		s := &c.shares[i]
		if s.until == last {
			continue
		}
		mark := ""
		if s.degraded {
			mark = "d"
		}
		if s.panic {
			mark += "!"
		}
		out = append(out, fmt.Sprintf("%d%s:%d", s.priority, mark, s.until-last))
		last = s.until
	}
	return strings.Join(out, " ")
}

// The rows follow Envoy's arithmetic: parts are whole percents, 1.4 times the healthy part, and what rounding leaves goes to the first.
func TestPriorities(t *testing.T) {
	for _, test := range []struct{ health, want string }{
		{"HHHH HHHH", "0:100"},
		{"HHHHHHHHHHHHHHHHHHUUUUUUU HH", "0:100"}, // 72 %
		{"HHHHHHHUUU HH", "0:98 1:2"},
		{"HHHHHUUUUU HHHHHUUUUU", "0:70 1:30"},
		{"UUUU HHHH", "1:100"},
		{"- HH", "1:100"},
		{"UUUUU DDDDD", "1d:100"},
		{"HHUUUUUU HHHHHHHUUUUU", "0:35 1:65"}, // 35 and 81 %: enough together, so no panic, not even in the first
		{"HHHHUDDDDD UUUU", "0:56 0d:44"},      // 56 and 70 %
		{"HHUUUUUU HHUUUUUU", "0!:50 1!:50"},   // 35 % each: nobody has enough, all panic, by size
		{"HUUUUUUUUU HUUUUUUUUU HUUUUUUUUU", "0!:34 1!:33 2!:33"},
		{"HUUUUUUUUU DDUUU", "0!:67 1!:33"},  // 14 and 56 %, but 10 and 40 % are there
		{"HNNN HH", "0:100"},                 // one of one
		{"HHNNUUUU HH", "0:46 1:54"},         // two of six
		{"NN HH", "1:100"},                   // none of none
		{"HUUUUUUUUU DDDUUU", "0!:17 1d:83"}, // 14 and 70 %: not all panic, so by what they bear
	} {
		e := compiled(leveled(test.health))
		if got := told(&e.choices); got != test.want {
			t.Errorf("%s: %s, want %s", test.health, got, test.want)
		}
	}
}

// An attempt that has been to a priority goes to the others, by what they bear, if they bear anything.
func TestOtherPrioritiesAreTried(t *testing.T) {
	for _, test := range []struct {
		health string
		tried  []uint8
		want   string // the priorities that come up
	}{
		{"HH HH HH", []uint8{0}, "1"},
		{"HH HH HH", []uint8{0, 1}, "2"},
		{"HH HH HH", []uint8{0, 1, 2}, "0"},
		{"HH UU HH", []uint8{0}, "2"},
		{"HH HU DD", []uint8{0}, "12"},
		{"HH", []uint8{0}, "0"},
	} {
		c, e, b, random := &config.Cluster{}, compiled(leveled(test.health)), &Balancer{}, seeded(3)
		var tried Priorities
		for _, p := range test.tried {
			tried.Add(p)
		}
		seen := map[uint8]bool{}
		for range 1000 {
			at, _ := b.Choose(c, e, &e.choices, &ask{random: random, tried: &tried})
			seen[e.All[at].Priority] = true
		}
		got := ""
		for p := range uint8(3) {
			if seen[p] {
				got += fmt.Sprint(p)
			}
		}
		if got != test.want {
			t.Errorf("%s beside %v: %s, want %s", test.health, test.tried, got, test.want)
		}
	}
}

// Localities get their parts by weight and by what their healthy endpoints bear.
func TestLocalities(t *testing.T) {
	for _, test := range []struct {
		zones  string // endpoints by zone, one word each
		weight []uint32
		want   []int // percent by zone
	}{
		{"HH HHHHHH", []uint32{1, 1}, []int{50, 50}},
		{"HH HH", []uint32{3, 1}, []int{75, 25}},
		{"HH HU", []uint32{1, 1}, []int{59, 41}}, // 1 to 0.7
		{"HH HHHHHHHUUU", []uint32{1, 1}, []int{51, 49}},
		{"HH HH", []uint32{1, 0}, []int{100, 0}},
		{"HH HHHHHH", []uint32{0, 0}, []int{25, 75}}, // no weights: endpoints alone count
		{"UU HHHH", []uint32{1, 1}, []int{0, 100}},
	} {
		list := leveled(test.zones)
		for i := range list {
			p := list[i].Priority
			list[i].Priority, list[i].LocalityWeight, list[i].Locality = 0, test.weight[p], config.Locality{Zone: fmt.Sprint(p)}
		}
		for _, balancer := range []config.Balancer{config.RoundRobin, config.Random, config.LeastRequest} {
			c := &config.Cluster{Balancer: balancer, ChoiceCount: 2, ByLocality: true, Panic: 0}
			e, b, random := compile(c, nil, list), &Balancer{}, seeded(5)
			got := make([]int, len(test.want))
			for i, n := range picks(b, c, e, random, 20000) {
				at := int(list[i].Locality.Zone[0] - '0')
				got[at] += n
			}
			for i, want := range test.want {
				if d := got[i]/200 - want; d < -2 || d > 2 {
					t.Errorf("%s by %v, %v: %v of 20,000, want %v %%", test.zones, test.weight, balancer, got, test.want)
					break
				}
			}
		}
	}
}

// A choice allocates nothing, however its endpoints are told apart.
func TestChoosingAmongManyAllocatesNothing(t *testing.T) {
	random := seeded(7)
	list := leveled("HHHUUU HHHUUU HHHDDD")
	for i := range list {
		list[i].Locality, list[i].LocalityWeight, list[i].Weight = config.Locality{Zone: fmt.Sprint(i % 3)}, uint32(i%3+1), uint32(i%2+1)
		list[i].Metadata = config.Metadata{lbMetadata: {"v": fmt.Sprint(i % 4)}}
	}
	hashing := config.Hashing{MinRing: 64, MaxRing: 1024, TableSize: 1009, BalanceFactor: 100}
	for _, c := range []*config.Cluster{
		{Balancer: config.RoundRobin, ByLocality: true},
		{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1, ByLocality: true, SlowStart: &config.SlowStart{Window: 1 << 60, Aggression: 2}},
		{Balancer: config.RingHash, Hashing: hashing},
		{Balancer: config.Maglev, Hashing: hashing},
	} {
		e, b := compile(c, nil, list), &Balancer{}
		tried := Priorities{1}
		do := func() {
			q := ask{random: random, hash: random(), slow: c.SlowStart, active: 1}
			if random()%2 == 0 {
				q.tried = &tried
			}
			b.Choose(c, e, &e.choices, &q)
		}
		for range 1000 {
			do()
		}
		if n := testing.AllocsPerRun(1000, do); n != 0 {
			t.Errorf("%v: %v allocations", c.Balancer, n)
		}
	}
}
