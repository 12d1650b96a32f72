package translate

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// maxReferences bounds what is said of a mesh.
const maxReferences = 1000

// References says, as warnings, what of a mesh's objects names something that is not there: each is right by itself and does not do what it says. A host
// or a subset counts as there if anybody in the mesh might see it, so that nothing is said that may be wrong.
func References(m *mesh.Mesh) []source.Problem {
	r := &references{mesh: m, hosts: map[string]bool{}, subsets: map[string]map[string]bool{}}
	for _, s := range m.Services.All() {
		r.host(s.Host)
	}
	for _, objects := range m.Everywhere(source.Service) {
		for _, o := range objects.All() {
			r.host(m.Settings.HostIn(o.Name, o.Namespace)) // an ExternalName is no service of the mesh's, and is there all the same
			if network := o.Labels[mesh.NetworkLabel]; network != "" && len(o.Spec.(*source.ServiceSpec).Reached()) == 0 {
				r.of(o).warn("metadata.labels["+mesh.NetworkLabel+"]", "it is the way into the network %q, and nobody comes in, since no address of it is known: want one of its load balancer, or externalIPs", network)
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
		r.of(o).virtualService(o.Spec.(*networking.VirtualService))
	}
	for _, o := range m.Objects(source.Sidecar).All() {
		r.of(o).sidecar(o.Spec.(*networking.Sidecar))
	}
	for _, o := range m.Objects(source.Telemetry).All() {
		r.of(o).telemetry(o.Spec.(*telemetryv1.Telemetry))
	}
	return r.problems
}

// references is a search for what is not there.
type references struct {
	mesh     *mesh.Mesh
	hosts    map[string]bool
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

func (r *references) virtualService(spec *networking.VirtualService) {
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
			r.destination(fmt.Sprintf("%s.route[%d].destination", path, j), one.GetDestination(), "requests are answered with 503")
		}
		r.destination(path+".mirror", h.GetMirror(), "nothing is mirrored")
		for j, one := range h.GetMirrors() {
			r.destination(fmt.Sprintf("%s.mirrors[%d].destination", path, j), one.GetDestination(), "nothing is mirrored")
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
	for i, l := range spec.GetAccessLogging() {
		for j, one := range l.GetProviders() {
			if name := one.GetName(); name != builtinLog && r.mesh.Settings.Provider(name) == nil {
				r.warn(fmt.Sprintf("spec.accessLogging[%d].providers[%d].name", i, j), "MeshConfig describes no provider %q: nothing is logged by it; want one of extensionProviders, or %s", name, builtinLog)
			}
		}
	}
}
