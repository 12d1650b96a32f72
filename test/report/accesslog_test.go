package report

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"

	dataaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
)

// logServer keeps what it is sent.
type logServer struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	mu      sync.Mutex
	names   []string // of the first messages of streams
	unnamed int      // first messages that did not say who speaks
	sizes   []int    // entries of each message
	http    []*dataaccesslogv3.HTTPAccessLogEntry
	tcp     []*dataaccesslogv3.TCPAccessLogEntry
	cut     context.CancelFunc // ends the streams that there are
	context context.Context
}

func (s *logServer) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	s.mu.Lock()
	if s.context == nil {
		s.context, s.cut = context.WithCancel(context.Background())
	}
	end := s.context
	s.mu.Unlock()
	ended := make(chan error, 1)
	go func() {
		for first := true; ; first = false {
			m, err := stream.Recv()
			if err != nil {
				ended <- nil
				return
			}
			s.mu.Lock()
			switch id := m.GetIdentifier(); {
			case id != nil:
				s.names = append(s.names, id.GetLogName()+" of "+id.GetNode().GetId()+"/"+id.GetNode().GetCluster())
			case first:
				s.unnamed++
			}
			s.http = append(s.http, m.GetHttpLogs().GetLogEntry()...)
			s.tcp = append(s.tcp, m.GetTcpLogs().GetLogEntry()...)
			s.sizes = append(s.sizes, len(m.GetHttpLogs().GetLogEntry())+len(m.GetTcpLogs().GetLogEntry()))
			s.mu.Unlock()
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-end.Done():
		return io.ErrUnexpectedEOF
	}
}

func (s *logServer) counts() (http, tcp int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.http), len(s.tcp)
}

// serveLogs starts a server of logs.
func serveLogs(t *testing.T) (*logServer, int) {
	s := &logServer{}
	return s, grpcServer(t, func(g *grpc.Server) { accesslogv3.RegisterAccessLogServiceServer(g, s) })
}

const httpLog = `{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig, common_config: {log_name: requests, transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: logs}}, buffer_flush_interval: 0.05s, filter_state_objects_to_log: [state.text, state.none], custom_tags: [{tag: t-literal, literal: {value: "100%"}}, {tag: t-env, environment: {name: NO_SUCH_VARIABLE, default_value: otherwise}}, {tag: t-env-none, environment: {name: NO_SUCH_VARIABLE}}, {tag: t-head, request_header: {name: x-in, default_value: none}}, {tag: t-head-none, request_header: {name: x-nothing}}, {tag: t-route, metadata: {kind: {route: {}}, metadata_key: {key: m, path: [{key: a}, {key: b}]}, default_value: d}}, {tag: t-cluster, metadata: {kind: {cluster: {}}, metadata_key: {key: m, path: [{key: c}]}}}, {tag: t-request, metadata: {kind: {request: {}}, metadata_key: {key: noted, path: [{key: k}]}}}, {tag: t-host, metadata: {kind: {host: {}}, metadata_key: {key: m, path: [{key: h}]}}}, {tag: t-value, value: "%REQ(X-IN)% %RESPONSE_CODE%"}]}, additional_request_headers_to_log: [x-in, X-Twice, ":method", host, x-nothing], additional_response_headers_to_log: [x-answer, ":status", x-nothing], additional_response_trailers_to_log: [x-sum, x-nothing]}}`

const tcpLog = `{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig, common_config: {log_name: connections, transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: logs}}, buffer_flush_interval: 0.05s, custom_tags: [{tag: t-head, request_header: {name: x-in, default_value: none}}, {tag: t-cluster, metadata: {kind: {cluster: {}}, metadata_key: {key: m, path: [{key: c}]}}}]}}}`

// logBootstrap has listeners that log to a server, in front of an upstream in both versions.
func logBootstrap(up, tcp, logs int) string {
	manager := func(name, cluster string) string {
		return fmt.Sprintf(`
  - name: %[1]s
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    access_log: [%[4]s]
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: %[1]s
          access_log: [%[3]s]
          use_remote_address: true
          access_log_options: {flush_access_log_on_new_request: true}
          http_protocol_options: {enable_trailers: true}
          http_filters:
          - {name: state, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: state.text, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "said %%REQ(X-IN)%%"}}}]}}
          - {name: noted, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config, request_rules: [{header: x-in, on_header_present: {metadata_namespace: noted, key: k, type: STRING}}, {header: x-number, on_header_present: {metadata_namespace: noted, key: num, type: NUMBER}}]}}
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}
          route_config:
            name: table
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {path: /none}, name: nobody, route: {cluster: none}}
              - {match: {path: /unknown}, name: missing, route: {cluster_header: x-cluster}}
              - {match: {path: /dead}, route: {cluster: dead}}
              - {match: {path: /slow}, name: slow, route: {cluster: %[2]s, timeout: 0.1s}}
              - {match: {path: /said}, direct_response: {status: 418, body: {inline_string: "a teapot"}}}
              - {match: {path: /moved}, name: moved, redirect: {host_redirect: elsewhere.test}}
              - {match: {path: /again}, name: again, route: {cluster: %[2]s, prefix_rewrite: /error, retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}}}
              - {match: {prefix: /up}, name: rewritten, metadata: {filter_metadata: {m: {a: {b: from the route}}}}, route: {cluster: %[2]s, prefix_rewrite: /}}
              - {match: {path: /reset}, route: {cluster: %[2]s}}
              - {match: {path: /trailers}, route: {cluster: %[2]s}}
`, name, cluster, httpLog, tcpLog)
	}
	carried := func(name, cluster string) string {
		return fmt.Sprintf(`
  - name: %[1]s
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: %[1]s, cluster: %[2]s, access_log: [%[3]s], access_log_options: {flush_access_log_on_connected: true}}}]}]
`, name, cluster, tcpLog)
	}
	cluster := func(name string, port int, more string) string {
		ends := fmt.Sprintf(`[{lb_endpoints: [{metadata: {filter_metadata: {m: {h: from the endpoint}}}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]`, port)
		if port == 0 {
			ends = "[]"
		}
		return fmt.Sprintf("\n  - {name: %s, connect_timeout: 5s, metadata: {filter_metadata: {m: {c: from the cluster}}}, load_assignment: {cluster_name: %[1]s, endpoints: %s}%s}", name, ends, more)
	}
	two := `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}`
	return "node: {id: one, cluster: some}\nstatic_resources:\n  listeners:" + manager("one", "up") + manager("two", "up2") + carried("tcp", "echo") + carried("tcp-none", "none") + carried("tcp-dead", "dead") +
		"\n  clusters:" + cluster("up", up, "") + cluster("up2", up, two) + cluster("echo", tcp, "") + cluster("none", 0, "") + cluster("dead", 1, "") + cluster("logs", logs, two)
}

// requests are what is sent to each of the managers: method, path, body, fields.
var requests = [][]string{
	{"GET", "/up", "", "x-in", "a", "x-twice", "1", "x-twice", "2", "user-agent", "tester", "referer", "http://here/"},
	{"POST", "/up", "some body", "x-in", "b", "x-number", "4.5", "x-twice", "b\xff"},
	{"GET", "/up?query", "", "host", "a.example:80"},
	{"PURGE", "/up", ""},
	{"GET", "/none", ""},
	{"GET", "/nowhere", ""},
	{"GET", "/unknown", "", "x-cluster", "missing"},
	{"GET", "/dead", ""},
	{"GET", "/reset", ""},
	{"GET", "/slow", ""},
	{"GET", "/said", ""},
	{"GET", "/moved", ""},
	{"GET", "/again", ""},
	{"GET", "/trailers", ""},
}

// entriesOf sends all traffic through one of the two and gives the entries, as facts by their names.
func entriesOf(t *testing.T, name string) map[string]string {
	up, tcp := upstream(t), echo(t)
	logs, port := serveLogs(t)
	p := start(t, name, logBootstrap(up, tcp, port), 5)
	facts := map[string]string{}
	roles := map[string]string{fmt.Sprint(up): "UP", fmt.Sprint(tcp): "ECHO"}
	for name, at := range p.at {
		_, port, _ := net.SplitHostPort(at)
		roles[port] = strings.ToUpper(name)
	}
	take := func(what string, n, m int) {
		p.eventually(fmt.Sprintf("entries of %s", what), func() bool {
			h, c := logs.counts()
			return h >= n && c >= m
		})
		logs.mu.Lock()
		defer logs.mu.Unlock()
		for i, e := range logs.http {
			flatten(facts, fmt.Sprintf("%s/%d", what, i), e.ProtoReflect(), roles)
		}
		for i, e := range logs.tcp {
			flatten(facts, fmt.Sprintf("%s/connection%d", what, i), e.ProtoReflect(), roles)
		}
		logs.http, logs.tcp = nil, nil
	}
	for i, two := range []bool{false, true} {
		at := p.at[[]string{"one", "two"}[i]]
		for _, r := range requests {
			c := client(two, nil)
			send(t, c, r[0], "http://"+at+r[1], r[2], r[3:]...)
			c.CloseIdleConnections()
			take([]string{"one ", "two "}[i]+r[0]+" "+r[1], 2, 1)
		}
	}
	// A client that goes away.
	c, err := net.Dial("tcp", p.at["one"])
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
	p.eventually("request", func() bool { n, _ := logs.counts(); return n > 0 })
	c.Close()
	take("gone", 2, 1)
	for _, name := range []string{"tcp", "tcp-none", "tcp-dead"} {
		c, err := net.Dial("tcp", p.at[name])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hello")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		n := 1
		if name == "tcp" {
			n = 2
		}
		take(name, 0, n)
	}
	logs.mu.Lock()
	defer logs.mu.Unlock()
	slices.Sort(logs.names)
	facts["streams"] = fmt.Sprint(slices.Compact(logs.names), logs.unnamed)
	facts["dropped"] = fmt.Sprint(p.stat("access_logs.grpc_access_log.logs_dropped"))
	return facts
}

// flatten writes down every field that is set, by its path.
func flatten(to map[string]string, path string, m protoreflect.Message, roles map[string]string) {
	switch m.Descriptor().FullName() {
	case "google.protobuf.Duration", "google.protobuf.Timestamp":
		to[path] = "a time"
		return
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.UInt32Value":
		text, _ := prototext.MarshalOptions{}.Marshal(m.Interface())
		to[path] = strings.ReplaceAll(string(text), "  ", " ")
		return
	}
	to[path] = "is set"
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := path + "." + string(f.Name())
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					flatten(to, path+"["+k.String()+"]", v.Message(), roles)
				} else {
					to[path+"["+k.String()+"]"] = named(v.String(), roles)
				}
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				flatten(to, fmt.Sprintf("%s[%d]", path, i), v.List().Get(i).Message(), roles)
			}
		case f.Message() != nil:
			flatten(to, path, v.Message(), roles)
		case f.Name() == "port_value":
			if to[path] = roles[v.String()]; to[path] == "" && v.String() != "1" {
				to[path] = "a port"
			}
		case f.Name() == "request_id", f.Name() == "stream_id":
			to[path] = regexp.MustCompile(`^[0-9a-f-]{36}$`).ReplaceAllString(v.String(), "an ID")
		default:
			to[path] = named(v.String(), roles)
		}
		return true
	})
}

// named puts the names of ports in their place.
func named(text string, roles map[string]string) string {
	for port, role := range roles {
		text = strings.ReplaceAll(text, "127.0.0.1:"+port, role)
	}
	return text
}

// difference is one that is meant.
type difference struct {
	what *regexp.Regexp
	why  string
}

func because(pattern, why string) difference { return difference{regexp.MustCompile(pattern), why} }

var explainedEntries = []difference{
	because(`^one GET /reset/1\.`, "a kept connection that turns out to be closed when it is used is nobody's fault: a request that is safe to repeat gets another one"),
	because(`^two .*(_bytes_(sent|received)|\.(sent|received)_bytes)$`, "tables of names that HTTP/2 compresses with are made use of in other ways"),
}

// TestEntries compares what both tell a server of logs about the same traffic.
func TestEntries(t *testing.T) {
	var all [2]map[string]string
	for i, name := range []string{"envoy", "weft"} {
		all[i] = entriesOf(t, name)
	}
	compare(t, all[0], all[1], explainedEntries)
}

// compare wants two to say the same but for what is explained, and every explanation to explain something.
func compare(t *testing.T, envoy, weft map[string]string, explained []difference) {
	t.Helper()
	names := map[string]bool{}
	for k := range envoy {
		names[k] = true
	}
	for k := range weft {
		names[k] = true
	}
	used := make([]bool, len(explained))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if envoy[name] == weft[name] {
			continue
		}
		found := false
		for i := range explained {
			if explained[i].what.MatchString(name) {
				found, used[i] = true, true
			}
		}
		if !found {
			t.Errorf("%s\n  Envoy %q\n  weft  %q", name, envoy[name], weft[name])
		}
	}
	for i := range explained {
		if !used[i] {
			t.Errorf("nothing differs in %s, which is said to be because %s", explained[i].what, explained[i].why)
		}
	}
	t.Logf("%d facts", len(names))
}
