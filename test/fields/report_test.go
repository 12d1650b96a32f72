package fields

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	dataaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	loadv3 "github.com/envoyproxy/go-control-plane/envoy/service/load_stats/v3"

	"github.com/weftmesh/weft/test/e2e"
)

// recorder takes entries of logs, each of which has a name of its own, and reports of load.
type recorder struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	loadv3.UnimplementedLoadReportingServiceServer
	port int

	mu    sync.Mutex
	http  map[string][]*dataaccesslogv3.HTTPAccessLogEntry // by the log's name
	tcp   map[string][]*dataaccesslogv3.TCPAccessLogEntry
	loads map[string]*loadv3.LoadStatsRequest // the last report with dropped requests, by the node's ID
}

// recorded are two of them.
var recorded = sync.OnceValue(func() (all [2]*recorder) {
	for i := range all {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		all[i] = &recorder{port: l.Addr().(*net.TCPAddr).Port, http: map[string][]*dataaccesslogv3.HTTPAccessLogEntry{}, tcp: map[string][]*dataaccesslogv3.TCPAccessLogEntry{}, loads: map[string]*loadv3.LoadStatsRequest{}}
		s := grpc.NewServer()
		accesslogv3.RegisterAccessLogServiceServer(s, all[i])
		loadv3.RegisterLoadReportingServiceServer(s, all[i])
		go s.Serve(l)
	}
	return all
})

func (r *recorder) StreamAccessLogs(s accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	name := ""
	for {
		m, err := s.Recv()
		if err != nil {
			return nil
		}
		if id := m.GetIdentifier(); id != nil {
			name = id.GetLogName()
		}
		r.mu.Lock()
		r.http[name] = append(r.http[name], m.GetHttpLogs().GetLogEntry()...)
		r.tcp[name] = append(r.tcp[name], m.GetTcpLogs().GetLogEntry()...)
		r.mu.Unlock()
	}
}

func (r *recorder) StreamLoadStats(s loadv3.LoadReportingService_StreamLoadStatsServer) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return nil
		}
		r.mu.Lock()
		if r.loads[m.GetNode().GetId()] == nil || len(m.GetClusterStats()) > 0 {
			r.loads[m.GetNode().GetId()] = m
		}
		for _, c := range m.GetClusterStats() {
			if len(c.GetDroppedRequests()) > 0 {
				r.loads[m.GetNode().GetId()+" dropped"] = m
			}
		}
		r.mu.Unlock()
		if err := s.Send(&loadv3.LoadStatsResponse{SendAllClusters: true, LoadReportingInterval: durationpb.New(100 * time.Millisecond)}); err != nil {
			return err
		}
	}
}

// recorderCluster is the cluster of one of the recorders.
func recorderCluster(name string, i int) string { return e2e.Cluster(name, recorded()[i].port) }

// entryOf is the first entry of a log, once it is there; nil: there is none within a moment.
func entryOf(w *world, name string) (*dataaccesslogv3.HTTPAccessLogEntry, *dataaccesslogv3.TCPAccessLogEntry) {
	for end := time.Now().Add(moment); time.Now().Before(end); <-time.After(time.Millisecond) {
		for _, r := range recorded() {
			r.mu.Lock()
			h, t := slices.Clone(r.http[name]), slices.Clone(r.tcp[name])
			r.mu.Unlock()
			if len(h) > 0 {
				return h[0], nil
			}
			if len(t) > 0 {
				return nil, t[0]
			}
		}
	}
	return nil, nil
}

const remoteTo = `grpc_service: {envoy_grpc: {cluster_name: logs-a}}`

// remoteLog is a log whose name is the folder; more is of its common configuration, and after what stands beside that.
func remoteLog(kind, more, after string) string {
	return `{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.` + kind + `GrpcAccessLogConfig, common_config: {transport_api_version: V3, ` + more + `}` + after + `}}`
}

// remotely puts a log of a connection manager in place, in front of filters that note something.
func remotely(more func(piece string) (common, after string)) func(string) string {
	return func(piece string) string {
		common, after := more(piece)
		text := e2e.Bootstrap(e2e.HTTPListener("routes: [{match: {prefix: /}, metadata: {filter_metadata: {m: {k: of the route}}}, route: {cluster: up}}]", "http_protocol_options: {enable_trailers: true}", "access_log: ["+remoteLog("Http", common, after)+"]"),
			strings.Replace(upCluster("metadata: {filter_metadata: {m: {k: of the cluster}}}", "http_protocol_options: {enable_trailers: true}"), "- endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}", "- {metadata: {filter_metadata: {m: {k: of the endpoint}}}, "+here+"}", 1), recorderCluster("logs-a", 0), recorderCluster("logs-b", 1))
		return e2e.WithFilters(text, `- {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: said, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "it"}}}]}}
- {name: noted, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config, request_rules: [{header: x-a, on_header_present: {metadata_namespace: m, key: k, type: STRING}}]}}`)
	}
}

// inCommon is a piece of the common configuration of a log that is called as the folder.
var inCommon = remotely(func(piece string) (string, string) {
	return `log_name: "@DIR@", buffer_flush_interval: 0.01s, ` + remoteTo + ", " + piece, ""
})

// besideCommon is a piece beside that.
var besideCommon = remotely(func(piece string) (string, string) {
	return `log_name: "@DIR@", buffer_flush_interval: 0.01s, ` + remoteTo, ", " + piece
})

// tag is a piece of a tag that is called t.
func tag(piece string) string { return inCommon("custom_tags: [{tag: t, " + piece + "}]") }

// told sends a request and says what its entry tells.
func toldRemotely(f func(*dataaccesslogv3.HTTPAccessLogEntry) string) func(*world) string {
	return func(w *world) string {
		w.dial().Send("GET / HTTP/1.1\r\nhost: a\r\nx-a: of the request\r\nx-b: other\r\n\r\n").Read("GET").Want(w.t, 200)
		e, _ := entryOf(w, w.dir)
		if e == nil {
			return "nothing"
		}
		return f(e)
	}
}

var tagT = toldRemotely(func(e *dataaccesslogv3.HTTPAccessLogEntry) string {
	return e.GetCommonProperties().GetCustomTags()["t"]
})

// logged is that there is an entry.
var loggedRemotely = toldRemotely(func(*dataaccesslogv3.HTTPAccessLogEntry) string { return "an entry" })

func fromMetadata(kind string) string {
	return "metadata: {kind: {" + kind + ": {}}, metadata_key: {key: m, path: [{key: k}]}}"
}

// loaded is a bootstrap that may report load, with a cluster that all requests are spared of.
func loaded(piece, drops string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, load_assignment: {cluster_name: up, policy: {drop_overloads: ["+drops+"]}, endpoints: [{lb_endpoints: [{"+here+"}]}]}}", recorderCluster("loads", 0)) +
		"\nnode: {id: \"@DIR@\"}\ncluster_manager: {upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}}, " + piece + "}"
}

const loadTo = "load_stats_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: loads}}]}"

// reports is the category of a request that is dropped while load is reported; "nobody" if it is not, within a moment.
func reportsLoad(w *world) string {
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.feed.ReportLoad(ctx, w.Loads, nil)
	}()
	defer func() { cancel(); <-done }()
	r := recorded()[0]
	wait := func(id string, wants func(*loadv3.LoadStatsRequest) bool) *loadv3.LoadStatsRequest {
		for end := time.Now().Add(moment); time.Now().Before(end); <-time.After(time.Millisecond) {
			r.mu.Lock()
			m := r.loads[id]
			r.mu.Unlock()
			if m != nil && wants(m) {
				return m
			}
		}
		return nil
	}
	// Clusters are followed from the time that the control plane asks for them.
	if wait(w.dir, func(m *loadv3.LoadStatsRequest) bool { return len(m.GetClusterStats()) > 0 }) == nil {
		return "nobody"
	}
	w.dial().Get("/")
	m := wait(w.dir+" dropped", func(*loadv3.LoadStatsRequest) bool { return true })
	for _, c := range m.GetClusterStats() {
		for _, d := range c.GetDroppedRequests() {
			return fmt.Sprintf("%s %s %d", c.GetClusterName(), d.GetCategory(), d.GetDroppedCount())
		}
	}
	return "nothing"
}

const allDropped = "{category: a, drop_percentage: {numerator: 100}}"

var reportTrials = []trial{
	{paths: "ClusterManager.load_stats_config", site: func(p string) string { return loaded(p, allDropped) }, base: "", flip: loadTo, probe: reportsLoad, want: [2]string{"nobody", "up a 1"}},
	{paths: "DropOverload.category", site: func(p string) string { return loaded(loadTo, "{drop_percentage: {numerator: 100}, "+p+"}") }, base: "category: a", flip: "category: b", probe: reportsLoad, want: [2]string{"up a 1", "up b 1"}},

	{paths: "CommonGrpcAccessLogConfig.log_name", site: remotely(func(p string) (string, string) { return "buffer_flush_interval: 0.01s, " + remoteTo + ", " + p, "" }), base: `log_name: "other"`, flip: `log_name: "@DIR@"`, probe: loggedRemotely, want: [2]string{"nothing", "an entry"}},
	{paths: "CommonGrpcAccessLogConfig.grpc_service", site: remotely(func(p string) (string, string) { return `log_name: "@DIR@", buffer_flush_interval: 0.01s, ` + p, "" }),
		base: remoteTo, flip: "grpc_service: {envoy_grpc: {cluster_name: logs-b}}", probe: func(w *world) string {
			loggedRemotely(w)
			b := recorded()[1]
			b.mu.Lock()
			defer b.mu.Unlock()
			return fmt.Sprint(len(b.http[w.dir]))
		}, want: [2]string{"0", "1"}},
	{paths: "CommonGrpcAccessLogConfig.buffer_flush_interval", site: remotely(func(p string) (string, string) { return `log_name: "@DIR@", ` + remoteTo + ", " + p, "" }), base: "buffer_flush_interval: 1000s", flip: "buffer_flush_interval: 0.01s", probe: loggedRemotely, want: [2]string{"nothing", "an entry"}},
	{paths: "CommonGrpcAccessLogConfig.buffer_size_bytes", site: remotely(func(p string) (string, string) {
		return `log_name: "@DIR@", buffer_flush_interval: 1000s, ` + remoteTo + ", " + p, ""
	}), base: "", flip: "buffer_size_bytes: 10", probe: loggedRemotely, want: [2]string{"nothing", "an entry"}},
	{paths: "CommonGrpcAccessLogConfig.filter_state_objects_to_log", site: inCommon, base: "", flip: "filter_state_objects_to_log: [said]", probe: toldRemotely(func(e *dataaccesslogv3.HTTPAccessLogEntry) string {
		var s wrapperspb.StringValue
		if a := e.GetCommonProperties().GetFilterStateObjects()["said"]; a == nil || a.UnmarshalTo(&s) != nil {
			return "-"
		}
		return s.GetValue()
	}), want: [2]string{"-", "it"}},
	{paths: "CommonGrpcAccessLogConfig.custom_tags", site: inCommon, base: "", flip: "custom_tags: [{tag: t, literal: {value: v}}]", probe: tagT, want: [2]string{"", "v"}},
	{paths: "HttpGrpcAccessLogConfig.common_config TcpGrpcAccessLogConfig.common_config", site: func(p string) string {
		return e2e.Bootstrap(tcpListener("stat_prefix: t, cluster: up, access_log: ["+p+"]"), upCluster(), recorderCluster("logs-a", 0))
	}, base: remoteLog("Http", `log_name: "@DIR@", buffer_flush_interval: 0.01s, `+remoteTo, ""), flip: remoteLog("Tcp", `log_name: "@DIR@", buffer_flush_interval: 0.01s, `+remoteTo, ""), probe: func(w *world) string {
		c := w.dial()
		c.Get("/").Want(w.t, 200)
		c.Close()
		h, t := entryOf(w, w.dir)
		return fmt.Sprintf("%t %t", h != nil, t.GetConnectionProperties().GetSentBytes() > 0)
	}, want: [2]string{"true false", "false true"}},

	{paths: "HttpGrpcAccessLogConfig.additional_request_headers_to_log", site: besideCommon, base: "", flip: "additional_request_headers_to_log: [X-A]", probe: toldRemotely(func(e *dataaccesslogv3.HTTPAccessLogEntry) string {
		return e.GetRequest().GetRequestHeaders()["x-a"]
	}), want: [2]string{"", "of the request"}},
	{paths: "HttpGrpcAccessLogConfig.additional_response_headers_to_log", site: besideCommon, base: "", flip: "additional_response_headers_to_log: [x-r]", up: trailing, probe: toldRemotely(func(e *dataaccesslogv3.HTTPAccessLogEntry) string {
		return e.GetResponse().GetResponseHeaders()["x-r"]
	}), want: [2]string{"", "r"}},
	{paths: "HttpGrpcAccessLogConfig.additional_response_trailers_to_log", site: besideCommon, base: "", flip: "additional_response_trailers_to_log: [x-t]", up: trailing, probe: toldRemotely(func(e *dataaccesslogv3.HTTPAccessLogEntry) string {
		return e.GetResponse().GetResponseTrailers()["x-t"]
	}), want: [2]string{"", "t"}},

	{paths: "CustomTag.tag", site: func(p string) string { return inCommon("custom_tags: [{literal: {value: v}, " + p + "}]") }, base: "tag: s", flip: "tag: t", probe: tagT, want: [2]string{"", "v"}},
	{paths: "CustomTag.literal CustomTag.value", site: tag, base: `value: "%REQ(x-a)%"`, flip: `literal: {value: "%REQ(x-a)%"}`, probe: tagT, want: [2]string{"of the request", "%REQ(x-a)%"}},
	{paths: "Literal.value", site: tag, base: "literal: {value: a}", flip: "literal: {value: b}", probe: tagT, want: [2]string{"a", "b"}},
	{paths: "CustomTag.environment CustomTag.request_header", site: tag, base: "environment: {name: WEFT_FIELDS_A}", flip: "request_header: {name: x-b}", probe: tagT, want: [2]string{"a", "other"}},
	{paths: "Environment.name", site: tag, base: "environment: {name: WEFT_FIELDS_A}", flip: "environment: {name: WEFT_FIELDS_B}", probe: tagT, want: [2]string{"a", "b"}},
	{paths: "Environment.default_value", site: tag, base: "environment: {name: WEFT_FIELDS_NONE}", flip: "environment: {name: WEFT_FIELDS_NONE, default_value: d}", probe: tagT, want: [2]string{"", "d"}},
	{paths: "Header.name", site: tag, base: "request_header: {name: x-a}", flip: "request_header: {name: x-b}", probe: tagT, want: [2]string{"of the request", "other"}},
	{paths: "Header.default_value", site: tag, base: "request_header: {name: x-c}", flip: "request_header: {name: x-c, default_value: d}", probe: tagT, want: [2]string{"", "d"}},
	{paths: "CustomTag.metadata", site: tag, base: "literal: {value: v}", flip: fromMetadata("request"), probe: tagT, want: [2]string{"v", "of the request"}},
	{paths: "MetadataKind.request MetadataKind.route CustomTag.Metadata.kind", site: tag, base: fromMetadata("request"), flip: fromMetadata("route"), probe: tagT, want: [2]string{"of the request", "of the route"}},
	{paths: "MetadataKind.cluster MetadataKind.host", site: tag, base: fromMetadata("cluster"), flip: fromMetadata("host"), probe: tagT, want: [2]string{"of the cluster", "of the endpoint"}},
	{paths: "CustomTag.Metadata.metadata_key", site: tag, base: fromMetadata("request"), flip: strings.Replace(fromMetadata("request"), "key: k", "key: l", 1), probe: tagT, want: [2]string{"of the request", ""}},
	{paths: "CustomTag.Metadata.default_value", site: tag, base: strings.Replace(fromMetadata("request"), "key: k", "key: l", 1), flip: strings.Replace(strings.Replace(fromMetadata("request"), "key: k", "key: l", 1), "metadata: {", "metadata: {default_value: d, ", 1), probe: tagT, want: [2]string{"", "d"}},
}

// trailing answers with a field and a trailer.
var trailing = answer("HTTP/1.1 200 OK\r\nx-r: r\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: t\r\n\r\n")
