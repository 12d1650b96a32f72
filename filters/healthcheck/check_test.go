package healthcheck_test

import (
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

const (
	message = "health_check.v3.HealthCheck"
	path    = `, headers: [{name: ":path", exact_match: /hc}]`
)

// The outcomes are Envoy's, which was asked the same.
func TestAnswers(t *testing.T) {
	u := e2e.Echo(t)
	p := e2e.Filtered(t, u, e2e.Filter("hc", message, "pass_through_mode: false"+path), e2e.All)
	p.Dial().Get("/hc").Want(t, 200, "content-length: 0")
	if n := len(u.Heads()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
	p.FailHealthChecks(true)
	if state, live := p.State(); state != "DRAINING" || live {
		t.Errorf("state %s, live %v", state, live)
	}
	p.Dial().Get("/hc").Want(t, 503, "x-envoy-immediate-health-check-fail: true", "connection: close")
	p.Dial().Get("/").Want(t, 200, "x-envoy-immediate-health-check-fail: true", "connection: close")
	p.FailHealthChecks(false)
	p.Dial().Get("/hc").Want(t, 200, "x-envoy-immediate-health-check-fail: ", "connection: ")
	p.WantStat("http.http.health_check.request_total", 3)
	p.WantStat("http.http.health_check.ok", 2)
	p.WantStat("http.http.health_check.failed", 1)
}

// What the upstream said holds for all who ask within the time, a failure too.
func TestRemembers(t *testing.T) {
	u := e2e.Answer(t, "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	p := e2e.Filtered(t, u, e2e.Filter("hc", message, "pass_through_mode: true, cache_time: 3600s"+path), e2e.All)
	for range 3 {
		p.Dial().Get("/hc").Want(t, 500)
	}
	p.Dial().Get("/").Want(t, 200)
	if n := len(u.Heads()); n != 2 {
		t.Errorf("the upstream was asked %d times, want once for the check and once for the request", n)
	}
	p.WantStat("http.http.health_check.cached_response", 2)
}
