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
	Address  string // an IP, a name to be resolved, or unix:// and a path; empty: it is in another network, and reached by its gateways only
	Port     uint32
	Labels   map[string]string
	Account  string
	Locality Locality
	Network  string
	Weight   uint32 // 0: as the others
	Sidecar  bool   // it takes mTLS
	Gateway  bool   // it is the way into another network, and what is meant is behind it
	Workload source.Key
	Cluster  string // the own name of that which it is in, or, of what is in none, of the first; empty: it is a name to be resolved
	Hostname string // by which it is known within a service that has no address; empty: it is not
}

// labelCluster says of a workload in which cluster it is.
const labelCluster = "topology.istio.io/cluster"

// Label gives one of a workload's labels, of which those about where it is are as things are.
func (e *Endpoint) Label(name string) (value string, is bool) {
	switch name {
	case labelRegion:
		value = e.Locality.Region
	case labelZone:
		value = e.Locality.Zone
	case labelSubZone:
		value = e.Locality.SubZone
	case NetworkLabel:
		value = e.Network
	case labelCluster:
		value = e.Cluster
	}
	if value != "" {
		return value, true
	}
	value, is = e.Labels[name]
	return value, is
}

// Has tells whether it has all labels of a selector.
func (e *Endpoint) Has(selector map[string]string) bool {
	for name, want := range selector {
		if have, is := e.Label(name); !is || have != want {
			return false
		}
	}
	return true
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
		for _, o := range []*source.Object{before.Get(k), m.Get(k)} {
			if o != nil {
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
			for _, objects := range m.Everywhere(source.EndpointSlice) {
				for _, o := range objects.spaces[namespace] {
					service := o.Labels[labelService]
					bySpace[namespace][service] = append(bySpace[namespace][service], o)
				}
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
	for _, s := range gone { // who else defines it may choose others now
		if s.Kubernetes() {
			name(s.Namespace, s.Name)
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
				if len(s.Selector) == 0 || !slices.ContainsFunc(changed, func(w *Workload) bool { return selects(s, w) }) {
					continue
				}
				if s.Kubernetes() {
					name(s.Namespace, s.Name)
				} else {
					again(s)
				}
			}
		}
	}
	for ns, names := range named {
		for service := range names {
			for _, s := range m.Services.definitions(ns, service, m.remotes.names) {
				again(s)
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
	alike := map[source.Key][]*Service{} // definitions of the same service that were looked at, which may share what they have
	for _, s := range look {
		found := (*Endpoints)(nil)
		all := source.Key{Kind: s.From.Kind, Namespace: s.Namespace, Name: s.Name}
		if i := slices.IndexFunc(alike[all], s.serves); s.Kubernetes() && i >= 0 {
			found = e.now[s.Namespace][alike[all][i]]
		} else {
			found = m.endpoints(s, of, machines[s.Namespace])
		}
		alike[all] = append(alike[all], s)
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
		all := of(s.Namespace)[s.Name]
		if s.Local {
			all = slices.DeleteFunc(slices.Clone(all), func(o *source.Object) bool { return o.Cluster != s.Cluster() })
		}
		m.fromSlices(s, all, add)
		// Machines are of no cluster: the first definition says which of them serve.
		first := s
		if !s.Local {
			first = m.Services.definitions(s.Namespace, s.Name, m.remotes.names)[0]
		}
		for _, w := range machines {
			if w.Ready && selects(first, w) {
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
			e := &Endpoint{Address: s.Host, Port: p.Number, Network: m.network("", "", s.Host)}
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
			return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Workload.Kind, b.Workload.Kind), cmp.Compare(a.Workload.Name, b.Workload.Name), cmp.Compare(a.Cluster, b.Cluster))
		})
		// An address of one network is one address, and of another network somebody else's.
		found.Ports[i] = slices.CompactFunc(list, func(a, b *Endpoint) bool { return a.Address == b.Address && a.Port == b.Port && a.Network == b.Network })
	}
	slices.Sort(found.Accounts)
	found.Accounts = slices.Compact(found.Accounts)
	return found
}

// fromWorkload adds what a workload serves of a service.
func (m *Mesh) fromWorkload(s *Service, w *Workload, add func(int, *Endpoint)) {
	address := ""
	if len(w.Addresses) > 0 {
		address = w.Addresses[0]
	} else if w.Network == "" || w.From.Kind == source.Pod { // a Pod of a host's network is found by the slices of its services
		return
	}
	for i, p := range s.Ports {
		port := w.Serves(p)
		if port == 0 {
			continue
		}
		if strings.HasPrefix(address, "unix://") {
			port = 0
		}
		e := w.endpoint(address, port)
		e.Cluster = m.Settings.ClusterName(w.From.Cluster) // of what is no Pod it is the first, as Istio has it
		add(i, e)
	}
}

func (w *Workload) endpoint(address string, port uint32) *Endpoint {
	return &Endpoint{Address: address, Port: port, Labels: w.Labels, Account: w.Account, Locality: w.Locality, Network: w.Network, Weight: w.Weight, Sidecar: w.Sidecar, Workload: w.From}
}

// fromSlices adds what slices say of a Service.
func (m *Mesh) fromSlices(s *Service, all []*source.Object, add func(int, *Endpoint)) {
	slices.SortFunc(all, func(a, b *source.Object) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	}) // of two that say an address the first counts
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
			w := m.sliceWorkload(o.Cluster, o.Namespace, ep)
			for _, sp := range spec.Ports {
				for j, p := range s.Ports {
					if p.Name == sp.Name && (p.Protocol == UDP) == (sp.Protocol == "UDP") {
						e := w.endpoint(ep.Addresses[0], uint32(sp.Port))
						e.Cluster = m.Settings.ClusterName(o.Cluster)
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
func (m *Mesh) sliceWorkload(cluster, namespace string, ep *source.SliceEndpoint) *Workload {
	if ref := ep.TargetRef; ref != nil && (ref.Kind == "Pod" || ref.Kind == "") && or(ref.Namespace, namespace) == namespace {
		if w := m.Workloads.Get(source.Key{Kind: source.Pod, Namespace: namespace, Name: ref.Name, Cluster: cluster}); w != nil {
			return w
		}
	}
	if w := m.Workloads.At(cluster, namespace, ep.Addresses[0]); w != nil {
		return w
	}
	w := &Workload{Network: m.network(cluster, "", ep.Addresses[0])}
	if ep.NodeName != nil {
		w.Locality = m.nodeLocality(cluster, *ep.NodeName)
	}
	if ep.Zone != nil && w.Locality.Zone == "" {
		w.Locality.Zone = *ep.Zone
	}
	return w
}
