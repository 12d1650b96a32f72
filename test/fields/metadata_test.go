package fields

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/test/e2e"
)

// noting has filters note s, num, a list and true under "notes", and set "k", of what a request brings.
const noting = `- name: notes
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
    request_rules:
    - {header: x-s, on_header_present: {metadata_namespace: notes, key: s, type: STRING}}
    - {header: x-n, on_header_present: {metadata_namespace: notes, key: num, type: NUMBER}}
- name: fault
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, filter_metadata: {list: [x], well: true, nothing: null}, delay: {fixed_delay: 0.001s, percentage: {numerator: 100}}}
- name: sets
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
    clear_route_cache: true
    on_request_headers: [{object_key: k, factory_key: envoy.hashable_string, format_string: {text_format_source: {inline_string: "%REQ(x-k)%"}}}]`

// conditional is a route for what filters have noted; what does not fit gets 418.
func conditional(piece string) string {
	return chained(noting, "routes: [{match: {prefix: /, "+piece+"}, route: {cluster: up}}, {match: {prefix: /}, direct_response: {status: 418}}]")
}

// valued is a condition on a value that a filter notes.
func valued(of, key string) func(string) string {
	return func(piece string) string {
		return conditional("dynamic_metadata: [{filter: " + of + ", path: [{key: " + key + "}], value: {" + piece + "}}]")
	}
}

// conditioned is the one condition.
func conditioned(piece string) string { return conditional("dynamic_metadata: [{" + piece + "}]") }

func stateful(piece string) string { return conditional("filter_state: [{" + piece + "}]") }

// hashedBy is a ring of two endpoints, of which the chosen one says its address.
func hashedBy(piece string) string {
	const at = "endpoint: {address: {socket_address: {port_value: @PORT@, address: 127.0.0."
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, "+piece+"}}]"), "- {name: up, lb_policy: RING_HASH, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{"+at+"1}}}}, {"+at+"2}}}}]}]}}"), noting)
}

// oneEndpoint is to how many endpoints twenty requests with the same state go.
func oneEndpoint(w *world) string {
	c, seen := w.dial(), map[string]bool{}
	for range 20 {
		seen[c.Get("/", "x-k: v").Body] = true
	}
	return fmt.Sprint(len(seen))
}

// tells is a log of the metadata of one owner.
func tells(of string) string {
	return `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "%METADATA(` + of + `:m:a)%\n"}}]`
}

const v1, v2 = "metadata: {filter_metadata: {m: {a: v}}}", "metadata: {filter_metadata: {m: {a: w}}}"

func routeTold(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, "+piece+", route: {cluster: up}}]", tells("ROUTE")), upCluster())
}

func hostTold(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(piece+"\n"+all, tells("VIRTUAL_HOST")), upCluster())
}

func clusterTold(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all, tells("CLUSTER")), upCluster(piece))
}

func listenerTold(piece string) string {
	return replaced(hcm(tells("LISTENER")), "  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n", "  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n    "+piece+"\n")
}

func chainTold(piece string) string {
	return replaced(hcm(tells("LISTENER_FILTER_CHAIN")), "    - filters:", "    - "+piece+"\n      filters:")
}

// logsNoted is a log behind filters that note; what it does not want is in another one.
func logsNoted(piece string) string {
	return e2e.WithFilters(filteredLog("metadata_filter: {"+piece+"}"), noting)
}

// momented logs each moment of a request by its name.
func momented(piece string) string {
	return hcm(`access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "%ACCESS_LOG_TYPE%\n"}}]
upgrade_configs: [{upgrade_type: websocket}]
` + piece)
}

const allMoments = "access_log_options: {flush_access_log_on_new_request: true, flush_log_on_tunnel_successfully_established: true, access_log_flush_interval: 0.02s}\nstream_idle_timeout: 0.3s\n"

// typed logs some moments of all.
func typed(piece string) string {
	return replaced(momented(allMoments), "{name: log, ", "{name: log, filter: {log_type_filter: {types: ["+piece+"]}}, ")
}

// tcpTyped is the same for connections.
func tcpTyped(piece string) string {
	return tcp(`stat_prefix: t, cluster: up, max_downstream_connection_duration: 0.3s, access_log_options: {flush_access_log_on_start: true, flush_access_log_on_connected: true, access_log_flush_interval: 0.02s}, ` +
		`access_log: [{name: log, filter: {log_type_filter: {types: [` + piece + `]}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "%ACCESS_LOG_TYPE%\n"}}]`)
}

// first is the first line of the log after something was sent.
func first(text string) func(*world) string {
	return func(w *world) string {
		w.dial().Send(text)
		line, _, _ := strings.Cut(w.file("log"), "\n")
		return line
	}
}

// endsTunnel is the first line of the log of a tunnel that the client ends.
func endsTunnel(w *world) string {
	c := w.dial()
	if r := c.Send(raw(upgrade)).Read("GET"); r.Status != 101 {
		w.t.Fatal(r.Head)
	}
	c.Close()
	line, _, _ := strings.Cut(w.file("log"), "\n")
	return line
}

var (
	passes = look("GET /; x-s: v; x-n: 3; x-k: state", "status")
	yes    = [2]string{"418", "200"}
	told   = look("GET /", "@log")
)

var metadataTrials = []trial{
	{paths: "RouteMatch.dynamic_metadata", site: conditional, flip: "dynamic_metadata: [{filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}]", probe: passes, want: [2]string{"200", "418"}},
	{paths: "MetadataMatcher.filter", site: conditioned, base: "filter: other, path: [{key: s}], value: {present_match: true}", flip: "filter: notes, path: [{key: s}], value: {present_match: true}", probe: passes, want: yes},
	{paths: "MetadataMatcher.path PathSegment.key", site: conditioned, base: "filter: notes, path: [{key: t}], value: {present_match: true}", flip: "filter: notes, path: [{key: s}], value: {present_match: true}", probe: passes, want: yes},
	{paths: "MetadataMatcher.value ValueMatcher.string_match", site: valued("notes", "s"), base: "string_match: {exact: w}", flip: "string_match: {exact: v}", probe: passes, want: yes},
	{paths: "MetadataMatcher.invert", site: conditioned, base: "filter: notes, path: [{key: s}], value: {present_match: true}", flip: "filter: notes, path: [{key: s}], value: {present_match: true}, invert: true", probe: passes, want: [2]string{"200", "418"}},
	{paths: "ValueMatcher.present_match", site: valued("notes", "s"), base: "present_match: false", flip: "present_match: true", probe: passes, want: yes},
	{paths: "ValueMatcher.null_match", site: valued("fault", "nothing"), base: "bool_match: true", flip: "null_match: {}", probe: passes, want: yes},
	{paths: "ValueMatcher.bool_match", site: valued("fault", "well"), base: "bool_match: false", flip: "bool_match: true", probe: passes, want: yes},
	{paths: "ValueMatcher.double_match DoubleMatcher.exact", site: valued("notes", "num"), base: "double_match: {exact: 4}", flip: "double_match: {exact: 3}", probe: passes, want: yes},
	{paths: "DoubleMatcher.range DoubleRange.start", site: valued("notes", "num"), base: "double_match: {range: {start: 3.5, end: 5}}", flip: "double_match: {range: {start: 3, end: 5}}", probe: passes, want: yes},
	{paths: "DoubleRange.end", site: valued("notes", "num"), base: "double_match: {range: {start: 1, end: 3}}", flip: "double_match: {range: {start: 1, end: 3.1}}", probe: passes, want: yes},
	{paths: "ValueMatcher.list_match ListMatcher.one_of", site: valued("fault", "list"), base: "list_match: {one_of: {string_match: {exact: z}}}", flip: "list_match: {one_of: {string_match: {exact: x}}}", probe: passes, want: yes},
	{paths: "ValueMatcher.or_match OrMatcher.value_matchers", site: valued("notes", "s"), base: "or_match: {value_matchers: [{bool_match: true}, {string_match: {exact: w}}]}", flip: "or_match: {value_matchers: [{bool_match: true}, {string_match: {exact: v}}]}", probe: passes, want: yes},
	{paths: "RouteMatch.filter_state", site: conditional, flip: "filter_state: [{key: k, string_match: {exact: w}}]", probe: passes, want: [2]string{"200", "418"}},
	{paths: "FilterStateMatcher.key", site: stateful, base: "key: l, string_match: {exact: state}", flip: "key: k, string_match: {exact: state}", probe: passes, want: yes},
	{paths: "FilterStateMatcher.string_match", site: stateful, base: "key: k, string_match: {exact: other}", flip: "key: k, string_match: {exact: state}", probe: passes, want: yes},
	{paths: "HashPolicy.filter_state", site: hashedBy, flip: "hash_policy: [{filter_state: {key: k}}]", up: everywhere, probe: oneEndpoint, want: [2]string{"2", "1"}},
	{paths: "HashPolicy.FilterState.key", site: hashedBy, base: "hash_policy: [{filter_state: {key: l}}]", flip: "hash_policy: [{filter_state: {key: k}}]", up: everywhere, probe: oneEndpoint, want: [2]string{"2", "1"}},
	{paths: "route.v3.Route.metadata", site: routeTold, base: v1, flip: v2, probe: told, want: [2]string{"v", "w"}},
	{paths: "VirtualHost.metadata", site: hostTold, base: v1, flip: v2, probe: told, want: [2]string{"v", "w"}},
	{paths: "Cluster.metadata", site: clusterTold, base: v1, flip: v2, probe: told, want: [2]string{"v", "w"}},
	{paths: "Listener.metadata", site: listenerTold, base: v1, flip: v2, probe: told, want: [2]string{"v", "w"}},
	{paths: "FilterChain.metadata", site: chainTold, base: v1, flip: v2, probe: told, want: [2]string{"v", "w"}},
	{paths: "AccessLogFilter.metadata_filter MetadataFilter.matcher", site: logsNoted, base: "matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: w}}}", flip: "matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}", probe: look("GET /; x-s: v", "@log"), want: [2]string{"y", "xy"}},
	{paths: "MetadataFilter.match_if_key_not_found", site: logsNoted, base: "matcher: {filter: notes, path: [{key: z}], value: {string_match: {exact: w}}}", flip: "match_if_key_not_found: false, matcher: {filter: notes, path: [{key: z}], value: {string_match: {exact: w}}}", probe: look("GET /", "@log"), want: [2]string{"xy", "y"}},
	{paths: "HttpConnectionManager.access_log_options HcmAccessLogOptions.flush_access_log_on_new_request", site: momented, flip: "access_log_options: {flush_access_log_on_new_request: true}", probe: first(raw("GET /")), want: [2]string{"DownstreamEnd", "DownstreamStart"}},
	{paths: "HttpConnectionManager.flush_access_log_on_new_request", site: momented, flip: "flush_access_log_on_new_request: true", probe: first(raw("GET /")), want: [2]string{"DownstreamEnd", "DownstreamStart"}},
	{paths: "HcmAccessLogOptions.access_log_flush_interval", site: momented, base: "stream_idle_timeout: 0.3s", flip: "stream_idle_timeout: 0.3s\naccess_log_options: {access_log_flush_interval: 0.02s}", up: silent, probe: first(raw("GET /")), want: [2]string{"DownstreamEnd", "DownstreamPeriodic"}},
	{paths: "HttpConnectionManager.access_log_flush_interval", site: momented, base: "stream_idle_timeout: 0.3s", flip: "stream_idle_timeout: 0.3s\naccess_log_flush_interval: 0.02s", up: silent, probe: first(raw("GET /")), want: [2]string{"DownstreamEnd", "DownstreamPeriodic"}},
	{paths: "HcmAccessLogOptions.flush_log_on_tunnel_successfully_established", site: momented, flip: "access_log_options: {flush_log_on_tunnel_successfully_established: true}", up: switches, probe: endsTunnel, want: [2]string{"DownstreamEnd", "DownstreamTunnelSuccessfullyEstablished"}},
	{paths: "LogTypeFilter.types=DownstreamStart LogTypeFilter.types=DownstreamTunnelSuccessfullyEstablished", site: typed, base: "DownstreamStart", flip: "DownstreamTunnelSuccessfullyEstablished", up: switches, probe: endsTunnel, want: [2]string{"DownstreamStart", "DownstreamTunnelSuccessfullyEstablished"}},
	{paths: "LogTypeFilter.types=DownstreamPeriodic", site: typed, base: "DownstreamEnd", flip: "DownstreamPeriodic", up: silent, probe: first(raw("GET /")), want: [2]string{"DownstreamEnd", "DownstreamPeriodic"}},
	{paths: "LogTypeFilter.types=TcpConnectionStart LogTypeFilter.types=TcpUpstreamConnected", site: tcpTyped, base: "TcpConnectionStart", flip: "TcpUpstreamConnected", up: greets, probe: first("hi"), want: [2]string{"TcpConnectionStart", "TcpUpstreamConnected"}},
	{paths: "LogTypeFilter.types=TcpPeriodic", site: tcpTyped, base: "TcpConnectionEnd", flip: "TcpPeriodic", up: greets, probe: first("hi"), want: [2]string{"TcpConnectionEnd", "TcpPeriodic"}},
}
