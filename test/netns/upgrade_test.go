package netns

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"golang.org/x/sys/unix"
)

// shop is two workloads, of which one serves and the other one asks, and what there is of the mesh's objects. Outside of it, in the world, are those who have no certificate, and are let in.
type shop struct {
	*mesh
	client, web   *workload
	says          func() (stop func()) // starts the application that is asked
	stops         func()
	came          atomic.Int64  // requests to it
	waiting, goOn chan struct{} // those for /slow say that they have come, and wait
}

const webIP = "10.96.7.7"

// newShop has no sidecar yet. begun: the application is there.
func newShop(t *testing.T, begun bool) *shop {
	client, web := newPod(t), newPod(t)
	s := &shop{waiting: make(chan struct{}, 10), goOn: make(chan struct{}), mesh: newMesh(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  addresses: [%s]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: http2, protocol: HTTP2, targetPort: 8081}, {number: 9000, name: tcp, protocol: TCP}]
  endpoints: [{address: %s, labels: {app: web}, serviceAccount: web}]
`, webIP, web.ip))}
	// It says who has asked, by the certificate that the sidecars have shown each other.
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.came.Add(1)
		if io.Copy(io.Discard, r.Body); r.URL.Path == "/slow" {
			s.waiting <- struct{}{}
			<-s.goOn
		}
		if !strings.Contains(r.Header.Get("X-Forwarded-Client-Cert"), "URI=spiffe://cluster.local/ns/shop/sa/client") {
			http.Error(w, "who are you?", http.StatusForbidden)
		}
	})
	s.says = func() (stop func()) {
		one, two := &http.Server{Handler: says}, &http.Server{Handler: h2c.NewHandler(says, &http2.Server{})}
		go one.Serve(web.listen(t, web.ip+":8080"))
		go two.Serve(web.listen(t, web.ip+":8081"))
		stop = func() { one.Close(); two.Close() }
		t.Cleanup(stop)
		return stop
	}
	if s.stops = s.says(); !begun {
		s.stops()
	}
	line := web.listen(t, web.ip+":9000")
	go func() {
		for {
			c, err := line.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	s.web, s.client = web.inject(t, s.mesh, "web"), client.inject(t, s.mesh, "client")
	return s
}

// issued is how many certificates weftd has given.
func (s *shop) issued() float64 {
	s.t.Helper()
	return value(page(s.t, "http://127.0.0.1:9876/metrics", nil), "weftd_ca_issued_total")
}

// begin starts both sidecars, and waits until the one asks the other.
func (s *shop) begin() *shop {
	s.t.Helper()
	for _, w := range []*workload{s.web, s.client} {
		w.redirect()
		w.begin()
		w.isReady()
	}
	s.opens()
	return s
}

// opens waits until the client asks the other as itself.
func (s *shop) opens() {
	s.t.Helper()
	ask := posts(s.client.transport(""), "http://"+webIP+"/")
	err := error(nil)
	defer func() {
		if s.t.Failed() {
			s.t.Log(err)
		}
	}()
	eventually(s.t, "the client is taken as itself", func() bool {
		err = ask()
		return err == nil
	})
}

// load is of all kinds that there are.
func (s *shop) load() *load {
	l := &load{t: s.t}
	s.t.Cleanup(func() { l.ended.Store(true); l.all.Wait() })
	l.asks("requests, HTTP/1.1, kept", posts(s.client.kept(), "http://"+webIP+"/"))
	l.asks("requests, HTTP/1.1, kept, another", posts(s.client.kept(), "http://"+webIP+"/"))
	l.asks("requests, HTTP/1.1, one each", posts(s.client.transport(""), "http://"+webIP+"/"))
	l.asks("requests, HTTP/2", posts(s.client.two(), "http://"+webIP+":81/"))
	l.asks("a connection in plain text, inbound", echoes(s.t, func() (net.Conn, error) { return net.Dial("tcp", s.web.ip+":9000") }))
	for _, network := range []string{"udp", "tcp"} {
		l.asks("names over "+network, s.client.names(network, "web.shop.internal.", webIP))
	}
	for _, w := range []*workload{s.client, s.web} {
		for _, port := range []string{"15020", "15021"} {
			l.asks("readiness of "+w.account+" at "+port, gets(&http.Transport{DisableKeepAlives: true}, "http://"+w.ip+":"+port+"/healthz/ready"))
			l.asks("readiness of "+w.account+" at "+port+", kept", gets(&http.Transport{}, "http://"+w.ip+":"+port+"/healthz/ready"))
		}
		l.asks("the certificate of "+w.account, w.secrets())
	}
	return l
}

// upgrade has another process take the sidecar's place, and waits until the one before has ended. The counters of both are one then.
func (w *workload) upgrade() {
	w.t.Helper()
	before := w.process
	w.process = w.upgrading()
	if code := before.goes(); code != 0 {
		w.t.Errorf("the process before has ended with %d", code)
	}
}

// upgrading begins one.
func (w *workload) upgrading() *process {
	w.t.Helper()
	c := exec.Command(program(w.t), "upgrade", strconv.Itoa(w.cmd.Process.Pid))
	c.SysProcAttr, c.Env = asProxy(), []string{"HOME=/"}
	return begins(w.t, w.pod, c)
}

// files are those below the pod's folder.
func (w *workload) files() (list []string) {
	filepath.WalkDir(w.dir, func(path string, _ fs.DirEntry, _ error) error {
		list = append(list, path)
		return nil
	})
	return list
}

// completed counts requests that have come to a workload.
const completed = "envoy_http_downstream_rq_completed"

// A sidecar is upgraded in place, the client's, the server's, and both again, and nothing is lost of whatever is asked: through it, or of itself. Counters go on, the certificate stays, and nobody is asked for another one.
func TestUpgrade(t *testing.T) {
	s := newShop(t, true).begin()
	base := s.web.counted(completed)
	files, issued := s.web.files(), s.issued()
	l := s.load()
	l.more(20)
	for _, w := range []*workload{s.client, s.web, s.client, s.web} {
		w.upgrade()
		l.more(20)
	}
	asked := l.end("requests")
	var counted float64
	eventually(t, "all requests are counted", func() bool {
		counted = s.web.counted(completed) - base
		return counted >= float64(asked)
	})
	if counted != float64(asked) {
		t.Errorf("%v requests are counted of %d", counted, asked)
	}
	t.Logf("%d requests, %v counted", asked, counted)
	if now := s.issued(); now != issued {
		t.Errorf("%v certificates are issued, and %v were: want that those who take a place go on with what there was", now, issued)
	}
	if now := s.web.files(); !slices.Equal(now, files) {
		t.Errorf("there are\n%s\nand were\n%s", strings.Join(now, "\n"), strings.Join(files, "\n"))
	}
}

// A process that is to take a sidecar's place and is killed before it is ready has changed nothing; neither has one that waits for a control plane that does not answer. When that answers, the next one takes the place.
func TestUpgradeIsKilled(t *testing.T) {
	s := newShop(t, true).begin()
	l := s.load()
	l.more(10)
	s.process.cmd.Process.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.process.cmd.Process.Signal(syscall.SIGCONT) })
	for _, w := range []*workload{s.client, s.web, s.web} {
		next := w.upgrading()
		eventually(t, "it has begun", func() bool { return strings.Contains(next.says(), "has the certificate of before") })
		l.more(50)
		next.kill()
		if !running(w.process) {
			t.Fatalf("the sidecar of %s has ended", w.account)
		}
		l.more(10)
		eventually(t, "the admin pages are back", func() bool {
			r, err := (&http.Client{Transport: w.transport("127.0.0.1:15000")}).Get("http://admin/ready")
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
	}
	s.process.cmd.Process.Signal(syscall.SIGCONT)
	for _, w := range []*workload{s.client, s.web} {
		w.upgrade()
		l.more(10)
	}
	l.end("")
}

// running says whether a process has not ended.
func running(p *process) bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// From another container of the pod, which sees no process of the first, a sidecar takes the place of whoever runs, or is the first. One that is started with no such word beside another says what is wrong, and so does an upgrade of
// what can have none.
func TestTakeOver(t *testing.T) {
	s := newShop(t, true)
	for _, w := range []*workload{s.web, s.client} {
		w.redirect()
		w.begin("WEFT_TAKE_OVER=true") // whoever comes first
		w.isReady()
	}
	s.opens()
	l := s.load()
	l.more(10)
	for _, w := range []*workload{s.client, s.web} {
		before := w.process
		second := *w
		second.begin()
		if code := second.goes(); code != 1 || !strings.Contains(second.says(), "another sidecar with the admin port 15000 runs here") {
			t.Errorf("a second one ends with %d and says\n%s", code, second.says())
		}
		w.container("WEFT_TAKE_OVER=true")
		if code := before.goes(); code != 0 {
			t.Errorf("the one before ends with %d", code)
		}
		l.more(10)
		// It is its container's first process, and sees itself as 1.
		c := exec.Command("nsenter", "-t", strconv.Itoa(w.cmd.Process.Pid), "-p", "-m", "setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups", program(t), "upgrade", "1")
		if p := begins(t, w.pod, c); p.goes() != 1 || !strings.Contains(p.says(), "the container ends with it") {
			t.Errorf("an upgrade of a container's first process says\n%s", p.says())
		}
		// Another user may not.
		c = exec.Command(program(t), "upgrade", strconv.Itoa(w.cmd.Process.Pid))
		if p := begins(t, w.pod, c); p.goes() != 1 || !strings.Contains(p.says(), "is of user 1337, and this one of user 0") {
			t.Errorf("an upgrade by another user says\n%s", p.says())
		}
		l.more(10)
	}
	for _, w := range []*workload{s.client, s.web} { // and once more, from one container to another
		before := w.process
		w.container("WEFT_TAKE_OVER=true")
		before.goes()
		l.more(10)
	}
	l.end("")
}

// container starts the sidecar as the first process of a container that has its own processes.
func (w *workload) container(env ...string) {
	w.t.Helper()
	c := exec.Command("sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && exec setpriv --reuid 1337 --regid 1337 --clear-groups "$@"`, "sh", agentProgram(w.t), "proxy", "sidecar", "--domain", "shop.svc.cluster.local", "--proxyLogLevel=warning")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	c.Dir, c.Env = w.dir, append(append(w.env[:len(w.env):len(w.env)], "PATH=/usr/sbin:/usr/bin:/sbin:/bin"), env...)
	w.process = begins(w.t, w.pod, c)
}

// A sidecar that has started its application keeps its place, and says why.
func TestApplicationKeepsItsSidecar(t *testing.T) {
	s := newShop(t, true)
	w := s.client
	c := exec.Command(program(t), "sidecar", "--domain", "shop.svc.cluster.local", "--", "sleep", "1000")
	c.Dir, c.Env, c.SysProcAttr = w.dir, append(w.env[:len(w.env):len(w.env)], "PATH=/usr/bin:/bin"), asProxy()
	w.process = begins(t, w.pod, c)
	w.isReady()
	next := w.upgrading()
	if code := next.goes(); code != 1 || !strings.Contains(next.says(), "has started the application and ends with it") {
		t.Errorf("it ends with %d and says\n%s", code, next.says())
	}
	second := *w
	second.begin("WEFT_TAKE_OVER=true")
	if code := second.goes(); code != 1 || !strings.Contains(second.says(), "has started the application and ends with it") {
		t.Errorf("who takes over ends with %d and says\n%s", code, second.says())
	}
	if !running(w.process) {
		t.Error("the sidecar has ended")
	}
}

// A process that is killed when it has taken the place leaves one that nobody has: the next one takes it, from who was before both, and has the identity from there.
func TestSuccessorIsKilled(t *testing.T) {
	s := newShop(t, true).begin()
	issued := s.issued()
	for _, w := range []*workload{s.client, s.web} {
		first := w.process
		next := w.upgrading()
		ask, ready := gets(&http.Transport{DisableKeepAlives: true}, "http://"+w.ip+":15021/healthz/ready"), 0
		eventually(t, "the other one answers, and the one before is told to go", func() bool {
			if err := ask(); err != nil {
				t.Error(err)
			}
			if strings.Contains(next.says(), "the proxy is ready") {
				ready++ // which is said when it is asked for the first time, at about the time at which the one before is told
			}
			return ready > 10
		})
		next.kill()
		w.begin("WEFT_TAKE_OVER=true")
		w.isReady()
		s.opens()
		first.goes()
		s.opens()
		if _, err := w.secret(); err != nil {
			t.Errorf("the certificate of %s is not told: %v", w.account, err)
		}
	}
	if now := s.issued(); now != issued {
		t.Errorf("%v certificates are issued, and %v were", now, issued)
	}
}

// A service of systemd is not upgraded from beside: the end of its process is the service's.
func TestServiceKeepsItsPlace(t *testing.T) {
	s := newShop(t, true)
	w := s.client
	c := exec.Command("/bin/sh", "-c", `SYSTEMD_EXEC_PID=$$ exec "$0" sidecar --domain shop.svc.cluster.local`, program(t))
	c.Dir, c.Env, c.SysProcAttr = w.dir, w.env, asProxy()
	w.process = begins(t, w.pod, c)
	w.isReady()
	next := w.upgrading()
	if code := next.goes(); code != 1 || !strings.Contains(next.says(), "is a service of systemd") {
		t.Errorf("it ends with %d and says\n%s", code, next.says())
	}
	if !running(w.process) {
		t.Error("the sidecar has ended")
	}
}
