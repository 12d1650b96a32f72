package kube_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/telemetry"
	test "github.com/weftmesh/weft/test/kube"
)

const deadline = time.Minute

// follower is a test's Watch.
type follower struct {
	t       testing.TB
	cluster *kube.Cluster
	stats   *telemetry.Store
	batches chan source.Batch
	objects map[source.Key]*source.Object
	problem []string
	log     *lines
	stop    func()
}

// lines are what is logged.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), text)
}

// follow watches a cluster.
func follow(t testing.TB, kubeconfig string, change ...func(*kube.Options)) *follower {
	t.Helper()
	server, err := kube.Connect(kubeconfig, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, stats: telemetry.NewStore(0), batches: make(chan source.Batch, 1000), objects: map[source.Key]*source.Object{}, log: &lines{}}
	server.Stats = f.stats.Acquire(kube.Stats, "cluster.").Loop(0)
	o := kube.Options{Server: server, Namespace: "istio-system", MeshConfig: true, Log: slog.New(slog.NewTextHandler(f.log, nil))}
	for _, one := range change {
		one(&o)
	}
	f.cluster = kube.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	f.stop = func() {
		cancel()
		select {
		case err := <-done:
			done <- err
			if err != nil {
				t.Error(err)
			}
		case <-time.After(deadline):
			t.Error("it does not end")
		}
	}
	go func() { done <- f.cluster.Watch(ctx, func(b source.Batch) { f.batches <- b }) }()
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			f.log.mu.Lock()
			t.Logf("it logged:\n%s", f.log.all.String())
			f.log.mu.Unlock()
		}
	})
	return f
}

// next takes the next batch in, and gives what it changes: keys, with a minus before those that are gone.
func (f *follower) next() (changed []string) {
	f.t.Helper()
	select {
	case b := <-f.batches:
		f.problem = nil
		for _, p := range b.Problems {
			f.problem = append(f.problem, fmt.Sprintf("%s: %s: %s: %s", p.From.Source, p.Key, p.Path, p.Text))
		}
		for _, c := range b.Changes {
			if c.Object == nil {
				delete(f.objects, c.Key)
				changed = append(changed, "-"+c.Key.String())
				continue
			}
			if c.Object.Key != c.Key {
				f.t.Errorf("%s is told as %s", c.Object.Key, c.Key)
			}
			f.objects[c.Key] = c.Object
			changed = append(changed, c.Key.String())
		}
		return changed
	case <-time.After(deadline):
		f.t.Fatalf("nothing is told within %v", deadline)
		return nil
	}
}

// until takes batches in until something is so, and gives all that they change.
func (f *follower) until(what string, is func() bool) (changed []string) {
	f.t.Helper()
	for !is() {
		f.t.Logf("waiting until %s", what)
		changed = append(changed, f.next()...)
	}
	return changed
}

// told takes batches in until they have changed exactly these, in any order.
func (f *follower) told(want ...string) {
	f.t.Helper()
	var got []string
	for len(got) < len(want) {
		got = append(got, f.next()...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		f.t.Errorf("told %q, want %q", got, want)
	}
}

func (f *follower) object(kind source.Kind, namespace, name string) *source.Object {
	return f.objects[source.Key{Kind: kind, Namespace: namespace, Name: name}]
}

// number is a statistic.
func (f *follower) number(name string) (n int64) {
	for _, one := range f.stats.Read(telemetry.Filter{}) {
		if one.Name == "cluster."+name {
			n = one.Value
		}
	}
	return n
}

func (f *follower) says(part string) bool {
	return slices.ContainsFunc(f.problem, func(p string) bool { return strings.Contains(p, part) })
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(2 * time.Millisecond); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

const world = `
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1, beta.kubernetes.io/arch: amd64}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {istio.io/rev: blue}, annotations: {example.com/who: me}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: a, labels: {app: shop}, annotations: {networking.istio.io/exportTo: ".", example.com/who: me}}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: web, appProtocol: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-1, namespace: a, labels: {app: shop}}
spec:
  nodeName: n1
  serviceAccountName: shop
  containers: [{name: c, image: x, env: [{name: A, value: b}], ports: [{name: web, containerPort: 8080}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-x, namespace: a, labels: {kubernetes.io/service-name: shop, app: shop}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}, nodeName: n1, targetRef: {kind: Pod, namespace: a, name: shop-1}}]
ports: [{name: http, port: 8080, protocol: TCP}]
---
{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: a}, type: Opaque, stringData: {tls.key: x}}
---
{apiVersion: v1, kind: Secret, metadata: {name: release, namespace: a}, type: helm.sh/release.v1, stringData: {release: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: a}, data: {a: b}}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: shop, namespace: a}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: a}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: one\nrootNamespace: istio-config\n"}
`

const worldStatus = `
{apiVersion: v1, kind: Pod, metadata: {name: shop-1, namespace: a}, status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True"}]}}
`

// All that there is is told at once, and then what is another; what is another only where nobody reads is not told.
func TestWhatAServerHasIsTold(t *testing.T) {
	c := test.Start(t)
	c.Install()
	c.Apply(world)
	c.ApplyStatus(worldStatus)
	f := follow(t, c.Kubeconfig)
	f.next()
	if len(f.problem) > 0 {
		t.Errorf("problems: %q", f.problem)
	}
	var of []string
	for key := range f.objects {
		if key.Namespace == "a" || key.Kind == source.Node || key.Kind == source.MeshConfig || key.Kind == source.MeshNetworks {
			of = append(of, key.String())
		}
	}
	slices.Sort(of)
	if want := []string{"EndpointSlice a/shop-x", "MeshConfig default", "MeshNetworks default", "Node n1", "PeerAuthentication a/default", "Pod a/shop-1", "Secret a/key",
		"Service a/shop", "VirtualService a/shop"}; !slices.Equal(of, want) {
		t.Errorf("told %q, want %q", of, want)
	}
	pod := f.object(source.Pod, "a", "shop-1")
	if s := pod.Spec.(*source.PodSpec); s.NodeName != "n1" || s.ServiceAccountName != "shop" || s.Containers[0].Ports[0].ContainerPort != 8080 || s.Status.PodIP != "10.0.0.1" || !s.Status.Ready ||
		pod.Labels["app"] != "shop" || pod.Created.IsZero() || pod.From.Source != "test" {
		t.Errorf("the Pod: %+v %+v", pod, s)
	}
	if o := f.object(source.Service, "a", "shop"); !maps.Equal(o.Annotations, map[string]string{"networking.istio.io/exportTo": "."}) || o.Spec.(*source.ServiceSpec).Ports[0].TargetPort.Name != "web" {
		t.Errorf("the Service: %+v %+v", o, o.Spec)
	}
	if o := f.object(source.Node, "", "n1"); !maps.Equal(o.Labels, map[string]string{"topology.kubernetes.io/zone": "z1"}) {
		t.Errorf("the Node: %+v", o)
	}
	if o := f.object(source.EndpointSlice, "a", "shop-x"); len(o.Labels) != 1 || o.Spec.(*source.EndpointSliceSpec).Endpoints[0].Addresses[0] != "10.0.0.1" {
		t.Errorf("the EndpointSlice: %+v %+v", o, o.Spec)
	}

	c.Apply(strings.ReplaceAll(world, "example.com/who: me", "example.com/who: you")) // which makes none of them another
	c.ApplyStatus(strings.ReplaceAll(worldStatus, `"True"`, `"True", lastProbeTime: "2026-01-01T00:00:00Z"`))
	c.ApplyStatus(`{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {conditions: [{type: Ready, status: "True", lastHeartbeatTime: "2026-01-01T00:00:00Z"}]}}`)
	c.Apply(strings.ReplaceAll(`
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1, beta.kubernetes.io/arch: arm}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-x, namespace: a, labels: {kubernetes.io/service-name: shop, app: other}, annotations: {endpoints.kubernetes.io/last-change-trigger-time: "2026-01-01T00:00:00Z"}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}, nodeName: n1, targetRef: {kind: Pod, namespace: a, name: shop-1}}]
ports: [{name: http, port: 8080, protocol: TCP}]
`, "\t", ""))
	settled(c, f)

	c.ApplyStatus(strings.ReplaceAll(worldStatus, `"True"`, `"False"`))
	f.told("Pod a/shop-1")
	c.ApplyStatus(strings.ReplaceAll(worldStatus, `Running`, `Succeeded`))
	f.told("-Pod a/shop-1")
	c.Delete("{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: a}}")
	f.told("-Service a/shop")

	// The mesh's own configuration is followed, and a wrong one is not taken.
	mesh := func(text string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: %q}}", text)
	}
	c.Apply(mesh("trustDomain: one\nrootNamespace: other\n"))
	f.told("MeshConfig default")
	c.Apply(mesh("trustDoman: two\n"))
	f.until("it is said", func() bool { return f.says("MeshConfig default: trustDoman: is no field of MeshConfig: trustDomain?") })
	c.Apply(mesh("trustDomain: one\nrootNamespace: other\n"))
	f.until("nothing is said", func() bool { return len(f.problem) == 0 })
	c.Delete("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}}")
	f.told("-MeshConfig default", "-MeshNetworks default")

	// So does an object of Istio's.
	shop := func(field string) string {
		return "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [shop], http: [{route: [{destination: {host: shop}, " + field + ": 100}]}]}}"
	}
	c.Apply(shop("wieght"))
	f.until("it is said", func() bool {
		return f.says("test: VirtualService a/shop: spec.http[0].route[0].wieght: is no field of HTTPRouteDestination: weight?")
	})
	settled(c, f)
	c.Apply(shop("weight"))
	f.told("VirtualService a/shop")
	c.Apply("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: new, namespace: a}, spce: {hosts: [shop]}}")
	f.until("it is said", func() bool { return f.says("VirtualService a/new: spce: is no field of a VirtualService: spec?") })
	c.Delete("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: new, namespace: a}}")
	f.until("nothing is said", func() bool { return len(f.problem) == 0 })
	if f.object(source.VirtualService, "a", "new") != nil {
		t.Error("a wrong object is told")
	}
}

// settled makes sure that nothing has been told but what is about to be: a change of each kind, after which those before it have been seen.
func settled(c *test.Cluster, f *follower) {
	f.t.Helper()
	const marks = `
{apiVersion: v1, kind: Node, metadata: {name: mark, labels: {topology.kubernetes.io/zone: z%[1]d}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: mark, labels: {n: n%[1]d}}}
---
{apiVersion: v1, kind: Service, metadata: {name: mark, namespace: mark, labels: {n: n%[1]d}}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mark, namespace: mark, labels: {n: n%[1]d}}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: mark, namespace: mark}, addressType: IPv4, endpoints: [{addresses: [10.0.1.%[1]d]}]}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: mark, namespace: mark, labels: {n: n%[1]d}}, spec: {hosts: [mark], http: [{route: [{destination: {host: mark}}]}]}}
`
	n := 1
	if o := f.object(source.Node, "", "mark"); o != nil {
		fmt.Sscanf(o.Labels["topology.kubernetes.io/zone"], "z%d", &n)
		n++
	}
	c.Apply(fmt.Sprintf(marks, n))
	f.told("Node mark", "Namespace mark", "Service mark/mark", "Pod mark/mark", "EndpointSlice mark/mark", "VirtualService mark/mark")
}

// A server that tells lists only as lists is followed, too.
func TestAServerThatOnlyLists(t *testing.T) {
	c := test.Start(t, "--feature-gates=WatchList=false")
	c.Install("virtualservices")
	c.Apply(world[:strings.Index(world, "\n---\napiVersion: security")])
	f := follow(t, c.Kubeconfig)
	f.next()
	if len(f.problem) > 0 || f.object(source.VirtualService, "a", "shop") == nil || f.object(source.Node, "", "n1") == nil || f.object(source.Secret, "a", "release") != nil {
		t.Errorf("%q, %v", f.problem, f.objects)
	}
	c.Delete("{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: a}}")
	f.told("-Service a/shop")
}

// Who may not read something is told so, and serves nothing until he may.
func TestWhatMayNotBeReadIsSaid(t *testing.T) {
	c := test.Start(t)
	c.Apply(world[:strings.Index(world, "\n---\napiVersion: networking")])
	role := string(kube.Role("weftd", "istio-system", kube.Duties{}))
	c.Apply(strings.Replace(role, "- endpointslices\n", "- none\n", 1))
	f := follow(t, c.KubeconfigOf("istio-system", "weftd"))
	const why = `endpointslices.discovery.k8s.io cannot be listed and watched: endpointslices.discovery.k8s.io is forbidden`
	eventually(t, "it is said", func() bool {
		s := f.cluster.Status()
		return !s.Told && len(s.Waits) == 1 && strings.HasPrefix(s.Waits[0], why) &&
			strings.HasSuffix(s.Waits[0], `its ClusterRole needs {apiGroups: ["discovery.k8s.io"], resources: [endpointslices], verbs: [get, list, watch]}`)
	})
	eventually(t, "it is logged", func() bool { return f.log.count("because=\""+why) == 1 })
	if len(f.batches) > 0 {
		t.Error("something was told")
	}
	c.Apply(role)
	f.next()
	if f.object(source.EndpointSlice, "a", "shop-x") == nil || !f.cluster.Status().Told || f.log.count(why) != 1 {
		t.Errorf("told %v", f.objects)
	}

	// Kinds that are not installed have no objects; they are taken up when they are.
	if n := f.log.count("some kinds are not installed"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if got := f.cluster.Status().Absent; len(got) != 15 {
		t.Errorf("absent: %q", got)
	}
	c.Install("virtualservices")
	c.Apply("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}}")
	f.told("VirtualService a/shop")
	if n := f.log.count(`"a kind is installed"`); n != 1 {
		t.Errorf("said %d times", n)
	}
	c.Delete("{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: virtualservices.networking.istio.io}}")
	f.told("-VirtualService a/shop")
}

// What is no answer of an API server's, as of something between, is said of the kind that it is about; the server is not taken for lost, and is asked again.
func TestAnswersThatAreNoneAreSaid(t *testing.T) {
	var good atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !good.Load() && r.URL.Path == "/api/v1/pods" {
			io.WriteString(w, "<html>{}</html>")
			return
		}
		if r.URL.Query().Get("watch") == "" {
			io.WriteString(w, `{"metadata":{"resourceVersion":"1"},"items":[]}`)
			return
		}
		io.WriteString(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, fmt.Appendf(nil, "clusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: test, context: {cluster: c}}]\ncurrent-context: test\n", s.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path)
	eventually(t, "it is said", func() bool {
		w := f.cluster.Status().Waits
		return len(w) == 1 && strings.HasPrefix(w[0], "pods cannot be listed and watched: what the API server says of them cannot be read")
	})
	if f.cluster.Status().Away != nil || len(f.batches) > 0 {
		t.Errorf("%+v", f.cluster.Status())
	}
	good.Store(true)
	f.next()
	if n := f.number("lost_total"); n != 0 {
		t.Errorf("lost %d times", n)
	}
}
