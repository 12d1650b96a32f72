package match

import (
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/config"
)

// known is what is known: texts and addresses, by what is asked.
type known map[config.MatchInput]string

func (k known) Text(i *config.MatchInput) ([]byte, bool) { v, ok := k[*i]; return []byte(v), ok }

func (k known) Addr(i *config.MatchInput) (netip.Addr, bool) {
	a, err := netip.ParseAddr(k[*i])
	return a, err == nil
}

// source is where a connection is from.
var source = config.MatchInput{Of: config.MatchSourceIP}

func act(n int) *config.OnMatch { return &config.OnMatch{Action: n} }

func at(prefix string) netip.Prefix { return netip.MustParsePrefix(prefix) }

func TestFind(t *testing.T) {
	is := func(i config.MatchInput, prefix string) config.MatchPredicate {
		return config.MatchPredicate{Input: i, Value: config.StringMatch{Kind: config.StringPrefix, Value: prefix}}
	}
	name, port := config.MatchInput{Of: config.MatchServerName}, config.MatchInput{Of: config.MatchDestinationPort}
	not := is(name, "")
	nowhere := &config.OnMatch{Matcher: &config.Matcher{}}
	for what, c := range map[string]struct {
		m    config.Matcher
		want int // -1: nowhere
	}{
		"nothing":                     {config.Matcher{}, -1},
		"otherwise":                   {config.Matcher{Otherwise: act(1)}, 1},
		"the first that holds":        {config.Matcher{Rules: []config.MatchRule{{If: is(name, "b"), Then: *act(1)}, {If: is(name, "a"), Then: *act(2)}, {If: is(name, "a"), Then: *act(3)}}}, 2},
		"passed over":                 {config.Matcher{Rules: []config.MatchRule{{If: is(name, "a"), Then: config.OnMatch{Skip: true}}, {If: is(name, "a"), Then: *nowhere}, {If: is(name, "a"), Then: *act(3)}}}, 3},
		"what is not known":           {config.Matcher{Rules: []config.MatchRule{{If: is(port, ""), Then: *act(1)}}}, -1},
		"not what is not known":       {config.Matcher{Rules: []config.MatchRule{{If: config.MatchPredicate{Not: &config.MatchPredicate{Input: port}}, Then: *act(1)}}}, 1},
		"not":                         {config.Matcher{Rules: []config.MatchRule{{If: config.MatchPredicate{Not: &not}, Then: *act(1)}}}, -1},
		"and":                         {config.Matcher{Rules: []config.MatchRule{{If: config.MatchPredicate{And: []config.MatchPredicate{is(name, "a"), is(port, "8")}}, Then: *act(1)}}}, -1},
		"or":                          {config.Matcher{Rules: []config.MatchRule{{If: config.MatchPredicate{Or: []config.MatchPredicate{is(port, "8"), is(name, "a")}}, Then: *act(1)}}}, 1},
		"exact":                       {config.Matcher{Tree: &config.MatchTree{Input: name, Exact: map[string]*config.OnMatch{"abc": act(1), "a": act(2)}}}, 1},
		"exact, but nowhere":          {config.Matcher{Tree: &config.MatchTree{Input: name, Exact: map[string]*config.OnMatch{"abc": nowhere}}, Otherwise: act(7)}, 7},
		"the longest":                 {config.Matcher{Tree: &config.MatchTree{Input: name, Prefixes: map[string]*config.OnMatch{"": act(1), "ab": act(2), "abcd": act(3)}, Lengths: []int{4, 2, 0}}}, 2},
		"a shorter one":               {config.Matcher{Tree: &config.MatchTree{Input: name, Prefixes: map[string]*config.OnMatch{"": act(1), "ab": nowhere}, Lengths: []int{2, 0}}}, 1},
		"a tree of what is not known": {config.Matcher{Tree: &config.MatchTree{Input: port, Prefixes: map[string]*config.OnMatch{"": act(1)}, Lengths: []int{0}}, Otherwise: act(2)}, 2},
		"the narrowest range":         {ranges(map[string][]config.MatchRange{"10.0.0.0/8": {{Then: act(1)}}, "10.1.0.0/16": {{Then: act(2)}, {Then: act(3)}}}), 2},
		"a wider range":               {ranges(map[string][]config.MatchRange{"10.0.0.0/8": {{Then: act(1)}}, "10.1.0.0/16": {{Then: nowhere}}}), 1},
		"no wider range":              {ranges(map[string][]config.MatchRange{"10.0.0.0/8": {{Then: act(1), Exclusive: true}}, "10.1.0.0/16": {{Then: nowhere}}}), -1},
		"an exclusive range":          {ranges(map[string][]config.MatchRange{"10.0.0.0/8": {{Then: act(1), Exclusive: true}}}), 1},
		"a range of another family":   {config.Matcher{Tree: &config.MatchTree{Input: source, Ranges: map[netip.Prefix][]config.MatchRange{at("::/0"): {{Then: act(1)}}}, Bits: [2][]int{nil, {0}}}}, -1},
	} {
		got, ok := Find(&c.m, known{name: "abc", source: "10.1.2.3"})
		if !ok {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}

func ranges(list map[string][]config.MatchRange) config.Matcher {
	t := &config.MatchTree{Input: source, Ranges: map[netip.Prefix][]config.MatchRange{}, Bits: [2][]int{{16, 8}}}
	for p, r := range list {
		t.Ranges[at(p)] = r
	}
	return config.Matcher{Tree: t}
}
