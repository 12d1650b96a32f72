package translate

import (
	"runtime"
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// changed are the resources of a view that are other pointers than in another, and the kinds of its parts that are.
func changed(before, after *server.View) (resources, parts []string) {
	had, hadPart := map[*server.Resource]bool{}, map[*server.Part]bool{}
	for _, p := range before.Parts {
		hadPart[p] = true
		for _, r := range p.Resources {
			had[r] = true
		}
	}
	for _, p := range after.Parts {
		if !hadPart[p] {
			parts = append(parts, kindWords[p.Kind])
		}
		for _, r := range p.Resources {
			if !had[r] {
				resources = append(resources, kindWords[p.Kind]+"/"+r.Name)
			}
		}
	}
	return resources, parts
}

// TestAChangeIsAsSmallAsItIs has each change be other resources of its own only, and all else be the very same.
func TestAChangeIsAsSmallAsItIs(t *testing.T) {
	m := mesh.New().With(town(20))
	const host = "s0003.town.svc.cluster.local"
	for _, c := range []struct {
		name             string
		weft             bool
		change           []source.Change
		resources, parts []string
	}{
		{"a weight", false, change(source.VirtualService, "s0003", nil, weights("s0003", 10)), []string{"routes/80"}, []string{"routes"}},
		{"a weight, for weft", true, change(source.VirtualService, "s0003", nil, weights("s0003", 10)), []string{"host/80/" + host + ":80"}, []string{"host"}},
		{"an endpoint", false, change(source.EndpointSlice, "s0003", map[string]string{"kubernetes.io/service-name": "s0003"}, &source.EndpointSliceSpec{
			AddressType: "IPv4", Ports: []source.SlicePort{{Name: "http", Port: 8080}}, Endpoints: []source.SliceEndpoint{{Addresses: []string{"10.1.3.1"}, TargetRef: &source.ObjectRef{Kind: "Pod", Namespace: "town", Name: "s0003-0"}}},
		}), []string{"endpoints/outbound|80|v2|" + host, "endpoints/outbound|80||" + host, "endpoints/outbound|80|v1|" + host}, []string{"endpoints"}},
		{"a rule", false, change(source.DestinationRule, "s0003", nil, &networking.DestinationRule{Host: "s0003", Subsets: []*networking.Subset{
			{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}, TrafficPolicy: &networking.TrafficPolicy{
				LoadBalancer: &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_Simple{Simple: networking.LoadBalancerSettings_RANDOM}},
			}},
		}}), []string{"cluster/outbound|80|v2|" + host}, []string{"cluster"}},
		{"nothing", false, change(source.VirtualService, "s0003", nil, weights("s0003", 90)), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := resident(t)
			p.Traits.ByHost = c.weft
			tr := New()
			before := tr.View(m, p)
			runtime.GC() // what nobody has is let go; a view that somebody has keeps all that it is made of
			after := tr.View(m.With(c.change), p)
			resources, parts := changed(before, after)
			slices.Sort(resources)
			slices.Sort(c.resources)
			if !slices.Equal(resources, c.resources) || !slices.Equal(parts, c.parts) {
				t.Errorf("other resources %v, parts %v; want %v, %v", resources, parts, c.resources, c.parts)
			}
			if len(c.resources) == 0 && before != after {
				t.Error("another view")
			}
		})
	}
}

// TestNeighboursShare has two workloads of a namespace share all but what they serve themselves, and two of one kind all.
func TestNeighboursShare(t *testing.T) {
	m, tr := mesh.New().With(town(20)), New()
	one := tr.View(m, resident(t))
	twin := tr.View(m, proxyOf(t, `{id: sidecar~10.1.0.3~s0000-2.town~town.svc.cluster.local, metadata: {NAMESPACE: town, LABELS: {app: s0000, version: v1}}}`))
	if one != twin {
		t.Error("two of a kind are told otherwise")
	}
	other := tr.View(m, proxyOf(t, `{id: sidecar~10.1.7.1~s0007-0.town~town.svc.cluster.local, metadata: {NAMESPACE: town, LABELS: {app: s0007, version: v1}}}`))
	resources, _ := changed(one, other)
	if len(resources) != 0 { // both serve port 8080, of which only the trace's name differs
		for _, r := range resources {
			if r != "listener/virtualInbound" {
				t.Errorf("%s is not shared", r)
			}
		}
	}
}

// TestWhatIsNotToldIsForgotten has a translator hold no pieces of views that are gone.
func TestWhatIsNotToldIsForgotten(t *testing.T) {
	m, tr, p := mesh.New().With(town(20)), New(), resident(t)
	v := tr.View(m, p)
	for i := range 300 {
		m = m.With(change(source.VirtualService, "s0003", nil, weights("s0003", int32(i%90+1))))
		if v = tr.View(m, p); i%20 == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	tr.sweep()
	if n := len(tr.routes.made); n != 1 {
		t.Errorf("%d layers of routes", n)
	}
	if n := len(tr.views.made); n != 1 {
		t.Errorf("%d views", n)
	}
	runtime.KeepAlive(v)
}
