package translate

import (
	"cmp"
	"regexp"
	"slices"
	"weak"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// EnvoyFilters are carried out on what has been made without them: a part that none of them is for stays the part that it is, and so does each
// resource.

// patch is one of an EnvoyFilter.
type patch struct {
	*networking.EnvoyFilter_EnvoyConfigObjectPatch
	value proto.Message // of the kind of thing that is patched; nil: there is none
}

func (p *patch) operation() networking.EnvoyFilter_Patch_Operation { return p.Patch.GetOperation() }

// merges says whether it changes what is there, and how lists fare.
func (p *patch) merges() (is, replacing bool) {
	op := p.operation()
	return op == networking.EnvoyFilter_Patch_MERGE || op == networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST, op == networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST
}

// patches are all that are for a proxy, by what they are for, in the order in which they are carried out.
type patches struct {
	by map[networking.EnvoyFilter_ApplyTo][]*patch
	of *chain // the objects
}

// any tells whether there are some for one of these.
func (s *patches) any(kinds ...networking.EnvoyFilter_ApplyTo) bool {
	return slices.ContainsFunc(kinds, func(k networking.EnvoyFilter_ApplyTo) bool { return len(s.by[k]) > 0 })
}

type patchesKey struct {
	objects *chain
	version string // of the proxy, if one asks for it
}

// patchesFor finds the EnvoyFilters for a proxy: of the root namespace and then of its own, those of higher priority first, then the oldest. nil:
// there are none.
func (t *Translator) patchesFor(m *mesh.Mesh, p *Proxy) *patches {
	var list []*source.Object
	of := func(namespace string) {
		here := slices.DeleteFunc(m.Objects(source.EnvoyFilter).In(namespace), func(o *source.Object) bool {
			spec := o.Spec.(*networking.EnvoyFilter)
			// What is aimed at a gateway or a waypoint of Kubernetes' Gateway API concerns nobody here.
			return len(spec.GetTargetRefs()) > 0 || !has(p.Labels, spec.GetWorkloadSelector().GetLabels())
		})
		slices.SortStableFunc(here, func(a, b *source.Object) int {
			return cmp.Compare(a.Spec.(*networking.EnvoyFilter).GetPriority(), b.Spec.(*networking.EnvoyFilter).GetPriority())
		})
		list = append(list, here...)
	}
	of(m.Settings.RootNamespace)
	if p.Namespace != m.Settings.RootNamespace {
		of(p.Namespace)
	}
	if len(list) == 0 {
		return nil
	}
	k := patchesKey{}
	for _, o := range list {
		k.objects = t.chains.add(k.objects, o)
		for _, one := range o.Spec.(*networking.EnvoyFilter).GetConfigPatches() {
			if one.GetMatch().GetProxy().GetProxyVersion() != "" {
				k.version = p.Version
			}
		}
	}
	return t.patches.get(k, func() *patches {
		s := &patches{by: map[networking.EnvoyFilter_ApplyTo][]*patch{}, of: k.objects}
		for _, o := range list {
			for _, one := range o.Spec.(*networking.EnvoyFilter).GetConfigPatches() {
				if one.GetMatch().GetContext() == networking.EnvoyFilter_WAYPOINT || !ofVersion(one.GetMatch().GetProxy().GetProxyVersion(), p.Version) {
					continue
				}
				made := &patch{EnvoyFilter_EnvoyConfigObjectPatch: one}
				if v := one.GetPatch().GetValue(); v != nil {
					var err error
					if made.value, _, err = source.PatchValue(one.GetApplyTo(), v); err != nil {
						continue // the object would not have been taken
					}
				}
				s.by[one.GetApplyTo()] = append(s.by[one.GetApplyTo()], made)
			}
		}
		return s
	})
}

// ofVersion tells whether the version of a proxy's Istio is one that is asked for.
func ofVersion(pattern, version string) bool {
	if pattern == "" {
		return true
	}
	r, err := regexp.Compile(pattern)
	return err == nil && version != "" && r.MatchString(version)
}

type patchedKey struct {
	part ref[part]
	set  ref[patches]
	role Role
}

// patched is a part after patches, with what it was made of.
type patched struct {
	part *part
	of   *part
	set  *patches
	made []*patchedResource
}

type patchedResourceKey struct {
	kind     server.Kind
	resource ref[server.Resource]
	set      ref[patches]
	role     Role
}

// patchedResource is a resource after patches; nil: it is gone.
type patchedResource struct{ resource *server.Resource }

// concerned are the kinds of patches that a kind of resources is changed by.
var concerned = map[server.Kind][]networking.EnvoyFilter_ApplyTo{
	server.Clusters: {networking.EnvoyFilter_CLUSTER},
	server.Listeners: {networking.EnvoyFilter_LISTENER, networking.EnvoyFilter_LISTENER_FILTER, networking.EnvoyFilter_FILTER_CHAIN, networking.EnvoyFilter_NETWORK_FILTER, networking.EnvoyFilter_HTTP_FILTER,
		networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE}, // of routes that stand in listeners
	server.Routes:       {networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE},
	server.VirtualHosts: {networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE},
}

// patch carries patches out on the parts of a view. What is added is a part of its own, since parts of one kind are told together.
func (t *Translator) patch(p *Proxy, set *patches, parts []*part) (list []*patched) {
	for _, one := range parts {
		if !set.any(concerned[one.Kind]...) {
			list = append(list, &patched{part: one, of: one})
			continue
		}
		w := &patcher{role: p.Role, set: set}
		list = append(list, t.patcheds.get(patchedKey{weak.Make(one), weak.Make(set), p.Role}, func() *patched {
			made := &patched{of: one, set: set}
			all := make([]*server.Resource, 0, len(one.Resources))
			for _, r := range one.Resources {
				m := t.patchedResources.get(patchedResourceKey{one.Kind, weak.Make(r), weak.Make(set), p.Role}, func() *patchedResource {
					return &patchedResource{t.patchOne(w, one.Kind, r)}
				})
				if made.made = append(made.made, m); m.resource != nil {
					all = append(all, m.resource)
				}
			}
			made.part = t.part(one.Kind, all)
			return made
		}))
	}
	names := func(kind server.Kind) map[string]bool { // that there are
		there := map[string]bool{}
		for _, one := range list {
			if one.part.Kind == kind {
				for _, r := range one.part.Resources {
					there[r.Name] = true
				}
			}
		}
		return there
	}
	w := &patcher{role: p.Role, set: set}
	for _, kind := range []server.Kind{server.Clusters, server.Listeners, server.Extensions} {
		there := names(kind)
		var all []*server.Resource
		for _, m := range w.added(kind) {
			if name := m.(interface{ GetName() string }).GetName(); !there[name] { // who has a name first keeps it
				there[name] = true
				all = append(all, t.message(kind, name, m))
			}
		}
		if len(all) > 0 {
			list = append(list, &patched{part: t.part(kind, all)})
		}
	}
	if there := names(server.VirtualHosts); len(there) > 0 && set.any(networking.EnvoyFilter_VIRTUAL_HOST) {
		var all []*server.Resource
		for _, one := range parts {
			if one.Kind == server.Routes {
				all = append(all, t.addedHosts(w, one, there)...)
			}
		}
		if len(all) > 0 {
			list = append(list, &patched{part: t.part(server.VirtualHosts, all)})
		}
	}
	return list
}
