package mesh

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weftmesh/weft/control/source"
)

// kinds is how many kinds of objects there are.
const kinds = int(source.IngressClass) + 1

// Mesh is a snapshot of all there is. It never changes, and what it says is the same however its objects came to be in it. What did not change
// between two of them is the same pointer in both, the indexes included, so that a pointer stands for all that can be found out through it.
type Mesh struct {
	Settings  *Settings
	Services  *Services
	Endpoints *EndpointIndex
	Workloads *Workloads
	Routes    *Routes
	Rules     *Rules
	Gateways  *Objects
	Sidecars  *Objects
	Peers     *Peers
	// Networks are the ways from one network into another; nil: there is none.
	Networks *Networks
	// Access and Tokens are AuthorizationPolicies and RequestAuthentications.
	Access, Tokens *Objects

	objects [kinds]*Objects // of the first cluster, and of whatever else is no cluster that was attached
	remotes remotes
	entries map[source.Key]*source.Object // Gateways and VirtualServices that Ingresses are carried out as, which are among objects
	off     *Off
	bare    *Mesh // that those outside are told of; nil: nobody is
}

// New is an empty mesh, with Istio's defaults.
func New() *Mesh {
	m := &Mesh{off: &Off{}}
	for i := range m.objects {
		m.objects[i] = &Objects{}
	}
	m.Settings = settingsOf(m.objects[source.MeshConfig], m.objects[source.MeshNetworks], "")
	m.Services, m.Endpoints, m.Workloads = &Services{}, &EndpointIndex{Steady: &Steady{}}, &Workloads{}
	m.Routes, m.Rules = &Routes{}, &Rules{root: m.Settings.RootNamespace}
	m.Peers = &Peers{settings: m.Settings, objects: m.objects[source.PeerAuthentication]}
	m.name()
	return m
}

// Objects is all objects of a kind.
type Objects struct {
	spaces map[string]map[string]*source.Object // by namespace and name
}

// Get gives an object by its name; nil: there is none.
func (o *Objects) Get(namespace, name string) *source.Object { return o.spaces[namespace][name] }

// In gives the objects of a namespace as Istio sorts them: the oldest first, then by name.
func (o *Objects) In(namespace string) []*source.Object {
	return slices.SortedFunc(maps.Values(o.spaces[namespace]), older)
}

// All gives all objects, sorted as In does, then by namespace.
func (o *Objects) All() []*source.Object {
	var all []*source.Object
	for _, space := range o.spaces {
		all = slices.AppendSeq(all, maps.Values(space))
	}
	slices.SortFunc(all, older)
	return all
}

// Len is how many there are.
func (o *Objects) Len() (n int) {
	for _, space := range o.spaces {
		n += len(space)
	}
	return n
}

// older orders objects by who came first. Names decide where nobody has said when, or at the same time.
func older(a, b *source.Object) int {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// touched are the objects of a kind that are others than before.
type touched map[source.Key]bool

// With is the mesh after some changes, of which a later one of an object counts. It takes the objects over.
func (m *Mesh) With(changes []source.Change) *Mesh {
	next := *m
	var news [kinds]touched
	owned := map[source.Key]bool{} // namespaces whose maps are copies already
	own := &ownership{of: &next, kinds: map[source.Key]bool{}}
	take := func(changes []source.Change) {
		for _, c := range changes {
			was := next.Get(c.Key)
			if was == c.Object {
				continue
			}
			if news[c.Kind] == nil {
				news[c.Kind] = touched{}
			}
			news[c.Kind][c.Key] = true
			spaces := own.objects(c.Kind, c.Cluster).spaces
			space := source.Key{Kind: c.Kind, Namespace: c.Namespace, Cluster: c.Cluster}
			if !owned[space] {
				owned[space] = true
				spaces[c.Namespace] = clone(spaces[c.Namespace])
			}
			if c.Object != nil {
				spaces[c.Namespace][c.Name] = c.Object
			} else if delete(spaces[c.Namespace], c.Name); len(spaces[c.Namespace]) == 0 {
				delete(spaces, c.Namespace)
				delete(owned, space)
			}
		}
	}
	take(changes)
	own.done()
	next.settle(m, &news)
	take(next.enter(m, &news)) // which is of the first cluster
	next.derive(m, &news)
	return &next
}

// clone copies a map to be written to, even if there is none.
func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// settle finds the settings.
func (m *Mesh) settle(before *Mesh, news *[kinds]touched) {
	if news[source.MeshConfig] != nil || news[source.MeshNetworks] != nil {
		if s := settingsOf(m.objects[source.MeshConfig], m.objects[source.MeshNetworks], m.Settings.Cluster); !s.equal(before.Settings) {
			m.Settings = s
		}
	}
}

// derive finds what the objects say, from what they said before and which of them are others.
func (m *Mesh) derive(before *Mesh, news *[kinds]touched) {
	anew := m.Settings != before.Settings || m.off != before.off // what objects say may depend on these in many ways, and they seldom change
	services, gone := m.deriveServices(before, news, anew)
	workloads := m.deriveWorkloads(before, news, anew)
	m.deriveEndpoints(before, news, services, gone, workloads, anew)
	m.deriveRoutes(before, news[source.VirtualService], anew)
	m.deriveRules(before, news[source.DestinationRule], anew)
	if anew || news[source.PeerAuthentication] != nil {
		m.Peers = &Peers{settings: m.Settings, objects: m.objects[source.PeerAuthentication]}
	}
	m.deriveNetworks(before, news, anew)
	m.deriveBare(before)
	m.name()
}

func (m *Mesh) name() {
	m.Gateways, m.Sidecars = m.objects[source.Gateway], m.objects[source.Sidecar]
	m.Access, m.Tokens = m.objects[source.AuthorizationPolicy], m.objects[source.RequestAuthentication]
}

// Objects gives all objects of a kind, but for those of clusters that were attached.
func (m *Mesh) Objects(k source.Kind) *Objects { return m.objects[k] }

// keysOf are the keys of objects to look at: those that are others, or, anew, all that are or were.
func keysOf(now, before *Mesh, kind source.Kind, news touched, anew bool) touched {
	if !anew {
		return news
	}
	all := maps.Clone(news)
	if all == nil {
		all = touched{}
	}
	for _, m := range []*Mesh{now, before} {
		for _, objects := range m.Everywhere(kind) {
			for _, space := range objects.spaces {
				for _, o := range space {
					all[o.Key] = true
				}
			}
		}
	}
	return all
}

// table is values by namespace and key, of which another version shares the namespaces that did not change.
type table[K comparable, V any] map[string]map[K]V

// edit is a table in the making.
type edit[K comparable, V any] struct {
	before, now table[K, V]
	owned       map[string]bool
}

func (t table[K, V]) edit() *edit[K, V] { return &edit[K, V]{before: t, now: t} }

func (e *edit[K, V]) own(namespace string) map[K]V {
	if e.owned == nil {
		e.owned, e.now = map[string]bool{}, clone(e.before)
	}
	if !e.owned[namespace] {
		e.owned[namespace] = true
		e.now[namespace] = clone(e.now[namespace])
	}
	return e.now[namespace]
}

func (e *edit[K, V]) set(namespace string, k K, v V) { e.own(namespace)[k] = v }

func (e *edit[K, V]) drop(namespace string, k K) {
	if _, ok := e.now[namespace][k]; !ok {
		return
	}
	if space := e.own(namespace); len(space) > 1 {
		delete(space, k)
		return
	}
	delete(e.now, namespace)
	delete(e.owned, namespace)
}

// changed tells whether the table is another.
func (e *edit[K, V]) changed() bool { return e.owned != nil }
