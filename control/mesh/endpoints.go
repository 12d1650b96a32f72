package mesh

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// Endpoint is an address where a port of a service is served. It never changes.
type Endpoint struct {
	Address  string // an IP, a name to be resolved, or unix:// and a path
	Port     uint32
	Labels   map[string]string
	Account  string
	Locality Locality
	Network  string
	Weight   uint32 // 0: as the others
	Sidecar  bool   // it takes mTLS
	Workload source.Key
	Hostname string // by which it is known within a service that has no address; empty: it is not
}

// Endpoints are those of a service. They never change.
type Endpoints struct {
	Ports [][]*Endpoint // by the place of the port in the service, each in the order of addresses
	// Accounts are the identities of all of them, sorted.
	Accounts []string
}

// EndpointIndex is the endpoints of all services.
type EndpointIndex struct {
	byService table[*Service, *Endpoints]
	// byAddress are services that choose nobody by labels, by the addresses of their endpoints.
	byAddress table[string, []*Service]
	// Steady stays the same while all that changes are endpoints of services whose endpoints are Listed, and not who they are.
	Steady *Steady
}

// Steady stands for what of endpoints is seldom another: the identities of all, and the endpoints themselves where proxies find them out or are
// found by them.
type Steady struct{ _ byte }

// Of gives the endpoints of a service; never nil.
func (x *EndpointIndex) Of(s *Service) *Endpoints {
	if e := x.byService[s.Namespace][s]; e != nil {
		return e
	}
	return noEndpoints
}

var noEndpoints = &Endpoints{}

// At gives the services of a namespace that choose nobody by labels and have an endpoint of that address.
func (x *EndpointIndex) At(namespace, address string) []*Service {
	return x.byAddress[namespace][address]
}

// addresses are those of endpoints, each once.
func (e *Endpoints) addresses() map[string]bool {
	all := map[string]bool{}
	if e != nil {
		for _, port := range e.Ports {
			for _, one := range port {
				all[one.Address] = true
			}
		}
	}
	return all
}

// labelService says which Service a slice is of.
const labelService = "kubernetes.io/service-name"

// deriveEndpoints finds those of services that are others, or whose slices or workloads are.
func (m *Mesh) deriveEndpoints(before *Mesh, news *[kinds]touched, services map[*Service]*Service, gone []*Service, workloads []*Workload, anew bool) {
	if anew || news[source.Node] != nil || news[source.Namespace] != nil { // where addresses are is said by them, whoever has them
		for _, s := range m.Services.All() {
			if _, ok := services[s]; !ok {
				services[s] = s
			}
		}
	}
	named := map[string]map[string]bool{} // Services to look at, by namespace
	name := func(namespace, service string) {
		if named[namespace] == nil {
			named[namespace] = map[string]bool{}
		}
		named[namespace][service] = true
	}
	e, at := before.Endpoints.byService.edit(), before.Endpoints.byAddress.edit()
	lookUp := func(s *Service, was, is *Endpoints) { // has it be found by other addresses than before
		if len(s.Selector) > 0 {
			return
		}
		now := is.addresses()
		for a := range was.addresses() {
			if rest := at.now[s.Namespace][a]; !now[a] {
				if rest = slices.DeleteFunc(slices.Clone(rest), func(other *Service) bool { return other == s }); len(rest) > 0 {
					at.set(s.Namespace, a, rest)
				} else {
					at.drop(s.Namespace, a)
				}
			}
		}
		for a := range now {
			if list := at.now[s.Namespace][a]; !slices.Contains(list, s) {
				at.set(s.Namespace, a, append(slices.Clone(list), s))
			}
		}
	}
	var look []*Service
	for s := range services {
		look = append(look, s)
		if s.Kubernetes() {
			name(s.Namespace, s.Name)
		}
	}
	for k := range news[source.EndpointSlice] {
		for _, objects := range []*Objects{before.objects[source.EndpointSlice], m.objects[source.EndpointSlice]} {
			if o := objects.Get(k.Namespace, k.Name); o != nil {
				name(k.Namespace, o.Labels[labelService])
			}
		}
	}
	moved := map[string]map[string]bool{} // addresses and names of Pods that are others, by namespace
	entries := map[string][]*Workload{}
	for _, w := range workloads {
		ns := w.From.Namespace
		entries[ns] = append(entries[ns], w)
		if w.From.Kind == source.Pod {
			if moved[ns] == nil {
				moved[ns] = map[string]bool{}
			}
			moved[ns][w.From.Name] = true
			for _, a := range w.Addresses {
				moved[ns][a] = true
			}
		}
	}
	bySpace := map[string]map[string][]*source.Object{} // of namespaces, by Service
	of := func(namespace string) map[string][]*source.Object {
		if bySpace[namespace] == nil {
			bySpace[namespace] = map[string][]*source.Object{}
			for _, o := range m.objects[source.EndpointSlice].spaces[namespace] {
				service := o.Labels[labelService]
				bySpace[namespace][service] = append(bySpace[namespace][service], o)
			}
		}
		return bySpace[namespace]
	}
	for ns, who := range moved {
		for service, all := range of(ns) {
			if !named[ns][service] && slices.ContainsFunc(all, func(o *source.Object) bool { return refersTo(o, who) }) {
				name(ns, service)
			}
		}
	}
	seen := map[*Service]bool{}
	for s := range services {
		seen[s] = true
	}
	again := func(s *Service) {
		if !seen[s] {
			seen[s] = true
			look = append(look, s)
		}
	}
	for ns, names := range named {
		for service := range names {
			for _, s := range m.Services.byObject[ns][source.Key{Kind: source.Service, Namespace: ns, Name: service}] {
				again(s)
			}
		}
	}
	for k := range news[source.ServiceEntry] { // which has endpoints of its own
		for _, s := range m.Services.byObject[k.Namespace][k] {
			again(s)
		}
	}
	for ns, changed := range entries {
		for _, all := range m.Services.byObject[ns] {
			for _, s := range all {
				if len(s.Selector) > 0 && slices.ContainsFunc(changed, func(w *Workload) bool { return selects(s, w) }) {
					again(s)
				}
			}
		}
	}
	machines := map[string][]*Workload{} // WorkloadEntries of namespaces, which are few beside Pods
	if len(m.objects[source.WorkloadEntry].spaces) > 0 {
		for ns, space := range m.Workloads.byObject {
			for _, w := range space {
				if w.From.Kind == source.WorkloadEntry {
					machines[ns] = append(machines[ns], w)
				}
			}
		}
	}
	steady := before.Endpoints.Steady
	for _, s := range look {
		found := m.endpoints(s, of, machines[s.Namespace])
		old, other := services[s]
		if !other {
			old = s
		}
		was := before.Endpoints.byService[s.Namespace][old]
		if !reflect.DeepEqual(found, was) && (s.Resolution != Listed || found == nil || was == nil || !slices.Equal(found.Accounts, was.Accounts)) {
			steady = &Steady{}
		}
		switch {
		case found == nil:
			e.drop(s.Namespace, s)
		case !reflect.DeepEqual(found, was):
			e.set(s.Namespace, s, found)
		case old != s:
			e.set(s.Namespace, s, was)
		}
	}
	for _, s := range gone {
		e.drop(s.Namespace, s)
		lookUp(s, before.Endpoints.byService[s.Namespace][s], nil)
	}
	for _, s := range look {
		lookUp(s, before.Endpoints.byService[s.Namespace][s], e.now[s.Namespace][s])
	}
	if e.changed() {
		m.Endpoints = &EndpointIndex{byService: e.now, byAddress: at.now, Steady: steady}
	}
}

// refersTo tells whether a slice has one of some addresses, or one of some Pods.
func refersTo(o *source.Object, who map[string]bool) bool {
	for i := range o.Spec.(*source.EndpointSliceSpec).Endpoints {
		ep := &o.Spec.(*source.EndpointSliceSpec).Endpoints[i]
		if ep.TargetRef != nil && who[ep.TargetRef.Name] || slices.ContainsFunc(ep.Addresses, func(a string) bool { return who[a] }) {
			return true
		}
	}
	return false
}

// selects tells whether a workload serves a service by its labels: of Services only WorkloadEntries do, since slices say the rest.
func selects(s *Service, w *Workload) bool {
	return (w.From.Kind == source.WorkloadEntry || !s.Kubernetes()) && w.From.Namespace == s.Namespace && len(s.Selector) > 0 && matches(s.Selector, w.Labels)
}

// endpoints finds those of a service; nil: it has none.
func (m *Mesh) endpoints(s *Service, of func(namespace string) map[string][]*source.Object, machines []*Workload) *Endpoints {
	found := &Endpoints{Ports: make([][]*Endpoint, len(s.Ports))}
	any := false
	add := func(port int, e *Endpoint) {
		any = true
		found.Ports[port] = append(found.Ports[port], e)
		if e.Account != "" {
			found.Accounts = append(found.Accounts, e.Account)
		}
	}
	if s.Kubernetes() {
		m.fromSlices(s, of(s.Namespace)[s.Name], add)
		for _, w := range machines {
			if w.Ready && selects(s, w) {
				m.fromWorkload(s, w, add)
			}
		}
	} else if len(s.Selector) > 0 {
		for _, w := range m.Workloads.byObject[s.Namespace] {
			if w.Ready && selects(s, w) {
				m.fromWorkload(s, w, add)
			}
		}
	}
	var inline []*networking.WorkloadEntry // that its author wrote into it
	if s.From.Kind == source.ServiceEntry {
		inline = m.objects[source.ServiceEntry].Get(s.From.Namespace, s.From.Name).Spec.(*networking.ServiceEntry).GetEndpoints()
	}
	for _, spec := range inline {
		m.fromWorkload(s, m.entryWorkload(s.From, spec, nil), add)
	}
	if s.From.Kind == source.ServiceEntry && len(inline) == 0 && s.Selector == nil && (s.Resolution == DNS || s.Resolution == DNSRound) {
		for i, p := range s.Ports { // the host itself is the name to resolve
			e := &Endpoint{Address: s.Host, Port: p.Number, Network: m.network("", s.Host)}
			if p.Target.Number != 0 {
				e.Port = uint32(p.Target.Number)
			}
			add(i, e)
		}
	}
	if !any {
		return nil
	}
	for i, list := range found.Ports {
		slices.SortStableFunc(list, func(a, b *Endpoint) int {
			return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Workload.Kind, b.Workload.Kind), cmp.Compare(a.Workload.Name, b.Workload.Name))
		})
		found.Ports[i] = slices.CompactFunc(list, func(a, b *Endpoint) bool { return a.Address == b.Address && a.Port == b.Port })
	}
	slices.Sort(found.Accounts)
	found.Accounts = slices.Compact(found.Accounts)
	return found
}

// fromWorkload adds what a workload serves of a service.
func (m *Mesh) fromWorkload(s *Service, w *Workload, add func(int, *Endpoint)) {
	if len(w.Addresses) == 0 {
		return
	}
	for i, p := range s.Ports {
		port := w.Serves(p)
		if port == 0 {
			continue
		}
		if strings.HasPrefix(w.Addresses[0], "unix://") {
			port = 0
		}
		add(i, w.endpoint(w.Addresses[0], port))
	}
}

func (w *Workload) endpoint(address string, port uint32) *Endpoint {
	return &Endpoint{Address: address, Port: port, Labels: w.Labels, Account: w.Account, Locality: w.Locality, Network: w.Network, Weight: w.Weight, Sidecar: w.Sidecar, Workload: w.From}
}

// fromSlices adds what slices say of a Service.
func (m *Mesh) fromSlices(s *Service, all []*source.Object, add func(int, *Endpoint)) {
	slices.SortFunc(all, func(a, b *source.Object) int { return cmp.Compare(a.Name, b.Name) }) // of two that say an address the first counts
	for _, o := range all {
		spec := o.Spec.(*source.EndpointSliceSpec)
		if spec.AddressType == "FQDN" {
			continue // as Istio, which does not take names of endpoints
		}
		for i := range spec.Endpoints {
			ep := &spec.Endpoints[i]
			if ready := ep.Conditions.Ready; ready != nil && !*ready && !s.unready {
				continue
			}
			if len(ep.Addresses) == 0 {
				continue
			}
			w := m.sliceWorkload(o.Namespace, ep)
			for _, sp := range spec.Ports {
				for j, p := range s.Ports {
					if p.Name == sp.Name && (p.Protocol == UDP) == (sp.Protocol == "UDP") {
						e := w.endpoint(ep.Addresses[0], uint32(sp.Port))
						if ep.Hostname != nil {
							e.Hostname = *ep.Hostname
						}
						add(j, e)
					}
				}
			}
		}
	}
}

// sliceWorkload is who an endpoint of a slice is, as far as can be told.
func (m *Mesh) sliceWorkload(namespace string, ep *source.SliceEndpoint) *Workload {
	if ref := ep.TargetRef; ref != nil && (ref.Kind == "Pod" || ref.Kind == "") && or(ref.Namespace, namespace) == namespace {
		if w := m.Workloads.Get(source.Key{Kind: source.Pod, Namespace: namespace, Name: ref.Name}); w != nil {
			return w
		}
	}
	if w := m.Workloads.At(namespace, ep.Addresses[0]); w != nil {
		return w
	}
	w := &Workload{Network: m.network("", ep.Addresses[0])}
	if ep.NodeName != nil {
		w.Locality = m.nodeLocality(*ep.NodeName)
	}
	if ep.Zone != nil && w.Locality.Zone == "" {
		w.Locality.Zone = *ep.Zone
	}
	return w
}
