package upstream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

// versions are endpoints by what is said of them: "v=1 s=a" for one of version 1 in stage a. A comma makes a list.
func versions(said ...string) []Member {
	list := same(len(said))
	for i, words := range said {
		about := map[string]any{}
		for _, word := range strings.Fields(words) {
			k, v, _ := strings.Cut(word, "=")
			if a, b, ok := strings.Cut(v, ","); ok {
				about[k] = []any{a, b}
			} else {
				about[k] = v
			}
		}
		list[i].Metadata = config.Metadata{lbMetadata: about}
	}
	return list
}

// asked is what a route asks for, in the same words, keys in order.
func asked(words string) *config.Subset {
	if words == "" {
		return nil
	}
	s := &config.Subset{}
	for _, word := range strings.Fields(words) {
		k, v, _ := strings.Cut(word, "=")
		s.Keys, s.Values = append(s.Keys, k), append(s.Values, subsetValue(v))
	}
	s.Of = subsetOf(s.Keys, s.Values)
	return s
}

func TestSubsets(t *testing.T) {
	list := versions("s=a v=1", "s=a v=2", "s=b v=1", "s=b v=2,3", "")
	for _, test := range []struct {
		name   string
		config config.Subsets
		asks   string
		want   string // the endpoints
	}{
		{"two keys", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"s", "v"}}}}, "s=a v=2", "1"},
		{"one key", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}}, "v=1", "02"},
		{"fewer keys than the selector", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"s", "v"}}}}, "v=1", ""},
		{"more keys than the selector", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}}, "s=a v=1", ""},
		{"more keys than the selector, which may be", config.Subsets{Redundant: true, Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}}, "s=a v=1", "02"},
		{"the most keys of which none is too many", config.Subsets{Redundant: true, Selectors: []config.SubsetSelector{{Keys: []string{"s", "v", "x"}}, {Keys: []string{"s", "v"}}, {Keys: []string{"v"}}}}, "s=a v=1 z=1", "0"},
		{"keys of no selector", config.Subsets{Redundant: true, Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}}, "s=a", ""},
		{"the fallback of fewer keys", config.Subsets{Redundant: true, Selectors: []config.SubsetSelector{{Keys: []string{"s", "v"}, Fallback: config.FallbackNone}}, Fallback: config.FallbackAny}, "s=z v=9 z=1", ""},
		{"nobody has the value", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: config.FallbackNone}, "v=9", ""},
		{"any instead", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: config.FallbackAny}, "v=9", "01234"},
		{"nothing is asked for", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: config.FallbackAny}, "", "01234"},
		{"nothing is asked for and nothing is fallen back to", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: config.FallbackNone}, "", ""},
		{"the default", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, Fallback: config.FallbackDefault, Default: *asked("s=b")}, "v=9", "23"},
		{"a list is one value", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}}, "v=3", ""},
		{"a list is many values", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}}, ListAsAny: true}, "v=2", "13"},
		{"a list in the default", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"s"}}}, Fallback: config.FallbackDefault, Default: *asked("v=3"), ListAsAny: true}, "", "3"},
		{"one endpoint for all", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}, SingleHost: true}}}, "v=1", "0"},
		{"the selector's fallback", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}, Fallback: config.FallbackNone}}, Fallback: config.FallbackAny}, "v=9", ""},
		{"another selector's fallback", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"s"}, Fallback: config.FallbackNone}}, Fallback: config.FallbackAny}, "v=9", "01234"},
		{"fewer keys", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}, {Keys: []string{"s", "v"}, Fallback: config.FallbackKeys, FallbackKeys: []string{"v"}}}}, "s=z v=1", "02"},
		{"fewer keys and then their fallback", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}, Fallback: config.FallbackDefault},
			{Keys: []string{"s", "v"}, Fallback: config.FallbackKeys, FallbackKeys: []string{"v"}}}, Default: *asked("s=a")}, "s=z v=9", "01"},
		{"fewer keys and then the cluster's fallback", config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"s", "v"}, Fallback: config.FallbackKeys, FallbackKeys: []string{"v"}}},
			Fallback: config.FallbackAny}, "s=z v=9", "01234"},
	} {
		c := &config.Cluster{Balancer: config.Random, Panic: 50, Subsets: &test.config}
		e := compile(c, nil, list)
		from, _ := e.subsets.find(asked(test.asks), &e.choices)
		got := ""
		if from != nil {
			b, random := &Balancer{}, seeded(1)
			counts := make([]int, len(list))
			for range 500 {
				at, _ := b.Choose(c, e, from, &ask{random: random})
				counts[at]++
			}
			for i, n := range counts {
				if n > 0 {
					got += fmt.Sprint(i)
				}
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Lists that multiply into a million subsets make a thousand.
func TestSubsetsAreBounded(t *testing.T) {
	var list []any
	for i := range 100 {
		list = append(list, fmt.Sprint(i))
	}
	all := same(2)
	all[0].Metadata = config.Metadata{lbMetadata: {"a": list, "b": list, "c": list}}
	all[1].Metadata = config.Metadata{lbMetadata: {"a": "z", "b": "z", "c": "z"}}
	c := &config.Cluster{Subsets: &config.Subsets{ListAsAny: true, Selectors: []config.SubsetSelector{{Keys: []string{"a", "b", "c"}}}}}
	e := compile(c, nil, all)
	if len(e.subsets.of) != maxCombinations+1 || e.subsets.cut != 1 {
		t.Errorf("%d subsets, %d endpoints cut", len(e.subsets.of), e.subsets.cut)
	}
	if from, _ := e.subsets.find(asked("a=z b=z c=z"), &e.choices); from == nil {
		t.Error("another endpoint has lost its subset")
	}
}

// A locality weighs, where that is asked for, by the part of it that is in the subset, rounded.
func TestLocalitiesOfSubsetsAreScaled(t *testing.T) {
	all := versions("s=a", "s=a", "s=b", "s=b", "s=b")
	for i, zone := range []string{"x", "y", "y", "y", "y"} {
		all[i].Locality.Zone, all[i].LocalityWeight = zone, map[string]uint32{"x": 3, "y": 10}[zone]
	}
	for scaled, want := range map[bool]float64{false: 10, true: 3} { // 10 / 4, and half of one up
		c := &config.Cluster{Balancer: config.RoundRobin, ByLocality: true, Subsets: &config.Subsets{ScaleLocalities: scaled, Selectors: []config.SubsetSelector{{Keys: []string{"s"}}}}}
		e := compile(c, nil, all)
		from, _ := e.subsets.find(asked("s=a"), &e.choices)
		if l := from.shares[0].localities; len(l) != 2 || l[0].weight != 3 || l[1].weight != want {
			t.Errorf("scaled %t: %+v", scaled, l)
		}
	}
}

// To fall back to fewer keys makes no garbage.
func TestFindingASubsetAllocatesNothing(t *testing.T) {
	c := &config.Cluster{Subsets: &config.Subsets{Selectors: []config.SubsetSelector{{Keys: []string{"v"}}, {Keys: []string{"s", "v"}, Fallback: config.FallbackKeys, FallbackKeys: []string{"v"}}}}}
	e, w := compile(c, nil, versions("s=a v=1", "s=b v=2")), asked("s=z v=2")
	if n := testing.AllocsPerRun(100, func() { e.subsets.find(w, &e.choices) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	c.Subsets.Redundant = true
	e, w = compile(c, nil, versions("s=a v=1", "s=b v=2")), asked("s=z v=2 x=1")
	if n := testing.AllocsPerRun(100, func() { e.subsets.find(w, &e.choices) }); n != 0 {
		t.Errorf("%v allocations where more keys are asked for", n)
	}
}
