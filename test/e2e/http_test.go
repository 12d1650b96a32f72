package e2e

import (
	"strings"
	"testing"
)

func TestRequestAndResponse(t *testing.T) {
	u := Echo(t)
	c := HTTP(t, u).Dial()
	for range 3 {
		c.Get("/hello").Want(t, 200, "server: envoy", "x-envoy-upstream-service-time: *", "date: * GMT")
	}
	if n := u.Connections(); n != 1 {
		t.Errorf("%d upstream connections for three requests in a row, want 1", n)
	}
}

func TestPipelining(t *testing.T) {
	c := HTTP(t, Echo(t)).Dial()
	c.Send(strings.Repeat("GET /a HTTP/1.1\r\nhost: a\r\n\r\n", 5) + "POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nxyz")
	for range 5 {
		if r := c.Read("GET").Want(t, 200); !strings.HasPrefix(r.Body, "GET /a ") {
			t.Errorf("body %q", r.Body)
		}
	}
	if r := c.Read("POST").Want(t, 200); !strings.HasSuffix(r.Body, "body 3") {
		t.Errorf("body %q", r.Body)
	}
}

func TestChunkedBothWays(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
	c := HTTP(t, u).Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
	c.Read("POST").Want(t, 200, "hello!")
	if b := u.Bodies()[0]; b != "abcdefg" {
		t.Errorf("upstream got %q", b)
	}
	c.Get("/").Want(t, 200, "hello!")
}

func TestUpstreamThatIsNotThere(t *testing.T) {
	u := Echo(t)
	p := HTTP(t, u)
	u.Stop()
	p.Dial().Get("/").Want(t, 503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
	p.WantStat("cluster.up.upstream_cx_connect_fail", 1)
}

// A connection that has lived its time, where that is to be safe, waits for one more request: its answer says that it is the last.
func TestAgeThatWaits(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]", "http1_safe_max_connection_duration: true\ndrain_timeout: 0s\ncommon_http_protocol_options: {max_connection_duration: 0.3s}"), Cluster("up", u.Port)))
	c := p.Dial()
	if r := c.Get("/").Want(t, 200); r.Header.Get("connection") != "" {
		t.Errorf("a young connection is told to end: %q", r.Head)
	}
	p.WantStat("http.http.downstream_cx_max_duration_reached", 1)
	p.WantStat("http.http.downstream_cx_http1_soft_drain", 1)
	c.Get("/").Want(t, 200, "connection: close")
	if !c.Closed() {
		t.Error("it goes on all the same")
	}
	p.WantStat("http.http.downstream_cx_http1_soft_drain", 0)
	p.WantStat("http.http.downstream_cx_active", 0)
}
