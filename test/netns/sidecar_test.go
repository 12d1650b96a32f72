package netns

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/control"
)

// agentProgram is weft by the agent's name.
func agentProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(folder, "pilot-agent")
	if err := os.Symlink(program(t), path); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return path
}

// injected begins in a pod what injection puts into it: the init container, and then the sidecar, with the environment that it writes. The token is weftd's, since no API server is here.
func (p *pod) injected(t *testing.T, mode, account, roots, token string, env ...string) {
	t.Helper()
	agent := agentProgram(t)
	p.run(agent, "istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", mode, "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--redirect-dns", "--log_output_level=default:info")
	path := filepath.Join(p.dir, "var/run/secrets/istio/root-cert.pem")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(roots), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Its folders are its own, as its volumes in a pod are.
	if err := filepath.Walk(p.dir, func(path string, _ os.FileInfo, _ error) error { return os.Chown(path, proxyUser, proxyUser) }); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(agent, "proxy", "sidecar", "--domain", "shop.svc.cluster.local", "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error", "--log_output_level=default:info")
	c.Dir = p.dir
	c.Env = append([]string{
		"POD_NAME=" + account + "-0", "POD_NAMESPACE=shop", "SERVICE_ACCOUNT=" + account, "INSTANCE_IP=" + p.ip, "TRUST_DOMAIN=cluster.local", "PILOT_CERT_PROVIDER=istiod", "ISTIOD_SAN=istiod.istio-system.svc",
		"CA_ADDR=" + p.world + ":15012", fmt.Sprintf(`PROXY_CONFIG={"discoveryAddress":"%s:15012","terminationDrainDuration":"1s"}`, p.world), fmt.Sprintf(`ISTIO_METAJSON_LABELS={"app":"%s"}`, account),
		"ISTIO_META_INTERCEPTION_MODE=" + mode, "ISTIO_META_DNS_CAPTURE=true", "ISTIO_META_CLUSTER_ID=Kubernetes", "ISTIO_META_WORKLOAD_NAME=" + account, "ISTIO_CPU_LIMIT=1", "WEFT_JOIN_TOKEN=" + token}, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}}
	if mode == "TPROXY" { // as injection has it: known by its group
		c.SysProcAttr.Credential.Uid = 0
	}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	p.do(c.Start)
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", account, said.String())
		}
	})
	// As the hook that holds the application does.
	p.run(agent, "wait", "--timeoutSeconds", "20", "--periodMillis", "20")
}

// Two pods with what injection puts into them, under weftd: what a workload asks of a service arrives over mTLS, as who it is, and by TPROXY from its address; nobody else is let in; a kubelet's questions are answered, through probes and all.
func TestPodsOfAMesh(t *testing.T) {
	for _, mode := range []string{"REDIRECT", "TPROXY"} {
		t.Run(mode, func(t *testing.T) { podsOfAMesh(t, mode) })
	}
}

func podsOfAMesh(t *testing.T, mode string) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil { // of this process's own namespace
		t.Fatal(err)
	}
	client, web := newPod(t), newPod(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), fmt.Appendf(nil, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  addresses: [10.96.7.7]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 9000, name: tcp, protocol: TCP}]
  endpoints: [{address: %s, labels: {app: web}, serviceAccount: web}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
`, web.ip), 0o644); err != nil {
		t.Fatal(err)
	}
	plane, err := control.Start(control.Options{ConfigDir: dir, Admin: "127.0.0.1:9876", SecureGRPC: ":15012", Store: filepath.Join(t.TempDir(), "store"), Log: slog.New(slog.DiscardHandler), Level: &slog.LevelVar{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Close)
	<-plane.Readied()
	page := func(r *http.Response, err error) string {
		t.Helper()
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
	roots := page(http.Get("http://127.0.0.1:9876/ca/roots"))
	token := func(account string) string {
		return page(http.PostForm("http://127.0.0.1:9876/ca/token", map[string][]string{"identity": {"spiffe://cluster.local/ns/shop/sa/" + account}}))
	}
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr, " ", r.Header.Get("X-Forwarded-Client-Cert"))
	})}
	t.Cleanup(func() { app.Close() })
	go app.Serve(web.listen(t, web.ip+":8080"))
	web.injected(t, mode, "web", roots, token("web"), `ISTIO_KUBE_APP_PROBERS={"/app-health/app/readyz":{"httpGet":{"path":"/","port":8080}}}`)
	client.injected(t, mode, "client", roots, token("client"))

	ask := http.Client{Transport: client.transport(""), Timeout: 5 * time.Second}
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	eventually(t, "the client is taken as itself", func() bool {
		r, err := ask.Get("http://10.96.7.7/")
		if err != nil {
			said = err.Error()
			return false
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		said = string(b)
		return strings.Contains(said, "URI=spiffe://cluster.local/ns/shop/sa/client")
	})
	if host, _, _ := strings.Cut(said, ":"); (host == client.ip) != (mode == "TPROXY") {
		t.Errorf("the application sees %q, and its client is %s", said, client.ip)
	}
	// The mesh's names are known in the pod, to the C library as to others.
	if out := client.run("getent", "ahostsv4", "web.shop.internal"); !strings.HasPrefix(out, "10.96.7.7 ") {
		t.Errorf("web.shop.internal is %q: want 10.96.7.7", out)
	}
	// Who has no sidecar is not let in, by whatever port.
	stranger := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := stranger.Get("http://" + web.ip + ":8080/"); err == nil {
		r.Body.Close()
		t.Errorf("who has no certificate is answered with %s", r.Status)
	}
	// A kubelet, which has none, is answered: whether the sidecar is ready, how the application does, and by Prometheus's way.
	for _, path := range []string{":15021/healthz/ready", ":15020/app-health/app/readyz", ":15020/stats/prometheus", ":15090/stats/prometheus"} {
		r, err := stranger.Get("http://" + web.ip + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if r.Body.Close(); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	// What ends the sidecar is for who is in the pod.
	if r, err := stranger.Post("http://"+web.ip+":15020/quitquitquit", "", nil); err == nil {
		if r.Body.Close(); r.StatusCode == http.StatusOK {
			t.Error("somebody from outside has ended the sidecar")
		}
	}
}
