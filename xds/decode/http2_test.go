package decode

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
)

// http2Defaults are those of Envoy 1.40.
var http2Defaults = config.HTTP2{
	HeaderTable: 4096, MaxStreams: 1024, StreamWindow: 16 << 20, ConnectionWindow: 24 << 20, MaxFrame: 16384,
	MaxOutbound: 10000, MaxOutboundControl: 1000, MaxEmpty: 1, MaxPriority: 100, MaxWindowUpdates: 10, ResetBurst: 1000, ResetRate: 33,
}

const (
	managed  = "filter_chains[0].filters[0].typed_config(HttpConnectionManager)."
	managedY = `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      route_config: {}
      http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
      `
	optionsPath = `typed_extension_protocol_options["` + protocolOptions + `"](HttpProtocolOptions)`
	plainTLS    = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}`
	rawSocket   = `{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`
	grpcChecked = `health_checks: [{timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, grpc_health_check: {}}]`
)

// options are a cluster's typed options, and what else it says.
func options(text, more string) string {
	return `{name: c, typed_extension_protocol_options: {` + protocolOptions + `: {"@type": type.googleapis.com/` + protocolOptions + `, ` + text + `}}, ` + more + `}`
}

// TestHTTP2 reads options of HTTP/2 beside the defaults of all others, on both sides.
func TestHTTP2(t *testing.T) {
	with := func(change func(*config.HTTP2)) config.HTTP2 {
		h := http2Defaults
		change(&h)
		return h
	}
	for _, c := range []struct {
		text string // of http2_protocol_options
		want config.HTTP2
	}{
		{`{}`, http2Defaults},
		{`{hpack_table_size: 0, max_concurrent_streams: 1, initial_stream_window_size: 65535, initial_connection_window_size: 2147483647, allow_connect: true}`,
			with(func(h *config.HTTP2) {
				h.HeaderTable, h.MaxStreams, h.StreamWindow, h.ConnectionWindow, h.Connect = 0, 1, 65535, 1<<31-1, true
			})},
		{`{max_outbound_frames: 1, max_outbound_control_frames: 2, max_consecutive_inbound_frames_with_empty_payload: 0, max_inbound_priority_frames_per_stream: 0,
			max_inbound_window_update_frames_per_data_frame_sent: 3}`,
			with(func(h *config.HTTP2) {
				h.MaxOutbound, h.MaxOutboundControl, h.MaxEmpty, h.MaxPriority, h.MaxWindowUpdates = 1, 2, 0, 0, 3
			})},
		{`{stream_error_on_invalid_http_messaging: true}`, with(func(h *config.HTTP2) { h.StreamErrors = true })},
		{`{stream_error_on_invalid_http_messaging: true, override_stream_error_on_invalid_http_message: false}`, http2Defaults},
		{`{override_stream_error_on_invalid_http_message: true}`, with(func(h *config.HTTP2) { h.StreamErrors = true })},
		{`{connection_keepalive: {timeout: 1s}}`, with(func(h *config.HTTP2) { h.Alive = &config.HTTP2Alive{Timeout: time.Second, Jitter: 0.15} })},
		{`{connection_keepalive: {interval: 2s, timeout: 1s, interval_jitter: {value: 0}, connection_idle_interval: 3s}}`,
			with(func(h *config.HTTP2) {
				h.Alive = &config.HTTP2Alive{Interval: 2 * time.Second, Timeout: time.Second, Idle: 3 * time.Second}
			})},
		{`{stream_reset_burst: 0, stream_reset_rate: 7}`, with(func(h *config.HTTP2) { h.ResetBurst, h.ResetRate = 0, 7 })},
		// A parameter that a field stands for is that field; what SETTINGS says anyway is not said twice.
		{`{custom_settings_parameters: [{identifier: 99, value: 5}, {identifier: 99, value: 5}, {identifier: 6, value: 4}, {identifier: 2, value: 0}]}`,
			with(func(h *config.HTTP2) { h.Settings = []config.HTTP2Setting{{ID: 6, Value: 4}, {ID: 99, Value: 5}} })},
		{`{custom_settings_parameters: [{identifier: 1, value: 5}, {identifier: 3, value: 6}, {identifier: 4, value: 65536}, {identifier: 5, value: 16385}]}`,
			with(func(h *config.HTTP2) { h.HeaderTable, h.MaxStreams, h.StreamWindow, h.MaxFrame = 5, 6, 65536, 16385 })},
		// What only other codecs of Envoy's know changes nothing.
		{`{use_oghttp2_codec: true, max_metadata_size: 1, enable_huffman_encoding: false, disallow_obs_text: true, allow_metadata: false}`, http2Defaults},
	} {
		l, err := decoder().Listener(parse(t, managedY+"http2_protocol_options: "+c.text, &listenerv3.Listener{}))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff(c.want, l.Chains[0].HTTP.HTTP2); d != "" {
			t.Errorf("listener: %s: %s", c.text, d)
		}
		for _, text := range []string{`{name: c, http2_protocol_options: ` + c.text + `}`, options(`explicit_http_config: {http2_protocol_options: `+c.text+`}`, ``)} {
			up, err := decoder().Cluster(parse(t, text, &clusterv3.Cluster{}))
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			want := c.want
			want.Connect = false
			if strings.Contains(c.text, "reset") {
				want = up.Protocol.HTTP2 // which Envoy reads downstream only
			}
			if d := cmp.Diff(config.Protocol{Mode: config.ProtocolHTTP2, HTTP2: want}, up.Protocol); d != "" {
				t.Errorf("cluster: %s: %s", text, d)
			}
		}
	}
}

// TestStreamErrors asks the version's own word first, then the connection manager's, then the older one.
func TestStreamErrors(t *testing.T) {
	for text, want := range map[string]bool{
		`stream_error_on_invalid_http_message: true`: true,
		"stream_error_on_invalid_http_message: true\n      http2_protocol_options: {override_stream_error_on_invalid_http_message: false}": false,
		"stream_error_on_invalid_http_message: false\n      http2_protocol_options: {stream_error_on_invalid_http_messaging: true}":        false,
		"http2_protocol_options: {stream_error_on_invalid_http_messaging: true}":                                                           true,
	} {
		l, err := decoder().Listener(parse(t, managedY+text, &listenerv3.Listener{}))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Chains[0].HTTP.HTTP2.StreamErrors; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestCodec reads which version a listener speaks, and how long the end of a response may wait.
func TestCodec(t *testing.T) {
	for text, want := range map[string]config.Codec{``: config.CodecAuto, `codec_type: AUTO`: config.CodecAuto, `codec_type: HTTP1`: config.CodecHTTP1, `codec_type: HTTP2`: config.CodecHTTP2} {
		l, err := decoder().Listener(parse(t, managedY+text, &listenerv3.Listener{}))
		if err != nil {
			t.Fatal(err)
		}
		if h := l.Chains[0].HTTP; h.Codec != want || h.FlushTimeout != nil {
			t.Errorf("%q: %v, %v", text, h.Codec, h.FlushTimeout)
		}
	}
	l, err := decoder().Listener(parse(t, managedY+`stream_flush_timeout: 0s`, &listenerv3.Listener{}))
	if err != nil {
		t.Fatal(err)
	}
	if f := l.Chains[0].HTTP.FlushTimeout; f == nil || *f != 0 {
		t.Errorf("a flush timeout of 0s is %v", f)
	}
	r, err := decoder().RouteConfiguration(parse(t, `{name: r, virtual_hosts: [{name: v, domains: [d], routes: [{match: {prefix: /}, route: {cluster: c, flush_timeout: 3s}}]}]}`, &routev3.RouteConfiguration{}))
	if err != nil {
		t.Fatal(err)
	}
	if f := r.VirtualHosts[0].Routes[0].Forward.FlushTimeout; f == nil || *f != 3*time.Second {
		t.Errorf("the route's flush timeout of 3s is %v", f)
	}
}

// TestProtocol reads which version a cluster's endpoints are spoken to in, from newer and older fields.
func TestProtocol(t *testing.T) {
	streams := func(n uint32) config.HTTP2 { h := http2Defaults; h.MaxStreams = n; return h }
	for text, want := range map[string]config.Protocol{
		`{name: c}`:                            {HTTP2: http2Defaults},
		`{name: c, http_protocol_options: {}}`: {HTTP2: http2Defaults},
		`{name: c, http2_protocol_options: {max_concurrent_streams: 3}}`:                                                                         {Mode: config.ProtocolHTTP2, HTTP2: streams(3)},
		`{name: c, protocol_selection: USE_DOWNSTREAM_PROTOCOL}`:                                                                                 {Mode: config.ProtocolAsDownstream, HTTP2: http2Defaults},
		`{name: c, protocol_selection: USE_DOWNSTREAM_PROTOCOL, http_protocol_options: {}, http2_protocol_options: {max_concurrent_streams: 3}}`: {Mode: config.ProtocolAsDownstream, HTTP2: streams(3)},
		options(`explicit_http_config: {http_protocol_options: {}}`, ``):                                                                         {HTTP2: http2Defaults},
		options(`explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 3}}`, ``):                                               {Mode: config.ProtocolHTTP2, HTTP2: streams(3)},
		options(`use_downstream_protocol_config: {}`, ``):                                                                                        {Mode: config.ProtocolAsDownstream, HTTP2: http2Defaults},
		options(`use_downstream_protocol_config: {http2_protocol_options: {max_concurrent_streams: 3}}`, ``):                                     {Mode: config.ProtocolAsDownstream, HTTP2: streams(3)},
		options(`auto_config: {}`, `transport_socket: `+plainTLS):                                                                                {Mode: config.ProtocolByALPN, HTTP2: http2Defaults},
		options(`auto_config: {http2_protocol_options: {max_concurrent_streams: 3}}`, `transport_socket: `+plainTLS):                             {Mode: config.ProtocolByALPN, HTTP2: streams(3)},
		options(`use_downstream_protocol_config: {http2_protocol_options: {}}`, grpcChecked):                                                     {Mode: config.ProtocolAsDownstream, HTTP2: http2Defaults},
		options(`auto_config: {}`, grpcChecked+`, transport_socket: `+plainTLS):                                                                  {Mode: config.ProtocolByALPN, HTTP2: http2Defaults},
	} {
		c, err := decoder().Cluster(parse(t, text, &clusterv3.Cluster{}))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(want, c.Protocol); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
	// What belongs to HTTP/1 is read beside it, and what belongs to both whatever the version.
	c, err := decoder().Cluster(parse(t, options(`auto_config: {http_protocol_options: {enable_trailers: true}}, common_http_protocol_options: {max_requests_per_connection: 3, idle_timeout: 2s}`, `transport_socket: `+plainTLS), &clusterv3.Cluster{}))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Trailers || c.MaxRequestsPerConn != 3 || c.IdleTimeout != 2*time.Second {
		t.Errorf("%+v", c)
	}
}

// TestChecksOverHTTP2 reads checks that speak HTTP/2.
func TestChecksOverHTTP2(t *testing.T) {
	c, err := decoder().Cluster(parse(t, `{name: c, http2_protocol_options: {}, health_checks: [{timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1,
		grpc_health_check: {service_name: s, authority: a, initial_metadata: [{header: {key: X-A, value: b}}]}}]}`, &clusterv3.Cluster{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&config.GRPCCheck{Service: "s", Host: "a", Add: []config.Field{{Name: "x-a", Value: "b"}}}, c.Health.GRPC); d != "" || c.Health.HTTP != nil || c.Health.TCP != nil {
		t.Errorf("%s%+v", d, c.Health)
	}
	for kind, want := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		c, err := decoder().Cluster(parse(t, `{name: c, health_checks: [{timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, http_health_check: {path: /, codec_client_type: `+kind+`}}]}`, &clusterv3.Cluster{}))
		if err != nil {
			t.Fatal(err)
		}
		if c.Health.HTTP.HTTP2 != want {
			t.Errorf("%s: %v", kind, c.Health.HTTP.HTTP2)
		}
	}
}

// TestHTTP2Problems refuses what Envoy refuses, and says where.
func TestHTTP2Problems(t *testing.T) {
	const h2 = "http2_protocol_options."
	for text, want := range map[string]string{
		`{hpack_table_size: 16777217}`:                                                           h2 + `hpack_table_size: 16777217 is too much: want 16777216 at most`,
		`{max_concurrent_streams: 0}`:                                                            h2 + `max_concurrent_streams: value must be inside range [1, 2147483647]`,
		`{max_concurrent_streams: 2147483648}`:                                                   h2 + `max_concurrent_streams: value must be inside range [1, 2147483647]`,
		`{initial_stream_window_size: 65534}`:                                                    h2 + `initial_stream_window_size: value must be inside range [65535, 2147483647]`,
		`{initial_connection_window_size: 2147483648}`:                                           h2 + `initial_connection_window_size: value must be inside range [65535, 2147483647]`,
		`{max_outbound_frames: 0}`:                                                               h2 + `max_outbound_frames: value must be greater than or equal to 1`,
		`{max_outbound_control_frames: 0}`:                                                       h2 + `max_outbound_control_frames: value must be greater than or equal to 1`,
		`{max_inbound_window_update_frames_per_data_frame_sent: 0}`:                              h2 + `max_inbound_window_update_frames_per_data_frame_sent: value must be greater than or equal to 1`,
		`{allow_metadata: true}`:                                                                 h2 + `allow_metadata: not supported yet: METADATA frames are passed over (false is accepted)`,
		`{connection_keepalive: {interval: 1s}}`:                                                 h2 + `connection_keepalive.timeout: value is required`,
		`{connection_keepalive: {timeout: 0s}}`:                                                  h2 + `connection_keepalive.timeout: value must be greater than or equal to 1ms`,
		`{connection_keepalive: {timeout: 1s, interval: 0s}}`:                                    h2 + `connection_keepalive.interval: value must be greater than or equal to 1ms`,
		`{max_header_field_size_kb: 63}`:                                                         h2 + `max_header_field_size_kb: value must be inside range [64, 256]`,
		`{custom_settings_parameters: [{identifier: 65536, value: 1}]}`:                          h2 + `custom_settings_parameters[0].identifier: value must be inside range [0, 65535]`,
		`{custom_settings_parameters: [{identifier: 99}]}`:                                       h2 + `custom_settings_parameters[0].value: value is required`,
		`{custom_settings_parameters: [{identifier: 2, value: 1}]}`:                              h2 + `custom_settings_parameters[0]: server push is not supported and can not be enabled`,
		`{custom_settings_parameters: [{identifier: 8, value: 1}]}`:                              h2 + `custom_settings_parameters[0]: the "allow_connect" parameter must only be configured through the named field`,
		`{custom_settings_parameters: [{identifier: 99, value: 1}, {identifier: 99, value: 2}]}`: h2 + `custom_settings_parameters[1]: inconsistent: 0x63 is 1 already`,
		`{hpack_table_size: 4096, custom_settings_parameters: [{identifier: 1, value: 4096}]}`:   h2 + `custom_settings_parameters[0]: the hpack_table_size parameter can not be configured through both the named field and this`,
		`{custom_settings_parameters: [{identifier: 5, value: 1}]}`:                              h2 + `custom_settings_parameters[0].value: 1: want 16384 to 16777215`,
		`{custom_settings_parameters: [{identifier: 3, value: 0}]}`:                              h2 + `custom_settings_parameters[0].value: 0: want 1 to 2147483647`,
	} {
		_, err := decoder().Listener(parse(t, managedY+"http2_protocol_options: "+text, &listenerv3.Listener{}))
		if err == nil || err.Error() != managed+want {
			t.Errorf("listener: %s:\nwant %s\n got %v", text, managed+want, err)
		}
		_, err = decoder().Cluster(parse(t, options(`explicit_http_config: {http2_protocol_options: `+text+`}`, ``), &clusterv3.Cluster{}))
		if want := optionsPath + ".explicit_http_config." + want; err == nil || err.Error() != want {
			t.Errorf("cluster: %s:\nwant %s\n got %v", text, want, err)
		}
	}
	_, err := decoder().Listener(parse(t, managedY+"http2_protocol_options: {max_header_field_size_kb: 64}", &listenerv3.Listener{}))
	if want := managed + h2 + "max_header_field_size_kb: 64: must not exceed max_request_headers_kb, which is 60"; err == nil || err.Error() != want {
		t.Errorf("want %s, got %v", want, err)
	}
	if _, err := decoder().Listener(parse(t, managedY+"max_request_headers_kb: 96\n      http2_protocol_options: {max_header_field_size_kb: 96}", &listenerv3.Listener{})); err != nil {
		t.Error(err)
	}
	const noALPN = optionsPath + ".auto_config: ALPN decides which version is spoken, and "
	for text, want := range map[string]string{
		options(`explicit_http_config: {http2_protocol_options: {max_header_field_size_kb: 64}}`, ``):                                                              ``,
		options(`explicit_http_config: {http2_protocol_options: {max_header_field_size_kb: 64}}, common_http_protocol_options: {max_response_headers_kb: 50}`, ``): optionsPath + `.explicit_http_config.http2_protocol_options.max_header_field_size_kb: 64: must not exceed max_response_headers_kb, which is 50`,
		options(`auto_config: {}`, ``):                             noALPN + `transport_socket is not TLS`,
		options(`auto_config: {}`, `transport_socket: `+rawSocket): noALPN + `transport_socket is not TLS`,
		options(`auto_config: {}`, `transport_socket: `+plainTLS+`, transport_socket_matches: [{name: a, match: {a: b}, transport_socket: `+rawSocket+`}]`): noALPN + `transport_socket_matches[0] is not TLS`,
		options(`auto_config: {http3_protocol_options: {}}`, `transport_socket: `+plainTLS):                                                                 optionsPath + `.auto_config.http3_protocol_options: not supported yet: comes with HTTP/3`,
		options(`auto_config: {alternate_protocols_cache_options: {name: a}}`, `transport_socket: `+plainTLS):                                               optionsPath + `.auto_config.alternate_protocols_cache_options: not supported yet: comes with HTTP/3`,
		options(`explicit_http_config: {}`, ``): optionsPath + `.explicit_http_config.http_protocol_options|http2_protocol_options|http3_protocol_options: value is required`,
		options(`explicit_http_config: {http_protocol_options: {}}`, `http2_protocol_options: {}`): `typed_extension_protocol_options["` + protocolOptions + `"]: common_http_protocol_options, http_protocol_options, ` +
			`http2_protocol_options and protocol_selection of the cluster are not read beside this: move them here`,
		`{name: c, http_protocol_options: {}, http2_protocol_options: {}}`: `http2_protocol_options: both HTTP1 and HTTP2 options may only be configured with non-default 'protocol_selection' values`,
		`{name: c, ` + grpcChecked + `}`:                                   `health_checks[0].grpc_health_check: the cluster must speak HTTP/2 for checks of gRPC: want http2_protocol_options or auto_config`,
		options(`use_downstream_protocol_config: {}`, grpcChecked):         `health_checks[0].grpc_health_check: the cluster must speak HTTP/2 for checks of gRPC: want http2_protocol_options or auto_config`,
		strings.Replace(`{name: c, http2_protocol_options: {}, `+grpcChecked+`}`, "grpc_health_check: {}", `grpc_health_check: {authority: "a b"}`, 1):                                       `health_checks[0].grpc_health_check.authority: "a b" is no host`,
		strings.Replace(`{name: c, http2_protocol_options: {}, `+grpcChecked+`}`, "grpc_health_check: {}", `grpc_health_check: {initial_metadata: [{header: {key: ":path", value: a}}]}`, 1): `health_checks[0].grpc_health_check.initial_metadata[0].header.key: ":path" is no name of a field that may be added`,
	} {
		_, err := decoder().Cluster(parse(t, text, &clusterv3.Cluster{}))
		if got := ""; want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			if err != nil {
				got = err.Error()
			}
			t.Errorf("%s:\nwant %s\n got %s", text, want, got)
		}
	}
}
