package oracle

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// keyed are requests that differ in what is hashed.
func keyed() (list []exchange) {
	for i := range 12 {
		list = append(list, exchange{send: sprintf("GET /; x-k: %d", i)})
	}
	return append(list, exchange{send: "GET /; x-k: a; x-k: b"})
}

var byKey = routes(route("prefix: /", "route: {cluster: $up, hash_policy: [{header: {header_name: x-k}}]}"))

// hosts are three endpoints that both sides call by the same names, though their ports differ.
func hosts(more ...string) string {
	var list []string
	for i, name := range []string{"up", "b", "c"} {
		extra := ""
		if i < len(more) {
			extra = more[i]
		}
		list = append(list, fmt.Sprintf("{endpoint: {hostname: %s.test, address: {socket_address: {address: 127.0.0.1, port_value: @%[1]s}}}, metadata: {filter_metadata: {envoy.lb: {hash_key: key-%[1]s}}}, %s}", name, extra))
	}
	return "- lb_endpoints: [" + strings.Join(list, ", ") + "]"
}

// policy is an extensible load balancing policy.
func policy(name, message, fields string) string {
	return fmt.Sprintf(`load_balancing_policy: {policies: [{typed_extension_config: {name: envoy.load_balancing_policies.%s, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.%[1]s.v3.%s, %s}}}]}`, name, message, fields)
}

func balanced(name, cluster string, more ...string) scenario {
	return scenario{name: name, vhost: byKey, clusters: map[string]string{"up": cluster}, ends: map[string]string{"up": hosts(more...)}, sends: keyed()}
}

// one is a cluster with nothing to choose from.
func one(name, cluster string) scenario {
	return scenario{name: name, clusters: map[string]string{"up": cluster}, sends: gets("/", "/again")}
}

// staged are endpoints with metadata that subsets are made of.
func staged(name, stage string, version int, more string) string {
	return fmt.Sprintf("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @%s}}}, metadata: {filter_metadata: {envoy.lb: {hash_key: key-%[1]s, stage: %s, version: %d}}}, %s}", name, stage, version, more)
}

var stages = "- lb_endpoints: [" + strings.Join([]string{staged("up", "prod", 1, ""), staged("b", "prod", 2, ""), staged("c", "dev", 3, "")}, ", ") + "]"

func wanting(keys string) string {
	return "metadata_match: {filter_metadata: {envoy.lb: {" + keys + "}}}"
}

const hashed = "hash_policy: [{header: {header_name: x-k}}], "

var subsetRoutes = routes(
	route("path: /one", "route: {cluster: $up, "+hashed+wanting("stage: prod, version: 1")+"}"),
	route("path: /two", "route: {cluster: $up, "+hashed+wanting("stage: prod, version: 2")+"}"),
	route("path: /none", "route: {cluster: $up, "+hashed+wanting("stage: prod, version: 9")+"}"),
	route("path: /dev", "route: {cluster: $up, "+hashed+wanting("stage: dev")+"}"),
	route("path: /nothing", "route: {cluster: $up, "+hashed+wanting("stage: test")+"}"),
	route("path: /more", "route: {cluster: $up, "+hashed+wanting("stage: prod, version: 2, colour: red, size: 1")+"}"),
	route("path: /both", "route: {cluster: $up, "+hashed+wanting("colour: red, stage: dev")+"}"),
	route("path: /other", "route: {cluster: $up, "+hashed+wanting("colour: red")+"}"),
	route("path: /share", "route: {"+hashed+"weighted_clusters: {clusters: [{name: $up, weight: 1, "+wanting("version: 2")+"}]}, "+wanting("stage: prod")+"}"),
)

func subsets(name, fields string) scenario {
	return scenario{name: name, vhost: subsetRoutes, clusters: map[string]string{"up": fields}, ends: map[string]string{"up": stages}, sends: gets("/one; x-k: 1", "/two; x-k: 2", "/none; x-k: 3", "/dev; x-k: 4", "/nothing; x-k: 5", "/other; x-k: 6", "/share; x-k: 7", "/other; x-k: 8", "/more; x-k: 9", "/both; x-k: 10")}
}

// redundant has subsets of fewer keys than some requests ask for.
func redundant(allow string) string {
	return policy("subset", "Subset", allow+`fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version]}, {keys: [stage], fallback_policy: NO_FALLBACK}, {keys: [colour, stage, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage, version]}],
      subset_lb_policy: {policies: [{typed_extension_config: {name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash}}}]}`)
}

// subsetLocalities has localities that weigh differently, one of them partly in a subset.
func subsetLocalities(name, fields string) scenario {
	c := subsets(name, "common_lb_config: {locality_weighted_lb_config: {}}\nlb_policy: RING_HASH\nlb_subset_config: {"+fields+"subset_selectors: [{keys: [stage]}]}")
	c.vhost = routes(route("prefix: /", "route: {cluster: $up, "+hashed+wanting("stage: prod")+"}"))
	c.ends = map[string]string{"up": `
- {locality: {region: a}, load_balancing_weight: 8, lb_endpoints: [` + staged("up", "prod", 1, "") + ", " + staged("dead", "dev", 1, "") + `]}
- {locality: {region: b}, load_balancing_weight: 3, lb_endpoints: [` + staged("b", "prod", 1, "") + `]}
- {locality: {region: c}, load_balancing_weight: 1, lb_endpoints: [` + staged("c", "prod", 1, "") + `]}`}
	c.sends = keyed()
	for i := range 12 {
		c.sends = append(c.sends, exchange{send: sprintf("GET /; x-k: more-%d", i)})
	}
	return c
}

// checked is a cluster whose endpoint is asked on another port, by somebody who is always well, or never.
func checked(name, port, check string, more ...string) scenario {
	cluster := "health_checks: [{timeout: 10s, interval: 3600s, no_traffic_interval: 3600s, unhealthy_threshold: 1, healthy_threshold: 1, " + check + "}]\n" + strings.Join(more, "\n")
	return scenario{name: name, clusters: map[string]string{"up": cluster + "\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}"},
		ends: map[string]string{"up": "- lb_endpoints: [{endpoint: {health_check_config: {port_value: @" + port + "}, address: {socket_address: {address: 127.0.0.1, port_value: @up}}}}]"}, sends: gets("/", "/again")}
}

// told has its events of health checks compared: they are in the file of the scenario's access log, which has no other lines.
func told(name, port, check string) scenario {
	c := checked(name, port, check, "")
	c.sends = nil
	c.clusters["up"] = strings.Replace(c.clusters["up"], "timeout: 10s", "timeout: 10s, event_log_path: @folder/"+name, 1)
	if name == "events-tcp" {
		c.clusters["up"] = strings.Replace(c.clusters["up"], "event_log_path: @folder/"+name, `event_logger: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink, event_log_path: @folder/`+name+"}}]", 1)
	}
	return c
}

// ejecting has one endpoint, which may be ejected, and answers badly until that is noticed.
func ejecting(name, detection, noticed string, answer string) scenario {
	list := []exchange{{send: "GET /1", answers: []string{answer}}, {send: "GET /2", answers: []string{answer}}}
	return scenario{name: name, clusters: map[string]string{"up": "outlier_detection: {interval: 3600s, " + detection + "}\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}"},
		sends: append(list, exchange{send: "GET /3", after: noticed}, exchange{send: "GET /4"})}
}

// judged is ejecting with a cluster that says itself which answers are errors.
func judged(name, errors, detection, noticed, answer string) scenario {
	c := ejecting(name, "max_ejection_percent: 100, "+detection, noticed, answer)
	c.clusters["up"] += "\n" + protocol(explicit+", outlier_detection: {error_matcher: {"+errors+"}}")
	return c
}

const ejected = "cluster.$up.outlier_detection.ejections_active"

func protocol(fields string) string {
	return `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + fields + `}}`
}

const explicit = "explicit_http_config: {http_protocol_options: {}}"

func named(kind, name, more string) scenario {
	return scenario{name: "dns-" + kind, clusters: map[string]string{"up": more}, ends: map[string]string{"up": "- lb_endpoints: [{endpoint: {address: {socket_address: {address: " + name + ", port_value: @up}}}}]"}, sends: gets("/")}
}

func dnsCluster(fields string) string {
	return `cluster_type: {name: envoy.cluster.dns, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, ` + fields + `}}`
}

const caresAt = `{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {address: 127.0.0.1, port_value: @names}}], dns_resolver_options: {no_default_search_domain: true, use_tcp_for_dns_lookups: true}, query_timeout_seconds: 3, query_tries: 2, use_resolvers_as_fallback: false}}`

var clustered = []scenario{
	// Who is chosen.
	balanced("ring", "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 64, maximum_ring_size: 512, hash_function: MURMUR_HASH_2}"),
	balanced("ring-weighted", "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 1024}", "load_balancing_weight: 1", "load_balancing_weight: 3", "load_balancing_weight: 6"),
	balanced("ring-bounded", "lb_policy: RING_HASH\ncommon_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 150}}"),
	balanced("ring-policy", policy("ring_hash", "RingHash", "minimum_ring_size: 100, maximum_ring_size: 200, hash_function: XX_HASH, consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 130}")),
	balanced("ring-murmur", policy("ring_hash", "RingHash", "hash_function: MURMUR_HASH_2, locality_weighted_lb_config: {}")),
	balanced("ring-old", policy("ring_hash", "RingHash", "hash_balance_factor: 200, use_hostname_for_hashing: true")),
	{name: "ring-own-keys", vhost: byKey, clusters: map[string]string{"up": policy("ring_hash", "RingHash", "consistent_hashing_lb_config: {hash_policy: [{header: {header_name: x-j}}, {cookie: {name: c}}, {query_parameter: {name: q}}]}")}, ends: map[string]string{"up": hosts()},
		sends: append(gets("/?q=1", "/?q=2", "/?q=3", "/?q=4", "/?q=5"), exchange{send: "GET /?q=4; x-k: 1; x-j: 1"}, exchange{send: "GET /; x-k: 1; x-j: 1"}, exchange{send: "GET /; x-k: 1; x-j: 2"}, exchange{send: "GET /; x-k: 1; x-j: 3"}, exchange{send: "GET /; x-j: 2; cookie: c=1"}, exchange{send: "GET /; cookie: c=2"})},
	{name: "maglev-own-keys", vhost: byKey, clusters: map[string]string{"up": policy("maglev", "Maglev", "consistent_hashing_lb_config: {hash_policy: [{header: {header_name: x-j}}]}")}, ends: map[string]string{"up": hosts()}, sends: gets("/; x-j: 1", "/; x-j: 2", "/; x-j: 3", "/; x-j: 4; x-k: 1", "/; x-j: 4; x-k: 2")},
	balanced("maglev", "lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 257}"),
	balanced("maglev-weighted", "lb_policy: MAGLEV", "load_balancing_weight: 1", "load_balancing_weight: 3", "load_balancing_weight: 6"),
	balanced("maglev-policy", policy("maglev", "Maglev", "table_size: 503, consistent_hashing_lb_config: {use_hostname_for_hashing: true}")),
	balanced("maglev-localities", policy("maglev", "Maglev", "locality_weighted_lb_config: {}")),
	balanced("degraded", "lb_policy: ROUND_ROBIN\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}", "health_status: DEGRADED", "health_status: UNHEALTHY", "health_status: DRAINING"),
	balanced("standing", "lb_policy: RANDOM\ncommon_lb_config: {healthy_panic_threshold: {value: 10}}", "health_status: HEALTHY", "health_status: TIMEOUT", "health_status: UNHEALTHY"),
	{name: "priorities", clusters: map[string]string{"up": "common_lb_config: {healthy_panic_threshold: {value: 0}}"}, ends: map[string]string{"up": `
- {priority: 0, locality: {region: r1, zone: z1, sub_zone: s1}, lb_endpoints: [` + end("b", "health_status: UNHEALTHY") + `]}
- {priority: 1, locality: {region: r2}, lb_endpoints: [` + end("up", "") + `]}`}, sends: gets("/", "/2")},
	{name: "overprovisioned", clusters: map[string]string{"up": "lb_policy: RANDOM"}, ends: map[string]string{"up": `
- {priority: 0, lb_endpoints: [` + end("up", "") + ", " + end("b", "health_status: UNHEALTHY") + `]}
- {priority: 1, lb_endpoints: [` + end("c", "") + `]}
policy: {overprovisioning_factor: 200, weighted_priority_health: true}`}, sends: gets("/", "/2", "/3", "/4")},
	{name: "dropped", ends: map[string]string{"up": `
- {lb_endpoints: [` + end("up", "") + `]}
policy: {drop_overloads: [{category: a, drop_percentage: {numerator: 100}}]}`}, sends: gets("/", "/2")},
	{name: "dropped-most", ends: map[string]string{"up": `
- {lb_endpoints: [` + end("up", "") + `]}
policy: {drop_overloads: [{category: a, drop_percentage: {numerator: 999999, denominator: MILLION}}]}`}, sends: gets("/", "/2")},
	{name: "dropped-none", ends: map[string]string{"up": `
- {lb_endpoints: [` + end("up", "") + `]}
policy: {drop_overloads: [{category: a, drop_percentage: {numerator: 0}}]}`}, sends: gets("/", "/2")},
	{name: "localities", clusters: map[string]string{"up": "common_lb_config: {locality_weighted_lb_config: {}, healthy_panic_threshold: {value: 0}}"}, ends: map[string]string{"up": `
- {locality: {zone: a}, load_balancing_weight: 1, lb_endpoints: [` + end("up", "") + `]}
- {locality: {zone: b}, load_balancing_weight: 9, lb_endpoints: [` + end("b", "health_status: UNHEALTHY") + `]}
- {locality: {zone: c}, lb_endpoints: [` + end("c", "") + `]}`}, sends: gets("/", "/2", "/3")},
	one("round-robin", policy("round_robin", "RoundRobin", "slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2, runtime_key: k}, min_weight_percent: {value: 5}}, locality_lb_config: {locality_weighted_lb_config: {}}")),
	one("round-robin-old", "round_robin_lb_config: {slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2, runtime_key: k}, min_weight_percent: {value: 5}}}"),
	one("least-request", policy("least_request", "LeastRequest", "choice_count: 3, active_request_bias: {default_value: 0.5, runtime_key: k}, slow_start_config: {slow_start_window: 1s}, locality_lb_config: {locality_weighted_lb_config: {}}")),
	one("least-request-full", policy("least_request", "LeastRequest", "selection_method: FULL_SCAN")),
	one("least-request-scan", policy("least_request", "LeastRequest", "enable_full_scan: true")),
	one("least-request-old", "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 3, active_request_bias: {default_value: 0.5, runtime_key: k}, slow_start_config: {slow_start_window: 1s}}"),
	one("random", policy("random", "Random", "locality_lb_config: {locality_weighted_lb_config: {}}")),

	balanced("by-policy", "lb_policy: LOAD_BALANCING_POLICY_CONFIG\n"+policy("maglev", "Maglev", "")),
	{name: "pipe", ends: map[string]string{"up": "- lb_endpoints: [{endpoint: {address: {pipe: {path: @folder/up.sock}}}}]"}, sends: gets("/")},

	// Subsets.
	subsets("subset-any", "lb_subset_config: {fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [stage, version]}, {keys: [stage], fallback_policy: NO_FALLBACK}, {keys: [version], single_host_per_subset: true}]}\nlb_policy: RING_HASH"),
	subsets("subset-default", "lb_subset_config: {fallback_policy: DEFAULT_SUBSET, default_subset: {stage: dev}, subset_selectors: [{keys: [stage, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage], fallback_policy: DEFAULT_SUBSET}, {keys: [colour], fallback_policy: ANY_ENDPOINT}]}\nlb_policy: RING_HASH"),
	subsets("subset-lists", "lb_subset_config: {list_as_any: true, panic_mode_any: true, subset_selectors: [{keys: [version]}]}\nlb_policy: MAGLEV"),
	subsets("subset-policy", policy("subset", "Subset", `locality_weight_aware: true, scale_locality_weight: true, fallback_policy: DEFAULT_SUBSET, default_subset: {stage: dev}, list_as_any: true, panic_mode_any: true,
      subset_selectors: [{keys: [stage, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage], fallback_policy: NO_FALLBACK}, {keys: [version], fallback_policy: DEFAULT_SUBSET, single_host_per_subset: false}, {keys: [colour], fallback_policy: ANY_ENDPOINT}],
      subset_lb_policy: {policies: [{typed_extension_config: {name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash}}}]}`)),
	subsets("subset-policy-any", policy("subset", "Subset", `fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version], single_host_per_subset: true}],
      subset_lb_policy: {policies: [{typed_extension_config: {name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash}}}]}`)),

	subsets("subset-redundant", redundant("allow_redundant_keys: true, ")),
	subsets("subset-not-redundant", redundant("")),
	subsetLocalities("subset-localities", ""),
	subsetLocalities("subset-localities-aware", "locality_weight_aware: true, "),
	subsetLocalities("subset-localities-scaled", "locality_weight_aware: true, scale_locality_weight: true, "),
	subsetLocalities("subset-localities-scaled-only", "scale_locality_weight: true, "),

	// Health.
	checked("checked", "well", `http_health_check: {path: /healthz, host: check.test, method: GET}, initial_jitter: 0.001s, interval_jitter: 0.001s, interval_jitter_percent: 1, no_traffic_healthy_interval: 3600s, unhealthy_interval: 3600s, unhealthy_edge_interval: 3600s, healthy_edge_interval: 3600s, reuse_connection: false`, "ignore_health_on_host_removal: true\nclose_connections_on_host_health_failure: true"),
	checked("checked-sick", "sick", `http_health_check: {path: /healthz}`),
	checked("checked-statuses", "sick", `http_health_check: {path: /healthz, expected_statuses: [{start: 500, end: 600}], retriable_statuses: [{start: 400, end: 500}], request_headers_to_add: [{header: {key: x-a, value: b}}], request_headers_to_remove: [user-agent]}`),
	checked("checked-body", "well", `http_health_check: {path: /, send: {text: "6869"}, receive: [{text: "77656c6c"}], response_buffer_size: 1024, method: POST}`),
	checked("checked-other-body", "well", `http_health_check: {path: /, receive: [{binary: "eHl6"}]}`),
	checked("checked-tcp", "well", `tcp_health_check: {send: {text: "474554202f20485454502f312e310d0a0d0a"}, receive: [{text: "485454502f312e31"}]}`),
	checked("checked-connect", "well", `tcp_health_check: {}`),
	checked("checked-connect-dead", "dead", `tcp_health_check: {}`),
	checked("checked-head", "well", `http_health_check: {path: /, method: HEAD}`),
	checked("checked-put", "well", `http_health_check: {path: /, method: PUT}`),
	checked("checked-delete", "well", `http_health_check: {path: /, method: DELETE}`),
	checked("checked-options", "well", `http_health_check: {path: /, method: OPTIONS}`),
	checked("checked-patch", "well", `http_health_check: {path: /, method: PATCH}`),
	checked("checked-trace", "well", `http_health_check: {path: /, method: TRACE}`),
	checked("checked-service", "well", `http_health_check: {path: /, service_name_matcher: {exact: mine}}, always_log_health_check_failures: true`),
	told("events", "well", "http_health_check: {path: /}"),
	told("events-sick", "sick", "http_health_check: {path: /}"),
	told("events-tcp", "dead", "tcp_health_check: {}"),
	told("events-failures", "sick", "http_health_check: {path: /}, always_log_health_check_failures: true"),
	told("events-success", "well", "http_health_check: {path: /}, always_log_health_check_success: true"),
	{name: "unchecked", clusters: map[string]string{"up": "health_checks: [{timeout: 10s, interval: 3600s, no_traffic_interval: 3600s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /}}]\ncommon_lb_config: {healthy_panic_threshold: {value: 0}, ignore_new_hosts_until_first_hc: true, close_connections_on_host_set_change: true}"},
		ends: map[string]string{"up": "- lb_endpoints: [{endpoint: {health_check_config: {disable_active_health_check: true}, address: {socket_address: {address: 127.0.0.1, port_value: @up}}}}]"}, sends: gets("/")},
	{name: "checked-elsewhere", clusters: map[string]string{"up": "health_checks: [{timeout: 10s, interval: 3600s, no_traffic_interval: 3600s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /}}]\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}"},
		ends: map[string]string{"up": "- lb_endpoints: [{endpoint: {health_check_config: {hostname: other.test, address: {socket_address: {address: 127.0.0.1, port_value: @well}}}, address: {socket_address: {address: 127.0.0.1, port_value: @up}}}}]"}, sends: gets("/")},

	// Outliers.
	ejecting("outlier-5xx", "max_ejection_percent: 100, consecutive_5xx: 2, enforcing_consecutive_5xx: 100, base_ejection_time: 60s, max_ejection_time: 90s, max_ejection_time_jitter: 0s", ejected, answered(500)),
	judged("errors-status", `http_response_headers_match: {headers: [{name: ":status", string_match: {exact: "404"}}]}`, "consecutive_5xx: 2, enforcing_consecutive_5xx: 100", ejected, answered(404)),
	judged("errors-none", `http_response_headers_match: {headers: [{name: ":status", string_match: {exact: "404"}}]}`, "consecutive_5xx: 2, enforcing_consecutive_5xx: 100", "", answered(503)),
	judged("errors-gateway", "any_match: true", "consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100", ejected, answered(503)),
	judged("errors-no-gateway", "any_match: true", "consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100", "", answered(404)),
	judged("errors-among", `or_match: {rules: [{http_response_headers_match: {headers: [{name: x-a, present_match: true}]}}, {and_match: {rules: [{any_match: true}, {not_match: {http_response_headers_match: {headers: [{name: ":status", range_match: {start: 200, end: 300}}]}}}]}}]}`, "consecutive_5xx: 2, enforcing_consecutive_5xx: 100", ejected, answered(302)),
	{name: "cluster-policies", clusters: map[string]string{"up": protocol(explicit + ", retry_policy: {" + backOff + ", retry_on: 5xx, num_retries: 2}, request_mirror_policies: [{cluster: $b}, {cluster: nowhere}]")}, late: true, vhost: "include_is_timeout_retry_header: true\n" + routes(
		route("prefix: /own", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: reset, num_retries: 1}, request_mirror_policies: [{cluster: $c}]}"), route("prefix: /", to)),
		sends: []exchange{{send: "GET /own", answers: []string{answered(503), answered(503), answered(200)}}, {send: "GET /", answers: []string{answered(503), answered(200)}}, {send: "GET /asked; x-envoy-retry-on: 5xx; x-envoy-max-retries: 1", answers: []string{answered(503), answered(503), answered(200)}}}},
	{name: "cluster-hash", clusters: map[string]string{"up": "lb_policy: RING_HASH\n" + protocol(explicit+", hash_policy: [{header: {header_name: x-h}}]")}, vhost: routes(route("prefix: /own", "route: {cluster: $up, hash_policy: [{cookie: {name: d, ttl: 9s}}]}"), route("prefix: /", to)),
		sends: []exchange{{send: "GET /own"}, {send: "GET /own; x-h: 1"}, {send: "GET /; x-h: 1"}}},
	ejecting("outlier-5xx-off", "max_ejection_percent: 100, consecutive_5xx: 2, enforcing_consecutive_5xx: 0", "cluster.$up.outlier_detection.ejections_detected_consecutive_5xx", answered(500)),
	ejecting("outlier-gateway", "max_ejection_percent: 100, consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100", ejected, answered(503)),
	ejecting("outlier-gateway-500", "max_ejection_percent: 100, consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100", "", answered(500)),
	ejecting("outlier-local", "max_ejection_percent: 100, split_external_local_origin_errors: true, consecutive_local_origin_failure: 2, enforcing_consecutive_local_origin_failure: 100", "", ""),
	ejecting("outlier-most", "consecutive_5xx: 2, max_ejection_percent: 0, always_eject_one_host: true", ejected, answered(500)),
	ejecting("outlier-degraded", "detect_degraded_hosts: true", "cluster.$up.outlier_detection.ejections_detected_degradation", answered(200, "x-envoy-degraded: 1")),
	ejecting("outlier-degraded-bad", "detect_degraded_hosts: true, consecutive_5xx: 100", "", answered(500, "x-envoy-degraded: 1")),
	ejecting("outlier-none", "consecutive_5xx: 2, max_ejection_percent: 0, always_eject_one_host: false", "cluster.$up.outlier_detection.ejections_overflow", answered(500)),
	ejecting("outlier-rates", `max_ejection_percent: 100, successful_active_health_check_uneject_host: false, enforcing_success_rate: 100, success_rate_minimum_hosts: 1, success_rate_request_volume: 1, success_rate_stdev_factor: 1900,
      enforcing_failure_percentage: 100, enforcing_failure_percentage_local_origin: 100, enforcing_local_origin_success_rate: 100, failure_percentage_minimum_hosts: 1, failure_percentage_request_volume: 1, failure_percentage_threshold: 50`, "", answered(500)),

	// Names.
	named("strict", "one.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: V4_ONLY\nrespect_dns_ttl: true\ndns_jitter: 0.1s\ndns_failure_refresh_rate: {base_interval: 1s, max_interval: 2s}"),
	named("hostname", "one.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s\nlb_policy: RING_HASH\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}"),
	named("logical", "one.test", "type: LOGICAL_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: ALL\nwait_for_warm_on_init: true"),
	named("preferred", "six.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: V4_PREFERRED"),
	named("six", "one.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: V6_ONLY\nuse_tcp_for_dns_lookups: true\ndns_resolvers: [{socket_address: {address: 127.0.0.1, port_value: @names}}]"),
	named("unknown", "nobody.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s"),
	named("own-resolver", "one.test", "type: STRICT_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: V4_ONLY\ntyped_dns_resolver_config: "+caresAt),
	named("fallback", "127.0.0.1", "type: STRICT_DNS\ndns_refresh_rate: 3600s\ndns_lookup_family: V4_ONLY\ntyped_dns_resolver_config: "+strings.Replace(caresAt, "fallback: false", "fallback: true", 1)),
	named("cluster", "one.test", dnsCluster("dns_refresh_rate: 3600s, dns_min_refresh_rate: 2s, dns_jitter: 0.1s, respect_dns_ttl: true, dns_lookup_family: V4_ONLY, dns_failure_refresh_rate: {base_interval: 1s, max_interval: 2s}, typed_dns_resolver_config: "+caresAt)),
	named("cluster-one", "one.test", dnsCluster("dns_refresh_rate: 3600s, all_addresses_in_single_endpoint: true, dns_lookup_family: ALL")),
	named("cluster-four", "six.test", dnsCluster("dns_refresh_rate: 3600s, dns_lookup_family: V4_PREFERRED")),
	named("cluster-six", "one.test", dnsCluster("dns_refresh_rate: 3600s, dns_lookup_family: V6_ONLY")),
	named("cluster-auto", "one.test", dnsCluster("dns_refresh_rate: 3600s, dns_lookup_family: AUTO")),

	// Destinations that requests name.
	{name: "destination", clusters: map[string]string{"up": "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\ncleanup_interval: 5s\noriginal_dst_lb_config: {use_http_header: true, http_header_name: x-to}"}, ends: map[string]string{"up": "-"},
		sends: []exchange{{send: "GET /; x-to: 127.0.0.1:@up"}, {send: "GET /; x-to: 127.0.0.1:@b"}, {send: "GET /; x-to: nowhere"}, {send: "GET /; x-to: "}, {send: "GET /"}}},
	{name: "destination-noted", clusters: map[string]string{"up": "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\noriginal_dst_lb_config: {use_http_header: true, http_header_name: x-to, metadata_key: {key: to, path: [{key: k}]}}"}, ends: map[string]string{"up": "-"},
		filters: e2e.Filter("f", "header_to_metadata.v3.Config", "request_rules: [{header: x-noted, on_header_present: {metadata_namespace: to, key: k}}, {header: x-number, on_header_present: {metadata_namespace: to, key: k, type: NUMBER}}]"),
		// Envoy's workers make an endpoint twice of an address that its main thread has not told them of.
		sends: []exchange{{send: "GET /; x-noted: 127.0.0.1:@up"}, {send: "GET /; x-noted: 127.0.0.1:@b; x-to: 127.0.0.1:@up", after: "cluster.$up.membership_total"}, {send: "GET /; x-noted: nowhere"}, {send: "GET /; x-noted: nowhere; x-to: 127.0.0.1:@up"}, {send: "GET /; x-number: 5"}, {send: "GET /; x-number: 5; x-to: 127.0.0.1:@up"}, {send: "GET /"}}},
	{name: "destination-port", clusters: map[string]string{"up": "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\noriginal_dst_lb_config: {use_http_header: true, upstream_port_override: @b}"}, ends: map[string]string{"up": "-"},
		sends: []exchange{{send: "GET /; x-envoy-original-dst-host: 127.0.0.1:1"}}},

	// Discovery of endpoints in files.
	{name: "eds", clusters: map[string]string{"up": "type: EDS\neds_cluster_config: {service_name: service, eds_config: {path_config_source: {path: @folder/eds.yaml, watched_directory: {path: @folder}}}}"}, ends: map[string]string{"up": "-"}, sends: gets("/", "/2"),
		files: map[string]string{"eds.yaml": `resources: [{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: service, endpoints: [{lb_endpoints: [` + end("b", "") + `]}]}]`}},
	{name: "eds-old", clusters: map[string]string{"up": "type: EDS\neds_cluster_config: {eds_config: {path: @folder/eds-old.yaml}}"}, ends: map[string]string{"up": "-"}, sends: gets("/"),
		files: map[string]string{"eds-old.yaml": `resources: [{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: $up, endpoints: [{lb_endpoints: [` + end("c", "") + `]}]}]`}},

	// Connections.
	one("connections", "type: STATIC\nalt_stat_name: connections_alt\nper_connection_buffer_limit_bytes: 65536\nupstream_connection_options: {tcp_keepalive: {keepalive_probes: 3, keepalive_time: 60, keepalive_interval: 10}}\nupstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}, freebind: true, socket_options: [{level: 1, name: 9, int_value: 1}]}\n"+
		`transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`),
	{name: "thresholds", clusters: map[string]string{"up": "circuit_breakers: {thresholds: [{priority: DEFAULT, max_retries: 0, track_remaining: true}, {priority: HIGH, max_requests: 0, retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 1}}], per_host_thresholds: [{max_connections: 10}, {priority: HIGH, max_connections: 10}]}"},
		vhost: routes(route("prefix: /high", "route: {cluster: $up, priority: HIGH}"), route("prefix: /", "route: {cluster: $up, retry_policy: {"+backOff+", retry_on: 5xx}}")), sends: []exchange{{send: "GET /", answers: []string{answered(503), answered(200)}}, {send: "GET /high"}}},
	{name: "budget", clusters: map[string]string{"up": "circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 1}}]}"}, vhost: retrying("retry_on: 5xx"), sends: []exchange{{send: "GET /", answers: []string{answered(503), answered(200)}}}},
	{name: "speaking", clusters: map[string]string{"up": protocol("common_http_protocol_options: {idle_timeout: 60s, max_connection_duration: 60s, max_headers_count: 5, max_requests_per_connection: 2, max_response_headers_kb: 1, max_stream_duration: 60s}, " + explicit)},
		sends: []exchange{{send: "GET /"}, {send: "GET /", answers: []string{answered(200, "a: 1", "b: 2", "c: 3", "d: 4", "e: 5", "f: 6")}}, {send: "GET /", answers: []string{answered(200, "a: "+long(1100))}}, {send: "GET /"}, {send: "GET /"}, {send: "GET /"}}},
	{name: "speaking-short", clusters: map[string]string{"up": protocol("common_http_protocol_options: {max_stream_duration: 0.3s}, " + explicit)}, sends: []exchange{{send: "GET /", answers: []string{silence}}}},
	{name: "speaking-cases", clusters: map[string]string{"up": protocol("explicit_http_config: {http_protocol_options: {allow_chunked_length: true, header_key_format: {proper_case_words: {}}}}")}, sends: []exchange{{send: "GET /; x-a: 1"},
		{send: "GET /", answers: []string{"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}}}},
	{name: "speaking-kept", manager: `http_protocol_options: {header_key_format: {stateful_formatter: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}}`,
		clusters: map[string]string{"up": protocol(`explicit_http_config: {http_protocol_options: {header_key_format: {stateful_formatter: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig, forward_reason_phrase: true}}}}}`)},
		sends:    []exchange{{send: "GET /; X-aBc: 1", answers: []string{"HTTP/1.1 200 Fine\r\nX-dEf: 1\r\nContent-Length: 2\r\n\r\nok"}}}},
	one("speaking-mirrored", protocol("use_downstream_protocol_config: {http_protocol_options: {}}")),
	one("speaking-old", "common_http_protocol_options: {idle_timeout: 30s}\nmax_requests_per_connection: 1\nhttp_protocol_options: {}"),
}
