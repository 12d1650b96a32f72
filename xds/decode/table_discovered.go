package decode

// discoveredTable is about what comes by itself, beside the resources that are as old as xDS.
var discoveredTable = table{
	"envoy.config.core.v3.TypedExtensionConfig": {
		"name":         run,
		"typed_config": filterIn(inChain),
	},
	"envoy.config.core.v3.ExtensionConfigSource": {
		"config_source":                        run,
		"default_config":                       filterIn(inChain),
		"apply_default_config_without_warming": run,
		"type_urls":                            run,
	},
	"envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer": {
		"name":        run,
		"rtds_config": run,
	},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.OnDemand": {
		"odcds_config":      run,
		"resources_locator": later("comes with xdstp names"),
		"timeout":           run,
	},
	"envoy.config.route.v3.Vhds": {
		"config_source": run,
	},
	"envoy.service.runtime.v3.Runtime": {
		"name":  run,
		"layer": run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes": {
		"name":                             run,
		"scope_key_builder":                run,
		"rds_config_source":                run,
		"scoped_route_configurations_list": run,
		"scoped_rds":                       run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder": {
		"fragments": run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder": {
		"header_value_extractor": run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor": {
		"name":              run,
		"element_separator": run,
		"index":             run,
		"element":           run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement": {
		"separator": run,
		"key":       run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList": {
		"scoped_route_configurations": run,
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRds": {
		"scoped_rds_config_source": run,
		"srds_resources_locator":   later("comes with xdstp names"),
	},
	"envoy.config.route.v3.ScopedRouteConfiguration": {
		"on_demand":                run,
		"name":                     run,
		"route_configuration_name": run,
		"route_configuration":      run,
		"key":                      run,
	},
	"envoy.config.route.v3.ScopedRouteConfiguration.Key": {
		"fragments": run,
	},
	"envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment": {
		"string_key": run,
	},
}
