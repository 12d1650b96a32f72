package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// shout is an upstream that says everything again in upper case, and "end" when the client has said all.
func shout(t *testing.T) *Upstream {
	return Serve(t, func(_ *Upstream, c *Conn) {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Conn.Read(b)
			c.Conn.Write(bytes.ToUpper(b[:n]))
			if err != nil {
				c.Conn.Write([]byte("end")) // in vain if the client has given up: whoever waits for it says so
				return
			}
		}
	})
}

func TestTCPWithHalfClose(t *testing.T) {
	p := TCP(t, shout(t))
	c := p.Dial()
	c.Send("hello ")
	b := make([]byte, 6)
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != "HELLO " {
		t.Fatalf("got %q, %v", b, err)
	}
	c.Send("world ")
	c.Conn.(*net.TCPConn).CloseWrite()
	if rest, err := c.Rest(); rest != "WORLD end" || err != nil {
		t.Errorf("after our end came %q, %v", rest, err)
	}
	p.WantStat("tcp.tcp.downstream_cx_total", 1)
	p.WantStat("cluster.up.upstream_cx_active", 0)
}

// The upstream speaks first, and nobody waits for the client.
func TestTCPServerFirst(t *testing.T) {
	u := Serve(t, func(_ *Upstream, c *Conn) {
		c.Send("220 ready\r\n")
		c.r.ReadString('\n')
	})
	c := TCP(t, u).Dial()
	if line, err := c.r.ReadString('\n'); line != "220 ready\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestTCPCarriesMuchBothWays(t *testing.T) {
	u := Serve(t, func(_ *Upstream, c *Conn) { io.Copy(c.Conn, c.r) })
	c := TCP(t, u).Dial()
	const size = 32 << 20
	go func() {
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		for n := 0; n < size; n += len(chunk) {
			if _, err := c.Conn.Write(chunk); err != nil {
				return
			}
		}
		c.Conn.(*net.TCPConn).CloseWrite()
	}()
	n, err := io.Copy(io.Discard, c.r)
	if n != size || err != nil {
		t.Errorf("got %d bytes of %d back, %v", n, size, err)
	}
}

func TestTCPIdleTimeout(t *testing.T) {
	p := TCP(t, shout(t), "idle_timeout: 0.05s")
	if c := p.Dial(); !c.Closed() {
		t.Error("an idle connection stays open")
	}
	p.WantStat("tcp.tcp.idle_timeout", 1)
}

func TestTCPWithoutUpstream(t *testing.T) {
	u := shout(t)
	p := TCP(t, u, "max_connect_attempts: 3")
	u.Stop()
	if !p.Dial().Closed() {
		t.Error("the connection stays open though there is nobody to carry it to")
	}
	p.WantStat("cluster.up.upstream_cx_connect_fail", 3)
	p.WantStat("cluster.up.upstream_cx_active", 0)
}

func TestTCPWeights(t *testing.T) {
	one := Serve(t, func(_ *Upstream, c *Conn) { c.Send("1") })
	two := Serve(t, func(_ *Upstream, c *Conn) { c.Send("2") })
	p := Start(t, Bootstrap(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: tcp
        weighted_clusters: {clusters: [{name: one, weight: 3}, {name: two, weight: 1}]}
`, Cluster("one", one.Port), Cluster("two", two.Port)))
	count := map[string]int{}
	for range 200 {
		c := p.Dial()
		text, _ := c.Rest()
		count[text]++
		c.Close()
	}
	// 150 expected; six standard deviations of a binomial are 37.
	if n := count["1"]; n < 113 || n > 187 || count["1"]+count["2"] != 200 {
		t.Errorf("shares %v, want about 150 and 50", count)
	}
}

// Unix sockets on both sides, IPv6 on both sides.
func TestUnixSocketsAndIPv6(t *testing.T) {
	dir := t.TempDir()
	for name, address := range map[string]string{
		"unix":     "{pipe: {path: " + filepath.Join(dir, "down") + "}}",
		"abstract": fmt.Sprintf("{pipe: {path: '@weft-test-%s'}}", filepath.Base(dir)),
		"ipv6":     "{socket_address: {address: '::1', port_value: 0}}",
	} {
		t.Run(name, func(t *testing.T) {
			network, listen := "tcp", "[::1]:0"
			if name != "ipv6" {
				network, listen = "unix", filepath.Join(dir, "up-"+name)
			}
			l, err := net.Listen(network, listen)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					b := make([]byte, 4096)
					c.Read(b)
					io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
					c.Close()
				}
			}()
			up := "{pipe: {path: " + listen + "}}"
			if network == "tcp" {
				up = fmt.Sprintf("{socket_address: {address: '::1', port_value: %d}}", l.Addr().(*net.TCPAddr).Port)
			}
			text := Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]"), Cluster("up", 1))
			text = strings.Replace(text, "{socket_address: {address: 127.0.0.1, port_value: 0}}", address, 1)
			text = strings.Replace(text, "{socket_address: {address: 127.0.0.1, port_value: 1}}", up, 1)
			Start(t, text).Dial().Get("/").Want(t, 200, "hi")
		})
	}
}
