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
	"envoy.service.runtime.v3.Runtime": {
		"name":  run,
		"layer": run,
	},
}
