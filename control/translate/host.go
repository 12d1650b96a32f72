package translate

import (
	"slices"
	"strings"
	"weak"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// host is a virtual host, encoded.
type host struct {
	name    string
	domains []string
	body    []byte
}

func newHost(v *routev3.VirtualHost) *host { return &host{v.Name, v.Domains, encode(v)} }

// withDomains is the host for other domains.
func (h *host) withDomains(domains []string) *host {
	v := &routev3.VirtualHost{}
	if err := proto.Unmarshal(h.body, v); err != nil {
		panic("translate: " + err.Error()) // it was encoded here
	}
	v.Domains = domains
	return newHost(v)
}

type hostKey struct {
	traits  *chain // of routeTraits, which is long
	service *mesh.Service
	name    string // of a host that is no service
	port    uint32
	rule    *mesh.DestinationRule
	virtual *mesh.VirtualService
	found   *chain // what its destinations are found to be, where that is not what it says
	calls   bool   // as virtualKey's, where the VirtualService asks for it: all others all proxies share
}

// found is what a destination is beside what a VirtualService says of it.
type found struct {
	at   int    // of the destination, in the order in which they are walked
	port uint32 // 0: that of the table
	hash *networking.LoadBalancerSettings_ConsistentHashLB
}

// hostFinder finds the virtual hosts of a sidecar.
type hostFinder struct {
	t      *Translator
	k      *routeTraits
	traits *chain
	scope  *scope
	proxy  *Proxy
	layer  *routeLayer
}

// of is the virtual host of a service at a port.
func (w *hostFinder) of(svc *mesh.Service, rule *mesh.DestinationRule, port uint32) *host {
	key, k := hostKey{traits: w.traits, service: svc, port: port}, w.k
	if v := w.scope.virtuals.find(svc.Host); v != nil && len(v.HTTP) > 0 {
		key.virtual, key.found, key.calls = v, w.found(v, port), w.calls(v)
	} else {
		key.rule = rule
	}
	return w.t.hosts.get(key, func() *host {
		v := &routev3.VirtualHost{Name: svc.Host + ":" + portText(port), Domains: domainsOf(k, svc), IncludeRequestAttemptCount: true}
		if key.virtual == nil {
			v.Routes = []*routev3.Route{k.plainRoute(svc, rule, port)}
		} else if v.Routes = k.virtualRoutes(w.proxy, &virtualKey{key.virtual, port, key.found, meshOnly, key.calls}); len(v.Routes) == 0 {
			v.Routes = []*routev3.Route{k.plainRoute(svc, rule, port)}
		}
		return newHost(v)
	})
}

// named is that of a host that is no service; nil: no route is for this proxy.
func (w *hostFinder) named(v *mesh.VirtualService, name string, port uint32) *host {
	key := hostKey{traits: w.traits, name: name, port: port, virtual: v, found: w.found(v, port), calls: w.calls(v)}
	h := w.t.hosts.get(key, func() *host {
		routes := w.k.virtualRoutes(w.proxy, &virtualKey{v, port, key.found, meshOnly, key.calls})
		if len(routes) == 0 {
			return &host{}
		}
		return newHost(&routev3.VirtualHost{Name: name + ":" + portText(port), Domains: []string{bracketed(name)}, IncludeRequestAttemptCount: true, Routes: routes})
	})
	if h.name == "" {
		return nil
	}
	return h
}

// calls tells whether requests that a VirtualService has become calls do so here.
func (w *hostFinder) calls(v *mesh.VirtualService) bool { return w.proxy.Traits.Weft && v.MakesCalls() }

// found remembers what Translator.found finds, which few changes touch.
func (w *hostFinder) found(v *mesh.VirtualService, port uint32) *chain {
	f := w.t.founds.get(foundKey{weak.Make(w.scope.ruled), v, port}, func() *founds { return &founds{w.t.found(w.k, w.scope, v, port)} })
	w.layer.found = append(w.layer.found, f)
	return f.list
}

type foundKey struct {
	ruled   ref[ruled]
	virtual *mesh.VirtualService
	port    uint32
}

type founds struct{ list *chain }

// found finds out about the destinations of a VirtualService what it does not say: which port is meant, and what requests are hashed by.
func (t *Translator) found(k *routeTraits, s *scope, v *mesh.VirtualService, port uint32) (list *chain) {
	walk(v, func(at int, d *networking.Destination, namespace string) {
		f := found{at: at}
		host := k.settings.HostIn(d.GetHost(), namespace)
		want := d.GetPort().GetNumber()
		if want == 0 {
			want = port
			// What has one port is meant with it, as the documentation has it, unless it has this one.
			if svc := s.ruled.service(host); svc != nil && len(svc.Ports) == 1 && svc.Ports[0].Number != port {
				f.port, want = svc.Ports[0].Number, svc.Ports[0].Number
			}
		}
		if rule := s.ruled.rule(host); rule != nil {
			p := policyOf(rule, d.GetSubset(), want)
			f.hash = p.hash()
		}
		if f.port != 0 || f.hash != nil {
			list = t.chains.add(list, f)
		}
	})
	return list
}

// walk goes through the destinations of a VirtualService's HTTP routes.
func walk(v *mesh.VirtualService, visit func(at int, d *networking.Destination, namespace string)) {
	at := 0
	for _, r := range v.HTTP {
		for _, d := range r.GetRoute() {
			visit(at, d.GetDestination(), r.Namespace)
			at++
		}
		if r.GetMirror() != nil {
			visit(at, r.GetMirror(), r.Namespace)
			at++
		}
		for _, m := range r.GetMirrors() {
			visit(at, m.GetDestination(), r.Namespace)
			at++
		}
	}
}

// plainRoute sends all requests to a service.
func (k *routeTraits) plainRoute(svc *mesh.Service, rule *mesh.DestinationRule, port uint32) *routev3.Route {
	name := outboundName(port, "", svc.Host)
	p := policyOf(rule, "", port)
	action := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}}
	if h := hashBy(p.hash()); h != nil {
		action.HashPolicy = []*routev3.RouteAction_HashPolicy{h}
	}
	setTimeout(action, nil)
	action.RetryPolicy = retryPolicy(k.settings.Config.GetDefaultHttpRetryPolicy(), false)
	return &routev3.Route{
		Name: "default", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Decorator: &routev3.Decorator{Operation: svc.Host + ":" + portText(port) + "/*"}, Action: &routev3.Route_Route{Route: action},
	}
}

// setTimeout bounds an exchange; nil: nothing does. It bounds gRPC's own timeouts as well.
func setTimeout(a *routev3.RouteAction, timeout *durationpb.Duration) {
	if timeout == nil {
		timeout = durationpb.New(0)
	}
	a.Timeout, a.MaxGrpcTimeout = timeout, timeout // as Istio's
}

// virtualKey is a VirtualService, for requests to a port that come through one of some gateways.
type virtualKey struct {
	virtual  *mesh.VirtualService
	port     uint32
	found    *chain
	gateways []string
	calls    bool // the proxy makes calls of requests
}

var meshOnly = []string{mesh.MeshGateway}

// virtualRoutes are the routes of a VirtualService.
func (k *routeTraits) virtualRoutes(p *Proxy, key *virtualKey) (routes []*routev3.Route) {
	by := map[int]found{}
	for link := key.found; link != nil; link = link.before {
		f := link.item.(found)
		by[f.at] = f
	}
	at := 0
	for _, r := range key.virtual.HTTP {
		w := &routeWriter{k: k, from: r, port: key.port, found: by, at: at, owner: key.virtual.From.Name, calls: key.calls}
		at += len(r.GetRoute()) + len(r.GetMirrors())
		if r.GetMirror() != nil {
			at++
		}
		if len(r.GetMatch()) == 0 {
			return append(routes, w.route(nil))
		}
		for _, match := range r.GetMatch() {
			if !matchConcerns(p, key.gateways, key.port, match.GetPort(), match.GetGateways(), key.virtual.From.Namespace, match.GetSourceLabels(), match.GetSourceNamespace()) {
				continue
			}
			route := w.route(match)
			if routes = append(routes, route); catches(route.Match) {
				return routes // nothing gets past it
			}
		}
	}
	return routes
}

// catches tells whether a condition is always true.
func catches(m *routev3.RouteMatch) bool {
	all := m.GetPrefix() == "/" || m.GetSafeRegex().GetRegex() == ".*"
	return all && len(m.Headers) == 0 && len(m.QueryParameters) == 0 && len(m.DynamicMetadata) == 0
}

// matchConcerns tells whether a match can be true of what comes through some gateways to a port, from a proxy's workload if they are the mesh. What
// the match says of these things is decided here, once for all requests.
func matchConcerns(p *Proxy, through []string, to uint32, port uint32, gateways []string, in string, labels map[string]string, namespace string) bool {
	if port != 0 && port != to {
		return false
	}
	if len(gateways) > 0 {
		return slices.ContainsFunc(gateways, func(g string) bool { return slices.Contains(through, mesh.GatewayIn(g, in)) })
	}
	return has(p.Labels, labels) && (namespace == "" || namespace == p.Namespace)
}

// isAuthority tells whether a header's name stands for the host that a request is for.
func isAuthority(name string) bool {
	return strings.EqualFold(name, ":authority") || strings.EqualFold(name, "host")
}
