package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/etcd"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// grace is how long an entry stays in these tests.
const grace = 2 * time.Second

// newMachines is a pair whose server is a machine that registers itself, under a plane over one of the sources.
func newMachines(t *testing.T, from string) *pair {
	t.Helper()
	return newMachinesOn(t, from, filepath.Join(t.TempDir(), "store"))
}

// newMachinesOn is newMachines with a store.
func newMachinesOn(t *testing.T, from, store string) *pair {
	t.Helper()
	return newPairUnder(t, func(t *testing.T, files map[string]string) *securePlane {
		text := files["mesh.yaml"]
		before, rest, _ := strings.Cut(text, "  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: ")
		ports, rest, _ := strings.Cut(rest, "}]\n")
		files["mesh.yaml"] = before + "  workloadSelector: {labels: {app: web}}\n" + rest
		files["group.yaml"] = fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm, namespace: shop}
spec:
  metadata: {labels: {app: web}}
  template: {serviceAccount: web, ports: %s}
`, ports)
		dir := t.TempDir()
		s := &securePlane{port: vacant.Ports(t, 1)[0], store: store, audit: filepath.Join(dir, "audit")}
		s.plane = newPlaneOf(t, from, files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store, "--audit-log", s.audit, "--machine-grace", grace.String())
		return s
	})
}

// machine starts the server's proxy, which shows a certificate from files, again and again if need be.
func (p *pair) machine(program string) *bystream {
	p.t.Helper()
	_, folder := p.plane.join("spiffe://cluster.local/ns/shop/sa/web")
	p.plane.meta = ", AUTO_REGISTER_GROUP: vm"
	defer func() { p.plane.meta = "" }()
	return p.plane.begin(program, "sidecar", "vm", fmt.Sprintf("tls_certificates: [{certificate_chain: {filename: %[1]s/chain}, private_key: {filename: %[1]s/key}}]", folder), "")
}

// ends ends a proxy.
func (b *bystream) ends(t *testing.T) {
	t.Helper()
	if b.process != nil {
		b.kill()
		return
	}
	r, err := http.Post("http://"+b.admin+"/quitquitquit", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

// entry are the annotations of the machine's entry; nil: there is none.
func (p *pair) entry() map[string]string {
	p.t.Helper()
	return p.entryAt(p.plane.plane)
}

// entryAt is entry as a plane has it.
func (p *pair) entryAt(at *plane) map[string]string {
	p.t.Helper()
	var o struct {
		Manifest struct {
			Metadata struct{ Annotations map[string]string }
		}
	}
	if json.Unmarshal([]byte(at.page("/api/objects/workloadentries/shop/vm-127.0.0.1")), &o) != nil {
		return nil
	}
	return o.Manifest.Metadata.Annotations
}

// A machine whose proxy names its group gets requests while it is connected, also after weftd was killed, and none any more when it has been gone for a while.
func TestMachinesRegisterThemselves(t *testing.T) {
	for i, from := range sources {
		for _, program := range proxies {
			t.Run(from+" "+program, func(t *testing.T) {
				p := newMachines(t, from)
				client := map[string]string{"envoy": "weft", "weft": "envoy"}[program]
				one := p.machine(program)
				_, folder := p.plane.join("spiffe://cluster.local/ns/shop/sa/client")
				p.plane.begin(client, "sidecar", "client", fmt.Sprintf("tls_certificates: [{certificate_chain: {filename: %[1]s/chain}, private_key: {filename: %[1]s/key}}]", folder), "")
				p.opens()
				name := p.entry()["istio.io/workloadController"]
				if name == "" {
					t.Fatalf("the entry: %v", p.entry())
				}
				p.plane.kill()
				p.plane.start()
				eventually(t, "it has registered itself again", func() bool {
					is := p.entry()
					return is["istio.io/workloadController"] != "" && is["istio.io/workloadController"] != name && is["istio.io/connectedAt"] != ""
				})
				if who, err := p.ask(t.Context()); err != nil || !strings.Contains(who, "sa/client") {
					t.Errorf("%s, %v", who, err)
				}
				if i == 1 {
					var o struct {
						Metadata struct {
							OwnerReferences []struct{ Kind, Name string }
							ManagedFields   []struct{ Manager string }
						}
					}
					p.plane.cluster.Get("{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm-127.0.0.1, namespace: shop}}", &o)
					if len(o.Metadata.OwnerReferences) != 1 || o.Metadata.OwnerReferences[0].Kind != "WorkloadGroup" {
						t.Errorf("its owner is %+v", o.Metadata)
					}
				}
				one.ends(t)
				gone := time.Now()
				eventually(t, "its entry is gone", func() bool { return p.entry() == nil })
				t.Logf("its entry is gone after %v", time.Since(gone).Round(time.Millisecond))
				if time.Since(gone) < grace {
					t.Errorf("its entry is gone after %v: want %v at least", time.Since(gone), grace)
				}
				eventually(t, "it gets no requests", func() bool {
					_, err := p.ask(t.Context())
					return err != nil && strings.Contains(err.Error(), "no healthy upstream")
				})
				if n := p.plane.number("register_deleted_total"); n != 1 {
					t.Errorf("%d were taken away", n)
				}
			})
		}
	}
}

// Of two weftd on one etcd the one dies that has a machine's stream, under load: the machine goes to the other and keeps its entry, also when that finds out that the first is dead.
func TestAMachineGoesToAnotherWeftd(t *testing.T) {
	p := newMachinesOn(t, sources[0], etcd.Start(t).Store("weft"))
	ports := vacant.Ports(t, 3)
	more := slices.Clone(p.plane.more)
	more[slices.Index(more, "--secure-grpc-addr")+1] = fmt.Sprintf("127.0.0.1:%d", ports[2])
	more[slices.Index(more, "--audit-log")+1] = filepath.Join(t.TempDir(), "audit")
	one, other := p.plane.plane, &plane{t: t, dir: p.plane.dir, mesh: p.plane.mesh, grpc: ports[0], admin: ports[1], more: more}
	other.start()
	p.plane.beside = ports[2]
	p.machine("weft")
	p.plane.joins("envoy", "client", "client")
	p.opens()
	name := ""
	eventually(t, "both know the entry", func() bool {
		name = p.entryAt(one)["istio.io/workloadController"]
		return name != "" && p.entryAt(other)["istio.io/workloadController"] == name
	})
	if one.number("register_streams") == 0 {
		one, other = other, one
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; asked++ {
			if who, err := p.ask(t.Context()); err != nil || !strings.Contains(who, "sa/client") {
				t.Errorf("lost: %s, %v", who, err)
				return
			}
		}
	}()
	one.kill()
	eventually(t, "the other has it", func() bool {
		is := p.entryAt(other)
		return is["istio.io/workloadController"] != name && is["istio.io/connectedAt"] != ""
	})
	eventually(t, "the other takes entries away", func() bool { return other.number("register_leads") == 1 })
	time.Sleep(grace) // in which an entry that was taken for a dead one's would go
	if p.entryAt(other)["istio.io/connectedAt"] == "" || other.number("register_deleted_total") > 0 {
		t.Errorf("the entry is %v, and %d were taken away", p.entryAt(other), other.number("register_deleted_total"))
	}
	cancel()
	if <-done; asked == 0 {
		t.Error("nothing was asked meanwhile")
	}
}

// A machine that weftd has died for, and that does not come back, loses its entry all the same.
func TestAMachineDiesWithItsControlPlane(t *testing.T) {
	p := newMachines(t, sources[0])
	p.plane.joins("weft", "client", "client")
	p.plane.meta = ", AUTO_REGISTER_GROUP: vm"
	one := p.plane.joins("weft", "vm", "web") // by a token, which is spent
	p.opens()
	one.ends(t)
	p.plane.kill()
	p.plane.start()
	if p.entry() == nil {
		t.Error("its entry is gone at once")
	}
	began := time.Now()
	for tick := time.NewTicker(20 * time.Millisecond); p.entry() != nil; <-tick.C { // 25 s if nothing else is done on this machine: longer than others wait
		if time.Since(began) > 3*deadline {
			t.Fatalf("its entry is still there after %v", time.Since(began))
		}
	}
	t.Logf("after %v", time.Since(began).Round(time.Millisecond))
}

// What an agent says of its workload counts: who is not well gets no requests, over either kind of stream, and is said so in its status.
func TestWhoIsNotWellGetsNoRequests(t *testing.T) {
	c := kube.Start(t)
	c.Install()
	c.Apply(string(source.Role("weftd", "istio-system", source.Duties{Workloads: true}))) // with no more rights than that
	ports := vacant.Ports(t, 3)
	dir := t.TempDir()
	s := &securePlane{port: ports[2], store: filepath.Join(dir, "store"), audit: filepath.Join(dir, "audit")}
	s.plane = &plane{t: t, cluster: c, grpc: ports[0], admin: ports[1], more: []string{"--kubeconfig", c.KubeconfigOf("istio-system", "weftd"), "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store, "--machine-grace", grace.String()}}
	c.Apply(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm, namespace: a}
spec:
  metadata: {labels: {app: web}}
  template: {serviceAccount: sleep}
  probe: {tcpSocket: {port: 80}}
`)
	s.start()
	own, _ := s.join(sleeper)
	says := func() (all []string) {
		var o struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		var list struct{ Items []json.RawMessage }
		s.cluster.List("/apis/networking.istio.io/v1/namespaces/a/workloadentries", &list)
		for _, one := range list.Items {
			o.Status.Conditions = nil
			json.Unmarshal(one, &o)
			for _, c := range o.Status.Conditions {
				all = append(all, c.Type+" "+c.Status+" "+c.Message)
			}
		}
		return all
	}
	serves := func() bool { return endpointsOf(t, s) > 0 }
	node := &corev3.Node{Id: "sidecar~10.0.0.7~one.a~a.svc.cluster.local"}
	node.Metadata, _ = structpb.NewStruct(map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none", "AUTO_REGISTER_GROUP": "vm", "PROXY_CONFIG": map[string]any{"readinessProbe": map[string]any{"tcpSocket": map[string]any{"port": 80}}}})
	const health = "type.googleapis.com/istio.v1.HealthInformation"
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.dial(own)).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is registered", func() bool {
		return s.number("register_created_total") == 1 && s.status().Objects["WorkloadEntry"] == 1
	})
	if serves() {
		t.Error("it gets requests before anybody has said that it is well")
	}
	for _, because := range []string{"", "connection refused", ""} {
		r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: health}
		if because != "" {
			r.ErrorDetail = &rpcstatus.Status{Code: int32(codes.Internal), Message: because}
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace("Healthy " + map[bool]string{true: "True", false: "False"}[because == ""] + " " + because)
		eventually(t, want, func() bool {
			all := says()
			return len(all) == 1 && strings.TrimSpace(all[0]) == want && serves() == (because == "")
		})
	}
	// It goes with its group, where there is somebody who takes away what has no owner, and here by weftd.
	c.Delete("{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: vm, namespace: a}}")
	eventually(t, "its entry is gone", func() bool { return s.status().Objects["WorkloadEntry"] == 0 })
}

// endpointsOf is how many endpoints somebody is told of the Service web.
func endpointsOf(t *testing.T, s *securePlane) (n int) {
	t.Helper()
	own, _ := s.join(sleeper)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.dial(own)).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.CloseSend()
	node := &corev3.Node{Id: "sidecar~10.0.0.8~two.a~a.svc.cluster.local"}
	node.Metadata, _ = structpb.NewStruct(map[string]any{"NAMESPACE": "a", "WEFT_IDENTITY": "none"})
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", ResourceNamesSubscribe: []string{"outbound|80||web.a.svc.cluster.local"}}); err != nil {
		t.Fatal(err)
	}
	a, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Resources {
		if strings.Contains(string(r.Resource.Value), "10.0.0.7") {
			n++
		}
	}
	return n
}

// Nobody registers who has not shown to be of the group's namespace and account, and in plain text nobody does.
func TestForeignMachinesAreRefused(t *testing.T) {
	p := newMachines(t, sources[0])
	for _, c := range []struct {
		name, identity, namespace, group string
		code                             codes.Code
	}{
		{"another account", "spiffe://cluster.local/ns/shop/sa/client", "shop", "vm", codes.PermissionDenied},
		{"another namespace", "spiffe://cluster.local/ns/other/sa/web", "shop", "vm", codes.PermissionDenied},
		{"a group of another namespace", "spiffe://cluster.local/ns/other/sa/web", "other", "vm", codes.FailedPrecondition},
		{"no such group", "spiffe://cluster.local/ns/shop/sa/web", "shop", "none", codes.FailedPrecondition},
		{"itself", "spiffe://cluster.local/ns/shop/sa/web", "shop", "vm", codes.OK},
	} {
		own, _ := p.plane.join(c.identity)
		err := first(t, p.plane.dial(own), "sidecar~10.0.0.7~one."+c.namespace+"~svc.cluster.local", map[string]any{"NAMESPACE": c.namespace, "AUTO_REGISTER_GROUP": c.group, "WEFT_IDENTITY": "none"})
		if status.Code(err) != c.code {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
	}
	if n := p.plane.number("register_refused_total"); n != 3 {
		t.Errorf("%d were refused", n) // one was nobody of that namespace to begin with
	}
	stranger := weft(t, bootstrap("NAMESPACE: shop, AUTO_REGISTER_GROUP: vm", p.plane.grpc, ""))
	before := p.plane.number("push_streams_turned_away")
	eventually(t, "it is turned away in plain text", func() bool { return p.plane.number("push_streams_turned_away") > before })
	stranger.kill()
}
