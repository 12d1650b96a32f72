package fields

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

const again = "retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}"

var (
	fails     = answer("HTTP/1.1 503 E\r\nx-again: again\r\ncontent-length: 0\r\n\r\n")
	failsOnce = answer("HTTP/1.1 503 E\r\nx-wait: 1\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
)

// tries asks and gives how often the upstream was asked.
func tries(request string) func(*world) string {
	return func(w *world) string {
		look(request, "status")(w)
		return fmt.Sprint(len(w.up.Heads()))
	}
}

// speaks is how HTTP is spoken to a cluster, with more of it; spoken is a cluster that ejects its endpoint, in a manner of speaking.
func speaks(piece string) string {
	return `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, ` + piece + `}}`
}

func spoken(piece string) string {
	return cluster("outlier_detection: {consecutive_5xx: 15, enforcing_consecutive_5xx: 0}\n" + speaks(piece))
}

// errorsAre says which answers count against endpoints.
func errorsAre(piece string) string {
	return "outlier_detection: {error_matcher: {" + piece + "}}"
}

// retry is a piece of a route's retry policy.
func retry(piece string) string {
	return action("timeout: 1s, retry_policy: {retry_back_off: {base_interval: 0.001s}, " + piece + "}")
}

func waiting(piece string) string {
	return action("timeout: 0.3s, retry_policy: {retry_on: 5xx, " + piece + "}")
}

func resets(piece string) string {
	return waiting("rate_limited_retry_back_off: {" + piece + "}")
}

const rateLimited = "#cluster.up.upstream_rq_retry_backoff_ratelimited"

// replays is what may be kept of a body, below the virtual host or the route.
func replays(site func(string) string) func(string) string {
	return func(piece string) string {
		return replaced(site(piece), "{cluster: up}", "{cluster: up, "+again+"}")
	}
}

const post = "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\nhello"

func copies(w *world) string {
	look("GET /; x-a: up", "status")(w)
	return w.one(nil, "#cluster.up.upstream_cx_total") // both are dialled before the first is answered
}

// copied is a field of the copy of a request.
func copied(name string) func(*world) string {
	return func(w *world) string {
		look("GET /", "status")(w)
		value := ""
		w.eventually("the copy", func() bool {
			for _, h := range w.up.Heads() {
				if strings.Contains(h, "x-envoy-internal") {
					value = field(h, name)
				}
			}
			return value != ""
		})
		return value
	}
}

func copying(piece string) string { return action("request_mirror_policies: [{" + piece + "}]") }

// oneDead is a cluster of the upstream and of an address where nobody is, and a route that tries again.
func oneDead(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, retry_policy: {retry_on: connect-failure, num_retries: 1, retry_back_off: {base_interval: 0.001s}, "+piece+"}}}]"),
		"- {name: up, lb_policy: RANDOM, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: ["+
			"{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}}, {endpoint: {address: {pipe: {path: /nobody/is/here}}}}]}]}}")
}

const previousHosts = `retry_host_predicate: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]`

// twoPriorities is a cluster whose first priority is one where nobody is, and a route that tries again so often.
func twoPriorities(retries string) func(string) string {
	return func(piece string) string {
		return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, retry_policy: {retry_on: connect-failure, num_retries: "+retries+", retry_back_off: {base_interval: 0.001s}, "+piece+"}}}]"),
			"- {name: up, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /nobody/is/here}}}}]}, "+
				"{priority: 1, lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}}]}]}}")
	}
}

func previousPriorities(frequency string) string {
	return `retry_priority: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: ` + frequency + "}}"
}

// neverFails asks so often that it cannot be chance.
func neverFails(w *world) string {
	c := w.dial()
	for range 150 {
		if c.Get("/").Status != 200 {
			return "false"
		}
	}
	return "true"
}

var retryTrials = []trial{
	{paths: "RouteAction.retry_policy", site: action, flip: again, up: fails, probe: tries("GET /"), want: [2]string{"1", "3"}},
	{paths: "upstreams.http.v3.HttpProtocolOptions.retry_policy", site: spoken, flip: again, up: fails, probe: tries("GET /"), want: [2]string{"1", "3"}},
	{paths: "upstreams.http.v3.HttpProtocolOptions.request_mirror_policies", site: spoken, flip: "request_mirror_policies: [{cluster: up}]", probe: copies, want: [2]string{"1", "2"}},
	{paths: "upstreams.http.v3.HttpProtocolOptions.hash_policy", site: func(piece string) string {
		return replaced(hashedBy(""), "lb_policy: RING_HASH", "lb_policy: RING_HASH, "+speaks(piece))
	}, flip: "hash_policy: [{header: {header_name: x-k}}]", up: everywhere, probe: oneEndpoint, want: [2]string{"2", "1"}},
	{paths: "OutlierDetection.error_matcher MatchPredicate.any_match", site: spoken, base: errorsAre("http_response_headers_match: {headers: [{name: x-none, present_match: true}]}"), flip: errorsAre("any_match: true"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"0", "1"}},
	{paths: "MatchPredicate.not_match", site: spoken, base: errorsAre("any_match: true"), flip: errorsAre("not_match: {any_match: true}"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"1", "0"}},
	{paths: "MatchPredicate.http_response_headers_match HttpHeadersMatch.headers", site: spoken, base: errorsAre("http_response_headers_match: {headers: [{name: \":status\", string_match: {exact: \"201\"}}]}"), flip: errorsAre("http_response_headers_match: {headers: [{name: \":status\", string_match: {exact: \"200\"}}]}"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"0", "1"}},
	{paths: "MatchPredicate.and_match", site: spoken, base: errorsAre("any_match: true"), flip: errorsAre("and_match: {rules: [{any_match: true}, {not_match: {any_match: true}}]}"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"1", "0"}},
	{paths: "MatchPredicate.or_match", site: spoken, base: errorsAre("not_match: {any_match: true}"), flip: errorsAre("or_match: {rules: [{any_match: true}, {not_match: {any_match: true}}]}"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"0", "1"}},
	{paths: "MatchPredicate.MatchSet.rules", site: spoken, base: errorsAre("and_match: {rules: [{any_match: true}, {any_match: true}]}"), flip: errorsAre("and_match: {rules: [{any_match: true}, {not_match: {any_match: true}}]}"), probe: outlierOf("ejections_detected_consecutive_5xx"), want: [2]string{"1", "0"}},
	{paths: "VirtualHost.retry_policy", site: vhostAnd, flip: again, up: fails, probe: tries("GET /"), want: [2]string{"1", "3"}},
	{paths: "RetryPolicy.retry_on", site: retry, base: "retry_on: reset", flip: "retry_on: 5xx", up: fails, probe: tries("GET /"), want: [2]string{"1", "2"}},
	{paths: "RetryPolicy.num_retries", site: retry, base: "retry_on: 5xx", flip: "retry_on: 5xx, num_retries: 3", up: fails, probe: tries("GET /"), want: [2]string{"2", "4"}},
	{paths: "RetryPolicy.per_try_timeout", site: retry, base: "retry_on: reset", flip: "retry_on: reset, per_try_timeout: 0.03s", up: silent, probe: tries("GET /"), want: [2]string{"1", "2"}},
	{paths: "RetryPolicy.per_try_idle_timeout", site: retry, base: "retry_on: reset", flip: "retry_on: reset, per_try_idle_timeout: 0.03s", up: silent, probe: tries("GET /"), want: [2]string{"1", "2"}},
	{paths: "RetryPolicy.retriable_status_codes", site: retry, base: "retry_on: retriable-status-codes", flip: "retry_on: retriable-status-codes, retriable_status_codes: [503]", up: fails, probe: tries("GET /"), want: [2]string{"1", "2"}},
	{paths: "RetryPolicy.retriable_headers", site: retry, base: "retry_on: retriable-headers", flip: "retry_on: retriable-headers, retriable_headers: [{name: x-again, present_match: true}]", up: fails, probe: tries("GET /"), want: [2]string{"1", "2"}},
	{paths: "RetryPolicy.retriable_request_headers", site: retry, base: "retry_on: 5xx", flip: "retry_on: 5xx, retriable_request_headers: [{name: x-safe, present_match: true}]", up: fails, probe: tries("GET /"), want: [2]string{"2", "1"}},
	{paths: "RetryPolicy.RetryHostPredicate.typed_config", site: oneDead, base: "host_selection_retry_max_attempts: 100", flip: "host_selection_retry_max_attempts: 100, " + previousHosts, probe: neverFails, want: [2]string{"false", "true"}},
	{paths: "RetryPolicy.host_selection_retry_max_attempts", site: oneDead, base: previousHosts, flip: "host_selection_retry_max_attempts: 100, " + previousHosts, probe: neverFails, want: [2]string{"false", "true"}},
	{paths: "RetryPolicy.RetryPriority.typed_config", site: twoPriorities("1"), flip: previousPriorities("1"), probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "PreviousPrioritiesConfig.update_frequency", site: twoPriorities("1"), base: previousPriorities("2"), flip: previousPriorities("1"), probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "RetryPolicy.RetryBackOff.base_interval", site: waiting, base: "retry_back_off: {base_interval: 0.001s}", flip: "retry_back_off: {base_interval: 30000s}", up: failsOnce, probe: look("GET /", "status"), want: [2]string{"200", "504"}},
	{paths: "RetryPolicy.RetryBackOff.max_interval", site: func(p string) string { return strings.Replace(waiting("num_retries: 40, "+p), "0.3s", "3s", 1) }, base: "retry_back_off: {base_interval: 0.001s, max_interval: 0.001s}",
		flip: "retry_back_off: {base_interval: 0.001s, max_interval: 30000s}", up: fails, probe: look("GET /", "status"), want: [2]string{"503", "504"}},
	{paths: "RetryPolicy.ResetHeader.name", site: resets, base: "reset_headers: [{name: x-other}]", flip: "reset_headers: [{name: x-wait}]", up: failsOnce, probe: look("GET /", rateLimited), want: [2]string{"0", "1"}},
	{paths: "RetryPolicy.ResetHeader.format=UNIX_TIMESTAMP", site: resets, base: "reset_headers: [{name: x-wait, format: SECONDS}]", flip: "reset_headers: [{name: x-wait, format: UNIX_TIMESTAMP}]", up: failsOnce, probe: look("GET /", rateLimited), want: [2]string{"1", "0"}},
	{paths: "RetryPolicy.RateLimitedRetryBackOff.max_interval", site: resets, base: "reset_headers: [{name: x-wait}]", flip: "reset_headers: [{name: x-wait}], max_interval: 0.5s", up: failsOnce, probe: look("GET /", rateLimited), want: [2]string{"1", "0"}},
	{paths: "VirtualHost.include_is_timeout_retry_header", site: func(p string) string {
		return replaced(vhostAnd(p), "{cluster: up}", "{cluster: up, retry_policy: {retry_on: 5xx, per_try_timeout: 0.03s}}")
	}, flip: "include_is_timeout_retry_header: true", up: silent, probe: look("GET /", ">x-envoy-is-timeout-retry"), want: [2]string{"-", "true"}},
	{paths: "RouteAction.hedge_policy HedgePolicy.hedge_on_per_try_timeout", site: func(p string) string {
		return action("timeout: 0.4s, retry_policy: {retry_on: 5xx, per_try_timeout: 0.03s}, " + p)
	}, flip: "hedge_policy: {hedge_on_per_try_timeout: true}", up: silent, probe: look("GET /", "#cluster.up.upstream_rq_per_try_timeout"), want: [2]string{"2", "0"}},
	{paths: "VirtualHost.hedge_policy", site: func(p string) string {
		return replaced(vhostAnd(p), "{cluster: up}", "{cluster: up, timeout: 0.4s, retry_policy: {retry_on: 5xx, per_try_timeout: 0.03s}}")
	}, flip: "hedge_policy: {hedge_on_per_try_timeout: true}", up: silent, probe: look("GET /", "#cluster.up.upstream_rq_per_try_timeout"), want: [2]string{"2", "0"}},
	{paths: "VirtualHost.per_request_buffer_limit_bytes", site: replays(vhostAnd), flip: "per_request_buffer_limit_bytes: 3", up: fails, probe: tries(post), want: [2]string{"3", "1"}},
	{paths: "VirtualHost.request_body_buffer_limit", site: replays(vhostAnd), flip: "request_body_buffer_limit: 3", up: fails, probe: tries(post), want: [2]string{"3", "1"}},
	{paths: "Route.per_request_buffer_limit_bytes", site: replays(routeAnd), flip: "per_request_buffer_limit_bytes: 3", up: fails, probe: tries(post), want: [2]string{"3", "1"}},
	{paths: "Route.request_body_buffer_limit", site: replays(routeAnd), flip: "request_body_buffer_limit: 3", up: fails, probe: tries(post), want: [2]string{"3", "1"}},

	{paths: "RouteConfiguration.request_mirror_policies", site: table, flip: "request_mirror_policies: [{cluster: up}]", probe: copies, want: [2]string{"1", "2"}},
	{paths: "VirtualHost.request_mirror_policies", site: vhostAnd, flip: "request_mirror_policies: [{cluster: up}]", probe: copies, want: [2]string{"1", "2"}},
	{paths: "RouteAction.request_mirror_policies", site: action, flip: "request_mirror_policies: [{cluster: up}]", probe: copies, want: [2]string{"1", "2"}},
	{paths: "RequestMirrorPolicy.cluster", site: copying, base: "cluster: up", flip: "cluster: gone", probe: served, want: [2]string{"true", "false"}},
	{paths: "RequestMirrorPolicy.cluster_header", site: copying, base: "cluster_header: x-a", flip: "cluster_header: x-b", probe: copies, want: [2]string{"2", "1"}},
	{paths: "FractionalPercent.numerator", site: copying, base: "cluster: up, runtime_fraction: {default_value: {numerator: 100}}", flip: "cluster: up, runtime_fraction: {default_value: {numerator: 0}}", probe: copies, want: [2]string{"2", "1"}},
	{paths: "FractionalPercent.denominator=TEN_THOUSAND", site: copying, base: "cluster: up, runtime_fraction: {default_value: {numerator: 10000, denominator: TEN_THOUSAND}}", flip: "cluster: up, runtime_fraction: {default_value: {numerator: 10000}}", probe: served, want: [2]string{"true", "false"}},
	{paths: "FractionalPercent.denominator=MILLION", site: copying, base: "cluster: up, runtime_fraction: {default_value: {numerator: 1000000, denominator: MILLION}}", flip: "cluster: up, runtime_fraction: {default_value: {numerator: 1000000}}", probe: served, want: [2]string{"true", "false"}},
	{paths: "RequestMirrorPolicy.disable_shadow_host_suffix_append", site: copying, base: "cluster: up", flip: "cluster: up, disable_shadow_host_suffix_append: true", probe: copied("host"), want: [2]string{"a.example-shadow", "a.example"}},
	{paths: "RequestMirrorPolicy.host_rewrite_literal", site: copying, base: "cluster: up", flip: "cluster: up, host_rewrite_literal: b", probe: copied("host"), want: [2]string{"a.example-shadow", "b"}},
}
