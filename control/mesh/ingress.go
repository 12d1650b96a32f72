package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// entryName begins the names of what Ingresses are carried out as: no object that anybody writes can have such a one.
const entryName = "ingress:"

// Defaults of MeshConfig about Ingresses, as Istio's.
const (
	defaultIngressClass    = "istio"
	defaultIngressSelector = "ingressgateway"
)

// enter gives the changes by which Ingresses are carried out as they are now: requests in plain text come in by one Gateway of all, those over TLS by one for each Ingress, at the workloads that
// MeshConfig chooses, and each host is a VirtualService with the paths of all Ingresses that are about it, as with Istio.
func (m *Mesh) enter(before *Mesh, news *[kinds]touched) (changes []source.Change) {
	objects := m.objects[source.Ingress]
	if news[source.Ingress] == nil && (len(objects.spaces) == 0 || m.Settings == before.Settings && news[source.IngressClass] == nil && news[source.Service] == nil) {
		return nil
	}
	now := map[source.Key]*source.Object{}
	routes := map[*source.Object][]entryRoute{}
	hosts := map[string]*source.Object{}
	for _, o := range objects.All() {
		if !m.CarriesOut(o) {
			continue
		}
		gateways := m.entryGateways(o, now)
		for _, r := range o.Spec.(*source.IngressSpec).Rules {
			list := m.entryRoutes(o, &r)
			if len(list) == 0 {
				continue
			}
			host := cmp.Or(r.Host, "*")
			v := hosts[host]
			if v == nil {
				v = entryOf(o, source.VirtualService, o.Namespace, host, &networking.VirtualService{Hosts: []string{host}})
				hosts[host], now[v.Key] = v, v
			}
			spec := v.Spec.(*networking.VirtualService)
			for _, name := range gateways {
				if !slices.Contains(spec.Gateways, name) {
					spec.Gateways = append(spec.Gateways, name)
				}
			}
			routes[v] = append(routes[v], list...)
		}
	}
	for v, list := range routes { // the longest path first, and of one length the exact one, as Kubernetes has it
		slices.SortStableFunc(list, func(a, b entryRoute) int { return b.rank - a.rank })
		spec := v.Spec.(*networking.VirtualService)
		for _, one := range list {
			spec.Http = append(spec.Http, one.HTTPRoute)
		}
	}
	for key := range before.entries {
		if now[key] == nil {
			changes = append(changes, source.Change{Key: key})
		}
	}
	for key, o := range now {
		if was := before.entries[key]; was != nil && was.From == o.From && was.Created.Equal(o.Created) && proto.Equal(was.Spec.(proto.Message), o.Spec.(proto.Message)) {
			now[key] = was
			continue
		}
		changes = append(changes, source.Change{Key: key, Object: o})
	}
	m.entries = now
	return changes
}

// CarriesOut tells whether an Ingress is the mesh's, by its class.
func (m *Mesh) CarriesOut(o *source.Object) bool {
	mode := m.Settings.Config.GetIngressControllerMode()
	if class, is := o.Annotations[source.IngressClassAnnotation]; is {
		return mode != meshv1.MeshConfig_OFF && class == cmp.Or(m.Settings.Config.GetIngressClass(), defaultIngressClass)
	}
	if name := o.Spec.(*source.IngressSpec).ClassName; name != "" {
		class := m.objects[source.IngressClass].Get("", name)
		return class != nil && class.Spec.(*source.IngressClassSpec).Controller == source.IngressController
	}
	return mode == meshv1.MeshConfig_DEFAULT
}

func entryOf(o *source.Object, kind source.Kind, namespace, name string, spec proto.Message) *source.Object {
	return &source.Object{Key: source.Key{Kind: kind, Namespace: namespace, Name: entryName + name}, Created: o.Created, From: o.From, Spec: spec}
}

// entryGateways are where an Ingress's requests come in, by their names. Those that are not there yet are added.
func (m *Mesh) entryGateways(o *source.Object, to map[source.Key]*source.Object) (names []string) {
	add := func(namespace, name string, servers ...*networking.Server) {
		g := entryOf(o, source.Gateway, namespace, name, &networking.Gateway{Servers: servers, Selector: map[string]string{"istio": cmp.Or(m.Settings.Config.GetIngressSelector(), defaultIngressSelector)}})
		if names = append(names, namespace+"/"+g.Name); to[g.Key] == nil {
			to[g.Key] = g
		}
	}
	add(m.Settings.RootNamespace, "http", &networking.Server{Port: &networking.Port{Number: 80, Protocol: "HTTP", Name: "http-80-ingress"}, Hosts: []string{"*"}})
	var secure []*networking.Server
	for i, t := range o.Spec.(*source.IngressSpec).TLS {
		if t.SecretName == "" {
			continue
		}
		hosts := t.Hosts
		if len(hosts) == 0 {
			hosts = []string{"*"}
		}
		secure = append(secure, &networking.Server{
			Port:  &networking.Port{Number: 443, Protocol: "HTTPS", Name: fmt.Sprintf("https-443-ingress-%s-%s-%d", o.Name, o.Namespace, i)},
			Hosts: hosts, Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE, CredentialName: t.SecretName},
		})
	}
	if secure != nil {
		add(o.Namespace, "https:"+o.Name, secure...)
	}
	return names
}

// entryRoute is a route, and before which others it comes.
type entryRoute struct {
	*networking.HTTPRoute
	rank int
}

// entryRoutes are the paths of a rule. One that leads to a port that its Service does not have is left out.
func (m *Mesh) entryRoutes(o *source.Object, r *source.IngressRule) (list []entryRoute) {
	for _, p := range r.HTTP.Paths {
		b := p.Backend.Service
		if b == nil {
			continue
		}
		number := m.EntryPort(o, b)
		if number == 0 {
			continue
		}
		route := &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{
			Host: b.Name + "." + o.Namespace + ".svc." + m.Settings.Domain, Port: &networking.PortSelector{Number: number},
		}}}}
		matches, rank := entryPath(&p)
		for _, uri := range matches {
			route.Match = append(route.Match, &networking.HTTPMatchRequest{Uri: uri})
		}
		list = append(list, entryRoute{route, rank})
	}
	return list
}

// EntryPort is the port that a backend of an Ingress means, by its number or by its name, which a Service of any cluster may have; 0: none has it.
func (m *Mesh) EntryPort(o *source.Object, b *source.IngressService) uint32 {
	if b.Port.Name == "" {
		return uint32(b.Port.Number)
	}
	for _, objects := range m.Everywhere(source.Service) {
		if s := objects.Get(o.Namespace, b.Name); s != nil {
			for _, port := range s.Spec.(*source.ServiceSpec).Ports {
				if port.Name == b.Port.Name {
					return uint32(port.Port)
				}
			}
		}
	}
	return 0
}

// entryPath is how a path is matched, nothing meaning every path, and its rank. A prefix is one of whole segments, as Kubernetes has it.
func entryPath(p *source.IngressPath) (matches []*networking.StringMatch, rank int) {
	exact := func(path string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: path}}
	}
	prefix := func(path string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: path}}
	}
	if p.PathType == "Prefix" {
		path := strings.TrimRight(p.Path, "/")
		if path == "" {
			return []*networking.StringMatch{prefix("/")}, 2
		}
		return []*networking.StringMatch{exact(path), prefix(path + "/")}, 2 * len(path)
	}
	if p.PathType != "Exact" {
		for _, end := range []string{".*", "/*"} { // as Istio has it: of characters, and not of segments
			if path, is := strings.CutSuffix(p.Path, end); is && path != "" {
				return []*networking.StringMatch{prefix(path)}, 2 * len(path)
			} else if is {
				return nil, 0
			}
		}
		if p.Path == "" {
			return nil, 0
		}
	}
	return []*networking.StringMatch{exact(p.Path)}, 2*len(p.Path) + 1
}
