package fields

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	callStats  = "grpc_stats.v3.FilterConfig"
	callBridge = "grpc_http1_bridge.v3.Config"
	aCall      = "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\n\x00\x00\x00\x00\x00"
	listed     = "individual_method_stats_allowlist: "
)

// grpcTrials are those of filters of gRPC, over HTTP/1.
var grpcTrials = []trial{
	{paths: "FilterConfig.stats_for_all_methods", site: filtered(callStats), flip: "stats_for_all_methods: true", up: called, probe: look(aCall, "#cluster.up.grpc.total", "#cluster.up.grpc.a.B.C.total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "FilterConfig.replace_dots_in_grpc_service_name", site: filtered(callStats), base: "stats_for_all_methods: true", flip: "stats_for_all_methods: true, replace_dots_in_grpc_service_name: true", up: called, probe: look(aCall, "#cluster.up.grpc.a.B.C.total", "#cluster.up.grpc.a_B.C.total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "FilterConfig.individual_method_stats_allowlist GrpcMethodList.services", site: filtered(callStats), base: "", flip: listed + "{services: [{name: a.B, method_names: [C]}]}", up: called, probe: look(aCall, "#cluster.up.grpc.total", "#cluster.up.grpc.a.B.C.total"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "GrpcMethodList.Service.name", site: filtered(callStats), base: listed + "{services: [{name: a, method_names: [C]}]}", flip: listed + "{services: [{name: a.B, method_names: [C]}]}", up: called, probe: look(aCall, "#cluster.up.grpc.a.B.C.total"), want: [2]string{"-1", "1"}},
	{paths: "GrpcMethodList.Service.method_names", site: filtered(callStats), base: listed + "{services: [{name: a.B, method_names: [D]}]}", flip: listed + "{services: [{name: a.B, method_names: [D, C]}]}", up: called, probe: look(aCall, "#cluster.up.grpc.a.B.C.total"), want: [2]string{"-1", "1"}},
	{paths: "FilterConfig.enable_upstream_stats", site: filtered(callStats), flip: "enable_upstream_stats: true", up: called, probe: timed, want: [2]string{"false", "true"}},
	{paths: "FilterConfig.emit_filter_state", site: filtered(callStats, `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%\n"}}]`),
		flip: "emit_filter_state: true", up: called, probe: look(aCall, "@log"), want: [2]string{"-", "1,0"}},
	{paths: "Config.upgrade_protobuf_to_grpc", site: filtered(callBridge), flip: "upgrade_protobuf_to_grpc: true", up: called, probe: look("POST /a.B/C; content-type: application/x-protobuf", ">content-type"), want: [2]string{"application/x-protobuf", "application/grpc"}},
	{paths: "Config.ignore_query_parameters", site: filtered(callBridge), flip: "ignore_query_parameters: true", up: called, probe: look("POST /a.B/C?d=e; content-type: application/grpc", "line"), want: [2]string{"POST /a.B/C?d=e HTTP/1.1", "POST /a.B/C HTTP/1.1"}},
}

// called answers calls.
func called(t testing.TB) *e2e.Upstream {
	return e2e.Answer(t, "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 0\r\ncontent-length: 0\r\n\r\n")
}

// timed tells whether there is a distribution of how long upstreams took for calls.
func timed(w *world) string {
	look(aCall, "status")(w)
	return has("cluster.up.grpc.upstream_rq_time: P0", page("/stats"))(w)
}
