package translate

import (
	"runtime"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// What a resource was made of is found out when somebody asks, which is when one was refused: an object went into it if without that object it would be
// another one. Nothing is kept for it while nobody does.

const (
	// maxViews is how many views are made to find it out.
	maxViews = 100
	// maxSuspects is how many objects are tried.
	maxSuspects = 256
)

// MadeOf says which objects a resource of a proxy's was made of, of those that are told, each with what would be there in its place; nil: nothing. Of a
// resource that the mesh does not have like that nothing is known.
func (t *Translator) MadeOf(m *mesh.Mesh, p *Proxy, kind server.Kind, is *server.Resource, instead []source.Change) []source.Key {
	v := t.View(m, p)
	defer runtime.KeepAlive(v) // so that what it shares with the others is made once
	if now := v.Find(kind, is.Name); now == nil || now.Version != is.Version {
		return nil
	}
	views := 0
	var among func(some []source.Change) []source.Key
	among = func(some []source.Change) (keys []source.Key) {
		if len(some) == 0 || views == maxViews {
			return nil
		}
		views++
		if other := t.View(m.With(some), p).Find(kind, is.Name); other != nil && other.Version == is.Version {
			return nil
		}
		if len(some) > 1 {
			if keys = append(among(some[:len(some)/2]), among(some[len(some)/2:])...); len(keys) > 0 || views == maxViews {
				return keys
			}
		}
		for _, one := range some { // the one, or several that say the same
			keys = append(keys, one.Key)
		}
		return keys
	}
	return among(instead[:min(len(instead), maxSuspects)])
}

// Suspects are the objects that may have gone into a resource of a proxy's, by its name and what was said when it was refused: those first that are
// written by hand most freely.
func Suspects(m *mesh.Mesh, p *Proxy, kind server.Kind, name, because string) (list []*source.Object) {
	root := m.Settings.RootNamespace
	near := func(kinds ...source.Kind) {
		for _, k := range kinds {
			list = append(list, m.Objects(k).In(p.Namespace)...)
			if root != p.Namespace {
				list = append(list, m.Objects(k).In(root)...)
			}
		}
	}
	host, table := hostOf(kind, name)
	of := func(k source.Kind, hosts func(*source.Object) []string) {
		for _, o := range m.Objects(k).All() {
			if slices.ContainsFunc(hosts(o), func(said string) bool {
				said = m.Settings.HostIn(said, o.Namespace)
				return said == host || strings.HasPrefix(said, "*") && host != "" && covers(said, host) || host == "" && table && len(said) > 1 && strings.Contains(because, said)
			}) {
				list = append(list, o)
			}
		}
	}
	near(source.EnvoyFilter)
	switch kind {
	case server.Clusters, server.Endpoints:
		near(source.Sidecar)
	case server.Listeners:
		near(source.Gateway, source.AuthorizationPolicy, source.RequestAuthentication, source.PeerAuthentication, source.Telemetry, source.WasmPlugin, source.Sidecar)
	case server.Extensions:
		near(source.WasmPlugin)
	case server.Routes, server.VirtualHosts:
		near(source.Gateway, source.Sidecar)
		of(source.VirtualService, func(o *source.Object) []string { return o.Spec.(*networking.VirtualService).GetHosts() })
	}
	of(source.DestinationRule, func(o *source.Object) []string { return []string{o.Spec.(*networking.DestinationRule).GetHost()} })
	of(source.ServiceEntry, func(o *source.Object) []string { return o.Spec.(*networking.ServiceEntry).GetHosts() })
	of(source.Service, func(o *source.Object) []string { return []string{o.Name} })
	return list
}

// hostOf is the host in a resource's name; empty: it is of several, or none is in it. table: it is one of many hosts' routes.
func hostOf(kind server.Kind, name string) (host string, table bool) {
	switch kind {
	case server.Clusters, server.Endpoints:
		if parts := strings.SplitN(name, "|", 4); len(parts) == 4 {
			return parts[3], false
		}
	case server.VirtualHosts:
		_, name, _ = strings.Cut(name, "/")
		fallthrough
	case server.Routes:
		if at := strings.LastIndexByte(name, ':'); at >= 0 {
			return name[:at], false
		}
		return "", true
	}
	return "", false
}
