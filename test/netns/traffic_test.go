package netns

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weftmesh/weft/capture"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/calls"
)

// sidecarArgs is what injection asks for, with what the tests leave out.
var sidecarArgs = []string{"-p", "15001", "-z", "15006", "-u", "1337", "-i", "*", "-x", "10.88.0.0/24", "-b", "*", "-d", "15090,15021,15020", "-o", "7002", "--dual-stack"}

// came is what a server of whence says of a client: whence its connection came.
func came(c net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// way is how a connection from the pod comes to a server of whence outside: straight, or through the proxy, which connects from a port of its own.
func (p *pod) way(w who, address string) string {
	c, err := p.dialAs(w, "tcp", address)
	if err != nil {
		return err.Error()
	}
	local := c.LocalAddr().String()
	from, err := came(c, nil)
	switch {
	case err != nil:
		return err.Error()
	case from == local:
		return "straight"
	}
	return "proxy"
}

// What goes out, what comes in, and what is left alone, with each backend and each version of IP.
func TestTraffic(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		log := p.weft(p.sidecar(false))
		o = p.capture(o, sidecarArgs...)
		if r := p.check(o); !r.OK() {
			t.Errorf("not as planned:\n%s", r)
		}
		for _, port := range []string{"7001", "7002"} {
			go whence((*pod)(nil).listen(t, net.JoinHostPort("", port)))
		}
		go whence(p.listen(t, fmt.Sprintf(":%d", application)))
		go whence(p.listen(t, ":15021"))
		up(t, fmt.Sprintf("pod%d", p.number), "10.88.0.1/32", "10.89.0.1/32")
		defer func() { // another pod has them next
			down(t, fmt.Sprintf("pod%d", p.number), "10.88.0.1/32", "10.89.0.1/32")
		}()

		for _, c := range []struct {
			name string
			who  who
			to   string
			want string
		}{
			{"outbound", root, p.world + ":7001", "proxy"},
			{"outbound IPv6", root, "[" + p.world6 + "]:7001", "proxy"},
			{"another user", who{1000, 1000}, p.world + ":7001", "proxy"},
			{"the proxy's user", who{proxyUser, 1000}, p.world + ":7001", "straight"},
			{"the proxy's group", who{1000, proxyUser}, p.world + ":7001", "straight"},
			{"the proxy's user, IPv6", who{proxyUser, 1000}, "[" + p.world6 + "]:7001", "straight"},
			{"an excluded port", root, p.world + ":7002", "straight"},
			{"an excluded range", root, "10.88.0.1:7001", "straight"},
			{"not an excluded range", root, "10.89.0.1:7001", "proxy"},
			{"localhost", root, fmt.Sprintf("127.0.0.1:%d", application), "straight"},
			{"localhost, IPv6", root, fmt.Sprintf("[::1]:%d", application), "straight"},
			{"the pod's own address", root, fmt.Sprintf("%s:%d", p.ip, application), "straight"},
		} {
			if got := p.way(c.who, c.to); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}

		// The pod calls its own service: out through the proxy, in again through the proxy, and to the application.
		if from, err := came(p.dial("tcp", serviceIP+":80")); err != nil || !strings.HasPrefix(from, "127.0.0.6:") {
			t.Errorf("the pod's own service: from %q, %v, want 127.0.0.6", from, err)
		}
		for _, c := range []struct{ to, want, client, cluster string }{
			{fmt.Sprintf("%s:%d", p.ip, application), "127.0.0.6:", p.world + ":", "InboundPassthroughCluster"},
			{fmt.Sprintf("[%s]:%d", p.ip6, application), "[::6]:", "[" + p.world6 + "]:", "InboundPassthroughCluster6"},
			{p.ip + ":15021", p.world + ":", "", ""},
		} {
			from, err := came(net.DialTimeout("tcp", c.to, deadline))
			if err != nil || !strings.HasPrefix(from, c.want) {
				t.Errorf("inbound to %s: the application sees %q, %v, want %s", c.to, from, err, c.want)
			}
			if c.cluster == "" {
				continue
			}
			eventually(t, "the log has the client of "+c.to, func() bool {
				b, _ := os.ReadFile(log)
				for line := range strings.Lines(string(b)) {
					if strings.HasPrefix(line, c.client) && strings.HasSuffix(line, fmt.Sprintf(" %s %s\n", c.to, c.cluster)) {
						return true
					}
				}
				return false
			})
		}

		// Who connects to the proxy itself was going nowhere else, and gets no loop (hazard 94).
		for _, to := range []string{p.ip + ":15001", p.ip + ":15006"} {
			if _, err := came(net.DialTimeout("tcp", to, deadline)); err != io.EOF && !isReset(err) {
				t.Errorf("%s from outside: %v, want the end", to, err)
			}
		}
		for _, to := range []string{"127.0.0.1:15001", "127.0.0.1:15006", p.ip + ":15001"} {
			if _, err := came(p.dial("tcp", to)); err != io.EOF && !isReset(err) {
				t.Errorf("%s from the pod: %v, want the end", to, err)
			}
		}
		p.udp(t)

		var r capture.Report
		code, said := p.command("", append(append([]string{"check", "-o", "json"}, flags(o)...), sidecarArgs...)...)
		if err := json.Unmarshal([]byte(said), &r); code != 0 || err != nil || !r.OK() || len(r.Escapes) == 0 {
			t.Errorf("check ends with %d and says, %v, %s", code, err, said)
		}

		// Without the rules all is as if there had never been any (hazard 95).
		p.clean(t)
		for _, to := range []string{p.world + ":7001", "[" + p.world6 + "]:7001", "10.89.0.1:7001"} {
			if got := p.way(root, to); got != "straight" {
				t.Errorf("cleaned: %s: %s", to, got)
			}
		}
		if from, err := came(net.DialTimeout("tcp", net.JoinHostPort(p.ip, fmt.Sprint(application)), deadline)); err != nil || !strings.HasPrefix(from, p.world+":") {
			t.Errorf("cleaned: the application sees %q, %v", from, err)
		}
	})
}

// With STRICT nothing that is captured comes to the application in plain text; what is excluded does, and is said to escape (hazard 93).
func TestStrict(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		for _, mode := range []string{"REDIRECT", "TPROXY"} {
			p := newPod(t)
			p.weft(strings.NewReplacer("filter_chain_match: {prefix_ranges:", "filter_chain_match: {transport_protocol: tls, prefix_ranges:",
				"    - {name: original,", `    - {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}`+"\n    - {name: original,").Replace(p.sidecar(mode == "TPROXY")))
			all := p.capture(o, append([]string{"-m", mode}, sidecarArgs...)...)
			ca := authority.New(t, t.TempDir())
			certificate := ca.Issue("server", []string{"server.test"}, nil)
			go whence(tls.NewListener(p.listen(t, fmt.Sprintf(":%d", application)), &tls.Config{Certificates: []tls.Certificate{certificate}}))
			go whence(p.listen(t, ":9000"))
			go whence(p.listen(t, ":15021"))
			for _, ip := range []string{p.ip, p.ip6} {
				plain, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "9000"), deadline)
				if err == nil {
					fmt.Fprint(plain, "GET / HTTP/1.1\r\n\r\n")
				}
				if from, err := came(plain, err); err != io.EOF && !isReset(err) {
					t.Errorf("%s, plain text: the application says %q, %v", mode, from, err)
				}
				secure, err := net.DialTimeout("tcp", net.JoinHostPort(ip, fmt.Sprint(application)), deadline)
				if err != nil {
					t.Fatal(err)
				}
				if from, err := came(tls.Client(secure, &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}), nil); err != nil || !strings.HasPrefix(from, "127.0.0.6:") && !strings.HasPrefix(from, "[::6]:") {
					t.Errorf("%s, TLS: the application sees %q, %v", mode, from, err)
				}
				if from, err := came(net.DialTimeout("tcp", net.JoinHostPort(ip, "15021"), deadline)); err != nil || !strings.HasPrefix(from, p.world) && !strings.HasPrefix(from, "["+p.world6) {
					t.Errorf("%s, an excluded port: the application sees %q, %v", mode, from, err)
				}
			}
			if r := p.check(all); !strings.Contains(r.String(), "inbound connections to the ports 15090, 15021, 15020") {
				t.Errorf("%s: not said to escape:\n%s", mode, r)
			}
		}
	})
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

// udp: a datagram is nobody's but its receiver's.
func (p *pod) udp(t *testing.T) {
	t.Helper()
	l, err := net.ListenPacket("udp", p.world+":443")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := p.dial("udp", p.world+":443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "quic")
	l.SetReadDeadline(time.Now().Add(deadline))
	b := make([]byte, 10)
	n, from, err := l.ReadFrom(b)
	if err != nil || string(b[:n]) != "quic" || from.String() != c.LocalAddr().String() {
		t.Errorf("UDP: %q from %v, %v, want it from %s", b[:n], from, err, c.LocalAddr())
	}
}

// Protocols pass through what is captured as they are: those that the proxy speaks, those that it only passes on, and those where the server speaks
// first.
func TestProtocols(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		p.weft(p.sidecar(false))
		p.capture(o, sidecarArgs...)

		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", r.Proto, r.Header.Get("X-Request-Id"))
		})
		mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			kind, b, err := c.Read(r.Context())
			if err == nil {
				c.Write(r.Context(), kind, append([]byte("you said "), b...))
			}
			c.Close(websocket.StatusNormalClosure, "")
		})
		service := grpc.NewServer()
		service.RegisterService(calls.Service(calls.Echo, calls.Echoes), nil)
		server := &http.Server{Handler: h2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				service.ServeHTTP(w, r)
				return
			}
			mux.ServeHTTP(w, r)
		}), &http2.Server{})}
		web := (*pod)(nil).listen(t, fmt.Sprintf("%s:%d", p.world, webPort))
		go server.Serve(web)
		t.Cleanup(func() { server.Close() })
		address := web.Addr().String()

		// An X-Request-Id is what the proxy has put there.
		for name, transport := range map[string]http.RoundTripper{
			"HTTP/1.1": p.transport(""),
			"HTTP/2.0": &http2.Transport{AllowHTTP: true, DialTLSContext: func(_ context.Context, network, to string, _ *tls.Config) (net.Conn, error) {
				return p.dial(network, to)
			}},
		} {
			client := http.Client{Transport: transport, Timeout: deadline}
			r, err := client.Get("http://" + address + "/")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			if protocol, id, _ := strings.Cut(string(b), " "); err != nil || protocol != name || id == "" {
				t.Errorf("%s: %q, %v, want it by %s and through the proxy", name, b, err, name)
			}
			client.CloseIdleConnections()
		}

		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, "ws://"+address+"/chat", &websocket.DialOptions{HTTPClient: &http.Client{Transport: p.transport("")}})
		if err != nil {
			t.Fatalf("WebSocket: %v", err)
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, b, err := ws.Read(ctx); err != nil || string(b) != "you said hello" {
			t.Errorf("WebSocket: %q, %v", b, err)
		}
		ws.CloseNow()

		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(_ context.Context, to string) (net.Conn, error) { return p.dial("tcp", to) }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		calls.OfAllSizes(t, conn, 1<<16)

		// TLS is passed on as it is: the certificate is the server's.
		ca := authority.New(t, t.TempDir())
		certificate := ca.Issue("server", []string{"server.test"}, nil)
		secure := tls.NewListener((*pod)(nil).listen(t, p.world+":8443"), &tls.Config{Certificates: []tls.Certificate{certificate}})
		go whence(secure)
		c, err := p.dial("tcp", p.world+":8443")
		if err != nil {
			t.Fatal(err)
		}
		local := c.LocalAddr().String()
		// whence speaks first: nobody waits for a word of the client's.
		from, err := came(tls.Client(c, &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}), nil)
		if err != nil || from == "" || from == local {
			t.Errorf("TLS: from %q, %v, want it from the proxy", from, err)
		}
	})
}

// Questions at port 53 come to port 15053, over UDP and TCP, but for those of the proxy; answers come from whom was asked.
func TestQuestions(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		p.capture(o, append([]string{"--redirect-dns", "--capture-all-dns"}, sidecarArgs...)...)
		says := func(name string, c net.PacketConn) {
			t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 100)
				for {
					_, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					c.WriteTo([]byte(name), from)
				}
			}()
		}
		packets := func(p *pod, address string) (c net.PacketConn) {
			do := func() (err error) { c, err = net.ListenPacket("udp", address); return err }
			err := error(nil)
			if p == nil {
				err = do()
			} else { // the agent's socket is of the proxy's user
				err = p.try(func() error {
					who{proxyUser, proxyUser}.be()
					return do()
				})
			}
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		says("agent", packets(p, "127.0.0.1:15053"))
		says("agent", packets(p, "[::1]:15053"))
		says("resolver", packets(nil, p.world+":53"))
		says("resolver", packets(nil, "["+p.world6+"]:53"))
		for _, c := range []struct {
			who  who
			to   string
			want string
		}{
			{root, p.world + ":53", "agent"},
			{root, "[" + p.world6 + "]:53", "agent"},
			{root, "10.254.254.254:53", "agent"},
			{who{proxyUser, proxyUser}, p.world + ":53", "resolver"},
			{who{proxyUser, proxyUser}, "[" + p.world6 + "]:53", "resolver"},
		} {
			conn, err := p.dialAs(c.who, "udp", c.to)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(deadline))
			fmt.Fprint(conn, "?")
			b := make([]byte, 100)
			n, err := conn.Read(b) // of a connected socket: from whom was asked
			if string(b[:n]) != c.want {
				t.Errorf("%v asks %s: %q, %v, want %s", c.who, c.to, b[:n], err, c.want)
			}
			conn.Close()
		}
		go whence(p.listen(t, "127.0.0.1:15053"))
		if from, err := came(p.dial("tcp", p.world+":53")); err != nil || !strings.HasPrefix(from, p.ip) {
			t.Errorf("a question over TCP: from %q, %v", from, err)
		}
	})
}
