package oracle

import "strings"

const noting = `- name: notes
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
    request_rules:
    - {header: x-s, on_header_present: {metadata_namespace: notes, key: s, type: STRING}}
    - {header: x-n, on_header_present: {metadata_namespace: notes, key: num, type: NUMBER}}
- name: sets
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
    clear_route_cache: true
    on_request_headers: [{object_key: k, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "%REQ(x-k)%"}, omit_empty_values: true}, skip_if_empty: true}]`

// noted is a route for a condition on one value that a filter notes.
func noted(path, key, value string, more ...string) string {
	text := "prefix: " + path + ", dynamic_metadata: [{filter: notes, path: [{key: " + key + "}], value: {" + value + "}"
	for _, m := range more {
		text += ", " + m
	}
	return route(text+"}]", "direct_response: {status: 418}")
}

const ofAll = `json_format: {a: "%METADATA(ROUTE:m)%", b: "%METADATA(ROUTE:m:b)%", c: "%METADATA(ROUTE:m:c:d)%", d: "%METADATA(VIRTUAL_HOST:m:b)%", e: "%METADATA(CLUSTER:m:b)%", f: "%METADATA(UPSTREAM_HOST:m:b)%", g: "%METADATA(LISTENER_FILTER_CHAIN:m:b)%", h: "%METADATA(ROUTE:x)%", i: "%METADATA(DYNAMIC:notes)%", j: "x%METADATA(ROUTE:m:a):2%", k: "%ACCESS_LOG_TYPE%"}`

const moments = "access_log_options: {flush_access_log_on_new_request: true, flush_log_on_tunnel_successfully_established: true}\nupgrade_configs: [{upgrade_type: websocket}]"

const about = "metadata: {filter_metadata: {m: {a: [1, true, x], b: r, c: {d: null}}}}, "

var metadata = []scenario{
	{name: "metadata-routes", filters: noting, vhost: routes(
		noted("/string", "s", "string_match: {prefix: v}"), noted("/number", "num", "double_match: {exact: 3}"), noted("/range", "num", "double_match: {range: {start: 5, end: 7}}"),
		noted("/present", "s", "present_match: true"), noted("/absent", "s", "present_match: false"), noted("/not", "s", "present_match: true", "invert: true"), noted("/null", "s", "null_match: {}"),
		noted("/bool", "s", "bool_match: true"), noted("/list", "s", "list_match: {one_of: {present_match: true}}"), noted("/or", "s", "or_match: {value_matchers: [{string_match: {exact: v}}, {string_match: {exact: w}}]}"),
		route("prefix: /state, filter_state: [{key: k, string_match: {prefix: st}}]", "direct_response: {status: 418}"),
		route("prefix: /empty, filter_state: [{key: k, string_match: {exact: ''}}]", "direct_response: {status: 418}"),
		route("prefix: /", to),
	), sends: []exchange{{send: "GET /string; x-s: v"}, {send: "GET /string; x-s: w"}, {send: "GET /string"}, {send: "GET /number; x-n: 3"}, {send: "GET /number; x-n: 4"}, {send: "GET /range; x-n: 5"}, {send: "GET /range; x-n: 7"}, {send: "GET /present"}, {send: "GET /present; x-s: 1"},
		{send: "GET /absent"}, {send: "GET /absent; x-s: 1"}, {send: "GET /not"}, {send: "GET /not; x-s: 1"}, {send: "GET /null"}, {send: "GET /null; x-s: 1"}, {send: "GET /bool; x-s: true"}, {send: "GET /list; x-s: 1"}, {send: "GET /or; x-s: w"}, {send: "GET /or; x-s: x"},
		{send: "GET /state; x-k: state"}, {send: "GET /state; x-k: other"}, {send: "GET /state"}, {send: "GET /empty"}}},
	{name: "metadata-logs", filters: noting, json: ofAll, clusters: map[string]string{"up": "metadata: {filter_metadata: {m: {b: c}}}"}, vhost: "metadata: {filter_metadata: {m: {b: v}}}\n" + routes(route("prefix: /up", about+to), route("prefix: /direct", about+"direct_response: {status: 200}"), route("prefix: /none", to)),
		sends: []exchange{{send: "GET /up; x-s: a"}, {send: "GET /direct"}, {send: "GET /none"}, {send: "GET /missing"}}},
	{name: "metadata-fields", vhost: routes(route("prefix: /", about+to+`, request_headers_to_add: [{header: {key: x-a, value: "%METADATA(ROUTE:m:b)%"}}], response_headers_to_add: [{header: {key: x-b, value: "%METADATA(ROUTE:m:a)%"}}]`)), sends: gets("/")},
	logMetadata("fits", "matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}"),
	logMetadata("needs", "matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}}, match_if_key_not_found: false"),
	logMetadata("invert", "matcher: {filter: notes, path: [{key: s}], value: {string_match: {exact: v}}, invert: true}, match_if_key_not_found: false"),
	logMetadata("none", "match_if_key_not_found: false"),
	{name: "moments", manager: moments, filters: noting, vhost: routes(route("prefix: /up", "name: u, "+to), route("prefix: /direct", "name: d, direct_response: {status: 200}")), sends: []exchange{{send: "GET /up?q=1; x-s: a"}, {send: "GET /direct"}, {send: "GET /missing"},
		{send: "GET / HTTP/1.1\r\n\r\n"}, {send: "GET /%00"}, {send: "GET /up; connection: upgrade; upgrade: websocket", answers: []string{"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"}}}},
	{name: "moments-filtered", manager: moments, logs: "log_type_filter: {types: [DownstreamStart, DownstreamPeriodic]}", sends: gets("/")},
	{name: "moments-tunnel", manager: moments, logs: "log_type_filter: {types: [DownstreamTunnelSuccessfullyEstablished]}", sends: []exchange{{send: "GET /; connection: upgrade; upgrade: websocket", answers: []string{"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"}}}},
	{name: "moments-tcp", tcp: "cluster: $up\naccess_log_options: {flush_access_log_on_start: true, flush_access_log_on_connected: true}", sends: []exchange{{send: "tcp hello"}}},
	{name: "hashes-state", filters: strings.Replace(noting, "envoy.string", "envoy.hashable_string", 1), clusters: map[string]string{"up": "lb_policy: RING_HASH"}, vhost: routes(route("prefix: /", "route: {cluster: $up, hash_policy: [{filter_state: {key: k}}]}")), sends: []exchange{{send: "GET /; x-k: 1"}}},
}

func logMetadata(name, filter string) scenario {
	return scenario{name: "logs-metadata-" + name, logs: "metadata_filter: {" + filter + "}", filters: noting, sends: []exchange{{send: "GET /; x-s: v"}, {send: "GET /; x-s: w"}, {send: "GET /"}}}
}
