package netns

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/capture/bpf"
	"github.com/weftmesh/weft/test/authority"
)

// loading has this program, run again, be an application of a pod's that talks much with a server at the address, and says "well" if what has come back was right.
const loading = "WEFT_TEST_LOAD"

// Ports of the server of what loads: HTTP by way of HTTP/1.1, and of HTTP/2, between the sidecars, and bytes.
const (
	byHTTP1 = "8001"
	byHTTP2 = "8002"
	byBytes = "8003"
)

// talk talks as several do at once, and gives the first that is wrong.
func talk(to string) error {
	const several, times = 4, 60
	done := make(chan error)
	for i := range several {
		for _, port := range []string{byHTTP1, byHTTP2, byBytes} {
			go func() {
				random := rand.NewChaCha8([32]byte{byte(i)})
				sizes := rand.New(rand.NewPCG(uint64(i), 2))
				var err error
				c := http.Client{Transport: &http.Transport{}, Timeout: deadline}
				for n := 0; n < times && err == nil; n++ {
					b := make([]byte, 1+sizes.IntN(1<<(4+sizes.IntN(15))))
					random.Read(b)
					if port == byBytes {
						err = converse(net.JoinHostPort(to, port), b)
					} else {
						err = post(&c, "http://"+net.JoinHostPort(to, port)+"/", b)
					}
				}
				if err != nil {
					err = fmt.Errorf("port %s: %w", port, err)
				}
				done <- err
			}()
		}
	}
	for range 3 * several {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// post sends a body, which comes back.
func post(c *http.Client, url string, b []byte) error {
	r, err := c.Post(url, "application/octet-stream", bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusOK || !bytes.Equal(got, b)) {
		err = fmt.Errorf("status %d, %d bytes and not the %d that were sent", r.StatusCode, len(got), len(b))
	}
	return err
}

// converse sends bytes and ends its side, while the same come back, and then the other end.
func converse(to string, b []byte) error {
	c, err := net.DialTimeout("tcp", to, deadline)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	go func() {
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 3000)
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	h := sha256.New()
	n, err := io.Copy(h, c)
	if want := sha256.Sum256(b); err == nil && !bytes.Equal(h.Sum(nil), want[:]) {
		err = fmt.Errorf("%d bytes came, and not the %d that were sent", n, len(b))
	}
	return err
}

// between is the bootstrap of a sidecar that captures at a port, and sends on what is for the ports of talk to a host.
func between(port int, host, listens, calls, bind string, upstream2 bool) string {
	var chains, clusters strings.Builder
	for _, one := range []string{byHTTP1, byHTTP2, byBytes} {
		filter := fmt.Sprintf(`{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: "%s"}}`, one)
		if one != byBytes {
			filter = fmt.Sprintf(`{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: http,
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: "%s", timeout: 0s}}]}]},
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`, one)
		}
		fmt.Fprintf(&chains, "    - {filter_chain_match: {destination_port: %s}, filters: [%s]%s}\n", one, filter, listens)
		options := ""
		if one == byHTTP2 && upstream2 {
			options = `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}`
		}
		fmt.Fprintf(&clusters, "  - {name: \"%s\", type: STATIC%s%s%s, load_assignment: {cluster_name: \"%[1]s\", endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %[5]s, port_value: %[1]s}}}}]}]}}\n", one, options, calls, bind, host)
	}
	return fmt.Sprintf(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  listeners:
  - name: captured
    address: {socket_address: {address: 0.0.0.0, port_value: %d}}
    listener_filters:
    - {name: original, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
    filter_chains:
%s  clusters:
%s`, port, chains.String(), clusters.String())
}

// TestShortCutsBetweenSidecars has two pods of a node talk through their sidecars by mutual TLS: HTTP/1.1, HTTP/2 and bytes, in pieces of all sizes, both ways. All comes
// as it was sent, and much of it goes from socket to socket in each of the three places where it may.
func TestShortCutsBetweenSidecars(t *testing.T) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(folder, "keys")
	if err != nil {
		t.Fatal(err)
	}
	a := authority.New(t, dir)
	a.Issue("pod", []string{"spiffe://cluster.local/ns/shop/sa/pod"}, nil)
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error { return os.Chmod(path, 0o755) })
	common := fmt.Sprintf("common_tls_context: {tls_certificates: [%s], validation_context: %s, alpn_protocols: [h2, http/1.1]}", a.Source("pod"), a.Trusts(`match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/shop/sa/pod"}}]`))
	plain := strings.Replace(common, ", alpn_protocols: [h2, http/1.1]", "", 1)
	client, server := newPod(t), newPod(t)
	for _, p := range []*pod{client, server} {
		if code, said := p.command("", "apply", "--backend", "ebpf", "--cgroup", p.group(t), "--short-cuts", "-i", "*", "-b", "*", "-u", "1337", "-d", "15000"); code != 0 || !strings.Contains(said, "captured by ebpf") {
			t.Fatal(code, said)
		}
		t.Cleanup(func() { p.command("", "clean") })
	}
	server.weft(between(15006, "127.0.0.1",
		`, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, `+common+`}}`,
		"", ", upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}", false))
	client.weft(between(15001, server.ip, "",
		`, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: pod, `+plain+`}}`, "", true))
	for _, port := range []string{byHTTP1, byHTTP2} {
		go http.Serve(server.listen(t, "127.0.0.1:"+port), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
		}))
	}
	raw := server.listen(t, "127.0.0.1:"+byBytes)
	go func() {
		for {
			c, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c) // by splice(2), which a short cut would starve
				c.(*net.TCPConn).CloseWrite()
				c.Close()
			}()
		}
	}()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{loading + "=" + server.ip}
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(client.cgroup.Fd())}
	var out []byte
	if err := client.try(func() (err error) { out, err = c.CombinedOutput(); return err }); err != nil || strings.TrimSpace(string(out)) != "well" {
		t.Errorf("%v: %s", err, out)
	}
	for _, p := range []*pod{client, server} {
		var ns unix.Stat_t
		if err := unix.Fstat(int(p.ns.Fd()), &ns); err != nil {
			t.Fatal(err)
		}
		s, err := bpf.Look(fmt.Sprintf("/sys/fs/bpf/weft-capture/%d", ns.Ino))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", s)
		if s.Short < 200 {
			t.Errorf("hardly anything goes from socket to socket: %+v", s)
		}
	}
}
