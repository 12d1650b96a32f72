package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/xds"
)

// TestControlPlane starts before its control plane is there, says so, and is ready when everything has come: by all that an agent reads.
func TestControlPlane(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up") }))
	t.Cleanup(up.Close)
	plane := xds.NewPlane(t, xds.OverUnix)
	plane.Stop()
	w := begin(t, `
node: {id: sidecar~127.0.0.1~a.b~b.svc.cluster.local, cluster: a.b}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, set_node_on_first_message_only: true, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
static_resources: {clusters: [{name: plane, connect_timeout: 1s, http2_protocol_options: {}, load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [`+plane.Endpoint()+`]}]}}]}
`)
	if status, body := w.get("/ready"); status != 503 || strings.TrimSpace(body) != "INITIALIZING" {
		t.Errorf("%d %s", status, body)
	}
	if _, body := w.get("/stats?filter=server.state"); !strings.Contains(body, "server.state: 3") {
		t.Error(body)
	}
	w.eventually("a failure is logged", func() bool { return strings.Contains(w.log.String(), "the control plane is not there") })

	plane.Serve(xds.Way(up.Listener.Addr().(*net.TCPAddr).Port)...)
	plane.Start()
	w.eventually("ready", func() bool { status, _ := w.get("/ready"); return status == 200 })
	if got := w.body(w.listener("l")); got != "up" {
		t.Error(got)
	}
	_, stats := w.get("/stats")
	for _, want := range []string{"cluster_manager.cds.update_success: 1\n", "listener_manager.lds.update_success: 1\n", "cluster_manager.cds.update_rejected: 0\n", "listener_manager.workers_started: 1\n",
		"server.state: 0\n", "control_plane.connected_state: 1\n", "control_plane.pending_requests: 0\n", "http.in.rds.r.update_success: 1\n", "http.in.rds.r.config_reload: 1\n", "cluster.one.update_success: 1\n"} {
		if !strings.Contains(stats, want) {
			t.Errorf("no %q", want)
		}
	}
	_, dump := w.get("/config_dump?include_eds")
	for _, want := range []string{`"dynamic_active_clusters"`, `"dynamic_listeners"`, `"dynamic_route_configs"`, `"dynamic_endpoint_configs"`, `"active_state"`, `"last_updated"`, `"version_info"`} {
		if !strings.Contains(dump, want) {
			t.Errorf("no %s in the dump", want)
		}
	}
}

// TestStreamsThatAreRefused says where and why.
func TestStreamsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"dynamic_resources: {cds_config: {ads: {}}}": "dynamic_resources.cds_config.ads: there is no stream that everything comes over: set dynamic_resources.ads_config",
		"dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{google_grpc: {target_uri: a, stat_prefix: b}}]}}": "dynamic_resources.ads_config.grpc_services[0].google_grpc: not supported: use envoy_grpc",
		"dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: a}}]}}":                `cluster_name: "a": want a cluster of static_resources`,
		"dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: a}}]}}":                                           "transport_api_version: want V3",
		"dynamic_resources: {ads_config: {api_type: REST, transport_api_version: V3, cluster_names: [a]}}":                                              "ads_config.api_type: REST: each kind is polled by itself",
		"dynamic_resources: {lds_config: {self: {}}}": "lds_config.self: not supported yet: use ads or api_config_source",
	} {
		var stdout, stderr strings.Builder
		if code := run([]string{"--mode", "validate", "--config-yaml", text}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d\n%s", text, code, stderr.String())
		}
	}
}
