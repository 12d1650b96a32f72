package upstream

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
)

// members are endpoints of those weights, all healthy.
func members(weights ...uint32) []Member {
	list := make([]Member, len(weights))
	for i, w := range weights {
		list[i] = Member{Endpoint: &Endpoint{Standing: &Standing{}}, Traits: &Traits{Weight: w}}
	}
	return list
}

func same(n int) []Member { return members(slices.Repeat([]uint32{1}, n)...) }

func seeded(seed uint64) func() uint64 { return rand.New(rand.NewPCG(seed, 1)).Uint64 }

// compiled is what balancers without a table need.
func compiled(list []Member) *Endpoints { return compile(&config.Cluster{Panic: 50}, nil, list) }

// one is a choice among all.
func (b *Balancer) one(c *config.Cluster, e *Endpoints, random func() uint64) int {
	q := ask{random: random}
	i, _ := b.Choose(c, e, &e.choices, &q)
	return i
}

// picks is how often each endpoint is chosen in so many choices.
func picks(b *Balancer, c *config.Cluster, e *Endpoints, random func() uint64, choices int) []int {
	counts := make([]int, len(e.All))
	for range choices {
		counts[b.one(c, e, random)]++
	}
	return counts
}

func TestRoundRobin(t *testing.T) {
	c := &config.Cluster{Balancer: config.RoundRobin}
	starts := map[int]bool{}
	for seed := range uint64(50) {
		e, b, random := compiled(same(5)), &Balancer{}, seeded(seed)
		first := b.one(c, e, random)
		starts[first] = true
		for i := 1; i < 23; i++ {
			if got := b.one(c, e, random); got != (first+i)%5 {
				t.Fatalf("seed %d: choice %d is %d", seed, i, got)
			}
		}
	}
	if len(starts) != 5 {
		t.Errorf("of 50 rounds some begin at %v only", starts)
	}
}

func TestRoundRobinWrapsAround(t *testing.T) {
	c, e := &config.Cluster{}, compiled(same(4))
	b := &Balancer{of: &e.choices, places: []place{{begun: true, next: math.MaxUint32 - 5}}}
	if counts := picks(b, c, e, seeded(1), 4000); !slices.Equal(counts, []int{1000, 1000, 1000, 1000}) {
		t.Error(counts)
	}
}

// Over as many choices as the weights sum to, each endpoint has exactly its share, wherever the round began, and over and over.
func TestWeights(t *testing.T) {
	for _, weights := range [][]uint32{{1, 2}, {5, 1, 1}, {3, 3, 2}, {1, 10, 100}, {7, 11, 13, 17}, {128, 1}, {1, 1, 1, 1, 2}} {
		sum := 0
		for _, w := range weights {
			sum += int(w)
		}
		for _, balancer := range []config.Balancer{config.RoundRobin, config.LeastRequest} {
			c := &config.Cluster{Balancer: balancer, ActiveBias: 1, ChoiceCount: 2}
			for seed := range uint64(4) {
				e, b, random := compiled(members(weights...)), &Balancer{}, seeded(seed)
				for cycle := range 20 {
					counts := picks(b, c, e, random, sum)
					for i, w := range weights {
						// Shares that are not whole powers of two may fall a choice early or late at a cycle's border.
						if d := counts[i] - int(w); d < -1 || d > 1 {
							t.Fatalf("weights %v, seed %d, cycle %d: %v", weights, seed, cycle, counts)
						}
					}
				}
				counts := picks(b, c, e, random, 100*sum)
				for i, w := range weights {
					if d := counts[i] - 100*int(w); d < -1 || d > 1 {
						t.Fatalf("weights %v, seed %d, 100 cycles: %v", weights, seed, counts)
					}
				}
			}
		}
	}
}

// The choices of a heavy endpoint are spread over the cycle.
func TestWeightsInterleave(t *testing.T) {
	c, e, b, random := &config.Cluster{}, compiled(members(4, 1, 1)), &Balancer{}, seeded(3)
	light := 0
	for range 600 {
		if b.one(c, e, random) == 0 {
			light = 0
		} else if light++; light > 2 {
			t.Fatal("the heavy endpoint waits for three others")
		}
	}
}

func TestLeastRequest(t *testing.T) {
	c := &config.Cluster{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1}
	e, b, random := compiled(same(4)), &Balancer{}, seeded(7)
	e.All[3].Active.Force()
	counts := picks(b, c, e, random, 16000)
	// The busy one is chosen if it is drawn twice: 1/16.
	if counts[3] < 850 || counts[3] > 1150 {
		t.Errorf("busy: %v", counts)
	}
	for _, n := range counts[:3] { // 5/16 each
		if n < 4700 || n > 5300 {
			t.Errorf("idle ones: %v", counts)
		}
	}
	c.ChoiceCount = 20
	if counts := picks(b, c, e, random, 1000); counts[3] != 0 {
		t.Errorf("busy, with twenty drawn: %v", counts)
	}
}

func TestLeastRequestFullScan(t *testing.T) {
	c := &config.Cluster{Balancer: config.LeastRequest, ChoiceCount: 2, FullScan: true}
	e, b, random := compiled(same(5)), &Balancer{}, seeded(9)
	e.All[1].Active.Force()
	e.All[4].Active.Force()
	counts := picks(b, c, e, random, 9000)
	if counts[1]+counts[4] != 0 {
		t.Errorf("one that is not the least busy: %v", counts)
	}
	for _, i := range []int{0, 2, 3} {
		if counts[i] < 2800 || counts[i] > 3200 {
			t.Errorf("those with the least, whose turns should be as many: %v", counts)
		}
	}
}

// A busy endpoint's weight counts for less, and counts again when it is idle, however strong the bias.
func TestActiveBias(t *testing.T) {
	for _, bias := range []float64{1, 2, 300} { // the last would make a weight of 0
		c := &config.Cluster{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: bias}
		e, b, random := compiled(members(2, 1)), &Balancer{}, seeded(11)
		for range 99 {
			e.All[0].Active.Force()
		}
		if counts := picks(b, c, e, random, 3000); counts[0] > 150 {
			t.Errorf("bias %v: busy: %v", bias, counts)
		}
		for range 99 {
			e.All[0].Active.Leave()
		}
		picks(b, c, e, random, 100_000)
		if counts := picks(b, c, e, random, 3000); counts[0] != 2000 {
			t.Errorf("bias %v: idle again: %v", bias, counts)
		}
	}
	c := &config.Cluster{Balancer: config.LeastRequest, ActiveBias: 0}
	e, b := compiled(members(2, 1)), &Balancer{}
	e.All[0].Active.Force()
	if counts := picks(b, c, e, seeded(1), 3000); counts[0] != 2000 {
		t.Errorf("without bias: %v", counts)
	}
}

func TestRandom(t *testing.T) {
	c := &config.Cluster{Balancer: config.Random}
	for _, list := range [][]Member{same(8), members(1, 100, 1, 1, 1, 1, 1, 1)} { // weights do not count
		counts := picks(&Balancer{}, c, compiled(list), seeded(13), 80000)
		for _, n := range counts { // five standard deviations are 470
			if n < 9530 || n > 10470 {
				t.Errorf("%v", counts)
			}
		}
	}
}

// The rows were asked of Envoy 1.40.
func TestWhoGetsRequests(t *testing.T) {
	healths := map[byte]config.Health{'H': config.HealthHealthy, '?': config.HealthUnknown, 'U': config.HealthUnhealthy,
		'D': config.HealthDegraded, 'G': config.HealthDraining, 'T': config.HealthTimeout}
	for _, test := range []struct {
		health string
		panic  float64
		want   string // of whom requests go to
	}{
		{"HH?", 50, "HH?"},
		{"HHHHHUUUUU", 50, "HHHHH"},
		{"HHHHUUUUUU", 50, "HHHHUUUUUU"},
		{"HHHGT", 50, "HHH"},
		{"UUU", 50, "UUU"},
		{"UUU", 0, ""},
		{"HU", 50.6, "H"},
		{"HHHHU", 90, "HHHH"},
		{"HHHHHHHUUU", 80, "HHHHHHHUUU"},
		{"HHHHHHHHHHHHHHHHHHUUUUUUU", 80, "HHHHHHHHHHHHHHHHHH"},
		{"HHHD", 50, "HHH"},
		{"UD", 50, "D"},
		{"UD", 0, "D"},
		{"UUUD", 50, "UUUD"},
		{"", 50, ""},
	} {
		list := same(len(test.health))
		for i := range list {
			list[i].Health = healths[test.health[i]]
		}
		e := compile(&config.Cluster{Panic: test.panic}, nil, list)
		var able []int32
		panic := false
		for _, s := range e.shares {
			able = append(able, e.groups[s.group].members...)
			panic = panic || s.panic
		}
		slices.Sort(able)
		got := ""
		for _, at := range able {
			got += string(test.health[at])
		}
		if got != test.want {
			t.Errorf("%s, panic below %v: requests go to %q, want %q", test.health, test.panic, got, test.want)
		}
		if panics := test.want == test.health && slices.Contains([]byte(test.health), 'U'); panic != panics && test.health != "" {
			t.Errorf("%s, panic below %v: panic %v", test.health, test.panic, panic)
		}
		for _, c := range everyBalancer {
			b, random := &Balancer{}, seeded(1)
			for range 20 {
				if at := b.one(c, e, random); (at < 0) != (test.want == "") || at >= 0 && !slices.Contains(able, int32(at)) {
					t.Errorf("%s: %v chooses %d", test.health, c.Balancer, at)
				}
			}
		}
	}
}

var everyBalancer = []*config.Cluster{
	{Balancer: config.RoundRobin},
	{Balancer: config.Random},
	{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1},
	{Balancer: config.LeastRequest, ChoiceCount: 2, ActiveBias: 1.5},
	{Balancer: config.LeastRequest, ChoiceCount: 2, FullScan: true},
}

// Other endpoints are taken up at once, also fewer ones, and an empty assignment in between.
func TestChangeOfEndpoints(t *testing.T) {
	for _, c := range everyBalancer {
		b, random := &Balancer{}, seeded(17)
		for range 50 {
			for _, list := range [][]Member{same(7), members(1, 5, 9), same(1), nil, members(3, 1), same(2)} {
				e := compiled(list)
				for range 5 {
					if at := b.one(c, e, random); at >= len(list) || at < 0 && list != nil {
						t.Fatalf("%+v: %d of %d", c, at, len(list))
					}
				}
			}
		}
	}
}

func TestChoosingAllocatesNothing(t *testing.T) {
	random := seeded(19)
	for _, c := range everyBalancer {
		for _, e := range []*Endpoints{compiled(same(100)), compiled(members(1, 2, 3, 4, 5))} {
			b := &Balancer{}
			b.one(c, e, random) // makes the schedule
			if n := testing.AllocsPerRun(1000, func() { b.one(c, e, random) }); n != 0 {
				t.Errorf("%+v: %v allocations", c, n)
			}
		}
	}
}

func TestSlowStart(t *testing.T) {
	const second = int64(time.Second)
	for _, test := range []struct {
		config config.SlowStart
		age    int64
		want   float64
	}{
		{config.SlowStart{Window: 10 * time.Second, Aggression: 1, MinWeight: 0.1}, 0, 0.1},
		{config.SlowStart{Window: 10 * time.Second, Aggression: 1, MinWeight: 0.1}, 5 * second, 0.5},
		{config.SlowStart{Window: 10 * time.Second, Aggression: 1, MinWeight: 0.1}, 10 * second, 1},
		{config.SlowStart{Window: 10 * time.Second, Aggression: 2, MinWeight: 0.1}, second * 5 / 2, 0.5},
		{config.SlowStart{Window: 10 * time.Second, Aggression: 0.5, MinWeight: 0}, 5 * second, 0.25},
		{config.SlowStart{Window: time.Second, Aggression: 1, MinWeight: 0}, 0, 0.001}, // never younger than a millisecond
		{config.SlowStart{Window: 1 << 62, Aggression: 0.01, MinWeight: 0}, 0, leastPart},
	} {
		if got := slowStart(&test.config, test.age); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%+v at %d: %v, want %v", test.config, test.age, got, test.want)
		}
	}
	// Of two endpoints of which one is half through, that one gets a third; when it is through, a half.
	list := same(2)
	list[1].Standing.since.Store(100 * second)
	c := &config.Cluster{SlowStart: &config.SlowStart{Window: 20 * time.Second, Aggression: 1}}
	e, b, random := compile(c, nil, list), &Balancer{}, seeded(23)
	for _, test := range []struct {
		now  int64
		want int
	}{{110 * second, 1000}, {121 * second, 1500}} {
		got := 0
		for range 3000 {
			at, _ := b.Choose(c, e, &e.choices, &ask{random: random, now: test.now, slow: c.SlowStart})
			got += at
		}
		if got < test.want-2 || got > test.want+2 {
			t.Errorf("at %d s: %d of 3,000, want %d", test.now/second, got, test.want)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	random := seeded(21)
	for name, list := range map[string][]Member{"equal": same(100), "weighted": members(slices.Repeat([]uint32{1, 2, 3, 4}, 25)...)} {
		for _, c := range everyBalancer {
			e, balancer := compiled(list), &Balancer{}
			b.Run(name+"/"+[...]string{"round robin", "least request", "random"}[c.Balancer], func(b *testing.B) {
				for b.Loop() {
					balancer.one(c, e, random)
				}
			})
		}
	}
}
