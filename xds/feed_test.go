package xds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// stage is a feed over a folder of files, with what it tells.
type stage struct {
	t         *testing.T
	folder    string
	feed      *Feed
	stats     *telemetry.Store
	outcomes  chan Outcome
	snapshots chan *config.Snapshot
	refuse    atomic.Bool // nothing can be served
}

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// play opens a feed with one connection manager and one cluster that take everything from files, and watches it.
func play(t *testing.T, boot string, files map[string]string, before ...func(*Feed)) *stage {
	t.Helper()
	s := &stage{t: t, folder: t.TempDir(), stats: telemetry.NewStore(0), outcomes: make(chan Outcome, 1000), snapshots: make(chan *config.Snapshot, 1000)}
	for name, text := range files {
		s.write(name, text)
	}
	b, err := ReadBootstrap(Source{YAML: strings.ReplaceAll(boot, "FOLDER", s.folder)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.feed, err = Open(b, Options{Stats: s.stats, Report: func(o Outcome) { s.outcomes <- o }, Now: func() time.Time { return time.Unix(1000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range before {
		b(s.feed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.feed.Watch(ctx, func(n *config.Snapshot) error {
			if s.refuse.Load() {
				return errors.New("no such address")
			}
			s.snapshots <- n
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		s.feed.Close()
	})
	return s
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) outcome() Outcome {
	s.t.Helper()
	select {
	case o := <-s.outcomes:
		return o
	case <-time.After(deadline):
		s.t.Fatal("nothing was read")
		panic("unreachable")
	}
}

func (s *stage) snapshot() *config.Snapshot {
	s.t.Helper()
	select {
	case n := <-s.snapshots:
		return n
	case <-time.After(deadline):
		s.t.Fatal("nothing changed")
		panic("unreachable")
	}
}

// until waits for the outcome of a version; an editor's half-written file may be seen before it.
func (s *stage) until(version string) Outcome {
	s.t.Helper()
	for {
		if o := s.outcome(); o.Version == version {
			return o
		}
	}
}

func (s *stage) count(table *telemetry.Table, prefix string, row int) int64 {
	o := s.stats.Acquire(table, prefix)
	defer s.stats.Release(o)
	return o.Sum(row)
}

const bothFromFiles = `
static_resources:
  listeners:
  - name: l
    address: {pipe: {path: /run/a}}
    filter_chains:
    - filters:
      - name: h
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          rds: {route_config_name: table, config_source: {path_config_source: {path: FOLDER/routes.yaml}}}
          http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: up
    type: EDS
    connect_timeout: 1s
    eds_cluster_config: {service_name: svc, eds_config: {path: FOLDER/eds.json}}
`

func routes(version, domain string) string {
	return fmt.Sprintf(`version_info: "%s"
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: table
  virtual_hosts: [{name: v, domains: ["%s"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]
`, version, domain)
}

func endpointsFile(version string, port int) string {
	return fmt.Sprintf(`{"versionInfo": "%s", "resources": {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "svc",
"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": %d}}}}]}]}}`, version, port)
}

// TestFeed takes changes over, shares what did not change, and keeps the last good one when a file is broken.
func TestFeed(t *testing.T) {
	s := play(t, bothFromFiles, map[string]string{"routes.yaml": routes("1", "a"), "eds.json": endpointsFile("1", 1)})
	first := s.feed.Snapshot()
	if first.Routes["table"].VirtualHosts[0].Domains[0] != "a" || first.Endpoints.Get("svc").Endpoints[0].Address.AddrPort.Port() != 1 {
		t.Fatalf("%+v", first)
	}
	for range 2 {
		if o := s.outcome(); o.Err != nil || !o.Changed || o.Version != "1" {
			t.Errorf("%+v", o)
		}
	}

	// rewritten in place
	s.write("routes.yaml", routes("2", "b"))
	if o := s.until("2"); o.Err != nil || !o.Changed || o.Kind != Routes || o.Name != "table" {
		t.Errorf("%+v", o)
	}
	second := s.snapshot()
	if second.Routes["table"].VirtualHosts[0].Domains[0] != "b" || second.Endpoints.Get("svc") != first.Endpoints.Get("svc") || second.Clusters[0] != first.Clusters[0] || first.Routes["table"] == second.Routes["table"] {
		t.Errorf("%+v", second)
	}

	// another version of the same
	s.write("routes.yaml", routes("3", "b"))
	if o := s.until("3"); o.Err != nil || o.Changed {
		t.Errorf("%+v", o)
	}
	if s.feed.Snapshot() != second {
		t.Error("an equal resource made another snapshot")
	}

	// broken
	before := s.count(RouteStats, "http.in.rds.table.", updateRejected)
	s.write("routes.yaml", strings.Replace(routes("4", "c"), "prefix", "prefixx", 1))
	o := s.until("4")
	want := filepath.Join(s.folder, "routes.yaml") + `:5: resources[0](RouteConfiguration).virtual_hosts[0].routes[0].match.prefixx: RouteMatch has no field "prefixx"; did you mean "prefix"?`
	if o.Err == nil || o.Err.Error() != want {
		t.Errorf("want %s\ngot  %v", want, o.Err)
	}
	if s.feed.Snapshot() != second {
		t.Error("a broken file made another snapshot")
	}
	if n := s.count(RouteStats, "http.in.rds.table.", updateRejected) - before; n != 1 {
		t.Errorf("update_rejected went up by %d", n)
	}
	state := s.feed.States()[0]
	if state.Version != "3" || state.Resource != any(second.Routes["table"]) || state.Failure == nil || state.Failure.Version != "4" || state.Failure.Details != want || !state.Failure.Time.Equal(time.Unix(1000, 0)) {
		t.Errorf("%+v %+v", state, state.Failure)
	}

	// renamed into place
	s.write("eds.new", endpointsFile("2", 2))
	if err := os.Rename(filepath.Join(s.folder, "eds.new"), filepath.Join(s.folder, "eds.json")); err != nil {
		t.Fatal(err)
	}
	if o := s.until("2"); o.Err != nil || o.Kind != Endpoints || o.Name != "svc" {
		t.Errorf("%+v", o)
	}
	if third := s.snapshot(); third.Endpoints.Get("svc").Endpoints[0].Address.AddrPort.Port() != 2 || third.Routes["table"] != second.Routes["table"] {
		t.Errorf("%+v", third)
	}

	// repaired
	s.write("routes.yaml", routes("5", "d"))
	if o := s.until("5"); o.Err != nil || !o.Changed {
		t.Errorf("%+v", o)
	}
	if s.snapshot().Routes["table"].VirtualHosts[0].Domains[0] != "d" || s.feed.States()[0].Failure != nil {
		t.Error("the failure is still there")
	}

	// gone, which counts as a failure and not as a rejection
	before = s.count(EndpointStats, "cluster.up.", updateFailure)
	if err := os.Remove(filepath.Join(s.folder, "eds.json")); err != nil {
		t.Fatal(err)
	}
	for o := s.outcome(); o.Err == nil; o = s.outcome() {
	}
	if n := s.count(EndpointStats, "cluster.up.", updateFailure) - before; n != 1 {
		t.Errorf("update_failure went up by %d", n)
	}
	if attempts, good := s.count(EndpointStats, "cluster.up.", updateAttempt), s.count(EndpointStats, "cluster.up.", updateSuccess); attempts != 3 || good != 2 {
		t.Errorf("%d attempts, %d good", attempts, good)
	}
	s.write("eds.json", endpointsFile("3", 3))
	if s.until("3"); s.snapshot().Endpoints.Get("svc").Endpoints[0].Address.AddrPort.Port() != 3 {
		t.Error("a file that came back is not read")
	}
}

// TestFeedFollowsLinks sees what Kubernetes does with a mounted ConfigMap: a link to a folder is swapped, and the old folder removed.
func TestFeedFollowsLinks(t *testing.T) {
	folder := t.TempDir()
	publish := func(version, domain string) {
		real := filepath.Join(folder, "..v"+version)
		if err := os.Mkdir(real, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(real, "routes.yaml"), []byte(routes(version, domain)), 0o644); err != nil {
			t.Fatal(err)
		}
		old, _ := os.Readlink(filepath.Join(folder, "..data"))
		if err := os.Symlink("..v"+version, filepath.Join(folder, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "..tmp"), filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
		if old != "" {
			if err := os.RemoveAll(filepath.Join(folder, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("1", "a")
	if err := os.Symlink(filepath.Join("..data", "routes.yaml"), filepath.Join(folder, "routes.yaml")); err != nil {
		t.Fatal(err)
	}
	boot, _, _ := strings.Cut(bothFromFiles, "  clusters:")
	boot = strings.Replace(boot, "{path: FOLDER/routes.yaml}", "{path: "+folder+"/routes.yaml, watched_directory: {path: "+folder+"}}", 1)
	s := play(t, boot, nil)
	s.until("1")
	for version, domain := range []string{"", "", "b", "c", "d"} {
		if domain == "" {
			continue
		}
		publish(fmt.Sprint(version), domain)
		if o := s.until(fmt.Sprint(version)); o.Err != nil {
			t.Fatal(o.Err)
		}
		if n := s.snapshot(); n.Routes["table"].VirtualHosts[0].Domains[0] != domain {
			t.Errorf("version %d: %v", version, n.Routes["table"].VirtualHosts[0].Domains)
		}
	}
}

// TestOpenFails for every file that is not good: there is nothing older to fall back to.
func TestOpenFails(t *testing.T) {
	good := endpointsFile("1", 1)
	for name, c := range map[string]struct {
		routes, eds string
		boot        string
		want        []string
	}{
		"missing resource": {strings.Replace(routes("1", "a"), "name: table", "name: other", 1), good, bothFromFiles, []string{
			`routes.yaml: resources: RouteConfiguration "table" is missing; it holds "other"`}},
		"empty": {"resources: []", good, bothFromFiles, []string{`routes.yaml: resources: RouteConfiguration "table" is missing; it holds none`}},
		"wrong type": {"resources: [{\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a}]", good, bothFromFiles, []string{
			`routes.yaml:1: resources[0]: want a resource with "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, not "envoy.config.cluster.v3.Cluster"`}},
		"wrong type_url": {"type_url: type.googleapis.com/envoy.config.cluster.v3.Cluster\n" + routes("1", "a"), good, bothFromFiles, []string{
			`routes.yaml:1: type_url: want type.googleapis.com/envoy.config.route.v3.RouteConfiguration, not "type.googleapis.com/envoy.config.cluster.v3.Cluster"`}},
		"twice": {"resources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: table}, {\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: table}]", good, bothFromFiles, []string{
			`routes.yaml:1: resources[1]: RouteConfiguration "table" is in the file twice`}},
		"both": {"resourcess: []", `{"version_info": 1}`, bothFromFiles, []string{
			`routes.yaml:1: resourcess: DiscoveryResponse has no field "resourcess"; did you mean "resources"?`,
			`eds.json:1: version_info: want a string, not 1: put it in quotes`}},
		"a faulty route": {strings.Replace(routes("1", "a"), "cluster: up", "cluster: up, hash_policy: []", 1), strings.Replace(good, "127.0.0.1", "localhost", 1), bothFromFiles, []string{
			`eds.json:2: resources[0](ClusterLoadAssignment).endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "localhost" is not an IP address: names are not resolved here`}},
		"clusters that are asked for": {strings.Replace(routes("1", "a"), "name: table", "name: table\n  validate_clusters: true", 1), good, strings.Replace(bothFromFiles, "name: up", "name: down", 1), []string{
			`routes.yaml:6: resources[0](RouteConfiguration).virtual_hosts[0].routes[0].route.cluster: there is no cluster "up"; validate_clusters: false would allow it to come later`}},
		"one name from two files": {routes("1", "a"), good, bothFromFiles + `
  - name: two
    type: EDS
    connect_timeout: 1s
    eds_cluster_config: {service_name: svc, eds_config: {path: FOLDER/other.json}}
`, []string{`other.json: cluster two wants ClusterLoadAssignment "svc" from this file, and it comes from FOLDER/eds.json already: give one of them another name`}},
		"no folder": {routes("1", "a"), good, strings.Replace(bothFromFiles, "FOLDER/eds.json", "FOLDER/no/eds.json", 1), []string{
			`no/eds.json: cannot be watched: there is no folder FOLDER/no`}},
		"no file": {routes("1", "a"), good, strings.Replace(bothFromFiles, "FOLDER/eds.json", "FOLDER/none.json", 1), []string{
			`none.json: cannot be read: no such file or directory`}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for name, text := range map[string]string{"routes.yaml": c.routes, "eds.json": c.eds} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := Validate(Source{YAML: strings.ReplaceAll(c.boot, "FOLDER", folder)}, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			var got []string
			for _, line := range strings.Split(err.Error(), "\n") {
				got = append(got, strings.ReplaceAll(strings.TrimPrefix(line, folder+"/"), folder, "FOLDER"))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestOneFileForSeveral serves two connection managers from one file, with counters for each.
func TestOneFileForSeveral(t *testing.T) {
	boot, clusters, _ := strings.Cut(bothFromFiles, "  clusters:")
	_, l, _ := strings.Cut(boot, "  listeners:\n")
	boot += strings.NewReplacer("name: l\n", "name: m\n", "/run/a", "/run/b", "stat_prefix: in", "stat_prefix: out").Replace(l) + "  clusters:" + clusters
	s := play(t, boot, map[string]string{"routes.yaml": routes("1", "a"), "eds.json": endpointsFile("1", 1)})
	for range 3 {
		s.outcome()
	}
	s.write("routes.yaml", routes("2", "b"))
	for range 2 {
		if o := s.until("2"); !o.Changed {
			t.Errorf("%+v", o)
		}
	}
	s.snapshot()
	for _, prefix := range []string{"http.in.rds.table.", "http.out.rds.table."} {
		if n := s.count(RouteStats, prefix, reloadOrNoRebuild); n != 2 {
			t.Errorf("%s: %d reloads", prefix, n)
		}
	}
}

// TestNothingToWatch ends with its context.
func TestNothingToWatch(t *testing.T) {
	b, err := ReadBootstrap(Source{YAML: "{}"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Watch(ctx, func(*config.Snapshot) error { t.Error("a change out of nothing"); return nil })
	if len(f.States()) != 0 || f.Snapshot() == nil {
		t.Error("no snapshot, or states")
	}
}
