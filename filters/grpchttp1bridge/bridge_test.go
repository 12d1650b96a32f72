package grpchttp1bridge_test

import (
	"fmt"
	"strings"
	"testing"

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

func call(path, kind string, list ...string) string {
	return "POST " + path + " HTTP/1.1\r\nhost: a\r\ncontent-type: " + kind + "\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\n\r\n"
}

func answer(head, trailers string, list ...string) string {
	return "HTTP/1.1 " + head + "transfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\n" + trailers + "\r\n"
}

const (
	grpc     = "application/grpc"
	protobuf = "application/x-protobuf"
	ok       = "200 OK\r\ncontent-type: application/grpc\r\n"
)

func start(t *testing.T, u *e2e.Upstream, fields string) *e2e.Proxy {
	return e2e.Start(t, e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(e2e.All), e2e.Cluster("up", u.Port, "http_protocol_options: {enable_trailers: true}")), e2e.Filter("bridge", "grpc_http1_bridge.v3.Config", fields)))
}

// What the client is told of the call's end, in the head.
func TestStatus(t *testing.T) {
	for _, c := range []struct {
		answer string
		status int
		fields []string
		body   string
	}{
		{answer(ok, "grpc-status: 0\r\ngrpc-message: fine\r\n", frame("one"), frame("two")), 200, []string{"grpc-status: 0", "grpc-message: fine", "content-length: 16"}, frame("one") + frame("two")},
		{answer(ok+"x-a: b\r\n", "grpc-status: 5\r\n", frame("one")), 503, []string{"grpc-status: 5", "grpc-message: ", "x-a: b", "content-length: 8"}, frame("one")},
		{answer(ok, "grpc-status: 5\r\n"), 503, []string{"grpc-status: 5", "content-length: 0"}, ""},
		{answer(ok, "grpc-status: x\r\n", "one"), 503, []string{"grpc-status: x"}, "one"},
		{answer(ok, "x-t: 1\r\n", "one"), 200, []string{"grpc-status: ", "content-length: 3"}, "one"},
		{answer(ok, "", "one"), 200, []string{"grpc-status: ", "content-length: "}, "one"},
		{answer("200 OK\r\ncontent-type: text/plain\r\n", "grpc-status: 7\r\n", "one"), 503, []string{"grpc-status: 7", "content-type: text/plain"}, "one"},
		{"HTTP/1.1 " + ok + "grpc-status: 5\r\ncontent-length: 0\r\n\r\n", 200, []string{"grpc-status: 5"}, ""},
	} {
		conn := start(t, e2e.Answer(t, c.answer), "").Dial()
		for range 2 {
			r := conn.Send(call("/a.B/C", grpc, frame("hello"))).Read("POST").Want(t, c.status, c.fields...)
			if r.Body != c.body {
				t.Errorf("%q: %s%q", c.answer, r.Head, r.Body)
			}
		}
	}
	// Who is not of gRPC sees what there was.
	conn := start(t, e2e.Answer(t, answer(ok, "grpc-status: 5\r\n", "one")), "").Dial()
	conn.Send(call("/a.B/C", protobuf, "hello")).Read("POST").Want(t, 200, "grpc-status: ", "content-length: ")
	conn.Get("/").Want(t, 200, "grpc-status: ")
}

// A message becomes a call, and what comes back a message.
func TestUpgrade(t *testing.T) {
	long := strings.Repeat("long ", 40_000)
	for _, c := range []struct {
		name, request, answer string
		up                    string
		status                int
		body                  string
		fields                []string
	}{
		{"in chunks", call("/a.B/C", protobuf, "hello", "again"), answer(ok, "grpc-status: 5\r\n", frame("one")), frame("helloagain"), 503, "one", []string{"grpc-status: 5", "content-length: 3"}},
		{"with a length", "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 5\r\n\r\nhello", answer(ok, "grpc-status: 0\r\n", frame("one")[:2], frame("one")[2:]), frame("hello"), 200, "one", []string{"grpc-status: 0", "content-length: 3"}},
		{"of much", call("/a.B/C", protobuf, long), answer(ok, "grpc-status: 0\r\n", frame(long)), frame(long), 200, long, nil},
		{"of nothing", call("/a.B/C", protobuf), answer(ok, "grpc-status: 0\r\n", frame("")), frame(""), 200, "", []string{"content-length: 0"}},
		{"without a body", "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n", answer(ok, "grpc-status: 0\r\n", frame("one")), "", 200, "one", nil},
		{"several back", call("/a.B/C", protobuf, "hello"), answer(ok, "grpc-status: 0\r\n", frame("one"), frame("two")), frame("hello"), 200, "one" + frame("two"), nil},
		{"without trailers", call("/a.B/C", protobuf, "hello"), "HTTP/1.1 " + ok + "grpc-status: 5\r\ncontent-length: 8\r\n\r\n" + frame("one"), frame("hello"), 200, "one", []string{"grpc-status: 5", "content-length: 3"}},
		{"less than a frame", call("/a.B/C", protobuf, "hello"), answer(ok, "grpc-status: 0\r\n", "on"), frame("hello"), 200, "", []string{"content-length: 0"}},
		{"no gRPC", call("/a.B/C", protobuf, "hello"), "HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", frame("hello"), 500, "no", []string{"content-length: 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := e2e.Answer(t, c.answer)
			conn := start(t, u, "upgrade_protobuf_to_grpc: true").Dial()
			for n := range 2 {
				r := conn.Send(c.request).Read("POST").Want(t, c.status, c.fields...)
				if r.Body != c.body || u.Bodies()[n] != c.up || !strings.Contains(u.Heads()[n], "content-type: application/grpc\r\n") {
					t.Errorf("got %.100q, the upstream %s%.100q", r.Body, u.Heads()[n], u.Bodies()[n])
				}
			}
		})
	}
}

// What is held is bounded, both ways.
func TestTooMuch(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	p := start(t, e2e.Answer(t, answer(ok, "grpc-status: 0\r\n", long, "a frame has five bytes")), "upgrade_protobuf_to_grpc: true")
	r := p.Dial().Send("POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(long)).Read("POST")
	if !strings.Contains(r.Head, "Payload Too Large\r\n") {
		t.Error(r.Head)
	}
	if r := p.Dial().Send(call("/a.B/C", protobuf, "hello")).Read("POST"); !strings.Contains(r.Head, "Internal Server Error\r\n") {
		t.Error(r.Head)
	}
}

// The query is the client's.
func TestQuery(t *testing.T) {
	for fields, want := range map[string]string{"": "/a.B/C?q=1", "ignore_query_parameters: true": "/a.B/C"} {
		u := e2e.Answer(t, answer(ok, "grpc-status: 0\r\n"))
		conn := start(t, u, fields).Dial()
		conn.Send(call("/a.B/C?q=1", grpc, frame("x"))).Read("POST").Want(t, 200)
		conn.Send(call("/a.B/C?q=1", "text/plain", "x")).Read("POST").Want(t, 200)
		if heads := u.Heads(); !strings.HasPrefix(heads[0], "POST "+want+" ") || !strings.HasPrefix(heads[1], "POST /a.B/C?q=1 ") {
			t.Errorf("%s: the upstream got\n%s", fields, strings.Join(heads, "\n"))
		}
	}
}
