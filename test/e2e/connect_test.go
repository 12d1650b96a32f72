package e2e

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// connectTo runs a proxy whose one route is for CONNECT.
func connectTo(t *testing.T, u *Upstream, connect string, more ...string) *Proxy {
	t.Helper()
	return Start(t, Bootstrap(HTTPListener("routes: [{match: {connect_matcher: {}}, route: {cluster: up, upgrade_configs: [{upgrade_type: CONNECT"+connect+"}]}}]", more...),
		Cluster("up", u.Port)))
}

const connectHead = "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n"

// says reads that much and holds it against what was expected.
func (c *Conn) says(want string) {
	c.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		c.t.Fatalf("got %q, %v; want %q", b, err, want)
	}
}

// A CONNECT that ends here: its bytes go upstream as they are, both ways, with the end of each side. What the client says ahead of the
// answer is held until the way is open, and is no request (rows 27, 29).
func TestConnectEndsHere(t *testing.T) {
	u := shout(t)
	p := connectTo(t, u, ", connect_config: {}")
	for range 2 { // no connection is used twice
		c := p.Dial()
		c.Send(connectHead + "GET /smuggled HTTP/1.1\r\n\r\n")
		if r := c.Read("CONNECT").Want(t, 200, "server: envoy"); r.Header.Get("content-length") != "" || r.Header.Get("transfer-encoding") != "" || r.Header.Get("connection") != "" {
			t.Errorf("head %q", r.Head)
		}
		c.says("GET /SMUGGLED HTTP/1.1\r\n\r\n")
		c.Send("more")
		c.says("MORE")
		c.Conn.(*net.TCPConn).CloseWrite()
		if rest, _ := c.Rest(); rest != "end" {
			t.Errorf("after our end came %q", rest)
		}
	}
	if n := u.Connections(); n != 2 {
		t.Errorf("%d upstream connections for two tunnels", n)
	}
	p.WantStat("http.http.downstream_cx_upgrades_total", 2)
	p.WantStat("http.http.downstream_cx_upgrades_active", 0)
	p.WantStat("cluster.up.upstream_cx_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_200", 2)
}

func TestConnectCarriesMuch(t *testing.T) {
	u := Serve(t, func(_ *Upstream, c *Conn) { io.Copy(c.Conn, c.r) })
	c := connectTo(t, u, ", connect_config: {}").Dial()
	c.Send(connectHead)
	c.Read("CONNECT").Want(t, 200)
	const size = 16 << 20
	go func() {
		io.Copy(c.Conn, io.LimitReader(zeros{}, size))
		c.Conn.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c.r); n != size || err != nil {
		t.Errorf("got %d bytes of %d back, %v", n, size, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A CONNECT that is forwarded: the upstream decides, and until it has, nothing the client says reaches it.
func TestConnectForwarded(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) {
		head, _ := c.head()
		if c.r.Buffered() != 0 {
			u.t.Errorf("bytes came ahead of the answer to %q", head)
		}
		if !strings.HasPrefix(head, "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n") {
			u.t.Errorf("the upstream was asked %q", head)
		}
		c.Send("HTTP/1.1 200 Fine\r\ncontent-length: 3\r\nx: y\r\n\r\n")
		c.says("early")
		c.Send("late")
		if _, err := c.r.ReadByte(); err != io.EOF {
			u.t.Errorf("the client's end came as %v", err)
		}
	})
	c := connectTo(t, u, "").Dial()
	c.Send(connectHead + "early")
	if r := c.Read("CONNECT").Want(t, 200, "x: y"); r.Header.Get("content-length") != "" {
		t.Errorf("a tunnel has no length: %q", r.Head)
	}
	c.says("late")
	c.Conn.(*net.TCPConn).CloseWrite()
	if rest, _ := c.Rest(); rest != "" {
		t.Errorf("after the tunnel came %q", rest)
	}
}

// Row 29: what was sent ahead of a refusal is dropped with the connection.
func TestConnectThatIsRefused(t *testing.T) {
	u := Answer(t, "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")
	c := connectTo(t, u, "").Dial()
	c.Send(connectHead + "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
	c.Read("CONNECT").Want(t, 403, "no", "connection: close")
	if rest, _ := c.Rest(); rest != "" {
		t.Errorf("after the refusal came %q", rest)
	}
	if n := len(u.Heads()); n != 1 {
		t.Errorf("the upstream got %d requests, want 1", n)
	}
}

func TestConnectWithoutUpstream(t *testing.T) {
	u := shout(t)
	p := connectTo(t, u, ", connect_config: {}")
	u.Stop()
	c := p.Dial()
	c.Send(connectHead)
	c.Read("CONNECT").Want(t, 503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
	p.WantStat("cluster.up.upstream_cx_connect_fail", 1)
	p.WantStat("cluster.up.upstream_cx_active", 0)
}

// A client that is gone takes the tunnel's upstream connection with it, before it stands and after.
func TestConnectThatIsGivenUp(t *testing.T) {
	u := shout(t)
	p := connectTo(t, u, ", connect_config: {}")
	c := p.Dial()
	c.Send(connectHead)
	c.Read("CONNECT").Want(t, 200)
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	p.WantStat("cluster.up.upstream_cx_active", 0)
	p.WantStat("http.http.downstream_cx_active", 0)
}

// Only routes made for it meet CONNECT, only CONNECT meets them, and it must be allowed.
func TestConnectNeedsItsRoute(t *testing.T) {
	p := Routes(t, shout(t), `
- {match: {prefix: /}, direct_response: {status: 204}}
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {prefix: a.}}]}, route: {cluster: up}}`)
	for host, status := range map[string]int{"a.example:443": 403, "b.example:443": 404} {
		c := p.Dial()
		c.Send("CONNECT " + host + " HTTP/1.1\r\nhost: " + host + "\r\n\r\n")
		c.Read("CONNECT").Want(t, status, "connection: close")
	}
	p.Dial().Get("/").Want(t, 204)
	p = connectTo(t, shout(t), "", "upgrade_configs: [{upgrade_type: websocket}]")
	p.Dial().Get("/").Want(t, 404)
}

// The body of a POST goes upstream as it is, and its end with it; what comes back is the body of the answer. The connection of the client
// is one of HTTP before and after.
func TestPostsThatEndHere(t *testing.T) {
	u := shout(t)
	p := Routes(t, u, `- {match: {prefix: /}, route: {cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]}}`)
	c := p.Dial()
	for _, request := range []string{"content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nx-t: 1\r\n\r\n"} {
		c.Send("POST / HTTP/1.1\r\nhost: a.example\r\n" + request)
		if r := c.Read("POST").Want(t, 200, "HELLOend", "server: envoy"); r.Header.Get("connection") != "" {
			t.Errorf("head %q", r.Head)
		}
	}
	c.Send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0\r\n\r\n")
	c.Read("POST").Want(t, 200, "end")
	if n := u.Connections(); n != 3 {
		t.Errorf("%d upstream connections for three tunnels", n)
	}
	p.WantStat("cluster.up.upstream_cx_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_pending_active", 0)
	p.WantStat("cluster.up.upstream_rq_200", 3)
	u.Stop()
	p.Dial().Send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\nhello").Read("POST").Want(t, 503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
	p.WantStat("cluster.up.upstream_rq_pending_failure_eject", 1)
	p.WantStat("cluster.up.upstream_rq_pending_active", 0)
}

func TestPostsCarryMuch(t *testing.T) {
	u := Serve(t, func(_ *Upstream, c *Conn) {
		io.Copy(c.Conn, c.r)
		c.Close()
	})
	c := Routes(t, u, `- {match: {prefix: /}, route: {cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]}}`).Dial()
	const size = 16 << 20
	c.Send("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: " + strconv.Itoa(size) + "\r\n\r\n")
	go io.Copy(c.Conn, io.LimitReader(zeros{}, size))
	if r := c.Read("POST").Want(t, 200); len(r.Body) != size {
		t.Errorf("got %d bytes of %d back", len(r.Body), size)
	}
}
