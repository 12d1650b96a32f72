package xds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/envoy"
)

// verdict is a configuration and what is to be said of it. bad is a part of what is said against it; empty: it is good.
type verdict struct {
	name, text, bad string
	// differs says why Envoy's verdict is another one; empty: it is the same.
	differs string
	file    string // what the watched file ROUTES holds
}

// Pieces of clusters whose endpoints have names, or are checked.
const (
	named      = "{endpoint: {address: {socket_address: {address: localhost, port_value: 1}}}}"
	checkOften = "timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, "
)

// expressed is a log with a filter in CEL.
func expressed(expression, options string) string {
	return `access_log: [{name: a, filter: {extension_filter: {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "` +
		expression + `", cel_config: {` + options + `}}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]`
}

// monitored is a monitor of all downstream connections, by that name.
func monitored(name, most string) string {
	return `overload_manager: {resource_monitors: [{name: ` + name + `, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: ` + most + `}}]}`
}

// second are a connection manager's options of HTTP/2, spoken a cluster's own.
func second(options string) string { return http("http2_protocol_options: {"+options+"}", forward) }

func spoken(options, more string) string {
	return cluster(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` +
		options + "}}\n    " + more)
}

const (
	tlsSocket   = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}`
	plainSocket = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`
)

// askedHTTP2 are those about HTTP/2.
var askedHTTP2 = []verdict{
	{name: "http/2", text: http("codec_type: HTTP2", forward)},
	{name: "no streams", text: second("max_concurrent_streams: 0"), bad: "inside range [1, 2147483647]"},
	{name: "window of 65534", text: second("initial_stream_window_size: 65534"), bad: "inside range [65535, 2147483647]"},
	{name: "no frames", text: second("max_outbound_control_frames: 0"), bad: "greater than or equal to 1"},
	{name: "no header table", text: second("hpack_table_size: 0")},
	{name: "header table of 4 GiB", text: second("hpack_table_size: 4294967295"), bad: "16777216 at most", differs: "Envoy has no bound"},
	{name: "setting named twice", text: second("hpack_table_size: 4096, custom_settings_parameters: [{identifier: 1, value: 4096}]"), bad: "through both"},
	{name: "setting by number", text: second("custom_settings_parameters: [{identifier: 1, value: 3}]")},
	{name: "setting of no streams", text: second("custom_settings_parameters: [{identifier: 3, value: 0}]"), bad: "want 1 to 2147483647", differs: "Envoy tells peers so"},
	{name: "setting of push", text: second("custom_settings_parameters: [{identifier: 2, value: 1}]"), bad: "server push"},
	{name: "setting of no push", text: second("custom_settings_parameters: [{identifier: 2, value: 0}]")},
	{name: "setting of extended connect", text: second("custom_settings_parameters: [{identifier: 8, value: 1}]"), bad: "allow_connect"},
	{name: "setting and setting", text: second("custom_settings_parameters: [{identifier: 99, value: 1}, {identifier: 99, value: 2}]"), bad: "inconsistent"},
	{name: "setting again", text: second("custom_settings_parameters: [{identifier: 99, value: 1}, {identifier: 99, value: 1}]")},
	{name: "setting 65536", text: second("custom_settings_parameters: [{identifier: 65536, value: 1}]"), bad: "[0, 65535]"},
	{name: "ping without an end", text: second("connection_keepalive: {interval: 1s}"), bad: "value is required"},
	{name: "ping without an interval", text: second("connection_keepalive: {timeout: 1s}")},
	{name: "ping that waits longer than until the next", text: second("connection_keepalive: {interval: 1s, timeout: 2s}")},
	{name: "field larger than the head", text: second("max_header_field_size_kb: 64"), bad: "must not exceed max_request_headers_kb"},
	{name: "field larger than an upstream's head", text: spoken("explicit_http_config: {http2_protocol_options: {max_header_field_size_kb: 64}}, common_http_protocol_options: {max_response_headers_kb: 63}", ""), bad: "must not exceed max_response_headers_kb"},
	{name: "field of an upstream", text: spoken("explicit_http_config: {http2_protocol_options: {max_header_field_size_kb: 64}}", "")},
	{name: "both versions", text: cluster("http_protocol_options: {}\n    http2_protocol_options: {}"), bad: "non-default 'protocol_selection'"},
	{name: "both versions as downstream", text: cluster("protocol_selection: USE_DOWNSTREAM_PROTOCOL\n    http_protocol_options: {}\n    http2_protocol_options: {}")},
	{name: "typed and older options", text: spoken("explicit_http_config: {http_protocol_options: {}}", "http2_protocol_options: {}"), bad: "are not read beside this", differs: "Envoy reads the typed options alone"},
	{name: "auto without TLS", text: spoken("auto_config: {}", ""), bad: "is not TLS"},
	{name: "auto with TLS", text: spoken("auto_config: {}", "transport_socket: "+tlsSocket)},
	{name: "auto with TLS for some", text: spoken("auto_config: {}", "transport_socket: "+tlsSocket+"\n    transport_socket_matches: [{name: a, match: {a: b}, transport_socket: "+plainSocket+"}]"), bad: "transport_socket_matches[0] is not TLS"},
	{name: "gRPC check over HTTP/1", text: cluster("health_checks: [{" + checkOften + "grpc_health_check: {}}]"), bad: "must speak HTTP/2"},
	{name: "gRPC check over HTTP/2", text: cluster("http2_protocol_options: {}\n    health_checks: [{" + checkOften + "grpc_health_check: {}}]")},
	{name: "gRPC check as downstream", text: spoken("use_downstream_protocol_config: {}", "health_checks: [{"+checkOften+"grpc_health_check: {}}]"), bad: "must speak HTTP/2"},
	{name: "gRPC check as downstream or HTTP/2", text: spoken("use_downstream_protocol_config: {http2_protocol_options: {}}", "health_checks: [{"+checkOften+"grpc_health_check: {}}]")},
	{name: "gRPC check by ALPN", text: spoken("auto_config: {}", "transport_socket: "+tlsSocket+"\n    health_checks: [{"+checkOften+"grpc_health_check: {}}]")},
	{name: "gRPC check with a path", text: cluster("http2_protocol_options: {}\n    health_checks: [{" + checkOften + "grpc_health_check: {initial_metadata: [{header: {key: \":path\", value: a}}]}}]"), bad: "no name of a field"},
	{name: "HTTP/2 check of a cluster of HTTP/1", text: cluster("health_checks: [{" + checkOften + "http_health_check: {path: /, codec_client_type: HTTP2}}]")},
}

// asked are configurations that the real Envoy is asked about, too.
var asked = []verdict{
	{name: "octal port", text: `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0120}}}`},
	{name: "port as text", text: `admin: {address: {socket_address: {address: 127.0.0.1, port_value: "0x50"}}}`},
	{name: "y is a boolean", text: `node: {id: y}`, bad: `node.id: want a string, not true: put it in quotes`},
	{name: "enum in lower case", text: cluster("lb_policy: random")},
	{name: "one for a list", text: `static_resources: {clusters: {name: a, connect_timeout: 1s}}`},
	{name: "key twice", text: `node: {id: a, id: b}`, bad: `node.id: is set twice`, differs: "Envoy takes the last"},
	{name: "ignored key", text: "!ignore x: {a: b}\nnode: {id: a}"},
	{name: "endpoint at port 0", text: cluster(endpoints(`{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}}`)), bad: "nobody can be reached at port 0", differs: "Envoy fails each connection"},
	{name: "endpoint with a name", text: cluster(endpoints(`{endpoint: {address: {socket_address: {address: localhost, port_value: 1}}}}`)), bad: "is not an IP address"},
	{name: "weights overflow", text: cluster(endpoints(`{load_balancing_weight: 4294967295, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}`,
		`{load_balancing_weight: 4294967295, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}}`)), bad: "the weights sum to", differs: "Envoy asks that of EDS only"},
	{name: "thresholds twice", text: cluster("circuit_breakers: {thresholds: [{max_requests: 1}, {max_requests: 2}]}"), bad: "DEFAULT has thresholds already", differs: "Envoy takes the first"},
	{name: "eds without a source", text: cluster("type: EDS"), bad: "a source of endpoints is missing"},
	{name: "least request settings on round robin", text: cluster("least_request_lb_config: {choice_count: 3}"), bad: "lb_policy is ROUND_ROBIN", differs: "Envoy ignores them"},
	{name: "protocol options twice", text: cluster("common_http_protocol_options: {}\n    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}}"), bad: "are not read beside this", differs: "Envoy reads the typed options alone"},
	{name: "listener without chains", text: "static_resources: {listeners: [{name: a, address: {pipe: {path: /tmp/a}}}]}", bad: "a filter chain is missing"},
	{name: "chain without filters", text: "static_resources: {listeners: [{name: a, address: {pipe: {path: /tmp/a}}, filter_chains: [{}]}]}", bad: "a filter is missing", differs: "Envoy closes each connection"},
	{name: "chains that ask for the same", text: chains("prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 8}, {address_prefix: 11.0.0.0, prefix_len: 8}]", "prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]"), bad: "filter_chains[1] asks for the same as filter_chains[0]"},
	{name: "chains that ask for nothing", text: chains("", ""), bad: "asks for the same"},
	{name: "any and no prefix", text: chains("prefix_ranges: [{address_prefix: 0.0.0.0, prefix_len: 0}]", "")},
	{name: "source port twice", text: chains("source_ports: [1, 1]"), bad: "1 is listed twice"},
	{name: "chains of a name", text: strings.ReplaceAll(chains("source_ports: [1]", "source_ports: [2]"), "- filter_chain", "- name: a\n      filter_chain")},
	{name: "default chain with a match", text: strings.ReplaceAll(chains("source_ports: [1]"), "    filter_chains:\n    - filter", "    default_filter_chain:\n      filter"), bad: "leave it out", differs: "Envoy ignores it"},
	{name: "address of another listener", text: strings.ReplaceAll(listener(tcp("cluster: up"), tcp("cluster: up"))+up, "port_value: 0}}", "port_value: 0}}\n    additional_addresses: [{address: {socket_address: {address: 127.0.0.2, port_value: 7}}}]"), bad: "listeners[0] is at 127.0.0.2:7, too"},
	{name: "address twice", text: strings.ReplaceAll(listener(tcp("cluster: up"))+up, "port_value: 0}}", "port_value: 7}}\n    additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 7}}}]"), bad: "127.0.0.1:7 is listed twice", differs: "Envoy binds it twice"},
	{name: "limit of connections", text: limited(echo)},
	{name: "limit and nothing", text: limited(""), bad: "it passes connections on"},
	{name: "limit after what takes all", text: strings.Replace(limited(echo), "filters:\n      - ", "filters:\n      - "+echo+"\n      - ", 1), bad: "it takes the whole connection"},
	{name: "two listeners of a name", text: strings.Replace(listener(tcp("cluster: up"), tcp("cluster: up")), "name: l1", "name: l0", 1) + up, bad: `listeners[0] is called "l0", too`, differs: "Envoy serves the first and says nothing"},
	{name: "tcp weights overflow", text: listener(tcp("weighted_clusters: {clusters: [{name: up, weight: 4294967295}, {name: up, weight: 2}]}")) + up, bad: "the weights sum to 4294967297", differs: "Envoy sums 64 bits"},
	{name: "router not last", text: http(`http_filters: [{name: a, ROUTER}, {name: b, ROUTER}]`, forward), bad: "it must be the last of the 2 filters"},
	{name: "ring of nothing", text: cluster("lb_policy: RING_HASH\n    ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}"), bad: "want at most the maximum_ring_size"},
	{name: "ring of 9 million", text: cluster("lb_policy: RING_HASH\n    ring_hash_lb_config: {maximum_ring_size: 9000000}"), bad: "maximum_ring_size"},
	{name: "table of 8", text: cluster("lb_policy: MAGLEV\n    maglev_lb_config: {table_size: 8}"), bad: "want a prime"},
	{name: "hostname for a ring", text: cluster("lb_policy: RING_HASH\n    common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}"), bad: "for clusters of type STRICT_DNS, says Envoy"},
	{name: "balance factor of 99", text: cluster("lb_policy: MAGLEV\n    common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 99}}"), bad: "hash_balance_factor"},
	{name: "policy and subsets", text: cluster("lb_subset_config: {subset_selectors: [{keys: [a]}]}\n    load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random}}}]}"), bad: "load_balancing_policy is set"},
	{name: "no policy", text: cluster("lb_policy: LOAD_BALANCING_POLICY_CONFIG"), bad: "a policy is missing"},
	{name: "single host of two keys", text: cluster("lb_subset_config: {subset_selectors: [{keys: [a, b], single_host_per_subset: true}]}")},
	{name: "selector without keys", text: cluster("lb_subset_config: {subset_selectors: [{}]}")},
	{name: "fallback to all keys", text: cluster("lb_subset_config: {subset_selectors: [{keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a]}]}"), bad: "and not all"},
	{name: "fallback to other keys", text: cluster("lb_subset_config: {subset_selectors: [{keys: [a, b], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [c]}]}"), bad: "want some of the selector's keys"},
	{name: "ejection longer than the longest", text: cluster("outlier_detection: {base_ejection_time: 20s, max_ejection_time: 10s}"), bad: "want at least the base_ejection_time"},
	{name: "ejection of 5 minutes and more", text: cluster("outlier_detection: {base_ejection_time: 400s}")},
	{name: "priority 128", text: cluster("load_assignment: {cluster_name: up, endpoints: [{priority: 129}]}"), bad: "priority"},
	{name: "overprovisioning of nothing", text: cluster("load_assignment: {cluster_name: up, policy: {overprovisioning_factor: 0}}"), bad: "overprovisioning_factor"},
	{name: "no router", text: http("http_filters: []", forward), bad: "want at least envoy.filters.http.router", differs: "Envoy has no answer to any request"},
	{name: "both ports stripped", text: http("strip_any_host_port: true\n          strip_matching_host_port: true", forward), bad: "set one of the two"},
	{name: "websocket twice", text: http("upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: WebSocket}]", forward), bad: "is listed twice"},
	{name: "unknown cluster", text: http("", `{match: {prefix: /}, route: {cluster: nobody}}`), bad: `there is no cluster "nobody"`},
	{name: "total weight", text: http("", `{match: {prefix: /}, route: {weighted_clusters: {total_weight: 7, clusters: [{name: up, weight: 5}]}}}`), bad: "the weights sum to 5", differs: "Envoy ignores it"},
	{name: "domain twice", text: http("", forward, `{name: b, domains: [A.example]}`, `{name: c, domains: [a.EXAMPLE]}`), bad: `"a.example" belongs to virtual_hosts[1] already`},
	{name: "virtual host twice", text: http("", forward, `{name: b, domains: [a.example]}`, `{name: b, domains: [b.example]}`)},
	{name: "matcher of routes", text: http("", forward, "{name: b, domains: [b], matcher: {on_no_match: "+meets+"}}")},
	{name: "matcher and routes", text: http("", forward, "{name: b, domains: [b], routes: ["+forward+"], matcher: {}}"), bad: "matcher: there are routes, too"},
	{name: "matcher that goes on", text: http("", forward, "{name: b, domains: [b], matcher: {on_no_match: {keep_matching: true, "+meets[1:]+"}}"), bad: "keep_matching: not supported: one route or list is met"},
	{name: "matcher of a query", text: http("", forward, `{name: b, domains: [b], matcher: {matcher_tree: {input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestQueryParamMatchInput, query_param: q}}, exact_match_map: {map: {a: `+meets+`}}}}}`), bad: "HttpRequestQueryParamMatchInput is not supported here"},
	{name: "matcher of a field without a name", text: http("", forward, `{name: b, domains: [b], matcher: {matcher_tree: {input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput}}, exact_match_map: {map: {a: `+meets+`}}}}}`), bad: "header_name: a name is missing", differs: "Envoy finds none"},
	{name: "query in an exact path", text: http("", `{match: {path: "/a?b"}, route: {cluster: up}}`)},
	{name: "grpc route", text: http("", `{match: {prefix: /, grpc: {}}, route: {cluster: up}}`)},
	{name: "template", text: http("", matching("/a/{b}/*/{c=x/**}.html"))},
	{name: "template with a glob after **", text: http("", matching("/**/*")), bad: "no glob or variable that is one may follow **"},
	{name: "template with six variables", text: http("", matching("/{a}/{b}/{c}/{d}/{e}/{f}")), bad: "more than 5 variables"},
	{name: "template with a variable twice", text: http("", matching("/{a}/{a}")), bad: `there are two variables "a"`},
	{name: "template with two slashes", text: http("", matching("/a//b")), bad: "is no segment"},
	{name: "template with a star in a segment", text: http("", matching("/a*=b/*x"))},
	{name: "template with two variables in a segment", text: http("", matching("/{a}{b}")), bad: "want a / or the end of the template"},
	{name: "connect", text: http("upgrade_configs: [{upgrade_type: CONNECT}]", `{match: {connect_matcher: {}}, route: {cluster: up, upgrade_configs: [{upgrade_type: connect, connect_config: {}}]}}`)},
	{name: "connect settings for websocket", text: http("", `{match: {prefix: /}, route: {cluster: up, upgrade_configs: [{upgrade_type: websocket, connect_config: {}}]}}`), bad: "is for upgrade_type CONNECT, not websocket"},
	{name: "rewrite by the template", text: http("", rewriting("/a/{b}/{c=**}", "/{c}/x/{b}"))},
	{name: "rewrite by a variable that is not there", text: http("", rewriting("/a/{b}", "/{c}")), bad: `no variable "c"`},
	{name: "rewrite with an open variable", text: http("", rewriting("/a/{b}", "/{b")), bad: "want the characters of a path, or {name}"},
	{name: "rewrite without a slash", text: http("", rewriting("/a/{b}", "x/{b}")), bad: "a path begins with /"},
	{name: "rewrite without a template", text: http("", strings.Replace(rewriting("", "/a"), "match: {"+policy(""), "match: {prefix: /", 1)), bad: "wants a path_match_policy"},
	{name: "prefix of a template", text: http("", strings.Replace(matching("/a"), "cluster: up", "cluster: up, prefix_rewrite: /b", 1)), bad: "a template has no prefix"},
	{name: "two rewrites", text: http("", `{match: {prefix: /}, route: {cluster: up, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}}`), bad: "leave one of the two out"},
	{name: "group that is not there", text: http("", `{match: {prefix: /}, route: {cluster: up, regex_rewrite: {pattern: {regex: a}, substitution: '\1'}}}`), bad: "the pattern has 0 groups", differs: "Envoy puts nothing in its place"},
	{name: "lone backslash", text: http("", `{match: {prefix: /}, route: {cluster: up, regex_rewrite: {pattern: {regex: a}, substitution: '\n'}}}`), bad: "must follow a backslash", differs: "Envoy logs an error for each request"},
	{name: "cluster by name and by header", text: http("", `{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, cluster_header: x, weight: 1}]}}}`), bad: "leave one of the two out"},
	{name: "hash policies", text: http("", `{match: {prefix: /}, route: {cluster: up, hash_policy: [{header: {header_name: ":path"}}, {cookie: {name: a, ttl: 0s}}, {connection_properties: {source_ip: false}}]}}`)},
	{name: "cookie with a semicolon", text: http("", `{match: {prefix: /}, route: {cluster: up, hash_policy: [{cookie: {name: a, ttl: 0s, path: "/;Secure"}}]}}`), bad: "parts cookies", differs: "Envoy writes it"},
	{name: "pattern without case", text: http("", `{match: {prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: a}, ignore_case: true}}]}, route: {cluster: up}}`), bad: "begin the pattern with (?i)"},
	{name: "old header matches", text: http("", `{match: {prefix: /, headers: [{name: a, exact_match: b}, {name: c, range_match: {start: 1, end: 2}}, {name: d, present_match: false}]}, route: {cluster: up}}`)},
	{name: "redirect to a port too high", text: http("", `{match: {prefix: /}, redirect: {port_redirect: 65536}}`), bad: "port_redirect", differs: "Envoy writes it into the location"},
	{name: "direct response too long", text: http("", `{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "`+strings.Repeat("a", 4097)+`"}}}`), bad: "more than the 4096 bytes"},
	{name: "change the path", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: ":path", value: /}}]}`), bad: ":path may not be changed"},
	{name: "change the host", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: Host, value: a}}]}`), bad: "host may not be changed"},
	{name: "space in a name", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: "a b", value: c}}]}`), bad: "header.key", differs: "Envoy sends it"},
	{name: "append twice", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: a, value: c}, append: true, append_action: ADD_IF_ABSENT}]}`), bad: "leave one of the two out"},
	{name: "original destination with a balancer", text: cluster("type: ORIGINAL_DST"), bad: "want CLUSTER_PROVIDED"},
	{name: "original destination", text: cluster("type: ORIGINAL_DST\n    lb_policy: CLUSTER_PROVIDED")},
	{name: "a header that nothing is read from", text: cluster("type: ORIGINAL_DST\n    lb_policy: CLUSTER_PROVIDED\n    original_dst_lb_config: {http_header_name: x}"), bad: "use_http_header: true"},
	{name: "provided by nobody", text: cluster("lb_policy: CLUSTER_PROVIDED"), bad: "is for the type ORIGINAL_DST"},
	{name: "no names to resolve", text: cluster("type: STRICT_DNS")},
	{name: "two logical endpoints", text: cluster("type: LOGICAL_DNS\n    " + endpoints(named, named)), bad: "one locality with one endpoint"},
	{name: "a name that is an address", text: cluster("type: STRICT_DNS\n    " + endpoints(`{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}`))},
	{name: "failures refreshed ever less", text: cluster("type: STRICT_DNS\n    dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}\n    " + endpoints(named)), bad: "want at least the base_interval"},
	{name: "two health checks", text: cluster("health_checks: [{" + checkOften + "tcp_health_check: {}}, {" + checkOften + "tcp_health_check: {}}]"), bad: "a cluster has one"},
	{name: "a health check of nothing", text: cluster("health_checks: [{" + checkOften + "}]"), bad: "health_checks[0]"},
	{name: "a body for GET", text: cluster("health_checks: [{" + checkOften + "http_health_check: {path: /, send: {text: \"00\"}}}]"), bad: "has no body"},
	{name: "no hexadecimal", text: cluster("health_checks: [{" + checkOften + "tcp_health_check: {send: {text: hi}}}]"), bad: "in hexadecimal"},
	{name: "no statuses", text: cluster("health_checks: [{" + checkOften + "http_health_check: {path: /, expected_statuses: [{start: 200, end: 200}]}}]"), bad: "want statuses"},
	{name: "unknown operator", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: a, value: "%NOBODY%"}}]}`), bad: "NOBODY at byte 1"},
	{name: "chain by a matcher", text: chooser("{on_no_match: "+leads("a")+"}", "name: a")},
	{name: "matcher to a chain that is not there", text: chooser("{on_no_match: "+leads("z")+"}", "name: a"), bad: `there is no filter chain "z"`, differs: "Envoy closes who is led there"},
	{name: "matcher and a chain without a name", text: chooser("{on_no_match: "+leads("a")+"}", ""), bad: "filter_chain_matcher finds chains by their names"},
	{name: "matcher and two chains of a name", text: chooser("{on_no_match: "+leads("a")+"}", "name: a", "name: a"), bad: `filter_chains[0] is called "a", too`},
	{name: "matcher and two chains that match the same", text: chooser("{on_no_match: "+leads("a")+"}", "name: a, filter_chain_match: {destination_port: 5}", "name: b, filter_chain_match: {destination_port: 5}")},
	{name: "matcher of nothing", text: chooser("{}", "name: a")},
	{name: "matcher of an empty map", text: chooser("{matcher_tree: {"+inputPort+", exact_match_map: {map: {}}}}", "name: a"), bad: "exact_match_map"},
	{name: "matcher with another action", text: chooser(`{on_no_match: {action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.BoolValue, value: true}}}}`, "name: a"), bad: "google.protobuf.BoolValue is not supported here"},
	{name: "tcp log times said twice", text: listener(tcp("cluster: up, access_log_flush_interval: 1s, access_log_options: {}")) + up, bad: "access_log_options are there, too"},
	{name: "runtime values", text: `layered_runtime: {layers: [{name: a, static_layer: {a: {b: 1, c: x}, d: {numerator: 1}, e: true}}, {name: b, admin_layer: {}}]}`},
	{name: "runtime list", text: `layered_runtime: {layers: [{name: a, static_layer: {a: [1]}}]}`, bad: "layers[0].static_layer[\"a\"]: want a number"},
	{name: "runtime null", text: `layered_runtime: {layers: [{name: a, static_layer: {a: {b: null}}}]}`, bad: "want a number"},
	{name: "runtime layers of a name", text: `layered_runtime: {layers: [{name: a, static_layer: {}}, {name: a, admin_layer: {}}]}`, bad: `layers[0] is called "a", too`},
	{name: "runtime admin twice", text: `layered_runtime: {layers: [{name: a, admin_layer: {}}, {name: b, admin_layer: {}}]}`, bad: "want at most one"},
	{name: "runtime switches", text: `layered_runtime: {layers: [{name: a, static_layer: {envoy.reloadable_features.delay_reset: false}}]}`, bad: "not supported: a switch of Envoy's own code", differs: "we have no such switches"},
	{name: "switches of Istio's agent", text: `layered_runtime: {layers: [{name: a, static_layer: {envoy.reloadable_features.http_reject_path_with_fragment: false, envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update: false, envoy.reloadable_features.fixed_heap_use_allocated: true}}]}`},
	{name: "tag with a look ahead", text: `stats_config: {use_all_default_tags: false, stats_tags: [{tag_name: a, regex: "^listener(?=\\.).*?\\.http\\.(a)"}]}`},
	{name: "tag with a look ahead in the middle", text: `stats_config: {use_all_default_tags: false, stats_tags: [{tag_name: a, regex: "^b.*(?=c)(a)"}]}`, bad: "not a pattern of RE2", differs: "Envoy has the library of C++ look for it"},
	{name: "tag beside Envoy's own", text: `stats_config: {stats_tags: [{tag_name: a, fixed_value: b}]}`, bad: "say use_all_default_tags: false", differs: "Envoy has both"},
	{name: "tag without a name", text: `stats_config: {use_all_default_tags: false, stats_tags: [{regex: (a)}]}`, bad: "a name is missing"},
	{name: "tag that is broken", text: `stats_config: {use_all_default_tags: false, stats_tags: [{tag_name: a, regex: "(a"}]}`, bad: "not a pattern of RE2"},
	{name: "buckets that do not ascend", text: `stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [2, 1]}]}`, bad: "ascending order", differs: "Envoy sorts them"},
	{name: "bucket of nothing", text: `stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [0]}]}`, bad: "buckets"},
	{name: "monitor of connections", text: monitored("envoy.resource_monitors.global_downstream_max_connections", "1")},
	{name: "monitor by another name", text: monitored("connections", "1"), bad: "want envoy.resource_monitors"},
	{name: "monitor of no connections", text: monitored("envoy.resource_monitors.global_downstream_max_connections", "0"), bad: "max_active_downstream_connections"},
	{name: "addresses of both families", text: cluster("upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}, extra_source_addresses: [{address: {address: '::1', port_value: 0}}]}")},
	{name: "addresses of one family", text: cluster("upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}, extra_source_addresses: [{address: {address: 127.0.0.2, port_value: 0}}]}"), bad: "want the other one"},
	{name: "address of the other family alone", text: cluster("upstream_bind_config: {extra_source_addresses: [{address: {address: 127.0.0.2, port_value: 0}}]}"), bad: "wants a source_address, too"},
	{name: "log in JSON", text: `application_log_config: {log_format: {json_format: {a: "%j"}}}`},
	{name: "log in broken JSON", text: `application_log_config: {log_format: {json_format: {a: "%v"}}}`, bad: "use %j"},
	{name: "listeners from nowhere", text: told + `dynamic_resources: {lds_config: {path_config_source: {path: /nowhere/lds.yaml}}}`, bad: "there is no folder /nowhere", differs: "it looks for these files when it serves"},
	{name: "log operators", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%PATH(NQ:ORIG)% %QUERY_PARAMS% %GRPC_STATUS(SNAKE_STRING)% %UPSTREAM_HOST_NAME% %METADATA(DYNAMIC:a)% %DOWNSTREAM_PEER_CERT_V_START(%Y)% %TRACE_ID%"}}}}]`, forward)},
	{name: "log operator of a formatter", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%REQ_WITHOUT_QUERY(:PATH)%"}}}}]`, forward), differs: "Envoy wants the formatter to be listed"},
	{name: "log of a route's metadata", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%METADATA(ROUTE:a:b)%"}}}}]`, forward)},
	{name: "log of nobody's metadata", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%METADATA(OTHER:a:b)%"}}}}]`, forward), bad: "there is no metadata of OTHER"},
	{name: "logs of new requests in both ways", text: http(`access_log_options: {access_log_flush_interval: 1s}
          flush_access_log_on_new_request: true`, forward), bad: "access_log_options holds it"},
	{name: "addresses in two ways", text: http(`use_remote_address: true
          original_ip_detection_extensions: [{name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: x-ip}}]`, forward), bad: "say where addresses come from"},
	{name: "replies with a status that is none", text: http(`local_reply_config: {mappers: [{filter: {not_health_check_filter: {}}, status_code: 199}]}`, forward), bad: "status_code"},
	{name: "replies without a filter", text: http(`local_reply_config: {mappers: [{status_code: 500}]}`, forward), bad: "filter"},
	{name: "early changes of a path", text: http(`early_header_mutation_extensions: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [{append: {header: {key: ":path", value: /}}}]}}]`, forward), bad: ":path"},
	{name: "log operator that is none", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%VIRTUAL_HOST_NAME%"}}}}]`, forward), bad: "not an operator"},
	{name: "log filters", text: http(`access_log: [{name: a, filter: {and_filter: {filters: [{not_health_check_filter: {}}, {or_filter: {filters: [{response_flag_filter: {}}, {log_type_filter: {types: [DownstreamEnd, UdpSessionEnd]}}]}}]}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%PROTOCOL%"}}}}]`, forward)},
	{name: "expression", text: http(expressed(`response.code >= 400 && has(request.headers.x)`, ``), forward)},
	{name: "broken expression", text: http(expressed(`response.code >=`, ``), forward), bad: `Syntax error`},
	{name: "empty expression", text: http(expressed(``, ``), forward), bad: `is empty`},
	{name: "loop in an expression", text: http(expressed(`[1].all(x, x == 1)`, ``), forward), bad: `undeclared reference`},
	{name: "conversion to text", text: http(expressed(`string(response.code) == ''`, ``), forward), bad: `undeclared reference to 'string'`},
	{name: "conversion to text, switched on", text: http(expressed(`string(response.code) == ''`, `enable_string_conversion: true`), forward)},
	{name: "attribute that nobody has", text: http(expressed(`request.header.x == ''`, ``), forward), bad: `request has no "header"`, differs: "Envoy takes it, and it fails each time"},
	{name: "name that nobody has", text: http(expressed(`nothing == 1`, ``), forward), bad: `undeclared reference to 'nothing'`, differs: "Envoy takes it, and it fails each time"},
	{name: "types that do not fit", text: http(expressed(`1 + 'a' == 2`, ``), forward), bad: `no matching overload`, differs: "Envoy takes it, and it fails each time"},
	{name: "function that nobody has", text: http(expressed(`f(1)`, ``), forward), bad: `undeclared reference to 'f'`},
	{name: "expression in a format", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%CEL(request.path):3% %TYPED_CEL(response.code)%"}}}}]`, forward)},
	{name: "broken expression in a format", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%CEL(request.)%"}}}}]`, forward), bad: "CEL at byte 1"},
	{name: "pattern of a field", text: http(expressed(`request.path.matches(request.headers.x)`, ``), forward), bad: "is to be written out", differs: "a peer may not have patterns compiled"},
	{name: "formatter of expressions", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%CEL(request.path)%"}, formatters: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.formatter.cel.v3.Cel}}]}}}]`, forward)},
	{name: "formatter of expressions with options", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%CEL(request.path)%"}, formatters: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.formatter.cel.v3.Cel, cel_config: {enable_string_concat: true}}}]}}}]`, forward), bad: "formatters[0].typed_config(Cel).cel_config: not supported yet", differs: "it is not run yet"},
	{name: "no expression in a format", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%CEL()%"}}}}]`, forward), bad: "CEL at byte 1"},
	{name: "log filter of one", text: http(`access_log: [{name: a, filter: {and_filter: {filters: [{not_health_check_filter: {}}]}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%PROTOCOL%"}}}}]`, forward), bad: "and_filter.filters"},
	{name: "log filter by an unknown flag", text: http(`access_log: [{name: a, filter: {response_flag_filter: {flags: [XX]}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "%PROTOCOL%"}}}}]`, forward), bad: "response_flag_filter.flags"},
	{name: "typed struct", text: listener(`typed_config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, value: {stat_prefix: a, cluster: up}}`) + up},
	{name: "rds", text: told + hcm(rds), file: "resources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: table}]"},
	{name: "rds without a file", text: strings.ReplaceAll(told+hcm(rds), "ROUTES", "/nowhere/routes.yaml"), bad: "/nowhere"},
	{name: "rds without a node", text: hcm(rds), file: "resources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: table}]", differs: "Envoy asks for a node even where nobody is told"},
}

// sure are those where Envoy's .proto files, or that a later part will run it, leave nothing to ask, and those that were asked about when
// they were written and have a like in the list above.
var sure = []verdict{
	{name: "http", text: http("", forward)},
	{name: "unknown field", text: `node: {idd: y}`, bad: `node.idd: Node has no field "idd"; did you mean "id"?`},
	{name: "both of a oneof", text: `admin: {address: {pipe: {path: /a}, socket_address: {address: 127.0.0.1, port_value: 1}}}`, bad: "pipe is set already"},
	{name: "name for an address", text: `admin: {address: {socket_address: {address: localhost, port_value: 1}}}`, bad: `"localhost" is not an IP address`},
	{name: "negative timeout", text: cluster("connect_timeout: -1s"), bad: "connect_timeout"},
	{name: "negative idle timeout", text: http("common_http_protocol_options: {idle_timeout: -1s}", forward), bad: "is negative"},
	{name: "eds config on static", text: cluster("eds_cluster_config: {service_name: x}"), bad: "the cluster's type is STATIC"},
	{name: "filter without configuration", text: "static_resources: {listeners: [{name: a, address: {pipe: {path: /tmp/a}}, filter_chains: [{filters: [{name: x}]}]}]}", bad: "a configuration is missing"},
	{name: "abstract socket with a mode", text: "static_resources: {listeners: [{name: a, address: {pipe: {path: \"@a\", mode: 384}}, filter_chains: [{filters: []}]}]}", bad: "has no permission bits"},
	{name: "tcp to nowhere", text: listener(tcp("cluster: nobody"))},
	{name: "unknown cluster allowed", text: strings.Replace(http("", `{match: {prefix: /}, route: {cluster: nobody}}`), "name: table", "name: table, validate_clusters: false", 1)},
	{name: "unknown weighted cluster", text: http("", `{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: nobody, weight: 1}]}}}`), bad: `there is no cluster "nobody"`},
	{name: "one weight of 0", text: http("", `{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, weight: 0}, {name: up, weight: 1}]}}}`)},
	{name: "two catch-alls", text: http("", forward, `{name: b, domains: ["*"]}`), bad: `"*" belongs to virtual_hosts[0] already`},
	{name: "bad pattern", text: http("", `{match: {safe_regex: {regex: "(a"}}, route: {cluster: up}}`), bad: "not a pattern of RE2"},
	{name: "pattern that ends its group", text: http("", `{match: {safe_regex: {regex: "a)|(b"}}, route: {cluster: up}}`), bad: "not a pattern of RE2"},
	{name: "remove the host", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_remove: [host]}`), bad: "host may not be removed"},
	{name: "lone percent sign", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: a, value: "50%"}}]}`), bad: "no operator at byte 3"},
	{name: "json log", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {json_format: {a: "%PROTOCOL%", b: [1, true, {c: d}]}}}}]`, forward)},
	{name: "typed struct with an unknown field", text: listener(`typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, value: {stat_prefix: a, cluster: up, nobody: 1}}`) + up, bad: "nobody"},
	{name: "nothing", text: `{}`},
	{name: "admin", text: `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}`},
	{name: "admin without an address", text: `admin: {}`},
	{name: "tcp", text: listener(tcp(`cluster: up`)) + up},
	{name: "unknown enum value", text: cluster("lb_policy: RANDOMLY"), bad: `want a value of LbPolicy, not "RANDOMLY"; did you mean "RANDOM"?`},
	{name: "no number", text: `admin: {address: {socket_address: {address: 127.0.0.1, port_value: eighty}}}`, bad: `port_value: want a whole number from 0 to 4294967295, not "eighty"`},
	{name: "minutes", text: cluster("connect_timeout: 1m"), bad: "want seconds with an s"},
	{name: "port too high", text: `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 65536}}}`, bad: "port_value: value must be less than or equal to 65535"},
	{name: "two clusters of a name", text: `static_resources: {clusters: [{name: a, connect_timeout: 1s}, {name: a, connect_timeout: 1s}]}`, bad: `clusters[0] is called "a", too`},
	{name: "cluster without a name", text: `static_resources: {clusters: [{connect_timeout: 1s}]}`, bad: "clusters[0].name"},
	{name: "weight 0", text: cluster(endpoints(`{load_balancing_weight: 0, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}`)), bad: "load_balancing_weight"},
	{name: "unix endpoint", text: cluster(endpoints(`{endpoint: {address: {pipe: {path: /run/a}}}}`))},
	{name: "choice of one", text: cluster("lb_policy: LEAST_REQUEST\n    least_request_lb_config: {choice_count: 1}"), bad: "choice_count"},
	{name: "protocol options without a protocol", text: cluster("typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions}}"), bad: "explicit_http_config|use_downstream_protocol_config|auto_config"},
	{name: "a server's tls for a cluster", text: cluster(`transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}`), bad: "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext is not supported here"},
	{name: "plain socket", text: cluster(`transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`)},
	{name: "listener without an address", text: "static_resources: {listeners: [{name: a, filter_chains: [{filters: []}]}]}", bad: "listeners[0].address"},
	{name: "tcp without a cluster", text: listener(tcp("idle_timeout: 1s")), bad: "cluster|weighted_clusters"},
	{name: "tcp weights", text: listener(tcp("weighted_clusters: {clusters: [{name: up, weight: 1}, {name: up, weight: 2}]}")) + up},
	{name: "no routes", text: hcm(`stat_prefix: a`), bad: "rds|route_config|scoped_routes"},
	{name: "unknown filter", text: http(`http_filters: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}, {name: b, ROUTER}]`, forward), bad: "envoy.extensions.filters.http.lua.v3.Lua is not supported here"},
	{name: "http/3", text: http("codec_type: HTTP3", forward), bad: "codec_type: HTTP3: not supported yet"},
	{name: "head of 8193 KiB", text: http("max_request_headers_kb: 8193", forward), bad: "max_request_headers_kb"},
	{name: "weights of 0", text: http("", `{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, weight: 0}]}}}`), bad: "the weights sum to 0"},
	{name: "no domains", text: http("", forward, `{name: b}`), bad: "domains"},
	{name: "no match", text: http("", `{route: {cluster: up}}`), bad: "routes[0].match"},
	{name: "no action", text: http("", `{match: {prefix: /}}`), bad: "route|redirect|direct_response"},
	{name: "separated prefix with a slash", text: http("", `{match: {path_separated_prefix: /a/}, route: {cluster: up}}`), bad: "path_separated_prefix"},
	{name: "redirect twice", text: http("", `{match: {prefix: /}, redirect: {path_redirect: /a, prefix_rewrite: /b}}`), bad: "path_redirect is set already"},
	{name: "direct response", text: http("", `{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: hello}}}`)},
	{name: "direct response of status 600", text: http("", `{match: {prefix: /}, direct_response: {status: 600}}`), bad: "status"},
	{name: "line break in a value", text: http("", `{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: a, value: "b\r\nc"}}]}`), bad: "header.value"},
	{name: "log without a path", text: http(`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog}}]`, forward), bad: "path"},
	{name: "deep matcher", text: chooser(strings.Repeat("{on_no_match: {matcher: ", 33)+"{}"+strings.Repeat("}}", 33), "name: a"), bad: "matchers are more than 32 deep within one another"},
	{name: "rds with a broken file", text: told + hcm(rds), file: "resources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, nam: table}]", bad: `did you mean "name"?`},
}

// Parts of configurations.
const (
	forward = `{match: {prefix: /}, route: {cluster: up}}`
	meets   = `{action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.Route, match: {prefix: /}, route: {cluster: nobody}}}}`
	told    = "node: {id: a, cluster: b}\n"
	rds     = `rds: {route_config_name: table, config_source: {path_config_source: {path: ROUTES}}}
          http_filters: [{name: r, ROUTER}]`
	up = `  clusters:
  - name: up
    connect_timeout: 1s
`
)

// matching is a route for a path template.
func matching(template string) string {
	return `{match: {` + policy(template) + `}, route: {cluster: up}}`
}

func policy(template string) string {
	return `path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "` + template + `"}}`
}

func rewriting(template, to string) string {
	return strings.Replace(matching(template), "cluster: up", `cluster: up, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "`+to+`"}}`, 1)
}

func cluster(more string) string {
	if !strings.Contains(more, "connect_timeout") {
		more = "connect_timeout: 1s\n    " + more
	}
	return "static_resources:\n  clusters:\n  - name: up\n    " + more + "\n"
}

func endpoints(list ...string) string {
	return "load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [" + strings.Join(list, ", ") + "]}]}"
}

func listener(filters ...string) string {
	var b strings.Builder
	b.WriteString("static_resources:\n  listeners:\n")
	for i, f := range filters {
		fmt.Fprintf(&b, `  - name: l%d
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: x
        %s
`, i, f)
	}
	return b.String()
}

const echo = `{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`

// limited is a limit of connections before another filter.
func limited(before string) string {
	text := listener(`typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 1}`)
	if before != "" {
		text += "      - " + before + "\n"
	}
	return text
}

// chains are filter chains with these matches.
func chains(matches ...string) string {
	text := listener(tcp("cluster: up"))
	before, chain, _ := strings.Cut(text, "    - filters:")
	for _, m := range matches {
		before += "    - filter_chain_match: {" + m + "}\n      filters:" + chain
	}
	return before + up
}

// chooser is a listener that finds its chains by a matcher.
func chooser(matcher string, chains ...string) string {
	text := "static_resources:\n  listeners:\n  - name: l\n    address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n    filter_chain_matcher: " + matcher + "\n    filter_chains:\n"
	for _, c := range chains {
		if c != "" {
			c += ", "
		}
		text += "    - {" + c + "filters: [" + echo + "]}\n"
	}
	return text
}

func leads(chain string) string {
	return `{action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: ` + chain + `}}}`
}

const inputPort = `input: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput}}`

func tcp(more string) string {
	return `typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, ` + more + "}"
}

func hcm(more string) string {
	if !strings.Contains(more, "stat_prefix") {
		more = "stat_prefix: h\n          " + more
	}
	return listener(`typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          ` + more)
}

// http is a connection manager with one virtual host and one route, and the cluster that it leads to.
func http(more, route string, hosts ...string) string {
	if !strings.Contains(more, "http_filters") {
		more += "\n          http_filters: [{name: r, ROUTER}]"
	}
	hosts = append([]string{`{name: all, domains: ["*"], routes: [` + route + `]}`}, hosts...)
	return hcm(strings.TrimSpace(more)+`
          route_config: {name: table, virtual_hosts: [`+strings.Join(hosts, ", ")+`]}`) + up
}

// write puts a configuration and its watched file into a folder.
func write(t *testing.T, text, routes string) string {
	t.Helper()
	folder := t.TempDir()
	if strings.Contains(text, "PEMS") {
		putKeys(t, folder)
		text = strings.ReplaceAll(text, "PEMS", folder)
	}
	text = strings.ReplaceAll(text, "ROUTER", `typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`)
	text = strings.ReplaceAll(text, "ROUTES", filepath.Join(folder, "routes.yaml"))
	for name, content := range map[string]string{"bootstrap.yaml": text, "routes.yaml": routes} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "bootstrap.yaml")
}

// TestVerdicts asks us.
func TestVerdicts(t *testing.T) {
	for _, v := range slices.Concat(asked, askedTLS, askedHTTP2, sure) {
		t.Run(v.name, func(t *testing.T) {
			path := write(t, v.text, v.file)
			v.bad = strings.ReplaceAll(v.bad, "PEMS", filepath.Dir(path))
			err := Validate(Source{Path: path}, nil)
			switch {
			case v.bad == "" && err != nil:
				t.Errorf("refused:\n%v", err)
			case v.bad != "" && err == nil:
				t.Errorf("accepted; want %s", v.bad)
			case v.bad != "" && !strings.Contains(err.Error(), v.bad):
				t.Errorf("want %s\ngot  %v", v.bad, err)
			}
		})
	}
}

// TestOracle asks the real Envoy and compares.
func TestOracle(t *testing.T) {
	binary := envoy.Binary(t)
	for _, v := range slices.Concat(asked, askedTLS, askedHTTP2) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, binary, "--mode", "validate", "--disable-hot-restart", "-l", "off", "--concurrency", "1", "-c", write(t, v.text, v.file)).CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if good := err == nil; (v.bad == "") == good != (v.differs == "") {
				t.Errorf("Envoy accepts: %v; ours: %v; differs: %q\n%s", good, v.bad == "", v.differs, out)
			}
		})
	}
}
