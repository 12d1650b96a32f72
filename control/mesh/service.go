package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// Service is what clients know by a host, as one cluster defines it: Services of the same name of several clusters have the same host and the same endpoints, and a proxy is
// told the one of its own cluster, or else of the first that has it. It never changes.
type Service struct {
	Host      string
	Namespace string
	Name      string     // of the object
	From      source.Key // the object
	Created   time.Time
	// Addresses are the virtual addresses, or prefixes of them, in the order of the author; none: clients connect to endpoints.
	Addresses []string
	// Allocated is an address of the mesh's own for a host that has none; empty: it has, or cannot have one.
	Allocated  string
	Ports      []*Port
	Resolution Resolution
	External   bool // what serves it is not in the mesh
	Headless   bool
	Visible    Visibility
	Accounts   []string // SPIFFE identities that its author says serve it, beside those of its endpoints
	// Selector says which workloads serve it, of its namespace; nil: nobody is chosen by labels.
	Selector map[string]string
	// unready: those that are not ready serve it, too.
	unready bool
	// Local: nobody of another cluster sees it, and it has the endpoints of its own only.
	Local bool
}

// Cluster is that which defines it; empty: the first, or none.
func (s *Service) Cluster() string { return s.From.Cluster }

// Port is a port of a service.
type Port struct {
	Name     string
	Number   uint32
	Protocol Protocol
	Target   source.TargetPort // zero: as Number
}

// Resolution is how a service's endpoints are found.
type Resolution uint8

// The resolutions.
const (
	Listed      Resolution = iota // the control plane knows them
	Passthrough                   // whoever the client meant
	DNS                           // all addresses of a name
	DNSRound                      // the address of a name, one at a time
)

// Port gives a port by its number; nil: there is none.
func (s *Service) Port(number uint32) *Port {
	for _, p := range s.Ports {
		if p.Number == number {
			return p
		}
	}
	return nil
}

// Kubernetes tells whether it is a Service of Kubernetes.
func (s *Service) Kubernetes() bool { return s.From.Kind == source.Service }

// Services is the index of services.
type Services struct {
	byObject table[source.Key, []*Service]
}

// exportAnnotation says of a Service what exportTo says of Istio's objects.
const exportAnnotation = "networking.istio.io/exportTo"

// deriveServices gives the services that are others now, with those whose place they take, and those that are gone.
func (m *Mesh) deriveServices(before *Mesh, news *[kinds]touched, anew bool) (dirty map[*Service]*Service, gone []*Service) {
	dirty = map[*Service]*Service{}
	if !anew && news[source.Service] == nil && news[source.ServiceEntry] == nil {
		return dirty, nil
	}
	e := before.Services.byObject.edit()
	put := func(k source.Key, services []*Service) {
		was := e.now[k.Namespace][k]
		same := len(was) == len(services)
		for i, s := range services {
			j := slices.IndexFunc(was, func(old *Service) bool { return old.Host == s.Host })
			switch {
			case j < 0:
				dirty[s], same = nil, false
			case reflect.DeepEqual(was[j], s):
				services[i], same = was[j], same && i == j
			default:
				dirty[s], same = was[j], false
			}
		}
		for _, old := range was {
			if !slices.Contains(services, old) {
				gone = append(gone, old)
			}
		}
		switch {
		case same:
		case len(services) == 0:
			e.drop(k.Namespace, k)
		default:
			e.set(k.Namespace, k, services)
		}
	}
	for k := range keysOf(m, before, source.Service, news[source.Service], anew) {
		var services []*Service
		if o := m.Get(k); o != nil {
			if s := m.Settings.kubernetes(o); s != nil {
				services = []*Service{s}
			}
		}
		put(k, services)
	}
	if entries := news[source.ServiceEntry]; entries != nil || anew {
		now, then := m.objects[source.ServiceEntry], before.objects[source.ServiceEntry]
		all := anew || !sameWanting(now, then, entries)
		var allocated map[string]string
		if all {
			allocated = m.allocate()
		}
		for k := range keysOf(m, before, source.ServiceEntry, entries, all) {
			var services []*Service
			if o := now.Get(k.Namespace, k.Name); o != nil {
				was, given := e.now[k.Namespace][k], allocated
				if !all {
					given = allocationOf(was)
				} else if !anew && !entries[k] && sameAllocation(was, allocated) {
					continue
				}
				services = m.Settings.entry(o, given)
			}
			put(k, services)
		}
	}
	if e.changed() {
		m.Services = &Services{byObject: e.now}
	}
	return dirty, gone
}

// kubernetes reads a Service; nil: it is a name for another host.
func (s *Settings) kubernetes(o *source.Object) *Service {
	spec := o.Spec.(*source.ServiceSpec)
	if spec.Type == "ExternalName" {
		return nil
	}
	var exported []string
	if said := o.Annotations[exportAnnotation]; said != "" {
		for one := range strings.SplitSeq(said, ",") {
			exported = append(exported, strings.TrimSpace(one))
		}
	}
	svc := &Service{
		Host: o.Name + "." + o.Namespace + ".svc." + s.Domain, Namespace: o.Namespace, Name: o.Name, From: o.Key, Created: o.Created,
		Visible:  visibility(exported, s.Config.GetDefaultServiceExportTo(), o.Namespace),
		Selector: spec.Selector, unready: spec.PublishNotReadyAddresses,
	}
	for _, a := range append([]string{spec.ClusterIP}, spec.ClusterIPs...) {
		if _, err := netip.ParseAddr(a); err == nil && !slices.Contains(svc.Addresses, a) {
			svc.Addresses = append(svc.Addresses, a)
		}
	}
	svc.Local = s.clusterLocal(svc.Host)
	if len(svc.Addresses) == 0 {
		svc.Headless, svc.Resolution = true, Passthrough
	}
	for _, p := range spec.Ports {
		svc.Ports = append(svc.Ports, &Port{Name: p.Name, Number: uint32(p.Port), Protocol: protocolOf(p.Protocol, p.AppProtocol, p.Name, uint32(p.Port)), Target: p.TargetPort})
	}
	return svc
}

// entry reads a ServiceEntry, which is a service for each of its hosts.
func (s *Settings) entry(o *source.Object, allocated map[string]string) (services []*Service) {
	spec := o.Spec.(*networking.ServiceEntry)
	for i, host := range spec.GetHosts() {
		if slices.Contains(spec.GetHosts()[:i], host) {
			continue
		}
		svc := &Service{
			Host: strings.ToLower(host), Namespace: o.Namespace, Name: o.Name, From: o.Key, Created: o.Created,
			External: spec.GetLocation() == networking.ServiceEntry_MESH_EXTERNAL,
			Visible:  visibility(spec.GetExportTo(), s.Config.GetDefaultServiceExportTo(), o.Namespace),
			Accounts: spec.GetSubjectAltNames(), Selector: spec.GetWorkloadSelector().GetLabels(),
			Addresses: spec.GetAddresses(),
		}
		switch spec.GetResolution() {
		case networking.ServiceEntry_STATIC:
			svc.Resolution = Listed
		case networking.ServiceEntry_DNS:
			svc.Resolution = DNS
		case networking.ServiceEntry_DNS_ROUND_ROBIN:
			svc.Resolution = DNSRound
		default:
			svc.Resolution = Passthrough
		}
		if len(svc.Addresses) == 0 {
			svc.Allocated = allocated[o.Namespace+"/"+svc.Host]
		}
		for _, p := range spec.GetPorts() {
			port := &Port{Name: p.GetName(), Number: p.GetNumber(), Protocol: ProtocolNamed(p.GetProtocol())}
			if p.GetTargetPort() != 0 {
				port.Target.Number = int32(p.GetTargetPort())
			}
			svc.Ports = append(svc.Ports, port)
		}
		services = append(services, svc)
	}
	return services
}

// All gives all services, by namespace, then by host.
func (x *Services) All() []*Service {
	var all []*Service
	for _, space := range x.byObject {
		for _, services := range space {
			all = append(all, services...)
		}
	}
	slices.SortFunc(all, func(a, b *Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Host, b.Host), cmp.Compare(a.From.Kind, b.From.Kind), cmp.Compare(a.From.Name, b.From.Name), cmp.Compare(a.From.Cluster, b.From.Cluster))
	})
	return all
}

// Len is how many there are, of which those of one name that several clusters define are one.
func (x *Services) Len() (n int) {
	for _, space := range x.byObject {
		named := map[string]bool{} // that only attached clusters define
		for k, services := range space {
			if k.Cluster == "" {
				n += len(services)
				continue
			}
			if k.Cluster = ""; space[k] == nil {
				named[k.Name] = true
			}
		}
		n += len(named)
	}
	return n
}

// In gives the services of a namespace that are for workloads of a cluster, by host: all but those that other clusters define.
func (x *Services) In(namespace, cluster string) []*Service {
	all := (&Services{byObject: table[source.Key, []*Service]{namespace: x.byObject[namespace]}}).All()
	return slices.DeleteFunc(all, func(s *Service) bool { return s.Kubernetes() && s.Cluster() != cluster })
}

// Seen gives the services that a namespace sees from a cluster, by host, each host once: of several the one of its own namespace, then Kubernetes', of which the cluster's own, then the
// oldest, or the first by the name of the cluster.
func (x *Services) Seen(namespace, cluster string) []*Service {
	var seen []*Service
	for _, space := range x.byObject {
		for services := range maps.Values(space) {
			for _, s := range services {
				if s.Visible.In(namespace) && (!s.Local || s.Cluster() == cluster) {
					seen = append(seen, s)
				}
			}
		}
	}
	rank := func(s *Service) int {
		switch {
		case s.Namespace == namespace:
			return 0
		case s.Kubernetes():
			return 1
		}
		return 2
	}
	far := func(s *Service) int {
		if s.Cluster() == cluster {
			return 0
		}
		return 1
	}
	slices.SortFunc(seen, func(a, b *Service) int {
		if c := cmp.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		if a.Kubernetes() && b.Kubernetes() { // their namespace is the same, since it is in the host
			return cmp.Or(cmp.Compare(far(a), far(b)), cmp.Compare(a.Cluster(), b.Cluster()))
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.From.Kind, b.From.Kind), cmp.Compare(a.From.Name, b.From.Name))
	})
	return slices.CompactFunc(seen, func(a, b *Service) bool { return a.Host == b.Host })
}
