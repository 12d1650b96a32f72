package fields

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/test/e2e"
)

var listenerTrials = []trial{
	{paths: "DynamicResources.lds_config", site: dynamic, base: "lds_config: {" + file + "one.yaml\"}}", flip: "lds_config: {" + file + "two.yaml\"}}",
		files: map[string]string{"one.yaml": saying("one"), "two.yaml": saying("two")}, probe: says(""), want: [2]string{"one", "two"}},
	{paths: "DynamicResources.cds_config", site: func(p string) string {
		return e2e.Bootstrap(tcpListener("stat_prefix: t, cluster: there")) + "\n" + dynamic(p)
	}, base: "cds_config: {" + file + "none.yaml\"}}", flip: "cds_config: {" + file + "some.yaml\"}}",
		files: map[string]string{"none.yaml": "resources: []", "some.yaml": "resources: {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: there, connect_timeout: 1s, load_assignment: {cluster_name: there, endpoints: [{lb_endpoints: [{" + here + "}]}]}}"},
		up:    greets, probe: greeted, want: [2]string{"closed|closed", "hello|silence"}},
	{paths: "Listener.name", site: func(p string) string { return replaced(hcm(""), "- name: http\n", "- name: "+p+"\n") }, base: "a", flip: "b", probe: func(w *world) string {
		name, _, _ := strings.Cut(page("/listeners")(w), "::")
		return name
	}, want: [2]string{"a", "b"}},
	{paths: "Listener.address Pipe.path", site: bound, base: "{pipe: {path: \"@DIR@/a\"}}", flip: "{pipe: {path: \"@DIR@/b\"}}", probe: func(w *world) string {
		return fmt.Sprint(w.exists("a"), w.exists("b"), look("GET /", "status")(w))
	}, want: [2]string{"true false200", "false true200"}},
	{paths: "Pipe.mode", site: bound, base: "{pipe: {path: \"@DIR@/s\", mode: 0600}}", flip: "{pipe: {path: \"@DIR@/s\", mode: 0660}}", probe: mode, want: [2]string{"-rw-------", "-rw-rw----"}},
	{paths: "InternalAddressConfig.unix_sockets", site: internal, base: "unix_sockets: false", flip: "unix_sockets: true", probe: look("GET /", ">x-envoy-internal"), want: [2]string{"-", "true"}},
	{paths: "Listener.stat_prefix", site: listener, base: "stat_prefix: a", flip: "stat_prefix: b", probe: look("GET /", "#listener.a.downstream_cx_total", "#listener.b.downstream_cx_total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "Listener.access_log", site: listener, base: "stat_prefix: a", flip: `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "x\n"}}]`, probe: func(w *world) string {
		w.dial().Get("/", "connection: close")
		if strings.Contains(w.text, "access_log") {
			return w.file("log")
		}
		return "-"
	}, want: [2]string{"-", "x"}},
	{paths: "Listener.default_filter_chain", site: chainOf, base: "filter_chains", flip: "default", probe: look("GET /", "status"), want: [2]string{"200", "202"}},
	{paths: "FilterChainMatch.destination_port", site: matched, base: "destination_port: 1", flip: "", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.prefix_ranges CidrRange.address_prefix", site: matched, base: ranges("prefix_ranges", "127.0.0.2", 32), flip: ranges("prefix_ranges", "127.0.0.1", 32), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.direct_source_prefix_ranges", site: matched, base: ranges("direct_source_prefix_ranges", "10.0.0.0", 8), flip: ranges("direct_source_prefix_ranges", "127.0.0.0", 8), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.source_prefix_ranges", site: matched, base: ranges("source_prefix_ranges", "10.0.0.0", 8), flip: ranges("source_prefix_ranges", "127.0.0.0", 8), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.source_type=EXTERNAL", site: matched, base: "", flip: "source_type: EXTERNAL", probe: look("GET /", "status"), want: [2]string{"200", "202"}},
	{paths: "FilterChainMatch.source_type=SAME_IP_OR_LOOPBACK", site: matched, base: "source_type: EXTERNAL", flip: "source_type: SAME_IP_OR_LOOPBACK", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.source_ports", site: matched, base: "", flip: "source_ports: [1]", probe: look("GET /", "status"), want: [2]string{"200", "202"}},
	{paths: "FilterChainMatch.transport_protocol", site: matched, base: "transport_protocol: tls", flip: "transport_protocol: raw_buffer", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "FilterChainMatch.server_names", site: sole, base: "server_names: [a.example]", flip: "server_names: [b.example]", probe: asksFor("b.example"), want: [2]string{"closed", "HTTP/1.1 400 Bad Request"}},
	{paths: "FilterChainMatch.application_protocols", site: matchedFirst, base: "application_protocols: [h2c]", flip: "application_protocols: [http/1.1]", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "Listener.listener_filters ListenerFilter.typed_config", site: matchedBy, base: "listener_filters: []", flip: "listener_filters: [" + httpInspector + "}]", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "Listener.listener_filters_timeout", site: matchedBy, base: "listener_filters: [" + httpInspector + "}]", flip: "listener_filters_timeout: 0.05s\nlistener_filters: [" + httpInspector + "}]", probe: says(""), want: [2]string{"silence", "closed"}},
	{paths: "Listener.continue_on_listener_filters_timeout", site: matchedBy, base: "listener_filters_timeout: 0.05s\nlistener_filters: [" + httpInspector + "}]", flip: "continue_on_listener_filters_timeout: true\nlistener_filters_timeout: 0.05s\nlistener_filters: [" + httpInspector + "}]", probe: says(""), want: [2]string{"closed", "silence"}},
	{paths: "ListenerFilter.filter_disabled ListenerFilterChainMatchPredicate.any_match", site: matchedBy, base: "listener_filters: [" + httpInspector + "}]", flip: "listener_filters: [" + httpInspector + ", filter_disabled: {any_match: true}}]", probe: look("GET /", "status"), want: [2]string{"200", "202"}},
	{paths: "ListenerFilterChainMatchPredicate.not_match", site: matchedBy, base: "listener_filters: [" + httpInspector + ", filter_disabled: {any_match: true}}]", flip: "listener_filters: [" + httpInspector + ", filter_disabled: {not_match: {any_match: true}}}]", probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "ListenerFilterChainMatchPredicate.and_match", site: matchedBy, base: unless("any_match: true"), flip: unless("and_match: {rules: [{any_match: true}, {not_match: {any_match: true}}]}"), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "ListenerFilterChainMatchPredicate.or_match", site: matchedBy, base: unless("not_match: {any_match: true}"), flip: unless("or_match: {rules: [{not_match: {any_match: true}}, {any_match: true}]}"), probe: look("GET /", "status"), want: [2]string{"200", "202"}},
	{paths: "MatchSet.rules", site: matchedBy, base: unless("and_match: {rules: [{any_match: true}, {any_match: true}]}"), flip: unless("and_match: {rules: [{any_match: true}, {not_match: {any_match: true}}]}"), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "Int32Range.start", site: matchedBy, base: unless("destination_port_range: {start: 1, end: 65536}"), flip: unless("destination_port_range: {start: 65535, end: 65536}"), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "Int32Range.end", site: matchedBy, base: unless("destination_port_range: {start: 1, end: 65536}"), flip: unless("destination_port_range: {start: 1, end: 2}"), probe: look("GET /", "status"), want: [2]string{"202", "200"}},
	{paths: "TlsInspector.max_client_hello_size", site: matchedBy, base: tlsInspector + "}}]", flip: tlsInspector + ", max_client_hello_size: 256}}]", probe: says("\x16\x03\x01\x10\x00\x01\x00\x0f\xf0"), want: [2]string{"silence", "closed"}},
	{paths: "TlsInspector.close_connection_on_client_hello_parsing_errors", site: matchedBy, base: tlsInspector + "}}]", flip: tlsInspector + ", close_connection_on_client_hello_parsing_errors: true}}]", probe: says("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), want: [2]string{"HTTP/1.1 202 Accepted", "closed"}},
	{paths: "ProxyProtocol.allow_requests_without_proxy_protocol", site: proxied, base: "allow_requests_without_proxy_protocol: false", flip: "allow_requests_without_proxy_protocol: true", probe: says("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), want: [2]string{"closed", "HTTP/1.1 202 Accepted"}},
	{paths: "ProxyProtocol.disallowed_versions=V2", site: proxied, base: "disallowed_versions: [V1]", flip: "disallowed_versions: [V2]", probe: says(proxy1), want: [2]string{"closed", "HTTP/1.1 200 OK"}},
	{paths: "ProxyProtocol.stat_prefix", site: proxied, base: "stat_prefix: a", flip: "stat_prefix: b", probe: func(w *world) string {
		says(proxy1)(w)
		return fmt.Sprint(w.stat("proxy_proto.a.versions.v1.found"), w.stat("proxy_proto.b.versions.v1.found"))
	}, want: [2]string{"1 -1", "-1 1"}},
	// It wants CAP_NET_ADMIN, as the kernel's option does.
	{paths: "OriginalSrc.mark", site: listener, base: "listener_filters: [{name: source, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc}}]",
		flip: "listener_filters: [{name: source, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc, mark: 7}}]", probe: connectedAt(unix.SOL_SOCKET, unix.SO_MARK), want: [2]string{"0", "7"}},
	{paths: "Listener.bind_to_port", site: listener, base: "bind_to_port: true", flip: "bind_to_port: false", probe: listening(unix.SOL_SOCKET, unix.SO_ACCEPTCONN), want: [2]string{"1", "no such socket"}},
	{paths: "FilterChain.name", site: chainNamed, base: "name: a", flip: "name: b", probe: look("GET /", "@log"), want: [2]string{"a", "b"}},
	{paths: "Listener.per_connection_buffer_limit_bytes", site: listener, base: "per_connection_buffer_limit_bytes: 67108864", flip: "per_connection_buffer_limit_bytes: 65536", up: large, probe: download, want: [2]string{"all", "held"}},
	{paths: "Listener.traffic_direction=INBOUND", site: listener, flip: "traffic_direction: INBOUND", probe: drained, want: [2]string{"false", "true"}},
	{paths: "Listener.enable_reuse_port", site: listener, base: "enable_reuse_port: true", flip: "enable_reuse_port: false", loops: 2, probe: listens, want: [2]string{"2", "1"}},
	{paths: "Listener.connection_balance_config ConnectionBalanceConfig.exact_balance", site: listener, base: "stat_prefix: a\nenable_reuse_port: false", flip: "stat_prefix: a\nenable_reuse_port: false\nconnection_balance_config: {exact_balance: {}}", loops: 2, probe: func(w *world) string {
		for range 10 {
			w.dial().Get("/")
		}
		// Without a balance they are the one's who is quickest, and equal by an unlikely chance only.
		return fmt.Sprint(w.stat("listener.a.worker_0.downstream_cx_active") == w.stat("listener.a.worker_1.downstream_cx_active"))
	}, want: [2]string{"false", "true"}},
	{paths: "Listener.tcp_backlog_size", site: listener, base: "tcp_backlog_size: 7", flip: "tcp_backlog_size: 9", probe: listening(unix.IPPROTO_TCP, unix.TCP_INFO), want: [2]string{"7", "9"}},
	{paths: "SocketOption.level", site: listener, base: "socket_options: [{level: 1, name: 15, int_value: 1}]", flip: "socket_options: [{level: 9999, name: 15, int_value: 1}]", probe: func(w *world) string { return fmt.Sprint(w.err == nil) }, want: [2]string{"true", "false"}},
	{paths: "SocketOption.name", site: listener, base: "socket_options: [{level: 6, name: 5, int_value: 7}]", flip: "socket_options: [{level: 6, name: 6, int_value: 7}]", probe: listening(unix.IPPROTO_TCP, unix.TCP_KEEPCNT), want: [2]string{"9", "7"}},
	{paths: "SocketOption.int_value", site: listener, base: "socket_options: [{level: 6, name: 6, int_value: 5}]", flip: "socket_options: [{level: 6, name: 6, int_value: 7}]", probe: listening(unix.IPPROTO_TCP, unix.TCP_KEEPCNT), want: [2]string{"5", "7"}},
	// IP_FREEBIND lets a socket be bound to an address that is nobody's, if it comes in time.
	{paths: "SocketOption.state=STATE_BOUND", site: elsewhere, base: "socket_options: [{level: 0, name: 15, int_value: 1}]", flip: "socket_options: [{level: 0, name: 15, int_value: 1, state: STATE_BOUND}]", probe: served, want: [2]string{"true", "false"}},
	{paths: "SocketOption.state=STATE_LISTENING", site: elsewhere, base: "socket_options: [{level: 0, name: 15, int_value: 1}]", flip: "socket_options: [{level: 0, name: 15, int_value: 1, state: STATE_LISTENING}]", probe: served, want: [2]string{"true", "false"}},
	{paths: "Listener.additional_addresses AdditionalAddress.address", site: listener, base: "stat_prefix: a", flip: "stat_prefix: a\nadditional_addresses: [{address: {pipe: {path: \"@DIR@/more\"}}}]", probe: func(w *world) string { return fmt.Sprint(w.exists("more"), look("GET /", "status")(w)) }, want: [2]string{"false200", "true200"}},
	{paths: "AdditionalAddress.socket_options SocketOptionsOverride.socket_options", site: elsewhereToo, base: "socket_options: {socket_options: []}", flip: "socket_options: {socket_options: [{level: 0, name: 15, int_value: 1}]}", probe: served, want: [2]string{"false", "true"}},
	{paths: "AdditionalAddress.tcp_keepalive", site: keptAlive, base: "address: {socket_address: {address: 127.0.77.5, port_value: 0}}, tcp_keepalive: {keepalive_probes: 5}", flip: "address: {socket_address: {address: 127.0.77.7, port_value: 0}}, tcp_keepalive: {keepalive_probes: 7}", probe: func(w *world) string {
		_, rest, _ := strings.Cut(w.text, "127.0.77.")
		return socketOf("127.0.77."+rest[:1]+":*", false, unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
	}, want: [2]string{"5", "7"}},
	{paths: "Listener.tcp_fast_open_queue_length", site: listener, base: "tcp_fast_open_queue_length: 3", flip: "tcp_fast_open_queue_length: 5", probe: listening(unix.IPPROTO_TCP, unix.TCP_FASTOPEN), want: [2]string{"3", "5"}},
	{paths: "Listener.freebind", site: listener, flip: "freebind: true", probe: listening(unix.IPPROTO_IP, unix.IP_FREEBIND), want: [2]string{"0", "1"}},
	{paths: "Listener.tcp_keepalive", site: listener, base: "tcp_keepalive: {keepalive_probes: 5}", flip: "tcp_keepalive: {keepalive_probes: 7}", probe: listening(unix.IPPROTO_TCP, unix.TCP_KEEPCNT), want: [2]string{"5", "7"}},
	// Who may not have the option hears that, which is a difference, too.
	{paths: "Listener.transparent", site: listener, flip: "transparent: true", probe: func(w *world) string {
		return fmt.Sprint(listening(unix.IPPROTO_IP, unix.IP_TRANSPARENT)(w) != "0")
	}, want: [2]string{"false", "true"}},

	{paths: "TcpProxy.cluster", site: tcp, base: "stat_prefix: t, cluster: up", flip: "stat_prefix: t, cluster: gone", up: greets, probe: greeted, want: [2]string{"hello|silence", "closed|closed"}},
	{paths: "TcpProxy.stat_prefix", site: tcp, base: "stat_prefix: a, cluster: up", flip: "stat_prefix: b, cluster: up", up: greets, probe: func(w *world) string {
		w.dial().Send("hi")
		w.eventually("a connection", func() bool {
			return w.stat("tcp.a.downstream_cx_total") == 1 || w.stat("tcp.b.downstream_cx_total") == 1
		})
		return fmt.Sprint(w.stat("tcp.a.downstream_cx_total"))
	}, want: [2]string{"1", "-1"}},
	{paths: "TcpProxy.idle_timeout", site: tcp, base: "stat_prefix: t, cluster: up", flip: "stat_prefix: t, cluster: up, idle_timeout: 0.05s", up: greets, probe: greeted, want: [2]string{"hello|silence", "hello|closed"}},
	{paths: "TcpProxy.max_downstream_connection_duration", site: tcp, base: "stat_prefix: t, cluster: up", flip: "stat_prefix: t, cluster: up, max_downstream_connection_duration: 0.1s", up: greets, probe: greeted, want: [2]string{"hello|silence", "hello|closed"}},
	{paths: "TcpProxy.max_connect_attempts", site: func(p string) string {
		return replaced(tcp("stat_prefix: t, cluster: up, max_connect_attempts: "+p), "@PORT@", "7")
	}, base: "1", flip: "3", probe: func(w *world) string {
		hears(w.dial().Conn)
		return fmt.Sprint(w.stat("cluster.up.upstream_cx_connect_fail"))
	}, want: [2]string{"1", "3"}},
	{paths: "TcpProxy.backoff_options", site: refused, base: "max_connect_attempts: 100", flip: "max_connect_attempts: 100, backoff_options: {base_interval: 1000s}", probe: says(""), want: [2]string{"closed", "silence"}},
	{paths: "BackoffStrategy.base_interval", site: refused, base: "max_connect_attempts: 20, backoff_options: {base_interval: 0.001s, max_interval: 3000s}", flip: "max_connect_attempts: 20, backoff_options: {base_interval: 1000s, max_interval: 3000s}", probe: tried, want: [2]string{"many", "few"}},
	{paths: "BackoffStrategy.max_interval", site: refused, base: "max_connect_attempts: 100, backoff_options: {base_interval: 0.001s, max_interval: 0.002s}", flip: "max_connect_attempts: 100, backoff_options: {base_interval: 0.001s, max_interval: 3000s}", probe: says(""), want: [2]string{"closed", "silence"}},
	{paths: "TcpProxy.max_downstream_connection_duration_jitter_percentage", site: tcp, base: "stat_prefix: t, cluster: up, max_downstream_connection_duration: 0.2s", flip: "stat_prefix: t, cluster: up, max_downstream_connection_duration: 0.2s, max_downstream_connection_duration_jitter_percentage: {value: 100}", up: greets, probe: livesApart, want: [2]string{"false", "true"}},
	{paths: "TcpProxy.access_log_flush_interval", site: tcpLogged, base: "", flip: "access_log_flush_interval: 0.02s", up: greets, probe: loggedAgain, want: [2]string{"no", "again and again"}},
	{paths: "TcpProxy.flush_access_log_on_connected", site: tcpLogged, base: "", flip: "flush_access_log_on_connected: true", up: greets, probe: reported, want: [2]string{"0", "1"}},
	{paths: "TcpProxy.WeightedCluster.ClusterWeight.name", site: tcp, base: "stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 1}]}", flip: "stat_prefix: t, weighted_clusters: {clusters: [{name: gone, weight: 1}]}", up: greets, probe: greeted, want: [2]string{"hello|silence", "closed|closed"}},
	{paths: "TcpProxy.WeightedCluster.ClusterWeight.weight", site: tcp, base: "stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 1000000}, {name: gone, weight: 1}]}", flip: "stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 1}, {name: gone, weight: 1000000}]}", up: greets, probe: greeted, want: [2]string{"hello|silence", "closed|closed"}},
	{paths: "TcpProxy.access_log", site: tcp, base: "stat_prefix: t, cluster: gone", flip: `stat_prefix: t, cluster: gone, access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "x\n"}}]`, probe: func(w *world) string {
		hears(w.dial().Conn)
		if strings.Contains(w.text, "access_log") {
			return w.file("log")
		}
		return "-"
	}, want: [2]string{"-", "x"}},
	{paths: "TcpProxy.metadata_match", site: tcpSubset, base: "stat_prefix: t, cluster: up, " + version1, flip: "stat_prefix: t, cluster: up, " + version3, up: greets, probe: greeted, want: [2]string{"hello|silence", "closed|closed"}},
	{paths: "TcpProxy.WeightedCluster.ClusterWeight.metadata_match", site: tcpSubset, base: "stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 1, " + version1 + "}]}", flip: "stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 1, " + version3 + "}]}", up: greets, probe: greeted, want: [2]string{"hello|silence", "closed|closed"}},
	{paths: "TcpProxy.hash_policy HashPolicy.source_ip", site: tcpRing, base: "stat_prefix: t, cluster: up", flip: "stat_prefix: t, cluster: up, hash_policy: [{source_ip: {}}]", up: everywhere, probe: func(w *world) string {
		met := map[string]bool{}
		for range 30 {
			met[w.dial().Get("/", "connection: close").Body] = true
		}
		return fmt.Sprint(len(met))
	}, want: [2]string{"2", "1"}},
	{paths: "TcpProxy.access_log_options TcpAccessLogOptions.flush_access_log_on_connected", site: tcpLogged, base: "", flip: "access_log_options: {flush_access_log_on_connected: true}", up: greets, probe: reported, want: [2]string{"0", "1"}},
	{paths: "TcpAccessLogOptions.flush_access_log_on_start", site: tcpLogged, base: "access_log_options: {flush_access_log_on_connected: true}", flip: "access_log_options: {flush_access_log_on_connected: true, flush_access_log_on_start: true}", up: greets, probe: reported, want: [2]string{"1", "2"}},
	{paths: "TcpAccessLogOptions.access_log_flush_interval", site: tcpLogged, base: "", flip: "access_log_options: {access_log_flush_interval: 0.02s}", up: greets, probe: loggedAgain, want: [2]string{"no", "again and again"}},
	{paths: "ConnectionLimit.stat_prefix", site: guarded, base: "stat_prefix: a, max_connections: 1", flip: "stat_prefix: b, max_connections: 1", probe: func(w *world) string {
		oneMore(w)
		return fmt.Sprint(w.stat("connection_limit.a.limited_connections"), w.stat("connection_limit.b.limited_connections"))
	}, want: [2]string{"1 -1", "-1 1"}},
	{paths: "ConnectionLimit.max_connections", site: guarded, base: "stat_prefix: a, max_connections: 1", flip: "stat_prefix: a, max_connections: 2", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "ConnectionLimit.delay", site: guarded, base: "stat_prefix: a, max_connections: 1", flip: "stat_prefix: a, max_connections: 1, delay: 100s", probe: oneMore, want: [2]string{"closed", "silence"}},
	{paths: "ConnectionLimit.runtime_enabled RuntimeFeatureFlag.default_value", site: guarded, base: "stat_prefix: a, max_connections: 1, runtime_enabled: {default_value: true}", flip: "stat_prefix: a, max_connections: 1, runtime_enabled: {default_value: false}", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "local_ratelimit.v3.LocalRateLimit.stat_prefix", site: ratedTwice, base: "stat_prefix: a, " + oneOnly, flip: "stat_prefix: b, " + oneOnly, probe: func(w *world) string {
		oneMore(w)
		return fmt.Sprint(w.stat("local_rate_limit.a.rate_limited"), w.stat("local_rate_limit.b.rate_limited"))
	}, want: [2]string{"1 -1", "-1 1"}},
	{paths: "local_ratelimit.v3.LocalRateLimit.token_bucket", site: ratedTwice, base: "stat_prefix: a, " + oneOnly, flip: "stat_prefix: a, token_bucket: {max_tokens: 2, fill_interval: 3600s}", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "local_ratelimit.v3.LocalRateLimit.runtime_enabled", site: ratedTwice, base: "stat_prefix: a, " + oneOnly, flip: "stat_prefix: a, " + oneOnly + ", runtime_enabled: {default_value: false}", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "local_ratelimit.v3.LocalRateLimit.share_key", site: ratedTwice, base: "stat_prefix: a, token_bucket: {max_tokens: 2, fill_interval: 3600s}", flip: "stat_prefix: a, share_key: k, token_bucket: {max_tokens: 2, fill_interval: 3600s}", probe: oneMore, want: [2]string{"y", "closed"}},
	{paths: "network.set_filter_state.v3.Config.on_new_connection", site: connectionState, flip: "on_new_connection: [" + stateOf("v") + "]", probe: look("GET /", "<x-state"), want: [2]string{"-", "v"}},
	{paths: "network.set_filter_state.v3.Config.on_downstream_tls_handshake", site: connectionState, flip: "on_downstream_tls_handshake: [" + stateOf("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%") + "]", probe: look("GET /", "<x-state"), want: [2]string{"-", "127.0.0.1"}},
	{paths: "direct_response.v3.Config.response", site: answered, base: "response: {inline_string: one}", flip: "response: {inline_string: two}", probe: says(""), want: [2]string{"one", "two"}},
}

// refused is a TCP proxy to where nobody listens.
func refused(piece string) string {
	return replaced(tcp("stat_prefix: t, cluster: up, "+piece), "@PORT@", "7")
}

// loggedAgain tells whether a connection that stands is logged more than twice.
func loggedAgain(w *world) string {
	w.dial().Send("hi")
	for tick, end := time.NewTicker(time.Millisecond), time.Now().Add(moment); time.Now().Before(end); <-tick.C {
		if b, _ := os.ReadFile(filepath.Join(w.dir, "log")); bytes.Count(b, []byte("\n")) > 2 {
			return "again and again"
		}
	}
	return "no"
}

// tried tells whether an endpoint that refuses is tried more than three times within a moment.
func tried(w *world) string {
	hears(w.dial().Conn)
	if w.stat("cluster.up.upstream_cx_connect_fail") > 3 {
		return "many"
	}
	return "few"
}
