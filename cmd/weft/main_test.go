package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline bounds every wait of a test.
const deadline = time.Minute

// binary is the program as it ships, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weft-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "weft")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// weft is a running process.
type weft struct {
	t     *testing.T
	cmd   *exec.Cmd
	admin string
	log   lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const adminYAML = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"

// routesYAML is a listener whose routes come from a file.
const routesYAML = `
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
          rds: {route_config_name: local, config_source: {path_config_source: {path: %s}}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

func routeFile(version, body string) string {
	return fmt.Sprintf(`version_info: %q
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: local
  virtual_hosts:
  - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %q}}}]}
`, version, body)
}

// launch starts the process with a bootstrap and waits until it serves.
func launch(t *testing.T, bootstrap string, args ...string) *weft {
	t.Helper()
	w := begin(t, bootstrap, args...)
	w.eventually("ready", func() bool { status, _ := w.get("/ready"); return status == 200 })
	return w
}

// begin is launch without waiting for more than the admin address.
func begin(t *testing.T, bootstrap string, args ...string) *weft {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(args, "--base-id") {
		args = append(args, "--disable-hot-restart")
	}
	dir := t.TempDir()
	file, address := filepath.Join(dir, "bootstrap.yaml"), filepath.Join(dir, "admin")
	if err := os.WriteFile(file, []byte(adminYAML+bootstrap), 0o644); err != nil {
		t.Fatal(err)
	}
	w := &weft{t: t}
	w.cmd = exec.Command(path, append([]string{"-c", file, "--concurrency", "2", "--admin-address-path", address}, args...)...)
	w.cmd.Stderr = &w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.cmd.Process.Kill()
		w.cmd.Wait()
	})
	w.eventually("the admin address is written", func() bool {
		b, _ := os.ReadFile(address)
		w.admin = string(b)
		return len(b) > 0
	})
	return w
}

func (w *weft) eventually(what string, f func() bool) {
	w.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(2 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s\n%s", deadline, what, w.log.String())
		}
	}
}

func (w *weft) do(method, path string, header ...string) (int, string) {
	r, err := http.NewRequest(method, "http://"+w.admin+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(b)
}

func (w *weft) get(path string) (int, string) { return w.do("GET", path) }

// listener is where the listener of that name is bound.
func (w *weft) listener(name string) string {
	_, text := w.get("/listeners")
	for line := range strings.Lines(text) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), name+"::"); ok {
			return address
		}
	}
	w.t.Fatalf("no listener %q in %q", name, text)
	return ""
}

func (w *weft) body(address string) string {
	client := http.Client{Timeout: deadline}
	r, err := client.Get("http://" + address + "/")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A changed route file is live; a broken one changes nothing, and says so in the log, in a counter and in the dump.
func TestWatchedRoutes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes.yaml")
	replace(t, file, routeFile("1", "one"))
	w := launch(t, fmt.Sprintf(routesYAML, file))
	web := w.listener("web")
	if got := w.body(web); got != "one" {
		t.Fatalf("got %q", got)
	}
	replace(t, file, routeFile("2", "two"))
	w.eventually("the change is live", func() bool { return w.body(web) == "two" })
	replace(t, file, strings.Replace(routeFile("3", "three"), "prefix:", "prefixx:", 1))
	w.eventually("the broken file is counted", func() bool {
		_, text := w.get("/stats?filter=rds")
		return strings.Contains(text, "http.web.rds.local.update_rejected: 1\n") || strings.Contains(text, "http.web.rds.local.update_failure: 1\n")
	})
	if got := w.body(web); got != "two" {
		t.Errorf("after a broken file: got %q, want the last good one", got)
	}
	if log := w.log.String(); !strings.Contains(log, "prefixx") || !strings.Contains(log, "did you mean") {
		t.Errorf("the log does not say what is wrong:\n%s", log)
	}
	_, dump := w.get("/config_dump")
	for _, want := range []string{`"error_state"`, "prefixx", `"version_info":`, "two", "BootstrapConfigDump"} {
		if !strings.Contains(dump, want) {
			t.Errorf("/config_dump has no %s", want)
		}
	}
	replace(t, file, routeFile("4", "four"))
	w.eventually("the repaired file is live", func() bool { return w.body(web) == "four" })
}

func TestSignalsEndAtOnce(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		w := launch(t, "")
		w.cmd.Process.Signal(syscall.SIGHUP) // ignored, as Envoy does
		w.cmd.Process.Signal(s)
		if err := w.cmd.Wait(); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	w := launch(t, "")
	if status, _ := w.do("POST", "/quitquitquit"); status != 200 {
		t.Error(status)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("/quitquitquit: %v", err)
	}
}

// Row 78 of the hazards: what changes something wants POST, from this host, not from a browser, by exactly its path.
func TestAdminIsCareful(t *testing.T) {
	w := launch(t, "")
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/quitquitquit", nil, 405},
		{"GET", "/drain_listeners", nil, 405},
		{"GET", "/healthcheck/fail", nil, 405},
		{"GET", "/logging?level=debug", nil, 405},
		{"POST", "/quitquitquit", []string{"origin", "http://evil.example"}, 403},
		{"POST", "/quitquitquit", []string{"sec-fetch-site", "cross-site"}, 403},
		{"GET", "/runtime_modify?a=b", nil, 405},
		{"GET", "/reopen_logs", nil, 405},
		{"POST", "/healthcheck/ok", []string{"origin", "http://localhost", "sec-fetch-site", "same-origin"}, 200},
		{"POST", "/healthcheck/ok", []string{"origin", "http://localhost", "sec-fetch-site", "same-site"}, 403},
		{"POST", "/healthcheck/ok", []string{"sec-fetch-site", "same-origin"}, 403},
		{"POST", "/runtime_modify", nil, 400},
		{"POST", "/runtime_modify?envoy.reloadable_features.x=false", nil, 503},
		{"POST", "/runtime_modify?a=[", nil, 503},
		{"POST", "/stats/prometheus/../../quitquitquit", nil, 404},
		{"POST", "/stats/prometheus/..%2f..%2fquitquitquit", nil, 404},
		{"POST", "//quitquitquit", nil, 404},
		{"POST", "/stats", nil, 405},
		{"GET", "/nonsense", nil, 404},
		{"GET", "/stats?filter=(", nil, 400},
		{"GET", "/config_dump?resource=nonsense", nil, 404},
		{"POST", "/logging?level=nonsense", nil, 400},
	} {
		// net/http's client would clean the path: by hand.
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(deadline))
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n", c.method, c.path)
		for i := 0; i+1 < len(c.header); i += 2 {
			fmt.Fprintf(conn, "%s: %s\r\n", c.header[i], c.header[i+1])
		}
		io.WriteString(conn, "\r\n")
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		if r.StatusCode != c.status {
			t.Errorf("%s %s %v: %d, want %d", c.method, c.path, c.header, r.StatusCode, c.status)
		}
		if r.Header.Get("x-content-type-options") != "nosniff" {
			t.Errorf("%s: a browser may guess what it is", c.path)
		}
		conn.Close()
	}
	if status, _ := w.get("/ready"); status != 200 {
		t.Error("the process has gone")
	}
}

func TestAdminPages(t *testing.T) {
	w := launch(t, "", "--service-cluster", "shop", "--service-node", "node-1")
	for path, want := range map[string]string{
		"/ready":            "LIVE",
		"/":                 "/stats/prometheus",
		"/stats?usedonly":   "server.state: 0\n",
		"/stats/prometheus": "# TYPE envoy_server_live gauge\nenvoy_server_live 1\n",
		"/memory":           `"allocated"`,
		"/server_info":      `"state": "LIVE"`,
		"/listeners":        "",
		"/clusters":         "",
	} {
		if status, text := w.get(path); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d, no %q in\n%s", path, status, want, text)
		}
	}
	for _, path := range []string{"/stats?format=json", "/server_info", "/memory", "/clusters?format=json", "/listeners?format=json", "/config_dump"} {
		if _, text := w.get(path); !json.Valid([]byte(text)) {
			t.Errorf("%s is not JSON:\n%s", path, text)
		}
	}
	if _, text := w.get("/server_info"); !strings.Contains(text, `"cluster": "shop"`) || !strings.Contains(text, `"id": "node-1"`) {
		t.Errorf("/server_info does not know the node:\n%s", text)
	}
	if _, text := w.do("POST", "/logging?upstream=debug"); !strings.Contains(text, "upstream: debug") {
		t.Errorf("/logging: %s", text)
	}
}

// Listeners and clusters from files come, change and go under traffic, of which nothing is lost.
func TestWatchedListenersAndClusters(t *testing.T) {
	dir := t.TempDir()
	up := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up") })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go up.Serve(l)
	t.Cleanup(func() { up.Close() })
	listener := func(name, action string) string {
		return fmt.Sprintf(`
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: %[1]s
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: h
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: %[1]s
        route_config: {name: local, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, %[2]s}]}]}
        http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`, name, action)
	}
	cluster := func(name, more string) string {
		return fmt.Sprintf("\n- {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: %s, connect_timeout: 1s, %s load_assignment: {cluster_name: %[1]s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}}]}]}}",
			name, more, l.Addr().(*net.TCPAddr).Port)
	}
	lds, cds := filepath.Join(dir, "lds.yaml"), filepath.Join(dir, "cds.yaml")
	put := func(file, version string, resources ...string) {
		replace(t, file, "version_info: \""+version+"\"\nresources:"+strings.Join(resources, "")+"\n")
	}
	stays, direct := listener("stays", "route: {cluster: one}"), listener("more", "direct_response: {status: 200, body: {inline_string: more}}")
	put(lds, "1", stays)
	put(cds, "1", cluster("one", ""))
	w := launch(t, fmt.Sprintf("dynamic_resources: {lds_config: {path_config_source: {path: %s}}, cds_config: {path_config_source: {path: %s}}}", lds, cds))
	web := w.listener("stays")

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			client := http.Client{Timeout: deadline, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := client.Get("http://" + web + "/")
				if err != nil {
					t.Errorf("a request is lost: %v", err)
					return
				}
				b, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if r.StatusCode != 200 || string(b) != "up" {
					t.Errorf("%d %q", r.StatusCode, b)
					return
				}
			}
		})
	}
	shows := func(path, want string, is bool) {
		t.Helper()
		w.eventually(fmt.Sprintf("%s has %q: %t", path, want, is), func() bool {
			_, text := w.get(path)
			return strings.Contains(text, want) == is
		})
	}
	put(lds, "2", stays, direct)
	shows("/listeners", "more::", true)
	more := w.listener("more")
	if got := w.body(more); got != "more" {
		t.Errorf("a listener that was added says %q", got)
	}
	put(cds, "2", cluster("one", "per_connection_buffer_limit_bytes: 99999,"), cluster("two", ""))
	shows("/clusters", "two::added_via_api::true", true)
	put(lds, "3", strings.Replace(stays, "prefix: /}", "prefixx: /}", 1))
	shows("/stats?filter=lds", "listener_manager.lds.update_rejected: 1\n", true)
	shows("/config_dump", "prefixx", true)
	if !strings.Contains(w.log.String(), "lds.yaml") || w.body(more) != "more" {
		t.Error("a broken file is not told, or changed something")
	}
	put(cds, "3", cluster("two", ""))
	shows("/stats?filter=cds", "cluster_manager.cds.update_success: 3\n", true)
	put(lds, "4", stays)
	shows("/listeners", "more::", false)
	if c, err := net.Dial("tcp", more); err == nil {
		c.Close()
		t.Error("a listener that is gone takes connections")
	}
	put(lds, "5", strings.Replace(stays, "cluster: one", "cluster: two", 1))
	shows("/stats?filter=lds", "listener_manager.lds.update_success: 4\n", true)
	shows("/clusters", "one::observability_name", false)
	close(stop)
	clients.Wait()
	if _, text := w.get("/config_dump?resource=dynamic_active_clusters"); strings.Count(text, "load_assignment") != 1 {
		t.Errorf("the dump has not one cluster:\n%s", text)
	}
}

// Runtime values change what is served at once, the operator's over the bootstrap's, and those that change nothing are told.
func TestRuntime(t *testing.T) {
	routes := strings.Replace(fmt.Sprintf(routesYAML, "unused"), "rds: {route_config_name: local, config_source: {path_config_source: {path: unused}}}",
		`route_config: {name: local, virtual_hosts: [{name: all, domains: ["*"], routes: [
            {match: {prefix: /, runtime_fraction: {runtime_key: share.a, default_value: {numerator: 0}}}, direct_response: {status: 200, body: {inline_string: drawn}}},
            {match: {prefix: /}, direct_response: {status: 200, body: {inline_string: else}}}]}]}`, 1)
	w := launch(t, routes+"layered_runtime: {layers: [{name: s, static_layer: {share: {a: 100}, nobody: 1}}, {name: o, admin_layer: {}}]}")
	web := w.listener("web")
	for _, c := range []struct{ set, want string }{
		{"", "drawn"}, {"0", "else"}, {"100.9", "drawn"}, {"{numerator: 0}", "else"}, {"{numerator: 10000, denominator: TEN_THOUSAND}", "drawn"},
		{"-1", "else"}, {"1e2", "drawn"}, {"\"100\"", "else"}, {"[1]", "else"}, {"", "drawn"},
	} {
		if status, text := w.do("POST", "/runtime_modify?share.a="+url.QueryEscape(c.set)); status != 200 || text != "OK\n" {
			t.Fatalf("%q: %d %s", c.set, status, text)
		}
		if got := w.body(web); got != c.want {
			t.Errorf("%q: %s, want %s", c.set, got, c.want)
		}
	}
	var page struct {
		Layers  []string
		Entries map[string]struct {
			LayerValues []string `json:"layer_values"`
			FinalValue  string   `json:"final_value"`
			Unused      bool
		}
	}
	w.do("POST", "/runtime_modify?share.a=7")
	_, text := w.get("/runtime")
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Fatal(err)
	}
	if a := page.Entries["share.a"]; fmt.Sprint(page.Layers) != "[s o]" || fmt.Sprint(a.LayerValues) != "[100 7]" || a.FinalValue != "7" || a.Unused || !page.Entries["nobody"].Unused {
		t.Error(text)
	}
	if log := w.log.String(); strings.Count(log, "nothing asks for") != 1 || !strings.Contains(log, "key=nobody") {
		t.Error(log)
	}
	_, text = w.get("/stats?filter=runtime")
	for _, want := range []string{"runtime.num_keys: 2\n", "runtime.num_layers: 2\n", "runtime.admin_overrides_active: 1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Access logs that were moved away are let go, by a page and by a signal.
func TestReopenLogs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	routes := strings.Replace(fmt.Sprintf(routesYAML, "unused"), "rds: {route_config_name: local, config_source: {path_config_source: {path: unused}}}",
		`access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+file+`", log_format: {text_format_source: {inline_string: "x\n"}}}}]
          route_config: {name: local, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}`, 1)
	w := launch(t, routes, "--file-flush-interval-msec", "1")
	web := w.listener("web")
	lines := func(name string) int {
		b, _ := os.ReadFile(name)
		return bytes.Count(b, []byte("\n"))
	}
	for i, reopen := range []func(){
		func() { w.do("POST", "/reopen_logs") },
		func() { w.cmd.Process.Signal(syscall.SIGUSR1) },
	} {
		w.body(web)
		w.eventually("a line", func() bool { return lines(file) == 1 })
		moved := fmt.Sprint(file, i)
		if err := os.Rename(file, moved); err != nil {
			t.Fatal(err)
		}
		reopen()
		w.eventually("the file is there again", func() bool { _, err := os.Stat(file); return err == nil })
		if lines(moved) != 1 {
			t.Errorf("%d lines in the file that was moved", lines(moved))
		}
	}
}

// The index names every page with its method, and its buttons work from it alone.
func TestIndex(t *testing.T) {
	w := launch(t, "")
	_, html := w.get("/")
	_, help := w.get("/help")
	for line := range strings.Lines(help) {
		path, _, ok := strings.Cut(strings.TrimSpace(line), ":")
		if path, post := strings.CutSuffix(path, " (POST)"); ok && strings.HasPrefix(path, "/") {
			if want := fmt.Sprintf(`action="%s"`, path); post != strings.Contains(html, want) {
				t.Errorf("%s: %t in the index", want, !post)
			}
			if !strings.Contains(html, ">"+path+"<") {
				t.Errorf("no %s in the index", path)
			}
		}
	}
	if !strings.Contains(help, "/runtime_modify (POST)") || strings.Contains(html, "http://") || strings.Contains(html, "<script") {
		t.Errorf("%s\n%s", help, html)
	}
	origin := "http://" + w.admin
	if status, text := w.do("POST", "/healthcheck/ok", "origin", origin, "sec-fetch-site", "same-origin"); status != 200 {
		t.Errorf("a button: %d %s", status, text)
	}
}

func TestDrain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes.yaml")
	replace(t, file, routeFile("1", "one"))
	w := launch(t, fmt.Sprintf(routesYAML, file), "--drain-strategy", "immediate", "--drain-time-s", "60")
	web := w.listener("web")
	ask := func(c net.Conn, r *bufio.Reader) *http.Response {
		io.WriteString(c, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		return response
	}
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", web)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(deadline))
		return c, bufio.NewReader(c)
	}
	c, r := dial()
	if ask(c, r).Close {
		t.Error("the connection ends before a drain was asked for")
	}
	for _, health := range []struct {
		path  string
		ready int
	}{{"/healthcheck/fail", 503}, {"/healthcheck/ok", 200}} {
		if status, _ := w.do("POST", health.path); status != 200 {
			t.Fatal(health.path, status)
		}
		if status, _ := w.do("GET", "/ready"); status != health.ready {
			t.Errorf("ready after %s: %d", health.path, status)
		}
	}
	if status, _ := w.do("POST", "/drain_listeners?graceful&skip_exit"); status != 200 {
		t.Fatal(status)
	}
	if !ask(c, r).Close {
		t.Error("a draining connection does not end with its exchange")
	}
	if c, r := dial(); !ask(c, r).Close {
		t.Error("newcomers are answered while sockets are open, once")
	}
	if status, _ := w.do("POST", "/drain_listeners"); status != 200 {
		t.Fatal(status)
	}
	if c, err := net.Dial("tcp", web); err == nil {
		c.Close()
		t.Error("a closed listener takes connections")
	}
}

// loggedNowhere is a listener whose filter writes a log where there is no folder.
func loggedNowhere(name, filter string) string {
	filter = strings.Replace(filter, "@LOG@", "access_log: [{name: l, typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: nowhere/log}}]", 1)
	return "static_resources: {listeners: [{name: " + name + ", address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: x, typed_config: {'@type': type.googleapis.com/" + filter + "}}]}]}], clusters: [{name: c, type: STATIC}]}"
}

// Errors name the file, the place in it, what is wrong and what would be right; nothing is served.
func TestBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		text string
		want []string
	}{
		"unknown field":          {nil, "static_resources: {listenerz: []}", []string{"bootstrap.yaml:1", "static_resources.listenerz", "listeners"}},
		"not YAML":               {nil, "static_resources: [", []string{"bootstrap.yaml"}},
		"not supported":          {nil, "static_resources: {clusters: [{name: a, track_timeout_budgets: true}]}", []string{"clusters[0].track_timeout_budgets", "not supported yet"}},
		"unknown extension":      {nil, "static_resources: {listeners: [{name: a, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Struct}}]}]}]}", []string{"filters[0].typed_config", "google.protobuf.Struct"}},
		"several things at once": {nil, "static_resources: {clusters: [{name: a, track_timeout_budgets: true}, {name: b, type: LOGICAL_DNS}]}", []string{"clusters[0].track_timeout_budgets", "clusters[1].load_assignment"}},
		"address that is taken":  {nil, "", []string{"address already in use", "choose another port"}},
		"bad flag":               {[]string{"--mode", "nonsense"}, "node: {id: a}", []string{"--mode", "serve, validate"}},
		"no such flag":           {[]string{"--nonsense"}, "node: {id: a}", []string{"nonsense", "--help"}},
		"nobody to succeed":      {[]string{"--restart-epoch", "1", "--base-id", "77123"}, "node: {id: a}", []string{"--restart-epoch 1", "no process to take over from"}},
		"epoch without restart":  {[]string{"--restart-epoch", "1", "--disable-hot-restart"}, "node: {id: a}", []string{"--restart-epoch", "--disable-hot-restart"}},
		"log of Dubbo nowhere":   {nil, loggedNowhere("dubbo", "envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy, stat_prefix: d, dubbo_filters: [{name: envoy.filters.dubbo.router, config: {'@type': type.googleapis.com/weft.dubbo.v1.Router, @LOG@}}]"), []string{"listener \"dubbo\": access log", "nowhere/log", "no such file"}},
		"log of TCP nowhere":     {nil, loggedNowhere("tcp", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c, @LOG@"), []string{"listener \"tcp\": access log", "nowhere/log", "no such file"}},
		"no such file":           {[]string{"-c", "nowhere.yaml"}, "node: {id: a}", []string{"nowhere.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "address that is taken" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				c.text = fmt.Sprintf("static_resources: {listeners: [{name: a, address: {socket_address: {address: 127.0.0.1, port_value: %d}}, filter_chains: [{filters: [{name: tcp, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: a, cluster: c}}]}]}], clusters: [{name: c, type: STATIC}]}",
					l.Addr().(*net.TCPAddr).Port)
			}
			path, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "bootstrap.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(c.args, "--restart-epoch") {
				c.args = append(c.args, "--disable-hot-restart")
			}
			cmd := exec.Command(path, append([]string{"-c", file}, c.args...)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			timer := time.AfterFunc(deadline, func() { cmd.Process.Kill() })
			defer timer.Stop()
			err = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"--help"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "-config-path") || !strings.Contains(out.String(), "Examples:") {
		t.Errorf("--help: %d\n%s", code, out.String())
	}
	out.Reset()
	if code := run([]string{"--version"}, &out, &errs); code != 0 || !strings.Contains(out.String(), version) {
		t.Errorf("--version: %d %q", code, out.String())
	}
}
