package control

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/control/push"
	objects "github.com/weftmesh/weft/control/source"
	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// admission is a weftd in this process, which a real API server asks about pods and objects.
type admission struct {
	t       *testing.T
	cluster *kube.Cluster
	plane   *control.Plane
	port    int
	file    string // the injector's
	audit   string // the file of the audit log
}

// foreign is a webhook of somebody else's, in the same namespace and for the same revision.
const foreign = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector, labels: {app: sidecar-injector, istio.io/rev: default}}
webhooks:
- name: theirs.istio.io
  clientConfig: {service: {name: istiod, namespace: istio-system, path: /inject, port: 443}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
  failurePolicy: Ignore
  sideEffects: None
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {nobody: has-this}}
`

const sidecarImage = "registry.test/proxyv2-weft:1.30"

// newAdmission starts one, with the rights and the webhooks that weftctl manifests prints. In the place of its Service, which needs nodes, there is one that is
// another name for this host.
func newAdmission(t *testing.T) *admission {
	t.Helper()
	a := &admission{t: t, cluster: kube.Start(t), port: vacant.Ports(t, 1)[0], file: filepath.Join(t.TempDir(), "inject.yaml"), audit: filepath.Join(t.TempDir(), "audit")}
	if err := os.WriteFile(a.file, []byte("image: "+sidecarImage+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a.cluster.Install()
	a.cluster.Apply(string(source.Role("weftd", "istio-system", source.Duties{Webhooks: true})))
	a.manifests("", "canary")
	a.cluster.Apply(foreign)
	p, err := control.Start(control.Options{
		Kubeconfig: a.cluster.KubeconfigOf("istio-system", "weftd"), KubeNamespace: "istio-system", Admin: "127.0.0.1:0", Webhook: fmt.Sprintf("127.0.0.1:%d", a.port), InjectConfig: a.file, AuditLog: a.audit,
		RootOverlap: shortOverlap, Log: slog.New(slog.DiscardHandler), Level: &slog.LevelVar{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	a.plane = p
	<-p.Readied()
	eventually(t, "the webhooks are believed", func() bool { return len(a.bundles()) == 1 && a.bundles()[0] != "" })
	// An API server takes a moment to hear of its own webhooks.
	a.cluster.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: ready, labels: {istio-injection: enabled}}}")
	eventually(t, "pods are injected", func() bool {
		_, text := a.cluster.Create("{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: ready}, spec: {serviceAccountName: default, containers: [{name: one, image: one}]}}", true)
		return strings.Contains(string(text), "istio-proxy")
	})
	return a
}

// manifests applies the webhooks of a revision.
func (a *admission) manifests(revision string, tags ...string) {
	a.t.Helper()
	for text := range strings.SplitSeq(string(source.Webhooks("istio-system", revision, tags)), "---\n") {
		switch {
		case strings.TrimSpace(text) == "":
		case strings.Contains(text, "kind: Service\n"):
			if !strings.Contains(text, "  name: weftd\n") {
				a.t.Fatalf("a Service of another name:\n%s", text)
			}
			a.cluster.Apply("{apiVersion: v1, kind: Service, metadata: {name: weftd, namespace: istio-system}, spec: {type: ExternalName, externalName: localhost}}")
		default:
			a.cluster.Apply(strings.ReplaceAll(text, "port: 443\n", fmt.Sprintf("port: %d\n", a.port)))
		}
	}
}

// bundles are the different certificates that the webhooks are believed by.
func (a *admission) bundles() (out []string) {
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		var list struct {
			Items []struct {
				Metadata struct{ Labels map[string]string }
				Webhooks []struct {
					ClientConfig struct{ CABundle string }
				}
			}
		}
		a.cluster.List("/apis/admissionregistration.k8s.io/v1/"+kind, &list)
		for _, one := range list.Items {
			for _, w := range one.Webhooks {
				if one.Metadata.Labels["app"] == "weftd" && !slices.Contains(out, w.ClientConfig.CABundle) {
					out = append(out, w.ClientConfig.CABundle)
				}
			}
		}
	}
	return out
}

// pod makes one, and says whether it got a sidecar.
func (a *admission) pod(namespace, metadata string) (injected bool, code int, text string) {
	code, body := a.cluster.Create(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: %s, %s}, spec: {serviceAccountName: default, containers: [{name: one, image: one, livenessProbe: {httpGet: {port: 80}}}]}}", namespace, metadata), true)
	return strings.Contains(string(body), sidecarImage), code, string(body)
}

// An API server has a real pod injected, and has objects refused with our words.
func TestAdmission(t *testing.T) {
	a := newAdmission(t)
	c := a.cluster
	c.Apply(`
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: without, labels: {istio-injection: disabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: revised, labels: {istio.io/rev: default}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tagged, labels: {istio.io/rev: canary}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: others, labels: {istio.io/rev: other}}}
---
{apiVersion: istio.alibabacloud.com/v1, kind: ASMProxyConfig, metadata: {name: all, namespace: shop}, spec: {logLevel: trace}}
`)
	t.Run("a pod is kept with its sidecar", func(t *testing.T) {
		eventually(t, "what an object says of sidecars is known", func() bool {
			_, _, text := a.pod("shop", "")
			return strings.Contains(text, "--proxyLogLevel=trace")
		})
		code, text := c.Create(`
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}, annotations: {proxy.istio.io/config: "concurrency: 3"}}
spec: {serviceAccountName: default, containers: [{name: cart, image: cart, readinessProbe: {httpGet: {path: /ok, port: 80}}}]}
`, false)
		if code != http.StatusCreated {
			t.Fatalf("%d %s", code, text)
		}
		var pod struct {
			Metadata struct{ Annotations, Labels map[string]string }
			Spec     struct {
				Containers []struct {
					Name, Image    string
					ReadinessProbe struct{ HTTPGet struct{ Path string } }
					Env            []struct{ Name, Value string }
				}
				InitContainers []struct {
					Name string
					Args []string
				}
				Volumes []struct{ Name string }
			}
		}
		c.Get("{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop}}", &pod)
		if len(pod.Spec.Containers) != 2 || pod.Spec.Containers[1].Name != "istio-proxy" || pod.Spec.Containers[1].Image != sidecarImage || pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Path != "/app-health/cart/readyz" {
			t.Errorf("containers: %+v", pod.Spec.Containers)
		}
		if len(pod.Spec.InitContainers) != 1 || pod.Spec.InitContainers[0].Name != "istio-init" || len(pod.Spec.Volumes) != 8 || pod.Metadata.Labels["security.istio.io/tlsMode"] != "istio" || pod.Metadata.Annotations["sidecar.istio.io/status"] == "" {
			t.Errorf("%+v", pod)
		}
		if env := fmt.Sprint(pod.Spec.Containers[1].Env); !strings.Contains(env, `"concurrency":3`) || !strings.Contains(env, "weftd.istio-system.svc:15012") {
			t.Error(env)
		}
	})
	t.Run("who gets one", func(t *testing.T) {
		for _, one := range []struct {
			namespace, metadata string
			want                bool
		}{
			{"shop", "", true},
			{"shop", `labels: {sidecar.istio.io/inject: "false"}`, false},
			{"shop", `annotations: {sidecar.istio.io/inject: "false"}`, false},
			{"plain", "", false},
			{"plain", `labels: {sidecar.istio.io/inject: "true"}`, true},
			{"plain", `labels: {istio.io/rev: default}`, true},
			{"plain", `labels: {istio.io/rev: canary}`, true},
			{"plain", `labels: {istio.io/rev: other}`, false},
			{"without", `labels: {sidecar.istio.io/inject: "true"}`, false},
			{"revised", "", true},
			{"tagged", "", true},
			{"others", "", false},
		} {
			if is, code, text := a.pod(one.namespace, one.metadata); is != one.want || code != http.StatusCreated {
				t.Errorf("%s {%s}: %v, want %v: %d %s", one.namespace, one.metadata, is, one.want, code, text)
			}
		}
	})
	t.Run("a pod that asks for what there is not is refused", func(t *testing.T) {
		_, code, text := a.pod("shop", `annotations: {proxy.istio.io/config: "concurency: 3", inject.istio.io/templates: gateway}`)
		if code != http.StatusUnprocessableEntity || !strings.Contains(text, `proxy.istio.io/config\"]: concurency: is no field of ProxyConfig: concurrency?`) || !strings.Contains(text, `there is no template \"gateway\"`) {
			t.Errorf("%d %s", code, text)
		}
	})
	t.Run("an object that is wrong is refused, in the words of analyze", func(t *testing.T) {
		const wrong = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: shop}, spec: {hosts: [shop], http: [{route: [{destination: {host: shop}, wieght: 5}]}]}}`
		for manifest, want := range map[string]int{
			wrong: http.StatusUnprocessableEntity,
			strings.Replace(wrong, "wieght", "weight", 1): http.StatusCreated,
			"{apiVersion: networking.istio.io/v1alpha3, kind: DestinationRule, metadata: {name: a, namespace: shop}, spec: {host: a, trafficPolicy: {loadBalancer: {simple: FASTEST}}}}":                                                       http.StatusUnprocessableEntity,
			"{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: a, namespace: shop}, spec: {servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.test], tls: {mode: SIMPLE, credentialName: 'sds://one'}}]}}": http.StatusUnprocessableEntity,
			"{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a, namespace: shop}, spec: {action: DENY, rules: [{from: [{}]}]}}":                                                                                 http.StatusUnprocessableEntity,
			"{apiVersion: istio.alibabacloud.com/v1beta1, kind: ASMProxyConfig, metadata: {name: a, namespace: shop}, spec: {logLevel: loud}}":                                                                                                 http.StatusUnprocessableEntity,
			"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: shop}, spec: {hosts: [a.test], ports: [{number: 80, name: http}]}}":                                                                       http.StatusCreated,
		} {
			code, text := c.Create(manifest, false)
			var refusal struct{ Message string }
			json.Unmarshal(text, &refusal)
			if code != want {
				t.Errorf("%d, want %d: %s\n%s", code, want, manifest, text)
			}
			read := objects.Read([]byte(manifest), objects.Origin{})
			problems := read.Problems
			for _, o := range read.Objects {
				problems = append(problems, push.Check(o)...)
			}
			for _, one := range problems {
				if !one.Warning && !strings.Contains(refusal.Message, push.SayWhat(one)) {
					t.Errorf("%s:\n%s\nsays nothing of %s", manifest, refusal.Message, push.SayWhat(one))
				}
			}
		}
	})
}

// While the root changes, and with it the certificate that weftd shows, no pod is refused; the webhooks are believed by both roots in between.
func TestWebhooksFollowTheRoot(t *testing.T) {
	a := newAdmission(t)
	var done atomic.Bool
	var asked atomic.Int64
	var all sync.WaitGroup
	end := sync.OnceFunc(func() {
		done.Store(true)
		all.Wait()
	})
	defer end()
	for range 2 {
		all.Go(func() {
			for tick := time.NewTicker(10 * time.Millisecond); !done.Load(); <-tick.C {
				if is, code, text := a.pod("ready", ""); !is || code != http.StatusCreated {
					t.Errorf("a pod was lost: %d %s", code, text)
					return
				}
				asked.Add(1)
			}
		})
	}
	address := fmt.Sprintf("127.0.0.1:%d", a.port)
	shown := func() *x509.Certificate {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	first, bundle := shown(), a.bundles()[0]
	if !slices.Contains(first.DNSNames, "weftd.istio-system.svc") || !slices.Contains(first.DNSNames, "istiod.istio-system.svc") {
		t.Errorf("its names: %q", first.DNSNames)
	}
	r, err := http.Post("http://"+a.plane.AdminAddress.String()+"/ca/rotate", "application/x-www-form-urlencoded", nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(err, r)
	}
	r.Body.Close()
	eventually(t, "the webhooks are believed by both", func() bool {
		now := a.bundles()
		return len(now) == 1 && len(now[0]) > len(bundle)*3/2
	})
	eventually(t, "another certificate is shown", func() bool {
		return !shown().Equal(first) && string(shown().AuthorityKeyId) != string(first.AuthorityKeyId)
	})
	before := asked.Load()
	eventually(t, "and pods go on", func() bool { return asked.Load() > before+5 || t.Failed() })
	end()
	var theirs struct {
		Webhooks []struct {
			ClientConfig struct{ CABundle string }
		}
	}
	if a.cluster.Get(foreign, &theirs); len(theirs.Webhooks) != 1 || theirs.Webhooks[0].ClientConfig.CABundle != "" {
		t.Errorf("somebody else's webhook: %+v", theirs)
	}
	t.Logf("%d pods", asked.Load())
}
