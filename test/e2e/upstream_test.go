package e2e

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// A connection that the upstream closes while it is idle is nobody's fault, and no client hears of it.
func TestKeepAliveRace(t *testing.T) {
	var mu sync.Mutex
	closeNext := false
	u := Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			mu.Lock()
			last := closeNext
			closeNext = !closeNext
			mu.Unlock()
			if last {
				return // the request was taken off the wire, and the connection ends without a byte of an answer
			}
			c.Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
		}
	})
	p := HTTP(t, u)
	c := p.Dial()
	for range 10 {
		c.Get("/").Want(t, 200, "ok")
	}
	if p.Stat("cluster.up.upstream_rq_stale_connection_retry") == 0 {
		t.Error("no request was tried again: the test does not test")
	}
	// What is not idempotent is not sent twice.
	mu.Lock()
	closeNext = false
	mu.Unlock()
	before := len(u.Heads())
	c.Get("/").Want(t, 200, "ok") // the next one is cut
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx")
	c.Read("POST").Want(t, 503)
	if n := len(u.Heads()) - before; n != 2 {
		t.Errorf("the upstream saw %d requests, want 2: one GET and one POST, once", n)
	}
}

// A request with a body is not lent a connection that has died: it is looked at first.
func TestDeadConnectionIsNotLent(t *testing.T) {
	closed := make(chan bool, 100)
	u := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		c.Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
		c.Close()
		closed <- true
	})
	p := HTTP(t, u)
	c := p.Dial()
	for range 20 {
		c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx")
		c.Read("POST").Want(t, 200)
		<-closed
	}
}

func TestCircuitBreakers(t *testing.T) {
	release := make(chan bool)
	u := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		<-release
		c.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	})
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]"),
		Cluster("up", u.Port, "circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1}]}")))
	first, second, third := p.Dial(), p.Dial(), p.Dial()
	first.Send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")
	p.WantStat("cluster.up.upstream_rq_active", 1)
	second.Send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
	p.WantStat("cluster.up.upstream_rq_pending_active", 1)
	third.Get("/3").Want(t, 503, "x-envoy-overloaded: true", "upstream connect error or disconnect/reset before headers. reset reason: overflow")
	close(release)
	first.Read("GET").Want(t, 200)
	second.Read("GET").Want(t, 200)
	p.WantStat("cluster.up.upstream_rq_pending_overflow", 1)
	p.WantStat("cluster.up.upstream_rq_pending_active", 0)
}

func TestRouteTimeout(t *testing.T) {
	hold := make(chan bool)
	u := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		<-hold
	})
	t.Cleanup(func() { close(hold) })
	p := Routes(t, u, "- {match: {prefix: /}, route: {cluster: up, timeout: 0.05s}}")
	c := p.Dial()
	c.Get("/").Want(t, 504, "upstream request timeout")
	p.WantStat("cluster.up.upstream_rq_timeout", 1)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

func TestUpstreamsThatMisbehave(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
	}{
		"not HTTP":             {"SSH-2.0-OpenSSH\r\n", 502},
		"two lengths":          {"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 502},
		"endless head":         {"HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", 50000), 502},
		"closes at once":       {"", 503},
		"closes within a head": {"HTTP/1.1 200 OK\r\nx: y", 503},
	} {
		t.Run(name, func(t *testing.T) {
			u := Serve(t, func(u *Upstream, conn *Conn) {
				u.Take(conn)
				conn.Conn.Write([]byte(c.answer))
			})
			HTTP(t, u).Dial().Get("/").Want(t, c.status)
		})
	}
	t.Run("closes within a body", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			u.Take(c)
			c.Send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
		})
		if r := HTTP(t, u).Dial().Get("/").Want(t, 200); r.Err == nil {
			t.Error("a body that was cut looks whole")
		}
	})
	t.Run("body that ends with the connection", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			u.Take(c)
			c.Send("HTTP/1.1 200 OK\r\n\r\nabc")
		})
		HTTP(t, u).Dial().Get("/").Want(t, 200, "abc")
	})
}

func TestBalancing(t *testing.T) {
	var clusters, ports []string
	for i := range 4 {
		u := Answer(t, fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d", i))
		ports = append(ports, fmt.Sprintf("      - {load_balancing_weight: %d, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}", i+1, u.Port))
	}
	for _, policy := range []string{"ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"} {
		clusters = append(clusters, fmt.Sprintf("- name: %s\n  lb_policy: %s\n  load_assignment:\n    cluster_name: x\n    endpoints:\n    - lb_endpoints:\n%s\n", policy, policy, strings.Join(ports, "\n")))
	}
	p := Start(t, Bootstrap(HTTPListener("routes:\n- {match: {path: /ROUND_ROBIN}, route: {cluster: ROUND_ROBIN}}\n- {match: {path: /LEAST_REQUEST}, route: {cluster: LEAST_REQUEST}}\n- {match: {path: /RANDOM}, route: {cluster: RANDOM}}"), clusters...))
	c := p.Dial()
	share := func(policy string) (n [4]int) {
		for range 400 {
			n[c.Get("/"+policy).Want(t, 200).Body[0]-'0']++
		}
		return n
	}
	for _, policy := range []string{"ROUND_ROBIN", "LEAST_REQUEST"} {
		// By weight, and without chance: 40, 80, 120, 160, but for where the round began.
		for i, n := range share(policy) {
			if want := 40 * (i + 1); n < want-2 || n > want+2 {
				t.Errorf("%s: endpoint %d got %d of 400, want about %d", policy, i, n, want)
			}
		}
	}
	for i, n := range share("RANDOM") {
		if n < 50 || n > 150 { // 100 expected, whatever the weights; six standard deviations are 52
			t.Errorf("RANDOM: endpoint %d got %d of 400, want about 100", i, n)
		}
	}
}

// A request whose last byte comes while its upstream takes no more ends all the same once it does: the end of a body that is as long as
// its head says needs no byte of its own.
func TestRequestEndsBehindBackPressure(t *testing.T) {
	for _, size := range []int{100 << 10, 1 << 20, 8 << 20, 8<<20 + 12345} {
		read := make(chan bool)
		u := Serve(t, func(u *Upstream, c *Conn) {
			<-read
			for u.Take(c) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
			}
		})
		p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]"), Cluster("up", u.Port, "per_connection_buffer_limit_bytes: 16384")))
		c := p.Dial()
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n", size))
		sent := make(chan error, 1)
		go func() {
			_, err := c.Conn.Write(bytes.Repeat([]byte("x"), size))
			sent <- err
		}()
		p.WantStat("cluster.up.upstream_rq_total", 1)
		close(read)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		c.Read("POST").Want(t, 200, "ok")
		if n := len(u.Bodies()[0]); n != size {
			t.Errorf("the upstream got %d bytes of %d", n, size)
		}
	}
}
