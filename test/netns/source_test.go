package netns

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/weftmesh/weft/capture"
)

// servedPort is that of an application whose requests the proxy sees.
const servedPort = 8088

// keepingSources is a pod's proxy for TPROXY as Istio's control plane has it: connections to the application seem to come from the client (original_src).
func (p *pod) keepingSources() string {
	return strings.NewReplacer(
		"    - {name: original,", `    - {name: source, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc, mark: 1337}}`+"\n    - {name: original,",
		"    - filter_chain_match: {prefix_ranges: [{address_prefix: 0.0.0.0,", fmt.Sprintf(`    - filter_chain_match: {destination_port: %d}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
          route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web, timeout: 2s}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, servedPort)+"    - filter_chain_match: {prefix_ranges: [{address_prefix: 0.0.0.0,").Replace(p.sidecar(true))
}

// from is a client in the world that comes from one of its addresses, over connections that it keeps, by HTTP/1.1 or HTTP/2.
func from(t *testing.T, address string, h2 bool) *http.Client {
	dial := func(ctx context.Context, network, to string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: deadline}).DialContext(ctx, network, to)
	}
	var line http.RoundTripper = &http.Transport{DialContext: dial}
	if h2 {
		line = &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, to string, _ *tls.Config) (net.Conn, error) {
			return dial(ctx, network, to)
		}}
	}
	c := &http.Client{Transport: line, Timeout: deadline}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// By TPROXY the application sees its clients' addresses: of TCP, of HTTP/1.1 and of HTTP/2, of both versions of IP; and a client's connection to it is used for nobody else.
func TestApplicationsSeeTheirClients(t *testing.T) {
	eachBackend(t, func(t *testing.T, o capture.Options) {
		p := newPod(t)
		world, world6 := fmt.Sprintf("10.77.%d.9", p.number), fmt.Sprintf("fd77:%d::9", p.number)
		up(t, fmt.Sprintf("pod%d", p.number), world+"/24", world6+"/64")
		p.weft(p.keepingSources())
		o = p.capture(o, append([]string{"-m", "TPROXY"}, sidecarArgs...)...)
		go whence(p.listen(t, fmt.Sprintf(":%d", application)))
		app := &http.Server{Handler: h2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }), &http2.Server{})}
		t.Cleanup(func() { app.Close() })
		go app.Serve(p.listen(t, fmt.Sprintf(":%d", servedPort)))

		// TCP, whose port is another one: the client's may be in use here.
		for _, to := range []string{p.ip, p.ip6} {
			c, err := net.Dial("tcp", net.JoinHostPort(to, strconv.Itoa(application)))
			if err != nil {
				t.Fatal(err)
			}
			local := c.LocalAddr().String()
			client, _, _ := net.SplitHostPort(local)
			from, err := came(c, nil)
			if host, _, _ := net.SplitHostPort(from); err != nil || host != client || from == local {
				t.Errorf("TCP to %s from %s: the application sees %q, %v", to, local, from, err)
			}
		}
		// HTTP: two clients in turns, each of which keeps its own connection to the application.
		for _, h2 := range []bool{false, true} {
			for _, family := range []struct{ to, one, two string }{{p.ip, p.world, world}, {"[" + p.ip6 + "]", p.world6, world6}} {
				seen := map[string]string{}
				clients := map[string]*http.Client{family.one: from(t, family.one, h2), family.two: from(t, family.two, h2)}
				for range 3 {
					for address, client := range clients {
						r, err := client.Get(fmt.Sprintf("http://%s:%d/", family.to, servedPort))
						if err != nil {
							t.Fatal(err)
						}
						b := make([]byte, 100)
						n, _ := r.Body.Read(b)
						r.Body.Close()
						from := string(b[:n])
						if host, _, err := net.SplitHostPort(from); err != nil || host != address {
							t.Errorf("HTTP/2 %v from %s: the application sees %q", h2, address, from)
						}
						if seen[address] == "" {
							seen[address] = from
						} else if seen[address] != from {
							t.Errorf("HTTP/2 %v from %s: the application sees %q, and saw %q: want one connection", h2, address, from, seen[address])
						}
					}
				}
			}
		}
		// Many at once, of both: each is who it is.
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				address := []string{p.world, world}[i%2]
				client := from(t, address, i%4 < 2)
				for range 10 {
					r, err := client.Get(fmt.Sprintf("http://%s:%d/", p.ip, servedPort))
					if err != nil {
						t.Error(err)
						return
					}
					b := make([]byte, 100)
					n, _ := r.Body.Read(b)
					if r.Body.Close(); !strings.HasPrefix(string(b[:n]), address+":") {
						t.Errorf("from %s: the application sees %q", address, b[:n])
					}
				}
			})
		}
		all.Wait()
		// What the pod asks of others, and of itself, goes as ever.
		if from, err := came(p.dial("tcp", serviceIP+":80")); err != nil || !strings.HasPrefix(from, "127.0.0.6:") && !strings.HasPrefix(from, p.ip+":") {
			t.Errorf("the pod's own service: from %q, %v", from, err)
		}
		if r := p.check(o); !r.OK() {
			t.Errorf("not as planned:\n%s", r)
		}
	})
}

// Without the right to connect from others' addresses no listener starts that wants it, and it is said in a sentence.
func TestSourcesWantARight(t *testing.T) {
	c := exec.Command(program(t), "--disable-hot-restart", "--config-yaml", `
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters: [{name: source, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc}}]
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: none}}]}]
`)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}}
	timer := time.AfterFunc(deadline, func() { c.Process.Kill() })
	defer timer.Stop()
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "original_src wants the capability NET_ADMIN") {
		t.Errorf("%v: %s", err, out)
	}
}
