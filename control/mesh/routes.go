package mesh

import (
	"cmp"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// MeshGateway stands in VirtualServices for all sidecars.
const MeshGateway = "mesh"

// VirtualService is how requests for some hosts are sent on, with what it leaves to others filled in. It never changes.
type VirtualService struct {
	From      source.Key
	Created   time.Time
	Hosts     []string // in full
	Gateways  []string // namespace/name, or MeshGateway
	Visible   Visibility
	HTTP      []HTTPRoute
	Spec      *networking.VirtualService // for TLS and TCP; its HTTP routes are in HTTP
	Dubbo     []source.DubboServiceRoute
	Delegates bool // it has no hosts and is asked by others only
}

// HTTPRoute is one of a VirtualService, or of one that it leaves requests to.
type HTTPRoute struct {
	*networking.HTTPRoute
	Namespace string // in which short names of destinations are
	Owner     source.Key
	Calls     *source.DubboCalls // that its requests become; nil: they stay what they are
}

// Routes is the index of VirtualServices.
type Routes struct {
	byObject table[string, *VirtualService]
	sorted   []*VirtualService // the oldest first
}

// Get gives a VirtualService; nil: there is none.
func (x *Routes) Get(namespace, name string) *VirtualService { return x.byObject[namespace][name] }

// Seen are the VirtualServices for a gateway that a namespace sees, the oldest first.
func (x *Routes) Seen(namespace, gateway string) iter.Seq[*VirtualService] {
	return func(yield func(*VirtualService) bool) {
		for _, v := range x.sorted {
			if !v.Delegates && v.Visible.In(namespace) && slices.Contains(v.Gateways, gateway) && !yield(v) {
				return
			}
		}
	}
}

func (m *Mesh) deriveRoutes(before *Mesh, news touched, anew bool) {
	if len(news) == 0 && !anew {
		return
	}
	objects := m.objects[source.VirtualService]
	dirty := maps.Clone(keysOf(m, before, source.VirtualService, news, anew))
	if !anew {
		for _, space := range objects.spaces { // who leaves requests to one of them is another, too
			for _, o := range space {
				for _, r := range o.Spec.(*networking.VirtualService).GetHttp() {
					if r.GetDelegate() != nil && news[delegateKey(o, r)] {
						dirty[o.Key] = true
					}
				}
			}
		}
	}
	e := before.Routes.byObject.edit()
	for k := range dirty {
		o := objects.Get(k.Namespace, k.Name)
		if o == nil {
			e.drop(k.Namespace, k.Name)
			continue
		}
		v, was := m.virtualService(o), e.now[k.Namespace][k.Name]
		if was != nil && v.equal(was) {
			continue
		}
		e.set(k.Namespace, k.Name, v)
	}
	if !e.changed() {
		return
	}
	x := &Routes{byObject: e.now, sorted: make([]*VirtualService, 0, len(before.Routes.sorted)+len(dirty))}
	for _, v := range before.Routes.sorted {
		if !dirty[v.From] {
			x.sorted = append(x.sorted, v)
		}
	}
	for k := range dirty {
		if v := e.now[k.Namespace][k.Name]; v != nil {
			x.sorted = append(x.sorted, v)
		}
	}
	slices.SortFunc(x.sorted, func(a, b *VirtualService) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.From.Name, b.From.Name), cmp.Compare(a.From.Namespace, b.From.Namespace))
	})
	m.Routes = x
}

// MakesCalls tells whether requests of some route become calls of Dubbo.
func (v *VirtualService) MakesCalls() bool {
	return slices.ContainsFunc(v.HTTP, func(r HTTPRoute) bool { return r.Calls != nil })
}

func (v *VirtualService) equal(other *VirtualService) bool {
	a, b := *v, *other
	if !proto.Equal(a.Spec, b.Spec) || !slices.EqualFunc(a.HTTP, b.HTTP, func(x, y HTTPRoute) bool {
		return x.Namespace == y.Namespace && x.Owner == y.Owner && proto.Equal(x.HTTPRoute, y.HTTPRoute) && reflect.DeepEqual(x.Calls, y.Calls)
	}) {
		return false
	}
	a.Spec, b.Spec, a.HTTP, b.HTTP = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// virtualService reads a VirtualService.
func (m *Mesh) virtualService(o *source.Object) *VirtualService {
	spec := o.Spec.(*networking.VirtualService)
	v := &VirtualService{
		From: o.Key, Created: o.Created, Spec: spec, Delegates: len(spec.GetHosts()) == 0,
		Visible: visibility(spec.GetExportTo(), m.Settings.Config.GetDefaultVirtualServiceExportTo(), o.Namespace),
	}
	more, is := o.More.(*source.VirtualServiceMore)
	if is {
		v.Dubbo = more.Dubbo
	}
	for _, h := range spec.GetHosts() {
		v.Hosts = append(v.Hosts, m.Settings.HostIn(h, o.Namespace))
	}
	for _, g := range spec.GetGateways() {
		v.Gateways = append(v.Gateways, GatewayIn(g, o.Namespace))
	}
	if len(v.Gateways) == 0 {
		v.Gateways = []string{MeshGateway}
	}
	if m.off.routing(o.Namespace) {
		v.Gateways = slices.DeleteFunc(v.Gateways, func(g string) bool { return g == MeshGateway })
	}
	for i, r := range spec.GetHttp() {
		if r.GetDelegate() == nil || v.Delegates {
			v.HTTP = append(v.HTTP, HTTPRoute{r, o.Namespace, o.Key, more.Calls(i)})
			continue
		}
		k := delegateKey(o, r)
		d := m.objects[source.VirtualService].Get(k.Namespace, k.Name)
		if d == nil {
			continue // there is nobody to ask: what follows may answer
		}
		to := d.Spec.(*networking.VirtualService)
		if len(to.GetHosts()) > 0 || !visibility(to.GetExportTo(), m.Settings.Config.GetDefaultVirtualServiceExportTo(), d.Namespace).In(o.Namespace) {
			continue
		}
		its, _ := d.More.(*source.VirtualServiceMore)
		for j, leaf := range to.GetHttp() {
			if merged := mergeRoute(r, leaf); merged != nil {
				v.HTTP = append(v.HTTP, HTTPRoute{merged, d.Namespace, d.Key, its.Calls(j)})
			}
		}
	}
	return v
}

// GatewayIn is a gateway as it is said in an object of a namespace.
func GatewayIn(said, namespace string) string {
	if said == MeshGateway || strings.Contains(said, "/") {
		return strings.Replace(said, "./", namespace+"/", 1)
	}
	return namespace + "/" + said
}

func delegateKey(o *source.Object, r *networking.HTTPRoute) source.Key {
	return source.Key{Kind: source.VirtualService, Namespace: or(r.GetDelegate().GetNamespace(), o.Namespace), Name: r.GetDelegate().GetName()}
}
