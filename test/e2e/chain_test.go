package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/weftmesh/weft/test/envoy"
)

// named is an upstream for each name, which says its name to whoever connects, as a cluster of that name.
func named(t *testing.T, names ...string) (clusters []string) {
	for _, n := range names {
		u := Serve(t, func(_ *Upstream, c *Conn) {
			c.Send(n)
			c.Conn.(*net.TCPConn).CloseWrite()
			c.Rest()
		})
		clusters = append(clusters, Cluster(n, u.Port))
	}
	return clusters
}

// chainTo is a filter chain that leads to the cluster of its name.
func chainTo(name, match string) string {
	return fmt.Sprintf(`  - name: %[1]s
    filter_chain_match: {%[2]s}
    filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: %[1]s}}]
`, name, match)
}

// chained is a listener on all addresses. more is YAML of it, chains are what chainTo gives.
func chained(more string, chains ...string) string {
	return "- name: l\n  address: {socket_address: {address: 0.0.0.0, port_value: 0}}\n" + indent(2, more) + "\n  filter_chains:\n" + strings.Join(chains, "")
}

// from dials the listener's port at an address of loopback from another one.
func (p *Proxy) from(source, destination string) *Conn {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.Address())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: deadline}
	c, err := d.Dial("tcp", net.JoinHostPort(destination, port))
	if err != nil {
		p.t.Fatal(err)
	}
	return wrap(p.t, c)
}

// Connections meet the chain that asks most particularly for what they are; nobody is kept waiting for a first byte.
func TestChainsByAddress(t *testing.T) {
	p := Start(t, Bootstrap(chained("",
		chainTo("two", "prefix_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]"),
		chainTo("low", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 30}], source_type: EXTERNAL"),
		chainTo("self", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 30}], source_type: SAME_IP_OR_LOOPBACK"),
		chainTo("guest", "source_prefix_ranges: [{address_prefix: 127.9.0.0, prefix_len: 16}]"),
	), named(t, "two", "low", "self", "guest")...))
	for _, c := range []struct{ from, to, chain string }{
		{"127.0.0.1", "127.0.0.2", "two"},
		{"127.9.0.1", "127.0.0.2", "two"},
		{"127.0.0.1", "127.0.0.1", "self"},
		{"127.0.0.3", "127.0.0.3", "self"},
		{"127.0.0.4", "127.0.0.3", "low"},
		{"127.9.0.1", "127.0.0.3", "low"},
		{"127.9.0.1", "127.0.0.9", "guest"},
		{"127.0.0.1", "127.0.0.9", ""},
	} {
		if got, _ := p.from(c.from, c.to).Rest(); got != c.chain {
			t.Errorf("from %s to %s: %q, want %q", c.from, c.to, got, c.chain)
		}
	}
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".no_filter_chain_match", 1)
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_cx_total", 7)
}

func portOf(p *Proxy) string {
	_, port, _ := net.SplitHostPort(p.Address())
	return port
}

// A chain is changed, one is added and one is taken away: the socket stays, and so does every connection of the chains that stay. Those of the others
// are answered once more, since a request may be on its way, by the chain that has taken the place of theirs, and end with that or when none has come for
// the drain timeout.
func TestChainsChangeInPlace(t *testing.T) {
	const hcm = `  - name: %[1]s
    filter_chain_match: {prefix_ranges: [{address_prefix: %[2]s, prefix_len: 32}]}
    filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
        drain_timeout: %[4]s
        route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %[3]s}}}]}]}
        http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`
	listener := func(port string, chains ...string) string {
		return strings.Replace(Bootstrap(chained("", chains...), Cluster("up", 1)), "port_value: 0", "port_value: "+port, 1)
	}
	stays, changes, goes := fmt.Sprintf(hcm, "stays", "127.0.0.1", "stays", "60s"), fmt.Sprintf(hcm, "changes", "127.0.0.2", "before", "60s"), fmt.Sprintf(hcm, "goes", "127.0.0.3", "goes", "0.05s")
	p := StartLoops(t, 2, listener("0", stays, changes, goes))
	one, two, three := p.from("127.0.0.1", "127.0.0.1"), p.from("127.0.0.1", "127.0.0.2"), p.from("127.0.0.1", "127.0.0.3")
	one.Get("/").Want(t, 200, "stays")
	two.Get("/").Want(t, 200, "before")
	three.Get("/").Want(t, 200, "goes")
	fresh := p.from("127.0.0.1", "127.0.0.2") // of which nothing has come yet
	p.WantStat("http.http.downstream_cx_active", 4)

	p.Change(listener("0", fmt.Sprintf(hcm, "new", "127.0.0.4", "new", "60s"), strings.ReplaceAll(changes, "before", "after"), stays))
	one.Get("/").Want(t, 200, "stays")
	for _, c := range []*Conn{two, fresh} {
		r := c.Get("/")
		if r.Want(t, 200, "after"); r.Header.Get("connection") != "close" || !c.Closed() {
			t.Error("a connection of a chain that is gone is not asked to go, or stays")
		}
	}
	if !three.Closed() {
		t.Error("an idle connection of a chain that is gone stays open")
	}
	p.from("127.0.0.1", "127.0.0.2").Get("/").Want(t, 200, "after")
	p.from("127.0.0.1", "127.0.0.4").Get("/").Want(t, 200, "new")
	if !p.from("127.0.0.1", "127.0.0.3").Closed() {
		t.Error("a chain that is gone still takes connections")
	}
	p.WantStat("listener_manager.listener_in_place_updated", 1)
	p.WantStat("listener_manager.listener_modified", 0)
}

// Over HTTP/2 a request that was on its way when its chain, or the whole listener, was replaced is answered as things are now, on the connection that it came
// on, which is then asked to go.
func TestChainsChangeUnderStreams(t *testing.T) {
	listener := func(port, body string) string {
		text := Bootstrap(chained("", fmt.Sprintf(`  - name: web
    filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
        drain_timeout: 0.2s
        server_name: %[1]s
        route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %[1]s}}}]}]}
        http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, body)), Cluster("up", 1))
		return strings.Replace(text, "port_value: 0", "port_value: "+port, 1)
	}
	for name, stat := range map[string]string{"chain": "listener_in_place_updated", "listener": "listener_modified"} {
		t.Run(name, func(t *testing.T) {
			p := StartLoops(t, 2, listener("0", "before"))
			f := DialFrames(t, p.Address())
			body := func(id uint32) string {
				d, ok := f.Next(http2.FrameData, id).(*http2.DataFrame)
				if !ok {
					return "the connection has ended"
				}
				return string(d.Data())
			}
			f.Head(1, true, Get("/")...)
			if got := body(1); got != "before" {
				t.Fatal(got)
			}
			changed := listener("0", "after")
			if name == "listener" { // another address, which is the same
				changed = listener(portOf(p), "after")
			}
			p.Change(changed)
			f.Head(3, true, Get("/")...) // without having looked whether we are asked to go
			if got := body(3); got != "after" {
				t.Error(got)
			}
			if f.Next(http2.FrameGoAway, 0); f.Next(http2.FrameData, 99) != nil {
				t.Error("the connection stays")
			}
			p.WantStat("listener_manager."+stat, 1)
		})
	}
}

// clientHello is what Go's TLS says first; its records hold size bytes at most.
func clientHello(t testing.TB, size int, name string, protocols ...string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(ours, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: name == ""}).Handshake()
	}()
	defer ours.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(theirs, head); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(theirs, message); err != nil {
		t.Fatal(err)
	}
	var b []byte
	for part := range slices.Chunk(message, size) {
		b = append(append(b, head[0], head[1], head[2], byte(len(part)>>8), byte(len(part))), part...)
	}
	return string(b)
}

const listenerFilter = `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.`

const (
	inspectTLS  = listenerFilter + `tls_inspector.v3.TlsInspector}}`
	inspectHTTP = listenerFilter + `http_inspector.v3.HttpInspector}}`
)

// What a sidecar's inbound listener looks like, and more.
var chainSet = []string{
	chainTo("plain", "transport_protocol: raw_buffer"),
	chainTo("http", "transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c]"),
	chainTo("tls", "transport_protocol: tls"),
	chainTo("istio", "transport_protocol: tls, application_protocols: [istio, istio-h2]"),
	chainTo("name", `server_names: [a.example, "*.a.example"]`),
	chainTo("deep", `server_names: ["*.b.a.example"], transport_protocol: tls, application_protocols: [h2]`),
	chainTo("exact", `server_names: [x.b.a.example], prefix_ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}]`),
	chainTo("guest", "source_prefix_ranges: [{address_prefix: 127.9.0.0, prefix_len: 16}], prefix_ranges: [{address_prefix: 127.0.0.7, prefix_len: 32}]"),
	chainTo("port", "source_type: SAME_IP_OR_LOOPBACK, prefix_ranges: [{address_prefix: 127.0.0.7, prefix_len: 32}]"),
}

var chainNames = []string{"plain", "http", "tls", "istio", "name", "deep", "exact", "guest", "port"}

// chainCases are connections and the chains that both we and Envoy give them.
var chainCases = []struct {
	name, from, to string
	say            func(testing.TB) string
	want           string
}{
	{"text", "127.0.0.1", "127.0.0.2", say("hello\r\n"), "plain"},
	{"http", "127.0.0.1", "127.0.0.2", say("GET / HTTP/1.1\r\n"), "http"},
	{"http/1.0", "127.0.0.1", "127.0.0.2", say("GET / HTTP/1.0\r\n"), "plain"},
	{"http/2", "127.0.0.1", "127.0.0.2", say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http"},
	{"tls", "127.0.0.1", "127.0.0.2", greeting(1<<14, ""), "tls"},
	{"protocol", "127.0.0.1", "127.0.0.2", greeting(1<<14, "", "h2", "istio"), "istio"},
	{"unknown name", "127.0.0.1", "127.0.0.2", greeting(1<<14, "z.example", "istio"), "istio"},
	{"name", "127.0.0.1", "127.0.0.2", greeting(1<<14, "a.example", "istio"), "name"},
	{"name in upper case", "127.0.0.1", "127.0.0.2", greeting(1<<14, "A.EXAMPLE"), "name"},
	{"end of a name", "127.0.0.1", "127.0.0.2", greeting(1<<14, "c.c.a.example"), "name"},
	{"longer end of a name", "127.0.0.1", "127.0.0.2", greeting(1<<14, "c.b.a.example", "h2"), "deep"},
	{"no way back from a longer end", "127.0.0.1", "127.0.0.2", greeting(1<<14, "c.b.a.example", "http/1.1"), ""},
	{"small records", "127.0.0.1", "127.0.0.2", greeting(7, "a.example"), "name"},
	{"a byte a record", "127.0.0.1", "127.0.0.2", greeting(1, "a.example"), "name"},
	{"address before name", "127.0.0.1", "127.0.0.1", greeting(1<<14, "x.b.a.example", "h2"), "exact"},
	{"no way back from an address", "127.0.0.1", "127.0.0.1", greeting(1<<14, "y.b.a.example", "h2"), ""},
	{"guest", "127.9.0.1", "127.0.0.7", say("hello\r\n"), "guest"},
	{"loopback", "127.0.0.1", "127.0.0.7", say("hello\r\n"), "port"},
	{"itself", "127.0.0.7", "127.0.0.7", say("hello\r\n"), "port"},
	{"another", "127.0.0.2", "127.0.0.7", say("hello\r\n"), ""},
}

func say(text string) func(testing.TB) string { return func(testing.TB) string { return text } }

func greeting(size int, name string, protocols ...string) func(testing.TB) string {
	return func(t testing.TB) string { return clientHello(t, size, name, protocols...) }
}

// meets is the chain that a case's connection meets at a port.
func meets(t testing.TB, port string, i int) string {
	c := chainCases[i]
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.from)}, Timeout: deadline}
	conn, err := d.Dial("tcp", net.JoinHostPort(c.to, port))
	if err != nil {
		t.Fatal(err)
	}
	w := wrap(t, conn).Send(c.say(t))
	got, _ := w.Rest()
	w.Close()
	return got
}

func TestChainsByFirstBytes(t *testing.T) {
	p := Start(t, Bootstrap(chained("listener_filters: ["+inspectTLS+", "+inspectHTTP+"]", chainSet...), named(t, chainNames...)...))
	for i, c := range chainCases {
		if got := meets(t, portOf(p), i); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	p.WantStat("http_inspector.http11_found", 1)
	p.WantStat("http_inspector.http2_found", 1)
	p.WantStat("tls_inspector.tls_found", 12)
	p.WantStat("tls_inspector.alpn_not_found", 5)
	p.WantStat("tls_inspector.sni_found", 10)
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_pre_cx_active", 0)
	// A first byte at a time.
	c := p.from("127.0.0.1", "127.0.0.2")
	for _, b := range []byte(clientHello(t, 100, "a.example")) {
		c.Send(string([]byte{b}))
	}
	if got, _ := c.Rest(); got != "name" {
		t.Errorf("byte by byte: %q", got)
	}
}

// The real Envoy gives each connection the same chain.
func TestChainsAsEnvoy(t *testing.T) {
	port := asEnvoy(t, Bootstrap(chained("listener_filters: ["+inspectTLS+", "+inspectHTTP+"]", chainSet...), named(t, chainNames...)...))
	for i, c := range chainCases {
		if got := meets(t, port, i); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// asEnvoy runs the real Envoy with what chained gives, and says where it listens.
func asEnvoy(t *testing.T, text string) (port string) {
	free, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port = strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	startEnvoy(t, strings.Replace(text, "address: 0.0.0.0, port_value: 0", "address: 0.0.0.0, port_value: "+port, 1), "127.0.0.1:"+port)
	return port
}

// proxyCases are first bytes and the chains that both we and Envoy give to connections that begin with them.
var proxyCases = []struct{ say, want string }{
	{"PROXY TCP4 10.1.1.1 127.0.0.8 1234 80\r\n", "source"},
	{"PROXY TCP4 10.1.1.1 127.0.0.9 1234 80\r\n", "destination"},
	{"PROXY TCP4 10.2.1.1 127.0.0.8 1234 80\r\n", "direct"},
	{"PROXY TCP4 10.2.1.1 127.0.0.8 1234 81\r\n", "port"},
	{"PROXY TCP6 2001::1 2001::2 1 80\r\n", "direct"},
	{"PROXY UNKNOWN\r\n", "direct"},
	{"PROXY TCP4 10.1.1 127.0.0.9 1234 80\r\n", ""},
	{"PROXY TCP4 10.1.1.1 127.0.0.9 1234 99999\r\n", ""},
	{"PROXY UDP4 10.1.1.1 127.0.0.9 1234 80\r\n", ""},
	{"GET / HTTP/1.1\r\n", ""},
	{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x01\x01\x7f\x00\x00\x09\x04\xd2\x00\x50", "destination"},
	{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10\x0a\x01\x01\x01\x7f\x00\x00\x09\x04\xd2\x00\x50\x02\x00\x01a", "destination"},
	{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10\x0a\x01\x01\x01\x7f\x00\x00\x09\x04\xd2\x00\x50\x02\x00\x09a", ""},
	{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "direct"},
	{"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00", ""},
	{"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x0c\x0a\x01\x01\x01\x7f\x00\x00\x09\x04\xd2\x00\x50", ""},
}

func TestProxyProtocol(t *testing.T) {
	text := Bootstrap(chained(`listener_filters: [`+listenerFilter+`proxy_protocol.v3.ProxyProtocol}}]`,
		chainTo("source", "source_prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}], source_ports: [1234], direct_source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]"),
		chainTo("destination", "prefix_ranges: [{address_prefix: 127.0.0.9, prefix_len: 32}]"),
		chainTo("port", "destination_port: 81"),
		chainTo("direct", "direct_source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]"),
	), named(t, "source", "destination", "port", "direct")...)
	p := Start(t, text)
	theirs := asEnvoy(t, text)
	for _, c := range proxyCases {
		for who, port := range map[string]string{"we": portOf(p), "Envoy": theirs} {
			if got, _ := Dial(t, "127.0.0.1:"+port).Send(c.say).Rest(); got != c.want {
				t.Errorf("%q: %s: %q, want %q", c.say, who, got, c.want)
			}
		}
	}
	p.WantStat("proxy_proto.versions.v1.found", 6)
	p.WantStat("proxy_proto.versions.v1.error", 3)
	p.WantStat("proxy_proto.versions.v2.found", 3)
	p.WantStat("proxy_proto.versions.v2.error", 3)
	p.WantStat("proxy_proto.not_found_disallowed", 1)
}

// Who a connection is from is who the proxy says it is, to whoever asks; the header is gone, and what comes with it is not lost.
func TestProxyProtocolBeforeHTTP(t *testing.T) {
	u := Echo(t)
	text := Bootstrap(HTTPListener(All, "use_remote_address: true"), Cluster("up", u.Port))
	text = strings.Replace(text, "  filter_chains:", "  listener_filters: ["+listenerFilter+"proxy_protocol.v3.ProxyProtocol}}, "+inspectHTTP+"]\n    filter_chains:", 1)
	c := Start(t, text).Dial()
	for _, b := range []byte("PROXY TCP4 10.1.1.1 10.1.1.2 1234 80\r\nGET") {
		c.Send(string([]byte{b}))
	}
	c.Send(" /a HTTP/1.1\r\nhost: a\r\n\r\n")
	if r := c.Read("GET").Want(t, 200); !strings.HasPrefix(r.Body, "GET /a HTTP/1.1\r\n") || !strings.Contains(r.Body, "x-forwarded-for: 10.1.1.1\r\n") {
		t.Errorf("the upstream got %s", r.Body)
	}
	c.Get("/b").Want(t, 200)
}

// startEnvoy runs the real Envoy with a bootstrap in YAML until the test ends, and waits for it to listen at an address.
func startEnvoy(t testing.TB, text, address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, envoy.Binary(t), "--disable-hot-restart", "--concurrency", "1", "-l", "error", "-c", file)
	var log lockedBuffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); c.Wait() })
	end := time.Now().Add(60 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("Envoy does not listen:\n%s", log.String())
		}
	}
}

// Nobody says anything before the server does, and the inspectors are off for such ports, or their time is over.
func TestServerFirstPastInspectors(t *testing.T) {
	off := `{name: x, filter_disabled: {not_match: {destination_port_range: {start: 1, end: 2}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.`
	p := Start(t, Bootstrap(chained("listener_filters: ["+strings.Replace(inspectTLS+", "+inspectHTTP, listenerFilter, off, 2)+"]", chainTo("plain", "")), named(t, "plain")...))
	if got, _ := p.from("127.0.0.1", "127.0.0.1").Rest(); got != "plain" {
		t.Errorf("inspectors are off: %q", got)
	}
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_pre_cx_timeout", 0)

	p = Start(t, Bootstrap(chained("listener_filters: ["+inspectTLS+"]\nlistener_filters_timeout: 0.05s\ncontinue_on_listener_filters_timeout: true", chainTo("plain", "")), named(t, "plain")...))
	if got, _ := p.from("127.0.0.1", "127.0.0.1").Rest(); got != "plain" {
		t.Errorf("the time is over: %q", got)
	}
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_pre_cx_timeout", 1)

	p = Start(t, Bootstrap(chained("listener_filters: ["+inspectTLS+"]\nlistener_filters_timeout: 0.05s", chainTo("plain", "")), named(t, "plain")...))
	c := p.from("127.0.0.1", "127.0.0.1")
	if got, _ := c.Rest(); got != "" {
		t.Errorf("the time is over, and that ends it: %q", got)
	}
	p.WantStat("listener.0.0.0.0_"+portOf(p)+".downstream_pre_cx_timeout", 1)
}

// A client that leaves, and a listener that goes, while first bytes are awaited.
func TestWaitingForFirstBytesEnds(t *testing.T) {
	text := Bootstrap(chained("stat_prefix: l\nlistener_filters: ["+inspectTLS+"]\nlistener_filters_timeout: 0s", chainTo("plain", "")), named(t, "plain")...)
	p := StartLoops(t, 2, text)
	c := p.from("127.0.0.1", "127.0.0.1").Send("\x16")
	p.WantStat("listener.l.downstream_pre_cx_active", 1)
	if n := p.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	c.Close()
	p.WantStat("listener.l.downstream_pre_cx_active", 0)
	p.WantStat("listener.l.downstream_listener_filter_remote_close", 1)
	c = p.from("127.0.0.1", "127.0.0.1").Send("\x16\x03")
	other := p.from("127.0.0.1", "127.0.0.1").Send("\x16")
	p.WantStat("listener.l.downstream_pre_cx_active", 2)
	p.CloseListeners(false)
	if got, _ := other.Send("!").Rest(); got != "plain" {
		t.Errorf("nobody new is let in, and somebody who was there hears %q", got)
	}
	p.Change("static_resources: {}")
	if !c.Closed() {
		t.Error("the connection stays though nobody knows what for")
	}
	p.WantStat("listener.l.downstream_pre_cx_active", 0)
}

const networkFilter = `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.`

// answers is a listener whose one chain has these network filters.
func answers(filters ...string) string {
	return "- name: l\n  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n  filter_chains: [{filters: [" + strings.Join(filters, ", ") + "]}]"
}

func TestEchoAndDirectResponse(t *testing.T) {
	p := Start(t, Bootstrap(answers(networkFilter+"echo.v3.Echo}}"), Cluster("up", 1)))
	c := p.Dial().Send(strings.Repeat("abc", 1<<16))
	c.Conn.(*net.TCPConn).CloseWrite()
	if got, err := c.Rest(); got != strings.Repeat("abc", 1<<16) || err != nil {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	p = Start(t, Bootstrap(answers(networkFilter+"direct_response.v3.Config, response: {inline_string: hello}}}"), Cluster("up", 1)))
	if got, err := p.Dial().Send("who is there?").Rest(); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	p.Eventually("nobody is left", func() bool { return p.Connections() == 0 })
}

// As many connections are let in as may be, over all loops, and the next ones as soon as somebody leaves.
func TestConnectionLimit(t *testing.T) {
	p := StartLoops(t, 4, Bootstrap(answers(networkFilter+"connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 3}}", networkFilter+"echo.v3.Echo}}"), Cluster("up", 1)))
	var in []*Conn
	for range 20 {
		c := p.Dial()
		c.Conn.Write([]byte("x")) // may fail: the connection may be gone
		if b := make([]byte, 1); c.reads(b) {
			in = append(in, c)
		}
	}
	if len(in) != 3 {
		t.Fatalf("%d are let in", len(in))
	}
	p.WantStat("connection_limit.c.active_connections", 3)
	p.WantStat("connection_limit.c.limited_connections", 17)
	in[0].Close()
	p.WantStat("connection_limit.c.active_connections", 2)
	if c := p.Dial().Send("x"); !c.reads(make([]byte, 1)) {
		t.Error("nobody is let in though one has left")
	}
}

// What is set of a connection is there for each exchange, which changes it for itself only, and for the log of TCP.
func TestConnectionState(t *testing.T) {
	set := func(key, text string) string {
		return "{object_key: " + key + `, factory_key: envoy.string, skip_if_empty: true, format_string: {omit_empty_values: true, text_format_source: {inline_string: "` + text + `"}}}`
	}
	state := `- {name: state, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [` +
		set("k", "%PROTOCOL%conn %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%") + ", " + set("j", "j-%FILTER_STATE(k:PLAIN)%") + ", " + set("none", "%PROTOCOL%") + "]}}\n    "
	const manager, all = "- name: envoy.filters.network.http_connection_manager", `routes: [{match: {prefix: /}, route: {cluster: up}}]
response_headers_to_add: [{header: {key: x-state, value: "%FILTER_STATE(k:PLAIN)%, %FILTER_STATE(j:PLAIN)%, %FILTER_STATE(none:PLAIN)%"}}]`
	u := Echo(t)
	text := WithFilters(HTTPListener(all), Filter("own", "set_filter_state.v3.Config", "on_request_headers: ["+set("k", "%REQ(x-own)%")+"]"))
	c := Start(t, Bootstrap(strings.Replace(text, manager, state+manager, 1), Cluster("up", u.Port))).Dial()
	c.Get("/").Want(t, 200, "x-state: conn 127.0.0.1, j-conn 127.0.0.1,")
	c.Get("/", "x-own: mine").Want(t, 200, "x-state: mine, j-conn 127.0.0.1,")
	c.Get("/").Want(t, 200, "x-state: conn 127.0.0.1, j-conn 127.0.0.1,")

	log := filepath.Join(t.TempDir(), "log")
	p := Start(t, Bootstrap("- name: l\n  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n  filter_chains:\n  - filters:\n    "+state+
		"- "+networkFilter+"tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, access_log: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "+log+`, log_format: {text_format_source: {inline_string: "%FILTER_STATE(j:PLAIN)%\n"}}}}]}}`, Cluster("up", u.Port)))
	d := p.Dial()
	d.Get("/").Want(t, 200)
	d.Close()
	p.Eventually("the connection is logged", func() bool {
		b, _ := os.ReadFile(log)
		return string(b) == "j-conn 127.0.0.1\n"
	})
}

// lets counts how many of that many connections get an answer.
func (p *Proxy) lets(n int) (in int) {
	for range n {
		c := p.Dial()
		c.Conn.Write([]byte("x")) // may fail: the connection may be gone
		if c.reads(make([]byte, 1)) {
			in++
		}
		c.Close()
	}
	return in
}

// Connections take tokens of one bucket over all loops, which a new configuration does not fill; who has the same key and rate shares it.
func TestConnectionRate(t *testing.T) {
	// An address of its own: who tries ports of 127.0.0.1 meanwhile, as other tests do until their servers are up, would take a token.
	text := func(limit, last string) string {
		listeners := answers(networkFilter+"local_ratelimit.v3.LocalRateLimit, stat_prefix: c, "+limit+"}}", networkFilter+last+"}}")
		return Bootstrap(strings.ReplaceAll(listeners, "127.0.0.1", "127.0.0.9"), Cluster("up", 1))
	}
	const echo = "echo.v3.Echo"
	const ten = "token_bucket: {max_tokens: 10, fill_interval: 3600s}"
	p := StartLoops(t, 4, text(ten, echo))
	if n := p.lets(15); n != 10 {
		t.Errorf("%d are let in", n)
	}
	p.WantStat("local_rate_limit.c.rate_limited", 5)
	p.Change(text(ten, "direct_response.v3.Config, response: {inline_string: hello}"))
	if n := p.lets(5); n != 0 {
		t.Errorf("%d are let in by a new configuration of an empty bucket", n)
	}
	p = StartLoops(t, 4, text(ten+", share_key: k}}, "+networkFilter+"local_ratelimit.v3.LocalRateLimit, stat_prefix: d, share_key: k, "+ten, echo))
	if n := p.lets(15); n != 5 {
		t.Errorf("%d are let in by two that share", n)
	}
	if n := StartLoops(t, 1, text(ten+", runtime_enabled: {default_value: false}", echo)).lets(15); n != 15 {
		t.Errorf("%d are let in by one that is off", n)
	}
}

func (c *Conn) reads(b []byte) bool {
	_, err := io.ReadFull(c.r, b)
	return err == nil
}

// The name that a TLS client asks for is the name of a cluster; where it asks for none the configured one stands.
func TestClusterByServerName(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := chained("listener_filters: ["+inspectTLS+"]", strings.Replace(chainTo("plain", ""), "filters: [", "filters: ["+networkFilter+"sni_cluster.v3.SniCluster}}, ", 1))
	text = strings.Replace(text, "stat_prefix: t,", `stat_prefix: t, access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+log+`", format: "%REQUESTED_SERVER_NAME%\n"}}],`, 1)
	p := Start(t, Bootstrap(text, named(t, "plain", "a.example")...))
	for name, want := range map[string]string{"": "plain", "a.example": "a.example", "b.example": ""} {
		c := p.from("127.0.0.1", "127.0.0.1").Send(clientHello(t, 1<<14, name))
		if got, _ := c.Rest(); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		c.Close()
	}
	p.WantStat("tcp.t.downstream_cx_no_route", 1)
	p.Eventually("the names are logged", func() bool {
		b, _ := os.ReadFile(log)
		return slices.Equal(slices.Sorted(slices.Values(strings.Fields(string(b)))), []string{"-", "a.example", "b.example"})
	})
}

// A listener at several addresses serves all of them, and keeps its sockets when something about it changes that is not about them.
func TestAdditionalAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	text := "- name: l\n  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n" +
		"  additional_addresses: [{address: {pipe: {path: " + path + "}}}]\n  stat_prefix: one\n" +
		"  filter_chains: [{filters: [" + networkFilter + "direct_response.v3.Config, response: {inline_string: hello}}}]}]"
	p := StartLoops(t, 2, Bootstrap(text, Cluster("up", 1)))
	at := p.Address()
	for range 2 {
		for _, address := range []string{at, path} {
			if got, _ := Dial(t, address).Rest(); got != "hello" {
				t.Errorf("at %s: %q", address, got)
			}
		}
		p.Change(Bootstrap(strings.Replace(text, "stat_prefix: one", "stat_prefix: two", 1), Cluster("up", 1)))
		if now := p.Address(); now != at {
			t.Errorf("the listener has moved from %s to %s", at, now)
		}
	}
	p.WantStat("listener.two.downstream_cx_total", 2)
}
