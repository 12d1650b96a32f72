package oracle

import (
	"encoding/base64"
	"fmt"

	"github.com/weftmesh/weft/test/e2e"
)

// grpcFrame is one message of gRPC, flags first.
func grpcFrame(flags byte, text string) string {
	n := len(text)
	return string([]byte{flags, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}

// inText is base64 of each piece by itself.
func inText(pieces ...string) (out string) {
	for _, p := range pieces {
		out += base64.StdEncoding.EncodeToString([]byte(p))
	}
	return out
}

// posted is a request with a body in chunks.
func posted(path, fields string, chunks ...string) string {
	s := "POST " + path + " HTTP/1.1\r\nhost: a.example\r\n" + fields + "transfer-encoding: chunked\r\n\r\n"
	for _, c := range chunks {
		s += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
	}
	return s + "0\r\n\r\n"
}

// chunked is an answer with a body in chunks and trailers.
func chunked(status int, fields, trailers string, chunks ...string) string {
	s := fmt.Sprintf("HTTP/1.1 %d x\r\n%stransfer-encoding: chunked\r\n\r\n", status, fields)
	for _, c := range chunks {
		s += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
	}
	return s + "0\r\n" + trailers + "\r\n"
}

const (
	trailing = "http_protocol_options: {enable_trailers: true}"
	grpcType = "content-type: application/grpc\r\n"
	webType  = "content-type: application/grpc-web\r\n"
	textType = "content-type: application/grpc-web-text\r\n"
	wantText = "accept: application/grpc-web-text\r\n"
	protobuf = "content-type: application/x-protobuf\r\n"
	grpcDone = "grpc-status: 0\r\ngrpc-message: fine\r\n"
)

var grpcAnswer = chunked(200, grpcType, grpcDone, grpcFrame(0, "one"), grpcFrame(1, "other"))

// webCalls are requests of gRPC-Web, and of others.
var webCalls = []exchange{
	{send: posted("/pkg.Svc/Method", webType, grpcFrame(0, "hello")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", textType+wantText, inText(grpcFrame(0, "hello"))), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", "content-type: application/grpc-web-text+proto\r\naccept: application/grpc-web-text+proto\r\n", inText(grpcFrame(0, "hello"))[:3], inText(grpcFrame(0, "hello"))[3:], inText("a")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", textType, inText(grpcFrame(0, "hello"))), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", "content-type: application/grpc-web+proto\r\naccept: application/grpc-web-text\r\n", grpcFrame(0, "hello")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", "content-type: application/grpc-web; charset=utf-8\r\n", "x"), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", "content-type: application/grpc-web+json\r\n", "x"), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", "content-type: Application/grpc-web\r\n", "x"), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", textType, "abcde")},
	{send: posted("/pkg.Svc/Method", textType, "a*cd")},
	{send: posted("/pkg.Svc/Method", textType, "abc")},
	{send: posted("/pkg.Svc/Method", textType, "a")},
	{send: posted("/pkg.Svc/Method", textType, "YWI=YWI="), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", textType), answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{answered(200, "content-type: application/grpc", "grpc-status: 5", "grpc-message: none")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{answered(200, "content-type: text/plain")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{answered(503, "content-type: text/plain")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{chunked(403, "content-type: text/html\r\n", "", "one", "two%")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web-text; accept: application/grpc-web-text; body: aaaa", answers: []string{chunked(404, "content-type: text/html\r\n", "x-t: 1\r\n", "one", "two")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{answered(200, "content-type: application/grpc-web+proto")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{"HTTP/1.1 500 OK\r\ncontent-length: 0\r\n\r\n"}},
	{send: "POST /nomethod; content-type: application/grpc-web; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /a/b/c; content-type: application/grpc-web; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method?q=1; content-type: application/grpc-web; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 13\r\n", grpcFrame(0, "one"))}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc-web; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 77\r\nx-t: 1\r\n", grpcFrame(0, "one"))}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method; body: hello", answers: []string{grpcAnswer}},
	{send: "GET /; content-type: application/grpc-web", answers: []string{grpcAnswer}},
	{send: "POST /none/b; content-type: application/grpc-web; body: hello"},
}

// statCalls are requests of gRPC, whole and in pieces, and of others.
var statCalls = []exchange{
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello"), grpcFrame(0, "again")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")[:3], grpcFrame(0, "hello")[3:]+grpcFrame(0, "")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Other?a=b", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType, "grpc-status: 13\r\n", grpcFrame(0, "one"))}},
	{send: posted("/plain/Other", "content-type: application/grpc+proto\r\n", grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType, "grpc-status: x\r\n", grpcFrame(0, "one"))}},
	{send: posted("/plain/Other", "content-type: application/grpc\r\n", grpcFrame(0, "hello")), answers: []string{chunked(200, "content-type: text/plain\r\n", "grpc-status: 3\r\n", grpcFrame(0, "one"))}},
	{send: posted("/nomethod", grpcType, grpcFrame(0, "hello")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(7, "hello"), grpcFrame(0, "again")), answers: []string{chunked(200, grpcType, "grpc-status: 0\r\n", grpcFrame(9, "one"), grpcFrame(0, "a"))}},
	{send: posted("/pkg.Svc/Method", webType, grpcFrame(0, "hello")), answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"}},
	{send: "POST /none/Method; content-type: application/grpc; body: hello"},
	{send: "POST /nobody/Method; content-type: application/grpc; body: hello"},
	{send: "GET /"},
}

// bridgeCalls are requests of clients that see no trailers, or know of no frames.
var bridgeCalls = []exchange{
	{send: posted("/pkg.Svc/Method?a=b", grpcType, grpcFrame(0, "hello"), grpcFrame(0, "again")), answers: []string{grpcAnswer}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType+"x-a: b\r\n", "grpc-status: 5\r\ngrpc-message: none\r\nx-t: 1\r\n", grpcFrame(0, "one"))}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType, "grpc-status: x\r\n", grpcFrame(0, "one"), grpcFrame(0, "two"))}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType, "x-t: 1\r\n", grpcFrame(0, "one"))}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, grpcType, "", grpcFrame(0, "one"))}},
	{send: posted("/pkg.Svc/Method", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(503, grpcType, "grpc-status: 0\r\n", "one")}},
	{send: posted("/nomethod", grpcType, grpcFrame(0, "hello")), answers: []string{chunked(200, "content-type: text/plain\r\n", "grpc-status: 7\r\n", "one")}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"}},
	{send: "POST /pkg.Svc/Method; content-type: application/grpc; body: hello", answers: []string{answered(200, "content-type: application/grpc", "grpc-status: 5")}},
	{send: posted("/pkg.Svc/Method?a=b", protobuf, "hello", "again"), answers: []string{chunked(200, grpcType+"x-a: b\r\n", "grpc-status: 5\r\ngrpc-message: none\r\nx-t: 1\r\n", grpcFrame(0, "one"))}},
	{send: "POST /pkg.Svc/Method?a=b; content-type: application/x-protobuf; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 0\r\n", grpcFrame(0, "one")[:2], grpcFrame(0, "one")[2:])}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 0\r\n", "on")}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 0\r\n")}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf; body: hello", answers: []string{chunked(200, grpcType, "grpc-status: 0\r\n", grpcFrame(0, "one"), grpcFrame(0, "two"))}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf; body: hello", answers: []string{"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"}},
	{send: "POST /pkg.Svc/Method HTTP/1.1\r\nhost: a.example\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n", answers: []string{grpcAnswer}},
	{send: "GET /pkg.Svc/Method?a=b; content-type: application/x-protobuf", answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf; x: a; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method; content-type: application/x-protobuf;v=1; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /pkg.Svc/Method?a=b; content-type: text/plain; body: hello", answers: []string{grpcAnswer}},
	{send: "POST /none/Method; content-type: application/grpc; body: hello"},
	{send: "POST /nobody/Method; content-type: application/x-protobuf; body: hello"},
	{send: "POST /none/Method; content-type: application/x-protobuf; body: hello"},
}

const grpcRoutes = `routes: [{match: {prefix: /none}, route: {cluster: $none}}, {match: {prefix: /nobody}, direct_response: {status: 403, body: {inline_string: "a~b%"}}}, {match: {prefix: /}, route: {cluster: $up}}]`

// calling is a scenario with a filter of gRPC before an upstream that sends trailers.
func calling(name, message, fields string, sends []exchange) scenario {
	return scenario{name: name, filters: e2e.Filter("f", message, fields), vhost: grpcRoutes, manager: trailing, clusters: map[string]string{"up": trailing}, sends: sends}
}

// tallied logs what the filter tells of its messages.
func tallied(name, fields string) scenario {
	c := calling(name, "grpc_stats.v3.FilterConfig", fields, statCalls)
	c.json = `json_format: {plain: "%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%", typed: "%FILTER_STATE(envoy.filters.http.grpc_stats)%", text: "a %FILTER_STATE(envoy.filters.http.grpc_stats)%"}`
	return c
}

// calls are the scenarios of gRPC.
var calls = []scenario{
	calling("grpc-web", "grpc_web.v3.GrpcWeb", "", webCalls),
	calling("grpc-bridge", "grpc_http1_bridge.v3.Config", "", bridgeCalls),
	calling("grpc-upgrade", "grpc_http1_bridge.v3.Config", "upgrade_protobuf_to_grpc: true, ignore_query_parameters: true", bridgeCalls),
	tallied("grpc-stats", "emit_filter_state: true"),
	tallied("grpc-stats-all", "stats_for_all_methods: true, enable_upstream_stats: true"),
	tallied("grpc-stats-dots", "stats_for_all_methods: true, replace_dots_in_grpc_service_name: true"),
	tallied("grpc-stats-some", "individual_method_stats_allowlist: {services: [{name: pkg.Svc, method_names: [Method]}]}, emit_filter_state: true"),
}
