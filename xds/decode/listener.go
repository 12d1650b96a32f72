package decode

import (
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	metadataexchange "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	directv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	ratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	setv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_cluster/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/weftmesh/weft/config"
)

// defaultBacklog is the length of the accept queue that Envoy asks for; the kernel cuts it to net.core.somaxconn.
const defaultBacklog = math.MaxInt32

// maxGuards is how many limits and rules of connections a chain may have.
const maxGuards = 64

func (s *session) listener(m *listenerv3.Listener, p *at) *config.Listener {
	s.within = m.GetName()
	raw := s.bytes(m)
	l := &config.Listener{
		Name:         m.GetName(),
		Metadata:     s.metadata(m.GetMetadata()),
		Hash:         hash(raw),
		StatPrefix:   m.GetStatPrefix(),
		BufferLimit:  s.bufferLimit(m.GetPerConnectionBufferLimitBytes(), p.field("per_connection_buffer_limit_bytes")),
		Backlog:      int(min(u32(m.GetTcpBacklogSize(), defaultBacklog), math.MaxInt32)),
		ReusePort:    isTrue(m.GetEnableReusePort(), true),
		ExactBalance: m.GetConnectionBalanceConfig().GetExactBalance() != nil,
		Freebind:     isTrue(m.GetFreebind(), false),
		Transparent:  isTrue(m.GetTransparent(), false),
		KeepAlive:    s.keepAlive(m.GetTcpKeepalive()),
		BeyondLimit:  m.GetIgnoreGlobalConnLimit() || m.GetBypassOverloadManager(),
		Unbound:      !isTrue(m.GetBindToPort(), true),
		HandOver:     isTrue(m.GetUseOriginalDst(), false),

		FilterTimeout:     s.duration(m.GetListenerFiltersTimeout(), 15*time.Second, p.field("listener_filters_timeout")),
		ContinueOnTimeout: m.GetContinueOnListenerFiltersTimeout(),
		AccessLogs:        s.accessLogs(m.GetAccessLog(), p.field("access_log")),
		Raw:               raw,
	}
	if m.GetAddress() == nil {
		s.problem(p.field("address"), "an address is missing: want socket_address or pipe")
	} else {
		l.Address = s.address(m.GetAddress(), toBind, p.field("address"))
	}
	l.SocketOptions = append(s.socketOptions(m.GetSocketOptions(), p.field("socket_options")), fastOpen(m)...)
	for i, a := range m.GetAdditionalAddresses() {
		p := p.field("additional_addresses").item(i)
		at := config.AdditionalAddress{Address: s.address(a.GetAddress(), toBind, p.field("address")), KeepAlive: l.KeepAlive, SocketOptions: l.SocketOptions}
		if slices.Contains(l.AllAddresses(), at.Address) && (at.Path != "" || at.AddrPort.Port() != 0) {
			s.problem(p.field("address"), "%s is listed twice", at.Address)
		}
		if o := a.GetSocketOptions(); o != nil {
			at.SocketOptions = append(s.socketOptions(o.GetSocketOptions(), p.field("socket_options").field("socket_options")), fastOpen(m)...)
		}
		if k := a.GetTcpKeepalive(); k != nil {
			at.KeepAlive = s.keepAlive(k)
			for _, n := range []*wrapperspb.UInt32Value{k.GetKeepaliveProbes(), k.GetKeepaliveTime(), k.GetKeepaliveInterval()} {
				if n != nil && n.GetValue() == 0 {
					at.KeepAlive = nil
				}
			}
		}
		l.Additional = append(l.Additional, at)
	}
	if l.Address.Path != "" {
		l.ReusePort = false // a path belongs to one socket
	}
	if l.Name == "" {
		l.Name = l.Address.String()
	}
	switch m.GetTrafficDirection() {
	case corev3.TrafficDirection_INBOUND:
		l.Direction = config.Inbound
	case corev3.TrafficDirection_OUTBOUND:
		l.Direction = config.Outbound
	}

	for i, c := range m.GetFilterChains() {
		l.Chains = append(l.Chains, s.filterChain(c, p.field("filter_chains").item(i)))
	}
	if c := m.GetDefaultFilterChain(); c != nil {
		p := p.field("default_filter_chain")
		l.Default = s.filterChain(c, p)
		l.Default.ID = "default"
		if c.GetFilterChainMatch() != nil && proto.Size(c.GetFilterChainMatch()) > 0 {
			s.problem(p.field("filter_chain_match"), "the default chain is for what matches no other: leave it out")
		}
	}
	if len(l.Chains) == 0 && l.Default == nil {
		s.problem(p.field("filter_chains"), "a filter chain is missing: there is nothing to do with a connection")
	}
	if m.GetFilterChainMatcher() != nil {
		l.Matcher = s.chainMatcher(m, l, p)
	} else {
		s.overlaps(l, p.field("filter_chains"))
	}
	s.listenerFilters(m, l, p.field("listener_filters"))
	outer := proto.CloneOf(m)
	outer.FilterChains, outer.DefaultFilterChain, outer.FilterChainMatcher = nil, nil, nil
	l.Outer = hash(marshal(outer))
	return l
}

// chainMatcher reads how a chain is found by its name. Envoy takes names of chains that are not there, and closes who is led to one.
func (s *session) chainMatcher(m *listenerv3.Listener, l *config.Listener, p *at) *config.Matcher {
	places := map[string]int{}
	for i, c := range l.Chains {
		p := p.field("filter_chains").item(i).field("name")
		if j, ok := places[c.Name]; c.Name == "" {
			s.problem(p, "a name is missing: filter_chain_matcher finds chains by their names")
		} else if ok {
			s.problem(p, "filter_chains[%d] is called %q, too", j, c.Name)
		}
		places[c.Name] = i
	}
	r := matcherReader{session: s, look: ofConnection, action: func(m proto.Message, p *at) int {
		name := ""
		if v, ok := m.(*wrapperspb.StringValue); ok { // the walk has refused all else
			name = v.GetValue()
		}
		i, ok := places[name]
		if !ok {
			s.problem(p, "there is no filter chain %q", name)
		}
		return i
	}}
	return r.matcher(m.GetFilterChainMatcher(), p.field("filter_chain_matcher"))
}

// fastOpen is what is set on all sockets of a listener whose peers may send before the handshake is over.
func fastOpen(m *listenerv3.Listener) (list []config.SocketOption) {
	if n := m.GetTcpFastOpenQueueLength(); n != nil {
		list = append(list, config.SocketOption{Level: unix.IPPROTO_TCP, Name: unix.TCP_FASTOPEN, Value: int(min(n.GetValue(), math.MaxInt32)), State: config.Listening})
	}
	return list
}

func (s *session) filterChain(m *listenerv3.FilterChain, p *at) *config.FilterChain {
	match := hash(marshal(m.GetFilterChainMatch()))
	c := &config.FilterChain{
		Name:  m.GetName(),
		ID:    fmt.Sprintf("%s#%x", m.GetName(), match[:8]),
		Hash:  hash(marshal(m)),
		Match: s.chainMatch(m.GetFilterChainMatch(), p.field("filter_chain_match")),

		Metadata: s.metadata(m.GetMetadata()),

		TLS:              s.transport(m.GetTransportSocket(), p.field("transport_socket")),
		HandshakeTimeout: s.duration(m.GetTransportSocketConnectTimeout(), 0, p.field("transport_socket_connect_timeout")),
	}
	list, p := m.GetFilters(), p.field("filters")
	if len(list) == 0 {
		s.problem(p, "a filter is missing: want one HttpConnectionManager or TcpProxy")
		return c
	}
	byName := false
	for i, f := range list {
		p := p.item(i).field("typed_config")
		if f.GetTypedConfig() == nil {
			s.problem(p, "a configuration is missing: want HttpConnectionManager or TcpProxy")
			return c
		}
		o := s.open(f.GetTypedConfig())
		p = p.as(o.name)
		last := true
		switch m := o.message.(type) {
		case *hcmv3.HttpConnectionManager:
			c.HTTP = s.http(m, p)
			s.spoken(c.TLS, p)
		case *tcpv3.TcpProxy:
			c.TCP = s.tcp(m, p)
			c.TCP.ByServerName = byName
		case *dubbov3.DubboProxy:
			c.Dubbo = s.dubbo(m, p)
		case *echov3.Echo:
			c.Answer = &config.Answer{Echo: true}
		case *directv3.Config:
			c.Answer = &config.Answer{Text: s.data(m.GetResponse(), maxDataSource, p.field("response"))}
		case *limitv3.ConnectionLimit:
			last = false
			c.Guards = append(c.Guards, config.Guard{
				StatPrefix: m.GetStatPrefix(),
				Off:        m.GetRuntimeEnabled() != nil && !m.GetRuntimeEnabled().GetDefaultValue().GetValue(),
				Key:        config.RuntimeKey(m.GetRuntimeEnabled().GetRuntimeKey()),
				Max:        min(m.GetMaxConnections().GetValue(), math.MaxInt64),
				Delay:      s.duration(m.GetDelay(), 0, p.field("delay")),
			})
		case *ratev3.LocalRateLimit:
			last = false
			rate := s.rate(m.GetTokenBucket(), p.field("token_bucket"))
			c.Guards = append(c.Guards, config.Guard{
				StatPrefix: m.GetStatPrefix(),
				Off:        m.GetRuntimeEnabled() != nil && !m.GetRuntimeEnabled().GetDefaultValue().GetValue(),
				Rate:       &rate,
				ShareKey:   m.GetShareKey(),
			})
		case *rbacv3.RBAC:
			last = false
			c.Guards = append(c.Guards, config.Guard{
				StatPrefix: m.GetStatPrefix(),
				Delay:      s.duration(m.GetDelayDeny(), 0, p.field("delay_deny")),
				Access: &config.AccessCheck{
					Rules:        s.accessRules(m.GetRules(), ofConnections, p.field("rules")),
					Shadow:       s.accessRules(m.GetShadowRules(), ofConnections, p.field("shadow_rules")),
					ShadowPrefix: m.GetShadowRulesStatPrefix(),
				},
			})
		case *setv3.Config:
			last = false
			c.State = append(c.State, s.filterStates(m.GetOnNewConnection(), p.field("on_new_connection"))...)
			// Both are set when the connection is there for whoever owns it, which is after its handshake.
			c.State = append(c.State, s.filterStates(m.GetOnDownstreamTlsHandshake(), p.field("on_downstream_tls_handshake"))...)
			if len(c.State) > maxStates {
				s.problem(p, "%d values with those of filters before: there is room for %d", len(c.State), maxStates)
			}
		case *sniv3.SniCluster:
			last, byName = false, true
		case *metadataexchange.MetadataExchange:
			last = false
			s.exchange(m, p)
		default:
			if last = false; !isHarmlessAt(inNetwork, o.name) {
				return c // the walk has refused it
			}
		}
		switch {
		case last && i < len(list)-1:
			s.problem(p, "it takes the whole connection: it must be the last of the %d filters", len(list))
		case !last && i == len(list)-1:
			s.problem(p, "it passes connections on: the last filter must take them, as HttpConnectionManager or TcpProxy do")
		}
	}
	if len(c.Guards) > maxGuards {
		s.problem(p, "more than %d limits and rules of connections in one chain", maxGuards)
	}
	return c
}

// spoken leaves protocols out of what clients are offered that nobody here speaks: who chose one would not be understood.
func (s *session) spoken(t *config.TLS, p *at) {
	if t == nil || len(t.Applications) == 0 {
		return
	}
	t.Applications = slices.DeleteFunc(t.Applications, func(a string) bool { return a == "h3" })
	if len(t.Applications) == 0 {
		s.problem(p, "alpn_protocols of the transport socket has h3 alone, which is not spoken over TCP: add h2 or http/1.1")
	}
}

func (s *session) tcp(m *tcpv3.TcpProxy, p *at) *config.TCP {
	t := &config.TCP{
		StatPrefix:            m.GetStatPrefix(),
		IdleTimeout:           s.duration(m.GetIdleTimeout(), time.Hour, p.field("idle_timeout")),
		MaxDownstreamDuration: s.duration(m.GetMaxDownstreamConnectionDuration(), 0, p.field("max_downstream_connection_duration")),
		MaxConnectAttempts:    u32(m.GetMaxConnectAttempts(), 1),
		AccessLogs:            s.accessLogs(m.GetAccessLog(), p.field("access_log")),
	}
	if j := m.GetMaxDownstreamConnectionDurationJitterPercentage(); j != nil {
		t.DurationJitter = j.GetValue() / 100
	}
	if d := m.GetOnDemand(); d != nil {
		t.OnDemand = s.onDemand(d.GetOdcdsConfig(), d.GetTimeout(), p.field("on_demand"), "odcds_config")
	}
	if b, p := m.GetBackoffOptions(), p.field("backoff_options"); b != nil {
		t.BaseBackoff, t.MaxBackoff = s.backoffOf(b.GetBaseInterval(), b.GetMaxInterval(), p)
	}
	s.logTimes(t, m, p)
	for _, h := range m.GetHashPolicy() {
		t.HashSource = t.HashSource || h.GetSourceIp() != nil
	}
	switch c := m.GetClusterSpecifier().(type) {
	case *tcpv3.TcpProxy_Cluster:
		if c.Cluster == "" {
			s.problem(p.field("cluster"), "a name is missing")
		}
		t.Clusters, t.TotalWeight = []config.WeightedCluster{{Name: c.Cluster, Weight: 1, Subset: metadataMatch(m.GetMetadataMatch())}}, 1
	case *tcpv3.TcpProxy_WeightedClusters:
		var total uint64
		for _, w := range c.WeightedClusters.GetClusters() {
			t.Clusters = append(t.Clusters, config.WeightedCluster{Name: w.GetName(), Weight: w.GetWeight(), Subset: metadataMatch(m.GetMetadataMatch(), w.GetMetadataMatch())})
			total += uint64(w.GetWeight())
		}
		t.TotalWeight = s.total(total, p.field("weighted_clusters").field("clusters"))
	}
	return t
}

// logTimes reads when connections are logged before they end, which may be said in two places.
func (s *session) logTimes(t *config.TCP, m *tcpv3.TcpProxy, p *at) {
	o := m.GetAccessLogOptions()
	t.LogStart, t.LogConnected = o.GetFlushAccessLogOnStart(), o.GetFlushAccessLogOnConnected()
	t.LogEvery = s.duration(o.GetAccessLogFlushInterval(), 0, p.field("access_log_options").field("access_log_flush_interval"))
	if every := m.GetAccessLogFlushInterval(); every != nil {
		if p := p.field("access_log_flush_interval"); o != nil {
			s.problem(p, "access_log_options are there, too: say it in those")
		} else {
			t.LogEvery = s.duration(every, 0, p)
		}
	}
	if m.GetFlushAccessLogOnConnected() {
		if t.LogConnected = true; o != nil {
			s.problem(p.field("flush_access_log_on_connected"), "access_log_options are there, too: say it in those")
		}
	}
}

// total is a sum of weights.
func (s *session) total(sum uint64, p *at) uint32 {
	switch {
	case sum == 0:
		s.problem(p, "the weights sum to 0: want at least one that is not 0")
	case sum > math.MaxUint32:
		s.problem(p, "the weights sum to %d: want at most %d", sum, uint32(math.MaxUint32))
	}
	return uint32(sum)
}
