package decode

var dubboTable = table{
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy": {
		"stat_prefix":           run,
		"protocol_type":         oneOf("Dubbo"),
		"serialization_type":    oneOf("Hessian2"), // each call says its own, and those of fastjson2 are read, too
		"route_config":          run,
		"drds":                  later("routes come with the listener"),
		"multiple_route_config": run,
		"dubbo_filters":         run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration": {
		"name":         harmless("a name for people"),
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
		"metadata_match":    run,
	},
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboFilter": {
		"name":   harmless("the router is the one that there is, and another name is refused"),
		"config": later("the router has none"),
	},
}
