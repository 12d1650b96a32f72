package decode

// noRuntime is why a key need not be asked for: /runtime and the log tell who sets it that nothing does.
const noRuntime = "nothing asks for the key, and whoever sets it is told"

// filterMessages are the messages of HTTP filters, by where they stand.
var filterMessages = map[place][]string{
	inChain: {
		"io.istio.http.peer_metadata.Config",
		"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
		"stats.PluginConfig",
		"envoy.extensions.filters.http.buffer.v3.Buffer",
		"envoy.extensions.filters.http.compressor.v3.Compressor",
		"envoy.extensions.filters.http.cors.v3.Cors",
		"envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
		"envoy.extensions.filters.http.decompressor.v3.Decompressor",
		"envoy.extensions.filters.http.fault.v3.HTTPFault",
		"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
		"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
		"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
		"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
		"envoy.extensions.filters.http.header_to_metadata.v3.Config",
		"envoy.extensions.filters.http.health_check.v3.HealthCheck",
		"envoy.extensions.filters.http.on_demand.v3.OnDemand",
		"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
		"envoy.extensions.filters.http.rbac.v3.RBAC",
		"envoy.extensions.filters.http.set_filter_state.v3.Config",
		"weft.dubbo.v1.HTTP",
	},
	inRoute: {
		"envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
		"envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
		"envoy.extensions.filters.http.cors.v3.CorsPolicy",
		"envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
		"envoy.extensions.filters.http.fault.v3.HTTPFault",
		"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
		"envoy.extensions.filters.http.header_to_metadata.v3.Config",
		"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
		"envoy.extensions.filters.http.on_demand.v3.PerRouteConfig",
		"envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
		"envoy.extensions.filters.http.set_filter_state.v3.Config",
		"weft.dubbo.v1.HTTP",
	},
}

// filterTable holds what HTTP filters read.
var filterTable = table{
	"weft.dubbo.v1.HTTP":          {"services": run},
	"weft.dubbo.v1.HTTPService":   {"interface": run, "version": run, "group": run, "methods": run},
	"weft.dubbo.v1.HTTPMethod":    {"name": run, "path": run, "http_methods": run, "parameters": run, "attach": run},
	"weft.dubbo.v1.HTTPParameter": {"type": run, "query": run, "header": run, "segment": run, "field": run, "body": run},
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": {
		"alpn_override": run,
	},
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.AlpnOverride": {
		"upstream_protocol": oneOf("HTTP10", "HTTP11", "HTTP2"),
		"alpn_override":     run,
	},
	"io.istio.http.peer_metadata.Config": {
		"downstream_discovery":   run,
		"upstream_discovery":     run,
		"downstream_propagation": run,
		"upstream_propagation":   run,
		"shared_with_upstream":   harmless("it is about metadata for internal upstream connections, which there are none of"),
		"additional_labels":      run,
	},
	"io.istio.http.peer_metadata.Config.DiscoveryMethod": {
		"baggage":               later("comes with ambient"),
		"workload_discovery":    harmless(asksForWorkloads),
		"istio_headers":         run,
		"upstream_filter_state": later("comes with ambient"),
	},
	"io.istio.http.peer_metadata.Config.PropagationMethod": {
		"istio_headers": run,
		"baggage":       later("comes with ambient"),
	},
	"io.istio.http.peer_metadata.Config.IstioHeaders": {
		"skip_external_clusters": run,
	},
	"stats.PluginConfig": {
		"disable_host_header_fallback": harmless(countsLater),
		"tcp_reporting_duration":       harmless(countsLater),
		"metrics":                      harmless(countsLater),
		"definitions":                  harmless(countsLater),
		"reporter":                     harmless(countsLater),
		"rotation_interval":            harmless(countsLater),
		"graceful_deletion_interval":   harmless(countsLater),
	},
	"envoy.extensions.filters.http.buffer.v3.Buffer": {
		"max_request_bytes": run,
	},
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute": {
		"disabled": run,
		"buffer":   run,
	},
	"envoy.extensions.filters.http.cors.v3.Cors": {},
	"envoy.extensions.filters.http.cors.v3.CorsPolicy": {
		"allow_origin_string_match":       run,
		"allow_methods":                   run,
		"allow_headers":                   run,
		"expose_headers":                  run,
		"max_age":                         run,
		"allow_credentials":               run,
		"filter_enabled":                  run,
		"shadow_enabled":                  run,
		"allow_private_network_access":    run,
		"forward_not_matching_preflights": run,
	},
	"envoy.extensions.filters.http.on_demand.v3.OnDemand": {
		"odcds": run,
	},
	"envoy.extensions.filters.http.on_demand.v3.PerRouteConfig": {
		"odcds": run,
	},
	"envoy.extensions.filters.http.on_demand.v3.OnDemandCds": {
		"source":            run,
		"resources_locator": later("comes with xdstp names"),
		"timeout":           run,
	},
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy": {
		"filter_enabled":     run,
		"shadow_enabled":     run,
		"additional_origins": run,
	},
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb": {},
	"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config": {
		"upgrade_protobuf_to_grpc": run,
		"ignore_query_parameters":  run,
	},
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": {
		"emit_filter_state":                 run,
		"individual_method_stats_allowlist": run,
		"stats_for_all_methods":             run,
		"enable_upstream_stats":             run,
		"replace_dots_in_grpc_service_name": run,
	},
	"envoy.config.core.v3.GrpcMethodList": {
		"services": run,
	},
	"envoy.config.core.v3.GrpcMethodList.Service": {
		"name":         run,
		"method_names": run,
	},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": {
		"mutations":                           run,
		"most_specific_header_mutations_wins": run,
	},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": {
		"mutations": run,
	},
	"envoy.extensions.filters.http.header_mutation.v3.Mutations": {
		"request_mutations":           run,
		"query_parameter_mutations":   run,
		"response_mutations":          run,
		"response_trailers_mutations": run,
		"request_trailers_mutations":  run,
		"formatters":                  later("operators are the built-in ones"),
	},
	"envoy.config.common.mutation_rules.v3.HeaderMutation": {
		"remove":          run,
		"append":          run,
		"remove_on_match": run,
	},
	"envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch": {
		"key_matcher": run,
	},
	"envoy.config.core.v3.KeyValueMutation": {
		"append": run,
		"remove": run,
	},
	"envoy.config.core.v3.KeyValueAppend": {
		"record": run,
		"entry":  never("use record"),
		"action": oneOf("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"),
	},
	"envoy.config.core.v3.KeyValuePair": {
		"key":   run,
		"value": run,
	},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config": {
		"request_rules":  run,
		"response_rules": run,
		"stat_prefix":    later("what is noted is not counted"),
	},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule": {
		"header":            run,
		"cookie":            run,
		"on_header_present": run,
		"on_header_missing": run,
		"remove":            run,
	},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair": {
		"metadata_namespace":  run,
		"key":                 run,
		"value":               run,
		"regex_value_rewrite": run,
		"type":                oneOf("STRING", "NUMBER").and(never("no protobuf is read of requests"), "PROTOBUF_VALUE"),
		"encode":              oneOf("NONE", "BASE64"),
	},
	"envoy.extensions.filters.http.set_filter_state.v3.Config": {
		"on_request_headers": run,
		"clear_route_cache":  run,
	},
	"envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue": {
		"object_key":           run,
		"factory_key":          harmless("every value is text; another factory than that of text is refused"),
		"format_string":        run,
		"read_only":            later("filters may set a value again"),
		"shared_with_upstream": oneOf("NONE").and(later("upstream connections have no state of filters"), "ONCE", "TRANSITIVE"),
		"skip_if_empty":        run,
	},
	"envoy.extensions.filters.http.fault.v3.HTTPFault": {
		"delay":                               run,
		"abort":                               run,
		"upstream_cluster":                    run,
		"headers":                             run,
		"downstream_nodes":                    run,
		"max_active_faults":                   run,
		"response_rate_limit":                 run,
		"delay_percent_runtime":               harmless(noRuntime),
		"abort_percent_runtime":               harmless(noRuntime),
		"delay_duration_runtime":              harmless(noRuntime),
		"abort_http_status_runtime":           harmless(noRuntime),
		"max_active_faults_runtime":           harmless(noRuntime),
		"response_rate_limit_percent_runtime": harmless(noRuntime),
		"abort_grpc_status_runtime":           harmless(noRuntime),
		"disable_downstream_cluster_stats":    run,
		"filter_metadata":                     run,
	},
	"envoy.extensions.filters.common.fault.v3.FaultDelay": {
		"fixed_delay":  run,
		"header_delay": run,
		"percentage":   run,
	},
	"envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay": {},
	"envoy.extensions.filters.http.fault.v3.FaultAbort": {
		"http_status":   run,
		"grpc_status":   run,
		"header_abort":  run,
		"percentage":    run,
		"response_body": run,
	},
	"envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort": {},
	"envoy.extensions.filters.common.fault.v3.FaultRateLimit": {
		"fixed_limit":  run,
		"header_limit": run,
		"percentage":   run,
	},
	"envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit": {
		"limit_kbps": run,
	},
	"envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit": {},
	"envoy.extensions.filters.http.health_check.v3.HealthCheck": {
		"pass_through_mode":               run,
		"cache_time":                      run,
		"cluster_min_healthy_percentages": run,
		"headers":                         run,
	},
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": {
		"stat_prefix":     run,
		"status":          run,
		"token_bucket":    run,
		"filter_enabled":  run,
		"filter_enforced": run,
		"request_headers_to_add_when_not_enforced": run,
		"response_headers_to_add":                  run,
		"descriptors":                              run,
		"stage":                                    run,
		"local_rate_limit_per_downstream_connection": run,
		"local_cluster_rate_limit":                   later("a process does not know how many others there are"),
		"enable_x_ratelimit_headers":                 oneOf("OFF", "DRAFT_VERSION_03"),
		"vh_rate_limits":                             oneOf("OVERRIDE", "INCLUDE", "IGNORE"),
		"always_consume_default_token_bucket":        run,
		"rate_limited_as_resource_exhausted":         run,
		"rate_limits":                                run,
		"max_dynamic_descriptors":                    harmless("descriptors whose values are not listed are refused"),
		"enable_retry_after_header":                  run,
	},
	"envoy.extensions.filters.http.rbac.v3.RBAC": {
		"rules":                    run,
		"rules_stat_prefix":        run,
		"matcher":                  later(accessMatchers),
		"shadow_rules":             run,
		"shadow_matcher":           later(accessMatchers),
		"shadow_rules_stat_prefix": run,
		"track_per_rule_stats":     run,
	},
	"envoy.extensions.filters.http.rbac.v3.RBACPerRoute": {
		"rbac": run,
	},
	"envoy.config.rbac.v3.SourcedMetadata": {
		"metadata_matcher": run,
		"metadata_source":  oneOf("DYNAMIC", "ROUTE"),
	},
	"envoy.type.v3.HttpStatus": {
		"code": statuses,
	},
	"envoy.type.v3.TokenBucket": {
		"max_tokens":      run,
		"tokens_per_fill": run,
		"fill_interval":   run,
	},
	"envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor": {
		"entries":      run,
		"token_bucket": run,
		"shadow_mode":  run,
	},
	"envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry": {
		"key":   run,
		"value": run,
	},
}

// statuses are those of an answer to what is limited. Below 400 they mean 429, as with Envoy.
var statuses = oneOf(
	"BadRequest", "Unauthorized", "PaymentRequired", "Forbidden", "NotFound", "MethodNotAllowed", "NotAcceptable", "ProxyAuthenticationRequired", "RequestTimeout", "Conflict", "Gone", "LengthRequired", "PreconditionFailed", "PayloadTooLarge", "URITooLong", "UnsupportedMediaType", "RangeNotSatisfiable", "ExpectationFailed", "MisdirectedRequest", "UnprocessableEntity", "Locked", "FailedDependency", "UpgradeRequired", "PreconditionRequired", "TooManyRequests", "RequestHeaderFieldsTooLarge", "InternalServerError", "NotImplemented", "BadGateway", "ServiceUnavailable", "GatewayTimeout", "HTTPVersionNotSupported", "VariantAlsoNegotiates", "InsufficientStorage", "LoopDetected", "NotExtended", "NetworkAuthenticationRequired",
).and(harmless("means 429"), "Empty",
	"Continue", "OK", "Created", "Accepted", "NonAuthoritativeInformation", "NoContent", "ResetContent", "PartialContent", "MultiStatus", "AlreadyReported", "IMUsed", "MultipleChoices", "MovedPermanently", "Found", "SeeOther", "NotModified", "UseProxy", "TemporaryRedirect", "PermanentRedirect",
)
