package netns

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/test/e2e"
)

// says is an upstream that says its name.
func says(t *testing.T, name string) string {
	return e2e.Cluster(name, e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) {
		c.Send(name)
		c.Conn.(*net.TCPConn).CloseWrite()
		c.Rest()
	}).Port)
}

func listener(name, at string, port int, more string) string {
	return fmt.Sprintf(`
- name: %[1]s
  address: {socket_address: {address: %[2]s, port_value: %[3]d}}
  %[4]s
  default_filter_chain:
    filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %[1]s, access_log: [LOG]}}]
`, name, at, port, more)
}

// A connection that the kernel redirected gets the listener at the address that it was going to, or the one at all addresses of the
// port, or the one that took it; and it counts as one to where it was going.
func TestHandOver(t *testing.T) {
	const inspect = `listener_filters: [{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}]`
	log := filepath.Join(t.TempDir(), "log")
	text := e2e.Bootstrap(listener("caught", "0.0.0.0", outbound, "use_original_dst: true")+
		listener("exact", "127.0.0.9", 80, "bind_to_port: false")+
		listener("wild", "0.0.0.0", 80, "bind_to_port: false")+
		listener("looks", "0.0.0.0", 81, "bind_to_port: false\n  "+inspect),
		says(t, "caught"), says(t, "exact"), says(t, "wild"), says(t, "looks"))
	p := e2e.StartLoops(t, 2, strings.ReplaceAll(text, "LOG", `{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+log+`", format: "%DOWNSTREAM_DIRECT_LOCAL_PORT% %DOWNSTREAM_LOCAL_ADDRESS%\n"}}`))
	for _, c := range []struct{ to, want, say string }{
		{"127.0.0.9:80", "exact", ""},
		{"127.0.0.8:80", "wild", ""},
		{"127.0.0.8:81", "looks", "GET / HTTP/1.1\r\n\r\n"},
		{"127.0.0.8:82", "caught", ""},
		{"127.0.0.1:15001", "caught", ""},
	} {
		conn := e2e.Dial(t, c.to).Send(c.say)
		got, _ := conn.Rest()
		conn.Close()
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.to, got, c.want)
		}
		p.Eventually("the log names "+c.to, func() bool {
			b, _ := os.ReadFile(log)
			return strings.HasSuffix(string(b), "15001 "+c.to+"\n")
		})
	}
}

// Where a connection was going is known if it was redirected, or came to a transparent socket; one that came straight to us was going
// nowhere else (hazard 94).
func TestOriginalDestination(t *testing.T) {
	for _, c := range []struct {
		to, want    string
		transparent bool
	}{
		{to: "127.0.0.9:80", want: "127.0.0.9:80"},
		{to: "127.0.0.1:15001", want: "invalid AddrPort"},
		{to: "127.0.0.1:15001", want: "127.0.0.1:15001", transparent: true},
	} {
		lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if c.transparent {
				raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1) })
			}
			return err
		}}
		l, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:15001")
		if err != nil {
			t.Fatal(err)
		}
		e2e.Dial(t, c.to)
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		file, err := conn.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		p := loop.Pending{FD: int(file.Fd())}
		if got := p.OriginalDestination().String(); got != c.want {
			t.Errorf("%s, transparent %t: %s, want %s", c.to, c.transparent, got, c.want)
		}
		file.Close()
		conn.Close()
		l.Close()
	}
}

// A destination decides the chain, as on a sidecar's inbound side, and switches filters off for its port.
func TestChainsByOriginalDestination(t *testing.T) {
	const filters = `listener_filters:
  - {name: original, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
  - {name: http, filter_disabled: {destination_port_range: {start: 80, end: 81}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}
  filter_chains:
`
	chain := func(name, match string) string {
		return fmt.Sprintf(`  - filter_chain_match: {%[2]s}
    filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %[1]s}}]
`, name, match)
	}
	text := listener("other", "0.0.0.0", outbound, filters+chain("first", "destination_port: 80")+chain("http", "destination_port: 81, application_protocols: [http/1.1], transport_protocol: raw_buffer"))
	e2e.Start(t, e2e.Bootstrap(strings.ReplaceAll(text, "access_log: [LOG]", "idle_timeout: 1s"), says(t, "first"), says(t, "http"), says(t, "other")))
	for _, c := range []struct{ to, say, want string }{
		{"127.0.0.8:80", "", "first"}, // nobody waits for the client
		{"127.0.0.8:81", "GET / HTTP/1.1\r\n", "http"},
		{"127.0.0.8:81", "GET / HTTP/1.0\r\n", "other"},
		{"127.0.0.8:82", "hello\r\n", "other"},
	} {
		if got, _ := e2e.Dial(t, c.to).Send(c.say).Rest(); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.to, c.say, got, c.want)
		}
	}
}
