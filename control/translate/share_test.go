package translate

import (
	"runtime"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
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
		{"an EnvoyFilter", false, change(source.EnvoyFilter, "x", nil, filterOf(host, "4s")), []string{"cluster/outbound|80|v2|" + host, "cluster/outbound|80||" + host, "cluster/outbound|80|v1|" + host}, []string{"cluster"}},
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

// filterOf is an EnvoyFilter for the clusters of a host.
func filterOf(host, timeout string) *networking.EnvoyFilter {
	value, _ := structpb.NewStruct(map[string]any{"connect_timeout": timeout})
	return &networking.EnvoyFilter{ConfigPatches: []*networking.EnvoyFilter_EnvoyConfigObjectPatch{{
		ApplyTo: networking.EnvoyFilter_CLUSTER, Patch: &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_MERGE, Value: value},
		Match: &networking.EnvoyFilter_EnvoyConfigObjectMatch{ObjectTypes: &networking.EnvoyFilter_EnvoyConfigObjectMatch_Cluster{Cluster: &networking.EnvoyFilter_ClusterMatch{Service: host}}},
	}}}
}

// TestPatchesStayAsSmall has a change under EnvoyFilters be as small as without, and what comes of it in portions be what comes of it at once.
func TestPatchesStayAsSmall(t *testing.T) {
	const host = "s0003.town.svc.cluster.local"
	m := mesh.New().With(append(town(20), change(source.EnvoyFilter, "x", nil, filterOf(host, "4s"))...))
	tr, p := New(), resident(t)
	before := tr.View(m, p)
	runtime.GC()
	m = m.With(change(source.DestinationRule, "s0003", nil, &networking.DestinationRule{Host: "s0003", Subsets: []*networking.Subset{{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v3", Labels: map[string]string{"version": "v3"}}}}))
	after := tr.View(m, p)
	resources, _ := changed(before, after)
	slices.Sort(resources)
	if want := []string{"cluster/outbound|80|v3|" + host, "endpoints/outbound|80|v3|" + host}; !slices.Equal(resources, want) {
		t.Errorf("other resources %v; want %v", resources, want)
	}
	if again := New().View(m, p); again.Version != after.Version {
		t.Error("at once it is otherwise")
	}
	m = m.With([]source.Change{{Key: source.Key{Kind: source.EnvoyFilter, Namespace: "town", Name: "x"}}})
	if gone := tr.View(m, p); gone.Version == after.Version || gone.Version != New().View(m, p).Version {
		t.Error("without the EnvoyFilter it is not as if it had never been")
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
