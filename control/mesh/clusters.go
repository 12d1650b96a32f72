package mesh

import (
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/source"
)

// remotes are the objects of clusters that were attached, by their names. A cluster that has no object is not there.
type remotes struct {
	objects map[string]*[kinds]*Objects
	names   []string // sorted
}

// Of is the mesh whose first cluster has this name. It is said before there is anything in it.
func (m *Mesh) Of(cluster string) *Mesh {
	next := *m
	next.Settings = settingsOf(m.objects[source.MeshConfig], m.objects[source.MeshNetworks], cluster)
	next.Peers = &Peers{settings: next.Settings, objects: m.objects[source.PeerAuthentication]}
	return &next
}

// Get gives an object by its key; nil: there is none.
func (m *Mesh) Get(k source.Key) *source.Object {
	return m.objectsOf(k.Kind, k.Cluster).Get(k.Namespace, k.Name)
}

// Clusters are the names of those that were attached and have something, in order.
func (m *Mesh) Clusters() []string { return m.remotes.names }

// ClusterOf is by which name a cluster's objects are known here that somebody calls by its own: an empty one, of the first cluster and of all that are not attached.
func (m *Mesh) ClusterOf(said string) string {
	if m.remotes.objects[said] != nil {
		return said
	}
	return ""
}

// ClusterName is the own name of the cluster of a key.
func (s *Settings) ClusterName(cluster string) string {
	if cluster == "" {
		return s.Cluster
	}
	return cluster
}

var noObjects = &Objects{}

// objectsOf are the objects of a kind of one cluster.
func (m *Mesh) objectsOf(kind source.Kind, cluster string) *Objects {
	if cluster == "" {
		return m.objects[kind]
	}
	if all := m.remotes.objects[cluster]; all != nil {
		return all[kind]
	}
	return noObjects
}

// Everywhere are the objects of a kind of each cluster, by its name: those of the first one, then in the order of names.
func (m *Mesh) Everywhere(kind source.Kind) iter.Seq2[string, *Objects] {
	return func(yield func(string, *Objects) bool) {
		if !yield("", m.objects[kind]) {
			return
		}
		for _, name := range m.remotes.names {
			if !yield(name, m.remotes.objects[name][kind]) {
				return
			}
		}
	}
}

// ownership is what of a mesh in the making is its own already, and so may be written.
type ownership struct {
	of      *Mesh
	remotes bool                // the map of them
	kinds   map[source.Key]bool // the objects of a kind and a cluster, and, of no kind, all those of a cluster
}

// everyKind stands in the place of a kind for all of them.
const everyKind = source.Kind(kinds)

// objects are those of a kind and a cluster, to be written.
func (w *ownership) objects(kind source.Kind, cluster string) *Objects {
	all := &w.of.objects
	if cluster != "" {
		r := &w.of.remotes
		if !w.remotes {
			w.remotes, r.objects = true, clone(r.objects)
		}
		if of := (source.Key{Kind: everyKind, Cluster: cluster}); !w.kinds[of] {
			w.kinds[of] = true
			own := &[kinds]*Objects{}
			if was := r.objects[cluster]; was != nil {
				*own = *was
			} else {
				for i := range own {
					own[i] = noObjects
				}
			}
			r.objects[cluster] = own
		}
		all = r.objects[cluster]
	}
	if of := (source.Key{Kind: kind, Cluster: cluster}); !w.kinds[of] {
		w.kinds[of] = true
		all[kind] = &Objects{spaces: clone(all[kind].spaces)}
	}
	return all[kind]
}

// done leaves out clusters that have nothing any more.
func (w *ownership) done() {
	if !w.remotes {
		return
	}
	r := &w.of.remotes
	maps.DeleteFunc(r.objects, func(_ string, all *[kinds]*Objects) bool {
		return !slices.ContainsFunc(all[:], func(o *Objects) bool { return len(o.spaces) > 0 })
	})
	r.names = slices.Sorted(maps.Keys(r.objects))
}

// definitions are a Service as clusters define it: the first cluster, then those of these names.
func (x *Services) definitions(namespace, name string, clusters []string) (all []*Service) {
	k := source.Key{Kind: source.Service, Namespace: namespace, Name: name}
	all = append(all, x.byObject[namespace][k]...)
	for _, k.Cluster = range clusters {
		all = append(all, x.byObject[namespace][k]...)
	}
	return all
}

// serves tells whether another definition of the same service has the same endpoints at the same places.
func (s *Service) serves(other *Service) bool {
	return !s.Local && !other.Local && s.unready == other.unready && reflect.DeepEqual(s.Ports, other.Ports)
}

// hostRules say of hosts whether something holds for them: the longest that has a host in it counts.
type hostRules map[string]bool

// localHosts are the hosts of Services that are of one cluster only, as Istio has them: what is in kube-system, and the API server, unless the mesh says otherwise.
func localHosts(c *meshv1.MeshConfig, domain string) hostRules {
	rules := hostRules{"*.kube-system.svc." + domain: true, "kubernetes.default.svc." + domain: true}
	for _, one := range c.GetServiceSettings() {
		for _, host := range one.GetHosts() {
			rules[strings.ToLower(host)] = one.GetSettings().GetClusterLocal()
		}
	}
	return rules
}

// clusterLocal tells whether a Service is of its own cluster only.
func (s *Settings) clusterLocal(host string) bool {
	if is, said := s.local[host]; said {
		return is
	}
	for rest := host; rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		if is, said := s.local["*."+rest]; said {
			return is
		}
	}
	return s.local["*"]
}
