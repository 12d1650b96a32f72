package grpcstats_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/test/e2e"
)

// frame is one message of gRPC.
func frame(text string) string {
	n := len(text)
	return string([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}

func chunks(list ...string) (out string) {
	for _, c := range list {
		out += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
	}
	return out
}

func call(path string, list ...string) string {
	return "POST " + path + " HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\n\r\n"
}

func answer(status string, list ...string) string {
	return "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\ngrpc-status: " + status + "\r\n\r\n"
}

func start(t *testing.T, u *e2e.Upstream, fields string, more ...string) *e2e.Proxy {
	return e2e.Start(t, e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(e2e.All, more...), e2e.Cluster("up", u.Port, "alt_stat_name: other\nhttp_protocol_options: {enable_trailers: true}")),
		e2e.Filter("stats", "grpc_stats.v3.FilterConfig", fields)))
}

// What counts for a method, and what for the cluster as a whole.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		fields, path, prefix string // empty: not counted
	}{
		{"", "/a.B/C", "cluster.other.grpc."},
		{"stats_for_all_methods: false", "/a.B/C", "cluster.other.grpc."},
		{"stats_for_all_methods: true", "/a.B/C?q=1", "cluster.other.grpc.a.B.C."},
		{"stats_for_all_methods: true, replace_dots_in_grpc_service_name: true", "/a.B/C.D", "cluster.other.grpc.a_B.C.D."},
		{"replace_dots_in_grpc_service_name: true", "/a.B/C", "cluster.other.grpc."},
		{"individual_method_stats_allowlist: {services: [{name: a.B, method_names: [D, C]}]}", "/a.B/C", "cluster.other.grpc.a.B.C."},
		{"individual_method_stats_allowlist: {services: [{name: a.B, method_names: [D]}, {name: a.B, method_names: [C]}]}", "/a.B/C", "cluster.other.grpc.a.B.C."},
		{"individual_method_stats_allowlist: {services: [{name: a.B, method_names: [D]}]}", "/a.B/C", "cluster.other.grpc."},
		{"stats_for_all_methods: true", "/nothing", ""},
		{"", "/nothing", ""},
		{"stats_for_all_methods: true", "/a.B/" + strings.Repeat("x", 300), "cluster.other.grpc."},
	} {
		p := start(t, e2e.Answer(t, answer("0", frame("one")[:3], frame("one")[3:]+frame("")), answer("13")), c.fields)
		conn := p.Dial()
		conn.Send(call(c.path, frame("hello"), frame("again")+frame("x"))).Read("POST").Want(t, 200)
		conn.Send(call(c.path, frame("hello")[:4])).Read("POST").Want(t, 200)
		want := map[string]int64{"total": 2, "success": 1, "failure": 1, "0": 1, "13": 1, "request_message_count": 4, "response_message_count": 2}
		if c.prefix == "" {
			c.prefix, want = "cluster.other.grpc.", map[string]int64{"total": 0, "request_message_count": 0}
		}
		for name, n := range want {
			p.WantStat(c.prefix+name, n)
		}
	}
}

// Peers cannot have names made without limit: what is beyond counts for the cluster.
func TestNamesAreBounded(t *testing.T) {
	p := start(t, e2e.Answer(t, answer("0")), "stats_for_all_methods: true")
	c := p.Dial()
	const more = 7
	for i := range filters.MaxMethods + more {
		c.Send(call(fmt.Sprintf("/s/m%d", i))).Read("POST").Want(t, 200)
	}
	c.Send(call("/s/m0")).Read("POST").Want(t, 200)
	p.WantStat("cluster.other.grpc.s.m0.total", 2)
	p.WantStat(fmt.Sprintf("cluster.other.grpc.s.m%d.total", filters.MaxMethods-1), 1)
	p.WantStat("cluster.other.grpc.total", more)
	p.WantStat("cluster.other.grpc.methods_overflow", more)
}

// What is no call is not counted, and answers of ours count as any.
func TestWhatIsCounted(t *testing.T) {
	p := start(t, e2e.Answer(t, "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\n"+frame("one")), "")
	c := p.Dial()
	c.Send(call("/a.B/C", frame("hello"))).Read("POST").Want(t, 200)
	c.Send(call("/a.B/C", frame("hello"))).Read("POST").Want(t, 200)
	c.Get("/a.B/C").Want(t, 200)
	for name, n := range map[string]int64{"total": 1, "failure": 1, "5": 1, "request_message_count": 2, "response_message_count": 0} {
		p.WantStat("cluster.other.grpc."+name, n)
	}
}

// The upstream's time is recorded once for each call, however that ends.
func TestTime(t *testing.T) {
	for _, a := range []string{answer("0", frame("one")), "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"} {
		p := start(t, e2e.Answer(t, a), "enable_upstream_stats: true")
		c := p.Dial()
		for range 3 {
			c.Send(call("/a.B/C", frame("hello"))).Read("POST").Want(t, 200)
		}
		p.Eventually("three are recorded", func() bool {
			for _, s := range p.Stats.Read(telemetry.Filter{}) {
				if s.Name == "cluster.other.grpc.upstream_rq_time" && s.Spread != nil {
					return s.Spread.Count == 3
				}
			}
			return false
		})
	}
}

// Logs read the counts, in each of their ways.
func TestState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	p := start(t, e2e.Answer(t, answer("0", frame("one"), frame("two"))), "emit_filter_state: true",
		`access_log: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: `+file+`, log_format: {json_format: {a: "%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%", b: "%FILTER_STATE(envoy.filters.http.grpc_stats)%", c: "x %FILTER_STATE(envoy.filters.http.grpc_stats)%"}}}}]`)
	c := p.Dial()
	c.Send(call("/a.B/C", frame("hello"))).Read("POST").Want(t, 200)
	c.Send(call("/a.B/C")).Read("POST").Want(t, 200)
	want := `{"a":"1,2","b":{"request_message_count":"1","response_message_count":"2"},"c":"x {\"requestMessageCount\":\"1\",\"responseMessageCount\":\"2\"}"}` + "\n" +
		`{"a":"0,2","b":{"response_message_count":"2"},"c":"x {\"responseMessageCount\":\"2\"}"}` + "\n"
	var got string
	p.Eventually("the log has both", func() bool {
		b, _ := os.ReadFile(file)
		got = string(b)
		return strings.Count(got, "\n") == 2
	})
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
