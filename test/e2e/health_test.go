package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// ward is an upstream whose checks, at /hc, are answered with a status that changes; all else is answered with its name.
type ward struct {
	*Upstream
	status atomic.Int64 // 0: checks are not answered
	extra  atomic.Value // more of the answers' heads
}

func newWard(t testing.TB, name string) *ward {
	w := &ward{}
	w.status.Store(200)
	w.extra.Store("")
	w.Upstream = Serve(t, func(u *Upstream, c *Conn) {
		for {
			head, ok := c.head()
			if !ok {
				return
			}
			status := int64(200)
			if strings.HasPrefix(head, "GET /hc ") {
				u.mu.Lock()
				u.heads = append(u.heads, head)
				u.mu.Unlock()
				if status = w.status.Load(); status == 0 {
					continue
				}
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\ncontent-length: %d\r\n%s\r\n%s", status, len(name), w.extra.Load(), name)
		}
	})
	return w
}

const (
	check   = "health_checks: [{timeout: 5s, interval: 0.005s, no_traffic_interval: 0.005s, unhealthy_threshold: 2, healthy_threshold: 2, http_health_check: {path: /hc}}]"
	noPanic = "common_lb_config: {healthy_panic_threshold: {value: 0}}"
)

// An endpoint that fails its checks gets no requests until it passes them again, on no loop; its standing is not forgotten when the
// cluster is configured anew; and whoever starts has checked everybody before the first request.
func TestEndpointsAreChecked(t *testing.T) {
	first, second := newWard(t, "first"), newWard(t, "second")
	second.status.Store(503)
	configuration := func(more string) string {
		return Bootstrap(HTTPListener(listens), several(group("priority: 0", first.Port, second.Port), check, noPanic, more))
	}
	p := StartLoops(t, 2, configuration("connect_timeout: 1s"))
	want := func(body string) {
		t.Helper()
		for range 10 {
			p.Dial().Get("/").Want(t, 200, body)
		}
	}
	want("first")
	p.WantStat("cluster.up.membership_healthy", 1)
	p.WantStat("cluster.up.health_check.healthy", 1)
	second.status.Store(200)
	p.WantStat("cluster.up.membership_healthy", 2)
	first.status.Store(500)
	p.WantStat("cluster.up.membership_healthy", 1)
	want("second")
	first.status.Store(0) // not answered from now on: nothing can be found out
	p.Change(configuration("connect_timeout: 2s"))
	want("second")
	second.status.Store(500)
	p.WantStat("cluster.up.membership_healthy", 0)
	p.Dial().Get("/").Want(t, 503, "no healthy upstream")
	second.status.Store(200)
	p.WantStat("cluster.up.membership_healthy", 1)
	p.Change(Bootstrap(HTTPListener(listens), several(group("priority: 0", first.Port, second.Port), noPanic)))
	p.WantStat("cluster.up.membership_healthy", 2)
	if p.Stat("cluster.up.health_check.attempt") != 0 {
		t.Error("numbers of checks that are no longer made")
	}
}

// What a check sends is Envoy's, byte by byte but for the order of fields.
func TestChecksLookLikeEnvoys(t *testing.T) {
	u := newWard(t, "u")
	p := Start(t, Bootstrap(HTTPListener(listens), several(group("priority: 0", u.Port), check)))
	p.Dial().Get("/").Want(t, 200, "u")
	if got := u.Heads()[0]; got != "GET /hc HTTP/1.1\r\nhost: up\r\nuser-agent: Envoy/HC\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

// An answer to a request may say that the endpoint is going, which holds until checks are passed; one to a check, that it is degraded.
func TestEndpointsSayHowTheyAre(t *testing.T) {
	u := newWard(t, "u")
	slow := strings.Replace(check, "interval: 0.005s", "interval: 1000s", 1)
	p := StartLoops(t, 2, Bootstrap(HTTPListener(listens), several(group("priority: 0", u.Port), strings.Replace(slow, "no_traffic_interval: 0.005s", "no_traffic_interval: 1000s", 1), noPanic)))
	u.extra.Store("x-envoy-immediate-health-check-fail: true\r\n")
	p.Dial().Get("/").Want(t, 200, "u")
	p.WantStat("cluster.up.membership_healthy", 0)
	p.Dial().Get("/").Want(t, 503)
	p.WantStat("cluster.up.membership_excluded", 1)
	p.WantStat("cluster.up.health_check.passive_failure", 1)
	p.WantStat("cluster.up.health_check.failure", 1)

	d := newWard(t, "d")
	d.extra.Store("x-envoy-degraded: true\r\n")
	p = Start(t, Bootstrap(HTTPListener(listens), several(group("priority: 0", d.Port), check)))
	p.WantStat("cluster.up.membership_degraded", 1)
	p.Dial().Get("/").Want(t, 200, "d")
	d.extra.Store("")
	p.WantStat("cluster.up.membership_degraded", 0)
	p.WantStat("cluster.up.membership_healthy", 1)
}

// Endpoints that answer nothing, or what is no answer, or that are not there, are failures of the network; a process that starts waits
// for that, too, and no longer.
func TestChecksThatHearNothing(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := gone.Addr().(*net.TCPAddr).Port
	gone.Close()
	nonsense := Serve(t, func(_ *Upstream, c *Conn) { io.WriteString(c, "nonsense\r\n\r\n") })
	mute := Serve(t, func(u *Upstream, _ *Conn) { u.heldOpen() })
	p := Start(t, Bootstrap(HTTPListener(listens), several(group("priority: 0", port, nonsense.Port, mute.Port), strings.Replace(check, "timeout: 5s", "timeout: 0.05s", 1), noPanic)))
	if n := p.Stat("cluster.up.health_check.network_failure"); n < 3 {
		t.Errorf("%d failures", n)
	}
	p.Dial().Get("/").Want(t, 503, "no healthy upstream")
}

// A cluster without endpoints keeps nobody waiting, with checks or without.
func TestNobodyToCheck(t *testing.T) {
	p := Start(t, Bootstrap(HTTPListener(listens), "- {name: up, "+check+"}"))
	p.Dial().Get("/").Want(t, 503, "no healthy upstream")
}

// An endpoint that its source forgets serves on as long as it is well.
func TestForgottenEndpointsStayWhileTheyAreWell(t *testing.T) {
	n, u := DNS(t), newWard(t, "u")
	n.Set("up.test", "A", 0, "127.0.0.1")
	p := Start(t, Bootstrap(HTTPListener(listens), resolved("STRICT_DNS", u.Port, often, check, noPanic, n.Resolver(""))))
	p.Dial().Get("/").Want(t, 200)
	n.Set("up.test", "A", 0, "127.0.0.9")
	p.wantMembers(2)
	p.Dial().Get("/").Want(t, 200)
	u.status.Store(500)
	p.wantMembers(1)
	p.Dial().Get("/").Want(t, 503)
	n.Set("up.test", "A", 0, "127.0.0.1")
	p.wantMembers(1)
	u.status.Store(200)
	p.Eventually("it is back", func() bool { return p.Dial().Get("/").Status == 200 })
}
