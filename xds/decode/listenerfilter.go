package decode

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/hello"
)

// listenerFilters reads what looks at connections, and adds what chains and use_original_dst want of it, behind the others, as Envoy does.
func (s *session) listenerFilters(m *listenerv3.Listener, l *config.Listener, p *at) {
	for i, f := range m.GetListenerFilters() {
		p := p.item(i)
		c := config.ListenerFilter{}
		if d := f.GetFilterDisabled(); d != nil {
			match := s.connectionMatch(d, p.field("filter_disabled"))
			c.Disabled = &match
		}
		p = p.field("typed_config")
		if f.GetTypedConfig() == nil {
			s.problem(p, "a configuration is missing: want TlsInspector, HttpInspector, OriginalDst, OriginalSrc or ProxyProtocol")
			continue
		}
		switch o := s.open(f.GetTypedConfig()); m := o.message.(type) {
		case *tlsinspectorv3.TlsInspector:
			c.Kind = config.LookForTLS
			c.MaxHello = int(u32(m.GetMaxClientHelloSize(), hello.MaxClientHello))
			c.CloseOther = m.GetCloseConnectionOnClientHelloParsingErrors()
		case *httpinspectorv3.HttpInspector:
			c.Kind = config.LookForHTTP
		case *originaldstv3.OriginalDst:
			c.Kind = config.LookForDestination
		case *originalsrcv3.OriginalSrc:
			c.Kind, c.Mark = config.KeepSource, m.GetMark()
		case *proxyprotocolv3.ProxyProtocol:
			c.Kind = config.ReadProxyHeader
			c.Proxy = config.ProxyHeader{Optional: m.GetAllowRequestsWithoutProxyProtocol(), StatPrefix: m.GetStatPrefix()}
			for _, v := range m.GetDisallowedVersions() {
				c.Proxy.Refused[1+min(v, 1)] = true
			}
			if c.Proxy.Refused[1] && c.Proxy.Refused[2] && !c.Proxy.Optional {
				s.problem(p.as(o.name).field("disallowed_versions"), "both versions: no connection would be taken")
			}
		default: // the walk has refused it
			continue
		}
		l.Filters = append(l.Filters, c)
	}
	wantsTLS := slices.ContainsFunc(l.Chains, func(c *config.FilterChain) bool {
		return c.Match.Transport == "tls" || c.Match.Transport == "" && len(c.Match.ServerNames)+len(c.Match.Applications) > 0
	})
	if wantsTLS && !slices.ContainsFunc(l.Filters, func(f config.ListenerFilter) bool { return f.Kind == config.LookForTLS }) {
		l.Filters = append(l.Filters, config.ListenerFilter{Kind: config.LookForTLS, MaxHello: hello.MaxClientHello})
	}
	if l.HandOver {
		l.Filters = append(l.Filters, config.ListenerFilter{Kind: config.LookForDestination})
	}
}

func (s *session) connectionMatch(m *listenerv3.ListenerFilterChainMatchPredicate, p *at) (c config.ConnectionMatch) {
	set := func(m *listenerv3.ListenerFilterChainMatchPredicate_MatchSet, p *at) (list []config.ConnectionMatch) {
		for i, r := range m.GetRules() {
			list = append(list, s.connectionMatch(r, p.field("rules").item(i)))
		}
		return list
	}
	switch v := m.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		c.Or = set(v.OrMatch, p.field("or_match"))
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		c.And = set(v.AndMatch, p.field("and_match"))
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		inner := s.connectionMatch(v.NotMatch, p.field("not_match"))
		c.Not = &inner
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		r := v.DestinationPortRange
		if r.GetStart() >= r.GetEnd() {
			s.problem(p.field("destination_port_range"), "from %d to %d there is no port: the end is not part of the range", r.GetStart(), r.GetEnd())
		}
		c.Ports = &config.PortRange{From: r.GetStart(), To: r.GetEnd()}
	}
	return c
}
