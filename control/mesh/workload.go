package mesh

import (
	"maps"
	"reflect"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// Workload is something that runs: a Pod or a WorkloadEntry. It never changes.
type Workload struct {
	From      source.Key
	Addresses []string
	Labels    map[string]string
	Account   string // SPIFFE identity; empty: nobody has said
	Locality  Locality
	Network   string
	Weight    uint32 // 0: nobody has said
	Sidecar   bool   // it takes mTLS
	Ready     bool
	ports     map[string]uint32 // by name
}

// Locality is where something runs.
type Locality struct{ Region, Zone, SubZone string }

// Labels that say what a workload is.
const (
	labelTLSMode  = "security.istio.io/tlsMode"
	NetworkLabel  = "topology.istio.io/network"
	labelRegion   = "topology.kubernetes.io/region"
	labelZone     = "topology.kubernetes.io/zone"
	labelSubZone  = "topology.istio.io/subzone"
	labelLocality = "istio-locality"
	modeIstio     = "istio"
)

// Port is the number of a port by its name; 0: there is none, or no workload.
func (w *Workload) Port(name string) uint32 {
	if w == nil {
		return 0
	}
	return w.ports[name]
}

// Serves is the number at which a workload serves a port of a service that chooses it; 0: at none. Of a workload that is not known, nil, that is what the service says.
func (w *Workload) Serves(p *Port) uint32 {
	if w != nil && w.From.Kind != source.Pod && w.ports[p.Name] != 0 {
		return w.ports[p.Name]
	}
	switch {
	case p.Target.Number != 0:
		return uint32(p.Target.Number)
	case p.Target.Name != "":
		return w.Port(p.Target.Name)
	}
	return p.Number
}

// Workloads is the index of workloads.
type Workloads struct {
	byObject  table[source.Key, *Workload]
	byAddress map[place]*Workload // Pods that serve; of several of a namespace with an address the first by name
	machines  map[place]*Workload // WorkloadEntries, likewise
}

type place struct{ cluster, namespace, address string }

// At gives the workload of a namespace of a cluster with an address; nil: none has it.
func (x *Workloads) At(cluster, namespace, address string) *Workload {
	return x.byAddress[place{cluster, namespace, address}]
}

// Machine gives the WorkloadEntry of a namespace with an address; nil: there is none.
func (x *Workloads) Machine(namespace, address string) *Workload {
	return x.machines[place{namespace: namespace, address: address}]
}

// Get gives the workload of an object; nil: there is none.
func (x *Workloads) Get(k source.Key) *Workload { return x.byObject[k.Namespace][k] }

// deriveWorkloads gives the workloads that are others now, as they were and as they are.
func (m *Mesh) deriveWorkloads(before *Mesh, news *[kinds]touched, anew bool) (dirty []*Workload) {
	for k := range news[source.Namespace] {
		anew = anew || k.Name == m.Settings.RootNamespace
	}
	pods := keysOf(m, before, source.Pod, news[source.Pod], anew)
	entries := keysOf(m, before, source.WorkloadEntry, news[source.WorkloadEntry], anew)
	if nodes := news[source.Node]; nodes != nil && !anew {
		pods = maps.Clone(pods)
		if pods == nil {
			pods = touched{}
		}
		for cluster, objects := range m.Everywhere(source.Pod) {
			for _, space := range objects.spaces {
				for _, o := range space {
					if nodes[source.Key{Kind: source.Node, Name: o.Spec.(*source.PodSpec).NodeName, Cluster: cluster}] {
						pods[o.Key] = true
					}
				}
			}
		}
	}
	if len(pods)+len(entries) == 0 {
		return nil
	}
	e := before.Workloads.byObject.edit()
	for _, keys := range []touched{pods, entries} {
		for k := range keys {
			var w *Workload
			if o := m.Get(k); o != nil {
				w = m.workload(o)
			}
			was := e.now[k.Namespace][k]
			if reflect.DeepEqual(w, was) {
				continue
			}
			if was != nil {
				dirty = append(dirty, was)
			}
			if w == nil {
				e.drop(k.Namespace, k)
				continue
			}
			dirty = append(dirty, w)
			e.set(k.Namespace, k, w)
		}
	}
	if !e.changed() {
		return nil
	}
	x := &Workloads{byObject: e.now, byAddress: clone(before.Workloads.byAddress), machines: clone(before.Workloads.machines)}
	places := map[place]bool{}
	spaces := map[string]bool{}
	for _, w := range dirty {
		for _, a := range w.Addresses {
			p := place{w.From.Cluster, w.From.Namespace, a}
			places[p], spaces[p.namespace] = true, true
			delete(x.byAddress, p)
			delete(x.machines, p)
		}
	}
	x.readdress(places, spaces)
	m.Workloads = x
	return dirty
}

// readdress finds out who has some addresses of some namespaces.
func (x *Workloads) readdress(places map[place]bool, spaces map[string]bool) {
	for namespace := range spaces {
		for _, w := range x.byObject[namespace] {
			into := x.byAddress
			if w.From.Kind != source.Pod {
				into = x.machines
			}
			for _, a := range w.Addresses {
				p := place{w.From.Cluster, namespace, a}
				if was := into[p]; places[p] && (was == nil || w.From.Name < was.From.Name) {
					into[p] = w
				}
			}
		}
	}
}

// workload reads a Pod or a WorkloadEntry; nil: it does not run.
func (m *Mesh) workload(o *source.Object) *Workload {
	if o.Kind == source.WorkloadEntry {
		w := m.entryWorkload(o.Key, o.Spec.(*networking.WorkloadEntry), o.Labels)
		w.Ready = o.Well()
		return w
	}
	spec := o.Spec.(*source.PodSpec)
	w := &Workload{From: o.Key, Labels: o.Labels, Ready: spec.Status.Ready, Sidecar: o.Labels[labelTLSMode] == modeIstio && !among(m.off.Plain, o.Namespace, o.Labels)}
	if spec.HostNetwork || spec.Status.PodIP == "" || spec.Status.Phase == "Succeeded" || spec.Status.Phase == "Failed" {
		// Who has a host's addresses cannot be told by them, and who has ended has none.
		if !spec.HostNetwork || spec.Status.PodIP == "" {
			return nil
		}
	} else {
		w.Addresses = append(w.Addresses, spec.Status.PodIP)
		for _, ip := range spec.Status.PodIPs {
			if ip.IP != spec.Status.PodIP {
				w.Addresses = append(w.Addresses, ip.IP)
			}
		}
	}
	w.Account = m.Settings.Identity(o.Namespace, or(spec.ServiceAccountName, "default"))
	w.Locality = m.nodeLocality(o.Cluster, spec.NodeName)
	if said := o.Labels[labelLocality]; said != "" {
		w.Locality = localityOf(strings.ReplaceAll(said, ".", "/"))
	}
	w.Network = m.network(o.Cluster, o.Labels[NetworkLabel], spec.Status.PodIP)
	for _, c := range spec.Containers {
		for _, p := range c.Ports {
			if p.Name != "" {
				if w.ports == nil {
					w.ports = map[string]uint32{}
				}
				w.ports[p.Name] = uint32(p.ContainerPort)
			}
		}
	}
	return w
}

// entryWorkload reads a WorkloadEntry, or an endpoint that stands in a ServiceEntry.
func (m *Mesh) entryWorkload(k source.Key, spec *networking.WorkloadEntry, labels map[string]string) *Workload {
	w := &Workload{From: k, Labels: spec.GetLabels(), Ready: true, Weight: spec.GetWeight(), Locality: localityOf(spec.GetLocality()), ports: spec.GetPorts()}
	if spec.GetAddress() != "" {
		w.Addresses = []string{spec.GetAddress()}
	}
	if len(labels) > 0 { // those of the object count as its own
		w.Labels = clone(labels)
		maps.Copy(w.Labels, spec.GetLabels())
	}
	if spec.GetServiceAccount() != "" {
		w.Account = m.Settings.Identity(k.Namespace, spec.GetServiceAccount())
	}
	if mode, said := w.Labels[labelTLSMode]; said {
		w.Sidecar = mode == modeIstio
	} else {
		w.Sidecar = spec.GetServiceAccount() != ""
	}
	w.Sidecar = w.Sidecar && !among(m.off.Plain, k.Namespace, w.Labels)
	w.Network = m.network(k.Cluster, or(spec.GetNetwork(), w.Labels[NetworkLabel]), spec.GetAddress())
	return w
}

// network says where an address of a cluster is, of which something may be said.
func (m *Mesh) network(cluster, said, address string) string {
	if said != "" {
		return said
	}
	if o := m.objectsOf(source.Namespace, cluster).Get("", m.Settings.RootNamespace); o != nil && o.Labels[NetworkLabel] != "" {
		return o.Labels[NetworkLabel]
	}
	return m.Settings.networkOf(cluster, address)
}

func (m *Mesh) nodeLocality(cluster, node string) Locality {
	o := m.objectsOf(source.Node, cluster).Get("", node)
	if o == nil {
		return Locality{}
	}
	return Locality{o.Labels[labelRegion], o.Labels[labelZone], o.Labels[labelSubZone]}
}

// localityOf reads region/zone/subzone.
func localityOf(said string) (l Locality) {
	parts := append(strings.SplitN(said, "/", 3), "", "")
	return Locality{parts[0], parts[1], parts[2]}
}

// Identity is who runs under a service account.
func (s *Settings) Identity(namespace, account string) string {
	return "spiffe://" + s.TrustDomain + "/ns/" + namespace + "/sa/" + account
}

// matches tells whether labels have all of a selector. An empty one is everybody's.
func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}
