package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// sources is a proxy whose connections to an upstream seem to come from whom a PROXY header names (original_src). It wants CAP_NET_ADMIN.
func sources(t *testing.T, u *Upstream) *Proxy {
	const filters = `  listener_filters:
  - {name: proxy, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true}}
  - {name: source, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc}}
`
	return Start(t, Bootstrap(strings.Replace(HTTPListener(listens), "  filter_chains:\n", filters+"  filter_chains:\n", 1),
		Cluster("up", u.Port, "circuit_breakers: {thresholds: [{max_connections: 5000, max_pending_requests: 5000, max_requests: 5000}]}")))
}

// seen answers with whom it thinks that it is asked by, and by which of his connections.
func seen(t *testing.T) *Upstream {
	return Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			text := c.RemoteAddr().String()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
		}
	})
}

// as is a client whom a PROXY header names.
func (p *Proxy) as(address string) *Conn {
	family, own := "TCP4", "127.0.0.1"
	if strings.Contains(address, ":") {
		family, own = "TCP6", "::1"
	}
	return p.Dial().Send(fmt.Sprintf("PROXY %s %s %s 1000 80\r\n", family, address, own))
}

// Connections seem to come from the client, are kept for it, and are used for nobody else.
func TestSourcesAreKept(t *testing.T) {
	u := seen(t)
	p := sources(t, u)
	used := map[string]string{} // by the client
	for range 3 {
		for _, client := range []string{"127.0.0.8", "127.0.0.9", ""} {
			c := p.Dial()
			if client != "" {
				c = p.as(client)
			}
			got := c.Get("/").Want(t, 200).Body
			want := client
			if want == "" {
				want = "127.0.0.1" // who names nobody is himself
			}
			if host, _, _ := net.SplitHostPort(got); host != want {
				t.Errorf("%s: the upstream sees %q", want, got)
			}
			if used[client] == "" {
				used[client] = got
			} else if used[client] != got {
				t.Errorf("%s: %q, and before %q: want the connection that it has", want, got, used[client])
			}
			c.Close()
		}
	}
	if n := u.Connections(); n != 3 {
		t.Errorf("%d connections for three clients", n)
	}
	// Of another family than the endpoint nobody can come, and he does not come as somebody else.
	p.as("::1").Get("/").Want(t, 503)
	if n := u.Connections(); n != 3 {
		t.Errorf("%d connections: somebody came all the same", n)
	}
}

// However many clients there are, connections are kept for as many as there is room for: those of who asks for nothing just now go first.
func TestSourcesAreBounded(t *testing.T) {
	const room, more = 1024, 40
	address := func(i int) string { return fmt.Sprintf("127.1.%d.%d", i>>8, i&255) }
	t.Run("idle", func(t *testing.T) {
		p := sources(t, seen(t))
		for i := range room + more {
			c := p.as(address(i))
			if got := c.Get("/").Want(t, 200).Body; !strings.HasPrefix(got, address(i)+":") {
				t.Fatalf("%s is taken for %s", address(i), got)
			}
			c.Close()
		}
		p.WantStat("cluster.up.upstream_cx_pool_overflow", more)
		p.WantStat("cluster.up.upstream_cx_active", room)
	})
	t.Run("in use", func(t *testing.T) {
		p := sources(t, Serve(t, func(u *Upstream, c *Conn) {
			if u.Take(c) {
				u.heldOpen()
			}
		}))
		for i := range room {
			p.as(address(i)).Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		}
		p.WantStat("cluster.up.upstream_rq_active", room)
		p.as(address(room)).Get("/").Want(t, 503)
		p.WantStat("cluster.up.upstream_cx_pool_overflow", 1)
		p.as(address(0)).Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n") // who has room has more
		p.WantStat("cluster.up.upstream_rq_active", room+1)
	})
}
