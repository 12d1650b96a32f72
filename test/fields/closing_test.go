package fields

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
)

// closingTrials flip what becomes of connections when endpoints do.
var closingTrials = []trial{
	{paths: "Cluster.close_connections_on_host_health_failure", site: func(p string) string {
		return e2e.Bootstrap(tcpListener("stat_prefix: tcp, cluster: up"), upCluster("health_checks: [{"+usually+"http_health_check: {path: /hc}}]\n"+p))
	}, base: "", flip: "close_connections_on_host_health_failure: true", up: tiring, probe: func(w *world) string {
		c := w.dial()
		c.Get("/tire")
		w.eventually("it is unwell", func() bool { return w.stat("cluster.up.membership_healthy") == 0 })
		return becomes("cluster.up.upstream_cx_active", 0)(w)
	}, want: [2]string{"no", "yes"}},
	{paths: "CommonLbConfig.close_connections_on_host_set_change", site: resolved("grows.test", "type: STRICT_DNS, dns_lookup_family: V4_ONLY, dns_refresh_rate: 0.01s, common_lb_config: {close_connections_on_host_set_change: PIECE}, "+asks), base: "false", flip: "true", up: func(t testing.TB) *e2e.Upstream {
		names.Set("grows.test", "A", 0, "127.0.0.1")
		return everywhere(t)
	}, probe: func(w *world) string {
		w.eventually("an endpoint", func() bool { return w.stat("cluster.up.membership_total") == 1 })
		c := w.dial()
		c.Get("/")
		names.Set("grows.test", "A", 0, "127.0.0.1", "127.0.0.2")
		w.eventually("another endpoint", func() bool { return w.stat("cluster.up.membership_total") == 2 })
		return becomes("cluster.up.upstream_cx_active", 0)(w)
	}, want: [2]string{"no", "yes"}},
}

// tiring is well until it is asked for /tire.
func tiring(t testing.TB) *e2e.Upstream {
	var tired atomic.Bool
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			heads := u.Heads()
			status := 200
			if head := heads[len(heads)-1]; strings.HasPrefix(head, "GET /tire ") {
				tired.Store(true)
			} else if tired.Load() {
				status = 500
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n", status)
		}
	})
}
