package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's defaults of HTTP/2, and bounds.
const (
	defaultHeaderTable      = 4096
	defaultMaxStreams       = 1024
	defaultStreamWindow     = 16 << 20
	defaultConnectionWindow = 24 << 20
	defaultMaxFrame         = 16 << 10 // as RFC 9113 §6.5.2 has it, and there is no field for it
	defaultAliveJitter      = 0.15
	defaultResetBurst       = 1000
	defaultResetRate        = 33

	maxHeaderTable = 16 << 20 // bytes that a peer may have us keep on each connection; Envoy has no bound
	minWindow      = 1<<16 - 1
	maxWindow      = 1<<31 - 1
	maxFrame       = 1<<24 - 1
)

// The parameters that SETTINGS knows (RFC 9113 §6.5.2, RFC 8441 §3).
const (
	settingHeaderTable     = 1
	settingPush            = 2
	settingMaxStreams      = 3
	settingStreamWindow    = 4
	settingMaxFrame        = 5
	settingExtendedConnect = 8
)

// http2 reads how HTTP/2 is spoken. streamErrors is what the connection manager says of malformed messages, if it does.
func (s *session) http2(m *corev3.Http2ProtocolOptions, streamErrors *wrapperspb.BoolValue, p *at) config.HTTP2 {
	h := config.HTTP2{
		HeaderTable:      s.atMost(u32(m.GetHpackTableSize(), defaultHeaderTable), maxHeaderTable, p.field("hpack_table_size")),
		MaxStreams:       u32(m.GetMaxConcurrentStreams(), defaultMaxStreams),
		StreamWindow:     u32(m.GetInitialStreamWindowSize(), defaultStreamWindow),
		ConnectionWindow: u32(m.GetInitialConnectionWindowSize(), defaultConnectionWindow),
		MaxFrame:         defaultMaxFrame,
		Connect:          m.GetAllowConnect(),
		StreamErrors:     isTrue(m.GetOverrideStreamErrorOnInvalidHttpMessage(), isTrue(streamErrors, m.GetStreamErrorOnInvalidHttpMessaging())),

		MaxOutbound:        u32(m.GetMaxOutboundFrames(), 10_000),
		MaxOutboundControl: u32(m.GetMaxOutboundControlFrames(), 1000),
		MaxEmpty:           u32(m.GetMaxConsecutiveInboundFramesWithEmptyPayload(), 1),
		MaxPriority:        u32(m.GetMaxInboundPriorityFramesPerStream(), 100),
		MaxWindowUpdates:   u32(m.GetMaxInboundWindowUpdateFramesPerDataFrameSent(), 10),
		ResetBurst:         u64(m.GetStreamResetBurst(), defaultResetBurst),
		ResetRate:          u64(m.GetStreamResetRate(), defaultResetRate),
	}
	if k := m.GetConnectionKeepalive(); k != nil {
		p := p.field("connection_keepalive")
		h.Alive = &config.HTTP2Alive{
			Interval: s.duration(k.GetInterval(), 0, p.field("interval")),
			Jitter:   defaultAliveJitter,
			Timeout:  s.duration(k.GetTimeout(), 0, p.field("timeout")),
			Idle:     s.duration(k.GetConnectionIdleInterval(), 0, p.field("connection_idle_interval")),
		}
		if k.GetIntervalJitter() != nil {
			h.Alive.Jitter = k.GetIntervalJitter().GetValue() / 100
		}
	}
	s.settings(&h, m, p)
	return h
}

// settings reads parameters of SETTINGS that are given by number. One that a field stands for is that field.
func (s *session) settings(h *config.HTTP2, m *corev3.Http2ProtocolOptions, p *at) {
	named := map[uint16]struct {
		field    string
		set      bool
		to       *uint32
		from, up uint32
	}{
		settingHeaderTable:  {"hpack_table_size", m.GetHpackTableSize() != nil, &h.HeaderTable, 0, maxHeaderTable},
		settingMaxStreams:   {"max_concurrent_streams", m.GetMaxConcurrentStreams() != nil, &h.MaxStreams, 1, math.MaxInt32},
		settingStreamWindow: {"initial_stream_window_size", m.GetInitialStreamWindowSize() != nil, &h.StreamWindow, minWindow, maxWindow},
		settingMaxFrame:     {"", false, &h.MaxFrame, defaultMaxFrame, maxFrame},
	}
	seen := map[uint16]uint32{}
	for i, x := range m.GetCustomSettingsParameters() {
		p := p.field("custom_settings_parameters").item(i)
		id, value := uint16(x.GetIdentifier().GetValue()), x.GetValue().GetValue()
		if x.GetIdentifier().GetValue() > math.MaxUint16 {
			continue // refused by the rules of the message
		}
		if before, ok := seen[id]; ok {
			if before != value {
				s.problem(p, "inconsistent: %#x is %d already", id, before)
			}
			continue
		}
		seen[id] = value
		n, ok := named[id]
		switch {
		case id == settingPush && value != 0:
			s.problem(p, "server push is not supported and can not be enabled")
		case id == settingPush: // which is what is said anyway
		case id == settingExtendedConnect:
			s.problem(p, "the \"allow_connect\" parameter must only be configured through the named field")
		case ok && n.set:
			s.problem(p, "the %s parameter can not be configured through both the named field and this", n.field)
		case ok && (value < n.from || value > n.up):
			s.problem(p.field("value"), "%d: want %d to %d", value, n.from, n.up)
		case ok:
			*n.to = value
		default:
			h.Settings = append(h.Settings, config.HTTP2Setting{ID: id, Value: value})
		}
	}
	slices.SortFunc(h.Settings, func(a, b config.HTTP2Setting) int { return int(a.ID) - int(b.ID) })
	if len(h.Settings) > maxSettings {
		s.problem(p.field("custom_settings_parameters"), "%d: want %d at most", len(h.Settings), maxSettings)
	}
}

// maxSettings bounds what each connection begins with.
const maxSettings = 64

// oneField holds the size of one field against that of the whole head, which is what is looked at.
func (s *session) oneField(m *corev3.Http2ProtocolOptions, head uint32, whole string, p *at) {
	if kib := m.GetMaxHeaderFieldSizeKb().GetValue(); kib > head>>10 {
		s.problem(p.field("max_header_field_size_kb"), "%d: must not exceed %s, which is %d", kib, whole, head>>10)
	}
}

// atMost refuses a number beyond a bound.
func (s *session) atMost(n, most uint32, p *at) uint32 {
	if n > most {
		s.problem(p, "%d is too much: want %d at most", n, most)
	}
	return n
}

func u64(w *wrapperspb.UInt64Value, otherwise uint64) uint64 {
	if w == nil {
		return otherwise
	}
	return w.GetValue()
}

// olderProtocol reads the version that a cluster's endpoints are spoken to in from the older fields, and whether it may be HTTP/2 for what
// no client has asked for.
func (s *session) olderProtocol(m *clusterv3.Cluster, p *at) (mode config.ProtocolMode, may bool) {
	may = m.GetHttp2ProtocolOptions() != nil
	switch {
	case m.GetProtocolSelection() == clusterv3.Cluster_USE_DOWNSTREAM_PROTOCOL:
		return config.ProtocolAsDownstream, may
	case may && m.GetHttpProtocolOptions() != nil:
		s.problem(p.field("http2_protocol_options"), "both HTTP1 and HTTP2 options may only be configured with non-default 'protocol_selection' values")
	case may:
		return config.ProtocolHTTP2, true
	}
	return config.ProtocolHTTP1, may
}

// protocol reads the same from the typed options, with the options of the two versions and where those of HTTP/2 are.
func (s *session) protocol(c *config.Cluster, o *upstreamsv3.HttpProtocolOptions, p *at) (*corev3.Http1ProtocolOptions, *corev3.Http2ProtocolOptions, *at, config.ProtocolMode, bool) {
	switch u := o.GetUpstreamProtocolOptions().(type) {
	case *upstreamsv3.HttpProtocolOptions_UseDownstreamProtocolConfig:
		d, p := u.UseDownstreamProtocolConfig, p.field("use_downstream_protocol_config").field("http2_protocol_options")
		return d.GetHttpProtocolOptions(), d.GetHttp2ProtocolOptions(), p, config.ProtocolAsDownstream, d.GetHttp2ProtocolOptions() != nil
	case *upstreamsv3.HttpProtocolOptions_AutoConfig:
		s.allTLS(c, p.field("auto_config"))
		return u.AutoConfig.GetHttpProtocolOptions(), u.AutoConfig.GetHttp2ProtocolOptions(), p.field("auto_config").field("http2_protocol_options"), config.ProtocolByALPN, true
	}
	e, p := o.GetExplicitHttpConfig(), p.field("explicit_http_config").field("http2_protocol_options")
	if e.GetHttp2ProtocolOptions() != nil {
		return nil, e.GetHttp2ProtocolOptions(), p, config.ProtocolHTTP2, true
	}
	return e.GetHttpProtocolOptions(), nil, p, config.ProtocolHTTP1, false
}

// allTLS wants ALPN wherever the cluster connects to.
func (s *session) allTLS(c *config.Cluster, p *at) {
	var plain []string
	if c.TLS == nil {
		plain = append(plain, "transport_socket")
	}
	for i := range c.Transports {
		if c.Transports[i].TLS == nil {
			plain = append(plain, fmt.Sprintf("transport_socket_matches[%d]", i))
		}
	}
	if len(plain) > 0 {
		s.problem(p, "ALPN decides which version is spoken, and %s is not TLS", strings.Join(plain, ", "))
	}
}
