package fault_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	message = "fault.v3.HTTPFault"
	always  = "percentage: {numerator: 100}"
)

func proxy(t *testing.T, fields string) *e2e.Proxy {
	return e2e.Filtered(t, e2e.Echo(t), e2e.Filter("fault", message, fields), e2e.All)
}

func TestAbort(t *testing.T) {
	for _, c := range []struct {
		fields, header string
		status         int
		want           string
	}{
		{"abort: {http_status: 418, " + always + "}", "a: b", 418, "fault filter abort"},
		{"abort: {http_status: 418}", "a: b", 200, ""},                                 // no percentage is none
		{"abort: {grpc_status: 5, " + always + "}", "a: b", 200, "fault filter abort"}, // as Envoy
		{"abort: {header_abort: {}, " + always + "}", "a: b", 200, ""},                 // nobody asks for it
		{"abort: {header_abort: {}, " + always + "}", "x-envoy-fault-abort-request: 503", 503, "fault filter abort"},
		{"abort: {header_abort: {}, " + always + "}", "x-envoy-fault-abort-request: 199", 200, ""},
		{"abort: {header_abort: {}, " + always + "}", "x-envoy-fault-abort-request: 600", 200, ""},
		{"abort: {header_abort: {}, " + always + "}", "x-envoy-fault-abort-grpc-request: 7", 200, "fault filter abort"},
		{"abort: {header_abort: {}, " + always + "}", "x-envoy-fault-abort-request: 503\r\nx-envoy-fault-abort-request-percentage: 0", 200, ""},
		// A request cannot make its share larger than what is configured.
		{"abort: {header_abort: {}}", "x-envoy-fault-abort-request: 503\r\nx-envoy-fault-abort-request-percentage: 100", 200, ""},
	} {
		r := proxy(t, c.fields).Dial().Get("/", c.header)
		if r.Status != c.status || c.want != "" && r.Body != c.want || c.want == "" && !strings.HasPrefix(r.Body, "GET / ") {
			t.Errorf("%s; %s: %d %q", c.fields, c.header, r.Status, r.Body)
		}
	}
}

func TestAbortOfGRPC(t *testing.T) {
	for fields, code := range map[string]string{"http_status: 503": "14", "http_status: 404": "12", "grpc_status: 5": "5"} {
		c := proxy(t, "abort: {"+fields+", "+always+"}").Dial()
		c.Get("/", "content-type: application/grpc+proto").Want(t, 200, "grpc-status: "+code, "grpc-message: fault filter abort", "content-type: application/grpc", "content-length: 0")
	}
}

// A delay holds the whole request back, its body too, and an abort may follow it.
func TestDelay(t *testing.T) {
	u := e2e.Echo(t)
	p := e2e.Filtered(t, u, e2e.Filter("fault", message, "delay: {header_delay: {}, "+always+"}, abort: {header_abort: {}, "+always+"}"), e2e.All)
	c := p.Dial()
	began := time.Now()
	r := c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx-envoy-fault-delay-request: 50\r\n\r\nhello").Read("POST")
	if took := time.Since(began); r.Status != 200 || took < 50*time.Millisecond || !strings.HasSuffix(r.Body, "body 5") {
		t.Errorf("%d %q after %v", r.Status, r.Body, took)
	}
	c.Get("/", "x-envoy-fault-delay-request: 10", "x-envoy-fault-abort-request: 555").Want(t, 555)
	if n := len(u.Heads()); n != 1 {
		t.Errorf("the upstream got %d requests", n)
	}
	p.WantStat("http.http.fault.delays_injected", 2)
	p.WantStat("http.http.fault.aborts_injected", 1)
	p.WantStat("http.http.fault.active_faults", 0)
}

// A client that goes away during its delay leaves nothing behind.
func TestGoneWhileDelayed(t *testing.T) {
	p := proxy(t, "max_active_faults: 1, delay: {fixed_delay: 60s, "+always+"}")
	c := p.Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	p.WantStat("http.http.fault.active_faults", 1)
	p.Dial().Get("/").Want(t, 200) // one more than may be delayed at once
	p.WantStat("http.http.fault.faults_overflow", 1)
	c.Close()
	p.WantStat("http.http.fault.active_faults", 0)
}

func TestOverride(t *testing.T) {
	const off = "abort: {http_status: 418, " + always + "}"
	route := func(o string) string {
		return "routes: [{match: {prefix: /r}, route: {cluster: up}, " + o + "}, {match: {prefix: /}, route: {cluster: up}}]"
	}
	p := e2e.Filtered(t, e2e.Echo(t), e2e.Filter("fault", message, off), route(e2e.Override("fault", message, "abort: {http_status: 419, "+always+"}")))
	p.Dial().Get("/").Want(t, 418)
	p.Dial().Get("/r").Want(t, 419)
}

// A slowed response comes whole, in pieces, however it ends.
func TestSlowedResponse(t *testing.T) {
	body := strings.Repeat("x", 6000)
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\ncontent-length: 6000\r\n\r\n" + body,
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n" + body[:2000] + "\r\nfa0\r\n" + body[:4000] + "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body,
	} {
		// Without a timeout, that only its end ends it.
		p := e2e.Filtered(t, e2e.Answer(t, answer), e2e.Filter("fault", message, "response_rate_limit: {fixed_limit: {limit_kbps: 20}, "+always+"}"),
			"routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]")
		began := time.Now()
		r := p.Dial().Get("/")
		if took := time.Since(began); r.Body != body || r.Err != nil || took < 200*time.Millisecond {
			t.Errorf("%d bytes after %v, %v", len(r.Body), took, r.Err)
		}
		p.WantStat("http.http.fault.active_faults", 0)
	}
}

// A slowed response with a body larger than any buffer holds its upstream back instead of failing.
func TestSlowedResponseIsBounded(t *testing.T) {
	const size = 8 << 20
	u := e2e.Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 8388608\r\n\r\n"+strings.Repeat("x", size))
	p := e2e.Filtered(t, u, e2e.Filter("fault", message, "response_rate_limit: {fixed_limit: {limit_kbps: 65536}, "+always+"}"), e2e.All)
	if r := p.Dial().Get("/"); len(r.Body) != size || r.Err != nil {
		t.Errorf("%d %d bytes, %v", r.Status, len(r.Body), r.Err)
	}
}

// Requests choose the name that is counted under: there are not arbitrarily many.
func TestClustersAreBounded(t *testing.T) {
	p := proxy(t, "abort: {http_status: 418, "+always+"}")
	c := p.Dial()
	for i := range 70 {
		c.Get("/", "x-envoy-downstream-service-cluster: c"+strings.Repeat("x", i))
	}
	p.WantStat("http.http.fault.downstream_clusters_overflow", 6)
	p.WantStat("http.http.fault.c.aborts_injected", 1)
}
