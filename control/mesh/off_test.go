package mesh

import (
	"testing"

	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/weftmesh/weft/control/source"
)

// What is off is off for those whom it is about, and what it does not touch is the same pointer, so that nobody else is told anything.
func TestOff(t *testing.T) {
	object := func(k source.Kind, ns, name string, labels map[string]string, spec any) source.Change {
		o := &source.Object{Key: source.Key{Kind: k, Namespace: ns, Name: name}, Labels: labels, Spec: spec}
		return source.Change{Key: o.Key, Object: o}
	}
	virtual := func(ns string, gateways ...string) source.Change {
		return object(source.VirtualService, ns, "v", nil, &networking.VirtualService{Hosts: []string{"x." + ns + ".example.com"}, Gateways: gateways})
	}
	x, y := map[string]string{"app": "x", labelTLSMode: modeIstio}, map[string]string{"app": "y", labelTLSMode: modeIstio}
	pod := func(name, ip string, labels map[string]string) source.Change {
		return object(source.Pod, "a", name, labels, &source.PodSpec{Status: source.PodStatus{Phase: "Running", PodIP: ip, Ready: true}})
	}
	m := New().With([]source.Change{
		virtual("a", "mesh", "a/edge"), virtual("b"), pod("x", "10.0.0.1", x), pod("y", "10.0.0.2", y),
		object(source.PeerAuthentication, "a", "strict", nil, &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}}),
		object(source.MeshConfig, "", "mesh", nil, &meshv1.MeshConfig{OutboundTrafficPolicy: &meshv1.MeshConfig_OutboundTrafficPolicy{Mode: meshv1.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY}, TrustDomain: "td"}),
	})
	routed := func(m *Mesh, gateway string) (from string) {
		for v := range m.Routes.Seen("a", gateway) {
			from += v.From.Namespace
		}
		return from
	}
	for _, one := range []struct {
		off            []string
		sidecars, edge string
	}{{nil, "ab", "a"}, {[]string{"a"}, "b", "a"}, {[]string{"b"}, "a", "a"}, {[]string{"a", "b"}, "", "a"}, {[]string{""}, "", "a"}} {
		is := m.Without(&Off{Routing: one.off})
		if got := routed(is, MeshGateway); got != one.sidecars {
			t.Errorf("without %q sidecars are routed by %q: want %q", one.off, got, one.sidecars)
		}
		if got := routed(is, "a/edge"); got != one.edge {
			t.Errorf("without %q the gateway is routed by %q: want %q", one.off, got, one.edge)
		}
		if is.Workloads != m.Workloads || is.Endpoints != m.Endpoints || is.Services != m.Services || is.Rules != m.Rules {
			t.Errorf("without %q something else is another", one.off)
		}
	}
	out := []Choice{{"a", map[string]string{"app": "x"}}}
	is := m.Without(&Off{Plain: out, Outside: out})
	if is.Routes != m.Routes || is.Rules != m.Rules || is.Services != m.Services {
		t.Error("a workload is outside, and something else is another")
	}
	if w := is.Workloads.At("", "a", "10.0.0.1"); w.Sidecar {
		t.Error("who is outside is spoken mTLS to")
	}
	if is.Workloads.At("", "a", "10.0.0.2") != m.Workloads.At("", "a", "10.0.0.2") || is.For("a", y) != is || is.For("b", x) != is {
		t.Error("who is not outside is another")
	}
	bare := is.For("a", x)
	if bare == is || routed(bare, MeshGateway) != "" || bare.Peers.For("a", x).Usual != Permissive || bare.Settings.RegistryOnly || bare.Settings.TrustDomain != "td" || len(bare.Services.All()) > 0 {
		t.Error("who is outside knows of the mesh")
	}
	if next := is.With([]source.Change{virtual("c")}); next.For("a", x) != bare {
		t.Error("who is outside is told of what does not concern him")
	}
	if back := is.Without(&Off{Outside: out}); !back.Workloads.At("", "a", "10.0.0.1").Sidecar || back.For("a", x) != bare {
		t.Error("who comes back is to take both, and to be spoken mTLS to")
	}
	if back := is.Without(&Off{}); back.For("a", x) != back || !back.Workloads.At("", "a", "10.0.0.1").Sidecar {
		t.Error("who is back is not")
	}
}
