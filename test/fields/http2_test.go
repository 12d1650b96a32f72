package fields

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/weftmesh/weft/test/e2e"
)

// downstream2 are a connection manager's options of HTTP/2, upstream2 a cluster's.
func downstream2(piece string) string { return hcm("http2_protocol_options: {" + piece + "}") }
func upstream2(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), upCluster(e2e.Speaks2(piece)))
}

// alive2 asks peers whether they are there.
func alive2(site func(string) string) func(string) string {
	return func(piece string) string { return site("connection_keepalive: {" + piece + "}") }
}

// byALPN is a cluster whose upstream says in TLS what it speaks.
func byALPN(piece string) string {
	return cluster(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + piece + "}}\n" + e2e.UpstreamTLS("", ""))
}

const allTheSame = "http2_protocol_options: {hpack_table_size: 1000}"

// http2Trials are those of HTTP/2. A client or an upstream is made of frames where theirs are what is looked at.
var http2Trials = []trial{
	{paths: "HttpConnectionManager.codec_type=HTTP1", site: hcm, flip: "codec_type: HTTP1", probe: answersIn, want: [2]string{"1 2", "1"}},
	{paths: "HttpConnectionManager.codec_type=HTTP2", site: hcm, flip: "codec_type: HTTP2", probe: answersIn, want: [2]string{"1 2", "2"}},
	{paths: "HttpConnectionManager.http2_protocol_options Http2ProtocolOptions@downstream.max_concurrent_streams", site: hcm, flip: "http2_protocol_options: {max_concurrent_streams: 7}", probe: setting(http2.SettingMaxConcurrentStreams), want: [2]string{"1024", "7"}},
	{paths: "Http2ProtocolOptions@downstream.hpack_table_size", site: downstream2, flip: "hpack_table_size: 1000", probe: setting(http2.SettingHeaderTableSize), want: [2]string{"-", "1000"}},
	{paths: "Http2ProtocolOptions@downstream.allow_connect", site: downstream2, flip: "allow_connect: true", probe: setting(http2.SettingEnableConnectProtocol), want: [2]string{"-", "1"}},
	{paths: "Http2ProtocolOptions@downstream.custom_settings_parameters", site: downstream2, flip: "custom_settings_parameters: [{identifier: 99, value: 5}]", probe: setting(99), want: [2]string{"-", "5"}},
	{paths: "Http2ProtocolOptions.SettingsParameter.identifier", site: downstream2, base: "custom_settings_parameters: [{identifier: 98, value: 5}]", flip: "custom_settings_parameters: [{identifier: 99, value: 5}]", probe: setting(99), want: [2]string{"-", "5"}},
	{paths: "Http2ProtocolOptions.SettingsParameter.value", site: downstream2, base: "custom_settings_parameters: [{identifier: 99, value: 4}]", flip: "custom_settings_parameters: [{identifier: 99, value: 5}]", probe: setting(99), want: [2]string{"4", "5"}},
	{paths: "Http2ProtocolOptions@downstream.initial_stream_window_size", site: downstream2, flip: "initial_stream_window_size: 65535", probe: widens(1), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.initial_connection_window_size", site: downstream2, flip: "initial_connection_window_size: 65535", probe: widens(0), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.max_consecutive_inbound_frames_with_empty_payload", site: downstream2, base: "max_consecutive_inbound_frames_with_empty_payload: 3", flip: "max_consecutive_inbound_frames_with_empty_payload: 1", probe: survives(empties), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.max_inbound_priority_frames_per_stream", site: downstream2, flip: "max_inbound_priority_frames_per_stream: 0", probe: survives(priorities), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.max_inbound_window_update_frames_per_data_frame_sent", site: downstream2, flip: "max_inbound_window_update_frames_per_data_frame_sent: 1", probe: survives(updates), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.max_outbound_control_frames", site: downstream2, flip: "max_outbound_control_frames: 1", probe: survives(pings), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.max_outbound_frames", site: downstream2, flip: "max_outbound_frames: 20", probe: survives(pings), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.override_stream_error_on_invalid_http_message", site: downstream2, flip: "override_stream_error_on_invalid_http_message: true", probe: survives(malformed), want: [2]string{"false", "true"}},
	{paths: "Http2ProtocolOptions@downstream.stream_error_on_invalid_http_messaging", site: downstream2, flip: "stream_error_on_invalid_http_messaging: true", probe: survives(malformed), want: [2]string{"false", "true"}},
	{paths: "Http2ProtocolOptions@downstream.stream_reset_burst", site: downstream2, base: "stream_reset_rate: 1", flip: "stream_reset_rate: 1, stream_reset_burst: 3", probe: survives(resets2), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.stream_reset_rate", site: downstream2, base: "stream_reset_burst: 5, stream_reset_rate: 1000", flip: "stream_reset_burst: 5, stream_reset_rate: 0", probe: survives(resetsLater), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@downstream.connection_keepalive KeepaliveSettings@downstream.interval", site: downstream2, flip: "connection_keepalive: {timeout: 5s, interval: 0.05s}", probe: comes(http2.FramePing), want: [2]string{"false", "true"}},
	{paths: "KeepaliveSettings@downstream.timeout", site: alive2(downstream2), base: "interval: 0.05s, timeout: 5s", flip: "interval: 0.05s, timeout: 0.05s", probe: comes(ending), want: [2]string{"false", "true"}},
	{paths: "KeepaliveSettings@downstream.interval_jitter", site: alive2(downstream2), base: "interval: 0.2s, timeout: 5s, interval_jitter: {value: 0}", flip: "interval: 0.2s, timeout: 5s, interval_jitter: {value: 100}", probe: func(w *world) string { f := frames2(w); return irregular(f.ReadFrame, f.WritePing) }, want: [2]string{"false", "true"}},
	{paths: "HttpConnectionManager.stream_flush_timeout", site: hcm, flip: "stream_flush_timeout: 0.1s", probe: unread, want: [2]string{"false", "true"}},
	{paths: "RouteAction.flush_timeout", site: action, flip: "flush_timeout: 0.1s", probe: unread, want: [2]string{"false", "true"}},

	{paths: "ExplicitHttpConfig.http2_protocol_options", site: options, base: "explicit_http_config: {http_protocol_options: {}}", flip: "explicit_http_config: {http2_protocol_options: {}}", up: either2, probe: look("GET /", "body"), want: [2]string{"1", "2"}},
	{paths: "Cluster.http2_protocol_options", site: cluster, flip: "http2_protocol_options: {}", up: either2, probe: look("GET /", "body"), want: [2]string{"1", "2"}},
	{paths: "Cluster.protocol_selection=USE_DOWNSTREAM_PROTOCOL", site: cluster, flip: "protocol_selection: USE_DOWNSTREAM_PROTOCOL", up: either2, probe: look2, want: [2]string{"1", "2"}},
	{paths: "UseDownstreamHttpConfig.http2_protocol_options", site: options, base: "use_downstream_protocol_config: {}", flip: "use_downstream_protocol_config: {" + allTheSame + "}", up: server2, probe: heard2(http2.SettingHeaderTableSize), want: [2]string{"-", "1000"}},
	{paths: "HttpProtocolOptions.auto_config", site: byALPN, base: "explicit_http_config: {http_protocol_options: {}}", flip: "auto_config: {}", up: secureEither, probe: look("GET /", "body"), want: [2]string{"1", "2"}},
	{paths: "AutoHttpConfig.http2_protocol_options", site: byALPN, base: "auto_config: {}", flip: "auto_config: {" + allTheSame + "}", up: secureServer2, probe: heard(http2.SettingHeaderTableSize), want: [2]string{"-", "1000"}},
	{paths: "AutoHttpConfig.http_protocol_options", site: byALPN, base: "auto_config: {}", flip: "auto_config: {http_protocol_options: {header_key_format: {proper_case_words: {}}}}", up: secureNames, probe: look("GET /; x-a: 1", "body"), want: [2]string{"x-a", "X-A"}},

	{paths: "Http2ProtocolOptions@upstream.hpack_table_size", site: upstream2, flip: "hpack_table_size: 1000", up: server2, probe: heard(http2.SettingHeaderTableSize), want: [2]string{"-", "1000"}},
	{paths: "Http2ProtocolOptions@upstream.custom_settings_parameters", site: upstream2, flip: "custom_settings_parameters: [{identifier: 99, value: 5}]", up: server2, probe: heard(99), want: [2]string{"-", "5"}},
	{paths: "Http2ProtocolOptions@upstream.max_concurrent_streams", site: upstream2, flip: "max_concurrent_streams: 1", up: pair2, probe: two2, want: [2]string{"1", "2"}},
	{paths: "Http2ProtocolOptions@upstream.initial_stream_window_size", site: upstream2, flip: "initial_stream_window_size: 66000", up: server2, probe: widened(1), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@upstream.initial_connection_window_size", site: upstream2, flip: "initial_connection_window_size: 66000", up: server2, probe: widened(0), want: [2]string{"true", "false"}},
	{paths: "Http2ProtocolOptions@upstream.max_consecutive_inbound_frames_with_empty_payload", site: upstream2, base: "max_consecutive_inbound_frames_with_empty_payload: 3", flip: "max_consecutive_inbound_frames_with_empty_payload: 1", up: server2, probe: look("GET /empties", "#cluster.up.http2.inbound_empty_frames_flood"), want: [2]string{"0", "1"}},
	{paths: "Http2ProtocolOptions@upstream.max_inbound_priority_frames_per_stream", site: upstream2, flip: "max_inbound_priority_frames_per_stream: 0", up: server2, probe: look("GET /priorities", "#cluster.up.http2.inbound_priority_frames_flood"), want: [2]string{"0", "1"}},
	{paths: "Http2ProtocolOptions@upstream.max_inbound_window_update_frames_per_data_frame_sent", site: upstream2, flip: "max_inbound_window_update_frames_per_data_frame_sent: 1", up: server2, probe: look("POST /updates HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello", "#cluster.up.http2.inbound_window_update_frames_flood"), want: [2]string{"0", "1"}},
	{paths: "Http2ProtocolOptions@upstream.max_outbound_control_frames", site: upstream2, flip: "max_outbound_control_frames: 1", up: server2, probe: look("GET /pings", "#cluster.up.http2.outbound_control_flood"), want: [2]string{"0", "1"}},
	{paths: "Http2ProtocolOptions@upstream.max_outbound_frames", site: upstream2, flip: "max_outbound_frames: 20", up: server2, probe: look("GET /pings", "#cluster.up.http2.outbound_flood"), want: [2]string{"0", "1"}},
	{paths: "Http2ProtocolOptions@upstream.override_stream_error_on_invalid_http_message", site: upstream2, flip: "override_stream_error_on_invalid_http_message: true", up: server2, probe: afterMalformed, want: [2]string{"2", "1"}},
	{paths: "Http2ProtocolOptions@upstream.stream_error_on_invalid_http_messaging", site: upstream2, flip: "stream_error_on_invalid_http_messaging: true", up: server2, probe: afterMalformed, want: [2]string{"2", "1"}},
	{paths: "Http2ProtocolOptions@upstream.connection_keepalive KeepaliveSettings@upstream.interval", site: upstream2, flip: "connection_keepalive: {timeout: 5s, interval: 0.05s}", up: server2, probe: look("GET /ping", "body"), want: [2]string{"false", "true"}},
	{paths: "KeepaliveSettings@upstream.timeout", site: alive2(upstream2), base: "interval: 0.05s, timeout: 5s", flip: "interval: 0.05s, timeout: 0.05s", up: server2, probe: look("GET /silence", "status"), want: [2]string{"200", "503"}},
	{paths: "KeepaliveSettings@upstream.interval_jitter", site: alive2(upstream2), base: "interval: 0.2s, timeout: 5s, interval_jitter: {value: 0}", flip: "interval: 0.2s, timeout: 5s, interval_jitter: {value: 100}", up: server2, probe: look("GET /irregular", "body"), want: [2]string{"false", "true"}},
	{paths: "HttpHealthCheck.codec_client_type=HTTP2", site: checked2, base: "http_health_check: {path: /}", flip: "http_health_check: {path: /, codec_client_type: HTTP2}", up: server2, probe: becomes(healthy, 1), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.grpc_health_check", site: checked2, base: "http_health_check: {path: /}", flip: "grpc_health_check: {service_name: well}", up: server2, probe: becomes(healthy, 1), want: [2]string{"no", "yes"}},
	{paths: "GrpcHealthCheck.service_name", site: checkedGRPC, base: "service_name: sick", flip: "service_name: well", up: server2, probe: becomes(healthy, 1), want: [2]string{"no", "yes"}},
	{paths: "GrpcHealthCheck.authority", site: checkedGRPC, base: "authority: sick", flip: "authority: well", up: server2, probe: becomes(healthy, 1), want: [2]string{"no", "yes"}},
	{paths: "GrpcHealthCheck.initial_metadata", site: checkedGRPC, flip: "initial_metadata: [{header: {key: x-well, value: a}}]", up: server2, probe: becomes(healthy, 1), want: [2]string{"no", "yes"}},
	{paths: "KeepaliveSettings@upstream.connection_idle_interval", site: alive2(upstream2), base: "timeout: 5s", flip: "timeout: 5s, connection_idle_interval: 0.001s", up: server2, probe: afterIdle, want: [2]string{"0", "1"}},
}

const healthy = "cluster.up.membership_healthy"

// checked2 is a cluster that speaks HTTP/2, with a health check; checkedGRPC one with a check of gRPC.
func checked2(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), upCluster("health_checks: [{"+usually+piece+"}]\n"+noPanic+"\n"+e2e.Speaks2()))
}

func checkedGRPC(piece string) string { return checked2("grpc_health_check: {" + piece + "}") }

func frames2(w *world) *e2e.Frames {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	return e2e.DialFrames(w.t, w.address())
}

// setting is what SETTINGS say first.
func setting(id http2.SettingID) func(*world) string {
	return func(w *world) string {
		return value(frames2(w).Next(http2.FrameSettings, 0).(*http2.SettingsFrame), id)
	}
}

func value(f *http2.SettingsFrame, id http2.SettingID) string {
	if v, ok := f.Value(id); ok {
		return fmt.Sprint(v)
	}
	return "-"
}

// answersIn are the versions that a listener answers in.
func answersIn(w *world) string {
	var list []string
	c := w.dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
	if b, _ := c.Rest(); strings.HasPrefix(b, "HTTP/1.1 200") {
		list = append(list, "1")
	}
	f := frames2(w)
	f.Head(1, true, e2e.Get("/")...)
	if answeredOn(f, 1) {
		list = append(list, "2")
	}
	return strings.Join(list, " ")
}

// answeredOn tells whether a stream is answered before the connection is told to end.
func answeredOn(f *e2e.Frames, id uint32) bool {
	for {
		fr, err := f.ReadFrame()
		if err != nil || fr.Header().Type == http2.FrameGoAway {
			return false
		}
		if fr.Header().Type == http2.FrameHeaders && fr.Header().StreamID == id {
			return true
		}
	}
}

// survives does something to a connection and tells whether it is answered on it afterwards.
func survives(do func(*e2e.Frames)) func(*world) string {
	return func(w *world) string {
		f := frames2(w)
		f.Next(http2.FrameSettings, 0)
		do(f)
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 101, BlockFragment: f.Block(e2e.Get("/")...), EndStream: true, EndHeaders: true}) // fails if it is closed
		return fmt.Sprint(answeredOn(f, 101))
	}
}

func empties(f *e2e.Frames) {
	f.Head(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/")
	for range 2 {
		f.WriteData(1, false, nil)
	}
	f.WriteData(1, true, []byte("x"))
}

func priorities(f *e2e.Frames) {
	for range 10 {
		f.WritePriority(1, http2.PriorityParam{StreamDep: 3})
	}
}

// updates come behind an answer with a frame of DATA.
func updates(f *e2e.Frames) {
	f.Head(1, true, e2e.Get("/")...)
	f.Next(http2.FrameData, 1)
	for range 15 {
		f.WriteWindowUpdate(0, 1)
	}
}

// pings come at once.
func pings(f *e2e.Frames) {
	f.Conn.Write([]byte(strings.Repeat(aPing, 500)))
}

func malformed(f *e2e.Frames) { f.Head(1, true, e2e.Get("/", "connection", "close")...) }

func resets2(f *e2e.Frames) { resetFrom(f, 1, 20) }

// resetsLater leaves time for the bucket to fill, of which Envoy looks at whole seconds.
func resetsLater(f *e2e.Frames) {
	resetFrom(f, 1, 9)
	<-time.After(1100 * time.Millisecond)
	resetFrom(f, 9, 17)
}

// resetFrom opens streams and resets them, also if the other side has had enough of that in the middle of it.
func resetFrom(f *e2e.Frames, id, end uint32) {
	for ; id < end; id += 2 {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.Block(":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"), EndHeaders: true})
		f.WriteRSTStream(id, http2.ErrCodeCancel)
	}
}

// widens tells whether the window of a stream, or of the connection, becomes larger than it is at first without being told.
func widens(id uint32) func(*world) string {
	return func(w *world) string {
		f := frames2(w)
		windows := map[uint32]int64{0: 65535, 1: 65535}
		most := int64(0)
		note := func(fr http2.Frame) {
			switch fr := fr.(type) {
			case *http2.SettingsFrame:
				if v, ok := fr.Value(http2.SettingInitialWindowSize); ok {
					windows[1] += int64(v) - 65535
				}
			case *http2.WindowUpdateFrame:
				windows[fr.StreamID] += int64(fr.Increment)
			}
			most = max(most, windows[id])
		}
		note(f.Next(http2.FrameSettings, 0))
		f.Head(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/")
		for left := int64(2 << 20); left > 0; {
			if n := min(windows[0], windows[1], 16384, left); n > 0 {
				f.WriteData(1, n == left, make([]byte, n))
				windows[0], windows[1], left = windows[0]-n, windows[1]-n, left-n
				continue
			}
			fr, err := f.ReadFrame()
			if err != nil {
				return err.Error()
			}
			note(fr)
		}
		return fmt.Sprint(most > 70_000)
	}
}

// ending is a type that no frame has.
const ending = http2.FrameType(0xff)

// comes tells whether a frame, or the end, comes within a moment.
func comes(kind http2.FrameType) func(*world) string {
	return func(w *world) string { return within2(frames2(w), kind) }
}

func within2(f *e2e.Frames, kind http2.FrameType) string {
	f.Conn.SetReadDeadline(time.Now().Add(moment))
	defer f.Conn.SetReadDeadline(time.Now().Add(deadline))
	for {
		fr, err := f.ReadFrame()
		switch e, late := err.(net.Error); {
		case err != nil:
			return fmt.Sprint(kind == ending && !(late && e.Timeout()))
		case fr.Header().Type == kind:
			return "true"
		}
	}
}

// unread tells whether a stream whose answer has no window is reset within a moment.
func unread(w *world) string {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	f := e2e.DialFrames(w.t, w.address(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	f.Head(1, true, e2e.Get("/")...)
	return within2(f, http2.FrameRSTStream)
}

// irregular answers pings and tells whether they come later than regular ones would.
func irregular(next func() (http2.Frame, error), answer func(bool, [8]byte) error) string {
	var began time.Time
	for n := 0; n <= 10; {
		fr, err := next()
		if err != nil {
			return err.Error()
		}
		if p, ok := fr.(*http2.PingFrame); ok && !p.IsAck() {
			if n++; n == 1 {
				began = time.Now()
			}
			answer(true, p.Data)
		}
	}
	return fmt.Sprint(time.Since(began) > 2500*time.Millisecond)
}

// look2 is look for a client of HTTP/2.
func look2(w *world) string {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	r := e2e.Dial2(w.t, w.address()).Get2("/")
	return r.Body
}

// either2 answers with the version that it is spoken to in.
func either2(t testing.TB) *e2e.Upstream { return e2e.Serve(t, speak) }

func speak(_ *e2e.Upstream, c *e2e.Conn) {
	r := bufio.NewReader(c.Conn)
	if b, _ := r.Peek(3); string(b) == "PRI" {
		serve2(c.Conn, r, func(p *peer2, h *http2.MetaHeadersFrame) { p.answer(h.StreamID, "2") })
		return
	}
	until(r, "\r\n\r\n")
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1")
}

// over2 has an upstream speak TLS, and whichever of these protocols.
func over2(t testing.TB, f func(*e2e.Upstream, *e2e.Conn), protocols ...string) *e2e.Upstream {
	c := e2e.NewAuthority(t, t.TempDir()).Issue("up", []string{"up.test"}, nil)
	return e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{c}, NextProtos: protocols}, f))
}

func secureEither(t testing.TB) *e2e.Upstream  { return over2(t, speak, "h2", "http/1.1") }
func secureServer2(t testing.TB) *e2e.Upstream { return over2(t, tell, "h2") }

// secureNames speaks HTTP/1 and answers with how the field x-a was spelled.
func secureNames(t testing.TB) *e2e.Upstream {
	return over2(t, func(_ *e2e.Upstream, c *e2e.Conn) {
		text := "x-a"
		if strings.Contains(until(c.Conn, "\r\n\r\n"), "X-A: ") {
			text = "X-A"
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\n%s", text)
	}, "http/1.1")
}

// server2 speaks HTTP/2, and does what paths say.
func server2(t testing.TB) *e2e.Upstream { return e2e.Serve(t, tell) }

// peer2 is the server's side of a connection.
type peer2 struct {
	*e2e.Frames
	values  map[http2.SettingID]uint32
	windows map[uint32]int64 // that we may send, by stream; 0: the connection's
	most    map[uint32]int64
	pings   int
}

// next reads a frame and takes note of it.
func (p *peer2) next() (http2.Frame, error) {
	fr, err := p.ReadFrame()
	switch fr := fr.(type) {
	case *http2.SettingsFrame:
		if fr.IsAck() {
			break
		}
		fr.ForeachSetting(func(s http2.Setting) error { p.values[s.ID] = s.Val; return nil })
		if size, ok := fr.Value(http2.SettingHeaderTableSize); ok {
			p.TableSize(size)
		}
		p.WriteSettingsAck()
	case *http2.WindowUpdateFrame:
		p.windows[fr.StreamID] += int64(fr.Increment)
		p.most[fr.StreamID] = max(p.most[fr.StreamID], p.windows[fr.StreamID])
	case *http2.PingFrame:
		if !fr.IsAck() {
			p.pings++
		}
	}
	return fr, err
}

// body reads the rest of a request, the only one under way.
func (p *peer2) body() (all string) {
	for {
		fr, err := p.next()
		d, ok := fr.(*http2.DataFrame)
		if ok {
			all += string(d.Data())
		}
		if err != nil || ok && d.StreamEnded() {
			return all
		}
	}
}

func (p *peer2) answer(id uint32, body string) {
	p.head(id)
	p.WriteData(id, true, []byte(body))
}

func (p *peer2) head(id uint32, more ...string) {
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.Block(append([]string{":status", "200"}, more...)...), EndHeaders: true})
}

// serve2 serves a connection: f is told of the head of each request.
func serve2(c net.Conn, r io.Reader, f func(*peer2, *http2.MetaHeadersFrame)) {
	io.ReadFull(r, make([]byte, len(http2.ClientPreface)))
	p := &peer2{Frames: e2e.FramesOver(nil, reading{c, r}), values: map[http2.SettingID]uint32{}, windows: map[uint32]int64{0: 65535}, most: map[uint32]int64{}}
	p.WriteSettings()
	for {
		fr, err := p.next()
		if err != nil {
			return
		}
		if h, ok := fr.(*http2.MetaHeadersFrame); ok {
			window := int64(65535)
			if v, ok := p.values[http2.SettingInitialWindowSize]; ok {
				window = int64(v)
			}
			p.windows[h.StreamID], p.most[h.StreamID] = window+p.windows[h.StreamID], window
			f(p, h)
		}
	}
}

// reading is a connection of which something was read already.
type reading struct {
	net.Conn
	r io.Reader
}

func (c reading) Read(b []byte) (int, error) { return c.r.Read(b) }

// tell does what a path says.
func tell(_ *e2e.Upstream, c *e2e.Conn) {
	serve2(c.Conn, c.Conn, func(p *peer2, h *http2.MetaHeadersFrame) {
		kind, n, _ := strings.Cut(strings.TrimPrefix(h.PseudoValue("path"), "/"), "/")
		switch id := h.StreamID; kind {
		case "setting": // what the client has said
			k, _ := strconv.Atoi(n)
			if v, ok := p.values[http2.SettingID(k)]; ok {
				p.answer(id, fmt.Sprint(v))
				return
			}
			p.answer(id, "-")
		case "bulk":
			p.head(id)
			for left := int64(4 << 20); left > 0; {
				if n := min(p.windows[0], p.windows[id], 16384, left); n > 0 {
					p.WriteData(id, n == left, make([]byte, n))
					p.windows[0], p.windows[id], left = p.windows[0]-n, p.windows[id]-n, left-n
				} else if _, err := p.next(); err != nil {
					return
				}
			}
		case "most": // that the window of stream 1, or of the connection, was
			k, _ := strconv.Atoi(n)
			p.answer(id, fmt.Sprint(p.most[uint32(k)] > 70_000))
		case "empties":
			p.head(id)
			p.WriteData(id, false, nil)
			p.WriteData(id, false, nil)
			p.WriteData(id, true, []byte("x"))
		case "priorities":
			for range 10 {
				p.WritePriority(id, http2.PriorityParam{StreamDep: 3})
			}
			p.answer(id, "x")
		case "updates":
			p.body()
			for range 15 {
				p.WriteWindowUpdate(0, 1)
			}
			p.answer(id, "x")
		case "pings":
			c.Conn.Write([]byte(strings.Repeat(aPing, 500)))
			p.answer(id, "x")
		case "malformed":
			p.head(id, "connection", "close")
			p.WriteData(id, true, []byte("x"))
		case "ping", "silence": // whether one comes within a moment, or the end
			c.SetReadDeadline(time.Now().Add(moment))
			for p.pings == 0 || kind == "silence" {
				if _, err := p.next(); err != nil {
					break
				}
			}
			c.SetReadDeadline(time.Now().Add(deadline))
			p.answer(id, fmt.Sprint(p.pings > 0))
		case "grpc.health.v1.Health": // well is who asks for the service "well", as "well", or with x-well
			state := "\x02" // NOT_SERVING
			fields := fmt.Sprint(h.Fields)
			if body := p.body(); body == "\x00\x00\x00\x00\x06\x0a\x04well" || h.PseudoValue("authority") == "well" || strings.Contains(fields, "x-well") {
				state = "\x01"
			}
			p.head(id, "content-type", "application/grpc")
			p.WriteData(id, false, []byte("\x00\x00\x00\x00\x02\x08"+state))
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.Block("grpc-status", "0"), EndHeaders: true, EndStream: true})
		case "irregular":
			p.answer(id, irregular(p.next, p.WritePing))
		default: // how many pings there were
			p.answer(id, fmt.Sprint(p.pings))
		}
	})
}

// aPing is a whole frame.
const aPing = "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"

// heard is what an upstream is told in SETTINGS, by way of HTTP/1.
func heard(id http2.SettingID) func(*world) string {
	return look(fmt.Sprintf("GET /setting/%d", id), "body")
}

// heard2 is heard for a client of HTTP/2.
func heard2(id http2.SettingID) func(*world) string {
	return func(w *world) string {
		if w.err != nil {
			w.t.Fatal(w.err)
		}
		return e2e.Dial2(w.t, w.address()).Get2(fmt.Sprintf("/setting/%d", id)).Body
	}
}

// widened tells whether a window of ours was wide at any time while much came.
func widened(id uint32) func(*world) string {
	return func(w *world) string {
		look("GET /bulk", "status")(w)
		return look(fmt.Sprintf("GET /most/%d", id), "body")(w)
	}
}

// pair2 answers a request when there are two.
func pair2(t testing.TB) *e2e.Upstream {
	var waiting atomic.Int32
	both := make(chan struct{})
	return e2e.Serve2(t, func(w http.ResponseWriter, _ *http.Request) {
		if waiting.Add(1) == 2 {
			close(both)
		}
		<-both
	})
}

// two2 is how many connections two requests take at a time.
func two2(w *world) string {
	a, b := w.dial(), w.dial()
	a.Send(raw("GET /"))
	b.Send(raw("GET /"))
	a.Read("GET")
	b.Read("GET")
	return fmt.Sprint(w.up.Connections())
}

// afterMalformed is how many connections there are after an answer that was malformed and one that was not.
func afterMalformed(w *world) string {
	look("GET /malformed", "status")(w)
	look("GET /", "status")(w)
	return fmt.Sprint(w.up.Connections())
}

// afterIdle is how many pings an upstream has got when it was asked a second time.
func afterIdle(w *world) string {
	look("GET /", "status")(w)
	<-time.After(50 * time.Millisecond) // the connection is idle
	return look("GET /", "body")(w)
}
