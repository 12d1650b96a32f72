package decode

import (
	"maps"
	"net/netip"
	"slices"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// maxMatcherDepth bounds how deep matchers, and conditions in them, are within one another.
const maxMatcherDepth = 32

// networkInputs are what may be known of a connection, by the message that asks for it.
var networkInputs = map[string]config.MatchKind{
	networkInput + "DestinationIPInput":       config.MatchDestinationIP,
	networkInput + "DestinationPortInput":     config.MatchDestinationPort,
	networkInput + "SourceIPInput":            config.MatchSourceIP,
	networkInput + "SourcePortInput":          config.MatchSourcePort,
	networkInput + "DirectSourceIPInput":      config.MatchDirectSourceIP,
	networkInput + "SourceTypeInput":          config.MatchSourceType,
	networkInput + "ServerNameInput":          config.MatchServerName,
	networkInput + "TransportProtocolInput":   config.MatchTransport,
	networkInput + "ApplicationProtocolInput": config.MatchApplications,
}

const networkInput = "envoy.extensions.matching.common_inputs.network.v3."

// ofConnection is what an input looks at before there is a request.
func ofConnection(o *opened, _ *at) config.MatchInput {
	return config.MatchInput{Of: networkInputs[o.name]}
}

// requestInputs are what may be known of a request when its route is looked for: Envoy takes no others.
var requestInputs = []string{networkInput + "FilterStateInput", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"}

// ofRequest is what an input looks at when a route is looked for.
func (s *session) ofRequest(o *opened, p *at) (in config.MatchInput) {
	switch m := o.message.(type) {
	case *matcherv3.HttpRequestHeaderMatchInput:
		in = config.MatchInput{Of: config.MatchHeader, Name: s.fieldName(m.GetHeaderName(), p.field("header_name"))}
		if p := p.field("header_name"); in.Name == "" {
			s.problem(p, "a name is missing")
		}
	case *networkv3.FilterStateInput:
		in = config.MatchInput{Of: config.MatchState, Name: m.GetKey()}
	}
	return in
}

// matcherReader reads a matcher of one place.
type matcherReader struct {
	*session
	// look says what an input looks at.
	look func(o *opened, p *at) config.MatchInput
	// action gives the number of an action.
	action func(m proto.Message, p *at) int
	depth  int
}

func (r *matcherReader) matcher(m *xdsmatcherv3.Matcher, p *at) *config.Matcher {
	c := &config.Matcher{}
	if r.depth++; r.depth > maxMatcherDepth {
		if r.depth == maxMatcherDepth+1 {
			r.problem(p, "matchers are more than %d deep within one another", maxMatcherDepth)
		}
		r.depth--
		return c
	}
	defer func() { r.depth-- }()
	for i, f := range m.GetMatcherList().GetMatchers() {
		p := p.field("matcher_list").field("matchers").item(i)
		c.Rules = append(c.Rules, config.MatchRule{If: r.predicate(f.GetPredicate(), p.field("predicate")), Then: *r.onMatch(f.GetOnMatch(), p.field("on_match"))})
	}
	if t := m.GetMatcherTree(); t != nil {
		c.Tree = r.tree(t, p.field("matcher_tree"))
	}
	if o := m.GetOnNoMatch(); o != nil {
		c.Otherwise = r.onMatch(o, p.field("on_no_match"))
	}
	return c
}

func (r *matcherReader) onMatch(m *xdsmatcherv3.Matcher_OnMatch, p *at) *config.OnMatch {
	o := &config.OnMatch{Skip: m.GetKeepMatching()}
	switch v := m.GetOnMatch().(type) {
	case *xdsmatcherv3.Matcher_OnMatch_Matcher:
		o.Matcher = r.matcher(v.Matcher, p.field("matcher"))
	case *xdsmatcherv3.Matcher_OnMatch_Action:
		p := p.field("action").field("typed_config")
		if v.Action.GetTypedConfig() == nil {
			r.problem(p, "a configuration is missing")
			break
		}
		a := r.open(v.Action.GetTypedConfig())
		o.Action = r.action(a.message, p.as(a.name))
	}
	return o
}

func (r *matcherReader) input(m *xdscorev3.TypedExtensionConfig, p *at) config.MatchInput {
	if m.GetTypedConfig() == nil {
		r.problem(p.field("typed_config"), "a configuration is missing")
		return config.MatchInput{}
	}
	o := r.open(m.GetTypedConfig())
	return r.look(o, p.field("typed_config").as(o.name))
}

func (r *matcherReader) predicate(m *xdsmatcherv3.Matcher_MatcherList_Predicate, p *at) (c config.MatchPredicate) {
	if r.depth++; r.depth > maxMatcherDepth {
		r.problem(p, "conditions are more than %d deep within one another", maxMatcherDepth)
		r.depth--
		return c
	}
	defer func() { r.depth-- }()
	list := func(l *xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList, p *at) (out []config.MatchPredicate) {
		for i, m := range l.GetPredicate() {
			out = append(out, r.predicate(m, p.field("predicate").item(i)))
		}
		return out
	}
	switch v := m.GetMatchType().(type) {
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_OrMatcher:
		c.Or = list(v.OrMatcher, p.field("or_matcher"))
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_AndMatcher:
		c.And = list(v.AndMatcher, p.field("and_matcher"))
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_NotMatcher:
		not := r.predicate(v.NotMatcher, p.field("not_matcher"))
		c.Not = &not
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_:
		p, m := p.field("single_predicate"), v.SinglePredicate
		c.Input = r.input(m.GetInput(), p.field("input"))
		c.Value = r.stringMatch(envoyString(m.GetValueMatch()), p.field("value_match"))
	}
	return c
}

// envoyString is a condition on a string in Envoy's own message, which says the same.
func envoyString(m *xdsmatcherv3.StringMatcher) *matcherv3.StringMatcher {
	c := &matcherv3.StringMatcher{IgnoreCase: m.GetIgnoreCase()}
	switch v := m.GetMatchPattern().(type) {
	case *xdsmatcherv3.StringMatcher_Exact:
		c.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: v.Exact}
	case *xdsmatcherv3.StringMatcher_Prefix:
		c.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: v.Prefix}
	case *xdsmatcherv3.StringMatcher_Suffix:
		c.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: v.Suffix}
	case *xdsmatcherv3.StringMatcher_Contains:
		c.MatchPattern = &matcherv3.StringMatcher_Contains{Contains: v.Contains}
	case *xdsmatcherv3.StringMatcher_SafeRegex:
		c.MatchPattern = &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: v.SafeRegex.GetRegex()}}
	}
	return c
}

func (r *matcherReader) tree(m *xdsmatcherv3.Matcher_MatcherTree, p *at) *config.MatchTree {
	t := &config.MatchTree{Input: r.input(m.GetInput(), p.field("input"))}
	leaves := func(m *xdsmatcherv3.Matcher_MatcherTree_MatchMap, p *at) map[string]*config.OnMatch {
		out := map[string]*config.OnMatch{}
		for _, key := range slices.Sorted(maps.Keys(m.GetMap())) {
			out[key] = r.onMatch(m.GetMap()[key], p.field("map").key(key))
		}
		return out
	}
	switch v := m.GetTreeType().(type) {
	case *xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap:
		t.Exact = leaves(v.ExactMatchMap, p.field("exact_match_map"))
	case *xdsmatcherv3.Matcher_MatcherTree_PrefixMatchMap:
		t.Prefixes = leaves(v.PrefixMatchMap, p.field("prefix_match_map"))
		for key := range t.Prefixes {
			t.Lengths = longestFirst(t.Lengths, len(key))
		}
	case *xdsmatcherv3.Matcher_MatcherTree_CustomMatch:
		p := p.field("custom_match").field("typed_config")
		if v.CustomMatch.GetTypedConfig() == nil {
			r.problem(p, "a configuration is missing")
			break
		}
		o := r.open(v.CustomMatch.GetTypedConfig())
		if m, ok := o.message.(*xdsmatcherv3.IPMatcher); ok {
			r.ranges(t, m, p.as(o.name))
		}
	}
	return t
}

func (r *matcherReader) ranges(t *config.MatchTree, m *xdsmatcherv3.IPMatcher, p *at) {
	t.Ranges = map[netip.Prefix][]config.MatchRange{}
	for i, m := range m.GetRangeMatchers() {
		p := p.field("range_matchers").item(i)
		to := config.MatchRange{Then: r.onMatch(m.GetOnMatch(), p.field("on_match")), Exclusive: m.GetExclusive()}
		for _, prefix := range prefixes(r.session, m.GetRanges(), p.field("ranges")) {
			t.Ranges[prefix] = append(t.Ranges[prefix], to)
			family := 0
			if prefix.Addr().Is6() {
				family = 1
			}
			t.Bits[family] = longestFirst(t.Bits[family], prefix.Bits())
		}
	}
}

// longestFirst adds a length to a list, once.
func longestFirst(list []int, n int) []int {
	at, ok := slices.BinarySearchFunc(list, n, func(a, b int) int { return b - a })
	if ok {
		return list
	}
	return slices.Insert(list, at, n)
}
