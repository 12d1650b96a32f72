package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/config"
)

// The most specific word counts, for each filter by itself.
func TestSaid(t *testing.T) {
	say := func(words ...string) map[string]config.FilterOverride {
		m := map[string]config.FilterOverride{}
		for i := 0; i < len(words); i += 2 {
			m[words[i]] = config.FilterOverride{Config: words[i+1]}
		}
		return m
	}
	plain := &config.Route{}
	loud := &config.Route{Filters: say("b", "route", "c", "route"), Forward: &config.Forward{Clusters: []config.WeightedCluster{{Name: "x"}, {Name: "y", Filters: say("c", "share", "d", "share")}}}}
	host := &config.VirtualHost{Domains: []string{"*"}, Filters: say("a", "host", "b", "host"), Routes: []*config.Route{plain, loud}}
	quiet := &config.VirtualHost{Domains: []string{"q"}, Routes: []*config.Route{{}}}
	table := Compile(&config.RouteConfiguration{Filters: say("a", "table", "e", "table"), VirtualHosts: []*config.VirtualHost{host, quiet}})
	for _, c := range []struct {
		name  string
		found Result
		share *config.WeightedCluster
		want  map[string]any
	}{
		{"nowhere", Result{}, nil, nil},
		{"host without words", Result{VirtualHost: quiet, Route: quiet.Routes[0]}, nil, map[string]any{"a": "table", "e": "table"}},
		{"host alone", Result{VirtualHost: host}, nil, map[string]any{"a": "host", "b": "host", "e": "table"}},
		{"route without words", Result{VirtualHost: host, Route: plain}, nil, map[string]any{"a": "host", "b": "host", "e": "table"}},
		{"route", Result{VirtualHost: host, Route: loud}, nil, map[string]any{"a": "host", "b": "route", "c": "route", "e": "table"}},
		{"share without words", Result{VirtualHost: host, Route: loud}, &loud.Forward.Clusters[0], map[string]any{"a": "host", "b": "route", "c": "route", "e": "table"}},
		{"share", Result{VirtualHost: host, Route: loud}, &loud.Forward.Clusters[1], map[string]any{"a": "host", "b": "route", "c": "share", "d": "share", "e": "table"}},
	} {
		var got map[string]any
		for i, o := range table.Said(c.found, c.share) {
			if o == nil {
				continue
			}
			if got == nil {
				got = map[string]any{}
			}
			got[table.Filters[i]] = o.Config
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if w := Compile(&config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{quiet}}).Said(Result{VirtualHost: quiet}, nil); w != nil {
		t.Errorf("a table without words says %v", w)
	}
}
