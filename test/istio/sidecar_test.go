package istio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/test/xds"

	// What the program is built from, or go test would take the last result for one of what has changed since.
	_ "github.com/weftmesh/weft/filters/builtin"
	_ "github.com/weftmesh/weft/proxy"
	_ "github.com/weftmesh/weft/proxy/admin"
)

const deadline = 20 * time.Second

// program builds weft, once, into the folder that TestMain has made.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "weft")
	out, err := exec.Command("go", "build", "-o", path, "github.com/weftmesh/weft/cmd/weft").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "weft"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// sidecar is a pod's: the program in the agent's place, and what the agent serves it.
type sidecar struct {
	t                             testing.TB
	dir                           string
	admin, health, metrics, agent int
	plane, secrets                *xds.Plane
}

// newSidecar has an agent's sockets and files, for the workload of that name.
func newSidecar(t testing.TB, name string, ca *authority.Authority) *sidecar {
	t.Helper()
	ports := vacant.Ports(t, 4)
	s := &sidecar{t: t, dir: t.TempDir(), admin: ports[0], health: ports[1], metrics: ports[2], agent: ports[3]}
	s.plane, s.secrets = xds.NewPlane(t, xds.OverUnix), xds.NewPlane(t, xds.OverUnix)
	for path, at := range map[string]string{"etc/istio/proxy/XDS": s.plane.Address, "var/run/secrets/workload-spiffe-uds/socket": s.secrets.Address} {
		path = filepath.Join(s.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, path); err != nil {
			t.Fatal(err)
		}
	}
	ca.Issue(name, []string{"spiffe://cluster.local/ns/default/sa/" + name}, nil)
	s.secrets.Serve(secrets(t, read(t, ca.Dir, name+".pem"), read(t, ca.Dir, name+".key"), read(t, ca.Dir, "ca.pem"))...)
	// The agent answers whether it is ready, too.
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.agent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ready by "+name) }))
	return s
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// run starts the program with the agent's command line, all of it; change has the last word on the bootstrap.
func (s *sidecar) run(name string, change func(map[string]any)) {
	t := s.t
	t.Helper()
	text := strings.NewReplacer("@NAME@", name, "@ADMIN@", strconv.Itoa(s.admin), "@HEALTH@", strconv.Itoa(s.health), "@METRICS@", strconv.Itoa(s.metrics), "@AGENT@", strconv.Itoa(s.agent)).
		Replace(read(t, "testdata", "bootstrap.yaml"))
	var m map[string]any
	err := yaml.Unmarshal([]byte(text), &m)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	written, err := yaml.Marshal(m)
	if err == nil {
		written, err = yaml.YAMLToJSON(written)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "etc/istio/proxy/envoy-rev.json"), written, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "-c", "etc/istio/proxy/envoy-rev.json", "--drain-time-s", "45", "--drain-strategy", "immediate", "--local-address-ip-version", "v4",
		"--file-flush-interval-msec", "10", "--disable-hot-restart", "--allow-unknown-static-fields", "-l", "warning", "--component-log-level", "misc:error", "--skip-deprecated-logs",
		"--enable-core-dump", "--file-flush-min-size-kb", "1", "--concurrency", "1")
	c.Dir = s.dir
	said := &strings.Builder{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s\nrefused: %v", name, said, s.plane.Nacks())
		}
	})
}

// get reads an admin page; empty if there is no answer yet.
func (s *sidecar) get(path string) string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// readiness is what the agent asks for.
const readiness = `^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$|^server\.state$|^listener_manager\.workers_started$`

// ready waits until the agent would call the sidecar ready, by the same words.
func (s *sidecar) ready() {
	s.t.Helper()
	const want = "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nlistener_manager.workers_started: 1\nserver.state: 0\n"
	last := ""
	s.eventually("ready", func() bool {
		last = s.get("/stats?usedonly&filter=" + url.QueryEscape(readiness))
		return last == want
	}, &last)
}

func (s *sidecar) eventually(what string, f func() bool, last *string) {
	s.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(5 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s: %s\nrefused: %v", deadline, what, *last, s.plane.Nacks())
		}
	}
}

// log waits until a chain has logged something, and gives the last line.
func (s *sidecar) log(chain string) (line string) {
	s.t.Helper()
	s.eventually("a line of "+chain, func() bool {
		b, _ := os.ReadFile(filepath.Join(s.dir, chain+".log"))
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		line = lines[len(lines)-1]
		return line != "" && strings.HasSuffix(string(b), "\n")
	}, &line)
	return line
}

// TestSidecars has two sidecars with everything that an agent and istiod write: a request goes through both, and each says what it is to.
func TestSidecars(t *testing.T) {
	ca := authority.New(t, t.TempDir())
	app := e2e.Echo(t)
	ports := vacant.Ports(t, 3)
	in, out, through := ports[0], ports[1], ports[2]

	echo := newSidecar(t, "echo", ca)
	echo.plane.Serve(inbound(t, in, app.Port)...)
	echo.run("echo", nil)
	client := newSidecar(t, "client", ca)
	client.plane.Serve(outbound(t, out, through, in)...)
	client.run("client", func(boot map[string]any) { delete(boot, "tracing") }) // its connection managers have tracing, and no tracer
	echo.ready()
	client.ready()
	for _, s := range []*sidecar{echo, client} {
		if n := s.plane.Nacks(); len(n) > 0 {
			t.Fatalf("refused: %v", n)
		}
	}

	t.Run("the agent's health", func(t *testing.T) {
		r := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", echo.health)).Get("/healthz/ready")
		if r.Status != 200 || r.Body != "ready by echo" {
			t.Errorf("%d %q", r.Status, r.Body)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		body := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", echo.metrics)).Get("/stats/prometheus").Body
		for _, want := range []string{"envoy_cluster_upstream_cx_total{cluster_name=\"xds-grpc\"} ", "envoy_server_live{} ", "envoy_cluster_manager_cds_update_success{} "} {
			if !strings.Contains(body, want) && !strings.Contains(body, strings.Replace(want, "{}", "", 1)) {
				t.Errorf("no %s in\n%.2000s", want, body)
			}
		}
		for _, other := range []string{`cluster_name="agent"`, "envoy_http_", "envoy_listener_downstream"} {
			if strings.Contains(body, other) {
				t.Errorf("%s is not on the list of what is shown", other)
			}
		}
	})
	t.Run("a request", func(t *testing.T) {
		// The fragment is taken off, as the agent's runtime values have it.
		r := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", out)).Send("GET /path#fragment HTTP/1.1\r\nhost: echo\r\n\r\n").Read("GET")
		if r.Status != 200 {
			t.Fatalf("%d %q", r.Status, r.Body)
		}
		heads := app.Heads()
		head := heads[len(heads)-1]
		for _, want := range []string{"GET /path HTTP/1.1\r\n", "x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/echo;", "URI=spiffe://cluster.local/ns/default/sa/client\r\n"} {
			if !strings.Contains(head, want) {
				t.Errorf("the application was not told %q:\n%s", want, head)
			}
		}
		if strings.Contains(head+r.Head, "x-envoy-peer-metadata") {
			t.Errorf("what sidecars say to one another has left the mesh:\n%s\n%s", head, r.Head)
		}
		const about = "type=deployment,workload=%[1]s,name=%[1]s-0,cluster=Kubernetes,namespace=default,service=%[1]s,revision=v7,app=%[1]s,region=r1,availability_zone=z1"
		object := `{"app":"client","availability_zone":"z1","cluster":"Kubernetes","name":"client-0","namespace":"default","region":"r1","revision":"v7","service":"client","type":"deployment","workload":"client"}`
		if got, want := echo.log("http-mutual"), "http-mutual spiffe://cluster.local/ns/default/sa/client "+fmt.Sprintf(about, "client")+" "+object; got != want {
			t.Errorf("the upstream's sidecar has logged\n%s\nwant\n%s", got, want)
		}
		if got, want := client.log("outbound"), "outbound|8080||echo.default.svc.cluster.local "+fmt.Sprintf(about, "echo"); got != want {
			t.Errorf("the client's sidecar has logged\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("a cluster that keeps its offer", func(t *testing.T) {
		// Without the token of HTTP a peer takes it for other traffic, under the same certificates: nobody tells the application who it is from.
		r := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", out)).Send("GET / HTTP/1.1\r\nhost: silent\r\n\r\n").Read("GET")
		if r.Status != 200 {
			t.Fatalf("%d %q", r.Status, r.Body)
		}
		heads := app.Heads()
		if head := heads[len(heads)-1]; strings.Contains(head, "x-forwarded-client-cert") || !strings.Contains(head, "x-envoy-peer-metadata-id: sidecar~127.0.0.1~client.default~") {
			t.Errorf("it went through a chain of HTTP:\n%s", head)
		}
	})
	t.Run("plain text", func(t *testing.T) {
		c := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", in))
		c.Get("/").Want(t, 200)
		if got := echo.log("http-plain"); got != "http-plain - - -" {
			t.Errorf("logged %q", got)
		}
		if r := c.Get("/"); r.Header.Get("connection") != "" {
			t.Errorf("a connection is asked to go: %s", r.Head)
		}
		echo.drain()
		if r := c.Get("/"); r.Status != 200 || r.Header.Get("connection") != "close" {
			t.Errorf("a connection is not asked to go: %s", r.Head)
		}
		e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", in)).Get("/").Want(t, 200) // who comes now is still let in
		client.drain()
		if r := e2e.Dial(t, fmt.Sprintf("127.0.0.1:%d", out)).Send("GET / HTTP/1.1\r\nhost: echo\r\n\r\n").Read("GET"); r.Status != 200 || r.Header.Get("connection") != "" {
			t.Errorf("what goes out is drained, too: %s", r.Head)
		}
	})
}

// drain has the sidecar let its inbound connections go, as the agent does before a pod ends.
func (s *sidecar) drain() {
	s.t.Helper()
	r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/drain_listeners?inboundonly&graceful&skip_exit", s.admin), "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 {
		s.t.Fatalf("/drain_listeners: %s", r.Status)
	}
}
