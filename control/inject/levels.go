package inject

import (
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1beta1"

	"github.com/weftmesh/weft/control/source"
)

// World is what the mesh says that matters to one pod.
type World struct {
	Install *Install           // never nil
	Config  *meshv1.MeshConfig // as it was said; never nil
	// Revision is the control plane's; empty: default.
	Revision string
	// Discovery is where sidecars find the control plane, HOST:PORT, if nothing else is said.
	Discovery string
	// Namespace is the pod's, and RootNamespace the mesh's own.
	Namespace, RootNamespace string
	// Root and Space are the ProxyConfigs and ASMProxyConfigs of those two, of each kind the oldest first. What a later kind says counts before an earlier.
	Root, Space []*source.Object
}

// settings are what all levels say together, from the farthest to the nearest: the mesh, the namespace, the workload, and the pod itself.
func (b *build) settings(own *Settings) *Settings {
	w := b.world
	s := &Settings{}
	s.over(&Settings{Proxy: w.Config.GetDefaultConfig()})
	s.over(w.Install.sidecar)
	if w.Namespace != w.RootNamespace {
		b.level(s, w.Root, false, "all workloads")
	}
	b.level(s, w.Space, false, "all workloads of namespace "+w.Namespace)
	b.level(s, w.Space, true, "this workload")
	s.over(own)
	return s
}

// level puts what objects say over the settings: of those for all workloads, or of those that choose some, and this one. Of several of a kind the oldest counts.
func (b *build) level(s *Settings, objects []*source.Object, choosy bool, where string) {
	first := map[source.Kind]*source.Object{}
	for _, o := range objects {
		chosen := selectorOf(o)
		if (len(chosen) > 0) != choosy || !matches(chosen, b.pod.Metadata.Labels) {
			continue
		}
		if was := first[o.Kind]; was != nil {
			b.warn("%s and %s are both for %s: the older one counts, %s", was.Key, o.Key, where, was.Key)
			continue
		}
		first[o.Kind] = o
		s.over(said(o))
	}
}

// said is what an object says of sidecars.
func said(o *source.Object) *Settings {
	p, is := o.Spec.(*networking.ProxyConfig)
	if !is {
		return ofObject(o)
	}
	return &Settings{Proxy: &meshv1.ProxyConfig{Concurrency: p.Concurrency, ProxyMetadata: p.EnvironmentVariables, Image: p.Image}}
}

func selectorOf(o *source.Object) map[string]string {
	if p, is := o.Spec.(*networking.ProxyConfig); is {
		return p.GetSelector().GetMatchLabels()
	}
	more, _ := o.More.(*source.SidecarSettings)
	return more.Labels()
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
