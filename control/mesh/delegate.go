package mesh

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

// mergeRoute is a route of a delegate for the requests that the root's route leaves to it: both match, and what the delegate does not say the
// root does. nil: no request can match both.
func mergeRoute(root, leaf *networking.HTTPRoute) *networking.HTTPRoute {
	matches, ok := mergeMatches(root.GetMatch(), leaf.GetMatch())
	if !ok {
		return nil
	}
	r := proto.Clone(leaf).(*networking.HTTPRoute)
	r.Match, r.Name = matches, joinNames(root.GetName(), leaf.GetName())
	if r.Rewrite == nil {
		r.Rewrite = root.Rewrite
	}
	if r.DirectResponse == nil {
		r.DirectResponse = root.DirectResponse
	}
	if r.Timeout == nil {
		r.Timeout = root.Timeout
	}
	if r.Retries == nil {
		r.Retries = root.Retries
	}
	if r.Fault == nil {
		r.Fault = root.Fault
	}
	if r.Mirror == nil {
		r.Mirror = root.Mirror
	}
	if r.MirrorPercent == nil {
		r.MirrorPercent = root.MirrorPercent
	}
	if r.MirrorPercentage == nil {
		r.MirrorPercentage = root.MirrorPercentage
	}
	if r.CorsPolicy == nil {
		r.CorsPolicy = root.CorsPolicy
	}
	if r.Mirrors == nil {
		r.Mirrors = root.Mirrors
	}
	if r.Headers == nil {
		r.Headers = root.Headers
	}
	return r
}

func joinNames(root, leaf string) string {
	if root == "" || leaf == "" {
		return root + leaf
	}
	return root + "-" + leaf
}

// mergeMatches pairs the matches of a root with those of a delegate. Each of the delegate's must be within one of the root's.
func mergeMatches(root, leaf []*networking.HTTPMatchRequest) (merged []*networking.HTTPMatchRequest, ok bool) {
	switch {
	case len(root) == 0:
		return leaf, true
	case len(leaf) == 0:
		return root, true
	}
	for _, l := range leaf {
		before := len(merged)
		for _, r := range root {
			if within(r, l) {
				merged = append(merged, mergeMatch(r, l))
			}
		}
		if len(merged) == before {
			return nil, false
		}
	}
	return merged, true
}

func mergeMatch(root, leaf *networking.HTTPMatchRequest) *networking.HTTPMatchRequest {
	m := proto.Clone(leaf).(*networking.HTTPMatchRequest)
	m.Name = joinNames(root.GetName(), leaf.GetName())
	if m.Uri == nil {
		m.Uri = root.Uri
	}
	if m.Scheme == nil {
		m.Scheme = root.Scheme
	}
	if m.Method == nil {
		m.Method = root.Method
	}
	if m.Authority == nil {
		m.Authority = root.Authority
	}
	m.Headers = mergeMaps(root.Headers, leaf.Headers)
	m.WithoutHeaders = mergeMaps(root.WithoutHeaders, leaf.WithoutHeaders)
	m.QueryParams = mergeMaps(root.QueryParams, leaf.QueryParams)
	m.SourceLabels = mergeMaps(root.SourceLabels, leaf.SourceLabels)
	if m.Port == 0 {
		m.Port = root.Port
	}
	m.SourceNamespace, m.StatPrefix = or(m.SourceNamespace, root.SourceNamespace), or(m.StatPrefix, root.StatPrefix)
	if len(m.Gateways) == 0 {
		m.Gateways = root.Gateways
	}
	return m
}

func mergeMaps[V any](root, leaf map[string]V) map[string]V {
	if len(root) == 0 {
		return leaf
	}
	merged := maps.Clone(root)
	maps.Copy(merged, leaf)
	return merged
}

// within tells whether a delegate's match asks for nothing that the root's has not left to it.
func within(root, leaf *networking.HTTPMatchRequest) bool {
	for _, pair := range [][2]*networking.StringMatch{{root.Uri, leaf.Uri}, {root.Scheme, leaf.Scheme}, {root.Method, leaf.Method}, {root.Authority, leaf.Authority}} {
		if !narrower(pair[0], pair[1]) {
			return false
		}
	}
	for _, pair := range [][2]map[string]*networking.StringMatch{{root.Headers, leaf.Headers}, {root.WithoutHeaders, leaf.WithoutHeaders}, {root.QueryParams, leaf.QueryParams}} {
		for name, l := range pair[1] {
			if !narrower(pair[0][name], l) {
				return false
			}
		}
	}
	for name, l := range leaf.SourceLabels {
		if r, ok := root.SourceLabels[name]; ok && r != l {
			return false
		}
	}
	if len(root.Gateways) > 0 {
		for _, g := range leaf.Gateways {
			if !slices.Contains(root.Gateways, g) {
				return false
			}
		}
	}
	return root.IgnoreUriCase == leaf.IgnoreUriCase && (root.Port == 0 || leaf.Port == 0 || root.Port == leaf.Port) &&
		(root.SourceNamespace == "" || root.SourceNamespace == leaf.SourceNamespace)
}

// narrower tells whether what a delegate asks of a string is a part of what the root does. Of expressions nobody can tell.
func narrower(root, leaf *networking.StringMatch) bool {
	if root == nil || leaf == nil {
		return true
	}
	switch r := root.MatchType.(type) {
	case *networking.StringMatch_Exact:
		l, ok := leaf.MatchType.(*networking.StringMatch_Exact)
		return ok && l.Exact == r.Exact
	case *networking.StringMatch_Prefix:
		switch l := leaf.MatchType.(type) {
		case *networking.StringMatch_Exact:
			return strings.HasPrefix(l.Exact, r.Prefix)
		case *networking.StringMatch_Prefix:
			return strings.HasPrefix(l.Prefix, r.Prefix)
		}
	}
	return false
}
