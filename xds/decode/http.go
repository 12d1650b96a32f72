package decode

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	preservev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's defaults, and its bounds.
const (
	defaultHeadKiB = 60
	maxHeadKiB     = 8192
	defaultHeaders = 100
	idle           = time.Hour
)

func (s *session) http(m *hcmv3.HttpConnectionManager, p *at) *config.HTTP {
	if m.GetTracing() != nil && s.traced {
		s.problem(p.field("tracing"), "not supported yet: the bootstrap names a tracer, and no spans are sent: take tracing out of one of the two")
	}
	common, h1 := m.GetCommonHttpProtocolOptions(), m.GetHttpProtocolOptions()
	pc := p.field("common_http_protocol_options")
	h := &config.HTTP{
		StatPrefix: m.GetStatPrefix(),
		AccessLogs: s.accessLogs(m.GetAccessLog(), p.field("access_log")),

		Codec: codecs[m.GetCodecType()],

		AllowHTTP10:           h1.GetAcceptHttp_10(),
		DefaultHost:           s.line(h1.GetDefaultHostForHttp_10(), p.field("http_protocol_options").field("default_host_for_http_10")),
		AllowAbsoluteURL:      isTrue(h1.GetAllowAbsoluteUrl(), true),
		AllowChunkedLength:    h1.GetAllowChunkedLength(),
		CustomMethods:         h1.GetAllowCustomMethods(),
		Trailers:              h1.GetEnableTrailers(),
		StreamErrorOnInvalid:  isTrue(h1.GetOverrideStreamErrorOnInvalidHttpMessage(), isTrue(m.GetStreamErrorOnInvalidHttpMessage(), false)),
		Underscores:           config.Underscores(common.GetHeadersWithUnderscoresAction()),
		MaxHeadBytes:          u32(m.GetMaxRequestHeadersKb(), defaultHeadKiB) << 10,
		MaxHeaders:            u32(common.GetMaxHeadersCount(), defaultHeaders),
		MaxRequestsPerConn:    u32(common.GetMaxRequestsPerConnection(), 0),
		IdleTimeout:           s.duration(common.GetIdleTimeout(), idle, pc.field("idle_timeout")),
		MaxConnectionDuration: s.duration(common.GetMaxConnectionDuration(), 0, pc.field("max_connection_duration")),
		DurationJitter:        common.GetMaxConnectionDurationJitter().GetValue() / 100,
		SafeMaxDuration:       m.GetHttp1SafeMaxConnectionDuration(),
		MaxStreamDuration:     s.duration(common.GetMaxStreamDuration(), 0, pc.field("max_stream_duration")),
		StreamIdleTimeout:     s.duration(m.GetStreamIdleTimeout(), 5*time.Minute, p.field("stream_idle_timeout")),
		FlushTimeout:          s.maybe(m.GetStreamFlushTimeout(), p.field("stream_flush_timeout")),
		RequestTimeout:        s.duration(m.GetRequestTimeout(), 0, p.field("request_timeout")),
		RequestHeadersTimeout: s.duration(m.GetRequestHeadersTimeout(), 0, p.field("request_headers_timeout")),
		DrainTimeout:          s.duration(m.GetDrainTimeout(), 5*time.Second, p.field("drain_timeout")),
		DrainJitter:           m.GetDrainTimeoutJitter().GetValue() / 100,
		DelayedCloseTimeout:   s.duration(m.GetDelayedCloseTimeout(), time.Second, p.field("delayed_close_timeout")),

		Early:                s.early(m.GetEarlyHeaderMutationExtensions(), p.field("early_header_mutation_extensions")),
		Detections:           s.detections(m.GetOriginalIpDetectionExtensions(), p.field("original_ip_detection_extensions")),
		UseRemoteAddress:     isTrue(m.GetUseRemoteAddress(), false),
		TrustedHops:          m.GetXffNumTrustedHops(),
		SkipXFFAppend:        m.GetSkipXffAppend(),
		AppendForwardedPort:  m.GetAppendXForwardedPort(),
		HTTPSPorts:           m.GetForwardProtoConfig().GetHttpsDestinationPorts(),
		HTTPPorts:            m.GetForwardProtoConfig().GetHttpDestinationPorts(),
		Via:                  m.GetVia(),
		UnixSocketsInternal:  m.GetInternalAddressConfig().GetUnixSockets(),
		GenerateRequestID:    isTrue(m.GetGenerateRequestId(), true),
		PreserveExternalID:   m.GetPreserveExternalRequestId(),
		RequestIDInResponse:  m.GetAlwaysSetRequestIdInResponse(),
		PackTraceReason:      true,
		NormalizePath:        isTrue(m.GetNormalizePath(), false),
		MergeSlashes:         m.GetMergeSlashes(),
		StripTrailingHostDot: m.GetStripTrailingHostDot(),
		AddUserAgent:         isTrue(m.GetAddUserAgent(), false),
		ClientCert:           clientCert(m),
		SchemeOverwrite:      m.GetSchemeHeaderTransformation().GetSchemeToOverwrite(),
		MatchUpstreamScheme:  m.GetSchemeHeaderTransformation().GetMatchUpstream(),
		Proxy100Continue:     m.GetProxy_100Continue(),
		MapIPv4InIPv6:        m.GetRepresentIpv4RemoteAddressAsIpv4MappedIpv6(),
		ServerName:           m.GetServerName(),
		ServerHeader:         config.ServerHeader(m.GetServerHeaderTransformation()),
		Upgrades:             s.upgrades(m.GetUpgradeConfigs(), p.field("upgrade_configs")),
		LogStart:             m.GetAccessLogOptions().GetFlushAccessLogOnNewRequest() || m.GetFlushAccessLogOnNewRequest(),
		LogTunnel:            m.GetAccessLogOptions().GetFlushLogOnTunnelSuccessfullyEstablished(),
		LogEvery:             s.duration(m.GetAccessLogOptions().GetAccessLogFlushInterval(), 0, p.field("access_log_options").field("access_log_flush_interval")),
		Replies:              s.replies(m.GetLocalReplyConfig(), p.field("local_reply_config")),
	}
	if m.GetAccessLogFlushInterval() != nil {
		h.LogEvery = s.duration(m.GetAccessLogFlushInterval(), 0, p.field("access_log_flush_interval"))
	}
	for _, old := range []struct {
		name string
		set  bool
	}{{"access_log_flush_interval", m.GetAccessLogFlushInterval() != nil}, {"flush_access_log_on_new_request", m.GetFlushAccessLogOnNewRequest()}} {
		if old.set && m.GetAccessLogOptions() != nil {
			s.problem(p.field(old.name), "access_log_options holds it, too: leave one of the two out")
		}
	}
	if len(h.Detections) > 0 && (h.UseRemoteAddress || h.TrustedHops > 0) {
		s.problem(p.field("original_ip_detection_extensions"), "use_remote_address and xff_num_trusted_hops say where addresses come from, too: leave them out")
	}
	if h.ServerName == "" {
		h.ServerName = "envoy"
	}
	if m.GetInternalAddressConfig() != nil {
		h.Internal = s.prefixes(m.GetInternalAddressConfig().GetCidrRanges(), p.field("internal_address_config").field("cidr_ranges"))
	}
	h.Spelling, _ = s.spelling(h1.GetHeaderKeyFormat())
	if c := in[*uuidv3.UuidRequestIdConfig](s, m.GetRequestIdExtension().GetTypedConfig()); c != nil {
		h.PackTraceReason = isTrue(c.GetPackTraceReason(), true)
	}
	h.EscapedSlashes = escapedSlashes[m.GetPathWithEscapedSlashesAction()]
	switch {
	case m.GetStripAnyHostPort() && m.GetStripMatchingHostPort():
		s.problem(p.field("strip_matching_host_port"), "strip_any_host_port strips that, too: set one of the two")
	case m.GetStripAnyHostPort():
		h.StripPort = config.StripAny
	case m.GetStripMatchingHostPort():
		h.StripPort = config.StripMatching
	}
	if h.MaxHeadBytes>>10 > maxHeadKiB {
		s.problem(p.field("max_request_headers_kb"), "%d: want 1 to %d", h.MaxHeadBytes>>10, maxHeadKiB)
	}
	h.HTTP2 = s.http2(m.GetHttp2ProtocolOptions(), m.GetStreamErrorOnInvalidHttpMessage(), p.field("http2_protocol_options"))
	s.oneField(m.GetHttp2ProtocolOptions(), h.MaxHeadBytes, "max_request_headers_kb", p.field("http2_protocol_options"))
	s.routesOf(h, m, p)
	s.httpFilters(h, m.GetHttpFilters(), p.field("http_filters"))
	return h
}

var codecs = map[hcmv3.HttpConnectionManager_CodecType]config.Codec{
	hcmv3.HttpConnectionManager_AUTO:  config.CodecAuto,
	hcmv3.HttpConnectionManager_HTTP1: config.CodecHTTP1,
	hcmv3.HttpConnectionManager_HTTP2: config.CodecHTTP2,
}

var escapedSlashes = map[hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction]config.EscapedSlashes{
	hcmv3.HttpConnectionManager_IMPLEMENTATION_SPECIFIC_DEFAULT: config.EscapedKeep,
	hcmv3.HttpConnectionManager_KEEP_UNCHANGED:                  config.EscapedKeep,
	hcmv3.HttpConnectionManager_REJECT_REQUEST:                  config.EscapedReject,
	hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT:           config.EscapedUnescapeRedirect,
	hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:            config.EscapedUnescapeForward,
}

// routesOf says where a connection manager's routes come from.
func (s *session) routesOf(h *config.HTTP, m *hcmv3.HttpConnectionManager, p *at) {
	switch r := m.GetRouteSpecifier().(type) {
	case *hcmv3.HttpConnectionManager_RouteConfig:
		h.Routes = s.routes(r.RouteConfig, true, p.field("route_config"))
	case *hcmv3.HttpConnectionManager_Rds:
		p := p.field("rds")
		h.RouteName = r.Rds.GetRouteConfigName()
		if h.RouteName == "" {
			s.problem(p.field("route_config_name"), "a name is missing")
		}
		h.RouteFile, h.RouteStream = s.source(r.Rds.GetConfigSource(), p.field("config_source"))
	case *hcmv3.HttpConnectionManager_ScopedRoutes:
		h.Scoped = s.scopedRoutes(r.ScopedRoutes, p.field("scoped_routes"))
	}
}

// httpFilters reads a chain of filters, which the router ends.
func (s *session) httpFilters(h *config.HTTP, list []*hcmv3.HttpFilter, p *at) {
	if len(list) == 0 {
		s.problem(p, "filters are missing: want at least envoy.filters.http.router")
		return
	}
	names := map[string]int{}
	for i, m := range list {
		p := p.item(i)
		// Several of a kind may share a name, as Istio's rules that deny and that allow do: what a route says is for all of them.
		if j, ok := names[m.GetName()]; ok && (m.GetConfigDiscovery() != nil || list[j].GetTypedConfig().GetTypeUrl() != m.GetTypedConfig().GetTypeUrl()) {
			s.problem(p.field("name"), "http_filters[%d] is called %q, too, and is of another kind: routes could not tell them apart", j, m.GetName())
		}
		names[m.GetName()] = i
		if m.GetConfigDiscovery() != nil {
			if i == len(list)-1 {
				s.problem(p, "the last filter must be envoy.filters.http.router")
			}
			h.Filters = append(h.Filters, s.discovered(m, p))
			continue
		}
		p = p.field("typed_config")
		if m.GetTypedConfig() == nil {
			s.problem(p, "a configuration is missing")
			continue
		}
		o := s.open(m.GetTypedConfig())
		if r, ok := o.message.(*routerv3.Router); ok {
			if i != len(list)-1 {
				s.problem(p.up, "the router ends the chain: it must be the last of the %d filters", len(list))
			}
			if m.GetDisabled() {
				s.problem(p.up.field("disabled"), "the router cannot be disabled")
			}
			h.Router = config.Router{SuppressEnvoyHeaders: r.GetSuppressEnvoyHeaders(), RespectExpectedTimeout: r.GetRespectExpectedRqTimeout(), StrictCheck: r.GetStrictCheckHeaders()}
			continue
		}
		if spec := s.filters[o.name]; spec != nil {
			if i == len(list)-1 {
				s.problem(p.up, "the last filter must be envoy.filters.http.router")
			}
			c, err := spec.Decode(s.filterWire(m.GetTypedConfig(), o))
			if err != nil {
				s.inFilter(err, p.as(o.name))
				continue
			}
			s.demanded(c, p.as(o.name))
			h.Filters = append(h.Filters, config.HTTPFilter{Name: m.GetName(), Type: spec.Name, Config: c, Disabled: m.GetDisabled()})
		}
	}
}

func (s *session) upgrades(list []*hcmv3.HttpConnectionManager_UpgradeConfig, p *at) []config.Upgrade {
	var out []config.Upgrade
	for i, m := range list {
		out = s.upgrade(out, config.Upgrade{Name: m.GetUpgradeType(), Enabled: isTrue(m.GetEnabled(), true)}, p.item(i).field("upgrade_type"))
	}
	return out
}

// upgrade adds a permission; the same type twice would leave open which of the two holds.
func (s *session) upgrade(list []config.Upgrade, u config.Upgrade, p *at) []config.Upgrade {
	u.Name = strings.ToLower(u.Name)
	switch u.Name {
	case "":
		s.problem(p, "a type is missing: such as websocket")
	case "connect-udp":
		s.problem(p, "%s: not supported yet: UDP is not carried", u.Name)
	}
	for _, other := range list {
		if other.Name == u.Name {
			s.problem(p, "%q is listed twice", u.Name)
		}
	}
	return append(list, u)
}

// spelling says how header names are written, and whether the reason phrase is kept.
func (s *session) spelling(m *corev3.Http1ProtocolOptions_HeaderKeyFormat) (config.Spelling, bool) {
	switch {
	case m.GetProperCaseWords() != nil:
		return config.SpellProper, false
	case m.GetStatefulFormatter() != nil:
		c := in[*preservev3.PreserveCaseFormatterConfig](s, m.GetStatefulFormatter().GetTypedConfig())
		return config.SpellAsReceived, c.GetForwardReasonPhrase()
	}
	return config.SpellLower, false
}

func clientCert(m *hcmv3.HttpConnectionManager) config.ClientCert {
	d := m.GetSetCurrentClientCertDetails()
	return config.ClientCert{
		Mode:    config.ClientCertMode(m.GetForwardClientCertDetails()),
		Subject: d.GetSubject().GetValue(), Whole: d.GetCert(), Chain: d.GetChain(), DNS: d.GetDns(), URI: d.GetUri(), Issuer: d.GetIssuer(),
		JSON: d.GetFormat() == hcmv3.HttpConnectionManager_JSON,
	}
}
