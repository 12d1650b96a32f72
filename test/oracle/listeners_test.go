package oracle

import (
	"crypto/tls"
	"net"
	"time"
)

// hello is what a client of TLS says first.
func hello(name string, protocols ...string) string {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		tls.Client(client, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}).Handshake() // which nobody answers
	}()
	server.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, _ := server.Read(b)
	return string(b[:n])
}

// says is a filter chain that answers with its name.
func says(name, match string) string {
	if match != "" {
		match = "\n  filter_chain_match: {" + match + "}"
	}
	return "\n- name: " + name + match + "\n  filters: [" + answer(name) + "]"
}

func answer(text string) string {
	return `{name: envoy.filters.network.direct_response, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: ` + text + `}}}`
}

func rate(fields string) string {
	return `- {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit, ` + fields + `}}`
}

func inspector(name, fields string) string {
	return `{name: envoy.filters.listener.` + name + `, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.` + name + `.v3.` + map[string]string{"tls_inspector": "TlsInspector", "http_inspector": "HttpInspector", "proxy_protocol": "ProxyProtocol", "original_dst": "OriginalDst"}[name] + `, ` + fields + `}}`
}

// portsGone were going to ports that are those of HTTP, of HTTPS, of neither, and to none but ours.
var portsGone = []exchange{
	{send: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n" + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 8443\r\n" + "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: http\r\n\r\n"},
	{send: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n" + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n" + "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: https\r\n\r\n"},
	{send: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 99\r\n" + "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: https\r\n\r\n"}, {send: "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: https\r\n\r\n"},
}

const v1, v2 = "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x00\x50"

const otherwise = "default_filter_chain: {name: other, filters: [{name: envoy.filters.network.direct_response, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: other}}}]}\n"

var listening = []scenario{
	{name: "chains-names", alone: "none", chains: says("exact", "server_names: [a.example]") + says("suffix", "server_names: ['*.example']") + says("tls", "transport_protocol: tls") + says("h2", "transport_protocol: tls, application_protocols: [h2], server_names: [p.test]") + says("plain", "transport_protocol: raw_buffer"),
		listener: otherwise + "listener_filters: [" + inspector("tls_inspector", "max_client_hello_size: 16384, close_connection_on_client_hello_parsing_errors: true") + "]",
		sends:    []exchange{{send: hello("a.example")}, {send: hello("b.example")}, {send: hello("x.b.example")}, {send: hello("other.test", "h2")}, {send: hello("p.test", "h2", "http/1.1")}, {send: hello("p.test", "http/1.1")}, {send: "plain text\r\n"}, {send: ""}}},
	{name: "chains-protocols", alone: "none", chains: says("one", "application_protocols: [http/1.1]") + says("ten", "application_protocols: [http/1.0]") + says("two", "application_protocols: [h2c]"),
		listener: otherwise + "listener_filters: [" + inspector("http_inspector", "") + "]",
		sends:    []exchange{{send: "GET / HTTP/1.1\r\nhost: a\r\n\r\n"}, {send: "GET / HTTP/1.0\r\n\r\n"}, {send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, {send: "\x01\x02\x03\x04\r\n"}}},
	{name: "chains-addresses", alone: "none", chains: says("near", "source_type: SAME_IP_OR_LOOPBACK") + says("far", "source_type: EXTERNAL") + says("port", "destination_port: 80") + says("net", "prefix_ranges: [{address_prefix: 5.6.0.0, prefix_len: 16}]") +
		says("from", "source_prefix_ranges: [{address_prefix: 1.2.3.0, prefix_len: 24}], prefix_ranges: [{address_prefix: 5.7.0.0, prefix_len: 16}]") + says("from-port", "source_ports: [77], prefix_ranges: [{address_prefix: 5.8.0.0, prefix_len: 16}]") +
		says("direct", "direct_source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}], prefix_ranges: [{address_prefix: 5.9.0.0, prefix_len: 16}]"),
		listener: otherwise + "listener_filters: [" + inspector("proxy_protocol", "allow_requests_without_proxy_protocol: true, stat_prefix: pp") + "]",
		sends: []exchange{{send: "GET / HTTP/1.1\r\n\r\n"}, {send: "PROXY TCP4 127.0.0.1 8.8.8.8 1000 81\r\nx\r\n"}, {send: "PROXY TCP4 9.9.9.9 8.8.8.8 1000 81\r\nx\r\n"}, {send: "PROXY TCP4 9.9.9.9 8.8.8.8 1000 80\r\nx\r\n"}, {send: "PROXY TCP4 9.9.9.9 5.6.7.8 1000 81\r\nx\r\n"},
			{send: "PROXY TCP4 1.2.3.4 5.7.7.8 1000 81\r\nx\r\n"}, {send: "PROXY TCP4 1.2.4.4 5.7.7.8 1000 81\r\nx\r\n"}, {send: "PROXY TCP4 1.2.4.4 5.8.7.8 77 81\r\nx\r\n"}, {send: "PROXY TCP4 1.2.4.4 5.8.7.8 78 81\r\nx\r\n"}, {send: "PROXY TCP4 1.2.4.4 5.9.7.8 78 81\r\nx\r\n"}}},
	{name: "proxied", manager: "use_remote_address: true", listener: "listener_filters: [" + inspector("proxy_protocol", "") + "]", sends: []exchange{{send: v1 + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: v2 + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: "PROXY TCP4 bad\r\nGET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}}},
	{name: "proxied-ports", manager: "use_remote_address: true\nforward_proto_config: {https_destination_ports: [443, 8443], http_destination_ports: [80]}", listener: "listener_filters: [" + inspector("proxy_protocol", "allow_requests_without_proxy_protocol: true") + "]", sends: portsGone},
	{name: "proxied-ports-said", manager: "forward_proto_config: {https_destination_ports: [443, 8443, 80], http_destination_ports: [80]}", listener: "listener_filters: [" + inspector("proxy_protocol", "allow_requests_without_proxy_protocol: true") + "]", sends: portsGone},
	{name: "proxied-one", listener: "listener_filters: [" + inspector("proxy_protocol", "disallowed_versions: [V2]") + "]", sends: []exchange{{send: v1 + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, {send: v2 + "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}}},
	{name: "predicates", alone: "none", chains: says("tls", "transport_protocol: tls"), listener: otherwise + "listener_filters_timeout: 5s\ncontinue_on_listener_filters_timeout: true\nlistener_filters: [{name: envoy.filters.listener.tls_inspector, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}, filter_disabled: {and_match: {rules: [{not_match: {destination_port_range: {start: 1, end: 2}}}, {or_match: {rules: [{any_match: true}, {destination_port_range: {start: 3, end: 4}}]}}]}}}]",
		sends: []exchange{{send: hello("a.example")}}},
	{name: "waited", alone: "none", chains: says("tls", "transport_protocol: tls"), listener: otherwise + "listener_filters_timeout: 0.3s\nlistener_filters: [" + inspector("tls_inspector", "") + "]", sends: []exchange{{send: "\x16\x03\x01"}}},
	{name: "sockets", listener: "enable_reuse_port: true\ntcp_backlog_size: 64\nfreebind: true\ntransparent: false\ntraffic_direction: INBOUND\nbind_to_port: true\nper_connection_buffer_limit_bytes: 65536\ntcp_fast_open_queue_length: 16\ntcp_keepalive: {keepalive_probes: 3, keepalive_time: 60, keepalive_interval: 10}\nsocket_options: [{level: 1, name: 9, int_value: 1, state: STATE_PREBIND}, {level: 1, name: 9, int_value: 1, state: STATE_BOUND}, {level: 1, name: 9, int_value: 1, state: STATE_LISTENING}]",
		chain: `transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`, sends: gets("/")},
	{name: "balanced", listener: "connection_balance_config: {exact_balance: {}}", sends: gets("/", "/2")},
	{name: "addresses", listener: "additional_addresses: [{address: {socket_address: {address: 127.0.0.2, port_value: 0}}}, {address: {pipe: {path: @folder/l.sock, mode: 384}}}, {address: {socket_address: {address: 127.0.0.3, port_value: 0}}, socket_options: {socket_options: [{level: 1, name: 9, int_value: 1}]}, tcp_keepalive: {keepalive_time: 60}}]", sends: gets("/")},
	{name: "captured", listener: "use_original_dst: true", sends: gets("/")},
	{name: "connections-limited", network: `- {name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: lim, max_connections: 1, delay: 0.01s, runtime_enabled: {default_value: true, runtime_key: k}}}`, sends: gets("/")},
	{name: "connections-none", network: `- {name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: lim2, max_connections: 1, runtime_enabled: {default_value: false, runtime_key: k}}}`, sends: gets("/")},
	{name: "rate-of-connections", network: rate("stat_prefix: rate, token_bucket: {max_tokens: 1, fill_interval: 3600s}, share_key: oracle"), sends: []exchange{{send: "GET /"}, {send: ""}}},
	{name: "rate-unlimited", network: rate("stat_prefix: unlimited, token_bucket: {max_tokens: 1, fill_interval: 3600s}, runtime_enabled: {default_value: false, runtime_key: oracle.rate}"), sends: gets("/", "/2")},
	{name: "state-of-connections", network: `- {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [{object_key: oracle, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}}],
  on_downstream_tls_handshake: [{object_key: other, factory_key: envoy.string, format_string: {text_format_source: {inline_string: x}}}]}}`,
		vhost: "request_headers_to_add: [{header: {key: x-state, value: \"%FILTER_STATE(oracle:PLAIN)%\"}}]\n" + routes(route("prefix: /", to)), sends: gets("/")},
	{name: "echoed", alone: `- {name: envoy.filters.network.echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`, sends: []exchange{{send: "hello\r\n", take: 7}}},
	{name: "answered", alone: "- " + answer("hello"), sends: []exchange{{send: "anything\r\n"}}},

	{name: "described", listener: `metadata: {filter_metadata: {oracle: {k: listener}}}`, chain: `metadata: {filter_metadata: {oracle: {k: chain}}}`,
		vhost: "request_headers_to_add: [{header: {key: x-l, value: \"%METADATA(LISTENER:oracle:k)%\"}}, {header: {key: x-c, value: \"%METADATA(LISTENER_FILTER_CHAIN:oracle:k)%\"}}]\n" + routes(route("prefix: /", to)), sends: gets("/")},

	// TCP proxies.
	{name: "tcp-moments", tcp: "cluster: $up\naccess_log_options: {flush_access_log_on_connected: true, flush_access_log_on_start: true}", logs: "log_type_filter: {types: [TcpConnectionStart, TcpUpstreamConnected, TcpPeriodic]}", sends: []exchange{{send: "tcp hello"}}},
	{name: "tcp-options", tcp: "cluster: $up\nidle_timeout: 60s\nmax_downstream_connection_duration: 60s\nhash_policy: [{source_ip: {}}]\naccess_log_options: {access_log_flush_interval: 60s, flush_access_log_on_connected: true, flush_access_log_on_start: true}", clusters: map[string]string{"up": "lb_policy: RING_HASH"}, sends: []exchange{{send: "tcp hello"}}},
	{name: "tcp-subset", tcp: "cluster: $up\n" + wanting("stage: dev"), clusters: map[string]string{"up": "lb_subset_config: {subset_selectors: [{keys: [stage]}]}"}, ends: map[string]string{"up": stages}, sends: []exchange{{send: "tcp hello"}}},
	{name: "tcp-subset-share", tcp: "weighted_clusters: {clusters: [{name: $up, weight: 1, " + wanting("stage: dev") + "}]}", clusters: map[string]string{"up": "lb_subset_config: {subset_selectors: [{keys: [stage]}]}"}, ends: map[string]string{"up": stages}, sends: []exchange{{send: "tcp hello"}}},
}
