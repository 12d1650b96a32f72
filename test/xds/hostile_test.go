package xds

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// patience is how long the proxy may take to say what it makes of the worst that it is told, on a busy machine under the race detector.
const patience = 10 * time.Second

// besieged is a proxy that serves what a control plane has told it, before that turns on it.
type besieged struct {
	*Proxy
	raw *Raw
	m   mode
	n   int
}

func besiege(t *testing.T) *besieged {
	t.Helper()
	a := upstream(t, "a")
	m := mode{boot: modes()[0].boot, source: fromADS}
	raw := NewRaw(t)
	b := &besieged{Proxy: Run(t, m, endpoint(raw.Address)), raw: raw, m: m}
	raw.ask("Cluster", "")
	raw.Say(World("1", "c1", m.cluster("one")))
	raw.ask("Cluster", "c1")
	raw.Say(World("1", "e1", endpoints("one", a)))
	raw.ask("Listener", "")
	raw.Say(World("1", "l1", m.listener("l", "r")))
	raw.ask("RouteConfiguration", "")
	raw.Say(World("1", "r1", table("r", "one")))
	b.Ready()
	b.serves()
	return b
}

// serves wants the last good configuration to serve.
func (b *besieged) serves() {
	b.t.Helper()
	if got := get(b.Address("l")); got != "200 a" {
		b.t.Errorf("the last good one does not serve: %s", got)
	}
}

// say says something and gives the answer, which has to come in time.
func (b *besieged) say(m *discoveryv3.DiscoveryResponse) *discoveryv3.DiscoveryRequest {
	b.t.Helper()
	b.n++
	m.Nonce = fmt.Sprint("h", b.n)
	began := time.Now()
	b.raw.Say(m)
	r := b.raw.ask(m.TypeUrl[strings.LastIndexByte(m.TypeUrl, '.')+1:], m.Nonce)
	if took := time.Since(began); took > patience {
		b.t.Errorf("it took %v to answer", took)
	}
	return r
}

// wire is a resource in wire format.
func wire(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// response is one of resources whose bytes a test has made.
func response(kind string, resources ...[]byte) *discoveryv3.DiscoveryResponse {
	m := &discoveryv3.DiscoveryResponse{TypeUrl: kind, VersionInfo: "hostile"}
	for _, r := range resources {
		m.Resources = append(m.Resources, &anypb.Any{TypeUrl: kind, Value: r})
	}
	return m
}

const (
	assignmentURL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerURL   = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routesURL     = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// field puts bytes into a field of a message in wire format.
func field(number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
}

// inward writes bytes from the innermost outward, so that what is a million levels deep takes time in proportion.
type inward struct{ back []byte } // backwards

func (w *inward) put(b []byte) {
	for i := len(b) - 1; i >= 0; i-- {
		w.back = append(w.back, b[i])
	}
}

// wrap makes all that was written so far the content of a field.
func (w *inward) wrap(number protowire.Number) {
	w.put(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.BytesType), uint64(len(w.back))))
}

func (w *inward) bytes() []byte {
	slices.Reverse(w.back)
	return w.back
}

// deepStruct is a value of so many lists, one in the other.
func deepStruct(depth int) []byte {
	w := &inward{}
	for range depth {
		w.wrap(1) // ListValue.values
		w.wrap(6) // Value.list_value
	}
	return w.bytes()
}

// deepAny is a message in an Any in an Any, and so on.
func deepAny(depth int) []byte {
	w := &inward{}
	for range depth {
		w.wrap(2)
		w.put(field(1, []byte("type.googleapis.com/google.protobuf.Any")))
	}
	return w.bytes()
}

// heap is what is in use after a collection, and all that was ever allocated.
func heap() (used, ever uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.TotalAlloc
}

// TestHostileResources tells of resources that nobody should have to look at: each is turned down with a reason that says where, in time,
// and what was there serves.
func TestHostileResources(t *testing.T) {
	b := besiege(t)
	one := wire(b.m.cluster("one"))
	unknown := []byte{0xfa, 0xff, 0x07, 0}                                                                    // a field of a number that no message has
	other := func(more ...[]byte) []byte { return append(field(1, []byte("two")), bytes.Join(more, nil)...) } // a cluster of that name
	metadata := func(value []byte) []byte {
		// Cluster.metadata, Metadata.filter_metadata, an entry of Struct: fields, an entry of Value
		entry := append(field(1, []byte("k")), field(2, value)...)
		return field(25, field(1, append(field(1, []byte("f")), field(2, field(1, entry))...)))
	}
	deepPolicy := &rbacv3.Permission{}
	for range 3000 {
		deepPolicy = &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: deepPolicy}}
	}
	policy, err := anypb.New(&rbacfilterv3.RBACPerRoute{Rbac: &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{
		"p": {Permissions: []*rbacv3.Permission{deepPolicy}, Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	deepRoutes := table("r", "one")
	deepRoutes.VirtualHosts[0].TypedPerFilterConfig = map[string]*anypb.Any{"envoy.filters.http.rbac": policy}
	weighted := table("r", "one")
	weighted.VirtualHosts[0].Routes[0].GetRoute().ClusterSpecifier = parse(`{weighted_clusters: {clusters: [{name: one, weight: 4294967295}, {name: one, weight: 4294967295}]}}`, &routev3.RouteAction{}).ClusterSpecifier
	var many [][]byte
	for i := range 30_000 {
		many = append(many, append(field(1, fmt.Append(nil, "many", i)), unknown...))
	}
	aggregate := func(name, of string) proto.Message {
		return parse(fmt.Sprintf(`{name: %s, connect_timeout: 1s, lb_policy: CLUSTER_PROVIDED, cluster_type: {name: envoy.clusters.aggregate, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [%s]}}}`, name, of), &clusterv3.Cluster{})
	}
	for _, c := range []struct {
		name string
		says *discoveryv3.DiscoveryResponse
		want string
	}{
		{"lists in lists", response(clusterURL, one, other(metadata(deepStruct(9_000)))), `Cluster "two": `},
		{"lists in lists, a million", response(clusterURL, one, other(metadata(deepStruct(1_000_000)))), `Cluster "two": `},
		{"any in any", response(clusterURL, one, other(field(24, append(field(1, []byte("t")), field(3, deepAny(30))...)))), `Cluster "two": transport_socket`},
		{"any in any, twenty thousand", response(clusterURL, one, other(field(24, append(field(1, []byte("t")), field(3, deepAny(20_000))...)))), `Cluster "two": messages are in one another more than 32 deep`},
		{"not not not", response(routesURL, wire(deepRoutes)), `RouteConfiguration "r": `},
		{"aggregates in a circle", World("h", "", b.m.cluster("one"), aggregate("two", "three"), aggregate("three", "two")), "aggregate"},
		{"weights of routes", World("h", "", weighted), `weighted_clusters`},
		{"no UTF-8 in a name", response(clusterURL, one, field(1, []byte("a\xffb"))), `Cluster "a\xffb": `},
		{"no UTF-8 within", response(clusterURL, one, other(field(28, []byte("\xff")))), `Cluster "two": `},
		{"lines in a name", response(clusterURL, one, append(field(1, []byte("a\r\nb: c")), unknown...)), `Cluster "a\r\nb: c": `},
		{"a name of 1 MB", response(clusterURL, one, append(field(1, bytes.Repeat([]byte("n"), 1<<20)), unknown...)), `Cluster "nnn`},
		{"30,000 bad ones", response(clusterURL, append(many, one)...), "more was wrong"},
		{"30,000 of a name", response(clusterURL, append(bytes.SplitN(bytes.Repeat([]byte("\n\x03two|"), 29_999), []byte("|"), 29_999), one)...), "is in the response"},
		{"another type", &discoveryv3.DiscoveryResponse{TypeUrl: clusterURL, VersionInfo: "h", Resources: []*anypb.Any{{TypeUrl: clusterURL, Value: one}, {TypeUrl: "nonsense"}, {}}}, `not "nonsense"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer := b.t
			b.t, b.raw.t = t, t
			defer func() { b.t, b.raw.t = outer, outer }()
			before, ever := heap()
			snapshot := b.Feed.Snapshot()
			r := b.say(c.says)
			text := r.GetErrorDetail().GetMessage()
			if !strings.Contains(text, c.want) {
				t.Errorf("it says %.300q: want %q", text, c.want)
			}
			if len(text) > 17<<10 || strings.ContainsAny(text, "\r") {
				t.Errorf("%d bytes are said: %.100q", len(text), text)
			}
			if b.Feed.Snapshot() != snapshot {
				t.Error("another configuration")
			}
			b.serves()
			after, all := heap()
			if t.Logf("%d MB were allocated", (all-ever)>>20); all > ever+1<<30 {
				t.Error("too much was allocated") // by both sides
			}
			if after > before+200<<20 {
				t.Errorf("%d MB are kept", (after-before)>>20)
			}
		})
	}
	// and it hears what is good again
	if r := b.say(World("2", "", b.m.cluster("one"), b.m.cluster("two"))); r.GetErrorDetail() != nil {
		t.Errorf("%v", r)
	}
}
