package translate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// TestShorterNames are what clients may call a host in their own domain.
func TestShorterNames(t *testing.T) {
	for _, c := range []struct{ host, domain, want string }{
		{"x.a.svc.cluster.local", "a.svc.cluster.local", "x.a.svc.cluster.local. x x.a.svc x.a"},
		{"x.b.svc.cluster.local", "a.svc.cluster.local", "x.b.svc.cluster.local. x.b.svc x.b"},
		{"x.a.svc.other.local", "a.svc.cluster.local", "x.a.svc.other.local."},
		{"api.example.com", "a.svc.cluster.local", "api.example.com."},
		{"foo.local.campus.net", "local.campus.net", "foo.local.campus.net. foo"},
		{"foo.local.campus.net", "remote.campus.net", "foo.local.campus.net. foo.local foo.local.campus"},
		{"*.example.com", "example.com", ""},
		{"10.0.0.1", "a.svc.cluster.local", ""},
	} {
		if got := strings.Join(shorter(c.host, c.domain), " "); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.host, c.domain, got, c.want)
		}
	}
}

// TestCovers tells what is in a wildcard.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		wide, host string
		want       bool
	}{
		{"*", "a.b", true}, {"a.b", "a.b", true}, {"*.b", "a.b", true}, {"*.b", "x.a.b", true}, {"*.b", "b", false}, {"*.b", "*.a.b", true}, {"*.a.b", "*.b", false}, {"a.b", "c.b", false},
	} {
		if got := covers(c.wide, c.host); got != c.want {
			t.Errorf("%s covers %s: %v", c.wide, c.host, got)
		}
	}
}

// TestRetriesOn tells codes from conditions.
func TestRetriesOn(t *testing.T) {
	for said, want := range map[string]string{
		"5xx,reset": "5xx,reset", "503, 504": "retriable-status-codes 503 504", "gateway-error,503,retriable-status-codes": "gateway-error,retriable-status-codes 503", "999": "999",
	} {
		conditions, codes := retryOn(said)
		got := conditions
		for _, c := range codes {
			got += " " + portText(c)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", said, got, want)
		}
	}
}

// TestPlaces orders endpoints by how far they are, once failing ones are noticed, or spreads requests as it is said.
func TestPlaces(t *testing.T) {
	settings := mesh.New().Settings
	here := mesh.Locality{Region: "r1", Zone: "z1", SubZone: "s1"}
	list := func() []*mesh.Endpoint {
		var l []*mesh.Endpoint
		for i, place := range []string{"r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1"} {
			parts := strings.Split(place, "/")
			l = append(l, &mesh.Endpoint{Address: "10.0.0." + portText(uint32(i+1)), Port: 80, Locality: mesh.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}})
		}
		return l
	}
	lb := func(s *networking.LocalityLoadBalancerSetting) *networking.LoadBalancerSettings {
		return &networking.LoadBalancerSettings{LocalityLbSetting: s}
	}
	for _, c := range []struct {
		name     string
		failing  bool
		balancer *networking.LoadBalancerSettings
		want     string // place:priority:weight
	}{
		{"nobody notices failures", false, nil, "r1/z1/s1:0:1 r1/z1/s2:0:1 r1/z2/s1:0:1 r2/z1/s1:0:1 r3/z1/s1:0:1"},
		{"the nearest first", true, nil, "r1/z1/s1:0:1 r1/z1/s2:1:1 r1/z2/s1:2:1 r2/z1/s1:3:1 r3/z1/s1:3:1"},
		{"a region stands in", true, lb(&networking.LocalityLoadBalancerSetting{Failover: []*networking.LocalityLoadBalancerSetting_Failover{{From: "r1", To: "r3"}}}), "r1/z1/s1:0:1 r1/z1/s2:1:1 r1/z2/s1:2:1 r3/z1/s1:3:1 r2/z1/s1:4:1"},
		{"shares", false, lb(&networking.LocalityLoadBalancerSetting{Distribute: []*networking.LocalityLoadBalancerSetting_Distribute{{From: "r1/z1/*", To: map[string]uint32{"r1/z1/*": 80, "r2/*": 20}}}}), "r1/z1/s1:0:40 r1/z1/s2:0:40 r2/z1/s1:0:20"},
		{"shares of another place", false, lb(&networking.LocalityLoadBalancerSetting{Distribute: []*networking.LocalityLoadBalancerSetting_Distribute{{From: "r9", To: map[string]uint32{"r2": 100}}}}), "r1/z1/s1:0:1 r1/z1/s2:0:1 r1/z2/s1:0:1 r2/z1/s1:0:1 r3/z1/s1:0:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := assignment(&assignmentTraits{settings: settings, locality: here}, "c", list(), c.failing, c.balancer)
			var got []string
			for _, l := range a.Endpoints {
				got = append(got, place(l)+":"+portText(l.Priority)+":"+portText(l.LoadBalancingWeight.GetValue()))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

func place(l *endpointv3.LocalityLbEndpoints) string {
	return l.GetLocality().GetRegion() + "/" + l.GetLocality().GetZone() + "/" + l.GetLocality().GetSubZone()
}

// TestNodes reads what nodes say of themselves.
func TestNodes(t *testing.T) {
	p := proxyOf(t, `{id: sidecar~10.1.0.1~a.b.shop~shop.svc.cluster.local, metadata: {LABELS: {app: x}, ISTIO_VERSION: "1.29", DNS_CAPTURE: "true", INTERCEPTION_MODE: TPROXY, SERVICE_ACCOUNT: acc}, locality: {region: r}}`)
	if p.Namespace != "shop" || p.Account != "acc" || p.Labels["app"] != "x" || p.Locality.Region != "r" || p.Identity != FromAgent || p.Traits != (Traits{Istio: true, Transparent: true, Captured: true}) {
		t.Errorf("%+v", p)
	}
	p = proxyOf(t, `{id: "router~2001:db8::1~a.edge~edge.svc.cluster.local", user_agent_name: weft, metadata: {NAMESPACE: other, WEFT_IDENTITY: none}}`)
	if p.Role != Gateway || p.Namespace != "other" || p.Identity != NoIdentity || p.Traits != (Traits{ByHost: true, Weft: true, Istio: true, Gateway: true, IPv6: true}) {
		t.Errorf("%+v", p)
	}
	for _, id := range []string{"", "a", "sidecar~1~2", "sidecar~x~a.b~c", "ztunnel~10.0.0.1~a.b~c", "sidecar~10.0.0.1~a~c", "sidecar~10.0.0.1~a.~c",
		strings.Repeat("x", maxNode/2), "sidecar~10.0.0.1~a.b~" + strings.Repeat("x", maxNode)} { // which are said, cut, in the log
		if _, err := ProxyOf(&corev3.Node{Id: id}); err == nil || !strings.HasPrefix(err.Error(), "translate: ") || len(err.Error()) > 1000 {
			t.Errorf("%.100q: %.1000v", id, err)
		}
	}
}

// TestMachines reads what Istio's agent says outside of Kubernetes: the group, and whether it probes the workload.
func TestMachines(t *testing.T) {
	for config, probed := range map[string]bool{"{concurrency: 2}": false, "{readinessProbe: {tcpSocket: {port: 80}}}": true} {
		if p := proxyOf(t, `{id: sidecar~10.1.0.1~a.shop~b, metadata: {AUTO_REGISTER_GROUP: vm, WORKLOAD_ENTRY: e, PROXY_CONFIG: `+config+`}}`); p.Group != "vm" || p.Entry != "e" || p.Probed != probed {
			t.Errorf("%s: %+v", config, p)
		}
	}
}

// FuzzNodes has nodes say anything.
func FuzzNodes(f *testing.F) {
	f.Add("sidecar~10.1.0.1~a.b~c.d")
	f.Add("~~~")
	f.Fuzz(func(t *testing.T, id string) {
		p, err := ProxyOf(&corev3.Node{Id: id})
		if (p == nil) == (err == nil) {
			t.Fatal(p, err)
		}
		if p != nil && p.Namespace == "" {
			t.Error("no namespace")
		}
	})
}

// TestNoIdentity has a proxy that cannot prove anything let nobody in where it is asked for, and secure nothing by itself.
func TestNoIdentity(t *testing.T) {
	for _, w := range ways(mesh.Strict, mesh.HTTP, Traits{}) {
		if !w.ends {
			t.Errorf("%+v lets anybody in", w)
		}
	}
	for _, protocol := range []mesh.Protocol{mesh.Unknown, mesh.HTTP, mesh.TCP} {
		if slices.ContainsFunc(ways(mesh.Disable, protocol, Traits{}), func(w way) bool { return w.ends }) {
			t.Errorf("%v: mTLS ends where it is switched off", protocol)
		}
	}
}

// Only weft has a chain for calls inside of mTLS, and only where nothing else says what a port speaks: one that has a protocol is as it was.
func TestCallsInsideOfMTLS(t *testing.T) {
	for _, mode := range []mesh.Mode{mesh.Strict, mesh.Permissive, mesh.Disable} {
		for _, protocol := range []mesh.Protocol{mesh.Unknown, mesh.Dubbo, mesh.TCP, mesh.HTTP} {
			for _, weft := range []bool{true, false} {
				var got []way
				for _, w := range ways(mode, protocol, Traits{Weft: weft}) {
					if slices.Contains(w.offered, alpnDubbo) {
						got = append(got, w)
					}
				}
				want := weft && protocol == mesh.Unknown && mode != mesh.Disable
				if (len(got) > 0) != want || len(got) > 1 {
					t.Errorf("mode %v, protocol %v, weft %v: %+v", mode, protocol, weft, got)
				}
				if want && (got[0].transport != "tls" || got[0].seen != seenCalls || !got[0].ends || !slices.Equal(got[0].chosen(), []string{alpnDubbo})) {
					t.Errorf("mode %v: %+v, of which %q are chosen", mode, got[0], got[0].chosen())
				}
			}
		}
	}
}

// TestAccountsAreExact: dots of names are dots (hazard 87), and no part of an identity is taken for another.
func TestAccountsAreExact(t *testing.T) {
	w := &ruleWriter{settings: mesh.New().Settings, namespace: "n.s"}
	for _, c := range []struct {
		what string
		p    *rbacv3.Principal
		id   string
		want bool
	}{
		{"account", w.account("a.b"), "spiffe://cluster.local/ns/n.s/sa/a.b", true},
		{"account", w.account("a.b"), "spiffe://cluster.local/ns/n.s/sa/aXb", false},
		{"account", w.account("a.b"), "spiffe://cluster.local/ns/nXs/sa/a.b", false},
		{"account", w.account("a.b"), "spiffe://cluster.local/ns/n.s/sa/a.bc", false},
		{"account", w.account("a.b"), "spiffe://cluster.local/ns/n.s/sa/ca.b", false},
		{"account", w.account("other/a.b"), "spiffe://cluster.local/ns/other/sa/a.b", true},
		{"account", w.account("other/a.b"), "spiffe://cluster.local/ns/n.s/sa/a.b", false},
		{"namespace", w.space("n.s"), "spiffe://cluster.local/ns/n.s/sa/a", true},
		{"namespace", w.space("n.s"), "spiffe://cluster.local/ns/nXs/sa/a", false},
		{"namespace", w.space("n.s"), "spiffe://cluster.local/ns/n.s2/sa/a", false},
		{"namespace", w.space("prod-*"), "spiffe://cluster.local/ns/prod-1/sa/a", true},
		{"namespace", w.space("prod-*"), "spiffe://cluster.local/ns/prod/sa/a", false},
		{"principal", w.principal("cluster.local/ns/n/sa/a.b"), "spiffe://cluster.local/ns/n/sa/a.b", true},
		{"principal", w.principal("cluster.local/ns/n/sa/a.b"), "spiffe://cluster.local/ns/n/sa/aXb", false},
		{"principal", w.principal("*/ns/n/sa/a.b"), "spiffe://clusterXlocal/ns/n/sa/a.b", true},
		{"principal", w.principal("*/ns/n/sa/a.b"), "spiffe://cluster.local/ns/n/sa/aXb", false},
	} {
		m := c.p.GetAuthenticated().GetPrincipalName()
		got := m.GetExact() != "" && m.GetExact() == c.id || m.GetPrefix() != "" && strings.HasPrefix(c.id, m.GetPrefix())
		if re := m.GetSafeRegex().GetRegex(); re != "" {
			got = regexp.MustCompile("^(?:" + re + ")$").MatchString(c.id)
		}
		if got != c.want {
			t.Errorf("%s %v of %s: %v, want %v", c.what, m, c.id, got, c.want)
		}
	}
}

// TestInboundRetries has what is tried again at a workload be what the mesh says of it, and nothing of what a stream may be.
func TestInboundRetries(t *testing.T) {
	for _, c := range []struct {
		name     string
		said     *networking.HTTPRetry
		protocol mesh.Protocol
		want     string
	}{
		{"nobody says anything", nil, mesh.HTTP, "<nil>"},
		{"never", &networking.HTTPRetry{}, mesh.HTTP, "<nil>"},
		{"as often", &networking.HTTPRetry{Attempts: 3}, mesh.HTTP, "3 reset-before-request []"},
		{"for codes", &networking.HTTPRetry{Attempts: 1, RetryOn: "reset,503", PerTryTimeout: durationpb.New(1)}, mesh.Unknown, "1 reset,retriable-status-codes [503]"},
		{"a call of gRPC's", &networking.HTTPRetry{Attempts: 3}, mesh.GRPC, "<nil>"},
	} {
		got := "<nil>"
		if p := inboundRetries(c.said, c.protocol); p != nil {
			got = fmt.Sprint(p.GetNumRetries().GetValue(), " ", p.GetRetryOn(), " ", p.GetRetriableStatusCodes())
			if p.GetPerTryTimeout() != nil || p.GetRetryHostPredicate() != nil {
				t.Errorf("%s: %v", c.name, p)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
