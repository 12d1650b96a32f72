package decode

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
)

// edits changes a list in a few places: what is left out, put in or another.
func edits(r *rand.Rand, list []int) (out []int) {
	for _, v := range list {
		switch r.IntN(12) {
		case 0:
		case 1:
			out = append(out, r.IntN(50))
		case 2:
			out = append(out, r.IntN(50), v)
		default:
			out = append(out, v)
		}
	}
	return out
}

func assignmentOf(t testing.TB, ports [2][]int) []byte {
	var localities []string
	for i, list := range ports {
		var all []string
		for _, port := range list {
			all = append(all, fmt.Sprintf(`{load_balancing_weight: %d, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}`, 1+port%3, 1+port))
		}
		localities = append(localities, fmt.Sprintf(`{locality: {zone: z%d}, priority: %d, lb_endpoints: [%s]}`, i, i, strings.Join(all, ", ")))
	}
	return marshal(parse(t, `{cluster_name: c, endpoints: [`+strings.Join(localities, ", ")+`]}`, &endpointv3.ClusterLoadAssignment{}))
}

func tableOf(t testing.TB, hosts []int) []byte {
	var all []string
	for i, v := range hosts {
		all = append(all, fmt.Sprintf(`{name: h%d, domains: [d%d.%d], routes: [{match: {prefix: /%d}, route: {cluster: c}}]}`, v, v, i, v))
	}
	return marshal(parse(t, `{name: r, request_headers_to_remove: [x], virtual_hosts: [`+strings.Join(all, ", ")+`]}`, &routev3.RouteConfiguration{}))
}

// TestAfter holds what is read beside an earlier version against what is read alone.
func TestAfter(t *testing.T) {
	d := decoder()
	r := rand.New(rand.NewPCG(5, 6))
	message := map[bool]string{true: "envoy.config.endpoint.v3.ClusterLoadAssignment", false: "envoy.config.route.v3.RouteConfiguration"}
	lists := [3][]int{}
	for i := range lists {
		for range 20 {
			lists[i] = append(lists[i], r.IntN(50))
		}
	}
	var before [2]any
	shared := 0
	for round := range 400 {
		for i := range lists {
			if lists[i] = edits(r, lists[i]); len(lists[i]) > 60 {
				lists[i] = lists[i][:20]
			}
		}
		for i, wire := range [2][]byte{assignmentOf(t, [2][]int{lists[0], lists[1]}), tableOf(t, lists[2])} {
			alone, err := d.Wire(message[i == 0], wire)
			if err != nil {
				t.Fatal(err)
			}
			beside := alone
			if round > 0 {
				if beside, err = d.After(message[i == 0], wire, before[i]); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(alone, beside) {
				t.Fatalf("round %d:\n%+v\n%+v", round, alone, beside)
			}
			shared += sharing(before[i], beside)
			before[i] = beside
		}
	}
	if shared < 1000 {
		t.Errorf("only %d values are the same", shared)
	}
}

// sharing counts the values that two versions have in common.
func sharing(a, b any) (n int) {
	switch b := b.(type) {
	case *config.Assignment:
		if a, ok := a.(*config.Assignment); ok {
			for i := range min(len(a.Endpoints), len(b.Endpoints)) {
				if a.Endpoints[i] == b.Endpoints[i] {
					n++
				}
			}
		}
	case *config.RouteConfiguration:
		if a, ok := a.(*config.RouteConfiguration); ok {
			for i := range min(len(a.VirtualHosts), len(b.VirtualHosts)) {
				if a.VirtualHosts[i] == b.VirtualHosts[i] {
					n++
				}
			}
		}
	}
	return n
}

// TestAfterFaults says of what is wrong the same as if it had been read alone.
func TestAfterFaults(t *testing.T) {
	d := decoder()
	good := tableOf(t, []int{1, 2, 3})
	before, err := d.Wire("envoy.config.route.v3.RouteConfiguration", good)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*routev3.RouteConfiguration){
		"a domain of two hosts": func(m *routev3.RouteConfiguration) { m.VirtualHosts[2].Domains = m.VirtualHosts[0].Domains },
		"a refused field": func(m *routev3.RouteConfiguration) {
			m.VirtualHosts[1].Routes[0].Match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "x\x00"}
		},
		"no host":          func(m *routev3.RouteConfiguration) { m.VirtualHosts[1].Domains = []string{"a b"} },
		"no routes' match": func(m *routev3.RouteConfiguration) { m.VirtualHosts[1].Routes[0].Match = nil },
	} {
		m := &routev3.RouteConfiguration{}
		if err := proto.Unmarshal(good, m); err != nil {
			t.Fatal(err)
		}
		change(m)
		wire := marshal(m)
		_, alone := d.Wire("envoy.config.route.v3.RouteConfiguration", wire)
		_, beside := d.After("envoy.config.route.v3.RouteConfiguration", wire, before)
		if alone == nil != (beside == nil) || alone != nil && alone.Error() != beside.Error() {
			t.Errorf("%s: %v, but alone %v", name, beside, alone)
		}
	}
}

// BenchmarkAfter reads 1,000 endpoints of which one is another, and as many virtual hosts.
func BenchmarkAfter(b *testing.B) {
	d := decoder()
	list := make([]int, 1000)
	for i := range list {
		list[i] = i
	}
	for _, which := range []string{"assignment", "table"} {
		make := func(v int) (string, []byte) {
			list[500] = 2000 + v
			if which == "table" {
				return "envoy.config.route.v3.RouteConfiguration", tableOf(b, list)
			}
			return "envoy.config.endpoint.v3.ClusterLoadAssignment", assignmentOf(b, [2][]int{list})
		}
		message, one := make(0)
		_, other := make(1)
		v, err := d.Wire(message, one)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(which+"/alone", func(b *testing.B) {
			for b.Loop() {
				d.Wire(message, other)
			}
		})
		b.Run(which+"/after", func(b *testing.B) {
			for b.Loop() {
				d.After(message, other, v)
			}
		})
	}
}
