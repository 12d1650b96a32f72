package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// parsed reads a resource from YAML; its version is that of its text.
func parsed(t testing.TB, name string, m proto.Message, text string) *Resource {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &Resource{Name: name, Version: strconv.Itoa(len(text)) + text, Body: body}
}

// town is a listener with its routes, a cluster and endpoints, each of which can be said otherwise.
type town struct {
	t              testing.TB
	port, upstream int
	timeout        string // of the cluster
	prefix         string // of the listener's statistics
	header         string // that routes add
	version        int
	broken         bool // a cluster that is refused is there, too
}

func (w *town) view() *View {
	t := w.t
	const ads = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}"
	clusters := []*Resource{parsed(t, "one", &clusterv3.Cluster{}, fmt.Sprintf("name: one\ntype: EDS\nconnect_timeout: %s\neds_cluster_config: {eds_config: %s}", w.timeout, ads))}
	if w.broken {
		clusters = append(clusters, parsed(t, "two", &clusterv3.Cluster{}, "name: two\ntype: EDS\nconnect_timeout: 1s")) // from nowhere
	}
	w.version++
	return &View{Version: strconv.Itoa(w.version), Parts: []*Part{
		{Kind: Clusters, Resources: clusters},
		{Kind: Endpoints, Resources: []*Resource{parsed(t, "one", &endpointv3.ClusterLoadAssignment{}, fmt.Sprintf("cluster_name: one\nendpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]", w.upstream))}},
		{Kind: Listeners, Resources: []*Resource{parsed(t, "in", &listenerv3.Listener{}, fmt.Sprintf(`
name: in
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: %s
      rds: {route_config_name: r, config_source: %s}
      http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, w.port, w.prefix, ads))}},
		{Kind: Routes, Resources: []*Resource{parsed(t, "r", &routev3.RouteConfiguration{}, fmt.Sprintf(`{name: r, response_headers_to_add: [{header: {key: told, value: %s}}], virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: one}}]}]}`, w.header))}},
	}}
}

// said is what comes back through the proxy.
func (w *town) said() string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", w.port))
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return fmt.Sprint(r.StatusCode, " ", string(body), " ", r.Header.Get("told"))
}

func upstream(t testing.TB, says string) int {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, says) }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return n
}

// bootstrap is one with this control plane.
func (c *control) bootstrap(api string) string {
	host, port, _ := net.SplitHostPort(c.addr)
	return fmt.Sprintf(`
node: {id: one, cluster: test}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}
`, api, host, port)
}

// number is a statistic of Envoy's.
func number(t testing.TB, admin, name string) string {
	t.Helper()
	r, err := http.Get("http://" + admin + "/stats?filter=^" + name + "$")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	_, value, _ := strings.Cut(strings.TrimSpace(string(body)), ": ")
	return value
}

// A real Envoy, and a real weft, get to serve, take each change, and are never left warming: a cluster that has changed, a listener that has, and after
// a NACK.
func TestProxiesAreServed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "weft")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/weftmesh/weft/cmd/weft").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	weft := func(t testing.TB, bootstrap string) string { return startWeft(t, program, bootstrap) }
	for name, start := range map[string]func(testing.TB, string) string{"envoy": envoy.Start, "weft": weft} {
		for _, api := range []string{"DELTA_GRPC", "GRPC"} {
			t.Run(name+" "+api, func(t *testing.T) { serves(t, start, api) })
		}
	}
}

func serves(t *testing.T, start func(testing.TB, string) (admin string), api string) {
	c := newControl(t)
	w := &town{t: t, port: vacant.Ports(t, 1)[0], upstream: upstream(t, "a"), timeout: "1s", prefix: "p", header: "first"}
	c.show(w.view())
	admin := start(t, c.bootstrap(api))
	want := func(what, text string) {
		t.Helper()
		c.show(w.view())
		eventually(t, what, func() bool { return w.said() == text })
		eventually(t, what+" is answered", c.rests)
		for _, name := range []string{"cluster_manager.warming_clusters", "listener_manager.total_listeners_warming"} {
			eventually(t, what+": "+name, func() bool { return number(t, admin, name) == "0" })
		}
	}
	want("the first", "200 a first")
	w.upstream = upstream(t, "b")
	want("endpoints", "200 b first")
	w.header = "second"
	want("routes", "200 b second")
	w.timeout = "2s"
	want("a cluster that changes", "200 b second")
	eventually(t, "the cluster is in force", func() bool { return strings.Contains(dump(t, admin), `"connect_timeout":"2s"`) })
	w.prefix = "q"
	want("a listener that changes", "200 b second")
	eventually(t, "the listener is in force", func() bool { return number(t, admin, "listener_manager.lds.update_success") != "1" })
	w.prefix, w.timeout, w.header, w.upstream = "z", "3s", "third", upstream(t, "c")
	want("all at once", "200 c third")
	w.broken, w.header = true, "fourth"
	want("beside something wrong", "200 c fourth")
	w.timeout = "4s"
	want("after a NACK", "200 c fourth")
	eventually(t, "the good cluster is in force", func() bool { return strings.Contains(dump(t, admin), `"connect_timeout":"4s"`) })
	if got := c.refusals(); !slices.Contains(got, "clusters two") {
		t.Errorf("refused: %v", got)
	}
}

// startWeft runs a weft as envoy.Start does an Envoy.
func startWeft(t testing.TB, program, bootstrap string) (admin string) {
	t.Helper()
	dir := t.TempDir()
	file, told := filepath.Join(dir, "boot.yaml"), filepath.Join(dir, "admin")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--admin-address-path", told)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, "weft is there", func() bool {
		b, _ := os.ReadFile(told)
		admin = string(b)
		return admin != ""
	})
	return admin
}

func dump(t testing.TB, admin string) string {
	t.Helper()
	r, err := http.Get("http://" + admin + "/config_dump?resource=dynamic_active_clusters")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return strings.ReplaceAll(string(body), " ", "")
}
