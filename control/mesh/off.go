package mesh

import (
	"reflect"
	"slices"
)

// Off is what somebody has switched off by hand because it does harm. It says nothing of objects, which stay what they are. It never changes.
type Off struct {
	// Routing are the namespaces whose VirtualServices do not hold for sidecars; an empty one is every namespace. For gateways they hold: what a gateway lets in is said by nothing else.
	Routing []string
	// Plain are workloads that nobody speaks mTLS to, and Outside those whose sidecars pass on what comes and goes and know nothing of the mesh. Such a sidecar takes both, so that nobody is refused if a
	// workload is outside for a while before it is plain, and for a while after it.
	Plain, Outside []Choice
}

// Choice is the workloads of a namespace that have some labels, of which there is one at least.
type Choice struct {
	Namespace string
	Labels    map[string]string
}

// has tells whether a workload is one of them.
func (w Choice) has(namespace string, labels map[string]string) bool {
	return w.Namespace == namespace && matches(w.Labels, labels)
}

func among(list []Choice, namespace string, labels map[string]string) bool {
	return slices.ContainsFunc(list, func(w Choice) bool { return w.has(namespace, labels) })
}

// routing tells whether VirtualServices of a namespace do not hold for sidecars.
func (o *Off) routing(namespace string) bool {
	return slices.Contains(o.Routing, "") || slices.Contains(o.Routing, namespace)
}

// Without is the mesh of which that is off, and nothing else.
func (m *Mesh) Without(off *Off) *Mesh {
	if reflect.DeepEqual(m.off, off) {
		return m
	}
	next := *m
	next.off = off
	var news [kinds]touched
	next.derive(m, &news)
	return &next
}

// For is the mesh that the sidecar of a workload is told of: the mesh, or, if the workload is outside, one in which there is nothing, and from which everything may be asked.
func (m *Mesh) For(namespace string, labels map[string]string) *Mesh {
	if m.bare == nil || !among(m.off.Outside, namespace, labels) {
		return m
	}
	return m.bare
}

// deriveBare makes the mesh of who is outside: what the mesh's configuration says of proxies holds for his, too.
func (m *Mesh) deriveBare(before *Mesh) {
	switch {
	case len(m.off.Outside) == 0:
		m.bare = nil
	case m.bare == nil || m.Settings != before.Settings:
		settings := *m.Settings
		settings.RegistryOnly = false
		bare := New()
		bare.Settings = &settings
		bare.Rules = &Rules{root: settings.RootNamespace}
		bare.Peers = &Peers{settings: &settings, objects: bare.Peers.objects}
		m.bare = bare
	}
}
