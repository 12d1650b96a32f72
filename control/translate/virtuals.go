package translate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

type virtualsKey struct {
	routes    ref[mesh.Routes]
	settings  *mesh.Settings
	namespace string
	sidecar   *source.Object
}

// virtuals are the VirtualServices that a sidecar's requests are for.
type virtuals struct {
	list   []*mesh.VirtualService // the oldest first
	exact  map[string]*mesh.VirtualService
	wild   []wild // the most exact first
	asked  *chain // with a Sidecar: hosts that they lead to
	raw    *chain // those that have something to say of TCP, TLS and Dubbo
	labels []string
}

type wild struct {
	host    string
	virtual *mesh.VirtualService
}

func (t *Translator) findVirtuals(m *mesh.Mesh, p *Proxy, sidecar *source.Object) *virtuals {
	v := &virtuals{exact: map[string]*mesh.VirtualService{}}
	seen := importedBy(sidecar)
	for one := range m.Routes.Seen(p.Namespace, mesh.MeshGateway) {
		if slices.ContainsFunc(one.Hosts, func(h string) bool { return seen.has(one.From.Namespace, h) }) {
			v.list = append(v.list, one)
		}
	}
	asked, labels := map[string]bool{}, map[string]bool{}
	for _, one := range v.list {
		for _, h := range one.Hosts {
			if strings.HasPrefix(h, "*") {
				if !slices.ContainsFunc(v.wild, func(w wild) bool { return w.host == h }) {
					v.wild = append(v.wild, wild{h, one})
				}
			} else if v.exact[h] == nil {
				v.exact[h] = one
			}
		}
		if len(one.Spec.GetTcp())+len(one.Spec.GetTls())+len(one.Dubbo) > 0 {
			v.raw = t.chains.add(v.raw, one)
		}
		for _, r := range one.HTTP {
			for _, match := range r.GetMatch() {
				for name := range match.GetSourceLabels() {
					labels[name] = true
				}
			}
		}
		if sidecar != nil {
			destinations(m.Settings, one, func(host string) { asked[host] = true })
		}
	}
	slices.SortStableFunc(v.wild, func(a, b wild) int { return cmp.Compare(len(b.host), len(a.host)) })
	v.labels = slices.Sorted(maps.Keys(labels))
	for _, host := range slices.Sorted(maps.Keys(asked)) {
		v.asked = t.chains.add(v.asked, host)
	}
	return v
}

// destinations tells of the hosts that a VirtualService leads to.
func destinations(s *mesh.Settings, v *mesh.VirtualService, tell func(host string)) {
	one := func(d *networking.Destination, namespace string) {
		if d.GetHost() != "" {
			tell(s.HostIn(d.GetHost(), namespace))
		}
	}
	for _, r := range v.HTTP {
		for _, d := range r.GetRoute() {
			one(d.GetDestination(), r.Namespace)
		}
		one(r.GetMirror(), r.Namespace)
		for _, mirror := range r.GetMirrors() {
			one(mirror.GetDestination(), r.Namespace)
		}
	}
	for _, r := range v.Spec.GetTcp() {
		for _, d := range r.GetRoute() {
			one(d.GetDestination(), v.From.Namespace)
		}
	}
	for _, s := range v.Dubbo {
		for _, r := range s.Routes {
			for i := range r.Route {
				for _, d := range dubboDestinations(&r.Route[i]) {
					one(d, v.From.Namespace)
				}
			}
		}
	}
	for _, r := range v.Spec.GetTls() {
		for _, d := range r.GetRoute() {
			one(d.GetDestination(), v.From.Namespace)
		}
	}
}

// find gives the VirtualService for a host: the one that says it most exactly; nil: there is none.
func (v *virtuals) find(host string) *mesh.VirtualService {
	if one := v.exact[host]; one != nil {
		return one
	}
	for _, w := range v.wild {
		if covers(w.host, host) {
			return w.virtual
		}
	}
	return nil
}

// labelsOf are those of a proxy's labels that are asked for.
func (v *virtuals) labelsOf(p *Proxy) string {
	var b strings.Builder
	for _, name := range v.labels {
		if value, ok := p.Labels[name]; ok {
			b.WriteString(strconv.Quote(name) + "=" + strconv.Quote(value) + "\n") // a proxy may say anything
		}
	}
	return b.String()
}
