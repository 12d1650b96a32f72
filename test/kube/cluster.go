package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// patience bounds how long a start may take. It takes two seconds alone, and many on a busy machine.
const patience = 2 * time.Minute

// Cluster is an API server and its store.
type Cluster struct {
	URL        string // without a slash at the end
	Kubeconfig string // a file: who has it may do everything
	t          testing.TB
	dir        string
	port       int
	token      string // of who may do everything
	more       []string
	key        *ecdsa.PrivateKey
	client     *http.Client
	etcd, api  *process
	mu         sync.Mutex
	places     map[string]place // of kinds, by apiVersion and kind
}

// Find is the folder with the programs: what WEFT_KUBE names, or else .cache/kube/bin of this project.
func Find() (string, error) {
	dir := os.Getenv("WEFT_KUBE")
	if dir == "" {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/weftmesh/weft").Output()
		if err != nil {
			return "", fmt.Errorf("where this project is: %w", err)
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), ".cache", "kube", "bin")
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-apiserver")); err != nil {
		return "", fmt.Errorf("no API server to test with: %w; make setup builds it, or name a folder with kube-apiserver and etcd in WEFT_KUBE", err)
	}
	return dir, nil
}

// Start runs a cluster until the test ends, whose API server has these flags beside its own. It is ready when Start returns.
func Start(t testing.TB, flags ...string) *Cluster {
	t.Helper()
	programs, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "kube") // short: the store listens at a path in it, and such a path has 107 bytes at most (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var secret [16]byte
	rand.Read(secret[:])
	c := &Cluster{t: t, dir: dir, more: flags, token: hex.EncodeToString(secret[:]), key: authority.Curve(t, elliptic.P256()), places: map[string]place{}}
	c.credentials()
	c.etcd = c.run(filepath.Join(programs, "etcd"), "--data-dir", filepath.Join(dir, "data"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", "unix://"+c.store(), "--advertise-client-urls", "unix://"+c.store(),
		"--listen-peer-urls", "unix://"+filepath.Join(dir, "peer"), "--initial-advertise-peer-urls", "http://127.0.0.1:1", "--initial-cluster", "default=http://127.0.0.1:1")
	c.startAPI(programs)
	c.kubeconfig("admin", c.token)
	c.Kubeconfig = filepath.Join(dir, "admin.yaml")
	return c
}

// store is the path at which the store listens.
func (c *Cluster) store() string { return filepath.Join(c.dir, "store") }

// credentials writes what the API server shows of itself and believes of others.
func (c *Cluster) credentials() {
	a := authority.New(c.t, c.dir)
	a.Issue("server", []string{"127.0.0.1", "localhost", "kubernetes.default.svc"}, nil)
	a.Write("tokens.csv", fmt.Appendf(nil, "%s,admin,admin,\"system:masters\"\n", c.token))
	private, err := x509.MarshalECPrivateKey(c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	a.Write("accounts.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
	roots := x509.NewCertPool()
	roots.AddCert(a.Root)
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 8}}
	c.t.Cleanup(c.client.CloseIdleConnections)
}

// issuer is who issues the tokens of service accounts.
const issuer = "https://kubernetes.default.svc"

// startAPI runs the API server. Somebody may take its port between when it is found free and when it listens; then it has another one.
func (c *Cluster) startAPI(programs string) {
	c.t.Helper()
	file := func(name string) string { return filepath.Join(c.dir, name) }
	fixed := c.port != 0
	for range 3 {
		if !fixed {
			c.port = vacant.Ports(c.t, 1)[0]
		}
		c.URL = fmt.Sprintf("https://127.0.0.1:%d", c.port)
		c.api = c.run(filepath.Join(programs, "kube-apiserver"), append([]string{"--etcd-servers", "unix://" + c.store(), "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(c.port),
			"--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/16", "--cert-dir", c.dir,
			"--tls-cert-file", file("server.pem"), "--tls-private-key-file", file("server.key"), "--authorization-mode", "RBAC", "--token-auth-file", file("tokens.csv"),
			"--service-account-issuer", issuer, "--service-account-key-file", file("accounts.key"), "--service-account-signing-key-file", file("accounts.key"),
			// There is no controller that makes the accounts of new namespaces, and that Pods are to have.
			"--disable-admission-plugins", "ServiceAccount", "--enable-priority-and-fairness=false", "--profiling=false"}, c.more...)...)
		if c.ready() {
			return
		}
		if fixed || !strings.Contains(c.api.log(), "address already in use") {
			break
		}
	}
	c.t.Fatalf("the API server is not ready:\n%s\nand its store said:\n%s", c.api.log(), c.etcd.log())
}

// ready waits until the API server serves.
func (c *Cluster) ready() bool {
	limit, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.api.ended:
			return false
		case <-limit:
			c.api.kill()
			return false
		case <-tick.C:
		}
		if code, _, err := c.try(c.t.Context(), http.MethodGet, "/readyz", "", nil); err == nil && code == http.StatusOK {
			return true
		}
	}
}

// Stop has the API server die with no word of warning. What it knows stays in its store.
func (c *Cluster) Stop() { c.api.kill() }

// Restart starts it again, at the same address.
func (c *Cluster) Restart() {
	c.t.Helper()
	programs, err := Find()
	if err != nil {
		c.t.Fatal(err)
	}
	c.Stop()
	c.startAPI(programs)
}

// try asks the API server as who may do everything.
func (c *Cluster) try(ctx context.Context, method, path, kind string, body io.Reader) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	a, err := c.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	return a.StatusCode, text, err
}

// process is one that runs until the test ends, or is killed.
type process struct {
	cmd   *exec.Cmd
	file  string // what it says
	ended chan struct{}
}

func (c *Cluster) run(path string, args ...string) *process {
	c.t.Helper()
	p := &process{cmd: exec.Command(path, args...), file: filepath.Join(c.dir, filepath.Base(path)+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	c.t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// log is the end of what it has said.
func (p *process) log() string {
	const most = 8 << 10
	text, _ := os.ReadFile(p.file)
	return string(text[max(0, len(text)-most):])
}
