package decode

const celLater = "conditions in CEL are for access logs so far"

// accessTable holds rules about who may do what.
var accessTable = table{
	"envoy.extensions.filters.network.rbac.v3.RBAC": {
		"rules":                    run,
		"matcher":                  later(accessMatchers),
		"shadow_rules":             run,
		"shadow_matcher":           later(accessMatchers),
		"shadow_rules_stat_prefix": run,
		"stat_prefix":              run,
		"enforcement_type":         oneOf("ONE_TIME_ON_FIRST_BYTE").and(harmless("nothing that is looked at changes while a connection stands"), "CONTINUOUS"),
		"delay_deny":               run,
	},
	"envoy.config.rbac.v3.RBAC": {
		"action":                oneOf("ALLOW", "DENY", "LOG"),
		"policies":              run,
		"audit_logging_options": never("Envoy tells nobody either"),
	},
	"envoy.config.rbac.v3.Policy": {
		"permissions":       run,
		"principals":        run,
		"condition":         later(celLater),
		"checked_condition": later(celLater),
		"cel_config":        later(celLater),
	},
	"envoy.config.rbac.v3.Permission": {
		"and_rules":              run,
		"or_rules":               run,
		"any":                    run,
		"header":                 run,
		"url_path":               run,
		"destination_ip":         run,
		"destination_port":       run,
		"destination_port_range": run,
		"metadata":               run,
		"not_rule":               run,
		"requested_server_name":  run,
		"matcher":                later("there are no matchers of other kinds"),
		"uri_template":           as("template"),
		"sourced_metadata":       run,
	},
	"envoy.config.rbac.v3.Permission.Set": {"rules": run},
	"envoy.config.rbac.v3.Principal": {
		"and_ids":          run,
		"or_ids":           run,
		"any":              run,
		"authenticated":    run,
		"source_ip":        run,
		"direct_remote_ip": run,
		"remote_ip":        run,
		"header":           run,
		"url_path":         run,
		"metadata":         run,
		"filter_state":     run,
		"not_id":           run,
		"sourced_metadata": run,
		"custom":           later("there are no principals of other kinds: use authenticated"),
	},
	"envoy.config.rbac.v3.Principal.Set":           {"ids": run},
	"envoy.config.rbac.v3.Principal.Authenticated": {"principal_name": run},
	"envoy.type.matcher.v3.PathMatcher":            {"path": run},
}

const accessMatchers = "say it with policies: rules and shadow_rules"
