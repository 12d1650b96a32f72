package decode

// retryTable holds what routes say of trying again and of copies.
var retryTable = table{
	"envoy.config.route.v3.RetryPolicy": {
		"retry_on":                          run,
		"num_retries":                       run,
		"per_try_timeout":                   run,
		"per_try_idle_timeout":              run,
		"retry_priority":                    run,
		"retry_host_predicate":              run,
		"retry_options_predicates":          later("tries differ in the endpoint alone"),
		"host_selection_retry_max_attempts": run,
		"retriable_status_codes":            run,
		"retry_back_off":                    run,
		"rate_limited_retry_back_off":       run,
		"retriable_headers":                 run,
		"retriable_request_headers":         run,
		"refresh_cluster_on_retry":          later("every try goes to the cluster of the first").but("false"),
	},
	"envoy.config.route.v3.RetryPolicy.RetryHostPredicate": {
		"name":         harmless("the type of typed_config decides"),
		"typed_config": extension("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
	},
	"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate": {},
	"envoy.config.route.v3.RetryPolicy.RetryPriority": {
		"name":         harmless("the type of typed_config decides"),
		"typed_config": extension("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"),
	},
	"envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig": {
		"update_frequency": run,
	},
	"envoy.config.route.v3.RetryPolicy.RetryBackOff": {
		"base_interval": run,
		"max_interval":  run,
	},
	"envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff": {
		"reset_headers": run,
		"max_interval":  run,
	},
	"envoy.config.route.v3.RetryPolicy.ResetHeader": {
		"name":   run,
		"format": oneOf("SECONDS", "UNIX_TIMESTAMP"),
	},
	"envoy.config.route.v3.HedgePolicy": {
		"initial_requests":          never("Envoy has not built it either").but("1"),
		"additional_request_chance": never("Envoy has not built it either"),
		"hedge_on_per_try_timeout":  run,
	},
	"envoy.config.route.v3.RouteAction.RequestMirrorPolicy": {
		"cluster":                           run,
		"cluster_header":                    run,
		"runtime_fraction":                  run,
		"trace_sampled":                     harmless("nothing is traced"),
		"disable_shadow_host_suffix_append": run,
		"request_headers_mutations":         run,
		"host_rewrite_literal":              run,
	},
}
