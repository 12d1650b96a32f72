package decode

// sharedTable holds the messages that several roots use.
var sharedTable = table{
	"envoy.config.core.v3.Address": {
		"socket_address":         run,
		"pipe":                   run,
		"envoy_internal_address": later("comes with internal listeners"),
	},
	"envoy.config.core.v3.SocketAddress": {
		"protocol":                   oneOf("TCP").and(later("comes with QUIC"), "UDP"),
		"address":                    run,
		"port_value":                 run,
		"named_port":                 never("use port_value"),
		"resolver_name":              never("use an IP address"),
		"ipv4_compat":                later("use a listener for each family"),
		"network_namespace_filepath": later("sockets are made in the process's own network"),
	},
	"envoy.config.core.v3.Pipe": {
		"path": run,
		"mode": run,
	},
	"envoy.config.core.v3.RuntimeFractionalPercent": {
		"default_value": run,
		"runtime_key":   run,
	},
	"envoy.type.v3.FractionalPercent": {
		"numerator":   run,
		"denominator": oneOf("HUNDRED", "TEN_THOUSAND", "MILLION"),
	},
	"envoy.config.core.v3.TcpKeepalive": {
		"keepalive_probes":   run,
		"keepalive_time":     run,
		"keepalive_interval": run,
	},
	"envoy.config.core.v3.CidrRange": {
		"address_prefix": run,
		"prefix_len":     run,
	},
	"envoy.config.core.v3.ConfigSource": {
		"authorities":           later("comes with xdstp names"),
		"path":                  run,
		"path_config_source":    run,
		"api_config_source":     later("comes with the xDS client; use path_config_source"),
		"ads":                   later("comes with the xDS client; use path_config_source"),
		"self":                  later("comes with the xDS client; use path_config_source"),
		"initial_fetch_timeout": harmless("a file is read before anything is served"),
		"resource_api_version":  oneOf().and(harmless("V3 is what there is"), "AUTO", "V3").and(never("use V3"), "V2"),
	},
	"envoy.config.core.v3.PathConfigSource": {
		"path":              run,
		"watched_directory": run,
		"poll_interval":     later("files are watched, not polled"),
	},
	"envoy.config.core.v3.WatchedDirectory": {
		"path":         run,
		"watch_modify": harmless("a file that is rewritten in place is read again either way"),
	},
	"envoy.config.core.v3.DataSource": {
		"filename":             run,
		"inline_bytes":         run,
		"inline_string":        run,
		"environment_variable": run,
		"watched_directory":    later("the file is read once"),
	},
	"envoy.type.v3.Percent": {
		"value": run,
	},
	"envoy.config.core.v3.BackoffStrategy": {
		"base_interval": run,
		"max_interval":  run,
	},
	"envoy.type.v3.Int64Range": {
		"start": run,
		"end":   run,
	},
	"envoy.type.matcher.v3.StringMatcher": {
		"exact":       run,
		"prefix":      run,
		"suffix":      run,
		"safe_regex":  run,
		"contains":    run,
		"custom":      later("comes with the generic matcher"),
		"ignore_case": run,
	},
	"envoy.type.matcher.v3.RegexMatcher": {
		"google_re2": run,
		"regex":      run,
	},
	"envoy.type.matcher.v3.RegexMatcher.GoogleRE2": {
		"max_program_size": never("the size of a pattern is bounded anyway"),
	},
	"envoy.config.core.v3.HeaderValueOption": {
		"header":           run,
		"append":           run,
		"append_action":    oneOf("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"),
		"keep_empty_value": run,
	},
	"envoy.config.core.v3.HeaderValue": {
		"key":       run,
		"value":     run,
		"raw_value": later("use value"),
	},
	"envoy.config.accesslog.v3.AccessLog": {
		"name":   harmless("the type of typed_config decides"),
		"filter": run,
		"typed_config": extension(
			"envoy.extensions.access_loggers.file.v3.FileAccessLog",
			"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
			"envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
		),
	},
	"envoy.config.accesslog.v3.AccessLogFilter": {
		"status_code_filter":      run,
		"duration_filter":         run,
		"not_health_check_filter": run,
		"traceable_filter":        later("comes with tracing"),
		"runtime_filter":          run,
		"and_filter":              run,
		"or_filter":               run,
		"header_filter":           run,
		"response_flag_filter":    run,
		"grpc_status_filter":      run,
		"extension_filter":        run,
		"metadata_filter":         run,
		"log_type_filter":         run,
	},
	"envoy.config.accesslog.v3.ExtensionFilter": {
		"name":         harmless("the type of typed_config decides"),
		"typed_config": extension("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"),
	},
	"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": {
		"expression": run,
		"cel_config": run,
	},
	"envoy.config.core.v3.CelExpressionConfig": {
		"enable_string_conversion": run,
		"enable_string_concat":     run,
		"enable_string_functions":  later("what these functions make is not bounded yet"),
	},
	"envoy.config.accesslog.v3.StatusCodeFilter": {"comparison": run},
	"envoy.config.accesslog.v3.DurationFilter":   {"comparison": run},
	"envoy.config.accesslog.v3.ComparisonFilter": {
		"op":    oneOf("EQ", "GE", "LE", "NE"),
		"value": run,
	},
	"envoy.config.core.v3.RuntimeUInt32": {
		"default_value": run,
		"runtime_key":   run,
	},
	"envoy.config.accesslog.v3.NotHealthCheckFilter": {},
	"envoy.config.accesslog.v3.RuntimeFilter": {
		"runtime_key":                run,
		"percent_sampled":            run,
		"use_independent_randomness": harmless("it is one share of requests or another"),
	},
	"envoy.config.accesslog.v3.AndFilter":    {"filters": run},
	"envoy.config.accesslog.v3.OrFilter":     {"filters": run},
	"envoy.config.accesslog.v3.HeaderFilter": {"header": run},
	"envoy.config.accesslog.v3.ResponseFlagFilter": {
		"flags": run,
	},
	"envoy.config.accesslog.v3.GrpcStatusFilter": {
		"statuses": oneOf("OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
			"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
		"exclude": run,
	},
	"envoy.config.accesslog.v3.LogTypeFilter": {
		"types": oneOf("TcpConnectionStart", "TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionEnd", "DownstreamStart", "DownstreamTunnelSuccessfullyEstablished",
			"DownstreamPeriodic", "DownstreamEnd").and(harmless("no entry of this type is written"), "NotSet", "UpstreamPoolReady", "UpstreamPeriodic", "UpstreamEnd",
			"UdpTunnelUpstreamConnected", "UdpPeriodic", "UdpSessionEnd"),
		"exclude": run,
	},
	"envoy.config.accesslog.v3.MetadataFilter": {
		"matcher":                run,
		"match_if_key_not_found": run,
	},
	"envoy.type.matcher.v3.MetadataMatcher": {
		"filter": run,
		"path":   run,
		"value":  run,
		"invert": run,
	},
	"envoy.type.matcher.v3.MetadataMatcher.PathSegment": {
		"key": run,
	},
	"envoy.type.matcher.v3.ValueMatcher": {
		"null_match":    run,
		"double_match":  run,
		"string_match":  run,
		"bool_match":    run,
		"present_match": run,
		"list_match":    run,
		"or_match":      run,
	},
	"envoy.type.matcher.v3.ValueMatcher.NullMatch": {},
	"envoy.type.matcher.v3.DoubleMatcher": {
		"range": run,
		"exact": run,
	},
	"envoy.type.v3.DoubleRange": {
		"start": run,
		"end":   run,
	},
	"envoy.type.matcher.v3.ListMatcher": {"one_of": run},
	"envoy.type.matcher.v3.OrMatcher":   {"value_matchers": run},
	"envoy.type.matcher.v3.FilterStateMatcher": {
		"key":           run,
		"string_match":  run,
		"address_match": later("what filters set is text here"),
	},
	"envoy.extensions.access_loggers.file.v3.FileAccessLog": {
		"path":              run,
		"format":            run,
		"json_format":       run,
		"typed_json_format": run,
		"log_format":        run,
	},
	"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": {
		"log_format": run,
	},
	"envoy.extensions.access_loggers.stream.v3.StderrAccessLog": {
		"log_format": run,
	},
	"envoy.config.core.v3.SubstitutionFormatString": {
		"text_format":         run,
		"json_format":         run,
		"text_format_source":  run,
		"omit_empty_values":   run,
		"content_type":        harmless("a log has none"),
		"formatters":          harmless("what the formatters that are supported add is there without them, and what others add is refused where it is used, as is cel_config of that for CEL"),
		"json_format_options": harmless("keys are always sorted"),
	},
}
