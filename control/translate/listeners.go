package translate

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

type listenersKey struct {
	connections
	ruled     ref[ruled]
	raw       *chain           // VirtualServices that have something to say of TCP, TLS and Dubbo
	endpoints ref[mesh.Steady] // if some services are reached at their endpoints' addresses
	network   string           // likewise, and networks have ways in
	namespace string
	labels    string // of the proxy, if raw asks for some
	blocked   bool
}

// listenerLayer is where a workload's own traffic is taken.
type listenerLayer struct {
	part *part
	made []*server.Resource
}

func (t *Translator) listenerLayer(m *mesh.Mesh, p *Proxy, s *scope) *listenerLayer {
	k := listenersKey{connections: t.connections(m, p, s, false), ruled: weak.Make(s.ruled), raw: s.virtuals.raw, namespace: p.Namespace, blocked: blocks(m.Settings, s.sidecar)}
	if k.raw != nil {
		k.labels = labelsText(p.Labels)
	}
	if s.ruled.addressed {
		k.endpoints = weak.Make(m.Endpoints.Steady)
		if m.Networks != nil {
			k.network = s.place.network
		}
	}
	return t.listeners.get(k, func() *listenerLayer {
		w := &listenerWriter{t: t, k: &k, ruled: s.ruled, proxy: p, who: unguarded, wild: map[uint32]*wildPort{}, named: map[string]bool{}}
		for i, svc := range s.ruled.services {
			for at, port := range svc.Ports {
				w.port(svc, s.ruled.rules[i], at, port, m.Endpoints)
			}
		}
		for port, wild := range w.wild {
			w.wildListener(port, wild)
		}
		if !k.traits.Bound { // where nobody redirects, nothing comes to it, and several sidecars of a host would want its port
			w.all = append(w.all, w.catcher())
		}
		return &listenerLayer{part: t.part(server.Listeners, w.all), made: w.all}
	})
}

// podAddressed tells whether clients of a service connect to its endpoints by their addresses.
func podAddressed(s *mesh.Service) bool {
	return s.Headless && s.Kubernetes() && slices.ContainsFunc(s.Ports, func(p *mesh.Port) bool { return !p.Protocol.IsHTTP() && p.Protocol != mesh.UDP })
}

func labelsText(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for k, v := range labels {
		list = append(list, strconv.Quote(k)+"="+strconv.Quote(v)) // a proxy may say anything
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// listenerWriter puts the listeners of a workload's own traffic together.
type listenerWriter struct {
	t     *Translator
	k     *listenersKey
	ruled *ruled
	proxy *Proxy
	who   *guards // who may connect
	all   []*server.Resource
	named map[string]bool // listeners that there are
	wild  map[uint32]*wildPort
}

// wildPort is a port of all addresses that no other listener has.
type wildPort struct {
	http bool
	raw  []wildService // that only bytes or names are seen of
}

type wildService struct {
	service *mesh.Service
	rule    *mesh.DestinationRule
	port    *mesh.Port
	prefix  string // of addresses; empty: all
}

type tcpListenerKey struct {
	connections
	service   *mesh.Service
	rule      *mesh.DestinationRule
	port      *mesh.Port
	raw       *chain
	led       ref[ruled] // where a route leads elsewhere: its ports and its rule
	namespace string
	labels    string
	address   string
}

type wildListenerKey struct {
	connections
	port      uint32
	http      bool
	services  *chain
	raw       *chain
	led       ref[ruled]
	namespace string
	labels    string
	blocked   bool
}

// port takes traffic to a port of a service: requests together with all others to that port, the rest by address, as far as there is one.
func (w *listenerWriter) port(svc *mesh.Service, rule *mesh.DestinationRule, at int, port *mesh.Port, endpoints *mesh.EndpointIndex) {
	wild := func() *wildPort {
		if w.wild[port.Number] == nil {
			w.wild[port.Number] = &wildPort{}
		}
		return w.wild[port.Number]
	}
	switch {
	case port.Protocol == mesh.UDP:
		return
	case port.Protocol.IsHTTP():
		wild().http = true
		return
	case w.k.traits.Bound: // nobody is redirected, so that addresses do not come through
		wild().raw = append(wild().raw, wildService{svc, rule, port, ""})
		return
	}
	addresses, any := w.ruled.addresses(svc)
	if !any {
		return
	}
	if len(addresses) == 0 && w.k.traits.Captured && svc.Allocated != "" {
		addresses = []string{svc.Allocated}
	}
	if podAddressed(svc) {
		if e := endpoints.Of(svc); at < len(e.Ports) {
			here := horizon{network: w.k.network}
			for _, one := range e.Ports[at] {
				if one.Address != "" && here.near(one) { // an address of another network is somebody else's here
					w.addressed(svc, rule, port, one.Address)
				}
			}
		}
		return
	}
	if len(addresses) == 0 {
		wild().raw = append(wild().raw, wildService{svc, rule, port, ""})
		return
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a); err == nil && !prefix.IsSingleIP() {
			wild().raw = append(wild().raw, wildService{svc, rule, port, a})
			continue
		}
		a, _, _ = strings.Cut(a, "/")
		w.addressed(svc, rule, port, a)
	}
}

// addressed takes traffic to an address. Of several services that say the same one, the first has it.
func (w *listenerWriter) addressed(svc *mesh.Service, rule *mesh.DestinationRule, port *mesh.Port, address string) {
	name := address + "_" + portText(port.Number)
	if w.named[name] {
		return
	}
	w.named[name] = true
	key := tcpListenerKey{connections: w.k.connections, service: svc, rule: rule, port: port, raw: w.k.raw, namespace: w.k.namespace, labels: w.k.labels, address: address}
	if len(rawFor(w.k.raw, svc.Host)) > 0 {
		key.led = w.k.ruled
	}
	w.all = append(w.all, w.t.tcps.get(key, func() *server.Resource {
		l := w.listener(name, address, port.Number)
		w.chains(l, svc, rule, port, "", false)
		return w.t.message(server.Listeners, name, finished(l))
	}))
}

// listener is one of outbound traffic without what it does. It is bound only if nobody redirects traffic.
func (w *listenerWriter) listener(name, address string, port uint32) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name: name, Address: addressOf(address, port), TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		ContinueOnListenerFiltersTimeout: true, ListenerFiltersTimeout: durationpb.New(w.k.settings.DetectionTimeout),
	}
	if !w.k.traits.Bound {
		l.BindToPort = wrapperspb.Bool(false)
	}
	return l
}

// anyAddress is that of all which is not somebody's.
func anyAddress(t Traits) string {
	switch {
	case t.Bound && t.IPv6:
		return "::1"
	case t.Bound:
		return "127.0.0.1"
	case t.IPv6:
		return "::"
	}
	return "0.0.0.0"
}

// wildListener takes what goes to a port and to no address that another listener has.
func (w *listenerWriter) wildListener(port uint32, wild *wildPort) {
	key := wildListenerKey{connections: w.k.connections, port: port, http: wild.http, blocked: w.k.blocked}
	for _, s := range wild.raw {
		key.services = w.t.chains.add(key.services, s)
		if len(rawFor(w.k.raw, s.service.Host)) > 0 {
			key.led = w.k.ruled
		}
	}
	if key.services != nil {
		key.raw, key.namespace, key.labels = w.k.raw, w.k.namespace, w.k.labels
	}
	address := anyAddress(w.k.traits)
	name := address + "_" + portText(port)
	w.all = append(w.all, w.t.wilds.get(key, func() *server.Resource {
		l := w.listener(name, address, port)
		if wild.http {
			l.FilterChains = append(l.FilterChains, w.httpChain(port, portText(port), "outbound_"+name))
			l.DefaultFilterChain = w.passthrough()
			if w.k.traits.Bound { // what connects to the address itself is meant for it
				l.FilterChains[0].FilterChainMatch, l.DefaultFilterChain = nil, nil
			}
		}
		for _, s := range wild.raw {
			w.chains(l, s.service, s.rule, s.port, s.prefix, true)
		}
		if l.DefaultFilterChain == nil && !w.k.traits.Bound { // that a port has names or ranges does not make all else of it nobody's
			l.DefaultFilterChain = w.passthrough()
		}
		return w.t.message(server.Listeners, name, finished(l))
	}))
}

// What clear HTTP begins with, as the inspector has it.
func clearHTTP(t Traits) []string {
	if t.HTTP10 {
		return []string{"http/1.0", "http/1.1", "h2c"}
	}
	return []string{"http/1.1", "h2c"}
}

// clearDubbo is what weft's inspector says of connections that begin as Dubbo's do; Envoy's says nothing of them.
var clearDubbo = []string{"dubbo"}

// httpChain takes requests, which a table of that name is for.
func (w *listenerWriter) httpChain(port uint32, name, statistics string) *listenerv3.FilterChain {
	m := table(w.k.manager(statistics), name)
	m.HttpFilters = w.k.filters(true, mesh.HTTP, port, unguarded)
	return &listenerv3.FilterChain{
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: clearHTTP(w.k.traits)},
		Filters:          w.k.guarded(port, unguarded, managerFilter(m)),
	}
}

// passthrough takes what nobody has named.
func (w *listenerWriter) passthrough() *listenerv3.FilterChain {
	cluster := passthroughCluster
	if w.k.blocked {
		cluster = blackHoleCluster
	}
	return &listenerv3.FilterChain{Name: "PassthroughFilterChain", Filters: w.k.tcpProxy(cluster)}
}

// catcher takes all that is redirected and finds the listener that it is for.
func (w *listenerWriter) catcher() *server.Resource {
	port := uint32(outboundPort)
	if p := w.k.settings.Config.GetProxyListenPort(); p > 0 {
		port = uint32(p)
	}
	l := w.listener(virtualOutbound, anyAddress(Traits{IPv6: w.k.traits.IPv6}), port)
	l.BindToPort, l.UseOriginalDst, l.ListenerFiltersTimeout = nil, wrapperspb.Bool(true), nil
	if w.k.traits.Transparent {
		l.Transparent = wrapperspb.Bool(true)
	}
	rest := w.passthrough()
	rest.Name = "virtualOutbound-catchall-tcp"
	l.FilterChains = []*listenerv3.FilterChain{{
		Name: "virtualOutbound-blackhole", FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: u32(port)}, // what is sent to the listener itself would come back to it
		Filters: w.k.tcpProxy(blackHoleCluster),
	}, rest}
	return w.t.message(server.Listeners, virtualOutbound, l)
}

// finished gives a listener the inspectors that its chains ask for.
func finished(l *listenerv3.Listener) *listenerv3.Listener {
	tls, http := false, false
	for _, c := range l.FilterChains {
		m := c.GetFilterChainMatch()
		tls = tls || len(m.GetServerNames()) > 0 || m.GetTransportProtocol() == "tls"
		http = http || len(m.GetApplicationProtocols()) > 0 && m.GetTransportProtocol() != "tls"
	}
	if tls {
		l.ListenerFilters = append(l.ListenerFilters, tlsInspector())
	}
	if http {
		l.ListenerFilters = append(l.ListenerFilters, httpInspector())
	}
	return l
}
