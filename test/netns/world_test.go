package netns

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one that runs until the test ends, or is killed. What it says is shown if the test fails.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

// Write implements io.Writer, for what it says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

// says is all that it has said.
func (p *process) says() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// begins starts a command, in the pod if there is one.
func begins(t *testing.T, in *pod, c *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: c, ended: make(chan struct{})}
	if c.Stderr, c.WaitDelay = p, time.Second; c.Stdout == nil {
		c.Stdout = p
	}
	err := error(nil)
	if in == nil {
		err = c.Start()
	} else {
		err = in.try(c.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { c.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s said:\n%s", filepath.Base(c.Path), strings.Join(c.Args[1:], " "), p.says())
		}
	})
	return p
}

// kill ends it with no word of warning.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// goes waits until it has ended by itself, and gives its code.
func (p *process) goes() int {
	p.t.Helper()
	eventually(p.t, "the process has ended", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	return p.cmd.ProcessState.ExitCode()
}

// mesh is a weftd in the world, over a folder of manifests.
type mesh struct {
	*process
	t      *testing.T
	config string
	store  string
	roots  string
}

func newMesh(t *testing.T, manifests string) *mesh {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil { // of the tests' own namespace
		t.Fatal(err)
	}
	m := &mesh{t: t, config: t.TempDir(), store: filepath.Join(t.TempDir(), "store")}
	if err := os.WriteFile(filepath.Join(m.config, "mesh.yaml"), []byte(manifests), 0o644); err != nil {
		t.Fatal(err)
	}
	m.begin()
	m.roots = page(t, "http://127.0.0.1:9876/ca/roots", nil)
	return m
}

// begin starts it, with what it had before, and waits until it answers.
func (m *mesh) begin() {
	m.t.Helper()
	m.process = begins(m.t, nil, exec.Command(built(m.t, "weftd"), "--config-dir", m.config, "--admin-addr", "127.0.0.1:9876", "--grpc-addr", "", "--secure-grpc-addr", ":15012", "--store", m.store))
	eventually(m.t, "weftd answers", func() bool {
		select {
		case <-m.ended:
			m.t.Fatalf("weftd ended:\n%s", m.says())
		default:
		}
		r, err := http.Get("http://127.0.0.1:9876/ready")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// token is one with which a workload of that account joins.
func (m *mesh) token(account string) string {
	m.t.Helper()
	return page(m.t, "http://127.0.0.1:9876/ca/token", map[string][]string{"identity": {"spiffe://cluster.local/ns/shop/sa/" + account}})
}

// page is what weftd's own host is told; with a form it is posted.
func page(t *testing.T, at string, form map[string][]string) string {
	t.Helper()
	get := func() (*http.Response, error) { return http.Get(at) }
	if form != nil {
		get = func() (*http.Response, error) { return http.PostForm(at, form) }
	}
	r, err := get()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r.Status, string(b), err)
	}
	return strings.TrimSpace(string(b))
}

// workload is a pod with what injection puts into it.
type workload struct {
	*pod
	*process // its sidecar
	t        *testing.T
	account  string
	mode     string // by which it is captured
	env      []string
}

// injected begins in a pod what injection puts into it: the init container, and then the sidecar, with the environment that it writes. The token is weftd's, since no API server is here.
func (p *pod) injected(t *testing.T, m *mesh, account string, env ...string) *workload {
	t.Helper()
	return p.injectedBy(t, m, "REDIRECT", account, env...)
}

// injectedBy is injected for a mode of capture.
func (p *pod) injectedBy(t *testing.T, m *mesh, mode, account string, env ...string) *workload {
	t.Helper()
	w := p.inject(t, m, account, append(env, "ISTIO_META_INTERCEPTION_MODE="+mode)...)
	w.mode = mode
	w.redirect()
	w.begin()
	w.isReady()
	return w
}

// inject puts the files there, and begins nothing.
func (p *pod) inject(t *testing.T, m *mesh, account string, env ...string) *workload {
	t.Helper()
	path := filepath.Join(p.dir, "var/run/secrets/istio/root-cert.pem")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(m.roots), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Its folders are its own, as its volumes in a pod are.
	if err := filepath.Walk(p.dir, func(path string, _ os.FileInfo, _ error) error { return os.Chown(path, proxyUser, proxyUser) }); err != nil {
		t.Fatal(err)
	}
	return &workload{pod: p, t: t, account: account, mode: "REDIRECT", env: append([]string{
		"POD_NAME=" + account + "-0", "POD_NAMESPACE=shop", "SERVICE_ACCOUNT=" + account, "INSTANCE_IP=" + p.ip, "TRUST_DOMAIN=cluster.local", "PILOT_CERT_PROVIDER=istiod", "ISTIOD_SAN=istiod.istio-system.svc",
		"CA_ADDR=" + p.world + ":15012", fmt.Sprintf(`PROXY_CONFIG={"discoveryAddress":"%s:15012","terminationDrainDuration":"1s","drainDuration":"1s","proxyStatsMatcher":{"inclusionPrefixes":["http.inbound"]}}`, p.world), fmt.Sprintf(`ISTIO_METAJSON_LABELS={"app":"%s"}`, account),
		"ISTIO_META_INTERCEPTION_MODE=REDIRECT", "ISTIO_META_DNS_CAPTURE=true", "ISTIO_META_CLUSTER_ID=Kubernetes", "ISTIO_META_WORKLOAD_NAME=" + account, "ISTIO_CPU_LIMIT=1", "WEFT_JOIN_TOKEN=" + m.token(account)}, env...)}
}

// redirect is the init container.
func (w *workload) redirect() {
	w.t.Helper()
	w.run(agentProgram(w.t), "istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", w.mode, "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--redirect-dns", "--log_output_level=default:info")
}

// begin starts the sidecar, with more of an environment.
func (w *workload) begin(env ...string) {
	w.t.Helper()
	c := exec.Command(agentProgram(w.t), "proxy", "sidecar", "--domain", "shop.svc.cluster.local", "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error", "--log_output_level=default:info")
	c.Dir, c.Env = w.dir, append(w.env[:len(w.env):len(w.env)], env...)
	c.SysProcAttr = asProxy()
	if w.mode == "TPROXY" { // as injection has it: known by its group
		c.SysProcAttr.Credential.Uid = 0
	}
	w.process = begins(w.t, w.pod, c)
}

// asProxy has a process be the proxy's user.
func asProxy() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}}
}

// isReady waits until it is, as the hook that holds the application does.
func (w *workload) isReady() {
	w.t.Helper()
	w.run(agentProgram(w.t), "wait", "--timeoutSeconds", "20", "--periodMillis", "20")
}

// agentProgram is weft by the agent's name.
func agentProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(folder, "pilot-agent")
	if err := os.Symlink(program(t), path); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return path
}
