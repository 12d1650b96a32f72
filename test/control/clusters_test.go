package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control"
	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// podIn is a Pod that serves the shop at an address of this host. The addresses that slices may have are none of this host's, so that requests are by what a ServiceEntry chooses.
func podIn(address string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: a, labels: {app: shop}}
spec: {containers: [{name: c, image: x}]}
status: {phase: Running, podIP: %q, podIPs: [{ip: %[1]q}], conditions: [{type: Ready, status: "True"}]}
`, address)
}

// serves has a cluster have a Pod that runs.
func serves(c *kube.Cluster, address string) {
	c.Apply(podIn(address))
	c.ApplyStatus(podIn(address))
}

// attaches is the Secret that attaches a cluster, as istioctl create-remote-secret writes it.
func attaches(name, kubeconfig string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: istio-remote-secret-%s, namespace: istio-system, labels: {istio/multiCluster: \"true\"}}, stringData: {%[1]s: %q}}", name, kubeconfig)
}

// following are the clusters that a weftd follows, by name.
func (p *plane) following() map[string]control.ClusterStatus {
	var all []control.ClusterStatus
	json.Unmarshal([]byte(p.page("/api/clusters")), &all)
	by := map[string]control.ClusterStatus{}
	for _, one := range all {
		by[one.Name] = one
	}
	return by
}

// shopOf is a service that Pods at two addresses of this host serve, at one port.
func shopOf(t *testing.T) (s *shop, entry string) {
	t.Helper()
	s = &shop{t: t, port: vacant.Ports(t, 1)[0], one: vacant.Ports(t, 1)[0], client: http.Client{Timeout: deadline, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	t.Cleanup(s.client.CloseIdleConnections)
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, s.one))
		if err != nil {
			t.Fatal(err)
		}
		up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, address) }))
		up.Listener.Close()
		up.Listener = l
		up.Start()
		t.Cleanup(up.Close)
	}
	return s, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop, namespace: a}
spec: {hosts: [shop.test], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: %d, name: http, protocol: HTTP, targetPort: %d}], workloadSelector: {labels: {app: shop}}}
`, s.port, s.one)
}

// answering are those that some requests were answered by, in order.
func (s *shop) answering() string {
	by := map[string]bool{}
	for range 40 {
		if who, err := s.ask(context.Background()); err == nil {
			by[who] = true
		}
	}
	var all []string
	for who := range by {
		all = append(all, who)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestClustersAreAttached has the endpoints of a second cluster come and go under load, attached by a Secret and by weftctl, and its API server be away meanwhile.
func TestClustersAreAttached(t *testing.T) {
	const first, both = "127.0.0.1", "127.0.0.1 127.0.0.2"
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s, entry := shopOf(t)
			audit := filepath.Join(t.TempDir(), "audit")
			p := newPlaneOf(t, sources[1], map[string]string{"entry": entry}, "--audit-log", audit)
			east := kube.Start(t)
			serves(p.cluster, "127.0.0.1")
			serves(east, "127.0.0.2")
			p.proxy(name)
			s.opens()
			end := s.load()
			is := func(what, want string) {
				t.Helper()
				eventually(t, what+": "+want, func() bool { return s.answering() == want })
			}
			is("at first", first)

			p.cluster.Apply(attaches("east", east.Portable()))
			is("attached by a Secret", both)
			if c := p.following()["east"]; !c.Told || !c.Discovery || c.Objects["Pod"] != 1 || c.From != "Secret istio-system/istio-remote-secret-east" {
				t.Errorf("%+v", c)
			}
			if text := p.page("/api/objects?kind=secrets") + p.page("/status") + p.page("/api/clusters"); strings.Contains(text, "current-context") || strings.Contains(text, "istio-remote-secret-east\"") && strings.Contains(text, "stringData") {
				t.Error("the kubeconfig is shown")
			}
			// Another token, and then one that is none: what was there before goes on.
			east.Apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: istio-system}}\n---\n" +
				"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reader}, rules: [{apiGroups: ['', discovery.k8s.io], resources: [services, pods, nodes, namespaces, endpointslices], verbs: [get, list, watch]}]}\n---\n" +
				"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: reader}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}, subjects: [{kind: ServiceAccount, name: reader, namespace: istio-system}]}")
			p.cluster.Apply(attaches("east", east.PortableOf(east.Token("istio-system", "reader"))))
			eventually(t, "it is said what the new account may not read, and the rest is told", func() bool {
				c := p.following()["east"]
				return c.Told && len(c.Unread) == 1 && strings.Contains(c.Unread[0], "secrets cannot be listed")
			})
			is("with another token", both)
			p.cluster.Apply(attaches("east", strings.Replace(east.Portable(), "token:", "exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}, token:", 1)))
			eventually(t, "a program is refused", func() bool {
				return strings.Contains(p.following()["east"].Refused, "the kubeconfig's users[test].exec is refused, since it has a program run")
			})
			is("refused as it is said now", both)
			p.cluster.Apply(attaches("east", east.Portable()))
			eventually(t, "it is right again", func() bool { c := p.following()["east"]; return c.Refused == "" && c.Told && len(c.Unread) == 0 })

			east.Stop()
			eventually(t, "it is away", func() bool { return p.following()["east"].Away != nil })
			is("while it is away", both)
			east.Restart()
			eventually(t, "it is back", func() bool { return p.following()["east"].Away == nil })
			is("when it is back", both)

			p.cluster.Delete("{apiVersion: v1, kind: Secret, metadata: {name: istio-remote-secret-east, namespace: istio-system}}")
			is("detached", first)
			if len(p.following()) != 1 {
				t.Errorf("%v", p.following())
			}

			file := filepath.Join(t.TempDir(), "east.yaml")
			if err := os.WriteFile(file, []byte(east.Portable()), 0o600); err != nil {
				t.Fatal(err)
			}
			// The account of weftd there, with a token that its cluster has written into a Secret.
			east.Apply(string(source.Role("weftd", "istio-system", source.Duties{})))
			if out, err := p.weftctl("", "cluster", "attach", "east", "--kubeconfig", file, "--account", "istio-system/weftd"); err == nil || !strings.Contains(out, "there is no Secret istio-system/weftd-token with its token") {
				t.Error(out, err)
			}
			east.Apply(fmt.Sprintf("{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: weftd-token, namespace: istio-system, annotations: {kubernetes.io/service-account.name: weftd}}, stringData: {token: %q}}", east.Token("istio-system", "weftd")))
			if out := p.mustctl("", "cluster", "attach", "east", "--kubeconfig", file, "--account", "istio-system/weftd"); !strings.Contains(out, "cluster east attached\n") || !strings.Contains(out, "warning: weftd keeps it in memory") {
				t.Error(out)
			}
			is("attached by weftctl", both)
			if out := p.mustctl("", "cluster", "list"); !strings.Contains(out, "east") || !strings.Contains(out, "told") || !strings.Contains(out, "weftctl, ") {
				t.Error(out)
			}
			if out, err := p.weftctl("", "cluster", "attach", "Kubernetes", "--kubeconfig", file); err == nil || !strings.Contains(out, "is the name of the first cluster") {
				t.Error(out, err)
			}
			p.mustctl("", "cluster", "detach", "east")
			is("detached by weftctl", first)
			t.Logf("%d requests under load, none lost", end())
			log, err := os.ReadFile(audit)
			if text := string(log); err != nil || !strings.Contains(text, `"what":"cluster"`) || !strings.Contains(text, `"object":"east","change":"attached"`) || !strings.Contains(text, `"object":"east","change":"detached"`) || strings.Contains(text, "current-context") {
				t.Errorf("the log: %v\n%s", err, text)
			}
		})
	}
}
