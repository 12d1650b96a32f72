package oracle

// framed is a scenario of HTTP/2 on both sides.
func framed(name, manager, cluster string, sends ...exchange) scenario {
	return scenario{name: name, two: true, manager: manager, clusters: map[string]string{"up": cluster + "\n" + speaks2}, sends: sends}
}

// steps are scripts, one exchange each.
func steps(scripts ...string) (list []exchange) {
	for _, s := range scripts {
		list = append(list, exchange{send: script + s})
	}
	return list
}

// said is an answer in frames.
func said(steps string) string { return script + steps }

// asHeads are requests with these heads and nothing else.
func asHeads(heads ...string) (list []exchange) {
	for _, h := range heads {
		list = append(list, exchange{send: script + "head+ " + h + "\n"})
	}
	return list
}

const well = ":method: GET; :scheme: http; :authority: a.example; :path: /"

// odd heads: what is wrong with a head, or looks so.
var oddHeads = asHeads(
	":method: GET; :scheme: http; :authority: a.example", ":method: GET; :scheme: http; :path: /", ":method: GET; :authority: a.example; :path: /", ":scheme: http; :authority: a.example; :path: /",
	well+"; :path: /b", well+"; :method: GET", ":method: GET; :scheme: http; x: 1; :authority: a.example; :path: /", well+"; :other: 1", well+"; :status: 200",
	well+"; X-Upper: 1", well+"; connection: close", well+"; keep-alive: 1", well+"; proxy-connection: close", well+"; transfer-encoding: chunked", well+"; upgrade: websocket", well+"; te: gzip", well+"; te: trailers",
	well+"; host: a.example", well+"; host: b.example", ":method: GET; :scheme: http; :path: /; host: b.example", ":method: GET; :scheme: http; :path: /; host: b.example; host: c.example",
	":method: GET; :scheme: https; :authority: a.example; :path: /", ":method: GET; :scheme: ftp; :authority: a.example; :path: /", ":method: GET; :scheme: HTTP; :authority: a.example; :path: /", ":method: GET; :scheme: 1; :authority: a.example; :path: /",
	":method: GET; :scheme: http; :authority: a.example; :path: nothing", ":method: GET; :scheme: http; :authority: a.example; :path: ", ":method: OPTIONS; :scheme: http; :authority: a.example; :path: *",
	":method: get; :scheme: http; :authority: a.example; :path: /", ":method: G T; :scheme: http; :authority: a.example; :path: /", ":method: FOO; :scheme: http; :authority: a.example; :path: /", ":method: HEAD; :scheme: http; :authority: a.example; :path: /",
	":method: GET; :scheme: http; :authority: u@a.example; :path: /", ":method: GET; :scheme: http; :authority: a.example:80; :path: /", ":method: GET; :scheme: http; :authority: ; :path: /",
	":method: GET; :scheme: http; :authority: a.example; :path: /\xc3\xa9", ":method: GET; :scheme: http; :authority: a.example; :path: /?q", well+"; x-utf: \xc3\xa9", well+"; x-control: \x01", well+"; x-empty: ",
	well+"; cookie: a=1; cookie: b=2; cookie: c=3", well+"; content-length: 0", well+"; content-length: 1", well+"; content-length: x", well+"; content-length: 1; content-length: 1", well+"; expect: 100-continue",
	":method: CONNECT; :authority: a.example:443; :path: /", ":method: CONNECT; :scheme: http; :authority: a.example:443", ":method: CONNECT", well+"; :protocol: websocket", ":method: CONNECT; :protocol: websocket; :authority: a.example; :scheme: http; :path: /",
)

// perEach is a client's limits of what it may send, and how it passes them.
const limited = "max_inbound_priority_frames_per_stream: 2, max_consecutive_inbound_frames_with_empty_payload: 3, max_inbound_window_update_frames_per_data_frame_sent: 2, max_concurrent_streams: 1"

// lengths are bodies of other sizes than their heads say.
var lengths = steps(
	"post /; content-length: 3\ndata+ abc\n", "post /; content-length: 3\ndata+ ab\n", "post /; content-length: 3\ndata+ abcd\n", "post /; content-length: 3\ndata abc\ntrailers x-t: 1\n",
	"post /; content-length: 3\ndata ab\ntrailers x-t: 1\n", "post /\ndata ab\ndata+ \n", "post /\ntrailers x-t: 1\n", "post /\ndata a\ntrailers :path: /\n", "post /\ndata a\ntrailers X: 1\n",
)

// broken are ways in which upstreams fail.
var broken = []string{
	said("reset 0\n"), said("reset 1\n"), said("reset 2\n"), said("reset 7\n"), said("reset 8\n"), said("reset 11\n"), said("goaway\nreset 7\n"), said("close\n"),
	said("head :status: 200\ndata he\nreset 2\n"), said("head :status: 200\ndata he\nreset 0\n"), said("head :status: 200\ndata he\nclose\n"), said("head :status: 200; content-length: 5\ndata+ he\n"), said("head :status: 200; content-length: 1\ndata+ he\n"),
	said("head x: 1\n"), said("head :status: 99\n"), said("head+ :status: 200; X: 1\n"), said("head+ :status: 200; connection: close\n"), said("head+ :status: 100\n"), said("data+ he\n"), said("head :status: 204\ndata+ he\n"),
	said("head+ :status: 101\n"), said("head :status: 103; link: a\nhead+ :status: 204\n"), said("head :status: 200\ntrailers x-t: 1\n"), said("head :status: 200\ndata a\ntrailers :status: 200\n"),
	said("goaway\nhead+ :status: 200\n"), said("goaway 2\nhead+ :status: 200\n"), said("settings 4=1\nhead+ :status: 200\n"), said("head :status: 200; set-cookie: a=1; set-cookie: b=2; x-empty: \ndata+ ok\n"),
	said("early\nhead+ :status: 413\n"), said("early\nhead :status: 200\ndata+ early\n"), said("early\nhead+ :status: 200\nreset 0\n"),
}

func asBroken(send string) (list []exchange) {
	for _, b := range broken {
		list = append(list, exchange{send: send, answers: []string{b}})
	}
	return list
}

// retried is what fails once, and then does not.
func retried(send string, first ...string) (list []exchange) {
	for _, f := range first {
		list = append(list, exchange{send: send, answers: []string{f, answered(200)}})
	}
	return list
}

var failures = []string{said("reset 7\n"), said("reset 2\n"), said("reset 0\n"), said("goaway\nreset 7\n"), said("close\n"), said("head+ :status: 503\n"), said("head+ :status: 200; grpc-status: 14; content-type: application/grpc\n"), said("head+ :status: 200; grpc-status: 1; content-type: application/grpc\n"), said("head :status: 200; content-type: application/grpc\ntrailers grpc-status: 14\n")}

const retriesH2 = `routes:
- {match: {prefix: /refused}, route: {cluster: $up, retry_policy: {` + backOff + `, retry_on: refused-stream}}}
- {match: {prefix: /reset}, route: {cluster: $up, retry_policy: {` + backOff + `, retry_on: reset}}}
- {match: {prefix: /5xx}, route: {cluster: $up, retry_policy: {` + backOff + `, retry_on: 5xx}}}
- {match: {prefix: /connect}, route: {cluster: $up, retry_policy: {` + backOff + `, retry_on: connect-failure}}}
- {match: {prefix: /grpc}, route: {cluster: $up, retry_policy: {` + backOff + `, retry_on: "unavailable,cancelled"}}}
`

// secretly is a listener of TLS that offers protocols, to clients that offer some.
func secretly(name, manager, protocols string, sends ...exchange) scenario {
	return scenario{name: name, manager: manager, chain: server(shows("front") + protocols), sends: sends}
}

var offering = append(shakes(meeting{offers: []string{"h2"}}, meeting{offers: []string{"http/1.1"}}, meeting{offers: []string{"h2", "http/1.1"}}, meeting{}), exchange{send: script + "get /\n", tls: &meeting{name: "front.test"}})

func optionsOf(fields string) string {
	return optionsUp("explicit_http_config: {http2_protocol_options: {" + fields + "}}")
}

const tunnelsH2 = "http2_protocol_options: {allow_connect: true}\nupgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]"

var protocols = []scenario{
	framed("two-heads", "delayed_close_timeout: 0.02s", "", oddHeads...),
	framed("two-heads-lenient", "stream_error_on_invalid_http_message: true", "", oddHeads...),
	framed("two-heads-alone", "http2_protocol_options: {override_stream_error_on_invalid_http_message: true}", "", oddHeads[:8]...),
	framed("two-heads-alone-old", "http2_protocol_options: {stream_error_on_invalid_http_messaging: true}", "", oddHeads[:8]...),
	framed("two-underscores", "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}", "", asHeads(well+"; x_a: 1", well+"; x-a: 1")...),
	framed("two-underscores-dropped", "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}", "", asHeads(well+"; x_a: 1", well+"; x-a: 1")...),
	framed("two-lengths", "delayed_close_timeout: 0.02s", "", lengths...),
	framed("two-lengths-lenient", "stream_error_on_invalid_http_message: true", "", lengths...),

	framed("two-broken", "", "", asBroken("POST /; body: hello")...),
	{name: "two-broken-lenient", two: true, clusters: map[string]string{"up": optionsOf("override_stream_error_on_invalid_http_message: true")}, sends: asBroken("GET /")},
	{name: "two-retries", two: true, clusters: map[string]string{"up": speaks2}, vhost: retriesH2, sends: append(append(append(append(retried("GET /refused", failures...), retried("GET /reset", failures...)...), retried("POST /5xx; body: hello", failures...)...), retried("GET /connect", failures[:5]...)...), retried("POST /grpc; content-type: application/grpc; body: hello", failures...)...)},

	framed("two-given-up", "", "", exchange{send: script + "post /\ndata he\nawait head\nreset 8\n", answers: []string{said("early\nhead :status: 200\ndata hel\n")}}, exchange{send: script + "get /\nawait head\nreset 0\n", answers: []string{said("head :status: 200\ndata hel\n")}}, exchange{send: script + "get /\nawait head\nclose\n", answers: []string{said("head :status: 200\ndata hel\n")}}),
	framed("two-trailers", "", "", exchange{send: script + "post /\ndata hello\ntrailers x-t: 1; x-u: 2\n", answers: []string{said("head :status: 200\ndata ok\ntrailers x-t: 3; x-t: 4\n")}}, exchange{send: script + "post /; content-type: application/grpc\ndata+ hello\n", answers: []string{said("head+ :status: 200; content-type: application/grpc; grpc-status: 5; grpc-message: none\n")}}),
	{name: "two-timeouts", two: true, clusters: map[string]string{"up": speaks2}, vhost: routes(
		route("prefix: /slow", "route: {cluster: $up, timeout: 0.2s}"),
		route("prefix: /grpc", "route: {cluster: $up, timeout: 5s, max_stream_duration: {grpc_timeout_header_max: 0s}}"),
		route("prefix: /flush", "route: {cluster: $up, flush_timeout: 5s}"),
	), manager: "stream_flush_timeout: 5s", sends: []exchange{
		{send: "POST /slow; content-type: application/grpc; body: hello", answers: []string{silence}}, {send: "POST /grpc; content-type: application/grpc; grpc-timeout: 200m; body: hello", answers: []string{silence}}, {send: "POST /slow; content-type: application/grpc; body: hello", answers: []string{said("head :status: 200; content-type: application/grpc\ndata he\n")}},
		{send: "GET /slow", answers: []string{said("head :status: 200\ndata he\n")}}, {send: "GET /flush"}}},

	// Tunnels.
	{name: "two-tunnels", two: true, manager: tunnelsH2, clusters: map[string]string{"up": speaks2, "b": ""}, vhost: routes(
		route("connect_matcher: {}, headers: [{name: x-plain, present_match: true}]", "route: {cluster: $b, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}"),
		route("connect_matcher: {}", "route: {cluster: $up}"), route("prefix: /old", "route: {cluster: $b}"), route("prefix: /", to)),
		sends: []exchange{
			{send: script + "head :method: CONNECT; :authority: a.example:443\nawait head\ndata+ hello\n", answers: []string{said("head :status: 200\ndata+ tunnel\n")}},
			{send: script + "head :method: CONNECT; :authority: a.example:443\n", answers: []string{said("head+ :status: 503\n")}},
			{send: script + "head :method: CONNECT; :authority: a.example:443; x-plain: 1\nawait head\ndata+ tcp hello\n"},
			{send: script + "head :method: CONNECT; :protocol: websocket; :scheme: http; :authority: a.example; :path: /chat\nawait head\ndata+ hello\n", answers: []string{said("head :status: 200\ndata+ tunnel\n")}},
			{send: script + "head :method: CONNECT; :protocol: websocket; :scheme: http; :authority: a.example; :path: /old\nawait head\n", answers: []string{answered(403)}},
			{send: script + "head :method: CONNECT; :protocol: websocket; :scheme: http; :authority: a.example; :path: /chat\n", answers: []string{said("head+ :status: 404\n")}},
			{send: script + "head :method: CONNECT; :protocol: other; :scheme: http; :authority: a.example; :path: /chat\n"},
		}},

	// Limits and options.
	framed("two-limits", "delayed_close_timeout: 0.02s\nhttp2_protocol_options: {"+limited+"}", "", append(steps("get /\nawait\npriority\ntimes 20 priority\nawait end\n", "post /\ntimes 6 empty\nawait end\n", "get /\nawait\ntimes 40 window 1\nawait end\n"),
		exchange{send: script + "post /a\ndata he\nawait head\nget /b\nawait\non 1\ndata+ llo\n", answers: []string{said("early\nhead :status: 200\ndata+ hel\n")}})...),
	framed("two-options", "http2_protocol_options: {hpack_table_size: 0, initial_stream_window_size: 65535, initial_connection_window_size: 65535, max_outbound_frames: 1000, max_outbound_control_frames: 100, stream_reset_burst: 100, stream_reset_rate: 10, connection_keepalive: {interval: 3600s, timeout: 10s, interval_jitter: {value: 10}}, custom_settings_parameters: [{identifier: 77, value: 5}], max_concurrent_streams: 7}", "", exchange{send: "GET /"}, exchange{send: "GET /b"}),
	{name: "two-options-up", two: true, clusters: map[string]string{"up": optionsOf("hpack_table_size: 0, initial_stream_window_size: 65535, initial_connection_window_size: 65535, max_concurrent_streams: 7, max_outbound_frames: 1000, max_outbound_control_frames: 100, max_consecutive_inbound_frames_with_empty_payload: 3, max_inbound_priority_frames_per_stream: 10, max_inbound_window_update_frames_per_data_frame_sent: 10, custom_settings_parameters: [{identifier: 77, value: 5}], connection_keepalive: {interval: 3600s, timeout: 10s, interval_jitter: {value: 10}, connection_idle_interval: 3600s}, stream_error_on_invalid_http_messaging: true")}, sends: gets("/", "/b")},
	framed("two-requests", "common_http_protocol_options: {max_requests_per_connection: 2}\ndrain_timeout: 0.2s", "", steps("get /\nawait\nget /b\nawait\nawait end\n")...),
	framed("two-idle", "common_http_protocol_options: {idle_timeout: 0.3s}\ndrain_timeout: 0.2s\ndelayed_close_timeout: 0.02s", "", steps("get /\nawait\nawait end\n")...),
	framed("two-age", "common_http_protocol_options: {max_connection_duration: 0.3s}\ndrain_timeout: 0.2s\ndelayed_close_timeout: 0.02s", "", steps("get /\nawait\nawait end\n")...),
	{name: "two-requests-up", two: true, clusters: map[string]string{"up": optionsUp("common_http_protocol_options: {max_requests_per_connection: 1}, explicit_http_config: {http2_protocol_options: {}}")}, sends: gets("/", "/b", "/c")},
	{name: "two-at-once", two: true, clusters: map[string]string{"up": speaks2}, vhost: routes(route("prefix: /", "direct_response: {status: 200, body: {inline_string: hello}}")), sends: steps("get /1\nget /2\nget /3\n", "post /1\npost /2\ndata+ b\non 1\ndata+ a\n")},

	// Versions.
	{name: "two-codec", two: true, manager: "codec_type: HTTP2", sends: gets("/")},
	{name: "two-codec-old", manager: "codec_type: HTTP1", sends: gets("/")},
	{name: "two-as-client", two: true, clusters: map[string]string{"up": optionsUp("use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}")}, sends: gets("/", "/b")},
	checked("two-checked", "well", `http_health_check: {path: /, codec_client_type: HTTP2}`),
	checked("two-checked-grpc", "well", `grpc_health_check: {service_name: s, authority: a.test, initial_metadata: [{header: {key: x-a, value: b}}]}`, speaks2),
	checked("two-checked-tls", "well", `http_health_check: {path: /}, tls_options: {alpn_protocols: [h2]}`),
	{name: "two-as-client-not", clusters: map[string]string{"up": optionsUp("use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}")}, sends: gets("/", "/b")},
	{name: "two-as-client-old", two: true, clusters: map[string]string{"up": "protocol_selection: USE_DOWNSTREAM_PROTOCOL\nhttp2_protocol_options: {}"}, sends: gets("/")},
	{name: "two-as-client-no-options", two: true, clusters: map[string]string{"up": optionsUp("use_downstream_protocol_config: {http_protocol_options: {}}")}, sends: gets("/")},
}

// negotiated are scenarios of what is agreed on in TLS.
var negotiated = []scenario{
	secretly("two-alpn", "", ", alpn_protocols: [h2, http/1.1]", offering...),
	secretly("two-alpn-one", "codec_type: HTTP1", ", alpn_protocols: [h2, http/1.1]", offering[1], offering[3]),
	secretly("two-alpn-two", "codec_type: HTTP2", ", alpn_protocols: [h2, http/1.1]", offering[0], offering[2], offering[4]),
	secretly("two-keys", "", ", key_log: {path: @folder/two-keys.log, local_address_range: [{address_prefix: 127.0.0.0, prefix_len: 8}], remote_address_range: [{address_prefix: 127.0.0.1, prefix_len: 32}]}", offering[1]),
	agreed("two-auto", "either", "auto_config: {http_protocol_options: {}, http2_protocol_options: {}}"),
	agreed("two-auto-old", "secure", "auto_config: {http_protocol_options: {}, http2_protocol_options: {}}"),
	agreed("two-auto-unasked", "strange", "auto_config: {http_protocol_options: {}, http2_protocol_options: {}}"),
	agreed("two-explicit", "either", "explicit_http_config: {http2_protocol_options: {}}"),
	agreed("two-explicit-old", "secure", "explicit_http_config: {http2_protocol_options: {}}"),
}

// agreed is a scenario whose cluster agrees with its endpoint on a version.
func agreed(name, upstream, options string) scenario {
	return toPeer(name, upstream, peer("", "sni: server.test")+"\n"+optionsUp(options), gets("/", "/b")...)
}
