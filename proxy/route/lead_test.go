package route

import (
	"cmp"
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/config"
)

func ofHeader(name string) config.MatchInput {
	return config.MatchInput{Of: config.MatchHeader, Name: name}
}

func toList(n int) *config.OnMatch { return &config.OnMatch{Action: n} }

func beginsWith(in config.MatchInput, prefix string, then *config.OnMatch) config.MatchRule {
	return config.MatchRule{If: config.MatchPredicate{Input: in, Value: config.StringMatch{Kind: config.StringPrefix, Value: prefix}}, Then: *then}
}

// led is a virtual host whose matcher looks at much: fields that are nested in one another, an address, what a filter set.
func led() *config.VirtualHost {
	one := func(name, path string) *config.Route { return &config.Route{Name: name, Match: prefix(path)} }
	v := &config.VirtualHost{Domains: []string{"*"}, Routes: []*config.Route{one("a", "/a"), one("b", "/b"), one("bb", "/"), one("c", "/"), one("d", "/")}}
	v.Lists = [][]*config.Route{v.Routes[:1], v.Routes[1:3], v.Routes[3:4], v.Routes[4:]}
	address := &config.MatchTree{Input: ofHeader("x-ip"), Ranges: map[netip.Prefix][]config.MatchRange{netip.MustParsePrefix("10.0.0.0/8"): {{Then: toList(2)}}, netip.MustParsePrefix("::/1"): {{Then: toList(3)}}}, Bits: [2][]int{{8}, {1}}}
	inner := &config.Matcher{Tree: &config.MatchTree{Input: ofHeader("x-b"), Exact: map[string]*config.OnMatch{"3,4": toList(1)}}}
	v.Matcher = &config.Matcher{Rules: []config.MatchRule{
		beginsWith(ofHeader("x-a"), "1,2", toList(0)),
		beginsWith(config.MatchInput{Of: config.MatchState, Name: "k"}, "v", toList(1)),
		beginsWith(ofHeader(":method"), "PUT", toList(2)),
		beginsWith(ofHeader("host"), "h.", toList(3)),
		{If: config.MatchPredicate{Input: ofHeader("x-empty")}, Then: *toList(3)},
		beginsWith(ofHeader("x-ip"), "", &config.OnMatch{Matcher: &config.Matcher{Tree: address}}),
	}, Otherwise: &config.OnMatch{Matcher: &config.Matcher{Tree: &config.MatchTree{Input: ofHeader("x-a"), Lengths: []int{3, 2},
		Prefixes: map[string]*config.OnMatch{"3,4": {Matcher: inner}, "3,": toList(2)}}}}}
	return v
}

// Every row was asked of Envoy 1.40 first.
func TestLead(t *testing.T) {
	table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{led()}})
	in := &Input{}
	for _, c := range []struct {
		method, host, path string
		fields             []string
		state              string
		want               string
	}{
		{path: "/"},
		{path: "/a", fields: []string{"x-a: 1,2"}, want: "a"},
		{path: "/a", fields: []string{"x-a: 1", "x-a: 2"}, want: "a"},
		{path: "/b", fields: []string{"x-a: 1,2"}}, // what is led to counts, though a later rule would have fit
		{path: "/b", state: "v", want: "b"},
		{path: "/c", state: "v", want: "bb"},
		{path: "/c", state: "w"},
		{method: "PUT", path: "/", want: "c"},
		{host: "h.example", path: "/", want: "d"},
		{path: "/", fields: []string{"x-empty: "}, want: "d"},
		{path: "/", fields: []string{"x-ip: 10.1.2.3"}, want: "c"},
		{path: "/", fields: []string{"x-ip: ::1"}, want: "d"},
		{path: "/", fields: []string{"x-ip: 11.1.2.3"}},
		{path: "/", fields: []string{"x-ip: 10.1.2.3:80"}},
		{path: "/", fields: []string{"x-ip: 10.1.2.03"}},
		{path: "/", fields: []string{"x-ip: "}},
		{path: "/", fields: []string{"x-a: 3", "x-a: 4", "x-b: 3", "x-b: 4"}, want: "bb"},
		{path: "/", fields: []string{"x-a: 3", "x-a: 4", "x-b: 3", "x-b: 5"}, want: "c"}, // the shorter prefix has its turn
	} {
		in.Reset(request(cmp.Or(c.method, "GET"), cmp.Or(c.host, "a.example"), c.path, c.fields...), 0)
		if c.state != "" {
			in.State = []config.State{{Name: "other", Value: "v"}, {Name: "k", Value: c.state}}
		}
		got := ""
		if r := table.Match(in).Route; r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestLeadAllocatesNothing is about what is looked at and is nowhere in one piece, and addresses.
func TestLeadAllocatesNothing(t *testing.T) {
	table := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{led()}})
	in := &Input{}
	for _, fields := range [][]string{{"x-a: 1", "x-a: 2"}, {"x-a: 3", "x-a: 4", "x-b: 3", "x-b: 4"}, {"x-ip: 10.1.2.3"}, {"x-ip: 2001:db8::1"}} {
		in.Reset(request("GET", "h", "/a", fields...), 0)
		in.State = []config.State{{Name: "k", Value: "w"}}
		if n := testing.AllocsPerRun(20, func() { table.Match(in) }); n != 0 {
			t.Errorf("%q: %v allocations", fields, n)
		}
	}
}
