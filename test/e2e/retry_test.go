package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	fine = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
	bad  = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad"
)

// policy is a route to "up" with a retry policy and counted attempts.
func policy(retry string, more ...string) string {
	return fmt.Sprintf("include_attempt_count_in_response: true\ninclude_request_attempt_count: true\nroutes: [{match: {prefix: /}, %s route: {cluster: up, retry_policy: {%s, retry_back_off: {base_interval: 0.001s}}}}]", strings.Join(more, " "), retry)
}

func retrying(t *testing.T, u *Upstream, retry string, more ...string) *Proxy {
	t.Helper()
	inside := "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"
	return Start(t, Bootstrap(HTTPListener(policy(retry, more...), inside), Cluster("up", u.Port)))
}

// What is a reason to try again, and what is not.
func TestRetryOn(t *testing.T) {
	status := func(line string, fields ...string) string {
		return "HTTP/1.1 " + line + "\r\n" + lines(fields) + "content-length: 0\r\n\r\n"
	}
	for _, c := range []struct {
		retry, answer string
		request       []string
		tries         int
	}{
		{"retry_on: 5xx", status("500 E"), nil, 2},
		{"retry_on: 5xx", status("404 N"), nil, 1},
		{"retry_on: 5xx, num_retries: 3", status("503 E"), nil, 4},
		{"retry_on: 5xx, num_retries: 0", status("503 E"), nil, 1},
		{"retry_on: gateway-error", status("500 E"), nil, 1},
		{"retry_on: gateway-error", status("504 E"), nil, 2},
		{"retry_on: retriable-4xx", status("409 C"), nil, 2},
		{"retry_on: retriable-4xx", status("429 T"), nil, 1},
		{"retry_on: retriable-status-codes, retriable_status_codes: [429]", status("429 T"), nil, 2},
		{"retry_on: 5xx, retriable_status_codes: [429]", status("429 T"), nil, 1},
		{"retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: again}}]", status("200 OK", "x-again: again"), nil, 2},
		{"retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: again}}]", status("200 OK", "x-again: no"), nil, 1},
		{"retry_on: 'connect-failure,reset'", status("503 E"), nil, 1},
		{"retry_on: 5xx", status("503 E", "x-envoy-ratelimited: true"), nil, 1},
		{"retry_on: envoy-ratelimited", status("429 E", "x-envoy-ratelimited: true"), nil, 2},
		{"retry_on: unavailable", status("200 OK", "grpc-status: 14"), nil, 2},
		{"retry_on: unavailable", status("200 OK", "grpc-status: 13"), nil, 1},
		{"retry_on: 'cancelled,deadline-exceeded,internal,resource-exhausted', num_retries: 2", status("200 OK", "grpc-status: 8"), nil, 3},
		{"retry_on: 5xx, retriable_request_headers: [{name: x-safe, present_match: true}]", status("503 E"), nil, 1},
		{"retry_on: 5xx, retriable_request_headers: [{name: ':method', string_match: {exact: GET}}]", status("503 E"), nil, 2},
		{"retry_on: reset", status("503 E"), []string{"x-envoy-retry-on: 5xx"}, 2},
		{"retry_on: 5xx", status("503 E"), []string{"x-envoy-max-retries: 4"}, 5},
		{"retry_on: reset", status("418 T"), []string{"x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 417, 418"}, 2},
		{"retry_on: reset", status("200 OK", "x-again: 1"), []string{"x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: x-other, x-again"}, 2},
		{"retry_on: reset", status("200 OK", "grpc-status: 1"), []string{"x-envoy-retry-grpc-on: cancelled"}, 2},
		{"retry_on: reset", status("503 E"), []string{"x-envoy-retry-on: nonsense"}, 1},
	} {
		t.Run(c.retry+" "+strings.Join(c.request, " "), func(t *testing.T) {
			u := Answer(t, c.answer)
			// Without use_remote_address the request counts as one from inside, which may steer us.
			p := retrying(t, u, c.retry)
			r := p.Dial().Get("/", append([]string{"x-forwarded-for: 10.0.0.1"}, c.request...)...)
			if got := len(u.Heads()); got != c.tries {
				t.Errorf("%d tries, want %d\n%s", got, c.tries, r.Head)
			}
			r.Want(t, r.Status, fmt.Sprintf("x-envoy-attempt-count: %d", c.tries))
			last := u.Heads()[c.tries-1]
			if !strings.Contains(last, fmt.Sprintf("x-envoy-attempt-count: %d\r\n", c.tries)) {
				t.Errorf("the last try does not say which it is:\n%s", last)
			}
			for _, name := range []string{"x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-retriable", "x-envoy-retry-grpc-on"} {
				if strings.Contains(last, name) {
					t.Errorf("%s was for us, and went on", name)
				}
			}
			p.WantStat("cluster.up.upstream_rq_retry", int64(c.tries-1))
		})
	}
}

// A client from outside cannot have its requests multiplied (hazard: retry amplification).
func TestRetryIsNotForStrangers(t *testing.T) {
	u := Answer(t, bad)
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]", "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 192.0.2.1, prefix_len: 32}]}"), Cluster("up", u.Port)))
	p.Dial().Get("/", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 100").Want(t, 503, "bad")
	if n := len(u.Heads()); n != 1 {
		t.Errorf("%d tries", n)
	}
}

// The first good answer is the one that the client gets, with nothing left of the bad ones.
func TestRetrySucceeds(t *testing.T) {
	u := Answer(t, "HTTP/1.1 503 E\r\nx-bad: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n", "HTTP/1.1 500 E\r\nx-bad: 2\r\ncontent-length: 0\r\n\r\n", fine)
	p := retrying(t, u, "retry_on: 5xx, num_retries: 5")
	c := p.Dial()
	c.Get("/").Want(t, 200, "ok", "x-bad: ", "x-envoy-attempt-count: 3")
	c.Get("/").Want(t, 200, "ok", "x-envoy-attempt-count: 1")
	for name, want := range map[string]int64{"upstream_rq_retry": 2, "upstream_rq_retry_success": 1, "upstream_rq_retry_limit_exceeded": 0, "upstream_rq_retry_backoff_exponential": 2,
		"retry.upstream_rq_503": 1, "retry.upstream_rq_500": 1, "retry.upstream_rq_5xx": 2, "upstream_rq_5xx": 0, "upstream_rq_200": 2, "upstream_rq_active": 0} {
		p.WantStat("cluster.up."+name, want)
	}
}

// A request's body is sent anew with each try, trailers included, whether it came at once or piece by piece.
func TestRetryReplaysBody(t *testing.T) {
	u := Answer(t, bad, bad, fine)
	p := retrying(t, u, "retry_on: 5xx, num_retries: 5")
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234")
	c.Send("56789")
	c.Read("POST").Want(t, 200, "ok")
	if got := u.Bodies(); len(got) != 3 || got[0] != "0123456789" || got[1] != got[0] || got[2] != got[0] {
		t.Errorf("bodies %q", got)
	}
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
	c.Read("POST").Want(t, 200, "ok")
	if got := u.Bodies(); got[3] != "abcdef" {
		t.Errorf("bodies %q", got)
	}
}

// An upstream that answers before it has the body is tried again while the client still sends: what comes between two tries is kept.
func TestRetryWhileBodyComes(t *testing.T) {
	var n atomic.Int32
	u := Serve(t, func(u *Upstream, c *Conn) {
		if n.Add(1) == 1 {
			c.head()
			io.WriteString(c, "HTTP/1.1 503 E\r\ncontent-length: 0\r\n\r\n")
			io.Copy(io.Discard, c.Conn) // until we are left
			return
		}
		for u.Take(c) {
			io.WriteString(c, fine)
		}
	})
	p := retrying(t, u, "retry_on: 5xx")
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
	p.WantStat("cluster.up.upstream_rq_retry", 1)
	c.Send("def")
	c.Read("POST").Want(t, 200, "ok")
	if got := u.Bodies(); len(got) != 1 || got[0] != "abcdef" {
		t.Errorf("bodies %q", got)
	}
}

// More of a body than may be kept ends trying again, not the request; and where no try is under way, the request.
func TestRetryBodyLimit(t *testing.T) {
	u := Answer(t, bad)
	p := retrying(t, u, "retry_on: 5xx", "request_body_buffer_limit: 9,")
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789")
	c.Read("POST").Want(t, 503, "bad")
	p.WantStat("cluster.up.retry_or_shadow_abandoned", 1)
	p.WantStat("cluster.up.upstream_rq_retry", 0)
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n012345678")
	c.Read("POST").Want(t, 503, "bad")
	p.WantStat("cluster.up.upstream_rq_retry", 1)
}

// dead is a port that nobody listens on.
func dead(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestRetryConnectFailure(t *testing.T) {
	p := Start(t, Bootstrap(HTTPListener(policy("retry_on: connect-failure, num_retries: 2")), Cluster("up", dead(t))))
	p.Dial().Get("/").Want(t, 503, "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure", "x-envoy-attempt-count: 3")
	p.WantStat("cluster.up.upstream_rq_retry_limit_exceeded", 1)
}

// A reset is tried again, for whatever method, if the policy says so.
func TestRetryReset(t *testing.T) {
	var n atomic.Int32
	u := Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			if n.Add(1)%2 == 1 {
				return
			}
			io.WriteString(c, fine)
		}
	})
	p := retrying(t, u, "retry_on: reset")
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").Read("POST").Want(t, 200, "ok", "x-envoy-attempt-count: 2")
}

// Endpoints that were tried are passed over where another one is to be had.
func TestRetryPreviousHosts(t *testing.T) {
	good, down := Answer(t, fine), dead(t)
	two := fmt.Sprintf(`- {name: up, type: STATIC, lb_policy: RANDOM, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [
    {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}}`, good.Port, down)
	p := Start(t, Bootstrap(HTTPListener(policy(`retry_on: connect-failure, host_selection_retry_max_attempts: 100, retry_host_predicate: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]`)), two))
	c := p.Dial()
	for range 200 {
		c.Get("/").Want(t, 200, "ok")
	}
}

// max_retries bounds how many are under way at once; more are answered with what there is.
func TestRetryOverflow(t *testing.T) {
	u := Answer(t, bad)
	p := Start(t, Bootstrap(HTTPListener(policy("retry_on: 5xx")), Cluster("up", u.Port, "circuit_breakers: {thresholds: [{max_retries: 0}]}")))
	p.Dial().Get("/").Want(t, 503, "bad", "x-envoy-attempt-count: 1")
	p.WantStat("cluster.up.upstream_rq_retry_overflow", 1)
}

// A try that takes too long is given up, and the next one may answer.
func TestPerTryTimeout(t *testing.T) {
	var n atomic.Int32
	u := Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			if n.Add(1) == 1 {
				io.Copy(io.Discard, c.Conn)
				return
			}
			io.WriteString(c, fine)
		}
	})
	p := Start(t, Bootstrap(HTTPListener("include_is_timeout_retry_header: true\n"+policy("retry_on: 5xx, per_try_timeout: 0.05s")), Cluster("up", u.Port)))
	p.Dial().Get("/").Want(t, 200, "ok", "x-envoy-attempt-count: 2")
	p.WantStat("cluster.up.upstream_rq_per_try_timeout", 1)
	if last := u.Heads()[1]; !strings.Contains(last, "x-envoy-is-timeout-retry: true") || !strings.Contains(last, "x-envoy-expected-rq-timeout-ms: 50\r\n") {
		t.Error(last)
	}
}

// Without another try left, a try that takes too long is the end.
func TestPerTryTimeoutEnds(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) { io.Copy(io.Discard, c.Conn) })
	p := retrying(t, u, "retry_on: 5xx, num_retries: 1, per_try_timeout: 0.02s")
	p.Dial().Get("/").Want(t, 504, "upstream request timeout")
	p.WantStat("cluster.up.upstream_rq_per_try_timeout", 2)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A try of which nothing is heard is given up like one that takes too long.
func TestPerTryIdleTimeout(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) { io.Copy(io.Discard, c.Conn) })
	p := retrying(t, u, "retry_on: 5xx, num_retries: 1, per_try_idle_timeout: 0.02s")
	p.Dial().Get("/").Want(t, 504, "upstream request timeout")
	p.WantStat("cluster.up.upstream_rq_per_try_idle_timeout", 2)
}

// With hedging the slow try goes on beside the next one, and whoever answers first is heard.
func TestHedge(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("the first answers: %v", first), func(t *testing.T) {
			var n atomic.Int32
			second := make(chan bool)
			u := Serve(t, func(u *Upstream, c *Conn) {
				for u.Take(c) {
					switch n.Add(1) {
					case 1:
						if !first {
							io.Copy(io.Discard, c.Conn)
							return
						}
						<-second
						io.WriteString(c, "HTTP/1.1 200 OK\r\nx-try: 1\r\ncontent-length: 2\r\n\r\nok")
					case 2:
						close(second)
						if first {
							io.Copy(io.Discard, c.Conn)
							return
						}
						io.WriteString(c, "HTTP/1.1 200 OK\r\nx-try: 2\r\ncontent-length: 2\r\n\r\nok")
					default:
						io.WriteString(c, fine)
					}
				}
			})
			p := Start(t, Bootstrap(HTTPListener("hedge_policy: {hedge_on_per_try_timeout: true}\n"+policy("retry_on: 5xx, per_try_timeout: 0.02s")), Cluster("up", u.Port)))
			want := "x-try: 2"
			if first {
				want = "x-try: 1"
			}
			c := p.Dial()
			c.Get("/").Want(t, 200, "ok", want)
			p.WantStat("cluster.up.upstream_rq_active", 0)
			p.WantStat("cluster.up.upstream_rq_retry", 1)
			c.Get("/again").Want(t, 200, "ok")
		})
	}
}

// A bad answer beside a try that is under way is not passed on.
func TestHedgeWaitsForTheOther(t *testing.T) {
	var n atomic.Int32
	second, failed := make(chan bool), make(chan bool)
	u := Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			switch n.Add(1) {
			case 1:
				<-second
				io.WriteString(c, bad)
				close(failed)
			case 2:
				close(second)
				<-failed
				io.WriteString(c, fine)
			}
		}
	})
	p := Start(t, Bootstrap(HTTPListener("hedge_policy: {hedge_on_per_try_timeout: true}\n"+policy("retry_on: 5xx, num_retries: 1, per_try_timeout: 0.02s")), Cluster("up", u.Port)))
	p.Dial().Get("/").Want(t, 200, "ok")
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A client that goes away between two tries leaves nothing behind.
func TestRetryClientGoes(t *testing.T) {
	u := Answer(t, bad)
	p := Start(t, Bootstrap(HTTPListener(strings.Replace(policy("retry_on: 5xx, num_retries: 1000"), "0.001s", "30s", 1)), Cluster("up", u.Port)))
	c := p.Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	p.WantStat("cluster.up.upstream_rq_retry", 1)
	c.Close()
	p.WantStat("http.http.downstream_cx_active", 0)
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// A copy goes to the other cluster, with a host that tells it apart, and what becomes of it is nobody's concern.
func TestMirror(t *testing.T) {
	const route = "routes: [{match: {prefix: /}, route: {cluster: up, request_mirror_policies: [{cluster: copy}]}}]"
	up, mirrored := Answer(t, fine), Answer(t, "HTTP/1.1 500 E\r\ncontent-length: 0\r\n\r\n")
	p := Start(t, Bootstrap(HTTPListener(route), Cluster("up", up.Port), Cluster("copy", mirrored.Port)))
	c := p.Dial()
	c.Send("POST /a HTTP/1.1\r\nhost: a.example:80\r\nx-custom: v\r\ncontent-length: 5\r\n\r\nhello").Read("POST").Want(t, 200, "ok")
	c.Send("POST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").Read("POST").Want(t, 200, "ok")
	c.Get("/c").Want(t, 200, "ok")
	p.WantStat("cluster.copy.upstream_rq_500", 3)
	p.WantStat("cluster.copy.internal.upstream_rq_5xx", 3)
	p.WantStat("cluster.copy.upstream_rq_active", 0)
	bodies := mirrored.Bodies()
	if len(bodies) != 3 || !contains(bodies, "hello") || !contains(bodies, "abc") {
		t.Errorf("bodies %q", bodies)
	}
	for _, h := range mirrored.Heads() {
		if strings.Contains(h, "/a HTTP") && !(strings.Contains(h, "host: a.example-shadow:80\r\n") && strings.Contains(h, "x-envoy-internal: true\r\n") && strings.Contains(h, "x-custom: v\r\n")) {
			t.Error(h)
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// A mirror that is down, that does not read, or that answers for ever costs the request nothing (CVE-2024-34364).
func TestMirrorHurtsNobody(t *testing.T) {
	endless := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	stuck := Serve(t, func(u *Upstream, c *Conn) { u.heldOpen() })
	up := Answer(t, fine)
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, request_mirror_policies: [{cluster: endless}, {cluster: stuck}, {cluster: down}, {cluster_header: x-copy}]}}]"),
		Cluster("up", up.Port), Cluster("endless", endless.Port), Cluster("stuck", stuck.Port, "per_connection_buffer_limit_bytes: 65536"), Cluster("down", dead(t))))
	c := p.Dial()
	const size = 16 << 20
	c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n", size))
	piece := strings.Repeat("y", 1<<20)
	for range size >> 20 {
		c.Send(piece)
	}
	c.Read("POST").Want(t, 200, "ok")
	if n := len(up.Bodies()[0]); n != size {
		t.Errorf("the upstream got %d bytes", n)
	}
	p.WantStat("cluster.stuck.retry_or_shadow_abandoned", 1)
	p.WantStat("cluster.down.upstream_cx_connect_fail", 1)
	c.Get("/", "x-copy: unknown").Want(t, 200, "ok")
}

// A share of the requests is copied, as far as chance goes.
func TestMirrorFraction(t *testing.T) {
	up, mirrored := Answer(t, fine), Answer(t, fine)
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, request_mirror_policies: [{cluster: copy, runtime_fraction: {default_value: {numerator: 25}}}]}}]"),
		Cluster("up", up.Port), Cluster("copy", mirrored.Port)))
	c := p.Dial()
	for range 400 {
		c.Get("/").Want(t, 200)
	}
	// 400 draws of 1/4: five standard deviations are 43.
	if n := p.Stat("cluster.copy.upstream_rq_total"); n < 57 || n > 143 {
		t.Errorf("%d of 400 copied, want about 100", n)
	}
}

// Retries cost no allocation that plain requests do not.
func TestRetriesAllocateNothing(t *testing.T) {
	p := Start(t, Bootstrap(HTTPListener(policy("retry_on: '5xx,reset,connect-failure', per_try_timeout: 5s")), Cluster("up", plain(t).Port)))
	allocateNothing(t, p)
}
