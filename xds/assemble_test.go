package xds

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/stream"
)

// underADS is a bootstrap of which everything comes over one stream.
const underADS = `
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  cds_config: {ads: {}, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, initial_fetch_timeout: 0s}
static_resources: {clusters: [{name: plane, connect_timeout: 1s}]}
`

// stageADS is a feed that is told what a test says, without a network.
func stageADS(t testing.TB) *Feed {
	t.Helper()
	boot, err := ReadBootstrap(Source{YAML: underADS}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(boot, Options{Stats: telemetry.NewStore(0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nobody is dialled
	f.context = ctx
	return f
}

// fromYAML reads a resource and gives it in wire format.
func fromYAML(t testing.TB, text string, m proto.Message) []byte {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	var b []byte
	if err == nil {
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return b
}

const adsSource = "{ads: {}, initial_fetch_timeout: 0s}"

func clusterWire(t testing.TB, name string, variant int) []byte {
	return fromYAML(t, fmt.Sprintf("{name: %s, type: EDS, connect_timeout: %ds, eds_cluster_config: {eds_config: %s}}", name, variant+1, adsSource), &clusterv3.Cluster{})
}

func assignmentWire(t testing.TB, name string, variant int) []byte {
	return fromYAML(t, fmt.Sprintf("{cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}", name, variant+1), &endpointv3.ClusterLoadAssignment{})
}

func listenerWire(t testing.TB, name, routes string, variant int) []byte {
	return fromYAML(t, fmt.Sprintf(`
name: %s
address: {pipe: {path: /run/%s}}
filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
  stat_prefix: p%d, rds: {route_config_name: %s, config_source: %s},
  http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]`, name, name, variant, routes, adsSource), &listenerv3.Listener{})
}

func routesWire(t testing.TB, name string, clusters ...string) []byte {
	var list []string
	for i, c := range clusters {
		list = append(list, fmt.Sprintf("{match: {prefix: /%d}, route: {cluster: %s}}", i, c))
	}
	return fromYAML(t, fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [%s]}]}`, name, strings.Join(list, ", ")), &routev3.RouteConfiguration{})
}

// scopedWire is a listener that chooses among tables.
func scopedWire(t testing.TB, name string, variant int) []byte {
	return fromYAML(t, fmt.Sprintf(`
name: %s
address: {pipe: {path: /run/%s}}
filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
  stat_prefix: p%d, scoped_routes: {name: s, scope_key_builder: {fragments: [{header_value_extractor: {name: x, index: 0}}]}, rds_config_source: %s, scoped_rds: {scoped_rds_config_source: %s}},
  http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]`, name, name, variant, adsSource, adsSource), &listenerv3.Listener{})
}

func scopeWire(t testing.TB, name, routes string) []byte {
	return fromYAML(t, fmt.Sprintf("{name: %s, key: {fragments: [{string_key: %s}]}, route_configuration_name: %s}", name, name, routes), &routev3.ScopedRouteConfiguration{})
}

// truth is what a control plane knows, and what it has told.
type truth struct {
	now, told map[resourceKey][]byte
}

// due are the resources that the feed wants and has not been told of as they are.
func (w *truth) due(f *Feed) (out []resourceKey) {
	keys := maps.Clone(w.now)
	maps.Copy(keys, w.told)
	for key := range keys {
		wants := key.kind == Clusters || key.kind == Listeners && f.settled
		if key.kind == Scopes {
			wants = slices.ContainsFunc(f.heads, func(h *head) bool { return h.kind == Scopes && len(h.users) > 0 })
		} else if key.kind != Clusters && key.kind != Listeners {
			wants = f.links[0].held[key] != nil
			if !wants {
				delete(w.told, key) // it has been let go, and has to be told again
			}
		}
		if is, was := w.now[key], w.told[key]; wants && string(is) != string(was) {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, func(a, b resourceKey) int {
		return strings.Compare(fmt.Sprint(a.kind, a.name), fmt.Sprint(b.kind, b.name))
	})
	return out
}

// tell tells a feed of some resources of one kind.
func (w *truth) tell(f *Feed, keys ...resourceKey) {
	r := &stream.Response{Message: keys[0].kind.Message()}
	for _, key := range keys {
		if b := w.now[key]; b != nil {
			r.Resources = append(r.Resources, stream.Resource{Name: key.name, Version: "v", Wire: b})
		} else {
			r.Removed = append(r.Removed, key.name)
		}
		w.told[key] = w.now[key]
		if w.now[key] == nil {
			delete(w.told, key)
		}
	}
	f.take(news{f.links[0], stream.Event{Response: r}})
}

// rest has whatever is left be told in the order of kinds that control planes keep.
func (w *truth) rest(f *Feed, serve func(*config.Snapshot) error) {
	for keys := w.due(f); len(keys) > 0; keys = w.due(f) {
		for _, kind := range [...]Kind{Clusters, Endpoints, Listeners, Scopes, Routes} {
			var same []resourceKey
			for _, k := range keys {
				if k.kind == kind {
					same = append(same, k)
				}
			}
			if len(same) > 0 {
				w.tell(f, same...)
				f.advance(serve)
			}
		}
	}
}

func outline(s *config.Snapshot) string {
	var lines []string
	for _, l := range s.Listeners {
		lines = append(lines, fmt.Sprintf("%s %x", l.Name, l.Raw))
	}
	for _, c := range s.Clusters {
		lines = append(lines, fmt.Sprintf("%s %x", c.Name, c.Raw))
	}
	for _, list := range s.Scopes {
		for _, c := range list {
			lines = append(lines, fmt.Sprintf("%s %x", c.Name, c.Raw))
		}
	}
	for name, r := range s.Routes {
		lines = append(lines, fmt.Sprintf("%s %x", name, r.Raw))
	}
	for name, a := range s.Endpoints.All() {
		lines = append(lines, fmt.Sprintf("%s %x", name, a.Raw))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestAnyOrder has a control plane change its mind and tell what it wants in any order and any portions: what is served never lacks routes
// or endpoints, and in the end it is what somebody has who was told only the end, in order.
func TestAnyOrder(t *testing.T) {
	names := func(kind string, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint(kind, i))
		}
		return out
	}
	clusters, tables, listeners, scopes := names("c", 5), names("r", 3), names("l", 3), names("s", 3)
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			w := &truth{map[resourceKey][]byte{}, map[resourceKey][]byte{}}
			random := func(list []string) string { return list[r.IntN(len(list))] }
			change := func() {
				name := random(clusters)
				switch r.IntN(11) {
				case 0:
					delete(w.now, resourceKey{Clusters, name}) // its endpoints stay known, as in Istio
				case 1, 2:
					w.now[resourceKey{Clusters, name}] = clusterWire(t, name, r.IntN(3))
				case 3:
					w.now[resourceKey{Endpoints, name}] = assignmentWire(t, name, r.IntN(9))
				case 4:
					name = random(tables)
					w.now[resourceKey{Routes, name}] = routesWire(t, name, random(clusters), random(clusters))
				case 5:
					name = random(listeners)
					w.now[resourceKey{Listeners, name}] = listenerWire(t, name, random(tables), r.IntN(2))
				case 6:
					delete(w.now, resourceKey{Listeners, random(listeners)})
				case 8, 9:
					name = random(scopes)
					w.now[resourceKey{Scopes, name}] = scopeWire(t, name, random(tables))
					if r.IntN(4) == 0 {
						delete(w.now, resourceKey{Scopes, name})
					}
				case 10:
					w.now[resourceKey{Listeners, "scoped"}] = scopedWire(t, "scoped", r.IntN(2))
					if r.IntN(4) == 0 {
						delete(w.now, resourceKey{Listeners, "scoped"})
					}
				case 7: // what is bad is refused, and does not count
					w.now[resourceKey{Clusters, name}] = fromYAML(t, "{name: "+name+", connect_timeout: -1s}", &clusterv3.Cluster{})
				}
			}
			f := stageADS(t)
			serve := func(s *config.Snapshot) error {
				for _, l := range s.Listeners {
					if h := l.Chains[0].HTTP; h.Scoped != nil {
						for _, c := range h.Scoped.From(s.Scopes) {
							if s.Routes[c.RouteName] == nil {
								t.Errorf("seed %d: scope %s is served without its routes", seed, c.Name)
							}
						}
					} else if s.Routes[h.RouteName] == nil {
						t.Errorf("seed %d: listener %s is served without its routes", seed, l.Name)
					}
				}
				for _, c := range s.Clusters {
					if c.Type == config.EDS && s.Endpoints.Get(c.ServiceName) == nil {
						t.Errorf("seed %d: cluster %s is served without its endpoints", seed, c.Name)
					}
				}
				return nil
			}
			f.advance(serve)
			for range 60 {
				change()
				for keys := w.due(f); len(keys) > 0 && r.IntN(3) > 0; keys = w.due(f) {
					some := []resourceKey{keys[r.IntN(len(keys))]}
					for _, k := range keys {
						if k.kind == some[0].kind && k != some[0] && r.IntN(2) > 0 {
							some = append(some, k)
						}
					}
					w.tell(f, some...)
					if r.IntN(2) > 0 {
						f.advance(serve)
					}
				}
				time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
				f.expire()
				f.advance(serve)
			}
			// the end: everything is good, and there are all routes and endpoints that may be asked for
			for _, name := range clusters {
				if key := (resourceKey{Clusters, name}); w.now[key] != nil {
					w.now[key] = clusterWire(t, name, r.IntN(3))
				}
				w.now[resourceKey{Endpoints, name}] = assignmentWire(t, name, r.IntN(9))
			}
			for _, name := range tables {
				w.now[resourceKey{Routes, name}] = routesWire(t, name, random(clusters))
			}
			f.advance(serve)
			w.rest(f, serve)
			f.take(news{f.links[0], stream.Event{Response: &stream.Response{Message: Scopes.Message()}}}) // there may be none
			time.Sleep(20 * time.Second)
			f.expire()
			f.stale = true
			f.advance(serve)

			fresh, direct := stageADS(t), &truth{w.now, map[resourceKey][]byte{}}
			fresh.advance(serve)
			fresh.take(news{fresh.links[0], stream.Event{Response: &stream.Response{Message: Clusters.Message()}}}) // there may be none
			fresh.advance(serve)
			direct.rest(fresh, serve)
			fresh.take(news{fresh.links[0], stream.Event{Response: &stream.Response{Message: Scopes.Message()}}}) // as above
			fresh.advance(serve)
			direct.rest(fresh, serve)
			if got, want := outline(f.Snapshot()), outline(fresh.Snapshot()); got != want {
				t.Errorf("seed %d:\n%s\nwant\n%s", seed, got, want)
			}
		})
	}
}

// TestNothingElse changes one resource of many: all others are the very same, and the same bytes again are not even read.
func TestNothingElse(t *testing.T) {
	f := stageADS(t)
	served := 0
	serve := func(*config.Snapshot) error { served++; return nil }
	f.advance(serve)
	w := &truth{map[resourceKey][]byte{}, map[resourceKey][]byte{}}
	for i := range 50 {
		c := fmt.Sprint("c", i)
		w.now[resourceKey{Clusters, c}], w.now[resourceKey{Endpoints, c}] = clusterWire(t, c, 1), assignmentWire(t, c, 1)
	}
	w.now[resourceKey{Listeners, "l"}], w.now[resourceKey{Routes, "r"}] = listenerWire(t, "l", "r", 1), routesWire(t, "r", "c1")
	w.rest(f, serve)
	if served != 2 { // all clusters at once, and all listeners
		t.Errorf("%d configurations for the first one", served)
	}
	before := f.Snapshot()
	if len(before.Clusters) != 51 || len(before.Listeners) != 1 {
		t.Fatalf("%d clusters, %d listeners", len(before.Clusters), len(before.Listeners))
	}

	w.told = map[resourceKey][]byte{}
	for _, kind := range [...]Kind{Clusters, Endpoints, Listeners, Routes} {
		var keys []resourceKey
		for k := range w.now {
			if k.kind == kind {
				keys = append(keys, k)
			}
		}
		w.tell(f, keys...)
	}
	if f.advance(serve); f.Snapshot() != before || served != 2 {
		t.Error("the same again is another configuration")
	}

	w.now[resourceKey{Endpoints, "c7"}] = assignmentWire(t, "c7", 2)
	w.rest(f, serve)
	w.now[resourceKey{Clusters, "c8"}] = clusterWire(t, "c8", 2)
	w.rest(f, serve)
	after := f.Snapshot()
	different := 0
	for i := range after.Clusters {
		if after.Clusters[i] != before.Clusters[i] {
			different++
		}
	}
	for name := range after.Endpoints.All() {
		if after.Endpoints.Get(name) != before.Endpoints.Get(name) {
			different++
		}
	}
	if different != 2 || after.Listeners[0] != before.Listeners[0] || after.Routes["r"] != before.Routes["r"] || served != 4 {
		t.Errorf("%d are different, %d configurations", different, served)
	}
}

// TestOutlived lets go of a listener whose time is over, unless it is renewed, and keeps routes.
func TestOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := stageADS(t)
		serve := func(*config.Snapshot) error { return nil }
		f.advance(serve)
		say := func(kind Kind, r ...stream.Resource) {
			f.take(news{f.links[0], stream.Event{Response: &stream.Response{Message: kind.Message(), Resources: r}}})
			f.advance(serve)
		}
		say(Clusters)
		say(Listeners, stream.Resource{Name: "l", Version: "1", Wire: listenerWire(t, "l", "r", 1), TTL: 10 * time.Second})
		say(Routes, stream.Resource{Name: "r", Version: "1", Wire: routesWire(t, "r", "c"), TTL: 5 * time.Second})
		pass := func(d time.Duration) int {
			time.Sleep(d)
			f.expire()
			f.advance(serve)
			return len(f.Snapshot().Listeners)
		}
		if n := pass(6 * time.Second); n != 1 || f.Snapshot().Routes["r"] == nil {
			t.Error("it is gone too early, or its routes are")
		}
		say(Listeners, stream.Resource{Name: "l", TTL: 10 * time.Second, Renewal: true})
		if pass(6*time.Second) != 1 {
			t.Error("it was renewed, and is gone")
		}
		if next := f.nextWait(); !next.Equal(time.Now().Add(4 * time.Second)) {
			t.Errorf("it is looked at again in %v", time.Until(next))
		}
		if pass(4*time.Second) != 0 {
			t.Error("it has outlived its time")
		}
	})
}

// A listener waits for the virtual hosts that come by themselves for its table: what is asked before they are there would be told that there is nothing. A control plane that says none of them is waited for as long as it was
// said, and one that has told what it has, or a table that has others already, is not.
func TestListenersWaitForVirtualHosts(t *testing.T) {
	host := func(name string) stream.Resource {
		return stream.Resource{Name: "r/" + name, Version: "1", Wire: fromYAML(t, fmt.Sprintf(`{name: %[1]s, domains: [%[1]s], routes: [{match: {prefix: /}, route: {cluster: c}}]}`, name), &routev3.VirtualHost{})}
	}
	for wait, c := range map[string]struct {
		says  []stream.Resource // nil: nothing; empty: that there are none
		after time.Duration
	}{
		"0s":  {[]stream.Resource{host("a"), host("b")}, 0},
		"9s":  {[]stream.Resource{}, 0},
		"10s": {nil, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := stageADS(t)
			var seen *config.Snapshot
			serve := func(s *config.Snapshot) error { seen = s; return nil }
			f.advance(serve)
			say := func(kind Kind, r ...stream.Resource) {
				f.take(news{f.links[0], stream.Event{Response: &stream.Response{Message: kind.Message(), Resources: r}}})
				f.advance(serve)
			}
			say(Clusters)
			say(Listeners, stream.Resource{Name: "l", Version: "1", Wire: listenerWire(t, "l", "r", 1)})
			say(Routes, stream.Resource{Name: "r", Version: "1", Wire: fromYAML(t, "{name: r, vhds: {config_source: {ads: {}, initial_fetch_timeout: "+wait+"}}}", &routev3.RouteConfiguration{})})
			if f.Ready() || len(seen.Listeners) != 0 {
				t.Errorf("%s: it is served before its virtual hosts have come", wait)
			}
			if c.says != nil {
				say(VirtualHosts, c.says...)
			}
			if c.after > 0 {
				if next := f.nextWait(); !next.Equal(time.Now().Add(c.after)) {
					t.Errorf("%s: it is looked at again in %v", wait, time.Until(next))
				}
				time.Sleep(c.after)
				f.expire()
				f.advance(serve)
			}
			if !f.Ready() || len(seen.Listeners) != 1 || len(seen.Routes["r"].VirtualHosts) != len(c.says) {
				t.Errorf("%s: ready %t, %d listeners", wait, f.Ready(), len(seen.Listeners))
			}
		})
	}
}
