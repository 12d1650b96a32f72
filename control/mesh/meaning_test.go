package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"

	"github.com/weftmesh/weft/control/source"
)

func object(k source.Kind, namespace, name string, age int, spec any) source.Change {
	o := &source.Object{Key: source.Key{Kind: k, Namespace: namespace, Name: name}, Spec: spec, Created: time.Unix(int64(age), 0)}
	return source.Change{Key: o.Key, Object: o}
}

// TestProtocols finds out what is spoken at ports as Istio does.
func TestProtocols(t *testing.T) {
	said := func(s string) *string { return &s }
	for _, c := range []struct {
		transport   string
		application *string
		name        string
		port        uint32
		want        Protocol
	}{
		{"TCP", nil, "http", 80, HTTP},
		{"TCP", nil, "http-web", 80, HTTP},
		{"TCP", nil, "HTTP2-x", 80, HTTP2},
		{"TCP", nil, "grpc", 80, GRPC},
		{"TCP", nil, "grpc-web-x", 80, GRPCWeb},
		{"TCP", nil, "grpc-x", 80, GRPC},
		{"TCP", nil, "https", 443, HTTPS},
		{"TCP", nil, "tls-x", 443, TLS},
		{"TCP", nil, "mongo", 80, Mongo},
		{"TCP", nil, "dubbo", 20880, Dubbo},
		{"TCP", nil, "dubbo-calls", 20880, Dubbo},
		{"TCP", said("dubbo"), "tcp", 20880, Dubbo},
		{"TCP", nil, "httpx", 80, Unknown},
		{"TCP", nil, "", 80, Unknown},
		{"TCP", nil, "", 3306, TCP},
		{"TCP", nil, "http", 3306, HTTP},
		{"UDP", nil, "http", 80, UDP},
		{"TCP", said("tcp"), "http", 80, TCP},
		{"TCP", said("kubernetes.io/h2c"), "x", 80, HTTP2},
		{"TCP", said("kubernetes.io/ws"), "x", 80, HTTP},
		{"TCP", said("kubernetes.io/wss"), "x", 80, HTTPS},
		{"TCP", said("own"), "http", 80, Unknown},
	} {
		if got := protocolOf(c.transport, c.application, c.name, c.port); got != c.want {
			t.Errorf("%s %v %q %d: %v, want %v", c.transport, c.application, c.name, c.port, got, c.want)
		}
	}
}

// TestWhichRule looks rules up in the client's namespace, then the service's, then the root's.
func TestWhichRule(t *testing.T) {
	rule := func(namespace, name, host string, age int, exportTo ...string) source.Change {
		return object(source.DestinationRule, namespace, name, age, &networking.DestinationRule{Host: host, ExportTo: exportTo})
	}
	const host = "x.b.svc.cluster.local"
	for _, c := range []struct {
		name  string
		rules []source.Change
		want  string // namespace/name
	}{
		{"none", nil, ""},
		{"the client's", []source.Change{rule("a", "r", host, 1), rule("b", "r", host, 1), rule("istio-system", "r", host, 1)}, "a/r"},
		{"the service's", []source.Change{rule("b", "r", "x", 1), rule("istio-system", "r", host, 1)}, "b/r"},
		{"the root's", []source.Change{rule("istio-system", "r", "*", 1)}, "istio-system/r"},
		{"not one that is not told", []source.Change{rule("b", "r", host, 1, "."), rule("istio-system", "r", host, 1)}, "istio-system/r"},
		{"one that is told this namespace", []source.Change{rule("b", "r", host, 1, "a")}, "b/r"},
		{"the most exact", []source.Change{rule("a", "all", "*", 1), rule("a", "wide", "*.svc.cluster.local", 1), rule("a", "near", "*.b.svc.cluster.local", 2)}, "a/near"},
		{"exact before wide, whatever its age", []source.Change{rule("a", "wide", "*.local", 1), rule("a", "r", host, 2)}, "a/r"},
		{"another's is not", []source.Change{rule("c", "r", host, 1)}, ""},
		{"the oldest leads", []source.Change{rule("a", "young", host, 2), rule("a", "old", host, 1)}, "a/old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if r := New().With(c.rules).Rules.For("a", host, "b"); r != nil {
				got = r.From[0].Namespace + "/" + r.From[0].Name
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestRulesOfAHostAreOne puts the rules of a host together: the first policy, and the first subset of each name.
func TestRulesOfAHostAreOne(t *testing.T) {
	m := New().With([]source.Change{
		object(source.DestinationRule, "a", "two", 2, &networking.DestinationRule{Host: "x", TrafficPolicy: &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Sni: "two"}}, Subsets: []*networking.Subset{{Name: "v1", Labels: map[string]string{"from": "two"}}, {Name: "v2"}}}),
		object(source.DestinationRule, "a", "one", 1, &networking.DestinationRule{Host: "x.a.svc.cluster.local", Subsets: []*networking.Subset{{Name: "v1", Labels: map[string]string{"from": "one"}}}}),
		object(source.DestinationRule, "a", "hidden", 3, &networking.DestinationRule{Host: "x", ExportTo: []string{"."}, Subsets: []*networking.Subset{{Name: "v3"}}}),
	})
	r := m.Rules.For("a", "x.a.svc.cluster.local", "a")
	if len(r.From) != 2 || r.Spec.GetTrafficPolicy().GetTls().GetSni() != "two" || r.Subset("v1").GetLabels()["from"] != "one" || r.Subset("v2") == nil || r.Subset("v3") != nil {
		t.Errorf("%v %v", r.From, r.Spec)
	}
	if o := m.Objects(source.DestinationRule).Get("a", "one").Spec.(*networking.DestinationRule); len(o.GetSubsets()) != 1 {
		t.Error("an object was written to")
	}
}

// TestPeerModes has the nearest PeerAuthentication count, and of several the oldest.
func TestPeerModes(t *testing.T) {
	policy := func(namespace, name string, age int, mode security.PeerAuthentication_MutualTLS_Mode, app string, ports ...uint32) source.Change {
		p := &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: mode}}
		if app != "" {
			p.Selector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": app}}
		}
		for _, port := range ports {
			if p.PortLevelMtls == nil {
				p.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{}
			}
			p.PortLevelMtls[port] = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_DISABLE}
		}
		return object(source.PeerAuthentication, namespace, name, age, p)
	}
	const unset, strict, disable, permissive = security.PeerAuthentication_MutualTLS_UNSET, security.PeerAuthentication_MutualTLS_STRICT, security.PeerAuthentication_MutualTLS_DISABLE, security.PeerAuthentication_MutualTLS_PERMISSIVE
	for _, c := range []struct {
		name     string
		policies []source.Change
		want     string // of a workload x in a: usually, at port 80
	}{
		{"none", nil, "0 0"},
		{"the mesh's", []source.Change{policy("istio-system", "m", 1, strict, "")}, "2 2"},
		{"the namespace's", []source.Change{policy("istio-system", "m", 1, strict, ""), policy("a", "n", 1, disable, "")}, "1 1"},
		{"the workload's", []source.Change{policy("a", "n", 1, disable, ""), policy("a", "w", 1, strict, "x")}, "2 2"},
		{"another workload's", []source.Change{policy("a", "n", 1, disable, ""), policy("a", "w", 1, strict, "y")}, "1 1"},
		{"a port's", []source.Change{policy("a", "w", 1, strict, "x", 80)}, "2 1"},
		{"unset is inherited", []source.Change{policy("istio-system", "m", 1, strict, ""), policy("a", "n", 1, unset, ""), policy("a", "w", 1, unset, "x")}, "2 2"},
		{"the oldest", []source.Change{policy("a", "young", 2, disable, ""), policy("a", "old", 1, strict, "")}, "2 2"},
		{"permissive in a strict mesh", []source.Change{policy("istio-system", "m", 1, strict, ""), policy("a", "n", 1, permissive, "")}, "0 0"},
		{"the root's for labels are its own workloads'", []source.Change{policy("istio-system", "m", 1, strict, "x")}, "0 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New().With(c.policies).Peers.For("a", map[string]string{"app": "x"})
			if got := fmt.Sprint(uint8(p.Usual), " ", uint8(p.At(80))); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestAddressesStay has a host keep its address when others come and go, and no two have the same.
func TestAddressesStay(t *testing.T) {
	entry := func(i int) source.Change {
		return object(source.ServiceEntry, "a", fmt.Sprint("e", i), 1, &networking.ServiceEntry{Hosts: []string{fmt.Sprintf("h%d.example.com", i)}, Resolution: networking.ServiceEntry_DNS, Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}})
	}
	addresses := func(m *Mesh) map[string]string {
		by := map[string]string{}
		for _, s := range m.Services.All() {
			by[s.Host] = s.Allocated
		}
		return by
	}
	const n = 2000
	var all []source.Change
	for i := range n {
		all = append(all, entry(i))
	}
	m := New().With(all)
	before := addresses(m)
	taken := slices.Sorted(maps.Values(before))
	if len(slices.Compact(taken)) != n {
		t.Error("two hosts have one address")
	}
	for _, a := range taken {
		if !strings.HasPrefix(a, "240.240.") || strings.HasSuffix(a, ".0") || strings.HasSuffix(a, ".255") {
			t.Errorf("%s", a)
		}
	}
	moved := 0
	for host, a := range addresses(m.With([]source.Change{{Key: all[7].Key}, entry(n)})) {
		if was, ok := before[host]; ok && was != a {
			moved++
		}
	}
	if moved > 2 {
		t.Errorf("%d addresses have moved", moved)
	}
	without := entry(7)
	without.Object.Labels = map[string]string{"networking.istio.io/enable-autoallocate-ip": "False"}
	if m = m.With([]source.Change{without}); addresses(m)["h7.example.com"] != "" || addresses(m)["h8.example.com"] == "" {
		t.Errorf("who wants no address has %s", addresses(m)["h7.example.com"])
	}
	if m = m.With([]source.Change{entry(7)}); addresses(m)["h7.example.com"] == "" {
		t.Error("who wants one again has none")
	}
}

// TestDelegates merges what a delegate says into what is left to it.
func TestDelegates(t *testing.T) {
	prefix := func(p string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: p}}
	}
	exact := func(p string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: p}}
	}
	regex := func(p string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: p}}
	}
	uri := func(m *networking.StringMatch) *networking.HTTPMatchRequest {
		return &networking.HTTPMatchRequest{Uri: m}
	}
	type list = []*networking.HTTPMatchRequest
	for _, c := range []struct {
		name       string
		root, leaf list
		want       int // matches; -1: the route is left out
	}{
		{"nothing said", nil, nil, 0},
		{"the root's", list{uri(prefix("/a"))}, nil, 1},
		{"the delegate's", nil, list{uri(prefix("/a"))}, 1},
		{"within", list{uri(prefix("/a"))}, list{uri(prefix("/a/b")), uri(exact("/a/c"))}, 2},
		{"outside", list{uri(prefix("/a"))}, list{uri(prefix("/b"))}, -1},
		{"wider", list{uri(prefix("/a/b"))}, list{uri(prefix("/a"))}, -1},
		{"one of them outside", list{uri(prefix("/a"))}, list{uri(prefix("/a/b")), uri(prefix("/b"))}, -1},
		{"in one of two", list{uri(prefix("/a")), uri(prefix("/b"))}, list{uri(prefix("/b/c"))}, 1},
		{"the same", list{uri(exact("/a"))}, list{uri(exact("/a"))}, 1},
		{"a prefix in an exact one", list{uri(exact("/a"))}, list{uri(prefix("/a"))}, -1},
		{"expressions", list{uri(regex("/a.*"))}, list{uri(exact("/ab"))}, -1},
		{"headers of both", list{{Headers: map[string]*networking.StringMatch{"a": exact("1")}}}, list{{Headers: map[string]*networking.StringMatch{"b": exact("2")}}}, 1},
		{"the same header otherwise", list{{Headers: map[string]*networking.StringMatch{"a": exact("1")}}}, list{{Headers: map[string]*networking.StringMatch{"a": exact("2")}}}, -1},
		{"another port", list{{Port: 80}}, list{{Port: 81}}, -1},
		{"another namespace", list{{SourceNamespace: "a"}}, list{{}}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := -1
			if r := mergeRoute(&networking.HTTPRoute{Name: "r", Match: c.root}, &networking.HTTPRoute{Name: "l", Match: c.leaf}); r != nil {
				if got = len(r.GetMatch()); r.GetName() != "r-l" {
					t.Errorf("named %s", r.GetName())
				}
			}
			if got != c.want {
				t.Errorf("%d matches, want %d", got, c.want)
			}
		})
	}
}

// TestCallsOfDelegates has what a delegate's requests become go with its routes, and change with it.
func TestCallsOfDelegates(t *testing.T) {
	route := func(name string) *networking.HTTPRoute {
		return &networking.HTTPRoute{Name: name, Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "x"}}}}
	}
	with := func(c source.Change, at int, service string) source.Change {
		c.Object.More = &source.VirtualServiceMore{HTTP: map[int]*source.HTTPRouteMore{at: {Dubbo: &source.DubboCalls{Service: service}}}}
		return c
	}
	leaf := func(service string) source.Change {
		outside := route("outside")
		outside.Match = []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: "/b"}}}}
		return with(object(source.VirtualService, "b", "leaf", 1, &networking.VirtualService{Http: []*networking.HTTPRoute{outside, route("plain"), route("calls")}}), 2, service)
	}
	root := with(object(source.VirtualService, "a", "root", 1, &networking.VirtualService{Hosts: []string{"x"}, Http: []*networking.HTTPRoute{
		{Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/a"}}}}, Delegate: &networking.Delegate{Name: "leaf", Namespace: "b"}}, route("own"),
	}}), 1, "own.S")
	m := New().With([]source.Change{root, leaf("leaf.S")})
	says := func(want string) {
		t.Helper()
		var got []string
		for _, r := range m.Routes.Get("a", "root").HTTP {
			text := r.GetName()
			if r.Calls != nil {
				text += " " + r.Calls.Service
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != want || !m.Routes.Get("a", "root").MakesCalls() {
			t.Errorf("routes are %q, want %s", got, want)
		}
	}
	says("plain, calls leaf.S, own own.S")
	m = m.With([]source.Change{leaf("other.S")})
	says("plain, calls other.S, own own.S")
}

// TestOneOfEachHost has a namespace see its own service of a host before Kubernetes' and those before the oldest.
func TestOneOfEachHost(t *testing.T) {
	entry := func(namespace string, age int) source.Change {
		return object(source.ServiceEntry, namespace, "e", age, &networking.ServiceEntry{Hosts: []string{"x.k.svc.cluster.local"}, Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}})
	}
	service := object(source.Service, "k", "x", 9, &source.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []source.ServicePort{{Name: "http", Port: 80}}})
	for _, c := range []struct {
		name    string
		objects []source.Change
		want    string // namespace
	}{
		{"its own", []source.Change{service, entry("a", 5), entry("b", 1)}, "a"},
		{"Kubernetes'", []source.Change{service, entry("b", 1)}, "k"},
		{"the oldest", []source.Change{entry("c", 2), entry("b", 1)}, "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := New().With(c.objects).Services.Seen("a", "")
			if len(seen) != 1 || seen[0].Namespace != c.want {
				t.Errorf("%d, want that of %s", len(seen), c.want)
			}
		})
	}
}

// TestNetworks says where addresses are: the longest prefix, else the registry's.
func TestNetworks(t *testing.T) {
	net := func(name string) *meshv1.Network_NetworkEndpoints {
		if strings.Contains(name, "/") {
			return &meshv1.Network_NetworkEndpoints{Ne: &meshv1.Network_NetworkEndpoints_FromCidr{FromCidr: name}}
		}
		return &meshv1.Network_NetworkEndpoints{Ne: &meshv1.Network_NetworkEndpoints_FromRegistry{FromRegistry: name}}
	}
	s := New().With([]source.Change{object(source.MeshNetworks, "", "n", 1, &meshv1.MeshNetworks{Networks: map[string]*meshv1.Network{
		"wide": {Endpoints: []*meshv1.Network_NetworkEndpoints{net("10.0.0.0/8")}}, "near": {Endpoints: []*meshv1.Network_NetworkEndpoints{net("10.1.0.0/16")}},
		"rest": {Endpoints: []*meshv1.Network_NetworkEndpoints{net("Kubernetes")}}, "far": {Endpoints: []*meshv1.Network_NetworkEndpoints{net("east")}},
	}})}).Settings
	for address, want := range map[string]string{"10.1.2.3": "near", "10.2.0.1": "wide", "192.0.2.1": "rest", "a.example.com": "rest"} {
		if got := s.networkOf("", address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := s.networkOf("east", "192.0.2.1"); got != "far" {
		t.Errorf("in another cluster: %s", got)
	}
}
