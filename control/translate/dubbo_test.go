package translate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/test/manifest"
)

// Which services of an object's Envoy can tell by itself, and as what.
func TestDubboInterfaces(t *testing.T) {
	for _, c := range []struct {
		said source.TextMatch
		want []dubboInterface
	}{
		{source.TextMatch{Exact: "a.B"}, []dubboInterface{{name: "a.B"}}},
		{source.TextMatch{Exact: "a.*"}, nil},
		{source.TextMatch{Exact: "providers:a.B:1.0.0:g"}, []dubboInterface{{"a.B", "1.0.0", "g"}}},
		{source.TextMatch{Exact: "providers:a.B:1.0.0:"}, nil}, // which is of no group, and not of any
		{source.TextMatch{Exact: "providers:a.B"}, nil},
		{source.TextMatch{Prefix: "a.B"}, []dubboInterface{{name: "a.B"}, {name: "a.B*"}}},
		{source.TextMatch{Prefix: "prov"}, []dubboInterface{{name: "*"}}},
		{source.TextMatch{Prefix: "providers:"}, []dubboInterface{{name: "*"}}},
		{source.TextMatch{Prefix: "providers:a.B"}, []dubboInterface{{name: "a.B"}, {name: "a.B*"}}},
		{source.TextMatch{Prefix: "providers:a.B:"}, []dubboInterface{{name: "a.B"}}},
		{source.TextMatch{Prefix: "providers:a.B:1"}, nil},
		{source.TextMatch{Prefix: "providers:a.B:1.0.0:"}, []dubboInterface{{name: "a.B", version: "1.0.0"}}},
		{source.TextMatch{Prefix: "providers:a.B::"}, nil}, // of no version
		{source.TextMatch{Prefix: "providers:a.B:1.0.0:g"}, nil},
		{source.TextMatch{Regex: "a.*"}, nil},
	} {
		if got := interfaces(c.said); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %+v, want %+v", c.said, got, c.want)
		}
	}
}

// What an Envoy that is not weft does not run is said of each object.
func TestDubboWarnings(t *testing.T) {
	text := func(exact ...string) *source.TextMatches {
		m := &source.TextMatches{}
		for _, e := range exact {
			m.Patterns = append(m.Patterns, source.TextMatch{Exact: e})
		}
		return m
	}
	method := func(m source.DubboMethod) []source.DubboMatch { return []source.DubboMatch{{Method: &m}} }
	here := []source.DubboDestination{{Destination: &source.FallbackHost{Subset: "v1"}}}
	c := &checking{object: &source.Object{}}
	c.dubbo([]source.DubboServiceRoute{{
		Services: []source.TextMatch{{Exact: "a"}, {Regex: "b.*"}},
		Routes: []source.DubboRoute{
			{Match: method(source.DubboMethod{Name: "m", Args: []source.DubboArgument{{Index: 1, StrValue: text("a")}}}), Route: here},
			{Match: method(source.DubboMethod{Args: []source.DubboArgument{{Index: 1, StrValue: text("a", "b")}}}), Route: here},
			{Match: method(source.DubboMethod{Argc: 1}), Route: here},
			{Match: []source.DubboMatch{{Headers: map[string]source.TextMatches{"x": *text("a")}}, {Headers: map[string]source.TextMatches{"x": *text("a", "b")}}}, Route: here},
			{Route: []source.DubboDestination{{Destination: here[0].Destination, Fallback: &source.Fallback{Target: here[0].Destination}}}},
		},
	}})
	var got []string
	for _, p := range c.problems {
		if got = append(got, p.Path); !p.Warning {
			t.Errorf("%s is refused: %s", p.Path, p.Text)
		}
	}
	want := []string{"spec.dubbo[0].services[1]", "spec.dubbo[0].routes[1].match[0]", "spec.dubbo[0].routes[2].match[0]", "spec.dubbo[0].routes[3].match[1]", "spec.dubbo[0].routes[4].route[0].fallback"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("said of %q, want %q", got, want)
	}
}

// Where a destination says no port it is its host's only one, also when that has become another.
func TestDestinationsFollowPorts(t *testing.T) {
	const objects = `
kind: Service
metadata: {name: old, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{port: 20880, name: %s}]}
---
kind: VirtualService
metadata: {name: old, namespace: shop}
spec:
  hosts: [old]
  dubbo: [{routes: [{route: [{destination: {host: new}}]}]}]
  tcp: [{route: [{destination: {host: new}}]}]
`
	const other = `
kind: Service
metadata: {name: new, namespace: shop}
spec: {clusterIP: 10.0.0.2, ports: [{port: %d, name: tcp}]}
`
	for _, name := range []string{"dubbo", "tcp"} {
		tr, p := New(), proxyOf(t, `{id: sidecar~10.1.0.1~one.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop}}`)
		m := mesh.New().With(manifest.Read(t, fmt.Sprintf(objects, name)))
		for _, port := range []int{20990, 20991} {
			m = m.With(manifest.Read(t, fmt.Sprintf(other, port)))
			if told := render(t, tr.View(m, p), []string{"listener/10.0.0.1_20880"}); !strings.Contains(told, fmt.Sprintf("cluster: outbound|%d||new.shop", port)) {
				t.Errorf("%s: no cluster of port %d:\n%s", name, port, told)
			}
		}
	}
}
