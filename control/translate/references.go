package translate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	extensions "istio.io/api/extensions/v1alpha1"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// maxReferences bounds what is said of a mesh.
const maxReferences = 1000

// References says, as warnings, what of a mesh's objects names something that is not there, or wants what another one has: each is right by itself and does not do what it says. A host
// or a subset counts as there if anybody in the mesh might see it, so that nothing is said that may be wrong.
func References(m *mesh.Mesh) []source.Problem {
	r := &references{mesh: m, hosts: map[string]bool{}, called: map[string]bool{}, ports: map[string][][]*mesh.Port{}, subsets: map[string]map[string]bool{}}
	for _, s := range m.Services.All() {
		r.host(s.Host)
		r.ports[s.Host] = append(r.ports[s.Host], s.Ports)
		if slices.ContainsFunc(s.Ports, func(p *mesh.Port) bool { return p.Protocol == mesh.Dubbo || p.Protocol == mesh.Unknown }) {
			r.called[s.Host] = true
		}
	}
	for _, objects := range m.Everywhere(source.Service) {
		for _, o := range objects.All() {
			r.host(m.Settings.HostIn(o.Name, o.Namespace)) // an ExternalName is no service of the mesh's, and is there all the same
			if network := o.Labels[mesh.NetworkLabel]; network != "" && len(o.Spec.(*source.ServiceSpec).Reached()) == 0 {
				r.of(o).warn("metadata.labels["+mesh.NetworkLabel+"]", "it is the way into the network %q, and nobody comes in, since no address of it is known: want one of its load balancer, or externalIPs", network)
			}
		}
	}
	for _, o := range m.Objects(source.MeshNetworks).All() {
		barred := m.Barred()
		for _, host := range slices.Sorted(maps.Keys(barred)) {
			for _, network := range slices.Sorted(slices.Values(barred[host])) {
				r.of(o).warn("networks["+network+"].gateways", "nobody comes in by the Service %s: want one that is there, with an address of its load balancer or externalIPs, in a cluster that a fromRegistry of this network names", host)
			}
		}
	}
	rules := m.Objects(source.DestinationRule).All()
	for _, o := range rules {
		host := m.Settings.HostIn(o.Spec.(*networking.DestinationRule).GetHost(), o.Namespace)
		if r.subsets[host] == nil {
			r.subsets[host] = map[string]bool{}
		}
		for _, s := range o.Spec.(*networking.DestinationRule).GetSubsets() {
			r.subsets[host][s.GetName()] = true
		}
	}
	for _, o := range rules {
		r.of(o).rule(o.Spec.(*networking.DestinationRule))
	}
	r.routed = map[string]bool{}
	for _, o := range m.Objects(source.VirtualService).All() {
		for _, h := range o.Spec.(*networking.VirtualService).GetHosts() {
			r.routed[m.Settings.HostIn(h, o.Namespace)] = true
		}
		more, _ := o.More.(*source.VirtualServiceMore)
		if more == nil {
			more = &source.VirtualServiceMore{}
		}
		r.of(o).virtualService(o.Spec.(*networking.VirtualService), more)
	}
	for _, o := range m.Objects(source.Ingress).All() {
		if m.CarriesOut(o) {
			r.of(o).ingress(o.Spec.(*source.IngressSpec))
		}
	}
	for _, o := range m.Objects(source.Sidecar).All() {
		r.of(o).sidecar(o.Spec.(*networking.Sidecar))
	}
	for _, o := range m.Objects(source.Telemetry).All() {
		r.of(o).telemetry(o.Spec.(*telemetryv1.Telemetry))
	}
	for _, o := range m.Objects(source.MeshConfig).All() {
		r.of(o).defaults(o.Spec.(*meshv1.MeshConfig).GetDefaultProviders())
	}
	access := m.Objects(source.AuthorizationPolicy).All()
	for _, o := range access {
		r.of(o).authorization(o.Spec.(*security.AuthorizationPolicy), access)
	}
	for _, o := range m.Objects(source.WasmPlugin).All() {
		u, err := moduleURL(o.Spec.(*extensions.WasmPlugin).GetUrl())
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && !r.isThere(strings.ToLower(u.Hostname())) {
			r.of(o).warn("spec.url", "no service has the host %s: only Istio's agents fetch the module; want a ServiceEntry for it", u.Hostname())
		}
	}
	return slices.Concat(r.problems, OutboundConflicts(m), InboundConflicts(m))
}

// references is a search for what is not there.
type references struct {
	mesh     *mesh.Mesh
	hosts    map[string]bool
	called   map[string]bool            // those that may be called by Dubbo
	ports    map[string][][]*mesh.Port  // of the services of each
	wild     []string                   // of those, the ones that begin with *
	subsets  map[string]map[string]bool // by the host that a rule is for
	routed   map[string]bool            // hosts that VirtualServices are for
	object   *source.Object             // that is looked at
	problems []source.Problem
}

func (r *references) of(o *source.Object) *references {
	r.object = o
	return r
}

func (r *references) host(h string) {
	if r.hosts[h] = true; strings.HasPrefix(h, "*") {
		r.wild = append(r.wild, h)
	}
}

func (r *references) warn(path, format string, args ...any) {
	if o := r.object; len(r.problems) < maxReferences {
		r.problems = append(r.problems, source.Problem{Key: o.Key, From: o.From, Path: path, Text: fmt.Sprintf(format, args...), Warning: true})
	}
}

// isThere tells whether some service has a host, or one of those that a wildcard is for.
func (r *references) isThere(host string) bool {
	if r.hosts[host] || slices.ContainsFunc(r.wild, func(w string) bool { return covers(w, host) }) {
		return true
	}
	if strings.HasPrefix(host, "*") {
		for h := range r.hosts {
			if covers(host, h) {
				return true
			}
		}
	}
	return false
}

// isRouted tells whether some VirtualService is for a host, or for one of those that a wildcard is for.
func (r *references) isRouted(host string) bool {
	for h := range r.routed {
		if covers(h, host) || covers(host, h) {
			return true
		}
	}
	return false
}

// isCalled tells whether some service of a host, as it is said here, has a port that may carry calls of Dubbo.
func (r *references) isCalled(said string) bool {
	host := r.mesh.Settings.HostIn(said, r.object.Namespace)
	for h := range r.called {
		if covers(host, h) || covers(h, host) {
			return true
		}
	}
	return false
}

// hasSubset tells whether some rule for a host has a subset.
func (r *references) hasSubset(host, subset string) bool {
	if r.subsets[host][subset] {
		return true
	}
	for wide, have := range r.subsets {
		if strings.HasPrefix(wide, "*") && have[subset] && covers(wide, host) {
			return true
		}
	}
	return false
}

func (r *references) rule(spec *networking.DestinationRule) {
	if host := r.mesh.Settings.HostIn(spec.GetHost(), r.object.Namespace); !r.isThere(host) {
		r.warn("spec.host", "no service has the host %s: the rule is for nothing", host)
	}
}

func (r *references) ingress(spec *source.IngressSpec) {
	for i, rule := range spec.Rules {
		for j, p := range rule.HTTP.Paths {
			if b := p.Backend.Service; b != nil && r.mesh.EntryPort(r.object, b) == 0 {
				r.warn(fmt.Sprintf("spec.rules[%d].http.paths[%d].backend.service.port.name", i, j), "no Service %s/%s has a port %q: requests are answered with 404", r.object.Namespace, b.Name, b.Port.Name)
			}
		}
	}
}

func (r *references) virtualService(spec *networking.VirtualService, more *source.VirtualServiceMore) {
	dubbo := more.Dubbo
	for i, name := range spec.GetGateways() {
		namespace, short, is := strings.Cut(name, "/")
		if !is {
			namespace, short = r.object.Namespace, name
		}
		if name != mesh.MeshGateway && r.mesh.Gateways.Get(namespace, short) == nil {
			r.warn(fmt.Sprintf("spec.gateways[%d]", i), "there is no Gateway %s/%s: the routes are not there", namespace, short)
		}
	}
	for i, h := range spec.GetHttp() {
		path := fmt.Sprintf("spec.http[%d]", i)
		for j, one := range h.GetRoute() {
			at := fmt.Sprintf("%s.route[%d].destination", path, j)
			r.destination(at, one.GetDestination(), "requests are answered with 503")
			r.speaks(at, one.GetDestination(), more.Calls(i) != nil)
		}
		mirror := func(at string, d *networking.Destination) {
			r.destination(at, d, "nothing is mirrored")
			r.speaks(at, d, more.Calls(i) != nil)
		}
		mirror(path+".mirror", h.GetMirror())
		for j, one := range h.GetMirrors() {
			mirror(fmt.Sprintf("%s.mirrors[%d].destination", path, j), one.GetDestination())
		}
		if d := h.GetDelegate(); d != nil {
			namespace := d.GetNamespace()
			if namespace == "" {
				namespace = r.object.Namespace
			}
			if r.mesh.Objects(source.VirtualService).Get(namespace, d.GetName()) == nil {
				r.warn(path+".delegate", "there is no VirtualService %s/%s: the route is not there", namespace, d.GetName())
			}
		}
	}
	for i, h := range spec.GetTcp() {
		for j, one := range h.GetRoute() {
			r.destination(fmt.Sprintf("spec.tcp[%d].route[%d].destination", i, j), one.GetDestination(), "connections are ended")
		}
	}
	if len(dubbo) > 0 && (len(spec.GetGateways()) == 0 || slices.Contains(spec.GetGateways(), mesh.MeshGateway)) && !slices.ContainsFunc(spec.GetHosts(), r.isCalled) {
		r.warn("spec.dubbo", "no service of its hosts has a port for calls: the routes are for nothing; want one named dubbo, or with the protocol DUBBO")
	}
	for i, s := range dubbo {
		for j, h := range s.Routes {
			for k := range h.Route {
				for path, d := range dubboDestinations(&h.Route[k]) {
					if d.Host == "" && len(spec.GetHosts()) == 1 { // it is the one that is called
						d.Host = spec.GetHosts()[0]
					}
					r.destination(fmt.Sprintf("spec.dubbo[%d].routes[%d].route[%d].%s", i, j, k, path), d, "calls are answered with an error")
				}
			}
		}
	}
	for i, h := range spec.GetTls() {
		for j, one := range h.GetRoute() {
			r.destination(fmt.Sprintf("spec.tls[%d].route[%d].destination", i, j), one.GetDestination(), "connections are ended")
		}
	}
}

func (r *references) destination(path string, d *networking.Destination, what string) {
	if d.GetHost() == "" {
		return
	}
	switch host := r.mesh.Settings.HostIn(d.GetHost(), r.object.Namespace); {
	case !r.isThere(host):
		r.warn(path+".host", "no service has the host %s: %s", host, what)
	case d.GetSubset() != "" && !r.hasSubset(host, d.GetSubset()):
		r.warn(path+".subset", "no DestinationRule for %s has a subset %q: %s", host, d.GetSubset(), what)
	}
}

// speaks says that a destination of requests is a port of Dubbo, or that one of calls is none. Where a port is not said it may be any; where one of them would be right nothing is said.
func (r *references) speaks(path string, d *networking.Destination, calls bool) {
	if d.GetHost() == "" {
		return
	}
	host := r.mesh.Settings.HostIn(d.GetHost(), r.object.Namespace)
	services := slices.Clone(r.ports[host])
	for _, w := range r.wild {
		if w != host && covers(w, host) {
			services = append(services, r.ports[w]...)
		}
	}
	want, dubbo, others := d.GetPort().GetNumber(), false, false
	for _, ports := range services {
		for _, p := range ports {
			if p.Number == want || want == 0 {
				dubbo, others = dubbo || p.Protocol == mesh.Dubbo, others || p.Protocol != mesh.Dubbo
			}
		}
	}
	switch {
	case calls && others && !dubbo:
		r.warn(path, "no port of %s that this may mean carries calls of Dubbo: requests are answered with 500; want the number of one whose name is dubbo, or whose protocol is DUBBO", host)
	case !calls && dubbo && !others:
		r.warn(path, "the port of %s carries calls of Dubbo: requests of HTTP are not understood there; want dubbo beside route, which makes calls of them", host)
	}
}

func (r *references) sidecar(spec *networking.Sidecar) {
	for i, e := range spec.GetEgress() {
		for j, said := range e.GetHosts() {
			if _, host, is := strings.Cut(said, "/"); is && host != "*" && !r.isThere(strings.ToLower(host)) && !r.isRouted(strings.ToLower(host)) {
				r.warn(fmt.Sprintf("spec.egress[%d].hosts[%d]", i, j), "no service and no VirtualService has the host %s: it lets nothing be seen", strings.ToLower(host))
			}
		}
	}
}

func (r *references) telemetry(spec *telemetryv1.Telemetry) {
	each := func(path string, i int, list []*telemetryv1.ProviderRef, one func(path, name string)) {
		for j, p := range list {
			one(fmt.Sprintf("%s[%d].providers[%d].name", path, i, j), p.GetName())
		}
	}
	for i, l := range spec.GetAccessLogging() {
		each("spec.accessLogging", i, l.GetProviders(), r.logs)
	}
	for i, l := range spec.GetMetrics() {
		each("spec.metrics", i, l.GetProviders(), r.metrics)
	}
	for i, l := range spec.GetTracing() {
		each("spec.tracing", i, l.GetProviders(), r.traces)
	}
}

// defaults are the providers of who names none.
func (r *references) defaults(spec *meshv1.MeshConfig_DefaultProviders) {
	each := func(path string, names []string, one func(path, name string)) {
		for i, name := range names {
			one(fmt.Sprintf("spec.defaultProviders.%s[%d]", path, i), name)
		}
	}
	each("accessLogging", spec.GetAccessLogging(), r.logs)
	each("metrics", spec.GetMetrics(), r.metrics)
	each("tracing", spec.GetTracing(), r.traces)
}

func (r *references) logs(path, name string) {
	if providerNamed(r.mesh.Settings, name) == nil {
		r.warn(path, "MeshConfig describes no provider %q: nothing is logged by it; want one of extensionProviders, or %s", name, builtinLog)
	}
}

func (r *references) metrics(path, name string) {
	if providerNamed(r.mesh.Settings, name).GetPrometheus() == nil {
		r.warn(path, "%q is no provider of metrics that is run: nothing is counted by it; want one of extensionProviders that is prometheus, or %s", name, builtinMetrics)
	}
}

func (r *references) traces(path, name string) {
	p := r.mesh.Settings.Provider(name)
	if p == nil {
		r.warn(path, "MeshConfig describes no provider %q: nothing is reported; want one of extensionProviders", name)
		return
	}
	_, _, err := tracerOf(p, &Proxy{}, func(host string, _ uint32) string {
		if r.isThere(strings.ToLower(host)) {
			return "any"
		}
		return ""
	})
	if err != nil {
		r.warn(path, "%v: nothing is reported", err)
	}
}

// authorization says why nobody can be asked for a CUSTOM policy.
func (r *references) authorization(spec *security.AuthorizationPolicy, all []*source.Object) {
	if spec.GetAction() != security.AuthorizationPolicy_CUSTOM {
		return
	}
	const path, what = "spec.provider.name", "what the policy is for is denied"
	name := spec.GetProvider().GetName()
	p := r.mesh.Settings.Provider(name)
	switch host, port := authorizerAt(p); {
	case p == nil:
		r.warn(path, "MeshConfig describes no provider %q: %s; want one of extensionProviders", name, what)
	case port == 0:
		r.warn(path, "the provider %q cannot be asked: %s; want one of envoyExtAuthzHttp or envoyExtAuthzGrpc", name, what)
	case !r.isThere(strings.ToLower(host)):
		r.warn(path, "no service has the host %s of the provider %q: %s", host, name, what)
	case p.GetEnvoyExtAuthzHttp() != nil:
		for i, rule := range spec.GetRules() {
			if !slices.ContainsFunc(rule.GetTo(), func(to *security.Rule_To) bool { return len(to.GetOperation().GetPorts()) > 0 }) {
				r.warn(fmt.Sprintf("spec.rules[%d]", i), "the provider %q can be asked about requests only: connections that are none of HTTP are denied; want ports in to.operation, if there are some", name)
			}
		}
	}
	for _, o := range all {
		other := o.Spec.(*security.AuthorizationPolicy)
		if other.GetAction() == security.AuthorizationPolicy_CUSTOM && providerOf(o) != name && r.bothFor(o, other.GetSelector().GetMatchLabels(), spec.GetSelector().GetMatchLabels()) {
			r.warn(path, "the policy %s/%s asks another provider for workloads of both: what they are for is denied; want one provider for a workload", o.Namespace, o.Name)
		}
	}
}

// bothFor tells whether what another policy is for has all or a part of what the one is for that is looked at, whatever workloads there are.
func (r *references) bothFor(other *source.Object, labels, own map[string]string) bool {
	root := r.mesh.Settings.RootNamespace
	return (other.Namespace == r.object.Namespace || other.Namespace == root || r.object.Namespace == root) && (has(labels, own) || has(own, labels))
}
