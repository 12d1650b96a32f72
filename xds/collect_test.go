package xds

import (
	"bytes"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/config"
)

const allDiscovereds = `
dynamic_resources:
  lds_config: {path_config_source: {path: FOLDER/lds.yaml}, resource_api_version: V3}
  cds_config: {path: FOLDER/cds.yaml}
static_resources:
  clusters: [{name: fixed, connect_timeout: 1s}]
`

// dynamicListener is a listener of a file, which takes its routes from another or sends all to a cluster.
func dynamicListener(name string, port int, routes, cluster string) string {
	if routes != "" {
		return fmt.Sprintf(`
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: %[1]s
  address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}
  filter_chains:
  - filters:
    - name: h
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: %[1]s
        rds: {route_config_name: table, config_source: {path_config_source: {path: %[3]s}}}
        http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`, name, port, routes)
	}
	return fmt.Sprintf(`
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: %s
  address: {socket_address: {address: 127.0.0.1, port_value: %d}}
  filter_chains:
  - filters:
    - name: t
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %s}`, name, port, cluster)
}

func dynamicCluster(name, more string) string {
	return fmt.Sprintf("\n- {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: %s, connect_timeout: 1s%s}", name, more)
}

func response(version string, resources ...string) string {
	if len(resources) == 0 {
		return fmt.Sprintf("version_info: %q\nresources: []\n", version)
	}
	return fmt.Sprintf("version_info: %q\nresources:%s\n", version, strings.Join(resources, ""))
}

func namesOf(s *config.Snapshot) string {
	var names []string
	for _, l := range s.Listeners {
		names = append(names, l.Name)
	}
	names = append(names, "|")
	for _, c := range s.Clusters {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// top waits for what became of a version of a file of listeners or clusters.
func (s *stage) top(kind Kind, version string) Outcome {
	s.t.Helper()
	for {
		if o := s.outcome(); o.Kind == kind && o.Version == version {
			return o
		}
	}
}

func (s *stage) names(want string) *config.Snapshot {
	s.t.Helper()
	for {
		n := s.snapshot()
		if got := namesOf(n); got == want {
			return n
		}
	}
}

// TestListenersAndClusters come, change and go; what did not change is the same, and what the bootstrap has stands.
func TestListenersAndClusters(t *testing.T) {
	s := play(t, allDiscovereds, map[string]string{
		"lds.yaml": response("1", dynamicListener("a", 1, "", "one"), dynamicListener("b", 2, "", "one")),
		"cds.yaml": response("1", dynamicCluster("one", ""), dynamicCluster("fixed", ""), dynamicCluster("two", "")),
	})
	first := s.feed.Snapshot()
	if got := namesOf(first); got != "a b | fixed one two" {
		t.Fatal(got)
	}
	if o := s.top(Clusters, "1"); o.Err != nil || !o.Changed || fmt.Sprint(o.Ignored) != "[fixed]" {
		t.Errorf("%+v", o)
	}
	if first.Clusters[0].Discovered || !first.Clusters[1].Discovered {
		t.Error("who is from a file is not told")
	}

	s.write("lds.yaml", response("2", dynamicListener("a", 1, "", "one"), dynamicListener("b", 2, "", "two"), dynamicListener("c", 3, "", "one")))
	second := s.names("a b c | fixed one two")
	if second.Listeners[0] != first.Listeners[0] || second.Listeners[1] == first.Listeners[1] || second.Clusters[1] != first.Clusters[1] {
		t.Error("not just what changed is another")
	}
	s.top(Listeners, "2")
	s.write("lds.yaml", response("3", dynamicListener("a", 1, "", "one"), dynamicListener("b", 2, "", "two"), dynamicListener("c", 3, "", "one")))
	if o := s.top(Listeners, "3"); o.Err != nil || o.Changed || s.feed.Snapshot() != second {
		t.Errorf("the same under another version: %+v", o)
	}
	state := s.feed.States()[1]
	if state.Version != "3" || state.Members[0].Version != "1" || state.Members[1].Version != "2" {
		t.Errorf("%+v", state)
	}
	if loads, good := s.count(ListenerStats, "listener_manager.lds.", updateAttempt), s.count(ListenerStats, "listener_manager.lds.", updateSuccess); loads != 3 || good != 3 {
		t.Errorf("%d attempts, %d good", loads, good)
	}
	if n := s.count(ClusterStats, "cluster_manager.cds.", reloadOrNoRebuild); n != 1 {
		t.Errorf("%d reloads", n)
	}

	s.write("lds.yaml", response("4"))
	s.names("| fixed one two")
	s.write("cds.yaml", response("2", dynamicCluster("two", "")))
	s.names("| fixed two")
}

// TestBrokenTop takes a file as a whole or not at all, and shows why.
func TestBrokenTop(t *testing.T) {
	s := play(t, allDiscovereds, map[string]string{"lds.yaml": response("1", dynamicListener("a", 1, "", "one")), "cds.yaml": response("1")})
	before := s.feed.Snapshot()
	path := filepath.Join(s.folder, "lds.yaml")
	for version, c := range map[string]struct{ text, want string }{
		"2": {strings.Replace(response("2", dynamicListener("b", 2, "", "one"), dynamicListener("a", 3, "", "one")), "stat_prefix", "stat_prefi", 1),
			path + `:9: resources[0](Listener).filter_chains[0].filters[0].typed_config(TcpProxy).stat_prefi: TcpProxy has no field "stat_prefi"; did you mean "stat_prefix"?`},
		"3": {response("3", dynamicListener("a", 3, "", "one"), dynamicListener("a", 4, "", "one")), path + `:10: resources[1]: Listener "a" is in the file twice`},
		"4": {response("4", dynamicListener("a", 3, "", "one"), dynamicListener("b", 3, "", "one")), path + `: resources: listener "b" is at 127.0.0.1:3, where "a" is`},
	} {
		s.write("lds.yaml", c.text)
		o := s.top(Listeners, version)
		if o.Err == nil {
			t.Fatalf("%s is accepted", version)
		}
		if d := cmp.Diff(c.want, o.Err.Error()); d != "" {
			t.Error(d)
		}
		if s.feed.Snapshot() != before {
			t.Error("something changed")
		}
	}
	if n := s.count(ListenerStats, "listener_manager.lds.", updateRejected); n != 3 {
		t.Errorf("%d rejected", n)
	}
	s.write("lds.yaml", "nothing: [")
	for o := s.outcome(); o.Kind != Listeners || o.Version != ""; o = s.outcome() {
	}
	if n := s.count(ListenerStats, "listener_manager.lds.", updateFailure); n < 1 {
		t.Error("no failure is counted")
	}
	s.write("lds.yaml", response("5", dynamicListener("a", 9, "", "one"), dynamicListener("b", 9, "", "one")))
	s.top(Listeners, "5")
	var dump bytes.Buffer
	if err := s.feed.Dump(&dump, &config.Bootstrap{}, url.Values{"resource": {"dynamic_listeners"}}); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(dump.String(), `":  "`, `": "`)
	for _, want := range []string{`"name": "a"`, `"name": "b"`, `"version_info": "1"`, `"error_state"`, `"version_info": "5"`, `where \"a\" is`, `"client_status": "NACKED"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestServingFails: what cannot be served is not in force, and the file says why.
func TestServingFails(t *testing.T) {
	s := play(t, allDiscovereds, map[string]string{"lds.yaml": response("1"), "cds.yaml": response("1")})
	before := s.feed.Snapshot()
	s.refuse.Store(true)
	s.write("lds.yaml", response("2", dynamicListener("a", 1, "", "one")))
	if o := s.top(Listeners, "2"); o.Err == nil || !strings.Contains(o.Err.Error(), "no such address") || s.feed.Snapshot() != before {
		t.Errorf("%+v", o)
	}
	if n := s.count(ListenerStats, "listener_manager.lds.", updateRejected); n != 1 {
		t.Errorf("%d rejected", n)
	}
}

// TestFilesInAnyOrder: a listener comes when its routes are there, whichever file is written first, and a route whose cluster is to be
// there when that is.
func TestFilesInAnyOrder(t *testing.T) {
	s := play(t, allDiscovereds, map[string]string{"lds.yaml": response("1"), "cds.yaml": response("1")})
	table := filepath.Join(s.folder, "routes.yaml")
	s.write("lds.yaml", response("2", dynamicListener("a", 1, table, "")))
	if o := s.top(Listeners, "2"); o.Err == nil || o.Err.Error() != table+": cannot be read: no such file or directory" {
		t.Fatalf("%+v", o)
	}
	s.write("routes.yaml", strings.Replace(routes("1", "a"), "name: table", "name: table\n  validate_clusters: true", 1))
	for o := s.outcome(); o.Kind != Listeners || !strings.Contains(o.Err.Error(), `there is no cluster "up"`); o = s.outcome() {
	}
	s.write("cds.yaml", response("2", dynamicCluster("up", "")))
	if n := s.names("a | fixed up"); n.Routes["table"] == nil {
		t.Error("a listener without its routes")
	}
	// Once it is there it changes by itself, and goes with its listener.
	s.write("routes.yaml", routes("9", "b"))
	if o := s.until("9"); o.Err != nil || o.Kind != Routes || !o.Changed {
		t.Errorf("%+v", o)
	}
	if n := s.count(RouteStats, "http.a.rds.table.", updateSuccess); n != 2 {
		t.Errorf("routes were taken %d times", n)
	}
	s.write("lds.yaml", response("3"))
	if n := s.names("| fixed up"); len(n.Routes) != 0 {
		t.Error("routes of nobody")
	}
}

// TestRemovedClusterStays while routes name it, but not for ever.
func TestRemovedClusterStays(t *testing.T) {
	files := map[string]string{
		"lds.yaml": response("1", dynamicListener("a", 1, "", "one")),
		"cds.yaml": response("1", dynamicCluster("one", ""), dynamicCluster("two", "")),
	}
	s := play(t, allDiscovereds, files)
	s.write("cds.yaml", response("2"))
	if n := s.names("a | fixed one"); n.Clusters[1].Name != "one" {
		t.Error("it is gone at once")
	}
	s.write("lds.yaml", response("2", dynamicListener("a", 1, "", "fixed")))
	s.names("a | fixed")

	s = play(t, allDiscovereds, files, func(f *Feed) { f.stays = 50 * time.Millisecond })
	s.write("cds.yaml", response("2"))
	s.names("a | fixed one")
	s.names("a | fixed")
}
