package translate

import (
	"fmt"
	"runtime"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// town is a mesh of n services, each with two subsets, four endpoints, a VirtualService and a DestinationRule.
func town(n int) (changes []source.Change) {
	add := func(k source.Kind, name string, labels map[string]string, spec any) {
		o := &source.Object{Key: source.Key{Kind: k, Namespace: "town", Name: name}, Labels: labels, Spec: spec}
		changes = append(changes, source.Change{Key: o.Key, Object: o})
	}
	for i := range n {
		name := fmt.Sprintf("s%04d", i)
		add(source.Service, name, nil, &source.ServiceSpec{ClusterIP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), Selector: map[string]string{"app": name}, Ports: []source.ServicePort{{Name: "http", Port: 80, TargetPort: source.TargetPort{Number: 8080}}}})
		slice := &source.EndpointSliceSpec{AddressType: "IPv4", Ports: []source.SlicePort{{Name: "http", Port: 8080, Protocol: "TCP"}}}
		for j := range 4 {
			pod := fmt.Sprintf("%s-%d", name, j)
			ip := fmt.Sprintf("10.%d.%d.%d", 1+i/250, i%250, j+1)
			labels := map[string]string{"app": name, "version": fmt.Sprintf("v%d", 1+j%2), "security.istio.io/tlsMode": "istio"}
			add(source.Pod, pod, labels, &source.PodSpec{ServiceAccountName: name, Status: source.PodStatus{Phase: "Running", PodIP: ip, Ready: true}})
			slice.Endpoints = append(slice.Endpoints, source.SliceEndpoint{Addresses: []string{ip}, TargetRef: &source.ObjectRef{Kind: "Pod", Namespace: "town", Name: pod}})
		}
		add(source.EndpointSlice, name, map[string]string{"kubernetes.io/service-name": name}, slice)
		add(source.DestinationRule, name, nil, &networking.DestinationRule{Host: name, Subsets: []*networking.Subset{
			{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}},
		}})
		add(source.VirtualService, name, nil, weights(name, 90))
	}
	return changes
}

func weights(name string, first int32) *networking.VirtualService {
	to := func(subset string, weight int32) *networking.HTTPRouteDestination {
		return &networking.HTTPRouteDestination{Destination: &networking.Destination{Host: name, Subset: subset}, Weight: weight}
	}
	return &networking.VirtualService{Hosts: []string{name}, Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{to("v1", first), to("v2", 100-first)}}}}
}

func resident(t testing.TB) *Proxy {
	t.Helper()
	return proxyOf(t, `{id: sidecar~10.1.0.1~s0000-0.town~town.svc.cluster.local, metadata: {NAMESPACE: town, LABELS: {app: s0000, version: v1}}}`)
}

func BenchmarkMesh(b *testing.B) {
	changes := town(1000)
	b.ReportAllocs()
	for b.Loop() {
		mesh.New().With(changes)
	}
}

func BenchmarkFirstView(b *testing.B) {
	m, p := mesh.New().With(town(1000)), resident(b)
	b.ReportAllocs()
	for b.Loop() {
		New().View(m, p)
	}
}

// BenchmarkFurtherView is of another sidecar of the same namespace.
func BenchmarkFurtherView(b *testing.B) {
	m, p := mesh.New().With(town(1000)), resident(b)
	t := New()
	v := t.View(m, p)
	b.ReportAllocs()
	for b.Loop() {
		t.View(m, p)
	}
	runtime.KeepAlive(v)
}

func change(k source.Kind, name string, labels map[string]string, spec any) []source.Change {
	o := &source.Object{Key: source.Key{Kind: k, Namespace: "town", Name: name}, Labels: labels, Spec: spec}
	return []source.Change{{Key: o.Key, Object: o}}
}

func benchmarkChange(b *testing.B, weft bool, next func(i int) []source.Change) {
	m, p := mesh.New().With(town(1000)), resident(b)
	p.Traits.ByHost = weft
	t := New()
	v := t.View(m, p)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m = m.With(next(i))
		v = t.View(m, p)
	}
	runtime.KeepAlive(v)
}

func BenchmarkWeightChange(b *testing.B) {
	benchmarkChange(b, false, func(i int) []source.Change {
		return change(source.VirtualService, "s0500", nil, weights("s0500", int32(i%99+1)))
	})
}

func BenchmarkWeightChangeOfWeft(b *testing.B) {
	benchmarkChange(b, true, func(i int) []source.Change {
		return change(source.VirtualService, "s0500", nil, weights("s0500", int32(i%99+1)))
	})
}

func BenchmarkEndpointChange(b *testing.B) {
	benchmarkChange(b, false, func(i int) []source.Change {
		return change(source.EndpointSlice, "s0500", map[string]string{"kubernetes.io/service-name": "s0500"}, &source.EndpointSliceSpec{
			AddressType: "IPv4", Ports: []source.SlicePort{{Name: "http", Port: 8080, Protocol: "TCP"}}, Endpoints: []source.SliceEndpoint{{Addresses: []string{fmt.Sprintf("10.9.9.%d", i%250+1)}}},
		})
	})
}

func BenchmarkRuleChange(b *testing.B) {
	benchmarkChange(b, false, func(i int) []source.Change {
		return change(source.DestinationRule, "s0500", nil, &networking.DestinationRule{Host: "s0500", TrafficPolicy: &networking.TrafficPolicy{
			ConnectionPool: &networking.ConnectionPoolSettings{Tcp: &networking.ConnectionPoolSettings_TCPSettings{MaxConnections: int32(i + 1)}},
		}, Subsets: []*networking.Subset{{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}}}})
	})
}

// TestMemory holds what a mesh and a view of it take, beside the objects, to a bound.
func TestMemory(t *testing.T) {
	const most = 40 << 20
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	changes := town(1000)
	p := resident(t)
	before := heap()
	m := mesh.New().With(changes)
	ofMesh := heap() - before
	tr := New()
	v := tr.View(m, p)
	all := heap() - before
	size := 0
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			size += len(r.Body)
		}
	}
	t.Logf("mesh %d KB, with a view of %d KB %d KB", ofMesh>>10, size>>10, all>>10)
	if all > most {
		t.Errorf("%d KB, want %d at most", all>>10, most>>10)
	}
	for i := range 200 { // what is not told any more goes
		m = m.With(change(source.VirtualService, "s0500", nil, weights("s0500", int32(i%99+1))))
		v = tr.View(m, p)
	}
	if after := heap() - before; after > most {
		t.Errorf("after 200 changes %d KB, want %d at most", after>>10, most>>10)
	} else {
		t.Logf("after 200 changes %d KB", after>>10)
	}
	runtime.KeepAlive([]any{changes, m, tr, v})
}
