package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// TestWaysIntoNetworksAreLookedUpFirst has more names be told than are looked up, and those by which networks are entered be addresses, whatever they are called.
func TestWaysIntoNetworksAreLookedUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		m, problems := mesh.New(), 0
		w := waysTo(func(b source.Batch) {
			mu.Lock()
			defer mu.Unlock()
			m, problems = m.With(b.Changes), len(b.Problems)
		})
		w.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		}
		go w.run(ctx)
		var all []source.Change
		service := func(name string, labels map[string]string) {
			k := source.Key{Kind: source.Service, Namespace: "edge", Name: name}
			all = append(all, source.Change{Key: k, Object: &source.Object{Key: k, Labels: labels, Spec: &source.ServiceSpec{ClusterIP: "None", Status: source.ServiceStatus{LoadBalancer: source.LoadBalancer{Ingress: []source.LoadBalancerIngress{{Hostname: name + ".test"}}}}}}})
		}
		for i := range maxLookups + 50 {
			service(fmt.Sprintf("app%03d", i), nil)
		}
		service("way", map[string]string{mesh.NetworkLabel: "far"})
		service("app000", map[string]string{mesh.NetworkLabel: "near"}) // of the same name as one that is none
		k := source.Key{Kind: source.MeshNetworks, Name: "default"}
		all = append(all, source.Change{Key: k, Object: &source.Object{Key: k, Spec: &meshv1.MeshNetworks{Networks: map[string]*meshv1.Network{"other": {Gateways: []*meshv1.Network_IstioNetworkGateway{{Gw: &meshv1.Network_IstioNetworkGateway_Address{Address: "zone.test"}, Port: 443}}}}}}})
		w.tell(source.Batch{Changes: all})
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, network := range []string{"far", "near", "other"} {
			if g := m.Networks.Gateways(network, ""); len(g) != 1 || g[0].Address != "192.0.2.1" {
				t.Errorf("%s is entered by %v", network, g)
			}
		}
		if problems != 0 {
			t.Errorf("%d problems", problems)
		}
	})
}

// TestNamesOfWaysAreLookedUp has the names of load balancers be addresses in what goes on, follow them, and keep them while nobody answers; what has none goes on as it is.
func TestNamesOfWaysAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m := mesh.New()
		var said []string // of problems, as they were told last
		batches := 0
		var mu sync.Mutex // of those, and of what is answered
		w := waysTo(func(b source.Batch) {
			mu.Lock()
			defer mu.Unlock()
			batches++
			m, said = m.With(b.Changes), nil
			for _, p := range b.Problems {
				said = append(said, p.Text)
			}
		})
		answers := map[string]string{"lb.test": "192.0.2.1", "mesh.test": "192.0.2.9"}
		w.lookup = func(_ context.Context, name string) (all []netip.Addr, err error) {
			mu.Lock()
			defer mu.Unlock()
			if answers[name] == "" {
				return nil, &net.DNSError{Err: "x", Name: name, IsNotFound: true}
			}
			for _, one := range strings.Fields(answers[name]) {
				all = append(all, netip.MustParseAddr(one))
			}
			return all, nil
		}
		go w.run(ctx)
		change := func(k source.Key, labels map[string]string, spec any) source.Change {
			return source.Change{Key: k, Object: &source.Object{Key: k, Labels: labels, Spec: spec}}
		}
		key := source.Key{Kind: source.Service, Namespace: "edge", Name: "gw"}
		service := func(name string) source.Change {
			return change(key, map[string]string{mesh.NetworkLabel: "far"}, &source.ServiceSpec{ClusterIP: "None", Status: source.ServiceStatus{LoadBalancer: source.LoadBalancer{Ingress: []source.LoadBalancerIngress{{Hostname: name}}}}})
		}
		networks := change(source.Key{Kind: source.MeshNetworks, Name: "default"}, nil, &meshv1.MeshNetworks{Networks: map[string]*meshv1.Network{"other": {Gateways: []*meshv1.Network_IstioNetworkGateway{
			{Gw: &meshv1.Network_IstioNetworkGateway_Address{Address: "mesh.test"}, Port: 443}, {Gw: &meshv1.Network_IstioNetworkGateway_Address{Address: "192.0.2.8"}, Port: 443}}}}})
		is := func(what, far, other string, problems ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			text := func(network string) string {
				var all []string
				for _, g := range m.Networks.Gateways(network, "") {
					all = append(all, fmt.Sprintf("%s:%d", g.Address, g.Port))
				}
				return strings.Join(all, " ")
			}
			if text("far") != far || text("other") != other || strings.Join(said, "; ") != strings.Join(problems, "; ") {
				t.Errorf("%s: %s, %s, %q; want %s, %s, %q", what, text("far"), text("other"), said, far, other, problems)
			}
		}
		plain := source.Key{Kind: source.Service, Namespace: "edge", Name: "plain"}
		w.tell(source.Batch{Changes: []source.Change{service("lb.test"), networks, change(plain, nil, &source.ServiceSpec{ClusterIP: "10.0.0.1"})}, Problems: []source.Problem{{Text: "its own"}}})
		is("at first", "192.0.2.1:15443", "192.0.2.8:443 192.0.2.9:443", "its own")
		if m.Get(plain) == nil {
			t.Error("what has no name does not go on")
		}
		mu.Lock()
		told := batches
		mu.Unlock()
		time.Sleep(lookAgain)
		if is("when nothing is another", "192.0.2.1:15443", "192.0.2.8:443 192.0.2.9:443", "its own"); batches != told {
			t.Errorf("%d batches more", batches-told)
		}
		becomes := func(addresses string) {
			mu.Lock()
			defer mu.Unlock()
			answers["lb.test"] = addresses
		}
		becomes("192.0.2.3 192.0.2.2")
		time.Sleep(lookAgain)
		is("when it is another", "192.0.2.2:15443 192.0.2.3:15443", "192.0.2.8:443 192.0.2.9:443", "its own")
		many, few := "", "" // as whoever answers likes
		for i := range maxWays + 10 {
			many += fmt.Sprintf("10.0.0.%d ", 100+i)
		}
		for i := range maxWays {
			few += fmt.Sprintf(" 10.0.0.%d:15443", 100+i)
		}
		becomes(many)
		time.Sleep(lookAgain)
		is("when it has many", few[1:], "192.0.2.8:443 192.0.2.9:443", "its own", `the name "lb.test", by which a network is entered, has 74 addresses, of which the first 64 count`)
		becomes("192.0.2.3 192.0.2.2")
		time.Sleep(lookAgain)
		is("when it has few again", "192.0.2.2:15443 192.0.2.3:15443", "192.0.2.8:443 192.0.2.9:443", "its own")
		becomes("")
		time.Sleep(lookAgain)
		is("when nobody knows", "192.0.2.2:15443 192.0.2.3:15443", "192.0.2.8:443 192.0.2.9:443", "its own", `the name "lb.test", by which a network is entered, is not known: there is no such host`)
		w.tell(source.Batch{Changes: []source.Change{service("new.test")}})
		is("by another name", "", "192.0.2.8:443 192.0.2.9:443", `the name "new.test", by which a network is entered, is not known: there is no such host`)
		w.tell(source.Batch{Changes: []source.Change{{Key: key}}})
		is("when it is gone", "", "192.0.2.8:443 192.0.2.9:443")
		time.Sleep(lookAgain)
		is("for good", "", "192.0.2.8:443 192.0.2.9:443")
	})
}
