package fields

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/test/e2e"
)

// page is a page of the admin listener.
func page(path string) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		s, err := admin.Listen(config.Address{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, admin.View{Stats: w.stats, Refresh: w.Refresh, Clusters: w.Clusters,
			Listeners: w.Listeners, Ready: w.State, Log: func(*accesslog.Entry) {}}, slog.New(slog.DiscardHandler))
		if err != nil {
			w.t.Fatal(err)
		}
		defer s.Close()
		r := e2e.Dial(w.t, s.Address.String()).Get(path, "connection: close")
		return r.Body
	}
}

func line(name string) func(*world) string {
	return func(w *world) string {
		for l := range strings.Lines(page("/clusters")(w)) {
			if _, v, ok := strings.Cut(l, "::"+name+"::"); ok {
				return strings.TrimSpace(v)
			}
		}
		return "-"
	}
}

// everywhere answers on every address of loopback with the address that it was asked at; /hang is not answered.
func everywhere(t testing.TB) *e2e.Upstream {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan bool)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-stop
			return
		}
		host, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		io.WriteString(w, host)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() { close(stop); s.CloseClientConnections(); s.Close() })
	return &e2e.Upstream{Port: l.Addr().(*net.TCPAddr).Port}
}

// hosts asks that often, while one request hangs if so told, and gives what each of the two was asked.
func hosts(w *world, n int, hang bool) (counts map[string]int, order string) {
	if hang {
		w.dial().Send(raw("GET /hang"))
		w.eventually("a request that hangs", func() bool { return w.stat("cluster.up.upstream_rq_active") == 1 })
	}
	c := w.dial()
	counts = map[string]int{"127.0.0.1": 0, "127.0.0.2": 0}
	for range n {
		host := c.Get("/").Body
		counts[host]++
		order += host[len(host)-1:]
	}
	return counts, order
}

func fewer(w *world) string {
	counts, _ := hosts(w, 200, true)
	return fmt.Sprint(min(counts["127.0.0.1"], counts["127.0.0.2"]) < 15)
}

func twoHosts(piece string) string {
	const at = "endpoint: {address: {socket_address: {port_value: @PORT@, address: 127.0.0."
	weights := ""
	if before, after, ok := strings.Cut(piece, "weight "); ok {
		piece, weights = before, "load_balancing_weight: "+after+", "
	}
	return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, "+piece+" load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{"+weights+at+"1}}}}, {"+at+"2}}}}]}]}}")
}

// full is a port whose queue is full, so that a connection to it is never made.
func full(t testing.TB) *e2e.Upstream {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
			err = unix.Listen(fd, 0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := sa.(*unix.SockaddrInet4).Port
	for range 8 {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), 100*time.Millisecond)
		if err != nil {
			return &e2e.Upstream{Port: port}
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue is not full")
	return nil
}

// deaf takes connections and never reads from them.
func deaf(t testing.TB) *e2e.Upstream {
	stop := make(chan bool)
	u := e2e.Serve(t, func(*e2e.Upstream, *e2e.Conn) { <-stop })
	t.Cleanup(func() { close(stop) })
	return u
}

// socketOf finds the socket of this process with that address of its own (or, for remote, of its peer), and reads an option of it.
func socketOf(at string, remote bool, level, option int) string {
	host, anyPort := strings.CutSuffix(at, ":*")
	if anyPort {
		at = host + ":0"
	}
	want := netip.MustParseAddrPort(at)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		name := unix.Getsockname
		if remote {
			name = unix.Getpeername
		}
		sa, err := name(fd)
		in, ok := sa.(*unix.SockaddrInet4)
		if err != nil || !ok || netip.AddrFrom4(in.Addr) != want.Addr() || !anyPort && uint16(in.Port) != want.Port() {
			continue
		}
		if !remote {
			if listens, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listens == 0 {
				continue
			}
		}
		if option == unix.TCP_INFO && level == unix.IPPROTO_TCP {
			info, err := unix.GetsockoptTCPInfo(fd, level, option)
			if err != nil {
				continue
			}
			return fmt.Sprint(info.Sacked) // of a listening socket: the length of its queue
		}
		if v, err := unix.GetsockoptInt(fd, level, option); err == nil {
			return fmt.Sprint(v)
		}
	}
	return "no such socket"
}

func listening(level, option int) func(*world) string {
	return func(w *world) string {
		if w.err != nil {
			return "refused"
		}
		return socketOf(w.address(), false, level, option)
	}
}

func connected(option int) func(*world) string { return connectedAt(unix.IPPROTO_TCP, option) }

func connectedAt(level, option int) func(*world) string {
	return func(w *world) string {
		look("GET /", "status")(w)
		return socketOf(fmt.Sprintf("127.0.0.1:%d", w.up.Port), true, level, option)
	}
}

// peer answers with the address that it was asked from.
func peer(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(host), host)
		}
	})
}

func binds(piece string) string { return cluster("") + "\n" + piece }

func (w *world) address() string {
	for _, a := range w.Addresses() {
		return a.String()
	}
	return ""
}

// listens is how many sockets listen on the one port.
func listens(w *world) string {
	b, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(strings.Count(string(b), fmt.Sprintf("0100007F:%04X 00000000:0000 0A", netip.MustParseAddrPort(w.address()).Port())))
}

// twice is how many connections the upstream gets from two requests in a row.
func twice(w *world) string {
	c := w.dial()
	for range 2 {
		c.Get("/").Want(w.t, 200)
	}
	return fmt.Sprint(w.up.Connections())
}

// both is which comes first for two requests at once that are not answered: a second connection, or a wait for the first.
func both(w *world) string {
	for range 2 {
		w.dial().Send(raw("GET /"))
	}
	out := ""
	w.eventually("two connections or one", func() bool {
		switch {
		case w.stat("cluster.up.upstream_cx_overflow") == 1:
			out = "overflow"
		case w.stat("cluster.up.upstream_cx_total") == 2:
			out = "two"
		}
		return out != ""
	})
	return out
}

const bulk = 24 << 20

// upload is which comes first: the client has sent all, or the proxy holds it back.
func upload(w *world) string {
	c := w.dial()
	done := make(chan bool)
	go func() {
		defer close(done)
		io.WriteString(c.Conn, fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n", bulk))
		io.Copy(c.Conn, bytes.NewReader(make([]byte, bulk)))
	}()
	defer func() { c.Close(); <-done }()
	out := ""
	w.eventually("an upload", func() bool {
		select {
		case <-done:
			out = "all"
		default:
			if w.stat("cluster.up.upstream_flow_control_backed_up_total") > 0 {
				out = "held"
			}
		}
		return out != ""
	})
	return out
}

// download is the same for an answer that the client does not read.
func download(w *world) string {
	w.dial().Send(raw("GET /"))
	out := ""
	w.eventually("a download", func() bool {
		switch {
		case w.stat("cluster.up.upstream_flow_control_paused_reading_total") > 0:
			out = "held"
		case w.stat("cluster.up.upstream_cx_rx_bytes_total") >= bulk:
			out = "all"
		}
		return out != ""
	})
	return out
}

var large = answer(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", bulk) + strings.Repeat("x", bulk))

// greets answers each "hi".
func greets(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) {
		b := make([]byte, 2)
		for {
			if _, err := io.ReadFull(c.Conn, b); err != nil {
				return
			}
			io.WriteString(c.Conn, "hello\r\n")
		}
	})
}

// greeted says hi, hears the answer, and then what becomes of the connection.
func greeted(w *world) string {
	c := w.dial()
	c.Send("hi")
	first := hears(c.Conn)
	return first + "|" + hears(c.Conn)
}

func mode(w *world) string {
	i, err := os.Stat(filepath.Join(w.dir, "s"))
	if err != nil {
		w.t.Fatal(err)
	}
	return i.Mode().Perm().String()
}

const (
	file  = "path_config_source: {path: \"@DIR@/"
	keep  = "upstream_connection_options: {tcp_keepalive: {"
	trail = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: v\r\n\r\n"
)

const routesFile = "resources:\n- \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  name: local"

const served1 = "resources:\n- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: NAME\n  endpoints: [{lb_endpoints: [{" + here + "}]}]"

var (
	someone = strings.Replace(served1, "NAME", "up", 1)
	nobody  = "resources:\n- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: up"
)

func eds(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, "+piece+"}")
}

func source(piece string) string {
	return eds("type: EDS, eds_cluster_config: {eds_config: {" + piece + "}}")
}

func rds(piece string) string {
	text := hcm("")
	at, end := strings.Index(text, "          route_config:"), strings.Index(text, "          http_filters:")
	return text[:at] + "          rds: {config_source: {path_config_source: {path: \"@DIR@/piece.yaml\"}}, " + piece + "}\n" + text[end:]
}

func rdsLocal(string) string { return rds("route_config_name: local") }

func edsPiece(string) string { return source(file + "piece.yaml\"}") }

func thresholds(piece string) string {
	return cluster("circuit_breakers: {thresholds: [{" + piece + "}]}")
}

func chainOf(piece string) string {
	if piece == "default" {
		return replaced(direct("status: 202"), "    filter_chains:\n    - filters:", "    default_filter_chain:\n      filters:")
	}
	return direct("status: 200")
}

// matched is a chain that answers 200 to what it matches; what it does not gets 202 from the default chain.
func matched(piece string) string {
	text := replaced(direct("status: 200"), "    - filters:", "    - filter_chain_match: {"+piece+"}\n      filters:")
	_, chain, _ := strings.Cut(replaced(direct("status: 202"), "    filter_chains:\n    - filters:", "CUT    default_filter_chain:\n      filters:"), "CUT")
	chain, _, _ = strings.Cut(chain, "  clusters:")
	return replaced(text, "  clusters:", chain+"  clusters:")
}

const (
	httpInspector = `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}`
	tlsInspector  = `listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector`
)

// proxied takes headers of the PROXY protocol; connections from 10.1.1.1 get 200, others 202.
func proxied(piece string) string {
	const chains = "    filter_chains:\n"
	return replaced(matched(ranges("source_prefix_ranges", "10.1.1.1", 32)), chains,
		`    listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, `+piece+"}}]\n"+chains)
}

// livesApart tells whether connections that nobody uses live for different times: twenty live as long as one another, or, with jitter, up
// to twice as long.
func livesApart(w *world) string {
	var lives [20]time.Duration
	var all sync.WaitGroup
	for i := range lives {
		began, c := time.Now(), w.dial()
		all.Go(func() {
			for hears(c.Conn) == "hello" {
			}
			lives[i] = time.Since(began)
		})
	}
	all.Wait()
	return fmt.Sprint(slices.Max(lives[:])-slices.Min(lives[:]) > 80*time.Millisecond)
}

const proxy1 = "PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"

// matchedBy is a piece of a listener with a chain for HTTP/1.1 that answers 200; all else gets 202.
func matchedBy(piece string) string {
	const chains = "    filter_chains:\n"
	return replaced(matched("transport_protocol: raw_buffer, application_protocols: [http/1.1]"), chains, "    "+strings.ReplaceAll(piece, "\n", "\n    ")+"\n"+chains)
}

// matchedFirst is matched behind an inspector for HTTP.
func matchedFirst(piece string) string {
	const chains = "    filter_chains:\n"
	return replaced(matched(piece), chains, "    listener_filters: ["+httpInspector+"}]\n"+chains)
}

// unless has the inspector for HTTP look at connections that do not meet a condition.
func unless(condition string) string {
	return "listener_filters: [" + httpInspector + ", filter_disabled: {" + condition + "}}]"
}

// sole is the one chain of a listener; what it does not match is closed.
func sole(piece string) string {
	return replaced(direct("status: 200"), "    - filters:", "    - filter_chain_match: {"+piece+"}\n      filters:")
}

// asksFor sends what a client of TLS that asks for a name says first; the chain that it meets takes it for broken HTTP.
func asksFor(name string) func(*world) string {
	return func(w *world) string {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go tls.Client(ours, &tls.Config{ServerName: name}).Handshake()
		b := make([]byte, 4096)
		n, err := theirs.Read(b)
		for err == nil && n < 5+int(b[3])<<8+int(b[4]) {
			var more int
			more, err = theirs.Read(b[n:])
			n += more
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return says(string(b[:n]))(w)
	}
}

func ranges(field, prefix string, length int) string {
	return fmt.Sprintf("%s: [{address_prefix: %s, prefix_len: %d}]", field, prefix, length)
}

func chainNamed(piece string) string {
	return replaced(hcm(replaced(fileLog, "%REQ(:SCHEME)%", "%FILTER_CHAIN_NAME%")), "    - filters:", "    - "+piece+"\n      filters:")
}

func bound(piece string) string {
	return replaced(hcm("use_remote_address: true\ninternal_address_config: {unix_sockets: true}"), "{socket_address: {address: 127.0.0.1, port_value: 0}}", piece)
}

func internal(piece string) string {
	return replaced(hcm("use_remote_address: true\ninternal_address_config: {"+piece+"}"), "{socket_address: {address: 127.0.0.1, port_value: 0}}", "{pipe: {path: \"@DIR@/s\"}}")
}

func drained(w *world) string {
	w.Drain(0, true)
	return look("GET /", "close")(w)
}

const (
	version1 = `metadata_match: {filter_metadata: {envoy.lb: {v: "1"}}}`
	version3 = `metadata_match: {filter_metadata: {envoy.lb: {v: "3"}}}`
)

func tcpTo(piece, cluster string) string {
	text, _, _ := strings.Cut(tcp(piece), "  clusters:")
	return text + "  clusters:\n  - {name: up, " + cluster + "}\n"
}

// tcpSubset is a TCP proxy before one endpoint, of version 1.
func tcpSubset(piece string) string {
	return tcpTo(piece, `lb_subset_config: {subset_selectors: [{keys: [v]}]}, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: "1"}}}, `+here+`}]}]}`)
}

// tcpRing is a TCP proxy before two endpoints that are chosen by a hash.
func tcpRing(piece string) string {
	return tcpTo(piece, "lb_policy: RING_HASH, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{"+here+"}, {"+strings.Replace(here, "127.0.0.1", "127.0.0.2", 1)+"}]}]}")
}

// guarded is an echo behind a limit of connections.
func guarded(piece string) string {
	return networkFilters(`{name: limit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, ` + piece + `}}, {name: echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`)
}

// ratedTwice is an echo behind two limits of the rate of connections.
func ratedTwice(piece string) string {
	const limit = `{name: limit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit, `
	return networkFilters(limit + piece + `}}, ` + limit + piece + `}}, {name: echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`)
}

// connectionState is a connection manager behind a filter that sets state of connections, which answers tell of.
func connectionState(piece string) string {
	const hcm = "- name: envoy.filters.network.http_connection_manager"
	return strings.Replace(vhost("response_headers_to_add: [{header: {key: x-state, value: \"%FILTER_STATE(k:PLAIN)%\"}}]\n"+all), hcm,
		`- {name: state, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, `+piece+"}}\n      "+hcm, 1)
}

func stateOf(text string) string {
	return `{object_key: k, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "` + text + `"}}}`
}

func answered(piece string) string {
	return networkFilters(`{name: answer, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, ` + piece + `}}`)
}

func networkFilters(list string) string {
	return e2e.Bootstrap(`
- name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains: [{filters: [`+list+`]}]
`, upCluster())
}

// oneMore is what a connection hears to "y" while another one stands.
func oneMore(w *world) string {
	first := w.dial().Send("x")
	if got := hears(first.Conn); got != "x" {
		w.t.Fatalf("the first hears %q", got)
	}
	return says("y")(w)
}

// elsewhere is a piece of a listener at an address that no interface has.
func elsewhere(piece string) string {
	return replaced(listener(piece), "127.0.0.1, port_value: 0", "192.0.2.1, port_value: 0")
}

// elsewhereToo has an additional address that nobody has, and the piece of that.
func elsewhereToo(piece string) string {
	return listener("additional_addresses: [{address: {socket_address: {address: 192.0.2.1, port_value: 0}}, " + piece + "}]")
}

// keptAlive is a listener of which the piece is the address of an additional one, and what is set on it.
func keptAlive(piece string) string {
	return listener("tcp_keepalive: {keepalive_probes: 3}\nadditional_addresses: [{" + piece + "}]")
}

func tcpLogged(piece string) string {
	return tcp(`stat_prefix: t, cluster: up, access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@DIR@/log", format: "x\n"}}], ` + piece)
}

// reported is how often a connection is logged before it ends.
func reported(w *world) string {
	c := w.dial().Send("hi")
	hears(c.Conn)
	name, n := filepath.Join(w.dir, "log"), 0
	for tick, end := time.NewTicker(time.Millisecond), time.Now().Add(moment); time.Now().Before(end); <-tick.C {
		b, _ := os.ReadFile(name)
		n = bytes.Count(b, []byte("\n"))
	}
	return fmt.Sprint(n)
}
