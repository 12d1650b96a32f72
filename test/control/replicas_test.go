package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	source "github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/etcd"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// replica is another weftd beside one: of the same flags, over the same directory or one of its own.
func (p *plane) replica(dir string) *plane {
	p.t.Helper()
	ports := vacant.Ports(p.t, 2)
	other := &plane{t: p.t, dir: dir, mesh: p.mesh, grpc: ports[0], admin: ports[1], more: p.more}
	other.start()
	return other
}

// apply sends objects to a plane.
func (p *plane) apply(text string) {
	p.t.Helper()
	r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/objects", p.admin), "application/yaml", strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusOK {
		p.t.Fatalf("%d %s", r.StatusCode, body)
	}
}

// versions is how many the history of the shop's VirtualService has; -1: it cannot be asked.
func (p *plane) versions() int {
	p.t.Helper()
	var all struct{ Versions []json.RawMessage }
	if json.Unmarshal([]byte(p.page("/api/history/virtualservices/a/shop")), &all) != nil {
		return -1
	}
	return len(all.Versions)
}

// Of two weftd on one etcd one dies under load: its proxies come to the other and are told nothing, no request is lost, and what is changed there is followed.
func TestAReplicaDies(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s, server := newShop(t), etcd.Start(t)
			one := newPlane(t, nil, "--store", server.Store("weft"))
			other := one.replica(t.TempDir())
			one.apply(s.entry("") + "---" + canary(100))
			eventually(t, "both have it", func() bool { return other.status().Objects["VirtualService"] == 1 })
			boot := strings.Replace(bootstrap("NAMESPACE: a", one.grpc, ""), "lb_endpoints: [",
				fmt.Sprintf("lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}, ", other.grpc), 1)
			if name == "envoy" {
				envoy.Start(t, boot)
			} else {
				weft(t, boot, "--file-flush-interval-msec", "20")
			}
			s.opens()
			settled := func(p *plane) func() bool {
				return func() bool {
					list := p.status().Proxies
					return len(list) == 1 && list[0].Synced && len(list[0].Kinds) > 3
				}
			}
			if len(one.status().Proxies) == 0 {
				one, other = other, one
			}
			eventually(t, "one has told all", settled(one))
			first := one.number("xds_response_bytes_sum")
			end := s.load()
			one.kill()
			began := time.Now()
			eventually(t, "its proxy has come to the other", settled(other))
			t.Logf("its proxy has come to the other after %v", time.Since(began).Round(time.Millisecond))
			if again := other.number("xds_response_bytes_sum"); again > 600 || first < 3000 {
				t.Errorf("told %d bytes, and %d by the other: want nothing", first, again)
			}
			other.apply(canary(0))
			eventually(t, "the other is followed", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v2" })
			one.start()
			eventually(t, "who comes back knows it", func() bool { return strings.Contains(one.page("/api/objects/virtualservices/a/shop"), `"weight": 100`) })
			if end() == 0 {
				t.Error("nothing was asked meanwhile")
			}
			if n := one.versions(); n != 2 {
				t.Errorf("%d versions: want both", n)
			}
		})
	}
}

// Of two weftd on one etcd that see the same files one writes their history, and when it dies the other goes on with it.
func TestTheWriterOfTheHistoryDies(t *testing.T) {
	s, server := newShop(t), etcd.Start(t)
	one := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)}, "--store", server.Store("weft"))
	eventually(t, "the first version is written", func() bool { return one.versions() == 1 })
	other := one.replica(one.dir)
	one.write("canary.yaml", canary(90))
	eventually(t, "the second version is written", func() bool { return other.versions() == 2 })
	one.kill()
	died := time.Now()
	one.write("canary.yaml", canary(80)) // while nobody writes
	eventually(t, "the other writes", func() bool { return other.versions() == 3 })
	t.Logf("after %v", time.Since(died).Round(time.Millisecond))
	other.write("canary.yaml", canary(70))
	eventually(t, "and goes on", func() bool { return other.versions() == 4 })
	one.start() // and has nothing to write
	other.write("canary.yaml", canary(60))
	eventually(t, "the other still writes", func() bool { return other.versions() == 5 })
	if n := one.versions(); n != 5 {
		t.Errorf("%d versions: want each once", n)
	}
}

// weftd starts while its store is away, says so, serves nobody before it has read what is in it, and then everybody. Without anything else it does not start.
func TestTheStoreIsAwayAtTheStart(t *testing.T) {
	s, server := newShop(t), etcd.Start(t)
	first := newPlane(t, map[string]string{"shop.yaml": s.entry("")}, "--store", server.Store("weft"))
	first.apply(canary(0)) // which is in the store
	first.kill()
	server.Stop()
	ports := vacant.Ports(t, 3)
	p := &plane{t: t, dir: first.dir, mesh: first.mesh, grpc: ports[0], admin: ports[1]}
	p.process = run(t, program(t, "weftd"), "--config-dir", p.dir, "--mesh-config", p.mesh, "--store", server.Store("weft"), "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", ports[2]),
		"--grpc-addr", fmt.Sprintf("127.0.0.1:%d", p.grpc), "--admin-addr", fmt.Sprintf("127.0.0.1:%d", p.admin))
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(p.page("/ready"), "waits for the store") })
	if text := p.page("/status"); !strings.Contains(text, "waits for the store") {
		t.Errorf("its status: %s", text)
	}
	for _, port := range []int{p.grpc, ports[2]} {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			t.Error("half a mesh is served")
		}
	}
	server.Restart()
	p.proxy("envoy") // which is ready when it has been told
	s.opens()
	if who, err := s.ask(t.Context()); err != nil || who != "v2" {
		t.Errorf("%s answers, %v: want what was applied to count", who, err)
	}
	if text := p.page("/ready"); !strings.HasPrefix(text, "ready") || !strings.Contains(p.page("/ca/roots"), "BEGIN CERTIFICATE") {
		t.Errorf("afterwards: %s", text)
	}
	server.Stop()
	alone := run(t, program(t, "weftd"), "--store", server.Store("weft"), "--grpc-addr", "", "--admin-addr", "")
	select {
	case <-alone.ended:
		if text := alone.said.String(); !strings.Contains(text, "nobody answers as etcd at "+server.Address) {
			t.Errorf("it says %s", text)
		}
	case <-time.After(deadline):
		t.Error("it starts with nothing to serve")
	}
}

// What must outlive weftd is in Secrets, with no more rights than weftctl manifests gives: two weftd share it, one that comes back has it, and no gateway is told of it.
func TestTheStoreInKubernetes(t *testing.T) {
	s, ports := newShop(t), vacant.Ports(t, 4)
	c := kube.Start(t)
	c.Install()
	c.Apply(string(source.Role("weftd", "istio-system", source.Duties{Store: true})))
	c.Apply(s.entry("")) // of the API server
	plane := func(grpc, admin, secure int) *plane {
		return &plane{t: t, cluster: c, grpc: grpc, admin: admin, more: []string{"--kubeconfig", c.KubeconfigOf("istio-system", "weftd"), "--store", "kubernetes", "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", secure)}}
	}
	one, other := plane(ports[0], ports[1], vacant.Ports(t, 1)[0]), plane(ports[2], ports[3], vacant.Ports(t, 1)[0])
	one.start()
	one.apply(canary(100))
	roots := one.page("/ca/roots")
	other.start()
	if got := other.page("/ca/roots"); got != roots || !strings.Contains(got, "BEGIN CERTIFICATE") {
		t.Errorf("the root of the other is %q: want %q", got, roots)
	}
	other.proxy("envoy")
	s.opens()
	other.apply(canary(0))
	eventually(t, "both know it", func() bool {
		return strings.Contains(one.page("/api/objects/virtualservices/a/shop"), `"weight": 100`) && one.versions() == 2
	})
	eventually(t, "it is followed", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v2" })
	one.kill()
	one.start()
	if got := one.page("/ca/roots"); got != roots {
		t.Error("the root is another after a restart")
	}
	eventually(t, "what was applied is there", func() bool { return one.status().Objects["VirtualService"] == 1 })
	if n := one.status().Objects["Secret"]; n != 0 {
		t.Errorf("%d Secrets are told of: want none of the store's", n)
	}
	// An API server that is away: what is known is served, and what cannot be kept is refused.
	c.Stop()
	if who, err := s.ask(t.Context()); err != nil || who != "v2" {
		t.Errorf("%s, %v", who, err)
	}
	r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/objects", one.admin), "application/yaml", strings.NewReader(canary(50)))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("applied without a store: %d", r.StatusCode)
	}
	c.Restart()
	eventually(t, "it is kept again", func() bool {
		r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/objects", one.admin), "application/yaml", strings.NewReader(canary(100)))
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	eventually(t, "and followed by both", func() bool { who, err := s.ask(t.Context()); return err == nil && who == "v1" })
}
