package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"

	"github.com/weftmesh/weft/control/source"
)

// describe is all that a mesh says, as text.
func describe(m *Mesh) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("settings %v %v %v %s", m.Settings.RootNamespace, m.Settings.RegistryOnly, m.Settings.ConnectTimeout, m.Settings.networkOf("", "10.0.0.1"))
	for _, s := range m.Services.All() {
		say("service %s/%s from %s at %v %s %v headless %v external %v seen %v", s.Namespace, s.Host, s.From, s.Addresses, s.Allocated, s.Resolution, s.Headless, s.External, s.Visible)
		for _, p := range s.Ports {
			say("  port %v", *p)
		}
		e := m.Endpoints.Of(s)
		for i, list := range e.Ports {
			for _, one := range list {
				say("  endpoint %d %v", i, *one)
			}
		}
		say("  accounts %v", e.Accounts)
		for _, ns := range []string{"a", "b", "root"} {
			r := m.Rules.For(ns, s.Host, s.Namespace)
			if r == nil {
				say("  no rule in %s", ns)
				continue
			}
			say("  rule in %s: %v %s %s", ns, r.From, r.Host, plainText(r.Spec))
		}
	}
	for _, ns := range []string{"a", "b", "root"} {
		for _, cluster := range testClusters {
			for _, s := range m.Services.Seen(ns, cluster) {
				say("%s of %q sees %s of %s, as %s", ns, cluster, s.Host, s.Namespace, s.From)
			}
			for i := range 6 {
				if w := m.Workloads.At(cluster, ns, fmt.Sprintf("10.0.0.%d", i)); w != nil {
					say("at %d of %q is %v", i, cluster, *w)
				}
			}
		}
		for v := range m.Routes.Seen(ns, MeshGateway) {
			say("%s routes by %s: %v %v", ns, v.From, v.Hosts, v.Visible)
			for _, r := range v.HTTP {
				say("  %s %s %s %v", r.Namespace, r.Owner, plainText(r.HTTPRoute), r.Calls)
			}
		}
		for _, app := range []string{"x", "y"} {
			say("%s %s peers %v", ns, app, *m.Peers.For(ns, map[string]string{"app": app}))
		}
		for i := range 6 {
			if w := m.Workloads.Machine(ns, fmt.Sprintf("10.0.0.%d", i)); w != nil {
				say("at %d is the machine %v", i, *w)
			}
			var hosts []string
			for _, s := range m.Endpoints.At(ns, fmt.Sprintf("10.0.0.%d", i)) {
				hosts = append(hosts, s.Host+" "+s.From.String())
			}
			slices.Sort(hosts)
			say("at %d is served %q", i, hosts)
		}
	}
	for _, kind := range []source.Kind{source.Gateway, source.VirtualService} {
		for _, o := range m.Objects(kind).All() {
			if strings.HasPrefix(o.Name, entryName) {
				say("%s is %s", o.Key, plainText(o.Spec.(proto.Message)))
			}
		}
	}
	say("clusters %q, networks %v", m.Clusters(), m.Networks)
	for _, app := range []string{"x", "y"} {
		if of := m.For("a", map[string]string{"app": app}); of != m {
			say("%s is outside, of %s", app, describe(of))
		}
	}
	return b.String()
}

// testClusters are the first one, and two that were attached.
var testClusters = []string{"", "east", "west"}

func plainText(m proto.Message) string {
	js, err := protojson.Marshal(m)
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(js), " ", "") // protojson puts blanks where it likes
}

// random makes a change of one of few objects, so that it often meets one that there is.
func random(r *rand.Rand) source.Change {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	ns, app := pick("a", "b", "root"), pick("x", "y")
	k := source.Key{Namespace: ns, Name: app}
	var labels, annotations map[string]string
	var spec, more any
	number := int32(80 + r.IntN(2))
	switch r.IntN(16) {
	case 0:
		k.Kind = source.Service
		s := &source.ServiceSpec{ClusterIP: pick("10.1.0.1", "10.1.0.2", "None"), Selector: map[string]string{"app": pick("x", "y")}, PublishNotReadyAddresses: r.IntN(4) == 0, Ports: []source.ServicePort{{Name: pick("http", "tcp", "what"), Port: number}}}
		if r.IntN(4) == 0 {
			s.Type = "ExternalName"
		}
		if r.IntN(4) == 0 {
			labels, s.ExternalIPs = map[string]string{NetworkLabel: pick("n1", "n2")}, []string{pick("192.0.2.7", "192.0.2.8")}
		}
		if spec = s; r.IntN(3) == 0 {
			annotations = map[string]string{exportAnnotation: pick(".", "*", "b", "a, root")}
		}
	case 1, 2:
		k.Kind, k.Name = source.EndpointSlice, pick("1", "2")+app
		labels = map[string]string{labelService: pick(app, "x")}
		s := &source.EndpointSliceSpec{AddressType: "IPv4", Ports: []source.SlicePort{{Name: pick("http", "tcp"), Port: number}}}
		for range r.IntN(3) {
			e := source.SliceEndpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d", r.IntN(6))}}
			if r.IntN(2) == 0 {
				e.TargetRef = &source.ObjectRef{Kind: "Pod", Namespace: ns, Name: pick("p", "q")}
			}
			if r.IntN(3) == 0 {
				node := pick("n", "o")
				e.NodeName = &node
			}
			if ready := r.IntN(3) > 0; r.IntN(2) == 0 {
				e.Conditions.Ready = &ready
			}
			s.Endpoints = append(s.Endpoints, e)
		}
		spec = s
	case 3:
		k.Kind, k.Name = source.Pod, pick("p", "q")
		labels = map[string]string{"app": app, "version": pick("v1", "v2")}
		if r.IntN(2) == 0 {
			labels[labelTLSMode] = modeIstio
		}
		spec = &source.PodSpec{NodeName: pick("n", "o", ""), ServiceAccountName: pick("", "s"), HostNetwork: r.IntN(5) == 0, Status: source.PodStatus{Phase: pick("Running", "Failed"), PodIP: fmt.Sprintf("10.0.0.%d", r.IntN(6)), Ready: r.IntN(3) > 0}}
	case 4:
		k = source.Key{Kind: source.Node, Name: pick("n", "o")}
		labels, spec = map[string]string{labelRegion: pick("r1", "r2"), labelZone: pick("z1", "z2")}, &source.NodeSpec{}
	case 5:
		k.Kind = source.ServiceEntry
		s := &networking.ServiceEntry{
			Hosts: []string{pick("one", "two") + ".example.com", pick("three", "*") + ".example.com"}, Ports: []*networking.ServicePort{{Name: "http", Number: uint32(number), Protocol: pick("HTTP", "TCP")}},
			Resolution: networking.ServiceEntry_Resolution(r.IntN(3)),
		}
		switch r.IntN(4) {
		case 0:
			s.Addresses = []string{pick("192.0.2.1", "192.0.2.0/24")}
		case 1:
			s.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": app}}
		case 2:
			s.Endpoints = []*networking.WorkloadEntry{{Address: fmt.Sprintf("10.0.0.%d", r.IntN(6)), Labels: map[string]string{"version": "v1"}, ServiceAccount: pick("", "s")}}
		}
		if spec = s; r.IntN(3) == 0 {
			s.ExportTo = []string{pick(".", "b")}
		}
	case 6:
		k.Kind = source.WorkloadEntry
		spec = &networking.WorkloadEntry{Address: fmt.Sprintf("10.0.0.%d", r.IntN(6)), Labels: map[string]string{"app": app}, Weight: uint32(r.IntN(3)), Locality: pick("", "r1/z1")}
	case 7, 8:
		k.Kind, k.Name = source.VirtualService, pick("v", "w")
		s := &networking.VirtualService{Hosts: []string{pick("x", "y", "*.example.com")}}
		if r.IntN(3) == 0 {
			s.Hosts = nil
		}
		for range r.IntN(3) {
			one := &networking.HTTPRoute{Name: pick("", "n")}
			if r.IntN(2) == 0 {
				one.Match = []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: pick("/", "/a", "/a/b")}}}}
			}
			if s.Hosts != nil && r.IntN(2) == 0 {
				one.Delegate = &networking.Delegate{Name: pick("v", "w"), Namespace: pick("", "a", "b")}
			} else {
				one.Route = []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: app}}}
				if r.IntN(3) == 0 {
					more = &source.VirtualServiceMore{HTTP: map[int]*source.HTTPRouteMore{len(s.Http): {Dubbo: &source.DubboCalls{Service: pick("a.B", "a.C")}}}}
				}
			}
			s.Http = append(s.Http, one)
		}
		if spec = s; r.IntN(4) == 0 {
			s.ExportTo = []string{pick(".", "b")}
		}
	case 9, 10:
		k.Kind, k.Name = source.DestinationRule, pick("d", "e")
		s := &networking.DestinationRule{Host: pick("x", "y", "*.example.com", "x.a.svc.cluster.local", "*"), Subsets: []*networking.Subset{{Name: pick("v1", "v2"), Labels: map[string]string{"version": "v1"}}}}
		if r.IntN(2) == 0 {
			s.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Sni: pick("s", "t")}}
		}
		if spec = s; r.IntN(4) == 0 {
			s.ExportTo = []string{pick(".", "b")}
		}
	case 13, 14:
		k.Kind, k.Name = source.Ingress, pick("i", "j")
		s := &source.IngressSpec{ClassName: pick("", "ours", "theirs")}
		if r.IntN(2) == 0 {
			annotations = map[string]string{source.IngressClassAnnotation: pick("istio", "other")}
		}
		if r.IntN(3) == 0 {
			s.TLS = []source.IngressTLS{{SecretName: "cert"}}
		}
		for range r.IntN(3) {
			rule := source.IngressRule{Host: pick("", "shop.test", "*.test")}
			for range r.IntN(3) {
				b := &source.IngressService{Name: pick("x", "y")}
				if b.Port.Number = number; r.IntN(2) == 0 {
					b.Port.Number, b.Port.Name = 0, pick("http", "tcp")
				}
				rule.HTTP.Paths = append(rule.HTTP.Paths, source.IngressPath{Path: pick("/", "/a", "/a/b", "/c*"), PathType: pick("Exact", "Prefix", "ImplementationSpecific"), Backend: source.IngressBackend{Service: b}})
			}
			s.Rules = append(s.Rules, rule)
		}
		spec = s
	case 15:
		k = source.Key{Kind: source.IngressClass, Name: pick("ours", "theirs")}
		spec = &source.IngressClassSpec{Controller: pick(source.IngressController, "example.com/other")}
	case 11:
		k.Kind, k.Name = source.PeerAuthentication, pick("m", "o")
		s := &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_Mode(r.IntN(4))}}
		if r.IntN(2) == 0 {
			s.Selector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": app}}
			s.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{80: {Mode: security.PeerAuthentication_MutualTLS_Mode(r.IntN(4))}}
		}
		spec = s
	default:
		if r.IntN(2) == 0 {
			k = source.Key{Kind: source.Namespace, Name: "root"}
			labels, spec = map[string]string{NetworkLabel: pick("n1", "n2")}, &source.NamespaceSpec{}
			break
		}
		k = source.Key{Kind: source.MeshConfig, Name: "mesh"}
		c := &meshv1.MeshConfig{RootNamespace: "root"}
		switch r.IntN(3) {
		case 0:
			c.DefaultServiceExportTo, c.DefaultVirtualServiceExportTo = []string{"."}, []string{"."}
		case 1:
			c.TrustDomain = pick("td1", "td2")
		default:
			c.ServiceSettings = []*meshv1.MeshConfig_ServiceSettings{{Hosts: []string{pick("x.a.svc.cluster.local", "*.a.svc.cluster.local", "*")}, Settings: &meshv1.MeshConfig_ServiceSettings_Settings{ClusterLocal: true}}}
		}
		spec = c
	}
	switch k.Kind {
	case source.Service, source.EndpointSlice, source.Pod, source.Node, source.Namespace:
		k.Cluster = pick(testClusters...)
	}
	if r.IntN(4) == 0 {
		return source.Change{Key: k}
	}
	return source.Change{Key: k, Object: &source.Object{Key: k, Labels: labels, Annotations: annotations, Spec: spec, More: more, Created: time.Unix(int64(r.IntN(3)), 0)}}
}

// randomOff switches something off, or all on.
func randomOff(r *rand.Rand) *Off {
	off := &Off{}
	if r.IntN(2) == 0 {
		off.Routing = []string{[]string{"", "a", "b"}[r.IntN(3)]}
	}
	if r.IntN(2) == 0 {
		off.Plain = []Choice{{"a", map[string]string{"app": []string{"x", "y"}[r.IntN(2)]}}}
		if off.Outside = off.Plain; r.IntN(2) == 0 {
			off.Plain = nil
		}
	}
	return off
}

// TestInAnyPortions has a mesh say the same however its objects came to be in it.
func TestInAnyPortions(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		m, now := New().Of("home"), map[source.Key]*source.Object{}
		off := &Off{}
		for step := range 40 {
			var portion []source.Change
			for range 1 + r.IntN(4) {
				c := random(r)
				portion = append(portion, c)
				if now[c.Key] = c.Object; c.Object == nil {
					delete(now, c.Key)
				}
			}
			m = m.With(portion)
			if r.IntN(3) == 0 {
				off = randomOff(r)
				m = m.Without(off)
			}
			if step%8 != 7 {
				continue
			}
			var all []source.Change
			for k, o := range now {
				all = append(all, source.Change{Key: k, Object: o})
			}
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			if got, want := describe(m), describe(New().Of("home").Without(off).With(all)); got != want {
				t.Fatalf("seed %d, step %d:\n%s", seed, step, parting(got, want))
			}
		}
	}
}

// parting is where two texts part.
func parting(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(l []string) string { return strings.Join(l[max(0, i-3):min(len(l), i+4)], "\n") }
	return "in portions:\n" + cut(a) + "\nat once:\n" + cut(b)
}

// TestWhatDidNotChangeStays has each change touch its own only.
func TestWhatDidNotChangeStays(t *testing.T) {
	object := func(k source.Kind, name string, labels map[string]string, spec any) source.Change {
		o := &source.Object{Key: source.Key{Kind: k, Namespace: "a", Name: name}, Labels: labels, Spec: spec}
		return source.Change{Key: o.Key, Object: o}
	}
	service := func(ip string) *source.ServiceSpec {
		return &source.ServiceSpec{ClusterIP: ip, Ports: []source.ServicePort{{Name: "http", Port: 80}}}
	}
	slice := func(ip string) *source.EndpointSliceSpec {
		return &source.EndpointSliceSpec{AddressType: "IPv4", Endpoints: []source.SliceEndpoint{{Addresses: []string{ip}}}, Ports: []source.SlicePort{{Name: "http", Port: 80}}}
	}
	rule := func(host, sni string) *networking.DestinationRule {
		return &networking.DestinationRule{Host: host, TrafficPolicy: &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Sni: sni}}}
	}
	virtual := func(host, to string) *networking.VirtualService {
		return &networking.VirtualService{Hosts: []string{host}, Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: to}}}}}}
	}
	entry := func(ip string) *networking.ServiceEntry {
		return &networking.ServiceEntry{Hosts: []string{"z.example.com"}, Addresses: []string{"192.0.2.1"}, Resolution: networking.ServiceEntry_STATIC,
			Ports: []*networking.ServicePort{{Name: "http", Number: 80, Protocol: "HTTP"}}, Endpoints: []*networking.WorkloadEntry{{Address: ip}}}
	}
	of := func(name string) map[string]string { return map[string]string{labelService: name} }
	in := func(cluster string, c source.Change) source.Change {
		if c.Key.Cluster = cluster; c.Object != nil {
			c.Object.Key.Cluster = cluster
		}
		return c
	}
	m := New().With([]source.Change{
		in("east", object(source.Service, "y", nil, service("10.9.0.2"))), in("east", object(source.EndpointSlice, "y1", of("y"), slice("10.9.0.7"))),
		object(source.Service, "x", nil, service("10.0.0.1")), object(source.Service, "y", nil, service("10.0.0.2")),
		object(source.ServiceEntry, "z", nil, entry("10.1.0.3")),
		object(source.EndpointSlice, "x1", of("x"), slice("10.1.0.1")), object(source.EndpointSlice, "y1", of("y"), slice("10.1.0.2")),
		object(source.DestinationRule, "x", nil, rule("x", "s")), object(source.DestinationRule, "y", nil, rule("y", "s")),
		object(source.VirtualService, "x", nil, virtual("x", "x")), object(source.VirtualService, "y", nil, virtual("y", "y")),
	})
	// what there is, by name, as pointers
	pointers := func(m *Mesh) map[string]any {
		p := map[string]any{"services": m.Services, "endpoints": m.Endpoints, "routes": m.Routes, "rules": m.Rules, "settings": m.Settings}
		for _, s := range m.Services.All() {
			p["service "+s.Name+s.Cluster()], p["endpoints "+s.Name+s.Cluster()] = s, m.Endpoints.Of(s)
			p["rule "+s.Name], p["virtual "+s.Name] = m.Rules.For("a", s.Host, "a"), m.Routes.Get("a", s.Name)
		}
		return p
	}
	for _, c := range []struct {
		name    string
		change  source.Change
		touches []string
	}{
		{"a VirtualService", object(source.VirtualService, "x", nil, virtual("x", "y")), []string{"routes", "virtual x"}},
		{"a DestinationRule", object(source.DestinationRule, "x", nil, rule("x", "t")), []string{"rule x", "rules"}},
		{"an endpoint", object(source.EndpointSlice, "x1", of("x"), slice("10.1.0.9")), []string{"endpoints", "endpoints x"}},
		{"an endpoint in another cluster", in("east", object(source.EndpointSlice, "y1", of("y"), slice("10.9.0.8"))), []string{"endpoints", "endpoints y", "endpoints yeast"}},
		{"a slice of another cluster that says the same", in("east", object(source.EndpointSlice, "y1", of("y"), slice("10.9.0.7"))), nil},
		{"a Service's address in another cluster", in("east", object(source.Service, "y", nil, service("10.9.0.3"))), []string{"endpoints", "service yeast", "services"}},
		{"an endpoint of a ServiceEntry", object(source.ServiceEntry, "z", nil, entry("10.1.0.9")), []string{"endpoints", "endpoints z"}},
		{"a service's address", object(source.Service, "x", nil, service("10.0.0.9")), []string{"endpoints", "service x", "services"}},
		{"a slice that says the same", object(source.EndpointSlice, "x1", of("x"), slice("10.1.0.1")), nil},
		{"a service that says the same", object(source.Service, "x", nil, service("10.0.0.1")), nil},
		{"a rule that says the same", object(source.DestinationRule, "x", nil, rule("x", "s")), nil},
		{"a mesh configuration that says the same", source.Change{Key: source.Key{Kind: source.MeshConfig, Name: "mesh"}, Object: &source.Object{Key: source.Key{Kind: source.MeshConfig, Name: "mesh"}, Spec: &meshv1.MeshConfig{}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := pointers(m), pointers(m.With([]source.Change{c.change}))
			var touched []string
			for name, p := range before {
				if after[name] != p {
					touched = append(touched, name)
				}
			}
			slices.Sort(touched)
			if !slices.Equal(touched, c.touches) {
				t.Errorf("touches %v, want %v", touched, c.touches)
			}
		})
	}
}
