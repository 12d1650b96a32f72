package decode

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// The functions below read for HTTP filters what their messages have in common with the rest of a configuration. p is the path within
// the filter's message; an error is of type Problems, and the table has seen the message already.

func part[M, C any](m M, path string, read func(*session, M, *at) C) (C, error) {
	s := (&Decoder{}).session()
	c := read(s, m, (*at)(nil).field(path))
	return c, s.err()
}

// HeaderMatches reads conditions on a request's header.
func HeaderMatches(list []*routev3.HeaderMatcher, path string) ([]config.HeaderMatch, error) {
	return part(list, path, func(s *session, list []*routev3.HeaderMatcher, p *at) []config.HeaderMatch {
		var out []config.HeaderMatch
		for i, m := range list {
			out = append(out, s.headerMatch(m, p.item(i)))
		}
		return out
	})
}

// StringMatches reads conditions on a string.
func StringMatches(list []*matcherv3.StringMatcher, path string) ([]config.StringMatch, error) {
	return part(list, path, func(s *session, list []*matcherv3.StringMatcher, p *at) []config.StringMatch {
		var out []config.StringMatch
		for i, m := range list {
			out = append(out, s.stringMatch(m, p.item(i)))
		}
		return out
	})
}

// HeaderAdditions reads fields to be added.
func HeaderAdditions(list []*corev3.HeaderValueOption, path string) ([]config.HeaderAdd, error) {
	return part(list, path, (*session).additions)
}
