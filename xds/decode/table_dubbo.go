package decode

var dubboTable = table{
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy": {
		"stat_prefix":           run,
		"protocol_type":         oneOf("Dubbo"),
		"serialization_type":    oneOf("Hessian2"), // each call says its own, and those of fastjson2 are read, too
		"route_config":          run,
		"drds":                  run,
		"multiple_route_config": run,
		"dubbo_filters":         run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.Drds": {
		"config_source":     run,
		"route_config_name": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration": {
		"name":         run,
		"route_config": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.RouteConfiguration": {
		"name":      harmless("a name for people"),
		"interface": run,
		"group":     run,
		"version":   run,
		"routes":    run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.Route": {
		"match": run,
		"route": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.RouteMatch": {
		"method":  run,
		"headers": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.MethodMatch": {
		"name":         run,
		"params_match": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.MethodMatch.ParameterMatchSpecifier": {
		"exact_match": run,
		"range_match": run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.RouteAction": {
		"cluster":           run,
		"weighted_clusters": run,
		"metadata_match":    as("dubbo"),
	},
	"envoy.config.core.v3.Metadata@dubbo": {
		"filter_metadata":       run,
		"typed_filter_metadata": extension("weft.dubbo.v1.Route").under(dubboKey, "nothing reads it"),
	},
	"weft.dubbo.v1.Route":      {"match": run, "timeout": run, "retry": run, "mirrors": run, "fallbacks": run},
	"weft.dubbo.v1.Match":      {"services": run, "argc": run, "arguments": run, "attachments": run},
	"weft.dubbo.v1.Argument":   {"index": run, "type": run, "texts": run, "numbers": run, "booleans": run},
	"weft.dubbo.v1.Attachment": {"name": run, "texts": run},
	"weft.dubbo.v1.Texts":      {"patterns": run, "none": run},
	"weft.dubbo.v1.Numbers":    {"patterns": run, "none": run},
	"weft.dubbo.v1.Number":     {"exact": run, "range": run},
	"weft.dubbo.v1.Booleans":   {"values": run, "none": run},
	"weft.dubbo.v1.Retry":      {"attempts": run, "per_try_timeout": run, "idempotent": run},
	"weft.dubbo.v1.Mirror":     {"cluster": run, "fraction": run},
	"weft.dubbo.v1.Fallbacks":  {"clusters": run},
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboFilter": {
		"name":   harmless("which filter it is its configuration says; that the last one alone is the router is checked"),
		"config": extension("weft.dubbo.v1.Router", "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", "envoy.extensions.filters.http.rbac.v3.RBAC").on("dubbo"),
	},
	"weft.dubbo.v1.Upstream": {},
	"weft.dubbo.v1.Router@dubbo": {
		"access_log": run,
	},
	"envoy.extensions.filters.http.rbac.v3.RBAC@dubbo": {
		"rules":                    run,
		"rules_stat_prefix":        run,
		"matcher":                  later(accessMatchers),
		"shadow_rules":             run,
		"shadow_matcher":           later(accessMatchers),
		"shadow_rules_stat_prefix": run,
		"track_per_rule_stats":     harmless("calls that policies let pass are counted together"),
	},
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit@dubbo": {
		"stat_prefix":     run,
		"status":          later(ofHTTP),
		"token_bucket":    run,
		"filter_enabled":  run,
		"filter_enforced": run,
		"request_headers_to_add_when_not_enforced": later(ofHTTP),
		"response_headers_to_add":                  later(ofHTTP),
		"descriptors":                              run,
		"stage":                                    later(ofHTTP),
		"local_rate_limit_per_downstream_connection": later("a limit is for all connections"),
		"local_cluster_rate_limit":                   later("a process does not know how many others there are"),
		"enable_x_ratelimit_headers":                 later(ofHTTP),
		"vh_rate_limits":                             later(ofHTTP),
		"always_consume_default_token_bucket":        later("it does"),
		"rate_limited_as_resource_exhausted":         later(ofHTTP),
		"rate_limits":                                later(ofHTTP),
		"max_dynamic_descriptors":                    harmless("descriptors whose values are not listed are refused"),
		"enable_retry_after_header":                  later(ofHTTP),
	},
}

const ofHTTP = "it is about HTTP, and these are calls of Dubbo"
