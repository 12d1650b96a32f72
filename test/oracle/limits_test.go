package oracle

import (
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	always = "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"
	hourly = "fill_interval: 3600s"
)

// counted is a filter with a bucket for a descriptor that may be asked once, whatever the actions are that make it.
func counted(name, key, value, actions string, sends ...exchange) scenario {
	return scenario{name: "limit-" + name,
		filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, token_bucket: {max_tokens: 1000, tokens_per_fill: 10, `+hourly+`}, `+always+`, descriptors: [{entries: [{key: `+key+`, value: "`+value+`"}], token_bucket: {max_tokens: 1, `+hourly+`}}]`),
		vhost:   routes("{match: {prefix: /}, metadata: {filter_metadata: {m: {k: 1}}}, route: {cluster: $up, rate_limits: [{actions: [" + actions + "]}]}}"), sends: sends}
}

// addend is a filter with a bucket of ten for a descriptor, of which a request takes as many as is said.
func addend(name, limit string, sends ...exchange) scenario {
	if !strings.Contains(limit, "actions") {
		limit += ", actions: [{generic_key: {descriptor_value: g}}]"
	}
	return scenario{name: "limit-addend" + name, sends: sends,
		filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, token_bucket: {max_tokens: 1000, `+hourly+`}, `+always+`, enable_x_ratelimit_headers: DRAFT_VERSION_03, descriptors: [{entries: [{key: generic_key, value: g}], token_bucket: {max_tokens: 10, `+hourly+`}}], rate_limits: [{`+limit+`}]`)}
}

var twice = []exchange{{send: "GET /; x-a: v"}, {send: "GET /; x-a: v"}, {send: "GET /; x-a: w"}, {send: "GET /"}}

// statuses is a scenario that refuses with every status there is a name for.
func statuses(names string) scenario {
	var list []string
	var sends []exchange
	for _, name := range strings.Fields(names) {
		list = append(list, "{match: {path: /"+name+"}, route: {cluster: $up}, "+e2e.Override("f", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: lim, token_bucket: {max_tokens: 1, "+hourly+"}, "+always+", status: {code: "+name+"}")+"}")
		sends = append(sends, gets("/"+name, "/"+name)...)
	}
	return scenario{name: "limit-statuses", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: lim"), vhost: routes(list...), sends: sends}
}

var limiting = []scenario{
	statuses(`BadGateway BadRequest Conflict ExpectationFailed FailedDependency Forbidden GatewayTimeout Gone HTTPVersionNotSupported InsufficientStorage InternalServerError LengthRequired Locked LoopDetected
		MethodNotAllowed MisdirectedRequest NetworkAuthenticationRequired NotAcceptable NotExtended NotFound NotImplemented PayloadTooLarge PaymentRequired PreconditionFailed PreconditionRequired ProxyAuthenticationRequired
		RangeNotSatisfiable RequestHeaderFieldsTooLarge RequestTimeout TooManyRequests URITooLong Unauthorized UnprocessableEntity UnsupportedMediaType UpgradeRequired VariantAlsoNegotiates`),
	counted("generic", "generic_key", "g", `{generic_key: {descriptor_value: g}}`, twice...),
	counted("generic-named", "named", "g", `{generic_key: {descriptor_key: named, descriptor_value: g}}`, twice...),
	counted("cluster", "destination_cluster", "limit-cluster_up", `{destination_cluster: {}}`, twice...),
	counted("address", "remote_address", "127.0.0.1", `{remote_address: {}}`, twice...),
	counted("source", "source_cluster", "oracles", `{source_cluster: {}}`, twice...),
	counted("near", "remote_address_match", "near", `{remote_address_match: {descriptor_value: near, address_matcher: {ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}`, twice...),
	counted("far", "k", "far", `{remote_address_match: {descriptor_key: k, descriptor_value: far, address_matcher: {ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], invert_match: true}}}`, twice...),
	counted("near-not", "remote_address_match", "near", `{remote_address_match: {descriptor_value: near, address_matcher: {ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}], invert_match: true}}}`, twice...),
	counted("near-field", "remote_address_match", "v", `{remote_address_match: {descriptor_value: "%REQ(x-a)%", default_value: v, address_matcher: {ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}`, twice...),
	addend("", "hits_addend: {number: 3}", gets("/", "/", "/", "/", "/")...),
	addend("-none", "hits_addend: {number: 0}", gets("/", "/")...),
	addend("-said", `hits_addend: {format: "%REQ(x-n)%"}`, exchange{send: "GET /; x-n: 4"}, exchange{send: "GET /; x-n: 7"}, exchange{send: "GET /; x-n: 0"}, exchange{send: "GET /; x-n: x"}, exchange{send: "GET /"}, exchange{send: "GET /; x-n: 6"}, exchange{send: "GET /; x-n: 1"}),
	addend("-back", "hits_addend: {number: 8}, actions: [{request_headers: {header_name: x-a, descriptor_key: generic_key}}]}, {hits_addend: {number: 5, is_negative_hits: true}, actions: [{request_headers: {header_name: x-b, descriptor_key: generic_key}}]", exchange{send: "GET /; x-a: g"}, exchange{send: "GET /; x-a: g"}, exchange{send: "GET /; x-b: g"}, exchange{send: "GET /; x-a: g"}, exchange{send: "GET /; x-b: g"}, exchange{send: "GET /; x-b: g"}, exchange{send: "GET /; x-b: g"}, exchange{send: "GET /; x-a: g"}),
	addend("-done", "apply_on_stream_done: true", gets("/", "/")...),
	addend("-done-too", "actions: [{generic_key: {descriptor_value: g}}], apply_on_stream_done: true, hits_addend: {number: 5}}, {actions: [{generic_key: {descriptor_value: g}}]", gets("/", "/", "/")...),
	counted("masked", "masked_remote_address", "127.0.0.0/8", `{masked_remote_address: {v4_prefix_mask_len: 8, v6_prefix_mask_len: 64}}`, twice...),
	counted("field", "a", "v", `{request_headers: {header_name: x-a, descriptor_key: a, skip_if_absent: false}}`, twice...),
	counted("field-skipped", "generic_key", "g", `{request_headers: {header_name: x-b, descriptor_key: a, skip_if_absent: true}}, {generic_key: {descriptor_value: g}}`, twice...),
	counted("match", "header_match", "m", `{header_value_match: {descriptor_value: m, expect_match: true, headers: [{name: x-a, string_match: {exact: v}}]}}`, twice...),
	counted("match-not", "k", "m", `{header_value_match: {descriptor_key: k, descriptor_value: m, expect_match: false, headers: [{name: x-a, string_match: {exact: v}}]}}`, twice...),
	counted("query", "q", "1", `{query_parameters: {query_parameter_name: q, descriptor_key: q, skip_if_absent: false}}`, gets("/?q=1", "/?q=1", "/?q=2", "/")...),
	counted("query-skipped", "generic_key", "g", `{query_parameters: {query_parameter_name: q, descriptor_key: q, skip_if_absent: true}}, {generic_key: {descriptor_value: g}}`, gets("/", "/")...),
	counted("query-match", "k", "m", `{query_parameter_value_match: {descriptor_key: k, descriptor_value: m, expect_match: true, query_parameters: [{name: q, present_match: true}]}}`, gets("/?q", "/?q=2", "/")...),
	counted("query-match-not", "query_match", "m", `{query_parameter_value_match: {descriptor_value: m, expect_match: false, query_parameters: [{name: q, present_match: true}]}}`, gets("/?q", "/", "/")...),
	counted("metadata", "m", "d", `{metadata: {descriptor_key: m, source: DYNAMIC, default_value: d, skip_if_absent: false, metadata_key: {key: none, path: [{key: k}]}}}`, twice...),
	counted("metadata-skipped", "generic_key", "g", `{metadata: {descriptor_key: m, metadata_key: {key: none, path: [{key: k}]}, skip_if_absent: true}}, {generic_key: {descriptor_value: g}}`, twice...),
	{name: "limit-options", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, token_bucket: {max_tokens: 1, `+hourly+`}, `+always+`, status: {code: ServiceUnavailable}, rate_limited_as_resource_exhausted: true, enable_retry_after_header: true, local_rate_limit_per_downstream_connection: true, always_consume_default_token_bucket: false,
      descriptors: [{entries: [{key: a, value: v}], token_bucket: {max_tokens: 1, `+hourly+`}, shadow_mode: true}], rate_limits: [{actions: [{request_headers: {header_name: x-a, descriptor_key: a}}]}]`),
		sends: []exchange{{send: "GET /\nGET /"}, {send: "GET /; x-a: v\nGET /; x-a: v"}, {send: "POST /; content-type: application/grpc; body: x\nPOST /; content-type: application/grpc; body: x"}}},
	{name: "limit-unenforced", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, token_bucket: {max_tokens: 1, `+hourly+`}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 0}}, request_headers_to_add_when_not_enforced: [{header: {key: x-over, value: "yes"}, append: false}]`), sends: gets("/", "/")},
	{name: "limit-stages", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, stage: 1, vh_rate_limits: INCLUDE, token_bucket: {max_tokens: 1000, `+hourly+`}, `+always+`, descriptors: [{entries: [{key: generic_key, value: host}], token_bucket: {max_tokens: 1, `+hourly+`}}, {entries: [{key: generic_key, value: route}], token_bucket: {max_tokens: 1, `+hourly+`}}]`),
		vhost: "rate_limits: [{stage: 1, disable_key: offkey, actions: [{generic_key: {descriptor_value: host}}]}, {stage: 0, actions: [{generic_key: {descriptor_value: route}}]}]\n" +
			routes("{match: {prefix: /}, route: {cluster: $up, include_vh_rate_limits: true, rate_limits: [{stage: 2, actions: [{generic_key: {descriptor_value: route}}]}]}}"), sends: gets("/", "/")},
	{name: "limit-ignored", filters: e2e.Filter("f", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: lim, vh_rate_limits: IGNORE, token_bucket: {max_tokens: 1000, `+hourly+`}, `+always+`, descriptors: [{entries: [{key: generic_key, value: host}], token_bucket: {max_tokens: 1, `+hourly+`}}]`),
		vhost: "rate_limits: [{actions: [{generic_key: {descriptor_value: host}}]}]\n" + routes(route("prefix: /", to)), sends: gets("/", "/")},

	// Other filters.
	{name: "fault-grpc", filters: e2e.Filter("f", "fault.v3.HTTPFault", "abort: {grpc_status: 5, percentage: {numerator: 100}, response_body: sorry}, upstream_cluster: fault-grpc_up, max_active_faults: 5, disable_downstream_cluster_stats: true, filter_metadata: {a: b}, delay: {fixed_delay: 0.001s, percentage: {numerator: 100}}"),
		sends: []exchange{{send: "GET /"}, {send: "POST /; content-type: application/grpc; body: x"}}},
	{name: "fault-nodes", filters: e2e.Filter("f", "fault.v3.HTTPFault", "abort: {http_status: 418, percentage: {numerator: 100}, response_body: sorry}, downstream_nodes: [n1]"), sends: []exchange{{send: "GET /; x-envoy-downstream-service-node: n1"}, {send: "GET /; x-envoy-downstream-service-node: n2"}, {send: "GET /"}}},
	{name: "fault-slow", filters: e2e.Filter("f", "fault.v3.HTTPFault", "response_rate_limit: {fixed_limit: {limit_kbps: 1024}, percentage: {numerator: 100}}"), sends: gets("/")},
	{name: "fault-slow-asked", filters: e2e.Filter("f", "fault.v3.HTTPFault", "response_rate_limit: {header_limit: {}, percentage: {numerator: 100}}"), sends: []exchange{{send: "GET /; x-envoy-fault-throughput-response: 1024"}, {send: "GET /"}}},
	{name: "buffer-routes", filters: e2e.Filter("f", "buffer.v3.Buffer", "max_request_bytes: 10"), vhost: routes("{match: {prefix: /off}, route: {cluster: $up}, "+e2e.Override("f", "buffer.v3.BufferPerRoute", "disabled: true")+"}", "{match: {prefix: /less}, route: {cluster: $up}, "+e2e.Override("f", "buffer.v3.BufferPerRoute", "buffer: {max_request_bytes: 3}")+"}", route("prefix: /", to)),
		sends: []exchange{{send: "POST /off; body: hello hello hello"}, {send: "POST /less; body: hello"}, {send: "POST /; body: hello"}}},
	{name: "cors-more", filters: e2e.Filter("f", "cors.v3.Cors", ""), vhost: e2e.Override("f", "cors.v3.CorsPolicy", `allow_origin_string_match: [{prefix: "http://a"}], filter_enabled: {default_value: {numerator: 100}}, shadow_enabled: {default_value: {numerator: 0}}, allow_private_network_access: true, forward_not_matching_preflights: false`) + "\nroutes: [{match: {prefix: /}, route: {cluster: $up}}]",
		sends: []exchange{{send: "OPTIONS /; origin: http://a.test; access-control-request-method: GET; access-control-request-private-network: true"}, {send: "OPTIONS /; origin: http://b.test; access-control-request-method: GET"}}},
	{name: "cors-shadow", filters: e2e.Filter("f", "cors.v3.Cors", ""), vhost: e2e.Override("f", "cors.v3.CorsPolicy", `allow_origin_string_match: [{prefix: "http://a"}], filter_enabled: {default_value: {numerator: 0}}, shadow_enabled: {default_value: {numerator: 100}}`) + "\nroutes: [{match: {prefix: /}, route: {cluster: $up}}]",
		sends: []exchange{{send: "GET /; origin: http://a.test"}, {send: "GET /; origin: http://b.test"}}},
	{name: "csrf-shadow", filters: e2e.Filter("f", "csrf.v3.CsrfPolicy", `filter_enabled: {default_value: {numerator: 0}}, shadow_enabled: {default_value: {numerator: 100}}`), sends: []exchange{{send: "POST /; origin: http://b.example; body: x"}, {send: "POST /; origin: http://a.example; body: x"}}},
	{name: "mutations-all", manager: "http_protocol_options: {enable_trailers: true}", clusters: map[string]string{"up": protocol("explicit_http_config: {http_protocol_options: {enable_trailers: true}}")},
		filters: e2e.Filter("f", "header_mutation.v3.HeaderMutation", `mutations: {request_mutations: [{append: {header: {key: x-a, value: new}, append_action: ADD_IF_ABSENT}}, {append: {header: {key: x-b, value: new}, append_action: OVERWRITE_IF_EXISTS}}, {remove_on_match: {key_matcher: {prefix: x-rm}}}],
      query_parameter_mutations: [{append: {record: {key: q, value: new}, action: ADD_IF_ABSENT}}, {append: {record: {key: r, value: new}, action: OVERWRITE_IF_EXISTS}}, {append: {record: {key: s, value: new}, action: OVERWRITE_IF_EXISTS_OR_ADD}}, {remove: t}],
      request_trailers_mutations: [{append: {header: {key: x-rt, value: new}}}], response_trailers_mutations: [{append: {header: {key: x-st, value: new}}}]}`),
		sends: []exchange{{send: "GET /?q=1&r=1&s=1&t=1; x-a: 1; x-b: 1; x-rm-1: 1; x-rn: 1"}, {send: "GET /"}, {send: "POST / HTTP/1.1\r\n" + a + "transfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", answers: []string{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"}}}},
	{name: "to-metadata", filters: e2e.Filter("f", "header_to_metadata.v3.Config", `request_rules: [
      {header: x-a, on_header_present: {metadata_namespace: oracle, key: a}, on_header_missing: {metadata_namespace: oracle, key: a, value: none}, remove: true},
      {header: x-n, on_header_present: {metadata_namespace: oracle, key: num, type: NUMBER}, remove: false},
      {header: x-s, on_header_present: {metadata_namespace: oracle, key: s, encode: BASE64}},
      {header: x-r, on_header_present: {metadata_namespace: oracle, key: r, regex_value_rewrite: {pattern: {regex: "a(.)"}, substitution: '\1'}}},
      {cookie: c, on_header_present: {metadata_namespace: oracle, key: c}}],
      response_rules: [{header: x-b, on_header_present: {metadata_namespace: oracle, key: b}}]`),
		sends: []exchange{{send: "GET /; x-a: 1; x-n: 5; x-s: aGVsbG8=; x-r: ab; cookie: d=1; cookie: c=2", answers: []string{answered(200, "x-b: 1")}}, {send: "GET /; x-n: x; x-s: !"}}},
	{name: "set-state", filters: `- {name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, clear_route_cache: true, on_request_headers: [{object_key: oracle, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "%REQ(x-a)%"}}, skip_if_empty: true}]}}`, sends: []exchange{{send: "GET /; x-a: 1"}, {send: "GET /"}}},
	{name: "health-clusters", filters: `- {name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, pass_through_mode: false, cluster_min_healthy_percentages: {health-clusters_up: {value: 50}}, headers: [{name: ":path", string_match: {exact: /healthz}}]}}
- {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, pass_through_mode: false, cluster_min_healthy_percentages: {health-clusters_none: {value: 50}}, headers: [{name: ":path", string_match: {exact: /none}}]}}`,
		vhost: routes(route("prefix: /x", "route: {cluster: $none}"), route("prefix: /", to)), sends: gets("/healthz", "/none", "/")},
	{name: "health-passed", filters: `- {name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, pass_through_mode: true, cache_time: 60s, headers: [{name: ":path", string_match: {exact: /healthz}}]}}`, sends: gets("/healthz", "/healthz", "/")},
	{name: "turned-off", filters: `- {name: f, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: 418, percentage: {numerator: 100}}}}`, sends: gets("/")},

	// Logs.
	{name: "loggers", loggers: `- {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/format, format: "%PROTOCOL%\n"}}
- {name: b, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/json, json_format: {a: "%PROTOCOL%"}}}
- {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: @folder/typed, typed_json_format: {a: "%RESPONSE_CODE%"}}}
- {name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%PROTOCOL%\n"}}}}
- {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog, log_format: {text_format_source: {inline_string: "%PROTOCOL%\n"}}}}`, sends: gets("/")},
	logs("grpc-all", "grpc_status_filter: {statuses: [ABORTED, ALREADY_EXISTS, CANCELED, DATA_LOSS, DEADLINE_EXCEEDED, FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT, OUT_OF_RANGE, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED, UNIMPLEMENTED]}"),
}
