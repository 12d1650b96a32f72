package buffer_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// The upstream gets the request when it is whole, with its length.
func TestHolds(t *testing.T) {
	u := e2e.Echo(t)
	p := e2e.Filtered(t, u, e2e.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 10"), e2e.All)
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
	p.WantStat("http.http.downstream_rq_active", 1)
	if n := len(u.Heads()); n != 0 {
		t.Errorf("the upstream got %d requests before one was whole", n)
	}
	r := c.Send("2\r\n, \r\n0\r\n\r\n").Read("POST").Want(t, 200)
	if !strings.HasSuffix(r.Body, "body 7") || !strings.Contains(r.Body, "content-length: 7\r\n") || strings.Contains(r.Body, "transfer-encoding") {
		t.Errorf("the upstream got\n%s", r.Body)
	}
	c.Get("/").Want(t, 200)
}

func TestTooLong(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello world",
		"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
	} {
		p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 10"), e2e.All)
		p.Dial().Send(request).Read("POST").Want(t, 413, "Payload Too Large")
	}
}

// What the filter holds may be more than what the connection's buffer may be, and is bounded all the same.
func TestMoreThanTheConnectionsBuffer(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 3000000"), e2e.All)
	body := strings.Repeat("x", 3_000_000)
	r := p.Dial().Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n"+body).Read("POST").Want(t, 200)
	if !strings.HasSuffix(r.Body, "body 3000000") {
		t.Error(r.Body)
	}
}
