package chart

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weftmesh/weft/cni"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// TestNodeRunsAsInstalled applies the chart to a real API server, and runs weft node with the flags and the account that it gives it. Neither it nor the plugin may
// more than they do.
func TestNodeRunsAsInstalled(t *testing.T) {
	c := kube.Start(t)
	c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + namespace + "}}")
	text := rendered(t, "cni.enabled=true")
	c.Apply(text)
	dir := t.TempDir()
	for _, one := range []string{"programs", "networks", "account"} {
		if err := os.Mkdir(filepath.Join(dir, one), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(c.Kubeconfig), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"account/ca.crt": string(ca), "account/token": c.Token(namespace, "weft-cni"), "networks/10-a.conflist": `{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "a"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	container := find(t, documents(t, text), "DaemonSet", "weft-cni").Spec.Template.Spec.Containers[0]
	if !slices.Equal(container.Command, []string{"/usr/local/bin/weft"}) || container.Args[0] != "node" {
		t.Fatalf("%q %q", container.Command, container.Args)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", vacant.Ports(t, 1)[0])
	moved := strings.NewReplacer("=/host/", "="+dir+"/", "=:15014", "="+listen)
	args := []string{"node", "--api-server", c.URL, "--account", filepath.Join(dir, "account")}
	for _, one := range container.Args[1:] {
		args = append(args, moved.Replace(one))
	}
	var log bytes.Buffer
	agent := exec.Command(program(t, "weft"), args...)
	agent.Env = append(os.Environ(), "POD_NAMESPACE="+namespace, "NODE_NAME=one")
	agent.Stdout, agent.Stderr = &log, &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	eventually(t, "the readiness probe is answered", &log, func() bool {
		r, err := http.Get("http://" + listen + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	s, err := cni.ReadKubeconfig(filepath.Join(dir, "networks", cni.Name+"-kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := cni.Dial(c.URL, ca, func() (string, error) { return c.Token(namespace, "weft-cni"), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		who          *cni.Server
		method, path string
		want         int
	}{
		{s, "GET", "/api/v1/namespaces/shop/pods/none", http.StatusNotFound},
		{s, "GET", "/api/v1/pods", http.StatusForbidden},
		{s, "GET", "/api/v1/namespaces/" + namespace + "/secrets", http.StatusForbidden},
		{s, "POST", "/api/v1/namespaces/" + namespace + "/serviceaccounts/weft-cni-plugin/token", http.StatusForbidden},
		{own, "POST", "/api/v1/namespaces/" + namespace + "/serviceaccounts/weftd/token", http.StatusForbidden},
		{own, "GET", "/api/v1/namespaces/" + namespace + "/secrets", http.StatusForbidden},
		{own, "PATCH", "/api/v1/namespaces/shop/pods/none", http.StatusForbidden},
	} {
		var refused *cni.Refusal
		contentType := "application/json"
		if one.method == "PATCH" {
			contentType = "application/merge-patch+json"
		}
		if err := one.who.Ask(t.Context(), one.method, one.path, contentType, []byte("{}"), nil); !errors.As(err, &refused) || refused.Code != one.want {
			t.Errorf("%s %s: %v, want %d", one.method, one.path, err, one.want)
		}
	}
	c.Delete("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: weft-cni, namespace: " + namespace + "}}")
	agent.Process.Signal(syscall.SIGTERM)
	if err := agent.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "networks", cni.Name+"-kubeconfig")); !os.IsNotExist(err) {
		t.Errorf("the kubeconfig: %v", err)
	}
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("it said\n%s", log.String())
	}
}
