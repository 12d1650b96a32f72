package decode

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// RateLimits reads the rate limits of a filter. Envoy reads some fields here only, and not in those of routes.
func RateLimits(list []*routev3.RateLimit, path string) ([]config.RateLimit, error) {
	return part(list, path, func(s *session, list []*routev3.RateLimit, p *at) []config.RateLimit {
		out := s.rateLimits(list, p)
		for i, m := range list {
			out[i].Disabled = out[i].Disabled || m.GetApplyOnStreamDone()
			out[i].Hits = s.hits(m.GetHitsAddend(), p.item(i).field("hits_addend"))
		}
		return out
	})
}

// maxHits is Envoy's.
const maxHits = 1_000_000_000

func (s *session) hits(m *routev3.RateLimit_HitsAddend, p *at) *config.Hits {
	if m == nil {
		return nil
	}
	h := &config.Hits{Number: 1, Give: m.GetIsNegativeHits()}
	switch {
	case m.Number != nil && m.Format != "":
		s.problem(p, "has number and format: want one of them")
	case m.Number.GetValue() > maxHits:
		s.problem(p.field("number"), "%d: want at most %d", m.Number.GetValue(), maxHits)
	case m.Number != nil:
		h.Number = int64(m.Number.GetValue())
	case m.Format != "":
		h.Format = s.text(m.Format, accesslog.Options{OmitEmpty: true}, p.field("format"))
	}
	return h
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
	case *routev3.RateLimit_Action_SourceCluster_:
		return config.LimitAction{Kind: config.LimitSourceCluster, Key: "source_cluster"}
	case *routev3.RateLimit_Action_RemoteAddressMatch_:
		m, p := a.RemoteAddressMatch, p.field("remote_address_match")
		c := config.LimitAction{Kind: config.LimitAddressMatch, Key: limitKey(m.GetDescriptorKey(), "remote_address_match"), Value: m.GetDescriptorValue(), Missing: m.GetDefaultValue(),
			Expect: !m.GetAddressMatcher().GetInvertMatch(), Networks: prefixes(s, m.GetAddressMatcher().GetRanges(), p.field("address_matcher").field("ranges"))}
		if strings.Contains(c.Value, "%") {
			c.Format = s.text(c.Value, accesslog.Options{OmitEmpty: true}, p.field("descriptor_value"))
		}
		return c
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
