package e2e

import (
	"fmt"
	"testing"
)

// original is a cluster "up" that goes where a request's field says, with more of it in YAML.
func original(more string) string {
	return "- {name: up, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true}, " + more + "}"
}

// Endpoints come where requests go, are the same for all loops, and outlive another configuration of their cluster with their connections.
func TestOriginalDestinations(t *testing.T) {
	u, other := Echo(t), Echo(t)
	p := StartLoops(t, 2, Bootstrap(HTTPListener(listens), original("connect_timeout: 5s")))
	ask := func(to string) *Response { return p.Dial().Get("/", "x-envoy-original-dst-host: "+to) }
	for range 20 {
		ask(fmt.Sprintf("127.0.0.1:%d", u.Port)).Want(t, 200)
		ask(fmt.Sprintf("[::ffff:127.0.0.1]:%d", other.Port)).Want(t, 200)
	}
	members := func(n int) {
		t.Helper()
		if got := len(p.Clusters()["up"].Endpoints().All); got != n {
			t.Errorf("%d endpoints, want %d", got, n)
		}
	}
	members(2)
	before := u.Connections()
	if before > 2 {
		t.Errorf("%d connections from two loops", before)
	}
	p.Change(Bootstrap(HTTPListener(listens), original("connect_timeout: 6s")))
	for range 20 {
		ask(fmt.Sprintf("127.0.0.1:%d", u.Port)).Want(t, 200)
	}
	if n := u.Connections(); n > 2 {
		t.Errorf("%d connections after a change that does not concern them, %d before", n, before)
	}
	for _, to := range []string{"", "nowhere", "127.0.0.1", "example.com:80", "fe80::1%lo:80", "[fe80::1%lo]:80", "[::1:80", "127.0.0.1:99999"} {
		ask(to).Want(t, 503, "no healthy upstream")
	}
	p.WantStat("cluster.up.original_dst_host_invalid", 8)
	members(2)
	p.Change(Bootstrap(HTTPListener(listens), original("upstream_bind_config: {source_address: {address: 127.0.0.7, port_value: 0}}")))
	ask(fmt.Sprintf("127.0.0.1:%d", u.Port)).Want(t, 200)
	if n := u.Connections(); n <= before {
		t.Error("a connection of the old kind serves a cluster that connects in another way")
	}
	members(2)
	p.Change(Bootstrap(HTTPListener(listens), Cluster("up", u.Port)))
	ask("127.0.0.1:1").Want(t, 200)
	p.Refresh()
	p.WantStat("cluster.up.membership_total", 1)
}

// A peer may name as many places as it likes and fills no more than the room that there is.
func TestOriginalDestinationsAreBounded(t *testing.T) {
	u := Echo(t)
	p := Start(t, Bootstrap(HTTPListener(listens), original("connect_timeout: 0.001s, cleanup_interval: 1000s")))
	c := p.Dial()
	for i := range 16<<10 + 50 {
		c.Get("/", fmt.Sprintf("x-envoy-original-dst-host: 127.%d.%d.1:1", i>>8&255, i&255))
	}
	if n := p.Stat("cluster.up.original_dst_host_overflow"); n != 50 {
		t.Errorf("%d were too many, want 50", n)
	}
	c.Get("/", fmt.Sprintf("x-envoy-original-dst-host: 127.0.0.1:%d", u.Port)).Want(t, 503)
}

// Those that nobody uses go, and one with a connection stays.
func TestOriginalDestinationsGo(t *testing.T) {
	keeps, closes := Echo(t), Answer(t, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
	p := StartLoops(t, 2, Bootstrap(HTTPListener(listens), original("cleanup_interval: 0.01s")))
	for range 8 {
		p.Dial().Get("/", fmt.Sprintf("x-envoy-original-dst-host: 127.0.0.1:%d", keeps.Port)).Want(t, 200)
		p.Dial().Get("/", fmt.Sprintf("x-envoy-original-dst-host: 127.0.0.1:%d", closes.Port)).Want(t, 200)
	}
	p.Eventually("one endpoint is left", func() bool {
		all := p.Clusters()["up"].Endpoints().All
		return len(all) == 1 && int(all[0].Address().AddrPort.Port()) == keeps.Port
	})
	for range 4 {
		p.Dial().Get("/", fmt.Sprintf("x-envoy-original-dst-host: 127.0.0.1:%d", closes.Port)).Want(t, 200)
	}
}

func TestRequestsToOriginalDestinationsAllocateNothing(t *testing.T) {
	u := plain(t)
	p := Start(t, Bootstrap(HTTPListener(listens), original("cleanup_interval: 1000s")))
	c := p.Dial()
	costNothing(t, c, fmt.Sprintf("GET / HTTP/1.1\r\nhost: a\r\nx-envoy-original-dst-host: 127.0.0.1:%d\r\n\r\n", u.Port))
}
