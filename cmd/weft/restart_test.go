package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// servedYAML is a listener that says which process has answered, by what its bootstrap says.
const servedYAML = `
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          drain_timeout: 0.2s
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %q}}}]}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

func plainDial(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func baseID() string { return strconv.Itoa(100_000 + rand.IntN(1<<30)) }

// A process takes another one's place under load: not a request is lost, in HTTP/1 or HTTP/2, on connections that stand or new ones; what was
// counted is counted on; and the other one ends by itself. Then the same once more, with fewer loops.
func TestHotRestart(t *testing.T) {
	id := baseID()
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", id, "--drain-time-s", "1")
	address := w.listener("web")

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var served [3]atomic.Int64 // by process
	ask := func(c *http.Client) {
		r, err := c.Get("http://" + address + "/")
		if err != nil {
			t.Errorf("lost: %v", err)
			return
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if n, _ := strconv.Atoi(string(b)); err == nil && r.StatusCode == 200 && len(b) == 1 {
			served[n].Add(1)
		} else {
			t.Errorf("lost: %d %q %v", r.StatusCode, b, err)
		}
	}
	for _, transport := range []http.RoundTripper{
		&http.Transport{}, &http.Transport{}, &http.Transport{DisableKeepAlives: true},
		&http2.Transport{AllowHTTP: true, DialTLSContext: plainDial}, &http2.Transport{AllowHTTP: true, DialTLSContext: plainDial},
	} {
		clients.Go(func() {
			for ctx.Err() == nil {
				ask(&http.Client{Transport: transport, Timeout: deadline})
			}
		})
	}
	for epoch := 1; epoch <= 2; epoch++ {
		w.eventually("traffic", func() bool { return served[epoch-1].Load() > 100 })
		next := launch(t, fmt.Sprintf(servedYAML, strconv.Itoa(epoch)), "--base-id", id, "--restart-epoch", strconv.Itoa(epoch), "--drain-time-s", "1",
			"--parent-shutdown-time-s", "2", "--concurrency", strconv.Itoa(3-epoch))
		if got := next.listener("web"); got != address {
			t.Fatalf("listens at %s, not at %s", got, address)
		}
		done := make(chan error, 1)
		go func() { done <- w.cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the process before ended with %v\n%s", err, w.log.String())
			}
		case <-time.After(deadline):
			t.Fatal("the process before does not end")
		}
		w = next
	}
	w.eventually("the last one serves", func() bool { return served[2].Load() > 100 })
	stop()
	clients.Wait()
	all := served[0].Load() + served[1].Load() + served[2].Load()
	counted := int64(0)
	w.eventually("all requests are counted", func() bool {
		_, text := w.get("/stats?filter=^http.web.downstream_rq_2xx$")
		_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
		counted, _ = strconv.ParseInt(value, 10, 64)
		return counted >= all*99/100
	})
	if counted > all {
		t.Errorf("%d counted of %d", counted, all)
	}
	if _, text := w.get("/stats?filter=^server.hot_restart_epoch$"); strings.TrimSpace(text) != "server.hot_restart_epoch: 2" {
		t.Errorf("%q", text)
	}
}

// A second process with the same base id, and no word of a restart, does not start; one with a wrong number neither; nor does one whose
// configuration is bad take anything away from the one that runs.
func TestPlacesAreNotTakenByAccident(t *testing.T) {
	id := baseID()
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", id)
	address := w.listener("web")
	for _, c := range []struct {
		args []string
		yaml string
		want string
	}{
		{nil, fmt.Sprintf(servedYAML, "1"), "another process runs with --base-id " + id},
		{[]string{"--restart-epoch", "2"}, fmt.Sprintf(servedYAML, "1"), "--restart-epoch is 2, and the process that runs has 0: want 1"},
		{[]string{"--restart-epoch", "1"}, "static_resources: {listenerz: []}", "listenerz"},
		{[]string{"--restart-epoch", "1"}, strings.Replace(fmt.Sprintf(servedYAML, "1"), "port_value: 0", "port_value: 1, resolver_name: x", 1), "resolver_name"},
	} {
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), deadline)
		out, err := exec.CommandContext(ctx, path, append([]string{"--config-yaml", adminYAML + c.yaml, "--base-id", id}, c.args...)...).CombinedOutput()
		stop()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%v: %v, no %q in\n%s", c.args, err, c.want, out)
		}
		if got := w.body(address); got != "0" {
			t.Errorf("%v: the process that runs answers %q", c.args, got)
		}
	}
	if status, _ := w.get("/ready"); status != 200 {
		t.Errorf("its admin pages answer %d", status)
	}
}

// A process that cannot bind what it is to bind, and ends, leaves the other one as it was, with its admin pages.
func TestFailedSuccessorLeavesAdmin(t *testing.T) {
	id := baseID()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", id)
	address := w.listener("web")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), deadline)
	defer stop()
	yaml := strings.Replace(fmt.Sprintf(servedYAML, "1"), "port_value: 0", "port_value: "+strconv.Itoa(l.Addr().(*net.TCPAddr).Port), 1)
	out, err := exec.CommandContext(ctx, path, "--config-yaml", adminYAML+yaml, "--base-id", id, "--restart-epoch", "1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Fatalf("%v\n%s", err, out)
	}
	w.eventually("its admin pages are there again", func() bool { status, _ := w.get("/ready"); return status == 200 })
	if got := w.body(address); got != "0" {
		t.Errorf("it answers %q", got)
	}
	next := launch(t, fmt.Sprintf(servedYAML, "1"), "--base-id", id, "--restart-epoch", "1")
	if got := next.listener("web"); got != address {
		t.Errorf("listens at %s, not at %s", got, address)
	}
}

// A process whose listeners come from a control plane that says nothing takes nobody's place: the other one serves on.
func TestTakesOverWhenItServes(t *testing.T) {
	id := baseID()
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", id)
	address := w.listener("web")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	next := begin(t, fmt.Sprintf(`
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: plane
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
node: {id: a, cluster: b}
`, silent.Addr().(*net.TCPAddr).Port), "--base-id", id, "--restart-epoch", "1")
	c, err := silent.Accept() // it asks for its listeners
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, state := next.get("/ready"); !strings.Contains(state, "INITIALIZING") {
		t.Errorf("it says %q of itself", state)
	}
	for range 20 {
		if got := w.body(address); got != "0" {
			t.Fatalf("the process before answers %q", got)
		}
	}
	next.cmd.Process.Kill()
	next.cmd.Wait()
	w.eventually("its admin pages are there again", func() bool { status, _ := w.get("/ready"); return status == 200 })
	if strings.Contains(w.log.String(), "asked to go") {
		t.Errorf("it was to go:\n%s", w.log.String())
	}
}

// A base id of its own is found for whoever asks for one, and told.
func TestDynamicBaseID(t *testing.T) {
	file := t.TempDir() + "/id"
	a := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", "0", "--use-dynamic-base-id", "--base-id-path", file)
	b := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", "0", "--use-dynamic-base-id")
	for _, w := range []*weft{a, b} {
		if got := w.body(w.listener("web")); got != "0" {
			t.Errorf("%q", got)
		}
	}
}

// A connection that waits in the queue of a listening socket while processes change is served by the next one.
func TestQueuedConnectionsSurvive(t *testing.T) {
	id := baseID()
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", id)
	address := w.listener("web")
	var conns []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(deadline))
		conns = append(conns, c)
	}
	launch(t, fmt.Sprintf(servedYAML, "1"), "--base-id", id, "--restart-epoch", "1")
	for _, c := range conns {
		io.WriteString(c, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%v %v", r, err)
		}
	}
}

// One command takes the place of a process with its own command line, twice.
func TestUpgrade(t *testing.T) {
	w := launch(t, fmt.Sprintf(servedYAML, "0"), "--base-id", "0", "--use-dynamic-base-id", "--parent-shutdown-time-s", "0", "--drain-time-s", "0")
	address := w.listener("web")
	for range 2 {
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		next := &weft{t: t, admin: w.admin, cmd: exec.Command(path, "upgrade", strconv.Itoa(w.cmd.Process.Pid))}
		next.cmd.Stderr = &next.log
		next.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := next.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			next.cmd.Process.Kill()
			next.cmd.Wait()
		})
		if err := w.cmd.Wait(); err != nil {
			t.Errorf("the process before: %v\n%s", err, w.log.String())
		}
		if got := next.body(address); got != "0" {
			t.Fatalf("%q\n%s", got, next.log.String())
		}
		w = next
	}
	var out bytes.Buffer
	if code := run([]string{"upgrade", strconv.Itoa(os.Getpid())}, &out, &out); code != 1 || !strings.Contains(out.String(), "is no weft that waits") {
		t.Errorf("%d %s", code, out.String())
	}
}
