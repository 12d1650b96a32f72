package grpcweb_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// frame is one message of gRPC, flags first.
func frame(flags byte, text string) string {
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

func chunks(list ...string) (out string) {
	for _, c := range list {
		out += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
	}
	return out
}

// call is a request with a body in chunks; answer a response that ends with trailers.
func call(path, fields string, list ...string) string {
	return "POST " + path + " HTTP/1.1\r\nhost: a\r\n" + fields + "transfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\n\r\n"
}

func answer(head, trailers string, list ...string) string {
	return "HTTP/1.1 " + head + "transfer-encoding: chunked\r\n\r\n" + chunks(list...) + "0\r\n" + trailers + "\r\n"
}

const (
	binary = "content-type: application/grpc-web\r\n"
	text   = "content-type: application/grpc-web-text\r\naccept: application/grpc-web-text\r\n"
	grpc   = "200 OK\r\ncontent-type: application/grpc\r\n"
	fine   = "grpc-status: 0\r\ngrpc-message: fine\r\n"
)

var trailer = frame(0x80, "grpc-status:0\r\ngrpc-message:fine\r\n")

// start runs the filter before an upstream that speaks gRPC over HTTP/1, trailers and all.
func start(t *testing.T, u *e2e.Upstream) *e2e.Proxy {
	return e2e.Start(t, e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(e2e.All), e2e.Cluster("up", u.Port, "http_protocol_options: {enable_trailers: true}")), e2e.Filter("web", "grpc_web.v3.GrpcWeb", "")))
}

// What the upstream and the client get, whatever the pieces are in which it comes.
func TestCalls(t *testing.T) {
	long := strings.Repeat("long ", 40_000)
	for _, c := range []struct {
		name, request, answer string
		up, down              string // bodies
		kind                  string
	}{
		{"binary", call("/a.B/C", binary, frame(0, "hello")), answer(grpc, fine, frame(0, "one"), frame(1, "other")), frame(0, "hello"), frame(0, "one") + frame(1, "other") + trailer, "application/grpc-web+proto"},
		{"text", call("/a.B/C", text, inText(frame(0, "hello"))), answer(grpc, fine, frame(0, "one")+frame(1, "other")), frame(0, "hello"), inText(frame(0, "one"), frame(1, "other"), trailer), "application/grpc-web-text+proto"},
		{"text in pieces", call("/a.B/C", text, inText(frame(0, "hello"))[:3], inText(frame(0, "hello"))[3:6], inText(frame(0, "hello"))[6:]),
			answer(grpc, fine, frame(0, "one")[:1], frame(0, "one")[1:6], frame(0, "one")[6:]+frame(1, "other")[:2], frame(1, "other")[2:]), frame(0, "hello"), inText(frame(0, "one"), frame(1, "other"), trailer), "application/grpc-web-text+proto"},
		{"text of several", call("/a.B/C", text, inText(frame(0, "h"), frame(0, "he"), frame(0, "hel"))), answer(grpc, fine, frame(0, "")), frame(0, "h") + frame(0, "he") + frame(0, "hel"), inText(frame(0, ""), trailer), "application/grpc-web-text+proto"},
		{"text of much", call("/a.B/C", text, inText(frame(0, long))), answer(grpc, fine, frame(0, long)), frame(0, long), inText(frame(0, long), trailer), "application/grpc-web-text+proto"},
		{"text one way", call("/a.B/C", "content-type: application/grpc-web-text+proto\r\n", inText(frame(0, "hello"))), answer(grpc, fine, frame(0, "one")), frame(0, "hello"), frame(0, "one") + trailer, "application/grpc-web+proto"},
		{"text the other way", call("/a.B/C", binary+"accept: application/grpc-web-text+proto\r\n", frame(0, "hello")), answer(grpc, fine, frame(0, "one")), frame(0, "hello"), inText(frame(0, "one"), trailer), "application/grpc-web-text+proto"},
		{"no message", call("/a.B/C", text), answer(grpc, fine), "", inText(trailer), "application/grpc-web-text+proto"},
		{"status in the head", call("/a.B/C", binary, frame(0, "hello")), "HTTP/1.1 " + grpc + "grpc-status: 5\r\ncontent-length: 0\r\n\r\n", frame(0, "hello"), "", "application/grpc-web+proto"},
		{"not for this filter", call("/a.B/C", "content-type: application/grpc-web-text; charset=utf-8\r\n", "hello"), answer(grpc, fine, "one"), "hello", "one", "application/grpc"},
		{"gRPC itself", call("/a.B/C", "content-type: application/grpc\r\n", "hello"), answer(grpc, fine, "one"), "hello", "one", "application/grpc"},
		{"answer of gRPC-Web", call("/a.B/C", binary, frame(0, "hello")), answer("200 OK\r\ncontent-type: application/grpc-web\r\n", "", frame(0, "one")), frame(0, "hello"), frame(0, "one"), "application/grpc-web+proto"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := e2e.Answer(t, c.answer)
			conn := start(t, u).Dial()
			for n := range 2 { // the second with a filter that was used before
				r := conn.Send(c.request).Read("POST").Want(t, 200, "content-type: "+c.kind)
				if r.Body != c.down || u.Bodies()[n] != c.up {
					t.Errorf("got %.200q, and the upstream got %.200q", r.Body, u.Bodies()[n])
				}
			}
		})
	}
}

// The upstream is told what gRPC wants.
func TestHead(t *testing.T) {
	u := e2e.Answer(t, answer(grpc, fine))
	start(t, u).Dial().Send("POST /a.B/C HTTP/1.1\r\nhost: a\r\n"+binary+"grpc-accept-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello").Read("POST").Want(t, 200)
	head := u.Heads()[0]
	for _, want := range []string{"content-type: application/grpc\r\n", "te: trailers\r\n", "grpc-accept-encoding: identity\r\n", "transfer-encoding: chunked\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is not in\n%s", want, head)
		}
	}
	if strings.Contains(head, "content-length") || strings.Contains(head, "gzip") {
		t.Error(head)
	}
}

// A request that is no base64 is not passed on as something else.
func TestBrokenText(t *testing.T) {
	for _, body := range []string{"abcde", "abc", "a", "a*cd", "a=bc", "====", "ab=c", "YW\r\nI=", "YWJ=", "abc d", "YWI\n"} {
		u := e2e.Answer(t, answer(grpc, fine))
		p := start(t, u)
		r := p.Dial().Send(call("/a.B/C", "content-type: application/grpc-web-text\r\n", body)).Read("POST")
		if message := r.Header.Get("grpc-message"); message != "Bad gRPC-web request, invalid base64 data." || r.Header.Get("grpc-status") != "13" || r.Header.Get("content-type") != "application/grpc-web+proto" {
			t.Errorf("%q: %s%q", body, r.Head, r.Body)
		}
		// The upstream has seen less than a whole call, if anything.
		for _, b := range u.Bodies() {
			if strings.Contains(b, "YW") {
				t.Errorf("%q: %q", body, b)
			}
		}
	}
}

// What is no gRPC is told in the head, and no more of it than there is room for.
func TestOtherAnswers(t *testing.T) {
	for _, c := range []struct{ answer, status, message string }{
		{answer("403 No\r\ncontent-type: text/html\r\n", "", "one", "two%~\n"), "7", "onetwo%25%7E%0A"},
		{answer("200 OK\r\ncontent-type: text/plain\r\n", "grpc-status: 0\r\n", "one"), "2", "one"},
		{"HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\none", "14", "one"},
		{"HTTP/1.1 401 No\r\ncontent-length: 20000\r\n\r\n" + strings.Repeat("x", 20000), "16", strings.Repeat("x", 16384)},
	} {
		p := start(t, e2e.Answer(t, c.answer))
		conn := p.Dial()
		for range 2 {
			r := conn.Send(call("/a.B/C", text)).Read("POST")
			if r.Body != "" || r.Header.Get("grpc-status") != c.status || r.Header.Get("grpc-message") != c.message || r.Header.Get("content-type") != "application/grpc-web-text+proto" {
				t.Errorf("%.60q: %.300s%q", c.answer, r.Head, r.Body)
			}
		}
	}
}

// What is counted, and for which method.
func TestNumbers(t *testing.T) {
	p := start(t, e2e.Answer(t, answer(grpc, fine), answer(grpc, "grpc-status: 13\r\n"), answer(grpc, "grpc-status: 77\r\n"), answer(grpc, fine)))
	c := p.Dial()
	for _, path := range []string{"/a.B/C?q=1", "/a.B/C", "/a.B/C", "/nothing", "/a/b/c", "//b"} {
		c.Send(call(path, binary, frame(0, "hello"))).Read("POST").Want(t, 200)
	}
	for name, n := range map[string]int64{"total": 3, "success": 1, "failure": 2, "0": 1, "13": 1, "unknown": 1} {
		p.WantStat("cluster.up.grpc-web.a.B.C."+name, n)
	}
}
