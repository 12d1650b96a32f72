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

// The answer depends on how many endpoints of clusters are well, in whole percents.
func TestCountsEndpoints(t *testing.T) {
	u := e2e.Echo(t)
	endpoints := func(list string) string {
		return "- {name: some, load_assignment: {cluster_name: some, endpoints: [{lb_endpoints: [" + list + "]}]}}\n- {name: none}"
	}
	const (
		good = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}, "
		slow = "{health_status: DEGRADED, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}}, "
		bad  = "{health_status: UNHEALTHY, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3}}}}, "
	)
	for _, test := range []struct {
		need, have string
		want       int
	}{
		{"some: {value: 67}", good + slow + bad, 503},
		{"some: {value: 66.9}", good + slow + bad, 200},
		{"some: {value: 100}", good + slow, 200},
		{"none: {value: 0}, some: {value: 1}", good, 200},
		{"none: {value: 1}", good, 503},
		{"some: {value: 1}, other: {value: 0}", good, 503},
	} {
		filter := e2e.Filter("hc", message, "pass_through_mode: false, cluster_min_healthy_percentages: {"+test.need+"}"+path)
		p := e2e.Start(t, e2e.Bootstrap(e2e.WithFilters(e2e.HTTPListener(e2e.All), filter), e2e.Cluster("up", u.Port), endpoints(test.have)))
		if r := p.Dial().Get("/hc"); r.Status != test.want {
			t.Errorf("%s of %s: %d, want %d", test.need, test.have, r.Status, test.want)
		}
	}
}
