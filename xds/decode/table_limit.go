package decode

const formatted = "Envoy reads it with a feature flag only, for values with %operators%"

// limitTable holds what routes and rate limiting filters make descriptors of.
var limitTable = table{
	"envoy.config.route.v3.RateLimit": {
		"stage":                run,
		"disable_key":          run,
		"actions":              run,
		"limit":                harmless("it is for whoever counts elsewhere: Envoy's local limit does not read it either"),
		"hits_addend":          run,
		"apply_on_stream_done": run,
		"x_ratelimit_option":   oneOf().and(harmless("what the filter says holds"), "UNSPECIFIED").and(later("the filter says that for all"), "OFF", "DRAFT_VERSION_03"),
	},
	"envoy.config.route.v3.RateLimit.Action": {
		"source_cluster":              run,
		"destination_cluster":         run,
		"request_headers":             run,
		"query_parameters":            run,
		"remote_address":              run,
		"generic_key":                 run,
		"header_value_match":          run,
		"dynamic_metadata":            run,
		"metadata":                    run,
		"extension":                   later("use the other actions"),
		"masked_remote_address":       run,
		"query_parameter_value_match": run,
		"remote_address_match":        run,
	},
	"envoy.config.route.v3.RateLimit.HitsAddend": {
		"number":           run,
		"format":           run,
		"is_negative_hits": run,
	},
	"envoy.config.route.v3.RateLimit.Action.SourceCluster": {},
	"envoy.config.route.v3.RateLimit.Action.RemoteAddressMatch": {
		"descriptor_value": run,
		"descriptor_key":   run,
		"default_value":    run,
		"address_matcher":  run,
	},
	"envoy.type.matcher.v3.AddressMatcher": {
		"ranges":       run,
		"invert_match": run,
	},
	"envoy.config.route.v3.RateLimit.Action.DestinationCluster": {},
	"envoy.config.route.v3.RateLimit.Action.RemoteAddress":      {},
	"envoy.config.route.v3.RateLimit.Action.RequestHeaders": {
		"header_name":    run,
		"descriptor_key": run,
		"skip_if_absent": run,
	},
	"envoy.config.route.v3.RateLimit.Action.QueryParameters": {
		"query_parameter_name": run,
		"descriptor_key":       run,
		"skip_if_absent":       run,
	},
	"envoy.config.route.v3.RateLimit.Action.GenericKey": {
		"descriptor_value": run,
		"default_value":    harmless(formatted),
		"descriptor_key":   run,
	},
	"envoy.config.route.v3.RateLimit.Action.HeaderValueMatch": {
		"descriptor_value": run,
		"default_value":    harmless(formatted),
		"descriptor_key":   run,
		"expect_match":     run,
		"headers":          run,
	},
	"envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch": {
		"descriptor_value": run,
		"default_value":    harmless(formatted),
		"descriptor_key":   run,
		"expect_match":     run,
		"query_parameters": run,
	},
	"envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress": {
		"v4_prefix_mask_len": run,
		"v6_prefix_mask_len": run,
	},
	"envoy.config.route.v3.RateLimit.Action.DynamicMetaData": {
		"descriptor_key": run,
		"metadata_key":   run,
		"default_value":  run,
	},
	"envoy.config.route.v3.RateLimit.Action.MetaData": {
		"descriptor_key": run,
		"metadata_key":   run,
		"default_value":  run,
		"source":         oneOf("DYNAMIC").and(later("nothing reads the metadata of routes and clusters"), "ROUTE_ENTRY", "CLUSTER_ENTRY", "CLUSTER_LOCALITY_ENTRY"),
		"skip_if_absent": run,
	},
	"envoy.type.metadata.v3.MetadataKey": {
		"key":  run,
		"path": run,
	},
	"envoy.type.metadata.v3.MetadataKey.PathSegment": {
		"key":   run,
		"index": never("Envoy knows keys only, too"),
	},
}
