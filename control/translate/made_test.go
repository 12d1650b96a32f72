package translate

import (
	"slices"
	"strings"
	"testing"

	security "istio.io/api/security/v1beta1"
	selector "istio.io/api/type/v1beta1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// TestWhatAResourceWasMadeOf names the objects of a resource, and no others of all that may be in it.
func TestWhatAResourceWasMadeOf(t *testing.T) {
	const host = "s0003.town.svc.cluster.local"
	filter := func(name, host, timeout string) []source.Change {
		return change(source.EnvoyFilter, name, nil, filterOf(host, timeout))
	}
	for _, c := range []struct {
		name     string
		weft     bool
		more     []source.Change
		kind     server.Kind
		resource string
		because  string
		want     string
	}{
		{"a subset's cluster", false, nil, server.Clusters, "outbound|80|v2|" + host, "", "DestinationRule Service"},
		{"a cluster of its own", false, nil, server.Clusters, "outbound|80||" + host, "", "Service"},
		{"that is patched", false, slices.Concat(filter("x", host, "4s"), filter("y", "other.test", "4s")), server.Clusters, "outbound|80||" + host, "", "EnvoyFilter/x Service"},
		{"that two patch alike", false, slices.Concat(filter("x", host, "4s"), filter("y", host, "4s"), filter("z", "other.test", "5s")), server.Clusters, "outbound|80||" + host, "", "EnvoyFilter/x EnvoyFilter/y Service"},
		{"a host", true, nil, server.VirtualHosts, "80/" + host + ":80", "", "VirtualService Service"},
		{"a table, of which something is said", false, nil, server.Routes, "80", "Only unique values for domains are permitted: " + host, "VirtualService Service"},
		{"a table, of which nothing is", false, nil, server.Routes, "80", "no", ""},
		{"a listener, beside policies", false, slices.Concat(
			change(source.PeerAuthentication, "strict", nil, &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}}),
			change(source.AuthorizationPolicy, "other", nil, &security.AuthorizationPolicy{Selector: &selector.WorkloadSelector{MatchLabels: map[string]string{"app": "other"}}}),
			change(source.AuthorizationPolicy, "own", nil, &security.AuthorizationPolicy{Selector: &selector.WorkloadSelector{MatchLabels: map[string]string{"app": "s0000"}}}),
		), server.Listeners, "virtualInbound", "", "AuthorizationPolicy/own PeerAuthentication/strict"},
		{"what is not there", false, nil, server.Clusters, "outbound|80|v9|" + host, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, tr, p := mesh.New().With(append(town(20), c.more...)), New(), resident(t)
			p.Traits.ByHost = c.weft
			r := tr.View(m, p).Find(c.kind, c.resource)
			if r == nil {
				r = &server.Resource{Name: c.resource, Version: "1"}
			}
			var instead []source.Change
			for _, o := range Suspects(m, p, c.kind, c.resource, c.because) {
				instead = append(instead, source.Change{Key: o.Key})
			}
			var got []string
			for _, key := range tr.MadeOf(m, p, c.kind, r, instead) {
				if key.Name == "s0003" {
					got = append(got, key.Kind.String())
				} else {
					got = append(got, key.Kind.String()+"/"+key.Name)
				}
			}
			want := strings.Fields(c.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("made of %v, want %v, of %d suspects", got, want, len(instead))
			}
			if also := tr.MadeOf(m, p, c.kind, &server.Resource{Name: c.resource, Version: "another"}, instead); also != nil {
				t.Errorf("of another version it is said that it was made of %v", also)
			}
		})
	}
}
