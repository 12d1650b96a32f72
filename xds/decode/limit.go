package decode

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"

	"github.com/weftmesh/weft/config"
)

// RateLimits reads the rate limits of a filter.
func RateLimits(list []*routev3.RateLimit, path string) ([]config.RateLimit, error) {
	return part(list, path, (*session).rateLimits)
}

func (s *session) rateLimits(list []*routev3.RateLimit, p *at) []config.RateLimit {
	var out []config.RateLimit
	for i, m := range list {
		p := p.item(i).field("actions")
		l := config.RateLimit{Stage: u32(m.GetStage(), 0), Disabled: m.GetDisableKey() != ""}
		for i, a := range m.GetActions() {
			l.Actions = append(l.Actions, s.limitAction(a, p.item(i)))
		}
		out = append(out, l)
	}
	return out
}

// limitKey is the key of an entry: the one that is said, or Envoy's.
func limitKey(said, otherwise string) string {
	if said != "" {
		return said
	}
	return otherwise
}

func (s *session) limitAction(m *routev3.RateLimit_Action, p *at) config.LimitAction {
	switch a := m.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_GenericKey_:
		return config.LimitAction{Kind: config.LimitGenericKey, Key: limitKey(a.GenericKey.GetDescriptorKey(), "generic_key"), Value: a.GenericKey.GetDescriptorValue()}
	case *routev3.RateLimit_Action_DestinationCluster_:
		return config.LimitAction{Kind: config.LimitDestinationCluster, Key: "destination_cluster"}
	case *routev3.RateLimit_Action_RequestHeaders_:
		return config.LimitAction{Kind: config.LimitHeader, Key: a.RequestHeaders.GetDescriptorKey(), Name: strings.ToLower(a.RequestHeaders.GetHeaderName()), Optional: a.RequestHeaders.GetSkipIfAbsent()}
	case *routev3.RateLimit_Action_QueryParameters_:
		return config.LimitAction{Kind: config.LimitQuery, Key: a.QueryParameters.GetDescriptorKey(), Name: a.QueryParameters.GetQueryParameterName(), Optional: a.QueryParameters.GetSkipIfAbsent()}
	case *routev3.RateLimit_Action_RemoteAddress_:
		return config.LimitAction{Kind: config.LimitAddress, Key: "remote_address"}
	case *routev3.RateLimit_Action_MaskedRemoteAddress_:
		return config.LimitAction{Kind: config.LimitMaskedAddress, Key: "masked_remote_address",
			Bits4: uint8(min(u32(a.MaskedRemoteAddress.GetV4PrefixMaskLen(), 32), 32)), Bits6: uint8(min(u32(a.MaskedRemoteAddress.GetV6PrefixMaskLen(), 128), 128))}
	case *routev3.RateLimit_Action_HeaderValueMatch_:
		c := config.LimitAction{Kind: config.LimitHeaderMatch, Key: limitKey(a.HeaderValueMatch.GetDescriptorKey(), "header_match"),
			Value: a.HeaderValueMatch.GetDescriptorValue(), Expect: isTrue(a.HeaderValueMatch.GetExpectMatch(), true)}
		for i, h := range a.HeaderValueMatch.GetHeaders() {
			c.Headers = append(c.Headers, s.headerMatch(h, p.field("header_value_match").field("headers").item(i)))
		}
		return c
	case *routev3.RateLimit_Action_QueryParameterValueMatch_:
		c := config.LimitAction{Kind: config.LimitQueryMatch, Key: limitKey(a.QueryParameterValueMatch.GetDescriptorKey(), "query_match"),
			Value: a.QueryParameterValueMatch.GetDescriptorValue(), Expect: isTrue(a.QueryParameterValueMatch.GetExpectMatch(), true)}
		for i, q := range a.QueryParameterValueMatch.GetQueryParameters() {
			c.Query = append(c.Query, s.queryMatch(q, p.field("query_parameter_value_match").field("query_parameters").item(i)))
		}
		return c
	case *routev3.RateLimit_Action_DynamicMetadata:
		return config.LimitAction{Kind: config.LimitMetadata, Key: a.DynamicMetadata.GetDescriptorKey(), Path: s.metadataPath(a.DynamicMetadata.GetMetadataKey(), p.field("dynamic_metadata").field("metadata_key")),
			Missing: a.DynamicMetadata.GetDefaultValue()}
	case *routev3.RateLimit_Action_Metadata:
		return config.LimitAction{Kind: config.LimitMetadata, Key: a.Metadata.GetDescriptorKey(), Path: s.metadataPath(a.Metadata.GetMetadataKey(), p.field("metadata").field("metadata_key")),
			Missing: a.Metadata.GetDefaultValue(), Optional: a.Metadata.GetSkipIfAbsent()}
	}
	return config.LimitAction{} // refused by the table
}

func (s *session) metadataPath(m *metadatav3.MetadataKey, p *at) []string {
	path := []string{m.GetKey()}
	for i, step := range m.GetPath() {
		if step.GetKey() == "" {
			s.problem(p.field("path").item(i).field("key"), "a key is missing")
		}
		path = append(path, step.GetKey())
	}
	return path
}
