package netns

import (
	"bytes"
	"encoding/json"
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
	"time"

	"github.com/containernetworking/cni/libcni"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/capture"
	"github.com/weftmesh/weft/cni"
	_ "github.com/weftmesh/weft/cni/node"
	"github.com/weftmesh/weft/control/inject"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// node is a Kubernetes node, as far as networks of pods go: an API server, the folders of plugins and networks, and weft node, which has its own account.
type node struct {
	t                           testing.TB
	api                         *kube.Cluster
	dir                         string
	programs, networks, account string
	agent                       *exec.Cmd
	said                        bytes.Buffer
}

// rights are those that the agent and the plugin have.
const rights = `
{apiVersion: v1, kind: Namespace, metadata: {name: mesh}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: weft-cni, namespace: mesh}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: weft-cni-plugin, namespace: mesh}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: weft-cni}, rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch, patch]}, {apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}, {apiGroups: [apps], resources: [daemonsets], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: weft-cni-plugin}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: weft-cni}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: weft-cni}, subjects: [{kind: ServiceAccount, name: weft-cni, namespace: mesh}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: weft-cni-plugin}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: weft-cni-plugin}, subjects: [{kind: ServiceAccount, name: weft-cni-plugin, namespace: mesh}]}
`

// daemonSet is the agent's, whose being there says that it is only made anew.
const daemonSet = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: weft-cni, namespace: mesh}, spec: {selector: {matchLabels: {app: weft-cni}}, template: {metadata: {labels: {app: weft-cni}}, spec: {containers: [{name: node, image: "a:1"}]}}}}`

// first is a plugin of somebody else's: it says what it is asked for, and has the network given already.
const first = `#!/bin/sh
echo "$CNI_COMMAND" >> "$(dirname "$0")/calls"
cat > /dev/null
[ "$CNI_COMMAND" = ADD ] && printf '%s' '{"cniVersion":"VERSION","interfaces":[{"name":"eth0","mac":"0a:58:0a:4d:01:02","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"address":"10.77.1.2/24","gateway":"10.77.1.1","interface":0}],"dns":{"search":["one.test"]}}'
exit 0
`

func newNode(t testing.TB, api *kube.Cluster, version string) *node {
	t.Helper()
	n := &node{t: t, api: api}
	var err error
	if n.dir, err = os.MkdirTemp(folder, "node"); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]*string{"programs": &n.programs, "networks": &n.networks, "account": &n.account} {
		*at = filepath.Join(n.dir, name)
		if err := os.Mkdir(*at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(api.Kubeconfig), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	api.Apply(rights)
	write(t, filepath.Join(n.account, "ca.crt"), string(ca))
	write(t, filepath.Join(n.account, "token"), api.Token("mesh", "weft-cni"))
	write(t, filepath.Join(n.programs, "first"), strings.ReplaceAll(first, "VERSION", version))
	if err := os.Chmod(filepath.Join(n.programs, "first"), 0o755); err != nil {
		t.Fatal(err)
	}
	return n
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs weft node until it says that all is in place.
func (n *node) start(args ...string) {
	n.t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", vacant.Ports(n.t, 1)[0])
	n.agent = exec.Command(program(n.t), append([]string{"node", "--programs", n.programs, "--networks", n.networks, "--account", n.account, "--api-server", n.api.URL,
		"--namespace", "mesh", "--node", "one", "--listen", address}, args...)...)
	n.agent.Stdout, n.agent.Stderr = &n.said, &n.said
	if err := n.agent.Start(); err != nil {
		n.t.Fatal(err)
	}
	agent := n.agent
	n.t.Cleanup(func() {
		if agent.ProcessState == nil {
			agent.Process.Kill()
			agent.Wait()
		}
		if n.t.Failed() {
			n.t.Logf("weft node said:\n%s", n.said.String())
		}
	})
	eventually(n.t, "the agent is ready", func() bool {
		r, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// stop tells the agent to end, and waits for it.
func (n *node) stop() {
	n.t.Helper()
	n.agent.Process.Signal(syscall.SIGTERM)
	if err := n.agent.Wait(); err != nil {
		n.t.Fatalf("weft node: %v\n%s", err, n.said.String())
	}
}

// network is that of the node, as a runtime finds it.
func (n *node) network() *libcni.NetworkConfigList {
	n.t.Helper()
	files, err := libcni.ConfFiles(n.networks, []string{".conf", ".conflist", ".json"})
	if err != nil || len(files) == 0 {
		n.t.Fatalf("%q: %v", files, err)
	}
	list, err := libcni.ConfListFromFile(files[0])
	if err != nil {
		n.t.Fatal(err)
	}
	return list
}

// sandbox is a pod that a runtime is to give a network to.
func (n *node) sandbox(p *pod, space, name, uid string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: "c" + strings.ReplaceAll(name, "-", ""), NetNS: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.ns.Fd()), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", space}, {"K8S_POD_NAME", name}, {"K8S_POD_UID", uid}}}
}

func (n *node) runtime() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir([]string{n.programs}, filepath.Join(n.dir, "cache"), nil)
}

// made is a pod that the API server has.
type made struct {
	Metadata struct {
		UID    string
		Labels map[string]string
	}
	Spec struct {
		InitContainers []struct {
			Name string
			Args []string
		}
	}
}

// manifest is a pod with a sidecar, as injection makes it. of is what follows its name, and spec what follows its containers.
func manifest(t testing.TB, name, of, spec, install string, proxy map[string]string) string {
	t.Helper()
	in, err := inject.ReadInstall([]byte("{image: 'registry.test/weft:1', " + install + "}"))
	if err != nil {
		t.Fatal(err)
	}
	w := &inject.World{Install: in, Config: &meshv1.MeshConfig{DefaultConfig: &meshv1.ProxyConfig{ProxyMetadata: proxy}}, Discovery: "weftd.mesh.svc:15012", Namespace: "shop", RootNamespace: "mesh"}
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %q, "namespace": "shop"%s}, "spec": {"nodeName": "one", "serviceAccountName": "default", %s}}`, name, of, spec)
	out, _, err := inject.File([]byte(text), "shop", func(string) *inject.World { return w })
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// create has the API server keep one.
func (n *node) create(name, of, install string, proxy map[string]string) (m made) {
	n.t.Helper()
	n.api.Apply(manifest(n.t, name, of, `"containers": [{"name": "work", "image": "work:1"}]`, install, proxy))
	n.api.Get(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop}}", name), &m)
	return m
}

// validate runs what the pod's istio-validation runs, as it is run: by the proxy's user, who may nothing.
func (n *node) validate(p *pod, m made) (code int, said string) {
	n.t.Helper()
	i := slices.IndexFunc(m.Spec.InitContainers, func(c struct {
		Name string
		Args []string
	}) bool {
		return c.Name == cni.ValidationName
	})
	if i < 0 {
		n.t.Fatalf("no %s in %+v", cni.ValidationName, m)
	}
	c := exec.Command(program(n.t), append([]string{"pilot-agent"}, m.Spec.InitContainers[i].Args...)...)
	c.Env = append(os.Environ(), "PROBE_TIMEOUT=700ms")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}}
	if p.cgroup != nil {
		c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(p.cgroup.Fd())
	}
	var out []byte
	err := p.try(func() (err error) {
		out, err = c.CombinedOutput()
		return err
	})
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// ours says that something in the pod is captured, by whichever means.
func (p *pod) ours() bool {
	p.t.Helper()
	var there []string
	p.do(func() (err error) {
		there, err = capture.Clean(capture.Options{Settings: capture.Defaults()})
		return err
	})
	return len(there) > 0
}

const list = `{"cniVersion": "VERSION", "name": "pods", "disableCheck": false, "plugins": [{"type": "first", "mtu": 9007199254740993, "ipam": {"a": [1.50, null]}}]}`

// A runtime calls the plugin behind another one, whose result comes back as it was; the pod's traffic is captured then, as its istio-validation finds, which may nothing itself.
func TestCNICapturesPods(t *testing.T) {
	api := kube.Start(t)
	for name, version := range map[string]string{capture.BackendIPTables: "0.4.0", capture.BackendNFTables: "1.1.0", capture.BackendAuto: "1.0.0"} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, api, version)
			write(t, filepath.Join(n.networks, "10-first.conflist"), strings.ReplaceAll(list, "VERSION", version))
			n.start("--backend", name, "--repair", "off")
			p, runtime, ctx := newPod(t), n.runtime(), t.Context()
			m := n.create("web-"+name, "", "cni: true, dualStack: true", map[string]string{"ISTIO_META_DNS_CAPTURE": "true"})
			sandbox := n.sandbox(p, "shop", "web-"+name, m.Metadata.UID)
			if code, said := n.validate(p, m); code != 126 {
				t.Fatalf("before: %d %s", code, said)
			}
			for range 2 { // a runtime may call again
				began := time.Now()
				r, err := runtime.AddNetworkList(ctx, n.network(), sandbox)
				t.Logf("ADD took %v", time.Since(began))
				if err != nil {
					t.Fatal(err)
				}
				text, _ := json.Marshal(r)
				for _, want := range []string{`"10.77.1.2/24"`, `"0a:58:0a:4d:01:02"`, `"search":["one.test"]`, `"cniVersion":"` + version + `"`} {
					if !strings.Contains(string(text), want) {
						t.Errorf("no %s in %s", want, text)
					}
				}
			}
			if code, said := n.validate(p, m); code != 0 {
				t.Errorf("after: %d %s", code, said)
			}
			o := p.options(capture.Options{Backend: name}, "-i", "*", "-b", "*", "-x", "", "-d", "15090,15021,15020", "-u", "1337", "--redirect-dns", "--capture-all-dns", "--dual-stack")
			if r := p.check(o); !r.OK() || name != capture.BackendAuto && !strings.HasPrefix(r.Backend, name) {
				t.Errorf("%+v", r)
			}
			if err := runtime.CheckNetworkList(ctx, n.network(), sandbox); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.agent.Process.Pid))
			for line := range strings.Lines(string(status)) {
				if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "RssAnon") {
					t.Log("the agent:", strings.TrimSpace(line))
				}
			}
			if !p.ours() { // and takes it away
				t.Error("nothing was there")
			}
			if err := runtime.CheckNetworkList(ctx, n.network(), sandbox); err == nil || !strings.Contains(err.Error(), "not captured as it should be") {
				t.Errorf("CHECK of what is not there: %v", err)
			}
			if err := runtime.DelNetworkList(ctx, n.network(), sandbox); err != nil {
				t.Errorf("DEL: %v", err)
			}
			if version == "1.1.0" {
				if err := runtime.GetStatusNetworkList(ctx, n.network()); err != nil {
					t.Errorf("STATUS: %v", err)
				}
				if err := runtime.GCNetworkList(ctx, n.network(), &libcni.GCArgs{}); err != nil {
					t.Errorf("GC: %v", err)
				}
			}
		})
	}
}

// A namespace may demand Kubernetes' strictest level (Pod Security, restricted), which an init container that captures does not come up to.
func TestCNIPodsWantNoRight(t *testing.T) {
	api := kube.Start(t)
	api.Apply(`{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}}`)
	const spec = `"securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "work", "image": "work:1", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]`
	for install, want := range map[string]int{"cni: true": http.StatusCreated, "cni: true, nativeSidecar: true": http.StatusCreated, "cni: false": http.StatusForbidden} {
		code, text := api.Create(manifest(t, "strict", "", spec, install, nil), true)
		if code != want || want == http.StatusForbidden && !strings.Contains(string(text), "NET_ADMIN") {
			t.Errorf("%s: %d %s", install, code, text)
		}
	}
}

// A node that starts adds many pods at once: each is captured, whichever lock iptables takes.
func TestCNICapturesManyAtOnce(t *testing.T) {
	api := kube.Start(t)
	n := newNode(t, api, "1.0.0")
	write(t, filepath.Join(n.networks, "10-first.conflist"), strings.ReplaceAll(list, "VERSION", "1.0.0"))
	for _, backend := range []string{capture.BackendIPTables, capture.BackendNFTables} {
		n.start("--repair", "off", "--backend", backend)
		const many = 16
		var pods [many]*pod
		failed := make(chan error, many)
		for i := range pods {
			name := fmt.Sprintf("%s-%d", backend, i)
			pods[i] = newPod(t)
			sandbox := n.sandbox(pods[i], "shop", name, n.create(name, "", "cni: true", nil).Metadata.UID)
			go func() {
				_, err := n.runtime().AddNetworkList(t.Context(), n.network(), sandbox)
				failed <- err
			}()
		}
		for range pods {
			if err := <-failed; err != nil {
				t.Errorf("%s: %v", backend, err)
			}
		}
		for i, p := range pods {
			if !p.ours() {
				t.Errorf("%s: pod %d is not captured", backend, i)
			}
		}
		n.agent.Process.Kill()
		n.agent.Wait()
	}
}

// Who has no sidecar, or captures itself, is left alone; what a pod says to the node beside what is to be captured does not count; and what cannot be done or known fails.
func TestCNILeavesAloneAndRefuses(t *testing.T) {
	api := kube.Start(t)
	n := newNode(t, api, "1.0.0")
	write(t, filepath.Join(n.networks, "10-first.conflist"), strings.ReplaceAll(list, "VERSION", "1.0.0"))
	n.start("--exclude-namespaces", "kube-system,quiet", "--repair", "off", "--backend", "nftables")
	runtime, ctx := n.runtime(), t.Context()
	add := func(p *pod, space, name, uid string) error {
		_, err := runtime.AddNetworkList(ctx, n.network(), n.sandbox(p, space, name, uid))
		return err
	}
	other := newPod(t)
	elsewhere := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.ns.Fd())
	for _, one := range []struct {
		name, more, install string
		captured            bool
	}{
		{"plain", `, "labels": {"sidecar.istio.io/inject": "false"}`, "cni: true", false},
		{"itself", "", "cni: false", false},
		{"nothing", `, "annotations": {"sidecar.istio.io/interceptionMode": "NONE"}`, "cni: true", false},
		{"native", "", "cni: true, nativeSidecar: true", true},
		{"ports", `, "annotations": {"traffic.sidecar.istio.io/excludeInterfaces": "eth0"}`, "cni: true", true},
	} {
		p := newPod(t)
		m := n.create(one.name, one.more, one.install, nil)
		err := add(p, "shop", one.name, m.Metadata.UID)
		if got := p.ours(); err != nil || got != one.captured {
			t.Errorf("%s: captured %v: %v", one.name, got, err)
		}
	}
	// By hand, as whoever may make pods may.
	for name, one := range map[string]struct {
		args, env, wrong string
	}{
		"hostile": {`["istio-iptables", "-i", "*", "-b", "*", "--network-namespace", "` + elsewhere + `", "--cleanup-only", "--dry-run", "--force-iptables-binary", "legacy"]`, `[]`, ""},
		"unknown": {`["istio-iptables", "-i", "*", "--nonsense"]`, `[]`, "nonsense"},
		"ranges":  {`["istio-iptables", "-i", "everywhere"]`, `[]`, "no range"},
		"program": {`["sleep", "1"]`, `[]`, "let the pod be injected anew"},
		"groups":  {`["istio-iptables", "-i", "*"]`, `[{"name": "ISTIO_OUTBOUND_OWNER_GROUPS", "value": "java"}]`, "want a group's number"},
	} {
		p := newPod(t)
		var m made
		api.Apply(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %q, "namespace": "shop", "annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "istio-proxy", "image": "a:1", "env": %s}], "initContainers": [{"name": "istio-validation", "image": "a:1", "args": %s}]}}`,
			name, one.env, one.args))
		api.Get(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop}}", name), &m)
		err := add(p, "shop", name, m.Metadata.UID)
		if got := p.ours(); got != (one.wrong == "") || (err != nil) != (one.wrong != "") || err != nil && !strings.Contains(err.Error(), one.wrong) {
			t.Errorf("%s: captured %v: %v", name, got, err)
		}
	}
	if other.ours() {
		t.Error("a pod has had another one's traffic captured")
	}
	p := newPod(t)
	if err := add(p, "shop", "native", "of-another-pod"); err == nil || !strings.Contains(err.Error(), "another pod of that name") || p.ours() {
		t.Errorf("a pod of another identity: %v", err)
	}
	api.Stop()
	began := time.Now()
	if err := add(p, "shop", "native", ""); err == nil || !strings.Contains(err.Error(), "is not known, so that it is not started") || p.ours() {
		t.Errorf("without an API server: %v", err)
	}
	t.Logf("refused after %v", time.Since(began))
	// The agent's own pod among them, which renews what the others want.
	if err := os.Remove(filepath.Join(n.networks, cni.Name+"-kubeconfig")); err != nil {
		t.Fatal(err)
	}
	for _, space := range []string{"quiet", "mesh"} {
		if err := add(p, space, "any", ""); err != nil {
			t.Errorf("in a namespace that is left alone: %v", err)
		}
	}
}
