package decode

import (
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/weftmesh/weft/config"
)

// clusterPolicies reads what a cluster says instead of routes; nil if it says nothing. The clusters that it copies requests to need not be
// there, with Envoy.
func (s *session) clusterPolicies(m *upstreamsv3.HttpProtocolOptions, p *at) *config.ClusterPolicies {
	c := &config.ClusterPolicies{
		Retry:        s.retry(m.GetRetryPolicy(), p.field("retry_policy")),
		HashPolicies: s.hashPolicies(m.GetHashPolicy(), p.field("hash_policy")),
		Mirrors:      s.mirrors(m.GetRequestMirrorPolicies(), tableRules{}, p),
	}
	if e := m.GetOutlierDetection().GetErrorMatcher(); e != nil {
		errors := s.answerMatch(e, p.field("outlier_detection").field("error_matcher"))
		c.Errors = &errors
	}
	if c.Retry == nil && len(c.HashPolicies) == 0 && len(c.Mirrors) == 0 && c.Errors == nil {
		return nil
	}
	return c
}

func (s *session) answerMatch(m *matcherv3.MatchPredicate, p *at) config.AnswerMatch {
	all := func(kind config.AnswerMatchKind, set *matcherv3.MatchPredicate_MatchSet, p *at) config.AnswerMatch {
		c := config.AnswerMatch{Kind: kind}
		for i, r := range set.GetRules() {
			c.Of = append(c.Of, s.answerMatch(r, p.field("rules").item(i)))
		}
		return c
	}
	switch r := m.GetRule().(type) {
	case *matcherv3.MatchPredicate_OrMatch:
		return all(config.AnswerEither, r.OrMatch, p.field("or_match"))
	case *matcherv3.MatchPredicate_AndMatch:
		return all(config.AnswerAll, r.AndMatch, p.field("and_match"))
	case *matcherv3.MatchPredicate_NotMatch:
		return config.AnswerMatch{Kind: config.AnswerNot, Of: []config.AnswerMatch{s.answerMatch(r.NotMatch, p.field("not_match"))}}
	case *matcherv3.MatchPredicate_HttpResponseHeadersMatch:
		c := config.AnswerMatch{Kind: config.AnswerHeaders}
		for i, h := range r.HttpResponseHeadersMatch.GetHeaders() {
			c.Headers = append(c.Headers, s.headerMatch(h, p.field("http_response_headers_match").field("headers").item(i)))
		}
		return c
	}
	return config.AnswerMatch{} // any
}
