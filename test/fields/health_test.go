package fields

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
)

// ward answers by the path: /N with status N; /N-M with N once, and with M ever after; /long with 2000 bytes and an end.
// All else is answered with 200, and every answer but that ends with what was asked.
func ward(t testing.TB) *e2e.Upstream {
	var asked atomic.Int64
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			heads, bodies := u.Heads(), u.Bodies()
			head, body := heads[len(heads)-1], bodies[len(bodies)-1]
			_, path, _ := strings.Cut(strings.Fields(head)[1], "/")
			first, then, changes := strings.Cut(path, "-")
			status, err := strconv.Atoi(first)
			if err != nil {
				status = 200
			}
			if path != "" && asked.Add(1) > 1 && changes {
				status, _ = strconv.Atoi(then)
			}
			if path == "long" {
				body = strings.Repeat("x", 2000) + "end"
			}
			text := "well" + body
			if strings.HasPrefix(head, "HEAD ") {
				fmt.Fprintf(c, "HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n", status, len(text))
				continue
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s", status, len(text), text)
		}
	})
}

// speaking answers each request with status 200, over TLS with who offers that protocol, and over none with others.
func speaking(protocol string) func(testing.TB) *e2e.Upstream {
	return func(t testing.TB) *e2e.Upstream {
		own := authority.New(t, t.TempDir()).Issue("own", []string{"own.test"}, nil)
		return e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{protocol}}, func(u *e2e.Upstream, c *e2e.Conn) {
			for u.Take(c) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
			}
		}))
	}
}

const (
	quick     = "timeout: 5s, interval: 0.01s, no_traffic_interval: 0.01s, "
	once      = "unhealthy_threshold: 1, healthy_threshold: 1, "
	usually   = quick + once
	noPanic   = "common_lb_config: {healthy_panic_threshold: {value: 0}}"
	checks    = "cluster.up.health_check.attempt"
	checkFail = "cluster.up.health_check.failure"
)

// checkedBy is a cluster with one health check, nobody of which serves while he is not well.
func checkedBy(own string) func(string) string {
	return func(piece string) string {
		return cluster("health_checks: [{" + strings.Replace(own, "PIECE", piece, 1) + "}]\n" + noPanic)
	}
}

// checkedAt is that with an HTTP check at a path.
func checkedAt(path, own string) func(string) string {
	return checkedBy(usually + "http_health_check: {path: /" + path + ", " + own + "}")
}

// checkedEndpoint has one endpoint with that of its own.
func checkedEndpoint(at, path string) func(string) string {
	return func(piece string) string {
		return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, "+noPanic+", health_checks: [{"+usually+"http_health_check: {path: /"+path+"}}], load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {health_check_config: {"+piece+"}, address: {socket_address: "+at+"}}}]}]}}")
	}
}

// after waits for a number before it looks.
func after(stat string, n int64, probe func(*world) string) func(*world) string {
	return func(w *world) string {
		w.eventually(stat, func() bool { return w.stat(stat) >= n })
		return probe(w)
	}
}

func number(stat string) func(*world) string {
	return func(w *world) string { return fmt.Sprint(w.stat(stat)) }
}

// becomes tells whether a number is n within a moment.
func becomes(stat string, n int64) func(*world) string {
	return func(w *world) string {
		for end := time.Now().Add(moment); w.stat(stat) != n; <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				return "no"
			}
		}
		return "yes"
	}
}

// asked is a field of the first request, or its first line.
func asked(name string) func(*world) string {
	return func(w *world) string {
		head := w.up.Heads()[0]
		if name == "" {
			return strings.Fields(head)[0]
		}
		return field(head, name)
	}
}

// more tells whether many more checks are made once there has been traffic.
func more(w *world) string {
	look("GET /", "status")(w)
	return reaches(checks, w.stat(checks)+5, moment)(w)
}

// ejectedAndBack tells whether an endpoint that was ejected comes back before its time.
func ejectedAndBack(w *world) string {
	c := w.dial()
	for range 3 {
		c.Get("/")
	}
	w.eventually("an ejection", func() bool { return w.stat("cluster.up.outlier_detection.ejections_enforced_total") >= 1 })
	return becomes("cluster.up.membership_healthy", 1)(w)
}

// good answers checks only with success.
func good(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for {
			if !u.Take(c) {
				return
			}
			heads := u.Heads()
			status := 500
			if strings.Contains(heads[len(heads)-1], " /hc ") {
				status = 200
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n", status)
		}
	})
}

func payload(text string) string { return "{text: \"" + hex.EncodeToString([]byte(text)) + "\"}" }

var binary = "{binary: " + base64.StdEncoding.EncodeToString([]byte("well")) + "}"

// leaving tells how many endpoints there are when a name has lost one of two that are well.
func leaving(w *world) string {
	names.Set("leaves.test", "A", 0, "127.0.0.1")
	n := w.stat("cluster.up.update_success")
	w.eventually("another answer", func() bool { return w.stat("cluster.up.update_success") > n+1 })
	return number("cluster.up.membership_total")(w)
}

var methodTrials = func() (out []trial) {
	for _, m := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"} {
		out = append(out, trial{paths: "HttpHealthCheck.method=" + m, site: checkedAt("hc", "PIECE"), base: "method: GET", flip: "method: " + m, up: ward, probe: asked(""), want: [2]string{"GET", m}})
	}
	return append(out, trial{paths: "HttpHealthCheck.method=GET", site: checkedAt("hc", "PIECE"), base: "method: POST", flip: "method: GET", up: ward, probe: asked(""), want: [2]string{"POST", "GET"}})
}()

var healthTrials = append([]trial{
	{paths: "Cluster.health_checks", site: func(p string) string { return cluster(p + noPanic) }, base: "", flip: "health_checks: [{" + usually + "http_health_check: {path: /500}}]\n", up: ward, probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "HealthCheck.http_health_check HealthCheck.tcp_health_check", site: checkedBy(usually + "PIECE"), base: "http_health_check: {path: /500}", flip: "tcp_health_check: {}", up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "HealthCheck.tls_options TlsOptions.alpn_protocols", up: speaking("checks"), site: func(piece string) string {
		return cluster("health_checks: [{" + usually + "http_health_check: {path: /200}, " + piece + "}]\n" + noPanic + "\n" + e2e.UpstreamTLS("alpn_protocols: [http/1.1]", ""))
	}, base: "tls_options: {}", flip: "tls_options: {alpn_protocols: [checks]}", probe: becomes("cluster.up.membership_healthy", 1), want: [2]string{"no", "yes"}},
	{paths: "HttpHealthCheck.path", site: checkedBy(usually + "http_health_check: {path: PIECE}"), base: "/500", flip: "/200", up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "HttpHealthCheck.expected_statuses", site: checkedAt("201", "PIECE"), base: "", flip: "expected_statuses: [{start: 201, end: 202}]", up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "HttpHealthCheck.retriable_statuses", site: checkedBy(quick + "healthy_threshold: 1, unhealthy_threshold: 1000000, http_health_check: {path: /200-500, PIECE}"), base: "", flip: "retriable_statuses: [{start: 500, end: 501}]", up: ward, probe: after(checkFail, 2, becomes("cluster.up.membership_healthy", 0)), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.unhealthy_threshold", site: checkedBy(quick + "healthy_threshold: 1, unhealthy_threshold: PIECE, http_health_check: {path: /200-500, retriable_statuses: [{start: 500, end: 501}]}"), base: "1", flip: "1000000", up: ward, probe: after(checkFail, 2, becomes("cluster.up.membership_healthy", 0)), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.healthy_threshold", site: checkedBy(quick + "unhealthy_threshold: 1, healthy_threshold: PIECE, http_health_check: {path: /500-200}"), base: "1", flip: "1000000", up: ward, probe: after("cluster.up.health_check.success", 2, becomes("cluster.up.membership_healthy", 1)), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.timeout", site: checkedBy("interval: 0.01s, no_traffic_interval: 0.01s, timeout: PIECE, " + once + "http_health_check: {path: /hc}"), base: "100s", flip: "0.05s", up: onceWell, probe: reaches("cluster.up.health_check.network_failure", 1, moment), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.interval", site: checkedBy("timeout: 5s, no_traffic_interval: 0.01s, interval: PIECE, " + once + "http_health_check: {path: /hc}"), base: "100s", flip: "0.01s", up: ward, probe: more, want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.no_traffic_interval", site: checkedBy("timeout: 5s, interval: 0.01s, no_traffic_interval: PIECE, " + once + "http_health_check: {path: /hc}"), base: "100s", flip: "0.01s", up: ward, probe: reaches(checks, 5, moment), want: [2]string{"no", "yes"}},
	{paths: "HealthCheck.no_traffic_healthy_interval", site: checkedBy(usually + "http_health_check: {path: /hc}, PIECE"), base: "no_traffic_healthy_interval: 0.01s", flip: "no_traffic_healthy_interval: 100s", up: ward, probe: reaches(checks, 5, moment), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.unhealthy_interval", site: func(p string) string {
		return cluster("health_checks: [{" + usually + "http_health_check: {path: /500}, " + p + "}]")
	}, base: "unhealthy_interval: 0.01s", flip: "unhealthy_interval: 100s", up: ward, probe: more, want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.unhealthy_edge_interval", site: checkedBy(quick + "healthy_threshold: 1, unhealthy_threshold: 1000000, http_health_check: {path: /200-500, retriable_statuses: [{start: 500, end: 501}]}, PIECE"), base: "unhealthy_edge_interval: 0.01s", flip: "unhealthy_edge_interval: 100s", up: ward, probe: more, want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.healthy_edge_interval", site: func(p string) string {
		return cluster("health_checks: [{" + quick + "healthy_threshold: 1000000, unhealthy_threshold: 1, http_health_check: {path: /500-200}, " + p + "}]")
	}, base: "healthy_edge_interval: 0.01s", flip: "healthy_edge_interval: 100s", up: ward, probe: more, want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.interval_jitter", site: checkedBy(usually + "http_health_check: {path: /hc}, PIECE"), base: "interval_jitter: 0.001s", flip: "interval_jitter: 1000000s", up: ward, probe: reaches(checks, 5, moment), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.interval_jitter_percent", site: checkedBy(usually + "http_health_check: {path: /hc}, PIECE"), base: "interval_jitter_percent: 1", flip: "interval_jitter_percent: 4000000000", up: ward, probe: reaches(checks, 5, moment), want: [2]string{"yes", "no"}},
	{paths: "HealthCheck.reuse_connection", site: checkedBy(usually + "http_health_check: {path: /hc}, PIECE"), base: "reuse_connection: true", flip: "reuse_connection: false", up: ward, probe: after("cluster.up.health_check.success", 5, func(w *world) string { return fmt.Sprint(w.up.Connections() > 1) }), want: [2]string{"false", "true"}},
	{paths: "HttpHealthCheck.host", site: checkedAt("hc", "PIECE"), base: "", flip: "host: h.example", up: ward, probe: asked("host"), want: [2]string{"up", "h.example"}},
	{paths: "HttpHealthCheck.request_headers_to_add HeaderValueOption@check.header", site: checkedAt("hc", "PIECE"), base: "request_headers_to_add: [{header: {key: x-hc, value: a}}]", flip: "request_headers_to_add: [{header: {key: x-hc, value: b}}]", up: ward, probe: asked("x-hc"), want: [2]string{"a", "b"}},
	{paths: "HttpHealthCheck.request_headers_to_remove", site: checkedAt("hc", "PIECE"), base: "", flip: "request_headers_to_remove: [user-agent]", up: ward, probe: asked("user-agent"), want: [2]string{"Envoy/HC", "-"}},
	{paths: "HttpHealthCheck.send", site: checkedAt("hc", "method: POST, receive: ["+payload("hi")+"], PIECE"), base: "", flip: "send: " + payload("hi"), up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "HttpHealthCheck.receive Payload.text", site: checkedAt("hc", "receive: [PIECE]"), base: payload("well"), flip: payload("ill"), up: ward, probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "Payload.binary", site: checkedAt("hc", "receive: [PIECE]"), base: "{binary: eHl6}", flip: binary, up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "HttpHealthCheck.response_buffer_size", site: checkedAt("long", "receive: ["+payload("end")+"], PIECE"), base: "", flip: "response_buffer_size: 4096", up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "TcpHealthCheck.receive", site: checkedBy("timeout: 0.3s, interval: 0.01s, " + once + "tcp_health_check: {send: " + payload("GET / HTTP/1.1\r\nhost: a\r\n\r\n") + ", receive: [PIECE]}"), base: payload("well"), flip: payload("ill"), up: ward, probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "TcpHealthCheck.send", site: checkedBy("timeout: 0.3s, interval: 0.01s, " + once + "tcp_health_check: {send: PIECE, receive: [" + payload("well") + "]}"), base: payload("GET "), flip: payload("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "Endpoint.health_check_config HealthCheckConfig.port_value", site: checkedEndpoint("{address: 127.0.0.1, port_value: 7}", "hc"), base: "", flip: "port_value: @PORT@", up: ward, probe: number("cluster.up.health_check.healthy"), want: [2]string{"0", "1"}},
	{paths: "HealthCheckConfig.address", site: checkedEndpoint("{address: 127.0.0.9, port_value: @PORT@}", "hc"), base: "", flip: "address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}", up: ward, probe: number("cluster.up.health_check.healthy"), want: [2]string{"0", "1"}},
	{paths: "HealthCheckConfig.hostname", site: checkedEndpoint("{address: 127.0.0.1, port_value: @PORT@}", "hc"), base: "", flip: "hostname: k.example", up: ward, probe: asked("host"), want: [2]string{"up", "k.example"}},
	{paths: "HealthCheckConfig.disable_active_health_check", site: checkedEndpoint("{address: 127.0.0.1, port_value: @PORT@}", "500"), base: "", flip: "disable_active_health_check: true", up: ward, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "Cluster.ignore_health_on_host_removal", site: resolved("leaves.test", "type: STRICT_DNS, dns_lookup_family: V4_ONLY, dns_refresh_rate: 0.01s, PIECE health_checks: [{"+usually+"tcp_health_check: {}}], "+asks), base: "", flip: "ignore_health_on_host_removal: true,", up: func(t testing.TB) *e2e.Upstream {
		names.Set("leaves.test", "A", 0, "127.0.0.1", "127.0.0.2")
		return everywhere(t)
	}, probe: leaving, want: [2]string{"2", "1"}},
	{paths: "CommonLbConfig.ignore_new_hosts_until_first_hc", site: resolved("up.test", "type: STRICT_DNS, wait_for_warm_on_init: false, common_lb_config: {ignore_new_hosts_until_first_hc: PIECE}, health_checks: [{timeout: 100s, interval: 1s, "+once+"tcp_health_check: {receive: ["+payload("x")+"]}}], "+asks), base: "false", flip: "true", up: silent, probe: becomes("cluster.up.membership_excluded", 1), want: [2]string{"no", "yes"}},
	{paths: "OutlierDetection.successful_active_health_check_uneject_host", site: func(p string) string {
		return cluster("outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 100, " + p + "}\nhealth_checks: [{" + usually + "http_health_check: {path: /hc}}]\n" + noPanic)
	}, base: "", flip: "successful_active_health_check_uneject_host: false", up: good, probe: ejectedAndBack, want: [2]string{"yes", "no"}},
}, methodTrials...)

// onceWell answers one request and never another one.
func onceWell(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			if len(u.Heads()) == 1 {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
			}
		}
	})
}
