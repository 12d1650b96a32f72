package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// programs are built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "github.com/weftmesh/weft/cmd/weft", "github.com/weftmesh/weft/cmd/weftd", "github.com/weftmesh/weft/cmd/weftctl").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := programs(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(2 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// words are what a process has said so far.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// String is all of it.
func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// process is one that runs until the test ends, or is killed.
type process struct {
	said  *words
	ended chan struct{}
	cmd   *exec.Cmd
}

func run(t testing.TB, path string, args ...string) *process {
	t.Helper()
	return runs(t, exec.Command(path, args...))
}

// runs is run for a command that has more than arguments.
func runs(t testing.TB, c *exec.Cmd) *process {
	t.Helper()
	p := &process{said: &words{}, ended: make(chan struct{}), cmd: c}
	p.cmd.Stderr = p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(c.Path), p.said)
		}
	})
	return p
}

// kill ends it with no word of warning.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// plane is a weftd over a directory, or over an API server.
type plane struct {
	*process
	t           testing.TB
	dir         string
	cluster     *kube.Cluster // nil: it is over a directory
	mesh        string        // the file of the mesh's own configuration
	grpc, admin int
	more        []string          // flags beside those
	files       map[string]string // that were written last, of an API server
}

// newPlane starts one in which sidecars have their catch-all listener at a port of their own.
func newPlane(t testing.TB, files map[string]string, more ...string) *plane {
	t.Helper()
	ports := vacant.Ports(t, 3)
	p := &plane{t: t, dir: t.TempDir(), grpc: ports[0], admin: ports[1], more: more}
	p.mesh = filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(p.mesh, fmt.Appendf(nil, "proxyListenPort: %d\n", ports[2]), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		p.write(name, text)
	}
	p.start()
	return p
}

// sources are where objects are told from.
var sources = []string{"a directory", "an API server"}

// newPlaneOf is newPlane over one of the sources. What an API server has of the mesh's own configuration is in a ConfigMap.
func newPlaneOf(t testing.TB, from string, files map[string]string, more ...string) *plane {
	t.Helper()
	if from == sources[0] {
		return newPlane(t, files, more...)
	}
	ports := vacant.Ports(t, 3)
	p := &plane{t: t, cluster: kube.Start(t), grpc: ports[0], admin: ports[1], more: more, files: map[string]string{}}
	p.cluster.Install()
	p.cluster.Apply(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: 'proxyListenPort: %d'}}", ports[2]))
	for name, text := range files {
		p.write(name, text)
	}
	p.start()
	return p
}

func (p *plane) start() {
	p.t.Helper()
	path, began := program(p.t, "weftd"), time.Now()
	args := []string{"--config-dir", p.dir, "--mesh-config", p.mesh}
	if p.cluster != nil {
		args = []string{"--kubeconfig", p.cluster.Kubeconfig}
	}
	args = append(args, "--grpc-addr", fmt.Sprintf("127.0.0.1:%d", p.grpc), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", p.admin))
	p.process = run(p.t, path, append(args, p.more...)...)
	eventually(p.t, "weftd is ready", func() bool { return strings.HasPrefix(p.page("/ready"), "ready") })
	p.t.Logf("weftd is ready after %v", time.Since(began).Round(time.Millisecond))
}

// write puts a file in place at once. An API server is told the objects in it, and that those are gone that it had before.
func (p *plane) write(name, text string) {
	p.t.Helper()
	if p.cluster != nil {
		p.cluster.Apply(text)
		p.cluster.Drop(p.files[name], text)
		p.files[name] = text
		return
	}
	path := filepath.Join(p.dir, name)
	err := os.WriteFile(path+".new", []byte(text), 0o644)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) page(path string) string { return pageAt(p.admin, path) }

// pageAt is a page at a port of this host; empty: nobody answers.
func pageAt(port int, path string) string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func (p *plane) status() (s push.Status) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.page("/status")), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// number is a statistic of weftd's.
func (p *plane) number(name string) int {
	for line := range strings.Lines(p.page("/metrics")) {
		if value, is := strings.CutPrefix(line, "weftd_"+name+" "); is {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return -1
}

// synced waits until what was written last, and taken as that round, has been answered by a proxy.
func (p *plane) synced(round int) {
	p.t.Helper()
	eventually(p.t, "all is answered", func() bool {
		s := p.status()
		return s.Last.Number >= round && len(s.Proxies) == 1 && s.Proxies[0].Synced
	})
}

// proxies are the two programs that are tried.
var proxies = []string{"envoy", "weft"}

// proxy starts one as a sidecar of namespace a, to which nobody redirects traffic.
func (p *plane) proxy(name string) *process { return p.proxyAt(name, "NAMESPACE: a", p.grpc, "") }

// proxyAt is proxy for a node with that metadata, which reaches the plane at a port, over a transport socket if it is not empty.
func (p *plane) proxyAt(name, metadata string, port int, socket string) *process {
	p.t.Helper()
	boot := bootstrap(metadata, port, socket)
	if name == "envoy" {
		envoy.Start(p.t, boot)
		return nil
	}
	return weft(p.t, boot, "--file-flush-interval-msec", "20")
}

// weft runs one with a bootstrap.
func weft(t testing.TB, boot string, more ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "boot.yaml")
	if err := os.WriteFile(file, []byte(boot), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, program(t, "weft"), append([]string{"-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"}, more...)...)
}

// bootstrap is that of proxyAt.
func bootstrap(metadata string, port int, socket string) string {
	return fmt.Sprintf(`
node: {id: sidecar~127.0.0.1~one.a~a.svc.cluster.local, cluster: one.a, metadata: {%s, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
%s`, metadata, port, socket)
}

// upstream answers with its name.
func upstream(t testing.TB, says string) (port int) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, says) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// afresh asks over a connection of its own each time, as what was changed may apply to new ones only, and takes an answer for what it is.
var afresh = &http.Client{
	Timeout:       deadline,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what a port of this host says to a request for a host with headers (name, value, ...): its status and body, or that there is none.
func answer(t testing.TB, method string, port int, path, host string, headers ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := afresh.Do(r)
	if err != nil {
		return "no answer"
	}
	defer got.Body.Close()
	body, _ := io.ReadAll(got.Body)
	return strings.TrimSpace(fmt.Sprint(got.StatusCode, " ", string(body)))
}

// shop is a service outside the mesh, of two versions, reached at a port of this host.
type shop struct {
	t          testing.TB
	port       int
	one, other int // ports of the versions
	client     http.Client
}

func newShop(t testing.TB) *shop {
	s := &shop{t: t, port: vacant.Ports(t, 1)[0], one: upstream(t, "v1"), other: upstream(t, "v2")}
	s.client = http.Client{Timeout: deadline, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// entry is the service; more are endpoints beside the two.
func (s *shop) entry(more string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {http: %d}, labels: {version: v1}}
  - {address: 127.0.0.1, ports: {http: %d}, labels: {version: v2}}
  %s
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: a}
spec:
  host: shop.test
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
`, s.port, s.one, s.other, more)
}

// canary sends that much of a hundred to the first version, and the rest to the other.
func canary(first int) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.test]
  http:
  - route:
    - destination: {host: shop.test, subset: v1}
      weight: %d
    - destination: {host: shop.test, subset: v2}
      weight: %d
`, first, 100-first)
}

// ask asks once, and says who answered.
func (s *shop) ask(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", s.port), nil)
	if err != nil {
		return "", err
	}
	r.Host = fmt.Sprintf("shop.test:%d", s.port)
	got, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err == nil && got.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", got.StatusCode, body)
	}
	return string(body), err
}

// opens waits until the proxy serves.
func (s *shop) opens() {
	s.t.Helper()
	eventually(s.t, "the proxy serves", func() bool { _, err := s.ask(context.Background()); return err == nil })
}

// share is how many of a hundred requests the first version has got.
func (s *shop) share() int {
	s.t.Helper()
	const n = 1000
	first := 0
	for range n {
		who, err := s.ask(context.Background())
		if err != nil {
			s.t.Fatal("lost: ", err)
		}
		if who == "v1" {
			first++
		}
	}
	return (first*100 + n/2) / n
}

// leaves waits until the first version, which had a share that was plain to see, has none. One answer of the second version would not show that: it
// gave most of them before.
func (s *shop) leaves() {
	s.t.Helper()
	eventually(s.t, "the last weights are in force", func() bool { return s.share() == 0 })
}

// load asks all the time; whatever is lost fails the test. end waits for what is under way, and says how much there was.
func (s *shop) load() (end func() int64) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var done atomic.Int64
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.ask(context.Background()); err != nil {
					s.t.Errorf("lost: %v", err)
					return
				}
				done.Add(1)
			}
		})
	}
	return func() int64 {
		cancel()
		all.Wait()
		return done.Load()
	}
}

// asMember has the text of bootstrap be that of a workload, or of a gateway, of namespace shop with an account of its own, whose agent has its certificate.
func asMember(boot, kind, account string) string {
	return strings.NewReplacer("sidecar~127.0.0.1~one.a~a.svc.", kind+"~127.0.0.1~"+account+".shop~shop.svc.", "WEFT_IDENTITY: none", "WEFT_IDENTITY: agent").Replace(boot)
}
