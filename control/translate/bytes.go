package translate

import (
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// chains adds to a listener how it takes traffic to a port of a service of which requests are not seen, or may not be. wild: it has others, too.
func (w *listenerWriter) chains(l *listenerv3.Listener, svc *mesh.Service, rule *mesh.DestinationRule, port *mesh.Port, prefix string, wild bool) {
	add := func(c *listenerv3.FilterChain) {
		m := c.GetFilterChainMatch()
		if prefix != "" && len(m.GetPrefixRanges()) == 0 {
			if m == nil {
				m = &listenerv3.FilterChainMatch{}
				c.FilterChainMatch = m
			}
			m.PrefixRanges = []*corev3.CidrRange{cidr(prefix)}
		}
		if c.FilterChainMatch != nil {
			if !slices.ContainsFunc(l.FilterChains, func(other *listenerv3.FilterChain) bool { return sameMatch(other.FilterChainMatch, c.FilterChainMatch) }) {
				l.FilterChains = append(l.FilterChains, c)
			}
		} else if l.DefaultFilterChain == nil || l.DefaultFilterChain.Name == "PassthroughFilterChain" && !hasHTTP(l) {
			l.DefaultFilterChain = c
		}
	}
	if port.Protocol == mesh.Dubbo {
		add(&listenerv3.FilterChain{Filters: w.calls(svc, port)})
		return
	}
	names := []string(nil)
	if port.Protocol.IsTLS() && wild && prefix == "" {
		names = []string{svc.Host}
	}
	said := false
	for _, v := range rawFor(w.k.raw, svc.Host) {
		if port.Protocol.IsTLS() {
			for _, r := range v.Spec.GetTls() {
				for _, m := range r.GetMatch() {
					if !matchConcerns(w.proxy, meshOnly, port.Number, m.GetPort(), m.GetGateways(), v.From.Namespace, m.GetSourceLabels(), m.GetSourceNamespace()) {
						continue
					}
					said = true
					add(w.chain(v, r.GetRoute(), port, &listenerv3.FilterChainMatch{ServerNames: m.GetSniHosts(), PrefixRanges: cidrs(m.GetDestinationSubnets())}))
				}
			}
			continue
		}
		for _, r := range v.Spec.GetTcp() {
			for _, m := range r.GetMatch() {
				if !matchConcerns(w.proxy, meshOnly, port.Number, m.GetPort(), m.GetGateways(), v.From.Namespace, m.GetSourceLabels(), m.GetSourceNamespace()) {
					continue
				}
				said = true
				var match *listenerv3.FilterChainMatch
				if len(m.GetDestinationSubnets()) > 0 {
					match = &listenerv3.FilterChainMatch{PrefixRanges: cidrs(m.GetDestinationSubnets())}
				}
				add(w.chain(v, r.GetRoute(), port, match))
			}
			if len(r.GetMatch()) == 0 {
				said = true
				add(w.chain(v, r.GetRoute(), port, nil))
			}
		}
	}
	if port.Protocol == mesh.Unknown {
		c := w.httpChain(port.Number, detectedTable(svc.Host, port.Number), "outbound_"+l.Name)
		if !(wild && hasHTTP(l)) { // a port of all addresses has one table
			add(c)
			if w.k.traits.Weft {
				add(&listenerv3.FilterChain{FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: clearDubbo}, Filters: w.calls(svc, port)})
			}
		}
	}
	if said {
		return
	}
	var match *listenerv3.FilterChainMatch
	if names != nil {
		match = &listenerv3.FilterChainMatch{ServerNames: names}
	}
	name := outboundName(port.Number, "", svc.Host)
	p := policyOf(rule, "", port.Number)
	proxy := &tcpv3.TcpProxy{StatPrefix: statName(w.k.settings, w.k.settings.Config.GetOutboundClusterStatName(), name, svc.Host, "", port.Name, port.Number, 0), ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: name}}
	applyTCP(proxy, &p)
	add(&listenerv3.FilterChain{FilterChainMatch: match, Filters: w.k.guarded(port.Number, w.who, w.k.tcpFilters(proxy))})
}

// applyTCP has connections keep to what is said of them.
func applyTCP(t *tcpv3.TcpProxy, p *policy) {
	t.IdleTimeout, t.MaxDownstreamConnectionDuration = p.pool.GetTcp().GetIdleTimeout(), p.pool.GetTcp().GetMaxConnectionDuration()
	if p.hash().GetUseSourceIp() {
		t.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
	if tunnel := p.tunnel; tunnel != nil {
		t.TunnelingConfig = &tcpv3.TcpProxy_TunnelingConfig{Hostname: tunnel.GetTargetHost() + ":" + portText(tunnel.GetTargetPort()), UsePost: tunnel.GetProtocol() == "POST"}
	}
}

// chain passes what matches on to destinations.
func (w *listenerWriter) chain(v *mesh.VirtualService, to []*networking.RouteDestination, port *mesh.Port, match *listenerv3.FilterChainMatch) *listenerv3.FilterChain {
	cluster := func(d *networking.Destination) string { return w.cluster(v, d, port) }
	proxy := &tcpv3.TcpProxy{}
	if len(to) == 1 {
		d := to[0].GetDestination()
		proxy.StatPrefix = cluster(d)
		proxy.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: proxy.StatPrefix}
		p := policyOf(w.ruled.rule(w.k.settings.HostIn(d.GetHost(), v.From.Namespace)), d.GetSubset(), port.Number)
		applyTCP(proxy, &p)
	} else {
		weighted := &tcpv3.TcpProxy_WeightedCluster{}
		for _, one := range to {
			if one.GetWeight() > 0 {
				weighted.Clusters = append(weighted.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: cluster(one.GetDestination()), Weight: uint32(one.GetWeight())})
			}
		}
		proxy.StatPrefix = v.From.Name + "." + v.From.Namespace
		proxy.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: weighted}
	}
	return &listenerv3.FilterChain{FilterChainMatch: match, Filters: w.k.guarded(port.Number, w.who, w.k.tcpFilters(proxy))}
}

// cluster is that of a destination. Of no port it is the only one of its host, or else the one that is asked.
func (w *listenerWriter) cluster(v *mesh.VirtualService, d *networking.Destination, port *mesh.Port) string {
	number := d.GetPort().GetNumber()
	host := w.k.settings.HostIn(d.GetHost(), v.From.Namespace)
	if number == 0 {
		number = port.Number
		if svc := w.ruled.service(host); svc != nil && len(svc.Ports) == 1 {
			number = svc.Ports[0].Number
		}
	}
	return outboundName(number, d.GetSubset(), host)
}

// rawFor are those of VirtualServices that are for a host, the oldest first.
func rawFor(c *chain, host string) (list []*mesh.VirtualService) {
	for ; c != nil; c = c.before {
		v := c.item.(*mesh.VirtualService)
		if slices.ContainsFunc(v.Hosts, func(h string) bool { return covers(h, host) }) {
			list = append(list, v)
		}
	}
	slices.Reverse(list)
	return list
}

func hasHTTP(l *listenerv3.Listener) bool {
	return slices.ContainsFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool {
		return len(c.GetFilterChainMatch().GetApplicationProtocols()) > 0
	})
}

// sameMatch tells whether nobody could tell which of two chains a connection is for.
func sameMatch(a, b *listenerv3.FilterChainMatch) bool { return string(encode(a)) == string(encode(b)) }

func cidr(said string) *corev3.CidrRange {
	p, err := netip.ParsePrefix(said)
	if err != nil {
		a, err := netip.ParseAddr(said)
		if err != nil {
			return &corev3.CidrRange{AddressPrefix: said, PrefixLen: u32(0)}
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: u32(uint32(p.Bits()))}
}

func cidrs(said []string) (list []*corev3.CidrRange) {
	for _, one := range said {
		list = append(list, cidr(one))
	}
	return list
}
