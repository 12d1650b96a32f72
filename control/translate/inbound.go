package translate

import (
	"cmp"
	"slices"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// served is a port of a workload, as a service or a Sidecar has it.
type served struct {
	host     string // that it is for
	protocol mesh.Protocol
	asked    uint32 // port of the host
	name     string // of that port; empty: it has none
	number   uint32 // at the workload
	ingress  ingress
}

// operation is what traces call it.
func (s *served) operation() string { return s.host + ":" + portText(s.asked) + "/*" }

type inboundKey struct {
	connections
	guards
	identity Identity
	served   *chain
	modes    *chain // how peers are taken: that of all ports, then those of ports that are otherwise
}

// inbound is what a workload serves.
type inbound struct {
	clusters, listeners *part
	of                  *aged
	held                [2]*space
	seen                *seen
}

// portMode is a port that is otherwise.
type portMode struct {
	port uint32 // 0: all others
	mode mesh.Mode
}

func (t *Translator) inbound(m *mesh.Mesh, p *Proxy, c *common) *inbound {
	s := c.scope
	k := inboundKey{connections: c.serving, identity: p.Identity}
	services := t.aged(m, p.Namespace, s.place.cluster)
	ports, said := ingressOf(s.sidecar, p.Traits)
	if !said && !p.Traits.Bound { // what nobody redirects goes to the workload itself, unless a Sidecar says otherwise
		ports = serving(m, p, services)
	}
	for _, s := range ports {
		k.served = t.chains.add(k.served, s)
	}
	held := [2]*space{}
	k.guards, held = t.guards(m, p, s.ruled.seen)
	modes := m.Peers.For(p.Namespace, p.Labels)
	k.modes = t.chains.add(nil, portMode{0, modes.Usual})
	numbers := make([]uint32, 0, len(modes.Ports))
	for n := range modes.Ports {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		k.modes = t.chains.add(k.modes, portMode{n, modes.Ports[n]})
	}
	return t.inbounds.get(k, func() *inbound {
		w := &inboundWriter{k: &k, modes: modes}
		in := w.write(t, ports, numbers)
		in.of, in.held, in.seen = services, held, s.ruled.seen
		return in
	})
}

type agedKey struct {
	services           ref[mesh.Services]
	namespace, cluster string
}

// aged is the services of a namespace that are for workloads of a cluster, the oldest first.
type aged struct {
	services []*mesh.Service
	chosen   map[string][]int      // those that choose by labels, by one of them
	others   map[*mesh.Service]int // those that do not
}

func (t *Translator) aged(m *mesh.Mesh, namespace, cluster string) *aged {
	return t.ageds.get(agedKey{weak.Make(m.Services), namespace, cluster}, func() *aged {
		a := &aged{services: m.Services.In(namespace, cluster), chosen: map[string][]int{}, others: map[*mesh.Service]int{}}
		slices.SortStableFunc(a.services, func(a, b *mesh.Service) int { return a.Created.Compare(b.Created) })
		for i, s := range a.services {
			if len(s.Selector) == 0 {
				a.others[s] = i
				continue
			}
			first := ""
			for k, v := range s.Selector {
				if label := k + "=" + v; first == "" || label < first {
					first = label
				}
			}
			a.chosen[first] = append(a.chosen[first], i)
		}
		return a
	})
}

// serving finds the ports that a workload serves: of the services of its namespace that choose it by its labels, or that have its address. Of
// several services of a port the oldest counts.
func serving(m *mesh.Mesh, p *Proxy, services *aged) (list []served) {
	workload := m.Workloads.At(m.ClusterOf(p.Cluster), p.Namespace, p.Address)
	if workload == nil {
		workload = m.Workloads.Machine(p.Namespace, p.Address)
	}
	var look []int
	if p.Address != "" {
		for _, s := range m.Endpoints.At(p.Namespace, p.Address) {
			if at, is := services.others[s]; is { // or it is another cluster's
				look = append(look, at)
			}
		}
	}
	for k, v := range p.Labels {
		look = append(look, services.chosen[k+"="+v]...)
	}
	slices.Sort(look)
	for _, i := range look {
		s := services.services[i]
		chosen := len(s.Selector) > 0
		if chosen && !has(p.Labels, s.Selector) {
			continue
		}
		var endpoints *mesh.Endpoints
		if !chosen {
			endpoints = m.Endpoints.Of(s)
		}
		for at, port := range s.Ports {
			number := port.Number
			switch {
			case port.Protocol == mesh.UDP:
				continue
			case chosen:
				number = workload.Serves(port)
			default:
				number = 0
				if at < len(endpoints.Ports) {
					for _, e := range endpoints.Ports[at] {
						if e.Address == p.Address {
							number = e.Port
						}
					}
				}
			}
			if number == 0 || slices.ContainsFunc(list, func(other served) bool { return other.number == number }) {
				continue
			}
			list = append(list, served{host: s.Host, protocol: port.Protocol, asked: port.Number, name: port.Name, number: number})
		}
	}
	slices.SortFunc(list, func(a, b served) int { return cmp.Compare(a.number, b.number) })
	return list
}

// inboundWriter puts the listener of what peers send together.
type inboundWriter struct {
	k        *inboundKey
	modes    *mesh.PeerModes
	chains   []*listenerv3.FilterChain
	clusters []*server.Resource
	tls      map[uint32]bool // ports of which the inspector has to see the beginning; 0: all others
	http     map[uint32]bool
}

func (w *inboundWriter) write(t *Translator, ports []served, numbers []uint32) *inbound {
	in := &inbound{}
	var listeners []*server.Resource
	captured := make([]served, 0, len(ports))
	for _, s := range ports {
		c := w.inboundCluster(s)
		if w.clusters = append(w.clusters, t.message(server.Clusters, c.Name, c)); s.ingress.bound {
			if l := w.boundListener(t, s); l != nil {
				listeners = append(listeners, l)
			}
		} else {
			captured = append(captured, s)
		}
	}
	if !w.k.traits.Bound {
		l := w.captured(captured, numbers)
		listeners = append(listeners, t.message(server.Listeners, l.Name, l))
	}
	in.clusters, in.listeners = t.part(server.Clusters, w.clusters), t.part(server.Listeners, listeners)
	return in
}

// captured takes all that is redirected.
func (w *inboundWriter) captured(ports []served, numbers []uint32) *listenerv3.Listener {
	port := uint32(inboundPort)
	if p := w.k.settings.Config.GetProxyInboundListenPort(); p > 0 {
		port = uint32(p)
	}
	w.tls, w.http = map[uint32]bool{}, map[uint32]bool{}
	w.chains = []*listenerv3.FilterChain{{
		Name: "virtualInbound-blackhole", FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: u32(port)},
		Filters: w.k.tcpProxy(blackHoleCluster),
	}}
	w.port(0, 0, w.modes.Usual, mesh.Unknown, inboundPassthroughCluster, "", inboundPassthroughCluster)
	for _, n := range numbers {
		if !slices.ContainsFunc(ports, func(s served) bool { return s.number == n }) {
			w.port(n, 0, w.modes.Ports[n], mesh.Unknown, inboundPassthroughCluster, "", inboundPassthroughCluster)
		}
	}
	for _, s := range ports {
		w.port(s.number, s.asked, w.modes.At(s.number), s.protocol, inboundName(s.number), s.operation(), w.statName(s))
	}
	l := w.listener(virtualInbound, anyAddress(Traits{IPv6: w.k.traits.IPv6}), port)
	first := []*listenerv3.ListenerFilter{originalDestination()}
	if w.k.traits.Transparent {
		l.Transparent = wrapperspb.Bool(true)
		first = append(first, originalSource())
	}
	l.ListenerFilters = append(first, l.ListenerFilters...)
	return l
}

// listener is one with the chains that there are.
func (w *inboundWriter) listener(name, ip string, port uint32) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name: name, Address: addressOf(ip, port), TrafficDirection: corev3.TrafficDirection_INBOUND,
		ContinueOnListenerFiltersTimeout: true, ListenerFiltersTimeout: durationpb.New(w.k.settings.DetectionTimeout), FilterChains: w.chains,
	}
	l.ListenerFilters = append(l.ListenerFilters, inspecting(tlsInspector(), w.tls)...)
	l.ListenerFilters = append(l.ListenerFilters, inspecting(httpInspector(), w.http)...)
	return l
}

// inspecting is an inspector for the ports that ask for one: a server that speaks first would wait for it for ever.
func inspecting(f *listenerv3.ListenerFilter, ports map[uint32]bool) []*listenerv3.ListenerFilter {
	var not []*listenerv3.ListenerFilterChainMatchPredicate
	any := false
	numbers := make([]uint32, 0, len(ports))
	for n, needed := range ports {
		any = any || needed
		if n != 0 && needed != ports[0] {
			numbers = append(numbers, n)
		}
	}
	if !any {
		return nil
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		not = append(not, &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typev3.Int32Range{Start: int32(n), End: int32(n) + 1},
		}})
	}
	if len(not) > 1 {
		not = []*listenerv3.ListenerFilterChainMatchPredicate{{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: not}}}}
	}
	if len(not) == 1 {
		if f.FilterDisabled = not[0]; !ports[0] {
			f.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: not[0]}}
		}
	}
	return []*listenerv3.ListenerFilter{f}
}

// way is one of the ways in which connections to a port come.
type way struct {
	transport string
	offered   []string // by ALPN; nil: anything
	seen      sight
	ends      bool // mTLS ends here
}

// chosen are the protocols of which one is taken, if it is offered, where mTLS ends.
func (w way) chosen() []string {
	if slices.Contains(w.offered, alpnDubbo) {
		return w.offered
	}
	return []string{"h2", "http/1.1"}
}

// sight is what can be seen of what comes.
type sight uint8

// The kinds of it.
const (
	seenBytes    sight = iota
	seenRequests       // of HTTP
	seenCalls          // of Dubbo
)

// sightOf is what can be seen of a protocol.
func sightOf(p mesh.Protocol) sight {
	switch {
	case p.IsHTTP():
		return seenRequests
	case p == mesh.Dubbo:
		return seenCalls
	}
	return seenBytes
}

// What workloads of the mesh offer by ALPN.
var (
	offeredHTTP  = []string{alpnHTTP10, alpnHTTP11, alpnHTTP2}
	offeredTCP   = []string{alpnExchange, alpnMesh}
	offeredDubbo = []string{alpnDubbo}
	offeredAll   = []string{alpnMesh, alpnExchange, alpnHTTP10, alpnHTTP11, alpnHTTP2}
)

// ways are those in which connections to a port may come.
func ways(mode mesh.Mode, protocol mesh.Protocol, traits Traits) []way {
	secured := []way{{"tls", offeredHTTP, seenRequests, true}}
	detected := []way{{"raw_buffer", clearHTTP(traits), seenRequests, false}}
	if traits.Weft {
		secured = append(secured, way{"tls", offeredDubbo, seenCalls, true})
		detected = append(detected, way{"raw_buffer", clearDubbo, seenCalls, false})
	}
	switch mode {
	case mesh.Strict:
		switch {
		case protocol == mesh.Unknown:
			return append(secured, way{"tls", nil, seenBytes, true})
		default:
			return []way{{"tls", nil, sightOf(protocol), true}}
		}
	case mesh.Disable:
		switch {
		case protocol == mesh.Unknown:
			return append(detected, way{"raw_buffer", nil, seenBytes, false})
		default:
			return []way{{"raw_buffer", nil, sightOf(protocol), false}}
		}
	}
	switch {
	case protocol == mesh.Unknown:
		return slices.Concat(secured, detected, []way{{"tls", offeredTCP, seenBytes, true}, {"raw_buffer", nil, seenBytes, false}, {"tls", nil, seenBytes, false}})
	case protocol.IsHTTP():
		return []way{{"tls", offeredAll, seenRequests, true}, {"raw_buffer", nil, seenRequests, false}}
	}
	return []way{{"tls", offeredAll, sightOf(protocol), true}, {"tls", nil, seenBytes, false}, {"raw_buffer", nil, sightOf(protocol), false}}
}

// port takes connections to a port; 0: to all that are not named. asked is the port by which clients call it; 0: nobody does.
func (w *inboundWriter) port(number, asked uint32, mode mesh.Mode, protocol mesh.Protocol, cluster, operation, statistics string) {
	if w.k.identity == NoIdentity && mode == mesh.Permissive {
		mode = mesh.Disable // there is nothing to end mTLS with
	}
	name, httpName := anyAddress(w.k.traits)+"_"+portText(number), ""
	if httpName = name; number == 0 || operation == "" {
		name, httpName = virtualInbound, "virtualInbound-catchall-http"
	}
	if operation == "" {
		operation = ":0/*"
	}
	w.tls[number], w.http[number] = false, false
	for _, way := range ways(mode, protocol, w.k.traits) {
		c := &listenerv3.FilterChain{Name: name, FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: way.transport, ApplicationProtocols: way.offered}}
		if number != 0 {
			c.FilterChainMatch.DestinationPort = u32(number)
		}
		switch way.seen {
		case seenRequests:
			c.Name, c.Filters = httpName, w.requests(number, asked, protocol, cluster, operation)
		case seenCalls:
			c.Filters = w.k.dubboProxy("inbound", number, &w.k.guards, []*dubbov3.RouteConfiguration{toCluster(cluster)})
		default:
			c.Filters = w.bytes(number, cluster, statistics)
		}
		if way.ends {
			if w.k.identity == NoIdentity {
				continue // nobody can prove anything here, and nothing else is to be let in
			}
			c.TransportSocket = serverTLS(w.k.settings, w.k.identity, way.chosen())
		}
		w.tls[number] = w.tls[number] || way.transport == "tls"
		w.http[number] = w.http[number] || slices.Contains(way.offered, "h2c")
		w.chains = append(w.chains, c)
	}
}

// bytes passes all that comes to a port on to a cluster.
func (w *inboundWriter) bytes(number uint32, cluster, statistics string) []*listenerv3.Filter {
	proxy := &tcpv3.TcpProxy{StatPrefix: statistics, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}}
	return w.k.guarded(number, &w.k.guards, w.k.tcpFilters(proxy))
}

// requests passes requests on to a cluster. Who sends them says how long they may take.
func (w *inboundWriter) requests(number, asked uint32, protocol mesh.Protocol, cluster, operation string) []*listenerv3.Filter {
	statistics := "inbound_" + anyAddress(w.k.traits) + "_" + portText(number)
	if number == 0 {
		statistics = inboundPassthroughCluster
	}
	forever := durationpb.New(0)
	action := &routev3.RouteAction{
		RetryPolicy:      inboundRetries(w.k.settings.Config.GetDefaultInboundHttpRetryPolicy(), protocol),
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}, Timeout: forever,
		MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: forever, GrpcTimeoutHeaderMax: forever},
	}
	m := inline(w.k.manager(statistics), &routev3.RouteConfiguration{Name: cluster, ValidateClusters: wrapperspb.Bool(false), VirtualHosts: []*routev3.VirtualHost{{
		Name: "inbound|http|" + portText(asked), Domains: []string{"*"}, Routes: []*routev3.Route{{
			Name: "default", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Decorator: &routev3.Decorator{Operation: operation}, Action: &routev3.Route_Route{Route: action},
		}},
	}}})
	m.ServerName = "istio-envoy"
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_APPEND_FORWARD
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Subject: wrapperspb.Bool(true), Dns: true, Uri: true}
	if protocol.IsHTTP2() {
		m.Http2ProtocolOptions = &corev3.Http2ProtocolOptions{}
	}
	m.HttpFilters = w.k.filters(false, protocol, number, &w.k.guards)
	return w.k.guarded(number, unguarded, managerFilter(m))
}

// inboundRetries is what is tried again at the workload itself, if the mesh says something of it; nil: nothing is. Which endpoint, and how long a try may take,
// says nothing here, and a call of gRPC's may be a stream, which cannot begin again.
func inboundRetries(said *networking.HTTPRetry, protocol mesh.Protocol) *routev3.RetryPolicy {
	if said.GetAttempts() <= 0 || protocol == mesh.GRPC || protocol == mesh.GRPCWeb {
		return nil
	}
	p := &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: u32(uint32(said.GetAttempts()))}
	if said.GetRetryOn() != "" {
		p.RetryOn, p.RetriableStatusCodes = retryOn(said.GetRetryOn())
	}
	if said.GetBackoff() != nil {
		p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: said.GetBackoff()}
	}
	return p
}
