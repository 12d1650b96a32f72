package translate

import (
	"cmp"
	"slices"
	"strings"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

type gatewayKey struct {
	connections
	guards
	identity  Identity
	ruled     ref[ruled]
	routes    ref[mesh.Routes]
	namespace string
	topology  string // of the proxy's own
	objects   *chain // Gateways that choose the proxy, and the ports at which it is reached
}

// gateway is what a gateway takes and where it sends it.
type gateway struct {
	listeners, tables *part
	of                *ruled
	held              [2]*space
	made              []*host
	credentials       []string // that its doors show, or take clients by
}

// door is one server of a Gateway.
type door struct {
	name   string // namespace/name of the Gateway
	object *source.Object
	server *networking.Server
	port   uint32 // that is listened on
}

// ends tells whether TLS ends at the door.
func (d *door) ends() bool {
	mode := d.server.GetTls().GetMode()
	return d.server.GetTls() != nil && !d.server.GetTls().GetHttpsRedirect() && mode != networking.ServerTLSSettings_PASSTHROUGH && mode != networking.ServerTLSSettings_AUTO_PASSTHROUGH
}

func (d *door) passes() bool {
	return d.server.GetTls() != nil && !d.server.GetTls().GetHttpsRedirect() && !d.ends()
}

// http tells whether requests are seen.
func (d *door) http() bool {
	p := protocolOfServer(d.server)
	return p.IsHTTP() || p == mesh.HTTPS && d.ends()
}

func protocolOfServer(s *networking.Server) mesh.Protocol {
	return mesh.ProtocolNamed(s.GetPort().GetProtocol())
}

// table is the name of the door's table: those of plain text share one for each port, and each other has its own.
func (d *door) table() string {
	if !d.ends() {
		return "http." + portText(d.server.GetPort().GetNumber())
	}
	return "https." + portText(d.server.GetPort().GetNumber()) + "." + d.server.GetPort().GetName() + "." + d.object.Name + "." + d.object.Namespace
}

func (t *Translator) gateway(m *mesh.Mesh, p *Proxy, s *scope) *gateway {
	k := gatewayKey{connections: t.connections(m, p, s, false), identity: p.Identity, ruled: weak.Make(s.ruled), routes: weak.Make(m.Routes), namespace: p.Namespace, topology: p.Topology}
	var held [2]*space
	k.guards, held = t.guards(m, p, s.ruled.seen)
	objects := gatewaysOf(m, p)
	for _, o := range objects {
		k.objects = t.chains.add(k.objects, o)
	}
	targets := map[uint32]uint32{}
	for _, one := range serving(m, p, t.aged(m, p.Namespace, s.place.cluster)) {
		targets[one.asked] = one.number
		k.objects = t.chains.add(k.objects, one)
	}
	return t.gateways.get(k, func() *gateway {
		w := &gatewayWriter{t: t, m: m, k: &k, proxy: p, scope: s, topology: topologyOf(m.Settings, p), made: &gateway{of: s.ruled, held: held}}
		for _, o := range objects {
			for _, one := range o.Spec.(*networking.Gateway).GetServers() {
				d := &door{name: o.Namespace + "/" + o.Name, object: o, server: one, port: one.GetPort().GetNumber()}
				if target := targets[d.port]; target != 0 {
					d.port = target
				}
				w.doors = append(w.doors, d)
				w.made.credentials = append(w.made.credentials, d.credentials()...)
			}
		}
		w.write()
		return w.made
	})
}

// gatewaysOf are the Gateways that choose a proxy.
func gatewaysOf(m *mesh.Mesh, p *Proxy) (all []*source.Object) {
	for _, o := range m.Gateways.All() {
		if has(p.Labels, o.Spec.(*networking.Gateway).GetSelector()) {
			all = append(all, o)
		}
	}
	return all
}

// gatewayWriter puts the listeners and tables of a gateway together.
type gatewayWriter struct {
	t     *Translator
	m     *mesh.Mesh
	k     *gatewayKey
	proxy *Proxy
	scope *scope
	doors []*door
	made  *gateway
	// topology is what is before it, and how much of what that says is taken for true.
	topology *meshv1.Topology
}

// topologyOf is what a gateway's own ProxyConfig says of what is before it, or else that of the mesh.
func topologyOf(s *mesh.Settings, p *Proxy) *meshv1.Topology {
	if p.Topology == "" {
		return s.Config.GetDefaultConfig().GetGatewayTopology()
	}
	own := &meshv1.Topology{}
	if err := proto.Unmarshal([]byte(p.Topology), own); err != nil {
		panic("translate: " + err.Error()) // ProxyOf has written it
	}
	return own
}

func (w *gatewayWriter) write() {
	type address struct {
		bind string
		port uint32
	}
	by := map[address][]*door{}
	var order []address
	for _, d := range w.doors {
		a := address{d.server.GetBind(), d.port}
		if by[a] == nil {
			order = append(order, a)
		}
		by[a] = append(by[a], d)
	}
	slices.SortFunc(order, func(a, b address) int { return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.bind, b.bind)) })
	tables := map[string][]*door{}
	var listeners, all []*server.Resource
	for _, a := range order {
		ip := cmp.Or(a.bind, anyAddress(Traits{IPv6: w.k.traits.IPv6}))
		name := ip + "_" + portText(a.port)
		l := &listenerv3.Listener{Name: name, Address: addressOf(ip, a.port), TrafficDirection: corev3.TrafficDirection_OUTBOUND}
		first, taken := by[a][0], map[string]bool{}
		for _, d := range by[a] {
			// Who speaks first at a port decides what it is for: plain text, or names by which to tell several apart.
			if (d.ends() || d.passes()) != (first.ends() || first.passes()) || !d.ends() && !d.passes() && d.http() != first.http() {
				continue
			}
			if d.http() {
				tables[d.table()] = append(tables[d.table()], d)
			}
			w.chains(l, d, name, taken)
		}
		if len(l.FilterChains) > 0 {
			if finished(l); w.topology.GetProxyProtocol() != nil {
				l.ListenerFilters = append([]*listenerv3.ListenerFilter{proxyProtocol()}, l.ListenerFilters...)
			}
			listeners = append(listeners, w.t.message(server.Listeners, name, l))
		}
	}
	for name, doors := range tables {
		t := &tableWriter{name: name, taken: map[string]bool{}}
		for _, h := range w.hosts(doors) {
			if h = t.untaken(h); h != nil {
				t.hosts = append(t.hosts, h)
			}
		}
		if len(t.hosts) == 0 {
			t.hosts = append(t.hosts, w.nothing(doors[0].server.GetPort().GetNumber()))
		}
		w.made.made = append(w.made.made, t.hosts...)
		all = append(all, w.t.resource(server.Routes, name, t.bytes(false)))
	}
	w.made.listeners, w.made.tables = w.t.part(server.Listeners, listeners), w.t.part(server.Routes, all)
}

// serverNames are the names by which a client asks for a door; nil: any.
func serverNames(d *door) (names []string) {
	for _, said := range d.server.GetHosts() {
		name := strings.ToLower(said[strings.IndexByte(said, '/')+1:])
		if name == "*" {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// chains adds what a door does to a listener. What its chains match is taken, encoded: of several chains for the same connections the first has them.
func (w *gatewayWriter) chains(l *listenerv3.Listener, d *door, name string, taken map[string]bool) {
	add := func(c *listenerv3.FilterChain) {
		if match := string(encode(c.FilterChainMatch)); !taken[match] {
			taken[match] = true
			l.FilterChains = append(l.FilterChains, c)
		}
	}
	match := &listenerv3.FilterChainMatch{}
	if d.ends() {
		match.ServerNames = serverNames(d)
	}
	if len(match.ServerNames) == 0 {
		match = nil
	}
	if d.http() {
		c := &listenerv3.FilterChain{FilterChainMatch: match, Filters: w.k.guarded(d.server.GetPort().GetNumber(), unguarded, managerFilter(w.manager(d, name)))}
		if d.ends() {
			c.TransportSocket = d.tls(w.k.settings, w.k.identity)
		}
		add(c)
		return
	}
	if d.server.GetTls().GetMode() == networking.ServerTLSSettings_AUTO_PASSTHROUGH {
		w.passages(d, add)
		return
	}
	raw := &listenerWriter{t: w.t, k: &listenersKey{connections: w.k.connections, namespace: w.k.namespace}, ruled: w.scope.ruled, proxy: w.proxy, who: &w.k.guards}
	port := &mesh.Port{Number: d.server.GetPort().GetNumber()}
	if protocolOfServer(d.server) == mesh.Dubbo {
		if filters := w.calls(d, raw, port); filters != nil {
			c := &listenerv3.FilterChain{FilterChainMatch: match, Filters: filters}
			if d.ends() {
				c.TransportSocket = d.tls(w.k.settings, w.k.identity)
			}
			add(c)
		}
		return
	}
	for v := range w.m.Routes.Seen(w.k.namespace, d.name) {
		if len(w.meet(d, v)) == 0 {
			continue
		}
		if d.passes() {
			for _, r := range v.Spec.GetTls() {
				for _, m := range r.GetMatch() {
					if w.concerns(d, m.GetPort(), m.GetGateways(), m.GetSourceLabels(), m.GetSourceNamespace()) {
						c := raw.chain(v, r.GetRoute(), port, &listenerv3.FilterChainMatch{ServerNames: m.GetSniHosts(), PrefixRanges: cidrs(m.GetDestinationSubnets())})
						add(c)
					}
				}
			}
			continue
		}
		for _, r := range v.Spec.GetTcp() {
			matches := r.GetMatch()
			if len(matches) == 0 {
				matches = []*networking.L4MatchAttributes{{}}
			}
			for _, m := range matches {
				if !w.concerns(d, m.GetPort(), m.GetGateways(), m.GetSourceLabels(), m.GetSourceNamespace()) {
					continue
				}
				here := match
				if len(m.GetDestinationSubnets()) > 0 {
					here = &listenerv3.FilterChainMatch{ServerNames: match.GetServerNames(), PrefixRanges: cidrs(m.GetDestinationSubnets())}
				}
				c := raw.chain(v, r.GetRoute(), port, here)
				if d.ends() {
					c.TransportSocket = d.tls(w.k.settings, w.k.identity)
				}
				add(c)
			}
		}
	}
}

// calls takes calls of Dubbo at a door; nil: nobody has a route for any. They name no host, so that the routes of all VirtualServices of the door are asked, the oldest first, and what none is for is
// answered with an error.
func (w *gatewayWriter) calls(d *door, raw *listenerWriter, port *mesh.Port) []*listenerv3.Filter {
	var services []*dubbov3.RouteConfiguration
	for v := range w.m.Routes.Seen(w.k.namespace, d.name) {
		if hosts := w.meet(d, v); len(hosts) > 0 {
			services = append(services, raw.dubboRoutes(v, hosts[0], port)...)
		}
	}
	if len(services) == 0 {
		return nil
	}
	return w.k.dubboProxy("outbound", port.Number, &w.k.guards, services)
}

// concerns tells whether a match is for a door.
func (w *gatewayWriter) concerns(d *door, port uint32, gateways []string, labels map[string]string, namespace string) bool {
	return matchConcerns(w.proxy, []string{d.name}, d.server.GetPort().GetNumber(), port, gateways, d.object.Namespace, labels, namespace)
}

// manager takes the requests of a door.
func (w *gatewayWriter) manager(d *door, name string) *hcmv3.HttpConnectionManager {
	m := table(w.k.manager("outbound_"+name), d.table())
	m.UseRemoteAddress, m.ServerName = wrapperspb.Bool(true), "istio-envoy"
	m.XffNumTrustedHops = w.topology.GetNumTrustedProxies()
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	if said := w.topology.GetForwardClientCertDetails(); said != meshv1.ForwardClientCertDetails_UNDEFINED {
		m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_ForwardClientCertDetails(said - meshv1.ForwardClientCertDetails_SANITIZE) // the same words in the same order
	}
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Subject: wrapperspb.Bool(true), Cert: true, Dns: true, Uri: true}
	m.StreamIdleTimeout = nil // clients are not trusted to end what they begin
	m.HttpFilters = w.k.filters(true, protocolOfServer(d.server), d.server.GetPort().GetNumber(), &w.k.guards)
	return m
}

// meet are the hosts that a VirtualService and a door have in common: of a wildcard and a host within it, the host.
func (w *gatewayWriter) meet(d *door, v *mesh.VirtualService) (hosts []string) {
	for _, said := range d.server.GetHosts() {
		where, name, ok := strings.Cut(said, "/")
		if !ok {
			where, name = "*", said
		}
		if where == "." {
			where = d.object.Namespace
		}
		if where != "*" && where != v.From.Namespace {
			continue
		}
		name = strings.ToLower(name)
		for _, h := range v.Hosts {
			one := ""
			switch {
			case covers(name, h):
				one = h
			case covers(h, name):
				one = name
			default:
				continue
			}
			if !slices.Contains(hosts, one) {
				hosts = append(hosts, one)
			}
		}
	}
	return hosts
}
